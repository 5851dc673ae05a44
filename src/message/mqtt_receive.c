/*
 * From packets to Messages, one packet a call. What is no PUBLISH is looked at as a whole; a payload goes to the
 * application as it comes. It is acknowledged when its last byte is here: where more is to come, all but that byte is
 * promised first, so that this Framer is asked again for the last one.
 *
 * Everything that is delivered is promised (deliver_and_advance), also what has no bytes: so it waits for a Receive,
 * and a peer cannot pile it up.
 */
#include <string.h>
#include "base/str.h"
#include "message/mqtt.h"

#define SHORT_TEXT 256

static int malformed(taps_framing *framing, const char *what)
{
    return taps_framing_fail(framing, TAPS_E_DEFRAMING, "%s", what);
}

/* ------------------------------------------------------------------------------------------------ metadata */

int tapsi_mqtt_tell(taps_framing *framing, const char *key, struct tapsi_mqtt_bytes bytes)
{
    char brief[SHORT_TEXT];
    char *text = bytes.length < sizeof(brief) ? brief : taps_framing_resize(framing, NULL, bytes.length + 1);
    if (!text)
        return TAPS_E_MEMORY;
    if (bytes.length)
        memcpy(text, bytes.data, bytes.length);
    text[bytes.length] = '\0';
    int err = taps_framing_add_metadata(framing, key, text);
    if (text != brief)
        taps_framing_resize(framing, text, 0);
    return err;
}

int tapsi_mqtt_tell_number(taps_framing *framing, const char *key, unsigned number)
{
    char text[16];
    tapsi_format(text, sizeof(text), "%u", number);
    return taps_framing_add_metadata(framing, key, text);
}

static int tell_type(taps_framing *framing, enum tapsi_mqtt_type type, unsigned id)
{
    int err = taps_framing_add_metadata(framing, "type", tapsi_mqtt_type_text(type));
    return err ? err : tapsi_mqtt_tell_number(framing, "packet-id", id);
}

/* ------------------------------------------------------------------------------------------------- PUBLISH */

struct publish {
    struct tapsi_mqtt_bytes topic;
    unsigned qos, id, flags;
};

static int tell_publish(taps_framing *framing, const struct publish *p)
{
    int err = tapsi_mqtt_tell(framing, "topic", p->topic);
    if (!err)
        err = tapsi_mqtt_tell_number(framing, "qos", p->qos);
    if (!err && p->qos)
        err = tapsi_mqtt_tell_number(framing, "packet-id", p->id);
    if (!err && p->flags & TAPSI_MQTT_RETAIN)
        err = taps_framing_add_metadata(framing, "retain", "1");
    if (!err && p->flags & TAPSI_MQTT_DUP)
        err = taps_framing_add_metadata(framing, "dup", "1");
    return err;
}

static int acknowledge(taps_framing *framing, struct tapsi_mqtt *s)
{
    enum tapsi_mqtt_type type = (enum tapsi_mqtt_type)s->ack;
    s->ack = 0;
    return type ? tapsi_mqtt_emit_id(framing, type, s->ack_id) : 0;
}

/* Of the payload, at the cursor. */
static int go_on(taps_framing *framing, struct tapsi_mqtt *s)
{
    uint64_t here = taps_framing_available(framing);
    if (s->stopping) {
        s->skips = true;
        s->ack = 0;
    }
    if (s->skips) {
        uint64_t part = here < s->left ? here : s->left;
        taps_framing_advance(framing, (size_t)part);
        s->left -= part;
        return s->left ? 0 : acknowledge(framing, s);
    }
    uint64_t part = !s->ack || here >= s->left ? s->left : s->left - 1;
    s->left -= part;
    int err = taps_framing_deliver_and_advance(framing, part, s->left == 0);
    return err || s->left ? err : acknowledge(framing, s);
}

/* What is acknowledged behind it, and whether it is for the application at all. */
static int begin_payload(taps_framing *framing, struct tapsi_mqtt *s, const struct publish *p)
{
    int known = p->qos == 2 && !s->stopping ? tapsi_mqtt_known(framing, p->id) : 0;
    if (known < 0)
        return known;
    s->ack_id = (uint16_t)p->id;
    s->ack = p->qos == 0 || s->stopping ? 0 : p->qos == 1 ? TAPSI_MQTT_PUBACK : TAPSI_MQTT_PUBREC;
    s->skips = known || s->stopping;
    return s->skips ? 0 : tell_publish(framing, p);
}

