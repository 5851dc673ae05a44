/* Whose Messages of a Connection Group go first: each scheduler over real flows, and what does not hold others up. */
#include "parts.h"

#include <stdio.h>

static void share(struct parts *g, uint64_t warm_ms, uint64_t ms, uint64_t *ret)
{
    uint64_t before[PARTS];
    for (unsigned i = 0; i < g->count; i++)
        parts_send(&g->part[i], g->part[i].load);
    for (unsigned i = 0; i < g->count; i++)
        parts_send(&g->part[i], g->part[i].load);
    parts_run(g, warm_ms);
    for (unsigned i = 0; i < g->count; i++)
        before[i] = g->part[i].bytes;
    parts_run(g, ms);
    for (unsigned i = 0; i < g->count; i++)
        ret[i] = g->part[i].bytes - before[i];
}

/* proves API-081 and API-084: weights 1 .. 8 */
TEST(eight_at_full_load_share_by_their_priorities)
{
    struct parts g;
    uint64_t bytes[PARTS], total = 0;
    parts_new(&g);
    tapsi_sim_serve(g.w.server, 80, TAPSI_SIM_SILENT);
    tapsi_sim_link_rate(g.w.link, 20000000);
    parts_grow(&g, 7);
    for (unsigned i = 0; i < 8; i++) {
        char text[20];
        snprintf(text, sizeof(text), "%u", 840 / (i + 1));
        parts_set(&g.part[i], "connPriority", text);
        g.part[i].load = 10000;
    }
    share(&g, 10000, 60000, bytes);
    for (unsigned i = 0; i < 8; i++)
        total += bytes[i];
    for (unsigned i = 0; i < 8; i++) {
        double ideal = (double)total * (i + 1) / 36;
        CHECK((double)bytes[i] > ideal * 0.9 && (double)bytes[i] < ideal * 1.1);
    }
    CHECK(total > 60ull * 20000000 / 8 * 9 / 10);
    parts_finish(&g);
}
