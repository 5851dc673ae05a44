#include "base/heap.h"

#include <stdlib.h>
#include "base/test.h"

#define COUNT 300

static bool refuse;

static void *maybe(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return refuse ? NULL : realloc(block, size);
}

static void setup(struct tapsi_heap *heap, struct tapsi_mem *mem)
{
    refuse = false;
    tapsi_mem_init(mem, &(struct taps_allocator){.resize = maybe});
    tapsi_heap_init(heap, mem);
}

static uint32_t noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

TEST(an_empty_heap_has_no_first)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    setup(&heap, &mem);
    CHECK(!tapsi_heap_first(&heap));
    tapsi_heap_done(&heap);
}

TEST(nodes_come_out_by_key)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    struct tapsi_heap_node nodes[COUNT] = {{0}};
    uint32_t state = 7;
    uint64_t last = 0;
    setup(&heap, &mem);
    for (int i = 0; i < COUNT; i++)
        NEED(tapsi_heap_put(&heap, &nodes[i], noise(&state) % 100) == 0);
    for (int i = 0; i < COUNT; i++) {
        struct tapsi_heap_node *node = tapsi_heap_first(&heap);
        NEED(node);
        CHECK(node->key >= last);
        last = node->key;
        tapsi_heap_remove(&heap, node);
    }
    CHECK(!tapsi_heap_first(&heap));
    tapsi_heap_done(&heap);
}

TEST(equal_keys_come_out_in_order_of_insertion)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    struct tapsi_heap_node nodes[COUNT] = {{0}};
    setup(&heap, &mem);
    for (int i = 0; i < COUNT; i++)
        NEED(tapsi_heap_put(&heap, &nodes[i], 5) == 0);
    for (int i = 0; i < COUNT; i++) {
        CHECK(tapsi_heap_first(&heap) == &nodes[i]);
        tapsi_heap_remove(&heap, &nodes[i]);
    }
    tapsi_heap_done(&heap);
}

TEST(a_node_moves_both_ways_and_a_move_counts_as_insertion)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    struct tapsi_heap_node a = {0}, b = {0}, c = {0};
    setup(&heap, &mem);
    NEED(!tapsi_heap_put(&heap, &a, 10) && !tapsi_heap_put(&heap, &b, 20) && !tapsi_heap_put(&heap, &c, 30));
    CHECK_INT(tapsi_heap_put(&heap, &a, 40), 0);
    CHECK(tapsi_heap_first(&heap) == &b);
    CHECK_INT(tapsi_heap_put(&heap, &c, 1), 0);
    CHECK(tapsi_heap_first(&heap) == &c);
    CHECK_INT(tapsi_heap_put(&heap, &a, 1), 0);
    CHECK(tapsi_heap_first(&heap) == &c);
    CHECK_INT(tapsi_heap_put(&heap, &c, 1), 0);
    CHECK(tapsi_heap_first(&heap) == &a);
    CHECK_INT(heap.count, 3);
    tapsi_heap_done(&heap);
}

TEST(removing_a_node_that_is_not_in_is_harmless)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    struct tapsi_heap_node a = {0}, b = {0};
    setup(&heap, &mem);
    tapsi_heap_remove(&heap, &a);
    NEED(!tapsi_heap_put(&heap, &a, 1) && !tapsi_heap_put(&heap, &b, 2));
    tapsi_heap_remove(&heap, &a);
    tapsi_heap_remove(&heap, &a);
    CHECK(tapsi_heap_first(&heap) == &b);
    CHECK_INT(heap.count, 1);
    tapsi_heap_done(&heap);
}

/* Against the slow and obvious way: after every step the first is the least of all that are in. */
TEST(random_puts_moves_and_removals_agree_with_a_scan)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    struct tapsi_heap_node nodes[40] = {{0}};
    uint32_t state = 99;
    setup(&heap, &mem);
    for (int step = 0; step < 5000; step++) {
        struct tapsi_heap_node *node = &nodes[noise(&state) % 40], *least = NULL;
        if (noise(&state) % 3) {
            NEED(tapsi_heap_put(&heap, node, noise(&state) % 16) == 0);
        } else {
            tapsi_heap_remove(&heap, node);
        }
        size_t in = 0;
        for (int i = 0; i < 40; i++) {
            struct tapsi_heap_node *n = &nodes[i];
            if (!n->index)
                continue;
            in++;
            if (!least || n->key < least->key || (n->key == least->key && n->sequence < least->sequence))
                least = n;
        }
        CHECK(tapsi_heap_first(&heap) == least);
        CHECK_INT(heap.count, in);
    }
    tapsi_heap_done(&heap);
}

TEST(no_memory_refuses_a_new_node_but_not_a_move)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    struct tapsi_heap_node nodes[COUNT] = {{0}};
    size_t in = 0;
    setup(&heap, &mem);
    refuse = true;
    CHECK_INT(tapsi_heap_put(&heap, &nodes[0], 1), TAPS_E_MEMORY);
    CHECK_INT(nodes[0].index, 0);
    refuse = false;
    NEED(tapsi_heap_put(&heap, &nodes[in++], 1) == 0);
    refuse = true;
    while (in < COUNT && tapsi_heap_put(&heap, &nodes[in], in) == 0)
        in++;
    CHECK(in < COUNT);
    CHECK_INT(heap.count, in);
    CHECK_INT(tapsi_heap_put(&heap, &nodes[0], 1000), 0);
    tapsi_heap_done(&heap);
}

TEST(a_reserved_place_needs_no_memory_later)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    struct tapsi_heap_node nodes[COUNT] = {{0}};
    setup(&heap, &mem);
    for (int i = 0; i < COUNT; i++)
        NEED(tapsi_heap_reserve(&heap) == 0);
    refuse = true;
    for (int i = 0; i < COUNT; i++)
        CHECK_INT(tapsi_heap_put(&heap, &nodes[i], 1), 0);
    int err = 0;
    for (int i = 0; i < COUNT * 2 && !err; i++)
        err = tapsi_heap_reserve(&heap);
    CHECK_INT(err, TAPS_E_MEMORY);
    refuse = false;
    size_t reserved = heap.reserved;
    CHECK_INT(tapsi_heap_reserve(&heap), 0);
    tapsi_heap_unreserve(&heap);
    CHECK_INT(heap.reserved, reserved);
    tapsi_heap_done(&heap);
}

TEST(done_forgets_its_nodes)
{
    struct tapsi_mem mem;
    struct tapsi_heap heap;
    struct tapsi_heap_node a = {0};
    setup(&heap, &mem);
    NEED(tapsi_heap_put(&heap, &a, 1) == 0);
    tapsi_heap_done(&heap);
    CHECK_INT(a.index, 0);
    tapsi_heap_remove(&heap, &a);
    CHECK_INT(tapsi_heap_put(&heap, &a, 1), 0);
    tapsi_heap_done(&heap);
}
