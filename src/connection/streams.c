/*
 * Streams of a session as members of one group: those that a clone opens, and those that the peer opens.
 *
 * A stream's stack is the layer of the session and the Framers above it. Until it is READY an opening is its sink: of a
 * clone, which waits Establishing, or of the peer's, which becomes a Connection then. That waits in `arrived`, silent,
 * until the loop delivers it to a member; a member it becomes only then, so that nobody finds what is not his yet. How
 * many may wait is bounded by the session, which says to its peer how many streams it may have.
 *
 * A peer's stream of a Listener's session comes through accept.c as long as there is the Listener, and here only what
 * both have in common is asked: tapsi_stream_admit. All others come here.
 *
 * The surprising thing: a group may live on without a member. The session points to it, and a stream that comes later
 * is to share what was set on the group before.
 */
#include "connection/connection.h"
#include "connection/paths.h"

#define PATIENCE (30 * TAPSI_S)

struct tapsi_opening {
    struct tapsi_sink sink;
    struct tapsi_link link; /* the peer's: the group's */
    struct tapsi_timer timer;
    struct tapsi_group *group;
    struct tapsi_member *member; /* NULL: the peer's */
    struct tapsi_config *config; /* of the Connection it is going to be */
    const struct tapsi_stack_row *row;
    struct tapsi_layer *top;
};

struct tapsi_bond *tapsi_stream_bond(struct tapsi_layer *layer)
{
    union tapsi_got got;
    return layer && tapsi_layer_get(layer, TAPSI_GET_BOND, &got) == 0 ? got.bond : NULL;
}

/* ------------------------------------------------------------------------------------- group and session */

static void on_gone(struct tapsi_bond *bond)
{
    struct tapsi_group *g = bond->group;
    g->bond = NULL;
    if (g->paths)
        g->paths->bond = NULL; /* another session may have the same place in memory */
    tapsi_group_free_unused(g);
}

void tapsi_group_tie(struct tapsi_group *g, struct tapsi_bond *bond)
{
    if (!bond || bond->group || g->bond)
        return;
    bond->group = g;
    bond->gone = on_gone;
    g->bond = bond;
}

struct taps_connection *tapsi_group_streamer(const struct tapsi_group *g)
{
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        struct taps_connection *c = tapsi_group_member_at(l)->connection;
        if (c->streams && c->top)
            return c;
    }
    return NULL;
}

/* ----------------------------------------------------------------------------------------------- openings */

static void free_opening(struct tapsi_opening *o)
{
    struct tapsi_loop *loop = &o->group->context->loop;
    tapsi_list_remove(&o->link);
    if (o->member)
        o->member->opening = NULL;
    tapsi_timer_done(loop, &o->timer);
    tapsi_config_unref(o->config);
    tapsi_free(&loop->mem, o);
}

void tapsi_stream_give_up(struct tapsi_opening *o, int reason)
{
    if (!o)
        return;
    tapsi_layer_destroy(o->top, reason);
    free_opening(o);
}

static void refuse(struct tapsi_opening *o, const char *why)
{
    tapsi_log(&o->group->context->loop, TAPS_LOG_INFO, "a stream of the peer was refused: %s", why);
    tapsi_stream_give_up(o, TAPS_E_POLICY);
}

static void fail(struct tapsi_opening *o, const struct tapsi_error *error)
{
    if (o->member)
        tapsi_connection_end(o->member->connection, error, 0);
    else
        refuse(o, error->text);
}

static void on_timer(struct tapsi_timer *timer)
{
    struct tapsi_error error;
    tapsi_error_set(&error, TAPS_E_TIMEOUT, "the stream was not ready after %u s", (unsigned)(PATIENCE / TAPSI_S));
    fail(TAPSI_CONTAINER(timer, struct tapsi_opening, timer), &error);
}

static void arrive(struct tapsi_group *g, struct tapsi_config *config, const struct tapsi_stack_row *row,
                   struct tapsi_layer *top);

static void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    struct tapsi_opening *o = TAPSI_CONTAINER(sink, struct tapsi_opening, sink);
    struct taps_connection *c = o->member ? o->member->connection : NULL;
    const struct tapsi_stack_row *row = o->row;
    struct tapsi_config *config = tapsi_config_ref(o->config);
    struct tapsi_group *g = o->group;
    (void)info;
    free_opening(o);
    if (c)
        tapsi_connection_opened(c, row, layer);
    else
        arrive(g, config, row, layer);
    tapsi_config_unref(config);
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    struct tapsi_error nothing_said;
    (void)layer;
    if (!error) {
        tapsi_error_set(&nothing_said, TAPS_E_ESTABLISHMENT, "the peer closed before the stream was ready");
        error = &nothing_said;
    }
    fail(TAPSI_CONTAINER(sink, struct tapsi_opening, sink), error);
}

