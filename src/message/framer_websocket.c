/*
 * WebSocket (RFC 6455) with permessage-deflate (RFC 7692), client and server: what surrounds the Messages.
 *
 * HANDSHAKE -heads were exchanged: ready-> OPEN -a Close each way-> over. The client speaks first; a server that
 * answers anything but 101 fails the candidate, so that the race goes on. Close of the Connection, or a final Message,
 * sends Close; the peer's Close is answered at once, and after it this side sends nothing (RFC 6455, 5.5.1): whatever
 * the application still hands over is refused with TAPS_E_CLOSED.
 *
 * There is one timer and no clock. Before readiness it bounds the handshake, after stop the wait for the peer's Close;
 * in between it comes once per ping-interval and asks whether anything was heard since the last time.
 */
#include <string.h>
#include "base/sha1.h"
#include "message/framers.h"
#include "message/options.h"
#include "message/websocket.h"

#define HOUR_MS (60 * 60 * 1000)

/* --------------------------------------------------------------------------------------------------- options */

static void defaults(void *options)
{
    *(struct tapsi_ws_options *)options = (struct tapsi_ws_options){
        .deflate_minimum = 64,
        .maximum = TAPSI_OPTIONS_MAXIMUM,
        .ping_timeout_ms = 10000,
        .close_timeout_ms = 5000,
        .handshake_timeout_ms = 10000,
    };
}

/* A text without control characters, and without spaces unless they may be there. */
static int set_text(char *to, size_t size, const char *value, bool spaces)
{
    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f || (*c == ' ' && !spaces))
            return TAPS_E_RANGE;
    }
    if (strlen(value) >= size)
        return TAPS_E_RANGE;
    tapsi_format(to, size, "%s", value);
    return 0;
}

static int set_path(struct tapsi_ws_options *o, const char *value)
{
    return *value == '/' ? set_text(o->path, sizeof(o->path), value, false) : TAPS_E_RANGE;
}

/* Subprotocols are tokens; a second call adds to the first. */
static int set_protocols(struct tapsi_ws_options *o, const char *value)
{
    char all[sizeof(o->protocols)];
    for (const char *c = value; *c; c++) {
        if (*c != ' ' && !tapsi_ws_is_token(*c))
            return TAPS_E_RANGE;
    }
    if (strlen(o->protocols) + 1 + strlen(value) >= sizeof(all))
        return TAPS_E_RANGE;
    tapsi_format(all, sizeof(all), "%s%s%s", o->protocols, *o->protocols ? " " : "", value);
    return set_text(o->protocols, sizeof(o->protocols), all, true);
}

/* "Authorization: Bearer ...": one more header field for each call. What the handshake is made of is not for taking. */
static int set_field(struct tapsi_ws_options *o, const char *value)
{
    static const char *const own[] = {"Host", "Upgrade", "Connection", "Origin", NULL};
    size_t length = strlen(o->fields), name = 0;
    char copy[sizeof(o->fields)];
    while (tapsi_ws_is_token(value[name]))
        name++;
    if (name == 0 || value[name] != ':' || set_text(copy, sizeof(copy), value, true))
        return TAPS_E_RANGE;
    struct tapsi_ws_span is = {value, name};
    for (size_t i = 0; own[i]; i++) {
        if (tapsi_ws_span_is(is, own[i]))
            return TAPS_E_RANGE;
    }
    if ((name > 14 && tapsi_text_equal_n(value, "Sec-WebSocket-", 14)) ||
        length + strlen(value) + 2 >= sizeof(o->fields))
        return TAPS_E_RANGE;
    tapsi_format(o->fields + length, sizeof(o->fields) - length, "%s\r\n", value);
    return 0;
}

static int set_bits(uint8_t *to, const char *value)
{
    uint64_t bits;
    int err = tapsi_options_number(value, 8, 15, &bits);
    if (!err)
        *to = (uint8_t)bits;
    return err;
}

struct setting {
    const char *key;
    size_t at; /* of a number in the options */
    uint64_t min, max;
    bool size; /* in bytes: "64k" */
};

