/* Security parameters as the library keeps them: ref-counted, immutable once an action has taken them. */
#ifndef TAPSI_SELECT_SECURITY_H
#define TAPSI_SELECT_SECURITY_H

#include "base/err.h"
#include "base/mem.h"

#define TAPSI_SECURITY_LIST_MAX 16         /* entries of each list */
#define TAPSI_PEM_MAX           (1U << 20) /* bytes of one PEM text */
#define TAPSI_KEY_PIN           32         /* bytes: SHA-256 of a public key */
#define TAPSI_PSK_MIN           16         /* bytes of a pre-shared key: 128 bits (RFC 9257, 6) */
#define TAPSI_PSK_MAX           256
#define TAPSI_PSK_IDENTITY_MAX  128 /* bytes: GnuTLS takes no more */
#define TAPSI_PASSWORD_MAX      1024

/* What is cached for resumption if the application does not say: a browser's few sessions per peer; GnuTLS's and most
   servers' lifetime. Seven days is the most that TLS 1.3 allows (RFC 8446, 4.6.1). */
#define TAPSI_CACHED_SESSIONS            64
#define TAPSI_CACHED_SESSIONS_MAX        65536
#define TAPSI_CACHED_SESSION_SECONDS     (6 * 3600)
#define TAPSI_CACHED_SESSION_SECONDS_MAX (7 * 86400)

struct tapsi_bytes {
    uint8_t *data; /* terminated by a 0 that does not count */
    size_t length;
};

struct tapsi_certificate {
    struct tapsi_bytes chain, key; /* PEM, or a URI "pkcs11:..." */
    struct tapsi_bytes password;   /* of the key, or the PIN of the token; no data: none */
    taps_sign_fn sign;             /* instead of `key`: the application does its work */
    void *sign_user;
    bool slow; /* `sign` is called on a thread of its own */
};

struct tapsi_psk {
    struct tapsi_bytes identity, key;
};

struct tapsi_names {
    char *names[TAPSI_SECURITY_LIST_MAX];
    size_t count;
};

struct tapsi_security {
    struct tapsi_mem *mem;
    unsigned refs;
    enum taps_security_mode mode;
    unsigned allowed; /* bits 1 << enum taps_security_protocol */
    bool allowed_set;
    enum taps_security_protocol minimum_version;             /* 0 = none set */
    struct tapsi_bytes authorities[TAPSI_SECURITY_LIST_MAX]; /* PEM; none = the system's store */
    size_t authority_count;
    struct tapsi_certificate server[TAPSI_SECURITY_LIST_MAX], client[TAPSI_SECURITY_LIST_MAX];
    size_t server_count, client_count;
    struct tapsi_bytes pins[TAPSI_SECURITY_LIST_MAX]; /* PEM */
    size_t pin_count;
    struct tapsi_bytes key_pins[TAPSI_SECURITY_LIST_MAX]; /* TAPSI_KEY_PIN bytes each */
    size_t key_pin_count;
    struct tapsi_psk psks[TAPSI_SECURITY_LIST_MAX];
    size_t psk_count;
    struct tapsi_bytes staples[TAPSI_SECURITY_LIST_MAX]; /* OCSP responses, DER */
    size_t staple_count;
    struct tapsi_bytes password; /* of the keys that are added from now on */
    taps_trust_fn trust;         /* who is asked whether to trust the peer, or NULL */
    void *trust_user;
    char *key_log; /* the path of the file that secrets are written to, or NULL */
    struct tapsi_names alpn;
    /* What follows ":+" in a GnuTLS priority string: "GROUP-X25519"; "AES-128-GCM"; "SIGN-RSA-SHA256", or two joined by
       ":+". Empty = the default. */
    struct tapsi_names groups, ciphersuites, signatures;
    char *server_name;
    bool require_client_certificate;
    uint32_t max_cached_sessions;             /* of these parameters; 0 = none, so nothing is resumed */
    uint32_t cached_session_lifetime_seconds; /* and no longer than the peer allows; 0 = none is kept */
    /* Whatever a stack derives from these parameters and wants to make only once (parsed credentials): owned by the
       snapshot, freed with it. One slot per role: 0 client, 1 server. The stack that sets it sets the destructor. */
    void *derived[2];
    void (*derived_free[2])(void *derived);
};

struct tapsi_security *tapsi_security_new(struct tapsi_mem *mem, enum taps_security_mode mode);
/* Without `derived`. */
struct tapsi_security *tapsi_security_copy(const struct tapsi_security *s, struct tapsi_mem *mem);
struct tapsi_security *tapsi_security_ref(struct tapsi_security *s);
void tapsi_security_unref(struct tapsi_security *s); /* NULL is allowed; private keys are wiped */
/* The versions that may be used: allowed, minus what is below the minimum. 0 = contradiction. */
unsigned tapsi_security_versions(const struct tapsi_security *s);

