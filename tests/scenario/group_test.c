/* Connection Groups: Clone, what the members share, how they end together, and whose Messages go first. */
#include "peer.h"
#include "scenario.h"

#include <stdio.h>

#define MEMBERS 8

/* One Connection of a group and what it heard; the world's own is the first. */
struct part {
    struct parts *all;
    taps_connection *connection; /* NULL: freed */
    unsigned ready, establishment_error, closed, connection_error, clone_error, sent, send_error, receives;
    int code, clone_code;
    char detail[300];
    uint64_t bytes; /* whose Sent came */
    size_t load;    /* sends so much again after each Sent; 0 = not at all */
    void (*act)(struct part *part);
};

struct parts {
    struct world w;
    struct part part[MEMBERS + 1];
    unsigned count;
    char order[64]; /* of Sent events: one letter each, 'a' is the first */
    unsigned sent;
};

static void remember(struct part *p, const struct taps_error *error)
{
    p->code = error->code;
    snprintf(p->detail, sizeof(p->detail), "%s", error->detail);
}

static void act(struct part *p)
{
    void (*now)(struct part *) = p->act;
    p->act = NULL;
    if (now)
        now(p);
}

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    struct part *p = user;
    p->ready++;
    act(p);
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    struct part *p = user;
    p->establishment_error++;
    remember(p, error);
    act(p);
}

static void send_one(struct part *p)
{
    static char bytes[70000];
    size_t length = p->load < sizeof(bytes) ? p->load : sizeof(bytes);
    taps_connection_send(p->connection, bytes, length, NULL, TAPS_SEND_LEND, (void *)(uintptr_t)length);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    struct part *p = user;
    struct parts *all = p->all;
    p->sent++;
    p->bytes += (uintptr_t)tag;
    if (all->sent < sizeof(all->order) - 1)
        all->order[all->sent++] = (char)('a' + (p - all->part));
    if (p->load)
        send_one(p);
    act(p);
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    ((struct part *)user)->send_error++;
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    struct part *p = user;
    p->closed++;
    act(p);
}

static void on_connection_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    struct part *p = user;
    p->connection_error++;
    remember(p, error);
    act(p);
}

static void on_clone_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    struct part *p = user;
    p->clone_error++;
    p->clone_code = error->code;
    remember(p, error);
    act(p);
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_establishment_error,
                                                     .sent = on_sent,
                                                     .send_error = on_send_error,
                                                     .closed = on_closed,
                                                     .connection_error = on_connection_error,
                                                     .clone_error = on_clone_error};

/* ------------------------------------------------------------------------------------------------ the group */

static void parts_new(struct parts *g)
{
    memset(g, 0, sizeof(*g));
    world_new(&g->w);
}

/* Initiates the first: 'a'. */
static struct part *parts_initiate(struct parts *g, const char *remote)
{
    struct part *p = &g->part[0];
    if (!g->w.context)
        world_start(&g->w);
    p->all = g;
    g->count = 1;
    taps_preconnection_add_remote_text(g->w.preconnection, remote);
    taps_preconnection_set_transport_properties(g->w.preconnection, g->w.properties);
    taps_preconnection_set_security_parameters(g->w.preconnection, g->w.security);
    taps_preconnection_initiate(g->w.preconnection, 0, &events, p, &p->connection);
    return p;
}

static int clone_into(struct parts *g, struct part *parent, const taps_transport_properties *properties)
{
    struct part *p = &g->part[g->count];
    p->all = g;
    int err = taps_connection_clone(parent->connection, NULL, properties, &events, p, &p->connection);
    if (!err)
        g->count++;
    return err;
}

static void run(struct parts *g, uint64_t ms)
{
    world_run_ms(&g->w, ms);
}

/* The first Ready, and so many clones of it. */
static void parts_grow(struct parts *g, unsigned clones)
{
    parts_initiate(g, "192.0.2.1:80");
    run(g, 100);
    for (unsigned i = 0; i < clones; i++)
        CHECK_INT(clone_into(g, &g->part[0], NULL), 0);
    run(g, 100);
    for (unsigned i = 0; i <= clones; i++)
        CHECK_INT(g->part[i].ready, 1);
}

static void set(struct part *p, const char *name, const char *text)
{
    CHECK_INT(taps_connection_set_property(p->connection, name, text), 0);
}

static bool has(struct part *p, const char *name, const char *text)
{
    char now[100] = "";
    taps_connection_get_property(p->connection, name, now, sizeof(now));
    return strcmp(now, text) == 0;
}

static void drop(struct part *p)
{
    taps_connection_free(p->connection);
    p->connection = NULL;
}

static unsigned ends(const struct part *p)
{
    return p->closed + p->connection_error + p->establishment_error;
}

static void parts_finish(struct parts *g)
{
    for (unsigned i = 0; i <= MEMBERS; i++) {
        CHECK(ends(&g->part[i]) <= 1);
        drop(&g->part[i]);
    }
    world_finish(&g->w);
}

/* ---------------------------------------------------------------------------------------------------- Clone */