static const struct setting settings[] = {
    {"deflate-minimum", offsetof(struct tapsi_ws_options, deflate_minimum), 0, TAPSI_OPTIONS_LONGEST, true},
    {"maximum", offsetof(struct tapsi_ws_options, maximum), 1, TAPSI_OPTIONS_LONGEST, true},
    {"fragment", offsetof(struct tapsi_ws_options, fragment), 128, TAPSI_OPTIONS_LONGEST, true},
    {"ping-interval", offsetof(struct tapsi_ws_options, ping_interval_ms), 0, 24 * HOUR_MS, false},
    {"ping-timeout", offsetof(struct tapsi_ws_options, ping_timeout_ms), 1, 24 * HOUR_MS, false},
    {"close-timeout", offsetof(struct tapsi_ws_options, close_timeout_ms), 0, HOUR_MS, false},
    {"handshake-timeout", offsetof(struct tapsi_ws_options, handshake_timeout_ms), 0, HOUR_MS, false},
};

static int set_number(struct tapsi_ws_options *o, const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        const struct setting *s = &settings[i];
        uint64_t *number = (uint64_t *)(void *)((char *)o + s->at);
        if (tapsi_options_is(key, s->key))
            return s->size ? tapsi_options_size(value, s->min, s->max, number)
                           : tapsi_options_number(value, s->min, s->max, number);
    }
    return TAPS_E_UNKNOWN_PROPERTY;
}

static int set_deflate(struct tapsi_ws_options *o, const char *key, const char *value)
{
    if (tapsi_options_is(key, "deflate"))
        return tapsi_options_boolean(value, &o->deflate);
    if (tapsi_options_is(key, "server-no-context-takeover"))
        return tapsi_options_boolean(value, &o->wants.server_no_context);
    if (tapsi_options_is(key, "client-no-context-takeover"))
        return tapsi_options_boolean(value, &o->wants.client_no_context);
    if (tapsi_options_is(key, "server-max-window-bits"))
        return set_bits(&o->wants.server_bits, value);
    if (tapsi_options_is(key, "client-max-window-bits"))
        return set_bits(&o->wants.client_bits, value);
    return set_number(o, key, value);
}

static int set(void *options, const char *key, const char *value)
{
    struct tapsi_ws_options *o = options;
    if (tapsi_options_is(key, "path"))
        return set_path(o, value);
    if (tapsi_options_is(key, "host"))
        return set_text(o->host, sizeof(o->host), value, false);
    if (tapsi_options_is(key, "origin"))
        return set_text(o->origin, sizeof(o->origin), value, false);
    if (tapsi_options_is(key, "protocol"))
        return set_protocols(o, value);
    if (tapsi_options_is(key, "header"))
        return set_field(o, value);
    return set_deflate(o, key, value);
}

static struct tapsi_ws_wishes wishes_of(const struct tapsi_ws_options *o)
{
    return (struct tapsi_ws_wishes){
        .path = *o->path ? o->path : NULL,
        .host = o->host,
        .origin = *o->origin ? o->origin : NULL,
        .protocols = o->protocols,
        .fields = o->fields,
        .deflate = o->deflate,
        .wants = o->wants,
    };
}

/* ------------------------------------------------------------------------------------------------- handshake */

/* "example.com", with the port where it is not the usual one, and brackets around an IPv6 address. */
static void write_host(taps_framing *framing, char *to, size_t size)
{
    const char *host = taps_framing_remote_host(framing);
    uint16_t port = taps_framing_remote_port(framing), usual = taps_framing_is_secure(framing) ? 443 : 80;
    bool brackets = host && strchr(host, ':');
    size_t at = tapsi_format(to, size, "%s%s%s", brackets ? "[" : "", host ? host : "", brackets ? "]" : "");
    char *zone = strchr(to, '%');
    if (brackets && zone)
        at = (size_t)(zone - to) + tapsi_format(zone, size - (size_t)(zone - to), "]");
    if (port && port != usual)
        tapsi_format(to + at, size - at, ":%u", (unsigned)port);
}

static int send_request(taps_framing *framing, struct tapsi_ws *ws)
{
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    struct tapsi_ws_wishes wishes = wishes_of(options);
    uint8_t nonce[TAPSI_WS_NONCE_SIZE];
    char host[300];
    int err = taps_framing_random(framing, nonce, sizeof(nonce));
    if (err)
        return taps_framing_fail(framing, err, "there are no random bytes for the key");
    tapsi_base64(nonce, sizeof(nonce), ws->key);
    if (!*wishes.host) {
        write_host(framing, host, sizeof(host));
        wishes.host = host;
    }
    char *to = taps_framing_reserve(framing, TAPSI_WS_WRITE_LIMIT);
    if (!to)
        return TAPS_E_MEMORY;
    return taps_framing_send_reserved(framing, tapsi_ws_request_write(&wishes, ws->key, to));
}

