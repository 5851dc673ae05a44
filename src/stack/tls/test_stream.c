#include "stack/tls/test_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

static const struct tapsi_layer_ops ops;

static struct tapsi_test_stream *of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct tapsi_test_stream, layer);
}

struct tapsi_test_stream *tapsi_test_stream_new(struct tapsi_env *env, enum tapsi_role role, bool accepted)
{
    struct tapsi_test_stream *s = tapsi_zalloc(&env->loop->mem, sizeof(*s));
    if (!s)
        return NULL;
    tapsi_layer_init(&s->layer, &ops, env, NULL);
    s->layer.role = (uint8_t)role;
    s->cut_after = s->flip_at = UINT64_MAX;
    if (accepted)
        tapsi_layer_set_state(&s->layer, TAPSI_LAYER_READY);
    return s;
}

void tapsi_test_stream_join(struct tapsi_test_stream *a, struct tapsi_test_stream *b)
{
    a->peer = b;
    b->peer = a;
}

/* ------------------------------------------------------------------------------------------------ arriving */

static bool make_room(struct tapsi_test_stream *s, size_t count)
{
    if (s->begin == s->end)
        s->begin = s->end = 0;
    if (s->end + count <= s->capacity)
        return true;
    size_t capacity = (s->end + count) * 2;
    uint8_t *bytes = tapsi_resize(&s->layer.env->loop->mem, s->bytes, capacity);
    if (!bytes)
        return false;
    s->bytes = bytes;
    s->capacity = capacity;
    return true;
}

static void record(struct tapsi_test_stream *s, const void *bytes, size_t count)
{
    s->record = realloc(s->record, s->record_length + count);
    if (!s->record)
        abort();
    memcpy(s->record + s->record_length, bytes, count);
    s->record_length += count;
    if (!s->record_first)
        s->record_first = count;
}

void tapsi_test_stream_arrive(struct tapsi_test_stream *s, const void *bytes, size_t count)
{
    if (!count || s->ended)
        return;
    tapsi_layer_dirty(&s->layer);
    if (!make_room(s, count)) {
        s->ended = true; /* as good a fault as any */
        return;
    }
    memcpy(s->bytes + s->end, bytes, count);
    s->end += count;
    if (s->records)
        record(s, bytes, count);
}

void tapsi_test_stream_end(struct tapsi_test_stream *s)
{
    s->ended = true;
    tapsi_layer_dirty(&s->layer);
}

void tapsi_test_stream_reset(struct tapsi_test_stream *s)
{
    struct tapsi_error error;
    tapsi_error_native(&error, TAPS_E_ABORTED, TAPS_DOMAIN_ERRNO, ECONNRESET, "connection reset");
    tapsi_layer_fail_queue(&s->layer, TAPS_E_ABORTED);
    tapsi_layer_closed(&s->layer, &error);
}

static bool deliver_some(struct tapsi_test_stream *s)
{
    struct tapsi_layer *layer = &s->layer;
    size_t length = s->end - s->begin;
    if (s->slice_max && length > s->slice_max)
        length = s->slice_max;
    if (length > layer->want)
        length = layer->want;
    if (length > TAPSI_READ_SIZE)
        length = TAPSI_READ_SIZE;
    struct tapsi_buffer *b = tapsi_loop_read_buffer(layer->env->loop, length);
    if (!b) {
        tapsi_test_stream_reset(s);
        return false;
    }
    struct tapsi_slice slice = {.data = b->data + b->used, .length = length, .buffer = b, .ecn = -1};
    memcpy(b->data + b->used, s->bytes + s->begin, length);
    b->used += (uint32_t)length;
    s->begin += length;
    s->delivered += length;
    tapsi_layer_deliver(layer, &slice);
    return !layer->dead && layer->state != TAPSI_LAYER_CLOSED;
}

static void deliver_all(struct tapsi_test_stream *s)
{
    struct tapsi_layer *layer = &s->layer;
    while (layer->want && s->begin < s->end) {
        if (!deliver_some(s))
            return;
    }
    if (s->ended && !s->end_told && s->begin == s->end && layer->want) {
        s->end_told = true;
        tapsi_layer_deliver(layer, &(struct tapsi_slice){.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1});
    }
}

/* ------------------------------------------------------------------------------------------------- sending */

static void carry(struct tapsi_test_stream *s, const uint8_t *bytes, size_t count)
{
    uint64_t first = s->sent;
    s->sent += count;
    if (!s->peer)
        return;
    if (first + count > s->cut_after) {
        size_t part = first < s->cut_after ? (size_t)(s->cut_after - first) : 0;
        tapsi_test_stream_arrive(s->peer, bytes, part);
        tapsi_test_stream_end(s->peer);
        return;
    }
    size_t before = s->peer->end - s->peer->begin;
    tapsi_test_stream_arrive(s->peer, bytes, count);
    if (s->flip_at >= first && s->flip_at < first + count && s->peer->end - s->peer->begin == before + count)
        s->peer->bytes[s->peer->end - count + (size_t)(s->flip_at - first)] ^= 0x55;
}

