/*
 * UDP, one user: a connected socket. Each datagram is a Message.
 *
 * States: NEW, STARTING (the socket is connected, or that failed; said at this turn's flush), READY, CLOSING (close was
 * asked for; said when the queue is with the kernel), CLOSED.
 *
 * Ready means that a route and a local port exist (IMPL-15): connect() on the UDP socket finds both, and sends nothing.
 * What the network reports later never closes the layer (RFC 9623: soft errors).
 *
 * While `want` is 0 nothing is read: the kernel's buffer holds what fits and drops the rest. The socket is watched
 * level-triggered where the platform can: an edge would come with every datagram that leaves, and a question and its
 * answer would cost a read that finds nothing. `readable` remembers what an event said.
 */
#include <errno.h>
#include <string.h>
#include "stack/registry.h"
#include "stack/udp/port.h"

struct udp {
    struct tapsi_layer layer;
    struct tapsi_udpsocket socket;
    struct tapsi_path path; /* its local part: what to bind (`binds`); once asked for, what it is (`has_local`) */
    bool binds, has_local, closing;
    bool choose_source; /* as in struct tapsi_target */
    bool path_news;     /* found while being asked: said at flush */
    char interface[16];
    int profile;
    struct tapsi_udpcounts counts;
    int failure; /* of start: a negative errno */
};

static struct udp *udp_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct udp, layer);
}

static struct tapsi_platform *platform_of(const struct udp *u)
{
    return u->layer.env->loop->platform;
}

static bool wants_soft_errors(const struct tapsi_env *env)
{
    return tapsi_preference(env->properties, TAPS_SOFT_ERROR_NOTIFY) >= TAPS_PREFER;
}

/* The local address is known once connected; unless somebody asks, nobody needs it. */
static const union tapsi_addr *local_of(struct udp *u)
{
    struct tapsi_platform *p = platform_of(u);
    if (!u->has_local && u->socket.fd >= 0)
        u->has_local = p->ops->getsockname(p, u->socket.fd, &u->path.local) >= 0;
    return u->has_local ? &u->path.local : NULL;
}

/* The path's MTU as the kernel knows it now. */
static bool refresh_mtu(struct udp *u)
{
    struct tapsi_platform *p = platform_of(u);
    int family = u->path.remote.sa.sa_family;
    int mtu = u->socket.fd < 0 ? 0 : tapsi_udp_known_mtu(p, u->socket.fd, family);
    return tapsi_udp_take_mtu(&u->layer, (unsigned)mtu, family);
}

/* In a call from above nothing is said to it. */
static void look_at_mtu(struct udp *u)
{
    if (u->socket.fd < 0 || u->layer.state != TAPSI_LAYER_READY || !refresh_mtu(u))
        return;
    u->path_news = true;
    tapsi_layer_dirty(&u->layer);
}

/* A datagram did not fit, or the network says so: is there a new limit? */
static void check_mtu(struct udp *u)
{
    bool news = u->path_news;
    if (!u->socket.too_large && !news)
        return;
    u->socket.too_large = u->path_news = false;
    if (refresh_mtu(u) || news)
        tapsi_layer_event(&u->layer, TAPSI_EVENT_PATH, NULL);
}

/* --------------------------------------------------------------------------------------------------- receiving */

static void deliver(struct udp *u, const struct tapsi_datagram *d)
{
    local_of(u);
    u->counts.received++;
    u->counts.bytes_received += d->length;
    struct tapsi_slice slice = {.data = d->data,
                                .length = d->length,
                                .buffer = d->buffer,
                                .flags = TAPSI_SLICE_END,
                                .ecn = d->ecn,
                                .path = &u->path};
    tapsi_layer_deliver(&u->layer, &slice);
    tapsi_buffer_unref(d->buffer);
}

