#include "message/ws_frame.h"
#include <string.h>

/* ------------------------------------------------------------------------------------------------------- heads */

#define FIN   0x80
#define RSV1  0x40
#define RSV23 0x30
#define MASK  0x80

static bool is_control(uint8_t opcode)
{
    return opcode & 8;
}

static size_t length_size(uint8_t second)
{
    unsigned length = second & 0x7f;
    return length == 127 ? 8 : length == 126 ? 2 : 0;
}

size_t tapsi_ws_head_size(const uint8_t *two_bytes)
{
    return 2 + length_size(two_bytes[1]) + (two_bytes[1] & MASK ? 4 : 0);
}

const char *tapsi_ws_head_read(const uint8_t *bytes, struct tapsi_ws_head *ret_head)
{
    size_t more = length_size(bytes[1]);
    uint64_t length = more ? 0 : bytes[1] & 0x7f;
    for (size_t i = 0; i < more; i++)
        length = length << 8 | bytes[2 + i];
    if (length >> 63)
        return "a length of 2^63 or more";
    if (more && length < (more == 2 ? 126 : 65536))
        return "a length that is not in its shortest form";
    *ret_head = (struct tapsi_ws_head){
        .opcode = bytes[0] & 0x0f,
        .final = bytes[0] & FIN,
        .compressed = bytes[0] & RSV1,
        .reserved = bytes[0] & RSV23,
        .masked = bytes[1] & MASK,
        .length = length,
    };
    if (ret_head->masked)
        memcpy(ret_head->mask, bytes + 2 + more, 4);
    return NULL;
}

static const char *check_control(const struct tapsi_ws_head *head)
{
    if (!head->final)
        return "a control frame in fragments";
    if (head->length > TAPSI_WS_CONTROL_MAX)
        return "a control frame over 125 bytes";
    if (head->compressed)
        return "a compressed control frame";
    return NULL;
}

static const char *check_data(const struct tapsi_ws_head *head, const struct tapsi_ws_rules *rules)
{
    if (head->opcode == TAPSI_WS_CONTINUATION && !rules->in_message)
        return "a continuation of no Message";
    if (head->opcode != TAPSI_WS_CONTINUATION && rules->in_message)
        return "a Message within a fragmented one";
    if (head->opcode == TAPSI_WS_CONTINUATION && head->compressed)
        return "a continuation with RSV1";
    return NULL;
}

const char *tapsi_ws_head_check(const struct tapsi_ws_head *head, const struct tapsi_ws_rules *rules)
{
    if (head->reserved || (head->compressed && !rules->deflate))
        return "a reserved bit that nothing was agreed on for";
    if (head->opcode > TAPSI_WS_PONG || (head->opcode > TAPSI_WS_BINARY && head->opcode < TAPSI_WS_CLOSE))
        return "a reserved opcode";
    if (rules->server && !head->masked)
        return "a frame of the client without a mask";
    if (!rules->server && head->masked)
        return "a masked frame of the server";
    return is_control(head->opcode) ? check_control(head) : check_data(head, rules);
}

size_t tapsi_ws_head_write(uint8_t *to, const struct tapsi_ws_head *head)
{
    size_t more = head->length > 65535 ? 8 : head->length > 125 ? 2 : 0;
    to[0] = (uint8_t)(head->opcode | (head->final ? FIN : 0) | (head->compressed ? RSV1 : 0));
    to[1] = (uint8_t)((more == 8 ? 127 : more == 2 ? 126 : head->length) | (head->masked ? MASK : 0));
    for (size_t i = 0; i < more; i++)
        to[2 + i] = (uint8_t)(head->length >> (8 * (more - 1 - i)));
    if (!head->masked)
        return 2 + more;
    memcpy(to + 2 + more, head->mask, 4);
    return 6 + more;
}

/* ----------------------------------------------------------------------------------------------------- masking */

/* Blocks of this size are what a compiler turns into vectors; nothing needs to be aligned. */
#define WORDS 4

void tapsi_ws_mask(uint8_t *to, const uint8_t *from, size_t length, const uint8_t mask[4], uint64_t offset)
{
    uint8_t turned[8];
    uint64_t key, block[WORDS];
    size_t at = 0;
    for (size_t i = 0; i < 8; i++)
        turned[i] = mask[(offset + i) & 3];
    memcpy(&key, turned, 8);
    for (; length - at >= sizeof(block); at += sizeof(block)) {
        memcpy(block, from + at, sizeof(block));
        for (size_t i = 0; i < WORDS; i++)
            block[i] ^= key;
        memcpy(to + at, block, sizeof(block));
    }
    for (; length - at >= 8; at += 8) {
        memcpy(block, from + at, 8);
        block[0] ^= key;
        memcpy(to + at, block, 8);
    }
    for (; at < length; at++)
        to[at] = from[at] ^ turned[at & 3];
}

/* ------------------------------------------------------------------------------------------------------- Close */

bool tapsi_ws_code_valid(unsigned code)
{
    if (code >= 3000)
        return code < 5000;
    return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

const char *tapsi_ws_close_read(const uint8_t *payload, size_t length, unsigned *ret_code, unsigned *ret_answer)
{
    struct tapsi_ws_text reason = {0};
    *ret_answer = TAPSI_WS_PROTOCOL_ERROR;
    if (length == 0) {
        *ret_code = TAPSI_WS_NO_STATUS;
        return NULL;
    }
    if (length == 1)
        return "a Close frame of one byte";
    unsigned code = (unsigned)payload[0] << 8 | payload[1];
    if (!tapsi_ws_code_valid(code))
        return "a Close frame with an invalid code";
    if (!tapsi_ws_text_check(&reason, payload + 2, length - 2) || !tapsi_ws_text_whole(&reason)) {
        *ret_answer = TAPSI_WS_BAD_DATA;
        return "a Close frame whose reason is not UTF-8";
    }
    *ret_code = code;
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------- UTF-8 */

/* What a first byte says: how many follow, and the bounds of the first of them, which is where overlong forms,
   surrogates and what is beyond U+10FFFF show. */
static bool lead(struct tapsi_ws_text *text, uint8_t byte)
{
    text->low = 0x80;
    text->high = 0xbf;
    if (byte >= 0xc2 && byte <= 0xdf) {
        text->left = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        text->left = 2;
        if (byte == 0xe0)
            text->low = 0xa0;
        if (byte == 0xed)
            text->high = 0x9f;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        text->left = 3;
        if (byte == 0xf0)
            text->low = 0x90;
        if (byte == 0xf4)
            text->high = 0x8f;
    } else {
        return false;
    }
    return true;
}

static bool follow(struct tapsi_ws_text *text, uint8_t byte)
{
    if (byte < text->low || byte > text->high)
        return false;
    text->low = 0x80;
    text->high = 0xbf;
    text->left--;
    return true;
}

static size_t ascii(const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    uint64_t block[WORDS];
    for (; length - at >= sizeof(block); at += sizeof(block)) {
        memcpy(block, bytes + at, sizeof(block));
        if ((block[0] | block[1] | block[2] | block[3]) & UINT64_C(0x8080808080808080))
            break;
    }
    while (at < length && bytes[at] < 0x80)
        at++;
    return at;
}

bool tapsi_ws_text_check(struct tapsi_ws_text *text, const uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length; at++) {
        if (text->left) {
            if (!follow(text, bytes[at]))
                return false;
            continue;
        }
        at += ascii(bytes + at, length - at);
        if (at < length && !lead(text, bytes[at]))
            return false;
    }
    return true;
}
