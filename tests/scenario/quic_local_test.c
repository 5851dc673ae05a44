/* QUIC on the kernel's loopback: packets are as large as that takes, once much is sent. */
#include <stdio.h>
#include <string.h>
#include <taps/taps.h>
#include "base/test.h"
#include "stack/secure/test_certificates.h"

#define CHUNK  (64 * 1024)
#define CHUNKS 48
#define SMALL  1200 /* bytes of a packet that every path takes */

struct end {
    taps_connection *connection;
    uint64_t received, largest; /* bytes that came; the largest packet that was ever allowed */
    bool over;
};

static taps_context *context;
static struct end client, server;
static unsigned to_send;
static uint16_t port;
static uint8_t chunk[CHUNK];

static uint64_t segment_size(taps_connection *c)
{
    uint64_t values[TAPS_SEGMENT_SIZE + 1] = {0};
    CHECK(taps_connection_statistics(c, values, TAPS_SEGMENT_SIZE + 1) > 0);
    return values[TAPS_SEGMENT_SIZE];
}

static void receive(taps_connection *c)
{
    taps_connection_receive(c, 1, CHUNK, NULL);
}

static void on_data(taps_connection *c, const struct taps_received *m, void *user)
{
    struct end *e = user;
    for (size_t i = 0; i < m->length; i++)
        if (((const uint8_t *)m->data)[i] != (uint8_t)((e->received + i) % 251 + (e->received + i) / CHUNK % 5))
            tapsi_test_fail(__FILE__, __LINE__, "byte %zu is another", (size_t)e->received + i);
    e->received += m->length;
    receive(c);
}

static void send_next(struct end *e)
{
    static unsigned sent;
    sent = to_send == CHUNKS ? 0 : sent;
    for (size_t i = 0; i < CHUNK; i++)
        chunk[i] = (uint8_t)(((size_t)sent * CHUNK + i) % 251 + sent % 5);
    sent++;
    to_send--;
    CHECK_INT(taps_connection_send(e->connection, chunk, CHUNK, NULL, 0, NULL), 0);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    struct end *e = user;
    (void)tag;
    uint64_t size = segment_size(c);
    e->largest = size > e->largest ? size : e->largest;
    if (to_send)
        send_next(e);
}

static void on_over(taps_connection *c, void *user)
{
    (void)c;
    ((struct end *)user)->over = true;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    tapsi_test_fail(__FILE__, __LINE__, "%s", error->detail);
    on_over(c, user);
}

static void on_ready(taps_connection *c, void *user)
{
    (void)user;
    receive(c);
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .received = on_data,
                                                     .received_partial = on_data,
                                                     .sent = on_sent,
                                                     .closed = on_over,
                                                     .establishment_error = on_error,
                                                     .connection_error = on_error};

static void on_listening(taps_listener *l, void *user)
{
    (void)user;
    port = taps_endpoint_port(taps_listener_local(l, 0));
}

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    (void)user;
    server.connection = c;
    taps_connection_set_events(c, &events, &server);
    receive(c);
}

static const struct taps_listener_events listener_events = {.listening = on_listening,
                                                            .connection_received = on_connection};

static taps_preconnection *prepare(const struct tapsi_test_identity *authority, const struct tapsi_test_identity *own)
{
    taps_preconnection *p;
    taps_security_parameters *s;
    CHECK_INT(taps_preconnection_new(context, &p), 0);
    taps_security_parameters_new(&s);
    taps_security_parameters_allow_protocol(s, TAPS_QUIC_1);
    taps_security_parameters_add_alpn(s, "test");
    if (own)
        taps_security_parameters_add_server_certificate_pem(s, own->certificate, strlen(own->certificate), own->key,
                                                            strlen(own->key));
    else
        taps_security_parameters_add_ca_pem(s, authority->certificate, strlen(authority->certificate));
    CHECK_INT(taps_preconnection_set_security_parameters(p, s), 0);
    taps_security_parameters_free(s);
    return p;
}

static void run_until(const uint64_t *what, uint64_t value)
{
    for (int i = 0; i < 20000 && *what < value; i++)
        taps_context_run_once(context, 10);
    CHECK_INT(*what, value);
}

/* A connection of which both ends have heard: one byte went there. */
static taps_listener *begin(const char *address)
{
    char local[64], remote[64];
    taps_listener *listener;
    struct tapsi_test_identity authority =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "Authority", .authority = true}, NULL);
    struct tapsi_test_identity own = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "server", .names = address, .purpose = TAPSI_TEST_SERVER}, &authority);
    bool six = strchr(address, ':');
    client = server = (struct end){0};
    port = 0;
    CHECK_INT(taps_context_new(NULL, &context), 0);
    taps_preconnection *l = prepare(&authority, &own), *i = prepare(&authority, NULL);
    snprintf(local, sizeof(local), six ? "[%s]:0" : "%s:0", address);
    CHECK_INT(taps_preconnection_add_local_text(l, local), 0);
    CHECK_INT(taps_preconnection_listen(l, &listener_events, NULL, &listener), 0);
    for (int n = 0; n < 100 && !port; n++)
        taps_context_run_once(context, 10);
    snprintf(remote, sizeof(remote), six ? "[%s]:%u" : "%s:%u", address, port);
    CHECK_INT(taps_preconnection_add_remote_text(i, remote), 0);
    CHECK_INT(taps_preconnection_initiate(i, 5000, &events, &client, &client.connection), 0);
    taps_preconnection_free(l);
    taps_preconnection_free(i);
    tapsi_test_identity_free(&authority);
    tapsi_test_identity_free(&own);
    return listener;
}

static void end(taps_listener *listener)
{
    taps_listener_free(listener);
    taps_connection_free(client.connection);
    taps_connection_free(server.connection);
    CHECK_INT(taps_context_free(context), 0);
}

static void send_much(struct end *from, struct end *to)
{
    to_send = CHUNKS;
    send_next(from);
    send_next(from);
    run_until(&to->received, (uint64_t)CHUNKS * CHUNK);
}

static void both_ways(const char *address)
{
    taps_listener *listener = begin(address);
    send_much(&client, &server);
    CHECK(client.largest > 4 * SMALL);
    CHECK_INT(segment_size(server.connection), SMALL); /* it has sent nothing */
    send_much(&server, &client);
    CHECK(server.largest > 4 * SMALL);
    end(listener);
}

TEST(who_sends_much_over_loopback_sends_large_packets)
{
    both_ways("127.0.0.1");
}

TEST(who_sends_much_over_loopback_of_ipv6_sends_large_packets)
{
    both_ways("::1");
}

TEST(who_sends_little_sends_small_packets)
{
    taps_listener *listener = begin("127.0.0.1");
    CHECK_INT(taps_connection_send(client.connection, "\0\1\2", 3, NULL, 0, NULL), 0);
    run_until(&server.received, 3);
    CHECK_INT(segment_size(client.connection), SMALL);
    CHECK_INT(segment_size(server.connection), SMALL);
    end(listener);
}
