/* Where private keys come from: encrypted PEM, the application. Those in hardware are in token_test.c. */
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>

#include "base/str.h"
#include "base/test.h"
#include "stack/secure/credentials.h"
#include "stack/tls/test_pair.h"

/* ------------------------------------------------------------------------------------------------- encrypted */

/* The server's key, locked. The caller frees it. */
static gnutls_datum_t locked_key(const struct tapsi_test_identity *identity, const char *password)
{
    gnutls_x509_privkey_t key;
    gnutls_datum_t pem = {(unsigned char *)identity->key, (unsigned)strlen(identity->key)}, locked = {NULL, 0};
    CHECK(gnutls_x509_privkey_init(&key) >= 0);
    CHECK(gnutls_x509_privkey_import2(key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0);
    CHECK(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, password, GNUTLS_PKCS_PBES2_AES_256, &locked) >=
          0);
    gnutls_x509_privkey_deinit(key);
    return locked;
}

static bool serve_locked(struct tapsi_test_pair *p, const char *password)
{
    const char *chain = tapsi_test_server()->certificate;
    gnutls_datum_t locked = locked_key(tapsi_test_server(), "open sesame");
    if (!tapsi_test_pair_init(p))
        return false;
    tapsi_security_clear(p->security[1], TAPSI_SECURITY_SERVER);
    CHECK_INT(tapsi_security_set_password(p->security[1], password), 0);
    CHECK_INT(tapsi_security_add_server(p->security[1], chain, strlen(chain), locked.data, locked.size), 0);
    gnutls_free(locked.data);
    return true;
}

/* proves API-052 */
TEST(an_encrypted_key_opens_with_its_password)
{
    struct tapsi_test_pair p;
    NEED(serve_locked(&p, "open sesame"));
    CHECK(tapsi_test_pair_handshake(&p));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(an_encrypted_key_stays_shut_with_another_password)
{
    static const char *const wrong[] = {"open sesamf", "", "open sesame "};
    for (int i = 0; i < 3; i++) {
        struct tapsi_test_pair p;
        NEED(serve_locked(&p, wrong[i]));
        CHECK_INT(tapsi_test_pair_open(&p), TAPS_E_CONFIGURATION);
        CHECK(strstr(p.make_error.text, "server certificate 1 cannot be used: ") != NULL);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* ------------------------------------------------------------------------------------------ of the application */

struct hardware {
    gnutls_privkey_t key;
    unsigned times;
    char scheme[64];
    size_t length;
    int answer;    /* instead of signing */
    bool nonsense; /* signs something else */
};

static bool is_edwards(const char *scheme)
{
    return strncmp(scheme, "ed", 2) == 0;
}

static gnutls_sign_algorithm_t algorithm_of(const char *scheme)
{
    static const struct {
        const char *scheme;
        gnutls_sign_algorithm_t algorithm;
    } known[] = {{"ecdsa_secp256r1_sha256", GNUTLS_SIGN_ECDSA_SHA256},
                 {"ecdsa_secp384r1_sha384", GNUTLS_SIGN_ECDSA_SHA384},
                 {"ecdsa_secp521r1_sha512", GNUTLS_SIGN_ECDSA_SHA512},
                 {"rsa_pss_rsae_sha256", GNUTLS_SIGN_RSA_PSS_RSAE_SHA256},
                 {"rsa_pss_rsae_sha384", GNUTLS_SIGN_RSA_PSS_RSAE_SHA384},
                 {"rsa_pss_rsae_sha512", GNUTLS_SIGN_RSA_PSS_RSAE_SHA512},
                 {"rsa_pkcs1_sha256", GNUTLS_SIGN_RSA_SHA256},
                 {"rsa_pkcs1_sha384", GNUTLS_SIGN_RSA_SHA384},
                 {"rsa_pkcs1_sha512", GNUTLS_SIGN_RSA_SHA512},
                 {"ed25519", GNUTLS_SIGN_EDDSA_ED25519}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].scheme, scheme) == 0)
            return known[i].algorithm;
    }
    return GNUTLS_SIGN_UNKNOWN;
}

