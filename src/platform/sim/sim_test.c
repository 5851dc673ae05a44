#include <stdio.h>
#include "platform/sim/testnet.h"

TEST(a_new_world_has_a_fixed_time_and_date)
{
    uint64_t monotonic;
    int64_t wall;
    CHECK(!tapsi_sim_clock(&monotonic, &wall));
    struct tapsi_sim *sim = tapsi_sim_new(1);
    CHECK_INT(tapsi_sim_now(sim), TAPSI_SIM_START);
    CHECK(tapsi_sim_clock(&monotonic, &wall));
    CHECK_INT(monotonic, TAPSI_SIM_START);
    CHECK_INT(wall, TAPSI_SIM_DATE * INT64_C(1000000000));
    tapsi_sim_run(sim, TAPSI_SIM_START + 90 * TAPSI_SIM_S);
    tapsi_sim_set_date(sim, 5000);
    tapsi_sim_run(sim, TAPSI_SIM_START + 91 * TAPSI_SIM_S);
    CHECK(tapsi_sim_clock(&monotonic, &wall));
    CHECK_INT(wall, 5001 * INT64_C(1000000000));
    tapsi_sim_free(sim);
    CHECK(!tapsi_sim_clock(&monotonic, &wall));
}

TEST(the_newest_living_world_has_the_clock)
{
    uint64_t monotonic;
    int64_t wall;
    struct tapsi_sim *old = tapsi_sim_new(1), *young = tapsi_sim_new(2);
    tapsi_sim_run(old, TAPSI_SIM_START + 5);
    tapsi_sim_run(young, TAPSI_SIM_START + 7);
    CHECK(tapsi_sim_clock(&monotonic, &wall));
    CHECK_INT(monotonic, TAPSI_SIM_START + 7);
    tapsi_sim_free(young);
    CHECK(tapsi_sim_clock(&monotonic, &wall));
    CHECK_INT(monotonic, TAPSI_SIM_START + 5);
    tapsi_sim_free(old);
}

struct log {
    struct tapsi_sim *sim;
    unsigned count;
    uint64_t at[8];
};

static void note(void *arg)
{
    struct log *log = arg;
    log->at[log->count++] = tapsi_sim_elapsed(log->sim);
}

static bool two_noted(void *arg)
{
    return ((struct log *)arg)->count >= 2;
}

TEST(deeds_are_done_in_order_and_on_time)
{
    struct log log = {.sim = tapsi_sim_new(1)};
    tapsi_sim_after(log.sim, 30, note, &log);
    tapsi_sim_after(log.sim, 10, note, &log);
    tapsi_sim_after(log.sim, 20, note, &log);
    CHECK(tapsi_sim_run_until(log.sim, two_noted, &log, 100));
    CHECK_INT(tapsi_sim_elapsed(log.sim), 20);
    tapsi_sim_run(log.sim, TAPSI_SIM_START + 25);
    CHECK_INT(log.count, 2);
    tapsi_sim_run(log.sim, TAPSI_SIM_START + 1000);
    CHECK_INT(log.count, 3);
    CHECK_INT(log.at[0], 10);
    CHECK_INT(log.at[2], 30);
    CHECK_INT(tapsi_sim_elapsed(log.sim), 1000);
    tapsi_sim_after(log.sim, 10, note, &log); /* never: the world ends first, and frees it */
    tapsi_sim_free(log.sim);
    CHECK_INT(log.count, 3);
}

TEST(what_does_not_come_is_reported_at_the_limit)
{
    struct log log = {.sim = tapsi_sim_new(1)};
    CHECK(!tapsi_sim_run_until(log.sim, two_noted, &log, 5 * TAPSI_SIM_S));
    CHECK_INT(tapsi_sim_elapsed(log.sim), 5 * TAPSI_SIM_S);
    CHECK(!tapsi_sim_deadlocked(log.sim));
    CHECK(!tapsi_sim_run_until(log.sim, two_noted, &log, TAPSI_FOREVER));
    CHECK(tapsi_sim_deadlocked(log.sim));
    tapsi_sim_free(log.sim);
}

TEST(waiting_for_nothing_returns_and_is_remembered)
{
    struct net n;
    struct tapsi_ready ready[1];
    net_init(&n);
    CHECK(!tapsi_sim_deadlocked(n.sim));
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, 1), 0);
    CHECK(tapsi_sim_deadlocked(n.sim));
    int r = 0;
    for (int i = 0; i < 2000 && r == 0; i++)
        r = n.p->ops->wait(n.p, TAPSI_FOREVER, ready, 1);
    CHECK_INT(r, -EDEADLK);
    net_done(&n);
}

