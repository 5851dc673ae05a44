/* A client that takes other paths: by what it is given, by policy, and when the one it has is lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "stack/quic/test_net.h"

#define S TAPSI_SIM_S

/* Three ways to the server: two addresses of one interface, and another interface. */
struct ways {
    struct net n;
    struct tapsi_sim_interface *second;
    struct tapsi_sim_link *link;
    struct tapsi_layer *other; /* the Listener at the server's second address, if there is one */
    struct end *c;
    struct tapsi_way all[3];
};

enum { FIRST, SAME_LINK, OTHER_LINK };

static struct tapsi_way way_from(const char *local, const struct tapsi_sim_interface *interface, const char *name)
{
    struct tapsi_way way = {.interface = name, .interface_index = tapsi_sim_interface_index(interface)};
    tapsi_addr_parse(local, &way.local);
    return way;
}

static void ways_begin(struct ways *w)
{
    struct net *n = &w->n;
    net_begin(n);
    n->server_echo = true;
    w->second = tapsi_sim_interface_new(n->hosts[0], "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24");
    w->link = tapsi_sim_link_new(w->second, n->interfaces[1], DELAY);
    w->all[FIRST] = way_from("192.0.2.2", n->interfaces[0], "eth0");
    w->all[SAME_LINK] = way_from("192.0.2.3", n->interfaces[0], "eth0");
    w->all[OTHER_LINK] = way_from("198.51.100.2", w->second, "wlan0");
}

/* A connection by the first, the handshake confirmed. */
static bool ways_open(struct ways *w)
{
    ways_begin(w);
    net_open(&w->n);
    w->c = net_handshake(&w->n);
    if (!w->c || !w->c->ready)
        return false;
    net_send_text(w->c, "one", 0);
    net_run(&w->n, 100 * MS);
    return net_got(w->c, "one") && w->n.server;
}

static int give(struct ways *w, const struct tapsi_way *ways, size_t count)
{
    return tapsi_layer_paths(w->c->layer, ways, count, &w->n.make_error);
}

static bool is_at(const struct end *e, const char *address)
{
    union tapsi_addr a, local = net_session(e)->local;
    tapsi_addr_parse(address, &a);
    return tapsi_addr_same_host(&a, &local);
}

static bool server_sees(const struct ways *w, const char *address)
{
    union tapsi_addr a;
    tapsi_addr_parse(address, &a);
    return tapsi_addr_same_host(&a, &net_session(w->n.server)->remote);
}

/* proves API-096 */
TEST(it_stays_on_a_path_that_is_among_those_given)
{
    struct ways w;
    NEED(ways_open(&w));
    CHECK_INT(give(&w, w.all, 3), 0);
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 5 * S);
    CHECK(is_at(w.c, "192.0.2.2"));
    CHECK_INT(w.c->moves, 0);
    CHECK_INT(tapsi_sim_host_sockets(w.n.hosts[0]), 1);
    net_finish(&w.n);
}

/* proves API-043 API-086 */
TEST(it_leaves_a_path_that_is_not_among_them)
{
    struct ways w;
    NEED(ways_open(&w));
    CHECK_INT(give(&w, &w.all[SAME_LINK], 1), 0);
    net_run(&w.n, 100 * MS);
    CHECK(is_at(w.c, "192.0.2.3"));
    CHECK_INT(w.c->moves, 1);
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 100 * MS);
    CHECK(net_got(w.c, "onetwo"));
    CHECK(server_sees(&w, "192.0.2.3"));
    CHECK_INT(w.n.server->moves, 1);
    net_run(&w.n, 5 * S);
    CHECK_INT(tapsi_sim_host_sockets(w.n.hosts[0]), 1); /* the old one is closed */
    net_finish(&w.n);
}

TEST(it_takes_another_interface)
{
    struct ways w;
    union tapsi_got got;
    NEED(ways_open(&w));
    CHECK_INT(give(&w, &w.all[OTHER_LINK], 1), 0);
    net_run(&w.n, 100 * MS);
    CHECK(is_at(w.c, "198.51.100.2"));
    CHECK_INT(tapsi_layer_get(w.c->layer, TAPSI_GET_INTERFACE, &got), TAPSI_HANDLED);
    CHECK_INT(got.value.integer, tapsi_sim_interface_index(w.second));
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 100 * MS);
    CHECK(net_got(w.c, "onetwo"));
    net_finish(&w.n);
}

/* proves IMPL-21 API-044 */
TEST(when_its_interface_goes_down_it_takes_the_next)
{
    struct ways w;
    NEED(ways_open(&w));
    CHECK_INT(give(&w, w.all, 3), 0);
    tapsi_sim_interface_up(w.n.interfaces[0], false);
    net_send_text(w.c, "two", 0);
    CHECK(net_run_until_bytes(&w.n, w.c, 6, 5 * S));
    CHECK(is_at(w.c, "198.51.100.2"));
    CHECK(tapsi_sim_elapsed(w.n.sim) < 3 * S);
    CHECK_INT(w.c->closed, 0);
    net_finish(&w.n);
}

