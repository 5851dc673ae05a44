#include "message/ws_handshake.h"
#include "base/test.h"

/* RFC 6455, 1.3. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static const struct tapsi_ws_wishes plain = {.host = "server.example.com", .protocols = "", .fields = ""};

#define REQUEST                                                                                                        \
    "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                  \
    "Sec-WebSocket-Key: " KEY "\r\n"
#define RESPONSE                                                                                                       \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                                \
    "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static struct tapsi_ws_upgrade request(const char *head, struct tapsi_ws_wishes wishes)
{
    struct tapsi_ws_upgrade upgrade;
    tapsi_ws_request_read(head, strlen(head), &wishes, &upgrade);
    return upgrade;
}

static struct tapsi_ws_upgrade response(const char *head, struct tapsi_ws_wishes wishes)
{
    struct tapsi_ws_upgrade upgrade;
    tapsi_ws_response_read(head, strlen(head), &wishes, KEY, &upgrade);
    return upgrade;
}

static const char *text_of(struct tapsi_ws_span span)
{
    static char text[256];
    tapsi_format(text, sizeof(text), "%.*s", (int)span.length, span.at ? span.at : "");
    return text;
}

/* ------------------------------------------------------------------------------------------------------- heads */

TEST(the_accept_of_rfc_6455)
{
    char accept[TAPSI_WS_ACCEPT_SIZE];
    CHECK_INT(tapsi_ws_accept((struct tapsi_ws_span){KEY, strlen(KEY)}, accept), 0);
    CHECK_TEXT(accept, ACCEPT);
}

TEST(the_end_of_a_head_is_found_wherever_it_is_split)
{
    const char *text = "a: b\r\n\r\nrest";
    for (size_t split = 0; split <= strlen(text); split++) {
        size_t scanned = 0, end = tapsi_ws_head_end(text, split, &scanned);
        CHECK_INT(end, split >= 8 ? 8 : 0);
        if (!end)
            CHECK_INT(tapsi_ws_head_end(text, strlen(text), &scanned), 8);
    }
}

TEST(fields_are_read_in_order_and_trimmed)
{
    struct tapsi_ws_span rest = {"A:1\r\nb-c: \t two words \t\r\nempty:\r\n\r\n", 37}, name, value;
    rest.length = strlen(rest.at);
    CHECK(tapsi_ws_field_next(&rest, &name, &value) && tapsi_ws_span_is(name, "a") && tapsi_ws_span_is(value, "1"));
    CHECK(tapsi_ws_field_next(&rest, &name, &value) && tapsi_ws_span_is(value, "two words"));
    CHECK(tapsi_ws_field_next(&rest, &name, &value) && value.length == 0);
    CHECK(!tapsi_ws_field_next(&rest, &name, &value));
    CHECK_INT(rest.length, 2);
}

TEST(what_is_no_field_is_left)
{
    static const char *const lines[] = {": value\r\n\r\n",
                                        "name\r\n\r\n",
                                        "na me: value\r\n\r\n",
                                        "name : value\r\n\r\n",
                                        " folded: value\r\n\r\n",
                                        "name: va\nlue\r\n\r\n",
                                        "name: va\rlue\r\n\r\n",
                                        "name: va\x01lue\r\n\r\n",
                                        "name: value"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct tapsi_ws_span rest = {lines[i], strlen(lines[i])}, name, value;
        CHECK(!tapsi_ws_field_next(&rest, &name, &value));
        CHECK_INT(rest.length, strlen(lines[i]));
    }
}

/* ------------------------------------------------------------------------------------------------------ writing */

