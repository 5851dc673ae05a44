/*
 * TCP as a program sees it. States: CLOSED (new, failed or over), LISTEN, SYN_SENT, SYN_RECEIVED (a child whose
 * handshake is not done), OPEN (both directions or one, or neither while FINs travel), TIME_WAIT. Which directions of
 * OPEN are still usable is in independent facts: fin_wanted and fin_sent (ours), fin_received (theirs), no_read.
 *
 * Numbers count bytes from 0 in each direction; a FIN counts as one. A sender never sends beyond `send_edge`, which
 * the receiver moves by ACKs: read + its buffer. So a full receiver stops the sender, and reading opens the window one
 * trip later.
 *
 * An end with the program's interest gone (`orphan`) lives on until its FIN is acknowledged and the peer's has come,
 * and frees itself. So after every call that can end it (settle, fail) the socket may be gone: these calls come last.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include "platform/sim/flow.h"

#define SYN_TIMEOUT       TAPSI_SIM_S
#define SYN_DOUBLINGS     6
#define TIME_WAIT_TIME    (60 * TAPSI_SIM_S)
#define FIN_WAIT2_TIME    (60 * TAPSI_SIM_S)
#define REPEATS           15
#define REPEATS_ORPHAN    8
#define REPEATS_HANDSHAKE 5
#define BACKLOG_MAX       4096

static void set_state(struct tapsi_simsock *s, enum tapsi_simtcp_state state)
{
    s->tcp.state = state;
}

static void leave_flow(struct tapsi_simsock *s)
{
    if (s->tcp.flow)
        tapsi_simflow_leave(s->tcp.flow, s->tcp.side);
    s->tcp.flow = NULL;
    tapsi_sim_cancel(s->sim, &s->tcp.timer);
    tapsi_sim_cancel(s->sim, &s->tcp.keep_alive);
}

/* Both directions are over. Frees an orphan. */
static void over(struct tapsi_simsock *s, enum tapsi_simtcp_state state)
{
    if (state == TAPSI_SIMTCP_CLOSED)
        leave_flow(s);
    set_state(s, state);
    s->tcp.no_read = s->tcp.fin_wanted = true;
    tapsi_simbytes_drop(&s->tcp.out, s->tcp.out.length);
    if (s->orphan && state == TAPSI_SIMTCP_CLOSED)
        tapsi_simsock_free(s);
    else
        tapsi_simsock_wake(s);
}

static void leave_listener(struct tapsi_simsock *s)
{
    if (!s->tcp.listener)
        return;
    tapsi_list_remove(&s->tcp.child_link);
    s->tcp.listener->tcp.child_count--;
    s->tcp.listener = NULL;
}

static void fail(struct tapsi_simsock *s, int err)
{
    if (s->tcp.state == TAPSI_SIMTCP_SYN_RECEIVED) {
        tapsi_simsock_free(s);
        return;
    }
    s->error = err;
    over(s, TAPSI_SIMTCP_CLOSED);
}

static void end_time_wait(struct tapsi_sim_event *event)
{
    struct tapsi_simsock *s = TAPSI_CONTAINER(event, struct tapsi_simsock, tcp.timer);
    leave_flow(s);
    set_state(s, TAPSI_SIMTCP_CLOSED);
    if (s->orphan)
        tapsi_simsock_free(s);
}

static void end_orphan(struct tapsi_sim_event *event)
{
    tapsi_simsock_free(TAPSI_CONTAINER(event, struct tapsi_simsock, tcp.timer));
}

static void start_timer(struct tapsi_simsock *s, void (*fire)(struct tapsi_sim_event *event), uint64_t delay)
{
    s->tcp.timer.fire = fire;
    tapsi_sim_at(s->sim, &s->tcp.timer, s->sim->now + delay);
}

