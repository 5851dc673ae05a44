/* The shared port. Proves API-065, API-125, IMPL-12 and others where cited. */
#include "stack/udp/testnet.h"

#define PORT     4000
#define CHILDREN 300

static struct seen children[CHILDREN];

/* A port on the server's host, where the loop runs; the client's host has plain sockets. */
static void setup_at(struct net *n, struct seen *listener, const char *local, size_t want)
{
    union tapsi_addr a = addr(local, PORT);
    net_sim(n, true);
    memset(children, 0, sizeof(children));
    for (int i = 0; i < CHILDREN; i++)
        children[i].credit = CREDIT;
    *listener = (struct seen){.child = children, .child_max = CHILDREN};
    CHECK(listen_at(n, listener, &a) != NULL);
    if (want)
        tapsi_layer_want(listener->layer, want);
}

static void setup(struct net *n, struct seen *listener)
{
    setup_at(n, listener, "::", SIZE_MAX);
}

static void teardown(struct net *n, struct seen *listener)
{
    for (int i = 0; i < CHILDREN; i++)
        if (children[i].layer)
            seen_destroy(&children[i]);
    if (listener->layer)
        seen_destroy(listener);
    net_done(n);
}

static int plain(struct net *n, const char *local, unsigned port)
{
    union tapsi_addr a = addr(local, port);
    int fd = n->peer->ops->socket(n->peer, a.sa.sa_family, SOCK_DGRAM, 0);
    CHECK_INT(n->peer->ops->bind(n->peer, fd, &a), 0);
    return fd;
}

static void say(struct net *n, int fd, const char *to, const char *text)
{
    union tapsi_addr a = addr(to, PORT);
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr m = {.msg_name = &a, .msg_namelen = tapsi_addr_length(&a), .msg_iov = &iov, .msg_iovlen = 1};
    if (tapsi_addr_is_link_local(&a))
        a.in6.sin6_scope_id = tapsi_sim_interface_index(n->c);
    CHECK_INT(n->peer->ops->sendmsg(n->peer, fd, &m, 0), strlen(text));
}

/* What came back and from where: "text from address", or "nothing". */
static const char *hear(struct net *n, int fd)
{
    static char words[200];
    char bytes[100], text[TAPSI_ADDR_TEXT];
    union tapsi_addr from;
    struct iovec iov = {bytes, sizeof(bytes) - 1};
    struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t count = n->peer->ops->recvmsg(n->peer, fd, &m, 0);
    if (count < 0)
        return "nothing";
    bytes[count] = '\0';
    from.in6.sin6_scope_id = from.sa.sa_family == AF_INET6 ? 0 : from.in6.sin6_scope_id;
    snprintf(words, sizeof(words), "%s from %s", bytes, tapsi_addr_text(&from, text));
    return words;
}

static void hang_up(struct net *n, int fd)
{
    n->peer->ops->close(n->peer, fd);
}

/* ------------------------------------------------------------------------------------------------------ peers */

/* proves API-065: the first datagram of a new peer makes the Connection, later ones belong to it */
TEST(the_first_datagram_makes_the_child_and_is_not_lost)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    int fd = plain(&n, "192.0.2.2", 9);
    say(&n, fd, "192.0.2.1", "one");
    run_for(&n, RTT);
    CHECK_INT(l.children, 1);
    CHECK_INT(children[0].ready, 1);
    CHECK_INT(children[0].data, 1);
    CHECK_TEXT(children[0].last, "one");
    CHECK_TEXT(text_of(children[0].path.remote), "192.0.2.2:9");
    CHECK_TEXT(text_of(children[0].path.local), "192.0.2.1:4000");
    CHECK_TEXT(text_of(address_of(children[0].layer, TAPSI_GET_REMOTE)), "192.0.2.2:9");
    CHECK_TEXT(text_of(address_of(children[0].layer, TAPSI_GET_LOCAL)), "192.0.2.1:4000");
    CHECK_INT(children[0].path.interface_index, tapsi_sim_interface_index(n.s));
    say(&n, fd, "192.0.2.1", "two");
    run_for(&n, RTT);
    CHECK_INT(l.children, 1);
    CHECK_TEXT(children[0].last, "two");
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(peers_are_told_apart_by_address_and_port)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    int fd[4] = {plain(&n, "192.0.2.2", 9), plain(&n, "192.0.2.2", 10), plain(&n, "192.0.2.22", 9),
                 plain(&n, "2001:db8::2", 9)};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            char text[2] = {(char)('a' + i), '\0'};
            say(&n, fd[i], i == 3 ? "2001:db8::1" : "192.0.2.1", text);
        }
        run_for(&n, RTT);
    }
    CHECK_INT(l.children, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(children[i].data, 2);
        CHECK_INT(children[i].last[0], 'a' + i);
        hang_up(&n, fd[i]);
    }
    teardown(&n, &l);
}

