/* Connection Groups: Clone, and what the members share. How they end: group_end_test.c. */
#include "parts.h"
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <taps/framer.h>

/* ---------------------------------------------------------------------------------------------------- Clone */

/* proves API-069 and API-072: two Connections, the clone is actively opened and Ready */
TEST(a_clone_is_one_more_connection_to_the_same_peer)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *echo = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    struct part *a = parts_initiate(&g, "192.0.2.1:80"), *b = &g.part[1];
    parts_run(&g, 100);
    CHECK_INT(taps_connection_group_count(a->connection), 1);
    CHECK(taps_connection_group_next(a->connection, NULL) == a->connection);
    CHECK(!taps_connection_group_next(a->connection, a->connection));
    NEED(parts_clone(&g, a, NULL) == 0);
    CHECK_INT(taps_connection_state(b->connection), TAPS_ESTABLISHING);
    CHECK_INT(b->ready, 0);
    parts_run(&g, 100);
    CHECK_INT(b->ready, 1);
    CHECK_INT(a->clone_error, 0);
    CHECK_TEXT(taps_connection_stack(b->connection), "tcp");
    CHECK_INT(taps_connection_group_count(b->connection), 2);
    CHECK(taps_connection_group_next(b->connection, NULL) == a->connection);
    CHECK(taps_connection_group_next(b->connection, a->connection) == b->connection);
    CHECK(!taps_connection_group_next(b->connection, b->connection));
    CHECK_INT(tapsi_sim_service_counts(echo).accepted, 2);
    CHECK_INT(parts_clone(&g, b, NULL), 0);
    CHECK_INT(taps_connection_group_count(a->connection), 3);
    parts_run(&g, 100);
    CHECK_INT(tapsi_sim_service_counts(echo).accepted, 3);
    parts_finish(&g);
}

/* proves API-069: only the address that won is tried, though another would answer too */
TEST(a_clone_goes_where_its_parent_went)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_dns_answer(g.w.dns, "dual.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(g.w.dns, "dual.test", "A", "192.0.2.1", 0);
    tapsi_sim_fault(g.w.sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    parts_initiate(&g, "dual.test:80");
    parts_run(&g, 1000);
    CHECK_INT(g.part[0].ready, 1);
    tapsi_sim_fault(g.w.sim, "2001:db8::1", TAPSI_SIM_FINE);
    unsigned queries = tapsi_sim_dns_queries(g.w.dns, NULL, NULL);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_run(&g, 1000);
    CHECK_INT(g.part[1].ready, 1);
    CHECK_TEXT(taps_endpoint_ip_address(taps_connection_remote(g.part[1].connection)), "192.0.2.1");
    CHECK_INT(tapsi_sim_dns_queries(g.w.dns, NULL, NULL), queries);
    parts_finish(&g);
}

/* proves API-069: EstablishmentError on the clone, and nothing on its parent */
TEST(a_clone_that_finds_nobody_has_an_establishment_error)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 0);
    tapsi_sim_fault(g.w.sim, "192.0.2.1", TAPSI_SIM_REFUSE);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_run(&g, 5);
    tapsi_sim_fault(g.w.sim, "192.0.2.1", TAPSI_SIM_FINE);
    parts_run(&g, 2000);
    CHECK_INT(g.part[1].establishment_error, 1);
    CHECK_INT(g.part[1].code, TAPS_E_REFUSED);
    CHECK_INT(g.part[0].clone_error, 0);
    CHECK_INT(parts_ends(&g.part[0]), 0);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_run(&g, 100);
    CHECK_INT(g.part[2].ready, 1);
    parts_finish(&g);
}

/* ------------------------------------------------------------------------------------------------ entanglement */

