#include "stack/framer/framing.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/meta.h"
#include "base/str.h"

static void report(struct tapsi_task *task);

struct tapsi_adapter *tapsi_adapter_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct tapsi_adapter, layer);
}

void tapsi_framing_dirty(struct taps_framing *f)
{
    tapsi_layer_dirty(&f->adapter->layer);
}

/* ------------------------------------------------------------------------------------------------- failing */

/* After the application's Close everything it gave is still to be delivered, whatever the peer says meanwhile. A last
   word of the peer's is not waited for any more. */
static bool goes_deaf(struct taps_framing *f, int code)
{
    if (!f->adapter->layer.drains || (code != TAPS_E_DEFRAMING && code != TAPS_E_TRUNCATED))
        return false;
    f->deaf = true;
    f->said_closed = f->said_closed || f->stopped;
    if (f->adapter->layer.below->state == TAPSI_LAYER_READY)
        tapsi_layer_want(f->adapter->layer.below, SIZE_MAX);
    tapsi_framing_dirty(f);
    return true;
}

void tapsi_framing_failed(struct taps_framing *f, int code, const struct tapsi_error *error)
{
    if (f->failed || goes_deaf(f, code))
        return;
    f->failed = code;
    f->error = tapsi_alloc(&f->adapter->layer.env->loop->mem, sizeof(*f->error));
    if (f->error && error)
        tapsi_error_copy(f->error, error);
    else if (f->error)
        tapsi_error_set(f->error, code, "%s: %s", f->definition->name, taps_err_text(code));
    tapsi_framing_dirty(f);
}

/* Posted from the flush in which the last word was handed down, so that what is below has had its own flush. */
static void report(struct tapsi_task *task)
{
    struct taps_framing *f = TAPSI_CONTAINER(task, struct taps_framing, report);
    struct tapsi_error error;
    if (!f->error)
        tapsi_error_set(&error, f->failed, "%s", taps_err_text(f->failed));
    tapsi_layer_closed(&f->adapter->layer, f->error ? f->error : &error);
}

TAPS_API int taps_framing_fail(taps_framing *f, int code, const char *format, ...)
{
    struct tapsi_error error;
    char text[256];
    va_list ap;
    if (code >= 0)
        code = TAPS_E_PROTOCOL;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    tapsi_error_set(&error, code, "%s: %s", f->definition->name, text);
    bool datagram = f->datagram && code == TAPS_E_DEFRAMING && f->adapter->layer.state == TAPSI_LAYER_READY;
    if (!datagram) {
        tapsi_framing_failed(f, code, &error);
        return code;
    }
    f->dropping = true;
    tapsi_layer_event(&f->adapter->layer, TAPSI_EVENT_SOFT_ERROR, &error);
    return code;
}

/* --------------------------------------------------------------------------------------------- readiness */

/* Everything that was below, or beside, is done: the layer is ready, or what was prepended is started. */
static bool become_ready(struct taps_framing *f)
{
    struct tapsi_adapter *a = f->adapter;
    f->started = true;
    if (f->prepend_count) {
        int err = tapsi_framing_put_above(f);
        if (err)
            tapsi_framing_failed(f, err, NULL);
        return false;
    }
    tapsi_layer_ready(&a->layer, &a->info);
    return !a->layer.dead;
}

/* Close goes on below when the Framer has had its last word, and everything of its own was handed down. */
static void pass_close(struct taps_framing *f)
{
    struct tapsi_layer *below = f->adapter->layer.below;
    if (!f->said_closed || f->close_passed || f->adapter->layer.dead)
        return;
    f->close_passed = true;
    tapsi_layer_want(below, SIZE_MAX);
    int err = tapsi_layer_close(below);
    if (err && f->below_over)
        tapsi_layer_closed(&f->adapter->layer, NULL);
    else if (err)
        tapsi_framing_failed(f, err, NULL);
}

bool tapsi_framing_after(struct taps_framing *f, int result)
{
    struct tapsi_adapter *a = f->adapter;
    if (a->layer.dead)
        return false;
    if (result < 0 && !f->failed && !(f->dropping && result == TAPS_E_DEFRAMING))
        tapsi_framing_failed(f, result, NULL);
    if (f->failed)
        return false;
    if (f->said_ready && a->layer.state == TAPSI_LAYER_STARTING && !become_ready(f))
        return false;
    pass_close(f);
    return !a->layer.dead;
}

