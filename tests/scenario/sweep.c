/*
 * Every test of a program again and again, each time with one more failure: `test-scenario_race --sweep` and the names
 * of tests, if not all are meant. A run that has broken a rule says how it is had again: --sweep=call:37:105 NAME.
 *
 * A swept test need not succeed: its checks are not held. But whatever fails, nobody may crash, hang, break one of the
 * observer's rules, leave a socket open when its platform goes, or keep memory when all is freed. Where a test was left
 * early, its rest is freed by living.c.
 *
 * First the test runs once as it is and is counted. Then come allocation 1, 2, 3 and so on until none is left to fail,
 * and so each kind of failure. `budget` says how much work a test may make of that: where it is too little for all, the
 * failures are spread evenly; `make test LONG=1` has twenty times as much, and tries each call with each error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/test.h"
#include "faults.h"
#include "living.h"
#include "observer.h"

static const int errors[] = {EINTR,  EAGAIN,   EMFILE,      ENFILE,        ENOBUFS,    ENOMEM,
                             EACCES, ENETDOWN, ENETUNREACH, EADDRNOTAVAIL, ECONNRESET, EPERM,
                             EIO,    EINVAL,   EADDRINUSE,  EHOSTUNREACH,  ENOPROTOOPT};
#define ERRORS (sizeof(errors) / sizeof(errors[0]))

#define SECONDS_MAX 200000 /* of virtual time, of one run */
#define WAITS_MORE  50000  /* than fifty times those of the run without failures */

struct sweep {
    struct tapsi_test *test;
    struct faults_counts plain; /* of the run without failures */
    size_t runs, injected;
};

/* ------------------------------------------------------------------------------------------------------ one run */

static void say_how(const struct sweep *s, const struct faults_plan *plan)
{
    printf("# that was %s %zu", fault_name(plan->fault), plan->n);
    if (plan->err)
        printf(" (%s)", strerror(plan->err));
    printf("; again: --sweep=%s:%zu:%d %s\n", fault_name(plan->fault), plan->n, plan->err, s->test->name);
}

static void run_test(const struct sweep *s, const struct faults_plan *plan, size_t waits)
{
    jmp_buf escape;
    faults_begin(plan, waits, SECONDS_MAX, &escape);
    if (setjmp(escape) == 0) {
        s->test->run();
        faults_calm();
        living_free();
        if (faults_so_far()->blocks != 0)
            tapsi_test_fail("sweep", 0, "%ld blocks of memory are left", faults_so_far()->blocks);
    } else {
        living_forget();
        observer_forget();
    }
    faults_end();
}

/* How many failures there were. */
static size_t run(struct sweep *s, const struct faults_plan *plan, size_t waits)
{
    bool before = tapsi_test_has_broken();
    tapsi_test_doing("%s:%zu:%d", fault_name(plan->fault), plan->n, plan->err);
    tapsi_test_tolerate(true);
    tapsi_test_limit(30);
    run_test(s, plan, waits);
    tapsi_test_tolerate(false);
    if (!before && tapsi_test_has_broken())
        say_how(s, plan);
    s->runs++;
    s->injected += faults_so_far()->injected;
    return faults_so_far()->injected;
}

/* ------------------------------------------------------------------------------------------------------ the plan */

/* The n-th of something, for n in steps from 1 to `count` and on, until there is nothing left to fail. */
static void go_through(struct sweep *s, enum fault fault, size_t count, size_t runs)
{
    size_t waits = s->plain.waits * 50 + WAITS_MORE;
    size_t most = runs ? runs : 1, step = count > most ? (count + most - 1) / most : 1;
    size_t first = 1 + (size_t)strlen(s->test->name) % step; /* not the same ones in all tests */
    bool with_error = fault == FAULT_CALL || fault == FAULT_SHORTAGE;
    for (size_t n = first, i = first; n < 4 * count + 100 && !tapsi_test_has_broken(); n += step, i++) {
        struct faults_plan plan = {fault, n, with_error ? errors[i % ERRORS] : 0};
        if (run(s, &plan, waits) == 0)
            break;
    }
}

