/*
 * Sessions resumed, and early data, over QUIC (RFC 9622, 9.2.5; RFC 9001, 4.6): whole connections in virtual time, and
 * races in which TLS over TCP has a ticket, too.
 */
#include <string.h>
#include <taps/framer.h>
#include "secret.h"

#define FIRST "it may arrive twice"
#define TAG   ((void *)7)
#define HOST  "192.0.2.1:443"

static taps_framer *server_framer; /* of the next server, or NULL */

static void serve(struct world *w, struct peer *p, const char *group)
{
    struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
    peer_new(w, w->server, p);
    peer_secure(p, &identity);
    if (group)
        CHECK_INT(taps_security_parameters_add_group(p->security, group), 0);
    CHECK_INT(taps_security_parameters_add_alpn(p->security, "echo"), 0);
    p->echo = true;
    p->framers[0] = server_framer;
    server_framer = NULL;
    peer_listen(w, p, HOST);
    tapsi_test_identity_free(&identity);
}

static void begin(struct world *w, struct peer *p, const char *protocols)
{
    world_new(w);
    world_secure(w);
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "A", "192.0.2.1", 0);
    CHECK_INT(taps_security_parameters_add_alpn(w->security, "echo"), 0);
    if (protocols)
        secret_set(w, "allowedSecurityProtocols", protocols);
    taps_transport_properties_prefer(w->properties, TAPS_ZERO_RTT_MSG);
    serve(w, p, NULL);
    wire_tap(&secret_wire, w->context);
}

static void forget(struct world *w, struct peer *p)
{
    taps_connection_free(w->connection);
    w->connection = NULL;
    memset(&w->heard, 0, sizeof(w->heard));
    p->length = p->early = 0;
}

/* A first Connection, which leaves tickets. */
static void meet(struct world *w, struct peer *p, const char *stack)
{
    w->keep_reading = true;
    world_initiate(w, SECRET_NAME ":443", 0);
    CHECK_INT(w->initiated, 0);
    CHECK_INT(taps_connection_send(w->connection, SECRET, strlen(SECRET), NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(w->connection, 1, 65536, NULL), 0);
    world_run_until_ready(w);
    CHECK_TEXT(taps_connection_stack(w->connection), stack);
    CHECK(!taps_connection_resumed(w->connection));
    CHECK(!taps_connection_early_data(w->connection));
    world_run_ms(w, 100);
    taps_connection_close(w->connection);
    world_run_ms(w, 500);
    forget(w, p);
}

static void met_world(struct world *w, struct peer *p)
{
    begin(w, p, "quic");
    meet(w, p, "quic");
}

static int send_first(struct world *w, bool replayable, bool final)
{
    taps_message_context *context;
    taps_message_context_new(&context);
    taps_message_context_set(context, "safelyReplayable", replayable ? "true" : "false");
    if (final)
        taps_message_context_set(context, "final", "true");
    secret_wire.length = 0;
    w->in_call = true;
    int err = taps_preconnection_initiate_with_send(w->preconnection, 0, &world_events, w, FIRST, strlen(FIRST),
                                                    context, 0, TAG, &w->connection);
    w->in_call = false;
    taps_message_context_free(context);
    return err;
}

static void meet_again(struct world *w, bool replayable)
{
    CHECK_INT(send_first(w, replayable, false), 0);
    CHECK_INT(taps_connection_receive(w->connection, 1, 65536, NULL), 0);
}

static void check_sent_once(const struct world *w, const struct peer *p)
{
    CHECK_INT(w->heard.sent, 1);
    CHECK_INT(w->heard.send_error, 0);
    CHECK_INT(p->length, strlen(FIRST));
    CHECK(peer_has(p, FIRST));
    CHECK(!wire_has_text(&secret_wire, FIRST));
}

static void part(struct world *w, struct peer *p)
{
    taps_connection_close(w->connection);
    world_run_until_end(w);
    peer_done(p);
    world_finish(w);
}

/* proves API-061, API-074, API-125, IMPL-17, IMPL-23, ARCH-16: with the ClientHello; and it was taken */
TEST(a_first_message_goes_with_the_first_flight)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    for (int i = 0; i < 3; i++) {
        meet_again(&w, true);
        world_run_until_ready(&w);
        CHECK_INT(p.early, strlen(FIRST)); /* it was there before this side was ready */
        CHECK(taps_connection_resumed(w.connection));
        CHECK(taps_connection_early_data(w.connection));
        world_run_ms(&w, 100);
        check_sent_once(&w, &p);
        CHECK_INT(w.heard.length, strlen(FIRST));
        CHECK(taps_connection_early_data(p.last));
        CHECK(taps_connection_resumed(p.last));
        if (i == 2)
            break;
        taps_connection_close(w.connection);
        world_run_ms(&w, 500);
        forget(&w, &p);
    }
    part(&w, &p);
}

