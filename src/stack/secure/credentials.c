#include "stack/secure/credentials.h"

#include <string.h>
#include "base/str.h"
#include "stack/secure/issuer.h"
#include "stack/secure/trust.h"

/* AES-128-GCM first, since it is the fastest with AES instructions; only forward-secret key exchange and AEAD, unless
   the application names others. PROFILE_MEDIUM refuses RSA keys below 2048 bits. */
#define DEFAULT_CIPHERS ":+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
#define DEFAULT_GROUPS                                                                                                 \
    ":+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448:+GROUP-FFDHE2048:+GROUP-FFDHE3072"  \
    ":+GROUP-FFDHE4096"

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

static void add_names(struct tapsi_str *s, const struct tapsi_names *names, const char *none, const char *defaults)
{
    tapsi_str_add(s, none);
    if (names->count == 0)
        tapsi_str_add(s, defaults);
    for (size_t i = 0; i < names->count; i++)
        tapsi_str_format(s, ":+%s", names->names[i]);
}

/* Of the versions allowed, those of this protocol. */
static unsigned versions_of(const struct tapsi_security *security, enum tapsi_secure_kind kind)
{
    static const unsigned of_kind[TAPSI_SECURE_KINDS] = {
        [TAPSI_SECURE_TLS] = 1U << TAPS_TLS_1_2 | 1U << TAPS_TLS_1_3,
        [TAPSI_SECURE_DTLS] = 1U << TAPS_DTLS_1_2,
        [TAPSI_SECURE_QUIC] = 1U << TAPS_QUIC_1,
    };
    return tapsi_security_versions(security) & of_kind[kind];
}

/* QUIC has no middleboxes to please, and forbids to try (RFC 9001, 8.4). */
static void priority_text(const struct tapsi_security *security, enum tapsi_secure_kind kind, struct tapsi_str *s)
{
    unsigned versions = versions_of(security, kind);
    tapsi_str_add(s, kind == TAPSI_SECURE_QUIC ? "%DISABLE_TLS13_COMPAT_MODE:NORMAL" : "NORMAL");
    tapsi_str_add(s, ":-VERS-ALL");
    if (versions & (1U << TAPS_TLS_1_3 | 1U << TAPS_QUIC_1))
        tapsi_str_add(s, ":+VERS-TLS1.3");
    if (versions & 1U << TAPS_TLS_1_2)
        tapsi_str_add(s, ":+VERS-TLS1.2");
    if (versions & 1U << TAPS_DTLS_1_2)
        tapsi_str_add(s, ":+VERS-DTLS1.2");
    tapsi_str_add(s, ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:+DHE-RSA");
    add_names(s, &security->ciphersuites, ":-CIPHER-ALL", DEFAULT_CIPHERS);
    if (security->ciphersuites.count)
        tapsi_str_add(s, ":+SHA256:+SHA384"); /* CBC suites have them for MAC */
    add_names(s, &security->groups, ":-GROUP-ALL", DEFAULT_GROUPS);
    if (security->signatures.count)
        add_names(s, &security->signatures, ":-SIGN-ALL", "");
    else
        tapsi_str_add(s, ":-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1");
    tapsi_str_add(s, ":%PROFILE_MEDIUM");
}

static int make_priority(struct tapsi_credentials *c, const struct tapsi_security *security,
                         enum tapsi_secure_kind kind, struct tapsi_error *ret_error)
{
    if (versions_of(security, kind) == 0)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                               "allowedSecurityProtocols has nothing at or above the minimum version");
    struct tapsi_str s;
    tapsi_str_init(&s, c->mem);
    priority_text(security, kind, &s);
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

static int try_names(gnutls_x509_crt_t certificate)
{
    int r = 0;
    for (unsigned i = 0; r >= 0 || r == GNUTLS_E_SHORT_MEMORY_BUFFER; i++) {
        char name[256];
        size_t size = sizeof(name);
        r = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, NULL);
    }
    return r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? 0 : r;
}

