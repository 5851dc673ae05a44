/* Whose Messages of a Connection Group go first: each scheduler over real flows, and what does not hold others up. */
#include "parts.h"
#include "peer.h"

#include <stdio.h>

#define RATE 20000000 /* bits per second of the link */

/* ------------------------------------------------------------------------------------------------------- a sink */

/* A server that counts what comes on each Connection, and reads only those it is told to. They come in the order in
   which they were begun, which is that of the parts. */
struct stream {
    struct sink *sink;
    taps_connection *connection;
    uint64_t bytes;
    uint64_t every_ms; /* a slow reader: so often; 0 = at once */
    bool deaf;         /* it is not read at all */
};

struct sink {
    taps_context *context;
    taps_listener *listener;
    struct stream streams[PARTS];
    unsigned count;
};

static void read_on(void *arg)
{
    struct stream *s = arg;
    taps_connection_receive(s->connection, 1, 16384, NULL);
}

static void on_part(taps_connection *c, const struct taps_received *m, void *user)
{
    struct stream *s = user;
    s->bytes += m->length;
    if (m->final)
        taps_connection_close(c);
    else if (s->every_ms)
        taps_context_after(s->sink->context, s->every_ms, read_on, s, NULL);
    else
        read_on(s);
}

static const struct taps_connection_events stream_events = {.received = on_part, .received_partial = on_part};

static void on_stream(taps_listener *l, taps_connection *c, void *user)
{
    struct sink *sink = user;
    (void)l;
    if (sink->count == PARTS) {
        taps_connection_free(c);
        return;
    }
    struct stream *s = &sink->streams[sink->count++];
    s->sink = sink;
    s->connection = c;
    taps_connection_set_events(c, &stream_events, s);
    if (!s->deaf)
        read_on(s);
}

static const struct taps_listener_events sink_events = {.connection_received = on_stream};

static void sink_new(struct parts *g, struct sink *sink, const taps_security_parameters *security, const char *local)
{
    taps_preconnection *p;
    memset(sink, 0, sizeof(*sink));
    sink->context = world_context(g->w.sim, g->w.server, NULL);
    taps_preconnection_new(sink->context, &p);
    taps_preconnection_add_local_text(p, local);
    taps_preconnection_set_security_parameters(p, security);
    taps_preconnection_set_transport_properties(p, g->w.properties);
    CHECK_INT(taps_preconnection_listen(p, &sink_events, sink, &sink->listener), 0);
    taps_preconnection_free(p);
}

/* The first part and clones, over a link with a rate, and a sink. */
static void group_new(struct parts *g, struct sink *sink, unsigned clones)
{
    parts_new(g);
    sink_new(g, sink, g->w.security, "192.0.2.1:80");
    world_start(&g->w);
    parts_run(g, 1);
    parts_grow(g, clones);
    tapsi_sim_link_rate(g->w.link, RATE);
}

static void group_finish(struct parts *g, struct sink *sink)
{
    parts_finish(g);
    CHECK_INT(taps_context_free(sink->context), 0);
}

/* Each keeps eight Messages of `load` bytes waiting. What came of each part in `ms`, after `warm_ms`: returns all. */
static uint64_t measure(struct parts *g, const struct sink *sink, uint64_t warm_ms, uint64_t ms, uint64_t *ret)
{
    uint64_t before[PARTS], total = 0;
    for (unsigned i = 0; i < g->count; i++) {
        for (unsigned n = 0; n < 8 && g->part[i].load && !g->part[i].sent; n++)
            parts_send(&g->part[i], g->part[i].load);
    }
    parts_run(g, warm_ms);
    for (unsigned i = 0; i < g->count; i++)
        before[i] = sink->streams[i].bytes;
    parts_run(g, ms);
    for (unsigned i = 0; i < g->count; i++) {
        ret[i] = sink->streams[i].bytes - before[i];
        total += ret[i];
    }
    return total;
}

