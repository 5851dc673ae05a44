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
    CHECK_INT(with_parameter("signatureAlgorithm", "ECDSA-SECP256R1-SHA256", NULL), 0);
}

/* proves API-052: the server asks, the client has one, has none, or has one of a stranger. */
TEST(a_client_certificate_is_shown_where_it_is_asked_for)
{
    for (int way = 0; way < 3; way++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity server = peer_certificate(SECRET_NAME, NULL, NULL);
        struct tapsi_test_subject subject = {.name = "me", .names = "me.test", .purpose = TAPSI_TEST_CLIENT};
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
