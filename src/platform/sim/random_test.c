/* Random use of TCP over a bad network: bytes keep their order and value, and when all is closed nothing is left. */
#include <stdlib.h>
#include "platform/sim/testnet.h"
#include "platform/sim/world.h"

#define SEEDS   100
#define STEPS   300
#define TALKS   5
#define CHUNK   5000
#define PATTERN 251

struct end {
    struct tapsi_platform *p;
    int fd; /* -1 = none */
    size_t sent, got;
};

struct talk {
    struct end ends[2]; /* the client's, the server's */
};

struct play {
    struct net n;
    uint64_t dice;
    int listener;
    struct talk talks[TALKS];
    bool corrupt;
    size_t delivered;
};

static unsigned pick(struct play *g, unsigned below)
{
    return (unsigned)(tapsi_sim_dice(&g->dice) % below);
}

/* The port of the client's end names the talk. */
static unsigned port_of(unsigned talk, unsigned round)
{
    return 2000 + talk + TALKS * round;
}

static void open_talk(struct play *g, unsigned i, unsigned round)
{
    struct talk *t = &g->talks[i];
    struct tapsi_platform *p = g->n.p;
    *t = (struct talk){.ends = {{.p = p, .fd = tcp4(p)}, {.p = g->n.q, .fd = -1}}};
    int fd = t->ends[0].fd;
    if (bind_to(p, fd, "192.0.2.2", port_of(i, round)) < 0 || connect_to(p, fd, "192.0.2.1", 80) != -EINPROGRESS) {
        p->ops->close(p, fd);
        t->ends[0].fd = -1;
    }
}

static void take_accepted(struct play *g)
{
    union tapsi_addr peer;
    struct tapsi_platform *q = g->n.q;
    int fd = q->ops->accept(q, g->listener, &peer);
    if (fd < 0)
        return;
    struct talk *t = &g->talks[(tapsi_addr_port(&peer) - 2000) % TALKS];
    union tapsi_addr own;
    bool same = t->ends[0].fd >= 0 && g->n.p->ops->getsockname(g->n.p, t->ends[0].fd, &own) == 0 &&
                tapsi_addr_port(&own) == tapsi_addr_port(&peer);
    if (!same || t->ends[1].fd >= 0)
        q->ops->close(q, fd); /* its talk is over */
    else
        t->ends[1].fd = fd;
}

static void send_some(struct play *g, struct end *e)
{
    uint8_t bytes[CHUNK];
    size_t count = 1 + pick(g, CHUNK);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)((e->sent + i) % PATTERN);
    ssize_t n = e->p->ops->send(e->p, e->fd, bytes, count, MSG_NOSIGNAL);
    e->sent += n > 0 ? (size_t)n : 0;
}

static void receive_some(struct play *g, struct talk *t, struct end *e)
{
    uint8_t bytes[CHUNK];
    ssize_t n = e->p->ops->recv(e->p, e->fd, bytes, 1 + pick(g, CHUNK), 0);
    for (ssize_t i = 0; i < n; i++)
        g->corrupt |= bytes[i] != (e->got + (size_t)i) % PATTERN;
    e->got += n > 0 ? (size_t)n : 0;
    g->delivered += n > 0 ? (size_t)n : 0;
    g->corrupt |= e->got > t->ends[e == &t->ends[0]].sent && t->ends[e == &t->ends[0]].fd >= 0;
}

