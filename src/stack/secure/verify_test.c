/* Who the peer is: every way a certificate can be wrong has its own words. */
#include <stdlib.h>
#include <gnutls/x509.h>

#include "base/test.h"
#include "stack/tls/test_pair.h"

static bool says(const struct tapsi_error *e, const char *words)
{
    if (e->pub.detail && strstr(e->pub.detail, words))
        return true;
    tapsi_test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", e->pub.detail ? e->pub.detail : "", words);
    return false;
}

/* The server shows this certificate instead of the usual one. */
static void serve(struct tapsi_test_pair *p, const struct tapsi_test_subject *subject,
                  const struct tapsi_test_identity *issuer)
{
    struct tapsi_test_identity i = tapsi_test_identity(subject, issuer);
    tapsi_security_clear(p->security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(p->security[1], true, &i);
    tapsi_test_identity_free(&i);
}

static void pin(struct tapsi_test_pair *p, const struct tapsi_test_identity *i)
{
    CHECK_INT(tapsi_security_add_pin(p->security[0], i->certificate, strlen(i->certificate)), 0);
}

/* The handshake must fail at the client with this code and these words, and the server must hear this alert. */
static void refused(struct tapsi_test_pair *p, int code, const char *words, const char *alert)
{
    CHECK(!tapsi_test_pair_handshake(p));
    CHECK_INT(p->client.ready, 0);
    CHECK_INT(p->client.closed, 1);
    CHECK_INT(p->client.error.pub.code, code);
    CHECK_INT(p->client.error.pub.domain, TAPS_DOMAIN_TLS);
    says(&p->client.error, words);
    CHECK_INT(p->server.error.pub.code, TAPS_E_TLS);
    says(&p->server.error, alert);
    CHECK_INT(tapsi_test_pair_done(p), 0);
}

/* ---------------------------------------------------------------------------------------------- authorities */

/* proves API-050, ARCH-09 */
TEST(unknown_authority)
{
    struct tapsi_test_pair p;
    struct tapsi_test_identity other =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "Evil\x1b Authority", .authority = true}, NULL);
    NEED(tapsi_test_pair_init(&p));
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "example.test"}, &other);
    refused(&p, TAPS_E_CERTIFICATE,
            "the certificate of example.test is not signed by a trusted authority: Evil? Authority",
            "the peer sent the alert unknown ca");
    tapsi_test_identity_free(&other);
}

/* Some terminals obey U+009B as they do ESC [: and a name may be in any language. */
TEST(control_characters_of_unicode_are_replaced_too)
{
    struct tapsi_test_pair p;
    struct tapsi_test_identity other = tapsi_test_identity(&(struct tapsi_test_subject){.name = "Evil\xc2\x9b"
                                                                                                "2J Autorit\xc3\xa9",
                                                                                        .authority = true},
                                                           NULL);
    NEED(tapsi_test_pair_init(&p));
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "example.test"}, &other);
    refused(&p, TAPS_E_CERTIFICATE, "not signed by a trusted authority: Evil??2J Autorit\xc3\xa9",
            "the peer sent the alert unknown ca");
    tapsi_test_identity_free(&other);
}

TEST(self_signed)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    serve(&p, &(struct tapsi_test_subject){.name = "Self", .names = "example.test"}, NULL);
    refused(&p, TAPS_E_CERTIFICATE, "the certificate of example.test is signed by itself: Self",
            "the peer sent the alert unknown ca");
}

/* The same name as the trusted authority, but another key. */
TEST(forged_authority)
{
    struct tapsi_test_pair p;
    struct tapsi_test_identity forged =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "Test Authority", .authority = true}, NULL);
    NEED(tapsi_test_pair_init(&p));
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "example.test"}, &forged);
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    tapsi_test_identity_free(&forged);
}

/* A certificate of a server, trusted for its name, does not make its owner an authority. */
TEST(a_server_is_no_authority)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    struct tapsi_test_identity leaf =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "x", .names = "example.test"}, tapsi_test_server());
    tapsi_test_identity_chain(&leaf, tapsi_test_server());
    tapsi_security_clear(p.security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(p.security[1], true, &leaf);
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.ready, 0);
    CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    tapsi_test_identity_free(&leaf);
}

TEST(intermediate_authority_is_followed)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    struct tapsi_test_identity middle =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "Middle", .authority = true}, tapsi_test_authority());
    struct tapsi_test_identity leaf =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "x", .names = "example.test"}, &middle);
    tapsi_test_identity_chain(&leaf, &middle);
    tapsi_security_clear(p.security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(p.security[1], true, &leaf);
    pin(&p, &middle);
    CHECK(tapsi_test_pair_handshake(&p));
    CHECK(p.client.info.authenticated);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    tapsi_test_identity_free(&leaf);
    tapsi_test_identity_free(&middle);
}

