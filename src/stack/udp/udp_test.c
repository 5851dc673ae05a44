/* UDP with one user. Proves IMPL-15, IMPL-32, API-125 and others where cited. */
#include "stack/udp/testnet.h"

/* A UDP service that answers the n-th datagram with n, and notes what came. */
struct service {
    struct tapsi_sim *sim;
    unsigned count;
    size_t bytes, last;
    union tapsi_addr from;
    unsigned replies; /* to each */
};

static void on_packet(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                      const uint8_t *bytes, size_t count)
{
    struct service *s = arg;
    (void)bytes;
    s->count++;
    s->bytes += count;
    s->last = count;
    s->from = *from;
    for (unsigned i = 0; i < s->replies; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        tapsi_sim_udp_reply(udp, to, from, text, strlen(text), 0);
    }
}

static struct tapsi_sim_udp *serve(struct net *n, struct service *s, unsigned replies)
{
    *s = (struct service){.sim = n->sim, .replies = replies};
    return tapsi_sim_udp_serve(n->server, 7, on_packet, s);
}

/* ------------------------------------------------------------------------------------------------------- start */

/* proves IMPL-15 */
TEST(it_is_ready_at_once_when_there_is_a_route_and_sends_nothing)
{
    struct net n;
    struct seen s = {0};
    net_sim(&n, false);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    CHECK_INT(s.ready, 1);
    CHECK_INT(s.closed, 0);
    CHECK_INT(tapsi_sim_packets_to(n.sim, "192.0.2.1"), 0);
    CHECK_TEXT(text_of(address_of(s.layer, TAPSI_GET_REMOTE)), "192.0.2.1:7");
    CHECK(port_of(s.layer) != 0);
    seen_destroy(&s);
    net_done(&n);
}

TEST(without_a_route_it_is_closed_with_the_reason)
{
    struct net n;
    struct seen s = {0};
    net_sim(&n, false);
    tapsi_sim_interface_up(n.c, false);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    CHECK_INT(s.ready, 0);
    CHECK_INT(s.closed, 1);
    CHECK_INT(s.error.pub.code, TAPS_E_UNREACHABLE);
    CHECK_INT(s.error.pub.native, ENETUNREACH);
    CHECK(strstr(s.error.pub.detail, "192.0.2.1") != NULL);
    seen_destroy(&s);
    net_done(&n);
}

TEST(without_descriptors_it_is_closed_with_the_reason)
{
    struct net n;
    struct seen s = {0};
    net_sim(&n, false);
    tapsi_sim_fail_call(n.sim, 1, EMFILE);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    CHECK_INT(s.closed, 1);
    CHECK_INT(s.error.pub.code, TAPS_E_RESOURCES);
    seen_destroy(&s);
    net_done(&n);
}

TEST(it_binds_to_the_local_address_and_interface_it_is_given)
{
    struct net n;
    struct seen s = {0}, t = {0};
    struct tapsi_layer *layer;
    union tapsi_addr remote = addr("192.0.2.1", 7), local = addr("192.0.2.22", 4000);
    struct tapsi_target target = {.remote = &remote, .local = &local, .interface = "eth0"};
    net_sim(&n, false);
    CHECK_INT(tapsi_proto_udp.make(n.env, &target, TAPSI_ROLE_CLIENT, NULL, &layer, NULL), 0);
    layer->up = &s.sink;
    s = (struct seen){.sink.ops = &seen_ops, .layer = layer};
    tapsi_layer_start(layer);
    run_for(&n, MS);
    CHECK_INT(s.ready, 1);
    CHECK_TEXT(text_of(address_of(layer, TAPSI_GET_LOCAL)), "192.0.2.22:4000");
    CHECK_INT(tapsi_proto_udp.make(n.env, &target, TAPSI_ROLE_CLIENT, NULL, &layer, NULL), 0);
    layer->up = &t.sink;
    t = (struct seen){.sink.ops = &seen_ops, .layer = layer};
    tapsi_layer_start(layer);
    run_for(&n, MS);
    CHECK_INT(t.closed, 1);
    CHECK_INT(t.error.pub.code, TAPS_E_ADDRESS_IN_USE);
    seen_destroy(&s);
    seen_destroy(&t);
    net_done(&n);
}

