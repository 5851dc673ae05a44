/* What is known about a received Message: where it came from, where it came to, by which interface. */
#include <stdio.h>
#include <string.h>
#include "peer.h"

#define V4 "192.0.2.1:80"

struct seen {
    unsigned count;
    char local[64], remote[64], interface[16];
    int ecn;
    taps_message_context *copy;
    taps_connection *connection;
};

static void look(struct seen *s, const taps_message_context *context)
{
    const taps_endpoint *local = taps_message_context_local(context), *remote = taps_message_context_remote(context);
    s->count++;
    s->local[0] = s->remote[0] = s->interface[0] = 0;
    if (local)
        taps_endpoint_text(local, s->local, sizeof(s->local));
    if (local && taps_endpoint_interface(local))
        snprintf(s->interface, sizeof(s->interface), "%s", taps_endpoint_interface(local));
    if (remote)
        taps_endpoint_text(remote, s->remote, sizeof(s->remote));
    s->ecn = taps_message_context_ecn(context);
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct seen *s = user;
    look(s, m->context);
    if (!s->copy)
        CHECK_INT(taps_message_context_copy(m->context, &s->copy), 0);
    s->connection = c;
    if (!m->final)
        taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static const struct taps_connection_events events = {.received = on_received, .received_partial = on_received};

static void datagrams(struct world *w)
{
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
}

static bool is_port_of(const char *text, const char *host)
{
    size_t length = strlen(host);
    return strncmp(text, host, length) == 0 && text[length] == ':' && strlen(text) > length + 1;
}

static void exchange(struct world *w, struct seen *seen, const char *remote)
{
    memset(seen, 0, sizeof(*seen));
    world_initiate(w, remote, 0);
    world_run_until_ready(w);
    taps_connection_set_events(w->connection, &events, seen);
    CHECK_INT(taps_connection_receive(w->connection, 1, SIZE_MAX, NULL), 0);
    CHECK_INT(taps_connection_send(w->connection, "hello", 5, NULL, 0, NULL), 0);
    world_run_ms(w, 100);
}

/* proves API-125: a Connection that initiated, over a stream and over datagrams, of both families. */
TEST(a_message_tells_its_endpoints_and_interface)
{
    static const struct {
        bool datagrams;
        const char *remote, *local;
    } cases[] = {{false, V4, "192.0.2.2"},
                 {false, "[2001:db8::1]:80", "[2001:db8::2]"},
                 {true, V4, "192.0.2.2"},
                 {true, "[2001:db8::1]:80", "[2001:db8::2]"}};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        struct seen seen;
        world_new(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        tapsi_sim_udp_echo(w.server, 80);
        if (cases[i].datagrams)
            datagrams(&w);
        exchange(&w, &seen, cases[i].remote);
        CHECK_INT(seen.count, 1);
        CHECK_TEXT(seen.remote, cases[i].remote);
        CHECK(is_port_of(seen.local, cases[i].local));
        CHECK_TEXT(seen.interface, "eth0");
        CHECK_INT(seen.ecn, TAPS_E_NOT_APPLICABLE);
        taps_connection_free(w.connection);
        w.connection = NULL;
        look(&seen, seen.copy); /* a copy needs nobody */
        CHECK_TEXT(seen.remote, cases[i].remote);
        CHECK_TEXT(seen.interface, "eth0");
        taps_message_context_free(seen.copy);
        world_finish(&w);
    }
}

/* What was held when the peer ended is told with its endpoints too, though the socket is gone. */
TEST(what_comes_after_the_end_still_tells_where_from)
{
    struct world w;
    struct seen seen = {0};
    world_new(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "abcdef", 6);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    taps_message_context *last;
    taps_message_context_new(&last);
    taps_message_context_set(last, "final", "true");
    taps_connection_receive(w.connection, 1, 2, NULL);
    taps_connection_send(w.connection, "x", 1, last, 0, NULL);
    taps_message_context_free(last);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.length, 2);
    CHECK_INT(taps_connection_state(w.connection), TAPS_ESTABLISHED); /* the rest waits for the reader */
    taps_connection_set_events(w.connection, &events, &seen);
    taps_connection_receive(w.connection, 1, SIZE_MAX, NULL);
    world_run_ms(&w, 100);
    CHECK(seen.count >= 1);
    CHECK_TEXT(seen.remote, V4);
    CHECK(is_port_of(seen.local, "192.0.2.2"));
    taps_message_context_free(seen.copy);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------ a port of many addresses */

static struct seen served[4];
static unsigned served_count;

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    (void)user;
    if (served_count == 4) {
        taps_connection_free(c);
        return;
    }
    served[served_count].connection = c;
    taps_connection_set_events(c, &events, &served[served_count++]);
    taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static const struct taps_listener_events listener_events = {.connection_received = on_connection};

static taps_listener *listen_on(struct world *w, const char *local)
{
    taps_listener *l = NULL;
    memset(served, 0, sizeof(served));
    served_count = 0;
    taps_preconnection_set_transport_properties(w->preconnection, w->properties);
    taps_preconnection_set_security_parameters(w->preconnection, w->security);
    taps_preconnection_add_local_text(w->preconnection, local);
    CHECK_INT(taps_preconnection_listen(w->preconnection, &listener_events, NULL, &l), 0);
    world_run_ms(w, 10);
    return l;
}

static void say(struct tapsi_sim_udp *from, const char *source, const char *destination)
{
    union tapsi_addr a, b;
    CHECK_INT(tapsi_addr_parse(source, &a), 0);
    CHECK_INT(tapsi_addr_parse(destination, &b), 0);
    tapsi_addr_set_port(&b, 80);
    tapsi_sim_udp_reply(from, &a, &b, "hello", 5, 0);
}

static void finish_listening(struct world *w, taps_listener *l)
{
    for (unsigned i = 0; i < served_count; i++) {
        taps_message_context_free(served[i].copy);
        taps_connection_free(served[i].connection);
    }
    taps_listener_free(l);
    world_finish(w);
}

/* proves API-125: one port on every address of the machine: each Message says to which of them it came, and how. */
TEST(datagrams_to_several_addresses_tell_which_it_was)
{
    struct world w;
    world_new(&w);
    world_second_path(&w, "eth1", TAPSI_IF_ETHERNET, "198.51.100.2/24 2001:db8:1::2/64",
                      "198.51.100.1/24 2001:db8:1::1/64");
    tapsi_sim_address_add(w.client_if, "192.0.2.12/24", false, false);
    world_start(&w);
    datagrams(&w);
    taps_listener *l = listen_on(&w, ":80");
    struct tapsi_sim_udp *from = tapsi_sim_udp_echo(w.server, 9);
    say(from, "192.0.2.1", "192.0.2.2");
    say(from, "192.0.2.1", "192.0.2.12");
    say(from, "198.51.100.1", "198.51.100.2");
    say(from, "2001:db8:1::1", "2001:db8:1::2");
    world_run_ms(&w, 100);
    CHECK_INT(served_count, 4);
    static const char *const expected[4][3] = {{"192.0.2.2:80", "192.0.2.1:9", "eth0"},
                                               {"192.0.2.12:80", "192.0.2.1:9", "eth0"},
                                               {"198.51.100.2:80", "198.51.100.1:9", "eth1"},
                                               {"[2001:db8:1::2]:80", "[2001:db8:1::1]:9", "eth1"}};
    for (int i = 0; i < 4; i++) {
        CHECK_INT(served[i].count, 1);
        CHECK_TEXT(served[i].local, expected[i][0]);
        CHECK_TEXT(served[i].remote, expected[i][1]);
        CHECK_TEXT(served[i].interface, expected[i][2]);
        CHECK_TEXT(taps_endpoint_interface(taps_connection_local(served[i].connection)), expected[i][2]);
        CHECK_INT(served[i].ecn, TAPS_E_NOT_APPLICABLE);
    }
    finish_listening(&w, l);
}

/* proves API-125: a stream that was accepted knows its interface by its address; ECN there is nothing of. */
TEST(an_accepted_stream_tells_its_interface)
{
    struct world w;
    struct peer peer;
    taps_preconnection *p;
    taps_connection *client = NULL;
    world_new(&w);
    world_second_path(&w, "eth1", TAPSI_IF_ETHERNET, "198.51.100.2/24", "198.51.100.1/24");
    world_start(&w);
    taps_listener *l = listen_on(&w, ":80");
    peer_new(&w, w.server, &peer);
    taps_preconnection_new(peer.context, &p);
    taps_preconnection_set_security_parameters(p, w.security);
    taps_preconnection_add_remote_text(p, "198.51.100.2:80");
    CHECK_INT(taps_preconnection_initiate(p, 0, NULL, NULL, &client), 0);
    taps_connection_send(client, "hello", 5, NULL, 0, NULL);
    taps_preconnection_free(p);
    world_run_ms(&w, 3000); /* its first interface does not lead here */
    CHECK_INT(served_count, 1);
    CHECK_INT(served[0].count, 1);
    CHECK_TEXT(served[0].local, "198.51.100.2:80");
    CHECK(is_port_of(served[0].remote, "198.51.100.1"));
    CHECK_TEXT(served[0].interface, "eth1");
    CHECK_INT(served[0].ecn, TAPS_E_NOT_APPLICABLE);
    taps_connection_free(client);
    peer_done(&peer);
    finish_listening(&w, l);
}

/* A context that the application made came from nowhere. */
TEST(a_context_of_ones_own_has_no_metadata)
{
    taps_message_context *own, *copy;
    CHECK_INT(taps_message_context_new(&own), 0);
    CHECK_INT(taps_message_context_copy(own, &copy), 0);
    CHECK(taps_message_context_local(own) == NULL && taps_message_context_local(copy) == NULL);
    CHECK(taps_message_context_remote(own) == NULL && taps_message_context_remote(copy) == NULL);
    CHECK_INT(taps_message_context_ecn(own), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_message_context_ecn(NULL), TAPS_E_ARGUMENT);
    CHECK(taps_message_context_local(NULL) == NULL && taps_message_context_remote(NULL) == NULL);
    taps_message_context_free(copy);
    taps_message_context_free(own);
}
