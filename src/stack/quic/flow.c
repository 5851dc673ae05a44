/*
 * Bytes of a stream. In: the engine's bytes are valid only while it tells them, so they are copied, into a buffer that
 * all streams of the session share while their readers keep up, else into one of the stream's own; so a reader that
 * waits pins little more than what it holds. Out: the engine reads from the ops until the peer has acknowledged them,
 * so the ring `kept` holds a reference of each; it is made large enough when the op is taken.
 */
#include <string.h>
#include <sys/uio.h>
#include "stack/quic/quic.h"

#define PIECES_FIRST 4
#define OWN_LEAST    2048
#define OP_PIECES    16

/* ----------------------------------------------------------------------------------------------------- in */

static struct quic_piece *add_piece(struct quic_stream *st, struct tapsi_buffer *buffer)
{
    struct tapsi_mem *mem = &st->session->env->loop->mem;
    if (st->piece_first && st->piece_first >= st->piece_size / 2) {
        memmove(st->pieces, st->pieces + st->piece_first, st->piece_count * sizeof(*st->pieces));
        st->piece_first = 0;
    }
    if (st->piece_first + st->piece_count == st->piece_size) {
        uint32_t size = st->piece_size ? 2 * st->piece_size : PIECES_FIRST;
        struct quic_piece *pieces = tapsi_resize(mem, st->pieces, size * sizeof(*pieces));
        if (!pieces)
            return NULL;
        st->pieces = pieces;
        st->piece_size = size;
    }
    struct quic_piece *piece = &st->pieces[st->piece_first + st->piece_count++];
    *piece = (struct quic_piece){.buffer = buffer};
    return piece;
}

static struct quic_piece *last_piece(const struct quic_stream *st)
{
    return st->piece_count ? &st->pieces[st->piece_first + st->piece_count - 1] : NULL;
}

/* With at least one byte of room; the session's reference. */
static struct tapsi_buffer *shared_buffer(struct quic_session *s)
{
    if (s->plain && s->plain->refs == 1)
        s->plain->used = 0;
    if (s->plain && s->plain->used == s->plain->size) {
        tapsi_buffer_unref(s->plain);
        s->plain = NULL;
    }
    if (!s->plain)
        s->plain = tapsi_buffer_get(&s->env->loop->buffers);
    if (s->plain && s->plain->refs == 1)
        s->plain->used = 0;
    return s->plain;
}

/* The stream's own last one, or a new one: each is as large as all that is held already. */
static struct tapsi_buffer *own_buffer(struct quic_stream *st, size_t length)
{
    const struct quic_piece *last = last_piece(st);
    if (last && last->buffer != st->session->plain && last->buffer->refs == 1 &&
        last->data + last->length == last->buffer->data + last->buffer->used && last->buffer->used < last->buffer->size)
        return tapsi_buffer_ref(last->buffer);
    size_t size = st->held > OWN_LEAST ? st->held : OWN_LEAST;
    if (size > TAPSI_READ_SIZE)
        size = TAPSI_READ_SIZE;
    return tapsi_buffer_new(&st->session->env->loop->mem, size > length ? size : length);
}

/* Appends to `buffer` as much as there is room for. */
static size_t append(struct quic_stream *st, struct tapsi_buffer *buffer, const uint8_t *data, size_t length,
                     bool early)
{
    struct quic_piece *last = last_piece(st);
    uint8_t *to = buffer->data + buffer->used;
    size_t room = buffer->size - buffer->used, part = length < room ? length : room;
    if (!last || last->buffer != buffer || last->data + last->length != to || last->early != early) {
        last = add_piece(st, buffer);
        if (!last)
            return 0;
        tapsi_buffer_ref(buffer);
        last->data = to;
        last->early = early;
    }
    memcpy(to, data, part);
    buffer->used += (uint32_t)part;
    last->length += part;
    st->held += part;
    return part;
}

