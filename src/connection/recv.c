/*
 * Receiving. What the stack delivers is held, at most `window` bytes of it, until a Receive asks; each Receive is
 * answered by exactly one event. The window is opened by the first Receive and granted again at half, so that a stream
 * is not read byte by byte; nobody asking closes it, and the peer's sender is held up (API-121).
 *
 * What a peer can make it hold: `window` bytes, which is more than TAPSI_WINDOW only while the first Receive waits for
 * more; for a whole Message it doubles as that comes, up to TAPS_WHOLE_MAX.
 */
#include <string.h>
#include "connection/inbox.h"

#define WINDOW_MAX ((uint32_t)1024 * 1024) /* a larger minIncompleteLength is answered with this much */

static unsigned received_of(unsigned held_flags)
{
    unsigned early = held_flags & TAPSI_SLICE_EARLY ? TAPSI_RECEIVED_EARLY : 0u;
    return TAPSI_RECEIVED | TAPSI_RECEIVED_HERE | early |
           (held_flags & TAPSI_HELD_ECNS) / TAPSI_HELD_ECN * TAPSI_RECEIVED_ECN;
}

/* -------------------------------------------------------------------------------------------------- credit */

/* What the first Receive waits for. */
static uint32_t awaited(const struct taps_connection *c)
{
    const struct tapsi_receive *r = c->receives;
    if (!r)
        return 0;
    uint32_t min = r->min == TAPSI_WHOLE && c->is_stream ? 1 : r->min; /* of a whole Message: all there is room for */
    if (min > r->max)
        min = r->max;
    return min < c->window ? min : c->window;
}

static bool awaits_whole(const struct taps_connection *c)
{
    return c->receives && c->receives->min == TAPSI_WHOLE && !c->is_stream;
}

/* As wide as the first Receive needs it. */
static void fit_window(struct taps_connection *c)
{
    const struct tapsi_receive *r = c->receives;
    uint32_t min = r && r->min != TAPSI_WHOLE ? r->min : 0;
    c->window = min <= TAPSI_WINDOW ? TAPSI_WINDOW : min < WINDOW_MAX ? min : WINDOW_MAX;
    if (c->top && !c->closing && c->top->want > c->window)
        tapsi_layer_want(c->top, c->window);
}

/* The window is full, and the Message that is waited for has not ended. */
static void stretch_window(struct taps_connection *c)
{
    if (!awaits_whole(c) || c->held_bytes < c->window || c->window >= TAPS_WHOLE_MAX)
        return;
    c->window = c->window < TAPS_WHOLE_MAX / 2 ? 2 * c->window : (uint32_t)TAPS_WHOLE_MAX;
    tapsi_connection_open_window(c);
}

/* While it is open it is kept open as far as there is room, so that what is read is not cut in pieces by credit that
   runs out. Once shut it opens at half, or when what is held and granted would never answer the first Receive. */
void tapsi_connection_open_window(struct taps_connection *c)
{
    if (!c->top || c->closing || c->held_bytes >= c->window)
        return;
    uint32_t room = c->window - c->held_bytes;
    size_t want = c->top->want;
    if (want < room && (want || room >= c->window / 2 || c->held_bytes + want < awaited(c)))
        tapsi_layer_want(c->top, room);
}

/* ------------------------------------------------------------------------------------------------- matching */

/* How much of one Message is here: bytes up to its end, or all. */
static size_t available(const struct tapsi_inbox *in, bool *ret_end)
{
    size_t bytes = 0;
    *ret_end = false;
    for (uint32_t i = 0; i < in->count && !*ret_end; i++) {
        const struct tapsi_held *held = tapsi_inbox_at(in, i);
        bytes += held->length;
        *ret_end = held->flags & TAPSI_SLICE_END;
    }
    return bytes;
}

static bool satisfied(const struct taps_connection *c, const struct tapsi_receive *r, size_t bytes, bool end)
{
    uint32_t min = r->min;
    if (end)
        return true;
    uint32_t most = min == TAPSI_WHOLE ? (uint32_t)TAPS_WHOLE_MAX : c->window;
    if (min == TAPSI_WHOLE && c->is_stream)
        min = 1; /* it is one endless Message: what has come is what there is */
    if (min > r->max)
        min = r->max;
    if (min > most)
        min = most;
    return bytes >= (min ? min : 1);
}

