/* From Messages to packets. */
#include <string.h>
#include "base/str.h"
#include "message/mqtt.h"
#include "message/options.h"

/* ---------------------------------------------------------------------------------------------- what is asked */

static int number_of(taps_framing *framing, const char *key, uint64_t most, unsigned *value)
{
    uint64_t number;
    const char *text = taps_framing_message_metadata(framing, key);
    if (!text)
        return 0;
    if (tapsi_parse_uint(text, most, &number) != 0)
        return taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES, "%s is no number from 0 to %llu", key,
                                   (unsigned long long)most);
    *value = (unsigned)number;
    return 0;
}

static int boolean_of(taps_framing *framing, const char *key, bool *value)
{
    const char *text = taps_framing_message_metadata(framing, key);
    return text && tapsi_options_boolean(text, value) != 0 ? TAPS_E_MESSAGE_PROPERTIES : 0;
}

/* An identifier of the application's own, or 0. */
static int id_of(taps_framing *framing, uint16_t *id)
{
    unsigned number = 0;
    int err = number_of(framing, "packet-id", UINT16_MAX, &number);
    *id = (uint16_t)number;
    return err || number || !taps_framing_message_metadata(framing, "packet-id") ? err : TAPS_E_MESSAGE_PROPERTIES;
}

/* ------------------------------------------------------------------------------------------------- PUBLISH */

struct publish {
    const char *topic;
    unsigned qos;
    bool retain, dup;
    uint16_t id;
};

static int read_publish(taps_framing *framing, struct publish *p)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    const char *topic = taps_framing_message_metadata(framing, "topic");
    *p = (struct publish){.topic = topic ? topic : o->topic, .qos = o->qos, .retain = o->retain};
    int err = number_of(framing, "qos", 2, &p->qos);
    if (!err)
        err = boolean_of(framing, "retain", &p->retain);
    if (!err)
        err = boolean_of(framing, "dup", &p->dup);
    if (!err)
        err = id_of(framing, &p->id);
    bool bad = !tapsi_mqtt_is_topic((const uint8_t *)p->topic, strlen(p->topic)) || (!p->qos && (p->dup || p->id));
    return err || !bad
               ? err
               : taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES,
                                     "it needs a topic without wildcards, and dup and packet-id only with a qos");
}

static int send_publish_head(taps_framing *framing, const struct publish *p, uint64_t length)
{
    uint8_t head[TAPSI_MQTT_HEAD_MAX + 2], id[2];
    size_t topic_length = strlen(p->topic);
    unsigned flags = (p->dup ? TAPSI_MQTT_DUP : 0) | p->qos << 1 | (p->retain ? TAPSI_MQTT_RETAIN : 0);
    size_t size = tapsi_mqtt_head_write(head, TAPSI_MQTT_PUBLISH, flags, (uint32_t)length);
    tapsi_mqtt_write_number(head + size, (unsigned)topic_length);
    tapsi_mqtt_write_number(id, p->id);
    int err = tapsi_mqtt_emit(framing, head, size + 2);
    if (!err)
        err = taps_framing_send(framing, p->topic, topic_length);
    return !err && p->qos ? taps_framing_send(framing, id, 2) : err;
}

static int send_publish(taps_framing *framing, const struct taps_sent_message *message)
{
    struct publish p;
    int err = read_publish(framing, &p);
    if (err)
        return err;
    size_t rest = 2 + strlen(p.topic) + (p.qos ? 2 : 0);
    if (message->length > TAPSI_MQTT_LENGTH_MAX - rest)
        return TAPS_E_MESSAGE_TOO_LARGE;
    if (p.qos && (err = tapsi_mqtt_flight_room(framing, &p.id)) != 0)
        return err;
    err = send_publish_head(framing, &p, rest + message->length);
    if (!err)
        err = taps_framing_send_message(framing);
    if (!err && p.qos)
        tapsi_mqtt_flight_add(framing, p.id, p.qos == 1 ? TAPSI_MQTT_PUBACK : TAPSI_MQTT_PUBREC, 0, false);
    return err;
}

/* -------------------------------------------------------------------------------- SUBSCRIBE and UNSUBSCRIBE */

