/*
 * The adapter of Framers, with one to three of the library's Framers on each other, over a stream or over datagrams.
 * The input chooses them, and then what happens: bytes of the peer, in slices; Messages, whole, in parts, final; credit
 * that comes late; a wire that stalls; time; resume; the peer's end, its reset, Close. It ends at most once, an error
 * has words, every Message that was taken is done once unless the stack was destroyed before, and nothing is left (the
 * sanitizers see to that).
 */
#include "input.h"
#include "stack/framer/test_framing.h"
#include "support.h"

#define ACTIONS_MAX 400
#define BYTES_MAX   600
#define SENT_MAX    200

static const char *const texts[] = {
    "length-prefix:length=1,maximum=300",
    "length-prefix:length=2,order=little,includes-head",
    "length-prefix:length=varint,maximum=1000",
    "length-prefix:length=quic",
    "delimiter:maximum=200",
    "delimiter:delimiter=crlf,accept-lf,unterminated=deliver",
    "netstring:maximum=500",
    "tlv:type=1,length=1,default-type=7",
    "http:head-maximum=400",
    "websocket:maximum=1000",
    "websocket:maximum=1000,deflate=on",
    "mqtt:client-id=a",
    "starttls:protocol=smtp",
    "starttls:protocol=imap",
};
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

static struct test_framing t;
static unsigned taken;
static bool peer_ended; /* after that a stream brings nothing more */

static void open_ends(struct fuzz_input *in)
{
    taps_framer *framers[3];
    unsigned count = 1 + fuzz_below(in, 3), made = 0, shape = fuzz_below(in, 8);
    for (unsigned i = 0; i < count; i++) {
        const char *text = texts[fuzz_below(in, TEXTS)];
        int err = taps_framer_new_text(text, &framers[made]);
        if (err)
            tapsi_test_fail(__FILE__, __LINE__, "no Framer %s", text);
        made += !err;
    }
    test_framing_open(&t, (const taps_framer *const *)framers, made, shape & 1, shape & 2);
    t.stingy = shape & 4;
    while (made)
        taps_framer_free(framers[--made]);
}

static void send_message(struct fuzz_input *in)
{
    unsigned how = fuzz_below(in, 8);
    size_t length;
    const uint8_t *bytes = fuzz_bytes(in, fuzz_below(in, SENT_MAX), &length);
    unsigned flags = (how & 1 ? TAPSI_OP_CONTINUES : 0u) | (how & 2 ? 0u : (unsigned)TAPSI_OP_END);
    if (how == 4)
        flags |= TAPSI_OP_FINAL;
    char *copy = fuzz_copy(bytes, length);
    taken += t.top != NULL;
    test_framing_send(&t, copy, length, flags, NULL);
    free(copy);
}

static void feed(struct fuzz_input *in)
{
    size_t length, step = 1 + fuzz_below(in, 64);
    const uint8_t *bytes = fuzz_bytes(in, fuzz_below(in, BYTES_MAX), &length);
    char *copy = fuzz_copy(bytes, length);
    if (!peer_ended)
        test_framing_feed_split(&t, copy, length, step);
    free(copy);
}

static void resume(void)
{
    struct taps_framing *f = t.top ? tapsi_adapter_of(t.top)->framing : NULL;
    if (f)
        taps_framing_resume(f);
    test_framing_turn(&t);
}

static bool act(struct fuzz_input *in, bool *shut)
{
    switch (fuzz_below(in, 12)) {
    case 0:
        send_message(in);
        return true;
    case 1:
        if (t.top)
            tapsi_layer_want(t.top, fuzz_below(in, 300));
        test_framing_turn(&t);
        return true;
    case 2:
        t.stalled = !t.stalled;
        if (t.wire && !t.stalled)
            tapsi_layer_dirty(t.wire);
        test_framing_turn(&t);
        return true;
    case 3:
        test_framing_pass(&t, fuzz_number(in, 2));
        return true;
    case 4:
        resume();
        return true;
    case 5:
        if (!peer_ended)
            test_framing_end(&t);
        peer_ended = true;
        return true;
    case 6:
        if (!*shut && t.top && t.top->state == TAPSI_LAYER_READY)
            test_framing_shut(&t);
        *shut = true;
        return true;
    case 7:
        test_framing_reset(&t);
        return true;
    case 8:
        return false;
    default:
        feed(in);
        return true;
    }
}

static void check(void)
{
    CHECK(t.closed <= 1 && t.ends <= 1 && t.ready <= 1);
    CHECK(t.sent + t.expired + t.refused <= taken);
    if (t.closed && t.error.pub.code)
        CHECK(t.error.pub.code < 0 && t.error.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    bool shut = false, more = true;
    fuzz_begin();
    taken = 0;
    peer_ended = false;
    open_ends(&in);
    t.keeps = false;
    for (int i = 0; i < ACTIONS_MAX && more && in.left; i++)
        more = act(&in, &shut);
    check();
    test_framing_close(&t);
    check();
    return 0;
}