/* proves API-070: on one is on all, connPriority is not, and Message Properties are of one Connection */
TEST(connection_properties_are_shared_and_connpriority_is_not)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 2);
    parts_set(&g.part[1], "connTimeout", "12");
    parts_set(&g.part[1], "connPriority", "7");
    parts_set(&g.part[1], "msgPriority", "3");
    for (unsigned i = 0; i < 3; i++) {
        CHECK(parts_has(&g.part[i], "connTimeout", "12"));
        CHECK(parts_has(&g.part[i], "connPriority", i == 1 ? "7" : "100"));
        CHECK(parts_has(&g.part[i], "msgPriority", i == 1 ? "3" : "100"));
    }
    CHECK_INT(parts_clone(&g, &g.part[1], NULL), 0);
    CHECK(parts_has(&g.part[3], "connTimeout", "12"));
    CHECK(parts_has(&g.part[3], "connPriority", "7"));
    parts_finish(&g);
}

/* proves API-070: a Connection Property of the protocol acts on each stack */
TEST(a_shared_property_reaches_those_that_are_still_establishing)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 0);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_set(&g.part[0], "keepAliveTimeout", "40");
    parts_set(&g.part[1], "tcp.userTimeoutValue", "50");
    parts_run(&g, 100);
    CHECK_INT(g.part[1].ready, 1);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(parts_has(&g.part[i], "keepAliveTimeout", "40"));
        CHECK(parts_has(&g.part[i], "tcp.userTimeoutValue", "50"));
    }
    parts_finish(&g);
}

/* proves API-070: a property that one stack refuses when it is asked changes nothing anywhere */
TEST(what_the_own_stack_refuses_changes_nothing)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 2);
    tapsi_sim_host_fail_call(g.w.client, 1, EINVAL);
    CHECK(taps_connection_set_property(g.part[1].connection, "tcp.userTimeoutValue", "9") < 0);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(parts_has(&g.part[i], "tcp.userTimeoutValue", "default"));
        CHECK_INT(taps_connection_group_count(g.part[i].connection), 3);
    }
    parts_run(&g, 10);
    CHECK_INT(g.part[0].clone_error + g.part[1].clone_error + g.part[2].clone_error, 0);
    parts_finish(&g);
}

/* proves API-069 and API-070: CloneError later, on the one that is no member any more */
TEST(who_cannot_follow_hears_clone_error_and_is_in_no_group)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *silent = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    parts_grow(&g, 2);
    tapsi_sim_host_fail_call(g.w.client, 2, EINVAL); /* the first is of the one asked, the second of part 0 */
    CHECK_INT(taps_connection_set_property(g.part[1].connection, "tcp.userTimeoutValue", "9"), 0);
    CHECK_INT(g.part[0].clone_error, 0);
    parts_run(&g, 10);
    CHECK_INT(g.part[0].clone_error, 1);
    CHECK(strstr(g.part[0].detail, "tcp.userTimeoutValue"));
    CHECK_INT(g.part[1].clone_error + g.part[2].clone_error, 0);
    CHECK(parts_has(&g.part[0], "tcp.userTimeoutValue", "default"));
    CHECK(parts_has(&g.part[1], "tcp.userTimeoutValue", "9"));
    CHECK(parts_has(&g.part[2], "tcp.userTimeoutValue", "9"));
    CHECK_INT(taps_connection_group_count(g.part[0].connection), 1);
    CHECK_INT(taps_connection_group_count(g.part[1].connection), 2);
    CHECK(!taps_connection_group_next(g.part[1].connection, g.part[0].connection));
    parts_set(&g.part[0], "keepAliveTimeout", "77");
    CHECK(parts_has(&g.part[1], "keepAliveTimeout", "disabled"));
    parts_send(&g.part[0], 1000);
    parts_run(&g, 100);
    CHECK_INT(g.part[0].sent, 1);
    CHECK_INT(tapsi_sim_service_counts(silent).received, 1000);
    CHECK_INT(taps_connection_close_group(g.part[1].connection), 0);
    parts_run(&g, 1000);
    CHECK_INT(parts_ends(&g.part[0]), 0);
    CHECK_INT(g.part[1].closed + g.part[2].closed, 2);
    parts_finish(&g);
}

