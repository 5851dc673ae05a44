/* QUIC and TLS over TCP in one race (RFC 9623, 4; both as secure as was asked for: ARCH-11), and what one race leaves
   for the next, to the millisecond. What leaves the program is looked at byte by byte. */
#include <string.h>
#include "secret.h"

#define RTT   10.0
#define DELAY 250.0
#define HOST  "192.0.2.1:443"
#define UDP   "udp " HOST
#define TCP   "tcp " HOST
#define NAME  SECRET_NAME ":443"

static const char quic[] = "quic", tls[] = "tls/tcp";

/* ------------------------------------------------------------------------------------------------- the world */

/* A server at HOST with a certificate for `names`: `protocols` "quic", "tls1.3" ... or NULL for all. */
static void serve(struct world *w, struct peer *p, const char *names, const char *protocols, const char *alpn)
{
    struct tapsi_test_identity identity = peer_certificate(names, NULL, NULL);
    peer_new(w, w->server, p);
    peer_secure(p, &identity);
    if (protocols)
        CHECK_INT(taps_security_parameters_set(p->security, "allowedSecurityProtocols", protocols), 0);
    CHECK_INT(taps_security_parameters_add_alpn(p->security, alpn), 0);
    p->echo = true;
    peer_listen(w, p, HOST);
    tapsi_test_identity_free(&identity);
}

/* The name has one address; what the client offers can run over both. */
static void begin(struct world *w)
{
    world_new(w);
    world_secure(w);
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "A", "192.0.2.1", 0);
    CHECK_INT(taps_security_parameters_add_alpn(w->security, "echo"), 0);
}

static void tap(struct world *w)
{
    if (!w->context)
        world_start(w);
    wire_tap(&secret_wire, w->context);
}

/* The usual: one server that has both. */
static void begin_both(struct world *w, struct peer *p)
{
    begin(w);
    serve(w, p, SECRET_NAME ",third.test,192.0.2.1", NULL, "echo");
    tap(w);
}

/* One more race, with the secret waiting to be sent. */
static void go(struct world *w, const char *remote)
{
    taps_connection_free(w->connection);
    taps_preconnection_free(w->preconnection);
    w->connection = NULL;
    w->preconnection = NULL;
    memset(&w->heard, 0, sizeof(w->heard));
    taps_preconnection_new(w->context, &w->preconnection);
    w->keep_reading = true;
    world_initiate(w, remote, 5000);
    CHECK_INT(w->initiated, 0);
    taps_connection_send(w->connection, SECRET, strlen(SECRET), NULL, 0, NULL);
    taps_connection_receive(w->connection, 1, 65536, NULL);
    world_run_until_ready(w);
}

/* ------------------------------------------------------------------------------------------------ what happened */

static bool find(const struct world *w, enum taps_candidate_kind kind, const char *stack,
                 struct taps_candidate_info *ret)
{
    const taps_report *report = taps_connection_report(w->connection);
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        if (taps_report_candidate(report, i, ret) == 0 && ret->kind == kind && ret->stack &&
            strcmp(ret->stack, stack) == 0)
            return true;
    }
    memset(ret, 0, sizeof(*ret));
    ret->reason = "";
    ret->start_ms = ret->end_ms = -1;
    return false;
}

static struct taps_candidate_info protocol(const struct world *w, const char *stack)
{
    struct taps_candidate_info info;
    CHECK(find(w, TAPS_CANDIDATE_PROTOCOL, stack, &info));
    return info;
}

/* Its only address; it has one once it has started. */
static struct taps_candidate_info leaf(const struct world *w, const char *stack)
{
    struct taps_candidate_info info;
    CHECK(find(w, TAPS_CANDIDATE_ENDPOINT, stack, &info));
    return info;
}

static const char *winner(const struct world *w)
{
    struct taps_candidate_info info;
    if (find(w, TAPS_CANDIDATE_PROTOCOL, quic, &info) && info.state == TAPS_CANDIDATE_WON)
        return quic;
    if (find(w, TAPS_CANDIDATE_PROTOCOL, tls, &info) && info.state == TAPS_CANDIDATE_WON)
        return tls;
    return "nobody";
}

static bool near(double value, double expected)
{
    if (value > expected - 3 && value < expected + 3)
        return true;
    tapsi_test_fail(__FILE__, __LINE__, "%.3f ms, expected %.3f", value, expected);
    return false;
}

