/*
 * The server's endpoint: one port, and the sessions of all who come in by it, told apart by connection IDs.
 *
 * A stranger's first packet makes a session if the Listener takes connections, its handshakes in progress are few, and
 * there is room. Above RETRY_AT handshakes it must first show, by Retry, that it is where it says: that keeps nothing.
 * Who has been here brings a token that shows it at once (resume.c).
 * The same answer goes out, by the bytes of the packet alone, to versions we do not speak, and a stateless reset to
 * packets of connections we do not have; resets are bounded in number.
 *
 * What streams the peers open go up by the Listener, at the cost of one of its `want` each; at 0 they wait, held to
 * their window. When the Listener is gone they go up by another stream of their session.
 *
 * A session that is over lingers for three PTO: it says its CONNECTION_CLOSE again to who has not heard it, or nothing
 * if the peer has closed.
 *
 * The endpoint lives as long as its Listener or any of its sessions; sessions without a stream end with the Listener.
 */
#include <string.h>
#include "stack/quic/datagram.h"
#include "stack/secure/issuer.h"

#define RETRY_AT       64
#define HALF_OPEN_MOST 1024
#define SESSIONS_MOST  65536
#define RETRY_LIFE     (10 * TAPSI_S) /* of its token */
#define RESETS_MOST    100            /* in a second */
#define REPLY_MOST     1200

struct quic_listener {
    struct tapsi_layer layer;
    struct quic_endpoint *endpoint;
    enum quic_kind kind;
    bool closing;
};

static struct quic_listener *listener_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct quic_listener, layer);
}

static struct quic_endpoint *endpoint_of(struct tapsi_port_user *user)
{
    return TAPSI_CONTAINER(user, struct quic_endpoint, user);
}

/* -------------------------------------------------------------------------------------------------- the endpoint */

bool tapsi_quic_is_heard(const struct quic_endpoint *e)
{
    return e->listeners[QUIC_STREAMS_OF] || e->listeners[QUIC_DATAGRAMS];
}

/* Both, if there are two, are of one environment. */
static struct tapsi_env *env_of(const struct quic_endpoint *e)
{
    const struct quic_listener *l = e->listeners[QUIC_STREAMS_OF];
    return l ? l->layer.env : e->listeners[QUIC_DATAGRAMS]->layer.env;
}

static bool listens(const struct quic_endpoint *e, enum quic_kind kind)
{
    const struct quic_listener *l = e->listeners[kind];
    return l && !l->closing && l->layer.want;
}

static void free_endpoint(struct tapsi_task *task)
{
    struct quic_endpoint *e = TAPSI_CONTAINER(task, struct quic_endpoint, task);
    struct tapsi_mem *mem = &e->loop->mem;
    tapsi_issuer_free(e->tokens);
    tapsi_free(mem, e->cids.buckets);
    tapsi_free(mem, e);
}

static void let_go(struct quic_endpoint *e)
{
    struct tapsi_link *link;
    if (tapsi_quic_is_heard(e) || e->count || e->guests || e->busy || !e->user.ops)
        return;
    while ((link = tapsi_list_pop(&e->fed))) /* their turn does not come any more */
        tapsi_quic_unref(TAPSI_CONTAINER(link, struct quic_session, feed));
    tapsi_port_leave(&e->user);
    e->user.ops = NULL;
    tapsi_loop_reap(e->loop, &e->task, free_endpoint);
}

static void leave_host(struct quic_session *s)
{
    struct quic_endpoint *host = s->host;
    s->host = NULL;
    if (!host)
        return;
    host->guests--;
    let_go(host);
}

void tapsi_quic_endpoint_leave(struct quic_session *s)
{
    struct quic_endpoint *e = s->endpoint;
    s->endpoint = NULL;
    leave_host(s);
    tapsi_quic_cids_forget(&e->cids, s);
    tapsi_list_remove(&s->member);
    e->failing -= s->failing;
    s->failing = false;
    e->count--;
    let_go(e);
    tapsi_quic_unref(s);
}

/* ---------------------------------------------------------------------------------------------------- replies */

