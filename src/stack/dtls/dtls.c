/*
 * DTLS 1.2 over any layer of datagrams, by GnuTLS. Each Message is one record in one datagram.
 *
 * NEW -start-> STARTING (below starts, then the handshake) -> READY -close-> CLOSING -> CLOSED. The client's session is
 * made when the layer below is ready. The server's is made when a ClientHello with a good cookie has come: until then
 * it keeps nothing, and asks for one. (The gate of a port asks before there is a layer; then the first datagram has
 * it.) GnuTLS is called when a datagram comes, in `flush`, and by the timer; its callbacks only move bytes in and out
 * of memory, so no engine call is nested and nothing calls up from inside one. Sessions are freed by the reaper.
 *
 * The handshake is repeated as GnuTLS says, after one second, two, four ... (RFC 6347, 4.2.4.1): the timer only calls
 * it at the time it names. GnuTLS measures by the clock of the day; how long a handshake may take at all is measured
 * here, by the loop's. After the handshake nothing is repeated but, on being asked, the last flight of all:
 * the server's, or, where a session was resumed (stack/secure/resume.c), the client's.
 *
 * Datagrams of the handshake are at most HANDSHAKE_MTU bytes, since what is too large for the path would never come;
 * Messages are what the layer below says that the path takes, less what the record needs, and nothing longer is sent.
 *
 * Input: a datagram is used up in the call that brings it. While the sink wants nothing one record is still decrypted,
 * since it may be an alert or a lost end of the handshake; if it is data it is held, and the layer below gets no more
 * credit. So a peer's hold on memory is one datagram, and in the handshake GnuTLS's own limits. What is no record, does
 * not decrypt or came before is dropped without a word.
 *
 * Ends: `close` sends close_notify behind the last Message, and is over when the kernel has it. The peer's close_notify
 * is answered by ours, and is the end of both directions; what was to be sent has no reader then. A layer that is
 * destroyed for a reason says so by an alert, once, which may be lost: then the peer hears nothing.
 *
 * The surprising things: a failure is told one flush later than it happens, so that the alert can leave before the sink
 * destroys the stack; and there are no empty Messages, because GnuTLS makes no empty records.
 */
#include "stack/dtls/dtls.h"

#include <string.h>
#include "stack/registry.h"
#include "stack/secure/resume.h"

#define TICKETS_FOR    "dtls" /* a server's tickets of TLS 1.2 are of no use here */
#define WINDOW         (64 * 1024)
#define HANDSHAKE_MTU  1200
#define FIRST_REPEAT   1000               /* ms */
#define HANDSHAKE_TIME (60 * TAPSI_S)     /* whoever has less patience ends it before */
#define NO_TOTAL       (24 * 3600 * 1000) /* ms, for GnuTLS, which has the rest of it in an int */

static const struct tapsi_sink_ops lower_ops;
static const struct tapsi_layer_ops layer_ops;
static void report(struct tapsi_task *task);
static void on_timer(struct tapsi_timer *timer);
static void resume(struct tapsi_handshake *h);

static struct dtls *dtls_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct dtls, layer);
}

static bool is_open(const struct dtls *dtls)
{
    return dtls->layer.state == TAPSI_LAYER_READY || dtls->layer.state == TAPSI_LAYER_CLOSING;
}

/* --------------------------------------------------------------------------------------------------- making */

static int make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    struct tapsi_mem *mem = &env->loop->mem;
    struct dtls *dtls = tapsi_zalloc(mem, sizeof(*dtls));
    if (!dtls || tapsi_timer_init(env->loop, &dtls->timer, on_timer) < 0) {
        tapsi_free(mem, dtls);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a DTLS session");
    }
    int err = tapsi_handshake_init(&dtls->hs, env, target, TAPSI_SECURE_DTLS, role, ret_error);
    if (err) {
        tapsi_timer_done(env->loop, &dtls->timer);
        tapsi_free(mem, dtls);
        return err;
    }
    tapsi_layer_init(&dtls->layer, &layer_ops, env, below);
    dtls->layer.role = (uint8_t)role;
    dtls->hs.resume = resume;
    dtls->lower.ops = &lower_ops;
    dtls->starved = true;
    tapsi_task_init(&dtls->report, report);
    below->up = &dtls->lower;
    *ret = &dtls->layer;
    return 0;
}

/* ------------------------------------------------------------------------------------------------- session */

