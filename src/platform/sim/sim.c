/*
 * The world: its clock, its events, and who runs when.
 *
 * Time moves only in tapsi_sim_step, and only when nobody has anything to do now: every attached context is pumped
 * until it rests before the clock goes on, so a context sees the world as a fast machine sees a slow network. Events
 * of one time fire in the order in which they were planned. A pump never drives the world itself (`pumping`): a wait
 * inside it returns at once, which keeps the order of things the same however deep the program nests.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "platform/sim/link.h"
#include "platform/sim/socket.h"
#include "platform/sim/trace.h"

#define TURNS_MAX 100000 /* pumps in a row without time moving: somebody spins */

static _Thread_local struct tapsi_sim *newest;

/* An action planned by a test. */
struct deed {
    struct tapsi_sim_event event;
    struct tapsi_link link;
    struct tapsi_sim *sim;
    void (*action)(void *arg);
    void *arg;
};

struct tapsi_sim *tapsi_sim_new(uint64_t seed)
{
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    struct tapsi_sim *sim = tapsi_zalloc(&mem, sizeof *sim);
    if (!sim)
        return NULL;
    sim->mem = mem;
    sim->refs = 1;
    sim->now = TAPSI_SIM_START;
    sim->date_ns = TAPSI_SIM_DATE * (int64_t)TAPSI_SIM_S;
    sim->seed = sim->dice = seed;
    sim->aside_ns = TAPSI_SIM_MS;
    tapsi_heap_init(&sim->events, &sim->mem);
    struct tapsi_link *lists[] = {&sim->hosts, &sim->platforms, &sim->links, &sim->rules,   &sim->counters,
                                  &sim->flows, &sim->parcels,   &sim->deeds, &sim->services};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        tapsi_link_init(lists[i]);
    sim->older = newest;
    newest = sim;
    tapsi_simtrace_begin(sim);
    return sim;
}

void tapsi_sim_free(struct tapsi_sim *sim)
{
    if (sim)
        tapsi_sim_unref(sim);
}

static void forget_newest(struct tapsi_sim *sim)
{
    for (struct tapsi_sim **at = &newest; *at; at = &(*at)->older) {
        if (*at == sim) {
            *at = sim->older;
            return;
        }
    }
}

void tapsi_sim_unref(struct tapsi_sim *sim)
{
    if (--sim->refs)
        return;
    forget_newest(sim);
    for (struct tapsi_link *l; (l = tapsi_list_pop(&sim->services));) {
        struct tapsi_sim_resident *resident = TAPSI_CONTAINER(l, struct tapsi_sim_resident, link);
        resident->free(resident);
    }
    for (struct tapsi_link *l; (l = tapsi_list_pop(&sim->deeds));) {
        struct deed *d = TAPSI_CONTAINER(l, struct deed, link);
        tapsi_sim_cancel(sim, &d->event);
        tapsi_free(&sim->mem, d);
    }
    for (struct tapsi_link *l; (l = tapsi_list_pop(&sim->hosts));)
        tapsi_simhost_free(TAPSI_CONTAINER(l, struct tapsi_sim_host, link));
    tapsi_simtcp_done_all(sim);
    tapsi_simudp_done_all(sim);
    tapsi_simlink_done(sim);
    if (sim->trace_to)
        tapsi_simtrace_end(sim);
    tapsi_simwire_done(sim);
    tapsi_free(&sim->mem, sim->sockets);
    tapsi_heap_done(&sim->events);
    struct tapsi_mem mem = sim->mem;
    tapsi_free(&mem, sim);
}

uint64_t tapsi_sim_now(const struct tapsi_sim *sim)
{
    return sim ? sim->now : 0;
}

uint64_t tapsi_sim_elapsed(const struct tapsi_sim *sim)
{
    return sim ? sim->now - TAPSI_SIM_START : 0;
}

void tapsi_sim_set_date(struct tapsi_sim *sim, int64_t unix_seconds)
{
    if (sim)
        sim->date_ns = unix_seconds * (int64_t)TAPSI_SIM_S - (int64_t)tapsi_sim_elapsed(sim);
    if (sim && sim->trace_to)
        tapsi_simtrace_line(sim, NULL, "clock", "date %lld", (long long)unix_seconds);
}

void tapsi_sim_shift_date(struct tapsi_sim *sim, int64_t by_ns)
{
    if (sim)
        sim->date_ns += by_ns;
    if (sim && sim->trace_to)
        tapsi_simtrace_line(sim, NULL, "clock", "date moved by %lld ns", (long long)by_ns);
}