static bool within(uint64_t value, double ideal, double part)
{
    bool good = (double)value >= ideal * (1 - part) && (double)value <= ideal * (1 + part);
    if (!good)
        tapsi_test_fail(__FILE__, __LINE__, "%llu is not %.0f", (unsigned long long)value, ideal);
    return good;
}

/* All of the link but what headers take. */
static bool fills_link(uint64_t bytes, uint64_t ms)
{
    return within(bytes, (double)RATE / 8 * (double)ms / 1000 * 0.96, 0.04);
}

static void set_weights(struct parts *g)
{
    for (unsigned i = 0; i < g->count; i++) {
        char text[20];
        snprintf(text, sizeof(text), "%u", 840 / (i + 1));
        parts_set(&g->part[i], "connPriority", text);
    }
}

/* ------------------------------------------------------------------------------------------------- the schedulers */

/* proves API-081 and API-084: eight at full load, weights 1 .. 8, within 10 % of the ideal; here within 5, whatever the
 * lengths */
TEST(eight_at_full_load_share_by_their_priorities)
{
    static const size_t loads[] = {1000, 10000, 60000, 250000};
    for (unsigned n = 0; n < sizeof(loads) / sizeof(loads[0]); n++) {
        struct parts g;
        struct sink sink;
        uint64_t bytes[PARTS];
        group_new(&g, &sink, 7);
        set_weights(&g);
        for (unsigned i = 0; i < 8; i++)
            g.part[i].load = loads[n];
        uint64_t total = measure(&g, &sink, 5000, 40000, bytes);
        for (unsigned i = 0; i < 8; i++)
            within(bytes[i], (double)total * (i + 1) / 36, 0.05);
        fills_link(total, 40000);
        group_finish(&g, &sink);
    }
}

/* proves API-081: Messages of many lengths at once */
TEST(shares_are_of_bytes_and_not_of_messages)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 2);
    parts_set(&g.part[2], "connPriority", "50");
    g.part[0].load = 4000;
    g.part[1].load = 50000;
    g.part[2].load = 20000;
    uint64_t total = measure(&g, &sink, 5000, 40000, bytes);
    within(bytes[0], (double)total / 4, 0.05);
    within(bytes[1], (double)total / 4, 0.05);
    within(bytes[2], (double)total / 2, 0.05);
    group_finish(&g, &sink);
}

/* proves API-084 */
TEST(fair_capacity_gives_all_the_same)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 3);
    parts_set(&g.part[3], "connScheduler", "fair capacity");
    set_weights(&g);
    for (unsigned i = 0; i < 4; i++)
        g.part[i].load = 3000 * (i + 1);
    uint64_t total = measure(&g, &sink, 5000, 40000, bytes);
    for (unsigned i = 0; i < 4; i++)
        within(bytes[i], (double)total / 4, 0.05);
    group_finish(&g, &sink);
}

/* proves API-084 */
TEST(round_robin_gives_all_as_many_messages)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 2);
    parts_set(&g.part[0], "connScheduler", "round-robin");
    for (unsigned i = 0; i < 3; i++)
        g.part[i].load = 10000 * (i + 1);
    uint64_t total = measure(&g, &sink, 5000, 40000, bytes);
    for (unsigned i = 0; i < 3; i++)
        within(bytes[i], (double)total * (i + 1) / 6, 0.05);
    group_finish(&g, &sink);
}

/* proves API-084: three Messages of 500 bytes fill a packet, and one of 1400 does */
TEST(round_robin_per_packet_gives_all_as_many_packets)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 1);
    parts_set(&g.part[0], "connScheduler", "round-robin per packet");
    g.part[0].load = 500;
    g.part[1].load = 1400;
    for (unsigned n = 0; n < 200; n++) {
        parts_send(&g.part[0], 500);
        parts_send(&g.part[1], 1400);
    }
    uint64_t total = measure(&g, &sink, 5000, 40000, bytes);
    within(bytes[0], (double)total * 1500 / 2900, 0.05);
    group_finish(&g, &sink);
}

