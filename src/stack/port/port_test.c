/* Ports: who gets which datagrams, trains both ways, errors. */
#include "stack/port/testport.h"

/* ---------------------------------------------------------------------------------------------------- classes */

static const struct {
    int first, last;
    enum tapsi_port_class class;
} rfc9443[] = {
    {0, 3, TAPSI_PORT_STUN},    {4, 19, TAPSI_PORT_OTHER},    {20, 63, TAPSI_PORT_DTLS},
    {64, 127, TAPSI_PORT_QUIC}, {128, 191, TAPSI_PORT_OTHER}, {192, 255, TAPSI_PORT_QUIC},
};

TEST(each_first_byte_has_its_class)
{
    struct net n;
    struct seen s[TAPSI_PORT_CLASSES];
    net_sim(&n);
    CHECK_INT(listen_at(&n, &s[0], TAPSI_PORT_STUN, "192.0.2.1", 0), 0);
    for (int i = 1; i < TAPSI_PORT_CLASSES; i++)
        CHECK_INT(listen_at(&n, &s[i], (enum tapsi_port_class)i, "192.0.2.1", port_of(&s[0])), 0);
    CHECK_INT(tapsi_sim_host_sockets(n.server), 1);
    int fd = plain(&n, "192.0.2.1", port_of(&s[0]));
    unsigned expected[TAPSI_PORT_CLASSES] = {0};
    for (size_t r = 0; r < sizeof(rfc9443) / sizeof(*rfc9443); r++) {
        for (int byte = rfc9443[r].first; byte <= rfc9443[r].last; byte++) {
            uint8_t bytes[] = {(uint8_t)byte, 1};
            CHECK_INT(n.peer->ops->send(n.peer, fd, bytes, sizeof(bytes), 0), 2);
            run_for(&n, 2 * DELAY);
            expected[rfc9443[r].class]++;
            for (int i = 0; i < TAPSI_PORT_CLASSES; i++)
                CHECK_INT(s[i].datagrams, expected[i]);
        }
    }
    CHECK_INT(n.peer->ops->send(n.peer, fd, "", 0, 0), 0);
    run_for(&n, 2 * DELAY);
    CHECK_INT(s[TAPSI_PORT_OTHER].datagrams, expected[TAPSI_PORT_OTHER] + 1);
    CHECK_INT(s[TAPSI_PORT_OTHER].turns, s[TAPSI_PORT_OTHER].calls);
    for (int i = 0; i < TAPSI_PORT_CLASSES; i++)
        tapsi_port_leave(&s[i].user);
    n.peer->ops->close(n.peer, fd);
    net_done(&n);
}

TEST(a_class_without_a_user_is_other)
{
    struct net n;
    struct seen other, quic;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &other, TAPSI_PORT_OTHER, "::", 0), 0);
    CHECK_INT(listen_at(&n, &quic, TAPSI_PORT_QUIC, "::", port_of(&other)), 0);
    int fd = plain(&n, "192.0.2.1", port_of(&other));
    n.peer->ops->send(n.peer, fd, "\x16 dtls", 6, 0);
    n.peer->ops->send(n.peer, fd, "\xc0 quic", 6, 0);
    run_for(&n, 2 * DELAY);
    CHECK_INT(other.datagrams, 1);
    CHECK_INT(quic.datagrams, 1);
    tapsi_port_leave(&quic.user);
    n.peer->ops->send(n.peer, fd, "\xc0 quic", 6, 0);
    run_for(&n, 2 * DELAY);
    CHECK_INT(other.datagrams, 2);
    tapsi_port_leave(&other.user);
    n.peer->ops->close(n.peer, fd);
    net_done(&n);
}

TEST(what_nobody_takes_is_dropped)
{
    struct net n;
    struct seen quic;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &quic, TAPSI_PORT_QUIC, "::", 0), 0);
    int fd = plain(&n, "2001:db8::1", port_of(&quic));
    for (int i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        n.peer->ops->send(n.peer, fd, &byte, 1, 0);
    }
    n.peer->ops->send(n.peer, fd, "", 0, 0);
    run_for(&n, 2 * DELAY);
    CHECK_INT(quic.datagrams, 128);
    tapsi_port_leave(&quic.user);
    n.peer->ops->close(n.peer, fd);
    net_done(&n);
}

