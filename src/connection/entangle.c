/* What the members of a group share: every Connection Property but connPriority (RFC 9622, 7.4). */
#include "connection/connection.h"

bool tapsi_group_is_shared(enum taps_property property)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    return row->info.scope == TAPS_SCOPE_CONNECTION && property != TAPS_CONN_PRIORITY && property != TAPS_ATTEMPT_DELAY;
}

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

/* Whatever may fail for want of memory. */
static int prepare(struct taps_connection *c, enum taps_property property, const struct taps_value *value)
{
    int err = tapsi_properties_own(&c->properties);
    return err ? err : tapsi_rates_prepare_value(c, property, value);
}

static int own_all(struct tapsi_group *g, enum taps_property property, const struct taps_value *value)
{
    int err = 0;
    for (struct tapsi_link *l = g->members.next; l != &g->members && !err; l = l->next) {
        if (follows(tapsi_group_member_at(l), property))
            err = prepare(tapsi_group_member_at(l)->connection, property, value);
    }
    return err;
}

static int set_for_all(struct tapsi_member *asked, enum taps_property property, struct taps_value value)
{
    struct tapsi_group *g = asked->group;
    struct tapsi_link *next;
    int err = own_all(g, property, &value);
    if (!err)
        err = tapsi_connection_set_stack(asked->connection, property, &value);
    if (err)
        return err;
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = next) {
        struct tapsi_member *m = tapsi_group_member_at(l);
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
    if (tapsi_group_is_shared(property))
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

/* ------------------------------------------------------------------------------------------- who comes later */

static const struct tapsi_properties *common(const struct tapsi_group *g)
{
    struct tapsi_link *first = tapsi_list_first(&g->members);
    return first ? tapsi_group_member_at(first)->connection->properties : g->properties;
}

static int share_one(struct taps_connection *c, const struct tapsi_properties *from, enum taps_property property)
{
    if (tapsi_connection_same_value(&c->properties->values[property], &from->values[property]))
        return 0;
    int err = prepare(c, property, &from->values[property]);
    return err ? err : tapsi_connection_keep_value(c, property, from->values[property]);
}

/* A stack that refuses one of them keeps its own: nobody has been told otherwise yet. */
int tapsi_group_share_properties(struct tapsi_group *g, struct taps_connection *c)
{
    const struct tapsi_properties *from = common(g);
    int err = 0;
    if (!from || from == c->properties)
        return 0;
    struct tapsi_properties *before = tapsi_properties_ref(c->properties);
    for (int p = TAPS_PROPERTY_NONE + 1; p < TAPS_PROPERTY_COUNT && !err; p++) {
        if (tapsi_group_is_shared((enum taps_property)p))
            err = share_one(c, from, (enum taps_property)p);
    }
    if (!err)
        tapsi_connection_apply_properties(c, before);
    tapsi_properties_unref(before);
    return err;
}