static double ready(const struct world *w)
{
    return taps_report_ready_ms(taps_connection_report(w->connection));
}

static void finish(struct world *w, struct peer *p)
{
    secret_check();
    if (p)
        peer_done(p);
    world_finish(w);
}

/* ------------------------------------------------------------------------------------------------------ racing */

/* proves ARCH-11, IMPL-07, IMPL-11: one round trip for the name, one for QUIC; nothing of TCP is seen. */
TEST(quic_is_first_and_where_it_answers_tcp_is_not_seen)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), quic);
    CHECK_TEXT(taps_connection_security(w.connection), "QUIC 1 (TLS 1.3)");
    CHECK(near(ready(&w), 2 * RTT));
    CHECK_INT(protocol(&w, tls).state, TAPS_CANDIDATE_NOT_STARTED);
    CHECK_INT(secret_wire.streams, 0);
    world_run_ms(&w, 1000);
    CHECK_INT(secret_wire.streams, 0);
    CHECK_INT(w.heard.length, strlen(SECRET));
    finish(&w, &p);
}

/* proves ARCH-13 */
TEST(the_order_is_the_same_each_time)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    for (int i = 0; i < 5; i++) {
        go(&w, NAME);
        CHECK_TEXT(winner(&w), quic);
        CHECK_TEXT(protocol(&w, quic).id, "1.1");
        CHECK_TEXT(protocol(&w, tls).id, "1.2");
    }
    finish(&w, &p);
}

/* proves ARCH-08: of protocols that are for one of them the other has nothing to offer. */
TEST(ids_for_one_transport_leave_one_stack)
{
    static const struct {
        const char *id, *left, *out, *reason;
    } rows[] = {{"h3", "quic", "tls/tcp", "none of the ALPN protocols given can run over TLS over TCP"},
                {"h2", "tls/tcp", "quic", "none of the ALPN protocols given can run over QUIC"},
                {NULL, "tls/tcp", "quic", "QUIC needs an ALPN protocol, and none was given"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        struct peer p;
        world_new(&w);
        world_secure(&w);
        tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
        if (rows[i].id)
            CHECK_INT(taps_security_parameters_add_alpn(w.security, rows[i].id), 0);
        serve(&w, &p, SECRET_NAME, rows[i].id ? NULL : "tls1.3", rows[i].id ? rows[i].id : "echo");
        tap(&w);
        go(&w, NAME);
        CHECK_TEXT(winner(&w), rows[i].left);
        CHECK_INT(protocol(&w, rows[i].out).state, TAPS_CANDIDATE_PRUNED);
        CHECK_TEXT(protocol(&w, rows[i].out).reason, rows[i].reason);
        finish(&w, &p);
    }
}

/* proves API-045: a stream shows itself with its first byte, and who only receives says none: it goes over TCP. */
TEST(who_only_receives_does_not_wait_over_quic_for_ever)
{
    struct world w;
    struct peer p;
    begin(&w);
    serve(&w, &p, SECRET_NAME, NULL, "echo");
    p.greeting = "welcome";
    tap(&w);
    CHECK_INT(taps_transport_properties_set(w.properties, "direction", "unidirectional receive"), 0);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), tls);
    CHECK_TEXT(protocol(&w, quic).reason, "direction is unidirectional receive, and over QUIC the peer hears of who "
                                          "initiates by what is sent");
    world_run_ms(&w, 200);
    CHECK(w.heard.length == strlen(p.greeting));
    finish(&w, &p);
}

/* proves IMPL-07: TCP one attempt delay later; it wins, and ends QUIC. */
TEST(where_udp_is_swallowed_tcp_follows_after_the_attempt_delay)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), tls);
    CHECK(near(ready(&w), RTT + DELAY + 2 * RTT));
    CHECK(near(leaf(&w, tls).start_ms - leaf(&w, quic).start_ms, DELAY));
    CHECK_INT(leaf(&w, quic).state, TAPS_CANDIDATE_CANCELLED);
    uint64_t packets = tapsi_sim_packets_to(w.sim, HOST);
    world_run_ms(&w, 20);
    CHECK_INT(tapsi_sim_host_sockets(w.client), 1);
    CHECK(tapsi_sim_packets_to(w.sim, HOST) >= packets);
    finish(&w, &p);
}

