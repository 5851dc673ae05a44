/* One port for all stacks of a Listener, over TCP and over UDP. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "connection/context.h"
#include "peer.h"
#include "stack/registry.h"

#define ALPN "test/1" /* any transport may carry it */

static void serve(struct world *w, struct peer *p, const char *local)
{
    struct tapsi_test_identity identity = peer_certificate("192.0.2.1", NULL, NULL);
    peer_new(w, w->server, p);
    peer_secure(p, &identity);
    tapsi_test_identity_free(&identity);
    CHECK_INT(taps_security_parameters_add_alpn(p->security, ALPN), 0);
    p->echo = true;
    peer_listen(w, p, local);
}

static unsigned number_of(const struct peer *p, unsigned i)
{
    const taps_endpoint *local = taps_listener_local(p->listeners[0], i);
    return local ? taps_endpoint_port(local) : 0;
}

/* A client that may use only this protocol says something and has it back. */
static void talk(struct world *w, const struct peer *p, const char *protocol, const char *stack)
{
    taps_preconnection *pre;
    taps_connection *c;
    taps_endpoint *remote;
    unsigned before = p->received;
    taps_remote_endpoint_new(&remote);
    CHECK_INT(taps_endpoint_with_ip_address(remote, "192.0.2.1"), 0);
    CHECK_INT(taps_endpoint_with_port(remote, (uint16_t)number_of(p, 0)), 0);
    CHECK_INT(taps_endpoint_with_protocol(remote, protocol), 0);
    taps_preconnection_new(w->context, &pre);
    taps_preconnection_add_remote(pre, remote);
    taps_endpoint_free(remote);
    taps_preconnection_set_transport_properties(pre, w->properties);
    taps_preconnection_set_security_parameters(pre, w->security);
    CHECK_INT(taps_preconnection_initiate(pre, 0, NULL, NULL, &c), 0);
    taps_connection_send(c, "hello", 5, NULL, 0, NULL);
    world_run_ms(w, 1000);
    CHECK_INT(p->received, before + 1);
    CHECK_TEXT(taps_connection_stack(c), stack);
    CHECK(peer_has(p, "hello"));
    taps_connection_free(c);
    taps_preconnection_free(pre);
    world_run_ms(w, 100);
}

static void setup(struct world *w)
{
    world_new(w);
    world_secure(w);
    CHECK_INT(taps_security_parameters_add_alpn(w->security, ALPN), 0);
}

TEST(tls_and_quic_are_at_one_number)
{
    struct world w;
    struct peer p;
    setup(&w);
    serve(&w, &p, ":0");
    CHECK_INT(tapsi_sim_host_sockets(w.server), 2);
    CHECK(number_of(&p, 0) != 0);
    CHECK_INT(number_of(&p, 1), number_of(&p, 0));
    CHECK_INT(number_of(&p, 2), 0);
    talk(&w, &p, "tls", "tls/tcp");
    talk(&w, &p, "quic", "quic");
    peer_done(&p);
    world_finish(&w);
}

/* Datagrams and streams: all that is secure, of each transport. The classes of RFC 9443 tell them apart. */
TEST(every_secure_stack_is_at_one_number)
{
    struct world w;
    struct peer p;
    size_t rows;
    const struct tapsi_stack_row *registry = tapsi_registry(&rows);
    setup(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new(&w.properties);
    taps_transport_properties_set(w.properties, "reliability", "no preference");
    taps_transport_properties_set(w.properties, "preserveOrder", "no preference");
    taps_transport_properties_set(w.properties, "congestionControl", "no preference");
    serve(&w, &p, ":0");
    CHECK_INT(tapsi_sim_host_sockets(w.server), 2);
    for (unsigned i = 1; number_of(&p, i); i++)
        CHECK_INT(number_of(&p, i), number_of(&p, 0));
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < rows; i++) {
            size_t top = 0;
            while (top + 1 < TAPSI_STACK_LAYERS && registry[i].protos[top + 1])
                top++;
            if (registry[i].offer.secure && registry[i].offer.can_listen)
                talk(&w, &p, registry[i].protos[top]->name, registry[i].offer.stack);
        }
    }
    peer_done(&p);
    world_finish(&w);
}

struct outcome {
    unsigned listening, errors;
    int code;
};

static void on_listening(taps_listener *l, void *user)
{
    (void)l;
    ((struct outcome *)user)->listening++;
}

static void on_error(taps_listener *l, const struct taps_error *error, void *user)
{
    struct outcome *t = user;
    (void)l;
    t->errors++;
    t->code = error->code;
}

static const struct taps_listener_events try_events = {.listening = on_listening, .establishment_error = on_error};