TEST(a_class_has_one_user)
{
    struct net n;
    struct seen a, b;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &a, TAPSI_PORT_QUIC, "::", 0), 0);
    unsigned port = port_of(&a);
    CHECK_INT(listen_at(&n, &b, TAPSI_PORT_QUIC, "::", port), TAPS_E_ADDRESS_IN_USE);
    union tapsi_addr local = addr("::", port);
    struct tapsi_target target = {.local = &local};
    CHECK(tapsi_port_holder(n.env, &target, TAPSI_PORT_QUIC) == &a.user);
    CHECK(!tapsi_port_holder(n.env, &target, TAPSI_PORT_DTLS));
    CHECK(!b.user.port);
    tapsi_port_leave(&b.user); /* harmless */
    tapsi_port_leave(&a.user);
    CHECK(!tapsi_port_holder(n.env, &target, TAPSI_PORT_QUIC));
    CHECK_INT(listen_at(&n, &b, TAPSI_PORT_QUIC, "::", port), 0);
    tapsi_port_leave(&b.user);
    net_done(&n);
}

TEST(another_environment_does_not_share)
{
    struct net n;
    struct seen a, b;
    net_sim(&n);
    struct tapsi_env *mine = n.env, *theirs = tapsi_env_new(&n.loop, n.properties, NULL, NULL);
    CHECK_INT(listen_at(&n, &a, TAPSI_PORT_QUIC, "::", 0), 0);
    n.env = theirs;
    CHECK_INT(listen_at(&n, &b, TAPSI_PORT_DTLS, "::", port_of(&a)), TAPS_E_ADDRESS_IN_USE);
    CHECK_INT(listen_at(&n, &b, TAPSI_PORT_DTLS, "192.0.2.1", port_of(&a)), TAPS_E_ADDRESS_IN_USE);
    n.env = mine;
    CHECK_INT(listen_at(&n, &b, TAPSI_PORT_DTLS, "192.0.2.1", port_of(&a)), TAPS_E_ADDRESS_IN_USE);
    CHECK(listen_at(&n, &b, TAPSI_PORT_DTLS, "192.0.2.99", 0) < 0);
    tapsi_env_unref(theirs);
    tapsi_port_leave(&a.user);
    net_done(&n);
}

/* ------------------------------------------------------------------------------------------------------ addresses */

TEST(an_answer_leaves_from_where_the_question_came_to)
{
    static const char *const questions[] = {"192.0.2.11", "192.0.2.1", "2001:db8::1"};
    struct net n;
    struct seen s;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_QUIC, "::", 0), 0);
    s.answers = true;
    for (unsigned i = 0; i < 3; i++) {
        int fd = plain(&n, questions[i], port_of(&s));
        char byte;
        n.peer->ops->send(n.peer, fd, "Q", 1, 0);
        run_for(&n, 3 * DELAY);
        CHECK_INT(s.datagrams, i + 1);
        CHECK_INT(tapsi_addr_port(&s.to), port_of(&s));
        CHECK(s.interface_index != 0);
        CHECK_INT(n.peer->ops->recv(n.peer, fd, &byte, 1, 0), 1);
        n.peer->ops->close(n.peer, fd);
    }
    tapsi_port_leave(&s.user);
    net_done(&n);
}

TEST(one_address_is_known_without_asking)
{
    struct net n;
    struct seen s;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_QUIC, "192.0.2.11", 0), 0);
    s.answers = true;
    int fd = plain(&n, "192.0.2.11", port_of(&s));
    char byte;
    n.peer->ops->send(n.peer, fd, "Q", 1, 0);
    run_for(&n, 3 * DELAY);
    CHECK_TEXT(text_of(&s.to), text_of(tapsi_port_local(s.user.port)));
    CHECK_INT(s.interface_index, 2);
    CHECK_INT(n.peer->ops->recv(n.peer, fd, &byte, 1, 0), 1);
    n.peer->ops->close(n.peer, fd);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

/* --------------------------------------------------------------------------------------------------------- trains */

