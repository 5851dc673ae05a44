#include "trial.h"

#include <stdlib.h>
#include <string.h>
#include "connection/context.h"
#include "stack/secure/test_certificates.h"

/* --------------------------------------------------------------------------------------------------- memory */

static void *resize(void *user, void *block, size_t size)
{
    struct trial *t = user;
    if (size == 0) {
        t->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (++t->allocations == t->fail_at || (t->poverty && t->dice(t, t->poverty) == 0)) {
        t->allocation_failed = true;
        return NULL;
    }
    void *grown = realloc(block, size);
    if (!block)
        t->blocks++;
    return grown;
}

/* --------------------------------------------------------------------------------------------------- events */

/* The caller counts first: what the test does in an event may be the last thing the party hears of. */
static void meddle(struct party *p)
{
    if (p->trial->meddle)
        p->trial->meddle(p->trial, p);
}

static struct party *note(void *user)
{
    struct party *p = user;
    p->late += p->finals > 0;
    return p;
}

void trial_receive(struct party *p, size_t min, size_t max)
{
    if (taps_connection_receive(p->connection, min, max, NULL) == 0)
        p->receives++;
}

void trial_send(struct party *p, const void *data, size_t length, const taps_message_context *context, unsigned flags)
{
    if (taps_connection_send(p->connection, data, length, context, flags, NULL) == 0)
        p->sends++;
}

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    note(user)->ready++;
    meddle(user);
}

static void on_end(taps_connection *c, void *user)
{
    (void)c;
    note(user)->finals++;
    meddle(user);
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
    meddle(user);
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    CHECK(error->code < 0);
    on_sent(c, tag, user);
}

static void go_on(struct party *p, const struct taps_received *m)
{
    if (p->from_listener && m->length)
        trial_send(p, m->data, m->length, NULL, 0);
    if (m->final && p->from_listener)
        taps_connection_close(p->connection);
    else if (!m->final)
        trial_receive(p, 1, 65536);
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct party *p = note(user);
    (void)c;
    CHECK(!p->final);
    p->receives_answered++;
    p->bytes += m->length;
    p->final |= m->final;
    if (p->trial->meddle)
        meddle(p);
    else
        go_on(p, m);
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    CHECK(error->code < 0);
    note(user)->receives_answered++;
    meddle(user);
}

static void on_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    CHECK(error->code < 0);
    note(user);
    meddle(user);
}