/* Nothing tells but the silence. proves IMPL-21 */
TEST(when_its_path_is_silent_it_takes_the_next)
{
    struct ways w;
    NEED(ways_open(&w));
    CHECK_INT(give(&w, w.all, 3), 0);
    tapsi_sim_link_fault(w.n.link, TAPSI_SIM_BLACKHOLE);
    net_send_text(w.c, "two", 0);
    CHECK(net_run_until_bytes(&w.n, w.c, 6, 10 * S));
    CHECK(is_at(w.c, "198.51.100.2"));
    CHECK_INT(w.c->moves, 1); /* not to the other address of its interface */
    CHECK_INT(w.c->closed, 0);
    net_finish(&w.n);
}

/* proves IMPL-21 */
TEST(when_the_next_is_silent_too_it_takes_the_one_after_it)
{
    struct ways w;
    NEED(ways_open(&w));
    CHECK_INT(give(&w, w.all, 3), 0);
    tapsi_sim_fault(w.n.sim, "192.0.2.2", TAPSI_SIM_BLACKHOLE);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    net_send_text(w.c, "two", 0);
    CHECK(net_run_until_bytes(&w.n, w.c, 6, 10 * S));
    CHECK(is_at(w.c, "192.0.2.3"));
    CHECK(w.c->warnings >= 1);
    CHECK_INT(w.c->warning.pub.code, TAPS_E_TIMEOUT);
    net_finish(&w.n);
}

/* With as much under way as the window allows, in which no challenge has room. */
TEST(a_transfer_goes_on_when_its_path_falls_silent)
{
    struct ways w;
    NEED(ways_open(&w));
    w.c->keeps = false;
    CHECK_INT(give(&w, w.all, 3), 0);
    size_t sent = 4 * 1024 * 1024;
    tapsi_sim_link_rate(w.n.link, 50000000);
    tapsi_sim_link_rate(w.link, 50000000);
    net_send_many(w.c, 3, sent, 0);
    net_run(&w.n, 150 * MS);
    tapsi_sim_link_fault(w.n.link, TAPSI_SIM_BLACKHOLE);
    CHECK(net_run_until_bytes(&w.n, w.c, sent + 3, 20 * S));
    CHECK(is_at(w.c, "198.51.100.2"));
    net_finish(&w.n);
}

/* What the engine assumes of a new path, a round trip of a third of a second, does not pace what goes by it. */
TEST(what_is_sent_after_a_move_is_held_up_for_a_few_round_trips)
{
    struct ways w;
    NEED(ways_open(&w));
    w.c->keeps = w.n.server->keeps = false;
    CHECK_INT(give(&w, &w.all[OTHER_LINK], 1), 0);
    uint64_t moved = tapsi_sim_elapsed(w.n.sim);
    net_send_many(w.c, 3, 200000, 0);
    CHECK(net_run_until_bytes(&w.n, w.c, 200000 + 3, 5 * S));
    CHECK(is_at(w.c, "198.51.100.2"));
    CHECK(tapsi_sim_elapsed(w.n.sim) - moved < 25 * DELAY);
    net_finish(&w.n);
}

TEST(a_path_that_does_not_answer_is_not_taken_while_the_old_one_works)
{
    struct ways w;
    NEED(ways_open(&w));
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    struct taps_value value = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_POLICY_INTERACTIVE};
    CHECK_INT(tapsi_layer_set(w.c->layer, TAPS_MULTIPATH_POLICY, &value), 0);
    struct tapsi_way two[] = {w.all[FIRST], w.all[OTHER_LINK]};
    CHECK_INT(give(&w, two, 2), 0);
    for (int i = 0; i < 10; i++) {
        net_send_text(w.c, ".", 0);
        net_run(&w.n, 500 * MS);
    }
    CHECK_INT(w.c->got_length, 13);
    CHECK_INT(w.c->moves, 0);
    CHECK(w.c->warnings >= 1);
    CHECK(is_at(w.c, "192.0.2.2"));
    net_finish(&w.n);
}

/* proves IMPL-21 */
TEST(when_all_paths_are_dead_it_waits_for_one_to_come_back)
{
    struct ways w;
    NEED(ways_open(&w));
    CHECK_INT(give(&w, w.all, 3), 0);
    tapsi_sim_link_fault(w.n.link, TAPSI_SIM_BLACKHOLE);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 10 * S);
    CHECK_INT(w.c->closed, 0);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_FINE);
    CHECK(net_run_until_bytes(&w.n, w.c, 6, 60 * S));
    CHECK(is_at(w.c, "198.51.100.2"));
    net_finish(&w.n);
}

/* It was taken at once, and does not work either. */
TEST(a_dead_path_that_it_had_to_take_is_left_for_the_next)
{
    struct ways w;
    NEED(ways_open(&w));
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    struct tapsi_way two[] = {w.all[OTHER_LINK], w.all[SAME_LINK]};
    CHECK_INT(give(&w, two, 2), 0);
    net_send_text(w.c, "two", 0);
    CHECK(net_run_until_bytes(&w.n, w.c, 6, 10 * S));
    CHECK(is_at(w.c, "192.0.2.3"));
    CHECK_INT(w.c->moves, 2);
    CHECK(w.c->warnings >= 1);
    net_finish(&w.n);
}