bool tapsi_framing_call(struct taps_framing *f, int (*function)(struct taps_framing *))
{
    f->calling = true;
    int result = function(f);
    f->calling = false;
    f->said_wait = result == TAPS_FRAMING_WAIT;
    return tapsi_framing_after(f, result);
}

/* What is known of the layer below once it is ready, and after a change of path. */
static void take_limits(struct tapsi_adapter *a)
{
    const struct tapsi_layer *below = a->layer.below;
    size_t overhead = a->framing && !a->passing && a->framing->datagram ? a->framing->definition->overhead : 0;
    a->layer.ahead = below->ahead;
    a->layer.mtu = below->mtu > overhead ? below->mtu - (uint32_t)overhead : below->mtu;
    a->layer.max_message = below->max_message > overhead ? below->max_message - (uint32_t)overhead : below->max_message;
}

static void start_framer(struct taps_framing *f)
{
    take_limits(f->adapter);
    f->started = true;
    if (!f->definition->start) {
        f->said_ready = true;
        if (!tapsi_framing_after(f, 0))
            return;
    } else if (!tapsi_framing_call(f, f->definition->start)) {
        return;
    }
    tapsi_framing_process(f);
}

TAPS_API void taps_framing_make_ready(taps_framing *f)
{
    f->said_ready = true;
    if (!f->calling)
        tapsi_framing_dirty(f);
}

TAPS_API void taps_framing_make_closed(taps_framing *f)
{
    f->said_closed = f->said_closed || f->stopped;
    f->said_over = true;
    if (!f->calling)
        tapsi_framing_dirty(f);
}

TAPS_API void taps_framing_start_passthrough(taps_framing *f)
{
    f->said_passthrough = true;
    tapsi_framing_dirty(f);
}

TAPS_API void taps_framing_resume(taps_framing *f)
{
    f->resumes = true;
    tapsi_framing_dirty(f);
}

/* ---------------------------------------------------------------------------------------------------- up */

static void below_ready(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_ready_info *info)
{
    struct tapsi_adapter *a = TAPSI_CONTAINER(sink, struct tapsi_adapter, lower);
    a->info = *info;
    a->layer.role = below->role ? below->role : a->layer.role;
    if (a->framing) {
        start_framer(a->framing);
        return;
    }
    take_limits(a);
    tapsi_layer_ready(&a->layer, info);
}

static void below_data(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_slice *slice)
{
    struct tapsi_adapter *a = TAPSI_CONTAINER(sink, struct tapsi_adapter, lower);
    struct taps_framing *f = a->framing;
    (void)below;
    if (!f || (a->passing && !f->count)) {
        tapsi_layer_deliver(&a->layer, slice);
        return;
    }
    if (f->deaf)
        tapsi_layer_want(a->layer.below, SIZE_MAX); /* what comes is dropped */
    if (f->failed || f->deaf)
        return;
    if (tapsi_framing_hold(f, slice)) {
        tapsi_framing_failed(f, TAPS_E_MEMORY, NULL);
        return;
    }
    if (a->passing)
        tapsi_framing_pour(f, &a->layer);
    else
        tapsi_framing_process(f);
}

/* An orderly end below waits until what is held was taken, and the end with it. */
static void below_closed(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_error *error)
{
    struct tapsi_adapter *a = TAPSI_CONTAINER(sink, struct tapsi_adapter, lower);
    struct taps_framing *f = a->framing;
    (void)below;
    bool waits = f && (f->count || (f->at_end && !f->end_told));
    if (!error && waits && !f->closing && !f->failed && a->layer.state == TAPSI_LAYER_READY) {
        f->below_over = true;
        return;
    }
    if (f && f->failed)
        report(&f->report);
    else
        tapsi_layer_closed(&a->layer, error);
}

static void below_event(struct tapsi_sink *sink, struct tapsi_layer *below, enum tapsi_event event, const void *value)
{
    struct tapsi_adapter *a = TAPSI_CONTAINER(sink, struct tapsi_adapter, lower);
    (void)below;
    if (event == TAPSI_EVENT_PATH)
        take_limits(a);
    tapsi_layer_event(&a->layer, event, value);
}

static void below_child(struct tapsi_sink *sink, struct tapsi_layer *below, struct tapsi_layer *child)
{
    (void)below;
    tapsi_layer_child(&TAPSI_CONTAINER(sink, struct tapsi_adapter, lower)->layer, child);
}

static const struct tapsi_sink_ops lower_ops = {
    .ready = below_ready, .data = below_data, .closed = below_closed, .event = below_event, .child = below_child};

