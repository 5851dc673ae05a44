/*
 * Selection Properties (RFC 9622, 6.2) from the application to the wire: what was asked for is what is done, and what
 * cannot be done is an error and not something else.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "peer.h"
#include "wire.h"

#define V4 "192.0.2.1:80"
#define V6 "[2001:db8::1]:80"

static struct wire wire;

/* A client with two interfaces, eth0 and wlan0 (192.0.2.3, 2001:db8::3), on one link with the server. */
struct seen {
    unsigned eth0, wlan0;
};

static struct seen seen;

static void note_packet(void *arg, const struct tapsi_sim_packet *packet)
{
    (void)arg;
    if (packet->host == arg)
        *(strcmp(packet->interface, "eth0") == 0 ? &seen.eth0 : &seen.wlan0) += 1;
}

static struct tapsi_sim_interface *two_interfaces(struct world *w)
{
    world_new(w);
    struct tapsi_sim_interface *wlan =
        tapsi_sim_interface_new(w->client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24 2001:db8::3/64");
    tapsi_sim_link_join(w->link, wlan);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_udp_echo(w->server, 80);
    memset(&seen, 0, sizeof(seen));
    tapsi_sim_trace(w->sim, note_packet, w->client);
    return wlan;
}

/* "interface=require wifi;direction=..." */
static void set_all(struct world *w, const char *text)
{
    char copy[300];
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *rest = copy, *item; (item = strsep(&rest, ";"));) {
        char *value = strchr(item, '=');
        if (!value)
            continue;
        *value++ = 0;
        if (taps_transport_properties_set(w->properties, item, value))
            tapsi_test_fail(__FILE__, __LINE__, "%s = %s is not taken", item, value);
    }
}

static void go(struct world *w, const char *remote)
{
    if (!w->context)
        world_start(w);
    wire_tap(&wire, w->context);
    world_initiate(w, remote, 5000);
    if (w->initiated == 0)
        world_run_until_ready(w);
}

/* Refused at once or later, for this reason. */
static void check_refused(const struct world *w, enum taps_reason reason)
{
    int code = w->initiated ? w->initiated : w->heard.code;
    CHECK_INT(w->heard.ready, 0);
    CHECK_TEXT(taps_reason_name(taps_err_reason(code)), taps_reason_name(reason));
}

static bool boolean(struct world *w, enum taps_property property)
{
    struct taps_value value = {.type = TAPS_TYPE_SET};
    CHECK_INT(taps_connection_get_value(w->connection, property, &value), 0);
    CHECK_INT(value.type, TAPS_TYPE_BOOLEAN);
    return value.type == TAPS_TYPE_BOOLEAN && value.boolean;
}

static const char *local_of(const struct world *w)
{
    return taps_endpoint_ip_address(taps_connection_local(w->connection));
}

/* ------------------------------------------------------------------------------------------------ protocols */

#define LOOSE                                                                                                          \
    "reliability=no preference;preserveOrder=no preference;congestionControl=no preference;safelyReplayable=true;"

struct choice {
    const char *properties;
    const char *stack; /* NULL: refused at once, */
    const char *named; /* with this property in the words */
};

static void check_choice(const struct choice *c)
{
    struct world w;
    two_interfaces(&w);
    set_all(&w, c->properties);
    go(&w, V4);
    const char *stack = w.heard.ready ? taps_connection_stack(w.connection) : NULL;
    if ((c->stack && (!stack || strcmp(stack, c->stack) != 0)) || (!c->stack && w.initiated != TAPS_E_CONFIGURATION))
        tapsi_test_fail(__FILE__, __LINE__, "%s: %s", c->properties, stack ? stack : "nothing");
    if (!c->stack) {
        CHECK(strstr(taps_preconnection_error(w.preconnection)->detail, c->named) != NULL);
        CHECK_INT(wire.streams + wire.datagrams, 0);
        CHECK_INT(seen.eth0 + seen.wlan0, 0);
    } else if (strcmp(c->stack, "tcp") == 0) {
        CHECK_INT(wire.datagrams, 0);
    } else {
        CHECK_INT(wire.streams, 0);
    }
    world_finish(&w);
}

