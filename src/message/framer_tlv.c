/*
 * tlv: a type and a length before each Message. docs/framers/tlv.md has the picture.
 *
 * As length-prefix it keeps nothing of what the peer sends: at most a head, eight bytes.
 */
#include <taps/framer.h>

#include "base/str.h"
#include "message/framers.h"
#include "message/integers.h"
#include "message/options.h"
#include "message/parts.h"

#define HEAD_MAX 8

/* What the length counts beside the value. */
enum counts { COUNTS_VALUE, COUNTS_LENGTH, COUNTS_ALL };

struct options {
    uint64_t maximum, default_type;
    uint8_t type, length; /* bytes of each */
    uint8_t counts;       /* enum counts */
    bool little, has_default;
};

static void defaults(void *memory)
{
    *(struct options *)memory = (struct options){.maximum = TAPSI_OPTIONS_MAXIMUM, .type = 1, .length = 2};
}

static int set_size(const char *value, uint8_t *ret)
{
    uint64_t size;
    if (tapsi_options_number(value, 1, 4, &size) != 0)
        return TAPS_E_RANGE;
    *ret = (uint8_t)size;
    return 0;
}

static int set_counts(const char *value, uint8_t *ret)
{
    static const char *const words[] = {"value", "length", "all", NULL};
    unsigned word;
    if (tapsi_options_word(value, words, &word) != 0)
        return TAPS_E_RANGE;
    *ret = (uint8_t)word;
    return 0;
}

static int set_default_type(struct options *options, const char *value)
{
    if (tapsi_options_number(value, 0, UINT32_MAX, &options->default_type) != 0)
        return TAPS_E_RANGE;
    options->has_default = true;
    return 0;
}

static int set(void *memory, const char *key, const char *value)
{
    struct options *options = memory;
    if (tapsi_options_is(key, "type"))
        return set_size(value, &options->type);
    if (tapsi_options_is(key, "length"))
        return set_size(value, &options->length);
    if (tapsi_options_is(key, "order"))
        return tapsi_options_order(value, &options->little);
    if (tapsi_options_is(key, "maximum"))
        return tapsi_options_size(value, 1, TAPSI_OPTIONS_LONGEST, &options->maximum);
    if (tapsi_options_is(key, "counts"))
        return set_counts(value, &options->counts);
    if (tapsi_options_is(key, "default-type"))
        return set_default_type(options, value);
    return TAPS_E_UNKNOWN_PROPERTY;
}

static unsigned head_size(const struct options *options)
{
    return (unsigned)options->type + options->length;
}

/* What the length says beside the Message's own bytes. */
static unsigned counted(const struct options *options)
{
    switch (options->counts) {
    case COUNTS_LENGTH:
        return options->length;
    case COUNTS_ALL:
        return head_size(options);
    default:
        return 0;
    }
}

/* ------------------------------------------------------------------------------------------------- sending */

static int type_of(taps_framing *framing, const struct options *options, uint64_t *ret)
{
    uint64_t type = options->default_type, most = tapsi_integer_max(options->type);
    const char *text = taps_framing_message_metadata(framing, "type");
    if (text ? tapsi_parse_uint(text, most, &type) != 0 : !options->has_default || type > most)
        return taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES,
                                   "it needs a type from 0 to %llu in the metadata \"type\"", (unsigned long long)most);
    *ret = type;
    return 0;
}

static int send_head(taps_framing *framing, const struct options *options, uint64_t total)
{
    uint8_t head[HEAD_MAX];
    uint64_t type = 0;
    int err = type_of(framing, options, &type);
    if (err)
        return err;
    tapsi_integer_put(head, options->type, options->little, type);
    tapsi_integer_put(head + options->type, options->length, options->little, total + counted(options));
    return taps_framing_send(framing, head, head_size(options));
}

static int new_sent_message(taps_framing *framing, const struct taps_sent_message *message)
{
    const struct options *options = taps_framing_options(framing);
    struct tapsi_parts *kept = taps_framing_state(framing), parts = *kept;
    uint64_t total = 0, most = tapsi_integer_max(options->length);
    most = most > counted(options) ? most - counted(options) : 0;
    int err = tapsi_parts_take(framing, message, most < options->maximum ? most : options->maximum, &parts, &total);
    if (!err && message->start)
        err = send_head(framing, options, total);
    if (!err)
        err = taps_framing_send_message(framing);
    if (!err)
        *kept = parts;
    return err;
}

/* ----------------------------------------------------------------------------------------------- receiving */

/* `said` is what the length says; ret_length is the value's. */
static int check_length(taps_framing *framing, const struct options *options, uint64_t type, uint64_t said,
                        uint64_t *ret_length)
{
    uint64_t length = said - counted(options);
    if (said < counted(options))
        return taps_framing_fail(framing, TAPS_E_DEFRAMING,
                                 "type %llu with a length of %llu, which counts %u bytes of the head too",
                                 (unsigned long long)type, (unsigned long long)said, counted(options));
    if (length > options->maximum)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING,
                                 "type %llu with %llu bytes was announced, and the maximum is %llu",
                                 (unsigned long long)type, (unsigned long long)length,
                                 (unsigned long long)options->maximum);
    if (taps_framing_is_datagram(framing) && length > taps_framing_available(framing) - head_size(options))
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "type %llu with %llu bytes in a datagram that has %zu left",
                                 (unsigned long long)type, (unsigned long long)length,
                                 taps_framing_available(framing) - head_size(options));
    *ret_length = length;
    return 0;
}

/* Only when nothing is left that could be wrong: it would go to the next Message. */
static int tell_type(taps_framing *framing, uint64_t type)
{
    char text[16];
    tapsi_format(text, sizeof(text), "%llu", (unsigned long long)type);
    return taps_framing_add_metadata(framing, "type", text);
}

static int handle_received_data(taps_framing *framing)
{
    const struct options *options = taps_framing_options(framing);
    const uint8_t *data;
    size_t there;
    int result = taps_framing_parse(framing, head_size(options), head_size(options), &data, &there);
    if (result <= 0)
        return result;
    uint64_t type = tapsi_integer_get(data, options->type, options->little);
    uint64_t length = 0, said = tapsi_integer_get(data + options->type, options->length, options->little);
    int err = check_length(framing, options, type, said, &length);
    if (err)
        return err;
    taps_framing_advance(framing, head_size(options));
    err = tell_type(framing, type);
    return err ? err : taps_framing_deliver_and_advance(framing, length, true);
}

const struct taps_framer_definition tapsi_framer_tlv = {
    .name = "tlv",
    .flags = TAPS_FRAMER_PACKS | TAPS_FRAMER_TAKES_PARTS | TAPS_FRAMER_STATELESS,
    .options_size = sizeof(struct options),
    .state_size = sizeof(struct tapsi_parts),
    .overhead = HEAD_MAX,
    .defaults = defaults,
    .set = set,
    .new_sent_message = new_sent_message,
    .handle_received_data = handle_received_data,
};
