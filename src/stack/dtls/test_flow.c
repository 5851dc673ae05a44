#include "stack/dtls/test_flow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include "stack/caches.h"
#include "stack/registry.h"

#define WINDOW     (1024 * 1024)
#define COMING_MAX 4096 /* datagrams: more would be a storm of the test's own making */

/* ------------------------------------------------------------------------------------------------ datagrams */

struct coming {
    struct tapsi_link link;
    uint64_t due;
    size_t length;
    uint8_t bytes[];
};

static const struct tapsi_layer_ops port_ops;

static struct tapsi_test_port *port_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct tapsi_test_port, layer);
}

static unsigned random_below(struct tapsi_test_flow *f, unsigned limit)
{
    f->random = f->random * 1664525u + 1013904223u;
    return limit ? (f->random >> 8) % limit : 0;
}

static void port_timer(struct tapsi_timer *timer)
{
    tapsi_layer_dirty(&TAPSI_CONTAINER(timer, struct tapsi_test_port, timer)->layer);
}

static struct coming *first_coming(struct tapsi_test_port *p)
{
    struct tapsi_link *link = tapsi_list_first(&p->coming);
    return link ? TAPSI_CONTAINER(link, struct coming, link) : NULL;
}

/* In the order in which they are due. */
static void put(struct tapsi_test_port *p, struct coming *c)
{
    struct tapsi_link *after = p->coming.prev;
    while (after != &p->coming && TAPSI_CONTAINER(after, struct coming, link)->due > c->due)
        after = after->prev;
    c->link.prev = after;
    c->link.next = after->next;
    after->next->prev = &c->link;
    after->next = &c->link;
}

void tapsi_test_flow_arrive(struct tapsi_test_port *p, const void *bytes, size_t length, uint64_t delay)
{
    if (p->destroyed || p->coming_count >= COMING_MAX)
        return;
    struct coming *c = malloc(sizeof(*c) + length);
    if (!c)
        abort();
    c->due = tapsi_loop_now(p->layer.env->loop) + delay;
    c->length = length;
    if (length)
        memcpy(c->bytes, bytes, length);
    p->coming_count++;
    put(p, c);
    tapsi_timer_start_at(p->layer.env->loop, &p->timer, first_coming(p)->due);
}

static void deliver(struct tapsi_test_port *p, const struct coming *c)
{
    struct tapsi_buffer *b = tapsi_loop_read_buffer(p->layer.env->loop, c->length + 1);
    if (!b)
        return;
    struct tapsi_path path = {.remote = p->remote};
    struct tapsi_slice slice = {.data = b->data + b->used,
                                .length = c->length,
                                .buffer = tapsi_buffer_ref(b),
                                .flags = TAPSI_SLICE_END,
                                .ecn = p->flow->ecn,
                                .path = &path};
    if (c->length)
        memcpy(b->data + b->used, c->bytes, c->length);
    b->used += (uint32_t)c->length;
    tapsi_layer_deliver(&p->layer, &slice);
    tapsi_buffer_unref(b);
}

static void deliver_due(struct tapsi_test_port *p)
{
    struct tapsi_loop *loop = p->layer.env->loop;
    struct coming *c;
    while (!p->layer.dead && p->layer.want && (c = first_coming(p)) && c->due <= tapsi_loop_now(loop)) {
        tapsi_list_remove(&c->link);
        p->coming_count--;
        deliver(p, c);
        free(c);
    }
    if (!p->layer.dead && p->layer.want && (c = first_coming(p)))
        tapsi_timer_start_at(loop, &p->timer, c->due);
}