/* -------------------------------------------------------------------------------------------------- down */

static int start(struct tapsi_layer *layer)
{
    if (layer->below->state != TAPSI_LAYER_READY)
        return tapsi_layer_start(layer->below);
    tapsi_layer_dirty(layer);
    return 0;
}

/* What a Framer makes of a Message before anything is ready is known if it only encodes: it has nothing to say before,
   and remembers nothing of one Message for the next. */
static size_t early_room(const struct tapsi_layer *layer)
{
    union tapsi_got got;
    struct tapsi_layer *below = layer->below;
    const struct taps_framing *f = tapsi_adapter_of((struct tapsi_layer *)(uintptr_t)layer)->framing;
    bool encodes = f && !f->definition->start && f->definition->flags & TAPS_FRAMER_STATELESS && !f->datagram;
    if (!encodes || f->final_sent || f->failed || layer->state != TAPSI_LAYER_NEW || !below->ops->get ||
        below->ops->get(below, TAPSI_GET_EARLY_ROOM, &got) != TAPSI_HANDLED)
        return 0;
    return (size_t)got.value.integer;
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    if (what != TAPSI_GET_EARLY_ROOM)
        return TAPSI_PASS;
    ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = early_room(layer)};
    return TAPSI_HANDLED;
}

/* Each candidate has a framing of its own, and an op of its own. One that does not fit any more is refused: then the
   Message is framed again when the winner is ready. */
static int send_early(struct tapsi_layer *layer, struct tapsi_op *op)
{
    struct taps_framing *f = tapsi_adapter_of(layer)->framing;
    if (!(op->flags & TAPSI_OP_EARLY) || op->length > early_room(layer))
        return TAPS_E_CLOSED;
    f->early = true;
    int result = tapsi_framing_frame(f, op);
    f->early = false;
    return result == TAPS_FRAMING_WAIT ? TAPS_E_CLOSED : result;
}

static int send_op(struct tapsi_layer *layer, struct tapsi_op *op)
{
    struct tapsi_adapter *a = tapsi_adapter_of(layer);
    struct taps_framing *f = a->framing;
    if (layer->state == TAPSI_LAYER_NEW)
        return send_early(layer, op);
    if (layer->state != TAPSI_LAYER_READY)
        return TAPS_E_CLOSED;
    if (!f || a->passing)
        return tapsi_layer_send(layer->below, op);
    if (f->final_sent || f->failed)
        return TAPS_E_CLOSED;
    int result = tapsi_list_empty(&layer->queue) ? tapsi_framing_frame(f, op) : TAPS_FRAMING_WAIT;
    if (result == TAPS_FRAMING_WAIT) {
        tapsi_list_append(&layer->queue, &op->link);
        layer->queued += op->length;
        result = 0;
    }
    return result;
}

/* What said TAPS_FRAMING_WAIT is asked again, in order. */
static void frame_waiting(struct taps_framing *f)
{
    struct tapsi_layer *layer = &f->adapter->layer;
    struct tapsi_link *link;
    while (!layer->dead && !f->failed && (link = tapsi_list_first(&layer->queue))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        tapsi_list_remove(link);
        layer->queued -= op->length;
        int result = f->adapter->passing ? tapsi_layer_send(layer->below, op) : tapsi_framing_frame(f, op);
        if (result == TAPS_FRAMING_WAIT) {
            tapsi_list_insert_before(layer->queue.next, &op->link);
            layer->queued += op->length;
            return;
        }
        if (result < 0)
            tapsi_op_finish(op, result);
    }
}

static void step_aside(struct taps_framing *f)
{
    struct tapsi_adapter *a = f->adapter;
    if (!f->said_passthrough || a->layer.state < TAPSI_LAYER_READY || f->promised)
        return;
    a->passing = true;
    tapsi_framing_send_pack(f);
    tapsi_framing_pour(f, &a->layer);
    if (a->layer.dead)
        return;
    frame_waiting(f);
    if (!a->layer.dead && a->layer.below->want != a->layer.want)
        tapsi_layer_want(a->layer.below, a->layer.want);
    if (!a->layer.dead && f->below_over && f->end_told)
        tapsi_layer_closed(&a->layer, NULL);
}

static void begin_stop(struct taps_framing *f)
{
    if (!f->closing || f->stopped || !tapsi_list_empty(&f->adapter->layer.queue))
        return;
    f->stopped = true;
    tapsi_framing_send_pack(f);
    if (f->definition->stop && !f->adapter->passing && !f->below_over) {
        tapsi_framing_call(f, f->definition->stop);
        if (!f->deaf)
            return;
    }
    f->said_closed = true;
    tapsi_framing_after(f, 0);
}

