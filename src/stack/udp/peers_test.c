#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"
#include "stack/udp/peer.h"

#define MANY 5000

static const struct tapsi_siphash_key key = {1, 2};

static union tapsi_addr numbered(unsigned i)
{
    char text[32];
    union tapsi_addr a = {0};
    snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250 + 1);
    CHECK_INT(tapsi_addr_parse(text, &a), 0);
    tapsi_addr_set_port(&a, 7);
    return a;
}

TEST(what_was_added_is_found_until_it_is_removed)
{
    static struct tapsi_udppeer peer[MANY];
    struct tapsi_udppeers peers;
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    tapsi_udppeers_init(&peers, &mem, &key);
    for (unsigned i = 0; i < MANY; i++) {
        peer[i] = (struct tapsi_udppeer){.path = {.remote = numbered(i), .local = numbered(0)}};
        CHECK(tapsi_udppeers_find(&peers, &peer[i].path.remote, &peer[i].path.local) == NULL);
        CHECK_INT(tapsi_udppeers_add(&peers, &peer[i]), 0);
    }
    CHECK_INT(peers.count, MANY);
    for (unsigned i = 0; i < MANY; i++)
        CHECK(tapsi_udppeers_find(&peers, &peer[i].path.remote, &peer[i].path.local) == &peer[i]);
    for (unsigned i = 0; i < MANY; i += 2)
        tapsi_udppeers_remove(&peers, &peer[i]);
    tapsi_udppeers_remove(&peers, &peer[0]);
    CHECK_INT(peers.count, MANY / 2);
    for (unsigned i = 0; i < MANY; i++)
        CHECK((tapsi_udppeers_find(&peers, &peer[i].path.remote, NULL) == &peer[i]) == (i % 2 == 1));
    tapsi_udppeers_done(&peers);
}

TEST(one_remote_may_talk_to_several_local_addresses)
{
    struct tapsi_udppeers peers;
    struct tapsi_udppeer a = {.path = {.remote = numbered(1), .local = numbered(2)}};
    struct tapsi_udppeer b = {.path = {.remote = numbered(1), .local = numbered(3)}};
    union tapsi_addr other = numbered(4);
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    tapsi_udppeers_init(&peers, &mem, &key);
    tapsi_udppeers_add(&peers, &a);
    tapsi_udppeers_add(&peers, &b);
    CHECK(tapsi_udppeers_find(&peers, &a.path.remote, &a.path.local) == &a);
    CHECK(tapsi_udppeers_find(&peers, &a.path.remote, &b.path.local) == &b);
    CHECK(tapsi_udppeers_find(&peers, &a.path.remote, &other) == NULL);
    CHECK(tapsi_udppeers_find(&peers, &a.path.remote, NULL) != NULL);
    tapsi_udppeers_done(&peers);
}

TEST(ports_families_and_scopes_are_told_apart)
{
    struct tapsi_udppeers peers;
    struct tapsi_udppeer a = {0};
    union tapsi_addr other;
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    CHECK_INT(tapsi_addr_parse("fe80::1", &a.path.remote), 0);
    tapsi_addr_set_port(&a.path.remote, 7);
    a.path.remote.in6.sin6_scope_id = 2;
    tapsi_udppeers_init(&peers, &mem, &key);
    tapsi_udppeers_add(&peers, &a);
    other = a.path.remote;
    CHECK(tapsi_udppeers_find(&peers, &other, NULL) == &a);
    other.in6.sin6_scope_id = 3;
    CHECK(tapsi_udppeers_find(&peers, &other, NULL) == NULL);
    other = a.path.remote;
    tapsi_addr_set_port(&other, 8);
    CHECK(tapsi_udppeers_find(&peers, &other, NULL) == NULL);
    other = numbered(1);
    CHECK(tapsi_udppeers_find(&peers, &other, NULL) == NULL);
    tapsi_udppeers_done(&peers);
}

static void *scarce(void *user, void *block, size_t size)
{
    unsigned *left = user;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return *left && (*left)-- ? realloc(block, size) : NULL;
}

TEST(without_memory_the_table_serves_as_it_is)
{
    static struct tapsi_udppeer peer[200];
    unsigned left = 0;
    struct taps_allocator allocator = {scarce, &left};
    struct tapsi_udppeers peers;
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, &allocator);
    tapsi_udppeers_init(&peers, &mem, &key);
    peer[0].path.remote = numbered(0);
    CHECK_INT(tapsi_udppeers_add(&peers, &peer[0]), TAPS_E_MEMORY);
    CHECK(tapsi_udppeers_find(&peers, &peer[0].path.remote, NULL) == NULL);
    left = 1;
    for (unsigned i = 0; i < 200; i++) {
        peer[i].path.remote = numbered(i);
        CHECK_INT(tapsi_udppeers_add(&peers, &peer[i]), 0);
    }
    for (unsigned i = 0; i < 200; i++)
        CHECK(tapsi_udppeers_find(&peers, &peer[i].path.remote, NULL) == &peer[i]);
    tapsi_udppeers_done(&peers);
}
