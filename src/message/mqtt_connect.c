/* The beginning: CONNECT and CONNACK, seen from both ends. */
#include <string.h>
#include "message/mqtt.h"

#define LEVEL 4 /* 3.1.1 */

/* Flags of CONNECT. */
#define USER        0x80u
#define PASSWORD    0x40u
#define WILL_RETAIN 0x20u
#define WILL_QOS(f) ((f) >> 3 & 3u)
#define WILL        0x04u
#define CLEAN       0x02u
#define RESERVED    0x01u
#define WILL_BITS   0x38u

/* Return codes of CONNACK. */
enum { ACCEPTED, BAD_VERSION, BAD_CLIENT, UNAVAILABLE, BAD_USER };

/* -------------------------------------------------------------------------------------------------- client */

static unsigned connect_flags(const struct tapsi_mqtt_options *o)
{
    unsigned will = o->has_will ? WILL | (unsigned)o->will_qos << 3 | (o->will_retain ? WILL_RETAIN : 0) : 0;
    return will | (o->has_user ? USER : 0) | (o->has_password ? PASSWORD : 0) | (o->persists ? 0 : CLEAN);
}

static uint8_t *write_text(uint8_t *to, const char *text)
{
    return tapsi_mqtt_write_bytes(to, text, strlen(text));
}

static int send_connect(taps_framing *framing, const struct tapsi_mqtt_options *o)
{
    size_t length = 10 + 2 + strlen(o->client_id);
    if (o->has_will)
        length += 4 + strlen(o->will_topic) + strlen(o->will_message);
    if (o->has_user)
        length += 2 + strlen(o->user);
    if (o->has_password)
        length += 2 + strlen(o->password);
    uint8_t *packet = taps_framing_reserve(framing, TAPSI_MQTT_HEAD_MAX + length);
    if (!packet)
        return TAPS_E_MEMORY;
    uint8_t *to = packet + tapsi_mqtt_head_write(packet, TAPSI_MQTT_CONNECT, 0, (uint32_t)length);
    to = tapsi_mqtt_write_bytes(to, "MQTT", 4);
    *to++ = LEVEL;
    *to++ = (uint8_t)connect_flags(o);
    to = tapsi_mqtt_write_number(to, o->keep_alive);
    to = write_text(to, o->client_id);
    if (o->has_will)
        to = write_text(write_text(to, o->will_topic), o->will_message);
    if (o->has_user)
        to = write_text(to, o->user);
    if (o->has_password)
        to = write_text(to, o->password);
    return taps_framing_send_reserved(framing, (size_t)(to - packet));
}

static const char *check_options(const struct tapsi_mqtt_options *o, bool server)
{
    if (o->has_password && !o->has_user)
        return "a password needs a user";
    if (!server && o->persists && !o->client_id[0])
        return "a session that is not clean needs a client-id";
    return !o->has_will && (o->will_message[0] || o->will_qos || o->will_retain) ? "a will needs a will-topic" : NULL;
}

int tapsi_mqtt_start(taps_framing *framing)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    struct tapsi_mqtt *s = taps_framing_state(framing);
    s->server = taps_framing_is_server(framing);
    const char *why = taps_framing_is_datagram(framing) ? "it needs a stream" : check_options(o, s->server);
    if (why)
        return taps_framing_fail(framing, TAPS_E_CONFIGURATION, "%s", why);
    if (o->raw) {
        s->phase = TAPSI_MQTT_OPEN;
        taps_framing_make_ready(framing);
        return 0;
    }
    s->keep_alive = s->server ? 0 : o->keep_alive;
    return s->server ? 0 : send_connect(framing, o);
}

/* It is ready with the SUBACK. */
static int subscribe(taps_framing *framing, const struct tapsi_mqtt_options *o, struct tapsi_mqtt *s)
{
    uint16_t id = 0;
    int err = tapsi_mqtt_flight_room(framing, &id);
    if (!err)
        err = tapsi_mqtt_send_filters(framing, TAPSI_MQTT_SUBSCRIBE, id, o->subscribe_qos, o->subscribe,
                                      o->subscribe_count);
    if (err)
        return err;
    tapsi_mqtt_flight_add(framing, id, TAPSI_MQTT_SUBACK, o->subscribe_count, true);
    s->phase = TAPSI_MQTT_SUBSCRIBING;
    return 0;
}

int tapsi_mqtt_on_connack(taps_framing *framing, struct tapsi_mqtt_reader *reader)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    struct tapsi_mqtt *s = taps_framing_state(framing);
    unsigned present = tapsi_mqtt_read_byte(reader), code = tapsi_mqtt_read_byte(reader);
    if (reader->failed || present > 1 || (code && (present || !tapsi_mqtt_refusal(code))))
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a CONNACK that is malformed: flags %u, return code %u",
                                 present, code);
    if (code)
        return taps_framing_fail(framing, code == BAD_USER || code > BAD_USER ? TAPS_E_PERMISSION : TAPS_E_PROTOCOL,
                                 "the server refuses, with return code %u: %s", code, tapsi_mqtt_refusal(code));
    if (present && !o->persists)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING,
                                 "a CONNACK with a session, though a clean one was asked for");
    int err = present ? taps_framing_add_metadata(framing, "session-present", "1") : 0;
    if (!err)
        err = tapsi_mqtt_tick(framing);
    if (!err && o->subscribe_count)
        return subscribe(framing, o, s);
    s->phase = TAPSI_MQTT_OPEN;
    taps_framing_make_ready(framing);
    return err;
}

