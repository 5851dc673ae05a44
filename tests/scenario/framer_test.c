/* Framers in the whole library: they delay Ready, refuse candidates, and carry Messages over streams and datagrams. */
#include <stdio.h>
#include <string.h>
#include <taps/framer.h>
#include "peer.h"

#define V4 "192.0.2.1:80"

/* ------------------------------------------------------------------------------------------------- Framers */

/* Says a word first, if it is the client, and is ready when "ok\n" comes; "no\n" is a refusal. */
struct polite_options {
    char word[16];
};

static int polite_start(taps_framing *f)
{
    const struct polite_options *options = taps_framing_options(f);
    return taps_framing_send(f, options->word, strlen(options->word));
}

static int polite_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    bool *greeted = taps_framing_state(f);
    if (*greeted && !taps_framing_available(f))
        return 0;
    if (*greeted)
        return taps_framing_deliver_and_advance(f, taps_framing_available(f), true);
    if (taps_framing_parse(f, 3, 3, &data, &length) <= 0)
        return 0;
    if (memcmp(data, "ok\n", 3) != 0)
        return taps_framing_fail(f, TAPS_E_PROTOCOL, "the peer said no");
    taps_framing_advance(f, 3);
    *greeted = true;
    taps_framing_make_ready(f);
    return 0;
}

static const struct taps_framer_definition polite = {.name = "polite",
                                                     .flags = TAPS_FRAMER_TRANSPARENT,
                                                     .options_size = sizeof(struct polite_options),
                                                     .state_size = sizeof(bool),
                                                     .start = polite_start,
                                                     .handle_received_data = polite_receive};

static taps_framer *named(const char *text)
{
    taps_framer *framer = NULL;
    int err = taps_framer_new_text(text, &framer);
    CHECK(err == 0 || err == TAPS_E_MEMORY);
    return framer;
}

static taps_framer *polite_one(const char *word)
{
    taps_framer *framer = NULL;
    if (taps_framer_new_custom(&polite, &framer) == 0) {
        struct polite_options *options = taps_framer_options(framer);
        snprintf(options->word, sizeof(options->word), "%s", word);
    }
    return framer;
}

/* Takes the framer. */
static void add(struct world *w, taps_framer *framer)
{
    if (!w->context)
        world_start(w);
    if (framer)
        CHECK_INT(taps_preconnection_add_framer(w->preconnection, framer), 0);
    taps_framer_free(framer);
}

static void says(struct world *w, uint16_t port, const char *text)
{
    tapsi_sim_service_bytes(tapsi_sim_serve(w->server, port, TAPSI_SIM_SEND), text, strlen(text));
}

static int send_text(struct world *w, const char *text, const taps_message_context *context)
{
    return taps_connection_send(w->connection, text, strlen(text), context, 0, NULL);
}

/* ------------------------------------------------------------------------------------------------- streams */

/* proves ARCH-02, API-130: what an echo of bytes sends back are Messages again. */
TEST(messages_keep_their_boundaries_over_a_stream)
{
    struct world w;
    struct taps_value value = {.boolean = false};
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    taps_transport_properties_require(w.properties, TAPS_PRESERVE_MSG_BOUNDARIES);
    add(&w, named("length-prefix:length=2"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "tcp");
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_PRESERVE_MSG_BOUNDARIES, &value), 0);
    CHECK(value.type == TAPS_TYPE_BOOLEAN && value.boolean);
    for (int i = 0; i < 3; i++)
        taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    send_text(&w, "one", NULL);
    send_text(&w, "", NULL);
    send_text(&w, "three", NULL);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 3);
    CHECK_INT(w.heard.received, 3);
    CHECK_INT(w.heard.received_partial, 0);
    CHECK(w.heard.length == 8 && memcmp(w.heard.data, "onethree", 8) == 0);
    world_finish(&w);
}

/* proves API-031: without a Framer there would be no stack of this library for it. */
TEST(without_a_framer_boundaries_over_a_reliable_stream_are_refused)
{
    struct world w;
    world_new(&w);
    taps_transport_properties_require(w.properties, TAPS_PRESERVE_MSG_BOUNDARIES);
    world_initiate(&w, V4, 0);
    CHECK_INT(w.initiated, TAPS_E_CONFIGURATION);
    world_finish(&w);
}

