/* Records: bytes into and out of GnuTLS. */
#include "stack/tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* ---------------------------------------------------------------------------------------- the engine's hands */

static bool append(struct tls *tls, const uint8_t *bytes, size_t count)
{
    while (count) {
        if (tls->out && tls->out->used == tls->out->size)
            tapsi_tls_emit(tls);
        if (!tls->out && !tls->broken) {
            tls->out = tapsi_buffer_get(&tls->layer.env->loop->buffers);
            tls->broken = tls->out ? 0 : TAPS_E_MEMORY;
        }
        if (tls->broken)
            return false;
        size_t room = tls->out->size - tls->out->used, part = count < room ? count : room;
        memcpy(tls->out->data + tls->out->used, bytes, part);
        tls->out->used += (uint32_t)part;
        bytes += part;
        count -= part;
    }
    return true;
}

ssize_t tapsi_tls_push(gnutls_transport_ptr_t ptr, const giovec_t *iov, int count)
{
    struct tls *tls = ptr;
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        if (!append(tls, iov[i].iov_base, iov[i].iov_len)) {
            gnutls_transport_set_errno(tls->hs.session, EPIPE);
            return -1;
        }
        total += (ssize_t)iov[i].iov_len;
    }
    return total;
}

ssize_t tapsi_tls_pull(gnutls_transport_ptr_t ptr, void *to, size_t room)
{
    struct tls *tls = ptr;
    if (tls->in_length == 0) {
        tls->starved = true;
        gnutls_transport_set_errno(tls->hs.session, EAGAIN);
        return -1;
    }
    size_t part = room < tls->in_length ? room : tls->in_length;
    memcpy(to, tls->in, part);
    tls->in += part;
    tls->in_length -= part;
    return (ssize_t)part;
}

int tapsi_tls_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
    (void)ms;
    const struct tls *tls = ptr;
    return tls->in_length > 0;
}

/* -------------------------------------------------------------------------------------------------- input */

/* The reference keeps the loop from reusing the buffer for the plain text. */
void tapsi_tls_feed(struct tls *tls, const struct tapsi_slice *slice)
{
    assert(tls->in_length == 0);
    tapsi_buffer_unref(tls->in_buffer);
    tls->in_buffer = tapsi_buffer_ref(slice->buffer);
    tls->in = slice->data;
    tls->in_length = slice->length;
}

void tapsi_tls_trim(struct tls *tls)
{
    struct tapsi_buffer *old = tls->in_buffer, *small = NULL;
    if (!old)
        return;
    if (tls->in_length) {
        if (tls->in_length < old->size / 4)
            small = tapsi_buffer_new(&tls->layer.env->loop->mem, tls->in_length);
        if (!small)
            return;
        tls->in = memcpy(small->data, tls->in, tls->in_length);
    }
    tls->in_buffer = small;
    tapsi_buffer_unref(old);
}