/* proves ARCH-05, ARCH-08, API-030..039, API-046, API-047, IMPL-01: and no other stack touches the network. */
TEST(preferences_choose_the_protocol)
{
    static const struct choice choices[] = {
        {"", "tcp", NULL},
        {LOOSE, "tcp", NULL}, /* not required, and still allowed: ARCH-08 */
        {LOOSE "reliability=require", "tcp", NULL},
        {LOOSE "reliability=prefer", "tcp", NULL},
        {LOOSE "reliability=avoid", "udp", NULL},
        {LOOSE "reliability=prohibit", "udp", NULL},
        {LOOSE "preserveMsgBoundaries=require", "udp", NULL},
        {LOOSE "preserveMsgBoundaries=prefer", "udp", NULL},
        {LOOSE "preserveMsgBoundaries=prohibit", "tcp", NULL},
        {"preserveMsgBoundaries=require", NULL, "preserveMsgBoundaries"},
        {LOOSE "reliability=require;preserveMsgBoundaries=require", NULL, "reliability"},
        {LOOSE "perMsgReliability=require", NULL, "perMsgReliability"},
        {LOOSE "perMsgReliability=prefer", "tcp", NULL},
        {LOOSE "perMsgReliability=prohibit", "tcp", NULL},
        {LOOSE "preserveOrder=require", "tcp", NULL},
        {LOOSE "preserveOrder=avoid", "udp", NULL},
        {LOOSE "preserveOrder=prohibit", "udp", NULL},
        {"preserveOrder=prohibit", NULL, "preserveOrder"},
        {LOOSE "zeroRttMsg=require", "tcp", NULL}, /* Fast Open */
        {LOOSE "zeroRttMsg=require;reliability=avoid", "udp", NULL},
        {"zeroRttMsg=require", "tcp", NULL},
        {LOOSE "zeroRttMsg=prohibit", "tcp", NULL},
        {LOOSE "multistreaming=require", NULL, "multistreaming"},
        {LOOSE "multistreaming=prohibit", "tcp", NULL},
        {LOOSE "fullChecksumSend=prohibit", NULL, "fullChecksumSend"},
        {LOOSE "fullChecksumSend=avoid", "tcp", NULL},
        {LOOSE "fullChecksumRecv=prohibit", NULL, "fullChecksumRecv"},
        {LOOSE "congestionControl=require", "tcp", NULL},
        {LOOSE "congestionControl=avoid", "udp", NULL},
        {LOOSE "congestionControl=prohibit", "udp", NULL},
        {"congestionControl=prohibit", NULL, "congestionControl"},
        {LOOSE "keepAlive=require", "tcp", NULL},
        {LOOSE "keepAlive=prefer;preserveMsgBoundaries=avoid", "tcp", NULL},
        {LOOSE "keepAlive=require;preserveMsgBoundaries=require", NULL, "keepAlive"},
        {LOOSE "softErrorNotify=require", "tcp", NULL},
        {LOOSE "softErrorNotify=require;reliability=prohibit", "udp", NULL},
        {LOOSE "activeReadBeforeSend=require", "tcp", NULL},
        {LOOSE "activeReadBeforeSend=require;reliability=prohibit", NULL, "activeReadBeforeSend"},
        {"safelyReplayable=false;reliability=avoid;preserveOrder=avoid;congestionControl=avoid", "tcp", NULL},
        {"reliability=prohibit;preserveOrder=avoid;congestionControl=avoid", NULL, "reliability"},
    };
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
        check_choice(&choices[i]);
}

static const char *const preferences[] = {"prohibit", "avoid", "no preference", "prefer", "require"};

static unsigned dice(uint32_t *state, unsigned sides)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 16) % sides;
}

static bool of_stack(enum taps_property property)
{
    return property >= TAPS_RELIABILITY && property <= TAPS_ACTIVE_READ_BEFORE_SEND &&
           property != TAPS_USE_TEMPORARY_LOCAL_ADDRESS && taps_property_info(property)->type == TAPS_TYPE_PREFERENCE;
}