static void reply(struct quic_endpoint *e, const struct tapsi_datagram *d, const uint8_t *bytes, ngtcp2_ssize length)
{
    struct tapsi_port_way way = {.to = d->from, .from = d->to, .interface_index = d->interface_index};
    if (length > 0)
        tapsi_port_write(e->user.port, &way, bytes, (size_t)length, 0);
}

static bool random_bytes(struct quic_endpoint *e, void *to, size_t count)
{
    struct tapsi_platform *p = e->loop->platform;
    return p->ops->random(p, to, count) >= 0;
}

static void negotiate_version(struct quic_endpoint *e, const struct tapsi_datagram *d, const ngtcp2_version_cid *vc)
{
    static const uint32_t versions[] = {NGTCP2_PROTO_VER_V1};
    uint8_t out[REPLY_MOST], unused;
    if (d->length < NGTCP2_MAX_UDP_PAYLOAD_SIZE || !random_bytes(e, &unused, 1))
        return;
    reply(e, d, out,
          ngtcp2_pkt_write_version_negotiation(out, sizeof(out), unused, vc->scid, vc->scidlen, vc->dcid, vc->dcidlen,
                                               versions, 1));
}

#define RESET_LEAST 43 /* a reset must be shorter than what it answers, and as long as a packet can be: 10.3 */

static void reset(struct quic_endpoint *e, const struct tapsi_datagram *d, const ngtcp2_version_cid *vc)
{
    uint8_t out[RESET_LEAST], token[NGTCP2_STATELESS_RESET_TOKENLEN], noise[RESET_LEAST - 16];
    ngtcp2_cid cid;
    uint64_t now = tapsi_loop_now(e->loop);
    if (now - e->reset_time >= TAPSI_S) {
        e->reset_time = now;
        e->resets = 0;
    }
    if (d->length <= RESET_LEAST || e->resets >= RESETS_MOST || !random_bytes(e, noise, sizeof(noise)))
        return;
    e->resets++;
    ngtcp2_cid_init(&cid, vc->dcid, vc->dcidlen);
    if (ngtcp2_crypto_generate_stateless_reset_token(token, e->secret, sizeof(e->secret), &cid) != 0)
        return;
    reply(e, d, out, ngtcp2_pkt_write_stateless_reset(out, sizeof(out), token, noise, sizeof(noise)));
}

static void retry(struct quic_endpoint *e, const struct tapsi_datagram *d, const ngtcp2_pkt_hd *hd)
{
    uint8_t out[REPLY_MOST], token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN];
    ngtcp2_cid scid = {.datalen = QUIC_CID};
    if (!random_bytes(e, scid.data, scid.datalen))
        return;
    ngtcp2_ssize length =
        ngtcp2_crypto_generate_retry_token(token, e->secret, sizeof(e->secret), hd->version, &d->from.sa,
                                           tapsi_addr_length(&d->from), &scid, &hd->dcid, tapsi_loop_now(e->loop));
    if (length < 0)
        return;
    reply(e, d, out,
          ngtcp2_crypto_write_retry(out, sizeof(out), hd->version, &hd->scid, &scid, &hd->dcid, token, (size_t)length));
}

/* -------------------------------------------------------------------------------------------------- strangers */

static bool is_pressed(const struct quic_endpoint *e)
{
    const unsigned *all = env_of(e)->half_open;
    return e->half_open >= RETRY_AT || (all && *all >= RETRY_AT);
}

/* Does the token prove the address? Of Retry, `ret_original` is what the client called us at first. */
static enum quic_proof proof_of(struct quic_endpoint *e, const struct tapsi_datagram *d, const ngtcp2_pkt_hd *hd,
                                ngtcp2_cid *ret_original)
{
    size_t length;
    const uint8_t *token = tapsi_ngtcp2_token(hd, &length);
    if (tapsi_quic_use_token(e, &d->from, token, length))
        return QUIC_TOKEN_PROOF;
    bool proof = length && token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY &&
                 ngtcp2_crypto_verify_retry_token(ret_original, token, length, e->secret, sizeof(e->secret),
                                                  hd->version, &d->from.sa, tapsi_addr_length(&d->from), &hd->dcid,
                                                  RETRY_LIFE, tapsi_loop_now(e->loop)) == 0;
    return proof ? QUIC_RETRY_PROOF : QUIC_NO_PROOF;
}

