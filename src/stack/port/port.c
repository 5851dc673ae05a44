/*
 * A port is held by its users and by whoever is behind them, and closed with the last. Without a user it reads nothing,
 * but what stands behind a user that has gone can still write.
 *
 * Bounds on what the network causes: one turn reads TAPSI_UDP_TURN times and TAPSI_TURN_BYTES bytes; the rest comes
 * when others had their turn. Nothing is kept but a train of which the kernel took a part: its rest goes first when
 * there is room again, and until then nothing else does.
 *
 * The surprising things. Each call of a user may end any use and close the port: the reader holds a reference of its
 * own, and looks up whose a class is for each datagram anew. A train that comes may hold pieces of several classes,
 * since the kernel joins what has one length and one sender: it is handed out in runs.
 */
#include "stack/port/port.h"

#include <assert.h>
#include <errno.h>
#include <netinet/ip.h>
#include <string.h>

#define NEXT_TURN_NS 1 /* a timer due now would fire in this turn again */
#define ECN_CE       3

struct tapsi_port {
    unsigned refs;
    struct tapsi_env *env; /* a reference: its list has the port */
    struct tapsi_link link;
    struct tapsi_udpsocket socket;
    struct tapsi_port_user *users[TAPSI_PORT_CLASSES]; /* of a connected one all are the same */
    unsigned used;                                     /* the classes that have one: bits */
    struct tapsi_timer later;                          /* for the next turn: reads what is left, tells `told` */
    struct tapsi_task task;                            /* the reaper's */
    union tapsi_addr local;                            /* as bound */
    char interface[16];                                /* as asked for; "" = any */
    bool v6_only;                                      /* as asked for */
    bool one_address;                                  /* which is where all comes to and leaves from */
    unsigned interface_index;                          /* of that; 0 = not known */
    struct tapsi_port_way left_way;
    uint8_t *left; /* of a train that was written: what the kernel did not take */
    size_t left_length, left_segment;
    uint64_t ignored; /* datagrams for nobody */
    uint64_t marked;  /* datagrams and trains that met congestion on their way (ECN) */
    uint64_t lost;    /* those that could not be written */
};

static struct tapsi_loop *loop_of(const struct tapsi_port *port)
{
    return port->env->loop;
}

/* --------------------------------------------------------------------------------------------------- references */

struct tapsi_port *tapsi_port_ref(struct tapsi_port *port)
{
    port->refs++;
    return port;
}

static void drop_left(struct tapsi_port *port)
{
    tapsi_free(&loop_of(port)->mem, port->left);
    port->left = NULL;
    port->left_length = 0;
}

static void free_port(struct tapsi_task *task)
{
    struct tapsi_port *port = TAPSI_CONTAINER(task, struct tapsi_port, task);
    struct tapsi_env *env = port->env;
    tapsi_free(&env->loop->mem, port);
    tapsi_env_unref(env);
}

void tapsi_port_unref(struct tapsi_port *port)
{
    if (--port->refs)
        return;
    if (port->ignored || port->marked || port->lost)
        tapsi_log(
            loop_of(port), TAPS_LOG_INFO,
            "port %u: %llu datagrams for nobody ignored, %llu came with a mark of congestion, %llu could not be sent",
            tapsi_addr_port(&port->local), (unsigned long long)port->ignored, (unsigned long long)port->marked,
            (unsigned long long)port->lost);
    drop_left(port);
    tapsi_list_remove(&port->link);
    tapsi_udpsocket_close(&port->socket);
    tapsi_timer_done(loop_of(port), &port->later);
    tapsi_loop_reap(loop_of(port), &port->task, free_port);
}

static void take_class(struct tapsi_port *port, int class, struct tapsi_port_user *user)
{
    port->users[class] = user;
    port->used |= 1u << class;
    user->port = port;
    user->class = (enum tapsi_port_class) class;
}