/* A port writes trains to another over the link; the reader is on the client's side of a loop of the server. */
static void check_trains_out(bool kernel_cuts)
{
    struct net n;
    struct seen s;
    char bytes[10 * 1000];
    net_sim(&n);
    if (!kernel_cuts)
        tapsi_sim_host_no_trains(n.server);
    memset(bytes, 'Q', sizeof(bytes));
    union tapsi_addr local = addr("192.0.2.2", 7), remote = addr("192.0.2.1", 8);
    int fd = n.peer->ops->socket(n.peer, AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    CHECK_INT(n.peer->ops->bind(n.peer, fd, &local), 0);
    struct tapsi_target target = {.remote = &local, .local = &remote};
    struct tapsi_error error;
    s = (struct seen){.user = {.ops = &seen_ops}};
    CHECK_INT(tapsi_port_connect(n.env, &target, &s.user, &error), 0);
    CHECK(tapsi_port_takes_trains(s.user.port) == kernel_cuts);
    CHECK(tapsi_port_is_connected(s.user.port));
    struct tapsi_port_way way = {.tos = 2};
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, 9700, 1000), 0);
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, 100, 1000), 0);
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, 64, 1), 0);
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, 0, 0), 0);
    run_for(&n, 2 * DELAY);
    for (int i = 0; i < 10; i++)
        CHECK_INT(n.peer->ops->recv(n.peer, fd, bytes, sizeof(bytes), 0), i < 9 ? 1000 : 700);
    CHECK_INT(n.peer->ops->recv(n.peer, fd, bytes, sizeof(bytes), 0), 100);
    for (int i = 0; i < 64; i++)
        CHECK_INT(n.peer->ops->recv(n.peer, fd, bytes, sizeof(bytes), 0), 1);
    CHECK_INT(n.peer->ops->recv(n.peer, fd, bytes, sizeof(bytes), 0), 0);
    CHECK_INT(n.peer->ops->recv(n.peer, fd, bytes, sizeof(bytes), 0), -EAGAIN);
    n.peer->ops->close(n.peer, fd);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

TEST(trains_go_out_in_pieces)
{
    check_trains_out(true);
}

TEST(without_trains_of_the_kernel_the_pieces_are_the_same)
{
    check_trains_out(false);
}

/* A train of mixed first bytes: "Q" and 0x16 are of different classes. */
TEST(trains_come_in_runs_of_a_class)
{
    struct net n;
    struct seen quic, dtls;
    char bytes[640];
    net_sim(&n);
    CHECK_INT(listen_at(&n, &quic, TAPSI_PORT_QUIC, "::", 0), 0);
    CHECK_INT(listen_at(&n, &dtls, TAPSI_PORT_DTLS, "::", port_of(&quic)), 0);
    int fd = plain(&n, "192.0.2.1", port_of(&quic));
    plain_set(&n, fd, IPPROTO_UDP, UDP_SEGMENT, 10);
    memset(bytes, 'Q', sizeof(bytes));
    CHECK_INT(n.peer->ops->send(n.peer, fd, bytes, 635, 0), 635);
    run_for(&n, 2 * DELAY);
    CHECK_INT(quic.calls, 1);
    CHECK_INT(quic.trains, 1);
    CHECK_INT(quic.datagrams, 64);
    CHECK_INT(quic.bytes, 635);
    CHECK_INT(quic.longest, 10);
    CHECK_INT(quic.turns, 1);
    bytes[30] = bytes[40] = bytes[60] = bytes[630] = 0x16;
    CHECK_INT(n.peer->ops->send(n.peer, fd, bytes, 640, 0), 640);
    run_for(&n, 2 * DELAY);
    CHECK_INT(dtls.calls, 3);
    CHECK_INT(dtls.datagrams, 4);
    CHECK_INT(dtls.turns, 1);
    CHECK_INT(quic.datagrams, 64 + 60);
    CHECK_INT(quic.calls, 1 + 3);
    tapsi_port_leave(&quic.user);
    tapsi_port_leave(&dtls.user);
    n.peer->ops->close(n.peer, fd);
    net_done(&n);
}