static const char *check_publish(const struct publish *p, const struct tapsi_mqtt_reader *reader)
{
    if (reader->failed)
        return "a PUBLISH whose topic does not fit its length";
    if (!tapsi_mqtt_is_topic(p->topic.data, p->topic.length))
        return "a PUBLISH for what is no topic";
    return p->qos && !p->id ? "a PUBLISH with a packet identifier of 0" : NULL;
}

/* The topic's length, then all that stands before the payload. */
static int receive_publish(taps_framing *framing, struct tapsi_mqtt *s, const struct tapsi_mqtt_head *head)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    struct publish p = {.flags = head->flags, .qos = head->flags >> 1 & 3};
    const uint8_t *data;
    size_t there, size = head->size + 2;
    if (head->length < 2)
        return malformed(framing, "a PUBLISH whose topic does not fit its length");
    int result = taps_framing_parse(framing, size, size, &data, &there);
    if (result <= 0)
        return result;
    size_t before = 2 + ((size_t)data[head->size] << 8 | data[head->size + 1]) + (p.qos ? 2 : 0);
    if (before > head->length)
        return malformed(framing, "a PUBLISH whose topic does not fit its length");
    if (head->length - before > o->maximum)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a payload of %zu bytes was announced; the maximum is %llu",
                                 head->length - before, (unsigned long long)o->maximum);
    size = head->size + before;
    result = taps_framing_parse(framing, size, size, &data, &there);
    if (result <= 0)
        return result;
    struct tapsi_mqtt_reader reader = {.at = data + head->size, .left = before};
    p.topic = tapsi_mqtt_read_bytes(&reader);
    p.id = p.qos ? tapsi_mqtt_read_number(&reader) : 0;
    const char *why = check_publish(&p, &reader);
    if (why)
        return malformed(framing, why);
    int err = begin_payload(framing, s, &p);
    if (err)
        return err;
    taps_framing_advance(framing, size);
    s->left = head->length - before;
    return go_on(framing, s);
}

/* ----------------------------------------------------------------------------------------- acknowledgements */

/* PUBACK, PUBREC, PUBREL, PUBCOMP: an identifier and nothing else. What is not known has been acknowledged before. */
static int on_ack(taps_framing *framing, struct tapsi_mqtt *s, enum tapsi_mqtt_type type, unsigned id)
{
    struct tapsi_mqtt_flight *flight = tapsi_mqtt_flight_find(s, id);
    switch (type) {
    case TAPSI_MQTT_PUBREL:
        tapsi_mqtt_forget(s, id);
        return tapsi_mqtt_emit_id(framing, TAPSI_MQTT_PUBCOMP, id);
    case TAPSI_MQTT_PUBREC:
        if (flight && flight->awaits == TAPSI_MQTT_PUBREC)
            flight->awaits = TAPSI_MQTT_PUBCOMP;
        return tapsi_mqtt_emit_id(framing, TAPSI_MQTT_PUBREL, id);
    default:
        return flight && flight->awaits == type ? tapsi_mqtt_flight_land(framing, flight) : 0;
    }
}

static const char *check_codes(const struct tapsi_mqtt_flight *flight, enum tapsi_mqtt_type type,
                               const struct tapsi_mqtt_reader *codes)
{
    if (!flight || flight->awaits != type)
        return "an answer to a SUBSCRIBE or UNSUBSCRIBE that was not sent";
    if (codes->left != (type == TAPSI_MQTT_SUBACK ? flight->count : 0u))
        return "a SUBACK or UNSUBACK of another length than its question has";
    for (size_t i = 0; i < codes->left; i++) {
        if (codes->at[i] > 2 && codes->at[i] != TAPSI_MQTT_FAILURE)
            return "a SUBACK with a return code that is reserved";
    }
    return NULL;
}