TEST(a_wrong_value_is_refused_and_nothing_changes)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 1);
    taps_connection *c = g.part[0].connection;
    CHECK_INT(taps_connection_set_property(c, "connScheduler", "lottery"), TAPS_E_RANGE);
    CHECK_INT(taps_connection_set_property(c, "connPriority", "-1"), TAPS_E_RANGE);
    CHECK_INT(taps_connection_set_property(c, "groupConnLimit", "0"), TAPS_E_RANGE);
    CHECK_INT(taps_connection_set_property(c, "reliability", "prohibit"), TAPS_E_READ_ONLY);
    CHECK_INT(taps_connection_set_property(c, "_attemptDelay", "1"), TAPS_E_READ_ONLY);
    CHECK(parts_has(&g.part[1], "connScheduler", "weighted fair queueing"));
    parts_finish(&g);
}

/* One that has ended has no properties to set, and does not stand in the way of the others. */
TEST(a_member_that_has_ended_does_not_stand_in_the_way)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 2);
    taps_connection_abort(g.part[1].connection);
    parts_run(&g, 10);
    CHECK_INT(taps_connection_set_property(g.part[1].connection, "connTimeout", "3"), TAPS_E_STATE);
    CHECK_INT(taps_connection_set_property(g.part[0].connection, "connTimeout", "3"), 0);
    CHECK(parts_has(&g.part[2], "connTimeout", "3"));
    CHECK_INT(g.part[1].clone_error, 0);
    parts_finish(&g);
}

/* -------------------------------------------------------------------------------------------- Clone's parameters */

static taps_transport_properties *with(const char *name, const char *text)
{
    taps_transport_properties *p;
    if (taps_transport_properties_new(&p))
        return NULL;
    CHECK_INT(taps_transport_properties_set(p, name, text), 0);
    return p;
}

/* proves API-071: what a clone may have of its own */
TEST(properties_of_a_clone_are_its_own)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 0);
    taps_transport_properties *p = with("connPriority", "5");
    taps_transport_properties_set(p, "msgPriority", "9");
    taps_transport_properties_set(p, "direction", "unidirectional send");
    taps_transport_properties_set(p, "connTimeout", "disabled"); /* what the group has */
    CHECK_INT(parts_clone(&g, &g.part[0], p), 0);
    taps_transport_properties_free(p);
    parts_run(&g, 100);
    CHECK_INT(g.part[1].ready, 1);
    CHECK(parts_has(&g.part[1], "connPriority", "5"));
    CHECK(parts_has(&g.part[1], "msgPriority", "9"));
    CHECK_INT(taps_connection_receive(g.part[1].connection, 0, 100, NULL), TAPS_E_NOT_APPLICABLE);
    CHECK(parts_has(&g.part[0], "connPriority", "100"));
    CHECK_INT(taps_connection_receive(g.part[0].connection, 0, 100, NULL), 0);
    parts_finish(&g);
}

/* proves API-070 and API-071: one that is shared cannot be another on a clone */
TEST(a_clone_cannot_have_another_value_of_what_is_shared)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 0);
    taps_transport_properties *p = with("connTimeout", "5");
    CHECK_INT(parts_clone(&g, &g.part[0], p), TAPS_E_CONFIGURATION);
    taps_transport_properties_free(p);
    parts_run(&g, 10);
    CHECK_INT(g.part[0].clone_error, 1);
    CHECK_INT(g.part[0].clone_code, TAPS_E_CONFIGURATION);
    CHECK(strstr(g.part[0].detail, "connTimeout"));
    CHECK_INT(taps_connection_group_count(g.part[0].connection), 1);
    parts_finish(&g);
}

TEST(a_clone_cannot_be_over_another_stack)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *echo = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 0);
    taps_transport_properties *p = with("preserveMsgBoundaries", "require"); /* udp has it, tcp has not */
    taps_transport_properties_set(p, "reliability", "no preference");
    taps_transport_properties_set(p, "preserveOrder", "no preference");
    taps_transport_properties_set(p, "congestionControl", "no preference");
    taps_transport_properties_set(p, "safelyReplayable", "true");
    CHECK_INT(parts_clone(&g, &g.part[0], p), TAPS_E_NOT_CLONEABLE);
    taps_transport_properties_free(p);
    parts_run(&g, 100);
    CHECK_INT(g.part[0].clone_error, 1);
    CHECK(strstr(g.part[0].detail, "preserveMsgBoundaries"));
    CHECK_INT(parts_ends(&g.part[0]) + tapsi_sim_service_counts(echo).accepted, 1);
    parts_finish(&g);
}

