/*
 * TLS on the simulated network, in the year 2027: the whole stack decides who wins, and how it ends. What must not
 * happen is in downgrade_test.c.
 */
#include <stdio.h>
#include <string.h>
#include "secret.h"

#define RTT 10.0

static const char *state_of(struct world *w, const char *remote)
{
    struct taps_candidate_info info;
    return world_candidate(w, remote, &info) ? taps_candidate_state_name(info.state) : "none";
}

/* --------------------------------------------------------------------------------------------- it works */

/* proves ARCH-07: what was agreed on can be asked, while there is a session. */
TEST(what_the_handshake_agreed_on_can_be_asked)
{
    struct world w;
    struct peer p;
    struct taps_security_info info = {0};
    size_t length = 0;
    secret_world(&w, &p);
    CHECK_INT(taps_connection_security_info(NULL, &info), TAPS_E_ARGUMENT);
    secret_tell(&w, SECRET_NAME ":443", 0);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(taps_connection_security_info(w.connection, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_security_info(w.connection, &info), 0);
    CHECK_TEXT(info.protocol, "TLS 1.3");
    CHECK_TEXT(info.cipher, "AES-128-GCM");
    CHECK(info.group && info.signature && info.authenticated);
    CHECK(info.certificate_count >= 1);
    const unsigned char *der = taps_connection_peer_certificate(w.connection, 0, &length);
    CHECK(der && length > 100 && der[0] == 0x30);
    CHECK(!taps_connection_peer_certificate(w.connection, info.certificate_count, &length));
    CHECK(!taps_connection_peer_certificate(w.connection, 0, NULL));
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    CHECK_INT(taps_connection_security_info(w.connection, &info), TAPS_E_STATE);
    CHECK(!taps_connection_peer_certificate(w.connection, 0, &length));
    peer_done(&p);
    world_finish(&w);
}

/* proves ARCH-09, API-050, API-061, API-144: what waited is sent when TLS is ready, and not in clear. */
TEST(a_message_that_waited_is_sent_encrypted)
{
    struct world w;
    struct peer p;
    secret_world(&w, &p);
    secret_tell(&w, SECRET_NAME ":443", 0);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    CHECK_TEXT(taps_connection_security(w.connection), "TLS 1.3");
    world_run_ms(&w, 200);
    CHECK(peer_has(&p, SECRET));
    CHECK_INT(w.heard.length, strlen(SECRET));
    secret_check();
    CHECK_INT(tapsi_sim_packets_to(w.sim, SECRET_V4), 0);
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-018, API-050: and again with the same Preconnection. */
TEST(a_secure_preconnection_serves_twice)
{
    struct world w;
    struct peer p;
    secret_world(&w, &p);
    secret_tell(&w, SECRET_NAME ":443", 0);
    taps_connection_free(w.connection);
    memset(&w.heard, 0, sizeof(w.heard));
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, &world_events, &w, &w.connection), 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_security(w.connection), "TLS 1.3");
    world_run_ms(&w, 50);
    CHECK_INT(p.received, 2);
    peer_done(&p);
    world_finish(&w);
}

/* ------------------------------------------------------------------------- the whole stack wins, or nothing */

struct bad_peer {
    const char *what;
    const char *names, *from, *until;
    enum tapsi_sim_behaviour plain; /* without names: a peer that speaks no TLS */
    bool old;                       /* TLS 1.2 only */
    bool stranger;                  /* certified by itself */
    int error;
};

static const struct bad_peer bad_peers[] = {
    {"a certificate for another name", "other.test", NULL, NULL, 0, false, false, TAPS_E_CERTIFICATE_NAME},
    {"a stranger's certificate", SECRET_NAME, NULL, NULL, 0, false, true, TAPS_E_CERTIFICATE},
    {"an expired certificate", SECRET_NAME, "2020-01-01", "2026-12-31", 0, false, false, TAPS_E_CERTIFICATE_EXPIRED},
    {"a certificate of the future", SECRET_NAME, "2027-01-02", NULL, 0, false, false, TAPS_E_CERTIFICATE_EXPIRED},
    {"an old version", SECRET_NAME, NULL, NULL, 0, true, false, TAPS_E_TLS},
    {"plain text", NULL, NULL, NULL, TAPSI_SIM_SEND, false, false, TAPS_E_TLS},
    {"an echo", NULL, NULL, NULL, TAPSI_SIM_ECHO, false, false, TAPS_E_TLS},
    {"an end", NULL, NULL, NULL, TAPSI_SIM_DISCARD, false, false, 0},
    {"a reset", NULL, NULL, NULL, TAPSI_SIM_RESET, false, false, TAPS_E_ABORTED},
};

static void serve_bad(struct world *w, struct peer *p, const struct bad_peer *bad)
{
    struct tapsi_test_subject stranger = {
        .name = "stranger", .names = SECRET_NAME, .purpose = TAPSI_TEST_SERVER, .steady = true};
    struct tapsi_test_identity identity =
        bad->stranger ? tapsi_test_identity(&stranger, NULL)
                      : peer_certificate(bad->names ? bad->names : SECRET_NAME, bad->from, bad->until);
    peer_new(w, w->server, p);
    peer_secure(p, &identity);
    tapsi_test_identity_free(&identity);
    if (bad->old)
        taps_security_parameters_allow_protocol(p->security, TAPS_TLS_1_2);
    if (bad->names)
        peer_listen(w, p, SECRET_V6);
    else
        tapsi_sim_service_bytes(tapsi_sim_serve(w->server, 443, bad->plain), "hello", 5);
}

