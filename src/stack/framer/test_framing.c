#include "stack/framer/test_framing.h"

#include <stdlib.h>
#include <string.h>
#include "base/test.h"

#define CREDIT ((size_t)1 << 40)

/* ---------------------------------------------------------------------------------------------------- the wire */

struct wire {
    struct tapsi_layer layer;
    struct test_framing *t;
    bool datagram, closing;
};

static struct wire *wire_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct wire, layer);
}

static int wire_start(struct tapsi_layer *layer)
{
    tapsi_layer_dirty(layer);
    return 0;
}

static void write_out(struct test_framing *t, const struct tapsi_op *op)
{
    if (t->out_length + op->length > t->out_capacity) {
        t->out_capacity = (t->out_length + op->length) * 2;
        t->out = realloc(t->out, t->out_capacity);
    }
    for (unsigned i = 0; i < op->count; i++) {
        if (op->ranges[i].length)
            memcpy(t->out + t->out_length, op->ranges[i].data, op->ranges[i].length);
        t->out_length += op->ranges[i].length;
    }
    if (t->datagram_count < sizeof(t->datagrams) / sizeof(t->datagrams[0]))
        t->datagrams[t->datagram_count++] = op->length;
    t->final_out = t->final_out || op->flags & TAPSI_OP_FINAL;
}

static void wire_flush(struct tapsi_layer *layer)
{
    struct wire *w = wire_of(layer);
    struct tapsi_link *link;
    if (layer->state == TAPSI_LAYER_STARTING) {
        layer->role = TAPSI_ROLE_CLIENT;
        tapsi_layer_ready(layer, &(struct tapsi_ready_info){0});
    }
    while (!layer->dead && !w->t->stalled && (link = tapsi_list_first(&layer->queue))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        layer->queued -= op->length;
        write_out(w->t, op);
        tapsi_op_finish(op, 0);
    }
    if (w->closing && !layer->dead && tapsi_list_empty(&layer->queue))
        tapsi_layer_closed(layer, NULL);
}

static int wire_close(struct tapsi_layer *layer)
{
    wire_of(layer)->closing = true;
    wire_of(layer)->t->closed_below = true;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void wire_destroy(struct tapsi_layer *layer, int reason)
{
    (void)reason;
    wire_of(layer)->t->wire = NULL;
}

static void wire_free(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, wire_of(layer));
}

static const struct tapsi_layer_ops wire_ops = {
    .start = wire_start,
    .send = tapsi_layer_enqueue,
    .flush = wire_flush,
    .close = wire_close,
    .destroy = wire_destroy,
    .free = wire_free,
};

/* ------------------------------------------------------------------------------------------------ the platform */

struct platform {
    struct tapsi_platform p;
    struct test_framing *t;
};

static void destroy_platform(struct tapsi_platform *p)
{
    tapsi_free(p->mem, p);
}

static uint64_t now(struct tapsi_platform *p)
{
    return ((struct platform *)p)->t->now;
}

static int chance(struct tapsi_platform *p, void *bytes, size_t count)
{
    uint8_t *to = bytes;
    (void)p;
    for (size_t i = 0; i < count; i++)
        to[i] = (uint8_t)(0x37 + 0x1d * i);
    return 0;
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
    .name = "none", .destroy = destroy_platform, .now = now, .random = chance, .wait = wait_for_nothing, .wake = wake};

static void init_loop(struct test_framing *t)
{
    struct platform *p = tapsi_zalloc(&t->mem, sizeof(*p));
    *p = (struct platform){{&platform_ops, &t->mem}, t};
    t->now = TAPSI_S;
    CHECK_INT(tapsi_loop_init(&t->loop, &t->mem, &p->p), 0);
}

/* ---------------------------------------------------------------------------------------------------- the sink */

static void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    struct test_framing *t = TAPSI_CONTAINER(sink, struct test_framing, sink);
    (void)info;
    t->ready++;
    tapsi_layer_want(layer, CREDIT);
}

static struct test_message *open_message(struct test_framing *t)
{
    if (t->count && !t->messages[t->count - 1].complete)
        return &t->messages[t->count - 1];
    CHECK(t->count < TEST_FRAMING_MESSAGES);
    return t->count < TEST_FRAMING_MESSAGES ? &t->messages[t->count++] : &t->messages[t->count - 1];
}

