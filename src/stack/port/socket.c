#include "stack/port/socket.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/uio.h>

#define HEADER_UDP  8
#define HEADER_IPV4 20
#define HEADER_IPV6 40
#define IPV6_LEAST  1280 /* every IPv6 path takes so much */

static struct tapsi_platform *platform_of(const struct tapsi_udpsocket *s)
{
    return s->loop->platform;
}

/* ----------------------------------------------------------------------------------------- open and options */

int tapsi_udpsocket_set(struct tapsi_udpsocket *s, int level, int option, int value)
{
    struct tapsi_platform *p = platform_of(s);
    return p->ops->setsockopt(p, s->fd, level, option, &value, sizeof(value));
}

/* An option of both families: a dual socket needs it twice. The first failure counts. */
static int set_both(struct tapsi_udpsocket *s, int option_v4, int option_v6, int value)
{
    int err = 0;
    if (s->family == AF_INET6)
        err = tapsi_udpsocket_set(s, IPPROTO_IPV6, option_v6, value);
    if (s->family == AF_INET || (s->dual && err == 0))
        err = tapsi_udpsocket_set(s, IPPROTO_IP, option_v4, value);
    return err;
}

int tapsi_udpsocket_open(struct tapsi_udpsocket *s, struct tapsi_loop *loop, int family, bool soft_errors)
{
    struct tapsi_platform *p = loop->platform;
    int fd = p->ops->socket(p, family, SOCK_DGRAM, IPPROTO_UDP);
    if (fd < 0)
        return fd;
    *s = (struct tapsi_udpsocket){.loop = loop, .fd = fd, .family = family, .watch = {.fd = -1}};
    if (!soft_errors)
        return 0;
    s->tells_ecn = set_both(s, IP_RECVTOS, IPV6_RECVTCLASS, 1) == 0;
    s->recverr = set_both(s, IP_RECVERR, IPV6_RECVERR, 1) == 0;
    return 0;
}

void tapsi_udpsocket_become_dual(struct tapsi_udpsocket *s)
{
    s->dual = true;
    if (s->tells_ecn)
        tapsi_udpsocket_set(s, IPPROTO_IP, IP_RECVTOS, 1);
    if (s->recverr)
        tapsi_udpsocket_set(s, IPPROTO_IP, IP_RECVERR, 1);
}

int tapsi_udpsocket_bind(struct tapsi_udpsocket *s, const char *interface, const union tapsi_addr *local)
{
    struct tapsi_platform *p = platform_of(s);
    if (interface && interface[0]) {
        int err = p->ops->setsockopt(p, s->fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface));
        if (err < 0)
            return err;
    }
    return local ? p->ops->bind(p, s->fd, local) : 0;
}

static int watch_for(struct tapsi_udpsocket *s)
{
    struct tapsi_platform *p = platform_of(s);
    unsigned io = (s->deaf ? 0u : (unsigned)TAPSI_IO_IN) | (s->blocked ? (unsigned)TAPSI_IO_OUT : 0u);
    return p->ops->watch_level(p, s->fd, &s->watch, io);
}

int tapsi_udpsocket_watch(struct tapsi_udpsocket *s, void (*ready)(struct tapsi_watch *, unsigned))
{
    struct tapsi_platform *p = platform_of(s);
    s->watch.ready = ready;
    s->level = p->ops->watch_level != NULL;
    int err = s->level ? watch_for(s) : p->ops->watch(p, s->fd, &s->watch);
    if (err < 0)
        s->watch.fd = -1;
    return err;
}

int tapsi_udpsocket_take_error(struct tapsi_udpsocket *s)
{
    struct tapsi_platform *p = platform_of(s);
    int err = 0;
    socklen_t length = sizeof(err);
    return p->ops->getsockopt(p, s->fd, SOL_SOCKET, SO_ERROR, &err, &length) < 0 ? 0 : err;
}

void tapsi_udpsocket_listen_in(struct tapsi_udpsocket *s, bool on)
{
    if (!s->level || s->deaf == !on || s->watch.fd < 0)
        return;
    s->deaf = !on;
    watch_for(s);
}

/* The kernel takes no more, or takes again. */
static void set_blocked(struct tapsi_udpsocket *s, bool blocked)
{
    if (s->blocked == blocked)
        return;
    s->blocked = blocked;
    if (s->level && s->watch.fd >= 0)
        watch_for(s);
}

