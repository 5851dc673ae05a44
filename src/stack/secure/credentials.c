#include "stack/secure/credentials.h"

#include <string.h>
#include "base/str.h"
#include "platform/platform.h"
#include "stack/secure/issuer.h"
#include "stack/secure/key.h"
#include "stack/secure/priority.h"
#include "stack/secure/psk.h"
#include "stack/secure/trust.h"

static int no_memory(struct tapsi_error *ret_error)
{
    return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for TLS credentials");
}

static int unusable(struct tapsi_error *ret_error, const char *what, size_t number, int r)
{
    if (r == GNUTLS_E_MEMORY_ERROR)
        return no_memory(ret_error);
    return tapsi_error_native(ret_error, TAPS_E_CONFIGURATION, TAPS_DOMAIN_TLS, r, "%s %zu cannot be used: %s", what,
                              number + 1, r < 0 ? gnutls_strerror(r) : "it holds no certificate");
}

static gnutls_datum_t datum(const struct tapsi_bytes *bytes)
{
    return (gnutls_datum_t){bytes->data, (unsigned)bytes->length};
}

/* ------------------------------------------------------------------------------------------------ priority */

static int make_priority(struct tapsi_credentials *c, const struct tapsi_security *security,
                         enum tapsi_secure_kind kind, struct tapsi_error *ret_error)
{
    if (tapsi_priority_versions(security, kind) == 0)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                               "allowedSecurityProtocols has nothing at or above the minimum version");
    struct tapsi_str s;
    tapsi_str_init(&s, c->mem);
    tapsi_priority_text(c, kind, tapsi_platform_has_aes(), &s);
    const char *where = NULL;
    int err = 0, r = s.failed ? GNUTLS_E_MEMORY_ERROR : gnutls_priority_init(&c->priority[kind], s.text, &where);
    if (r == GNUTLS_E_MEMORY_ERROR)
        err = no_memory(ret_error);
    else if (r < 0)
        err = tapsi_error_native(ret_error, TAPS_E_CONFIGURATION, TAPS_DOMAIN_TLS, r,
                                 "GnuTLS does not take the algorithms given, at \"%s\"", where ? where : "");
    tapsi_str_done(&s);
    return err;
}

/* ---------------------------------------------------------------------------------------- certificates */

static int add_certificate(struct tapsi_credentials *c, gnutls_certificate_credentials_t to, size_t number,
                           struct tapsi_error *ret_error)
{
    bool server = c->role == TAPSI_ROLE_SERVER;
    const struct tapsi_certificate *from = server ? &c->security->server[number] : &c->security->client[number];
    struct tapsi_identity identity;
    int r = tapsi_identity_open(&identity, c->mem, from, &c->detour);
    if (r < 0)
        return unusable(ret_error, server ? "server certificate" : "client certificate", number, r);
    r = tapsi_identity_give(&identity, to);
    if (r >= 0 && !c->names[number].count) {
        c->names[number] = identity.names;
        identity.names = (struct tapsi_dns_names){0};
    }
    tapsi_identity_done(&identity);
    return r < 0 ? unusable(ret_error, server ? "server certificate" : "client certificate", number, r) : 0;
}

static int add_authorities(const struct tapsi_security *security, gnutls_certificate_credentials_t to,
                           struct tapsi_error *ret_error)
{
    for (size_t i = 0; i < security->authority_count; i++) {
        gnutls_datum_t pem = datum(&security->authorities[i]);
        int r = gnutls_certificate_set_x509_trust_mem(to, &pem, GNUTLS_X509_FMT_PEM);
        if (r <= 0)
            return unusable(ret_error, "authority", i, r);
    }
    return 0;
}

static int add_pins(struct tapsi_credentials *c, const struct tapsi_security *security, struct tapsi_error *ret_error)
{
    for (size_t i = 0; i < security->pin_count; i++) {
        gnutls_datum_t pem = datum(&security->pins[i]);
        int r = gnutls_x509_crt_init(&c->pins[i]);
        if (r < 0)
            return no_memory(ret_error);
        c->pin_count++;
        r = gnutls_x509_crt_import(c->pins[i], &pem, GNUTLS_X509_FMT_PEM);
        if (r < 0)
            return unusable(ret_error, "pinned certificate", i, r);
    }
    for (size_t i = 0; i < security->key_pin_count; i++)
        memcpy(c->key_pins[c->key_pin_count++], security->key_pins[i].data, TAPSI_KEY_PIN);
    return 0;
}

