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
#include <stdlib.h>
#include <string.h>
#include "base/test.h"
#include "connection/context.h"
#include "platform/sim/sim.h"
#include "stack/tls/test_certificates.h"

#define SECONDS(n)   ((n)*TAPSI_SIM_S)
#define NAME         "dual.test:80"
#define HELLO        "hello"
#define HELLO_LENGTH (sizeof(HELLO) - 1)
#define RUNS_MAX     5000

struct trial;

/* One Connection and what it heard. */
struct party {
    struct trial *trial;
    taps_connection *connection;
    bool echoes, closes_at_end;
    unsigned ready, finals, late, sends, sends_answered, receives, receives_answered;
    size_t bytes;
    bool final;
};

#define PARTIES 4

/* One run. */
struct trial {
    size_t allocations, fail_at, blocks;
    bool allocation_failed;
    struct tapsi_mem mem;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *client, *server;
    struct tapsi_sim_link *link;
    struct tapsi_sim_dns *dns;
    taps_context *contexts[2]; /* the client's, the server's */
    taps_transport_properties *properties;
    taps_security_parameters *client_security, *server_security;
    struct party parties[PARTIES];
    unsigned party_count;
    taps_listener *listener;
    bool datagrams;
    unsigned listening, listener_over, resolved, resolve_failed;
    bool passed; /* everything that the scenario is about has happened */
};

/* --------------------------------------------------------------------------------------------------- memory */

static void *resize(void *user, void *block, size_t size)
{
    struct trial *t = user;
    if (size == 0) {
        t->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (++t->allocations == t->fail_at) {
        t->allocation_failed = true;
        return NULL;
    }
    void *grown = realloc(block, size);
    if (!block)
        t->blocks++;
    return grown;
}

/* --------------------------------------------------------------------------------------------------- events */

static struct party *note(void *user)
{
    struct party *p = user;
    p->late += p->finals > 0;
    return p;
}

static void receive(struct party *p, size_t min, size_t max)
{
    if (taps_connection_receive(p->connection, min, max, NULL) == 0)
        p->receives++;
}

static void send_bytes(struct party *p, const void *data, size_t length, const taps_message_context *context)
{
    if (taps_connection_send(p->connection, data, length, context, 0, NULL) == 0)
        p->sends++;
}

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    note(user)->ready++;
}

static void on_end(taps_connection *c, void *user)
{
    (void)c;
    note(user)->finals++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    CHECK(error->code < 0 && error->detail[0]);
    on_end(c, user);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    note(user)->sends_answered++;
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    CHECK(error->code < 0);
    on_sent(c, tag, user);
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct party *p = note(user);
    p->receives_answered++;
    p->bytes += m->length;
    p->final |= m->final;
    if (p->echoes && m->length)
        send_bytes(p, m->data, m->length, NULL);
    if (m->final && p->closes_at_end)
        taps_connection_close(c);
    else if (!m->final)
        receive(p, 1, 65536);
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    CHECK(error->code < 0);
    note(user)->receives_answered++;
}

static void on_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    CHECK(error->code < 0);
    note(user);
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_error,
                                                     .sent = on_sent,
                                                     .expired = on_sent,
                                                     .send_error = on_send_error,
                                                     .received = on_received,
                                                     .received_partial = on_received,
                                                     .receive_error = on_receive_error,
                                                     .soft_error = on_soft_error,
                                                     .closed = on_end,
                                                     .connection_error = on_error};

static struct party *new_party(struct trial *t)
{
    if (t->party_count == PARTIES)
        return NULL;
    struct party *p = &t->parties[t->party_count++];
    p->trial = t;
    return p;
}

static void on_listening(taps_listener *l, void *user)
{
    (void)l;
    ((struct trial *)user)->listening++;
}

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    struct party *p = new_party(user);
    (void)l;
    if (!p) {
        taps_connection_free(c);
        return;
    }
    p->connection = c;
    p->echoes = p->closes_at_end = true;
    taps_connection_set_events(c, &events, p);
    receive(p, 1, 65536);
}

static void on_stopped(taps_listener *l, void *user)
{
    (void)l;
    ((struct trial *)user)->listener_over++;
}

static void on_listener_error(taps_listener *l, const struct taps_error *error, void *user)
{
    CHECK(error->code < 0 && error->detail[0]);
    on_stopped(l, user);
}

static const struct taps_listener_events listener_events = {on_listening, on_connection, on_listener_error, on_stopped};

/* ---------------------------------------------------------------------------------------------------- world */

static void pump(void *arg)
{
    taps_context_dispatch(arg);
}

