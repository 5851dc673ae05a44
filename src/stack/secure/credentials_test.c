/* Parameters that GnuTLS cannot use are found when the stack is made, with the culprit's name. */
#include "base/test.h"
#include "stack/secure/credentials.h"
#include "stack/tls/test_pair.h"

static const char junk[] = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
static const char junk_key[] = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n";

static struct tapsi_mem mem;

static struct tapsi_security *fresh(void)
{
    tapsi_mem_init(&mem, NULL);
    return tapsi_security_new(&mem, TAPS_SECURITY_REQUIRED);
}

/* Takes `s`. */
static void check_refused(struct tapsi_security *s, enum tapsi_role role, const char *words)
{
    const struct tapsi_credentials *c = NULL;
    struct tapsi_error e = {{0}, ""};
    CHECK_INT(tapsi_credentials(s, role, TAPSI_SECURE_TLS, &c, &e), TAPS_E_CONFIGURATION);
    CHECK(c == NULL);
    if (!e.pub.detail || !strstr(e.pub.detail, words))
        tapsi_test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", e.pub.detail ? e.pub.detail : "", words);
    tapsi_security_unref(s);
}

/* proves API-052 */
TEST(a_server_certificate_that_is_none)
{
    struct tapsi_security *s = fresh();
    tapsi_test_show(s, true, tapsi_test_server());
    CHECK_INT(tapsi_security_add_server(s, junk, strlen(junk), junk_key, strlen(junk_key)), 0);
    check_refused(s, TAPSI_ROLE_SERVER, "server certificate 2 cannot be used: ");
}

/* GnuTLS 3.7 would leak it. */
TEST(a_server_certificate_that_is_none_beside_a_good_key)
{
    struct tapsi_security *s = fresh();
    const char *key = tapsi_test_server()->key;
    CHECK_INT(tapsi_security_add_server(s, junk, strlen(junk), key, strlen(key)), 0);
    check_refused(s, TAPSI_ROLE_SERVER, "server certificate 1 cannot be used: ");
}

/* The same. */
TEST(a_server_certificate_for_a_name_that_is_none)
{
    struct tapsi_security *s = fresh();
    struct tapsi_test_identity id = tapsi_test_identity(&(struct tapsi_test_subject){.name = "x", .names = ""}, NULL);
    tapsi_test_show(s, true, &id);
    check_refused(s, TAPSI_ROLE_SERVER, "server certificate 1 cannot be used: ");
    tapsi_test_identity_free(&id);
}

/* proves API-052 */
TEST(a_client_certificate_that_is_none)
{
    struct tapsi_security *s = fresh();
    tapsi_test_trust(s, tapsi_test_authority());
    CHECK_INT(tapsi_security_add_client(s, junk, strlen(junk), junk_key, strlen(junk_key)), 0);
    check_refused(s, TAPSI_ROLE_CLIENT, "client certificate 1 cannot be used: ");
}

TEST(a_key_of_another_certificate)
{
    struct tapsi_security *s = fresh();
    const struct tapsi_test_identity *a = tapsi_test_authority(), *b = tapsi_test_server();
    CHECK_INT(tapsi_security_add_server(s, b->certificate, strlen(b->certificate), a->key, strlen(a->key)), 0);
    check_refused(s, TAPSI_ROLE_SERVER, "server certificate 1 cannot be used: ");
}

TEST(an_authority_that_is_none)
{
    struct tapsi_security *s = fresh();
    CHECK_INT(tapsi_security_add_authority(s, junk, strlen(junk)), 0);
    check_refused(s, TAPSI_ROLE_CLIENT, "authority 1 cannot be used: ");
}

/* proves API-053 */
TEST(a_pin_that_is_none)
{
    struct tapsi_security *s = fresh();
    tapsi_test_trust(s, tapsi_test_authority());
    CHECK_INT(tapsi_security_add_pin(s, junk, strlen(junk)), 0);
    check_refused(s, TAPSI_ROLE_CLIENT, "pinned certificate 1 cannot be used: ");
}

TEST(a_listener_without_certificate)
{
    check_refused(fresh(), TAPSI_ROLE_SERVER, "needs a server certificate");
}

/* proves API-051 */
TEST(no_version_left)
{
    struct tapsi_security *s = fresh();
    CHECK_INT(tapsi_security_allow(s, TAPS_TLS_1_2), 0);
    CHECK_INT(tapsi_security_set_minimum(s, TAPS_TLS_1_3), 0);
    check_refused(s, TAPSI_ROLE_CLIENT, "allowedSecurityProtocols");
}

