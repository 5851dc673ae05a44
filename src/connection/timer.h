/* The application's timers: taps_context_after. */
#ifndef TAPSI_CONNECTION_TIMER_H
#define TAPSI_CONNECTION_TIMER_H

#include "connection/context.h"

struct taps_timer {
    struct tapsi_timer timer;
    struct tapsi_task task; /* posted: the callback runs with the other callbacks */
    struct taps_context *context;
    struct tapsi_link link;
    void (*fn)(void *);
    void *arg;
};

int tapsi_app_timer_new(struct taps_context *context, uint64_t delay_ms, void (*fn)(void *), void *arg,
                        struct taps_timer **ret);
void tapsi_app_timer_free(struct taps_timer *timer);

#endif
