/*
 * Each scheduler is a way to give out tags: the least tag of the least class is next. Turns are tags that count up;
 * fair shares are tags in virtual time, which grows by length times weight, and wraps around: tags are compared by
 * their difference. `now` is the start of what was taken last. When nobody waits any more a period is over, and with it
 * what anybody was ahead of others.
 */
#include "base/sched.h"

#include <assert.h>

#define LENGTH_MAX (UINT64_C(1) << 46) /* times TAPSI_SCHED_WEIGHTS it is less than half of the numbers there are */

/* ------------------------------------------------------------------------------------------- the pairing heap */

static int64_t ahead_of(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b);
}

static bool before(const struct tapsi_sched_entry *a, const struct tapsi_sched_entry *b)
{
    if (a->class != b->class)
        return a->class < b->class;
    if (a->tag != b->tag)
        return ahead_of(a->tag, b->tag) < 0;
    return ahead_of(a->sequence, b->sequence) < 0;
}

/* Two roots, of which either may be NULL. */
static struct tapsi_sched_entry *meld(struct tapsi_sched_entry *a, struct tapsi_sched_entry *b)
{
    if (!a || !b)
        return a ? a : b;
    struct tapsi_sched_entry *top = before(b, a) ? b : a, *under = top == a ? b : a;
    under->next = top->child;
    under->prev = top;
    if (top->child)
        top->child->prev = under;
    top->child = under;
    return top;
}

/* The children of a root that goes: melded in pairs, then the pairs from the last. */
static struct tapsi_sched_entry *meld_children(struct tapsi_sched_entry *first)
{
    struct tapsi_sched_entry *pairs = NULL, *root = NULL, *rest;
    while (first) {
        struct tapsi_sched_entry *second = first->next;
        rest = second ? second->next : NULL;
        first->next = first->prev = NULL;
        if (second)
            second->next = second->prev = NULL;
        struct tapsi_sched_entry *pair = meld(first, second);
        pair->next = pairs;
        pairs = pair;
        first = rest;
    }
    for (; pairs; pairs = rest) {
        rest = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
    }
    return root;
}

static void put(struct tapsi_sched *s, struct tapsi_sched_entry *e)
{
    e->child = e->next = e->prev = NULL;
    e->sequence = s->sequence++;
    e->waits = true;
    s->root = meld(s->root, e);
}

static void take_out(struct tapsi_sched *s, struct tapsi_sched_entry *e)
{
    struct tapsi_sched_entry *below = meld_children(e->child);
    e->waits = false;
    e->child = NULL;
    if (s->root == e) {
        s->root = below;
        return;
    }
    if (e->prev->child == e)
        e->prev->child = e->next;
    else
        e->prev->next = e->next;
    if (e->next)
        e->next->prev = e->prev;
    e->next = e->prev = NULL;
    s->root = meld(s->root, below);
}

/* ---------------------------------------------------------------------------------------------------- places */

static bool is_fair(const struct tapsi_sched *s)
{
    return s->kind == TAPS_SCHEDULER_FAIR_CAPACITY || s->kind == TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING;
}

static uint32_t class_of(const struct tapsi_sched *s, const struct tapsi_sched_entry *e)
{
    if (s->kind == TAPS_SCHEDULER_PRIORITY)
        return e->priority;
    return s->kind == TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING && e->priority ? 1 : 0;
}

static uint64_t weight_of(const struct tapsi_sched *s, const struct tapsi_sched_entry *e)
{
    if (s->kind != TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING || !e->priority)
        return 1;
    return e->priority < TAPSI_SCHED_WEIGHTS ? e->priority : TAPSI_SCHED_WEIGHTS;
}

static void forgive(struct tapsi_sched *s, struct tapsi_sched_entry *e)
{
    e->period = s->period;
    e->finish = s->now[class_of(s, e) & 1];
}

/* The place of one that begins to wait. */
static void find_place(struct tapsi_sched *s, struct tapsi_sched_entry *e, uint64_t order)
{
    if (e->period != s->period)
        forgive(s, e);
    e->class = class_of(s, e);
    e->in_packet = 0;
    if (is_fair(s))
        e->tag = ahead_of(e->finish, s->now[e->class]) > 0 ? e->finish : s->now[e->class];
    else
        e->tag = s->kind == TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED ? order : s->sequence;
}

void tapsi_sched_init(struct tapsi_sched *s, enum taps_scheduler kind, size_t packet)
{
    *s = (struct tapsi_sched){.kind = kind, .packet = packet};
}

void tapsi_sched_entry_init(struct tapsi_sched_entry *e, uint32_t priority)
{
    *e = (struct tapsi_sched_entry){.priority = priority};
}

void tapsi_sched_wait(struct tapsi_sched *s, struct tapsi_sched_entry *e, uint64_t order)
{
    bool moves = s->kind == TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED && e->tag != order;
    if (e->waits && !moves)
        return;
    if (e->waits)
        take_out(s, e);
    find_place(s, e, order);
    put(s, e);
}

void tapsi_sched_leave(struct tapsi_sched *s, struct tapsi_sched_entry *e)
{
    if (!e->waits)
        return;
    take_out(s, e);
    s->period += !s->root;
}

struct tapsi_sched_entry *tapsi_sched_first(const struct tapsi_sched *s)
{
    return s->root;
}

static void move_to(struct tapsi_sched *s, struct tapsi_sched_entry *e, uint64_t tag)
{
    take_out(s, e);
    e->tag = tag;
    put(s, e);
}

static void took_share(struct tapsi_sched *s, struct tapsi_sched_entry *e, uint64_t length)
{
    if (ahead_of(e->tag, s->now[e->class]) > 0)
        s->now[e->class] = e->tag;
    e->finish = e->tag + length * weight_of(s, e);
    move_to(s, e, e->finish);
}

void tapsi_sched_took(struct tapsi_sched *s, struct tapsi_sched_entry *e, size_t length)
{
    uint64_t cost = length == 0 ? 1 : length < LENGTH_MAX ? length : LENGTH_MAX;
    assert(e->waits);
    if (is_fair(s)) {
        took_share(s, e, cost);
        return;
    }
    e->in_packet += cost;
    if (s->kind == TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED ||
        (s->kind == TAPS_SCHEDULER_ROUND_ROBIN_PER_PACKET && e->in_packet < s->packet))
        return;
    e->in_packet = 0;
    move_to(s, e, s->sequence);
}

/* --------------------------------------------------------------------------------------------------- changes */

void tapsi_sched_set_priority(struct tapsi_sched *s, struct tapsi_sched_entry *e, uint32_t priority)
{
    uint32_t class = class_of(s, e);
    e->priority = priority;
    if (class_of(s, e) == class)
        return;
    forgive(s, e);
    if (!e->waits)
        return;
    take_out(s, e);
    find_place(s, e, e->tag);
    put(s, e);
}

void tapsi_sched_set_kind(struct tapsi_sched *s, enum taps_scheduler kind)
{
    struct tapsi_sched_entry *e, *moved = NULL, **last = &moved;
    while ((e = s->root)) {
        take_out(s, e);
        *last = e;
        last = &e->next;
    }
    s->kind = kind;
    s->period++;
    for (uint64_t place = 0; (e = moved); place++) {
        moved = e->next;
        find_place(s, e, place);
        put(s, e);
    }
}
