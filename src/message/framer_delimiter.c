/*
 * delimiter: each Message before a delimiter, a line. docs/framers/delimiter.md has the picture.
 *
 * Receiving. Bytes pass by as they come, but those that may be the beginning of a delimiter: what is held is less than
 * one delimiter. A delimiter is dropped when what stands before it has gone up (`drop`), in the next call.
 *
 * Sending. A Message, with the delimiter behind it, must not have one earlier than at its end: also where the Message
 * ends with bytes that the delimiter begins with. Over parts the search goes on where it was (`matched`, Knuth, Morris
 * and Pratt).
 *
 * accept-lf. The delimiter is CRLF, and a line feed alone ends a Message too: so what is searched for is a line feed,
 * and a carriage return before it belongs to it.
 */
#include <taps/framer.h>

#include <string.h>
#include "message/framers.h"
#include "message/options.h"

#define DELIMITER_MAX 32
#define PIECES        16 /* of a Message, without asking for memory */

struct options {
    uint64_t maximum;
    uint8_t length;
    uint8_t text[DELIMITER_MAX];
    /* [i]: how long the longest beginning of it is that text[0..i] ends with */
    uint8_t borders[DELIMITER_MAX];
    bool accept_lf, deliver_rest;
};

struct state {
    /* sending */
    bool open;
    uint8_t matched;
    uint64_t sent;
    /* receiving */
    uint64_t received;
    uint8_t drop; /* bytes of a delimiter that was found */
};

static void set_text(struct options *options, const void *text, size_t length)
{
    memcpy(options->text, text, length);
    options->length = (uint8_t)length;
    options->borders[0] = 0;
    for (size_t i = 1, border = 0; i < length; i++) {
        while (border && options->text[i] != options->text[border])
            border = options->borders[border - 1];
        if (options->text[i] == options->text[border])
            border++;
        options->borders[i] = (uint8_t)border;
    }
}

static void defaults(void *memory)
{
    struct options *options = memory;
    *options = (struct options){.maximum = TAPSI_OPTIONS_MAXIMUM};
    set_text(options, "\n", 1);
}

static int set_delimiter(struct options *options, const char *value)
{
    static const char *const words[] = {"lf", "crlf", "nul", NULL};
    static const char *const texts[] = {"\n", "\r\n", "\0"};
    static const uint8_t lengths[] = {1, 2, 1};
    uint8_t text[DELIMITER_MAX];
    size_t length;
    unsigned word;
    if (tapsi_options_word(value, words, &word) == 0) {
        set_text(options, texts[word], lengths[word]);
        return 0;
    }
    if (tapsi_options_bytes(value, text, sizeof(text), &length) != 0)
        return TAPS_E_RANGE;
    set_text(options, text, length);
    return 0;
}

static int set(void *memory, const char *key, const char *value)
{
    static const char *const rest[] = {"error", "deliver", NULL};
    struct options *options = memory;
    unsigned word;
    if (tapsi_options_is(key, "delimiter"))
        return set_delimiter(options, value);
    if (tapsi_options_is(key, "maximum"))
        return tapsi_options_size(value, 1, TAPSI_OPTIONS_LONGEST, &options->maximum);
    if (tapsi_options_is(key, "accept-lf"))
        return tapsi_options_boolean(value, &options->accept_lf);
    if (!tapsi_options_is(key, "unterminated"))
        return TAPS_E_UNKNOWN_PROPERTY;
    if (tapsi_options_word(value, rest, &word) != 0)
        return TAPS_E_RANGE;
    options->deliver_rest = word == 1;
    return 0;
}

/* ----------------------------------------------------------------------------------------------- searching */

/* Does a line feed alone end a Message? Only where it is the end of the delimiter too. */
static bool takes_lf(const struct options *options)
{
    return options->accept_lf && options->length == 2 && memcmp(options->text, "\r\n", 2) == 0;
}

/* From `matched` bytes of the delimiter on. True: one ends before data[*ret_end]. Else `matched` says how much of one
   the data end with. */
static bool search(const struct options *options, const uint8_t *data, size_t length, uint8_t *matched, size_t *ret_end)
{
    unsigned have = *matched;
    for (size_t i = 0; i < length; i++) {
        if (have == 0) {
            const uint8_t *first = memchr(data + i, options->text[0], length - i);
            if (!first)
                break;
            i = (size_t)(first - data);
        }
        while (have && data[i] != options->text[have])
            have = options->borders[have - 1];
        if (data[i] == options->text[have])
            have++;
        if (have == options->length) {
            *ret_end = i + 1;
            return true;
        }
    }
    *matched = (uint8_t)have;
    return false;
}

/* ------------------------------------------------------------------------------------------------- sending */

/* Would a receiver see the Message's end earlier than it is? `matched` goes on from what was sent before. */
static bool ends_early(const struct options *options, const struct iovec *pieces, size_t count, bool end_of_message,
                       uint8_t *matched)
{
    size_t end;
    for (size_t i = 0; i < count; i++) {
        if (takes_lf(options) && memchr(pieces[i].iov_base, '\n', pieces[i].iov_len))
            return true;
        if (search(options, pieces[i].iov_base, pieces[i].iov_len, matched, &end))
            return true;
    }
    return end_of_message && search(options, options->text, options->length - 1U, matched, &end);
}

