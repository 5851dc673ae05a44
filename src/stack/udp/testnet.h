/* For the tests of this folder: a sink that writes down what comes, and stacks on the simulated network or on the
 * kernel. */
#ifndef TAPSI_STACK_UDP_TESTNET_H
#define TAPSI_STACK_UDP_TESTNET_H

#include <errno.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"
#include "platform/sim/sim.h"
#include "stack/registry.h"
#include "stack/udp/port.h"

#define DELAY    (10 * TAPSI_SIM_MS)
#define RTT      (2 * DELAY)
#define MS       TAPSI_SIM_MS
#define CREDIT   (128 * 1024)
#define TEXT_MAX 64

/* An allocator that fails the nth call, and knows what is out. */
static struct {
    size_t calls, fail_at, out;
} heap;

static inline void *counting(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        heap.out -= block != NULL;
        free(block);
        return NULL;
    }
    if (++heap.calls == heap.fail_at)
        return NULL;
    heap.out += block == NULL;
    return realloc(block, size);
}

/* What one layer said. */
struct seen {
    struct tapsi_sink sink;
    struct tapsi_layer *layer;
    unsigned ready, closed, data, soft, path_events, children;
    size_t bytes, longest;
    struct tapsi_error error, soft_error;
    char last[TEXT_MAX]; /* text of the last datagram, cut */
    int ecn;
    struct tapsi_path path;
    size_t credit;       /* given in ready and child; 0 = none */
    size_t credit_again; /* given after each datagram; 0 = none */
    bool echoes;         /* sends back what comes */
    bool destroys_at_data, destroys_at_ready, refuses;
    struct seen *child; /* takes the children, in a row */
    unsigned child_max;
};

struct net {
    struct tapsi_mem mem;
    struct tapsi_sim *sim; /* NULL: the kernel */
    struct tapsi_sim_host *client, *server;
    struct tapsi_sim_interface *c, *s;
    struct tapsi_sim_link *link;
    struct tapsi_platform *platform, *peer; /* the loop's, and the other host's */
    struct tapsi_loop loop;
    struct tapsi_properties *properties;
    struct tapsi_env *env;
};

/* Every op sent by the tests: what became of it. */
static struct {
    unsigned sent, expired, failed;
    int last;
} done;

static inline void on_done(struct tapsi_op *op, int result)
{
    (void)op;
    done.last = result;
    if (result == 0)
        done.sent++;
    else if (result == TAPSI_OP_EXPIRED)
        done.expired++;
    else
        done.failed++;
}

static inline struct tapsi_op *new_op(struct net *n, const void *data, size_t length, unsigned flags)
{
    struct tapsi_op *op = tapsi_op_new(&n->loop);
    if (!op)
        return NULL;
    if (tapsi_op_copy(op, data, length) < 0) {
        tapsi_op_unref(op);
        return NULL;
    }
    op->done = on_done;
    op->flags = (uint16_t)(flags | TAPSI_OP_END);
    return op;
}

static inline bool send_bytes(struct net *n, struct tapsi_layer *layer, const void *data, size_t length, unsigned flags)
{
    struct tapsi_op *op = new_op(n, data, length, flags);
    if (!op)
        return false;
    CHECK_INT(tapsi_layer_send(layer, op), 0);
    return true;
}

static inline bool send_text(struct net *n, struct tapsi_layer *layer, const char *text)
{
    return send_bytes(n, layer, text, strlen(text), 0);
}

static inline struct seen *seen_of(struct tapsi_sink *sink)
{
    return TAPSI_CONTAINER(sink, struct seen, sink);
}

static inline void seen_destroy(struct seen *s)
{
    tapsi_layer_destroy(s->layer, 0);
    s->layer = NULL;
}

static struct net *current;

static inline void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    struct seen *s = seen_of(sink);
    CHECK(info->security == 0);
    CHECK_INT(s->closed, 0);
    s->ready++;
    if (s->destroys_at_ready)
        seen_destroy(s);
    else if (s->credit)
        tapsi_layer_want(layer, s->credit);
}

