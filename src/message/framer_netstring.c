/*
 * netstring (D. J. Bernstein, 1997): "5:hello,". docs/framers/netstring.md has the picture.
 *
 * A netstring that is there as a whole is checked as a whole. Of another the bytes pass by while they come, and its
 * Message ends when the comma has been seen: `after` says what stands behind the bytes delivered last. A peer can make
 * it hold at most a head, twenty bytes.
 */
#include <taps/framer.h>

#include "base/str.h"
#include "message/framers.h"
#include "message/options.h"
#include "message/parts.h"

/* The digits of the longest, and the colon. */
#define HEAD_MAX 20

struct options {
    uint64_t maximum;
};

enum after {
    NEXT,     /* another netstring */
    COMMA,    /* a comma, that ends the Message */
    OLD_COMMA /* one that was seen already */
};

struct state {
    struct tapsi_parts parts;
    enum after after;
};

static void defaults(void *memory)
{
    *(struct options *)memory = (struct options){.maximum = TAPSI_OPTIONS_MAXIMUM};
}

static int set(void *memory, const char *key, const char *value)
{
    struct options *options = memory;
    if (tapsi_options_is(key, "maximum"))
        return tapsi_options_size(value, 1, TAPSI_OPTIONS_LONGEST, &options->maximum);
    return TAPS_E_UNKNOWN_PROPERTY;
}

/* ------------------------------------------------------------------------------------------------- sending */

static int send_around(taps_framing *framing, const struct taps_sent_message *message, uint64_t total)
{
    char head[HEAD_MAX + 1];
    int err = 0;
    if (message->start) {
        size_t length = tapsi_format(head, sizeof(head), "%llu:", (unsigned long long)total);
        err = taps_framing_send(framing, head, length);
    }
    if (!err)
        err = taps_framing_send_message(framing);
    if (!err && message->end_of_message)
        err = taps_framing_send(framing, ",", 1);
    return err;
}

static int new_sent_message(taps_framing *framing, const struct taps_sent_message *message)
{
    const struct options *options = taps_framing_options(framing);
    struct state *state = taps_framing_state(framing);
    struct tapsi_parts parts = state->parts;
    uint64_t total = 0;
    int err = tapsi_parts_take(framing, message, options->maximum, &parts, &total);
    if (!err)
        err = send_around(framing, message, total);
    if (!err)
        state->parts = parts;
    return err;
}

/* ----------------------------------------------------------------------------------------------- receiving */

static int fail_byte(taps_framing *framing, const char *where, uint8_t byte)
{
    return taps_framing_fail(framing, TAPS_E_DEFRAMING, "byte 0x%02x %s", byte, where);
}

/* 1: the head is whole; 0: there must be more; or an error. */
static int read_digits(taps_framing *framing, const uint8_t *data, size_t length, uint64_t maximum, uint64_t *ret_value,
                       size_t *ret_size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (data[i] == ':' && i > 0) {
            *ret_value = value;
            *ret_size = i + 1;
            return 1;
        }
        if (data[i] < '0' || data[i] > '9')
            return fail_byte(framing, i ? "in a length, where a digit or a colon must be" : "where a length must begin",
                             data[i]);
        if (i > 0 && data[0] == '0')
            return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a length that begins with 0");
        if (__builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(data[i] - '0'), &value) || value > maximum)
            return taps_framing_fail(framing, TAPS_E_DEFRAMING,
                                     "a length that begins with %.*s, and the maximum is %llu", (int)i + 1,
                                     (const char *)data, (unsigned long long)maximum);
    }
    return 0;
}

/* The comma behind what was delivered without its end. */
static int take_comma(taps_framing *framing, struct state *state)
{
    const uint8_t *data;
    size_t length;
    int there = taps_framing_parse(framing, 1, 1, &data, &length);
    if (there == 0 && taps_framing_at_end(framing))
        return taps_framing_fail(framing, TAPS_E_TRUNCATED, "the peer ended before the comma behind a Message");
    if (there <= 0)
        return there;
    if (state->after == COMMA && data[0] != ',')
        return fail_byte(framing, "where the comma behind a Message must be", data[0]);
    bool ends = state->after == COMMA;
    state->after = NEXT;
    taps_framing_advance(framing, 1);
    return ends ? taps_framing_deliver_and_advance(framing, 0, true) : 0;
}

/* 1: ret_data shows the head and what is behind it, of a datagram all. */
static int read_head(taps_framing *framing, const struct options *options, const uint8_t **ret_data, size_t *ret_there,
                     uint64_t *ret_length, size_t *ret_head)
{
    size_t there = taps_framing_is_datagram(framing) ? taps_framing_available(framing) - 1 : 0;
    int result = 0;
    while (result == 0) {
        result = taps_framing_parse(framing, there + 1, TAPS_PARSE_MAX, ret_data, &there);
        if (result <= 0)
            return result;
        result = read_digits(framing, *ret_data, there, options->maximum, ret_length, ret_head);
    }
    *ret_there = there;
    return result;
}

static int handle_received_data(taps_framing *framing)
{
    const struct options *options = taps_framing_options(framing);
    struct state *state = taps_framing_state(framing);
    const uint8_t *data;
    size_t there = 0, head = 0;
    uint64_t length = 0;
    if (state->after != NEXT)
        return take_comma(framing, state);
    int result = read_head(framing, options, &data, &there, &length, &head);
    if (result <= 0)
        return result;
    bool whole = there - head > length;
    if (whole && data[head + length] != ',')
        return fail_byte(framing, "where the comma behind a Message must be", data[head + length]);
    if (!whole && taps_framing_is_datagram(framing))
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a Message of %llu bytes in a datagram that has %zu left",
                                 (unsigned long long)length, there - head);
    taps_framing_advance(framing, head);
    state->after = whole ? OLD_COMMA : COMMA;
    return taps_framing_deliver_and_advance(framing, length, whole);
}

const struct taps_framer_definition tapsi_framer_netstring = {
    .name = "netstring",
    .flags = TAPS_FRAMER_PACKS | TAPS_FRAMER_TAKES_PARTS | TAPS_FRAMER_STATELESS,
    .options_size = sizeof(struct options),
    .state_size = sizeof(struct state),
    .overhead = HEAD_MAX + 1,
    .defaults = defaults,
    .set = set,
    .new_sent_message = new_sent_message,
    .handle_received_data = handle_received_data,
};