TEST(trains_of_any_bytes_and_sizes_come_whole)
{
    struct net n;
    struct seen all;
    uint64_t dice = 4711;
    size_t sent = 0;
    unsigned pieces = 0;
    static uint8_t bytes[60000];
    net_sim(&n);
    CHECK_INT(listen_at(&n, &all, TAPSI_PORT_OTHER, "::", 0), 0);
    struct seen quic;
    CHECK_INT(listen_at(&n, &quic, TAPSI_PORT_QUIC, "::", port_of(&all)), 0);
    int fd = plain(&n, "192.0.2.1", port_of(&all));
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(bytes); i += 8) {
            uint64_t word = dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
            memcpy(bytes + i, &word, 8);
        }
        size_t segment = 1 + (dice >> 33) % 1400, length = (dice >> 13) % (segment * 40 + 1);
        plain_set(&n, fd, IPPROTO_UDP, UDP_SEGMENT, (int)segment);
        CHECK_INT(n.peer->ops->send(n.peer, fd, bytes, length, 0), (ssize_t)length);
        sent += length;
        pieces += length ? (unsigned)((length + segment - 1) / segment) : 1;
        run_for(&n, 2 * DELAY);
    }
    CHECK_INT(all.bytes + quic.bytes, sent);
    CHECK_INT(all.datagrams + quic.datagrams, pieces);
    tapsi_port_leave(&all.user);
    tapsi_port_leave(&quic.user);
    n.peer->ops->close(n.peer, fd);
    net_done(&n);
}

TEST(pieces_larger_than_the_interface_are_refused)
{
    struct net n;
    struct seen s;
    static char bytes[20000];
    net_sim(&n);
    CHECK_INT(connect_to(&n, &s, "192.0.2.2", 7), 0);
    struct tapsi_port *port = s.user.port;
    struct tapsi_port_way way = {.tos = 0};
    union tapsi_addr remote = addr("192.0.2.2", 7);
    CHECK_INT(tapsi_port_mtu(port, tapsi_port_local(port), &remote), 1472);
    CHECK_INT(tapsi_port_write(port, &way, bytes, 1473, 0), -EMSGSIZE);
    CHECK_INT(tapsi_port_write(port, &way, bytes, 3000, 1473), -EMSGSIZE);
    CHECK_INT(tapsi_port_write(port, &way, bytes, 20000, 1473), -EMSGSIZE);
    CHECK_INT(tapsi_port_write(port, &way, bytes, 14720, 1472), 0);
    tapsi_sim_host_no_trains(n.server);
    CHECK_INT(tapsi_port_write(port, &way, bytes, 1472, 0), 0);
    tapsi_port_leave(&s.user);
    net_done(&n);

    net_sim(&n);
    tapsi_sim_host_no_trains(n.server);
    CHECK_INT(connect_to(&n, &s, "192.0.2.2", 7), 0);
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, 3000, 1473), -EMSGSIZE);
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, 14720, 1472), 0);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

/* The path is narrower than the interface: what probes it is not fragmented, and is not refused for what is known. */
TEST(probes_of_the_path_go_out_whole)
{
    struct net n;
    struct seen s;
    char bytes[1472];
    net_sim(&n);
    tapsi_sim_link_mtu(n.link, 1300, false);
    CHECK_INT(connect_to(&n, &s, "192.0.2.2", 7), 0);
    struct tapsi_port_way way = {.tos = 0};
    memset(bytes, 'Q', sizeof(bytes));
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, sizeof(bytes), 0), 0);
        run_for(&n, 3 * DELAY);
        CHECK_INT(s.errors, i);
        CHECK_INT(s.error, EMSGSIZE);
    }
    union tapsi_addr remote = addr("192.0.2.2", 7);
    CHECK_INT(tapsi_port_mtu(s.user.port, tapsi_port_local(s.user.port), &remote), 1272);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

/* ------------------------------------------------------------------------------------------------------------ ECN */

