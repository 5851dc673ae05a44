/*
 * The Framer "starttls", for each of its protocols, in one of two ways.
 *
 * Read: the input is what a peer sends before TLS, to a client or a server. It ends at most once and says why; where
 * security follows, nothing that came in one piece with the conversation gets above it; and where it was not ready yet,
 * it is the same however the bytes are split.
 *
 * Between two of them: they come to TLS, whatever their names are and however the bytes are split, unless somebody puts
 * bytes between them, which neither takes for its own.
 */
#include <stdio.h>
#include "input.h"
#include "stack/framer/test_framing.h"
#include "support.h"

#define STREAM_MAX ((size_t)20000)

static const char *const protocols[] = {"smtp", "imap", "pop3", "postgresql"};

static struct test_framing ends[2];

static void open_end(struct test_framing *t, unsigned choice, bool server, bool secure)
{
    char text[64];
    snprintf(text, sizeof(text), "starttls:protocol=%s,name=a.test", protocols[choice & 3]);
    if (secure)
        test_framing_open_secure(t, text, server);
    else
        test_framing_open_text(t, text, server);
}

static void check_end(const struct test_framing *t)
{
    CHECK(t->closed <= 1 && t->ends <= 1 && t->ready <= 1);
    if (t->closed && t->error.pub.code)
        CHECK(t->error.text[0] && t->error.pub.code < 0);
    for (const char *at = t->error.text; t->closed && *at; at++)
        CHECK(*at >= ' ' && *at <= '~'); /* whatever the peer has said */
}

/* --------------------------------------------------------------------------------------------------------- reading */

static void read_stream(struct test_framing *t, unsigned choice, const uint8_t *bytes, size_t length, size_t step)
{
    open_end(t, choice, choice & 4, choice & 8);
    test_framing_feed_split(t, bytes, length, step);
    if (choice & 16)
        test_framing_end(t);
    check_end(t);
}

static void read_input(struct fuzz_input *in, unsigned choice)
{
    size_t step = 1 + fuzz_below(in, 64), length;
    const uint8_t *bytes = fuzz_bytes(in, STREAM_MAX, &length);
    const struct test_framing *whole = &ends[0], *split = &ends[1];
    read_stream(&ends[0], choice, bytes, length, length + 1);
    read_stream(&ends[1], choice, bytes, length, step);
    if (choice & 8)
        CHECK_INT(whole->bytes, 0);
    if (!split->ready || !(choice & 8)) {
        CHECK_INT(whole->ready, split->ready);
        CHECK_INT(whole->bytes, split->bytes);
        CHECK_INT(whole->error.pub.code, split->error.pub.code);
        CHECK(whole->out_length == split->out_length &&
              (!whole->out_length || memcmp(whole->out, split->out, whole->out_length) == 0));
    }
    for (int i = 0; i < 2; i++)
        test_framing_close(&ends[i]);
}

/* ----------------------------------------------------------------------------------------------------- both ends */

static bool carry(int side, size_t step)
{
    struct test_framing *from = &ends[side], *to = &ends[!side];
    size_t length = from->out_length;
    char *bytes = fuzz_copy(from->out, length);
    test_framing_forget(from);
    test_framing_feed_split(to, bytes, length, step);
    free(bytes);
    return length > 0;
}

static void between(struct fuzz_input *in, unsigned choice)
{
    size_t step = 1 + fuzz_below(in, 64), length;
    int steps = 0, when = choice & 4 ? (int)fuzz_below(in, 8) : -1, side = fuzz_below(in, 2) == 1;
    const uint8_t *bytes = fuzz_bytes(in, 200, &length);
    open_end(&ends[0], choice, false, choice & 8);
    open_end(&ends[1], choice, true, choice & 8);
    for (int idle = 0; idle < 4 && steps < 40; steps++) {
        if (steps == when)
            test_framing_feed(&ends[side], bytes, length);
        idle = carry(steps % 2 == 0, step) ? 0 : idle + 1;
    }
    for (int i = 0; i < 2; i++) {
        check_end(&ends[i]);
        if (when < 0)
            CHECK(ends[i].ready == 1 && !ends[i].closed && !ends[i].bytes);
    }
    for (int i = 0; i < 2; i++)
        test_framing_close(&ends[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    fuzz_begin();
    unsigned choice = fuzz_below(&in, 64);
    if (choice & 32)
        between(&in, choice);
    else
        read_input(&in, choice);
    return 0;
}
