/* Sessions are resumed only as what they were, and early data arrives once, in order, or not at all. */
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/test.h"
#include "stack/caches.h"
#include "stack/registry.h"
#include "stack/secure/tickets.h"
#include "stack/tls/test_pair.h"

static void prefer(struct tapsi_test_pair *p, enum taps_preference wish)
{
    p->properties->values[TAPS_ZERO_RTT_MSG].preference = wish;
}

/* A first connection, which leaves its ticket, and the ends of the next. */
static bool first(struct tapsi_test_pair *p)
{
    bool done = tapsi_test_pair_handshake(p);
    tapsi_test_send_text(&p->server, "x", 0);
    tapsi_test_pair_run(p);
    CHECK(!p->client.info.resumed);
    CHECK(!p->client.info.early);
    tapsi_test_pair_again(p);
    return done;
}

static bool open_pair(struct tapsi_test_pair *p, enum taps_preference wish)
{
    if (!tapsi_test_pair_init(p))
        return false;
    prefer(p, wish);
    return first(p);
}

static size_t stored(const struct tapsi_test_pair *p)
{
    return p->caches[0]->tickets ? tapsi_tickets_count(p->caches[0]->tickets) : 0;
}

/* ------------------------------------------------------------------------------------------------ resumption */

/* proves IMPL-23, ARCH-16, and that a resumed session is as authenticated as the one before it */
TEST(the_second_connection_resumes_the_first)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        CHECK_INT(tapsi_security_allow(p.security[0], (enum taps_security_protocol)version), 0);
        NEED(first(&p));
        CHECK(stored(&p) > 0);
        for (int i = 0; i < 3; i++) {
            NEED(tapsi_test_pair_handshake(&p));
            CHECK(p.client.info.resumed);
            CHECK(p.server.info.resumed);
            CHECK(p.client.info.authenticated);
            CHECK_INT(p.client.info.security, version);
            CHECK_INT(tapsi_test_send_text(&p.client, "hello", 0), 0);
            CHECK_INT(tapsi_test_send_text(&p.server, "world", 0), 0);
            tapsi_test_pair_run(&p);
            CHECK(tapsi_test_got(&p.server, "hello"));
            CHECK(tapsi_test_got(&p.client, "world"));
            CHECK(stored(&p) > 0); /* used up, and another came */
            tapsi_test_pair_again(&p);
        }
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(a_client_that_showed_its_certificate_is_known_again)
{
    struct tapsi_test_pair p;
    struct tapsi_test_identity id = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "client", .purpose = TAPSI_TEST_CLIENT}, tapsi_test_authority());
    NEED(tapsi_test_pair_init(&p));
    tapsi_test_show(p.security[0], false, &id);
    tapsi_test_trust(p.security[1], tapsi_test_authority());
    p.security[1]->require_client_certificate = true;
    NEED(first(&p));
    NEED(tapsi_test_pair_handshake(&p));
    CHECK(p.server.info.resumed);
    CHECK(p.server.info.authenticated);
    CHECK(p.client.info.authenticated);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    tapsi_test_identity_free(&id);
}

/* Also where others need a certificate. proves API-057 */
TEST(a_client_that_had_a_key_is_known_again)
{
    for (int i = 0; i < 4; i++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        tapsi_security_unref(p.security[0]);
        p.security[0] = tapsi_security_new(&p.mem, TAPS_SECURITY_REQUIRED);
        CHECK_INT(tapsi_security_allow(p.security[0], i & 1 ? TAPS_TLS_1_2 : TAPS_TLS_1_3), 0);
        for (int side = 0; side < 2; side++)
            CHECK_INT(tapsi_security_add_psk(p.security[side], "me", "0123456789abcdef", 16), 0);
        tapsi_test_trust(p.security[1], tapsi_test_authority());
        p.security[1]->require_client_certificate = i & 2;
        NEED(first(&p));
        NEED(tapsi_test_pair_handshake(&p));
        CHECK(p.server.info.resumed);
        CHECK(p.server.info.authenticated);
        CHECK(p.client.info.authenticated);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

static time_t clock_of_gnutls;

static time_t that_time(time_t *to)
{
    if (to)
        *to = clock_of_gnutls;
    return clock_of_gnutls;
}

/* Tickets are renewed with each session, certificates are not: so the server looks at the one in the ticket again.
   proves API-052, ARCH-16 */
TEST(a_client_whose_certificate_has_expired_is_not_known_again)
{
    struct tapsi_test_identity id = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "client", .purpose = TAPSI_TEST_CLIENT, .until = "2030-01-02"},
        tapsi_test_authority());
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        CHECK_INT(tapsi_security_allow(p.security[0], (enum taps_security_protocol)version), 0);
        tapsi_test_show(p.security[0], false, &id);
        tapsi_test_trust(p.security[1], tapsi_test_authority());
        p.security[1]->require_client_certificate = true;
        clock_of_gnutls = 1893542400 - 3600; /* an hour before its end */
        gnutls_global_set_time_function(that_time);
        NEED(first(&p));
        clock_of_gnutls += 1800;
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK(p.server.info.resumed);
        tapsi_test_send_text(&p.server, "x", 0);
        tapsi_test_pair_run(&p);
        tapsi_test_pair_again(&p);
        clock_of_gnutls += 3600;
        tapsi_test_pair_handshake(&p);
        CHECK_INT(p.server.ready, 0);
        CHECK_INT(p.server.error.pub.code, TAPS_E_CERTIFICATE_EXPIRED);
        CHECK(strstr(p.server.error.text, "expired") != NULL);
        CHECK(strstr(p.client.error.text, "expired") != NULL);
        gnutls_global_set_time_function(time);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    tapsi_test_identity_free(&id);
}

