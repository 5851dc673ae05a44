/*
 * One hook of GnuTLS tells of every ticket that comes. Of TLS 1.3 the message says how long it lives and how much early
 * data the server takes, which GnuTLS has no call for, so it is read here; it has been parsed by GnuTLS before, and yet
 * it is the peer's. Of TLS 1.2 (and DTLS) the session can be asked for only when the handshake is done.
 */
#include "stack/secure/resume.h"

#include <ctype.h>
#include <gnutls/crypto.h>
#include <string.h>
#include "stack/caches.h"
#include "stack/secure/binding.h"
#include "stack/secure/issuer.h"
#include "stack/secure/verify.h"

#define EARLY_DATA_EXTENSION 42
#define EARLY_MOST           16384      /* bytes of it that a server takes: it keeps them until the handshake is done */
#define EARLY_OF_QUIC        UINT32_MAX /* RFC 9001, 4.6.1: the transport parameters bound it */

/* ---------------------------------------------------------------------------------------------------- whether */

/* An application that judges its peers itself judges each of them: there is no certificate to show it in a session that
   was resumed. */
static bool keeps(const struct tapsi_handshake *h)
{
    const struct tapsi_security *s = h->security;
    return h->env->caches && s->max_cached_sessions && s->cached_session_lifetime_seconds && !s->trust;
}

/* A peer that nothing names cannot be found again. */
static bool can_find(const struct tapsi_handshake *h)
{
    return h->host && h->credentials && keeps(h);
}

/* A ticket does not hold the ALPN protocol that its session had, and GnuTLS does not compare (RFC 8446, 4.2.10): so
   early data is only taken where there is but one. */
static bool takes_early(const struct tapsi_handshake *h)
{
    return h->kind != TAPSI_SECURE_DTLS && h->credentials && h->credentials->alpn_count[h->kind] <= 1 &&
           tapsi_resume_early_wanted(h->env, TAPSI_ROLE_SERVER);
}

unsigned tapsi_resume_flags(const struct tapsi_handshake *h, enum tapsi_role role)
{
    bool server = role == TAPSI_ROLE_SERVER, tickets = server ? keeps(h) : can_find(h);
    if (!tickets)
        return GNUTLS_NO_TICKETS;
    return server && takes_early(h) ? GNUTLS_ENABLE_EARLY_DATA : 0; /* its tickets say so, too */
}

bool tapsi_resume_early_wanted(const struct tapsi_env *env, enum tapsi_role role)
{
    enum taps_preference wish = tapsi_select_preference(env->properties, TAPS_ZERO_RTT_MSG, role);
    return wish > TAPS_NO_PREFERENCE || (role == TAPSI_ROLE_CLIENT && wish == TAPS_NO_PREFERENCE);
}

/* --------------------------------------------------------------------------------------------------- the key */

