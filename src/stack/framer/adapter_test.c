/* The adapter where things come together: Framers on each other, waits, ends. */
#include "stack/framer/test_framing.h"

#include <stdio.h>
#include "base/test.h"

static void open_custom(struct test_framing *t, const struct taps_framer_definition *a,
                        const struct taps_framer_definition *b, bool server, bool datagram)
{
    taps_framer *framers[2] = {NULL};
    CHECK_INT(taps_framer_new_custom(a, &framers[0]), 0);
    if (b)
        CHECK_INT(taps_framer_new_custom(b, &framers[1]), 0);
    test_framing_open(t, (const taps_framer *const *)framers, b ? 2 : 1, server, datagram);
    taps_framer_free(framers[0]);
    taps_framer_free(framers[1]);
}

/* ------------------------------------------------------------------------------------------------- on each other */

/* A byte of length in front; bytes are taken as one() of framing_test.c does. */
static int one_send(taps_framing *f, const struct taps_sent_message *message)
{
    uint8_t head = (uint8_t)message->length;
    int err = taps_framing_send(f, &head, 1);
    return err ? err : taps_framing_send_message(f);
}

static int one_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    if (taps_framing_parse(f, 1, 1, &data, &length) <= 0)
        return 0;
    uint8_t count = *data;
    taps_framing_advance(f, 1);
    return taps_framing_deliver_and_advance(f, count, true);
}

static const struct taps_framer_definition one = {
    .name = "one", .flags = TAPS_FRAMER_PACKS, .new_sent_message = one_send, .handle_received_data = one_receive};

/* A head as long as the Message. */
static int mirror_send(taps_framing *f, const struct taps_sent_message *message)
{
    int err = taps_framing_send(f, "################", message->length);
    return err ? err : taps_framing_send_message(f);
}

static const struct taps_framer_definition mirror = {.name = "mirror", .new_sent_message = mirror_send};

TEST(a_head_too_long_for_the_room_leaves_it_to_nobody)
{
    struct test_framing t;
    open_custom(&t, &one, &mirror, false, false);
    CHECK_INT(test_framing_send_text(&t, "ab"), 0);
    CHECK(test_framing_wrote_text(&t, "\004##ab"));
    CHECK_INT(test_framing_send_text(&t, "abcdef"), 0);
    CHECK(test_framing_wrote_text(&t, "\014######abcdef"));
    test_framing_close(&t);
}

/* Answers each byte with "!", and delivers it. */
static int echo_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    if (taps_framing_parse(f, 1, 1, &data, &length) <= 0)
        return 0;
    int err = taps_framing_send(f, "!", 1);
    return err ? err : taps_framing_deliver_and_advance(f, 1, true);
}

static const struct taps_framer_definition echo = {.name = "echo", .handle_received_data = echo_receive};

