/* Sessions and streams between a client and a server of ours. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "stack/quic/test_net.h"

#define S TAPSI_SIM_S

/* proves API-060 */
TEST(a_handshake_and_an_answer)
{
    struct net n;
    net_begin(&n);
    n.server_echo = true;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    CHECK_INT(c->info.security, TAPS_QUIC_1);
    CHECK(c->info.authenticated);
    CHECK_INT(tapsi_sim_elapsed(n.sim) / MS, 20);
    CHECK_INT(net_send_text(c, "hello", TAPSI_OP_END), 0);
    CHECK(net_run_until_bytes(&n, c, 5, S));
    CHECK(net_got(c, "hello"));
    CHECK_INT(tapsi_sim_elapsed(n.sim) / MS, 40);
    CHECK_INT(c->sent, 1);
    CHECK_INT(n.accepted, 1);
    net_finish(&n);
}

TEST(both_ends_end_and_the_session_goes)
{
    struct net n;
    net_begin(&n);
    n.server_echo = true;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send_text(c, "all there is", TAPSI_OP_END | TAPSI_OP_FINAL);
    net_run(&n, 200 * MS);
    CHECK(net_got(c, "all there is"));
    CHECK_INT(c->final, 1);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, 0);
    NEED(n.server);
    CHECK_INT(n.server->closed, 1);
    CHECK_INT(n.server->error.pub.code, 0);
    net_finish(&n);
}

static void transfer(double loss, bool reorder, size_t count)
{
    struct net n;
    net_begin(&n);
    n.server_echo = true;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    c->keeps = false;
    tapsi_sim_link_loss(n.link, loss);
    if (reorder)
        tapsi_sim_link_reorder(n.link, 0.1, 15 * MS);
    net_send_many(c, 0, count, TAPSI_OP_END | TAPSI_OP_FINAL);
    CHECK(net_run_until(&n, &c->closed, 1, 600 * S));
    CHECK_INT(c->got_length, count);
    CHECK_INT(c->wrong, 0);
    CHECK_INT(c->error.pub.code, 0);
    CHECK_TEXT(c->error.text, "");
    net_finish(&n);
}

/* proves API-030, API-033 */
TEST(a_mebibyte_both_ways)
{
    transfer(0, false, 1024 * 1024);
}

/* proves API-030, API-033 */
TEST(a_mebibyte_both_ways_with_reordering_and_loss)
{
    transfer(0.05, true, 1024 * 1024);
}

/* proves API-030, API-033 */
TEST(much_where_every_fifth_packet_is_lost)
{
    transfer(0.2, false, 128 * 1024);
}

TEST(a_handshake_where_every_fifth_packet_is_lost)
{
    unsigned ready = 0;
    for (unsigned i = 0; i < 10; i++) {
        struct net n;
        net_begin(&n);
        n.server_echo = true;
        net_open(&n);
        net_run(&n, i * 7 * MS);
        tapsi_sim_link_loss(n.link, 0.2);
        struct end *c = net_handshake(&n);
        NEED(c);
        ready += c->ready;
        CHECK(c->ready || c->error.pub.code == TAPS_E_TIMEOUT);
        net_finish(&n);
    }
    CHECK(ready >= 8);
}

/* proves API-069, API-072 */
TEST(streams_of_a_session_and_their_bond)
{
    struct net n;
    union tapsi_got a, b;
    net_begin(&n);
    n.server_echo = true;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    struct end *d = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    NEED(d);
    net_run(&n, MS);
    CHECK_INT(d->ready, 1);
    CHECK_INT(tapsi_layer_get(c->layer, TAPSI_GET_BOND, &a), 0);
    CHECK_INT(tapsi_layer_get(d->layer, TAPSI_GET_BOND, &b), 0);
    CHECK(a.bond == b.bond);
    net_send_text(c, "one", 0);
    net_send_text(d, "two", 0);
    net_run(&n, 100 * MS);
    CHECK(net_got(c, "one"));
    CHECK(net_got(d, "two"));
    CHECK_INT(n.accepted, 2);
    net_finish(&n);
}