void tapsi_port_leave(struct tapsi_port_user *user)
{
    struct tapsi_port *port = user->port;
    if (!port)
        return;
    for (int i = 0; i < TAPSI_PORT_CLASSES; i++) {
        if (port->users[i] == user) {
            port->users[i] = NULL;
            port->used &= ~(1u << i);
        }
    }
    user->port = NULL;
    if (!port->used)
        tapsi_udpsocket_listen_in(&port->socket, false);
    tapsi_port_unref(port);
}

void tapsi_port_hand_over(struct tapsi_port_user *from, struct tapsi_port_user *to)
{
    struct tapsi_port *port = from->port;
    for (int i = 0; i < TAPSI_PORT_CLASSES; i++) {
        if (port->users[i] == from)
            port->users[i] = to;
    }
    to->port = port;
    to->class = from->class;
    from->port = NULL;
}

/* --------------------------------------------------------------------------------------------------- reading */

static enum tapsi_port_class class_of(const uint8_t *data, size_t length)
{
    if (length == 0)
        return TAPSI_PORT_OTHER;
    if (data[0] <= 3)
        return TAPSI_PORT_STUN;
    if (data[0] >= 20 && data[0] <= 63)
        return TAPSI_PORT_DTLS;
    if ((data[0] >= 64 && data[0] <= 127) || data[0] >= 192)
        return TAPSI_PORT_QUIC;
    return TAPSI_PORT_OTHER;
}

/* The class that gets it: one without a user is OTHER. */
static enum tapsi_port_class taker_of(const struct tapsi_port *port, const uint8_t *data, size_t length)
{
    if (port->used == 1u << TAPSI_PORT_OTHER)
        return TAPSI_PORT_OTHER;
    enum tapsi_port_class class = class_of(data, length);
    return port->users[class] ? class : TAPSI_PORT_OTHER;
}

/* To whom it came, as a reply's source: a group or broadcast address cannot be one. */
static void find_local(const struct tapsi_port *port, struct tapsi_datagram *d)
{
    static const uint8_t none[16];
    union tapsi_addr *to = &d->to;
    if (!port->socket.tells_path)
        d->interface_index = port->interface_index;
    if (port->one_address) {
        *to = port->local;
        return;
    }
    if (!to->sa.sa_family)
        *to = port->local;
    bool broadcast = to->sa.sa_family == AF_INET && to->in.sin_addr.s_addr == INADDR_BROADCAST;
    if (tapsi_addr_is_multicast(to) || broadcast || to->sa.sa_family != d->from.sa.sa_family)
        tapsi_addr_from_bytes(to, d->from.sa.sa_family, none);
    if (tapsi_addr_is_link_local(to) && to->sa.sa_family == AF_INET6)
        to->in6.sin6_scope_id = d->interface_index;
    tapsi_addr_set_port(to, tapsi_addr_port(&port->local));
}

static void give(struct tapsi_port *port, enum tapsi_port_class class, const struct tapsi_datagram *d, unsigned *got)
{
    struct tapsi_port_user *user = port->users[class];
    if (!user) {
        port->ignored++;
        return;
    }
    if (user->ops->turn)
        *got |= 1u << class;
    user->ops->packet(user, d);
}

/* In runs of pieces that one user gets. */
static void hand_out(struct tapsi_port *port, const struct tapsi_datagram *d, unsigned *got)
{
    size_t at = 0, size = d->segment;
    if (!size) {
        give(port, taker_of(port, d->data, d->length), d, got);
        return;
    }
    do {
        enum tapsi_port_class class = taker_of(port, d->data + at, d->length - at);
        size_t end = at + size;
        while (end < d->length && taker_of(port, d->data + end, d->length - end) == class)
            end += size;
        struct tapsi_datagram run = *d;
        run.data += at;
        run.length = (end < d->length ? end : d->length) - at;
        run.segment = run.length > size ? size : 0;
        give(port, class, &run, got);
        at = end;
    } while (at < d->length);
}

