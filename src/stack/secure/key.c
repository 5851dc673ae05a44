#include "stack/secure/key.h"

#include <string.h>
#include "stack/secure/signer.h"

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

/* ------------------------------------------------------------------------------------------------------ all */

static int open_here(gnutls_privkey_t key, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf)
{
    gnutls_datum_t pem = {certificate->key.data, (unsigned)certificate->key.length};
    const char *password = (const char *)certificate->password.data;
    int r = gnutls_privkey_import_x509_raw(key, &pem, GNUTLS_X509_FMT_PEM, password, 0);
    return r < 0 ? r : try_key(key, leaf);
}

static int open_token(gnutls_privkey_t key, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf,
                      struct tapsi_detour **detour)
{
    gnutls_privkey_t token;
    int r = tapsi_signer_token(key, certificate, leaf, detour, &token);
    return r < 0 ? r : try_key(token, leaf);
}

bool tapsi_key_is_slow(const struct tapsi_certificate *certificate)
{
    return certificate->sign ? certificate->slow : tapsi_key_is_uri(&certificate->key);
}

int tapsi_key_open(gnutls_privkey_t *ret, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf,
                   struct tapsi_detour **detour)
{
    gnutls_privkey_t key;
    int r = gnutls_privkey_init(&key);
    if (r < 0)
        return r;
    if (certificate->sign)
        r = tapsi_signer_application(key, certificate, leaf, detour);
    else if (tapsi_key_is_uri(&certificate->key))
        r = open_token(key, certificate, leaf, detour);
    else
        r = open_here(key, certificate, leaf);
    if (r < 0)
        gnutls_privkey_deinit(key);
    else
        *ret = key;
    return r < 0 ? r : 0;
}
