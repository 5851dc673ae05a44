/* The handshake, the ends of a session, and what a peer can do wrong at each stage. */
#include <stdlib.h>
#include "base/test.h"
#include "stack/registry.h"
#include "stack/tls/test_pair.h"

static void only(struct tapsi_test_pair *p, int side, enum taps_security_protocol version)
{
    CHECK_INT(tapsi_security_allow(p->security[side], version), 0);
}

static bool says(const struct tapsi_error *e, const char *words)
{
    if (e->pub.detail && strstr(e->pub.detail, words))
        return true;
    tapsi_test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", e->pub.detail ? e->pub.detail : "", words);
    return false;
}

static const char *security_of(struct tapsi_test_end *end)
{
    union tapsi_got got;
    return tapsi_layer_get(end->top, TAPSI_GET_SECURITY, &got) == 0 ? got.text : "none";
}

static const char *alpn_of(struct tapsi_test_end *end)
{
    union tapsi_got got;
    return tapsi_layer_get(end->top, TAPSI_GET_ALPN, &got) == 0 && got.text ? got.text : "none";
}

/* ------------------------------------------------------------------------------------------ it works */

/* proves IMPL-11, API-050: ready only when TLS is, and the defaults authenticate the server */
TEST(handshake_makes_both_ends_ready_and_authenticates_the_server)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.info.security, TAPS_TLS_1_3);
    CHECK_INT(p.server.info.security, TAPS_TLS_1_3);
    CHECK(p.client.info.authenticated);
    CHECK(!p.server.info.authenticated);
    CHECK_TEXT(security_of(&p.client), "TLS 1.3");
    CHECK_TEXT(alpn_of(&p.client), "none");
    CHECK_INT(tapsi_test_send_text(&p.client, "hello", 0), 0);
    CHECK_INT(tapsi_test_send_text(&p.server, "world", 0), 0);
    tapsi_test_pair_run(&p);
    CHECK(tapsi_test_got(&p.server, "hello"));
    CHECK(tapsi_test_got(&p.client, "world"));
    CHECK_INT(p.client.sent, 1);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves API-051: the protocols can be constrained, by either side */