static void carry(struct tapsi_test_port *p, const struct tapsi_op *op)
{
    static uint8_t bytes[65536];
    struct tapsi_test_flow *f = p->flow;
    struct iovec iov[TAPSI_OP_PIECES];
    unsigned count = tapsi_op_iovec(op, iov, TAPSI_OP_PIECES);
    size_t length = 0;
    for (unsigned i = 0; i < count; i++) {
        memcpy(bytes + length, iov[i].iov_base, iov[i].iov_len);
        length += iov[i].iov_len;
    }
    int side = p == f->server.port;
    p->sent++;
    p->bytes += length;
    p->longest = length > p->longest ? length : p->longest;
    f->count[side]++;
    if (f->tamper && !f->tamper(f, side, bytes, &length))
        return;
    if (!p->peer || random_below(f, 100) < f->loss)
        return;
    for (int copies = random_below(f, 100) < f->repeat ? 2 : 1; copies; copies--)
        tapsi_test_flow_arrive(p->peer, bytes, length,
                               TAPSI_TEST_DELAY + random_below(f, (unsigned)(f->late / TAPSI_MS)) * TAPSI_MS);
}

static void flush(struct tapsi_layer *layer)
{
    struct tapsi_test_port *p = port_of(layer);
    struct tapsi_link *link;
    struct tapsi_error error;
    if (layer->state == TAPSI_LAYER_STARTING && p->start_error)
        tapsi_layer_closed(layer, (tapsi_error_set(&error, p->start_error, "no socket"), &error));
    else if (layer->state == TAPSI_LAYER_STARTING)
        tapsi_layer_ready(layer, &(struct tapsi_ready_info){0});
    if (layer->state == TAPSI_LAYER_CLOSED)
        return;
    while (!layer->dead && !p->blocked && (link = tapsi_list_first(&layer->queue))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        carry(p, op);
        layer->queued -= op->length;
        tapsi_op_finish(op, 0);
    }
    if (!layer->dead && layer->state == TAPSI_LAYER_CLOSING && tapsi_list_empty(&layer->queue))
        tapsi_layer_closed(layer, NULL);
    else
        deliver_due(p);
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

static int close_port(struct tapsi_layer *layer)
{
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct tapsi_test_port *p = port_of(layer);
    struct tapsi_link *link;
    (void)reason;
    p->destroyed = true;
    while ((link = tapsi_list_pop(&p->coming)))
        free(TAPSI_CONTAINER(link, struct coming, link));
    if (p->peer)
        p->peer->peer = NULL;
    tapsi_timer_done(layer->env->loop, &p->timer);
}

static void free_port(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, port_of(layer));
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    switch (what) {
    case TAPSI_GET_REMOTE:
        ret->address = port_of(layer)->remote;
        return TAPSI_HANDLED;
    case TAPSI_GET_UNSENT:
        ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = layer->queued};
        return TAPSI_HANDLED;
    case TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN:
        layer->mtu = port_of(layer)->flow->mtu;
        ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = layer->mtu};
        return TAPSI_HANDLED;
    default:
        return TAPSI_PASS;
    }
}

static const struct tapsi_layer_ops port_ops = {
    .start = start,
    .send = tapsi_layer_enqueue,
    .want = want,
    .flush = flush,
    .close = close_port,
    .destroy = destroy,
    .free = free_port,
    .get = get,
};

static struct tapsi_test_port *new_port(struct tapsi_test_flow *f, struct tapsi_env *env, enum tapsi_role role,
                                        const char *remote)
{
    struct tapsi_test_port *p = tapsi_zalloc(&f->mem, sizeof(*p));
    if (!p)
        return NULL;
    if (tapsi_timer_init(&f->loop, &p->timer, port_timer) < 0) {
        tapsi_free(&f->mem, p);
        return NULL;
    }
    tapsi_layer_init(&p->layer, &port_ops, env, NULL);
    p->layer.role = (uint8_t)role;
    p->layer.mtu = f->mtu;
    p->flow = f;
    tapsi_link_init(&p->coming);
    if (tapsi_addr_parse(remote, &p->remote) < 0)
        abort();
    tapsi_addr_set_port(&p->remote, 4000);
    return p;
}

/* ------------------------------------------------------------------------------------------------- the sink */

static struct tapsi_test_flow_end *end_of(struct tapsi_sink *sink)
{
    return TAPSI_CONTAINER(sink, struct tapsi_test_flow_end, sink);
}

static uint8_t pattern(unsigned number, size_t at)
{
    return (uint8_t)(number * 7 + at);
}

static unsigned number_of(const struct tapsi_slice *slice)
{
    const uint8_t *b = slice->data;
    return (unsigned)b[0] << 24 | (unsigned)b[1] << 16 | (unsigned)b[2] << 8 | b[3];
}