/* The whole of it: each call with each error. */
static void go_through_errors(struct sweep *s)
{
    size_t waits = s->plain.waits * 50 + WAITS_MORE;
    for (size_t n = 1; n < 4 * s->plain.calls + 100; n++) {
        for (size_t i = 0; i < ERRORS; i++) {
            struct faults_plan plan = {FAULT_CALL, n, errors[i]};
            if (tapsi_test_has_broken() || run(s, &plan, waits) == 0)
                return;
        }
    }
}

/* How much one run is, in about microseconds: handshakes are dear, and so are many bytes. */
static size_t work_of(const struct sweep *s)
{
    const struct faults_counts *c = &s->plain;
    return 100 + c->allocations / 4 + c->calls / 2 + c->bytes / 300 + 2000 * c->sessions;
}

/* How many runs a test may make of each of the two great kinds; of the others it makes a quarter. */
static size_t budget(const struct sweep *s)
{
    size_t runs = tapsi_test_rounds(100000, 4000, 2000000) / work_of(s), least = tapsi_test_rounds(4, 1, 4);
    return runs < least ? least : runs;
}

static void go_through_modes(struct sweep *s)
{
    static const struct faults_plan modes[] = {{FAULT_ALWAYS_SHORT, 1, 0},       {FAULT_ALWAYS_SHORT, 7, 0},
                                               {FAULT_ALWAYS_SHORT, 1000, 0},    {FAULT_ALWAYS_AGAIN, 0, 0},
                                               {FAULT_ALWAYS_INTERRUPTED, 0, 0}, {FAULT_ALWAYS_SPURIOUS, 0, 0}};
    size_t first = 0, step = 1;
    if (budget(s) == 1) { /* a heavy one, under sanitizers: two of them, others in other tests */
        step = 3;
        first = strlen(s->test->name) % step;
    }
    for (size_t i = first; i < sizeof(modes) / sizeof(modes[0]); i += step) {
        struct faults_plan plan = modes[i];
        if (plan.n && s->plain.bytes / plan.n > tapsi_test_rounds(20000, 1300, 20000))
            continue; /* much of it, byte by byte, takes long */
        if (!tapsi_test_has_broken())
            run(s, &plan, s->plain.waits * 50 + 5000000);
    }
}

static void sweep_all(struct sweep *s)
{
    const struct faults_counts *c = &s->plain;
    size_t runs = budget(s);
    go_through(s, FAULT_ALLOCATION, c->allocations, runs);
    go_through(s, FAULT_POVERTY, c->allocations, runs / 4);
    if (runs > c->calls * ERRORS)
        go_through_errors(s);
    else
        go_through(s, FAULT_CALL, c->calls, runs);
    go_through(s, FAULT_SHORTAGE, c->calls, runs / 4);
    go_through(s, FAULT_SHORT, c->moves, runs / 4);
    go_through(s, FAULT_STORM, c->moves, runs / 4);
    go_through(s, FAULT_SPURIOUS, c->waits, runs / 4);
    go_through_modes(s);
}

/* "call:37:105" */
static void sweep_one(struct sweep *s, const char *which)
{
    char name[32] = "";
    struct faults_plan plan = {0};
    sscanf(which, "%31[^:]:%zu:%d", name, &plan.n, &plan.err);
    while (plan.fault < FAULTS && strcmp(fault_name(plan.fault), name) != 0)
        plan.fault++;
    if (plan.fault == FAULTS)
        tapsi_test_fail("sweep", 0, "there is no failure named %s", name);
    else
        run(s, &plan, SIZE_MAX);
}

static void sweep(struct tapsi_test *test, const char *which)
{
    struct sweep s = {.test = test};
    struct faults_plan none = {FAULT_NONE, 0, 0};
    if (which) {
        sweep_one(&s, which);
        return;
    }
    run(&s, &none, SIZE_MAX);
    s.plain = *faults_so_far();
    if (!tapsi_test_has_broken() && s.plain.allocations)
        sweep_all(&s);
    tapsi_test_remark(": %zu failures in %zu runs", s.injected, s.runs);
}

static const struct tapsi_test_sweep the_sweep = {sweep};

__attribute__((constructor)) static void offer(void)
{
    tapsi_test_set_sweep(&the_sweep);
}