/* proves API-069: two Connections, the clone is actively opened and Ready; and API-072 */
TEST(a_clone_is_one_more_connection_to_the_same_peer)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *echo = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    struct part *a = parts_initiate(&g, "192.0.2.1:80"), *b = &g.part[1];
    run(&g, 100);
    CHECK_INT(taps_connection_group_count(a->connection), 1);
    CHECK(taps_connection_group_next(a->connection, NULL) == a->connection);
    CHECK(!taps_connection_group_next(a->connection, a->connection));
    NEED(clone_into(&g, a, NULL) == 0);
    CHECK_INT(taps_connection_state(b->connection), TAPS_ESTABLISHING);
    CHECK_INT(b->ready, 0);
    run(&g, 100);
    CHECK_INT(b->ready, 1);
    CHECK_INT(a->clone_error, 0);
    CHECK_TEXT(taps_connection_stack(b->connection), "tcp");
    CHECK_INT(taps_connection_group_count(b->connection), 2);
    CHECK(taps_connection_group_next(b->connection, NULL) == a->connection);
    CHECK(taps_connection_group_next(b->connection, a->connection) == b->connection);
    CHECK(!taps_connection_group_next(b->connection, b->connection));
    CHECK_INT(tapsi_sim_service_counts(echo).accepted, 2);
    CHECK_INT(clone_into(&g, b, NULL), 0);
    CHECK_INT(taps_connection_group_count(a->connection), 3);
    run(&g, 100);
    CHECK_INT(tapsi_sim_service_counts(echo).accepted, 3);
    parts_finish(&g);
}

/* proves API-069: only the address that won is tried, though another would answer too */
TEST(a_clone_goes_where_its_parent_went)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_dns_answer(g.w.dns, "dual.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(g.w.dns, "dual.test", "A", "192.0.2.1", 0);
    tapsi_sim_fault(g.w.sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    parts_initiate(&g, "dual.test:80");
    run(&g, 1000);
    CHECK_INT(g.part[0].ready, 1);
    tapsi_sim_fault(g.w.sim, "2001:db8::1", TAPSI_SIM_FINE);
    unsigned queries = tapsi_sim_dns_queries(g.w.dns, NULL, NULL);
    CHECK_INT(clone_into(&g, &g.part[0], NULL), 0);
    run(&g, 1000);
    CHECK_INT(g.part[1].ready, 1);
    CHECK_TEXT(taps_endpoint_ip_address(taps_connection_remote(g.part[1].connection)), "192.0.2.1");
    CHECK_INT(tapsi_sim_dns_queries(g.w.dns, NULL, NULL), queries);
    parts_finish(&g);
}

/* proves API-069: EstablishmentError on the clone, and nothing on its parent */
TEST(a_clone_that_finds_nobody_has_an_establishment_error)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 0);
    tapsi_sim_fault(g.w.sim, "192.0.2.1", TAPSI_SIM_REFUSE);
    CHECK_INT(clone_into(&g, &g.part[0], NULL), 0);
    run(&g, 5);
    tapsi_sim_fault(g.w.sim, "192.0.2.1", TAPSI_SIM_FINE);
    run(&g, 2000);
    CHECK_INT(g.part[1].establishment_error, 1);
    CHECK_INT(g.part[1].code, TAPS_E_REFUSED);
    CHECK_INT(g.part[0].clone_error, 0);
    CHECK_INT(ends(&g.part[0]), 0);
    CHECK_INT(clone_into(&g, &g.part[0], NULL), 0);
    run(&g, 100);
    CHECK_INT(g.part[2].ready, 1);
    parts_finish(&g);
}

/* ------------------------------------------------------------------------------------------------ entanglement */

/* proves API-070: on one is on all, connPriority is not, and Message Properties are of one Connection */
TEST(connection_properties_are_shared_and_connpriority_is_not)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 2);
    set(&g.part[1], "connTimeout", "12");
    set(&g.part[1], "connPriority", "7");
    set(&g.part[1], "msgPriority", "3");
    for (unsigned i = 0; i < 3; i++) {
        CHECK(has(&g.part[i], "connTimeout", "12"));
        CHECK(has(&g.part[i], "connPriority", i == 1 ? "7" : "100"));
        CHECK(has(&g.part[i], "msgPriority", i == 1 ? "3" : "100"));
    }
    CHECK_INT(clone_into(&g, &g.part[1], NULL), 0);
    CHECK(has(&g.part[3], "connTimeout", "12"));
    CHECK(has(&g.part[3], "connPriority", "7"));
    parts_finish(&g);
}

static void share(struct parts *g, uint64_t warm_ms, uint64_t ms, uint64_t *ret)
{
    uint64_t before[MEMBERS + 1];
    for (unsigned i = 0; i < g->count; i++)
        send_one(&g->part[i]);
    for (unsigned i = 0; i < g->count; i++)
        send_one(&g->part[i]);
    run(g, warm_ms);
    for (unsigned i = 0; i < g->count; i++)
        before[i] = g->part[i].bytes;
    run(g, ms);
    for (unsigned i = 0; i < g->count; i++)
        ret[i] = g->part[i].bytes - before[i];
}

/* proves API-081 and API-084: weights 1 .. 8 */
TEST(eight_at_full_load_share_by_their_priorities)
{
    struct parts g;
    uint64_t bytes[MEMBERS + 1], total = 0;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    tapsi_sim_link_rate(g.w.link, 20000000);
    parts_grow(&g, 7);
    for (unsigned i = 0; i < 8; i++) {
        char text[20];
        snprintf(text, sizeof(text), "%u", 840 / (i + 1));
        set(&g.part[i], "connPriority", text);
        g.part[i].load = 10000;
    }
    share(&g, 10000, 60000, bytes);
    for (unsigned i = 0; i < 8; i++)
        total += bytes[i];
    for (unsigned i = 0; i < 8; i++) {
        double ideal = (double)total * (i + 1) / 36;
        printf("# %u: %llu, %.3f of the ideal\n", i + 1, (unsigned long long)bytes[i], (double)bytes[i] / ideal);
        CHECK((double)bytes[i] > ideal * 0.9 && (double)bytes[i] < ideal * 1.1);
    }
    CHECK(total > 60ull * 20000000 / 8 * 9 / 10);
    parts_finish(&g);
}
