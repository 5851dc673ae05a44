/*
 * Slow private keys on the kernel's network and real threads. Nobody's luck is needed: a key answers when it is let,
 * and what is awaited is counted.
 */
#include <gnutls/abstract.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <taps/taps.h>
#include "base/test.h"
#include "stack/secure/test_certificates.h"

#define MANY 12

struct hardware {
    gnutls_privkey_t key;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t loop;
    int inside, most, may_pass; /* guarded by `lock`, like what follows */
    int times, on_the_loop;
};

static int sign(const struct taps_challenge *challenge, void *signature, size_t *ret_length, void *user)
{
    struct hardware *h = user;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)challenge->data, (unsigned)challenge->length}, made = {NULL, 0};
    pthread_mutex_lock(&h->lock);
    h->times++;
    h->on_the_loop += pthread_equal(pthread_self(), h->loop) != 0;
    h->inside++;
    h->most = h->inside > h->most ? h->inside : h->most;
    pthread_cond_broadcast(&h->changed);
    while (h->may_pass == 0)
        pthread_cond_wait(&h->changed, &h->lock);
    h->may_pass--;
    h->inside--;
    pthread_mutex_unlock(&h->lock);
    if (gnutls_privkey_sign_hash2(h->key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &made) < 0)
        return -1;
    memcpy(signature, made.data, made.size);
    *ret_length = made.size;
    gnutls_free(made.data);
    return 0;
}

static void let_pass(struct hardware *h, int count)
{
    pthread_mutex_lock(&h->lock);
    h->may_pass += count;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static int look(struct hardware *h, const int *what)
{
    pthread_mutex_lock(&h->lock);
    int value = *what;
    pthread_mutex_unlock(&h->lock);
    return value;
}

/* Both ends are on one context: one loop, one thread. */
struct test {
    taps_context *context;
    taps_listener *slow, *plain;
    taps_security_parameters *client, *server, *none;
    uint16_t slow_port, plain_port;
    taps_connection *connections[MANY], *accepted[MANY + 1];
    unsigned accepted_count, ready, rounds, failed;
    struct hardware hardware;
    pthread_t helper;
    bool helped;
};

static void on_ready(taps_connection *c, void *user)
{
    ((struct test *)user)->ready++;
    taps_connection_send(c, "ping", 4, NULL, 0, NULL);
    taps_connection_receive(c, 1, 100, NULL);
}

static void on_answer(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)m;
    ((struct test *)user)->rounds++;
    taps_connection_send(c, "ping", 4, NULL, 0, NULL);
    taps_connection_receive(c, 1, 100, NULL);
}

static void on_failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)error;
    ((struct test *)user)->failed++;
}

static const struct taps_connection_events client_events = {.ready = on_ready,
                                                            .received = on_answer,
                                                            .received_partial = on_answer,
                                                            .establishment_error = on_failed,
                                                            .connection_error = on_failed};

static void on_request(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)user;
    taps_connection_send(c, m->data, m->length, NULL, 0, NULL);
    taps_connection_receive(c, 1, 100, NULL);
}

static const struct taps_connection_events server_events = {.received = on_request, .received_partial = on_request};

static void on_accepted(taps_listener *l, taps_connection *c, void *user)
{
    struct test *t = user;
    (void)l;
    if (t->accepted_count <= MANY)
        t->accepted[t->accepted_count++] = c;
    taps_connection_set_events(c, &server_events, t);
    taps_connection_receive(c, 1, 100, NULL);
}

static void on_listening(taps_listener *l, void *user)
{
    struct test *t = user;
    *(l == t->slow ? &t->slow_port : &t->plain_port) = taps_endpoint_port(taps_listener_local(l, 0));
}

static const struct taps_listener_events listener_events = {.listening = on_listening,
                                                            .connection_received = on_accepted};

