/*
 * The Framer "websocket" inside: its options and what it knows of one Connection. framer_websocket.c has the beginning
 * and the ends, websocket_receive.c and websocket_send.c the Messages in between.
 */
#ifndef TAPSI_MESSAGE_WEBSOCKET_H
#define TAPSI_MESSAGE_WEBSOCKET_H

#include <taps/framer.h>
#include "message/ws_deflate.h"
#include "message/ws_frame.h"
#include "message/ws_handshake.h"

/* Pieces in which what is received masked or compressed is worked on. */
#define TAPSI_WS_PIECE ((size_t)64 * 1024)

struct tapsi_ws_options {
    char path[1024], host[264], origin[264], protocols[256], fields[2048]; /* empty: not set */
    bool deflate;
    struct tapsi_ws_agreement wants;
    uint64_t deflate_minimum; /* bytes of a Message under which it goes as it is */
    uint64_t maximum;         /* bytes of a Message that is received */
    uint64_t fragment;        /* bytes of a frame that is sent; 0: any */
    uint64_t ping_interval_ms, ping_timeout_ms, close_timeout_ms, handshake_timeout_ms; /* 0: none */
};

struct tapsi_ws {
    bool server;
    bool open;    /* the handshake is done */
    bool stopped; /* the Connection closes; what still comes is dropped */
    bool sent_close, got_close;
    bool heard, pinged; /* since the timer was set: something came; and a ping went before that */
    char key[TAPSI_WS_KEY_SIZE];
    size_t scanned; /* of the peer's head */
    struct {
        struct tapsi_ws_head head;
        bool in_frame; /* the head was taken, `left` bytes of its payload were not */
        uint64_t left;
        bool in_message, compressed, text;
        uint64_t bytes, raw; /* of the Message: as delivered, as received */
        struct tapsi_ws_text check;
    } in;
    struct {
        bool in_message, compressed, text;
        uint8_t opcode; /* of the next frame */
        struct tapsi_ws_text check;
        uint8_t masks[256]; /* random bytes, of which `masks_left` were not used */
        size_t masks_left;
    } out;
    bool deflate; /* agreed on */
    struct tapsi_ws_deflate streams;
};

/* websocket_receive.c: one frame, or what there is of its payload. As handle_received_data. */
int tapsi_ws_receive(taps_framing *framing, struct tapsi_ws *ws);

/* websocket_send.c */
/* As new_sent_message. */
int tapsi_ws_send(taps_framing *framing, struct tapsi_ws *ws, const struct taps_sent_message *message);
/* A frame of at most 125 bytes: 0 or a negative taps_err. */
int tapsi_ws_send_control(taps_framing *framing, struct tapsi_ws *ws, uint8_t opcode, const void *payload,
                          size_t length);
/* Close, unless one was sent: TAPSI_WS_NO_STATUS sends an empty one. The reason is cut where it is too long. */
int tapsi_ws_send_close(taps_framing *framing, struct tapsi_ws *ws, unsigned code, const char *reason);
/* The peer broke a rule: Close with that code, and the Connection fails with TAPS_E_DEFRAMING. */
int tapsi_ws_fail(taps_framing *framing, struct tapsi_ws *ws, unsigned code, const char *what);

#endif