static void run_timer(struct taps_framing *f)
{
    if (!f->wakes)
        return;
    f->wakes = false;
    if (f->definition->wakeup)
        tapsi_framing_call(f, f->definition->wakeup);
}

/* One step after the other: each may end it all. */
static void flush(struct tapsi_layer *layer)
{
    struct tapsi_adapter *a = tapsi_adapter_of(layer);
    struct taps_framing *f = a->framing;
    if (!f) {
        if (layer->state == TAPSI_LAYER_STARTING && layer->below->state == TAPSI_LAYER_READY)
            tapsi_layer_ready(layer, &a->info);
        return;
    }
    if (f->failed) {
        tapsi_loop_post(layer->env->loop, &f->report);
        return;
    }
    if (!f->started && layer->below->state == TAPSI_LAYER_READY)
        start_framer(f);
    else
        tapsi_framing_after(f, 0);
    if (!layer->dead && a->framing == f)
        run_timer(f);
    if (!layer->dead && f->resumes && a->framing == f) {
        f->resumes = false;
        frame_waiting(f);
    }
    if (!layer->dead && a->framing == f)
        step_aside(f);
    if (!layer->dead && !a->passing && a->framing == f)
        tapsi_framing_process(f);
    if (!layer->dead && a->framing == f) {
        tapsi_framing_send_pack(f);
        begin_stop(f);
    }
    if (!layer->dead && f->failed)
        tapsi_loop_post(layer->env->loop, &f->report);
}

/* Nothing goes up during a call down. */
static void want(struct tapsi_layer *layer)
{
    struct tapsi_adapter *a = tapsi_adapter_of(layer);
    if (!a->framing || a->passing) {
        tapsi_layer_want(layer->below, layer->want);
        if (a->framing && (a->framing->count || a->framing->at_end))
            tapsi_layer_dirty(layer);
        return;
    }
    const struct taps_framing *f = a->framing;
    if (f->count || f->promised || f->at_end || f->unwanted || f->end_waits)
        tapsi_layer_dirty(layer);
    else
        tapsi_framing_grant(a->framing);
}

static int close_adapter(struct tapsi_layer *layer)
{
    struct tapsi_adapter *a = tapsi_adapter_of(layer);
    if (!a->framing) {
        int err = tapsi_layer_close(layer->below);
        if (!err)
            tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
        return err;
    }
    a->framing->closing = true;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct taps_framing *f = tapsi_adapter_of(layer)->framing;
    (void)reason; /* what is below is told by its own destroy */
    if (!f)
        return;
    tapsi_task_cancel(&f->report);
    if (f->has_timer)
        tapsi_timer_done(layer->env->loop, &f->timer);
    f->has_timer = false;
    tapsi_framing_drop_output(f);
}

static void free_adapter(struct tapsi_layer *layer)
{
    struct tapsi_adapter *a = tapsi_adapter_of(layer);
    struct tapsi_mem *mem = &layer->env->loop->mem;
    struct taps_framing *f = a->framing;
    if (f) {
        if (f->started && f->definition->done)
            f->definition->done(f);
        tapsi_framing_drop_input(f);
        tapsi_framing_drop_prepends(f);
        tapsi_framer_unref(f->framer);
        tapsi_free(mem, f->host);
        tapsi_free(mem, f->error);
        tapsi_free(mem, f);
    }
    tapsi_free(mem, a);
}

static const struct tapsi_layer_ops layer_ops = {
    .start = start,
    .send = send_op,
    .want = want,
    .flush = flush,
    .close = close_adapter,
    .destroy = destroy,
    .free = free_adapter,
    .get = get,
};

/* ------------------------------------------------------------------------------------------------- timer */

static void on_time(struct tapsi_timer *timer)
{
    struct taps_framing *f = TAPSI_CONTAINER(timer, struct taps_framing, timer);
    f->wakes = true;
    tapsi_framing_dirty(f);
}

