/* How Connection Groups end: CloseGroup, AbortGroup, and the ends of single members (RFC 9622, 10). */
#include "parts.h"
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <taps/framer.h>

/* ------------------------------------------------------------------------------------------ CloseGroup, AbortGroup */

/* proves API-142 */
TEST(closegroup_delivers_and_closes_all)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *silent = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    tapsi_sim_link_rate(g.w.link, 8000000);
    parts_grow(&g, 3);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned n = 0; n < 5; n++)
            CHECK_INT(parts_send(&g.part[i], 100000), 0);
    }
    CHECK_INT(taps_connection_close_group(g.part[2].connection), 0);
    CHECK_INT(parts_send(&g.part[0], 1), TAPS_E_CLOSED);
    CHECK_INT(taps_connection_close_group(g.part[1].connection), TAPS_E_STATE);
    parts_run(&g, 10000);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_INT(g.part[i].closed, 1);
        CHECK_INT(g.part[i].sent, 5);
    }
    CHECK_INT(tapsi_sim_service_counts(silent).received, 4 * 5 * 100000);
    CHECK_INT(taps_connection_close_group(g.part[0].connection), TAPS_E_STATE);
    parts_finish(&g);
}

/* proves API-142 */
TEST(abortgroup_ends_all_at_once)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *stall = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_STALL);
    parts_grow(&g, 3);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned n = 0; n < 5; n++)
            CHECK_INT(parts_send(&g.part[i], 100000), 0);
    }
    CHECK_INT(taps_connection_abort_group(g.part[2].connection), 0);
    CHECK_INT(g.part[0].connection_error, 0);
    parts_run(&g, 100);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_INT(g.part[i].connection_error, 1);
        CHECK_INT(g.part[i].code, TAPS_E_LOCAL_ABORT);
        CHECK_INT(g.part[i].sent + g.part[i].send_error, 5);
    }
    CHECK_INT(tapsi_sim_service_counts(stall).reset, 4);
    CHECK_INT(taps_connection_abort_group(g.part[0].connection), TAPS_E_STATE);
    parts_finish(&g);
}

/* proves API-142: one that is in no group is all of its group */
TEST(closegroup_and_abortgroup_of_one_alone_are_close_and_abort)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 0);
    world_initiate(&g.w, "192.0.2.1:80", 0);
    world_run_until_ready(&g.w);
    CHECK_INT(taps_connection_close_group(g.part[0].connection), 0);
    CHECK_INT(taps_connection_abort_group(g.w.connection), 0);
    parts_run(&g, 100);
    CHECK_INT(g.part[0].closed, 1);
    CHECK_INT(g.w.heard.code, TAPS_E_LOCAL_ABORT);
    CHECK_INT(taps_connection_close_group(g.part[0].connection), TAPS_E_STATE);
    CHECK_INT(taps_connection_abort_group(g.w.connection), TAPS_E_STATE);
    parts_finish(&g);
}

/* proves API-142 */
TEST(closegroup_while_establishing_gives_up_all_but_what_is_to_be_sent)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *silent = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    parts_initiate(&g, "192.0.2.1:80");
    for (unsigned i = 0; i < 3; i++)
        NEED(parts_clone(&g, &g.part[0], NULL) == 0);
    CHECK_INT(parts_send(&g.part[2], 500), 0);
    CHECK_INT(taps_connection_close_group(g.part[1].connection), 0);
    parts_run(&g, 1000);
    for (unsigned i = 0; i < 4; i++)
        CHECK_INT(i == 2 ? g.part[i].closed : g.part[i].establishment_error, 1);
    CHECK_INT(tapsi_sim_service_counts(silent).received, 500);
    CHECK_INT(tapsi_sim_service_counts(silent).accepted, 1);
    parts_finish(&g);
}

static void abort_all(struct part *p)
{
    CHECK_INT(taps_connection_abort_group(p->connection), 0);
}

/* proves API-142 */
TEST(abortgroup_in_an_event_of_one_ends_the_others_too)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    parts_grow(&g, 3);
    CHECK_INT(parts_clone(&g, &g.part[0], NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        CHECK_INT(parts_send(&g.part[i], 1000), 0);
    g.part[1].act = abort_all;
    parts_run(&g, 1000);
    for (unsigned i = 0; i < 4; i++)
        CHECK_INT(g.part[i].connection_error, 1);
    CHECK_INT(g.part[4].establishment_error + g.part[4].connection_error, 1);
    parts_finish(&g);
}

static void close_all(struct part *p)
{
    CHECK_INT(taps_connection_close_group(p->connection), 0);
}

/* proves API-142: also when the one that is asked has ended already */
TEST(closegroup_of_one_that_has_ended_closes_the_others)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_ECHO);
    parts_grow(&g, 2);
    g.part[0].act = close_all;
    taps_connection_abort(g.part[0].connection);
    parts_run(&g, 1000);
    CHECK_INT(g.part[0].connection_error, 1);
    CHECK_INT(g.part[1].closed + g.part[2].closed, 2);
    parts_finish(&g);
}

/* RFC 9622, 10: the others are not affected. */
TEST(close_and_abort_of_one_leave_the_others_alone)
{
    struct parts g;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    parts_grow(&g, 2);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(parts_send(&g.part[i], 200000), 0);
    CHECK_INT(taps_connection_close(g.part[0].connection), 0);
    CHECK_INT(taps_connection_abort(g.part[1].connection), 0);
    parts_run(&g, 2000);
    CHECK_INT(g.part[0].closed, 1);
    CHECK_INT(g.part[1].connection_error, 1);
    CHECK_INT(parts_ends(&g.part[2]), 0);
    CHECK_INT(g.part[2].sent, 1);
    parts_finish(&g);
}

/* A peer that takes nothing from one does not hold up the end of another. */
TEST(a_reset_of_one_leaves_the_others_alone)
{
    struct parts g;
    parts_new(&g);
    struct tapsi_sim_service *reset = tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_RESET);
    tapsi_sim_service_reset_after(reset, 1000);
    parts_grow(&g, 2);
    CHECK_INT(parts_send(&g.part[1], 2000), 0);
    CHECK_INT(parts_send(&g.part[0], 200), 0);
    parts_run(&g, 1000);
    CHECK_INT(g.part[1].code, TAPS_E_ABORTED);
    CHECK_INT(parts_ends(&g.part[0]) + parts_ends(&g.part[2]), 0);
    CHECK_INT(g.part[0].sent, 1);
    parts_finish(&g);
}