static void say_error(struct tapsi_port *port, const union tapsi_addr *to, int err)
{
    struct tapsi_port_user *told = NULL;
    for (int i = 0; i < TAPSI_PORT_CLASSES; i++) {
        struct tapsi_port_user *user = port->users[i];
        if (user && user != told && user->ops->error)
            user->ops->error(user, to, err);
        told = user;
    }
}

struct queued_errors {
    struct tapsi_port *port;
    unsigned count;
};

static void say_queued(void *arg, const union tapsi_addr *to, int err)
{
    struct queued_errors *queued = arg;
    queued->count++;
    say_error(queued->port, to, err);
}

/* `err`: what a call has said, or 0. The error queue has it too, with the address, unless it is off or was full. */
static void take_errors(struct tapsi_port *port, int err)
{
    static const union tapsi_addr nobody;
    struct tapsi_udpsocket *s = &port->socket;
    struct queued_errors queued = {port, 0};
    s->told = 0;
    if (s->recverr)
        tapsi_udpsocket_errors(s, say_queued, &queued);
    int pending = tapsi_udpsocket_take_error(s);
    err = err ? err : pending;
    if (err && !queued.count && s->connected)
        say_error(port, &nobody, err);
}

static void end_turn(struct tapsi_port *port, unsigned got)
{
    struct tapsi_port_user *done = NULL;
    for (int i; (got &= port->used) != 0; got &= ~(1u << i)) {
        i = __builtin_ctz(got);
        struct tapsi_port_user *user = port->users[i];
        if (user != done && user->ops->turn)
            user->ops->turn(user);
        done = user; /* of a connected port, all classes are one user's */
    }
}

/* The caller holds a reference. */
static void receive(struct tapsi_port *port)
{
    struct tapsi_datagram d;
    struct tapsi_udpsocket *s = &port->socket;
    size_t bytes = 0;
    unsigned got = 0;
    for (int i = 0; i < TAPSI_UDP_TURN && bytes < TAPSI_TURN_BYTES && port->used && s->readable; i++) {
        int result = tapsi_udpsocket_receive(s, &d);
        if (result == -EMSGSIZE || tapsi_udp_is_soft(result))
            take_errors(port, -result);
        if (result <= 0)
            continue;
        bytes += d.length;
        port->marked += d.ecn == ECN_CE;
        find_local(port, &d);
        hand_out(port, &d, &got);
        tapsi_buffer_unref(d.buffer);
    }
    if (port->used && s->readable && !s->level)
        tapsi_timer_start(loop_of(port), &port->later, NEXT_TURN_NS);
    end_turn(port, got);
}

/* ---------------------------------------------------------------------------------------------------- writing */

/* The rest of a train waits for room. Without memory it is lost, as in a network that is too full. */
static void keep_left(struct tapsi_port *port, const struct tapsi_port_way *way, const uint8_t *bytes, size_t length,
                      size_t segment)
{
    port->left = tapsi_alloc(&loop_of(port)->mem, length);
    if (!port->left) {
        port->lost++;
        return;
    }
    memcpy(port->left, bytes, length);
    port->left_length = length;
    port->left_segment = segment < length ? segment : 0;
    port->left_way = *way;
}

/* True: nothing is left. */
static bool write_left(struct tapsi_port *port)
{
    size_t taken;
    if (!port->left)
        return true;
    tapsi_udpsocket_set_discovery(&port->socket, IP_PMTUDISC_PROBE);
    int err = tapsi_udpsocket_write(&port->socket, &port->left_way, port->left, port->left_length, port->left_segment,
                                    &taken);
    if (err == -EAGAIN)
        return false;
    if (!err && taken < port->left_length) {
        port->left_length -= taken;
        memmove(port->left, port->left + taken, port->left_length);
        return false;
    }
    drop_left(port);
    return true;
}

static void resume(struct tapsi_port *port)
{
    struct tapsi_port_user *done = NULL;
    if (!write_left(port))
        return;
    for (int i = 0; i < TAPSI_PORT_CLASSES; i++) {
        struct tapsi_port_user *user = port->users[i];
        if (user && user != done && user->ops->writable)
            user->ops->writable(user);
        done = user;
    }
}