TEST(ecn_is_told_and_set)
{
    struct net n;
    struct seen s;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_QUIC, "::", 0), 0);
    s.answers = true; /* with ECT(1) */
    static const char *const hosts[] = {"192.0.2.1", "2001:db8::1"};
    for (int i = 0; i < 2; i++) {
        int fd = plain(&n, hosts[i], port_of(&s));
        int level = i ? IPPROTO_IPV6 : IPPROTO_IP;
        char control[64] __attribute__((aligned(8))), byte;
        struct iovec iov = {&byte, 1};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        plain_set(&n, fd, level, i ? IPV6_RECVTCLASS : IP_RECVTOS, 1);
        plain_set(&n, fd, level, i ? IPV6_TCLASS : IP_TOS, 2);
        tapsi_sim_link_mark(n.link, 0);
        n.peer->ops->send(n.peer, fd, "Q", 1, 0);
        run_for(&n, 3 * DELAY);
        CHECK_INT(s.ecn, 2);
        CHECK_INT(n.peer->ops->recvmsg(n.peer, fd, &m, 0), 1);
        NEED(CMSG_FIRSTHDR(&m));
        CHECK_INT(*CMSG_DATA(CMSG_FIRSTHDR(&m)), 1);
        tapsi_sim_link_mark(n.link, 1);
        n.peer->ops->send(n.peer, fd, "Q", 1, 0);
        run_for(&n, 3 * DELAY);
        CHECK_INT(s.ecn, 3);
        plain_set(&n, fd, level, i ? IPV6_TCLASS : IP_TOS, 0);
        n.peer->ops->send(n.peer, fd, "Q", 1, 0);
        run_for(&n, 3 * DELAY);
        CHECK_INT(s.ecn, 0);
        n.peer->ops->close(n.peer, fd);
    }
    tapsi_port_leave(&s.user);
    net_done(&n);
}

/* --------------------------------------------------------------------------------------------------------- errors */

TEST(a_refusal_is_told_at_once)
{
    struct net n;
    struct seen s;
    net_sim(&n);
    CHECK_INT(connect_to(&n, &s, "192.0.2.2", 7), 0);
    struct tapsi_port_way way = {.tos = 0};
    CHECK_INT(tapsi_port_write(s.user.port, &way, "Q", 1, 0), 0);
    run_for(&n, 2 * DELAY + MS);
    CHECK_INT(s.errors, 1);
    CHECK_INT(s.error, ECONNREFUSED);
    CHECK_INT(tapsi_port_write(s.user.port, &way, "Q", 1, 0), 0);
    run_for(&n, 2 * DELAY + MS);
    CHECK_INT(s.errors, 2);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

TEST(a_listening_port_is_told_about_whom)
{
    struct net n;
    struct seen s;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_QUIC, "::", 0), 0);
    struct tapsi_port_way way = way_to("192.0.2.2", 7);
    CHECK_INT(tapsi_port_write(s.user.port, &way, "Q", 1, 0), 0);
    run_for(&n, 2 * DELAY + MS);
    CHECK_INT(s.errors, 1);
    CHECK_INT(s.error, ECONNREFUSED);
    CHECK_TEXT(text_of(&s.error_to), "192.0.2.2:7");
    s.leaves_at_error = true;
    CHECK_INT(tapsi_port_write(s.user.port, &way, "Q", 1, 0), 0);
    CHECK_INT(tapsi_port_write(s.user.port, &way, "Q", 1, 0), 0);
    run_for(&n, 2 * DELAY + MS);
    CHECK_INT(s.errors, 2);
    CHECK(!s.user.port);
    net_done(&n);
}

TEST(a_route_that_is_missing_is_told_in_words)
{
    struct net n;
    struct seen s;
    struct tapsi_error error;
    net_sim(&n);
    union tapsi_addr remote = addr("fe80::77", 7);
    struct tapsi_target target = {.remote = &remote};
    s = (struct seen){.user = {.ops = &seen_ops}};
    CHECK(tapsi_port_connect(n.env, &target, &s.user, &error) < 0);
    CHECK(error.pub.detail[0] != '\0');
    CHECK(!s.user.port);
    net_done(&n);
}

