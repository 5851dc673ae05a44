/*
 * The sends of a group: whose Message is next, says the scheduler (base/sched.h). They are handed down once a round of
 * the loop, before the layers flush (`task`): then the application has had its events, and what it sends after a Sent
 * takes part.
 *
 * The members have flows of their own, so what is behind their stacks shares the network as it likes, mostly evenly.
 * What the group decides is who may add to that. So the order is kept strictly: while the one whose turn it is has no
 * room, or has all it sent under way, the others wait too (`held`), or those with small shares would fill the time with
 * more than theirs. For that to follow the network, little may lie in front of it: AHEAD bytes of each in the library,
 * and in the kernel as little as the stack can be told to keep (stack/tcp/options.c).
 *
 * The surprising thing: waiting for one is right only if it waits for what all share. One whose peer takes nothing has
 * no bottleneck in common with the others. So they are patient as long as it moves: when nothing of it went for
 * PATIENCE and two round trips, it is `stalled`; they go on, and it is back when all it has under way is done.
 */
#include "connection/connection.h"

#define AHEAD         ((size_t)64 * 1024)
#define PATIENCE      (5 * TAPSI_MS)
#define PACKET        1400 /* bytes of a turn, round-robin per packet */
#define ROUND_TRIP_US 1000000

static struct tapsi_member *member_of(struct tapsi_sched_entry *entry)
{
    return TAPSI_CONTAINER(entry, struct tapsi_member, entry);
}

static void count_op(struct tapsi_member *m, bool has_op)
{
    if (has_op != m->has_op)
        m->group->with_ops += has_op ? 1 : SIZE_MAX;
    m->has_op = has_op;
}

/* What the scheduler knows of a member is what is so. Who has something under way keeps its place with nothing to send;
   but first-come first-served knows none but those of Messages. */
static void update(struct tapsi_member *m)
{
    struct tapsi_sched *sched = &m->group->sched;
    const struct taps_connection *c = m->connection;
    if (!c->shares)
        return;
    const struct tapsi_op *op = m->stalled ? NULL : tapsi_connection_next_send(c);
    count_op(m, op != NULL);
    if (op)
        tapsi_sched_wait(sched, &m->entry, op->order);
    else if (m->stalled || !c->top || !c->out->below || sched->kind == TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED)
        tapsi_sched_leave(sched, &m->entry);
}

static void run_later(struct tapsi_group *g)
{
    tapsi_loop_flush(&g->context->loop, &g->task, TAPSI_LEVELS - 1);
}

static uint64_t unsent(const struct taps_connection *c)
{
    union tapsi_got got;
    return tapsi_layer_get(c->top, TAPSI_GET_UNSENT, &got) == 0 ? got.value.integer : 0;
}

static void hold(struct tapsi_group *g, struct tapsi_member *m, const struct tapsi_member *before)
{
    struct tapsi_loop *loop = &g->context->loop;
    g->held = m;
    if (m != before) {
        m->moved = tapsi_loop_now(loop);
        m->unsent = unsent(m->connection);
    }
    if (!tapsi_timer_running(&g->patience))
        tapsi_timer_start(loop, &g->patience, PATIENCE);
}

static void take(struct tapsi_member *m, struct tapsi_op *op)
{
    struct taps_connection *c = m->connection;
    tapsi_sched_took(&m->group->sched, &m->entry, op->length);
    tapsi_connection_send_next(c, op);
    update(m);
    tapsi_connection_pass_close(c);
}

/* Is there anybody but this one who waits with a Message? */
static bool others_wait(const struct tapsi_member *m)
{
    return m->group->with_ops > (m->has_op ? 1 : 0);
}

/* Hands down what may go. Nobody is held for whom nobody waits: it comes again by itself. */
static void pull(struct tapsi_task *task)
{
    struct tapsi_group *g = TAPSI_CONTAINER(task, struct tapsi_group, task);
    const struct tapsi_member *before = g->held;
    struct tapsi_sched_entry *entry;
    g->held = NULL;
    while (g->with_ops && (entry = tapsi_sched_first(&g->sched)) && !g->held) {
        struct tapsi_member *m = member_of(entry);
        struct tapsi_op *op = tapsi_connection_next_send(m->connection);
        if (op && tapsi_connection_has_room(m->connection, op, AHEAD))
            take(m, op);
        else if (!op && !m->connection->out->below)
            update(m);
        else if (others_wait(m))
            hold(g, m, before);
        else
            break;
    }
    if (!g->held)
        tapsi_timer_cancel(&g->context->loop, &g->patience);
}