/* proves API-081 and API-084: what has a higher number gets nothing as long as there is something with a lower */
TEST(priority_starves_the_classes_below)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 3);
    parts_set(&g.part[0], "connScheduler", "priority");
    parts_set(&g.part[1], "connPriority", "10");
    parts_set(&g.part[2], "connPriority", "10");
    parts_set(&g.part[3], "connPriority", "11");
    for (unsigned i = 0; i < 4; i++)
        g.part[i].load = 20000;
    uint64_t total = measure(&g, &sink, 5000, 20000, bytes);
    CHECK_INT(bytes[0], 0);
    CHECK_INT(bytes[3], 0);
    within(bytes[1], (double)total / 2, 0.05);
    fills_link(total, 20000);
    g.part[1].load = g.part[2].load = 0;
    total = measure(&g, &sink, 1000, 20000, bytes);
    CHECK_INT(bytes[0], 0);
    fills_link(bytes[3], 20000);
    parts_set(&g.part[0], "connPriority", "5");
    measure(&g, &sink, 1000, 20000, bytes);
    CHECK_INT(bytes[3], 0);
    fills_link(bytes[0], 20000);
    group_finish(&g, &sink);
}

/* proves API-081 and API-084 */
TEST(priority_0_goes_before_all_weights)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 2);
    parts_set(&g.part[1], "connPriority", "0");
    for (unsigned i = 0; i < 3; i++)
        g.part[i].load = 20000;
    measure(&g, &sink, 5000, 20000, bytes);
    CHECK_INT(bytes[0] + bytes[2], 0);
    fills_link(bytes[1], 20000);
    group_finish(&g, &sink);
}

/* How many of a's ten had gone when the one of b went, which was sent behind them. */
static unsigned before_b(const char *scheduler)
{
    struct parts g;
    struct sink sink;
    group_new(&g, &sink, 1);
    parts_set(&g.part[0], "connScheduler", scheduler);
    for (unsigned n = 0; n < 10; n++)
        CHECK_INT(parts_send(&g.part[0], 50000), 0);
    CHECK_INT(parts_send(&g.part[1], 1000), 0);
    parts_run(&g, 10000);
    const char *b = strchr(g.order, 'b');
    unsigned before = b ? (unsigned)(b - g.order) : 99;
    CHECK_INT(g.sent, 11);
    group_finish(&g, &sink);
    return before;
}

/* proves API-084: RFC 8260, 3.1: in the order in which they were sent */
TEST(first_come_first_served_keeps_the_order_of_sending)
{
    CHECK(before_b("first-come first-served") >= 9);
    CHECK(before_b("weighted fair queueing") <= 3);
    CHECK(before_b("round-robin") <= 3);
}

/* proves API-081: RFC 9622, 9.2.6: connPriority goes before msgPriority */
TEST(the_connections_priority_goes_before_that_of_messages)
{
    struct parts g;
    struct sink sink;
    taps_message_context *urgent;
    group_new(&g, &sink, 1);
    parts_set(&g.part[0], "connScheduler", "priority");
    parts_set(&g.part[0], "connPriority", "0");
    parts_set(&g.part[1], "connPriority", "1");
    taps_message_context_new(&urgent);
    taps_message_context_set(urgent, "msgPriority", "0");
    for (unsigned n = 0; n < 5; n++) {
        CHECK_INT(taps_connection_send(g.part[1].connection, "urgent", 6, urgent, 0, NULL), 0);
        CHECK_INT(parts_send(&g.part[0], 1000), 0);
    }
    taps_message_context_free(urgent);
    parts_run(&g, 1000);
    CHECK_TEXT(g.order, "aaaaabbbbb");
    group_finish(&g, &sink);
}

/* -------------------------------------------------------------------------------------------------- what changes */

