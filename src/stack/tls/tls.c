/*
 * TLS 1.2 and 1.3 over any stream, by GnuTLS.
 *
 * NEW -start-> STARTING (below connects, then the handshake) -> READY -close-> CLOSING -> CLOSED. The session is made
 * when the layer below is ready. What the peer sends is fed to GnuTLS in the `data` up-call of the layer below, what we
 * send is encrypted in `flush`; GnuTLS's callbacks only move bytes in and out of memory, so no engine call is nested
 * and nothing calls up from inside one. GnuTLS sessions are freed by the reaper.
 *
 * Input: `in` is the cipher text not yet decrypted, at most the rest of one slice. While the sink wants nothing one
 * record is still decrypted, since it may be an alert, a ticket or a key update; if it is data it is held, and the
 * layer below gets no more credit. So a peer's hold on memory is one slice of the layer below (64 KiB) plus one record,
 * and in the handshake GnuTLS's own limits (128 KiB a message).
 *
 * Output: everything of one turn goes into `out` and becomes one op, so that the Finished message and the first request
 * leave together. Upper ops wait on `covered` until the op below that carries their last byte is done.
 *
 * Ends. A FINAL op becomes close_notify; TCP stays open, because servers take FIN in a request for "client gone" (nginx
 * stops working for it), while close_notify alone says all that TLS has to say. TLS 1.2 peers may answer it by closing
 * (RFC 5246, 7.2.1), so a half-close is sure only with TLS 1.3. When both have said it, TCP is closed. The peer's
 * close_notify is FINAL upwards; a bare FIN is an error after the data before it (TAPS_E_TRUNCATED) unless the
 * application forgives it, or has closed already.
 *
 * A server that has sent its close_notify is often gone before ours comes: its kernel then answers with a reset. That
 * is no error if all else had been acknowledged before (`settled`); a layer below that cannot tell leaves it an error.
 *
 * The surprising things: a failure is told one flush later than it happens, so that the alert can leave before the
 * sink destroys the stack; and gnutls_handshake must never be called after it has succeeded (it would be a key update).
 *
 * Sessions are resumed by stack/secure/resume.c; early data is in tls_early.c. Renegotiation is refused.
 */
#include "stack/tls/tls.h"

#include <assert.h>
#include <string.h>
#include "stack/registry.h"

#define WINDOW     (128 * 1024)
#define ONE_RECORD (TLS_RECORD_MAX + 256 + 5)

static const struct tapsi_sink_ops lower_ops;
static const struct tapsi_layer_ops layer_ops;
static void report(struct tapsi_task *task);
static void resume(struct tapsi_handshake *h);

static bool is_open(const struct tls *tls)
{
    return tls->layer.state == TAPSI_LAYER_READY || tls->layer.state == TAPSI_LAYER_CLOSING;
}

/* --------------------------------------------------------------------------------------------------- making */

static int make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    struct tapsi_mem *mem = &env->loop->mem;
    struct tls *tls = tapsi_zalloc(mem, sizeof(*tls));
    if (!tls)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a TLS session");
    int err = tapsi_handshake_init(&tls->hs, env, target, TAPSI_SECURE_TLS, role, ret_error);
    if (err) {
        tapsi_free(mem, tls);
        return err;
    }
    tls->hs.resume = resume;
    tapsi_layer_init(&tls->layer, &layer_ops, env, below);
    tls->layer.role = (uint8_t)role;
    tls->lower.ops = &lower_ops;
    tls->allow_truncation = env->properties->values[TAPS_TLS_ALLOW_TRUNCATION].boolean;
    tapsi_link_init(&tls->covered);
    tapsi_task_init(&tls->report, report);
    below->up = &tls->lower;
    *ret = &tls->layer;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ session */

