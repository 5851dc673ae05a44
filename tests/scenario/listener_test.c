/* Listeners: this library on both hosts, and foreign clients (RFC 9622, 7.2). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "connection/context.h"
#include "scenario.h"

struct server {
    taps_context *context;
    taps_preconnection *preconnection;
    taps_listener *listener;
    taps_connection *connections[64];
    unsigned listening, received, errors, stopped, closed, total;
    int code;
    char detail[300];
    bool echo;
};

static void echo_back(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)user;
    if (m->length)
        taps_connection_send(c, m->data, m->length, NULL, 0, NULL);
    if (m->final)
        taps_connection_close(c);
    else
        taps_connection_receive(c, 1, 65536, NULL);
}

static void server_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct server *)user)->closed++;
}

static void server_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)error;
    server_closed(c, user);
}

static const struct taps_connection_events server_events = {
    .received = echo_back, .received_partial = echo_back, .closed = server_closed, .connection_error = server_error};

static void on_listening(taps_listener *l, void *user)
{
    struct server *s = user;
    (void)l;
    s->listening++;
    s->total++;
}

static void on_received(taps_listener *l, taps_connection *c, void *user)
{
    struct server *s = user;
    (void)l;
    s->total++;
    taps_connection_set_events(c, &server_events, s);
    if (s->echo)
        CHECK_INT(taps_connection_receive(c, 1, 65536, NULL), 0);
    if (s->received < 64)
        s->connections[s->received] = c;
    s->received++;
}

static void on_error(taps_listener *l, const struct taps_error *error, void *user)
{
    struct server *s = user;
    (void)l;
    s->errors++;
    s->total++;
    s->code = error->code;
    snprintf(s->detail, sizeof(s->detail), "%s", error->detail);
}

static void on_stopped(taps_listener *l, void *user)
{
    struct server *s = user;
    (void)l;
    s->stopped++;
    s->total++;
}

static const struct taps_listener_events listener_events = {on_listening, on_received, on_error, on_stopped};

static void server_start(struct world *w, struct server *s)
{
    memset(s, 0, sizeof(*s));
    s->echo = true;
    s->context = world_context(w->sim, w->server, NULL);
    taps_preconnection_new(s->context, &s->preconnection);
    taps_preconnection_set_security_parameters(s->preconnection, w->security);
}

static int server_listen(struct world *w, struct server *s, const char *local)
{
    taps_endpoint *e;
    taps_local_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_text(e, local), 0);
    taps_preconnection_add_local(s->preconnection, e);
    taps_endpoint_free(e);
    taps_preconnection_set_transport_properties(s->preconnection, w->properties);
    return taps_preconnection_listen(s->preconnection, &listener_events, s, &s->listener);
}

static void server_done(struct server *s)
{
    taps_listener_free(s->listener);
    taps_preconnection_free(s->preconnection);
    CHECK_INT(taps_context_free(s->context), 0);
}

/* Lets the server work: the client's loop drives the world. */
static void run(struct world *w, uint64_t ms)
{
    if (!w->context)
        world_start(w);
    world_run_ms(w, ms);
}

/* proves API-063, ARCH-12: Listen, ConnectionReceived, data both ways, Stop, Stopped. */
TEST(listen_accept_echo_stop)
{
    struct world w;
    struct server s;
    world_new(&w);
    server_start(&w, &s);
    CHECK_INT(server_listen(&w, &s, ":80"), 0);
    CHECK_INT(s.total, 0);
    run(&w, 1);
    CHECK_INT(s.listening, 1);
    CHECK_INT(taps_endpoint_port(taps_listener_local(s.listener, 0)), 80);
    CHECK_TEXT(taps_listener_stack(s.listener, 0), "tcp");
    CHECK(taps_listener_local(s.listener, 1) == NULL);
    w.keep_reading = true;
    world_initiate(&w, "192.0.2.1:80", 0);
    taps_connection_receive(w.connection, 1, 65536, NULL);
    taps_connection_send(w.connection, "hello", 5, NULL, 0, NULL);
    run(&w, 100);
    CHECK_INT(s.received, 1);
    CHECK_INT(w.heard.length, 5);
    CHECK_INT(taps_listener_stop(s.listener), 0);
    CHECK_INT(s.stopped, 0);
    taps_connection_send(w.connection, "again", 5, NULL, 0, NULL);
    run(&w, 100);
    CHECK_INT(s.stopped, 1);
    CHECK_INT(w.heard.length, 10); /* accepted Connections go on */
    CHECK_INT(taps_listener_stop(s.listener), TAPS_E_STATE);
    CHECK_INT(taps_connection_close(w.connection), 0);
    run(&w, 200);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(s.closed, 1);
    server_done(&s);
    world_finish(&w);
}

