/* Local Endpoints and source addresses: every one that suits is a candidate, and which address a Connection has. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "peer.h"
#include "wire.h"

#define V4          "192.0.2.1:80"
#define V6          "[2001:db8::1]:80"
#define STABLE      "2001:db8::2"
#define TEMPORARY   "2001:db8::aaaa"
#define PREFERENCES 72 /* IPV6_ADDR_PREFERENCES: <linux/in6.h> does not go with <netinet/in.h> */
#define TMP         1
#define PUBLIC      2

static struct wire wire;

static void add_local(struct world *w, const char *text)
{
    CHECK_INT(taps_preconnection_add_local_text(w->preconnection, text), 0);
}

static const char *local_of(const struct world *w)
{
    return taps_endpoint_ip_address(taps_connection_local(w->connection));
}

static bool set_on_the_wire(void)
{
    for (unsigned i = 0; i < wire.option_count; i++) {
        if (wire.options[i].level == IPPROTO_IPV6 && wire.options[i].option == PREFERENCES)
            return true;
    }
    return false;
}

/* The leaves of the report, in its order: "local>remote local>remote". */
static void order_of(const struct world *w, char *text, size_t size)
{
    const taps_report *report = taps_connection_report(w->connection);
    struct taps_candidate_info c;
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &c);
        if (c.kind == TAPS_CANDIDATE_ENDPOINT && c.state != TAPS_CANDIDATE_PRUNED)
            length += (size_t)snprintf(text + length, size - length, "%s%s>%s", length ? " " : "",
                                       c.local ? c.local : "any", c.remote);
    }
}

/* ------------------------------------------------------------------------------------------ several of a kind */

/* proves API-006: a Local Endpoint that cannot be had is followed by the next, at once. */
TEST(the_second_local_endpoint_is_used_when_the_first_is_taken)
{
    struct world w;
    struct peer p;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    peer_new(&w, w.client, &p);
    peer_listen(&w, &p, "192.0.2.2:5555");
    add_local(&w, "192.0.2.2:5555");
    add_local(&w, "192.0.2.2:5556");
    world_initiate(&w, V4, 3000);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(taps_endpoint_port(taps_connection_local(w.connection)), 5556);
    CHECK(taps_report_ready_ms(taps_connection_report(w.connection)) < 20);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-006, IMPL-04: all addresses from the first Local Endpoint, then all from the second; families as the
   addresses want them. */
TEST(pairs_are_tried_by_local_endpoint)
{
    struct world w;
    char order[400];
    world_new(&w);
    tapsi_sim_dns_answer(w.dns, "a.test", "A", "192.0.2.11 192.0.2.12", 0);
    world_start(&w);
    add_local(&w, "192.0.2.2:5001");
    add_local(&w, "[" STABLE "]:5002"); /* which suits none of them */
    add_local(&w, "192.0.2.2:5003");
    world_initiate(&w, "a.test:80", 5000);
    world_run_until_end(&w);
    order_of(&w, order, sizeof(order));
    CHECK_TEXT(order, "192.0.2.2:5001>192.0.2.11:80 192.0.2.2:5001>192.0.2.12:80 "
                      "192.0.2.2:5003>192.0.2.11:80 192.0.2.2:5003>192.0.2.12:80");
    world_finish(&w);
}

/* proves IMPL-10: the second one is not touched when the first serves. */
TEST(the_second_local_endpoint_is_left_alone_when_the_first_serves)
{
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_start(&w);
    add_local(&w, "192.0.2.2:5001");
    add_local(&w, "192.0.2.2:5002");
    world_initiate(&w, V4, 3000);
    world_run_until_ready(&w);
    CHECK_INT(taps_endpoint_port(taps_connection_local(w.connection)), 5001);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_NOT_STARTED), 1);
    CHECK_INT(tapsi_sim_host_sockets(w.client), 1);
    world_finish(&w);
}

/* proves API-006: what says the same twice is one candidate. */
TEST(equal_local_endpoints_are_one_candidate)
{
    struct world w;
    world_new(&w);
    world_start(&w);
    add_local(&w, "192.0.2.2:5001");
    add_local(&w, "192.0.2.2:5001");
    add_local(&w, "192.0.2.2:5001");
    world_initiate(&w, V4, 3000);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_FAILED), 1);
    world_finish(&w);
}