/* proves API-070 and API-084: the scheduler is shared, and another acts at once */
TEST(another_scheduler_acts_at_once_and_on_all)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 1);
    parts_set(&g.part[0], "connPriority", "10");
    parts_set(&g.part[1], "connPriority", "90");
    for (unsigned i = 0; i < 2; i++)
        g.part[i].load = 20000;
    uint64_t total = measure(&g, &sink, 5000, 20000, bytes);
    within(bytes[0], (double)total * 0.9, 0.03);
    parts_set(&g.part[1], "connScheduler", "fair capacity");
    total = measure(&g, &sink, 2000, 20000, bytes);
    within(bytes[0], (double)total / 2, 0.05);
    parts_set(&g.part[1], "connScheduler", "priority");
    measure(&g, &sink, 2000, 20000, bytes);
    CHECK_INT(bytes[1], 0);
    parts_set(&g.part[1], "connScheduler", "weighted fair queueing");
    total = measure(&g, &sink, 2000, 20000, bytes);
    within(bytes[0], (double)total * 0.9, 0.03);
    group_finish(&g, &sink);
}

/* proves API-081 */
TEST(another_priority_acts_at_once)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 1);
    for (unsigned i = 0; i < 2; i++)
        g.part[i].load = 20000;
    uint64_t total = measure(&g, &sink, 5000, 20000, bytes);
    within(bytes[0], (double)total / 2, 0.03);
    parts_set(&g.part[1], "connPriority", "25");
    total = measure(&g, &sink, 2000, 20000, bytes);
    within(bytes[1], (double)total * 0.8, 0.03);
    group_finish(&g, &sink);
}

TEST(one_that_comes_later_gets_its_share)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    group_new(&g, &sink, 1);
    for (unsigned i = 0; i < 3; i++)
        g.part[i].load = 20000;
    measure(&g, &sink, 5000, 20000, bytes);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    uint64_t total = measure(&g, &sink, 5000, 20000, bytes);
    for (unsigned i = 0; i < 3; i++)
        within(bytes[i], (double)total / 3, 0.05);
    group_finish(&g, &sink);
}

/* RFC 9622, 8.1.2: no effect on a Connection in no group. */
TEST(without_a_group_the_system_is_not_asked_for_anything)
{
    struct parts g;
    struct sink sink;
    group_new(&g, &sink, 0);
    uint64_t calls = tapsi_sim_calls(g.w.sim);
    parts_set(&g.part[0], "connPriority", "1");
    parts_set(&g.part[0], "connScheduler", "priority");
    parts_set(&g.part[0], "groupConnLimit", "9");
    CHECK_INT(tapsi_sim_calls(g.w.sim) - calls, 0);
    group_finish(&g, &sink);
}

/* ------------------------------------------------------------------------------------- what does not hold others up */

/* One whose peer takes nothing more has no share that could be used; the others have all. */
TEST(one_whose_peer_takes_nothing_does_not_hold_up_the_others)
{
    static const char *const schedulers[] = {"first-come first-served", "round-robin",
                                             "round-robin per packet",  "priority",
                                             "fair capacity",           "weighted fair queueing"};
    for (unsigned s = 0; s < 6; s++) {
        struct parts g;
        struct sink sink;
        uint64_t bytes[PARTS];
        parts_new(&g);
        sink_new(&g, &sink, g.w.security, "192.0.2.1:80");
        sink.streams[0].deaf = true;
        world_start(&g.w);
        parts_run(&g, 1);
        parts_grow(&g, 2);
        tapsi_sim_link_rate(g.w.link, RATE);
        parts_set(&g.part[0], "connScheduler", schedulers[s]);
        parts_set(&g.part[0], "connPriority", "0");
        for (unsigned i = 0; i < 3; i++)
            g.part[i].load = 20000;
        uint64_t total = measure(&g, &sink, 5000, 20000, bytes);
        CHECK_INT(bytes[0], 0);
        within(bytes[1], (double)total / 2, 0.05);
        fills_link(total, 20000);
        group_finish(&g, &sink);
    }
}