/* The next endpoint of the same Listeners, which were there at least, after `user`. NULL: there are no more. */
static struct tapsi_port_user *next_of(struct quic_endpoint *e, struct tapsi_port_user *user)
{
    do {
        user = tapsi_port_next(e->user.port, user, TAPSI_PORT_QUIC);
    } while (user && (user == &e->user || user->ops != e->user.ops));
    return user;
}

/* advertisesAltaddr (RFC 9622, 6.2.15): the client is told another address at which the Listener is, of the family that
   it uses, and that it can reach if it has reached this one. Without memory it is not. The endpoint there stays as long
   as the session: nobody else would hear it. */
static void find_second(struct quic_endpoint *e, struct quic_session *s)
{
    struct tapsi_port_user *user = NULL;
    if (!env_of(e)->properties->values[TAPS_ADVERTISES_ALTADDR].boolean)
        return;
    while (!s->second && (user = next_of(e, user))) {
        const union tapsi_addr *local = tapsi_port_local(user->port);
        if (local->sa.sa_family != s->local.sa.sa_family || tapsi_addr_reach(local) < tapsi_addr_reach(&s->local) ||
            tapsi_addr_is_any(local) || tapsi_addr_same_host(local, &s->local))
            continue;
        s->spare = tapsi_alloc(&e->loop->mem, QUIC_SPARE);
        s->second = s->spare ? tapsi_zalloc(&e->loop->mem, sizeof(*s->second)) : NULL;
        if (!s->second)
            return;
        s->second->session = s;
        s->second->local = *local;
        s->second->port = tapsi_port_ref(user->port);
        tapsi_link_init(&s->second->link);
        s->host = endpoint_of(user);
        s->host->guests++;
    }
}

/* It came in by another endpoint. */
static struct quic_session *session_of_others(struct quic_endpoint *e, const ngtcp2_version_cid *vc)
{
    struct tapsi_port_user *user = NULL;
    struct quic_session *s = NULL;
    while (e->guests && !s && (user = next_of(e, user)))
        s = tapsi_quic_cids_find(&endpoint_of(user)->cids, vc->dcid, vc->dcidlen);
    return s && s->host == e ? s : NULL;
}

/* The endpoint holds it. NULL: no memory, or it cannot begin. */
static struct quic_session *new_session(struct quic_endpoint *e, const struct tapsi_datagram *d,
                                        const ngtcp2_pkt_hd *hd, enum quic_proof proof, const ngtcp2_cid *original)
{
    struct tapsi_target none = {0};
    struct tapsi_error error;
    tapsi_error_set(&error, TAPS_E_MEMORY, "no memory for a QUIC connection");
    struct quic_session *s = tapsi_quic_session_new(env_of(e), &none, TAPSI_ROLE_SERVER, &error);
    if (!s)
        return NULL;
    s->first.port = tapsi_port_ref(e->user.port);
    s->remote = d->from;
    s->local = s->known = d->to;
    s->interface_index = d->interface_index;
    s->endpoint = e;
    find_second(e, s);
    s->odcid = hd->dcid;
    tapsi_list_append(&e->sessions, &s->member);
    e->count++;
    tapsi_quic_count(s, true);
    if (tapsi_quic_cids_add(&e->cids, s, hd->dcid.data, hd->dcid.datalen) == 0 &&
        tapsi_quic_accept(s, hd, proof, original, &error) == 0)
        return s;
    tapsi_log(e->loop, TAPS_LOG_INFO, "QUIC: a connection was dropped: %s", error.text);
    tapsi_quic_end(s, NULL);
    return NULL;
}

static bool takes_more(const struct quic_endpoint *e)
{
    return (listens(e, QUIC_STREAMS_OF) || listens(e, QUIC_DATAGRAMS)) && e->count < SESSIONS_MOST &&
           e->half_open < HALF_OPEN_MOST;
}

