/* SPDX-License-Identifier: MIT */
#include "certificate.h"

#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HOUR = 3600, DAY = 24 * HOUR };

int certificate_check_authorities(const char *path)
{
    gnutls_certificate_credentials_t credentials;
    int count = gnutls_certificate_allocate_credentials(&credentials);

    if (count < 0)
        return count;
    count = gnutls_certificate_set_x509_trust_file(credentials, path, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(credentials);
    return count < 0 ? count : count == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : 0;
}

int certificate_check_pair(const char *chain_path, const char *key_path, const char *password)
{
    gnutls_certificate_credentials_t credentials;
    int error = gnutls_certificate_allocate_credentials(&credentials);

    if (error < 0)
        return error;
    error = gnutls_certificate_set_x509_key_file2(credentials, chain_path, key_path, GNUTLS_X509_FMT_PEM, password, 0);
    gnutls_certificate_free_credentials(credentials);
    return error < 0 ? error : 0;
}

/* U+0080 to U+009F are control characters too: some terminals obey them. */
static void clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            c[0] = c[1] = '?';
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

static void name_text(gnutls_x509_crt_t crt, int (*get)(gnutls_x509_crt_t, gnutls_datum_t *), char *text, size_t size)
{
    gnutls_datum_t name = {0};

    if (get(crt, &name) < 0 || !name.data)
        snprintf(text, size, "?");
    else
        snprintf(text, size, "%s", name.size ? (const char *)name.data : "(empty)");
    gnutls_free(name.data);
    clean(text);
}

static void time_text(time_t when, char *text, size_t size)
{
    struct tm parts;

    if (when == (time_t)-1 || !gmtime_r(&when, &parts) || strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, size, "?");
}

/* Of the SubjectPublicKeyInfo (RFC 7469). */
static void pin_text(gnutls_x509_crt_t crt, char *text, size_t size)
{
    unsigned char hash[32];
    size_t length = sizeof hash;
    gnutls_datum_t base64 = {0};

    text[0] = '\0';
    if (gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, hash, &length) < 0)
        return;
    if (gnutls_base64_encode2(&(gnutls_datum_t){hash, (unsigned)length}, &base64) >= 0)
        snprintf(text, size, "sha256//%.*s", (int)base64.size, (const char *)base64.data);
    gnutls_free(base64.data);
}

int certificate_look(const void *der, size_t length, struct certificate_look *ret_look)
{
    gnutls_datum_t datum = {.data = (unsigned char *)(uintptr_t)der, .size = (unsigned)length};
    gnutls_x509_crt_t crt;
    int error = gnutls_x509_crt_init(&crt);

    if (error < 0)
        return error;
    error = gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER);
    if (error >= 0) {
        name_text(crt, gnutls_x509_crt_get_dn2, ret_look->subject, sizeof ret_look->subject);
        name_text(crt, gnutls_x509_crt_get_issuer_dn2, ret_look->issuer, sizeof ret_look->issuer);
        time_text(gnutls_x509_crt_get_activation_time(crt), ret_look->from, sizeof ret_look->from);
        time_text(gnutls_x509_crt_get_expiration_time(crt), ret_look->until, sizeof ret_look->until);
        pin_text(crt, ret_look->pin, sizeof ret_look->pin);
    }
    gnutls_x509_crt_deinit(crt);
    return error < 0 ? error : 0;
}

struct signer {
    gnutls_x509_crt_t certificate;
    gnutls_x509_privkey_t key;
};