bool tapsi_connection_can_deliver(const struct taps_connection *c)
{
    bool end;
    if (!c->receives || c->state == TAPS_ESTABLISHING)
        return false;
    if (c->end_delivered)
        return true;
    if (!c->in)
        return false;
    size_t bytes = available(c->in, &end);
    return satisfied(c, c->receives, bytes, end);
}

/* ------------------------------------------------------------------------------------------------ delivering */

static void free_receive(struct taps_connection *c, struct tapsi_receive *r)
{
    if (r == &c->first_receive)
        c->first_receive_used = false;
    else
        tapsi_pool_put(&c->context->receives, r);
}

/* Its tag. */
static void *pop_receive(struct taps_connection *c)
{
    struct tapsi_receive *r = c->receives;
    void *tag = r->tag;
    c->receives = r->next;
    free_receive(c, r);
    if (c->window != TAPSI_WINDOW || (c->receives && c->receives->min > TAPSI_WINDOW))
        fit_window(c);
    return tag;
}

/* One contiguous piece of at most `max` bytes from the front; `owner` keeps it alive until it was told. */
struct piece {
    const uint8_t *data;
    size_t length;
    struct tapsi_buffer *owner;
    unsigned flags;
    struct tapsi_meta *meta; /* a reference, or NULL */
    uint64_t arrived;        /* ns; 0: in this turn */
};

static void take_from_first(struct taps_connection *c, size_t max, struct piece *p)
{
    struct tapsi_held *first = tapsi_inbox_at(c->in, 0);
    *p = (struct piece){first->data, first->length, first->buffer, first->flags, first->meta, first->arrived};
    first->meta = NULL;
    if (first->length <= max) {
        tapsi_inbox_remove_first(c);
        return;
    }
    p->length = max;
    p->flags = first->flags & (TAPSI_SLICE_EARLY | TAPSI_HELD_ECNS);
    tapsi_buffer_ref(p->owner);
    first->data += max;
    first->length -= max;
    c->held_bytes -= (uint32_t)max;
}

/* Takes the reference: what comes later says all that came before, too. */
static void replace_meta(struct tapsi_meta **meta, struct tapsi_meta *later)
{
    if (!later)
        return;
    tapsi_meta_unref(*meta);
    *meta = later;
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
        if (part.length)
            memcpy(b->data + p->length, part.data, part.length);
        p->arrived = p->arrived ? p->arrived : part.arrived;
        p->length += part.length;
        p->flags |= part.flags;
        replace_meta(&p->meta, part.meta);
        tapsi_buffer_unref(part.owner);
    } while (c->in && p->length < bytes && !(p->flags & TAPSI_SLICE_END));
    return 0;
}

/* Takes the reference of the metadata. */
static void deliver(struct taps_connection *c, const struct piece *p, void *tag)
{
    if (p->meta || (c->received.meta && !c->in_message)) {
        tapsi_meta_unref(c->received.meta);
        c->received.meta = p->meta;
    }
    struct taps_received message = {.data = p->data,
                                    .length = p->length,
                                    .tag = tag,
                                    .context = tapsi_received_context(&c->received),
                                    .end_of_message = p->flags & TAPSI_SLICE_END,
                                    .final = p->flags & TAPSI_SLICE_FINAL,
                                    .early = p->flags & TAPSI_SLICE_EARLY,
                                    .held = p->owner};
    bool whole = message.end_of_message && !c->in_message;
    c->received.received = received_of(p->flags);
    c->received.arrived = p->arrived;
    c->in_message = !message.end_of_message;
    c->end_delivered = message.final;
    if (c->logs)
        tapsi_connection_log_received(c, &message);
    if (!c->events)
        return;
    if (whole && c->events->received)
        c->events->received(c, &message, c->user);
    else if (c->events->received_partial)
        c->events->received_partial(c, &message, c->user);
}

