/* Keys and certificates in hardware (PKCS #11), of which SoftHSM is the one in software. */
#include <gnutls/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "stack/tls/test_pair.h"

#define PIN "1234"
#define URI "pkcs11:token=taps;object=server"

static char folder[] = "taps-token-XXXXXX";
static char configuration[64];

static const char *module(void)
{
    static const char *const paths[] = {"/usr/lib/softhsm/libsofthsm2.so",
                                        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                                        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (access(paths[i], R_OK) == 0)
            return paths[i];
    }
    return NULL;
}

static int give_pin(void *user, int attempt, const char *url, const char *label, unsigned flags, char *pin, size_t size)
{
    (void)user;
    (void)attempt;
    (void)url;
    (void)label;
    (void)flags;
    return snprintf(pin, size, "%s", PIN) > 0 ? 0 : -1;
}

/* The token has the server's certificate and key; for the while of writing them this program gives the PIN. */
static int fill(const struct tapsi_test_identity *identity)
{
    static const char token[] = "pkcs11:token=taps";
    static unsigned char one[] = "1";
    gnutls_x509_crt_t crt = NULL;
    gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t pem = {(unsigned char *)identity->certificate, (unsigned)strlen(identity->certificate)};
    gnutls_datum_t key_pem = {(unsigned char *)identity->key, (unsigned)strlen(identity->key)}, id = {one, 1};
    int r = gnutls_x509_crt_init(&crt);
    r = r < 0 ? r : gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM);
    r = r < 0 ? r : gnutls_x509_privkey_init(&key);
    r = r < 0 ? r : gnutls_x509_privkey_import2(key, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_pkcs11_set_pin_function(give_pin, NULL);
    r = r < 0 ? r
              : gnutls_pkcs11_copy_x509_privkey2(token, key, "server", &id, GNUTLS_KEY_DIGITAL_SIGNATURE,
                                                 GNUTLS_PKCS11_OBJ_FLAG_LOGIN | GNUTLS_PKCS11_OBJ_FLAG_MARK_SENSITIVE);
    r = r < 0 ? r : gnutls_pkcs11_copy_x509_crt2(token, crt, "server", &id, GNUTLS_PKCS11_OBJ_FLAG_LOGIN);
    gnutls_pkcs11_set_pin_function(NULL, NULL);
    gnutls_x509_privkey_deinit(key);
    gnutls_x509_crt_deinit(crt);
    return r;
}

static void remove_token(void)
{
    char command[96];
    gnutls_pkcs11_deinit();
    snprintf(command, sizeof(command), "rm -r %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", folder);
}

static int make_token(const char *path)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(configuration, sizeof(configuration), "%s/softhsm2.conf", folder);
    FILE *out = fopen(configuration, "we");
    if (!out)
        return -1;
    fprintf(out, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", folder);
    fclose(out);
    setenv("SOFTHSM2_CONF", configuration, 1);
    if (system("softhsm2-util --init-token --free --label taps --pin " PIN " --so-pin 56785678 >/dev/null 2>&1") != 0)
        return GNUTLS_E_PKCS11_ERROR;
    int r = gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL);
    r = r < 0 ? r : gnutls_pkcs11_add_provider(path, NULL);
    atexit(remove_token); /* before what SoftHSM has registered, without which it cannot be left */
    return r < 0 ? r : fill(tapsi_test_server());
}

static bool has_token(void)
{
    static int made = 1;
    if (!module()) {
        tapsi_test_skip("SoftHSM is not installed");
        return false;
    }
    if (made == 1)
        made = make_token(module());
    if (made < 0)
        tapsi_test_fail(__FILE__, __LINE__, "no token: %s", gnutls_strerror(made));
    return made >= 0;
}

static bool serve(struct tapsi_test_pair *p, const char *chain, const char *key, const char *pin)
{
    if (!tapsi_test_pair_init(p))
        return false;
    tapsi_security_clear(p->security[1], TAPSI_SECURITY_SERVER);
    CHECK_INT(tapsi_security_set_password(p->security[1], pin), 0);
    CHECK_INT(tapsi_security_add_server(p->security[1], chain, strlen(chain), key, strlen(key)), 0);
    return true;
}

/* proves API-052, API-059: the key never leaves the token. */
TEST(a_key_in_a_token_serves)
{
    if (!has_token())
        return;
    for (int both = 0; both < 2; both++) {
        struct tapsi_test_pair p;
        NEED(serve(&p, both ? URI ";type=cert" : tapsi_test_server()->certificate, URI ";type=private", PIN));
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK(p.client.info.authenticated);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(a_token_that_is_not_there_or_stays_shut)
{
    static const struct {
        const char *key, *pin;
    } wrong[] = {
        {"pkcs11:token=other;object=server;type=private", PIN},
        {"pkcs11:token=taps;object=nobody;type=private", PIN},
        {"pkcs11:nonsense", PIN},
        {URI ";type=private", NULL},
    };
    if (!has_token())
        return;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct tapsi_test_pair p;
        NEED(serve(&p, tapsi_test_server()->certificate, wrong[i].key, wrong[i].pin));
        int err = tapsi_test_pair_open(&p);
        if (!err) /* a token that was opened before stays open for the process */
            CHECK_INT((int)i, 3);
        else
            CHECK(strstr(p.make_error.text, "server certificate 1 cannot be used: ") != NULL);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* The token's key is that of the server's certificate alone. */
TEST(a_key_in_a_token_of_another_certificate)
{
    struct tapsi_test_pair p;
    struct tapsi_test_identity other =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "o", .names = "example.test"}, tapsi_test_authority());
    if (has_token()) {
        NEED(serve(&p, other.certificate, URI ";type=private", PIN));
        CHECK_INT(tapsi_test_pair_open(&p), TAPS_E_CONFIGURATION);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    tapsi_test_identity_free(&other);
}