/* Of the filters in the option. */
static int on_own_suback(taps_framing *framing, struct tapsi_mqtt *s, const struct tapsi_mqtt_reader *codes)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    const char *filter = o->subscribe;
    for (size_t i = 0; i < codes->left; i++, filter += strlen(filter) + 1) {
        if (codes->at[i] == TAPSI_MQTT_FAILURE)
            return taps_framing_fail(framing, TAPS_E_PROTOCOL, "the server refuses the subscription to %s", filter);
    }
    if (s->phase == TAPSI_MQTT_SUBSCRIBING)
        taps_framing_make_ready(framing);
    s->phase = TAPSI_MQTT_OPEN;
    return 0;
}

/* The Message is the return codes, a byte for each filter. */
static int on_suback(taps_framing *framing, struct tapsi_mqtt *s, const struct tapsi_mqtt_head *head,
                     struct tapsi_mqtt_reader *reader)
{
    unsigned id = tapsi_mqtt_read_number(reader);
    struct tapsi_mqtt_flight *flight = tapsi_mqtt_flight_find(s, id);
    size_t codes = reader->left;
    const char *why = reader->failed ? "a SUBACK without a packet identifier" : check_codes(flight, head->type, reader);
    if (why)
        return malformed(framing, why);
    int err = flight->own ? on_own_suback(framing, s, reader) : 0;
    if (!err && (flight->own || s->stopping)) {
        taps_framing_advance(framing, head->size + head->length);
    } else if (!err) {
        err = tell_type(framing, head->type, id);
        taps_framing_advance(framing, head->size + 2);
        if (!err)
            err = taps_framing_deliver_and_advance(framing, codes, true);
    }
    return err ? err : tapsi_mqtt_flight_land(framing, flight);
}

/* --------------------------------------------------------------------------------- what a client asks a server */

static const char *check_filters(struct tapsi_mqtt_reader reader, bool with_qos, unsigned *ret_count)
{
    unsigned count = 0;
    for (; reader.left && !reader.failed; count++) {
        struct tapsi_mqtt_bytes filter = tapsi_mqtt_read_bytes(&reader);
        unsigned qos = with_qos ? tapsi_mqtt_read_byte(&reader) : 0;
        if (count == TAPSI_MQTT_FILTERS_MAX)
            return "more than 256 filters in one packet";
        if (!reader.failed && !tapsi_mqtt_is_filter(filter.data, filter.length))
            return "a subscription to what is no filter";
        if (qos > 2)
            return "a subscription with a QoS that is reserved";
    }
    *ret_count = count;
    return reader.failed || !count ? "a subscription whose filters do not fit its length" : NULL;
}

/* Every filter is granted with the QoS that was asked for: whoever publishes decides what comes of it. */
static int grant(taps_framing *framing, unsigned id, const uint8_t *codes, unsigned count)
{
    uint8_t head[TAPSI_MQTT_HEAD_MAX + 2];
    size_t size = tapsi_mqtt_head_write(head, TAPSI_MQTT_SUBACK, 0, count + 2);
    tapsi_mqtt_write_number(head + size, id);
    int err = tapsi_mqtt_emit(framing, head, size + 2);
    return err ? err : tapsi_mqtt_emit(framing, codes, count);
}

static int on_subscribe(taps_framing *framing, const struct tapsi_mqtt *s, const struct tapsi_mqtt_head *head,
                        struct tapsi_mqtt_reader *reader)
{
    bool with_qos = head->type == TAPSI_MQTT_SUBSCRIBE;
    uint8_t codes[TAPSI_MQTT_FILTERS_MAX];
    unsigned id = tapsi_mqtt_read_number(reader), count;
    const char *why = !id ? "a subscription with a packet identifier of 0" : check_filters(*reader, with_qos, &count);
    if (why)
        return malformed(framing, why);
    int err = tell_type(framing, head->type, id);
    for (unsigned i = 0; i < count && !err; i++) {
        err = tapsi_mqtt_tell(framing, "topic", tapsi_mqtt_read_bytes(reader));
        codes[i] = (uint8_t)(with_qos ? tapsi_mqtt_read_byte(reader) : 0);
        if (!err && with_qos)
            err = tapsi_mqtt_tell_number(framing, "qos", codes[i]);
    }
    if (!err)
        err = with_qos ? grant(framing, id, codes, count) : tapsi_mqtt_emit_id(framing, TAPSI_MQTT_UNSUBACK, id);
    if (err)
        return err;
    taps_framing_advance(framing, head->size + head->length);
    return s->stopping ? 0 : taps_framing_deliver_and_advance(framing, 0, true);
}