int tapsi_mqtt_send_filters(taps_framing *framing, enum tapsi_mqtt_type type, uint16_t id, unsigned qos,
                            const char *filters, unsigned count)
{
    uint8_t head[TAPSI_MQTT_HEAD_MAX + 2], asked = (uint8_t)qos, size[2];
    size_t length = 2, extra = type == TAPSI_MQTT_SUBSCRIBE;
    const char *at = filters;
    for (unsigned i = 0; i < count; i++, at += strlen(at) + 1)
        length += 2 + strlen(at) + extra;
    size_t used = tapsi_mqtt_head_write(head, type, tapsi_mqtt_flags(type), (uint32_t)length);
    tapsi_mqtt_write_number(head + used, id);
    int err = tapsi_mqtt_emit(framing, head, used + 2);
    for (at = filters; count-- && !err; at += strlen(at) + 1) {
        tapsi_mqtt_write_number(size, (unsigned)strlen(at));
        err = taps_framing_send(framing, size, 2);
        if (!err)
            err = taps_framing_send(framing, at, strlen(at));
        if (!err && extra)
            err = taps_framing_send(framing, &asked, 1);
    }
    return err;
}

/* The "topic"s of the Message, one behind the other: NULL and *err if there are none, or one is no filter. The caller
   frees them. */
static char *gather_filters(taps_framing *framing, unsigned *count, int *err)
{
    const char *key, *value;
    char *filters = NULL;
    size_t used = 0;
    *count = 0;
    *err = 0;
    for (size_t i = 0; !*err && taps_framing_message_metadata_at(framing, i, &key, &value) == 0; i++) {
        if (!tapsi_options_is(key, "topic"))
            continue;
        size_t length = strlen(value);
        char *grown = NULL;
        if (*count == TAPSI_MQTT_FILTERS_MAX || !tapsi_mqtt_is_filter((const uint8_t *)value, length))
            *err = TAPS_E_MESSAGE_PROPERTIES;
        else if (!(grown = taps_framing_resize(framing, filters, used + length + 1)))
            *err = TAPS_E_MEMORY;
        if (*err)
            break;
        filters = grown;
        memcpy(filters + used, value, length + 1);
        used += length + 1;
        ++*count;
    }
    if (!*err && !*count)
        *err = TAPS_E_MESSAGE_PROPERTIES;
    if (!*err && used < TAPSI_MQTT_LENGTH_MAX / 4)
        return filters;
    taps_framing_resize(framing, filters, 0);
    return NULL;
}

static int send_subscribe(taps_framing *framing, enum tapsi_mqtt_type type, const struct taps_sent_message *message)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    const struct tapsi_mqtt *s = taps_framing_state(framing);
    unsigned count, qos = o->subscribe_qos;
    uint16_t id;
    int err = s->server || message->length ? TAPS_E_MESSAGE_PROPERTIES : number_of(framing, "qos", 2, &qos);
    if (!err)
        err = id_of(framing, &id);
    if (!err)
        err = tapsi_mqtt_flight_room(framing, &id);
    if (err)
        return err;
    char *filters = gather_filters(framing, &count, &err);
    if (err)
        return err;
    err = tapsi_mqtt_send_filters(framing, type, id, qos, filters, count);
    taps_framing_resize(framing, filters, 0);
    if (!err)
        tapsi_mqtt_flight_add(framing, id, type == TAPSI_MQTT_SUBSCRIBE ? TAPSI_MQTT_SUBACK : TAPSI_MQTT_UNSUBACK,
                              count, false);
    return err;
}

/* --------------------------------------------------------------------------------------------------- all */

/* The Message is what follows the head. */
static int send_raw(taps_framing *framing, const struct taps_sent_message *message)
{
    uint8_t head[TAPSI_MQTT_HEAD_MAX];
    const char *text = taps_framing_message_metadata(framing, "type");
    enum tapsi_mqtt_type type = text ? tapsi_mqtt_type_of(text) : 0;
    unsigned flags = type ? tapsi_mqtt_flags(type) : 0;
    int err = type ? number_of(framing, "flags", 15, &flags) : TAPS_E_MESSAGE_PROPERTIES;
    if (err)
        return err;
    if (message->length > TAPSI_MQTT_LENGTH_MAX)
        return TAPS_E_MESSAGE_TOO_LARGE;
    err = taps_framing_send(framing, head, tapsi_mqtt_head_write(head, type, flags, (uint32_t)message->length));
    return err ? err : taps_framing_send_message(framing);
}

int tapsi_mqtt_send(taps_framing *framing, const struct taps_sent_message *message)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    if (o->raw)
        return send_raw(framing, message);
    const char *text = taps_framing_message_metadata(framing, "type");
    switch (text ? tapsi_mqtt_type_of(text) : TAPSI_MQTT_PUBLISH) {
    case TAPSI_MQTT_PUBLISH:
        return send_publish(framing, message);
    case TAPSI_MQTT_SUBSCRIBE:
        return send_subscribe(framing, TAPSI_MQTT_SUBSCRIBE, message);
    case TAPSI_MQTT_UNSUBSCRIBE:
        return send_subscribe(framing, TAPSI_MQTT_UNSUBSCRIBE, message);
    default:
        return TAPS_E_MESSAGE_PROPERTIES;
    }
}
