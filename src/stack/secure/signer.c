/*
 * Keys whose work is done elsewhere: by the application, or by a token (PKCS #11).
 *
 * GnuTLS asks for a signature in the middle of a handshake and waits for it. What may take long is done aside: the
 * handshake runs on a detour (loop/detour.h), which stops here; where there is none, all wait. A signature under way
 * has copies of all it needs and a reference to its signer, since handshake, session and credentials may be gone when
 * it is done. The counts are the loop's: only `run` is called elsewhere.
 */
#include "stack/secure/signer.h"

#include <gnutls/crypto.h>
#include <gnutls/pkcs11.h>
#include <string.h>
#include "stack/secure/key.h"

#define CKM_RSA_PKCS_PSS 0x0d /* PKCS #11 */

/* What it is for is known from the certificate. */
struct signer {
    unsigned refs;
    taps_sign_fn sign;
    void *user;
    gnutls_privkey_t token;       /* or NULL */
    pthread_mutex_t one;          /* with a token: it is asked by one thread at a time */
    struct tapsi_certificate pin; /* whoever asks for the token's PIN looks here */
    uint8_t pin_text[TAPSI_PASSWORD_MAX + 1];
    bool no_pss;
    bool slow;
    gnutls_pk_algorithm_t algorithm;
    unsigned bits;
    struct tapsi_detour **detour;
};

/* One signature. */
struct signing {
    struct tapsi_errand errand;
    struct tapsi_mem *mem;
    struct signer *signer;
    gnutls_sign_algorithm_t algorithm;
    const void *data; /* a digest, or of some algorithms the whole message */
    size_t length;
    bool made;
    size_t size;
    unsigned char signature[TAPS_SIGNATURE_MAX];
    unsigned char copy[];
};

static const struct {
    gnutls_sign_algorithm_t algorithm;
    const char *scheme;
} schemes[] = {
    {GNUTLS_SIGN_RSA_SHA256, "rsa_pkcs1_sha256"},
    {GNUTLS_SIGN_RSA_SHA384, "rsa_pkcs1_sha384"},
    {GNUTLS_SIGN_RSA_SHA512, "rsa_pkcs1_sha512"},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, "rsa_pss_rsae_sha256"},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, "rsa_pss_rsae_sha384"},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, "rsa_pss_rsae_sha512"},
    {GNUTLS_SIGN_RSA_PSS_SHA256, "rsa_pss_pss_sha256"},
    {GNUTLS_SIGN_RSA_PSS_SHA384, "rsa_pss_pss_sha384"},
    {GNUTLS_SIGN_RSA_PSS_SHA512, "rsa_pss_pss_sha512"},
    {GNUTLS_SIGN_ECDSA_SHA256, "ecdsa_secp256r1_sha256"},
    {GNUTLS_SIGN_ECDSA_SHA384, "ecdsa_secp384r1_sha384"},
    {GNUTLS_SIGN_ECDSA_SHA512, "ecdsa_secp521r1_sha512"},
    {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, "ecdsa_secp256r1_sha256"},
    {GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, "ecdsa_secp384r1_sha384"},
    {GNUTLS_SIGN_ECDSA_SECP521R1_SHA512, "ecdsa_secp521r1_sha512"},
    {GNUTLS_SIGN_EDDSA_ED25519, "ed25519"},
    {GNUTLS_SIGN_EDDSA_ED448, "ed448"},
};

static const char *scheme_of(gnutls_sign_algorithm_t algorithm)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (schemes[i].algorithm == algorithm)
            return schemes[i].scheme;
    }
    return NULL;
}

static bool is_whole(gnutls_sign_algorithm_t algorithm)
{
    return algorithm == GNUTLS_SIGN_EDDSA_ED25519 || algorithm == GNUTLS_SIGN_EDDSA_ED448;
}

static void unref(struct signer *s)
{
    if (--s->refs)
        return;
    if (s->token) {
        gnutls_privkey_deinit(s->token);
        pthread_mutex_destroy(&s->one);
    }
    gnutls_memset(s->pin_text, 0, sizeof(s->pin_text));
    gnutls_free(s);
}