static int on_ping(taps_framing *framing)
{
    uint8_t packet[TAPSI_MQTT_HEAD_MAX];
    return tapsi_mqtt_emit(framing, packet, tapsi_mqtt_head_write(packet, TAPSI_MQTT_PINGRESP, 0, 0));
}

static int on_disconnect(taps_framing *framing, struct tapsi_mqtt *s)
{
    s->ended = true;
    return s->stopping ? 0 : taps_framing_deliver_end(framing);
}

/* ---------------------------------------------------------------------------------------------------- all */

#define FROM_CLIENT 1u
#define FROM_SERVER 2u

/* Who may send it, once both have greeted, and how long it may be. */
static const struct {
    unsigned from;
    uint32_t least, most;
} rules[TAPSI_MQTT_TYPES] = {
    [TAPSI_MQTT_CONNECT] = {0, 10, TAPSI_MQTT_CONTROL_MAX},
    [TAPSI_MQTT_CONNACK] = {0, 2, 2},
    [TAPSI_MQTT_PUBLISH] = {FROM_CLIENT | FROM_SERVER, 0, TAPSI_MQTT_LENGTH_MAX},
    [TAPSI_MQTT_PUBACK] = {FROM_CLIENT | FROM_SERVER, 2, 2},
    [TAPSI_MQTT_PUBREC] = {FROM_CLIENT | FROM_SERVER, 2, 2},
    [TAPSI_MQTT_PUBREL] = {FROM_CLIENT | FROM_SERVER, 2, 2},
    [TAPSI_MQTT_PUBCOMP] = {FROM_CLIENT | FROM_SERVER, 2, 2},
    [TAPSI_MQTT_SUBSCRIBE] = {FROM_CLIENT, 2, TAPSI_MQTT_CONTROL_MAX},
    [TAPSI_MQTT_SUBACK] = {FROM_SERVER, 2, TAPSI_MQTT_FILTERS_MAX + 2},
    [TAPSI_MQTT_UNSUBSCRIBE] = {FROM_CLIENT, 2, TAPSI_MQTT_CONTROL_MAX},
    [TAPSI_MQTT_UNSUBACK] = {FROM_SERVER, 2, 2},
    [TAPSI_MQTT_PINGREQ] = {FROM_CLIENT, 0, 0},
    [TAPSI_MQTT_PINGRESP] = {FROM_SERVER, 0, 0},
    [TAPSI_MQTT_DISCONNECT] = {FROM_CLIENT, 0, 0},
};

static int check(taps_framing *framing, const struct tapsi_mqtt *s, const struct tapsi_mqtt_head *head)
{
    const char *name = tapsi_mqtt_type_text(head->type);
    enum tapsi_mqtt_type greeting = s->server ? TAPSI_MQTT_CONNECT : TAPSI_MQTT_CONNACK;
    bool fits = s->phase == TAPSI_MQTT_GREETING ? head->type == greeting
                                                : rules[head->type].from & (s->server ? FROM_CLIENT : FROM_SERVER);
    if (!fits && s->phase == TAPSI_MQTT_GREETING)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a %s before the %s", name, tapsi_mqtt_type_text(greeting));
    if (!fits)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a %s, which the %s must not send now", name,
                                 s->server ? "client" : "server");
    if (head->length < rules[head->type].least || head->length > rules[head->type].most)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a %s of %u bytes; %u to %u are allowed", name,
                                 head->length, rules[head->type].least, rules[head->type].most);
    return 0;
}