/* What was required must read true, what was prohibited false. */
static void check_consistent(struct world *w, const int *wanted)
{
    for (int p = TAPS_RELIABILITY; p <= TAPS_ACTIVE_READ_BEFORE_SEND; p++) {
        if (!of_stack((enum taps_property)p))
            continue;
        bool has = boolean(w, (enum taps_property)p);
        if ((wanted[p] == 4 && !has) || (wanted[p] == 0 && has))
            tapsi_test_fail(__FILE__, __LINE__, "%s: %s was to %s, and %s it", taps_connection_stack(w->connection),
                            taps_property_info((enum taps_property)p)->name, preferences[wanted[p]],
                            has ? "has" : "lacks");
    }
}

/* proves API-019, API-021, ARCH-07: with random wishes; the Connection's own answers are held against them. */
TEST(the_outcome_is_consistent_with_every_require_and_prohibit)
{
    uint32_t state = 20261121;
    unsigned established = 0, refused = 0;
    for (int round = 0; round < 500; round++) {
        struct world w;
        int wanted[TAPS_PROPERTY_COUNT] = {0};
        two_interfaces(&w);
        set_all(&w, "safelyReplayable=true");
        for (int p = TAPS_RELIABILITY; p <= TAPS_ACTIVE_READ_BEFORE_SEND; p++) {
            if (!of_stack((enum taps_property)p))
                continue;
            wanted[p] = dice(&state, 3) ? 1 + (int)dice(&state, 3) : (int)dice(&state, 5);
            taps_transport_properties_set_preference(w.properties, (enum taps_property)p,
                                                     (enum taps_preference)(wanted[p] - 2));
        }
        go(&w, V4);
        if (w.heard.ready) {
            check_consistent(&w, wanted);
            established++;
        } else {
            CHECK_INT(w.initiated, TAPS_E_CONFIGURATION);
            refused++;
        }
        world_finish(&w);
    }
    CHECK(established > 50 && refused > 50);
}

/* proves API-021: what is no Preference reads as it was, and nothing reads as a Boolean before it is decided. */
TEST(what_is_no_preference_reads_unchanged)
{
    struct world w;
    char text[64];
    struct taps_value value;
    two_interfaces(&w);
    set_all(&w, "interface=prefer eth0;direction=unidirectional send;multipath=active;advertisesAltaddr=true");
    world_initiate(&w, V4, 0);
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_RELIABILITY, &value), 0);
    CHECK_INT(value.type, TAPS_TYPE_PREFERENCE);
    world_run_until_ready(&w);
    CHECK(boolean(&w, TAPS_RELIABILITY));
    CHECK(taps_connection_get_property(w.connection, "interface", text, sizeof(text)) > 0);
    CHECK_TEXT(text, "prefer eth0");
    taps_connection_get_property(w.connection, "direction", text, sizeof(text));
    CHECK_TEXT(text, "unidirectional send");
    taps_connection_get_property(w.connection, "multipath", text, sizeof(text));
    CHECK_TEXT(text, "active");
    taps_connection_get_property(w.connection, "advertisesAltaddr", text, sizeof(text));
    CHECK_TEXT(text, "true");
    CHECK_INT(taps_connection_set_property(w.connection, "direction", "bidirectional"), TAPS_E_READ_ONLY);
    CHECK_INT(taps_connection_set_property(w.connection, "interface", "require wlan0"), TAPS_E_READ_ONLY);
    world_finish(&w);
}

/* proves API-022: the profiles of appendix A.2 and what they choose here. */
TEST(profiles_choose_their_stacks)
{
    static const struct {
        enum taps_properties_profile profile;
        const char *stack;
    } cases[] = {
        {TAPS_RELIABLE_INORDER_STREAM, "tcp"}, {TAPS_RELIABLE_MESSAGE, NULL}, {TAPS_UNRELIABLE_DATAGRAM, "udp"}};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        two_interfaces(&w);
        taps_transport_properties_free(w.properties);
        taps_transport_properties_new_profile(cases[i].profile, &w.properties);
        go(&w, V4);
        if (cases[i].stack)
            CHECK_TEXT(taps_connection_stack(w.connection), cases[i].stack);
        else
            CHECK_INT(w.initiated, TAPS_E_CONFIGURATION);
        world_finish(&w);
    }
}

