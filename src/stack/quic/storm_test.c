/* Random sessions on random links: whatever is done, each byte arrives once and in order, everything that was begun
   ends, and nothing is left. TAPS_LONG=1 runs many more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "stack/quic/test_net.h"

#define S       TAPSI_SIM_S
#define STREAMS 6

static uint32_t state;

static unsigned dice(unsigned sides)
{
    state = state * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(state >> 8) * sides >> 24);
}

static void random_link(struct net *n)
{
    static const double loss[] = {0, 0, 0.01, 0.05, 0.2};
    tapsi_sim_link_loss(n->link, loss[dice(5)]);
    if (dice(3) == 0)
        tapsi_sim_link_reorder(n->link, 0.1, 30 * MS);
    if (dice(3) == 0)
        tapsi_sim_link_duplicate(n->link, 0.1);
    if (dice(4) == 0)
        tapsi_sim_link_mtu(n->link, 1280, dice(2) == 0);
    if (dice(4) == 0)
        tapsi_sim_link_mark(n->link, 0.05);
    if (dice(4) == 0)
        tapsi_sim_link_rate(n->link, 2000000 + 1000000 * dice(20));
}

struct sender {
    struct end *end;
    size_t sent, total;
    bool aborted;
};

/* A random step of one stream. */
static void step(struct sender *x)
{
    if (!x->end || !x->end->layer || !x->end->ready || x->aborted)
        return;
    if (dice(200) == 0) {
        net_destroy(x->end, dice(2) ? TAPS_E_LOCAL_ABORT : 0);
        x->aborted = true;
        return;
    }
    if (x->sent == x->total)
        return;
    size_t left = x->total - x->sent, count = 1 + dice(dice(3) ? 3000 : 60000);
    count = count < left ? count : left;
    net_send_many(x->end, x->sent, count, count == left ? TAPSI_OP_FINAL | TAPSI_OP_END : 0);
    x->sent += count;
}

static void open_streams(struct net *n, struct end *c, struct sender *senders, unsigned count)
{
    senders[0] = (struct sender){.end = c, .total = 1 + dice(100000)};
    for (unsigned i = 1; i < count && c->layer; i++)
        senders[i] = (struct sender){.end = net_clone(n, c, TAPS_BIDIRECTIONAL), .total = 1 + dice(100000)};
    for (unsigned i = 0; i < count; i++) {
        if (senders[i].end)
            senders[i].end->keeps = false;
    }
}

static void check_sender(const struct sender *x)
{
    const struct end *e = x->end;
    if (!e || x->aborted || !e->ready)
        return;
    CHECK_INT(e->wrong, 0);
    CHECK_INT(e->closed, 1);
    if (e->error.pub.code)
        CHECK(e->error.pub.code == TAPS_E_TIMEOUT || e->error.pub.code == TAPS_E_ABORTED);
    else
        CHECK_INT(e->got_length, x->total);
}

static bool all_over(const struct sender *senders, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (senders[i].end && senders[i].end->layer)
            return false;
    }
    return true;
}

static void one(uint32_t seed)
{
    struct net n;
    struct sender senders[STREAMS] = {{0}};
    state = seed * 2654435761u;
    dice(2);
    dice(2);
    unsigned count = 1 + dice(STREAMS);
    net_begin(&n);
    n.server_echo = true;
    net_open(&n);
    net_run(&n, dice(1000) * 1000);
    random_link(&n);
    struct end *c = net_handshake(&n);
    if (c && c->ready)
        open_streams(&n, c, senders, count);
    for (unsigned i = 0; i < 6000 && !all_over(senders, count); i++) {
        for (unsigned k = 0; k < count; k++)
            step(&senders[k]);
        if (dice(100) == 0)
            random_link(&n);
        net_run(&n, (1 + dice(50)) * MS);
    }
    for (unsigned i = 0; i < count; i++)
        check_sender(&senders[i]);
    for (unsigned i = 0; i < n.count; i++)
        CHECK_INT(n.ends[i].wrong, 0);
    net_finish(&n);
}

/* proves API-030, API-033 */
TEST(random_streams_on_random_links)
{
    unsigned only = tapsi_test_seed(), rounds = tapsi_test_rounds(60, 10, 10000);
    tapsi_test_limit(1200);
    for (unsigned seed = only ? only : 1; seed <= (only ? only : rounds); seed++) {
        bool before = tapsi_test_failed();
        one(seed);
        if (tapsi_test_failed() && !before)
            printf("# the first seed that failed: %u\n", seed);
    }
}