TEST(at_most_eight_framers_are_taken)
{
    struct world w;
    taps_framer *framer = NULL;
    world_new(&w);
    world_start(&w);
    if (taps_framer_new("netstring", &framer) == 0 && w.preconnection) {
        for (int i = 0; i < 8; i++)
            CHECK_INT(taps_preconnection_add_framer(w.preconnection, framer), 0);
        CHECK_INT(taps_preconnection_add_framer(w.preconnection, framer), TAPS_E_RANGE);
    }
    CHECK_INT(taps_preconnection_add_framer(w.preconnection, NULL), TAPS_E_ARGUMENT);
    taps_framer_free(framer);
    world_finish(&w);
}

/* proves API-130: netstrings inside lengths, through this library on both ends. */
TEST(framers_stand_on_each_other)
{
    struct world w;
    struct peer p;
    world_new(&w);
    peer_new(&w, w.server, &p);
    p.framers[0] = named("length-prefix:length=varint");
    p.framers[1] = named("netstring");
    p.echo = true;
    peer_listen(&w, &p, V4);
    add(&w, named("length-prefix:length=varint"));
    add(&w, named("netstring"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    send_text(&w, "hello", NULL);
    send_text(&w, "world", NULL);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.received, 2);
    CHECK(w.heard.length == 10 && memcmp(w.heard.data, "helloworld", 10) == 0);
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-124: what the peer sends is no Message; the Connection ends with the Framer's words. */
TEST(what_does_not_parse_is_a_connection_error_with_words)
{
    struct world w;
    world_new(&w);
    says(&w, 80, "5:hello,what is this?");
    add(&w, named("netstring"));
    world_initiate(&w, V4, 0);
    w.keep_reading = true;
    taps_connection_receive(w.connection, 1, 65536, NULL);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_DEFRAMING);
    CHECK(strstr(w.heard.detail, "netstring") != NULL);
    CHECK_INT(w.heard.received, 1);
    CHECK_INT(w.heard.receive_error, 1);
    world_finish(&w);
}

/* proves API-140: after Close the peer's words are nobody's any more; that they do not parse costs nothing of what was
   given. */
TEST(what_does_not_parse_does_not_end_a_close)
{
    static char large[60000];
    struct world w;
    world_new(&w);
    says(&w, 80, "what is this?");
    add(&w, named("netstring"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    for (int i = 0; i < 20; i++)
        taps_connection_send(w.connection, large, sizeof(large), NULL, 0, NULL);
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    CHECK_INT(w.heard.sent, 20);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(w.heard.connection_error, 0);
    world_finish(&w);
}

/* proves API-120, API-122: a Message that is larger than a Receive takes comes in parts. */
TEST(a_message_comes_in_the_parts_that_were_asked_for)
{
    struct world w;
    world_new(&w);
    says(&w, 80, "11:hello world,2:hi,");
    add(&w, named("netstring"));
    world_initiate(&w, V4, 0);
    for (int i = 0; i < 4; i++)
        taps_connection_receive(w.connection, SIZE_MAX, 5, NULL);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.received_partial, 3);
    CHECK_INT(w.heard.received, 1);
    CHECK(w.heard.length == 13 && memcmp(w.heard.data, "hello worldhi", 13) == 0);
    world_finish(&w);
}

/* Segments cut some of the Messages; those are held until their rest has come, and nothing of it is seen from above. */
static void receive_cut_messages(size_t max, size_t answers, size_t partial)
{
    struct world w;
    char text[40 * 103 + 1];
    for (int i = 0; i < 40; i++)
        snprintf(text + 103 * i, sizeof(text) - 103 * (size_t)i, "99:%099d,", i);
    world_new(&w);
    says(&w, 80, text);
    add(&w, named("netstring"));
    world_initiate(&w, V4, 0);
    for (size_t i = 0; i < answers; i++)
        taps_connection_receive(w.connection, SIZE_MAX, max, NULL);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.received_partial, partial);
    CHECK_INT(w.heard.received, answers - partial);
    CHECK_INT(w.heard.receive_error, 0);
    world_finish(&w);
}

/* proves API-120, API-121, API-122 */
TEST(messages_that_segments_cut_come_whole)
{
    receive_cut_messages(SIZE_MAX, 40, 0);
    receive_cut_messages(SIZE_MAX, 7, 0);
    receive_cut_messages(60, 80, 80);
    receive_cut_messages(60, 33, 33);
}

/* --------------------------------------------------------------------------------------- readiness, refusal */

/* proves API-132, API-144: it speaks before Ready, and what the application has sent waits behind that. */
TEST(a_framer_speaks_first)
{
    struct world w;
    struct peer p;
    world_new(&w);
    peer_new(&w, w.server, &p);
    p.greeting = "ok\n";
    peer_listen(&w, &p, V4);
    add(&w, polite_one("hi "));
    world_initiate(&w, V4, 0);
    send_text(&w, "there", NULL);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    world_run_ms(&w, 50);
    CHECK(peer_has(&p, "hi there"));
    peer_done(&p);
    world_finish(&w);
}

/* proves IMPL-19: the Framer refuses the first candidate, and the race goes on with the second. */
TEST(a_framer_refuses_a_candidate_and_the_next_one_wins)
{
    struct world w;
    world_new(&w);
    says(&w, 81, "no\n");
    says(&w, 80, "ok\n");
    add(&w, polite_one("hi"));
    if (w.preconnection)
        taps_preconnection_add_remote_text(w.preconnection, "[2001:db8::1]:81");
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(world_winner(&w), V4);
    struct taps_candidate_info info;
    CHECK(world_candidate(&w, "[2001:db8::1]:81", &info));
    CHECK_INT(info.state, TAPS_CANDIDATE_FAILED);
    CHECK_TEXT(info.reason, "polite: the peer said no");
    world_finish(&w);
}

/* proves IMPL-19 */
TEST(when_all_candidates_are_refused_establishment_fails_with_the_framers_words)
{
    struct world w;
    world_new(&w);
    says(&w, 80, "no\n");
    add(&w, polite_one("hi"));
    world_initiate(&w, V4, 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_PROTOCOL);
    CHECK(strstr(w.heard.detail, "polite: the peer said no") != NULL);
    world_finish(&w);
}

/* A Listener's Framer that is not satisfied costs that peer alone. */
TEST(a_listener_drops_a_peer_that_its_framer_refuses)
{
    struct world w;
    struct peer p;
    world_new(&w);
    peer_new(&w, w.server, &p);
    p.framers[0] = polite_one("");
    peer_listen(&w, &p, V4);
    world_initiate(&w, V4, 0);
    send_text(&w, "no\n", NULL);
    world_run_ms(&w, 100);
    CHECK_INT(p.received, 0);
    CHECK_INT(taps_listener_dropped(p.listeners[0]), 1);
    peer_done(&p);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------ datagrams */

static void loose(struct world *w)
{
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
    taps_transport_properties_prohibit(w->properties, TAPS_RELIABILITY);
    taps_transport_properties_set(w->properties, "safelyReplayable", "true");
}

static void answer(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                   const uint8_t *bytes, size_t count)
{
    (void)bytes;
    (void)count;
    (void)arg;
    tapsi_sim_udp_reply(udp, to, from, "ok\n", 3, 20 * TAPSI_SIM_MS);
}

/* proves IMPL-15: over udp a Framer makes the Connection Ready when the peer has answered, and not before. */
TEST(over_datagrams_ready_waits_for_the_peers_answer)
{
    struct world w;
    world_new(&w);
    loose(&w);
    tapsi_sim_udp_serve(w.server, 80, answer, NULL);
    add(&w, polite_one("hi"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "udp");
    CHECK(w.heard.ready_ms >= 30 - 0.001); /* there and back, and the peer's 20 ms */
    world_finish(&w);
}

/* proves IMPL-15 */
TEST(over_datagrams_a_silent_peer_is_no_connection)
{
    struct world w;
    world_new(&w);
    loose(&w);
    add(&w, polite_one("hi"));
    world_initiate(&w, V4, 500);
    world_run_until_end(&w);
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(w.heard.establishment_error, 1);
    world_finish(&w);
}

static struct {
    unsigned datagrams;
    size_t longest;
} seen;

static void count(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                  const uint8_t *bytes, size_t length)
{
    (void)arg;
    seen.datagrams++;
    seen.longest = length > seen.longest ? length : seen.longest;
    tapsi_sim_udp_reply(udp, to, from, bytes, length, 0);
}

/* proves API-133: small Messages of one turn share datagrams, up to the path's size, and come apart again. */
TEST(small_messages_share_datagrams)
{
    struct world w;
    world_new(&w);
    loose(&w);
    memset(&seen, 0, sizeof(seen));
    tapsi_sim_udp_serve(w.server, 80, count, NULL);
    add(&w, named("length-prefix:length=2"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    for (int i = 0; i < 40; i++) {
        taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
        taps_connection_send(w.connection,
                             "0123456789012345678901234567890123456789012345678901234567890123456789"
                             "012345678901234567890123456789",
                             100, NULL, 0, NULL);
    }
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 40);
    CHECK_INT(w.heard.received, 40);
    CHECK_INT(w.heard.length, 4000);
    CHECK(seen.datagrams == 3 && seen.longest <= 1472);
    world_finish(&w);
}

/* proves API-133, API-124: one datagram that does not parse is a soft error, and the others are Messages. */
TEST(a_datagram_that_does_not_parse_is_dropped_alone)
{
    struct world w;
    world_new(&w);
    loose(&w);
    taps_transport_properties_prefer(w.properties, TAPS_SOFT_ERROR_NOTIFY);
    tapsi_sim_udp_echo(w.server, 80);
    add(&w, named("netstring"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    send_text(&w, "good", NULL);
    world_run_ms(&w, 50);
    CHECK_INT(w.heard.received, 1);
    CHECK_INT(w.heard.connection_error, 0);
    world_finish(&w);
}

/* -------------------------------------------------------------------------------------------------- metadata */

static char type[16];
static taps_message_context *kept;

static void on_typed(taps_connection *c, const struct taps_received *m, void *user)
{
    const char *value = taps_message_context_metadata(m->context, "tlv", "type");
    (void)c;
    (void)user;
    snprintf(type, sizeof(type), "%s", value ? value : "none");
    CHECK_INT(taps_message_context_add_metadata((taps_message_context *)(uintptr_t)m->context, "tlv", "a", "b"),
              TAPS_E_READ_ONLY);
    if (!kept)
        taps_message_context_copy(m->context, &kept);
}

/* proves API-131: what is said of a Message for the Framer travels with it, is told on the other side, and outlives it
   in a copy. */
TEST(metadata_travel_with_the_message)
{
    static const struct taps_connection_events typed = {.received = on_typed};
    struct world w;
    taps_message_context *context = NULL;
    const char *space, *key, *value;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    add(&w, named("tlv"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    type[0] = '\0';
    kept = NULL;
    taps_message_context_new(&context);
    CHECK_INT(taps_message_context_add_metadata(context, "tlv", "type", "42"), 0);
    taps_connection_set_events(w.connection, &typed, NULL);
    taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    send_text(&w, "typed", context);
    taps_message_context_free(context); /* it was taken by value */
    world_run_ms(&w, 100);
    CHECK_TEXT(type, "42");
    taps_connection_free(w.connection);
    w.connection = NULL;
    CHECK_TEXT(taps_message_context_metadata(kept, "tlv", "type"), "42");
    CHECK(taps_message_context_metadata(kept, "netstring", "type") == NULL);
    CHECK_INT(taps_message_context_metadata_at(kept, 0, &space, &key, &value), 0);
    CHECK_INT(taps_message_context_metadata_at(kept, 1, &space, &key, &value), TAPS_E_RANGE);
    taps_message_context_free(kept);
    world_finish(&w);
}

static char refusal[300];

static void on_refused(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)user;
    snprintf(refusal, sizeof(refusal), "%s", error->detail);
}

/* proves API-109: the Framer's words come with the refusal. */
TEST(a_refusal_has_the_framers_words)
{
    static const struct taps_connection_events refused = {.send_error = on_refused};
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    add(&w, named("delimiter"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    refusal[0] = '\0';
    taps_connection_set_events(w.connection, &refused, NULL);
    send_text(&w, "two\nlines", NULL);
    world_run_ms(&w, 10);
    CHECK_TEXT(refusal,
               "the Message was not sent: the Message Properties cannot be satisfied: it contains the delimiter");
    taps_connection_free(w.connection);
    w.connection = NULL;
    world_finish(&w);
}

/* proves API-131 */
TEST(a_message_without_what_its_framer_needs_is_refused_alone)
{
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    add(&w, named("tlv"));
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    send_text(&w, "no type", NULL);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.send_error, 1);
    CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(w.heard.connection_error, 0);
    world_finish(&w);
}
