/* A Connection's states, events and ends. */
#include "connection/connection.h"
#include "connection/paths.h"

#include <assert.h>
#include <string.h>

static void dispatch(struct tapsi_task *task);

/* -------------------------------------------------------------------------------------------------- states */

static void set_state(struct taps_connection *c, enum taps_conn_state state)
{
    static const char *const names[] = {"Establishing", "Established", "Closing", "Closed"};
    assert((int)state > c->state);
    tapsi_log(&c->context->loop, TAPS_LOG_DEBUG, "connection %p: %s -> %s", (void *)c, names[c->state], names[state]);
    c->state = (uint8_t)state;
}

void tapsi_connection_post(struct taps_connection *c)
{
    if (!c->freed && !c->ended && !c->waits)
        tapsi_loop_post(&c->context->loop, &c->task);
}

/* ------------------------------------------------------------------------------------------------- the stack */

static void on_data(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_slice *slice)
{
    (void)layer;
    tapsi_connection_data(TAPSI_CONTAINER(sink, struct taps_connection, sink), slice);
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    (void)layer;
    tapsi_connection_end(TAPSI_CONTAINER(sink, struct taps_connection, sink), error, 0);
}

struct tapsi_rare *tapsi_connection_rare(struct taps_connection *c)
{
    if (!c->rare)
        c->rare = tapsi_zalloc(&c->context->loop.mem, sizeof(*c->rare));
    return c->rare;
}

static const struct tapsi_error *kept_error(const struct taps_connection *c)
{
    return c->rare ? c->rare->error : NULL;
}

static void keep_error(struct taps_connection *c, const struct tapsi_error *error)
{
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    if (rare && !rare->error)
        rare->error = tapsi_alloc(&c->context->loop.mem, sizeof(*rare->error));
    if (rare && rare->error)
        tapsi_error_copy(rare->error, error);
}

static void path_changed(struct taps_connection *c)
{
    c->pending_path = true;
    c->moved = c->streams;
    if (c->rare)
        c->rare->old_local = c->rare->old_remote = true;
    tapsi_paths_moved(c);
    if (c->logs && c->moved)
        tapsi_connection_log_start(c, "path-change");
    else if (c->logs)
        tapsi_connection_log(c, "path-change");
}

static void on_event(struct tapsi_sink *sink, struct tapsi_layer *layer, enum tapsi_event event, const void *value)
{
    struct taps_connection *c = TAPSI_CONTAINER(sink, struct taps_connection, sink);
    (void)layer;
    if (c->pending_end || c->state >= TAPS_CLOSED)
        return;
    if (c->logs && event == TAPSI_EVENT_SOFT_ERROR)
        tapsi_connection_log_error(c, "soft-error", &((const struct tapsi_error *)value)->pub);
    if (event == TAPSI_EVENT_SOFT_ERROR && c->events && c->events->soft_error) {
        keep_error(c, value);
        c->pending_soft = kept_error(c) != NULL;
    } else if (event == TAPSI_EVENT_PATH) {
        path_changed(c);
    }
    tapsi_connection_post(c);
}

static void on_child(struct tapsi_sink *sink, struct tapsi_layer *layer, struct tapsi_layer *child)
{
    (void)layer;
    tapsi_stream_child(TAPSI_CONTAINER(sink, struct taps_connection, sink), child);
}

static const struct tapsi_sink_ops sink_ops = {
    .data = on_data, .closed = on_closed, .event = on_event, .child = on_child};

