/* What the network does to a Connection that is there: soft errors, changes of its path, and silence. */
#include <string.h>
#include "connection/context.h"
#include "peer.h"

#define V4 "192.0.2.1:80"

/* A Connection over TCP to a service that behaves so, with softErrorNotify set to `wish`. */
static void connect_tcp(struct world *w, enum tapsi_sim_behaviour behaviour, const char *wish)
{
    world_new(w);
    tapsi_sim_serve(w->server, 80, behaviour);
    taps_transport_properties_set(w->properties, "softErrorNotify", wish);
    world_initiate(w, V4, 0);
    world_run_until_ready(w);
    CHECK_INT(w->heard.ready, 1);
}

static void send_text(struct world *w, const char *text)
{
    CHECK_INT(taps_connection_send(w->connection, text, strlen(text), NULL, 0, NULL), 0);
}

/* Is there anything the loop would wake up for? */
static bool has_timer(const struct world *w)
{
    return w->context && w->context->loop.timers.count != 0;
}

/* ------------------------------------------------------------------------------- too many retransmissions */

/* proves API-096: TCP that goes on repeating is told once, and again only after something was acknowledged. */
TEST(too_many_retransmissions_are_a_soft_error)
{
    struct world w;
    connect_tcp(&w, TAPSI_SIM_SILENT, "prefer");
    for (unsigned stall = 1; stall <= 2; stall++) {
        tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
        send_text(&w, "lost");
        world_run_ms(&w, 500);
        CHECK_INT(w.heard.soft_error, stall - 1); /* one or two repetitions are nothing */
        world_run_ms(&w, 9500);
        CHECK_INT(w.heard.soft_error, stall);
        tapsi_sim_link_fault(w.link, TAPSI_SIM_FINE);
        world_run_ms(&w, 30000);
        CHECK_INT(w.heard.soft_error, stall);
    }
    CHECK_INT(w.heard.connection_error, 0);
    CHECK_INT(w.heard.sent, 2);
    world_finish(&w);
}

/* Who did not ask is not told. */
TEST(retransmissions_are_not_told_to_others)
{
    static const char *const wishes[] = {"no preference", "avoid", "prohibit"};
    for (int i = 0; i < 3; i++) {
        struct world w;
        connect_tcp(&w, TAPSI_SIM_SILENT, wishes[i]);
        tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
        send_text(&w, "lost");
        CHECK(!has_timer(&w)); /* and nothing looks */
        world_run_ms(&w, 20000);
        CHECK_INT(w.heard.soft_error, 0);
        world_finish(&w);
    }
}

/* A peer that does not read is no fault of the network. */
TEST(a_closed_window_is_no_soft_error)
{
    static char many[400000];
    struct world w;
    connect_tcp(&w, TAPSI_SIM_STALL, "prefer");
    CHECK_INT(taps_connection_send(w.connection, many, sizeof(many), NULL, 0, NULL), 0);
    world_run_ms(&w, 60000);
    CHECK_INT(w.heard.soft_error, 0);
    world_finish(&w);
}

/* Nothing is looked at while nothing is on its way. */
TEST(an_idle_connection_looks_at_nothing)
{
    struct world w;
    connect_tcp(&w, TAPSI_SIM_ECHO, "prefer");
    CHECK(!has_timer(&w));
    send_text(&w, "there and back");
    world_run_ms(&w, 1);
    CHECK(has_timer(&w));
    world_run_ms(&w, 5000);
    CHECK(!has_timer(&w));
    CHECK_INT(w.heard.soft_error + w.heard.path_change, 0);
    world_finish(&w);
}

/* --------------------------------------------------------------------------------------- another path MTU */

/* proves API-096: a path that became narrower, or wider again, is a PathChange, on TCP too. */
TEST(another_mtu_is_a_path_change)
{
    struct world w;
    connect_tcp(&w, TAPSI_SIM_SILENT, "prefer");
    send_text(&w, "one");
    world_run_ms(&w, 3000);
    CHECK_INT(w.heard.path_change, 0);
    tapsi_sim_interface_mtu(w.client_if, 1400);
    send_text(&w, "two");
    world_run_ms(&w, 3000);
    CHECK_INT(w.heard.path_change, 1);
    send_text(&w, "three");
    world_run_ms(&w, 3000);
    CHECK_INT(w.heard.path_change, 1);
    tapsi_sim_interface_mtu(w.client_if, 1500);
    send_text(&w, "four");
    world_run_ms(&w, 3000);
    CHECK_INT(w.heard.path_change, 2);
    CHECK_INT(w.heard.soft_error, 0);
    world_finish(&w);
}