/* The layer below is ready, so the role is known. Failures come as `closed`. */
static void open_session(struct tls *tls)
{
    struct tapsi_layer *layer = &tls->layer;
    tapsi_layer_dirty(layer);
    if (layer->role == TAPSI_ROLE_UNDECIDED)
        layer->role = layer->below->role == TAPSI_ROLE_SERVER ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT;
    enum tapsi_role role = (enum tapsi_role)layer->role;
    unsigned early = tls->early ? GNUTLS_ENABLE_EARLY_DATA : 0;
    tls->hs.sends_early = tls->early;
    int r = tapsi_handshake_open(&tls->hs, role,
                                 GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | tapsi_resume_flags(&tls->hs, role) | early);
    if (r >= 0)
        r = tapsi_resume_begin(&tls->hs, NULL, 0);
    if (r >= 0)
        r = tapsi_tls_early_send(tls);
    if (r < 0) {
        tapsi_tls_fail(tls, 0);
        return;
    }
    gnutls_transport_set_ptr(tls->hs.session, tls);
    gnutls_transport_set_vec_push_function(tls->hs.session, tapsi_tls_push);
    gnutls_transport_set_pull_function(tls->hs.session, tapsi_tls_pull);
    gnutls_transport_set_pull_timeout_function(tls->hs.session, tapsi_tls_pull_timeout);
}

static void established(struct tls *tls)
{
    if (!tapsi_handshake_take_alpn(&tls->hs) || !tapsi_resume_finish(&tls->hs)) {
        tapsi_tls_fail(tls, tls->hs.alert ? tls->hs.alert : GNUTLS_A_ILLEGAL_PARAMETER);
        return;
    }
    struct tapsi_ready_info info = tapsi_handshake_info(&tls->hs);
    info.early = tapsi_tls_early_settle(tls);
    tapsi_layer_ready(&tls->layer, &info);
    if (!tls->layer.dead && info.early && tls->final_taken)
        tapsi_tls_notify(tls);
}

static bool is_pause(int r)
{
    return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_WARNING_ALERT_RECEIVED;
}

static void handshake(struct tls *tls)
{
    int r;
    if (tapsi_handshake_waits(&tls->hs))
        return;
    do {
        tls->starved = false;
        r = tapsi_handshake_run(&tls->hs);
    } while (is_pause(r) && !tls->starved && !tapsi_handshake_waits(&tls->hs));
    if (r == 0)
        established(tls);
    else if (!is_pause(r))
        tapsi_tls_fail_handshake(tls, r);
}

/* ----------------------------------------------------------------------------------------------- progress */

/* Of what came, is there anything that has not gone up? */
static bool has_input(const struct tls *tls)
{
    return tls->in_length || tls->held || tls->early_input;
}

static void tell_end(struct tls *tls)
{
    if (tls->end_told || !tls->layer.want)
        return;
    tls->end_told = true;
    tapsi_layer_deliver(&tls->layer, &(struct tapsi_slice){.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1});
}

/* FIN came and everything before it is decrypted and delivered. */
static void bare_end(struct tls *tls)
{
    if (tls->layer.state == TAPSI_LAYER_CLOSING)
        return;
    if (tls->layer.state == TAPSI_LAYER_READY && (tls->allow_truncation || tls->layer.drains)) {
        tls->peer_ended = true;
        return;
    }
    if (tls->layer.state == TAPSI_LAYER_READY)
        tapsi_error_set(tapsi_tls_error(tls), TAPS_E_TRUNCATED, "%s closed the connection without TLS close_notify",
                        tls->hs.peer);
    else
        tapsi_error_set(tapsi_tls_error(tls), TAPS_E_TLS, "%s closed the connection during the TLS handshake",
                        tls->hs.peer);
    tapsi_tls_fail(tls, 0);
}

/* After the end what still comes is dropped: the credit only keeps TCP's own end visible. */
static size_t credit(const struct tls *tls)
{
    if (tls->failing)
        return 0;
    if (tls->peer_ended)
        return WINDOW;
    if (has_input(tls))
        return 0;
    return tls->layer.want || tls->layer.state == TAPSI_LAYER_STARTING ? WINDOW : ONE_RECORD;
}

static void grant(struct tls *tls)
{
    struct tapsi_layer *below = tls->layer.below;
    size_t wanted = credit(tls);
    if (below->want > wanted || below->want < (wanted + 1) / 2)
        tapsi_layer_want(below, wanted);
}