void tapsi_connection_learn(struct taps_connection *c)
{
    /* The bits of all Message Properties: when none is set, a Message without a context needs no looking up. */
    const uint64_t of_messages = (~UINT64_C(0) << TAPS_MSG_LIFETIME) & ~(UINT64_C(1) << TAPS_SAFELY_REPLAYABLE);
    const struct tapsi_properties *p = c->properties;
    c->sends_nothing = p->values[TAPS_DIRECTION].enumeration == TAPS_UNIDIRECTIONAL_RECEIVE;
    c->receives_nothing = p->values[TAPS_DIRECTION].enumeration == TAPS_UNIDIRECTIONAL_SEND;
    c->message_defaults = (p->set & of_messages) == 0;
    c->replayable = p->values[TAPS_SAFELY_REPLAYABLE].boolean;
    c->bounded = p->values[TAPS_SEND_BUFFER].integer != TAPS_INFINITE;
    tapsi_rates_learn(c);
    if (!c->row)
        return;
    c->framed = tapsi_framers_frame(&c->config->framers);
    c->is_stream = !c->framed && c->row->offer.capability[TAPS_PRESERVE_MSG_BOUNDARIES] != TAPSI_CAP_ALWAYS;
    c->may_duplicate = c->row->offer.may_duplicate;
}

static void establish(struct taps_connection *c, const struct tapsi_stack_row *row, struct tapsi_layer *top)
{
    c->row = row;
    tapsi_connection_learn(c);
    c->top = top;
    top->up = &c->sink;
    c->streams = tapsi_stream_bond(top) != NULL;
    c->shares = c->member && !c->streams;
    set_state(c, TAPS_ESTABLISHED);
    if (c->receives || row->protos[0]->offers == TAPSI_OFFERS_DATAGRAM)
        tapsi_connection_open_window(c); /* a datagram nobody took credit for would be lost */
    if (c->closing)
        tapsi_layer_drain(c->top);
    tapsi_connection_pump(c);
    tapsi_connection_pass_close(c);
    if (c->closing)
        tapsi_connection_watch_close(c);
}

/* Of a stream that was ready before it was ours: what its session is. */
static void ask_session(struct taps_connection *c, struct tapsi_layer *top)
{
    union tapsi_got got;
    if (tapsi_layer_get(top, TAPSI_GET_READY, &got) != TAPSI_HANDLED)
        return;
    c->resumed = got.ready.resumed;
    c->early = got.ready.early;
}

void tapsi_connection_opened(struct taps_connection *c, const struct tapsi_stack_row *row, struct tapsi_layer *top)
{
    c->pending_ready = true;
    ask_session(c, top);
    establish(c, row, top);
    tapsi_connection_apply_properties(c, c->config->properties);
    if (c->member)
        tapsi_group_ready(c->member);
    tapsi_paths_begin(c);
    tapsi_connection_post(c);
}

/* The report tells of the race also when it is elsewhere by then. */
static void remember_local(struct tapsi_leaf *winner, struct tapsi_layer *top)
{
    union tapsi_got got;
    if (tapsi_layer_get(top, TAPSI_GET_LOCAL, &got) == 0)
        winner->local = got.address;
}

static void on_won(void *owner, struct tapsi_leaf *winner, struct tapsi_layer *top, const struct tapsi_ready_info *info)
{
    struct taps_connection *c = owner;
    c->resumed = info->resumed;
    c->early = info->early;
    tapsi_connection_adopt_early(c, &winner->early);
    tapsi_connection_opened(owner, winner->node.row, top);
    if (c->streams)
        remember_local(winner, top);
}

static void on_failed(void *owner, const struct tapsi_error *error)
{
    tapsi_connection_end(owner, error, 0);
}

static void on_attempt(void *owner, const struct tapsi_node *leaf)
{
    const struct taps_connection *c = owner;
    if (c->logs)
        tapsi_connection_log_attempt(c, leaf);
}

static void on_resolved(void *owner, struct tapsi_lookups *names)
{
    const struct taps_connection *c = owner;
    if (c->logs)
        tapsi_connection_log_names(c, names);
}

static const struct tapsi_race_sink race_sink = {.won = on_won,
                                                 .failed = on_failed,
                                                 .early = tapsi_connection_early,
                                                 .attempt = on_attempt,
                                                 .resolved = on_resolved};

/* --------------------------------------------------------------------------------------------------- making */