/* Failures come as `closed`. */
static bool open_session(struct dtls *dtls)
{
    struct tapsi_layer *layer = &dtls->layer;
    uint32_t mtu = layer->below->mtu;
    enum tapsi_role role = (enum tapsi_role)layer->role;
    int r = tapsi_handshake_open(
        &dtls->hs, role, GNUTLS_DATAGRAM | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | tapsi_resume_flags(&dtls->hs, role));
    if (r >= 0)
        r = tapsi_resume_begin(&dtls->hs, TICKETS_FOR, sizeof(TICKETS_FOR));
    if (r < 0) {
        tapsi_dtls_fail(dtls, 0);
        return false;
    }
    gnutls_session_t s = dtls->hs.session;
    gnutls_transport_set_ptr(s, dtls);
    gnutls_transport_set_vec_push_function(s, tapsi_dtls_push);
    gnutls_transport_set_pull_function(s, tapsi_dtls_pull);
    gnutls_transport_set_pull_timeout_function(s, tapsi_dtls_pull_timeout);
    gnutls_dtls_set_mtu(s, mtu && mtu < HANDSHAKE_MTU ? mtu : HANDSHAKE_MTU);
    gnutls_dtls_set_timeouts(s, FIRST_REPEAT, NO_TOTAL);
    return true;
}

/* The layer below is ready, so the role is known. */
static void begin(struct dtls *dtls)
{
    struct tapsi_layer *layer = &dtls->layer;
    if (layer->role == TAPSI_ROLE_UNDECIDED)
        layer->role = layer->below->role == TAPSI_ROLE_SERVER ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT;
    dtls->deadline = tapsi_loop_now(layer->env->loop) + HANDSHAKE_TIME;
    tapsi_timer_start_at(layer->env->loop, &dtls->timer, dtls->deadline);
    if (layer->role == TAPSI_ROLE_CLIENT)
        open_session(dtls);
    tapsi_layer_dirty(layer);
}

/* True: it is a ClientHello that may begin the session, which is open now. */
static bool admit(struct dtls *dtls, const struct tapsi_slice *slice)
{
    uint8_t reply[2048];
    size_t length;
    gnutls_dtls_prestate_st prestate;
    union tapsi_got from;
    if (tapsi_layer_get(dtls->layer.below, TAPSI_GET_REMOTE, &from) != 0)
        return false;
    enum tapsi_dtls_visit visit =
        tapsi_dtls_visitor(dtls->layer.env->loop, &from.address, slice->data, slice->length, reply, &length, &prestate);
    if (visit == TAPSI_DTLS_ASK)
        tapsi_dtls_send_own(dtls, reply, length);
    if (visit != TAPSI_DTLS_ADMIT || !open_session(dtls))
        return false;
    gnutls_dtls_prestate_set(dtls->hs.session, &prestate);
    return true;
}

/* What the path takes now. True if that is news. */
static bool take_mtu(struct dtls *dtls)
{
    struct tapsi_layer *layer = &dtls->layer;
    uint32_t below = layer->below->mtu;
    gnutls_dtls_set_mtu(dtls->hs.session, below ? below : HANDSHAKE_MTU);
    uint32_t mtu = gnutls_dtls_get_data_mtu(dtls->hs.session);
    bool news = mtu != layer->mtu;
    layer->mtu = layer->max_message = mtu;
    return news;
}

static void established(struct dtls *dtls)
{
    tapsi_timer_cancel(dtls->layer.env->loop, &dtls->timer);
    if (!tapsi_handshake_take_alpn(&dtls->hs) || !tapsi_resume_finish(&dtls->hs)) {
        tapsi_dtls_fail(dtls, dtls->hs.alert ? dtls->hs.alert : GNUTLS_A_ILLEGAL_PARAMETER);
        return;
    }
    take_mtu(dtls);
    struct tapsi_ready_info info = tapsi_handshake_info(&dtls->hs);
    tapsi_layer_ready(&dtls->layer, &info);
}

/* A millisecond more than GnuTLS says, since it rounds down. */
static void wait_for_answer(struct dtls *dtls)
{
    struct tapsi_loop *loop = dtls->layer.env->loop;
    uint64_t when = dtls->deadline;
    if (!tapsi_handshake_waits(&dtls->hs))
        when = tapsi_loop_now(loop) + (gnutls_dtls_get_timeout(dtls->hs.session) + 1) * TAPSI_MS;
    tapsi_timer_start_at(loop, &dtls->timer, when < dtls->deadline ? when : dtls->deadline);
}

static void time_out(struct dtls *dtls)
{
    tapsi_error_set(tapsi_dtls_error(dtls), TAPS_E_TIMEOUT, "%s did not complete the DTLS handshake", dtls->hs.peer);
    tapsi_dtls_fail(dtls, 0);
}

