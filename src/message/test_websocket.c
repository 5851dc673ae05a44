#include "message/test_websocket.h"
#include <stdlib.h>
#include "base/str.h"
#include "base/test.h"
#include "message/ws_handshake.h"

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

size_t ws_frame(uint8_t *to, bool server, unsigned first, const void *payload, size_t length)
{
    struct tapsi_ws_head head = {
        .opcode = first & 0x0f, .final = first & 0x80, .compressed = first & 0x40, .masked = server, .length = length};
    memcpy(head.mask, mask, 4);
    size_t at = tapsi_ws_head_write(to, &head);
    for (size_t i = 0; i < length; i++)
        to[at + i] = ((const uint8_t *)payload)[i] ^ (server ? mask[i % 4] : 0);
    return at + length;
}

void ws_feed(struct test_framing *t, unsigned first, const void *payload, size_t length)
{
    uint8_t *bytes = malloc(length + TAPSI_WS_HEAD_MAX);
    test_framing_feed(t, bytes, ws_frame(bytes, t->server, first, payload, length));
    free(bytes);
}

void ws_feed_text(struct test_framing *t, unsigned first, const char *text)
{
    ws_feed(t, first, text, strlen(text));
}

struct ws_sent ws_next_sent(struct test_framing *t)
{
    struct ws_sent sent = {.head = {.opcode = 15}};
    size_t size = t->out_length >= 2 ? tapsi_ws_head_size(t->out) : 0;
    if (!size || t->out_length < size || tapsi_ws_head_read(t->out, &sent.head))
        return sent;
    size_t length = (size_t)sent.head.length;
    CHECK_INT(sent.head.masked, !t->server);
    CHECK(t->out_length >= size + length);
    if (length < sizeof(sent.payload))
        tapsi_ws_mask((uint8_t *)sent.payload, t->out + size, length, sent.head.mask, 0);
    t->out_length -= size + length;
    memmove(t->out, t->out + size + length, t->out_length);
    return sent;
}

void ws_check_sent(struct test_framing *t, unsigned first, const char *payload)
{
    struct ws_sent sent = ws_next_sent(t);
    CHECK_INT(sent.head.opcode, first & 0x0f);
    CHECK_INT(sent.head.final, (first & 0x80) != 0);
    CHECK_INT(sent.head.length, strlen(payload));
    CHECK_TEXT(sent.payload, payload);
}

void ws_check_close(struct test_framing *t, unsigned code)
{
    struct ws_sent sent = ws_next_sent(t);
    while (t->out_length >= 2 && sent.head.opcode != TAPSI_WS_CLOSE)
        sent = ws_next_sent(t);
    CHECK_INT(sent.head.opcode, TAPSI_WS_CLOSE);
    CHECK_INT((unsigned)(uint8_t)sent.payload[0] << 8 | (uint8_t)sent.payload[1], code);
    CHECK_INT(t->out_length, 0);
}

void ws_open_server(struct test_framing *t, const char *options, const char *more)
{
    char text[256], request[512];
    tapsi_format(text, sizeof(text), "websocket%s%s", *options ? ":" : "", options);
    tapsi_format(request, sizeof(request), WS_REQUEST "%s\r\n", more);
    test_framing_open_text(t, text, true);
    test_framing_feed_text(t, request);
}

void ws_write_answer(struct test_framing *t, const char *more, char *to, size_t size)
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

void ws_begin_client(struct test_framing *t, const char *options)
{
    char text[256];
    tapsi_format(text, sizeof(text), "websocket%s%s", *options ? ":" : "", options);
    test_framing_open_text(t, text, false);
}

void ws_open_client(struct test_framing *t, const char *options, const char *more)
{
    char answer[512];
    ws_begin_client(t, options);
    ws_write_answer(t, more, answer, sizeof(answer));
    test_framing_forget(t);
    test_framing_feed_text(t, answer);
}

static void open_ready(struct test_framing *t, bool server, const char *options, const char *more)
{
    if (server)
        ws_open_server(t, options, more);
    else
        ws_open_client(t, options, more);
    CHECK_INT(t->ready, 1);
    test_framing_forget(t);
}

void ws_open_ready(struct test_framing *t, bool server, const char *options)
{
    open_ready(t, server, options, "");
}

void ws_open_deflate(struct test_framing *t, bool server, const char *options)
{
    open_ready(t, server, options, WS_DEFLATE);
}

int ws_send_typed(struct test_framing *t, const char *text, unsigned flags, const char *key, const char *value)
{
    struct tapsi_meta *meta = NULL;
    CHECK_INT(tapsi_meta_add(&meta, &t->mem, "websocket", key, value), 0);
    int err = test_framing_send(t, text, strlen(text), flags, meta);
    tapsi_meta_unref(meta);
    return err;
}

void ws_check_failed(struct test_framing *t, int code, unsigned close_code, const char *words)
{
    CHECK(test_framing_failed(t, code));
    if (!strstr(t->error.text, words))
        tapsi_test_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", words, t->error.text);
    if (close_code)
        ws_check_close(t, close_code);
    test_framing_close(t);
}
