/* Timers of the application: once, in their time, from the loop. */
#include <stdlib.h>
#include "base/test.h"
#include "parts.h"

struct timer {
    struct timer *next;
    taps_context *context;
    taps_timer *handle; /* NULL: the application did not ask for it */
    double due_ms;
    void (*fn)(void *arg);
    void *arg;
};

static _Thread_local struct timer *timers;

static void take_out(const struct timer *timer)
{
    struct timer **at = &timers;
    while (*at && *at != timer)
        at = &(*at)->next;
    if (*at)
        *at = timer->next;
}

static void on_time(void *arg)
{
    struct timer *t = arg;
    void (*fn)(void *) = t->fn;
    void *user = t->arg;
    observer_begin(NULL, "a timer");
    if (taps_context_now_ms(t->context) < t->due_ms - 0.001)
        tapsi_test_fail("observer", 0, "a timer came %.3f ms early", t->due_ms - taps_context_now_ms(t->context));
    take_out(t);
    free(t);
    fn(user);
    observer_end();
}

WRAPPED(int, taps_context_after,
        (taps_context * context, uint64_t delay_ms, void (*fn)(void *arg), void *arg, taps_timer **ret_timer))
{
    struct timer *t = calloc(1, sizeof(*t));
    if (!t)
        abort();
    /* Before the call: this process may lose the processor behind it. */
    double now_ms = taps_context_now_ms(context);
    struct observer_visit v = observer_enter("taps_context_after");
    int err = __real_taps_context_after(context, delay_ms, fn ? on_time : NULL, t, &t->handle);
    observer_leave(v);
    if (err) {
        observer_refused(ret_timer);
        free(t);
        return err;
    }
    t->context = context;
    t->due_ms = now_ms + (double)delay_ms;
    t->fn = fn;
    t->arg = arg;
    t->next = timers;
    timers = t;
    if (ret_timer)
        *ret_timer = t->handle;
    return 0;
}

WRAPPED(void, taps_timer_cancel, (taps_timer * timer))
{
    struct timer *t = timers;
    while (t && t->handle != timer)
        t = t->next;
    struct observer_visit v = observer_enter("taps_timer_cancel");
    __real_taps_timer_cancel(timer);
    observer_leave(v);
    if (t) {
        take_out(t);
        free(t);
    }
}

void observer_forget_timers(const void *context)
{
    for (struct timer **at = &timers, *t; (t = *at);) {
        if (t->context == context) {
            *at = t->next;
            free(t);
        } else {
            at = &t->next;
        }
    }
}
