/* The Framer "http" in a whole Connection: what the application sees of heads, parts, trailers and ends. */
#include <stdio.h>
#include <string.h>
#include <taps/framer.h>
#include "scenario.h"
#include "wire.h"

#define REMOTE "192.0.2.1:80"

struct seen {
    unsigned messages, parts, ended, errors;
    char data[400], status[8], trailer[8];
    bool final;
    int code;
    size_t max;
    bool asks; /* Receives again at once */
};

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct seen *s = user;
    const char *status = taps_message_context_metadata(m->context, "http", "status");
    const char *trailer = taps_message_context_metadata(m->context, "http", "trailer:x-sum");
    size_t length = strlen(s->data);
    s->parts++;
    s->messages += m->end_of_message;
    s->final |= m->final;
    if (m->length && m->length < sizeof(s->data) - length)
        memcpy(s->data + length, m->data, m->length);
    if (status)
        snprintf(s->status, sizeof(s->status), "%s", status);
    if (trailer)
        snprintf(s->trailer, sizeof(s->trailer), "%s", trailer);
    if (s->asks && !m->final)
        taps_connection_receive(c, 1, s->max, NULL);
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct seen *s = user;
    (void)c;
    (void)tag;
    s->errors++;
    s->code = error->code;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct seen *s = user;
    (void)c;
    s->ended++;
    s->code = error->code;
}

static const struct taps_connection_events events = {.received = on_received,
                                                     .received_partial = on_received,
                                                     .receive_error = on_receive_error,
                                                     .establishment_error = on_error,
                                                     .connection_error = on_error};

/* The server says `bytes` and ends; the client has asked with one GET by then. */
static void play(struct world *w, struct seen *s, taps_framer *framer, const char *bytes, size_t min)
{
    world_new(w);
    world_start(w);
    tapsi_sim_service_bytes(tapsi_sim_serve(w->server, 80, TAPSI_SIM_SEND), bytes, strlen(bytes));
    CHECK_INT(taps_preconnection_add_framer(w->preconnection, framer), 0);
    world_initiate(w, REMOTE, 0);
    if (!w->connection)
        return;
    taps_connection_set_events(w->connection, &events, s);
    CHECK_INT(taps_connection_send(w->connection, NULL, 0, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(w->connection, min, s->max, NULL), 0);
    world_run_ms(w, 300);
}

static void play_http(struct world *w, struct seen *s, const char *bytes, size_t min)
{
    taps_framer *framer = NULL;
    CHECK_INT(taps_framer_new("http", &framer), 0);
    play(w, s, framer, bytes, min);
    taps_framer_free(framer);
}

/* proves API-131, API-122 */
TEST(the_parts_of_a_response_have_one_context_with_its_head_and_in_the_end_its_trailers)
{
    struct world w;
    struct seen s = {.max = 4, .asks = true};
    play_http(
        &w, &s,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello,\r\n7\r\n chunks\r\n0\r\nX-Sum: 9\r\n\r\n", 1);
    CHECK_INT(s.messages, 1);
    CHECK(s.parts > 3);
    CHECK_TEXT(s.data, "hello, chunks");
    CHECK_TEXT(s.status, "200");
    CHECK_TEXT(s.trailer, "9");
    CHECK_INT(s.ended, 0);
    world_finish(&w);
}

TEST(a_whole_response_that_is_the_last_says_so)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct world w;
        struct seen s = {.max = SIZE_MAX};
        play_http(&w, &s, texts[i], SIZE_MAX);
        CHECK_INT(s.messages, 1);
        CHECK_TEXT(s.data, "hello");
        CHECK(s.final);
        world_finish(&w);
    }
}

TEST(an_empty_response_that_is_the_last_says_so)
{
    struct world w;
    struct seen s = {.max = SIZE_MAX};
    play_http(&w, &s, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", SIZE_MAX);
    CHECK_INT(s.messages, 1);
    CHECK_TEXT(s.status, "404");
    CHECK(s.final);
    world_finish(&w);
}

TEST(a_server_that_ends_in_the_middle_is_no_end)
{
    static const char *const texts[] = {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "HTTP/1.1 200", ""};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct world w;
        struct seen s = {.max = SIZE_MAX, .asks = true};
        play_http(&w, &s, texts[i], 1);
        CHECK_INT(s.messages, 0);
        CHECK_INT(s.ended, 1);
        CHECK_INT(s.code, TAPS_E_TRUNCATED);
        world_finish(&w);
    }
}

TEST(a_server_that_says_no_http_is_no_end_either)
{
    struct world w;
    struct seen s = {.max = SIZE_MAX};
    play_http(&w, &s, "220 smtp.example\r\n", 1);
    CHECK_INT(s.ended, 1);
    CHECK_INT(s.code, TAPS_E_DEFRAMING);
    world_finish(&w);
}

/* proves API-112: the head goes with a first part that has no bytes, and the body when the server has said so. */
TEST(a_body_waits_for_100_continue)
{
    static const char answers[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    static struct wire wire;
    struct world w;
    struct seen s = {.max = SIZE_MAX};
    taps_framer *framer = NULL;
    taps_message_context *context = NULL;
    world_new(&w);
    world_start(&w);
    wire_tap(&wire, w.context);
    tapsi_sim_service_bytes(tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND), answers, strlen(answers));
    CHECK_INT(taps_framer_new("http", &framer), 0);
    CHECK_INT(taps_message_context_new(&context), 0);
    CHECK_INT(taps_message_context_add_metadata(context, "http", "Expect", "100-continue"), 0);
    CHECK_INT(taps_preconnection_add_framer(w.preconnection, framer), 0);
    world_initiate(&w, REMOTE, 0);
    if (w.connection) {
        taps_connection_set_events(w.connection, &events, &s);
        CHECK_INT(taps_connection_send(w.connection, NULL, 0, context, TAPS_SEND_PARTIAL, NULL), 0);
        CHECK_INT(taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL), 0);
        world_run_ms(&w, 300);
        CHECK_INT(s.messages, 1);
        CHECK_TEXT(s.status, "100");
        CHECK(wire_has_text(&wire, "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"));
        taps_connection_send(w.connection, "body", 4, context, 0, NULL);
        taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
        world_run_ms(&w, 300);
        CHECK_TEXT(s.status, "201");
        CHECK(wire_has_text(&wire, "4\r\nbody\r\n0\r\n\r\n"));
    }
    taps_message_context_free(context);
    taps_framer_free(framer);
    world_finish(&w);
}

/* ---------------------------------------------------------------------- what the adapter and the Connection promise */

/* All that comes is one Message, to the peer's end. */
static int take_all(taps_framing *framing)
{
    return taps_framing_available(framing) ? taps_framing_deliver_and_advance(framing, TAPS_INFINITE, true) : 0;
}

static const struct taps_framer_definition all = {.name = "all", .handle_received_data = take_all};

TEST(a_message_up_to_the_end_of_the_peer_has_an_end)
{
    for (size_t max = 3; max; max = max == 3 ? SIZE_MAX : 0) {
        struct world w;
        struct seen s = {.max = max, .asks = true};
        taps_framer *framer = NULL;
        CHECK_INT(taps_framer_new_custom(&all, &framer), 0);
        play(&w, &s, framer, "all that there is", 1);
        taps_framer_free(framer);
        CHECK_TEXT(s.data, "all that there is");
        CHECK_INT(s.messages, 1);
        CHECK(s.final);
        CHECK_INT(s.errors, 0);
        world_finish(&w);
    }
}
