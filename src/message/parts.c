#include "message/parts.h"

#include "base/str.h"

static int length_of(taps_framing *framing, const struct taps_sent_message *message, uint64_t *ret)
{
    if (message->end_of_message) {
        *ret = message->length;
        return 0;
    }
    const char *text = taps_framing_message_metadata(framing, "length");
    if (text && tapsi_parse_uint(text, UINT64_MAX, ret) == 0)
        return 0;
    return taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES,
                               "the first part of a Message needs its whole length in the metadata \"length\"");
}

int tapsi_parts_take(taps_framing *framing, const struct taps_sent_message *message, uint64_t maximum,
                     struct tapsi_parts *parts, uint64_t *ret_total)
{
    uint64_t left = parts->left;
    if (message->start == parts->open)
        return taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES,
                                   "a Message that was begun has not been completed");
    if (message->start) {
        int err = length_of(framing, message, &left);
        if (err)
            return err;
        if (left > maximum)
            return taps_framing_refuse(framing, TAPS_E_MESSAGE_TOO_LARGE, "%llu bytes, and the maximum is %llu",
                                       (unsigned long long)left, (unsigned long long)maximum);
        *ret_total = left;
    }
    if (message->length > left || (message->end_of_message && message->length < left))
        return taps_framing_refuse(
            framing, TAPS_E_MESSAGE_PROPERTIES,
            "its parts are not as long together as was said: %llu bytes are left, and these are %zu",
            (unsigned long long)left, message->length);
    *parts = (struct tapsi_parts){!message->end_of_message, left - message->length};
    return 0;
}
