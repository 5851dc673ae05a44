/* The frames of WebSocket (RFC 6455, section 5): their heads, masking, what Close carries, and UTF-8 in pieces. */
#ifndef TAPSI_MESSAGE_WS_FRAME_H
#define TAPSI_MESSAGE_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tapsi_ws_opcode {
    TAPSI_WS_CONTINUATION = 0,
    TAPSI_WS_TEXT = 1,
    TAPSI_WS_BINARY = 2,
    TAPSI_WS_CLOSE = 8,
    TAPSI_WS_PING = 9,
    TAPSI_WS_PONG = 10,
};

enum tapsi_ws_code {
    TAPSI_WS_NORMAL = 1000,
    TAPSI_WS_GOING_AWAY = 1001,
    TAPSI_WS_PROTOCOL_ERROR = 1002,
    TAPSI_WS_NO_STATUS = 1005, /* never on the wire: the Close carried none */
    TAPSI_WS_BAD_DATA = 1007,
    TAPSI_WS_TOO_BIG = 1009,
    TAPSI_WS_INTERNAL_ERROR = 1011,
};

#define TAPSI_WS_HEAD_MAX    14
#define TAPSI_WS_CONTROL_MAX 125

struct tapsi_ws_head {
    uint8_t opcode;
    bool final;      /* FIN */
    bool compressed; /* RSV1 */
    bool reserved;   /* RSV2 or RSV3 */
    bool masked;
    uint8_t mask[4];
    uint64_t length; /* of the payload */
};

/* What a frame may be depends on what came before it. */
struct tapsi_ws_rules {
    bool server;     /* this side is one: frames must be masked; else they must not be */
    bool deflate;    /* permessage-deflate was agreed on */
    bool in_message; /* a fragmented Message has begun */
};

/* Bytes of the head that begins with these two: 2 to 14. */
size_t tapsi_ws_head_size(const uint8_t *two_bytes);
/* Reads a head that is there as a whole. Returns NULL, or what is wrong with it (static text). */
const char *tapsi_ws_head_read(const uint8_t *bytes, struct tapsi_ws_head *ret_head);
/* NULL, or the rule that the frame breaks. */
const char *tapsi_ws_head_check(const struct tapsi_ws_head *head, const struct tapsi_ws_rules *rules);
/* Writes at most TAPSI_WS_HEAD_MAX bytes and returns how many. */
size_t tapsi_ws_head_write(uint8_t *to, const struct tapsi_ws_head *head);

/* Masks or unmasks bytes that stand `offset` bytes into the payload. `to` may be `from`. */
void tapsi_ws_mask(uint8_t *to, const uint8_t *from, size_t length, const uint8_t mask[4], uint64_t offset);

/* May this code stand in a Close frame? */
bool tapsi_ws_code_valid(unsigned code);
/* The payload of a Close frame: NULL and the code (TAPSI_WS_NO_STATUS if there is none), or what is wrong; the reason,
   checked UTF-8, is what follows the first two bytes. ret_answer: the code to fail with. */
const char *tapsi_ws_close_read(const uint8_t *payload, size_t length, unsigned *ret_code, unsigned *ret_answer);

/* UTF-8 (RFC 3629) that comes in pieces. Zeroed at the start of a text. */
struct tapsi_ws_text {
    uint8_t left;      /* continuation bytes that must still come */
    uint8_t low, high; /* what the next of them may be */
};
/* False: this can never become UTF-8. */
bool tapsi_ws_text_check(struct tapsi_ws_text *text, const uint8_t *bytes, size_t length);
/* May the text end here? */
static inline bool tapsi_ws_text_whole(const struct tapsi_ws_text *text)
{
    return text->left == 0;
}

#endif
