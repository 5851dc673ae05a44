/* The WebSocket Framer: its handshake and its options. */
#include <stdlib.h>
#include "base/str.h"
#include "base/test.h"
#include "message/test_websocket.h"

/* ----------------------------------------------------------------------------------------------- the handshake */

/* proves IMPL-18 */
TEST(the_client_asks_and_is_ready_when_it_is_answered)
{
    struct test_framing t;
    char answer[512];
    ws_begin_client(&t, "path=/chat,protocol=a b,origin=http://o.example,header=Cookie: x=1");
    CHECK_INT(t.ready, 0);
    ws_write_answer(&t, "Sec-WebSocket-Protocol: b\r\nServer: peer\r\n", answer, sizeof(answer));
    CHECK(strstr((char *)t.out, "GET /chat HTTP/1.1\r\nHost: peer.example\r\n"));
    CHECK(strstr((char *)t.out, "Origin: http://o.example\r\n"));
    CHECK(strstr((char *)t.out, "Sec-WebSocket-Protocol: a, b\r\n"));
    CHECK(strstr((char *)t.out, "Cookie: x=1\r\n"));
    test_framing_feed_text(&t, answer);
    CHECK_INT(t.ready, 1);
    ws_feed_text(&t, 0x81, "hello");
    CHECK(test_framing_got_text(&t, 0, "hello"));
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "protocol"), "b");
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "header.server"), "peer");
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "type"), "text");
    ws_feed_text(&t, 0x82, "more");
    CHECK(!test_framing_meta(&t, 1, "websocket", "protocol"));
    CHECK_TEXT(test_framing_meta(&t, 1, "websocket", "type"), "binary");
    test_framing_close(&t);
}

TEST(the_server_answers_and_tells_who_asked)
{
    struct test_framing t;
    ws_open_server(&t, "protocol=chat", "Origin: http://o.example\r\nSec-WebSocket-Protocol: x, chat\r\n");
    CHECK_INT(t.ready, 1);
    CHECK(test_framing_wrote_text(&t, WS_SWITCHING "Sec-WebSocket-Protocol: chat\r\n\r\n"));
    ws_feed_text(&t, 0x81, "hello");
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "path"), "/chat?room=1");
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "protocol"), "chat");
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "header.origin"), "http://o.example");
    CHECK(!test_framing_meta(&t, 0, "websocket", "header.upgrade"));
    test_framing_close(&t);
}

TEST(heads_and_frames_may_come_in_any_pieces)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        char head[512];
        uint8_t all[1024];
        if (server) {
            test_framing_open_text(&t, "websocket", true);
            tapsi_format(head, sizeof(head), "%s", WS_REQUEST "\r\n");
        } else {
            ws_begin_client(&t, "");
            ws_write_answer(&t, "", head, sizeof(head));
        }
        size_t length = strlen(head);
        memcpy(all, head, length);
        length += ws_frame(all + length, server, 0x01, "Hel", 3);
        length += ws_frame(all + length, server, 0x89, "ping", 4);
        length += ws_frame(all + length, server, 0x80, "lo", 2);
        length += ws_frame(all + length, server, 0x82, head, 200);
        test_framing_feed_split(&t, all, length, 1);
        CHECK(test_framing_got_text(&t, 0, "Hello"));
        CHECK(test_framing_got(&t, 1, head, 200));
        CHECK_INT(t.count, 2);
        test_framing_close(&t);
    }
}