bool tapsi_udpsocket_event(struct tapsi_udpsocket *s, unsigned io)
{
    if (io & TAPSI_IO_OUT)
        set_blocked(s, false);
    if (!(io & (TAPSI_IO_IN | TAPSI_IO_ERROR)))
        return false;
    s->readable = true;
    return true;
}

void tapsi_udpsocket_close(struct tapsi_udpsocket *s)
{
    if (s->fd < 0)
        return;
    struct tapsi_platform *p = platform_of(s);
    if (s->watch.fd != -1)
        p->ops->unwatch(p, &s->watch);
    p->ops->close(p, s->fd);
    s->fd = -1;
}

int tapsi_udp_tos(int capacity_profile)
{
    return tapsi_capacity_dscp(capacity_profile) << 2;
}

int tapsi_udpsocket_set_tos(struct tapsi_udpsocket *s, int tos)
{
    if (tos == s->tos)
        return 0;
    int err = set_both(s, IP_TOS, IPV6_TCLASS, tos);
    if (err == 0)
        s->tos = tos;
    return err;
}

/* DF stays on only while messages ask for it: others may be fragmented, that is what the system does by itself. */
static int set_no_fragments(struct tapsi_udpsocket *s, bool on)
{
    if (on == s->no_fragments)
        return 0;
    int value = on ? IP_PMTUDISC_DO : IP_PMTUDISC_WANT;
    _Static_assert(IP_PMTUDISC_DO == IPV6_PMTUDISC_DO && IP_PMTUDISC_WANT == IPV6_PMTUDISC_WANT, "one value for both");
    int err = set_both(s, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, value);
    if (err == 0)
        s->no_fragments = on;
    return err;
}

/* --------------------------------------------------------------------------------------------- mapped addresses */

static void map(union tapsi_addr *a)
{
    if (a->sa.sa_family != AF_INET)
        return;
    uint16_t port = tapsi_addr_port(a);
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    memcpy(bytes + 12, &a->in.sin_addr, 4);
    tapsi_addr_from_bytes(a, AF_INET6, bytes);
    tapsi_addr_set_port(a, port);
}

/* ------------------------------------------------------------------------------------------------------ errors */

bool tapsi_udp_is_soft(int err)
{
    switch (-err) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case ENOPROTOOPT: /* ICMP: protocol unreachable */
    case EPROTO:      /* ICMP: parameter problem */
    case EOPNOTSUPP:  /* ICMP: source route failed */
    case EACCES:      /* ICMPv6: prohibited */
        return true;
    default:
        return false;
    }
}

void tapsi_udp_soft_error(struct tapsi_layer *layer, int err, const union tapsi_addr *to)
{
    struct tapsi_error error;
    char text[TAPSI_ADDR_TEXT];
    tapsi_error_native(&error, tapsi_err_from_errno(err), TAPS_DOMAIN_ERRNO, err, "the network reported about %s: %s",
                       tapsi_addr_text(to, text), strerror(err));
    tapsi_layer_event(layer, TAPSI_EVENT_SOFT_ERROR, &error);
}

void tapsi_udpsocket_errors(struct tapsi_udpsocket *s, void (*report)(void *arg, const union tapsi_addr *to, int err),
                            void *arg)
{
    struct tapsi_platform *p = platform_of(s);
    for (int i = 0; i < TAPSI_UDP_TURN && s->fd >= 0; i++) {
        char control[256] __attribute__((aligned(8)));
        union tapsi_addr to = {0};
        struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof(to)};
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        if (p->ops->recvmsg(p, s->fd, &m, MSG_ERRQUEUE) < 0)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
            struct sock_extended_err e;
            bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
            bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
            if (!(v4 || v6) || c->cmsg_len < CMSG_LEN(sizeof(e)))
                continue;
            memcpy(&e, CMSG_DATA(c), sizeof(e));
            tapsi_addr_unmap(&to);
            if (e.ee_errno)
                report(arg, &to, (int)e.ee_errno);
            break;
        }
    }
}

