/* Messages over streams and datagrams, their parts and their lengths; what can be done in each state. */
#include <stdlib.h>
#include <string.h>
#include "peer.h"
#include "wire.h"

#define V4 "192.0.2.1:80"

static struct tapsi_sim_service *connect_to(struct world *w, enum tapsi_sim_behaviour behaviour)
{
    world_new(w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w->server, 80, behaviour);
    world_initiate(w, V4, 0);
    return s;
}

static void datagrams(struct world *w)
{
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
}

static int send_text(struct world *w, const char *text)
{
    return taps_connection_send(w->connection, text, strlen(text), NULL, 0, NULL);
}

static bool boolean(struct world *w, enum taps_property property)
{
    struct taps_value value;
    CHECK_INT(taps_connection_get_value(w->connection, property, &value), 0);
    CHECK_INT(value.type, TAPS_TYPE_BOOLEAN);
    return value.boolean;
}

static uint64_t integer(struct world *w, enum taps_property property)
{
    struct taps_value value;
    CHECK_INT(taps_connection_get_value(w->connection, property, &value), 0);
    CHECK_INT(value.type, TAPS_TYPE_INTEGER);
    return value.integer;
}

/* --------------------------------------------------------------------------- messages, whatever the stack is */

static void say_and_hear(struct world *w, const char *remote)
{
    world_initiate(w, remote, 0);
    CHECK_INT(w->initiated, 0);
    CHECK_INT(taps_connection_receive(w->connection, 1, SIZE_MAX, (void *)7), 0);
    CHECK_INT(taps_connection_send(w->connection, "a Message", 9, NULL, 0, (void *)8), 0);
    world_run_ms(w, 200);
    CHECK_INT(w->heard.ready, 1);
    CHECK_INT(w->heard.sent, 1);
    CHECK_INT(w->heard.received + w->heard.received_partial, 1);
    CHECK(w->heard.last_tag == (void *)7);
    CHECK_INT(w->heard.length, 9);
    CHECK(memcmp(w->heard.data, "a Message", 9) == 0);
}

/* proves ARCH-02: the same calls and the same events over a stream and over datagrams. */
TEST(streams_and_datagrams_carry_messages_alike)
{
    for (int kind = 0; kind < 2; kind++) {
        struct world w;
        world_new(&w);
        if (kind == 0) {
            tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        } else {
            datagrams(&w);
            tapsi_sim_udp_echo(w.server, 80);
        }
        say_and_hear(&w, V4);
        CHECK_TEXT(taps_connection_stack(w.connection), kind ? "udp" : "tcp");
        CHECK_INT(w.heard.received, kind); /* a datagram is a whole Message; the stream's has no end yet */
        taps_connection_close(w.connection);
        world_run_until_end(&w);
        CHECK_INT(w.heard.closed, 1);
        world_finish(&w);
    }
}

/* proves ARCH-12: on the wire there is what the application said, and nothing a foreign peer would have to know. */
TEST(nothing_but_the_applications_bytes_is_sent)
{
    static struct wire wire;
    for (int kind = 0; kind < 2; kind++) {
        struct world w;
        world_new(&w);
        if (kind) {
            datagrams(&w);
            tapsi_sim_udp_echo(w.server, 80);
        } else {
            tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        }
        world_start(&w);
        wire_tap(&wire, w.context);
        say_and_hear(&w, V4);
        CHECK_INT(wire.length, 9);
        CHECK(wire_has_text(&wire, "a Message"));
        CHECK_INT(wire.streams, !kind);
        CHECK_INT(wire.datagrams, kind);
        world_finish(&w);
    }
}

/* ---------------------------------------------------------------------------------------- parts of Messages */

struct parts {
    unsigned whole, partial, ends;
    size_t length[8];
    const taps_message_context *contexts[8];
};

static void note_part(struct parts *p, const struct taps_received *m)
{
    unsigned n = p->whole + p->partial;
    if (n < 8) {
        p->length[n] = m->length;
        p->contexts[n] = m->context;
    }
    p->ends += m->end_of_message;
}

static void part_whole(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)c;
    note_part(user, m);
    ((struct parts *)user)->whole++;
}