static int make_key(gnutls_x509_privkey_t *key)
{
    int error = gnutls_x509_privkey_init(key);

    if (error < 0)
        return error;
    return gnutls_x509_privkey_generate(*key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
}

/* What both kinds of certificate have. */
static int fill(struct signer *one, const char *common_name)
{
    unsigned char serial[16], id[64];
    size_t id_size = sizeof id;
    time_t now = time(NULL);
    int error = gnutls_x509_crt_init(&one->certificate);

    if (error >= 0)
        error = make_key(&one->key);
    if (error >= 0)
        error = gnutls_x509_crt_set_version(one->certificate, 3);
    if (error >= 0)
        error = gnutls_x509_crt_set_key(one->certificate, one->key);
    if (error >= 0)
        error = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);
    serial[0] &= 0x7F; /* a serial number is positive */
    if (error >= 0)
        error = gnutls_x509_crt_set_serial(one->certificate, serial, sizeof serial);
    if (error >= 0)
        error = gnutls_x509_crt_set_activation_time(one->certificate, now - HOUR);
    if (error >= 0)
        error = gnutls_x509_crt_set_expiration_time(one->certificate, now + DAY);
    if (error >= 0)
        error = gnutls_x509_crt_set_dn_by_oid(one->certificate, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                              (unsigned)strlen(common_name));
    if (error >= 0)
        error = gnutls_x509_crt_get_key_id(one->certificate, GNUTLS_KEYID_USE_SHA1, id, &id_size);
    if (error >= 0)
        error = gnutls_x509_crt_set_subject_key_id(one->certificate, id, id_size);
    return error;
}

static int make_authority(struct signer *authority)
{
    int error = fill(authority, "libtaps demo authority");

    if (error >= 0)
        error = gnutls_x509_crt_set_basic_constraints(authority->certificate, 1, 0);
    if (error >= 0)
        error = gnutls_x509_crt_set_key_usage(authority->certificate, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (error >= 0)
        error =
            gnutls_x509_crt_sign2(authority->certificate, authority->certificate, authority->key, GNUTLS_DIG_SHA256, 0);
    return error;
}

static int make_server(const struct signer *authority, const char *name, struct signer *server)
{
    unsigned char id[64];
    size_t id_size = sizeof id;
    int error = fill(server, name);

    if (error >= 0)
        error = gnutls_x509_crt_get_subject_key_id(authority->certificate, id, &id_size, NULL);
    if (error >= 0)
        error = gnutls_x509_crt_set_authority_key_id(server->certificate, id, id_size);
    if (error >= 0)
        error = gnutls_x509_crt_set_basic_constraints(server->certificate, 0, -1);
    if (error >= 0)
        error = gnutls_x509_crt_set_subject_alt_name(server->certificate, GNUTLS_SAN_DNSNAME, name,
                                                     (unsigned)strlen(name), GNUTLS_FSAN_SET);
    if (error >= 0)
        error = gnutls_x509_crt_set_key_usage(server->certificate, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (error >= 0)
        error = gnutls_x509_crt_set_key_purpose_oid(server->certificate, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (error >= 0)
        error =
            gnutls_x509_crt_sign2(server->certificate, authority->certificate, authority->key, GNUTLS_DIG_SHA256, 0);
    return error;
}

static void free_signer(struct signer *one)
{
    if (one->certificate)
        gnutls_x509_crt_deinit(one->certificate);
    if (one->key)
        gnutls_x509_privkey_deinit(one->key);
}

int certificate_make(const char *name, struct certificate *ret_certificate)
{
    struct signer authority = {0}, server = {0};
    struct certificate made = {0};
    int error = make_authority(&authority);

    if (error >= 0)
        error = make_server(&authority, name, &server);
    if (error >= 0)
        error = gnutls_x509_crt_export2(authority.certificate, GNUTLS_X509_FMT_PEM, &made.authority);
    if (error >= 0)
        error = gnutls_x509_crt_export2(server.certificate, GNUTLS_X509_FMT_PEM, &made.chain);
    if (error >= 0)
        error = gnutls_x509_privkey_export2(server.key, GNUTLS_X509_FMT_PEM, &made.key);
    free_signer(&authority);
    free_signer(&server);
    if (error < 0)
        certificate_done(&made);
    else
        *ret_certificate = made;
    return error < 0 ? error : 0;
}

void certificate_done(struct certificate *certificate)
{
    gnutls_free(certificate->authority.data);
    gnutls_free(certificate->chain.data);
    if (certificate->key.data)
        gnutls_memset(certificate->key.data, 0, certificate->key.size);
    gnutls_free(certificate->key.data);
    *certificate = (struct certificate){0};
}
