/*
 * Clone (RFC 9622, 7.4). Where the stack is a stream of a session, a clone is one more stream of it: streams.c. Else it
 * is a new race, narrowed to what its group has found (`row`, `remote`), since members are to be equivalent.
 */
#include <string.h>
#include "connection/connection.h"

/* The race that was won, as long as it is there; from a record it is to be freed. */
static struct tapsi_race *race_of(struct taps_connection *c)
{
    if (c->recorded)
        return tapsi_record_read(c->past.record, &c->context->loop, c->config);
    return tapsi_connection_race(c);
}

int tapsi_group_learn(struct tapsi_group *g, struct taps_connection *c)
{
    struct tapsi_race *race = race_of(c);
    g->row = c->row;
    if (!race)
        return c->recorded ? TAPS_E_MEMORY : 0;
    const struct tapsi_leaf *won = race->winner;
    g->remote = *won->endpoint; /* with the name, which security asks for */
    g->remote.has_address = g->remote.has_port = true;
    g->remote.address = won->remote;
    g->remote.port = tapsi_addr_port(&won->remote);
    g->remote.service[0] = g->remote.protocol[0] = '\0';
    tapsi_addr_host_text(&won->remote, g->remote.address_text);
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
static int begin_race(struct tapsi_group *g, struct taps_connection *c, struct tapsi_error *ret_error)
{
    struct tapsi_platform *platform = c->context->loop.platform;
    struct tapsi_plan *plan;
    size_t rows;
    if (g->row && !g->remote.has_address)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "the session is over, and the peer had begun it");
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

/* Selection Properties of its own may contradict what the group is over. */
static int check_row(const struct tapsi_group *g, const struct taps_connection *c, struct tapsi_error *ret_error)
{
    struct tapsi_offer offers[TAPSI_STACKS_MAX];
    struct tapsi_error why;
    size_t rows;
    tapsi_registry_offers(offers, &c->config->framers);
    int err = tapsi_select_check(&offers[g->row - tapsi_registry(&rows)], 1, c->config->properties, c->config->security,
                                 g->passive ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT, &why);
    return !err ? 0
                : tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "the clone cannot be over %s: %s",
                                  g->row->offer.stack, why.text);
}

int tapsi_group_begin(struct tapsi_group *g, struct taps_connection *c, struct tapsi_error *ret_error)
{
    struct taps_connection *from = g->row ? tapsi_group_streamer(g) : NULL;
    if (!from)
        return begin_race(g, c, ret_error);
    int err = c->config == from->config ? 0 : check_row(g, c, ret_error);
    return err ? err : tapsi_stream_open(c->member, from, ret_error);
}

/* ---------------------------------------------------------------------------------------------------- clone */

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
    if (tapsi_group_is_shared(property) && !tapsi_connection_same_value(&to->values[property], &from->values[property]))
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

/* A Listener's Connection has no Remote Endpoint in its configuration, and a credential of another kind. */
static enum tapsi_role role_of(const struct taps_connection *c)
{
    bool client = c->member ? !c->member->group->passive : tapsi_connection_is_initiated(c);
    return client ? TAPSI_ROLE_CLIENT : TAPSI_ROLE_SERVER;
}

/* Said here, or it would be that no stack is eligible. */
static int check_direction(const struct taps_connection *parent, const struct tapsi_properties *properties,
                           struct tapsi_error *ret_error)
{
    bool receives = properties->values[TAPS_DIRECTION].enumeration == TAPS_UNIDIRECTIONAL_RECEIVE;
    return !parent->streams || !receives
               ? 0
               : tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "only the peer can open a stream to receive from");
}

/* A stream like its parent has the parent's configuration, which was checked then. */
static bool is_like_parent(const struct taps_connection *parent, const struct taps_framer *framer,
                           const struct tapsi_properties *asked)
{
    return parent->streams && !framer && !asked && parent->properties == parent->config->properties;
}

static int clone_config(const struct taps_connection *parent, const struct taps_framer *framer,
                        const struct tapsi_properties *asked, struct tapsi_config **ret, struct tapsi_error *ret_error)
{
    struct tapsi_properties *properties;
    if (is_like_parent(parent, framer, asked)) {
        int refused = check_direction(parent, parent->properties, ret_error);
        if (!refused)
            *ret = tapsi_config_ref(parent->config);
        return refused;
    }
    int err = clone_properties(parent, asked, &properties, ret_error);
    if (err)
        return err;
    err = check_direction(parent, properties, ret_error);
    if (!err && tapsi_config_copy(parent->config, ret))
        err = tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a clone");
    if (err) {
        tapsi_properties_unref(properties);
        return err;
    }
    tapsi_properties_unref((*ret)->properties);
    (*ret)->properties = properties;
    if (framer && replace_framers(*ret, framer))
        err = tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a clone");
    else
        err = tapsi_config_check(*ret, role_of(parent), ret_error);
    if (err)
        tapsi_config_unref(*ret);
    return err;
}

/* Why not, as the Connection and its group are. */
static int may_clone(const struct taps_connection *parent, struct tapsi_error *ret_error)
{
    uint64_t limit = parent->properties->values[TAPS_GROUP_CONN_LIMIT].integer;
    bool has_streams = tapsi_stream_bond(parent->top) || (parent->member && parent->member->opening);
    if (!tapsi_connection_is_initiated(parent) && !has_streams)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE,
                               "the Connection was accepted, and %s has no streams that this side could open",
                               parent->row->offer.stack);
    if ((parent->member ? tapsi_group_living(parent->member->group) : 1) >= limit)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "groupConnLimit allows %llu Connections in the group",
                               (unsigned long long)limit);
    return 0;
}

int tapsi_group_of(struct taps_connection *parent, struct tapsi_group **ret)
{
    struct tapsi_group *g;
    if (parent->member) {
        *ret = parent->member->group;
        return 0;
    }
    int err = tapsi_group_new(parent, &g);
    if (err)
        return err;
    err = parent->top ? tapsi_group_learn(g, parent) : 0;
    if (!err)
        err = tapsi_group_join(g, parent);
    if (err) {
        tapsi_group_free_unused(g);
        return err;
    }
    tapsi_group_tie(g, tapsi_stream_bond(parent->top));
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
    err = tapsi_group_of(parent, &g);
    if (!err)
        err = tapsi_group_join(g, c);
    if (err) {
        tapsi_error_set(ret_error, err, "no memory for a Connection Group");
    } else if (g->row) {
        err = tapsi_group_begin(g, c, ret_error);
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
