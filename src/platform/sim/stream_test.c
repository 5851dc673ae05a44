#include <linux/tcp.h>
#include <stdlib.h>
#include "platform/sim/testnet.h"

#define BULK (1 << 20)

struct pair {
    struct net n;
    int listener, fd, child;
};

static void pair_init(struct pair *p)
{
    net_init(&p->n);
    p->listener = listen_on(p->n.q, 80);
    connected_pair(&p->n, p->listener, 80, &p->fd, &p->child);
}

static void pair_done(struct pair *p)
{
    p->n.p->ops->close(p->n.p, p->fd);
    p->n.q->ops->close(p->n.q, p->child);
    p->n.q->ops->close(p->n.q, p->listener);
    net_done(&p->n);
}

/* Writes until there is no room. */
static size_t fill(struct tapsi_platform *p, int fd)
{
    static const char bytes[10000];
    size_t total = 0;
    for (ssize_t n; (n = p->ops->send(p, fd, bytes, sizeof bytes, 0)) > 0;)
        total += (size_t)n;
    return total;
}

TEST(bytes_arrive_after_the_delay_and_not_before)
{
    struct pair p;
    char text[8];
    pair_init(&p);
    CHECK_INT(send_text(p.n.p, p.fd, "hello"), 5);
    run_for(&p.n, DELAY - 1);
    CHECK_INT(recv_text(p.n.q, p.child, text, sizeof text), -EAGAIN);
    run_for(&p.n, 1);
    CHECK_INT(recv_text(p.n.q, p.child, text, sizeof text), 5);
    CHECK_TEXT(text, "hello");
    pair_done(&p);
}

TEST(peeked_bytes_stay)
{
    struct pair p;
    char text[8] = "";
    pair_init(&p);
    CHECK_INT(send_text(p.n.p, p.fd, "abc"), 3);
    run_for(&p.n, DELAY);
    CHECK_INT(p.n.q->ops->recv(p.n.q, p.child, text, 2, MSG_PEEK), 2);
    CHECK_INT(p.n.q->ops->recv(p.n.q, p.child, text, 1, 0), 1);
    CHECK_INT(recv_text(p.n.q, p.child, text, sizeof text), 2);
    CHECK_TEXT(text, "bc");
    pair_done(&p);
}

TEST(vectors_are_gathered_and_scattered)
{
    struct pair p;
    char one[] = "ab", two[] = "", three[] = "cde", left[2], right[5] = "";
    struct iovec out[] = {{one, 2}, {two, 0}, {three, 3}}, in[] = {{left, 2}, {right, 4}};
    struct msghdr to = {.msg_iov = out, .msg_iovlen = 3}, from = {.msg_iov = in, .msg_iovlen = 2};
    pair_init(&p);
    CHECK_INT(p.n.p->ops->sendmsg(p.n.p, p.fd, &to, 0), 5);
    run_for(&p.n, DELAY);
    CHECK_INT(p.n.q->ops->recvmsg(p.n.q, p.child, &from, 0), 5);
    CHECK(memcmp(left, "ab", 2) == 0);
    CHECK_TEXT(right, "cde");
    pair_done(&p);
}

TEST(a_sender_whose_peer_does_not_read_stops)
{
    struct pair p;
    pair_init(&p);
    size_t before = fill(p.n.p, p.fd);
    CHECK_INT(before, 65536);
    CHECK_INT(p.n.p->ops->unacknowledged(p.n.p, p.fd), 65536);
    run_for(&p.n, TAPSI_SIM_S);
    CHECK_INT(p.n.p->ops->unacknowledged(p.n.p, p.fd), 0);
    CHECK_INT(fill(p.n.p, p.fd), 65536);
    run_for(&p.n, 100 * TAPSI_SIM_S);
    CHECK_INT(fill(p.n.p, p.fd), 0);
    CHECK_INT(p.n.p->ops->unacknowledged(p.n.p, p.fd), 65536);
    pair_done(&p);
}

TEST(reading_opens_the_window_one_trip_later)
{
    struct pair p;
    static char bytes[65536];
    pair_init(&p);
    struct tapsi_watch w = {-1, ignore_ready};
    fill(p.n.p, p.fd);
    run_for(&p.n, TAPSI_SIM_S);
    fill(p.n.p, p.fd);
    CHECK_INT(p.n.p->ops->watch(p.n.p, p.fd, &w), 0);
    CHECK_INT(events_for(&p.n, p.n.p, &w, TAPSI_SIM_S), 0);
    CHECK_INT(p.n.q->ops->recv(p.n.q, p.child, bytes, sizeof bytes, 0), 65536);
    CHECK_INT(events_for(&p.n, p.n.p, &w, DELAY + RTT - 1), 0);
    CHECK_INT(events_for(&p.n, p.n.p, &w, RTT), TAPSI_IO_OUT);
    pair_done(&p);
}

