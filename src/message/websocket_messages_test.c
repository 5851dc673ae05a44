/* The WebSocket Framer: Messages, the control frames between them, and Messages that nobody asks for. */
#include <stdlib.h>
#include "base/test.h"
#include "message/test_websocket.h"

/* --------------------------------------------------------------------------------------------------- Messages */

TEST(messages_of_a_server_are_not_masked_and_those_of_a_client_are)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    CHECK_INT(ws_send_typed(&t, "Hello", TAPSI_OP_END, "type", "text"), 0);
    CHECK(test_framing_wrote(&t, "\x81\x05Hello", 7));
    CHECK_INT(test_framing_send_text(&t, "Hello"), 0);
    CHECK(test_framing_wrote(&t, "\x82\x05Hello", 7));
    test_framing_close(&t);
    ws_open_ready(&t, false, "");
    CHECK_INT(ws_send_typed(&t, "Hello", TAPSI_OP_END, "type", "text"), 0);
    ws_check_sent(&t, 0x81, "Hello");
    test_framing_close(&t);
}

TEST(every_frame_of_a_client_has_a_mask_of_its_own)
{
    struct test_framing t;
    uint8_t last[4] = {0};
    ws_open_ready(&t, false, "");
    for (int i = 0; i < 60; i++) {
        CHECK_INT(test_framing_send_text(&t, "x"), 0);
        struct ws_sent sent = ws_next_sent(&t);
        CHECK(memcmp(sent.head.mask, last, 4) != 0);
        memcpy(last, sent.head.mask, 4);
    }
    test_framing_close(&t);
}

TEST(messages_of_every_size_go_and_come)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 2040, 2048, 2049, 4096, 65535, 65536, 300000};
    char *bytes = malloc(300000);
    for (size_t i = 0; i < 300000; i++)
        bytes[i] = (char)(i * 31 + (i >> 8));
    for (int mode = 0; mode < 4; mode++) {
        struct test_framing t, peer;
        bool server = mode & 1;
        void (*const open)(struct test_framing *, bool, const char *) = mode & 2 ? ws_open_deflate : ws_open_ready;
        const char *options = mode & 2 ? "deflate=on" : "";
        open(&t, server, options);
        open(&peer, !server, options);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            CHECK_INT(test_framing_send(&t, bytes, sizes[i], TAPSI_OP_END, NULL), 0);
            test_framing_feed_split(&peer, t.out, t.out_length, 1000);
            test_framing_forget(&t);
            if (!test_framing_got(&peer, i, bytes, sizes[i]))
                tapsi_test_fail(__FILE__, __LINE__, "mode %d, %zu bytes (%s)", mode, sizes[i], peer.error.text);
        }
        test_framing_close(&t);
        test_framing_close(&peer);
    }
    free(bytes);
}

TEST(parts_become_fragments)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        ws_open_ready(&t, server, "");
        CHECK_INT(ws_send_typed(&t, "one", 0, "type", "text"), 0);
        ws_feed_text(&t, 0x89, "between");
        CHECK_INT(test_framing_send(&t, "two", 3, TAPSI_OP_CONTINUES, NULL), 0);
        CHECK_INT(test_framing_send(&t, "", 0, TAPSI_OP_CONTINUES, NULL), 0);
        CHECK_INT(test_framing_send(&t, "", 0, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), 0);
        CHECK_INT(test_framing_send_text(&t, "next"), 0);
        ws_check_sent(&t, 0x01, "one");
        ws_check_sent(&t, 0x8a, "between");
        ws_check_sent(&t, 0x00, "two");
        ws_check_sent(&t, 0x80, "");
        ws_check_sent(&t, 0x82, "next");
        test_framing_close(&t);
    }
}

TEST(a_first_part_without_bytes_leaves_the_type_to_the_next)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    CHECK_INT(ws_send_typed(&t, "", 0, "type", "text"), 0);
    CHECK_INT(test_framing_send(&t, "two", 3, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), 0);
    ws_check_sent(&t, 0x81, "two");
    test_framing_close(&t);
}

