/*
 * An engine's call that waits, in the middle, for work done aside: it runs on a fiber, stops there and goes on when the
 * work is done, both on the loop's thread. Only the work itself is on another one.
 *
 * IDLE -run-> RUNNING -wait-> STOPPED -the work is over-> ANSWERED -go_on-> RUNNING; RUNNING -it returns-> IDLE.
 * While it is STOPPED or ANSWERED nobody may call that engine.
 */
#ifndef TAPSI_LOOP_DETOUR_H
#define TAPSI_LOOP_DETOUR_H

#include "loop/loop.h"

#define TAPSI_DETOURS_MAX 256 /* stopped at once, of one loop */

/* Work for a detour: embedded at the front of its owner, made and freed on the loop's thread. */
struct tapsi_errand {
    struct tapsi_aside aside;
    struct tapsi_detour *detour; /* NULL: nobody waits for it any more */
    void (*free)(struct tapsi_errand *errand);
};

enum tapsi_detour_state { TAPSI_DETOUR_IDLE, TAPSI_DETOUR_RUNNING, TAPSI_DETOUR_STOPPED, TAPSI_DETOUR_ANSWERED };

struct tapsi_detour {
    struct tapsi_loop *loop;
    struct tapsi_fiber *fiber; /* NULL: IDLE */
    struct tapsi_errand *errand;
    struct tapsi_task task;
    /* The work is over: go on. From the loop's dispatch. */
    void (*resume)(struct tapsi_detour *detour);
    enum tapsi_detour_state state;
    bool given_up;
};

void tapsi_detour_init(struct tapsi_detour *detour, struct tapsi_loop *loop, void (*resume)(struct tapsi_detour *));
/* Calls fn(arg). 0: it has returned; 1: it has stopped, and resume comes; TAPS_E_MEMORY, TAPS_E_RESOURCES (too many
   have stopped): it was not called. */
int tapsi_detour_run(struct tapsi_detour *detour, void (*fn)(void *arg), void *arg);
/* ANSWERED: 0 and 1 as before. */
int tapsi_detour_go_on(struct tapsi_detour *detour);
/* The call under way, if any, is made to return now, whatever it waits for; afterwards it can only be forgotten. Work
   that has begun ends by itself and is freed then. */
void tapsi_detour_give_up(struct tapsi_detour *detour);
static inline bool tapsi_detour_waits(const struct tapsi_detour *detour)
{
    return detour->state == TAPSI_DETOUR_STOPPED;
}
static inline bool tapsi_detour_is_under_way(const struct tapsi_detour *detour)
{
    return detour->state != TAPSI_DETOUR_IDLE;
}

/* Within the call: `errand`, with `run` and `free` set, is done aside. True: it is done, and the caller's again. False:
   it could not be, or the call was given up: it is freed, or will be. */
bool tapsi_detour_wait(struct tapsi_detour *detour, struct tapsi_errand *errand);

#endif
