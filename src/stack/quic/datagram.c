/*
 * The datagrams of a session (RFC 9221): one layer, a Message for each. They are congestion controlled, never sent
 * again, and not split, so the longest is what fits a packet of the path.
 *
 * NEW -start-> STARTING (the handshake) -> READY -close-> CLOSING (until the queue is in packets) -> CLOSED. On a
 * server it is born READY, with the first that comes.
 *
 * What comes while nobody wants it is kept up to KEPT_MOST and KEPT_BYTES; then the oldest goes. What is too long for
 * the path by the time it is to be sent fails: the engine would hold it for ever and not say so. One without bytes is
 * given to it as none, not as an empty piece, at which it aborts.
 */
#include "stack/quic/datagram.h"

#include <string.h>
#include <sys/uio.h>
#include "stack/registry.h"

#define KEPT_MOST  256
#define KEPT_BYTES (256 * 1024)

/* One that came: its bytes lie behind it. */
struct kept {
    struct tapsi_link link;
    size_t length;
    bool early;
    struct tapsi_buffer *buffer;
};

static const struct tapsi_layer_ops layer_ops;

static struct quic_flow *of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct quic_flow, layer);
}

/* --------------------------------------------------------------------------------------------------- lengths */

#define PACKET_EXTRA (1 + 4 + 16 + 3) /* first byte, packet number, tag; type and length of the frame */

/* 0: the peer takes none. */
static uint32_t longest(const struct quic_session *s)
{
    const ngtcp2_transport_params *peer = ngtcp2_conn_get_remote_transport_params(s->conn);
    size_t packet = tapsi_quic_packet_most(s);
    size_t extra = PACKET_EXTRA + ngtcp2_conn_get_dcid(s->conn)->datalen;
    if (!peer || peer->max_datagram_frame_size <= 3 || packet <= extra)
        return 0;
    size_t fits = packet - extra;
    return (uint32_t)(fits < peer->max_datagram_frame_size - 3 ? fits : peer->max_datagram_frame_size - 3);
}

/* True: it is another. */
static bool take_length(struct quic_flow *f)
{
    uint32_t most = f->session->conn ? longest(f->session) : f->layer.max_message;
    if (most == f->layer.max_message)
        return false;
    f->layer.mtu = f->layer.max_message = most;
    return true;
}

/* ------------------------------------------------------------------------------------------------------- in */

static void drop_oldest(struct quic_flow *f)
{
    struct kept *k = TAPSI_CONTAINER(tapsi_list_pop(&f->kept), struct kept, link);
    f->kept_count--;
    f->kept_bytes -= k->length;
    tapsi_buffer_unref(k->buffer);
}

static void keep(struct quic_flow *f, const uint8_t *data, size_t length, bool early)
{
    struct tapsi_buffer *buffer = tapsi_buffer_new(&f->session->env->loop->mem, sizeof(struct kept) + length);
    if (!buffer)
        return; /* lost, as in a network that is too full */
    struct kept *k = (struct kept *)(void *)buffer->data;
    *k = (struct kept){.length = length, .early = early, .buffer = buffer};
    if (length)
        memcpy(k + 1, data, length);
    buffer->used = (uint32_t)(sizeof(*k) + length);
    tapsi_list_append(&f->kept, &k->link);
    f->kept_count++;
    f->kept_bytes += length;
    while (f->kept_count > KEPT_MOST || f->kept_bytes > KEPT_BYTES)
        drop_oldest(f);
}

/* On a server the first makes the layer. */
int tapsi_quic_datagram_came(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t length, void *user)
{
    struct quic_session *s = user;
    (void)conn;
    if (!s->flow && s->role == TAPSI_ROLE_SERVER && !s->flow_over && tapsi_quic_takes_datagrams(s))
        s->flow = tapsi_quic_flow_new(s, s->env);
    if (s->flow && !s->flow->layer.dead && s->flow->layer.state < TAPSI_LAYER_CLOSING)
        keep(s->flow, data, length, flags & NGTCP2_DATAGRAM_FLAG_0RTT);
    return 0;
}

static void deliver(struct quic_flow *f)
{
    struct tapsi_link *link;
    struct tapsi_layer *layer = &f->layer;
    while (!layer->dead && layer->want && (link = tapsi_list_first(&f->kept))) {
        struct kept *k = TAPSI_CONTAINER(link, struct kept, link);
        struct tapsi_buffer *buffer = k->buffer;
        struct tapsi_slice slice = {.data = (const uint8_t *)(k + 1),
                                    .length = k->length,
                                    .buffer = buffer,
                                    .flags = TAPSI_SLICE_END,
                                    .ecn = -1};
        slice.flags |= k->early ? TAPSI_SLICE_EARLY : 0u;
        tapsi_list_remove(link);
        f->kept_count--;
        f->kept_bytes -= k->length;
        f->received++;
        f->bytes_received += k->length;
        tapsi_layer_deliver(layer, &slice);
        tapsi_buffer_unref(buffer);
    }
}

/* ------------------------------------------------------------------------------------------------------ out */