/* proves API-006, API-062: when none can be had, that is one error and says so. */
TEST(no_local_endpoint_can_be_had)
{
    struct world w;
    struct peer p;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    peer_new(&w, w.client, &p);
    for (int i = 0; i < 3; i++) {
        char text[32];
        snprintf(text, sizeof(text), "192.0.2.2:%d", 5555 + i);
        peer_listen(&w, &p, text);
        add_local(&w, text);
    }
    world_initiate(&w, V4, 3000);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_ADDRESS_IN_USE);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_FAILED), 3);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-016, API-006: nor does a Local Endpoint of another protocol or family stand in. */
TEST(a_local_endpoint_that_does_not_suit_is_not_used)
{
    struct world w;
    struct peer p;
    taps_endpoint *e;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    peer_new(&w, w.client, &p);
    peer_listen(&w, &p, "192.0.2.2:5555");
    add_local(&w, "192.0.2.2:5555");
    add_local(&w, "[" STABLE "]:5556");
    taps_local_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_text(e, "192.0.2.2:5557"), 0);
    CHECK_INT(taps_endpoint_with_protocol(e, "udp"), 0);
    CHECK_INT(taps_preconnection_add_local(w.preconnection, e), 0);
    taps_endpoint_free(e);
    world_initiate(&w, V4, 3000);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_ADDRESS_IN_USE);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_FAILED), 1);
    peer_done(&p);
    world_finish(&w);
}

static void add_interface(struct world *w, const char *name)
{
    taps_endpoint *e;
    taps_local_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_interface(e, name), 0);
    CHECK_INT(taps_preconnection_add_local(w->preconnection, e), 0);
    taps_endpoint_free(e);
}

/* proves API-015, API-005: a Local Endpoint's interface binds all candidates, for both families, and no other interface
   is tried, though the system would choose it. */
