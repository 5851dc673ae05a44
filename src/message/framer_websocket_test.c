#include <stdlib.h>
#include "base/sha1.h"
#include "base/str.h"
#include "base/test.h"
#include "message/ws_deflate.h"
#include "message/ws_frame.h"
#include "message/ws_handshake.h"
#include "stack/framer/test_framing.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define REQUEST                                                                                                        \
    "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"           \
    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"
#define SWITCHING                                                                                                      \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                                \
    "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* ---------------------------------------------------------------------------------------------------- the peer */

/* A frame as the peer of `server` (a client then) writes it: masked, or not. Returns its length. */
static size_t frame(uint8_t *to, bool server, unsigned first, const void *payload, size_t length)
{
    struct tapsi_ws_head head = {
        .opcode = first & 0x0f, .final = first & 0x80, .compressed = first & 0x40, .masked = server, .length = length};
    memcpy(head.mask, mask, 4);
    size_t at = tapsi_ws_head_write(to, &head);
    for (size_t i = 0; i < length; i++)
        to[at + i] = ((const uint8_t *)payload)[i] ^ (server ? mask[i % 4] : 0);
    return at + length;
}

static bool is_server;

static void feed(struct test_framing *t, unsigned first, const void *payload, size_t length)
{
    uint8_t *bytes = malloc(length + TAPSI_WS_HEAD_MAX);
    test_framing_feed(t, bytes, frame(bytes, is_server, first, payload, length));
    free(bytes);
}

static void feed_text(struct test_framing *t, unsigned first, const char *text)
{
    feed(t, first, text, strlen(text));
}

struct sent {
    struct tapsi_ws_head head;
    char payload[300];
};

/* The next frame that went down, unmasked; opcode 15: there is none. */
static struct sent next_sent(struct test_framing *t)
{
    struct sent sent = {.head = {.opcode = 15}};
    size_t size = t->out_length >= 2 ? tapsi_ws_head_size(t->out) : 0;
    if (!size || t->out_length < size || tapsi_ws_head_read(t->out, &sent.head))
        return sent;
    size_t length = (size_t)sent.head.length;
    CHECK_INT(sent.head.masked, !is_server);
    CHECK(t->out_length >= size + length);
    if (length < sizeof(sent.payload))
        tapsi_ws_mask((uint8_t *)sent.payload, t->out + size, length, sent.head.mask, 0);
    t->out_length -= size + length;
    memmove(t->out, t->out + size + length, t->out_length);
    return sent;
}

static void check_sent(struct test_framing *t, unsigned first, const char *payload)
{
    struct sent sent = next_sent(t);
    CHECK_INT(sent.head.opcode, first & 0x0f);
    CHECK_INT(sent.head.final, (first & 0x80) != 0);
    CHECK_INT(sent.head.length, strlen(payload));
    CHECK_TEXT(sent.payload, payload);
}

/* A Close with this code went down, last of all. */
static void check_close(struct test_framing *t, unsigned code)
{
    struct sent sent = next_sent(t);
    while (t->out_length >= 2 && sent.head.opcode != TAPSI_WS_CLOSE)
        sent = next_sent(t);
    CHECK_INT(sent.head.opcode, TAPSI_WS_CLOSE);
    CHECK_INT((unsigned)(uint8_t)sent.payload[0] << 8 | (uint8_t)sent.payload[1], code);
    CHECK_INT(t->out_length, 0);
}

static void open_server(struct test_framing *t, const char *options, const char *more)
{
    char text[256], request[512];
    is_server = true;
    tapsi_format(text, sizeof(text), "websocket%s%s", *options ? ":" : "", options);
    tapsi_format(request, sizeof(request), REQUEST "%s\r\n", more);
    test_framing_open_text(t, text, true);
    test_framing_feed_text(t, request);
}

