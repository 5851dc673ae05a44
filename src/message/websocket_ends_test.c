/* The WebSocket Framer: how a Connection ends. */
#include "base/test.h"
#include "message/test_websocket.h"

TEST(close_says_so_and_waits_for_the_answer)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        ws_open_ready(&t, server, "");
        test_framing_shut(&t);
        ws_check_close(&t, 1000);
        CHECK(!t.closed_below);
        ws_feed_text(&t, 0x82, "too late");
        CHECK(!t.closed_below);
        ws_feed(&t, 0x88, "\x03\xe8", 2);
        CHECK(t.closed_below);
        CHECK_INT(t.closed, 1);
        CHECK_INT(t.error.pub.code, 0);
        CHECK_INT(t.out_length, 0);
        CHECK_INT(t.count, 0);
        test_framing_close(&t);
    }
}

TEST(close_does_not_wait_for_ever)
{
    struct test_framing t;
    ws_open_ready(&t, true, "close-timeout=300");
    test_framing_shut(&t);
    test_framing_pass(&t, 299);
    CHECK(!t.closed_below);
    test_framing_pass(&t, 1);
    CHECK(t.closed_below);
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
    ws_open_ready(&t, true, "");
    test_framing_shut(&t);
    test_framing_end(&t);
    CHECK(t.closed_below);
    test_framing_close(&t);
}

TEST(the_peers_close_is_answered_and_ends_both_directions)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        ws_open_ready(&t, server, "");
        ws_feed_text(&t, 0x81, "last");
        ws_feed(&t, 0x88,
                "\x03\xe9"
                "bye",
                5);
        ws_check_close(&t, 1001);
        CHECK_INT(t.ends, 1);
        CHECK_TEXT(tapsi_meta_get(t.end_meta, "websocket", "the end"), "the peer closed with 1001: bye");
        CHECK_INT(test_framing_send_text(&t, "nobody reads this"), TAPS_E_CLOSED);
        CHECK(t.closed_below);
        CHECK_INT(t.closed, 1);
        CHECK_INT(t.error.pub.code, 0);
        test_framing_close(&t);
    }
}

TEST(a_close_without_a_code_is_answered_without_one)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    ws_feed(&t, 0x88, NULL, 0);
    ws_check_sent(&t, 0x88, "");
    CHECK_TEXT(tapsi_meta_get(t.end_meta, "websocket", "the end"), "the peer closed with 1005");
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
}

/* proves API-104 */
TEST(a_final_message_closes_this_direction_and_the_other_goes_on)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    CHECK_INT(test_framing_send(&t, "last", 4, TAPSI_OP_END | TAPSI_OP_FINAL, NULL), 0);
    ws_check_sent(&t, 0x82, "last");
    ws_check_close(&t, 1000);
    CHECK(!t.final_out);
    CHECK_INT(test_framing_send_text(&t, "more"), TAPS_E_CLOSED);
    ws_feed_text(&t, 0x82, "still here");
    CHECK(test_framing_got_text(&t, 0, "still here"));
    ws_feed_text(&t, 0x89, "nothing follows a Close");
    CHECK_INT(t.out_length, 0);
    ws_feed(&t, 0x88, "\x03\xe8", 2);
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.out_length, 0);
    CHECK(t.closed_below);
    test_framing_close(&t);
}

TEST(a_final_message_may_name_a_code_and_a_reason)
{
    struct test_framing t;
    struct tapsi_meta *meta = NULL;
    char reason[200];
    ws_open_ready(&t, true, "");
    memset(reason, 'r', sizeof(reason));
    memcpy(reason + 122, "\xc3\xbc", 3);
    tapsi_meta_add(&meta, &t.mem, "websocket", "close-code", "4001");
    tapsi_meta_add(&meta, &t.mem, "websocket", "close-reason", reason);
    CHECK_INT(test_framing_send(&t, "", 0, TAPSI_OP_END | TAPSI_OP_FINAL, meta), 0);
    tapsi_meta_unref(meta);
    ws_check_sent(&t, 0x82, "");
    struct ws_sent sent = ws_next_sent(&t);
    CHECK_INT(sent.head.length, 124); /* half a character is not sent */
    CHECK(memcmp(sent.payload, "\x0f\xa1rrr", 5) == 0);
    test_framing_close(&t);
}

TEST(codes_that_say_that_something_is_wrong_are_errors)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    ws_feed(&t, 0x88, "\x03\xf1too big", 9);
    ws_check_failed(&t, TAPS_E_PROTOCOL, 1009, "the peer closed with 1009: too big");
}

TEST(ends_that_are_none)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    test_framing_end(&t);
    ws_check_failed(&t, TAPS_E_TRUNCATED, 0, "without a Close frame");
    ws_open_ready(&t, true, "");
    ws_feed_text(&t, 0x02, "half");
    ws_feed(&t, 0x88, "\x03\xe8", 2);
    ws_check_failed(&t, TAPS_E_TRUNCATED, 1000, "in the middle of a Message");
}

/* proves API-124 */
TEST(the_peers_end_at_every_byte_of_a_frame_is_a_truncation)
{
    for (int server = 0; server < 2; server++) {
        uint8_t bytes[64];
        size_t length = ws_frame(bytes, server, 0x82, "Hello", 5);
        for (int control = 0; control < 2; control++) {
            bytes[0] = control ? 0x89 : 0x82;
            for (size_t cut = 1; cut < length; cut++) {
                struct test_framing t;
                ws_open_ready(&t, server, "");
                test_framing_feed(&t, bytes, cut);
                test_framing_end(&t);
                ws_check_failed(&t, TAPS_E_TRUNCATED, 0, "the peer ended");
            }
        }
    }
}
