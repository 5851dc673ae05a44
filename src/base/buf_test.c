#include "base/buf.h"

#include <stdlib.h>
#include "base/test.h"

static size_t live;
static bool refuse;

static void *counted(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        live--;
        free(block);
        return NULL;
    }
    if (refuse)
        return NULL;
    live += block == NULL;
    return realloc(block, size);
}

static void setup(struct tapsi_mem *mem)
{
    live = 0;
    refuse = false;
    tapsi_mem_init(mem, &(struct taps_allocator){.resize = counted});
}

TEST(the_last_block_put_goes_out_first)
{
    struct tapsi_mem mem;
    struct tapsi_pool pool;
    setup(&mem);
    tapsi_pool_init(&pool, &mem, 100, 10);
    void *a = tapsi_pool_get(&pool), *b = tapsi_pool_get(&pool);
    NEED(a && b);
    tapsi_pool_put(&pool, a);
    tapsi_pool_put(&pool, b);
    CHECK(tapsi_pool_get(&pool) == b);
    CHECK(tapsi_pool_get(&pool) == a);
    CHECK_INT(pool.out, 2);
    tapsi_pool_put(&pool, a);
    tapsi_pool_put(&pool, b);
    tapsi_pool_done(&pool);
    CHECK_INT(live, 0);
}

TEST(a_pool_keeps_no_more_than_it_may)
{
    struct tapsi_mem mem;
    struct tapsi_pool pool;
    void *blocks[5];
    setup(&mem);
    tapsi_pool_init(&pool, &mem, 100, 2);
    for (int i = 0; i < 5; i++) {
        blocks[i] = tapsi_pool_get(&pool);
        NEED(blocks[i]);
    }
    for (int i = 0; i < 5; i++)
        tapsi_pool_put(&pool, blocks[i]);
    CHECK_INT(live, 2);
    CHECK_INT(pool.kept, 2);
    CHECK_INT(pool.out, 0);
    tapsi_pool_done(&pool);
    CHECK_INT(live, 0);
}

TEST(a_pool_of_tiny_blocks_still_links_them)
{
    struct tapsi_mem mem;
    struct tapsi_pool pool;
    setup(&mem);
    tapsi_pool_init(&pool, &mem, 1, 4);
    void *a = tapsi_pool_get(&pool), *b = tapsi_pool_get(&pool);
    NEED(a && b);
    tapsi_pool_put(&pool, a);
    tapsi_pool_put(&pool, b);
    tapsi_pool_done(&pool);
    CHECK_INT(live, 0);
}

TEST(a_pool_without_memory_gives_nothing_and_counts_nothing)
{
    struct tapsi_mem mem;
    struct tapsi_pool pool;
    setup(&mem);
    refuse = true;
    tapsi_pool_init(&pool, &mem, tapsi_buffer_block(64), 4);
    CHECK(!tapsi_pool_get(&pool));
    CHECK(!tapsi_buffer_get(&pool));
    CHECK_INT(pool.out, 0);
    tapsi_pool_done(&pool);
}

TEST(the_last_unref_returns_a_buffer_to_its_pool)
{
    struct tapsi_mem mem;
    struct tapsi_pool pool;
    setup(&mem);
    tapsi_pool_init(&pool, &mem, tapsi_buffer_block(64), 4);
    struct tapsi_buffer *b = tapsi_buffer_get(&pool);
    NEED(b);
    CHECK_INT(b->size, 64);
    CHECK_INT(b->used, 0);
    memset(b->data, 7, b->size);
    b->used = 64;
    CHECK(tapsi_buffer_ref(b) == b);
    tapsi_buffer_unref(b);
    CHECK_INT(pool.out, 1);
    tapsi_buffer_unref(b);
    CHECK_INT(pool.out, 0);
    struct tapsi_buffer *again = tapsi_buffer_get(&pool);
    CHECK(again == b);
    CHECK_INT(again->used, 0);
    CHECK_INT(again->refs, 1);
    tapsi_buffer_unref(again);
    tapsi_pool_done(&pool);
    CHECK_INT(live, 0);
}

TEST(a_buffer_without_a_pool_is_freed)
{
    struct tapsi_mem mem;
    setup(&mem);
    struct tapsi_buffer *b = tapsi_buffer_new(&mem, 10), *empty = tapsi_buffer_new(&mem, 0);
    NEED(b && empty);
    CHECK_INT(b->size, 10);
    CHECK_INT(empty->size, 0);
    CHECK_INT(live, 2);
    tapsi_buffer_unref(b);
    tapsi_buffer_unref(empty);
    tapsi_buffer_unref(NULL);
    CHECK_INT(live, 0);
}

TEST(a_buffer_that_is_too_large_or_without_memory_is_refused)
{
    struct tapsi_mem mem;
    setup(&mem);
    CHECK(!tapsi_buffer_new(&mem, UINT32_MAX));
    CHECK(!tapsi_buffer_new(&mem, SIZE_MAX));
    refuse = true;
    CHECK(!tapsi_buffer_new(&mem, 10));
    CHECK_INT(live, 0);
}

TEST(buffer_data_is_aligned)
{
    struct tapsi_mem mem;
    setup(&mem);
    struct tapsi_buffer *b = tapsi_buffer_new(&mem, 10);
    NEED(b);
    CHECK_INT((uintptr_t)b->data % 16, 0);
    tapsi_buffer_unref(b);
}

TEST(a_large_buffer_begins_at_a_page)
{
    struct tapsi_mem mem;
    struct tapsi_pool pool;
    setup(&mem);
    tapsi_pool_init(&pool, &mem, tapsi_buffer_block(65536), 1);
    struct tapsi_buffer *pooled = tapsi_buffer_get(&pool), *alone = tapsi_buffer_new(&mem, 20000);
    NEED(pooled && alone);
    CHECK_INT(pooled->size, 65536);
    CHECK_INT((uintptr_t)pooled->data % 4096, 0);
    CHECK_INT((uintptr_t)alone->data % 4096, 0);
    memset(pooled->data, 1, pooled->size);
    memset(alone->data, 1, alone->size);
    tapsi_buffer_unref(pooled);
    tapsi_buffer_unref(alone);
    tapsi_pool_done(&pool);
    CHECK_INT(live, 0);
}
