/*
 * TCP Fast Open (RFC 7413): bytes that may arrive twice, in the SYN.
 *
 * They are given to the kernel together with the address, by one call in place of connect. Where it has a cookie of the
 * peer it takes them, as many as go into a SYN; where it has none it asks for one and takes nothing, and they are sent
 * when the connection is there, as always. Ops stay in the queue either way: nothing is done before `ready`, and what
 * the kernel has taken is counted in `taken`.
 *
 * The other way, TCP_FASTOPEN_CONNECT, would call a socket writable before any packet has left.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <sys/uio.h>
#include "stack/tcp/tcp.h"

#define ROOM   (16 * 1024)
#define PIECES 16

size_t tapsi_tcp_early_room(const struct tcp *tcp)
{
    const struct tapsi_layer *layer = &tcp->layer;
    if (layer->state != TAPSI_LAYER_NEW || layer->role != TAPSI_ROLE_CLIENT || layer->queued >= ROOM ||
        tapsi_select_preference(layer->env->properties, TAPS_ZERO_RTT_MSG, TAPSI_ROLE_CLIENT) < TAPS_NO_PREFERENCE)
        return 0;
    return ROOM - layer->queued;
}

static unsigned gather(const struct tcp *tcp, struct iovec *iov)
{
    unsigned count = 0;
    for (struct tapsi_link *l = tcp->layer.queue.next; l != &tcp->layer.queue && count < PIECES; l = l->next)
        count += tapsi_op_iovec(TAPSI_CONTAINER(l, struct tapsi_op, link), iov + count, PIECES - count);
    return count;
}

static void took(struct tcp *tcp, size_t bytes)
{
    for (struct tapsi_link *l = tcp->layer.queue.next; l != &tcp->layer.queue && bytes; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        size_t part = op->length < bytes ? op->length : bytes;
        op->flags |= TAPSI_OP_TOUCHED;
        op->taken = part;
        bytes -= part;
    }
}

int tapsi_tcp_fast_open(struct tcp *tcp, int fd)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    struct iovec iov[PIECES];
    struct msghdr message = {.msg_name = &tcp->remote,
                             .msg_namelen = tapsi_addr_length(&tcp->remote),
                             .msg_iov = iov,
                             .msg_iovlen = gather(tcp, iov)};
    ssize_t taken = p->ops->sendmsg(p, fd, &message, MSG_FASTOPEN);
    if (taken == -EOPNOTSUPP || taken == -EINVAL || taken == -ENOTCONN || taken == -EPIPE)
        return p->ops->connect(p, fd, &tcp->remote); /* switched off, or not known */
    if (taken < 0)
        return (int)taken;
    tcp->fast = true;
    tcp->sent_any = true;
    took(tcp, (size_t)taken);
    return -EINPROGRESS;
}

bool tapsi_tcp_was_fast(struct tcp *tcp)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);
    return tcp->fast && p->ops->getsockopt(p, tcp->watch.fd, IPPROTO_TCP, TCP_INFO, &info, &length) >= 0 &&
           info.tcpi_options & TCPI_OPT_SYN_DATA;
}