/* proves API-143: the client's Close is the end of data and then Closed at the server. */
TEST(peers_close_is_closed)
{
    struct world w;
    struct server s;
    world_new(&w);
    server_start(&w, &s);
    server_listen(&w, &s, ":80");
    world_initiate(&w, "192.0.2.1:80", 0);
    world_run_until_ready(&w);
    taps_connection_close(w.connection);
    run(&w, 500);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(s.closed, 1);
    server_done(&s);
    world_finish(&w);
}

/* proves API-063: SetNewConnectionLimit counts down, 0 delivers none, raising it delivers those that waited. */
TEST(connection_limit_counts_down_and_can_be_raised)
{
    struct world w;
    struct server s;
    taps_connection *more[3];
    world_new(&w);
    server_start(&w, &s);
    server_listen(&w, &s, ":80");
    CHECK_INT(taps_listener_set_new_connection_limit(s.listener, 1), 0);
    world_initiate(&w, "192.0.2.1:80", 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, NULL, NULL, &more[i]), 0);
    run(&w, 500);
    CHECK_INT(s.received, 1);
    CHECK_INT(taps_listener_set_new_connection_limit(s.listener, 2), 0);
    run(&w, 500);
    CHECK_INT(s.received, 3);
    CHECK_INT(taps_listener_set_new_connection_limit(s.listener, TAPS_INFINITE), 0);
    run(&w, 500);
    CHECK_INT(s.received, 4);
    for (int i = 0; i < 3; i++)
        taps_connection_free(more[i]);
    server_done(&s);
    world_finish(&w);
}

/* proves API-066: a port that is taken, an interface that is not there, a property no stack has, a name unknown. */
TEST(listen_errors)
{
    struct world w;
    struct server s, second;
    world_new(&w);
    server_start(&w, &s);
    server_start(&w, &second);
    CHECK_INT(server_listen(&w, &s, "192.0.2.1:80"), 0);
    run(&w, 1);
    CHECK_INT(server_listen(&w, &second, "192.0.2.1:80"), 0);
    run(&w, 1);
    CHECK_INT(second.errors, 1);
    CHECK_INT(second.code, TAPS_E_ADDRESS_IN_USE);
    CHECK(strstr(second.detail, "192.0.2.1:80") != NULL);
    CHECK_INT(second.listening, 0);
    server_done(&second);
    server_start(&w, &second);
    CHECK_INT(server_listen(&w, &second, "198.51.100.9:80"), 0);
    run(&w, 1);
    CHECK_INT(second.errors, 1);
    server_done(&second);
    server_start(&w, &second);
    CHECK_INT(server_listen(&w, &second, "nosuch.test:80"), 0);
    run(&w, 10000);
    CHECK_INT(second.errors, 1);
    CHECK_INT(second.code, TAPS_E_RESOLUTION);
    server_done(&second);
    server_start(&w, &second);
    taps_transport_properties_set(w.properties, "multistreaming", "require");
    CHECK_INT(server_listen(&w, &second, ":81"), TAPS_E_CONFIGURATION);
    CHECK(strstr(taps_preconnection_error(second.preconnection)->detail, "multistreaming") != NULL);
    server_done(&second);
    server_done(&s);
    world_finish(&w);
}