/* The system's store, which cannot know the test authority; with a client certificate it is borrowed for the check. */
TEST(the_systems_store_does_not_trust_the_test_authority)
{
    for (int shows = 0; shows < 2; shows++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        tapsi_security_unref(p.security[0]);
        p.security[0] = tapsi_security_new(&p.mem, TAPS_SECURITY_REQUIRED);
        if (shows)
            tapsi_test_show(p.security[0], false, tapsi_test_server());
        int err = tapsi_test_pair_open(&p);
        if (err == TAPS_E_CONFIGURATION) {
            says(&p.make_error, "the system's trust store");
            tapsi_test_skip("this system has no trust store");
        } else {
            tapsi_test_pair_run(&p);
            CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE);
            says(&p.client.error, "not signed by a trusted authority: Test Authority");
        }
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* ---------------------------------------------------------------------------------------------------- times */

TEST(expired)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    serve(
        &p,
        &(struct tapsi_test_subject){.name = "x", .names = "example.test", .from = "2019-01-01", .until = "2020-01-01"},
        tapsi_test_authority());
    refused(&p, TAPS_E_CERTIFICATE_EXPIRED, "the certificate of example.test expired on 2020-01-01",
            "the peer sent the alert certificate expired");
}

TEST(not_valid_yet)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "example.test", .from = "2048-02-03"},
          tapsi_test_authority());
    refused(&p, TAPS_E_CERTIFICATE_EXPIRED, "the certificate of example.test is not valid before 2048-02-03",
            "the peer sent the alert certificate expired");
}

TEST(expired_authority)
{
    struct tapsi_test_pair p;
    struct tapsi_test_identity old = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "Old", .authority = true, .from = "2000-01-01", .until = "2021-06-07"},
        NULL);
    NEED(tapsi_test_pair_init(&p));
    tapsi_test_trust(p.security[0], &old);
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "example.test"}, &old);
    refused(&p, TAPS_E_CERTIFICATE_EXPIRED, "the certificate of an authority of example.test expired on 2021-06-07",
            "the peer sent the alert certificate expired");
    tapsi_test_identity_free(&old);
}

TEST(expired_and_unknown_is_unknown_first)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "other.test", .until = "2021-01-01"}, NULL);
    refused(&p, TAPS_E_CERTIFICATE, "is signed by itself", "unknown ca");
}

/* ---------------------------------------------------------------------------------------------------- names */

TEST(another_name)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.server_name = "other.test";
    refused(&p, TAPS_E_CERTIFICATE_NAME,
            "the certificate of other.test is for example.test, *.wild.test, 192.0.2.1, 2001:db8::1",
            "the peer sent the alert bad certificate");
}

static void check_name(const char *name, const char *remote, bool right)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.server_name = name;
    p.remote = remote;
    CHECK_INT(tapsi_test_pair_handshake(&p), right);
    CHECK_INT(p.client.error.pub.code, right ? 0 : TAPS_E_CERTIFICATE_NAME);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(names_that_match)
{
    check_name("example.test", NULL, true);
    check_name("EXAMPLE.test", NULL, true);
    check_name("example.test.", NULL, true);
    check_name("a.wild.test", NULL, true);
    check_name("192.0.2.1", NULL, true);
    check_name("2001:db8:0::1", NULL, true);
    check_name(NULL, "192.0.2.1", true);
    check_name(NULL, "2001:db8::1", true);
    check_name("example.test", "198.51.100.1", true);
}

TEST(names_that_do_not_match)
{
    check_name("example.test.org", NULL, false);
    check_name("xexample.test", NULL, false);
    check_name("test", NULL, false);
    check_name("wild.test", NULL, false);
    check_name("a.b.wild.test", NULL, false);
    check_name("192.0.2.2", NULL, false);
    check_name("2001:db8::2", NULL, false);
    check_name(NULL, "198.51.100.1", false);
    check_name("example", NULL, false); /* the common name does not count beside alternative names */
    check_name("other.test", "192.0.2.1", false);
}

TEST(the_applications_name_goes_before_the_endpoints)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.server_name = "anything.invalid";
    CHECK_INT(tapsi_security_set_server_name(p.security[0], "example.test"), 0);
    CHECK(tapsi_test_pair_handshake(&p));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(nobody_to_verify)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.server_name = NULL;
    CHECK_INT(tapsi_test_pair_open(&p), TAPS_E_CONFIGURATION);
    says(&p.make_error, "no name to verify");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* SNI: the server has two certificates. proves API-052 */
