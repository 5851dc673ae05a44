/*
 * Two ends of TLS with the input between them: it says when which bytes go on, and changes, drops, repeats and invents
 * them; it sends, ends, closes and destroys at either end, and one allocation fails. Whatever happens, what an end
 * gets is a beginning of what the other end sent, and nothing comes after the end.
 */
#include "input.h"
#include "stack/tls/test_pair.h"
#include "support.h"

#define STEPS       200
#define PENDING_MAX (256 * 1024)
#define SENT_MAX    (512 * 1024)

struct middle {
    struct tapsi_test_pair pair;
    struct tapsi_test_stream *relays[2]; /* what the client, the server has sent gathers here */
    bool end_passed[2];
    size_t sent[2]; /* bytes that the client, the server gave to TLS */
    struct fuzz_input in;
};

/* Of the stream of bytes that each end sends, the one with this number. */
static uint8_t pattern(size_t number)
{
    return (uint8_t)(number * 31 + number / 251);
}

static struct tapsi_test_end *end_of(struct middle *m, int side)
{
    return side ? &m->pair.server : &m->pair.client;
}

static void put_between(struct middle *m)
{
    for (int side = 0; side < 2; side++) {
        struct tapsi_test_end *end = end_of(m, side);
        m->relays[side] = tapsi_test_stream_new(end->env, TAPSI_ROLE_SERVER, true);
        if (end->stream)
            end->stream->peer = m->relays[side];
    }
}

/* ---------------------------------------------------------------------------------------------------- the wire */

static void pass(struct middle *m, int side, size_t max)
{
    struct tapsi_test_stream *from = m->relays[side], *to = end_of(m, !side)->stream;
    if (!from)
        return;
    size_t count = from->end - from->begin;
    if (count > max)
        count = max;
    if (count && to && to->layer.state != TAPSI_LAYER_CLOSED)
        tapsi_test_stream_arrive(to, from->bytes + from->begin, count);
    from->begin += count;
    if (from->ended && from->begin == from->end && !m->end_passed[side]) {
        m->end_passed[side] = true;
        if (to && to->layer.state != TAPSI_LAYER_CLOSED)
            tapsi_test_stream_end(to);
    }
}

static void change(struct middle *m, int side)
{
    struct tapsi_test_stream *s = m->relays[side];
    size_t at = fuzz_below(&m->in, 65536);
    uint8_t mask = (uint8_t)fuzz_number(&m->in, 1);
    if (s && s->end > s->begin)
        s->bytes[s->begin + at % (s->end - s->begin)] ^= mask;
}

static void overwrite(struct middle *m, int side)
{
    struct tapsi_test_stream *s = m->relays[side];
    size_t at = fuzz_below(&m->in, 65536), count;
    const uint8_t *bytes = fuzz_bytes(&m->in, fuzz_below(&m->in, 64), &count);
    for (size_t i = 0; s && i < count && s->begin + at + i < s->end; i++)
        s->bytes[s->begin + at + i] = bytes[i];
}

static void drop(struct middle *m, int side)
{
    struct tapsi_test_stream *s = m->relays[side];
    size_t count = fuzz_below(&m->in, 65536);
    if (s)
        s->begin += count < s->end - s->begin ? count : s->end - s->begin;
}

static void invent(struct middle *m, int side)
{
    size_t count;
    const uint8_t *bytes = fuzz_bytes(&m->in, fuzz_below(&m->in, 512), &count);
    struct tapsi_test_stream *to = end_of(m, !side)->stream;
    if (to && to->layer.state != TAPSI_LAYER_CLOSED && to->end - to->begin < PENDING_MAX)
        tapsi_test_stream_arrive(to, bytes, count);
}

/* What is on its way comes twice. */
static void repeat(struct middle *m, int side)
{
    struct tapsi_test_stream *s = m->relays[side], *to = end_of(m, !side)->stream;
    if (s && to && to->layer.state != TAPSI_LAYER_CLOSED && s->end > s->begin)
        tapsi_test_stream_arrive(to, s->bytes + s->begin, s->end - s->begin);
}

static void cut(struct middle *m, int side, bool reset)
{
    struct tapsi_test_stream *to = end_of(m, !side)->stream;
    if (!to || to->layer.state == TAPSI_LAYER_CLOSED)
        return;
    if (reset)
        tapsi_test_stream_reset(to);
    else
        tapsi_test_stream_end(to);
}

/* ---------------------------------------------------------------------------------------------------- the ends */

