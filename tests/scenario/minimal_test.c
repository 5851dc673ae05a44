/*
 * The minimal set of transport services of RFC 8923, in the order in which RFC 9622's last appendix lists it: every one
 * of them is reached by the calls that all stacks share, whichever of them was chosen. What a
 * service does once it is reached is the matter of the tests of its own requirement.
 */
#include <stdio.h>
#include <string.h>
#include "peer.h"

#define V4 "192.0.2.1:443"

enum where {
    BEFORE,   /* a Transport Property of the Preconnection */
    LIVE,     /* set on the Connection, and read again */
    TCP_ONLY, /* the same, where TCP carries it */
    READ,     /* read of the Connection */
    MESSAGE,  /* a property of one Message */
};

static const struct service {
    const char *name;
    enum where where;
    const char *property, *value;
} services[] = {
    {"disable MPTCP", BEFORE, "multipath", "disabled"},
    {"change timeout for aborting connection", BEFORE, "connTimeout", "60"},
    {"change timeout for aborting connection", LIVE, "connTimeout", "50"},
    {"suggest timeout to the peer", BEFORE, "tcp.userTimeoutEnabled", "true"},
    {"suggest timeout to the peer", TCP_ONLY, "tcp.userTimeoutValue", "30"},
    {"notification of ICMP errors, of excessive retransmissions", BEFORE, "softErrorNotify", "prefer"},
    {"choose a scheduler", LIVE, "connScheduler", "round-robin"},
    {"configure priority or weight for a scheduler", LIVE, "connPriority", "7"},
    {"disable checksum when sending", BEFORE, "fullChecksumSend", "avoid"},
    {"specify checksum coverage used by the sender", MESSAGE, "msgChecksumLen", "4"},
    {"disable checksum requirement when receiving", BEFORE, "fullChecksumRecv", "avoid"},
    {"specify minimum checksum coverage", LIVE, "recvChecksumLen", "4"},
    {"specify DF field", MESSAGE, "noFragmentation", "true"},
    {"largest message in one packet", READ, "singularTransmissionMsgMaxLen", NULL},
    {"largest message that may be received", READ, "recvMsgMaxLen", NULL},
    {"DSCP, Nagle, low extra delay", BEFORE, "connCapacityProfile", "low latency interactive"},
    {"DSCP, Nagle, low extra delay", LIVE, "connCapacityProfile", "scavenger"},
    {"request not to bundle messages, not to delay the acknowledgement", MESSAGE, "msgCapacityProfile",
     "low latency interactive"},
    {"reliable or not", BEFORE, "perMsgReliability", "prefer"},
    {"reliable or not", MESSAGE, "msgReliable", "false"},
    {"with congestion control", BEFORE, "congestionControl", "prefer"},
    {"configurable message reliability", MESSAGE, "msgLifetime", "20"},
    {"ordered or unordered delivery", MESSAGE, "msgOrdered", "false"},
};
#define SERVICES (sizeof(services) / sizeof(services[0]))

enum stack { TCP, TLS, UDP, STACKS };

struct scene {
    struct world w;
    struct peer p;
    struct tapsi_test_identity identity;
    enum stack stack;
};

static void scene_new(struct scene *s, enum stack stack)
{
    memset(s, 0, sizeof(*s));
    s->stack = stack;
    s->identity = peer_certificate("192.0.2.1", NULL, NULL);
    world_new(&s->w);
    taps_transport_properties_free(s->w.properties);
    taps_transport_properties_new_profile(stack == UDP ? TAPS_UNRELIABLE_DATAGRAM : TAPS_RELIABLE_INORDER_STREAM,
                                          &s->w.properties);
    if (stack == TLS)
        world_secure(&s->w);
    peer_new(&s->w, s->w.server, &s->p);
    if (stack == TLS)
        peer_secure(&s->p, &s->identity);
}

