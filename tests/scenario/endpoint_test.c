/* Endpoints (RFC 9622, 6) on the way to candidates: several of a kind, scoped ones, early binding, who is let in. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "peer.h"

#define V4 "192.0.2.1:80"
#define LOOSE                                                                                                          \
    "reliability=no preference;preserveOrder=no preference;congestionControl=no preference;safelyReplayable=true"

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

static void add_remote(struct world *w, const char *text, const char *protocol)
{
    taps_endpoint *e;
    taps_remote_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_text(e, text), 0);
    if (protocol)
        CHECK_INT(taps_endpoint_with_protocol(e, protocol), 0);
    CHECK_INT(taps_preconnection_add_remote(w->preconnection, e), 0);
    taps_endpoint_free(e);
}

static void add_local(struct world *w, const char *text, const char *interface, const char *protocol)
{
    taps_endpoint *e;
    taps_local_endpoint_new(&e);
    if (text)
        CHECK_INT(taps_endpoint_with_text(e, text), 0);
    if (interface)
        CHECK_INT(taps_endpoint_with_interface(e, interface), 0);
    if (protocol)
        CHECK_INT(taps_endpoint_with_protocol(e, protocol), 0);
    CHECK_INT(taps_preconnection_add_local(w->preconnection, e), 0);
    taps_endpoint_free(e);
}

/* With the endpoints added so far. */
static void initiate(struct world *w, uint64_t timeout_ms)
{
    taps_preconnection_set_transport_properties(w->preconnection, w->properties);
    taps_preconnection_set_security_parameters(w->preconnection, w->security);
    w->initiated = taps_preconnection_initiate(w->preconnection, timeout_ms, &world_events, w, &w->connection);
    if (w->initiated == 0)
        world_run_until_ready(w);
}

static const char *local_of(const struct world *w)
{
    return taps_endpoint_ip_address(taps_connection_local(w->connection));
}

static void note_accepted(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    ++*(unsigned *)user;
    taps_connection_free(c);
}

/* --------------------------------------------------------------------------------------- several of a kind */

/* proves API-006: names and addresses side by side; whichever serves is used, each address once. */
TEST(several_remotes_are_equivalent_services)
{
    static const char *const serving[] = {"192.0.2.11", "192.0.2.12", "192.0.2.13"};
    for (int which = 0; which < 3; which++) {
        struct world w;
        world_new(&w);
        char address[32], winner[32];
        snprintf(address, sizeof(address), "%s/24", serving[which]);
        snprintf(winner, sizeof(winner), "%s:80", serving[which]);
        world_server_address(&w, address);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        tapsi_sim_dns_answer(w.dns, "a.test", "A", "192.0.2.11 192.0.2.12", 0);
        tapsi_sim_dns_answer(w.dns, "b.test", "A", "192.0.2.12 192.0.2.13", 0);
        world_start(&w);
        add_remote(&w, "a.test:80", NULL);
        add_remote(&w, "b.test:80", NULL);
        add_remote(&w, "192.0.2.13:80", NULL);
        add_remote(&w, "nosuch.test:80", NULL); /* one that does not resolve hurts nobody */
        initiate(&w, 10000);
        CHECK_TEXT(world_winner(&w), winner);
        unsigned leaves = 0;
        for (int s = 0; s <= TAPS_CANDIDATE_PRUNED; s++)
            leaves += world_count(&w, (enum taps_candidate_state)s);
        CHECK(leaves <= 3);
        world_finish(&w);
    }
}

/* proves API-006, API-062: when none of them serves, that is one error. */
TEST(several_remotes_none_of_which_serves)
{
    struct world w;
    world_new(&w);
    tapsi_sim_dns_answer(w.dns, "a.test", "A", "192.0.2.1", 0);
    world_start(&w);
    add_remote(&w, "a.test:80", NULL);
    add_remote(&w, "[2001:db8::1]:80", NULL);
    add_remote(&w, "nosuch.test:80", NULL);
    initiate(&w, 10000);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_FAILED), 2);
    world_finish(&w);
}

