#include "loop/op.h"

#include <assert.h>
#include <string.h>
#include <sys/uio.h>

struct tapsi_op *tapsi_op_new(struct tapsi_loop *loop)
{
    struct tapsi_op *op = tapsi_pool_get(&loop->ops);
    if (!op)
        return NULL;
    tapsi_link_init(&op->link);
    tapsi_link_init(&op->owned);
    op->loop = loop;
    op->refs = 1;
    op->flags = 0;
    op->first = 2;
    op->count = 0;
    op->length = op->taken = 0;
    op->done = NULL;
    op->owner = op->tag = NULL;
    op->deadline = TAPSI_FOREVER;
    op->dscp = -1;
    op->inline_used = 0;
    op->head_used = 0;
    op->priority = 100;
    op->path = NULL;
    return op;
}

void tapsi_op_unref(struct tapsi_op *op)
{
    assert(op->refs > 0);
    if (--op->refs)
        return;
    for (unsigned i = op->first; i < (unsigned)op->first + op->count; i++)
        tapsi_buffer_unref(op->ranges[i].buffer);
    tapsi_pool_put(&op->loop->ops, op);
}

void tapsi_op_lend(struct tapsi_op *op, const void *data, size_t length, struct tapsi_buffer *buffer)
{
    assert(op->first + op->count < TAPSI_OP_RANGES);
    op->ranges[op->first + op->count++] =
        (struct tapsi_range){.data = data, .length = length, .buffer = buffer ? tapsi_buffer_ref(buffer) : NULL};
    op->length += length;
}

int tapsi_op_copy(struct tapsi_op *op, const void *data, size_t length)
{
    if (length <= (size_t)(TAPSI_OP_INLINE - 1 - op->inline_used)) {
        uint8_t *to = op->inline_bytes + op->inline_used;
        if (length)
            memcpy(to, data, length);
        op->inline_used = (uint8_t)(op->inline_used + length);
        tapsi_op_lend(op, to, length, NULL);
        return 0;
    }
    struct tapsi_buffer *buffer = tapsi_buffer_new(&op->loop->mem, length);
    if (!buffer)
        return TAPS_E_MEMORY;
    memcpy(buffer->data, data, length);
    buffer->used = (uint32_t)length;
    tapsi_op_lend(op, buffer->data, length, buffer);
    tapsi_buffer_unref(buffer);
    return 0;
}

void tapsi_op_prepend(struct tapsi_op *op, const void *bytes, size_t count)
{
    assert(op->first > 0 && count <= (size_t)(TAPSI_OP_HEAD - op->head_used));
    op->head_used = (uint8_t)(op->head_used + count);
    uint8_t *to = op->head + TAPSI_OP_HEAD - op->head_used;
    memcpy(to, bytes, count);
    op->ranges[--op->first] = (struct tapsi_range){.data = to, .length = count};
    op->count++;
    op->length += count;
}

void tapsi_op_finish(struct tapsi_op *op, int result)
{
    assert(!(op->flags & TAPSI_OP_FINISHED));
    op->flags |= TAPSI_OP_FINISHED;
    tapsi_list_remove(&op->link);
    if (op->done)
        op->done(op, result);
    tapsi_op_unref(op);
}

void tapsi_op_drop(struct tapsi_op *op)
{
    tapsi_list_remove(&op->link);
    tapsi_op_unref(op);
}

unsigned tapsi_op_iovec(const struct tapsi_op *op, struct iovec *iov, unsigned max)
{
    size_t skip = op->taken;
    unsigned filled = 0;
    for (unsigned i = op->first; i < (unsigned)op->first + op->count && filled < max; i++) {
        const struct tapsi_range *r = &op->ranges[i];
        if (skip >= r->length) {
            skip -= r->length;
            continue;
        }
        /* iovec has no const; the kernel only reads. */
        iov[filled].iov_base = (void *)(uintptr_t)(r->data + skip);
        iov[filled].iov_len = r->length - skip;
        skip = 0;
        filled++;
    }
    return filled;
}
