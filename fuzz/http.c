/*
 * The Framer "http", in one of two ways.
 *
 * Read: the input is what a peer sends, to a client that has asked several things or to a server. The Messages are the
 * same however the bytes are split, it ends at most once and says why, and no more of a head is held than is allowed.
 *
 * Write: the input is metadata and bodies, of requests and of their responses, whole or in parts. What a client has
 * taken a server understands, and the other way: with the same bytes, and the same fields.
 */
#include <stdio.h>
#include "input.h"
#include "message/framer_http.h"
#include "stack/framer/test_framing.h"
#include "support.h"

#define STREAM_MAX   ((size_t)8000) /* fewer Messages than the harness holds */
#define EXCHANGES    4
#define LINES_MAX    20
#define PARTS_MAX    5
#define SMALL_LIMITS "http:head-maximum=300,fields-maximum=5,body-maximum=1000,pipeline-maximum=3,interim=deliver"

static struct test_framing ends[2];

/* ------------------------------------------------------------------------------------------------------- reading */

static void send_words(struct test_framing *t, const char *const *words)
{
    struct tapsi_meta *meta = NULL;
    for (; *words; words += 2)
        CHECK_INT(tapsi_meta_add(&meta, &t->mem, "http", words[0], words[1]), 0);
    test_framing_send(t, "", 0, TAPSI_OP_END, meta);
    tapsi_meta_unref(meta);
}

static void ask(struct test_framing *t, unsigned which)
{
    static const char *const words[][6] = {
        {NULL},
        {"method", "HEAD", NULL},
        {"Expect", "100-continue", NULL},
        {"Upgrade", "x", "Connection", "upgrade", NULL},
        {"method", "CONNECT", "target", "a:1", NULL},
        {"Connection", "close", NULL},
    };
    send_words(t, words[which % (sizeof(words) / sizeof(words[0]))]);
}

static void check_end(const struct test_framing *t)
{
    CHECK(t->closed <= 1 && t->ends <= 1);
    if (t->closed && t->error.pub.code)
        CHECK(t->error.text[0] && t->error.pub.code < 0);
    if (!t->top)
        return;
    const struct tapsi_http_state *s = taps_framing_state(tapsi_adapter_of(t->top)->framing);
    const struct tapsi_http_options *o = taps_framing_options(tapsi_adapter_of(t->top)->framing);
    CHECK(s->receiving.text_size <= o->head_maximum);
    CHECK(s->pending.count <= o->pipeline_maximum);
}

static void read_stream(struct test_framing *t, unsigned choice, unsigned asks, const uint8_t *bytes, size_t length,
                        size_t step)
{
    test_framing_open_text(t, choice & 2 ? SMALL_LIMITS : "http", choice & 1);
    for (unsigned i = 0; !(choice & 1) && i < EXCHANGES; i++)
        ask(t, asks >> (4 * i) & 15);
    test_framing_feed_split(t, bytes, length, step);
    if (choice & 4)
        test_framing_end(t);
    check_end(t);
}

static size_t complete(const struct test_framing *t)
{
    return t->count && !t->messages[t->count - 1].complete ? t->count - 1 : t->count;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same_meta(const struct tapsi_meta *a, const struct tapsi_meta *b)
{
    const char *space, *key[2], *value[2];
    bool more = true;
    for (size_t i = 0; more; i++) {
        more = tapsi_meta_at(a, NULL, i, &space, &key[0], &value[0]);
        CHECK(tapsi_meta_at(b, NULL, i, &space, &key[1], &value[1]) == more);
        if (more)
            CHECK(strcmp(key[0], key[1]) == 0 && strcmp(value[0], value[1]) == 0);
    }
}

static void check_same(const struct test_framing *a, const struct test_framing *b)
{
    CHECK_INT(complete(a), complete(b));
    CHECK_INT(a->closed, b->closed);
    CHECK_INT(a->error.pub.code, b->error.pub.code);
    CHECK_INT(a->ends, b->ends);
    for (size_t i = 0; i < complete(a) && i < complete(b); i++) {
        CHECK(test_framing_got(a, i, b->messages[i].data, b->messages[i].length));
        check_same_meta(a->messages[i].meta, b->messages[i].meta);
    }
}

static void read_input(struct fuzz_input *in, unsigned choice)
{
    unsigned asks = (unsigned)fuzz_number(in, 2);
    size_t step = 1 + fuzz_below(in, 32), length;
    const uint8_t *bytes = fuzz_bytes(in, STREAM_MAX, &length);
    read_stream(&ends[0], choice, asks, bytes, length, length + 1);
    read_stream(&ends[1], choice, asks, bytes, length, step);
    check_same(&ends[0], &ends[1]);
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
        more = value && strlen(line) < 200;
        if (more) {
            *value = '\0';
            CHECK_INT(tapsi_meta_add(&meta, &t->mem, "http", line, value + 1), 0);
        }
        free(line);
    }
    return meta;
}

