#include "stack/layer.h"

#include <assert.h>

/* ------------------------------------------------------------------------------------------------- env */

struct tapsi_env *tapsi_env_new(struct tapsi_loop *loop, struct tapsi_properties *properties,
                                struct tapsi_security *security, const struct tapsi_framers *framers)
{
    struct tapsi_env *env = tapsi_zalloc(&loop->mem, sizeof(*env));
    if (!env)
        return NULL;
    env->refs = 1;
    env->loop = loop;
    env->properties = tapsi_properties_ref(properties);
    env->security = security ? tapsi_security_ref(security) : NULL;
    tapsi_link_init(&env->ports);
    if (framers)
        tapsi_framers_copy(&env->framers, framers);
    return env;
}

struct tapsi_env *tapsi_env_ref(struct tapsi_env *env)
{
    env->refs++;
    return env;
}

void tapsi_env_unref(struct tapsi_env *env)
{
    if (--env->refs)
        return;
    tapsi_properties_unref(env->properties);
    tapsi_security_unref(env->security);
    tapsi_framers_done(&env->framers);
    tapsi_free(&env->loop->mem, env);
}

/* ---------------------------------------------------------------------------------------------- layers */

/* What a layer talks to once it is cut from its sink: nobody. */
static void nobody_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    (void)sink;
    (void)layer;
    (void)error;
}

static const struct tapsi_sink_ops nobody_ops = {.closed = nobody_closed};
static struct tapsi_sink nobody = {&nobody_ops};

static void flush_task(struct tapsi_task *task)
{
    struct tapsi_layer *layer = TAPSI_CONTAINER(task, struct tapsi_layer, task);
    layer->ops->flush(layer);
}

void tapsi_layer_init(struct tapsi_layer *layer, const struct tapsi_layer_ops *ops, struct tapsi_env *env,
                      struct tapsi_layer *below)
{
    *layer = (struct tapsi_layer){.ops = ops, .env = tapsi_env_ref(env), .below = below, .up = &nobody};
    layer->ahead = TAPSI_TURN_BYTES;
    layer->height = below ? (uint8_t)(below->height + 1) : 0;
    assert(layer->height < TAPSI_LEVELS);
    tapsi_task_init(&layer->task, flush_task);
    tapsi_link_init(&layer->queue);
}

void tapsi_layer_set_state(struct tapsi_layer *layer, enum tapsi_layer_state state)
{
    assert(state > layer->state);
    layer->state = (uint8_t)state;
}

void tapsi_layer_dirty(struct tapsi_layer *layer)
{
    if (!layer->dead)
        tapsi_loop_flush(layer->env->loop, &layer->task, layer->height);
}

int tapsi_layer_enqueue(struct tapsi_layer *layer, struct tapsi_op *op)
{
    tapsi_list_append(&layer->queue, &op->link);
    layer->queued += op->length;
    tapsi_layer_dirty(layer);
    return 0;
}

size_t tapsi_layer_unused(const struct tapsi_layer *layer)
{
    struct tapsi_link *first = tapsi_list_first(&layer->queue);
    return layer->queued - (first ? TAPSI_CONTAINER(first, struct tapsi_op, link)->taken : 0);
}

void tapsi_layer_fail_queue(struct tapsi_layer *layer, int result)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&layer->queue)) && !layer->dead) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        layer->queued -= op->length;
        tapsi_op_finish(op, result);
    }
}

void tapsi_layer_ready(struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    if (layer->dead)
        return;
    tapsi_layer_set_state(layer, TAPSI_LAYER_READY);
    if (layer->up->ops->ready)
        layer->up->ops->ready(layer->up, layer, info);
}

void tapsi_layer_deliver(struct tapsi_layer *layer, const struct tapsi_slice *slice)
{
    if (layer->dead)
        return;
    size_t cost = slice->length ? slice->length : 1;
    layer->want -= cost < layer->want ? cost : layer->want;
    if (layer->up->ops->data)
        layer->up->ops->data(layer->up, layer, slice);
}

void tapsi_layer_closed(struct tapsi_layer *layer, const struct tapsi_error *error)
{
    if (layer->dead || layer->state == TAPSI_LAYER_CLOSED)
        return;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSED);
    layer->up->ops->closed(layer->up, layer, error);
}

void tapsi_layer_event(struct tapsi_layer *layer, enum tapsi_event event, const void *value)
{
    if (!layer->dead && layer->up->ops->event)
        layer->up->ops->event(layer->up, layer, event, value);
}