/* proves API-072 */
TEST(what_the_server_opens_comes_up_at_the_client)
{
    struct net n;
    net_begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send_text(c, "hello", 0);
    net_run(&n, 50 * MS);
    NEED(n.server);
    struct end *s = net_clone(&n, n.server, TAPS_BIDIRECTIONAL);
    NEED(s);
    net_run(&n, MS);
    net_send_text(s, "news", TAPSI_OP_FINAL | TAPSI_OP_END);
    net_run(&n, 50 * MS);
    CHECK_INT(n.accepted, 2);
    struct end *news = &n.ends[n.count - 1];
    CHECK(net_got(news, "news"));
    CHECK_INT(news->final, 1);
    net_finish(&n);
}

/* proves API-045 */
TEST(a_stream_of_one_direction)
{
    struct net n;
    union tapsi_got got;
    net_begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    for (int i = 0; i < 150; i++) { /* more than may be open at a time */
        struct end *u = net_clone(&n, c, TAPS_UNIDIRECTIONAL_SEND);
        NEED(u);
        net_run(&n, MS);
        NEED(net_run_until(&n, &u->ready, 1, S));
        net_send_text(u, "one way", TAPSI_OP_FINAL | TAPSI_OP_END);
        net_run(&n, 30 * MS);
        struct end *r = &n.ends[n.count - 1];
        if (i == 0) {
            CHECK(net_got(r, "one way"));
            CHECK_INT(r->final, 1);
        }
        CHECK_INT(net_run_until(&n, &u->closed, 1, S), 1);
        CHECK_INT(u->error.pub.code, 0);
        CHECK_INT(r->closed, 1);
        CHECK_INT(r->error.pub.code, 0);
        free(r->got);
        n.count -= 2; /* their places are used again */
    }
    struct end *u = net_clone(&n, c, TAPS_UNIDIRECTIONAL_SEND);
    CHECK_INT(tapsi_layer_get(u->layer, TAPS_DIRECTION, &got), 0);
    CHECK_INT(got.value.enumeration, TAPS_UNIDIRECTIONAL_SEND);
    CHECK(!net_clone(&n, c, TAPS_UNIDIRECTIONAL_RECEIVE));
    CHECK_INT(n.make_error.pub.code, TAPS_E_NOT_CLONEABLE);
    net_finish(&n);
}

/* proves API-088 */
TEST(a_stream_the_peer_does_not_allow_waits_until_it_does)
{
    struct net n;
    net_begin(&n);
    n.properties[1]->values[TAPS_GROUP_CONN_LIMIT].integer = 2;
    n.server_echo = true;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    struct end *d = net_clone(&n, c, TAPS_BIDIRECTIONAL), *e = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    NEED(d && e);
    net_run(&n, 100 * MS);
    CHECK_INT(d->ready, 1);
    CHECK_INT(e->ready, 0);
    CHECK_INT(e->layer->state, TAPSI_LAYER_STARTING);
    net_send_text(d, "done", TAPSI_OP_FINAL | TAPSI_OP_END);
    net_run(&n, 200 * MS);
    CHECK_INT(d->closed, 1);
    CHECK_INT(e->ready, 1);
    net_finish(&n);
}

/* The server tells of new streams by several, but never so late that the client waits. proves API-070 */
TEST(beside_streams_that_stay_short_ones_follow_each_other)
{
    for (unsigned stay = 0; stay <= 12; stay++) { /* from 7 on they say nothing: the server does not know of them */
        struct net n;
        net_begin(&n);
        n.properties[1]->values[TAPS_GROUP_CONN_LIMIT].integer = 8;
        n.server_echo = true;
        net_open(&n);
        struct end *c = net_handshake(&n);
        NEED(c && c->ready);
        for (unsigned i = 0; i < stay % 7; i++) {
            struct end *e = net_clone(&n, c, TAPS_BIDIRECTIONAL);
            CHECK(net_run_until(&n, &e->ready, 1, 100 * MS));
            if (stay < 7)
                net_send_text(e, "a", 0);
        }
        for (unsigned i = 0; i < 20; i++) {
            struct end *d = net_clone(&n, c, TAPS_BIDIRECTIONAL);
            CHECK(net_run_until(&n, &d->ready, 1, 100 * MS));
            net_send_text(d, "short", TAPSI_OP_END | TAPSI_OP_FINAL);
            CHECK(net_run_until(&n, &d->closed, 1, 1000 * MS));
            CHECK_INT(d->error.pub.code, 0);
        }
        net_finish(&n);
    }
}