/* The kernel takes a part of the pieces: the rest waits, and nothing overtakes it. */
TEST(the_rest_of_a_train_goes_when_there_is_room)
{
    struct net n;
    struct seen s;
    char bytes[500], byte;
    net_sim(&n);
    tapsi_sim_host_no_trains(n.server);
    union tapsi_addr local = addr("192.0.2.2", 7), remote = addr("192.0.2.1", 8);
    int fd = n.peer->ops->socket(n.peer, AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    CHECK_INT(n.peer->ops->bind(n.peer, fd, &local), 0);
    CHECK_INT(n.peer->ops->connect(n.peer, fd, &remote), 0);
    struct tapsi_target target = {.remote = &local, .local = &remote};
    struct tapsi_error error;
    s = (struct seen){.user = {.ops = &seen_ops}};
    CHECK_INT(tapsi_port_connect(n.env, &target, &s.user, &error), 0);
    struct tapsi_port_way way = {.tos = 0};
    for (int i = 0; i < 5; i++)
        memset(bytes + 100 * i, '1' + i, 100);
    CHECK_INT(tapsi_port_write(s.user.port, &way, "0", 1, 0), 0);
    tapsi_sim_fail_call(n.sim, 1, 0); /* one piece */
    tapsi_sim_host_fail_call(n.server, 2, EAGAIN);
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, sizeof(bytes), 100), 0);
    CHECK_INT(tapsi_port_write(s.user.port, &way, "6", 1, 0), -EAGAIN);
    CHECK_INT(s.writable, 0);
    tapsi_sim_host_fail_call(n.server, 2, EAGAIN);             /* again, in the rest */
    CHECK_INT(n.peer->ops->send(n.peer, fd, "wake", 4, 0), 4); /* an event, and with it the room */
    run_for(&n, 2 * DELAY);
    CHECK_INT(n.peer->ops->send(n.peer, fd, "wake", 4, 0), 4);
    run_for(&n, 2 * DELAY);
    CHECK(s.writable >= 1);
    CHECK_INT(tapsi_port_write(s.user.port, &way, "6", 1, 0), 0);
    run_for(&n, 2 * DELAY);
    for (int i = 0; i < 7; i++) {
        CHECK(n.peer->ops->recv(n.peer, fd, &byte, 1, 0) >= 1);
        CHECK_INT(byte, '0' + i);
    }
    CHECK_INT(n.peer->ops->recv(n.peer, fd, &byte, 1, 0), -EAGAIN);
    n.peer->ops->close(n.peer, fd);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

TEST(a_rest_that_never_goes_goes_with_the_port)
{
    struct net n;
    struct seen s;
    char bytes[500] = {0};
    net_sim(&n);
    tapsi_sim_host_no_trains(n.server);
    CHECK_INT(connect_to(&n, &s, "192.0.2.2", 7), 0);
    struct tapsi_port_way way = {.tos = 0};
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, 0, 0), 0);
    tapsi_sim_fail_call(n.sim, 1, 0);
    tapsi_sim_host_fail_call(n.server, 2, EAGAIN);
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, sizeof(bytes), 100), 0);
    CHECK_INT(tapsi_port_write(s.user.port, &way, bytes, 1, 0), -EAGAIN);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

/* ------------------------------------------------------------------------------------------------ ends and bounds */

TEST(a_user_may_leave_in_the_middle_of_a_train)
{
    struct net n;
    struct seen quic, dtls;
    char bytes[100];
    net_sim(&n);
    CHECK_INT(listen_at(&n, &quic, TAPSI_PORT_QUIC, "::", 0), 0);
    CHECK_INT(listen_at(&n, &dtls, TAPSI_PORT_DTLS, "::", port_of(&quic)), 0);
    int fd = plain(&n, "192.0.2.1", port_of(&quic));
    plain_set(&n, fd, IPPROTO_UDP, UDP_SEGMENT, 10);
    for (int i = 0; i < 10; i++)
        memset(bytes + 10 * i, i % 2 ? 'Q' : 0x16, 10);
    quic.leaves = dtls.leaves = true;
    n.peer->ops->send(n.peer, fd, bytes, sizeof(bytes), 0);
    n.peer->ops->send(n.peer, fd, bytes, sizeof(bytes), 0);
    run_for(&n, 2 * DELAY);
    CHECK_INT(quic.datagrams, 1);
    CHECK_INT(dtls.datagrams, 1);
    CHECK_INT(quic.turns + dtls.turns, 0);
    CHECK_INT(tapsi_sim_host_sockets(n.server), 0);
    n.peer->ops->close(n.peer, fd);
    net_done(&n);
}

