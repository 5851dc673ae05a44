#include "stack/secure/test_certificates.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509-ext.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void need(int r, const char *doing)
{
    if (r >= 0)
        return;
    fprintf(stderr, "test certificate: %s: %s\n", doing, gnutls_strerror(r));
    abort();
}

static time_t day(const char *text)
{
    struct tm tm = {0};
    if (!strptime(text, "%Y-%m-%d", &tm))
        need(GNUTLS_E_PARSING_ERROR, text);
    return timegm(&tm);
}

static char *text_of(gnutls_datum_t *pem)
{
    char *text = strndup((const char *)pem->data, pem->size);
    if (!text)
        abort();
    gnutls_free(pem->data);
    return text;
}

static void add_name(gnutls_x509_crt_t crt, const char *name)
{
    unsigned char bytes[16];
    int family = strchr(name, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, name, bytes) == 1)
        need(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, bytes, family == AF_INET ? 4 : 16,
                                                  GNUTLS_FSAN_APPEND),
             name);
    else
        need(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name),
                                                  GNUTLS_FSAN_APPEND),
             name);
}

static void add_names(gnutls_x509_crt_t crt, const char *names)
{
    char *copy = strdup(names), *rest = copy, *name;
    while ((name = strsep(&rest, ",")))
        add_name(crt, name);
    free(copy);
}

static void demand_status(gnutls_x509_crt_t crt)
{
    gnutls_x509_tlsfeatures_t features;
    need(gnutls_x509_tlsfeatures_init(&features), "features");
    need(gnutls_x509_tlsfeatures_add(features, 5), "status_request"); /* RFC 7633, 4.1 */
    need(gnutls_x509_crt_set_tlsfeatures(crt, features), "features");
    gnutls_x509_tlsfeatures_deinit(features);
}

static void describe(gnutls_x509_crt_t crt, const struct tapsi_test_subject *s)
{
    static unsigned char serial;
    unsigned char number[2] = {1, ++serial};
    need(gnutls_x509_crt_set_version(crt, 3), "version");
    need(gnutls_x509_crt_set_serial(crt, number, sizeof(number)), "serial");
    need(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, s->name, (unsigned)strlen(s->name)),
         s->name);
    need(gnutls_x509_crt_set_activation_time(crt, day(s->from ? s->from : "2020-01-01")), "activation");
    need(gnutls_x509_crt_set_expiration_time(crt, day(s->until ? s->until : "2049-12-31")), "expiration");
    need(gnutls_x509_crt_set_basic_constraints(crt, s->authority, -1), "constraints");
    need(gnutls_x509_crt_set_key_usage(crt, s->authority ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE),
         "usage");
    if (s->names)
        add_names(crt, s->names);
    if (s->must_staple)
        demand_status(crt);
    if (s->purpose != TAPSI_TEST_ANY)
        need(gnutls_x509_crt_set_key_purpose_oid(
                 crt, s->purpose == TAPSI_TEST_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, 0),
             "purpose");
}

static void import(const struct tapsi_test_identity *identity, gnutls_x509_crt_t *crt, gnutls_x509_privkey_t *key)
{
    gnutls_datum_t pem = {(unsigned char *)identity->certificate, (unsigned)strlen(identity->certificate)};
    gnutls_datum_t key_pem = {(unsigned char *)identity->key, (unsigned)strlen(identity->key)};
    need(gnutls_x509_crt_init(crt), "init");
    need(gnutls_x509_crt_import(*crt, &pem, GNUTLS_X509_FMT_PEM), "issuer");
    need(gnutls_x509_privkey_init(key), "init");
    need(gnutls_x509_privkey_import2(*key, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0), "issuer's key");
}

/* An Ed25519 key signs what it is given, without a digest of one's choice. */
static void sign_by(gnutls_x509_crt_t crt, gnutls_x509_crt_t signer, gnutls_x509_privkey_t key)
{
    bool pure = gnutls_x509_privkey_get_pk_algorithm(key) == GNUTLS_PK_EDDSA_ED25519;
    need(gnutls_x509_crt_sign2(crt, signer, key, pure ? GNUTLS_DIG_SHA512 : GNUTLS_DIG_SHA256, 0), "signing");
}

static void sign(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const struct tapsi_test_identity *issuer)
{
    gnutls_x509_crt_t signer;
    gnutls_x509_privkey_t signer_key;
    if (!issuer) {
        sign_by(crt, crt, key);
        return;
    }
    import(issuer, &signer, &signer_key);
    sign_by(crt, signer, signer_key);
    gnutls_x509_crt_deinit(signer);
    gnutls_x509_privkey_deinit(signer_key);
}

struct tapsi_test_identity tapsi_test_identity(const struct tapsi_test_subject *subject,
                                               const struct tapsi_test_identity *issuer)
{
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
    gnutls_datum_t pem;
    struct tapsi_test_identity identity;
    gnutls_pk_algorithm_t algorithm = GNUTLS_PK_ECDSA;
    unsigned bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
    if (subject->weak) {
        algorithm = GNUTLS_PK_RSA;
        bits = 1024;
    } else if (subject->steady) {
        algorithm = GNUTLS_PK_EDDSA_ED25519;
        bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519);
    }
    need(gnutls_x509_privkey_init(&key), "init");
    need(gnutls_x509_privkey_generate(key, algorithm, bits, 0), "key");
    need(gnutls_x509_crt_init(&crt), "init");
    describe(crt, subject);
    need(gnutls_x509_crt_set_key(crt, key), "key");
    sign(crt, key, issuer);
    need(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), "export");
    identity.certificate = text_of(&pem);
    need(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem), "export");
    identity.key = text_of(&pem);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
    return identity;
}

void tapsi_test_identity_chain(struct tapsi_test_identity *identity, const struct tapsi_test_identity *issuer)
{
    char *both;
    if (asprintf(&both, "%s%s", identity->certificate, issuer->certificate) < 0)
        abort();
    free(identity->certificate);
    identity->certificate = both;
}

void tapsi_test_identity_free(struct tapsi_test_identity *identity)
{
    free(identity->certificate);
    free(identity->key);
    *identity = (struct tapsi_test_identity){0};
}