/* Setters: 0, TAPS_E_RANGE (not what it should be, too long, or the list is full) or TAPS_E_MEMORY; on failure nothing
   has changed. PEM is looked at for its markers only: whoever uses it parses it. */
int tapsi_security_add_authority(struct tapsi_security *s, const void *pem, size_t length);
int tapsi_security_add_pin(struct tapsi_security *s, const void *pem, size_t length);
int tapsi_security_add_server(struct tapsi_security *s, const void *certificate, size_t certificate_length,
                              const void *key, size_t key_length);
int tapsi_security_add_client(struct tapsi_security *s, const void *certificate, size_t certificate_length,
                              const void *key, size_t key_length);
/* Without a key: `sign` does its work. */
int tapsi_security_add_signer(struct tapsi_security *s, bool server, const void *certificate, size_t length,
                              taps_sign_fn sign, void *user);
int tapsi_security_add_slow_signer(struct tapsi_security *s, bool server, const void *certificate, size_t length,
                                   taps_sign_fn sign, void *user);
/* "sha256//" and base64, or 64 hex digits. */
int tapsi_security_add_key_pin_text(struct tapsi_security *s, const char *text);
int tapsi_security_add_key_pin(struct tapsi_security *s, const uint8_t hash[TAPSI_KEY_PIN]);
/* An identity that is there already gets the new key. */
int tapsi_security_add_psk(struct tapsi_security *s, const char *identity, const void *key, size_t length);
int tapsi_security_add_psk_hex(struct tapsi_security *s, const char *identity, const char *hex);
int tapsi_security_add_staple(struct tapsi_security *s, const void *response, size_t length);
int tapsi_security_set_password(struct tapsi_security *s, const char *password); /* NULL: none */
int tapsi_security_set_key_log(struct tapsi_security *s, const char *path);      /* NULL: none */
/* Has this end something to show when it listens: a certificate, or a pre-shared key? */
bool tapsi_security_can_serve(const struct tapsi_security *s);
int tapsi_security_add_alpn(struct tapsi_security *s, const char *protocol);
/* What is kept is the token for a priority string: see tls_names.h. A name that is there already is left alone. */
int tapsi_security_add_group(struct tapsi_security *s, const char *name);
int tapsi_security_add_ciphersuite(struct tapsi_security *s, const char *name);
int tapsi_security_add_signature(struct tapsi_security *s, const char *name);
int tapsi_security_allow(struct tapsi_security *s, enum taps_security_protocol protocol);
int tapsi_security_set_minimum(struct tapsi_security *s, enum taps_security_protocol protocol);
int tapsi_security_set_server_name(struct tapsi_security *s, const char *name); /* replaces */
int tapsi_security_set_max_cached(struct tapsi_security *s, uint64_t count);
int tapsi_security_set_cached_lifetime(struct tapsi_security *s, uint64_t seconds);
/* Empties the list of certificates, pins, names ... that a parameter of RFC 9622, 6.3 stands for. */
enum tapsi_security_list {
    TAPSI_SECURITY_ONE, /* a parameter with one value: nothing to empty */
    TAPSI_SECURITY_ALLOWED,
    TAPSI_SECURITY_SERVER,
    TAPSI_SECURITY_CLIENT,
    TAPSI_SECURITY_PINS, /* of certificates and of keys */
    TAPSI_SECURITY_PSKS,
    TAPSI_SECURITY_ALPN,
    TAPSI_SECURITY_GROUPS,
    TAPSI_SECURITY_CIPHERSUITES,
    TAPSI_SECURITY_SIGNATURES,
};
void tapsi_security_clear(struct tapsi_security *s, enum tapsi_security_list list);
/* Gives `s` the contents of `from`, and `from` those of `s`: an all-or-nothing change made on a copy. */
void tapsi_security_swap(struct tapsi_security *s, struct tapsi_security *from);

/* The public object is this one under another name, with one reference. */
static inline struct tapsi_security *tapsi_security_of(taps_security_parameters *p)
{
    return (struct tapsi_security *)(void *)p;
}

static inline const struct tapsi_security *tapsi_security_of_const(const taps_security_parameters *p)
{
    return (const struct tapsi_security *)(const void *)p;
}

static inline taps_security_parameters *tapsi_security_public(struct tapsi_security *s)
{
    return (taps_security_parameters *)(void *)s;
}

#endif