static bool is_whole(const struct tapsi_slice *slice)
{
    if (slice->length < 4 || slice->flags != TAPSI_SLICE_END || !slice->path)
        return false;
    for (size_t i = 4; i < slice->length; i++) {
        if (slice->data[i] != pattern(number_of(slice), i))
            return false;
    }
    return true;
}

void tapsi_test_flow_destroy(struct tapsi_test_flow_end *end, int reason)
{
    tapsi_layer_destroy(end->top, reason);
    end->top = NULL;
    end->port = NULL;
}

static void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    struct tapsi_test_flow_end *end = end_of(sink);
    end->misplaced += layer != end->top || end->ready || end->closed;
    end->ready++;
    end->info = *info;
    if (end->destroy_in_ready)
        tapsi_test_flow_destroy(end, 0);
    else if (end->window)
        tapsi_layer_want(layer, end->window);
}

static void on_data(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_slice *slice)
{
    struct tapsi_test_flow_end *end = end_of(sink);
    end->misplaced += layer != end->top || !end->ready || end->closed || !is_whole(slice);
    end->messages++;
    end->length = slice->length;
    end->ecn = slice->ecn;
    if (slice->length >= 4 && number_of(slice) < TAPSI_TEST_MESSAGES)
        end->repeated += end->seen[number_of(slice)]++ > 0;
    if (end->destroy_in_data)
        tapsi_test_flow_destroy(end, 0);
    else if (end->window)
        tapsi_layer_want(layer, end->window);
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    struct tapsi_test_flow_end *end = end_of(sink);
    end->misplaced += layer != end->top || end->closed;
    end->closed++;
    if (error)
        tapsi_error_copy(&end->error, error);
    if (end->destroy_in_closed)
        tapsi_test_flow_destroy(end, 0);
}

static void on_event(struct tapsi_sink *sink, struct tapsi_layer *layer, enum tapsi_event event, const void *value)
{
    struct tapsi_test_flow_end *end = end_of(sink);
    (void)layer;
    (void)value;
    end->soft += event == TAPSI_EVENT_SOFT_ERROR;
    end->paths += event == TAPSI_EVENT_PATH;
}

static const struct tapsi_sink_ops sink_ops = {
    .ready = on_ready, .data = on_data, .closed = on_closed, .event = on_event};

static void on_done(struct tapsi_op *op, int result)
{
    struct tapsi_test_flow_end *end = op->owner;
    end->misplaced += end->closed != 0;
    end->sent += result == 0;
    end->failed += result != 0;
    end->last_result = result;
}

int tapsi_test_flow_send(struct tapsi_test_flow_end *end, unsigned number, size_t length)
{
    static uint8_t bytes[65536];
    struct tapsi_op *op = tapsi_op_new(end->env->loop);
    if (!op)
        return TAPS_E_MEMORY;
    for (size_t i = 0; i < length; i++)
        bytes[i] = i < 4 ? (uint8_t)(number >> (24 - 8 * i)) : pattern(number, i);
    op->flags = TAPSI_OP_END;
    op->owner = end;
    op->done = on_done;
    int err = tapsi_op_copy(op, bytes, length);
    if (!err)
        err = tapsi_layer_send(end->top, op);
    if (err)
        tapsi_op_unref(op);
    return err;
}

void tapsi_test_flow_grant(struct tapsi_test_flow_end *end, size_t window)
{
    end->window = window;
    if (end->top)
        tapsi_layer_want(end->top, window);
}

/* ------------------------------------------------------------------------------------------------- together */