TEST(a_target_without_address_or_port_is_refused)
{
    struct net n;
    struct tapsi_error error;
    struct tapsi_layer *layer = NULL;
    union tapsi_addr remote = addr("192.0.2.1", 0);
    net_sim(&n, false);
    CHECK_INT(tapsi_proto_udp.make(n.env, &(struct tapsi_target){0}, TAPSI_ROLE_CLIENT, NULL, &layer, &error),
              TAPS_E_CONFIGURATION);
    CHECK_INT(tapsi_proto_udp.make(n.env, &(struct tapsi_target){.remote = &remote}, TAPSI_ROLE_CLIENT, NULL, &layer,
                                   &error),
              TAPS_E_CONFIGURATION);
    CHECK(layer == NULL);
    net_done(&n);
}

TEST(it_may_be_destroyed_at_any_time)
{
    for (int i = 0; i < 4; i++) {
        struct net n;
        struct seen s = {.destroys_at_ready = i == 2};
        union tapsi_addr remote = addr("192.0.2.1", 7);
        net_sim(&n, false);
        make_client(&n, &s, &remote);
        if (i >= 1)
            tapsi_layer_start(s.layer);
        if (i >= 2)
            run_for(&n, MS);
        if (i == 3)
            send_text(&n, s.layer, "lost");
        if (s.layer)
            seen_destroy(&s);
        run_for(&n, MS);
        CHECK_INT(s.closed, 0);
        CHECK_INT(done.sent + done.failed, 0);
        net_done(&n);
    }
}

/* -------------------------------------------------------------------------------------------- sending, receiving */

TEST(a_message_is_a_datagram_in_both_directions)
{
    struct net n;
    struct seen s = {.credit = CREDIT};
    net_sim(&n, false);
    tapsi_sim_udp_echo(n.server, 7);
    start_client(&n, &s, "2001:db8::1", 7);
    run_for(&n, MS);
    send_text(&n, s.layer, "hello");
    CHECK_INT(done.sent, 0); /* not from inside */
    run_for(&n, 2 * RTT);
    CHECK_INT(done.sent, 1);
    CHECK_INT(s.data, 1);
    CHECK_TEXT(s.last, "hello");
    CHECK_TEXT(text_of(s.path.remote), "[2001:db8::1]:7");
    CHECK(strncmp(text_of(s.path.local), "[2001:db8::2]:", 14) == 0);
    seen_destroy(&s);
    net_done(&n);
}

TEST(an_empty_message_is_an_empty_datagram)
{
    struct net n;
    struct seen s = {.credit = CREDIT};
    net_sim(&n, false);
    tapsi_sim_udp_echo(n.server, 7);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    send_bytes(&n, s.layer, "", 0, 0);
    run_for(&n, 2 * RTT);
    CHECK_INT(done.sent, 1);
    CHECK_INT(s.data, 1);
    CHECK_INT(s.bytes, 0);
    seen_destroy(&s);
    net_done(&n);
}

TEST(many_messages_in_one_turn_all_go_in_order)
{
    struct net n;
    struct seen s = {.credit = CREDIT, .credit_again = CREDIT};
    net_sim(&n, false);
    tapsi_sim_udp_echo(n.server, 7);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    for (int i = 0; i < 200; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        send_text(&n, s.layer, text);
    }
    run_for(&n, 2 * RTT);
    CHECK_INT(done.sent, 200);
    CHECK_INT(s.data, 200);
    CHECK_TEXT(s.last, "199");
    seen_destroy(&s);
    net_done(&n);
}

TEST(a_message_of_several_ranges_is_one_datagram)
{
    struct net n;
    struct seen s = {.credit = CREDIT};
    net_sim(&n, false);
    tapsi_sim_udp_echo(n.server, 7);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    struct tapsi_op *op = new_op(&n, "one ", 4, 0);
    CHECK_INT(tapsi_op_copy(op, "two ", 4), 0);
    tapsi_op_lend(op, "three", 5, NULL);
    tapsi_layer_send(s.layer, op);
    run_for(&n, 2 * RTT);
    CHECK_TEXT(s.last, "one two three");
    seen_destroy(&s);
    net_done(&n);
}