/* proves API-039: it is what the socket is told, and nothing when it was not asked for. */
TEST(keep_alive_reaches_the_socket)
{
    static const char *const cases[] = {"keepAlive=require", "keepAlive=prefer", "", "keepAlive=avoid",
                                        "keepAlive=prohibit"};
    for (size_t i = 0; i < 5; i++) {
        struct world w;
        two_interfaces(&w);
        set_all(&w, cases[i]);
        go(&w, V4);
        CHECK_INT(w.heard.ready, 1);
        CHECK_INT(wire_set(&wire, SOL_SOCKET, SO_KEEPALIVE, 1), i < 2);
        CHECK_INT(boolean(&w, TAPS_KEEP_ALIVE), i < 2);
        world_finish(&w);
    }
}

/* ------------------------------------------------------------------------------------------------ interfaces */

struct route {
    const char *properties, *interface; /* NULL: no candidate */
};

/* proves API-040, API-041, API-019: by name and by type; the other interface sees no packet. */
TEST(interfaces_are_required_prohibited_preferred_and_avoided)
{
    static const struct route routes[] = {
        {"", "eth0"},
        {"interface=require wlan0", "wlan0"},
        {"interface=require wifi", "wlan0"},
        {"interface=require eth0", "eth0"},
        {"interface=prohibit eth0", "wlan0"},
        {"interface=prohibit ethernet", "wlan0"},
        {"interface=prohibit wifi", "eth0"},
        {"interface=prefer wlan0", "wlan0"},
        {"interface=prefer wifi", "wlan0"},
        {"interface=avoid eth0", "wlan0"},
        {"interface=avoid cellular", "eth0"},
        {"interface=prefer wlan0;interface=prohibit wlan0", "eth0"}, /* the later word counts */
        {"interface=prohibit eth0;interface=prohibit wifi", NULL},
        {"interface=require cellular", NULL},
        {"interface=require eth7", NULL},
        {"interface=require loopback", NULL},
        {"interface=require wifi;interface=require eth0", NULL},
        {"pvd=require wlan0", "wlan0"},
        {"pvd=prohibit eth0", "wlan0"},
        {"pvd=prefer wlan0", "wlan0"},
        {"pvd=require nowhere.example", NULL},
        {"pvd=require wlan0;interface=require eth0", NULL},
    };
    for (int datagrams = 0; datagrams < 2; datagrams++) {
        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
            struct world w;
            const struct route *r = &routes[i];
            two_interfaces(&w);
            if (datagrams)
                set_all(&w, LOOSE "preserveMsgBoundaries=require");
            set_all(&w, r->properties);
            go(&w, V4);
            if (r->interface) {
                taps_connection_send(w.connection, "x", 1, NULL, 0, NULL);
                world_run_ms(&w, 3000);
                bool eth = strcmp(r->interface, "eth0") == 0;
                if (!w.heard.ready || (eth ? !seen.eth0 || seen.wlan0 : !seen.wlan0 || seen.eth0))
                    tapsi_test_fail(__FILE__, __LINE__, "%s%s: %u packets from eth0, %u from wlan0", r->properties,
                                    datagrams ? " (udp)" : "", seen.eth0, seen.wlan0);
                CHECK_TEXT(taps_endpoint_interface(taps_connection_local(w.connection)), r->interface);
                CHECK_TEXT(local_of(&w), eth ? "192.0.2.2" : "192.0.2.3");
            } else {
                check_refused(&w, TAPS_REASON_NO_CANDIDATES);
                CHECK_INT(seen.eth0 + seen.wlan0, 0);
            }
            world_finish(&w);
        }
    }
}

/* proves API-040: strictly: a required interface that leads nowhere is not replaced by another. */
TEST(a_required_interface_is_not_replaced)
{
    static const char *const wishes[] = {"interface=require wlan0", "interface=prohibit eth0", "pvd=require wlan0"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        struct tapsi_sim_interface *wlan = two_interfaces(&w);
        tapsi_sim_interface_up(wlan, false);
        set_all(&w, wishes[i]);
        go(&w, V4);
        check_refused(&w, TAPS_REASON_NO_CANDIDATES);
        CHECK_INT(seen.eth0 + seen.wlan0, 0);
        world_finish(&w);
    }
}