/* At most TAPSI_UDP_TURN datagrams; what is left comes when others had their turn. */
static void receive(struct udp *u)
{
    struct tapsi_layer *layer = &u->layer;
    struct tapsi_datagram d;
    if (layer->state != TAPSI_LAYER_READY && layer->state != TAPSI_LAYER_CLOSING)
        return;
    for (int i = 0; i < TAPSI_UDP_TURN && !layer->dead && layer->want && u->socket.readable; i++) {
        int got = tapsi_udpsocket_receive(&u->socket, &d);
        if (got < 0 && got != -EAGAIN && got != -EMSGSIZE)
            tapsi_udp_soft_error(layer, -got, &u->path.remote);
        if (got > 0)
            deliver(u, &d);
    }
    if (!layer->dead)
        check_mtu(u);
    if (layer->dead)
        return;
    if (layer->want && u->socket.readable)
        tapsi_layer_dirty(layer);
    tapsi_udpsocket_listen_in(&u->socket, layer->want > 0);
}

static void report_error(void *arg, const union tapsi_addr *to, int err)
{
    struct udp *u = arg;
    if (u->layer.dead)
        return;
    if (err == EMSGSIZE)
        u->socket.too_large = true;
    else
        tapsi_udp_soft_error(&u->layer, err, to);
}

/* Nothing is read that would bring it up, or the error queue has told it already. */
static void take_error(struct udp *u)
{
    int err = tapsi_udpsocket_take_error(&u->socket);
    u->socket.too_large |= err == EMSGSIZE;
    if (err && err != EMSGSIZE && !u->socket.recverr)
        tapsi_udp_soft_error(&u->layer, err, &u->path.remote);
}

static void on_event(struct tapsi_watch *watch, unsigned io)
{
    struct tapsi_udpsocket *s = TAPSI_CONTAINER(watch, struct tapsi_udpsocket, watch);
    struct udp *u = TAPSI_CONTAINER(s, struct udp, socket);
    bool was_blocked = s->blocked;
    tapsi_udpsocket_event(s, io);
    if (was_blocked && !s->blocked)
        tapsi_layer_dirty(&u->layer);
    if ((io & TAPSI_IO_ERROR) && s->recverr)
        tapsi_udpsocket_errors(s, report_error, u);
    if (!u->layer.dead && (io & TAPSI_IO_ERROR) && (s->recverr || !u->layer.want))
        take_error(u);
    if (u->layer.dead)
        return;
    check_mtu(u);
    if (!u->layer.dead)
        receive(u);
}

/* ------------------------------------------------------------------------------------------------ the layer */

static int open_socket(struct udp *u)
{
    struct tapsi_platform *p = platform_of(u);
    struct tapsi_udpsocket *s = &u->socket;
    const union tapsi_addr *remote = &u->path.remote;
    int err = tapsi_udpsocket_open(s, u->layer.env->loop, remote->sa.sa_family, wants_soft_errors(u->layer.env));
    if (err < 0)
        return err;
    if ((err = tapsi_udpsocket_bind(s, u->interface, u->binds ? &u->path.local : NULL)) < 0)
        return err;
    tapsi_udpsocket_set_tos(s, tapsi_udp_tos(u->profile)); /* a network that forbids it is still a network */
    if ((err = tapsi_udpsocket_prefer_source(s, u->layer.env->properties, u->choose_source)) < 0)
        return err;
    if ((err = p->ops->connect(p, s->fd, remote)) < 0)
        return err;
    s->connected = true;
    return tapsi_udpsocket_watch(s, on_event);
}

/* Failing is an outcome like ready, and is said like it. */
static int start(struct tapsi_layer *layer)
{
    struct udp *u = udp_of(layer);
    u->failure = open_socket(u);
    if (u->failure < 0)
        tapsi_udpsocket_close(&u->socket);
    tapsi_layer_dirty(layer);
    return 0;
}

static void say_failed(struct udp *u)
{
    char text[TAPSI_ADDR_TEXT];
    struct tapsi_error error;
    tapsi_error_native(&error, tapsi_err_from_errno(-u->failure), TAPS_DOMAIN_ERRNO, -u->failure, "udp to %s: %s",
                       tapsi_addr_text(&u->path.remote, text), strerror(-u->failure));
    tapsi_layer_closed(&u->layer, &error);
}

static void say_started(struct udp *u)
{
    if (u->failure < 0) {
        say_failed(u);
        return;
    }
    refresh_mtu(u);
    tapsi_layer_ready(&u->layer, &(struct tapsi_ready_info){0});
}