/* Is the connection over, or only waiting for the peer's FIN? May free the socket. */
static void settle(struct tapsi_simsock *s)
{
    struct tapsi_simtcp *t = &s->tcp;
    bool fin_acked = t->fin_sent && t->acked >= t->fin_at;
    if (fin_acked && t->fin_received) {
        bool wait = t->fin_was_first;
        over(s, wait ? TAPSI_SIMTCP_TIME_WAIT : TAPSI_SIMTCP_CLOSED);
        if (wait)
            start_timer(s, end_time_wait, TIME_WAIT_TIME);
    } else if (fin_acked && s->orphan && !t->timer.node.index) {
        start_timer(s, end_orphan, FIN_WAIT2_TIME);
    }
}

/* Connecting. */

static uint64_t user_timeout(const struct tapsi_simsock *s)
{
    return (uint64_t)tapsi_simsock_option(s, IPPROTO_TCP, TCP_USER_TIMEOUT) * TAPSI_SIM_MS;
}

bool tapsi_simtcp_may_repeat(const struct tapsi_simpipe *pipe)
{
    const struct tapsi_simsock *s = pipe->flow->end[pipe->side];
    uint64_t limit = user_timeout(s);
    if (limit && (s->sim->now - pipe->progress >= limit || (s->tcp.stuck && s->sim->now - s->tcp.stuck >= limit)))
        return false;
    unsigned repeats = s->tcp.state == TAPSI_SIMTCP_SYN_RECEIVED ? REPEATS_HANDSHAKE
                       : s->orphan                               ? REPEATS_ORPHAN
                                                                 : REPEATS;
    return pipe->tries <= repeats;
}

void tapsi_simtcp_give_up(struct tapsi_simsock *s)
{
    fail(s, s->soft_error ? s->soft_error : ETIMEDOUT);
}

static void send_syn(struct tapsi_simsock *s);

static void repeat_syn(struct tapsi_sim_event *event)
{
    struct tapsi_simsock *s = TAPSI_CONTAINER(event, struct tapsi_simsock, tcp.timer);
    uint64_t limit = user_timeout(s);
    s->tcp.syn_tries++;
    if (s->tcp.syn_tries > (unsigned)tapsi_simsock_option(s, IPPROTO_TCP, TCP_SYNCNT) ||
        (limit && s->sim->now - s->tcp.syn_time >= limit))
        tapsi_simtcp_give_up(s);
    else
        send_syn(s);
}

static void send_syn(struct tapsi_simsock *s)
{
    uint64_t delay = SYN_TIMEOUT << (s->tcp.syn_tries < SYN_DOUBLINGS ? s->tcp.syn_tries : SYN_DOUBLINGS);
    uint64_t limit = user_timeout(s), spent = s->sim->now - s->tcp.syn_time;
    if (limit && spent + delay > limit)
        delay = limit - spent;
    start_timer(s, repeat_syn, delay);
    tapsi_simtcp_segment(s, TAPSI_SIM_SYN, NULL, 0);
}

static bool tuple_taken(const struct tapsi_simsock *s, const union tapsi_addr *to)
{
    for (struct tapsi_link *l = s->host->sockets.next; l != &s->host->sockets; l = l->next) {
        const struct tapsi_simsock *other = TAPSI_CONTAINER(l, struct tapsi_simsock, link);
        if (other != s && other->type == SOCK_STREAM && tapsi_addr_equal(&other->local, &s->local) &&
            tapsi_addr_equal(&other->remote, to))
            return true;
    }
    return false;
}

static void to_loopback(union tapsi_addr *a)
{
    if (!tapsi_addr_is_any(a))
        return;
    if (a->sa.sa_family == AF_INET)
        a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        a->in6.sin6_addr = in6addr_loopback;
}

