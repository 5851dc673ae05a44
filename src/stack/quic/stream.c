/*
 * A stream: a layer at the bottom, one of several on a session.
 *
 * NEW -start-> STARTING (the session shakes hands, or the peer allows no more streams now) -> READY -> CLOSING ->
 * CLOSED. What the peer opens is born READY. A stream is shown to the peer with its first byte or its end and not
 * before: 0.12 of the engine aborts when an empty frame is lost.
 *
 * Ends. A FINAL op, or close, becomes FIN; a stream is closed when both ends have said all, and everything is
 * acknowledged, which is when the engine forgets it. After close what still comes is drained; a peer that does not end
 * within the close timeout is told to stop. Destroyed before its end it is reset, both ways.
 *
 * The memory has two holders, `layered` and `engaged`: the engine reads what was sent until it is acknowledged, and a
 * destroyed stream whose ends are both said needs no reset for that.
 */
#include <string.h>
#include "stack/quic/quic.h"

static const struct tapsi_layer_ops layer_ops;

static struct quic_stream *of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct quic_stream, layer);
}

bool tapsi_quic_stream_receives(const struct quic_stream *st)
{
    return !st->uni || st->remote;
}

bool tapsi_quic_stream_sends(const struct quic_stream *st)
{
    return !st->uni || !st->remote;
}

/* ------------------------------------------------------------------------------------------------ its session */

void tapsi_quic_stream_news(struct quic_stream *st)
{
    if (!tapsi_link_on_list(&st->news))
        tapsi_list_append(&st->session->news, &st->news);
    tapsi_quic_dirty(st->session);
}

bool tapsi_quic_stream_can_send(const struct quic_stream *st)
{
    if (!st->engaged || st->engine_closed || st->fin_sent || st->stopped || st->blocked || st->id < 0 ||
        !tapsi_quic_stream_sends(st))
        return false;
    return !tapsi_list_empty(&st->layer.queue) || st->closing;
}

void tapsi_quic_stream_queue(struct quic_stream *st)
{
    struct quic_session *s = st->session;
    if (!tapsi_quic_stream_can_send(st)) {
        tapsi_sched_leave(&s->sending, &st->entry);
        return;
    }
    struct tapsi_link *first = tapsi_list_first(&st->layer.queue);
    tapsi_sched_wait(&s->sending, &st->entry, first ? TAPSI_CONTAINER(first, struct tapsi_op, link)->order : s->order);
    tapsi_quic_dirty(s);
}

int tapsi_quic_stream_open(struct quic_stream *st)
{
    struct quic_session *s = st->session;
    int r = st->uni ? ngtcp2_conn_open_uni_stream(s->conn, &st->id, st)
                    : ngtcp2_conn_open_bidi_stream(s->conn, &st->id, st);
    if (r == 0)
        st->engaged = true;
    return r;
}

void tapsi_quic_allow_streams(struct quic_session *s)
{
    if (!s->conn)
        return;
    ngtcp2_conn_extend_max_streams_bidi(s->conn, s->streams_over[0]);
    ngtcp2_conn_extend_max_streams_uni(s->conn, s->streams_over[1]);
    for (int uni = 0; uni < 2; uni++) {
        s->streams_granted[uni] += s->streams_over[uni];
        s->streams_over[uni] = 0;
    }
    s->streams_due = 0;
    tapsi_quic_dirty(s);
}

#define TELL_WITHIN (25 * TAPSI_MS)

/* A stream of the peer's is over, for which it may have another. A packet for each would cost as much as a short
   stream, so it is told of several, or a little later; but at once when it may have fewer others than that. */
static void allow_another(struct quic_session *s, bool uni)
{
    struct tapsi_loop *loop = s->env->loop;
    uint64_t left = s->streams_granted[uni] - s->streams_used[uni];
    if (++s->streams_over[uni] >= left || 4 * (uint64_t)s->streams_over[uni] >= s->streams_allowed) {
        tapsi_quic_allow_streams(s);
        return;
    }
    if (!s->streams_due)
        s->streams_due = tapsi_loop_now(loop) + TELL_WITHIN;
    if (!tapsi_timer_running(&s->timer) || s->timer.node.key > s->streams_due)
        tapsi_timer_start_at(loop, &s->timer, s->streams_due);
}

