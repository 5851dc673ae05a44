/*
 * The candidate tree and its race over several paths, protocols and addresses (RFC 9623, 4): its shape, its timers, its
 * ends and its bounds. That every report is a tree at all is checked by world_finish, for every scenario.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peer.h"

#define V4 "192.0.2.1:80"
#define V6 "[2001:db8::1]:80"
#define LOOSE                                                                                                          \
    "reliability=no preference;preserveOrder=no preference;congestionControl=no preference;safelyReplayable=true"

/* A second path of its own: wlan0 leads to a twin of the server, with the same addresses. */
struct twin {
    struct tapsi_sim_interface *client_if;
    struct tapsi_sim_host *host;
    struct tapsi_sim_link *link;
};

static void two_paths(struct world *w, struct twin *t)
{
    world_new(w);
    t->client_if = tapsi_sim_interface_new(w->client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24 2001:db8::3/64");
    t->host = tapsi_sim_host_new(w->sim, "twin");
    t->link =
        tapsi_sim_link_new(t->client_if,
                           tapsi_sim_interface_new(t->host, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24 2001:db8::1/64"),
                           5 * TAPSI_SIM_MS);
}

static void set_all(struct world *w, const char *text)
{
    char copy[300];
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *rest = copy, *item; (item = strsep(&rest, ";"));) {
        char *value = strchr(item, '=');
        *value++ = 0;
        CHECK_INT(taps_transport_properties_set(w->properties, item, value), 0);
    }
}

static void dual(struct world *w)
{
    tapsi_sim_dns_answer(w->dns, "dual.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(w->dns, "dual.test", "A", "192.0.2.1", 0);
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

/* One line for each candidate: "1.1.1 eth0 tcp [2001:db8::1]:80 failed". */
static char *tree_text(const struct world *w)
{
    static char text[4000];
    const taps_report *report = taps_connection_report(w->connection);
    size_t length = 0;
    struct taps_candidate_info c;
    text[0] = 0;
    for (size_t i = 0; i < taps_report_candidate_count(report) && length < sizeof(text); i++) {
        taps_report_candidate(report, i, &c);
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s %s%s%s%s%s %s\n", c.id, c.interface,
                                   c.stack ? " " : "", c.stack ? c.stack : "", c.remote ? " " : "",
                                   c.remote ? c.remote : "", taps_candidate_state_name(c.state));
    }
    return text;
}

static bool find(const struct world *w, const char *id, struct taps_candidate_info *ret)
{
    const taps_report *report = taps_connection_report(w->connection);
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, ret);
        if (strcmp(ret->id, id) == 0)
            return true;
    }
    tapsi_test_fail(__FILE__, __LINE__, "no candidate %s in\n%s", id, tree_text(w));
    *ret = (struct taps_candidate_info){.id = "", .interface = "", .reason = ""};
    return false;
}

static double start_of(const struct world *w, const char *id)
{
    struct taps_candidate_info c;
    return find(w, id, &c) ? c.start_ms : -1;
}

static const char *reason_of(const struct world *w, const char *id)
{
    struct taps_candidate_info c;
    return find(w, id, &c) ? c.reason : "";
}

/* ---------------------------------------------------------------------------------------------------- shape */