/* proves IMPL-07: it costs the next one nothing. */
TEST(quic_that_is_refused_starts_tcp_at_once)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_REFUSE);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), tls);
    CHECK(near(ready(&w), RTT + RTT + 2 * RTT));
    CHECK_INT(leaf(&w, quic).state, TAPS_CANDIDATE_FAILED);
    CHECK_INT(leaf(&w, quic).error, TAPS_E_REFUSED);
    CHECK(leaf(&w, tls).start_ms - leaf(&w, quic).end_ms < 1);
    finish(&w, &p);
}

/* It is slower than TCP would be, but has not taken the attempt delay. */
TEST(quic_that_is_slow_wins_within_the_attempt_delay_and_loses_after_it)
{
    static const struct {
        uint64_t more_ms;
        const char *winner;
        double ready;
    } rows[] = {{200, "quic", RTT + RTT + 200}, {600, "tls/tcp", RTT + DELAY + 2 * RTT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        struct peer p;
        begin_both(&w, &p);
        tapsi_sim_delay(w.sim, UDP, rows[i].more_ms * TAPSI_SIM_MS);
        go(&w, NAME);
        CHECK_TEXT(winner(&w), rows[i].winner);
        CHECK(near(ready(&w), rows[i].ready));
        finish(&w, &p);
    }
}

/* A version negotiation packet (RFC 9000, 17.2.1) that lists one nobody has. */
static void negotiate(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                      const uint8_t *bytes, size_t count)
{
    uint8_t answer[64] = {0x80 | 0x2a};
    size_t at = 5, destination = count > 6 ? bytes[5] : 0;
    (*(unsigned *)arg)++;
    if (count < 1200 || destination > 20 || bytes[6 + destination] > 20)
        return;
    const uint8_t *source = bytes + 6 + destination;
    memcpy(answer + at, source, 1u + source[0]);
    at += 1u + source[0];
    memcpy(answer + at, bytes + 5, 1 + destination);
    at += 1 + destination;
    memcpy(answer + at, "\x1a\x2a\x3a\x4a", 4);
    tapsi_sim_udp_reply(udp, to, from, answer, at + 4, 0);
}

TEST(quic_of_an_unknown_version_starts_tcp_at_once)
{
    struct world w;
    struct peer p;
    unsigned asked = 0;
    begin(&w);
    serve(&w, &p, SECRET_NAME, "tls1.3", "echo");
    tapsi_sim_udp_serve(w.server, 443, negotiate, &asked);
    tap(&w);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), tls);
    CHECK(near(ready(&w), RTT + RTT + 2 * RTT));
    CHECK_INT(leaf(&w, quic).state, TAPS_CANDIDATE_FAILED);
    CHECK_INT(asked, 1);
    finish(&w, &p);
}

/* proves IMPL-11, ARCH-09: who shows a wrong certificate over QUIC is not spoken to; who shows the right one over TCP
 * is. */
TEST(a_wrong_certificate_over_quic_starts_tcp_at_once)
{
    struct world w;
    struct peer wrong, right;
    begin(&w);
    serve(&w, &wrong, "other.test", "quic", "echo");
    serve(&w, &right, SECRET_NAME, "tls1.3", "echo");
    tap(&w);
    for (int i = 0; i < 2; i++) { /* and it is not remembered: a certificate can be replaced at any moment */
        go(&w, NAME);
        CHECK_TEXT(winner(&w), tls);
        CHECK_INT(leaf(&w, quic).error, TAPS_E_CERTIFICATE_NAME);
        CHECK(leaf(&w, tls).start_ms - leaf(&w, quic).end_ms < 1);
        CHECK_INT(wrong.received, 0);
    }
    peer_done(&wrong);
    finish(&w, &right);
}

TEST(a_wrong_certificate_over_tcp_where_udp_is_swallowed_is_an_error)
{
    struct world w;
    struct peer p;
    begin(&w);
    serve(&w, &p, "other.test", NULL, "echo");
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    tap(&w);
    go(&w, NAME);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.ready + w.heard.sent, 0);
    finish(&w, &p);
}

