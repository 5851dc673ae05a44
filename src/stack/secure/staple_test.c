/* Revocation by stapled OCSP responses, which the openssl program makes. */
#include <gnutls/ocsp.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "stack/secure/credentials.h"
#include "stack/tls/test_pair.h"

static char folder[] = "taps-staple-XXXXXX";

__attribute__((constructor)) static void make_folder(void)
{
    if (!mkdtemp(folder))
        abort();
}

__attribute__((destructor)) static void remove_folder(void)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", folder);
}

static void write_file(const char *name, const char *text)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    CHECK(file && fputs(text, file) >= 0);
    if (file)
        fclose(file);
}

static void serial_of(const struct tapsi_test_identity *identity, char *to, size_t size)
{
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem = {(unsigned char *)identity->certificate, (unsigned)strlen(identity->certificate)};
    unsigned char serial[32];
    size_t length = sizeof(serial), at = 0;
    CHECK(gnutls_x509_crt_init(&crt) >= 0 && gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM) >= 0);
    CHECK(gnutls_x509_crt_get_serial(crt, serial, &length) >= 0);
    for (size_t i = 0; i < length; i++)
        at += (size_t)snprintf(to + at, size - at, "%02X", serial[i]);
    gnutls_x509_crt_deinit(crt);
}

/* A response about `identity`, for a week; its length, 0 = the program is not there. */
static size_t respond(const struct tapsi_test_identity *identity, bool revoked, uint8_t *to, size_t size)
{
    char serial[80], index[200], command[1000], path[96];
    serial_of(identity, serial, sizeof(serial));
    if (revoked)
        snprintf(index, sizeof(index), "R\t491231235959Z\t240101000000Z\t%s\tunknown\t/CN=x\n", serial);
    else
        snprintf(index, sizeof(index), "V\t491231235959Z\t\t%s\tunknown\t/CN=x\n", serial);
    write_file("index", index);
    write_file("ca.pem", tapsi_test_authority()->certificate);
    write_file("ca.key", tapsi_test_authority()->key);
    write_file("cert.pem", identity->certificate);
    snprintf(command, sizeof(command),
             "cd %s && openssl ocsp -issuer ca.pem -cert cert.pem -no_nonce -reqout request >/dev/null 2>&1 && "
             "openssl ocsp -index index -rsigner ca.pem -rkey ca.key -CA ca.pem -reqin request -respout response "
             "-ndays 7 >/dev/null 2>&1",
             folder);
    if (system(command) != 0)
        return 0;
    snprintf(path, sizeof(path), "%s/response", folder);
    FILE *file = fopen(path, "rbe");
    size_t length = file ? fread(to, 1, size, file) : 0;
    if (file)
        fclose(file);
    return length;
}