/* Whoever stands behind a user that has gone still writes, and nothing is read. */
TEST(a_reference_outlives_its_user)
{
    struct net n;
    struct seen s, late;
    char byte;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_QUIC, "192.0.2.1", 0), 0);
    struct tapsi_port *port = tapsi_port_ref(s.user.port);
    unsigned number = port_of(&s);
    int fd = plain(&n, "192.0.2.1", number);
    n.peer->ops->send(n.peer, fd, "Q", 1, 0);
    run_for(&n, 2 * DELAY);
    tapsi_port_leave(&s.user);
    struct tapsi_port_way way = {.to = s.from};
    CHECK_INT(tapsi_port_write(port, &way, "R", 1, 0), 0);
    n.peer->ops->send(n.peer, fd, "Q", 1, 0);
    run_for(&n, 2 * DELAY);
    CHECK_INT(s.datagrams, 1);
    CHECK_INT(n.peer->ops->recv(n.peer, fd, &byte, 1, 0), 1);
    CHECK_INT(listen_at(&n, &late, TAPSI_PORT_QUIC, "192.0.2.1", number), 0);
    n.peer->ops->send(n.peer, fd, "Q", 1, 0);
    run_for(&n, 2 * DELAY);
    CHECK(late.datagrams >= 1);
    tapsi_port_unref(port);
    tapsi_port_leave(&late.user);
    n.peer->ops->close(n.peer, fd);
    net_done(&n);
}

TEST(each_turn_reads_a_part)
{
    struct net n;
    struct seen s;
    net_sim(&n);
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_OTHER, "::", 0), 0);
    int fd = plain(&n, "192.0.2.1", port_of(&s));
    for (int i = 0; i < 200; i++)
        n.peer->ops->send(n.peer, fd, "x", 1, 0);
    tapsi_sim_run(n.sim, tapsi_sim_now(n.sim) + 2 * DELAY);
    run_for(&n, MS);
    CHECK_INT(s.datagrams, 200);
    CHECK_INT(s.turns, 4);
    tapsi_port_leave(&s.user);
    n.peer->ops->close(n.peer, fd);
    net_done(&n);
}

/* Every call of the platform fails once, and every allocation, in opening, reading and writing. */
static void live(struct net *n)
{
    struct seen s, c;
    char bytes[500];
    memset(bytes, 'Q', sizeof(bytes));
    if (listen_at(n, &s, TAPSI_PORT_QUIC, "::", 0) < 0)
        return;
    unsigned number = port_of(&s);
    if (connect_to(n, &c, "127.0.0.1", number) == 0) {
        struct tapsi_port_way way = {.tos = 2};
        tapsi_port_write(c.user.port, &way, bytes, 500, 100);
        run_for(n, DELAY);
        tapsi_port_write(c.user.port, &way, bytes, 500, 100);
        tapsi_port_write(c.user.port, &way, bytes, 5, 0);
        run_for(n, DELAY);
        CHECK(s.datagrams <= 11);
        CHECK(s.datagrams == 0 || s.turns);
        tapsi_port_leave(&c.user);
    }
    tapsi_port_leave(&s.user);
}

TEST(every_call_may_fail)
{
    static const int errors[] = {ENOBUFS, EPERM, EAGAIN, EMFILE, EINVAL, EIO, EMSGSIZE, ECONNREFUSED, ENOPROTOOPT, 0};
    for (size_t e = 0; e < sizeof(errors) / sizeof(*errors); e++) {
        for (uint64_t nth = 1; nth < 60; nth++) {
            struct net n;
            net_sim(&n);
            if (nth % 2)
                tapsi_sim_host_no_trains(n.server);
            tapsi_sim_host_fail_call(n.server, nth, errors[e]);
            live(&n);
            net_done(&n);
        }
    }
}

TEST(every_allocation_may_fail)
{
    for (size_t nth = 1; nth < 30; nth++) {
        struct net n;
        net_sim(&n);
        heap.fail_at = heap.calls + nth;
        live(&n);
        heap.fail_at = 0;
        net_done(&n);
    }
}