/* Responses go to the certificate they are about, if it is here: so they may come in any order. */
static int add_staples(const struct tapsi_security *security, gnutls_certificate_credentials_t to,
                       struct tapsi_error *ret_error)
{
    for (size_t i = 0; i < security->staple_count; i++) {
        gnutls_datum_t der = datum(&security->staples[i]);
        int r = GNUTLS_E_OCSP_RESPONSE_ERROR;
        for (unsigned k = 0; k < security->server_count && r < 0; k++)
            r = gnutls_certificate_set_ocsp_status_request_mem(to, &der, k, GNUTLS_X509_FMT_DER);
        if (r < 0)
            return unusable(ret_error, "certificate status", i, r);
    }
    return 0;
}

static int make_trust(struct tapsi_credentials *c, const struct tapsi_security *security, struct tapsi_error *ret_error)
{
    if (security->authority_count)
        return add_authorities(security, c->own, ret_error);
    return c->verify ? tapsi_trust_take(&c->system, ret_error) : 0;
}

static int make_own(struct tapsi_credentials *c, const struct tapsi_security *security, enum tapsi_role role,
                    struct tapsi_error *ret_error)
{
    bool server = role == TAPSI_ROLE_SERVER;
    size_t shown = server ? security->server_count : security->client_count;
    if (shown == 0 && security->authority_count == 0 && c->verify)
        return 0;
    if (gnutls_certificate_allocate_credentials(&c->own) < 0)
        return no_memory(ret_error);
    int err = 0;
    for (size_t i = 0; i < shown && !err; i++) {
        c->slow |= tapsi_key_is_slow(server ? &security->server[i] : &security->client[i]);
        err = add_certificate(c, c->own, i, ret_error);
    }
    return err || !server ? err : add_staples(security, c->own, ret_error);
}

/* ------------------------------------------------------------------------------------------- chosen by name */

static size_t find_name(const struct tapsi_credentials *c, const char *name)
{
    size_t i = 0;
    while (i < c->security->server_count && !tapsi_dns_names_have(&c->names[i], name))
        i++;
    return i;
}

/* Those for the name first, in their order, so that GnuTLS, which sees none that has it, takes the first of them whose
   key the client knows. */
static int fill_for(struct tapsi_credentials *c, gnutls_certificate_credentials_t to, const char *name)
{
    int err = add_authorities(c->security, to, NULL);
    for (int other = 0; other < 2; other++) {
        for (size_t i = 0; i < c->security->server_count && !err; i++) {
            if (tapsi_dns_names_have(&c->names[i], name) == !other)
                err = add_certificate(c, to, i, NULL);
        }
    }
    return err ? err : add_staples(c->security, to, NULL);
}

gnutls_certificate_credentials_t tapsi_credentials_for(const struct tapsi_credentials *credentials, const char *name)
{
    /* Filled when needed, like the rest: what is seen from outside does not change. */
    struct tapsi_credentials *c = (struct tapsi_credentials *)(uintptr_t)credentials;
    if (c->security->server_count < 2)
        return c->own;
    size_t first = find_name(c, name);
    if (first == c->security->server_count)
        return c->own;
    if (c->by_name[first])
        return c->by_name[first];
    gnutls_certificate_credentials_t fresh;
    if (gnutls_certificate_allocate_credentials(&fresh) < 0)
        return NULL;
    if (fill_for(c, fresh, name) != 0) {
        gnutls_certificate_free_credentials(fresh);
        return NULL;
    }
    c->by_name[first] = fresh;
    return fresh;
}

void tapsi_credentials_run_on(const struct tapsi_credentials *credentials, struct tapsi_detour *detour)
{
    ((struct tapsi_credentials *)(uintptr_t)credentials)->detour = detour;
}

/* --------------------------------------------------------------------------------------------------- all */

static void free_credentials(void *derived)
{
    struct tapsi_credentials *c = derived;
    if (c->own)
        gnutls_certificate_free_credentials(c->own);
    tapsi_psk_free(c);
    if (c->system)
        tapsi_trust_release();
    for (int kind = 0; kind < TAPSI_SECURE_KINDS; kind++) {
        if (c->priority[kind])
            gnutls_priority_deinit(c->priority[kind]);
    }
    for (unsigned i = 0; i < c->pin_count; i++)
        gnutls_x509_crt_deinit(c->pins[i]);
    tapsi_issuer_free(c->issuer);
    for (size_t i = 0; i < TAPSI_SECURITY_LIST_MAX; i++) {
        tapsi_dns_names_done(&c->names[i], c->mem);
        if (c->by_name[i])
            gnutls_certificate_free_credentials(c->by_name[i]);
    }
    tapsi_free(c->mem, c);
}