/* Those that the client has opened, and not used yet, leave the server in the belief that it has many left. */
TEST(what_is_allowed_is_told_after_a_while)
{
    struct net n;
    net_begin(&n);
    n.properties[1]->values[TAPS_GROUP_CONN_LIMIT].integer = 8;
    n.server_echo = true;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    for (unsigned i = 0; i < 7; i++)
        CHECK(net_clone(&n, c, TAPS_BIDIRECTIONAL));
    struct end *waits = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    net_send_text(c, "done", TAPSI_OP_END | TAPSI_OP_FINAL);
    CHECK(net_run_until(&n, &c->closed, 1, 100 * MS));
    CHECK_INT(waits->ready, 0);
    CHECK(net_run_until(&n, &waits->ready, 1, 100 * MS));
    net_finish(&n);
}

/* proves API-141, API-143 */
TEST(a_reset_ends_the_stream_and_no_other)
{
    struct net n;
    net_begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    struct end *d = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    net_run(&n, MS);
    net_send_text(c, "a", 0);
    net_run(&n, 50 * MS);
    net_send_text(d, "b", 0);
    net_run(&n, 50 * MS);
    NEED(n.accepted == 2);
    struct end *first = n.server, *second = &n.ends[n.count - 1];
    net_destroy(d, TAPS_E_LOCAL_ABORT);
    net_run(&n, 50 * MS);
    CHECK_INT(second->closed, 1);
    CHECK_INT(second->error.pub.code, TAPS_E_ABORTED);
    CHECK_INT(second->error.pub.domain, TAPS_DOMAIN_QUIC_APPLICATION);
    CHECK_INT(first->closed, 0);
    net_send_text(first, "still", 0);
    net_run(&n, 50 * MS);
    CHECK(net_got(c, "still"));
    net_finish(&n);
}

TEST(a_peer_that_stops_reading_is_heard_of)
{
    struct net n;
    net_begin(&n);
    n.server_window = 0;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send_text(c, "a", TAPSI_OP_END);
    net_run(&n, 50 * MS);
    NEED(n.server);
    net_send_text(n.server, "my last", TAPSI_OP_FINAL);
    net_run(&n, 50 * MS);
    CHECK_INT(c->final, 1);
    net_destroy(n.server, 0); /* all was said: only STOP_SENDING goes out */
    net_run(&n, 50 * MS);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, TAPS_E_ABORTED);
    net_finish(&n);
}

/* proves API-121 */
TEST(a_reader_that_waits_holds_up_its_stream_and_no_other)
{
    struct net n;
    net_begin(&n);
    n.server_window = 0;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send_many(c, 0, 1024 * 1024, 0);
    net_run(&n, 2 * S);
    NEED(n.server);
    CHECK_INT(n.server->got_length, 0);
    CHECK_INT(c->sent, 0);
    CHECK(net_session(n.server)->held <= QUIC_STREAM_MOST);
    n.server_window = 128 * 1024;
    struct end *d = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    net_run(&n, MS);
    net_send_text(d, "past it", 0);
    net_run(&n, 100 * MS);
    CHECK(net_got(&n.ends[n.count - 1], "past it"));
    n.server->window = 64 * 1024;
    n.server->keeps = false;
    tapsi_layer_want(n.server->layer, n.server->window);
    CHECK(net_run_until_bytes(&n, n.server, 1024 * 1024, 30 * S));
    CHECK_INT(n.server->wrong, 0);
    CHECK_INT(c->sent, 1);
    net_finish(&n);
}

/* proves API-140 */
TEST(close_with_data_queued_delivers_all_of_it)
{
    struct net n;
    net_begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    tapsi_sim_link_loss(n.link, 0.02);
    tapsi_sim_link_rate(n.link, 10 * 1000 * 1000);
    net_send_many(c, 0, MANY_BYTES, 0);
    CHECK_INT(tapsi_layer_close(c->layer), 0);
    net_run(&n, 100 * MS);
    NEED(n.server);
    n.server->keeps = false;
    CHECK(net_run_until(&n, &n.server->final, 1, 600 * S));
    CHECK_INT(n.server->got_length, MANY_BYTES);
    CHECK_INT(n.server->wrong, 0);
    CHECK_INT(tapsi_layer_close(n.server->layer), 0);
    CHECK(net_run_until(&n, &c->closed, 1, 60 * S));
    CHECK_INT(c->error.pub.code, 0);
    net_finish(&n);
}