TEST(a_clone_that_no_stack_could_ever_be_is_refused)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 0);
    taps_transport_properties *p = with("reliability", "prohibit");
    taps_transport_properties_set(p, "preserveOrder", "require");
    CHECK_INT(parts_clone(&g, &g.part[0], p), TAPS_E_CONFIGURATION);
    taps_transport_properties_free(p);
    parts_run(&g, 10);
    CHECK_INT(g.part[0].clone_error, 1);
    parts_finish(&g);
}

TEST(clone_without_an_object_is_a_mistake)
{
    taps_connection *c = NULL;
    CHECK_INT(taps_connection_clone(NULL, NULL, NULL, NULL, NULL, &c), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_close_group(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_abort_group(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_group_count(NULL), 0);
    CHECK(!taps_connection_group_next(NULL, NULL));
    struct parts g;
    parts_new(&g);
    parts_initiate(&g, "192.0.2.1:80");
    CHECK_INT(taps_connection_clone(g.part[0].connection, NULL, NULL, NULL, NULL, NULL), TAPS_E_ARGUMENT);
    CHECK(!c);
    parts_finish(&g);
}

/* --------------------------------------------------------------------------------------- before the parent is Ready */

/* proves API-069: one race finds the way, the clones go there */
TEST(clones_of_one_that_is_establishing_wait_for_it)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_dns_answer(g.w.dns, "dual.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(g.w.dns, "dual.test", "A", "192.0.2.1", 0);
    tapsi_sim_fault(g.w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    parts_initiate(&g, "dual.test:80");
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    CHECK_INT(parts_clone(&g, &g.part[1], NULL), 0);
    CHECK_INT(taps_connection_group_count(g.part[0].connection), 3);
    CHECK(!taps_connection_report(g.part[1].connection));
    CHECK_INT(parts_send(&g.part[2], 100), 0);
    parts_run(&g, 100);
    CHECK_INT(tapsi_sim_packets_to(g.w.sim, "[2001:db8::1]:80"), 1);
    parts_run(&g, 2000);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(g.part[i].ready, 1);
        CHECK_TEXT(taps_endpoint_ip_address(taps_connection_remote(g.part[i].connection)), "192.0.2.1");
    }
    CHECK(taps_connection_report(g.part[1].connection));
    CHECK_INT(g.part[2].sent, 1);
    CHECK_INT(tapsi_sim_dns_queries(g.w.dns, NULL, NULL), 2);
    parts_finish(&g);
}

/* proves API-069: EstablishmentError, for the same reason */
TEST(clones_of_one_that_fails_fail_with_it)
{
    struct parts g;
    parts_new(&g);
    parts_initiate(&g, "192.0.2.1:80"); /* nobody listens */
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_run(&g, 1000);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(g.part[i].establishment_error, 1);
        CHECK_INT(g.part[i].code, TAPS_E_REFUSED);
    }
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), TAPS_E_STATE);
    parts_finish(&g);
}

static void close_it(struct part *p)
{
    CHECK_INT(taps_connection_close(p->connection), 0);
}

static void abort_it(struct part *p)
{
    CHECK_INT(taps_connection_abort(p->connection), 0);
}

