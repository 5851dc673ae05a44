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
    return w->context->loop.timers.count != 0;
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
