#include "platform/sim/testnet.h"

static int connect_now(struct net *n, unsigned port)
{
    int fd = tcp4(n->p);
    CHECK_INT(connect_to(n->p, fd, "192.0.2.1", port), -EINPROGRESS);
    run_for(n, 2 * RTT);
    return fd;
}

TEST(echo_gives_back_and_ends_when_the_peer_does)
{
    struct net n;
    char text[8];
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_ECHO);
    int fd = connect_now(&n, 7);
    CHECK_INT(send_text(n.p, fd, "abc"), 3);
    CHECK_INT(n.p->ops->shutdown(n.p, fd, SHUT_WR), 0);
    run_for(&n, 2 * RTT);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), 3);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), 0);
    struct tapsi_sim_service_counts counts = tapsi_sim_service_counts(s);
    CHECK_INT(counts.accepted, 1);
    CHECK_INT(counts.open, 0);
    CHECK_INT(counts.ended, 1);
    CHECK_INT(counts.reset, 0);
    CHECK_INT(counts.received, 3);
    CHECK_INT(counts.sent, 3);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(echo_does_not_read_what_it_cannot_send)
{
    struct net n;
    static char bytes[10000];
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_ECHO);
    int fd = connect_now(&n, 7);
    size_t total = 0, back = 0;
    for (int i = 0; i < 200; i++) {
        ssize_t sent = n.p->ops->send(n.p, fd, bytes, sizeof bytes, 0);
        total += sent > 0 ? (size_t)sent : 0;
        run_for(&n, RTT);
    }
    CHECK(total < 400000); /* two send buffers, two receive buffers and what echo holds */
    for (ssize_t got; back < total; back += (size_t)got) {
        got = n.p->ops->recv(n.p, fd, bytes, sizeof bytes, 0);
        if (got == -EAGAIN) {
            got = 0;
            run_for(&n, RTT);
        }
        NEED(got >= 0);
    }
    CHECK_INT(tapsi_sim_service_counts(s).sent, total);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(silent_reads_and_sees_the_end)
{
    struct net n;
    char text[8];
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_SILENT);
    int fd = connect_now(&n, 7);
    CHECK_INT(send_text(n.p, fd, "abc"), 3);
    run_for(&n, 100 * TAPSI_SIM_S);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), -EAGAIN);
    CHECK_INT(tapsi_sim_service_counts(s).open, 1);
    CHECK_INT(tapsi_sim_service_counts(s).received, 3);
    n.p->ops->close(n.p, fd);
    run_for(&n, RTT);
    CHECK_INT(tapsi_sim_service_counts(s).open, 0);
    CHECK_INT(tapsi_sim_service_counts(s).ended, 1);
    net_done(&n);
}

TEST(stall_closes_the_window)
{
    struct net n;
    static char bytes[65536];
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_STALL);
    int fd = connect_now(&n, 7);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(n.p->ops->send(n.p, fd, bytes, sizeof bytes, 0), sizeof bytes);
        run_for(&n, TAPSI_SIM_S);
    }
    CHECK_INT(n.p->ops->send(n.p, fd, bytes, sizeof bytes, 0), -EAGAIN);
    CHECK_INT(tapsi_sim_service_counts(s).received, 0);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(discard_ends_first_and_reads_on)
{
    struct net n;
    char text[8];
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_DISCARD);
    int fd = connect_now(&n, 7);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), 0);
    CHECK_INT(send_text(n.p, fd, "abc"), 3);
    run_for(&n, RTT);
    CHECK_INT(tapsi_sim_service_counts(s).received, 3);
    CHECK_INT(tapsi_sim_service_counts(s).open, 1);
    n.p->ops->close(n.p, fd);
    run_for(&n, RTT);
    CHECK_INT(tapsi_sim_service_counts(s).open, 0);
    net_done(&n);
}

