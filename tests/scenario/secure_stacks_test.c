/*
 * Security parameters on each secure stack (RFC 9622, 6.3): what tls_test.c and credential_test.c show of TLS over TCP
 * holds for streams and datagrams of QUIC and for DTLS; and when streams of a session are wanted (6.2.11).
 */
#include <string.h>
#include "secret.h"

static const struct stack {
    const char *name;
    enum taps_security_protocol protocol;
    bool datagrams;
} stacks[] = {{"tls/tcp", TAPS_TLS_1_3, false},
              {"quic", TAPS_QUIC_1, false},
              {"quic-datagram", TAPS_QUIC_1, true},
              {"dtls/udp", TAPS_DTLS_1_2, true}};

#define STACKS (sizeof(stacks) / sizeof(stacks[0]))

struct pair {
    struct world w;
    struct peer p;
    const struct stack *stack;
    struct tapsi_test_identity server, client;
};

static void add_certificate(taps_security_parameters *security, const struct tapsi_test_identity *i, bool server)
{
    size_t certificate = strlen(i->certificate), key = strlen(i->key);
    if (server)
        CHECK_INT(
            taps_security_parameters_add_server_certificate_pem(security, i->certificate, certificate, i->key, key), 0);
    else
        CHECK_INT(
            taps_security_parameters_add_client_certificate_pem(security, i->certificate, certificate, i->key, key), 0);
}

/* One stack alone at both ends; the client trusts the server's authority. */
static void begin(struct pair *t, const struct stack *stack)
{
    static const struct tapsi_test_subject client = {.name = "me", .names = "me.test", .purpose = TAPSI_TEST_CLIENT};
    *t = (struct pair){.stack = stack};
    world_new(&t->w);
    world_secure(&t->w);
    if (stack->datagrams) {
        taps_transport_properties_free(t->w.properties);
        CHECK_INT(taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &t->w.properties), 0);
    }
    tapsi_sim_dns_answer(t->w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
    t->server = peer_certificate(SECRET_NAME, NULL, NULL);
    t->client = tapsi_test_identity(&client, peer_authority());
    peer_new(&t->w, t->w.server, &t->p);
    peer_secure(&t->p, &t->server);
    t->p.echo = true;
    taps_security_parameters *both[] = {t->w.security, t->p.security};
    for (int i = 0; i < 2; i++) {
        CHECK_INT(taps_security_parameters_allow_protocol(both[i], stack->protocol), 0);
        CHECK_INT(taps_security_parameters_add_alpn(both[i], "echo"), 0);
    }
}

/* What became of it; 0: the secret was told, and came back. */
static int tell(struct pair *t)
{
    peer_listen(&t->w, &t->p, SECRET_V4);
    secret_tell(&t->w, SECRET_NAME ":443", 3000);
    world_run_ms(&t->w, 500);
    int code = t->w.heard.code;
    if (!code) {
        CHECK_TEXT(taps_connection_stack(t->w.connection), t->stack->name);
        CHECK_INT(t->w.heard.length, strlen(SECRET));
    }
    CHECK_INT(t->p.length, code ? 0 : strlen(SECRET));
    secret_check();
    return code;
}

static void finish(struct pair *t)
{
    tapsi_test_identity_free(&t->server);
    tapsi_test_identity_free(&t->client);
    peer_done(&t->p);
    world_finish(&t->w);
}

/* proves API-050, ARCH-09: what is good is used; with the system's authorities alone, ours is a stranger. */
TEST(each_secure_stack_verifies_by_default)
{
    for (size_t i = 0; i < STACKS; i++) {
        for (int stranger = 0; stranger < 2; stranger++) {
            static struct pair t;
            begin(&t, &stacks[i]);
            if (stranger) {
                taps_security_parameters_free(t.w.security);
                CHECK_INT(taps_security_parameters_new(&t.w.security), 0);
                CHECK_INT(taps_security_parameters_allow_protocol(t.w.security, stacks[i].protocol), 0);
                CHECK_INT(taps_security_parameters_add_alpn(t.w.security, "echo"), 0);
            }
            CHECK_INT(tell(&t), stranger ? TAPS_E_CERTIFICATE : 0);
            finish(&t);
        }
    }
}