/* proves IMPL-04, IMPL-05: path, then protocol, then endpoint; eligible ones in their order, then what was pruned. */
TEST(branches_are_path_protocol_endpoint)
{
    struct world w;
    struct twin t;
    two_paths(&w, &t);
    dual(&w);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_end(&w);
    CHECK_TEXT(tree_text(&w), "1 eth0 failed\n"
                              "1.1 eth0 tcp failed\n"
                              "1.1.1 eth0 tcp [2001:db8::1]:80 failed\n"
                              "1.1.2 eth0 tcp 192.0.2.1:80 failed\n"
                              "1.2 eth0 quic pruned\n"
                              "1.3 eth0 quic-datagram pruned\n"
                              "1.4 eth0 tls/tcp pruned\n"
                              "1.5 eth0 dtls/udp pruned\n"
                              "1.6 eth0 udp pruned\n"
                              "2 wlan0 failed\n"
                              "2.1 wlan0 tcp failed\n"
                              "2.1.1 wlan0 tcp [2001:db8::1]:80 failed\n"
                              "2.1.2 wlan0 tcp 192.0.2.1:80 failed\n"
                              "2.2 wlan0 quic pruned\n"
                              "2.3 wlan0 quic-datagram pruned\n"
                              "2.4 wlan0 tls/tcp pruned\n"
                              "2.5 wlan0 dtls/udp pruned\n"
                              "2.6 wlan0 udp pruned\n"
                              "3 lo pruned\n");
    CHECK(strstr(reason_of(&w, "1.4"), "security is disabled") != NULL);
    CHECK(strstr(reason_of(&w, "1.6"), "reliability") != NULL);
    CHECK(strstr(reason_of(&w, "3"), "lo reaches no address") != NULL);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    world_finish(&w);
}

/* proves IMPL-04, IMPL-05: Prefer sorts, Avoid breaks ties, Prohibit prunes, each with its reason in words. */
TEST(paths_are_pruned_and_sorted_with_reasons)
{
    struct world w;
    struct twin t;
    two_paths(&w, &t);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"ppp0", "tun0", "eth1"};
        static const enum tapsi_interface_type types[] = {TAPSI_IF_CELLULAR, TAPSI_IF_VPN, TAPSI_IF_ETHERNET};
        char address[40];
        snprintf(address, sizeof(address), "192.0.2.%d/24", 20 + i);
        tapsi_sim_link_join(w.link, tapsi_sim_interface_new(w.client, names[i], types[i], address));
    }
    tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE);
    set_all(&w, "interface=prohibit cellular;interface=prefer wifi;interface=avoid eth0");
    world_initiate(&w, V4, 0);
    world_run_until_end(&w);
    struct taps_candidate_info c;
    const char *const order[] = {"wlan0", "tun0", "eth1", "eth0"};
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%d", i + 1);
        CHECK(find(&w, id, &c));
        CHECK_TEXT(c.interface, order[i]);
        CHECK_INT(c.state, TAPS_CANDIDATE_FAILED);
    }
    for (int i = 5; i <= 6; i++) { /* lo and ppp0 */
        char id[8];
        snprintf(id, sizeof(id), "%d", i);
        CHECK(find(&w, id, &c));
        CHECK_INT(c.state, TAPS_CANDIDATE_PRUNED);
        CHECK(strcmp(c.interface, "ppp0") != 0 || strstr(c.reason, "cellular is prohibited") != NULL);
    }
    world_finish(&w);
}

/* proves IMPL-04: a name's addresses are derived for each path by itself. */
TEST(what_one_path_does_not_reach_is_pruned_there_only)
{
    struct world w;
    struct twin t;
    two_paths(&w, &t);
    dual(&w);
    tapsi_sim_address_remove(t.client_if, "2001:db8::3");
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE);
    world_initiate(&w, "dual.test:80", 0);
    world_run_until_end(&w);
    CHECK(strstr(tree_text(&w), "1.1.1 eth0 tcp [2001:db8::1]:80 failed\n") != NULL);
    CHECK(strstr(tree_text(&w), " wlan0 tcp [2001:db8::1]:80 pruned\n") != NULL);
    CHECK(strstr(tree_text(&w), " wlan0 tcp 192.0.2.1:80 failed\n") != NULL);
    world_finish(&w);
}

/* ---------------------------------------------------------------------------------------------------- paths */

#define PATH_DELAY     1000.0
#define PROTOCOL_DELAY 500.0
#define ADDRESS_DELAY  250.0
#define RTT            10.0

/* proves IMPL-07, API-006: the first path is dead: the second is tried when its time has come, and wins. */
TEST(a_dead_path_gives_way_to_the_second)
{
    struct world w;
    struct twin t;
    two_paths(&w, &t);
    tapsi_sim_serve(t.host, 80, TAPSI_SIM_ECHO);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_endpoint_interface(taps_connection_local(w.connection)), "wlan0");
    CHECK(near(start_of(&w, "2"), PATH_DELAY));
    CHECK(near(ready(&w), PATH_DELAY + RTT));
    CHECK_INT(tapsi_sim_host_sockets(w.client), 1);
    world_finish(&w);
}

