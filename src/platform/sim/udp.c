/*
 * UDP: datagrams, and the errors that come back. A datagram in the air is a parcel; so is an ICMP message, which
 * carries the addresses of the datagram it answers and finds its socket by them, as in Linux: a connected socket gets
 * fatal errors as its pending error, and with IP_RECVERR or IPV6_RECVERR (that of the datagram's family) every error is
 * also queued for MSG_ERRQUEUE.
 */
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include "platform/sim/socket.h"

#define MAX_PAYLOAD   65507u
#define MAX_PAYLOAD6  65527u
#define OVERHEAD      64 /* what each datagram costs of the buffer besides its bytes */
#define ERRORS_MAX    64
#define ERROR_PAYLOAD 520 /* bytes of the datagram that an error brings back */
#define PIECES_OUT    128 /* datagrams of a train, as in Linux */
#define PIECES_IN     64
#define ECN_CE        3

struct datagram {
    struct tapsi_link link;
    union tapsi_addr from, to;
    unsigned index;
    int tos;
    size_t length;
    uint8_t bytes[];
};

struct error {
    struct tapsi_link link;
    struct sock_extended_err what;
    union tapsi_addr to, offender; /* to: where the datagram was sent */
    size_t length;
    uint8_t bytes[];
};

struct parcel {
    struct tapsi_sim_event event;
    struct tapsi_link link;
    struct tapsi_sim_host *host;    /* who gets it */
    unsigned index;                 /* by which interface */
    enum tapsi_sim_fault complaint; /* ICMP about a datagram from `from` to `to`; FINE: the datagram */
    bool neighbour;                 /* the complaint is that nobody answered on the link */
    unsigned mtu;                   /* the complaint is that it was larger than this */
    union tapsi_addr from, to, offender;
    int tos;
    size_t length;
    uint8_t bytes[];
};

static struct parcel *make_parcel(struct tapsi_sim *sim, const union tapsi_addr *from, const union tapsi_addr *to,
                                  size_t length)
{
    struct parcel *p = tapsi_sim_block(sim, sizeof *p, length);
    if (!p)
        return NULL;
    tapsi_link_init(&p->link);
    p->from = *from;
    p->to = *to;
    p->length = length;
    return p;
}

static void free_parcel(struct tapsi_sim *sim, struct parcel *p)
{
    tapsi_sim_cancel(sim, &p->event);
    tapsi_list_remove(&p->link);
    tapsi_free(&sim->mem, p);
}

void tapsi_simudp_done_all(struct tapsi_sim *sim)
{
    for (struct tapsi_link *l; (l = tapsi_list_first(&sim->parcels));)
        free_parcel(sim, TAPSI_CONTAINER(l, struct parcel, link));
}

static void arrive(struct tapsi_sim_event *event);

static void fly(struct parcel *p, struct tapsi_sim_host *host, unsigned index, uint64_t delay)
{
    p->host = host;
    p->index = index;
    p->event.fire = arrive;
    tapsi_list_append(&host->sim->parcels, &p->link);
    tapsi_sim_at(host->sim, &p->event, host->sim->now + delay);
}

static struct tapsi_simsock *find(struct tapsi_sim_host *host, const union tapsi_addr *local,
                                  const union tapsi_addr *remote, unsigned index)
{
    struct tapsi_simsock_choice choice = {0};
    for (struct tapsi_link *l = host->sockets.next; l != &host->sockets; l = l->next) {
        struct tapsi_simsock *s = TAPSI_CONTAINER(l, struct tapsi_simsock, link);
        if (s->type == SOCK_DGRAM)
            tapsi_simsock_consider(&choice, s, tapsi_simsock_fit(s, local, remote, index), remote);
    }
    return choice.best;
}

/* Errors. */

