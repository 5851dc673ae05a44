/* Work aside: on other threads, a few at once, in order, told where the loop is. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/test.h"
#include "platform/platform.h"

#define MANY 40

struct work {
    struct tapsi_aside aside;
    int number;
    bool ran_here, done_here;
    unsigned runs, dones;
};

static struct tapsi_mem mem;
static struct tapsi_platform *platform;
static struct work works[MANY];
static pthread_t loop_thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int inside, most, may_pass; /* guarded by `lock` */
static int order[MANY], ordered;
static bool took_signals;

static void run(struct tapsi_aside *aside)
{
    struct work *w = TAPSI_CONTAINER(aside, struct work, aside);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    pthread_mutex_lock(&lock);
    took_signals |= sigismember(&blocked, SIGTERM) != 1;
    order[ordered++] = w->number;
    w->ran_here |= pthread_equal(pthread_self(), loop_thread) != 0;
    w->runs++;
    inside++;
    most = inside > most ? inside : most;
    pthread_cond_broadcast(&changed);
    while (may_pass == 0)
        pthread_cond_wait(&changed, &lock);
    may_pass--;
    inside--;
    pthread_mutex_unlock(&lock);
}

static void done(struct tapsi_aside *aside)
{
    struct work *w = TAPSI_CONTAINER(aside, struct work, aside);
    w->dones++;
    w->done_here |= pthread_equal(pthread_self(), loop_thread) != 0;
}

static void begin(int pass)
{
    tapsi_mem_init(&mem, NULL);
    loop_thread = pthread_self();
    inside = most = ordered = 0;
    may_pass = pass;
    memset(works, 0, sizeof(works));
    CHECK_INT(tapsi_platform_linux_new(&mem, &platform), 0);
}

static int give(int number)
{
    struct work *w = &works[number];
    *w = (struct work){.aside = {.run = run, .done = done}, .number = number};
    tapsi_link_init(&w->aside.link);
    return platform->ops->aside(platform, &w->aside);
}

static void let_pass(int count)
{
    pthread_mutex_lock(&lock);
    may_pass += count;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_inside(int count)
{
    pthread_mutex_lock(&lock);
    while (inside < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static unsigned all_done(void)
{
    unsigned count = 0;
    for (int i = 0; i < MANY; i++)
        count += works[i].dones;
    return count;
}

static void wait_done(unsigned count)
{
    struct tapsi_ready ready[4];
    while (all_done() < count)
        platform->ops->wait(platform, TAPSI_FOREVER, ready, 4);
}

static void end(void)
{
    platform->ops->destroy(platform);
}

TEST(work_is_done_on_another_thread_and_told_on_the_loops)
{
    begin(1);
    CHECK_INT(give(0), 0);
    wait_done(1);
    CHECK(!works[0].ran_here);
    CHECK(works[0].done_here);
    CHECK(!took_signals);
    end();
    CHECK_INT(works[0].dones, 1);
}

TEST(a_few_run_at_once_and_the_others_wait)
{
    begin(0);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(give(i), 0);
    wait_inside(TAPSI_ASIDE_MAX);
    let_pass(MANY);
    wait_done(MANY);
    CHECK_INT(most, TAPSI_ASIDE_MAX);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(works[i].runs, 1);
        CHECK(i >= TAPSI_ASIDE_MAX || order[i] < TAPSI_ASIDE_MAX);
    }
    end();
    CHECK_INT(all_done(), MANY);
}

TEST(what_has_not_begun_can_be_had_back)
{
    begin(0);
    for (int i = 0; i <= TAPSI_ASIDE_MAX; i++)
        CHECK_INT(give(i), 0);
    wait_inside(TAPSI_ASIDE_MAX);
    CHECK(!platform->ops->recall(platform, &works[0].aside));
    CHECK(platform->ops->recall(platform, &works[TAPSI_ASIDE_MAX].aside));
    CHECK(!platform->ops->recall(platform, &works[TAPSI_ASIDE_MAX].aside));
    let_pass(TAPSI_ASIDE_MAX);
    wait_done(TAPSI_ASIDE_MAX);
    CHECK(!platform->ops->recall(platform, &works[0].aside));
    end();
    CHECK_INT(works[TAPSI_ASIDE_MAX].runs + works[TAPSI_ASIDE_MAX].dones, 0);
}

static void *let_all_pass(void *arg)
{
    (void)arg;
    let_pass(MANY);
    return NULL;
}

/* What runs is waited for, what has not begun is not begun: each is told once. */
TEST(the_end_waits_for_what_runs)
{
    pthread_t other;
    begin(0);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(give(i), 0);
    wait_inside(TAPSI_ASIDE_MAX);
    NEED(pthread_create(&other, NULL, let_all_pass, NULL) == 0);
    end();
    pthread_join(other, NULL);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(works[i].dones, 1);
        CHECK(works[i].done_here);
    }
    CHECK_INT(inside, 0);
}

TEST(threads_serve_again)
{
    begin(MANY);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(give(i), 0);
        wait_done((unsigned)i + 1);
    }
    CHECK_INT(most, 1);
    end();
}