/* What the application does not see. */
static int handle_quietly(taps_framing *framing, struct tapsi_mqtt *s, const struct tapsi_mqtt_head *head,
                          struct tapsi_mqtt_reader *reader)
{
    unsigned id;
    switch (head->type) {
    case TAPSI_MQTT_CONNECT:
        return tapsi_mqtt_on_connect(framing, reader);
    case TAPSI_MQTT_CONNACK:
        return tapsi_mqtt_on_connack(framing, reader);
    case TAPSI_MQTT_PINGREQ:
        return on_ping(framing);
    case TAPSI_MQTT_PINGRESP:
        s->awaits_pong = false;
        return 0;
    case TAPSI_MQTT_DISCONNECT:
        return on_disconnect(framing, s);
    default:
        id = tapsi_mqtt_read_number(reader);
        return id ? on_ack(framing, s, head->type, id)
                  : malformed(framing, "an acknowledgement with a packet identifier of 0");
    }
}

static int receive_control(taps_framing *framing, struct tapsi_mqtt *s, const struct tapsi_mqtt_head *head)
{
    const uint8_t *data;
    size_t there, size = head->size + head->length;
    int err, result = taps_framing_parse(framing, size, size, &data, &there);
    if (result <= 0)
        return result;
    struct tapsi_mqtt_reader reader = {.at = data + head->size, .left = head->length};
    switch (head->type) {
    case TAPSI_MQTT_SUBSCRIBE:
    case TAPSI_MQTT_UNSUBSCRIBE:
        return on_subscribe(framing, s, head, &reader);
    case TAPSI_MQTT_SUBACK:
    case TAPSI_MQTT_UNSUBACK:
        return on_suback(framing, s, head, &reader);
    default:
        err = handle_quietly(framing, s, head, &reader);
        taps_framing_advance(framing, size);
        return err;
    }
}

static int receive_raw(taps_framing *framing, const struct tapsi_mqtt_head *head)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    if (head->length > o->maximum)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a packet of %u bytes was announced; the maximum is %llu",
                                 head->length, (unsigned long long)o->maximum);
    int err = taps_framing_add_metadata(framing, "type", tapsi_mqtt_type_text(head->type));
    if (!err)
        err = tapsi_mqtt_tell_number(framing, "flags", head->flags);
    if (err)
        return err;
    taps_framing_advance(framing, head->size);
    return taps_framing_deliver_and_advance(framing, head->length, true);
}

/* 1: here it is; 0: not yet; negative. */
static int read_head(taps_framing *framing, struct tapsi_mqtt_head *head)
{
    const uint8_t *data;
    size_t there;
    const char *why;
    for (size_t need = 1;; need = there + 1) {
        int result = taps_framing_parse(framing, need, TAPSI_MQTT_HEAD_MAX, &data, &there);
        if (result <= 0)
            return result;
        result = tapsi_mqtt_head_read(data, there, head, &why);
        if (result < 0)
            return malformed(framing, why);
        if (result)
            return 1;
    }
}

/* The peer has ended, and there is nothing before that. */
static int at_end(taps_framing *framing, struct tapsi_mqtt *s)
{
    if (s->stopping) {
        s->flights_used = 0;
        return tapsi_mqtt_last_word(framing);
    }
    if (!s->server || s->phase != TAPSI_MQTT_OPEN || s->left)
        return 0;
    return taps_framing_fail(framing, TAPS_E_TRUNCATED, "the client has gone without a DISCONNECT");
}

int tapsi_mqtt_receive(taps_framing *framing)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    struct tapsi_mqtt *s = taps_framing_state(framing);
    struct tapsi_mqtt_head head;
    size_t here = taps_framing_available(framing);
    if (here == 0)
        return taps_framing_at_end(framing) && !o->raw && !s->ended ? at_end(framing, s) : 0;
    s->heard = true;
    if (s->ended) { /* nothing may follow a DISCONNECT, and nobody would see it */
        taps_framing_advance(framing, here);
        return 0;
    }
    if (s->left)
        return go_on(framing, s);
    int result = read_head(framing, &head);
    if (result <= 0)
        return result;
    if (o->raw)
        return receive_raw(framing, &head);
    if (s->phase == TAPSI_MQTT_SUBSCRIBING && head.type == TAPSI_MQTT_PUBLISH) {
        s->phase = TAPSI_MQTT_OPEN;
        taps_framing_make_ready(framing);
        return 0;
    }
    result = check(framing, s, &head);
    if (result)
        return result;
    return head.type == TAPSI_MQTT_PUBLISH ? receive_publish(framing, s, &head) : receive_control(framing, s, &head);
}
