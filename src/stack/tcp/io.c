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
    tcp->cut = !tapsi_list_empty(&tcp->layer.queue);
    tapsi_layer_fail_queue(&tcp->layer, error.pub.code);
    tapsi_layer_closed(&tcp->layer, &error);
}

int tapsi_tcp_error(struct tcp *tcp)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    int err = 0;
    socklen_t length = sizeof(err);
    int r = p->ops->getsockopt(p, tcp->watch.fd, SOL_SOCKET, SO_ERROR, &err, &length);
    return r < 0 ? -r : err;
}

static bool is_of_the_network(int err)
{
    return err == EHOSTUNREACH || err == ENETUNREACH || err == ENETDOWN || err == EHOSTDOWN || err == ENONET ||
           err == ECONNREFUSED || err == ENOPROTOOPT || err == EOPNOTSUPP || err == EPROTO || err == EACCES;
}

bool tapsi_tcp_is_soft(struct tcp *tcp, int err)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    union tapsi_addr peer;
    struct tapsi_error soft;
    if (!is_of_the_network(err) || p->ops->getpeername(p, tcp->watch.fd, &peer) < 0)
        return false;
    tapsi_error_native(&soft, TAPS_E_UNREACHABLE, TAPS_DOMAIN_ERRNO, err, "the network reported: %s", strerror(err));
    tapsi_layer_event(&tcp->layer, TAPSI_EVENT_SOFT_ERROR, &soft);
    return true;
}

/* ------------------------------------------------------------------------------------------------ writing */

/* Copies of small Messages lie side by side: together they are one piece. */
static unsigned join(struct iovec *iov, unsigned before, unsigned added)
{
    if (before && added &&
        (uintptr_t)iov[before - 1].iov_base + iov[before - 1].iov_len == (uintptr_t)iov[before].iov_base) {
        iov[before - 1].iov_len += iov[before].iov_len;
        memmove(&iov[before], &iov[before + 1], (added - 1) * sizeof(*iov));
        added--;
    }
    return before + added;
}

static unsigned gather(const struct tcp *tcp, struct iovec *iov, size_t *ret_bytes)
{
    unsigned count = 0;
    size_t bytes = 0;
    for (struct tapsi_link *l = tcp->layer.queue.next; l != &tcp->layer.queue; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        if (count + op->count > PIECES_MAX || (bytes && bytes + op->length > GATHER_MAX))
            break;
        count = join(iov, count, tapsi_op_iovec(op, iov + count, PIECES_MAX - count));
        bytes += op->length - op->taken;
        if (op->flags & TAPSI_OP_FINAL)
            break;
    }
    *ret_bytes = bytes;
    return count;
}

static __attribute__((noinline)) ssize_t push_many(struct tcp *tcp, size_t *ret_bytes)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    struct iovec iov[PIECES_MAX];
    unsigned count = gather(tcp, iov, ret_bytes);
    if (count <= 1)
        return count ? p->ops->send(p, tcp->watch.fd, iov[0].iov_base, iov[0].iov_len, 0) : 0;
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    return p->ops->sendmsg(p, tcp->watch.fd, &message, 0);
}

/* Offers the kernel what is queued: mostly one Message in one piece. */
static ssize_t push(struct tcp *tcp, size_t *ret_bytes)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    const struct tapsi_op *op = TAPSI_CONTAINER(tcp->layer.queue.next, struct tapsi_op, link);
    if (op->link.next != &tcp->layer.queue || op->count != 1 || op->length == op->taken)
        return push_many(tcp, ret_bytes);
    *ret_bytes = op->length - op->taken;
    return p->ops->send(p, tcp->watch.fd, op->ranges[0].data + op->taken, *ret_bytes, 0);
}

/* False: the layer is over. */
static bool send_fin(struct tcp *tcp)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    int err = tcp->fin_sent ? 0 : p->ops->shutdown(p, tcp->watch.fd, SHUT_WR);
    if (err < 0) {
        int pending = err == -ENOTCONN ? tapsi_tcp_error(tcp) : -err;
        tapsi_tcp_fail(tcp, pending ? pending : ECONNRESET, "half-closing");
        return false;
    }
    tcp->fin_sent = true;
    if (tcp->fin_seen)
        tapsi_tcp_begin_closing(tcp);
    return true;
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
            op->flags |= bytes ? (uint16_t)TAPSI_OP_TOUCHED : 0u; /* the others can still expire */
            return;
        }
        bytes -= rest;
        op->taken = op->length;
        bool final = op->flags & TAPSI_OP_FINAL;
        if (final && !send_fin(tcp))
            return;
        tcp->layer.queued -= op->length;
        tapsi_op_finish(op, 0);
        if (final)
            return;
    }
}

/* The kernel took nothing. A soft error surfaces once: the same bytes are offered again. */
static void push_failed(struct tcp *tcp, int err)
{
    bool starved = err == ENOBUFS || err == ENOMEM;
    if (err == EINTR || tapsi_tcp_is_soft(tcp, err)) {
        tapsi_layer_dirty(&tcp->layer);
    } else if (err == EAGAIN || (starved && tapsi_tcp_wait(tcp) == 0)) {
        tcp->blocked = true;
        tcp->starved = starved;
    } else {
        tapsi_tcp_fail(tcp, err, "sending");
    }
}

void tapsi_tcp_write(struct tcp *tcp)
{
    while (!tapsi_list_empty(&tcp->layer.queue) && !tcp->layer.dead && !tcp->fin_sent) {
        size_t bytes;
        ssize_t taken = push(tcp, &bytes);
        if (taken < 0) {
            push_failed(tcp, (int)-taken);
            return;
        }
        tcp->sent_any |= taken > 0;
        tcp->blocked = (size_t)taken < bytes;
        advance(tcp, (size_t)taken);
        if (tcp->blocked)
            break;
    }
    if (tcp->watched && tcp->sent_any && !tcp->layer.dead)
        tapsi_tcp_look(tcp);
}

/* ------------------------------------------------------------------------------------------------ reading */

static void deliver_end(struct tcp *tcp)
{
    tcp->readable = false;
    if (tcp->fin_seen)
        return;
    tcp->fin_seen = true;
    tapsi_layer_deliver(&tcp->layer, &(struct tapsi_slice){.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1});
    if (tcp->fin_sent && !tcp->layer.dead)
        tapsi_tcp_begin_closing(tcp);
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
    if (got < 0 && tapsi_tcp_is_soft(tcp, (int)-got)) {
        *budget -= READ_ROOM < *budget ? READ_ROOM : *budget; /* it is read on, but not for ever */
        return true;
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
        struct tapsi_slice slice = {.data = b->data + b->used,
                                    .length = (size_t)got,
                                    .buffer = b,
                                    .flags = tcp->readable ? TAPSI_SLICE_MORE : 0,
                                    .ecn = -1};
        b->used += (uint32_t)got;
        tapsi_layer_deliver(&tcp->layer, &slice);
    }
    return tcp->readable;
}

/* At most a buffer, and more in the next round: then the application has taken these bytes, and the next ones come to
   the same memory, which the processor still has at hand. */
void tapsi_tcp_read(struct tcp *tcp)
{
    size_t budget = TAPSI_READ_SIZE;
    while (budget && !tcp->layer.dead && tcp->layer.state != TAPSI_LAYER_CLOSED &&
           (tcp->layer.want || tcp->layer.state == TAPSI_LAYER_CLOSING)) {
        if (!read_once(tcp, &budget))
            return;
    }
    if (budget == 0 && tcp->readable)
        tapsi_layer_dirty(&tcp->layer);
}
