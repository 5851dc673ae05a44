#include "loop/loop.h"

int tapsi_timer_init(struct tapsi_loop *loop, struct tapsi_timer *timer, void (*fire)(struct tapsi_timer *))
{
    *timer = (struct tapsi_timer){.fire = fire};
    return tapsi_heap_reserve(&loop->timers);
}

void tapsi_timer_done(struct tapsi_loop *loop, struct tapsi_timer *timer)
{
    tapsi_timer_cancel(loop, timer);
    tapsi_heap_unreserve(&loop->timers);
}

void tapsi_timer_start_at(struct tapsi_loop *loop, struct tapsi_timer *timer, uint64_t when)
{
    int failed = tapsi_heap_put(&loop->timers, &timer->node, when);
    (void)failed; /* the place was reserved */
    if (loop->embedded && !loop->in_turn && when < loop->armed) {
        loop->armed = when;
        loop->platform->ops->arm(loop->platform, when);
    }
}

void tapsi_timer_start(struct tapsi_loop *loop, struct tapsi_timer *timer, uint64_t delay_ns)
{
    uint64_t now = tapsi_loop_now(loop);
    tapsi_timer_start_at(loop, timer, delay_ns > TAPSI_FOREVER - now ? TAPSI_FOREVER : now + delay_ns);
}

void tapsi_timer_cancel(struct tapsi_loop *loop, struct tapsi_timer *timer)
{
    tapsi_heap_remove(&loop->timers, &timer->node);
}
