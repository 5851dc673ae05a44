/*
 * The members of a group, their common properties and ends.
 *
 * A clone is a new race, narrowed to what its group has found (`row`, `remote`), since members are to be equivalent; so
 * it waits until the group has found it. Only if the one that races is given up by this side, the next one races in its
 * place; if it fails by itself, so would the others, and they are told the same.
 *
 * Nothing here calls the application, so the list of members stays what it is while one walks along it; but the end of
 * one may begin the race of another, or end it too: `starting` and `ending` keep that in one place, go_on.
 */
#include <string.h>
#include "connection/connection.h"

static struct tapsi_member *member_at(struct tapsi_link *link)
{
    return TAPSI_CONTAINER(link, struct tapsi_member, link);
}

static bool is_over(const struct taps_connection *c)
{
    return c->state == TAPS_CLOSED || c->pending_end;
}

/* --------------------------------------------------------------------------------------------------- members */

static int new_group(struct taps_connection *c, struct tapsi_group **ret)
{
    struct tapsi_mem *mem = &c->context->loop.mem;
    struct tapsi_group *g = tapsi_zalloc(mem, sizeof(*g));
    if (!g)
        return TAPS_E_MEMORY;
    g->context = c->context;
    tapsi_link_init(&g->members);
    int err = tapsi_share_init(g, (enum taps_scheduler)c->properties->values[TAPS_CONN_SCHEDULER].enumeration);
    if (err) {
        tapsi_free(mem, g);
        return err;
    }
    *ret = g;
    return 0;
}

static void free_if_empty(struct tapsi_group *g)
{
    if (g->count)
        return;
    tapsi_share_done(g);
    tapsi_free(&g->context->loop.mem, g);
}

/* With memory for a clone_error, which must not fail later. */
static int join(struct tapsi_group *g, struct taps_connection *c)
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

static void go_on(struct tapsi_group *g);

void tapsi_group_leave(struct tapsi_member *m)
{
    struct tapsi_group *g = m->group;
    struct taps_connection *c = m->connection;
    tapsi_share_leave(m);
    tapsi_list_remove(&m->link);
    g->count--;
    c->member = NULL;
    tapsi_free(&c->context->loop.mem, m);
    if (g->count) {
        go_on(g);
        tapsi_group_pump(member_at(g->members.next));
    }
    free_if_empty(g);
}

/* ---------------------------------------------------------------------------------------------------- races */

/* The race that was won, as long as it is there; from a record it is to be freed. */
static struct tapsi_race *race_of(struct taps_connection *c)
{
    if (c->recorded)
        return tapsi_record_read(c->past.record, &c->context->loop, c->config);
    return tapsi_connection_race(c);
}

/* Where the first that is Ready has come to: 0 or TAPS_E_MEMORY. */
static int learn(struct tapsi_group *g, struct taps_connection *c)
{
    struct tapsi_race *race = race_of(c);
    if (!race)
        return TAPS_E_MEMORY;
    const struct tapsi_leaf *won = race->winner;
    g->remote = *won->endpoint; /* with the name, which security asks for */
    g->remote.has_address = g->remote.has_port = true;
    g->remote.address = won->remote;
    g->remote.port = tapsi_addr_port(&won->remote);
    g->remote.service[0] = g->remote.protocol[0] = '\0';
    tapsi_addr_host_text(&won->remote, g->remote.address_text);
    g->row = c->row;
    if (c->recorded)
        tapsi_race_free(race);
    return 0;
}

/* Local Endpoints stay, but for their ports: two flows to one address cannot have the same. */
static int narrow(struct tapsi_group *g, struct tapsi_config **config)
{
    int err = tapsi_config_own(config);
    if (err)
        return err;
    struct tapsi_config *own = *config;
    for (size_t i = 0; i < own->local_count; i++) {
        own->locals[i].port = 0;
        own->locals[i].has_port = false;
        own->locals[i].service[0] = '\0';
        tapsi_addr_set_port(&own->locals[i].address, 0);
    }
    own->only = g->row;
    own->remotes[0] = g->remote;
    own->remote_count = 1;
    return 0;
}