int tapsi_connection_new(struct taps_context *context, struct tapsi_config *config,
                         const struct taps_connection_events *events, void *user, struct taps_connection **ret)
{
    struct taps_connection *c = tapsi_pool_get(&context->connections);
    if (!c)
        return TAPS_E_MEMORY;
    *c = (struct taps_connection){.sink = {&sink_ops}, .context = context, .events = events, .user = user};
    c->config = tapsi_config_ref(config);
    c->properties = tapsi_properties_ref(config->properties);
    c->window = TAPSI_WINDOW;
    c->out = &tapsi_outbox_none;
    tapsi_link_init(&c->link);
    if (tapsi_rates_prepare(c, c->properties) < 0) {
        tapsi_properties_unref(c->properties);
        tapsi_config_unref(c->config);
        tapsi_free(&context->loop.mem, c->rare);
        tapsi_pool_put(&context->connections, c);
        return TAPS_E_MEMORY;
    }
    tapsi_connection_learn(c);
    tapsi_task_init(&c->task, dispatch);
    tapsi_list_append(&context->open, &c->link);
    context->loop.holds++;
    if (tapsi_log_on(&context->loop, TAPS_LOG_EVENT))
        tapsi_connection_log_begin(c);
    *ret = c;
    return 0;
}

static uint64_t attempt_delay(const struct taps_context *context, const struct tapsi_config *config)
{
    if (!tapsi_properties_is_set(config->properties, TAPS_ATTEMPT_DELAY))
        return context->attempt_delay;
    return (uint64_t)(config->properties->values[TAPS_ATTEMPT_DELAY].number * (double)TAPSI_S);
}

#define DEFAULT_TIMEOUT_MS 30000

int tapsi_connection_begin_race(struct taps_connection *c, struct tapsi_plan *plan, uint64_t timeout_ms,
                                struct tapsi_error *ret_error)
{
    struct taps_context *context = c->context;
    uint64_t ms = timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS;
    struct tapsi_race_options options = {.resolver = context->resolver,
                                         .caches = context->caches,
                                         .attempt_delay = attempt_delay(context, c->config),
                                         .resolution_delay = context->resolution_delay,
                                         .timeout = ms >= TAPSI_FOREVER / TAPSI_MS / 2 ? TAPSI_FOREVER : ms * TAPSI_MS};
    int err = tapsi_race_new(&context->loop, c->config, plan, &options, &race_sink, c, &c->past.race, ret_error);
    if (!err && c->logs)
        tapsi_connection_log_initiate(c, ms);
    return err;
}

int tapsi_connection_initiate(struct taps_context *context, struct tapsi_config *config, struct tapsi_plan *plan,
                              uint64_t timeout_ms, const struct taps_connection_events *events, void *user,
                              struct taps_connection **ret, struct tapsi_error *ret_error)
{
    struct taps_connection *c;
    int err = tapsi_connection_new(context, config, events, user, &c);
    if (err)
        return tapsi_error_set(ret_error, err, "no memory for a Connection");
    err = tapsi_connection_begin_race(c, plan, timeout_ms, ret_error);
    if (err) {
        tapsi_connection_free(c);
        return err;
    }
    *ret = c;
    return 0;
}

/* The peer decides in which direction its stream goes. */
static int take_direction(struct taps_connection *c, struct tapsi_layer *top)
{
    union tapsi_got got;
    if (!tapsi_stream_bond(top) || tapsi_layer_get(top, TAPS_DIRECTION, &got) != 0)
        return 0;
    if (c->properties->values[TAPS_DIRECTION].enumeration == got.value.enumeration)
        return 0;
    int err = tapsi_properties_own(&c->properties);
    if (!err)
        c->properties->values[TAPS_DIRECTION] = got.value;
    tapsi_connection_learn(c);
    return err;
}