static int tell(taps_framing *framing, const char *key, struct tapsi_ws_span value)
{
    char text[TAPSI_WS_HEAD_LIMIT];
    if (!value.length)
        return 0;
    tapsi_format(text, sizeof(text), "%.*s", (int)value.length, value.at);
    return taps_framing_add_metadata(framing, key, text);
}

static bool is_machinery(struct tapsi_ws_span name)
{
    return tapsi_ws_span_is(name, "Upgrade") || tapsi_ws_span_is(name, "Connection") ||
           (name.length > 14 && tapsi_text_equal_n(name.at, "Sec-WebSocket-", 14));
}

/* The peer's header fields, "header.origin" and so on, on the first Message. */
static int tell_upgrade(taps_framing *framing, const struct tapsi_ws_upgrade *upgrade)
{
    struct tapsi_ws_span rest = upgrade->fields, name, value;
    int err = tell(framing, "path", upgrade->path);
    if (!err)
        err = tell(framing, "protocol", upgrade->protocol);
    while (!err && tapsi_ws_field_next(&rest, &name, &value)) {
        char key[80] = "header.";
        if (is_machinery(name) || name.length >= sizeof(key) - 7)
            continue;
        for (size_t i = 0; i < name.length; i++)
            key[7 + i] = name.at[i] >= 'A' && name.at[i] <= 'Z' ? (char)(name.at[i] - 'A' + 'a') : name.at[i];
        err = tell(framing, key, value);
    }
    return err;
}

static void *resize(void *owner, void *block, size_t size)
{
    return taps_framing_resize(owner, block, size);
}

static int become_open(taps_framing *framing, struct tapsi_ws *ws, const struct tapsi_ws_upgrade *upgrade)
{
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    ws->deflate = upgrade->deflate;
    if (ws->deflate)
        tapsi_ws_deflate_init(&ws->streams, &upgrade->agreed, ws->server, resize, framing);
    int err = tell_upgrade(framing, upgrade);
    if (!err)
        err = taps_framing_wake_after(framing, options->ping_interval_ms ? options->ping_interval_ms : TAPS_INFINITE);
    ws->open = !err;
    ws->heard = false;
    if (!err)
        taps_framing_make_ready(framing);
    return err;
}

static int take_request(taps_framing *framing, struct tapsi_ws *ws, struct tapsi_ws_upgrade *upgrade)
{
    char *to = taps_framing_reserve(framing, TAPSI_WS_WRITE_LIMIT);
    size_t length = to ? tapsi_ws_response_write(upgrade, to) : 0;
    if (!length)
        return to ? taps_framing_fail(framing, TAPS_E_SYSTEM, "there is no SHA-1 to answer with") : TAPS_E_MEMORY;
    int err = taps_framing_send_reserved(framing, length);
    if (err)
        return err;
    if (upgrade->wrong)
        return taps_framing_fail(framing, TAPS_E_PROTOCOL, "%s; it was answered with %u", upgrade->wrong,
                                 upgrade->status);
    return become_open(framing, ws, upgrade);
}

static int take_response(taps_framing *framing, struct tapsi_ws *ws, struct tapsi_ws_upgrade *upgrade)
{
    if (upgrade->wrong)
        return taps_framing_fail(framing, TAPS_E_PROTOCOL, "the server's answer: %s", upgrade->wrong);
    if (upgrade->status != 101)
        return taps_framing_fail(framing, TAPS_E_PROTOCOL, "the server answered %u %.*s", upgrade->status,
                                 (int)upgrade->reason.length, upgrade->reason.at);
    return become_open(framing, ws, upgrade);
}

static int head_incomplete(taps_framing *framing, struct tapsi_ws *ws, size_t here)
{
    struct tapsi_ws_upgrade refusal = {.status = 431, .wrong = "the request is over 16 KiB"};
    if (here >= TAPSI_WS_HEAD_LIMIT && ws->server)
        return take_request(framing, ws, &refusal);
    if (here >= TAPSI_WS_HEAD_LIMIT)
        return taps_framing_fail(framing, TAPS_E_PROTOCOL, "the server's answer has a head over 16 KiB");
    if (taps_framing_at_end(framing))
        return taps_framing_fail(framing, TAPS_E_ESTABLISHMENT, "the peer ended in the handshake");
    return 0;
}