TEST(small_buffers_are_kept_and_bound_what_is_in_flight)
{
    struct net n;
    net_init(&n);
    int listener = tcp6(n.q), fd = tcp4(n.p), child;
    CHECK_INT(bind_to(n.q, listener, "::", 80), 0);
    CHECK_INT(set_int(n.q, listener, SOL_SOCKET, SO_RCVBUF, 2000), 0);
    CHECK_INT(n.q->ops->listen(n.q, listener, 1), 0);
    CHECK_INT(set_int(n.p, fd, SOL_SOCKET, SO_SNDBUF, 3000), 0);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_SNDBUF), 6000);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, 2 * RTT);
    child = n.q->ops->accept(n.q, listener, NULL);
    CHECK_INT(fill(n.p, fd), 3000);
    run_for(&n, TAPSI_SIM_S);
    CHECK_INT(n.p->ops->unacknowledged(n.p, fd), 1000);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

/* Sends BULK patterned bytes and checks each: how long it took. */
static uint64_t transfer(struct pair *p)
{
    static uint8_t out[BULK], in[BULK];
    size_t sent = 0, got = 0;
    uint64_t start = tapsi_sim_now(p->n.sim);
    for (size_t i = 0; i < BULK; i++)
        out[i] = (uint8_t)(i * 31 >> 3);
    memset(in, 0, sizeof in);
    while (got < BULK && tapsi_sim_now(p->n.sim) - start < 1000 * TAPSI_SIM_S) {
        ssize_t n = p->n.p->ops->send(p->n.p, p->fd, out + sent, BULK - sent, 0);
        sent += n > 0 ? (size_t)n : 0;
        n = p->n.q->ops->recv(p->n.q, p->child, in + got, BULK - got, 0);
        got += n > 0 ? (size_t)n : 0;
        run_for(&p->n, TAPSI_SIM_MS);
    }
    CHECK_INT(got, BULK);
    CHECK(memcmp(in, out, BULK) == 0);
    return tapsi_sim_now(p->n.sim) - start;
}

TEST(a_bulk_transfer_is_whole_and_in_order)
{
    struct pair p;
    pair_init(&p);
    CHECK(transfer(&p) < 2 * TAPSI_SIM_S);
    pair_done(&p);
}

TEST(loss_costs_time_but_no_bytes)
{
    struct pair p;
    pair_init(&p);
    tapsi_sim_link_loss(p.n.link, 0.05);
    uint64_t lossy = transfer(&p);
    CHECK(lossy > 2 * TAPSI_SIM_S);
    CHECK(lossy < 300 * TAPSI_SIM_S);
    tapsi_sim_link_loss(p.n.link, 0);
    pair_done(&p);
}

TEST(a_rate_limit_is_kept)
{
    struct pair p;
    pair_init(&p);
    tapsi_sim_link_rate(p.n.link, 8 * 1000000); /* 1 MB/s */
    uint64_t took = transfer(&p);
    CHECK(took > 1048 * TAPSI_SIM_MS);
    CHECK(took < 1300 * TAPSI_SIM_MS);
    pair_done(&p);
}

TEST(an_outage_is_a_pause)
{
    struct pair p;
    char text[8];
    pair_init(&p);
    tapsi_sim_interface_up(p.n.s, false);
    CHECK_INT(send_text(p.n.p, p.fd, "x"), 1);
    run_for(&p.n, 2 * TAPSI_SIM_S);
    CHECK_INT(recv_text(p.n.q, p.child, text, sizeof text), -EAGAIN);
    tapsi_sim_interface_up(p.n.s, true);
    run_for(&p.n, 5 * TAPSI_SIM_S);
    CHECK_INT(recv_text(p.n.q, p.child, text, sizeof text), 1);
    pair_done(&p);
}

TEST(acknowledgements_alone_never_end_a_connection)
{
    struct pair p;
    char text[8];
    pair_init(&p);
    CHECK_INT(send_text(p.n.p, p.fd, "x"), 1);
    tapsi_sim_fault(p.n.sim, "192.0.2.2", TAPSI_SIM_BLACKHOLE);
    run_for(&p.n, 5000 * TAPSI_SIM_S);
    CHECK_INT(recv_text(p.n.q, p.child, text, sizeof text), 1);
    CHECK_INT(so_error(p.n.q, p.child), 0);
    CHECK_INT(recv_text(p.n.q, p.child, text, sizeof text), -EAGAIN);
    CHECK_INT(so_error(p.n.p, p.fd), ETIMEDOUT); /* the sender never heard that its byte came */
    pair_done(&p);
}