static inline void on_data(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_slice *slice)
{
    struct seen *s = seen_of(sink);
    size_t n = slice->length < TEXT_MAX - 1 ? slice->length : TEXT_MAX - 1;
    CHECK(s->ready == 1 && s->closed == 0);
    CHECK(slice->flags == TAPSI_SLICE_END);
    s->data++;
    s->bytes += slice->length;
    if (slice->length > s->longest)
        s->longest = slice->length;
    if (n)
        memcpy(s->last, slice->data, n);
    s->last[n] = '\0';
    s->ecn = slice->ecn;
    s->path = *slice->path;
    if (s->echoes)
        send_bytes(current, layer, slice->data, slice->length, 0);
    if (s->destroys_at_data)
        seen_destroy(s);
    else if (s->credit_again)
        tapsi_layer_want(layer, s->credit_again);
}

static inline void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    struct seen *s = seen_of(sink);
    (void)layer;
    CHECK_INT(s->closed, 0);
    s->closed++;
    if (error)
        tapsi_error_copy(&s->error, error);
}

static inline void on_event_up(struct tapsi_sink *sink, struct tapsi_layer *layer, enum tapsi_event event,
                               const void *value)
{
    struct seen *s = seen_of(sink);
    (void)layer;
    if (event == TAPSI_EVENT_SOFT_ERROR) {
        s->soft++;
        tapsi_error_copy(&s->soft_error, value);
    } else if (event == TAPSI_EVENT_PATH) {
        s->path_events++;
    }
}

static const struct tapsi_sink_ops seen_ops;

static inline void on_child(struct tapsi_sink *sink, struct tapsi_layer *listener, struct tapsi_layer *child)
{
    struct seen *s = seen_of(sink);
    (void)listener;
    if (s->refuses || s->children >= s->child_max) {
        s->children++;
        tapsi_layer_destroy(child, 0);
        return;
    }
    struct seen *c = &s->child[s->children++];
    c->sink.ops = &seen_ops;
    c->layer = child;
    child->up = &c->sink;
    CHECK_INT(tapsi_layer_start(child), 0);
}

static const struct tapsi_sink_ops seen_ops = {on_ready, on_data, on_closed, on_event_up, on_child};

static inline void net_common(struct net *n)
{
    current = n;
    memset(&done, 0, sizeof(done));
    CHECK_INT(tapsi_loop_init(&n->loop, &n->mem, n->platform), 0);
    n->loop.holds = 1; /* else turns do not wait */
    n->properties = tapsi_properties_new(&n->mem);
    n->env = tapsi_env_new(&n->loop, n->properties, NULL, NULL);
}

static inline void net_mem(struct net *n)
{
    static const struct taps_allocator allocator = {counting, NULL};
    *n = (struct net){0};
    heap.fail_at = 0;
    heap.out = 0;
    tapsi_mem_init(&n->mem, &allocator);
}

/* The loop runs on the client's host, or on the server's. */
static inline void net_sim(struct net *n, bool on_server)
{
    static struct tapsi_mem plain;
    net_mem(n);
    tapsi_mem_init(&plain, NULL);
    n->sim = tapsi_sim_new(5);
    n->client = tapsi_sim_host_new(n->sim, "client");
    n->server = tapsi_sim_host_new(n->sim, "server");
    n->c = tapsi_sim_interface_new(n->client, "eth0", TAPSI_IF_ETHERNET,
                                   "192.0.2.2/24 192.0.2.22/24 2001:db8::2/64 fe80::2/64");
    n->s = tapsi_sim_interface_new(n->server, "eth0", TAPSI_IF_ETHERNET,
                                   "192.0.2.1/24 192.0.2.11/24 2001:db8::1/64 fe80::1/64");
    n->link = tapsi_sim_link_new(n->c, n->s, DELAY);
    CHECK_INT(tapsi_sim_platform_new(on_server ? n->server : n->client, &plain, &n->platform), 0);
    CHECK_INT(tapsi_sim_platform_new(on_server ? n->client : n->server, &plain, &n->peer), 0);
    net_common(n);
}

static inline void net_kernel(struct net *n)
{
    net_mem(n);
    CHECK_INT(tapsi_platform_linux_new(&n->mem, &n->platform), 0);
    net_common(n);
}