static void part_partial(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)c;
    note_part(user, m);
    ((struct parts *)user)->partial++;
}

static const struct taps_connection_events part_events = {.received = part_whole, .received_partial = part_partial};

/* proves API-122: the example of RFC 9622, 9.3.2.2: 1500 bytes for one who takes 1000 at a time. */
TEST(a_datagram_larger_than_max_length_comes_in_parts)
{
    static char message[1500];
    struct world w;
    struct parts parts = {0};
    world_new(&w);
    datagrams(&w);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    taps_connection_set_events(w.connection, &part_events, &parts);
    CHECK_INT(taps_connection_receive(w.connection, 1, 1000, NULL), 0);
    taps_connection_send(w.connection, message, sizeof(message), NULL, 0, NULL);
    taps_connection_send(w.connection, message, 10, NULL, 0, NULL);
    world_run_ms(&w, 100);
    CHECK_INT(parts.partial, 1);
    CHECK_INT(parts.ends, 0);
    CHECK_INT(taps_connection_receive(w.connection, 1, 1000, NULL), 0);
    CHECK_INT(taps_connection_receive(w.connection, 1, 1000, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(parts.partial, 2);
    CHECK_INT(parts.whole, 1);
    CHECK_INT(parts.ends, 2);
    CHECK_INT(parts.length[0], 1000);
    CHECK_INT(parts.length[1], 500);
    CHECK_INT(parts.length[2], 10);
    CHECK(parts.contexts[0] != NULL && parts.contexts[0] == parts.contexts[1]);
    world_finish(&w);
}

/* proves API-122, API-123: the parts of a stream's one Message have one context; only the FIN is its end. */
TEST(all_parts_of_a_stream_have_one_context)
{
    struct world w;
    struct parts parts = {0};
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "0123456789", 10);
    taps_connection_set_events(w.connection, &part_events, &parts);
    for (int i = 0; i < 6; i++)
        CHECK_INT(taps_connection_receive(w.connection, 1, 2, NULL), 0);
    world_run_ms(&w, 200);
    CHECK_INT(parts.whole, 0);
    CHECK_INT(parts.partial, 6); /* the end came behind the last bytes */
    CHECK_INT(parts.ends, 1);
    CHECK_INT(parts.length[5], 0);
    for (int i = 1; i < 6; i++)
        CHECK(parts.contexts[i] == parts.contexts[0]);
    world_finish(&w);
}

/* proves API-120: an infinite minimum asks for whole Messages only. */
TEST(only_whole_messages_are_given_to_one_who_asks_for_them)
{
    static char message[1400];
    struct world w;
    struct parts parts = {0};
    world_new(&w);
    datagrams(&w);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    taps_connection_set_events(w.connection, &part_events, &parts);
    for (int i = 0; i < 3; i++) {
        taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
        taps_connection_send(w.connection, message, (size_t)(i * 700), NULL, 0, NULL);
    }
    world_run_ms(&w, 100);
    CHECK_INT(parts.whole, 3);
    CHECK_INT(parts.partial, 0);
    CHECK_INT(parts.length[0], 0); /* an empty Message is one too */
    CHECK_INT(parts.length[2], 1400);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------- backpressure */

#define STREAM_BYTES (7 * 1024 * 1024)

struct reader {
    size_t bytes;
    unsigned wrong;
    bool final;
};

static void read_on(taps_connection *c, const struct taps_received *m, void *user)
{
    struct reader *r = user;
    const char *data = m->data;
    for (size_t i = 0; i < m->length; i++)
        r->wrong += data[i] != (char)((r->bytes + i) % 251);
    r->bytes += m->length;
    r->final |= m->final;
    if (!m->final)
        taps_connection_receive(c, 1, 100000, NULL);
}

/* proves API-121, API-122: the peer is held up while nobody asks, goes on when somebody does, and nothing is lost. */
TEST(a_sender_is_held_up_and_released)
{
    static const struct taps_connection_events events = {.received = read_on, .received_partial = read_on};
    struct world w;
    struct reader r = {0};
    char *bytes = malloc(STREAM_BYTES);
    NEED(bytes != NULL);
    for (size_t i = 0; i < STREAM_BYTES; i++)
        bytes[i] = (char)(i % 251);
    world_new(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, bytes, STREAM_BYTES);
    free(bytes);
    world_initiate(&w, V4, 0);
    taps_connection_set_events(w.connection, &events, &r);
    world_run_ms(&w, 1000);
    uint64_t sent = tapsi_sim_service_counts(s).sent;
    CHECK(sent < STREAM_BYTES / 4);
    world_run_ms(&w, 60000);
    CHECK_INT(tapsi_sim_service_counts(s).sent, sent);
    CHECK_INT(r.bytes, 0);
    CHECK_INT(taps_connection_receive(w.connection, 1, 100000, NULL), 0);
    world_run_ms(&w, 60000);
    CHECK_INT(r.bytes, STREAM_BYTES);
    CHECK_INT(r.wrong, 0);
    CHECK(r.final);
    world_finish(&w);
}

/* --------------------------------------------------------------------------------------- states and lengths */

/* proves API-090: and it can only be read. */
TEST(the_state_goes_one_way)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_SILENT);
    CHECK_INT(taps_connection_state(w.connection), TAPS_ESTABLISHING);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_state(w.connection), TAPS_ESTABLISHED);
    tapsi_sim_link_delay(w.link, 100 * TAPSI_SIM_MS);
    send_text(&w, "x");
    taps_connection_close(w.connection);
    CHECK_INT(taps_connection_state(w.connection), TAPS_CLOSING);
    CHECK_INT(taps_connection_set_property(w.connection, "connState", "established"), TAPS_E_READ_ONLY);
    world_run_until_end(&w);
    CHECK_INT(taps_connection_state(w.connection), TAPS_CLOSED);
    CHECK_INT(taps_connection_set_property(w.connection, "connState", "established"), TAPS_E_READ_ONLY);
    world_finish(&w);
}

