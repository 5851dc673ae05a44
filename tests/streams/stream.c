/* A stream: a layer without another below it. What it is told goes to its session, and comes back in a flush. */
#include "mux.h"

#include <string.h>
#include <sys/uio.h>

static struct mux_stream *stream_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct mux_stream, layer);
}

static bool sends(const struct mux_stream *t)
{
    return t->mine || !(t->number & MUX_ONE_WAY);
}

static bool receives(const struct mux_stream *t)
{
    return !t->mine || !(t->number & MUX_ONE_WAY);
}

/* ------------------------------------------------------------------------------------------------------ up */

static const struct tapsi_slice last_slice = {.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1};

/* Both directions are over: nothing is left to come. */
static void check_end(struct mux_stream *t)
{
    bool heard = !receives(t) || t->end_told, said = !sends(t) || t->end_out;
    if (!t->layer.dead && heard && said && t->layer.state < TAPSI_LAYER_CLOSED)
        tapsi_layer_closed(&t->layer, NULL);
}

static void free_piece(struct mux_stream *t, struct mux_piece *p)
{
    tapsi_list_remove(&p->link);
    tapsi_buffer_unref(p->buffer);
    tapsi_free(&t->layer.env->loop->mem, p);
}

static void give_credit(struct mux_stream *t)
{
    if (t->unsaid < MUX_WINDOW / 2 || t->session->over)
        return;
    mux_say(t->session, MUX_CREDIT, t->number, t->unsaid);
    t->expected += t->unsaid;
    t->unsaid = 0;
}

static void deliver(struct mux_stream *t, const struct mux_piece *p)
{
    struct tapsi_slice slice = {.data = p->data, .length = p->length, .buffer = p->buffer, .ecn = -1};
    t->unsaid += (uint32_t)p->length;
    tapsi_layer_deliver(&t->layer, &slice);
}

/* Layers do not vanish within a turn, but may be dead. */
static void deliver_all(struct mux_stream *t)
{
    struct tapsi_link *link;
    while (!t->layer.dead && t->layer.state >= TAPSI_LAYER_READY && t->layer.want &&
           (link = tapsi_list_first(&t->pieces))) {
        struct mux_piece *p = TAPSI_CONTAINER(link, struct mux_piece, link);
        struct mux_piece now = *p;
        tapsi_buffer_ref(now.buffer);
        free_piece(t, p);
        deliver(t, &now);
        tapsi_buffer_unref(now.buffer);
    }
    if (t->layer.dead)
        return;
    give_credit(t);
    if (t->end_came && !t->end_told && t->layer.want && tapsi_list_empty(&t->pieces) &&
        t->layer.state >= TAPSI_LAYER_READY) {
        t->end_told = true;
        tapsi_layer_deliver(&t->layer, &last_slice);
    }
    check_end(t);
}

void mux_stream_data(struct mux_stream *t, const struct tapsi_slice *slice, const uint8_t *data, size_t length)
{
    struct mux_piece *p =
        length > t->expected || t->end_came || !receives(t) ? NULL : tapsi_alloc(&t->layer.env->loop->mem, sizeof(*p));
    if (!p) {
        mux_session_wrong(t->session, "the peer says more than it may, or there is no memory for it");
        return;
    }
    t->expected -= (uint32_t)length;
    *p = (struct mux_piece){.buffer = tapsi_buffer_ref(slice->buffer), .data = data, .length = length};
    tapsi_link_init(&p->link);
    tapsi_list_append(&t->pieces, &p->link);
    deliver_all(t);
}

void mux_stream_end(struct mux_stream *t)
{
    t->end_came = true;
    deliver_all(t);
}

void mux_stream_credit(struct mux_stream *t, uint32_t bytes)
{
    t->credit += bytes;
    mux_stream_update(t);
    tapsi_loop_flush(t->layer.env->loop, &t->session->task, 1);
}

void mux_stream_go(struct mux_stream *t)
{
    struct mux_session *s = t->session;
    int kind = (t->number & MUX_ONE_WAY) != 0;
    if (!s->greeted || s->opened[0] + s->opened[1] >= s->allowed)
        return;
    t->number |= s->opened[kind]++ << 2 | (s->server ? MUX_OF_SERVER : 0u);
    t->numbered = true;
    tapsi_layer_ready(&t->layer, &s->info);
}

static void flush(struct tapsi_layer *layer)
{
    struct mux_stream *t = stream_of(layer);
    if (layer->state == TAPSI_LAYER_STARTING && !t->session->over)
        mux_stream_go(t);
    if (!layer->dead && layer->state >= TAPSI_LAYER_READY)
        deliver_all(t);
    if (!layer->dead && !t->session->over)
        tapsi_loop_flush(layer->env->loop, &t->session->task, 1);
}