int tapsi_connection_accept(struct taps_context *context, struct tapsi_config *config,
                            const struct tapsi_stack_row *row, struct tapsi_layer *top, struct taps_connection **ret)
{
    struct taps_connection *c;
    int err = tapsi_connection_new(context, config, NULL, NULL, &c);
    if (err)
        return err;
    c->waits = true;
    err = take_direction(c, top);
    if (err) {
        tapsi_connection_free(c);
        return err;
    }
    ask_session(c, top);
    establish(c, row, top);
    *ret = c;
    return 0;
}

void tapsi_connection_delivered(struct taps_connection *c)
{
    c->waits = false;
    if (c->logs)
        tapsi_connection_log_start(c, "accepted");
    tapsi_connection_post(c);
}

/* ---------------------------------------------------------------------------------------------------- ends */

static void release_hold(struct taps_connection *c)
{
    if (c->ended)
        return;
    c->ended = true;
    c->context->loop.holds--;
}

void tapsi_connection_clone_error(struct taps_connection *c, const struct tapsi_error *error)
{
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    if (c->logs)
        tapsi_connection_log_error(c, "clone-error", &error->pub);
    if (rare && !rare->clone_error)
        rare->clone_error = tapsi_alloc(&c->context->loop.mem, sizeof(*rare->clone_error));
    if (!rare || !rare->clone_error)
        return;
    tapsi_error_copy(rare->clone_error, error);
    c->pending_clone = true;
    tapsi_connection_post(c);
}

void tapsi_connection_drop_stack(struct taps_connection *c, int reason)
{
    struct tapsi_layer *top = c->top;
    c->top = NULL;
    tapsi_layer_destroy(top, reason);
    if (c->member)
        tapsi_stream_give_up(c->member->opening, reason);
    struct tapsi_race *race = tapsi_connection_race(c);
    if (race && !race->over)
        tapsi_race_cancel(race, reason ? "the Connection was aborted" : "the Connection was given up");
}

void tapsi_connection_end(struct taps_connection *c, const struct tapsi_error *error, int reason)
{
    if (c->pending_end || c->state == TAPS_CLOSED)
        return;
    tapsi_connection_watch_done(c);
    tapsi_connection_fail_sends(c, error ? error->pub.code : TAPS_E_CLOSED, reason);
    c->end_code = (int16_t)(error ? error->pub.code : 0);
    if (error)
        keep_error(c, error);
    c->pending_soft = c->pending_path = false;
    c->pending_end = true;
    tapsi_connection_post(c);
    if (c->member)
        tapsi_group_ended(c->member, error);
}

void tapsi_connection_pass_close(struct taps_connection *c)
{
    if (!c->closing || c->close_passed || !c->top || !tapsi_list_empty(&c->out->sends))
        return;
    c->close_passed = true;
    if (c->state == TAPS_ESTABLISHED)
        set_state(c, TAPS_CLOSING);
    int err = tapsi_layer_close(c->top);
    if (err) {
        struct tapsi_error error;
        tapsi_error_set(&error, TAPS_E_PROTOCOL, "the stack cannot close: %s", taps_err_text(err));
        tapsi_connection_end(c, &error, 0);
    }
}

/* An orderly end may wait until what was received is taken: whoever gives that up is told at once. */
static bool may_end(const struct taps_connection *c)
{
    return c->state != TAPS_CLOSED && !(c->pending_end && c->end_code);
}

int tapsi_connection_close(struct taps_connection *c)
{
    struct tapsi_error error;
    if (!may_end(c) || c->closing)
        return TAPS_E_STATE;
    c->closing = true;
    if (c->logs)
        tapsi_connection_log(c, "close");
    tapsi_connection_drop_received(c);
    if (c->pending_end)
        tapsi_connection_post(c);
    if (c->state == TAPS_ESTABLISHING && tapsi_list_empty(&c->out->sends)) {
        tapsi_error_set(&error, TAPS_E_CANCELLED, "the Connection was closed before it was ready");
        tapsi_connection_end(c, &error, 0);
        return 0;
    }
    if (c->state == TAPS_ESTABLISHED) {
        set_state(c, TAPS_CLOSING);
        if (c->top)
            tapsi_layer_drain(c->top);
        tapsi_connection_pump(c);
        tapsi_connection_pass_close(c);
        tapsi_connection_watch_close(c);
    }
    return 0;
}

