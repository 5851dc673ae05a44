/*
 * What the listener and its peers share is a session, a user of a port: it is held by the listener and by every peer,
 * and goes with the last of them. The listener may go first; accepted peers then live on and strangers are ignored.
 *
 * A datagram of a known pair (remote, local) goes to that peer. A stranger is shown to the gate of the protocol above,
 * if that has one, which may have it answered, and keeps nothing; one that may come in becomes a new layer, NEW, handed
 * up as `child` and counted off the listener's `want`; its first datagrams are kept until it is started and asked for
 * data. Replies leave from the address the datagram came to.
 *
 * Bounds on what the network causes: TAPSI_UDP_PEERS_MAX peers; per peer TAPSI_UDP_KEPT_MAX datagrams and
 * TAPSI_UDP_KEPT_BYTES; the listener's `want` limits new peers; a stranger's answer is no longer than what it sent.
 * Everything over a bound is dropped and counted.
 *
 * The surprising thing: an up-call may destroy any peer, the listener and with them the session. Whoever hands out
 * therefore holds a reference of its own, looks every peer up anew, and touches nothing it found before an up-call.
 */
#include "stack/udp/port.h"

#include <errno.h>
#include <string.h>
#include "stack/registry.h"
#include "stack/udp/peer.h"

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

static void log_counts(const struct tapsi_udpport *port)
{
    if (port->ignored || port->turned_away || port->dropped)
        tapsi_log(port->loop, TAPS_LOG_INFO,
                  "udp port %u: %llu datagrams of strangers ignored, %llu not let in, %llu over a bound dropped",
                  tapsi_addr_port(tapsi_port_local(port->user.port)), (unsigned long long)port->ignored,
                  (unsigned long long)port->turned_away, (unsigned long long)port->dropped);
}

void tapsi_udpport_unref(struct tapsi_udpport *port)
{
    if (--port->refs)
        return;
    if (port->user.port)
        log_counts(port);
    tapsi_port_leave(&port->user);
    tapsi_udppeers_done(&port->peers);
    tapsi_loop_reap(port->loop, &port->task, free_port);
}

/* --------------------------------------------------------------------------------------------------- reading */

/* The answer to a stranger: never more than came, since the sender's address may be somebody else's. */
static void answer(struct tapsi_udpport *port, const struct tapsi_datagram *d, const uint8_t *reply, size_t length)
{
    size_t taken;
    struct tapsi_port_way way = {.to = d->from};
    if (length > d->length || port->socket->blocked)
        return;
    if (port->socket->tells_path)
        way.from = d->to;
    tapsi_udpsocket_write(port->socket, &way, reply, length, 0, &taken);
}

static bool is_let_in(struct tapsi_udpport *port, struct tapsi_env *env, const struct tapsi_datagram *d)
{
    uint8_t reply[TAPSI_UDP_REPLY_MAX];
    size_t length = 0;
    if (!port->gate || port->gate->stranger(env, d, reply, &length))
        return true;
    port->turned_away++;
    if (length)
        answer(port, d, reply, length);
    return false;
}

static void meet_stranger(struct tapsi_udpport *port, const struct tapsi_datagram *d)
{
    struct tapsi_udplistener *l = port->listener;
    struct tapsi_udppeer *p;
    if (!l || l->closing || l->layer.want == 0 || !l->layer.up->ops->child ||
        port->peers.count >= TAPSI_UDP_PEERS_MAX || tapsi_addr_port(&d->from) == 0) {
        port->ignored++;
        return;
    }
    if (!is_let_in(port, l->layer.env, d))
        return;
    p = tapsi_udppeer_new(port, l->layer.env, d);
    if (!p) {
        port->ignored++;
        return;
    }
    tapsi_udppeer_take(p, d);
    l->layer.want--;
    l->layer.up->ops->child(l->layer.up, &l->layer, &p->layer);
}

static struct tapsi_udpport *port_of(struct tapsi_port_user *user)
{
    return TAPSI_CONTAINER(user, struct tapsi_udpport, user);
}

