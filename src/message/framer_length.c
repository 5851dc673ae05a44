/*
 * length-prefix: each Message behind its length. docs/framers/length-prefix.md has the picture.
 *
 * Nothing is kept of what the peer sends: a head is read when all of it is there, and the Message passes by while it
 * comes. So a peer can make it hold at most a head, ten bytes.
 */
#include <taps/framer.h>

#include "message/framers.h"
#include "message/integers.h"
#include "message/options.h"
#include "message/parts.h"

enum kind { FIXED, VARINT, QUIC };

struct options {
    uint64_t maximum;
    uint8_t kind;
    uint8_t size; /* of FIXED */
    bool little, includes_head;
};

static void defaults(void *memory)
{
    *(struct options *)memory = (struct options){.maximum = TAPSI_OPTIONS_MAXIMUM, .size = 4};
}

static int set_length(struct options *options, const char *value)
{
    static const char *const words[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "varint", "quic", NULL};
    enum { WORD_VARINT = 9 };
    unsigned word;
    if (tapsi_options_word(value, words, &word) != 0 || word == 0 || (word > 4 && word < 8))
        return TAPS_E_RANGE;
    options->kind = word < WORD_VARINT ? FIXED : word == WORD_VARINT ? VARINT : QUIC;
    options->size = options->kind == FIXED ? (uint8_t)word : 0;
    return 0;
}

static int set(void *memory, const char *key, const char *value)
{
    struct options *options = memory;
    if (tapsi_options_is(key, "length"))
        return set_length(options, value);
    if (tapsi_options_is(key, "order"))
        return tapsi_options_order(value, &options->little);
    if (tapsi_options_is(key, "maximum"))
        return tapsi_options_size(value, 1, TAPSI_OPTIONS_LONGEST, &options->maximum);
    if (tapsi_options_is(key, "includes-head"))
        return tapsi_options_boolean(value, &options->includes_head);
    return TAPS_E_UNKNOWN_PROPERTY;
}

/* ------------------------------------------------------------------------------------------------- sending */

/* A varint that counts itself: one byte more may make it longer once. */
static unsigned put_varying(const struct options *options, uint8_t *to, uint64_t length)
{
    unsigned (*const put)(uint8_t *, uint64_t) = options->kind == VARINT ? tapsi_varint_put : tapsi_quicint_put;
    unsigned size = 0;
    if (!options->includes_head)
        return put(to, length);
    do {
        size++;
    } while (put(to, length + size) != size);
    return size;
}

static uint64_t longest(const struct options *options)
{
    switch (options->kind) {
    case FIXED:
        return tapsi_integer_max(options->size) - (options->includes_head ? options->size : 0);
    case QUIC:
        return TAPSI_QUICINT_LARGEST - (options->includes_head ? TAPSI_QUICINT_MAX : 0);
    default:
        return TAPSI_OPTIONS_LONGEST;
    }
}

static unsigned put_head(const struct options *options, uint8_t *to, uint64_t length)
{
    if (options->kind != FIXED)
        return put_varying(options, to, length);
    tapsi_integer_put(to, options->size, options->little, length + (options->includes_head ? options->size : 0));
    return options->size;
}

/* The commonest of all: a whole Message behind a length of fixed size. */
static int send_whole(taps_framing *framing, const struct options *options, uint64_t length)
{
    uint8_t head[8];
    tapsi_integer_put(head, options->size, options->little, length);
    int err = taps_framing_send(framing, head, options->size);
    return err ? err : taps_framing_send_message(framing);
}

static int new_sent_message(taps_framing *framing, const struct taps_sent_message *message)
{
    const struct options *options = taps_framing_options(framing);
    struct tapsi_parts *kept = taps_framing_state(framing), parts = *kept;
    if (options->kind == FIXED && !options->includes_head && message->start && message->end_of_message && !parts.open &&
        message->length <= options->maximum && message->length <= tapsi_integer_max(options->size))
        return send_whole(framing, options, message->length);
    uint64_t total = 0, most = longest(options);
    int err = tapsi_parts_take(framing, message, most < options->maximum ? most : options->maximum, &parts, &total);
    if (err)
        return err;
    if (message->start) {
        uint8_t head[TAPSI_VARINT_MAX];
        err = taps_framing_send(framing, head, put_head(options, head, total));
        if (err)
            return err;
    }
    err = taps_framing_send_message(framing);
    if (!err)
        *kept = parts;
    return err;
}

/* ----------------------------------------------------------------------------------------------- receiving */

/* The bytes of a varint come one by one, if the peer likes. 1: there is a head; 0: not yet; or an error. */
static int read_varying(taps_framing *framing, const struct options *options, uint64_t *ret_value, size_t *ret_size)
{
    int (*const get)(const uint8_t *, size_t, uint64_t *) =
        options->kind == VARINT ? tapsi_varint_get : tapsi_quicint_get;
    const uint8_t *data;
    size_t length = 0;
    int size = 0;
    while (size == 0) {
        int there = taps_framing_parse(framing, length + 1, TAPSI_VARINT_MAX, &data, &length);
        if (there <= 0)
            return there;
        size = get(data, length, ret_value);
    }
    if (size < 0)
        return taps_framing_fail(framing, size,
                                 "a varint of more than 64 bits, or with more bytes than "
                                 "its value needs");
    *ret_size = (size_t)size;
    return 1;
}

static int read_head(taps_framing *framing, const struct options *options, uint64_t *ret_value, size_t *ret_size)
{
    if (options->kind != FIXED)
        return read_varying(framing, options, ret_value, ret_size);
    const uint8_t *data;
    size_t length;
    int there = taps_framing_parse(framing, options->size, options->size, &data, &length);
    if (there <= 0)
        return there;
    *ret_value = tapsi_integer_get(data, options->size, options->little);
    *ret_size = options->size;
    return 1;
}

static int handle_received_data(taps_framing *framing)
{
    const struct options *options = taps_framing_options(framing);
    uint64_t length = 0;
    size_t head = 0;
    int there = read_head(framing, options, &length, &head);
    if (there <= 0)
        return there;
    if (options->includes_head) {
        if (length < head)
            return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a length of %llu that includes its own %zu bytes",
                                     (unsigned long long)length, head);
        length -= head;
    }
    if (length > options->maximum)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING,
                                 "a Message of %llu bytes was announced, and the maximum is %llu",
                                 (unsigned long long)length, (unsigned long long)options->maximum);
    taps_framing_advance(framing, head);
    return taps_framing_deliver_and_advance(framing, length, true);
}

const struct taps_framer_definition tapsi_framer_length = {
    .name = "length-prefix",
    .flags = TAPS_FRAMER_PACKS | TAPS_FRAMER_TAKES_PARTS | TAPS_FRAMER_STATELESS,
    .options_size = sizeof(struct options),
    .state_size = sizeof(struct tapsi_parts),
    .overhead = TAPSI_VARINT_MAX,
    .defaults = defaults,
    .set = set,
    .new_sent_message = new_sent_message,
    .handle_received_data = handle_received_data,
};
