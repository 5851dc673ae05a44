#include "platform/sim/testnet.h"

TEST(descriptors_are_high_and_never_come_back)
{
    struct net n;
    char text[4];
    net_init(&n);
    int a = tcp4(n.p);
    CHECK(a >= TAPSI_SIM_FD);
    CHECK_INT(n.p->ops->close(n.p, a), 0);
    int b = tcp4(n.p);
    CHECK(b != a);
    CHECK_INT(n.p->ops->close(n.p, a), -EBADF);
    CHECK_INT(recv_text(n.p, a, text, sizeof text), -EBADF);
    CHECK_INT(n.p->ops->close(n.p, 3), -EBADF);
    CHECK_INT(n.p->ops->close(n.p, -1), -EBADF);
    CHECK_INT(n.q->ops->close(n.q, b), -EBADF); /* another context's */
    CHECK_INT(n.p->ops->close(n.p, b), 0);
    net_done(&n);
}

TEST(only_known_kinds_of_socket_are_made)
{
    struct net n;
    net_init(&n);
    CHECK_INT(n.p->ops->socket(n.p, AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
    CHECK_INT(n.p->ops->socket(n.p, AF_INET, SOCK_SEQPACKET, 0), -EPROTONOSUPPORT);
    CHECK_INT(n.p->ops->socket(n.p, AF_INET, SOCK_STREAM, 262 /* MPTCP */), -EPROTONOSUPPORT);
    CHECK_INT(n.p->ops->socket(n.p, AF_INET, SOCK_DGRAM, 136 /* UDP-Lite */), -EPROTONOSUPPORT);
    CHECK_INT(n.p->ops->socket(n.p, AF_INET, SOCK_DGRAM, IPPROTO_TCP), -EPROTONOSUPPORT);
    int fd = n.p->ops->socket(n.p, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_limit_of_descriptors_is_emfile_for_sockets_and_accepts)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.q, 80), fd = tcp4(n.p);
    tapsi_sim_host_descriptors(n.client, 1);
    tapsi_sim_host_descriptors(n.server, 1);
    CHECK_INT(tcp4(n.p), -EMFILE);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, 2 * RTT);
    CHECK_INT(n.q->ops->accept(n.q, listener, NULL), -EMFILE);
    tapsi_sim_host_descriptors(n.server, 2);
    int child = n.q->ops->accept(n.q, listener, NULL); /* it was not lost */
    CHECK(child >= 0);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(an_edge_is_reported_once_with_all_that_is_true)
{
    struct net n;
    struct tapsi_watch w = {-1, ignore_ready};
    char text[8];
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    connected_pair(&n, listener, 80, &fd, &child);
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    CHECK_INT(w.fd, fd);
    CHECK_INT(events_for(&n, n.p, &w, 1), TAPSI_IO_OUT);
    CHECK_INT(events_for(&n, n.p, &w, RTT), 0);
    CHECK_INT(send_text(n.q, child, "ab"), 2);
    CHECK_INT(events_for(&n, n.p, &w, RTT), TAPSI_IO_IN | TAPSI_IO_OUT);
    CHECK_INT(events_for(&n, n.p, &w, RTT), 0); /* unread, and yet no new edge */
    CHECK_INT(send_text(n.q, child, "c"), 1);
    CHECK_INT(events_for(&n, n.p, &w, RTT), TAPSI_IO_IN | TAPSI_IO_OUT);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), 3);
    n.q->ops->close(n.q, child);
    CHECK_INT(events_for(&n, n.p, &w, RTT), TAPSI_IO_IN | TAPSI_IO_OUT | TAPSI_IO_END);
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

