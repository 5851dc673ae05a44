/*
 * How TCP segments travel. Each direction of a connection is a pipe: what is put in comes out in order, later. A
 * segment that is lost holds back everything behind it until its repetition gets through (there is no reordering and
 * no selective repair), which is how loss looks to the program above: a pause. Repetitions follow TCP's timer: a
 * time-out that doubles, until the sender gives up.
 *
 * The surprising thing: a flow outlives its ends. What was sent before close or reset still arrives, and what arrives
 * for an end that is gone is answered with RST.
 */
#include <errno.h>
#include <string.h>
#include "platform/sim/flow.h"

#define RTO_MIN   (200 * TAPSI_SIM_MS)
#define RTO_FIRST TAPSI_SIM_S
#define RTO_MAX   (120 * TAPSI_SIM_S)

static void retry(struct tapsi_sim_event *event);

struct tapsi_simflow *tapsi_simflow_new(struct tapsi_sim *sim)
{
    struct tapsi_simflow *flow = tapsi_zalloc(&sim->mem, sizeof *flow);
    if (!flow)
        return NULL;
    flow->sim = sim;
    tapsi_link_init(&flow->flying);
    for (unsigned i = 0; i < 2; i++) {
        flow->pipe[i].flow = flow;
        flow->pipe[i].side = i;
        flow->pipe[i].retry.fire = retry;
        tapsi_link_init(&flow->pipe[i].waiting);
    }
    tapsi_list_append(&sim->flows, &flow->link);
    return flow;
}

static void free_segment(struct tapsi_simsegment *segment)
{
    struct tapsi_sim *sim = segment->flow->sim;
    tapsi_sim_cancel(sim, &segment->event);
    tapsi_list_remove(&segment->link);
    tapsi_free(&sim->mem, segment);
}

static void drop_all(struct tapsi_link *segments)
{
    for (struct tapsi_link *l; (l = tapsi_list_first(segments));)
        free_segment(TAPSI_CONTAINER(l, struct tapsi_simsegment, link));
}

static void free_flow(struct tapsi_simflow *flow)
{
    for (unsigned i = 0; i < 2; i++) {
        drop_all(&flow->pipe[i].waiting);
        tapsi_sim_cancel(flow->sim, &flow->pipe[i].retry);
    }
    drop_all(&flow->flying);
    tapsi_list_remove(&flow->link);
    tapsi_free(&flow->sim->mem, flow);
}

static void free_if_over(struct tapsi_simflow *flow)
{
    if (!flow->busy && !flow->end[0] && !flow->end[1] && tapsi_list_empty(&flow->flying))
        free_flow(flow);
}

void tapsi_simflow_leave(struct tapsi_simflow *flow, unsigned side)
{
    flow->end[side] = NULL;
    drop_all(&flow->pipe[side].waiting);
    tapsi_sim_cancel(flow->sim, &flow->pipe[side].retry);
    free_if_over(flow);
}

void tapsi_simtcp_done_all(struct tapsi_sim *sim)
{
    for (struct tapsi_link *l; (l = tapsi_list_first(&sim->flows));)
        free_flow(TAPSI_CONTAINER(l, struct tapsi_simflow, link));
}

static void arrive(struct tapsi_sim_event *event)
{
    struct tapsi_simsegment *segment = TAPSI_CONTAINER(event, struct tapsi_simsegment, event);
    struct tapsi_simflow *flow = segment->flow;
    tapsi_list_remove(&segment->link);
    flow->busy = true;
    tapsi_simtcp_arrive(flow, segment);
    flow->busy = false;
    free_segment(segment);
    free_if_over(flow);
}

static void fly(struct tapsi_simsegment *segment, uint64_t when)
{
    struct tapsi_simpipe *pipe = &segment->flow->pipe[segment->from];
    if (when < pipe->last_arrival)
        when = pipe->last_arrival;
    pipe->last_arrival = when;
    segment->event.fire = arrive;
    tapsi_list_append(&segment->flow->flying, &segment->link);
    tapsi_sim_at(segment->flow->sim, &segment->event, when);
}

static struct tapsi_simsegment *make(struct tapsi_simflow *flow, unsigned from, enum tapsi_simsegment_kind kind,
                                     size_t length)
{
    struct tapsi_simsegment *segment = tapsi_zalloc(&flow->sim->mem, sizeof *segment + length);
    if (!segment) {
        tapsi_sim_say_memory(flow->sim);
        return NULL;
    }
    tapsi_link_init(&segment->link);
    segment->flow = flow;
    segment->from = from;
    segment->kind = kind;
    segment->length = length;
    return segment;
}

