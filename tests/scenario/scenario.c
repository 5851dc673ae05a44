#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "connection/context.h"

/* -------------------------------------------------------------------------------------------------- memory */

static void *count_resize(void *user, void *block, size_t size)
{
    struct world *w = user;
    if (size == 0) {
        w->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    void *grown = realloc(block, size);
    if (grown && !block)
        w->blocks++;
    return grown;
}

/* -------------------------------------------------------------------------------------------------- events */

static struct world *note(taps_connection *c, void *user)
{
    struct world *w = user;
    struct heard *h = &w->heard;
    (void)c;
    h->total++;
    h->inside_call += w->in_call;
    h->after_end += h->closed || h->connection_error || h->establishment_error;
    return w;
}

static void end(struct world *w, const struct taps_error *error)
{
    w->heard.end_ms = taps_context_now_ms(w->context);
    if (!error)
        return;
    w->heard.code = error->code;
    w->heard.domain = error->domain;
    w->heard.native = error->native;
    snprintf(w->heard.detail, sizeof(w->heard.detail), "%s", error->detail);
}

static void on_ready(taps_connection *c, void *user)
{
    struct world *w = note(c, user);
    w->heard.ready++;
    w->heard.ready_ms = taps_context_now_ms(w->context);
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct world *w = note(c, user);
    end(w, error);
    w->heard.establishment_error++;
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    struct world *w = note(c, user);
    w->heard.sent++;
    w->heard.last_tag = tag;
}

static void on_expired(taps_connection *c, void *tag, void *user)
{
    struct world *w = note(c, user);
    w->heard.expired++;
    w->heard.last_tag = tag;
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct world *w = note(c, user);
    w->heard.send_error++;
    w->heard.send_error_code = error->code;
    w->heard.last_tag = tag;
}

static void keep(struct world *w, const struct taps_received *m)
{
    size_t room = sizeof(w->heard.data) - w->heard.length, n = m->length < room ? m->length : room;
    if (!w->heard.ready && taps_connection_report(w->connection))
        tapsi_test_fail(__FILE__, __LINE__, "data before Ready");
    if (n)
        memcpy(w->heard.data + w->heard.length, m->data, n);
    w->heard.length += n;
    w->heard.final |= m->final;
    w->heard.last_tag = m->tag;
    if (w->keep_reading && !m->final)
        taps_connection_receive(w->connection, 1, 65536, NULL);
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct world *w = note(c, user);
    w->heard.received++;
    keep(w, m);
}

static void on_received_partial(taps_connection *c, const struct taps_received *m, void *user)
{
    struct world *w = note(c, user);
    w->heard.received_partial++;
    keep(w, m);
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct world *w = note(c, user);
    w->heard.receive_error++;
    w->heard.receive_error_code = error->code;
    w->heard.last_tag = tag;
}

static void on_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)error;
    note(c, user)->heard.soft_error++;
}

static void on_path_change(taps_connection *c, void *user)
{
    note(c, user)->heard.path_change++;
}

static void on_closed(taps_connection *c, void *user)
{
    struct world *w = note(c, user);
    end(w, NULL);
    w->heard.closed++;
}

static void on_connection_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct world *w = note(c, user);
    end(w, error);
    w->heard.connection_error++;
}

const struct taps_connection_events world_events = {.ready = on_ready,
                                                    .establishment_error = on_establishment_error,
                                                    .sent = on_sent,
                                                    .expired = on_expired,
                                                    .send_error = on_send_error,
                                                    .received = on_received,
                                                    .received_partial = on_received_partial,
                                                    .receive_error = on_receive_error,
                                                    .soft_error = on_soft_error,
                                                    .path_change = on_path_change,
                                                    .closed = on_closed,
                                                    .connection_error = on_connection_error};

/* -------------------------------------------------------------------------------------------------- worlds */

void world_new(struct world *w)
{
    world_new_seeded(w, 1);
}