TEST(a_peer_that_never_ends_is_left_after_the_close_timeout)
{
    struct net n;
    net_begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send_text(c, "hello", 0);
    net_run(&n, 50 * MS);
    CHECK_INT(tapsi_layer_close(c->layer), 0);
    net_run(&n, 29 * S);
    CHECK_INT(c->closed, 0);
    net_run(&n, 2 * S);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, 0);
    net_finish(&n);
}

TEST(a_stream_that_only_receives_is_closed_at_once)
{
    struct net n;
    net_begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    struct end *u = net_clone(&n, c, TAPS_UNIDIRECTIONAL_SEND);
    net_run(&n, MS);
    net_send_text(u, "endless", 0);
    net_run(&n, 50 * MS);
    NEED(n.server);
    CHECK_INT(tapsi_layer_close(n.server->layer), 0);
    net_run(&n, MS);
    CHECK_INT(n.server->closed, 1);
    CHECK_INT(n.server->error.pub.code, 0);
    net_run(&n, 50 * MS);
    CHECK_INT(u->closed, 1);
    CHECK_INT(u->error.pub.code, TAPS_E_ABORTED);
    net_finish(&n);
}

TEST(a_peer_that_vanishes_is_noticed)
{
    struct net n;
    net_begin(&n);
    n.properties[0]->values[TAPS_CONN_TIMEOUT].number = 5;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send_text(c, "hello", 0);
    net_run(&n, 100 * MS);
    tapsi_sim_link_fault(n.link, TAPSI_SIM_BLACKHOLE);
    net_send_text(c, "anybody there", 0);
    net_run(&n, 6 * S);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, TAPS_E_TIMEOUT);
    NEED(n.server);
    CHECK_INT(n.server->closed, 1);
    CHECK_INT(n.server->error.pub.code, TAPS_E_TIMEOUT);
    net_finish(&n);
}

/* proves API-083 */
TEST(a_connection_that_is_kept_alive_does_not_time_out)
{
    struct net n;
    struct taps_value on = {.type = TAPS_TYPE_PREFERENCE, .preference = TAPS_REQUIRE};
    net_begin(&n);
    n.properties[0]->values[TAPS_CONN_TIMEOUT].number = 5;
    n.properties[0]->values[TAPS_KEEP_ALIVE] = on;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_run(&n, 60 * S);
    CHECK_INT(c->closed, 0);
    net_finish(&n);
}

/* proves API-082, API-146 */
TEST(a_timeout_set_later_counts_what_is_not_acknowledged)
{
    struct net n;
    struct taps_value seconds = {.type = TAPS_TYPE_NUMBER, .number = 3};
    net_begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    CHECK_INT(tapsi_layer_set(c->layer, TAPS_CONN_TIMEOUT, &seconds), 0);
    net_send_text(c, "hello", 0);
    net_run(&n, 20 * S);
    CHECK_INT(c->closed, 0); /* silence is no failure */
    tapsi_sim_link_fault(n.link, TAPSI_SIM_BLACKHOLE);
    net_send_text(c, "anybody there", 0);
    net_run(&n, 2 * S);
    CHECK_INT(c->closed, 0);
    net_run(&n, 2 * S);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, TAPS_E_TIMEOUT);
    net_finish(&n);
}

/* proves API-088 */
TEST(more_streams_can_be_allowed_later)
{
    struct net n;
    struct taps_value limit = {.type = TAPS_TYPE_INTEGER, .integer = 5};
    net_begin(&n);
    n.properties[1]->values[TAPS_GROUP_CONN_LIMIT].integer = 1;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    struct end *d = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    net_send_text(c, "x", 0);
    net_run(&n, 50 * MS);
    CHECK_INT(d->ready, 0);
    NEED(n.server);
    CHECK_INT(tapsi_layer_set(n.server->layer, TAPS_GROUP_CONN_LIMIT, &limit), 0);
    net_run(&n, 50 * MS);
    CHECK_INT(d->ready, 1);
    net_finish(&n);
}

static uint64_t asked(struct end *e, int what)
{
    union tapsi_got got = {.value = {.integer = 0}};
    CHECK_INT(tapsi_layer_get(e->layer, what, &got), 0);
    return got.value.integer;
}