void tapsi_group_pump(struct tapsi_member *m)
{
    update(m);
    if (m->group->with_ops || m->group->held)
        run_later(m->group);
}

void tapsi_group_done(struct tapsi_member *m)
{
    struct tapsi_group *g = m->group;
    if (g->held == m)
        m->moved = tapsi_loop_now(&g->context->loop);
    if (!m->connection->out->below)
        m->stalled = false;
    tapsi_group_pump(m);
}

/* -------------------------------------------------------------------------------------------------- patience */

static uint64_t patience_with(const struct tapsi_member *m)
{
    uint64_t values[TAPS_STATISTIC_COUNT];
    tapsi_layer_statistics(m->connection->top, values);
    uint64_t us = values[TAPS_ROUND_TRIP_US] == TAPS_UNKNOWN ? 0 : values[TAPS_ROUND_TRIP_US];
    return PATIENCE + 2 * (us < ROUND_TRIP_US ? us : ROUND_TRIP_US) * (TAPSI_MS / 1000);
}

/* A large Message is not done for long, but part of it may have gone. */
static bool has_moved(struct tapsi_member *m)
{
    uint64_t now = unsent(m->connection), before = m->unsent;
    m->unsent = now;
    return now != before;
}

static void on_patience(struct tapsi_timer *timer)
{
    struct tapsi_group *g = TAPSI_CONTAINER(timer, struct tapsi_group, patience);
    struct tapsi_loop *loop = &g->context->loop;
    struct tapsi_member *m = g->held;
    if (!m || !m->connection->top)
        return;
    if (has_moved(m))
        m->moved = tapsi_loop_now(loop);
    uint64_t until = m->moved + patience_with(m);
    if (tapsi_loop_now(loop) < until) {
        tapsi_timer_start_at(loop, timer, until);
    } else {
        m->stalled = true;
        tapsi_group_pump(m);
    }
}

/* --------------------------------------------------------------------------------------------------- members */

int tapsi_share_init(struct tapsi_group *g, enum taps_scheduler kind)
{
    tapsi_sched_init(&g->sched, kind, PACKET);
    tapsi_task_init(&g->task, pull);
    return tapsi_timer_init(&g->context->loop, &g->patience, on_patience);
}

void tapsi_share_done(struct tapsi_group *g)
{
    tapsi_task_cancel(&g->task);
    tapsi_timer_done(&g->context->loop, &g->patience);
}

/* A stack is told of the scheduler only in a group: it is to keep little in front of the network then. */
void tapsi_share_join(struct tapsi_member *m)
{
    struct taps_connection *c = m->connection;
    c->shares = c->top && !c->streams;
    if (!c->shares)
        return;
    tapsi_layer_set(c->top, TAPS_CONN_SCHEDULER, &c->properties->values[TAPS_CONN_SCHEDULER]);
    tapsi_group_pump(m);
}

void tapsi_share_leave(struct tapsi_member *m)
{
    m->connection->shares = false;
    tapsi_sched_leave(&m->group->sched, &m->entry);
    count_op(m, false);
    if (m->group->held == m)
        m->group->held = NULL;
}

void tapsi_share_set_scheduler(struct tapsi_group *g, enum taps_scheduler kind)
{
    tapsi_sched_set_kind(&g->sched, kind);
    for (struct tapsi_link *l = g->members.next; l != &g->members; l = l->next)
        update(TAPSI_CONTAINER(l, struct tapsi_member, link));
    run_later(g);
}

void tapsi_share_set_priority(struct tapsi_member *m, uint32_t priority)
{
    tapsi_sched_set_priority(&m->group->sched, &m->entry, priority);
    run_later(m->group);
}