/* proves IMPL-07: a path that fails altogether starts the next at once. */
TEST(a_failed_path_starts_the_next_at_once)
{
    struct world w;
    struct twin t;
    two_paths(&w, &t);
    tapsi_sim_serve(t.host, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0); /* nobody listens on the first */
    world_run_until_ready(&w);
    CHECK_TEXT(taps_endpoint_interface(taps_connection_local(w.connection)), "wlan0");
    CHECK(near(ready(&w), 2 * RTT));
    world_finish(&w);
}

/* proves IMPL-07: earlier attempts go on, and may still win. */
TEST(an_earlier_path_may_win_after_the_second_has_started)
{
    struct world w;
    struct twin t;
    struct taps_candidate_info c;
    two_paths(&w, &t);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_serve(t.host, 80, TAPSI_SIM_ECHO);
    tapsi_sim_link_delay(w.link, 600 * TAPSI_SIM_MS);
    tapsi_sim_link_delay(t.link, 400 * TAPSI_SIM_MS);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_TEXT(taps_endpoint_interface(taps_connection_local(w.connection)), "eth0");
    CHECK(near(ready(&w), 1200));
    CHECK(find(&w, "2.1.1", &c));
    CHECK_INT(c.state, TAPS_CANDIDATE_CANCELLED);
    CHECK(near(c.start_ms, PATH_DELAY));
    CHECK(near(c.end_ms, 1200));
    CHECK_INT(tapsi_sim_host_sockets(w.client), 1);
    world_finish(&w);
}

/* proves IMPL-07: each parent has a timer of its own: addresses go on by theirs when another path has begun. */
TEST(timers_of_different_parents_are_independent)
{
    struct world w;
    struct twin t;
    two_paths(&w, &t);
    for (int i = 0; i < 8; i++) {
        char text[32];
        snprintf(text, sizeof(text), "192.0.2.%d", 100 + i);
        tapsi_sim_dns_answer(w.dns, "eight.test", "A", text, 0);
    }
    tapsi_sim_dns_fail(w.dns, "eight.test", "AAAA", TAPSI_SIM_DNS_EMPTY, 0);
    world_initiate(&w, "eight.test:80", 1900);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    for (int i = 0; i < 8; i++) {
        char first[16], second[16];
        snprintf(first, sizeof(first), "1.1.%d", i + 1);
        snprintf(second, sizeof(second), "2.1.%d", i + 1);
        double at = RTT + ADDRESS_DELAY * i;
        if (at < 1900)
            CHECK(near(start_of(&w, first), at));
        at += PATH_DELAY - RTT;
        if (at < 1900)
            CHECK(near(start_of(&w, second), at));
        else
            CHECK(start_of(&w, second) < 0);
    }
    CHECK_INT(tapsi_sim_host_sockets(w.client), 0);
    world_finish(&w);
}

