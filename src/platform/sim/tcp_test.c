#include "platform/sim/testnet.h"

TEST(connects_after_one_round_trip)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    struct tapsi_watch w = {-1, ignore_ready};
    struct tapsi_ready ready[EVENTS];
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, EVENTS), 1);
    CHECK_INT(tapsi_sim_elapsed(n.sim), RTT);
    CHECK_INT(ready[0].io, TAPSI_IO_OUT);
    CHECK_INT(so_error(n.p, fd), 0);
    union tapsi_addr name, peer;
    char text[TAPSI_ADDR_TEXT];
    CHECK_INT(n.p->ops->getsockname(n.p, fd, &name), 0);
    CHECK_TEXT(tapsi_addr_host_text(&name, text), "192.0.2.2");
    CHECK(tapsi_addr_port(&name) >= 32768);
    CHECK_INT(n.p->ops->getpeername(n.p, fd, &peer), 0);
    CHECK_TEXT(tapsi_addr_text(&peer, text), "192.0.2.1:80");
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(a_dual_stack_listener_shows_mapped_addresses)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    union tapsi_addr peer;
    char text[TAPSI_ADDR_TEXT];
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, RTT + DELAY);
    int child = n.q->ops->accept(n.q, listener, &peer);
    CHECK(child >= TAPSI_SIM_FD);
    CHECK_TEXT(tapsi_addr_host_text(&peer, text), "::ffff:192.0.2.2");
    CHECK_INT(n.q->ops->getsockname(n.q, child, &peer), 0);
    CHECK_TEXT(tapsi_addr_host_text(&peer, text), "::ffff:192.0.2.1");
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(link_local_connects_with_a_scope_only)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp6(n.p);
    union tapsi_addr to = addr("fe80::1", 80), peer;
    CHECK_INT(n.p->ops->connect(n.p, fd, &to), -EINVAL);
    to.in6.sin6_scope_id = tapsi_sim_interface_index(n.c);
    CHECK_INT(n.p->ops->connect(n.p, fd, &to), -EINPROGRESS);
    run_for(&n, RTT + DELAY);
    int child = n.q->ops->accept(n.q, listener, &peer);
    CHECK(child >= 0);
    CHECK_INT(peer.in6.sin6_scope_id, tapsi_sim_interface_index(n.s));
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_closed_port_refuses_after_one_round_trip)
{
    struct net n;
    net_init(&n);
    int fd = tcp6(n.p);
    struct tapsi_watch w = {-1, ignore_ready};
    struct tapsi_ready ready[EVENTS];
    CHECK_INT(connect_to(n.p, fd, "2001:db8::1", 81), -EINPROGRESS);
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, EVENTS), 1);
    CHECK_INT(tapsi_sim_elapsed(n.sim), RTT);
    CHECK(ready[0].io & TAPSI_IO_ERROR && ready[0].io & TAPSI_IO_END);
    CHECK_INT(so_error(n.p, fd), ECONNREFUSED);
    CHECK_INT(so_error(n.p, fd), 0);
    CHECK_INT(send_text(n.p, fd, "x"), -EPIPE);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_refusing_address_refuses_though_a_server_listens)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp6(n.p), other = tcp4(n.p);
    tapsi_sim_fault(n.sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    CHECK_INT(connect_to(n.p, fd, "2001:db8::1", 80), -EINPROGRESS);
    CHECK_INT(connect_to(n.p, other, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, RTT);
    CHECK_INT(so_error(n.p, fd), ECONNREFUSED);
    CHECK_INT(so_error(n.p, other), 0);
    CHECK_INT(send_text(n.p, other, "x"), 1);
    n.p->ops->close(n.p, fd);
    n.p->ops->close(n.p, other);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(prohibited_and_unreachable_have_linux_errnos)
{
    static const struct {
        const char *to;
        enum tapsi_sim_fault fault;
        int err;
    } rows[] = {{"192.0.2.1", TAPSI_SIM_PROHIBIT, EHOSTUNREACH},
                {"2001:db8::1", TAPSI_SIM_PROHIBIT, EACCES},
                {"192.0.2.1", TAPSI_SIM_UNREACHABLE, ENETUNREACH},
                {"2001:db8::1", TAPSI_SIM_UNREACHABLE, ENETUNREACH}};
    struct net n;
    net_init(&n);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = strchr(rows[i].to, ':') ? tcp6(n.p) : tcp4(n.p);
        tapsi_sim_fault(n.sim, rows[i].to, rows[i].fault);
        CHECK_INT(connect_to(n.p, fd, rows[i].to, 80), -EINPROGRESS);
        run_for(&n, RTT);
        CHECK_INT(so_error(n.p, fd), rows[i].err);
        n.p->ops->close(n.p, fd);
    }
    net_done(&n);
}

struct syns {
    unsigned count;
    uint64_t at[16];
};

static void note_syn(void *arg, const struct tapsi_sim_packet *packet)
{
    struct syns *syns = arg;
    if (strcmp(packet->kind, "SYN") == 0 && syns->count < 16)
        syns->at[syns->count++] = packet->time_ns - TAPSI_SIM_START;
}

TEST(a_blackhole_gets_syns_at_1_3_7_and_a_timeout)
{
    struct net n;
    struct syns syns = {0};
    net_init(&n);
    int fd = tcp4(n.p);
    struct tapsi_watch w = {-1, ignore_ready};
    struct tapsi_ready ready[EVENTS];
    tapsi_sim_trace(n.sim, note_syn, &syns);
    tapsi_sim_fault(n.sim, "192.0.2.1", TAPSI_SIM_BLACKHOLE);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, EVENTS), 1);
    CHECK_INT(tapsi_sim_elapsed(n.sim), 127 * TAPSI_SIM_S);
    CHECK_INT(so_error(n.p, fd), ETIMEDOUT);
    CHECK_INT(syns.count, 7);
    CHECK_INT(syns.at[1], 1 * TAPSI_SIM_S);
    CHECK_INT(syns.at[2], 3 * TAPSI_SIM_S);
    CHECK_INT(syns.at[3], 7 * TAPSI_SIM_S);
    CHECK_INT(tapsi_sim_packets_to(n.sim, "192.0.2.1:80"), 7);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(user_timeout_bounds_the_handshake)
{
    struct net n;
    net_init(&n);
    int fd = tcp4(n.p);
    tapsi_sim_fault(n.sim, "192.0.2.1:80", TAPSI_SIM_BLACKHOLE);
    CHECK_INT(set_int(n.p, fd, IPPROTO_TCP, 18 /* TCP_USER_TIMEOUT */, 1500), 0);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, 1499 * TAPSI_SIM_MS);
    CHECK_INT(so_error(n.p, fd), 0);
    run_for(&n, TAPSI_SIM_MS);
    CHECK_INT(so_error(n.p, fd), ETIMEDOUT);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_lost_syn_costs_a_second)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    tapsi_sim_link_loss(n.link, 1);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    tapsi_sim_link_loss(n.link, 0);
    run_for(&n, TAPSI_SIM_S + RTT - 1);
    CHECK_INT(send_text(n.p, fd, "x"), -EAGAIN);
    run_for(&n, 1);
    CHECK_INT(send_text(n.p, fd, "x"), 1);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(a_lost_last_step_of_the_handshake_is_repaired)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, RTT - 1);
    tapsi_sim_fault(n.sim, "192.0.2.1", TAPSI_SIM_BLACKHOLE);
    run_for(&n, 1);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), 0);
    tapsi_sim_fault(n.sim, "192.0.2.1", TAPSI_SIM_FINE);
    run_for(&n, TAPSI_SIM_S / 2);
    CHECK_INT(n.q->ops->accept(n.q, listener, NULL), -EAGAIN);
    run_for(&n, TAPSI_SIM_S);
    int child = n.q->ops->accept(n.q, listener, NULL);
    CHECK(child >= 0);
    n.q->ops->close(n.q, child);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(a_handshake_nobody_finishes_is_forgotten)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    CHECK_INT(n.q->ops->listen(n.q, listener, 0), 0);
    tapsi_sim_fault(n.sim, "192.0.2.2", TAPSI_SIM_BLACKHOLE);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, TAPSI_SIM_S / 2);
    n.p->ops->close(n.p, fd);
    tapsi_sim_link_fault(n.link, TAPSI_SIM_BLACKHOLE);
    run_for(&n, 100 * TAPSI_SIM_S);
    tapsi_sim_link_fault(n.link, TAPSI_SIM_FINE);
    tapsi_sim_fault(n.sim, "192.0.2.2", TAPSI_SIM_FINE);
    fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, 2 * RTT);
    int child = n.q->ops->accept(n.q, listener, NULL);
    CHECK(child >= 0);
    n.q->ops->close(n.q, child);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(nobody_on_the_link_is_host_unreachable_after_three_seconds)
{
    struct net n;
    net_init(&n);
    int on_link = tcp4(n.p), beyond = tcp4(n.p);
    CHECK_INT(connect_to(n.p, on_link, "192.0.2.99", 80), -EINPROGRESS);
    CHECK_INT(connect_to(n.p, beyond, "198.51.100.1", 80), -EINPROGRESS);
    run_for(&n, 3 * TAPSI_SIM_S);
    CHECK_INT(so_error(n.p, on_link), EHOSTUNREACH);
    CHECK_INT(so_error(n.p, beyond), 0);
    n.p->ops->close(n.p, on_link);
    n.p->ops->close(n.p, beyond);
    net_done(&n);
}

