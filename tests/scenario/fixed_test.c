/* Connections whose stacks stay on their path, and what AddLocal and the others, and the loss of the path, mean for
   them (RFC 9622, 7.5). */
#include <string.h>
#include "moving.h"

const struct streams_row streams_row; /* no session here */

static void begin(struct world *w, const char *properties)
{
    world_new(w);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_udp_echo(w->server, 80);
    taps_transport_properties_set(w->properties, "multipath", "active");
    world_start(w);
    if (properties) {
        taps_transport_properties_set(w->properties, "reliability", properties);
        taps_transport_properties_set(w->properties, "preserveOrder", "prohibit");
        taps_transport_properties_set(w->properties, "congestionControl", "prohibit");
        taps_transport_properties_set(w->properties, "safelyReplayable", "true");
    }
    w->keep_reading = true;
    world_initiate(w, "192.0.2.1:80", 0);
    world_run_until_ready(w);
    CHECK_INT(w->heard.ready, 1);
}

static const char *const stacks[] = {NULL, "prohibit"}; /* tcp, udp */

/* proves API-073: the stack cannot move, and says so; what is known is ignored */
TEST(a_stack_that_stays_takes_no_other_endpoints)
{
    for (int i = 0; i < 2; i++) {
        struct world w;
        begin(&w, stacks[i]);
        CHECK_TEXT(taps_connection_stack(w.connection), i ? "udp" : "tcp");
        CHECK_INT(moving_call(w.connection, ADD_LOCAL, "192.0.2.3"), TAPS_E_NOT_APPLICABLE);
        CHECK_INT(moving_call(w.connection, ADD_LOCAL, "eth1"), TAPS_E_NOT_APPLICABLE);
        CHECK_INT(moving_call(w.connection, ADD_REMOTE, "192.0.2.9:80"), TAPS_E_NOT_APPLICABLE);
        CHECK_INT(moving_call(w.connection, ADD_REMOTE, "192.0.2.1:81"), TAPS_E_NOT_APPLICABLE);
        CHECK_INT(moving_call(w.connection, ADD_LOCAL, "192.0.2.2"), 0);
        CHECK_INT(moving_call(w.connection, ADD_LOCAL, "eth0"), 0);
        CHECK_INT(moving_call(w.connection, ADD_REMOTE, "192.0.2.1:80"), 0);
        CHECK_INT(moving_call(w.connection, REMOVE_LOCAL, "192.0.2.3"), 0);
        CHECK_INT(moving_call(w.connection, REMOVE_REMOTE, "192.0.2.1:81"), 0);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.total, 1); /* Ready */
        world_finish(&w);
    }
}

/* proves API-073: without the endpoint in use there is no Connection */
TEST(a_stack_that_stays_ends_without_its_endpoint)
{
    for (int i = 0; i < 4; i++) {
        struct world w;
        begin(&w, stacks[i % 2]);
        CHECK_INT(i < 2 ? moving_call(w.connection, REMOVE_LOCAL, "eth0")
                        : moving_call(w.connection, REMOVE_REMOTE, "192.0.2.1"),
                  0);
        CHECK_INT(w.heard.connection_error, 0); /* not inside the call */
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.connection_error, 1);
        CHECK_INT(w.heard.code, TAPS_E_LOCAL_ABORT);
        CHECK(strstr(w.heard.detail, i < 2 ? "Local Endpoint was removed" : "Remote Endpoint was removed"));
        CHECK(strstr(w.heard.detail, "stays on its path"));
        CHECK_INT(moving_call(w.connection, REMOVE_LOCAL, "eth0"), TAPS_E_STATE);
        world_finish(&w);
    }
}

/* proves IMPL-21: the address goes, the cable is pulled: TCP waits, and goes on */
TEST(a_lost_path_does_not_end_tcp)
{
    for (int i = 0; i < 2; i++) {
        struct world w;
        begin(&w, NULL);
        if (i)
            tapsi_sim_interface_up(w.client_if, false);
        else
            tapsi_sim_address_remove(w.client_if, "192.0.2.2/24");
        taps_connection_send(w.connection, "late", 4, NULL, 0, NULL);
        taps_connection_receive(w.connection, 1, 100, NULL);
        world_run_ms(&w, 5000);
        CHECK_INT(w.heard.connection_error + w.heard.closed, 0);
        CHECK_INT(w.heard.received, 0);
        if (i)
            tapsi_sim_interface_up(w.client_if, true);
        else
            tapsi_sim_address_add(w.client_if, "192.0.2.2/24", false, false);
        world_run_ms(&w, 20000);
        CHECK_INT(w.heard.connection_error + w.heard.closed, 0);
        CHECK(w.heard.length == 4 && memcmp(w.heard.data, "late", 4) == 0);
        CHECK_INT(w.heard.path_change, 0);
        world_finish(&w);
    }
}

/* proves IMPL-21: a datagram is lost, the Connection is not */
TEST(a_lost_path_does_not_end_udp)
{
    struct world w;
    begin(&w, "prohibit");
    taps_connection_receive(w.connection, 1, 100, NULL);
    tapsi_sim_interface_up(w.client_if, false);
    taps_connection_send(w.connection, "lost", 4, NULL, 0, NULL);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.connection_error + w.heard.closed, 0);
    tapsi_sim_interface_up(w.client_if, true);
    taps_connection_send(w.connection, "here", 4, NULL, 0, NULL);
    world_run_ms(&w, 1000);
    CHECK(w.heard.length == 4 && memcmp(w.heard.data, "here", 4) == 0);
    CHECK_INT(w.heard.connection_error + w.heard.closed, 0);
    world_finish(&w);
}