/* A Listener of the peer's context: what came of it. */
static taps_listener *try_to_listen(struct world *w, struct peer *p, const char *local, struct outcome *t)
{
    taps_preconnection *pre;
    taps_listener *l = NULL;
    *t = (struct outcome){0};
    taps_preconnection_new(p->context, &pre);
    taps_preconnection_add_local_text(pre, local);
    taps_preconnection_set_security_parameters(pre, p->security);
    taps_preconnection_set_transport_properties(pre, w->properties);
    int err = taps_preconnection_listen(pre, &try_events, t, &l);
    if (err)
        *t = (struct outcome){.errors = 1, .code = err};
    taps_preconnection_free(pre);
    world_run_ms(w, 1);
    return l;
}

/* proves API-066: UDP's number is taken, and so TCP's is given back */
TEST(a_number_that_udp_does_not_have_is_an_error)
{
    struct world w;
    struct peer p;
    struct outcome t;
    setup(&w);
    struct tapsi_sim_udp *other = tapsi_sim_udp_echo(w.server, 4433);
    CHECK(other != NULL);
    serve(&w, &p, ":443");
    CHECK_INT(tapsi_sim_host_sockets(w.server), 2);
    taps_listener *l = try_to_listen(&w, &p, ":4433", &t);
    CHECK_INT(t.listening, 0);
    CHECK_INT(t.errors, 1);
    CHECK_INT(t.code, TAPS_E_ADDRESS_IN_USE);
    CHECK_INT(tapsi_sim_host_sockets(w.server), 2);
    taps_listener_free(l);
    taps_listener *again = try_to_listen(&w, &p, ":443", &t); /* a Listener shares with itself alone */
    CHECK_INT(t.code, TAPS_E_ADDRESS_IN_USE);
    taps_listener_free(again);
    peer_done(&p);
    world_finish(&w);
}

/* Whichever socket is refused the number: others are tried, the same for both. */
TEST(a_clash_is_tried_again_with_another_number)
{
    unsigned listened = 0;
    for (uint64_t nth = 1; nth < 30; nth++) {
        struct world w;
        struct peer p;
        struct outcome t;
        setup(&w);
        serve(&w, &p, ":443");
        tapsi_sim_host_fail_call(w.server, nth, EADDRINUSE);
        taps_listener *l = try_to_listen(&w, &p, ":0", &t);
        CHECK_INT(t.listening + t.errors, 1);
        CHECK_INT(tapsi_sim_host_sockets(w.server), t.listening ? 4 : 2);
        listened += t.listening;
        if (t.listening)
            CHECK_INT(taps_endpoint_port(taps_listener_local(l, 0)), taps_endpoint_port(taps_listener_local(l, 1)));
        taps_listener_free(l);
        peer_done(&p);
        world_finish(&w);
    }
    CHECK(listened >= 20);
}

/* Says something over plain UDP, which no server hears. */
static void say_in_clear(struct world *w, const struct peer *p)
{
    taps_preconnection *pre;
    taps_connection *c;
    taps_security_parameters *none;
    unsigned before = p->received;
    taps_preconnection_new(w->context, &pre);
    taps_preconnection_add_remote_text(pre, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(pre, w->properties);
    taps_security_parameters_new_disabled(&none);
    taps_preconnection_set_security_parameters(pre, none);
    CHECK_INT(taps_preconnection_initiate(pre, 0, NULL, NULL, &c), 0);
    taps_connection_send(c, "\x80 is of no class", 16, NULL, 0, NULL);
    world_run_ms(w, 100);
    CHECK_TEXT(taps_connection_stack(c), "udp");
    CHECK_INT(p->received, before);
    taps_connection_free(c);
    taps_security_parameters_free(none);
    taps_preconnection_free(pre);
}

/* Any first byte may come in clear, so plain UDP would have half of its datagrams taken away. */
TEST(plain_udp_gives_way_to_what_is_secure)
{
    struct world w;
    struct peer p;
    struct tapsi_test_identity identity = peer_certificate("192.0.2.1", NULL, NULL);
    setup(&w);
    peer_new(&w, w.server, &p);
    taps_security_parameters_free(p.security);
    taps_security_parameters_new_opportunistic(&p.security);
    taps_security_parameters_add_server_certificate_pem(p.security, identity.certificate, strlen(identity.certificate),
                                                        identity.key, strlen(identity.key));
    taps_security_parameters_add_alpn(p.security, ALPN);
    tapsi_test_identity_free(&identity);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new(&w.properties);
    taps_transport_properties_set(w.properties, "reliability", "no preference");
    taps_transport_properties_set(w.properties, "preserveOrder", "no preference");
    taps_transport_properties_set(w.properties, "congestionControl", "no preference");
    taps_transport_properties_set(w.properties, "safelyReplayable", "true");
    peer_listen(&w, &p, ":443");
    CHECK_INT(tapsi_sim_host_sockets(w.server), 2); /* TLS; and QUIC's */
    taps_transport_properties_set(w.properties, "reliability", "prohibit");
    say_in_clear(&w, &p);
    peer_done(&p);
    world_finish(&w);
}