static void queue_error(struct tapsi_simsock *s, const struct sock_extended_err *what, const union tapsi_addr *to,
                        const union tapsi_addr *offender, const void *bytes, size_t length)
{
    length = length < ERROR_PAYLOAD ? length : ERROR_PAYLOAD;
    struct error *e = s->udp.error_count < ERRORS_MAX ? tapsi_sim_block(s->sim, sizeof *e, length) : NULL;
    if (!e)
        return;
    e->what = *what;
    e->to = *to;
    e->offender = *offender;
    e->length = length;
    if (length)
        memcpy(e->bytes, bytes, length);
    tapsi_list_append(&s->udp.errors, &e->link);
    s->udp.error_count++;
}

static bool wants_errors(const struct tapsi_simsock *s, int family)
{
    return family == AF_INET6 ? tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_RECVERR)
                              : tapsi_simsock_option(s, IPPROTO_IP, IP_RECVERR);
}

static int discovery(const struct tapsi_simsock *s, int family)
{
    return family == AF_INET6 ? tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_MTU_DISCOVER)
                              : tapsi_simsock_option(s, IPPROTO_IP, IP_MTU_DISCOVER);
}

static uint8_t icmp_code(const struct parcel *p, bool six)
{
    if (p->mtu)
        return six ? 0 : 4;
    if (p->neighbour)
        return six ? 3 : 1;
    switch (p->complaint) {
    case TAPSI_SIM_REFUSE:
        return six ? 4 : 3;
    case TAPSI_SIM_PROHIBIT:
        return six ? 1 : 13;
    default:
        return 0;
    }
}

/* What the socket is told, and whether a socket that did not ask for errors is told too. */
static int complaint_error(const struct tapsi_simsock *s, const struct parcel *p, bool *ret_fatal)
{
    int family = p->to.sa.sa_family;
    *ret_fatal =
        p->mtu ? discovery(s, family) != IP_PMTUDISC_DONT : !p->neighbour && p->complaint != TAPSI_SIM_UNREACHABLE;
    return p->mtu ? EMSGSIZE : p->neighbour ? EHOSTUNREACH : tapsi_simwire_errno(p->complaint, family);
}

static void complaint_arrives(struct parcel *p)
{
    struct tapsi_simsock *s = find(p->host, &p->from, &p->to, p->index);
    if (!s)
        return;
    bool six = p->to.sa.sa_family == AF_INET6, fatal;
    int err = complaint_error(s, p, &fatal);
    if (p->mtu)
        tapsi_simwire_narrow(s->host, &p->to, p->mtu);
    if (wants_errors(s, p->to.sa.sa_family)) {
        struct sock_extended_err what = {.ee_errno = (uint32_t)err,
                                         .ee_origin = six ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP,
                                         .ee_type = six ? (p->mtu ? 2 : 1) : 3,
                                         .ee_code = icmp_code(p, six),
                                         .ee_info = p->mtu};
        queue_error(s, &what, &p->to, &p->offender, p->bytes, p->length);
    } else if (!fatal || !s->remote.sa.sa_family) {
        return;
    }
    s->error = err;
    tapsi_simsock_wake(s);
}

/* The scope of a link-local address is the receiver's own interface. */
static void rescope(union tapsi_addr *a, unsigned index)
{
    if (a->sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(a))
        a->in6.sin6_scope_id = index;
}

/* Nobody listens at p->to: tells the sender. */
static void complain(const struct parcel *p)
{
    struct tapsi_simwire_way back = {.host = p->host, .from = p->to, .to = p->from, .header = 8};
    if (p->from.sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(&p->from))
        back.device = p->index;
    struct tapsi_simwire_verdict v;
    tapsi_simwire_send(&back, "ICMP", p->length, &v);
    if (v.fate != TAPSI_SIM_ARRIVES)
        return;
    struct parcel *icmp = make_parcel(p->host->sim, &p->from, &p->to, p->length);
    if (!icmp)
        return;
    icmp->complaint = TAPSI_SIM_REFUSE;
    rescope(&icmp->from, v.in->index);
    rescope(&icmp->to, v.in->index);
    icmp->offender = icmp->to;
    memcpy(icmp->bytes, p->bytes, p->length);
    fly(icmp, v.in->host, v.in->index, v.delay);
}