TEST(the_largest_datagram_goes_and_a_larger_one_is_too_large)
{
    struct net n;
    struct seen s = {.credit = CREDIT};
    static uint8_t bytes[TAPSI_UDP_MAX_IPV4 + 1];
    net_kernel(&n);
    struct seen listener = {.credit = CREDIT}, child = {.credit = CREDIT};
    union tapsi_addr local = addr("127.0.0.1", 0);
    listener.child = &child;
    listener.child_max = 1;
    NEED(listen_at(&n, &listener, &local) != NULL);
    tapsi_layer_want(listener.layer, 1);
    start_client(&n, &s, "127.0.0.1", port_of(listener.layer));
    CHECK(run_until(&n, &s.ready, 1));
    CHECK_INT(s.layer->max_message, TAPSI_UDP_MAX_IPV4);
    send_bytes(&n, s.layer, bytes, TAPSI_UDP_MAX_IPV4, 0);
    send_bytes(&n, s.layer, bytes, TAPSI_UDP_MAX_IPV4 + 1, 0);
    send_text(&n, s.layer, "after");
    CHECK(run_until(&n, &child.data, 2));
    CHECK_INT(done.sent, 2);
    CHECK_INT(done.failed, 1);
    CHECK_INT(child.longest, TAPSI_UDP_MAX_IPV4);
    CHECK_TEXT(child.last, "after");
    CHECK_INT(s.closed, 0);
    seen_destroy(&s);
    seen_destroy(&child);
    seen_destroy(&listener);
    net_done(&n);
}

TEST(final_has_no_datagram_of_its_own_and_finishes)
{
    struct net n;
    struct service service;
    struct seen s = {.credit = CREDIT};
    net_sim(&n, false);
    serve(&n, &service, 0);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    send_bytes(&n, s.layer, "last", 4, TAPSI_OP_FINAL);
    send_bytes(&n, s.layer, "", 0, TAPSI_OP_FINAL);
    run_for(&n, RTT);
    CHECK_INT(done.sent, 2);
    CHECK_INT(service.count, 1);
    seen_destroy(&s);
    net_done(&n);
}

TEST(a_message_whose_time_is_over_is_not_sent)
{
    struct net n;
    struct service service;
    struct seen s = {0};
    net_sim(&n, false);
    serve(&n, &service, 0);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    for (int i = 0; i < 3; i++) {
        struct tapsi_op *op = new_op(&n, "x", 1, 0);
        op->deadline = i == 1 ? 1 : TAPSI_FOREVER;
        tapsi_layer_send(s.layer, op);
    }
    run_for(&n, RTT);
    CHECK_INT(done.sent, 2);
    CHECK_INT(done.expired, 1);
    CHECK_INT(service.count, 2);
    seen_destroy(&s);
    net_done(&n);
}

TEST(nothing_is_delivered_without_credit_and_all_of_it_comes_later)
{
    struct net n;
    struct service service;
    struct seen s = {0};
    net_sim(&n, false);
    serve(&n, &service, 5);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    send_text(&n, s.layer, "go");
    run_for(&n, 2 * RTT);
    CHECK_INT(s.data, 0);
    tapsi_layer_want(s.layer, 1);
    CHECK_INT(s.data, 0); /* not from inside */
    run_for(&n, MS);
    CHECK_INT(s.data, 1);
    CHECK_TEXT(s.last, "0");
    run_for(&n, RTT);
    CHECK_INT(s.data, 1);
    tapsi_layer_want(s.layer, 2);
    run_for(&n, MS);
    CHECK_INT(s.data, 3);
    CHECK_TEXT(s.last, "2");
    tapsi_layer_want(s.layer, CREDIT);
    run_for(&n, MS);
    CHECK_INT(s.data, 5);
    CHECK_TEXT(s.last, "4");
    seen_destroy(&s);
    net_done(&n);
}