static void child_of(struct tapsi_group *g, struct tapsi_layer *child);

static void on_child(struct tapsi_sink *sink, struct tapsi_layer *layer, struct tapsi_layer *child)
{
    (void)layer;
    child_of(TAPSI_CONTAINER(sink, struct tapsi_opening, sink)->group, child);
}

static const struct tapsi_sink_ops opening_ops = {.ready = on_ready, .closed = on_closed, .child = on_child};

static struct tapsi_opening *new_opening(struct tapsi_group *g, struct tapsi_config *config,
                                         const struct tapsi_stack_row *row)
{
    struct tapsi_loop *loop = &g->context->loop;
    struct tapsi_opening *o = tapsi_zalloc(&loop->mem, sizeof(*o));
    if (!o)
        return NULL;
    if (tapsi_timer_init(loop, &o->timer, on_timer)) {
        tapsi_free(&loop->mem, o);
        return NULL;
    }
    o->sink.ops = &opening_ops;
    o->group = g;
    o->row = row;
    o->config = tapsi_config_ref(config);
    tapsi_link_init(&o->link);
    return o;
}

/* The Framers above the stream, which is the opening's already, and begins. */
static int build(struct tapsi_opening *o, struct tapsi_env *env, enum tapsi_role role, struct tapsi_error *ret_error)
{
    const struct tapsi_group *g = o->group;
    const struct taps_endpoint *remote = g->remote.has_address ? &g->remote : NULL;
    struct tapsi_target target = {.remote = remote ? &remote->address : NULL,
                                  .server_name = remote && remote->host_name[0] ? remote->host_name : NULL};
    int err = tapsi_stack_make(o->row, env, &target, role, o->top, &o->sink, &o->top, ret_error);
    if (err)
        return err;
    tapsi_timer_start(&g->context->loop, &o->timer, PATIENCE);
    err = o->top->state == TAPSI_LAYER_NEW ? tapsi_layer_start(o->top) : 0;
    return err ? tapsi_error_set(ret_error, err, "%s: %s", o->row->offer.stack, taps_err_text(err)) : 0;
}

int tapsi_stream_open(struct tapsi_member *m, struct taps_connection *from, struct tapsi_error *ret_error)
{
    struct taps_connection *c = m->connection;
    struct tapsi_env *env = tapsi_config_env(c->config, &c->context->loop, c->context->caches);
    struct tapsi_opening *o = env ? new_opening(m->group, c->config, m->group->row) : NULL;
    int err = TAPS_E_MEMORY;
    if (o) {
        struct tapsi_clone how = {.env = env,
                                  .direction = (enum taps_direction)c->properties->values[TAPS_DIRECTION].enumeration};
        m->opening = o;
        o->member = m;
        err = tapsi_layer_clone(from->top, &how, &o->top, ret_error);
        if (!err)
            err = build(o, env, TAPSI_ROLE_CLIENT, ret_error);
        if (err)
            tapsi_stream_give_up(o, 0);
    } else {
        tapsi_error_set(ret_error, err, "no memory for a stream");
    }
    if (env)
        tapsi_env_unref(env);
    return err;
}

/* --------------------------------------------------------------------------------------- streams of the peer */

/* Whether it can be told of one, now or when its Ready has been told. */
static bool hears(const struct taps_connection *c)
{
    return c->state >= TAPS_ESTABLISHED && c->state < TAPS_CLOSED && !c->pending_end && c->events &&
           c->events->connection_received;
}

static struct taps_connection *hearer(const struct tapsi_group *g, bool now)
{
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next) {
        struct taps_connection *c = tapsi_group_member_at(l)->connection;
        if (hears(c) && !(now && c->pending_ready))
            return c;
    }
    return NULL;
}

static bool has_room(const struct tapsi_group *g)
{
    struct tapsi_link *first = tapsi_list_first(&g->members);
    const struct tapsi_properties *p = first ? tapsi_group_member_at(first)->connection->properties : g->properties;
    return !p || tapsi_group_living(g) < p->values[TAPS_GROUP_CONN_LIMIT].integer;
}

