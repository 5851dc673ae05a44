/*
 * How TCP segments travel. Each direction of a connection is a pipe. DATA and FIN that are lost wait, and hold back
 * what comes behind them, until their repetition gets through (there is no selective repair and no fast
 * retransmission), which is how loss looks to the program above: a pause. What has arrived is never sent twice; where
 * only the acknowledgement was lost, a PROBE asks for it again, as a repetition would. What is on its way may arrive
 * out of order or twice: order.c makes a stream of it.
 *
 * One timer per side repeats and probes. It doubles, starts anew whenever the other side is heard, and makes the
 * connection fail after too many tries. It runs only while an answer is due or may have been lost, so that a world in
 * which everybody waits for everybody is seen to be stuck.
 *
 * The surprising thing: a flow outlives its ends. What was sent before close or reset still arrives, and what arrives
 * for an end that is gone is answered with RST.
 */
#include <errno.h>
#include <netinet/in.h>
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

static uint64_t timeout_of(const struct tapsi_simpipe *pipe)
{
    const struct tapsi_simsock *s = pipe->flow->end[pipe->side];
    uint64_t timeout = s->tcp.rtt ? RTO_MIN + s->tcp.rtt : RTO_FIRST;
    for (unsigned i = 0; i < pipe->tries && timeout < RTO_MAX; i++)
        timeout *= 2;
    return timeout < RTO_MAX ? timeout : RTO_MAX;
}

static void start_timer(struct tapsi_simpipe *pipe)
{
    tapsi_sim_at(pipe->flow->sim, &pipe->retry, pipe->flow->sim->now + timeout_of(pipe));
}

void tapsi_simflow_watch(struct tapsi_simflow *flow, unsigned side)
{
    struct tapsi_simpipe *pipe = &flow->pipe[side];
    if (pipe->retry.node.index)
        return;
    pipe->progress = flow->sim->now;
    pipe->tries = 0;
    start_timer(pipe);
}

void tapsi_simflow_heard(struct tapsi_simflow *flow, unsigned side)
{
    struct tapsi_simpipe *pipe = &flow->pipe[side];
    bool slowed = pipe->tries;
    flow->pipe[!side].lost = false;
    pipe->progress = flow->sim->now;
    pipe->tries = 0;
    if (slowed && pipe->retry.node.index)
        start_timer(pipe);
}

/* Something from this side will not arrive: the other may have to ask for it. */
static void note_loss(struct tapsi_simflow *flow, unsigned side)
{
    const struct tapsi_simsock *other = flow->end[!side];
    flow->pipe[side].lost = true;
    if (other && tapsi_simtcp_waits(other))
        tapsi_simflow_watch(flow, !side);
}

void tapsi_simflow_leave(struct tapsi_simflow *flow, unsigned side)
{
    flow->end[side] = NULL;
    drop_all(&flow->pipe[side].waiting);
    tapsi_sim_cancel(flow->sim, &flow->pipe[side].retry);
    note_loss(flow, side);
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
    segment->event.fire = arrive;
    tapsi_list_append(&segment->flow->flying, &segment->link);
    tapsi_sim_at(segment->flow->sim, &segment->event, when);
}

static struct tapsi_simsegment *make(struct tapsi_simflow *flow, unsigned from, enum tapsi_simsegment_kind kind,
                                     size_t length)
{
    struct tapsi_simsegment *segment = tapsi_sim_block(flow->sim, sizeof *segment, length);
    if (!segment)
        return NULL;
    tapsi_link_init(&segment->link);
    segment->flow = flow;
    segment->from = from;
    segment->kind = kind;
    segment->length = length;
    return segment;
}

static struct tapsi_simsegment *copy_part(const struct tapsi_simsegment *from, size_t start, size_t length)
{
    struct tapsi_simsegment *copy = make(from->flow, from->from, from->kind, length);
    if (!copy)
        return NULL;
    copy->seq = from->seq + start;
    copy->ack = from->ack;
    copy->edge = from->edge;
    copy->in = from->in;
    if (length)
        memcpy(copy->bytes, from->bytes + start, length);
    return copy;
}

/* The network's own answer to the side `to`, in the name of the other: a reset, an error, or an MTU. */
static void answer(struct tapsi_simflow *flow, unsigned to, int err, unsigned mtu, uint64_t when)
{
    bool reset = err == ECONNREFUSED;
    struct tapsi_simsegment *segment = make(flow, !to, reset ? TAPSI_SIM_RST : TAPSI_SIM_ICMP, 0);
    if (segment) {
        segment->err = err;
        segment->mtu = mtu;
        fly(segment, when);
    }
}

static void set_fragmentation(struct tapsi_simpipe *pipe)
{
    const struct tapsi_simsock *s = pipe->flow->end[pipe->side];
    if (!s || pipe->way.to.sa.sa_family != AF_INET)
        return;
    int discover = tapsi_simsock_option(s, IPPROTO_IP, IP_MTU_DISCOVER);
    pipe->way.divisible = discover == IP_PMTUDISC_DONT || discover > IP_PMTUDISC_PROBE;
}