/* Datagrams. */

static void wake_gathered(struct tapsi_sim_event *event)
{
    tapsi_simsock_wake(TAPSI_CONTAINER(event, struct tapsi_simsock, udp.gathered));
}

/* As a driver hands up what it has: what came at one time can become a train. */
static void wake_reader(struct tapsi_simsock *s)
{
    if (!tapsi_simsock_option(s, IPPROTO_UDP, UDP_GRO)) {
        tapsi_simsock_wake(s);
    } else if (!s->udp.gathered.node.index) {
        s->udp.gathered.fire = wake_gathered;
        tapsi_sim_at(s->sim, &s->udp.gathered, s->sim->now);
    }
}

static void datagram_arrives(struct parcel *p)
{
    struct tapsi_simsock *s = find(p->host, &p->to, &p->from, p->index);
    if (!s) {
        complain(p);
        return;
    }
    struct datagram *d = NULL;
    /* As in Linux, the one that makes the buffer full is still taken. */
    if (s->udp.queued <= tapsi_simsock_receive_room(s) && !s->udp.no_read)
        d = tapsi_sim_block(s->sim, sizeof *d, p->length);
    if (!d) {
        s->udp.dropped++;
        return;
    }
    d->from = p->from;
    d->to = p->to;
    d->index = p->index;
    d->tos = p->tos;
    d->length = p->length;
    memcpy(d->bytes, p->bytes, p->length);
    tapsi_list_append(&s->udp.datagrams, &d->link);
    s->udp.queued += d->length + OVERHEAD;
    wake_reader(s);
}

static void arrive(struct tapsi_sim_event *event)
{
    struct parcel *p = TAPSI_CONTAINER(event, struct parcel, event);
    struct tapsi_sim *sim = p->host->sim;
    if (p->complaint || p->neighbour || p->mtu)
        complaint_arrives(p);
    else
        datagram_arrives(p);
    free_parcel(sim, p);
}

static void fly_twice(const struct parcel *p, const struct tapsi_simwire_verdict *v)
{
    struct parcel *copy = make_parcel(v->in->host->sim, &p->from, &p->to, p->length);
    if (!copy)
        return;
    copy->tos = p->tos;
    memcpy(copy->bytes, p->bytes, p->length);
    fly(copy, v->in->host, v->in->index, v->copy_delay);
}

static void put_on_wire(struct tapsi_sim_host *host, const struct tapsi_simwire_way *way, struct parcel *p)
{
    struct tapsi_simwire_verdict v;
    tapsi_simwire_send(way, "UDP", p->length, &v);
    if (v.fate == TAPSI_SIM_ARRIVES) {
        rescope(&p->from, v.in->index);
        rescope(&p->to, v.in->index);
        if (v.marked && (p->tos & ECN_CE))
            p->tos |= ECN_CE;
        if (v.copy_delay)
            fly_twice(p, &v);
        fly(p, v.in->host, v.in->index, v.delay);
    } else if (v.fate == TAPSI_SIM_ANSWERED || v.unowned) {
        p->complaint = v.answer;
        p->neighbour = v.unowned;
        p->mtu = v.mtu;
        p->offender = v.unowned ? way->from : way->to;
        fly(p, host, v.out->index, v.delay);
    } else {
        free_parcel(host->sim, p);
    }
}

static bool no_fragments(const struct tapsi_simsock *s, int family)
{
    int discover = discovery(s, family);
    return discover == IP_PMTUDISC_DO || discover == IP_PMTUDISC_PROBE ||
           (family == AF_INET6 && tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_DONTFRAG));
}

