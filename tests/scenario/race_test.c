/* Races (RFC 9623, 4; RFC 8305) in virtual time: every line of the racing table, to the millisecond. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "scenario.h"

#define V6  "[2001:db8::1]:80"
#define V4  "192.0.2.1:80"
#define RTT 10.0

static void serve(struct world *w)
{
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
}

/* A dual-stack name whose answers come after so many milliseconds. */
static void name(struct world *w, uint64_t aaaa_ms, uint64_t a_ms)
{
    tapsi_sim_dns_answer(w->dns, "dual.test", "AAAA", "2001:db8::1", aaaa_ms * TAPSI_SIM_MS);
    tapsi_sim_dns_answer(w->dns, "dual.test", "A", "192.0.2.1", a_ms * TAPSI_SIM_MS);
}

static double ready(const struct world *w)
{
    return taps_report_ready_ms(taps_connection_report(w->connection));
}

static bool near(double value, double expected)
{
    if (value > expected - 1.5 && value < expected + 1.5)
        return true;
    tapsi_test_fail(__FILE__, __LINE__, "%.3f ms, expected %.3f", value, expected);
    return false;
}

/* proves API-060, IMPL-07, IMPL-10: nothing wrong, so nothing but the first candidate touches the network. */
TEST(first_candidate_wins_and_no_other_is_seen)
{
    struct world w;
    struct taps_candidate_info other;
    world_new(&w);
    serve(&w);
    name(&w, 0, 0);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(world_winner(&w), V6);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
    CHECK(near(ready(&w), RTT + RTT));
    CHECK(world_candidate(&w, V4, &other));
    CHECK_INT(other.state, TAPS_CANDIDATE_NOT_STARTED);
    world_run_ms(&w, 3000);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
    world_finish(&w);
}

/* proves IMPL-07, IMPL-08: blackholed first address; ready one attempt delay and one round trip later. */
TEST(blackholed_first_address_costs_one_attempt_delay)
{
    struct world w;
    struct taps_candidate_info loser;
    world_new(&w);
    serve(&w);
    name(&w, 0, 0);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V4);
    CHECK(near(ready(&w), RTT + 250 + RTT));
    CHECK(world_candidate(&w, V6, &loser));
    CHECK_INT(loser.state, TAPS_CANDIDATE_CANCELLED);
    CHECK_INT(tapsi_sim_host_sockets(w.client), 1); /* the winner's */
    world_finish(&w);
}

/* proves IMPL-07: a failed child starts the next at once. */
TEST(refused_first_address_starts_the_next_at_once)
{
    struct world w;
    struct taps_candidate_info first, second;
    world_new(&w);
    serve(&w);
    name(&w, 0, 0);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V4);
    CHECK(near(ready(&w), 3 * RTT));
    CHECK(world_candidate(&w, V6, &first) && world_candidate(&w, V4, &second));
    CHECK_INT(first.state, TAPS_CANDIDATE_FAILED);
    CHECK_INT(first.error, TAPS_E_REFUSED);
    CHECK(second.start_ms - first.end_ms < 5);
    world_finish(&w);
}

/* proves IMPL-08: AAAA within the resolution delay is waited for. */
TEST(aaaa_30_ms_late_still_goes_first)
{
    struct world w;
    world_new(&w);
    serve(&w);
    name(&w, 30, 0);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V6);
    CHECK(near(ready(&w), RTT + 30 + RTT));
    world_finish(&w);
}

/* proves IMPL-08: after the resolution delay of 50 ms IPv4 goes ahead. */
TEST(aaaa_300_ms_late_is_not_waited_for)
{
    struct world w;
    world_new(&w);
    serve(&w);
    name(&w, 300, 0);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V4);
    CHECK(near(ready(&w), RTT + 50 + RTT));
    world_run_ms(&w, 1000);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V6), 0);
    world_finish(&w);
}