TEST(where_both_are_dead_it_is_an_error)
{
    static const struct {
        enum tapsi_sim_fault fault;
        int code;
        double end;
    } rows[] = {{TAPSI_SIM_BLACKHOLE, TAPS_E_TIMEOUT, 5000}, {TAPSI_SIM_REFUSE, TAPS_E_REFUSED, 3 * RTT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        struct peer p;
        begin_both(&w, &p);
        tapsi_sim_fault(w.sim, HOST, rows[i].fault);
        double start = taps_context_now_ms(w.context);
        go(&w, NAME);
        CHECK_INT(w.heard.code, rows[i].code);
        CHECK(near(taps_context_now_ms(w.context) - start, rows[i].end));
        finish(&w, &p);
    }
}

/* proves IMPL-07: the attempt delay is the application's to choose. */
TEST(the_winner_is_delayed_by_the_attempt_delay_and_no_more)
{
    struct world w;
    struct peer p;
    begin(&w);
    CHECK_INT(taps_transport_properties_set(w.properties, "_attemptDelay", "0.02"), 0);
    serve(&w, &p, SECRET_NAME, NULL, "echo");
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    tap(&w);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), tls);
    CHECK(near(ready(&w), RTT + 20 + 2 * RTT));
    finish(&w, &p);
}

/* The name has both families, and the server both stacks on each. */
static void begin_families(struct world *w, struct peer *p)
{
    begin(w);
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "AAAA", "2001:db8::1", 0);
    serve(w, p, SECRET_NAME, NULL, "echo");
    peer_listen(w, p, SECRET_V6);
    tap(w);
}

/* proves IMPL-07, IMPL-08: each parent has a timer of its own: the second address of QUIC and the first of TCP start
   together, and what comes through wins. */
TEST(addresses_and_stacks_are_staggered_side_by_side)
{
    static const struct {
        const char *faults[2];
        const char *winner, *remote;
        double ready;
    } rows[] = {
        {{NULL, NULL}, "quic", SECRET_V6, 2 * RTT},
        {{"2001:db8::1", NULL}, "quic", SECRET_V4, RTT + DELAY + RTT},
        {{"udp " SECRET_V6, NULL}, "quic", SECRET_V4, RTT + DELAY + RTT},
        {{"udp " SECRET_V6, UDP}, "tls/tcp", SECRET_V6, RTT + DELAY + 2 * RTT},
        {{"2001:db8::1", UDP}, "tls/tcp", SECRET_V4, RTT + DELAY + DELAY + 2 * RTT},
        {{"2001:db8::1", TCP}, "quic", SECRET_V4, RTT + DELAY + RTT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        struct peer p;
        begin_families(&w, &p);
        for (size_t k = 0; k < 2 && rows[i].faults[k]; k++)
            tapsi_sim_fault(w.sim, rows[i].faults[k], TAPSI_SIM_BLACKHOLE);
        go(&w, NAME);
        CHECK_TEXT(winner(&w), rows[i].winner);
        CHECK_TEXT(world_winner(&w), rows[i].remote);
        CHECK(near(ready(&w), rows[i].ready));
        finish(&w, &p);
    }
}

/* A name that takes longer to find than the attempt delay takes none of it from QUIC. */
TEST(the_delay_begins_with_the_first_address)
{
    struct world w;
    struct peer p;
    begin(&w);
    tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 400 * TAPSI_SIM_MS);
    serve(&w, &p, SECRET_NAME, NULL, "echo");
    tapsi_sim_delay(w.sim, UDP, 200 * TAPSI_SIM_MS);
    tap(&w);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), quic);
    CHECK_INT(secret_wire.streams, 0);
    finish(&w, &p);
}

/* Racing costs the winner nothing: it is ready as soon as where it is alone. */
TEST(the_winner_is_as_fast_as_alone)
{
    double times[2];
    for (int alone = 0; alone < 2; alone++) {
        struct world w;
        struct peer p;
        begin_both(&w, &p);
        if (alone)
            secret_set(&w, "allowedSecurityProtocols", "quic");
        go(&w, NAME);
        CHECK_TEXT(winner(&w), quic);
        times[alone] = ready(&w);
        finish(&w, &p);
    }
    CHECK(times[0] <= times[1] + 1);
}

/* ---------------------------------------------------------------------------------------------------- the past */

/* proves IMPL-14, ARCH-16: the next race does not pay again; QUIC is probed after five minutes. */
TEST(udp_that_was_swallowed_is_remembered_for_five_minutes)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    go(&w, NAME);
    world_run_ms(&w, 180000);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), tls);
    CHECK(near(ready(&w), 3 * RTT));
    CHECK_TEXT(protocol(&w, tls).id, "1.1");
    CHECK_INT(protocol(&w, quic).state, TAPS_CANDIDATE_NOT_STARTED);
    CHECK_TEXT(protocol(&w, quic).reason, "later: quic did not come through to this endpoint 3 minutes ago");
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_FINE);
    world_run_ms(&w, 130000);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), quic);
    CHECK_TEXT(protocol(&w, quic).id, "1.1");
    finish(&w, &p);
}