TEST(a_first_message_may_be_the_last)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    CHECK_INT(send_first(&w, true, true), 0);
    CHECK_INT(taps_connection_receive(w.connection, 1, 65536, NULL), 0);
    world_run_until_ready(&w);
    world_run_ms(&w, 200);
    check_sent_once(&w, &p);
    CHECK_INT(p.early, strlen(FIRST));
    CHECK(p.final);
    CHECK(taps_connection_early_data(w.connection));
    part(&w, &p);
}

/* proves API-074, API-103: a Message that must not arrive twice never leaves before the handshake is over */
TEST(what_is_not_safely_replayable_waits)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    meet_again(&w, false);
    world_run_until_ready(&w);
    CHECK(taps_connection_resumed(w.connection));
    CHECK(!taps_connection_early_data(w.connection));
    CHECK_INT(p.length, 0);
    world_run_ms(&w, 100);
    check_sent_once(&w, &p);
    CHECK_INT(p.early, 0);
    part(&w, &p);
}

/* proves API-034: QUIC may be required to have it, as it may be forbidden to use it */
TEST(early_data_may_be_required)
{
    struct world w;
    struct peer p;
    world_new(&w);
    world_secure(&w);
    tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
    CHECK_INT(taps_security_parameters_add_alpn(w.security, "echo"), 0);
    taps_transport_properties_require(w.properties, TAPS_ZERO_RTT_MSG);
    serve(&w, &p, NULL);
    wire_tap(&secret_wire, w.context);
    meet(&w, &p, "quic");
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK(taps_connection_early_data(w.connection));
    part(&w, &p);
}

/* proves API-034 */
TEST(no_early_data_where_it_is_prohibited)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    taps_transport_properties_prohibit(w.properties, TAPS_ZERO_RTT_MSG);
    taps_preconnection_set_transport_properties(w.preconnection, w.properties);
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK(taps_connection_resumed(w.connection));
    CHECK(!taps_connection_early_data(w.connection));
    world_run_ms(&w, 100);
    check_sent_once(&w, &p);
    CHECK_INT(p.early, 0);
    part(&w, &p);
}

/* proves API-089, ARCH-17 */
TEST(an_isolated_session_uses_nothing_and_leaves_nothing)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    taps_transport_properties_set_boolean(w.properties, TAPS_ISOLATE_SESSION, true);
    taps_preconnection_set_transport_properties(w.preconnection, w.properties);
    for (int i = 0; i < 2; i++) {
        meet_again(&w, true);
        world_run_until_ready(&w);
        CHECK(!taps_connection_resumed(w.connection));
        CHECK(!taps_connection_early_data(w.connection));
        world_run_ms(&w, 100);
        check_sent_once(&w, &p);
        if (i)
            break;
        taps_connection_close(w.connection);
        world_run_ms(&w, 500);
        forget(&w, &p);
    }
    part(&w, &p);
}

/* Its successor at the same place does not know what its tickets were. */
static void replace(struct world *w, struct peer *p, const char *group)
{
    peer_done(p);
    world_run_ms(w, 100);
    serve(w, p, group);
}

