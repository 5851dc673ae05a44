#include "base/buf.h"

#include <assert.h>

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
    b->refs = 1;
    b->used = 0;
    b->pool = pool;
    b->mem = mem;
    b->size = (uint32_t)size;
    return b;
}

struct tapsi_buffer *tapsi_buffer_get(struct tapsi_pool *pool)
{
    assert(pool->size > sizeof(struct tapsi_buffer) && pool->size - sizeof(struct tapsi_buffer) <= UINT32_MAX);
    struct tapsi_buffer *b = tapsi_pool_get(pool);
    return b ? setup(b, pool, pool->mem, pool->size - sizeof(*b)) : NULL;
}

struct tapsi_buffer *tapsi_buffer_new(struct tapsi_mem *mem, size_t size)
{
    if (size > UINT32_MAX - sizeof(struct tapsi_buffer))
        return NULL;
    struct tapsi_buffer *b = tapsi_alloc(mem, tapsi_buffer_block(size));
    return b ? setup(b, NULL, mem, size) : NULL;
}

void tapsi_buffer_free(struct tapsi_buffer *b)
{
    assert(b->refs == 0);
    if (b->pool)
        tapsi_pool_put(b->pool, b);
    else
        tapsi_free(b->mem, b);
}