/* The pair of addresses is what counts: the same peer at another of our addresses is another Connection. */
TEST(a_reply_leaves_from_the_address_the_datagram_came_to)
{
    static const struct {
        const char *from, *to, *heard;
    } cases[] = {{"192.0.2.2", "192.0.2.1", "x from 192.0.2.1:4000"},
                 {"192.0.2.2", "192.0.2.11", "x from 192.0.2.11:4000"},
                 {"2001:db8::2", "2001:db8::1", "x from [2001:db8::1]:4000"}};
    struct net n;
    struct seen l;
    setup(&n, &l);
    for (int i = 0; i < 3; i++)
        children[i].echoes = true;
    for (int i = 0; i < 3; i++) {
        int fd = plain(&n, cases[i].from, 9);
        say(&n, fd, cases[i].to, "x");
        run_for(&n, 2 * RTT);
        CHECK_TEXT(hear(&n, fd), cases[i].heard);
        hang_up(&n, fd);
    }
    CHECK_INT(l.children, 3);
    teardown(&n, &l);
}

TEST(a_port_bound_to_one_address_takes_only_that)
{
    struct net n;
    struct seen l;
    setup_at(&n, &l, "192.0.2.11", SIZE_MAX);
    children[0].echoes = true;
    int fd = plain(&n, "192.0.2.2", 9);
    say(&n, fd, "192.0.2.1", "no");
    say(&n, fd, "192.0.2.11", "yes");
    run_for(&n, 2 * RTT);
    CHECK_INT(l.children, 1);
    CHECK_TEXT(hear(&n, fd), "yes from 192.0.2.11:4000");
    CHECK_TEXT(text_of(address_of(l.layer, TAPSI_GET_LOCAL)), "192.0.2.11:4000");
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(a_port_on_ipv6_only_leaves_ipv4_to_another)
{
    struct net n;
    struct seen l, v4 = {0};
    struct tapsi_layer *layer;
    union tapsi_addr any = addr("::", PORT);
    struct tapsi_target target = {.local = &any, .v6_only = true};
    setup_at(&n, &l, "0.0.0.0", SIZE_MAX);
    CHECK_INT(tapsi_udp_listen(n.env, &target, &v4.sink, &layer, NULL), 0);
    tapsi_layer_destroy(layer, 0);
    teardown(&n, &l);
}

TEST(link_local_peers_are_answered_on_their_interface)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    children[0].echoes = true;
    union tapsi_addr a = addr("::", 9);
    int fd = n.peer->ops->socket(n.peer, AF_INET6, SOCK_DGRAM, 0);
    CHECK_INT(n.peer->ops->bind(n.peer, fd, &a), 0);
    say(&n, fd, "fe80::1", "x");
    run_for(&n, 2 * RTT);
    CHECK_INT(l.children, 1);
    CHECK_TEXT(hear(&n, fd), "x from [fe80::1]:4000");
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(without_a_local_address_both_families_are_taken)
{
    struct net n;
    struct seen l = {.child = children, .child_max = CHILDREN};
    net_sim(&n, true);
    memset(children, 0, sizeof(children));
    NEED(listen_at(&n, &l, NULL) != NULL);
    tapsi_layer_want(l.layer, SIZE_MAX);
    CHECK(port_of(l.layer) != 0);
    teardown(&n, &l);
}

/* ------------------------------------------------------------------------------------------------------ bounds */

TEST(without_credit_strangers_are_ignored_and_peers_are_not)
{
    struct net n;
    struct seen l;
    setup_at(&n, &l, "::", 1);
    int a = plain(&n, "192.0.2.2", 9), b = plain(&n, "192.0.2.2", 10);
    say(&n, a, "192.0.2.1", "one");
    say(&n, b, "192.0.2.1", "lost");
    say(&n, a, "192.0.2.1", "two");
    run_for(&n, RTT);
    CHECK_INT(l.children, 1);
    CHECK_INT(children[0].data, 2);
    CHECK_INT(l.layer->want, 0);
    tapsi_layer_want(l.layer, 1);
    run_for(&n, RTT);
    CHECK_INT(l.children, 1);
    say(&n, b, "192.0.2.1", "again");
    run_for(&n, RTT);
    CHECK_INT(l.children, 2);
    CHECK_TEXT(children[1].last, "again");
    hang_up(&n, a);
    hang_up(&n, b);
    teardown(&n, &l);
}

TEST(a_refused_child_may_come_again)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    l.refuses = true;
    int fd = plain(&n, "192.0.2.2", 9);
    say(&n, fd, "192.0.2.1", "one");
    say(&n, fd, "192.0.2.1", "two");
    run_for(&n, RTT);
    CHECK_INT(l.children, 2);
    l.refuses = false;
    l.children = 0;
    say(&n, fd, "192.0.2.1", "three");
    run_for(&n, RTT);
    CHECK_INT(l.children, 1);
    CHECK_TEXT(children[0].last, "three");
    hang_up(&n, fd);
    teardown(&n, &l);
}