/* How the socket's choice of path MTU discovery shows on the wire. */
static void set_fragmentation(const struct tapsi_simsock *s, struct tapsi_simwire_way *way, size_t length)
{
    int family = way->to.sa.sa_family, discover = discovery(s, family);
    way->whole = discover >= IP_PMTUDISC_PROBE;
    if (family == AF_INET6)
        return;
    bool cut = length + way->header + 20 > tapsi_simwire_mtu(way);
    way->divisible =
        discover != IP_PMTUDISC_DO && discover != IP_PMTUDISC_PROBE && (discover != IP_PMTUDISC_WANT || cut);
}

/* The pieces of a train are never fragmented. */
static int check_size(struct tapsi_simsock *s, const struct tapsi_simwire_way *way, size_t length, size_t segment)
{
    int family = way->to.sa.sa_family;
    unsigned mtu = tapsi_simwire_mtu(way), header = family == AF_INET6 ? 48 : 28;
    if (length > (family == AF_INET6 ? MAX_PAYLOAD6 : MAX_PAYLOAD))
        return -EMSGSIZE;
    if (segment && (length < segment ? length : segment) + header > mtu)
        return -EMSGSIZE;
    if (segment && length > segment * PIECES_OUT)
        return -EINVAL;
    if (segment || length + header <= mtu || !no_fragments(s, family))
        return 0;
    if (wants_errors(s, family)) {
        struct sock_extended_err what = {.ee_errno = EMSGSIZE, .ee_origin = SO_EE_ORIGIN_LOCAL, .ee_info = mtu};
        union tapsi_addr nobody = {.sa = {.sa_family = AF_UNSPEC}};
        queue_error(s, &what, &way->to, &nobody, NULL, 0);
        tapsi_simsock_wake(s);
    }
    return -EMSGSIZE;
}

static void to_loopback(union tapsi_addr *a)
{
    if (!tapsi_addr_is_any(a))
        return;
    if (a->sa.sa_family == AF_INET)
        a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        a->in6.sin6_addr = in6addr_loopback;
}

static int find_destination(const struct tapsi_simsock *s, const struct msghdr *message, union tapsi_addr *ret)
{
    if (!message->msg_name) {
        *ret = s->remote;
        return s->remote.sa.sa_family ? 0 : -EDESTADDRREQ;
    }
    union tapsi_addr shown;
    memset(&shown, 0, sizeof shown);
    if (message->msg_namelen < sizeof shown.sa)
        return -EINVAL;
    memcpy(&shown, message->msg_name, message->msg_namelen < sizeof shown ? message->msg_namelen : sizeof shown);
    if (message->msg_namelen < (s->family == AF_INET6 ? sizeof shown.in6 : sizeof shown.in))
        return -EINVAL;
    int r = tapsi_simsock_inside(s, &shown, ret);
    if (r < 0)
        return r;
    if (!tapsi_addr_port(ret))
        return -EINVAL;
    to_loopback(ret);
    bool broadcast = ret->sa.sa_family == AF_INET && ret->in.sin_addr.s_addr == htonl(INADDR_BROADCAST);
    return broadcast && !tapsi_simsock_option(s, SOL_SOCKET, SO_BROADCAST) ? -EACCES : 0;
}

/* An unconnected socket gets a port, and stays open to all addresses. */
static int autobind_any(struct tapsi_simsock *s)
{
    static const uint8_t nothing[16];
    union tapsi_addr any;
    if (s->local.sa.sa_family)
        return 0;
    tapsi_addr_from_bytes(&any, s->family, nothing);
    return tapsi_simsock_autobind(s, &any);
}

