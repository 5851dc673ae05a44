/* The data of a TCP connection: buffers, windows, sending and receiving, and what poll says. See tcp.c. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include "platform/sim/flow.h"

#define MSS_MIN 536u

static uint64_t offer(struct tapsi_simsock *s)
{
    uint64_t edge = s->tcp.read + tapsi_simsock_receive_room(s);
    if (edge > s->tcp.offered_edge)
        s->tcp.offered_edge = edge;
    return s->tcp.offered_edge;
}

void tapsi_simtcp_segment(struct tapsi_simsock *s, enum tapsi_simsegment_kind kind, const void *bytes, size_t length)
{
    struct tapsi_simnumbers numbers = {s->tcp.sent, s->tcp.received + s->tcp.fin_received, offer(s)};
    tapsi_simflow_send(s->tcp.flow, s->tcp.side, kind, numbers, bytes, length);
}

void tapsi_simtcp_reset(struct tapsi_simsock *s)
{
    struct tapsi_simnumbers numbers = {.seq = s->tcp.sent};
    tapsi_simflow_send(s->tcp.flow, s->tcp.side, TAPSI_SIM_RST, numbers, NULL, 0);
}

size_t tapsi_simtcp_segment_size(const struct tapsi_simsock *s)
{
    const struct tapsi_simwire_way *way = &s->tcp.flow->pipe[s->tcp.side].way;
    unsigned header = way->to.sa.sa_family == AF_INET6 ? 60 : 40, mtu = tapsi_simwire_mtu(way);
    unsigned theirs = s->tcp.flow->mtu[!s->tcp.side];
    mtu = theirs && theirs < mtu ? theirs : mtu;
    unsigned size = mtu > header + MSS_MIN ? mtu - header : MSS_MIN;
    unsigned asked = (unsigned)tapsi_simsock_option(s, IPPROTO_TCP, TCP_MAXSEG);
    return asked && asked < size ? asked : size;
}

bool tapsi_simtcp_waits(const struct tapsi_simsock *s)
{
    const struct tapsi_simtcp *t = &s->tcp;
    if (t->state == TAPSI_SIMTCP_OPEN)
        return t->sent > t->acked || (t->out.length && (t->stuck || t->flow->pipe[!t->side].lost));
    return t->state == TAPSI_SIMTCP_SYN_RECEIVED;
}

/* A closed window is probed only where a user timeout limits it: else a world that is stuck would not be seen to be. */
static void note_window(struct tapsi_simsock *s, uint64_t sent_before)
{
    struct tapsi_simtcp *t = &s->tcp;
    if (!t->out.length || t->sent > sent_before || !tapsi_simsock_option(s, IPPROTO_TCP, TCP_USER_TIMEOUT))
        t->stuck = 0;
    if (t->out.length && !t->stuck && tapsi_simsock_option(s, IPPROTO_TCP, TCP_USER_TIMEOUT))
        t->stuck = s->sim->now;
}

/* Sends what the window allows, and the FIN behind the last byte. */
void tapsi_simtcp_push(struct tapsi_simsock *s)
{
    struct tapsi_simtcp *t = &s->tcp;
    size_t size = t->out.length ? tapsi_simtcp_segment_size(s) : 0;
    uint64_t before = t->sent;
    while (t->out.length && t->sent < t->send_edge) {
        uint64_t window = t->send_edge - t->sent;
        size_t n = t->out.length < size ? t->out.length : size;
        n = n < window ? n : (size_t)window;
        tapsi_simtcp_segment(s, TAPSI_SIM_DATA, t->out.data + t->out.start, n);
        t->sent += n;
        if (!t->timed_at) {
            t->timed_at = s->sim->now;
            t->timed_end = t->sent;
            t->timed_retransmitted = t->retransmitted;
        }
        tapsi_simbytes_drop(&t->out, n);
    }
    note_window(s, before);
    if (!t->out.length && t->fin_wanted && !t->fin_sent) {
        t->fin_sent = true;
        t->fin_was_first = !t->fin_received;
        tapsi_simtcp_segment(s, TAPSI_SIM_FIN, NULL, 0);
        t->fin_at = ++t->sent;
    }
    if (t->flow && tapsi_simtcp_waits(s))
        tapsi_simflow_watch(t->flow, t->side);
}

/* Sending and receiving. */

