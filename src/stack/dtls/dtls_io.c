/* Records: bytes into and out of GnuTLS. */
#include "stack/dtls/dtls.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define PACKED 8 /* records of the handshake that may share a datagram */

/* ---------------------------------------------------------------------------------------- the engine's hands */

/* Records of the handshake. Without memory they are lost, and repeated like others that were. */
static void send_pieces(struct dtls *dtls, const struct iovec *pieces, unsigned count, size_t length)
{
    struct tapsi_op *op = tapsi_op_new(dtls->layer.env->loop);
    if (!op)
        return;
    op->flags = TAPSI_OP_END;
    if (tapsi_op_gather(op, pieces, count, length, 0) < 0 || tapsi_layer_send(dtls->layer.below, op) < 0)
        tapsi_op_unref(op);
}

void tapsi_dtls_send_own(struct dtls *dtls, const void *bytes, size_t length)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, length};
    send_pieces(dtls, &piece, 1, length);
}

/* A flight comes at once, record by record: as many go into one datagram as it has room for, so that fewer can be
   lost. */
static void send_flight(struct dtls *dtls, const giovec_t *iov, int count)
{
    struct iovec pieces[PACKED];
    unsigned packed = 0;
    size_t length = 0, room = gnutls_dtls_get_mtu(dtls->hs.session);
    for (int i = 0; i < count; i++) {
        if (packed == PACKED || (packed && length + iov[i].iov_len > room)) {
            send_pieces(dtls, pieces, packed, length);
            packed = 0;
            length = 0;
        }
        pieces[packed++] = (struct iovec){iov[i].iov_base, iov[i].iov_len};
        length += iov[i].iov_len;
    }
    if (packed)
        send_pieces(dtls, pieces, packed, length);
}

static void keep_record(struct dtls *dtls, const giovec_t *iov, int count, size_t length)
{
    struct tapsi_loop *loop = dtls->layer.env->loop;
    struct tapsi_buffer *b = dtls->record; /* one op is one record */
    if (b)
        return;
    b = length <= TAPSI_OP_SMALL ? tapsi_loop_write_buffer(loop, length) : tapsi_loop_large_buffer(loop, length);
    if (!b)
        return;
    dtls->record = b;
    dtls->record_data = b->data + b->used;
    dtls->record_length = length;
    for (int i = 0; i < count; i++) {
        memcpy(b->data + b->used, iov[i].iov_base, iov[i].iov_len);
        b->used += (uint32_t)iov[i].iov_len;
    }
}

ssize_t tapsi_dtls_push(gnutls_transport_ptr_t ptr, const giovec_t *iov, int count)
{
    struct dtls *dtls = ptr;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (dtls->sealing)
        keep_record(dtls, iov, count, total);
    else
        send_flight(dtls, iov, count);
    return (ssize_t)total;
}

ssize_t tapsi_dtls_pull(gnutls_transport_ptr_t ptr, void *to, size_t room)
{
    struct dtls *dtls = ptr;
    if (dtls->in_length == 0) {
        dtls->starved = true;
        gnutls_transport_set_errno(dtls->hs.session, EAGAIN);
        return -1;
    }
    size_t part = room < dtls->in_length ? room : dtls->in_length;
    memcpy(to, dtls->in, part);
    dtls->in_length = 0; /* a datagram is read whole or cut */
    return (ssize_t)part;
}

int tapsi_dtls_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
    (void)ms;
    struct dtls *dtls = ptr;
    if (dtls->in_length == 0)
        dtls->starved = true;
    return dtls->in_length > 0;
}

/* -------------------------------------------------------------------------------------------------- input */

/* Content types 20 to 63 are DTLS's (RFC 9443), and its versions begin with 254. GnuTLS takes an empty datagram for the
   end. */
bool tapsi_dtls_feed(struct dtls *dtls, const struct tapsi_slice *slice)
{
    const uint8_t *bytes = slice->data;
    if (slice->length < DTLS_HEAD || bytes[0] < 20 || bytes[0] > 63 || bytes[1] != 0xfe)
        return false;
    dtls->in = bytes;
    dtls->in_length = slice->length;
    dtls->longest = slice->length < DTLS_RECORD_MAX ? slice->length : DTLS_RECORD_MAX;
    dtls->single = (size_t)(bytes[11] << 8 | bytes[12]) + DTLS_HEAD == slice->length;
    dtls->starved = false;
    dtls->ecn = slice->ecn;
    dtls->has_path = slice->path != NULL;
    if (slice->path)
        dtls->path = *slice->path;
    return true;
}

