/* One Connection's life against scripted peers: sending, receiving, ends (RFC 9622, 8 to 11). */
#include <stdio.h>
#include <string.h>
#include "scenario.h"

#define V4 "192.0.2.1:80"

static struct tapsi_sim_service *connect_to(struct world *w, enum tapsi_sim_behaviour behaviour)
{
    world_new(w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w->server, 80, behaviour);
    world_initiate(w, V4, 0);
    return s;
}

static int send_text(struct world *w, const char *text, const taps_message_context *context, intptr_t tag)
{
    w->in_call = true;
    int err = taps_connection_send(w->connection, text, strlen(text), context, 0, (void *)tag);
    w->in_call = false;
    return err;
}

static taps_message_context *message(const char *name, const char *value)
{
    taps_message_context *c;
    taps_message_context_new(&c);
    CHECK_INT(taps_message_context_set(c, name, value), 0);
    return c;
}

static int receive(struct world *w, size_t min, size_t max, intptr_t tag)
{
    w->in_call = true;
    int err = taps_connection_receive(w->connection, min, max, (void *)tag);
    w->in_call = false;
    return err;
}

/* -------------------------------------------------------------------------------------------------- sending */

/* proves API-061, API-111: sent before Ready, delivered after it, in order, one event each. */
TEST(messages_sent_before_ready_are_delivered)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    w.keep_reading = true;
    CHECK_INT(receive(&w, 1, 65536, 0), 0);
    CHECK_INT(send_text(&w, "one ", NULL, 1), 0);
    CHECK_INT(send_text(&w, "two ", NULL, 2), 0);
    CHECK_INT(send_text(&w, "three", NULL, 3), 0);
    world_run_ms(&w, 200);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(w.heard.sent, 3);
    CHECK_INT(w.heard.length, 13);
    CHECK(memcmp(w.heard.data, "one two three", 13) == 0);
    world_finish(&w);
}

/* proves API-111: no stack, so every Send hears of it, before the last event. */
TEST(messages_of_a_failed_establishment_are_send_errors)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE);
    CHECK_INT(send_text(&w, "one", NULL, 1), 0);
    CHECK_INT(send_text(&w, "two", NULL, 2), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.send_error, 2);
    CHECK_INT(w.heard.establishment_error, 1);
    world_finish(&w);
}

/* RFC 9622, 9.2.5: InitiateWithSend has no separate SendError. */
TEST(initiate_with_send_has_one_error_only)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    taps_connection_free(w.connection);
    w.connection = NULL;
    tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE);
    CHECK_INT(taps_preconnection_initiate_with_send(w.preconnection, 0, &world_events, &w, "x", 1, NULL, 0, NULL,
                                                    &w.connection),
              0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.send_error, 0);
    CHECK_INT(w.heard.establishment_error, 1);
    world_finish(&w);
}

/* proves API-060: and its data arrives. */
TEST(initiate_with_send_delivers)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    taps_connection_free(w.connection);
    w.connection = NULL;
    CHECK_INT(taps_preconnection_initiate_with_send(w.preconnection, 0, &world_events, &w, "hello", 5, NULL, 0,
                                                    (void *)7, &w.connection),
              0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 1);
    CHECK(w.heard.last_tag == (void *)7);
    CHECK_INT(tapsi_sim_service_counts(s).received, 5);
    world_finish(&w);
}

/* proves API-091: Final half-closes, a Send after it is a SendError, receiving goes on. */
TEST(final_half_closes)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    taps_message_context *final = message("final", "true");
    struct taps_value value;
    w.keep_reading = true;
    receive(&w, 1, 65536, 0);
    CHECK_INT(send_text(&w, "last", final, 1), 0);
    CHECK_INT(send_text(&w, "too late", NULL, 2), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(w.heard.send_error, 1);
    CHECK_INT(w.heard.send_error_code, TAPS_E_CLOSED);
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_CAN_SEND, &value), 0);
    CHECK(!value.boolean);
    CHECK_INT(w.heard.length, 4);
    CHECK(w.heard.final);
    taps_message_context_free(final);
    world_finish(&w);
}