static int connect_for_mtu(struct tapsi_platform *p, int fd, const union tapsi_addr *local,
                           const union tapsi_addr *remote)
{
    union tapsi_addr from = *local;
    tapsi_addr_set_port(&from, 0);
    int err = from.sa.sa_family ? p->ops->bind(p, fd, &from) : 0;
    return err < 0 ? err : p->ops->connect(p, fd, remote);
}

int tapsi_udp_known_mtu(struct tapsi_platform *p, int fd, int family)
{
    int mtu = 0;
    socklen_t length = sizeof(mtu);
    int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, option = family == AF_INET6 ? IPV6_MTU : IP_MTU;
    return p->ops->getsockopt(p, fd, level, option, &mtu, &length) < 0 || mtu < 0 ? 0 : mtu;
}

unsigned tapsi_udp_path_mtu(struct tapsi_loop *loop, const union tapsi_addr *local, const union tapsi_addr *remote)
{
    struct tapsi_platform *p = loop->platform;
    int family = remote->sa.sa_family, mtu = 0;
    int fd = p->ops->socket(p, family, SOCK_DGRAM, IPPROTO_UDP);
    if (fd < 0)
        return 0;
    if (connect_for_mtu(p, fd, local, remote) >= 0)
        mtu = tapsi_udp_known_mtu(p, fd, family);
    p->ops->close(p, fd);
    return (unsigned)mtu;
}

bool tapsi_udp_take_mtu(struct tapsi_layer *layer, unsigned mtu, int family)
{
    unsigned headers = HEADER_UDP + (family == AF_INET6 ? HEADER_IPV6 : HEADER_IPV4);
    uint32_t payload = mtu > headers ? mtu - headers : IPV6_LEAST - headers;
    layer->max_message = family == AF_INET6 ? TAPSI_UDP_MAX_IPV6 : TAPSI_UDP_MAX_IPV4;
    if (payload > layer->max_message)
        payload = layer->max_message;
    bool news = payload != layer->mtu;
    layer->mtu = payload;
    return news;
}

int tapsi_udp_get(const struct tapsi_layer *layer, int what, int profile, union tapsi_got *ret)
{
    struct taps_value *value = &ret->value;
    switch (what) {
    case TAPS_CONN_CAPACITY_PROFILE:
        *value = (struct taps_value){.type = TAPS_TYPE_ENUMERATION, .enumeration = profile};
        return TAPSI_HANDLED;
    case TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN:
        *value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = layer->mtu};
        return TAPSI_HANDLED;
    case TAPS_SEND_MSG_MAX_LEN:
    case TAPS_RECV_MSG_MAX_LEN:
        *value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = layer->max_message};
        return TAPSI_HANDLED;
    case TAPSI_GET_UNSENT:
        *value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = layer->queued};
        return TAPSI_HANDLED;
    default:
        return TAPSI_PASS;
    }
}

void tapsi_udp_statistics(const struct tapsi_layer *layer, const struct tapsi_udpcounts *counts, int family,
                          uint64_t *values)
{
    values[TAPS_MESSAGES_SENT] = counts->sent;
    values[TAPS_BYTES_SENT] = counts->bytes_sent;
    values[TAPS_MESSAGES_RECEIVED] = counts->received;
    values[TAPS_BYTES_RECEIVED] = counts->bytes_received;
    values[TAPS_PATH_MTU] = layer->mtu + HEADER_UDP + (family == AF_INET6 ? HEADER_IPV6 : HEADER_IPV4);
}

/* --------------------------------------------------------------------------------------------------- receiving */

#define CONTROL_IN 192 /* both families' TOS and PKTINFO */

static void read_control(struct msghdr *m, struct tapsi_datagram *d)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        const unsigned char *data = CMSG_DATA(c);
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            d->ecn = data[0] & 3; /* one byte, unlike IPv6 */
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            int tclass;
            memcpy(&tclass, data, sizeof(tclass));
            d->ecn = tclass & 3;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, data, sizeof(info));
            tapsi_addr_from_bytes(&d->to, AF_INET, &info.ipi_spec_dst);
            d->interface_index = (unsigned)info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, data, sizeof(info));
            tapsi_addr_from_bytes(&d->to, AF_INET6, &info.ipi6_addr);
            d->interface_index = info.ipi6_ifindex;
            tapsi_addr_unmap(&d->to);
        }
    }
}

/* Without memory the datagram is lost, as in a network that is too full; left unread it would never be asked for again.
 */
