/* The WebSocket Framer: Messages that are compressed. */
#include <stdlib.h>
#include "base/test.h"
#include "message/test_websocket.h"
#include "message/ws_deflate.h"

/* RFC 7692, 7.2.3.1. */
TEST(the_vectors_of_rfc_7692)
{
    struct test_framing t;
    ws_open_deflate(&t, false, "deflate=on,deflate-minimum=0");
    test_framing_feed(&t, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", 9);
    CHECK(test_framing_got_text(&t, 0, "Hello"));
    test_framing_feed(&t, "\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00", 11);
    CHECK(test_framing_got_text(&t, 1, "Hello"));
    test_framing_feed(&t, "\xc1\x05\xf2\x00\x11\x00\x00", 7);
    CHECK(test_framing_got_text(&t, 2, "Hello"));
    test_framing_feed(&t, "\x81\x05Hello", 7);
    CHECK(test_framing_got_text(&t, 3, "Hello"));
    test_framing_close(&t);
    ws_open_deflate(&t, true, "deflate=on,deflate-minimum=0");
    CHECK_INT(ws_send_typed(&t, "Hello", TAPSI_OP_END, "type", "text"), 0);
    CHECK(test_framing_wrote(&t, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", 9));
    CHECK_INT(ws_send_typed(&t, "Hello", TAPSI_OP_END, "type", "text"), 0);
    CHECK(test_framing_wrote(&t, "\xc1\x05\xf2\x00\x11\x00\x00", 7));
    test_framing_close(&t);
}

TEST(what_is_small_goes_as_it_is)
{
    struct test_framing t;
    ws_open_deflate(&t, true, "deflate=on");
    CHECK_INT(test_framing_send_text(&t, "Hello"), 0);
    CHECK(test_framing_wrote(&t, "\x82\x05Hello", 7));
    test_framing_close(&t);
}

TEST(parts_are_compressed_as_one_message)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t, peer;
        ws_open_deflate(&t, server, "deflate=on,fragment=128");
        ws_open_deflate(&peer, !server, "deflate=on");
        CHECK_INT(ws_send_typed(&t, "one ", 0, "type", "text"), 0);
        CHECK_INT(test_framing_send(&t, "two ", 4, TAPSI_OP_CONTINUES, NULL), 0);
        CHECK_INT(test_framing_send(&t, "", 0, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), 0);
        char text[1001];
        for (size_t i = 0; i < 1000; i++)
            text[i] = (char)('a' + i * i % 26);
        text[1000] = '\0';
        CHECK_INT(test_framing_send_text(&t, text), 0);
        test_framing_feed(&peer, t.out, t.out_length);
        CHECK(test_framing_got_text(&peer, 0, "one two "));
        CHECK_TEXT(test_framing_meta(&peer, 0, "websocket", "type"), "text");
        CHECK(test_framing_got_text(&peer, 1, text));
        test_framing_close(&t);
        test_framing_close(&peer);
    }
}

static void *plain_resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size)
        return realloc(block, size);
    free(block);
    return NULL;
}

/* So many zeros as one compressed Message. */
static size_t bomb(uint8_t *to, size_t room, size_t zeros)
{
    struct tapsi_ws_deflate d;
    static const uint8_t none[65536];
    tapsi_ws_deflate_init(&d, &(struct tapsi_ws_agreement){0}, true, plain_resize, NULL);
    tapsi_ws_deflate_bound(&d, 0);
    tapsi_ws_deflate_begin(&d, to, room);
    for (size_t i = 0; i < zeros; i += sizeof(none))
        tapsi_ws_deflate_add(&d, none, sizeof(none));
    size_t length = tapsi_ws_deflate_finish(&d, true);
    tapsi_ws_deflate_done(&d);
    return length;
}

TEST(a_bomb_is_stopped_at_the_maximum)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        uint8_t *packed = malloc(1 << 20);
        size_t length = bomb(packed, 1 << 20, 32 << 20);
        ws_open_deflate(&t, server, "deflate=on,maximum=1M");
        t.keeps = false;
        ws_feed(&t, 0xc2, packed, length);
        CHECK(t.bytes <= 1 << 20);
        ws_check_failed(&t, TAPS_E_DEFRAMING, 1009, "inflates to more than the maximum");
        free(packed);
    }
}

/* All of it comes, whatever the pieces: what is left in the stream when the input is over, too. */
TEST(what_inflates_a_thousandfold_comes_whole)
{
    for (int server = 0; server < 2; server++) {
        uint8_t *packed = malloc(1 << 16), *framed = malloc(1 << 16);
        size_t length = bomb(packed, 1 << 16, 8 << 20);
        for (size_t step = 1; step <= 4096; step *= 8) {
            struct test_framing t;
            ws_open_deflate(&t, server, "deflate=on,maximum=8M");
            t.keeps = false;
            size_t all = ws_frame(framed, server, 0xc2, packed, length);
            test_framing_feed_split(&t, framed, all, step);
            CHECK_INT(t.bytes, 8 << 20);
            CHECK_INT(t.closed, 0);
            ws_feed_text(&t, 0x82, "next");
            CHECK_INT(t.bytes, (8 << 20) + 4);
            test_framing_close(&t);
        }
        free(packed);
        free(framed);
    }
}

TEST(what_does_not_inflate_fails)
{
    struct test_framing t;
    ws_open_deflate(&t, false, "deflate=on");
    test_framing_feed(&t, "\xc2\x01\x07", 3);
    ws_check_failed(&t, TAPS_E_DEFRAMING, 1007, "does not inflate");
    ws_open_deflate(&t, false, "deflate=on");
    test_framing_feed(&t, "\xc2\x03\xf2\x48\xcd", 5);
    ws_check_failed(&t, TAPS_E_DEFRAMING, 1007, "does not inflate");
    ws_open_deflate(&t, false, "deflate=on");
    test_framing_feed(&t, "\xc1\x03\x02\x13\x00", 5);
    ws_check_failed(&t, TAPS_E_DEFRAMING, 1007, "does not inflate");
    ws_open_deflate(&t, false, "deflate=on");
    test_framing_feed(&t, "\xc9\x00", 2);
    ws_check_failed(&t, TAPS_E_DEFRAMING, 1002, "a compressed control frame");
}

TEST(empty_blocks_without_end_have_one)
{
    struct test_framing t;
    uint8_t head[TAPSI_WS_HEAD_MAX], blocks[5000] = {0};
    struct tapsi_ws_head is = {.opcode = TAPSI_WS_BINARY, .compressed = true, .length = sizeof(blocks)};
    for (size_t i = 0; i < sizeof(blocks); i += 5)
        memcpy(blocks + i, "\x00\x00\x00\xff\xff", 5);
    ws_open_deflate(&t, false, "deflate=on,maximum=1000");
    for (int i = 0; i < 3 && !t.closed; i++) {
        test_framing_feed(&t, head, tapsi_ws_head_write(head, &is));
        test_framing_feed(&t, blocks, sizeof(blocks));
        is.opcode = TAPSI_WS_CONTINUATION;
        is.compressed = false;
    }
    CHECK_INT(t.bytes, 0);
    ws_check_failed(&t, TAPS_E_DEFRAMING, 1009, "over the maximum");
}
