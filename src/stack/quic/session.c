/*
 * A session: one QUIC connection, with the streams that are its layers.
 *
 * HANDSHAKE -> OPEN (verified, and the ALPN protocol is agreed on) -> OVER. While the application is asked whether it
 * trusts the peer, a handshake that is done stays HANDSHAKE (`asked`): nothing of the peer's goes up, nothing is sent.
 * Over, the engine is gone and the streams have heard, or hear at the next `run`, how it ended; what they hold and
 * nobody has wanted yet stays theirs.
 *
 * Each event has two halves. First the engine is run (reading, a timer, a call from above that it must know of), and
 * only records; then `run` looks at what was recorded: the handshake's end, streams waiting to be opened, news of
 * streams, streams of the peer. It calls up, and whatever is called may destroy any stream: lists are walked by their
 * first member, and the session is held meanwhile. What is to be sent is written at the turn's flush.
 *
 * A client's session ends with its last layer. A server's stays for the peer's next stream as long as somebody listens.
 *
 * References: each stream has one, the endpoint one as long as the session is not over.
 */
#include <string.h>
#include "stack/quic/datagram.h"
#include "stack/registry.h"
#include "stack/secure/resume.h"

static void flush(struct tapsi_task *task);
static void resume(struct tapsi_handshake *h);
static void on_timer(struct tapsi_timer *timer);

/* --------------------------------------------------------------------------------------------------- making */

struct quic_session *tapsi_quic_session_new(struct tapsi_env *env, const struct tapsi_target *target,
                                            enum tapsi_role role, struct tapsi_error *ret_error)
{
    struct tapsi_mem *mem = &env->loop->mem;
    struct quic_session *s = tapsi_zalloc(mem, sizeof(*s));
    if (!s || tapsi_timer_init(env->loop, &s->timer, on_timer)) {
        tapsi_free(mem, s);
        tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a QUIC connection");
        return NULL;
    }
    if (tapsi_handshake_init(&s->hs, env, target, TAPSI_SECURE_QUIC, role, ret_error)) {
        tapsi_timer_done(env->loop, &s->timer);
        tapsi_free(mem, s);
        return NULL;
    }
    s->hs.user_data = s;
    s->hs.resume = resume;
    s->env = tapsi_env_ref(env);
    s->refs = 1;
    s->role = role;
    s->profile = env->properties->values[TAPS_CONN_CAPACITY_PROFILE].enumeration;
    s->times = tapsi_quic_times(env->properties);
    tapsi_task_init(&s->task, flush);
    s->policy = env->properties->values[TAPS_MULTIPATH_POLICY].enumeration;
    s->path = &s->first;
    s->first.session = s;
    tapsi_link_init(&s->first.link);
    tapsi_link_init(&s->paths);
    tapsi_link_init(&s->member);
    tapsi_link_init(&s->feed);
    tapsi_link_init(&s->streams);
    tapsi_link_init(&s->news);
    tapsi_sched_init(&s->sending, (enum taps_scheduler)env->properties->values[TAPS_CONN_SCHEDULER].enumeration,
                     QUIC_SEGMENT);
    tapsi_link_init(&s->opening[0]);
    tapsi_link_init(&s->opening[1]);
    tapsi_link_init(&s->arrivals);
    return s;
}

struct quic_session *tapsi_quic_ref(struct quic_session *s)
{
    s->refs++;
    return s;
}

static void free_session(struct tapsi_task *task)
{
    struct quic_session *s = TAPSI_CONTAINER(task, struct quic_session, task);
    struct tapsi_env *env = s->env;
    tapsi_handshake_done(&s->hs);
    tapsi_quic_forget_notes(s);
    tapsi_free(&env->loop->mem, s->error);
    tapsi_free(&env->loop->mem, s->warning);
    tapsi_free(&env->loop->mem, s);
    tapsi_env_unref(env);
}