TEST(a_datagram_that_is_held_goes_with_the_layer)
{
    struct net n;
    struct service service;
    struct seen s = {.credit = 1};
    net_sim(&n, false);
    serve(&n, &service, 2);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    send_text(&n, s.layer, "go");
    run_for(&n, 2 * RTT);
    CHECK_INT(s.data, 1);
    seen_destroy(&s);
    net_done(&n);
}

TEST(a_flood_is_read_to_its_end)
{
    struct net n;
    struct service service;
    struct seen s = {.credit = CREDIT, .credit_again = CREDIT};
    net_sim(&n, false);
    serve(&n, &service, 151);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    send_text(&n, s.layer, "go");
    run_for(&n, 2 * RTT);
    CHECK_INT(s.data, 151);
    CHECK_TEXT(s.last, "150");
    seen_destroy(&s);
    net_done(&n);
}

TEST(the_layer_may_be_destroyed_by_a_datagram)
{
    struct net n;
    struct service service;
    struct seen s = {.credit = CREDIT, .destroys_at_data = true};
    net_sim(&n, false);
    serve(&n, &service, 5);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    send_text(&n, s.layer, "go");
    run_for(&n, 2 * RTT);
    CHECK_INT(s.data, 1);
    CHECK_INT(s.closed, 0);
    net_done(&n);
}

static void read_for(struct net *n, int fd, unsigned *count)
{
    char byte;
    while (n->peer->ops->recv(n->peer, fd, &byte, 1, 0) >= 0)
        ++*count;
}

TEST(when_the_kernel_takes_no_more_the_rest_waits)
{
    struct net n;
    struct seen s = {0};
    unsigned came = 0;
    net_sim(&n, false);
    tapsi_sim_link_rate(n.link, 8000000); /* a megabyte a second */
    union tapsi_addr local = addr("192.0.2.1", 7);
    int fd = n.peer->ops->socket(n.peer, AF_INET, SOCK_DGRAM, 0);
    CHECK_INT(n.peer->ops->bind(n.peer, fd, &local), 0);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    static uint8_t bytes[1000];
    for (int i = 0; i < 400; i++)
        send_bytes(&n, s.layer, bytes, sizeof(bytes), 0);
    for (int i = 0; i < 100; i++) {
        run_for(&n, 10 * MS);
        read_for(&n, fd, &came);
    }
    CHECK_INT(done.sent, 400);
    CHECK_INT(came, 400);
    n.peer->ops->close(n.peer, fd);
    seen_destroy(&s);
    net_done(&n);
}

/* ------------------------------------------------------------------------------------------------------ errors */

/* proves IMPL-32: ICMP is a soft error, reported once, and closes nothing; the next datagram goes */
TEST(a_refusal_is_a_soft_error_and_the_next_datagram_goes)
{
    struct net n;
    struct seen s = {.credit = CREDIT};
    net_sim(&n, false);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    send_text(&n, s.layer, "nobody is there");
    run_for(&n, 2 * RTT);
    CHECK_INT(s.soft, 1);
    CHECK_INT(s.soft_error.pub.code, TAPS_E_REFUSED);
    CHECK_INT(s.soft_error.pub.native, ECONNREFUSED);
    CHECK(strstr(s.soft_error.pub.detail, "192.0.2.1:7") != NULL);
    tapsi_sim_udp_echo(n.server, 7);
    send_text(&n, s.layer, "now");
    run_for(&n, 2 * RTT);
    CHECK_TEXT(s.last, "now");
    CHECK_INT(done.sent, 2);
    CHECK_INT(s.closed, 0);
    seen_destroy(&s);
    net_done(&n);
}

TEST(a_refusal_found_by_the_next_send_does_not_cost_that_datagram)
{
    struct net n;
    struct seen s = {0}; /* no credit: nothing is read */
    struct service service;
    net_sim(&n, false);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    send_text(&n, s.layer, "nobody is there");
    run_for(&n, 2 * RTT);
    serve(&n, &service, 0);
    send_text(&n, s.layer, "one");
    send_text(&n, s.layer, "two");
    run_for(&n, 2 * RTT);
    CHECK_INT(s.soft, 1);
    CHECK_INT(service.count, 2);
    CHECK_INT(done.sent, 3);
    seen_destroy(&s);
    net_done(&n);
}