static void demultiplex(struct tapsi_udpport *port, const struct tapsi_datagram *d)
{
    const union tapsi_addr *local = port->socket->tells_path ? &d->to : NULL; /* else all came to one */
    struct tapsi_udppeer *p = tapsi_udppeers_find(&port->peers, &d->from, local);
    if (p)
        tapsi_udppeer_take(p, d);
    else
        meet_stranger(port, d);
}

/* A train comes only where another protocol on the port has asked for them. */
static void on_packet(struct tapsi_port_user *user, const struct tapsi_datagram *train)
{
    struct tapsi_udpport *port = port_of(user);
    struct tapsi_datagram d;
    if (!train->segment) {
        demultiplex(port, train);
        return;
    }
    port->refs++;
    for (size_t at = 0; tapsi_port_piece(train, &at, &d);)
        demultiplex(port, &d);
    tapsi_udpport_unref(port);
}

static void on_error(struct tapsi_port_user *user, const union tapsi_addr *to, int err)
{
    struct tapsi_udpport *port = port_of(user);
    struct tapsi_udppeer *p = to->sa.sa_family == AF_UNSPEC ? NULL : tapsi_udppeers_find(&port->peers, to, NULL);
    if (p && err == EMSGSIZE)
        tapsi_udppeer_check_mtu(p);
    else if (p)
        tapsi_udp_soft_error(&p->layer, err, to);
}

static void on_writable(struct tapsi_port_user *user)
{
    struct tapsi_udpport *port = port_of(user);
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&port->waiting)))
        tapsi_layer_dirty(&TAPSI_CONTAINER(link, struct tapsi_udppeer, waiting_link)->layer);
}

static const struct tapsi_port_user_ops user_ops = {.packet = on_packet, .writable = on_writable, .error = on_error};

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
    ret->address = *tapsi_port_local(listener_of(layer)->port->user.port);
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

static int open_port(struct tapsi_udpport *port, struct tapsi_env *env, const struct tapsi_target *target,
                     struct tapsi_error *ret_error)
{
    struct tapsi_platform *p = env->loop->platform;
    struct tapsi_siphash_key key = {0, 0};
    enum tapsi_port_class class = target->gate ? target->gate->class : TAPSI_PORT_OTHER;
    int err = p->ops->random(p, &key, sizeof(key));
    tapsi_udppeers_init(&port->peers, &port->loop->mem, &key);
    if (err < 0)
        return tapsi_error_native(ret_error, tapsi_err_from_errno(-err), TAPS_DOMAIN_ERRNO, -err, "udp: %s",
                                  strerror(-err));
    err = tapsi_port_listen(env, target, class, &port->user, ret_error);
    if (!err)
        port->socket = tapsi_port_socket(port->user.port);
    return err;
}

static int new_port(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_udpport **ret,
                    struct tapsi_error *ret_error)
{
    struct tapsi_udpport *port = tapsi_zalloc(&env->loop->mem, sizeof(*port));
    if (!port)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for udp");
    port->refs = 1;
    port->loop = env->loop;
    port->user.ops = &user_ops;
    port->gate = target->gate;
    tapsi_task_init(&port->task, NULL);
    tapsi_link_init(&port->waiting);
    int err = open_port(port, env, target, ret_error);
    if (err) {
        tapsi_udpport_unref(port);
        return err;
    }
    *ret = port;
    return 0;
}

int tapsi_udp_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                     struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    struct tapsi_udplistener *l = tapsi_zalloc(&env->loop->mem, sizeof(*l));
    if (!l)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for udp");
    int err = new_port(env, target, &l->port, ret_error);
    if (err) {
        tapsi_free(&env->loop->mem, l);
        return err;
    }
    tapsi_layer_init(&l->layer, &listener_ops, env, NULL);
    l->layer.role = TAPSI_ROLE_SERVER;
    l->layer.up = sink;
    l->port->listener = l;
    tapsi_layer_set_state(&l->layer, TAPSI_LAYER_READY);
    *ret = &l->layer;
    return 0;
}
