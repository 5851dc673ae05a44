/*
 * The port is a session: it is held by the listener and by every peer, and goes with the last of them. The listener may
 * go first; accepted peers then live on and strangers are ignored.
 *
 * A datagram of a known pair (remote, local) goes to that peer. A stranger becomes a new layer, NEW, handed up as
 * `child` and counted off the listener's `want`; its first datagrams are kept until it is started and asked for data.
 * Replies leave from the address the datagram came to.
 *
 * Bounds on what the network causes: TAPSI_UDP_PEERS_MAX peers; per peer TAPSI_UDP_KEPT_MAX datagrams and
 * TAPSI_UDP_KEPT_BYTES; the listener's `want` limits new peers. Everything over a bound is dropped and counted.
 *
 * The surprising thing: an up-call may destroy any peer, the listener and with them the port. The reader therefore
 * holds a reference of its own, looks every peer up anew, and touches nothing it found before an up-call.
 */
#include "stack/udp/port.h"

#include <errno.h>
#include <string.h>
#include "stack/registry.h"
#include "stack/udp/peer.h"

#define NEXT_TURN_NS 1 /* a timer due now would fire in this turn again */

struct tapsi_udplistener {
    struct tapsi_layer layer;
    struct tapsi_udpport *port;
    bool closing;
};

static struct tapsi_udplistener *listener_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct tapsi_udplistener, layer);
}

/* -------------------------------------------------------------------------------------------------- the port */

static void free_port(struct tapsi_task *task)
{
    struct tapsi_udpport *port = TAPSI_CONTAINER(task, struct tapsi_udpport, task);
    struct tapsi_mem *mem = &port->loop->mem;
    tapsi_free(mem, port);
}

void tapsi_udpport_unref(struct tapsi_udpport *port)
{
    if (--port->refs)
        return;
    if (port->ignored || port->dropped)
        tapsi_log(port->loop, TAPS_LOG_INFO,
                  "udp port %u: %llu datagrams of strangers ignored, %llu over a bound dropped",
                  tapsi_addr_port(&port->local), (unsigned long long)port->ignored, (unsigned long long)port->dropped);
    tapsi_udpsocket_close(&port->socket);
    tapsi_udppeers_done(&port->peers);
    tapsi_timer_done(port->loop, &port->rest);
    tapsi_loop_reap(port->loop, &port->task, free_port);
}

/* --------------------------------------------------------------------------------------------------- reading */

/* To whom it came, as a reply's source: a group or broadcast address cannot be one. */
static void local_of(const struct tapsi_udpport *port, const struct tapsi_datagram *d, union tapsi_addr *ret)
{
    static const uint8_t none[16];
    *ret = d->to.sa.sa_family ? d->to : port->local;
    bool broadcast = ret->sa.sa_family == AF_INET && ret->in.sin_addr.s_addr == INADDR_BROADCAST;
    if (tapsi_addr_is_multicast(ret) || broadcast || ret->sa.sa_family != d->from.sa.sa_family)
        tapsi_addr_from_bytes(ret, d->from.sa.sa_family, none);
    if (tapsi_addr_is_link_local(ret) && ret->sa.sa_family == AF_INET6)
        ret->in6.sin6_scope_id = d->interface_index;
    tapsi_addr_set_port(ret, tapsi_addr_port(&port->local));
}

static void meet_stranger(struct tapsi_udpport *port, const struct tapsi_datagram *d, const union tapsi_addr *local)
{
    struct tapsi_udplistener *l = port->listener;
    struct tapsi_udppeer *p;
    if (!l || l->closing || l->layer.want == 0 || !l->layer.up->ops->child ||
        port->peers.count >= TAPSI_UDP_PEERS_MAX || tapsi_addr_port(&d->from) == 0 ||
        !(p = tapsi_udppeer_new(port, l->layer.env, d, local))) {
        port->ignored++;
        return;
    }
    tapsi_udppeer_take(p, d);
    l->layer.want--;
    l->layer.up->ops->child(l->layer.up, &l->layer, &p->layer);
}

static void demultiplex(struct tapsi_udpport *port, struct tapsi_datagram *d)
{
    union tapsi_addr told;
    const union tapsi_addr *local = &port->local;
    if (!port->socket.tells_path)
        d->interface_index = port->interface_index;
    if (!port->one_address) {
        local_of(port, d, &told);
        local = &told;
    }
    struct tapsi_udppeer *p = tapsi_udppeers_find(&port->peers, &d->from, local);
    if (p)
        tapsi_udppeer_take(p, d);
    else
        meet_stranger(port, d, local);
}