int tapsi_port_write(struct tapsi_port *port, const struct tapsi_port_way *way, const void *bytes, size_t length,
                     size_t segment)
{
    struct tapsi_udpsocket *s = &port->socket;
    struct tapsi_port_way own = *way;
    size_t taken = 0;
    assert(!segment || (length <= TAPSI_PORT_TRAIN_BYTES && length <= TAPSI_PORT_TRAIN_MAX * segment));
    if (s->blocked || port->left)
        return -EAGAIN;
    if (port->one_address)
        own.from.sa.sa_family = AF_UNSPEC;               /* the socket sends from it by itself */
    tapsi_udpsocket_set_discovery(s, IP_PMTUDISC_PROBE); /* a system that refuses it is still used */
    int err = tapsi_udpsocket_write(s, &own, bytes, length, segment, &taken);
    if (!err && taken < length)
        keep_left(port, &own, (const uint8_t *)bytes + taken, length - taken, segment);
    if (err && err != -EAGAIN && err != -EMSGSIZE)
        port->lost++;
    if (s->told)
        tapsi_timer_start(loop_of(port), &port->later, NEXT_TURN_NS);
    return err;
}

/* -------------------------------------------------------------------------------------------------------- events */

static void on_later(struct tapsi_timer *timer)
{
    struct tapsi_port *port = TAPSI_CONTAINER(timer, struct tapsi_port, later);
    int told = port->socket.told;
    port->refs++;
    port->socket.told = 0;
    if (told)
        take_errors(port, told);
    receive(port);
    tapsi_port_unref(port);
}

static void on_event(struct tapsi_watch *watch, unsigned io)
{
    struct tapsi_udpsocket *s = TAPSI_CONTAINER(watch, struct tapsi_udpsocket, watch);
    struct tapsi_port *port = TAPSI_CONTAINER(s, struct tapsi_port, socket);
    bool was_blocked = s->blocked;
    port->refs++;
    tapsi_udpsocket_event(s, io);
    if (io & TAPSI_IO_ERROR)
        take_errors(port, 0);
    if (was_blocked && !s->blocked)
        resume(port);
    receive(port);
    tapsi_port_unref(port);
}

/* --------------------------------------------------------------------------------------------------------- opening */

