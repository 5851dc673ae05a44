/*
 * Listening. `want` is how many more connections the sink takes: at 0 they stay in the kernel's backlog. When the
 * system is out of descriptors accepting pauses for a moment, since an edge-triggered listener gets no second event.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include "stack/registry.h"
#include "stack/tcp/tcp.h"

#define BACKLOG      4096 /* the kernel lowers it to net.core.somaxconn */
#define ACCEPTS_TURN 64
#define PAUSE        (50 * TAPSI_MS)

struct tcp_listener {
    struct tapsi_layer layer;
    struct tapsi_watch watch;
    struct tapsi_timer pause;
    bool readable;
};

static const struct tapsi_layer_ops listener_ops;

/* The connection died in the backlog, or the network says something of it: accept(2), ERROR HANDLING. What else there
   is would be said again at once. */
static bool only_this_one(int err)
{
    return err == EINTR || err == ECONNABORTED || err == EPROTO || err == EPERM || err == ENETDOWN ||
           err == ENOPROTOOPT || err == EHOSTDOWN || err == ENONET || err == EHOSTUNREACH || err == EOPNOTSUPP ||
           err == ENETUNREACH;
}

/* True: go on accepting. */
static bool accept_one(struct tcp_listener *l)
{
    struct tapsi_loop *loop = l->layer.env->loop;
    struct tapsi_platform *p = loop->platform;
    union tapsi_addr peer;
    int fd = p->ops->accept(p, l->watch.fd, &peer);
    if (fd == -EAGAIN) {
        l->readable = false;
        return false;
    }
    if (fd < 0 && only_this_one(-fd))
        return true;
    if (fd < 0) {
        tapsi_log(loop, TAPS_LOG_WARNING, "TCP: accepting pauses: %s", strerror(-fd));
        tapsi_timer_start(loop, &l->pause, PAUSE);
        return false;
    }
    struct tapsi_layer *child;
    int err = tapsi_tcp_accepted(l->layer.env, fd, &peer, &child);
    if (err) {
        tapsi_log(loop, TAPS_LOG_WARNING, "TCP: a connection was dropped: %s", taps_err_text(err));
        p->ops->close(p, fd);
        return true;
    }
    l->layer.want--;
    if (l->layer.up->ops->child)
        l->layer.up->ops->child(l->layer.up, &l->layer, child);
    else
        tapsi_layer_destroy(child, TAPS_E_CANCELLED);
    return true;
}

static void accept_some(struct tcp_listener *l)
{
    int accepted = 0;
    while (l->readable && l->layer.want && !l->layer.dead && l->layer.state == TAPSI_LAYER_READY) {
        if (accepted++ == ACCEPTS_TURN) {
            tapsi_layer_dirty(&l->layer);
            return;
        }
        if (!accept_one(l))
            return;
    }
}

static void on_ready(struct tapsi_watch *watch, unsigned io)
{
    (void)io;
    struct tcp_listener *l = TAPSI_CONTAINER(watch, struct tcp_listener, watch);
    l->readable = true;
    accept_some(l);
}

static void on_pause(struct tapsi_timer *timer)
{
    accept_some(TAPSI_CONTAINER(timer, struct tcp_listener, pause));
}

static void flush(struct tapsi_layer *layer)
{
    accept_some(TAPSI_CONTAINER(layer, struct tcp_listener, layer));
}

static void want(struct tapsi_layer *layer)
{
    tapsi_layer_dirty(layer);
}

static void close_socket(struct tcp_listener *l)
{
    struct tapsi_platform *p = l->layer.env->loop->platform;
    int fd = l->watch.fd;
    if (fd < 0)
        return;
    p->ops->unwatch(p, &l->watch);
    p->ops->close(p, fd);
    l->watch.fd = -1;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    (void)reason;
    struct tcp_listener *l = TAPSI_CONTAINER(layer, struct tcp_listener, layer);
    close_socket(l);
    tapsi_timer_done(layer->env->loop, &l->pause);
}

static void free_listener(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, TAPSI_CONTAINER(layer, struct tcp_listener, layer));
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct tcp_listener *l = TAPSI_CONTAINER(layer, struct tcp_listener, layer);
    struct tapsi_platform *p = layer->env->loop->platform;
    if (what != TAPSI_GET_LOCAL)
        return TAPSI_PASS;
    return p->ops->getsockname(p, l->watch.fd, &ret->address) < 0 ? TAPS_E_SYSTEM : TAPSI_HANDLED;
}

static const struct tapsi_layer_ops listener_ops = {
    .want = want,
    .flush = flush,
    .destroy = destroy,
    .free = free_listener,
    .get = get,
};

static int configure(struct tcp_listener *l, int fd, const struct tapsi_target *target)
{
    struct tapsi_platform *p = l->layer.env->loop->platform;
    int on = 1, off = 0;
    const int waiting = 256; /* with data, before their handshake is done */
    p->ops->setsockopt(p, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (tapsi_select_preference(l->layer.env->properties, TAPS_ZERO_RTT_MSG, TAPSI_ROLE_SERVER) > TAPS_NO_PREFERENCE)
        p->ops->setsockopt(p, fd, IPPROTO_TCP, TCP_FASTOPEN, &waiting,
                           sizeof(waiting)); /* where the system allows it */
    if (l->layer.env->properties->values[TAPS_REUSE_PORT].boolean) {
        int err = p->ops->setsockopt(p, fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        if (err < 0)
            return err;
    }
    if (target->local->sa.sa_family == AF_INET6)
        p->ops->setsockopt(p, fd, IPPROTO_IPV6, IPV6_V6ONLY, target->v6_only ? &on : &off, sizeof(on));
    if (target->interface) {
        int err = p->ops->setsockopt(p, fd, SOL_SOCKET, SO_BINDTODEVICE, target->interface,
                                     (socklen_t)strlen(target->interface) + 1);
        if (err < 0)
            return err;
    }
    int err = p->ops->bind(p, fd, target->local);
    if (err == 0)
        err = p->ops->listen(p, fd, BACKLOG);
    return err < 0 ? err : p->ops->watch(p, fd, &l->watch);
}

static int open_socket(struct tcp_listener *l, const struct tapsi_target *target)
{
    struct tapsi_platform *p = l->layer.env->loop->platform;
    int fd = p->ops->socket(p, target->local->sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    int err = configure(l, fd, target);
    if (err < 0) {
        p->ops->close(p, fd);
        return err;
    }
    l->watch.fd = fd;
    return 0;
}

int tapsi_tcp_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                     struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    struct tapsi_mem *mem = &env->loop->mem;
    struct tcp_listener *l = tapsi_zalloc(mem, sizeof(*l));
    if (!l)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a TCP listener");
    if (tapsi_timer_init(env->loop, &l->pause, on_pause)) {
        tapsi_free(mem, l);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a TCP listener");
    }
    tapsi_layer_init(&l->layer, &listener_ops, env, NULL);
    l->watch = (struct tapsi_watch){.fd = -1, .ready = on_ready};
    l->layer.up = sink;
    int err = open_socket(l, target);
    if (err < 0) {
        char text[TAPSI_ADDR_TEXT];
        tapsi_layer_destroy(&l->layer, 0);
        return tapsi_error_native(ret_error, tapsi_err_from_errno(-err), TAPS_DOMAIN_ERRNO, -err,
                                  "TCP: cannot listen on %s: %s", tapsi_addr_text(target->local, text), strerror(-err));
    }
    tapsi_layer_set_state(&l->layer, TAPSI_LAYER_READY);
    *ret = &l->layer;
    return 0;
}
