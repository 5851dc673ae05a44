/*
 * What the application asks for, and the defaults where it asks for nothing, are weighed against each other (RFC 9623,
 * 4.1.3; RFC 9622, 6.2): a violation at either level rules a path or a protocol out, by name; what the application says
 * goes before a default; and when nothing is left, the reason says whose doing that is. There is no system policy in
 * this version, so it is never PolicyProhibited.
 */
#include <stdio.h>
#include <string.h>
#include "scenario.h"

#define V4 "192.0.2.1:80"

static void set(struct world *w, const char *name, const char *value)
{
    CHECK_INT(taps_transport_properties_set(w->properties, name, value), 0);
}

/* wlan0 beside eth0, with a peer of its own that has the server's address too. */
static void begin(struct world *w)
{
    world_new(w);
    struct tapsi_sim_interface *wlan = tapsi_sim_interface_new(w->client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24");
    struct tapsi_sim_host *twin = tapsi_sim_host_new(w->sim, "twin");
    tapsi_sim_link_new(wlan, tapsi_sim_interface_new(twin, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24"), 1000);
    tapsi_sim_serve(twin, 80, TAPSI_SIM_ECHO);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
}

static void go(struct world *w)
{
    world_initiate(w, V4, 3000);
    if (w->initiated == 0)
        world_run_until_ready(w);
}

/* The report's word on a path or a stack that was ruled out; "" if it was not. */
static const char *ruled_out(const struct world *w, const char *what)
{
    const taps_report *report =
        w->connection ? taps_connection_report(w->connection) : taps_preconnection_report(w->preconnection);
    struct taps_candidate_info info;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        const char *name = info.kind == TAPS_CANDIDATE_PATH ? info.interface : info.stack;
        if (info.state == TAPS_CANDIDATE_PRUNED && strcmp(name, what) == 0)
            return info.reason;
    }
    return "";
}

static const char *interface_of(const struct world *w)
{
    return taps_endpoint_interface(taps_connection_local(w->connection));
}

/* proves IMPL-02, ARCH-05: a default rules out what violates it, and is named; the application can lift it. */
TEST(a_default_rules_out_and_can_be_lifted)
{
    static const char *const lifted[] = {"reliability", "preserveOrder", "congestionControl"};
    for (size_t i = 0; i <= 3; i++) {
        struct world w;
        begin(&w);
        set(&w, "preserveMsgBoundaries", "prefer"); /* udp would be the better one */
        set(&w, "safelyReplayable", "true");
        for (size_t k = 0; k < i; k++)
            set(&w, lifted[k], "no preference");
        go(&w);
        CHECK_TEXT(taps_connection_stack(w.connection), i == 3 ? "udp" : "tcp");
        if (i < 3)
            CHECK(strstr(ruled_out(&w, "udp"), lifted[i]) != NULL);
        world_finish(&w);
    }
}

/* proves IMPL-02, IMPL-05: what the application prefers weighs more than any number of defaults. */
TEST(a_wish_goes_before_the_order_of_the_system)
{
    static const char *const wishes[][2] = {
        {"", "eth0"}, {"prefer wifi", "wlan0"}, {"avoid eth0", "wlan0"}, {"avoid wlan0", "eth0"}};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        begin(&w);
        if (wishes[i][0][0])
            set(&w, "interface", wishes[i][0]);
        go(&w);
        CHECK_TEXT(interface_of(&w), wishes[i][1]);
        world_finish(&w);
    }
}

/* proves IMPL-02, API-019: a wish is never met against a requirement, nor a requirement softened by a wish. */
TEST(requirements_go_before_wishes)
{
    static const struct {
        const char *set, *used, *out, *why;
    } cases[] = {
        {"prefer eth0, prohibit ethernet", "wlan0", "eth0", "ethernet is prohibited"},
        {"prefer wlan0, require eth0", "eth0", "wlan0", "eth0 is required"},
        {"prohibit wlan0, avoid eth0", "eth0", "wlan0", "wlan0 is prohibited"},
    };
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        begin(&w);
        set(&w, "interface", cases[i].set);
        go(&w);
        CHECK_TEXT(interface_of(&w), cases[i].used);
        if (!strstr(ruled_out(&w, cases[i].out), cases[i].why))
            tapsi_test_fail(__FILE__, __LINE__, "%s: %s", cases[i].out, ruled_out(&w, cases[i].out));
        world_finish(&w);
    }
}

/* proves IMPL-02, IMPL-25, API-062: no path is left: that is told by the reason NoCandidates, and why, path by path. */
TEST(no_path_left_is_no_candidates)
{
    static const char *const wishes[] = {"require cellular", "prohibit ethernet, prohibit wifi, prohibit loopback",
                                         "require nosuch0"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        begin(&w);
        set(&w, "interface", wishes[i]);
        go(&w);
        CHECK_INT(w.heard.establishment_error, 1);
        CHECK_INT(taps_err_reason(w.heard.code), TAPS_REASON_NO_CANDIDATES);
        CHECK(strstr(ruled_out(&w, "eth0"), "interface ") == ruled_out(&w, "eth0"));
        CHECK(strstr(ruled_out(&w, "wlan0"), "interface ") == ruled_out(&w, "wlan0"));
        CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
        world_finish(&w);
    }
}

/* proves IMPL-02, IMPL-01, IMPL-25: no stack is left: that is InvalidConfiguration, at once, by the property's name,
   be it one of the application's alone or one beside a default. */
TEST(no_stack_left_is_invalid_configuration)
{
    static const struct {
        const char *name, *value, *words;
    } cases[] = {
        {"preserveMsgBoundaries", "require", "no stack is eligible"}, /* udp has it, and no reliability (default) */
        {"multistreaming", "require", "multistreaming"},
        {"fullChecksumSend", "prohibit", "fullChecksumSend"},
        {"reliability", "prohibit", "no stack is eligible"}, /* udp, which has no order (default) */
    };
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        begin(&w);
        set(&w, cases[i].name, cases[i].value);
        go(&w);
        CHECK_INT(w.initiated, TAPS_E_CONFIGURATION);
        const struct taps_error *error = taps_preconnection_error(w.preconnection);
        CHECK_INT(error->reason, TAPS_REASON_INVALID_CONFIGURATION);
        if (!strstr(error->detail, cases[i].words))
            tapsi_test_fail(__FILE__, __LINE__, "%s: %s", cases[i].name, error->detail);
        CHECK_INT(w.heard.total, 0);
        CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
        world_finish(&w);
    }
}

/* proves IMPL-02: every stack that was ruled out says by what, also when nothing else is there to see. */
TEST(every_stack_says_what_ruled_it_out)
{
    struct world w;
    begin(&w);
    set(&w, "preserveMsgBoundaries", "require");
    go(&w);
    CHECK_INT(w.initiated, TAPS_E_CONFIGURATION);
    CHECK(strstr(ruled_out(&w, "tcp"), "preserveMsgBoundaries is required") != NULL);
    CHECK(strstr(ruled_out(&w, "tls/tcp"), "preserveMsgBoundaries is required") != NULL);
    CHECK(strstr(ruled_out(&w, "udp"), "reliability is required") != NULL);
    world_finish(&w);
}