/* proves IMPL-12: what a peer can make the port keep is bounded */
TEST(a_peer_that_is_not_read_keeps_so_many_datagrams_and_no_more)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    children[0].credit = 0;
    int fd = plain(&n, "192.0.2.2", 9);
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        say(&n, fd, "192.0.2.1", text);
    }
    run_for(&n, RTT);
    CHECK_INT(children[0].data, 0);
    tapsi_layer_want(children[0].layer, 1);
    run_for(&n, MS);
    CHECK_INT(children[0].data, 1);
    CHECK_TEXT(children[0].last, "0");
    tapsi_layer_want(children[0].layer, CREDIT);
    run_for(&n, MS);
    CHECK_INT(children[0].data, TAPSI_UDP_KEPT_MAX);
    CHECK_TEXT(children[0].last, "63");
    say(&n, fd, "192.0.2.1", "live");
    run_for(&n, RTT);
    CHECK_TEXT(children[0].last, "live");
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(a_peer_that_is_not_read_keeps_so_many_bytes_and_no_more)
{
    struct net n;
    struct seen l;
    static char bytes[60001];
    setup(&n, &l);
    children[0].credit = 0;
    int fd = plain(&n, "192.0.2.2", 9);
    memset(bytes, 'x', 60000);
    for (int i = 0; i < 8; i++) {
        say(&n, fd, "192.0.2.1", bytes);
        run_for(&n, RTT);
    }
    tapsi_layer_want(children[0].layer, SIZE_MAX);
    run_for(&n, MS);
    CHECK_INT(children[0].bytes, 4 * 60000);
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(kept_datagrams_go_with_their_peer)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    children[0].credit = 0;
    int fd = plain(&n, "192.0.2.2", 9);
    say(&n, fd, "192.0.2.1", "kept");
    run_for(&n, RTT);
    seen_destroy(&children[0]);
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(many_peers_all_find_their_own)
{
    struct net n;
    struct seen l;
    int fd[CHILDREN];
    setup(&n, &l);
    for (int i = 0; i < CHILDREN; i++)
        fd[i] = plain(&n, "192.0.2.2", 5000 + (unsigned)i);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CHILDREN; i++)
            say(&n, fd[i], "192.0.2.1", "x");
        run_for(&n, RTT);
    }
    CHECK_INT(l.children, CHILDREN);
    for (int i = 0; i < CHILDREN; i++) {
        CHECK_INT(children[i].data, 3);
        CHECK_INT(tapsi_addr_port(&children[i].path.remote), 5000 + i);
        hang_up(&n, fd[i]);
    }
    teardown(&n, &l);
}

