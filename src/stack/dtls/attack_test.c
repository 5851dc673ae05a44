/* What strangers and the network may do to an association: noise, forgery, repetition, floods. */
#include <stdlib.h>
#include <string.h>
#include "base/test.h"
#include "stack/dtls/test_flow.h"
#include "stack/registry.h"

static struct tapsi_test_flow f;

/* ----------------------------------------------------------------------------------------------------- cookies */

/* The two ClientHellos of a handshake, the second with its cookie. */
static struct {
    uint8_t bytes[2][1500];
    size_t length[2];
} hello;

static bool keep_hellos(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length)
{
    unsigned n = flow->count[0] - 1;
    if (side == 0 && n < 2 && *length <= sizeof(hello.bytes[0])) {
        memcpy(hello.bytes[n], bytes, *length);
        hello.length[n] = *length;
    }
    return true;
}

static union tapsi_addr address(const char *text, uint16_t port)
{
    union tapsi_addr a;
    memset(&a, 0, sizeof(a));
    CHECK_INT(tapsi_addr_parse(text, &a), 0);
    tapsi_addr_set_port(&a, port);
    return a;
}

static void begin(void)
{
    CHECK(tapsi_test_flow_init(&f));
    f.tamper = keep_hellos;
    CHECK(tapsi_test_flow_handshake(&f));
}

static size_t reply_length;

static enum tapsi_dtls_visit visit(const char *from, uint16_t port, const uint8_t *bytes, size_t length)
{
    uint8_t reply[2048], exact[1500];
    gnutls_dtls_prestate_st prestate;
    union tapsi_addr a = address(from, port);
    memcpy(exact, bytes, length);
    enum tapsi_dtls_visit v = tapsi_dtls_visitor(&f.loop, &a, exact, length, reply, &reply_length, &prestate);
    CHECK(reply_length <= length); /* nothing is amplified */
    CHECK((v == TAPSI_DTLS_ASK) == (reply_length > 0));
    return v;
}

/* The client's as the server of the flow sees it. */
#define CLIENT "192.0.2.2"