/* RFC 9622, 10: Close and Abort do not affect other Connections of the group. */
TEST(clones_of_one_that_is_given_up_go_on_without_it)
{
    void (*const ways[])(struct part *) = {close_it, abort_it, parts_free};
    for (unsigned i = 0; i < 3; i++) {
        struct parts g;
        parts_new(&g);
        struct tapsi_sim_service *echo = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
        parts_initiate(&g, "192.0.2.1:80");
        NEED(parts_clone(&g, &g.part[0], NULL) == 0);
        NEED(parts_clone(&g, &g.part[0], NULL) == 0);
        ways[i](&g.part[0]);
        parts_run(&g, 1000);
        CHECK_INT(g.part[0].establishment_error, i < 2);
        CHECK_INT(g.part[1].ready, 1);
        CHECK_INT(g.part[2].ready, 1);
        CHECK_INT(tapsi_sim_service_counts(echo).accepted, 2);
        parts_finish(&g);
    }
}

TEST(a_clone_that_waits_can_be_given_up)
{
    void (*const ways[])(struct part *) = {close_it, abort_it, parts_free};
    for (unsigned i = 0; i < 3; i++) {
        struct parts g;
        parts_new(&g);
        struct tapsi_sim_service *echo = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
        parts_initiate(&g, "192.0.2.1:80");
        NEED(parts_clone(&g, &g.part[0], NULL) == 0);
        ways[i](&g.part[1]);
        parts_run(&g, 1000);
        CHECK_INT(g.part[1].establishment_error, i < 2);
        CHECK_INT(g.part[0].ready, 1);
        CHECK_INT(tapsi_sim_service_counts(echo).accepted, 1);
        parts_finish(&g);
    }
}

/* ------------------------------------------------------------------------------------------------- not cloneable */

static bool said_why(const struct part *p, int code, const char *words)
{
    return p->clone_error == 1 && p->clone_code == code && strstr(p->detail, words);
}

/* proves API-069: CloneError; a stream of its own is what tcp cannot give to the side that accepted */
TEST(an_accepted_connection_over_tcp_is_not_cloneable)
{
    struct parts g;
    struct peer peer;
    static const struct taps_connection_events none = {0};
    taps_connection *c = NULL;
    parts_new(&g);
    peer_new(&g.w, g.w.server, &peer);
    peer_listen(&g.w, &peer, "192.0.2.1:80");
    parts_grow(&g, 0);
    NEED(peer.last);
    struct part listening = {.all = &g, .connection = peer.last};
    taps_connection_set_events(peer.last, parts_events, &listening);
    CHECK_INT(taps_connection_clone(peer.last, NULL, NULL, &none, NULL, &c), TAPS_E_NOT_CLONEABLE);
    CHECK(!c);
    CHECK_INT(listening.clone_error, 0);
    parts_run(&g, 10);
    CHECK(said_why(&listening, TAPS_E_NOT_CLONEABLE, "accepted"));
    CHECK_INT(taps_connection_group_count(peer.last), 1);
    parts_finish(&g);
    peer_done(&peer);
}

/* proves API-088 */
TEST(groupconnlimit_bounds_the_group)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 2);
    parts_set(&g.part[1], "groupConnLimit", "3");
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), TAPS_E_NOT_CLONEABLE);
    parts_run(&g, 10);
    CHECK(said_why(&g.part[0], TAPS_E_NOT_CLONEABLE, "groupConnLimit"));
    CHECK_INT(taps_connection_group_count(g.part[0].connection), 3);
    taps_connection_abort(g.part[2].connection); /* one that has ended does not count */
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    CHECK_INT(parts_clone(&g, &g.part[3], NULL), TAPS_E_NOT_CLONEABLE);
    parts_set(&g.part[0], "groupConnLimit", "2"); /* fewer than there are: they stay */
    CHECK_INT(taps_connection_group_count(g.part[0].connection), 4);
    parts_set(&g.part[0], "groupConnLimit", "unlimited");
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_finish(&g);
}

/* proves API-088 */
TEST(a_limit_of_one_leaves_a_connection_alone)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    taps_transport_properties_set(g.w.properties, "groupConnLimit", "1");
    parts_initiate(&g, "192.0.2.1:80");
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), TAPS_E_NOT_CLONEABLE);
    parts_run(&g, 100);
    CHECK_INT(g.part[0].clone_error, 1);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), TAPS_E_NOT_CLONEABLE);
    parts_run(&g, 100);
    CHECK_INT(g.part[0].clone_error, 2);
    CHECK_INT(taps_connection_group_count(g.part[0].connection), 1);
    parts_finish(&g);
}

