/*
 * What an event costs does not grow with the number of Connections that are idle. Not by time: a child process does the
 * same work beside a few Connections and beside ten thousand, and its parent counts the instructions it executes, one
 * by one, and its system calls (ptrace). Both sides are in one context of that child.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include "scale.h"

#define FEW     16
#define MANY    5000 /* pairs: twice as many Connections */
#define TRIPS   6
#define VISITS  1
#define GROWTH  1.03
#define TURN_MS 100

enum work { ROUND_TRIPS, VISITORS };

/* ----------------------------------------------------------------------------------------------- the child */

static void settle(taps_context *context, const struct scale_crowd *crowd)
{
    while (!scale_crowd_settled(crowd))
        taps_context_run_once(context, TURN_MS);
}

static void talk(taps_context *context, struct scale_crowd *one, int times)
{
    for (int i = 0; i < times; i++) {
        scale_crowd_speak(one);
        settle(context, one);
    }
}

/* Connections that come, say something and are aborted. */
static void visit(taps_context *context, struct scale_server *s, int times)
{
    for (int i = 0; i < times; i++) {
        struct scale_crowd guest;
        unsigned before = s->alive;
        scale_crowd_start(&guest, context, SCALE_TCP, "127.0.3.1", s->port, 1);
        settle(context, &guest);
        scale_crowd_end(&guest, true);
        while (guest.closed < 1 || s->alive > before)
            taps_context_run_once(context, TURN_MS);
        scale_crowd_done(&guest);
    }
}

static void work_once(enum work work, taps_context *context, struct scale_server *s, struct scale_crowd *one)
{
    if (work == ROUND_TRIPS)
        talk(context, one, TRIPS);
    else
        visit(context, s, VISITS);
}

/* SIGUSR1 tells the parent where the work begins and ends: once to count instructions, once to count system calls. */
static void child(enum work work, unsigned pairs)
{
    struct scale_server s;
    struct scale_crowd crowd, one;
    taps_context *context;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(2);
    taps_context_new(NULL, &context);
    scale_listen(&s, context, SCALE_TCP, "127.0.3.1", 0, false);
    while (!s.port && !s.code)
        taps_context_run_once(context, TURN_MS);
    scale_crowd_start(&crowd, context, SCALE_TCP, "127.0.3.1", s.port, pairs);
    settle(context, &crowd);
    scale_crowd_start(&one, context, SCALE_TCP, "127.0.3.1", s.port, 1);
    settle(context, &one);
    work_once(work, context, &s, &one);
    for (int i = 0; i < 2; i++) {
        raise(SIGUSR1);
        work_once(work, context, &s, &one);
        raise(SIGUSR1);
    }
    _exit(tapsi_test_failed() || s.errors > 3 * VISITS || one.failed || crowd.failed);
}

/* ---------------------------------------------------------------------------------------------- the parent */

struct cost {
    unsigned long instructions, calls;
    bool known;
};

/* Lets the child go on until its next SIGUSR1, stopping at each instruction or system call: how many stops. -1: it has
   ended. */
static long stops(pid_t pid, enum __ptrace_request how)
{
    int status;
    for (long count = 0;; count++) {
        if (ptrace(how, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
            return -1;
        if (WSTOPSIG(status) == SIGUSR1)
            return count;
    }
}

static struct cost measure(enum work work, unsigned pairs)
{
    struct cost cost = {0};
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        child(work, pairs);
    if (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) { /* by its first SIGUSR1 */
        long instructions = stops(pid, PTRACE_SINGLESTEP);
        long between = stops(pid, PTRACE_CONT);
        long calls = stops(pid, PTRACE_SYSCALL);
        cost.known = instructions > 0 && between >= 0 && calls > 0;
        cost.instructions = (unsigned long)instructions;
        cost.calls = (unsigned long)calls / 2; /* a stop before, a stop after */
        ptrace(PTRACE_CONT, pid, NULL, NULL);
        waitpid(pid, &status, 0);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        return cost;
    CHECK_INT(status, 0);
    return cost;
}

static void compare(enum work work)
{
    if (tapsi_test_sanitized()) {
        tapsi_test_skip("a sanitizer's instructions are not the library's");
        return;
    }
    if (!scale_descriptors(2 * MANY + 100)) {
        tapsi_test_skip("the limit of descriptors is too low and may not be raised");
        return;
    }
    struct cost few = measure(work, FEW), many = measure(work, MANY);
    if (!few.known || !many.known) {
        tapsi_test_skip("this process may not count another one's instructions (ptrace)");
        return;
    }
    printf("# beside %d: %lu instructions, %lu system calls; beside %u: %lu, %lu\n", 2 * FEW, few.instructions,
           few.calls, 2 * MANY, many.instructions, many.calls);
    CHECK((double)many.instructions <= (double)few.instructions * GROWTH);
    CHECK((double)many.calls <= (double)few.calls * GROWTH + 1);
}

TEST(a_round_trip_costs_the_same_beside_ten_thousand)
{
    tapsi_test_limit(200);
    compare(ROUND_TRIPS);
}

TEST(to_come_and_go_costs_the_same_beside_ten_thousand)
{
    tapsi_test_limit(200);
    compare(VISITORS);
}