static int start_connect(struct tapsi_simsock *s, const union tapsi_addr *to)
{
    struct tapsi_simwire_way way;
    int r = tapsi_simsock_way(s, to, &way);
    if (r < 0)
        return r;
    union tapsi_addr before = s->local;
    r = tapsi_simsock_autobind(s, &way.from);
    if (r < 0)
        return r;
    struct tapsi_simflow *flow = tuple_taken(s, to) ? NULL : tapsi_simflow_new(s->sim);
    if (!flow) {
        s->local = before;
        return tuple_taken(s, to) ? -EADDRNOTAVAIL : -ENOMEM;
    }
    way.from = s->local;
    flow->end[0] = s;
    flow->pipe[0].way = way;
    s->tcp.flow = flow;
    s->tcp.side = 0;
    s->tcp.syn_time = s->sim->now;
    s->remote = way.to;
    set_state(s, TAPSI_SIMTCP_SYN_SENT);
    send_syn(s);
    return -EINPROGRESS;
}

/* A connect asked again: how did it go? */
static int ask_again(struct tapsi_simsock *s)
{
    if (s->tcp.state == TAPSI_SIMTCP_SYN_SENT)
        return -EALREADY;
    s->tcp.just_connected = false;
    if (s->tcp.state != TAPSI_SIMTCP_CLOSED)
        return 0;
    int error = tapsi_simsock_take_error(s);
    tapsi_simtcp_forget_early(s);
    struct tapsi_simtcp fresh = {.in = s->tcp.in, .out = s->tcp.out};
    s->tcp = fresh;
    tapsi_link_init(&s->tcp.early);
    tapsi_link_init(&s->tcp.child_link);
    tapsi_link_init(&s->tcp.children);
    tapsi_link_init(&s->tcp.accepted);
    s->remote.sa.sa_family = 0;
    if (!s->address_bound)
        s->local.sa.sa_family = 0;
    return error ? -error : -ECONNABORTED;
}

int tapsi_simtcp_connect(struct tapsi_simsock *s, const union tapsi_addr *to)
{
    union tapsi_addr inside;
    int r = tapsi_simsock_inside(s, to, &inside);
    if (r < 0)
        return r;
    if (s->tcp.just_connected)
        return ask_again(s);
    if (s->tcp.state != TAPSI_SIMTCP_CLOSED || s->remote.sa.sa_family)
        return -EISCONN;
    to_loopback(&inside);
    r = start_connect(s, &inside);
    s->tcp.just_connected = r == -EINPROGRESS;
    return r;
}

/* Listening. */

static void drop_children(struct tapsi_link *children)
{
    for (struct tapsi_link *l; (l = tapsi_list_first(children));) {
        struct tapsi_simsock *child = TAPSI_CONTAINER(l, struct tapsi_simsock, tcp.child_link);
        if (child->tcp.flow)
            tapsi_simtcp_reset(child);
        tapsi_simsock_free(child);
    }
}

static int stop_listening(struct tapsi_simsock *s)
{
    drop_children(&s->tcp.children);
    drop_children(&s->tcp.accepted);
    set_state(s, TAPSI_SIMTCP_CLOSED);
    tapsi_simsock_wake(s);
    return 0;
}

int tapsi_simtcp_listen(struct tapsi_simsock *s, int backlog)
{
    if ((s->tcp.state != TAPSI_SIMTCP_CLOSED && s->tcp.state != TAPSI_SIMTCP_LISTEN) || s->remote.sa.sa_family)
        return -EINVAL;
    if (!s->local.sa.sa_family) {
        union tapsi_addr any;
        static const uint8_t nothing[16];
        tapsi_addr_from_bytes(&any, s->family, nothing);
        int r = tapsi_simsock_bind(s, &any);
        if (r < 0)
            return r;
    }
    s->tcp.backlog = backlog < 0 || backlog > BACKLOG_MAX ? BACKLOG_MAX : backlog;
    set_state(s, TAPSI_SIMTCP_LISTEN);
    return 0;
}