static inline void net_done(struct net *n)
{
    if (n->env)
        tapsi_env_unref(n->env);
    tapsi_properties_unref(n->properties);
    if (n->sim) {
        tapsi_loop_turn(&n->loop, 0);
        CHECK_INT(tapsi_sim_host_sockets(n->client), 0);
        CHECK_INT(tapsi_sim_host_sockets(n->server), 0);
        CHECK(!tapsi_sim_problem(n->sim));
        n->peer->ops->destroy(n->peer);
    }
    tapsi_loop_done(&n->loop);
    if (n->sim)
        tapsi_sim_free(n->sim);
    CHECK_INT(heap.out, 0);
    heap.fail_at = 0;
}

static inline void run_for(struct net *n, uint64_t ns)
{
    uint64_t end = n->platform->ops->now(n->platform) + ns;
    while (n->platform->ops->now(n->platform) < end)
        tapsi_loop_turn(&n->loop, end);
}

/* On the kernel: until `*what` has become `value`, five seconds at most. A turn may do its work and then wait. */
static inline bool run_until(struct net *n, const unsigned *what, unsigned value)
{
    uint64_t end = n->platform->ops->now(n->platform) + 5 * TAPSI_SIM_S;
    while (*what < value && n->platform->ops->now(n->platform) < end)
        tapsi_loop_turn(&n->loop, n->platform->ops->now(n->platform) + MS);
    return *what >= value;
}

static inline union tapsi_addr addr(const char *text, unsigned port)
{
    union tapsi_addr a;
    memset(&a, 0, sizeof(a));
    CHECK_INT(tapsi_addr_parse(text, &a), 0);
    tapsi_addr_set_port(&a, (uint16_t)port);
    return a;
}

/* A client layer for `remote`, not started. */
static inline struct tapsi_layer *make_client(struct net *n, struct seen *s, const union tapsi_addr *remote)
{
    struct tapsi_error error;
    struct tapsi_target target = {.remote = remote};
    struct tapsi_layer *layer;
    if (tapsi_proto_udp.make(n->env, &target, TAPSI_ROLE_CLIENT, NULL, &layer, &error) < 0)
        return NULL;
    s->sink.ops = &seen_ops;
    s->layer = layer;
    layer->up = &s->sink;
    return layer;
}

static inline struct tapsi_layer *start_client(struct net *n, struct seen *s, const char *remote, unsigned port)
{
    union tapsi_addr a = addr(remote, port);
    struct tapsi_layer *layer = make_client(n, s, &a);
    CHECK(layer != NULL);
    CHECK_INT(tapsi_layer_start(layer), 0);
    CHECK_INT(s->ready + s->closed, 0); /* not from inside */
    return layer;
}

static inline struct tapsi_layer *listen_at(struct net *n, struct seen *s, const union tapsi_addr *local)
{
    struct tapsi_error error;
    struct tapsi_target target = {.local = local};
    struct tapsi_layer *layer;
    s->sink.ops = &seen_ops;
    if (tapsi_udp_listen(n->env, &target, &s->sink, &layer, &error) < 0)
        return NULL;
    s->layer = layer;
    return layer;
}

static inline union tapsi_addr address_of(struct tapsi_layer *layer, int what)
{
    union tapsi_got got;
    memset(&got, 0, sizeof(got));
    CHECK_INT(tapsi_layer_get(layer, what, &got), 0);
    return got.address;
}

static inline unsigned port_of(struct tapsi_layer *layer)
{
    union tapsi_addr local = address_of(layer, TAPSI_GET_LOCAL);
    return tapsi_addr_port(&local);
}

static inline const char *text_of(union tapsi_addr a)
{
    static char text[2][TAPSI_ADDR_TEXT];
    static unsigned turn;
    return tapsi_addr_text(&a, text[turn++ % 2]);
}

static inline void set_preference(struct net *n, enum taps_property property, enum taps_preference preference)
{
    struct taps_value value = {.type = TAPS_TYPE_PREFERENCE, .preference = preference};
    CHECK_INT(tapsi_properties_set(n->properties, property, value), 0);
}

#endif