/* Both have said their last word: the connection below has nothing left to carry. */
static bool both_ended(const struct tls *tls)
{
    return tls->layer.state == TAPSI_LAYER_READY && tls->final_taken && tls->end_told &&
           tapsi_list_empty(&tls->layer.queue);
}

/* Runs the engine as far as input and credit go. */
static void progress(struct tls *tls)
{
    struct tapsi_layer *layer = &tls->layer;
    if (!tls->failing && layer->state == TAPSI_LAYER_STARTING)
        handshake(tls);
    if (!layer->dead && is_open(tls) && (tls->held || tls->early_input ? layer->want : tls->in_length))
        tapsi_tls_read(tls);
    if (!layer->dead && !tls->failing && tls->below_ended && !tls->peer_ended && !has_input(tls))
        bare_end(tls);
    if (!layer->dead && !tls->failing && tls->peer_ended)
        tell_end(tls);
    if (layer->dead)
        return;
    tapsi_tls_trim(tls);
    grant(tls);
    if (tls->out || tls->failing || both_ended(tls))
        tapsi_layer_dirty(layer);
}

/* Early data in the SYN (RFC 7413): the first flight is made before there is a connection, and given to the layer
   below, which sends it now or when it is ready. */
static void open_before(struct tls *tls)
{
    union tapsi_got got;
    const struct tapsi_layer_ops *ops = tls->layer.below->ops;
    if (!tls->early || !ops->get || ops->get(tls->layer.below, TAPSI_GET_EARLY_ROOM, &got) != TAPSI_HANDLED ||
        !got.value.integer)
        return;
    open_session(tls);
    if (!tls->failing)
        handshake(tls);
    if (!tls->failing)
        tapsi_tls_emit(tls);
}

/* Whether the flight made before has left was not known until now. */
static void carry_on(struct tls *tls)
{
    tls->hs.ticket_sent = true;
    tapsi_layer_dirty(&tls->layer);
}

/* The application has said whether it trusts the peer, or a slow key has signed. */
static void resume(struct tapsi_handshake *h)
{
    struct tls *tls = TAPSI_CONTAINER(h, struct tls, hs);
    if (!tls->layer.dead && !tls->failing && tls->layer.state == TAPSI_LAYER_STARTING)
        progress(tls);
}

/* ------------------------------------------------------------------------------------- what comes from below */

static void below_ready(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_ready_info *info)
{
    (void)below;
    (void)info;
    struct tls *tls = TAPSI_CONTAINER(sink, struct tls, lower);
    tls->carried = true;
    if (tls->hs.session)
        carry_on(tls);
    else
        open_session(tls);
}

static void below_data(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_slice *slice)
{
    (void)below;
    struct tls *tls = TAPSI_CONTAINER(sink, struct tls, lower);
    if (slice->flags & TAPSI_SLICE_FINAL)
        tls->below_ended = true;
    if (!tls->failing && !tls->peer_ended && slice->length) {
        tapsi_tls_feed(tls, slice);
        if (tls->layer.state == TAPSI_LAYER_STARTING)
            tapsi_tls_check_hello(tls);
    }
    progress(tls);
}

/* All ops first, then the last word. */
static void close_up(struct tls *tls, const struct tapsi_error *error)
{
    int result = error ? error->pub.code : TAPS_E_CLOSED;
    tapsi_task_cancel(&tls->report);
    if (tls->layer.state >= TAPSI_LAYER_READY) /* before it, they are early data: dropped with the layer */
        tapsi_tls_settle(tls, SIZE_MAX, result);
    tapsi_layer_fail_queue(&tls->layer, result);
    tapsi_layer_closed(&tls->layer, error);
}