/* -------------------------------------------------------------------------------------------------- server */

static int answer(taps_framing *framing, unsigned code)
{
    uint8_t packet[TAPSI_MQTT_HEAD_MAX + 2];
    size_t size = tapsi_mqtt_head_write(packet, TAPSI_MQTT_CONNACK, 0, 2);
    packet[size++] = 0; /* there is never a session from before */
    packet[size++] = (uint8_t)code;
    return tapsi_mqtt_emit(framing, packet, size);
}

static int refuse(taps_framing *framing, unsigned code)
{
    answer(framing, code);
    return taps_framing_fail(framing, code == BAD_USER ? TAPS_E_PERMISSION : TAPS_E_PROTOCOL,
                             "the client was refused, with return code %u: %s", code, tapsi_mqtt_refusal(code));
}

/* As long for a wrong one as for the right one. */
static bool same(struct tapsi_mqtt_bytes bytes, const char *text)
{
    size_t length = strlen(text);
    unsigned differs = bytes.length != length;
    for (size_t i = 0; i < bytes.length; i++)
        differs |= (unsigned)(bytes.data[i] ^ (uint8_t)text[length ? i % length : 0]);
    return !differs;
}

struct greeting {
    unsigned flags, keep_alive;
    struct tapsi_mqtt_bytes client_id, will_topic, will_message, user, password;
};

static struct greeting read_greeting(struct tapsi_mqtt_reader *reader)
{
    struct greeting g = {.flags = tapsi_mqtt_read_byte(reader), .keep_alive = tapsi_mqtt_read_number(reader)};
    g.client_id = tapsi_mqtt_read_bytes(reader);
    if (g.flags & WILL) {
        g.will_topic = tapsi_mqtt_read_bytes(reader);
        g.will_message = tapsi_mqtt_read_bytes(reader);
    }
    if (g.flags & USER)
        g.user = tapsi_mqtt_read_bytes(reader);
    if (g.flags & PASSWORD)
        g.password = tapsi_mqtt_read_bytes(reader);
    return g;
}

static const char *check_greeting(const struct greeting *g, const struct tapsi_mqtt_reader *reader)
{
    if (g->flags & RESERVED)
        return "a CONNECT with the reserved flag";
    if (WILL_QOS(g->flags) == 3 || (!(g->flags & WILL) && g->flags & WILL_BITS))
        return "a CONNECT with flags of a will that contradict each other";
    if (g->flags & PASSWORD && !(g->flags & USER))
        return "a CONNECT with a password and no user";
    if (reader->failed || reader->left)
        return "a CONNECT whose fields do not fit its length";
    if (!tapsi_mqtt_is_text(g->client_id.data, g->client_id.length) ||
        !tapsi_mqtt_is_text(g->user.data, g->user.length))
        return "a CONNECT with a text that is not UTF-8";
    if (g->flags & WILL && !tapsi_mqtt_is_topic(g->will_topic.data, g->will_topic.length))
        return "a CONNECT with a will for what is no topic";
    return NULL;
}

static bool admits(const struct tapsi_mqtt_options *o, const struct greeting *g)
{
    bool user = !o->has_user || (g->flags & USER && same(g->user, o->user));
    bool password = !o->has_password || (g->flags & PASSWORD && same(g->password, o->password));
    return user && password;
}

/* On the first Message. */
static int tell_greeting(taps_framing *framing, const struct greeting *g)
{
    int err = tapsi_mqtt_tell(framing, "client-id", g->client_id);
    if (!err && g->flags & USER)
        err = tapsi_mqtt_tell(framing, "user", g->user);
    if (!err && g->flags & WILL)
        err = tapsi_mqtt_tell(framing, "will-topic", g->will_topic);
    if (!err && g->flags & WILL && tapsi_mqtt_is_text(g->will_message.data, g->will_message.length))
        err = tapsi_mqtt_tell(framing, "will-message", g->will_message);
    return err;
}

int tapsi_mqtt_on_connect(taps_framing *framing, struct tapsi_mqtt_reader *reader)
{
    const struct tapsi_mqtt_options *o = taps_framing_options(framing);
    struct tapsi_mqtt *s = taps_framing_state(framing);
    struct tapsi_mqtt_bytes name = tapsi_mqtt_read_bytes(reader);
    if (name.length != 4 || memcmp(name.data, "MQTT", 4) != 0)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a CONNECT of another protocol than MQTT");
    if (tapsi_mqtt_read_byte(reader) != LEVEL)
        return refuse(framing, BAD_VERSION);
    struct greeting g = read_greeting(reader);
    const char *why = check_greeting(&g, reader);
    if (why)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "%s", why);
    if (!g.client_id.length && !(g.flags & CLEAN))
        return refuse(framing, BAD_CLIENT);
    if (!admits(o, &g))
        return refuse(framing, BAD_USER);
    int err = tell_greeting(framing, &g);
    if (!err)
        err = answer(framing, ACCEPTED);
    s->keep_alive = (uint16_t)g.keep_alive;
    if (!err)
        err = tapsi_mqtt_tick(framing);
    s->phase = TAPSI_MQTT_OPEN;
    taps_framing_make_ready(framing);
    return err;
}