/* proves API-043 */
TEST(a_server_may_forbid_it)
{
    struct ways w;
    ways_begin(&w);
    struct taps_value value = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_MULTIPATH_DISABLED};
    CHECK_INT(tapsi_properties_set(w.n.properties[1], TAPS_MULTIPATH, value), 0);
    net_open(&w.n);
    w.c = net_handshake(&w.n);
    NEED(w.c && w.c->ready);
    net_run(&w.n, 100 * MS);
    CHECK_INT(give(&w, w.all, 3), TAPS_E_POLICY);
    CHECK_INT(give(&w, NULL, 0), 0);
    net_run(&w.n, S);
    CHECK_INT(w.c->moves, 0);
    net_finish(&w.n);
}

TEST(a_server_cannot_take_other_paths)
{
    struct ways w;
    NEED(ways_open(&w));
    CHECK_INT(tapsi_layer_paths(w.n.server->layer, w.all, 1, &w.n.make_error), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(tapsi_layer_paths(w.n.server->layer, NULL, 0, &w.n.make_error), 0);
    net_finish(&w.n);
}

TEST(before_the_handshake_is_confirmed_it_waits)
{
    struct ways w;
    ways_begin(&w);
    net_open(&w.n);
    w.c = net_handshake(&w.n);
    NEED(w.c && w.c->ready && !net_session(w.c)->confirmed);
    CHECK_INT(give(&w, &w.all[SAME_LINK], 1), 0);
    CHECK(is_at(w.c, "192.0.2.2"));
    net_run(&w.n, 200 * MS);
    CHECK(is_at(w.c, "192.0.2.3"));
    net_send_text(w.c, "one", 0);
    net_run(&w.n, 500 * MS);
    CHECK(net_got(w.c, "one"));
    net_finish(&w.n);
}

TEST(no_paths_are_the_one_it_has)
{
    struct ways w;
    NEED(ways_open(&w));
    CHECK_INT(give(&w, NULL, 0), 0);
    tapsi_sim_link_fault(w.n.link, TAPSI_SIM_BLACKHOLE);
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 10 * S);
    CHECK_INT(w.c->moves + w.c->warnings, 0);
    CHECK_INT(w.c->closed, 0);
    tapsi_sim_link_fault(w.n.link, TAPSI_SIM_FINE);
    CHECK(net_run_until_bytes(&w.n, w.c, 6, 30 * S));
    net_finish(&w.n);
}

TEST(more_paths_than_it_keeps_are_left_out)
{
    struct ways w;
    struct tapsi_way many[100];
    NEED(ways_open(&w));
    for (int i = 0; i < 100; i++)
        many[i] = w.all[i % 3];
    CHECK_INT(give(&w, many, 100), 0);
    net_run(&w.n, S);
    CHECK_INT(w.c->moves, 0);
    net_finish(&w.n);
}

/* proves API-086 */
TEST(the_policy_of_lowest_round_trips_takes_the_quickest)
{
    struct ways w;
    NEED(ways_open(&w));
    tapsi_sim_link_delay(w.n.link, 40 * MS);
    tapsi_sim_link_delay(w.link, 10 * MS);
    struct taps_value value = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_POLICY_INTERACTIVE};
    CHECK_INT(give(&w, w.all, 3), 0);
    net_run(&w.n, S);
    CHECK_INT(w.c->moves, 0); /* handover is the default */
    CHECK_INT(tapsi_layer_set(w.c->layer, TAPS_MULTIPATH_POLICY, &value), 0);
    for (int i = 0; i < 60; i++) {
        net_send_text(w.c, ".", 0);
        net_run(&w.n, 500 * MS);
    }
    CHECK(is_at(w.c, "198.51.100.2"));
    unsigned moves = w.c->moves;
    for (int i = 0; i < 60; i++) {
        net_send_text(w.c, ".", 0);
        net_run(&w.n, 500 * MS);
    }
    CHECK_INT(w.c->moves, moves); /* and stays there */
    CHECK_INT(w.c->got_length, 123);
    net_finish(&w.n);
}

static uint32_t state;

static unsigned dice(unsigned sides)
{
    state = state * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(state >> 8) * sides >> 24);
}