/* proves API-040, API-006: what the Local Endpoint says and what the properties say must agree. */
TEST(properties_that_contradict_the_local_endpoint_are_an_error)
{
    struct world w;
    taps_endpoint *local;
    two_interfaces(&w);
    world_start(&w);
    taps_local_endpoint_new(&local);
    taps_endpoint_with_interface(local, "eth0");
    taps_preconnection_add_local(w.preconnection, local);
    taps_endpoint_free(local);
    set_all(&w, "interface=prohibit eth0");
    world_initiate(&w, V4, 3000);
    if (w.initiated == 0)
        world_run_until_end(&w);
    check_refused(&w, TAPS_REASON_NO_CANDIDATES);
    CHECK_INT(seen.eth0 + seen.wlan0, 0);
    world_finish(&w);
}

/* Leaves in the order of the tree: "wlan0/udp wlan0/tcp eth0/udp". */
static const char *order(const struct world *w)
{
    static char text[256];
    const taps_report *report = taps_connection_report(w->connection);
    struct taps_candidate_info info;
    size_t length = 0;
    text[0] = 0;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        if (info.kind == TAPS_CANDIDATE_ENDPOINT && info.state != TAPS_CANDIDATE_PRUNED)
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s/%s", length ? " " : "",
                                       info.interface, info.stack);
    }
    return text;
}

/* proves API-020, IMPL-05: the path is decided first, whatever the protocols are preferred to be. */
TEST(the_preferred_path_comes_before_the_preferred_protocol)
{
    struct world w;
    two_interfaces(&w);
    tapsi_sim_fault(w.sim, "192.0.2.1", TAPSI_SIM_REFUSE);
    set_all(&w, "interface=prefer wlan0;preserveMsgBoundaries=prefer;reliability=no preference;preserveOrder=no "
                "preference;congestionControl=no preference");
    go(&w, V4); /* udp is not safe here, so tcp, on both paths */
    CHECK_TEXT(order(&w), "wlan0/tcp eth0/tcp");
    world_finish(&w);
    two_interfaces(&w);
    set_all(&w, LOOSE "interface=prefer wlan0;reliability=prefer;preserveMsgBoundaries=prohibit");
    tapsi_sim_fault(w.sim, "192.0.2.1", TAPSI_SIM_REFUSE);
    go(&w, V4);
    CHECK_TEXT(order(&w), "wlan0/tcp eth0/tcp");
    world_finish(&w);
    two_interfaces(&w);
    set_all(&w, LOOSE "interface=prefer wlan0;reliability=prefer");
    tapsi_sim_fault(w.sim, "192.0.2.1", TAPSI_SIM_REFUSE);
    go(&w, V4); /* tcp is refused on wlan0: its udp comes before eth0's tcp */
    CHECK_TEXT(order(&w), "wlan0/tcp wlan0/udp");
    CHECK_INT(seen.eth0, 0);
    world_finish(&w);
}

/* ----------------------------------------------------------------------------------- temporary addresses */

#define STABLE    "2001:db8::2"
#define TEMPORARY "2001:db8::aaaa"

static void temporary(struct world *w, const char *preference)
{
    char text[64];
    world_new(w);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_udp_echo(w->server, 80);
    tapsi_sim_address_add(w->client_if, TEMPORARY "/64", true, false);
    snprintf(text, sizeof(text), "useTemporaryLocalAddress=%s", preference);
    if (preference[0])
        set_all(w, text);
}

/* proves API-042, API-021: over IPv6, as asked for, and so it reads afterwards. */
TEST(temporary_addresses_are_used_as_asked_for)
{
    static const char *const cases[][2] = {
        {"require", TEMPORARY}, {"prefer", TEMPORARY}, {"avoid", STABLE}, {"prohibit", STABLE}};
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        temporary(&w, cases[i / 2][0]);
        if (i % 2)
            set_all(&w, LOOSE "preserveMsgBoundaries=require");
        go(&w, V6);
        CHECK_TEXT(taps_connection_stack(w.connection), i % 2 ? "udp" : "tcp");
        CHECK_TEXT(local_of(&w), cases[i / 2][1]);
        CHECK_INT(boolean(&w, TAPS_USE_TEMPORARY_LOCAL_ADDRESS), i / 2 < 2);
        world_finish(&w);
    }
}

