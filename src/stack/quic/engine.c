/*
 * The engine: how ngtcp2 and GnuTLS are set up, and what they call. The calls only record, since the engine must not be
 * entered again from within one, and nothing may call up: what they leave is in the flags of the session and its
 * streams, and on the lists `news` and `arrivals`.
 */
#include <gnutls/crypto.h>
#include <string.h>
#include "stack/quic/datagram.h"
#include "stack/secure/resume.h"

/* -------------------------------------------------------------------------------------------------- memory */

static struct tapsi_mem *mem_of(void *user)
{
    return &((struct quic_session *)user)->env->loop->mem;
}

/* 0.12 keeps the key of a server that prefers another address, though the key is freed, when the few bytes for the
   connection ID of that address cannot be had. So they are there already. */
static void *engine_malloc(size_t size, void *user)
{
    struct quic_session *s = user;
    void *block = tapsi_alloc(mem_of(user), size);
    if (!block && size <= QUIC_SPARE) {
        block = s->spare;
        s->spare = NULL;
    }
    return block;
}

static void engine_free(void *block, void *user)
{
    tapsi_free(mem_of(user), block);
}

static void *engine_calloc(size_t count, size_t size, void *user)
{
    return tapsi_calloc(mem_of(user), count ? count : 1, size ? size : 1);
}

static void *engine_realloc(void *block, size_t size, void *user)
{
    return block ? tapsi_resize(mem_of(user), block, size ? size : 1) : tapsi_alloc(mem_of(user), size);
}

/* --------------------------------------------------------------------------------------------------- streams */

static void note(struct quic_stream *st)
{
    if (!tapsi_link_on_list(&st->news))
        tapsi_list_append(&st->session->news, &st->news);
}

static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *user)
{
    struct quic_session *s = user;
    struct quic_stream *st = tapsi_quic_stream_new(s, s->env, !ngtcp2_is_bidi_stream(id));
    if (!st)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    st->remote = true;
    uint64_t number = (uint64_t)id / 4 + 1;
    if (number > s->streams_used[st->uni])
        s->streams_used[st->uni] = number;
    st->id = id;
    st->engaged = true;
    ngtcp2_conn_set_stream_user_data(conn, id, st);
    tapsi_list_append(&s->arrivals, &st->turn);
    return 0;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset, const uint8_t *data,
                          size_t length, void *user, void *stream)
{
    struct quic_session *s = user;
    struct quic_stream *st = stream;
    (void)id;
    (void)offset;
    bool fin = flags & NGTCP2_STREAM_DATA_FLAG_FIN;
    s->held += length;
    s->owed += length;
    tapsi_quic_give_back(s);
    if (!st || st->layer.dead || (length && tapsi_quic_keep(st, data, length, flags & NGTCP2_STREAM_DATA_FLAG_0RTT))) {
        s->held -= length;
        tapsi_quic_give_back(s);
        if (st && !st->layer.dead)
            return NGTCP2_ERR_CALLBACK_FAILURE; /* what was acknowledged must not be lost */
        if (fin && st) {
            st->fin_received = true;
            note(st);
        }
        return 0;
    }
    (void)conn;
    st->fin_received |= fin;
    st->early |= st->remote && flags & NGTCP2_STREAM_DATA_FLAG_0RTT;
    note(st);
    return 0;
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t final_size, uint64_t code, void *user, void *stream)
{
    struct quic_stream *st = stream;
    (void)conn;
    (void)id;
    (void)final_size;
    (void)user;
    if (!st)
        return 0;
    st->reset = true;
    st->reset_code = code;
    note(st);
    return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code, void *user, void *stream)
{
    struct quic_stream *st = stream;
    (void)conn;
    (void)flags;
    (void)id;
    (void)code;
    (void)user;
    if (!st)
        return 0;
    st->engine_closed = true;
    note(st);
    return 0;
}

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t length, void *user, void *stream)
{
    struct quic_stream *st = stream;
    (void)conn;
    (void)id;
    (void)offset;
    (void)user;
    if (!st)
        return 0;
    st->acked_news += length;
    st->session->unacked -= length;
    st->session->progress = tapsi_loop_now(st->session->env->loop);
    st->acked = offset + length;
    note(st);
    return 0;
}

static int on_stream_window(ngtcp2_conn *conn, int64_t id, uint64_t most, void *user, void *stream)
{
    struct quic_stream *st = stream;
    (void)conn;
    (void)id;
    (void)most;
    (void)user;
    if (!st)
        return 0;
    st->blocked = false;
    tapsi_quic_stream_queue(st);
    return 0;
}

