/*
 * Receiving. What the stack delivers is held, at most `window` bytes of it, until a Receive asks; each Receive is
 * answered by exactly one event. The window is opened by the first Receive and granted again at half, so that a stream
 * is not read byte by byte; nobody asking closes it, and the peer's sender is held up (API-121).
 */
#include <string.h>
#include "connection/connection.h"

#define WINDOW_MAX ((size_t)1024 * 1024) /* a larger minIncompleteLength is answered with this much */
#define SMALL_REST 4096                  /* unread rests up to this are copied out of the large read buffer */

/* ------------------------------------------------------------------------------------------------- holding */

static struct tapsi_held *held_at(const struct taps_connection *c, uint32_t i)
{
    return &c->held[(c->held_head + i) & (c->held_capacity - 1)]; /* a power of two */
}

static bool is_stream(const struct taps_connection *c)
{
    return c->row && c->row->offer.capability[TAPS_PRESERVE_MSG_BOUNDARIES] != TAPSI_CAP_ALWAYS;
}

static int grow_held(struct taps_connection *c)
{
    uint32_t want = c->held_capacity ? c->held_capacity * 2 : 4;
    struct tapsi_held *grown = tapsi_calloc(&c->context->loop.mem, want, sizeof(*grown));
    if (!grown)
        return TAPS_E_MEMORY;
    for (uint32_t i = 0; i < c->held_count; i++)
        grown[i] = *held_at(c, i);
    tapsi_free(&c->context->loop.mem, c->held);
    c->held = grown;
    c->held_head = 0;
    c->held_capacity = want;
    return 0;
}

static void drop_first(struct taps_connection *c)
{
    struct tapsi_held *first = held_at(c, 0);
    c->held_bytes -= first->length ? first->length : 1;
    tapsi_buffer_unref(first->buffer);
    first->buffer = NULL;
    c->held_head = (c->held_head + 1) & (c->held_capacity - 1);
    c->held_count--;
}

/* Consecutive bytes of one buffer are one piece. */
static bool extend_last(struct taps_connection *c, const struct tapsi_slice *slice)
{
    if (!c->held_count || !slice->length)
        return false;
    struct tapsi_held *last = held_at(c, c->held_count - 1);
    if (last->buffer != slice->buffer || last->flags || !last->length || last->data + last->length != slice->data)
        return false;
    last->length += slice->length;
    last->flags = slice->flags;
    return true;
}

/* A bare end (FIN) belongs to the bytes before it. Between Messages that have boundaries it is no Message: when all
   before it has been taken, it is only the end. */
static bool mark_last(struct taps_connection *c, const struct tapsi_slice *slice)
{
    if (slice->length || !(slice->flags & TAPSI_SLICE_FINAL))
        return false;
    if (c->held_count)
        held_at(c, c->held_count - 1)->flags |= slice->flags;
    else if (!is_stream(c))
        c->end_delivered = true;
    return c->held_count || c->end_delivered;
}

void tapsi_connection_data(struct taps_connection *c, const struct tapsi_slice *slice)
{
    if (c->closing || c->pending_end)
        return;
    if (slice->flags & TAPSI_SLICE_FINAL)
        c->final_received = true;
    if (extend_last(c, slice)) {
        c->held_bytes += slice->length;
    } else if (!mark_last(c, slice)) {
        if (c->held_count == c->held_capacity && grow_held(c)) {
            struct tapsi_error error;
            tapsi_error_set(&error, TAPS_E_MEMORY, "no memory to hold what was received");
            tapsi_connection_end(c, &error, TAPS_E_MEMORY);
            return;
        }
        *held_at(c, c->held_count++) =
            (struct tapsi_held){.data = slice->data,
                                .length = slice->length,
                                .buffer = slice->buffer ? tapsi_buffer_ref(slice->buffer) : NULL,
                                .flags = slice->flags};
        c->held_bytes += slice->length ? slice->length : 1;
    }
    tapsi_connection_post(c);
}