/* proves IMPL-08: the attempt delay may be set, from 10 ms to 2 s, for a context and for a Connection. */
TEST(the_attempt_delay_can_be_set_within_its_bounds)
{
    static const struct {
        uint32_t context_ms;
        const char *property;
        double expected;
    } cases[] = {{0, NULL, 250},     {10, NULL, 10},  {2000, NULL, 2000},
                 {2000, "0.1", 100}, {0, "0.01", 10}, {0, "2", 2000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        world_new(&w);
        dual(&w);
        w.options.attempt_delay_ms = cases[i].context_ms;
        if (cases[i].property)
            CHECK_INT(taps_transport_properties_set(w.properties, "_attemptDelay", cases[i].property), 0);
        CHECK_INT(taps_transport_properties_set(w.properties, "_attemptDelay", "0.0099"), TAPS_E_RANGE);
        CHECK_INT(taps_transport_properties_set(w.properties, "_attemptDelay", "2.001"), TAPS_E_RANGE);
        tapsi_sim_fault(w.sim, V6, TAPSI_SIM_BLACKHOLE);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        world_initiate(&w, "dual.test:80", 0);
        world_run_until_ready(&w);
        CHECK(near(ready(&w), RTT + cases[i].expected + RTT));
        world_finish(&w);
    }
}

/* ------------------------------------------------------------------------------------------------ protocols */

/* proves IMPL-07, ARCH-08: protocols that serve equally well are raced; here the second one wins. */
TEST(a_protocol_that_is_dead_gives_way_to_the_second)
{
    struct world w;
    world_new(&w);
    set_all(&w, LOOSE);
    tapsi_sim_udp_echo(w.server, 80);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_TEXT(taps_connection_stack(w.connection), "udp");
    CHECK(near(ready(&w), PROTOCOL_DELAY));
    CHECK_INT(tapsi_sim_host_sockets(w.client), 1);
    world_finish(&w);
}

/* proves ARCH-08: what was required is kept to although nothing that has it works. */
TEST(no_lesser_protocol_stands_in)
{
    static const char *const wishes[] = {LOOSE ";reliability=require", LOOSE ";preserveOrder=require",
                                         LOOSE ";congestionControl=require", LOOSE ";preserveMsgBoundaries=prohibit"};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        world_new(&w);
        set_all(&w, wishes[i]);
        tapsi_sim_udp_echo(w.server, 80);
        world_initiate(&w, V4, 3000); /* tcp is refused */
        world_run_until_end(&w);
        CHECK_INT(w.heard.establishment_error, 1);
        CHECK_INT(w.heard.code, TAPS_E_REFUSED);
        CHECK(strstr(tree_text(&w), "udp pruned") != NULL);
        world_finish(&w);
    }
}

/* proves IMPL-10: the first leaf that is ready wins over the whole tree; nothing starts after it. */
TEST(nothing_starts_after_the_winner)
{
    struct world w;
    struct twin t;
    two_paths(&w, &t);
    tapsi_sim_dns_answer(w.dns, "many.test", "A", "192.0.2.1 192.0.2.101 192.0.2.102 192.0.2.103", 0);
    tapsi_sim_dns_answer(w.dns, "many.test", "AAAA", "2001:db8::1 2001:db8::101", 0);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
    tapsi_sim_link_delay(w.link, 150 * TAPSI_SIM_MS); /* a second one has started by then */
    world_initiate(&w, "many.test:80", 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_WON), 1);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_CANCELLED), 1);
    CHECK_INT(tapsi_sim_host_sockets(w.client), 1);
    unsigned started = world_count(&w, TAPS_CANDIDATE_NOT_STARTED);
    world_run_ms(&w, 5000);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_NOT_STARTED), started);
    CHECK_INT(tapsi_sim_service_counts(s).open, 1);
    CHECK_INT(tapsi_sim_packets_to(w.sim, "192.0.2.101:80"), 0);
    world_finish(&w);
}

/* proves IMPL-10: failures go up to the root, and the root's is told once, with the farthest one's reason. */
TEST(failures_go_up_to_the_root)
{
    struct world w;
    struct twin t;
    two_paths(&w, &t);
    dual(&w);
    set_all(&w, LOOSE ";preserveMsgBoundaries=prohibit");
    tapsi_sim_link_fault(t.link, TAPSI_SIM_UNREACHABLE);
    world_initiate(&w, "dual.test:80", 0); /* eth0: refused; wlan0: unreachable */
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK(strstr(w.heard.detail, "all 4 candidates of dual.test:80 failed") != NULL);
    world_run_ms(&w, 60000);
    CHECK_INT(w.heard.total, 1);
    world_finish(&w);
}

/* --------------------------------------------------------------------------------------------------- bounds */

static void answer_many(struct world *w, const char *name, int count, bool v4)
{
    for (int i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof(text), "2001:db8::%x:%x", 1 + i / 1000, 0x100 + i);
        tapsi_sim_dns_answer(w->dns, name, "AAAA", text, 0);
        snprintf(text, sizeof(text), "10.%d.%d.%d", 1 + i / 40000, i / 200, 1 + i % 200);
        if (v4)
            tapsi_sim_dns_answer(w->dns, name, "A", text, 0);
    }
}