/* What is set meanwhile on the group holds for the race too. */
static int begin(struct tapsi_group *g, struct taps_connection *c, struct tapsi_error *ret_error)
{
    struct tapsi_platform *platform = c->context->loop.platform;
    struct tapsi_plan *plan;
    size_t rows;
    int err = g->row ? narrow(g, &c->config) : tapsi_config_own(&c->config);
    if (err)
        return tapsi_error_set(ret_error, err, "no memory for a clone");
    tapsi_properties_unref(c->config->properties);
    c->config->properties = tapsi_properties_ref(c->properties);
    err = tapsi_plan_get(c->config, platform, TAPSI_ROLE_CLIENT, &plan, ret_error);
    if (err)
        return err;
    if (g->row && !plan->stacks_eligible)
        err = tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "the clone cannot be over %s: %s", g->row->offer.stack,
                              plan->stacks[g->row - tapsi_registry(&rows)].reason);
    if (!err)
        err = tapsi_connection_begin_race(c, plan, 0, ret_error);
    tapsi_plan_unref(plan);
    return err;
}

static bool is_racing(const struct tapsi_group *g)
{
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        const struct tapsi_member *m = member_at(l);
        if (!m->waits && m->connection->state == TAPS_ESTABLISHING && !m->connection->pending_end)
            return true;
    }
    return false;
}

/* Begins all races that can begin: when it is known where to, all; else one. */
static void go_on(struct tapsi_group *g)
{
    struct tapsi_error error;
    if (g->starting || g->ending)
        return;
    g->starting = true;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        struct tapsi_member *m = member_at(l);
        if (!m->waits || is_over(m->connection) || (!g->row && is_racing(g)))
            continue;
        m->waits = false;
        if (begin(g, m->connection, &error))
            tapsi_connection_end(m->connection, &error, 0);
    }
    g->starting = false;
}

static void fail_waiting(struct tapsi_group *g, const struct tapsi_error *error)
{
    g->starting = true;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        struct tapsi_member *m = member_at(l);
        if (m->waits)
            tapsi_connection_end(m->connection, error, 0);
    }
    g->starting = false;
}

void tapsi_group_ready(struct tapsi_member *m)
{
    struct tapsi_group *g = m->group;
    if (!g->row)
        learn(g, m->connection); /* there is a race, which is not read from a record: it has memory */
    tapsi_share_join(m);
    go_on(g);
}

void tapsi_group_ended(struct tapsi_member *m, const struct tapsi_error *error)
{
    struct tapsi_group *g = m->group;
    bool by_us = !error || error->pub.code == TAPS_E_LOCAL_ABORT || error->pub.code == TAPS_E_CANCELLED;
    m->waits = false;
    if (!by_us && !g->row && !g->starting && m->connection->state == TAPS_ESTABLISHING)
        fail_waiting(g, error);
    go_on(g);
    if (!g->ending)
        tapsi_group_pump(m);
}

/* ---------------------------------------------------------------------------------------------------- clone */

static bool is_shared(enum taps_property property)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    return row->info.scope == TAPS_SCOPE_CONNECTION && property != TAPS_CONN_PRIORITY && property != TAPS_ATTEMPT_DELAY;
}

static int set_one(struct tapsi_properties *to, const struct tapsi_properties *from, enum taps_property property,
                   struct tapsi_error *ret_error)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    if (row->info.type == TAPS_TYPE_SET) {
        if (property == TAPS_INTERFACE)
            to->interfaces = from->interfaces;
        else
            to->pvds = from->pvds;
        to->set |= UINT64_C(1) << property;
        return 0;
    }
    if (is_shared(property) && !tapsi_connection_same_value(&to->values[property], &from->values[property]))
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                               "%s is shared by the Connection Group, and a clone cannot have another", row->info.name);
    return tapsi_properties_set(to, property, from->values[property]);
}