/* One that is read slowly has what its peer takes, and the others nearly all of the rest. */
TEST(one_that_is_read_slowly_does_not_slow_down_the_others)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    parts_new(&g);
    sink_new(&g, &sink, g.w.security, "192.0.2.1:80");
    sink.streams[0].every_ms = 200; /* 80 kB/s */
    world_start(&g.w);
    parts_run(&g, 1);
    parts_grow(&g, 2);
    tapsi_sim_link_rate(g.w.link, RATE);
    for (unsigned i = 0; i < 3; i++)
        g.part[i].load = 20000;
    uint64_t total = measure(&g, &sink, 5000, 20000, bytes);
    within(bytes[0], 80000 * 20, 0.1);
    within(bytes[1], (double)(total - bytes[0]) / 2, 0.05);
    CHECK(total > (uint64_t)RATE / 8 * 20 * 8 / 10);
    group_finish(&g, &sink);
}

/* It is back with its share when its peer reads again. */
TEST(one_whose_peer_reads_again_has_its_share_again)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    parts_new(&g);
    sink_new(&g, &sink, g.w.security, "192.0.2.1:80");
    sink.streams[0].deaf = true;
    world_start(&g.w);
    parts_run(&g, 1);
    parts_grow(&g, 1);
    tapsi_sim_link_rate(g.w.link, RATE);
    parts_set(&g.part[0], "connPriority", "25");
    for (unsigned i = 0; i < 2; i++)
        g.part[i].load = 20000;
    measure(&g, &sink, 5000, 5000, bytes);
    NEED(sink.count);
    read_on(&sink.streams[0]);
    uint64_t total = measure(&g, &sink, 5000, 20000, bytes);
    within(bytes[0], (double)total * 0.8, 0.05);
    group_finish(&g, &sink);
}

static void end_first(struct parts *g, unsigned how)
{
    if (how == 0)
        parts_free(&g->part[0]);
    else if (how == 1)
        taps_connection_abort(g->part[0].connection);
    else
        taps_connection_close(g->part[0].connection);
}

TEST(one_that_ends_in_its_turn_does_not_hold_up_the_others)
{
    for (unsigned how = 0; how < 3; how++) {
        struct parts g;
        struct sink sink;
        uint64_t bytes[PARTS];
        group_new(&g, &sink, 2);
        parts_set(&g.part[0], "connPriority", "0");
        for (unsigned i = 0; i < 3; i++)
            g.part[i].load = 20000;
        measure(&g, &sink, 1000, 1000, bytes);
        CHECK_INT(bytes[1], 0);
        g.part[0].load = 0;
        end_first(&g, how);
        uint64_t total = measure(&g, &sink, 1000, 10000, bytes);
        CHECK_INT(bytes[0], 0);
        within(bytes[1], (double)total / 2, 0.05);
        fills_link(total, 10000);
        CHECK_INT(parts_ends(&g.part[0]), how > 0);
        group_finish(&g, &sink);
    }
}

TEST(a_batch_does_not_hold_up_the_others)
{
    struct parts g;
    struct sink sink;
    group_new(&g, &sink, 1);
    parts_set(&g.part[0], "connPriority", "0");
    CHECK_INT(taps_connection_start_batch(g.part[0].connection), 0);
    CHECK_INT(parts_send(&g.part[0], 1000), 0);
    CHECK_INT(parts_send(&g.part[1], 1000), 0);
    parts_run(&g, 100);
    CHECK_TEXT(g.order, "b");
    CHECK_INT(taps_connection_end_batch(g.part[0].connection), 0);
    parts_run(&g, 100);
    CHECK_TEXT(g.order, "ba");
    group_finish(&g, &sink);
}

/* ------------------------------------------------------------------------------------------------ while one waits */