TEST(watching_a_new_tcp_socket_says_hang_up_as_linux_does)
{
    struct net n;
    struct tapsi_watch w = {-1, ignore_ready}, v = {-1, ignore_ready};
    net_init(&n);
    int fd = tcp4(n.p);
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    CHECK_INT(n.p->ops->watch(n.p, fd, &v), -EEXIST);
    CHECK_INT(v.fd, -1);
    CHECK_INT(events_for(&n, n.p, &w, 1), TAPSI_IO_OUT | TAPSI_IO_END);
    CHECK_INT(n.p->ops->watch(n.p, 77, &v), -EBADF);
    n.p->ops->close(n.p, fd);
    CHECK_INT(w.fd, -1);
    net_done(&n);
}

TEST(an_unwatched_socket_reports_nothing_more)
{
    struct net n;
    struct tapsi_watch w = {-1, ignore_ready};
    struct tapsi_ready ready[EVENTS];
    net_init(&n);
    int fd = udp4(n.p);
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    n.p->ops->unwatch(n.p, &w);
    CHECK_INT(w.fd, -1);
    CHECK_INT(n.p->ops->wait(n.p, 0, ready, EVENTS), 0);
    n.p->ops->unwatch(n.p, &w); /* harmless */
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    CHECK_INT(n.p->ops->wait(n.p, 0, ready, EVENTS), 1);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(wait_gives_at_most_what_fits_and_the_rest_next_time)
{
    struct net n;
    struct tapsi_watch w[5];
    struct tapsi_ready ready[3];
    int fds[5];
    net_init(&n);
    for (int i = 0; i < 5; i++) {
        w[i] = (struct tapsi_watch){-1, ignore_ready};
        fds[i] = udp4(n.p);
        CHECK_INT(n.p->ops->watch(n.p, fds[i], &w[i]), 0);
    }
    CHECK_INT(n.p->ops->wait(n.p, 0, ready, 3), 3);
    CHECK(ready[0].watch == &w[0]);
    CHECK_INT(n.p->ops->wait(n.p, 0, ready, 3), 2);
    CHECK(ready[1].watch == &w[4]);
    for (int i = 0; i < 5; i++)
        n.p->ops->close(n.p, fds[i]);
    net_done(&n);
}

TEST(wait_ends_at_its_deadline_or_when_woken)
{
    struct net n;
    struct tapsi_ready ready[1];
    net_init(&n);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_SIM_START + 5, ready, 1), 0);
    CHECK_INT(tapsi_sim_elapsed(n.sim), 5);
    CHECK_INT(n.p->ops->wait(n.p, 3, ready, 1), 0); /* past */
    CHECK_INT(tapsi_sim_elapsed(n.sim), 5);
    n.p->ops->wake(n.p);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, 1), 0);
    CHECK(!tapsi_sim_deadlocked(n.sim));
    CHECK_INT(n.p->ops->descriptor(n.p), -ENOSYS);
    net_done(&n);
}

TEST(two_platforms_of_one_host_talk)
{
    struct net n;
    struct tapsi_platform *second;
    char text[8];
    net_init(&n);
    CHECK_INT(tapsi_sim_platform_new(n.client, &n.mem, &second), 0);
    int listener = listen_on(second, 80), fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "127.0.0.1", 80), -EINPROGRESS);
    run_for(&n, TAPSI_SIM_MS);
    int child = second->ops->accept(second, listener, NULL);
    CHECK_INT(send_text(n.p, fd, "hi"), 2);
    run_for(&n, TAPSI_SIM_MS);
    CHECK_INT(recv_text(second, child, text, sizeof text), 2);
    n.p->ops->close(n.p, fd);
    second->ops->close(second, child);
    second->ops->close(second, listener);
    second->ops->destroy(second);
    net_done(&n);
}