/* The parent's as they are now, and over them what is asked for. */
static int clone_properties(const struct taps_connection *parent, const struct tapsi_properties *asked,
                            struct tapsi_properties **ret, struct tapsi_error *ret_error)
{
    struct tapsi_properties *copy = tapsi_properties_copy(parent->properties, &parent->context->loop.mem);
    int err = copy ? 0 : tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a clone");
    for (int p = TAPS_PROPERTY_NONE + 1; asked && p < TAPS_PROPERTY_COUNT && !err; p++) {
        if (tapsi_properties_is_set(asked, (enum taps_property)p))
            err = set_one(copy, asked, (enum taps_property)p, ret_error);
    }
    if (err) {
        tapsi_properties_unref(copy);
        return err;
    }
    *ret = copy;
    return 0;
}

static int replace_framers(struct tapsi_config *config, const struct taps_framer *framer)
{
    tapsi_framers_done(&config->framers);
    return tapsi_framers_add(&config->framers, config->mem, framer);
}

static int clone_config(const struct taps_connection *parent, const struct taps_framer *framer,
                        const struct tapsi_properties *asked, struct tapsi_config **ret, struct tapsi_error *ret_error)
{
    struct tapsi_properties *properties;
    int err = clone_properties(parent, asked, &properties, ret_error);
    if (err)
        return err;
    err = tapsi_config_copy(parent->config, ret);
    if (err) {
        tapsi_properties_unref(properties);
        return tapsi_error_set(ret_error, err, "no memory for a clone");
    }
    tapsi_properties_unref((*ret)->properties);
    (*ret)->properties = properties;
    if (framer && replace_framers(*ret, framer))
        err = tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a clone");
    else
        err = tapsi_config_check(*ret, TAPSI_ROLE_CLIENT, ret_error);
    if (err)
        tapsi_config_unref(*ret);
    return err;
}

static size_t living(const struct tapsi_group *g)
{
    size_t count = 0;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next)
        count += !is_over(member_at(l)->connection);
    return count;
}

/* Why not, as the Connection and its group are. */
static int may_clone(const struct taps_connection *parent, struct tapsi_error *ret_error)
{
    uint64_t limit = parent->properties->values[TAPS_GROUP_CONN_LIMIT].integer;
    bool raced = parent->recorded || parent->past.race || (parent->member && parent->member->waits);
    if (!raced)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE,
                               "the Connection was accepted, and %s has no streams that this side could open",
                               parent->row->offer.stack);
    if ((parent->member ? living(parent->member->group) : 1) >= limit)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "groupConnLimit allows %llu Connections in the group",
                               (unsigned long long)limit);
    return 0;
}

/* The parent's group, which is made now if there is none. */
static int group_of(struct taps_connection *parent, struct tapsi_group **ret)
{
    struct tapsi_group *g;
    if (parent->member) {
        *ret = parent->member->group;
        return 0;
    }
    int err = new_group(parent, &g);
    if (err)
        return err;
    err = parent->top ? learn(g, parent) : 0;
    if (!err)
        err = join(g, parent);
    if (err) {
        free_if_empty(g);
        return err;
    }
    tapsi_share_join(parent->member);
    *ret = g;
    return 0;
}

static int add_clone(struct taps_connection *parent, struct tapsi_config *config,
                     const struct taps_connection_events *events, void *user, struct taps_connection **ret,
                     struct tapsi_error *ret_error)
{
    struct tapsi_group *g;
    struct taps_connection *c;
    int err = tapsi_connection_new(parent->context, config, events, user, &c);
    if (err)
        return tapsi_error_set(ret_error, err, "no memory for a clone");
    err = group_of(parent, &g);
    if (!err)
        err = join(g, c);
    if (err) {
        tapsi_error_set(ret_error, err, "no memory for a Connection Group");
    } else if (g->row) {
        err = begin(g, c, ret_error);
    } else {
        c->member->waits = true;
    }
    if (err) {
        tapsi_connection_free(c);
        return err;
    }
    *ret = c;
    return 0;
}