/* What the answer must have for the request that went down. */
static void write_answer(struct test_framing *t, const char *more, char *to, size_t size)
{
    char accept[TAPSI_WS_ACCEPT_SIZE] = "";
    t->out[t->out_length] = '\0';
    const char *key = strstr((char *)t->out, "Sec-WebSocket-Key: ");
    if (key)
        tapsi_ws_accept((struct tapsi_ws_span){key + 19, 24}, accept);
    tapsi_format(to, size,
                 "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
                 accept, more);
}

static void begin_client(struct test_framing *t, const char *options)
{
    char text[256];
    is_server = false;
    tapsi_format(text, sizeof(text), "websocket%s%s", *options ? ":" : "", options);
    test_framing_open_text(t, text, false);
}

static void open_client(struct test_framing *t, const char *options, const char *more)
{
    char answer[512];
    begin_client(t, options);
    write_answer(t, more, answer, sizeof(answer));
    test_framing_forget(t);
    test_framing_feed_text(t, answer);
}

static void open_ready(struct test_framing *t, bool server, const char *options)
{
    if (server)
        open_server(t, options, "");
    else
        open_client(t, options, "");
    CHECK_INT(t->ready, 1);
    test_framing_forget(t);
}

static int send_typed(struct test_framing *t, const char *text, unsigned flags, const char *key, const char *value)
{
    struct tapsi_meta *meta = NULL;
    CHECK_INT(tapsi_meta_add(&meta, &t->mem, "websocket", key, value), 0);
    int err = test_framing_send(t, text, strlen(text), flags, meta);
    tapsi_meta_unref(meta);
    return err;
}

/* It failed with this code of the library, told the peer that code of WebSocket, and the words are these. */
static void check_failed(struct test_framing *t, int code, unsigned close_code, const char *words)
{
    CHECK(test_framing_failed(t, code));
    if (!strstr(t->error.text, words))
        tapsi_test_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", words, t->error.text);
    if (close_code)
        check_close(t, close_code);
    test_framing_close(t);
}

/* ----------------------------------------------------------------------------------------------- the handshake */

/* proves IMPL-18 */
TEST(the_client_asks_and_is_ready_when_it_is_answered)
{
    struct test_framing t;
    char answer[512];
    begin_client(&t, "path=/chat,protocol=a b,origin=http://o.example,header=Cookie: x=1");
    CHECK_INT(t.ready, 0);
    write_answer(&t, "Sec-WebSocket-Protocol: b\r\nServer: peer\r\n", answer, sizeof(answer));
    CHECK(strstr((char *)t.out, "GET /chat HTTP/1.1\r\nHost: peer.example\r\n"));
    CHECK(strstr((char *)t.out, "Origin: http://o.example\r\n"));
    CHECK(strstr((char *)t.out, "Sec-WebSocket-Protocol: a, b\r\n"));
    CHECK(strstr((char *)t.out, "Cookie: x=1\r\n"));
    test_framing_feed_text(&t, answer);
    CHECK_INT(t.ready, 1);
    feed_text(&t, 0x81, "hello");
    CHECK(test_framing_got_text(&t, 0, "hello"));
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "protocol"), "b");
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "header.server"), "peer");
    CHECK_TEXT(test_framing_meta(&t, 0, "websocket", "type"), "text");
    feed_text(&t, 0x82, "more");
    CHECK(!test_framing_meta(&t, 1, "websocket", "protocol"));
    CHECK_TEXT(test_framing_meta(&t, 1, "websocket", "type"), "binary");
    test_framing_close(&t);
}