/* proves API-081, API-084, API-085, API-088 */
TEST(properties_reach_the_session_while_it_lives)
{
    struct net n;
    net_begin(&n);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    struct taps_value profile = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_PROFILE_SCAVENGER};
    struct taps_value scheduler = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_SCHEDULER_ROUND_ROBIN};
    struct taps_value number = {.type = TAPS_TYPE_INTEGER, .integer = 7};
    CHECK_INT(tapsi_layer_set(c->layer, TAPS_CONN_CAPACITY_PROFILE, &profile), 0);
    CHECK_INT(tapsi_layer_set(c->layer, TAPS_CONN_SCHEDULER, &scheduler), 0);
    CHECK_INT(tapsi_layer_set(c->layer, TAPS_CONN_PRIORITY, &number), 0);
    CHECK_INT(tapsi_layer_set(c->layer, TAPS_GROUP_CONN_LIMIT, &number), 0);
    CHECK_INT(tapsi_layer_set(c->layer, TAPS_TCP_USER_TIMEOUT_VALUE, &number), TAPS_E_NOT_APPLICABLE);
    union tapsi_got got;
    CHECK_INT(tapsi_layer_get(c->layer, TAPS_CONN_CAPACITY_PROFILE, &got), 0);
    CHECK_INT(got.value.enumeration, TAPS_PROFILE_SCAVENGER);
    CHECK_INT(asked(c, TAPSI_GET_UNSENT), 0);
    CHECK_INT(asked(c, TAPSI_GET_UNACKED), 0);
    net_send_many(c, 0, 5000, 0);
    CHECK_INT(asked(c, TAPSI_GET_UNSENT), 5000);
    net_run(&n, 10 * DELAY);
    CHECK_INT(asked(c, TAPSI_GET_UNSENT) + asked(c, TAPSI_GET_UNACKED), 0);
    struct taps_value wait = {.type = TAPS_TYPE_NUMBER, .number = 5};
    CHECK_INT(tapsi_layer_close(c->layer), 0);
    CHECK_INT(tapsi_layer_set(c->layer, TAPS_CLOSE_TIMEOUT, &wait), 0);
    net_run(&n, 6 * S);
    CHECK_INT(c->closed, 1);
    net_finish(&n);
}

TEST(nobody_there)
{
    struct net n;
    net_begin(&n);
    net_open(&n);
    tapsi_layer_destroy(n.listener, 0);
    n.listener = NULL;
    net_run(&n, MS);
    struct end *c = net_handshake(&n);
    NEED(c);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, TAPS_E_REFUSED);
    CHECK(tapsi_sim_elapsed(n.sim) < 50 * MS);
    net_finish(&n);
}

/* proves API-062 */
TEST(a_wrong_name_is_told_to_both)
{
    struct net n;
    net_begin(&n);
    n.server_name = "other.test";
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->ready, 0);
    CHECK_INT(c->error.pub.code, TAPS_E_CERTIFICATE_NAME);
    net_run(&n, 100 * MS);
    CHECK_INT(n.half_open, 0);
    CHECK_INT(n.accepted, 0);
    net_finish(&n);
}

/* proves API-054 */
TEST(no_common_alpn_protocol)
{
    struct net n;
    net_begin(&n);
    tapsi_names_free(&n.mem, &n.security[1]->alpn);
    CHECK_INT(tapsi_names_append(&n.mem, &n.security[1]->alpn, "other"), 0);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, TAPS_E_TLS);
    CHECK_INT(c->error.pub.native, GNUTLS_A_NO_APPLICATION_PROTOCOL);
    CHECK_INT(n.half_open, 0);
    net_finish(&n);
}

TEST(each_side_may_be_freed_at_any_moment)
{
    for (unsigned ms = 0; ms < 60; ms += 5) {
        struct net n;
        net_begin(&n);
        n.server_echo = true;
        net_open(&n);
        struct end *c = net_connect(&n);
        NEED(c);
        net_run(&n, ms * MS);
        if (c->layer && c->ready)
            net_send_text(c, "hello", 0);
        net_finish(&n);
    }
}

TEST(every_allocation_may_fail)
{
    bool failed = true;
    for (long i = 1; failed; i++) {
        struct net n;
        net_begin(&n);
        n.server_echo = true;
        n.fail_at = n.allocations + i;
        net_open(&n);
        struct end *c = n.listener ? net_handshake(&n) : NULL;
        if (c && c->layer && c->ready) {
            net_send_text(c, "request", TAPSI_OP_FINAL);
            net_run_until(&n, &c->closed, 1, 200 * S);
            CHECK(c->closed || n.fail_at);
        }
        failed = n.allocations >= n.fail_at;
        CHECK(failed || (c && net_got(c, "request")));
        net_finish(&n);
    }
}