/* Both ends have their Connection; over UDP a Message makes the peer's. */
static void establish(struct scene *s)
{
    s->p.echo = true;
    peer_listen(&s->w, &s->p, V4);
    world_initiate(&s->w, V4, 5000);
    CHECK_INT(s->w.initiated, 0);
    world_run_until_ready(&s->w);
    CHECK_INT(s->w.heard.ready, 1);
    s->w.keep_reading = true;
    CHECK_INT(taps_connection_receive(s->w.connection, 1, 65536, NULL), 0);
    CHECK_INT(taps_connection_send(s->w.connection, "hello", 5, NULL, 0, NULL), 0);
    world_run_ms(&s->w, 100);
    CHECK(s->p.last != NULL);
    CHECK(memmem(s->w.heard.data, s->w.heard.length, "hello", 5) != NULL);
}

static void scene_done(struct scene *s)
{
    peer_done(&s->p);
    world_finish(&s->w);
    tapsi_test_identity_free(&s->identity);
}

static void check(bool ok, const struct scene *s, const struct service *service)
{
    static const char *const names[] = {"tcp", "tls/tcp", "udp"};
    if (!ok)
        tapsi_test_fail(__FILE__, __LINE__, "%s: %s is not reached by %s", names[s->stack], service->name,
                        service->property);
}

/* ---------------------------------------------------------------------------------------------- properties */

static void set_before(struct scene *s)
{
    for (size_t i = 0; i < SERVICES; i++) {
        const struct service *v = &services[i];
        if (v->where == BEFORE)
            check(taps_transport_properties_set(s->w.properties, v->property, v->value) == 0, s, v);
    }
}

static bool reads_as(const struct scene *s, const struct service *v)
{
    char text[80];
    return taps_connection_get_property(s->w.connection, v->property, text, sizeof(text)) > 0 &&
           (!v->value || strcmp(text, v->value) == 0);
}

static void set_and_read(struct scene *s)
{
    for (size_t i = 0; i < SERVICES; i++) {
        const struct service *v = &services[i];
        int err = 0;
        if (v->where == LIVE || v->where == TCP_ONLY)
            err = taps_connection_set_property(s->w.connection, v->property, v->value);
        if (v->where == TCP_ONLY && s->stack == UDP)
            check(err == TAPS_E_NOT_APPLICABLE, s, v); /* told, and the Connection lives */
        else if (v->where != BEFORE && v->where != MESSAGE)
            check(err == 0 && reads_as(s, v), s, v);
    }
    CHECK_INT(taps_connection_state(s->w.connection), TAPS_ESTABLISHED);
}

/* A Message each; each has one event, and a stack that cannot says so. */
static void send_each(struct scene *s)
{
    const struct heard *h = &s->w.heard;
    for (size_t i = 0; i < SERVICES; i++) {
        const struct service *v = &services[i];
        taps_message_context *context;
        unsigned before = h->sent + h->expired + h->send_error;
        if (v->where != MESSAGE)
            continue;
        taps_message_context_new(&context);
        check(taps_message_context_set(context, v->property, v->value) == 0, s, v);
        check(taps_connection_send(s->w.connection, "with it", 7, context, 0, NULL) == 0, s, v);
        taps_message_context_free(context);
        world_run_ms(&s->w, 100);
        check(h->sent + h->expired + h->send_error == before + 1, s, v);
    }
}

/* proves ARCH-04 */
TEST(every_service_that_is_a_property_is_reached_on_every_stack)
{
    for (enum stack stack = TCP; stack < STACKS; stack++) {
        struct scene s;
        scene_new(&s, stack);
        set_before(&s);
        establish(&s);
        set_and_read(&s);
        send_each(&s);
        CHECK_INT(s.w.heard.connection_error, 0);
        scene_done(&s);
    }
}

/* ------------------------------------------------------------------------------------- actions and events */

/* proves ARCH-04: connect and listen; hand over a Message before the establishment; receive data, or a Message; all is
   sent; Close after delivering, which the other side hears of where the protocol can tell. */
TEST(connect_listen_send_receive_and_close_are_the_same_everywhere)
{
    for (enum stack stack = TCP; stack < STACKS; stack++) {
        struct scene s;
        scene_new(&s, stack);
        establish(&s);
        CHECK_INT(s.w.heard.sent, 1);
        CHECK_INT(taps_connection_close(s.w.connection), 0);
        world_run_until_end(&s.w);
        world_run_ms(&s.w, 100);
        CHECK_INT(s.w.heard.closed, 1);
        CHECK_INT(s.p.final, stack != UDP);
        scene_done(&s);
    }
}