void world_new_seeded(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->sim = tapsi_sim_new(seed);
    w->client = tapsi_sim_host_new(w->sim, "client");
    w->server = tapsi_sim_host_new(w->sim, "server");
    w->client_if = tapsi_sim_interface_new(w->client, "eth0", TAPSI_IF_ETHERNET, "192.0.2.2/24 2001:db8::2/64");
    w->server_if = tapsi_sim_interface_new(w->server, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24 2001:db8::1/64");
    w->link = tapsi_sim_link_new(w->client_if, w->server_if, 5 * TAPSI_SIM_MS);
    tapsi_sim_file(w->client, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
    w->dns = tapsi_sim_dns_new(w->server);
    taps_security_parameters_new_disabled(&w->security);
    taps_transport_properties_new(&w->properties);
}

void world_server_address(struct world *w, const char *address)
{
    tapsi_sim_address_add(w->server_if, address, false, false);
}

struct tapsi_sim_interface *world_second_path(struct world *w, const char *name, enum tapsi_interface_type type,
                                              const char *client_addresses, const char *server_addresses)
{
    struct tapsi_sim_interface *c = tapsi_sim_interface_new(w->client, name, type, client_addresses);
    struct tapsi_sim_interface *s = tapsi_sim_interface_new(w->server, name, type, server_addresses);
    tapsi_sim_link_new(c, s, 5 * TAPSI_SIM_MS);
    return c;
}

static void pump(void *arg)
{
    taps_context_dispatch(arg);
}

/* Its platforms live longer than a test that is left early, so their memory does too. */
taps_context *world_context(struct tapsi_sim *sim, struct tapsi_sim_host *host,
                            const struct taps_context_options *options)
{
    static struct tapsi_mem mem;
    struct tapsi_platform *platform = NULL;
    taps_context *context = NULL;
    tapsi_mem_init(&mem, NULL);
    int err = tapsi_sim_platform_new(host, &mem, &platform);
    if (!err && (err = tapsi_context_new(options, platform, &context)) != 0)
        platform->ops->destroy(platform);
    if (err) {
        tapsi_test_fail(__FILE__, __LINE__, "no context: %s", taps_err_name(err));
        return NULL;
    }
    tapsi_sim_attach(sim, platform, pump, context);
    tapsi_loop_embed(&context->loop);
    return context;
}

void world_start(struct world *w)
{
    struct taps_allocator allocator = {count_resize, w};
    w->options.allocator = &allocator;
    w->context = world_context(w->sim, w->client, &w->options);
    w->options.allocator = NULL;
    taps_preconnection_new(w->context, &w->preconnection);
}

void world_initiate(struct world *w, const char *remote, uint64_t timeout_ms)
{
    taps_endpoint *e;
    if (!w->context)
        world_start(w);
    taps_remote_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_text(e, remote), 0);
    taps_preconnection_add_remote(w->preconnection, e);
    taps_endpoint_free(e);
    taps_preconnection_set_transport_properties(w->preconnection, w->properties);
    taps_preconnection_set_security_parameters(w->preconnection, w->security);
    w->in_call = true;
    w->initiated = taps_preconnection_initiate(w->preconnection, timeout_ms, &world_events, w, &w->connection);
    w->in_call = false;
}

static bool is_ready(void *arg)
{
    struct world *w = arg;
    return w->heard.ready || w->heard.establishment_error;
}

static bool is_over(void *arg)
{
    struct world *w = arg;
    return w->heard.closed || w->heard.connection_error || w->heard.establishment_error;
}

#define LIMIT (3600 * TAPSI_SIM_S)

static void run_until(struct world *w, bool (*done)(void *))
{
    uint64_t deadline = tapsi_sim_now(w->sim) + LIMIT;
    while (!done(w) && tapsi_sim_now(w->sim) < deadline && !tapsi_sim_deadlocked(w->sim)) {
        if (taps_context_run_once(w->context, 1000) <= 0)
            break;
    }
}

void world_run_until_ready(struct world *w)
{
    run_until(w, is_ready);
}

void world_run_until_end(struct world *w)
{
    run_until(w, is_over);
}

void world_run_ms(struct world *w, uint64_t ms)
{
    uint64_t until = tapsi_sim_now(w->sim) + ms * TAPSI_SIM_MS;
    if (!w->context)
        tapsi_sim_run(w->sim, until);
    while (tapsi_sim_now(w->sim) < until) {
        uint64_t left = (until - tapsi_sim_now(w->sim) + TAPSI_SIM_MS - 1) / TAPSI_SIM_MS;
        taps_context_run_once(w->context, (int)left);
    }
}

/* Whatever has failed: Close ends every Connection. Only some sweeps ask it, for others free what lives. */
static void check_that_close_ends(struct world *w)
{
    uint64_t until = tapsi_sim_now(w->sim) + 1000 * TAPSI_SIM_S;
    taps_connection_close(w->connection); /* or it was called before */
    while (taps_connection_state(w->connection) != TAPS_CLOSED && tapsi_sim_now(w->sim) < until)
        taps_context_run_once(w->context, 1000);
    if (taps_connection_state(w->connection) != TAPS_CLOSED)
        tapsi_test_fail("sweep", 0, "Close does not end the Connection, which is in state %d",
                        (int)taps_connection_state(w->connection));
}

void world_finish(struct world *w)
{
    if (w->connection && tapsi_test_sweeping() && tapsi_sim_calls(w->sim) % 2)
        check_that_close_ends(w);
    unsigned before = w->heard.total;
    CHECK_INT(w->heard.inside_call, 0);
    CHECK_INT(w->heard.after_end, 0);
    CHECK(w->heard.ready + w->heard.establishment_error <= 1);
    CHECK(w->heard.closed + w->heard.connection_error + w->heard.establishment_error <= 1);
    if (w->connection)
        world_check_tree(w);
    taps_connection_free(w->connection);
    taps_preconnection_free(w->preconnection);
    taps_transport_properties_free(w->properties);
    taps_security_parameters_free(w->security);
    if (w->context)
        CHECK_INT(taps_context_free(w->context), 0);
    CHECK_INT(w->heard.total, before);
    CHECK_INT(w->blocks, 0);
    CHECK_INT(tapsi_sim_host_leaked(w->client), 0);
    if (tapsi_sim_problem(w->sim))
        tapsi_test_fail(__FILE__, __LINE__, "the world: %s", tapsi_sim_problem(w->sim));
    tapsi_sim_free(w->sim);
}

/* -------------------------------------------------------------------------------------------------- reports */

bool world_candidate(const struct world *w, const char *remote, struct taps_candidate_info *ret)
{
    const taps_report *report = taps_connection_report(w->connection);
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, ret);
        if (ret->kind == TAPS_CANDIDATE_ENDPOINT && ret->remote && strcmp(ret->remote, remote) == 0)
            return true;
    }
    tapsi_test_fail(__FILE__, __LINE__, "no candidate %s", remote);
    memset(ret, 0, sizeof(*ret));
    ret->reason = "";
    return false;
}

