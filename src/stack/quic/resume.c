/*
 * Sessions resumed, early data (0-RTT) and address tokens. What a ticket may be used for is stack/secure's matter
 * (resume.h); here is what QUIC adds.
 *
 * Client. Beside a ticket stand the transport parameters of its server, as bytes (RFC 9000, 7.4.1), and a token of
 * NEW_TOKEN, which is used once, as the ticket is. Ops that are handed down EARLY wait in the queue of their stream;
 * when the session begins the stream is opened by those parameters, and its bytes leave as 0-RTT packets behind the
 * ClientHello. No op is done before the handshake is. If the server did not take them the engine forgets all streams,
 * so each goes back to those that are to be opened, with everything in its queue, in order.
 *
 * Server. Tickets are given when the handshake is done, and are good only for the same transport parameters: nobody
 * else sees to it that those are not reduced. A first flight with early data is taken once (issuer.h), and goes up at
 * once, so that the answer is there a round trip earlier than without; where the certificates of clients are looked at,
 * with the end of the handshake.
 *
 * A token proves the client's address, not its port, to the Listener that gave it, once: then no Retry is asked for,
 * and more may be sent than came. One that proves nothing (altered, expired, foreign, used) is as none.
 */
#include <assert.h>
#include <string.h>
#include "stack/quic/quic.h"
#include "stack/secure/issuer.h"
#include "stack/secure/resume.h"

#define TICKETS         2 /* as TLS gives: two attempts of a race */
#define PARAMETERS_MOST 160
#define TOKEN_MOST      512
#define TOKENS_MOST     4 /* that wait for a ticket to go with */
#define EARLY_MOST      (64 * 1024)

struct quic_token {
    struct quic_token *next;
    size_t length;
    uint8_t bytes[];
};

/* What a client needs to keep tickets. */
struct quic_notes {
    struct quic_token *tokens; /* that came, and wait for a ticket to go with: the oldest first */
    struct quic_token *given;  /* that went with the last one */
    uint8_t parameters[PARAMETERS_MOST];
};

/* -------------------------------------------------------------------------------------- a client takes notes */

static void forget_token(struct quic_session *s, struct quic_token **at)
{
    struct quic_token *token = *at;
    if (!token)
        return;
    *at = token->next;
    explicit_bzero(token->bytes, token->length);
    tapsi_free(&s->env->loop->mem, token);
}

void tapsi_quic_forget_notes(struct quic_session *s)
{
    if (!s->notes)
        return;
    while (s->notes->tokens)
        forget_token(s, &s->notes->tokens);
    forget_token(s, &s->notes->given);
    tapsi_free(&s->env->loop->mem, s->notes);
    s->notes = NULL;
}

static struct quic_token *new_token(struct quic_session *s, const uint8_t *bytes, size_t length)
{
    struct quic_token *token = tapsi_alloc(&s->env->loop->mem, sizeof(*token) + length);
    if (!token)
        return NULL;
    token->next = NULL;
    token->length = length;
    memcpy(token->bytes, bytes, length);
    return token;
}

void tapsi_quic_token_came(struct quic_session *s, const uint8_t *bytes, size_t length)
{
    if (!s->notes || !length || length > TOKEN_MOST || tapsi_resume_keep_token(&s->hs, bytes, length))
        return;
    struct quic_token **at = &s->notes->tokens, *token = new_token(s, bytes, length);
    unsigned count = 0;
    for (; *at; at = &(*at)->next)
        count++;
    *at = token;
    if (count >= TOKENS_MOST)
        forget_token(s, &s->notes->tokens);
}

/* RFC 9000, 7.4.1: what is remembered, and nothing else. As bytes; 0 = none. */
static size_t encode(const ngtcp2_transport_params *from, uint8_t *to, size_t room)
{
    ngtcp2_transport_params kept;
    ngtcp2_transport_params_default(&kept);
    kept.initial_max_stream_data_bidi_local = from->initial_max_stream_data_bidi_local;
    kept.initial_max_stream_data_bidi_remote = from->initial_max_stream_data_bidi_remote;
    kept.initial_max_stream_data_uni = from->initial_max_stream_data_uni;
    kept.initial_max_data = from->initial_max_data;
    kept.initial_max_streams_bidi = from->initial_max_streams_bidi;
    kept.initial_max_streams_uni = from->initial_max_streams_uni;
    kept.max_idle_timeout = from->max_idle_timeout;
    kept.active_connection_id_limit = from->active_connection_id_limit;
    kept.max_datagram_frame_size = from->max_datagram_frame_size;
    kept.disable_active_migration = from->disable_active_migration;
    ngtcp2_ssize length = tapsi_ngtcp2_encode_params(to, room, &kept);
    return length > 0 ? (size_t)length : 0;
}

