/* TCP on a network that loses, turns and repeats: the stream is right, and it ends. */
#include <stdlib.h>
#include "platform/sim/testnet.h"
#include "platform/sim/world.h"

#define TOTAL   (1 << 20)
#define PATTERN 251
#define SEEDS   12

/* A connection whose packets the test delays one by one. */
struct pair {
    struct net n;
    int listener, c, s;
};

static void pair_init(struct pair *p)
{
    net_init(&p->n);
    p->listener = listen_on(p->n.q, 80);
    connected_pair(&p->n, p->listener, 80, &p->c, &p->s);
}

static void pair_done(struct pair *p)
{
    if (p->c >= 0)
        p->n.p->ops->close(p->n.p, p->c);
    if (p->s >= 0)
        p->n.q->ops->close(p->n.q, p->s);
    p->n.q->ops->close(p->n.q, p->listener);
    run_for(&p->n, 100 * TAPSI_SIM_S);
    CHECK(tapsi_list_empty(&p->n.sim->flows));
    net_done(&p->n);
}

TEST(what_overtakes_waits_for_what_was_sent_before_it)
{
    struct pair p;
    char text[32];
    pair_init(&p);
    tapsi_sim_link_delay(p.n.link, 5 * DELAY);
    send_text(p.n.p, p.c, "one ");
    tapsi_sim_link_delay(p.n.link, 3 * DELAY);
    send_text(p.n.p, p.c, "two ");
    tapsi_sim_link_delay(p.n.link, DELAY);
    send_text(p.n.p, p.c, "three");
    p.n.p->ops->close(p.n.p, p.c);
    p.c = -1;
    run_for(&p.n, 5 * DELAY - 1);
    CHECK_INT(recv_text(p.n.q, p.s, text, sizeof text), -EAGAIN);
    run_for(&p.n, 1);
    CHECK_INT(recv_text(p.n.q, p.s, text, sizeof text), 13);
    CHECK_TEXT(text, "one two three");
    CHECK_INT(recv_text(p.n.q, p.s, text, sizeof text), 0);
    pair_done(&p);
}