struct written {
    char body[PARTS_MAX * 256];
    size_t length;
    bool complete;
};

/* One Message; false: not one was taken whole. */
static bool write_message(struct fuzz_input *in, struct test_framing *t, struct written *w)
{
    struct tapsi_meta *meta = read_meta(in, t);
    unsigned parts = 1 + fuzz_below(in, PARTS_MAX), refused = 0;
    *w = (struct written){.length = 0};
    for (unsigned i = 0; i < parts && !refused; i++) {
        size_t length;
        const uint8_t *bytes = fuzz_bytes(in, fuzz_below(in, 256), &length);
        unsigned flags = (i ? TAPSI_OP_CONTINUES : 0u) | (i + 1 == parts ? TAPSI_OP_END : 0u);
        refused = test_framing_send(t, bytes, length, flags, meta) != 0;
        if (refused)
            break;
        if (length)
            memcpy(w->body + w->length, bytes, length);
        w->length += length;
        w->complete = flags & TAPSI_OP_END;
    }
    tapsi_meta_unref(meta);
    return w->complete;
}

/* What `from` has written goes to `to`. */
static void carry(struct test_framing *from, struct test_framing *to)
{
    size_t length = from->out_length;
    char *bytes = fuzz_copy(from->out, length);
    test_framing_forget(from);
    test_framing_feed(to, bytes, length);
    free(bytes);
}

static const char *meta(const struct test_framing *t, size_t index, const char *key)
{
    return test_framing_meta(t, index, "http", key);
}

/* The other end understood: `expected` bytes, or none where HTTP has none. */
static void check_understood(const struct test_framing *to, size_t index, const struct written *w, bool no_body)
{
    CHECK_INT(to->error.pub.code, 0);
    CHECK(test_framing_got(to, index, w->body, no_body ? 0 : w->length));
}

static void write_input(struct fuzz_input *in, unsigned choice)
{
    struct test_framing *client = &ends[0], *server = &ends[1];
    struct written w;
    test_framing_open_text(client, "http:interim=deliver", false);
    test_framing_open_text(server, "http", true);
    size_t answers = 0, requests = 0;
    while (in->left && requests < EXCHANGES && write_message(in, client, &w)) {
        carry(client, server);
        check_understood(server, requests, &w, false);
        bool is_head = same_text(meta(server, requests++, "method"), "HEAD");
        bool answered = false, went = true;
        test_framing_forget(server); /* 100 (Continue) */
        while (!answered && went && in->left) {
            went = write_message(in, server, &w);
            if (!went)
                break;
            carry(server, client);
            const char *status = meta(client, answers, "status");
            CHECK(status && strlen(status) == 3);
            if (client->count == answers + 1 && client->messages[answers].complete)
                check_understood(client, answers, &w, is_head);
            answered = status[0] != '1' || strcmp(status, "101") == 0;
            answers++;
        }
        if (!answered || !client->top || !server->top || tapsi_adapter_of(client->top)->passing)
            break;
    }
    if (choice & 4)
        test_framing_end(client);
    check_end(client);
    check_end(server);
    test_framing_close(client);
    test_framing_close(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    fuzz_begin();
    unsigned choice = fuzz_below(&in, 16);
    if (choice & 8)
        write_input(&in, choice);
    else
        read_input(&in, choice);
    return 0;
}
