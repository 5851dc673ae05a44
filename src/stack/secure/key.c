#include "stack/secure/key.h"

#include <gnutls/crypto.h>
#include <string.h>

bool tapsi_key_is_uri(const struct tapsi_bytes *text)
{
    return text->length > 7 && memcmp(text->data, "pkcs11:", 7) == 0;
}

/* Once: a wrong one tried again would lock the token. */
int tapsi_key_pin(void *user, int attempt, const char *url, const char *label, unsigned flags, char *pin, size_t size)
{
    const struct tapsi_certificate *certificate = user;
    const struct tapsi_bytes *password = &certificate->password;
    (void)attempt;
    (void)url;
    (void)label;
    if (!password->data || password->length >= size || (flags & GNUTLS_PIN_WRONG))
        return -1;
    memcpy(pin, password->data, password->length + 1);
    return 0;
}

/* Do they belong together? GnuTLS 3.7 asks only RSA and ECDSA keys. */
static int try_key(gnutls_privkey_t key, gnutls_x509_crt_t leaf)
{
    gnutls_pubkey_t public;
    unsigned char shown[32], own[32];
    size_t shown_size = sizeof(shown), own_size = sizeof(own);
    int r = gnutls_pubkey_init(&public);
    if (r < 0)
        return r;
    r = gnutls_pubkey_import_privkey(public, key, 0, 0);
    if (r >= 0)
        r = gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, own, &own_size);
    if (r >= 0)
        r = gnutls_x509_crt_get_key_id(leaf, GNUTLS_KEYID_USE_SHA256, shown, &shown_size);
    if (r >= 0 && (own_size != shown_size || memcmp(own, shown, own_size) != 0))
        r = GNUTLS_E_CERTIFICATE_KEY_MISMATCH;
    gnutls_pubkey_deinit(public);
    return r;
}

/* ------------------------------------------------------------------------------------- the application's key */

/* A key that is not here: what it is for is known from the certificate. */
struct signer {
    taps_sign_fn sign;
    void *user;
    gnutls_pk_algorithm_t algorithm;
    unsigned bits;
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

static int challenge(const struct signer *s, gnutls_sign_algorithm_t algorithm, const void *data, size_t length,
                     gnutls_datum_t *ret)
{
    unsigned char signature[TAPS_SIGNATURE_MAX];
    size_t size = 0;
    struct taps_challenge c = {.scheme = scheme_of(algorithm), .data = data, .length = length};
    if (!c.scheme)
        return GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM;
    if (s->sign(&c, signature, &size, s->user) != 0 || size == 0 || size > sizeof(signature))
        return GNUTLS_E_PK_SIGN_FAILED;
    ret->data = gnutls_malloc(size);
    if (!ret->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(ret->data, signature, size);
    ret->size = (unsigned)size;
    return 0;
}

static int sign_data(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *user, unsigned flags,
                     const gnutls_datum_t *data, gnutls_datum_t *ret)
{
    unsigned char digest[64];
    (void)key;
    (void)flags;
    if (algorithm == GNUTLS_SIGN_EDDSA_ED25519 || algorithm == GNUTLS_SIGN_EDDSA_ED448)
        return challenge(user, algorithm, data->data, data->size, ret);
    gnutls_digest_algorithm_t hash = gnutls_sign_get_hash_algorithm(algorithm);
    size_t size = gnutls_hash_get_len(hash);
    if (size == 0 || size > sizeof(digest) || gnutls_hash_fast(hash, data->data, data->size, digest) < 0)
        return GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM;
    return challenge(user, algorithm, digest, size, ret);
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
        return challenge(user, algorithm, data->data, data->size, ret);
    int r = gnutls_decode_ber_digest_info(data, &hash, digest, &size);
    return r < 0 ? r : challenge(user, gnutls_pk_to_sign(GNUTLS_PK_RSA, hash), digest, size, ret);
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
        return scheme_of(algorithm) && gnutls_sign_supports_pk_algorithm(algorithm, s->algorithm);
    }
    return -1;
}

static void forget(gnutls_privkey_t key, void *user)
{
    (void)key;
    gnutls_free(user);
}

static int open_signer(gnutls_privkey_t key, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf)
{
    struct signer *s = gnutls_malloc(sizeof(*s));
    if (!s)
        return GNUTLS_E_MEMORY_ERROR;
    *s = (struct signer){.sign = certificate->sign, .user = certificate->sign_user};
    int algorithm = gnutls_x509_crt_get_pk_algorithm(leaf, &s->bits);
    int r = algorithm;
    if (r >= 0) {
        s->algorithm = (gnutls_pk_algorithm_t)algorithm;
        r = gnutls_privkey_import_ext4(key, s, sign_data, sign_hash, NULL, forget, tell, 0);
    }
    if (r < 0)
        gnutls_free(s);
    return r;
}

/* ------------------------------------------------------------------------------------------------------ all */

static int open_here(gnutls_privkey_t key, const struct tapsi_certificate *certificate)
{
    gnutls_datum_t pem = {certificate->key.data, (unsigned)certificate->key.length};
    if (!tapsi_key_is_uri(&certificate->key))
        return gnutls_privkey_import_x509_raw(key, &pem, GNUTLS_X509_FMT_PEM, (const char *)certificate->password.data,
                                              0);
    gnutls_privkey_set_pin_function(key, tapsi_key_pin, (void *)(uintptr_t)certificate);
    return gnutls_privkey_import_url(key, (const char *)certificate->key.data, 0);
}

int tapsi_key_open(gnutls_privkey_t *ret, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf)
{
    gnutls_privkey_t key;
    int r = gnutls_privkey_init(&key);
    if (r < 0)
        return r;
    r = certificate->sign ? open_signer(key, certificate, leaf) : open_here(key, certificate);
    if (r >= 0 && !certificate->sign)
        r = try_key(key, leaf);
    if (r < 0)
        gnutls_privkey_deinit(key);
    else
        *ret = key;
    return r < 0 ? r : 0;
}