static bool has_owner(const struct tapsi_udpport *port)
{
    return port->listener || port->peers.count;
}

static void receive(struct tapsi_udpport *port)
{
    struct tapsi_datagram d;
    port->refs++;
    for (int i = 0; i < TAPSI_UDP_TURN && has_owner(port) && port->socket.readable; i++) {
        if (tapsi_udpsocket_receive(&port->socket, &d) <= 0)
            continue;
        demultiplex(port, &d);
        tapsi_buffer_unref(d.buffer);
    }
    if (has_owner(port) && port->socket.readable && !port->socket.level)
        tapsi_timer_start(port->loop, &port->rest, NEXT_TURN_NS);
    tapsi_udpport_unref(port);
}

static void receive_rest(struct tapsi_timer *timer)
{
    receive(TAPSI_CONTAINER(timer, struct tapsi_udpport, rest));
}

static void report_error(void *arg, const union tapsi_addr *to, int err)
{
    struct tapsi_udpport *port = arg;
    struct tapsi_udppeer *p = to->sa.sa_family == AF_UNSPEC ? NULL : tapsi_udppeers_find(&port->peers, to, NULL);
    if (p && err == EMSGSIZE)
        tapsi_udppeer_check_mtu(p);
    else if (p)
        tapsi_udp_soft_error(&p->layer, err, to);
}

static void wake_waiting(struct tapsi_udpport *port)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&port->waiting)))
        tapsi_layer_dirty(&TAPSI_CONTAINER(link, struct tapsi_udppeer, waiting_link)->layer);
}

static void on_event(struct tapsi_watch *watch, unsigned io)
{
    struct tapsi_udpsocket *s = TAPSI_CONTAINER(watch, struct tapsi_udpsocket, watch);
    struct tapsi_udpport *port = TAPSI_CONTAINER(s, struct tapsi_udpport, socket);
    port->refs++;
    tapsi_udpsocket_event(s, io);
    if (io & TAPSI_IO_OUT)
        wake_waiting(port);
    if ((io & TAPSI_IO_ERROR) && s->recverr)
        tapsi_udpsocket_errors(s, report_error, port);
    if (io & TAPSI_IO_ERROR)
        tapsi_udpsocket_take_error(s);
    receive(port);
    tapsi_udpport_unref(port);
}

/* ------------------------------------------------------------------------------------------------ the listener */

static int refuse_start(struct tapsi_layer *layer)
{
    (void)layer;
    return TAPS_E_STATE;
}

static int refuse_send(struct tapsi_layer *layer, struct tapsi_op *op)
{
    (void)layer;
    (void)op;
    return TAPS_E_STATE;
}

static void want_listener(struct tapsi_layer *layer)
{
    (void)layer;
}

static void flush_listener(struct tapsi_layer *layer)
{
    if (listener_of(layer)->closing)
        tapsi_layer_closed(layer, NULL);
}

static int close_listener(struct tapsi_layer *layer)
{
    listener_of(layer)->closing = true;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy_listener(struct tapsi_layer *layer, int reason)
{
    struct tapsi_udpport *port = listener_of(layer)->port;
    (void)reason;
    port->listener = NULL;
    tapsi_udpport_unref(port);
}

static void free_listener(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, listener_of(layer));
}

static int get_listener(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    if (what != TAPSI_GET_LOCAL)
        return TAPSI_PASS;
    ret->address = listener_of(layer)->port->local;
    return TAPSI_HANDLED;
}

static const struct tapsi_layer_ops listener_ops = {
    .start = refuse_start,
    .send = refuse_send,
    .want = want_listener,
    .flush = flush_listener,
    .close = close_listener,
    .destroy = destroy_listener,
    .free = free_listener,
    .get = get_listener,
};

/* The interface of the one address, for the MTU. */
static void find_interface(struct tapsi_udpport *port)
{
    struct tapsi_network *network;
    if (port->loop->platform->ops->network(port->loop->platform, &network) < 0)
        return;
    for (size_t i = 0; i < network->interface_count; i++) {
        const struct tapsi_interface *interface = &network->interfaces[i];
        for (size_t a = 0; a < interface->address_count; a++) {
            if (tapsi_addr_same_host(&interface->addresses[a].address, &port->local))
                port->interface_index = interface->index;
        }
    }
    tapsi_network_unref(network);
}

