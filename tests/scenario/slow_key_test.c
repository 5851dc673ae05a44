/*
 * Private keys that take their time: only the handshake that needs one waits for it, and only as long as it may. How
 * long each signature takes is the world's (tapsi_sim_aside).
 */
#include <gnutls/abstract.h>
#include <stdlib.h>
#include <string.h>
#include "connection/context.h"
#include "secret.h"

#define SLOWNESS (2 * TAPSI_SIM_S)

struct hardware {
    gnutls_privkey_t key;
    unsigned times;
    bool broken;
};

static int sign(const struct taps_challenge *challenge, void *signature, size_t *ret_length, void *user)
{
    struct hardware *h = user;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)challenge->data, (unsigned)challenge->length}, made = {NULL, 0};
    bool steady = strcmp(challenge->scheme, "ed25519") == 0;
    h->times++;
    if (h->broken)
        return -1;
    int r = steady ? gnutls_privkey_sign_data2(h->key, GNUTLS_SIGN_EDDSA_ED25519, 0, &data, &made)
                   : gnutls_privkey_sign_hash2(h->key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &made);
    if (r < 0)
        return -1;
    memcpy(signature, made.data, made.size);
    *ret_length = made.size;
    gnutls_free(made.data);
    return 0;
}

static void hold(struct hardware *h, const struct tapsi_test_identity *identity)
{
    gnutls_datum_t pem = {(unsigned char *)identity->key, (unsigned)strlen(identity->key)};
    memset(h, 0, sizeof(*h));
    CHECK(gnutls_privkey_init(&h->key) >= 0);
    CHECK(gnutls_privkey_import_x509_raw(h->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0);
}

static const char *const protocols[] = {"tls1.3", "quic1", "dtls1.2", "tls1.2"};

/* With each failure that can be, two of them are enough. */
static int protocol_count(void)
{
    return tapsi_test_sweeping() ? 2 : 4;
}

static int first_end(void)
{
    return tapsi_test_sweeping() ? 3 : 1;
}

struct test {
    struct world w;
    struct peer p;
    struct hardware server, client;
    bool slow_client;
};

/* Which ends have slow keys: the server's is on Ed25519, the client's, which TLS 1.2 would not take, on P-256. DTLS
 * carries Messages with nothing promised, so that is what is asked for. */
static void begin(struct test *t, const char *protocol, bool slow_server, bool slow_client)
{
    struct tapsi_test_subject me = {.name = "me", .names = "me.test", .purpose = TAPSI_TEST_CLIENT};
    struct tapsi_test_identity server = peer_certificate(SECRET_NAME, NULL, NULL);
    struct tapsi_test_identity client = tapsi_test_identity(&me, peer_authority());
    const char *chain = server.certificate, *authority = peer_authority()->certificate;
    world_new(&t->w);
    world_secure(&t->w);
    tapsi_sim_aside(t->w.sim, SLOWNESS);
    tapsi_sim_dns_answer(t->w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
    if (strcmp(protocol, "dtls1.2") == 0) {
        taps_transport_properties_free(t->w.properties);
        CHECK_INT(taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &t->w.properties), 0);
    }
    hold(&t->server, &server);
    hold(&t->client, &client);
    peer_new(&t->w, t->w.server, &t->p);
    t->p.echo = true;
    if (slow_server) {
        taps_security_parameters_free(t->p.security);
        CHECK_INT(taps_security_parameters_new(&t->p.security), 0);
        CHECK_INT(
            taps_security_parameters_add_server_slow_signer(t->p.security, chain, strlen(chain), sign, &t->server), 0);
    } else {
        peer_secure(&t->p, &server);
    }
    if (slow_client) {
        CHECK_INT(taps_security_parameters_add_ca_pem(t->p.security, authority, strlen(authority)), 0);
        taps_security_parameters_require_client_certificate(t->p.security, true);
        CHECK_INT(taps_security_parameters_add_client_slow_signer(t->w.security, client.certificate,
                                                                  strlen(client.certificate), sign, &t->client),
                  0);
    }
    secret_set(&t->w, "allowedSecurityProtocols", protocol);
    CHECK_INT(taps_security_parameters_set(t->p.security, "allowedSecurityProtocols", protocol), 0);
    if (strcmp(protocol, "quic1") == 0) {
        CHECK_INT(taps_security_parameters_add_alpn(t->w.security, "taps-test"), 0);
        CHECK_INT(taps_security_parameters_add_alpn(t->p.security, "taps-test"), 0);
    }
    peer_listen(&t->w, &t->p, SECRET_V4);
    tapsi_test_identity_free(&server);
    tapsi_test_identity_free(&client);
}

static void finish(struct test *t)
{
    peer_done(&t->p);
    world_finish(&t->w);
    gnutls_privkey_deinit(t->server.key);
    gnutls_privkey_deinit(t->client.key);
}

/* Says the secret, and waits for nothing. */
static void tell(struct test *t, uint64_t timeout_ms)
{
    struct world *w = &t->w;
    wire_tap(&secret_wire, w->context);
    w->keep_reading = true;
    world_initiate(w, SECRET_NAME ":443", timeout_ms);
    NEED(w->initiated == 0);
    taps_connection_send(w->connection, SECRET, strlen(SECRET), NULL, 0, NULL);
    taps_connection_receive(w->connection, 1, 65536, NULL);
}

/* proves API-059: each end's key, with each protocol. */
TEST(a_handshake_waits_for_its_slow_key)
{
    for (int i = 0; i < protocol_count(); i++) {
        for (int ends = first_end(); ends <= 3; ends++) {
            struct test t;
            begin(&t, protocols[i], ends & 1, ends & 2);
            tell(&t, 20000);
            world_run_ms(&t.w, 1900);
            CHECK_INT(t.w.heard.ready + t.w.heard.establishment_error, 0);
            world_run_until_ready(&t.w);
            CHECK_INT(t.w.heard.ready, 1);
            CHECK_INT(t.server.times, ends & 1);
            CHECK_INT(t.client.times, ends >> 1);
            world_run_ms(&t.w, 3000);
            CHECK_INT(t.p.received, 1);
            CHECK(peer_has(&t.p, SECRET));
            CHECK(t.w.heard.received + t.w.heard.received_partial > 0);
            CHECK_INT(t.w.heard.inside_call, 0);
            secret_check();
            finish(&t);
        }
    }
}

/* ------------------------------------------------------------------------------------------------- the others */

struct talk {
    taps_connection *connection;
    unsigned ready, rounds, failed;
};

static void on_ready(taps_connection *c, void *user)
{
    ((struct talk *)user)->ready++;
    taps_connection_send(c, "ping", 4, NULL, 0, NULL);
    taps_connection_receive(c, 1, 100, NULL);
}

static void on_answer(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)m;
    ((struct talk *)user)->rounds++;
    taps_connection_send(c, "ping", 4, NULL, 0, NULL);
    taps_connection_receive(c, 1, 100, NULL);
}