/* proves IMPL-08 */
TEST(aaaa_never_answered_is_not_waited_for)
{
    struct world w;
    world_new(&w);
    serve(&w);
    tapsi_sim_dns_answer(w.dns, "dual.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_fail(w.dns, "dual.test", "AAAA", TAPSI_SIM_DNS_NEVER, 0);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V4);
    CHECK(near(ready(&w), RTT + 50 + RTT));
    world_finish(&w);
}

/* proves IMPL-08, IMPL-13: no A record at all. */
TEST(missing_a_is_no_hindrance)
{
    struct world w;
    world_new(&w);
    serve(&w);
    tapsi_sim_dns_answer(w.dns, "six.test", "AAAA", "2001:db8::1", 0);
    world_initiate(&w, "six.test:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V6);
    CHECK(near(ready(&w), 2 * RTT));
    world_finish(&w);
}

/* proves IMPL-08: an answer that comes while the race runs joins it. */
TEST(late_aaaa_saves_a_race_whose_ipv4_is_dead)
{
    struct world w;
    world_new(&w);
    serve(&w);
    name(&w, 400, 0);
    tapsi_sim_fault(w.sim, "192.0.2.1:80", TAPSI_SIM_BLACKHOLE);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V6);
    CHECK(near(ready(&w), RTT + 400 + RTT)); /* IPv4's attempt delay has passed by then */
    world_finish(&w);
}

/* proves IMPL-08: it waits for the attempt delay of what runs, not for a new one. */
TEST(aaaa_that_comes_early_in_a_race_starts_with_its_attempt_delay)
{
    struct world w;
    world_new(&w);
    serve(&w);
    name(&w, 150, 0);
    tapsi_sim_fault(w.sim, "192.0.2.1:80", TAPSI_SIM_BLACKHOLE);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V6);
    CHECK(near(ready(&w), RTT + 50 + 250 + RTT));
    world_finish(&w);
}

/* proves IMPL-12, IMPL-08: 64 addresses of each family; every third is refused, the rest are dead but the last. */
TEST(many_addresses_are_tried_in_turn_and_bounded)
{
    struct world w;
    world_new(&w);
    for (int i = 0; i < 64; i++) {
        char text[64];
        snprintf(text, sizeof(text), "2001:db8::%x", 0x100 + i);
        tapsi_sim_dns_answer(w.dns, "many.test", "AAAA", text, 0);
        snprintf(text, sizeof(text), "192.0.2.%d", 100 + i);
        tapsi_sim_dns_answer(w.dns, "many.test", "A", text, 0);
    }
    serve(&w);
    world_server_address(&w, "192.0.2.163/24");
    world_initiate(&w, "many.test:80", 60000);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(world_winner(&w), "192.0.2.163:80");
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_CANCELLED) + world_count(&w, TAPS_CANDIDATE_FAILED) +
                  world_count(&w, TAPS_CANDIDATE_NOT_STARTED) + 1,
              128);
    CHECK(ready(&w) < 128 * 250 + 100);
    world_finish(&w);
}

/* proves IMPL-08: families alternate, IPv6 first. */
TEST(families_alternate)
{
    struct world w;
    struct taps_candidate_info info;
    const char *order[] = {"[2001:db8::a]:80", "192.0.2.10:80", "[2001:db8::b]:80", "192.0.2.11:80"};
    world_new(&w);
    tapsi_sim_dns_answer(w.dns, "four.test", "AAAA", "2001:db8::a 2001:db8::b", 0);
    tapsi_sim_dns_answer(w.dns, "four.test", "A", "192.0.2.10 192.0.2.11", 0);
    world_initiate(&w, "four.test:80", 2000);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    for (int i = 0; i < 4; i++) {
        CHECK(world_candidate(&w, order[i], &info));
        CHECK(near(info.start_ms, RTT + 250 * i));
    }
    world_finish(&w);
}

/* proves API-062: the deadline covers everything, and the error comes exactly once. */
TEST(all_dead_is_a_timeout_at_the_deadline)
{
    struct world w;
    world_new(&w);
    name(&w, 0, 0);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    tapsi_sim_fault(w.sim, "192.0.2.1:80", TAPSI_SIM_BLACKHOLE);
    world_initiate(&w, "dual.test:80", 3000);
    double start = taps_context_now_ms(w.context);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    CHECK(near(w.heard.end_ms - start, 3000));
    CHECK(strstr(w.heard.detail, "dual.test:80") != NULL);
    world_run_ms(&w, 10000);
    CHECK_INT(w.heard.total, 1);
    CHECK_INT(tapsi_sim_host_sockets(w.client), 0);
    world_finish(&w);
}