/* ------------------------------------------------------------- datagrams and what the path takes in one piece */

#define V6 "[2001:db8::1]:80"

static char large[70000];

struct size_case {
    const char *remote;
    const char *soft_errors;
    unsigned headers;
};

static const struct size_case sizes[] = {
    {V4, "no preference", 28}, {V4, "prefer", 28}, {V6, "no preference", 48}, {V6, "prefer", 48}};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void connect_udp(struct world *w, const struct size_case *size)
{
    world_new(w);
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
    taps_transport_properties_set(w->properties, "softErrorNotify", size->soft_errors);
    tapsi_sim_udp_echo(w->server, 80);
    world_initiate(w, size->remote, 0);
    world_run_until_ready(w);
    w->keep_reading = true;
    taps_connection_receive(w->connection, SIZE_MAX, SIZE_MAX, NULL);
}

static uint64_t integer(taps_connection *c, enum taps_property property)
{
    struct taps_value value = {.type = TAPS_TYPE_INTEGER};
    CHECK_INT(taps_connection_get_value(c, property, &value), 0);
    return value.integer;
}

static void send_bytes(taps_connection *c, size_t length, bool whole)
{
    taps_message_context *context;
    taps_message_context_new(&context);
    taps_message_context_set(context, "noFragmentation", whole ? "true" : "false");
    taps_message_context_set(context, "safelyReplayable", "true");
    CHECK_INT(taps_connection_send(c, large, length, context, 0, NULL), 0);
    taps_message_context_free(context);
}

/* proves API-092, API-096, API-108: "packet too big" of the network is a PathChange, and the length follows it; a
   Message that may not be fragmented and is larger is a SendError, one that just fits goes. */
TEST(a_narrow_path_is_learned_from_the_network)
{
    for (size_t i = 0; i < SIZES; i++) {
        struct world w;
        unsigned headers = sizes[i].headers;
        connect_udp(&w, &sizes[i]);
        CHECK_INT(integer(w.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN), 1500 - headers);
        tapsi_sim_link_mtu(w.link, 1300, false);
        send_bytes(w.connection, 1500 - headers, true);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.sent, 1); /* it left, and the network turned it down */
        CHECK_INT(w.heard.path_change, 1);
        CHECK_INT(w.heard.received, 0);
        CHECK_INT(integer(w.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN), 1300 - headers);
        send_bytes(w.connection, 1300 - headers + 1, true);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.send_error, 1);
        CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_TOO_LARGE);
        send_bytes(w.connection, 1300 - headers, true);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.sent, 2);
        CHECK_INT(w.heard.length, 1300 - headers);
        CHECK_INT(w.heard.path_change, 1);
        CHECK_INT(w.heard.soft_error, 0); /* it is news of the path, not an error */
        CHECK_INT(w.heard.connection_error + w.heard.send_error, 1);
        world_finish(&w);
    }
}

/* What the network said of one Message does not cost the next, which fits. */
TEST(too_big_is_not_said_of_the_message_after_it)
{
    for (size_t i = 0; i < SIZES; i++) {
        struct world w;
        connect_udp(&w, &sizes[i]);
        tapsi_sim_link_mtu(w.link, 1300, false);
        send_bytes(w.connection, 1400, true);
        world_run_ms(&w, 5); /* the answer comes while the next is being sent */
        for (int n = 0; n < 20; n++) {
            send_bytes(w.connection, 100, n % 2);
            world_run_ms(&w, 1);
        }
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.sent, 21);
        CHECK_INT(w.heard.send_error, 0);
        CHECK_INT(w.heard.length, 20 * 100);
        CHECK_INT(w.heard.path_change, 1);
        world_finish(&w);
    }
}

/* Messages that may be fragmented pass a narrow path, and are received whole. */
TEST(what_may_be_fragmented_passes)
{
    for (size_t i = 0; i < SIZES; i++) {
        struct world w;
        connect_udp(&w, &sizes[i]);
        tapsi_sim_link_mtu(w.link, 1300, false);
        for (int n = 0; n < 3; n++) {
            send_bytes(w.connection, 5000, false);
            world_run_ms(&w, 100);
        }
        CHECK_INT(w.heard.send_error, 0);
        CHECK_INT(w.heard.sent, 3);
        CHECK(w.heard.length >= 5000); /* over IPv6 each side loses one, and then cuts them itself */
        world_finish(&w);
    }
}