static void send_some(struct middle *m, int side)
{
    static uint8_t bytes[65536];
    struct tapsi_test_end *end = end_of(m, side);
    size_t count = fuzz_below(&m->in, 65536);
    unsigned flags = fuzz_below(&m->in, 8) == 7 ? TAPSI_OP_FINAL : 0;
    if (!end->top || end->top->state != TAPSI_LAYER_READY || m->sent[side] + count > SENT_MAX)
        return;
    for (size_t i = 0; i < count; i++)
        bytes[i] = pattern(m->sent[side] + i);
    if (tapsi_test_send(end, bytes, count, flags) == 0)
        m->sent[side] += count;
}

static void close_end(struct middle *m, int side)
{
    struct tapsi_test_end *end = end_of(m, side);
    if (end->top && end->top->state == TAPSI_LAYER_READY)
        tapsi_layer_close(end->top);
}

static void step(struct middle *m)
{
    unsigned what = fuzz_below(&m->in, 32);
    int side = what & 1;
    switch (what / 2) {
    case 0:
        change(m, side);
        break;
    case 1:
        overwrite(m, side);
        break;
    case 2:
        drop(m, side);
        break;
    case 3:
        invent(m, side);
        break;
    case 4:
        repeat(m, side);
        break;
    case 5:
        pass(m, side, fuzz_below(&m->in, 65536));
        break;
    case 6:
        cut(m, side, fuzz_below(&m->in, 4) == 3);
        break;
    case 7:
    case 8:
        send_some(m, side);
        break;
    case 9:
        close_end(m, side);
        break;
    case 10:
        tapsi_test_grant(end_of(m, side), fuzz_below(&m->in, 65536));
        break;
    case 11:
        if (fuzz_below(&m->in, 8) == 7)
            tapsi_test_destroy(end_of(m, side), fuzz_bool(&m->in) ? TAPS_E_LOCAL_ABORT : 0);
        break;
    case 12:
        tapsi_test_pair_run(&m->pair);
        break;
    default:
        pass(m, 0, SIZE_MAX);
        tapsi_test_pair_run(&m->pair);
        pass(m, 1, SIZE_MAX);
        tapsi_test_pair_run(&m->pair);
    }
}

/* -------------------------------------------------------------------------------------------------------- all */

static void check_end(struct middle *m, int side)
{
    struct tapsi_test_end *end = end_of(m, side);
    CHECK(end->ready <= 1 && end->closed <= 1 && end->final <= 1);
    CHECK(end->got_length <= m->sent[!side]);
    for (size_t i = 0; i < end->got_length; i++)
        CHECK(end->got[i] == pattern(i));
    if (end->closed && end->error.pub.code) {
        CHECK(end->error.text[0]);
        for (const char *c = end->error.text; *c; c++)
            CHECK((unsigned char)*c >= 0x20);
    }
}

static void choose(struct middle *m)
{
    struct tapsi_test_pair *p = &m->pair;
    unsigned choice = (unsigned)fuzz_number(&m->in, 2);
    for (int side = 0; side < 2; side++) {
        if (choice >> side & 1)
            tapsi_security_allow(p->security[side], TAPS_TLS_1_2);
        if (choice >> (2 + side) & 1)
            tapsi_security_allow(p->security[side], TAPS_TLS_1_3);
        if (choice >> (4 + side) & 1)
            tapsi_security_add_alpn(p->security[side], "one");
        end_of(m, side)->destroy_in = (enum tapsi_test_moment)(choice >> (6 + 3 * side) & 7);
    }
    if (choice >> 12 & 1)
        p->security[1]->require_client_certificate = true;
    p->client.reply = NULL;
    unsigned fail = fuzz_below(&m->in, 256);
    p->fail_at = fail ? p->allocations + fail : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct middle m;
    m = (struct middle){.in = fuzz_input(data, size)};
    fuzz_begin();
    CHECK(tapsi_test_pair_init(&m.pair));
    choose(&m);
    if (tapsi_test_pair_open(&m.pair) == 0) {
        put_between(&m);
        for (int i = 0; i < STEPS && m.in.left; i++)
            step(&m);
        for (int i = 0; i < 20; i++) {
            pass(&m, 0, SIZE_MAX);
            pass(&m, 1, SIZE_MAX);
            tapsi_test_pair_run(&m.pair);
        }
    }
    check_end(&m, 0);
    check_end(&m, 1);
    for (int side = 0; side < 2; side++) {
        if (m.relays[side])
            tapsi_layer_destroy(&m.relays[side]->layer, 0);
    }
    CHECK_INT(tapsi_test_pair_done(&m.pair), 0);
    return 0;
}