static void free_if_unheld(struct quic_stream *st)
{
    struct quic_session *s = st->session;
    struct tapsi_mem *mem = &s->env->loop->mem;
    if (st->layered || st->engaged)
        return;
    bool widen = st->remote && s->conn;
    tapsi_quic_drop_kept(st);
    tapsi_quic_drop_held(st);
    tapsi_list_remove(&st->link);
    tapsi_list_remove(&st->news);
    tapsi_list_remove(&st->turn);
    tapsi_sched_leave(&s->sending, &st->entry);
    tapsi_free(mem, st->pieces);
    tapsi_free(mem, st->kept);
    if (widen)
        allow_another(s, st->uni);
    tapsi_free(mem, st);
    tapsi_quic_unref(s);
}

void tapsi_quic_stream_release(struct quic_stream *st)
{
    st->engaged = false;
    tapsi_sched_leave(&st->session->sending, &st->entry);
    tapsi_quic_drop_kept(st);
    free_if_unheld(st);
}

void tapsi_quic_stream_begin_again(struct quic_stream *st)
{
    struct tapsi_layer *layer = &st->layer;
    if (!st->engaged)
        return;
    if (!st->layered) {
        tapsi_quic_stream_release(st);
        return;
    }
    st->engaged = st->fin_sent = st->blocked = false;
    st->id = -1;
    tapsi_sched_leave(&st->session->sending, &st->entry);
    tapsi_quic_drop_kept(st);
    st->sent = st->acked = 0;
    tapsi_list_splice(&st->finished, &layer->queue);
    tapsi_list_splice(&layer->queue, &st->finished);
    st->waiting = 0;
    layer->queued = 0;
    for (struct tapsi_link *l = layer->queue.next; l != &layer->queue; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        op->flags = (uint16_t)(op->flags & ~TAPSI_OP_TOUCHED);
        op->taken = 0;
        layer->queued += op->length;
        st->waiting++;
    }
}

/* ------------------------------------------------------------------------------------------------- patience */

/* The peer has not ended in time, or has acknowledged nothing more. */
static void on_patience(struct tapsi_timer *timer)
{
    struct quic_stream *st = TAPSI_CONTAINER(timer, struct quic_stream, patience);
    struct tapsi_error error;
    if (st->fin_sent && st->acked == st->sent) {
        tapsi_layer_closed(&st->layer, NULL);
        return;
    }
    tapsi_error_set(&error, TAPS_E_TIMEOUT, "the peer took nothing more of what was sent before Close");
    tapsi_layer_fail_queue(&st->layer, TAPS_E_TIMEOUT);
    tapsi_layer_closed(&st->layer, &error);
}

void tapsi_quic_stream_wait(struct quic_stream *st)
{
    struct tapsi_loop *loop = st->layer.env->loop;
    double seconds = st->close_timeout;
    if (seconds >= 0 && seconds < 1e9)
        tapsi_timer_start(loop, &st->patience, (uint64_t)(seconds * (double)TAPSI_S) + 1);
}

/* ----------------------------------------------------------------------------------------------- down-calls */

static int start(struct tapsi_layer *layer)
{
    struct quic_stream *st = of(layer);
    struct quic_session *s = st->session;
    tapsi_list_append(&s->opening[st->uni], &st->turn);
    s->more_streams = true;
    tapsi_quic_start(s);
    tapsi_quic_stream_news(st);
    return 0;
}

/* Before it starts, early data. */
static bool may_send(struct quic_stream *st, const struct tapsi_op *op)
{
    if (st->layer.state == TAPSI_LAYER_NEW)
        return op->flags & TAPSI_OP_EARLY && op->length && op->length <= tapsi_quic_early_room(st);
    return st->layer.state == TAPSI_LAYER_READY;
}

