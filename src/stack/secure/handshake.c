#include "stack/secure/handshake.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include "stack/secure/resume.h"
#include "stack/secure/keylog.h"
#include "stack/secure/psk.h"
#include "stack/secure/question.h"
#include "stack/secure/verify.h"

_Static_assert(offsetof(struct tapsi_handshake, get_conn) == 0, "ngtcp2 finds it there");
_Static_assert(offsetof(struct tapsi_handshake, user_data) == sizeof(void *), "and the pointer behind it");

/* --------------------------------------------------------------------------------------------------- making */

static int take_name(struct tapsi_handshake *h, const char *name, struct tapsi_error *ret_error)
{
    static const char start[] = "the peer ";
    size_t length = name ? strlen(name) : 0;
    if (length > 1 && name[length - 1] == '.')
        length--; /* "example.test." is a name of the DNS, but not of certificates */
    h->peer = tapsi_zalloc(&h->env->loop->mem, sizeof(start) + length);
    if (!h->peer)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a secure session");
    memcpy(h->peer, start, sizeof(start) - 1);
    h->peer[sizeof(start) - 2] = name ? ' ' : '\0';
    if (name)
        h->host = memcpy(h->peer + sizeof(start) - 1, name, length);
    return 0;
}

/* GnuTLS would take no name for any name. */
static bool needs_name(enum tapsi_role role, const struct tapsi_security *security)
{
    return role == TAPSI_ROLE_CLIENT && security->mode == TAPS_SECURITY_REQUIRED;
}

static int nameless(struct tapsi_error *ret_error)
{
    return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "there is no name to verify the peer by");
}

int tapsi_handshake_init(struct tapsi_handshake *h, struct tapsi_env *env, const struct tapsi_target *target,
                         enum tapsi_secure_kind kind, enum tapsi_role role, struct tapsi_error *ret_error)
{
    *h = (struct tapsi_handshake){.env = env, .kind = kind, .role = role};
    if (!env->security || env->security->mode == TAPS_SECURITY_DISABLED)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "TLS cannot be used: security is disabled");
    const char *name = env->security->server_name ? env->security->server_name : target->server_name;
    char text[TAPSI_ADDR_TEXT];
    if (role == TAPSI_ROLE_SERVER)
        name = NULL;
    if (name && tapsi_addr_parse(name, &h->address) != 0)
        h->address.sa.sa_family = AF_UNSPEC;
    if (target->remote)
        h->port = tapsi_addr_port(target->remote);
    if (!name && target->remote) {
        h->address = *target->remote;
        name = tapsi_addr_host_text(target->remote, text);
    }
    if (!name && needs_name(role, env->security))
        return nameless(ret_error);
    h->security = tapsi_security_ref(env->security);
    int err = take_name(h, name, ret_error);
    if (!err && role != TAPSI_ROLE_UNDECIDED)
        err = tapsi_credentials(h->security, role, kind, &h->credentials, ret_error);
    if (err)
        tapsi_handshake_done(h);
    return err;
}

void tapsi_handshake_done(struct tapsi_handshake *h)
{
    struct tapsi_mem *mem = &h->env->loop->mem;
    tapsi_handshake_forget(h);
    tapsi_resume_done(h);
    if (h->session)
        gnutls_deinit(h->session);
    tapsi_free(mem, h->peer);
    tapsi_free(mem, h->error);
    tapsi_security_unref(h->security); /* after the session, which uses credentials that are derived from it */
    h->session = NULL;
    h->security = NULL;
    h->peer = NULL;
    h->error = NULL;
}

/* -------------------------------------------------------------------------------------------------- session */

static unsigned alpn_flags(const struct tapsi_handshake *h)
{
    bool must = h->credentials->alpn_count[h->kind] != 0;
    return must ? GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE : 0;
}

/* The client has said whom it wants (SNI). GnuTLS would know the name only where a certificate has it letter by letter:
   no wildcard, no other case. */
static int choose_by_name(gnutls_session_t session)
{
    struct tapsi_handshake *h = gnutls_session_get_ptr(session);
    char name[256];
    size_t size = sizeof(name);
    unsigned type;
    if (gnutls_server_name_get(session, name, &size, &type, 0) < 0 || type != GNUTLS_NAME_DNS)
        return 0;
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    gnutls_certificate_credentials_t shown = tapsi_credentials_for(h->credentials, name);
    if (!shown)
        return GNUTLS_E_MEMORY_ERROR;
    h->shown = shown;
    return gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, shown);
}