static void listen_on(struct test *t, const taps_security_parameters *security, taps_listener **ret)
{
    taps_preconnection *pre;
    taps_preconnection_new(t->context, &pre);
    CHECK_INT(taps_preconnection_add_local_text(pre, "127.0.0.1:0"), 0);
    CHECK_INT(taps_preconnection_set_security_parameters(pre, security), 0);
    CHECK_INT(taps_preconnection_listen(pre, &listener_events, t, ret), 0);
    taps_preconnection_free(pre);
}

static void allow(taps_security_parameters *s, const char *protocol)
{
    CHECK_INT(taps_security_parameters_set(s, "allowedSecurityProtocols", protocol), 0);
    CHECK_INT(taps_security_parameters_add_alpn(s, "taps-test"), 0);
}

static void begin(struct test *t, const char *protocol)
{
    struct tapsi_test_identity authority =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "a", .authority = true}, NULL);
    struct tapsi_test_identity own = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "s", .names = "127.0.0.1", .purpose = TAPSI_TEST_SERVER}, &authority);
    gnutls_datum_t pem = {(unsigned char *)own.key, (unsigned)strlen(own.key)};
    memset(t, 0, sizeof(*t));
    pthread_mutex_init(&t->hardware.lock, NULL);
    pthread_cond_init(&t->hardware.changed, NULL);
    t->hardware.loop = pthread_self();
    CHECK(gnutls_privkey_init(&t->hardware.key) >= 0);
    CHECK(gnutls_privkey_import_x509_raw(t->hardware.key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0);
    CHECK_INT(taps_context_new(NULL, &t->context), 0);
    taps_security_parameters_new(&t->client);
    taps_security_parameters_new(&t->server);
    taps_security_parameters_new_disabled(&t->none);
    allow(t->client, protocol);
    allow(t->server, protocol);
    CHECK_INT(taps_security_parameters_add_ca_pem(t->client, authority.certificate, strlen(authority.certificate)), 0);
    CHECK_INT(taps_security_parameters_add_server_slow_signer(t->server, own.certificate, strlen(own.certificate), sign,
                                                              &t->hardware),
              0);
    listen_on(t, t->server, &t->slow);
    listen_on(t, t->none, &t->plain);
    while (!t->slow_port || !t->plain_port)
        taps_context_run_once(t->context, 100);
    tapsi_test_identity_free(&own);
    tapsi_test_identity_free(&authority);
}

static void end(struct test *t)
{
    for (unsigned i = 0; i < MANY; i++)
        taps_connection_free(t->connections[i]);
    for (unsigned i = 0; i < t->accepted_count; i++)
        taps_connection_free(t->accepted[i]);
    taps_listener_free(t->slow);
    taps_listener_free(t->plain);
    CHECK_INT(taps_context_free(t->context), 0);
    if (t->helped)
        pthread_join(t->helper, NULL);
    CHECK_INT(t->hardware.inside, 0); /* nobody is in it any more: it may go */
    CHECK_INT(t->hardware.on_the_loop, 0);
    taps_security_parameters_free(t->client);
    taps_security_parameters_free(t->server);
    taps_security_parameters_free(t->none);
    gnutls_privkey_deinit(t->hardware.key);
    pthread_cond_destroy(&t->hardware.changed);
    pthread_mutex_destroy(&t->hardware.lock);
}

static void connect_to(struct test *t, unsigned which, uint16_t port)
{
    taps_preconnection *pre;
    taps_endpoint *e;
    taps_preconnection_new(t->context, &pre);
    taps_remote_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_text(e, "127.0.0.1"), 0);
    CHECK_INT(taps_endpoint_with_port(e, port), 0);
    CHECK_INT(taps_preconnection_add_remote(pre, e), 0);
    taps_endpoint_free(e);
    CHECK_INT(taps_preconnection_set_security_parameters(pre, port == t->slow_port ? t->client : t->none), 0);
    CHECK_INT(taps_preconnection_initiate(pre, 60000, &client_events, t, &t->connections[which]), 0);
    taps_preconnection_free(pre);
}

