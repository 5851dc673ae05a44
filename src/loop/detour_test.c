/* A call that waits for work aside, and is given up at every moment. */
#include "loop/detour.h"

#include "base/test.h"
#include "platform/sim/sim.h"

static struct tapsi_mem mem;
static struct tapsi_sim *sim;
static struct tapsi_platform *platform;
static struct tapsi_loop loop;
static unsigned runs, frees, resumed;

struct errand {
    struct tapsi_errand errand;
    int answer;
};

struct call {
    struct tapsi_detour detour;
    int waits, answers, failures;
    bool returned;
};

static void run(struct tapsi_aside *aside)
{
    runs++;
    TAPSI_CONTAINER(aside, struct errand, errand.aside)->answer = 42;
}

static void free_errand(struct tapsi_errand *errand)
{
    frees++;
    tapsi_free(&mem, TAPSI_CONTAINER(errand, struct errand, errand));
}

static void call(void *arg)
{
    struct call *c = arg;
    for (int i = 0; i < c->waits; i++) {
        struct errand *e = tapsi_zalloc(&mem, sizeof(*e));
        e->errand.aside.run = run;
        e->errand.free = free_errand;
        if (tapsi_detour_wait(&c->detour, &e->errand)) {
            c->answers += e->answer == 42;
            free_errand(&e->errand);
        } else {
            c->failures++;
        }
    }
    c->returned = true;
}

static void resume(struct tapsi_detour *d)
{
    resumed++;
    tapsi_detour_go_on(d);
}

static void begin(void)
{
    runs = frees = resumed = 0;
    tapsi_mem_init(&mem, NULL);
    sim = tapsi_sim_new(1);
    CHECK_INT(tapsi_sim_platform_new(tapsi_sim_host_new(sim, "host"), &mem, &platform), 0);
    CHECK_INT(tapsi_loop_init(&loop, &mem, platform), 0);
}

static void end(void)
{
    tapsi_loop_done(&loop);
    tapsi_sim_free(sim);
}

static void make(struct call *c, int waits)
{
    *c = (struct call){.waits = waits};
    tapsi_detour_init(&c->detour, &loop, resume);
}

static void turns(int count)
{
    for (int i = 0; i < count; i++)
        tapsi_loop_turn(&loop, tapsi_sim_now(sim) + 10 * TAPSI_MS);
}

TEST(a_call_that_waits_for_nothing_returns_at_once)
{
    struct call c;
    begin();
    make(&c, 0);
    CHECK_INT(tapsi_detour_run(&c.detour, call, &c), 0);
    CHECK(c.returned);
    CHECK(!tapsi_detour_is_under_way(&c.detour));
    tapsi_detour_give_up(&c.detour);
    end();
}

TEST(a_call_stops_until_its_work_is_done)
{
    struct call c;
    begin();
    make(&c, 2);
    CHECK_INT(tapsi_detour_run(&c.detour, call, &c), 1);
    CHECK(tapsi_detour_waits(&c.detour));
    CHECK_INT(runs, 0);
    turns(5);
    CHECK(c.returned);
    CHECK_INT(c.answers, 2);
    CHECK_INT(resumed, 2);
    CHECK_INT(frees, 2);
    end();
}

/* Waiting in the queue; running; done, and not gone on; gone on, and waiting again. */
TEST(a_call_is_given_up_at_any_moment)
{
    for (int moment = 0; moment < 4; moment++) {
        struct call c, before[TAPSI_ASIDE_MAX];
        begin();
        for (int i = 0; i < TAPSI_ASIDE_MAX; i++) {
            make(&before[i], 1);
            if (moment == 0)
                CHECK_INT(tapsi_detour_run(&before[i].detour, call, &before[i]), 1);
        }
        make(&c, 3);
        CHECK_INT(tapsi_detour_run(&c.detour, call, &c), 1);
        if (moment == 2) {
            struct tapsi_ready ready[1];
            platform->ops->wait(platform, tapsi_sim_now(sim) + 5 * TAPSI_MS, ready, 1);
            CHECK(!tapsi_detour_waits(&c.detour));
        }
        if (moment == 3)
            turns(1);
        tapsi_detour_give_up(&c.detour);
        CHECK(c.returned);
        CHECK(!tapsi_detour_is_under_way(&c.detour));
        CHECK_INT(c.answers, moment == 3);
        CHECK_INT(c.failures, moment == 3 ? 2 : 3);
        turns(6);
        for (int i = 0; i < TAPSI_ASIDE_MAX && moment == 0; i++)
            CHECK(before[i].returned);
        CHECK_INT(frees, moment == 0 ? 7 : 3);
        end();
    }
}

/* The loop goes while work that nobody waits for is still under way. */
TEST(what_nobody_waits_for_is_freed_at_the_end)
{
    struct call c[TAPSI_ASIDE_MAX + 2];
    begin();
    tapsi_sim_aside(sim, TAPSI_FOREVER);
    for (int i = 0; i < TAPSI_ASIDE_MAX + 2; i++) {
        make(&c[i], 1);
        CHECK_INT(tapsi_detour_run(&c[i].detour, call, &c[i]), 1);
    }
    turns(2);
    for (int i = 0; i < TAPSI_ASIDE_MAX + 2; i++)
        tapsi_detour_give_up(&c[i].detour);
    CHECK_INT(frees, 2);
    end();
    CHECK_INT(frees, TAPSI_ASIDE_MAX + 2);
}

TEST(only_so_many_stop_at_once)
{
    static struct call c[TAPSI_DETOURS_MAX + 1];
    begin();
    for (int i = 0; i <= TAPSI_DETOURS_MAX; i++) {
        make(&c[i], 1);
        CHECK_INT(tapsi_detour_run(&c[i].detour, call, &c[i]), i < TAPSI_DETOURS_MAX ? 1 : TAPS_E_RESOURCES);
    }
    turns(TAPSI_DETOURS_MAX + 5);
    for (int i = 0; i < TAPSI_DETOURS_MAX; i++)
        CHECK(c[i].returned);
    CHECK(!c[TAPSI_DETOURS_MAX].returned);
    CHECK_INT(tapsi_detour_run(&c[TAPSI_DETOURS_MAX].detour, call, &c[TAPSI_DETOURS_MAX]), 1);
    turns(3);
    CHECK(c[TAPSI_DETOURS_MAX].returned);
    end();
}

TEST(what_cannot_be_done_aside_fails)
{
    struct call c;
    begin();
    make(&c, 2);
    tapsi_sim_fail_call(sim, 1, 11);
    CHECK_INT(tapsi_detour_run(&c.detour, call, &c), 1);
    CHECK_INT(c.failures, 1);
    turns(3);
    CHECK(c.returned);
    CHECK_INT(c.answers, 1);
    CHECK_INT(frees, 2);
    end();
}
