/*
 * What the application says of certificates, keys and algorithms decides each handshake, and each key serves only its
 * role (RFC 9622, 6.3; RFC 9621, 6).
 */
#include <string.h>
#include "secret.h"

static int with_parameter(const char *name, const char *client, const char *server)
{
    struct world w;
    struct peer p;
    struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
    world_new(&w);
    world_secure(&w);
    tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
    peer_new(&w, w.server, &p);
    peer_secure(&p, &identity);
    if (server)
        CHECK_INT(taps_security_parameters_set(p.security, name, server), 0);
    peer_listen(&w, &p, SECRET_V4);
    if (client)
        secret_set(&w, name, client);
    secret_tell(&w, SECRET_NAME ":443", 3000);
    int code = w.heard.code;
    CHECK_INT(w.heard.ready, code == 0);
    secret_check();
    tapsi_test_identity_free(&identity);
    peer_done(&p);
    world_finish(&w);
    return code;
}

/* proves API-054, API-055: what is not in common is no Connection, what is in common is one. */
TEST(parameters_constrain_the_handshake)
{
    CHECK_INT(with_parameter("alpn", "one", "two"), TAPS_E_TLS);
    CHECK_INT(with_parameter("alpn", "one,two", "two"), 0);
    CHECK_INT(with_parameter("alpn", "one", NULL), 0);
    CHECK_INT(with_parameter("supportedGroup", "x25519", "secp256r1"), TAPS_E_TLS);
    CHECK_INT(with_parameter("supportedGroup", "x25519", NULL), 0);
    CHECK_INT(with_parameter("ciphersuite", "AES-128-GCM", "CHACHA20-POLY1305"), TAPS_E_TLS);
    CHECK_INT(with_parameter("ciphersuite", "AES-128-GCM", NULL), 0);
    CHECK_INT(with_parameter("signatureAlgorithm", "RSA-PSS-RSAE-SHA256", NULL), TAPS_E_TLS);
    CHECK_INT(with_parameter("signatureAlgorithm", "ECDSA-SECP256R1-SHA256", NULL), TAPS_E_TLS);
    CHECK_INT(with_parameter("signatureAlgorithm", "EdDSA-Ed25519", NULL), 0);
}

/* proves API-052: the server asks, the client has one, has none, or has one of a stranger. */
TEST(a_client_certificate_is_shown_where_it_is_asked_for)
{
    for (int way = 0; way < 3; way++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity server = peer_certificate(SECRET_NAME, NULL, NULL);
        struct tapsi_test_subject subject = {
            .name = "me", .names = "me.test", .purpose = TAPSI_TEST_CLIENT, .steady = true};
        struct tapsi_test_identity client = tapsi_test_identity(&subject, way == 2 ? NULL : peer_authority());
        world_new(&w);
        world_secure(&w);
        tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &server);
        taps_security_parameters_add_ca_pem(p.security, peer_authority()->certificate,
                                            strlen(peer_authority()->certificate));
        taps_security_parameters_require_client_certificate(p.security, true);
        peer_listen(&w, &p, SECRET_V4);
        if (way)
            taps_security_parameters_add_client_certificate_pem(
                w.security, client.certificate, strlen(client.certificate), client.key, strlen(client.key));
        secret_tell(&w, SECRET_NAME ":443", 3000);
        world_run_ms(&w, 500);
        CHECK_INT(p.received, way == 1);
        CHECK_INT(peer_has(&p, SECRET), way == 1);
        CHECK_INT(w.heard.connection_error + w.heard.establishment_error, way != 1);
        secret_check();
        tapsi_test_identity_free(&server);
        tapsi_test_identity_free(&client);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves API-053: connecting fails if none of the pinned certificates matches, trusted or not. */
TEST(pinned_certificates_are_kept_to)
{
    for (int right = 0; right < 2; right++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity shown = peer_certificate(SECRET_NAME, NULL, NULL);
        struct tapsi_test_identity other = peer_certificate(SECRET_NAME, NULL, NULL);
        const char *pin = right ? shown.certificate : other.certificate;
        world_new(&w);
        world_secure(&w);
        tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &shown);
        peer_listen(&w, &p, SECRET_V4);
        CHECK_INT(taps_security_parameters_pin_server_certificate(w.security, pin, strlen(pin)), 0);
        secret_tell(&w, SECRET_NAME ":443", 3000);
        CHECK_INT(w.heard.ready, right);
        if (!right)
            CHECK_INT(w.heard.code, TAPS_E_CERTIFICATE_PIN);
        tapsi_test_identity_free(&shown);
        tapsi_test_identity_free(&other);
        peer_done(&p);
        world_finish(&w);
    }
}

