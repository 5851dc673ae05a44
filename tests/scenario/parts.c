#include "parts.h"

#include <stdio.h>

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

int parts_send(struct part *p, size_t length)
{
    static char bytes[300000];
    length = length < sizeof(bytes) ? length : sizeof(bytes);
    return taps_connection_send(p->connection, bytes, length, NULL, TAPS_SEND_LEND, (void *)(uintptr_t)length);
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
        parts_send(p, p->load);
    act(p);
}

static void on_expired(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    ((struct part *)user)->expired++;
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
                                                     .expired = on_expired,
                                                     .send_error = on_send_error,
                                                     .closed = on_closed,
                                                     .connection_error = on_connection_error,
                                                     .clone_error = on_clone_error};

const struct taps_connection_events *const parts_events = &events;

/* ------------------------------------------------------------------------------------------------ the group */

void parts_new(struct parts *g)
{
    memset(g, 0, sizeof(*g));
    world_new(&g->w);
}

/* Initiates the first: 'a'. */
struct part *parts_initiate(struct parts *g, const char *remote)
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

int parts_clone(struct parts *g, struct part *parent, const taps_transport_properties *properties)
{
    struct part *p = &g->part[g->count];
    p->all = g;
    int err = taps_connection_clone(parent->connection, NULL, properties, &events, p, &p->connection);
    if (!err)
        g->count++;
    return err;
}

void parts_run(struct parts *g, uint64_t ms)
{
    world_run_ms(&g->w, ms);
}

/* The first Ready, and so many clones of it. */
void parts_grow(struct parts *g, unsigned clones)
{
    parts_initiate(g, "192.0.2.1:80");
    parts_run(g, 100);
    for (unsigned i = 0; i < clones; i++)
        CHECK_INT(parts_clone(g, &g->part[0], NULL), 0);
    parts_run(g, 100);
    for (unsigned i = 0; i <= clones; i++)
        CHECK_INT(g->part[i].ready, 1);
}

void parts_set(struct part *p, const char *name, const char *text)
{
    CHECK_INT(taps_connection_set_property(p->connection, name, text), 0);
}

bool parts_has(struct part *p, const char *name, const char *text)
{
    char now[100] = "";
    taps_connection_get_property(p->connection, name, now, sizeof(now));
    return strcmp(now, text) == 0;
}

void parts_free(struct part *p)
{
    taps_connection_free(p->connection);
    p->connection = NULL;
}

unsigned parts_ends(const struct part *p)
{
    return p->closed + p->connection_error + p->establishment_error;
}

void parts_finish(struct parts *g)
{
    for (unsigned i = 0; i < PARTS; i++) {
        CHECK(parts_ends(&g->part[i]) <= 1);
        parts_free(&g->part[i]);
    }
    world_finish(&g->w);
}