/* ---------------------------------------------------------------------------------------------- coming and going */

TEST(children_live_on_without_their_listener_and_strangers_are_ignored)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    children[0].echoes = true;
    int a = plain(&n, "192.0.2.2", 9), b = plain(&n, "192.0.2.2", 10);
    say(&n, a, "192.0.2.1", "one");
    run_for(&n, 2 * RTT);
    CHECK_TEXT(hear(&n, a), "one from 192.0.2.1:4000");
    seen_destroy(&l);
    run_for(&n, MS);
    say(&n, b, "192.0.2.1", "nobody");
    say(&n, a, "192.0.2.1", "two");
    run_for(&n, 2 * RTT);
    CHECK_TEXT(hear(&n, a), "two from 192.0.2.1:4000");
    CHECK_TEXT(hear(&n, b), "nothing");
    CHECK_INT(l.children, 1);
    CHECK_INT(tapsi_sim_host_sockets(n.server), 1);
    seen_destroy(&children[0]);
    run_for(&n, MS);
    CHECK_INT(tapsi_sim_host_sockets(n.server), 0);
    hang_up(&n, a);
    hang_up(&n, b);
    teardown(&n, &l);
}

TEST(a_closed_listener_takes_no_more_and_says_so_once)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    int fd = plain(&n, "192.0.2.2", 9);
    CHECK_INT(tapsi_layer_close(l.layer), 0);
    CHECK_INT(l.closed, 0);
    say(&n, fd, "192.0.2.1", "late");
    run_for(&n, RTT);
    CHECK_INT(l.closed, 1);
    CHECK_INT(l.children, 0);
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(a_listener_takes_no_messages_and_is_not_started)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    struct tapsi_op *op = new_op(&n, "x", 1, 0);
    CHECK_INT(tapsi_layer_send(l.layer, op), TAPS_E_STATE);
    CHECK_INT(l.layer->state, TAPSI_LAYER_READY);
    tapsi_op_unref(op);
    teardown(&n, &l);
}

TEST(a_closed_child_is_forgotten_once_destroyed_and_the_peer_begins_anew)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    int fd = plain(&n, "192.0.2.2", 9);
    say(&n, fd, "192.0.2.1", "one");
    run_for(&n, RTT);
    send_text(&n, children[0].layer, "bye");
    CHECK_INT(tapsi_layer_close(children[0].layer), 0);
    run_for(&n, 2 * RTT);
    CHECK_INT(children[0].closed, 1);
    CHECK_TEXT(hear(&n, fd), "bye from 192.0.2.1:4000");
    say(&n, fd, "192.0.2.1", "dropped");
    run_for(&n, RTT);
    CHECK_INT(children[0].data, 1);
    CHECK_INT(l.children, 1);
    seen_destroy(&children[0]);
    say(&n, fd, "192.0.2.1", "new");
    run_for(&n, RTT);
    CHECK_INT(l.children, 2);
    CHECK_TEXT(children[1].last, "new");
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(a_datagram_may_destroy_its_child)
{
    struct net n;
    struct seen l;
    setup(&n, &l);
    children[0].destroys_at_data = true;
    int fd = plain(&n, "192.0.2.2", 9);
    say(&n, fd, "192.0.2.1", "one");
    run_for(&n, RTT);
    CHECK_INT(children[0].data, 1);
    CHECK(children[0].layer == NULL);
    hang_up(&n, fd);
    teardown(&n, &l);
}

static struct seen *all_of; /* what on_last_child destroys */

