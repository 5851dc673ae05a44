#include <string.h>
#include "message/websocket.h"

#define PIECES 16
#define SMALL  2048

/* A Message's pieces, walked through once. */
struct walk {
    struct iovec few[PIECES], *pieces;
    size_t count, at, offset;
};

/* ------------------------------------------------------------------------------------------------ own frames */

/* Masks must not be guessed by who makes the payload (RFC 6455, 10.3): random bytes, fetched some frames ahead. */
static int next_mask(taps_framing *framing, struct tapsi_ws *ws, struct tapsi_ws_head *head)
{
    head->masked = !ws->server;
    if (!head->masked)
        return 0;
    if (ws->out.masks_left == 0) {
        int err = taps_framing_random(framing, ws->out.masks, sizeof(ws->out.masks));
        if (err)
            return err;
        ws->out.masks_left = sizeof(ws->out.masks);
    }
    ws->out.masks_left -= sizeof(head->mask);
    memcpy(head->mask, ws->out.masks + ws->out.masks_left, sizeof(head->mask));
    return 0;
}

int tapsi_ws_send_control(taps_framing *framing, struct tapsi_ws *ws, uint8_t opcode, const void *payload,
                          size_t length)
{
    uint8_t frame[TAPSI_WS_HEAD_MAX + TAPSI_WS_CONTROL_MAX];
    struct tapsi_ws_head head = {.opcode = opcode, .final = true, .length = length};
    int err = next_mask(framing, ws, &head);
    if (err)
        return err;
    size_t at = tapsi_ws_head_write(frame, &head);
    if (length)
        tapsi_ws_mask(frame + at, payload, length, head.mask, 0);
    return taps_framing_send(framing, frame, at + length);
}

int tapsi_ws_send_close(taps_framing *framing, struct tapsi_ws *ws, unsigned code, const char *reason)
{
    char payload[TAPSI_WS_CONTROL_MAX + 1];
    struct tapsi_ws_text check = {0};
    if (ws->sent_close)
        return 0;
    ws->sent_close = true;
    if (code == TAPSI_WS_NO_STATUS)
        return tapsi_ws_send_control(framing, ws, TAPSI_WS_CLOSE, NULL, 0);
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    size_t length = 2 + tapsi_format(payload + 2, sizeof(payload) - 2, "%s", reason);
    /* A character may have been cut. */
    while (length > 2 &&
           !(tapsi_ws_text_check(&check, (uint8_t *)payload + 2, length - 2) && tapsi_ws_text_whole(&check))) {
        length--;
        check = (struct tapsi_ws_text){0};
    }
    return tapsi_ws_send_control(framing, ws, TAPSI_WS_CLOSE, payload, length);
}

int tapsi_ws_fail(taps_framing *framing, struct tapsi_ws *ws, unsigned code, const char *what)
{
    tapsi_ws_send_close(framing, ws, code, what);
    return taps_framing_fail(framing, TAPS_E_DEFRAMING, "%s", what);
}

/* ---------------------------------------------------------------------------------------------------- pieces */

static int begin_walk(taps_framing *framing, struct walk *walk)
{
    walk->pieces = walk->few;
    walk->at = walk->offset = 0;
    walk->count = taps_framing_message_pieces(framing, walk->few, PIECES);
    if (walk->count <= PIECES)
        return 0;
    walk->pieces = taps_framing_resize(framing, NULL, walk->count * sizeof(*walk->pieces));
    if (!walk->pieces)
        return TAPS_E_MEMORY;
    taps_framing_message_pieces(framing, walk->pieces, walk->count);
    return 0;
}

static void end_walk(taps_framing *framing, struct walk *walk)
{
    if (walk->pieces && walk->pieces != walk->few)
        taps_framing_resize(framing, walk->pieces, 0);
}

/* The next bytes that are in one piece, at most `max`. */
static const uint8_t *step(struct walk *walk, size_t max, size_t *ret_length)
{
    while (walk->offset == walk->pieces[walk->at].iov_len) {
        walk->at++;
        walk->offset = 0;
    }
    const struct iovec *piece = &walk->pieces[walk->at];
    const uint8_t *bytes = (const uint8_t *)piece->iov_base + walk->offset;
    *ret_length = piece->iov_len - walk->offset < max ? piece->iov_len - walk->offset : max;
    walk->offset += *ret_length;
    return bytes;
}