/* proves IMPL-17: once, and first */
TEST(early_data_that_is_not_taken_is_sent_again_in_order)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    replace(&w, &p, NULL);
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_send(w.connection, " and more", 9, NULL, 0, TAG), 0);
    CHECK(!taps_connection_resumed(w.connection));
    CHECK(!taps_connection_early_data(w.connection));
    world_run_ms(&w, 200);
    CHECK_INT(w.heard.sent, 2);
    CHECK(p.length == strlen(FIRST) + 9 && memcmp(p.data, FIRST " and more", p.length) == 0);
    CHECK_INT(p.early, 0);
    part(&w, &p);
}

TEST(early_data_that_is_not_taken_is_sent_again_when_nothing_follows)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    replace(&w, &p, NULL);
    meet_again(&w, true);
    world_run_until_ready(&w);
    world_run_ms(&w, 200);
    check_sent_once(&w, &p);
    CHECK_INT(p.early, 0);
    part(&w, &p);
}

/* HelloRetryRequest: GnuTLS cannot go on, so the attempt begins once more, without. */
TEST(a_peer_that_breaks_over_early_data_is_tried_without)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    replace(&w, &p, "secp521r1");
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK(!taps_connection_early_data(w.connection));
    world_run_ms(&w, 200);
    check_sent_once(&w, &p);
    part(&w, &p);
}

static void meet_by_tls(struct world *w, struct peer *p)
{
    meet_again(w, false);
    world_run_until_ready(w);
    world_run_ms(w, 300);
    CHECK_TEXT(taps_connection_stack(w->connection), "tls/tcp");
    taps_connection_close(w->connection);
    world_run_ms(w, 500);
    forget(w, p);
}

/* proves IMPL-17, IMPL-23: each protocol has tickets of its own, and each attempt a copy of the Message */
TEST(where_quic_does_not_come_through_tls_carries_the_early_data)
{
    struct world w;
    struct peer p;
    begin(&w, &p, NULL);
    meet(&w, &p, "quic");
    tapsi_sim_fault(w.sim, "udp " HOST, TAPSI_SIM_BLACKHOLE);
    meet_by_tls(&w, &p);
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    world_run_ms(&w, 300);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    CHECK(taps_connection_early_data(w.connection));
    check_sent_once(&w, &p);
    part(&w, &p);
}

/* ------------------------------------------------------------------------------------------------- Framers */

static int say_hello(taps_framing *framing)
{
    taps_framing_make_ready(framing);
    return taps_framing_send(framing, "HI", 2);
}

static int send_plain(taps_framing *framing, const struct taps_sent_message *message)
{
    (void)message;
    return taps_framing_send_message(framing);
}

/* It writes before it is ready. */
static const struct taps_framer_definition greets = {
    .name = "greets", .flags = TAPS_FRAMER_STATELESS, .start = say_hello, .new_sent_message = send_plain};
/* It may remember something of each Message. */
static const struct taps_framer_definition remembers = {.name = "remembers", .new_sent_message = send_plain};

static taps_framer *framer_of(const struct taps_framer_definition *definition)
{
    taps_framer *framer = NULL;
    int err = definition ? taps_framer_new_custom(definition, &framer) : taps_framer_new("length-prefix", &framer);
    CHECK_INT(err, 0);
    return framer;
}

/* NULL: length-prefix. A first Connection, and then one whose first Message may be early. */
static void meet_framed(struct world *w, struct peer *p, const char *protocols,
                        const struct taps_framer_definition *definition)
{
    taps_framer *framer = framer_of(definition);
    if (!definition)
        server_framer = framer_of(NULL);
    begin(w, p, protocols);
    CHECK_INT(taps_preconnection_add_framer(w->preconnection, framer), 0);
    taps_framer_free(framer);
    meet(w, p, strcmp(protocols, "quic") == 0 ? "quic" : "tls/tcp");
    meet_again(w, true);
    world_run_until_ready(w);
    world_run_ms(w, 200);
    CHECK(taps_connection_resumed(w->connection));
    CHECK_INT(w->heard.sent, 1);
    CHECK_INT(w->heard.send_error, 0);
}