int tapsi_simtcp_accept(struct tapsi_simsock *s, bool peek, struct tapsi_simsock **ret)
{
    if (s->tcp.state != TAPSI_SIMTCP_LISTEN)
        return -EINVAL;
    struct tapsi_link *first = tapsi_list_first(&s->tcp.accepted);
    if (!first)
        return -EAGAIN;
    *ret = TAPSI_CONTAINER(first, struct tapsi_simsock, tcp.child_link);
    if (!peek)
        leave_listener(*ret);
    return 0;
}

static struct tapsi_simsock *find_listener(struct tapsi_sim_host *host, const struct tapsi_simwire_way *way,
                                           unsigned index)
{
    struct tapsi_simsock_choice choice = {0};
    for (struct tapsi_link *l = host->sockets.next; l != &host->sockets; l = l->next) {
        struct tapsi_simsock *s = TAPSI_CONTAINER(l, struct tapsi_simsock, link);
        if (s->type == SOCK_STREAM && s->tcp.state == TAPSI_SIMTCP_LISTEN)
            tapsi_simsock_consider(&choice, s, tapsi_simsock_fit(s, &way->to, &way->from, index), &way->from);
    }
    return choice.best;
}

static struct tapsi_simsock *make_child(struct tapsi_simsock *listener, struct tapsi_simflow *flow)
{
    struct tapsi_simsock *child;
    if (tapsi_simsock_new(listener->host, listener->family, SOCK_STREAM, &child) < 0) {
        tapsi_sim_say_memory(listener->sim);
        return NULL;
    }
    memcpy(child->options, listener->options, sizeof child->options);
    child->linger = listener->linger;
    child->device = listener->device;
    child->local = flow->pipe[1].way.from;
    child->remote = flow->pipe[1].way.to;
    child->address_bound = true;
    child->tcp.flow = flow;
    child->tcp.side = 1;
    child->tcp.syn_time = listener->sim->now;
    child->tcp.listener = listener;
    set_state(child, TAPSI_SIMTCP_SYN_RECEIVED);
    tapsi_list_append(&listener->tcp.children, &child->tcp.child_link);
    listener->tcp.child_count++;
    flow->end[1] = child;
    flow->answered = true;
    return child;
}

/* The scope of a link-local address is the receiver's own interface. */
static void rescope(union tapsi_addr *a, unsigned index)
{
    if (a->sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(a))
        a->in6.sin6_scope_id = index;
}

static void syn_arrives(struct tapsi_simflow *flow, const struct tapsi_simsegment *segment)
{
    const struct tapsi_simwire_way *there = &flow->pipe[0].way;
    struct tapsi_simwire_way *back = &flow->pipe[1].way;
    unsigned index = segment->in->index;
    if (flow->answered)
        return; /* a SYN that was sent again while our answer is on its way */
    *back = (struct tapsi_simwire_way){
        .host = segment->in->host, .from = there->to, .to = there->from, .header = there->header};
    rescope(&back->from, index);
    rescope(&back->to, index);
    if (there->to.sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(&there->to))
        back->device = index;
    struct tapsi_simsock *listener = find_listener(segment->in->host, there, index);
    if (!listener) {
        tapsi_simflow_send(flow, 1, TAPSI_SIM_RST, (struct tapsi_simnumbers){0}, NULL, 0);
        return;
    }
    if (listener->tcp.deaf || listener->tcp.child_count > (unsigned)listener->tcp.backlog)
        return;
    struct tapsi_simsock *child = make_child(listener, flow);
    if (!child)
        return;
    child->tcp.send_edge = segment->edge;
    tapsi_simtcp_segment(child, TAPSI_SIM_SYN_ACK, NULL, 0);
    tapsi_simflow_watch(flow, 1);
}

/* Arrivals. */