static size_t want_of(const struct taps_connection *c, const struct tapsi_receive *r, size_t bytes)
{
    size_t min = r->min == TAPSI_WHOLE ? (c->is_stream ? 1 : bytes) : r->min;
    if (min > r->max)
        min = r->max;
    return min < bytes ? min : bytes;
}

/* What a Framer has said of the end, in the words of its protocol, or NULL. */
static const char *words_of_end(const struct tapsi_meta *meta)
{
    const char *space, *key, *value;
    for (size_t i = 0; tapsi_meta_at(meta, NULL, i, &space, &key, &value); i++) {
        if (strcmp(key, "the end") == 0)
            return value;
    }
    return NULL;
}

static bool tell_closed_direction(struct taps_connection *c)
{
    struct tapsi_error error;
    const char *words = words_of_end(c->received.meta);
    tapsi_error_set(&error, TAPS_E_CLOSED, "the final Message was received: nothing follows%s%s", words ? "; " : "",
                    words ? words : "");
    return tapsi_connection_fail_receive(c, &error.pub);
}

/* An end that came without bytes of its own goes with those before it. */
static void take_bare_end(struct taps_connection *c, struct piece *p)
{
    struct piece bare;
    if (!c->in || p->flags & TAPSI_SLICE_END || tapsi_inbox_at(c->in, 0)->length)
        return;
    take_from_first(c, 0, &bare);
    p->flags |= bare.flags & (TAPSI_SLICE_END | TAPSI_SLICE_FINAL);
    replace_meta(&p->meta, bare.meta);
    tapsi_buffer_unref(bare.owner);
}

/* The piece that answers the first Receive. */
static void take(struct taps_connection *c, size_t bytes, size_t max, struct piece *ret)
{
    const struct tapsi_held *first = tapsi_inbox_at(c->in, 0);
    bool enough = first->length == bytes || first->length >= want_of(c, c->receives, bytes);
    if (enough || gather(c, bytes < max ? bytes : max, ret))
        take_from_first(c, max, ret); /* without memory less than asked for is allowed; nothing is lost */
    take_bare_end(c, ret);
}

/* How much of it answers the first Receive: with a bound on the rate a stream comes in small pieces. */
static size_t portion(const struct taps_connection *c, size_t bytes)
{
    const struct tapsi_receive *r = c->receives;
    size_t least = want_of(c, r, bytes), portion = r->max;
    if (c->bounds_receive && c->is_stream && portion > tapsi_rates_portion(c))
        portion = tapsi_rates_portion(c) > least ? tapsi_rates_portion(c) : least;
    return portion;
}

bool tapsi_connection_tell_receive(struct taps_connection *c)
{
    struct piece p;
    bool end;
    if (!c->receives || c->state == TAPS_ESTABLISHING)
        return false;
    if (c->end_delivered)
        return tell_closed_direction(c);
    if (!c->in)
        return false;
    size_t bytes = available(c->in, &end);
    if (!satisfied(c, c->receives, bytes, end)) {
        stretch_window(c);
        return false;
    }
    size_t max = portion(c, bytes);
    if (c->bounds_receive && !tapsi_rates_may_receive(c, bytes < max ? bytes : max))
        return false;
    take(c, bytes, max, &p);
    if (c->bounds_receive)
        tapsi_rates_received(c, p.length);
    deliver(c, &p, pop_receive(c));
    tapsi_buffer_unref(p.owner);
    if (c->freed)
        return true;
    tapsi_connection_open_window(c);
    if (c->in)
        tapsi_inbox_copy_small_rest(c);
    return true;
}

bool tapsi_connection_fail_receive(struct taps_connection *c, const struct taps_error *error)
{
    if (!c->receives)
        return false;
    void *tag = pop_receive(c);
    if (c->logs)
        tapsi_connection_log_error(c, "receive-error", error);
    if (c->events && c->events->receive_error)
        c->events->receive_error(c, tag, error, c->user);
    return true;
}

/* ------------------------------------------------------------------------------------------------- arriving */

/* The ordinary case: a Receive waits, nothing else is to be told, and nothing follows at once that would go with these
   bytes. A bottom layer calls up outside of any call of the application's, so they can be delivered as they come,
   without a dispatch. Layers above others are left out: they are in the middle of more. */