static void on_data(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_slice *slice)
{
    struct test_framing *t = TAPSI_CONTAINER(sink, struct test_framing, sink);
    if (!t->stingy)
        tapsi_layer_want(layer, CREDIT);
    t->ends += (slice->flags & TAPSI_SLICE_FINAL) != 0;
    t->bytes += slice->length;
    bool bare_end =
        !slice->length && slice->flags & TAPSI_SLICE_FINAL && (!t->count || t->messages[t->count - 1].complete);
    if (bare_end && slice->meta && !t->end_meta)
        t->end_meta = tapsi_meta_ref(slice->meta);
    if (!t->keeps || bare_end)
        return;
    struct test_message *m = open_message(t);
    m->data = realloc(m->data, m->length + slice->length + 1);
    if (slice->length)
        memcpy(m->data + m->length, slice->data, slice->length);
    m->length += slice->length;
    m->data[m->length] = '\0';
    m->parts++;
    if (slice->meta) {
        tapsi_meta_unref(m->meta);
        m->meta = tapsi_meta_ref(slice->meta);
    }
    m->complete = slice->flags & TAPSI_SLICE_END;
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    struct test_framing *t = TAPSI_CONTAINER(sink, struct test_framing, sink);
    t->closed++;
    if (error)
        tapsi_error_copy(&t->error, error);
    t->top = NULL;
    tapsi_layer_destroy(layer, 0);
}

static void on_event(struct tapsi_sink *sink, struct tapsi_layer *layer, enum tapsi_event event, const void *value)
{
    struct test_framing *t = TAPSI_CONTAINER(sink, struct test_framing, sink);
    (void)layer;
    if (event != TAPSI_EVENT_SOFT_ERROR)
        return;
    t->soft_errors++;
    tapsi_error_copy(&t->error, value);
}

static const struct tapsi_sink_ops sink_ops = {
    .ready = on_ready, .data = on_data, .closed = on_closed, .event = on_event};

/* ----------------------------------------------------------------------------------------------- beginning, end */

static struct tapsi_layer *new_wire(struct test_framing *t, bool server, bool datagram)
{
    struct wire *w = tapsi_zalloc(&t->mem, sizeof(*w));
    w->t = t;
    w->datagram = datagram;
    tapsi_layer_init(&w->layer, &wire_ops, t->env, NULL);
    if (datagram) {
        w->layer.mtu = 1200;
        w->layer.max_message = 1400;
    }
    if (server) {
        w->layer.role = TAPSI_ROLE_SERVER;
        tapsi_layer_set_state(&w->layer, TAPSI_LAYER_STARTING);
        tapsi_layer_set_state(&w->layer, TAPSI_LAYER_READY);
    }
    return &w->layer;
}

static void open_at(struct test_framing *t, const taps_framer *const *framers, size_t count, bool server,
                    struct tapsi_framing_place place)
{
    union tapsi_addr remote;
    struct tapsi_error error;
    memset(t, 0, sizeof(*t));
    t->keeps = true;
    t->server = server;
    t->sink.ops = &sink_ops;
    tapsi_mem_init(&t->mem, NULL);
    init_loop(t);
    t->properties = tapsi_properties_new(&t->mem);
    t->security = tapsi_security_new(&t->mem, TAPS_SECURITY_OPPORTUNISTIC);
    t->env = tapsi_env_new(&t->loop, t->properties, t->security, NULL);
    t->top = t->wire = new_wire(t, server, place.datagram);
    tapsi_addr_parse("192.0.2.1", &remote);
    tapsi_addr_set_port(&remote, 80);
    struct tapsi_target target = {.remote = server ? NULL : &remote, .server_name = server ? NULL : "peer.example"};
    for (size_t i = 0; i < count; i++) {
        struct taps_framer *copy = tapsi_framer_copy(&t->mem, framers[i]);
        CHECK_INT(tapsi_framing_make(t->env, copy, &target, server ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT, place,
                                     t->top, &t->top, &error),
                  0);
        tapsi_framer_unref(copy);
    }
    t->top->up = &t->sink;
    CHECK_INT(tapsi_layer_start(t->top), 0);
    test_framing_turn(t);
}

void test_framing_open(struct test_framing *t, const taps_framer *const *framers, size_t count, bool server,
                       bool datagram)
{
    open_at(t, framers, count, server, (struct tapsi_framing_place){.datagram = datagram});
}

static void open_text_at(struct test_framing *t, const char *text, bool server, bool secure)
{
    taps_framer *framer;
    int err = taps_framer_new_text(text, &framer);
    CHECK_INT(err, 0);
    if (err)
        abort();
    const taps_framer *one = framer;
    open_at(t, &one, 1, server, (struct tapsi_framing_place){.secure = secure});
    taps_framer_free(framer);
}

void test_framing_open_text(struct test_framing *t, const char *text, bool server)
{
    open_text_at(t, text, server, false);
}

void test_framing_open_secure(struct test_framing *t, const char *text, bool server)
{
    open_text_at(t, text, server, true);
}

void test_framing_close(struct test_framing *t)
{
    tapsi_layer_destroy(t->top, 0);
    test_framing_turn(t);
    for (size_t i = 0; i < t->count; i++) {
        free(t->messages[i].data);
        tapsi_meta_unref(t->messages[i].meta);
    }
    tapsi_meta_unref(t->end_meta);
    free(t->out);
    tapsi_env_unref(t->env);
    tapsi_properties_unref(t->properties);
    tapsi_security_unref(t->security);
    tapsi_loop_done(&t->loop);
}