static void syn_ack_arrives(struct tapsi_simsock *s, const struct tapsi_simsegment *segment)
{
    if (s->tcp.state == TAPSI_SIMTCP_SYN_SENT) {
        tapsi_sim_cancel(s->sim, &s->tcp.timer);
        set_state(s, TAPSI_SIMTCP_OPEN);
        s->tcp.rtt = s->sim->now - s->tcp.syn_time;
        s->tcp.send_edge = segment->edge;
        tapsi_simtcp_keep_alive(s);
        tapsi_simsock_wake(s);
    }
    /* Also to a repeated one: our ACK was lost. */
    tapsi_simtcp_segment(s, TAPSI_SIM_ACK, NULL, 0);
    tapsi_simtcp_push(s);
}

/* What was sent again says nothing of the time it takes. */
static void take_time(struct tapsi_simsock *s)
{
    struct tapsi_simtcp *t = &s->tcp;
    if (!t->timed_at || t->acked < t->timed_end)
        return;
    uint64_t sample = s->sim->now - t->timed_at;
    if (t->retransmitted == t->timed_retransmitted)
        t->smoothed = ((t->smoothed ? t->smoothed : t->rtt) * 7 + sample) / 8;
    t->timed_at = 0;
}

/* Every later segment acknowledges, and tells how much may be sent. */
static void take_numbers(struct tapsi_simsock *s, const struct tapsi_simsegment *segment)
{
    struct tapsi_simtcp *t = &s->tcp;
    if (t->state == TAPSI_SIMTCP_SYN_RECEIVED) {
        set_state(s, TAPSI_SIMTCP_OPEN);
        t->rtt = s->sim->now - t->syn_time;
        tapsi_simtcp_keep_alive(s);
        tapsi_list_remove(&t->child_link);
        tapsi_list_append(&t->listener->tcp.accepted, &t->child_link);
        tapsi_simsock_wake(t->listener);
    }
    if (segment->ack > t->acked)
        t->acked = segment->ack;
    take_time(s);
    if (segment->edge > t->send_edge)
        t->send_edge = segment->edge;
}

/* New data for an end where nobody will read it. */
static bool unwanted(const struct tapsi_simsock *s)
{
    return s->orphan || (s->tcp.no_read && s->tcp.fin_sent);
}

static void segment_arrives(struct tapsi_simsock *s, const struct tapsi_simsegment *segment)
{
    struct tapsi_simtcp *t = &s->tcp;
    if (t->state != TAPSI_SIMTCP_TIME_WAIT) {
        take_numbers(s, segment);
        bool carries = segment->kind == TAPSI_SIM_DATA || segment->kind == TAPSI_SIM_FIN;
        if (carries && tapsi_simtcp_is_new(s, segment)) {
            if (segment->kind == TAPSI_SIM_DATA && unwanted(s)) {
                tapsi_simtcp_reset(s);
                fail(s, ECONNRESET);
                return;
            }
            tapsi_simtcp_take(s, segment);
        }
    }
    if (segment->kind != TAPSI_SIM_ACK)
        tapsi_simtcp_segment(s, TAPSI_SIM_ACK, NULL, 0);
    if (t->state == TAPSI_SIMTCP_TIME_WAIT)
        return;
    tapsi_simtcp_push(s);
    if (t->no_space && tapsi_simtcp_poll(s) & TAPSI_IO_OUT) {
        t->no_space = false;
        tapsi_simsock_wake(s);
    }
    settle(s);
}

static void icmp_arrives(struct tapsi_simsock *s, const struct tapsi_simsegment *segment)
{
    int level = s->remote.sa.sa_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
    int option = level == IPPROTO_IPV6 ? IPV6_RECVERR : IP_RECVERR;
    if (segment->mtu) {
        tapsi_simwire_narrow(s->host, &s->remote, segment->mtu);
        tapsi_simflow_repeat(s->tcp.flow, s->tcp.side);
    } else if (s->tcp.state == TAPSI_SIMTCP_SYN_SENT) {
        fail(s, segment->err);
    } else if (tapsi_simsock_option(s, level, option)) {
        s->error = segment->err;
        tapsi_simsock_wake(s);
    } else {
        s->soft_error = segment->err;
    }
}