void tapsi_sim_leap(struct tapsi_sim *sim, uint64_t by_ns)
{
    if (!sim)
        return;
    sim->now += by_ns;
    sim->idle_turns = 0;
    if (sim->trace_to)
        tapsi_simtrace_line(sim, NULL, "clock", "leapt %llu ns", (unsigned long long)by_ns);
}

const char *tapsi_sim_problem(const struct tapsi_sim *sim)
{
    if (!sim)
        return "no memory for a world";
    return sim->problem[0] ? sim->problem : NULL;
}

bool tapsi_sim_deadlocked(const struct tapsi_sim *sim)
{
    return sim && sim->deadlocked;
}

/* May be called by a sanitizer that is not set up yet: see clock.c. */
__attribute__((no_sanitize("address", "undefined"))) bool tapsi_sim_clock(uint64_t *ret_monotonic_ns,
                                                                          int64_t *ret_wall_ns)
{
    const struct tapsi_sim *sim = newest;
    if (!sim)
        return false;
    *ret_monotonic_ns = sim->now;
    *ret_wall_ns = sim->date_ns + (int64_t)tapsi_sim_elapsed(sim);
    return true;
}

void tapsi_sim_say(struct tapsi_sim *sim, const char *format, ...)
{
    char text[sizeof sim->problem];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "# sim: %s\n", text);
    if (!sim->problem[0])
        memcpy(sim->problem, text, sizeof text);
    if (sim->trace_to)
        tapsi_simtrace_line(sim, NULL, "problem", "%s", text);
}

void tapsi_sim_say_memory(struct tapsi_sim *sim)
{
    tapsi_sim_say(sim, "no memory for the world");
}

void *tapsi_sim_block(struct tapsi_sim *sim, size_t head, size_t body)
{
    void *block = tapsi_alloc(&sim->mem, head + body);
    if (block)
        memset(block, 0, head);
    else
        tapsi_sim_say_memory(sim);
    return block;
}

