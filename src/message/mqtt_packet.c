#include "message/mqtt_packet.h"

#include <string.h>
#include <taps/taps.h>
#include "message/options.h"
#include "message/ws_frame.h"

/* ---------------------------------------------------------------------------------------------------- heads */

static const struct {
    const char *text;
    unsigned flags;
} types[TAPSI_MQTT_TYPES] = {
    [TAPSI_MQTT_CONNECT] = {"connect", 0},   [TAPSI_MQTT_CONNACK] = {"connack", 0},
    [TAPSI_MQTT_PUBLISH] = {"publish", 0},   [TAPSI_MQTT_PUBACK] = {"puback", 0},
    [TAPSI_MQTT_PUBREC] = {"pubrec", 0},     [TAPSI_MQTT_PUBREL] = {"pubrel", 2},
    [TAPSI_MQTT_PUBCOMP] = {"pubcomp", 0},   [TAPSI_MQTT_SUBSCRIBE] = {"subscribe", 2},
    [TAPSI_MQTT_SUBACK] = {"suback", 0},     [TAPSI_MQTT_UNSUBSCRIBE] = {"unsubscribe", 2},
    [TAPSI_MQTT_UNSUBACK] = {"unsuback", 0}, [TAPSI_MQTT_PINGREQ] = {"pingreq", 0},
    [TAPSI_MQTT_PINGRESP] = {"pingresp", 0}, [TAPSI_MQTT_DISCONNECT] = {"disconnect", 0},
};

const char *tapsi_mqtt_type_text(enum tapsi_mqtt_type type)
{
    return types[type].text;
}

enum tapsi_mqtt_type tapsi_mqtt_type_of(const char *text)
{
    for (unsigned i = TAPSI_MQTT_CONNECT; i < TAPSI_MQTT_TYPES; i++) {
        if (tapsi_options_is(text, types[i].text))
            return (enum tapsi_mqtt_type)i;
    }
    return (enum tapsi_mqtt_type)0;
}

unsigned tapsi_mqtt_flags(enum tapsi_mqtt_type type)
{
    return types[type].flags;
}

static const char *check_kind(unsigned type, unsigned flags)
{
    if (type < TAPSI_MQTT_CONNECT || type > TAPSI_MQTT_DISCONNECT)
        return "a packet of a reserved type";
    if (type != TAPSI_MQTT_PUBLISH)
        return flags == types[type].flags ? NULL : "a packet with flags that are reserved";
    if ((flags >> 1 & 3) == 3)
        return "a PUBLISH of QoS 3";
    return flags & TAPSI_MQTT_DUP && !(flags >> 1 & 3) ? "a PUBLISH of QoS 0 that is a duplicate" : NULL;
}

int tapsi_mqtt_head_read(const uint8_t *data, size_t length, struct tapsi_mqtt_head *ret, const char **ret_why)
{
    if (!length)
        return 0;
    const char *why = check_kind(data[0] >> 4, data[0] & 15u);
    if (why) {
        *ret_why = why;
        return TAPS_E_DEFRAMING;
    }
    uint32_t value = 0;
    for (size_t i = 1; i < TAPSI_MQTT_HEAD_MAX; i++) {
        if (i >= length)
            return 0;
        value |= (uint32_t)(data[i] & 127u) << (7 * (i - 1));
        if (data[i] & 128u)
            continue;
        *ret = (struct tapsi_mqtt_head){(enum tapsi_mqtt_type)(data[0] >> 4), data[0] & 15u, value, i + 1};
        return 1;
    }
    *ret_why = "a remaining length of more than four bytes";
    return TAPS_E_DEFRAMING;
}

size_t tapsi_mqtt_head_write(uint8_t *to, enum tapsi_mqtt_type type, unsigned flags, uint32_t length)
{
    size_t size = 0;
    to[size++] = (uint8_t)((unsigned)type << 4 | flags);
    do {
        to[size++] = (uint8_t)(length % 128 + (length > 127 ? 128 : 0));
        length /= 128;
    } while (length);
    return size;
}

/* ---------------------------------------------------------------------------------------------------- texts */

bool tapsi_mqtt_is_text(const uint8_t *bytes, size_t length)
{
    struct tapsi_ws_text text = {0};
    return length == 0 || (length <= TAPSI_MQTT_TEXT_MAX && !memchr(bytes, 0, length) &&
                           tapsi_ws_text_check(&text, bytes, length) && tapsi_ws_text_whole(&text));
}

bool tapsi_mqtt_is_topic(const uint8_t *bytes, size_t length)
{
    return length && !memchr(bytes, '+', length) && !memchr(bytes, '#', length) && tapsi_mqtt_is_text(bytes, length);
}

bool tapsi_mqtt_is_filter(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != '+' && bytes[i] != '#')
            continue;
        bool first = i == 0 || bytes[i - 1] == '/', last = i + 1 == length;
        if (!first || !(last || (bytes[i] == '+' && bytes[i + 1] == '/')))
            return false;
    }
    return length && tapsi_mqtt_is_text(bytes, length);
}

const char *tapsi_mqtt_refusal(unsigned code)
{
    static const char *const words[] = {
        "it does not speak this version of the protocol",
        "the client identifier is not allowed",
        "its service is not available",
        "the user name or the password is wrong",
        "the client is not authorised",
    };
    return code >= 1 && code <= sizeof(words) / sizeof(words[0]) ? words[code - 1] : NULL;
}

/* --------------------------------------------------------------------------------------------------- fields */

static const uint8_t *take(struct tapsi_mqtt_reader *reader, size_t count)
{
    const uint8_t *at = reader->at;
    if (reader->failed || count > reader->left) {
        reader->failed = true;
        return NULL;
    }
    reader->at += count;
    reader->left -= count;
    return at;
}

unsigned tapsi_mqtt_read_byte(struct tapsi_mqtt_reader *reader)
{
    const uint8_t *at = take(reader, 1);
    return at ? at[0] : 0;
}

unsigned tapsi_mqtt_read_number(struct tapsi_mqtt_reader *reader)
{
    const uint8_t *at = take(reader, 2);
    return at ? (unsigned)at[0] << 8 | at[1] : 0;
}

struct tapsi_mqtt_bytes tapsi_mqtt_read_bytes(struct tapsi_mqtt_reader *reader)
{
    size_t length = tapsi_mqtt_read_number(reader);
    const uint8_t *at = take(reader, length);
    return (struct tapsi_mqtt_bytes){at, at ? length : 0};
}

uint8_t *tapsi_mqtt_write_number(uint8_t *to, unsigned number)
{
    *to++ = (uint8_t)(number >> 8);
    *to++ = (uint8_t)number;
    return to;
}

uint8_t *tapsi_mqtt_write_bytes(uint8_t *to, const void *bytes, size_t length)
{
    to = tapsi_mqtt_write_number(to, (unsigned)length);
    if (length)
        memcpy(to, bytes, length);
    return to + length;
}
