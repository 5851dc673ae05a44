/* Sessions of DTLS that are resumed: whole Connections in virtual time. */
#include <string.h>
#include "stacks.h"

#define DTLS 3

static void begin(struct world *w, struct peer *p)
{
    stacks_begin(w, p, &stacks_rows[DTLS], NULL, NULL);
    p->echo = true;
}

static void connect_first(struct world *w)
{
    world_initiate(w, STACKS_NAME ":443", 5000);
    world_run_until_ready(w);
    CHECK_INT(w->heard.ready, 1);
    CHECK(!taps_connection_resumed(w->connection));
}

/* The next Connection of the same Preconnection, with these properties; it says something and hears it. */
static void connect_again(struct world *w, bool resumed)
{
    taps_connection_close(w->connection);
    world_run_until_end(w);
    world_run_ms(w, 100);
    taps_connection_free(w->connection);
    memset(&w->heard, 0, sizeof(w->heard));
    CHECK_INT(taps_preconnection_set_transport_properties(w->preconnection, w->properties), 0);
    CHECK_INT(taps_preconnection_initiate(w->preconnection, 5000, &world_events, w, &w->connection), 0);
    world_run_until_ready(w);
    CHECK_INT(w->heard.ready, 1);
    CHECK_INT(taps_connection_resumed(w->connection), resumed);
    CHECK_TEXT(taps_connection_security(w->connection), "DTLS 1.2");
    CHECK_INT(taps_connection_send(w->connection, "hello", 5, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(w->connection, 1, 65536, NULL), 0);
    world_run_ms(w, 200);
    CHECK_INT(w->heard.length, 5);
}

static void finish(struct world *w, struct peer *p)
{
    peer_done(p);
    world_finish(w);
}

/* proves ARCH-16, API-056 */
TEST(the_second_connection_resumes_the_session_of_the_first)
{
    struct world w;
    struct peer p;
    begin(&w, &p);
    connect_first(&w);
    double full = taps_report_ready_ms(taps_connection_report(w.connection));
    for (int i = 0; i < 3; i++) {
        connect_again(&w, true);
        CHECK(p.last && taps_connection_resumed(p.last));
        CHECK(taps_report_ready_ms(taps_connection_report(w.connection)) <= full);
    }
    finish(&w, &p);
}

/* proves API-089, ARCH-17 */
TEST(an_isolated_session_uses_nothing_and_leaves_nothing)
{
    struct world w;
    struct peer p;
    begin(&w, &p);
    taps_transport_properties_set_boolean(w.properties, TAPS_ISOLATE_SESSION, true);
    connect_first(&w);
    connect_again(&w, false);
    taps_transport_properties_set_boolean(w.properties, TAPS_ISOLATE_SESSION, false);
    connect_again(&w, false);
    connect_again(&w, true);
    finish(&w, &p);
}

/* proves API-056 */
TEST(a_session_is_resumed_no_longer_than_its_lifetime)
{
    for (int late = 0; late < 2; late++) {
        struct world w;
        struct peer p;
        begin(&w, &p);
        connect_first(&w);
        world_run_ms(&w, late ? 6 * 3600 * 1000 : 5 * 3600 * 1000);
        connect_again(&w, !late);
        finish(&w, &p);
    }
}

/* The path that is tried first leads nowhere, each time: its attempt does not use the ticket up. proves ARCH-16 */
TEST(an_attempt_that_nobody_answers_leaves_the_ticket_to_the_others)
{
    struct world w;
    struct peer p;
    begin(&w, &p);
    tapsi_sim_dns_answer(w.dns, STACKS_NAME, "AAAA", "2001:db8::1", 0);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    connect_first(&w);
    connect_again(&w, true);
    connect_again(&w, true);
    finish(&w, &p);
}
