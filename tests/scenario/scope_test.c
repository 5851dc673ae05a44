/* Addresses and interfaces that an endpoint or a property rules out are left alone. */
#include <stdio.h>
#include <string.h>
#include "peer.h"

#define LOOSE                                                                                                          \
    "reliability=no preference;preserveOrder=no preference;congestionControl=no preference;safelyReplayable=true"

static void add_local(struct world *w, const char *text)
{
    CHECK_INT(taps_preconnection_add_local_text(w->preconnection, text), 0);
}

static const char *local_of(const struct world *w)
{
    return taps_endpoint_ip_address(taps_connection_local(w->connection));
}

/* proves API-008, API-015: the zone of a link-local address decides the interface, whoever else has that address. */
TEST(a_scoped_address_is_reached_on_its_interface)
{
    for (int way = 0; way < 2; way++) {
        struct world w;
        taps_endpoint *e;
        world_new(&w);
        struct tapsi_sim_interface *wlan =
            tapsi_sim_interface_new(w.client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24 fe80::2/64");
        struct tapsi_sim_host *other = tapsi_sim_host_new(w.sim, "other");
        tapsi_sim_address_add(w.client_if, "fe80::2/64", false, false);
        world_server_address(&w, "fe80::1/64");
        tapsi_sim_link_new(wlan, tapsi_sim_interface_new(other, "eth0", TAPSI_IF_ETHERNET, "fe80::1/64"), 1000);
        struct tapsi_sim_service *wrong = tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        struct tapsi_sim_service *right = tapsi_sim_serve(other, 80, TAPSI_SIM_ECHO);
        world_start(&w);
        taps_remote_endpoint_new(&e);
        CHECK_INT(taps_endpoint_with_ip_address(e, way ? "fe80::1%wlan0" : "fe80::1"), 0);
        if (!way)
            CHECK_INT(taps_endpoint_with_interface(e, "wlan0"), 0);
        taps_endpoint_with_port(e, 80);
        taps_preconnection_add_remote(w.preconnection, e);
        taps_endpoint_free(e);
        taps_preconnection_set_security_parameters(w.preconnection, w.security);
        CHECK_INT(taps_preconnection_initiate(w.preconnection, 3000, &world_events, &w, &w.connection), 0);
        world_run_until_ready(&w);
        world_run_ms(&w, 2000);
        CHECK_INT(tapsi_sim_service_counts(wrong).accepted, 0);
        CHECK_INT(tapsi_sim_service_counts(right).accepted, 1);
        CHECK_TEXT(taps_endpoint_interface(taps_connection_local(w.connection)), "wlan0");
        world_finish(&w);
    }
}

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    (void)error;
    (void)locals;
    (void)remotes;
    (void)remote_count;
    *(size_t *)user = local_count;
}

/* proves API-011: what the Local Endpoint excludes is not listed. */
TEST(resolve_keeps_to_the_local_endpoints)
{
    struct world w;
    size_t locals = 0;
    world_new(&w);
    world_start(&w);
    add_local(&w, "192.0.2.2:777");
    taps_preconnection_add_remote_text(w.preconnection, "192.0.2.1:80");
    CHECK_INT(taps_preconnection_resolve(w.preconnection, 1000, on_resolved, &locals), 0);
    world_run_ms(&w, 100);
    CHECK_INT(locals, 1);
    world_finish(&w);
}

/* proves API-019, API-042: where the only address is temporary, Prohibit leaves none. */
TEST(a_prohibited_temporary_address_is_never_used)
{
    for (int dual = 0; dual < 2; dual++) {
        struct world w;
        world_new(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        tapsi_sim_dns_answer(w.dns, "dual.test", "AAAA", "2001:db8::1", 0);
        tapsi_sim_dns_answer(w.dns, "dual.test", "A", "192.0.2.1", 0);
        tapsi_sim_address_add(w.client_if, "2001:db8::aaaa/64", true, false);
        tapsi_sim_address_remove(w.client_if, "2001:db8::2");
        taps_transport_properties_set(w.properties, "useTemporaryLocalAddress", "prohibit");
        world_initiate(&w, dual ? "dual.test:80" : "[2001:db8::1]:80", 3000);
        world_run_until_ready(&w);
        CHECK_INT(w.heard.ready, dual);
        if (w.heard.ready)
            CHECK_TEXT(local_of(&w), "192.0.2.2");
        world_finish(&w);
    }
}

/* The report: `error` is that of a failure, or 0. */
TEST(a_pruned_candidate_has_no_error)
{
    struct world w;
    struct taps_candidate_info c;
    world_new(&w);
    tapsi_sim_dns_answer(w.dns, "a.test", "A", "192.0.2.1", 0);
    world_initiate(&w, "a.test:80", 0);
    world_run_until_end(&w);
    const taps_report *report = taps_connection_report(w.connection);
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &c);
        if (c.state == TAPS_CANDIDATE_PRUNED)
            CHECK_INT(c.error, 0);
    }
    world_finish(&w);
}
