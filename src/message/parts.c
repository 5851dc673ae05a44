#include "message/parts.h"

#include "base/str.h"

static int length_of(taps_framing *framing, const struct taps_sent_message *message, uint64_t *ret)
{
    if (message->end_of_message) {
        *ret = message->length;
        return 0;
    }
    const char *text = taps_framing_message_metadata(framing, "length");
    return text && tapsi_parse_uint(text, UINT64_MAX, ret) == 0 ? 0 : TAPS_E_MESSAGE_PROPERTIES;
}

int tapsi_parts_take(taps_framing *framing, const struct taps_sent_message *message, uint64_t maximum,
                     struct tapsi_parts *parts, uint64_t *ret_total)
{
    uint64_t left = parts->left;
    if (message->start == parts->open)
        return TAPS_E_MESSAGE_PROPERTIES;
    if (message->start) {
        int err = length_of(framing, message, &left);
        if (err)
            return err;
        if (left > maximum)
            return TAPS_E_MESSAGE_TOO_LARGE;
        *ret_total = left;
    }
    if (message->length > left || (message->end_of_message && message->length < left))
        return TAPS_E_MESSAGE_PROPERTIES;
    *parts = (struct tapsi_parts){!message->end_of_message, left - message->length};
    return 0;
}