/* proves API-114: larger than sendMsgMaxLen is MessageTooLarge over each family, and as large goes. */
TEST(a_datagram_over_the_limit_is_too_large)
{
    for (size_t i = 0; i < SIZES; i++) {
        struct world w;
        connect_udp(&w, &sizes[i]);
        uint64_t limit = integer(w.connection, TAPS_SEND_MSG_MAX_LEN);
        CHECK_INT(limit, sizes[i].headers == 28 ? 65507 : 65527);
        send_bytes(w.connection, limit + 1, false);
        world_run_ms(&w, 50);
        CHECK_INT(w.heard.send_error, 1);
        CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_TOO_LARGE);
        CHECK_INT(taps_err_reason(w.heard.send_error_code), TAPS_REASON_MESSAGE_TOO_LARGE);
        CHECK_INT(w.heard.length, 0);
        send_bytes(w.connection, limit, false);
        world_run_ms(&w, 50);
        CHECK_INT(w.heard.sent, 1);
        CHECK_INT(w.heard.length, limit);
        CHECK_INT(w.heard.connection_error, 0);
        world_finish(&w);
    }
}

/* proves API-114: a stream has no limit, says so, and takes what no datagram could carry. */
TEST(a_stream_takes_messages_of_any_length)
{
    struct world w;
    connect_tcp(&w, TAPSI_SIM_SILENT, "no preference");
    CHECK(integer(w.connection, TAPS_SEND_MSG_MAX_LEN) == TAPS_INFINITE);
    CHECK(integer(w.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN) == TAPS_INFINITE);
    CHECK_INT(taps_connection_send(w.connection, large, sizeof(large), NULL, 0, NULL), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(w.heard.send_error, 0);
    world_finish(&w);
}

/* ------------------------------------------------------------------------- the same of a Listener's peers */

struct served {
    taps_connection *connection;
    unsigned soft_error, path_change, send_error, sent;
};

static void on_served_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    ((struct served *)user)->sent++;
}

static void on_served_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    CHECK_INT(error->code, TAPS_E_MESSAGE_TOO_LARGE);
    ((struct served *)user)->send_error++;
}

static void on_served_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)error;
    ((struct served *)user)->soft_error++;
}

static void on_served_path_change(taps_connection *c, void *user)
{
    (void)c;
    ((struct served *)user)->path_change++;
}

static const struct taps_connection_events served_events = {.sent = on_served_sent,
                                                            .send_error = on_served_send_error,
                                                            .soft_error = on_served_soft_error,
                                                            .path_change = on_served_path_change};

static void on_served(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    ((struct served *)user)->connection = c;
    taps_connection_set_events(c, &served_events, user);
}

static const struct taps_listener_events serving = {.connection_received = on_served};

/* The world's program listens; a service of the other host says something. */
static taps_listener *serve_udp(struct world *w, struct served *served, const char *local, const char *soft_errors)
{
    taps_listener *listener = NULL;
    union tapsi_addr to, from;
    memset(served, 0, sizeof(*served));
    world_new(w);
    world_start(w);
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
    taps_transport_properties_set(w->properties, "softErrorNotify", soft_errors);
    taps_preconnection_set_transport_properties(w->preconnection, w->properties);
    taps_preconnection_set_security_parameters(w->preconnection, w->security);
    CHECK_INT(taps_preconnection_add_local_text(w->preconnection, local), 0);
    CHECK_INT(taps_preconnection_listen(w->preconnection, &serving, served, &listener), 0);
    world_run_ms(w, 10);
    struct tapsi_sim_udp *peer = tapsi_sim_udp_echo(w->server, 9);
    CHECK_INT(tapsi_addr_parse("192.0.2.2", &to), 0);
    tapsi_addr_set_port(&to, 80);
    CHECK_INT(tapsi_addr_parse("192.0.2.1", &from), 0);
    tapsi_sim_udp_reply(peer, &from, &to, "hello", 5, 0);
    world_run_ms(w, 20);
    CHECK(served->connection != NULL);
    return listener;
}