static struct quic_session *meet_stranger(struct quic_endpoint *e, const struct tapsi_datagram *d)
{
    ngtcp2_pkt_hd hd;
    ngtcp2_cid original;
    if (!takes_more(e) || tapsi_addr_port(&d->from) == 0 || ngtcp2_accept(&hd, d->data, d->length) != 0)
        return NULL;
    enum quic_proof proof = proof_of(e, d, &hd, &original);
    if (!proof && is_pressed(e)) {
        retry(e, d, &hd);
        return NULL;
    }
    return new_session(e, d, &hd, proof, &original);
}

/* ------------------------------------------------------------------------------------------------------ packets */

static bool is_long(const uint8_t *data)
{
    return data[0] & 0x80;
}

static struct quic_session *session_for(struct quic_endpoint *e, const struct tapsi_datagram *d)
{
    ngtcp2_version_cid vc;
    int r = ngtcp2_pkt_decode_version_cid(&vc, d->data, d->length, QUIC_CID);
    if (r == NGTCP2_ERR_VERSION_NEGOTIATION)
        negotiate_version(e, d, &vc);
    if (r != 0)
        return NULL;
    struct quic_session *s = tapsi_quic_cids_find(&e->cids, vc.dcid, vc.dcidlen);
    if (s)
        return s;
    if (is_long(d->data))
        return meet_stranger(e, d);
    s = session_of_others(e, &vc);
    if (!s)
        reset(e, d, &vc);
    return s;
}

static void feed(struct quic_endpoint *e, const struct tapsi_datagram *d)
{
    struct quic_session *s = session_for(e, d);
    if (!s)
        return;
    if (s->state == QUIC_OVER) {
        tapsi_quic_say_again(s, e, d);
        return;
    }
    if (!s->fed) {
        s->fed = true;
        tapsi_quic_ref(s);
        tapsi_list_append(&e->fed, &s->feed);
    }
    tapsi_quic_read(s, d);
}

static void on_packet(struct tapsi_port_user *user, const struct tapsi_datagram *d)
{
    struct quic_endpoint *e = endpoint_of(user);
    struct tapsi_datagram piece;
    size_t at = 0;
    e->busy++;
    while (tapsi_port_piece(d, &at, &piece))
        feed(e, &piece);
    e->busy--;
    let_go(e);
}

static void on_turn(struct tapsi_port_user *user)
{
    struct quic_endpoint *e = endpoint_of(user);
    struct tapsi_link *link;
    e->busy++;
    while ((link = tapsi_list_pop(&e->fed))) {
        struct quic_session *s = TAPSI_CONTAINER(link, struct quic_session, feed);
        s->fed = false;
        tapsi_quic_run(s);
        tapsi_quic_unref(s);
    }
    e->busy--;
    let_go(e);
}

static void wake_sessions(struct quic_endpoint *e)
{
    for (struct tapsi_link *l = e->sessions.next; l != &e->sessions; l = l->next) {
        struct quic_session *s = TAPSI_CONTAINER(l, struct quic_session, member);
        if (s->train_length)
            tapsi_quic_dirty(s);
    }
}

static void on_writable(struct tapsi_port_user *user)
{
    struct quic_endpoint *e = endpoint_of(user);
    struct tapsi_port_user *other = NULL;
    wake_sessions(e);
    while (e->guests && (other = next_of(e, other)))
        wake_sessions(endpoint_of(other));
}

static const struct tapsi_port_user_ops endpoint_ops = {.packet = on_packet, .turn = on_turn, .writable = on_writable};

/* --------------------------------------------------------------------------------------------- what goes up */

static struct tapsi_layer *living_layer(const struct quic_session *s)
{
    for (struct tapsi_link *l = s->streams.next; l != &s->streams; l = l->next) {
        struct quic_stream *st = TAPSI_CONTAINER(l, struct quic_stream, link);
        if (st->layered && !st->layer.dead && st->layer.state != TAPSI_LAYER_NEW &&
            st->layer.state != TAPSI_LAYER_CLOSED)
            return &st->layer;
    }
    return NULL;
}

