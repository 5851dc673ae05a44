/* Work aside in virtual time: as many at once as the kernel's port has threads, each as long as the world says. */
#include "platform/sim/world.h"

static void start_next(struct tapsi_simplatform *p)
{
    for (unsigned i = 0; i < TAPSI_ASIDE_MAX; i++) {
        struct tapsi_simaside *place = &p->running[i];
        struct tapsi_link *first = place->work ? NULL : tapsi_list_pop(&p->asides);
        if (!first)
            continue;
        place->work = TAPSI_CONTAINER(first, struct tapsi_aside, link);
        if (p->sim->aside_ns != TAPSI_FOREVER)
            tapsi_sim_at(p->sim, &place->over, p->sim->now + p->sim->aside_ns);
    }
}

static void work_over(struct tapsi_sim_event *event)
{
    struct tapsi_simaside *place = TAPSI_CONTAINER(event, struct tapsi_simaside, over);
    struct tapsi_simplatform *p = place->platform;
    struct tapsi_aside *work = place->work;
    place->work = NULL;
    work->run(work);
    tapsi_list_append(&p->over, &work->link);
    p->platform.ops->wake(&p->platform);
    start_next(p);
}

void tapsi_sim_aside(struct tapsi_sim *sim, uint64_t delay_ns)
{
    if (sim)
        sim->aside_ns = delay_ns;
}

void tapsi_simaside_init(struct tapsi_simplatform *p)
{
    tapsi_link_init(&p->asides);
    tapsi_link_init(&p->over);
    for (unsigned i = 0; i < TAPSI_ASIDE_MAX; i++) {
        p->running[i].over.fire = work_over;
        p->running[i].platform = p;
    }
}

void tapsi_simaside_take(struct tapsi_simplatform *p, struct tapsi_aside *work)
{
    tapsi_list_append(&p->asides, &work->link);
    start_next(p);
}

bool tapsi_simaside_recall(struct tapsi_simplatform *p, struct tapsi_aside *work)
{
    for (struct tapsi_link *l = p->asides.next; l != &p->asides; l = l->next) {
        if (l == &work->link) {
            tapsi_list_remove(l);
            return true;
        }
    }
    return false;
}

void tapsi_simaside_tell(struct tapsi_simplatform *p)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&p->over))) {
        struct tapsi_aside *work = TAPSI_CONTAINER(link, struct tapsi_aside, link);
        work->done(work);
    }
}

void tapsi_simaside_done(struct tapsi_simplatform *p)
{
    for (unsigned i = 0; i < TAPSI_ASIDE_MAX; i++) {
        struct tapsi_aside *work = p->running[i].work;
        tapsi_sim_cancel(p->sim, &p->running[i].over);
        p->running[i].work = NULL;
        if (work) {
            work->run(work);
            work->done(work);
        }
    }
    tapsi_list_splice(&p->over, &p->asides);
    tapsi_simaside_tell(p);
}