static void handshake(struct dtls *dtls)
{
    int r;
    if (tapsi_handshake_waits(&dtls->hs))
        return;
    do {
        r = tapsi_handshake_run(&dtls->hs);
    } while (r < 0 && r != GNUTLS_E_INTERRUPTED && !gnutls_error_is_fatal(r) && !dtls->starved);
    if (r == 0)
        established(dtls);
    else if (r == GNUTLS_E_TIMEDOUT) /* the clock of the day was set, back or by a day */
        time_out(dtls);
    else if (gnutls_error_is_fatal(r))
        tapsi_dtls_fail_gnutls(dtls, r, "the DTLS handshake");
    else
        wait_for_answer(dtls);
}

/* ------------------------------------------------------------------------------------------------ progress */

static size_t credit(const struct dtls *dtls)
{
    if (dtls->failing || dtls->peer_ended)
        return 0;
    if (dtls->layer.state == TAPSI_LAYER_STARTING)
        return WINDOW;
    if (dtls->layer.want)
        return dtls->layer.want;
    return dtls->held || !dtls->starved ? 0 : 1;
}

static void grant(struct dtls *dtls)
{
    size_t wanted = credit(dtls);
    if (dtls->layer.below->want != wanted)
        tapsi_layer_want(dtls->layer.below, wanted);
}

/* Runs the engine as far as input and credit go. */
static void progress(struct dtls *dtls)
{
    struct tapsi_layer *layer = &dtls->layer;
    if (!dtls->failing && layer->state == TAPSI_LAYER_STARTING)
        handshake(dtls);
    if (!layer->dead && is_open(dtls))
        tapsi_dtls_read(dtls);
    if (layer->dead)
        return;
    grant(dtls);
    if (dtls->failing || dtls->peer_ended)
        tapsi_layer_dirty(layer);
}

/* The application has said whether it trusts the peer, or a slow key has signed. */
static void resume(struct tapsi_handshake *h)
{
    struct dtls *dtls = TAPSI_CONTAINER(h, struct dtls, hs);
    if (!dtls->layer.dead && !dtls->failing && dtls->layer.state == TAPSI_LAYER_STARTING)
        progress(dtls);
}

static void on_timer(struct tapsi_timer *timer)
{
    struct dtls *dtls = TAPSI_CONTAINER(timer, struct dtls, timer);
    if (dtls->failing || dtls->layer.state != TAPSI_LAYER_STARTING)
        return;
    if (tapsi_loop_now(dtls->layer.env->loop) < dtls->deadline)
        progress(dtls);
    else
        time_out(dtls);
}

/* ------------------------------------------------------------------------------------- what comes from below */

static void below_ready(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_ready_info *info)
{
    (void)below;
    (void)info;
    begin(TAPSI_CONTAINER(sink, struct dtls, lower));
}

static void below_data(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_slice *slice)
{
    (void)below;
    struct dtls *dtls = TAPSI_CONTAINER(sink, struct dtls, lower);
    bool useful = !dtls->failing && !dtls->peer_ended && !dtls->layer.dead;
    if (useful && !dtls->hs.session)
        useful = admit(dtls, slice);
    if (useful && tapsi_dtls_feed(dtls, slice))
        progress(dtls);
    else if (!dtls->layer.dead)
        grant(dtls);
    dtls->in = NULL; /* the slice's; what GnuTLS left of it is lost */
    dtls->in_length = 0;
}

/* All ops first, then the last word. */
static void close_up(struct dtls *dtls, const struct tapsi_error *error)
{
    tapsi_task_cancel(&dtls->report);
    tapsi_timer_cancel(dtls->layer.env->loop, &dtls->timer);
    tapsi_layer_fail_queue(&dtls->layer, error ? error->pub.code : TAPS_E_CLOSED);
    tapsi_layer_closed(&dtls->layer, error);
}

static void below_closed(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_error *error)
{
    (void)below;
    struct dtls *dtls = TAPSI_CONTAINER(sink, struct dtls, lower);
    struct tapsi_error unsaid;
    close_up(dtls, dtls->failing ? tapsi_handshake_why(&dtls->hs, &unsaid) : error);
}

/* "Nobody listens" ends an attempt: that is what the others of its race wait for. Whatever else the network says may
   pass before the handshake's time is over. */
static bool is_refusal(const struct dtls *dtls, enum tapsi_event event, const struct tapsi_error *error)
{
    return event == TAPSI_EVENT_SOFT_ERROR && error->pub.code == TAPS_E_REFUSED && !dtls->failing &&
           dtls->layer.state == TAPSI_LAYER_STARTING && dtls->layer.role == TAPSI_ROLE_CLIENT;
}