unsigned world_count(const struct world *w, enum taps_candidate_state state)
{
    const taps_report *report = taps_connection_report(w->connection);
    struct taps_candidate_info info;
    unsigned count = 0;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        count += info.kind == TAPS_CANDIDATE_ENDPOINT && info.state == state;
    }
    return count;
}

const char *world_winner(const struct world *w)
{
    static char remote[96];
    const taps_report *report = taps_connection_report(w->connection);
    struct taps_candidate_info info;
    remote[0] = 0;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        if (info.kind == TAPS_CANDIDATE_ENDPOINT && info.state == TAPS_CANDIDATE_WON)
            snprintf(remote, sizeof(remote), "%s", info.remote);
    }
    return remote;
}

/* -------------------------------------------------------------------------------------------------- the tree */

static bool is_child_id(const char *id, const char *parent)
{
    size_t length = strlen(parent);
    const char *last = parent[0] ? id + length + 1 : id;
    if (parent[0] && (strncmp(id, parent, length) != 0 || id[length] != '.'))
        return false;
    return last[0] >= '1' && last[0] <= '9' && strspn(last, "0123456789") == strlen(last);
}

static void check_times(const struct taps_candidate_info *c, const struct taps_candidate_info *parent)
{
    bool started = c->state != TAPS_CANDIDATE_NOT_STARTED && c->state != TAPS_CANDIDATE_PRUNED;
    bool over = started && c->state != TAPS_CANDIDATE_ACTIVE;
    CHECK_INT(c->start_ms >= 0, started);
    CHECK_INT(c->end_ms >= 0, over);
    if (over)
        CHECK(c->end_ms >= c->start_ms);
    if (parent && started)
        CHECK(c->start_ms >= parent->start_ms);
}