/* Do they belong together? GnuTLS 3.7 asks only RSA and ECDSA keys. One that cannot be read is left for it to tell. */
static int try_key(gnutls_x509_crt_t certificate, const gnutls_datum_t *pem)
{
    gnutls_x509_privkey_t key;
    unsigned char shown[32], own[32];
    size_t shown_size = sizeof(shown), own_size = sizeof(own);
    int r = gnutls_x509_privkey_init(&key);
    if (r < 0)
        return r;
    if (gnutls_x509_privkey_import2(key, pem, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0 &&
        gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, own, &own_size) >= 0 &&
        gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, shown, &shown_size) >= 0 &&
        (own_size != shown_size || memcmp(own, shown, own_size) != 0))
        r = GNUTLS_E_CERTIFICATE_KEY_MISMATCH;
    gnutls_x509_privkey_deinit(key);
    return r;
}

/* GnuTLS leaks a chain that it was given to show when it cannot read it, or a name in it: so it is read before. */
static int try_chain(const gnutls_datum_t *chain, const gnutls_datum_t *key)
{
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    int r = gnutls_x509_crt_list_import2(&list, &count, chain, GNUTLS_X509_FMT_PEM, 0);
    if (r < 0)
        return r;
    r = count ? try_names(list[0]) : 0;
    if (count && r >= 0)
        r = try_key(list[0], key);
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    return r;
}

static int add_certificates(struct tapsi_credentials *c, const struct tapsi_certificate *list, size_t count,
                            const char *what, struct tapsi_error *ret_error)
{
    for (size_t i = 0; i < count; i++) {
        gnutls_datum_t chain = datum(&list[i].chain), key = datum(&list[i].key);
        int r = try_chain(&chain, &key);
        if (r >= 0)
            r = gnutls_certificate_set_x509_key_mem2(c->own, &chain, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (r < 0)
            return unusable(ret_error, what, i, r);
    }
    return 0;
}

static int add_authorities(struct tapsi_credentials *c, const struct tapsi_security *security,
                           struct tapsi_error *ret_error)
{
    for (size_t i = 0; i < security->authority_count; i++) {
        gnutls_datum_t pem = datum(&security->authorities[i]);
        int r = gnutls_certificate_set_x509_trust_mem(c->own, &pem, GNUTLS_X509_FMT_PEM);
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
    return 0;
}

static int make_trust(struct tapsi_credentials *c, const struct tapsi_security *security, struct tapsi_error *ret_error)
{
    if (security->authority_count)
        return add_authorities(c, security, ret_error);
    return c->verify ? tapsi_trust_take(&c->system, ret_error) : 0;
}

static int make_own(struct tapsi_credentials *c, const struct tapsi_security *security, enum tapsi_role role,
                    struct tapsi_error *ret_error)
{
    bool server = role == TAPSI_ROLE_SERVER;
    size_t shown = server ? security->server_count : security->client_count;
    if (server && shown == 0)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "listening with TLS needs a server certificate");
    if (shown == 0 && security->authority_count == 0 && c->verify)
        return 0;
    if (gnutls_certificate_allocate_credentials(&c->own) < 0)
        return no_memory(ret_error);
    return server ? add_certificates(c, security->server, shown, "server certificate", ret_error)
                  : add_certificates(c, security->client, shown, "client certificate", ret_error);
}

/* --------------------------------------------------------------------------------------------------- all */

static void free_credentials(void *derived)
{
    struct tapsi_credentials *c = derived;
    if (c->own)
        gnutls_certificate_free_credentials(c->own);
    if (c->system)
        tapsi_trust_release();
    for (int kind = 0; kind < TAPSI_SECURE_KINDS; kind++) {
        if (c->priority[kind])
            gnutls_priority_deinit(c->priority[kind]);
    }
    for (unsigned i = 0; i < c->pin_count; i++)
        gnutls_x509_crt_deinit(c->pins[i]);
    tapsi_issuer_free(c->issuer);
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

static int make(struct tapsi_credentials *c, const struct tapsi_security *security, enum tapsi_role role,
                struct tapsi_error *ret_error)
{
    c->verify =
        role == TAPSI_ROLE_SERVER ? security->require_client_certificate : security->mode == TAPS_SECURITY_REQUIRED;
    int err = make_own(c, security, role, ret_error);
    if (!err)
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