/* ---------------------------------------------------------------------------------------------------- frames */

static struct tapsi_ws_head next_head(struct tapsi_ws *ws, uint64_t length, bool final)
{
    struct tapsi_ws_head head = {.opcode = ws->out.opcode, .final = final, .length = length};
    head.compressed = ws->out.compressed && ws->out.opcode != TAPSI_WS_CONTINUATION;
    ws->out.opcode = TAPSI_WS_CONTINUATION;
    return head;
}

/* One frame of `length` bytes off the walk, masked where this side does. Returns where it ends; NULL: no mask. */
static uint8_t *write_copied(taps_framing *framing, struct tapsi_ws *ws, struct walk *walk, size_t length, bool final,
                             uint8_t *to)
{
    struct tapsi_ws_head head = next_head(ws, length, final);
    size_t done = 0, got;
    if (next_mask(framing, ws, &head))
        return NULL;
    to += tapsi_ws_head_write(to, &head);
    for (; done < length; done += got) {
        const uint8_t *from = step(walk, length - done, &got);
        tapsi_ws_mask(to + done, from, got, head.mask, done);
    }
    return to + length;
}

/* One frame with the next `length` bytes compressed. What they become is known only afterwards: the payload is moved
   down to the head then. */
static uint8_t *write_compressed(taps_framing *framing, struct tapsi_ws *ws, struct walk *walk, size_t length,
                                 bool final, uint8_t *to)
{
    uint8_t *payload = to + TAPSI_WS_HEAD_MAX;
    size_t got;
    tapsi_ws_deflate_begin(&ws->streams, payload, tapsi_ws_deflate_bound(&ws->streams, length));
    for (size_t left = length; left; left -= got) {
        const uint8_t *from = step(walk, left, &got);
        tapsi_ws_deflate_add(&ws->streams, from, got);
    }
    size_t packed = tapsi_ws_deflate_finish(&ws->streams, final);
    struct tapsi_ws_head head = next_head(ws, packed, final);
    if (next_mask(framing, ws, &head))
        return NULL;
    to += tapsi_ws_head_write(to, &head);
    if (head.masked)
        tapsi_ws_mask(to, payload, packed, head.mask, 0);
    else
        memmove(to, payload, packed);
    return to + packed;
}

/* Bytes that `length` bytes become at most, in frames of `most`; 0: no memory to compress with. */
static uint64_t room_for(struct tapsi_ws *ws, size_t length, size_t most)
{
    uint64_t frames = length ? (length - 1) / most + 1 : 1;
    size_t payload = ws->out.compressed ? tapsi_ws_deflate_bound(&ws->streams, most) : 0;
    if (!ws->out.compressed)
        return frames * TAPSI_WS_HEAD_MAX + length;
    return payload ? frames * (TAPSI_WS_HEAD_MAX + payload) : 0;
}

static int write_frames(taps_framing *framing, struct tapsi_ws *ws, struct walk *walk, size_t length, bool end,
                        size_t most, uint8_t *to, uint8_t **ret_at)
{
    *ret_at = to;
    do {
        size_t part = length < most ? length : most;
        bool final = end && part == length;
        *ret_at = ws->out.compressed ? write_compressed(framing, ws, walk, part, final, *ret_at)
                                     : write_copied(framing, ws, walk, part, final, *ret_at);
        length -= part;
    } while (*ret_at && length);
    return *ret_at ? 0 : TAPS_E_SYSTEM;
}

/* As one frame, or as many as the options make of it. What is small is written on the stack, from where it is copied to
   memory that many Messages share: that costs less than memory of its own. */
static int send_frames(taps_framing *framing, struct tapsi_ws *ws, struct walk *walk, size_t length, bool end)
{
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    size_t most = options->fragment && options->fragment < length ? (size_t)options->fragment : length ? length : 1;
    uint64_t room = room_for(ws, length, most);
    uint8_t small[SMALL], *to = small, *at;
    if (room > UINT32_MAX)
        return TAPS_E_MESSAGE_TOO_LARGE;
    if (room > SMALL)
        to = taps_framing_reserve(framing, (size_t)room);
    if (!room || !to)
        return TAPS_E_MEMORY;
    int err = write_frames(framing, ws, walk, length, end, most, to, &at);
    if (err)
        return err;
    return to == small ? taps_framing_send(framing, small, (size_t)(at - small))
                       : taps_framing_send_reserved(framing, (size_t)(at - to));
}