/* A ticket came: called by GnuTLS, within the engine. */
static void complete_ticket(struct tapsi_handshake *h, struct tapsi_ticket *like)
{
    struct quic_session *s = h->user_data;
    struct quic_notes *notes = s->notes;
    const ngtcp2_transport_params *params = s->conn ? ngtcp2_conn_get_remote_transport_params(s->conn) : NULL;
    like->transport_length = params ? encode(params, notes->parameters, sizeof(notes->parameters)) : 0;
    like->transport = notes->parameters;
    forget_token(s, &notes->given);
    notes->given = notes->tokens;
    if (!notes->given)
        return;
    notes->tokens = notes->given->next;
    notes->given->next = NULL;
    like->token = notes->given->bytes;
    like->token_length = notes->given->length;
}

/* Without memory nothing is kept. */
void tapsi_quic_take_notes(struct quic_session *s)
{
    if (!s->notes)
        s->notes = tapsi_zalloc(&s->env->loop->mem, sizeof(*s->notes));
    s->hs.complete = s->notes ? complete_ticket : NULL;
}

/* ------------------------------------------------------------------------------------------- a client's early data */

static bool decode(const struct tapsi_ticket *ticket, ngtcp2_transport_params *ret)
{
    return ticket->transport_length &&
           tapsi_ngtcp2_decode_params(ret, ticket->transport, ticket->transport_length) == 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The ticket, if it lets early data go: of QUIC it says so by the largest number. */
static const struct tapsi_ticket *ticket_for_early(struct quic_session *s, ngtcp2_transport_params *params)
{
    if (s->role != TAPSI_ROLE_CLIENT || s->state != QUIC_HANDSHAKE || s->conn || s->away ||
        !tapsi_resume_early_wanted(s->env, TAPSI_ROLE_CLIENT))
        return NULL;
    const struct tapsi_ticket *ticket = tapsi_resume_take(&s->hs);
    return ticket && ticket->early == UINT32_MAX && decode(ticket, params) ? ticket : NULL;
}

size_t tapsi_quic_early_room(struct quic_stream *st)
{
    ngtcp2_transport_params params;
    if (st->layer.state != TAPSI_LAYER_NEW || st->final_taken || !ticket_for_early(st->session, &params))
        return 0;
    uint64_t streams = st->uni ? params.initial_max_streams_uni : params.initial_max_streams_bidi;
    uint64_t window = st->uni ? params.initial_max_stream_data_uni : params.initial_max_stream_data_bidi_remote;
    uint64_t room = streams ? least(least(window, params.initial_max_data), EARLY_MOST) : 0;
    return room > st->layer.queued ? (size_t)room - st->layer.queued : 0;
}

#if QUIC_NGTCP2_1

static int set_parameters(struct quic_session *s, const struct tapsi_ticket *ticket)
{
    return ngtcp2_conn_decode_and_set_0rtt_transport_params(s->conn, ticket->transport, ticket->transport_length);
}

#else

/* 0.12 does not look whether it got the memory for them: so it is there before it asks. */
static void *give_block(size_t count, size_t size, void *user)
{
    void **block = user, *given = *block;
    assert(count * size <= sizeof(ngtcp2_transport_params) && given);
    *block = NULL;
    return given;
}

static int set_parameters(struct quic_session *s, const struct tapsi_ticket *ticket)
{
    ngtcp2_transport_params params;
    struct tapsi_mem *mem = &s->env->loop->mem;
    const ngtcp2_mem usual = s->mem;
    void *block = tapsi_zalloc(mem, sizeof(params));
    if (!block)
        return NGTCP2_ERR_NOMEM;
    if (decode(ticket, &params)) {
        s->mem.user_data = &block;
        s->mem.calloc = give_block;
        ngtcp2_conn_set_early_remote_transport_params(s->conn, &params);
        s->mem = usual;
    }
    tapsi_free(mem, block);
    return 0;
}

#endif

int tapsi_quic_begin_early(struct quic_session *s)
{
    const struct tapsi_ticket *ticket = s->hs.ticket;
    struct tapsi_link *next;
    if (!s->early || !ticket)
        return 0;
    int err = set_parameters(s, ticket);
    if (err)
        return err;
    for (int uni = 0; uni < 2; uni++) {
        for (struct tapsi_link *l = s->opening[uni].next; l != &s->opening[uni]; l = next) {
            struct quic_stream *st = TAPSI_CONTAINER(l, struct quic_stream, turn);
            next = l->next;
            int r = st->early ? tapsi_quic_stream_open(st) : 0;
            if (r == NGTCP2_ERR_NOMEM)
                return r;
            tapsi_quic_stream_queue(st);
        }
    }
    return 0;
}

void tapsi_quic_settle_early(struct quic_session *s)
{
    struct tapsi_link *next;
    s->early_taken = s->early && !s->early_refused;
    if (!s->early_refused)
        return;
    for (struct tapsi_link *l = s->streams.next; l != &s->streams; l = next) {
        next = l->next;
        tapsi_quic_stream_begin_again(TAPSI_CONTAINER(l, struct quic_stream, link));
    }
}

/* --------------------------------------------------------------------------------------------------- a server */

int tapsi_quic_resume(struct quic_session *s)
{
    uint64_t binding[8] = {0};
    if (s->role == TAPSI_ROLE_SERVER) {
        const ngtcp2_transport_params *params = ngtcp2_conn_get_local_transport_params(s->conn);
        binding[0] = params->initial_max_stream_data_bidi_local;
        binding[1] = params->initial_max_stream_data_bidi_remote;
        binding[2] = params->initial_max_stream_data_uni;
        binding[3] = params->initial_max_data;
        binding[4] = params->initial_max_streams_bidi;
        binding[5] = params->initial_max_streams_uni;
        binding[6] = params->active_connection_id_limit;
        binding[7] = params->max_datagram_frame_size;
    }
    return tapsi_resume_begin(&s->hs, binding, sizeof(binding));
}

bool tapsi_quic_is_agreed(const struct quic_session *s)
{
    return s->hs.session && (s->state != QUIC_HANDSHAKE || s->early_in);
}

/* A ticket stands for what its client has shown, unless that is to be looked at again. GnuTLS has taken the ClientHello
   as the first of its kind, and answered it. */
void tapsi_quic_let_early_in(struct quic_session *s)
{
    if (s->role != TAPSI_ROLE_SERVER || s->state != QUIC_HANDSHAKE || s->early_in || !s->conn ||
        tapsi_list_empty(&s->arrivals))
        return;
    s->early_in = !s->hs.credentials->verify && tapsi_resume_early_taken(&s->hs) &&
                  gnutls_session_is_resumed(s->hs.session) && tapsi_handshake_take_alpn(&s->hs) && s->hs.alpn &&
                  tapsi_resume_finish(&s->hs);
    s->admitted |= s->early_in;
}

static void give_token(struct quic_session *s)
{
    uint8_t token[NGTCP2_CRYPTO_MAX_REGULAR_TOKENLEN];
    const uint8_t *secret = s->endpoint->secret;
    ngtcp2_ssize length =
        ngtcp2_crypto_generate_regular_token(token, secret, sizeof(s->endpoint->secret), &s->remote.sa,
                                             tapsi_addr_length(&s->remote), tapsi_loop_now(s->env->loop));
    if (length > 0)
        ngtcp2_conn_submit_new_token(s->conn, token, (size_t)length);
}

void tapsi_quic_give_tickets(struct quic_session *s)
{
    if (!s->endpoint || !tapsi_resume_gives(&s->hs))
        return;
    if (gnutls_session_ticket_send(s->hs.session, TICKETS, 0) < 0)
        return;
    for (int i = 0; i < TICKETS; i++)
        give_token(s);
}

/* RFC 9000, 8.1.4: tokens go in clear, so whoever has seen one could make us send to its address for a day. */
static bool is_new(struct quic_endpoint *e, const uint8_t *token, size_t length)
{
    const unsigned life = QUIC_TOKEN_LIFE / TAPSI_S;
    if (!e->tokens)
        e->tokens = tapsi_issuer_new(&e->loop->mem, life);
    return e->tokens && tapsi_issuer_first_time(e->tokens, token, length, tapsi_loop_now(e->loop) / TAPSI_S + life + 1);
}

bool tapsi_quic_use_token(struct quic_endpoint *e, const union tapsi_addr *from, const uint8_t *token, size_t length)
{
    return length && token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR &&
           ngtcp2_crypto_verify_regular_token(token, length, e->secret, sizeof(e->secret), &from->sa,
                                              tapsi_addr_length(from), QUIC_TOKEN_LIFE, tapsi_loop_now(e->loop)) == 0 &&
           is_new(e, token, length);
}
