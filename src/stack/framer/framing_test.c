/* The adapter, with small Framers made for the purpose. */
#include "stack/framer/test_framing.h"

#include <stdio.h>
#include "base/test.h"

/* ------------------------------------------------------------------------------------------------ Framers */

/* A byte of length in front. "?" instead of a Message makes it wait, "!" refuses. */
static bool waits;

static int one_send(taps_framing *f, const struct taps_sent_message *message)
{
    struct iovec piece;
    uint8_t head = (uint8_t)message->length;
    if (message->length > 255)
        return TAPS_E_MESSAGE_TOO_LARGE;
    taps_framing_message_pieces(f, &piece, 1);
    if (waits && message->length == 1 && *(const char *)piece.iov_base == '?')
        return TAPS_FRAMING_WAIT;
    if (message->length == 1 && *(const char *)piece.iov_base == '!')
        return TAPS_E_MESSAGE_PROPERTIES;
    int err = taps_framing_send(f, &head, 1);
    return err ? err : taps_framing_send_message(f);
}

static int one_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    if (taps_framing_parse(f, 1, 1, &data, &length) <= 0)
        return 0;
    if (*data == 255)
        return taps_framing_fail(f, TAPS_E_DEFRAMING, "a length of 255 is not allowed");
    uint8_t count = *data;
    char text[8];
    snprintf(text, sizeof(text), "%u", count);
    taps_framing_add_metadata(f, "length", text);
    taps_framing_advance(f, 1);
    return taps_framing_deliver_and_advance(f, count, true);
}

static const struct taps_framer_definition one = {.name = "one",
                                                  .flags = TAPS_FRAMER_PACKS,
                                                  .overhead = 1,
                                                  .new_sent_message = one_send,
                                                  .handle_received_data = one_receive};

/* Says "hi", waits for "ok\n" (a whole line at once), and says "bye" at the end; "no\n" is a refusal. */
static int polite_start(taps_framing *f)
{
    return taps_framing_send(f, "hi", 2);
}

static int polite_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    bool *greeted = taps_framing_state(f);
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

static int polite_stop(taps_framing *f)
{
    int err = taps_framing_send(f, "bye", 3);
    taps_framing_make_closed(f);
    return err;
}

static const struct taps_framer_definition polite = {.name = "polite",
                                                     .state_size = sizeof(bool),
                                                     .flags = TAPS_FRAMER_ENDS_ITSELF,
                                                     .start = polite_start,
                                                     .handle_received_data = polite_receive,
                                                     .stop = polite_stop};

/* After "go" it steps aside; with options[0] set it puts `one` above itself first. */
static int gate_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    const bool *prepends = taps_framing_options(f);
    if (taps_framing_parse(f, 2, 2, &data, &length) <= 0)
        return 0;
    taps_framing_advance(f, 2);
    if (*prepends) {
        taps_framer *framer;
        int err = taps_framer_new_custom(&one, &framer);
        if (!err)
            err = taps_framing_prepend_framer(f, framer);
        taps_framer_free(framer);
        if (err)
            return err;
    }
    taps_framing_make_ready(f);
    taps_framing_start_passthrough(f);
    return 0;
}

static int nothing(taps_framing *f)
{
    (void)f;
    return 0;
}

static const struct taps_framer_definition gate = {.name = "gate",
                                                   .options_size = sizeof(bool),
                                                   .flags = TAPS_FRAMER_TRANSPARENT,
                                                   .start = nothing,
                                                   .handle_received_data = gate_receive};

static void open_with(struct test_framing *t, const struct taps_framer_definition *a,
                      const struct taps_framer_definition *b, bool server, bool datagram)
{
    taps_framer *framers[2] = {NULL};
    CHECK_INT(taps_framer_new_custom(a, &framers[0]), 0);
    if (b)
        CHECK_INT(taps_framer_new_custom(b, &framers[1]), 0);
    test_framing_open(t, (const taps_framer *const *)framers, b ? 2 : 1, server, datagram);
    taps_framer_free(framers[0]);
    taps_framer_free(framers[1]);
    waits = false;
}

/* -------------------------------------------------------------------------------------------------- sending */

/* proves IMPL-18 */
TEST(a_head_goes_in_front_of_the_message)
{
    struct test_framing t;
    open_with(&t, &one, NULL, false, false);
    CHECK_INT(t.ready, 1);
    CHECK_INT(test_framing_send_text(&t, "abc"), 0);
    CHECK_INT(test_framing_send_text(&t, "defg"), 0);
    CHECK(test_framing_wrote_text(&t, "\003abc\004defg"));
    CHECK_INT(t.sent, 2);
    test_framing_close(&t);
}