/* A client that is moved, and whose NAT forgets it, as often as it can be: `seconds` of it, then peace. */
static void storm(uint32_t seed, unsigned seconds, unsigned every_ms)
{
    struct ways w;
    NEED(ways_open(&w));
    state = seed;
    w.c->keeps = false;
    tapsi_sim_link_loss(w.n.link, 0.05);
    tapsi_sim_link_loss(w.link, 0.05);
    size_t sent = 3;
    for (uint64_t end = tapsi_sim_now(w.n.sim) + seconds * S; tapsi_sim_now(w.n.sim) < end && w.c->layer;) {
        size_t more = 1 + dice(dice(4) ? 200 : 60000);
        unsigned what = dice(4);
        if (sent - w.c->got_length < 500000) {
            net_send_many(w.c, sent, more, 0);
            sent += more;
        }
        if (what == 0)
            net_rebind(w.c);
        else if (what == 1)
            give(&w, &w.all[dice(3)], 1);
        net_run(&w.n, (1 + dice(every_ms)) * MS);
    }
    tapsi_sim_link_loss(w.n.link, 0);
    tapsi_sim_link_loss(w.link, 0);
    CHECK(net_run_until_bytes(&w.n, w.c, sent, 120 * S));
    net_run(&w.n, 10 * S); /* 0.12 loses memory of what waits to be sent again when it ends */
    CHECK_INT(w.c->closed, 0);
    CHECK_INT(w.n.server ? w.n.server->closed : 1, 0);
    if (w.c->closed)
        printf("# seed %u, every %u ms: %s\n", seed, every_ms, w.c->error.text);
    net_finish(&w.n);
}

/* 0.12 aborts at it, if it is not kept from it. proves IMPL-21 */
TEST(a_client_that_moves_and_is_moved_all_the_time_harms_nobody)
{
    unsigned count = tapsi_test_rounds(3, 1, 20);
    for (uint32_t seed = 1; seed <= count; seed++) {
        storm(seed, 30, 500);
        storm(seed + 1000, 60, 2000);
    }
}

/*
 * It hears nothing, so its server runs out of its connection IDs and follows it with the one in use. Then it is moved
 * as long as the engine is busy with that. proves IMPL-21
 */
TEST(a_client_that_gives_no_connection_ids_is_followed_and_lives_on)
{
    for (unsigned every = 200; every <= 1400; every += 300) {
        struct ways w;
        NEED(ways_open(&w));
        size_t sent = 3;
        w.c->keeps = false;
        tapsi_sim_fault(w.n.sim, "192.0.2.2", TAPSI_SIM_BLACKHOLE);
        for (int i = 0; i < 100 && w.c->layer && !net_session(w.n.server)->pinned; i++) {
            net_rebind(w.c);
            net_send_many(w.c, sent, 10, 0);
            sent += 10;
            net_run(&w.n, S);
        }
        NEED(w.n.server->layer);
        CHECK(net_session(w.n.server)->pinned != 0);
        tapsi_sim_fault(w.n.sim, "192.0.2.2", TAPSI_SIM_FINE);
        for (unsigned time = 0; time < 20000 && w.c->layer; time += every) {
            net_rebind(w.c);
            net_send_many(w.c, sent, 10, 0);
            sent += 10;
            net_run(&w.n, every * MS);
        }
        CHECK(net_run_until_bytes(&w.n, w.c, sent, 100 * S));
        CHECK_INT(w.c->closed, 0);
        net_finish(&w.n);
    }
}

/* It may not know that its port was changed on the way. proves API-043 */
TEST(a_server_that_forbids_it_follows_a_port_and_no_host)
{
    struct ways w;
    ways_begin(&w);
    struct taps_value value = {.type = TAPS_TYPE_ENUMERATION, .enumeration = TAPS_MULTIPATH_DISABLED};
    CHECK_INT(tapsi_properties_set(w.n.properties[1], TAPS_MULTIPATH, value), 0);
    net_open(&w.n);
    w.c = net_handshake(&w.n);
    NEED(w.c && w.c->ready);
    net_send_text(w.c, "one", 0);
    net_run(&w.n, 100 * MS);
    NEED(w.n.server);
    unsigned moves = w.n.server->moves;
    net_rebind(w.c);
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 500 * MS);
    CHECK(net_got(w.c, "onetwo"));
    CHECK_INT(w.n.server->moves, moves + 1);
    net_session(w.c)->path->local = w.all[SAME_LINK].local; /* a client that does not care */
    net_rebind(w.c);
    net_send_text(w.c, "three", 0);
    net_run(&w.n, 2 * S);
    CHECK(server_sees(&w, "192.0.2.2"));
    CHECK(net_got(w.c, "onetwo"));
    net_finish(&w.n);
}

/* Anybody who has seen a connection ID can send such packets. */
TEST(a_stranger_at_another_address_changes_nothing)
{
    struct ways w;
    union tapsi_addr server, stranger;
    uint8_t packet[100] = {0x40};
    NEED(ways_open(&w));
    server = net_session(w.c)->remote;
    const struct quic_cid *cid = net_session(w.n.server)->cids;
    NEED(cid);
    memcpy(packet + 1, cid->bytes, QUIC_CID);
    stranger = w.all[OTHER_LINK].local;
    tapsi_addr_set_port(&stranger, 1234);
    for (int i = 0; i < 100; i++) {
        tapsi_sim_udp_forge(w.n.hosts[0], &stranger, &server, packet, sizeof(packet));
        net_run(&w.n, MS);
    }
    CHECK_INT(w.n.server->moves, 0);
    net_rebind(w.c); /* nor does it keep the server from following its client */
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 100 * MS);
    CHECK(net_got(w.c, "onetwo"));
    CHECK_INT(w.n.server->moves, 1);
    net_finish(&w.n);
}

