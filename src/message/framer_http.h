/*
 * The Framer "http": HTTP/1.1 (RFC 9112), client and server. A Message is one request or one response: its bytes are
 * the body, its head is metadata. docs/framers/http.md says what an application sees.
 *
 * framer_http.c has the definition, the options and the requests that are not answered yet; http_send.c writes,
 * http_receive.c reads. This is what the three share.
 */
#ifndef TAPSI_MESSAGE_FRAMER_HTTP_H
#define TAPSI_MESSAGE_FRAMER_HTTP_H

#include <taps/framer.h>
#include "message/http_body.h"

#define TAPSI_HTTP_TEXT_MAX     256 /* of a target or a host in the options */
#define TAPSI_HTTP_PIPELINE_MAX 256

struct tapsi_http_options {
    char target[TAPSI_HTTP_TEXT_MAX], host[TAPSI_HTTP_TEXT_MAX];
    uint64_t head_maximum, fields_maximum, body_maximum, pipeline_maximum;
    unsigned interim; /* 0: responses 1xx that nobody asked for are dropped; 1: delivered */
};

/* What is remembered of a request until its response. */
enum tapsi_http_asked {
    TAPSI_HTTP_ASKED_HEAD = 1,
    TAPSI_HTTP_ASKED_CONNECT = 2,
    TAPSI_HTTP_ASKED_UPGRADE = 4,
    TAPSI_HTTP_ASKED_CLOSE = 8,    /* the connection is over behind the response */
    TAPSI_HTTP_ASKED_KEEP = 16,    /* of HTTP/1.0, and asked to go on */
    TAPSI_HTTP_ASKED_OLD = 32,     /* of HTTP/1.0: its sender knows no chunks */
    TAPSI_HTTP_ASKED_CONTINUE = 64 /* and waits for 100 (Continue) */
};

/* The oldest first. */
struct tapsi_http_pending {
    uint8_t asked[TAPSI_HTTP_PIPELINE_MAX];
    unsigned first, count;
};

/* Where the Message is that is being sent; nothing of it before its head. */
struct tapsi_http_sending {
    bool active;
    bool silent; /* a response to HEAD: its bytes are not sent */
    bool last, passes, interim;
    enum tapsi_http_body body;
    uint64_t left; /* of Content-Length */
};

enum tapsi_http_phase {
    TAPSI_HTTP_AT_HEAD,
    TAPSI_HTTP_AT_CHUNK,
    TAPSI_HTTP_AT_CHUNK_END, /* the CR LF behind its bytes */
    TAPSI_HTTP_AT_TRAILERS,
    TAPSI_HTTP_AT_LAST, /* the bytes of a known length behind which nothing follows */
    TAPSI_HTTP_AT_REST, /* until close */
    TAPSI_HTTP_OVER,    /* what comes now means nothing */
};

struct tapsi_http_receiving {
    enum tapsi_http_phase phase;
    bool last; /* nothing follows the Message that is being received */
    bool continue_due;
    unsigned blank_lines;
    size_t scanned;    /* of the head or the trailers, without an end so far */
    uint64_t body;     /* bytes of it so far; AT_LAST: that are to come */
    size_t extensions; /* bytes of the lines of its chunks that are not size */
    char *text;        /* a head, while it is read */
    size_t text_size;
};

struct tapsi_http_state {
    struct tapsi_http_pending pending;
    struct tapsi_http_sending sending;
    struct tapsi_http_receiving receiving;
    bool closing; /* no Message begins any more */
    bool passes;  /* another protocol has begun: what is sent waits until this Framer is aside */
};

/* False: there are as many as the options allow. */
bool tapsi_http_push(taps_framing *framing, unsigned asked);
unsigned tapsi_http_pop(taps_framing *framing);
/* No request may be begun, or read: there are too many, or the last one may lead to another protocol. */
bool tapsi_http_is_full(taps_framing *framing);
/* 100 (Continue), if the only request without an answer waits for it. */
int tapsi_http_send_continue(taps_framing *framing);

/* new_sent_message and handle_received_data of the definition. */
int tapsi_http_send(taps_framing *framing, const struct taps_sent_message *message);
int tapsi_http_receive(taps_framing *framing);

#endif