const struct taps_connection_events trial_events = {.ready = on_ready,
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

struct party *trial_party(struct trial *t)
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
    struct party *p = trial_party(user);
    (void)l;
    if (!p) {
        taps_connection_free(c);
        return;
    }
    p->connection = c;
    p->from_listener = true;
    p->ready = 1;
    taps_connection_set_events(c, &trial_events, p);
    trial_receive(p, 1, 65536);
    meddle(p);
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
    struct taps_context_options options = {.allocator = &allocator, .log = t->log, .log_level = TAPS_LOG_DEBUG};
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

void trial_begin(struct trial *t)
{
    memset(t, 0, sizeof(*t));
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

void trial_be_datagrams(struct trial *t)
{
    t->datagrams = true;
    taps_transport_properties_free(t->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &t->properties);
}

void trial_secure(struct trial *t)
{
    static struct tapsi_test_identity id;
    if (!id.certificate)
        id = tapsi_test_identity(
            &(struct tapsi_test_subject){.name = "server", .names = "dual.test,192.0.2.1,2001:db8::1", .steady = true},
            NULL);
    taps_security_parameters_free(t->client_security);
    taps_security_parameters_free(t->server_security);
    taps_security_parameters_new(&t->client_security);
    taps_security_parameters_new(&t->server_security);
    taps_security_parameters_add_ca_pem(t->client_security, id.certificate, strlen(id.certificate));
    taps_security_parameters_add_server_certificate_pem(t->server_security, id.certificate, strlen(id.certificate),
                                                        id.key, strlen(id.key));
}

static void check_party(const struct party *p)
{
    CHECK_INT(p->late, 0);
    CHECK(p->ready <= 1 && p->finals <= 1);
    if (!p->connection)
        return;
    CHECK_INT(p->finals, 1);
    CHECK_INT(p->sends_answered, p->sends);
    CHECK_INT(p->receives_answered, p->receives);
}

void trial_finish(struct trial *t)
{
    t->meddle = NULL;
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

/* -------------------------------------------------------------------------------------------------- running */

void trial_run(struct trial *t, uint64_t ns)
{
    tapsi_sim_run(t->sim, tapsi_sim_now(t->sim) + ns);
}

static bool is_over(const struct party *p)
{
    return p->finals || !p->connection;
}

static bool all_over(void *arg)
{
    const struct trial *t = arg;
    for (unsigned i = 0; i < t->party_count; i++) {
        if (!is_over(&t->parties[i]))
            return false;
    }
    return true;
}

static bool first_over(void *arg)
{
    return is_over(arg);
}

static bool first_ready(void *arg)
{
    const struct party *p = arg;
    return p->ready || is_over(p);
}

struct bytes {
    const struct party *party;
    size_t bytes;
};

static bool has_bytes(void *arg)
{
    const struct bytes *b = arg;
    return b->party->bytes >= b->bytes || is_over(b->party);
}

static bool has_listener(void *arg)
{
    const struct trial *t = arg;
    return t->listening || t->listener_over;
}

void trial_run_until_ready(struct trial *t, uint64_t ns)
{
    tapsi_sim_run_until(t->sim, first_ready, &t->parties[0], ns);
}

void trial_run_until_over(struct trial *t, uint64_t ns)
{
    tapsi_sim_run_until(t->sim, first_over, &t->parties[0], ns);
}

void trial_run_until_bytes(struct trial *t, size_t bytes, uint64_t ns)
{
    struct bytes b = {&t->parties[0], bytes};
    tapsi_sim_run_until(t->sim, has_bytes, &b, ns);
}

bool trial_run_until_all_over(struct trial *t, uint64_t ns)
{
    return tapsi_sim_run_until(t->sim, all_over, t, ns);
}

void trial_abort_rest(struct trial *t)
{
    for (unsigned i = 0; i < t->party_count; i++) {
        if (!is_over(&t->parties[i]))
            CHECK_INT(taps_connection_abort(t->parties[i].connection), 0);
    }
    trial_run(t, SECONDS(1));
}

void trial_end_all(struct trial *t)
{
    if (!t->datagrams)
        trial_run_until_all_over(t, SECONDS(200));
    for (unsigned i = 0; i < (t->datagrams ? 1u : t->party_count); i++)
        CHECK_INT(t->parties[i].finals, 1);
    trial_abort_rest(t);
}

/* -------------------------------------------------------------------------------------------------- actions */

taps_preconnection *trial_preconnection(struct trial *t, int which, const char *local, const char *remote)
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

struct party *trial_initiate(struct trial *t, const char *remote)
{
    taps_connection *c;
    taps_preconnection *p = trial_preconnection(t, 0, NULL, remote);
    struct party *party = p ? trial_party(t) : NULL;
    if (!party) {
        taps_preconnection_free(p);
        return NULL;
    }
    int err = taps_preconnection_initiate(p, 60000, &trial_events, party, &c);
    CHECK_INT(taps_preconnection_error(p)->code, err);
    taps_preconnection_free(p);
    if (err) {
        t->party_count--;
        return NULL;
    }
    party->connection = c;
    return party;
}

struct party *trial_clone(struct party *p)
{
    struct party *party = trial_party(p->trial);
    if (!party)
        return NULL;
    if (taps_connection_clone(p->connection, NULL, NULL, &trial_events, party, &party->connection)) {
        party->connection = NULL;
        p->trial->party_count--;
        return NULL;
    }
    return party;
}

bool trial_start_client(struct trial *t)
{
    t->contexts[0] = new_context(t, t->client);
    return t->contexts[0] != NULL;
}

bool trial_start_server(struct trial *t, const char *local)
{
    t->contexts[1] = new_context(t, t->server);
    taps_preconnection *p = trial_preconnection(t, 1, local, NULL);
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
