/* What can be watched: protocols in use, Connections per protocol, and the statistics the protocols have. */
#include <string.h>
#include "peer.h"

#define V4 "192.0.2.1:80"

static void datagrams(struct world *w)
{
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
}

static uint64_t statistic(struct world *w, enum taps_statistic which)
{
    uint64_t values[TAPS_STATISTIC_COUNT];
    CHECK(taps_connection_statistics(w->connection, values, TAPS_STATISTIC_COUNT) >= 0);
    return values[which];
}

static struct taps_stack_use use_of(struct world *w, const char *stack)
{
    struct taps_stack_use use;
    for (size_t i = 0; taps_context_stack_use(w->context, i, &use) == 0; i++) {
        if (strcmp(use.stack, stack) == 0)
            return use;
    }
    tapsi_test_fail(__FILE__, __LINE__, "no stack %s", stack);
    return (struct taps_stack_use){.stack = ""};
}

static void send_and_receive(struct world *w, unsigned messages)
{
    w->keep_reading = true;
    taps_connection_receive(w->connection, 1, 65536, NULL);
    for (unsigned i = 0; i < messages; i++)
        CHECK_INT(taps_connection_send(w->connection, "0123456789", 10, NULL, 0, NULL), 0);
    world_run_ms(w, 200);
    CHECK_INT(w->heard.length, 10 * messages);
}

/* proves ARCH-14: a datagram protocol counts datagrams and bytes in both directions, and has no round-trip time. */
TEST(datagrams_are_counted_in_both_directions)
{
    struct world w;
    world_new(&w);
    datagrams(&w);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(statistic(&w, TAPS_MESSAGES_SENT), 0);
    send_and_receive(&w, 3);
    CHECK_INT(statistic(&w, TAPS_MESSAGES_SENT), 3);
    CHECK_INT(statistic(&w, TAPS_BYTES_SENT), 30);
    CHECK_INT(statistic(&w, TAPS_MESSAGES_RECEIVED), 3);
    CHECK_INT(statistic(&w, TAPS_BYTES_RECEIVED), 30);
    CHECK_INT(statistic(&w, TAPS_PATH_MTU), 1500);
    CHECK(statistic(&w, TAPS_ROUND_TRIP_US) == TAPS_UNKNOWN);
    CHECK(statistic(&w, TAPS_CONGESTION_WINDOW) == TAPS_UNKNOWN);
    world_finish(&w);
}

/* What was refused, or was not sent, does not count. */
TEST(datagrams_that_were_not_sent_are_not_counted)
{
    static char large[70000];
    struct world w;
    world_new(&w);
    datagrams(&w);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    taps_connection_send(w.connection, large, sizeof(large), NULL, 0, NULL);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.send_error, 1);
    CHECK_INT(statistic(&w, TAPS_MESSAGES_SENT), 0);
    CHECK_INT(statistic(&w, TAPS_BYTES_SENT), 0);
    world_finish(&w);
}

/* proves ARCH-14: TCP has a round-trip time, a path MTU and retransmissions, and knows of no Messages. */
TEST(tcp_tells_round_trips_and_retransmissions)
{
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    send_and_receive(&w, 3);
    CHECK_INT(statistic(&w, TAPS_ROUND_TRIP_US), 10000);
    CHECK_INT(statistic(&w, TAPS_PATH_MTU), 1500);
    CHECK_INT(statistic(&w, TAPS_SEGMENT_SIZE), 1460);
    CHECK_INT(statistic(&w, TAPS_RETRANSMISSIONS), 0);
    CHECK_INT(statistic(&w, TAPS_BYTES_UNACKNOWLEDGED), 0);
    CHECK_INT(statistic(&w, TAPS_BYTES_SENT), 30);
    CHECK_INT(statistic(&w, TAPS_BYTES_RECEIVED), 30);
    CHECK(statistic(&w, TAPS_MESSAGES_SENT) == TAPS_UNKNOWN);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    taps_connection_send(w.connection, "lost", 4, NULL, 0, NULL);
    world_run_ms(&w, 3000);
    CHECK_INT(statistic(&w, TAPS_BYTES_UNACKNOWLEDGED), 4);
    CHECK(statistic(&w, TAPS_RETRANSMISSIONS) > 0);
    world_finish(&w);
}