/* A node and its parent. */
static void check_candidate(const struct taps_candidate_info *c, const struct taps_candidate_info *parent)
{
    enum taps_candidate_kind expected = parent ? parent->kind + 1u : TAPS_CANDIDATE_PATH;
    if (c->kind != expected || !is_child_id(c->id, parent ? parent->id : ""))
        tapsi_test_fail(__FILE__, __LINE__, "candidate %s is of kind %d under %s", c->id, (int)c->kind,
                        parent ? parent->id : "the root");
    CHECK(c->interface != NULL || c->kind == TAPS_CANDIDATE_ENDPOINT);
    CHECK_INT(c->stack != NULL, c->kind != TAPS_CANDIDATE_PATH);
    CHECK_INT(c->remote != NULL, c->kind == TAPS_CANDIDATE_ENDPOINT);
    CHECK(c->reason && c->reason[0]);
    if (c->state != TAPS_CANDIDATE_PRUNED)
        CHECK_INT(c->error != 0, c->state == TAPS_CANDIDATE_FAILED);
    if (parent && c->kind == TAPS_CANDIDATE_ENDPOINT)
        CHECK_TEXT(c->stack, parent->stack);
    if (parent && c->state == TAPS_CANDIDATE_WON)
        CHECK_INT(parent->state, TAPS_CANDIDATE_WON);
    check_times(c, parent);
}

static void check_id_is_unique(const taps_report *report, size_t index, const char *id)
{
    struct taps_candidate_info other;
    for (size_t i = 0; i < index; i++) {
        taps_report_candidate(report, i, &other);
        if (strcmp(other.id, id) == 0)
            tapsi_test_fail(__FILE__, __LINE__, "two candidates %s", id);
    }
}

/* Path, protocol, endpoint: one kind of branch below each parent; parents come before their children; ids tell the
   place; at most one leaf has won, and one has if the Connection was ready. */
void world_check_tree(const struct world *w)
{
    const taps_report *report = taps_connection_report(w->connection);
    size_t count = taps_report_candidate_count(report);
    struct taps_candidate_info c, parent;
    unsigned winners = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(taps_report_candidate(report, i, &c), 0);
        CHECK(c.parent >= -1 && c.parent < (int)i);
        if (c.parent >= 0)
            taps_report_candidate(report, (size_t)c.parent, &parent);
        check_candidate(&c, c.parent >= 0 ? &parent : NULL);
        check_id_is_unique(report, i, c.id);
        winners += c.kind == TAPS_CANDIDATE_ENDPOINT && c.state == TAPS_CANDIDATE_WON;
    }
    CHECK_INT(taps_report_candidate(report, count, &c), TAPS_E_RANGE);
    CHECK(winners <= 1);
    if (w->heard.ready && count)
        CHECK_INT(winners, 1);
    if (w->heard.establishment_error)
        CHECK_INT(winners, w->heard.ready);
}
