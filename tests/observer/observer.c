/*
 * One record for each Connection, Listener and Resolve. It is kept for a while after the object is freed, because an
 * event after free is one of the things looked for. The application's events are called from ours; only those it has
 * are set, so that the library takes the same way as without us.
 */
#include "observer.h"

#include <pthread.h>
#include <stdlib.h>
#include "base/test.h"
#include "parts.h"
#include "platform/sim/sim.h"

#define BUCKETS 1024
#define RETIRED 4096 /* freed objects that are kept in mind */

/* A program without the simulated network has no such clock. */
__attribute__((weak)) bool tapsi_sim_clock(uint64_t *ret_monotonic_ns, int64_t *ret_wall_ns);

static _Thread_local struct observer_record *records[BUCKETS], *unbound;
static _Thread_local struct observer_record *retired[RETIRED]; /* a ring */
static _Thread_local unsigned next_retired;
static _Thread_local const char *call; /* the one in progress */
static _Thread_local unsigned running, in_event, events_seen;

unsigned observer_events(void)
{
    return events_seen;
}

void observer_wrong(const struct observer_record *r, const char *event, const char *what)
{
    static const char *const names[] = {"Connection", "Listener", "Resolve"};
    tapsi_test_fail("observer", 0, "%s %p: %s %s", names[r->kind], r->object, event, what);
}

/* ------------------------------------------------------------------------------------------------- records */

static struct observer_record **bucket(const void *object)
{
    return &records[(uintptr_t)object / 64 % BUCKETS];
}

static void release(struct observer_record *r)
{
    free(r->send_tags.items);
    free(r->receive_tags.items);
    free(r);
}

static void unlink_from(struct observer_record **list, const struct observer_record *r)
{
    while (*list && *list != r)
        list = &(*list)->next;
    if (*list)
        *list = r->next;
}

/* A thread that ends takes its records along; its contexts may be freed by another one later, which knows none of them.
 */
static pthread_key_t at_exit;
static pthread_once_t at_exit_made = PTHREAD_ONCE_INIT;

static void end_of_thread(void *arg)
{
    (void)arg;
    observer_forget();
    for (unsigned i = 0; i < RETIRED; i++) {
        if (retired[i])
            release(retired[i]);
        retired[i] = NULL;
    }
}

static void make_at_exit(void)
{
    if (pthread_key_create(&at_exit, end_of_thread) != 0)
        abort();
}

struct observer_record *observer_add(enum observer_kind kind, const void *object, const void *context, void *user)
{
    struct observer_record *r = calloc(1, sizeof(*r));
    if (!r)
        abort();
    pthread_once(&at_exit_made, make_at_exit);
    pthread_setspecific(at_exit, records);
    r->kind = kind;
    r->user = user;
    r->allowed = UINT64_MAX;
    r->next = unbound;
    unbound = r;
    if (object)
        observer_bind(r, object, context);
    return r;
}

void observer_bind(struct observer_record *r, const void *object, const void *context)
{
    struct observer_record **list = bucket(object);
    unlink_from(&unbound, r);
    r->object = object;
    r->context = context;
    r->next = *list;
    *list = r;
}

void observer_drop(struct observer_record *r)
{
    unlink_from(&unbound, r);
    release(r);
}

void (*observer_refused_hook)(void *ret);

void observer_refused(void *ret)
{
    if (observer_refused_hook)
        observer_refused_hook(ret);
}

struct observer_record *observer_find(enum observer_kind kind, const void *object)
{
    for (struct observer_record *r = object ? *bucket(object) : NULL; r; r = r->next) {
        if (r->kind == kind && r->object == object)
            return r;
    }
    return NULL;
}

static bool was_freed(enum observer_kind kind, const void *object)
{
    for (unsigned i = 0; i < RETIRED; i++) {
        if (retired[i] && retired[i]->kind == kind && retired[i]->object == object)
            return true;
    }
    return false;
}

/* The place of a freed object may be a new object's that nobody told us about: only Listeners without a callback for
   their Connections make such, and those are few. */
void observer_retire(struct observer_record *r, enum observer_kind kind, const void *object)
{
    if (!r) {
        if (object && was_freed(kind, object))
            tapsi_test_fail("observer", 0, "%p was freed twice", object);
        return;
    }
    r->freed = true;
    unlink_from(bucket(object), r);
    if (retired[next_retired])
        release(retired[next_retired]);
    retired[next_retired] = r;
    next_retired = (next_retired + 1) % RETIRED;
}

static void forget(const void *context)
{
    for (unsigned i = 0; i < RETIRED; i++) {
        if (retired[i] && retired[i]->context == context) {
            release(retired[i]);
            retired[i] = NULL;
        }
    }
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct observer_record **at = &records[i], *r; (r = *at);) {
            if (r->context == context) {
                *at = r->next;
                release(r);
            } else {
                at = &r->next;
            }
        }
    }
}

void observer_forget(void)
{
    while (unbound)
        observer_drop(unbound);
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (records[i]) {
            struct observer_record *r = records[i];
            records[i] = r->next;
            release(r);
        }
    }
    call = NULL;
    running = in_event = 0;
}

/* ------------------------------------------------------------------------------------------- calls and time */

static bool simulated_time(uint64_t *ret)
{
    int64_t wall;
    return tapsi_sim_clock && tapsi_sim_clock(ret, &wall);
}

struct observer_visit observer_enter(const char *name)
{
    struct observer_visit v = {.before = call};
    v.simulated = simulated_time(&v.time);
    call = name;
    return v;
}

void observer_leave(struct observer_visit v)
{
    uint64_t now;
    if (v.simulated && simulated_time(&now) && now != v.time)
        tapsi_test_fail("observer", 0, "%s took %llu ns of virtual time", call, (unsigned long long)(now - v.time));
    call = v.before;
}

void observer_begin(const struct observer_record *r, const char *event)
{
    events_seen++;
    if (call)
        tapsi_test_fail("observer", 0, "%s came inside %s", event, call);
    if (in_event)
        tapsi_test_fail("observer", 0, "%s came inside another event", event);
    if (!running)
        tapsi_test_fail("observer", 0, "%s came though nobody ran the context", event);
    if (r && r->freed)
        observer_wrong(r, event, "came after free");
    else if (r && r->over)
        observer_wrong(r, event, "came after the last event");
    in_event++;
}

void observer_end(void)
{
    in_event--;
}

/* ------------------------------------------------------------------------------------------------- contexts */

WRAPPED(int, taps_context_run, (taps_context * context))
{
    running++;
    int err = __real_taps_context_run(context);
    running--;
    return err;
}

WRAPPED(int, taps_context_run_once, (taps_context * context, int timeout_ms))
{
    running++;
    int err = __real_taps_context_run_once(context, timeout_ms);
    running--;
    return err;
}

WRAPPED(int, taps_context_dispatch, (taps_context * context))
{
    running++;
    int err = __real_taps_context_dispatch(context);
    running--;
    return err;
}

WRAPPED(int, taps_context_free, (taps_context * context))
{
    struct observer_visit v = observer_enter("taps_context_free");
    int err = __real_taps_context_free(context);
    observer_leave(v);
    if (!err && context) {
        forget(context);
        observer_forget_timers(context);
    }
    return err;
}