static void the_loop_goes_on_while_a_key_is_at_work_with(const char *protocol)
{
    struct test t;
    begin(&t, protocol);
    connect_to(&t, 0, t.slow_port);
    while (look(&t.hardware, &t.hardware.inside) == 0)
        taps_context_run_once(t.context, 10);
    connect_to(&t, 1, t.plain_port);
    while (t.rounds < 100)
        taps_context_run_once(t.context, 100);
    CHECK_INT(t.ready, 1);
    let_pass(&t.hardware, 1);
    while (t.ready < 2 && !t.failed)
        taps_context_run_once(t.context, 100);
    CHECK_INT(t.failed, 0);
    CHECK_INT(t.hardware.times, 1);
    end(&t);
}

/* proves API-059: the key answers only when the other Connection has come round a hundred times. */
TEST(the_loop_goes_on_while_a_key_is_at_work)
{
    the_loop_goes_on_while_a_key_is_at_work_with("tls1.3");
    the_loop_goes_on_while_a_key_is_at_work_with("quic1");
}

static void many_handshakes_ask_a_few_at_a_time_with(const char *protocol)
{
    struct test t;
    begin(&t, protocol);
    for (unsigned i = 0; i < MANY; i++)
        connect_to(&t, i, t.slow_port);
    while (look(&t.hardware, &t.hardware.inside) < 4)
        taps_context_run_once(t.context, 10);
    let_pass(&t.hardware, MANY);
    while (t.ready < MANY && !t.failed)
        taps_context_run_once(t.context, 100);
    CHECK_INT(t.failed, 0);
    CHECK_INT(look(&t.hardware, &t.hardware.most), 4);
    CHECK_INT(look(&t.hardware, &t.hardware.times), MANY);
    end(&t);
}

/* proves API-059: four at once, and all are served. */
TEST(many_handshakes_ask_a_few_at_a_time)
{
    many_handshakes_ask_a_few_at_a_time_with("tls1.3");
    many_handshakes_ask_a_few_at_a_time_with("quic1");
}

static void *let_one_pass(void *arg)
{
    let_pass(arg, 1);
    return NULL;
}

static void freeing_the_context_waits_for_a_key_at_work_with(const char *protocol)
{
    struct test t;
    begin(&t, protocol);
    connect_to(&t, 0, t.slow_port);
    while (look(&t.hardware, &t.hardware.inside) == 0)
        taps_context_run_once(t.context, 10);
    t.helped = pthread_create(&t.helper, NULL, let_one_pass, &t.hardware) == 0;
    NEED(t.helped);
    end(&t);
    CHECK_INT(t.hardware.times, 1);
    CHECK_INT(t.ready, 0);
}

/* The others have not begun, and do not begin any more. */
TEST(freeing_the_context_waits_for_a_key_at_work)
{
    freeing_the_context_waits_for_a_key_at_work_with("tls1.3");
    freeing_the_context_waits_for_a_key_at_work_with("quic1");
}

static void a_connection_ends_while_a_key_is_at_work_with(const char *protocol)
{
    struct test t;
    begin(&t, protocol);
    connect_to(&t, 0, t.slow_port);
    while (look(&t.hardware, &t.hardware.inside) == 0)
        taps_context_run_once(t.context, 10);
    taps_connection_abort(t.connections[0]);
    while (!t.failed)
        taps_context_run_once(t.context, 100);
    let_pass(&t.hardware, 1);
    connect_to(&t, 1, t.slow_port);
    let_pass(&t.hardware, 1);
    while (t.ready < 1)
        taps_context_run_once(t.context, 100);
    CHECK_INT(look(&t.hardware, &t.hardware.times), 2);
    end(&t);
}

/* Its answer is for nobody; the next handshake is served. */
TEST(a_connection_ends_while_a_key_is_at_work)
{
    a_connection_ends_while_a_key_is_at_work_with("tls1.3");
    a_connection_ends_while_a_key_is_at_work_with("quic1");
}