/* The peer may not change the keys' owner in mid-stream. Asked twice, it is no mistake. */
static bool refuse_renegotiation(struct tls *tls)
{
    if (tls->refused) {
        tapsi_error_set(tapsi_tls_error(tls), TAPS_E_TLS, "%s insists on renegotiation", tls->hs.peer);
        tapsi_tls_fail(tls, GNUTLS_A_NO_RENEGOTIATION);
        return false;
    }
    tls->refused = true;
    gnutls_alert_send(tls->hs.session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
    return true;
}

/* What GnuTLS says when it has no data. True: try again, there is more input. */
static bool without_data(struct tls *tls, ssize_t r)
{
    switch (r) {
    case 0:
        tls->peer_ended = true;
        tls->in_length = 0;
        return false;
    case GNUTLS_E_AGAIN: /* also said after tickets and key updates, with input left */
    case GNUTLS_E_INTERRUPTED:
        return !tls->starved;
    case GNUTLS_E_WARNING_ALERT_RECEIVED:
        return true;
    case GNUTLS_E_REHANDSHAKE:
        return refuse_renegotiation(tls);
    default:
        tapsi_tls_fail_record(tls, (int)r);
        return false;
    }
}

static struct tapsi_buffer *plain_buffer(struct tls *tls)
{
    struct tapsi_buffer *b = tapsi_loop_read_buffer(tls->layer.env->loop, TLS_RECORD_MAX);
    if (!b) {
        tapsi_error_set(tapsi_tls_error(tls), TAPS_E_MEMORY, "no memory to decrypt what %s sent", tls->hs.peer);
        tapsi_tls_fail(tls, GNUTLS_A_INTERNAL_ERROR);
    }
    return b;
}

/* The plain bytes lie behind `used`. The reference outlives a sink that reads more in the meantime. */
static void deliver(struct tls *tls, struct tapsi_buffer *b, size_t length, unsigned flags)
{
    struct tapsi_slice slice = {.data = b->data + b->used, .length = length, .buffer = b, .flags = flags, .ecn = -1};
    b->used += (uint32_t)length;
    tapsi_buffer_ref(b);
    tapsi_layer_deliver(&tls->layer, &slice);
    tapsi_buffer_unref(b);
}

/* GnuTLS pulls record by record and keeps nothing it did not need, so after data this needs no call that finds nothing.
 */
static bool has_input(const struct tls *tls)
{
    return !tls->layer.dead && (tls->in_length || gnutls_record_check_pending(tls->hs.session));
}

static bool read_record(struct tls *tls)
{
    struct tapsi_buffer *b = plain_buffer(tls);
    if (!b)
        return false;
    tls->starved = false;
    ssize_t r = gnutls_record_recv(tls->hs.session, b->data + b->used, TLS_RECORD_MAX);
    if (r <= 0)
        return without_data(tls, r);
    deliver(tls, b, (size_t)r, 0);
    return has_input(tls);
}

/* Nobody wants data: take one record off the input nevertheless, for what else it may be. */
static bool hold_record(struct tls *tls)
{
    tls->starved = false;
    ssize_t r = gnutls_record_recv_packet(tls->hs.session, &tls->held);
    if (r > 0)
        return false;
    tls->held = NULL;
    return without_data(tls, r);
}

static bool deliver_held(struct tls *tls)
{
    struct tapsi_buffer *b = plain_buffer(tls);
    if (!b)
        return false;
    gnutls_datum_t plain;
    gnutls_packet_get(tls->held, &plain, NULL);
    memcpy(b->data + b->used, plain.data, plain.size);
    gnutls_packet_deinit(tls->held);
    tls->held = NULL;
    deliver(tls, b, plain.size, 0);
    return has_input(tls);
}

/* What came before the handshake was over: GnuTLS has kept it. */
static bool deliver_early(struct tls *tls)
{
    struct tapsi_buffer *b = plain_buffer(tls);
    if (!b)
        return false;
    size_t length = tapsi_tls_early_read(tls, b->data + b->used, TLS_RECORD_MAX);
    tls->early_input = length > 0;
    if (length)
        deliver(tls, b, length, TAPSI_SLICE_EARLY);
    return !tls->layer.dead && (tls->early_input || has_input(tls));
}

void tapsi_tls_read(struct tls *tls)
{
    bool more = true;
    while (more && !tls->layer.dead && !tls->failing && !tls->peer_ended) {
        if (tls->early_input)
            more = tls->layer.want && deliver_early(tls);
        else if (tls->held)
            more = tls->layer.want && deliver_held(tls);
        else
            more = tls->layer.want ? read_record(tls) : hold_record(tls);
    }
}

/* ------------------------------------------------------------------------------------------------- output */

void tapsi_tls_settle(struct tls *tls, size_t count, int result)
{
    struct tapsi_link *link;
    while (count-- && !tls->layer.dead && (link = tapsi_list_first(&tls->covered)))
        tapsi_op_finish(TAPSI_CONTAINER(link, struct tapsi_op, link), result);
}

/* An op below is done, and with it as many upper ops as its tag says. Streams finish in order. */
static void lower_done(struct tapsi_op *op, int result)
{
    struct tls *tls = op->owner;
    tls->outstanding -= op->length;
    if (tls->last == op)
        tls->last = NULL;
    tapsi_tls_settle(tls, (uintptr_t)op->tag, result);
    if (!tapsi_list_empty(&tls->layer.queue) && tls->outstanding <= tls->layer.ahead / 2)
        tapsi_layer_dirty(&tls->layer);
}

static void cover(struct tapsi_op *op, size_t count)
{
    op->tag = (void *)((uintptr_t)op->tag + count);
}

/* Small outputs are copied into the op, so that an idle connection pins no 64 KiB. */
static int fill(struct tapsi_op *op, struct tapsi_buffer *out)
{
    if (out->used <= TAPSI_OP_SMALL)
        return tapsi_op_copy(op, out->data, out->used);
    tapsi_op_lend(op, out->data, out->used, out);
    return 0;
}

static int hand_down(struct tls *tls, struct tapsi_buffer *out)
{
    struct tapsi_op *op = tapsi_op_new(tls->layer.env->loop);
    if (!op)
        return TAPS_E_MEMORY;
    int err = fill(op, out);
    op->owner = tls;
    op->done = lower_done;
    op->flags |= tls->carried ? 0u : (uint16_t)TAPSI_OP_EARLY;
    cover(op, tls->covered_new);
    if (!err)
        err = tapsi_layer_send(tls->layer.below, op);
    if (err) {
        tapsi_op_unref(op);
        return err;
    }
    tls->covered_new = 0;
    tls->last = op;
    tls->outstanding += out->used;
    return 0;
}

/* Ops without bytes have nothing of their own to wait for: they finish with what was sent last. */
static void settle_empty(struct tls *tls)
{
    size_t count = tls->covered_new;
    tls->covered_new = 0;
    if (tls->last)
        cover(tls->last, count);
    else
        tapsi_tls_settle(tls, count, 0);
}

void tapsi_tls_emit(struct tls *tls)
{
    struct tapsi_buffer *out = tls->out;
    if (!out) {
        if (tls->covered_new)
            settle_empty(tls);
        return;
    }
    tls->out = NULL;
    int err = hand_down(tls, out);
    tapsi_buffer_unref(out);
    if (!err || tls->broken)
        return;
    tls->broken = err;
    tapsi_tls_fail_record(tls, GNUTLS_E_PUSH_ERROR);
}

/* Has the peer ended, and had all we sent? */
static bool is_settled(struct tls *tls)
{
    union tapsi_got got;
    return tls->peer_ended && !tls->out && !tls->outstanding &&
           tapsi_layer_get(tls->layer.below, TAPSI_GET_UNACKED, &got) == 0 && got.value.integer == 0;
}

void tapsi_tls_notify(struct tls *tls)
{
    if (tls->notified)
        return;
    tls->settled = is_settled(tls);
    tls->notified = true;
    int r = gnutls_bye(tls->hs.session, GNUTLS_SHUT_WR);
    if (r < 0)
        tapsi_tls_fail_record(tls, r);
}

/* `count` bytes of the queue are encrypted; ops without bytes go with those before them. */
static void advance(struct tls *tls, size_t count)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&tls->layer.queue)) && !tls->failing) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        size_t rest = op->length - op->taken, part = count < rest ? count : rest;
        if (rest && !part)
            return;
        op->flags |= TAPSI_OP_TOUCHED;
        op->taken += part;
        count -= part;
        if (op->taken < op->length)
            return;
        tapsi_list_remove(link);
        tapsi_list_append(&tls->covered, link);
        tls->layer.queued -= op->length;
        tls->covered_new++;
        if (op->flags & TAPSI_OP_FINAL)
            tapsi_tls_notify(tls);
    }
}