static void below_closed(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_error *error)
{
    (void)below;
    struct tls *tls = TAPSI_CONTAINER(sink, struct tls, lower);
    bool starting = tls->layer.state == TAPSI_LAYER_STARTING;
    struct tapsi_error unsaid;
    if (tls->failing) {
        error = tapsi_handshake_why(&tls->hs, &unsaid);
    } else if (error && tls->settled) {
        error = NULL;
    } else if (error && starting && tls->hs.session && tls->carried) {
        tapsi_error_native(tapsi_tls_error(tls), error->pub.code, error->pub.domain, error->pub.native,
                           "%s, during the TLS handshake with %s", error->pub.detail,
                           tls->hs.host ? tls->hs.host : "it");
        error = tapsi_handshake_why(&tls->hs, &unsaid);
    } else if (!error && tls->layer.state != TAPSI_LAYER_CLOSING && !tls->peer_ended) {
        tapsi_error_set(tapsi_tls_error(tls), starting ? TAPS_E_TLS : TAPS_E_TRUNCATED, "%s closed the connection %s",
                        tls->hs.peer, starting ? "during the TLS handshake" : "without TLS close_notify");
        error = tapsi_handshake_why(&tls->hs, &unsaid);
    }
    close_up(tls, error);
}

static void below_event(struct tapsi_sink *sink, struct tapsi_layer *below, enum tapsi_event event, const void *value)
{
    (void)below;
    tapsi_layer_event(&TAPSI_CONTAINER(sink, struct tls, lower)->layer, event, value);
}

static const struct tapsi_sink_ops lower_ops = {
    .ready = below_ready,
    .data = below_data,
    .closed = below_closed,
    .event = below_event,
};

/* ------------------------------------------------------------------------------------------------ failing */

static void report(struct tapsi_task *task)
{
    struct tls *tls = TAPSI_CONTAINER(task, struct tls, report);
    struct tapsi_error unsaid;
    close_up(tls, tapsi_handshake_why(&tls->hs, &unsaid));
}

void tapsi_tls_fail(struct tls *tls, int alert)
{
    if (tls->failing)
        return;
    tls->failing = true;
    if (alert && tls->hs.session)
        gnutls_alert_send(tls->hs.session, GNUTLS_AL_FATAL, (gnutls_alert_description_t)alert);
    tapsi_layer_dirty(&tls->layer);
}

/* Posted work runs after the flush of all layers below. */
static void flush_failure(struct tls *tls)
{
    if (tls->reporting)
        return;
    tls->reporting = true;
    tapsi_tls_emit(tls);
    tapsi_loop_post(tls->layer.env->loop, &tls->report);
}

/* --------------------------------------------------------------------------------------------- down-calls */

static int start(struct tapsi_layer *layer)
{
    struct tls *tls = TAPSI_CONTAINER(layer, struct tls, layer);
    if (layer->below->state == TAPSI_LAYER_READY) {
        tls->carried = true;
        open_session(tls);
        return 0;
    }
    open_before(tls);
    if (tls->failing)
        return 0;
    int err = tapsi_layer_start(layer->below);
    if (tls->hs.session)
        tls->hs.ticket_sent = tls->last && tls->last->taken;
    return err;
}

static int send_op(struct tapsi_layer *layer, struct tapsi_op *op)
{
    struct tls *tls = TAPSI_CONTAINER(layer, struct tls, layer);
    if (!tls->final_taken && layer->state == TAPSI_LAYER_NEW)
        return tapsi_tls_early_take(tls, op);
    if (tls->final_taken || layer->state != TAPSI_LAYER_READY)
        return TAPS_E_CLOSED;
    tls->final_taken = op->flags & TAPSI_OP_FINAL;
    return tapsi_layer_enqueue(layer, op);
}

static void want(struct tapsi_layer *layer)
{
    tapsi_layer_dirty(layer);
}

static void close_below(struct tls *tls)
{
    tls->below_closing = true;
    int err = tapsi_layer_close(tls->layer.below);
    if (err) {
        tapsi_error_set(tapsi_tls_error(tls), err, "the connection under TLS cannot be closed");
        tapsi_tls_fail(tls, 0);
    }
}