TEST(expired_message_is_not_sent)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    taps_message_context *mayfly = message("msgLifetime", "0.003");
    CHECK_INT(send_text(&w, "gone before ready", mayfly, 1), 0);
    CHECK_INT(send_text(&w, "stays", NULL, 2), 0);
    world_run_ms(&w, 200);
    CHECK_INT(w.heard.expired, 1);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(tapsi_sim_service_counts(s).received, 5);
    taps_message_context_free(mayfly);
    world_finish(&w);
}

TEST(more_urgent_messages_overtake_those_that_wait)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    taps_message_context *urgent = message("msgPriority", "1");
    w.keep_reading = true;
    receive(&w, 1, 65536, 0);
    send_text(&w, "slow ", NULL, 1);
    send_text(&w, "fast ", urgent, 2);
    world_run_ms(&w, 200);
    CHECK(memcmp(w.heard.data, "fast slow ", 10) == 0);
    taps_message_context_free(urgent);
    world_finish(&w);
}

/* Changing msgReliable without perMsgReliability is an error of that Message alone (RFC 9622, 9.1.3.7). */
TEST(contradicting_message_properties_are_a_send_error)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    taps_message_context *loose = message("msgReliable", "false");
    CHECK_INT(send_text(&w, "x", loose, 1), 0);
    CHECK_INT(send_text(&w, "y", NULL, 2), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.send_error, 1);
    CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(w.heard.sent, 1);
    taps_message_context_free(loose);
    world_finish(&w);
}

/* proves API-093: a datagram larger than sendMsgMaxLen is MessageTooLarge, and the Connection lives on. */
TEST(oversize_datagram_is_message_too_large)
{
    static char big[70000];
    struct world w;
    struct taps_value value;
    world_new(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_SEND_MSG_MAX_LEN, &value), 0);
    CHECK(value.integer > 1200 && value.integer < 65536);
    CHECK_INT(taps_connection_send(w.connection, big, sizeof(big), NULL, 0, NULL), 0);
    CHECK_INT(send_text(&w, "small", NULL, 2), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(w.heard.connection_error, 0);
    world_finish(&w);
}

/* A stack that may duplicate refuses Messages that are not safelyReplayable (RFC 9622, 9.1.3.4). */
TEST(datagram_that_is_not_replayable_is_a_send_error)
{
    struct world w;
    taps_message_context *once = message("safelyReplayable", "false");
    world_new(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    CHECK_INT(send_text(&w, "x", once, 1), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_PROPERTIES);
    taps_message_context_free(once);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------ receiving */

/* proves API-120: each Receive gets exactly one event, with its own tag. */
TEST(each_receive_is_answered_once)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "0123456789", 10);
    CHECK_INT(receive(&w, 1, 4, 11), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.received + w.heard.received_partial, 1);
    CHECK_INT(w.heard.length, 4);
    CHECK(w.heard.last_tag == (void *)11);
    CHECK_INT(receive(&w, 1, 4, 12), 0);
    CHECK_INT(receive(&w, 1, 4, 13), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.length, 10);
    CHECK(w.heard.last_tag == (void *)13);
    CHECK(w.heard.final);
    world_finish(&w);
}

/* proves API-120, API-122: minIncompleteLength waits for that much. */
TEST(receive_waits_for_its_minimum)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(receive(&w, 6, 100, 1), 0);
    send_text(&w, "abc", NULL, 1);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.received_partial, 0);
    send_text(&w, "defg", NULL, 2);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.received_partial, 1);
    CHECK(w.heard.length >= 6);
    CHECK(memcmp(w.heard.data, "abcdef", 6) == 0);
    world_finish(&w);
}

