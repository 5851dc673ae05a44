/*
 * A server whose certificate the input makes up: names of any bytes, addresses of any length, dates, usages, who signed
 * it. The handshake ends in either way; a certificate is taken only if the name that was asked for is among its own,
 * and a refusal is in words that a terminal can bear.
 */
#include <gnutls/x509.h>
#include <stdio.h>
#include "input.h"
#include "stack/tls/test_pair.h"
#include "support.h"

#define ASKED "example.test"

static void need(int r)
{
    if (r < 0)
        tapsi_test_fail(__FILE__, __LINE__, "cannot make a certificate: %s", gnutls_strerror(r));
}

static gnutls_x509_privkey_t own_key(void)
{
    static gnutls_x509_privkey_t key;
    if (!key) {
        need(gnutls_x509_privkey_init(&key));
        need(gnutls_x509_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519),
                                          0));
    }
    return key;
}

static void import(const struct tapsi_test_identity *id, gnutls_x509_crt_t *crt, gnutls_x509_privkey_t *key)
{
    gnutls_datum_t pem = {(unsigned char *)id->certificate, (unsigned)strlen(id->certificate)};
    gnutls_datum_t key_pem = {(unsigned char *)id->key, (unsigned)strlen(id->key)};
    need(gnutls_x509_crt_init(crt));
    need(gnutls_x509_crt_import(*crt, &pem, GNUTLS_X509_FMT_PEM));
    need(gnutls_x509_privkey_init(key));
    need(gnutls_x509_privkey_import2(*key, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0));
}

/* Text up to a 0 byte that is in the input; what GnuTLS does not take is left out. */
static void add_name(struct fuzz_input *in, gnutls_x509_crt_t crt)
{
    static const gnutls_x509_subject_alt_name_t types[] = {GNUTLS_SAN_DNSNAME, GNUTLS_SAN_IPADDRESS,
                                                           GNUTLS_SAN_RFC822NAME, GNUTLS_SAN_URI};
    size_t count;
    gnutls_x509_subject_alt_name_t type = types[fuzz_below(in, 4)];
    const uint8_t *at = fuzz_bytes(in, fuzz_below(in, 80), &count);
    gnutls_x509_crt_set_subject_alt_name(crt, type, at, (unsigned)count, GNUTLS_FSAN_APPEND);
}

static void add_common_name(struct fuzz_input *in, gnutls_x509_crt_t crt)
{
    size_t count;
    const uint8_t *at = fuzz_bytes(in, fuzz_below(in, 64), &count);
    gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, at, (unsigned)count);
}

static void add_extension(struct fuzz_input *in, gnutls_x509_crt_t crt)
{
    static const char *const oids[] = {"2.5.29.17", "2.5.29.30",          "2.5.29.37",
                                       "2.5.29.19", "1.3.6.1.5.5.7.1.24", "1.2.3.4"};
    const char *oid = oids[fuzz_below(in, 6)];
    bool critical = fuzz_bool(in);
    size_t count;
    const uint8_t *at = fuzz_bytes(in, fuzz_below(in, 128), &count);
    if (count) /* libtasn1 4.19 takes no bytes for text, and looks for its end */
        gnutls_x509_crt_set_extension_by_oid(crt, oid, at, count, critical);
}

static time_t some_day(struct fuzz_input *in)
{
    return (time_t)fuzz_number(in, 5);
}

static void describe(struct fuzz_input *in, gnutls_x509_crt_t crt)
{
    for (unsigned i = fuzz_below(in, 12); i > 0 && in->left; i--) {
        switch (fuzz_below(in, 8)) {
        case 0:
        case 1:
        case 2:
            add_name(in, crt);
            break;
        case 3:
            add_common_name(in, crt);
            break;
        case 4:
            gnutls_x509_crt_set_activation_time(crt, some_day(in));
            break;
        case 5:
            gnutls_x509_crt_set_expiration_time(crt, some_day(in));
            break;
        case 6:
            gnutls_x509_crt_set_key_usage(crt, (unsigned)fuzz_number(in, 2));
            break;
        default:
            add_extension(in, crt);
        }
    }
}

/* NULL where what the input asks for cannot be a certificate. */
static char *make_certificate(struct fuzz_input *in)
{
    gnutls_x509_crt_t crt, signer;
    gnutls_x509_privkey_t signer_key;
    gnutls_datum_t pem = {0};
    char *text = NULL;
    bool by_itself = fuzz_below(in, 4) == 3;
    need(gnutls_x509_crt_init(&crt));
    need(gnutls_x509_crt_set_version(crt, 3));
    need(gnutls_x509_crt_set_serial(crt, "\1\2", 2));
    need(gnutls_x509_crt_set_activation_time(crt, 0));
    need(gnutls_x509_crt_set_expiration_time(crt, INT32_MAX));
    describe(in, crt);
    need(gnutls_x509_crt_set_key(crt, own_key()));
    import(tapsi_test_authority(), &signer, &signer_key);
    int r = by_itself ? gnutls_x509_crt_sign2(crt, crt, own_key(), GNUTLS_DIG_SHA512, 0)
                      : gnutls_x509_crt_sign2(crt, signer, signer_key, GNUTLS_DIG_SHA256, 0);
    if (r >= 0 && gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) >= 0)
        text = fuzz_copy(pem.data, pem.size);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(signer);
    gnutls_x509_privkey_deinit(signer_key);
    gnutls_x509_crt_deinit(crt);
    return text;
}

static char *key_text(void)
{
    gnutls_datum_t pem;
    need(gnutls_x509_privkey_export2_pkcs8(own_key(), GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem));
    char *text = fuzz_copy(pem.data, pem.size);
    gnutls_free(pem.data);
    return text;
}

/* GnuTLS's own opinion of the finished certificate, asked in another way than the library asks. */
static bool is_for_name(const char *text)
{
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem = {(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
    need(gnutls_x509_crt_init(&crt));
    bool is = gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM) >= 0 && gnutls_x509_crt_check_hostname(crt, ASKED);
    gnutls_x509_crt_deinit(crt);
    return is;
}

static void check_words(const struct tapsi_error *error)
{
    CHECK(error->pub.code < 0 && error->text[0]);
    for (const char *c = error->text; *c; c++)
        CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void shake_hands(const char *certificate, const char *key)
{
    struct tapsi_test_pair pair;
    struct tapsi_test_identity id = {(char *)(uintptr_t)certificate, (char *)(uintptr_t)key};
    CHECK(tapsi_test_pair_init(&pair));
    tapsi_security_clear(pair.security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(pair.security[1], true, &id);
    if (tapsi_test_pair_open(&pair) == 0) {
        tapsi_test_pair_run(&pair);
        CHECK(pair.client.ready + pair.client.closed >= 1);
        CHECK(!pair.client.ready || is_for_name(certificate));
        if (!pair.client.ready)
            check_words(&pair.client.error);
    } else {
        check_words(&pair.make_error);
    }
    CHECK_INT(tapsi_test_pair_done(&pair), 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    fuzz_begin();
    char *certificate = make_certificate(&in), *key = key_text();
    if (certificate)
        shake_hands(certificate, key);
    free(certificate);
    free(key);
    return 0;
}