/* proves API-074, IMPL-17: one that only encodes needs nothing to be ready */
TEST(a_framed_first_message_goes_early)
{
    static const char *const protocols[] = {"quic", "tls1.3"};
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct peer p;
        meet_framed(&w, &p, protocols[i], NULL);
        CHECK(taps_connection_early_data(w.connection));
        check_sent_once(&w, &p);
        CHECK_INT(p.early, strlen(FIRST));
        CHECK_INT(w.heard.length, strlen(FIRST));
        CHECK_INT(taps_connection_send(w.connection, " two", 4, NULL, 0, TAG), 0);
        world_run_ms(&w, 100);
        CHECK_INT(p.length, strlen(FIRST) + 4);
        part(&w, &p);
    }
}

TEST(a_framed_first_message_that_is_not_taken_is_sent_again)
{
    struct world w;
    struct peer p;
    meet_framed(&w, &p, "quic", NULL);
    taps_connection_close(w.connection);
    world_run_ms(&w, 500);
    forget(&w, &p);
    server_framer = framer_of(NULL);
    replace(&w, &p, NULL);
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK(!taps_connection_early_data(w.connection));
    world_run_ms(&w, 200);
    check_sent_once(&w, &p);
    CHECK_INT(p.early, 0);
    part(&w, &p);
}

TEST(a_framer_that_writes_first_or_remembers_waits_until_it_is_ready)
{
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct peer p;
        meet_framed(&w, &p, "quic", i ? &remembers : &greets);
        CHECK(!taps_connection_early_data(w.connection));
        CHECK_INT(p.early, 0);
        CHECK(peer_has(&p, i ? FIRST : "HI" FIRST));
        part(&w, &p);
    }
}

/* ------------------------------------------------------------------------------------------------- and others */

/* proves API-083: a clone is a further stream, of the same session */
TEST(a_clone_of_a_resumed_connection_is_of_its_session)
{
    struct world w;
    struct peer p;
    taps_connection *clone;
    static const struct taps_connection_events nothing;
    met_world(&w, &p);
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_clone(w.connection, NULL, NULL, &nothing, NULL, &clone), 0);
    world_run_ms(&w, 100);
    CHECK(taps_connection_resumed(clone));
    CHECK(!taps_connection_early_data(clone));
    taps_connection_free(clone);
    part(&w, &p);
}

/* The application gives up while its Message may be on its way. */
TEST(a_race_with_early_data_may_be_given_up_at_any_time)
{
    for (uint64_t ms = 0; ms < 40; ms += 3) {
        struct world w;
        struct peer p;
        met_world(&w, &p);
        meet_again(&w, true);
        world_run_ms(&w, ms);
        if (ms % 2)
            taps_connection_abort(w.connection);
        else
            taps_connection_close(w.connection);
        world_run_ms(&w, 500);
        CHECK(w.heard.sent + w.heard.send_error <= 1);
        peer_done(&p);
        world_finish(&w);
    }
}

/* Close, FINAL and Clone come while it is not known what becomes of the early data: it arrives, and once. */
TEST(what_is_asked_for_before_ready_loses_no_early_data)
{
    static const struct taps_connection_events nothing;
    for (int i = 0; i < 36; i++) {
        bool refused = i & 1, final = i & 2;
        struct world w;
        struct peer p;
        taps_connection *clone = NULL;
        met_world(&w, &p);
        if (refused)
            replace(&w, &p, NULL);
        CHECK_INT(send_first(&w, true, final), 0);
        CHECK_INT(taps_connection_receive(w.connection, 1, 65536, NULL), 0);
        world_run_ms(&w, (uint64_t)(i / 4) * 3);
        if (i % 3)
            CHECK_INT(taps_connection_close(w.connection), 0);
        else
            CHECK_INT(taps_connection_clone(w.connection, NULL, NULL, &nothing, NULL, &clone), 0);
        world_run_ms(&w, 2000);
        check_sent_once(&w, &p);
        CHECK_INT(w.heard.connection_error, 0);
        taps_connection_free(clone);
        peer_done(&p);
        world_finish(&w);
    }
}
