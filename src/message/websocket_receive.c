/*
 * What is received, frame by frame, control frames also while the application asks for nothing. A frame's payload is
 * given on as it comes, so that a Message needs no memory of its length: without a copy from a server, into memory of
 * the library's where it must be unmasked or inflated.
 */
#include <string.h>
#include "message/websocket.h"

#define SMALL 2048 /* what is copied up to here lies side by side with other Messages, in shared memory */

static int deliver(taps_framing *framing, struct tapsi_ws *ws, const void *data, size_t length, bool end)
{
    if (ws->stopped || (!length && !end))
        return 0;
    return taps_framing_deliver(framing, data, length, end);
}

static int bad_text(taps_framing *framing, struct tapsi_ws *ws)
{
    return tapsi_ws_fail(framing, ws, TAPSI_WS_BAD_DATA, "a text that is not UTF-8");
}

/* `length` more bytes of the Message are good to be delivered? 0, or it has failed. */
static int check(taps_framing *framing, struct tapsi_ws *ws, const uint8_t *bytes, size_t length, bool end)
{
    if (!ws->in.text)
        return 0;
    if (!tapsi_ws_text_check(&ws->in.check, bytes, length) || (end && !tapsi_ws_text_whole(&ws->in.check)))
        return bad_text(framing, ws);
    return 0;
}

static void frame_over(struct tapsi_ws *ws)
{
    ws->in.in_frame = false;
    ws->in.in_message = !ws->in.head.final;
}

/* The bytes of the payload that are here, in one piece: NULL without any, which at the peer's end is a failure. */
static const uint8_t *payload(taps_framing *framing, struct tapsi_ws *ws, size_t *ret_length, int *ret_err)
{
    const uint8_t *bytes;
    size_t most = ws->in.left < TAPSI_WS_PIECE ? (size_t)ws->in.left : TAPSI_WS_PIECE;
    int found = taps_framing_parse(framing, 1, most, &bytes, ret_length);
    *ret_err = found < 0 ? found : 0;
    if (found == 1)
        return bytes;
    if (found == 0 && taps_framing_at_end(framing) && !ws->stopped)
        *ret_err = taps_framing_fail(framing, TAPS_E_TRUNCATED, "the peer ended in the middle of a frame");
    return NULL;
}

/* ------------------------------------------------------------------------------------------ from a server */

static int take_binary(taps_framing *framing, struct tapsi_ws *ws)
{
    bool end = ws->in.head.final;
    uint64_t length = ws->in.left;
    frame_over(ws);
    return length || end ? taps_framing_deliver_and_advance(framing, length, end) : 0;
}

static int take_text(taps_framing *framing, struct tapsi_ws *ws)
{
    size_t length;
    int err;
    const uint8_t *bytes = payload(framing, ws, &length, &err);
    if (!bytes)
        return err;
    bool last = length == ws->in.left, end = last && ws->in.head.final;
    err = check(framing, ws, bytes, length, end);
    if (err)
        return err;
    ws->in.left -= length;
    if (last)
        frame_over(ws);
    return taps_framing_deliver_and_advance(framing, length, end);
}

/* ------------------------------------------------------------------------------------------ from a client */

static int take_masked(taps_framing *framing, struct tapsi_ws *ws)
{
    uint8_t small[SMALL], *to = small;
    size_t length;
    int err;
    const uint8_t *bytes = payload(framing, ws, &length, &err);
    if (!bytes)
        return err;
    bool last = length == ws->in.left, end = last && ws->in.head.final;
    if (length > SMALL)
        to = taps_framing_reserve(framing, length);
    if (!to)
        return TAPS_E_MEMORY;
    tapsi_ws_mask(to, bytes, length, ws->in.head.mask, ws->in.head.length - ws->in.left);
    taps_framing_advance(framing, length);
    ws->in.left -= length;
    if (last)
        frame_over(ws);
    err = check(framing, ws, to, length, end);
    if (err || ws->stopped)
        return err;
    return to == small ? deliver(framing, ws, small, length, end) : taps_framing_deliver_reserved(framing, length, end);
}

/* --------------------------------------------------------------------------------------------- compressed */

static int inflated(taps_framing *framing, struct tapsi_ws *ws, const uint8_t *bytes, size_t length, bool reserved,
                    bool end)
{
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    bool fits = length <= options->maximum - ws->in.bytes;
    size_t good = fits ? length : (size_t)(options->maximum - ws->in.bytes);
    int err = check(framing, ws, bytes, good, end && fits);
    if (!err && !fits)
        return tapsi_ws_fail(framing, ws, TAPSI_WS_TOO_BIG, "a Message that inflates to more than the maximum");
    ws->in.bytes += good;
    if (err || ws->stopped)
        return err;
    return reserved && length > SMALL ? taps_framing_deliver_reserved(framing, length, end)
                                      : deliver(framing, ws, bytes, length, end);
}