TEST(credentials_are_made_once_per_role)
{
    struct tapsi_security *s = fresh();
    const struct tapsi_credentials *first, *second, *server;
    tapsi_test_trust(s, tapsi_test_authority());
    tapsi_test_show(s, true, tapsi_test_server());
    NEED(tapsi_credentials(s, TAPSI_ROLE_CLIENT, TAPSI_SECURE_TLS, &first, NULL) == 0);
    NEED(tapsi_credentials(s, TAPSI_ROLE_CLIENT, TAPSI_SECURE_TLS, &second, NULL) == 0);
    NEED(tapsi_credentials(s, TAPSI_ROLE_SERVER, TAPSI_SECURE_TLS, &server, NULL) == 0);
    CHECK(first == second);
    CHECK(server != first);
    CHECK(first->verify);
    CHECK(!server->verify);
    CHECK(first->system == NULL);
    tapsi_security_unref(s);
}

/* ------------------------------------------------------------------------------------ what is negotiated */

/* The first of what both ends have, as GnuTLS lists it: proves API-055 by what cannot be agreed on. */
static bool agree(int list, const char *client, const char *server)
{
    struct tapsi_test_pair p;
    int (*const add[])(struct tapsi_security *, const char *) = {
        tapsi_security_add_group, tapsi_security_add_ciphersuite, tapsi_security_add_signature};
    if (!tapsi_test_pair_init(&p))
        return false;
    CHECK_INT(client ? add[list](p.security[0], client) : 0, 0);
    CHECK_INT(server ? add[list](p.security[1], server) : 0, 0);
    bool ready = tapsi_test_pair_handshake(&p);
    CHECK(ready || (p.client.error.pub.code == TAPS_E_TLS && p.server.error.pub.code == TAPS_E_TLS));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    return ready;
}

/* proves API-055 */
TEST(groups_are_kept_to)
{
    CHECK(agree(0, "x25519", NULL));
    CHECK(agree(0, "secp384r1", "secp384r1"));
    CHECK(agree(0, NULL, "x448"));
    CHECK(!agree(0, "x25519", "secp256r1"));
}

/* proves API-055 */
TEST(ciphersuites_are_kept_to)
{
    CHECK(agree(1, "AES-256-GCM", NULL));
    CHECK(agree(1, "TLS_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"));
    CHECK(!agree(1, "AES-256-GCM", "AES-128-GCM"));
}

/* proves API-055 */
TEST(signature_algorithms_are_kept_to)
{
    CHECK(agree(2, "ecdsa_secp256r1_sha256", NULL));
    CHECK(!agree(2, "ed25519", NULL));
    CHECK(!agree(2, "rsa_pss_rsae_sha256", NULL));
}

/* proves ARCH-08 */
TEST(each_kind_of_session_offers_its_own_alpn_protocols)
{
    static const struct {
        enum tapsi_secure_kind kind;
        const char *ids[2];
    } rows[] = {{TAPSI_SECURE_TLS, {"h2", "echo"}}, {TAPSI_SECURE_QUIC, {"h3", "echo"}}};
    struct tapsi_security *s = fresh();
    static const char *const given[] = {"h3", "h2", "echo"};
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(tapsi_security_add_alpn(s, given[i]), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct tapsi_credentials *c = NULL;
        struct tapsi_error e = {{0}, ""};
        CHECK_INT(tapsi_credentials(s, TAPSI_ROLE_CLIENT, rows[i].kind, &c, &e), 0);
        CHECK_INT(c->alpn_count[rows[i].kind], 2);
        for (unsigned k = 0; k < 2; k++) {
            CHECK_INT(c->alpn[rows[i].kind][k].size, strlen(rows[i].ids[k]));
            CHECK(memcmp(c->alpn[rows[i].kind][k].data, rows[i].ids[k], strlen(rows[i].ids[k])) == 0);
        }
    }
    tapsi_security_unref(s);
}

/* To offer none instead would be another promise than the application's. */
TEST(alpn_protocols_none_of_which_is_for_the_session)
{
    struct tapsi_security *s = fresh();
    CHECK_INT(tapsi_security_add_alpn(s, "h3"), 0);
    check_refused(s, TAPSI_ROLE_CLIENT, "none of the ALPN protocols given can run over TLS over TCP");
}