uint64_t tapsi_sim_dice(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void tapsi_sim_at(struct tapsi_sim *sim, struct tapsi_sim_event *event, uint64_t when)
{
    if (tapsi_heap_put(&sim->events, &event->node, when > sim->now ? when : sim->now) < 0)
        tapsi_sim_say_memory(sim);
}

void tapsi_sim_cancel(struct tapsi_sim *sim, struct tapsi_sim_event *event)
{
    tapsi_heap_remove(&sim->events, &event->node);
}

static void do_deed(struct tapsi_sim_event *event)
{
    struct deed *d = TAPSI_CONTAINER(event, struct deed, event);
    struct tapsi_sim *sim = d->sim;
    void (*action)(void *arg) = d->action;
    void *arg = d->arg;
    tapsi_list_remove(&d->link);
    tapsi_free(&sim->mem, d);
    action(arg);
}

void tapsi_sim_after(struct tapsi_sim *sim, uint64_t delay_ns, void (*action)(void *arg), void *arg)
{
    struct deed *d = sim ? tapsi_zalloc(&sim->mem, sizeof *d) : NULL;
    if (!d) {
        if (sim)
            tapsi_sim_say_memory(sim);
        return;
    }
    d->sim = sim;
    d->action = action;
    d->arg = arg;
    d->event.fire = do_deed;
    tapsi_list_append(&sim->deeds, &d->link);
    tapsi_sim_at(sim, &d->event, sim->now + delay_ns);
}

void tapsi_sim_attach(struct tapsi_sim *sim, struct tapsi_platform *platform, void (*pump)(void *arg), void *arg)
{
    if (!sim || !platform)
        return;
    struct tapsi_simplatform *p = TAPSI_CONTAINER(platform, struct tapsi_simplatform, platform);
    p->pump = pump;
    p->pump_arg = arg;
    p->armed = 0; /* its first turn is due: it may have been given work already */
}

static bool runnable(const struct tapsi_simplatform *p)
{
    return p->pump && !p->waiting &&
           (!tapsi_list_empty(&p->ready) || __atomic_load_n(&p->woken, __ATOMIC_ACQUIRE) || p->armed <= p->sim->now);
}

static bool pump_one(struct tapsi_sim *sim)
{
    for (struct tapsi_link *l = sim->platforms.next; l != &sim->platforms; l = l->next) {
        struct tapsi_simplatform *p = TAPSI_CONTAINER(l, struct tapsi_simplatform, link);
        if (!runnable(p))
            continue;
        /* To the end of the list: the next turn is another's. */
        tapsi_list_remove(&p->link);
        tapsi_list_append(&sim->platforms, &p->link);
        if (p->armed <= sim->now)
            p->armed = TAPSI_FOREVER; /* expired; what is armed for later stays, as a timerfd does */
        sim->pumping = true;
        p->pump(p->pump_arg);
        sim->pumping = false;
        return true;
    }
    return false;
}

static uint64_t next_time(const struct tapsi_sim *sim)
{
    const struct tapsi_heap_node *first = tapsi_heap_first(&sim->events);
    uint64_t next = first ? first->key : TAPSI_FOREVER;
    for (struct tapsi_link *l = sim->platforms.next; l != &sim->platforms; l = l->next) {
        const struct tapsi_simplatform *p = TAPSI_CONTAINER(l, struct tapsi_simplatform, link);
        /* What is due already was pumped, or spins. */
        if (p->pump && !p->waiting && p->armed > sim->now && p->armed < next)
            next = p->armed;
    }
    return next;
}

static void fire_first(struct tapsi_sim *sim)
{
    struct tapsi_heap_node *first = tapsi_heap_first(&sim->events);
    if (!first || first->key > sim->now)
        return;
    tapsi_heap_remove(&sim->events, first);
    struct tapsi_sim_event *event = TAPSI_CONTAINER(first, struct tapsi_sim_event, node);
    event->fire(event);
}

enum tapsi_sim_progress tapsi_sim_step(struct tapsi_sim *sim, struct tapsi_simplatform *self, uint64_t limit)
{
    if (sim->pumping)
        return TAPSI_SIM_DUE;
    if (self)
        self->waiting = true;
    enum tapsi_sim_progress progress = TAPSI_SIM_MOVED;
    if (sim->idle_turns < TURNS_MAX && pump_one(sim)) {
        if (++sim->idle_turns == TURNS_MAX)
            tapsi_sim_say(sim, "a pumped context spins: it is not run again until the clock moves");
    } else {
        uint64_t next = next_time(sim);
        if (next == TAPSI_FOREVER && limit == TAPSI_FOREVER) {
            progress = TAPSI_SIM_STUCK;
        } else if (next > limit) {
            sim->now = limit > sim->now ? limit : sim->now;
            progress = TAPSI_SIM_DUE;
        } else {
            if (next > sim->now) {
                sim->now = next;
                sim->idle_turns = 0;
            }
            fire_first(sim);
        }
    }
    if (self)
        self->waiting = false;
    return progress;
}

void tapsi_sim_run(struct tapsi_sim *sim, uint64_t until_ns)
{
    while (sim && tapsi_sim_step(sim, NULL, until_ns) == TAPSI_SIM_MOVED)
        continue;
}

bool tapsi_sim_run_until(struct tapsi_sim *sim, bool (*done)(void *arg), void *arg, uint64_t limit_ns)
{
    if (!sim)
        return false;
    uint64_t end = limit_ns > TAPSI_FOREVER - sim->now ? TAPSI_FOREVER : sim->now + limit_ns;
    while (!done(arg)) {
        enum tapsi_sim_progress progress = tapsi_sim_step(sim, NULL, end);
        sim->deadlocked |= progress == TAPSI_SIM_STUCK;
        if (progress != TAPSI_SIM_MOVED)
            return done(arg);
    }
    return true;
}

static void trace_failure(struct tapsi_sim *sim, const struct tapsi_sim_host *host, uint64_t nth, int err)
{
    char name[32];
    tapsi_simtrace_line(sim, host, "failure", "call %llu from now: %s", (unsigned long long)nth,
                        err ? tapsi_simname_error(err, name) : "short");
}

void tapsi_sim_fail_call(struct tapsi_sim *sim, uint64_t nth, int err)
{
    if (sim) {
        sim->failure = (struct tapsi_sim_failure){nth, err};
        sim->call_failed = false;
        if (sim->trace_to)
            trace_failure(sim, NULL, nth, err);
    }
}

void tapsi_sim_host_fail_call(struct tapsi_sim_host *host, uint64_t nth, int err)
{
    if (host) {
        host->failure = (struct tapsi_sim_failure){nth, err};
        host->sim->call_failed = false;
        if (host->sim->trace_to)
            trace_failure(host->sim, host, nth, err);
    }
}

uint64_t tapsi_sim_calls(const struct tapsi_sim *sim)
{
    return sim ? sim->calls : 0;
}

bool tapsi_sim_call_failed(const struct tapsi_sim *sim)
{
    return sim && sim->call_failed;
}
