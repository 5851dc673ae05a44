/*
 * Holding. A ring of pieces that grows with what is held, from pools as long as it is small, and is gone when nothing
 * is. Since a byte can pin a block of 64 KiB that it shares with other Connections' bytes, small pieces of many blocks
 * are copied together.
 */
#include "connection/inbox.h"

#include <string.h>

#define SMALL_REST 4096 /* a piece up to this is small */
#define FEW_PIECES 8    /* so many blocks may be pinned by next to nothing */
#define TAIL_SIZE  (16 * 1024)
#define FREE_META  256 /* metadata up to this cost nothing */

static struct tapsi_inbox *new_inbox(struct taps_context *context, uint32_t capacity)
{
    struct tapsi_inbox *in = capacity == TAPSI_INBOX_SMALL ? tapsi_pool_get(&context->inboxes)
                             : capacity == TAPSI_INBOX_LARGE
                                 ? tapsi_pool_get(&context->large_inboxes)
                                 : tapsi_alloc(&context->loop.mem, tapsi_inbox_block((size_t)capacity));
    if (in)
        *in = (struct tapsi_inbox){.capacity = capacity};
    return in;
}

static void free_inbox(struct taps_context *context, struct tapsi_inbox *in)
{
    tapsi_buffer_unref(in->tail);
    if (in->capacity == TAPSI_INBOX_SMALL)
        tapsi_pool_put(&context->inboxes, in);
    else if (in->capacity == TAPSI_INBOX_LARGE)
        tapsi_pool_put(&context->large_inboxes, in);
    else
        tapsi_free(&context->loop.mem, in);
}

static int grow_inbox(struct taps_connection *c)
{
    struct tapsi_inbox *old = c->in;
    uint32_t capacity = !old                                 ? TAPSI_INBOX_SMALL
                        : old->capacity == TAPSI_INBOX_SMALL ? TAPSI_INBOX_LARGE
                                                             : old->capacity * 2;
    struct tapsi_inbox *grown = new_inbox(c->context, capacity);
    if (!grown)
        return TAPS_E_MEMORY;
    if (old) {
        for (grown->count = 0; grown->count < old->count; grown->count++)
            grown->held[grown->count] = *tapsi_inbox_at(old, grown->count);
        grown->tail = old->tail;
        old->tail = NULL;
        free_inbox(c->context, old);
    }
    c->in = grown;
    return 0;
}

void tapsi_inbox_remove_first(struct taps_connection *c)
{
    struct tapsi_inbox *in = c->in;
    size_t length = tapsi_inbox_at(in, 0)->length;
    c->held_bytes -= (uint32_t)(length ? length : 1);
    in->head = (in->head + 1) & (in->capacity - 1);
    if (--in->count == 0) {
        free_inbox(c->context, in);
        c->in = NULL;
        return;
    }
    c->held_bytes -= tapsi_inbox_at(in, 0)->charge;
    tapsi_inbox_at(in, 0)->charge = 0;
}

/* Metadata that wait behind a whole Message are charged to the window, so that many of them have a bound, too. Those of
   the first Message are not: the window is what its bytes need. */
static uint32_t charge_of(const struct taps_connection *c, const struct tapsi_slice *slice)
{
    if (!slice->meta || !c->in || !(tapsi_inbox_at(c->in, c->in->count - 1)->flags & TAPSI_SLICE_END))
        return 0;
    size_t size = tapsi_meta_size(slice->meta);
    return size > FREE_META ? (uint32_t)size : 0;
}

static void charge(struct taps_connection *c, uint32_t bytes)
{
    c->held_bytes += bytes;
    if (bytes && c->top)
        tapsi_layer_want(c->top, c->top->want > bytes ? c->top->want - bytes : 0);
}

/* Consecutive bytes of one buffer are one piece. */
static bool extend_last(struct taps_connection *c, const struct tapsi_slice *slice)
{
    if (!c->in || !slice->length || slice->meta)
        return false;
    struct tapsi_held *last = tapsi_inbox_at(c->in, c->in->count - 1);
    if (last->buffer != slice->buffer || last->flags || !last->length || last->data + last->length != slice->data)
        return false;
    last->length += slice->length;
    last->flags = tapsi_held_flags(slice);
    c->held_bytes += (uint32_t)slice->length;
    return true;
}