/* proves IMPL-32 */
TEST(with_soft_error_notify_icmp_is_reported_from_the_error_queue)
{
    static const struct {
        enum tapsi_sim_fault fault;
        int code;
    } cases[] = {{TAPSI_SIM_REFUSE, TAPS_E_REFUSED},
                 {TAPSI_SIM_UNREACHABLE, TAPS_E_UNREACHABLE},
                 {TAPSI_SIM_PROHIBIT, TAPS_E_UNREACHABLE}};
    for (size_t i = 0; i < 3; i++) {
        struct net n;
        struct seen s = {0};
        net_sim(&n, false);
        set_preference(&n, TAPS_SOFT_ERROR_NOTIFY, TAPS_PREFER);
        tapsi_sim_fault(n.sim, "192.0.2.1", cases[i].fault);
        start_client(&n, &s, "192.0.2.1", 7);
        run_for(&n, MS);
        send_text(&n, s.layer, "x");
        run_for(&n, 2 * RTT);
        CHECK(s.soft >= 1);
        CHECK_INT(s.soft_error.pub.code, cases[i].code);
        CHECK(strstr(s.soft_error.pub.detail, "192.0.2.1:7") != NULL);
        CHECK_INT(s.closed, 0);
        tapsi_sim_fault(n.sim, "192.0.2.1", TAPSI_SIM_FINE);
        struct service service;
        serve(&n, &service, 0);
        send_text(&n, s.layer, "y");
        run_for(&n, RTT);
        CHECK_INT(service.count, 1);
        seen_destroy(&s);
        net_done(&n);
    }
}

TEST(a_route_that_went_away_fails_the_message_and_not_the_layer)
{
    struct net n;
    struct seen s = {0};
    struct service service;
    net_sim(&n, false);
    serve(&n, &service, 0);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    tapsi_sim_interface_up(n.c, false);
    send_text(&n, s.layer, "x");
    run_for(&n, MS);
    CHECK_INT(done.failed, 1);
    CHECK_INT(done.last, TAPS_E_UNREACHABLE);
    CHECK_INT(s.soft, 1);
    tapsi_sim_interface_up(n.c, true);
    send_text(&n, s.layer, "y");
    run_for(&n, RTT);
    CHECK_INT(done.sent, 1);
    CHECK_INT(service.count, 1);
    CHECK_INT(s.closed, 0);
    seen_destroy(&s);
    net_done(&n);
}

/* --------------------------------------------------------------------------------------------------- properties */

/* proves IMPL-32: DF, and only while it is asked for */
TEST(a_message_that_may_not_be_fragmented_must_fit_the_path)
{
    struct net n;
    struct seen s = {0};
    struct service service;
    static uint8_t bytes[4000];
    net_sim(&n, false);
    serve(&n, &service, 0);
    start_client(&n, &s, "192.0.2.1", 7);
    run_for(&n, MS);
    CHECK_INT(s.layer->mtu, 1500 - 28);
    send_bytes(&n, s.layer, bytes, 1472, TAPSI_OP_NO_FRAGMENT);
    send_bytes(&n, s.layer, bytes, 1473, TAPSI_OP_NO_FRAGMENT);
    send_bytes(&n, s.layer, bytes, 1473, TAPSI_OP_NO_SEGMENT);
    send_bytes(&n, s.layer, bytes, 4000, 0);
    run_for(&n, 2 * RTT);
    CHECK_INT(done.sent, 2);
    CHECK_INT(done.failed, 2);
    CHECK_INT(done.last == TAPS_E_MESSAGE_TOO_LARGE || done.last == 0, 1);
    CHECK_INT(service.bytes, 1472 + 4000);
    seen_destroy(&s);
    net_done(&n);
}