void tapsi_quic_unref(struct quic_session *s)
{
    if (--s->refs)
        return;
    s->refs = 1; /* ending it holds it */
    tapsi_quic_end(s, NULL);
    s->refs = 0;
    tapsi_bond_done(&s->bond);
    tapsi_buffer_unref(s->plain);
    tapsi_buffer_unref(s->train);
    tapsi_buffer_unref(s->last);
    tapsi_timer_done(s->env->loop, &s->timer);
    tapsi_quic_mover_free(s);
    s->freed = true;
    tapsi_loop_reap(s->env->loop, &s->task, free_session);
}

void tapsi_quic_dirty(struct quic_session *s)
{
    if (!s->freed)
        tapsi_loop_flush(s->env->loop, &s->task, 0);
}

void tapsi_quic_count(struct quic_session *s, bool on)
{
    if (s->counted == on || !s->endpoint)
        return;
    unsigned *all = s->env->half_open;
    s->counted = on;
    s->endpoint->half_open += on ? 1 : -1u;
    if (all)
        *all += on ? 1 : -1u;
    if (!on)
        tapsi_quic_say_room(s->endpoint);
}

/* -------------------------------------------------------------------------------------------------- progress */

/* RFC 9001, 8.1: without an ALPN protocol there is no connection. */
static void refuse_alpn(struct quic_session *s)
{
    ngtcp2_ccerr why;
    struct tapsi_error *e = tapsi_quic_error(s);
    ngtcp2_ccerr_default(&why);
    ngtcp2_ccerr_set_tls_alert(&why, GNUTLS_A_NO_APPLICATION_PROTOCOL, NULL, 0);
    if (e && s->hs.error && s->hs.error->pub.code)
        tapsi_error_copy(e, s->hs.error);
    else
        tapsi_error_set(e, TAPS_E_TLS, "%s agreed on no ALPN protocol, which QUIC needs", s->hs.peer);
    tapsi_quic_end(s, &why);
}

/* The application does not trust the peer: the engine, which had done with the handshake, tells it so. */
static void refuse_peer(struct quic_session *s, int alert)
{
    ngtcp2_ccerr why;
    struct tapsi_error unsaid, *e = tapsi_quic_error(s);
    ngtcp2_ccerr_default(&why);
    ngtcp2_ccerr_set_tls_alert(&why, (uint8_t)alert, NULL, 0);
    if (e)
        tapsi_error_copy(e, tapsi_handshake_why(&s->hs, &unsaid));
    tapsi_quic_end(s, &why);
}

/* It has answered. If the handshake is not done yet, `complete` is still to come. */
static void resume(struct tapsi_handshake *h)
{
    struct quic_session *s = h->user_data;
    if (!s->asked || s->state != QUIC_HANDSHAKE)
        return;
    s->asked = false;
    s->completed = true;
    tapsi_quic_run(s);
}

static void complete(struct quic_session *s)
{
    s->completed = false;
    if (s->state != QUIC_HANDSHAKE)
        return;
    s->asked = tapsi_handshake_waits(&s->hs);
    if (s->asked)
        return;
    tapsi_quic_count(s, false);
    int alert = tapsi_handshake_refused(&s->hs);
    if (alert) {
        refuse_peer(s, alert);
        return;
    }
    if (!tapsi_handshake_take_alpn(&s->hs) || !s->hs.alpn) {
        refuse_alpn(s);
        return;
    }
    if (!tapsi_resume_finish(&s->hs)) {
        refuse_peer(s, s->hs.alert ? s->hs.alert : GNUTLS_A_ILLEGAL_PARAMETER);
        return;
    }
    s->state = QUIC_OPEN;
    s->admitted = true;
    tapsi_quic_settle_early(s);
    s->more_streams = true;
    if (s->fixed)
        tapsi_quic_judge_alone(s);
    tapsi_quic_keep_alive(s);
    if (s->datagrams || tapsi_quic_takes_datagrams(s))
        tapsi_quic_size_packets(s);
    if (s->endpoint)
        tapsi_quic_cids_remove(&s->endpoint->cids, s, s->odcid.data, s->odcid.datalen);
}