TEST(an_interface_binds_all_candidates)
{
    struct world w;
    world_new(&w);
    struct tapsi_sim_interface *wlan =
        tapsi_sim_interface_new(w.client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24 2001:db8::3/64");
    tapsi_sim_link_join(w.link, wlan);
    tapsi_sim_dns_answer(w.dns, "a.test", "A", "192.0.2.11 192.0.2.12", 0);
    tapsi_sim_dns_answer(w.dns, "a.test", "AAAA", "2001:db8::11", 0);
    world_start(&w);
    wire_tap(&wire, w.context);
    add_interface(&w, "wlan0");
    world_initiate(&w, "a.test:80", 3000);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(wire.device_count, 3);
    for (unsigned i = 0; i < wire.device_count; i++)
        CHECK_TEXT(wire.devices[i], "wlan0");
    world_finish(&w);
}

/* proves API-015, API-062: an interface that is not there, or that does not reach the peer, is not replaced. */
TEST(an_interface_is_not_replaced_by_another)
{
    static const char *const names[] = {"nosuch0", "wlan0", "down0"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        world_new(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        world_second_path(&w, "wlan0", TAPSI_IF_WIFI, "2001:db8:1::2/64", "2001:db8:1::1/64");
        tapsi_sim_interface_up(tapsi_sim_interface_new(w.client, "down0", TAPSI_IF_OTHER, "192.0.2.4/24"), false);
        world_start(&w);
        add_interface(&w, names[i]);
        world_initiate(&w, V4, 3000);
        world_run_until_end(&w);
        CHECK_INT(w.heard.ready, 0);
        CHECK_INT(taps_err_reason(w.heard.code), TAPS_REASON_NO_CANDIDATES);
        CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
        world_finish(&w);
    }
}

/* proves IMPL-12: 64 Local Endpoints and 64 addresses are not 4096 candidates. */
TEST(pairs_are_bounded)
{
    struct world w;
    unsigned leaves = 0;
    world_new(&w);
    for (int i = 0; i < 64; i++) {
        char text[32];
        snprintf(text, sizeof(text), "192.0.2.%d", 100 + i);
        tapsi_sim_dns_answer(w.dns, "many.test", "A", text, 0);
    }
    world_start(&w);
    for (int i = 0; i < 64; i++) {
        char text[32];
        snprintf(text, sizeof(text), "192.0.2.2:%d", 5000 + i);
        add_local(&w, text);
    }
    CHECK_INT(taps_preconnection_add_local_text(w.preconnection, "192.0.2.2:6000"), TAPS_E_RANGE);
    world_initiate(&w, "many.test:80", 2000);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    for (int s = 0; s <= TAPS_CANDIDATE_PRUNED; s++)
        leaves += world_count(&w, (enum taps_candidate_state)s);
    CHECK_INT(leaves, 512);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------ temporary addresses */

/* A client with a stable and a temporary address of IPv6; `wish` "" = the default. */
static void temporary(struct world *w, const char *wish, bool datagrams)
{
    world_new(w);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_address_add(w->client_if, TEMPORARY "/64", true, false);
    if (wish[0])
        CHECK_INT(taps_transport_properties_set(w->properties, "useTemporaryLocalAddress", wish), 0);
    if (!datagrams)
        return;
    taps_transport_properties_no_preference(w->properties, TAPS_RELIABILITY);
    taps_transport_properties_no_preference(w->properties, TAPS_PRESERVE_ORDER);
    taps_transport_properties_no_preference(w->properties, TAPS_CONGESTION_CONTROL);
    taps_transport_properties_require(w->properties, TAPS_PRESERVE_MSG_BOUNDARIES);
    taps_transport_properties_set_boolean(w->properties, TAPS_SAFELY_REPLAYABLE, true);
}

static void go(struct world *w, const char *remote)
{
    if (!w->context)
        world_start(w);
    wire_tap(&wire, w->context);
    world_initiate(w, remote, 3000);
    world_run_until_ready(w);
    CHECK_INT(w->heard.ready, 1);
}

/* proves API-042, ARCH-05: the default of Initiate is Prefer, for streams and datagrams. */
TEST(temporary_addresses_are_preferred_by_default)
{
    for (int datagrams = 0; datagrams < 2; datagrams++) {
        struct world w;
        struct taps_value value;
        temporary(&w, "", datagrams);
        go(&w, V6);
        CHECK_TEXT(local_of(&w), TEMPORARY);
        CHECK(wire_set(&wire, IPPROTO_IPV6, PREFERENCES, TMP));
        CHECK_INT(taps_connection_get_value(w.connection, TAPS_USE_TEMPORARY_LOCAL_ADDRESS, &value), 0);
        CHECK(value.boolean);
        world_finish(&w);
    }
}

/* proves API-042: it costs no system call where there is no temporary address, on IPv4, or where the address is given;
   and nothing is asked of the kernel where nothing is asked of us. */
TEST(where_there_is_no_choice_the_kernel_is_not_told)
{
    static const struct {
        const char *wish, *remote, *local;
        bool has_temporary;
    } cases[] = {{"", V6, NULL, false},
                 {"", V4, NULL, true},
                 {"", V6, "[" STABLE "]:5001", true},
                 {"no preference", V6, NULL, true}};
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        temporary(&w, cases[i / 2].wish, i % 2);
        if (!cases[i / 2].has_temporary)
            tapsi_sim_address_remove(w.client_if, TEMPORARY);
        world_start(&w);
        if (cases[i / 2].local)
            add_local(&w, cases[i / 2].local);
        go(&w, cases[i / 2].remote);
        CHECK(!set_on_the_wire());
        if (cases[i / 2].local)
            CHECK_TEXT(local_of(&w), STABLE);
        world_finish(&w);
    }
}

/* proves API-042: Avoid and Prohibit are told to the kernel, too. */
TEST(stable_addresses_are_asked_for_where_temporary_ones_are_avoided)
{
    static const char *const wishes[] = {"avoid", "prohibit"};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        temporary(&w, wishes[i / 2], i % 2);
        go(&w, V6);
        CHECK_TEXT(local_of(&w), STABLE);
        CHECK(wire_set(&wire, IPPROTO_IPV6, PREFERENCES, PUBLIC));
        world_finish(&w);
    }
}

/* proves API-042, API-019: a Local Endpoint that is a temporary address does not get around Prohibit, nor a stable one
   around Require; another Local Endpoint that may be used is. */
TEST(a_local_endpoint_does_not_get_around_prohibit_or_require)
{
    static const struct {
        const char *wish, *wrong, *right;
    } cases[] = {{"prohibit", TEMPORARY, STABLE}, {"require", STABLE, TEMPORARY}};
    for (int i = 0; i < 4; i++) {
        struct world w;
        char text[64];
        temporary(&w, cases[i / 2].wish, false);
        world_start(&w);
        snprintf(text, sizeof(text), "[%s]:5001", cases[i / 2].wrong);
        add_local(&w, text);
        snprintf(text, sizeof(text), "[%s]:5002", cases[i / 2].right);
        if (i % 2)
            add_local(&w, text);
        world_initiate(&w, V6, 3000);
        world_run_until_ready(&w);
        CHECK_INT(w.heard.ready, i % 2);
        CHECK_INT(world_count(&w, TAPS_CANDIDATE_PRUNED), i % 2); /* without any other, the protocol is pruned */
        if (i % 2)
            CHECK_TEXT(local_of(&w), cases[i / 2].right);
        else
            CHECK_INT(tapsi_sim_packets_to(w.sim, V6), 0);
        world_finish(&w);
    }
}