/* The good peer is on the same name's other address, on a host of its own, since a service takes all addresses. */
static void serve_good(struct world *w, struct peer *p)
{
    struct tapsi_sim_host *host = tapsi_sim_host_new(w->sim, "good");
    struct tapsi_sim_interface *i = tapsi_sim_interface_new(host, "eth0", TAPSI_IF_ETHERNET, "192.0.2.50/24");
    struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
    tapsi_sim_link_join(w->link, i);
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "A", "192.0.2.50", 0);
    peer_new(w, host, p);
    peer_secure(p, &identity);
    peer_listen(w, p, "192.0.2.50:443");
    tapsi_test_identity_free(&identity);
}

/* proves IMPL-11, IMPL-07, IMPL-10, ARCH-09: TLS that fails on the first address continues the race, at once; the
   secret reaches the second peer only. */
TEST(tls_that_fails_on_the_first_address_lets_the_second_win)
{
    for (size_t i = 0; i < sizeof(bad_peers) / sizeof(bad_peers[0]); i++) {
        struct world w;
        struct peer bad, good;
        struct taps_candidate_info loser;
        world_new(&w);
        world_secure(&w);
        taps_security_parameters_set_minimum_version(w.security, TAPS_TLS_1_3);
        serve_bad(&w, &bad, &bad_peers[i]);
        serve_good(&w, &good);
        secret_tell(&w, SECRET_NAME ":443", 0);
        if (!w.heard.ready || strcmp(world_winner(&w), "192.0.2.50:443") != 0)
            tapsi_test_fail(__FILE__, __LINE__, "%s: %s wins (%s)", bad_peers[i].what, world_winner(&w),
                            w.heard.detail);
        CHECK(world_candidate(&w, SECRET_V6, &loser));
        CHECK_INT(loser.state, TAPS_CANDIDATE_FAILED);
        if (bad_peers[i].error)
            CHECK_INT(loser.error, bad_peers[i].error);
        CHECK(taps_report_ready_ms(taps_connection_report(w.connection)) < 200); /* no attempt delay was waited for */
        world_run_ms(&w, 200);
        CHECK(peer_has(&good, SECRET));
        CHECK_INT(bad.length, 0);
        CHECK_INT(bad.received, 0);
        CHECK_INT(w.heard.sent, 1);
        secret_check();
        peer_done(&bad);
        peer_done(&good);
        world_finish(&w);
    }
}

/* proves API-062, IMPL-25: and without a second address each fault has its own code, and words. */
TEST(each_fault_of_a_peer_is_told_apart)
{
    char details[sizeof(bad_peers) / sizeof(bad_peers[0])][300];
    for (size_t i = 0; i < sizeof(bad_peers) / sizeof(bad_peers[0]); i++) {
        struct world w;
        struct peer bad;
        world_new(&w);
        world_secure(&w);
        taps_security_parameters_set_minimum_version(w.security, TAPS_TLS_1_3);
        tapsi_sim_dns_answer(w.dns, SECRET_NAME, "AAAA", "2001:db8::1", 0);
        serve_bad(&w, &bad, &bad_peers[i]);
        secret_tell(&w, SECRET_NAME ":443", 5000);
        CHECK_INT(w.heard.establishment_error, 1);
        if (bad_peers[i].error)
            CHECK_INT(w.heard.code, bad_peers[i].error);
        snprintf(details[i], sizeof(details[i]), "%s", w.heard.detail);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(details[i], details[k]) == 0)
                tapsi_test_fail(__FILE__, __LINE__, "%s and %s are both: %s", bad_peers[i].what, bad_peers[k].what,
                                details[i]);
        }
        secret_check();
        peer_done(&bad);
        world_finish(&w);
    }
}

/* proves IMPL-11, IMPL-07: TCP alone is not ready: a handshake that stalls costs one attempt delay, and then loses. */
TEST(a_stalled_handshake_costs_one_attempt_delay)
{
    struct world w;
    struct peer good;
    world_new(&w);
    world_secure(&w);
    struct tapsi_sim_service *stalled = tapsi_sim_serve(w.server, 443, TAPSI_SIM_SILENT);
    serve_good(&w, &good);
    secret_tell(&w, SECRET_NAME ":443", 0);
    CHECK_TEXT(world_winner(&w), "192.0.2.50:443");
    double ready = taps_report_ready_ms(taps_connection_report(w.connection));
    CHECK(ready > 250 + 2 * RTT && ready < 250 + 6 * RTT);
    CHECK_TEXT(state_of(&w, SECRET_V6), "cancelled");
    world_run_ms(&w, 500);
    CHECK_INT(tapsi_sim_service_counts(stalled).accepted, 1);
    CHECK_INT(tapsi_sim_service_counts(stalled).open, 0);
    CHECK(peer_has(&good, SECRET));
    secret_check();
    peer_done(&good);
    world_finish(&w);
}