/* Puts the segment on the wire: true when it is on its way or gone for good, false when it has to be repeated. */
static bool transmit(struct tapsi_simpipe *pipe, struct tapsi_simsegment *segment)
{
    static const char *const names[] = {"SYN", "SYN-ACK", "ACK", "DATA", "FIN", "PROBE", "RST", "ICMP"};
    struct tapsi_simflow *flow = pipe->flow;
    struct tapsi_simwire_verdict v;
    set_fragmentation(pipe);
    tapsi_simwire_send(&pipe->way, names[segment->kind], segment->length, &v);
    uint64_t now = flow->sim->now, when = now + v.delay;
    bool repeated = segment->kind == TAPSI_SIM_DATA || segment->kind == TAPSI_SIM_FIN;
    if (v.out && (segment->kind == TAPSI_SIM_SYN || segment->kind == TAPSI_SIM_SYN_ACK))
        flow->mtu[pipe->side] = v.out->mtu;
    if (v.fate == TAPSI_SIM_ARRIVES) {
        segment->in = v.in;
        struct tapsi_simsegment *copy = v.copy_delay ? copy_part(segment, 0, segment->length) : NULL;
        if (copy)
            fly(copy, now + v.copy_delay);
        fly(segment, when);
        return true;
    }
    int err = v.unowned ? EHOSTUNREACH : tapsi_simwire_errno(v.answer, pipe->way.to.sa.sa_family);
    bool narrow = v.fate == TAPSI_SIM_ANSWERED && v.mtu;
    if (segment->kind != TAPSI_SIM_RST && (err || narrow))
        answer(flow, pipe->side, err, narrow ? v.mtu : 0, when);
    note_loss(flow, pipe->side);
    if (repeated)
        return false; /* refused too: what comes behind must not arrive before the reset does */
    free_segment(segment);
    return true;
}

/* Leaves no more than fits one packet in the segment; the rest is next. */
static void cut(struct tapsi_simpipe *pipe, struct tapsi_simsegment *segment, size_t size)
{
    if (segment->length <= size)
        return;
    struct tapsi_simsegment *rest = copy_part(segment, size, segment->length - size);
    if (!rest)
        return;
    segment->length = size;
    tapsi_list_prepend(&pipe->waiting, &rest->link);
}

void tapsi_simflow_repeat(struct tapsi_simflow *flow, unsigned side)
{
    struct tapsi_simpipe *pipe = &flow->pipe[side];
    for (struct tapsi_link *l; (l = tapsi_list_pop(&pipe->waiting));) {
        struct tapsi_simsegment *segment = TAPSI_CONTAINER(l, struct tapsi_simsegment, link);
        cut(pipe, segment, tapsi_simtcp_segment_size(flow->end[side]));
        if (!transmit(pipe, segment)) {
            tapsi_list_prepend(&pipe->waiting, l);
            return;
        }
    }
}

static void repeat(struct tapsi_simpipe *pipe, struct tapsi_simsock *s)
{
    bool asks = tapsi_list_empty(&pipe->waiting);
    if (asks)
        tapsi_simtcp_segment(s, s->tcp.state == TAPSI_SIMTCP_SYN_RECEIVED ? TAPSI_SIM_SYN_ACK : TAPSI_SIM_PROBE, NULL,
                             0);
    else
        tapsi_simflow_repeat(pipe->flow, pipe->side);
}

static void retry(struct tapsi_sim_event *event)
{
    struct tapsi_simpipe *pipe = TAPSI_CONTAINER(event, struct tapsi_simpipe, retry);
    struct tapsi_simsock *s = pipe->flow->end[pipe->side];
    bool idle = tapsi_list_empty(&pipe->waiting);
    uint64_t due = pipe->progress + timeout_of(pipe);
    if (idle && !tapsi_simtcp_waits(s))
        return;
    /* While answers keep coming, only the newest of what was sent can be overdue. */
    if (idle && !pipe->tries && pipe->flow->sim->now < due) {
        tapsi_sim_at(pipe->flow->sim, &pipe->retry, due);
        return;
    }
    pipe->tries++;
    if (!tapsi_simtcp_may_repeat(pipe)) {
        tapsi_simtcp_give_up(s);
        return;
    }
    s->tcp.retransmitted++;
    start_timer(pipe);
    repeat(pipe, s);
}

void tapsi_simflow_send(struct tapsi_simflow *flow, unsigned from, enum tapsi_simsegment_kind kind,
                        struct tapsi_simnumbers numbers, const void *bytes, size_t length)
{
    struct tapsi_simpipe *pipe = &flow->pipe[from];
    struct tapsi_simsegment *segment = pipe->way.host ? make(flow, from, kind, length) : NULL;
    if (!segment)
        return;
    segment->seq = numbers.seq;
    segment->ack = numbers.ack;
    segment->edge = numbers.edge;
    if (length)
        memcpy(segment->bytes, bytes, length);
    bool repeated = kind == TAPSI_SIM_DATA || kind == TAPSI_SIM_FIN;
    if ((repeated && !tapsi_list_empty(&pipe->waiting)) || !transmit(pipe, segment))
        tapsi_list_append(&pipe->waiting, &segment->link);
}