static void below_event(struct tapsi_sink *sink, struct tapsi_layer *below, enum tapsi_event event, const void *value)
{
    (void)below;
    struct dtls *dtls = TAPSI_CONTAINER(sink, struct dtls, lower);
    if (event == TAPSI_EVENT_PATH && is_open(dtls))
        take_mtu(dtls);
    if (is_refusal(dtls, event, value)) {
        struct tapsi_error *error = tapsi_dtls_error(dtls);
        if (error)
            tapsi_error_copy(error, value);
        tapsi_dtls_fail(dtls, 0);
    } else {
        tapsi_layer_event(&dtls->layer, event, value);
    }
}

static const struct tapsi_sink_ops lower_ops = {
    .ready = below_ready,
    .data = below_data,
    .closed = below_closed,
    .event = below_event,
};

/* ------------------------------------------------------------------------------------------------- failing */

static void report(struct tapsi_task *task)
{
    struct dtls *dtls = TAPSI_CONTAINER(task, struct dtls, report);
    struct tapsi_error unsaid;
    close_up(dtls, tapsi_handshake_why(&dtls->hs, &unsaid));
}

void tapsi_dtls_fail(struct dtls *dtls, int alert)
{
    if (dtls->failing)
        return;
    dtls->failing = true;
    if (alert && dtls->hs.session)
        gnutls_alert_send(dtls->hs.session, GNUTLS_AL_FATAL, (gnutls_alert_description_t)alert);
    tapsi_layer_dirty(&dtls->layer);
}

/* What a peer says that is destroyed for a reason. */
static bool is_abort(const struct dtls *dtls, int r)
{
    return r == GNUTLS_E_FATAL_ALERT_RECEIVED && is_open(dtls) &&
           gnutls_alert_get(dtls->hs.session) == GNUTLS_A_USER_CANCELED;
}

void tapsi_dtls_fail_gnutls(struct dtls *dtls, int r, const char *doing)
{
    if (dtls->failing)
        return;
    if (is_abort(dtls, r))
        tapsi_error_native(tapsi_dtls_error(dtls), TAPS_E_ABORTED, TAPS_DOMAIN_TLS, GNUTLS_A_USER_CANCELED,
                           "%s gave the connection up", dtls->hs.peer);
    tapsi_dtls_fail(dtls, tapsi_handshake_describe(&dtls->hs, r, doing));
}

/* Posted work runs after the flush of all layers below. */
static void flush_failure(struct dtls *dtls)
{
    if (dtls->reporting)
        return;
    dtls->reporting = true;
    tapsi_loop_post(dtls->layer.env->loop, &dtls->report);
}

/* ---------------------------------------------------------------------------------------------- down-calls */

static int start(struct tapsi_layer *layer)
{
    struct dtls *dtls = dtls_of(layer);
    if (layer->below->state != TAPSI_LAYER_READY)
        return tapsi_layer_start(layer->below);
    begin(dtls);
    return 0;
}

static int send_op(struct tapsi_layer *layer, struct tapsi_op *op)
{
    if (layer->state != TAPSI_LAYER_READY)
        return TAPS_E_CLOSED;
    if (op->length == 0 && !(op->flags & TAPSI_OP_FINAL))
        return TAPS_E_MESSAGE_PROPERTIES;
    return tapsi_layer_enqueue(layer, op);
}

static void want(struct tapsi_layer *layer)
{
    tapsi_layer_dirty(layer);
}

/* The peer reads no more: what waits will not be sent. */
static void follow_peer(struct dtls *dtls)
{
    tapsi_layer_fail_queue(&dtls->layer, TAPS_E_CLOSED);
    if (!dtls->layer.dead && dtls->layer.state == TAPSI_LAYER_READY)
        tapsi_layer_set_state(&dtls->layer, TAPSI_LAYER_CLOSING);
}

/* All Messages are below: close_notify behind them, and below may close. */
static void end(struct dtls *dtls)
{
    if (dtls->ending)
        return;
    dtls->ending = true;
    gnutls_bye(dtls->hs.session, GNUTLS_SHUT_WR); /* no failure of it is worth a word now */
    int err = tapsi_layer_close(dtls->layer.below);
    if (!err)
        return;
    tapsi_error_set(tapsi_dtls_error(dtls), err, "the datagrams under DTLS cannot be closed");
    tapsi_dtls_fail(dtls, 0);
}