/* proves API-092, API-096, API-114: a peer of a shared port learns the path MTU, however the port is bound. */
TEST(a_listeners_peer_learns_of_a_narrow_path)
{
    static const char *const locals[] = {":80", "192.0.2.2:80"};
    static const char *const wishes[] = {"no preference", "prefer"};
    for (int i = 0; i < 4; i++) {
        struct world w;
        struct served served;
        taps_listener *l = serve_udp(&w, &served, locals[i % 2], wishes[i / 2]);
        CHECK_INT(integer(served.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN), 1472);
        tapsi_sim_link_mtu(w.link, 1300, false);
        send_bytes(served.connection, 1472, true);
        world_run_ms(&w, 100);
        CHECK_INT(served.sent, 1);
        send_bytes(served.connection, 1300 - 28 + 1, true);
        world_run_ms(&w, 100);
        CHECK_INT(served.send_error, 1);
        CHECK_INT(served.path_change, 1);
        CHECK_INT(integer(served.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN), 1300 - 28);
        send_bytes(served.connection, 1300 - 28, true);
        send_bytes(served.connection, 65508, false);
        world_run_ms(&w, 100);
        CHECK_INT(served.sent, 2);
        CHECK_INT(served.send_error, 2);
        CHECK_INT(served.path_change, 1);
        CHECK_INT(served.soft_error, 0);
        taps_connection_free(served.connection);
        taps_listener_free(l);
        world_finish(&w);
    }
}

/* Whoever only asks hears of it too, once, and not inside the question. */
TEST(a_narrow_path_that_was_found_by_asking_is_a_path_change)
{
    struct world w;
    struct served served;
    taps_listener *l = serve_udp(&w, &served, ":80", "no preference");
    tapsi_sim_interface_mtu(w.client_if, 1300);
    CHECK_INT(integer(served.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN), 1300 - 28);
    CHECK_INT(served.path_change, 0);
    world_run_ms(&w, 10);
    CHECK_INT(served.path_change, 1);
    CHECK_INT(integer(served.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN), 1300 - 28);
    world_run_ms(&w, 10);
    CHECK_INT(served.path_change, 1);
    taps_connection_free(served.connection);
    taps_listener_free(l);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------- nothing is delivered */

static void connect_with_timeout(struct world *w, enum tapsi_sim_behaviour behaviour, const char *seconds)
{
    world_new(w);
    tapsi_sim_serve(w->server, 80, behaviour);
    taps_transport_properties_set(w->properties, "connTimeout", seconds);
    world_initiate(w, V4, 0);
    world_run_until_ready(w);
    CHECK_INT(w->heard.ready, 1);
}

static void check_timeout(struct world *w, double begin, double low, double high)
{
    double took = w->heard.end_ms - begin;
    CHECK_INT(w->heard.connection_error, 1);
    CHECK_INT(w->heard.code, TAPS_E_TIMEOUT);
    CHECK_INT(taps_err_reason(w->heard.code), TAPS_REASON_TIMEOUT);
    if (took < low || took > high)
        tapsi_test_fail(__FILE__, __LINE__, "it ended after %.0f ms, not between %.0f and %.0f", took, low, high);
}

/* proves API-146: what was sent is not acknowledged: ConnectionError, Timeout, and nothing is left without its event.
   Whether connTimeout was set before, or while connected. */
TEST(a_connection_that_cannot_deliver_times_out)
{
    for (int when = 0; when < 3; when++) {
        static char many[300000];
        struct world w;
        connect_with_timeout(&w, TAPSI_SIM_SILENT, when ? "disabled" : "2");
        if (when == 1)
            CHECK_INT(taps_connection_set_property(w.connection, "connTimeout", "2"), 0);
        CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), 0);
        tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
        double begin = taps_context_now_ms(w.context);
        CHECK_INT(taps_connection_send(w.connection, many, sizeof(many), NULL, 0, NULL), 0);
        if (when == 2) {
            world_run_ms(&w, 500);
            CHECK_INT(taps_connection_set_property(w.connection, "connTimeout", "2"), 0);
        }
        world_run_until_end(&w);
        check_timeout(&w, begin, 2000, 4500);
        CHECK_INT(w.heard.send_error, 1); /* the kernel did not take it all */
        CHECK_INT(w.heard.send_error_code, TAPS_E_TIMEOUT);
        CHECK_INT(w.heard.receive_error, 1);
        CHECK_INT(w.heard.receive_error_code, TAPS_E_TIMEOUT);
        world_finish(&w);
    }
}