/* Nothing is known before there is a stack, and nothing after it. */
TEST(there_are_no_statistics_without_a_stack)
{
    uint64_t values[TAPS_STATISTIC_COUNT + 4];
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0);
    CHECK_INT(taps_connection_statistics(w.connection, values, TAPS_STATISTIC_COUNT), 0);
    CHECK(values[TAPS_PATH_MTU] == TAPS_UNKNOWN);
    world_run_until_ready(&w);
    CHECK(taps_connection_statistics(w.connection, values, TAPS_STATISTIC_COUNT + 4) > 0);
    CHECK(values[TAPS_STATISTIC_COUNT] == TAPS_UNKNOWN && values[TAPS_STATISTIC_COUNT + 3] == TAPS_UNKNOWN);
    values[1] = 7;
    CHECK_INT(taps_connection_statistics(w.connection, values, 1), values[0] != TAPS_UNKNOWN);
    CHECK_INT(values[1], 7);
    CHECK_INT(taps_connection_statistics(w.connection, values, 0), 0);
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    CHECK_INT(taps_connection_statistics(w.connection, values, TAPS_STATISTIC_COUNT), 0);
    CHECK_INT(taps_connection_statistics(NULL, values, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_statistics(w.connection, NULL, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_statistics(w.connection, values, SIZE_MAX), TAPS_E_ARGUMENT);
    world_finish(&w);
}

TEST(every_statistic_has_a_name)
{
    for (int i = 0; i < TAPS_STATISTIC_COUNT; i++)
        CHECK(taps_statistic_name((enum taps_statistic)i) != NULL);
    CHECK_TEXT(taps_statistic_name(TAPS_ROUND_TRIP_US), "roundTripUs");
    CHECK(taps_statistic_name(TAPS_STATISTIC_COUNT) == NULL);
    CHECK(taps_statistic_name((enum taps_statistic) - 1) == NULL);
}

/* proves ARCH-14: which protocols are in use, and how many Connections are open over each. */
TEST(connections_are_counted_by_their_protocol)
{
    taps_connection *datagram = NULL;
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0);
    CHECK_INT(taps_context_connection_count(w.context, NULL), 1);
    CHECK_INT(taps_context_connection_count(w.context, "tcp"), 0); /* it has no protocol yet */
    world_run_until_ready(&w);
    datagrams(&w);
    taps_preconnection_set_transport_properties(w.preconnection, w.properties);
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, NULL, NULL, &datagram), 0);
    world_run_ms(&w, 50);
    CHECK_INT(taps_context_connection_count(w.context, NULL), 2);
    CHECK_INT(taps_context_connection_count(w.context, "TCP"), 1);
    CHECK_INT(taps_context_connection_count(w.context, "udp"), 1);
    CHECK_INT(taps_context_connection_count(w.context, "tls"), 0);
    CHECK_INT(taps_context_connection_count(w.context, "sctp"), 0);
    CHECK_INT(use_of(&w, "tcp").established, 1);
    CHECK_INT(use_of(&w, "udp").established, 1);
    CHECK_INT(use_of(&w, "tls/tcp").established, 0);
    CHECK(taps_context_next_connection(w.context, NULL) == w.connection);
    CHECK(taps_context_next_connection(w.context, w.connection) == datagram);
    CHECK(taps_context_next_connection(w.context, datagram) == NULL);
    taps_connection_close(w.connection);
    CHECK_INT(use_of(&w, "tcp").closing, 1);
    CHECK_INT(use_of(&w, "tcp").established, 0);
    world_run_until_end(&w);
    CHECK_INT(taps_context_connection_count(w.context, "tcp"), 0);
    CHECK_INT(taps_context_connection_count(w.context, NULL), 1);
    taps_connection_free(datagram);
    CHECK_INT(taps_context_connection_count(w.context, NULL), 0);
    CHECK(taps_context_next_connection(w.context, NULL) == w.connection); /* closed, and not freed */
    world_finish(&w);
}

TEST(listeners_and_what_waits_at_them_is_counted)
{
    struct world w;
    struct peer peer;
    struct taps_stack_use use;
    world_new(&w);
    peer_new(&w, w.server, &peer);
    peer_listen(&w, &peer, V4);
    CHECK_INT(taps_listener_set_new_connection_limit(peer.listeners[0], TAPS_INFINITE), 0);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    world_run_ms(&w, 50);
    CHECK_INT(taps_context_connection_count(peer.context, "tcp"), 1);
    CHECK_INT(taps_context_stack_use(peer.context, 0, &use), 0);
    for (size_t i = 0; taps_context_stack_use(peer.context, i, &use) == 0; i++) {
        CHECK_INT(use.listening, strcmp(use.stack, "tcp") == 0);
        CHECK_INT(use.waiting, 0);
    }
    peer_done(&peer);
    world_finish(&w);
}

TEST(absurd_questions_are_refused)
{
    struct taps_stack_use use;
    struct world w, other;
    world_new(&w);
    world_new(&other);
    world_start(&other);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0);
    CHECK_INT(taps_context_stack_use(NULL, 0, &use), TAPS_E_ARGUMENT);
    CHECK_INT(taps_context_stack_use(w.context, 0, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_context_stack_use(w.context, SIZE_MAX, &use), TAPS_E_RANGE);
    CHECK_INT(taps_context_connection_count(NULL, NULL), 0);
    CHECK_INT(taps_context_connection_count(w.context, ""), 0);
    CHECK(taps_context_next_connection(NULL, NULL) == NULL);
    CHECK(taps_context_next_connection(other.context, w.connection) == NULL);
    world_finish(&other);
    world_finish(&w);
}
