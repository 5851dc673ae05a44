/* Reading datagrams. */
#include <errno.h>
#include <string.h>
#include <netinet/udp.h>
#include "stack/port/socket.h"

static struct tapsi_platform *platform_of(const struct tapsi_udpsocket *s)
{
    return s->loop->platform;
}

#define CONTROL_IN 192 /* both families' TOS and PKTINFO, and the size of a train's pieces */

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
        } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, data, sizeof(segment));
            d->segment = segment > 0 ? (size_t)segment : 0;
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
    if (s->tells_ecn || s->tells_path || s->trains_in || count > 1)
        return read_message(s, iov, count, ret);
    if (s->connected)
        return p->ops->recv(p, s->fd, iov[0].iov_base, iov[0].iov_len, 0);
    if (p->ops->recvfrom)
        return p->ops->recvfrom(p, s->fd, iov[0].iov_base, iov[0].iov_len, &ret->from);
    return read_message(s, iov, count, ret);
}

#define ROOM 2048 /* small datagrams share a buffer as long as so much is free in it */

/* One datagram is the rule after an answer; trains come in numbers. */
static void note_read(struct tapsi_udpsocket *s, struct tapsi_datagram *d)
{
    if (d->segment >= d->length)
        d->segment = 0;
    s->in_train = d->segment > 0;
    if (s->level && s->answered && !s->in_train)
        s->readable = false;
    s->answered = false;
}

int tapsi_udpsocket_receive(struct tapsi_udpsocket *s, struct tapsi_datagram *ret)
{
    struct tapsi_buffer *b = tapsi_loop_read_buffer(s->loop, s->in_train ? TAPSI_READ_SIZE : ROOM);
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
        note_read(s, ret);
    } else if (n == -EMSGSIZE) {
        s->too_large = true; /* the network's answer to an earlier one: what came is still there */
    } else if (!tapsi_udp_is_soft((int)n)) {
        s->readable = false;
    }
    tapsi_buffer_unref(spare);
    return n >= 0 ? 1 : (int)n;
}