static void give_to_listener(struct quic_listener *l, struct tapsi_layer *layer)
{
    if (!l || l->closing || !l->layer.up->ops->child) {
        tapsi_layer_destroy(layer, TAPS_E_CLOSED);
        return;
    }
    l->layer.want -= l->layer.want > 0;
    l->layer.up->ops->child(l->layer.up, &l->layer, layer);
}

static void go_up(struct quic_session *s, struct quic_stream *st)
{
    struct quic_listener *l = s->endpoint ? s->endpoint->listeners[QUIC_STREAMS_OF] : NULL;
    struct tapsi_layer *by = l ? NULL : living_layer(s);
    tapsi_list_remove(&st->turn);
    if (s->failed || !s->admitted) {
        tapsi_layer_destroy(&st->layer, TAPS_E_CLOSED);
        return;
    }
    tapsi_layer_set_state(&st->layer, TAPSI_LAYER_READY);
    tapsi_quic_stream_news(st);
    if (by)
        tapsi_layer_child(by, &st->layer);
    else
        give_to_listener(l, &st->layer);
}

bool tapsi_quic_takes_datagrams(const struct quic_session *s)
{
    return s->endpoint && listens(s->endpoint, QUIC_DATAGRAMS);
}

void tapsi_quic_datagrams_go_up(struct quic_session *s, struct tapsi_layer *layer)
{
    give_to_listener(s->endpoint ? s->endpoint->listeners[QUIC_DATAGRAMS] : NULL, layer);
}

/* Is there one who takes it now? */
static bool may_go_up(const struct quic_session *s)
{
    const struct quic_listener *l = s->endpoint ? s->endpoint->listeners[QUIC_STREAMS_OF] : NULL;
    return (s->state != QUIC_HANDSHAKE || s->early_in) &&
           (!l || (l->layer.want && !l->closing) || s->state == QUIC_OVER);
}

void tapsi_quic_arrivals(struct quic_session *s)
{
    struct tapsi_link *link;
    tapsi_quic_let_early_in(s);
    while (may_go_up(s) && (link = tapsi_list_first(&s->arrivals)))
        go_up(s, TAPSI_CONTAINER(link, struct quic_stream, turn));
}

void tapsi_quic_refuse_newcomers(struct quic_session *s)
{
    struct tapsi_link *link;
    while (!living_layer(s) && (link = tapsi_list_first(&s->arrivals)))
        tapsi_layer_destroy(&TAPSI_CONTAINER(link, struct quic_stream, turn)->layer, TAPS_E_CLOSED);
    if (s->flow && s->flow->layer.state == TAPSI_LAYER_NEW && s->role == TAPSI_ROLE_SERVER)
        tapsi_layer_destroy(&s->flow->layer, TAPS_E_CLOSED);
}

/* ------------------------------------------------------------------------------------------------ the listener */

static int refuse_start(struct tapsi_layer *layer)
{
    (void)layer;
    return TAPS_E_STATE;
}

static int refuse_send(struct tapsi_layer *layer, struct tapsi_op *op)
{
    (void)layer;
    (void)op;
    return TAPS_E_STATE;
}

static void want_listener(struct tapsi_layer *layer)
{
    struct quic_endpoint *e = listener_of(layer)->endpoint;
    for (struct tapsi_link *l = e->sessions.next; l != &e->sessions; l = l->next) {
        struct quic_session *s = TAPSI_CONTAINER(l, struct quic_session, member);
        if (!tapsi_list_empty(&s->arrivals))
            tapsi_quic_dirty(s);
    }
}

void tapsi_quic_say_room(struct quic_endpoint *e)
{
    for (int kind = 0; kind < QUIC_KINDS; kind++) {
        if (e->listeners[kind])
            tapsi_layer_dirty(&e->listeners[kind]->layer);
    }
}

static void flush_listener(struct tapsi_layer *layer)
{
    if (listener_of(layer)->closing)
        tapsi_layer_closed(layer, NULL);
    else
        tapsi_layer_event(layer, TAPSI_EVENT_ROOM, NULL);
}