/* ---------------------------------------------------------------------------------------------------- down */

void mux_stream_update(struct mux_stream *t)
{
    if (t->layer.queued && t->credit)
        tapsi_sched_wait(&t->session->sched, &t->entry, ++t->session->orders);
    else
        tapsi_sched_leave(&t->session->sched, &t->entry);
}

static void say_end(struct mux_stream *t)
{
    if (!t->end_taken || t->end_said || !tapsi_list_empty(&t->layer.queue))
        return;
    t->end_said = true;
    if (sends(t))
        mux_say(t->session, MUX_END, t->number, 0);
}

/* Its end has been handed down with what was handed down last. */
void mux_stream_done(struct mux_stream *t)
{
    if (t->end_said && !t->end_at)
        t->end_at = t->session->emitted;
    if (t->end_at && t->end_at <= t->session->done)
        t->end_out = true;
    check_end(t);
}

bool mux_stream_complete(const struct mux_stream *t)
{
    return (!receives(t) || t->end_came) && (!sends(t) || t->end_out);
}

/* Ops whose last byte is used are done; that may end it all. */
static void finish_used(struct mux_stream *t)
{
    struct tapsi_link *link;
    while (!t->layer.dead && (link = tapsi_list_first(&t->layer.queue))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        if (op->taken < op->length)
            break;
        t->layer.queued -= op->length;
        t->end_taken = t->end_taken || op->flags & TAPSI_OP_FINAL;
        tapsi_op_finish(op, 0);
    }
    if (!t->layer.dead) {
        say_end(t);
        mux_stream_update(t);
    }
}

size_t mux_stream_take(struct mux_stream *t, uint8_t *to, size_t room)
{
    struct iovec iov[TAPSI_OP_PIECES];
    size_t taken = 0;
    room = room < t->credit ? room : t->credit;
    for (struct tapsi_link *l = t->layer.queue.next; l != &t->layer.queue && room; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        unsigned count = tapsi_op_iovec(op, iov, TAPSI_OP_PIECES);
        op->flags |= TAPSI_OP_TOUCHED;
        for (unsigned i = 0; i < count && room; i++) {
            size_t part = iov[i].iov_len < room ? iov[i].iov_len : room;
            memcpy(to + taken, iov[i].iov_base, part);
            taken += part;
            room -= part;
            op->taken += part;
        }
    }
    t->credit -= (uint32_t)taken;
    tapsi_sched_took(&t->session->sched, &t->entry, taken);
    finish_used(t);
    return taken;
}

static int start(struct tapsi_layer *layer)
{
    int err = mux_session_start(stream_of(layer)->session);
    if (!err)
        tapsi_layer_dirty(layer);
    return err;
}

static int send_op(struct tapsi_layer *layer, struct tapsi_op *op)
{
    struct mux_stream *t = stream_of(layer);
    if (layer->state != TAPSI_LAYER_READY || t->session->over || t->end_taken || !sends(t))
        return TAPS_E_CLOSED;
    int err = tapsi_layer_enqueue(layer, op);
    mux_stream_update(t);
    return err;
}

static void flush_down(struct tapsi_layer *layer)
{
    struct mux_stream *t = stream_of(layer);
    if (!t->session->over && layer->state >= TAPSI_LAYER_READY && layer->state < TAPSI_LAYER_CLOSED)
        finish_used(t); /* those without bytes */
    if (!layer->dead)
        flush(layer);
}

static void want(struct tapsi_layer *layer)
{
    tapsi_layer_dirty(layer);
}

static int close_stream(struct tapsi_layer *layer)
{
    struct mux_stream *t = stream_of(layer);
    if (t->session->over)
        return TAPS_E_STATE;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    t->end_taken = true;
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct mux_stream *t = stream_of(layer);
    struct mux_session *s = t->session;
    struct tapsi_link *link;
    bool done = (!receives(t) || t->end_came) && (!sends(t) || t->end_said);
    tapsi_list_remove(&t->link);
    tapsi_sched_leave(&s->sched, &t->entry);
    while ((link = tapsi_list_first(&t->pieces)))
        free_piece(t, TAPSI_CONTAINER(link, struct mux_piece, link));
    if (!t->mine)
        s->peers--;
    if (t->numbered && !done && layer->state != TAPSI_LAYER_CLOSED)
        mux_say(s, MUX_RESET, t->number, 0);
    if (!t->mine && !s->over)
        mux_session_limit(s, s->limit);
    mux_session_check(s, reason);
}