static int sign(const struct taps_challenge *challenge, void *signature, size_t *ret_length, void *user)
{
    struct hardware *h = user;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)challenge->data, (unsigned)challenge->length}, made = {NULL, 0};
    h->times++;
    h->length = challenge->length;
    tapsi_format(h->scheme, sizeof(h->scheme), "%s", challenge->scheme);
    if (h->answer)
        return h->answer;
    gnutls_sign_algorithm_t algorithm = algorithm_of(challenge->scheme);
    int r = is_edwards(challenge->scheme) ? gnutls_privkey_sign_data2(h->key, algorithm, 0, &data, &made)
                                          : gnutls_privkey_sign_hash2(h->key, algorithm, 0, &data, &made);
    if (r < 0)
        return -1;
    if (h->nonsense)
        made.data[made.size - 1] ^= 1;
    memcpy(signature, made.data, made.size);
    *ret_length = made.size;
    gnutls_free(made.data);
    return 0;
}

static struct hardware hardware_of(const struct tapsi_test_identity *identity)
{
    struct hardware h = {.key = NULL};
    gnutls_datum_t pem = {(unsigned char *)identity->key, (unsigned)strlen(identity->key)};
    CHECK(gnutls_privkey_init(&h.key) >= 0);
    CHECK(gnutls_privkey_import_x509_raw(h.key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0);
    return h;
}

static bool serve(struct tapsi_test_pair *p, struct hardware *h, const char *chain, int version)
{
    if (!tapsi_test_pair_init(p))
        return false;
    CHECK_INT(tapsi_security_allow(p->security[0], (enum taps_security_protocol)version), 0);
    tapsi_security_clear(p->security[1], TAPSI_SECURITY_SERVER);
    CHECK_INT(tapsi_security_add_signer(p->security[1], true, chain, strlen(chain), sign, h), 0);
    return true;
}

/* proves API-059 */
TEST(the_application_signs_for_a_server)
{
    for (int steady = 0; steady < 2; steady++) {
        struct tapsi_test_identity id =
            tapsi_test_identity(&(struct tapsi_test_subject){.name = "h", .names = "example.test", .steady = steady},
                                tapsi_test_authority());
        for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
            struct tapsi_test_pair p;
            struct hardware h = hardware_of(&id);
            NEED(serve(&p, &h, id.certificate, version));
            CHECK(tapsi_test_pair_handshake(&p));
            CHECK(p.client.info.authenticated);
            CHECK_INT(h.times, 1);
            CHECK_TEXT(h.scheme, steady ? "ed25519" : "ecdsa_secp256r1_sha256");
            CHECK(steady || h.length == 32);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
            gnutls_privkey_deinit(h.key);
        }
        tapsi_test_identity_free(&id);
    }
}

/* proves API-059 */
TEST(the_application_signs_for_a_client)
{
    struct tapsi_test_identity id = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "client", .purpose = TAPSI_TEST_CLIENT}, tapsi_test_authority());
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        struct hardware h = hardware_of(&id);
        NEED(tapsi_test_pair_init(&p));
        CHECK_INT(tapsi_security_allow(p.security[0], (enum taps_security_protocol)version), 0);
        p.security[1]->require_client_certificate = true;
        tapsi_test_trust(p.security[1], tapsi_test_authority());
        CHECK_INT(tapsi_security_add_signer(p.security[0], false, id.certificate, strlen(id.certificate), sign, &h), 0);
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK(p.server.info.authenticated);
        CHECK_INT(h.times, 1);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
        gnutls_privkey_deinit(h.key);
    }
    tapsi_test_identity_free(&id);
}

/* proves API-059: it cannot, or signs something else. */
TEST(without_a_right_signature_there_is_no_connection)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        for (int nonsense = 0; nonsense < 2; nonsense++) {
            struct tapsi_test_pair p;
            struct hardware h = hardware_of(tapsi_test_server());
            h.nonsense = nonsense;
            h.answer = nonsense ? 0 : -1;
            NEED(serve(&p, &h, tapsi_test_server()->certificate, version));
            CHECK(!tapsi_test_pair_handshake(&p));
            CHECK_INT(p.client.ready + p.server.ready, 0);
            CHECK(h.times >= 1);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
            gnutls_privkey_deinit(h.key);
        }
    }
}

/* Looking whether the parameters can be used is no handshake. */
TEST(the_application_is_not_asked_before_a_peer_comes)
{
    struct tapsi_test_pair p;
    struct hardware h = hardware_of(tapsi_test_server());
    const struct tapsi_credentials *c;
    NEED(serve(&p, &h, tapsi_test_server()->certificate, TAPS_TLS_1_3));
    CHECK_INT(tapsi_credentials(p.security[1], TAPSI_ROLE_SERVER, TAPSI_SECURE_TLS, &c, NULL), 0);
    CHECK_INT(h.times, 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    gnutls_privkey_deinit(h.key);
}