static void destroy_all(struct tapsi_sink *sink, struct tapsi_layer *listener, struct tapsi_layer *child)
{
    (void)sink;
    (void)listener;
    tapsi_layer_destroy(child, 0);
    seen_destroy(all_of);
}

TEST(a_new_child_may_be_the_end_of_everything)
{
    static const struct tapsi_sink_ops ops = {.closed = on_closed, .child = destroy_all};
    struct net n;
    struct seen l;
    setup(&n, &l);
    l.sink.ops = &ops;
    all_of = &l;
    int fd = plain(&n, "192.0.2.2", 9);
    for (int i = 0; i < 5; i++)
        say(&n, fd, "192.0.2.1", "x");
    run_for(&n, RTT);
    CHECK_INT(tapsi_sim_host_sockets(n.server), 0);
    hang_up(&n, fd);
    teardown(&n, &l);
}

TEST(a_taken_port_is_an_error_with_the_address)
{
    struct net n;
    struct seen l;
    struct tapsi_layer *layer = NULL;
    struct tapsi_error error;
    union tapsi_addr a = addr("192.0.2.1", PORT);
    struct tapsi_target target = {.local = &a};
    setup_at(&n, &l, "192.0.2.1", SIZE_MAX);
    CHECK_INT(tapsi_udp_listen(n.env, &target, &l.sink, &layer, &error), TAPS_E_ADDRESS_IN_USE);
    CHECK(strstr(error.pub.detail, "192.0.2.1:4000") != NULL);
    a = addr("198.51.100.1", 0);
    CHECK(tapsi_udp_listen(n.env, &target, &l.sink, &layer, &error) < 0);
    CHECK(layer == NULL);
    teardown(&n, &l);
}

TEST(children_that_the_kernel_keeps_waiting_go_on_later)
{
    struct net n;
    struct seen l;
    static uint8_t bytes[1000];
    char byte;
    unsigned came = 0;
    setup(&n, &l);
    tapsi_sim_link_rate(n.link, 8000000);
    int fd[3];
    for (int i = 0; i < 3; i++) {
        fd[i] = plain(&n, "192.0.2.2", 9 + (unsigned)i);
        say(&n, fd[i], "192.0.2.1", "x");
    }
    run_for(&n, RTT);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 150; j++)
            send_bytes(&n, children[i].layer, bytes, sizeof(bytes), 0);
    for (int t = 0; t < 100; t++) {
        run_for(&n, 10 * MS);
        for (int i = 0; i < 3; i++)
            while (n.peer->ops->recv(n.peer, fd[i], &byte, 1, 0) >= 0)
                came++;
    }
    CHECK_INT(done.sent, 450);
    CHECK_INT(came, 450);
    for (int i = 0; i < 3; i++)
        hang_up(&n, fd[i]);
    teardown(&n, &l);
}

TEST(a_child_knows_its_limits)
{
    struct net n;
    struct seen l;
    union tapsi_got got;
    struct taps_value profile = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_PROFILE_SCAVENGER};
    setup(&n, &l);
    int a = plain(&n, "192.0.2.2", 9), b = plain(&n, "2001:db8::2", 9);
    say(&n, a, "192.0.2.1", "x");
    say(&n, b, "2001:db8::1", "x");
    run_for(&n, RTT);
    CHECK_INT(children[0].layer->mtu, 1472);
    CHECK_INT(children[1].layer->mtu, 1452);
    CHECK_INT(children[0].layer->max_message, TAPSI_UDP_MAX_IPV4);
    CHECK_INT(children[1].layer->max_message, TAPSI_UDP_MAX_IPV6);
    CHECK_INT(tapsi_layer_set(children[0].layer, TAPS_CONN_CAPACITY_PROFILE, &profile), 0);
    CHECK_INT(tapsi_layer_get(children[0].layer, TAPS_CONN_CAPACITY_PROFILE, &got), 0);
    CHECK_INT(got.value.enumeration, TAPS_PROFILE_SCAVENGER);
    CHECK_INT(tapsi_layer_get(l.layer, TAPSI_GET_REMOTE, &got), TAPS_E_NOT_APPLICABLE);
    hang_up(&n, a);
    hang_up(&n, b);
    teardown(&n, &l);
}