bool tapsi_stream_has_room(struct tapsi_layer *child)
{
    const struct tapsi_bond *bond = tapsi_stream_bond(child);
    return !bond || !bond->group || has_room(bond->group);
}

static void arrive(struct tapsi_group *g, struct tapsi_config *config, const struct tapsi_stack_row *row,
                   struct tapsi_layer *top)
{
    struct taps_connection *c;
    if (tapsi_connection_accept(g->context, config, row, top, &c)) {
        tapsi_layer_destroy(top, TAPS_E_MEMORY);
        return;
    }
    tapsi_list_remove(&c->link); /* until it is delivered it is the group's */
    tapsi_list_append(&g->arrived, &c->link);
    tapsi_loop_post(&g->context->loop, &g->deliver);
}

/* It has the configuration, and so the Framers, of the member that is going to be told of it. */
static void child_of(struct tapsi_group *g, struct tapsi_layer *child)
{
    const struct taps_connection *model = hearer(g, false);
    struct tapsi_error error;
    if (!model || !has_room(g)) {
        tapsi_layer_destroy(child, TAPS_E_POLICY);
        return;
    }
    struct tapsi_env *env = tapsi_config_env(model->config, &g->context->loop, g->context->caches);
    struct tapsi_opening *o = env ? new_opening(g, model->config, model->row) : NULL;
    if (o) {
        tapsi_list_append(&g->openings, &o->link);
        o->top = child;
        if (build(o, env, TAPSI_ROLE_SERVER, &error))
            refuse(o, error.text);
        else if (o->top->state == TAPSI_LAYER_READY)
            on_ready(&o->sink, o->top, NULL);
    } else {
        tapsi_layer_destroy(child, TAPS_E_MEMORY);
    }
    if (env)
        tapsi_env_unref(env);
}

void tapsi_stream_child(struct taps_connection *c, struct tapsi_layer *child)
{
    struct tapsi_group *g;
    if ((c->member || hears(c)) && tapsi_group_of(c, &g) == 0)
        child_of(g, child);
    else
        tapsi_layer_destroy(child, TAPS_E_POLICY);
}

static int admit(struct tapsi_group *g, struct taps_connection *c)
{
    if (!has_room(g))
        return TAPS_E_POLICY;
    int err = tapsi_group_share_properties(g, c);
    return err ? err : tapsi_group_join(g, c);
}

int tapsi_stream_admit(struct taps_connection *c)
{
    struct tapsi_bond *bond = tapsi_stream_bond(c->top);
    struct tapsi_group *g;
    if (!bond)
        return 0;
    if (bond->group)
        return admit(bond->group, c);
    int err = tapsi_group_new(c, &g);
    if (err)
        return err;
    g->row = c->row;
    err = tapsi_group_join(g, c);
    if (err)
        tapsi_group_free_unused(g);
    else
        tapsi_group_tie(g, bond);
    return err;
}

/* ----------------------------------------------------------------------------------------------- delivery */

static void drop_arrived(struct taps_connection *c, int reason)
{
    tapsi_connection_drop_stack(c, reason);
    tapsi_connection_free(c);
}

/* The application may free every member, and with the last of them the group, but for `delivering`. */
static void deliver(struct tapsi_task *task)
{
    struct tapsi_group *g = TAPSI_CONTAINER(task, struct tapsi_group, deliver);
    struct tapsi_link *link;
    g->delivering = true;
    while ((link = tapsi_list_pop(&g->arrived))) {
        struct taps_connection *c = TAPSI_CONTAINER(link, struct taps_connection, link);
        struct taps_connection *to = hearer(g, true);
        tapsi_list_append(&g->context->open, &c->link);
        int err = to ? admit(g, c) : TAPS_E_POLICY;
        if (err) {
            drop_arrived(c, err);
            continue;
        }
        tapsi_connection_delivered(c);
        to->events->connection_received(to, c, to->user);
    }
    g->delivering = false;
    tapsi_group_free_unused(g);
}

void tapsi_stream_init(struct tapsi_group *g)
{
    tapsi_link_init(&g->openings);
    tapsi_link_init(&g->arrived);
    tapsi_task_init(&g->deliver, deliver);
}

void tapsi_stream_refuse_all(struct tapsi_group *g)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&g->openings)))
        refuse(TAPSI_CONTAINER(link, struct tapsi_opening, link), "nobody is left to be told");
    while ((link = tapsi_list_pop(&g->arrived)))
        drop_arrived(TAPSI_CONTAINER(link, struct taps_connection, link), TAPS_E_POLICY);
}
