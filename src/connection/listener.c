/*
 * A Listener's life: names of its endpoints are resolved, sockets are opened, children become Connections, until it
 * stops. Like a Connection it says nothing inside a call: one posted task tells listening, connection_received and the
 * end.
 */
#include "connection/listener.h"

#include <string.h>

static void dispatch(struct tapsi_task *task);

static const struct tapsi_sink_ops sink_ops;

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    (void)sink;
    (void)layer;
    (void)error; /* a listening socket does not end by itself */
}

static void on_event(struct tapsi_sink *sink, struct tapsi_layer *layer, enum tapsi_event event, const void *value)
{
    (void)layer;
    (void)value;
    if (event == TAPSI_EVENT_ROOM)
        tapsi_listener_grant(TAPSI_CONTAINER(sink, struct taps_listener, sink));
}

static const struct tapsi_sink_ops sink_ops = {.child = tapsi_listener_child, .closed = on_closed, .event = on_event};

static void post(struct taps_listener *l)
{
    if (!l->freed && !l->ended)
        tapsi_loop_post(&l->context->loop, &l->task);
}

static void end(struct taps_listener *l, const struct tapsi_error *error)
{
    if (l->pending_end || l->ended)
        return;
    l->end_code = error ? error->pub.code : 0;
    l->error = error ? tapsi_alloc(&l->context->loop.mem, sizeof(*l->error)) : NULL;
    if (l->error)
        tapsi_error_copy(l->error, error);
    l->pending_end = true;
    l->pending_listening = false;
    post(l);
}

/* ----------------------------------------------------------------------------------------------- beginning */

static bool names_pending(const struct taps_listener *l)
{
    return tapsi_lookups_pending(&l->locals) || tapsi_lookups_pending(&l->remotes);
}

static bool name_failed(const struct tapsi_lookups *lookups, struct tapsi_error *error)
{
    return lookups->count && tapsi_lookups_error(lookups, error);
}

static void open_when_resolved(struct taps_listener *l)
{
    struct tapsi_error error;
    if (l->begun || l->pending_end || names_pending(l))
        return;
    l->begun = true;
    if (name_failed(&l->locals, &error) || name_failed(&l->remotes, &error) || tapsi_listener_open(l, &error)) {
        tapsi_listener_close_sockets(l);
        end(l, &error);
        return;
    }
    l->pending_listening = true;
    tapsi_listener_grant(l);
    post(l);
}

static void on_locals(struct tapsi_lookups *lookups)
{
    open_when_resolved(TAPSI_CONTAINER(lookups, struct taps_listener, locals));
}

static void on_remotes(struct tapsi_lookups *lookups)
{
    open_when_resolved(TAPSI_CONTAINER(lookups, struct taps_listener, remotes));
}

static void begin(struct tapsi_task *task)
{
    struct taps_listener *l = TAPSI_CONTAINER(task, struct taps_listener, begin);
    tapsi_lookups_start(&l->locals);
    tapsi_lookups_start(&l->remotes);
    open_when_resolved(l);
}

/* Endpoints without a name and without an address are not looked up: they mean every address. */
static unsigned families_of(const struct taps_endpoint *endpoints, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (endpoints[i].host_name[0])
            return 3;
    }
    return 0;
}

static int init_parts(struct taps_listener *l)
{
    struct tapsi_loop *loop = &l->context->loop;
    struct tapsi_config *config = l->config;
    struct tapsi_security *security = config->security->mode == TAPS_SECURITY_DISABLED ? NULL : config->security;
    size_t locals = families_of(config->locals, config->local_count) ? config->local_count : 0;
    l->env = tapsi_env_new(loop, config->properties, security, &config->framers);
    l->sockets = tapsi_calloc(&loop->mem, TAPSI_LISTEN_MAX, sizeof(*l->sockets));
    if (!l->env || !l->sockets)
        return TAPS_E_MEMORY;
    l->env->half_open = &l->half_open;
    l->env->caches = tapsi_config_caches(config, l->context->caches);
    int err = tapsi_timer_init(loop, &l->patience, tapsi_listener_patience);
    if (err)
        return err;
    err = tapsi_lookups_init(&l->locals, loop, l->context->resolver, config->locals, locals, 3, 0, on_locals);
    if (!err)
        err = tapsi_lookups_init(&l->remotes, loop, l->context->resolver, config->remotes, config->remote_count, 3, 0,
                                 on_remotes);
    if (err) {
        tapsi_lookups_done(&l->locals);
        tapsi_timer_done(loop, &l->patience);
    }
    l->has_lookups = !err;
    return err;
}