/* A context that is pumped: an echo server over its own platform. */
struct echo {
    struct tapsi_platform *p;
    struct tapsi_sim *sim;
    int listener, fd;
    struct tapsi_watch w, v;
    unsigned turns, ticks;
};

static void pump_echo(void *arg)
{
    struct echo *e = arg;
    struct tapsi_ready ready[EVENTS];
    char text[64];
    /* A wait with a deadline to come does not wait inside a pump. */
    uint64_t now = e->p->ops->now(e->p);
    e->turns++;
    e->p->ops->wait(e->p, now + TAPSI_SIM_S, ready, EVENTS);
    CHECK_INT(e->p->ops->now(e->p), now);
    int fd = e->p->ops->accept(e->p, e->listener, NULL);
    if (fd >= 0) {
        e->fd = fd;
        CHECK_INT(e->p->ops->watch(e->p, fd, &e->v), 0);
    }
    for (ssize_t got; e->fd >= 0 && (got = recv_text(e->p, e->fd, text, sizeof text)) > 0;)
        CHECK_INT(e->p->ops->send(e->p, e->fd, text, (size_t)got, 0), got);
}

static void echo_init(struct echo *e, struct net *n)
{
    *e = (struct echo){.p = n->q, .sim = n->sim, .fd = -1, .w = {-1, ignore_ready}, .v = {-1, ignore_ready}};
    e->listener = listen_on(n->q, 7);
    CHECK_INT(n->q->ops->watch(n->q, e->listener, &e->w), 0);
    tapsi_sim_attach(n->sim, n->q, pump_echo, e);
}

static void echo_done(struct echo *e)
{
    if (e->fd >= 0)
        e->p->ops->close(e->p, e->fd);
    e->p->ops->close(e->p, e->listener);
}

TEST(one_context_waits_and_the_other_is_pumped)
{
    struct net n;
    struct echo e;
    struct tapsi_ready ready[EVENTS];
    struct tapsi_watch w = {-1, ignore_ready};
    char text[8];
    net_init(&n);
    echo_init(&e, &n);
    int fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 7), -EINPROGRESS);
    CHECK_INT(n.p->ops->watch(n.p, fd, &w), 0);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, EVENTS), 1);
    CHECK_INT(send_text(n.p, fd, "ping"), 4);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, EVENTS), 1);
    CHECK_INT(recv_text(n.p, fd, text, sizeof text), 4);
    CHECK_TEXT(text, "ping");
    CHECK_INT(tapsi_sim_elapsed(n.sim), 2 * RTT);
    CHECK(e.turns < 10);
    n.p->ops->close(n.p, fd);
    echo_done(&e);
    net_done(&n);
}

static void pump_tick(void *arg)
{
    struct echo *e = arg;
    struct tapsi_ready ready[1];
    e->turns++;
    e->p->ops->wait(e->p, 0, ready, 1);
    if (++e->ticks < 10)
        e->p->ops->arm(e->p, e->p->ops->now(e->p) + TAPSI_SIM_S);
}

TEST(an_armed_context_runs_at_its_deadlines_and_when_woken)
{
    struct net n;
    struct echo e = {.fd = -1};
    net_init(&n);
    e.p = n.q;
    tapsi_sim_attach(n.sim, n.q, pump_tick, &e);
    run_for(&n, TAPSI_SIM_S / 2);
    CHECK_INT(e.turns, 1); /* the first turn is always due */
    run_for(&n, 4 * TAPSI_SIM_S);
    CHECK_INT(e.turns, 5);
    n.q->ops->wake(n.q);
    run_for(&n, TAPSI_SIM_MS);
    CHECK_INT(e.turns, 6);
    run_for(&n, 100 * TAPSI_SIM_S);
    CHECK_INT(e.turns, 10);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, NULL, 0), 0);
    CHECK(tapsi_sim_deadlocked(n.sim));
    net_done(&n);
}

static void pump_spin(void *arg)
{
    struct echo *e = arg;
    e->turns++;
    e->p->ops->arm(e->p, 0);
}

TEST(a_context_that_spins_is_found_out)
{
    struct net n;
    struct echo e = {.fd = -1};
    struct log log = {0};
    net_init(&n);
    e.p = n.q;
    log.sim = n.sim;
    tapsi_sim_attach(n.sim, n.q, pump_spin, &e);
    tapsi_sim_after(n.sim, 5, note, &log);
    tapsi_sim_run(n.sim, TAPSI_SIM_START + 5);
    CHECK_INT(log.count, 1);
    CHECK(tapsi_sim_problem(n.sim) && strstr(tapsi_sim_problem(n.sim), "spins"));
    n.p->ops->destroy(n.p);
    n.q->ops->destroy(n.q);
    tapsi_sim_free(n.sim);
}

