/* The opening handshake of WebSocket (RFC 6455, section 4): heads of HTTP/1.1, written and read, in both roles. */
#ifndef TAPSI_MESSAGE_WS_HANDSHAKE_H
#define TAPSI_MESSAGE_WS_HANDSHAKE_H

#include "message/ws_extension.h"
#include "message/ws_token.h"

#define TAPSI_WS_HEAD_LIMIT  ((size_t)16 * 1024) /* of a head that is received */
#define TAPSI_WS_WRITE_LIMIT ((size_t)8 * 1024)  /* of one that is written */
#define TAPSI_WS_NONCE_SIZE  16
#define TAPSI_WS_KEY_SIZE    25 /* the base64 of the nonce, terminated */
#define TAPSI_WS_ACCEPT_SIZE 29 /* the base64 of a SHA-1, terminated */

/* What this side has been told. All text is borrowed, and has no control characters. */
struct tapsi_ws_wishes {
    const char *path;      /* client: what is asked for; server: the only path there is, NULL: any */
    const char *host;      /* client: the Host field */
    const char *origin;    /* client: told to the server; server: the only one allowed; NULL: none, any */
    const char *protocols; /* subprotocols, separated by spaces, the best first */
    const char *fields;    /* client: more header fields, each with its CRLF */
    bool deflate;          /* offer it, or accept it */
    struct tapsi_ws_agreement wants;
};

/* What a head said. The spans are parts of it. */
struct tapsi_ws_upgrade {
    unsigned status;   /* 101, or: client: the server's; server: what to answer */
    const char *wrong; /* NULL if it may go on, or why not (static text) */
    struct tapsi_ws_span path, key, reason, fields;
    struct tapsi_ws_span protocol; /* the subprotocol chosen; empty: none */
    bool deflate;
    struct tapsi_ws_agreement agreed;
};

/* Where a head ends, with its empty line: 0 = not in these bytes. *scanned (0 at first) is where to go on. */
size_t tapsi_ws_head_end(const char *bytes, size_t length, size_t *scanned);

/* The client's request; `to` has TAPSI_WS_WRITE_LIMIT bytes. */
size_t tapsi_ws_request_write(const struct tapsi_ws_wishes *wishes, const char *key, char *to);
void tapsi_ws_request_read(const char *head, size_t length, const struct tapsi_ws_wishes *wishes,
                           struct tapsi_ws_upgrade *ret);
/* The server's answer to a request: 101, or the status and why. 0: the digest cannot be made. */
size_t tapsi_ws_response_write(const struct tapsi_ws_upgrade *request, char *to);
void tapsi_ws_response_read(const char *head, size_t length, const struct tapsi_ws_wishes *wishes, const char *key,
                            struct tapsi_ws_upgrade *ret);

/* Sec-WebSocket-Accept for a key: 0 or TAPS_E_SYSTEM. */
int tapsi_ws_accept(struct tapsi_ws_span key, char ret_text[TAPSI_WS_ACCEPT_SIZE]);
/* The next header field of `rest`, which is cut off it. False: at the end, or, with `rest` not empty, no field. */
bool tapsi_ws_field_next(struct tapsi_ws_span *rest, struct tapsi_ws_span *ret_name, struct tapsi_ws_span *ret_value);

#endif