static size_t send_space(const struct tapsi_simsock *s)
{
    const struct tapsi_simtcp *t = &s->tcp;
    uint64_t used = t->out.length + (t->sent - t->acked);
    size_t room = tapsi_simsock_send_room(s), lowat = (size_t)tapsi_simsock_option(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
    if (lowat && t->out.length >= lowat)
        return 0;
    return used < room ? room - (size_t)used : 0;
}

ssize_t tapsi_simtcp_send(struct tapsi_simsock *s, const struct iovec *iov, size_t count, size_t max)
{
    struct tapsi_simtcp *t = &s->tcp;
    if (s->error || t->fin_wanted) {
        int error = tapsi_simsock_take_error(s);
        return error ? -error : -EPIPE;
    }
    if (t->state == TAPSI_SIMTCP_SYN_SENT) {
        t->no_space = true;
        return -EAGAIN;
    }
    if (t->state != TAPSI_SIMTCP_OPEN)
        return -EPIPE;
    size_t total = tapsi_simbytes_total(iov, count), space = send_space(s), done = 0;
    total = total < max ? total : max;
    t->no_space |= space < total;
    size_t n = total < space ? total : space;
    if (!n)
        return total ? -EAGAIN : 0;
    for (size_t i = 0; i < count && done < n; i++) {
        size_t part = iov[i].iov_len < n - done ? iov[i].iov_len : n - done;
        if (tapsi_simbytes_add(&t->out, &s->sim->mem, iov[i].iov_base, part) < 0)
            break;
        done += part;
    }
    tapsi_simtcp_push(s);
    return done ? (ssize_t)done : -ENOMEM;
}

/* Tells the peer that there is room again, when that is worth a packet. */
static void update_window(struct tapsi_simsock *s)
{
    struct tapsi_simtcp *t = &s->tcp;
    if (t->state != TAPSI_SIMTCP_OPEN || t->fin_received)
        return;
    size_t room = tapsi_simsock_receive_room(s), step = 2 * tapsi_simtcp_segment_size(s);
    uint64_t gain = t->read + room > t->offered_edge ? t->read + room - t->offered_edge : 0;
    if (gain >= (room / 2 < step ? room / 2 : step))
        tapsi_simtcp_segment(s, TAPSI_SIM_ACK, NULL, 0);
}

ssize_t tapsi_simtcp_receive(struct tapsi_simsock *s, const struct iovec *iov, size_t count, size_t max, int flags)
{
    struct tapsi_simtcp *t = &s->tcp;
    if (t->state == TAPSI_SIMTCP_LISTEN)
        return -ENOTCONN;
    size_t n = tapsi_simbytes_total(iov, count);
    n = n < max ? n : max;
    n = n < t->in.length ? n : t->in.length;
    if (t->in.length) {
        tapsi_simbytes_scatter(iov, count, t->in.data + t->in.start, n);
        if (!(flags & MSG_PEEK)) {
            tapsi_simbytes_drop(&t->in, n);
            t->read += n;
            update_window(s);
        }
        return (ssize_t)n;
    }
    if (t->done_reading)
        return 0;
    if (s->error)
        return -tapsi_simsock_take_error(s);
    if (t->no_read)
        return 0;
    return t->state == TAPSI_SIMTCP_CLOSED || t->state == TAPSI_SIMTCP_TIME_WAIT ? -ENOTCONN : -EAGAIN;
}

int tapsi_simtcp_unacknowledged(const struct tapsi_simsock *s)
{
    const struct tapsi_simtcp *t = &s->tcp;
    if (t->state == TAPSI_SIMTCP_LISTEN)
        return -EINVAL;
    if (t->state != TAPSI_SIMTCP_OPEN)
        return 0;
    return (int)(t->out.length + (t->sent - t->acked) + (t->fin_wanted && !t->fin_sent));
}

/* As tcp_poll of Linux. */
unsigned tapsi_simtcp_poll(struct tapsi_simsock *s)
{
    struct tapsi_simtcp *t = &s->tcp;
    if (t->state == TAPSI_SIMTCP_LISTEN)
        return tapsi_list_empty(&t->accepted) ? 0 : TAPSI_IO_IN;
    unsigned io = 0;
    bool none = t->state == TAPSI_SIMTCP_CLOSED || t->state == TAPSI_SIMTCP_TIME_WAIT;
    if (none || (t->no_read && t->fin_wanted))
        io |= TAPSI_IO_END;
    if (t->no_read)
        io |= TAPSI_IO_IN | TAPSI_IO_END;
    if (s->error)
        io |= TAPSI_IO_ERROR;
    if (t->state == TAPSI_SIMTCP_SYN_SENT || t->state == TAPSI_SIMTCP_SYN_RECEIVED)
        return io;
    if (t->in.length)
        io |= TAPSI_IO_IN;
    size_t space = send_space(s), room = tapsi_simsock_send_room(s);
    if (t->fin_wanted || (space && space >= (room - space) / 2))
        io |= TAPSI_IO_OUT;
    else
        t->no_space = true;
    return io;
}

int tapsi_simtcp_linux_state(const struct tapsi_simsock *s)
{
    const struct tapsi_simtcp *t = &s->tcp;
    bool fin_acked = t->fin_sent && t->acked >= t->fin_at;
    switch (t->state) {
    case TAPSI_SIMTCP_LISTEN:
        return TCP_LISTEN;
    case TAPSI_SIMTCP_SYN_SENT:
        return TCP_SYN_SENT;
    case TAPSI_SIMTCP_SYN_RECEIVED:
        return TCP_SYN_RECV;
    case TAPSI_SIMTCP_OPEN:
        if (!t->fin_wanted)
            return t->fin_received ? TCP_CLOSE_WAIT : TCP_ESTABLISHED;
        if (t->fin_received)
            return t->fin_was_first ? TCP_CLOSING : TCP_LAST_ACK;
        return fin_acked ? TCP_FIN_WAIT2 : TCP_FIN_WAIT1;
    default:
        return TCP_CLOSE;
    }
}