/* The parameters of the second connection. The first was with the defaults of the pair. */
static void check_not_resumed(void (*change)(struct tapsi_test_pair *p))
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    struct tapsi_security *copies[2];
    for (int i = 0; i < 2; i++) {
        copies[i] = p.security[i];
        p.security[i] = tapsi_security_copy(copies[i], &p.mem);
    }
    change(&p);
    for (int i = 0; i < 2; i++)
        tapsi_security_unref(copies[i]);
    p.client.early = "too early";
    NEED(tapsi_test_pair_handshake(&p));
    CHECK(!p.client.info.resumed);
    CHECK(!p.client.info.early);
    CHECK_INT(p.server.got_early, 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

static void other_alpn(struct tapsi_test_pair *p)
{
    CHECK_INT(tapsi_security_add_alpn(p->security[0], "one"), 0);
    CHECK_INT(tapsi_security_add_alpn(p->security[1], "one"), 0);
}

static void other_cipher(struct tapsi_test_pair *p)
{
    CHECK_INT(tapsi_security_add_ciphersuite(p->security[0], "AES-256-GCM"), 0);
}

static void other_group(struct tapsi_test_pair *p)
{
    CHECK_INT(tapsi_security_add_group(p->security[0], "secp384r1"), 0);
}

static void other_signature(struct tapsi_test_pair *p)
{
    CHECK_INT(tapsi_security_add_signature(p->security[0], "ECDSA-SECP256R1-SHA256"), 0);
}

static void other_pin(struct tapsi_test_pair *p)
{
    const char *pem = tapsi_test_server()->certificate;
    CHECK_INT(tapsi_security_add_pin(p->security[0], pem, strlen(pem)), 0);
}

static void other_authorities(struct tapsi_test_pair *p)
{
    tapsi_test_trust(p->security[0], tapsi_test_server()); /* one more */
}

static void other_name(struct tapsi_test_pair *p)
{
    p->server_name = "a.wild.test";
}

static void other_mode(struct tapsi_test_pair *p)
{
    p->security[0]->mode = TAPS_SECURITY_OPPORTUNISTIC;
}

static void other_port(struct tapsi_test_pair *p)
{
    p->remote = "192.0.2.1";
    p->port = 444;
}

static void other_server(struct tapsi_test_pair *p)
{
    (void)p; /* it has another copy of its parameters, so another secret: the ticket is sent, and says nothing to it */
}

static void isolated_client(struct tapsi_test_pair *p)
{
    tapsi_caches_free(p->caches[0]);
    p->caches[0] = NULL;
}

static void other_context(struct tapsi_test_pair *p)
{
    tapsi_caches_free(p->caches[0]);
    p->caches[0] = tapsi_caches_new(&p->mem);
}

static void isolated_server(struct tapsi_test_pair *p)
{
    tapsi_caches_free(p->caches[1]);
    p->caches[1] = NULL;
}

/* proves API-089, ARCH-17: nothing is resumed under other parameters, in isolation, or from another context */
TEST(nothing_is_resumed_under_other_parameters)
{
    check_not_resumed(other_alpn);
    check_not_resumed(other_cipher);
    check_not_resumed(other_group);
    check_not_resumed(other_signature);
    check_not_resumed(other_pin);
    check_not_resumed(other_authorities);
    check_not_resumed(other_name);
    check_not_resumed(other_mode);
    check_not_resumed(other_port);
    check_not_resumed(isolated_client);
    check_not_resumed(other_context);
}

/* The client thinks that it can, and is told otherwise: it goes on without, and its early data arrives late. */
static void check_refused(void (*change)(struct tapsi_test_pair *p))
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    struct tapsi_security *old = p.security[1];
    p.security[1] = tapsi_security_copy(old, &p.mem);
    tapsi_security_unref(old);
    change(&p);
    p.client.early = "the first, ";
    p.client.reply = "and the second";
    tapsi_test_pair_handshake(&p);
    CHECK_TEXT(p.client.error.pub.detail ? p.client.error.pub.detail : "", "");
    CHECK_TEXT(p.server.error.pub.detail ? p.server.error.pub.detail : "", "");
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.early_result, 0);
    CHECK(!p.client.info.resumed);
    CHECK(!p.client.info.early);
    CHECK(p.client.info.authenticated);
    CHECK(tapsi_test_got(&p.server, "the first, and the second"));
    CHECK_INT(p.server.got_early, 0);
    CHECK_INT(p.client.sent, 2);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

