/*
 * The members of a group and their ends.
 *
 * A clone waits until its group has found where to go. Only if the one that races is given up by this side, the next
 * one races in its place; if it fails by itself, so would the others, and they are told the same.
 *
 * Nothing here calls the application, so the list of members stays what it is while one walks along it; but the end of
 * one may begin the race of another, or end it too: `starting` and `ending` keep that in one place, go_on.
 */
#include "connection/connection.h"
#include "connection/paths.h"

static bool is_over(const struct taps_connection *c)
{
    return c->state == TAPS_CLOSED || c->pending_end;
}

/* --------------------------------------------------------------------------------------------------- members */

int tapsi_group_new(struct taps_connection *c, struct tapsi_group **ret)
{
    struct tapsi_mem *mem = &c->context->loop.mem;
    struct tapsi_group *g = tapsi_zalloc(mem, sizeof(*g));
    if (!g)
        return TAPS_E_MEMORY;
    g->context = c->context;
    g->passive = !c->recorded && !c->past.race;
    tapsi_link_init(&g->members);
    tapsi_stream_init(g);
    int err = tapsi_share_init(g, (enum taps_scheduler)c->properties->values[TAPS_CONN_SCHEDULER].enumeration);
    if (err) {
        tapsi_free(mem, g);
        return err;
    }
    *ret = g;
    return 0;
}

/* A session that lives on may bring more members, which are to find it. */
void tapsi_group_free_unused(struct tapsi_group *g)
{
    if (g->count || g->bond || g->delivering)
        return;
    tapsi_share_done(g);
    tapsi_paths_free(g->paths);
    tapsi_task_cancel(&g->deliver);
    tapsi_properties_unref(g->properties);
    tapsi_free(&g->context->loop.mem, g);
}

int tapsi_group_join(struct tapsi_group *g, struct taps_connection *c)
{
    struct tapsi_mem *mem = &c->context->loop.mem;
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    struct tapsi_member *m = tapsi_zalloc(mem, sizeof(*m));
    if (rare && !rare->clone_error)
        rare->clone_error = tapsi_zalloc(mem, sizeof(*rare->clone_error));
    if (!rare || !rare->clone_error || !m) {
        tapsi_free(mem, m);
        return TAPS_E_MEMORY;
    }
    tapsi_sched_entry_init(&m->entry, (uint32_t)c->properties->values[TAPS_CONN_PRIORITY].integer);
    m->group = g;
    m->connection = c;
    tapsi_list_append(&g->members, &m->link);
    g->count++;
    c->member = m;
    return 0;
}

/* What the next member is to share, if it finds no other. */
static void last_has_left(struct tapsi_group *g, const struct taps_connection *c)
{
    tapsi_stream_refuse_all(g);
    if (!g->bond)
        return;
    tapsi_properties_unref(g->properties);
    g->properties = tapsi_properties_ref(c->properties);
}

void tapsi_group_leave(struct tapsi_member *m)
{
    struct tapsi_group *g = m->group;
    struct taps_connection *c = m->connection;
    tapsi_share_leave(m);
    tapsi_stream_give_up(m->opening, 0);
    tapsi_list_remove(&m->link);
    g->count--;
    c->member = NULL;
    tapsi_free(&c->context->loop.mem, m);
    if (g->count) {
        tapsi_group_go_on(g);
        tapsi_group_pump(tapsi_group_member_at(g->members.next));
    } else {
        last_has_left(g, c);
    }
    tapsi_group_free_unused(g);
}

size_t tapsi_group_living(const struct tapsi_group *g)
{
    size_t count = 0;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next)
        count += !is_over(tapsi_group_member_at(l)->connection);
    return count;
}

/* ---------------------------------------------------------------------------------------------------- races */

static bool is_racing(const struct tapsi_group *g)
{
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        const struct tapsi_member *m = tapsi_group_member_at(l);
        if (!m->waits && m->connection->state == TAPS_ESTABLISHING && !m->connection->pending_end)
            return true;
    }
    return false;
}

void tapsi_group_go_on(struct tapsi_group *g)
{
    struct tapsi_error error;
    if (g->starting || g->ending)
        return;
    g->starting = true;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        struct tapsi_member *m = tapsi_group_member_at(l);
        if (!m->waits || is_over(m->connection) || (!g->row && is_racing(g)))
            continue;
        m->waits = false;
        if (tapsi_group_begin(g, m->connection, &error))
            tapsi_connection_end(m->connection, &error, 0);
    }
    g->starting = false;
}

static void fail_waiting(struct tapsi_group *g, const struct tapsi_error *error)
{
    g->starting = true;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        struct tapsi_member *m = tapsi_group_member_at(l);
        if (m->waits)
            tapsi_connection_end(m->connection, error, 0);
    }
    g->starting = false;
}

void tapsi_group_ready(struct tapsi_member *m)
{
    struct tapsi_group *g = m->group;
    if (!g->row)
        tapsi_group_learn(g, m->connection); /* there is a race, which is not read from a record: it has memory */
    tapsi_group_tie(g, tapsi_stream_bond(m->connection->top));
    tapsi_share_join(m);
    tapsi_group_go_on(g);
}

void tapsi_group_ended(struct tapsi_member *m, const struct tapsi_error *error)
{
    struct tapsi_group *g = m->group;
    bool by_us = !error || error->pub.code == TAPS_E_LOCAL_ABORT || error->pub.code == TAPS_E_CANCELLED;
    m->waits = false;
    if (!by_us && !g->row && !g->starting && m->connection->state == TAPS_ESTABLISHING)
        fail_waiting(g, error);
    tapsi_group_go_on(g);
    if (!g->ending)
        tapsi_group_pump(m);
}

/* ------------------------------------------------------------------------------------------- all of the group */

size_t tapsi_group_count(const struct taps_connection *c)
{
    return c->member ? c->member->group->count : 1;
}

struct taps_connection *tapsi_group_next(const struct taps_connection *c, const struct taps_connection *previous)
{
    if (!c->member)
        return previous ? NULL : (struct taps_connection *)(uintptr_t)c;
    const struct tapsi_group *g = c->member->group;
    if (previous && (!previous->member || previous->member->group != g))
        return NULL;
    struct tapsi_link *l = previous ? previous->member->link.next : g->members.next;
    return l == &g->members ? NULL : tapsi_group_member_at(l)->connection;
}

static int end_all(struct taps_connection *c, int (*end)(struct taps_connection *))
{
    int err = TAPS_E_STATE;
    if (!c->member)
        return end(c);
    struct tapsi_group *g = c->member->group;
    g->ending = true;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        if (end(tapsi_group_member_at(l)->connection) == 0)
            err = 0;
    }
    g->ending = false;
    tapsi_group_go_on(g);
    return err;
}

int tapsi_group_close(struct taps_connection *c)
{
    return end_all(c, tapsi_connection_close);
}

int tapsi_group_abort(struct taps_connection *c)
{
    return end_all(c, tapsi_connection_abort);
}

void tapsi_group_abort_with(struct taps_connection *c, const struct tapsi_error *error)
{
    if (!c->streams || !c->member) {
        tapsi_connection_abort_with(c, error);
        return;
    }
    struct tapsi_group *g = c->member->group;
    g->ending = true;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next)
        tapsi_connection_abort_with(tapsi_group_member_at(l)->connection, error);
    g->ending = false;
    tapsi_group_go_on(g);
}