TEST(the_server_answers_and_tells_who_asked)
{
    struct test_framing t;
    open_server(&t, "protocol=chat", "Origin: http://o.example\r\nSec-WebSocket-Protocol: x, chat\r\n");
    CHECK_INT(t.ready, 1);
    CHECK(test_framing_wrote_text(&t, SWITCHING "Sec-WebSocket-Protocol: chat\r\n\r\n"));
    feed_text(&t, 0x81, "hello");
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
        is_server = server;
        if (server) {
            test_framing_open_text(&t, "websocket", true);
            tapsi_format(head, sizeof(head), "%s", REQUEST "\r\n");
        } else {
            begin_client(&t, "");
            write_answer(&t, "", head, sizeof(head));
        }
        size_t length = strlen(head);
        memcpy(all, head, length);
        length += frame(all + length, server, 0x01, "Hel", 3);
        length += frame(all + length, server, 0x89, "ping", 4);
        length += frame(all + length, server, 0x80, "lo", 2);
        length += frame(all + length, server, 0x82, head, 200);
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
    begin_client(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    CHECK_INT(t.ready, 0);
    check_failed(&t, TAPS_E_PROTOCOL, 0, "the server answered 403 Forbidden");
    begin_client(&t, "");
    test_framing_feed_text(&t, SWITCHING "\r\n");
    check_failed(&t, TAPS_E_PROTOCOL, 0, "Sec-WebSocket-Accept");
    begin_client(&t, "");
    test_framing_feed_text(&t, "220 smtp.example ESMTP\r\n\r\n");
    check_failed(&t, TAPS_E_PROTOCOL, 0, "it is not HTTP");
    begin_client(&t, "");
    test_framing_end(&t);
    check_failed(&t, TAPS_E_ESTABLISHMENT, 0, "ended in the handshake");
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
    check_failed(&t, TAPS_E_PROTOCOL, 0, status);
}

TEST(the_server_tells_whom_it_refuses_why)
{
    check_answered("", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426");
    check_answered("", "\x16\x03\x01 TLS\r\n\r\n", "400");
    check_answered("path=/other", REQUEST "\r\n", "404");
    check_answered("origin=http://o.example", REQUEST "\r\n", "403");
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
            begin_client(&t, "");
        test_framing_forget(&t);
        test_framing_feed_text(&t, text);
        if (server)
            CHECK(t.out_length > 12 && memcmp(t.out, "HTTP/1.1 431", 12) == 0);
        check_failed(&t, TAPS_E_PROTOCOL, 0, "16 KiB");
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
    check_failed(&t, TAPS_E_TIMEOUT, 0, "300 ms");
}

TEST(the_host_has_a_port_and_brackets_where_they_belong)
{
    struct test_framing t;
    begin_client(&t, "host=[2001:db8::1]:81");
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

/* --------------------------------------------------------------------------------------------------- Messages */

TEST(messages_of_a_server_are_not_masked_and_those_of_a_client_are)
{
    struct test_framing t;
    open_ready(&t, true, "");
    CHECK_INT(send_typed(&t, "Hello", TAPSI_OP_END, "type", "text"), 0);
    CHECK(test_framing_wrote(&t, "\x81\x05Hello", 7));
    CHECK_INT(test_framing_send_text(&t, "Hello"), 0);
    CHECK(test_framing_wrote(&t, "\x82\x05Hello", 7));
    test_framing_close(&t);
    open_ready(&t, false, "");
    CHECK_INT(send_typed(&t, "Hello", TAPSI_OP_END, "type", "text"), 0);
    check_sent(&t, 0x81, "Hello");
    test_framing_close(&t);
}

TEST(every_frame_of_a_client_has_a_mask_of_its_own)
{
    struct test_framing t;
    uint8_t last[4] = {0};
    open_ready(&t, false, "");
    for (int i = 0; i < 60; i++) {
        CHECK_INT(test_framing_send_text(&t, "x"), 0);
        struct sent sent = next_sent(&t);
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
        bool deflate = mode & 2;
        is_server = mode & 1;
        const char *options = deflate ? "deflate=on" : "";
        if (is_server)
            open_server(&t, options, deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
        else
            open_client(&t, options, deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
        test_framing_forget(&t);
        bool server = is_server;
        if (server)
            open_client(&peer, options, deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
        else
            open_server(&peer, options, deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
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
        open_ready(&t, server, "");
        CHECK_INT(send_typed(&t, "one", 0, "type", "text"), 0);
        feed_text(&t, 0x89, "between");
        CHECK_INT(test_framing_send(&t, "two", 3, TAPSI_OP_CONTINUES, NULL), 0);
        CHECK_INT(test_framing_send(&t, "", 0, TAPSI_OP_CONTINUES, NULL), 0);
        CHECK_INT(test_framing_send(&t, "", 0, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), 0);
        CHECK_INT(test_framing_send_text(&t, "next"), 0);
        check_sent(&t, 0x01, "one");
        check_sent(&t, 0x8a, "between");
        check_sent(&t, 0x00, "two");
        check_sent(&t, 0x80, "");
        check_sent(&t, 0x82, "next");
        test_framing_close(&t);
    }
}

TEST(a_first_part_without_bytes_leaves_the_type_to_the_next)
{
    struct test_framing t;
    open_ready(&t, true, "");
    CHECK_INT(send_typed(&t, "", 0, "type", "text"), 0);
    CHECK_INT(test_framing_send(&t, "two", 3, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), 0);
    check_sent(&t, 0x81, "two");
    test_framing_close(&t);
}

TEST(messages_are_split_where_that_is_asked_for)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        char text[301];
        memset(text, 'a', 300);
        text[300] = '\0';
        open_ready(&t, server, "fragment=128");
        CHECK_INT(test_framing_send_text(&t, text), 0);
        text[128] = '\0';
        check_sent(&t, 0x02, text);
        check_sent(&t, 0x00, text);
        text[44] = '\0';
        check_sent(&t, 0x80, text);
        text[44] = 'a';
        CHECK_INT(test_framing_send_text(&t, text), 0);
        check_sent(&t, 0x82, text);
        test_framing_close(&t);
    }
}

TEST(fragments_are_delivered_as_they_come)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        open_ready(&t, server, "");
        feed_text(&t, 0x01, "gr\xc3");
        CHECK_INT(t.bytes, 3);
        feed_text(&t, 0x89, "");
        feed_text(&t, 0x00, "\xbc");
        feed_text(&t, 0x00, "");
        feed_text(&t, 0x80, "n");
        CHECK(test_framing_got_text(&t, 0, "gr\xc3\xbcn"));
        CHECK_INT(t.count, 1);
        check_sent(&t, 0x8a, "");
        feed_text(&t, 0x02, "");
        feed_text(&t, 0x80, "");
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
        open_ready(&t, server, "maximum=1G");
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
    open_ready(&t, true, "");
    CHECK_INT(send_typed(&t, "x", TAPSI_OP_END, "type", "json"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_typed(&t, "\xff", TAPSI_OP_END, "type", "text"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_typed(&t, "\xc3", TAPSI_OP_END, "type", "text"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_typed(&t, "x", TAPSI_OP_END | TAPSI_OP_FINAL, "close-code", "1005"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(t.out_length, 0);
    CHECK_INT(test_framing_send_text(&t, "good"), 0);
    check_sent(&t, 0x82, "good");
    test_framing_close(&t);
}

TEST(a_text_that_goes_wrong_in_a_later_part_fails)
{
    struct test_framing t;
    open_ready(&t, true, "");
    CHECK_INT(send_typed(&t, "good \xc3", 0, "type", "text"), 0);
    CHECK_INT(test_framing_send(&t, "(", 1, TAPSI_OP_CONTINUES, NULL), TAPS_E_MESSAGE_PROPERTIES);
    check_failed(&t, TAPS_E_MESSAGE_PROPERTIES, 0, "cannot be sent on");
}

/* ----------------------------------------------------------------------------------------------- control frames */

TEST(pings_are_answered_and_pongs_are_not)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        char longest[126];
        memset(longest, 'p', 125);
        longest[125] = '\0';
        open_ready(&t, server, "");
        feed_text(&t, 0x8a, "nobody asked");
        CHECK_INT(t.out_length, 0);
        feed_text(&t, 0x89, longest);
        check_sent(&t, 0x8a, longest);
        test_framing_close(&t);
    }
}

TEST(pings_without_end_do_not_make_pongs_without_end)
{
    struct test_framing t;
    uint8_t *bytes = malloc(64 * 131);
    char payload[125] = {0};
    size_t length = 0;
    open_ready(&t, true, "");
    t.stalled = true;
    for (int i = 0; i < 64; i++)
        length += frame(bytes + length, true, 0x89, payload, sizeof(payload));
    for (int i = 0; i < 200; i++)
        test_framing_feed(&t, bytes, length);
    CHECK(t.wire->queued < 80000);
    test_framing_close(&t);
    free(bytes);
}

TEST(silence_is_pinged_and_then_given_up)
{
    struct test_framing t;
    open_ready(&t, true, "ping-interval=1000,ping-timeout=200");
    test_framing_pass(&t, 999);
    CHECK_INT(t.out_length, 0);
    test_framing_pass(&t, 1);
    check_sent(&t, 0x89, "");
    feed_text(&t, 0x8a, "");
    test_framing_pass(&t, 200);
    CHECK_INT(t.closed, 0);
    test_framing_pass(&t, 1000);
    check_sent(&t, 0x89, "");
    test_framing_pass(&t, 199);
    CHECK_INT(t.closed, 0);
    test_framing_pass(&t, 1);
    check_failed(&t, TAPS_E_TIMEOUT, 0, "ping within 200 ms");
}

/* ------------------------------------------------------------------------------------------------ nobody asks */

TEST(pings_are_answered_while_nobody_asks_for_messages)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        open_ready(&t, server, "");
        tapsi_layer_want(t.top, 0);
        feed_text(&t, 0x89, "there?");
        check_sent(&t, 0x8a, "there?");
        feed_text(&t, 0x81, "a Message");
        feed_text(&t, 0x82, "");
        feed_text(&t, 0x89, "behind");
        CHECK_INT(t.count, 0);
        CHECK_INT(t.out_length, 0);
        CHECK_INT(t.wire->want, 0);
        tapsi_layer_want(t.top, 1000);
        test_framing_turn(&t);
        CHECK(test_framing_got_text(&t, 0, "a Message"));
        CHECK(test_framing_got_text(&t, 1, ""));
        check_sent(&t, 0x8a, "behind");
        test_framing_close(&t);
    }
}

TEST(close_is_answered_while_nobody_asks_and_told_when_somebody_does)
{
    struct test_framing t;
    open_ready(&t, true, "");
    tapsi_layer_want(t.top, 0);
    feed(&t, 0x88, "\x03\xe8", 2);
    check_close(&t, 1000);
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
        open_ready(&t, true, "");
        tapsi_layer_want(t.top, 0);
        feed_text(&t, 0x82, empty ? "" : "a Message");
        test_framing_end(&t);
        CHECK_INT(t.closed, 0);
        tapsi_layer_want(t.top, 1000);
        test_framing_turn(&t);
        CHECK(test_framing_got_text(&t, 0, empty ? "" : "a Message"));
        check_failed(&t, TAPS_E_TRUNCATED, 0, "without a Close frame");
    }
}

TEST(a_peer_behind_a_message_that_nobody_asked_for_is_not_silent)
{
    struct test_framing t;
    open_ready(&t, true, "ping-interval=1000,ping-timeout=200");
    tapsi_layer_want(t.top, 0);
    feed_text(&t, 0x82, "a Message");
    for (int i = 0; i < 50; i++)
        test_framing_pass(&t, 200);
    CHECK_INT(t.closed, 0);
    tapsi_layer_want(t.top, 1000);
    for (int i = 0; i < 50; i++)
        test_framing_pass(&t, 200);
    check_failed(&t, TAPS_E_TIMEOUT, 0, "ping within");
}

/* --------------------------------------------------------------------------------------------------------- ends */

TEST(close_says_so_and_waits_for_the_answer)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        open_ready(&t, server, "");
        test_framing_shut(&t);
        check_close(&t, 1000);
        CHECK(!t.closed_below);
        feed_text(&t, 0x82, "too late");
        CHECK(!t.closed_below);
        feed(&t, 0x88, "\x03\xe8", 2);
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
    open_ready(&t, true, "close-timeout=300");
    test_framing_shut(&t);
    test_framing_pass(&t, 299);
    CHECK(!t.closed_below);
    test_framing_pass(&t, 1);
    CHECK(t.closed_below);
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
    open_ready(&t, true, "");
    test_framing_shut(&t);
    test_framing_end(&t);
    CHECK(t.closed_below);
    test_framing_close(&t);
}

TEST(the_peers_close_is_answered_and_ends_both_directions)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t;
        open_ready(&t, server, "");
        feed_text(&t, 0x81, "last");
        feed(&t, 0x88,
             "\x03\xe9"
             "bye",
             5);
        check_close(&t, 1001);
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
    open_ready(&t, true, "");
    feed(&t, 0x88, NULL, 0);
    check_sent(&t, 0x88, "");
    CHECK_TEXT(tapsi_meta_get(t.end_meta, "websocket", "the end"), "the peer closed with 1005");
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
}

/* proves API-104 */
TEST(a_final_message_closes_this_direction_and_the_other_goes_on)
{
    struct test_framing t;
    open_ready(&t, true, "");
    CHECK_INT(test_framing_send(&t, "last", 4, TAPSI_OP_END | TAPSI_OP_FINAL, NULL), 0);
    check_sent(&t, 0x82, "last");
    check_close(&t, 1000);
    CHECK(!t.final_out);
    CHECK_INT(test_framing_send_text(&t, "more"), TAPS_E_CLOSED);
    feed_text(&t, 0x82, "still here");
    CHECK(test_framing_got_text(&t, 0, "still here"));
    feed_text(&t, 0x89, "nothing follows a Close");
    CHECK_INT(t.out_length, 0);
    feed(&t, 0x88, "\x03\xe8", 2);
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
    open_ready(&t, true, "");
    memset(reason, 'r', sizeof(reason));
    memcpy(reason + 122, "\xc3\xbc", 3);
    tapsi_meta_add(&meta, &t.mem, "websocket", "close-code", "4001");
    tapsi_meta_add(&meta, &t.mem, "websocket", "close-reason", reason);
    CHECK_INT(test_framing_send(&t, "", 0, TAPSI_OP_END | TAPSI_OP_FINAL, meta), 0);
    tapsi_meta_unref(meta);
    check_sent(&t, 0x82, "");
    struct sent sent = next_sent(&t);
    CHECK_INT(sent.head.length, 124); /* half a character is not sent */
    CHECK(memcmp(sent.payload, "\x0f\xa1rrr", 5) == 0);
    test_framing_close(&t);
}

TEST(codes_that_say_that_something_is_wrong_are_errors)
{
    struct test_framing t;
    open_ready(&t, true, "");
    feed(&t, 0x88, "\x03\xf1too big", 9);
    check_failed(&t, TAPS_E_PROTOCOL, 1009, "the peer closed with 1009: too big");
}

TEST(ends_that_are_none)
{
    struct test_framing t;
    open_ready(&t, true, "");
    test_framing_end(&t);
    check_failed(&t, TAPS_E_TRUNCATED, 0, "without a Close frame");
    open_ready(&t, true, "");
    feed_text(&t, 0x02, "half");
    feed(&t, 0x88, "\x03\xe8", 2);
    check_failed(&t, TAPS_E_TRUNCATED, 1000, "in the middle of a Message");
}

/* proves API-124 */
TEST(the_peers_end_at_every_byte_of_a_frame_is_a_truncation)
{
    for (int server = 0; server < 2; server++) {
        uint8_t bytes[64];
        size_t length = frame(bytes, server, 0x82, "Hello", 5);
        for (int control = 0; control < 2; control++) {
            bytes[0] = control ? 0x89 : 0x82;
            for (size_t cut = 1; cut < length; cut++) {
                struct test_framing t;
                open_ready(&t, server, "");
                test_framing_feed(&t, bytes, cut);
                test_framing_end(&t);
                check_failed(&t, TAPS_E_TRUNCATED, 0, "the peer ended");
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------------ hostile frames */

static void check_hostile(bool server, const char *options, const void *bytes, size_t length, unsigned code,
                          const char *words)
{
    for (size_t step = 1; step <= length; step += length > 1 ? length - 1 : 1) {
        struct test_framing t;
        open_ready(&t, server, options);
        test_framing_feed_split(&t, bytes, length, step);
        check_failed(&t, TAPS_E_DEFRAMING, code, words);
    }
}

/* proves API-124 */
TEST(what_breaks_the_rules_fails_with_words)
{
    check_hostile(true, "", "\x82\x05Hello", 7, 1002, "without a mask");
    check_hostile(false, "", "\x82\x85\x00\x00\x00\x00Hello", 11, 1002, "a masked frame");
    check_hostile(false, "", "\xc2\x05Hello", 7, 1002, "a reserved bit");
    check_hostile(false, "", "\xa2\x05Hello", 7, 1002, "a reserved bit");
    check_hostile(false, "", "\x83\x00", 2, 1002, "a reserved opcode");
    check_hostile(false, "", "\x8b\x00", 2, 1002, "a reserved opcode");
    check_hostile(false, "", "\x80\x00", 2, 1002, "a continuation of no Message");
    check_hostile(false, "", "\x02\x01x\x02\x01y", 6, 1002, "a Message within a fragmented one");
    check_hostile(false, "", "\x09\x00", 2, 1002, "a control frame in fragments");
    check_hostile(false, "", "\x89\x7e\x00\x7e", 4, 1002, "a control frame over 125 bytes");
    check_hostile(false, "", "\x82\x7e\x00\x01", 4, 1002, "shortest form");
    check_hostile(false, "", "\x82\x7f\x80\0\0\0\0\0\0\0", 10, 1002, "2^63");
    check_hostile(false, "", "\x88\x01x", 3, 1002, "a Close frame of one byte");
    check_hostile(false, "", "\x88\x02\x03\xed", 4, 1002, "an invalid code");
    check_hostile(false, "", "\x88\x03\x03\xe8\xff", 5, 1007, "not UTF-8");
    check_hostile(false, "", "\x81\x02\xc0\x80", 4, 1007, "not UTF-8");
    check_hostile(false, "", "\x81\x01\xc3", 3, 1007, "not UTF-8");
    check_hostile(false, "", "\x01\x01\xc3\x80\x00", 5, 1007, "not UTF-8");
    check_hostile(true, "", "\x81\x81\x00\x00\x00\x00\xff", 7, 1007, "not UTF-8");
}

TEST(messages_over_the_maximum_fail_before_they_are_here)
{
    check_hostile(false, "maximum=1000", "\x82\x7e\x03\xe9", 4, 1009, "over the maximum");
    check_hostile(false, "", "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10, 1009, "over the maximum");
    check_hostile(false, "maximum=4", "\x02\x03xyz\x80\x02", 7, 1009, "over the maximum");
    check_hostile(false, "maximum=unlimited", "\x02\x01x\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 13, 1009,
                  "over the maximum");
}

/* -------------------------------------------------------------------------------------------------- compressed */

#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"

static void open_deflate(struct test_framing *t, bool server, const char *options)
{
    if (server)
        open_server(t, options, DEFLATE);
    else
        open_client(t, options, DEFLATE);
    CHECK_INT(t->ready, 1);
    test_framing_forget(t);
}

/* RFC 7692, 7.2.3.1. */
TEST(the_vectors_of_rfc_7692)
{
    struct test_framing t;
    open_deflate(&t, false, "deflate=on,deflate-minimum=0");
    test_framing_feed(&t, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", 9);
    CHECK(test_framing_got_text(&t, 0, "Hello"));
    test_framing_feed(&t, "\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00", 11);
    CHECK(test_framing_got_text(&t, 1, "Hello"));
    test_framing_feed(&t, "\xc1\x05\xf2\x00\x11\x00\x00", 7);
    CHECK(test_framing_got_text(&t, 2, "Hello"));
    test_framing_feed(&t, "\x81\x05Hello", 7);
    CHECK(test_framing_got_text(&t, 3, "Hello"));
    test_framing_close(&t);
    open_deflate(&t, true, "deflate=on,deflate-minimum=0");
    CHECK_INT(send_typed(&t, "Hello", TAPSI_OP_END, "type", "text"), 0);
    CHECK(test_framing_wrote(&t, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", 9));
    CHECK_INT(send_typed(&t, "Hello", TAPSI_OP_END, "type", "text"), 0);
    CHECK(test_framing_wrote(&t, "\xc1\x05\xf2\x00\x11\x00\x00", 7));
    test_framing_close(&t);
}

TEST(what_is_small_goes_as_it_is)
{
    struct test_framing t;
    open_deflate(&t, true, "deflate=on");
    CHECK_INT(test_framing_send_text(&t, "Hello"), 0);
    CHECK(test_framing_wrote(&t, "\x82\x05Hello", 7));
    test_framing_close(&t);
}

TEST(parts_are_compressed_as_one_message)
{
    for (int server = 0; server < 2; server++) {
        struct test_framing t, peer;
        open_deflate(&t, server, "deflate=on,fragment=128");
        open_deflate(&peer, !server, "deflate=on");
        is_server = server;
        CHECK_INT(send_typed(&t, "one ", 0, "type", "text"), 0);
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
        open_deflate(&t, server, "deflate=on,maximum=1M");
        t.keeps = false;
        feed(&t, 0xc2, packed, length);
        CHECK(t.bytes <= 1 << 20);
        check_failed(&t, TAPS_E_DEFRAMING, 1009, "inflates to more than the maximum");
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
            open_deflate(&t, server, "deflate=on,maximum=8M");
            t.keeps = false;
            size_t all = frame(framed, server, 0xc2, packed, length);
            test_framing_feed_split(&t, framed, all, step);
            CHECK_INT(t.bytes, 8 << 20);
            CHECK_INT(t.closed, 0);
            feed_text(&t, 0x82, "next");
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
    open_deflate(&t, false, "deflate=on");
    test_framing_feed(&t, "\xc2\x01\x07", 3);
    check_failed(&t, TAPS_E_DEFRAMING, 1007, "does not inflate");
    open_deflate(&t, false, "deflate=on");
    test_framing_feed(&t, "\xc2\x03\xf2\x48\xcd", 5);
    check_failed(&t, TAPS_E_DEFRAMING, 1007, "does not inflate");
    open_deflate(&t, false, "deflate=on");
    test_framing_feed(&t, "\xc1\x03\x02\x13\x00", 5);
    check_failed(&t, TAPS_E_DEFRAMING, 1007, "does not inflate");
    open_deflate(&t, false, "deflate=on");
    test_framing_feed(&t, "\xc9\x00", 2);
    check_failed(&t, TAPS_E_DEFRAMING, 1002, "a compressed control frame");
}

TEST(empty_blocks_without_end_have_one)
{
    struct test_framing t;
    uint8_t head[TAPSI_WS_HEAD_MAX], blocks[5000] = {0};
    struct tapsi_ws_head is = {.opcode = TAPSI_WS_BINARY, .compressed = true, .length = sizeof(blocks)};
    for (size_t i = 0; i < sizeof(blocks); i += 5)
        memcpy(blocks + i, "\x00\x00\x00\xff\xff", 5);
    open_deflate(&t, false, "deflate=on,maximum=1000");
    for (int i = 0; i < 3 && !t.closed; i++) {
        test_framing_feed(&t, head, tapsi_ws_head_write(head, &is));
        test_framing_feed(&t, blocks, sizeof(blocks));
        is.opcode = TAPSI_WS_CONTINUATION;
        is.compressed = false;
    }
    CHECK_INT(t.bytes, 0);
    check_failed(&t, TAPS_E_DEFRAMING, 1009, "over the maximum");
}