static int on_more_streams(ngtcp2_conn *conn, uint64_t most, void *user)
{
    (void)conn;
    (void)most;
    ((struct quic_session *)user)->more_streams = true;
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- session */

static int on_completed(ngtcp2_conn *conn, void *user)
{
    struct quic_session *s = user;
    s->completed = true;
    if (s->role == TAPSI_ROLE_SERVER) {
        tapsi_quic_give_tickets(s);
        return 0;
    }
    if (!s->early || tapsi_resume_early_taken(&s->hs))
        return 0;
    s->early_refused = true;
    return ngtcp2_conn_tls_early_data_rejected(conn);
}

#if QUIC_NGTCP2_1
static int on_token(ngtcp2_conn *conn, const uint8_t *token, size_t length, void *user)
{
    (void)conn;
    tapsi_quic_token_came(user, token, length);
    return 0;
}
#else
static int on_token(ngtcp2_conn *conn, const ngtcp2_vec *token, void *user)
{
    (void)conn;
    tapsi_quic_token_came(user, token->base, token->len);
    return 0;
}
#endif

static int on_reset(ngtcp2_conn *conn, const ngtcp2_pkt_stateless_reset *reset, void *user)
{
    (void)conn;
    (void)reset;
    ((struct quic_session *)user)->reset = true;
    return 0;
}

static void on_random(uint8_t *to, size_t length, const ngtcp2_rand_ctx *context)
{
    struct quic_session *s = context->native_handle;
    struct tapsi_platform *p = s->env->loop->platform;
    if (p->ops->random(p, to, length) < 0)
        gnutls_rnd(GNUTLS_RND_NONCE, to, length);
}

static int on_confirmed(ngtcp2_conn *conn, void *user)
{
    (void)conn;
    ((struct quic_session *)user)->confirmed = true;
    return 0;
}

static void note_validation(struct quic_session *s, const ngtcp2_path *path, ngtcp2_path_validation_result result)
{
    struct quic_path *p = s->role == TAPSI_ROLE_CLIENT ? tapsi_quic_find_path(s, path) : NULL;
    if (p)
        p->verdict = (uint8_t)result + 1;
    if (result == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS) {
        s->unproven = 0;
        s->proven = tapsi_loop_now(s->env->loop);
    }
    if (result == NGTCP2_PATH_VALIDATION_RESULT_FAILURE)
        s->pinned = 0; /* the engine is back on the path before, and done */
}

/* A server would rather be met at another address. This opens a socket, for which the engine has to be told now. */
static int on_preferred(ngtcp2_conn *conn, ngtcp2_path *to, const ngtcp2_preferred_addr *preferred, void *user)
{
    struct quic_session *s = user;
    union tapsi_addr remote = {0};
    (void)conn;
    if (s->remote.sa.sa_family == AF_INET && preferred->ipv4_present)
        remote.in = preferred->ipv4;
    else if (s->remote.sa.sa_family == AF_INET6 && preferred->ipv6_present)
        remote.in6 = preferred->ipv6;
    else
        return 0;
    const struct quic_path *path = tapsi_quic_try(s, &remote);
    if (!path)
        return 0;
    to->local.addrlen = tapsi_addr_length(&path->local);
    to->remote.addrlen = tapsi_addr_length(&path->remote);
    memcpy(to->local.addr, &path->local, to->local.addrlen);
    memcpy(to->remote.addr, &path->remote, to->remote.addrlen);
    return 0;
}

#if QUIC_NGTCP2_1
static int on_validated(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path, const ngtcp2_path *fallback,
                        ngtcp2_path_validation_result result, void *user)
{
    (void)conn;
    (void)flags;
    (void)fallback;
    note_validation(user, path, result);
    return 0;
}
#else
static int on_validated(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path,
                        ngtcp2_path_validation_result result, void *user)
{
    (void)conn;
    (void)flags;
    note_validation(user, path, result);
    return 0;
}
#endif

static int new_cid(struct quic_session *s, ngtcp2_cid *cid, size_t length)
{
    struct tapsi_platform *p = s->env->loop->platform;
    cid->datalen = length;
    if (p->ops->random(p, cid->data, length) < 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    if (s->endpoint && tapsi_quic_cids_add(&s->endpoint->cids, s, cid->data, length) != 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int reset_token(const struct quic_session *s, const ngtcp2_cid *cid, uint8_t *token)
{
    struct tapsi_platform *p = s->env->loop->platform;
    if (s->endpoint)
        return ngtcp2_crypto_generate_stateless_reset_token(token, s->endpoint->secret, sizeof(s->endpoint->secret),
                                                            cid);
    return p->ops->random(p, token, NGTCP2_STATELESS_RESET_TOKENLEN) < 0 ? -1 : 0;
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t length, void *user)
{
    struct quic_session *s = user;
    (void)conn;
    int err = new_cid(s, cid, length);
    return err ? err : reset_token(s, cid, token) < 0 ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_remove_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *user)
{
    struct quic_session *s = user;
    (void)conn;
    if (s->endpoint)
        tapsi_quic_cids_remove(&s->endpoint->cids, s, cid->data, cid->datalen);
    return 0;
}

static const ngtcp2_callbacks callbacks = {
    .client_initial = ngtcp2_crypto_client_initial_cb,
    .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
    .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
    .handshake_completed = on_completed,
    .encrypt = ngtcp2_crypto_encrypt_cb,
    .decrypt = tapsi_quic_decrypt,
    .hp_mask = ngtcp2_crypto_hp_mask_cb,
    .recv_stream_data = on_stream_data,
    .acked_stream_data_offset = on_acked,
    .stream_open = on_stream_open,
    .stream_close = on_stream_close,
    .recv_stateless_reset = on_reset,
    .recv_retry = ngtcp2_crypto_recv_retry_cb,
    .extend_max_local_streams_bidi = on_more_streams,
    .extend_max_local_streams_uni = on_more_streams,
    .rand = on_random,
    .get_new_connection_id = on_new_cid,
    .remove_connection_id = on_remove_cid,
    .update_key = ngtcp2_crypto_update_key_cb,
    .stream_reset = on_stream_reset,
    .recv_datagram = tapsi_quic_datagram_came,
    .recv_new_token = on_token,
    .extend_max_stream_data = on_stream_window,
    .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
    .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
    .handshake_confirmed = on_confirmed,
    .path_validation = on_validated,
    .select_preferred_addr = on_preferred,
    .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
    .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

/* ------------------------------------------------------------------------------------------------------ set up */

struct quic_times tapsi_quic_times(const struct tapsi_properties *p)
{
    return (struct quic_times){.connection = p->values[TAPS_CONN_TIMEOUT].number,
                               .keep_alive = p->values[TAPS_KEEP_ALIVE_TIMEOUT].number,
                               .keep_alive_set = tapsi_properties_is_set(p, TAPS_KEEP_ALIVE_TIMEOUT),
                               .keeps_alive = tapsi_preference(p, TAPS_KEEP_ALIVE)};
}

static uint64_t idle_timeout(const struct quic_times *t)
{
    double seconds = t->connection;
    return seconds > 0 && seconds < 1e6 ? (uint64_t)(seconds * (double)TAPSI_S) : QUIC_IDLE;
}

/* There must be somebody to take them. */
static uint64_t streams_allowed(const struct quic_session *s)
{
    uint64_t limit = s->env->properties->values[TAPS_GROUP_CONN_LIMIT].integer;
    if (s->datagrams || (s->endpoint && !s->endpoint->listeners[QUIC_STREAMS_OF]))
        return 0;
    if (limit == TAPS_INFINITE)
        return QUIC_STREAMS;
    return limit < QUIC_STREAMS_MOST ? limit : QUIC_STREAMS_MOST;
}

static bool takes_datagrams(const struct quic_session *s)
{
    return s->endpoint ? s->endpoint->listeners[QUIC_DATAGRAMS] != NULL : s->datagrams;
}

void tapsi_quic_parameters(struct quic_session *s, ngtcp2_transport_params *params, ngtcp2_settings *settings)
{
    ngtcp2_settings_default(settings);
    settings->initial_ts = tapsi_loop_now(s->env->loop);
    settings->rand_ctx.native_handle = (void *)(uintptr_t)s;
    settings->cc_algo = NGTCP2_CC_ALGO_CUBIC;
    settings->max_stream_window = QUIC_STREAM_MOST;
    settings->max_window = QUIC_MOST;
    s->local_peer = tapsi_quic_is_local(s);
    if (s->local_peer) {
        settings->no_tx_udp_payload_size_shaping = 1;
        settings->max_tx_udp_payload_size = QUIC_PACKET_LOCAL;
        settings->ack_thresh = 1; /* else it is due after an eighth of a round trip: just behind the answer */
    }
    settings->handshake_timeout = QUIC_HANDSHAKE_TIME; /* 1.x has none by itself */
    ngtcp2_transport_params_default(params);
    params->initial_max_stream_data_bidi_local = QUIC_STREAM_WINDOW;
    params->initial_max_stream_data_bidi_remote = QUIC_STREAM_WINDOW;
    params->initial_max_stream_data_uni = QUIC_STREAM_WINDOW;
    params->initial_max_data = QUIC_WINDOW;
    s->streams_allowed = streams_allowed(s);
    params->initial_max_streams_bidi = s->streams_allowed;
    params->initial_max_streams_uni = s->streams_allowed;
    s->streams_granted[0] = s->streams_granted[1] = s->streams_allowed;
    params->max_datagram_frame_size = takes_datagrams(s) ? QUIC_FRAME_MOST : 0;
    params->max_idle_timeout = idle_timeout(&s->times);
    params->active_connection_id_limit = 7;
    s->fixed = s->role == TAPSI_ROLE_SERVER &&
               tapsi_select_multipath(s->env->properties, TAPSI_ROLE_SERVER) == TAPS_MULTIPATH_DISABLED;
    params->disable_active_migration = s->fixed;
}

/* As TCP has it: a time beyond connTimeout, or one set to disabled, means none at all (RFC 9622, 8.1.4). */
static bool keeps_alive(const struct quic_times *t)
{
    bool beyond = t->connection > 0 && t->keep_alive > t->connection;
    bool wanted = t->keep_alive_set ? t->keep_alive >= 0 : t->keeps_alive > TAPS_NO_PREFERENCE;
    return t->keeps_alive != TAPS_PROHIBIT && !beyond && wanted;
}

void tapsi_quic_keep_alive(struct quic_session *s)
{
    double seconds = s->times.keep_alive;
    bool on = keeps_alive(&s->times);
    uint64_t after = seconds > 0 && seconds < 1e6 ? (uint64_t)(seconds * (double)TAPSI_S) : idle_timeout(&s->times) / 2;
    if (!s->conn || s->state != QUIC_OPEN)
        return;
    if (on)
        ngtcp2_conn_set_keep_alive_timeout(s->conn, after);
    else if (s->keeps_alive)
        ngtcp2_conn_set_keep_alive_timeout(s->conn, QUIC_NGTCP2_1 ? UINT64_MAX : 0);
    s->keeps_alive = on;
}

ngtcp2_path tapsi_quic_ngtcp2_path(struct quic_session *s)
{
    return (ngtcp2_path){.local = {&s->known.sa, tapsi_addr_length(&s->known)},
                         .remote = {&s->remote.sa, tapsi_addr_length(&s->remote)},
                         .user_data = NULL};
}

static void *conn_of(void *handshake)
{
    return ((struct quic_session *)((struct tapsi_handshake *)handshake)->user_data)->conn;
}

/* The words of what failed are in the handshake. */
static int open_tls(struct quic_session *s, struct tapsi_error *ret_error)
{
    struct tapsi_error unsaid;
    unsigned flags = GNUTLS_NO_END_OF_EARLY_DATA | GNUTLS_NO_AUTO_SEND_TICKET | GNUTLS_NO_SIGNAL;
    flags |= tapsi_resume_flags(&s->hs, s->role) | (s->early ? GNUTLS_ENABLE_EARLY_DATA : 0u);
    s->hs.get_conn = conn_of;
    s->hs.user_data = s;
    s->hs.sends_early = s->early;
    int r = tapsi_handshake_open(&s->hs, s->role, flags);
    if (r >= 0)
        r = tapsi_quic_resume(s);
    if (r < 0) {
        const struct tapsi_error *why = tapsi_handshake_why(&s->hs, &unsaid);
        tapsi_error_copy(ret_error, why);
        return ret_error->pub.code;
    }
    r = s->role == TAPSI_ROLE_SERVER ? ngtcp2_crypto_gnutls_configure_server_session(s->hs.session)
                                     : ngtcp2_crypto_gnutls_configure_client_session(s->hs.session);
    if (r != 0)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for QUIC with %s", s->hs.peer);
    ngtcp2_conn_set_tls_native_handle(s->conn, s->hs.session);
    return 0;
}

/* Borrowed by the engine for as long as it lives. */
static const ngtcp2_mem *memory_of(struct quic_session *s)
{
    s->mem = (ngtcp2_mem){s, engine_malloc, engine_free, engine_calloc, engine_realloc};
    return &s->mem;
}

/* By its first bits QUIC is told from others on the port, so the peer must not be allowed to play with them (RFC 9443,
   3). The engine always allows it, whatever it was given, so this is said behind its back, before it has told it. */
static void forbid_grease(ngtcp2_conn *conn)
{
    ngtcp2_transport_params *params =
        (ngtcp2_transport_params *)(uintptr_t)ngtcp2_conn_get_local_transport_params(conn);
    params->grease_quic_bit = 0;
}

/* The engine would drop what comes from elsewhere by what it knows of this end's address, which is not all of it
   (tapsi_quic_read looks itself). It has told the peer. */
void tapsi_quic_judge_alone(struct quic_session *s)
{
    ngtcp2_transport_params *params =
        (ngtcp2_transport_params *)(uintptr_t)ngtcp2_conn_get_local_transport_params(s->conn);
    params->disable_active_migration = 0;
}

static int engine_failed(int r, struct tapsi_error *ret_error)
{
    int code = r == NGTCP2_ERR_NOMEM || r == NGTCP2_ERR_CALLBACK_FAILURE ? TAPS_E_MEMORY : TAPS_E_PROTOCOL;
    return tapsi_error_set(ret_error, code, "QUIC cannot begin: %s", ngtcp2_strerror(r));
}

int tapsi_quic_connect(struct quic_session *s, struct tapsi_error *ret_error)
{
    struct tapsi_platform *p = s->env->loop->platform;
    ngtcp2_transport_params params;
    ngtcp2_settings settings;
    ngtcp2_cid dcid = {.datalen = 16}, scid = {.datalen = QUIC_CID};
    ngtcp2_path path = tapsi_quic_ngtcp2_path(s);
    if (p->ops->random(p, dcid.data, dcid.datalen) < 0 || p->ops->random(p, scid.data, scid.datalen) < 0)
        return tapsi_error_set(ret_error, TAPS_E_SYSTEM, "the system has no random numbers for QUIC");
    tapsi_quic_parameters(s, &params, &settings);
    const struct tapsi_ticket *ticket = tapsi_resume_take(&s->hs);
    if (ticket && ticket->token_length)
        tapsi_ngtcp2_set_token(&settings, ticket->token, ticket->token_length, false);
    int r = ngtcp2_conn_client_new(&s->conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1, &callbacks, &settings, &params,
                                   memory_of(s), s);
    if (r != 0) {
        s->conn = NULL;
        return engine_failed(r, ret_error);
    }
    forbid_grease(s->conn);
    tapsi_quic_take_notes(s);
    int err = open_tls(s, ret_error);
    if (err)
        return err;
    r = tapsi_quic_begin_early(s);
    return r ? engine_failed(r, ret_error) : 0;
}

/* Its client is asked to come there. */
static bool prefer_second(struct quic_session *s, ngtcp2_preferred_addr *preferred)
{
    const union tapsi_addr *a = &s->second->local;
    *preferred = (ngtcp2_preferred_addr){0};
    if (new_cid(s, &preferred->cid, QUIC_CID) != 0 ||
        reset_token(s, &preferred->cid, preferred->stateless_reset_token) != 0)
        return false;
    preferred->ipv4_present = a->sa.sa_family == AF_INET;
    preferred->ipv6_present = a->sa.sa_family == AF_INET6;
    if (preferred->ipv4_present)
        preferred->ipv4 = a->in;
    else
        preferred->ipv6 = a->in6;
    return true;
}

int tapsi_quic_accept(struct quic_session *s, const ngtcp2_pkt_hd *hd, enum quic_proof proof,
                      const ngtcp2_cid *original, struct tapsi_error *ret_error)
{
    ngtcp2_transport_params params;
    ngtcp2_settings settings;
    ngtcp2_cid scid;
    ngtcp2_path path = tapsi_quic_ngtcp2_path(s);
    size_t token_length;
    const uint8_t *token = tapsi_ngtcp2_token(hd, &token_length);
    tapsi_quic_parameters(s, &params, &settings);
    if (proof) /* any other would lift the limit of what goes to an address that is not proved */
        tapsi_ngtcp2_set_token(&settings, token, token_length, proof == QUIC_RETRY_PROOF);
    tapsi_ngtcp2_set_original_dcid(&params, proof == QUIC_RETRY_PROOF ? original : &hd->dcid);
    if (proof == QUIC_RETRY_PROOF) {
        params.retry_scid = hd->dcid;
        params.retry_scid_present = 1;
    }
    if (new_cid(s, &scid, QUIC_CID) != 0)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a QUIC connection");
    params.stateless_reset_token_present = reset_token(s, &scid, params.stateless_reset_token) == 0;
    if (s->second && !prefer_second(s, tapsi_ngtcp2_preferred(&params)))
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a QUIC connection");
    int r = ngtcp2_conn_server_new(&s->conn, &hd->scid, &scid, &path, hd->version, &callbacks, &settings, &params,
                                   memory_of(s), s);
    if (r != 0) {
        s->conn = NULL;
        return engine_failed(r, ret_error);
    }
    forbid_grease(s->conn);
    return open_tls(s, ret_error);
}
