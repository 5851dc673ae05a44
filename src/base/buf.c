#include "base/buf.h"

#include <assert.h>
#include <stdbool.h>

void tapsi_pool_init(struct tapsi_pool *pool, struct tapsi_mem *mem, size_t size, uint32_t keep_max)
{
    *pool = (struct tapsi_pool){
        .mem = mem,
        .size = size < sizeof(void *) ? sizeof(void *) : size,
        .keep_max = keep_max,
    };
}

void tapsi_pool_done(struct tapsi_pool *pool)
{
    assert(pool->out == 0);
    while (pool->free_list) {
        void *block = pool->free_list;
        pool->free_list = *(void **)block;
        tapsi_free(pool->mem, block);
    }
    pool->kept = 0;
}

void *tapsi_pool_get_slowly(struct tapsi_pool *pool)
{
    void *block = tapsi_alloc(pool->mem, pool->size);
    if (block)
        pool->out++;
    return block;
}

void tapsi_pool_put_slowly(struct tapsi_pool *pool, void *block)
{
    assert(block && pool->out > 0);
    pool->out--;
    tapsi_free(pool->mem, block);
}

static struct tapsi_buffer *setup(struct tapsi_buffer *b, struct tapsi_pool *pool, struct tapsi_mem *mem, size_t size)
{
    uintptr_t align = tapsi_buffer_align(size);
    b->refs = 1;
    b->used = 0;
    b->data = (uint8_t *)(((uintptr_t)(b + 1) + align - 1) & ~(align - 1));
    b->pool = pool;
    b->mem = mem;
    b->size = (uint32_t)size;
    b->foreign = false;
    return b;
}

/* The inverse of tapsi_buffer_block. */
static size_t payload_of(const struct tapsi_pool *pool)
{
    size_t rest = pool->size - sizeof(struct tapsi_buffer);
    bool large = rest >= TAPSI_BUFFER_LARGE + tapsi_buffer_align(TAPSI_BUFFER_LARGE);
    return rest - tapsi_buffer_align(large ? TAPSI_BUFFER_LARGE : 0);
}

struct tapsi_buffer *tapsi_buffer_get(struct tapsi_pool *pool)
{
    assert(pool->size > tapsi_buffer_block(0) && payload_of(pool) <= UINT32_MAX);
    struct tapsi_buffer *b = tapsi_pool_get(pool);
    return b ? setup(b, pool, pool->mem, payload_of(pool)) : NULL;
}

struct tapsi_buffer *tapsi_buffer_new(struct tapsi_mem *mem, size_t size)
{
    if (size > UINT32_MAX - tapsi_buffer_block(TAPSI_BUFFER_LARGE))
        return NULL;
    struct tapsi_buffer *b = tapsi_alloc(mem, tapsi_buffer_block(size));
    return b ? setup(b, NULL, mem, size) : NULL;
}

void tapsi_buffer_free(struct tapsi_buffer *b)
{
    assert(b->refs == 0);
    if (b->foreign) {
        struct tapsi_foreign *foreign = (struct tapsi_foreign *)(void *)b;
        foreign->drop(foreign);
    } else if (b->pool) {
        tapsi_pool_put(b->pool, b);
    } else {
        tapsi_free(b->mem, b);
    }
}
