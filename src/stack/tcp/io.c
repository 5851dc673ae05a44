/* Reading and writing. */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include "stack/tcp/tcp.h"

#define PIECES_MAX 512 /* the kernel takes 1024 */
#define GATHER_MAX (1024 * 1024)
#define READ_ROOM  (TAPSI_READ_SIZE / 2)

void tapsi_tcp_fail(struct tcp *tcp, int err, const char *doing)
{
    struct tapsi_error error;
    tapsi_error_native(&error, tapsi_err_from_errno(err), TAPS_DOMAIN_ERRNO, err, "TCP %s: %s", doing, strerror(err));
    tapsi_layer_fail_queue(&tcp->layer, error.pub.code);
    tapsi_layer_closed(&tcp->layer, &error);
}

/* ------------------------------------------------------------------------------------------------ writing */

static unsigned gather(const struct tcp *tcp, struct iovec *iov, size_t *ret_bytes)
{
    unsigned count = 0;
    size_t bytes = 0;
    for (struct tapsi_link *l = tcp->layer.queue.next; l != &tcp->layer.queue; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        if (count + TAPSI_OP_RANGES > PIECES_MAX || (bytes && bytes + op->length > GATHER_MAX))
            break;
        op->flags |= TAPSI_OP_TOUCHED;
        count += tapsi_op_iovec(op, iov + count, PIECES_MAX - count);
        bytes += op->length - op->taken;
        if (op->flags & TAPSI_OP_FINAL)
            break;
    }
    *ret_bytes = bytes;
    return count;
}

static ssize_t push(struct tcp *tcp, struct iovec *iov, unsigned count)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    if (count == 1)
        return p->ops->send(p, tcp->watch.fd, iov[0].iov_base, iov[0].iov_len, 0);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    return p->ops->sendmsg(p, tcp->watch.fd, &message, 0);
}

static void send_fin(struct tcp *tcp)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    if (tcp->fin_sent)
        return;
    tcp->fin_sent = true;
    p->ops->shutdown(p, tcp->watch.fd, SHUT_WR);
    if (tcp->fin_seen)
        tcp->closing = true; /* both directions are over: nothing is left but the acknowledgement */
}

/* The kernel took `bytes` from the front of the queue. */
static void advance(struct tcp *tcp, size_t bytes)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&tcp->layer.queue)) && !tcp->layer.dead) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        size_t rest = op->length - op->taken;
        if (rest > bytes) {
            op->taken += bytes;
            return;
        }
        bytes -= rest;
        op->taken = op->length;
        tcp->layer.queued -= op->length;
        bool final = op->flags & TAPSI_OP_FINAL;
        if (final)
            send_fin(tcp);
        tapsi_op_finish(op, 0);
        if (final)
            return;
    }
}

/* Soft errors (RFC 9622, 8.3.1) surface once at a send, whose bytes were then not taken. */
static bool is_soft(const struct tcp *tcp, int err)
{
    return tcp->soft_errors && (err == EHOSTUNREACH || err == ENETUNREACH || err == EPROTO || err == ENOPROTOOPT);
}

static void tell_soft(struct tcp *tcp, int err)
{
    struct tapsi_error soft;
    tapsi_error_native(&soft, TAPS_E_UNREACHABLE, TAPS_DOMAIN_ERRNO, err, "the network reported: %s", strerror(err));
    tapsi_layer_event(&tcp->layer, TAPSI_EVENT_SOFT_ERROR, &soft);
}

void tapsi_tcp_write(struct tcp *tcp)
{
    struct iovec iov[PIECES_MAX];
    unsigned soft = 0;
    while (!tapsi_list_empty(&tcp->layer.queue) && !tcp->layer.dead && !tcp->fin_sent) {
        size_t bytes;
        unsigned count = gather(tcp, iov, &bytes);
        ssize_t taken = count ? push(tcp, iov, count) : 0;
        if (taken == -EINTR)
            continue;
        if (taken == -EAGAIN || taken == -ENOBUFS || taken == -ENOMEM) {
            tcp->blocked = true;
            return;
        }
        if (taken < 0 && is_soft(tcp, (int)-taken) && soft++ < 2) {
            tell_soft(tcp, (int)-taken);
            continue;
        }
        if (taken < 0) {
            tapsi_tcp_fail(tcp, (int)-taken, "sending");
            return;
        }
        tcp->sent_any = tcp->sent_any || taken > 0;
        tcp->blocked = (size_t)taken < bytes;
        advance(tcp, (size_t)taken);
        if (tcp->blocked)
            return;
    }
}

/* ------------------------------------------------------------------------------------------------ reading */

static void deliver_end(struct tcp *tcp)
{
    tcp->readable = false;
    if (tcp->fin_seen)
        return;
    tcp->fin_seen = true;
    tapsi_layer_deliver(&tcp->layer, &(struct tapsi_slice){.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1});
    if (tcp->fin_sent && !tcp->layer.dead) {
        tcp->closing = true;
        tapsi_layer_dirty(&tcp->layer);
    }
}

/* One recv; false = stop. After Close, input is read and dropped, so that our FIN is not turned into a reset. */
static bool read_once(struct tcp *tcp, size_t *budget)
{
    struct tapsi_loop *loop = tcp->layer.env->loop;
    struct tapsi_buffer *b = tapsi_loop_read_buffer(loop, READ_ROOM);
    if (!b) {
        tapsi_tcp_fail(tcp, ENOMEM, "receiving");
        return false;
    }
    bool dropping = tcp->layer.state == TAPSI_LAYER_CLOSING;
    size_t room = b->size - b->used;
    if (!dropping && room > tcp->layer.want)
        room = tcp->layer.want;
    ssize_t got = loop->platform->ops->recv(loop->platform, tcp->watch.fd, b->data + b->used, room, 0);
    if (got == -EINTR)
        return true;
    if (got == -EAGAIN) {
        tcp->readable = false;
        return false;
    }
    if (got < 0) {
        tapsi_tcp_fail(tcp, (int)-got, "receiving");
        return false;
    }
    if (got == 0) {
        deliver_end(tcp);
        return false;
    }
    tcp->readable = (size_t)got == room || tcp->ended;
    *budget -= (size_t)got < *budget ? (size_t)got : *budget;
    if (!dropping) {
        struct tapsi_slice slice = {.data = b->data + b->used, .length = (size_t)got, .buffer = b, .ecn = -1};
        b->used += (uint32_t)got;
        tapsi_layer_deliver(&tcp->layer, &slice);
    }
    return tcp->readable;
}

void tapsi_tcp_read(struct tcp *tcp)
{
    size_t budget = TAPSI_TURN_BYTES;
    while (budget && !tcp->layer.dead && tcp->layer.state != TAPSI_LAYER_CLOSED &&
           (tcp->layer.want || tcp->layer.state == TAPSI_LAYER_CLOSING)) {
        if (!read_once(tcp, &budget))
            return;
    }
    if (budget == 0 && tcp->readable)
        tapsi_layer_dirty(&tcp->layer);
}