/* ------------------------------------------------------------------------------------ each key for its role (ARCH-18)
 */

static struct tapsi_test_identity identity_for(const char *subject, const char *names, bool server)
{
    struct tapsi_test_subject s = {
        .name = subject, .names = names, .purpose = server ? TAPSI_TEST_SERVER : TAPSI_TEST_CLIENT};
    return tapsi_test_identity(&s, peer_authority());
}

static void add_certificate(taps_security_parameters *security, const struct tapsi_test_identity *identity, bool server)
{
    const char *certificate = identity->certificate, *key = identity->key;
    if (server)
        CHECK_INT(taps_security_parameters_add_server_certificate_pem(security, certificate, strlen(certificate), key,
                                                                      strlen(key)),
                  0);
    else
        CHECK_INT(taps_security_parameters_add_client_certificate_pem(security, certificate, strlen(certificate), key,
                                                                      strlen(key)),
                  0);
}

/* A server with these parameters that asks for a certificate, on TLS 1.2, where certificates go in clear. Their keys
   are on P-256, not Ed25519: see the test below. */
struct roles {
    struct world w;
    struct peer p;
    struct tapsi_test_identity client, server; /* "the-client" and "the-server", fit for these roles and no other */
};

static void roles_new(struct roles *r)
{
    world_new(&r->w);
    world_secure(&r->w);
    secret_set(&r->w, "allowedSecurityProtocols", "tls1.2");
    tapsi_sim_dns_answer(r->w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
    r->client = identity_for("the-client", SECRET_NAME, false);
    r->server = identity_for("the-server", SECRET_NAME, true);
    peer_new(&r->w, r->w.server, &r->p);
    taps_security_parameters_free(r->p.security);
    taps_security_parameters_new(&r->p.security);
    taps_security_parameters_add_ca_pem(r->p.security, peer_authority()->certificate,
                                        strlen(peer_authority()->certificate));
    taps_security_parameters_require_client_certificate(r->p.security, true);
}

static void roles_done(struct roles *r)
{
    tapsi_test_identity_free(&r->client);
    tapsi_test_identity_free(&r->server);
    peer_done(&r->p);
    world_finish(&r->w);
}

/* proves API-052: GnuTLS shows a client's Ed25519 certificate on TLS 1.3. On TLS 1.2 it takes the ecdsa_sign of the
   server's request for P-256 and the like alone, though RFC 8422, 5.5 means Ed25519 too: it shows none, which ends it
   clearly (docs/design/006-security.md). */
TEST(an_ed25519_certificate_of_a_client_needs_tls_1_3)
{
    for (int newer = 0; newer < 2; newer++) {
        struct tapsi_test_subject subject = {
            .name = "the-client", .names = SECRET_NAME, .purpose = TAPSI_TEST_CLIENT, .steady = true};
        struct roles r;
        roles_new(&r);
        secret_set(&r.w, "allowedSecurityProtocols", newer ? "tls1.3" : "tls1.2");
        tapsi_test_identity_free(&r.client);
        r.client = tapsi_test_identity(&subject, peer_authority());
        add_certificate(r.w.security, &r.client, false);
        add_certificate(r.p.security, &r.server, true);
        peer_listen(&r.w, &r.p, SECRET_V4);
        world_initiate(&r.w, SECRET_NAME ":443", 3000);
        world_run_until_ready(&r.w);
        world_run_ms(&r.w, 100);
        CHECK_INT(r.p.received + (r.w.heard.establishment_error || r.w.heard.connection_error), 1);
        CHECK(!newer || r.p.received == 1);
        roles_done(&r);
    }
}

/* proves ARCH-18, API-052: both ends have both; each shows the one of its role, on the wire, and the other never. */
TEST(each_end_shows_the_certificate_of_its_role)
{
    for (int tapped = 0; tapped < 2; tapped++) {
        struct roles r;
        static struct wire wire;
        roles_new(&r);
        add_certificate(r.w.security, &r.client, false);
        add_certificate(r.w.security, &r.server, true);
        add_certificate(r.p.security, &r.client, false);
        add_certificate(r.p.security, &r.server, true);
        peer_listen(&r.w, &r.p, SECRET_V4);
        wire_tap(&wire, tapped ? r.p.context : r.w.context);
        world_initiate(&r.w, SECRET_NAME ":443", 3000);
        world_run_until_ready(&r.w);
        CHECK_TEXT(taps_connection_security(r.w.connection), "TLS 1.2");
        CHECK_INT(wire_has_text(&wire, "the-client"), !tapped);
        CHECK_INT(wire_has_text(&wire, "the-server"), tapped);
        world_run_ms(&r.w, 100);
        CHECK_INT(r.p.received, 1);
        roles_done(&r);
    }
}

/* proves ARCH-18: a client whose only certificate is a server's shows none, and so is not let in. */
TEST(a_servers_certificate_is_not_shown_by_a_client)
{
    struct roles r;
    static struct wire wire;
    roles_new(&r);
    add_certificate(r.w.security, &r.server, true);
    add_certificate(r.p.security, &r.server, true);
    peer_listen(&r.w, &r.p, SECRET_V4);
    wire_tap(&wire, r.w.context);
    world_initiate(&r.w, SECRET_NAME ":443", 3000);
    world_run_until_end(&r.w);
    CHECK_INT(r.w.heard.establishment_error + r.w.heard.connection_error, 1);
    CHECK(!wire_has_text(&wire, "the-server"));
    CHECK_INT(r.p.received, 0);
    roles_done(&r);
}

/* proves ARCH-18: nor does a server have one who has only a client's: it does not listen. */
TEST(a_clients_certificate_does_not_make_a_server)
{
    static const struct taps_listener_events nothing;
    struct roles r;
    taps_listener *listener = NULL;
    roles_new(&r);
    add_certificate(r.p.security, &r.client, false);
    CHECK_INT(taps_preconnection_add_local_text(r.p.preconnection, SECRET_V4), 0);
    CHECK_INT(taps_preconnection_set_security_parameters(r.p.preconnection, r.p.security), 0);
    CHECK_INT(taps_preconnection_listen(r.p.preconnection, &nothing, NULL, &listener), TAPS_E_CONFIGURATION);
    CHECK(strstr(taps_preconnection_error(r.p.preconnection)->detail, "serverCertificate") != NULL);
    CHECK(listener == NULL);
    world_start(&r.w);
    roles_done(&r);
}

/* proves ARCH-18: and who is given the wrong kind for a role is not believed by the other end, in both directions. */
TEST(a_certificate_for_the_other_role_is_not_believed)
{
    for (int swapped_at_server = 0; swapped_at_server < 2; swapped_at_server++) {
        struct roles r;
        roles_new(&r);
        add_certificate(r.p.security, swapped_at_server ? &r.client : &r.server, true);
        add_certificate(r.w.security, swapped_at_server ? &r.client : &r.server, false);
        peer_listen(&r.w, &r.p, SECRET_V4);
        world_initiate(&r.w, SECRET_NAME ":443", 3000);
        world_run_until_end(&r.w);
        CHECK_INT(r.w.heard.ready, 0);
        CHECK_INT(r.w.heard.establishment_error, 1);
        if (swapped_at_server)
            CHECK_INT(r.w.heard.code, TAPS_E_CERTIFICATE);
        world_run_ms(&r.w, 100);
        CHECK_INT(r.p.received, 0);
        CHECK_INT(taps_listener_dropped(r.p.listeners[0]), 1);
        roles_done(&r);
    }
}