TEST(messages_are_split_where_that_is_asked_for)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        char text[301];
        memset(text, 'a', 300);
        text[300] = '\0';
        ws_open_ready(&t, server, "fragment=128");
        CHECK_INT(test_framing_send_text(&t, text), 0);
        text[128] = '\0';
        ws_check_sent(&t, 0x02, text);
        ws_check_sent(&t, 0x00, text);
        text[44] = '\0';
        ws_check_sent(&t, 0x80, text);
        text[44] = 'a';
        CHECK_INT(test_framing_send_text(&t, text), 0);
        ws_check_sent(&t, 0x82, text);
        test_framing_close(&t);
    }
}

TEST(fragments_are_delivered_as_they_come)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        ws_open_ready(&t, server, "");
        ws_feed_text(&t, 0x01, "gr\xc3");
        CHECK_INT(t.bytes, 3);
        ws_feed_text(&t, 0x89, "");
        ws_feed_text(&t, 0x00, "\xbc");
        ws_feed_text(&t, 0x00, "");
        ws_feed_text(&t, 0x80, "n");
        CHECK(test_framing_got_text(&t, 0, "gr\xc3\xbcn"));
        CHECK_INT(t.count, 1);
        ws_check_sent(&t, 0x8a, "");
        ws_feed_text(&t, 0x02, "");
        ws_feed_text(&t, 0x80, "");
        CHECK(test_framing_got_text(&t, 1, ""));
        test_framing_close(&t);
    }
}

/* The bytes of a long Message go up as they come, and nothing of them is held. */
TEST(a_long_message_needs_no_memory_of_its_length)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        uint8_t head[TAPSI_WS_HEAD_MAX], piece[8192] = {0};
        ws_open_ready(&t, server, "maximum=1G");
        t.keeps = false;
        struct tapsi_ws_head is = {.opcode = TAPSI_WS_BINARY, .final = true, .masked = server, .length = 8 << 20};
        test_framing_feed(&t, head, tapsi_ws_head_write(head, &is));
        for (size_t done = 0; done < is.length; done += sizeof(piece)) {
            test_framing_feed(&t, piece, sizeof(piece));
            if (t.bytes != done + sizeof(piece)) {
                tapsi_test_fail(__FILE__, __LINE__, "%llu bytes at %zu", (unsigned long long)t.bytes, done);
                break;
            }
        }
        test_framing_close(&t);
    }
}