/* False = no memory. */
static bool key_of(const struct tapsi_handshake *h, struct tapsi_ticket_key *ret)
{
    gnutls_hash_hd_t hash;
    uint8_t head[4] = {1, (uint8_t)h->kind, (uint8_t)(h->port >> 8), (uint8_t)h->port};
    if (!tapsi_binding(h->security, ret->parameters) || gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return false;
    int r = gnutls_hash(hash, head, sizeof(head));
    if (r >= 0)
        r = gnutls_hash(hash, ret->parameters, sizeof(ret->parameters));
    for (const char *c = h->host; *c && r >= 0; c++) {
        char lower = (char)tolower((unsigned char)*c);
        r = gnutls_hash(hash, &lower, 1);
    }
    gnutls_hash_deinit(hash, ret->peer);
    return r >= 0;
}

const struct tapsi_ticket *tapsi_resume_take(struct tapsi_handshake *h)
{
    struct tapsi_ticket_key key;
    if (h->ticket || !can_find(h) || !h->env->caches->tickets || !key_of(h, &key))
        return h->ticket;
    h->ticket = tapsi_tickets_take(h->env->caches->tickets, &key, tapsi_loop_wall(h->env->loop));
    if (h->ticket && h->credentials->verify && !h->ticket->authenticated) {
        tapsi_ticket_free(h->ticket);
        h->ticket = NULL;
    }
    return h->ticket;
}

/* ------------------------------------------------------------------------------------------------ new tickets */

static struct tapsi_tickets *store_of(struct tapsi_env *env)
{
    struct tapsi_caches *caches = env->caches;
    if (!caches->tickets)
        caches->tickets = tapsi_tickets_new(caches->mem);
    return caches->tickets;
}

/* Without memory there is one ticket less. The tickets of a resumed session live no longer than those it began with
   may: or its peer would never be verified again (RFC 8446, 4.6.1). */
static void keep(struct tapsi_handshake *h)
{
    uint32_t lifetime = h->ticket_life;
    const struct tapsi_security *s = h->security;
    struct tapsi_ticket like = {.issued = tapsi_loop_wall(h->env->loop), .authenticated = h->verified};
    gnutls_datum_t session = {NULL, 0};
    struct tapsi_tickets *store = store_of(h->env);
    if (!store || !lifetime || (h->credentials->verify && !h->verified) || !key_of(h, &like.key) ||
        gnutls_session_get_data2(h->session, &session) < 0)
        return;
    if (lifetime > s->cached_session_lifetime_seconds)
        lifetime = s->cached_session_lifetime_seconds;
    like.until = h->until ? h->until : like.issued + s->cached_session_lifetime_seconds;
    like.expires = like.issued + lifetime < like.until ? like.issued + lifetime : like.until;
    like.session = session.data;
    like.session_length = session.size;
    size_t alpn = h->alpn ? strlen(h->alpn) : 0;
    like.early = alpn < sizeof(like.alpn) ? h->ticket_early : 0;
    if (alpn && alpn < sizeof(like.alpn))
        memcpy(like.alpn, h->alpn, alpn);
    if (h->complete)
        h->complete(h, &like);
    struct tapsi_ticket *ticket = tapsi_ticket_new(h->env->caches->mem, &like);
    if (ticket)
        tapsi_tickets_put(store, ticket, s->max_cached_sessions);
    explicit_bzero(session.data, session.size);
    gnutls_free(session.data);
}

static uint32_t number(const uint8_t *bytes, size_t count)
{
    uint32_t value = 0;
    while (count--)
        value = value << 8 | *bytes++;
    return value;
}

/* The rest behind a field whose length stands in `width` bytes in front of it; NULL when it is cut. */
static const uint8_t *behind(const uint8_t *at, const uint8_t *end, size_t width)
{
    if (!at || (size_t)(end - at) < width || (size_t)(end - at) - width < number(at, width))
        return NULL;
    return at + width + number(at, width);
}

/* RFC 8446, 4.6.1: lifetime, age_add, nonce, ticket, extensions. */
static uint32_t early_of(const gnutls_datum_t *message)
{
    const uint8_t *end = message->data + message->size, *at = message->data + 8;
    at = behind(behind(at, end, 1), end, 2);
    if (!at || end - at < 2)
        return 0;
    for (at += 2; end - at >= 4;) {
        const uint8_t *next = behind(at + 2, end, 2);
        if (!next)
            return 0;
        if (number(at, 2) == EARLY_DATA_EXTENSION && next - at == 8)
            return number(at + 4, 4);
        at = next;
    }
    return 0;
}

/* RFC 8446, 4.1.2: the second ClientHello goes in clear. GnuTLS 3.7 encrypts it when there was early data, and waits
   for an answer for ever. */
static int on_retry(struct tapsi_handshake *h)
{
    struct tapsi_ticket_key key;
    if (h->env->caches->tickets && key_of(h, &key))
        tapsi_tickets_forget(h->env->caches->tickets, &key); /* the others would end like this one */
    tapsi_error_set(tapsi_handshake_error(h), TAPS_E_TLS, "%s asks to begin again, after early data", h->peer);
    return GNUTLS_E_UNIMPLEMENTED_FEATURE;
}

/* Before GnuTLS has read the message, and after, when what is left of it is of no use. */
static int on_message(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                      const gnutls_datum_t *message)
{
    struct tapsi_handshake *h = gnutls_session_get_ptr(session);
    bool of_1_3 = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3;
    if (incoming && type == GNUTLS_HANDSHAKE_HELLO_RETRY_REQUEST)
        return on_retry(h);
    if (!incoming || type != GNUTLS_HANDSHAKE_NEW_SESSION_TICKET)
        return 0;
    if (when == GNUTLS_HOOK_PRE) {
        h->ticket_life = message->size >= 8 ? number(message->data, 4) : 0;
        h->ticket_early = of_1_3 && message->size >= 8 ? early_of(message) : 0;
        if (!of_1_3 && !h->ticket_life)
            h->ticket_life = TAPSI_TICKET_AGE; /* RFC 5077, 3.3: nothing was said */
    } else if (of_1_3 && h->finished) {        /* before, it is not known what the session is worth */
        keep(h);
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- sessions */

/* RFC 5077: a ticket may be used again. Over UDP an attempt begins at once, also on a path that leads nowhere: so it
   leaves the ticket to the other attempts of its race, and to the next race. */
static void leave_copy(struct tapsi_handshake *h)
{
    struct tapsi_ticket *copy = tapsi_ticket_new(h->env->caches->mem, h->ticket);
    h->ticket_shared = copy != NULL;
    if (copy)
        tapsi_tickets_give_back(h->env->caches->tickets, copy);
}

static int begin_client(struct tapsi_handshake *h)
{
    if (!can_find(h))
        return 0;
    gnutls_handshake_set_hook_function(h->session, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_BOTH, on_message);
    if (!tapsi_resume_take(h))
        return 0;
    h->ticket_sent = true;
    if (h->kind == TAPSI_SECURE_DTLS)
        leave_copy(h);
    if (h->sends_early)
        gnutls_handshake_set_hook_function(h->session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_BOTH, on_message);
    int r = gnutls_session_set_data(h->session, h->ticket->session, h->ticket->session_length);
    return r == GNUTLS_E_MEMORY_ERROR ? r : 0; /* what GnuTLS cannot read is not resumed */
}

bool tapsi_resume_gives(const struct tapsi_handshake *h)
{
    return h->role == TAPSI_ROLE_SERVER && h->credentials && h->credentials->issuer && keeps(h);
}

static int begin_server(struct tapsi_handshake *h, const void *binding, size_t length)
{
    struct tapsi_issuer *issuer = h->credentials->issuer;
    if (!tapsi_resume_gives(h))
        return 0;
    int r = tapsi_issuer_enable(issuer, h->session, binding, length);
    if (r >= 0 && takes_early(h))
        r = tapsi_issuer_allow_early(issuer, h->session, h->kind == TAPSI_SECURE_QUIC ? EARLY_OF_QUIC : EARLY_MOST);
    return r;
}

int tapsi_resume_begin(struct tapsi_handshake *h, const void *binding, size_t length)
{
    int r = h->role == TAPSI_ROLE_SERVER ? begin_server(h, binding, length) : begin_client(h);
    if (r < 0)
        tapsi_error_native(tapsi_handshake_error(h), TAPS_E_MEMORY, TAPS_DOMAIN_TLS, r, "no memory to resume sessions");
    return r;
}

bool tapsi_resume_early_taken(const struct tapsi_handshake *h)
{
    return (gnutls_session_get_flags(h->session) & GNUTLS_SFLAGS_EARLY_DATA) != 0;
}

static bool refuse(struct tapsi_handshake *h, const char *why)
{
    tapsi_error_set(tapsi_handshake_error(h), TAPS_E_TLS, "%s resumed a session %s", h->peer, why);
    return false;
}

/* A server gave its tickets to those it had verified, under these parameters, by a key or by a certificate: which, is
   in the ticket. The certificate is in it, too, and may have expired since; whoever comes again and again gets new
   tickets each time. */
static bool check_client(struct tapsi_handshake *h)
{
    const struct tapsi_credentials *c = h->credentials;
    bool by_key = c->psk_server && gnutls_psk_server_get_username(h->session);
    if (c->verify && !by_key && tapsi_handshake_verify_again(h) < 0)
        return false;
    h->verified = c->verify || by_key;
    return true;
}

static bool check_resumed(struct tapsi_handshake *h)
{
    const struct tapsi_credentials *c = h->credentials;
    if (h->role == TAPSI_ROLE_SERVER)
        return check_client(h);
    if (!h->ticket)
        return refuse(h, "that was not offered");
    h->until = h->ticket->until ? h->ticket->until : h->ticket->expires;
    h->verified = h->ticket->authenticated;
    if (c->verify && !h->verified)
        return refuse(h, "that was not authenticated");
    if (tapsi_resume_early_taken(h) && strcmp(h->alpn ? h->alpn : "", h->ticket->alpn) != 0)
        return refuse(h, "with another ALPN protocol than that of its early data");
    return true;
}

/* The server did not take it, or broke over it. */
static void forget_shared(struct tapsi_handshake *h)
{
    h->ticket_shared = false;
    if (h->env->caches && h->env->caches->tickets)
        tapsi_tickets_forget(h->env->caches->tickets, &h->ticket->key);
}

bool tapsi_resume_finish(struct tapsi_handshake *h)
{
    bool resumed = gnutls_session_is_resumed(h->session) != 0;
    bool good = !resumed || check_resumed(h);
    bool of_1_2 = h->role == TAPSI_ROLE_CLIENT && gnutls_protocol_get_version(h->session) != GNUTLS_TLS1_3;
    h->finished = good;
    if (h->ticket_shared && !resumed)
        forget_shared(h);
    if (good && of_1_2 && can_find(h) && h->ticket_life)
        keep(h);
    else if (good && of_1_2 && resumed && !h->ticket_shared)
        h->ticket_sent = false; /* RFC 5077, 3.3: no new one was given, so it goes on being good */
    tapsi_resume_done(h);
    return good;
}

bool tapsi_resume_keep_token(struct tapsi_handshake *h, const void *token, size_t length)
{
    struct tapsi_ticket_key key;
    return can_find(h) && h->env->caches->tickets && key_of(h, &key) &&
           tapsi_tickets_add_token(h->env->caches->tickets, &key, token, length);
}

void tapsi_resume_done(struct tapsi_handshake *h)
{
    struct tapsi_ticket *ticket = h->ticket;
    if (ticket && h->ticket_shared && !h->finished && h->error && h->error->pub.code)
        forget_shared(h);
    h->ticket = NULL;
    if (!ticket)
        return;
    if (!h->ticket_sent && h->env->caches && h->env->caches->tickets)
        tapsi_tickets_give_back(h->env->caches->tickets, ticket);
    else
        tapsi_ticket_free(ticket);
}