static int discard_one(struct tapsi_udpsocket *s)
{
    struct tapsi_platform *p = platform_of(s);
    uint8_t byte;
    ssize_t n = p->ops->recv(p, s->fd, &byte, sizeof(byte), 0);
    if (n < 0 && n != -EMSGSIZE && !tapsi_udp_is_soft((int)n))
        s->readable = false;
    return n < 0 ? (int)n : 0;
}

/* What did not fit behind the datagrams before it lies in two parts: it becomes one in the spare buffer. */
static void join(struct tapsi_buffer *b, size_t room, struct tapsi_buffer *spare, size_t length)
{
    memmove(spare->data + room, spare->data, length - room);
    memcpy(spare->data, b->data + b->used, room);
}

static void fill_in(struct tapsi_buffer *b, struct tapsi_buffer *spare, size_t length, struct tapsi_datagram *ret)
{
    size_t room = b->size - b->used;
    ret->length = length;
    if (length <= room) {
        ret->buffer = tapsi_buffer_ref(b);
        ret->data = b->data + b->used;
        b->used += (uint32_t)length;
    } else {
        join(b, room, spare, length);
        ret->buffer = tapsi_buffer_ref(spare);
        ret->data = spare->data;
    }
}

static ssize_t read_message(struct tapsi_udpsocket *s, struct iovec *iov, unsigned count, struct tapsi_datagram *ret)
{
    struct tapsi_platform *p = platform_of(s);
    char control[CONTROL_IN] __attribute__((aligned(8)));
    struct msghdr m = {.msg_name = &ret->from, .msg_namelen = sizeof(ret->from), .msg_iov = iov, .msg_iovlen = count};
    m.msg_control = control;
    m.msg_controllen = sizeof(control);
    ssize_t n = p->ops->recvmsg(p, s->fd, &m, 0);
    if (n >= 0)
        read_control(&m, ret);
    return n;
}

/* By the cheapest call that tells what is wanted. */
static ssize_t read_one(struct tapsi_udpsocket *s, struct iovec *iov, unsigned count, struct tapsi_datagram *ret)
{
    struct tapsi_platform *p = platform_of(s);
    if (s->tells_ecn || s->tells_path || count > 1)
        return read_message(s, iov, count, ret);
    if (s->connected)
        return p->ops->recv(p, s->fd, iov[0].iov_base, iov[0].iov_len, 0);
    if (p->ops->recvfrom)
        return p->ops->recvfrom(p, s->fd, iov[0].iov_base, iov[0].iov_len, &ret->from);
    return read_message(s, iov, count, ret);
}

#define ROOM 2048 /* small datagrams share a buffer as long as so much is free in it */

int tapsi_udpsocket_receive(struct tapsi_udpsocket *s, struct tapsi_datagram *ret)
{
    struct tapsi_buffer *b = tapsi_loop_read_buffer(s->loop, ROOM);
    bool whole = b && b->used == 0;
    struct tapsi_buffer *spare = b && !whole ? tapsi_buffer_get(&s->loop->buffers) : NULL;
    if (!b || (!whole && !spare))
        return discard_one(s);
    struct iovec iov[2] = {{b->data + b->used, b->size - b->used}, {spare ? spare->data : NULL, TAPSI_READ_SIZE}};
    *ret = (struct tapsi_datagram){.ecn = -1};
    ssize_t n = read_one(s, iov, whole ? 1 : 2, ret);
    if (n >= 0) {
        fill_in(b, spare, (size_t)n, ret);
        tapsi_addr_unmap(&ret->from);
        if (s->level && s->answered)
            s->readable = false;
        s->answered = false;
    } else if (n == -EMSGSIZE) {
        s->too_large = true; /* the network's answer to an earlier one: what came is still there */
    } else if (!tapsi_udp_is_soft((int)n)) {
        s->readable = false;
    }
    tapsi_buffer_unref(spare);
    return n >= 0 ? 1 : (int)n;
}

/* ----------------------------------------------------------------------------------------------------- sending */

#define BATCH       64
#define CONTROL_OUT 80 /* one PKTINFO and one TOS */

struct outgoing {
    struct tapsi_op *op;
    struct iovec iov[TAPSI_OP_RANGES];
    union tapsi_addr to;
    char control[CONTROL_OUT] __attribute__((aligned(8)));
};