TEST(the_request_as_it_is_written)
{
    char head[TAPSI_WS_WRITE_LIMIT];
    struct tapsi_ws_wishes wishes = {.path = "/chat?room=1",
                                     .host = "server.example.com:8080",
                                     .origin = "http://example.com",
                                     .protocols = "chat  superchat",
                                     .fields = "Authorization: Bearer x\r\n",
                                     .deflate = true};
    size_t length = tapsi_ws_request_write(&wishes, KEY, head);
    CHECK_TEXT(head, "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com:8080\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"
                     "Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n"
                     "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                     "Authorization: Bearer x\r\n\r\n");
    CHECK_INT(length, strlen(head));
    tapsi_ws_request_write(&plain, KEY, head);
    CHECK_TEXT(head, "GET / HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n");
}

TEST(the_server_answers_the_request_that_the_client_writes)
{
    char head[TAPSI_WS_WRITE_LIMIT], answer[TAPSI_WS_WRITE_LIMIT];
    struct tapsi_ws_wishes client = plain, server = plain;
    struct tapsi_ws_upgrade upgrade;
    client.protocols = "one two three";
    server.protocols = "three two";
    client.deflate = server.deflate = true;
    size_t length = tapsi_ws_request_write(&client, KEY, head);
    tapsi_ws_request_read(head, length, &server, &upgrade);
    CHECK(!upgrade.wrong);
    length = tapsi_ws_response_write(&upgrade, answer);
    CHECK_TEXT(answer,
               RESPONSE "Sec-WebSocket-Protocol: three\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    tapsi_ws_response_read(answer, length, &client, KEY, &upgrade);
    CHECK(!upgrade.wrong);
    CHECK_INT(upgrade.status, 101);
    CHECK(upgrade.deflate);
    CHECK_TEXT(text_of(upgrade.protocol), "three");
}

/* -------------------------------------------------------------------------------------------------- the server */

TEST(a_request_of_rfc_6455_is_taken)
{
    struct tapsi_ws_wishes wishes = plain;
    wishes.protocols = "superchat";
    struct tapsi_ws_upgrade u = request(REQUEST "Origin: http://example.com\r\n"
                                                "Sec-WebSocket-Protocol: chat, superchat\r\n"
                                                "Sec-WebSocket-Version: 13\r\n\r\n",
                                        wishes);
    CHECK(!u.wrong);
    CHECK_TEXT(text_of(u.path), "/chat");
    CHECK_TEXT(text_of(u.protocol), "superchat");
    CHECK_TEXT(text_of(u.key), KEY);
    CHECK(!u.deflate);
}

TEST(lists_and_cases_of_the_upgrade)
{
    CHECK(!request("GET http://a.example/b HTTP/1.1\r\nhost: x\r\nUPGRADE: foo/1, WebSocket\r\n"
                   "Connection: keep-alive, upgrade\r\nSec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
                   plain)
               .wrong);
}

static void check_refused(const char *head, struct tapsi_ws_wishes wishes, unsigned status)
{
    struct tapsi_ws_upgrade u = request(head, wishes);
    char answer[TAPSI_WS_WRITE_LIMIT], start[32];
    if (!u.wrong || u.status != status) {
        tapsi_test_fail(__FILE__, __LINE__, "%u (%s), not %u: %.60s", u.status, u.wrong ? u.wrong : "taken", status,
                        head);
        return;
    }
    CHECK_INT(tapsi_ws_response_write(&u, answer), strlen(answer));
    tapsi_format(start, sizeof(start), "HTTP/1.1 %u ", status);
    CHECK(strncmp(answer, start, strlen(start)) == 0);
    CHECK(strstr(answer, u.wrong) != NULL);
}

#define REST "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
#define V13  "Sec-WebSocket-Version: 13\r\n\r\n"

TEST(requests_that_are_refused)
{
    check_refused("\r\n\r\n", plain, 400);
    check_refused("GET / HTTP/2.0\r\n" REST V13, plain, 400);
    check_refused("GET /\r\n" REST V13, plain, 400);
    check_refused("GET  HTTP/1.1\r\n" REST V13, plain, 400);
    check_refused("GET * HTTP/1.1\r\n" REST V13, plain, 400);
    check_refused("GET /a b HTTP/1.1\r\n" REST V13, plain, 400);
    check_refused("GET /a\x01 HTTP/1.1\r\n" REST V13, plain, 400);
    check_refused("POST / HTTP/1.1\r\n" REST V13, plain, 405);
    check_refused("GET / HTTP/1.0\r\n" REST V13, plain, 505);
    check_refused("GET / HTTP/1.1\r\n" REST "\r\n", plain, 426);
    check_refused("GET / HTTP/1.1\r\n" REST "Sec-WebSocket-Version: 8\r\n\r\n", plain, 426);
    check_refused("GET / HTTP/1.1\r\n" REST "Sec-WebSocket-Version: 13, 8\r\n\r\n", plain, 426);
    check_refused("GET / HTTP/1.1\r\nHost: x\r\n" V13, plain, 426);
    check_refused("GET / HTTP/1.1\r\n" REST "no field\r\n" V13, plain, 400);
    check_refused("GET / HTTP/1.1\r\n" REST "Host: y\r\n" V13, plain, 400);
    check_refused("GET / HTTP/1.1\r\n" REST "Sec-WebSocket-Key: " KEY "\r\n" V13, plain, 400);
    check_refused("GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n" V13,
                  plain, 400);
    check_refused("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" V13, plain, 400);
    check_refused("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n" V13,
                  plain, 400);
}

TEST(the_path_and_the_origin_that_are_asked_for)
{
    struct tapsi_ws_wishes path = plain, origin = plain;
    path.path = "/chat";
    origin.origin = "https://example.com";
    CHECK(!request("GET /chat HTTP/1.1\r\n" REST V13, path).wrong);
    CHECK(!request("GET /chat?room=1 HTTP/1.1\r\n" REST V13, path).wrong);
    check_refused("GET / HTTP/1.1\r\n" REST V13, path, 404);
    check_refused("GET /chat/ HTTP/1.1\r\n" REST V13, path, 404);
    CHECK(!request("GET / HTTP/1.1\r\nOrigin: https://example.com\r\n" REST V13, origin).wrong);
    check_refused("GET / HTTP/1.1\r\n" REST V13, origin, 403);
    check_refused("GET / HTTP/1.1\r\nOrigin: https://evil.example\r\n" REST V13, origin, 403);
}

TEST(the_server_chooses_in_its_own_order)
{
    struct tapsi_ws_wishes wishes = plain;
    wishes.protocols = "b a";
    CHECK_TEXT(text_of(request("GET / HTTP/1.1\r\n" REST
                               "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: c, b\r\n" V13,
                               wishes)
                           .protocol),
               "b");
    CHECK_TEXT(text_of(request("GET / HTTP/1.1\r\n" REST "Sec-WebSocket-Protocol: c, B\r\n" V13, wishes).protocol), "");
    CHECK_TEXT(text_of(request("GET / HTTP/1.1\r\n" REST "Sec-WebSocket-Protocol: bb a\r\n" V13, wishes).protocol), "");
}

/* -------------------------------------------------------------------------------------------------- the client */

TEST(a_response_of_rfc_6455_is_taken)
{
    struct tapsi_ws_wishes wishes = plain;
    wishes.protocols = "chat";
    struct tapsi_ws_upgrade u = response(RESPONSE "Sec-WebSocket-Protocol: chat\r\n\r\n", wishes);
    CHECK(!u.wrong);
    CHECK_INT(u.status, 101);
    CHECK_TEXT(text_of(u.protocol), "chat");
}

TEST(another_status_is_told_with_its_words)
{
    struct tapsi_ws_upgrade u = response("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n", plain);
    CHECK(!u.wrong);
    CHECK_INT(u.status, 503);
    CHECK_TEXT(text_of(u.reason), "Service Unavailable");
    u = response("HTTP/1.1 404\r\n\r\n", plain);
    CHECK(!u.wrong);
    CHECK_INT(u.status, 404);
}

TEST(responses_that_are_refused)
{
    static const char *const heads[][2] = {
        {"SSH-2.0-OpenSSH\r\n\r\n", "it is not HTTP"},
        {"HTTP/1.1 1x1 OK\r\n\r\n", "it is not HTTP"},
        {"HTTP/1.1 1011\r\n\r\n", "it is not HTTP"},
        {"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
         "it has no Upgrade: websocket"},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
         "it has no Connection: Upgrade"},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
         "its Sec-WebSocket-Accept does not answer the key"},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         "its Sec-WebSocket-Accept does not answer the key"},
        {RESPONSE "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", "a header field is there twice"},
        {RESPONSE "nothing\r\n\r\n", "a line of it is no header field"},
        {RESPONSE "Sec-WebSocket-Protocol: chat\r\n\r\n", "it names a subprotocol that was not asked for"},
        {RESPONSE "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "it names an extension that was not offered"},
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct tapsi_ws_upgrade u = response(heads[i][0], plain);
        CHECK_TEXT(u.wrong, heads[i][1]);
    }
}

TEST(choices_that_were_not_offered_are_refused)
{
    struct tapsi_ws_wishes wishes = plain;
    wishes.protocols = "chat";
    wishes.deflate = true;
    CHECK_TEXT(response(RESPONSE "Sec-WebSocket-Protocol: Chat\r\n\r\n", wishes).wrong,
               "it names a subprotocol that was not asked for");
    CHECK_TEXT(response(RESPONSE "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n\r\n", wishes).wrong,
               "it names two subprotocols");
    CHECK_TEXT(response(RESPONSE "Sec-WebSocket-Extensions: permessage-deflate; x\r\n\r\n", wishes).wrong,
               "an unknown parameter");
    CHECK_TEXT(response(RESPONSE "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                                 "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                        wishes)
                   .wrong,
               "it names an extension that was not offered");
}