/* proves IMPL-14: in doubt it is behind, and still in the race. */
TEST(what_is_in_doubt_wins_where_the_others_fail)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    go(&w, NAME);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_FINE);
    tapsi_sim_fault(w.sim, TCP, TAPSI_SIM_REFUSE);
    go(&w, NAME);
    CHECK_TEXT(winner(&w), quic);
    CHECK(near(ready(&w), RTT + RTT + RTT));
    tapsi_sim_fault(w.sim, TCP, TAPSI_SIM_FINE);
    go(&w, NAME); /* it came through: no doubt is left; and TCP did not */
    CHECK_TEXT(protocol(&w, quic).id, "1.1");
    CHECK_TEXT(winner(&w), quic);
    finish(&w, &p);
}

TEST(refused_quic_is_remembered_for_the_endpoint)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_REFUSE);
    go(&w, NAME);
    world_run_ms(&w, 1000);
    go(&w, NAME);
    CHECK(near(ready(&w), 3 * RTT));
    CHECK_TEXT(protocol(&w, quic).reason, "later: this endpoint did not take quic 1 second ago");
    go(&w, HOST); /* is another one, as it was given */
    CHECK_TEXT(protocol(&w, quic).id, "1.1");
    finish(&w, &p);
}

/* proves IMPL-14: where several Remote Endpoints were raced, the one it happened at */
TEST(swallowed_quic_is_held_against_the_endpoint_that_swallowed_it)
{
    struct world w;
    struct peer p;
    taps_endpoint *other;
    begin_both(&w, &p);
    tapsi_sim_dns_answer(w.dns, "nobody.test", "A", "192.0.2.9", 0);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    taps_remote_endpoint_new(&other);
    CHECK_INT(taps_endpoint_with_text(other, "nobody.test:443"), 0);
    taps_preconnection_add_remote(w.preconnection, other);
    taps_endpoint_free(other);
    world_initiate(&w, NAME, 5000);
    world_run_until_ready(&w);
    CHECK_TEXT(winner(&w), tls);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_FINE);
    go(&w, NAME);
    CHECK_TEXT(protocol(&w, quic).id, "1.2");
    CHECK(strstr(protocol(&w, quic).reason, "later: quic did not come through to this endpoint") != NULL);
    go(&w, "nobody.test:443");
    CHECK_TEXT(protocol(&w, quic).id, "1.1");
    finish(&w, &p);
}

/* proves IMPL-14: UDP is blocked here, whoever is asked next. */
TEST(two_swallowed_endpoints_make_a_network_that_swallows)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    tapsi_sim_dns_answer(w.dns, "third.test", "A", "192.0.2.1", 0);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    go(&w, NAME);
    go(&w, HOST);
    go(&w, "third.test:443");
    CHECK_TEXT(protocol(&w, tls).id, "1.1");
    CHECK_TEXT(winner(&w), tls);
    CHECK_TEXT(protocol(&w, quic).reason, "later: quic did not come through on this network 0 seconds ago");
    finish(&w, &p);
}

/* proves ARCH-16, API-089: the application may keep out of it. */
TEST(an_isolated_session_neither_teaches_nor_learns)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    CHECK_INT(taps_transport_properties_set(w.properties, "isolateSession", "true"), 0);
    go(&w, NAME);
    CHECK_INT(taps_transport_properties_set(w.properties, "isolateSession", "false"), 0);
    go(&w, NAME); /* nothing was taught */
    CHECK_TEXT(protocol(&w, quic).id, "1.1");
    CHECK_INT(taps_transport_properties_set(w.properties, "isolateSession", "true"), 0);
    go(&w, NAME); /* nothing is learned */
    CHECK_TEXT(protocol(&w, quic).id, "1.1");
    CHECK(near(ready(&w), RTT + DELAY + 2 * RTT));
    finish(&w, &p);
}

/* proves ARCH-16, ARCH-17 */
TEST(a_context_without_caches_remembers_nothing)
{
    struct world w;
    struct peer p;
    begin(&w);
    w.options.no_caches = true;
    serve(&w, &p, SECRET_NAME, NULL, "echo");
    tap(&w);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    for (int i = 0; i < 2; i++) {
        go(&w, NAME);
        CHECK(near(ready(&w), RTT + DELAY + 2 * RTT));
        CHECK_TEXT(protocol(&w, quic).id, "1.1");
    }
    finish(&w, &p);
}