/* One that overtook what was sent before it is asked for again: the end is gone, and answers with a reset that fits. */
static void reset_arrives(struct tapsi_simsock *s, const struct tapsi_simsegment *segment)
{
    if (s->tcp.state == TAPSI_SIMTCP_SYN_SENT)
        fail(s, ECONNREFUSED);
    else if (segment->seq > s->tcp.received + s->tcp.fin_received)
        tapsi_simtcp_segment(s, TAPSI_SIM_ACK, NULL, 0);
    else
        fail(s, s->tcp.fin_received ? EPIPE : ECONNRESET);
}

void tapsi_simtcp_arrive(struct tapsi_simflow *flow, const struct tapsi_simsegment *segment)
{
    struct tapsi_simsock *s = flow->end[!segment->from];
    if (segment->kind == TAPSI_SIM_SYN) {
        syn_arrives(flow, segment);
        return;
    }
    if (!s) {
        if (segment->kind != TAPSI_SIM_RST && segment->kind != TAPSI_SIM_ICMP)
            tapsi_simflow_send(flow, !segment->from, TAPSI_SIM_RST, (struct tapsi_simnumbers){.seq = segment->ack},
                               NULL, 0);
        return;
    }
    if (segment->kind != TAPSI_SIM_ICMP) { /* the network speaks, not the peer */
        tapsi_simflow_heard(flow, s->tcp.side);
        tapsi_simtcp_heard(s);
    }
    switch (segment->kind) {
    case TAPSI_SIM_SYN_ACK:
        syn_ack_arrives(s, segment);
        break;
    case TAPSI_SIM_ICMP:
        icmp_arrives(s, segment);
        break;
    case TAPSI_SIM_RST:
        reset_arrives(s, segment);
        break;
    default:
        segment_arrives(s, segment);
        break;
    }
}

/* Ending. */

int tapsi_simtcp_shutdown(struct tapsi_simsock *s, int how)
{
    bool read = how == SHUT_RD || how == SHUT_RDWR, write = how == SHUT_WR || how == SHUT_RDWR;
    if (!read && !write)
        return -EINVAL;
    switch (s->tcp.state) {
    case TAPSI_SIMTCP_LISTEN:
        return read ? stop_listening(s) : 0;
    case TAPSI_SIMTCP_SYN_SENT:
        fail(s, ECONNRESET);
        return 0;
    case TAPSI_SIMTCP_OPEN:
        s->tcp.no_read |= read;
        s->tcp.fin_wanted |= write;
        tapsi_simtcp_push(s);
        tapsi_simsock_wake(s);
        return 0;
    default:
        s->tcp.no_read |= read;
        s->tcp.fin_wanted |= write;
        tapsi_simsock_wake(s);
        return -ENOTCONN;
    }
}

void tapsi_simtcp_abandon(struct tapsi_simsock *s)
{
    switch (s->tcp.state) {
    case TAPSI_SIMTCP_OPEN:
        if (s->tcp.in.length || s->linger == 0) {
            tapsi_simtcp_reset(s);
            break;
        }
        s->orphan = s->tcp.no_read = s->tcp.fin_wanted = true;
        tapsi_simtcp_push(s);
        settle(s);
        return;
    case TAPSI_SIMTCP_TIME_WAIT:
        s->orphan = true;
        return;
    default:
        break;
    }
    tapsi_simsock_free(s);
}

void tapsi_simtcp_done(struct tapsi_simsock *s)
{
    drop_children(&s->tcp.children);
    drop_children(&s->tcp.accepted);
    leave_listener(s);
    leave_flow(s);
    tapsi_simtcp_forget_early(s);
    tapsi_simbytes_done(&s->tcp.in, &s->sim->mem);
    tapsi_simbytes_done(&s->tcp.out, &s->sim->mem);
}