void tapsi_bond_done(struct tapsi_bond *bond)
{
    if (bond->gone)
        bond->gone(bond);
    *bond = (struct tapsi_bond){0};
}

/* ----------------------------------------------------------------------------------------------- sinks */

int tapsi_layer_start(struct tapsi_layer *layer)
{
    assert(layer->state == TAPSI_LAYER_NEW);
    int err = layer->ops->start(layer);
    if (err == 0 && layer->state == TAPSI_LAYER_NEW)
        tapsi_layer_set_state(layer, TAPSI_LAYER_STARTING);
    return err;
}

int tapsi_layer_send(struct tapsi_layer *layer, struct tapsi_op *op)
{
    return layer->ops->send(layer, op);
}

void tapsi_layer_want(struct tapsi_layer *layer, size_t bytes)
{
    bool was_zero = layer->want == 0;
    layer->want = bytes;
    if (was_zero && bytes && layer->ops->want && !layer->dead)
        layer->ops->want(layer);
}

void tapsi_layer_drain(struct tapsi_layer *layer)
{
    for (struct tapsi_layer *l = layer; l; l = l->below)
        l->drains = true;
    tapsi_layer_want(layer, SIZE_MAX / 2); /* layers add to it */
}

int tapsi_layer_close(struct tapsi_layer *layer)
{
    if (layer->state == TAPSI_LAYER_CLOSING)
        return 0; /* both directions ended by themselves: `closed` is to come */
    if (layer->state != TAPSI_LAYER_READY)
        return TAPS_E_STATE;
    return layer->ops->close(layer);
}

int tapsi_layer_clone(struct tapsi_layer *layer, const struct tapsi_clone *how, struct tapsi_layer **ret,
                      struct tapsi_error *ret_error)
{
    for (; layer; layer = layer->below) {
        if (layer->ops->clone)
            return layer->ops->clone(layer, how, ret, ret_error);
    }
    return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "the stack has no streams");
}

int tapsi_layer_paths(struct tapsi_layer *layer, const struct tapsi_way *ways, size_t count,
                      struct tapsi_error *ret_error)
{
    for (; layer; layer = layer->below) {
        if (layer->ops->paths)
            return layer->ops->paths(layer, ways, count, ret_error);
    }
    return tapsi_error_set(ret_error, TAPS_E_NOT_APPLICABLE, "the stack stays on its path");
}

bool tapsi_layer_moves(const struct tapsi_layer *layer)
{
    while (layer && !layer->ops->paths)
        layer = layer->below;
    return layer != NULL;
}

void tapsi_layer_child(struct tapsi_layer *layer, struct tapsi_layer *child)
{
    if (!layer->dead && layer->up->ops->child)
        layer->up->ops->child(layer->up, layer, child);
    else
        tapsi_layer_destroy(child, TAPS_E_CLOSED);
}

static void reap_layer(struct tapsi_task *task)
{
    struct tapsi_layer *layer = TAPSI_CONTAINER(task, struct tapsi_layer, task);
    struct tapsi_env *env = layer->env;
    layer->ops->free(layer);
    tapsi_env_unref(env);
}

void tapsi_layer_destroy(struct tapsi_layer *layer, int reason)
{
    if (!layer || layer->dead)
        return;
    layer->dead = true;
    layer->up = &nobody;
    tapsi_loop_reap(layer->env->loop, &layer->task, reap_layer);
    layer->ops->destroy(layer, reason);
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&layer->queue)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    layer->queued = 0;
    tapsi_layer_destroy(layer->below, reason);
}

int tapsi_layer_set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    for (; layer; layer = layer->below) {
        int r = layer->ops->set ? layer->ops->set(layer, property, value) : TAPSI_PASS;
        if (r != TAPSI_PASS)
            return r;
    }
    return TAPS_E_NOT_APPLICABLE;
}

int tapsi_layer_get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    for (; layer; layer = layer->below) {
        int r = layer->ops->get ? layer->ops->get(layer, what, ret) : TAPSI_PASS;
        if (r != TAPSI_PASS)
            return r;
    }
    return TAPS_E_NOT_APPLICABLE;
}

/* From the top, so that the lower layer, which is nearer to the network, has the last word. */
void tapsi_layer_statistics(struct tapsi_layer *layer, uint64_t *values)
{
    for (int i = 0; i < TAPS_STATISTIC_COUNT; i++)
        values[i] = TAPS_UNKNOWN;
    for (; layer; layer = layer->below) {
        if (layer->ops->statistics)
            layer->ops->statistics(layer, values);
    }
}
