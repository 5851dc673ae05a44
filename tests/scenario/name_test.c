/*
 * Names on their way to candidates (RFC 9622, 6.1; RFC 8305, 3 and 4): where the answers come from, what they are, and
 * what a name server can do to us. The resolver by itself: src/loop/resolve_test.c and search_test.c.
 */
#include <stdio.h>
#include <string.h>
#include "peer.h"

#define V4 "192.0.2.1:80"
#define V6 "[2001:db8::1]:80"

static void begin(struct world *w)
{
    world_new(w);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
}

static void go(struct world *w, const char *remote)
{
    world_initiate(w, remote, 3000);
    world_run_until_ready(w);
}

/* How many leaves there are, whatever became of them. */
static unsigned leaves(const struct world *w)
{
    unsigned count = 0;
    for (int s = 0; s <= TAPS_CANDIDATE_PRUNED; s++)
        count += world_count(w, (enum taps_candidate_state)s);
    return count;
}

static void check_unresolved(struct world *w, const char *words)
{
    CHECK_INT(w->heard.establishment_error, 1);
    CHECK_INT(w->heard.ready, 0);
    CHECK_INT(taps_err_reason(w->heard.code), TAPS_REASON_RESOLUTION_FAILED);
    if (!strstr(w->heard.detail, words))
        tapsi_test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", w->heard.detail, words);
    CHECK_INT(tapsi_sim_packets_to(w->sim, V4), 0);
    CHECK_INT(tapsi_sim_packets_to(w->sim, V6), 0);
}

/* ----------------------------------------------------------------------------------------- what the machine knows */

/* proves IMPL-08, IMPL-13, API-010: both families of the hosts file are known at once, and sorted together: IPv4
   (::ffff:0:0/96, precedence 35) before a unique local address (fc00::/7, 3), IPv6 (40) before IPv4. */
TEST(families_of_the_hosts_file_are_sorted_together)
{
    static const struct {
        const char *six, *winner;
    } cases[] = {{"fd00::1", V4}, {"2001:db8::1", V6}};
    for (int i = 0; i < 4; i++) {
        struct world w;
        char text[120];
        begin(&w);
        snprintf(text, sizeof(text),
                 i % 2 ? "%s both.test\n192.0.2.1 both.test\n" : "192.0.2.1 both.test\n%s both.test\n",
                 cases[i / 2].six);
        tapsi_sim_file(w.client, "/etc/hosts", text);
        tapsi_sim_address_add(w.client_if, "fd00::2/64", false, false);
        world_server_address(&w, "fd00::1/64");
        go(&w, "both.test:80");
        CHECK_TEXT(world_winner(&w), cases[i / 2].winner);
        CHECK_INT(tapsi_sim_dns_queries(w.dns, NULL, NULL), 0);
        CHECK(taps_report_ready_ms(taps_connection_report(w.connection)) < 12); /* nothing was waited for */
        world_finish(&w);
    }
}

/* proves API-010: a name of the hosts file has the families it has there, and no other from the network. */
TEST(the_hosts_file_is_not_completed_by_the_network)
{
    for (int six = 0; six < 2; six++) {
        struct world w;
        begin(&w);
        tapsi_sim_file(w.client, "/etc/hosts", six ? "2001:db8::1 one.test\n" : "192.0.2.1 one.test\n");
        tapsi_sim_dns_answer(w.dns, "one.test", "A", "192.0.2.1", 0);
        tapsi_sim_dns_answer(w.dns, "one.test", "AAAA", "2001:db8::1", 0);
        tapsi_sim_fault(w.sim, six ? "2001:db8::1" : "192.0.2.1", TAPSI_SIM_REFUSE);
        go(&w, "one.test:80");
        CHECK_INT(w.heard.code, TAPS_E_REFUSED);
        CHECK_INT(leaves(&w), 1);
        CHECK_INT(tapsi_sim_dns_queries(w.dns, NULL, NULL), 0);
        world_finish(&w);
    }
}