/* A server's frame: its head, and the Message's bytes where they are. */
static int send_uncopied(taps_framing *framing, struct tapsi_ws *ws, size_t length, bool end)
{
    uint8_t bytes[TAPSI_WS_HEAD_MAX];
    struct tapsi_ws_head head = next_head(ws, length, end);
    int err = taps_framing_send(framing, bytes, tapsi_ws_head_write(bytes, &head));
    return err ? err : taps_framing_send_message(framing);
}

/* -------------------------------------------------------------------------------------------------- Messages */

static int begin_message(taps_framing *framing, struct tapsi_ws *ws, const struct taps_sent_message *message)
{
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    const char *type = taps_framing_message_metadata(framing, "type");
    bool text = type && tapsi_text_equal(type, "text");
    if (type && !text && !tapsi_text_equal(type, "binary"))
        return taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES, "its type is text or binary, not %.40s", type);
    ws->out.text = text;
    ws->out.opcode = text ? TAPSI_WS_TEXT : TAPSI_WS_BINARY;
    ws->out.check = (struct tapsi_ws_text){0};
    ws->out.compressed = ws->deflate && tapsi_ws_deflate_possible(&ws->streams) &&
                         (!message->end_of_message || message->length >= options->deflate_minimum);
    return 0;
}

/* The peer would have to fail the Connection (RFC 6455, 8.1). */
static bool is_text(struct tapsi_ws *ws, const struct walk *walk, bool end)
{
    for (size_t i = 0; ws->out.text && i < walk->count; i++) {
        if (!tapsi_ws_text_check(&ws->out.check, walk->pieces[i].iov_base, walk->pieces[i].iov_len))
            return false;
    }
    return !ws->out.text || !end || tapsi_ws_text_whole(&ws->out.check);
}

/* With the code and the reason that the application gave with its final Message. */
static int send_last(taps_framing *framing, struct tapsi_ws *ws)
{
    const char *reason = taps_framing_message_metadata(framing, "close-reason");
    const char *text = taps_framing_message_metadata(framing, "close-code");
    uint64_t code = TAPSI_WS_NORMAL;
    if (text)
        tapsi_parse_uint(text, 4999, &code);
    return tapsi_ws_send_close(framing, ws, (unsigned)code, reason ? reason : "");
}

static int check_last(taps_framing *framing)
{
    const char *text = taps_framing_message_metadata(framing, "close-code");
    uint64_t code = TAPSI_WS_NORMAL;
    bool good = !text || (tapsi_parse_uint(text, 4999, &code) == 0 && tapsi_ws_code_valid((unsigned)code));
    return good ? 0 : TAPS_E_MESSAGE_PROPERTIES;
}

static int send_part(taps_framing *framing, struct tapsi_ws *ws, const struct taps_sent_message *message)
{
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    bool split = options->fragment && message->length > options->fragment, end = message->end_of_message;
    bool uncopied = ws->server && !split && !ws->out.compressed;
    struct walk walk;
    if (message->length == 0 && !end)
        return 0;
    if (uncopied && !ws->out.text)
        return send_uncopied(framing, ws, message->length, end);
    int err = begin_walk(framing, &walk);
    if (!err && !is_text(ws, &walk, end))
        err = taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES, "a text that is not UTF-8");
    if (!err)
        err = uncopied ? send_uncopied(framing, ws, message->length, end)
                       : send_frames(framing, ws, &walk, message->length, end);
    end_walk(framing, &walk);
    return err;
}

int tapsi_ws_send(taps_framing *framing, struct tapsi_ws *ws, const struct taps_sent_message *message)
{
    if (ws->sent_close)
        return TAPS_E_CLOSED;
    int err = message->final ? check_last(framing) : 0;
    if (!err && message->start)
        err = begin_message(framing, ws, message);
    if (err && message->start)
        return err;
    if (!err)
        err = send_part(framing, ws, message);
    if (!err && message->final)
        err = send_last(framing, ws);
    /* The peer has the beginning of a Message whose rest will not come. */
    if (err && ws->out.opcode == TAPSI_WS_CONTINUATION)
        return taps_framing_fail(framing, err, "a Message that was begun cannot be sent on: %s", taps_err_text(err));
    return err;
}
