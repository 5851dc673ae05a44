/* taps_context_*: arguments, then one call down. */
#include "connection/context.h"
#include "connection/sessions.h"
#include "connection/timer.h"

#define MS_MAX ((uint64_t)1 << 40)

TAPS_API int taps_context_new(const struct taps_context_options *options, taps_context **ret_context)
{
    return ret_context ? tapsi_context_new(options, NULL, ret_context) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_context_free(taps_context *context)
{
    return context ? tapsi_context_free(context) : 0;
}

TAPS_API int taps_context_run_once(taps_context *context, int timeout_ms)
{
    if (!context)
        return TAPS_E_ARGUMENT;
    if (context->loop.in_turn)
        return TAPS_E_STATE;
    struct tapsi_loop *loop = &context->loop;
    uint64_t deadline = TAPSI_FOREVER;
    if (timeout_ms == 0)
        deadline = 0;
    else if (timeout_ms > 0)
        deadline = tapsi_loop_now(loop) + (uint64_t)timeout_ms * TAPSI_MS;
    tapsi_loop_turn(loop, deadline);
    return tapsi_loop_busy(loop);
}

TAPS_API int taps_context_run(taps_context *context)
{
    if (!context)
        return TAPS_E_ARGUMENT;
    if (context->loop.in_turn)
        return TAPS_E_STATE;
    while (!tapsi_loop_stopped(&context->loop) && tapsi_loop_busy(&context->loop))
        tapsi_loop_turn(&context->loop, TAPSI_FOREVER);
    tapsi_loop_clear_stop(&context->loop);
    return 0;
}

TAPS_API void taps_context_stop(taps_context *context)
{
    if (context)
        tapsi_loop_stop(&context->loop);
}

TAPS_API int taps_context_fd(taps_context *context)
{
    return context ? tapsi_loop_descriptor(&context->loop) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_context_dispatch(taps_context *context)
{
    if (!context)
        return TAPS_E_ARGUMENT;
    if (context->loop.in_turn)
        return TAPS_E_STATE;
    tapsi_loop_turn(&context->loop, 0);
    return 0;
}

TAPS_API int taps_context_post(taps_context *context, void (*fn)(void *arg), void *arg)
{
    return context && fn ? tapsi_loop_post_remote(&context->loop, fn, arg) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_context_after(taps_context *context, uint64_t delay_ms, void (*fn)(void *arg), void *arg,
                                taps_timer **ret_timer)
{
    struct taps_timer *timer;
    if (!context || !fn)
        return TAPS_E_ARGUMENT;
    int err = tapsi_app_timer_new(context, delay_ms < MS_MAX ? delay_ms : MS_MAX, fn, arg, &timer);
    if (!err && ret_timer)
        *ret_timer = timer;
    return err;
}

TAPS_API void taps_timer_cancel(taps_timer *timer)
{
    if (timer)
        tapsi_app_timer_free(timer);
}

TAPS_API int taps_context_set_session_file(taps_context *context, const char *path)
{
    return context ? tapsi_sessions_use(context, path) : TAPS_E_ARGUMENT;
}

TAPS_API double taps_context_now_ms(taps_context *context)
{
    return context ? (double)tapsi_loop_now(&context->loop) / (double)TAPSI_MS : 0;
}