static bool ends_last(const struct taps_connection *c, const struct tapsi_slice *slice)
{
    return slice->flags & TAPSI_SLICE_END && !slice->meta && c->in &&
           !(tapsi_inbox_at(c->in, c->in->count - 1)->flags & TAPSI_SLICE_END);
}

/* A bare end, of a Message or of all (FIN), belongs to the bytes before it. Between Messages that have boundaries it is
   no Message: when all before it has been taken, it is only the end. */
static bool mark_last(struct taps_connection *c, const struct tapsi_slice *slice)
{
    if (slice->length || !(slice->flags & TAPSI_SLICE_FINAL || ends_last(c, slice)))
        return false;
    if (c->in)
        tapsi_inbox_at(c->in, c->in->count - 1)->flags |= slice->flags;
    else if (!c->is_stream && !c->in_message) {
        c->end_delivered = true;
        if (slice->meta) { /* what a Framer says of the end */
            tapsi_meta_unref(c->received.meta);
            c->received.meta = tapsi_meta_ref(slice->meta);
        }
    }
    return c->in || c->end_delivered;
}

/* A piece of its own would cost more than these bytes, which go on where the last piece ends. */
static bool is_crumb(const struct tapsi_held *last, const struct tapsi_slice *slice)
{
    return slice->length < sizeof(*last) && !slice->meta && last->length && !last->flags;
}

/* A crumb, or a small piece of a block that nothing held here is part of yet: its bytes are copied, and `slice` says
   where to. Without memory it stays where it is. */
static void copy_together(struct taps_connection *c, struct tapsi_slice *slice)
{
    struct tapsi_inbox *in = c->in;
    const struct tapsi_held *last = tapsi_inbox_at(in, in->count - 1);
    if (!slice->buffer || !slice->length || slice->length > SMALL_REST || slice->buffer->size < TAPSI_READ_SIZE ||
        (last->buffer == slice->buffer && !is_crumb(last, slice)))
        return;
    if (!in->tail || in->tail->size - in->tail->used < slice->length) {
        tapsi_buffer_unref(in->tail);
        in->tail = tapsi_buffer_new(&c->context->loop.mem, TAIL_SIZE);
    }
    if (!in->tail)
        return;
    uint8_t *to = in->tail->data + in->tail->used;
    memcpy(to, slice->data, slice->length);
    in->tail->used += (uint32_t)slice->length;
    slice->data = to;
    slice->buffer = in->tail;
}

static int append(struct taps_connection *c, const struct tapsi_slice *slice)
{
    uint32_t cost = charge_of(c, slice);
    int err = !c->in || c->in->count == c->in->capacity ? grow_inbox(c) : 0;
    if (err)
        return err;
    *tapsi_inbox_at(c->in, c->in->count++) =
        (struct tapsi_held){.data = slice->data,
                            .length = slice->length,
                            .buffer = slice->buffer ? tapsi_buffer_ref(slice->buffer) : NULL,
                            .flags = tapsi_held_flags(slice),
                            .charge = cost,
                            .arrived = tapsi_loop_now(&c->context->loop),
                            .meta = tapsi_meta_ref(slice->meta)};
    c->held_bytes += (uint32_t)(slice->length ? slice->length : 1);
    charge(c, cost);
    return 0;
}

int tapsi_inbox_hold(struct taps_connection *c, const struct tapsi_slice *slice)
{
    if (extend_last(c, slice) || mark_last(c, slice))
        return 0;
    struct tapsi_slice moved = *slice;
    if (c->in && c->in->count >= FEW_PIECES)
        copy_together(c, &moved);
    return moved.buffer != slice->buffer && extend_last(c, &moved) ? 0 : append(c, &moved);
}

void tapsi_inbox_copy_small_rest(struct taps_connection *c)
{
    if (c->in->count != 1 || c->receives)
        return;
    struct tapsi_held *rest = tapsi_inbox_at(c->in, 0);
    if (!rest->buffer || rest->length == 0 || rest->length > SMALL_REST || rest->buffer->size < TAPSI_READ_SIZE)
        return;
    struct tapsi_buffer *small = tapsi_buffer_new(&c->context->loop.mem, rest->length);
    if (!small)
        return;
    memcpy(small->data, rest->data, rest->length);
    small->used = (uint32_t)rest->length;
    tapsi_buffer_unref(rest->buffer);
    rest->buffer = small;
    rest->data = small->data;
}