/* --------------------------------------------------------------------------------------------------- signing */

/* On any thread. */
static bool ask_application(struct signing *g)
{
    const struct taps_challenge c = {.scheme = scheme_of(g->algorithm), .data = g->data, .length = g->length};
    return g->signer->sign(&c, g->signature, &g->size, g->signer->user) == 0 && g->size > 0 &&
           g->size <= sizeof(g->signature);
}

/* On any thread. */
static bool ask_token(struct signing *g)
{
    struct signer *s = g->signer;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)g->data, (unsigned)g->length}, made = {NULL, 0};
    pthread_mutex_lock(&s->one);
    int r = is_whole(g->algorithm) ? gnutls_privkey_sign_data2(s->token, g->algorithm, 0, &data, &made)
                                   : gnutls_privkey_sign_hash2(s->token, g->algorithm, 0, &data, &made);
    pthread_mutex_unlock(&s->one);
    if (r >= 0 && made.size <= sizeof(g->signature)) {
        memcpy(g->signature, made.data, made.size);
        g->size = made.size;
    }
    gnutls_free(made.data);
    return g->size != 0;
}

static void run(struct tapsi_aside *aside)
{
    struct signing *g = TAPSI_CONTAINER(aside, struct signing, errand.aside);
    g->made = g->signer->token ? ask_token(g) : ask_application(g);
}

static int take(const struct signing *g, gnutls_datum_t *ret)
{
    if (!g->made)
        return GNUTLS_E_PK_SIGN_FAILED;
    ret->data = gnutls_malloc(g->size);
    if (!ret->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(ret->data, g->signature, g->size);
    ret->size = (unsigned)g->size;
    return 0;
}

static void free_signing(struct tapsi_errand *errand)
{
    struct signing *g = TAPSI_CONTAINER(errand, struct signing, errand);
    unref(g->signer);
    tapsi_free(g->mem, g);
}

static int ask_aside(struct signer *s, struct tapsi_detour *detour, gnutls_sign_algorithm_t algorithm, const void *data,
                     size_t length, gnutls_datum_t *ret)
{
    struct tapsi_mem *mem = &detour->loop->mem;
    struct signing *g = tapsi_zalloc(mem, sizeof(*g) + length);
    if (!g)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(g->copy, data, length);
    g->mem = mem;
    g->signer = s;
    s->refs++;
    g->algorithm = algorithm;
    g->data = g->copy;
    g->length = length;
    g->errand.aside.run = run;
    g->errand.free = free_signing;
    if (!tapsi_detour_wait(detour, &g->errand))
        return GNUTLS_E_PK_SIGN_FAILED;
    int r = take(g, ret);
    free_signing(&g->errand);
    return r;
}

static int ask(struct signer *s, gnutls_sign_algorithm_t algorithm, const void *data, size_t length,
               gnutls_datum_t *ret)
{
    if (!scheme_of(algorithm))
        return GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM;
    if (s->slow && *s->detour)
        return ask_aside(s, *s->detour, algorithm, data, length, ret);
    struct signing g = {.signer = s, .algorithm = algorithm, .data = data, .length = length};
    run(&g.errand.aside);
    return take(&g, ret);
}

static int sign_data(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *user, unsigned flags,
                     const gnutls_datum_t *data, gnutls_datum_t *ret)
{
    unsigned char digest[64];
    (void)key;
    (void)flags;
    if (is_whole(algorithm))
        return ask(user, algorithm, data->data, data->size, ret);
    gnutls_digest_algorithm_t hash = gnutls_sign_get_hash_algorithm(algorithm);
    size_t size = gnutls_hash_get_len(hash);
    if (size == 0 || size > sizeof(digest) || gnutls_hash_fast(hash, data->data, data->size, digest) < 0)
        return GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM;
    return ask(user, algorithm, digest, size, ret);
}

/* Of RSA and PKCS #1 GnuTLS gives the digest wrapped up already. */
static int sign_hash(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *user, unsigned flags,
                     const gnutls_datum_t *data, gnutls_datum_t *ret)
{
    unsigned char digest[64];
    unsigned size = sizeof(digest);
    gnutls_digest_algorithm_t hash;
    (void)key;
    (void)flags;
    if (algorithm != GNUTLS_SIGN_RSA_RAW)
        return ask(user, algorithm, data->data, data->size, ret);
    int r = gnutls_decode_ber_digest_info(data, &hash, digest, &size);
    return r < 0 ? r : ask(user, gnutls_pk_to_sign(GNUTLS_PK_RSA, hash), digest, size, ret);
}

/* ------------------------------------------------------------------------------------------------------ keys */

static bool is_pss(gnutls_sign_algorithm_t algorithm)
{
    return strncmp(scheme_of(algorithm), "rsa_pss", 7) == 0;
}

static int tell(gnutls_privkey_t key, unsigned flags, void *user)
{
    const struct signer *s = user;
    (void)key;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return (int)s->algorithm;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return (int)s->bits;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO) {
        gnutls_sign_algorithm_t algorithm = GNUTLS_FLAGS_TO_SIGN_ALGO(flags);
        return scheme_of(algorithm) && gnutls_sign_supports_pk_algorithm(algorithm, s->algorithm) &&
               !(s->no_pss && is_pss(algorithm));
    }
    return -1;
}