/* proves IMPL-18 */
TEST(another_answer_than_101_fails_the_candidate_with_its_status)
{
    struct test_framing t;
    ws_begin_client(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    CHECK_INT(t.ready, 0);
    ws_check_failed(&t, TAPS_E_PROTOCOL, 0, "the server answered 403 Forbidden");
    ws_begin_client(&t, "");
    test_framing_feed_text(&t, WS_SWITCHING "\r\n");
    ws_check_failed(&t, TAPS_E_PROTOCOL, 0, "Sec-WebSocket-Accept");
    ws_begin_client(&t, "");
    test_framing_feed_text(&t, "220 smtp.example ESMTP\r\n\r\n");
    ws_check_failed(&t, TAPS_E_PROTOCOL, 0, "it is not HTTP");
    ws_begin_client(&t, "");
    test_framing_end(&t);
    ws_check_failed(&t, TAPS_E_ESTABLISHMENT, 0, "ended in the handshake");
}

static void check_answered(const char *options, const char *request, const char *status)
{
    struct test_framing t;
    char text[128];
    tapsi_format(text, sizeof(text), "websocket%s%s", *options ? ":" : "", options);
    test_framing_open_text(&t, text, true);
    test_framing_feed_text(&t, request);
    CHECK(t.out_length > strlen(status) + 9 && memcmp(t.out + 9, status, strlen(status)) == 0);
    CHECK_INT(t.ready, 0);
    ws_check_failed(&t, TAPS_E_PROTOCOL, 0, status);
}

TEST(the_server_tells_whom_it_refuses_why)
{
    check_answered("", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426");
    check_answered("", "\x16\x03\x01 TLS\r\n\r\n", "400");
    check_answered("path=/other", WS_REQUEST "\r\n", "404");
    check_answered("origin=http://o.example", WS_REQUEST "\r\n", "403");
}

TEST(a_head_without_an_end_has_one)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        char *text = malloc(17000);
        memset(text, 'a', 16999);
        text[16999] = '\0';
        if (server)
            test_framing_open_text(&t, "websocket", true);
        else
            ws_begin_client(&t, "");
        test_framing_forget(&t);
        test_framing_feed_text(&t, text);
        if (server)
            CHECK(t.out_length > 12 && memcmp(t.out, "HTTP/1.1 431", 12) == 0);
        ws_check_failed(&t, TAPS_E_PROTOCOL, 0, "16 KiB");
        free(text);
    }
}

TEST(a_handshake_that_does_not_come_is_given_up)
{
    struct test_framing t;
    test_framing_open_text(&t, "websocket:handshake-timeout=300", true);
    test_framing_feed_text(&t, "GET / HT");
    test_framing_pass(&t, 299);
    CHECK_INT(t.closed, 0);
    test_framing_pass(&t, 1);
    ws_check_failed(&t, TAPS_E_TIMEOUT, 0, "300 ms");
}

TEST(the_host_has_a_port_and_brackets_where_they_belong)
{
    struct test_framing t;
    ws_begin_client(&t, "host=[2001:db8::1]:81");
    t.out[t.out_length] = '\0';
    CHECK(strstr((char *)t.out, "Host: [2001:db8::1]:81\r\n"));
    test_framing_close(&t);
}

TEST(it_wants_a_stream)
{
    struct test_framing t;
    taps_framer *framer;
    CHECK_INT(taps_framer_new("websocket", &framer), 0);
    const taps_framer *one = framer;
    test_framing_open(&t, &one, 1, false, true);
    CHECK(test_framing_failed(&t, TAPS_E_CONFIGURATION));
    test_framing_close(&t);
    taps_framer_free(framer);
}

/* --------------------------------------------------------------------------------------------------- options */

TEST(options_that_are_refused)
{
    static const char *const bad[][2] = {
        {"path", "chat"},
        {"path", "/a b"},
        {"path", "/a\r\nX: y"},
        {"path", ""},
        {"host", "a b"},
        {"host", "a\n"},
        {"origin", "http://a\r"},
        {"protocol", "a,b"},
        {"protocol", "a\r\n"},
        {"header", "no"},
        {"header", ": x"},
        {"header", "A: b\r\nC: d"},
        {"header", "Host: x"},
        {"header", "Sec-WebSocket-Key: x"},
        {"deflate", "maybe"},
        {"maximum", "0"},
        {"maximum", "x"},
        {"fragment", "1"},
        {"ping-timeout", "0"},
        {"ping-interval", "-1"},
        {"server-max-window-bits", "7"},
        {"client-max-window-bits", "16"},
        {"close-timeout", "1h"},
    };
    taps_framer *framer;
    char *longer = malloc(5000);
    memset(longer, '/', 4999);
    longer[4999] = '\0';
    CHECK_INT(taps_framer_new("websocket", &framer), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (taps_framer_set(framer, bad[i][0], bad[i][1]) != TAPS_E_RANGE)
            tapsi_test_fail(__FILE__, __LINE__, "%s=%s", bad[i][0], bad[i][1]);
    }
    CHECK_INT(taps_framer_set(framer, "path", longer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_set(framer, "host", longer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_set(framer, "nonsense", "1"), TAPS_E_UNKNOWN_PROPERTY);
    taps_framer_free(framer);
    free(longer);
}