static int send_op(struct tapsi_layer *layer, struct tapsi_op *op)
{
    struct quic_stream *st = of(layer);
    if (st->final_taken || st->stopped || st->closing || !tapsi_quic_stream_sends(st) || !may_send(st, op) ||
        st->session->state == QUIC_OVER)
        return TAPS_E_CLOSED;
    if (tapsi_list_empty(&layer->queue))
        st->waiting = 0;
    int err = tapsi_quic_reserve(st);
    if (err)
        return err;
    bool empty = !op->length && !(op->flags & TAPSI_OP_FINAL) && tapsi_list_empty(&layer->queue);
    st->final_taken = op->flags & TAPSI_OP_FINAL;
    if (layer->state == TAPSI_LAYER_NEW)
        st->early = st->session->early = true;
    tapsi_list_append(empty ? &st->finished : &layer->queue, &op->link);
    op->order = ++st->session->order;
    if (empty) {
        tapsi_quic_stream_news(st);
        return 0;
    }
    layer->queued += op->length;
    st->waiting++;
    if (!st->entry.waits)
        tapsi_quic_stream_queue(st);
    return 0;
}

static void want(struct tapsi_layer *layer)
{
    struct quic_stream *st = of(layer);
    if (st->piece_count || st->fin_received)
        tapsi_quic_stream_news(st);
}

/* An op of the queue has expired, which close may have waited for. */
static void flush(struct tapsi_layer *layer)
{
    struct quic_stream *st = of(layer);
    if (st->engaged)
        tapsi_quic_stream_queue(st);
}

static int close_stream(struct tapsi_layer *layer)
{
    struct quic_stream *st = of(layer);
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    st->closing = true;
    tapsi_quic_stream_queue(st);
    tapsi_quic_stream_news(st);
    tapsi_quic_stream_wait(st);
    return 0;
}

/* The engine goes on alone if all was said, else it is told. */
static void leave_engine(struct quic_stream *st, int reason)
{
    ngtcp2_conn *conn = st->session->conn;
    bool sent = st->fin_sent || !tapsi_quic_stream_sends(st);
    bool heard = st->fin_received || !tapsi_quic_stream_receives(st);
    if (!st->engaged || st->engine_closed || !conn)
        return;
    if (reason || (!sent && !heard))
        ngtcp2_conn_shutdown_stream(conn, 0, st->id, 0);
    else if (!sent)
        ngtcp2_conn_shutdown_stream_write(conn, 0, st->id, 0);
    else if (!heard)
        ngtcp2_conn_shutdown_stream_read(conn, 0, st->id, 0);
    tapsi_quic_dirty(st->session);
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct quic_stream *st = of(layer);
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&st->finished)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    tapsi_timer_done(layer->env->loop, &st->patience);
    tapsi_list_remove(&st->turn);
    tapsi_sched_leave(&st->session->sending, &st->entry);
    tapsi_quic_drop_held(st);
    leave_engine(st, reason);
    tapsi_quic_layer_gone(st->session);
}

static void free_stream(struct tapsi_layer *layer)
{
    struct quic_stream *st = of(layer);
    st->layered = false;
    free_if_unheld(st);
}

/* -------------------------------------------------------------------------------------------------- properties */

static int set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    struct quic_stream *st = of(layer);
    struct quic_session *s = st->session;
    switch (property) {
    case TAPS_CONN_PRIORITY:
        tapsi_sched_set_priority(&s->sending, &st->entry,
                                 value->integer < UINT32_MAX ? (uint32_t)value->integer : UINT32_MAX);
        return TAPSI_HANDLED;
    case TAPS_CLOSE_TIMEOUT:
        st->close_timeout = value->number;
        tapsi_timer_cancel(layer->env->loop, &st->patience);
        if (layer->state == TAPSI_LAYER_CLOSING)
            tapsi_quic_stream_wait(st);
        return TAPSI_HANDLED;
    default:
        return tapsi_quic_set(s, property, value);
    }
}

struct tapsi_ready_info tapsi_quic_stream_info(const struct quic_stream *st)
{
    const struct quic_session *s = st->session;
    struct tapsi_ready_info info = tapsi_handshake_info(&s->hs);
    info.early = st->early && (st->remote || s->early_taken);
    return info;
}

static int give_ready(const struct quic_stream *st, union tapsi_got *ret)
{
    if (!tapsi_quic_is_agreed(st->session))
        return TAPSI_PASS;
    ret->ready = tapsi_quic_stream_info(st);
    return TAPSI_HANDLED;
}