/* proves API-070: a lifetime goes on while the group lets others pass */
TEST(what_is_starved_can_expire)
{
    struct parts g;
    struct sink sink;
    taps_message_context *brief;
    group_new(&g, &sink, 1);
    parts_set(&g.part[0], "connPriority", "0");
    g.part[0].load = 20000;
    for (unsigned n = 0; n < 8; n++)
        parts_send(&g.part[0], 20000);
    taps_message_context_new(&brief);
    taps_message_context_set(brief, "msgLifetime", "0.5");
    CHECK_INT(taps_connection_send(g.part[1].connection, "brief", 5, brief, 0, NULL), 0);
    taps_message_context_free(brief);
    parts_run(&g, 3000);
    CHECK_INT(g.part[1].sent, 0);
    CHECK_INT(g.part[1].expired, 1);
    CHECK_INT(sink.count > 1 ? sink.streams[1].bytes : 0, 0);
    group_finish(&g, &sink);
}

/* A Close waits for its turn, however long that takes: it is not the peer who takes nothing. */
TEST(a_close_that_is_starved_is_not_given_up)
{
    struct parts g;
    struct sink sink;
    parts_new(&g);
    taps_transport_properties_set(g.w.properties, "_closeTimeout", "2");
    sink_new(&g, &sink, g.w.security, "192.0.2.1:80");
    world_start(&g.w);
    parts_run(&g, 1);
    parts_grow(&g, 1);
    tapsi_sim_link_rate(g.w.link, RATE);
    parts_set(&g.part[0], "connPriority", "0");
    g.part[0].load = 20000;
    for (unsigned n = 0; n < 8; n++)
        parts_send(&g.part[0], 20000);
    parts_run(&g, 100);
    for (unsigned n = 0; n < 8; n++)
        parts_send(&g.part[1], 20000);
    CHECK_INT(taps_connection_close(g.part[1].connection), 0);
    parts_run(&g, 20000);
    CHECK_INT(parts_ends(&g.part[1]), 0);
    g.part[0].load = 0;
    parts_run(&g, 5000);
    CHECK_INT(g.part[1].closed, 1);
    CHECK_INT(g.part[1].sent, 8);
    CHECK_INT(sink.count > 1 ? sink.streams[1].bytes : 0, 160000);
    group_finish(&g, &sink);
}

/* What the first had queued when its first clone was made goes before what comes later. */
TEST(what_waited_before_there_was_a_group_is_sent_too)
{
    struct parts g;
    struct sink sink;
    group_new(&g, &sink, 0);
    for (unsigned n = 0; n < 20; n++)
        CHECK_INT(parts_send(&g.part[0], 50000), 0);
    parts_run(&g, 20);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_set(&g.part[0], "connScheduler", "first-come first-served");
    CHECK_INT(parts_send(&g.part[1], 10), 0);
    parts_run(&g, 5000);
    CHECK_INT(g.part[0].sent, 20);
    CHECK_INT(g.part[1].sent, 1);
    group_finish(&g, &sink);
}

/* proves API-081: over tls/tcp too */
TEST(shares_hold_over_tls)
{
    struct parts g;
    struct sink sink;
    uint64_t bytes[PARTS];
    taps_security_parameters *security;
    parts_new(&g);
    struct tapsi_test_identity identity = peer_certificate("192.0.2.1", NULL, NULL);
    taps_security_parameters_new(&security);
    taps_security_parameters_add_server_certificate_pem(security, identity.certificate, strlen(identity.certificate),
                                                        identity.key, strlen(identity.key));
    sink_new(&g, &sink, security, "192.0.2.1:80");
    taps_security_parameters_free(security);
    world_secure(&g.w);
    world_start(&g.w);
    parts_run(&g, 1);
    parts_grow(&g, 3);
    tapsi_sim_link_rate(g.w.link, RATE);
    for (unsigned i = 0; i < 4; i++) {
        char text[20];
        snprintf(text, sizeof(text), "%u", 120 / (i + 1));
        parts_set(&g.part[i], "connPriority", text);
        g.part[i].load = 10000;
    }
    uint64_t total = measure(&g, &sink, 2000, 5000, bytes);
    for (unsigned i = 0; i < 4; i++)
        within(bytes[i], (double)total * (i + 1) / 10, 0.08);
    group_finish(&g, &sink);
    tapsi_test_identity_free(&identity);
}