TEST(a_path_that_became_narrower_is_reported)
{
    struct net n;
    struct seen s = {0};
    static uint8_t bytes[1400];
    union tapsi_got got;
    net_sim(&n, false);
    start_client(&n, &s, "2001:db8::1", 7);
    run_for(&n, MS);
    CHECK_INT(s.layer->mtu, 1500 - 48);
    CHECK_INT(s.layer->max_message, TAPSI_UDP_MAX_IPV6);
    tapsi_sim_interface_mtu(n.c, 1300);
    send_bytes(&n, s.layer, bytes, sizeof(bytes), TAPSI_OP_NO_FRAGMENT);
    run_for(&n, RTT);
    CHECK_INT(done.last, TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(s.path_events, 1);
    CHECK_INT(s.layer->mtu, 1300 - 48);
    CHECK_INT(tapsi_layer_get(s.layer, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN, &got), 0);
    CHECK_INT(got.value.integer, 1300 - 48);
    seen_destroy(&s);
    net_done(&n);
}

TEST(properties_can_be_read_and_only_its_own_be_set)
{
    struct net n;
    struct seen s = {0};
    union tapsi_got got;
    struct taps_value profile = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_PROFILE_SCAVENGER};
    struct taps_value other = {.type = TAPS_TYPE_NUMBER, .number = 1};
    net_sim(&n, false);
    start_client(&n, &s, "192.0.2.1", 7);
    CHECK_INT(tapsi_layer_get(s.layer, TAPS_CONN_CAPACITY_PROFILE, &got), 0);
    CHECK_INT(got.value.enumeration, TAPS_PROFILE_DEFAULT);
    run_for(&n, MS);
    CHECK_INT(tapsi_layer_set(s.layer, TAPS_CONN_CAPACITY_PROFILE, &profile), 0);
    CHECK_INT(tapsi_layer_get(s.layer, TAPS_CONN_CAPACITY_PROFILE, &got), 0);
    CHECK_INT(got.value.enumeration, TAPS_PROFILE_SCAVENGER);
    CHECK_INT(tapsi_layer_get(s.layer, TAPS_SEND_MSG_MAX_LEN, &got), 0);
    CHECK_INT(got.value.integer, 65507);
    CHECK_INT(tapsi_layer_get(s.layer, TAPS_RECV_MSG_MAX_LEN, &got), 0);
    CHECK_INT(got.value.integer, 65507);
    CHECK_INT(tapsi_layer_set(s.layer, TAPS_CONN_TIMEOUT, &other), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(tapsi_layer_get(s.layer, TAPSI_GET_ALPN, &got), TAPS_E_NOT_APPLICABLE);
    seen_destroy(&s);
    net_done(&n);
}

TEST(each_capacity_profile_has_the_dscp_of_the_rfc)
{
    CHECK_INT(tapsi_udp_tos(TAPS_PROFILE_DEFAULT), 0);
    CHECK_INT(tapsi_udp_tos(TAPS_PROFILE_SCAVENGER) >> 2, 1);
    CHECK_INT(tapsi_udp_tos(TAPS_PROFILE_LOW_LATENCY_INTERACTIVE) >> 2, 34);
    CHECK_INT(tapsi_udp_tos(TAPS_PROFILE_LOW_LATENCY_NON_INTERACTIVE) >> 2, 18);
    CHECK_INT(tapsi_udp_tos(TAPS_PROFILE_CONSTANT_RATE_STREAMING) >> 2, 26);
    CHECK_INT(tapsi_udp_tos(TAPS_PROFILE_CAPACITY_SEEKING) >> 2, 10);
    CHECK_INT(tapsi_udp_tos(-1), 0);
    CHECK_INT(tapsi_udp_tos(99), 0);
}

/* Reads one datagram of a plain kernel socket and its TOS byte. */
static int read_tos(struct net *n, int fd, int family)
{
    char byte, control[128] __attribute__((aligned(8)));
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    uint64_t end = n->platform->ops->now(n->platform) + 5 * TAPSI_SIM_S;
    while (n->platform->ops->recvmsg(n->platform, fd, &m, 0) < 0) {
        if (n->platform->ops->now(n->platform) > end)
            return -1;
        tapsi_loop_turn(&n->loop, n->platform->ops->now(n->platform) + MS);
        m.msg_controllen = sizeof(control);
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int value = -1;
    if (c && family == AF_INET6)
        memcpy(&value, CMSG_DATA(c), sizeof(value));
    else if (c)
        value = *CMSG_DATA(c);
    return value;
}

/* proves IMPL-32: DSCP by connCapacityProfile at start, by set, and by one message */
TEST(dscp_follows_the_profile_of_the_connection_and_of_the_message)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (int i = 0; i < 2; i++) {
        struct net n;
        struct seen s = {0};
        int family = families[i], on = 1;
        net_kernel(&n);
        struct tapsi_platform *p = n.platform;
        int fd = p->ops->socket(p, family, SOCK_DGRAM, 0);
        union tapsi_addr local = addr(family == AF_INET ? "127.0.0.1" : "::1", 0);
        if (fd < 0 || p->ops->bind(p, fd, &local) < 0) {
            tapsi_test_skip("no IPv6 here");
            p->ops->close(p, fd);
            net_done(&n);
            return;
        }
        CHECK_INT(p->ops->getsockname(p, fd, &local), 0);
        p->ops->setsockopt(p, fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                           family == AF_INET ? IP_RECVTOS : IPV6_RECVTCLASS, &on, sizeof(on));
        struct taps_value profile = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_PROFILE_SCAVENGER};
        CHECK_INT(tapsi_properties_set(n.properties, TAPS_CONN_CAPACITY_PROFILE, profile), 0);
        make_client(&n, &s, &local);
        tapsi_layer_start(s.layer);
        CHECK(run_until(&n, &s.ready, 1));
        send_text(&n, s.layer, "1");
        CHECK_INT(read_tos(&n, fd, family), 1 << 2);
        profile.enumeration = TAPS_PROFILE_CAPACITY_SEEKING;
        CHECK_INT(tapsi_layer_set(s.layer, TAPS_CONN_CAPACITY_PROFILE, &profile), 0);
        send_text(&n, s.layer, "2");
        CHECK_INT(read_tos(&n, fd, family), 10 << 2);
        for (int j = 0; j < 2; j++) { /* two at once: one with a DSCP of its own */
            struct tapsi_op *op = new_op(&n, "3", 1, 0);
            op->dscp = j == 0 ? 34 : -1;
            tapsi_layer_send(s.layer, op);
        }
        CHECK_INT(read_tos(&n, fd, family), 34 << 2);
        CHECK_INT(read_tos(&n, fd, family), 10 << 2);
        seen_destroy(&s);
        p->ops->close(p, fd);
        net_done(&n);
    }
}