/* proves API-062: the deadline covers name resolution too. */
TEST(dead_name_server_is_a_timeout_at_the_deadline)
{
    struct world w;
    world_new(&w);
    tapsi_sim_fault(w.sim, "192.0.2.1", TAPSI_SIM_BLACKHOLE);
    world_initiate(&w, "dual.test:80", 700);
    double start = taps_context_now_ms(w.context);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    CHECK(near(w.heard.end_ms - start, 700));
    CHECK(strstr(w.heard.detail, "name server") != NULL);
    world_finish(&w);
}

/* proves API-062, IMPL-25 */
TEST(unknown_name_is_resolution_failed_with_the_name)
{
    struct world w;
    world_new(&w);
    world_initiate(&w, "nosuch.test:80", 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_RESOLUTION);
    CHECK_INT(taps_err_reason(w.heard.code), TAPS_REASON_RESOLUTION_FAILED);
    CHECK(strstr(w.heard.detail, "nosuch.test") != NULL);
    world_finish(&w);
}

/* proves API-062 */
TEST(name_without_addresses_is_resolution_failed)
{
    struct world w;
    world_new(&w);
    tapsi_sim_dns_fail(w.dns, "empty.test", "A", TAPSI_SIM_DNS_EMPTY, 0);
    tapsi_sim_dns_fail(w.dns, "empty.test", "AAAA", TAPSI_SIM_DNS_EMPTY, 0);
    world_initiate(&w, "empty.test:80", 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_RESOLUTION);
    world_finish(&w);
}

/* proves API-062 */
TEST(servfail_for_both_families_is_resolution_failed)
{
    struct world w;
    world_new(&w);
    tapsi_sim_dns_fail(w.dns, "broken.test", "A", TAPSI_SIM_DNS_SERVFAIL, 0);
    tapsi_sim_dns_fail(w.dns, "broken.test", "AAAA", TAPSI_SIM_DNS_SERVFAIL, 0);
    world_initiate(&w, "broken.test:80", 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_RESOLUTION);
    CHECK(strstr(w.heard.detail, "broken.test") != NULL);
    world_finish(&w);
}

/* proves API-062: every candidate refused. */
TEST(all_refused_is_an_error_at_once)
{
    struct world w;
    world_new(&w);
    name(&w, 0, 0);
    world_initiate(&w, "dual.test:80", 0); /* nobody listens */
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK_INT(taps_err_reason(w.heard.code), TAPS_REASON_ESTABLISHMENT_FAILED);
    CHECK_INT(w.heard.domain, TAPS_DOMAIN_ERRNO);
    CHECK_INT(w.heard.native, ECONNREFUSED);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_FAILED), 2);
    world_finish(&w);
}

/* proves IMPL-10: the server sees the loser closed, and nothing of it is left. */
TEST(loser_that_connects_late_is_closed_completely)
{
    struct world w;
    world_new(&w);
    struct tapsi_sim_service *service = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
    name(&w, 0, 0);
    tapsi_sim_delay(w.sim, "2001:db8::1", 245 * TAPSI_SIM_MS); /* its SYN-ACK comes just after the winner's */
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    world_run_ms(&w, 2000);
    CHECK_INT(tapsi_sim_service_counts(service).open, 1);
    world_finish(&w);
}

/* proves API-010: an address is that address, whatever its host's name resolves to. */
TEST(address_connects_to_that_address_only)
{
    struct world w;
    world_new(&w);
    serve(&w);
    tapsi_sim_fault(w.sim, "192.0.2.1:80", TAPSI_SIM_REFUSE);
    world_initiate(&w, V4, 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V6), 0);
    CHECK_INT(tapsi_sim_dns_queries(w.dns, NULL, NULL), 0);
    world_finish(&w);
}

