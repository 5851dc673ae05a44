/*
 * The Framer "mqtt", in one of two ways.
 *
 * Read: the input is what a peer sends, to a client that has asked several things or to a server. The Messages, and
 * what is answered, are the same however the bytes are split; it ends at most once and says why; no more is in flight
 * than is allowed.
 *
 * Write: the input is metadata and bodies. What a client has taken a server understands, and the other way; everything
 * is acknowledged, and Close brings DISCONNECT.
 */
#include "input.h"
#include "message/mqtt.h"
#include "stack/framer/test_framing.h"
#include "support.h"

#define STREAM_MAX ((size_t)1500) /* fewer Messages than the harness holds */
#define SENDS_MAX  30
#define LINES_MAX  8
#define BODY_MAX   400
#define CONNACK    "\x20\2\0\0"
#define CONNECT    "\x10\x0d\0\4MQTT\4\2\0\x0a\0\1c"

static struct test_framing ends[2];

static int send_words(struct test_framing *t, const char *body, const char *const *words)
{
    struct tapsi_meta *meta = NULL;
    for (; *words; words += 2)
        CHECK_INT(tapsi_meta_add(&meta, &t->mem, "mqtt", words[0], words[1]), 0);
    int err = test_framing_send(t, body, strlen(body), TAPSI_OP_END, meta);
    tapsi_meta_unref(meta);
    return err;
}