/* What stays unread must not pin a 64 KiB buffer for a few bytes. */
static void copy_small_rest(struct taps_connection *c)
{
    if (c->held_count != 1 || c->receives)
        return;
    struct tapsi_held *rest = held_at(c, 0);
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

/* -------------------------------------------------------------------------------------------------- credit */

/* What the first Receive waits for. */
static size_t awaited(const struct taps_connection *c)
{
    const struct tapsi_receive *r = c->receives;
    if (!r)
        return 0;
    size_t min = r->min == SIZE_MAX ? 1 : r->min;
    if (min > r->max)
        min = r->max;
    return min < c->window ? min : c->window;
}

/* At half, or when what is held and granted would never answer the first Receive. */
void tapsi_connection_open_window(struct taps_connection *c)
{
    if (!c->top || c->closing)
        return;
    size_t room = c->held_bytes < c->window ? c->window - c->held_bytes : 0;
    size_t want = c->top->want;
    if ((room >= c->window / 2 && want < c->window / 2) || (want < room && c->held_bytes + want < awaited(c)))
        tapsi_layer_want(c->top, room);
}

/* ------------------------------------------------------------------------------------------------- matching */

/* How much of one Message is here: bytes up to its end, or all. */
static size_t available(const struct taps_connection *c, bool *ret_end)
{
    const struct tapsi_held *first = held_at(c, 0);
    size_t bytes = first->length;
    *ret_end = first->flags & TAPSI_SLICE_END;
    for (uint32_t i = 1; i < c->held_count && !*ret_end; i++) {
        bytes += held_at(c, i)->length;
        *ret_end = held_at(c, i)->flags & TAPSI_SLICE_END;
    }
    return bytes;
}

static bool satisfied(const struct taps_connection *c, const struct tapsi_receive *r, size_t bytes, bool end)
{
    size_t min = r->min;
    if (end)
        return true;
    if (min == SIZE_MAX)
        min = is_stream(c) ? 1 : c->window; /* a stream is one endless Message: what has come is what there is */
    if (min > r->max)
        min = r->max;
    if (min > c->window)
        min = c->window;
    return bytes >= (min ? min : 1);
}

bool tapsi_connection_can_deliver(const struct taps_connection *c)
{
    bool end;
    if (!c->receives || c->state == TAPS_ESTABLISHING)
        return false;
    if (c->end_delivered)
        return true;
    if (!c->held_count)
        return false;
    size_t bytes = available(c, &end);
    return satisfied(c, c->receives, bytes, end);
}

/* ------------------------------------------------------------------------------------------------ delivering */

static void free_receive(struct taps_connection *c, struct tapsi_receive *r)
{
    if (r == &c->first_receive)
        c->first_receive_used = false;
    else
        tapsi_free(&c->context->loop.mem, r);
}

static struct tapsi_receive pop_receive(struct taps_connection *c)
{
    struct tapsi_receive *r = c->receives, copy = *r;
    c->receives = r->next;
    if (!c->receives)
        c->receives_end = &c->receives;
    free_receive(c, r);
    return copy;
}

/* One contiguous piece of at most `max` bytes from the front; `owner` keeps it alive until it was told. */
struct piece {
    const uint8_t *data;
    size_t length;
    struct tapsi_buffer *owner;
    unsigned flags;
};

static void take_from_first(struct taps_connection *c, size_t max, struct piece *p)
{
    struct tapsi_held *first = held_at(c, 0);
    *p = (struct piece){.data = first->data, .length = first->length, .flags = first->flags};
    p->owner = first->buffer ? tapsi_buffer_ref(first->buffer) : NULL;
    if (first->length > max) {
        p->length = max;
        p->flags = first->flags & TAPSI_SLICE_EARLY;
        first->data += max;
        first->length -= max;
        c->held_bytes -= max;
        return;
    }
    drop_first(c);
}

/* Several pieces must be one: they are copied together. */
static int gather(struct taps_connection *c, size_t bytes, struct piece *p)
{
    struct tapsi_buffer *b = tapsi_buffer_new(&c->context->loop.mem, bytes ? bytes : 1);
    if (!b)
        return TAPS_E_MEMORY;
    *p = (struct piece){.data = b->data, .owner = b};
    do {
        struct piece part;
        take_from_first(c, bytes - p->length, &part);
        memcpy(b->data + p->length, part.data, part.length);
        p->length += part.length;
        p->flags |= part.flags;
        tapsi_buffer_unref(part.owner);
    } while (c->held_count && p->length < bytes && !(p->flags & TAPSI_SLICE_END));
    return 0;
}

static const struct taps_message_context *context_of(struct taps_connection *c, unsigned flags)
{
    if (!c->received_context) {
        c->received_context = tapsi_alloc(&c->context->loop.mem, sizeof(*c->received_context));
        if (!c->received_context)
            return NULL;
        tapsi_message_context_init(c->received_context, NULL);
    }
    c->received_context->received = TAPSI_RECEIVED | (flags & TAPSI_SLICE_EARLY ? TAPSI_RECEIVED_EARLY : 0u);
    return c->received_context;
}

static void deliver(struct taps_connection *c, const struct piece *p, void *tag)
{
    struct taps_received message = {.data = p->data,
                                    .length = p->length,
                                    .tag = tag,
                                    .context = context_of(c, p->flags),
                                    .end_of_message = p->flags & TAPSI_SLICE_END,
                                    .final = p->flags & TAPSI_SLICE_FINAL,
                                    .early = p->flags & TAPSI_SLICE_EARLY};
    bool whole = message.end_of_message && !c->in_message;
    c->in_message = !message.end_of_message;
    c->end_delivered = message.final;
    if (!c->events)
        return;
    if (whole && c->events->received)
        c->events->received(c, &message, c->user);
    else if (c->events->received_partial)
        c->events->received_partial(c, &message, c->user);
}

static size_t want_of(const struct taps_connection *c, const struct tapsi_receive *r, size_t bytes)
{
    size_t min = r->min == SIZE_MAX ? (is_stream(c) ? 1 : bytes) : r->min;
    if (min > r->max)
        min = r->max;
    return min < bytes ? min : bytes;
}

static bool tell_closed_direction(struct taps_connection *c)
{
    struct taps_error error = {.code = TAPS_E_CLOSED,
                               .reason = taps_err_reason(TAPS_E_CLOSED),
                               .detail = "the final Message was received: nothing follows"};
    return tapsi_connection_fail_receive(c, &error);
}

/* The piece that answers the first Receive. */
static void take(struct taps_connection *c, size_t bytes, struct piece *ret)
{
    size_t max = c->receives->max;
    const struct tapsi_held *first = held_at(c, 0);
    bool enough = first->length == bytes || first->length >= want_of(c, c->receives, bytes);
    if (enough || gather(c, bytes < max ? bytes : max, ret))
        take_from_first(c, max, ret); /* without memory less than asked for is allowed; nothing is lost */
}

bool tapsi_connection_tell_receive(struct taps_connection *c)
{
    struct piece p;
    bool end;
    if (!c->receives || c->state == TAPS_ESTABLISHING)
        return false;
    if (c->end_delivered)
        return tell_closed_direction(c);
    if (!c->held_count)
        return false;
    size_t bytes = available(c, &end);
    if (!satisfied(c, c->receives, bytes, end))
        return false;
    take(c, bytes, &p);
    struct tapsi_receive r = pop_receive(c);
    deliver(c, &p, r.tag);
    tapsi_buffer_unref(p.owner);
    if (c->freed)
        return true;
    if (c->top)
        tapsi_connection_open_window(c);
    if (c->held_count)
        copy_small_rest(c);
    return true;
}

bool tapsi_connection_fail_receive(struct taps_connection *c, const struct taps_error *error)
{
    if (!c->receives)
        return false;
    struct tapsi_receive r = pop_receive(c);
    if (c->events && c->events->receive_error)
        c->events->receive_error(c, r.tag, error, c->user);
    return true;
}

/* -------------------------------------------------------------------------------------------------- asking */

static struct tapsi_receive *new_receive(struct taps_connection *c)
{
    if (c->first_receive_used)
        return tapsi_alloc(&c->context->loop.mem, sizeof(struct tapsi_receive));
    c->first_receive_used = true;
    return &c->first_receive;
}

int tapsi_connection_receive(struct taps_connection *c, size_t min, size_t max, void *tag)
{
    if (c->properties->values[TAPS_DIRECTION].enumeration == TAPS_UNIDIRECTIONAL_SEND)
        return TAPS_E_NOT_APPLICABLE;
    if (c->end_delivered || c->closing || c->state >= TAPS_CLOSING || (c->pending_end && !c->held_bytes))
        return TAPS_E_CLOSED;
    struct tapsi_receive *r = new_receive(c);
    if (!r)
        return TAPS_E_MEMORY;
    *r = (struct tapsi_receive){.min = min, .max = max, .tag = tag};
    *c->receives_end = r;
    c->receives_end = &r->next;
    if (min != SIZE_MAX && min > c->window)
        c->window = min < WINDOW_MAX ? min : WINDOW_MAX;
    tapsi_connection_open_window(c);
    if (tapsi_connection_can_deliver(c))
        tapsi_connection_post(c);
    return 0;
}

void tapsi_connection_drop_received(struct taps_connection *c)
{
    while (c->held_count)
        drop_first(c);
}

void tapsi_connection_receive_done(struct taps_connection *c)
{
    tapsi_connection_drop_received(c);
    while (c->receives)
        pop_receive(c);
    tapsi_free(&c->context->loop.mem, c->held);
    tapsi_free(&c->context->loop.mem, c->received_context);
}