static struct tapsi_op *first_op(const struct tapsi_layer *layer)
{
    struct tapsi_link *link = tapsi_list_first(&layer->queue);
    return link ? TAPSI_CONTAINER(link, struct tapsi_op, link) : NULL;
}

static void finish(struct tapsi_layer *layer, struct tapsi_op *op, int result)
{
    layer->queued -= op->length;
    tapsi_op_finish(op, result);
}

static int tos_of(const struct tapsi_udpsocket *s, const struct tapsi_op *op, const struct tapsi_udpway *way)
{
    return op->dscp >= 0 ? op->dscp << 2 : way ? way->tos : s->tos;
}

static void add_control(struct msghdr *m, int level, int type, const void *data, size_t length)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((char *)m->msg_control + m->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(c), data, length);
    m->msg_controllen += CMSG_SPACE(length);
}

/* The source address: as the family of the socket has it. IPv4 on an IPv6 socket is a mapped address here too. */
static void add_source(const struct tapsi_udpsocket *s, struct msghdr *m, const union tapsi_addr *from)
{
    if (s->family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = from->in.sin_addr};
        add_control(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
        return;
    }
    union tapsi_addr shown = *from;
    map(&shown);
    struct in6_pktinfo info = {.ipi6_addr = shown.in6.sin6_addr, .ipi6_ifindex = shown.in6.sin6_scope_id};
    add_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

static void compose(const struct tapsi_udpsocket *s, struct outgoing *o, const struct tapsi_udpway *way,
                    struct iovec *iov, struct msghdr *ret)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = tapsi_op_iovec(o->op, iov, o->op->count)};
    int tos = tos_of(s, o->op, way);
    bool ipv4 = s->family == AF_INET;
    m.msg_control = o->control;
    memset(o->control, 0, sizeof(o->control));
    if (way) {
        ipv4 = way->to.sa.sa_family == AF_INET;
        o->to = way->to;
        if (s->family == AF_INET6)
            map(&o->to);
        m.msg_name = &o->to;
        m.msg_namelen = tapsi_addr_length(&o->to);
        if (way->from.sa.sa_family)
            add_source(s, &m, &way->from);
    }
    if (tos != s->tos)
        add_control(&m, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof(tos));
    if (m.msg_controllen == 0)
        m.msg_control = NULL;
    *ret = m;
}

static bool no_fragments(const struct tapsi_op *op)
{
    return (op->flags & (TAPSI_OP_NO_FRAGMENT | TAPSI_OP_NO_SEGMENT)) != 0;
}

/* UDP has no half-close: an op that carries nothing but the end of the direction is finished without a datagram. */
static bool is_bare_final(const struct tapsi_op *op)
{
    return op->length == 0 && (op->flags & TAPSI_OP_FINAL);
}

static bool is_late(const struct tapsi_udpsocket *s, const struct tapsi_op *op)
{
    return op->deadline != TAPSI_FOREVER && op->deadline <= tapsi_loop_now(s->loop);
}

/* May `op` go in one call with `first`? One in many pieces goes alone. */
static bool goes_with(const struct tapsi_udpsocket *s, const struct tapsi_op *first, const struct tapsi_op *op)
{
    return no_fragments(op) == no_fragments(first) && op->count <= TAPSI_OP_RANGES && !is_late(s, op) &&
           !is_bare_final(op);
}

static int count_or_error(ssize_t result)
{
    return result < 0 ? (int)result : 1;
}

/* No control message is needed, and the bytes are in one piece. */
static bool is_plain(const struct tapsi_udpsocket *s, const struct tapsi_op *op, const struct tapsi_udpway *way)
{
    return op->count == 1 && op->taken == 0 && way->from.sa.sa_family == AF_UNSPEC && tos_of(s, op, way) == s->tos;
}

static ssize_t send_plain(struct tapsi_udpsocket *s, const struct tapsi_op *op, const struct tapsi_udpway *way)
{
    struct tapsi_platform *p = platform_of(s);
    union tapsi_addr to = way->to;
    if (s->family == AF_INET6)
        map(&to);
    return p->ops->sendto(p, s->fd, op->ranges[0].data, op->length, &to);
}