/* proves API-053 */
TEST(each_secure_stack_keeps_to_pins)
{
    for (size_t i = 0; i < STACKS; i++) {
        for (int wrong = 0; wrong < 2; wrong++) {
            static struct pair t;
            begin(&t, &stacks[i]);
            const char *pin = wrong ? t.client.certificate : t.server.certificate;
            CHECK_INT(taps_security_parameters_pin_server_certificate(t.w.security, pin, strlen(pin)), 0);
            CHECK_INT(tell(&t), wrong ? TAPS_E_CERTIFICATE_PIN : 0);
            finish(&t);
        }
    }
}

/* proves API-055 */
TEST(each_secure_stack_keeps_to_groups_ciphersuites_and_signature_algorithms)
{
    static const struct {
        const char *name, *client, *server;
        bool good;
    } cases[] = {{"supportedGroup", "x25519", "secp256r1", false},
                 {"supportedGroup", "x25519", "x25519", true},
                 {"ciphersuite", "AES-128-GCM", "AES-256-GCM", false},
                 {"ciphersuite", "AES-256-GCM", "AES-256-GCM", true},
                 {"signatureAlgorithm", "RSA-PSS-RSAE-SHA256", NULL, false},
                 {"signatureAlgorithm", "EdDSA-Ed25519", NULL, true}};
    for (size_t i = 0; i < STACKS; i++) {
        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
            static struct pair t;
            begin(&t, &stacks[i]);
            secret_set(&t.w, cases[k].name, cases[k].client);
            if (cases[k].server)
                CHECK_INT(taps_security_parameters_set(t.p.security, cases[k].name, cases[k].server), 0);
            int code = tell(&t);
            if ((code == 0) != cases[k].good)
                tapsi_test_fail(__FILE__, __LINE__, "%s, %s %s: %s", stacks[i].name, cases[k].name, cases[k].client,
                                t.w.heard.detail);
            finish(&t);
        }
    }
}

/* proves ARCH-18, API-052: a client shows its own certificate where one is asked for, and never a server's. */
TEST(each_secure_stack_shows_a_certificate_in_its_role_only)
{
    for (size_t i = 0; i < STACKS; i++) {
        for (int server = 0; server < 2; server++) {
            static struct pair t;
            begin(&t, &stacks[i]);
            const char *ca = peer_authority()->certificate;
            CHECK_INT(taps_security_parameters_add_ca_pem(t.p.security, ca, strlen(ca)), 0);
            CHECK_INT(taps_security_parameters_require_client_certificate(t.p.security, true), 0);
            add_certificate(t.w.security, server ? &t.server : &t.client, server);
            peer_listen(&t.w, &t.p, SECRET_V4);
            secret_tell(&t.w, SECRET_NAME ":443", 3000);
            world_run_ms(&t.w, 500);
            CHECK_INT(t.p.received, !server);
            CHECK_INT(t.p.length, server ? 0 : strlen(SECRET));
            secret_check();
            finish(&t);
        }
    }
}

/* proves API-035: where both answer, streams of a session are had as they are wanted. */
TEST(multistreaming_chooses_between_quic_and_tls)
{
    static const struct {
        const char *wanted, *stack;
    } cases[] = {{"require", "quic"}, {"prefer", "quic"}, {"avoid", "tls/tcp"}, {"prohibit", "tls/tcp"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct pair t;
        begin(&t, &stacks[1]);
        CHECK_INT(taps_security_parameters_allow_protocol(t.w.security, TAPS_TLS_1_3), 0);
        CHECK_INT(taps_security_parameters_allow_protocol(t.p.security, TAPS_TLS_1_3), 0);
        peer_listen(&t.w, &t.p, SECRET_V4);
        taps_transport_properties_set(t.w.properties, "multistreaming", cases[i].wanted);
        secret_tell(&t.w, SECRET_NAME ":443", 3000);
        CHECK_INT(t.w.heard.ready, 1);
        CHECK_TEXT(taps_connection_stack(t.w.connection), cases[i].stack);
        secret_check();
        finish(&t);
    }
}