TEST(a_type_that_there_is_not_is_refused)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    CHECK_INT(ws_send_typed(&t, "x", TAPSI_OP_END, "type", "json"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(ws_send_typed(&t, "\xff", TAPSI_OP_END, "type", "text"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(ws_send_typed(&t, "\xc3", TAPSI_OP_END, "type", "text"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(ws_send_typed(&t, "x", TAPSI_OP_END | TAPSI_OP_FINAL, "close-code", "1005"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(t.out_length, 0);
    CHECK_INT(test_framing_send_text(&t, "good"), 0);
    ws_check_sent(&t, 0x82, "good");
    test_framing_close(&t);
}

TEST(a_text_that_goes_wrong_in_a_later_part_fails)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    CHECK_INT(ws_send_typed(&t, "good \xc3", 0, "type", "text"), 0);
    CHECK_INT(test_framing_send(&t, "(", 1, TAPSI_OP_CONTINUES, NULL), TAPS_E_MESSAGE_PROPERTIES);
    ws_check_failed(&t, TAPS_E_MESSAGE_PROPERTIES, 0, "cannot be sent on");
}

/* ----------------------------------------------------------------------------------------------- control frames */

TEST(pings_are_answered_and_pongs_are_not)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        char longest[126];
        memset(longest, 'p', 125);
        longest[125] = '\0';
        ws_open_ready(&t, server, "");
        ws_feed_text(&t, 0x8a, "nobody asked");
        CHECK_INT(t.out_length, 0);
        ws_feed_text(&t, 0x89, longest);
        ws_check_sent(&t, 0x8a, longest);
        test_framing_close(&t);
    }
}

TEST(pings_without_end_do_not_make_pongs_without_end)
{
    struct test_framing t;
    uint8_t *bytes = malloc(64 * 131);
    char payload[125] = {0};
    size_t length = 0;
    ws_open_ready(&t, true, "");
    t.stalled = true;
    for (int i = 0; i < 64; i++)
        length += ws_frame(bytes + length, true, 0x89, payload, sizeof(payload));
    for (int i = 0; i < 200; i++)
        test_framing_feed(&t, bytes, length);
    CHECK(t.wire->queued < 80000);
    test_framing_close(&t);
    free(bytes);
}

TEST(silence_is_pinged_and_then_given_up)
{
    struct test_framing t;
    ws_open_ready(&t, true, "ping-interval=1000,ping-timeout=200");
    test_framing_pass(&t, 999);
    CHECK_INT(t.out_length, 0);
    test_framing_pass(&t, 1);
    ws_check_sent(&t, 0x89, "");
    ws_feed_text(&t, 0x8a, "");
    test_framing_pass(&t, 200);
    CHECK_INT(t.closed, 0);
    test_framing_pass(&t, 1000);
    ws_check_sent(&t, 0x89, "");
    test_framing_pass(&t, 199);
    CHECK_INT(t.closed, 0);
    test_framing_pass(&t, 1);
    ws_check_failed(&t, TAPS_E_TIMEOUT, 0, "ping within 200 ms");
}

/* ------------------------------------------------------------------------------------------------ nobody asks */

TEST(pings_are_answered_while_nobody_asks_for_messages)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        ws_open_ready(&t, server, "");
        tapsi_layer_want(t.top, 0);
        ws_feed_text(&t, 0x89, "there?");
        ws_check_sent(&t, 0x8a, "there?");
        ws_feed_text(&t, 0x81, "a Message");
        ws_feed_text(&t, 0x82, "");
        ws_feed_text(&t, 0x89, "behind");
        CHECK_INT(t.count, 0);
        CHECK_INT(t.out_length, 0);
        CHECK_INT(t.wire->want, 0);
        tapsi_layer_want(t.top, 1000);
        test_framing_turn(&t);
        CHECK(test_framing_got_text(&t, 0, "a Message"));
        CHECK(test_framing_got_text(&t, 1, ""));
        ws_check_sent(&t, 0x8a, "behind");
        test_framing_close(&t);
    }
}

TEST(close_is_answered_while_nobody_asks_and_told_when_somebody_does)
{
    struct test_framing t;
    ws_open_ready(&t, true, "");
    tapsi_layer_want(t.top, 0);
    ws_feed(&t, 0x88, "\x03\xe8", 2);
    ws_check_close(&t, 1000);
    CHECK_INT(t.ends, 0);
    CHECK_INT(t.closed, 0);
    tapsi_layer_want(t.top, 1);
    test_framing_turn(&t);
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.closed, 1);
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
}

TEST(the_peers_end_behind_a_message_that_nobody_asked_for)
{
    for (int empty = 0; empty < 2; empty++) {
        struct test_framing t;
        ws_open_ready(&t, true, "");
        tapsi_layer_want(t.top, 0);
        ws_feed_text(&t, 0x82, empty ? "" : "a Message");
        test_framing_end(&t);
        CHECK_INT(t.closed, 0);
        tapsi_layer_want(t.top, 1000);
        test_framing_turn(&t);
        CHECK(test_framing_got_text(&t, 0, empty ? "" : "a Message"));
        ws_check_failed(&t, TAPS_E_TRUNCATED, 0, "without a Close frame");
    }
}

TEST(a_peer_behind_a_message_that_nobody_asked_for_is_not_silent)
{
    struct test_framing t;
    ws_open_ready(&t, true, "ping-interval=1000,ping-timeout=200");
    tapsi_layer_want(t.top, 0);
    ws_feed_text(&t, 0x82, "a Message");
    for (int i = 0; i < 50; i++)
        test_framing_pass(&t, 200);
    CHECK_INT(t.closed, 0);
    tapsi_layer_want(t.top, 1000);
    for (int i = 0; i < 50; i++)
        test_framing_pass(&t, 200);
    ws_check_failed(&t, TAPS_E_TIMEOUT, 0, "ping within");
}