/* Then the engine writes nothing until it sees the client on another path, which that has no reason to take.
   proves IMPL-21 */
TEST(an_address_that_was_tried_with_large_packets_while_all_got_lost_is_not_given_up)
{
    struct ways w;
    NEED(ways_open(&w));
    net_run(&w.n, S);
    net_rebind(w.c);
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 2 * DELAY + DELAY / 2); /* small ones have gone there and back */
    tapsi_sim_link_loss(w.n.link, 1);
    net_run(&w.n, 20 * S);
    CHECK(QUIC_NGTCP2_1 || net_session(w.n.server)->stuck);
    tapsi_sim_link_loss(w.n.link, 0);
    net_send_text(w.c, "three", 0);
    net_run(&w.n, 40 * S);
    CHECK(net_got(w.c, "onetwothree"));
    CHECK(!net_session(w.n.server)->stuck);
    CHECK(QUIC_NGTCP2_1 || w.n.server->moves == 1);
    CHECK_INT(w.n.server->closed + w.c->closed, 0);
    net_finish(&w.n);
}

/* Their longest is another there. proves API-043 */
TEST(datagrams_move_and_hear_of_it)
{
    struct ways w;
    struct net *n = &w.n;
    union tapsi_got got;
    ways_begin(&w);
    n->proto[0] = n->proto[1] = &tapsi_proto_quic_datagram;
    tapsi_sim_link_mtu(w.link, 1280, true);
    net_open(n);
    w.c = net_handshake(n);
    NEED(w.c && w.c->ready);
    net_send_text(w.c, "one", TAPSI_OP_END);
    net_run(n, S);
    uint32_t longest = w.c->layer->max_message;
    unsigned told = w.c->moves;
    CHECK_INT(give(&w, &w.all[OTHER_LINK], 1), 0);
    net_run(n, MS);
    CHECK_INT(w.c->moves, told + 1);
    CHECK_INT(tapsi_layer_get(w.c->layer, TAPSI_GET_LOCAL, &got), TAPSI_HANDLED);
    CHECK(tapsi_addr_same_host(&got.address, &w.all[OTHER_LINK].local));
    net_run(n, 5 * S);
    CHECK(w.c->layer->max_message < longest);
    net_send_text(w.c, "two", TAPSI_OP_END);
    net_run(n, S);
    CHECK(net_got(w.c, "onetwo"));
    CHECK_INT(w.c->closed, 0);
    net_finish(n);
}

/* Streams of one session move together, and each hears of it once. */
TEST(all_streams_of_a_session_hear_of_it)
{
    struct ways w;
    NEED(ways_open(&w));
    struct end *d = net_clone(&w.n, w.c, TAPS_BIDIRECTIONAL);
    NEED(d);
    net_run(&w.n, MS);
    net_send_text(d, "on d", 0);
    net_run(&w.n, 100 * MS);
    CHECK_INT(tapsi_layer_paths(d->layer, &w.all[SAME_LINK], 1, &w.n.make_error), 0);
    net_run(&w.n, 200 * MS);
    CHECK_INT(w.c->moves, 1);
    CHECK_INT(d->moves, 1);
    net_send_text(w.c, "two", 0);
    net_send_text(d, "+", 0);
    net_run(&w.n, 500 * MS);
    CHECK(net_got(w.c, "onetwo"));
    CHECK(net_got(d, "on d+"));
    net_finish(&w.n);
}

/* As many as it is told: they wait for one another, and the last of them counts. */
TEST(many_moves_in_a_row_end_at_the_last)
{
    struct ways w;
    NEED(ways_open(&w));
    for (int i = 0; i < 200; i++) {
        CHECK_INT(give(&w, &w.all[i % 3], 1), 0);
        net_run(&w.n, 10 * MS);
    }
    CHECK_INT(give(&w, &w.all[OTHER_LINK], 1), 0);
    net_send_text(w.c, "two", 0);
    CHECK(net_run_until_bytes(&w.n, w.c, 6, 30 * S));
    CHECK(is_at(w.c, "198.51.100.2"));
    CHECK(w.c->moves < 20);
    CHECK_INT(w.c->closed, 0);
    net_finish(&w.n);
}

/* It cannot be opened: there is no such address here. */
TEST(a_path_from_an_address_that_is_not_there_is_not_taken)
{
    struct ways w;
    struct tapsi_way none;
    NEED(ways_open(&w));
    none = w.all[FIRST];
    tapsi_addr_parse("203.0.113.9", &none.local);
    CHECK_INT(give(&w, &none, 1), 0);
    net_run(&w.n, S);
    CHECK(w.c->warnings >= 1);
    CHECK(w.c->warning.pub.code != 0);
    CHECK(is_at(w.c, "192.0.2.2"));
    net_send_text(w.c, "two", 0);
    net_run(&w.n, 100 * MS);
    CHECK(net_got(w.c, "onetwo"));
    net_finish(&w.n);
}