/* proves API-123: one endless Message, complete at the peer's FIN, in order without gaps (API-122). */
TEST(stream_is_one_message_until_fin)
{
    struct world w;
    static char text[60000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, text, sizeof(text));
    w.keep_reading = true;
    receive(&w, SIZE_MAX, SIZE_MAX, 0);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.length, sizeof(text));
    CHECK(memcmp(w.heard.data, text, sizeof(text)) == 0);
    CHECK(w.heard.final);
    CHECK_INT(w.heard.closed, 0); /* FIN is the end of the Message, not of the Connection */
    world_finish(&w);
}

/* proves API-126: Receive after Final is an error; a Receive that waits hears of it. */
TEST(receive_after_final_is_an_error)
{
    struct world w;
    struct taps_value value;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "bye", 3);
    receive(&w, 1, 100, 1);
    receive(&w, 1, 100, 2);
    receive(&w, 1, 100, 3);
    world_run_ms(&w, 200);
    CHECK(w.heard.final);
    CHECK_INT(w.heard.received + w.heard.received_partial + w.heard.receive_error, 3);
    CHECK(w.heard.receive_error >= 1);
    CHECK_INT(w.heard.receive_error_code, TAPS_E_CLOSED);
    CHECK_INT(receive(&w, 1, 100, 4), TAPS_E_CLOSED);
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_CAN_RECEIVE, &value), 0);
    CHECK(!value.boolean);
    world_finish(&w);
}

/* proves API-121: nobody asks, so nothing is told, and the peer's sender is held up. */
TEST(no_receive_means_backpressure)
{
    static char text[70000];
    struct world w;
    world_new(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND);
    for (int i = 0; i < 100; i++)
        tapsi_sim_service_bytes(s, text, sizeof(text));
    world_initiate(&w, V4, 0);
    world_run_ms(&w, 5000);
    uint64_t sent = tapsi_sim_service_counts(s).sent;
    CHECK_INT(w.heard.received_partial, 0);
    world_run_ms(&w, 5000);
    CHECK_INT(tapsi_sim_service_counts(s).sent, sent);
    CHECK(sent < 100 * sizeof(text) || sent == 0);
    world_finish(&w);
}

TEST(unread_reset_is_told_though_nobody_asks)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_RESET);
    tapsi_sim_service_reset_after(s, 1);
    send_text(&w, "x", NULL, 1);
    world_run_until_end(&w);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_ABORTED);
    world_finish(&w);
}

/* ---------------------------------------------------------------------------------------------------- ends */

/* proves API-140, API-145: Close delivers everything, then Closed, and nothing after it. */
TEST(close_delivers_what_was_sent)
{
    struct world w;
    static char text[60000];
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_send(w.connection, text, sizeof(text), NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(tapsi_sim_service_counts(s).received, sizeof(text));
    CHECK_INT(taps_connection_state(w.connection), TAPS_CLOSED);
    CHECK_INT(taps_connection_send(w.connection, "x", 1, NULL, 0, NULL), TAPS_E_CLOSED);
    CHECK_INT(taps_connection_close(w.connection), TAPS_E_STATE);
    world_run_ms(&w, 60000);
    CHECK_INT(tapsi_sim_service_counts(s).reset, 0);
    world_finish(&w);
}

/* proves API-140: also what was sent before Ready. */
TEST(close_before_ready_still_delivers_what_was_sent)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    send_text(&w, "hello", NULL, 1);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(tapsi_sim_service_counts(s).received, 5);
    world_finish(&w);
}

/* proves API-140: a peer that acknowledges nothing ends it with an error, not with a false Closed. */
TEST(close_to_a_dead_peer_is_a_timeout)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_SILENT);
    world_run_until_ready(&w);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    send_text(&w, "lost", NULL, 1);
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 0);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    world_finish(&w);
}