/* proves API-125: ECN of what is received */
TEST(ecn_of_a_datagram_is_told)
{
    struct net n;
    struct seen s = {.credit = CREDIT};
    net_kernel(&n);
    set_preference(&n, TAPS_SOFT_ERROR_NOTIFY, TAPS_PREFER); /* who cares for the network is told its marks too */
    struct tapsi_platform *p = n.platform;
    union tapsi_addr local = addr("127.0.0.1", 0);
    int fd = p->ops->socket(p, AF_INET, SOCK_DGRAM, 0), tos = 3;
    CHECK_INT(p->ops->bind(p, fd, &local), 0);
    CHECK_INT(p->ops->getsockname(p, fd, &local), 0);
    make_client(&n, &s, &local);
    tapsi_layer_start(s.layer);
    CHECK(run_until(&n, &s.ready, 1));
    union tapsi_addr client = address_of(s.layer, TAPSI_GET_LOCAL);
    CHECK_INT(p->ops->connect(p, fd, &client), 0);
    CHECK_INT(p->ops->send(p, fd, "a", 1, 0), 1);
    CHECK(run_until(&n, &s.data, 1));
    CHECK_INT(s.ecn, 0);
    CHECK_INT(p->ops->setsockopt(p, fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)), 0);
    CHECK_INT(p->ops->send(p, fd, "b", 1, 0), 1);
    CHECK(run_until(&n, &s.data, 2));
    CHECK_INT(s.ecn, 3);
    seen_destroy(&s);
    p->ops->close(p, fd);
    net_done(&n);
}