static void on_failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)error;
    ((struct talk *)user)->failed++;
}

static const struct taps_connection_events talk_events = {.ready = on_ready,
                                                          .received = on_answer,
                                                          .received_partial = on_answer,
                                                          .establishment_error = on_failed,
                                                          .connection_error = on_failed};

static void begin_talk(struct talk *talk, taps_context *context, const char *remote,
                       const taps_security_parameters *security)
{
    taps_preconnection *pre = NULL;
    memset(talk, 0, sizeof(*talk));
    taps_preconnection_new(context, &pre);
    NEED(pre != NULL);
    CHECK_INT(taps_preconnection_add_remote_text(pre, remote), 0);
    CHECK_INT(taps_preconnection_set_security_parameters(pre, security), 0);
    CHECK_INT(taps_preconnection_initiate(pre, 60000, &talk_events, talk, &talk->connection), 0);
    taps_preconnection_free(pre);
}

/* proves API-059: both loops go on, a round in ten milliseconds. */
TEST(other_connections_do_not_wait)
{
    if (tapsi_test_sweeping())
        return;
    for (int ends = 1; ends <= 2; ends++) {
        struct test t;
        struct talk talk;
        taps_security_parameters *own, *none;
        begin(&t, "tls1.3", ends & 1, ends & 2);
        taps_security_parameters_new_disabled(&none);
        own = t.p.security;
        t.p.security = none;
        peer_listen(&t.w, &t.p, "192.0.2.1:80");
        t.p.security = own;
        begin_talk(&talk, t.w.context, "192.0.2.1:80", none);
        tell(&t, 20000);
        world_run_ms(&t.w, 1000);
        CHECK_INT(t.w.heard.ready, 0);
        CHECK(talk.rounds >= 90);
        world_run_ms(&t.w, 2000);
        CHECK_INT(t.w.heard.ready, 1);
        CHECK_INT(talk.failed, 0);
        taps_connection_free(talk.connection);
        taps_security_parameters_free(none);
        finish(&t);
    }
}

