/* Pre-shared keys instead of certificates, and beside them. proves API-057 throughout */
#include "base/test.h"
#include "stack/secure/credentials.h"
#include "stack/tls/test_pair.h"

#define KEY_A "0123456789abcdef"
#define KEY_B "fedcba9876543210"

static void add(struct tapsi_security *s, const char *identity, const char *key)
{
    CHECK_INT(tapsi_security_add_psk(s, identity, key, strlen(key)), 0);
}

/* Neither end has a certificate, or trusts one. */
static bool start(struct tapsi_test_pair *p, int version)
{
    if (!tapsi_test_pair_init(p))
        return false;
    for (int i = 0; i < 2; i++) {
        tapsi_security_unref(p->security[i]);
        p->security[i] = tapsi_security_new(&p->mem, TAPS_SECURITY_REQUIRED);
    }
    CHECK_INT(tapsi_security_allow(p->security[0], (enum taps_security_protocol)version), 0);
    return true;
}

static void finish(struct tapsi_test_pair *p)
{
    CHECK_INT(tapsi_test_pair_done(p), 0);
}

/* proves API-057: the key authenticates both ends, and no certificate is needed. */
TEST(a_key_that_both_have_is_enough)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(start(&p, version));
        add(p.security[0], "me", KEY_A);
        add(p.security[1], "me", KEY_A);
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.info.security, version);
        CHECK(p.client.info.authenticated);
        CHECK(p.server.info.authenticated);
        CHECK_INT(tapsi_test_send_text(&p.client, "hello", 0), 0);
        tapsi_test_pair_run(&p);
        CHECK(tapsi_test_got(&p.server, "hello"));
        finish(&p);
    }
}

/* proves API-057 */
TEST(a_server_looks_the_key_up_by_its_identity)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        static const char *const names[] = {"first", "second", "third"};
        for (int i = 0; i < 3; i++) {
            struct tapsi_test_pair p;
            NEED(start(&p, version));
            add(p.security[0], names[i], i == 1 ? KEY_B : KEY_A);
            add(p.security[1], "first", KEY_A);
            add(p.security[1], "second", KEY_B);
            add(p.security[1], "third", KEY_A);
            CHECK(tapsi_test_pair_handshake(&p));
            CHECK(p.client.info.authenticated);
            finish(&p);
        }
    }
}

/* Both ends say that it is the key. */
static void mismatch(int version, const char *identity, const char *key)
{
    struct tapsi_test_pair p;
    NEED(start(&p, version));
    add(p.security[0], identity, key);
    add(p.security[1], "me", KEY_A);
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.ready, 0);
    CHECK_INT(p.server.ready, 0);
    CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
    CHECK_INT(p.server.error.pub.code, TAPS_E_TLS);
    if (!strstr(p.client.error.text, "pre-shared key") || !strstr(p.server.error.text, "pre-shared key"))
        tapsi_test_fail(__FILE__, __LINE__, "version %d, %s: client \"%s\", server \"%s\"", version, identity,
                        p.client.error.text, p.server.error.text);
    finish(&p);
}

/* proves API-057 */
TEST(another_key_or_identity_is_a_clear_error)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        mismatch(version, "me", KEY_B);
        mismatch(version, "me", KEY_A "0");
        mismatch(version, "you", KEY_A);
        mismatch(version, "m", KEY_A);
        mismatch(version, "me2", KEY_A);
    }
}

/* The server has only a certificate, also a good one: the client has not said that it trusts by one. */
TEST(a_client_with_a_key_alone_takes_no_certificate)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(start(&p, version));
        tapsi_test_show(p.security[1], true, tapsi_test_server());
        add(p.security[0], "me", KEY_A);
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.ready, 0);
        CHECK_INT(p.server.ready, 0);
        finish(&p);
    }
}

TEST(a_client_without_a_key_gets_nothing_from_a_server_with_keys_alone)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(start(&p, version));
        tapsi_test_trust(p.security[0], tapsi_test_authority());
        add(p.security[1], "me", KEY_A);
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.ready, 0);
        finish(&p);
    }
}