static void *resize(void *user, void *block, size_t size)
{
    struct tapsi_test_flow *f = user;
    if (size == 0) {
        f->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (++f->allocations == f->fail_at)
        return NULL;
    void *fresh = realloc(block, size);
    f->blocks += !block && fresh;
    return fresh;
}

bool tapsi_test_flow_init(struct tapsi_test_flow *f)
{
    static struct tapsi_mem heap;
    struct tapsi_platform *platform;
    tapsi_mem_init(&heap, NULL);
    *f = (struct tapsi_test_flow){.server_name = "example.test", .random = 1, .mtu = 1472, .ecn = -1};
    tapsi_mem_init(&f->mem, &(struct taps_allocator){resize, f});
    f->sim = tapsi_sim_new(1);
    if (tapsi_sim_platform_new(tapsi_sim_host_new(f->sim, "host"), &heap, &platform) < 0 ||
        tapsi_loop_init(&f->loop, &f->mem, platform) < 0)
        return false;
    f->loop.holds = 1; /* else turns do not wait */
    f->properties = tapsi_properties_new(&f->mem);
    for (int i = 0; i < 2; i++)
        f->security[i] = tapsi_security_new(&f->mem, TAPS_SECURITY_REQUIRED);
    for (int i = 0; i < 2; i++)
        f->caches[i] = tapsi_caches_new(&f->mem);
    tapsi_test_trust(f->security[0], tapsi_test_authority());
    tapsi_test_show(f->security[1], true, tapsi_test_server());
    f->client.window = f->server.window = WINDOW;
    return true;
}

static int open_end(struct tapsi_test_flow *f, struct tapsi_test_flow_end *end, int side)
{
    enum tapsi_role role = side ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT;
    struct tapsi_target target = {.server_name = side ? NULL : f->server_name};
    end->sink.ops = &sink_ops;
    end->env = tapsi_env_new(&f->loop, f->properties, f->security[side], NULL);
    if (!end->env)
        return TAPS_E_MEMORY;
    end->env->caches = f->caches[side];
    end->port = new_port(f, end->env, role, side ? "192.0.2.2" : "192.0.2.1");
    if (!end->port)
        return TAPS_E_MEMORY;
    end->top = &end->port->layer;
    int err = tapsi_proto_dtls.make(end->env, &target, role, &end->port->layer, &end->top, &f->make_error);
    end->top->up = &end->sink;
    return err;
}

int tapsi_test_flow_open(struct tapsi_test_flow *f)
{
    int err = open_end(f, &f->client, 0);
    if (!err)
        err = open_end(f, &f->server, 1);
    if (err)
        return err;
    f->client.port->peer = f->server.port;
    f->server.port->peer = f->client.port;
    err = tapsi_layer_start(f->server.top);
    return err ? err : tapsi_layer_start(f->client.top);
}

void tapsi_test_flow_run(struct tapsi_test_flow *f, uint64_t ns)
{
    uint64_t end = tapsi_sim_now(f->sim) + ns;
    do {
        tapsi_loop_turn(&f->loop, end);
    } while (tapsi_sim_now(f->sim) < end || f->loop.dirty_levels || !tapsi_list_empty(&f->loop.posted));
}

bool tapsi_test_flow_handshake(struct tapsi_test_flow *f)
{
    if (tapsi_test_flow_open(f) != 0)
        return false;
    for (int i = 0; i < 6000 && !(f->client.ready && f->server.ready) && !f->client.closed && !f->server.closed; i++)
        tapsi_test_flow_run(f, 10 * TAPSI_MS);
    return f->client.ready && f->server.ready;
}

static long close_end(struct tapsi_test_flow_end *end)
{
    tapsi_layer_destroy(end->top, 0);
    if (end->env)
        tapsi_env_unref(end->env);
    return end->misplaced;
}

void tapsi_test_flow_again(struct tapsi_test_flow *f)
{
    f->wrong += close_end(&f->client) + close_end(&f->server);
    tapsi_loop_settle(&f->loop);
    f->client = f->server = (struct tapsi_test_flow_end){.window = WINDOW};
    f->count[0] = f->count[1] = 0;
}

long tapsi_test_flow_done(struct tapsi_test_flow *f)
{
    long wrong = f->wrong + close_end(&f->client) + close_end(&f->server);
    tapsi_loop_settle(&f->loop);
    for (int i = 0; i < 2; i++) {
        tapsi_security_unref(f->security[i]);
        tapsi_caches_free(f->caches[i]);
    }
    tapsi_properties_unref(f->properties);
    tapsi_loop_done(&f->loop);
    tapsi_sim_free(f->sim);
    return wrong + f->blocks;
}