static void check_end(const struct test_framing *t)
{
    CHECK(t->closed <= 1 && t->ends <= 1);
    if (t->closed && t->error.pub.code)
        CHECK(t->error.text[0] && t->error.pub.code < 0);
    if (!t->top)
        return;
    const struct tapsi_mqtt *s = taps_framing_state(tapsi_adapter_of(t->top)->framing);
    const struct tapsi_mqtt_options *o = taps_framing_options(tapsi_adapter_of(t->top)->framing);
    CHECK(s->flights_used <= o->in_flight && s->flights_used <= s->flights_room);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ------------------------------------------------------------------------------------------------------- reading */

static const char *const options[] = {"mqtt:maximum=1000", "mqtt:subscribe=a/#\\,b,topic=t", "mqtt:raw,maximum=1000",
                                      "mqtt:user=a,password=b,client-id=c,clean-session=no,qos=2,topic=x"};

/* So that there is something to be acknowledged. */
static void ask(struct test_framing *t)
{
    static const char *const words[][10] = {
        {"topic", "t", "qos", "1", NULL},
        {"topic", "t", "qos", "2", NULL},
        {"topic", "t", "qos", "2", "packet-id", "258", NULL},
        {"type", "subscribe", "topic", "a", "topic", "b", "packet-id", "7", NULL},
        {"type", "unsubscribe", "topic", "a", "packet-id", "8", NULL},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        send_words(t, i < 3 ? "body" : "", words[i]);
}

static void read_stream(struct test_framing *t, unsigned choice, const uint8_t *bytes, size_t length, size_t step)
{
    bool server = choice & 1;
    test_framing_open_text(t, options[choice >> 1 & 3], server);
    if (choice & 8)
        test_framing_feed(t, server ? CONNECT : CONNACK, server ? sizeof(CONNECT) - 1 : sizeof(CONNACK) - 1);
    if (t->ready)
        ask(t);
    test_framing_feed_split(t, bytes, length, step);
    if (choice & 16)
        test_framing_end(t);
    check_end(t);
}

static size_t complete(const struct test_framing *t)
{
    return t->count && !t->messages[t->count - 1].complete ? t->count - 1 : t->count;
}

static void check_same_meta(const struct tapsi_meta *a, const struct tapsi_meta *b)
{
    const char *space, *key[2], *value[2];
    bool more = true;
    for (size_t i = 0; more; i++) {
        more = tapsi_meta_at(a, NULL, i, &space, &key[0], &value[0]);
        CHECK(tapsi_meta_at(b, NULL, i, &space, &key[1], &value[1]) == more);
        if (more)
            CHECK(same_text(key[0], key[1]) && same_text(value[0], value[1]));
    }
}

static void read_input(struct fuzz_input *in, unsigned choice)
{
    size_t step = 1 + fuzz_below(in, 32), length;
    const uint8_t *bytes = fuzz_bytes(in, STREAM_MAX, &length);
    const struct test_framing *a = &ends[0], *b = &ends[1];
    read_stream(&ends[0], choice, bytes, length, length + 1);
    read_stream(&ends[1], choice, bytes, length, step);
    CHECK_INT(complete(a), complete(b));
    CHECK_INT(a->ready, b->ready);
    CHECK_INT(a->closed, b->closed);
    CHECK_INT(a->error.pub.code, b->error.pub.code);
    CHECK_INT(a->ends, b->ends);
    CHECK(a->out_length == b->out_length && (!a->out_length || memcmp(a->out, b->out, a->out_length) == 0));
    for (size_t i = 0; i < complete(a) && i < complete(b); i++) {
        CHECK(test_framing_got(a, i, b->messages[i].data, b->messages[i].length));
        check_same_meta(a->messages[i].meta, b->messages[i].meta);
    }
    for (int i = 0; i < 2; i++)
        test_framing_close(&ends[i]);
}

/* ------------------------------------------------------------------------------------------------------- writing */

/* Lines "key=value" up to an empty one. */
static struct tapsi_meta *read_meta(struct fuzz_input *in, struct test_framing *t)
{
    struct tapsi_meta *meta = NULL;
    bool more = true;
    for (int i = 0; i < LINES_MAX && more; i++) {
        char *line = fuzz_line(in), *value = strchr(line, '=');
        more = value != NULL && strlen(line) < 100;
        if (more) {
            *value = '\0';
            CHECK_INT(tapsi_meta_add(&meta, &t->mem, "mqtt", line, value + 1), 0);
        }
        free(line);
    }
    return meta;
}

/* What each has written goes to the other, until neither says anything more. */
static void carry(size_t step)
{
    for (int side = 0, idle = 0; idle < 2; side = !side) {
        struct test_framing *from = &ends[side], *to = &ends[!side];
        size_t length = from->out_length;
        char *bytes = fuzz_copy(from->out, length);
        test_framing_forget(from);
        test_framing_feed_split(to, bytes, length, step);
        free(bytes);
        idle = length ? 0 : idle + 1;
    }
}

/* The last Message of `to` is what was sent, if it was taken. */
static void write_one(struct fuzz_input *in, int side, size_t step)
{
    struct test_framing *from = &ends[side], *to = &ends[!side];
    size_t length, before = to->count, sent = from->sent;
    struct tapsi_meta *meta = read_meta(in, from);
    const uint8_t *bytes = fuzz_bytes(in, fuzz_below(in, BODY_MAX), &length);
    int err = test_framing_send(from, bytes, length, TAPSI_OP_END, meta);
    CHECK(!err || err == TAPS_E_MESSAGE_PROPERTIES);
    CHECK(!err || !from->out_length);
    carry(step);
    CHECK_INT(from->sent - sent, !err);
    if (!err) {
        CHECK_INT(to->count, before + 1);
        CHECK(test_framing_got(to, before, bytes, length));
        CHECK(!tapsi_meta_get(meta, "mqtt", "topic") ||
              same_text(test_framing_meta(to, before, "mqtt", "topic"), tapsi_meta_get(meta, "mqtt", "topic")));
    }
    tapsi_meta_unref(meta);
    const struct tapsi_mqtt *s = taps_framing_state(tapsi_adapter_of(from->top)->framing);
    CHECK_INT(s->flights_used, 0);
}

static void write_input(struct fuzz_input *in)
{
    size_t step = 1 + fuzz_below(in, 64);
    test_framing_open_text(&ends[0], "mqtt:topic=t,in-flight=3", false);
    test_framing_open_text(&ends[1], "mqtt:topic=t,in-flight=3", true);
    carry(step);
    CHECK(ends[0].ready && ends[1].ready);
    for (int i = 0; i < SENDS_MAX && in->left; i++)
        write_one(in, fuzz_below(in, 2) == 1, step);
    test_framing_shut(&ends[0]);
    carry(step);
    CHECK_INT(ends[0].closed, 1);
    CHECK_INT(ends[0].error.pub.code, 0);
    CHECK_INT(ends[1].ends, 1);
    CHECK_INT(ends[1].closed, 0);
    for (int i = 0; i < 2; i++)
        test_framing_close(&ends[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    fuzz_begin();
    unsigned choice = fuzz_below(&in, 64);
    if (choice & 32)
        write_input(&in);
    else
        read_input(&in, choice);
    return 0;
}
