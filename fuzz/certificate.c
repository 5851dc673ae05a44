/*
 * Security parameters: certificates, keys and their passwords, pins, statuses and pre-shared keys, as text or as DER
 * put into PEM here, and the names of algorithms. A record is a letter, the way its bytes are wrapped, their length in
 * two bytes, and the bytes. In the end GnuTLS is made to parse all of it, for both roles: that works or says why, the
 * same way twice.
 */
#include "input.h"
#include "pem.h"
#include "select/alpn.h"
#include "stack/secure/credentials.h"
#include "support.h"

#define RECORDS 24

struct blob {
    char *bytes;
    size_t length;
};

static void free_blob(struct blob *b)
{
    free(b->bytes);
    *b = (struct blob){0};
}

static struct blob read_blob(struct fuzz_input *in)
{
    static const char *const labels[] = {"CERTIFICATE",     "PRIVATE KEY",      "EC PRIVATE KEY",
                                         "RSA PRIVATE KEY", "X509 CERTIFICATE", "ENCRYPTED PRIVATE KEY"};
    unsigned wrapping = fuzz_below(in, 8);
    size_t length = (size_t)fuzz_number(in, 2);
    struct blob b;
    const uint8_t *at = fuzz_bytes(in, length, &b.length);
    if (wrapping < sizeof(labels) / sizeof(labels[0]))
        b.bytes = fuzz_pem(labels[wrapping], at, b.length, &b.length);
    else
        b.bytes = fuzz_copy(at, b.length);
    return b;
}

/* None of these names is a file's. */
static const char *const parameters[] = {"allowedSecurityProtocols", "alpn",           "supportedGroup", "ciphersuite",
                                         "signatureAlgorithm",       "noSuchParameter"};

static int add(taps_security_parameters *p, char what, const struct blob *b, const struct blob *before)
{
    switch (what) {
    case 'a':
        return taps_security_parameters_add_ca_pem(p, b->bytes, b->length);
    case 'p':
        return taps_security_parameters_pin_server_certificate(p, b->bytes, b->length);
    case 's':
        return taps_security_parameters_add_server_certificate_pem(p, before->bytes, before->length, b->bytes,
                                                                   b->length);
    case 'c':
        return taps_security_parameters_add_client_certificate_pem(p, before->bytes, before->length, b->bytes,
                                                                   b->length);
    case 'k':
        return taps_security_parameters_pin_server_key(p, b->bytes);
    case 'h':
        return b->length < 32 ? TAPS_E_RANGE
                              : taps_security_parameters_pin_server_key_hash(p, (const uint8_t *)b->bytes);
    case 'w':
        return taps_security_parameters_set_key_password(p, b->bytes);
    case 'o':
        return taps_security_parameters_add_status(p, b->bytes, b->length);
    case 'q':
        return taps_security_parameters_add_pre_shared_key(p, before->bytes, b->bytes, b->length);
    case 't':
        return taps_security_parameters_set(p, "preSharedKey", b->bytes);
    case 'n':
        return taps_security_parameters_set_server_name(p, b->bytes);
    case 'l':
        return taps_security_parameters_add_alpn(p, b->bytes);
    case 'g':
        return taps_security_parameters_add_group(p, b->bytes);
    case 'u':
        return taps_security_parameters_add_ciphersuite(p, b->bytes);
    case 'i':
        return taps_security_parameters_add_signature_algorithm(p, b->bytes);
    case 'm':
        return taps_security_parameters_set_minimum_version(p, (enum taps_security_protocol)b->bytes[0]);
    case 'v':
        return taps_security_parameters_allow_protocol(p, (enum taps_security_protocol)b->bytes[0]);
    case 'r':
        return taps_security_parameters_require_client_certificate(p, b->length > 0);
    default:
        return taps_security_parameters_set(p, parameters[(unsigned char)what % 6], b->bytes);
    }
}

static void check_versions(const struct tapsi_security *s)
{
    CHECK((tapsi_security_versions(s) &
           ~(1U << TAPS_TLS_1_2 | 1U << TAPS_TLS_1_3 | 1U << TAPS_DTLS_1_2 | 1U << TAPS_QUIC_1)) == 0);
    CHECK(s->authority_count <= TAPSI_SECURITY_LIST_MAX && s->pin_count <= TAPSI_SECURITY_LIST_MAX);
    CHECK(s->key_pin_count <= TAPSI_SECURITY_LIST_MAX && s->psk_count <= TAPSI_SECURITY_LIST_MAX);
    CHECK(s->staple_count <= TAPSI_SECURITY_LIST_MAX);
    CHECK(s->server_count <= TAPSI_SECURITY_LIST_MAX && s->client_count <= TAPSI_SECURITY_LIST_MAX);
    CHECK(s->alpn.count <= TAPSI_SECURITY_LIST_MAX && s->ciphersuites.count <= TAPSI_SECURITY_LIST_MAX);
}

static int make(const taps_security_parameters *p, enum tapsi_role role)
{
    taps_security_parameters *copy;
    const struct tapsi_credentials *credentials = NULL;
    struct tapsi_error error = {0};
    CHECK_INT(taps_security_parameters_copy(p, &copy), 0);
    int err = tapsi_credentials(tapsi_security_of(copy), role, TAPSI_SECURE_TLS, &credentials, &error);
    CHECK(err ? !credentials : credentials != NULL);
    if (err) {
        CHECK(err == TAPS_E_CONFIGURATION && error.pub.code == err && error.text[0]);
    } else {
        CHECK_INT(credentials->alpn_count[TAPSI_SECURE_TLS],
                  tapsi_alpn_filter(&tapsi_security_of(copy)->alpn, TAPSI_ALPN_TLS, NULL));
        CHECK(role == TAPSI_ROLE_SERVER || credentials->pin_count == tapsi_security_of(copy)->pin_count);
    }
    taps_security_parameters_free(copy);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    taps_security_parameters *p;
    struct blob before = {fuzz_copy("", 0), 0};
    fuzz_begin();
    CHECK_INT(taps_security_parameters_new(&p), 0);
    for (int i = 0; i < RECORDS && in.left; i++) {
        char what = (char)fuzz_number(&in, 1);
        struct blob b = read_blob(&in);
        int err = add(p, what, &b, &before);
        CHECK(err <= 0 && err >= TAPS_E_SYSTEM);
        free_blob(&before);
        before = b;
    }
    check_versions(tapsi_security_of_const(p));
    CHECK_INT(make(p, TAPSI_ROLE_CLIENT), make(p, TAPSI_ROLE_CLIENT));
    CHECK_INT(make(p, TAPSI_ROLE_SERVER), make(p, TAPSI_ROLE_SERVER));
    free_blob(&before);
    taps_security_parameters_free(p);
    return 0;
}