static void forget(gnutls_privkey_t key, void *user)
{
    (void)key;
    unref(user);
}

static int make(gnutls_x509_crt_t leaf, struct tapsi_detour **detour, struct signer **ret)
{
    struct signer *s = gnutls_calloc(1, sizeof(*s));
    if (!s)
        return GNUTLS_E_MEMORY_ERROR;
    s->refs = 1;
    s->detour = detour;
    int algorithm = gnutls_x509_crt_get_pk_algorithm(leaf, &s->bits);
    if (algorithm < 0) {
        gnutls_free(s);
        return algorithm;
    }
    s->algorithm = (gnutls_pk_algorithm_t)algorithm;
    *ret = s;
    return 0;
}

/* On failure the signer is gone. */
static int give(gnutls_privkey_t key, struct signer *s)
{
    int r = gnutls_privkey_import_ext4(key, s, sign_data, sign_hash, NULL, forget, tell, 0);
    if (r < 0)
        unref(s);
    return r;
}

int tapsi_signer_application(gnutls_privkey_t key, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf,
                             struct tapsi_detour **detour)
{
    struct signer *s;
    int r = make(leaf, detour, &s);
    if (r < 0)
        return r;
    s->sign = certificate->sign;
    s->user = certificate->sign_user;
    s->slow = certificate->slow;
    return give(key, s);
}

static void copy_pin(struct signer *s, const struct tapsi_bytes *password)
{
    if (!password->data || password->length >= sizeof(s->pin_text))
        return;
    memcpy(s->pin_text, password->data, password->length + 1);
    s->pin.password = (struct tapsi_bytes){s->pin_text, password->length};
}

static int open_token(struct signer *s, const char *uri)
{
    int r = gnutls_privkey_init(&s->token);
    if (r < 0) {
        s->token = NULL;
        return r;
    }
    if (pthread_mutex_init(&s->one, NULL) != 0) {
        gnutls_privkey_deinit(s->token);
        s->token = NULL;
        return GNUTLS_E_MEMORY_ERROR;
    }
    gnutls_privkey_set_pin_function(s->token, tapsi_key_pin, &s->pin);
    r = gnutls_privkey_import_url(s->token, uri, 0);
    if (r >= 0 && s->algorithm == GNUTLS_PK_RSA)
        s->no_pss = !gnutls_pkcs11_token_check_mechanism(uri, CKM_RSA_PKCS_PSS, NULL, 0, 0);
    return r;
}

int tapsi_signer_token(gnutls_privkey_t key, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf,
                       struct tapsi_detour **detour, gnutls_privkey_t *ret_token)
{
    struct signer *s;
    int r = make(leaf, detour, &s);
    if (r < 0)
        return r;
    s->slow = true;
    copy_pin(s, &certificate->password);
    r = open_token(s, (const char *)certificate->key.data);
    if (r < 0) {
        unref(s);
        return r;
    }
    *ret_token = s->token;
    return give(key, s);
}