TEST(own_bytes_are_counted_without_what_is_put_around_them_below)
{
    struct test_framing t;
    open_custom(&t, &one, &echo, true, false);
    test_framing_feed_text(&t, "\001a\001b");
    CHECK(test_framing_wrote_text(&t, "\001!\001!"));
    CHECK_INT(tapsi_adapter_of(t.top)->framing->own, 0);
    test_framing_feed_text(&t, "\001c");
    CHECK_INT(t.count, 3);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------- datagrams */

static void send_now(struct test_framing *t, const char *text, unsigned flags)
{
    struct tapsi_op *op = tapsi_op_new(&t->loop);
    op->flags = (uint16_t)(TAPSI_OP_END | flags);
    CHECK_INT(tapsi_op_copy(op, text, strlen(text)), 0);
    CHECK_INT(tapsi_layer_send(t->top, op), 0);
}

TEST(the_final_message_leaves_behind_those_that_share_a_datagram)
{
    struct test_framing t;
    open_custom(&t, &one, NULL, false, true);
    send_now(&t, "ab", 0);
    send_now(&t, "c", 0);
    send_now(&t, "end", TAPSI_OP_FINAL);
    test_framing_turn(&t);
    CHECK(test_framing_wrote_text(&t, "\002ab\001c\003end"));
    test_framing_close(&t);
}

/* Waits until `open`. */
static bool open;

static int patient_receive(taps_framing *f)
{
    size_t here = taps_framing_available(f);
    if (!open)
        return TAPS_FRAMING_WAIT;
    return here ? taps_framing_deliver_and_advance(f, here, true) : 0;
}

static const struct taps_framer_definition patient = {.name = "patient", .handle_received_data = patient_receive};

TEST(a_datagram_that_waits_is_not_one_that_does_not_parse)
{
    struct test_framing t;
    open = false;
    open_custom(&t, &patient, NULL, false, true);
    test_framing_feed_text(&t, "abc");
    test_framing_feed_text(&t, "de");
    CHECK_INT(t.soft_errors, 0);
    open = true;
    taps_framing_resume(tapsi_adapter_of(t.top)->framing);
    test_framing_turn(&t);
    CHECK(test_framing_got_text(&t, 0, "abc"));
    CHECK(test_framing_got_text(&t, 1, "de"));
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------- bounds */

TEST(a_framer_that_waits_does_not_hold_without_end)
{
    struct test_framing t;
    static const char block[4096];
    open = false;
    open_custom(&t, &patient, NULL, false, false);
    tapsi_layer_want(t.top, 1000);
    tapsi_framing_grant(tapsi_adapter_of(t.top)->framing);
    size_t total = 0;
    for (int i = 0; i < 200 && t.wire->want; i++, total += sizeof(block))
        test_framing_feed(&t, block, sizeof(block));
    CHECK_INT(t.wire->want, 0);
    CHECK(total <= 2 * TAPS_PARSE_MAX);
    open = true;
    taps_framing_resume(tapsi_adapter_of(t.top)->framing);
    test_framing_turn(&t);
    CHECK_INT(t.bytes, total);
    CHECK(t.wire->want > 0);
    test_framing_close(&t);
}

/* Takes nothing before there are a thousand bytes. */
static int thousand_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    int got = taps_framing_parse(f, 1000, 1000, &data, &length);
    return got <= 0 ? got : taps_framing_deliver_and_advance(f, 1000, true);
}

static const struct taps_framer_definition thousand = {.name = "thousand", .handle_received_data = thousand_receive};

TEST(single_bytes_of_many_blocks_do_not_pin_them)
{
    struct test_framing t;
    open_custom(&t, &thousand, NULL, true, false);
    for (int i = 0; i < 1000; i++) {
        struct tapsi_buffer *b = tapsi_buffer_new(&t.mem, TAPSI_READ_SIZE);
        b->data[0] = (uint8_t)i;
        tapsi_layer_deliver(t.wire, &(struct tapsi_slice){.data = b->data, .length = 1, .buffer = b, .ecn = -1});
        CHECK(tapsi_adapter_of(t.top)->framing->count <= 10);
        tapsi_buffer_unref(b);
    }
    test_framing_turn(&t);
    CHECK_INT(t.count, 1);
    CHECK_INT(t.messages[0].length, 1000);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(t.messages[0].data[i], (uint8_t)i);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------- stepping aside */

static int prepend_start(taps_framing *f)
{
    taps_framer *framer;
    f->adapter->info = (struct tapsi_ready_info){.security = TAPS_TLS_1_3,
                                                 .authenticated = true}; /* as what is below would have said */
    int err = taps_framer_new_custom(&one, &framer);
    if (!err)
        err = taps_framing_prepend_framer(f, framer);
    taps_framer_free(framer);
    taps_framing_make_ready(f);
    return err;
}

static const struct taps_framer_definition prepends = {.name = "prepends", .start = prepend_start};

TEST(the_security_below_is_known_above_what_was_prepended)
{
    struct test_framing t;
    open_custom(&t, &prepends, NULL, false, false);
    CHECK_INT(t.ready, 1);
    CHECK_INT(tapsi_adapter_of(t.top)->info.security, TAPS_TLS_1_3);
    CHECK(tapsi_adapter_of(t.top)->info.authenticated);
    test_framing_close(&t);
}

/* A Message of six bytes, and nothing more is its own. */
static int last_receive(taps_framing *f)
{
    if (!taps_framing_available(f))
        return 0;
    int err = taps_framing_deliver_and_advance(f, 6, true);
    taps_framing_start_passthrough(f);
    return err;
}

static const struct taps_framer_definition last = {.name = "last", .handle_received_data = last_receive};

TEST(what_was_promised_is_kept_before_it_steps_aside)
{
    struct test_framing t;
    open_custom(&t, &last, NULL, true, false);
    test_framing_feed_text(&t, "abc");
    test_framing_feed_text(&t, "defgh");
    CHECK(test_framing_got_text(&t, 0, "abcdef"));
    CHECK_INT(t.bytes, 8);
    test_framing_feed_text(&t, "ij");
    CHECK_INT(t.bytes, 10);
    test_framing_close(&t);
}

static int aside_start(taps_framing *f)
{
    taps_framing_start_passthrough(f);
    taps_framing_make_ready(f);
    return 0;
}

static const struct taps_framer_definition aside = {.name = "aside", .start = aside_start};

static void end_below(struct test_framing *t)
{
    test_framing_end(t);
    if (t->wire)
        tapsi_layer_closed(t->wire, NULL);
    test_framing_turn(t);
}

TEST(what_is_held_by_one_that_stepped_aside_comes_before_the_end)
{
    struct test_framing t;
    open_custom(&t, &aside, NULL, true, false);
    tapsi_framing_hold(tapsi_adapter_of(t.top)->framing,
                       &(struct tapsi_slice){.data = (const uint8_t *)"abc", .length = 3, .ecn = -1});
    t.stingy = true;
    t.top->want = 0;
    test_framing_feed_text(&t, "def");
    end_below(&t);
    CHECK_INT(t.closed, 0);
    tapsi_layer_want(t.top, 1000);
    test_framing_turn(&t);
    CHECK_INT(t.bytes, 6);
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.closed, 1);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------- ends */

TEST(close_after_both_ends_below_is_told_although_bytes_wait)
{
    struct test_framing t;
    open_custom(&t, &one, NULL, true, false);
    t.stingy = true;
    tapsi_layer_want(t.top, 0);
    test_framing_feed_text(&t, "\003abc\003de");
    end_below(&t);
    CHECK_INT(t.closed, 0);
    tapsi_layer_drain(t.top);
    test_framing_shut(&t);
    CHECK_INT(t.closed, 1);
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
}

TEST(an_end_in_mid_message_is_told_although_all_below_has_ended)
{
    struct test_framing t;
    open_custom(&t, &one, NULL, true, false);
    t.stingy = true;
    tapsi_layer_want(t.top, 3);
    test_framing_feed_text(&t, "\005abc");
    CHECK_INT(t.top->want, 0);
    end_below(&t);
    tapsi_layer_want(t.top, 1000);
    test_framing_turn(&t);
    CHECK(test_framing_failed(&t, TAPS_E_TRUNCATED));
    test_framing_close(&t);
}

TEST(an_end_that_nobody_asked_for_yet_comes_before_closed)
{
    struct test_framing t;
    open_custom(&t, &one, NULL, true, false);
    t.stingy = true;
    tapsi_layer_want(t.top, 3);
    test_framing_feed_text(&t, "\003abc");
    end_below(&t);
    CHECK_INT(t.closed, 0);
    tapsi_layer_want(t.top, 1000);
    test_framing_turn(&t);
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.closed, 1);
    test_framing_close(&t);
}