static int shake_hands(taps_framing *framing, struct tapsi_ws *ws)
{
    struct tapsi_ws_wishes wishes = wishes_of(taps_framing_options(framing));
    struct tapsi_ws_upgrade upgrade;
    size_t here = taps_framing_available(framing), length;
    const uint8_t *bytes;
    if (here > TAPSI_WS_HEAD_LIMIT)
        here = TAPSI_WS_HEAD_LIMIT;
    int found = here ? taps_framing_parse(framing, here, here, &bytes, &length) : 0;
    if (found < 0)
        return found;
    const char *head = (const char *)bytes;
    size_t end = found ? tapsi_ws_head_end(head, here, &ws->scanned) : 0;
    if (!end)
        return head_incomplete(framing, ws, here);
    if (ws->server)
        tapsi_ws_request_read(head, end, &wishes, &upgrade);
    else
        tapsi_ws_response_read(head, end, &wishes, ws->key, &upgrade);
    int err = ws->server ? take_request(framing, ws, &upgrade) : take_response(framing, ws, &upgrade);
    taps_framing_advance(framing, end);
    return err;
}

/* ----------------------------------------------------------------------------------------------- definition */

static int start(taps_framing *framing)
{
    struct tapsi_ws *ws = taps_framing_state(framing);
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    if (taps_framing_is_datagram(framing))
        return taps_framing_fail(framing, TAPS_E_CONFIGURATION, "it needs a stream below");
    ws->server = taps_framing_is_server(framing);
    int err = options->handshake_timeout_ms ? taps_framing_wake_after(framing, options->handshake_timeout_ms) : 0;
    return err || ws->server ? err : send_request(framing, ws);
}

static int handle_received_data(taps_framing *framing)
{
    struct tapsi_ws *ws = taps_framing_state(framing);
    ws->heard = true;
    return ws->open ? tapsi_ws_receive(framing, ws) : shake_hands(framing, ws);
}

static int new_sent_message(taps_framing *framing, const struct taps_sent_message *message)
{
    return tapsi_ws_send(framing, taps_framing_state(framing), message);
}

static int watch_peer(taps_framing *framing, struct tapsi_ws *ws)
{
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    uint64_t next = options->ping_interval_ms;
    int err = 0;
    if (ws->sent_close)
        return 0;
    if (taps_framing_is_held_up(framing)) /* the peer's answer may lie behind what nobody has asked for */
        ws->heard = true;
    if (ws->pinged && !ws->heard)
        return taps_framing_fail(framing, TAPS_E_TIMEOUT, "the peer did not answer a ping within %llu ms",
                                 (unsigned long long)options->ping_timeout_ms);
    ws->pinged = !ws->heard;
    if (ws->pinged) {
        err = tapsi_ws_send_control(framing, ws, TAPSI_WS_PING, NULL, 0);
        next = options->ping_timeout_ms;
    }
    ws->heard = false;
    return err ? err : taps_framing_wake_after(framing, next);
}

static int wakeup(taps_framing *framing)
{
    struct tapsi_ws *ws = taps_framing_state(framing);
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    if (ws->stopped) {
        taps_framing_make_closed(framing);
        return 0;
    }
    if (!ws->open)
        return taps_framing_fail(framing, TAPS_E_TIMEOUT, "the handshake was not done within %llu ms",
                                 (unsigned long long)options->handshake_timeout_ms);
    return watch_peer(framing, ws);
}

static int stop(taps_framing *framing)
{
    struct tapsi_ws *ws = taps_framing_state(framing);
    const struct tapsi_ws_options *options = taps_framing_options(framing);
    ws->stopped = true;
    int err = ws->open ? tapsi_ws_send_close(framing, ws, TAPSI_WS_NORMAL, "") : 0;
    if (err || !ws->open || ws->got_close || !options->close_timeout_ms) {
        taps_framing_make_closed(framing);
        return err;
    }
    return taps_framing_wake_after(framing, options->close_timeout_ms);
}

static void done(taps_framing *framing)
{
    struct tapsi_ws *ws = taps_framing_state(framing);
    if (ws->deflate)
        tapsi_ws_deflate_done(&ws->streams);
}

const struct taps_framer_definition tapsi_framer_websocket = {
    .name = "websocket",
    .flags = TAPS_FRAMER_ENDS_ITSELF | TAPS_FRAMER_TAKES_PARTS | TAPS_FRAMER_READS_AHEAD,
    .options_size = sizeof(struct tapsi_ws_options),
    .state_size = sizeof(struct tapsi_ws),
    .defaults = defaults,
    .set = set,
    .start = start,
    .new_sent_message = new_sent_message,
    .handle_received_data = handle_received_data,
    .wakeup = wakeup,
    .stop = stop,
    .done = done,
};