/* proves API-042: Require excludes IPv4, as an address and in a name. */
TEST(requiring_temporary_addresses_excludes_ipv4)
{
    struct world w;
    temporary(&w, "require");
    go(&w, V4);
    check_refused(&w, TAPS_REASON_NO_CANDIDATES);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
    world_finish(&w);
    temporary(&w, "require");
    tapsi_sim_dns_answer(w.dns, "dual.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(w.dns, "dual.test", "A", "192.0.2.1", 0);
    tapsi_sim_fault(w.sim, V6, TAPSI_SIM_REFUSE);
    go(&w, "dual.test:80");
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
    CHECK_INT(tapsi_sim_dns_queries(w.dns, "dual.test", "A"), 0);
    world_finish(&w);
}

/* proves API-042: where there is no temporary address, Require fails and Prefer goes on. */
TEST(without_a_temporary_address_require_fails_and_prefer_goes_on)
{
    static const char *const wishes[] = {"require", "prefer", ""};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        temporary(&w, wishes[i]);
        tapsi_sim_address_remove(w.client_if, TEMPORARY);
        go(&w, V6);
        if (i == 0) {
            check_refused(&w, TAPS_REASON_NO_CANDIDATES);
            CHECK_INT(tapsi_sim_packets_to(w.sim, V6), 0);
        } else {
            CHECK_TEXT(local_of(&w), STABLE);
            CHECK(!boolean(&w, TAPS_USE_TEMPORARY_LOCAL_ADDRESS));
        }
        world_finish(&w);
    }
}

/* ------------------------------------------------------------------------------------ multipath, addresses */

struct accepted {
    char multipath[32];
};

static void read_multipath(taps_listener *l, taps_connection *c, void *user)
{
    struct accepted *a = user;
    (void)l;
    taps_connection_get_property(c, "multipath", a->multipath, sizeof(a->multipath));
    taps_connection_free(c);
}

/* proves API-043, API-021: an accepted Connection reads what was set for its Listener; the Listener's default, Passive,
   does not make it claim what its stack cannot do. */
TEST(multipath_reads_as_set_or_as_the_stack_has_it)
{
    static const char *const wishes[][2] = {{"", "disabled"}, {"passive", "passive"}, {"active", "active"}};
    static const struct taps_listener_events events = {.connection_received = read_multipath};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        struct peer p;
        struct accepted a = {""};
        world_new(&w);
        peer_new(&w, w.server, &p);
        if (wishes[i][0][0])
            set_all(&w, i == 1 ? "multipath=passive" : "multipath=active");
        CHECK_INT(taps_preconnection_add_local_text(p.preconnection, V4), 0);
        taps_preconnection_set_security_parameters(p.preconnection, p.security);
        taps_preconnection_set_transport_properties(p.preconnection, w.properties);
        CHECK_INT(taps_preconnection_listen(p.preconnection, &events, &a, &p.listeners[p.listener_count++]), 0);
        world_initiate(&w, V4, 3000);
        world_run_ms(&w, 100);
        CHECK_TEXT(a.multipath, wishes[i][1]);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves API-043, API-044: whatever is asked for, this version opens no multipath socket and says no other address. */
TEST(no_multipath_socket_is_opened)
{
    static const char *const wishes[] = {"", "multipath=disabled", "multipath=active", "multipath=passive",
                                         "multipath=active;advertisesAltaddr=true"};
    for (size_t i = 0; i < 5; i++) {
        struct world w;
        two_interfaces(&w);
        set_all(&w, wishes[i]);
        go(&w, V4);
        CHECK_INT(w.heard.ready, 1);
        CHECK_INT(wire.multipath, 0);
        CHECK_INT(wire.streams, 1);
        world_run_ms(&w, 2000);
        CHECK_INT(seen.wlan0, 0); /* the other path is not used beside this one */
        world_finish(&w);
    }
}

/* ------------------------------------------------------------------------------------------------ direction */

/* proves API-045: what was excluded is refused, in every state; what was asked for works. */
TEST(direction_excludes_one_way_only)
{
    static const char *const directions[] = {"bidirectional", "unidirectional send", "unidirectional receive"};
    for (int datagrams = 0; datagrams < 2; datagrams++) {
        for (int d = 0; d < 3; d++) {
            struct world w;
            bool sends = d != 2, receives = d != 1;
            world_new(&w);
            if (datagrams)
                set_all(&w, LOOSE "preserveMsgBoundaries=require");
            struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND);
            tapsi_sim_service_bytes(s, "from the peer", 13);
            tapsi_sim_udp_echo(w.server, 80);
            taps_transport_properties_set(w.properties, "direction", directions[d]);
            w.keep_reading = true;
            world_initiate(&w, V4, 0);
            for (int state = 0; state < 2; state++) {
                CHECK_INT(taps_connection_send(w.connection, "x", 1, NULL, 0, NULL), sends ? 0 : TAPS_E_NOT_APPLICABLE);
                CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), receives ? 0 : TAPS_E_NOT_APPLICABLE);
                world_run_until_ready(&w);
            }
            CHECK_INT(boolean(&w, TAPS_CAN_SEND), sends);
            CHECK_INT(boolean(&w, TAPS_CAN_RECEIVE), receives);
            world_run_ms(&w, 200);
            CHECK_INT(w.heard.sent, sends ? 2 : 0);
            CHECK_INT(w.heard.length > 0, receives && (sends || !datagrams));
            world_finish(&w);
        }
    }
}