int tapsi_quic_keep(struct quic_stream *st, const uint8_t *data, size_t length, bool early)
{
    bool reads = st->layer.want > st->held;
    while (length) {
        struct tapsi_buffer *buffer = reads ? shared_buffer(st->session) : own_buffer(st, length);
        size_t part = buffer ? append(st, buffer, data, length, early) : 0;
        if (!reads)
            tapsi_buffer_unref(buffer);
        if (!part)
            return TAPS_E_MEMORY;
        data += part;
        length -= part;
    }
    return 0;
}

void tapsi_quic_drop_held(struct quic_stream *st)
{
    for (uint32_t i = 0; i < st->piece_count; i++)
        tapsi_buffer_unref(st->pieces[st->piece_first + i].buffer);
    st->session->held -= st->held;
    st->piece_first = st->piece_count = 0;
    st->held = 0;
    tapsi_quic_give_back(st->session);
}

void tapsi_quic_give_back(struct quic_session *s)
{
    if (s->held > QUIC_BUDGET || !s->owed)
        return;
    if (s->conn) {
        ngtcp2_conn_extend_max_offset(s->conn, s->owed);
        tapsi_quic_dirty(s);
    }
    s->owed = 0;
}

/* What the reader has taken, it may be sent again. */
static void widen(struct quic_stream *st, size_t length)
{
    struct quic_session *s = st->session;
    st->held -= length;
    st->received += length;
    s->held -= length;
    if (!s->conn)
        return;
    if (st->engaged && !st->engine_closed && !st->fin_received)
        ngtcp2_conn_extend_max_stream_offset(s->conn, st->id, length);
    tapsi_quic_give_back(s);
}

static bool is_last(const struct quic_stream *st)
{
    return st->fin_received && st->piece_count == 0;
}

/* The first piece, off the list: the reference is the caller's. */
static struct quic_piece take_piece(struct quic_stream *st)
{
    struct quic_piece piece = st->pieces[st->piece_first];
    st->piece_first = --st->piece_count ? st->piece_first + 1 : 0;
    return piece;
}

static void deliver(struct quic_stream *st)
{
    while (st->piece_count && st->layer.want && !st->layer.dead) {
        struct quic_piece piece = take_piece(st);
        widen(st, piece.length);
        struct tapsi_slice slice = {.data = piece.data, .length = piece.length, .buffer = piece.buffer, .ecn = -1};
        slice.flags = piece.early ? TAPSI_SLICE_EARLY : 0;
        if (is_last(st)) {
            slice.flags |= TAPSI_SLICE_END | TAPSI_SLICE_FINAL;
            st->fin_told = true;
        }
        tapsi_layer_deliver(&st->layer, &slice);
        tapsi_buffer_unref(piece.buffer);
    }
}

static void tell_final(struct quic_stream *st)
{
    if (!is_last(st) || st->fin_told || !st->layer.want)
        return;
    st->fin_told = true;
    tapsi_layer_deliver(&st->layer, &(struct tapsi_slice){.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1});
}

/* ---------------------------------------------------------------------------------------------------- out */

int tapsi_quic_reserve(struct quic_stream *st)
{
    uint32_t need = st->kept_count + st->waiting + 1;
    if (need <= st->kept_size)
        return 0;
    uint32_t size = st->kept_size ? 2 * st->kept_size : PIECES_FIRST;
    struct tapsi_op **ring = tapsi_calloc(&st->session->env->loop->mem, size, sizeof(struct tapsi_op *));
    if (!ring)
        return TAPS_E_MEMORY;
    for (uint32_t i = 0; i < st->kept_count; i++)
        ring[i] = st->kept[(st->kept_first + i) % st->kept_size];
    tapsi_free(&st->session->env->loop->mem, st->kept);
    st->kept = ring;
    st->kept_size = size;
    st->kept_first = 0;
    return 0;
}

static void hold(struct quic_stream *st, struct tapsi_op *op)
{
    st->kept[(st->kept_first + st->kept_count++) % st->kept_size] = tapsi_op_ref(op);
    st->waiting--;
}

static void let_go(struct quic_stream *st)
{
    struct tapsi_op *op = st->kept[st->kept_first];
    st->kept_first = (st->kept_first + 1) % st->kept_size;
    st->kept_count--;
    st->kept_acked = 0;
    tapsi_op_unref(op);
}