TEST(soft_errors_reach_the_child_they_are_about)
{
    struct net n;
    struct seen l;
    union tapsi_addr any = addr("::", PORT);
    net_sim(&n, true);
    memset(children, 0, sizeof(children));
    l = (struct seen){.child = children, .child_max = CHILDREN};
    set_preference(&n, TAPS_SOFT_ERROR_NOTIFY, TAPS_REQUIRE);
    NEED(listen_at(&n, &l, &any) != NULL);
    tapsi_layer_want(l.layer, SIZE_MAX);
    int a = plain(&n, "192.0.2.2", 9), b = plain(&n, "2001:db8::2", 10);
    say(&n, a, "192.0.2.1", "x");
    say(&n, b, "2001:db8::1", "x");
    run_for(&n, RTT);
    hang_up(&n, b);
    send_text(&n, children[0].layer, "heard");
    send_text(&n, children[1].layer, "refused");
    run_for(&n, 2 * RTT);
    CHECK_INT(children[0].soft, 0);
    CHECK(children[1].soft >= 1);
    CHECK_INT(children[1].soft_error.pub.code, TAPS_E_REFUSED);
    CHECK_INT(children[1].closed, 0);
    hang_up(&n, a);
    teardown(&n, &l);
}

/* ------------------------------------------------------------------------------------------------- on the kernel */

/* proves API-065, API-125 on real sockets: both families through one dual-stack socket */
TEST(on_the_kernel_clients_of_both_families_talk_to_one_port)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    struct net n;
    struct seen l = {.child = children, .child_max = CHILDREN}, c[2];
    union tapsi_addr any = addr("::", 0);
    net_kernel(&n);
    set_preference(&n, TAPS_SOFT_ERROR_NOTIFY, TAPS_PREFER);
    memset(children, 0, sizeof(children));
    for (int i = 0; i < 2; i++)
        children[i] = (struct seen){.credit = CREDIT, .credit_again = CREDIT, .echoes = true};
    if (!listen_at(&n, &l, &any)) {
        tapsi_test_skip("no IPv6 here");
        net_done(&n);
        return;
    }
    tapsi_layer_want(l.layer, SIZE_MAX);
    for (int i = 0; i < 2; i++) {
        struct taps_value profile = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_PROFILE_SCAVENGER};
        c[i] = (struct seen){.credit = CREDIT, .credit_again = CREDIT};
        start_client(&n, &c[i], hosts[i], port_of(l.layer));
        CHECK(run_until(&n, &c[i].ready, 1));
        for (unsigned j = 1; j <= 20; j++) {
            send_text(&n, c[i].layer, "ping");
            CHECK(run_until(&n, &c[i].data, j));
        }
        CHECK_TEXT(c[i].last, "ping");
        CHECK_INT(children[i].ecn, 0);
        CHECK_INT(c[i].ecn, 0);
        CHECK(tapsi_addr_is_loopback(&children[i].path.local));
        CHECK(children[i].path.interface_index != 0);
        CHECK(children[i].layer->mtu > 1200);
        CHECK_INT(tapsi_layer_set(children[i].layer, TAPS_CONN_CAPACITY_PROFILE, &profile), 0);
        send_text(&n, c[i].layer, "pong");
        CHECK(run_until(&n, &c[i].data, 21));
        send_bytes(&n, children[i].layer, "df", 2, TAPSI_OP_NO_FRAGMENT);
        CHECK(run_until(&n, &c[i].data, 22));
    }
    CHECK_INT(l.children, 2);
    for (int i = 0; i < 2; i++) {
        seen_destroy(&c[i]);
        seen_destroy(&children[i]);
    }
    seen_destroy(&l);
    net_done(&n);
}

