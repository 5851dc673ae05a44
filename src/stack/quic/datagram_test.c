/* Datagrams of a session (RFC 9221), between a client and a server of ours. */
#include <string.h>
#include "stack/quic/test_net.h"

#define S TAPSI_SIM_S

static void begin(struct net *n)
{
    net_begin(n);
    n->proto[0] = n->proto[1] = &tapsi_proto_quic_datagram;
}

/* proves API-031 */
TEST(datagrams_there_and_back)
{
    struct net n;
    begin(&n);
    n.server_echo = true;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    CHECK(c->info.authenticated);
    CHECK(c->layer->max_message > 1100);
    CHECK_INT(net_send_text(c, "one", TAPSI_OP_END), 0);
    CHECK_INT(net_send_text(c, "", TAPSI_OP_END), 0);
    CHECK_INT(net_send_text(c, "two", TAPSI_OP_END), 0);
    net_run(&n, 50 * MS);
    CHECK_INT(n.accepted, 1);
    CHECK_INT(c->sent, 3);
    CHECK_INT(c->slices, 3);
    CHECK(net_got(c, "onetwo"));
    net_finish(&n);
}

/* proves API-092, API-093 */
TEST(a_message_in_many_pieces_is_one_datagram)
{
    struct net n;
    uint8_t bytes[TAPS_PIECES_MAX];
    begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    struct tapsi_op *op = tapsi_op_new(&n.loops[0]);
    NEED(op);
    op->flags = TAPSI_OP_END;
    CHECK_INT(tapsi_op_expect(op, TAPS_PIECES_MAX), 0);
    for (size_t i = 0; i < TAPS_PIECES_MAX; i++) {
        bytes[i] = net_byte(i);
        tapsi_op_lend(op, &bytes[i], 1, NULL);
    }
    CHECK_INT(tapsi_layer_send(c->layer, op), 0);
    net_run(&n, 100 * MS);
    NEED(n.server);
    CHECK_INT(n.server->got_length, TAPS_PIECES_MAX);
    CHECK_INT(n.server->wrong, 0);
    net_finish(&n);
}

TEST(the_longest_fits_and_one_more_byte_does_not)
{
    struct net n;
    static uint8_t bytes[65536];
    begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    size_t longest = c->layer->max_message;
    CHECK_INT(net_send(c, bytes, longest, TAPSI_OP_END), 0);
    net_run(&n, 50 * MS);
    NEED(n.server);
    CHECK_INT(n.server->last_length, longest);
    net_run(&n, S);
    CHECK(c->layer->max_message > longest); /* the path is found to carry more */
    CHECK(c->moves > 0);
    longest = c->layer->max_message;
    CHECK_INT(net_send(c, bytes, longest, TAPSI_OP_END), 0);
    CHECK_INT(net_send(c, bytes, longest + 1, TAPSI_OP_END), 0);
    CHECK_INT(net_send(c, bytes, sizeof(bytes), TAPSI_OP_END), 0);
    CHECK_INT(net_send(c, bytes, 7, TAPSI_OP_END), 0);
    net_run(&n, 50 * MS);
    CHECK_INT(c->sent, 3);
    CHECK_INT(c->failed, 2);
    CHECK_INT(n.server->slices, 3);
    CHECK_INT(n.server->last_length, 7);
    net_finish(&n);
}

TEST(what_nobody_takes_is_dropped_the_oldest_first)
{
    struct net n;
    uint8_t bytes[1000] = {0};
    begin(&n);
    n.server_window = 1;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send(c, bytes, 1, TAPSI_OP_END);
    net_run(&n, 50 * MS);
    NEED(n.server);
    n.server->window = 0;
    tapsi_layer_want(n.server->layer, 0);
    for (int i = 0; i < 2000; i++) {
        memset(bytes, i & 255, sizeof(bytes));
        net_send(c, bytes, sizeof(bytes), TAPSI_OP_END);
    }
    net_run(&n, 20 * S);
    CHECK_INT(c->sent, 2001);
    unsigned before = n.server->slices;
    n.server->window = 128 * 1024;
    tapsi_layer_want(n.server->layer, n.server->window);
    net_run(&n, MS);
    CHECK(n.server->slices - before <= 262);
    CHECK(n.server->slices - before >= 200);
    CHECK_INT(n.server->got[n.server->got_length - 1], 1999 & 255);
    net_finish(&n);
}

