/* Hashed with a random key: the first connection ID of a client is chosen by it. */
#include <string.h>
#include "stack/quic/quic.h"

#define BUCKETS_FIRST 64

static size_t bucket_of(const struct quic_cids *cids, const uint8_t *bytes, size_t length, size_t size)
{
    return tapsi_siphash(&cids->key, bytes, length) & (size - 1);
}

static bool is(const struct quic_cid *c, const uint8_t *bytes, size_t length)
{
    return c->length == length && memcmp(c->bytes, bytes, length) == 0;
}

struct quic_session *tapsi_quic_cids_find(struct quic_cids *cids, const uint8_t *bytes, size_t length)
{
    if (!cids->size)
        return NULL;
    if (cids->recent && is(cids->recent, bytes, length)) /* packets come in trains */
        return cids->recent->session;
    struct quic_cid *c = cids->buckets[bucket_of(cids, bytes, length, cids->size)];
    while (c && !is(c, bytes, length))
        c = c->next;
    cids->recent = c ? c : cids->recent;
    return c ? c->session : NULL;
}

/* Doubles the table. Without memory it stays as it is, which is only slower, unless there is none at all. */
static int grow(struct quic_cids *cids)
{
    size_t size = cids->size ? 2 * cids->size : BUCKETS_FIRST;
    struct quic_cid **buckets = tapsi_calloc(cids->mem, size, sizeof(struct quic_cid *));
    if (!buckets)
        return cids->size ? 0 : TAPS_E_MEMORY;
    for (size_t i = 0; i < cids->size; i++) {
        struct quic_cid *c, *next;
        for (c = cids->buckets[i]; c; c = next) {
            size_t at = bucket_of(cids, c->bytes, c->length, size);
            next = c->next;
            c->next = buckets[at];
            buckets[at] = c;
        }
    }
    tapsi_free(cids->mem, cids->buckets);
    cids->buckets = buckets;
    cids->size = size;
    return 0;
}

int tapsi_quic_cids_add(struct quic_cids *cids, struct quic_session *s, const uint8_t *bytes, size_t length)
{
    if (length > NGTCP2_MAX_CIDLEN)
        return TAPS_E_RANGE;
    if (cids->count >= cids->size && grow(cids) != 0)
        return TAPS_E_MEMORY;
    struct quic_cid *c = tapsi_alloc(cids->mem, sizeof(*c));
    if (!c)
        return TAPS_E_MEMORY;
    size_t at = bucket_of(cids, bytes, length, cids->size);
    *c = (struct quic_cid){.next = cids->buckets[at], .sibling = s->cids, .session = s, .length = (uint8_t)length};
    memcpy(c->bytes, bytes, length);
    cids->buckets[at] = c;
    s->cids = c;
    cids->count++;
    return 0;
}

static void unlink_from_bucket(struct quic_cids *cids, struct quic_cid *c)
{
    struct quic_cid **at = &cids->buckets[bucket_of(cids, c->bytes, c->length, cids->size)];
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    cids->count--;
    if (cids->recent == c)
        cids->recent = NULL;
}

void tapsi_quic_cids_remove(struct quic_cids *cids, struct quic_session *s, const uint8_t *bytes, size_t length)
{
    struct quic_cid **at = &s->cids;
    while (*at && !is(*at, bytes, length))
        at = &(*at)->sibling;
    struct quic_cid *c = *at;
    if (!c)
        return;
    *at = c->sibling;
    unlink_from_bucket(cids, c);
    tapsi_free(cids->mem, c);
}

void tapsi_quic_cids_forget(struct quic_cids *cids, struct quic_session *s)
{
    struct quic_cid *c;
    while ((c = s->cids)) {
        s->cids = c->sibling;
        unlink_from_bucket(cids, c);
        tapsi_free(cids->mem, c);
    }
}