static int find_way(struct tapsi_simsock *s, const union tapsi_addr *to, const struct tapsi_simcontrol *control,
                    struct tapsi_simwire_way *ret)
{
    unsigned device = s->device;
    if (control->index && device && control->index != device)
        return -EINVAL;
    if (control->index)
        s->device = control->index;
    int r = tapsi_simsock_way(s, to, ret);
    s->device = device;
    if (r < 0)
        return r;
    if (control->source.sa.sa_family) {
        if (control->source.sa.sa_family != to->sa.sa_family)
            return -EINVAL;
        ret->from = control->source;
    } else if (s->remote.sa.sa_family && !tapsi_addr_is_any(&s->local)) {
        ret->from = s->local;
        if (to->sa.sa_family == AF_INET && !tapsi_simhost_owner(s->host, &ret->from))
            return -ENETUNREACH;
    }
    tapsi_addr_set_port(&ret->from, tapsi_addr_port(&s->local));
    return 0;
}

static int tos_of(const struct tapsi_simsock *s, const struct tapsi_simcontrol *control, int family)
{
    int tos = family == AF_INET6 ? tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_TCLASS)
                                 : tapsi_simsock_option(s, IPPROTO_IP, IP_TOS);
    return control->tos >= 0 ? control->tos : tos < 0 ? 0 : tos;
}

/* Each piece of a train is a packet, with its own fate. */
static int send_pieces(struct tapsi_simsock *s, const struct tapsi_simwire_way *way, int tos, const struct msghdr *m,
                       size_t length, size_t segment)
{
    uint8_t *bytes = tapsi_sim_block(s->sim, length, 0);
    if (!bytes)
        return -ENOBUFS;
    tapsi_simbytes_gather(m->msg_iov, m->msg_iovlen, bytes, length);
    for (size_t at = 0; at < length; at += segment) {
        size_t size = length - at < segment ? length - at : segment;
        struct parcel *p = make_parcel(s->sim, &way->from, &way->to, size);
        if (!p)
            break;
        p->tos = tos;
        memcpy(p->bytes, bytes + at, size);
        put_on_wire(s->host, way, p);
    }
    tapsi_free(&s->sim->mem, bytes);
    return 0;
}

ssize_t tapsi_simudp_send(struct tapsi_simsock *s, const struct msghdr *message)
{
    struct tapsi_simcontrol control;
    struct tapsi_simwire_way way;
    union tapsi_addr to;
    if (s->udp.no_write)
        return -EPIPE;
    if (s->error)
        return -tapsi_simsock_take_error(s);
    int r = find_destination(s, message, &to);
    r = r < 0 ? r : tapsi_simcontrol_parse(s, message, &control);
    r = r < 0 ? r : autobind_any(s);
    r = r < 0 ? r : find_way(s, &to, &control, &way);
    size_t length = tapsi_simbytes_total(message->msg_iov, message->msg_iovlen);
    if (r < 0)
        return r;
    set_fragmentation(s, &way, length);
    r = check_size(s, &way, length, control.segment);
    if (r < 0)
        return r;
    int tos = tos_of(s, &control, way.to.sa.sa_family);
    if (control.segment && control.segment < length) {
        way.divisible = false;
        r = send_pieces(s, &way, tos, message, length, control.segment);
        return r < 0 ? r : (ssize_t)length;
    }
    struct parcel *p = make_parcel(s->sim, &way.from, &way.to, length);
    if (!p)
        return -ENOBUFS;
    p->tos = tos;
    tapsi_simbytes_gather(message->msg_iov, message->msg_iovlen, p->bytes, length);
    put_on_wire(s->host, &way, p);
    return (ssize_t)length;
}

void tapsi_simudp_send_forged(struct tapsi_sim_host *host, const union tapsi_addr *from, const union tapsi_addr *to,
                              const void *bytes, size_t count)
{
    struct tapsi_simwire_way way = {.host = host, .from = *from, .to = *to, .forged = true, .header = 8};
    struct parcel *p = make_parcel(host->sim, from, to, count);
    if (!p)
        return;
    way.divisible = to->sa.sa_family == AF_INET;
    if (count)
        memcpy(p->bytes, bytes, count);
    put_on_wire(host, &way, p);
}