TEST(what_a_platform_leaves_open_is_counted_and_closed)
{
    struct net n;
    struct tapsi_platform *third;
    net_init(&n);
    struct tapsi_sim_service *echo = tapsi_sim_serve(n.server, 7, TAPSI_SIM_ECHO);
    CHECK_INT(tapsi_sim_platform_new(n.client, &n.mem, &third), 0);
    int fd = tcp4(third);
    CHECK_INT(connect_to(third, fd, "192.0.2.1", 7), -EINPROGRESS);
    run_for(&n, 2 * RTT);
    CHECK_INT(tapsi_sim_service_counts(echo).open, 1);
    third->ops->destroy(third);
    CHECK_INT(tapsi_sim_host_leaked(n.client), 1);
    run_for(&n, RTT);
    CHECK_INT(tapsi_sim_service_counts(echo).open, 0);
    net_done(&n);
}

TEST(the_world_outlives_its_platforms)
{
    struct net n;
    net_init(&n);
    tapsi_sim_free(n.sim);
    int fd = udp4(n.p);
    CHECK(fd >= 0);
    CHECK(n.p->ops->now(n.p) >= TAPSI_SIM_START);
    n.p->ops->close(n.p, fd);
    n.p->ops->destroy(n.p);
    n.q->ops->destroy(n.q);
}

TEST(random_bytes_follow_the_seed_and_the_platform)
{
    uint8_t bytes[4][8];
    for (int i = 0; i < 2; i++) {
        struct net n;
        net_init(&n);
        CHECK_INT(n.p->ops->random(n.p, bytes[2 * i], 8), 0);
        CHECK_INT(n.q->ops->random(n.q, bytes[2 * i + 1], 8), 0);
        net_done(&n);
    }
    CHECK(memcmp(bytes[0], bytes[2], 8) == 0);
    CHECK(memcmp(bytes[0], bytes[1], 8) != 0);
}

TEST(the_nth_call_fails_once)
{
    struct net n;
    char text[4];
    net_init(&n);
    uint64_t before = tapsi_sim_calls(n.sim);
    tapsi_sim_fail_call(n.sim, 2, ENOBUFS);
    int a = tcp4(n.p);
    CHECK(a >= 0);
    CHECK(!tapsi_sim_call_failed(n.sim));
    CHECK_INT(tcp4(n.p), -ENOBUFS);
    CHECK(tapsi_sim_call_failed(n.sim));
    int b = tcp4(n.p);
    CHECK(b >= 0);
    CHECK_INT(tapsi_sim_calls(n.sim) - before, 3);
    tapsi_sim_fail_call(n.sim, 1, EINTR);
    CHECK_INT(n.p->ops->close(n.p, a), 0); /* close does not fail and is not counted */
    CHECK_INT(recv_text(n.p, b, text, sizeof text), -EINTR);
    n.p->ops->close(n.p, b);
    net_done(&n);
}

TEST(a_failure_may_be_meant_for_one_host)
{
    struct net n;
    net_init(&n);
    tapsi_sim_host_fail_call(n.server, 1, EMFILE);
    int a = tcp4(n.p);
    CHECK(a >= 0);
    CHECK_INT(tcp4(n.q), -EMFILE);
    n.p->ops->close(n.p, a);
    net_done(&n);
}

TEST(a_short_call_moves_one_byte)
{
    struct net n;
    char text[8];
    net_init(&n);
    int listener = listen_on(n.q, 80), fd, child;
    connected_pair(&n, listener, 80, &fd, &child);
    tapsi_sim_fail_call(n.sim, 1, 0);
    CHECK_INT(send_text(n.p, fd, "abc"), 1);
    CHECK_INT(send_text(n.p, fd, "bc"), 2);
    run_for(&n, RTT);
    tapsi_sim_fail_call(n.sim, 1, 0);
    CHECK_INT(recv_text(n.q, child, text, sizeof text), 1);
    CHECK_INT(recv_text(n.q, child, text, sizeof text), 2);
    tapsi_sim_fail_call(n.sim, 1, 0);
    CHECK_INT(so_error(n.p, fd), 0); /* what moves nothing is left alone */
    n.p->ops->close(n.p, fd);
    n.q->ops->close(n.q, child);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}