TAPS_API int taps_framing_wake_after(taps_framing *f, uint64_t delay_ms)
{
    struct tapsi_loop *loop = f->adapter->layer.env->loop;
    if (f->adapter->layer.dead)
        return TAPS_E_STATE;
    f->wakes = false;
    if (delay_ms == TAPS_INFINITE) {
        if (f->has_timer)
            tapsi_timer_cancel(loop, &f->timer);
        return 0;
    }
    if (!f->has_timer) {
        int err = tapsi_timer_init(loop, &f->timer, on_time);
        if (err)
            return err;
        f->has_timer = true;
    }
    tapsi_timer_start(loop, &f->timer, delay_ms > UINT64_MAX / 2 / TAPSI_MS ? UINT64_MAX / 2 : delay_ms * TAPSI_MS);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- making */

struct tapsi_adapter *tapsi_adapter_new(struct tapsi_env *env, struct tapsi_layer *below, enum tapsi_role role)
{
    struct tapsi_adapter *a = tapsi_zalloc(&env->loop->mem, sizeof(*a));
    if (!a)
        return NULL;
    tapsi_layer_init(&a->layer, &layer_ops, env, below);
    a->layer.role = (uint8_t)role;
    a->lower.ops = &lower_ops;
    below->up = &a->lower;
    return a;
}

static int take_target(struct taps_framing *f, struct tapsi_mem *mem, const struct tapsi_target *target)
{
    char text[TAPSI_ADDR_TEXT];
    if (!target->remote)
        return 0;
    f->remote = *target->remote;
    f->named = target->server_name != NULL;
    f->host = tapsi_strdup(mem, f->named ? target->server_name : tapsi_addr_host_text(target->remote, text));
    return f->host ? 0 : TAPS_E_MEMORY;
}

int tapsi_framing_make(struct tapsi_env *env, struct taps_framer *framer, const struct tapsi_target *target,
                       enum tapsi_role role, struct tapsi_framing_place place, struct tapsi_layer *below,
                       struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    struct tapsi_mem *mem = &env->loop->mem;
    const struct taps_framer_definition *definition = framer->definition;
    struct taps_framing *f = tapsi_zalloc(mem, sizeof(*f) + definition->state_size);
    if (f)
        f->framer = tapsi_framer_ref(framer);
    struct tapsi_adapter *a = f && !take_target(f, mem, target) ? tapsi_adapter_new(env, below, role) : NULL;
    if (!a) {
        tapsi_framer_unref(f ? f->framer : NULL);
        tapsi_free(mem, f ? f->host : NULL);
        tapsi_free(mem, f);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for the Framer %s", definition->name);
    }
    f->definition = definition;
    f->adapter = a;
    f->secure = place.secure;
    f->datagram = place.datagram;
    tapsi_task_init(&f->report, report);
    tapsi_link_init(&f->packs);
    a->framing = f;
    *ret = &a->layer;
    return 0;
}

/* -------------------------------------------------------------------------------------------- what it is */

TAPS_API void *taps_framing_state(taps_framing *f)
{
    return f->state;
}

TAPS_API const void *taps_framing_options(const taps_framing *f)
{
    return f->framer->options;
}

TAPS_API void *taps_framing_resize(taps_framing *f, void *block, size_t size)
{
    struct tapsi_mem *mem = &f->adapter->layer.env->loop->mem;
    if (size)
        return tapsi_resize(mem, block, size);
    tapsi_free(mem, block);
    return NULL;
}

TAPS_API bool taps_framing_is_server(const taps_framing *f)
{
    return f->adapter->layer.role == TAPSI_ROLE_SERVER;
}

TAPS_API bool taps_framing_is_datagram(const taps_framing *f)
{
    return f->datagram;
}

TAPS_API bool taps_framing_is_secure(const taps_framing *f)
{
    return f->secure;
}

TAPS_API const char *taps_framing_remote_host(const taps_framing *f)
{
    return f->host;
}

TAPS_API uint16_t taps_framing_remote_port(const taps_framing *f)
{
    return f->host ? tapsi_addr_port(&f->remote) : 0;
}

TAPS_API int taps_framing_property(const taps_framing *f, enum taps_property property, struct taps_value *ret_value)
{
    if (property <= TAPS_PROPERTY_NONE || property >= TAPS_PROPERTY_COUNT)
        return TAPS_E_UNKNOWN_PROPERTY;
    *ret_value = f->adapter->layer.env->properties->values[property];
    return ret_value->type == TAPS_TYPE_SET ? TAPS_E_TYPE : 0;
}

TAPS_API int taps_framing_random(taps_framing *f, void *bytes, size_t length)
{
    struct tapsi_platform *p = f->adapter->layer.env->loop->platform;
    return p->ops->random(p, bytes, length) < 0 ? TAPS_E_SYSTEM : 0;
}