static int open_port(struct tapsi_udpport *port, struct tapsi_env *env, const struct tapsi_target *target,
                     const union tapsi_addr *local)
{
    struct tapsi_platform *p = env->loop->platform;
    struct tapsi_udpsocket *s = &port->socket;
    bool soft = tapsi_preference(env->properties, TAPS_SOFT_ERROR_NOTIFY) >= TAPS_PREFER;
    bool dual = local->sa.sa_family == AF_INET6 && tapsi_addr_is_any(local) && !target->v6_only;
    struct tapsi_siphash_key key = {0, 0};
    int err = p->ops->random(p, &key, sizeof(key));
    tapsi_udppeers_init(&port->peers, &port->loop->mem, &key);
    if (err < 0 || (err = tapsi_udpsocket_open(s, env->loop, local->sa.sa_family, soft)) < 0)
        return err;
    if (env->properties->values[TAPS_REUSE_PORT].boolean &&
        (err = tapsi_udpsocket_set(s, SOL_SOCKET, SO_REUSEPORT, 1)) < 0)
        return err;
    if (s->family == AF_INET6) {
        err = tapsi_udpsocket_set(s, IPPROTO_IPV6, IPV6_V6ONLY, !dual);
        if (err < 0)
            return err;
    }
    if (dual)
        tapsi_udpsocket_become_dual(s);
    bool many = tapsi_addr_is_any(local) || tapsi_addr_is_multicast(local) || tapsi_addr_is_link_local(local) ||
                (local->sa.sa_family == AF_INET && local->in.sin_addr.s_addr == INADDR_BROADCAST);
    port->one_address = !many;
    if (tapsi_addr_is_any(local) || tapsi_addr_is_multicast(local))
        tapsi_udpsocket_ask_path(s);
    if ((err = tapsi_udpsocket_bind(s, target->interface, local)) < 0 ||
        (err = p->ops->getsockname(p, s->fd, &port->local)) < 0)
        return err;
    if (!s->tells_path)
        find_interface(port);
    return tapsi_udpsocket_watch(s, on_event);
}

static int new_port(struct tapsi_env *env, const struct tapsi_target *target, const union tapsi_addr *local,
                    struct tapsi_udpport **ret)
{
    struct tapsi_udpport *port = tapsi_zalloc(&env->loop->mem, sizeof(*port));
    if (!port)
        return -ENOMEM;
    port->refs = 1;
    port->loop = env->loop;
    port->socket.fd = port->socket.watch.fd = -1;
    tapsi_task_init(&port->task, NULL);
    if (tapsi_timer_init(env->loop, &port->rest, receive_rest) < 0) {
        tapsi_free(&env->loop->mem, port);
        return -ENOMEM;
    }
    tapsi_link_init(&port->waiting);
    int err = open_port(port, env, target, local);
    if (err < 0) {
        tapsi_udpport_unref(port);
        return err;
    }
    *ret = port;
    return 0;
}

static int open_somewhere(struct tapsi_env *env, const struct tapsi_target *target, union tapsi_addr *local,
                          struct tapsi_udpport **ret)
{
    static const uint8_t any[16];
    if (target->local) {
        *local = *target->local;
        return new_port(env, target, local, ret);
    }
    tapsi_addr_from_bytes(local, AF_INET6, any);
    int err = new_port(env, target, local, ret);
    if (err != -EAFNOSUPPORT && err != -EADDRNOTAVAIL)
        return err;
    tapsi_addr_from_bytes(local, AF_INET, any);
    return new_port(env, target, local, ret);
}

int tapsi_udp_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                     struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    union tapsi_addr local;
    char text[TAPSI_ADDR_TEXT];
    struct tapsi_udplistener *l = tapsi_zalloc(&env->loop->mem, sizeof(*l));
    if (!l)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for udp");
    int err = open_somewhere(env, target, &local, &l->port);
    if (err < 0) {
        tapsi_free(&env->loop->mem, l);
        return tapsi_error_native(ret_error, tapsi_err_from_errno(-err), TAPS_DOMAIN_ERRNO, -err, "udp on %s: %s",
                                  tapsi_addr_text(&local, text), strerror(-err));
    }
    tapsi_layer_init(&l->layer, &listener_ops, env, NULL);
    l->layer.role = TAPSI_ROLE_SERVER;
    l->layer.up = sink;
    l->port->listener = l;
    tapsi_layer_set_state(&l->layer, TAPSI_LAYER_READY);
    *ret = &l->layer;
    return 0;
}
