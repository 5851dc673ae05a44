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
    op->length = op->taken = 0;
    op->done = NULL;
    op->owner = op->tag = NULL;
    op->loop = loop;
    op->refs = 1;
    op->flags = 0;
    op->count = 0;
    op->dscp = -1;
    op->priority = 100;
    op->kept = op->room = 0;
    op->added = 0;
    op->meta = NULL;
    op->deadline = TAPSI_FOREVER;
    op->ranges = op->own;
    return op;
}

void tapsi_op_unref(struct tapsi_op *op)
{
    assert(op->refs > 0);
    if (--op->refs)
        return;
    for (unsigned i = 0; i < op->count; i++)
        tapsi_buffer_unref(op->ranges[i].buffer);
    tapsi_meta_unref(op->meta);
    if (op->ranges != op->own)
        tapsi_pool_put(&op->loop->lists, op->ranges);
    tapsi_pool_put(&op->loop->ops, op);
}

int tapsi_op_expect(struct tapsi_op *op, size_t pieces)
{
    assert(op->count == 0 && op->ranges == op->own && pieces <= TAPS_PIECES_MAX);
    struct tapsi_range *list = pieces > 1 ? tapsi_pool_get(&op->loop->lists) : op->own;
    if (!list)
        return TAPS_E_MEMORY;
    op->ranges = list;
    return 0;
}

/* Takes the reference of `buffer`. */
static void append(struct tapsi_op *op, const void *data, size_t length, struct tapsi_buffer *buffer)
{
    assert(op->count < tapsi_op_room(op));
    op->ranges[op->count++] = (struct tapsi_range){.data = data, .length = length, .buffer = buffer};
    op->length += length;
}

void tapsi_op_lend(struct tapsi_op *op, const void *data, size_t length, struct tapsi_buffer *buffer)
{
    append(op, data, length, buffer ? tapsi_buffer_ref(buffer) : NULL);
}

int tapsi_op_gather(struct tapsi_op *op, const struct iovec *pieces, size_t count, size_t length, size_t room)
{
    size_t size = length + room;
    assert(room <= TAPSI_OP_HEAD_ROOM);
    struct tapsi_buffer *b =
        size <= TAPSI_OP_SMALL ? tapsi_loop_write_buffer(op->loop, size) : tapsi_loop_large_buffer(op->loop, size);
    if (!b)
        return TAPS_E_MEMORY;
    uint8_t *start = b->data + b->used + room, *to = start;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_len)
            memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
        to += pieces[i].iov_len;
    }
    b->used += (uint32_t)size;
    op->room = (uint8_t)room;
    append(op, start, length, b);
    return 0;
}

int tapsi_op_copy(struct tapsi_op *op, const void *data, size_t length)
{
    return tapsi_op_copy_behind(op, data, length, 0);
}

int tapsi_op_copy_behind(struct tapsi_op *op, const void *data, size_t length, size_t room)
{
    struct iovec piece = {(void *)(uintptr_t)data, length}; /* iovec has no const */
    return tapsi_op_gather(op, &piece, 1, length, room);
}

void tapsi_op_replace(struct tapsi_op *op, const void *data, size_t length, struct tapsi_buffer *buffer)
{
    for (unsigned i = 0; i < op->count; i++)
        tapsi_buffer_unref(op->ranges[i].buffer);
    op->added += (int64_t)length - (int64_t)op->length;
    op->length = length;
    op->ranges[0] = (struct tapsi_range){.data = data, .length = length, .buffer = buffer};
    op->count = 1;
    op->room = 0;
}

/* The bytes in a place of the op's own. */
static const uint8_t *keep(struct tapsi_op *op, const void *bytes, size_t count)
{
    assert(count <= (size_t)(TAPSI_OP_ADDED - op->kept));
    op->kept = (uint8_t)(op->kept + count);
    op->added += (int64_t)count;
    return memcpy(op->around + TAPSI_OP_ADDED - op->kept, bytes, count);
}

void tapsi_op_prepend(struct tapsi_op *op, const void *bytes, size_t count)
{
    assert(op->count < tapsi_op_room(op));
    memmove(&op->ranges[1], &op->ranges[0], op->count * sizeof(op->ranges[0]));
    op->ranges[0] = (struct tapsi_range){.data = keep(op, bytes, count), .length = count};
    op->room = 0;
    op->count++;
    op->length += count;
}

void tapsi_op_append(struct tapsi_op *op, const void *bytes, size_t count)
{
    append(op, keep(op, bytes, count), count, NULL);
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
    for (unsigned i = 0; i < op->count && filled < max; i++) {
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