static void free_stream(struct tapsi_layer *layer)
{
    struct mux_stream *t = stream_of(layer);
    struct mux_session *s = t->session;
    tapsi_free(&layer->env->loop->mem, t);
    mux_session_unref(s);
}

static int set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    struct mux_stream *t = stream_of(layer);
    switch ((int)property) {
    case TAPS_CONN_PRIORITY:
        tapsi_sched_set_priority(&t->session->sched, &t->entry, (uint32_t)value->integer);
        return TAPSI_HANDLED;
    case TAPS_CONN_SCHEDULER:
        tapsi_sched_set_kind(&t->session->sched, (enum taps_scheduler)value->enumeration);
        return TAPSI_HANDLED;
    case TAPS_GROUP_CONN_LIMIT:
        mux_session_limit(t->session, value->integer);
        return TAPSI_HANDLED;
    case TAPS_MULTIPATH_POLICY:
        mux_told.policy = (enum taps_multipath_policy)value->enumeration;
        return TAPSI_HANDLED;
    default:
        return t->session->below ? tapsi_layer_set(t->session->below, property, value) : TAPSI_PASS;
    }
}

static int direction(const struct mux_stream *t)
{
    if (!(t->number & MUX_ONE_WAY))
        return TAPS_BIDIRECTIONAL;
    return t->mine ? TAPS_UNIDIRECTIONAL_SEND : TAPS_UNIDIRECTIONAL_RECEIVE;
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct mux_stream *t = stream_of(layer);
    switch (what) {
    case TAPSI_GET_BOND:
        ret->bond = &t->session->bond;
        return TAPSI_HANDLED;
    case TAPS_DIRECTION:
        ret->value = (struct taps_value){.type = TAPS_TYPE_ENUMERATION, .enumeration = direction(t)};
        return TAPSI_HANDLED;
    case TAPSI_GET_UNSENT:
        ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = tapsi_layer_unused(layer)};
        return TAPSI_HANDLED;
    case TAPSI_GET_LOCAL:
    case TAPSI_GET_REMOTE:
    case TAPSI_GET_INTERFACE:
        return mux_session_where(t->session, what, ret);
    default:
        return TAPSI_PASS;
    }
}

static int clone_stream(struct tapsi_layer *layer, const struct tapsi_clone *how, struct tapsi_layer **ret,
                        struct tapsi_error *ret_error)
{
    struct mux_session *s = stream_of(layer)->session;
    if (s->over || s->opened[0] + s->opened[1] >= MUX_NUMBERS)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "the session takes no more streams");
    if (how->direction == TAPS_UNIDIRECTIONAL_RECEIVE)
        return tapsi_error_set(ret_error, TAPS_E_NOT_CLONEABLE, "only the peer can open a stream to receive from");
    struct mux_stream *t =
        mux_stream_new(s, how->env, true, how->direction == TAPS_UNIDIRECTIONAL_SEND ? MUX_ONE_WAY : 0);
    if (!t)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a stream");
    tapsi_list_append(&s->streams, &t->link);
    *ret = &t->layer;
    return 0;
}

static int paths(struct tapsi_layer *layer, const struct tapsi_way *ways, size_t count, struct tapsi_error *ret_error)
{
    return mux_session_paths(stream_of(layer)->session, ways, count, ret_error);
}

static const struct tapsi_layer_ops layer_ops = {
    .start = start,
    .send = send_op,
    .want = want,
    .flush = flush_down,
    .close = close_stream,
    .destroy = destroy,
    .free = free_stream,
    .set = set,
    .get = get,
    .clone = clone_stream,
    .paths = paths,
};

struct mux_stream *mux_stream_new(struct mux_session *s, struct tapsi_env *env, bool mine, uint32_t number)
{
    struct mux_stream *t = tapsi_zalloc(&env->loop->mem, sizeof(*t));
    if (!t)
        return NULL;
    tapsi_layer_init(&t->layer, &layer_ops, env, NULL);
    t->layer.height = 2; /* above the session and TCP */
    t->session = s;
    s->refs++;
    t->mine = mine;
    t->number = number;
    t->credit = t->expected = MUX_WINDOW;
    tapsi_link_init(&t->link);
    tapsi_link_init(&t->pieces);
    tapsi_sched_entry_init(&t->entry, (uint32_t)env->properties->values[TAPS_CONN_PRIORITY].integer);
    if (!mine) {
        t->numbered = true;
        tapsi_layer_set_state(&t->layer, TAPSI_LAYER_READY);
    }
    return t;
}
