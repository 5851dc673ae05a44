/*
 * TCP: one connection.
 *
 * NEW -start-> STARTING (connect under way) -OUT-> READY -close-> CLOSING -> CLOSED. An accepted connection is born
 * READY. The descriptor is registered edge-triggered once for its life, so three bits remember what the kernel said:
 * readable, ended, blocked. Reading happens in the watch callback and, when credit comes back, in flush; writing only
 * in flush. The surprising thing: a short read means the kernel is empty, so a ping-pong needs no read that answers
 * EAGAIN, but the peer's FIN behind the data comes with its own edge, or has come with this one (ended).
 *
 * Soft errors (RFC 9622, 8.3.1): with IP_RECVERR the kernel shows what ICMP says as the socket's error, and goes on.
 * The same numbers are the last word when it has given up, so it is asked whether there is still a peer.
 */
#include "stack/tcp/tcp.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include "stack/registry.h"

static void on_ready(struct tapsi_watch *watch, unsigned io);
static const struct tapsi_layer_ops layer_ops;

static struct tcp *new_tcp(struct tapsi_env *env)
{
    struct tcp *tcp = tapsi_zalloc(&env->loop->mem, sizeof(*tcp));
    if (!tcp)
        return NULL;
    tapsi_layer_init(&tcp->layer, &layer_ops, env, NULL);
    tcp->watch = (struct tapsi_watch){.fd = -1, .ready = on_ready};
    return tcp;
}

/* One that nobody has seen yet. */
static void drop(struct tcp *tcp)
{
    struct tapsi_env *env = tcp->layer.env;
    tapsi_free(&env->loop->mem, tcp);
    tapsi_env_unref(env);
}

static int keep_setup(struct tcp *tcp, const struct tapsi_target *target)
{
    if (!target->local && !target->interface)
        return 0;
    tcp->setup = tapsi_zalloc(&tcp->layer.env->loop->mem, sizeof(*tcp->setup));
    if (!tcp->setup)
        return TAPS_E_MEMORY;
    if (target->local)
        tcp->setup->local = *target->local;
    if (target->interface)
        tapsi_format(tcp->setup->interface, sizeof(tcp->setup->interface), "%s", target->interface);
    return 0;
}

static int make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    (void)below;
    struct tcp *tcp = new_tcp(env);
    if (!tcp)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a TCP connection");
    tcp->remote = *target->remote;
    tcp->choose_source = target->choose_source;
    if (keep_setup(tcp, target)) {
        drop(tcp);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a TCP connection");
    }
    tcp->layer.role = (uint8_t)role;
    *ret = &tcp->layer;
    return 0;
}

int tapsi_tcp_accepted(struct tapsi_env *env, int fd, const union tapsi_addr *peer, struct tapsi_layer **ret)
{
    struct tcp *tcp = new_tcp(env);
    if (!tcp)
        return TAPS_E_MEMORY;
    int err = tcp_ops(&tcp->layer)->watch(env->loop->platform, fd, &tcp->watch);
    if (err < 0) {
        drop(tcp);
        return tapsi_err_from_errno(-err);
    }
    tcp->watch.fd = fd;
    tcp->started = true;
    tcp->remote = *peer;
    tapsi_addr_unmap(&tcp->remote);
    tcp->layer.role = TAPSI_ROLE_SERVER;
    tapsi_tcp_options(tcp);
    tapsi_layer_set_state(&tcp->layer, TAPSI_LAYER_READY);
    *ret = &tcp->layer;
    return 0;
}

/* ---------------------------------------------------------------------------------------------- starting */

static int bind_socket(struct tcp *tcp, int fd)
{
    const struct tapsi_platform_ops *ops = tcp_ops(&tcp->layer);
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    const struct tcp_setup *setup = tcp->setup;
    if (!setup)
        return 0;
    if (setup->interface[0]) {
        int err = ops->setsockopt(p, fd, SOL_SOCKET, SO_BINDTODEVICE, setup->interface,
                                  (socklen_t)strlen(setup->interface) + 1);
        if (err < 0)
            return err;
    }
    if (setup->local.sa.sa_family == AF_UNSPEC)
        return 0;
    return ops->bind(p, fd, &setup->local);
}

/* From now on `rare` may be made. */
static void drop_setup(struct tcp *tcp)
{
    tapsi_free(&tcp->layer.env->loop->mem, tcp->setup);
    tcp->started = true;
    tcp->rare = NULL;
}

static int connect_socket(struct tcp *tcp, int fd)
{
    const struct tapsi_platform_ops *ops = tcp_ops(&tcp->layer);
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    int err = bind_socket(tcp, fd);
    drop_setup(tcp);
    if (err < 0)
        return err;
    tapsi_tcp_options(tcp);
    err = tapsi_tcp_prefer_source(tcp);
    if (err < 0)
        return err;
    if (tapsi_list_empty(&tcp->layer.queue))
        err = ops->connect(p, fd, &tcp->remote);
    else
        err = tapsi_tcp_fast_open(tcp, fd);
    if (err < 0 && err != -EINPROGRESS)
        return err;
    return ops->watch(p, fd, &tcp->watch);
}