/* proves API-050: security is the default, and a server without certificate is told so. */
TEST(secure_listener_needs_a_certificate)
{
    struct world w;
    struct server s;
    world_new(&w);
    server_start(&w, &s);
    taps_preconnection_set_security_parameters(s.preconnection, NULL);
    CHECK_INT(server_listen(&w, &s, ":80"), TAPS_E_CONFIGURATION);
    CHECK(strstr(taps_preconnection_error(s.preconnection)->detail, "serverCertificate") != NULL);
    server_done(&s);
    world_finish(&w);
}

/* proves API-063: a Remote Endpoint constrains who is accepted. */
TEST(remote_endpoint_constrains_who_is_accepted)
{
    struct world w;
    struct server s;
    taps_endpoint *friend;
    world_new(&w);
    server_start(&w, &s);
    taps_remote_endpoint_new(&friend);
    taps_endpoint_with_ip_address(friend, "192.0.2.99");
    taps_preconnection_add_remote(s.preconnection, friend);
    taps_endpoint_free(friend);
    server_listen(&w, &s, ":80");
    world_initiate(&w, "192.0.2.1:80", 0);
    run(&w, 500);
    CHECK_INT(s.received, 0);
    CHECK_INT(taps_listener_dropped(s.listener), 1);
    server_done(&s);
    world_finish(&w);
}

/* One datagram server: the first datagram of a new peer makes the Connection, the four-tuple finds it again. */
/* proves API-065 */
TEST(first_datagram_of_a_peer_makes_the_connection)
{
    struct world w;
    struct server s;
    taps_connection *other;
    world_new(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
    server_start(&w, &s);
    CHECK_INT(server_listen(&w, &s, ":9000"), 0);
    run(&w, 1);
    CHECK_TEXT(taps_listener_stack(s.listener, 0), "udp");
    w.keep_reading = true;
    world_initiate(&w, "192.0.2.1:9000", 0);
    taps_connection_receive(w.connection, 1, 65536, NULL);
    run(&w, 100);
    CHECK_INT(s.received, 0); /* Ready, but no packet yet */
    taps_connection_send(w.connection, "one", 3, NULL, 0, NULL);
    run(&w, 100);
    taps_connection_send(w.connection, "two", 3, NULL, 0, NULL);
    run(&w, 100);
    CHECK_INT(s.received, 1);
    CHECK_INT(w.heard.received, 2);
    CHECK_INT(w.heard.length, 6);
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, NULL, NULL, &other), 0);
    taps_connection_send(other, "x", 1, NULL, 0, NULL);
    run(&w, 100);
    CHECK_INT(s.received, 2);
    taps_connection_free(other);
    server_done(&s);
    world_finish(&w);
}

/* One ephemeral port serves all stacks. */
TEST(all_stacks_share_an_ephemeral_port)
{
    struct world w;
    struct server s;
    world_new(&w);
    taps_transport_properties_set(w.properties, "reliability", "no preference");
    taps_transport_properties_set(w.properties, "preserveOrder", "no preference");
    taps_transport_properties_set(w.properties, "congestionControl", "no preference");
    taps_transport_properties_set(w.properties, "safelyReplayable", "true");
    server_start(&w, &s);
    CHECK_INT(server_listen(&w, &s, ":0"), 0);
    run(&w, 1);
    CHECK_INT(s.listening, 1);
    NEED(taps_listener_local(s.listener, 1) != NULL);
    CHECK(taps_endpoint_port(taps_listener_local(s.listener, 0)) != 0);
    CHECK_INT(taps_endpoint_port(taps_listener_local(s.listener, 0)),
              taps_endpoint_port(taps_listener_local(s.listener, 1)));
    server_done(&s);
    world_finish(&w);
}

/* So many clients, of which each says something. The property of Listeners means nothing to them. */
static void meet(struct world *w, const char *remote, unsigned count)
{
    taps_connection *c[64];
    char text[8];
    taps_transport_properties_set(w->properties, "_taps.reusePort", "true");
    world_initiate(w, remote, 0);
    CHECK(taps_connection_get_property(w->connection, "_taps.reusePort", text, sizeof(text)) > 0);
    CHECK_TEXT(text, "true");
    CHECK_INT(taps_connection_set_property(w->connection, "_taps.reusePort", "false"), TAPS_E_READ_ONLY);
    taps_connection_send(w->connection, "x", 1, NULL, 0, NULL);
    for (unsigned i = 1; i < count; i++) {
        CHECK_INT(taps_preconnection_initiate(w->preconnection, 0, NULL, NULL, &c[i]), 0);
        taps_connection_send(c[i], "x", 1, NULL, 0, NULL);
    }
    run(w, 1000);
    CHECK_INT(w->heard.ready, 1);
    for (unsigned i = 1; i < count; i++)
        taps_connection_free(c[i]);
}

