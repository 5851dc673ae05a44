/*
 * Paths of a session: AddLocal, RemoveLocal, AddRemote, RemoveRemote, changes of the network, and multipath (RFC 9622,
 * 6.2.14, 7.5 and 8.3.2). Of whatever stack it runs with: with mux nothing moves in truth.
 */
#include <string.h>
#include "moving.h"

static struct stream *begin(struct streams *s, const char *multipath)
{
    streams_new(s);
    if (multipath)
        taps_transport_properties_set(s->w.properties, "multipath", multipath);
    tapsi_sim_address_add(s->w.client_if, "192.0.2.3/24", false, false);
    struct stream *t = streams_begin(s);
    CHECK(moving_talks(s, t, 100));
    return t;
}

/* --------------------------------------------------------------------------------------------------- refusals */

/* proves API-073 and API-043: the initiator's default is Disabled, and then it stays where it is, whatever is asked */
TEST(without_multipath_nothing_is_added)
{
    struct streams s;
    struct stream *t = begin(&s, NULL);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.3"), TAPS_E_POLICY);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "eth7"), TAPS_E_POLICY);
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "192.0.2.9:443"), TAPS_E_POLICY);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.3"), 0); /* nobody uses it */
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.2"), 0);    /* known */
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "192.0.2.1:443"), 0);
    streams_run(&s, 100);
    CHECK(moving_is_at(t, "192.0.2.2"));
    CHECK_INT(t->path_changes, 0);
    CHECK_INT(streams_ends(t), 0);
    CHECK(streams_has(t, "multipath", "disabled"));
    streams_finish(&s);
}

/* proves API-073: without another to go to, what loses its endpoint ends */
TEST(without_multipath_who_loses_the_endpoint_in_use_ends)
{
    static const char *const endpoints[] = {"192.0.2.2", "eth0", "192.0.2.1:443", "192.0.2.1"};
    for (int i = 0; i < 4; i++) {
        struct streams s;
        struct stream *t = begin(&s, "disabled");
        CHECK_INT(moving_call(t->connection, i < 2 ? REMOVE_LOCAL : REMOVE_REMOTE, endpoints[i]), 0);
        CHECK_INT(streams_ends(t), 0); /* not inside the call */
        streams_run(&s, 100);
        CHECK(moving_ended(t, "multipath is disabled"));
        CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.2"), TAPS_E_STATE);
        streams_finish(&s);
    }
}

