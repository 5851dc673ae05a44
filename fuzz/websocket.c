/*
 * The Framer websocket, in one of three ways, as a server or a client, with permessage-deflate or without.
 *
 * Shake hands: the input is what a peer sends instead of its head. Read: the handshake is done, and the input is what
 * follows. In both the Messages, the answers and the error are the same however the bytes are split, it ends at most
 * once and says why, and no Message is over the maximum.
 *
 * Write: Messages, whole or in parts, texts that may be none. What is taken comes out at the other end as it was.
 */
#include <stdio.h>
#include "input.h"
#include "message/framers.h"
#include "message/ws_handshake.h"
#include "stack/framer/test_framing.h"
#include "support.h"

#define STREAM_MAX ((size_t)1000) /* not more Messages than the harness holds */
#define MAXIMUM    20000
#define SENDS_MAX  40
#define BODY_MAX   600

#define REQUEST                                                                                                        \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"          \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

static const char *const options[] = {
    "websocket:maximum=20000",
    "websocket:maximum=20000,deflate=on,deflate-minimum=0",
    "websocket:maximum=20000,deflate=on,client-no-context-takeover=on,server-no-context-takeover=on,fragment=128",
    "websocket:maximum=20000,deflate=on,deflate-minimum=0,client-max-window-bits=9",
};

/* What a server with these says to REQUEST. */
static const char *const answers[] = {
    "",
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
};

static struct test_framing ends[2];

/* Chance is always the same, so the key is, and what answers it. */
static void answer(struct test_framing *t, unsigned choice)
{
    char accept[TAPSI_WS_ACCEPT_SIZE] = "", text[512];
    size_t scanned = 0, length = tapsi_ws_head_end((char *)t->out, t->out_length, &scanned);
    struct tapsi_ws_span rest = {(char *)t->out, length}, name, value;
    const char *line = memmem(rest.at, length, "\r\n", 2);
    CHECK(line);
    rest.length -= (size_t)(line + 2 - rest.at);
    rest.at = line + 2;
    while (tapsi_ws_field_next(&rest, &name, &value)) {
        if (tapsi_ws_span_is(name, "Sec-WebSocket-Key"))
            CHECK_INT(tapsi_ws_accept(value, accept), 0);
    }
    const char *extension = answers[choice];
    snprintf(text, sizeof(text),
             "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
             accept, extension);
    test_framing_feed_text(t, text);
}

static void open_ready(struct test_framing *t, unsigned choice, bool server)
{
    test_framing_open_text(t, options[choice], server);
    if (server)
        test_framing_feed_text(t, REQUEST);
    else
        answer(t, choice);
    CHECK_INT(t->ready, 1);
    test_framing_forget(t);
}

/* ------------------------------------------------------------------------------------------------------- reading */

static size_t complete(const struct test_framing *t)
{
    return t->count && !t->messages[t->count - 1].complete ? t->count - 1 : t->count;
}

static void check_end(const struct test_framing *t)
{
    CHECK(t->closed <= 1 && t->ends <= 1);
    if (t->closed && t->error.pub.code)
        CHECK(t->error.pub.code < 0 && t->error.text[0]);
    for (size_t i = 0; i < t->count; i++)
        CHECK(t->messages[i].length <= MAXIMUM);
}

static void check_same(const struct test_framing *a, const struct test_framing *b)
{
    CHECK_INT(complete(a), complete(b));
    CHECK_INT(a->error.pub.code, b->error.pub.code);
    CHECK_TEXT(a->error.text, b->error.text);
    CHECK_INT(a->ends, b->ends);
    CHECK_INT(a->ready, b->ready);
    CHECK_INT(a->out_length, b->out_length);
    CHECK(!a->out_length || memcmp(a->out, b->out, a->out_length) == 0);
    for (size_t i = 0; i < complete(a); i++)
        CHECK(test_framing_got(a, i, b->messages[i].data, b->messages[i].length));
}