TEST(every_call_of_the_system_may_fail)
{
    static const int errors[] = {ENOBUFS, EMSGSIZE, EAGAIN, ECONNREFUSED, 0};
    for (unsigned k = 0; k < sizeof(errors) / sizeof(errors[0]); k++) {
        bool failed = true;
        for (unsigned i = 1; failed; i++) {
            struct net n;
            net_begin(&n);
            n.server_echo = true;
            tapsi_sim_fail_call(n.sim, i, errors[k]);
            net_open(&n);
            struct end *c = n.listener ? net_handshake(&n) : NULL;
            if (c && c->layer && c->ready) {
                net_send_text(c, "request", TAPSI_OP_FINAL);
                net_run_until(&n, &c->closed, 1, 200 * S);
                CHECK_INT(c->closed, 1);
            }
            failed = tapsi_sim_call_failed(n.sim);
            CHECK(failed || (c && net_got(c, "request")));
            net_finish(&n);
        }
    }
}

/* The last pieces of a frame that is full come with the next, and behind them an end without bytes. */
TEST(an_end_without_bytes_behind_small_pieces)
{
    for (unsigned pieces = 1; pieces < 9; pieces++) {
        struct net n;
        net_begin(&n);
        net_open(&n);
        struct end *c = net_handshake(&n);
        NEED(c);
        for (unsigned i = 0; i < pieces; i++)
            CHECK_INT(net_send_text(c, "a", 0), 0);
        CHECK_INT(net_send(c, NULL, 0, TAPSI_OP_FINAL | TAPSI_OP_END), 0);
        net_run(&n, 200 * MS);
        NEED(n.server);
        CHECK_INT(n.server->got_length, pieces);
        CHECK_INT(n.server->final, 1);
        CHECK_INT(c->sent, pieces + 1);
        net_finish(&n);
    }
}

/* Anybody can send one. */
TEST(an_empty_datagram_ends_nothing)
{
    struct net n;
    net_begin(&n);
    n.server_echo = true;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c);
    CHECK_INT(net_send_text(c, "a", 0), 0);
    CHECK(net_run_until_bytes(&n, c, 1, TAPSI_SIM_S));
    NEED(n.server);
    struct quic_session *s = net_session(n.server);
    struct tapsi_port_way way = {.to = s->remote};
    CHECK_INT(tapsi_port_write(s->endpoint->user.port, &way, "", 0, 0), 0);
    net_run(&n, 100 * MS);
    CHECK_INT(c->closed, 0);
    CHECK_INT(net_send_text(c, "b", 0), 0);
    CHECK(net_run_until_bytes(&n, c, 2, TAPSI_SIM_S));
    net_finish(&n);
}

/* What readers held that are gone is the window of those that come. */
TEST(a_window_that_was_held_is_given_back_when_the_holders_go)
{
    enum { HOLDERS = 16 };
    struct net n;
    net_begin(&n);
    n.server_window = 0;
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c);
    for (unsigned i = 0; i < HOLDERS; i++) {
        struct end *e = net_clone(&n, c, TAPS_BIDIRECTIONAL);
        NEED(e);
        CHECK(net_run_until(&n, &e->ready, 1, TAPSI_SIM_S));
        net_send_many(e, 0, 256 * 1024, 0);
    }
    net_run(&n, 5 * TAPSI_SIM_S);
    NEED(n.server);
    for (unsigned i = 0; i < n.count; i++)
        if (n.ends[i].layer && n.ends[i].layer->role == TAPSI_ROLE_SERVER)
            net_destroy(&n.ends[i], TAPS_E_CANCELLED);
    n.server_window = 1024 * 1024;
    net_run(&n, 5 * TAPSI_SIM_S);
    struct end *last = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    NEED(last);
    CHECK(net_run_until(&n, &last->ready, 1, TAPSI_SIM_S));
    unsigned before = n.accepted;
    CHECK_INT(net_send_text(last, "hello", 0), 0);
    CHECK(net_run_until(&n, &n.accepted, before + 1, 5 * TAPSI_SIM_S));
    net_finish(&n);
}