/* proves API-091: what can be done follows the direction, Final in each direction, Close and the end. */
TEST(can_send_and_can_receive_follow_what_happens)
{
    struct world w;
    taps_message_context *final;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "bye", 3);
    taps_message_context_new(&final);
    taps_message_context_set(final, "final", "true");
    world_run_until_ready(&w);
    world_run_ms(&w, 50);
    CHECK(boolean(&w, TAPS_CAN_SEND));
    CHECK(boolean(&w, TAPS_CAN_RECEIVE)); /* the end has come but was not delivered */
    taps_connection_receive(w.connection, 1, 100, NULL);
    world_run_ms(&w, 50);
    CHECK(w.heard.final);
    CHECK(boolean(&w, TAPS_CAN_SEND));
    CHECK(!boolean(&w, TAPS_CAN_RECEIVE));
    taps_connection_send(w.connection, "x", 1, final, 0, NULL);
    CHECK(!boolean(&w, TAPS_CAN_SEND));
    world_run_until_end(&w);
    CHECK(!boolean(&w, TAPS_CAN_SEND));
    CHECK(!boolean(&w, TAPS_CAN_RECEIVE));
    taps_message_context_free(final);
    world_finish(&w);
}

/* proves API-093: 0 where nothing can be sent, or received; a datagram's limit; a stream has none. */
TEST(message_lengths_tell_what_can_be_sent_and_received)
{
    static const struct {
        const char *direction;
        bool stream, send, receive;
    } cases[] = {{"bidirectional", true, true, true},
                 {"unidirectional send", true, true, false},
                 {"unidirectional receive", true, false, true},
                 {"bidirectional", false, true, true},
                 {"unidirectional send", false, true, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        world_new(&w);
        if (!cases[i].stream)
            datagrams(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        tapsi_sim_udp_echo(w.server, 80);
        taps_transport_properties_set(w.properties, "direction", cases[i].direction);
        world_initiate(&w, V4, 0);
        world_run_until_ready(&w);
        uint64_t send = integer(&w, TAPS_SEND_MSG_MAX_LEN), receive = integer(&w, TAPS_RECV_MSG_MAX_LEN);
        CHECK_INT(send > 0, cases[i].send);
        CHECK_INT(receive > 0, cases[i].receive);
        if (cases[i].stream && send)
            CHECK(send == TAPS_INFINITE);
        if (!cases[i].stream)
            CHECK_INT(send, 65507);
        CHECK_INT(taps_connection_set_property(w.connection, "sendMsgMaxLen", "7"), TAPS_E_READ_ONLY);
        taps_connection_abort(w.connection);
        CHECK_INT(integer(&w, TAPS_SEND_MSG_MAX_LEN), 0);
        world_finish(&w);
    }
}

/* proves API-093: the limit is exact: it can be sent, and one byte more cannot. */
TEST(the_largest_datagram_is_the_one_that_goes)
{
    static char big[65536];
    struct world w;
    world_new(&w);
    datagrams(&w);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    size_t limit = (size_t)integer(&w, TAPS_SEND_MSG_MAX_LEN);
    NEED(limit < sizeof(big));
    taps_connection_send(w.connection, big, limit + 1, NULL, 0, NULL);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.send_error, 1);
    CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(w.heard.sent, 0);
    taps_connection_send(w.connection, big, limit, NULL, 0, NULL);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 1);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------- listening */

static void quick_received(taps_listener *l, taps_connection *c, void *user)
{
    struct parts *parts = user;
    (void)l;
    CHECK_INT(parts->whole + parts->partial, 0);
    taps_connection_set_events(c, &part_events, parts);
    CHECK_INT(taps_connection_receive(c, 1, 100, NULL), 0);
    CHECK_INT(parts->whole + parts->partial, 0);
}

/* proves API-144: ConnectionReceived comes first, though the datagram that caused it is there already. */
TEST(connection_received_comes_before_its_data)
{
    static const struct taps_listener_events events = {.connection_received = quick_received};
    struct world w;
    struct peer p;
    taps_listener *l;
    struct parts parts = {0};
    world_new(&w);
    datagrams(&w);
    peer_new(&w, w.server, &p);
    taps_preconnection_add_local_text(p.preconnection, "192.0.2.1:9000");
    taps_preconnection_set_security_parameters(p.preconnection, p.security);
    taps_preconnection_set_transport_properties(p.preconnection, w.properties);
    CHECK_INT(taps_preconnection_listen(p.preconnection, &events, &parts, &l), 0);
    world_initiate(&w, "192.0.2.1:9000", 0);
    send_text(&w, "hello");
    world_run_ms(&w, 200);
    CHECK_INT(parts.whole, 1);
    CHECK_INT(parts.length[0], 5);
    peer_done(&p);
    world_finish(&w);
}

/* ------------------------------------------------------------------ Messages that will never be complete */

/* The service sends its bytes and then nothing more, until the test says how it ends. */
static struct tapsi_sim_service *start_half_a_message(struct world *w)
{
    world_new(w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    world_initiate(w, V4, 0);
    world_run_until_ready(w);
    send_text(w, "half a Message");
    CHECK_INT(taps_connection_receive(w->connection, 1, 4, (void *)1), 0);
    world_run_ms(w, 100);
    CHECK_INT(w->heard.received_partial, 1);
    CHECK_INT(w->heard.length, 4);
    return s;
}

/* proves API-124: of a Message that was begun and will not be completed each Receive that waits hears, with the reason,
   before the Connection ends. */
TEST(a_reset_in_the_middle_of_a_message_is_a_receive_error)
{
    struct world w;
    struct tapsi_sim_service *s = start_half_a_message(&w);
    CHECK_INT(taps_connection_receive(w.connection, 1, SIZE_MAX, NULL), 0);
    world_run_ms(&w, 10);
    CHECK_INT(w.heard.length, 14);
    for (uintptr_t i = 2; i < 5; i++)
        CHECK_INT(taps_connection_receive(w.connection, 1, 100, (void *)i), 0);
    tapsi_sim_service_end_all(s, true);
    world_run_until_end(&w);
    CHECK_INT(w.heard.receive_error, 3);
    CHECK_INT(w.heard.receive_error_code, TAPS_E_ABORTED);
    CHECK(w.heard.last_tag == (void *)4); /* in their order */
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.received_partial, 2);
    CHECK_INT(w.heard.final, false);
    world_finish(&w);
}

/* proves API-124: a Receive that waits for more than will ever come is not answered with less, as if it were all. */
TEST(what_is_too_little_is_no_message_when_the_peer_resets)
{
    struct world w;
    struct tapsi_sim_service *s = start_half_a_message(&w);
    CHECK_INT(taps_connection_receive(w.connection, 1000, SIZE_MAX, NULL), 0);
    world_run_ms(&w, 10);
    CHECK_INT(w.heard.length, 4);
    tapsi_sim_service_end_all(s, true);
    world_run_until_end(&w);
    CHECK_INT(w.heard.length, 4);
    CHECK_INT(w.heard.receive_error, 1);
    CHECK_INT(w.heard.receive_error_code, TAPS_E_ABORTED);
    CHECK_INT(w.heard.connection_error, 1);
    world_finish(&w);
}

/* An orderly end completes it: that is no error. */
TEST(an_orderly_end_completes_the_message)
{
    struct world w;
    struct tapsi_sim_service *s = start_half_a_message(&w);
    CHECK_INT(taps_connection_receive(w.connection, 1000, SIZE_MAX, NULL), 0);
    tapsi_sim_service_end_all(s, false);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.length, 14);
    CHECK_INT(w.heard.final, true);
    CHECK_INT(w.heard.receive_error, 0);
    CHECK_INT(w.heard.connection_error, 0);
    world_finish(&w);
}