/* Inflates into memory of the stack first, which is enough for what is small, and then into larger pieces: one piece of
   them for each time it is asked, so that the application's Receives say how much there is at once. When all input was
   taken there are less than two left, and those must go: no more input may come to ask for them. */
static int inflate_bytes(taps_framing *framing, struct tapsi_ws *ws, const uint8_t *from, size_t length, bool end,
                         size_t *ret_taken)
{
    uint8_t small[SMALL];
    enum tapsi_ws_inflated result = TAPSI_WS_INFLATE_AGAIN;
    size_t taken, written, room = SMALL, pieces = 0;
    int err = 0;
    *ret_taken = 0;
    while (!err && result == TAPSI_WS_INFLATE_AGAIN && (pieces < 2 || *ret_taken == length)) {
        uint8_t *to = pieces ? taps_framing_reserve(framing, room) : small;
        if (!to)
            return TAPS_E_MEMORY;
        result =
            tapsi_ws_inflate(&ws->streams, from + *ret_taken, length - *ret_taken, end, to, room, &taken, &written);
        *ret_taken += taken;
        if (result == TAPSI_WS_INFLATE_MEMORY)
            return TAPS_E_MEMORY;
        err = inflated(framing, ws, to, written, to != small, end && result == TAPSI_WS_INFLATE_MORE);
        if (!err && result == TAPSI_WS_INFLATE_WRONG)
            return tapsi_ws_fail(framing, ws, TAPSI_WS_BAD_DATA, "a compressed Message that does not inflate");
        room = TAPSI_WS_PIECE;
        pieces++;
    }
    return err;
}

static int take_compressed(taps_framing *framing, struct tapsi_ws *ws)
{
    uint8_t unmasked[4096];
    size_t length = 0, taken;
    int err = 0;
    const uint8_t *bytes = unmasked;
    if (ws->in.left) {
        bytes = payload(framing, ws, &length, &err);
        if (!bytes)
            return err;
    }
    if (ws->in.head.masked && length) {
        length = length < sizeof(unmasked) ? length : sizeof(unmasked);
        tapsi_ws_mask(unmasked, bytes, length, ws->in.head.mask, ws->in.head.length - ws->in.left);
        bytes = unmasked;
    }
    err = inflate_bytes(framing, ws, bytes, length, ws->in.head.final && length == ws->in.left, &taken);
    if (err)
        return err;
    taps_framing_advance(framing, taken);
    ws->in.left -= taken;
    if (!ws->in.left)
        frame_over(ws);
    return 0;
}

/* ------------------------------------------------------------------------------------------- control frames */

/* Codes that do not say that something was wrong; those from 3000 are the applications'. */
static bool is_good_end(unsigned code)
{
    return code == TAPSI_WS_NORMAL || code == TAPSI_WS_GOING_AWAY || code == TAPSI_WS_NO_STATUS || code >= 3000;
}

static int tell_close(taps_framing *framing, unsigned code, const char *reason)
{
    char text[TAPSI_WS_CONTROL_MAX + 40];
    tapsi_format(text, sizeof(text), "the peer closed with %u%s%s", code, *reason ? ": " : "", reason);
    int err = taps_framing_add_metadata(framing, "the end", text);
    return err ? err : taps_framing_deliver_end(framing);
}

static int take_close(taps_framing *framing, struct tapsi_ws *ws, const uint8_t *bytes, size_t length)
{
    char reason[TAPSI_WS_CONTROL_MAX];
    unsigned code, answer;
    const char *wrong = tapsi_ws_close_read(bytes, length, &code, &answer);
    ws->got_close = true;
    if (wrong)
        return tapsi_ws_fail(framing, ws, answer, wrong);
    size_t words = length > 2 ? length - 2 : 0;
    memcpy(reason, bytes + (words ? 2 : 0), words);
    reason[words] = '\0';
    int err = tapsi_ws_send_close(framing, ws, code, "");
    if (err || ws->stopped) {
        taps_framing_make_closed(framing);
        return err;
    }
    if (!is_good_end(code))
        return taps_framing_fail(framing, TAPS_E_PROTOCOL, "the peer closed with %u%s%s", code, words ? ": " : "",
                                 reason);
    if (ws->in.in_message)
        return taps_framing_fail(framing, TAPS_E_TRUNCATED, "the peer closed with %u in the middle of a Message", code);
    err = tell_close(framing, code, reason);
    taps_framing_make_closed(framing);
    return err;
}