static void server_of_another_cipher(struct tapsi_test_pair *p)
{
    CHECK_INT(tapsi_security_add_ciphersuite(p->security[1], "AES-256-GCM"), 0);
}

/* proves IMPL-17: with another cipher GnuTLS alone would hang */
TEST(early_data_that_is_refused_is_sent_again_in_order)
{
    check_refused(other_server);
    check_refused(isolated_server);
    check_refused(server_of_another_cipher);
}

/* GnuTLS would encrypt its second ClientHello with the keys of the early data, and wait for ever. */
TEST(a_hello_retry_request_after_early_data_fails_at_once)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    struct tapsi_security *old = p.security[1];
    p.security[1] = tapsi_security_copy(old, &p.mem);
    tapsi_security_unref(old);
    CHECK_INT(tapsi_security_add_group(p.security[1], "secp521r1"), 0);
    p.client.early = "early";
    NEED(tapsi_test_pair_open(&p) == 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.early_result, 0);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
    CHECK(strstr(p.client.error.pub.detail, "asks to begin again, after early data") != NULL);
    CHECK_INT(p.client.sent + p.client.failed, 0);
    CHECK_INT(p.server.got_length, 0);
    tapsi_test_pair_again(&p);
    p.client.early = "late";
    NEED(tapsi_test_pair_handshake(&p));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(a_server_without_tickets_gives_none)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    CHECK_INT(tapsi_security_set_max_cached(p.security[1], 0), 0);
    NEED(first(&p));
    CHECK_INT(stored(&p), 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves API-056 */
TEST(a_client_that_caches_no_sessions_keeps_none)
{
    for (int i = 0; i < 2; i++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        CHECK_INT(i ? tapsi_security_set_cached_lifetime(p.security[0], 0)
                    : tapsi_security_set_max_cached(p.security[0], 0),
                  0);
        NEED(first(&p));
        CHECK_INT(stored(&p), 0);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

static void accept_peer(taps_trust_question *question, void *user)
{
    ++*(int *)user;
    taps_trust_question_accept(question);
}

/* proves API-058 */
TEST(a_client_that_judges_its_peers_itself_judges_each)
{
    struct tapsi_test_pair p;
    int asked = 0;
    NEED(tapsi_test_pair_init(&p));
    p.security[0]->trust = accept_peer;
    p.security[0]->trust_user = &asked;
    NEED(first(&p));
    CHECK_INT(stored(&p), 0);
    NEED(tapsi_test_pair_handshake(&p));
    CHECK(!p.client.info.resumed);
    CHECK_INT(asked, 2);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* RFC 8446, 4.6.1: the tickets of a session that was resumed are no way round the certificate for ever. */
TEST(a_session_does_not_live_on_by_being_resumed)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        CHECK_INT(tapsi_security_allow(p.security[0], (enum taps_security_protocol)version), 0);
        CHECK_INT(tapsi_security_set_cached_lifetime(p.security[0], 100), 0);
        NEED(first(&p));
        uint64_t end = tapsi_tickets_next(p.caches[0]->tickets, NULL)->expires;
        CHECK_INT(tapsi_security_set_cached_lifetime(p.security[0], 10000), 0);
        for (int i = 0; i < 3; i++) {
            NEED(tapsi_test_pair_handshake(&p));
            tapsi_test_send_text(&p.server, "x", 0);
            tapsi_test_pair_run(&p);
            CHECK(p.client.info.resumed);
            const struct tapsi_ticket *t = NULL;
            while ((t = tapsi_tickets_next(p.caches[0]->tickets, t)))
                CHECK(t->expires <= end);
            tapsi_test_pair_again(&p);
        }
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(a_ticket_that_was_never_sent_is_given_back)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    size_t before = stored(&p);
    p.client.early = "early";
    NEED(tapsi_test_pair_open(&p) == 0);
    CHECK_INT(stored(&p), before - 1);
    tapsi_test_pair_again(&p);
    CHECK_INT(stored(&p), before);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(a_ticket_that_was_sent_is_not_used_again)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    size_t before = stored(&p);
    NEED(tapsi_test_pair_open(&p) == 0);
    p.server.stream->cut_after = 0;
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.ready, 0);
    tapsi_test_pair_again(&p);
    CHECK_INT(stored(&p), before - 1);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* -------------------------------------------------------------------------------------------------- early data */

/* proves API-074, API-125 */
TEST(early_data_is_taken_and_marked)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    for (int i = 0; i < 3; i++) {
        p.client.early = "early";
        p.client.reply = "late";
        NEED(tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.early_result, 0);
        CHECK(p.client.info.early);
        CHECK(p.server.info.early);
        CHECK(tapsi_test_got(&p.server, "earlylate"));
        CHECK_INT(p.server.got_early, 5);
        CHECK_INT(p.client.sent, 2);
        CHECK_INT(p.client.failed, 0);
        tapsi_test_send_text(&p.server, "answer", 0);
        tapsi_test_pair_run(&p);
        CHECK(tapsi_test_got(&p.client, "answer"));
        tapsi_test_pair_again(&p);
    }
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* A ticket does not tell of which of them it was: so it says that no early data is taken. */
TEST(a_server_of_several_alpn_protocols_takes_no_early_data)
{
    static const char *const ids[] = {"one", "two"};
    for (int count = 1; count <= 2; count++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        prefer(&p, TAPS_PREFER);
        for (int i = 0; i < count; i++) {
            CHECK_INT(tapsi_security_add_alpn(p.security[0], ids[i]), 0);
            CHECK_INT(tapsi_security_add_alpn(p.security[1], ids[i]), 0);
        }
        NEED(first(&p));
        p.client.early = "early";
        p.client.reply = "late";
        NEED(tapsi_test_pair_handshake(&p));
        CHECK(p.client.info.resumed);
        CHECK_INT(p.client.early_result, count == 1 ? 0 : TAPS_E_CLOSED);
        CHECK_INT(p.client.info.early, count == 1);
        CHECK_INT(p.server.got_early, count == 1 ? 5 : 0);
        CHECK(tapsi_test_got(&p.server, count == 1 ? "earlylate" : "late"));
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(several_messages_go_early_and_the_last_may_be_final)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    static char big[9000];
    memset(big, 'x', sizeof(big));
    p.client.early = "one";
    NEED(tapsi_test_pair_prepare(&p) == 0);
    CHECK_INT(tapsi_test_send(&p.client, big, sizeof(big), TAPSI_OP_EARLY), 0);
    CHECK_INT(tapsi_test_send(&p.client, "three", 5, TAPSI_OP_EARLY | TAPSI_OP_END | TAPSI_OP_FINAL), 0);
    CHECK_INT(tapsi_test_send(&p.client, "four", 4, TAPSI_OP_EARLY), TAPS_E_CLOSED);
    NEED(tapsi_test_pair_start(&p) == 0);
    tapsi_test_pair_run(&p);
    CHECK(p.client.info.early);
    CHECK_INT(p.client.sent, 3);
    CHECK_INT(p.server.got_length, 3 + sizeof(big) + 5);
    CHECK_INT(p.server.got_early, p.server.got_length);
    CHECK_INT(p.server.final, 1);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(more_than_there_is_room_for_is_refused)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    static char big[16385];
    NEED(tapsi_test_pair_prepare(&p) == 0);
    union tapsi_got room;
    CHECK_INT(tapsi_layer_get(p.client.top, TAPSI_GET_EARLY_ROOM, &room), 0);
    CHECK_INT(room.value.integer, 16384);
    CHECK_INT(tapsi_test_send(&p.client, big, 16385, TAPSI_OP_EARLY), TAPS_E_CLOSED);
    CHECK_INT(tapsi_test_send(&p.client, big, 16384, TAPSI_OP_EARLY), 0);
    CHECK_INT(tapsi_layer_get(p.client.top, TAPSI_GET_EARLY_ROOM, &room), 0);
    CHECK_INT(room.value.integer, 0);
    NEED(tapsi_test_pair_start(&p) == 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.server.got_early, 16384);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves API-034 */
TEST(no_early_data_where_it_is_not_wanted)
{
    static const enum taps_preference wishes[] = {TAPS_PROHIBIT, TAPS_AVOID, TAPS_NO_PREFERENCE, TAPS_REQUIRE};
    for (int i = 0; i < 4; i++) {
        struct tapsi_test_pair p;
        NEED(open_pair(&p, wishes[i]));
        p.client.early = "early";
        NEED(tapsi_test_pair_handshake(&p));
        CHECK(p.client.info.resumed);
        CHECK_INT(p.client.early_result, i == 3 ? 0 : TAPS_E_CLOSED);
        CHECK_INT(p.client.info.early, i == 3);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(what_is_not_safely_replayable_never_goes_early)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    NEED(tapsi_test_pair_prepare(&p) == 0);
    CHECK_INT(tapsi_test_send_text(&p.client, "once only", 0), TAPS_E_CLOSED);
    NEED(tapsi_test_pair_start(&p) == 0);
    tapsi_test_pair_run(&p);
    CHECK(p.client.info.resumed);
    CHECK(!p.server.info.early);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(early_data_that_nobody_wants_yet_waits)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    p.client.early = "early";
    p.client.reply = "late";
    p.server.window = 0;
    NEED(tapsi_test_pair_handshake(&p));
    CHECK_INT(p.server.got_length, 0);
    tapsi_test_grant(&p.server, 1);
    tapsi_test_pair_run(&p);
    tapsi_test_grant(&p.server, 1000);
    tapsi_test_pair_run(&p);
    CHECK(tapsi_test_got(&p.server, "earlylate"));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* The client's whole first flight, played to the server once more: nothing of it is ever delivered. */
TEST(a_first_flight_that_is_played_again_delivers_nothing)
{
    struct tapsi_test_pair p;
    NEED(open_pair(&p, TAPS_PREFER));
    p.client.early = "pay 100";
    NEED(tapsi_test_pair_open(&p) == 0);
    p.server.stream->records = true;
    tapsi_test_pair_run(&p);
    CHECK(p.server.info.early);
    CHECK(tapsi_test_got(&p.server, "pay 100"));
    size_t length = p.server.stream->record_length, flight_length = p.server.stream->record_first;
    uint8_t *flight = p.server.stream->record;
    p.server.stream->record = NULL;
    NEED(flight && length > 100);
    for (int i = 0; i < 2; i++) {
        tapsi_test_pair_again(&p);
        p.plain[0] = true; /* an attacker, who has no keys */
        NEED(tapsi_test_pair_open(&p) == 0);
        tapsi_test_stream_arrive(p.server.stream, flight, i ? length : flight_length);
        tapsi_test_pair_run(&p);
        CHECK_INT(p.server.ready, 0);
        CHECK_INT(p.server.got_length, 0);
    }
    free(flight);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* Each byte of the first flight, wrong in turn: ticket, binder, early data. Nothing wrong is taken for good. */
TEST(a_first_flight_that_is_corrupted_is_refused)
{
    for (uint64_t at = 0; at < 900; at += 7) {
        struct tapsi_test_pair p;
        NEED(open_pair(&p, TAPS_PREFER));
        p.client.early = "early";
        NEED(tapsi_test_pair_open(&p) == 0);
        p.client.stream->flip_at = at;
        tapsi_test_pair_run(&p);
        CHECK(!p.server.ready || tapsi_test_got(&p.server, "early"));
        CHECK(!p.client.ready || p.client.info.authenticated);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(every_allocation_of_a_resumed_connection_may_fail)
{
    bool failed = true;
    for (long n = 1; failed; n++) {
        struct tapsi_test_pair p;
        NEED(open_pair(&p, TAPS_PREFER));
        p.fail_at = p.allocations + n;
        p.client.early = "early";
        if (tapsi_test_pair_open(&p) == 0)
            tapsi_test_pair_run(&p);
        failed = p.allocations >= p.fail_at;
        CHECK(failed || tapsi_test_got(&p.server, "early"));
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(a_resumed_connection_may_be_destroyed_at_every_moment)
{
    for (int moment = TAPSI_TEST_READY; moment <= TAPSI_TEST_DONE; moment++) {
        for (int side = 0; side < 2; side++) {
            struct tapsi_test_pair p;
            NEED(open_pair(&p, TAPS_PREFER));
            struct tapsi_test_end *end = side ? &p.server : &p.client;
            end->destroy_in = (enum tapsi_test_moment)moment;
            p.client.early = "early";
            p.server.reply = "reply";
            NEED(tapsi_test_pair_open(&p) == 0);
            tapsi_test_pair_run(&p);
            CHECK(end->top == NULL);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
        }
    }
}