TEST(send_gives_its_bytes_and_ends)
{
    struct net n;
    static char bytes[200000], got[200001];
    net_init(&n);
    memset(bytes, 'z', sizeof bytes);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, bytes, sizeof bytes);
    int fd = connect_now(&n, 7);
    size_t total = 0;
    for (ssize_t r = 1; r != 0;) {
        r = n.p->ops->recv(n.p, fd, got + total, sizeof got - total, 0);
        NEED(r >= 0 || r == -EAGAIN);
        total += r > 0 ? (size_t)r : 0;
        if (r == -EAGAIN)
            run_for(&n, DELAY);
    }
    CHECK_INT(total, sizeof bytes);
    CHECK(memcmp(bytes, got, sizeof bytes) == 0);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(reset_comes_after_so_many_bytes)
{
    struct net n;
    char text[8];
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_RESET);
    tapsi_sim_service_reset_after(s, 4);
    int fd = connect_now(&n, 7);
    CHECK_INT(send_text(n.p, fd, "abc"), 3);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), -EAGAIN);
    CHECK_INT(send_text(n.p, fd, "d"), 1);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), -ECONNRESET);
    CHECK_INT(tapsi_sim_service_counts(s).open, 0);
    n.p->ops->close(n.p, fd);
    tapsi_sim_service_reset_after(s, 0);
    fd = connect_now(&n, 7);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), -ECONNRESET);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_peers_reset_is_counted)
{
    struct net n;
    struct linger linger = {1, 0};
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_SILENT);
    int fd = connect_now(&n, 7);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    n.p->ops->close(n.p, fd);
    run_for(&n, RTT);
    CHECK_INT(tapsi_sim_service_counts(s).reset, 1);
    CHECK_INT(tapsi_sim_service_counts(s).ended, 0);
    CHECK_INT(tapsi_sim_service_counts(s).open, 0);
    net_done(&n);
}

TEST(a_service_that_does_not_accept_counts_nothing)
{
    struct net n;
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_ECHO);
    tapsi_sim_service_backlog(s, 0);
    tapsi_sim_service_accepting(s, false);
    int a = connect_now(&n, 7), b = connect_now(&n, 7);
    CHECK_INT(send_text(n.p, a, "x"), 1);
    CHECK_INT(send_text(n.p, b, "x"), -EAGAIN);
    CHECK_INT(tapsi_sim_service_counts(s).accepted, 0);
    tapsi_sim_service_accepting(s, true);
    run_for(&n, 2 * TAPSI_SIM_S);
    CHECK_INT(tapsi_sim_service_counts(s).accepted, 2);
    n.p->ops->close(n.p, a);
    n.p->ops->close(n.p, b);
    net_done(&n);
}

TEST(all_connections_may_be_ended_or_reset)
{
    struct net n;
    char text[8];
    net_init(&n);
    struct tapsi_sim_service *s = tapsi_sim_serve(n.server, 7, TAPSI_SIM_ECHO);
    int a = connect_now(&n, 7);
    tapsi_sim_service_end_all(s, false);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, a, text, sizeof text), 0);
    int b = connect_now(&n, 7);
    tapsi_sim_service_end_all(s, true);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, b, text, sizeof text), -ECONNRESET);
    CHECK_INT(tapsi_sim_service_counts(s).open, 0);
    n.p->ops->close(n.p, a);
    n.p->ops->close(n.p, b);
    net_done(&n);
}

TEST(a_taken_port_is_a_problem)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 7);
    CHECK(!tapsi_sim_serve(n.server, 7, TAPSI_SIM_ECHO));
    CHECK(tapsi_sim_problem(n.sim) && strstr(tapsi_sim_problem(n.sim), "port 7"));
    CHECK(tapsi_sim_udp_echo(n.server, 7));
    CHECK(!tapsi_sim_udp_echo(n.server, 7));
    n.q->ops->close(n.q, listener);
    n.p->ops->destroy(n.p);
    n.q->ops->destroy(n.q);
    tapsi_sim_free(n.sim);
}

TEST(udp_echo_answers_from_the_address_that_was_asked)
{
    struct net n;
    char text[8];
    net_init(&n);
    tapsi_sim_address_add(n.s, "192.0.2.101/24", false, false);
    tapsi_sim_udp_echo(n.server, 7);
    int four = udp4(n.p), six = udp6(n.p);
    CHECK_INT(connect_to(n.p, four, "192.0.2.101", 7), 0);
    CHECK_INT(connect_to(n.p, six, "2001:db8::1", 7), 0);
    CHECK_INT(send_text(n.p, four, "four"), 4);
    CHECK_INT(send_text(n.p, six, "six"), 3);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, four, text, sizeof text), 4);
    CHECK_INT(recv_text(n.p, six, text, sizeof text), 3);
    n.p->ops->close(n.p, four);
    n.p->ops->close(n.p, six);
    net_done(&n);
}