TEST(a_lost_datagram_is_not_sent_again)
{
    struct net n;
    begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    tapsi_sim_link_loss(n.link, 0.3);
    for (int i = 0; i < 200; i++) {
        net_send_text(c, "x", TAPSI_OP_END);
        net_run(&n, 20 * MS);
    }
    net_run(&n, S);
    NEED(n.server);
    CHECK_INT(c->sent, 200);
    CHECK(n.server->slices > 80 && n.server->slices < 180);
    net_finish(&n);
}

TEST(close_sends_what_is_queued_and_the_peer_hears_an_orderly_end)
{
    struct net n;
    begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    for (int i = 0; i < 5; i++)
        net_send_text(c, "last words", TAPSI_OP_END);
    CHECK_INT(tapsi_layer_close(c->layer), 0);
    net_run(&n, 50 * MS);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, 0);
    CHECK_INT(c->sent, 5);
    NEED(n.server);
    CHECK_INT(n.server->slices, 5);
    CHECK_INT(n.server->closed, 1);
    CHECK_INT(n.server->error.pub.code, 0);
    net_finish(&n);
}

TEST(a_server_of_streams_takes_no_datagrams)
{
    struct net n;
    net_begin(&n);
    n.proto[0] = &tapsi_proto_quic_datagram;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c);
    CHECK_INT(c->ready, 0);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, TAPS_E_PROTOCOL);
    net_finish(&n);
}

TEST(a_server_of_datagrams_takes_no_streams)
{
    struct net n;
    net_begin(&n);
    n.proto[1] = &tapsi_proto_quic_datagram;
    net_open(&n);
    struct end *c = net_connect(&n);
    NEED(c);
    net_run(&n, S);
    CHECK_INT(c->ready, 0);
    net_finish(&n);
}

TEST(listeners_of_both_share_the_port)
{
    struct net n;
    union tapsi_addr local;
    struct tapsi_target target = {.local = &local};
    struct tapsi_layer *other;
    net_begin(&n);
    n.server_echo = true;
    net_open(&n);
    tapsi_addr_parse("192.0.2.1", &local);
    tapsi_addr_set_port(&local, PORT);
    CHECK_INT(tapsi_proto_quic_datagram.listen(n.envs[1], &target, &n.listener_sink, &other, &n.make_error), 0);
    tapsi_layer_want(other, 10);
    struct end *c = net_handshake(&n);
    n.proto[0] = &tapsi_proto_quic_datagram;
    struct end *d = net_handshake(&n);
    NEED(c && c->ready && d && d->ready);
    net_send_text(c, "stream", 0);
    net_send_text(d, "datagram", TAPSI_OP_END);
    net_run(&n, 50 * MS);
    CHECK(net_got(c, "stream"));
    CHECK(net_got(d, "datagram"));
    CHECK(tapsi_proto_quic_datagram.listen(n.envs[1], &target, &n.listener_sink, &other, &n.make_error) != 0);
    tapsi_layer_destroy(other, 0);
    net_send_text(d, "goes on", TAPSI_OP_END);
    net_run(&n, 50 * MS);
    CHECK(net_got(d, "datagramgoes on"));
    net_finish(&n);
}

TEST(every_allocation_may_fail)
{
    bool failed = true;
    for (long i = 1; failed; i++) {
        struct net n;
        begin(&n);
        n.server_echo = true;
        n.fail_at = n.allocations + i;
        net_open(&n);
        struct end *c = n.listener ? net_handshake(&n) : NULL;
        if (c && c->layer && c->ready)
            net_send_text(c, "request", TAPSI_OP_END);
        net_run(&n, 100 * MS);
        if (c && c->layer && c->ready)
            tapsi_layer_close(c->layer);
        net_run(&n, 100 * MS);
        failed = n.allocations >= n.fail_at;
        CHECK(failed || (c && net_got(c, "request")));
        net_finish(&n);
    }
}