/* The plain text of the next record: in place if it lies in one piece there, else gathered in `scratch`. */
static size_t gather(struct tls *tls, uint8_t *scratch, const void **ret)
{
    struct tapsi_link *head = &tls->layer.queue;
    size_t length = 0;
    for (struct tapsi_link *l = head->next; l != head && length < TLS_RECORD_MAX; l = l->next) {
        const struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        struct iovec iov[TAPSI_OP_PIECES];
        unsigned count = tapsi_op_iovec(op, iov, TAPSI_OP_PIECES);
        if (length == 0 && count && (iov[0].iov_len >= TLS_RECORD_MAX || (count == 1 && l->next == head))) {
            *ret = iov[0].iov_base;
            return iov[0].iov_len < TLS_RECORD_MAX ? iov[0].iov_len : TLS_RECORD_MAX;
        }
        for (unsigned i = 0; i < count && length < TLS_RECORD_MAX; i++) {
            size_t room = TLS_RECORD_MAX - length, part = iov[i].iov_len < room ? iov[i].iov_len : room;
            memcpy(scratch + length, iov[i].iov_base, part);
            length += part;
        }
    }
    *ret = scratch;
    return length;
}

void tapsi_tls_write(struct tls *tls)
{
    uint8_t scratch[TLS_RECORD_MAX];
    while (!tls->failing && !tapsi_list_empty(&tls->layer.queue) &&
           tls->outstanding + (tls->out ? tls->out->used : 0) < tls->layer.ahead) {
        const void *plain;
        size_t length = gather(tls, scratch, &plain);
        ssize_t r = length ? gnutls_record_send(tls->hs.session, plain, length) : 0;
        if (r < 0)
            tapsi_tls_fail_record(tls, (int)r);
        else
            advance(tls, (size_t)r);
    }
}