static void send_some(struct tapsi_test_stream *s)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&s->layer.queue)) && !s->layer.dead) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        struct iovec iov[TAPSI_OP_PIECES];
        if (s->held_max && s->peer && s->peer->end - s->peer->begin > s->held_max)
            return;
        unsigned count = tapsi_op_iovec(op, iov, TAPSI_OP_PIECES);
        for (unsigned i = 0; i < count; i++)
            carry(s, iov[i].iov_base, iov[i].iov_len);
        op->taken = op->length;
        s->layer.queued -= op->length;
        s->ops++;
        if ((op->flags & TAPSI_OP_FINAL) && s->peer)
            tapsi_test_stream_end(s->peer);
        tapsi_op_finish(op, 0);
    }
}

static void flush(struct tapsi_layer *layer)
{
    struct tapsi_test_stream *s = of(layer);
    if (layer->state == TAPSI_LAYER_CLOSED)
        return;
    if (layer->state == TAPSI_LAYER_STARTING) {
        struct tapsi_error error;
        if (s->start_error)
            tapsi_layer_closed(layer, (tapsi_error_set(&error, s->start_error, "connecting failed"), &error));
        else
            tapsi_layer_ready(layer, &(struct tapsi_ready_info){0});
        return;
    }
    send_some(s);
    if (!layer->dead && layer->state == TAPSI_LAYER_READY)
        deliver_all(s);
    if (!layer->dead && layer->state == TAPSI_LAYER_CLOSING && tapsi_list_empty(&layer->queue)) {
        if (s->peer)
            tapsi_test_stream_end(s->peer);
        if (s->reset_at_close)
            tapsi_test_stream_reset(s);
        else
            tapsi_layer_closed(layer, NULL);
    }
    if (s->peer && !tapsi_list_empty(&s->peer->layer.queue) && s->end - s->begin <= s->peer->held_max)
        tapsi_layer_dirty(&s->peer->layer);
}

static int start(struct tapsi_layer *layer)
{
    tapsi_layer_dirty(layer);
    return 0;
}

static void want(struct tapsi_layer *layer)
{
    tapsi_layer_dirty(layer);
}

static int close_stream(struct tapsi_layer *layer)
{
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct tapsi_test_stream *s = of(layer);
    s->destroyed = true;
    s->destroyed_with = reason;
    if (s->peer && !s->ended && layer->state != TAPSI_LAYER_CLOSED)
        tapsi_test_stream_end(s->peer);
    if (s->peer)
        s->peer->peer = NULL;
}

static void free_stream(struct tapsi_layer *layer)
{
    struct tapsi_mem *mem = &layer->env->loop->mem;
    tapsi_free(mem, of(layer)->bytes);
    free(of(layer)->record);
    tapsi_free(mem, of(layer));
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    const struct tapsi_test_stream *peer = of(layer)->peer;
    if (what != TAPSI_GET_UNSENT && what != TAPSI_GET_UNACKED)
        return TAPSI_PASS;
    size_t under_way = peer ? peer->end - peer->begin : 0;
    ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER};
    ret->value.integer = what == TAPSI_GET_UNSENT ? layer->queued : under_way;
    return TAPSI_HANDLED;
}

static const struct tapsi_layer_ops ops = {
    .start = start,
    .send = tapsi_layer_enqueue,
    .want = want,
    .flush = flush,
    .close = close_stream,
    .destroy = destroy,
    .free = free_stream,
    .get = get,
};

/* ---------------------------------------------------------------------------------------------- the loop */

static void destroy_platform(struct tapsi_platform *p)
{
    tapsi_free(p->mem, p);
}

static uint64_t now(struct tapsi_platform *p)
{
    (void)p;
    return TAPSI_S;
}

static int wait_for_nothing(struct tapsi_platform *p, uint64_t deadline, struct tapsi_ready *ready, int max)
{
    (void)p;
    (void)deadline;
    (void)ready;
    (void)max;
    return 0;
}

static void wake(struct tapsi_platform *p)
{
    (void)p;
}

static const struct tapsi_platform_ops platform_ops = {
    .name = "none", .destroy = destroy_platform, .now = now, .wait = wait_for_nothing, .wake = wake};

int tapsi_test_loop_init(struct tapsi_loop *loop, const struct tapsi_mem *mem)
{
    static struct tapsi_mem heap;
    tapsi_mem_init(&heap, NULL);
    struct tapsi_platform *p = tapsi_zalloc(&heap, sizeof(*p));
    if (!p)
        return TAPS_E_MEMORY;
    *p = (struct tapsi_platform){&platform_ops, &heap};
    int err = tapsi_loop_init(loop, mem, p);
    if (err)
        destroy_platform(p);
    return err;
}

void tapsi_test_loop_run(struct tapsi_loop *loop)
{
    do {
        tapsi_loop_turn(loop, 0);
    } while (loop->dirty_levels || !tapsi_list_empty(&loop->posted));
}