/* proves API-141, IMPL-30: Abort delivers nothing more and says so; the peer sees a reset. */
TEST(abort_is_a_connection_error_and_a_reset)
{
    struct world w;
    static char text[60000];
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_STALL);
    world_run_until_ready(&w);
    for (int i = 0; i < 50; i++)
        taps_connection_send(w.connection, text, sizeof(text), NULL, 0, NULL);
    world_run_ms(&w, 100);
    unsigned sent = w.heard.sent;
    CHECK(sent < 50);
    w.in_call = true;
    CHECK_INT(taps_connection_abort(w.connection), 0);
    w.in_call = false;
    world_run_until_end(&w);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_LOCAL_ABORT);
    CHECK_INT(w.heard.sent + w.heard.send_error, 50);
    world_run_ms(&w, 1000);
    CHECK_INT(tapsi_sim_service_counts(s).reset, 1);
    CHECK_INT(taps_connection_abort(w.connection), TAPS_E_STATE);
    world_finish(&w);
}

/* proves API-141: before Ready it is the establishment that fails. */
TEST(abort_before_ready_is_an_establishment_error)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(taps_connection_abort(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_LOCAL_ABORT);
    world_finish(&w);
}

/* proves API-143: the peer's abort is a ConnectionError; sends and receives hear of it first (API-145). */
TEST(peers_reset_is_a_connection_error)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    receive(&w, 1, 100, 5);
    world_run_until_ready(&w);
    world_run_ms(&w, 50);
    tapsi_sim_service_end_all(s, true);
    world_run_until_end(&w);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_ABORTED);
    CHECK_INT(taps_err_reason(w.heard.code), TAPS_REASON_CONNECTION_ABORTED);
    CHECK_INT(w.heard.receive_error, 1);
    world_finish(&w);
}

/* proves API-143: both sides said Final, so it is Closed, without a Close of ours. */
TEST(both_directions_over_is_closed)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    taps_message_context *final = message("final", "true");
    w.keep_reading = true;
    receive(&w, 1, 65536, 0);
    send_text(&w, "bye", final, 1);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(w.heard.length, 3);
    taps_message_context_free(final);
    world_finish(&w);
}

/* ----------------------------------------------------------------------------------------------- properties */

/* proves API-021, API-090, API-091, ARCH-07: what the chosen stack has can be asked. */
TEST(properties_read_as_what_the_stack_has)
{
    struct world w;
    char text[64];
    struct taps_value value;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK(taps_connection_get_property(w.connection, "connState", text, sizeof(text)) > 0);
    CHECK_TEXT(text, "establishing");
    world_run_until_ready(&w);
    taps_connection_get_property(w.connection, "CONNSTATE", text, sizeof(text));
    CHECK_TEXT(text, "established");
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_RELIABILITY, &value), 0);
    CHECK(value.type == TAPS_TYPE_BOOLEAN && value.boolean);
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_PRESERVE_MSG_BOUNDARIES, &value), 0);
    CHECK(value.type == TAPS_TYPE_BOOLEAN && !value.boolean);
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_CAN_SEND, &value), 0);
    CHECK(value.boolean);
    taps_transport_properties *all;
    CHECK_INT(taps_connection_get_properties(w.connection, &all), 0);
    CHECK(taps_transport_properties_has(all, TAPS_CONGESTION_CONTROL));
    CHECK(!taps_transport_properties_has(all, TAPS_MULTISTREAMING));
    taps_transport_properties_free(all);
    world_finish(&w);
}