int tapsi_connection_abort(struct taps_connection *c)
{
    struct tapsi_error error;
    if (!may_end(c))
        return TAPS_E_STATE;
    if (c->logs)
        tapsi_connection_log(c, "abort");
    tapsi_error_set(&error, TAPS_E_LOCAL_ABORT, "the Connection was aborted by this side");
    tapsi_connection_abort_with(c, &error);
    return 0;
}

void tapsi_connection_abort_with(struct taps_connection *c, const struct tapsi_error *error)
{
    if (!may_end(c))
        return;
    tapsi_connection_drop_received(c);
    c->pending_end = false;
    tapsi_connection_end(c, error, error->pub.code);
}

static void free_rare(struct tapsi_mem *mem, struct tapsi_rare *rare)
{
    if (!rare)
        return;
    tapsi_report_free(rare->report);
    tapsi_free(mem, rare->local);
    tapsi_free(mem, rare->remote);
    tapsi_free(mem, rare->error);
    tapsi_free(mem, rare->clone_error);
    tapsi_free(mem, rare);
}

static void reap(struct tapsi_task *task)
{
    struct taps_connection *c = TAPSI_CONTAINER(task, struct taps_connection, task);
    struct tapsi_mem *mem = &c->context->loop.mem;
    tapsi_connection_send_done(c);
    tapsi_connection_receive_done(c);
    tapsi_race_free(tapsi_connection_race(c));
    if (c->recorded)
        tapsi_record_free(mem, c->past.record);
    tapsi_properties_unref(c->properties);
    tapsi_config_unref(c->config);
    free_rare(mem, c->rare);
    tapsi_pool_put(&c->context->connections, c);
}

void tapsi_connection_free(struct taps_connection *c)
{
    if (!c || c->freed)
        return;
    bool cut_off = c->logs && !c->ended;
    release_hold(c);
    c->freed = true;
    c->pending_end = true;
    if (c->member)
        tapsi_group_leave(c->member);
    tapsi_rates_done(c);
    tapsi_connection_watch_done(c);
    tapsi_connection_drop_stack(c, 0);
    tapsi_connection_drop_sends(c);
    if (cut_off)
        tapsi_connection_log(c, "freed");
    tapsi_list_remove(&c->link);
    tapsi_loop_reap(&c->context->loop, &c->task, reap);
}

/* -------------------------------------------------------------------------------------------------- events */

/* What an error event shows when there was no memory to keep the words. */
static struct taps_error end_error(const struct taps_connection *c)
{
    const struct tapsi_error *kept = kept_error(c);
    if (kept && kept->pub.code == c->end_code)
        return kept->pub;
    return (struct taps_error){
        .code = c->end_code, .reason = taps_err_reason(c->end_code), .detail = taps_err_text(c->end_code)};
}

/* Without memory the race is kept: it tells the same. */
static void record_race(struct taps_connection *c)
{
    struct tapsi_race *race = tapsi_connection_race(c);
    struct tapsi_record *record = race ? tapsi_record_new(race) : NULL;
    if (!record)
        return;
    tapsi_race_free(race);
    c->past.record = record;
    c->recorded = true;
}

static void tell_ready(struct taps_connection *c)
{
    c->pending_ready = false;
    record_race(c);
    if (c->logs)
        tapsi_connection_log_start(c, "ready");
    if (c->events && c->events->ready)
        c->events->ready(c, c->user);
}

/* On the stack: the application may have another Clone refused while it looks. */
static void tell_clone_error(struct taps_connection *c)
{
    struct tapsi_error error;
    tapsi_error_copy(&error, c->rare->clone_error);
    c->pending_clone = false;
    if (c->events && c->events->clone_error)
        c->events->clone_error(c, &error.pub, c->user);
}

