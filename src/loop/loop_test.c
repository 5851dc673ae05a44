/* The loop's promises to its tasks, and to whoever waits for it. */
#include "loop/loop.h"

#include "base/test.h"
#include "platform/sim/sim.h"

struct world {
    struct tapsi_mem mem;
    struct tapsi_sim *sim;
    struct tapsi_platform *platform;
    struct tapsi_loop loop;
    struct tapsi_task first, second, posted;
    unsigned runs, posted_after;
    char order[64];
    unsigned length;
};

static struct world w;

static void nothing(struct tapsi_task *task)
{
    (void)task;
}

static void begin(void)
{
    memset(&w, 0, sizeof(w));
    tapsi_task_init(&w.first, nothing);
    tapsi_task_init(&w.second, nothing);
    tapsi_task_init(&w.posted, nothing);
    tapsi_mem_init(&w.mem, NULL);
    w.sim = tapsi_sim_new(1);
    CHECK_INT(tapsi_sim_platform_new(tapsi_sim_host_new(w.sim, "host"), &w.mem, &w.platform), 0);
    CHECK_INT(tapsi_loop_init(&w.loop, &w.mem, w.platform), 0);
}

static void end(void)
{
    tapsi_task_cancel(&w.first);
    tapsi_task_cancel(&w.second);
    tapsi_task_cancel(&w.posted);
    tapsi_loop_done(&w.loop);
    tapsi_sim_free(w.sim);
}

static void note(char what)
{
    if (w.length + 1 < sizeof(w.order))
        w.order[w.length++] = what;
}

static void on_posted(struct tapsi_task *task)
{
    (void)task;
    note('p');
    w.posted_after = w.posted_after ? w.posted_after : w.runs;
}

/* Has always something more to do. */
static void again(struct tapsi_task *task)
{
    note('1');
    if (++w.runs == 1000)
        return;
    tapsi_loop_post(&w.loop, &w.posted);
    tapsi_loop_flush(&w.loop, task, 3);
}

static void lower(struct tapsi_task *task)
{
    (void)task;
    note('2');
}

/* A task that queues itself again leaves the round to the others: lower levels, and the application. */
TEST(busy_task_does_not_starve_the_others)
{
    begin();
    tapsi_task_init(&w.first, again);
    tapsi_task_init(&w.second, lower);
    tapsi_task_init(&w.posted, on_posted);
    tapsi_loop_flush(&w.loop, &w.second, 0);
    tapsi_loop_flush(&w.loop, &w.first, 3);
    tapsi_loop_turn(&w.loop, 0);
    CHECK(strncmp(w.order, "12p1p1", 6) == 0);
    CHECK_INT(w.posted_after, 1);
    CHECK(w.runs < 100); /* and the turn ends, so that input is looked at */
    end();
}

static void raise_lower(struct tapsi_task *task)
{
    (void)task;
    note('1');
    tapsi_loop_flush(&w.loop, &w.second, 0);
}

static void raise_upper(struct tapsi_task *task)
{
    (void)task;
    note('2');
    if (w.runs++ == 0)
        tapsi_loop_flush(&w.loop, &w.first, 3);
}

/* What an upper layer hands down leaves in the same round; what a lower one asks for above comes in the next. */
TEST(levels_run_from_the_top_down)
{
    begin();
    tapsi_task_init(&w.first, raise_lower);
    tapsi_task_init(&w.second, raise_upper);
    tapsi_loop_flush(&w.loop, &w.first, 3);
    tapsi_loop_turn(&w.loop, 0);
    CHECK_TEXT(w.order, "1212");
    end();
}

static void cancel_second(struct tapsi_task *task)
{
    (void)task;
    tapsi_task_cancel(&w.second);
}

/* One of a level removes the next of it. */
TEST(task_may_vanish_while_its_level_runs)
{
    begin();
    tapsi_task_init(&w.first, cancel_second);
    tapsi_task_init(&w.second, lower);
    tapsi_loop_flush(&w.loop, &w.first, 2);
    tapsi_loop_flush(&w.loop, &w.second, 2);
    tapsi_loop_turn(&w.loop, 0);
    CHECK_TEXT(w.order, "");
    end();
}

/* An embedded loop that was stopped is not waiting for anything. */
TEST(stop_does_not_keep_an_embedded_loop_awake)
{
    begin();
    tapsi_loop_embed(&w.loop);
    tapsi_loop_stop(&w.loop);
    tapsi_loop_turn(&w.loop, 0);
    CHECK(w.loop.armed == TAPSI_FOREVER);
    end();
}

static void on_fire(struct tapsi_timer *timer)
{
    (void)timer;
    w.runs++;
}

/* Whatever is begun outside a turn is told to whoever waits. */
TEST(embedded_loop_tells_of_work_from_outside)
{
    struct tapsi_timer timer;
    begin();
    tapsi_task_init(&w.posted, on_posted);
    tapsi_loop_embed(&w.loop);
    CHECK(w.loop.armed == TAPSI_FOREVER);
    CHECK_INT(tapsi_timer_init(&w.loop, &timer, on_fire), 0);
    tapsi_timer_start(&w.loop, &timer, 5 * TAPSI_MS);
    CHECK(w.loop.armed == tapsi_loop_now(&w.loop) + 5 * TAPSI_MS);
    tapsi_timer_start(&w.loop, &timer, 3 * TAPSI_MS);
    CHECK(w.loop.armed == tapsi_loop_now(&w.loop) + 3 * TAPSI_MS);
    tapsi_loop_post(&w.loop, &w.posted);
    CHECK_INT(w.loop.armed, 0);
    tapsi_loop_turn(&w.loop, 0);
    CHECK_TEXT(w.order, "p");
    CHECK(w.loop.armed == tapsi_loop_now(&w.loop) + 3 * TAPSI_MS);
    tapsi_timer_done(&w.loop, &timer);
    end();
}

static void count(void *arg)
{
    (*(unsigned *)arg)++;
}

/* A posted call is something that is under way. */
TEST(run_waits_for_what_was_posted)
{
    taps_context *context;
    unsigned calls = 0;
    NEED(taps_context_new(NULL, &context) == 0);
    CHECK_INT(taps_context_post(context, count, &calls), 0);
    CHECK_INT(taps_context_run(context), 0);
    CHECK_INT(calls, 1);
    CHECK_INT(taps_context_post(context, count, &calls), 0);
    for (int i = 0; i < 10 && taps_context_run_once(context, 0); i++)
        continue;
    CHECK_INT(calls, 2);
    CHECK_INT(taps_context_run(context), 0);
    CHECK_INT(taps_context_free(context), 0);
}