/* The interface of the one address, for the MTU. */
static void find_interface(struct tapsi_port *port)
{
    struct tapsi_network *network;
    struct tapsi_platform *p = loop_of(port)->platform;
    if (p->ops->network(p, &network) < 0)
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

static bool wants_soft_errors(const struct tapsi_env *env)
{
    return tapsi_preference(env->properties, TAPS_SOFT_ERROR_NOTIFY) >= TAPS_PREFER;
}

/* QUIC moves much, and wants to know what the network does. */
static void suit(struct tapsi_port *port, enum tapsi_port_class class)
{
    if (class != TAPSI_PORT_QUIC)
        return;
    tapsi_udpsocket_ask_errors(&port->socket);
    tapsi_udpsocket_use_trains(&port->socket);
}

static int open_listening(struct tapsi_port *port, const struct tapsi_target *target, const union tapsi_addr *local)
{
    struct tapsi_udpsocket *s = &port->socket;
    struct tapsi_platform *p = loop_of(port)->platform;
    bool any = tapsi_addr_is_any(local), group = tapsi_addr_is_multicast(local);
    bool dual = local->sa.sa_family == AF_INET6 && any && !target->v6_only;
    int err = tapsi_udpsocket_open(s, loop_of(port), local->sa.sa_family, wants_soft_errors(port->env));
    if (!err && port->env->properties->values[TAPS_REUSE_PORT].boolean)
        err = tapsi_udpsocket_set(s, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!err && s->family == AF_INET6)
        err = tapsi_udpsocket_set(s, IPPROTO_IPV6, IPV6_V6ONLY, !dual);
    if (err < 0)
        return err;
    if (dual)
        tapsi_udpsocket_become_dual(s);
    port->one_address = !any && !group && !tapsi_addr_is_link_local(local) &&
                        !(local->sa.sa_family == AF_INET && local->in.sin_addr.s_addr == INADDR_BROADCAST);
    if (any || group)
        tapsi_udpsocket_ask_path(s);
    if ((err = tapsi_udpsocket_bind(s, target->interface, local)) < 0 ||
        (err = p->ops->getsockname(p, s->fd, &port->local)) < 0)
        return err;
    if (!s->tells_path)
        find_interface(port);
    return tapsi_udpsocket_watch(s, on_event);
}

static int open_connected(struct tapsi_port *port, const struct tapsi_target *target)
{
    struct tapsi_udpsocket *s = &port->socket;
    struct tapsi_platform *p = loop_of(port)->platform;
    int err = tapsi_udpsocket_open(s, loop_of(port), target->remote->sa.sa_family, true);
    if (err < 0)
        return err;
    tapsi_udpsocket_use_trains(s);
    if ((err = tapsi_udpsocket_bind(s, target->interface, target->local)) < 0 ||
        (err = tapsi_udpsocket_prefer_source(s, port->env->properties, target->choose_source)) < 0 ||
        (err = p->ops->connect(p, s->fd, target->remote)) < 0 ||
        (err = p->ops->getsockname(p, s->fd, &port->local)) < 0)
        return err;
    s->connected = port->one_address = true;
    port->interface_index = target->interface_index;
    return tapsi_udpsocket_watch(s, on_event);
}

static int new_port(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_port **ret)
{
    struct tapsi_port *port = tapsi_zalloc(&env->loop->mem, sizeof(*port));
    if (!port)
        return -ENOMEM;
    port->refs = 1;
    port->socket.fd = port->socket.watch.fd = -1;
    port->v6_only = target->v6_only;
    if (target->interface)
        tapsi_format(port->interface, sizeof(port->interface), "%s", target->interface);
    tapsi_link_init(&port->link);
    tapsi_task_init(&port->task, NULL);
    if (tapsi_timer_init(env->loop, &port->later, on_later) < 0) {
        tapsi_free(&env->loop->mem, port);
        return -ENOMEM;
    }
    port->env = tapsi_env_ref(env);
    *ret = port;
    return 0;
}

static int listen_at(struct tapsi_env *env, const struct tapsi_target *target, const union tapsi_addr *local,
                     struct tapsi_port **ret)
{
    struct tapsi_port *port;
    int err = new_port(env, target, &port);
    if (err < 0)
        return err;
    err = open_listening(port, target, local);
    if (err < 0) {
        tapsi_port_unref(port);
        return err;
    }
    tapsi_list_append(&env->ports, &port->link);
    *ret = port;
    return 0;
}

static int listen_somewhere(struct tapsi_env *env, const struct tapsi_target *target, union tapsi_addr *local,
                            struct tapsi_port **ret)
{
    static const uint8_t any[16];
    if (target->local) {
        *local = *target->local;
        return listen_at(env, target, local, ret);
    }
    tapsi_addr_from_bytes(local, AF_INET6, any);
    int err = listen_at(env, target, local, ret);
    if (err != -EAFNOSUPPORT && err != -EADDRNOTAVAIL)
        return err;
    tapsi_addr_from_bytes(local, AF_INET, any);
    return listen_at(env, target, local, ret);
}

static struct tapsi_port *find_shared(struct tapsi_env *env, const struct tapsi_target *target)
{
    const char *interface = target->interface ? target->interface : "";
    if (!target->local || !tapsi_addr_port(target->local))
        return NULL;
    for (struct tapsi_link *l = env->ports.next; l != &env->ports; l = l->next) {
        struct tapsi_port *port = TAPSI_CONTAINER(l, struct tapsi_port, link);
        if (tapsi_addr_equal(&port->local, target->local) && port->v6_only == target->v6_only &&
            strcmp(port->interface, interface) == 0)
            return port;
    }
    return NULL;
}

static int word_failure(int err, const char *what, const union tapsi_addr *address, struct tapsi_error *ret_error)
{
    char text[TAPSI_ADDR_TEXT];
    return tapsi_error_native(ret_error, tapsi_err_from_errno(-err), TAPS_DOMAIN_ERRNO, -err, "udp %s %s: %s", what,
                              tapsi_addr_text(address, text), strerror(-err));
}

int tapsi_port_listen(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_port_class class,
                      struct tapsi_port_user *user, struct tapsi_error *ret_error)
{
    union tapsi_addr local;
    char text[TAPSI_ADDR_TEXT];
    struct tapsi_port *port = find_shared(env, target);
    if (port && port->users[class])
        return tapsi_error_set(ret_error, TAPS_E_ADDRESS_IN_USE, "udp on %s: another protocol has these datagrams",
                               tapsi_addr_text(target->local, text));
    if (port) {
        tapsi_port_ref(port);
        tapsi_udpsocket_listen_in(&port->socket, true);
    } else {
        int err = listen_somewhere(env, target, &local, &port);
        if (err < 0)
            return word_failure(err, "on", &local, ret_error);
    }
    suit(port, class);
    take_class(port, class, user);
    return 0;
}

struct tapsi_port_user *tapsi_port_holder(struct tapsi_env *env, const struct tapsi_target *target,
                                          enum tapsi_port_class class)
{
    struct tapsi_port *port = find_shared(env, target);
    return port ? port->users[class] : NULL;
}

struct tapsi_port_user *tapsi_port_next(const struct tapsi_port *port, const struct tapsi_port_user *after,
                                        enum tapsi_port_class class)
{
    const struct tapsi_link *ports = &port->env->ports;
    bool passed = !after;
    for (struct tapsi_link *l = ports->next; l != ports; l = l->next) {
        struct tapsi_port *other = TAPSI_CONTAINER(l, struct tapsi_port, link);
        if (passed && other->users[class])
            return other->users[class];
        passed |= after && after->port == other;
    }
    return NULL;
}

int tapsi_port_connect(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_port_user *user,
                       struct tapsi_error *ret_error)
{
    struct tapsi_port *port;
    int err = new_port(env, target, &port);
    if (err < 0)
        return word_failure(err, "to", target->remote, ret_error);
    err = open_connected(port, target);
    if (err < 0) {
        tapsi_port_unref(port);
        return word_failure(err, "to", target->remote, ret_error);
    }
    for (int i = 0; i < TAPSI_PORT_CLASSES; i++)
        take_class(port, i, user);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ questions */

const union tapsi_addr *tapsi_port_local(const struct tapsi_port *port)
{
    return &port->local;
}

const char *tapsi_port_interface(const struct tapsi_port *port)
{
    return port->interface[0] ? port->interface : NULL;
}

struct tapsi_udpsocket *tapsi_port_socket(struct tapsi_port *port)
{
    return &port->socket;
}

bool tapsi_port_is_connected(const struct tapsi_port *port)
{
    return port->socket.connected;
}

bool tapsi_port_takes_trains(const struct tapsi_port *port)
{
    return port->socket.trains_out;
}

unsigned tapsi_port_mtu(const struct tapsi_port *port, const union tapsi_addr *local, const union tapsi_addr *remote)
{
    int family = remote->sa.sa_family;
    unsigned headers = family == AF_INET6 ? 48 : 28, max = family == AF_INET6 ? TAPSI_UDP_MAX_IPV6 : TAPSI_UDP_MAX_IPV4;
    unsigned mtu = port->socket.connected
                       ? (unsigned)tapsi_udp_known_mtu(loop_of(port)->platform, port->socket.fd, family)
                       : tapsi_udp_path_mtu(loop_of(port), local, remote);
    if (mtu <= headers)
        return 0;
    return mtu - headers < max ? mtu - headers : max;
}