/* proves IMPL-11: nothing reports Ready while TLS is still talking. */
TEST(ready_comes_after_the_handshake_not_after_tcp)
{
    struct world w;
    struct peer p;
    secret_world(&w, &p);
    secret_tell(&w, SECRET_NAME ":443", 0);
    double ready = taps_report_ready_ms(taps_connection_report(w.connection));
    CHECK(ready > 3 * RTT - 1); /* DNS, TCP, TLS 1.3 */
    CHECK(ready < 3 * RTT + 5);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-060, API-062: the deadline covers the handshake, and says so once. */
TEST(the_deadline_covers_the_handshake)
{
    struct world w;
    world_new(&w);
    world_secure(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 443, TAPSI_SIM_SILENT);
    secret_tell(&w, SECRET_V4, 1000);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    world_run_ms(&w, 1000);
    CHECK_INT(tapsi_sim_service_counts(s).open, 0);
    secret_check();
    world_finish(&w);
}

/* ---------------------------------------------------------------------------------------- name and address */

static void add_named_address(struct world *w, const char *name, const char *address)
{
    taps_endpoint *e;
    taps_remote_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_host_name(e, name), 0);
    CHECK_INT(taps_endpoint_with_ip_address(e, address), 0);
    CHECK_INT(taps_endpoint_with_port(e, 443), 0);
    CHECK_INT(taps_preconnection_add_remote(w->preconnection, e), 0);
    taps_endpoint_free(e);
}

/* proves API-010: an address beside a name is the only one used; the name is what the certificate must show. */
TEST(an_address_beside_a_name_is_used_and_the_name_checked)
{
    for (int right = 0; right < 2; right++) {
        struct world w;
        struct peer p;
        world_new(&w);
        world_secure(&w);
        secret_name(&w);
        secret_serve(&w, &p, SECRET_V4, SECRET_NAME, NULL, NULL);
        wire_tap(&secret_wire, w.context);
        add_named_address(&w, right ? SECRET_NAME : "wrong.test", "192.0.2.1");
        taps_preconnection_set_security_parameters(w.preconnection, w.security);
        CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, &world_events, &w, &w.connection), 0);
        world_run_until_ready(&w);
        CHECK_INT(w.heard.ready, right);
        if (!right)
            CHECK_INT(w.heard.code, TAPS_E_CERTIFICATE_NAME);
        CHECK_INT(tapsi_sim_dns_queries(w.dns, NULL, NULL), 0);
        CHECK_INT(tapsi_sim_packets_to(w.sim, "2001:db8::1"), 0);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves API-010, ARCH-09: by address alone a certificate for a name does not do, one for the address does. */
TEST(by_address_the_certificate_must_be_for_the_address)
{
    for (int right = 0; right < 2; right++) {
        struct world w;
        struct peer p;
        world_new(&w);
        world_secure(&w);
        secret_serve(&w, &p, SECRET_V4, right ? "192.0.2.1" : SECRET_NAME, NULL, NULL);
        secret_tell(&w, SECRET_V4, 3000);
        CHECK_INT(w.heard.ready, right);
        if (!right)
            CHECK_INT(w.heard.code, TAPS_E_CERTIFICATE_NAME);
        secret_check();
        peer_done(&p);
        world_finish(&w);
    }
}

/* ---------------------------------------------------------------------------------------------------- ends */

/* proves API-143, API-123: close_notify is the end of the data; Closed after both have said it. */
TEST(an_orderly_end_of_tls_is_closed)
{
    struct world w;
    struct peer p;
    secret_world(&w, &p);
    secret_tell(&w, SECRET_NAME ":443", 0);
    world_run_ms(&w, 100);
    taps_connection_close(p.last);
    world_run_ms(&w, 500);
    CHECK(w.heard.final);
    CHECK_INT(w.heard.connection_error, 0);
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(p.closed, 1);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-143, API-141: the peer's abort is no end of the data. */
TEST(a_reset_under_tls_is_a_connection_error)
{
    struct world w;
    struct peer p;
    secret_world(&w, &p);
    secret_tell(&w, SECRET_NAME ":443", 0);
    world_run_ms(&w, 100);
    taps_connection_abort(p.last);
    world_run_until_end(&w);
    CHECK(!w.heard.final);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.closed, 0);
    CHECK_INT(taps_err_reason(w.heard.code), TAPS_REASON_CONNECTION_ABORTED);
    CHECK_INT(w.heard.receive_error, 1);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-140: everything given before Close arrives, also what waited for the handshake. */
TEST(close_before_the_handshake_is_over_delivers_what_was_sent)
{
    struct world w;
    struct peer p;
    secret_world(&w, &p);
    world_initiate(&w, SECRET_NAME ":443", 0);
    taps_connection_send(w.connection, SECRET, strlen(SECRET), NULL, 0, NULL);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK(peer_has(&p, SECRET));
    CHECK(p.final);
    peer_done(&p);
    world_finish(&w);
}