static int check_bytes(taps_framing *framing, const struct options *options, bool end_of_message, uint8_t *matched)
{
    struct iovec few[PIECES], *pieces = few;
    size_t count = taps_framing_message_pieces(framing, few, PIECES);
    if (count > PIECES) {
        pieces = taps_framing_resize(framing, NULL, count * sizeof(*pieces));
        if (!pieces)
            return TAPS_E_MEMORY;
        taps_framing_message_pieces(framing, pieces, count);
    }
    bool early = ends_early(options, pieces, count, end_of_message, matched);
    if (pieces != few)
        taps_framing_resize(framing, pieces, 0);
    return early ? taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES, "it contains the delimiter") : 0;
}

static int new_sent_message(taps_framing *framing, const struct taps_sent_message *message)
{
    const struct options *options = taps_framing_options(framing);
    struct state *state = taps_framing_state(framing);
    uint8_t matched = state->matched;
    if (message->start == state->open)
        return taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES,
                                   "a Message that was begun has not been completed");
    if (message->length > options->maximum - state->sent)
        return TAPS_E_MESSAGE_TOO_LARGE;
    int err = check_bytes(framing, options, message->end_of_message, &matched);
    if (!err)
        err = taps_framing_send_message(framing);
    if (!err && message->end_of_message)
        err = taps_framing_send(framing, options->text, options->length);
    if (err)
        return err;
    state->open = !message->end_of_message;
    state->matched = state->open ? matched : 0;
    state->sent = state->open ? state->sent + message->length : 0;
    return 0;
}

/* ----------------------------------------------------------------------------------------------- receiving */

/* What a search of received bytes found. */
struct found {
    size_t message; /* bytes that belong to the Message */
    uint8_t drop;   /* those of the delimiter behind them; 0 = there was none */
};

static struct found look(const struct options *options, const uint8_t *data, size_t length)
{
    uint8_t matched = 0;
    size_t end;
    if (takes_lf(options)) {
        const uint8_t *feed = memchr(data, '\n', length);
        size_t until = feed ? (size_t)(feed - data) : length;
        bool returns = until && data[until - 1] == '\r';
        return (struct found){until - returns, feed ? (uint8_t)(1 + returns) : 0};
    }
    if (search(options, data, length, &matched, &end))
        return (struct found){end - options->length, options->length};
    return (struct found){length - matched, 0};
}

static int deliver(taps_framing *framing, struct state *state, uint64_t length, uint8_t drop, bool end_of_message)
{
    const struct options *options = taps_framing_options(framing);
    if (length > options->maximum - state->received)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "%llu bytes without the delimiter, and the maximum is %llu",
                                 (unsigned long long)(state->received + length), (unsigned long long)options->maximum);
    state->received = end_of_message ? 0 : state->received + length;
    state->drop = drop;
    return taps_framing_deliver_and_advance(framing, length, end_of_message);
}

/* The last bytes there will be have no delimiter behind them. */
static int take_rest(taps_framing *framing, struct state *state, size_t length)
{
    const struct options *options = taps_framing_options(framing);
    if (length == 0 && state->received == 0)
        return 0;
    if (options->deliver_rest)
        return deliver(framing, state, length, 0, true);
    return taps_framing_fail(framing, taps_framing_is_datagram(framing) ? TAPS_E_DEFRAMING : TAPS_E_TRUNCATED,
                             "the end came behind %llu bytes without the delimiter",
                             (unsigned long long)(state->received + length));
}

/* A datagram is looked at as a whole, so that nothing goes up of one that is refused. */
static int handle_received_data(taps_framing *framing)
{
    struct state *state = taps_framing_state(framing);
    bool datagram = taps_framing_is_datagram(framing);
    const uint8_t *data;
    size_t there = 0;
    struct found found = {0, 0};
    if (state->drop)
        taps_framing_advance(framing, state->drop);
    state->drop = 0;
    size_t available = taps_framing_available(framing);
    bool last = datagram || taps_framing_at_end(framing);
    while (found.message == 0 && found.drop == 0 && there < available) {
        int result = taps_framing_parse(framing, datagram ? available : there + 1, SIZE_MAX, &data, &there);
        if (result <= 0)
            return result;
        found = look(taps_framing_options(framing), data, there);
    }
    if (found.drop)
        return deliver(framing, state, found.message, found.drop, true);
    if (last && there == available)
        return take_rest(framing, state, available);
    return found.message ? deliver(framing, state, found.message, 0, false) : 0;
}

const struct taps_framer_definition tapsi_framer_delimiter = {
    .name = "delimiter",
    .flags = TAPS_FRAMER_PACKS | TAPS_FRAMER_TAKES_PARTS | TAPS_FRAMER_STATELESS,
    .options_size = sizeof(struct options),
    .state_size = sizeof(struct state),
    .overhead = DELIMITER_MAX,
    .defaults = defaults,
    .set = set,
    .new_sent_message = new_sent_message,
    .handle_received_data = handle_received_data,
};