/* What GnuTLS says when it has no data. Records that are no records, forged or repeated are E_AGAIN. */
static void without_data(struct dtls *dtls, ssize_t r)
{
    if (r == 0)
        dtls->peer_ended = true;
    else if (r == GNUTLS_E_REHANDSHAKE)
        gnutls_alert_send(dtls->hs.session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
    else if (gnutls_error_is_fatal((int)r))
        tapsi_dtls_fail_gnutls(dtls, (int)r, "the DTLS session");
}

/* The plain bytes lie behind `used`. The reference outlives a sink that reads more in the meantime. */
static void deliver(struct dtls *dtls, struct tapsi_buffer *b, size_t length)
{
    struct tapsi_slice slice = {.data = b->data + b->used,
                                .length = length,
                                .buffer = b,
                                .flags = TAPSI_SLICE_END,
                                .ecn = dtls->ecn,
                                .path = dtls->has_path ? &dtls->path : NULL};
    b->used += (uint32_t)length;
    tapsi_buffer_ref(b);
    tapsi_layer_deliver(&dtls->layer, &slice);
    tapsi_buffer_unref(b);
}

/* One record into `held`, or what else it may be. */
static void hold_record(struct dtls *dtls)
{
    ssize_t r = gnutls_record_recv_packet(dtls->hs.session, &dtls->held);
    if (r > 0) {
        dtls->starved |= dtls->single;
        return;
    }
    dtls->held = NULL;
    without_data(dtls, r);
}

static void let_go(struct dtls *dtls)
{
    gnutls_packet_deinit(dtls->held);
    dtls->held = NULL;
}

static void read_record(struct dtls *dtls)
{
    struct tapsi_buffer *b = tapsi_loop_read_buffer(dtls->layer.env->loop, dtls->longest);
    if (!b) { /* then it is lost, unless it is an alert */
        hold_record(dtls);
        if (dtls->held)
            let_go(dtls);
        return;
    }
    ssize_t r = gnutls_record_recv(dtls->hs.session, b->data + b->used, dtls->longest);
    if (r <= 0) {
        without_data(dtls, r);
        return;
    }
    dtls->starved |= dtls->single;
    deliver(dtls, b, (size_t)r);
}

static void deliver_held(struct dtls *dtls)
{
    gnutls_datum_t plain;
    gnutls_packet_get(dtls->held, &plain, NULL);
    struct tapsi_buffer *b = tapsi_loop_read_buffer(dtls->layer.env->loop, plain.size);
    if (b)
        memcpy(b->data + b->used, plain.data, plain.size);
    size_t length = plain.size;
    let_go(dtls);
    if (b)
        deliver(dtls, b, length);
}

void tapsi_dtls_read(struct dtls *dtls)
{
    const struct tapsi_layer *layer = &dtls->layer;
    while (!layer->dead && !dtls->failing && !dtls->peer_ended) {
        if (dtls->held && !layer->want)
            return;
        if (dtls->held)
            deliver_held(dtls);
        else if (dtls->starved)
            return;
        else if (layer->want)
            read_record(dtls);
        else
            hold_record(dtls);
    }
}

/* ------------------------------------------------------------------------------------------------- output */

/* The op's bytes in one piece. */
static const void *in_one_piece(const struct tapsi_op *op, uint8_t *scratch)
{
    struct iovec iov[TAPSI_OP_PIECES];
    unsigned count = tapsi_op_iovec(op, iov, TAPSI_OP_PIECES);
    size_t length = 0;
    if (count == 1)
        return iov[0].iov_base;
    for (unsigned i = 0; i < count; i++) {
        memcpy(scratch + length, iov[i].iov_base, iov[i].iov_len);
        length += iov[i].iov_len;
    }
    return scratch;
}

/* Makes `record` of the op: 0 or why not, which is the Message's failure alone. */
static int seal(struct dtls *dtls, const struct tapsi_op *op)
{
    uint8_t scratch[DTLS_RECORD_MAX];
    if (op->length > dtls->layer.max_message)
        return TAPS_E_MESSAGE_TOO_LARGE; /* the path has become narrower since it was taken */
    dtls->record = NULL;
    dtls->sealing = true;
    ssize_t r = gnutls_record_send(dtls->hs.session, in_one_piece(op, scratch), op->length);
    dtls->sealing = false;
    if (r >= 0 && dtls->record)
        return 0;
    tapsi_buffer_unref(dtls->record);
    dtls->record = NULL;
    if (r < 0 && r != GNUTLS_E_MEMORY_ERROR && gnutls_error_is_fatal((int)r))
        tapsi_dtls_fail_gnutls(dtls, (int)r, "the DTLS session");
    return r >= 0 || r == GNUTLS_E_MEMORY_ERROR ? TAPS_E_MEMORY : TAPS_E_TLS;
}

/* The op goes on with other bytes: whoever sends its last one finishes it. */
static void pass_on(struct dtls *dtls, struct tapsi_op *op)
{
    struct tapsi_layer *layer = &dtls->layer;
    layer->queued -= op->length;
    tapsi_list_remove(&op->link);
    op->flags |= TAPSI_OP_TOUCHED;
    tapsi_op_replace(op, dtls->record_data, dtls->record_length, dtls->record);
    dtls->record = NULL;
    int err = tapsi_layer_send(layer->below, op);
    if (err < 0)
        tapsi_op_finish(op, err);
}

static void finish(struct dtls *dtls, struct tapsi_op *op, int result)
{
    dtls->layer.queued -= op->length;
    tapsi_op_finish(op, result);
}

void tapsi_dtls_write(struct dtls *dtls)
{
    struct tapsi_link *link;
    while (!dtls->layer.dead && !dtls->failing && (link = tapsi_list_first(&dtls->layer.queue))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        if (op->length == 0) { /* the end of a direction, which datagrams do not have */
            finish(dtls, op, 0);
            continue;
        }
        int err = seal(dtls, op);
        if (err < 0)
            finish(dtls, op, err);
        else
            pass_on(dtls, op);
    }
}