TEST(who_closes_or_has_ended_is_not_cloned)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_STALL);
    parts_grow(&g, 2);
    CHECK_INT(taps_connection_close(g.part[0].connection), 0);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), TAPS_E_STATE);
    CHECK_INT(taps_connection_abort(g.part[1].connection), 0);
    CHECK_INT(parts_clone(&g, &g.part[1], NULL), TAPS_E_STATE);
    parts_run(&g, 1000);
    CHECK_INT(parts_clone(&g, &g.part[1], NULL), TAPS_E_STATE);
    CHECK_INT(g.part[0].clone_error + g.part[1].clone_error, 0);
    CHECK_INT(parts_clone(&g, &g.part[2], NULL), 0);
    parts_finish(&g);
}

/* ---------------------------------------------------------------------------------------------- in callbacks */

static void clone_it(struct part *p)
{
    CHECK_INT(parts_clone(p->all, p, NULL), 0);
}

static void cannot_clone_it(struct part *p)
{
    CHECK_INT(parts_clone(p->all, p, NULL), TAPS_E_STATE);
}

TEST(clones_can_be_made_in_ready_and_not_in_the_last_event)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    g.part[0].act = clone_it;
    g.part[1].act = clone_it;
    parts_initiate(&g, "192.0.2.1:80");
    parts_run(&g, 200);
    CHECK_INT(g.count, 3);
    CHECK_INT(g.part[2].ready, 1);
    g.part[0].act = cannot_clone_it;
    taps_connection_close(g.part[0].connection);
    g.part[1].act = cannot_clone_it;
    taps_connection_abort(g.part[1].connection);
    parts_run(&g, 200);
    CHECK_INT(g.part[0].closed, 1);
    CHECK_INT(g.part[1].connection_error, 1);
    parts_finish(&g);
}

static void refuse_again(struct part *p)
{
    CHECK_INT(parts_clone(p->all, p, NULL), TAPS_E_NOT_CLONEABLE);
    CHECK(strstr(p->detail, "groupConnLimit"));
}

static void free_it(struct part *p)
{
    parts_free(p);
}

TEST(clone_error_can_be_answered_with_another_clone_or_with_free)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 1);
    parts_set(&g.part[0], "groupConnLimit", "2");
    g.part[0].act = refuse_again;
    g.part[1].act = free_it;
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), TAPS_E_NOT_CLONEABLE);
    CHECK_INT(parts_clone(&g, &g.part[1], NULL), TAPS_E_NOT_CLONEABLE);
    parts_run(&g, 100);
    CHECK_INT(g.part[0].clone_error, 2);
    CHECK_INT(g.part[1].clone_error, 1);
    CHECK(!g.part[1].connection);
    CHECK_INT(taps_connection_group_count(g.part[0].connection), 1);
    parts_finish(&g);
}

static void free_the_others(struct part *p)
{
    for (unsigned i = 0; i < PARTS; i++) {
        if (&p->all->part[i] != p)
            parts_free(&p->all->part[i]);
    }
}

TEST(an_event_of_one_may_free_the_others)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_STALL);
    parts_grow(&g, 3);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned n = 0; n < 10; n++)
            CHECK_INT(parts_send(&g.part[i], 30000), 0);
    }
    g.part[2].act = free_the_others;
    parts_run(&g, 1000);
    CHECK(!g.part[0].connection && !g.part[3].connection);
    CHECK_INT(taps_connection_group_count(g.part[2].connection), 1);
    CHECK(taps_connection_group_next(g.part[2].connection, NULL) == g.part[2].connection);
    CHECK_INT(parts_clone(&g, &g.part[2], NULL), 0);
    parts_finish(&g);
}

