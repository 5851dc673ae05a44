/*
 * Scenarios of the whole library, run again and again: the first allocation fails, the second, and so on until none is
 * left to fail; then the same with each call of the platform, by each way such a call can fail.
 *
 * Whatever fails, the scenario must end in bounded virtual time, with one final event for each Connection and one event
 * for each Send and Receive that was taken, and leave neither memory nor sockets. What it must not do is succeed: that
 * is asked only of the run in which nothing failed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "trial.h"

#define HELLO        "hello"
#define HELLO_LENGTH (sizeof(HELLO) - 1)
#define RUNS_MAX     5000

/* Says hello and waits for the echo, then Closes. */
static void exchange(struct trial *t, struct party *p)
{
    trial_receive(p, 1, 65536);
    trial_send(p, HELLO, HELLO_LENGTH, NULL, 0);
    trial_run_until_bytes(t, HELLO_LENGTH, SECONDS(20));
    taps_connection_close(p->connection);
    trial_run_until_over(t, SECONDS(100));
    t->passed = p->ready && p->bytes == HELLO_LENGTH && p->finals;
    trial_end_all(t);
}

/* ------------------------------------------------------------------------------------------------- scenarios */

/* By name, both families; the first address is dead, so the second is raced. */
static void race_and_echo(struct trial *t)
{
    struct party *p;
    tapsi_sim_serve(t->server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_fault(t->sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    if (trial_start_client(t) && (p = trial_initiate(t, NAME)))
        exchange(t, p);
}

/* Opportunistic security with a peer that has none, and a dead address: plain text waits for its turn. */
static void plain_after_tls(struct trial *t)
{
    taps_security_parameters_free(t->client_security);
    taps_security_parameters_new_opportunistic(&t->client_security);
    race_and_echo(t);
}

static void datagram_echo(struct trial *t)
{
    struct party *p;
    trial_be_datagrams(t);
    tapsi_sim_udp_echo(t->server, 80);
    if (trial_start_client(t) && (p = trial_initiate(t, V4)))
        exchange(t, p);
}

/* This library at both ends. Whatever becomes of one, the other must end too. */
static void two_contexts(struct trial *t)
{
    struct party *p;
    bool listens = trial_start_server(t, ":80");
    if (trial_start_client(t) && (p = trial_initiate(t, V4))) {
        exchange(t, p);
        t->passed = t->passed && t->party_count == 2;
    }
    if (listens) {
        CHECK_INT(taps_listener_stop(t->listener), 0);
        trial_run(t, SECONDS(1));
        CHECK_INT(t->listener_over, 1);
    }
}

static void two_contexts_with_datagrams(struct trial *t)
{
    trial_be_datagrams(t);
    two_contexts(t);
}

static void two_contexts_with_tls(struct trial *t)
{
    trial_secure(t);
    two_contexts(t);
}

static void initiate_with_send(struct trial *t)
{
    taps_connection *c;
    struct tapsi_sim_service *s = tapsi_sim_serve(t->server, 80, TAPSI_SIM_SILENT);
    taps_preconnection *p = trial_start_client(t) ? trial_preconnection(t, 0, NULL, NAME) : NULL;
    if (!p)
        return;
    struct party *party = trial_party(t);
    int err =
        taps_preconnection_initiate_with_send(p, 60000, &trial_events, party, HELLO, HELLO_LENGTH, NULL, 0, NULL, &c);
    taps_preconnection_free(p);
    if (err) {
        t->party_count--;
        return;
    }
    party->connection = c;
    party->sends++;
    CHECK_INT(taps_connection_close(c), 0); /* delivers first */
    trial_run_until_over(t, SECONDS(100));
    if (!party->ready && !party->sends_answered)
        party->sends_answered++; /* RFC 9622, 9.2.5: the establishment error stands for it */
    t->passed = party->ready && tapsi_sim_service_counts(s).received == HELLO_LENGTH;
    trial_end_all(t);
}

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    struct trial *t = user;
    t->resolved++;
    if (error)
        CHECK(error->code < 0 && error->detail[0] && !locals && !remotes && local_count + remote_count == 0);
    t->passed = !error && local_count >= 2 && remote_count == 2;
}

static bool resolve_over(void *arg)
{
    return ((const struct trial *)arg)->resolved > 0;
}

static void resolve(struct trial *t)
{
    taps_preconnection *p = trial_start_client(t) ? trial_preconnection(t, 0, NULL, NAME) : NULL;
    if (!p)
        return;
    int err = taps_preconnection_resolve(p, 20000, on_resolved, t);
    CHECK_INT(taps_preconnection_error(p)->code, err);
    taps_preconnection_free(p);
    if (err)
        return;
    tapsi_sim_run_until(t->sim, resolve_over, t, SECONDS(30));
    CHECK_INT(t->resolved, 1);
    trial_run(t, SECONDS(1));
    CHECK_INT(t->resolved, 1);
}

/* The peer reads nothing, so most of it waits in every queue there is. */
static void abort_with_queued_data(struct trial *t)
{
    static char block[60000];
    struct party *p;
    taps_message_context *brief;
    tapsi_sim_serve(t->server, 80, TAPSI_SIM_STALL);
    if (!trial_start_client(t) || !(p = trial_initiate(t, V4)))
        return;
    taps_message_context_new(&brief);
    taps_message_context_set(brief, "msgLifetime", "0.5");
    trial_run_until_ready(t, SECONDS(60));
    for (int i = 0; i < 10; i++)
        trial_send(p, block, sizeof(block), i == 9 ? brief : NULL, 0);
    trial_receive(p, 1, 100);
    trial_receive(p, 1, 100);
    trial_run(t, SECONDS(1));
    t->passed = p->ready && p->sends == 10 && p->sends_answered < 10;
    taps_message_context_free(brief);
    trial_abort_rest(t);
}

static void read_report(taps_connection *c, size_t *ret_candidates)
{
    const taps_report *report = taps_connection_report(c);
    struct taps_candidate_info candidate;
    struct taps_resolution_info resolution;
    *ret_candidates = taps_report_candidate_count(report);
    for (size_t i = 0; i < *ret_candidates; i++) {
        CHECK_INT(taps_report_candidate(report, i, &candidate), 0);
        CHECK(candidate.id[0] && candidate.reason[0]);
    }
    for (size_t i = 0; i < taps_report_resolution_count(report); i++) {
        CHECK_INT(taps_report_resolution(report, i, &resolution), 0);
        CHECK(resolution.name[0] && resolution.type[0]);
    }
}

/* While it grows, when it is complete, and of an action that is refused. */
static void read_reports(struct trial *t)
{
    struct party *p;
    size_t candidates = 0;
    tapsi_sim_fault(t->sim, "192.0.2.1:80", TAPSI_SIM_REFUSE);
    tapsi_sim_fault(t->sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    if (!trial_start_client(t) || !(p = trial_initiate(t, NAME)))
        return;
    for (int i = 0; i < 5; i++) {
        read_report(p->connection, &candidates);
        trial_run(t, 7 * TAPSI_SIM_MS);
    }
    trial_run_until_over(t, SECONDS(100));
    read_report(p->connection, &candidates);
    taps_transport_properties_set(t->properties, "multistreaming", "require");
    taps_preconnection *refused = trial_preconnection(t, 0, NULL, NAME);
    if (refused) {
        taps_connection *c;
        int err = taps_preconnection_initiate(refused, 0, NULL, NULL, &c);
        CHECK(err == TAPS_E_CONFIGURATION || err == TAPS_E_MEMORY);
        t->passed = candidates > 2 && taps_report_candidate_count(taps_preconnection_report(refused)) > 2;
        taps_preconnection_free(refused);
    }
    trial_end_all(t);
}

static unsigned set_and_get(taps_connection *c)
{
    char text[64];
    taps_transport_properties *all;
    unsigned ok = 0;
    ok += taps_connection_set_property(c, "connPriority", "7") == 0;
    ok += taps_connection_set_property(c, "connCapacityProfile", "low latency/interactive") == 0;
    ok += taps_connection_set_property(c, "keepAliveTimeout", "20") == 0;
    ok += taps_connection_set_property(c, "tcp.userTimeoutValue", "33") == 0;
    ok += taps_connection_get_property(c, "connPriority", text, sizeof(text)) > 0;
    ok += taps_connection_get_property(c, "interface", text, sizeof(text)) >= 0;
    if (taps_connection_get_properties(c, &all) == 0) {
        ok++;
        taps_transport_properties_free(all);
    }
    ok += taps_connection_set_property(c, "reliability", "avoid") == TAPS_E_READ_ONLY;
    return ok;
}

static void set_properties(struct trial *t)
{
    struct party *p;
    tapsi_sim_serve(t->server, 80, TAPSI_SIM_ECHO);
    if (!trial_start_client(t) || !(p = trial_initiate(t, V4)))
        return;
    unsigned before = set_and_get(p->connection);
    trial_run_until_ready(t, SECONDS(60));
    unsigned after = set_and_get(p->connection);
    if (taps_connection_remote(p->connection))
        CHECK_INT(taps_endpoint_port(taps_connection_remote(p->connection)), 80);
    taps_connection_local(p->connection);
    exchange(t, p);
    t->passed = t->passed && before >= 7 && after >= 7;
}

/* Half-close by us first, then all of a peer's data and its end; nobody calls Close. */
static void half_close(struct trial *t)
{
    static char text[50000];
    struct party *p;
    taps_message_context *final;
    struct tapsi_sim_service *s = tapsi_sim_serve(t->server, 80, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, text, sizeof(text));
    if (!trial_start_client(t) || !(p = trial_initiate(t, V4)))
        return;
    taps_message_context_new(&final);
    taps_message_context_set(final, "final", "true");
    trial_receive(p, 1, 65536);
    trial_send(p, HELLO, HELLO_LENGTH, final, 0);
    taps_message_context_free(final);
    if (!p->sends)
        taps_connection_close(p->connection);
    trial_run_until_over(t, SECONDS(100));
    t->passed = p->ready && p->final && p->bytes == sizeof(text) && p->finals;
    trial_end_all(t);
}

/* ------------------------------------------------------------------------------------------------- repetition */

typedef void (*scenario)(struct trial *t);

/* Says which run failed, once. */
static void say(bool failed_before, const char *what, size_t n)
{
    if (!failed_before && tapsi_test_failed())
        printf("# that was with %s %zu failing\n", what, n);
}

static void fail_allocations(scenario run)
{
    struct trial t;
    for (size_t n = 1; n < RUNS_MAX; n++) {
        bool failed_before = tapsi_test_failed();
        trial_begin(&t);
        t.fail_at = n;
        run(&t);
        bool over = !t.allocation_failed, passed = t.passed;
        trial_finish(&t);
        say(failed_before, "allocation", n);
        if (over) {
            CHECK(passed);
            CHECK(n > 5);
            return;
        }
    }
    tapsi_test_fail(__FILE__, __LINE__, "it has no end");
}

/* `err` 0: the call moves one byte. */
static void fail_calls(scenario run, int err)
{
    struct trial t;
    char what[64];
    snprintf(what, sizeof(what), "(%s) call", err ? strerror(err) : "short");
    for (size_t n = 1; n < RUNS_MAX; n++) {
        bool failed_before = tapsi_test_failed();
        trial_begin(&t);
        tapsi_sim_fail_call(t.sim, n, err);
        run(&t);
        bool over = !tapsi_sim_call_failed(t.sim), passed = t.passed;
        trial_finish(&t);
        say(failed_before, what, n);
        if (over) {
            CHECK(passed);
            CHECK(n > 5);
            return;
        }
    }
    tapsi_test_fail(__FILE__, __LINE__, "it has no end");
}

static void fail_each_call(scenario run)
{
    static const int errors[] = {0, ENOBUFS, EMFILE, EINTR, EAGAIN, ENOMEM};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        fail_calls(run, errors[i]);
}

#define SCENARIO(name)                                                                                                 \
    TEST(name##_without_memory)                                                                                        \
    {                                                                                                                  \
        fail_allocations(name);                                                                                        \
    }                                                                                                                  \
    TEST(name##_with_failing_calls)                                                                                    \
    {                                                                                                                  \
        fail_each_call(name);                                                                                          \
    }

SCENARIO(race_and_echo)
SCENARIO(plain_after_tls)
SCENARIO(datagram_echo)
SCENARIO(two_contexts)
SCENARIO(two_contexts_with_datagrams)
SCENARIO(two_contexts_with_tls)
SCENARIO(initiate_with_send)
SCENARIO(resolve)
SCENARIO(abort_with_queued_data)
SCENARIO(read_reports)
SCENARIO(set_properties)
SCENARIO(half_close)