/* proves API-045: InitiateWithSend on a Connection that cannot send is refused, and nothing is left behind. */
TEST(initiate_with_send_needs_a_direction_that_sends)
{
    struct world w;
    world_new(&w);
    world_start(&w);
    taps_transport_properties_set(w.properties, "direction", "unidirectional receive");
    taps_preconnection_set_transport_properties(w.preconnection, w.properties);
    taps_preconnection_set_security_parameters(w.preconnection, w.security);
    taps_preconnection_add_remote_text(w.preconnection, V4);
    CHECK_INT(taps_preconnection_initiate_with_send(w.preconnection, 0, &world_events, &w, "x", 1, NULL, 0, NULL,
                                                    &w.connection),
              TAPS_E_NOT_APPLICABLE);
    CHECK(w.connection == NULL);
    CHECK(taps_preconnection_error(w.preconnection)->detail[0] != 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.total, 0);
    CHECK_INT(tapsi_sim_packets_to(w.sim, V4), 0);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------ soft errors */

/* proves API-046: ICMP that ends nothing is told to those who asked, on both kinds of stack. */
TEST(soft_errors_are_told_to_those_who_asked)
{
    static const char *const wishes[] = {"softErrorNotify=require", "softErrorNotify=prefer", "",
                                         "softErrorNotify=avoid", "softErrorNotify=prohibit"};
    for (int datagrams = 0; datagrams < 2; datagrams++) {
        for (size_t i = 0; i < 5; i++) {
            struct world w;
            two_interfaces(&w);
            set_all(&w, wishes[i]);
            if (datagrams)
                set_all(&w, LOOSE "preserveMsgBoundaries=require");
            go(&w, V4);
            world_run_ms(&w, 50);
            tapsi_sim_link_fault(w.link, TAPSI_SIM_UNREACHABLE);
            for (int k = 0; k < 3; k++) {
                taps_connection_send(w.connection, "x", 1, NULL, 0, NULL);
                world_run_ms(&w, 100);
            }
            if ((w.heard.soft_error > 0) != (i < 2))
                tapsi_test_fail(__FILE__, __LINE__, "%s (%s): %u soft errors", wishes[i],
                                taps_connection_stack(w.connection), w.heard.soft_error);
            CHECK_INT(boolean(&w, TAPS_SOFT_ERROR_NOTIFY), i < 2);
            CHECK_INT(w.heard.connection_error + w.heard.closed, 0);
            world_finish(&w);
        }
    }
}

/* ----------------------------------------------------------------------------------------- who writes first */

/* proves API-047: the initiating side reads first, and sends nothing until it wants to. */
TEST(the_listening_side_may_write_first)
{
    struct world w;
    struct peer p;
    world_new(&w);
    peer_new(&w, w.server, &p);
    p.greeting = "220 welcome";
    set_all(&w, "activeReadBeforeSend=require");
    peer_listen(&w, &p, V4);
    go(&w, V4);
    CHECK_INT(w.heard.ready, 1);
    CHECK(boolean(&w, TAPS_ACTIVE_READ_BEFORE_SEND));
    CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.length, 11);
    CHECK_INT(wire.length, 0);
    peer_done(&p);
    world_finish(&w);
}