/* proves IMPL-12 */
TEST(a_cookie_is_asked_for_and_good_for_its_sender_alone)
{
    begin();
    CHECK_INT(visit(CLIENT, 4000, hello.bytes[0], hello.length[0]), TAPSI_DTLS_ASK);
    CHECK_INT(visit(CLIENT, 4000, hello.bytes[1], hello.length[1]), TAPSI_DTLS_ADMIT);
    CHECK_INT(visit(CLIENT, 4001, hello.bytes[1], hello.length[1]), TAPSI_DTLS_ASK);
    CHECK_INT(visit("192.0.2.3", 4000, hello.bytes[1], hello.length[1]), TAPSI_DTLS_ASK);
    CHECK_INT(visit("2001:db8::1", 4000, hello.bytes[1], hello.length[1]), TAPSI_DTLS_ASK);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(a_cookie_is_good_for_half_a_minute_at_least_and_a_minute_at_most)
{
    begin();
    tapsi_test_flow_run(&f, 29 * TAPSI_S);
    CHECK_INT(visit(CLIENT, 4000, hello.bytes[1], hello.length[1]), TAPSI_DTLS_ADMIT);
    tapsi_test_flow_run(&f, 31 * TAPSI_S);
    CHECK_INT(visit(CLIENT, 4000, hello.bytes[1], hello.length[1]), TAPSI_DTLS_ASK);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(a_cookie_with_any_bit_changed_is_none)
{
    begin();
    size_t at = 25 + 2 + 32 + 1 + 1; /* no session before it */
    CHECK_INT(hello.bytes[1][at - 1], 16);
    for (size_t i = 0; i < 16; i++) {
        hello.bytes[1][at + i] ^= (uint8_t)(1u << (i % 8));
        CHECK_INT(visit(CLIENT, 4000, hello.bytes[1], hello.length[1]), TAPSI_DTLS_ASK);
        hello.bytes[1][at + i] ^= (uint8_t)(1u << (i % 8));
    }
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(what_is_no_client_hello_is_not_answered)
{
    begin();
    for (size_t length = 0; length < hello.length[1]; length++) { /* cut, but for what the head counts */
        CHECK_INT(visit(CLIENT, 4000, hello.bytes[1], length), TAPSI_DTLS_IGNORE);
        CHECK_INT(visit(CLIENT, 4000, hello.bytes[0], length < hello.length[0] ? length : 0), TAPSI_DTLS_IGNORE);
    }
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 21}, {0, 23}, {1, 3}, {4, 1}, {13, 2}, {13, 16}, {21, 1}, {59, 33}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint8_t was = hello.bytes[1][wrong[i].at];
        hello.bytes[1][wrong[i].at] = wrong[i].value;
        CHECK_INT(visit(CLIENT, 4000, hello.bytes[1], hello.length[1]), TAPSI_DTLS_IGNORE);
        hello.bytes[1][wrong[i].at] = was;
    }
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves IMPL-12 */
TEST(the_gate_of_the_protocol_keeps_nothing_of_a_flood)
{
    const struct tapsi_gate *gate = tapsi_proto_dtls.gate;
    uint8_t reply[2048];
    size_t length = 0;
    begin();
    CHECK_INT(gate->class, TAPSI_PORT_DTLS);
    long before = f.allocations, blocks = f.blocks;
    for (unsigned i = 0; i < 20000; i++) {
        struct tapsi_datagram d = {.data = hello.bytes[i & 1], .length = hello.length[i & 1]};
        d.from = address("198.51.100.7", (uint16_t)(i + 1));
        CHECK(!gate->stranger(f.server.env, &d, reply, &length));
        CHECK(length > 0 && length <= d.length);
    }
    CHECK_INT(f.allocations, before);
    CHECK_INT(f.blocks, blocks);
    struct tapsi_datagram d = {.data = hello.bytes[1], .length = hello.length[1], .from = address(CLIENT, 4000)};
    CHECK(gate->stranger(f.server.env, &d, reply, &length));
    CHECK_INT(length, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* Without a gate below the layer asks for the cookie itself, and has no session until it comes. */
TEST(a_server_without_a_good_cookie_has_no_session)
{
    begin();
    CHECK_INT(tapsi_test_flow_done(&f), 0);
    CHECK(tapsi_test_flow_init(&f));
    CHECK_INT(tapsi_test_flow_open(&f), 0);
    tapsi_test_flow_destroy(&f.client, 0);
    hello.bytes[1][61] ^= 0x80;
    for (unsigned i = 0; i < 200; i++) {
        hello.bytes[1][61 + i % 16] ^= 1;
        tapsi_test_flow_arrive(f.server.port, hello.bytes[i & 1], hello.length[i & 1], 0);
        tapsi_test_flow_run(&f, TAPSI_MS);
    }
    CHECK_INT(f.server.port->sent, 200);
    CHECK(!TAPSI_CONTAINER(f.server.top, struct dtls, layer)->hs.session);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* ------------------------------------------------------------------------------------------------------- noise */

static unsigned noise_seed;

static size_t make_noise(uint8_t *to, unsigned kind)
{
    size_t length = (size_t)(rand_r(&noise_seed) % 300);
    for (size_t i = 0; i < length; i++)
        to[i] = (uint8_t)rand_r(&noise_seed);
    if (kind == 0)
        return 0;
    if (kind == 1 && length)
        to[0] |= 64; /* no content type of DTLS */
    if (kind == 2 && length > 1)
        to[1] = 3;   /* TLS */
    if (kind >= 3) { /* a record by its head, of another epoch or not */
        static const uint8_t types[] = {20, 21, 22, 23, 25, 63};
        length += 13;
        to[0] = types[kind % 6];
        to[1] = 0xfe;
        to[2] = 0xfd;
        to[3] = 0;
        to[4] = (uint8_t)(kind & 1);
        to[11] = (uint8_t)((length - 13) >> 8);
        to[12] = (uint8_t)(length - 13);
    }
    return length;
}

static bool add_noise(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length)
{
    uint8_t noise[400];
    (void)bytes;
    (void)length;
    struct tapsi_test_port *to = side ? flow->client.port : flow->server.port;
    for (unsigned kind = 0; to && kind < 3; kind++) {
        size_t count = make_noise(noise, kind);
        tapsi_test_flow_arrive(to, noise, count, 1);
    }
    return true;
}

TEST(noise_before_each_datagram_of_the_handshake_is_not_heard)
{
    for (noise_seed = 1; noise_seed < 20; noise_seed++) {
        unsigned seed = noise_seed;
        CHECK(tapsi_test_flow_init(&f));
        f.tamper = add_noise;
        CHECK(tapsi_test_flow_handshake(&f));
        CHECK_INT(f.count[0], 3); /* nothing was repeated */
        CHECK_INT(tapsi_test_flow_done(&f), 0);
        noise_seed = seed;
    }
}

/* Also records of every type and epoch, fatal alerts among them. */
TEST(forged_records_after_the_handshake_are_not_heard)
{
    static const uint8_t alert[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40};
    uint8_t noise[400];
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    noise_seed = 5;
    for (unsigned i = 0; i < 500; i++) {
        size_t length = make_noise(noise, i % 13);
        struct tapsi_test_flow_end *to = i & 1 ? &f.client : &f.server;
        tapsi_test_flow_arrive(to->port, noise, length, 1);
        tapsi_test_flow_arrive(to->port, alert, sizeof(alert), 1);
        CHECK_INT(tapsi_test_flow_send(i & 1 ? &f.server : &f.client, i, 60), 0);
        tapsi_test_flow_run(&f, 20 * TAPSI_MS);
    }
    CHECK_INT(f.client.closed + f.server.closed, 0);
    CHECK_INT(f.client.messages + f.server.messages, 500);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(what_comes_twice_is_heard_once)
{
    CHECK(tapsi_test_flow_init(&f));
    f.repeat = 100;
    CHECK(tapsi_test_flow_handshake(&f));
    for (unsigned i = 0; i < 50; i++)
        CHECK_INT(tapsi_test_flow_send(&f.client, i, 60), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.server.messages, 50);
    CHECK_INT(f.server.repeated, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* ------------------------------------------------------------------------------------- each byte of each flight */

static struct {
    int side;
    unsigned datagram; /* from 1 */
    size_t at, length;
    enum { FLIP, CUT } what;
} fault;

static bool spoil(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length)
{
    if (side != fault.side || flow->count[side] != fault.datagram)
        return true;
    fault.length = *length;
    if (fault.at < *length && fault.what == FLIP)
        bytes[fault.at] ^= 0x15;
    if (fault.at < *length && fault.what == CUT)
        *length = fault.at;
    return true;
}

static void check_spoiled(void)
{
    CHECK(tapsi_test_flow_init(&f));
    f.tamper = spoil;
    if (tapsi_test_flow_handshake(&f)) {
        CHECK_INT(tapsi_test_flow_send(&f.client, 1, 60), 0);
        CHECK_INT(tapsi_test_flow_send(&f.server, 2, 60), 0);
        tapsi_test_flow_run(&f, TAPSI_S);
        CHECK_INT(f.client.messages, 1);
        CHECK_INT(f.server.messages, 1);
    } else {
        tapsi_test_flow_run(&f, 65 * TAPSI_S);
        CHECK(f.client.closed || f.server.closed);
        CHECK(f.client.closed == 0 || f.client.error.text[0] || f.server.closed);
        CHECK(!(f.client.ready && f.server.ready));
    }
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves ARCH-09: whatever is changed, either both are ready and sound, or somebody says that it failed. */
TEST(any_byte_of_the_handshake_may_change_or_be_missing)
{
    unsigned step = 1 + 96 / tapsi_test_rounds(8, 2, 96);
    tapsi_test_limit(600);
    for (fault.side = 0; fault.side < 2; fault.side++) {
        for (fault.datagram = 1; fault.datagram <= 3; fault.datagram++) {
            fault.length = 1;
            for (fault.at = 0; fault.at < fault.length; fault.at += step) {
                fault.what = (fault.at / step) & 1 ? CUT : FLIP;
                check_spoiled();
            }
        }
    }
}