/* proves API-059: four at once, and the others in order. */
TEST(many_handshakes_share_a_slow_key)
{
    if (tapsi_test_sweeping())
        return;
    struct test t;
    struct talk talks[10];
    begin(&t, "tls1.3", true, false);
    CHECK_INT(taps_security_parameters_set_server_name(t.w.security, SECRET_NAME), 0);
    for (int i = 0; i < 10; i++)
        begin_talk(&talks[i], t.w.context, SECRET_V4, t.w.security);
    for (unsigned seconds = 1; seconds <= 7; seconds += 2) { /* four are done after 2 s, eight after 4 s */
        unsigned ready = 0, expected = seconds / 2 * 4;
        world_run_ms(&t.w, seconds == 1 ? 1000 : 2000);
        for (int i = 0; i < 10; i++)
            ready += talks[i].ready;
        CHECK_INT(ready, expected < 10 ? expected : 10);
    }
    CHECK_INT(t.server.times, 10);
    for (int i = 0; i < 10; i++)
        taps_connection_free(talks[i].connection);
    world_initiate(&t.w, SECRET_V4, 100);
    finish(&t);
}

/* ---------------------------------------------------------------------------------------------------- failures */

/* proves API-059 */
TEST(a_slow_key_that_fails_fails_its_handshake)
{
    for (int i = 0; i < protocol_count(); i++) {
        for (int ends = 1; ends <= 2; ends++) {
            struct test t;
            begin(&t, protocols[i], ends & 1, ends & 2);
            t.server.broken = t.client.broken = true;
            tell(&t, 20000);
            world_run_ms(&t.w, 21000);
            CHECK_INT(t.w.heard.ready, 0);
            CHECK_INT(t.w.heard.establishment_error, 1);
            CHECK_INT(t.p.received, 0);
            CHECK(t.server.times + t.client.times > 0);
            secret_check();
            finish(&t);
        }
    }
}

/* proves API-059, API-061: a key that never answers. A server's handshakes end too. */
TEST(the_deadline_holds_although_a_key_does_not_answer)
{
    for (int i = 0; i < protocol_count(); i++) {
        for (int ends = 1; ends <= 2; ends++) {
            struct test t;
            begin(&t, protocols[i], ends & 1, ends & 2);
            tapsi_sim_aside(t.w.sim, TAPSI_FOREVER);
            tell(&t, 3000);
            world_run_ms(&t.w, 2990);
            CHECK_INT(t.w.heard.total, 0);
            world_run_ms(&t.w, 20);
            CHECK_INT(t.w.heard.ready, 0);
            CHECK_INT(t.w.heard.establishment_error, 1);
            CHECK_INT(t.w.heard.code, TAPS_E_TIMEOUT);
            world_run_ms(&t.w, 70000);
            CHECK(!t.p.context || !t.p.context->loop.fibers_lent);
            CHECK(!t.w.context || !t.w.context->loop.fibers_lent);
            finish(&t);
        }
    }
}

/* The answer comes when nobody waits for it. */
TEST(a_connection_is_ended_while_its_key_is_at_work)
{
    for (int i = 0; i < protocol_count(); i++) {
        for (int way = 0; way < 3; way++) {
            for (int ends = 1; ends <= 2; ends++) {
                struct test t;
                begin(&t, protocols[i], ends & 1, ends & 2);
                tell(&t, 20000);
                world_run_ms(&t.w, 1000);
                if (way == 0)
                    taps_connection_abort(t.w.connection);
                else if (way == 1)
                    taps_connection_close(t.w.connection);
                else
                    taps_connection_free(t.w.connection);
                if (way == 2)
                    t.w.connection = NULL;
                world_run_ms(&t.w, 3000);
                CHECK_INT(t.w.heard.ready, way == 1); /* it is closed when all has been said */
                CHECK_INT(t.p.received, way == 1);
                finish(&t);
            }
        }
    }
}

/* It waits for what is under way, which is over at once then. */
TEST(a_context_is_freed_while_its_key_is_at_work)
{
    for (int i = 0; i < protocol_count(); i++) {
        struct test t;
        begin(&t, protocols[i], true, false);
        tell(&t, 20000);
        world_run_ms(&t.w, 1000);
        finish(&t);
        CHECK_INT(t.server.times, 1);
        begin(&t, protocols[i], false, true);
        tell(&t, 20000);
        world_run_ms(&t.w, 1000);
        finish(&t);
        CHECK_INT(t.client.times, 1);
    }
}

/* The parameters may go first: what runs has what it needs. */
TEST(the_answer_may_outlive_the_parameters)
{
    struct test t;
    begin(&t, "tls1.3", true, false);
    tell(&t, 20000);
    world_run_ms(&t.w, 1000);
    taps_listener_free(t.p.listeners[0]);
    t.p.listener_count = 0;
    world_run_ms(&t.w, 3000);
    CHECK_INT(t.w.heard.ready, 0);
    CHECK_INT(t.server.times, 1);
    finish(&t);
}