void tapsi_quic_drop_kept(struct quic_stream *st)
{
    while (st->kept_count)
        let_go(st);
    st->session->unacked -= st->sent - st->acked;
    st->acked = st->sent;
    st->acked_news = 0;
}

static void take_acked(struct quic_stream *st)
{
    if (st->acked_news && st->closing && !st->layer.dead && st->layer.state == TAPSI_LAYER_CLOSING)
        tapsi_quic_stream_wait(st);
    while (st->acked_news && st->kept_count) {
        size_t rest = st->kept[st->kept_first]->length - st->kept_acked;
        size_t part = st->acked_news < rest ? (size_t)st->acked_news : rest;
        st->acked_news -= part;
        st->kept_acked += part;
        if (part == rest)
            let_go(st);
    }
}

size_t tapsi_quic_gather(const struct quic_stream *st, ngtcp2_vec *vec, size_t most, size_t *ret_bytes, bool *ret_fin)
{
    const struct tapsi_link *head = &st->layer.queue;
    size_t count = 0, bytes = 0;
    *ret_fin = st->closing;
    for (struct tapsi_link *l = head->next; l != head; l = l->next) {
        const struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        struct iovec iov[OP_PIECES];
        size_t room = most - count;
        unsigned filled = tapsi_op_iovec(op, iov, room < OP_PIECES ? (unsigned)room : OP_PIECES);
        size_t before = bytes;
        for (unsigned i = 0; i < filled; i++) {
            vec[count++] = (ngtcp2_vec){iov[i].iov_base, iov[i].iov_len};
            bytes += iov[i].iov_len;
        }
        bool whole = bytes - before == op->length - op->taken;
        if (op->flags & TAPSI_OP_FINAL || !whole || bytes >= tapsi_quic_packet_most(st->session) || count == most) {
            *ret_fin = whole && (op->flags & TAPSI_OP_FINAL || (st->closing && l->next == head));
            break;
        }
    }
    *ret_bytes = bytes;
    return count;
}

void tapsi_quic_advance(struct quic_stream *st, size_t count, bool fin)
{
    struct tapsi_link *link;
    struct quic_session *s = st->session;
    if (count && !s->unacked)
        s->progress = tapsi_loop_now(s->env->loop);
    st->sent += count;
    s->unacked += count;
    while ((link = tapsi_list_first(&st->layer.queue))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        size_t rest = op->length - op->taken, part = count < rest ? count : rest;
        if (rest && !part)
            break;
        op->flags |= TAPSI_OP_TOUCHED;
        if (op->taken == 0 && op->length) /* one without bytes may be looked at twice */
            hold(st, op);
        op->taken += part;
        count -= part;
        if (op->taken < op->length || (op->flags & TAPSI_OP_FINAL && !fin))
            break;
        st->waiting -= !op->length;
        st->layer.queued -= op->length;
        tapsi_list_remove(link);
        tapsi_list_append(&st->finished, link);
    }
    if (fin)
        st->fin_sent = true;
    tapsi_quic_stream_news(st);
}

/* Before the stream is ready they are early data, of which nothing is known yet. */
static void finish_ops(struct quic_stream *st)
{
    struct tapsi_link *link;
    while (!st->layer.dead && st->layer.state >= TAPSI_LAYER_READY && (link = tapsi_list_first(&st->finished)))
        tapsi_op_finish(TAPSI_CONTAINER(link, struct tapsi_op, link), 0);
}

/* ---------------------------------------------------------------------------------------------------- ends */

static void close_up(struct quic_stream *st, const struct tapsi_error *error)
{
    tapsi_timer_cancel(st->layer.env->loop, &st->patience);
    finish_ops(st);
    if (st->layer.state >= TAPSI_LAYER_READY)
        tapsi_layer_fail_queue(&st->layer, error ? error->pub.code : TAPS_E_CLOSED);
    tapsi_layer_closed(&st->layer, error);
}

static void tell_reset(struct quic_stream *st)
{
    struct tapsi_error error;
    tapsi_error_native(&error, TAPS_E_ABORTED, TAPS_DOMAIN_QUIC_APPLICATION, tapsi_quic_native(st->reset_code),
                       "%s reset the stream with code %llu", st->session->hs.peer, (unsigned long long)st->reset_code);
    tapsi_quic_drop_held(st);
    close_up(st, &error);
}

