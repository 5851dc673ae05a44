/*
 * Sessions resumed, and early data (RFC 9622, 9.2.5): whole connections in virtual time. What leaves with the first
 * flight is looked for on the wire.
 */
#include <stdio.h>
#include <string.h>
#include "secret.h"

#define FIRST "it may arrive twice"
#define TAG   ((void *)7)

static void prefer_early(struct world *w)
{
    taps_transport_properties_prefer(w->properties, TAPS_ZERO_RTT_MSG);
}

/* The usual world, where a server takes early data, after a first Connection. */
static void met_world(struct world *w, struct peer *p)
{
    world_new(w);
    world_secure(w);
    secret_name(w);
    prefer_early(w);
    secret_serve(w, p, SECRET_V6, SECRET_NAME, NULL, NULL);
    secret_tell(w, SECRET_NAME ":443", 0);
    CHECK(!taps_connection_resumed(w->connection));
    CHECK(!taps_connection_early_data(w->connection));
    world_run_ms(w, 100);
    taps_connection_close(w->connection);
    world_run_until_end(w);
    world_run_ms(w, 100);
    taps_connection_free(w->connection);
    w->connection = NULL;
    memset(&w->heard, 0, sizeof(w->heard));
    p->length = p->early = 0;
}

/* Another Connection of the same Preconnection, with a first Message. */
static void meet_again(struct world *w, bool replayable)
{
    taps_message_context *context;
    taps_message_context_new(&context);
    taps_message_context_set(context, "safelyReplayable", replayable ? "true" : "false");
    secret_wire.length = 0;
    w->in_call = true;
    CHECK_INT(taps_preconnection_initiate_with_send(w->preconnection, 0, &world_events, w, FIRST, strlen(FIRST),
                                                    context, 0, TAG, &w->connection),
              0);
    w->in_call = false;
    taps_message_context_free(context);
    CHECK_INT(taps_connection_receive(w->connection, 1, 65536, NULL), 0);
}