/* Who has no Receive outstanding has none to be told of: the last event says it. */
TEST(without_a_receive_the_end_alone_tells)
{
    struct world w;
    struct tapsi_sim_service *s = start_half_a_message(&w);
    tapsi_sim_service_end_all(s, true);
    world_run_until_end(&w);
    CHECK_INT(w.heard.receive_error, 0);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_ABORTED);
    CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), TAPS_E_CLOSED);
    world_finish(&w);
}

/* proves API-124: the rest of a datagram that was read in part, when this side ends: Close and Abort each tell why. */
TEST(the_rest_of_a_datagram_is_given_up_with_its_connection)
{
    for (int abort = 0; abort < 2; abort++) {
        struct world w;
        world_new(&w);
        datagrams(&w);
        tapsi_sim_udp_echo(w.server, 80);
        world_initiate(&w, V4, 0);
        world_run_until_ready(&w);
        send_text(&w, "0123456789");
        CHECK_INT(taps_connection_receive(w.connection, 1, 4, NULL), 0);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.received_partial, 1);
        CHECK_INT(taps_connection_receive(w.connection, 1, 4, NULL), 0);
        CHECK_INT(abort ? taps_connection_abort(w.connection) : taps_connection_close(w.connection), 0);
        world_run_until_end(&w);
        CHECK_INT(w.heard.received_partial, 1);
        CHECK_INT(w.heard.length, 4);
        CHECK_INT(w.heard.receive_error, 1);
        CHECK_INT(w.heard.receive_error_code, abort ? TAPS_E_LOCAL_ABORT : TAPS_E_CLOSED);
        CHECK_INT(w.heard.closed, !abort);
        world_finish(&w);
    }
}

/* proves API-124: the peer of a TLS connection whose stream is cut without its last word has sent half a Message. */
TEST(a_stream_cut_under_tls_is_a_receive_error)
{
    struct world w;
    struct peer peer;
    struct tapsi_test_identity identity = peer_certificate("192.0.2.1", NULL, NULL);
    world_new(&w);
    world_secure(&w);
    peer_new(&w, w.server, &peer);
    peer_secure(&peer, &identity);
    peer.greeting = "half a Message";
    peer_listen(&w, &peer, V4);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_receive(w.connection, 1, SIZE_MAX, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.length, 14);
    CHECK_INT(taps_connection_receive(w.connection, 1, SIZE_MAX, NULL), 0);
    taps_connection_free(peer.last); /* it goes without a word of TLS's: the kernel ends the stream */
    world_run_until_end(&w);
    CHECK_INT(w.heard.receive_error, 1);
    CHECK_INT(w.heard.receive_error_code, TAPS_E_TRUNCATED);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_TRUNCATED);
    CHECK_INT(w.heard.final, false);
    peer_done(&peer);
    tapsi_test_identity_free(&identity);
    world_finish(&w);
}