/* proves API-006: several Remote Endpoints are equivalent. */
TEST(second_remote_endpoint_serves_when_the_first_is_dead)
{
    struct world w;
    taps_endpoint *spare;
    world_new(&w);
    world_server_address(&w, "192.0.2.77/24");
    serve(&w);
    tapsi_sim_fault(w.sim, "192.0.2.1", TAPSI_SIM_REFUSE);
    world_start(&w);
    taps_remote_endpoint_new(&spare);
    taps_endpoint_with_text(spare, "192.0.2.1:80");
    taps_preconnection_add_remote(w.preconnection, spare);
    taps_endpoint_free(spare);
    world_initiate(&w, "192.0.2.77:80", 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), "192.0.2.77:80");
    world_finish(&w);
}

/* proves ARCH-13, IMPL-05: the same properties on the same network give the same candidates in the same order. */
TEST(same_input_same_order)
{
    char orders[2][2000];
    for (int run = 0; run < 2; run++) {
        struct world w;
        struct taps_candidate_info info;
        size_t used = 0;
        world_new(&w);
        tapsi_sim_dns_answer(w.dns, "four.test", "AAAA", "2001:db8::a 2001:db8::b", 0);
        tapsi_sim_dns_answer(w.dns, "four.test", "A", "192.0.2.10 192.0.2.11", 0);
        world_initiate(&w, "four.test:80", 2000);
        world_run_until_end(&w);
        const taps_report *report = taps_connection_report(w.connection);
        for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
            taps_report_candidate(report, i, &info);
            used += (size_t)snprintf(orders[run] + used, sizeof(orders[run]) - used, "%s %s %s\n", info.id,
                                     info.stack ? info.stack : "-", info.remote ? info.remote : "-");
        }
        world_finish(&w);
    }
    CHECK_TEXT(orders[1], orders[0]);
}

/* proves API-003, API-018: what was handed over is a copy, and the Preconnection can be used again. */
TEST(preconnection_is_reusable_and_frozen)
{
    struct world w;
    struct heard first;
    world_new(&w);
    serve(&w);
    world_initiate(&w, V4, 0);
    taps_transport_properties_set(w.properties, "direction", "unidirectional receive");
    taps_preconnection_set_transport_properties(w.preconnection, w.properties);
    taps_preconnection_set_security_parameters(w.preconnection, NULL); /* secure again: the first must not care */
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(taps_connection_send(w.connection, "x", 1, NULL, 0, NULL), 0);
    first = w.heard;
    taps_connection_free(w.connection);
    w.connection = NULL;
    memset(&w.heard, 0, sizeof(w.heard));
    taps_preconnection_set_security_parameters(w.preconnection, w.security);
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, &world_events, &w, &w.connection), 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(first.ready, 1);
    CHECK_INT(taps_connection_send(w.connection, "x", 1, NULL, 0, NULL), TAPS_E_NOT_APPLICABLE);
    world_finish(&w);
}

/* proves IMPL-01, API-062: what no stack has is refused at once, and the property is named. */
TEST(unsatisfiable_property_is_refused_at_once)
{
    struct world w;
    world_new(&w);
    taps_transport_properties_set(w.properties, "multistreaming", "require");
    world_initiate(&w, V4, 0);
    CHECK_INT(w.initiated, TAPS_E_CONFIGURATION);
    CHECK(strstr(taps_preconnection_error(w.preconnection)->detail, "multistreaming") != NULL);
    CHECK(taps_preconnection_report(w.preconnection) != NULL);
    CHECK(w.connection == NULL);
    CHECK_INT(w.heard.total, 0);
    world_finish(&w);
}

/* proves API-004 */
TEST(initiate_without_remote_is_refused_at_once)
{
    struct world w;
    taps_connection *c = NULL;
    world_new(&w);
    world_start(&w);
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, NULL, NULL, &c), TAPS_E_CONFIGURATION);
    CHECK(c == NULL);
    taps_listener *l = NULL;
    CHECK_INT(taps_preconnection_listen(w.preconnection, NULL, NULL, &l), TAPS_E_CONFIGURATION);
    CHECK(l == NULL);
    world_finish(&w);
}