/* A server that staples what it says of `identity`; false: it cannot be done here. */
static bool serve(struct tapsi_test_pair *p, const struct tapsi_test_identity *identity, bool revoked)
{
    uint8_t response[8192];
    size_t length = respond(identity, revoked, response, sizeof(response));
    if (!length) {
        tapsi_test_skip("openssl is not installed");
        return false;
    }
    if (!tapsi_test_pair_init(p))
        return false;
    tapsi_security_clear(p->security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(p->security[1], true, identity);
    CHECK_INT(tapsi_security_add_staple(p->security[1], response, length), 0);
    return true;
}

#define EACH_VERSION                                                                                                   \
    int version = TAPS_TLS_1_2;                                                                                        \
    version <= TAPS_TLS_1_3;                                                                                           \
    version++

static void allow(struct tapsi_test_pair *p, int version)
{
    CHECK_INT(tapsi_security_allow(p->security[0], (enum taps_security_protocol)version), 0);
}

TEST(a_good_status_is_shown_and_taken)
{
    for (EACH_VERSION) {
        struct tapsi_test_pair p;
        if (!serve(&p, tapsi_test_server(), false))
            return;
        allow(&p, version);
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK(p.client.info.authenticated);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

static void accept_anybody(taps_trust_question *question, void *user)
{
    (void)user;
    taps_trust_question_accept(question);
}

static uint8_t said[8192];
static size_t said_length;

static int say(gnutls_session_t session, void *user, gnutls_datum_t *response)
{
    (void)session;
    (void)user;
    response->data = gnutls_malloc(said_length);
    if (!response->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(response->data, said, said_length);
    response->size = (unsigned)said_length;
    return 0;
}

/* A server of ours does not show that its own certificate is revoked: another's might. Whatever the application says.
 */
TEST(a_revoked_certificate_is_refused)
{
    said_length = respond(tapsi_test_server(), true, said, sizeof(said));
    if (!said_length)
        tapsi_test_skip("openssl is not installed");
    for (EACH_VERSION) {
        for (int asked = 0; asked < 2 && said_length; asked++) {
            struct tapsi_test_pair p;
            const struct tapsi_credentials *c;
            NEED(tapsi_test_pair_init(&p));
            allow(&p, version);
            p.security[0]->trust = asked ? accept_anybody : NULL;
            NEED(tapsi_credentials(p.security[1], TAPSI_ROLE_SERVER, TAPSI_SECURE_TLS, &c, NULL) == 0);
            CHECK(gnutls_certificate_set_ocsp_status_request_function2(c->own, 0, say, NULL) >= 0);
            CHECK(!tapsi_test_pair_handshake(&p));
            CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE);
            CHECK(strstr(p.client.error.text, "was revoked") != NULL);
            CHECK(strstr(p.server.error.text, "certificate revoked") != NULL);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
        }
    }
}

TEST(a_status_of_revocation_is_not_for_showing)
{
    struct tapsi_test_pair p;
    if (!serve(&p, tapsi_test_server(), true))
        return;
    CHECK_INT(tapsi_test_pair_open(&p), TAPS_E_CONFIGURATION);
    CHECK(strstr(p.make_error.text, "certificate status 1 cannot be used: ") != NULL);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* RFC 7633: it says by itself that it is worth nothing without. */
TEST(a_certificate_that_demands_a_status)
{
    struct tapsi_test_identity demanding =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "m", .names = "example.test", .must_staple = true},
                            tapsi_test_authority());
    for (EACH_VERSION) {
        for (int stapled = 0; stapled < 2; stapled++) {
            struct tapsi_test_pair p;
            if (stapled && !serve(&p, &demanding, false))
                break;
            if (!stapled) {
                NEED(tapsi_test_pair_init(&p));
                tapsi_security_clear(p.security[1], TAPSI_SECURITY_SERVER);
                tapsi_test_show(p.security[1], true, &demanding);
            }
            allow(&p, version);
            CHECK_INT(tapsi_test_pair_handshake(&p), stapled);
            CHECK_INT(p.client.error.pub.code, stapled ? 0 : TAPS_E_CERTIFICATE);
            CHECK(stapled || strstr(p.client.error.text, "without the revocation status") != NULL);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
        }
    }
    tapsi_test_identity_free(&demanding);
}

/* It goes to the certificate it is about, in whatever order they come, and also where a wildcard chose that. */
TEST(a_status_finds_its_certificate)
{
    static const struct tapsi_test_subject subject = {.name = "2", .names = "*.second.test", .must_staple = true};
    struct tapsi_test_identity second = tapsi_test_identity(&subject, tapsi_test_authority());
    for (EACH_VERSION) {
        for (int i = 0; i < 2; i++) {
            struct tapsi_test_pair p;
            if (!serve(&p, &second, false))
                break;
            tapsi_security_clear(p.security[1], TAPSI_SECURITY_SERVER);
            tapsi_test_show(p.security[1], true, tapsi_test_server());
            tapsi_test_show(p.security[1], true, &second);
            allow(&p, version);
            p.server_name = i ? "a.second.test" : "example.test";
            CHECK(tapsi_test_pair_handshake(&p));
            CHECK_INT(tapsi_test_pair_done(&p), 0);
        }
    }
    tapsi_test_identity_free(&second);
}

TEST(a_status_of_nobody_here_or_none_at_all)
{
    static const uint8_t junk[] = {0x30, 0x03, 0x0a, 0x01, 0x01};
    struct tapsi_test_identity other =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "o", .names = "other.test"}, tapsi_test_authority());
    for (int i = 0; i < 2; i++) {
        struct tapsi_test_pair p;
        if (i && !serve(&p, &other, false))
            break;
        if (!i) {
            NEED(tapsi_test_pair_init(&p));
            CHECK_INT(tapsi_security_add_staple(p.security[1], junk, sizeof(junk)), 0);
        }
        tapsi_security_clear(p.security[1], TAPSI_SECURITY_SERVER);
        tapsi_test_show(p.security[1], true, tapsi_test_server());
        CHECK_INT(tapsi_test_pair_open(&p), TAPS_E_CONFIGURATION);
        CHECK(strstr(p.make_error.text, "certificate status 1 cannot be used: ") != NULL);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    tapsi_test_identity_free(&other);
}