int tapsi_simudp_connect(struct tapsi_simsock *s, const union tapsi_addr *to)
{
    union tapsi_addr inside;
    struct tapsi_simwire_way way;
    if (to->sa.sa_family == AF_UNSPEC) {
        s->remote.sa.sa_family = 0;
        if (!s->address_bound && s->local.sa.sa_family) {
            uint16_t port = tapsi_addr_port(&s->local);
            static const uint8_t nothing[16];
            tapsi_addr_from_bytes(&s->local, s->family, nothing);
            tapsi_addr_set_port(&s->local, port);
        }
        return 0;
    }
    int r = tapsi_simsock_inside(s, to, &inside);
    if (r < 0)
        return r;
    to_loopback(&inside);
    r = tapsi_simsock_way(s, &inside, &way);
    r = r < 0 ? r : tapsi_simsock_autobind(s, &way.from);
    if (r == 0)
        s->remote = inside;
    return r;
}

/* Receiving. */

static void give_name(const struct tapsi_simsock *s, struct msghdr *message, const union tapsi_addr *inside)
{
    union tapsi_addr shown;
    tapsi_simsock_outside(s, inside, &shown);
    socklen_t length = tapsi_addr_length(&shown);
    if (message->msg_name)
        memcpy(message->msg_name, &shown, message->msg_namelen < length ? message->msg_namelen : length);
    message->msg_namelen = message->msg_name ? length : 0;
}

static ssize_t give_bytes(struct msghdr *message, const void *bytes, size_t length, int flags)
{
    size_t copied = tapsi_simbytes_scatter(message->msg_iov, message->msg_iovlen, bytes, length);
    if (copied < length)
        message->msg_flags |= MSG_TRUNC;
    return (ssize_t)(flags & MSG_TRUNC ? length : copied);
}

static ssize_t receive_error(struct tapsi_simsock *s, struct msghdr *message, int flags)
{
    struct tapsi_link *first = tapsi_list_pop(&s->udp.errors);
    if (!first)
        return -EAGAIN;
    struct error *e = TAPSI_CONTAINER(first, struct error, link);
    bool six = e->to.sa.sa_family == AF_INET6;
    struct {
        struct sock_extended_err what;
        union tapsi_addr offender;
    } both;
    memset(&both, 0, sizeof both);
    both.what = e->what;
    both.offender = e->offender;
    tapsi_addr_set_port(&both.offender, 0);
    size_t used = 0, size = sizeof both.what + (six ? sizeof both.offender.in6 : sizeof both.offender.in);
    tapsi_simcontrol_add(message, &used, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_RECVERR : IP_RECVERR, &both, size);
    message->msg_controllen = used;
    message->msg_flags |= MSG_ERRQUEUE;
    give_name(s, message, &e->to);
    ssize_t n = give_bytes(message, e->bytes, e->length, flags);
    tapsi_free(&s->sim->mem, e);
    s->udp.error_count--;
    struct tapsi_link *next = tapsi_list_first(&s->udp.errors);
    s->error = next ? (int)TAPSI_CONTAINER(next, struct error, link)->what.ee_errno : 0;
    return n;
}

/* May `d` be behind `first` in a train? */
static bool goes_on(const struct datagram *first, const struct datagram *d)
{
    return tapsi_addr_equal(&first->from, &d->from) && tapsi_addr_equal(&first->to, &d->to) &&
           first->index == d->index && first->tos == d->tos && d->length && d->length <= first->length;
}

/* How many of those waiting are one train (UDP_GRO): of one way and length, but for a shorter one at the end. */
static size_t train_length(const struct tapsi_simsock *s, const struct datagram *first, size_t *ret_bytes)
{
    size_t count = 1, bytes = first->length, last = first->length;
    bool joins = tapsi_simsock_option(s, IPPROTO_UDP, UDP_GRO) && first->length;
    for (struct tapsi_link *l = first->link.next; joins && l != &s->udp.datagrams; l = l->next) {
        const struct datagram *d = TAPSI_CONTAINER(l, struct datagram, link);
        if (last < first->length || count == PIECES_IN || bytes + d->length > MAX_PAYLOAD || !goes_on(first, d))
            break;
        count++;
        bytes += d->length;
        last = d->length;
    }
    *ret_bytes = bytes;
    return count;
}

