/* Messages in parts above a Framer: what is refused is refused with its rest, and nothing waits for ever behind it. */
#include <string.h>
#include <taps/framer.h>
#include "scenario.h"

#define V4 "192.0.2.1:80"

/* To a server that sends back what it gets. */
static void begin(struct world *w, const char *text)
{
    taps_framer *framer = NULL;
    world_new(w);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    world_start(w);
    if (taps_framer_new_text(text, &framer) == 0)
        CHECK_INT(taps_preconnection_add_framer(w->preconnection, framer), 0);
    taps_framer_free(framer);
    world_initiate(w, V4, 0);
    world_run_until_ready(w);
}

static void send_part(struct world *w, const char *text, const char *length, unsigned flags)
{
    taps_message_context *context = NULL;
    if (length && taps_message_context_new(&context) == 0)
        CHECK_INT(taps_message_context_add_metadata(context, "length-prefix", "length", length), 0);
    CHECK_INT(taps_connection_send(w->connection, text, strlen(text), context, flags, NULL), 0);
    taps_message_context_free(context);
}

/* proves API-112 */
TEST(parts_are_one_message_on_the_other_side)
{
    struct world w;
    begin(&w, "length-prefix");
    taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    send_part(&w, "hel", "12", TAPS_SEND_PARTIAL);
    world_run_ms(&w, 50);
    send_part(&w, "lo, ", NULL, TAPS_SEND_PARTIAL);
    send_part(&w, "world", NULL, 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 3);
    CHECK_INT(w.heard.received, 1);
    CHECK(w.heard.length == 12 && memcmp(w.heard.data, "hello, world", 12) == 0);
    world_finish(&w);
}

TEST(a_first_part_without_its_length_is_refused_with_its_rest_and_others_go_on)
{
    struct world w;
    begin(&w, "length-prefix");
    taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    send_part(&w, "hel", NULL, TAPS_SEND_PARTIAL);
    send_part(&w, "lo", NULL, 0);
    send_part(&w, "whole", NULL, 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.send_error, 2);
    CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(w.heard.received, 1);
    CHECK(w.heard.length == 5 && memcmp(w.heard.data, "whole", 5) == 0);
    world_finish(&w);
}

/* Its beginning has gone, and the peer waits for the rest: nothing can follow it. */
TEST(a_part_that_does_not_fit_ends_all_sending_and_nothing_waits)
{
    static const char *const second[] = {"lo!", "l"};
    for (unsigned i = 0; i < 2; i++) {
        struct world w;
        begin(&w, "length-prefix");
        send_part(&w, "hel", "5", TAPS_SEND_PARTIAL);
        world_run_ms(&w, 50);
        send_part(&w, second[i], NULL, i == 0 ? TAPS_SEND_PARTIAL : 0);
        if (i == 0)
            send_part(&w, "", NULL, 0);
        world_run_ms(&w, 50);
        send_part(&w, "whole", NULL, 0);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.sent, 1);
        CHECK_INT(w.heard.send_error, i == 0 ? 3 : 2);
        CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_PROPERTIES);
        CHECK_INT(w.heard.closed + w.heard.connection_error, 0);
        world_finish(&w);
    }
}

TEST(a_part_with_the_delimiter_ends_all_sending_and_nothing_waits)
{
    struct world w;
    begin(&w, "delimiter:delimiter=crlf");
    send_part(&w, "hel\r", NULL, TAPS_SEND_PARTIAL);
    send_part(&w, "\nlo", NULL, TAPS_SEND_PARTIAL);
    send_part(&w, "rest", NULL, 0);
    send_part(&w, "whole", NULL, 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(w.heard.send_error, 3);
    CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_PROPERTIES);
    world_finish(&w);
}

/* proves API-122: of a netstring whose comma comes later the bytes are there first, and a whole Message is waited for.
 */
TEST(a_message_whose_end_comes_behind_its_bytes_is_received_whole)
{
    struct world w;
    begin(&w, "netstring");
    for (int i = 0; i < 3; i++)
        taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    world_run_ms(&w, 10);
    taps_message_context *context = NULL;
    if (taps_message_context_new(&context) == 0) {
        CHECK_INT(taps_message_context_add_metadata(context, "netstring", "length", "5"), 0);
        CHECK_INT(taps_connection_send(w.connection, "hello", 5, context, TAPS_SEND_PARTIAL, NULL), 0);
        world_run_ms(&w, 50);
        send_part(&w, "", NULL, 0);
    }
    taps_message_context_free(context);
    send_part(&w, "", NULL, 0);
    send_part(&w, "more", NULL, 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.received, 3);
    CHECK_INT(w.heard.received_partial, 0);
    CHECK(w.heard.length == 9 && memcmp(w.heard.data, "hellomore", 9) == 0);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------- metadata */

static unsigned parsed;

/* Every byte is a Message with 8 KiB of metadata. */
static int talkative_receive(taps_framing *f)
{
    static char text[8 * 1024];
    if (!taps_framing_available(f))
        return 0;
    parsed++;
    memset(text, 'm', sizeof(text) - 1);
    int err = taps_framing_add_metadata(f, "key", text);
    return err ? err : taps_framing_deliver_and_advance(f, 1, true);
}

static const struct taps_framer_definition talkative = {.name = "talkative", .handle_received_data = talkative_receive};

/* proves API-121: what a Framer says of Messages that nobody takes has a bound, and all of them come when they are
   asked for. */
TEST(metadata_of_messages_that_wait_have_a_bound)
{
    static const char bytes[60];
    struct world w;
    taps_framer *framer = NULL;
    parsed = 0;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_start(&w);
    if (taps_framer_new_custom(&talkative, &framer) == 0)
        CHECK_INT(taps_preconnection_add_framer(w.preconnection, framer), 0);
    taps_framer_free(framer);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    CHECK_INT(taps_connection_send(w.connection, bytes, sizeof(bytes), NULL, 0, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.received, 1);
    CHECK(parsed < 20);
    for (unsigned i = 1; i < sizeof(bytes); i++) {
        taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
        world_run_ms(&w, 5);
        CHECK(parsed < i + 20);
    }
    CHECK_INT(w.heard.received, sizeof(bytes));
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------- lifetime */

static int never_sends(taps_framing *f, const struct taps_sent_message *message)
{
    (void)f;
    (void)message;
    return TAPS_FRAMING_WAIT;
}

static const struct taps_framer_definition never = {.name = "never", .new_sent_message = never_sends};

/* A Message that its Framer keeps waiting expires there, and a Close that waited behind it goes on. */
TEST(close_goes_on_when_what_a_framer_kept_has_expired)
{
    struct world w;
    taps_framer *framer = NULL;
    taps_message_context *context = NULL;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_start(&w);
    if (taps_framer_new_custom(&never, &framer) == 0)
        CHECK_INT(taps_preconnection_add_framer(w.preconnection, framer), 0);
    taps_framer_free(framer);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    if (taps_message_context_new(&context) == 0) {
        taps_message_context_set(context, "msgLifetime", "0.05");
        CHECK_INT(taps_connection_send(w.connection, "a", 1, context, 0, NULL), 0);
    }
    taps_message_context_free(context);
    taps_connection_close(w.connection);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.expired, 1);
    CHECK_INT(w.heard.closed, 1);
    world_finish(&w);
}
