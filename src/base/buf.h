/*
 * Buffers and pools. A buffer is reference-counted memory of a fixed size; the last unref returns it to its pool.
 * A pool is a LIFO list of equal blocks: the most recently used, and so warmest, goes out first.
 */
#ifndef TAPSI_BASE_BUF_H
#define TAPSI_BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>
#include "base/mem.h"

struct tapsi_pool {
    struct tapsi_mem *mem;
    void *free_list;
    size_t size;
    uint32_t kept, keep_max; /* blocks on the free list, and how many may stay there */
    uint32_t out;            /* blocks in use: 0 when everything was given back */
};

void tapsi_pool_init(struct tapsi_pool *pool, struct tapsi_mem *mem, size_t size, uint32_t keep_max);
/* Frees what is on the free list; asserts that nothing is out. */
void tapsi_pool_done(struct tapsi_pool *pool);
/* NULL = no memory. */
void *tapsi_pool_get_slowly(struct tapsi_pool *pool) __attribute__((cold));
void tapsi_pool_put_slowly(struct tapsi_pool *pool, void *block) __attribute__((cold));

/* The ways that are gone for every Message: a free block holds the address of the next one in its first bytes. */
static inline void *tapsi_pool_get(struct tapsi_pool *pool)
{
    void *block = pool->free_list;
    if (!block)
        return tapsi_pool_get_slowly(pool);
    pool->free_list = *(void **)block;
    pool->kept--;
    pool->out++;
    return block;
}

static inline void tapsi_pool_put(struct tapsi_pool *pool, void *block)
{
    if (pool->kept >= pool->keep_max) {
        tapsi_pool_put_slowly(pool, block);
        return;
    }
    *(void **)block = pool->free_list;
    pool->free_list = block;
    pool->kept++;
    pool->out--;
}

struct tapsi_buffer {
    uint32_t refs;
    uint32_t used;           /* bytes handed out from the front by whoever fills it */
    uint8_t *data;           /* behind this struct; where it is large, at the beginning of a page */
    struct tapsi_pool *pool; /* NULL: made with tapsi_buffer_new */
    struct tapsi_mem *mem;
    uint32_t size;
    bool foreign; /* part of a struct tapsi_foreign */
};

/* References to memory that is no block of a pool: only `buffer.refs` has a meaning. */
struct tapsi_foreign {
    struct tapsi_buffer buffer;
    void (*drop)(struct tapsi_foreign *foreign); /* after the last reference */
};

/* The pool's blocks must be tapsi_buffer_block(size) bytes. Copying to and from the kernel is some percent faster at
   the beginning of a page. */
#define TAPSI_BUFFER_LARGE          (16 * 1024)
#define tapsi_buffer_align(payload) ((size_t)((payload) >= TAPSI_BUFFER_LARGE ? 4096 : 16))
#define tapsi_buffer_block(payload) (sizeof(struct tapsi_buffer) + (payload) + tapsi_buffer_align(payload))
static inline void tapsi_foreign_init(struct tapsi_foreign *foreign, void (*drop)(struct tapsi_foreign *))
{
    *foreign = (struct tapsi_foreign){.buffer = {.refs = 1, .foreign = true}, .drop = drop};
}
struct tapsi_buffer *tapsi_buffer_get(struct tapsi_pool *pool);
struct tapsi_buffer *tapsi_buffer_new(struct tapsi_mem *mem, size_t size);
static inline struct tapsi_buffer *tapsi_buffer_ref(struct tapsi_buffer *b)
{
    b->refs++;
    return b;
}
void tapsi_buffer_free(struct tapsi_buffer *b);               /* after the last reference */
static inline void tapsi_buffer_unref(struct tapsi_buffer *b) /* NULL is allowed */
{
    if (b && --b->refs == 0)
        tapsi_buffer_free(b);
}

#endif