/* A session of this kind offers its own ids only; with none left of those that were given it is none at all. */
static int list_alpn(struct tapsi_credentials *c, const struct tapsi_security *security, enum tapsi_secure_kind kind,
                     struct tapsi_error *ret_error)
{
    static const enum tapsi_alpn_transport transports[TAPSI_SECURE_KINDS] = {[TAPSI_SECURE_TLS] = TAPSI_ALPN_TLS,
                                                                             [TAPSI_SECURE_DTLS] = TAPSI_ALPN_DTLS,
                                                                             [TAPSI_SECURE_QUIC] = TAPSI_ALPN_QUIC};
    const char *ids[TAPSI_SECURITY_LIST_MAX];
    size_t count = tapsi_alpn_filter(&security->alpn, transports[kind], ids);
    if (security->alpn.count && !count)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "none of the ALPN protocols given can run over %s",
                               tapsi_alpn_transport_name(transports[kind]));
    for (size_t i = 0; i < count; i++)
        c->alpn[kind][i] = (gnutls_datum_t){(unsigned char *)(uintptr_t)ids[i], (unsigned)strlen(ids[i])};
    c->alpn_count[kind] = (unsigned)count;
    return 0;
}

static int make_issuer(struct tapsi_credentials *c, const struct tapsi_security *security,
                       struct tapsi_error *ret_error)
{
    if (!security->max_cached_sessions || !security->cached_session_lifetime_seconds)
        return 0;
    c->issuer = tapsi_issuer_new(c->mem, security->cached_session_lifetime_seconds);
    return c->issuer ? 0 : no_memory(ret_error);
}

/* A client that has a pre-shared key is content with a certificate only where the parameters say whom to trust by it.
 */
static bool has_certificates(const struct tapsi_security *s, enum tapsi_role role)
{
    if (role == TAPSI_ROLE_SERVER)
        return s->server_count != 0;
    return !s->psk_count || s->authority_count || s->pin_count || s->key_pin_count || s->client_count || s->trust;
}

static int make(struct tapsi_credentials *c, const struct tapsi_security *security, enum tapsi_role role,
                struct tapsi_error *ret_error)
{
    c->verify =
        role == TAPSI_ROLE_SERVER ? security->require_client_certificate : security->mode == TAPS_SECURITY_REQUIRED;
    c->certificates = has_certificates(security, role);
    if (!c->certificates && !security->psk_count)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                               "listening with TLS needs a server certificate or a pre-shared key");
    int err = tapsi_psk_make(c, security, ret_error);
    if (!err && c->certificates)
        err = make_own(c, security, role, ret_error);
    if (!err && c->certificates)
        err = make_trust(c, security, ret_error);
    if (!err && role != TAPSI_ROLE_SERVER)
        err = add_pins(c, security, ret_error);
    if (!err && role == TAPSI_ROLE_SERVER)
        err = make_issuer(c, security, ret_error);
    return err;
}

int tapsi_credentials(struct tapsi_security *security, enum tapsi_role role, enum tapsi_secure_kind kind,
                      const struct tapsi_credentials **ret, struct tapsi_error *ret_error)
{
    int slot = role == TAPSI_ROLE_SERVER;
    if (!security->derived[slot]) {
        struct tapsi_credentials *c = tapsi_zalloc(security->mem, sizeof(*c));
        if (!c)
            return no_memory(ret_error);
        c->mem = security->mem;
        c->security = security;
        c->role = role == TAPSI_ROLE_SERVER ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT;
        int err = make(c, security, role, ret_error);
        if (err) {
            free_credentials(c);
            return err;
        }
        security->derived[slot] = c;
        security->derived_free[slot] = free_credentials;
    }
    struct tapsi_credentials *c = security->derived[slot];
    int err = c->priority[kind] ? 0 : list_alpn(c, security, kind, ret_error);
    if (!err && !c->priority[kind])
        err = make_priority(c, security, kind, ret_error);
    if (!err)
        *ret = c;
    return err;
}