static void tell_side_events(struct taps_connection *c)
{
    if (c->pending_soft) {
        c->pending_soft = false;
        if (c->events && c->events->soft_error)
            c->events->soft_error(c, &kept_error(c)->pub, c->user);
    }
    if (c->pending_path && !c->freed) {
        c->pending_path = false;
        if (c->events && c->events->path_change)
            c->events->path_change(c, c->user);
    }
    if (c->pending_clone && !c->freed)
        tell_clone_error(c);
}

static void log_end(const struct taps_connection *c, const struct taps_error *error)
{
    if (c->state == TAPS_ESTABLISHING)
        tapsi_connection_log_error(c, "establishment-error", error);
    else if (c->end_code)
        tapsi_connection_log_error(c, "connection-error", error);
    else
        tapsi_connection_log(c, "closed");
}

/* The last event. `establishing`: it never was ready; if it was, that has been told, also after Abort. */
static void tell_end(struct taps_connection *c)
{
    const struct taps_connection_events *events = c->events;
    bool establishing = c->state == TAPS_ESTABLISHING;
    struct taps_error error = end_error(c);
    if (c->logs)
        log_end(c, &error);
    set_state(c, TAPS_CLOSED);
    release_hold(c);
    if (!events)
        return;
    if (establishing && events->establishment_error)
        events->establishment_error(c, &error, c->user);
    else if (!establishing && c->end_code && events->connection_error)
        events->connection_error(c, &error, c->user);
    else if (!establishing && !c->end_code && events->closed)
        events->closed(c, c->user);
}

/* Receives that wait when the end has come hear of it first. */
static bool settle_receives(struct taps_connection *c)
{
    struct taps_error error = end_error(c);
    if (!c->end_code) {
        error = (struct taps_error){
            .code = TAPS_E_CLOSED, .reason = taps_err_reason(TAPS_E_CLOSED), .detail = "the Connection was closed"};
    }
    return tapsi_connection_fail_receive(c, &error);
}

/* RFC 9622, 11: the end is told when nothing else is outstanding. An orderly end also waits until the application has
   taken what was received. */
static bool end_is_due(const struct taps_connection *c)
{
    if (!c->pending_end)
        return false;
    return c->end_code || c->closing || !c->held_bytes || c->end_delivered;
}

/* Those that have ended by now: what is sent in their events, and refused at once, comes in the next round. */
static void tell_sends(struct taps_connection *c)
{
    const struct tapsi_link *last = c->out->settled.prev;
    bool more = !tapsi_list_empty(&c->out->settled);
    while (more && !c->freed) {
        more = c->out->settled.next != last;
        tapsi_connection_tell_send(c);
    }
}

/* What is left when the peer has ended came from somewhere, and the stack may be gone when it is asked for. */
static void remember_endpoints(struct taps_connection *c)
{
    if (!c->held_bytes)
        return;
    tapsi_connection_endpoint(c, false);
    tapsi_connection_endpoint(c, true);
}

static void dispatch(struct tapsi_task *task)
{
    struct taps_connection *c = TAPSI_CONTAINER(task, struct taps_connection, task);
    if (c->pending_ready)
        tell_ready(c);
    if (!c->freed)
        tell_sends(c);
    while (!c->freed && tapsi_connection_tell_receive(c))
        continue;
    if (!c->freed)
        tell_side_events(c);
    if (!c->freed && c->final_received)
        remember_endpoints(c);
    if (c->freed || !end_is_due(c))
        return;
    tapsi_connection_drop_received(c); /* so that no more Receives are taken */
    while (!c->freed && settle_receives(c))
        continue;
    while (!c->freed && tapsi_connection_tell_send(c))
        continue;
    if (!c->freed && c->state != TAPS_CLOSED)
        tell_end(c);
}