static void flush_open(struct dtls *dtls)
{
    tapsi_dtls_read(dtls);
    if (!dtls->layer.dead)
        grant(dtls);
    if (!dtls->layer.dead && dtls->peer_ended)
        follow_peer(dtls);
    tapsi_dtls_write(dtls);
    if (!dtls->layer.dead && !dtls->failing && dtls->layer.state == TAPSI_LAYER_CLOSING)
        end(dtls);
}

static void flush(struct tapsi_layer *layer)
{
    struct dtls *dtls = dtls_of(layer);
    if (layer->state == TAPSI_LAYER_CLOSED)
        return;
    if (!dtls->failing && layer->state == TAPSI_LAYER_STARTING) {
        if (dtls->hs.session)
            progress(dtls);
        else
            grant(dtls);
    }
    if (!layer->dead && !dtls->failing && is_open(dtls))
        flush_open(dtls);
    if (!layer->dead && dtls->failing)
        flush_failure(dtls);
}

static int close_dtls(struct tapsi_layer *layer)
{
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

/* Nobody flushes what is destroyed, so the alert is brought to the kernel here. */
static void tell_peer(struct dtls *dtls)
{
    struct tapsi_layer *below = dtls->layer.below;
    if (!is_open(dtls) || dtls->failing || dtls->ending || dtls->peer_ended || below->state != TAPSI_LAYER_READY)
        return;
    tapsi_layer_want(below, 0);
    gnutls_alert_send(dtls->hs.session, GNUTLS_AL_FATAL, GNUTLS_A_USER_CANCELED);
    below->ops->flush(below);
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct dtls *dtls = dtls_of(layer);
    if (reason)
        tell_peer(dtls);
    tapsi_handshake_forget(&dtls->hs);
    tapsi_task_cancel(&dtls->report);
    tapsi_timer_done(layer->env->loop, &dtls->timer);
}

static void free_dtls(struct tapsi_layer *layer)
{
    struct dtls *dtls = dtls_of(layer);
    if (dtls->held)
        gnutls_packet_deinit(dtls->held);
    tapsi_handshake_done(&dtls->hs);
    tapsi_free(&layer->env->loop->mem, dtls);
}

/* The layer below is asked first: it looks what the path is like now. */
static int get_length(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    if (what == TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN && tapsi_layer_get(layer->below, what, ret) == 0)
        take_mtu(dtls_of(layer));
    uint64_t length = what == TAPS_RECV_MSG_MAX_LEN ? DTLS_RECORD_MAX : layer->mtu;
    ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = length};
    return TAPSI_HANDLED;
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct dtls *dtls = dtls_of(layer);
    if (what == TAPSI_GET_UNSENT) {
        int err = tapsi_layer_get(layer->below, what, ret);
        if (err == 0)
            ret->value.integer += layer->queued;
        return err;
    }
    if (what == TAPSI_GET_SPOKE) {
        ret->value.boolean = dtls->hs.spoke;
        return TAPSI_HANDLED;
    }
    if (layer->state < TAPSI_LAYER_READY || !dtls->hs.session)
        return TAPSI_PASS;
    switch (what) {
    case TAPSI_GET_ALPN:
        ret->text = dtls->hs.alpn;
        return TAPSI_HANDLED;
    case TAPSI_GET_HANDSHAKE:
        ret->handshake = &dtls->hs;
        return TAPSI_HANDLED;
    case TAPSI_GET_SECURITY:
        ret->text = tapsi_handshake_version(&dtls->hs);
        return TAPSI_HANDLED;
    case TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN:
    case TAPS_SEND_MSG_MAX_LEN:
    case TAPS_RECV_MSG_MAX_LEN:
        return get_length(layer, what, ret);
    default:
        return TAPSI_PASS;
    }
}

static const struct tapsi_layer_ops layer_ops = {
    .start = start,
    .send = send_op,
    .want = want,
    .flush = flush,
    .close = close_dtls,
    .destroy = destroy,
    .free = free_dtls,
    .get = get,
};

static int check(struct tapsi_env *env, enum tapsi_role role, struct tapsi_error *ret_error)
{
    const struct tapsi_credentials *credentials;
    return env->security ? tapsi_credentials(env->security, role, TAPSI_SECURE_DTLS, &credentials, ret_error) : 0;
}

const struct tapsi_proto tapsi_proto_dtls = {
    .name = "dtls",
    .needs = TAPSI_NEEDS_DATAGRAM,
    .offers = TAPSI_OFFERS_DATAGRAM,
    .secure = true,
    .make = make,
    .check = check,
    .gate = &tapsi_dtls_gate,
};