/* Heads of 10, 10 and 3 bytes, then the Message, then a tail: in this order, whatever room there is in front. */
static int heads_send(taps_framing *f, const struct taps_sent_message *message)
{
    (void)message;
    int err = taps_framing_send(f, "0123456789", 10);
    if (!err)
        err = taps_framing_send(f, "abcdefghij", 10);
    if (!err)
        err = taps_framing_send(f, "<=>", 3);
    if (!err)
        err = taps_framing_send_message(f);
    return err ? err : taps_framing_send(f, ".", 1);
}

static const struct taps_framer_definition heads = {.name = "heads", .new_sent_message = heads_send};

TEST(what_is_sent_before_the_message_keeps_its_order)
{
    struct test_framing t;
    open_with(&t, &heads, NULL, false, false);
    for (unsigned room = 0; room <= TAPSI_OP_HEAD_ROOM; room++) {
        t.top->head_room = (uint8_t)room;
        CHECK_INT(test_framing_send_text(&t, "message"), 0);
        CHECK(test_framing_wrote_text(&t, "0123456789abcdefghij<=>message."));
    }
    test_framing_close(&t);
}

TEST(what_a_framer_refuses_is_refused_alone)
{
    struct test_framing t;
    open_with(&t, &one, NULL, false, false);
    CHECK_INT(test_framing_send_text(&t, "!"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(test_framing_send_text(&t, "ab"), 0);
    CHECK(test_framing_wrote_text(&t, "\002ab"));
    test_framing_close(&t);
}

TEST(parts_are_refused_by_one_that_takes_only_whole_messages)
{
    struct test_framing t;
    open_with(&t, &one, NULL, false, false);
    CHECK_INT(test_framing_send(&t, "ab", 2, 0, NULL), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(test_framing_send(&t, "ab", 2, TAPSI_OP_END | TAPSI_OP_CONTINUES, NULL), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(t.out_length, 0);
    test_framing_close(&t);
}

TEST(a_message_that_waits_holds_up_those_behind_it_until_resume)
{
    struct test_framing t;
    open_with(&t, &one, NULL, false, false);
    waits = true;
    CHECK_INT(test_framing_send_text(&t, "a"), 0);
    CHECK_INT(test_framing_send_text(&t, "?"), 0);
    CHECK_INT(test_framing_send_text(&t, "b"), 0);
    CHECK(test_framing_wrote_text(&t, "\001a"));
    waits = false;
    taps_framing_resume(tapsi_adapter_of(t.top)->framing);
    test_framing_turn(&t);
    CHECK(test_framing_wrote_text(&t, "\001?\001b"));
    CHECK_INT(t.sent, 3);
    test_framing_close(&t);
}

/* proves API-130 */
TEST(the_framer_added_last_frames_first_and_parses_last)
{
    struct test_framing t;
    open_with(&t, &polite, &one, false, false);
    CHECK_INT(t.ready, 0);
    test_framing_feed_text(&t, "ok\n");
    CHECK_INT(t.ready, 1);
    CHECK(test_framing_wrote_text(&t, "hi"));
    test_framing_feed_text(&t, "\002xy");
    CHECK(test_framing_got_text(&t, 0, "xy"));
    test_framing_send_text(&t, "z");
    CHECK(test_framing_wrote_text(&t, "\001z"));
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------- receiving */

TEST(bytes_become_messages_however_they_are_split)
{
    for (size_t step = 1; step <= 9; step++) {
        struct test_framing t;
        open_with(&t, &one, NULL, true, false);
        test_framing_feed_split(&t, "\003abc\000\002de", 8, step);
        CHECK_INT(t.count, 3);
        CHECK(test_framing_got_text(&t, 0, "abc"));
        CHECK(test_framing_got_text(&t, 1, ""));
        CHECK(test_framing_got_text(&t, 2, "de"));
        CHECK_TEXT(test_framing_meta(&t, 2, "one", "length"), "2");
        test_framing_end(&t);
        CHECK_INT(t.ends, 1);
        test_framing_close(&t);
    }
}

TEST(the_peers_end_in_mid_message_is_truncation_at_every_byte)
{
    for (size_t cut = 1; cut < 4; cut++) {
        struct test_framing t;
        open_with(&t, &one, NULL, true, false);
        test_framing_feed(&t, "\003abc", cut);
        test_framing_end(&t);
        CHECK(test_framing_failed(&t, TAPS_E_TRUNCATED));
        CHECK_INT(t.ends, 0);
        test_framing_close(&t);
    }
}

TEST(what_does_not_parse_ends_the_connection_with_the_framers_words)
{
    struct test_framing t;
    open_with(&t, &one, NULL, true, false);
    test_framing_feed_text(&t, "\001a\377");
    CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
    CHECK_TEXT(t.error.text, "one: a length of 255 is not allowed");
    CHECK(test_framing_got_text(&t, 0, "a"));
    test_framing_close(&t);
}

TEST(a_reset_is_the_sinks_at_once)
{
    struct test_framing t;
    open_with(&t, &one, NULL, true, false);
    test_framing_feed_text(&t, "\005ab");
    test_framing_reset(&t);
    CHECK(test_framing_failed(&t, TAPS_E_ABORTED));
    test_framing_close(&t);
}

/* --------------------------------------------------------------------------------------- beginning and end */

/* proves API-132 */
TEST(a_framer_delays_ready_and_has_the_last_word)
{
    struct test_framing t;
    open_with(&t, &polite, NULL, false, false);
    CHECK_INT(t.ready, 0);
    CHECK(test_framing_wrote_text(&t, "hi"));
    test_framing_feed_split(&t, "ok\n", 3, 1);
    CHECK_INT(t.ready, 1);
    test_framing_shut(&t);
    CHECK(test_framing_wrote_text(&t, "bye"));
    CHECK(t.closed_below);
    CHECK_INT(t.closed, 1);
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
}

TEST(a_framer_that_refuses_its_peer_fails_before_it_is_ready)
{
    struct test_framing t;
    open_with(&t, &polite, NULL, false, false);
    test_framing_feed_text(&t, "no\n");
    CHECK_INT(t.ready, 0);
    CHECK(test_framing_failed(&t, TAPS_E_PROTOCOL));
    CHECK_TEXT(t.error.text, "polite: the peer said no");
    test_framing_close(&t);
}

TEST(the_peers_end_before_ready_is_a_failure)
{
    struct test_framing t;
    open_with(&t, &polite, NULL, false, false);
    test_framing_feed_text(&t, "ok");
    test_framing_end(&t);
    CHECK(test_framing_failed(&t, TAPS_E_ESTABLISHMENT));
    test_framing_close(&t);
}

TEST(a_final_message_half_closes_below_only_where_the_framer_has_no_word_for_it)
{
    struct test_framing t;
    open_with(&t, &one, NULL, false, false);
    test_framing_send(&t, "a", 1, TAPSI_OP_END | TAPSI_OP_FINAL, NULL);
    CHECK(t.final_out);
    CHECK_INT(test_framing_send_text(&t, "b"), TAPS_E_CLOSED);
    test_framing_close(&t);
    open_with(&t, &polite, NULL, false, false);
    test_framing_feed_text(&t, "ok\n");
    test_framing_send(&t, "a", 1, TAPSI_OP_END | TAPSI_OP_FINAL, NULL);
    CHECK(!t.final_out);
    test_framing_close(&t);
}

/* --------------------------------------------------------------------------------- passthrough and prepending */

TEST(a_framer_steps_aside)
{
    struct test_framing t;
    open_with(&t, &gate, NULL, false, false);
    CHECK_INT(t.ready, 0);
    test_framing_feed_text(&t, "goab");
    CHECK_INT(t.ready, 1);
    CHECK_INT(t.bytes, 2);
    test_framing_feed_text(&t, "cd");
    CHECK_INT(t.bytes, 4);
    test_framing_send_text(&t, "xy");
    CHECK(test_framing_wrote_text(&t, "xy"));
    test_framing_end(&t);
    CHECK_INT(t.ends, 1);
    test_framing_close(&t);
}

TEST(another_framer_is_put_above_one_at_work)
{
    struct test_framing t;
    taps_framer *framer;
    CHECK_INT(taps_framer_new_custom(&gate, &framer), 0);
    *(bool *)taps_framer_options(framer) = true;
    const taps_framer *list = framer;
    test_framing_open(&t, &list, 1, false, false);
    taps_framer_free(framer);
    test_framing_feed_split(&t, "go\002ab\001c", 7, 3);
    CHECK_INT(t.ready, 1);
    CHECK(test_framing_got_text(&t, 0, "ab"));
    CHECK(test_framing_got_text(&t, 1, "c"));
    test_framing_send_text(&t, "xy");
    CHECK(test_framing_wrote_text(&t, "\002xy"));
    test_framing_shut(&t);
    CHECK_INT(t.closed, 1);
    test_framing_close(&t);
}

/* One that goes on giving empty Messages for nothing is not asked for ever. */
TEST(what_takes_nothing_is_not_asked_again)
{
    struct test_framing t;
    open_with(&t, &polite, NULL, false, false);
    test_framing_feed_text(&t, "ok\n");
    test_framing_end(&t);
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------ datagrams */

/* The ops are the creator's when the stack is destroyed; those in a datagram that has not left are let go, too. */
TEST(messages_in_a_datagram_that_never_left_are_let_go)
{
    struct test_framing t;
    open_with(&t, &one, NULL, false, true);
    t.stalled = true;
    test_framing_send_text(&t, "ab");
    test_framing_send_text(&t, "c");
    CHECK_INT(t.sent, 0);
    test_framing_close(&t); /* the loop's pools are empty then */
}

/* proves API-133 */
TEST(messages_of_one_turn_share_a_datagram)
{
    struct test_framing t;
    open_with(&t, &one, NULL, false, true);
    for (int i = 0; i < 3; i++) {
        struct tapsi_op *op = tapsi_op_new(&t.loop);
        op->flags = TAPSI_OP_END;
        CHECK_INT(tapsi_op_copy(op, "ab", 2), 0);
        CHECK_INT(tapsi_layer_send(t.top, op), 0);
    }
    test_framing_turn(&t);
    CHECK_INT(t.datagram_count, 1);
    CHECK(test_framing_wrote_text(&t, "\002ab\002ab\002ab"));
    test_framing_send_text(&t, "c");
    CHECK_INT(t.datagram_count, 1);
    CHECK_INT(t.sent, 1);
    test_framing_feed_text(&t, "\002ab\001c");
    CHECK(test_framing_got_text(&t, 0, "ab"));
    CHECK(test_framing_got_text(&t, 1, "c"));
    test_framing_close(&t);
}

TEST(a_datagram_that_does_not_parse_costs_only_itself)
{
    struct test_framing t;
    open_with(&t, &one, NULL, false, true);
    test_framing_feed_text(&t, "\005ab");
    CHECK_INT(t.soft_errors, 1);
    test_framing_feed_text(&t, "\377");
    CHECK_INT(t.soft_errors, 2);
    CHECK_INT(t.error.pub.code, TAPS_E_DEFRAMING);
    test_framing_feed_text(&t, "\001x");
    CHECK(test_framing_got_text(&t, 0, "x"));
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

/* -------------------------------------------------------------------------------------------- reading ahead */

/* Answers "!" with "!"; every other byte is a Message. */
static int answer(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    if (taps_framing_parse(f, 1, 1, &data, &length) <= 0)
        return 0;
    if (*data != '!')
        return taps_framing_deliver_and_advance(f, 1, true);
    taps_framing_advance(f, 1);
    return taps_framing_send(f, "!", 1);
}

static const struct taps_framer_definition answerer = {
    .name = "answerer", .flags = TAPS_FRAMER_READS_AHEAD, .handle_received_data = answer};

static const struct taps_framer_definition no_answerer = {.name = "no-answerer", .handle_received_data = answer};

TEST(a_framer_that_reads_ahead_answers_its_peer_while_nobody_receives)
{
    struct test_framing t;
    open_with(&t, &answerer, NULL, true, false);
    tapsi_layer_want(t.top, 0);
    test_framing_feed_text(&t, "!!");
    CHECK(test_framing_wrote_text(&t, "!!"));
    CHECK(t.wire->want > 0);
    CHECK(!taps_framing_is_held_up(tapsi_adapter_of(t.top)->framing));
    test_framing_feed_text(&t, "!m!n!");
    CHECK(test_framing_wrote_text(&t, "!"));
    CHECK_INT(t.count, 0);
    CHECK_INT(t.wire->want, 0);
    CHECK(taps_framing_is_held_up(tapsi_adapter_of(t.top)->framing));
    tapsi_layer_want(t.top, 1);
    test_framing_turn(&t);
    CHECK(test_framing_got_text(&t, 0, "m"));
    CHECK(test_framing_got_text(&t, 1, "n"));
    CHECK(test_framing_wrote_text(&t, "!!"));
    test_framing_close(&t);
}

TEST(one_that_does_not_is_not_asked_while_nobody_receives)
{
    struct test_framing t;
    open_with(&t, &no_answerer, NULL, true, false);
    tapsi_layer_want(t.top, 0);
    test_framing_feed_text(&t, "!");
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(t.wire->want, 0);
    tapsi_layer_want(t.top, 1);
    test_framing_turn(&t);
    CHECK(test_framing_wrote_text(&t, "!"));
    test_framing_close(&t);
}
