/* Writing datagrams: what a layer has queued, and trains of bytes. */
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include "stack/port/socket.h"

static struct tapsi_platform *platform_of(const struct tapsi_udpsocket *s)
{
    return s->loop->platform;
}

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

static int tos_of(const struct tapsi_udpsocket *s, const struct tapsi_op *op, const struct tapsi_port_way *way)
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
static void add_source(const struct tapsi_udpsocket *s, struct msghdr *m, const union tapsi_addr *from, unsigned index)
{
    if (s->family == AF_INET) {
        struct in_pktinfo info = {.ipi_ifindex = (int)index, .ipi_spec_dst = from->in.sin_addr};
        add_control(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
        return;
    }
    union tapsi_addr shown = *from;
    map(&shown);
    struct in6_pktinfo info = {.ipi6_addr = shown.in6.sin6_addr,
                               .ipi6_ifindex = index ? index : shown.in6.sin6_scope_id};
    add_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

static void compose(const struct tapsi_udpsocket *s, struct outgoing *o, const struct tapsi_port_way *way,
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
            add_source(s, &m, &way->from, way->interface_index);
    }
    if (tos != s->tos)
        add_control(&m, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof(tos));
    if (m.msg_controllen == 0)
        m.msg_control = NULL;
    *ret = m;
}

/* DF stays on only while messages ask for it: others may be fragmented, that is what the system does by itself. */
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
static bool is_plain(const struct tapsi_udpsocket *s, const struct tapsi_op *op, const struct tapsi_port_way *way)
{
    return op->count == 1 && op->taken == 0 && way->from.sa.sa_family == AF_UNSPEC && tos_of(s, op, way) == s->tos;
}

static ssize_t send_plain(struct tapsi_udpsocket *s, const struct tapsi_op *op, const struct tapsi_port_way *way)
{
    struct tapsi_platform *p = platform_of(s);
    union tapsi_addr to = way->to;
    if (s->family == AF_INET6)
        map(&to);
    return p->ops->sendto(p, s->fd, op->ranges[0].data, op->length, &to);
}

static int send_one(struct tapsi_udpsocket *s, struct tapsi_op *op, const struct tapsi_port_way *way)
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
                     const struct tapsi_port_way *way)
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
                        const struct tapsi_port_way *way, const struct tapsi_op **retried)
{
    if (err == -EAGAIN) {
        tapsi_udpsocket_set_blocked(s, true);
        return false;
    }
    if (tapsi_udp_is_soft(err) && *retried != op) {
        union tapsi_addr to = {0};
        struct tapsi_platform *p = platform_of(s);
        *retried = op;
        if (way && s->recverr)
            return true; /* it may be about another peer: the error queue tells */
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

void tapsi_udpsocket_send(struct tapsi_udpsocket *s, struct tapsi_layer *layer, const struct tapsi_port_way *way,
                          struct tapsi_udpcounts *counts)
{
    const struct tapsi_op *retried = NULL;
    struct tapsi_op *op;
    while (!layer->dead && !s->blocked && (op = first_op(layer))) {
        if (is_late(s, op) || is_bare_final(op)) {
            finish(layer, op, is_bare_final(op) ? 0 : TAPSI_OP_EXPIRED);
            continue;
        }
        int err = tapsi_udpsocket_set_discovery(s, no_fragments(op) ? IP_PMTUDISC_DO : IP_PMTUDISC_WANT);
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

/* ------------------------------------------------------------------------------------------------------- trains */

#define TRAIN_MAX 64 /* pieces; the kernel takes no more */

/* What all pieces of a train have in common. */
struct head {
    union tapsi_addr to;
    char control[CONTROL_OUT + CMSG_SPACE(sizeof(uint16_t))] __attribute__((aligned(8)));
    struct msghdr m;
};

static void compose_head(const struct tapsi_udpsocket *s, struct head *h, const struct tapsi_port_way *way)
{
    bool ipv4 = s->family == AF_INET;
    *h = (struct head){0};
    h->m.msg_control = h->control;
    if (!s->connected) {
        ipv4 = way->to.sa.sa_family == AF_INET;
        h->to = way->to;
        if (s->family == AF_INET6)
            map(&h->to);
        h->m.msg_name = &h->to;
        h->m.msg_namelen = tapsi_addr_length(&h->to);
        if (way->from.sa.sa_family && !tapsi_addr_is_any(&way->from))
            add_source(s, &h->m, &way->from, way->interface_index);
    }
    if (way->tos != s->tos)
        add_control(&h->m, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_TOS : IPV6_TCLASS, &way->tos, sizeof(way->tos));
}

static struct iovec piece(const void *bytes, size_t length)
{
    union {
        const void *read;
        void *base;
    } u = {.read = bytes}; /* an iovec is not const, though nothing writes here */
    return (struct iovec){u.base, length};
}

/* By one call: a datagram, or a train that the kernel cuts. The network's complaint about an earlier datagram is
   reported with the next call: that one has not gone, and is tried once more. */
static ssize_t write_whole(struct tapsi_udpsocket *s, struct head *h, const void *bytes, size_t length, size_t segment)
{
    struct tapsi_platform *p = platform_of(s);
    struct msghdr m = h->m;
    struct iovec iov = piece(bytes, length);
    uint16_t size = (uint16_t)segment;
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    if (segment)
        add_control(&m, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
    if (m.msg_controllen == 0)
        m.msg_control = NULL;
    ssize_t n = p->ops->sendmsg(p, s->fd, &m, 0);
    if (n >= 0 || (n != -EMSGSIZE && !tapsi_udp_is_soft((int)n)))
        return n;
    int first = (int)-n;
    n = p->ops->sendmsg(p, s->fd, &m, 0);
    if (n >= 0 || first != EMSGSIZE)
        s->told = first;
    return n;
}

/* Is it the train that the kernel cannot, or the way it goes? Pieces then go one by one, and each has its own fate.
   EIO: the interface cannot sum them up, so it never can. */
static bool is_no_train(struct tapsi_udpsocket *s, int err)
{
    if (err == -EIO)
        s->trains_out = false;
    return err == -EIO || err == -EINVAL || err == -EOPNOTSUPP || err == -ENOPROTOOPT;
}

struct pieces {
    struct mmsghdr messages[TRAIN_MAX];
    struct iovec iov[TRAIN_MAX];
    unsigned count, done; /* done: gone or lost */
};

static void cut(struct pieces *c, const struct head *h, const uint8_t *bytes, size_t length, size_t segment)
{
    c->count = c->done = 0;
    for (size_t at = 0; at < length && c->count < TRAIN_MAX; at += segment) {
        struct mmsghdr *m = &c->messages[c->count];
        c->iov[c->count] = piece(bytes + at, length - at < segment ? length - at : segment);
        *m = (struct mmsghdr){.msg_hdr = h->m};
        m->msg_hdr.msg_iov = &c->iov[c->count++];
        m->msg_hdr.msg_iovlen = 1;
        if (m->msg_hdr.msg_controllen == 0)
            m->msg_hdr.msg_control = NULL;
    }
}

/* Each piece is tried twice, for the reason above. Returns how many went; *ret_err is the last failure. */
static unsigned write_pieces(struct tapsi_udpsocket *s, struct pieces *c, int *ret_err)
{
    struct tapsi_platform *p = platform_of(s);
    unsigned went = 0;
    int before = 0;
    *ret_err = 0;
    while (c->done < c->count) {
        int n = p->ops->sendmmsg(p, s->fd, c->messages + c->done, c->count - c->done, 0);
        if (n > 0) {
            if (before)
                s->told = before;
            before = 0;
            c->done += (unsigned)n;
            went += (unsigned)n;
        } else if (n == -EAGAIN) {
            *ret_err = n;
            return went;
        } else if (!before && (n == -EMSGSIZE || tapsi_udp_is_soft(n))) {
            before = -n;
        } else {
            before = 0;
            *ret_err = n < 0 ? n : -EIO;
            if (n == -EMSGSIZE && !went)
                return 0;
            c->done++;
        }
    }
    return went;
}

static int write_one_by_one(struct tapsi_udpsocket *s, const struct head *h, const void *bytes, size_t length,
                            size_t segment, size_t *ret_taken)
{
    struct pieces c;
    int err;
    cut(&c, h, bytes, length, segment);
    unsigned went = write_pieces(s, &c, &err);
    size_t taken = (size_t)c.done * segment;
    if (err == -EAGAIN)
        tapsi_udpsocket_set_blocked(s, true);
    if (!went && (err != -EAGAIN || !c.done))
        return err;
    *ret_taken = taken < length ? taken : length;
    return 0;
}

int tapsi_udpsocket_write(struct tapsi_udpsocket *s, const struct tapsi_port_way *way, const void *bytes, size_t length,
                          size_t segment, size_t *ret_taken)
{
    struct head h;
    bool train = segment && segment < length;
    ssize_t n = -EINVAL;
    compose_head(s, &h, way);
    *ret_taken = 0;
    s->answered = true;
    if (!train || s->trains_out)
        n = write_whole(s, &h, bytes, length, train ? segment : 0);
    if (n < 0 && train && (!s->trains_out || is_no_train(s, (int)n)))
        return write_one_by_one(s, &h, bytes, length, segment, ret_taken);
    if (n == -EAGAIN)
        tapsi_udpsocket_set_blocked(s, true);
    if (n >= 0)
        *ret_taken = length;
    return n < 0 ? (int)n : 0;
}
