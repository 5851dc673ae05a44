/*
 * Something is put above a Framer that is at work. Whoever is above holds a pointer to its adapter; so the adapter
 * becomes a shell that passes everything on, and the framing moves to a new adapter below what is put in between:
 *
 *     before:  sink -> adapter(framing) -> below
 *     after:   sink -> adapter(shell) -> what was prepended -> new adapter(framing) -> below
 */
#include <string.h>
#include "stack/framer/framing.h"
#include "stack/registry.h"

/* Each stands a height above the last; there is an end to heights, also for one that prepends itself. */
static bool is_high(const struct taps_framing *f)
{
    return f->adapter->layer.height + f->prepend_count + 2 >= TAPSI_LEVELS;
}

static int add(struct taps_framing *f, struct taps_framer *framer)
{
    bool late = f->said_ready || f->adapter->layer.state >= TAPSI_LAYER_READY;
    if (late || f->prepend_count == TAPSI_FRAMING_PREPENDS || is_high(f)) {
        tapsi_framer_unref(framer);
        return late ? TAPS_E_STATE : TAPS_E_RANGE;
    }
    f->prepends[f->prepend_count++].framer = framer;
    return 0;
}

TAPS_API int taps_framing_prepend_framer(taps_framing *f, const taps_framer *framer)
{
    struct taps_framer *copy = framer ? tapsi_framer_copy(&f->adapter->layer.env->loop->mem, framer) : NULL;
    if (!copy)
        return framer ? TAPS_E_MEMORY : TAPS_E_ARGUMENT;
    return add(f, copy);
}

TAPS_API int taps_framing_prepend_tls(taps_framing *f)
{
    if (!f->adapter->layer.env->security)
        return TAPS_E_CONFIGURATION;
    return f->datagram ? TAPS_E_NOT_APPLICABLE : add(f, NULL);
}

void tapsi_framing_drop_prepends(struct taps_framing *f)
{
    while (f->prepend_count)
        tapsi_framer_unref(f->prepends[--f->prepend_count].framer);
}

/* The first that was prepended stands right above the Framer, the last on top of all. */
static int make_above(struct taps_framing *f, const struct tapsi_target *target, enum tapsi_role role,
                      struct tapsi_layer **top, struct tapsi_error *error)
{
    struct tapsi_env *env = (*top)->env;
    struct tapsi_framing_place place = {.secure = f->secure, .datagram = f->datagram};
    int err = 0;
    for (unsigned i = 0; i < f->prepend_count && !err; i++) {
        struct taps_framer *framer = f->prepends[i].framer;
        place.secure = place.secure || !framer;
        err = framer ? tapsi_framing_make(env, framer, target, role, place, *top, top, error)
                     : tapsi_proto_tls.make(env, target, role, *top, top, error);
        if (!err && framer)
            tapsi_adapter_of(*top)->info = f->adapter->info; /* what is below may be ready, and says it no more */
    }
    return err;
}

int tapsi_framing_put_above(struct taps_framing *f)
{
    struct tapsi_adapter *shell = f->adapter;
    struct tapsi_layer *old_below = shell->layer.below;
    struct tapsi_env *env = shell->layer.env;
    enum tapsi_role role = (enum tapsi_role)shell->layer.role;
    struct tapsi_target target = {.remote = f->host ? &f->remote : NULL, .server_name = f->named ? f->host : NULL};
    struct tapsi_error error;
    struct tapsi_adapter *lower = tapsi_adapter_new(env, old_below, role);
    if (!lower)
        return TAPS_E_MEMORY;
    lower->info = shell->info;
    lower->layer.ahead = old_below->ahead;
    lower->framing = f;
    f->adapter = lower;
    shell->framing = NULL;
    tapsi_layer_set_state(&lower->layer, TAPSI_LAYER_STARTING);
    tapsi_layer_set_state(&lower->layer, TAPSI_LAYER_READY);
    struct tapsi_layer *top = &lower->layer;
    int err = make_above(f, &target, role, &top, &error);
    tapsi_framing_drop_prepends(f);
    top->up = &shell->lower;
    shell->layer.below = top;
    if (!err)
        err = tapsi_layer_start(top);
    if (err) {
        tapsi_error_set(&error, err, "%s: what was to stand above it cannot begin: %s", f->definition->name,
                        taps_err_text(err));
        tapsi_layer_closed(&shell->layer, &error);
        return 0;
    }
    tapsi_framing_dirty(f);
    return 0;
}