/* proves API-073: wrong arguments change nothing */
TEST(endpoints_that_are_none_are_refused)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    taps_connection *c = t->connection;
    taps_endpoint *local, *remote, *name, *port, *service;
    taps_local_endpoint_new(&local);
    taps_remote_endpoint_new(&remote);
    taps_remote_endpoint_new(&name);
    taps_local_endpoint_new(&port);
    taps_remote_endpoint_new(&service);
    taps_endpoint_with_ip_address(local, "192.0.2.3");
    taps_endpoint_with_ip_address(remote, "192.0.2.9");
    taps_endpoint_with_host_name(name, "example.test");
    taps_endpoint_with_port(port, 4000);
    taps_endpoint_with_ip_address(service, "192.0.2.9");
    taps_endpoint_with_service(service, "https");
    const taps_endpoint *locals[] = {local, NULL}, *remotes[] = {remote}, *names[] = {name}, *ports[] = {port},
                        *services[] = {service}, *mixed[] = {local, remote};
    CHECK_INT(taps_connection_add_local(NULL, locals, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_add_local(c, NULL, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_add_local(c, locals, 2), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_add_local(c, remotes, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_add_local(c, mixed, 2), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_add_local(c, ports, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_remove_local(c, remotes, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_add_remote(c, locals, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_add_remote(c, names, 1), TAPS_E_RESOLUTION);
    CHECK_INT(taps_connection_remove_remote(c, names, 1), TAPS_E_RESOLUTION);
    CHECK_INT(taps_connection_remove_remote(c, services, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_add_local(c, locals, 65), TAPS_E_RANGE);
    CHECK_INT(taps_connection_add_local(c, NULL, 0), 0);
    CHECK_INT(taps_connection_remove_remote(c, NULL, 0), 0);
    streams_run(&s, 100);
    CHECK_INT(t->path_changes, 0);
    CHECK(moving_is_at(t, "192.0.2.2"));
    taps_endpoint_free(local);
    taps_endpoint_free(remote);
    taps_endpoint_free(name);
    taps_endpoint_free(port);
    taps_endpoint_free(service);
    streams_finish(&s);
}

/* proves API-073: 0.0.0.0 and a group are nobody's address */
TEST(addresses_of_no_host_are_refused)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "0.0.0.0:443"), TAPS_E_ARGUMENT);
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "224.0.0.1:443"), TAPS_E_ARGUMENT);
    CHECK_INT(moving_call(t->connection, REMOVE_REMOTE, "[::]:443"), TAPS_E_ARGUMENT);
    streams_finish(&s);
}

/* proves API-073: neither before Ready nor after the end */
TEST(only_what_is_established_has_endpoints_to_change)
{
    struct streams s;
    streams_new(&s);
    taps_transport_properties_set(s.w.properties, "multipath", "active");
    struct stream *t = streams_initiate(&s);
    for (int verb = ADD_LOCAL; verb <= REMOVE_LOCAL; verb++)
        CHECK_INT(moving_call(t->connection, (enum verb)verb, "192.0.2.2"), TAPS_E_STATE);
    for (int verb = ADD_REMOTE; verb <= REMOVE_REMOTE; verb++)
        CHECK_INT(moving_call(t->connection, (enum verb)verb, "192.0.2.1:443"), TAPS_E_STATE);
    streams_run(&s, 100);
    CHECK_INT(t->ready, 1);
    taps_connection_abort(t->connection);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.2"), TAPS_E_STATE);
    streams_run(&s, 100);
    CHECK_INT(moving_call(t->connection, REMOVE_REMOTE, "192.0.2.1:443"), TAPS_E_STATE);
    CHECK_INT(t->code, TAPS_E_LOCAL_ABORT);
    streams_finish(&s);
}

/* proves API-073 and API-043: who came from a Listener is Passive: its peer moves, and it follows */
TEST(a_connection_of_a_listener_moves_by_its_peer_alone)
{
    struct streams s;
    begin(&s, "active");
    struct stream *t = &s.server.streams[0];
    CHECK(streams_has(t, "multipath", "active")); /* that is what its Preconnection asked for */
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.7"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "192.0.2.3:1000"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.7"), 0);
    streams_run(&s, 100);
    CHECK_INT(streams_ends(t), 0);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.1"), 0);
    streams_run(&s, 100);
    CHECK(moving_ended(t, "only the peer can move it"));
    streams_finish(&s);
}

/* proves API-043: Passive for Listeners, where nothing was said */
TEST(who_came_from_a_listener_reads_passive)
{
    struct streams s;
    begin(&s, NULL);
    CHECK(streams_has(&s.server.streams[0], "multipath", "passive"));
    CHECK(streams_has(&s.client.streams[0], "multipath", "disabled"));
    streams_finish(&s);
}

/* ------------------------------------------------------------------------------------------------------ moving */

/* The local address of the winner, as the report has it. */
static const char *won_from(const struct stream *t)
{
    const taps_report *report = taps_connection_report(t->connection);
    struct taps_candidate_info info;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        if (taps_report_candidate(report, i, &info) == 0 && info.state == TAPS_CANDIDATE_WON &&
            info.kind == TAPS_CANDIDATE_ENDPOINT)
            return info.local ? info.local : "?";
    }
    return "";
}