static void open_one(struct quic_stream *st)
{
    struct tapsi_ready_info info = tapsi_quic_stream_info(st);
    tapsi_list_remove(&st->turn);
    tapsi_quic_stream_queue(st); /* early data that was not taken */
    tapsi_layer_ready(&st->layer, &info);
}

/* As many as the peer allows. */
static void open_streams(struct quic_session *s)
{
    struct tapsi_link *link;
    s->more_streams = false;
    for (int uni = 0; uni < 2; uni++) {
        while (s->state == QUIC_OPEN && (link = tapsi_list_first(&s->opening[uni]))) {
            struct quic_stream *st = TAPSI_CONTAINER(link, struct quic_stream, turn);
            int r = st->engaged ? 0 : tapsi_quic_stream_open(st); /* those with early data are open */
            if (r == NGTCP2_ERR_STREAM_ID_BLOCKED)
                break;
            if (r != 0)
                tapsi_quic_fail(s, r);
            else
                open_one(st);
        }
    }
}

static void tell_news(struct quic_session *s)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&s->news)))
        tapsi_quic_stream_tell(TAPSI_CONTAINER(link, struct quic_stream, news));
}

static void enter(struct quic_session *s)
{
    tapsi_quic_ref(s);
    s->running = true;
}

/* An idle session has none of the buffers. */
static void let_go_of_buffer(struct quic_session *s)
{
    if (s->plain && s->plain->refs > 1)
        return; /* somebody holds what came: what comes next goes behind it */
    tapsi_buffer_unref(s->plain);
    s->plain = NULL;
}

static void leave(struct quic_session *s)
{
    s->running = false;
    let_go_of_buffer(s);
    if (s->leaving)
        tapsi_quic_leave(s);
    if (s->state == QUIC_OVER && s->endpoint && !s->lingers)
        tapsi_quic_endpoint_leave(s);
    tapsi_quic_unref(s);
}

static void tell(struct quic_session *s)
{
    if (s->completed)
        complete(s);
    if (s->more_streams && s->state == QUIC_OPEN)
        open_streams(s);
    if (s->mover)
        tapsi_quic_move(s);
    tell_news(s);
    tapsi_quic_arrivals(s);
    tapsi_quic_flow_tell(s);
    tell_news(s);
}

void tapsi_quic_run(struct quic_session *s)
{
    if (s->running)
        return;
    enter(s);
    tell(s);
    tapsi_quic_dirty(s);
    leave(s);
}

#define NEXT_TURN_NS 1 /* a timer due now would fire in this turn again */

/* RFC 9622, 8.1.3: how long the peer may acknowledge nothing of what was sent. */
static uint64_t patience(const struct quic_session *s)
{
    double seconds = s->times.connection;
    if (!s->unacked || s->state != QUIC_OPEN || seconds <= 0 || seconds >= 1e6)
        return UINT64_MAX;
    return s->progress + (uint64_t)(seconds * (double)TAPSI_S);
}

static void arm(struct quic_session *s)
{
    struct tapsi_loop *loop = s->env->loop;
    if (!s->conn || s->leaving)
        return;
    uint64_t expiry = ngtcp2_conn_get_expiry(s->conn), now = tapsi_loop_now(loop), most = patience(s);
    expiry = expiry < most ? expiry : most;
    if (s->streams_due && s->streams_due < expiry)
        expiry = s->streams_due;
    if (expiry == UINT64_MAX)
        tapsi_timer_cancel(loop, &s->timer);
    else if (!tapsi_timer_running(&s->timer) || s->timer.node.key != expiry)
        tapsi_timer_start_at(loop, &s->timer, expiry > now ? expiry : now + NEXT_TURN_NS);
}

#define ROUNDS_MOST 3

/* What was just told is often answered at once. Then the acknowledgement and the answer go in one packet, if writing
   waits until the application has heard: a round of this turn, or two or three where a stream begins or ends. */