/* The kernel gives two datagrams at once: the second waits for credit. */
TEST(on_the_kernel_what_was_read_beyond_the_credit_is_held)
{
    for (unsigned first = 1; first <= 4; first++) {
        struct net n;
        struct seen s = {0};
        net_kernel(&n);
        struct tapsi_platform *p = n.platform;
        union tapsi_addr local = addr("127.0.0.1", 0);
        int fd = p->ops->socket(p, AF_INET, SOCK_DGRAM, 0);
        CHECK_INT(p->ops->bind(p, fd, &local), 0);
        CHECK_INT(p->ops->getsockname(p, fd, &local), 0);
        make_client(&n, &s, &local);
        tapsi_layer_start(s.layer);
        CHECK(run_until(&n, &s.ready, 1));
        union tapsi_addr client = address_of(s.layer, TAPSI_GET_LOCAL);
        CHECK_INT(p->ops->connect(p, fd, &client), 0);
        for (int i = 0; i < 5; i++)
            CHECK_INT(p->ops->send(p, fd, &"01234"[i], 1, 0), 1);
        tapsi_layer_want(s.layer, first);
        CHECK(run_until(&n, &s.data, first));
        run_for(&n, MS);
        CHECK_INT(s.data, first);
        CHECK_INT(s.last[0], '0' + (int)first - 1);
        tapsi_layer_want(s.layer, CREDIT);
        CHECK(run_until(&n, &s.data, 5));
        CHECK_TEXT(s.last, "4");
        seen_destroy(&s);
        p->ops->close(p, fd);
        net_done(&n);
    }
}

/* ------------------------------------------------------------------------------------------------------- close */

TEST(close_is_said_once_everything_is_with_the_kernel)
{
    struct net n;
    struct seen s = {0};
    struct service service;
    net_sim(&n, false);
    serve(&n, &service, 0);
    start_client(&n, &s, "192.0.2.1", 7);
    CHECK_INT(tapsi_layer_close(s.layer), TAPS_E_STATE); /* not before ready */
    run_for(&n, MS);
    send_text(&n, s.layer, "x");
    CHECK_INT(tapsi_layer_close(s.layer), 0);
    CHECK_INT(s.closed, 0);
    run_for(&n, 2 * RTT);
    CHECK_INT(s.closed, 1);
    CHECK_INT(s.error.pub.code, 0);
    CHECK_INT(done.sent, 1);
    CHECK_INT(service.count, 1);
    seen_destroy(&s);
    net_done(&n);
}

/* -------------------------------------------------------------------------------------------- things run short */

static void one_run(struct net *n)
{
    struct seen s = {.credit = CREDIT};
    union tapsi_addr remote = addr("192.0.2.1", 7);
    tapsi_sim_udp_echo(n->server, 7);
    if (!make_client(n, &s, &remote))
        return;
    tapsi_layer_start(s.layer);
    run_for(n, MS);
    CHECK_INT(s.ready + s.closed, 1);
    if (s.ready) {
        static uint8_t bytes[3000];
        unsigned given = 0;
        given += send_text(n, s.layer, "one");
        given += send_bytes(n, s.layer, bytes, sizeof(bytes), 0);
        given += send_bytes(n, s.layer, bytes, 100, TAPSI_OP_NO_FRAGMENT);
        run_for(n, 2 * RTT);
        CHECK_INT(done.sent + done.failed, given);
        tapsi_layer_close(s.layer);
        run_for(n, RTT);
        CHECK_INT(s.closed, 1);
    }
    seen_destroy(&s);
}

TEST(every_allocation_may_fail)
{
    for (size_t i = 1; i < 100; i++) {
        struct net n;
        net_sim(&n, false);
        heap.fail_at = heap.calls + i;
        one_run(&n);
        bool over = heap.calls < heap.fail_at;
        heap.fail_at = 0;
        net_done(&n);
        if (over) {
            CHECK(i > 3);
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
            net_sim(&n, false);
            tapsi_sim_fail_call(n.sim, i, errors[e]);
            one_run(&n);
            bool over = !tapsi_sim_call_failed(n.sim);
            net_done(&n);
            if (over) {
                CHECK(i > 5);
                break;
            }
        }
    }
}