/* proves API-006, API-005: several Local Endpoints are all eligible: here on two interfaces, and one is dead. */
TEST(several_locals_are_all_eligible)
{
    for (int dead = 0; dead < 2; dead++) {
        struct world w;
        world_new(&w);
        struct tapsi_sim_interface *wlan = tapsi_sim_interface_new(w.client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24");
        tapsi_sim_link_join(w.link, wlan);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        tapsi_sim_interface_up(dead ? wlan : w.client_if, false);
        world_start(&w);
        add_local(&w, "192.0.2.2:5001", NULL, NULL);
        add_local(&w, "192.0.2.3:5002", NULL, NULL);
        add_remote(&w, V4, NULL);
        initiate(&w, 5000);
        CHECK_INT(w.heard.ready, 1);
        CHECK_TEXT(local_of(&w), dead ? "192.0.2.2" : "192.0.2.3");
        CHECK_INT(taps_endpoint_port(taps_connection_local(w.connection)), dead ? 5001 : 5002);
        world_finish(&w);
    }
}

/* proves API-006: and no other address of the machine is. */
TEST(only_the_locals_given_are_used)
{
    struct world w;
    world_new(&w);
    struct tapsi_sim_interface *wlan = tapsi_sim_interface_new(w.client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24");
    tapsi_sim_link_join(w.link, wlan);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_interface_up(wlan, false);
    world_start(&w);
    add_local(&w, "192.0.2.3", NULL, NULL);
    add_local(&w, NULL, "wlan0", NULL);
    add_local(&w, "198.51.100.77", NULL, NULL); /* of nobody here */
    add_remote(&w, V4, NULL);
    initiate(&w, 3000);
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
    world_finish(&w);
}

/* --------------------------------------------------------------------------------------- scoped to a protocol */

/* proves API-016: another port for another protocol; each protocol uses its own endpoints and the unscoped ones. */
TEST(endpoints_are_used_by_their_protocol_only)
{
    static const struct {
        const char *properties, *stack, *winner;
        const char *untouched;
    } cases[] = {
        {"preserveMsgBoundaries=require", "udp", "192.0.2.1:81", "192.0.2.1:80"},
        {"preserveMsgBoundaries=prohibit", "tcp", "192.0.2.1:80", "192.0.2.1:81"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        world_new(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        tapsi_sim_serve(w.server, 81, TAPSI_SIM_ECHO);
        tapsi_sim_udp_echo(w.server, 80);
        tapsi_sim_udp_echo(w.server, 81);
        set_all(&w, LOOSE);
        set_all(&w, cases[i].properties);
        world_start(&w);
        add_remote(&w, "192.0.2.1:81", "udp");
        add_remote(&w, "192.0.2.1:80", "TCP");
        initiate(&w, 3000);
        CHECK_TEXT(taps_connection_stack(w.connection), cases[i].stack);
        CHECK_TEXT(world_winner(&w), cases[i].winner);
        taps_connection_send(w.connection, "x", 1, NULL, 0, NULL);
        world_run_ms(&w, 3000);
        CHECK_INT(tapsi_sim_packets_to(w.sim, cases[i].untouched), 0);
        world_finish(&w);
    }
}

/* proves API-016: a race of both protocols, each with its own port: the second one's, when the first is dead. */
TEST(scoped_endpoints_race)
{
    struct world w;
    struct taps_candidate_info c;
    world_new(&w);
    set_all(&w, LOOSE);
    tapsi_sim_udp_echo(w.server, 81);
    world_start(&w);
    add_remote(&w, "192.0.2.1:81", "udp");
    add_remote(&w, "192.0.2.1:80", "tcp"); /* refused */
    initiate(&w, 3000);
    CHECK_TEXT(taps_connection_stack(w.connection), "udp");
    CHECK(world_candidate(&w, "192.0.2.1:80", &c));
    CHECK_TEXT(c.stack, "tcp");
    CHECK_INT(c.state, TAPS_CANDIDATE_FAILED);
    CHECK_INT(world_count(&w, TAPS_CANDIDATE_FAILED) + world_count(&w, TAPS_CANDIDATE_WON), 2);
    world_finish(&w);
}

/* proves API-016, API-062: endpoints of protocols that are not eligible, or unknown, are no candidates. */
TEST(an_endpoint_of_no_eligible_protocol_is_no_candidate)
{
    static const char *const protocols[] = {"udp", "quic", "tls"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        taps_endpoint *e;
        world_new(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        world_start(&w);
        taps_remote_endpoint_new(&e);
        taps_endpoint_with_text(e, V4);
        int err = taps_endpoint_with_protocol(e, protocols[i]);
        if (!err) {
            taps_preconnection_add_remote(w.preconnection, e);
            initiate(&w, 3000);
            CHECK_INT(w.heard.ready, 0);
            CHECK_INT(taps_err_reason(w.initiated ? w.initiated : w.heard.code), TAPS_REASON_NO_CANDIDATES);
        }
        CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
        taps_endpoint_free(e);
        world_finish(&w);
    }
}

/* proves API-016: Local Endpoints too. */
TEST(a_local_port_for_one_protocol_only)
{
    for (int datagrams = 0; datagrams < 2; datagrams++) {
        struct world w;
        world_new(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        tapsi_sim_udp_echo(w.server, 80);
        set_all(&w, LOOSE);
        set_all(&w, datagrams ? "preserveMsgBoundaries=require" : "preserveMsgBoundaries=prohibit");
        world_start(&w);
        add_local(&w, "192.0.2.2:6001", NULL, "tcp");
        add_local(&w, "192.0.2.2:6002", NULL, "udp");
        add_remote(&w, V4, NULL);
        initiate(&w, 3000);
        CHECK_INT(w.heard.ready, 1);
        CHECK_INT(taps_endpoint_port(taps_connection_local(w.connection)), datagrams ? 6002 : 6001);
        world_finish(&w);
    }
}

/* --------------------------------------------------------------------------------------------- early binding */

struct resolved {
    unsigned calls;
    int code;
    size_t locals, remotes;
    char text[800];
    taps_endpoint *first;
};

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    struct resolved *r = user;
    char one[80];
    size_t length = 0;
    r->calls++;
    r->code = error ? error->code : 0;
    r->locals = local_count;
    r->remotes = remote_count;
    for (size_t i = 0; i < local_count; i++)
        length += (size_t)snprintf(r->text + length, sizeof(r->text) - length, "%s@%s ",
                                   taps_endpoint_ip_address(locals[i]), taps_endpoint_interface(locals[i]));
    for (size_t i = 0; i < remote_count; i++) {
        taps_endpoint_text(remotes[i], one, sizeof(one));
        length += (size_t)snprintf(r->text + length, sizeof(r->text) - length, ">%s ", one);
    }
    if (remote_count)
        taps_endpoint_copy(remotes[0], &r->first);
}

/* proves API-011: a name becomes concrete endpoints of both kinds; they lead there without another question. */
TEST(resolve_binds_early)
{
    struct world w;
    struct resolved r = {0};
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_dns_answer(w.dns, "dual.test", "AAAA", "2001:db8::1", 30 * TAPSI_SIM_MS);
    tapsi_sim_dns_answer(w.dns, "dual.test", "A", "192.0.2.1 192.0.2.9", 200 * TAPSI_SIM_MS);
    world_start(&w);
    add_remote(&w, "dual.test:80", NULL);
    CHECK_INT(taps_preconnection_resolve(w.preconnection, 3000, on_resolved, &r), 0);
    CHECK_INT(r.calls, 0);
    add_remote(&w, "nosuch.test:80", NULL); /* too late to matter */
    world_run_ms(&w, 1000);
    CHECK_INT(r.calls, 1);
    CHECK_INT(r.code, 0);
    CHECK_INT(r.remotes, 3);
    CHECK_TEXT(r.text, "192.0.2.2@eth0 2001:db8::2@eth0 127.0.0.1@lo ::1@lo >[2001:db8::1]:80 >192.0.2.1:80 "
                       ">192.0.2.9:80 ");
    unsigned asked = tapsi_sim_dns_queries(w.dns, NULL, NULL);
    taps_preconnection_free(w.preconnection);
    taps_preconnection_new(w.context, &w.preconnection);
    taps_preconnection_add_remote(w.preconnection, r.first);
    initiate(&w, 3000);
    CHECK_TEXT(world_winner(&w), "[2001:db8::1]:80");
    CHECK_INT(tapsi_sim_dns_queries(w.dns, NULL, NULL), asked);
    taps_endpoint_free(r.first);
    world_finish(&w);
}

/* proves API-011: without a Remote Endpoint it lists the interfaces there are; properties choose among them. */
TEST(resolve_lists_the_interfaces)
{
    static const char *const cases[][2] = {
        {NULL, "192.0.2.2@eth0 2001:db8::2@eth0 192.0.2.3@wlan0 127.0.0.1@lo ::1@lo "},
        {"require wifi", "192.0.2.3@wlan0 "},
        {"prohibit eth0", "192.0.2.3@wlan0 127.0.0.1@lo ::1@lo "},
        {"require cellular", ""},
    };
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        struct resolved r = {0};
        world_new(&w);
        tapsi_sim_interface_new(w.client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24");
        world_start(&w);
        if (cases[i][0])
            taps_transport_properties_set(w.properties, "interface", cases[i][0]);
        taps_preconnection_set_transport_properties(w.preconnection, w.properties);
        CHECK_INT(taps_preconnection_resolve(w.preconnection, 1000, on_resolved, &r), 0);
        world_run_ms(&w, 10);
        CHECK_INT(r.calls, 1);
        CHECK_TEXT(r.text, cases[i][1]);
        world_finish(&w);
    }
}

/* proves API-011: errors come once; a context that goes away takes the question with it. */
TEST(resolve_fails_once_or_not_at_all)
{
    for (int way = 0; way < 3; way++) {
        struct world w;
        struct resolved r = {0};
        world_new(&w);
        if (way)
            tapsi_sim_fault(w.sim, "192.0.2.1:53", TAPSI_SIM_BLACKHOLE);
        world_start(&w);
        add_remote(&w, "nosuch.test:80", NULL);
        CHECK_INT(taps_preconnection_resolve(w.preconnection, 700, on_resolved, &r), 0);
        if (way < 2) {
            world_run_ms(&w, 20000);
            CHECK_INT(r.calls, 1);
            CHECK_INT(r.code, way ? TAPS_E_TIMEOUT : TAPS_E_RESOLUTION);
            CHECK_INT(r.locals + r.remotes, 0);
        } else {
            world_run_ms(&w, 100);
        }
        world_finish(&w);
        CHECK_INT(r.calls, way < 2);
    }
}

/* --------------------------------------------------------------------------------------------- copies, reuse */

/* proves API-003, API-018: an endpoint is copied when it is added, and the Preconnection when it is used. */
TEST(what_is_changed_later_has_no_effect)
{
    struct world w;
    taps_endpoint *e;
    world_new(&w);
    world_secure(&w);
    taps_security_parameters *later;
    taps_security_parameters_new_disabled(&later);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_start(&w);
    taps_remote_endpoint_new(&e);
    taps_endpoint_with_ip_address(e, "192.0.2.1");
    taps_endpoint_with_port(e, 80);
    taps_preconnection_add_remote(w.preconnection, e);
    taps_endpoint_with_protocol(e, "udp"); /* the copy has none */
    taps_endpoint_free(e);
    taps_preconnection_set_security_parameters(w.preconnection, later);
    taps_security_parameters_free(later);
    taps_preconnection_set_transport_properties(w.preconnection, w.properties);
    taps_transport_properties_set(w.properties, "multistreaming", "require");
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, &world_events, &w, &w.connection), 0);
    taps_preconnection_set_security_parameters(w.preconnection, w.security); /* the Connection has none */
    taps_preconnection_free(w.preconnection);
    w.preconnection = NULL;
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "tcp");
    world_finish(&w);
}

/* proves API-018: after a failure, and for Listen as well as Initiate, any number of times. */
TEST(a_preconnection_serves_again_after_failure_and_for_another_action)
{
    struct world w;
    taps_listener *l[2];
    taps_connection *more[5];
    world_new(&w);
    world_start(&w);
    add_remote(&w, V4, NULL);
    initiate(&w, 1000);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    for (int i = 0; i < 5; i++)
        CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, NULL, NULL, &more[i]), 0);
    world_run_ms(&w, 100);
    CHECK_INT(tapsi_sim_service_counts(s).accepted, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(taps_connection_state(more[i]), TAPS_ESTABLISHED);
        taps_connection_free(more[i]);
    }
    add_local(&w, "192.0.2.2:0", NULL, NULL);
    for (int i = 0; i < 2; i++)
        CHECK_INT(taps_preconnection_listen(w.preconnection, NULL, NULL, &l[i]), 0);
    world_run_ms(&w, 10);
    CHECK(taps_endpoint_port(taps_listener_local(l[0], 0)) != taps_endpoint_port(taps_listener_local(l[1], 0)));
    taps_listener_free(l[0]);
    taps_listener_free(l[1]);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------ listening */

struct gate {
    unsigned received, errors;
    int code;
    taps_connection *last;
};

static void gate_received(taps_listener *l, taps_connection *c, void *user)
{
    struct gate *g = user;
    (void)l;
    g->received++;
    g->last = c;
}

static void gate_error(taps_listener *l, const struct taps_error *error, void *user)
{
    struct gate *g = user;
    (void)l;
    g->errors++;
    g->code = error->code;
}

static const struct taps_listener_events gate_events = {.connection_received = gate_received,
                                                        .establishment_error = gate_error};

static taps_listener *open_gate(struct world *w, struct peer *p, struct gate *g, const char *local, const char *remote)
{
    taps_listener *l = NULL;
    CHECK_INT(taps_preconnection_add_local_text(p->preconnection, local), 0);
    if (remote)
        CHECK_INT(taps_preconnection_add_remote_text(p->preconnection, remote), 0);
    taps_preconnection_set_security_parameters(p->preconnection, p->security);
    taps_preconnection_set_transport_properties(p->preconnection, w->properties);
    CHECK_INT(taps_preconnection_listen(p->preconnection, &gate_events, g, &l), 0);
    return l;
}

/* proves API-063: the optional Remote Endpoint lets in whom it names, by address, port or host name. */
TEST(a_remote_endpoint_says_who_is_let_in)
{
    static const struct {
        const char *remote;
        unsigned port, received;
    } cases[] = {{"192.0.2.2", 0, 1},   {"192.0.2.77", 0, 0}, {"192.0.2.2:4000", 4000, 1}, {"192.0.2.2:4000", 4001, 0},
                 {"client.test", 0, 1}, {"other.test", 0, 0}, {"2001:db8::2", 0, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        struct peer p;
        struct gate g = {0};
        char local[32];
        world_new(&w);
        tapsi_sim_file(w.server, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
        tapsi_sim_dns_answer(w.dns, "client.test", "A", "192.0.2.99 192.0.2.2", 0);
        tapsi_sim_dns_answer(w.dns, "other.test", "A", "192.0.2.99", 0);
        peer_new(&w, w.server, &p);
        taps_listener *l = open_gate(&w, &p, &g, V4, cases[i].remote);
        world_start(&w);
        world_run_ms(&w, 100);
        if (cases[i].port) {
            snprintf(local, sizeof(local), "192.0.2.2:%u", cases[i].port);
            add_local(&w, local, NULL, NULL);
        }
        world_initiate(&w, V4, 0);
        world_run_ms(&w, 500);
        if (g.received != cases[i].received)
            tapsi_test_fail(__FILE__, __LINE__, "%s from port %u: %u Connections, error %d", cases[i].remote,
                            cases[i].port, g.received, g.code);
        CHECK_INT(taps_listener_dropped(l), !cases[i].received);
        taps_listener_free(l);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves API-063, API-016: a Remote Endpoint lets in who comes over its protocol, and nobody else. */
TEST(a_remote_endpoint_of_another_protocol_lets_nobody_in)
{
    static const struct {
        const char *protocol;
        bool in;
    } cases[] = {{"udp", false}, {"tls", false}, {"tcp", true}};
    for (size_t i = 0; i < 3; i++) {
        static const struct taps_listener_events events = {.connection_received = note_accepted};
        struct world w;
        struct peer p;
        taps_listener *l;
        taps_endpoint *e;
        unsigned accepted = 0;
        world_new(&w);
        peer_new(&w, w.server, &p);
        taps_remote_endpoint_new(&e);
        CHECK_INT(taps_endpoint_with_ip_address(e, "192.0.2.2"), 0);
        CHECK_INT(taps_endpoint_with_protocol(e, cases[i].protocol), 0);
        CHECK_INT(taps_preconnection_add_remote(p.preconnection, e), 0);
        taps_endpoint_free(e);
        CHECK_INT(taps_preconnection_add_local_text(p.preconnection, V4), 0);
        taps_preconnection_set_security_parameters(p.preconnection, p.security);
        CHECK_INT(taps_preconnection_listen(p.preconnection, &events, &accepted, &l), 0);
        world_initiate(&w, V4, 3000);
        world_run_ms(&w, 100);
        CHECK_INT(accepted, cases[i].in);
        CHECK_INT(taps_listener_dropped(l), !cases[i].in);
        p.listeners[p.listener_count++] = l;
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves API-063: Stop delivers nobody more, what came before and was not delivered included. */
TEST(nobody_is_delivered_after_stop)
{
    struct world w;
    struct peer p;
    struct gate g = {0};
    world_new(&w);
    peer_new(&w, w.server, &p);
    taps_listener *l = open_gate(&w, &p, &g, V4, NULL);
    world_start(&w);
    world_run_ms(&w, 10);
    taps_listener_set_new_connection_limit(l, 0);
    world_initiate(&w, V4, 2000);
    world_run_ms(&w, 500);
    CHECK_INT(g.received, 0);
    CHECK_INT(taps_listener_stop(l), 0);
    world_run_ms(&w, 500);
    taps_connection_free(w.connection);
    memset(&w.heard, 0, sizeof(w.heard));
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 1000, &world_events, &w, &w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK_INT(g.received, 0);
    taps_listener_free(l);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-066, IMPL-25: what makes Listen fail later is told as what it is. */
TEST(a_listener_that_cannot_listen_says_why)
{
    static const struct {
        const char *local, *remote, *property, *value;
        int bind_error;
        enum taps_reason reason;
    } cases[] = {
        {"192.0.2.1:80", NULL, "interface", "require wlan7", 0, TAPS_REASON_NO_CANDIDATES},
        {"192.0.2.1:80", "nosuch.test", NULL, NULL, 0, TAPS_REASON_RESOLUTION_FAILED},
        {"nosuch.test:80", NULL, NULL, NULL, 0, TAPS_REASON_RESOLUTION_FAILED},
        {"192.0.2.1:80", NULL, NULL, NULL, EACCES, TAPS_REASON_POLICY_PROHIBITED},
        {"192.0.2.1:80", NULL, NULL, NULL, EPERM, TAPS_REASON_POLICY_PROHIBITED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        struct peer p;
        struct gate g = {0};
        world_new(&w);
        tapsi_sim_file(w.server, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
        if (cases[i].property)
            taps_transport_properties_set(w.properties, cases[i].property, cases[i].value);
        peer_new(&w, w.server, &p);
        taps_listener *l = open_gate(&w, &p, &g, cases[i].local, cases[i].remote);
        for (int nth = 1; cases[i].bind_error && nth < 6 && !g.errors; nth++) {
            if (nth > 1) {
                taps_listener_free(l);
                l = open_gate(&w, &p, &g, cases[i].local, cases[i].remote);
            }
            tapsi_sim_host_fail_call(w.server, (uint64_t)nth, cases[i].bind_error); /* socket, options, bind, listen */
            if (!w.context)
                world_start(&w);
            world_run_ms(&w, 50);
        }
        if (!w.context)
            world_start(&w);
        world_run_ms(&w, 20000);
        CHECK_INT(g.errors, 1);
        if (taps_err_reason(g.code) != cases[i].reason)
            tapsi_test_fail(__FILE__, __LINE__, "case %zu: %s", i, taps_err_name(g.code));
        CHECK(taps_listener_local(l, 0) == NULL);
        CHECK_INT(tapsi_sim_host_sockets(w.server), 0);
        taps_listener_free(l);
        peer_done(&p);
        world_finish(&w);
    }
}

static void ignore_packet(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from,
                          const union tapsi_addr *to, const uint8_t *bytes, size_t count)
{
    (void)arg;
    (void)udp;
    (void)from;
    (void)to;
    (void)bytes;
    (void)count;
}

static void say(struct tapsi_sim_udp *udp, const char *from, const char *to)
{
    union tapsi_addr source, destination;
    CHECK_INT(tapsi_addr_parse(from, &source), 0);
    CHECK_INT(tapsi_addr_parse(to, &destination), 0);
    tapsi_addr_set_port(&destination, 9000);
    tapsi_sim_udp_reply(udp, &source, &destination, "x", 1, 0);
}

/* proves API-065: four-tuples are told apart by the client's port, the client's address and the server's address. */
TEST(each_four_tuple_is_a_connection_of_its_own)
{
    struct world w;
    struct peer p;
    struct gate g = {0};
    struct tapsi_sim_udp *ports[2];
    static const struct {
        unsigned port;
        const char *from, *to;
    } tuples[] = {{0, "192.0.2.2", "192.0.2.1"},
                  {1, "192.0.2.2", "192.0.2.1"},
                  {0, "192.0.2.3", "192.0.2.1"},
                  {0, "192.0.2.2", "192.0.2.11"},
                  {0, "2001:db8::2", "2001:db8::1"}};
    world_new(&w);
    world_server_address(&w, "192.0.2.11/24");
    tapsi_sim_address_add(w.client_if, "192.0.2.3/24", false, false);
    ports[0] = tapsi_sim_udp_serve(w.client, 4000, ignore_packet, NULL);
    ports[1] = tapsi_sim_udp_serve(w.client, 4001, ignore_packet, NULL);
    set_all(&w, LOOSE ";preserveMsgBoundaries=require");
    peer_new(&w, w.server, &p);
    taps_listener *l = open_gate(&w, &p, &g, ":9000", NULL);
    world_start(&w);
    world_run_ms(&w, 10);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5; i++) {
            say(ports[tuples[i].port], tuples[i].from, tuples[i].to);
            world_run_ms(&w, 50);
            CHECK_INT(g.received, round ? 5 : i + 1); /* later datagrams belong to the Connection there is */
        }
    }
    taps_listener_free(l);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-065: after Close the same peer makes a new Connection. */
TEST(a_peer_that_speaks_again_after_close_is_a_new_connection)
{
    struct world w;
    struct peer p;
    struct gate g = {0};
    world_new(&w);
    set_all(&w, LOOSE ";preserveMsgBoundaries=require");
    peer_new(&w, w.server, &p);
    taps_listener *l = open_gate(&w, &p, &g, "192.0.2.1:9000", NULL);
    world_initiate(&w, "192.0.2.1:9000", 0);
    taps_connection_send(w.connection, "one", 3, NULL, 0, NULL);
    world_run_ms(&w, 100);
    CHECK_INT(g.received, 1);
    CHECK_INT(taps_connection_close(g.last), 0);
    world_run_ms(&w, 100);
    CHECK_INT(taps_connection_state(g.last), TAPS_CLOSED);
    taps_connection_send(w.connection, "two", 3, NULL, 0, NULL);
    world_run_ms(&w, 100);
    CHECK_INT(g.received, 2);
    taps_listener_free(l);
    peer_done(&p);
    world_finish(&w);
}