TEST(a_session_that_ends_while_it_moves_leaves_nothing)
{
    for (unsigned after = 0; after < 60; after += 4) {
        struct ways w;
        NEED(ways_open(&w));
        CHECK_INT(give(&w, &w.all[OTHER_LINK], 1), 0);
        net_run(&w.n, after * MS);
        net_destroy(w.c, after % 8 ? TAPS_E_CLOSED : 0);
        net_run(&w.n, S);
        net_finish(&w.n);
    }
}

/* Each allocation of a move fails once. */
TEST(without_memory_a_move_fails_and_nothing_leaks)
{
    for (long i = 1; i < 30; i++) {
        struct ways w;
        NEED(ways_open(&w));
        w.n.fail_at = w.n.allocations + i;
        struct tapsi_way two[] = {w.all[OTHER_LINK], w.all[SAME_LINK]};
        give(&w, two, 2);
        net_run(&w.n, 500 * MS);
        w.n.fail_at = 0;
        net_run(&w.n, 5 * S);
        net_finish(&w.n);
    }
}

/* There and back, while the address changes ten times and the port another ten. proves IMPL-21 API-043 */
TEST(a_long_transfer_survives_ten_moves_and_ten_rebindings)
{
    struct ways w;
    NEED(ways_open(&w));
    size_t total = tapsi_test_rounds(8, 8, 200) * (size_t)1024 * 1024, sent = 3;
    unsigned changes = 0;
    tapsi_test_limit(600);
    w.c->keeps = w.n.server->keeps = false;
    struct taps_value second = {.type = TAPS_TYPE_NUMBER, .number = 1}; /* who only receives has to say where it is */
    CHECK_INT(tapsi_layer_set(w.c->layer, TAPS_KEEP_ALIVE_TIMEOUT, &second), TAPSI_HANDLED);
    tapsi_sim_link_rate(w.n.link, total * 8 / 30); /* half a minute, and a change each second and a half */
    tapsi_sim_link_rate(w.link, total * 8 / 30);
    uint64_t limit = tapsi_sim_now(w.n.sim) + 600 * S;
    while (w.c->got_length < total && w.c->layer && tapsi_sim_now(w.n.sim) < limit) {
        size_t more = total - sent < 100000 ? total - sent : 100000;
        if (more && sent - w.c->got_length < 1000000) {
            net_send_many(w.c, sent, more, 0);
            sent += more;
        }
        if (changes < 20 && w.c->got_length > (changes + 1) * (total / 21)) {
            changes++;
            if (changes % 2)
                CHECK_INT(give(&w, &w.all[changes / 2 % 3], 1), 0);
            else
                net_rebind(w.c);
        }
        net_run(&w.n, 5 * MS);
    }
    CHECK_INT(w.c->closed, 0);
    CHECK_INT(w.c->got_length, total);
    CHECK(w.c->wrong <= 3); /* of "one" */
    CHECK_INT(changes, 20);
    CHECK(w.c->moves >= 9);
    CHECK(w.n.server->moves >= 15);
    net_run(&w.n, 5 * S);
    net_finish(&w.n);
}

/* ---------------------------------------------------------------------------------------- the end of a client */

/* A connection whose client has ended it, and the packet that says so is lost. */
static bool end_unheard(struct ways *w)
{
    if (!ways_open(w))
        return false;
    tapsi_sim_fault(w->n.sim, "192.0.2.1", TAPSI_SIM_BLACKHOLE);
    net_destroy(w->c, TAPS_E_CLOSED);
    net_run(&w->n, 20 * MS);
    tapsi_sim_fault(w->n.sim, "192.0.2.1", TAPSI_SIM_FINE);
    return true;
}

/* proves IMPL-36 */
TEST(a_client_that_has_ended_says_so_again)
{
    struct ways w;
    NEED(end_unheard(&w));
    CHECK_INT(w.n.server->closed, 0);
    CHECK_INT(tapsi_sim_host_sockets(w.n.hosts[0]), 1);
    net_send_text(w.n.server, "are you there?", 0);
    net_run(&w.n, 50 * MS);
    CHECK_INT(w.n.server->closed, 1);
    CHECK_INT(w.n.server->error.pub.code, TAPS_E_ABORTED);
    net_finish(&w.n);
}

TEST(and_not_for_longer_than_three_timeouts)
{
    struct ways w;
    NEED(end_unheard(&w));
    net_run(&w.n, S);
    CHECK_INT(tapsi_sim_host_sockets(w.n.hosts[0]), 0);
    net_finish(&w.n);
}

TEST(what_is_left_of_clients_is_bounded)
{
    struct net n;
    net_begin(&n);
    net_open(&n);
    for (int i = 0; i < 50; i++) {
        struct end *c = net_handshake(&n);
        NEED(c && c->ready);
        net_destroy(c, 0);
    }
    net_run(&n, MS);
    CHECK(tapsi_sim_host_sockets(n.hosts[0]) <= TAPSI_LEFTOVERS);
    net_finish(&n); /* which does not wait for the others */
}

