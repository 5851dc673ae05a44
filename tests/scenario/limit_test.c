/* SetNewConnectionLimit: counted down, at nothing, raised, and without end, over every stack that listens. */
#include <string.h>
#include "peer.h"

enum kind { TCP, TLS, UDP, KINDS, QUIC = KINDS };

#define CLIENTS 6

/* A Listener in a context of its own, and clients of it. */
struct limits {
    struct world w;
    struct peer peer;
    struct tapsi_test_identity identity;
    enum kind kind;
    taps_connection *clients[CLIENTS];
    unsigned count, ready;
};

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct limits *)user)->ready++;
}

static const struct taps_connection_events events = {.ready = on_ready};

static void limits_new(struct limits *l, enum kind kind)
{
    memset(l, 0, sizeof(*l));
    l->kind = kind;
    world_new(&l->w);
    if (kind == UDP) {
        taps_transport_properties_free(l->w.properties);
        taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &l->w.properties);
    }
    peer_new(&l->w, l->w.server, &l->peer);
    if (kind == TLS || kind == QUIC) {
        l->identity = peer_certificate("192.0.2.1", NULL, NULL);
        world_secure(&l->w);
        peer_secure(&l->peer, &l->identity);
    }
    if (kind == QUIC) { /* an ALPN protocol that is there over QUIC alone */
        CHECK_INT(taps_security_parameters_add_alpn(l->w.security, "doq"), 0);
        CHECK_INT(taps_security_parameters_add_alpn(l->peer.security, "doq"), 0);
    }
    peer_listen(&l->w, &l->peer, "192.0.2.1:80");
    taps_preconnection_add_remote_text(l->w.preconnection, "192.0.2.1:80");
    taps_preconnection_set_transport_properties(l->w.preconnection, l->w.properties);
    taps_preconnection_set_security_parameters(l->w.preconnection, l->w.security);
}

static void set_limit(struct limits *l, uint64_t limit)
{
    CHECK_INT(taps_listener_set_new_connection_limit(l->peer.listeners[0], limit), 0);
}

/* A datagram makes the Connection; a stream is one without it. */
static void say_hello(struct limits *l, unsigned i)
{
    CHECK_INT(taps_connection_send(l->clients[i], "hello", 5, NULL, 0, NULL), 0);
}

static void come(struct limits *l, unsigned clients)
{
    while (clients--) {
        unsigned i = l->count++;
        CHECK_INT(taps_preconnection_initiate(l->w.preconnection, 0, &events, l, &l->clients[i]), 0);
        say_hello(l, i);
    }
    world_run_ms(&l->w, 200);
}

/* Datagrams of strangers were ignored: those who still want something say so again. */
static void come_again(struct limits *l)
{
    for (unsigned i = 0; l->kind == UDP && i < l->count; i++) {
        if (taps_connection_state(l->clients[i]) == TAPS_ESTABLISHED)
            say_hello(l, i);
    }
    world_run_ms(&l->w, 3000);
}

static void limits_done(struct limits *l)
{
    for (unsigned i = 0; i < l->count; i++)
        taps_connection_free(l->clients[i]);
    peer_done(&l->peer);
    if (l->kind == TLS || l->kind == QUIC)
        tapsi_test_identity_free(&l->identity);
    world_finish(&l->w);
}

/* proves API-064: a limit of two delivers two, whoever else comes; raised by one, one more; infinite, the rest. */
TEST(a_limit_counts_down_and_can_be_raised_over_every_stack)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct limits l;
        limits_new(&l, kind);
        set_limit(&l, 2);
        come(&l, 5);
        CHECK_INT(l.peer.received, 2);
        come_again(&l);
        CHECK_INT(l.peer.received, 2);
        set_limit(&l, 1);
        come_again(&l);
        CHECK_INT(l.peer.received, 3);
        set_limit(&l, TAPS_INFINITE);
        come_again(&l);
        CHECK_INT(l.peer.received, 5);
        come(&l, 1);
        CHECK_INT(l.peer.received, 6);
        limits_done(&l);
    }
}

/* proves API-064: zero delivers none, and says nothing to anybody: over TLS no handshake is even begun. */
TEST(a_limit_of_zero_delivers_none)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct limits l;
        limits_new(&l, kind);
        set_limit(&l, 0);
        come(&l, 3);
        come_again(&l);
        CHECK_INT(l.peer.received, 0);
        CHECK_INT(l.peer.length, 0);
        CHECK_INT(l.ready, kind == TLS ? 0 : 3); /* TCP's wait in the backlog, and UDP asks nobody */
        CHECK_INT(taps_listener_dropped(l.peer.listeners[0]), 0);
        limits_done(&l);
    }
}

/* Lowered to nothing while handshakes are under way: those are not delivered until it is raised. */
TEST(a_limit_lowered_in_the_middle_holds_for_handshakes_under_way)
{
    struct limits l;
    limits_new(&l, TLS);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(taps_preconnection_initiate(l.w.preconnection, 0, &events, &l, &l.clients[l.count++]), 0);
    world_run_ms(&l.w, 12); /* TCP is there, TLS is not */
    CHECK_INT(l.peer.received, 0);
    set_limit(&l, 0);
    world_run_ms(&l.w, 2000);
    CHECK_INT(l.peer.received, 0);
    set_limit(&l, 1);
    world_run_ms(&l.w, 2000);
    CHECK_INT(l.peer.received, 1);
    set_limit(&l, TAPS_INFINITE);
    world_run_ms(&l.w, 2000);
    CHECK_INT(l.peer.received, 3);
    limits_done(&l);
}

/* One that closed before it was delivered has not used the limit up; one that was delivered has, though it is gone. */
TEST(what_was_delivered_is_counted_once_and_for_all)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct limits l;
        limits_new(&l, kind);
        set_limit(&l, 1);
        come(&l, 1);
        CHECK_INT(l.peer.received, 1);
        taps_connection_free(l.peer.last);
        taps_connection_abort(l.clients[0]);
        come(&l, 1);
        CHECK_INT(l.peer.received, 1);
        set_limit(&l, 1);
        come_again(&l);
        CHECK_INT(l.peer.received, 2);
        limits_done(&l);
    }
}

TEST(a_listener_that_is_over_takes_no_limit)
{
    struct limits l;
    limits_new(&l, TCP);
    CHECK_INT(taps_listener_stop(l.peer.listeners[0]), 0);
    CHECK_INT(taps_listener_set_new_connection_limit(l.peer.listeners[0], 5), TAPS_E_STATE);
    world_run_ms(&l.w, 10);
    CHECK_INT(taps_listener_set_new_connection_limit(l.peer.listeners[0], 5), TAPS_E_STATE);
    CHECK_INT(taps_listener_set_new_connection_limit(NULL, 5), TAPS_E_ARGUMENT);
    limits_done(&l);
}

/* A handshake that is in progress over QUIC holds room of the Listener's, until it is over. */
TEST(room_that_a_quic_handshake_held_comes_back)
{
    struct limits l;
    limits_new(&l, QUIC);
    set_limit(&l, 2);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_INT(taps_preconnection_initiate(l.w.preconnection, 0, &events, &l, &l.clients[i]), 0);
        say_hello(&l, i);
        l.count++;
        world_run_ms(&l.w, 5); /* the second shakes hands when the first is delivered */
    }
    world_run_ms(&l.w, 2000);
    CHECK_INT(l.ready, 2);
    CHECK_INT(l.peer.received, 2);
    limits_done(&l);
}