/* proves ARCH-17: nor does another context know what one has been through. */
TEST(contexts_do_not_tell_each_other)
{
    struct world w;
    struct peer p;
    begin_both(&w, &p);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    go(&w, NAME);
    taps_connection_free(w.connection);
    taps_preconnection_free(w.preconnection);
    taps_context *first = w.context;
    w.connection = NULL;
    w.preconnection = NULL;
    world_start(&w);
    go(&w, NAME);
    CHECK_TEXT(protocol(&w, quic).id, "1.1");
    CHECK(near(ready(&w), RTT + DELAY + 2 * RTT));
    CHECK_INT(taps_context_free(first), 0);
    finish(&w, &p);
}

/* What the application says weighs more than what happened. */
TEST(an_explicit_preference_is_kept_whatever_happened)
{
    struct world w;
    struct peer p;
    begin(&w);
    CHECK_INT(taps_transport_properties_set(w.properties, "multistreaming", "prefer"), 0);
    serve(&w, &p, SECRET_NAME, NULL, "echo");
    tap(&w);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_BLACKHOLE);
    for (int i = 0; i < 2; i++) {
        go(&w, NAME);
        CHECK_TEXT(protocol(&w, quic).id, "1.1");
    }
    finish(&w, &p);
}

/* ------------------------------------------------------------------------------------------------- downgrades */

/* proves ARCH-09, ARCH-10: whatever fails, the winner is as secure as was asked for, or there is none; and nothing is
   said in clear. */
TEST(whatever_fails_the_winner_is_secure)
{
    static const struct {
        const char *names, *protocols, *alpn; /* the server's; names NULL: one that speaks no TLS */
        const char *fault;
        const char *winner;
    } rows[] = {
        {SECRET_NAME, NULL, "echo", NULL, "quic"},
        {SECRET_NAME, NULL, "echo", UDP, "tls/tcp"},
        {SECRET_NAME, NULL, "echo", TCP, "quic"},
        {SECRET_NAME, "tls1.3", "echo", NULL, "tls/tcp"},
        {SECRET_NAME, "quic", "echo", NULL, "quic"},
        {SECRET_NAME, "tls1.2", "echo", NULL, "nobody"}, /* the minimum is 1.3 */
        {SECRET_NAME, "tls1.2", "echo", UDP, "nobody"},
        {SECRET_NAME, NULL, "other", NULL, "nobody"},
        {SECRET_NAME, NULL, "other", UDP, "nobody"},
        {"other.test", NULL, "echo", NULL, "nobody"},
        {"other.test", NULL, "echo", UDP, "nobody"},
        {NULL, NULL, NULL, NULL, "nobody"},
        {NULL, NULL, NULL, UDP, "nobody"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        struct peer p;
        begin(&w);
        CHECK_INT(taps_security_parameters_set_minimum_version(w.security, TAPS_TLS_1_3), 0);
        if (rows[i].names)
            serve(&w, &p, rows[i].names, rows[i].protocols, rows[i].alpn);
        else
            tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
        if (rows[i].fault)
            tapsi_sim_fault(w.sim, rows[i].fault, TAPSI_SIM_BLACKHOLE);
        tap(&w);
        go(&w, NAME);
        CHECK_TEXT(winner(&w), rows[i].winner);
        CHECK_INT(w.heard.ready, strcmp(rows[i].winner, "nobody") != 0);
        finish(&w, rows[i].names ? &p : NULL);
    }
}

/* proves ARCH-09: that there is no QUIC says nothing about TLS; and silence says nothing at all. */
TEST(refused_quic_lets_no_plain_text_go_before_tls_has_answered)
{
    struct world w;
    begin(&w);
    secret_opportunistic(&w);
    CHECK_INT(taps_security_parameters_add_alpn(w.security, "echo"), 0);
    tapsi_sim_fault(w.sim, UDP, TAPSI_SIM_REFUSE);
    tapsi_sim_fault(w.sim, TCP, TAPSI_SIM_BLACKHOLE);
    tap(&w);
    go(&w, NAME);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    CHECK_INT(protocol(&w, "tcp").state, TAPS_CANDIDATE_NOT_STARTED);
    finish(&w, NULL);
}
