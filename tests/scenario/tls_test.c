/*
 * TLS on the simulated network, in the year 2027: the whole stack decides who wins, and what was to be secret is never
 * said in clear, whatever the peer is. What leaves the program is looked at byte by byte (wire.h).
 */
#include <stdio.h>
#include <string.h>
#include "peer.h"
#include "wire.h"

#define NAME   "example.test"
#define FIRST  "[2001:db8::1]:443" /* tried first */
#define SECOND "192.0.2.1:443"
#define SECRET "what nobody else may read"
#define RTT    10.0

static struct wire wire;

static void dual(struct world *w)
{
    tapsi_sim_dns_answer(w->dns, NAME, "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(w->dns, NAME, "A", "192.0.2.1", 0);
}

static void security_set(struct world *w, const char *name, const char *text)
{
    CHECK_INT(taps_security_parameters_set(w->security, name, text), 0);
}

/* Initiates with the secret waiting to be sent, and somebody waiting to read. */
static void tell_secret(struct world *w, const char *remote, uint64_t timeout_ms)
{
    if (!w->context)
        world_start(w);
    wire_tap(&wire, w->context);
    w->keep_reading = true;
    world_initiate(w, remote, timeout_ms);
    CHECK_INT(w->initiated, 0);
    CHECK_INT(taps_connection_send(w->connection, SECRET, strlen(SECRET), NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(w->connection, 1, 65536, NULL), 0);
    world_run_until_ready(w);
}

static void check_nothing_in_clear(void)
{
    CHECK(!wire_has_text(&wire, SECRET));
    CHECK(wire.length < sizeof(wire.bytes));
}

/* A certificate server at `address`, with these names and dates. */
static void serve(struct world *w, struct peer *p, const char *address, const char *names, const char *from,
                  const char *until)
{
    struct tapsi_test_identity identity = peer_certificate(names, from, until);
    peer_new(w, w->server, p);
    peer_secure(p, &identity);
    p->echo = true;
    peer_listen(w, p, address);
    tapsi_test_identity_free(&identity);
}

static const char *state_of(struct world *w, const char *remote)
{
    struct taps_candidate_info info;
    return world_candidate(w, remote, &info) ? taps_candidate_state_name(info.state) : "none";
}

/* --------------------------------------------------------------------------------------------- it works */

/* proves ARCH-09, API-050, API-061, API-144: what waited is sent when TLS is ready, and not in clear. */
TEST(a_message_that_waited_is_sent_encrypted)
{
    struct world w;
    struct peer p;
    world_new(&w);
    world_secure(&w);
    dual(&w);
    serve(&w, &p, FIRST, NAME, NULL, NULL);
    tell_secret(&w, NAME ":443", 0);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    CHECK_TEXT(taps_connection_security(w.connection), "TLS 1.3");
    world_run_ms(&w, 200);
    CHECK(peer_has(&p, SECRET));
    CHECK_INT(w.heard.length, strlen(SECRET));
    check_nothing_in_clear();
    CHECK_INT(tapsi_sim_packets_to(w.sim, SECOND), 0);
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
    world_new(&w);
    world_secure(&w);
    dual(&w);
    serve(&w, &p, FIRST, NAME, NULL, NULL);
    tell_secret(&w, NAME ":443", 0);
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

/* ------------------------------------------------------------------------------- never in clear, never less */

/* proves ARCH-09, IMPL-11: a peer that speaks no TLS gets a hello and nothing else, and no other stack is tried. */
TEST(a_peer_without_tls_is_told_nothing)
{
    static const enum tapsi_sim_behaviour behaviours[] = {TAPSI_SIM_ECHO,    TAPSI_SIM_SILENT, TAPSI_SIM_STALL,
                                                          TAPSI_SIM_DISCARD, TAPSI_SIM_SEND,   TAPSI_SIM_RESET};
    for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
        struct world w;
        world_new(&w);
        world_secure(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 443, behaviours[i]);
        tapsi_sim_service_bytes(s, "220 ready\r\n", 11);
        tapsi_sim_service_reset_after(s, 1);
        tell_secret(&w, SECOND, 3000);
        CHECK_INT(w.heard.establishment_error, 1);
        CHECK_INT(w.heard.ready, 0);
        CHECK_INT(w.heard.send_error, 1);
        CHECK_INT(w.heard.received + w.heard.received_partial, 0);
        check_nothing_in_clear();
        CHECK_INT(wire.bytes[0], 0x16);
        CHECK_INT(tapsi_sim_service_counts(s).accepted, 1);
        CHECK_INT(wire.streams, 1);
        world_run_ms(&w, 5000);
        if (behaviours[i] != TAPSI_SIM_STALL) /* which does not notice */
            CHECK_INT(tapsi_sim_service_counts(s).open, 0);
        world_finish(&w);
    }
}

/* proves ARCH-09: nor is plain text tried on a second address or a second path. */
TEST(no_address_and_no_path_makes_it_plain)
{
    struct world w;
    struct taps_candidate_info info;
    world_new(&w);
    world_secure(&w);
    dual(&w);
    world_second_path(&w, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24 2001:db8::3/64", "198.51.100.1/24");
    tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    tell_secret(&w, NAME ":443", 10000);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(taps_err_reason(w.heard.code), TAPS_REASON_PROTOCOL_FAILED);
    check_nothing_in_clear();
    const taps_report *report = taps_connection_report(w.connection);
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        if (info.stack && strcmp(info.stack, "tls/tcp") != 0)
            CHECK_INT(info.state, TAPS_CANDIDATE_PRUNED);
    }
    world_finish(&w);
}

/* proves ARCH-09, API-050: security parameters that were never given are the secure ones. */
TEST(without_parameters_security_is_required)
{
    struct world w;
    world_new(&w);
    taps_security_parameters_free(w.security);
    w.security = NULL;
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    tell_secret(&w, SECOND, 3000);
    CHECK_INT(w.heard.establishment_error, 1);
    check_nothing_in_clear();
    CHECK(tapsi_sim_service_counts(s).received == 0 || wire.bytes[0] == 0x16);
    world_finish(&w);
}

/* proves API-050: with the defaults only the system's authorities are trusted, and ours is none of them. */
TEST(without_parameters_our_authority_is_not_trusted)
{
    struct world w;
    struct peer p;
    world_new(&w);
    dual(&w);
    serve(&w, &p, FIRST, NAME, NULL, NULL);
    taps_security_parameters_free(w.security);
    w.security = NULL;
    tell_secret(&w, NAME ":443", 3000);
    CHECK_INT(w.heard.establishment_error, 1);
    check_nothing_in_clear();
    CHECK_INT(p.length, 0);
    peer_done(&p);
    world_finish(&w);
}

/* proves ARCH-10, API-051: a peer of TLS 1.2 only is no peer where 1.3 is the minimum, or the only one allowed. */
TEST(an_old_peer_is_refused_where_the_minimum_is_newer)
{
    for (int way = 0; way < 3; way++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity identity = peer_certificate(NAME, NULL, NULL);
        world_new(&w);
        world_secure(&w);
        dual(&w);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &identity);
        taps_security_parameters_allow_protocol(p.security, TAPS_TLS_1_2);
        peer_listen(&w, &p, FIRST);
        peer_listen(&w, &p, SECOND);
        if (way == 0)
            taps_security_parameters_set_minimum_version(w.security, TAPS_TLS_1_3);
        if (way == 1)
            security_set(&w, "allowedSecurityProtocols", "tls1.3");
        tell_secret(&w, NAME ":443", 3000);
        check_nothing_in_clear();
        if (way < 2) {
            CHECK_INT(w.heard.ready, 0);
            CHECK_INT(w.heard.code, TAPS_E_TLS);
            CHECK_INT(p.received, 0);
            CHECK_INT(world_count(&w, TAPS_CANDIDATE_FAILED), 2); /* the other address is tried, no other version */
        } else {                                                  /* nothing asked for: the peer is good enough */
            CHECK_TEXT(taps_connection_security(w.connection), "TLS 1.2");
        }
        tapsi_test_identity_free(&identity);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves ARCH-10, API-051: nothing newer than allowed, either; and the newest that both have. */
TEST(allowed_protocols_are_kept_in_both_directions)
{
    static const struct {
        const char *client;
        enum taps_security_protocol server;
        const char *result;
    } cases[] = {{"tls1.2", TAPS_TLS_1_3, NULL},
                 {"tls1.2", TAPS_TLS_1_2, "TLS 1.2"},
                 {"tls1.2,tls1.3", TAPS_TLS_1_3, "TLS 1.3"},
                 {"tls1.3", TAPS_TLS_1_2, NULL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity identity = peer_certificate(NAME, NULL, NULL);
        world_new(&w);
        world_secure(&w);
        tapsi_sim_dns_answer(w.dns, NAME, "A", "192.0.2.1", 0);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &identity);
        taps_security_parameters_allow_protocol(p.security, cases[i].server);
        peer_listen(&w, &p, SECOND);
        security_set(&w, "allowedSecurityProtocols", cases[i].client);
        tell_secret(&w, NAME ":443", 3000);
        CHECK_INT(w.heard.ready, cases[i].result != NULL);
        if (cases[i].result)
            CHECK_TEXT(taps_connection_security(w.connection), cases[i].result);
        check_nothing_in_clear();
        tapsi_test_identity_free(&identity);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves ARCH-10, API-063: a Listener delivers nobody who comes with less. */
TEST(a_listener_keeps_its_minimum)
{
    struct world w;
    struct peer p;
    struct tapsi_test_identity identity = peer_certificate(NAME, NULL, NULL);
    world_new(&w);
    world_secure(&w);
    tapsi_sim_dns_answer(w.dns, NAME, "A", "192.0.2.1", 0);
    peer_new(&w, w.server, &p);
    peer_secure(&p, &identity);
    taps_security_parameters_set_minimum_version(p.security, TAPS_TLS_1_3);
    peer_listen(&w, &p, SECOND);
    security_set(&w, "allowedSecurityProtocols", "tls1.2");
    tell_secret(&w, NAME ":443", 3000);
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(p.received, 0);
    CHECK_INT(taps_listener_dropped(p.listeners[0]), 1);
    tapsi_test_identity_free(&identity);
    peer_done(&p);
    world_finish(&w);
}

/* proves ARCH-09: nor somebody who speaks no TLS; his words are not taken for anything. */
TEST(a_secure_listener_delivers_no_plain_client)
{
    struct world w;
    struct peer p;
    world_new(&w);
    serve(&w, &p, SECOND, NAME, NULL, NULL);
    tell_secret(&w, SECOND, 3000); /* security is disabled here: it goes in clear */
    CHECK_INT(w.heard.ready, 1);
    world_run_ms(&w, 1000);
    CHECK_INT(p.received, 0);
    CHECK_INT(p.length, 0);
    CHECK_INT(taps_listener_dropped(p.listeners[0]), 1);
    peer_done(&p);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------- opportunistic */

static void opportunistic(struct world *w)
{
    taps_security_parameters_free(w->security);
    taps_security_parameters_new_opportunistic(&w->security);
}

/* proves API-050, IMPL-07: TLS with whoever has it, whatever his certificate says. */
TEST(opportunistic_uses_the_tls_there_is)
{
    struct world w;
    struct peer p;
    world_new(&w);
    opportunistic(&w);
    serve(&w, &p, SECOND, "somebody.else", "2020-01-01", "2021-01-01");
    tell_secret(&w, SECOND, 0);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    world_run_ms(&w, 200);
    CHECK(peer_has(&p, SECRET));
    check_nothing_in_clear();
    CHECK_INT(wire.streams, 1); /* plain text was not even tried */
    peer_done(&p);
    world_finish(&w);
}

static double time_of(struct world *w, const char *stack, bool end)
{
    const taps_report *report = taps_connection_report(w->connection);
    struct taps_candidate_info info;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        if (info.kind == TAPS_CANDIDATE_ENDPOINT && strcmp(info.stack, stack) == 0)
            return end ? info.end_ms : info.start_ms;
    }
    return -1;
}

/* proves API-050, IMPL-07, ARCH-09: plain text only when it was asked for as a last resort, and only after TLS. */
TEST(opportunistic_is_plain_only_after_tls_has_failed)
{
    static const enum tapsi_sim_behaviour behaviours[] = {TAPSI_SIM_ECHO, TAPSI_SIM_DISCARD, TAPSI_SIM_SEND};
    for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
        struct world w;
        world_new(&w);
        opportunistic(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 443, behaviours[i]);
        tapsi_sim_service_bytes(s, "220 ready\r\n", 11);
        tell_secret(&w, SECOND, 5000);
        CHECK_INT(w.heard.ready, 1);
        CHECK_TEXT(taps_connection_stack(w.connection), "tcp");
        CHECK(taps_connection_security(w.connection) == NULL);
        CHECK(time_of(&w, "tls/tcp", true) > 0);
        CHECK(time_of(&w, "tcp", false) >= time_of(&w, "tls/tcp", true));
        world_run_ms(&w, 50);
        CHECK_INT(tapsi_sim_service_counts(s).accepted, 2);
        world_finish(&w);
    }
}

/* proves ARCH-09, IMPL-07: TLS that is only slow is waited for. */
TEST(opportunistic_does_not_overtake_slow_tls)
{
    struct world w;
    struct peer p;
    world_new(&w);
    opportunistic(&w);
    serve(&w, &p, SECOND, NAME, NULL, NULL);
    tapsi_sim_link_delay(w.link, 700 * TAPSI_SIM_MS);
    tell_secret(&w, SECOND, 20000);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    check_nothing_in_clear();
    CHECK_INT(wire.streams, 1);
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
    {"a stranger's certificate", NAME, NULL, NULL, 0, false, true, TAPS_E_CERTIFICATE},
    {"an expired certificate", NAME, "2020-01-01", "2026-12-31", 0, false, false, TAPS_E_CERTIFICATE_EXPIRED},
    {"a certificate of the future", NAME, "2027-01-02", NULL, 0, false, false, TAPS_E_CERTIFICATE_EXPIRED},
    {"an old version", NAME, NULL, NULL, 0, true, false, TAPS_E_TLS},
    {"plain text", NULL, NULL, NULL, TAPSI_SIM_SEND, false, false, TAPS_E_TLS},
    {"an echo", NULL, NULL, NULL, TAPSI_SIM_ECHO, false, false, TAPS_E_TLS},
    {"an end", NULL, NULL, NULL, TAPSI_SIM_DISCARD, false, false, 0},
    {"a reset", NULL, NULL, NULL, TAPSI_SIM_RESET, false, false, TAPS_E_ABORTED},
};

static void serve_bad(struct world *w, struct peer *p, const struct bad_peer *bad)
{
    struct tapsi_test_subject stranger = {.name = "stranger", .names = NAME, .purpose = TAPSI_TEST_SERVER};
    struct tapsi_test_identity identity = bad->stranger
                                              ? tapsi_test_identity(&stranger, NULL)
                                              : peer_certificate(bad->names ? bad->names : NAME, bad->from, bad->until);
    peer_new(w, w->server, p);
    peer_secure(p, &identity);
    tapsi_test_identity_free(&identity);
    if (bad->old)
        taps_security_parameters_allow_protocol(p->security, TAPS_TLS_1_2);
    if (bad->names)
        peer_listen(w, p, FIRST);
    else
        tapsi_sim_service_bytes(tapsi_sim_serve(w->server, 443, bad->plain), "hello", 5);
}

/* The good peer is on the same name's other address, on a host of its own, since a service takes all addresses. */
static void serve_good(struct world *w, struct peer *p)
{
    struct tapsi_sim_host *host = tapsi_sim_host_new(w->sim, "good");
    struct tapsi_sim_interface *i = tapsi_sim_interface_new(host, "eth0", TAPSI_IF_ETHERNET, "192.0.2.50/24");
    struct tapsi_test_identity identity = peer_certificate(NAME, NULL, NULL);
    tapsi_sim_link_join(w->link, i);
    tapsi_sim_dns_answer(w->dns, NAME, "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(w->dns, NAME, "A", "192.0.2.50", 0);
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
        tell_secret(&w, NAME ":443", 0);
        if (!w.heard.ready || strcmp(world_winner(&w), "192.0.2.50:443") != 0)
            tapsi_test_fail(__FILE__, __LINE__, "%s: %s wins (%s)", bad_peers[i].what, world_winner(&w),
                            w.heard.detail);
        CHECK(world_candidate(&w, FIRST, &loser));
        CHECK_INT(loser.state, TAPS_CANDIDATE_FAILED);
        if (bad_peers[i].error)
            CHECK_INT(loser.error, bad_peers[i].error);
        CHECK(taps_report_ready_ms(taps_connection_report(w.connection)) < 200); /* no attempt delay was waited for */
        world_run_ms(&w, 200);
        CHECK(peer_has(&good, SECRET));
        CHECK_INT(bad.length, 0);
        CHECK_INT(bad.received, 0);
        CHECK_INT(w.heard.sent, 1);
        check_nothing_in_clear();
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
        tapsi_sim_dns_answer(w.dns, NAME, "AAAA", "2001:db8::1", 0);
        serve_bad(&w, &bad, &bad_peers[i]);
        tell_secret(&w, NAME ":443", 5000);
        CHECK_INT(w.heard.establishment_error, 1);
        if (bad_peers[i].error)
            CHECK_INT(w.heard.code, bad_peers[i].error);
        snprintf(details[i], sizeof(details[i]), "%s", w.heard.detail);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(details[i], details[k]) == 0)
                tapsi_test_fail(__FILE__, __LINE__, "%s and %s are both: %s", bad_peers[i].what, bad_peers[k].what,
                                details[i]);
        }
        check_nothing_in_clear();
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
    tell_secret(&w, NAME ":443", 0);
    CHECK_TEXT(world_winner(&w), "192.0.2.50:443");
    double ready = taps_report_ready_ms(taps_connection_report(w.connection));
    CHECK(ready > 250 + 2 * RTT && ready < 250 + 6 * RTT);
    CHECK_TEXT(state_of(&w, FIRST), "cancelled");
    world_run_ms(&w, 500);
    CHECK_INT(tapsi_sim_service_counts(stalled).accepted, 1);
    CHECK_INT(tapsi_sim_service_counts(stalled).open, 0);
    CHECK(peer_has(&good, SECRET));
    check_nothing_in_clear();
    peer_done(&good);
    world_finish(&w);
}

/* proves IMPL-11: nothing reports Ready while TLS is still talking. */
TEST(ready_comes_after_the_handshake_not_after_tcp)
{
    struct world w;
    struct peer p;
    world_new(&w);
    world_secure(&w);
    dual(&w);
    serve(&w, &p, FIRST, NAME, NULL, NULL);
    tell_secret(&w, NAME ":443", 0);
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
    tell_secret(&w, SECOND, 1000);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    world_run_ms(&w, 1000);
    CHECK_INT(tapsi_sim_service_counts(s).open, 0);
    check_nothing_in_clear();
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
        dual(&w);
        serve(&w, &p, SECOND, NAME, NULL, NULL);
        wire_tap(&wire, w.context);
        add_named_address(&w, right ? NAME : "wrong.test", "192.0.2.1");
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
        serve(&w, &p, SECOND, right ? "192.0.2.1" : NAME, NULL, NULL);
        tell_secret(&w, SECOND, 3000);
        CHECK_INT(w.heard.ready, right);
        if (!right)
            CHECK_INT(w.heard.code, TAPS_E_CERTIFICATE_NAME);
        check_nothing_in_clear();
        peer_done(&p);
        world_finish(&w);
    }
}

/* ---------------------------------------------------------------------------------------- security parameters */

static int with_parameter(const char *name, const char *client, const char *server)
{
    struct world w;
    struct peer p;
    struct tapsi_test_identity identity = peer_certificate(NAME, NULL, NULL);
    world_new(&w);
    world_secure(&w);
    tapsi_sim_dns_answer(w.dns, NAME, "A", "192.0.2.1", 0);
    peer_new(&w, w.server, &p);
    peer_secure(&p, &identity);
    if (server)
        CHECK_INT(taps_security_parameters_set(p.security, name, server), 0);
    peer_listen(&w, &p, SECOND);
    if (client)
        security_set(&w, name, client);
    tell_secret(&w, NAME ":443", 3000);
    int code = w.heard.code;
    CHECK_INT(w.heard.ready, code == 0);
    check_nothing_in_clear();
    tapsi_test_identity_free(&identity);
    peer_done(&p);
    world_finish(&w);
    return code;
}

/* proves API-054, API-055: what is not in common is no Connection, what is in common is one. */
TEST(parameters_constrain_the_handshake)
{
    CHECK_INT(with_parameter("alpn", "one", "two"), TAPS_E_TLS);
    CHECK_INT(with_parameter("alpn", "one,two", "two"), 0);
    CHECK_INT(with_parameter("alpn", "one", NULL), 0);
    CHECK_INT(with_parameter("supportedGroup", "x25519", "secp256r1"), TAPS_E_TLS);
    CHECK_INT(with_parameter("supportedGroup", "x25519", NULL), 0);
    CHECK_INT(with_parameter("ciphersuite", "AES-128-GCM", "CHACHA20-POLY1305"), TAPS_E_TLS);
    CHECK_INT(with_parameter("ciphersuite", "AES-128-GCM", NULL), 0);
    CHECK_INT(with_parameter("signatureAlgorithm", "RSA-PSS-RSAE-SHA256", NULL), TAPS_E_TLS);
    CHECK_INT(with_parameter("signatureAlgorithm", "ECDSA-SECP256R1-SHA256", NULL), 0);
}

/* proves API-052: the server asks, the client has one, has none, or has one of a stranger. */
TEST(a_client_certificate_is_shown_where_it_is_asked_for)
{
    for (int way = 0; way < 3; way++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity server = peer_certificate(NAME, NULL, NULL);
        struct tapsi_test_subject subject = {.name = "me", .names = "me.test", .purpose = TAPSI_TEST_CLIENT};
        struct tapsi_test_identity client = tapsi_test_identity(&subject, way == 2 ? NULL : peer_authority());
        world_new(&w);
        world_secure(&w);
        tapsi_sim_dns_answer(w.dns, NAME, "A", "192.0.2.1", 0);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &server);
        taps_security_parameters_add_ca_pem(p.security, peer_authority()->certificate,
                                            strlen(peer_authority()->certificate));
        taps_security_parameters_require_client_certificate(p.security, true);
        peer_listen(&w, &p, SECOND);
        if (way)
            taps_security_parameters_add_client_certificate_pem(
                w.security, client.certificate, strlen(client.certificate), client.key, strlen(client.key));
        tell_secret(&w, NAME ":443", 3000);
        world_run_ms(&w, 500);
        CHECK_INT(p.received, way == 1);
        CHECK_INT(peer_has(&p, SECRET), way == 1);
        CHECK_INT(w.heard.connection_error + w.heard.establishment_error, way != 1);
        check_nothing_in_clear();
        tapsi_test_identity_free(&server);
        tapsi_test_identity_free(&client);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves API-053: connecting fails if none of the pinned certificates matches, trusted or not. */
TEST(pinned_certificates_are_kept_to)
{
    for (int right = 0; right < 2; right++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity shown = peer_certificate(NAME, NULL, NULL);
        struct tapsi_test_identity other = peer_certificate(NAME, NULL, NULL);
        const char *pin = right ? shown.certificate : other.certificate;
        world_new(&w);
        world_secure(&w);
        tapsi_sim_dns_answer(w.dns, NAME, "A", "192.0.2.1", 0);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &shown);
        peer_listen(&w, &p, SECOND);
        CHECK_INT(taps_security_parameters_pin_server_certificate(w.security, pin, strlen(pin)), 0);
        tell_secret(&w, NAME ":443", 3000);
        CHECK_INT(w.heard.ready, right);
        if (!right)
            CHECK_INT(w.heard.code, TAPS_E_CERTIFICATE_PIN);
        tapsi_test_identity_free(&shown);
        tapsi_test_identity_free(&other);
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
    world_new(&w);
    world_secure(&w);
    dual(&w);
    serve(&w, &p, FIRST, NAME, NULL, NULL);
    tell_secret(&w, NAME ":443", 0);
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
    world_new(&w);
    world_secure(&w);
    dual(&w);
    serve(&w, &p, FIRST, NAME, NULL, NULL);
    tell_secret(&w, NAME ":443", 0);
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
    world_new(&w);
    world_secure(&w);
    dual(&w);
    serve(&w, &p, FIRST, NAME, NULL, NULL);
    world_initiate(&w, NAME ":443", 0);
    taps_connection_send(w.connection, SECRET, strlen(SECRET), NULL, 0, NULL);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK(peer_has(&p, SECRET));
    CHECK(p.final);
    peer_done(&p);
    world_finish(&w);
}
