#include "connection/timer.h"

static void run(struct tapsi_task *task)
{
    struct taps_timer *timer = TAPSI_CONTAINER(task, struct taps_timer, task);
    void (*fn)(void *) = timer->fn;
    void *arg = timer->arg;
    tapsi_app_timer_free(timer);
    fn(arg);
}

static void on_fire(struct tapsi_timer *t)
{
    struct taps_timer *timer = TAPSI_CONTAINER(t, struct taps_timer, timer);
    tapsi_loop_post(&timer->context->loop, &timer->task);
}

int tapsi_app_timer_new(struct taps_context *context, uint64_t delay_ms, void (*fn)(void *), void *arg,
                        struct taps_timer **ret)
{
    struct tapsi_loop *loop = &context->loop;
    struct taps_timer *timer = tapsi_zalloc(&loop->mem, sizeof(*timer));
    if (!timer)
        return TAPS_E_MEMORY;
    if (tapsi_timer_init(loop, &timer->timer, on_fire)) {
        tapsi_free(&loop->mem, timer);
        return TAPS_E_MEMORY;
    }
    timer->context = context;
    timer->fn = fn;
    timer->arg = arg;
    tapsi_task_init(&timer->task, run);
    tapsi_link_init(&timer->link);
    tapsi_list_append(&context->timers, &timer->link);
    loop->holds++;
    tapsi_timer_start(loop, &timer->timer, delay_ms > TAPSI_FOREVER / TAPSI_MS ? TAPSI_FOREVER : delay_ms * TAPSI_MS);
    *ret = timer;
    return 0;
}

void tapsi_app_timer_free(struct taps_timer *timer)
{
    struct tapsi_loop *loop = &timer->context->loop;
    tapsi_timer_done(loop, &timer->timer);
    tapsi_task_cancel(&timer->task);
    tapsi_list_remove(&timer->link);
    loop->holds--;
    tapsi_free(&loop->mem, timer);
}
