/*
 * parcel/1. Both ends first say "parcel/1" and a line feed. Then records follow: their kind (1 byte), their length (2,
 * the high one first), and so many bytes.
 *
 *     A to Z   a Message of the application, which sees the kind as metadata
 *     p, q     are you there? yes
 *     e        the end: nothing follows
 */
#include "parcel.h"

#include <stdlib.h>
#include <string.h>

static const char greeting[] = "parcel/1\n";
enum { GREETING = sizeof(greeting) - 1, HEAD = 3, LONGEST = 65535 };

/* [memory] */
struct options {
    uint64_t idle_ms; /* after so much silence the peer is asked */
};

struct state { /* zeroed before start */
    bool greeted, ended;
};

static void defaults(void *memory)
{
    ((struct options *)memory)->idle_ms = 60000;
}

static int set(void *memory, const char *key, const char *value)
{
    char *end;
    unsigned long seconds = strtoul(value, &end, 10);
    if (strcmp(key, "idle") != 0)
        return TAPS_E_UNKNOWN_PROPERTY;
    if (*value < '0' || *value > '9' || *end || seconds == 0 || seconds > 86400)
        return TAPS_E_RANGE;
    ((struct options *)memory)->idle_ms = seconds * 1000;
    return 0;
}
/* [/memory] */

/* [sending] */
static int send_head(taps_framing *f, char kind, size_t length)
{
    uint8_t head[HEAD] = {(uint8_t)kind, (uint8_t)(length >> 8), (uint8_t)length};
    return taps_framing_send(f, head, sizeof(head));
}

static int new_sent_message(taps_framing *f, const struct taps_sent_message *message)
{
    struct state *state = taps_framing_state(f);
    const char *kind = taps_framing_message_metadata(f, "kind");
    if (!kind || kind[0] < 'A' || kind[0] > 'Z' || kind[1])
        return taps_framing_refuse(f, TAPS_E_MESSAGE_PROPERTIES, "its kind must be A to Z");
    if (message->length > LONGEST)
        return taps_framing_refuse(f, TAPS_E_MESSAGE_TOO_LARGE, "%zu bytes, and the most is %d", message->length,
                                   LONGEST);
    int err = send_head(f, kind[0], message->length);
    if (!err)
        err = taps_framing_send_message(f); /* the bytes themselves, wherever they lie: no copy */
    if (!err && message->final)
        err = send_head(f, 'e', 0);
    state->ended = !err && message->final;
    return err;
}
/* [/sending] */

/* [start] */
static int start(taps_framing *f)
{
    return taps_framing_send(f, greeting, GREETING);
}

static int greet(taps_framing *f)
{
    const struct options *options = taps_framing_options(f);
    struct state *state = taps_framing_state(f);
    const uint8_t *bytes;
    size_t there;
    int result = taps_framing_parse(f, GREETING, GREETING, &bytes, &there);
    if (result <= 0)
        return result; /* 0: the rest is to come, and then this is called again */
    if (memcmp(bytes, greeting, GREETING) != 0)
        return taps_framing_fail(f, TAPS_E_PROTOCOL, "the peer does not speak parcel/1");
    taps_framing_advance(f, GREETING);
    state->greeted = true;
    taps_framing_make_ready(f);
    return taps_framing_wake_after(f, options->idle_ms);
}
/* [/start] */

/* [receiving] */
static int take_message(taps_framing *f, char kind, size_t length)
{
    const char text[] = {kind, '\0'};
    int err = taps_framing_add_metadata(f, "kind", text);
    return err ? err : taps_framing_deliver_and_advance(f, length, true); /* also bytes that are yet to come */
}

static int take_record(taps_framing *f)
{
    const uint8_t *bytes;
    size_t there;
    int result = taps_framing_parse(f, HEAD, HEAD, &bytes, &there);
    if (result <= 0)
        return result;
    char kind = (char)bytes[0];
    size_t length = (size_t)bytes[1] << 8 | bytes[2];
    taps_framing_advance(f, HEAD); /* and `bytes` shows nothing any more */
    if (kind >= 'A' && kind <= 'Z')
        return take_message(f, kind, length);
    if (kind == 'p' && length == 0)
        return send_head(f, 'q', 0);
    if (kind == 'e' && length == 0)
        return taps_framing_deliver_end(f);
    if (kind == 'q' && length == 0)
        return 0;
    return taps_framing_fail(f, TAPS_E_DEFRAMING, "a record of kind 0x%02x with %zu bytes", (uint8_t)kind, length);
}

static int handle_received_data(taps_framing *f)
{
    const struct state *state = taps_framing_state(f);
    return state->greeted ? take_record(f) : greet(f);
}
/* [/receiving] */

/* [end] */
static int wakeup(taps_framing *f)
{
    const struct options *options = taps_framing_options(f);
    int err = send_head(f, 'p', 0);
    return err ? err : taps_framing_wake_after(f, options->idle_ms);
}

static int stop(taps_framing *f)
{
    const struct state *state = taps_framing_state(f);
    int err = state->ended ? 0 : send_head(f, 'e', 0);
    taps_framing_make_closed(f);
    return err;
}
/* [/end] */

/* [definition] */
const struct taps_framer_definition parcel = {
    .name = "parcel",
    .flags = TAPS_FRAMER_ENDS_ITSELF, /* 'e' is the end of a direction */
    .options_size = sizeof(struct options),
    .state_size = sizeof(struct state),
    .defaults = defaults,
    .set = set,
    .start = start,
    .new_sent_message = new_sent_message,
    .handle_received_data = handle_received_data,
    .wakeup = wakeup,
    .stop = stop,
};
/* [/definition] */
