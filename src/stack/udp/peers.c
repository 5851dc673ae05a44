/*
 * Hashed with a random key over the remote address, so nobody can choose addresses that meet in one chain; a chain is
 * shared only by the local addresses that one remote talks to.
 */
#include <string.h>
#include "stack/udp/peer.h"

#define BUCKETS_FIRST 16

void tapsi_udppeers_init(struct tapsi_udppeers *peers, struct tapsi_mem *mem, const struct tapsi_siphash_key *key)
{
    *peers = (struct tapsi_udppeers){.mem = mem, .key = *key};
}

void tapsi_udppeers_done(struct tapsi_udppeers *peers)
{
    tapsi_free(peers->mem, peers->buckets);
    peers->buckets = NULL;
}

static size_t bucket_of(const struct tapsi_udppeers *peers, const union tapsi_addr *remote, size_t bucket_count)
{
    uint8_t bytes[16 + 2 + 4] = {0};
    unsigned count;
    uint16_t number = tapsi_addr_port(remote);
    const uint8_t *address = tapsi_addr_bytes(remote, &count);
    memcpy(bytes, address, count);
    memcpy(bytes + 16, &number, sizeof(number));
    if (remote->sa.sa_family == AF_INET6)
        memcpy(bytes + 18, &remote->in6.sin6_scope_id, 4);
    return tapsi_siphash(&peers->key, bytes, sizeof(bytes)) & (bucket_count - 1);
}

static bool is_of(const struct tapsi_udppeer *p, const union tapsi_addr *remote, const union tapsi_addr *local)
{
    return tapsi_addr_equal(&p->path.remote, remote) && (!local || tapsi_addr_equal(&p->path.local, local));
}

struct tapsi_udppeer *tapsi_udppeers_find(struct tapsi_udppeers *peers, const union tapsi_addr *remote,
                                          const union tapsi_addr *local)
{
    if (peers->recent && is_of(peers->recent, remote, local))
        return peers->recent;
    if (!peers->bucket_count)
        return NULL;
    struct tapsi_udppeer *p = peers->buckets[bucket_of(peers, remote, peers->bucket_count)];
    while (p && !is_of(p, remote, local))
        p = p->next;
    if (p)
        peers->recent = p;
    return p;
}

/* Doubles the table. Without memory it stays as it is, which is only slower, unless there is none at all. */
static int grow(struct tapsi_udppeers *peers)
{
    size_t count = peers->bucket_count ? 2 * peers->bucket_count : BUCKETS_FIRST;
    struct tapsi_udppeer **buckets = tapsi_calloc(peers->mem, count, sizeof(*buckets));
    if (!buckets)
        return peers->bucket_count ? 0 : TAPS_E_MEMORY;
    for (size_t i = 0; i < peers->bucket_count; i++) {
        struct tapsi_udppeer *p, *next;
        for (p = peers->buckets[i]; p; p = next) {
            size_t at = bucket_of(peers, &p->path.remote, count);
            next = p->next;
            p->next = buckets[at];
            buckets[at] = p;
        }
    }
    tapsi_free(peers->mem, peers->buckets);
    peers->buckets = buckets;
    peers->bucket_count = count;
    return 0;
}

int tapsi_udppeers_add(struct tapsi_udppeers *peers, struct tapsi_udppeer *p)
{
    if (peers->count >= peers->bucket_count && grow(peers) < 0)
        return TAPS_E_MEMORY;
    size_t at = bucket_of(peers, &p->path.remote, peers->bucket_count);
    p->next = peers->buckets[at];
    peers->buckets[at] = p;
    peers->count++;
    p->in_table = true;
    return 0;
}

void tapsi_udppeers_remove(struct tapsi_udppeers *peers, struct tapsi_udppeer *p)
{
    if (!p->in_table)
        return;
    struct tapsi_udppeer **at = &peers->buckets[bucket_of(peers, &p->path.remote, peers->bucket_count)];
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (peers->recent == p)
        peers->recent = NULL;
    peers->count--;
    p->in_table = false;
}