/* ------------------------------------------------------------------------------------------------------ the kernel */

TEST(the_kernel_takes_and_gives_trains)
{
    struct net n;
    struct seen s, c;
    static char bytes[64000];
    net_kernel(&n);
    memset(bytes, 'Q', sizeof(bytes));
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_QUIC, "127.0.0.1", 0), 0);
    CHECK_INT(connect_to(&n, &c, "127.0.0.1", port_of(&s)), 0);
    struct tapsi_port_way way = {.tos = 2};
    CHECK_INT(tapsi_port_write(c.user.port, &way, bytes, 64000, 1000), 0);
    CHECK_INT(tapsi_port_write(c.user.port, &way, bytes, 100, 0), 0);
    CHECK_INT(tapsi_port_write(c.user.port, &way, bytes, 0, 0), 0);
    CHECK(run_until(&n, &s.datagrams, 65));
    CHECK_INT(s.bytes, 64100);
    CHECK_INT(s.longest, 1000);
    CHECK_INT(s.ecn, 2);
    if (tapsi_port_takes_trains(c.user.port))
        CHECK(s.trains >= 1 && s.calls <= 4);
    s.answers = true;
    CHECK_INT(tapsi_port_write(c.user.port, &way, bytes, 8000, 1000), 0);
    CHECK(run_until(&n, &c.datagrams, 8));
    CHECK_INT(c.ecn, 1);
    tapsi_port_leave(&c.user);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

TEST(the_kernel_tells_of_a_refusal)
{
    struct net n;
    struct seen gone, c, s;
    net_kernel(&n);
    CHECK_INT(listen_at(&n, &gone, TAPSI_PORT_QUIC, "127.0.0.1", 0), 0);
    unsigned number = port_of(&gone);
    tapsi_port_leave(&gone.user);
    CHECK_INT(connect_to(&n, &c, "127.0.0.1", number), 0);
    struct tapsi_port_way way = way_to("127.0.0.1", number);
    CHECK_INT(tapsi_port_write(c.user.port, &way, "Q", 1, 0), 0);
    CHECK(run_until(&n, &c.errors, 1));
    CHECK_INT(c.error, ECONNREFUSED);
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_QUIC, "127.0.0.1", 0), 0);
    CHECK_INT(tapsi_port_write(s.user.port, &way, "Q", 1, 0), 0);
    CHECK(run_until(&n, &s.errors, 1));
    CHECK_INT(s.error, ECONNREFUSED);
    CHECK_INT(tapsi_addr_port(&s.error_to), number);
    tapsi_port_leave(&c.user);
    tapsi_port_leave(&s.user);
    net_done(&n);
}

/* IPv4 on the IPv6 socket: the source, the mark and the size of the pieces are of two families. */
TEST(the_kernel_answers_ipv4_from_a_socket_of_both)
{
    struct net n;
    struct seen s, c;
    static char bytes[3000];
    net_kernel(&n);
    memset(bytes, 'Q', sizeof(bytes));
    CHECK_INT(listen_at(&n, &s, TAPSI_PORT_QUIC, "::", 0), 0);
    CHECK_INT(connect_to(&n, &c, "127.0.0.77", port_of(&s)), 0);
    struct tapsi_port_way way = {.tos = 3};
    CHECK_INT(tapsi_port_write(c.user.port, &way, bytes, 1, 0), 0);
    CHECK(run_until(&n, &s.datagrams, 1));
    CHECK_INT(s.ecn, 3);
    CHECK_TEXT(tapsi_addr_host_text(&s.to, (char[TAPSI_ADDR_TEXT]){0}), "127.0.0.77");
    struct tapsi_port_way back = {.to = s.from, .from = s.to, .tos = 2};
    CHECK_INT(tapsi_port_write(s.user.port, &back, bytes, 3000, 1000), 0);
    CHECK(run_until(&n, &c.datagrams, 3));
    CHECK_INT(c.bytes, 3000);
    CHECK_INT(c.ecn, 2);
    tapsi_port_leave(&c.user);
    tapsi_port_leave(&s.user);
    net_done(&n);
}