static int give_integer(union tapsi_got *ret, uint64_t value)
{
    ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = value};
    return TAPSI_HANDLED;
}

static int direction_of(const struct quic_stream *st)
{
    if (!st->uni)
        return TAPS_BIDIRECTIONAL;
    return st->remote ? TAPS_UNIDIRECTIONAL_RECEIVE : TAPS_UNIDIRECTIONAL_SEND;
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct quic_stream *st = of(layer);
    switch (what) {
    case TAPSI_GET_UNSENT:
        return give_integer(ret, tapsi_layer_unused(layer));
    case TAPSI_GET_UNACKED:
        return give_integer(ret, st->sent - st->acked);
    case TAPSI_GET_READY:
        return give_ready(st, ret);
    case TAPSI_GET_EARLY_ROOM:
        return give_integer(ret, tapsi_quic_early_room(st));
    case TAPS_DIRECTION:
        ret->value = (struct taps_value){.type = TAPS_TYPE_ENUMERATION, .enumeration = direction_of(st)};
        return TAPSI_HANDLED;
    default:
        return tapsi_quic_get(st->session, what, ret);
    }
}

static void statistics(struct tapsi_layer *layer, uint64_t *values)
{
    const struct quic_stream *st = of(layer);
    values[TAPS_BYTES_SENT] = st->sent;
    values[TAPS_BYTES_RECEIVED] = st->received;
    values[TAPS_BYTES_UNACKNOWLEDGED] = st->sent - st->acked;
    if (st->session->conn && st->engaged && !st->engine_closed)
        values[TAPS_RETRANSMISSIONS] = ngtcp2_conn_get_stream_loss_count(st->session->conn, st->id);
    tapsi_quic_statistics(st->session, values);
}

static int clone_stream(struct tapsi_layer *layer, const struct tapsi_clone *how, struct tapsi_layer **ret,
                        struct tapsi_error *ret_error)
{
    struct quic_session *s = of(layer)->session;
    if (s->state == QUIC_OVER || s->leaving)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "the QUIC connection is over");
    if (how->direction == TAPS_UNIDIRECTIONAL_RECEIVE)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "only the peer can open a stream to receive from");
    struct quic_stream *st = tapsi_quic_stream_new(s, how->env, how->direction == TAPS_UNIDIRECTIONAL_SEND);
    if (!st)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a QUIC stream");
    *ret = &st->layer;
    return 0;
}

static int take_paths(struct tapsi_layer *layer, const struct tapsi_way *ways, size_t count,
                      struct tapsi_error *ret_error)
{
    return tapsi_quic_paths(of(layer)->session, ways, count, ret_error);
}

static const struct tapsi_layer_ops layer_ops = {
    .start = start,
    .send = send_op,
    .want = want,
    .flush = flush,
    .close = close_stream,
    .destroy = destroy,
    .free = free_stream,
    .set = set,
    .get = get,
    .statistics = statistics,
    .clone = clone_stream,
    .paths = take_paths,
};

struct quic_stream *tapsi_quic_stream_new(struct quic_session *s, struct tapsi_env *env, bool uni)
{
    struct quic_stream *st = tapsi_zalloc(&env->loop->mem, sizeof(*st));
    if (!st)
        return NULL;
    if (tapsi_timer_init(env->loop, &st->patience, on_patience)) {
        tapsi_free(&env->loop->mem, st);
        return NULL;
    }
    tapsi_layer_init(&st->layer, &layer_ops, env, NULL);
    st->layer.role = (uint8_t)s->role;
    st->session = tapsi_quic_ref(s);
    st->id = -1;
    st->uni = uni;
    st->layered = true;
    st->close_timeout = env->properties->values[TAPS_CLOSE_TIMEOUT].number;
    tapsi_sched_entry_init(&st->entry, (uint32_t)env->properties->values[TAPS_CONN_PRIORITY].integer);
    tapsi_link_init(&st->news);
    tapsi_link_init(&st->turn);
    tapsi_link_init(&st->finished);
    tapsi_link_init(&st->link);
    tapsi_list_append(&s->streams, &st->link);
    s->layers++;
    return st;
}