static ssize_t give_train(struct tapsi_simsock *s, struct msghdr *message, struct datagram *first, size_t bytes,
                          int flags)
{
    uint8_t *flat = tapsi_sim_block(s->sim, bytes, 0);
    size_t used = 0;
    if (!flat)
        return -ENOBUFS;
    for (struct tapsi_link *l = &first->link; used < bytes; l = l->next) {
        const struct datagram *d = TAPSI_CONTAINER(l, struct datagram, link);
        memcpy(flat + used, d->bytes, d->length);
        used += d->length;
    }
    ssize_t n = give_bytes(message, flat, bytes, flags);
    tapsi_free(&s->sim->mem, flat);
    return n;
}

static void drop_first(struct tapsi_simsock *s)
{
    struct datagram *d = TAPSI_CONTAINER(tapsi_list_pop(&s->udp.datagrams), struct datagram, link);
    s->udp.queued -= d->length + OVERHEAD;
    tapsi_free(&s->sim->mem, d);
}

ssize_t tapsi_simudp_receive(struct tapsi_simsock *s, struct msghdr *message, int flags)
{
    message->msg_flags = 0;
    if (flags & MSG_ERRQUEUE)
        return receive_error(s, message, flags);
    if (s->error)
        return -tapsi_simsock_take_error(s);
    struct tapsi_link *first = tapsi_list_first(&s->udp.datagrams);
    if (!first)
        return s->udp.no_read ? 0 : -EAGAIN;
    struct datagram *d = TAPSI_CONTAINER(first, struct datagram, link);
    size_t used = 0, bytes, count = train_length(s, d, &bytes);
    int segment = (int)d->length;
    give_name(s, message, &d->from);
    tapsi_simcontrol_describe(s, message, &used, &d->to, d->index, d->tos);
    if (count > 1)
        tapsi_simcontrol_add(message, &used, IPPROTO_UDP, UDP_GRO, &segment, sizeof segment);
    message->msg_controllen = used;
    ssize_t n = count > 1 ? give_train(s, message, d, bytes, flags) : give_bytes(message, d->bytes, d->length, flags);
    for (size_t i = 0; i < count && n >= 0 && !(flags & MSG_PEEK); i++)
        drop_first(s);
    return n;
}

int tapsi_simudp_shutdown(struct tapsi_simsock *s, int how)
{
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return -EINVAL;
    s->udp.no_read |= how != SHUT_WR;
    s->udp.no_write |= how != SHUT_RD;
    tapsi_simsock_wake(s);
    return s->remote.sa.sa_family ? 0 : -ENOTCONN;
}

unsigned tapsi_simudp_poll(const struct tapsi_simsock *s)
{
    unsigned io = TAPSI_IO_OUT;
    if (!tapsi_list_empty(&s->udp.datagrams))
        io |= TAPSI_IO_IN;
    if (s->error || !tapsi_list_empty(&s->udp.errors))
        io |= TAPSI_IO_ERROR;
    if (s->udp.no_read)
        io |= TAPSI_IO_IN | TAPSI_IO_END;
    return io;
}

void tapsi_simudp_done(struct tapsi_simsock *s)
{
    tapsi_sim_cancel(s->sim, &s->udp.gathered);
    for (struct tapsi_link *l; (l = tapsi_list_pop(&s->udp.datagrams));)
        tapsi_free(&s->sim->mem, TAPSI_CONTAINER(l, struct datagram, link));
    for (struct tapsi_link *l; (l = tapsi_list_pop(&s->udp.errors));)
        tapsi_free(&s->sim->mem, TAPSI_CONTAINER(l, struct error, link));
}