static void flush(struct tapsi_task *task)
{
    struct quic_session *s = TAPSI_CONTAINER(task, struct quic_session, task);
    if (s->running)
        return;
    enter(s);
    tell(s);
    if (tapsi_loop_has_posts(s->env->loop) && s->held_back < ROUNDS_MOST) {
        s->held_back++;
        tapsi_quic_dirty(s);
    } else {
        s->held_back = 0;
        if (s->has_read) /* an acknowledgement goes with what is sent when it is due, after an eighth of a round trip */
            tapsi_loop_look_again(s->env->loop);
        s->has_read = false;
        tapsi_quic_write(s);
        tell(s);
        arm(s);
    }
    leave(s);
}

static void on_timer(struct tapsi_timer *timer)
{
    struct quic_session *s = TAPSI_CONTAINER(timer, struct quic_session, timer);
    if (s->state == QUIC_OVER && s->endpoint)
        tapsi_quic_endpoint_leave(s);
    if (s->away) {
        tapsi_quic_fail(s, NGTCP2_ERR_HANDSHAKE_TIMEOUT);
        tapsi_quic_dirty(s);
    }
    if (!s->conn)
        return;
    uint64_t now = tapsi_loop_now(s->env->loop);
    if (s->streams_due && s->streams_due <= now)
        tapsi_quic_allow_streams(s);
    int r = ngtcp2_conn_handle_expiry(s->conn, now);
    if (r == 0 && patience(s) <= now)
        r = NGTCP2_ERR_IDLE_CLOSE;
    if (r != 0)
        tapsi_quic_fail(s, r);
    tapsi_quic_dirty(s);
}

/* ---------------------------------------------------------------------------------------------------- ends */

/* The engine is gone: nobody reads what was sent any more. */
static void release_streams(struct quic_session *s)
{
    struct tapsi_link *next;
    for (struct tapsi_link *l = s->streams.next; l != &s->streams; l = next) {
        struct quic_stream *st = TAPSI_CONTAINER(l, struct quic_stream, link);
        next = l->next;
        if (!tapsi_link_on_list(&st->news))
            tapsi_list_append(&s->news, &st->news);
        if (st->engaged) {
            tapsi_quic_stream_release(st);
        }
    }
}

/* What came with the end has yet to go up. */
static bool has_newcomers(const struct quic_session *s)
{
    return !tapsi_list_empty(&s->arrivals) || (s->flow && s->flow->layer.state == TAPSI_LAYER_NEW);
}

/* Nobody else hears of a client that does not get in. */
static void log_failure(const struct quic_session *s)
{
    struct tapsi_error unsaid;
    const struct tapsi_error *why = s->role == TAPSI_ROLE_SERVER ? tapsi_quic_why(s, &unsaid) : NULL;
    if (why && s->state == QUIC_HANDSHAKE)
        tapsi_log(s->env->loop, TAPS_LOG_INFO, "QUIC: a connection was dropped: %s", why->text);
}

/* One that anybody can cause is kept as long as they are few: then what the client repeats fails once more. */
static bool may_linger(struct quic_session *s, bool was_open)
{
    struct quic_endpoint *e = s->endpoint;
    if (!e || !tapsi_quic_is_heard(e) || (!was_open && e->failing >= QUIC_FAILING_MOST))
        return false;
    s->failing = !was_open;
    e->failing += s->failing;
    return true;
}

void tapsi_quic_end(struct quic_session *s, const ngtcp2_ccerr *ccerr)
{
    bool was_open = s->state == QUIC_OPEN;
    if (s->state == QUIC_OVER)
        return;
    tapsi_quic_ref(s);
    tapsi_quic_come_back(s);
    uint64_t linger = s->conn ? 3 * ngtcp2_conn_get_pto(s->conn) : 1; /* RFC 9000, 10.2 */
    log_failure(s);
    if (ccerr && s->conn)
        tapsi_quic_write_close(s, ccerr);
    tapsi_quic_count(s, false);
    tapsi_handshake_forget(&s->hs);
    s->state = QUIC_OVER;
    ngtcp2_conn_del(s->conn);
    s->conn = NULL;
    tapsi_free(&s->env->loop->mem, s->spare);
    s->spare = NULL;
    tapsi_timer_cancel(s->env->loop, &s->timer);
    release_streams(s);
    if (s->role == TAPSI_ROLE_CLIENT && was_open)
        tapsi_quic_linger(s, linger);
    tapsi_quic_close_paths(s);
    s->lingers = may_linger(s, was_open);
    if (s->lingers)
        tapsi_timer_start(s->env->loop, &s->timer, linger);
    else if (s->endpoint && !has_newcomers(s))
        tapsi_quic_endpoint_leave(s);
    if (s->layers)
        tapsi_quic_dirty(s);
    tapsi_quic_unref(s);
}