static int take_control(taps_framing *framing, struct tapsi_ws *ws)
{
    uint8_t bytes[TAPSI_WS_CONTROL_MAX];
    size_t length = (size_t)ws->in.left, shown;
    const uint8_t *masked = bytes;
    if (length) {
        int found = taps_framing_parse(framing, length, length, &masked, &shown);
        if (found == 0 && taps_framing_at_end(framing) && !ws->stopped)
            return taps_framing_fail(framing, TAPS_E_TRUNCATED, "the peer ended in the middle of a frame");
        if (found != 1)
            return found;
    }
    tapsi_ws_mask(bytes, masked, length, ws->in.head.mask, 0);
    taps_framing_advance(framing, length);
    ws->in.in_frame = false;
    if (ws->in.head.opcode == TAPSI_WS_CLOSE)
        return take_close(framing, ws, bytes, length);
    if (ws->in.head.opcode == TAPSI_WS_PING && !ws->sent_close)
        return tapsi_ws_send_control(framing, ws, TAPSI_WS_PONG, bytes, length);
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- frames */

static int begin_message(taps_framing *framing, struct tapsi_ws *ws)
{
    ws->in.text = ws->in.head.opcode == TAPSI_WS_TEXT;
    ws->in.compressed = ws->in.head.compressed;
    ws->in.bytes = ws->in.raw = 0;
    ws->in.check = (struct tapsi_ws_text){0};
    return ws->stopped ? 0 : taps_framing_add_metadata(framing, "type", ws->in.text ? "text" : "binary");
}

/* What is compressed is measured when it is inflated; but it is never much longer than what it becomes, so that a
   Message of empty blocks without end has one. */
static bool too_big(const struct tapsi_ws_options *options, const struct tapsi_ws *ws)
{
    uint64_t most = options->maximum, slack = most / 2 + 4096;
    if (ws->in.compressed)
        most = most < UINT64_MAX - slack ? most + slack : UINT64_MAX;
    return ws->in.head.length > most || ws->in.raw > most - ws->in.head.length;
}

static int begin_frame(taps_framing *framing, struct tapsi_ws *ws)
{
    struct tapsi_ws_rules rules = {.server = ws->server, .deflate = ws->deflate, .in_message = ws->in.in_message};
    const char *wrong = tapsi_ws_head_check(&ws->in.head, &rules);
    if (wrong)
        return tapsi_ws_fail(framing, ws, TAPSI_WS_PROTOCOL_ERROR, wrong);
    ws->in.in_frame = true;
    ws->in.left = ws->in.head.length;
    if (ws->in.head.opcode >= TAPSI_WS_CLOSE)
        return 0;
    int err = ws->in.head.opcode != TAPSI_WS_CONTINUATION ? begin_message(framing, ws) : 0;
    if (!err && too_big(taps_framing_options(framing), ws))
        return tapsi_ws_fail(framing, ws, TAPSI_WS_TOO_BIG, "a Message over the maximum");
    ws->in.raw += ws->in.head.length;
    return err;
}

/* 1: the head was taken. 0: it is not here yet. */
static int take_head(taps_framing *framing, struct tapsi_ws *ws)
{
    const uint8_t *bytes;
    size_t length;
    int found = taps_framing_parse(framing, 2, TAPSI_WS_HEAD_MAX, &bytes, &length);
    size_t size = found == 1 ? tapsi_ws_head_size(bytes) : 0;
    if (found == 1 && length < size)
        found = taps_framing_parse(framing, size, size, &bytes, &length);
    if (found != 1)
        return found;
    const char *wrong = tapsi_ws_head_read(bytes, &ws->in.head);
    if (wrong)
        return tapsi_ws_fail(framing, ws, TAPSI_WS_PROTOCOL_ERROR, wrong);
    taps_framing_advance(framing, size);
    int err = begin_frame(framing, ws);
    return err ? err : 1;
}

static int take_payload(taps_framing *framing, struct tapsi_ws *ws)
{
    if (ws->in.head.opcode >= TAPSI_WS_CLOSE)
        return take_control(framing, ws);
    if (!ws->stopped && !taps_framing_is_wanted(framing))
        return 0;
    if (ws->in.compressed)
        return take_compressed(framing, ws);
    if (ws->in.left == 0) {
        bool end = ws->in.head.final;
        frame_over(ws);
        int err = check(framing, ws, NULL, 0, end);
        return err ? err : deliver(framing, ws, NULL, 0, end);
    }
    if (ws->in.head.masked || ws->stopped)
        return take_masked(framing, ws);
    return ws->in.text ? take_text(framing, ws) : take_binary(framing, ws);
}

/* The peer has ended without Close: after this side's own Close that is an end, before it a loss. */
static int end_without_close(taps_framing *framing, struct tapsi_ws *ws)
{
    if (ws->stopped)
        taps_framing_make_closed(framing);
    if (ws->stopped || ws->got_close || (ws->sent_close && !ws->in.in_message && !taps_framing_available(framing)))
        return 0;
    return taps_framing_fail(framing, TAPS_E_TRUNCATED, "the peer ended without a Close frame");
}

int tapsi_ws_receive(taps_framing *framing, struct tapsi_ws *ws)
{
    if (ws->got_close) {
        taps_framing_advance(framing, taps_framing_available(framing));
        return 0;
    }
    int found = ws->in.in_frame ? 1 : take_head(framing, ws);
    if (found == 0 && taps_framing_at_end(framing))
        return end_without_close(framing, ws);
    return found == 1 ? take_payload(framing, ws) : found;
}