static void share_a_port(struct world *w)
{
    struct server s[3];
    for (int i = 0; i < 3; i++)
        server_start(w, &s[i]);
    taps_transport_properties_set(w->properties, "_taps.reusePort", "true");
    CHECK_INT(server_listen(w, &s[0], ":80"), 0);
    CHECK_INT(server_listen(w, &s[1], ":80"), 0);
    run(w, 1);
    taps_transport_properties_set(w->properties, "_taps.reusePort", "false");
    CHECK_INT(server_listen(w, &s[2], ":80"), 0);
    run(w, 1);
    CHECK_INT(s[0].listening, 1);
    CHECK_INT(s[1].listening, 1);
    CHECK_INT(s[2].errors, 1); /* who does not share gets none of it */
    CHECK_INT(s[2].code, TAPS_E_ADDRESS_IN_USE);
    meet(w, "192.0.2.1:80", 40);
    CHECK_INT(s[0].received + s[1].received, 40);
    CHECK_INT(s[2].received, 0);
    CHECK(s[0].received >= 8);
    CHECK(s[1].received >= 8);
    for (int i = 0; i < 3; i++)
        server_done(&s[i]);
}

/* Two contexts listen on one port, and both get peers; without the property the second is told that it is taken. */
/* proves API-066 */
TEST(listeners_may_share_a_port)
{
    struct world w;
    world_new(&w);
    share_a_port(&w);
    world_finish(&w);
}

TEST(datagram_listeners_may_share_a_port)
{
    struct world w;
    world_new(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
    share_a_port(&w);
    world_finish(&w);
}

/* proves API-019: an interface that is prohibited is not listened on, whatever the address. */
TEST(listener_stays_off_prohibited_interfaces)
{
    struct world w;
    struct server s;
    world_new(&w);
    taps_transport_properties_set(w.properties, "interface", "prohibit ethernet");
    server_start(&w, &s);
    CHECK_INT(server_listen(&w, &s, ":80"), 0);
    taps_transport_properties_set(w.properties, "interface", "");
    world_initiate(&w, "192.0.2.1:80", 0);
    world_run_until_end(&w);
    CHECK_INT(s.listening, 1);
    CHECK_TEXT(taps_endpoint_interface(taps_listener_local(s.listener, 0)), "lo");
    CHECK(taps_listener_local(s.listener, 1) == NULL);
    CHECK_INT(s.received, 0);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    server_done(&s);
    world_finish(&w);
}

/* proves API-019, API-066: an address of an interface that the properties rule out cannot be listened on. */
TEST(listener_refuses_an_address_of_a_prohibited_interface)
{
    struct world w;
    struct server s;
    world_new(&w);
    taps_transport_properties_set(w.properties, "interface", "prohibit eth0");
    server_start(&w, &s);
    CHECK_INT(server_listen(&w, &s, "192.0.2.1:80"), 0);
    run(&w, 1);
    CHECK_INT(s.errors, 1);
    CHECK_INT(s.code, TAPS_E_NO_CANDIDATES);
    server_done(&s);
    world_finish(&w);
}

/* Freed with Connections not delivered, in the middle of everything. */
TEST(free_listener_with_connections_waiting)
{
    struct world w;
    struct server s;
    world_new(&w);
    server_start(&w, &s);
    server_listen(&w, &s, ":80");
    taps_listener_set_new_connection_limit(s.listener, 0);
    world_initiate(&w, "192.0.2.1:80", 0);
    run(&w, 100);
    CHECK_INT(s.received, 0);
    taps_listener_free(s.listener);
    s.listener = NULL;
    run(&w, 500);
    server_done(&s);
    world_finish(&w);
}
