/*
 * mqtt: packets of MQTT 3.1.1. docs/framers/mqtt.md says what a Message is.
 *
 * GREETING -CONNACK, or CONNECT at the server-> (SUBSCRIBING -SUBACK->) OPEN. A PUBLISH may come before the SUBACK;
 * then the Connection is ready at once, since it could not be delivered before.
 *
 * Keep-alive is counted in ticks of half its time. A client that has sent nothing between two of them sends PINGREQ, so
 * it is never silent for the whole time; a server that has heard nothing for three of them gives the client up. While
 * the application does not receive, nothing is read, and silence is not the peer's: such ticks do not count.
 *
 * At the end what is in flight has a while to be acknowledged, and DISCONNECT follows; what was received meanwhile is
 * not acknowledged, so that the server keeps it.
 *
 * With `raw` none of this happens: each packet is a Message.
 */
#include "message/mqtt.h"

#include <string.h>
#include "message/framers.h"
#include "message/options.h"

#define LAST_WAIT_MS 5000 /* for acknowledgements, at the end */
#define QUIET_TICKS  3
#define FLIGHTS_MAX  1000

/* ------------------------------------------------------------------------------------------------- options */

static void defaults(void *memory)
{
    *(struct tapsi_mqtt_options *)memory =
        (struct tapsi_mqtt_options){.maximum = TAPSI_OPTIONS_MAXIMUM, .keep_alive = 60, .in_flight = 32};
}

static int set_text(char *to, size_t size, const char *value)
{
    size_t length = strlen(value);
    if (length >= size || !tapsi_mqtt_is_text((const uint8_t *)value, length))
        return TAPS_E_RANGE;
    memcpy(to, value, length + 1);
    return 0;
}

static int set_topic(char *to, size_t size, const char *value)
{
    return tapsi_mqtt_is_topic((const uint8_t *)value, strlen(value)) ? set_text(to, size, value) : TAPS_E_RANGE;
}

static int set_known(bool *known, char *to, size_t size, const char *value)
{
    int err = set_text(to, size, value);
    *known = *known || !err;
    return err;
}

static int set_qos(uint8_t *to, const char *value)
{
    uint64_t qos;
    int err = tapsi_options_number(value, 0, 2, &qos);
    if (!err)
        *to = (uint8_t)qos;
    return err;
}

static int set_short(uint16_t *to, uint64_t least, uint64_t most, const char *value)
{
    uint64_t number;
    int err = tapsi_options_number(value, least, most, &number);
    if (!err)
        *to = (uint16_t)number;
    return err;
}

/* One filter or several, which commas part; those of further calls join them. All or none. */
static int add_filters(struct tapsi_mqtt_options *options, const char *value)
{
    size_t used = options->subscribe_used;
    unsigned count = options->subscribe_count;
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        if (count == TAPSI_MQTT_FILTERS_MAX || length >= sizeof(options->subscribe) - used ||
            !tapsi_mqtt_is_filter((const uint8_t *)at, length))
            return TAPS_E_RANGE;
        memcpy(options->subscribe + used, at, length);
        options->subscribe[used + length] = '\0';
        used += length + 1;
        count++;
        at += length;
        if (!*at)
            break;
    }
    options->subscribe_used = (uint16_t)used;
    options->subscribe_count = (uint16_t)count;
    return 0;
}

static int set_session(struct tapsi_mqtt_options *o, const char *value)
{
    bool clean;
    int err = tapsi_options_boolean(value, &clean);
    if (!err)
        o->persists = !clean;
    return err;
}

static int set_will(struct tapsi_mqtt_options *o, const char *key, const char *value)
{
    if (tapsi_options_is(key, "will-topic")) {
        int err = set_topic(o->will_topic, sizeof(o->will_topic), value);
        o->has_will = o->has_will || !err;
        return err;
    }
    if (tapsi_options_is(key, "will-message"))
        return set_text(o->will_message, sizeof(o->will_message), value);
    if (tapsi_options_is(key, "will-qos"))
        return set_qos(&o->will_qos, value);
    if (tapsi_options_is(key, "will-retain"))
        return tapsi_options_boolean(value, &o->will_retain);
    return TAPS_E_UNKNOWN_PROPERTY;
}

static int set(void *memory, const char *key, const char *value)
{
    struct tapsi_mqtt_options *o = memory;
    if (tapsi_options_is(key, "client-id"))
        return set_text(o->client_id, sizeof(o->client_id), value);
    if (tapsi_options_is(key, "keep-alive"))
        return set_short(&o->keep_alive, 0, UINT16_MAX, value);
    if (tapsi_options_is(key, "user"))
        return set_known(&o->has_user, o->user, sizeof(o->user), value);
    if (tapsi_options_is(key, "password"))
        return set_known(&o->has_password, o->password, sizeof(o->password), value);
    if (tapsi_options_is(key, "clean-session"))
        return set_session(o, value);
    if (tapsi_options_is(key, "subscribe"))
        return add_filters(o, value);
    if (tapsi_options_is(key, "subscribe-qos"))
        return set_qos(&o->subscribe_qos, value);
    if (tapsi_options_is(key, "topic"))
        return set_topic(o->topic, sizeof(o->topic), value);
    if (tapsi_options_is(key, "qos"))
        return set_qos(&o->qos, value);
    if (tapsi_options_is(key, "retain"))
        return tapsi_options_boolean(value, &o->retain);
    if (tapsi_options_is(key, "in-flight"))
        return set_short(&o->in_flight, 1, FLIGHTS_MAX, value);
    if (tapsi_options_is(key, "maximum"))
        return tapsi_options_size(value, 1, TAPSI_MQTT_LENGTH_MAX, &o->maximum);
    if (tapsi_options_is(key, "raw"))
        return tapsi_options_boolean(value, &o->raw);
    return set_will(o, key, value);
}