/* Everything queued, and the end if it is due, as one op. */
static void send_turn(struct tls *tls)
{
    tapsi_tls_write(tls);
    if (both_ended(tls))
        tapsi_layer_set_state(&tls->layer, TAPSI_LAYER_CLOSING);
    bool last = tls->layer.state == TAPSI_LAYER_CLOSING && !tls->below_closing && tapsi_list_empty(&tls->layer.queue);
    if (last && !tls->failing)
        tapsi_tls_notify(tls);
    if (!tls->failing)
        tapsi_tls_emit(tls);
    if (last && !tls->layer.dead && !tls->failing)
        close_below(tls);
}

static void flush(struct tapsi_layer *layer)
{
    struct tls *tls = TAPSI_CONTAINER(layer, struct tls, layer);
    if (layer->state == TAPSI_LAYER_CLOSED)
        return;
    if (tls->hs.session && !tls->failing)
        progress(tls);
    if (!layer->dead && tls->hs.session && !tls->failing)
        send_turn(tls);
    if (!layer->dead && tls->failing)
        flush_failure(tls);
}

static int close_tls(struct tapsi_layer *layer)
{
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    (void)reason;
    struct tls *tls = TAPSI_CONTAINER(layer, struct tls, layer);
    struct tapsi_link *link;
    tapsi_task_cancel(&tls->report);
    tapsi_handshake_forget(&tls->hs);
    while ((link = tapsi_list_first(&tls->covered)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    tapsi_buffer_unref(tls->out);
    tapsi_buffer_unref(tls->in_buffer);
    tls->out = tls->in_buffer = NULL;
    tls->in_length = 0;
}

static void free_tls(struct tapsi_layer *layer)
{
    struct tls *tls = TAPSI_CONTAINER(layer, struct tls, layer);
    struct tapsi_mem *mem = &layer->env->loop->mem;
    if (tls->held)
        gnutls_packet_deinit(tls->held);
    tapsi_handshake_done(&tls->hs);
    tapsi_free(mem, tls);
}

static int set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    if (property != TAPS_TLS_ALLOW_TRUNCATION)
        return TAPSI_PASS;
    TAPSI_CONTAINER(layer, struct tls, layer)->allow_truncation = value->boolean;
    return TAPSI_HANDLED;
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct tls *tls = TAPSI_CONTAINER(layer, struct tls, layer);
    if (what == TAPSI_GET_UNSENT) {
        int err = tapsi_layer_get(layer->below, what, ret);
        if (err == 0)
            ret->value.integer += tapsi_layer_unused(layer);
        return err;
    }
    if (what == TAPSI_GET_EARLY_ROOM) {
        ret->value.integer = tapsi_tls_early_room(tls);
        return TAPSI_HANDLED;
    }
    if (what == TAPSI_GET_SPOKE) {
        ret->value.boolean = tls->hs.spoke;
        return TAPSI_HANDLED;
    }
    if (layer->state < TAPSI_LAYER_READY || !tls->hs.session)
        return TAPSI_PASS;
    if (what == TAPSI_GET_ALPN) {
        ret->text = tls->hs.alpn;
        return TAPSI_HANDLED;
    }
    if (what == TAPSI_GET_HANDSHAKE) {
        ret->handshake = &tls->hs;
        return TAPSI_HANDLED;
    }
    if (what != TAPSI_GET_SECURITY)
        return TAPSI_PASS;
    ret->text = tapsi_handshake_version(&tls->hs);
    return TAPSI_HANDLED;
}

static const struct tapsi_layer_ops layer_ops = {
    .start = start,
    .send = send_op,
    .want = want,
    .flush = flush,
    .close = close_tls,
    .destroy = destroy,
    .free = free_tls,
    .set = set,
    .get = get,
};

static int check(struct tapsi_env *env, enum tapsi_role role, struct tapsi_error *ret_error)
{
    const struct tapsi_credentials *credentials;
    return env->security ? tapsi_credentials(env->security, role, TAPSI_SECURE_TLS, &credentials, ret_error) : 0;
}

const struct tapsi_proto tapsi_proto_tls = {
    .name = "tls",
    .needs = TAPSI_NEEDS_STREAM,
    .offers = TAPSI_OFFERS_STREAM,
    .secure = true,
    .make = make,
    .check = check,
};