TEST(a_lost_reset_is_learnt_with_the_next_bytes)
{
    struct pair p;
    char text[8];
    pair_init(&p);
    CHECK_INT(send_text(p.n.p, p.fd, "unread"), 6);
    run_for(&p.n, RTT);
    tapsi_sim_fault(p.n.sim, "192.0.2.2", TAPSI_SIM_BLACKHOLE);
    p.n.q->ops->close(p.n.q, p.child);
    run_for(&p.n, 100 * TAPSI_SIM_S);
    tapsi_sim_fault(p.n.sim, "192.0.2.2", TAPSI_SIM_FINE);
    CHECK_INT(recv_text(p.n.p, p.fd, text, sizeof text), -EAGAIN);
    CHECK_INT(send_text(p.n.p, p.fd, "x"), 1);
    run_for(&p.n, RTT);
    CHECK_INT(recv_text(p.n.p, p.fd, text, sizeof text), -ECONNRESET);
    p.n.p->ops->close(p.n.p, p.fd);
    p.n.q->ops->close(p.n.q, p.listener);
    net_done(&p.n);
}

TEST(a_lost_window_update_is_asked_for)
{
    struct pair p;
    static char bytes[65536];
    pair_init(&p);
    fill(p.n.p, p.fd);
    run_for(&p.n, TAPSI_SIM_S);
    fill(p.n.p, p.fd);
    tapsi_sim_fault(p.n.sim, "192.0.2.2", TAPSI_SIM_BLACKHOLE);
    CHECK_INT(p.n.q->ops->recv(p.n.q, p.child, bytes, sizeof bytes, 0), 65536);
    run_for(&p.n, TAPSI_SIM_MS);
    tapsi_sim_fault(p.n.sim, "192.0.2.2", TAPSI_SIM_FINE);
    run_for(&p.n, TAPSI_SIM_S);
    CHECK_INT(p.n.q->ops->recv(p.n.q, p.child, bytes, sizeof bytes, 0), 65536);
    pair_done(&p);
}

TEST(fifteen_repetitions_end_a_connection)
{
    struct pair p;
    char text[8];
    pair_init(&p);
    tapsi_sim_fault(p.n.sim, "192.0.2.1", TAPSI_SIM_BLACKHOLE);
    CHECK_INT(send_text(p.n.p, p.fd, "x"), 1);
    run_for(&p.n, 600 * TAPSI_SIM_S);
    CHECK_INT(so_error(p.n.p, p.fd), 0);
    run_for(&p.n, 600 * TAPSI_SIM_S);
    CHECK_INT(recv_text(p.n.p, p.fd, text, sizeof text), -ETIMEDOUT);
    pair_done(&p);
}

TEST(notsent_lowat_limits_what_waits)
{
    struct pair p;
    static const char bytes[5000];
    pair_init(&p);
    fill(p.n.p, p.fd);
    run_for(&p.n, TAPSI_SIM_S);
    CHECK_INT(set_int(p.n.p, p.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4000), 0);
    CHECK_INT(p.n.p->ops->send(p.n.p, p.fd, bytes, sizeof bytes, 0), 5000);
    CHECK_INT(p.n.p->ops->send(p.n.p, p.fd, bytes, sizeof bytes, 0), -EAGAIN);
    pair_done(&p);
}

static struct tcp_info info_of(struct tapsi_platform *p, int fd)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    CHECK_INT(p->ops->getsockopt(p, fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info;
}

TEST(tcp_info_tells_state_and_round_trip)
{
    struct pair p;
    pair_init(&p);
    struct tcp_info info = info_of(p.n.p, p.fd);
    CHECK_INT(info.tcpi_state, 1); /* ESTABLISHED */
    CHECK_INT(info.tcpi_rtt, 20000);
    CHECK_INT(info.tcpi_snd_mss, 1460);
    CHECK_INT(p.n.p->ops->shutdown(p.n.p, p.fd, SHUT_WR), 0);
    CHECK_INT(p.n.p->ops->unacknowledged(p.n.p, p.fd), 1);
    CHECK_INT(info_of(p.n.p, p.fd).tcpi_state, 4); /* FIN_WAIT1 */
    run_for(&p.n, RTT);
    CHECK_INT(info_of(p.n.p, p.fd).tcpi_state, 5);    /* FIN_WAIT2 */
    CHECK_INT(info_of(p.n.q, p.child).tcpi_state, 8); /* CLOSE_WAIT */
    CHECK_INT(info_of(p.n.q, p.listener).tcpi_state, 10);
    pair_done(&p);
}

TEST(a_client_that_closed_first_waits_out_its_port)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p), again = tcp4(n.p);
    CHECK_INT(bind_to(n.p, fd, "192.0.2.2", 5000), 0);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, 2 * RTT);
    int child = n.q->ops->accept(n.q, listener, NULL);
    n.p->ops->close(n.p, fd);
    run_for(&n, RTT);
    n.q->ops->close(n.q, child);
    run_for(&n, RTT);
    CHECK_INT(bind_to(n.p, again, "192.0.2.2", 5000), -EADDRINUSE);
    run_for(&n, 61 * TAPSI_SIM_S);
    CHECK_INT(bind_to(n.p, again, "192.0.2.2", 5000), 0);
    n.p->ops->close(n.p, again);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}