static int start(struct tapsi_layer *layer)
{
    struct tcp *tcp = TAPSI_CONTAINER(layer, struct tcp, layer);
    struct tapsi_platform *p = layer->env->loop->platform;
    int fd = p->ops->socket(p, tcp->remote.sa.sa_family, SOCK_STREAM, 0);
    tcp->watch.fd = fd < 0 ? -1 : fd; /* the options are set through it */
    int err = fd < 0 ? fd : connect_socket(tcp, fd);
    tcp->connecting = err >= 0;
    if (err >= 0)
        return 0;
    if (fd >= 0)
        p->ops->close(p, fd);
    tcp->watch.fd = -1;
    tcp->start_error = (uint8_t)-err;
    tapsi_layer_dirty(layer);
    return 0;
}

static void connected(struct tcp *tcp, unsigned io)
{
    int err = io & (TAPSI_IO_ERROR | TAPSI_IO_END) ? tapsi_tcp_error(tcp) : 0;
    if (err) {
        tapsi_tcp_fail(tcp, err, "connecting");
        return;
    }
    if (!(io & TAPSI_IO_OUT))
        return;
    tcp->connecting = false;
    if (!tapsi_list_empty(&tcp->layer.queue))
        tapsi_layer_dirty(&tcp->layer); /* what came before start, and is not in the SYN */
    tapsi_layer_ready(&tcp->layer, &(struct tapsi_ready_info){.early = tapsi_tcp_was_fast(tcp)});
}

/* -------------------------------------------------------------------------------------------------- events */

/* A reset is told even while nobody wants data. */
static void check_error(struct tcp *tcp)
{
    int err = tapsi_tcp_error(tcp);
    if (err && !tapsi_tcp_is_soft(tcp, err))
        tapsi_tcp_fail(tcp, err, err == ECONNRESET || err == EPIPE ? "reset" : "giving up");
}

static void on_ready(struct tapsi_watch *watch, unsigned io)
{
    struct tcp *tcp = TAPSI_CONTAINER(watch, struct tcp, watch);
    if (tcp->layer.state == TAPSI_LAYER_CLOSED)
        return; /* the layer above has not taken it down yet */
    if (tcp->connecting) {
        connected(tcp, io);
        if (tcp->layer.dead || tcp->connecting || tcp->layer.state == TAPSI_LAYER_CLOSED)
            return;
    }
    if (io & (TAPSI_IO_END | TAPSI_IO_URGENT))
        tcp->ended = true;
    if (io & (TAPSI_IO_IN | TAPSI_IO_END | TAPSI_IO_URGENT))
        tcp->readable = true;
    if ((io & TAPSI_IO_OUT) && tcp->blocked) {
        tcp->blocked = false;
        tapsi_layer_dirty(&tcp->layer);
    }
    if (tcp->readable && (tcp->layer.want || tcp->closing))
        tapsi_tcp_read(tcp);
    if ((io & TAPSI_IO_ERROR) && !tcp->layer.dead && tcp->layer.state != TAPSI_LAYER_CLOSED)
        check_error(tcp);
}

static void want(struct tapsi_layer *layer)
{
    struct tcp *tcp = TAPSI_CONTAINER(layer, struct tcp, layer);
    if (tcp->readable)
        tapsi_layer_dirty(layer);
}

static void flush(struct tapsi_layer *layer)
{
    struct tcp *tcp = TAPSI_CONTAINER(layer, struct tcp, layer);
    if (layer->dead || layer->state == TAPSI_LAYER_CLOSED)
        return;
    if (tcp->start_error) {
        tapsi_tcp_fail(tcp, tcp->start_error, "connecting");
        return;
    }
    if (layer->state < TAPSI_LAYER_READY)
        return;
    if (!tcp->blocked)
        tapsi_tcp_write(tcp);
    if (tcp->readable && (layer->want || tcp->closing) && !layer->dead && layer->state != TAPSI_LAYER_CLOSED)
        tapsi_tcp_read(tcp);
    if (tcp->closing && !layer->dead && layer->state != TAPSI_LAYER_CLOSED)
        tapsi_tcp_close_step(tcp);
}

/* --------------------------------------------------------------------------------------------------- ends */

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct tcp *tcp = TAPSI_CONTAINER(layer, struct tcp, layer);
    struct tapsi_platform *p = layer->env->loop->platform;
    if (tcp->started)
        tapsi_tcp_rare_done(tcp);
    else
        drop_setup(tcp);
    int fd = tcp->watch.fd;
    if (fd < 0)
        return;
    p->ops->unwatch(p, &tcp->watch);
    if (reason || tcp->cut) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        p->ops->setsockopt(p, fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    p->ops->close(p, fd);
    tcp->watch.fd = -1;
}

static void free_tcp(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, TAPSI_CONTAINER(layer, struct tcp, layer));
}

static const struct tapsi_layer_ops layer_ops = {
    .start = start,
    .send = tapsi_layer_enqueue,
    .want = want,
    .flush = flush,
    .close = tapsi_tcp_close,
    .destroy = destroy,
    .free = free_tcp,
    .set = tapsi_tcp_set,
    .get = tapsi_tcp_get,
    .statistics = tapsi_tcp_statistics,
};

const struct tapsi_proto tapsi_proto_tcp = {
    .name = "tcp",
    .needs = TAPSI_NEEDS_NOTHING,
    .offers = TAPSI_OFFERS_STREAM,
    .ip_protocol = IPPROTO_TCP,
    .make = make,
    .listen = tapsi_tcp_listen,
};