/* proves IMPL-15: UDP is ready when a route and a local port exist; no packet is needed. */
TEST(udp_is_ready_at_once)
{
    struct world w;
    world_new(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
    tapsi_sim_udp_echo(w.server, 7);
    w.keep_reading = true;
    world_initiate(&w, "192.0.2.1:7", 0);
    taps_connection_receive(w.connection, SIZE_MAX, SIZE_MAX, NULL);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK(near(ready(&w), 0));
    CHECK_TEXT(taps_connection_stack(w.connection), "udp");
    CHECK_INT(taps_connection_send(w.connection, "hello", 5, NULL, 0, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.received, 1);
    CHECK_INT(w.heard.length, 5);
    world_finish(&w);
}

/* proves IMPL-15: without a route it is not. */
TEST(udp_without_route_fails)
{
    struct world w;
    world_new(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
    tapsi_sim_route_remove(w.client_if, "0.0.0.0/0");
    world_initiate(&w, "198.51.100.1:7", 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    world_finish(&w);
}

/* proves API-040, API-020: a required interface is the only path; an unknown one leaves no candidate. */
TEST(required_interface_that_is_not_there_leaves_no_candidate)
{
    struct world w;
    world_new(&w);
    serve(&w);
    taps_transport_properties_set(w.properties, "interface", "require wlan7");
    world_initiate(&w, V4, 0);
    if (w.initiated == 0)
        world_run_until_end(&w);
    CHECK(w.initiated != 0 || w.heard.code == TAPS_E_NO_CANDIDATES);
    world_finish(&w);
}

/* proves API-040: paths that are prohibited are not used, also as a type. */
TEST(prohibited_interface_type_is_not_used)
{
    struct world w;
    world_new(&w);
    serve(&w);
    struct tapsi_sim_interface *wifi = tapsi_sim_interface_new(w.client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24");
    tapsi_sim_link_join(w.link, wifi);
    taps_transport_properties_set(w.properties, "interface", "prohibit ethernet");
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_endpoint_ip_address(taps_connection_local(w.connection)), "192.0.2.3");
    CHECK_TEXT(taps_endpoint_interface(taps_connection_local(w.connection)), "wlan0");
    world_finish(&w);
}

/* proves API-015, API-005: a Local Endpoint binds address and port. */
TEST(local_endpoint_binds)
{
    struct world w;
    taps_endpoint *local;
    world_new(&w);
    serve(&w);
    world_start(&w);
    taps_local_endpoint_new(&local);
    taps_endpoint_with_ip_address(local, "192.0.2.2");
    taps_endpoint_with_port(local, 5555);
    taps_preconnection_add_local(w.preconnection, local);
    taps_endpoint_free(local);
    world_initiate(&w, "dual.test:80", 0);
    name(&w, 0, 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V4);
    CHECK_INT(taps_endpoint_port(taps_connection_local(w.connection)), 5555);
    CHECK_INT(tapsi_sim_dns_queries(w.dns, "dual.test", "AAAA"), 0); /* of no use */
    world_finish(&w);
}

/* proves API-016: an endpoint for another protocol is no candidate. */
TEST(endpoint_of_another_protocol_is_no_candidate)
{
    struct world w;
    taps_endpoint *e;
    world_new(&w);
    serve(&w);
    world_start(&w);
    taps_remote_endpoint_new(&e);
    taps_endpoint_with_text(e, "192.0.2.1:9");
    taps_endpoint_with_protocol(e, "udp");
    taps_preconnection_add_remote(w.preconnection, e);
    taps_endpoint_free(e);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_TEXT(world_winner(&w), V4);
    CHECK_INT(tapsi_sim_packets_to(w.sim, "192.0.2.1:9"), 0);
    world_finish(&w);
}

/* proves API-060: closed before it was ready. */
TEST(close_before_ready_gives_up)
{
    struct world w;
    world_new(&w);
    name(&w, 0, 0);
    world_initiate(&w, "dual.test:80", 0);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_CANCELLED);
    world_finish(&w);
}

TEST(free_while_racing_leaves_nothing)
{
    struct world w;
    world_new(&w);
    name(&w, 0, 0);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    world_initiate(&w, "dual.test:80", 0);
    world_run_ms(&w, 100);
    taps_connection_free(w.connection);
    w.connection = NULL;
    world_run_ms(&w, 2000);
    CHECK_INT(w.heard.total, 0);
    world_finish(&w);
}