/* --------------------------------------------------------------------------------------------- own packets */

int tapsi_mqtt_emit(taps_framing *framing, const void *bytes, size_t length)
{
    struct tapsi_mqtt *s = taps_framing_state(framing);
    s->sent = true;
    return taps_framing_send(framing, bytes, length);
}

int tapsi_mqtt_emit_id(taps_framing *framing, enum tapsi_mqtt_type type, unsigned id)
{
    uint8_t packet[TAPSI_MQTT_HEAD_MAX + 2];
    size_t size = tapsi_mqtt_head_write(packet, type, tapsi_mqtt_flags(type), 2);
    tapsi_mqtt_write_number(packet + size, id);
    return tapsi_mqtt_emit(framing, packet, size + 2);
}

static int emit_bare(taps_framing *framing, enum tapsi_mqtt_type type)
{
    uint8_t packet[TAPSI_MQTT_HEAD_MAX];
    return tapsi_mqtt_emit(framing, packet, tapsi_mqtt_head_write(packet, type, tapsi_mqtt_flags(type), 0));
}

/* ---------------------------------------------------------------------------------------------------- time */

int tapsi_mqtt_tick(taps_framing *framing)
{
    const struct tapsi_mqtt *s = taps_framing_state(framing);
    return s->keep_alive ? taps_framing_wake_after(framing, (uint64_t)s->keep_alive * 500) : 0;
}

static int check_peer(taps_framing *framing, struct tapsi_mqtt *s)
{
    bool counts = (s->server || s->awaits_pong) && !s->heard && !taps_framing_is_held_up(framing);
    s->quiet = counts ? s->quiet + 1 : 0;
    s->heard = false;
    if (s->quiet < QUIET_TICKS)
        return 0;
    return taps_framing_fail(framing, TAPS_E_TIMEOUT,
                             s->server ? "the client was silent for one and a half times its keep-alive of %u s"
                                       : "the server does not answer a PINGREQ; keep-alive is %u s",
                             s->keep_alive);
}

static int wakeup(taps_framing *framing)
{
    struct tapsi_mqtt *s = taps_framing_state(framing);
    if (s->stopping) {
        s->flights_used = 0; /* they had their time */
        return tapsi_mqtt_last_word(framing);
    }
    int err = check_peer(framing, s);
    if (!err && !s->server && !s->sent) {
        s->awaits_pong = true;
        err = emit_bare(framing, TAPSI_MQTT_PINGREQ);
    }
    s->sent = false;
    return err ? err : tapsi_mqtt_tick(framing);
}

/* ------------------------------------------------------------------------------------------- beginning, end */

int tapsi_mqtt_last_word(taps_framing *framing)
{
    struct tapsi_mqtt *s = taps_framing_state(framing);
    if (s->flights_used || s->gone)
        return 0;
    s->gone = true;
    int err = s->server ? 0 : emit_bare(framing, TAPSI_MQTT_DISCONNECT);
    taps_framing_make_closed(framing);
    return err;
}

static int stop(taps_framing *framing)
{
    const struct tapsi_mqtt_options *options = taps_framing_options(framing);
    struct tapsi_mqtt *s = taps_framing_state(framing);
    if (options->raw) {
        taps_framing_make_closed(framing);
        return 0;
    }
    s->stopping = true;
    if (taps_framing_at_end(framing))
        s->flights_used = 0;
    int err = taps_framing_wake_after(framing, s->flights_used ? LAST_WAIT_MS : TAPS_INFINITE);
    return err ? err : tapsi_mqtt_last_word(framing);
}

static void done(taps_framing *framing)
{
    struct tapsi_mqtt *s = taps_framing_state(framing);
    s->flights = taps_framing_resize(framing, s->flights, 0);
    s->known = taps_framing_resize(framing, s->known, 0);
}

const struct taps_framer_definition tapsi_framer_mqtt = {
    .name = "mqtt",
    .flags = TAPS_FRAMER_ENDS_ITSELF | TAPS_FRAMER_READS_AHEAD,
    .options_size = sizeof(struct tapsi_mqtt_options),
    .state_size = sizeof(struct tapsi_mqtt),
    .defaults = defaults,
    .set = set,
    .start = tapsi_mqtt_start,
    .new_sent_message = tapsi_mqtt_send,
    .handle_received_data = tapsi_mqtt_receive,
    .wakeup = wakeup,
    .stop = stop,
    .done = done,
};