static void read_input(struct fuzz_input *in, unsigned choice, bool server, bool shaken)
{
    size_t steps[2] = {STREAM_MAX, 1 + fuzz_below(in, 32)}, length;
    bool ends_then = fuzz_bool(in);
    const uint8_t *bytes = fuzz_bytes(in, STREAM_MAX, &length);
    for (int i = 0; i < 2; i++) {
        if (shaken)
            open_ready(&ends[i], choice, server);
        else
            test_framing_open_text(&ends[i], options[choice], server);
        test_framing_feed_split(&ends[i], bytes, length, steps[i]);
        if (ends_then)
            test_framing_end(&ends[i]);
        check_end(&ends[i]);
    }
    check_same(&ends[0], &ends[1]);
    for (int i = 0; i < 2; i++)
        test_framing_close(&ends[i]);
}

/* ------------------------------------------------------------------------------------------------------- writing */

struct written {
    uint8_t *body;
    size_t length;
    bool text;
};

static struct written done[SENDS_MAX];

/* False: the Connection has failed, in a later part. */
static bool send_parts(struct fuzz_input *in, struct test_framing *t, const struct written *w, bool *ret_complete)
{
    struct tapsi_meta *meta = NULL;
    unsigned parts = 1 + fuzz_below(in, 4);
    size_t at = 0;
    int err = 0;
    CHECK_INT(tapsi_meta_add(&meta, &t->mem, "websocket", "type", w->text ? "text" : "binary"), 0);
    for (unsigned i = 0; !err && i < parts; i++) {
        bool last = i + 1 == parts;
        size_t length = last ? w->length - at : fuzz_below(in, (unsigned)(w->length - at) + 1);
        unsigned flags = (i ? TAPSI_OP_CONTINUES : 0u) | (last ? TAPSI_OP_END : 0u);
        err = test_framing_send(t, w->body + at, length, flags, i ? NULL : meta);
        at += length;
    }
    tapsi_meta_unref(meta);
    CHECK(!err || (w->text && (err == TAPS_E_MESSAGE_PROPERTIES || err == TAPS_E_CLOSED)));
    *ret_complete = !err;
    return !err || parts == 1;
}

static size_t write_all(struct fuzz_input *in, struct test_framing *t)
{
    size_t count = 0;
    bool goes_on = true;
    while (in->left && goes_on && count < SENDS_MAX) {
        struct written *w = &done[count];
        bool taken;
        unsigned choice = fuzz_below(in, 4);
        size_t length, times = choice & 2 ? 1 + fuzz_below(in, 30) : 1;
        const uint8_t *bytes = fuzz_bytes(in, fuzz_below(in, BODY_MAX), &length);
        *w = (struct written){malloc(length * times + 1), length * times, choice & 1};
        for (size_t i = 0; w->body && i < times && length; i++)
            memcpy(w->body + i * length, bytes, length);
        goes_on = w->body && send_parts(in, t, w, &taken);
        if (goes_on && taken)
            count++;
        else
            free(w->body);
    }
    return count;
}

static void write_input(struct fuzz_input *in, unsigned choice, bool server)
{
    size_t step = 1 + fuzz_below(in, 256);
    open_ready(&ends[0], choice, server);
    open_ready(&ends[1], choice, !server);
    size_t count = write_all(in, &ends[0]);
    test_framing_feed_split(&ends[1], ends[0].out, ends[0].out_length, step);
    CHECK_INT(ends[1].closed, ends[0].closed && ends[1].closed);
    CHECK_INT(complete(&ends[1]), count);
    for (size_t i = 0; i < count; i++) {
        CHECK(test_framing_got(&ends[1], i, done[i].body, done[i].length));
        CHECK_TEXT(test_framing_meta(&ends[1], i, "websocket", "type"), done[i].text ? "text" : "binary");
        free(done[i].body);
    }
    for (int i = 0; i < 2; i++)
        test_framing_close(&ends[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    fuzz_begin();
    unsigned way = fuzz_below(&in, 4), choice = fuzz_below(&in, 4);
    bool server = fuzz_bool(&in);
    if (way == 3)
        write_input(&in, choice, server);
    else
        read_input(&in, choice, server, way > 0);
    return 0;
}