static unsigned leaves(const struct world *w)
{
    unsigned count = 0;
    for (int s = TAPS_CANDIDATE_NOT_STARTED; s <= TAPS_CANDIDATE_PRUNED; s++)
        count += world_count(w, (enum taps_candidate_state)s);
    return count;
}

/* proves IMPL-12: 500 addresses of each family in one answer: 64 of each are kept, and the race works with those. */
TEST(five_hundred_addresses_are_cut_to_a_bound)
{
    struct world w;
    world_new(&w);
    answer_many(&w, "huge.test", 500, true);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_FINE);
    world_initiate(&w, "huge.test:80", 8000);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(leaves(&w), 128);
    CHECK(w.blocks < 2000);
    CHECK_INT(tapsi_sim_host_sockets(w.client), 0);
    world_finish(&w);
}

/* proves IMPL-12: many names, paths and protocols: 512 leaves in one race, and no more, however long it lasts. */
TEST(a_race_has_at_most_512_leaves)
{
    struct world w;
    struct twin t;
    char name[32];
    two_paths(&w, &t);
    set_all(&w, LOOSE);
    tapsi_sim_route_remove(w.client_if, "0.0.0.0/0");
    world_start(&w);
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "n%d.test", i);
        for (int k = 0; k < 60; k++) {
            char text[64];
            snprintf(text, sizeof(text), "2001:db8::%x:%x", 0x1000 + i, k);
            tapsi_sim_dns_answer(w.dns, name, "AAAA", text, 0);
        }
        snprintf(name, sizeof(name), "n%d.test:80", i);
        CHECK_INT(taps_preconnection_add_remote_text(w.preconnection, name), 0);
    }
    set_all(&w, "reliability=require");
    world_initiate(&w, "n0.test:81", 120000);
    world_run_ms(&w, 5000);
    CHECK(leaves(&w) <= 512);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(leaves(&w), 512);
    CHECK_INT(tapsi_sim_host_sockets(w.client), 0);
    world_finish(&w);
}

/* proves IMPL-12: what answers later than the bound is not added either. */
TEST(late_answers_do_not_pass_the_bound)
{
    struct world w;
    world_new(&w);
    answer_many(&w, "huge.test", 500, false);
    for (int i = 0; i < 500; i++) {
        char text[64];
        snprintf(text, sizeof(text), "10.9.%d.%d", i / 200, 1 + i % 200);
        tapsi_sim_dns_answer(w.dns, "huge.test", "A", text, 700 * TAPSI_SIM_MS);
    }
    world_initiate(&w, "huge.test:80", 3000);
    world_run_until_end(&w);
    CHECK(leaves(&w) <= 128);
    world_finish(&w);
}

/* proves IMPL-12, IMPL-10: a machine that runs out of sockets fails those candidates, not itself. */
TEST(a_race_without_descriptors_ends_with_a_clear_error)
{
    struct world w;
    world_new(&w);
    dual(&w);
    tapsi_sim_host_descriptors(w.client, 1); /* enough for names */
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, "dual.test:80", 3000);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready + w.heard.establishment_error, 1);
    if (w.heard.establishment_error)
        CHECK(w.heard.code == TAPS_E_RESOURCES || w.heard.code == TAPS_E_RESOLUTION || w.heard.code == TAPS_E_TIMEOUT);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------- reasons */

static enum taps_reason reason_after(struct world *w)
{
    if (w->initiated == 0)
        world_run_until_end(w);
    int code = w->initiated ? w->initiated : w->heard.code;
    if (w->initiated)
        CHECK_INT(taps_preconnection_error(w->preconnection)->reason, taps_err_reason(code));
    return taps_err_reason(code);
}