/* proves API-007, API-010: names below localhost are this machine, whatever a name server would say. */
TEST(localhost_is_not_asked_for)
{
    struct world w;
    begin(&w);
    tapsi_sim_dns_answer(w.dns, "localhost", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(w.dns, "my.localhost", "A", "192.0.2.1", 0);
    go(&w, "my.localhost:80");
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK_INT(tapsi_sim_dns_queries(w.dns, NULL, NULL), 0);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------ what the network knows */

/* proves IMPL-13, API-007: the search list and ndots decide what is asked for. */
TEST(short_names_are_searched_for)
{
    static const struct {
        const char *conf, *name, *known, *not_asked;
    } cases[] = {
        {"search a.test b.test\n", "www", "www.b.test", "www"},
        {"search a.test\noptions ndots:2\n", "x.y", "x.y.a.test", "x.y"},
        {"search a.test\n", "x.y", "x.y", "x.y.a.test"},
        {"search a.test\n", "www.", NULL, "www.a.test"}, /* a dot at the end: as it is */
        {"", "www", NULL, "www.a.test"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        char conf[120], remote[64];
        begin(&w);
        snprintf(conf, sizeof(conf), "nameserver 192.0.2.1\n%s", cases[i].conf);
        tapsi_sim_file(w.client, "/etc/resolv.conf", conf);
        if (cases[i].known)
            tapsi_sim_dns_answer(w.dns, cases[i].known, "A", "192.0.2.1", 0);
        snprintf(remote, sizeof(remote), "%s:80", cases[i].name);
        go(&w, remote);
        CHECK_INT(w.heard.ready, cases[i].known != NULL);
        if (!cases[i].known)
            CHECK_INT(w.heard.code, TAPS_E_RESOLUTION);
        CHECK_INT(tapsi_sim_dns_queries(w.dns, cases[i].not_asked, NULL), 0);
        world_finish(&w);
    }
}

/* proves IMPL-13: what one family answers is not spoilt by what is wrong with the other. */
TEST(a_family_that_fails_does_not_hurt_the_other)
{
    static const struct {
        enum tapsi_sim_rcode rcode;
    } cases[] = {{TAPSI_SIM_DNS_EMPTY},    {TAPSI_SIM_DNS_FORMERR}, {TAPSI_SIM_DNS_SERVFAIL},
                 {TAPSI_SIM_DNS_NXDOMAIN}, {TAPSI_SIM_DNS_REFUSED}, {TAPSI_SIM_DNS_NEVER}};
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        bool six = i % 2;
        begin(&w);
        tapsi_sim_dns_answer(w.dns, "half.test", six ? "AAAA" : "A", six ? "2001:db8::1" : "192.0.2.1", 0);
        tapsi_sim_dns_fail(w.dns, "half.test", six ? "A" : "AAAA", cases[i / 2].rcode, 0);
        go(&w, "half.test:80");
        CHECK_INT(w.heard.ready, 1);
        CHECK_TEXT(world_winner(&w), six ? V6 : V4);
        CHECK(taps_report_ready_ms(taps_connection_report(w.connection)) < 90); /* the resolution delay at most */
        world_finish(&w);
    }
}

/* proves IMPL-13, API-062: and when both fail, that is told at once, where it is told at all. */
TEST(names_that_fail_are_an_error_with_the_name)
{
    static const struct {
        enum tapsi_sim_rcode rcode;
        const char *words;
    } cases[] = {{TAPSI_SIM_DNS_EMPTY, "no A"}, {TAPSI_SIM_DNS_SERVFAIL, "failed"}, {TAPSI_SIM_DNS_REFUSED, "failed"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        begin(&w);
        tapsi_sim_dns_fail(w.dns, "bad.test", "A", cases[i].rcode, 0);
        tapsi_sim_dns_fail(w.dns, "bad.test", "AAAA", cases[i].rcode, 0);
        go(&w, "bad.test:80");
        check_unresolved(&w, cases[i].words);
        CHECK(strstr(w.heard.detail, "bad.test") != NULL);
        world_finish(&w);
    }
}

/* proves IMPL-13: a name is looked up once for all paths; each path takes of it what it reaches. */
TEST(paths_share_the_answers_and_not_the_addresses)
{
    struct world w;
    struct taps_candidate_info info;
    begin(&w);
    world_second_path(&w, "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24", "198.51.100.1/24");
    tapsi_sim_dns_answer(w.dns, "two.test", "A", "192.0.2.99 198.51.100.1", 0);
    tapsi_sim_route_remove(w.client_if, "0.0.0.0/0");
    go(&w, "two.test:80");
    CHECK_TEXT(world_winner(&w), "198.51.100.1:80");
    CHECK(world_candidate(&w, "192.0.2.99:80", &info));
    CHECK_INT(tapsi_sim_dns_queries(w.dns, "two.test", "A"), 1);
    world_finish(&w);
}

/* --------------------------------------------------------------------------------------------- what it may claim */

/* proves IMPL-12, IMPL-13: aliases are followed, and end: rings, chains that lead nowhere, a name that is its own. */
TEST(aliases_are_followed_to_their_end)
{
    static const char *const chains[][4] = {
        {"a.test", "b.test", "c.test", NULL}, {"a.test", "a.test"}, {"a.test", "b.test", "a.test"}};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        begin(&w);
        for (size_t k = 0; k + 1 < 4 && chains[i][k] && chains[i][k + 1]; k++)
            tapsi_sim_dns_answer(w.dns, chains[i][k], "CNAME", chains[i][k + 1], 0);
        if (i == 0)
            tapsi_sim_dns_answer(w.dns, "c.test", "A", "192.0.2.1", 0);
        go(&w, "a.test:80");
        CHECK_INT(w.heard.ready, i == 0);
        if (i)
            check_unresolved(&w, "a.test");
        CHECK(tapsi_sim_dns_queries(w.dns, NULL, NULL) < 20);
        world_finish(&w);
    }
}

/* proves IMPL-12: an alias that leads to nothing, and one hop more than the name server itself follows. */
TEST(aliases_that_lead_nowhere_are_an_error)
{
    for (int length = 1; length < 30; length += 7) {
        struct world w;
        begin(&w);
        for (int i = 0; i < length; i++) {
            char from[32], to[32];
            snprintf(from, sizeof(from), "n%d.test", i);
            snprintf(to, sizeof(to), "n%d.test", i + 1);
            tapsi_sim_dns_answer(w.dns, from, "CNAME", to, 0);
        }
        go(&w, "n0.test:80");
        check_unresolved(&w, "n0.test");
        CHECK(tapsi_sim_dns_queries(w.dns, NULL, NULL) < 100);
        world_finish(&w);
    }
}

/* proves IMPL-12, IMPL-13: 65 addresses are 64 candidates; thousands, which need TCP, no more; and the memory is that
 * of 64. */
TEST(many_records_are_cut_to_a_bound)
{
    static const unsigned counts[] = {64, 65, 500, 3000};
    size_t blocks[4];
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        begin(&w);
        for (unsigned k = 0; k < counts[i]; k++) {
            char text[32];
            snprintf(text, sizeof(text), "192.0.%u.%u", 3 + k / 250, 1 + k % 250);
            tapsi_sim_dns_answer(w.dns, "many.test", "A", text, 0);
        }
        world_initiate(&w, "many.test:80", 1500);
        world_run_ms(&w, 1000);
        CHECK_INT(leaves(&w), 64);
        blocks[i] = w.blocks;
        CHECK(blocks[i] <= blocks[0] + 2);
        world_run_until_end(&w);
        CHECK_INT(w.heard.establishment_error, 1);
        world_finish(&w);
    }
}

/* proves IMPL-12: the same address a hundred times is one candidate. */
TEST(an_address_that_is_repeated_is_one_candidate)
{
    struct world w;
    begin(&w);
    for (int i = 0; i < 100; i++)
        tapsi_sim_dns_answer(w.dns, "same.test", "A", "192.0.2.77", 0);
    tapsi_sim_fault(w.sim, "192.0.2.77", TAPSI_SIM_REFUSE);
    go(&w, "same.test:80");
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK_INT(leaves(&w), 1);
    world_finish(&w);
}

/* proves IMPL-12, IMPL-13: addresses that no host has are not connected to: 0.0.0.0 would be this one. */
TEST(addresses_that_no_host_has_are_left_alone)
{
    static const char *const claims[][2] = {
        {"A", "0.0.0.0"}, {"A", "224.0.0.1"}, {"AAAA", "::"}, {"AAAA", "ff02::1"}, {"AAAA", "::ffff:0.0.0.0"}};
    for (size_t i = 0; i < 2 * sizeof(claims) / sizeof(claims[0]); i++) {
        struct world w;
        begin(&w);
        struct tapsi_sim_service *own = tapsi_sim_serve(w.client, 80, TAPSI_SIM_ECHO);
        tapsi_sim_dns_answer(w.dns, "lie.test", claims[i / 2][0], claims[i / 2][1], 0);
        if (i % 2)
            tapsi_sim_dns_answer(w.dns, "lie.test", claims[i / 2][0][1] ? "A" : "AAAA",
                                 claims[i / 2][0][1] ? "192.0.2.1" : "2001:db8::1", 0);
        go(&w, "lie.test:80");
        CHECK_INT(w.heard.ready, i % 2);
        if (i % 2 == 0)
            CHECK_INT(w.heard.code, TAPS_E_NO_CANDIDATES);
        CHECK_INT(tapsi_sim_service_counts(own).accepted, 0);
        world_finish(&w);
    }
}

/* proves API-042, IMPL-13: an IPv4 address written as an IPv6 one is an IPv4 address: it does not get around what is
   said of IPv4, and is not tried twice. */
TEST(a_mapped_address_is_an_ipv4_address)
{
    for (int way = 0; way < 3; way++) {
        struct world w;
        begin(&w);
        tapsi_sim_dns_answer(w.dns, "mapped.test", "AAAA", "::ffff:192.0.2.1", 0);
        if (way == 1)
            tapsi_sim_dns_answer(w.dns, "mapped.test", "A", "192.0.2.1", 0);
        if (way == 2) {
            tapsi_sim_address_add(w.client_if, "2001:db8::aaaa/64", true, false);
            taps_transport_properties_require(w.properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS);
        }
        go(&w, "mapped.test:80");
        CHECK_INT(w.heard.ready, way < 2);
        CHECK_INT(leaves(&w), way < 2);
        if (way < 2)
            CHECK_TEXT(world_winner(&w), V4);
        else
            CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
        world_finish(&w);
    }
}

/* proves API-007: also as a literal, on a machine without IPv6. */
TEST(a_mapped_literal_is_reached_over_ipv4)
{
    struct world w;
    begin(&w);
    tapsi_sim_address_remove(w.client_if, "2001:db8::2");
    tapsi_sim_route_remove(w.client_if, "::/0");
    tapsi_sim_route_remove(w.client_if, "2001:db8::/64");
    go(&w, "[::ffff:192.0.2.1]:80");
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(world_winner(&w), V4);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------------ services */

static void add_service(struct world *w, const char *address, const char *service)
{
    taps_endpoint *e;
    taps_remote_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_ip_address(e, address), 0);
    CHECK_INT(taps_endpoint_with_service(e, service), 0);
    CHECK_INT(taps_preconnection_add_remote(w->preconnection, e), 0);
    taps_endpoint_free(e);
}

/* proves API-007: a service name is the port that this system's list has for the protocol. */
TEST(a_service_is_the_port_of_its_protocol)
{
    static const struct {
        const char *service;
        bool udp;
        const char *reached; /* NULL: unknown */
    } cases[] = {{"web", false, V4},
                 {"WEB", false, V4},
                 {"alias", false, V4},
                 {"web", true, NULL},
                 {"games", true, "192.0.2.1:81"},
                 {"games", false, "192.0.2.1:80"},
                 {"nosuch", false, NULL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        begin(&w);
        tapsi_sim_file(w.client, "/etc/services", "web 80/tcp alias # a comment\ngames 80/tcp\ngames 81/udp\n");
        if (cases[i].udp) {
            taps_transport_properties_free(w.properties);
            taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
            taps_transport_properties_set_boolean(w.properties, TAPS_SAFELY_REPLAYABLE, true);
        }
        world_start(&w);
        add_service(&w, "192.0.2.1", cases[i].service);
        taps_preconnection_set_transport_properties(w.preconnection, w.properties);
        taps_preconnection_set_security_parameters(w.preconnection, w.security);
        CHECK_INT(taps_preconnection_initiate(w.preconnection, 3000, &world_events, &w, &w.connection), 0);
        world_run_until_ready(&w);
        CHECK_INT(w.heard.ready, cases[i].reached != NULL);
        if (cases[i].reached) {
            CHECK_TEXT(world_winner(&w), cases[i].reached);
        } else {
            CHECK_INT(w.heard.code, TAPS_E_RESOLUTION);
            CHECK(strstr(w.heard.detail, cases[i].service) != NULL);
        }
        world_finish(&w);
    }
}