/* The types of the records that the client gave to its first stream, until it had an answer. */
static void first_flight(char *types, size_t room)
{
    const uint8_t *at = secret_wire.bytes, *end = at + secret_wire.length;
    size_t count = 0;
    while (at + 5 < end && !(at[0] == 0x16 && at[1] == 3 && at[2] <= 3))
        at++;
    while (at + 5 <= end && count + 1 < room) {
        types[count++] = (char)('0' + (at[0] - 0x14));
        at += 5 + (at[3] << 8 | at[4]);
    }
    types[count] = '\0';
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

/* proves API-061, API-074, API-125, IMPL-17, IMPL-23, ARCH-16: with the ClientHello, and it was taken */
TEST(a_first_message_goes_with_the_first_flight)
{
    struct world w;
    struct peer p;
    char types[64];
    met_world(&w, &p);
    for (int i = 0; i < 3; i++) {
        meet_again(&w, true);
        world_run_until_ready(&w);
        CHECK(taps_connection_resumed(w.connection));
        CHECK(taps_connection_early_data(w.connection));
        first_flight(types, sizeof(types));
        CHECK(strncmp(types, "23", 2) == 0); /* ClientHello, and application data at once */
        world_run_ms(&w, 100);
        check_sent_once(&w, &p);
        CHECK_INT(p.early, strlen(FIRST));
        CHECK(taps_connection_early_data(p.last));
        CHECK(taps_connection_resumed(p.last));
        if (i == 2)
            break;
        taps_connection_close(w.connection);
        world_run_until_end(&w);
        taps_connection_free(w.connection);
        memset(&w.heard, 0, sizeof(w.heard));
        p.length = p.early = 0;
    }
    part(&w, &p);
}

/* proves API-074, API-103: a Message that must not arrive twice never leaves before the handshake is over */
TEST(what_is_not_safely_replayable_waits)
{
    struct world w;
    struct peer p;
    char types[64];
    met_world(&w, &p);
    meet_again(&w, false);
    world_run_until_ready(&w);
    CHECK(taps_connection_resumed(w.connection));
    CHECK(!taps_connection_early_data(w.connection));
    first_flight(types, sizeof(types));
    CHECK(strncmp(types, "20", 2) == 0); /* ClientHello, and then the change of keys behind the server's answer */
    world_run_ms(&w, 100);
    check_sent_once(&w, &p);
    CHECK_INT(p.early, 0);
    part(&w, &p);
}

TEST(nothing_behind_a_message_that_waits_overtakes_it)
{
    struct world w;
    struct peer p;
    taps_message_context *context;
    met_world(&w, &p);
    taps_message_context_new(&context);
    taps_message_context_set(context, "safelyReplayable", "true");
    meet_again(&w, true);
    CHECK_INT(taps_connection_send(w.connection, " two", 4, context, 0, TAG), 0);
    CHECK_INT(taps_connection_send(w.connection, " three", 6, NULL, 0, TAG), 0);
    CHECK_INT(taps_connection_send(w.connection, " four", 5, context, 0, TAG), 0);
    world_run_until_ready(&w);
    CHECK(taps_connection_early_data(w.connection));
    CHECK_INT(taps_connection_send(w.connection, " five", 5, context, 0, TAG), 0);
    world_run_ms(&w, 200);
    CHECK_INT(p.early, strlen(FIRST) + 4);
    CHECK(p.length == strlen(FIRST) + 20 && memcmp(p.data, FIRST " two three four five", p.length) == 0);
    CHECK_INT(w.heard.sent, 5);
    taps_message_context_free(context);
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
    struct taps_value value;
    bool told = taps_connection_get_value(w.connection, TAPS_ZERO_RTT_MSG, &value) == 0;
    CHECK(told && value.type == TAPS_TYPE_BOOLEAN && !value.boolean);
    part(&w, &p);
}

/* proves API-089: isolateSession neither reads nor writes */
TEST(an_isolated_session_uses_nothing_and_leaves_nothing)
{
    struct world w;
    struct peer p;
    met_world(&w, &p);
    taps_transport_properties_set_boolean(w.properties, TAPS_ISOLATE_SESSION, true);
    taps_preconnection_set_transport_properties(w.preconnection, w.properties);
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK(!taps_connection_resumed(w.connection));
    CHECK(!taps_connection_early_data(w.connection));
    world_run_ms(&w, 100);
    check_sent_once(&w, &p);
    part(&w, &p);
}

/* proves API-056 */
TEST(a_session_is_resumed_no_longer_than_its_lifetime)
{
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct peer p;
        met_world(&w, &p);
        world_run_ms(&w, i ? 6 * 3600 * 1000 : 5 * 3600 * 1000);
        meet_again(&w, true);
        world_run_until_ready(&w);
        CHECK_INT(taps_connection_resumed(w.connection), !i);
        CHECK_INT(taps_connection_early_data(w.connection), !i);
        world_run_ms(&w, 100);
        check_sent_once(&w, &p);
        part(&w, &p);
    }
}

/* Its successor at the same place does not know what its tickets were. */
static void replace(struct world *w, struct peer *p, const char *group)
{
    struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
    peer_done(p);
    peer_new(w, w->server, p);
    peer_secure(p, &identity);
    if (group)
        CHECK_INT(taps_security_parameters_add_group(p->security, group), 0);
    peer_listen(w, p, SECRET_V6);
    tapsi_test_identity_free(&identity);
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
    CHECK_TEXT(world_winner(&w), SECRET_V6);
    world_run_ms(&w, 200);
    check_sent_once(&w, &p);
    part(&w, &p);
}

/* proves IMPL-17: one ticket for each leaf; what was never sent is there for the next */
TEST(a_leaf_without_a_ticket_goes_without_early_data)
{
    struct world w;
    struct peer p, other;
    world_new(&w);
    world_secure(&w);
    secret_set(&w, "maxCachedSessions", "1");
    secret_name(&w);
    prefer_early(&w);
    secret_serve(&w, &p, SECRET_V6, SECRET_NAME, NULL, NULL);
    secret_tell(&w, SECRET_NAME ":443", 0);
    world_run_ms(&w, 100);
    taps_connection_free(w.connection);
    w.connection = NULL;
    memset(&w.heard, 0, sizeof(w.heard));
    peer_done(&p);
    secret_serve(&w, &other, SECRET_V4, SECRET_NAME, NULL, NULL);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    meet_again(&w, true);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), SECRET_V4);
    CHECK(!taps_connection_early_data(w.connection));
    world_run_ms(&w, 100);
    check_sent_once(&w, &other);
    part(&w, &other);
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