/* proves API-146: under TLS too. */
TEST(a_secure_connection_that_cannot_deliver_times_out)
{
    struct world w;
    struct peer peer;
    struct tapsi_test_identity identity = peer_certificate("192.0.2.1", NULL, NULL);
    world_new(&w);
    world_secure(&w);
    peer_new(&w, w.server, &peer);
    peer_secure(&peer, &identity);
    peer_listen(&w, &peer, V4);
    taps_transport_properties_set(w.properties, "connTimeout", "3");
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    world_run_ms(&w, 1000);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    double begin = taps_context_now_ms(w.context);
    send_text(&w, "lost");
    world_run_until_end(&w);
    check_timeout(&w, begin, 3000, 7000);
    peer_done(&peer);
    tapsi_test_identity_free(&identity);
    world_finish(&w);
}

static void set_live(struct world *w, const char *name, const char *value)
{
    CHECK_INT(taps_connection_set_property(w->connection, name, value), 0);
}

/* proves API-094: so does the TCP user timeout, set while connected, where it is enabled; connTimeout goes before it.
 */
TEST(the_tcp_user_timeout_times_out_too)
{
    static const struct {
        const char *enabled, *conn;
        double low, high; /* ms; 0: not within a minute */
    } rows[] = {{"true", "disabled", 3000, 6500},
                {"false", "disabled", 0, 0},
                {"true", "8", 8000, 16500},
                {"true", "1", 1000, 3000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        connect_with_timeout(&w, TAPSI_SIM_SILENT, "disabled");
        set_live(&w, "tcp.userTimeoutValue", "3");
        set_live(&w, "tcp.userTimeoutEnabled", rows[i].enabled);
        set_live(&w, "connTimeout", rows[i].conn);
        tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
        double begin = taps_context_now_ms(w.context);
        send_text(&w, "lost");
        world_run_ms(&w, 60000);
        if (rows[i].high > 0)
            check_timeout(&w, begin, rows[i].low, rows[i].high);
        else
            CHECK_INT(w.heard.connection_error, 0);
        world_finish(&w);
    }
}

/* proves API-083: keep-alive packets that are asked for while connected are sent, and stop when they are not wanted any
   more, or connTimeout forbids them; while they are, silence is noticed. */
TEST(keep_alive_packets_come_and_go_while_connected)
{
    static const struct {
        const char *keep_alive, *conn;
        bool noticed;
    } rows[] = {{"10", "25", true}, {"25", "25", true}, {"26", "25", false}, {"disabled", "25", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        connect_with_timeout(&w, TAPSI_SIM_SILENT, "disabled");
        set_live(&w, "keepAliveTimeout", "10");
        uint64_t before = tapsi_sim_packets_to(w.sim, V4);
        world_run_ms(&w, 35000);
        CHECK_INT(tapsi_sim_packets_to(w.sim, V4) - before, 3);
        set_live(&w, "connTimeout", rows[i].conn);
        set_live(&w, "keepAliveTimeout", rows[i].keep_alive);
        tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
        world_run_ms(&w, 100000);
        CHECK_INT(w.heard.connection_error, rows[i].noticed);
        CHECK_INT(w.heard.code, rows[i].noticed ? TAPS_E_TIMEOUT : 0);
        world_finish(&w);
    }
}

/* Silence is no failure to deliver, and without a timeout, or with one that is long, it is waited for longer. */
TEST(nothing_times_out_that_has_nothing_to_deliver)
{
    static const char *const seconds[] = {"1", "disabled", "60"};
    for (int i = 0; i < 3; i++) {
        struct world w;
        connect_with_timeout(&w, TAPSI_SIM_SILENT, seconds[i]);
        CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), 0);
        if (i > 0) {
            tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
            send_text(&w, "late");
        }
        world_run_ms(&w, 30000);
        tapsi_sim_link_fault(w.link, TAPSI_SIM_FINE);
        world_run_ms(&w, 30000);
        CHECK_INT(w.heard.connection_error, 0);
        CHECK_INT(w.heard.receive_error, 0);
        CHECK_INT(taps_connection_state(w.connection), TAPS_ESTABLISHED);
        world_finish(&w);
    }
}

/* A datagram is not delivered reliably: nobody waits for it, whatever connTimeout says. */
TEST(datagrams_do_not_time_out)
{
    struct world w;
    connect_udp(&w, &sizes[0]);
    CHECK_INT(taps_connection_set_property(w.connection, "connTimeout", "1"), 0);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    send_bytes(w.connection, 5, false);
    world_run_ms(&w, 20000);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(w.heard.connection_error, 0);
    world_finish(&w);
}