/* The peer takes no more. */
static void tell_stop(struct quic_stream *st)
{
    if (st->stop_told)
        return;
    st->stop_told = true;
    tapsi_layer_event(&st->layer, TAPSI_EVENT_PEER_STOP, NULL);
    if (!st->layer.dead)
        tapsi_layer_fail_queue(&st->layer, TAPS_E_CLOSED);
}

/* Was all that this end had to say said, and all of the peer's heard? */
static bool both_said(const struct quic_stream *st)
{
    return (st->fin_sent || !tapsi_quic_stream_sends(st)) && (st->fin_received || !tapsi_quic_stream_receives(st));
}

static void tell_cut(struct quic_stream *st)
{
    struct tapsi_error error;
    tapsi_error_set(&error, TAPS_E_ABORTED, "%s closed the QUIC connection before the stream had ended",
                    st->session->hs.peer);
    close_up(st, &error);
}

static bool is_heard(const struct quic_stream *st)
{
    return st->piece_count == 0 && (st->fin_told || !tapsi_quic_stream_receives(st));
}

static void tell_over(struct quic_stream *st)
{
    struct tapsi_error unsaid;
    const struct tapsi_error *error = tapsi_quic_why(st->session, &unsaid);
    if (error || !both_said(st)) {
        if (error)
            close_up(st, error);
        else
            tell_cut(st);
    } else if (is_heard(st)) {
        close_up(st, NULL);
    }
}

/* The engine has forgotten it, both ways. */
static void tell_forgotten(struct quic_stream *st)
{
    struct tapsi_error error;
    if (!is_heard(st) && st->fin_received)
        return;
    if (st->fin_sent || !tapsi_quic_stream_sends(st)) {
        close_up(st, NULL);
        return;
    }
    tapsi_error_set(&error, TAPS_E_ABORTED, "%s stopped taking what was sent", st->session->hs.peer);
    close_up(st, &error);
}

static void tell(struct quic_stream *st)
{
    struct tapsi_layer *layer = &st->layer;
    finish_ops(st);
    if (!layer->dead && st->moved) {
        st->moved = false;
        tapsi_layer_event(layer, TAPSI_EVENT_PATH, NULL);
    }
    if (!layer->dead && st->warned) {
        st->warned = false;
        tapsi_layer_event(layer, TAPSI_EVENT_SOFT_ERROR, st->session->warning);
    }
    if (!layer->dead && st->stopped)
        tell_stop(st);
    if (layer->dead)
        return;
    if (st->reset) {
        tell_reset(st);
        return;
    }
    if (layer->state >= TAPSI_LAYER_READY) {
        deliver(st);
        if (!layer->dead && tapsi_quic_stream_receives(st))
            tell_final(st);
    }
    if (!layer->dead && st->closing && !tapsi_quic_stream_sends(st))
        close_up(st, NULL); /* there is nothing to wait for: destroyed, it tells the peer to stop */
    else if (!layer->dead && st->session->state == QUIC_OVER)
        tell_over(st);
    else if (!layer->dead && st->engine_closed)
        tell_forgotten(st);
}

/* 0.12 never closes a stream that only the peer may write: it is over when all of it came. */
static bool is_quietly_over(const struct quic_stream *st)
{
    return !QUIC_NGTCP2_1 && st->remote && st->uni && st->engaged && !st->engine_closed &&
           (st->fin_received || st->reset);
}

void tapsi_quic_stream_tell(struct quic_stream *st)
{
    take_acked(st);
    if (is_quietly_over(st)) {
        if (st->session->conn)
            ngtcp2_conn_set_stream_user_data(st->session->conn, st->id, NULL);
        st->engine_closed = true;
    }
    if (st->layered && !st->layer.dead && st->layer.state > TAPSI_LAYER_NEW && st->layer.state < TAPSI_LAYER_CLOSED)
        tell(st);
    if (st->engine_closed && st->engaged)
        tapsi_quic_stream_release(st);
}
