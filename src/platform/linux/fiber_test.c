/* A call stops in the middle and goes on, as often as it likes, and others run meanwhile. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/test.h"
#include "platform/platform.h"

static struct tapsi_mem mem;

struct walk {
    struct tapsi_fiber *fiber;
    int stops, steps;
    long sum;
};

static struct walk make(int stops)
{
    struct walk w = {.stops = stops};
    tapsi_mem_init(&mem, NULL);
    CHECK_INT(tapsi_fiber_new(&mem, &w.fiber), 0);
    return w;
}

static void walk(void *arg)
{
    struct walk *w = arg;
    volatile int own = 0; /* on this stack: it must still be there */
    for (int i = 0; i < w->stops; i++) {
        own += i;
        w->steps++;
        tapsi_fiber_stop(w->fiber);
    }
    w->sum = own;
}

TEST(a_call_that_does_not_stop_returns)
{
    struct walk w = make(0);
    for (int i = 0; i < 3; i++)
        CHECK(tapsi_fiber_run(w.fiber, walk, &w));
    tapsi_fiber_free(w.fiber);
}

TEST(a_call_goes_on_where_it_stopped)
{
    struct walk w = make(3);
    for (int again = 0; again < 2; again++) {
        w.steps = 0;
        CHECK(!tapsi_fiber_run(w.fiber, walk, &w));
        CHECK_INT(w.steps, 1);
        CHECK(!tapsi_fiber_resume(w.fiber));
        CHECK(!tapsi_fiber_resume(w.fiber));
        CHECK_INT(w.steps, 3);
        CHECK(tapsi_fiber_resume(w.fiber));
        CHECK_INT(w.sum, 3);
    }
    tapsi_fiber_free(w.fiber);
}

TEST(many_stop_at_once)
{
    struct walk w[50];
    bool over = false;
    for (int i = 0; i < 50; i++) {
        w[i] = make(i + 1);
        CHECK(!tapsi_fiber_run(w[i].fiber, walk, &w[i]));
    }
    while (!over) {
        over = true;
        for (int i = 0; i < 50; i++) {
            if (w[i].steps <= w[i].stops && w[i].sum == 0 && w[i].stops > 1)
                over = !tapsi_fiber_resume(w[i].fiber) ? false : over;
        }
    }
    CHECK(tapsi_fiber_resume(w[0].fiber));
    for (int i = 1; i < 50; i++)
        CHECK_INT(w[i].sum, i * (i + 1) / 2);
    for (int i = 0; i < 50; i++)
        tapsi_fiber_free(w[i].fiber);
}

static void use_much(void *arg)
{
    volatile unsigned char block[200 * 1024];
    for (size_t i = 0; i < sizeof(block); i += 512)
        block[i] = 1;
    *(unsigned char *)arg = block[512];
}

TEST(a_stack_holds_what_cryptography_needs)
{
    struct walk w = make(0);
    unsigned char seen = 0;
    CHECK(tapsi_fiber_run(w.fiber, use_much, &seen));
    CHECK_INT(seen, 1);
    tapsi_fiber_free(w.fiber);
}

static int fall(volatile unsigned char *above, int depth)
{
    volatile unsigned char block[4096];
    block[0] = above ? above[0] : 1;
    return depth ? fall(block, depth - 1) + block[0] : 0;
}

static void fall_through(void *arg)
{
    *(int *)arg = fall(NULL, 10000);
}

/* What needs more stack than there is ends the process, and writes over nobody's memory. */
TEST(below_the_stack_nobody_writes)
{
    pid_t child = fork();
    if (child == 0) {
        struct walk w = make(0);
        int depth = 0;
        signal(SIGSEGV, SIG_DFL);
        close(STDERR_FILENO);
        tapsi_fiber_run(w.fiber, fall_through, &depth);
        _exit(depth ? 0 : 1); /* it came back: there was no end */
    }
    int status = 0;
    NEED(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
}