/* The network's own answer to the side `to`, in the name of the other. */
static void answer(struct tapsi_simflow *flow, unsigned to, int err, uint64_t when)
{
    struct tapsi_simsegment *segment = make(flow, !to, err == 0 ? TAPSI_SIM_RST : TAPSI_SIM_ICMP, 0);
    if (segment) {
        segment->err = err;
        fly(segment, when);
    }
}

static void wait_for_retry(struct tapsi_simpipe *pipe)
{
    const struct tapsi_simsock *s = pipe->flow->end[pipe->side];
    uint64_t timeout = s && s->tcp.rtt ? RTO_MIN + s->tcp.rtt : RTO_FIRST;
    for (unsigned i = 0; i < pipe->tries && timeout < RTO_MAX; i++)
        timeout *= 2;
    if (!pipe->tries)
        pipe->stuck_since = pipe->flow->sim->now;
    tapsi_sim_at(pipe->flow->sim, &pipe->retry, pipe->flow->sim->now + (timeout < RTO_MAX ? timeout : RTO_MAX));
}

/* Puts the segment on the wire: true when it is on its way or gone for good, false when it has to be repeated. */
static bool transmit(struct tapsi_simpipe *pipe, struct tapsi_simsegment *segment)
{
    static const char *const names[] = {"SYN", "SYN-ACK", "ACK", "DATA", "FIN", "RST", "ICMP"};
    struct tapsi_simflow *flow = pipe->flow;
    struct tapsi_simwire_verdict v;
    tapsi_simwire_send(&pipe->way, names[segment->kind], segment->length, &v);
    uint64_t when = flow->sim->now + v.delay;
    bool repeated = segment->kind != TAPSI_SIM_SYN && segment->kind != TAPSI_SIM_RST;
    if (v.fate == TAPSI_SIM_ARRIVES) {
        segment->in = v.in;
        fly(segment, when);
        return true;
    }
    int err = v.unowned ? EHOSTUNREACH : tapsi_simwire_errno(v.answer, pipe->way.to.sa.sa_family);
    if (segment->kind != TAPSI_SIM_RST && err)
        answer(flow, pipe->side, err == ECONNREFUSED ? 0 : err, when);
    if (repeated && err != ECONNREFUSED)
        return false;
    free_segment(segment);
    return true;
}

/* Nothing but acknowledgements waits: nobody fails for want of an answer to those. */
static bool only_acks(const struct tapsi_simpipe *pipe)
{
    for (struct tapsi_link *l = pipe->waiting.next; l != &pipe->waiting; l = l->next) {
        if (TAPSI_CONTAINER(l, struct tapsi_simsegment, link)->kind != TAPSI_SIM_ACK)
            return false;
    }
    return true;
}

static void retry(struct tapsi_sim_event *event)
{
    struct tapsi_simpipe *pipe = TAPSI_CONTAINER(event, struct tapsi_simpipe, retry);
    struct tapsi_simsock *s = pipe->flow->end[pipe->side];
    pipe->tries++;
    if (only_acks(pipe) && pipe->tries > TAPSI_SIM_REPEATS) {
        drop_all(&pipe->waiting);
        pipe->tries = 0;
        return;
    }
    if (!only_acks(pipe) && !tapsi_simtcp_may_repeat(pipe)) {
        tapsi_simtcp_give_up(s);
        return;
    }
    s->tcp.retransmitted++;
    for (struct tapsi_link *l; (l = tapsi_list_pop(&pipe->waiting));) {
        if (!transmit(pipe, TAPSI_CONTAINER(l, struct tapsi_simsegment, link))) {
            tapsi_list_prepend(&pipe->waiting, l);
            wait_for_retry(pipe);
            return;
        }
        pipe->tries = 0;
    }
}

void tapsi_simflow_send(struct tapsi_simflow *flow, unsigned from, enum tapsi_simsegment_kind kind, uint64_t ack,
                        uint64_t edge, const void *bytes, size_t length)
{
    struct tapsi_simpipe *pipe = &flow->pipe[from];
    struct tapsi_simsegment *segment = pipe->way.host ? make(flow, from, kind, length) : NULL;
    if (!segment)
        return;
    segment->ack = ack;
    segment->edge = edge;
    if (length)
        memcpy(segment->bytes, bytes, length);
    bool behind = !tapsi_list_empty(&pipe->waiting) && kind != TAPSI_SIM_RST;
    if (!behind && transmit(pipe, segment))
        return;
    tapsi_list_append(&pipe->waiting, &segment->link);
    if (!behind)
        wait_for_retry(pipe);
}