/* proves API-057: both set, the key is taken where both have it, and the certificate where not. */
TEST(with_both_either_will_do)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        for (int knows = 0; knows < 2; knows++) {
            struct tapsi_test_pair p;
            NEED(start(&p, version));
            tapsi_test_trust(p.security[0], tapsi_test_authority());
            tapsi_test_show(p.security[1], true, tapsi_test_server());
            add(p.security[0], "me", KEY_A);
            if (knows)
                add(p.security[1], "me", KEY_A);
            p.server_name = knows ? "other.test" : "example.test"; /* no certificate has it: the key does without */
            CHECK(tapsi_test_pair_handshake(&p));
            CHECK(p.client.info.authenticated);
            CHECK_INT(p.server.info.authenticated, knows);
            finish(&p);
        }
    }
}

/* A wrong certificate is no better for a key that is not used. */
TEST(a_certificate_is_verified_beside_a_key_too)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(start(&p, version));
        tapsi_test_trust(p.security[0], tapsi_test_authority());
        tapsi_test_show(p.security[1], true, tapsi_test_server());
        add(p.security[0], "me", KEY_A);
        p.server_name = "other.test";
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE_NAME);
        finish(&p);
    }
}

/* proves API-057: with forward secrecy or not at all. */
TEST(a_key_exchange_without_forward_secrecy_is_not_offered)
{
    struct tapsi_test_pair p;
    const struct tapsi_credentials *c;
    NEED(start(&p, TAPS_TLS_1_3));
    add(p.security[0], "me", KEY_A);
    NEED(tapsi_credentials(p.security[0], TAPSI_ROLE_CLIENT, TAPSI_SECURE_TLS, &c, NULL) == 0);
    const unsigned *list;
    int count = gnutls_priority_kx_list(c->priority[TAPSI_SECURE_TLS], &list);
    CHECK_INT(count, 2);
    for (int i = 0; i < count; i++)
        CHECK(list[i] == GNUTLS_KX_ECDHE_PSK || list[i] == GNUTLS_KX_DHE_PSK);
    finish(&p);
}

/* A server that knows the key, and a client that has been there. */
static bool been_there(struct tapsi_test_pair *p, int version)
{
    if (!start(p, version))
        return false;
    add(p->security[0], "me", KEY_A);
    add(p->security[1], "me", KEY_A);
    bool done = tapsi_test_pair_handshake(p);
    tapsi_test_send_text(&p->server, "x", 0);
    tapsi_test_pair_run(p);
    tapsi_test_pair_again(p);
    return done;
}

/* proves API-057: whose key is another is another, also where a session of the first one could be resumed. */
TEST(a_session_is_not_resumed_with_another_key_of_the_same_identity)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(been_there(&p, version));
        struct tapsi_security *other = tapsi_security_copy(p.security[0], &p.mem);
        add(other, "me", KEY_B);
        tapsi_security_unref(p.security[0]);
        p.security[0] = other;
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.ready, 0);
        finish(&p);
    }
}

/* proves API-057 */
TEST(a_session_that_a_key_began_is_as_authenticated_when_it_is_resumed)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        NEED(been_there(&p, version));
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK(p.client.info.resumed);
        CHECK(p.client.info.authenticated);
        CHECK(p.server.info.authenticated);
        finish(&p);
    }
}

/* Every allocation fails once: no Connection, or one by the key, and nothing leaked. */
TEST(every_allocation_may_fail)
{
    bool failed = true;
    for (long n = 1; failed; n++) {
        struct tapsi_test_pair p;
        NEED(start(&p, TAPS_TLS_1_3));
        add(p.security[0], "me", KEY_A);
        add(p.security[1], "me", KEY_A);
        p.fail_at = p.allocations + n;
        bool ready = tapsi_test_pair_handshake(&p);
        failed = p.allocations >= p.fail_at;
        CHECK(ready || failed);
        CHECK(!ready || p.client.info.authenticated);
        finish(&p);
    }
}