TEST(server_chooses_its_certificate_by_name)
{
    struct tapsi_test_identity second =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "2", .names = "second.test"}, tapsi_test_authority());
    const char *names[] = {"second.test", "example.test"};
    for (int i = 0; i < 2; i++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        tapsi_test_show(p.security[1], true, &second);
        p.server_name = names[i];
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    tapsi_test_identity_free(&second);
}

/* --------------------------------------------------------------------------------------- other faults */

TEST(a_clients_certificate_is_not_a_servers)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "example.test", .purpose = TAPSI_TEST_CLIENT},
          tapsi_test_authority());
    refused(&p, TAPS_E_CERTIFICATE, "the certificate of example.test is not for this purpose",
            "the peer sent the alert bad certificate");
}

TEST(too_short_a_key)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "example.test", .weak = true}, tapsi_test_authority());
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.ready, 0);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* ----------------------------------------------------------------------------------------------------- pins */

/* proves API-053 */
TEST(pinned_certificate_of_the_server)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    pin(&p, tapsi_test_authority());
    pin(&p, tapsi_test_server());
    CHECK(tapsi_test_pair_handshake(&p));
    CHECK(p.client.info.authenticated);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves API-053 */
TEST(none_of_the_pins_matches)
{
    struct tapsi_test_identity other =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "o", .names = "example.test"}, tapsi_test_authority());
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    pin(&p, &other);
    refused(&p, TAPS_E_CERTIFICATE_PIN, "the certificate of example.test is none of those that are pinned",
            "the peer sent the alert bad certificate");
    tapsi_test_identity_free(&other);
}

/* An attacker with a good certificate sends the pinned one along. proves API-053 */
TEST(a_pinned_certificate_that_is_only_sent_along)
{
    struct tapsi_test_identity mine =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "o", .names = "example.test"}, tapsi_test_authority());
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    pin(&p, tapsi_test_server());
    tapsi_test_identity_chain(&mine, tapsi_test_authority());
    tapsi_test_identity_chain(&mine, tapsi_test_server());
    tapsi_security_clear(p.security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(p.security[1], true, &mine);
    int opened = tapsi_test_pair_open(&p);
    tapsi_test_pair_run(&p);
    CHECK(opened != 0 || p.client.error.pub.code == TAPS_E_CERTIFICATE_PIN ||
          p.client.error.pub.code == TAPS_E_CERTIFICATE);
    CHECK_INT(p.client.ready, 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    tapsi_test_identity_free(&mine);
}

/* What curl calls sha256//...: of the certificate's public key. */
static void key_hash(const struct tapsi_test_identity *identity, uint8_t to[TAPSI_KEY_PIN])
{
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem = {(unsigned char *)identity->certificate, (unsigned)strlen(identity->certificate)};
    size_t size = TAPSI_KEY_PIN;
    CHECK(gnutls_x509_crt_init(&crt) >= 0);
    CHECK(gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM) >= 0);
    CHECK(gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, to, &size) >= 0);
    gnutls_x509_crt_deinit(crt);
}

/* proves API-053 */
TEST(pinned_key_of_the_server)
{
    uint8_t hash[TAPSI_KEY_PIN];
    for (int wrong = 0; wrong < 2; wrong++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        key_hash(tapsi_test_server(), hash);
        hash[31] ^= (uint8_t)wrong;
        CHECK_INT(tapsi_security_add_key_pin(p.security[0], hash), 0);
        CHECK_INT(tapsi_test_pair_handshake(&p), !wrong);
        CHECK_INT(p.client.error.pub.code, wrong ? TAPS_E_CERTIFICATE_PIN : 0);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* proves API-053: either kind of pin will do. */
TEST(a_pinned_key_or_a_pinned_certificate)
{
    uint8_t hash[TAPSI_KEY_PIN];
    struct tapsi_test_identity other =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "o", .names = "example.test"}, tapsi_test_authority());
    for (int way = 0; way < 3; way++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        key_hash(way == 0 ? tapsi_test_server() : &other, hash);
        CHECK_INT(tapsi_security_add_key_pin(p.security[0], hash), 0);
        pin(&p, way == 1 ? tapsi_test_server() : &other);
        CHECK_INT(tapsi_test_pair_handshake(&p), way < 2);
        CHECK_INT(p.client.error.pub.code, way < 2 ? 0 : TAPS_E_CERTIFICATE_PIN);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    tapsi_test_identity_free(&other);
}

/* Trust comes first: a pin does not replace it. */
TEST(a_pin_does_not_make_trust)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    struct tapsi_test_identity self =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "s", .names = "example.test"}, NULL);
    tapsi_security_clear(p.security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(p.security[1], true, &self);
    pin(&p, &self);
    refused(&p, TAPS_E_CERTIFICATE, "is signed by itself", "unknown ca");
    tapsi_test_identity_free(&self);
}