static void finish_ops(struct quic_flow *f)
{
    struct tapsi_link *link;
    while (!f->layer.dead && (link = tapsi_list_first(&f->finished))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        tapsi_op_finish(op, op->taken ? 0 : TAPS_E_MESSAGE_TOO_LARGE);
    }
}

static void settle(struct quic_flow *f, struct tapsi_op *op, bool sent)
{
    f->layer.queued -= op->length;
    f->sent += sent;
    f->bytes_sent += sent ? op->length : 0;
    op->flags |= TAPSI_OP_TOUCHED;
    op->taken = sent; /* what `finish_ops` asks */
    tapsi_list_remove(&op->link);
    tapsi_list_append(&f->finished, &op->link);
}

bool tapsi_quic_flow_sends(const struct quic_session *s)
{
    const struct quic_flow *f = s->flow;
    return f && !f->layer.dead && f->layer.state >= TAPSI_LAYER_READY && !tapsi_list_empty(&f->layer.queue);
}

ngtcp2_ssize tapsi_quic_flow_write(struct quic_session *s, ngtcp2_path *path, ngtcp2_pkt_info *info, uint8_t *to,
                                   size_t room, uint64_t now)
{
    struct quic_flow *f = s->flow;
    struct tapsi_op *op = TAPSI_CONTAINER(tapsi_list_first(&f->layer.queue), struct tapsi_op, link);
    struct iovec iov[TAPSI_OP_PIECES];
    ngtcp2_vec vec[TAPSI_OP_PIECES];
    int accepted = 0;
    unsigned count = tapsi_op_iovec(op, iov, TAPSI_OP_PIECES), used = 0;
    if (op->length > longest(s)) {
        settle(f, op, false);
        return NGTCP2_ERR_WRITE_MORE;
    }
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].iov_len)
            vec[used++] = (ngtcp2_vec){iov[i].iov_base, iov[i].iov_len};
    }
    ngtcp2_ssize r = ngtcp2_conn_writev_datagram(s->conn, path, info, to, room, &accepted,
                                                 NGTCP2_WRITE_DATAGRAM_FLAG_MORE, 0, used ? vec : NULL, used, now);
    if (accepted)
        settle(f, op, true);
    if (r == NGTCP2_ERR_INVALID_ARGUMENT || r == NGTCP2_ERR_INVALID_STATE) {
        settle(f, op, false);
        return NGTCP2_ERR_WRITE_MORE;
    }
    return r;
}

/* ----------------------------------------------------------------------------------------------------- telling */

static void close_up(struct quic_flow *f, const struct tapsi_error *error)
{
    finish_ops(f);
    tapsi_layer_fail_queue(&f->layer, error ? error->pub.code : TAPS_E_CLOSED);
    tapsi_layer_closed(&f->layer, error);
}

static void tell_open(struct quic_flow *f)
{
    struct tapsi_error error;
    struct quic_session *s = f->session;
    struct tapsi_ready_info info = tapsi_handshake_info(&s->hs);
    take_length(f);
    if (f->layer.max_message) {
        tapsi_layer_ready(&f->layer, &info);
        return;
    }
    tapsi_error_set(&error, TAPS_E_PROTOCOL, "%s takes no QUIC datagrams", s->hs.peer);
    close_up(f, &error);
}

static void tell_over(struct quic_flow *f)
{
    struct tapsi_error unsaid;
    const struct tapsi_error *error = tapsi_quic_why(f->session, &unsaid);
    if (error || tapsi_list_empty(&f->kept))
        close_up(f, error);
}

static void tell(struct quic_flow *f)
{
    struct tapsi_layer *layer = &f->layer;
    struct quic_session *s = f->session;
    if (layer->state == TAPSI_LAYER_STARTING && s->state == QUIC_OPEN)
        tell_open(f);
    finish_ops(f);
    if (!layer->dead && layer->state >= TAPSI_LAYER_READY && layer->state < TAPSI_LAYER_CLOSED) {
        if (s->conn && (take_length(f) || f->news)) {
            f->news = false;
            tapsi_layer_event(layer, TAPSI_EVENT_PATH, NULL);
        }
        if (!layer->dead && f->warned) {
            f->warned = false;
            tapsi_layer_event(layer, TAPSI_EVENT_SOFT_ERROR, s->warning);
        }
        deliver(f);
    }
    if (layer->dead || layer->state < TAPSI_LAYER_STARTING || layer->state == TAPSI_LAYER_CLOSED)
        return;
    if (s->state == QUIC_OVER)
        tell_over(f);
    else if (layer->state == TAPSI_LAYER_CLOSING && tapsi_list_empty(&layer->queue))
        close_up(f, NULL);
}

void tapsi_quic_flow_tell(struct quic_session *s)
{
    struct quic_flow *f = s->flow;
    if (!f || f->layer.dead)
        return;
    bool unseen = f->layer.state == TAPSI_LAYER_NEW && s->role == TAPSI_ROLE_SERVER && s->state != QUIC_HANDSHAKE;
    if (unseen && (s->failed || !s->admitted)) {
        tapsi_layer_destroy(&f->layer, TAPS_E_CLOSED);
        return;
    }
    if (unseen) {
        take_length(f);
        tapsi_layer_set_state(&f->layer, TAPSI_LAYER_READY);
        tapsi_quic_datagrams_go_up(s, &f->layer);
    }
    if (s->flow == f && !f->layer.dead)
        tell(f);
}