/* NULL: there was no memory for it. */
static taps_context *new_context(struct trial *t, struct tapsi_sim_host *host)
{
    struct tapsi_platform *platform;
    struct taps_allocator allocator = {resize, t};
    struct taps_context_options options = {.allocator = &allocator};
    taps_context *context = NULL;
    if (tapsi_sim_platform_new(host, &t->mem, &platform) != 0)
        return NULL;
    if (tapsi_context_new(&options, platform, &context) != 0) {
        platform->ops->destroy(platform);
        return NULL;
    }
    tapsi_sim_attach(t->sim, platform, pump, context);
    tapsi_loop_embed(&context->loop);
    return context;
}

static void begin(struct trial *t)
{
    t->sim = tapsi_sim_new(1);
    t->client = tapsi_sim_host_new(t->sim, "client");
    t->server = tapsi_sim_host_new(t->sim, "server");
    struct tapsi_sim_interface *c =
        tapsi_sim_interface_new(t->client, "eth0", TAPSI_IF_ETHERNET, "192.0.2.2/24 2001:db8::2/64");
    struct tapsi_sim_interface *s =
        tapsi_sim_interface_new(t->server, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24 2001:db8::1/64");
    t->link = tapsi_sim_link_new(c, s, 5 * TAPSI_SIM_MS);
    tapsi_sim_file(t->client, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
    t->dns = tapsi_sim_dns_new(t->server);
    tapsi_sim_dns_answer(t->dns, "dual.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(t->dns, "dual.test", "A", "192.0.2.1", 0);
    taps_transport_properties_new(&t->properties);
    taps_security_parameters_new_disabled(&t->client_security);
    taps_security_parameters_new_disabled(&t->server_security);
    struct taps_allocator allocator = {resize, t};
    tapsi_mem_init(&t->mem, &allocator);
}

static void check_party(const struct party *p)
{
    CHECK_INT(p->finals, 1);
    CHECK_INT(p->late, 0);
    CHECK(p->ready <= 1);
    CHECK_INT(p->sends_answered, p->sends);
    CHECK_INT(p->receives_answered, p->receives);
}

/* Everything goes, and nothing may be left. */
static void finish(struct trial *t)
{
    for (unsigned i = 0; i < t->party_count; i++) {
        check_party(&t->parties[i]);
        taps_connection_free(t->parties[i].connection);
    }
    taps_listener_free(t->listener);
    for (int i = 0; i < 2; i++)
        CHECK_INT(taps_context_free(t->contexts[i]), 0);
    taps_transport_properties_free(t->properties);
    taps_security_parameters_free(t->client_security);
    taps_security_parameters_free(t->server_security);
    CHECK_INT(t->blocks, 0);
    CHECK_INT(tapsi_sim_host_leaked(t->client) + tapsi_sim_host_leaked(t->server), 0);
    CHECK_INT(tapsi_sim_host_sockets(t->client) + tapsi_sim_host_sockets(t->server), 0);
    CHECK(!tapsi_sim_problem(t->sim));
    tapsi_sim_free(t->sim);
}

static void run_for(struct trial *t, uint64_t ns)
{
    tapsi_sim_run(t->sim, tapsi_sim_now(t->sim) + ns);
}

static bool all_over(void *arg)
{
    const struct trial *t = arg;
    for (unsigned i = 0; i < t->party_count; i++) {
        if (!t->parties[i].finals)
            return false;
    }
    return true;
}

static bool client_over(void *arg)
{
    const struct trial *t = arg;
    return t->parties[0].finals > 0;
}

static bool echoed(void *arg)
{
    const struct trial *t = arg;
    return t->parties[0].finals || t->parties[0].bytes >= HELLO_LENGTH;
}

static bool is_ready(void *arg)
{
    const struct trial *t = arg;
    return t->parties[0].finals || t->parties[0].ready;
}

static bool has_listener(void *arg)
{
    const struct trial *t = arg;
    return t->listening || t->listener_over;
}

/* Abort ends at once what nothing else would. */
static void abort_rest(struct trial *t)
{
    for (unsigned i = 0; i < t->party_count; i++) {
        if (!t->parties[i].finals)
            CHECK_INT(taps_connection_abort(t->parties[i].connection), 0);
    }
    run_for(t, SECONDS(1));
}

/* Everybody ends by himself, but the server's Connections over UDP, which are not told. */
static void end_all(struct trial *t)
{
    if (!t->datagrams)
        tapsi_sim_run_until(t->sim, all_over, t, SECONDS(200));
    for (unsigned i = 0; i < (t->datagrams ? 1u : t->party_count); i++)
        CHECK_INT(t->parties[i].finals, 1);
    abort_rest(t);
}

/* --------------------------------------------------------------------------------------------------- actions */

/* NULL where memory failed. */
static taps_preconnection *preconnection(struct trial *t, int which, const char *local, const char *remote)
{
    taps_preconnection *p;
    if (!t->contexts[which] || taps_preconnection_new(t->contexts[which], &p) != 0)
        return NULL;
    if ((local && taps_preconnection_add_local_text(p, local) != 0) ||
        (remote && taps_preconnection_add_remote_text(p, remote) != 0) ||
        taps_preconnection_set_transport_properties(p, t->properties) != 0 ||
        taps_preconnection_set_security_parameters(p, which ? t->server_security : t->client_security) != 0) {
        taps_preconnection_free(p);
        return NULL;
    }
    return p;
}

static struct party *initiate(struct trial *t, const char *remote)
{
    taps_connection *c;
    taps_preconnection *p = preconnection(t, 0, NULL, remote);
    if (!p)
        return NULL;
    struct party *party = new_party(t);
    int err = taps_preconnection_initiate(p, 60000, &events, party, &c);
    CHECK_INT(taps_preconnection_error(p)->code, err);
    taps_preconnection_free(p);
    if (err) {
        t->party_count--;
        return NULL;
    }
    party->connection = c;
    return party;
}

static bool start_client(struct trial *t)
{
    t->contexts[0] = new_context(t, t->client);
    return t->contexts[0] != NULL;
}

static bool start_server(struct trial *t, const char *local)
{
    t->contexts[1] = new_context(t, t->server);
    taps_preconnection *p = preconnection(t, 1, local, NULL);
    if (!p)
        return false;
    int err = taps_preconnection_listen(p, &listener_events, t, &t->listener);
    taps_preconnection_free(p);
    if (err)
        return false;
    tapsi_sim_run_until(t->sim, has_listener, t, SECONDS(60));
    CHECK_INT(t->listening + t->listener_over, 1);
    return t->listening;
}

static void be_datagrams(struct trial *t)
{
    t->datagrams = true;
    taps_transport_properties_free(t->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &t->properties);
}

/* Says hello and waits for the echo, then Closes. */
static void exchange(struct trial *t, struct party *p)
{
    receive(p, 1, 65536);
    send_bytes(p, HELLO, HELLO_LENGTH, NULL);
    tapsi_sim_run_until(t->sim, echoed, t, SECONDS(20));
    taps_connection_close(p->connection);
    tapsi_sim_run_until(t->sim, client_over, t, SECONDS(100));
    t->passed = p->ready && p->bytes == HELLO_LENGTH && p->finals;
    end_all(t);
}

/* ------------------------------------------------------------------------------------------------- scenarios */

/* By name, both families; the first address is dead, so the second is raced. */
static void race_and_echo(struct trial *t)
{
    struct party *p;
    tapsi_sim_serve(t->server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_fault(t->sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    if (start_client(t) && (p = initiate(t, NAME)))
        exchange(t, p);
}

static void datagram_echo(struct trial *t)
{
    struct party *p;
    be_datagrams(t);
    tapsi_sim_udp_echo(t->server, 80);
    if (start_client(t) && (p = initiate(t, "192.0.2.1:80")))
        exchange(t, p);
}

/* This library at both ends. Whatever becomes of one, the other must end too. */
static void two_contexts(struct trial *t)
{
    struct party *p;
    bool listens = start_server(t, ":80");
    if (start_client(t) && (p = initiate(t, "192.0.2.1:80"))) {
        exchange(t, p);
        t->passed = t->passed && t->party_count == 2;
    }
    if (listens) {
        CHECK_INT(taps_listener_stop(t->listener), 0);
        run_for(t, SECONDS(1));
        CHECK_INT(t->listener_over, 1);
    }
}

static void two_contexts_with_datagrams(struct trial *t)
{
    be_datagrams(t);
    two_contexts(t);
}

static void two_contexts_with_tls(struct trial *t)
{
    static struct tapsi_test_identity id;
    if (!id.certificate)
        id = tapsi_test_identity(&(struct tapsi_test_subject){.name = "server", .names = "192.0.2.1"}, NULL);
    taps_security_parameters_free(t->client_security);
    taps_security_parameters_free(t->server_security);
    taps_security_parameters_new(&t->client_security);
    taps_security_parameters_new(&t->server_security);
    taps_security_parameters_add_ca_pem(t->client_security, id.certificate, strlen(id.certificate));
    taps_security_parameters_add_server_certificate_pem(t->server_security, id.certificate, strlen(id.certificate),
                                                        id.key, strlen(id.key));
    two_contexts(t);
}

static void initiate_with_send(struct trial *t)
{
    taps_connection *c;
    struct tapsi_sim_service *s = tapsi_sim_serve(t->server, 80, TAPSI_SIM_SILENT);
    taps_preconnection *p = start_client(t) ? preconnection(t, 0, NULL, NAME) : NULL;
    if (!p)
        return;
    struct party *party = new_party(t);
    int err = taps_preconnection_initiate_with_send(p, 60000, &events, party, HELLO, HELLO_LENGTH, NULL, 0, NULL, &c);
    taps_preconnection_free(p);
    if (err) {
        t->party_count--;
        return;
    }
    party->connection = c;
    party->sends++;
    CHECK_INT(taps_connection_close(c), 0); /* delivers first */
    tapsi_sim_run_until(t->sim, client_over, t, SECONDS(100));
    if (!party->ready && !party->sends_answered)
        party->sends_answered++; /* RFC 9622, 9.2.5: the establishment error stands for it */
    t->passed = party->ready && tapsi_sim_service_counts(s).received == HELLO_LENGTH;
    end_all(t);
}

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    struct trial *t = user;
    (void)locals;
    (void)remotes;
    t->resolved++;
    if (error)
        CHECK(error->code < 0 && error->detail[0]);
    t->passed = !error && local_count >= 2 && remote_count == 2;
}

static bool resolve_over(void *arg)
{
    return ((const struct trial *)arg)->resolved > 0;
}

static void resolve(struct trial *t)
{
    taps_preconnection *p = start_client(t) ? preconnection(t, 0, NULL, NAME) : NULL;
    if (!p)
        return;
    int err = taps_preconnection_resolve(p, 20000, on_resolved, t);
    CHECK_INT(taps_preconnection_error(p)->code, err);
    taps_preconnection_free(p);
    if (err)
        return;
    tapsi_sim_run_until(t->sim, resolve_over, t, SECONDS(30));
    CHECK_INT(t->resolved, 1);
    run_for(t, SECONDS(1));
    CHECK_INT(t->resolved, 1);
}

/* The peer reads nothing, so most of it waits in every queue there is. */
static void abort_with_queued_data(struct trial *t)
{
    static char block[60000];
    struct party *p;
    taps_message_context *brief;
    tapsi_sim_serve(t->server, 80, TAPSI_SIM_STALL);
    if (!start_client(t) || !(p = initiate(t, "192.0.2.1:80")))
        return;
    taps_message_context_new(&brief);
    taps_message_context_set(brief, "msgLifetime", "0.5");
    tapsi_sim_run_until(t->sim, is_ready, t, SECONDS(60));
    for (int i = 0; i < 10; i++)
        send_bytes(p, block, sizeof(block), i == 9 ? brief : NULL);
    receive(p, 1, 100);
    receive(p, 1, 100);
    run_for(t, SECONDS(1));
    t->passed = p->ready && p->sends == 10 && p->sends_answered < 10;
    taps_message_context_free(brief);
    abort_rest(t);
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
    if (!start_client(t) || !(p = initiate(t, NAME)))
        return;
    for (int i = 0; i < 5; i++) {
        read_report(p->connection, &candidates);
        run_for(t, 7 * TAPSI_SIM_MS);
    }
    tapsi_sim_run_until(t->sim, client_over, t, SECONDS(100));
    read_report(p->connection, &candidates);
    taps_transport_properties_set(t->properties, "multistreaming", "require");
    taps_preconnection *refused = preconnection(t, 0, NULL, NAME);
    if (refused) {
        taps_connection *c;
        int err = taps_preconnection_initiate(refused, 0, NULL, NULL, &c);
        CHECK(err == TAPS_E_CONFIGURATION || err == TAPS_E_MEMORY);
        t->passed = candidates > 2 && taps_report_candidate_count(taps_preconnection_report(refused)) > 2;
        taps_preconnection_free(refused);
    }
    end_all(t);
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
    if (!start_client(t) || !(p = initiate(t, "192.0.2.1:80")))
        return;
    unsigned before = set_and_get(p->connection);
    tapsi_sim_run_until(t->sim, is_ready, t, SECONDS(60));
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
    if (!start_client(t) || !(p = initiate(t, "192.0.2.1:80")))
        return;
    taps_message_context_new(&final);
    taps_message_context_set(final, "final", "true");
    receive(p, 1, 65536);
    send_bytes(p, HELLO, HELLO_LENGTH, final);
    taps_message_context_free(final);
    if (!p->sends)
        taps_connection_close(p->connection);
    tapsi_sim_run_until(t->sim, client_over, t, SECONDS(100));
    t->passed = p->ready && p->final && p->bytes == sizeof(text) && p->finals;
    end_all(t);
}

/* ------------------------------------------------------------------------------------------------- repetition */

typedef void (*scenario)(struct trial *t);

static void trial_begin(struct trial *t)
{
    memset(t, 0, sizeof(*t));
    begin(t);
}

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
        finish(&t);
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
        finish(&t);
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