TEST(mistakes_in_a_description_are_said_and_do_no_harm)
{
    struct tapsi_sim *sim = tapsi_sim_new(1);
    struct tapsi_sim_host *a = tapsi_sim_host_new(sim, "a"), *b = tapsi_sim_host_new(sim, "b");
    CHECK(!tapsi_sim_problem(sim));
    struct tapsi_sim_interface *x = tapsi_sim_interface_new(a, "x", TAPSI_IF_OTHER, "192.0.2.1/24");
    struct tapsi_sim_interface *y = tapsi_sim_interface_new(b, "y", TAPSI_IF_OTHER, "192.0.2.1/33");
    CHECK_TEXT(tapsi_sim_problem(sim), "not an address: \"192.0.2.1/33\"");
    tapsi_sim_fault(sim, "example.test", TAPSI_SIM_REFUSE);
    tapsi_sim_fault(sim, "192.0.2.1:http", TAPSI_SIM_REFUSE);
    tapsi_sim_route_add(y, "nonsense", 1);
    tapsi_sim_address_remove(y, "");
    struct tapsi_sim_interface *z = tapsi_sim_interface_new(b, "z", TAPSI_IF_OTHER, "192.0.2.1/24");
    tapsi_sim_link_join(tapsi_sim_link_new(x, y, 1), z);
    CHECK_TEXT(tapsi_sim_problem(sim), "not an address: \"192.0.2.1/33\""); /* the first one stays */
    tapsi_sim_free(sim);
}

TEST(what_could_not_be_made_may_be_used)
{
    struct tapsi_platform *p = NULL;
    CHECK(tapsi_sim_problem(NULL) != NULL);
    CHECK(!tapsi_sim_host_new(NULL, "x"));
    CHECK(!tapsi_sim_interface_new(NULL, "x", TAPSI_IF_OTHER, ""));
    CHECK(!tapsi_sim_link_new(NULL, NULL, 0));
    CHECK(!tapsi_sim_dns_new(NULL));
    CHECK(!tapsi_sim_serve(NULL, 1, TAPSI_SIM_ECHO));
    CHECK(!tapsi_sim_udp_echo(NULL, 1));
    CHECK_INT(tapsi_sim_platform_new(NULL, NULL, &p), TAPS_E_MEMORY);
    tapsi_sim_link_loss(NULL, 1);
    tapsi_sim_fault(NULL, "192.0.2.1", TAPSI_SIM_REFUSE);
    tapsi_sim_after(NULL, 1, note, NULL);
    tapsi_sim_run(NULL, 1);
    tapsi_sim_file(NULL, "a", "b");
    tapsi_sim_dns_answer(NULL, "a", "A", "192.0.2.1", 0);
    tapsi_sim_service_end_all(NULL, true);
    tapsi_sim_shift_date(NULL, 1);
    tapsi_sim_leap(NULL, 1);
    CHECK_INT(tapsi_sim_service_counts(NULL).accepted, 0);
    CHECK_INT(tapsi_sim_packets_to(NULL, "192.0.2.1"), 0);
    tapsi_sim_free(NULL);
}

/* The times of all packets of a lossy exchange. */
static void record(void *arg, const struct tapsi_sim_packet *packet)
{
    uint64_t *sum = arg;
    *sum = *sum * 31 + packet->time_ns * 7 + packet->length + (uint64_t)packet->fate;
}

static uint64_t lossy_run(uint64_t seed)
{
    uint64_t sum = 0;
    struct tapsi_mem mem;
    struct tapsi_platform *p;
    tapsi_mem_init(&mem, NULL);
    struct tapsi_sim *sim = tapsi_sim_new(seed);
    struct tapsi_sim_host *a = tapsi_sim_host_new(sim, "a"), *b = tapsi_sim_host_new(sim, "b");
    struct tapsi_sim_interface *x = tapsi_sim_interface_new(a, "x", TAPSI_IF_OTHER, "192.0.2.2/24");
    struct tapsi_sim_interface *y = tapsi_sim_interface_new(b, "y", TAPSI_IF_OTHER, "192.0.2.1/24");
    struct tapsi_sim_link *link = tapsi_sim_link_new(x, y, TAPSI_SIM_MS);
    tapsi_sim_link_loss(link, 0.3);
    tapsi_sim_trace(sim, record, &sum);
    tapsi_sim_serve(b, 80, TAPSI_SIM_ECHO);
    CHECK_INT(tapsi_sim_platform_new(a, &mem, &p), 0);
    int fd = tcp4(p);
    CHECK_INT(connect_to(p, fd, "192.0.2.1", 80), -EINPROGRESS);
    tapsi_sim_run(sim, TAPSI_SIM_START + 10 * TAPSI_SIM_S);
    send_text(p, fd, "hello");
    tapsi_sim_run(sim, TAPSI_SIM_START + 60 * TAPSI_SIM_S);
    p->ops->close(p, fd);
    p->ops->destroy(p);
    tapsi_sim_free(sim);
    return sum;
}