static int send_one(struct tapsi_udpsocket *s, struct tapsi_op *op, const struct tapsi_udpway *way)
{
    struct tapsi_platform *p = platform_of(s);
    if (!way && op->count == 1 && op->taken == 0 && tos_of(s, op, NULL) == s->tos)
        return count_or_error(p->ops->send(p, s->fd, op->ranges[0].data, op->length, 0));
    if (way && p->ops->sendto && is_plain(s, op, way))
        return count_or_error(send_plain(s, op, way));
    struct outgoing o = {.op = op};
    struct iovec iov[TAPSI_OP_PIECES];
    struct msghdr m;
    compose(s, &o, way, iov, &m);
    return count_or_error(p->ops->sendmsg(p, s->fd, &m, 0));
}

static int send_many(struct tapsi_udpsocket *s, struct tapsi_layer *layer, struct tapsi_op *first,
                     const struct tapsi_udpway *way)
{
    struct tapsi_platform *p = platform_of(s);
    struct outgoing out[BATCH];
    struct mmsghdr messages[BATCH];
    unsigned count = 0;
    for (struct tapsi_link *l = &first->link; l != &layer->queue && count < BATCH; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        if (!goes_with(s, first, op))
            break;
        out[count].op = op;
        compose(s, &out[count], way, out[count].iov, &messages[count].msg_hdr);
        count++;
    }
    return p->ops->sendmmsg(p, s->fd, messages, count, 0);
}

/* Marked first: what is out cannot be cancelled while the ones before it are being finished. */
static void finish_sent(struct tapsi_layer *layer, int sent, struct tapsi_udpcounts *counts)
{
    struct tapsi_link *l = layer->queue.next;
    counts->sent += (unsigned)sent;
    for (int i = 0; i < sent; i++, l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        counts->bytes_sent += op->length;
        op->flags |= TAPSI_OP_TOUCHED;
    }
    for (int i = 0; i < sent && !layer->dead; i++)
        finish(layer, first_op(layer), 0);
}

/* The network's complaint about an earlier datagram, or what fits its path, is reported with the next call: that one
   has not gone, and is tried once more. Everything else is the fate of this datagram alone; nothing closes. False: send
   no more now. */
static bool send_failed(struct tapsi_udpsocket *s, struct tapsi_layer *layer, struct tapsi_op *op, int err,
                        const struct tapsi_udpway *way, const struct tapsi_op **retried)
{
    if (err == -EAGAIN) {
        set_blocked(s, true);
        return false;
    }
    if (tapsi_udp_is_soft(err) && *retried != op) {
        union tapsi_addr to = {0};
        struct tapsi_platform *p = platform_of(s);
        *retried = op;
        if (way)
            to = way->to;
        else if (p->ops->getpeername(p, s->fd, &to) < 0)
            to.sa.sa_family = AF_UNSPEC;
        tapsi_udp_soft_error(layer, -err, &to);
        return true;
    }
    if (err == -EMSGSIZE) {
        s->too_large = true;
        if (*retried != op) { /* it may have been said of an earlier one */
            *retried = op;
            return true;
        }
    }
    finish(layer, op, err == -EMSGSIZE ? TAPS_E_MESSAGE_TOO_LARGE : tapsi_err_from_errno(-err));
    return true;
}

void tapsi_udpsocket_send(struct tapsi_udpsocket *s, struct tapsi_layer *layer, const struct tapsi_udpway *way,
                          struct tapsi_udpcounts *counts)
{
    const struct tapsi_op *retried = NULL;
    struct tapsi_op *op;
    while (!layer->dead && !s->blocked && (op = first_op(layer))) {
        if (is_late(s, op) || is_bare_final(op)) {
            finish(layer, op, is_bare_final(op) ? 0 : TAPSI_OP_EXPIRED);
            continue;
        }
        int err = set_no_fragments(s, no_fragments(op));
        if (err < 0) {
            finish(layer, op, tapsi_err_from_errno(-err));
            continue;
        }
        bool alone = op->link.next == &layer->queue || op->count > TAPSI_OP_RANGES;
        int sent = alone ? send_one(s, op, way) : send_many(s, layer, op, way);
        s->answered |= sent > 0;
        if (sent > 0)
            finish_sent(layer, sent, counts);
        else if (!send_failed(s, layer, op, sent, way, &retried))
            return;
    }
}