static void close_end(struct play *g, struct end *e)
{
    struct linger linger = {1, 0};
    if (pick(g, 4) == 0)
        e->p->ops->setsockopt(e->p, e->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    CHECK_INT(e->p->ops->close(e->p, e->fd), 0);
    e->fd = -1;
}

static void act(struct play *g, unsigned step)
{
    unsigned i = pick(g, TALKS);
    struct talk *t = &g->talks[i];
    struct end *e = &t->ends[pick(g, 2)];
    if (t->ends[0].fd < 0 && t->ends[1].fd < 0) {
        open_talk(g, i, step);
        return;
    }
    if (e->fd < 0)
        return;
    switch (pick(g, 12)) {
    case 0:
        close_end(g, e);
        break;
    case 1:
        e->p->ops->shutdown(e->p, e->fd, (int)pick(g, 3));
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        send_some(g, e);
        break;
    default:
        receive_some(g, t, e);
    }
}

static void disturb(struct play *g)
{
    static const enum tapsi_sim_fault faults[] = {TAPSI_SIM_FINE, TAPSI_SIM_FINE, TAPSI_SIM_BLACKHOLE,
                                                  TAPSI_SIM_PROHIBIT, TAPSI_SIM_REFUSE};
    tapsi_sim_link_loss(g->n.link, pick(g, 3) ? 0 : 0.2);
    tapsi_sim_link_bursts(g->n.link, pick(g, 4) ? 0 : 0.1, 0.4);
    tapsi_sim_link_reorder(g->n.link, pick(g, 2) ? 0 : 0.3, 40 * TAPSI_SIM_MS);
    tapsi_sim_link_duplicate(g->n.link, pick(g, 3) ? 0 : 0.2);
    tapsi_sim_link_jitter(g->n.link, pick(g, 2) * 15 * TAPSI_SIM_MS);
    unsigned mtu = pick(g, 3) ? 0 : 1280 + pick(g, 200); /* one draw after the other, whatever compiles it */
    tapsi_sim_link_mtu(g->n.link, mtu, pick(g, 10) == 0);
    tapsi_sim_link_up(g->n.link, pick(g, 12) != 0);
    tapsi_sim_fault(g->n.sim, "192.0.2.1", faults[pick(g, 5)]);
    tapsi_sim_fault(g->n.sim, "192.0.2.2", faults[pick(g, 3)]);
    tapsi_sim_interface_up(g->n.s, pick(g, 8) != 0);
}

static void finish(struct play *g)
{
    for (unsigned i = 0; i < TALKS; i++) {
        for (unsigned k = 0; k < 2; k++) {
            if (g->talks[i].ends[k].fd >= 0)
                close_end(g, &g->talks[i].ends[k]);
        }
    }
    g->n.q->ops->close(g->n.q, g->listener);
    /* Longer than any repetition, TIME_WAIT or orphan may last. */
    run_for(&g->n, 5000 * TAPSI_SIM_S);
    CHECK(tapsi_list_empty(&g->n.client->sockets));
    CHECK(tapsi_list_empty(&g->n.server->sockets));
    CHECK(tapsi_list_empty(&g->n.sim->flows));
    CHECK(!tapsi_heap_first(&g->n.sim->events));
    net_done(&g->n);
}

/* Returns how many bytes came through. */
static size_t play(uint64_t seed)
{
    struct play *g = calloc(1, sizeof *g);
    if (!g)
        return 0;
    net_init(&g->n);
    g->dice = seed;
    g->listener = tcp6(g->n.q);
    CHECK_INT(set_int(g->n.q, g->listener, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    CHECK_INT(bind_to(g->n.q, g->listener, "::", 80), 0);
    CHECK_INT(g->n.q->ops->listen(g->n.q, g->listener, (int)pick(g, 3)), 0);
    for (unsigned i = 0; i < TALKS; i++)
        g->talks[i] = (struct talk){.ends = {{.fd = -1}, {.fd = -1}}};
    for (unsigned step = 0; step < STEPS; step++) {
        act(g, step);
        take_accepted(g);
        if (pick(g, 40) == 0)
            disturb(g);
        if (pick(g, 3) == 0)
            run_for(&g->n, pick(g, 300) * TAPSI_SIM_MS);
    }
    if (g->corrupt)
        tapsi_test_fail(__FILE__, __LINE__, "bytes changed with seed %llu", (unsigned long long)seed);
    finish(g);
    size_t delivered = g->delivered;
    free(g);
    return delivered;
}

TEST(random_use_of_a_bad_network_keeps_every_byte_and_leaves_nothing)
{
    size_t delivered = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        delivered += play(seed);
    CHECK(delivered > SEEDS * 10000); /* it was use */
}