TEST(handshake_with_tls_1_2_when_only_that_is_allowed)
{
    for (int side = 0; side < 2; side++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        only(&p, side, TAPS_TLS_1_2);
        NEED(tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.info.security, TAPS_TLS_1_2);
        CHECK(p.client.info.authenticated);
        CHECK_TEXT(security_of(&p.server), "TLS 1.2");
        tapsi_test_send_text(&p.client, "hello", 0);
        tapsi_test_pair_run(&p);
        CHECK(tapsi_test_got(&p.server, "hello"));
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(handshake_survives_a_stream_of_single_bytes)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_open(&p) == 0);
    p.client.stream->slice_max = p.server.stream->slice_max = 1;
    p.client.reply = "from the client";
    p.server.reply = "from the server";
    tapsi_test_pair_run(&p);
    CHECK(tapsi_test_got(&p.server, "from the client"));
    CHECK(tapsi_test_got(&p.client, "from the server"));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* The layer contract: what is sent in `ready` leaves with the client's last flight. */
TEST(first_message_and_finished_leave_as_one_op)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.client.reply = "request";
    NEED(tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.stream->ops, 2);
    CHECK_INT(p.server.stream->ops, 1);
    CHECK(tapsi_test_got(&p.server, "request"));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* Which end each is, is known only when the stream below is there. */
static bool start_undecided(struct tapsi_test_pair *p, const char *name)
{
    if (!tapsi_test_pair_init(p))
        return false;
    struct tapsi_target target = {.server_name = name};
    p->client.sink = p->server.sink = (struct tapsi_sink){NULL};
    p->plain[0] = p->plain[1] = true;
    CHECK_INT(tapsi_test_pair_open(p), 0);
    tapsi_test_pair_run(p);
    struct tapsi_test_end *ends[2] = {&p->client, &p->server};
    for (int i = 0; i < 2; i++) {
        ends[i]->ready = 0;
        CHECK_INT(tapsi_proto_tls.make(ends[i]->env, &target, TAPSI_ROLE_UNDECIDED, ends[i]->top, &ends[i]->top, NULL),
                  0);
        ends[i]->top->up = &ends[i]->sink;
        CHECK_INT(tapsi_layer_start(ends[i]->top), 0);
    }
    tapsi_test_pair_run(p);
    return true;
}

TEST(start_above_a_stream_that_is_ready_and_role_from_below)
{
    struct tapsi_test_pair p;
    NEED(start_undecided(&p, "example.test"));
    CHECK_INT(p.client.ready, 1);
    CHECK_INT(p.server.ready, 1);
    CHECK_INT(p.client.top->role, TAPSI_ROLE_CLIENT);
    CHECK_INT(p.server.top->role, TAPSI_ROLE_SERVER);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves ARCH-09: GnuTLS takes no name for any name. */
TEST(a_client_that_has_no_name_to_verify_does_not_begin)
{
    struct tapsi_test_pair p;
    NEED(start_undecided(&p, NULL));
    CHECK_INT(p.client.ready, 0);
    CHECK_INT(p.client.error.pub.code, TAPS_E_CONFIGURATION);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* ------------------------------------------------------------------------------------------ versions, ALPN */

/* proves ARCH-10, API-051: never below the minimum */
TEST(no_version_below_the_minimum)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    CHECK_INT(tapsi_security_set_minimum(p.security[0], TAPS_TLS_1_3), 0);
    only(&p, 1, TAPS_TLS_1_2);
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.ready + p.server.ready, 0);
    CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
    CHECK_INT(p.server.error.pub.code, TAPS_E_TLS);
    says(&p.client.error, "the peer example.test sent the alert handshake failure");
    says(&p.server.error, "the peer has no cipher suite of TLS 1.2 in common with us");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(no_version_below_the_minimum_of_the_server)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    only(&p, 0, TAPS_TLS_1_2);
    CHECK_INT(tapsi_security_set_minimum(p.security[1], TAPS_TLS_1_3), 0);
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.ready + p.server.ready, 0);
    says(&p.server.error, "the peer has no cipher suite of TLS 1.3 in common with us");
    CHECK_INT(p.client.error.pub.domain, TAPS_DOMAIN_TLS);
    CHECK_INT(p.client.error.pub.native, 40);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* A ServerHello that chooses TLS 1.1, as the first bytes of an old server. proves ARCH-10 */
TEST(a_server_of_tls_1_1_is_refused_by_name)
{
    static const unsigned char hello[] = {0x16, 3,  2,  0,  44, 2,  0,  0,  40, 3,  2,    1,    2,  3,  4,  5,  6,
                                          7,    8,  9,  10, 11, 12, 13, 14, 15, 16, 17,   18,   19, 20, 21, 22, 23,
                                          24,   25, 26, 27, 28, 29, 30, 31, 32, 0,  0xc0, 0x14, 0,  0,  0};
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.plain[1] = true;
    NEED(tapsi_test_pair_open(&p) == 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(tapsi_test_send(&p.server, hello, sizeof(hello), 0), 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
    says(&p.client.error, "the peer example.test offers only TLS 1.1");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* What OpenSSL and nginx answer. proves ARCH-10 */
TEST(a_server_that_takes_none_of_our_versions_is_told)
{
    static const unsigned char alert[] = {0x15, 3, 1, 0, 2, 2, 70};
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    CHECK_INT(tapsi_security_set_minimum(p.security[0], TAPS_TLS_1_3), 0);
    p.plain[1] = true;
    NEED(tapsi_test_pair_open(&p) == 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(tapsi_test_send(&p.server, alert, sizeof(alert), 0), 0);
    tapsi_test_pair_run(&p);
    says(&p.client.error,
         "the peer example.test sent the alert protocol version: it takes none of our versions, TLS 1.3");
    CHECK_INT(p.client.error.pub.native, 70);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves API-051, IMPL-01: a contradiction is an error before anything is sent */
TEST(no_version_left_is_a_configuration_error)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    only(&p, 0, TAPS_TLS_1_2);
    CHECK_INT(tapsi_security_set_minimum(p.security[0], TAPS_TLS_1_3), 0);
    CHECK_INT(tapsi_test_pair_open(&p), TAPS_E_CONFIGURATION);
    says(&p.make_error, "allowedSecurityProtocols");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves API-054: the server's order decides */
TEST(alpn_takes_what_both_have)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        only(&p, 0, (enum taps_security_protocol)version);
        tapsi_security_add_alpn(p.security[0], "one");
        tapsi_security_add_alpn(p.security[0], "two");
        tapsi_security_add_alpn(p.security[1], "three");
        tapsi_security_add_alpn(p.security[1], "two");
        tapsi_security_add_alpn(p.security[1], "one");
        NEED(tapsi_test_pair_handshake(&p));
        CHECK_TEXT(alpn_of(&p.client), "two");
        CHECK_TEXT(alpn_of(&p.server), "two");
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* proves API-054 */
TEST(alpn_without_a_common_protocol_is_an_error_on_both_sides)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        only(&p, 0, (enum taps_security_protocol)version);
        tapsi_security_add_alpn(p.security[0], "one");
        tapsi_security_add_alpn(p.security[1], "two");
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
        says(&p.client.error, "sent the alert no application protocol: it has none of our ALPN protocols, one");
        says(&p.server.error, "the peer offers none of our ALPN protocols, two");
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(alpn_of_one_side_only_is_left_out)
{
    for (int side = 0; side < 2; side++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        tapsi_security_add_alpn(p.security[side], "one");
        NEED(tapsi_test_pair_handshake(&p));
        CHECK_TEXT(alpn_of(&p.client), "none");
        CHECK_TEXT(alpn_of(&p.server), "none");
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* ------------------------------------------------------------------------------------- peers without TLS */

/* proves ARCH-09: no fallback to plain text */
static void check_plain_server(const char *text, const char *words)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.plain[1] = true;
    NEED(tapsi_test_pair_open(&p) == 0);
    tapsi_test_pair_run(&p);
    size_t hello = p.server.got_length;
    CHECK(hello > 100);
    CHECK_INT(tapsi_test_send_text(&p.server, text, 0), 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(p.client.ready, 0);
    CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
    says(&p.client.error, words);
    CHECK_INT(p.server.got_length, hello);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(a_plain_server_is_told_from_its_first_byte)
{
    check_plain_server("HTTP/1.1 400 Bad Request\r\n\r\n",
                       "the peer example.test does not speak TLS (got 0x48 0x54 0x54 0x50 0x2f 0x31 0x2e 0x31)");
    check_plain_server("2", "the peer example.test does not speak TLS (got 0x32)");
    check_plain_server("\x16\x01", "the peer example.test does not speak TLS (got 0x16 0x01)");
}

TEST(a_plain_client_is_told)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.plain[0] = true;
    NEED(tapsi_test_pair_open(&p) == 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(tapsi_test_send_text(&p.client, "GET / HTTP/1.1\r\n", 0), 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.server.closed, 1);
    says(&p.server.error, "the peer does not speak TLS (got 0x47 0x45");
    CHECK_INT(p.client.got_length, 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

static void inject(struct tapsi_test_end *end)
{
    static const char garbage[] = "\x17\x03\x03\x00\x20 this is what nobody encrypted at all";
    tapsi_test_stream_arrive(end->stream, garbage, sizeof(garbage));
}

TEST(garbage_after_the_handshake_ends_the_session_and_tells_the_peer)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        only(&p, 1, (enum taps_security_protocol)version);
        NEED(tapsi_test_pair_handshake(&p));
        inject(&p.client);
        tapsi_test_pair_run(&p);
        CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
        CHECK_INT(p.server.error.pub.code, TAPS_E_TLS);
        says(&p.server.error, "the peer sent the alert bad record mac");
        CHECK_INT(p.client.got_length, 0);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* Every byte of every flight changed, one at a time: it fails on both sides, or (a byte that says nothing) succeeds;
   but it never ends in doubt. */
static void check_flips(int side, enum taps_security_protocol version)
{
    uint64_t length = 1;
    for (uint64_t at = 0; at < length; at += 7) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        only(&p, 0, version);
        NEED(tapsi_test_pair_open(&p) == 0);
        struct tapsi_test_stream *s = side ? p.server.stream : p.client.stream;
        s->flip_at = at;
        tapsi_test_pair_run(&p);
        bool both = p.client.ready && p.server.ready && !p.client.closed && !p.server.closed;
        bool stalled = !p.client.closed && !p.server.closed;
        if (both)
            length = s->sent > length ? s->sent : length;
        /* A changed length makes one side wait for bytes that never come: the attempt's timer ends that. */
        if (stalled && !both)
            tapsi_test_stream_end(side ? p.client.stream : p.server.stream);
        tapsi_test_pair_run(&p);
        CHECK(both || p.client.closed || p.server.closed);
        CHECK(both || p.client.error.pub.code == TAPS_E_TLS || p.server.error.pub.code == TAPS_E_TLS ||
              p.client.error.pub.code == TAPS_E_CERTIFICATE);
        length = length < 600 ? 600 : length;
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(changed_bytes_in_a_flight_end_in_an_error)
{
    check_flips(0, TAPS_TLS_1_3);
    check_flips(1, TAPS_TLS_1_3);
    check_flips(1, TAPS_TLS_1_2);
}

/* -------------------------------------------------------------------------------------------- truncation */

/* A ticket would come behind the handshake, and a cut in it is none of the handshake. */
static void give_no_tickets(struct tapsi_test_pair *p)
{
    CHECK_INT(tapsi_security_set_max_cached(p->security[1], 0), 0);
}

/* Bytes of a whole handshake in one direction. */
static uint64_t flight(int side, enum taps_security_protocol version)
{
    struct tapsi_test_pair p;
    if (!tapsi_test_pair_init(&p))
        return 0;
    only(&p, 0, version);
    give_no_tickets(&p);
    tapsi_test_pair_handshake(&p);
    uint64_t sent = side ? p.server.stream->sent : p.client.stream->sent;
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    return sent;
}

/* One end sends `cut` bytes of its handshake and FIN. */
static void check_cut(int side, enum taps_security_protocol version, uint64_t cut)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    only(&p, 0, version);
    give_no_tickets(&p);
    NEED(tapsi_test_pair_open(&p) == 0);
    struct tapsi_test_end *victim = side ? &p.client : &p.server;
    struct tapsi_test_stream *sender = side ? p.server.stream : p.client.stream;
    sender->cut_after = cut;
    tapsi_test_pair_run(&p);
    if (sender->sent > cut) { /* signatures differ in length by a few bytes */
        CHECK_INT(victim->ready, 0);
        CHECK_INT(victim->closed, 1);
        CHECK_INT(victim->error.pub.code, TAPS_E_TLS);
        says(&victim->error, "closed the connection during the TLS handshake");
    }
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(server_that_ends_at_any_byte_of_its_handshake)
{
    uint64_t length = flight(1, TAPS_TLS_1_3);
    for (uint64_t cut = 0; cut < length; cut++)
        check_cut(1, TAPS_TLS_1_3, cut);
    length = flight(1, TAPS_TLS_1_2);
    for (uint64_t cut = 0; cut < length; cut += 5)
        check_cut(1, TAPS_TLS_1_2, cut);
}

TEST(client_that_ends_at_any_byte_of_its_handshake)
{
    uint64_t length = flight(0, TAPS_TLS_1_3);
    for (uint64_t cut = 0; cut < length; cut++)
        check_cut(0, TAPS_TLS_1_3, cut);
    length = flight(0, TAPS_TLS_1_2);
    for (uint64_t cut = 0; cut < length; cut += 5)
        check_cut(0, TAPS_TLS_1_2, cut);
}

TEST(reset_in_the_handshake_keeps_its_code_and_says_when)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.plain[1] = true;
    NEED(tapsi_test_pair_open(&p) == 0);
    tapsi_test_pair_run(&p);
    tapsi_test_stream_reset(p.client.stream);
    CHECK_INT(p.client.error.pub.code, TAPS_E_ABORTED);
    says(&p.client.error, "connection reset, during the TLS handshake with example.test");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(failure_to_connect_is_passed_up_as_it_is)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_open(&p) == 0);
    p.client.stream->start_error = TAPS_E_REFUSED;
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.error.pub.code, TAPS_E_REFUSED);
    CHECK_TEXT(p.client.error.pub.detail, "connecting failed");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* --------------------------------------------------------------------------------------------- good ends */

TEST(final_is_a_half_close_and_the_other_direction_goes_on)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        only(&p, 0, (enum taps_security_protocol)version);
        NEED(tapsi_test_pair_handshake(&p));
        CHECK_INT(tapsi_test_send_text(&p.client, "question", TAPSI_OP_END | TAPSI_OP_FINAL), 0);
        CHECK_INT(tapsi_test_send_text(&p.client, "more", 0), TAPS_E_CLOSED);
        tapsi_test_pair_run(&p);
        CHECK(tapsi_test_got(&p.server, "question"));
        CHECK_INT(p.server.final, 1);
        CHECK(!p.server.stream->ended); /* TCP stays open */
        CHECK_INT(tapsi_test_send_text(&p.server, "an", 0), 0);
        CHECK_INT(tapsi_test_send_text(&p.server, "swer", 0), 0);
        CHECK_INT(tapsi_test_send(&p.server, NULL, 0, TAPSI_OP_FINAL), 0);
        tapsi_test_pair_run(&p);
        CHECK(tapsi_test_got(&p.client, "answer"));
        CHECK_INT(p.client.final, 1);
        CHECK_INT(p.server.sent, 3);
        CHECK_INT(p.client.closed, 1); /* both have said their last word */
        CHECK_INT(p.server.closed, 1);
        CHECK_INT(p.client.error.pub.code, 0);
        CHECK_INT(p.server.error.pub.code, 0);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(close_sends_everything_then_close_notify_then_fin)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_handshake(&p));
    CHECK_INT(tapsi_test_send_text(&p.client, "last words", TAPSI_OP_END), 0);
    CHECK_INT(tapsi_layer_close(p.client.top), 0);
    CHECK_INT(tapsi_test_send_text(&p.client, "too late", 0), TAPS_E_CLOSED);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.sent, 1);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(p.client.error.pub.code, 0);
    CHECK(tapsi_test_got(&p.server, "last words"));
    CHECK_INT(p.server.final, 1);
    CHECK_INT(p.server.closed, 0);
    CHECK(p.server.stream->ended);
    CHECK_INT(tapsi_test_send_text(&p.server, "still open", 0), 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(tapsi_layer_close(p.server.top), 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.server.closed, 1);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* What nginx does: it sends close_notify and is gone. */
TEST(a_reset_that_answers_our_close_notify_is_no_error_when_all_else_was_delivered)
{
    for (int i = 0; i < 6; i++) {
        struct tapsi_test_pair p;
        int lost = i % 3;
        bool by_final = i >= 3;
        NEED(tapsi_test_pair_init(&p));
        NEED(tapsi_test_pair_handshake(&p));
        if (lost < 2)
            tapsi_test_send(&p.server, NULL, 0, TAPSI_OP_FINAL); /* in the last round the peer has not ended */
        tapsi_test_pair_run(&p);
        CHECK_INT(p.client.final, lost < 2);
        p.client.stream->reset_at_close = true;
        if (lost == 1)
            tapsi_test_send_text(&p.client, "not acknowledged", 0);
        if (by_final && lost < 2) /* with both ends said, it closes by itself */
            tapsi_test_send(&p.client, NULL, 0, TAPSI_OP_FINAL);
        else
            CHECK_INT(tapsi_layer_close(p.client.top), 0);
        tapsi_test_pair_run(&p);
        CHECK_INT(p.client.closed, 1);
        CHECK_INT(p.client.error.pub.code, lost ? TAPS_E_ABORTED : 0);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(close_before_ready_is_refused)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_open(&p) == 0);
    CHECK_INT(tapsi_layer_close(p.client.top), TAPS_E_STATE);
    CHECK_INT(tapsi_test_send_text(&p.client, "early", 0), TAPS_E_CLOSED);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* ---------------------------------------------------------------------------------------------- bad ends */

TEST(bare_fin_is_truncation_after_the_data)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        only(&p, 0, (enum taps_security_protocol)version);
        NEED(tapsi_test_pair_handshake(&p));
        tapsi_test_send_text(&p.server, "half a mess", 0);
        tapsi_test_pair_run(&p);
        tapsi_test_stream_end(p.client.stream);
        tapsi_test_pair_run(&p);
        CHECK(tapsi_test_got(&p.client, "half a mess"));
        CHECK_INT(p.client.final, 0);
        CHECK_INT(p.client.closed, 1);
        CHECK_INT(p.client.error.pub.code, TAPS_E_TRUNCATED);
        says(&p.client.error, "the peer example.test closed the connection without TLS close_notify");
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(bare_fin_inside_a_record_is_truncation)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_handshake(&p));
    p.server.stream->cut_after = p.server.stream->sent + 20;
    tapsi_test_send_text(&p.server, "a record of more than twenty bytes", 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.got_length, 0);
    CHECK_INT(p.client.error.pub.code, TAPS_E_TRUNCATED);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(bare_fin_is_forgiven_when_the_property_says_so)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_handshake(&p));
    struct taps_value yes = {.type = TAPS_TYPE_BOOLEAN, .boolean = true};
    CHECK_INT(tapsi_layer_set(p.client.top, TAPS_TLS_ALLOW_TRUNCATION, &yes), 0);
    tapsi_test_send_text(&p.server, "all of it", 0);
    tapsi_test_pair_run(&p);
    tapsi_test_stream_end(p.client.stream);
    tapsi_test_pair_run(&p);
    CHECK(tapsi_test_got(&p.client, "all of it"));
    CHECK_INT(p.client.final, 1);
    CHECK_INT(p.client.closed, 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(bare_fin_waits_behind_data_that_nobody_wants_yet)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.client.window = 0;
    NEED(tapsi_test_pair_handshake(&p));
    tapsi_test_send_text(&p.server, "data", 0);
    tapsi_test_pair_run(&p);
    tapsi_test_stream_end(p.client.stream);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.got_length, 0);
    CHECK_INT(p.client.closed, 0);
    tapsi_test_grant(&p.client, 1000);
    tapsi_test_pair_run(&p);
    CHECK(tapsi_test_got(&p.client, "data"));
    CHECK_INT(p.client.error.pub.code, TAPS_E_TRUNCATED);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(bare_fin_is_told_at_once_when_nothing_is_held)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.client.window = 0;
    NEED(tapsi_test_pair_handshake(&p));
    tapsi_test_stream_end(p.client.stream);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.error.pub.code, TAPS_E_TRUNCATED);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(close_notify_waits_for_credit_like_data)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.client.window = 0;
    NEED(tapsi_test_pair_handshake(&p));
    tapsi_test_send(&p.server, NULL, 0, TAPSI_OP_FINAL);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.final, 0);
    tapsi_test_grant(&p.client, 1);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.final, 1);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(bytes_after_close_notify_are_dropped_and_fin_is_no_error)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_handshake(&p));
    tapsi_test_send(&p.server, NULL, 0, TAPSI_OP_FINAL);
    tapsi_test_pair_run(&p);
    inject(&p.client);
    tapsi_test_pair_run(&p);
    tapsi_test_stream_end(p.client.stream);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.final, 1);
    CHECK_INT(p.client.closed, 0);
    CHECK_INT(p.client.got_length, 0);
    CHECK_INT(tapsi_test_send_text(&p.client, "one way", 0), 0);
    tapsi_test_pair_run(&p);
    CHECK(tapsi_test_got(&p.server, "one way"));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(a_peer_that_answers_our_close_with_a_bare_fin_is_no_error)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_handshake(&p));
    tapsi_test_stream_end(p.client.stream);
    CHECK_INT(tapsi_layer_close(p.client.top), 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(p.client.error.pub.code, 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(reset_fails_what_is_queued_and_is_passed_up)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_handshake(&p));
    CHECK_INT(tapsi_test_send_text(&p.client, "lost", 0), 0);
    tapsi_test_stream_reset(p.client.stream);
    CHECK_INT(p.client.failed, 1);
    CHECK_INT(p.client.last_result, TAPS_E_ABORTED);
    CHECK_INT(p.client.error.pub.code, TAPS_E_ABORTED);
    CHECK_TEXT(p.client.error.pub.detail, "connection reset");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* ------------------------------------------------------------------------------------------------ destroy */

TEST(destroy_in_every_up_call)
{
    for (int moment = TAPSI_TEST_READY; moment <= TAPSI_TEST_CLOSED; moment++) {
        for (int side = 0; side < 2; side++) {
            struct tapsi_test_pair p;
            NEED(tapsi_test_pair_init(&p));
            struct tapsi_test_end *end = side ? &p.server : &p.client;
            end->destroy_in = (enum tapsi_test_moment)moment;
            p.client.reply = "from the client";
            p.server.reply = "from the server";
            NEED(tapsi_test_pair_open(&p) == 0);
            tapsi_test_pair_run(&p);
            if (end->top && moment == TAPSI_TEST_CLOSED) {
                tapsi_test_stream_end(end->stream);
                tapsi_test_pair_run(&p);
            }
            CHECK(end->top == NULL);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
        }
    }
}

TEST(destroy_at_every_step_of_the_handshake)
{
    for (uint64_t cut = 0; cut < 1500; cut += 50) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        NEED(tapsi_test_pair_open(&p) == 0);
        p.client.stream->slice_max = p.server.stream->slice_max = 1;
        p.server.stream->held_max = (size_t)cut + 1;
        if (cut)
            tapsi_loop_turn(&p.loop, 0);
        tapsi_test_destroy(cut % 100 ? &p.client : &p.server, cut % 3 ? TAPS_E_LOCAL_ABORT : 0);
        tapsi_test_pair_run(&p);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(destroy_reaches_the_stream_with_its_reason)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_handshake(&p));
    struct tapsi_test_stream *s = p.client.stream;
    tapsi_test_send_text(&p.client, "dropped", 0);
    tapsi_layer_destroy(p.client.top, TAPS_E_LOCAL_ABORT);
    p.client.top = NULL;
    CHECK(s->destroyed);
    CHECK_INT(s->destroyed_with, TAPS_E_LOCAL_ABORT);
    CHECK_INT(p.client.sent + p.client.failed, 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* ---------------------------------------------------------------------------------------------------- rest */

/* proves API-050: disabled is explicit, and then nothing pretends to be TLS */
TEST(disabled_security_makes_no_tls)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.security[0]->mode = TAPS_SECURITY_DISABLED;
    CHECK_INT(tapsi_test_pair_open(&p), TAPS_E_CONFIGURATION);
    says(&p.make_error, "security is disabled");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* Every allocation of a connection's life fails once: a clean error, nothing leaked. */
TEST(every_allocation_may_fail)
{
    bool failed = true;
    for (long n = 1; failed; n++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        p.fail_at = p.allocations + n;
        p.client.reply = "request";
        if (tapsi_test_pair_open(&p) == 0) {
            tapsi_test_pair_run(&p);
            if (p.server.top && p.server.top->state == TAPSI_LAYER_READY)
                tapsi_test_send_text(&p.server, "response", TAPSI_OP_FINAL);
            tapsi_test_pair_run(&p);
        }
        failed = p.allocations >= p.fail_at;
        CHECK(!failed || p.client.got_length == 0 || p.client.closed || tapsi_test_got(&p.client, "response"));
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}