int tapsi_listener_new(struct taps_context *context, struct tapsi_config *config, struct tapsi_plan *plan,
                       const struct taps_listener_events *events, void *user, struct taps_listener **ret,
                       struct tapsi_error *ret_error)
{
    struct tapsi_loop *loop = &context->loop;
    struct taps_listener *l = tapsi_zalloc(&loop->mem, sizeof(*l));
    if (!l)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a Listener");
    *l = (struct taps_listener){
        .sink = {&sink_ops}, .context = context, .events = events, .user = user, .limit = TAPS_INFINITE};
    l->config = tapsi_config_ref(config);
    l->plan = plan;
    plan->refs++;
    tapsi_link_init(&l->incoming);
    tapsi_link_init(&l->accepted);
    tapsi_link_init(&l->link);
    tapsi_task_init(&l->task, dispatch);
    tapsi_task_init(&l->begin, begin);
    tapsi_list_append(&context->listeners, &l->link);
    loop->holds++;
    if (init_parts(l)) {
        tapsi_listener_free(l);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a Listener");
    }
    tapsi_loop_flush(loop, &l->begin, TAPSI_LEVELS - 1);
    *ret = l;
    return 0;
}

/* --------------------------------------------------------------------------------------------------- events */

/* A stream joins its group now, which may have no room for it any more. */
static struct taps_connection *next_accepted(struct taps_listener *l)
{
    struct tapsi_link *link;
    while (l->limit && !l->stopping && (link = tapsi_list_pop(&l->accepted))) {
        struct taps_connection *c = TAPSI_CONTAINER(link, struct taps_connection, link);
        tapsi_list_append(&l->context->open, &c->link);
        l->waiting--;
        int err = tapsi_stream_admit(c);
        if (!err) {
            l->limit -= l->limit != TAPS_INFINITE;
            return c;
        }
        l->dropped++;
        tapsi_connection_drop_stack(c, err);
        tapsi_connection_free(c);
        tapsi_listener_grant(l);
    }
    return NULL;
}

static void deliver(struct taps_listener *l)
{
    struct taps_connection *c;
    while (!l->freed && (c = next_accepted(l))) {
        tapsi_listener_grant(l);
        tapsi_connection_delivered(c);
        if (l->events && l->events->connection_received)
            l->events->connection_received(l, c, l->user);
        else
            tapsi_connection_free(c);
    }
}

static void release_hold(struct taps_listener *l)
{
    if (l->ended)
        return;
    l->ended = true;
    l->context->loop.holds--;
}

static void tell_end(struct taps_listener *l)
{
    release_hold(l);
    if (!l->events)
        return;
    if (!l->end_code) {
        if (l->events->stopped)
            l->events->stopped(l, l->user);
        return;
    }
    struct taps_error words = {
        .code = l->end_code, .reason = taps_err_reason(l->end_code), .detail = taps_err_text(l->end_code)};
    if (l->events->establishment_error)
        l->events->establishment_error(l, l->error ? &l->error->pub : &words, l->user);
}

static void dispatch(struct tapsi_task *task)
{
    struct taps_listener *l = TAPSI_CONTAINER(task, struct taps_listener, task);
    if (l->pending_listening) {
        l->pending_listening = false;
        if (l->events && l->events->listening)
            l->events->listening(l, l->user);
    }
    deliver(l);
    if (!l->freed && l->pending_end && !l->ended)
        tell_end(l);
}

/* ----------------------------------------------------------------------------------------------------- ends */

int tapsi_listener_limit(struct taps_listener *l, uint64_t limit)
{
    if (l->stopping || l->pending_end)
        return TAPS_E_STATE;
    l->limit = limit;
    tapsi_listener_grant(l);
    if (!tapsi_list_empty(&l->accepted))
        post(l);
    return 0;
}

static void drop_accepted(struct taps_listener *l)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&l->accepted))) {
        l->dropped++;
        tapsi_connection_free(TAPSI_CONTAINER(link, struct taps_connection, link));
    }
    l->waiting = 0;
}

static void shut(struct taps_listener *l)
{
    tapsi_task_cancel(&l->begin);
    tapsi_listener_drop_incoming(l);
    drop_accepted(l);
    tapsi_listener_close_sockets(l);
    if (l->has_lookups) {
        tapsi_lookups_done(&l->locals);
        tapsi_lookups_done(&l->remotes);
        tapsi_timer_done(&l->context->loop, &l->patience);
        l->has_lookups = false;
    }
}

int tapsi_listener_stop(struct taps_listener *l)
{
    if (l->stopping || l->pending_end)
        return TAPS_E_STATE;
    l->stopping = true;
    shut(l);
    end(l, NULL);
    return 0;
}

static void reap(struct tapsi_task *task)
{
    struct taps_listener *l = TAPSI_CONTAINER(task, struct taps_listener, task);
    struct tapsi_mem *mem = &l->context->loop.mem;
    if (l->env)
        tapsi_env_unref(l->env);
    tapsi_plan_unref(l->plan);
    tapsi_config_unref(l->config);
    tapsi_free(mem, l->sockets);
    tapsi_free(mem, l->error);
    tapsi_free(mem, l->refused);
    tapsi_free(mem, l);
}

void tapsi_listener_free(struct taps_listener *l)
{
    if (!l || l->freed)
        return;
    l->freed = true;
    release_hold(l);
    shut(l);
    if (l->env)
        l->env->half_open = NULL; /* accepted Connections hold the env for longer */
    tapsi_list_remove(&l->link);
    tapsi_loop_reap(&l->context->loop, &l->task, reap);
}
