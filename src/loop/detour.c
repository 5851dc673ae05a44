#include "loop/detour.h"

#include <assert.h>

/* ------------------------------------------------------------------------------------------------------ fibers */

/* What stands idle is lent again; a few are kept. */
static int take_fiber(struct tapsi_detour *d)
{
    struct tapsi_loop *loop = d->loop;
    if (loop->fibers_lent == TAPSI_DETOURS_MAX)
        return TAPS_E_RESOURCES;
    int err = 0;
    if (loop->fibers_kept)
        d->fiber = loop->fibers[--loop->fibers_kept];
    else
        err = tapsi_fiber_new(&loop->mem, &d->fiber);
    if (!err)
        loop->fibers_lent++;
    return err;
}

static void give_fiber(struct tapsi_detour *d)
{
    struct tapsi_loop *loop = d->loop;
    loop->fibers_lent--;
    if (loop->fibers_kept < TAPSI_FIBERS_KEPT)
        loop->fibers[loop->fibers_kept++] = d->fiber;
    else
        tapsi_fiber_free(d->fiber);
    d->fiber = NULL;
}

/* ----------------------------------------------------------------------------------------------------- errands */

static struct tapsi_errand *errand_of(struct tapsi_aside *aside)
{
    return TAPSI_CONTAINER(aside, struct tapsi_errand, aside);
}

static void errand_done(struct tapsi_aside *aside)
{
    struct tapsi_errand *errand = errand_of(aside);
    struct tapsi_detour *d = errand->detour;
    if (!d) {
        errand->free(errand);
        return;
    }
    d->state = TAPSI_DETOUR_ANSWERED;
    tapsi_loop_post(d->loop, &d->task);
}

static bool drop(struct tapsi_errand *errand)
{
    errand->free(errand);
    return false;
}

bool tapsi_detour_wait(struct tapsi_detour *d, struct tapsi_errand *errand)
{
    struct tapsi_platform *p = d->loop->platform;
    assert(d->state == TAPSI_DETOUR_RUNNING);
    if (d->given_up)
        return drop(errand);
    if (!p->ops->aside) {
        errand->aside.run(&errand->aside);
        return true;
    }
    tapsi_link_init(&errand->aside.link);
    errand->aside.done = errand_done;
    errand->detour = d;
    if (p->ops->aside(p, &errand->aside) < 0)
        return drop(errand);
    d->errand = errand;
    d->state = TAPSI_DETOUR_STOPPED;
    tapsi_fiber_stop(d->fiber);
    if (!d->given_up)
        return true;
    return false; /* the errand was forgotten */
}

/* ------------------------------------------------------------------------------------------------------ detours */

static void resume(struct tapsi_task *task)
{
    struct tapsi_detour *d = TAPSI_CONTAINER(task, struct tapsi_detour, task);
    d->resume(d);
}

void tapsi_detour_init(struct tapsi_detour *d, struct tapsi_loop *loop, void (*fn)(struct tapsi_detour *))
{
    *d = (struct tapsi_detour){.loop = loop, .resume = fn};
    tapsi_task_init(&d->task, resume);
}

static int returned(struct tapsi_detour *d, bool over)
{
    if (!over)
        return 1;
    d->state = TAPSI_DETOUR_IDLE;
    give_fiber(d);
    return 0;
}

int tapsi_detour_run(struct tapsi_detour *d, void (*fn)(void *arg), void *arg)
{
    assert(d->state == TAPSI_DETOUR_IDLE);
    int err = take_fiber(d);
    if (err)
        return err;
    d->state = TAPSI_DETOUR_RUNNING;
    return returned(d, tapsi_fiber_run(d->fiber, fn, arg));
}

int tapsi_detour_go_on(struct tapsi_detour *d)
{
    assert(d->state == TAPSI_DETOUR_ANSWERED);
    tapsi_task_cancel(&d->task);
    d->errand = NULL;
    d->state = TAPSI_DETOUR_RUNNING;
    return returned(d, tapsi_fiber_resume(d->fiber));
}

static void forget(struct tapsi_detour *d)
{
    struct tapsi_platform *p = d->loop->platform;
    struct tapsi_errand *errand = d->errand;
    d->errand = NULL;
    errand->detour = NULL;
    if (d->state == TAPSI_DETOUR_ANSWERED || p->ops->recall(p, &errand->aside))
        errand->free(errand);
}

void tapsi_detour_give_up(struct tapsi_detour *d)
{
    d->given_up = true;
    if (d->state != TAPSI_DETOUR_STOPPED && d->state != TAPSI_DETOUR_ANSWERED)
        return;
    forget(d);
    tapsi_task_cancel(&d->task);
    d->state = TAPSI_DETOUR_RUNNING;
    returned(d, tapsi_fiber_resume(d->fiber));
    assert(d->state == TAPSI_DETOUR_IDLE); /* it does not stop again */
}