void test_framing_turn(struct test_framing *t)
{
    do {
        tapsi_loop_turn(&t->loop, 0);
    } while (t->loop.dirty_levels || !tapsi_list_empty(&t->loop.posted));
}

void test_framing_pass(struct test_framing *t, uint64_t ms)
{
    t->now += ms * TAPSI_MS;
    test_framing_turn(t);
}

/* ----------------------------------------------------------------------------------------------- bytes come */

static void arrive(struct test_framing *t, const void *bytes, size_t length, unsigned flags)
{
    if (!t->wire)
        return;
    struct tapsi_buffer *b = tapsi_buffer_new(&t->mem, length ? length : 1);
    if (length)
        memcpy(b->data, bytes, length);
    struct tapsi_slice slice = {.data = b->data, .length = length, .buffer = b, .flags = flags, .ecn = -1};
    tapsi_layer_deliver(t->wire, &slice);
    tapsi_buffer_unref(b);
    test_framing_turn(t);
}

void test_framing_feed(struct test_framing *t, const void *bytes, size_t length)
{
    bool datagram = t->wire && wire_of(t->wire)->datagram;
    arrive(t, bytes, length, datagram ? TAPSI_SLICE_END : 0);
}

void test_framing_feed_text(struct test_framing *t, const char *text)
{
    test_framing_feed(t, text, strlen(text));
}

void test_framing_feed_split(struct test_framing *t, const void *bytes, size_t length, size_t step)
{
    const uint8_t *at = bytes;
    for (size_t done = 0; done < length; done += step)
        test_framing_feed(t, at + done, length - done < step ? length - done : step);
}

void test_framing_end(struct test_framing *t)
{
    arrive(t, NULL, 0, TAPSI_SLICE_END | TAPSI_SLICE_FINAL);
}

void test_framing_reset(struct test_framing *t)
{
    struct tapsi_error error;
    tapsi_error_set(&error, TAPS_E_ABORTED, "reset");
    if (t->wire)
        tapsi_layer_closed(t->wire, &error);
    test_framing_turn(t);
}

/* ---------------------------------------------------------------------------------------------- Messages go */

static void on_done(struct tapsi_op *op, int result)
{
    struct test_framing *t = op->owner;
    t->sent += result == 0;
    t->expired += result == TAPSI_OP_EXPIRED;
    t->refused += result < 0;
    t->last_result = result;
}

int test_framing_send(struct test_framing *t, const void *data, size_t length, unsigned flags, struct tapsi_meta *meta)
{
    if (!t->top)
        return TAPS_E_CLOSED;
    struct tapsi_op *op = tapsi_op_new(&t->loop);
    op->owner = t;
    op->done = on_done;
    op->flags = (uint16_t)flags;
    op->meta = tapsi_meta_ref(meta);
    CHECK_INT(tapsi_op_copy_behind(op, data, length, t->top->head_room), 0);
    int err = tapsi_layer_send(t->top, op);
    if (err)
        tapsi_op_finish(op, err);
    test_framing_turn(t);
    return err;
}

int test_framing_send_text(struct test_framing *t, const char *text)
{
    return test_framing_send(t, text, strlen(text), TAPSI_OP_END, NULL);
}

void test_framing_shut(struct test_framing *t)
{
    if (t->top)
        CHECK_INT(tapsi_layer_close(t->top), 0);
    test_framing_turn(t);
}

void test_framing_forget(struct test_framing *t)
{
    t->out_length = 0;
    t->datagram_count = 0;
}

/* -------------------------------------------------------------------------------------------------- checks */

bool test_framing_wrote(struct test_framing *t, const void *bytes, size_t length)
{
    bool same = t->out_length == length && (!length || memcmp(t->out, bytes, length) == 0);
    test_framing_forget(t);
    return same;
}

bool test_framing_wrote_text(struct test_framing *t, const char *text)
{
    return test_framing_wrote(t, text, strlen(text));
}

bool test_framing_got(const struct test_framing *t, size_t index, const void *bytes, size_t length)
{
    const struct test_message *m = &t->messages[index];
    return index < t->count && m->complete && m->length == length && (!length || memcmp(m->data, bytes, length) == 0);
}

bool test_framing_got_text(const struct test_framing *t, size_t index, const char *text)
{
    return test_framing_got(t, index, text, strlen(text));
}

const char *test_framing_meta(const struct test_framing *t, size_t index, const char *space, const char *key)
{
    return index < t->count ? tapsi_meta_get(t->messages[index].meta, space, key) : NULL;
}

bool test_framing_failed(const struct test_framing *t, int code)
{
    return t->closed == 1 && t->error.pub.code == code;
}