/* ----------------------------------------------------------------------------------------------- soft errors */

TEST(what_the_network_says_is_told_to_who_asks_for_it_and_ends_nothing)
{
    for (int asks = 0; asks < 2; asks++) {
        struct ways w;
        struct taps_value value = {.type = TAPS_TYPE_PREFERENCE, .preference = TAPS_REQUIRE};
        ways_begin(&w);
        if (asks)
            CHECK_INT(tapsi_properties_set(w.n.properties[0], TAPS_SOFT_ERROR_NOTIFY, value), 0);
        net_open(&w.n);
        w.c = net_handshake(&w.n);
        NEED(w.c && w.c->ready);
        net_run(&w.n, 100 * MS);
        tapsi_sim_link_fault(w.n.link, TAPSI_SIM_UNREACHABLE);
        net_send_text(w.c, "one", 0);
        net_run(&w.n, S);
        tapsi_sim_link_fault(w.n.link, TAPSI_SIM_FINE);
        CHECK(net_run_until_bytes(&w.n, w.c, 3, 10 * S));
        CHECK_INT(w.c->closed, 0);
        CHECK(asks ? w.c->warnings > 0 : w.c->warnings == 0);
        CHECK_INT(w.c->warning.pub.code, asks ? TAPS_E_UNREACHABLE : 0);
        net_finish(&w.n);
    }
}

/* ------------------------------------------------------------------------------------------ preferred address */

static bool preferred_is_dead, server_is_fixed;

/* A Listener at two addresses; what the client and the server say of it. */
static void prefer_begin(struct ways *w, enum taps_multipath client, bool server)
{
    struct taps_value multipath = {.type = TAPS_TYPE_ENUMERATION, .enumeration = client};
    struct taps_value advertises = {.type = TAPS_TYPE_BOOLEAN, .boolean = server};
    union tapsi_addr local;
    struct tapsi_target target = {.local = &local};
    w->other = NULL;
    ways_begin(w);
    tapsi_sim_address_add(w->n.interfaces[1], "192.0.2.9/24", false, false);
    CHECK_INT(tapsi_properties_set(w->n.properties[0], TAPS_MULTIPATH, multipath), 0);
    CHECK_INT(tapsi_properties_set(w->n.properties[1], TAPS_ADVERTISES_ALTADDR, advertises), 0);
    multipath.enumeration = TAPS_MULTIPATH_DISABLED;
    if (server_is_fixed)
        CHECK_INT(tapsi_properties_set(w->n.properties[1], TAPS_MULTIPATH, multipath), 0);
    net_open(&w->n);
    tapsi_addr_parse("192.0.2.9", &local);
    tapsi_addr_set_port(&local, PORT);
    CHECK_INT(tapsi_proto_quic.listen(w->n.envs[1], &target, &w->n.listener_sink, &w->other, &w->n.make_error), 0);
    tapsi_layer_want(w->other, 1000);
}

static struct end *prefer(struct ways *w, enum taps_multipath client, bool server)
{
    prefer_begin(w, client, server);
    if (preferred_is_dead)
        tapsi_sim_fault(w->n.sim, "192.0.2.9", TAPSI_SIM_BLACKHOLE);
    w->c = net_handshake(&w->n);
    if (w->c && w->c->ready) {
        net_send_text(w->c, "one", 0);
        net_run(&w->n, 500 * MS);
        net_send_text(w->c, "two", 0);
        net_run(&w->n, 2 * S);
        CHECK(net_got(w->c, "onetwo"));
    }
    return w->c;
}

static void prefer_finish(struct ways *w)
{
    tapsi_layer_destroy(w->other, 0);
    net_finish(&w->n);
}

static bool meets(const struct end *e, const char *address)
{
    union tapsi_addr a;
    tapsi_addr_parse(address, &a);
    return tapsi_addr_same_host(&a, &net_session(e)->remote);
}

TEST(a_client_goes_to_the_address_that_its_server_prefers)
{
    struct ways w;
    struct end *c = prefer(&w, TAPS_MULTIPATH_ACTIVE, true);
    NEED(c && c->ready && w.n.server && w.n.server->layer);
    CHECK(meets(c, "192.0.2.9"));
    CHECK_INT(c->moves, 1);
    union tapsi_addr local = net_session(w.n.server)->local;
    CHECK_INT(tapsi_addr_port(&local), PORT);
    CHECK_INT(local.in.sin_addr.s_addr, net_session(c)->remote.in.sin_addr.s_addr);
    prefer_finish(&w);
}

TEST(and_not_where_multipath_is_disabled)
{
    struct ways w;
    struct end *c = prefer(&w, TAPS_MULTIPATH_DISABLED, true);
    NEED(c && c->ready);
    CHECK(meets(c, "192.0.2.1"));
    CHECK_INT(c->moves, 0);
    prefer_finish(&w);
}

