/*
 * Two ends of DTLS with the input between them: it says which datagrams are lost, late, repeated, changed, cut, and
 * which come from nowhere; it sends, closes and destroys at either end, lets time go by, and one allocation fails. Then
 * they come again, and the client may have a ticket.
 * Whatever happens, a Message that comes is one that was sent, it comes once, and nothing comes after the end.
 */
#include "input.h"
#include "stack/dtls/test_flow.h"
#include "support.h"

#define STEPS 120

static struct {
    struct tapsi_test_flow flow;
    struct fuzz_input in;
    unsigned numbers[2]; /* Messages that the client, the server has sent */
    uint8_t last[2][2048];
    size_t last_length[2];
    unsigned changes; /* datagrams from now on that are changed */
} m;

static struct tapsi_test_flow_end *end_of(int side)
{
    return side ? &m.flow.server : &m.flow.client;
}

static void change(uint8_t *bytes, size_t *length)
{
    size_t at = fuzz_below(&m.in, 2048), count;
    switch (fuzz_below(&m.in, 4)) {
    case 0:
        *length = at < *length ? at : *length;
        break;
    case 1:
        if (at < *length)
            bytes[at] ^= (uint8_t)fuzz_number(&m.in, 1);
        break;
    default:
        for (const uint8_t *to = fuzz_bytes(&m.in, 16, &count); count-- && at < *length; at++)
            bytes[at] = *to++;
    }
}

static bool tamper(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length)
{
    (void)flow;
    m.last_length[side] = *length < sizeof(m.last[0]) ? *length : sizeof(m.last[0]);
    memcpy(m.last[side], bytes, m.last_length[side]);
    if (!m.changes)
        return true;
    m.changes--;
    change(bytes, length);
    return true;
}

static void invent(int side)
{
    size_t count;
    struct tapsi_test_flow_end *to = end_of(!side);
    const uint8_t *bytes = fuzz_bytes(&m.in, fuzz_below(&m.in, 256), &count);
    if (to->port)
        tapsi_test_flow_arrive(to->port, bytes, count, 1);
}

/* The newest datagram of a side once more, changed. */
static void forge(int side)
{
    uint8_t bytes[sizeof(m.last[0])];
    size_t length = m.last_length[side];
    struct tapsi_test_flow_end *to = end_of(!side);
    memcpy(bytes, m.last[side], length);
    change(bytes, &length);
    if (to->port)
        tapsi_test_flow_arrive(to->port, bytes, length, 1);
}

static void send_one(int side)
{
    struct tapsi_test_flow_end *end = end_of(side);
    size_t length = fuzz_below(&m.in, 2048);
    if (!end->top || end->top->state != TAPSI_LAYER_READY || m.numbers[side] >= TAPSI_TEST_MESSAGES)
        return;
    if (tapsi_test_flow_send(end, m.numbers[side], length < 4 ? 4 : length) == 0)
        m.numbers[side]++;
}

/* False: this association is over, and there may be another. */
static bool step(void)
{
    unsigned what = fuzz_below(&m.in, 32);
    int side = what & 1;
    struct tapsi_test_flow_end *end = end_of(side);
    switch (what / 2) {
    case 0:
        m.changes = 1 + fuzz_below(&m.in, 4);
        break;
    case 1:
        invent(side);
        break;
    case 2:
        forge(side);
        break;
    case 3:
        m.flow.loss = fuzz_below(&m.in, 101);
        break;
    case 4:
        m.flow.repeat = fuzz_below(&m.in, 101);
        break;
    case 5:
        m.flow.late = fuzz_below(&m.in, 200) * TAPSI_MS;
        break;
    case 6:
        if (end->top && end->top->state == TAPSI_LAYER_READY)
            tapsi_layer_close(end->top);
        break;
    case 7:
        tapsi_test_flow_grant(end, fuzz_below(&m.in, 4096));
        break;
    case 8: {
        unsigned end_it = fuzz_below(&m.in, 8);
        if (end_it == 7)
            tapsi_test_flow_destroy(end, fuzz_bool(&m.in) ? TAPS_E_LOCAL_ABORT : 0);
        return end_it != 6;
    }
    case 9:
    case 10:
    case 11:
        send_one(side);
        break;
    case 12:
        tapsi_test_flow_run(&m.flow, fuzz_below(&m.in, 4096) * TAPSI_MS);
        break;
    default:
        tapsi_test_flow_run(&m.flow, 12 * TAPSI_MS);
    }
    return true;
}

static void check_end(int side)
{
    const struct tapsi_test_flow_end *end = end_of(side);
    CHECK(end->ready <= 1 && end->closed <= 1);
    CHECK(end->messages <= m.numbers[!side]);
    CHECK_INT(end->repeated, 0);
    for (const char *c = end->error.text; end->closed && end->error.pub.code && *c; c++)
        CHECK((unsigned char)*c >= 0x20);
}

static void choose(void)
{
    unsigned choice = (unsigned)fuzz_number(&m.in, 2);
    struct tapsi_test_flow *f = &m.flow;
    for (int side = 0; side < 2; side++) {
        if (choice >> side & 1)
            tapsi_security_add_alpn(f->security[side], "one");
        end_of(side)->destroy_in_ready = choice >> (2 + 3 * side) & 1;
        end_of(side)->destroy_in_data = choice >> (3 + 3 * side) & 1;
        end_of(side)->destroy_in_closed = choice >> (4 + 3 * side) & 1;
    }
    f->security[1]->require_client_certificate = choice >> 8 & 1;
    f->mtu = choice >> 9 & 1 ? 548 : 1472;
    f->random = choice >> 10;
    f->tamper = tamper;
    unsigned fail = fuzz_below(&m.in, 256);
    f->fail_at = fail ? f->allocations + fail : 0;
}

static void meet(void)
{
    if (tapsi_test_flow_open(&m.flow) == 0) {
        for (int i = 0; i < STEPS && m.in.left && step(); i++)
            ;
        tapsi_test_flow_run(&m.flow, 5 * TAPSI_S);
    }
    check_end(0);
    check_end(1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&m, 0, sizeof(m));
    m.in = fuzz_input(data, size);
    fuzz_begin();
    CHECK(tapsi_test_flow_init(&m.flow));
    choose();
    meet();
    if (m.in.left) { /* they come again, perhaps with a ticket */
        tapsi_test_flow_again(&m.flow);
        m.numbers[0] = m.numbers[1] = m.changes = 0;
        meet();
    }
    CHECK_INT(tapsi_test_flow_done(&m.flow), 0);
    return 0;
}