static int close_listener(struct tapsi_layer *layer)
{
    listener_of(layer)->closing = true;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy_listener(struct tapsi_layer *layer, int reason)
{
    struct quic_endpoint *e = listener_of(layer)->endpoint;
    struct tapsi_link *next;
    (void)reason;
    e->listeners[listener_of(layer)->kind] = NULL;
    if (tapsi_quic_is_heard(e))
        return;
    e->busy++;
    for (struct tapsi_link *l = e->sessions.next; l != &e->sessions; l = next) {
        struct quic_session *s = TAPSI_CONTAINER(l, struct quic_session, member);
        next = l->next;
        tapsi_quic_listener_gone(s);
    }
    e->busy--;
    let_go(e);
}

static void free_listener(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, listener_of(layer));
}

static int get_listener(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    if (what != TAPSI_GET_LOCAL)
        return TAPSI_PASS;
    ret->address = *tapsi_port_local(listener_of(layer)->endpoint->user.port);
    return TAPSI_HANDLED;
}

static const struct tapsi_layer_ops listener_ops = {
    .start = refuse_start,
    .send = refuse_send,
    .want = want_listener,
    .flush = flush_listener,
    .close = close_listener,
    .destroy = destroy_listener,
    .free = free_listener,
    .get = get_listener,
};

static struct quic_endpoint *new_endpoint(struct tapsi_env *env, struct tapsi_error *ret_error)
{
    struct quic_endpoint *e = tapsi_zalloc(&env->loop->mem, sizeof(*e));
    if (!e) {
        tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a QUIC listener");
        return NULL;
    }
    e->loop = env->loop;
    e->user.ops = &endpoint_ops;
    e->user.class = TAPSI_PORT_QUIC;
    e->cids.mem = &env->loop->mem;
    tapsi_link_init(&e->sessions);
    tapsi_link_init(&e->fed);
    tapsi_task_init(&e->task, NULL);
    if (random_bytes(e, e->secret, sizeof(e->secret)) && random_bytes(e, &e->cids.key, sizeof(e->cids.key)))
        return e;
    tapsi_free(&env->loop->mem, e);
    tapsi_error_set(ret_error, TAPS_E_SYSTEM, "the system has no random numbers for QUIC");
    return NULL;
}

/* The one that the other kind of Listener has opened there, or a new one. */
static int find_endpoint(struct tapsi_env *env, const struct tapsi_target *target, enum quic_kind kind,
                         struct quic_endpoint **ret, struct tapsi_error *ret_error)
{
    struct tapsi_port_user *user = tapsi_port_holder(env, target, TAPSI_PORT_QUIC);
    if (user && user->ops == &endpoint_ops && !endpoint_of(user)->listeners[kind]) {
        *ret = endpoint_of(user);
        return 0;
    }
    struct quic_endpoint *e = new_endpoint(env, ret_error);
    if (!e)
        return ret_error ? ret_error->pub.code : TAPS_E_MEMORY;
    int err = tapsi_port_listen(env, target, TAPSI_PORT_QUIC, &e->user, ret_error);
    if (err)
        tapsi_free(&env->loop->mem, e);
    else
        *ret = e;
    return err;
}

int tapsi_quic_listen(struct tapsi_env *env, const struct tapsi_target *target, enum quic_kind kind,
                      struct tapsi_sink *sink, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    struct quic_endpoint *e = NULL;
    struct quic_listener *l = tapsi_zalloc(&env->loop->mem, sizeof(*l));
    int err = l ? find_endpoint(env, target, kind, &e, ret_error)
                : tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a QUIC listener");
    if (err) {
        tapsi_free(&env->loop->mem, l);
        return err;
    }
    tapsi_layer_init(&l->layer, &listener_ops, env, NULL);
    l->endpoint = e;
    l->kind = kind;
    l->layer.role = TAPSI_ROLE_SERVER;
    l->layer.up = sink;
    e->listeners[kind] = l;
    tapsi_layer_set_state(&l->layer, TAPSI_LAYER_READY);
    *ret = &l->layer;
    return 0;
}