static bool may_tell_at_once(const struct taps_connection *c, const struct tapsi_slice *slice)
{
    return c->receives && slice->length && !(slice->flags & TAPSI_SLICE_MORE) && !tapsi_link_on_list(&c->task.link) &&
           c->state == TAPS_ESTABLISHED && !c->waits && !c->bounds_receive && (!c->top->below || c->top->prompt);
}

/* Without being held: the first Receive takes all of it. */
static bool tell_unheld(struct taps_connection *c, const struct tapsi_slice *slice)
{
    const struct tapsi_receive *r = c->receives;
    if (c->in || slice->length > r->max || !satisfied(c, r, slice->length, slice->flags & TAPSI_SLICE_END))
        return false;
    struct piece p = {
        slice->data, slice->length, slice->buffer, tapsi_held_flags(slice), tapsi_meta_ref(slice->meta), 0};
    deliver(c, &p, pop_receive(c));
    if (!c->freed)
        tapsi_connection_open_window(c);
    return true;
}

/* A Message that is cut by the end of a read is held until its rest comes, and does not make those behind it wait. */
static void tell_held(struct taps_connection *c)
{
    tapsi_connection_tell_receive(c);
    if (!c->freed && tapsi_connection_can_deliver(c))
        tapsi_connection_post(c);
}

void tapsi_connection_data(struct taps_connection *c, const struct tapsi_slice *slice)
{
    if (c->closing || c->pending_end)
        return;
    if (slice->flags & TAPSI_SLICE_FINAL)
        c->final_received = true;
    bool at_once = may_tell_at_once(c, slice);
    if (at_once && tell_unheld(c, slice))
        return;
    at_once = at_once && c->framed && !(slice->flags & TAPSI_SLICE_FINAL);
    if (!at_once)
        tapsi_connection_post(c);
    int err = tapsi_inbox_hold(c, slice);
    if (err) {
        struct tapsi_error error;
        tapsi_error_set(&error, err, "no memory to hold what was received");
        tapsi_connection_end(c, &error, err);
    } else if (at_once) {
        tell_held(c);
    }
}

/* -------------------------------------------------------------------------------------------------- asking */

static struct tapsi_receive *new_receive(struct taps_connection *c)
{
    if (c->first_receive_used)
        return tapsi_pool_get(&c->context->receives);
    c->first_receive_used = true;
    return &c->first_receive;
}

static uint32_t at_most(size_t length, uint32_t most)
{
    return length < most ? (uint32_t)length : most;
}

int tapsi_connection_receive(struct taps_connection *c, size_t min, size_t max, void *tag)
{
    if (c->receives_nothing)
        return TAPS_E_NOT_APPLICABLE;
    if (c->end_delivered || c->closing || c->state >= TAPS_CLOSING || (c->pending_end && !c->held_bytes))
        return TAPS_E_CLOSED;
    struct tapsi_receive *r = new_receive(c);
    if (!r)
        return TAPS_E_MEMORY;
    r->next = NULL;
    r->tag = tag;
    r->min = min == SIZE_MAX ? TAPSI_WHOLE : at_most(min, TAPSI_WHOLE - 1);
    r->max = at_most(max, UINT32_MAX);
    if (c->receives)
        c->last_receive->next = r;
    else
        c->receives = r;
    c->last_receive = r;
    if (r == c->receives && r->min > TAPSI_WINDOW)
        fit_window(c);
    tapsi_connection_open_window(c);
    if ((c->in || c->end_delivered) && tapsi_connection_can_deliver(c))
        tapsi_connection_post(c);
    return 0;
}

void tapsi_connection_drop_received(struct taps_connection *c)
{
    while (c->in) {
        struct tapsi_buffer *buffer = tapsi_inbox_at(c->in, 0)->buffer;
        tapsi_meta_unref(tapsi_inbox_at(c->in, 0)->meta);
        tapsi_inbox_remove_first(c);
        tapsi_buffer_unref(buffer);
    }
}

void tapsi_connection_receive_done(struct taps_connection *c)
{
    tapsi_connection_drop_received(c);
    tapsi_meta_unref(c->received.meta);
    c->received.meta = NULL;
    while (c->receives)
        pop_receive(c);
}