/* proves IMPL-25: the reasons of an establishment, each from what it is for. */
TEST(each_reason_of_an_establishment_can_be_reached)
{
    static const struct {
        const char *remote, *property, *value;
        enum tapsi_sim_fault fault;
        bool serve, abort;
        enum taps_reason reason;
    } cases[] = {
        {V4, "multistreaming", "require", TAPSI_SIM_FINE, true, false, TAPS_REASON_INVALID_CONFIGURATION},
        {V4, "interface", "require eth9", TAPSI_SIM_FINE, true, false, TAPS_REASON_NO_CANDIDATES},
        {"nosuch.test:80", NULL, NULL, TAPSI_SIM_FINE, true, false, TAPS_REASON_RESOLUTION_FAILED},
        {V4, NULL, NULL, TAPSI_SIM_FINE, false, false, TAPS_REASON_ESTABLISHMENT_FAILED},
        {V4, NULL, NULL, TAPSI_SIM_UNREACHABLE, true, false, TAPS_REASON_ESTABLISHMENT_FAILED},
        {V6, NULL, NULL, TAPSI_SIM_PROHIBIT, true, false, TAPS_REASON_POLICY_PROHIBITED},
        {V4, NULL, NULL, TAPSI_SIM_BLACKHOLE, true, false, TAPS_REASON_TIMEOUT},
        {V4, NULL, NULL, TAPSI_SIM_FINE, true, true, TAPS_REASON_CONNECTION_ABORTED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        world_new(&w);
        if (cases[i].serve)
            tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
        if (cases[i].property)
            taps_transport_properties_set(w.properties, cases[i].property, cases[i].value);
        tapsi_sim_link_fault(w.link, cases[i].fault);
        world_initiate(&w, cases[i].remote, 2000);
        if (cases[i].abort)
            taps_connection_abort(w.connection);
        enum taps_reason reason = reason_after(&w);
        if (reason != cases[i].reason)
            tapsi_test_fail(__FILE__, __LINE__, "case %zu: %s (%s)", i, taps_reason_name(reason), w.heard.detail);
        world_finish(&w);
    }
}

/* proves IMPL-25: those of a Connection and of a Message. */
TEST(each_reason_of_a_connection_can_be_reached)
{
    static char big[70000];
    struct world w;
    taps_message_context *loose;
    world_new(&w);
    set_all(&w, LOOSE ";preserveMsgBoundaries=require");
    taps_message_context_new(&loose);
    taps_message_context_set(loose, "msgReliable", "true");
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    taps_connection_send(w.connection, big, sizeof(big), NULL, 0, NULL);
    world_run_ms(&w, 10);
    CHECK_INT(taps_err_reason(w.heard.send_error_code), TAPS_REASON_MESSAGE_TOO_LARGE);
    taps_connection_send(w.connection, "x", 1, loose, 0, NULL);
    world_run_ms(&w, 10);
    CHECK_INT(taps_err_reason(w.heard.send_error_code), TAPS_REASON_INVALID_MESSAGE_PROPERTIES);
    taps_message_context_free(loose);
    world_finish(&w);
    for (int way = 0; way < 2; way++) {
        world_new(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
        taps_transport_properties_set(w.properties, "connTimeout", "2");
        world_initiate(&w, V4, 0);
        world_run_until_ready(&w);
        world_run_ms(&w, 20);
        if (way == 0)
            tapsi_sim_service_end_all(s, true);
        else
            tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
        taps_connection_send(w.connection, "x", 1, NULL, 0, NULL);
        world_run_until_end(&w);
        CHECK_INT(w.heard.connection_error, 1);
        CHECK_INT(taps_err_reason(w.heard.code), way ? TAPS_REASON_TIMEOUT : TAPS_REASON_CONNECTION_ABORTED);
        world_finish(&w);
    }
}

/* proves IMPL-25: ProtocolFailed is a peer that breaks the protocol. */
TEST(protocol_failed_is_a_peer_that_breaks_the_protocol)
{
    struct world w;
    world_new(&w);
    world_secure(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    world_initiate(&w, V4, 2000);
    CHECK_INT(reason_after(&w), TAPS_REASON_PROTOCOL_FAILED);
    world_finish(&w);
}