static int configure(struct tapsi_handshake *h)
{
    const struct tapsi_credentials *c = h->credentials;
    gnutls_session_t s = h->session;
    bool client = h->role == TAPSI_ROLE_CLIENT;
    gnutls_session_set_ptr(s, h);
    h->shown = c->own ? c->own : c->system;
    int r = gnutls_priority_set(s, c->priority[h->kind]);
    if (r >= 0 && h->shown)
        r = gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, h->shown);
    if (r >= 0)
        r = tapsi_psk_use(c, s);
    if (r >= 0 && c->alpn_count[h->kind])
        r = gnutls_alpn_set_protocols(s, c->alpn[h->kind], c->alpn_count[h->kind], alpn_flags(h));
    if (r >= 0 && client && h->host && h->address.sa.sa_family == AF_UNSPEC)
        r = gnutls_server_name_set(s, GNUTLS_NAME_DNS, h->host, strlen(h->host));
    gnutls_session_set_keylog_function(s, tapsi_keylog);
    if (c->certificates && (c->verify || c->pin_count || c->key_pin_count || h->security->trust))
        gnutls_session_set_verify_function(s, tapsi_handshake_verify);
    if (!client && h->security->server_count > 1)
        gnutls_handshake_set_post_client_hello_function(s, choose_by_name);
    if (!client && h->shown)
        gnutls_certificate_server_set_request(s, c->verify ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
    return r;
}

int tapsi_handshake_open(struct tapsi_handshake *h, enum tapsi_role role, unsigned flags)
{
    struct tapsi_error *e;
    h->role = role;
    if (!h->host && needs_name(role, h->security)) { /* the role was not known before */
        nameless(tapsi_handshake_error(h));
        return GNUTLS_E_INSUFFICIENT_CREDENTIALS;
    }
    if (!h->credentials) {
        e = tapsi_handshake_error(h);
        if (!e || tapsi_credentials(h->security, role, h->kind, &h->credentials, e) != 0)
            return e ? GNUTLS_E_INSUFFICIENT_CREDENTIALS : GNUTLS_E_MEMORY_ERROR;
    }
    int r = gnutls_init(&h->session, (role == TAPSI_ROLE_CLIENT ? GNUTLS_CLIENT : GNUTLS_SERVER) | flags);
    if (r < 0)
        h->session = NULL;
    else
        r = configure(h);
    if (r < 0)
        tapsi_error_native(tapsi_handshake_error(h), r == GNUTLS_E_MEMORY_ERROR ? TAPS_E_MEMORY : TAPS_E_CONFIGURATION,
                           TAPS_DOMAIN_TLS, r, "TLS cannot begin with %s: %s", h->peer, gnutls_strerror(r));
    return r;
}

/* --------------------------------------------------------------------------------------------------- results */

bool tapsi_handshake_take_alpn(struct tapsi_handshake *h)
{
    gnutls_datum_t chosen;
    const struct tapsi_credentials *c = h->credentials;
    h->verified |= tapsi_psk_used(h);
    if (gnutls_alpn_get_selected_protocol(h->session, &chosen) < 0)
        return true;
    const gnutls_datum_t *ours = c->alpn[h->kind];
    for (unsigned i = 0; i < c->alpn_count[h->kind]; i++) {
        if (ours[i].size == chosen.size && memcmp(ours[i].data, chosen.data, chosen.size) == 0)
            h->alpn = (const char *)ours[i].data;
    }
    if (!h->alpn)
        tapsi_error_set(tapsi_handshake_error(h), TAPS_E_TLS, "%s chose an ALPN protocol that was not offered",
                        h->peer);
    return h->alpn != NULL;
}

static enum taps_security_protocol protocol_of(const struct tapsi_handshake *h)
{
    if (h->kind == TAPSI_SECURE_QUIC)
        return TAPS_QUIC_1;
    if (h->kind == TAPSI_SECURE_DTLS)
        return TAPS_DTLS_1_2;
    return gnutls_protocol_get_version(h->session) == GNUTLS_TLS1_3 ? TAPS_TLS_1_3 : TAPS_TLS_1_2;
}

const char *tapsi_handshake_version(const struct tapsi_handshake *h)
{
    static const char *const names[] = {[TAPS_TLS_1_2] = "TLS 1.2",
                                        [TAPS_TLS_1_3] = "TLS 1.3",
                                        [TAPS_DTLS_1_2] = "DTLS 1.2",
                                        [TAPS_QUIC_1] = "QUIC 1 (TLS 1.3)"};
    return names[protocol_of(h)];
}

