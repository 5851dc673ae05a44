/*
 * What the tests of the WebSocket Framer share: its peer, which writes frames and looks at those that went down. It is
 * the client of a Framer that is a server, and the other way round.
 */
#ifndef TAPSI_MESSAGE_TEST_WEBSOCKET_H
#define TAPSI_MESSAGE_TEST_WEBSOCKET_H

#include "message/ws_frame.h"
#include "stack/framer/test_framing.h"

#define WS_KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define WS_REQUEST                                                                                                     \
    "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"           \
    "Sec-WebSocket-Key: " WS_KEY "\r\nSec-WebSocket-Version: 13\r\n"
#define WS_SWITCHING                                                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                                \
    "Sec-WebSocket-Accept: " WS_ACCEPT "\r\n"
#define WS_DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"

/* A frame as the peer of `server` (a client then) writes it: masked, or not; `first` is its
   first byte. Returns its length. */
size_t ws_frame(uint8_t *to, bool server, unsigned first, const void *payload, size_t length);
void ws_feed(struct test_framing *t, unsigned first, const void *payload, size_t length);
void ws_feed_text(struct test_framing *t, unsigned first, const char *text);

struct ws_sent {
    struct tapsi_ws_head head;
    char payload[300];
};

/* The next frame that went down, unmasked; opcode 15: there is none. */
struct ws_sent ws_next_sent(struct test_framing *t);
void ws_check_sent(struct test_framing *t, unsigned first, const char *payload);
/* A Close with this code went down, last of all. */
void ws_check_close(struct test_framing *t, unsigned code);

/* A server with `options` ("" or what follows "websocket:") that was asked, with `more` fields. */
void ws_open_server(struct test_framing *t, const char *options, const char *more);
/* A client that has asked. */
void ws_begin_client(struct test_framing *t, const char *options);
/* What the answer must have for the request that went down. */
void ws_write_answer(struct test_framing *t, const char *more, char *to, size_t size);
/* A client that has asked and was answered. */
void ws_open_client(struct test_framing *t, const char *options, const char *more);
/* Either, Ready, with nothing of the handshake left. */
void ws_open_ready(struct test_framing *t, bool server, const char *options);
/* The same, and both have agreed on compression. */
void ws_open_deflate(struct test_framing *t, bool server, const char *options);

/* Sends with one property of the Framer's. */
int ws_send_typed(struct test_framing *t, const char *text, unsigned flags, const char *key, const char *value);
/* It failed with this code of the library, told the peer that code of WebSocket (0: none), and the words are these. */
void ws_check_failed(struct test_framing *t, int code, unsigned close_code, const char *words);

#endif
