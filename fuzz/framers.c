/*
 * The Framers length-prefix, delimiter, netstring and tlv, with options from the input, in one of three ways.
 *
 * Read: the input is what a peer sends. The Messages are the same however the bytes are split, it ends at most once and
 * says why, and less than a head or a delimiter is held.
 *
 * Datagrams: the same as datagrams, none of which ends the Connection, or is taken for a part of another one.
 *
 * Write: Messages, whole or in parts, with metadata that may be wrong. Of what is refused nothing is sent, and what was
 * taken comes out at the other end as it was.
 */
#include <stdio.h>
#include "input.h"
#include "message/framers.h"
#include "stack/framer/test_framing.h"
#include "support.h"

#define STREAM_MAX ((size_t)500) /* not more Messages than the harness holds */
#define HELD_MAX   32
#define SENDS_MAX  40
#define BODY_MAX   600

static const char *const names[] = {"length-prefix", "delimiter", "netstring", "tlv"};

static struct test_framing ends[2];

/* NULL: the options are none. */
static taps_framer *read_framer(struct fuzz_input *in)
{
    taps_framer *framer = NULL;
    char *line = fuzz_line(in), text[400];
    snprintf(text, sizeof(text), "%s:%s", names[fuzz_below(in, 4)], line);
    free(line);
    int err = taps_framer_new_text(text, &framer);
    CHECK(err == 0 || err == TAPS_E_RANGE || err == TAPS_E_UNKNOWN_PROPERTY);
    CHECK(!err == (framer != NULL));
    return framer;
}

static void open_end(struct test_framing *t, const taps_framer *framer, bool server, bool datagram)
{
    test_framing_open(t, &framer, 1, server, datagram);
}

static void check_end(const struct test_framing *t)
{
    CHECK(t->closed <= 1 && t->ends <= 1 && t->closed + t->ends <= 1);
    if (t->closed)
        CHECK(t->error.pub.code < 0 && t->error.text[0]);
    else if (t->top)
        CHECK(tapsi_adapter_of(t->top)->framing->held < HELD_MAX);
}