/* proves API-073, API-096 and API-044: it goes where it is told to, each member hears, and nothing is lost */
TEST(who_is_told_another_address_moves_there)
{
    struct streams s;
    struct stream *t = begin(&s, "active"), *other;
    struct taps_move_info move = {0};
    NEED(streams_clone(t, NULL, &other) == 0);
    streams_run(&s, 100);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.3"), 0);
    CHECK_INT(moving_call(other->connection, REMOVE_LOCAL, "192.0.2.2"), 0);
    CHECK(moving_is_at(t, "192.0.2.2")); /* not inside the call */
    streams_run(&s, 500);
    CHECK(moving_is_at(t, "192.0.2.3") && moving_is_at(other, "192.0.2.3"));
    CHECK_TEXT(taps_endpoint_interface(taps_connection_local(t->connection)), "eth0");
    CHECK(t->path_changes >= 1 && other->path_changes >= 1);
    CHECK(moving_talks(&s, t, 200) && moving_talks(&s, other, 200));
    CHECK_INT(taps_report_move_count(taps_connection_report(t->connection)), 1);
    CHECK_INT(taps_report_move(taps_connection_report(t->connection), 1, &move), TAPS_E_RANGE);
    NEED(taps_report_move(taps_connection_report(t->connection), 0, &move) == 0);
    CHECK_INT(move.number, 1);
    CHECK(strncmp(move.local, "192.0.2.3:", 10) == 0);
    CHECK_TEXT(move.remote, "192.0.2.1:443");
    CHECK(strncmp(won_from(t), "192.0.2.2:", 10) == 0); /* the race is what it was */
    CHECK(move.ms > taps_report_ready_ms(taps_connection_report(t->connection)) && move.ms < 1000);
    streams_finish(&s);
}

/* proves API-073: and back, as often as one likes; the report tells of the last moves */
TEST(it_moves_to_and_fro)
{
    static const char *const at[] = {"192.0.2.2", "192.0.2.3"};
    struct streams s;
    struct stream *t = begin(&s, "active");
    struct taps_move_info move = {0};
    for (int i = 1; i <= 20; i++) {
        CHECK_INT(moving_call(t->connection, ADD_LOCAL, at[i % 2]), 0);
        CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, at[1 - i % 2]), 0);
        streams_run(&s, 500);
        CHECK(moving_is_at(t, at[i % 2]));
        CHECK(moving_talks(&s, t, 300));
    }
    CHECK_INT(taps_report_move_count(taps_connection_report(t->connection)), 16);
    NEED(taps_report_move(taps_connection_report(t->connection), 15, &move) == 0);
    CHECK_INT(move.number, 20);
    CHECK_INT(streams_ends(t), 0);
    streams_finish(&s);
}

/* proves API-073: an interface is a Local Endpoint too */
TEST(who_is_told_another_interface_moves_there)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    moving_interface(&s, "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24");
    streams_run(&s, 100);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "wlan0"), 0);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "eth0"), 0);
    streams_run(&s, 500);
    CHECK(moving_is_at(t, "198.51.100.2"));
    CHECK_TEXT(taps_endpoint_interface(taps_connection_local(t->connection)), "wlan0");
    CHECK(moving_talks(&s, t, 200));
    streams_finish(&s);
}

/* proves API-073: what was taken away is not used even when nothing else is left, until it is given back */
TEST(what_was_removed_stays_removed_until_it_is_added)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.2"), 0);
    streams_run(&s, 500);
    CHECK(moving_is_at(t, "192.0.2.3"));
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.2"), 0);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.3"), 0);
    streams_run(&s, 500);
    CHECK(moving_is_at(t, "192.0.2.2"));
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.2"), 0);
    streams_run(&s, 100);
    CHECK(moving_ended(t, "no other path reaches the peer"));
    streams_finish(&s);
}