/* proves API-072 */
TEST(the_first_may_be_freed_and_the_group_goes_on)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 1);
    parts_free(&g.part[0]);
    CHECK_INT(taps_connection_group_count(g.part[1].connection), 1);
    CHECK_INT(parts_clone(&g, &g.part[1], NULL), 0);
    CHECK_INT(parts_clone(&g, &g.part[2], NULL), 0);
    parts_run(&g, 100);
    CHECK_INT(g.part[2].ready + g.part[3].ready, 2);
    CHECK_INT(taps_connection_group_count(g.part[1].connection), 3);
    parts_finish(&g);
}

TEST(one_of_another_group_is_nobodys_successor)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 1);
    world_initiate(&g.w, "192.0.2.1:80", 0);
    world_run_until_ready(&g.w);
    CHECK(!taps_connection_group_next(g.part[0].connection, g.w.connection));
    CHECK(!taps_connection_group_next(g.w.connection, g.part[0].connection));
    CHECK(taps_connection_group_next(g.w.connection, NULL) == g.w.connection);
    parts_finish(&g);
}

/* --------------------------------------------------------------------------------------------- other protocols */

/* proves API-069: over udp too, with a port of its own */
TEST(clones_over_udp_have_ports_of_their_own)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_udp_echo(g.w.server, 80);
    taps_transport_properties_free(g.w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &g.w.properties);
    taps_transport_properties_set(g.w.properties, "safelyReplayable", "true");
    world_start(&g.w);
    taps_preconnection_add_local_text(g.w.preconnection, "192.0.2.2:5000");
    parts_grow(&g, 1);
    CHECK_TEXT(taps_connection_stack(g.part[1].connection), "udp");
    CHECK_INT(taps_endpoint_port(taps_connection_local(g.part[0].connection)), 5000);
    CHECK(taps_endpoint_port(taps_connection_local(g.part[1].connection)) != 5000);
    CHECK_TEXT(taps_endpoint_ip_address(taps_connection_local(g.part[1].connection)), "192.0.2.2");
    for (unsigned n = 0; n < 100; n++) {
        CHECK_INT(parts_send(&g.part[0], 1000), 0);
        CHECK_INT(parts_send(&g.part[1], 1000), 0);
    }
    parts_run(&g, 100);
    CHECK_INT(g.part[0].sent, 100);
    CHECK_INT(g.part[1].sent, 100);
    parts_finish(&g);
}

/* proves API-069: the name that was verified for the first is verified for the clone */
TEST(clones_over_tls_are_as_secure)
{
    struct parts g;
    struct peer peer;
    parts_new(&g);
    struct tapsi_test_identity identity = peer_certificate("example.test", NULL, NULL);
    tapsi_sim_dns_answer(g.w.dns, "example.test", "A", "192.0.2.1", 0);
    peer_new(&g.w, g.w.server, &peer);
    peer_secure(&peer, &identity);
    peer_listen(&g.w, &peer, "192.0.2.1:443");
    world_secure(&g.w);
    parts_initiate(&g, "example.test:443");
    parts_run(&g, 200);
    CHECK_INT(g.part[0].ready, 1);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_run(&g, 200);
    CHECK_INT(g.part[1].ready, 1);
    CHECK_TEXT(taps_connection_stack(g.part[1].connection), "tls/tcp");
    for (unsigned n = 0; n < 10; n++) {
        CHECK_INT(parts_send(&g.part[0], 50000), 0);
        CHECK_INT(parts_send(&g.part[1], 50000), 0);
    }
    CHECK_INT(taps_connection_close_group(g.part[0].connection), 0);
    parts_run(&g, 5000);
    CHECK_INT(g.part[0].closed + g.part[1].closed, 2);
    CHECK_INT(peer.closed, 2);
    CHECK_INT(g.part[1].sent, 10);
    parts_finish(&g);
    peer_done(&peer);
    tapsi_test_identity_free(&identity);
}