static void flush(struct tapsi_layer *layer)
{
    struct udp *u = udp_of(layer);
    if (layer->state == TAPSI_LAYER_STARTING)
        say_started(u);
    if (layer->dead || layer->state == TAPSI_LAYER_CLOSED)
        return;
    tapsi_udpsocket_send(&u->socket, layer, NULL, &u->counts);
    if (!layer->dead)
        check_mtu(u);
    if (!layer->dead && u->closing && tapsi_list_empty(&layer->queue)) {
        tapsi_layer_closed(layer, NULL);
        return;
    }
    if (!layer->dead)
        receive(u);
}

static void want(struct tapsi_layer *layer)
{
    struct udp *u = udp_of(layer);
    if (u->socket.readable || u->socket.deaf)
        tapsi_layer_dirty(layer);
}

/* UDP says nothing to the peer: closed means that everything is with the kernel. */
static int close_layer(struct tapsi_layer *layer)
{
    udp_of(layer)->closing = true;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct udp *u = udp_of(layer);
    (void)reason;
    tapsi_udpsocket_close(&u->socket);
}

static void free_layer(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, udp_of(layer));
}

static int set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    struct udp *u = udp_of(layer);
    if (property != TAPS_CONN_CAPACITY_PROFILE)
        return TAPSI_PASS;
    int err = u->socket.fd >= 0 ? tapsi_udpsocket_set_tos(&u->socket, tapsi_udp_tos(value->enumeration)) : 0;
    if (err < 0)
        return tapsi_err_from_errno(-err);
    u->profile = value->enumeration;
    return TAPSI_HANDLED;
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct udp *u = udp_of(layer);
    if (what == TAPSI_GET_REMOTE) {
        ret->address = u->path.remote;
        return TAPSI_HANDLED;
    }
    if (what == TAPSI_GET_LOCAL) {
        const union tapsi_addr *local = local_of(u);
        if (!local)
            return TAPS_E_STATE;
        ret->address = *local;
        return TAPSI_HANDLED;
    }
    if (what == TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN)
        look_at_mtu(u);
    return tapsi_udp_get(layer, what, u->profile, ret);
}

static void statistics(struct tapsi_layer *layer, uint64_t *values)
{
    struct udp *u = udp_of(layer);
    look_at_mtu(u);
    tapsi_udp_statistics(layer, &u->counts, u->path.remote.sa.sa_family, values);
}

static const struct tapsi_layer_ops ops = {
    .start = start,
    .send = tapsi_layer_enqueue,
    .want = want,
    .flush = flush,
    .close = close_layer,
    .destroy = destroy,
    .free = free_layer,
    .set = set,
    .get = get,
    .statistics = statistics,
};

static int make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    (void)below;
    if (!target->remote || !tapsi_addr_port(target->remote))
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "udp needs a remote address with a port");
    struct udp *u = tapsi_zalloc(&env->loop->mem, sizeof(*u));
    if (!u)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for udp");
    tapsi_layer_init(&u->layer, &ops, env, NULL);
    u->layer.role = (uint8_t)role;
    u->socket.fd = u->socket.watch.fd = -1;
    u->path.remote = *target->remote;
    u->choose_source = target->choose_source;
    u->path.interface_index = target->interface_index;
    if (target->local) {
        u->path.local = *target->local;
        u->binds = true;
    }
    if (target->interface)
        tapsi_format(u->interface, sizeof(u->interface), "%s", target->interface);
    u->profile = env->properties->values[TAPS_CONN_CAPACITY_PROFILE].enumeration;
    tapsi_udp_take_mtu(&u->layer, 0, u->path.remote.sa.sa_family);
    *ret = &u->layer;
    return 0;
}

const struct tapsi_proto tapsi_proto_udp = {
    .name = "udp",
    .needs = TAPSI_NEEDS_NOTHING,
    .offers = TAPSI_OFFERS_DATAGRAM,
    .ip_protocol = IPPROTO_UDP,
    .secure = false,
    .make = make,
    .listen = tapsi_udp_listen,
};