int tapsi_group_clone(struct taps_connection *parent, const struct taps_framer *framer,
                      const struct tapsi_properties *properties, const struct taps_connection_events *events,
                      void *user, struct taps_connection **ret)
{
    struct tapsi_config *config;
    struct tapsi_error error;
    if (parent->state > TAPS_ESTABLISHED || parent->closing || parent->pending_end)
        return TAPS_E_STATE;
    int err = may_clone(parent, &error);
    if (!err)
        err = clone_config(parent, framer, properties, &config, &error);
    if (!err) {
        err = add_clone(parent, config, events, user, ret, &error);
        tapsi_config_unref(config);
    }
    if (err)
        tapsi_connection_clone_error(parent, &error);
    return err;
}

/* ----------------------------------------------------------------------------------------------- entanglement */

/* Not told: it is no member any more, and keeps the value it had (RFC 9622, 7.4). */
static void cast_out(struct tapsi_member *m, enum taps_property property, int why)
{
    struct taps_connection *c = m->connection;
    struct tapsi_error error;
    tapsi_error_set(&error, why, "%s was changed for the Connection Group, and this Connection cannot follow: %s",
                    tapsi_property_name(property), taps_err_text(why));
    tapsi_connection_clone_error(c, &error);
    tapsi_group_leave(m);
    tapsi_connection_pump(c);
}

static bool follows(const struct tapsi_member *m, enum taps_property property)
{
    return tapsi_connection_check_set(m->connection, property) == 0;
}

static int own_all(struct tapsi_group *g, enum taps_property property)
{
    int err = 0;
    for (struct tapsi_link *l = g->members.next; l != &g->members && !err; l = l->next) {
        if (follows(member_at(l), property))
            err = tapsi_properties_own(&member_at(l)->connection->properties);
    }
    return err;
}

static int set_for_all(struct tapsi_member *asked, enum taps_property property, struct taps_value value)
{
    struct tapsi_group *g = asked->group;
    struct tapsi_link *next;
    int err = own_all(g, property);
    if (!err)
        err = tapsi_connection_set_stack(asked->connection, property, &value);
    if (err)
        return err;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = next) {
        struct tapsi_member *m = member_at(l);
        next = l->next;
        if (!follows(m, property))
            continue;
        int failed = m == asked ? 0 : tapsi_connection_set_stack(m->connection, property, &value);
        if (failed)
            cast_out(m, property, failed);
        else
            tapsi_connection_keep_value(m->connection, property, value);
    }
    if (property == TAPS_CONN_SCHEDULER)
        tapsi_share_set_scheduler(g, (enum taps_scheduler)value.enumeration);
    return 0;
}

int tapsi_group_set(struct tapsi_member *m, enum taps_property property, struct taps_value value)
{
    struct taps_connection *c = m->connection;
    if (is_shared(property))
        return set_for_all(m, property, value);
    int err = tapsi_properties_own(&c->properties);
    if (!err)
        err = tapsi_connection_set_stack(c, property, &value);
    if (!err)
        err = tapsi_connection_keep_value(c, property, value);
    if (!err && property == TAPS_CONN_PRIORITY)
        tapsi_share_set_priority(m, (uint32_t)value.integer);
    return err;
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
    return l == &g->members ? NULL : member_at(l)->connection;
}

static int end_all(struct taps_connection *c, int (*end)(struct taps_connection *))
{
    int err = TAPS_E_STATE;
    if (!c->member)
        return end(c);
    struct tapsi_group *g = c->member->group;
    g->ending = true;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        if (end(member_at(l)->connection) == 0)
            err = 0;
    }
    g->ending = false;
    go_on(g);
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
