/*
 * RFC 4571: Messages of up to 65535 bytes over any stream, each behind its length in two bytes. DNS over TCP and over
 * TLS (RFC 7766, RFC 7858) is framed the same way.
 *
 * This is the example of docs/adding-a-protocol.md: a whole protocol, as small as one can be. It is built only with
 * -Drfc4571=true, since both ends must have agreed on it.
 *
 * NEW -start-> STARTING -below is ready-> READY -close-> CLOSING -> CLOSED. Down, an op gets its length in front and
 * goes on to the stream. Up, the bytes of a Message are passed on as they come, without a copy; the last piece is
 * marked.
 *
 * Credit is counted in bytes of Messages; the layer below may read two more, so that a head does not cost a read of
 * its own. What a peer can make this layer hold is one byte: half a head.
 */
#include "stack/registry.h"

#define HEAD    2
#define LONGEST 65535

struct framing {
    struct tapsi_layer layer;
    struct tapsi_sink lower; /* the stream's */
    struct tapsi_ready_info info;
    struct tapsi_error error;
    uint8_t head[HEAD];
    size_t head_length; /* bytes of it that have come */
    size_t rest;        /* bytes of the Message still to come, once its head is complete */
    bool final_taken;
};

static struct framing *framing_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct framing, layer);
}

/* ------------------------------------------------------------------------------------------------------ up */

static void deliver(struct framing *f, const struct tapsi_slice *from, const uint8_t *data, size_t length)
{
    struct tapsi_slice piece = *from;
    piece.data = data;
    piece.length = length;
    piece.flags = (from->flags & TAPSI_SLICE_EARLY) | (f->rest ? 0 : TAPSI_SLICE_END);
    if (!f->rest)
        f->head_length = 0;
    tapsi_layer_deliver(&f->layer, &piece);
}

/* One byte of a head, or as much of a Message as there is: returns what is left. */
static const uint8_t *take(struct framing *f, const struct tapsi_slice *slice, const uint8_t *at, const uint8_t *end)
{
    if (f->head_length < HEAD) {
        f->head[f->head_length++] = *at++;
        if (f->head_length < HEAD)
            return at;
        f->rest = (size_t)f->head[0] << 8 | f->head[1];
        if (!f->rest)
            deliver(f, slice, at, 0);
        return at;
    }
    size_t length = (size_t)(end - at) < f->rest ? (size_t)(end - at) : f->rest;
    f->rest -= length;
    deliver(f, slice, at, length);
    return at + length;
}

static void grant(struct framing *f)
{
    size_t want = f->layer.want ? f->layer.want + HEAD : 0;
    if (f->layer.below->want != want)
        tapsi_layer_want(f->layer.below, want);
}

/* The peer's end between two Messages is an end; within one it is a Message that will never be complete. */
static void end(struct framing *f)
{
    if (f->head_length == 0 || f->layer.drains) {
        struct tapsi_slice last = {.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1};
        tapsi_layer_deliver(&f->layer, &last);
        return;
    }
    tapsi_error_set(&f->error, TAPS_E_TRUNCATED, "the peer ended in the middle of a Message");
    tapsi_layer_closed(&f->layer, &f->error);
}

static void below_ready(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_ready_info *info)
{
    (void)below;
    tapsi_layer_ready(&TAPSI_CONTAINER(sink, struct framing, lower)->layer, info);
}

static void below_data(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_slice *slice)
{
    (void)below;
    struct framing *f = TAPSI_CONTAINER(sink, struct framing, lower);
    const uint8_t *at = slice->data, *stop = slice->length ? at + slice->length : at;
    while (at < stop && !f->layer.dead)
        at = take(f, slice, at, stop);
    if (slice->flags & TAPSI_SLICE_FINAL)
        end(f);
    if (!f->layer.dead && f->layer.state != TAPSI_LAYER_CLOSED)
        grant(f);
}

static void below_closed(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_error *error)
{
    (void)below;
    tapsi_layer_closed(&TAPSI_CONTAINER(sink, struct framing, lower)->layer, error);
}

static void below_event(struct tapsi_sink *sink, struct tapsi_layer *below, enum tapsi_event event, const void *value)
{
    (void)below;
    tapsi_layer_event(&TAPSI_CONTAINER(sink, struct framing, lower)->layer, event, value);
}

static void below_child(struct tapsi_sink *sink, struct tapsi_layer *below, struct tapsi_layer *child)
{
    (void)below;
    tapsi_layer_child(&TAPSI_CONTAINER(sink, struct framing, lower)->layer, child);
}

static const struct tapsi_sink_ops lower_ops = {
    .ready = below_ready, .data = below_data, .closed = below_closed, .event = below_event, .child = below_child};

/* ---------------------------------------------------------------------------------------------------- down */

/* A stream that was accepted is ready already; ready is told in the flush, since nothing goes up during a call down. */
static int start(struct tapsi_layer *layer)
{
    if (layer->below->state != TAPSI_LAYER_READY)
        return tapsi_layer_start(layer->below);
    tapsi_layer_dirty(layer);
    return 0;
}

static void flush(struct tapsi_layer *layer)
{
    if (layer->state == TAPSI_LAYER_STARTING && layer->below->state == TAPSI_LAYER_READY)
        tapsi_layer_ready(layer, &framing_of(layer)->info);
}

static int send_op(struct tapsi_layer *layer, struct tapsi_op *op)
{
    struct framing *f = framing_of(layer);
    if (f->final_taken || layer->state != TAPSI_LAYER_READY)
        return TAPS_E_CLOSED;
    const uint8_t head[HEAD] = {(uint8_t)(op->length >> 8), (uint8_t)op->length};
    tapsi_op_prepend(op, head, HEAD);
    f->final_taken = op->flags & TAPSI_OP_FINAL;
    return tapsi_layer_send(layer->below, op);
}

static void want(struct tapsi_layer *layer)
{
    grant(framing_of(layer));
}

static int close_framing(struct tapsi_layer *layer)
{
    int err = tapsi_layer_close(layer->below);
    if (!err)
        tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    return err;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    (void)layer;
    (void)reason; /* the stream below is told by its own destroy */
}

static void free_framing(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, framing_of(layer));
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    (void)layer;
    if (what != TAPS_SEND_MSG_MAX_LEN && what != TAPS_RECV_MSG_MAX_LEN)
        return TAPSI_PASS;
    ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = LONGEST};
    return TAPSI_HANDLED;
}

static const struct tapsi_layer_ops layer_ops = {
    .start = start,
    .send = send_op,
    .want = want,
    .flush = flush,
    .close = close_framing,
    .destroy = destroy,
    .free = free_framing,
    .get = get,
};

static int make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    (void)target;
    struct framing *f = tapsi_zalloc(&env->loop->mem, sizeof(*f));
    if (!f)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a framed connection");
    tapsi_layer_init(&f->layer, &layer_ops, env, below);
    f->layer.role = (uint8_t)role;
    f->layer.max_message = LONGEST;
    f->lower.ops = &lower_ops;
    below->up = &f->lower;
    *ret = &f->layer;
    return 0;
}

const struct tapsi_proto tapsi_proto_rfc4571 = {
    .name = "rfc4571",
    .needs = TAPSI_NEEDS_STREAM,
    .offers = TAPSI_OFFERS_MESSAGE,
    .make = make,
};