/* How a reset ends a stream whose last bytes take `late`, while everything else takes DELAY. */
static ssize_t reset_after(uint64_t late, char *text, size_t size)
{
    struct pair p;
    struct linger linger = {1, 0};
    pair_init(&p);
    tapsi_sim_link_delay(p.n.link, late);
    send_text(p.n.p, p.c, "all of it");
    tapsi_sim_link_delay(p.n.link, DELAY);
    CHECK_INT(p.n.p->ops->setsockopt(p.n.p, p.c, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    p.n.p->ops->close(p.n.p, p.c);
    p.c = -1;
    run_for(&p.n, 3 * DELAY - 1);
    ssize_t n = recv_text(p.n.q, p.s, text, size);
    CHECK_INT(so_error(p.n.q, p.s), 0);
    run_for(&p.n, 1);
    CHECK_INT(so_error(p.n.q, p.s), ECONNRESET);
    pair_done(&p);
    return n;
}

TEST(a_reset_that_overtakes_is_asked_for_again_and_comes_a_round_trip_later)
{
    char text[32];
    CHECK_INT(reset_after(2 * DELAY, text, sizeof text), 9);
    CHECK_TEXT(text, "all of it");
    CHECK_INT(reset_after(5 * DELAY, text, sizeof text), -EAGAIN); /* what comes later still is lost */
}

TEST(copies_of_everything_change_nothing)
{
    struct pair p;
    char text[32];
    net_init(&p.n);
    tapsi_sim_link_duplicate(p.n.link, 1);
    p.listener = listen_on(p.n.q, 80);
    connected_pair(&p.n, p.listener, 80, &p.c, &p.s);
    CHECK_INT(p.n.q->ops->accept(p.n.q, p.listener, NULL), -EAGAIN); /* one connection of two SYNs */
    send_text(p.n.p, p.c, "question");
    run_for(&p.n, RTT);
    CHECK_INT(recv_text(p.n.q, p.s, text, sizeof text), 8);
    CHECK_INT(recv_text(p.n.q, p.s, text, sizeof text), -EAGAIN);
    send_text(p.n.q, p.s, "answer");
    CHECK_INT(p.n.q->ops->close(p.n.q, p.s), 0);
    p.s = -1;
    run_for(&p.n, RTT);
    CHECK_INT(recv_text(p.n.p, p.c, text, sizeof text), 6);
    CHECK_INT(recv_text(p.n.p, p.c, text, sizeof text), 0);
    CHECK_INT(so_error(p.n.p, p.c), 0);
    pair_done(&p);
}

TEST(a_late_copy_does_not_reset_an_end_that_was_closed)
{
    struct pair p;
    char text[32];
    pair_init(&p);
    tapsi_sim_link_duplicate(p.n.link, 1);
    tapsi_sim_link_reorder(p.n.link, 1, 3 * DELAY);
    send_text(p.n.p, p.c, "bytes");
    tapsi_sim_link_duplicate(p.n.link, 0);
    tapsi_sim_link_reorder(p.n.link, 0, 0);
    while (recv_text(p.n.q, p.s, text, sizeof text) != 5)
        run_for(&p.n, TAPSI_SIM_MS);
    CHECK_INT(p.n.q->ops->close(p.n.q, p.s), 0); /* the copy is still on its way */
    p.s = -1;
    run_for(&p.n, 6 * DELAY);
    CHECK_INT(recv_text(p.n.p, p.c, text, sizeof text), 0);
    CHECK_INT(so_error(p.n.p, p.c), 0);
    pair_done(&p);
}

TEST(early_bytes_of_an_end_that_is_freed_are_freed)
{
    struct pair p;
    pair_init(&p);
    tapsi_sim_link_delay(p.n.link, 50 * DELAY);
    send_text(p.n.p, p.c, "one ");
    tapsi_sim_link_delay(p.n.link, DELAY);
    send_text(p.n.p, p.c, "two ");
    send_text(p.n.p, p.c, "two ");
    run_for(&p.n, 2 * DELAY);
    CHECK_INT(p.n.q->ops->close(p.n.q, p.s), 0);
    p.s = -1;
    pair_done(&p);
}

/* A long transfer both ways. */

struct half {
    struct tapsi_platform *p;
    int fd;
    size_t sent, got;
    bool ended, wrong;
};

static uint8_t pattern[16384 + PATTERN];

/* What is at place `at` of every stream, 16384 bytes of it. */
static const uint8_t *stream(size_t at)
{
    if (!pattern[1]) {
        for (size_t i = 0; i < sizeof pattern; i++)
            pattern[i] = (uint8_t)(i % PATTERN);
    }
    return pattern + at % PATTERN;
}

static void push(struct half *h)
{
    while (h->sent < TOTAL) {
        size_t count = TOTAL - h->sent < 16384 ? TOTAL - h->sent : 16384;
        ssize_t n = h->p->ops->send(h->p, h->fd, stream(h->sent), count, 0);
        if (n <= 0)
            return;
        h->sent += (size_t)n;
        if (h->sent == TOTAL)
            h->p->ops->shutdown(h->p, h->fd, SHUT_WR);
    }
}

static void pull(struct half *h)
{
    uint8_t bytes[16384];
    ssize_t n;
    while ((n = h->p->ops->recv(h->p, h->fd, bytes, sizeof bytes, 0)) > 0) {
        h->wrong |= memcmp(bytes, stream(h->got), (size_t)n) != 0;
        h->got += (size_t)n;
    }
    h->ended |= n == 0;
}

static void make_bad(struct net *n)
{
    tapsi_sim_link_jitter(n->link, 5 * TAPSI_SIM_MS);
    tapsi_sim_link_loss(n->link, 0.01);
    tapsi_sim_link_bursts(n->link, 0.003, 0.3);
    tapsi_sim_link_reorder(n->link, 0.2, 30 * TAPSI_SIM_MS);
    tapsi_sim_link_duplicate(n->link, 0.1);
    tapsi_sim_link_rate(n->link, 50 * 1000 * 1000);
    tapsi_sim_link_queue(n->link, 200000);
    tapsi_sim_link_mtu(n->link, 1400, false);
}

/* Returns the virtual time it took. */
static uint64_t transfer(uint64_t seed)
{
    struct pair p;
    net_init(&p.n);
    for (uint64_t i = 0; i < seed; i++)
        tapsi_sim_dice(&p.n.sim->dice);
    p.listener = listen_on(p.n.q, 80);
    connected_pair(&p.n, p.listener, 80, &p.c, &p.s);
    make_bad(&p.n);
    struct half halves[2] = {{.p = p.n.p, .fd = p.c}, {.p = p.n.q, .fd = p.s}};
    uint64_t start = tapsi_sim_now(p.n.sim);
    while (!(halves[0].ended && halves[1].ended) && tapsi_sim_now(p.n.sim) < start + 600 * TAPSI_SIM_S) {
        for (int i = 0; i < 2; i++) {
            push(&halves[i]);
            pull(&halves[i]);
        }
        run_for(&p.n, 5 * TAPSI_SIM_MS);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_INT(halves[i].got, TOTAL);
        CHECK(halves[i].ended && !halves[i].wrong);
        CHECK_INT(so_error(halves[i].p, halves[i].fd), 0);
    }
    uint64_t took = tapsi_sim_now(p.n.sim) - start;
    tapsi_sim_link_loss(p.n.link, 0);
    tapsi_sim_link_bursts(p.n.link, 0, 0);
    pair_done(&p);
    return took;
}

TEST(a_megabyte_each_way_survives_everything_at_once)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint64_t took = transfer(seed);
        CHECK(took > TAPSI_SIM_S / 5); /* the rate */
        CHECK(took < 120 * TAPSI_SIM_S);
    }
}

TEST(the_same_chances_take_the_same_time)
{
    CHECK_INT(transfer(5), transfer(5));
}