void tapsi_quic_leave(struct quic_session *s)
{
    ngtcp2_ccerr none;
    s->leaving = true;
    if (s->state == QUIC_OVER)
        return;
    ngtcp2_ccerr_default(&none);
    if (s->state == QUIC_OPEN)
        tapsi_quic_write(s); /* what tells the peer how the last streams ended */
    tapsi_quic_end(s, &none);
}

void tapsi_quic_layer_gone(struct quic_session *s)
{
    s->layers--;
    if (!s->endpoint || !tapsi_quic_is_heard(s->endpoint))
        tapsi_quic_listener_gone(s);
}

void tapsi_quic_listener_gone(struct quic_session *s)
{
    if (s->state == QUIC_OVER && s->endpoint && !s->running)
        tapsi_quic_endpoint_leave(s);
    if (s->layers) {
        tapsi_quic_refuse_newcomers(s); /* the last of them comes back here */
        return;
    }
    s->leaving = true;
    if (!s->running)
        tapsi_quic_leave(s);
}

/* ------------------------------------------------------------------------------------------------------ proto */

int tapsi_quic_make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                    struct quic_session **ret, struct tapsi_error *ret_error)
{
    if (!target->remote || !tapsi_addr_port(target->remote))
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "QUIC needs a remote address with a port");
    struct quic_session *s = tapsi_quic_session_new(env, target, role, ret_error);
    if (!s)
        return ret_error ? ret_error->pub.code : TAPS_E_MEMORY;
    int err = tapsi_quic_open_path(s, target, ret_error);
    if (err)
        tapsi_quic_unref(s);
    else
        *ret = s;
    return err;
}

void tapsi_quic_start(struct quic_session *s)
{
    struct tapsi_error error;
    if (!s->conn && !s->away && s->state == QUIC_HANDSHAKE && tapsi_quic_connect(s, &error) != 0) {
        struct tapsi_error *e = tapsi_quic_error(s);
        if (e)
            tapsi_error_copy(e, &error);
        tapsi_quic_end(s, NULL);
    }
    tapsi_quic_dirty(s);
}

static int make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    (void)below;
    struct quic_session *s;
    bool uni = env->properties->values[TAPS_DIRECTION].enumeration == TAPS_UNIDIRECTIONAL_SEND;
    int err = tapsi_quic_make(env, target, role, &s, ret_error);
    if (err)
        return err;
    struct quic_stream *st = tapsi_quic_stream_new(s, env, uni);
    if (st)
        *ret = &st->layer;
    else
        err = tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a QUIC stream");
    tapsi_quic_unref(s);
    return err;
}

int tapsi_quic_check(struct tapsi_env *env, enum tapsi_role role, struct tapsi_error *ret_error)
{
    const struct tapsi_credentials *credentials;
    return env->security ? tapsi_credentials(env->security, role, TAPSI_SECURE_QUIC, &credentials, ret_error) : 0;
}

static int listen_for_streams(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                              struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    return tapsi_quic_listen(env, target, QUIC_STREAMS_OF, sink, ret, ret_error);
}

const struct tapsi_proto tapsi_proto_quic = {
    .name = "quic",
    .needs = TAPSI_NEEDS_NOTHING,
    .offers = TAPSI_OFFERS_STREAM,
    .secure = true,
    .make = make,
    .check = tapsi_quic_check,
    .listen = listen_for_streams,
};