/* -------------------------------------------------------------------------------------------- opportunistic */

/* proves API-050: opportunistic is explicit, and does not claim to have authenticated anybody */
TEST(opportunistic_takes_any_certificate_and_says_so)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    tapsi_security_unref(p.security[0]);
    p.security[0] = tapsi_security_new(&p.mem, TAPS_SECURITY_OPPORTUNISTIC);
    p.server_name = NULL;
    serve(&p, &(struct tapsi_test_subject){.name = "x", .names = "other.test", .until = "2021-01-01"}, NULL);
    CHECK(tapsi_test_pair_handshake(&p));
    CHECK(!p.client.info.authenticated);
    CHECK_INT(p.client.info.security, TAPS_TLS_1_3);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(opportunistic_still_keeps_to_its_pins)
{
    for (int right = 0; right < 2; right++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        p.security[0]->mode = TAPS_SECURITY_OPPORTUNISTIC;
        pin(&p, right ? tapsi_test_server() : tapsi_test_authority());
        CHECK_INT(tapsi_test_pair_handshake(&p), right);
        CHECK(!p.client.info.authenticated);
        CHECK_INT(p.client.error.pub.code, right ? 0 : TAPS_E_CERTIFICATE_PIN);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* -------------------------------------------------------------------------------------- client certificates */

static void demand(struct tapsi_test_pair *p, enum taps_security_protocol version)
{
    CHECK_INT(tapsi_security_allow(p->security[0], version), 0);
    p->security[1]->require_client_certificate = true;
    tapsi_test_trust(p->security[1], tapsi_test_authority());
}

static struct tapsi_test_identity client_identity(const struct tapsi_test_identity *issuer)
{
    return tapsi_test_identity(&(struct tapsi_test_subject){.name = "client", .purpose = TAPSI_TEST_CLIENT}, issuer);
}

/* proves API-052 */
TEST(client_certificate_authenticates_the_client)
{
    struct tapsi_test_identity mine = client_identity(tapsi_test_authority());
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        demand(&p, (enum taps_security_protocol)version);
        tapsi_test_show(p.security[0], false, &mine);
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK(p.client.info.authenticated);
        CHECK(p.server.info.authenticated);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    tapsi_test_identity_free(&mine);
}

/* With TLS 1.3 the client is ready before the server has looked: `closed` follows. proves API-052 */
TEST(client_without_the_certificate_demanded)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        demand(&p, (enum taps_security_protocol)version);
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.server.ready, 0);
        CHECK_INT(p.server.error.pub.code, TAPS_E_CERTIFICATE);
        says(&p.server.error, "the peer showed no certificate");
        CHECK_INT(p.client.closed, 1);
        CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
        says(&p.client.error, "the peer example.test sent the alert");
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(client_certificate_of_an_unknown_authority)
{
    struct tapsi_test_identity other =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "Test Authority", .authority = true}, NULL);
    struct tapsi_test_identity mine = client_identity(&other);
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        demand(&p, (enum taps_security_protocol)version);
        tapsi_test_show(p.security[0], false, &mine);
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.server.ready, 0);
        CHECK_INT(p.server.error.pub.code, TAPS_E_CERTIFICATE);
        says(&p.server.error, "the certificate of the peer");
        CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    tapsi_test_identity_free(&mine);
    tapsi_test_identity_free(&other);
}

TEST(a_servers_certificate_is_not_a_clients)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    demand(&p, TAPS_TLS_1_3);
    tapsi_test_show(p.security[0], false, tapsi_test_server());
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(p.server.error.pub.code, TAPS_E_CERTIFICATE);
    says(&p.server.error, "the certificate of the peer is not for this purpose");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves ARCH-18: keys serve only their role */
TEST(a_client_certificate_is_never_offered_as_a_servers)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    tapsi_security_clear(p.security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(p.security[1], false, tapsi_test_server());
    CHECK_INT(tapsi_test_pair_open(&p), TAPS_E_CONFIGURATION);
    says(&p.make_error, "listening with TLS needs a server certificate");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves ARCH-18: and the other way round */
TEST(a_server_certificate_is_never_shown_by_a_client)
{
    struct tapsi_test_identity both =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "both"}, tapsi_test_authority());
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    demand(&p, TAPS_TLS_1_3);
    tapsi_test_show(p.security[0], true, &both);
    CHECK(!tapsi_test_pair_handshake(&p));
    says(&p.server.error, "the peer showed no certificate");
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    tapsi_test_identity_free(&both);
}