struct tapsi_ready_info tapsi_handshake_info(const struct tapsi_handshake *h)
{
    return (struct tapsi_ready_info){.security = protocol_of(h),
                                     .authenticated = h->verified,
                                     .resumed = gnutls_session_is_resumed(h->session) != 0};
}

/* ------------------------------------------------------------------------------------------------------ slow keys */

struct tapsi_slowly {
    struct tapsi_detour detour;
    struct tapsi_handshake *handshake;
    int result;
};

static void resume(struct tapsi_detour *detour)
{
    struct tapsi_handshake *h = TAPSI_CONTAINER(detour, struct tapsi_slowly, detour)->handshake;
    if (h->resume)
        h->resume(h);
}

static void shake_hands(void *arg)
{
    struct tapsi_slowly *slowly = arg;
    slowly->result = gnutls_handshake(slowly->handshake->session);
}

static int make_slowly(struct tapsi_handshake *h)
{
    struct tapsi_slowly *slowly = tapsi_zalloc(&h->env->loop->mem, sizeof(*slowly));
    if (!slowly)
        return GNUTLS_E_MEMORY_ERROR;
    tapsi_detour_init(&slowly->detour, h->env->loop, resume);
    slowly->handshake = h;
    h->slowly = slowly;
    return 0;
}

static int without_detour(struct tapsi_handshake *h, int err)
{
    if (err == TAPS_E_RESOURCES)
        tapsi_error_set(tapsi_handshake_error(h), err, "%d handshakes wait for private keys already",
                        TAPSI_DETOURS_MAX);
    return GNUTLS_E_MEMORY_ERROR;
}

int tapsi_handshake_run(struct tapsi_handshake *h)
{
    if (!h->credentials->slow)
        return gnutls_handshake(h->session);
    if (!h->slowly && make_slowly(h) < 0)
        return GNUTLS_E_MEMORY_ERROR;
    struct tapsi_detour *detour = &h->slowly->detour;
    if (tapsi_detour_waits(detour))
        return GNUTLS_E_INTERRUPTED;
    tapsi_credentials_run_on(h->credentials, detour);
    int r = tapsi_detour_is_under_way(detour) ? tapsi_detour_go_on(detour)
                                              : tapsi_detour_run(detour, shake_hands, h->slowly);
    tapsi_credentials_run_on(h->credentials, NULL);
    if (r < 0)
        return without_detour(h, r);
    return r ? GNUTLS_E_INTERRUPTED : h->slowly->result;
}

/* The session is left as if the signature had failed. */
static void end_slowly(struct tapsi_handshake *h)
{
    if (!h->slowly)
        return;
    tapsi_credentials_run_on(h->credentials, &h->slowly->detour); /* so that nothing is signed any more */
    tapsi_detour_give_up(&h->slowly->detour);
    tapsi_credentials_run_on(h->credentials, NULL);
    tapsi_free(&h->env->loop->mem, h->slowly);
    h->slowly = NULL;
}

/* ------------------------------------------------------------------------------------------------- the question */

void tapsi_handshake_forget(struct tapsi_handshake *h)
{
    end_slowly(h);
    tapsi_question_forget(h->question);
    h->question = NULL;
    h->resume = NULL;
}

bool tapsi_handshake_waits(const struct tapsi_handshake *h)
{
    return (h->question && tapsi_question_is_open(h->question)) ||
           (h->slowly && tapsi_detour_waits(&h->slowly->detour));
}

int tapsi_handshake_refused(struct tapsi_handshake *h)
{
    return h->question && tapsi_question_judge(h) < 0 ? h->alert : 0;
}

/* ---------------------------------------------------------------------------------------------------- errors */

struct tapsi_error *tapsi_handshake_error(struct tapsi_handshake *h)
{
    if (!h->error)
        h->error = tapsi_zalloc(&h->env->loop->mem, sizeof(*h->error));
    return h->error;
}

const struct tapsi_error *tapsi_handshake_why(struct tapsi_handshake *h, struct tapsi_error *unsaid)
{
    if (h->error && h->error->pub.code)
        return h->error;
    tapsi_error_set(unsaid, TAPS_E_MEMORY, "no memory to tell why TLS with %s failed", h->peer);
    return unsaid;
}