/* proves API-073: the last one ends it, and all that is in its group */
TEST(without_any_endpoint_all_members_end)
{
    for (int remote = 0; remote < 2; remote++) {
        struct streams s;
        struct stream *t = begin(&s, "active"), *other;
        NEED(streams_clone(t, NULL, &other) == 0);
        streams_run(&s, 100);
        CHECK_INT(moving_call(other->connection, remote ? REMOVE_REMOTE : REMOVE_LOCAL, remote ? "192.0.2.1" : "eth0"),
                  0);
        CHECK_INT(streams_ends(t) + streams_ends(other), 0);
        streams_run(&s, 100);
        CHECK(moving_ended(t, remote ? "Remote" : "Local") && moving_ended(other, remote ? "Remote" : "Local"));
        CHECK(s.server.streams[0].connection_error == 1); /* the peer was told */
        streams_finish(&s);
    }
}

/* ---------------------------------------------------------------------------------------------- the network changes */

/* proves IMPL-21 and API-096: the address goes, the Connection goes on from another */
TEST(when_its_address_goes_it_moves_to_another)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    tapsi_sim_address_remove(s.w.client_if, "192.0.2.2/24");
    streams_run(&s, 1000);
    CHECK(moving_is_at(t, "192.0.2.3"));
    CHECK(t->path_changes >= 1);
    CHECK_INT(streams_ends(t), 0);
    CHECK_INT(taps_report_move_count(taps_connection_report(t->connection)), 1);
    if (streams_row.alpn)
        CHECK(moving_talks(&s, t, 1000));
    streams_finish(&s);
}

/* proves IMPL-21: no path at all, and then another one */
TEST(without_any_path_it_waits_for_one)
{
    struct streams s;
    struct stream *t = begin(&s, "passive");
    tapsi_sim_address_remove(s.w.client_if, "192.0.2.3/24");
    tapsi_sim_address_remove(s.w.client_if, "192.0.2.2/24");
    streams_run(&s, 3000);
    CHECK_INT(streams_ends(t), 0);
    CHECK(moving_is_at(t, "192.0.2.2"));
    moving_interface(&s, "wwan0", TAPSI_IF_CELLULAR, "203.0.113.2/24");
    streams_run(&s, 2000);
    CHECK(moving_is_at(t, "203.0.113.2"));
    if (streams_row.alpn)
        CHECK(moving_talks(&s, t, 2000));
    CHECK_INT(streams_ends(t), 0);
    streams_finish(&s);
}

/* proves API-043 and IMPL-21: Disabled stays where it is, also when its address is gone, and goes on when it is back */
TEST(without_multipath_it_waits_for_its_own_address)
{
    struct streams s;
    struct stream *t = begin(&s, NULL);
    tapsi_sim_address_remove(s.w.client_if, "192.0.2.2/24");
    CHECK_INT(streams_send(t, "a"), 0);
    streams_run(&s, 2000);
    CHECK_INT(streams_ends(t), 0);
    CHECK(moving_is_at(t, "192.0.2.2"));
    tapsi_sim_address_add(s.w.client_if, "192.0.2.2/24", false, false);
    streams_run(&s, 10000);
    CHECK_INT(s.server.streams[0].length, 2);
    CHECK_INT(streams_ends(t), 0);
    CHECK_INT(t->path_changes, 0);
    streams_finish(&s);
}

/* proves API-043: a path that is prohibited is no way out */
TEST(prohibited_interfaces_are_not_moved_to)
{
    struct streams s;
    streams_new(&s);
    taps_transport_properties_set(s.w.properties, "multipath", "active");
    taps_transport_properties_set(s.w.properties, "interface", "prohibit wlan0");
    struct stream *t = streams_begin(&s);
    moving_interface(&s, "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24");
    streams_run(&s, 100);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "wlan0"), 0); /* known, and yet ruled out */
    tapsi_sim_address_remove(s.w.client_if, "192.0.2.2/24");
    streams_run(&s, 2000);
    CHECK(moving_is_at(t, "192.0.2.2"));
    CHECK_INT(streams_ends(t), 0);
    tapsi_sim_address_add(s.w.client_if, "192.0.2.4/24", false, false);
    streams_run(&s, 2000);
    CHECK(moving_is_at(t, "192.0.2.4"));
    streams_finish(&s);
}