/* proves IMPL-32 on real sockets */
TEST(on_the_kernel_a_refusal_is_a_soft_error)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 4; i++) {
        struct net n;
        struct seen s = {.credit = CREDIT};
        net_kernel(&n);
        struct tapsi_platform *p = n.platform;
        union tapsi_addr local = addr(hosts[i % 2], 0);
        if (i >= 2)
            set_preference(&n, TAPS_SOFT_ERROR_NOTIFY, TAPS_REQUIRE);
        int fd = p->ops->socket(p, local.sa.sa_family, SOCK_DGRAM, 0);
        if (fd < 0 || p->ops->bind(p, fd, &local) < 0) {
            tapsi_test_skip("no IPv6 here");
            p->ops->close(p, fd);
            net_done(&n);
            return;
        }
        CHECK_INT(p->ops->getsockname(p, fd, &local), 0);
        make_client(&n, &s, &local);
        tapsi_layer_start(s.layer);
        CHECK(run_until(&n, &s.ready, 1));
        union tapsi_addr client = address_of(s.layer, TAPSI_GET_LOCAL);
        p->ops->close(p, fd);
        send_text(&n, s.layer, "nobody");
        CHECK(run_until(&n, &s.soft, 1));
        CHECK_INT(s.soft_error.pub.code, TAPS_E_REFUSED);
        fd = p->ops->socket(p, local.sa.sa_family, SOCK_DGRAM, 0);
        CHECK_INT(p->ops->bind(p, fd, &local), 0);
        CHECK_INT(p->ops->connect(p, fd, &client), 0);
        CHECK_INT(p->ops->send(p, fd, "hi", 2, 0), 2);
        CHECK(run_until(&n, &s.data, 1));
        CHECK_TEXT(s.last, "hi");
        CHECK_INT(s.closed, 0);
        seen_destroy(&s);
        p->ops->close(p, fd);
        net_done(&n);
    }
}

/* -------------------------------------------------------------------------------------------- things run short */

static void one_run(struct net *n)
{
    struct seen l = {.child = children, .child_max = CHILDREN};
    union tapsi_addr any = addr("::", PORT);
    memset(children, 0, sizeof(children));
    children[0] = children[1] = (struct seen){.credit = 3, .echoes = true};
    if (!listen_at(n, &l, &any))
        return;
    tapsi_layer_want(l.layer, SIZE_MAX);
    int fd = n->peer->ops->socket(n->peer, AF_INET, SOCK_DGRAM, 0);
    for (int i = 0; i < 5; i++) {
        union tapsi_addr to = addr("192.0.2.1", PORT);
        if (fd >= 0 && n->peer->ops->connect(n->peer, fd, &to) >= 0)
            n->peer->ops->send(n->peer, fd, "x", 1, 0);
        run_for(n, RTT);
    }
    if (children[0].layer)
        tapsi_layer_want(children[0].layer, CREDIT);
    run_for(n, RTT);
    for (int i = 0; i < 2; i++)
        if (children[i].layer)
            seen_destroy(&children[i]);
    if (fd >= 0)
        n->peer->ops->close(n->peer, fd);
    seen_destroy(&l);
}

TEST(every_allocation_may_fail)
{
    for (size_t i = 1; i < 100; i++) {
        struct net n;
        net_sim(&n, true);
        heap.fail_at = heap.calls + i;
        one_run(&n);
        bool over = heap.calls < heap.fail_at;
        heap.fail_at = 0;
        net_done(&n);
        if (over) {
            CHECK(i > 5);
            return;
        }
    }
    CHECK(!"there is no end");
}

TEST(every_call_of_the_platform_may_fail)
{
    static const int errors[] = {ENOBUFS, ENOMEM, ENETUNREACH, EINVAL};
    for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
        for (uint64_t i = 1; i < 100; i++) {
            struct net n;
            net_sim(&n, true);
            tapsi_sim_fail_call(n.sim, i, errors[e]);
            one_run(&n);
            bool over = !tapsi_sim_call_failed(n.sim);
            net_done(&n);
            if (over) {
                CHECK(i > 10);
                break;
            }
        }
    }
}