TEST(the_same_seed_gives_the_same_run)
{
    uint64_t first = lossy_run(3);
    CHECK(lossy_run(3) == first);
    CHECK(lossy_run(4) != first);
}

/* Jumps of the clocks. */

struct diary {
    struct tapsi_sim *sim;
    uint64_t times[4];
    unsigned count;
};

static void write_down(void *arg)
{
    struct diary *d = arg;
    d->times[d->count++] = tapsi_sim_elapsed(d->sim);
}

TEST(a_leap_makes_everything_in_between_late_and_keeps_its_order)
{
    struct diary d = {.sim = tapsi_sim_new(1)};
    tapsi_sim_after(d.sim, 10 * TAPSI_SIM_S, write_down, &d);
    tapsi_sim_after(d.sim, 2 * TAPSI_SIM_S, write_down, &d);
    tapsi_sim_after(d.sim, 1 * TAPSI_SIM_S, write_down, &d);
    tapsi_sim_run(d.sim, TAPSI_SIM_START + TAPSI_SIM_S);
    tapsi_sim_leap(d.sim, 3600 * TAPSI_SIM_S);
    CHECK_INT(tapsi_sim_elapsed(d.sim), 3601 * TAPSI_SIM_S);
    CHECK_INT(d.count, 1);
    tapsi_sim_run(d.sim, tapsi_sim_now(d.sim));
    CHECK_INT(d.count, 3);
    CHECK_INT(d.times[0], TAPSI_SIM_S);
    CHECK_INT(d.times[1], 3601 * TAPSI_SIM_S);
    CHECK_INT(d.times[2], 3601 * TAPSI_SIM_S);
    tapsi_sim_free(d.sim);
}

static void leap_an_hour(void *arg)
{
    tapsi_sim_leap(arg, 3600 * TAPSI_SIM_S);
}

TEST(a_leap_beyond_the_end_of_a_run_ends_it)
{
    struct diary d = {.sim = tapsi_sim_new(1)};
    tapsi_sim_after(d.sim, 1 * TAPSI_SIM_S, leap_an_hour, d.sim);
    tapsi_sim_after(d.sim, 2 * TAPSI_SIM_S, write_down, &d);
    tapsi_sim_after(d.sim, 60 * TAPSI_SIM_S, write_down, &d);
    tapsi_sim_run(d.sim, TAPSI_SIM_START + 10 * TAPSI_SIM_S);
    CHECK_INT(tapsi_sim_elapsed(d.sim), 3601 * TAPSI_SIM_S);
    CHECK_INT(d.count, 1); /* due before the end of the run, though late */
    tapsi_sim_run(d.sim, tapsi_sim_now(d.sim));
    CHECK_INT(d.count, 2);
    tapsi_sim_free(d.sim);
}

static int64_t wall(void)
{
    uint64_t monotonic;
    int64_t now = 0;
    CHECK(tapsi_sim_clock(&monotonic, &now));
    return now - TAPSI_SIM_DATE * (int64_t)TAPSI_SIM_S;
}

TEST(the_date_jumps_both_ways_and_time_does_not)
{
    struct tapsi_sim *sim = tapsi_sim_new(1);
    CHECK_INT(wall(), 0);
    tapsi_sim_shift_date(sim, 90);
    CHECK_INT(wall(), 90);
    tapsi_sim_shift_date(sim, -3600 * (int64_t)TAPSI_SIM_S);
    CHECK_INT(wall(), 90 - 3600 * (int64_t)TAPSI_SIM_S);
    CHECK_INT(tapsi_sim_elapsed(sim), 0);
    tapsi_sim_leap(sim, 5);
    CHECK_INT(wall(), 95 - 3600 * (int64_t)TAPSI_SIM_S);
    tapsi_sim_set_date(sim, TAPSI_SIM_DATE);
    CHECK_INT(wall(), 0); /* set to the nanosecond */
    tapsi_sim_free(sim);
}