/* proves API-073: the Local Endpoints of the Preconnection are those that are known */
TEST(local_endpoints_of_the_preconnection_are_kept_to)
{
    struct streams s;
    streams_new(&s);
    taps_transport_properties_set(s.w.properties, "multipath", "active");
    tapsi_sim_address_add(s.w.client_if, "192.0.2.3/24", false, false);
    taps_endpoint *local;
    taps_local_endpoint_new(&local);
    taps_endpoint_with_ip_address(local, "192.0.2.3");
    taps_preconnection_add_local(s.client.preconnection, local);
    taps_endpoint_free(local);
    struct stream *t = streams_begin(&s);
    CHECK(moving_is_at(t, "192.0.2.3"));
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.2"), 0);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.3"), 0);
    streams_run(&s, 500);
    CHECK(moving_is_at(t, "192.0.2.2"));
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.2"), 0);
    streams_run(&s, 100);
    CHECK(moving_ended(t, "no other is known"));
    streams_finish(&s);
}

/* proves API-086: it can be set at any time, on any member, for all of them */
TEST(the_policy_is_the_groups)
{
    struct streams s;
    struct stream *t = begin(&s, "active"), *other;
    CHECK(streams_has(t, "multipathPolicy", "handover"));
    NEED(streams_clone(t, NULL, &other) == 0);
    streams_run(&s, 100);
    CHECK_INT(taps_connection_set_property(other->connection, "multipathPolicy", "interactive"), 0);
    CHECK(streams_has(t, "multipathPolicy", "interactive"));
    CHECK_INT(taps_connection_set_property(t->connection, "multipathPolicy", "aggregate"), 0);
    CHECK(streams_has(other, "multipathPolicy", "aggregate"));
    CHECK_INT(taps_connection_set_property(t->connection, "multipathPolicy", "fastest"), TAPS_E_RANGE);
    CHECK_INT(taps_connection_set_property(t->connection, "multipath", "active"), TAPS_E_READ_ONLY);
    CHECK(streams_has(other, "multipathPolicy", "aggregate"));
    streams_finish(&s);
}

/* proves API-073 and IMPL-21: who leaves the group leaves its paths behind for the others */
TEST(the_paths_outlive_the_connection_that_they_came_with)
{
    struct streams s;
    struct stream *t = begin(&s, "active"), *other;
    NEED(streams_clone(t, NULL, &other) == 0);
    streams_run(&s, 100);
    CHECK(moving_talks(&s, other, 100));
    streams_free(t);
    streams_run(&s, 100);
    CHECK_INT(moving_call(other->connection, REMOVE_LOCAL, "192.0.2.2"), 0);
    streams_run(&s, 500);
    CHECK(moving_is_at(other, "192.0.2.3"));
    CHECK(moving_talks(&s, other, 200));
    streams_free(other);
    tapsi_sim_address_add(s.w.client_if, "192.0.2.4/24", false, false); /* nobody is left to be told */
    streams_run(&s, 100);
    streams_finish(&s);
}

/* A routing daemon at work: the first change is seen at once, those after it together, and the last counts. */
TEST(a_storm_of_changes_is_looked_at_now_and_then)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    for (int i = 0; i < 100; i++) {
        tapsi_sim_address_add(s.w.client_if, "192.0.2.4/24", false, false);
        streams_run(&s, 5);
        tapsi_sim_address_remove(s.w.client_if, "192.0.2.4/24");
        streams_run(&s, 5);
    }
    CHECK(t->path_changes >= 1 && t->path_changes <= 12);
    tapsi_sim_address_add(s.w.client_if, "192.0.2.4/24", false, false);
    tapsi_sim_address_remove(s.w.client_if, "192.0.2.2/24");
    tapsi_sim_address_remove(s.w.client_if, "192.0.2.3/24");
    streams_run(&s, 1000);
    CHECK(moving_is_at(t, "192.0.2.4"));
    streams_finish(&s);
}