/* proves API-069: datagrams of QUIC are no stream of it, so a clone has a session of its own */
TEST(clones_over_quic_datagrams_have_sessions_of_their_own)
{
    struct parts g;
    struct peer peer;
    parts_new(&g);
    struct tapsi_test_identity identity = peer_certificate("example.test", NULL, NULL);
    tapsi_sim_dns_answer(g.w.dns, "example.test", "A", "192.0.2.1", 0);
    peer_new(&g.w, g.w.server, &peer);
    peer_secure(&peer, &identity);
    CHECK_INT(taps_security_parameters_add_alpn(peer.security, "echo"), 0);
    taps_transport_properties_free(g.w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &g.w.properties);
    peer_listen(&g.w, &peer, "192.0.2.1:443");
    world_secure(&g.w);
    CHECK_INT(taps_security_parameters_add_alpn(g.w.security, "echo"), 0);
    parts_initiate(&g, "example.test:443");
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0); /* waits */
    parts_run(&g, 200);
    CHECK_INT(g.part[0].ready, 1);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    parts_run(&g, 200);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(g.part[i].ready, 1);
        CHECK_TEXT(taps_connection_stack(g.part[i].connection), "quic-datagram");
        for (unsigned n = 0; n < 10; n++)
            CHECK_INT(parts_send(&g.part[i], 1000), 0);
    }
    CHECK_INT(taps_connection_group_count(g.part[0].connection), 3);
    parts_run(&g, 1000);
    CHECK_INT(peer.received, 3);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(g.part[i].sent, 10);
    CHECK_INT(taps_connection_close_group(g.part[0].connection), 0);
    parts_run(&g, 5000);
    CHECK_INT(g.part[0].closed + g.part[1].closed + g.part[2].closed, 3);
    parts_finish(&g);
    peer_done(&peer);
    tapsi_test_identity_free(&identity);
}

/* ---------------------------------------------------------------------------------------------------- Framers */

static taps_framer *framer(const char *text)
{
    taps_framer *f = NULL;
    CHECK_INT(taps_framer_new_text(text, &f), 0);
    return f;
}

/* proves API-069 and API-071: the stack of Framers is copied, or another Framer stands in its place */
TEST(a_clone_has_the_framers_of_its_parent_or_one_of_its_own)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *silent = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    world_start(&g.w);
    taps_framer *f = framer("netstring");
    CHECK_INT(taps_preconnection_add_framer(g.w.preconnection, f), 0);
    taps_framer_free(f);
    parts_grow(&g, 1);
    CHECK(parts_has(&g.part[1], "preserveMsgBoundaries", "true"));
    CHECK_INT(parts_send(&g.part[1], 5), 0);
    parts_run(&g, 100);
    CHECK_INT(tapsi_sim_service_counts(silent).received, 8); /* "5:" and "," */
    f = framer("length-prefix:length=2");
    struct part *p = &g.part[2];
    p->all = &g;
    CHECK_INT(taps_connection_clone(g.part[0].connection, f, NULL, parts_events, p, &p->connection), 0);
    taps_framer_free(f);
    parts_run(&g, 100);
    CHECK_INT(p->ready, 1);
    CHECK_INT(parts_send(p, 5), 0);
    parts_run(&g, 100);
    CHECK_INT(tapsi_sim_service_counts(silent).received, 8 + 7);
    CHECK_INT(taps_connection_group_count(p->connection), 3);
    CHECK_INT(parts_send(&g.part[0], 5), 0);
    parts_run(&g, 100);
    CHECK_INT(tapsi_sim_service_counts(silent).received, 8 + 7 + 8);
    parts_finish(&g);
}

/* proves API-071: also while the parent is Establishing, and the Framer may be gone by then */
TEST(a_clone_that_waits_keeps_its_own_framer)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *silent = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    parts_initiate(&g, "192.0.2.1:80");
    taps_framer *f = framer("netstring");
    struct part *p = &g.part[1];
    p->all = &g;
    CHECK_INT(taps_connection_clone(g.part[0].connection, f, NULL, parts_events, p, &p->connection), 0);
    taps_framer_free(f);
    CHECK_INT(parts_send(p, 5), 0);
    parts_run(&g, 200);
    CHECK_INT(p->ready, 1);
    CHECK_INT(tapsi_sim_service_counts(silent).received, 8);
    parts_finish(&g);
}