TEST(a_server_that_advertises_none_keeps_its_clients_where_they_are)
{
    struct ways w;
    struct end *c = prefer(&w, TAPS_MULTIPATH_ACTIVE, false);
    NEED(c && c->ready);
    CHECK(meets(c, "192.0.2.1"));
    CHECK_INT(c->moves, 0);
    prefer_finish(&w);
}

/* proves IMPL-21 */
TEST(a_preferred_address_that_does_not_answer_is_not_taken)
{
    struct ways w;
    preferred_is_dead = true;
    struct end *c = prefer(&w, TAPS_MULTIPATH_ACTIVE, true);
    preferred_is_dead = false;
    NEED(c && c->ready);
    CHECK(meets(c, "192.0.2.1"));
    CHECK_INT(c->moves, 0);
    CHECK_INT(c->warnings, 1);
    net_run(&w.n, 20 * S);
    CHECK_INT(tapsi_sim_host_sockets(w.n.hosts[0]), 1);
    CHECK_INT(c->closed, 0);
    prefer_finish(&w);
}

/* RFC 9000, 21.5.6: a server could have its clients send to their own hosts and networks. */
TEST(a_preferred_address_that_is_nearer_than_the_server_is_refused)
{
    static const char *const addresses[] = {"127.0.0.1",  "127.8.0.1",   "169.254.1.1", "10.0.0.1",
                                            "172.16.3.4", "192.168.1.1", "224.0.0.5",   "255.255.255.255",
                                            "100.64.0.1", "0.0.0.0",     "0.1.2.3",     "240.0.0.1"};
    struct ways w;
    struct end *c = prefer(&w, TAPS_MULTIPATH_ACTIVE, false);
    NEED(c && c->ready);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        union tapsi_addr remote;
        tapsi_addr_parse(addresses[i], &remote);
        tapsi_addr_set_port(&remote, PORT);
        CHECK(!tapsi_quic_try(net_session(c), &remote));
    }
    CHECK_INT(tapsi_sim_host_sockets(w.n.hosts[0]), 1);
    prefer_finish(&w);
}

/* Both Listeners are stopped; the Connection goes on at the second address. */
TEST(a_session_at_the_preferred_address_outlives_its_listeners)
{
    struct ways w;
    struct end *c = prefer(&w, TAPS_MULTIPATH_ACTIVE, true);
    NEED(c && c->ready && meets(c, "192.0.2.9"));
    tapsi_layer_destroy(w.other, 0);
    w.other = NULL;
    net_send_text(c, "three", 0);
    CHECK(net_run_until_bytes(&w.n, c, 11, 2 * S));
    tapsi_layer_destroy(w.n.listener, 0);
    w.n.listener = NULL;
    net_send_text(c, "four", 0);
    CHECK(net_run_until_bytes(&w.n, c, 15, 2 * S));
    CHECK_INT(c->closed, 0);
    prefer_finish(&w);
}

/* Its CONNECTION_CLOSE is lost: who goes on sending is told again, from where he sends to. */
TEST(a_session_at_the_preferred_address_that_is_over_says_so_there)
{
    struct ways w;
    struct end *c = prefer(&w, TAPS_MULTIPATH_ACTIVE, true);
    NEED(c && c->ready && meets(c, "192.0.2.9") && w.n.server && w.n.server->layer);
    struct quic_session *s = net_session(w.n.server);
    ngtcp2_ccerr why;
    ngtcp2_ccerr_default(&why);
    tapsi_sim_link_fault(w.n.link, TAPSI_SIM_BLACKHOLE);
    tapsi_quic_end(s, &why);
    net_run(&w.n, 20 * MS);
    tapsi_sim_link_fault(w.n.link, TAPSI_SIM_FINE);
    net_send_text(c, "three", 0);
    CHECK(net_run_until(&w.n, &c->closed, 1, S));
    prefer_finish(&w);
}

/* RFC 9000, 18.2: who forbids to move does not forbid that. */
TEST(a_server_that_forbids_to_move_is_met_where_it_prefers)
{
    struct ways w;
    server_is_fixed = true;
    struct end *c = prefer(&w, TAPS_MULTIPATH_ACTIVE, true);
    server_is_fixed = false;
    NEED(c && c->ready);
    CHECK(meets(c, "192.0.2.9"));
    CHECK_INT(c->warnings, 0);
    prefer_finish(&w);
}

/* Whatever allocation fails, at either end: it stays or moves, and nothing leaks. */
TEST(without_memory_for_a_preferred_address_nothing_leaks)
{
    long count = 0;
    for (long at = 0; at <= 2 * count; at += tapsi_test_rounds(1, 5, 1)) {
        struct ways w;
        prefer_begin(&w, TAPS_MULTIPATH_ACTIVE, true);
        long before = w.n.allocations;
        w.n.fails_on = at > count;
        w.n.fail_at = at ? before + (at > count ? at - count : at) : 0;
        w.c = net_connect(&w.n);
        net_run(&w.n, 600 * MS);
        count = at ? count : w.n.allocations - before;
        prefer_finish(&w);
    }
    CHECK(count > 100);
}