static size_t complete(const struct test_framing *t)
{
    return t->count && !t->messages[t->count - 1].complete ? t->count - 1 : t->count;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ------------------------------------------------------------------------------------------------------- reading */

static void read_stream(struct test_framing *t, const taps_framer *framer, const uint8_t *bytes, size_t length,
                        size_t step, bool ends_then)
{
    open_end(t, framer, true, false);
    test_framing_feed_split(t, bytes, length, step);
    if (ends_then)
        test_framing_end(t);
    check_end(t);
}

static void read_input(struct fuzz_input *in, const taps_framer *framer)
{
    size_t step = 1 + fuzz_below(in, 32), length;
    bool ends_then = fuzz_bool(in);
    const uint8_t *bytes = fuzz_bytes(in, STREAM_MAX, &length);
    read_stream(&ends[0], framer, bytes, length, length + 1, ends_then);
    read_stream(&ends[1], framer, bytes, length, step, ends_then);
    CHECK_INT(complete(&ends[0]), complete(&ends[1]));
    CHECK_INT(ends[0].error.pub.code, ends[1].error.pub.code);
    CHECK_INT(ends[0].ends, ends[1].ends);
    for (size_t i = 0; i < complete(&ends[0]); i++) {
        const struct test_message *other = &ends[1].messages[i];
        CHECK(test_framing_got(&ends[0], i, other->data, other->length));
        CHECK(same_text(test_framing_meta(&ends[0], i, "tlv", "type"), test_framing_meta(&ends[1], i, "tlv", "type")));
    }
    for (int i = 0; i < 2; i++)
        test_framing_close(&ends[i]);
}

static void read_datagrams(struct fuzz_input *in, const taps_framer *framer)
{
    size_t fed = 0;
    open_end(&ends[0], framer, true, true);
    while (in->left && fed < STREAM_MAX) {
        size_t length, before = ends[0].count;
        const uint8_t *bytes = fuzz_bytes(in, fuzz_below(in, 64), &length);
        open_end(&ends[1], framer, true, true);
        test_framing_feed(&ends[0], bytes, length);
        test_framing_feed(&ends[1], bytes, length);
        CHECK_INT(ends[0].closed, 0);
        CHECK_INT(ends[0].count - before, ends[1].count);
        for (size_t i = before; i < ends[0].count; i++) {
            CHECK(ends[0].messages[i].complete);
            CHECK(test_framing_got(&ends[1], i - before, ends[0].messages[i].data, ends[0].messages[i].length));
        }
        test_framing_close(&ends[1]);
        fed += length + 1;
    }
    test_framing_close(&ends[0]);
}

/* ------------------------------------------------------------------------------------------------------- writing */

struct written {
    uint8_t *body;
    size_t length;
    char type[24];
};

static struct written done[SENDS_MAX];

/* False: a part of a Message that has begun was refused, so nothing can follow it. */
static bool send_parts(struct fuzz_input *in, struct test_framing *t, const struct written *w, struct tapsi_meta *meta,
                       bool *ret_complete)
{
    unsigned parts = 1 + fuzz_below(in, 4);
    size_t at = 0;
    for (unsigned i = 0; i < parts; i++) {
        bool last = i + 1 == parts;
        size_t length = last ? w->length - at : fuzz_below(in, (unsigned)(w->length - at) + 1);
        size_t before = t->out_length;
        int err = test_framing_send(t, w->body + at, length, (i ? TAPSI_OP_CONTINUES : 0u) | (last ? TAPSI_OP_END : 0u),
                                    i ? NULL : meta);
        at += length;
        if (err) {
            CHECK_INT(t->out_length, before);
            CHECK(err == TAPS_E_MESSAGE_PROPERTIES || err == TAPS_E_MESSAGE_TOO_LARGE);
            return i == 0;
        }
    }
    *ret_complete = true;
    return true;
}

static struct tapsi_meta *read_meta(struct fuzz_input *in, struct test_framing *t, struct written *w, const char *name)
{
    struct tapsi_meta *meta = NULL;
    char length[24];
    unsigned choice = fuzz_below(in, 8);
    snprintf(length, sizeof(length), "%zu", choice & 1 ? w->length : (size_t)fuzz_below(in, 700));
    if (choice & 2)
        CHECK_INT(tapsi_meta_add(&meta, &t->mem, name, "length", length), 0);
    if (choice & 4) {
        snprintf(w->type, sizeof(w->type), "%u", fuzz_below(in, 70000));
        CHECK_INT(tapsi_meta_add(&meta, &t->mem, name, "type", w->type), 0);
    }
    return meta;
}

static size_t write_all(struct fuzz_input *in, struct test_framing *t, const char *name, bool *ret_goes_on)
{
    size_t count = 0;
    bool goes_on = true;
    while (in->left && goes_on && count < SENDS_MAX) {
        struct written *w = &done[count];
        size_t length;
        const uint8_t *bytes = fuzz_bytes(in, fuzz_below(in, BODY_MAX), &length);
        bool taken = false;
        *w = (struct written){.body = (uint8_t *)fuzz_copy(bytes, length), .length = length};
        struct tapsi_meta *meta = read_meta(in, t, w, name);
        goes_on = send_parts(in, t, w, meta, &taken);
        tapsi_meta_unref(meta);
        count += taken;
        if (!taken)
            free(w->body);
    }
    *ret_goes_on = goes_on;
    return count;
}

static void write_input(struct fuzz_input *in, const taps_framer *framer)
{
    size_t step = 1 + fuzz_below(in, 256);
    bool goes_on;
    open_end(&ends[0], framer, false, false);
    open_end(&ends[1], framer, true, false);
    size_t count = write_all(in, &ends[0], taps_framer_name(framer), &goes_on);
    test_framing_feed_split(&ends[1], ends[0].out, ends[0].out_length, step);
    CHECK_INT(ends[1].closed, 0);
    /* What was announced may all be there before the part that was too much was refused. */
    CHECK(complete(&ends[1]) == count || (!goes_on && complete(&ends[1]) == count + 1));
    for (size_t i = 0; i < count; i++) {
        CHECK(test_framing_got(&ends[1], i, done[i].body, done[i].length));
        const char *type = test_framing_meta(&ends[1], i, "tlv", "type");
        CHECK(!type || !done[i].type[0] || strcmp(type, done[i].type) == 0);
        free(done[i].body);
    }
    for (int i = 0; i < 2; i++)
        test_framing_close(&ends[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    fuzz_begin();
    unsigned choice = fuzz_below(&in, 4);
    taps_framer *framer = read_framer(&in);
    if (framer && choice == 0)
        write_input(&in, framer);
    else if (framer && choice == 1)
        read_datagrams(&in, framer);
    else if (framer)
        read_input(&in, framer);
    taps_framer_free(framer);
    return 0;
}