TEST(no_route_is_net_unreachable_at_once)
{
    struct net n;
    net_init(&n);
    int fd = tcp4(n.p);
    tapsi_sim_route_remove(n.c, "0.0.0.0/0");
    CHECK_INT(connect_to(n.p, fd, "198.51.100.1", 80), -ENETUNREACH);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    tapsi_sim_interface_up(n.c, false);
    int down = tcp4(n.p);
    CHECK_INT(connect_to(n.p, down, "192.0.2.1", 80), -ENETUNREACH);
    n.p->ops->close(n.p, fd);
    n.p->ops->close(n.p, down);
    net_done(&n);
}

TEST(connect_twice_says_how_far_it_is)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EALREADY);
    run_for(&n, RTT);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), 0);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EISCONN);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(a_refused_socket_may_try_again)
{
    struct net n;
    net_init(&n);
    int fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, RTT);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -ECONNREFUSED);
    int listener = listen_on(n.q, 80);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, RTT);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), 0);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(a_full_backlog_lets_syns_wait)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fds[3];
    CHECK_INT(n.q->ops->listen(n.q, listener, 1), 0);
    for (int i = 0; i < 3; i++) {
        fds[i] = tcp4(n.p);
        CHECK_INT(connect_to(n.p, fds[i], "192.0.2.1", 80), -EINPROGRESS);
    }
    run_for(&n, 500 * TAPSI_SIM_MS);
    CHECK_INT(send_text(n.p, fds[1], "x"), 1);
    CHECK_INT(send_text(n.p, fds[2], "x"), -EAGAIN);
    int child = n.q->ops->accept(n.q, listener, NULL);
    CHECK(child >= 0);
    run_for(&n, 600 * TAPSI_SIM_MS);
    CHECK_INT(send_text(n.p, fds[2], "x"), 1);
    for (int i = 0; i < 3; i++)
        n.p->ops->close(n.p, fds[i]);
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(closing_while_connecting_leaves_nothing_at_the_server)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    n.p->ops->close(n.p, fd);
    run_for(&n, TAPSI_SIM_S);
    CHECK_INT(n.q->ops->accept(n.q, listener, NULL), -EAGAIN);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(closing_a_listener_resets_those_who_wait)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    char text[8];
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, 2 * RTT);
    n.q->ops->close(n.q, listener);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), -ECONNRESET);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_fin_is_the_end_of_reading_only)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    char text[8];
    connected_pair(&n, listener, 80, &fd, &child);
    CHECK_INT(send_text(n.p, fd, "bye"), 3);
    CHECK_INT(n.p->ops->shutdown(n.p, fd, SHUT_WR), 0);
    CHECK_INT(send_text(n.p, fd, "x"), -EPIPE);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.q, child, text, sizeof text), 3);
    CHECK_INT(recv_text(n.q, child, text, sizeof text), 0);
    CHECK_INT(send_text(n.q, child, "yes"), 3);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), 3);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), -EAGAIN);
    n.q->ops->close(n.q, child);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), 0);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(close_delivers_what_was_sent)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    char text[8];
    connected_pair(&n, listener, 80, &fd, &child);
    CHECK_INT(send_text(n.p, fd, "last"), 4);
    n.p->ops->close(n.p, fd);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.q, child, text, sizeof text), 4);
    CHECK_INT(recv_text(n.q, child, text, sizeof text), 0);
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(close_with_unread_bytes_resets)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    char text[8];
    connected_pair(&n, listener, 80, &fd, &child);
    CHECK_INT(send_text(n.p, fd, "unread"), 6);
    run_for(&n, RTT);
    n.q->ops->close(n.q, child);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), -ECONNRESET);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), 0);
    CHECK_INT(send_text(n.p, fd, "x"), -EPIPE);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(linger_zero_resets_and_drops)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    struct linger linger = {1, 0};
    char text[8];
    connected_pair(&n, listener, 80, &fd, &child);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    n.p->ops->close(n.p, fd);
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.q, child, text, sizeof text), -ECONNRESET);
    CHECK_INT(n.q->ops->getpeername(n.q, child, &(union tapsi_addr){.in.sin_port = 0}), -ENOTCONN);
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(bytes_for_a_closed_socket_are_answered_with_reset)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    connected_pair(&n, listener, 80, &fd, &child);
    n.q->ops->close(n.q, child);
    run_for(&n, RTT);
    CHECK_INT(send_text(n.p, fd, "x"), 1);
    run_for(&n, RTT);
    CHECK_INT(send_text(n.p, fd, "y"), -EPIPE); /* after the peer's FIN a reset is EPIPE */
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(an_established_connection_survives_soft_errors)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    char text[8];
    connected_pair(&n, listener, 80, &fd, &child);
    tapsi_sim_fault(n.sim, "192.0.2.1", TAPSI_SIM_PROHIBIT);
    CHECK_INT(send_text(n.p, fd, "x"), 1);
    run_for(&n, RTT);
    CHECK_INT(so_error(n.p, fd), EHOSTUNREACH);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IP, IP_RECVERR, 1), 0);
    run_for(&n, TAPSI_SIM_S);
    CHECK_INT(send_text(n.p, fd, "y"), -EHOSTUNREACH);
    CHECK_INT(send_text(n.p, fd, "y"), 1);
    tapsi_sim_fault(n.sim, "192.0.2.1", TAPSI_SIM_FINE);
    run_for(&n, 2 * TAPSI_SIM_S);
    CHECK_INT(recv_text(n.q, child, text, sizeof text), 2);
    CHECK_TEXT(text, "xy");
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(user_timeout_ends_a_connection_nobody_answers)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    connected_pair(&n, listener, 80, &fd, &child);
    CHECK_INT(set_int(n.p, fd, IPPROTO_TCP, 18, 1000), 0);
    tapsi_sim_link_fault(n.link, TAPSI_SIM_BLACKHOLE);
    uint64_t start = tapsi_sim_now(n.sim);
    struct tapsi_watch w = {-1, ignore_ready};
    struct tapsi_ready ready[EVENTS];
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    CHECK_INT(n.p->ops->wait(n.p, 0, ready, EVENTS), 1);
    CHECK_INT(send_text(n.p, fd, "x"), 1);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, EVENTS), 1);
    CHECK(ready[0].io & TAPSI_IO_ERROR);
    CHECK_INT(so_error(n.p, fd), ETIMEDOUT);
    CHECK(tapsi_sim_now(n.sim) - start < 2 * TAPSI_SIM_S);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(misuse_is_answered_as_by_linux)
{
    struct net n;
    net_init(&n);
    int fd = tcp4(n.p), listener = listen_on(n.p, 80);
    char text[8];
    CHECK_INT(send_text(n.p, fd, "x"), -EPIPE);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), -ENOTCONN);
    CHECK_INT(n.p->ops->shutdown(n.p, fd, SHUT_WR), -ENOTCONN);
    CHECK_INT(n.p->ops->shutdown(n.p, fd, 9), -EINVAL);
    CHECK_INT(n.p->ops->accept(n.p, fd, NULL), -EINVAL);
    CHECK_INT(connect_to(n.p, fd, "2001:db8::1", 80), -EAFNOSUPPORT);
    CHECK_INT(n.p->ops->getpeername(n.p, fd, &(union tapsi_addr){.in.sin_port = 0}), -ENOTCONN);
    CHECK_INT(recv_text(n.p, listener, text, sizeof text), -ENOTCONN);
    CHECK_INT(send_text(n.p, listener, "x"), -EPIPE);
    CHECK_INT(connect_to(n.p, listener, "2001:db8::1", 80), -EISCONN);
    CHECK_INT(n.p->ops->accept(n.p, listener, NULL), -EAGAIN);
    CHECK_INT(n.p->ops->unacknowledged(n.p, listener), -EINVAL);
    n.p->ops->close(n.p, fd);
    n.p->ops->close(n.p, listener);
    net_done(&n);
}