/* proves API-095: a refused SetProperty says why and changes nothing. */
TEST(refused_set_property_leaves_the_connection_alive)
{
    struct world w;
    char text[64];
    connect_to(&w, TAPSI_SIM_ECHO);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_set_property(w.connection, "noSuchThing", "1"), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_connection_set_property(w.connection, "connState", "Closed"), TAPS_E_READ_ONLY);
    CHECK_INT(taps_connection_set_property(w.connection, "reliability", "prohibit"), TAPS_E_READ_ONLY);
    CHECK_INT(taps_connection_set_property(w.connection, "connPriority", "-1"), TAPS_E_RANGE);
    CHECK_INT(taps_connection_set_property(w.connection, "connTimeout", "soon"), TAPS_E_RANGE);
    CHECK_INT(taps_connection_set_property(w.connection, "_attemptDelay", "0.1"), TAPS_E_READ_ONLY);
    CHECK_INT(taps_connection_set_property(w.connection, NULL, "1"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_set_value(w.connection, TAPS_CONN_PRIORITY,
                                        (struct taps_value){.type = TAPS_TYPE_BOOLEAN, .boolean = true}),
              TAPS_E_TYPE);
    CHECK_INT(taps_connection_set_property(w.connection, "connPriority", "7"), 0);
    taps_connection_get_property(w.connection, "connPriority", text, sizeof(text));
    CHECK_TEXT(text, "7");
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.connection_error, 0);
    CHECK_INT(taps_connection_state(w.connection), TAPS_ESTABLISHED);
    world_finish(&w);
}

/* proves API-095: a property of a protocol that the Connection does not use. */
TEST(tcp_property_on_udp_is_not_applicable)
{
    struct world w;
    world_new(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_set_property(w.connection, "tcp.userTimeoutValue", "10"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(w.heard.connection_error, 0);
    world_finish(&w);
}

/* direction (API-045): what it forbids is refused. */
TEST(direction_forbids_sending_or_receiving)
{
    struct world w;
    struct taps_value value;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    taps_transport_properties_set(w.properties, "direction", "unidirectional send");
    world_initiate(&w, V4, 0);
    CHECK_INT(receive(&w, 1, 100, 1), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(send_text(&w, "x", NULL, 1), 0);
    world_run_until_ready(&w);
    taps_connection_get_value(w.connection, TAPS_CAN_RECEIVE, &value);
    CHECK(!value.boolean);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------- calls inside the callbacks */

static void free_in_ready(taps_connection *c, void *user)
{
    struct world *w = user;
    w->heard.ready++;
    taps_connection_free(c);
    w->connection = NULL;
}

/* proves ARCH-01: every call is legal in every callback, freeing included. */
TEST(free_in_ready_is_legal)
{
    static const struct taps_connection_events events = {.ready = free_in_ready};
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_ECHO);
    taps_connection_set_events(w.connection, &events, &w);
    world_run_until_ready(&w);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(tapsi_sim_service_counts(s).open, 0);
    world_finish(&w);
}

static void free_in_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct world *w = user;
    w->heard.length = m->length;
    taps_connection_free(c);
    CHECK_INT(((const char *)m->data)[0], 'h'); /* borrowed until the callback returns, also now */
    w->connection = NULL;
}

TEST(free_in_received_is_legal)
{
    static const struct taps_connection_events events = {.received = free_in_received,
                                                         .received_partial = free_in_received};
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    taps_connection_set_events(w.connection, &events, &w);
    send_text(&w, "hello", NULL, 1);
    receive(&w, 1, 100, 0);
    receive(&w, 1, 100, 0);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.length, 5);
    CHECK(w.connection == NULL);
    world_finish(&w);
}

static void abort_in_sent(taps_connection *c, void *tag, void *user)
{
    struct world *w = user;
    (void)tag;
    w->heard.sent++;
    if (w->heard.sent == 1)
        CHECK_INT(taps_connection_abort(c), 0);
}

static void count_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct world *w = user;
    (void)c;
    w->heard.code = error->code;
    w->heard.connection_error++;
}

TEST(abort_in_sent_is_legal)
{
    static const struct taps_connection_events events = {.sent = abort_in_sent, .connection_error = count_error};
    struct world w;
    connect_to(&w, TAPSI_SIM_SILENT);
    taps_connection_set_events(w.connection, &events, &w);
    send_text(&w, "a", NULL, 1);
    send_text(&w, "b", NULL, 2);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_LOCAL_ABORT);
    world_finish(&w);
}