/* proves ARCH-04: Abort without delivering, which the other side may hear of. */
TEST(abort_is_the_same_everywhere)
{
    for (enum stack stack = TCP; stack < STACKS; stack++) {
        struct scene s;
        scene_new(&s, stack);
        establish(&s);
        CHECK_INT(taps_connection_abort(s.w.connection), 0);
        world_run_until_end(&s.w);
        world_run_ms(&s.w, 100);
        CHECK_INT(s.w.heard.connection_error, 1);
        CHECK_INT(s.w.heard.code, TAPS_E_LOCAL_ABORT);
        CHECK_INT(s.p.failed, stack != UDP);
        scene_done(&s);
    }
}

/* proves ARCH-04: a Message that is handed over before the connection is there; the timeout of the establishment, and
   the event when it cannot be made. */
TEST(the_first_message_and_the_deadline_are_the_same_everywhere)
{
    for (int reachable = 0; reachable < 2; reachable++) {
        for (enum stack stack = TCP; stack < STACKS; stack++) {
            struct scene s;
            scene_new(&s, stack);
            peer_listen(&s.w, &s.p, V4);
            if (!reachable)
                tapsi_sim_route_remove(s.w.client_if, "0.0.0.0/0");
            CHECK_INT(taps_preconnection_add_remote_text(s.w.preconnection, reachable ? V4 : "198.51.100.1:443"), 0);
            taps_preconnection_set_transport_properties(s.w.preconnection, s.w.properties);
            taps_preconnection_set_security_parameters(s.w.preconnection, s.w.security);
            CHECK_INT(taps_preconnection_initiate_with_send(s.w.preconnection, 2000, &world_events, &s.w, "first", 5,
                                                            NULL, 0, NULL, &s.w.connection),
                      0);
            world_run_ms(&s.w, 3000);
            CHECK_INT(s.w.heard.ready, reachable);
            CHECK_INT(s.w.heard.establishment_error, !reachable);
            CHECK_INT(peer_has(&s.p, "first"), reachable);
            scene_done(&s);
        }
    }
}

/* proves ARCH-04: data that could not be delivered for too long; a Message that was not sent; one that was received in
   part and will never be whole. Where TCP carries it. */
TEST(what_fails_is_told_the_same_way)
{
    static const char much[300000];
    for (enum stack stack = TCP; stack <= TLS; stack++) {
        struct scene s;
        scene_new(&s, stack);
        establish(&s);
        CHECK_INT(taps_connection_set_property(s.w.connection, "connTimeout", "3"), 0);
        tapsi_sim_link_fault(s.w.link, TAPSI_SIM_BLACKHOLE);
        CHECK_INT(taps_connection_send(s.w.connection, much, sizeof(much), NULL, TAPS_SEND_LEND, NULL), 0);
        world_run_until_end(&s.w);
        CHECK_INT(s.w.heard.connection_error, 1);
        CHECK_INT(s.w.heard.code, TAPS_E_TIMEOUT);
        CHECK_INT(s.w.heard.send_error, 1);
        CHECK_INT(s.w.heard.receive_error, 1);
        scene_done(&s);
    }
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    int ecn = taps_message_context_ecn(m->context);
    (void)c;
    CHECK(ecn >= 0 || ecn == TAPS_E_NOT_APPLICABLE);
    ++*(unsigned *)user;
}

/* proves ARCH-04: of the context of what was received, on every stack. */
TEST(the_ecn_field_is_asked_for_the_same_way)
{
    static const struct taps_connection_events events = {.received = on_received, .received_partial = on_received};
    for (enum stack stack = TCP; stack < STACKS; stack++) {
        struct scene s;
        unsigned seen = 0;
        scene_new(&s, stack);
        establish(&s);
        taps_connection_set_events(s.w.connection, &events, &seen);
        CHECK_INT(taps_connection_send(s.w.connection, "again", 5, NULL, 0, NULL), 0);
        world_run_ms(&s.w, 100);
        CHECK_INT(seen, 1);
        scene_done(&s);
    }
}