/* ----------------------------------------------------------------------------------------------- down-calls */

static int start(struct tapsi_layer *layer)
{
    tapsi_quic_start(of(layer)->session);
    return 0;
}

static int send_op(struct tapsi_layer *layer, struct tapsi_op *op)
{
    struct quic_flow *f = of(layer);
    if (layer->state != TAPSI_LAYER_READY || f->session->state == QUIC_OVER)
        return TAPS_E_CLOSED;
    tapsi_list_append(&layer->queue, &op->link);
    layer->queued += op->length;
    tapsi_quic_dirty(f->session);
    return 0;
}

static void want(struct tapsi_layer *layer)
{
    struct quic_flow *f = of(layer);
    if (!tapsi_list_empty(&f->kept))
        tapsi_quic_dirty(f->session);
}

/* An op of the queue has expired, which close may have waited for. */
static void flush(struct tapsi_layer *layer)
{
    tapsi_quic_dirty(of(layer)->session);
}

static int close_flow(struct tapsi_layer *layer)
{
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_quic_dirty(of(layer)->session);
    return 0;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct quic_flow *f = of(layer);
    struct tapsi_link *link;
    (void)reason;
    while ((link = tapsi_list_first(&f->finished)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    while (!tapsi_list_empty(&f->kept))
        drop_oldest(f);
    f->session->flow = NULL;
    f->session->flow_over = true;
    tapsi_quic_layer_gone(f->session);
}

static void free_flow(struct tapsi_layer *layer)
{
    struct quic_flow *f = of(layer);
    struct quic_session *s = f->session;
    tapsi_free(&s->env->loop->mem, f);
    tapsi_quic_unref(s);
}

static int give_integer(union tapsi_got *ret, uint64_t value)
{
    ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = value};
    return TAPSI_HANDLED;
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct quic_flow *f = of(layer);
    switch (what) {
    case TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN:
    case TAPS_SEND_MSG_MAX_LEN:
        if (take_length(f)) {
            f->news = true;
            tapsi_quic_dirty(f->session);
        }
        return give_integer(ret, layer->max_message);
    case TAPS_RECV_MSG_MAX_LEN:
        return give_integer(ret, QUIC_FRAME_MOST);
    case TAPSI_GET_UNSENT:
        return give_integer(ret, layer->queued);
    case TAPSI_GET_BOND: /* no stream: a session has one flow of datagrams, so a clone has a session of its own */
        return TAPSI_PASS;
    default:
        return tapsi_quic_get(f->session, what, ret);
    }
}

static int set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    return tapsi_quic_set(of(layer)->session, property, value);
}

static void statistics(struct tapsi_layer *layer, uint64_t *values)
{
    const struct quic_flow *f = of(layer);
    values[TAPS_MESSAGES_SENT] = f->sent;
    values[TAPS_BYTES_SENT] = f->bytes_sent;
    values[TAPS_MESSAGES_RECEIVED] = f->received;
    values[TAPS_BYTES_RECEIVED] = f->bytes_received;
    tapsi_quic_statistics(f->session, values);
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
    .close = close_flow,
    .destroy = destroy,
    .free = free_flow,
    .set = set,
    .get = get,
    .statistics = statistics,
    .paths = take_paths,
};

struct quic_flow *tapsi_quic_flow_new(struct quic_session *s, struct tapsi_env *env)
{
    struct quic_flow *f = tapsi_zalloc(&env->loop->mem, sizeof(*f));
    if (!f)
        return NULL;
    tapsi_layer_init(&f->layer, &layer_ops, env, NULL);
    f->layer.role = (uint8_t)s->role;
    f->session = tapsi_quic_ref(s);
    tapsi_link_init(&f->kept);
    tapsi_link_init(&f->finished);
    s->layers++;
    return f;
}

static int make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    (void)below;
    struct quic_session *s;
    int err = tapsi_quic_make(env, target, role, &s, ret_error);
    if (err)
        return err;
    s->datagrams = true;
    s->flow = tapsi_quic_flow_new(s, env);
    if (s->flow)
        *ret = &s->flow->layer;
    else
        err = tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for QUIC datagrams");
    tapsi_quic_unref(s);
    return err;
}

static int listen_for_datagrams(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                                struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    return tapsi_quic_listen(env, target, QUIC_DATAGRAMS, sink, ret, ret_error);
}

const struct tapsi_proto tapsi_proto_quic_datagram = {
    .name = "quic-datagram",
    .needs = TAPSI_NEEDS_NOTHING,
    .offers = TAPSI_OFFERS_DATAGRAM,
    .secure = true,
    .make = make,
    .check = tapsi_quic_check,
    .listen = listen_for_datagrams,
};
