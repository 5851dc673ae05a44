/*
 * The unit-test harness: a test file defines tests with TEST and links base/test.c, which brings main().
 * Output is TAP, so the runner counts every test, not every program.
 */
#ifndef TAPSI_BASE_TEST_H
#define TAPSI_BASE_TEST_H

#include <stdbool.h>
#include <string.h>

struct tapsi_test {
    const char *name;
    void (*run)(void);
    struct tapsi_test *next;
};

void tapsi_test_register(struct tapsi_test *test);
/* Records a failed check of the running test; the test goes on. `line` 0: a rule that `file` watches over was broken,
   which counts also where checks are tolerated. */
void tapsi_test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The name of the running test, or NULL. */
const char *tapsi_test_name(void);
/* Has a check of the running test failed so far? */
bool tapsi_test_failed(void);
/* Marks the running test as skipped, with the reason; the test then returns by itself. */
void tapsi_test_skip(const char *reason);
/* A test that needs time stops the program after so many real seconds (default 60), so a hang is a failure. */
void tapsi_test_limit(unsigned seconds);
/* How many rounds a test of random input makes: `normal`; `sanitized` under ASan or TSan, which are many times slower;
   `thorough` where the environment has TAPS_LONG=1 (`make test LONG=1`). */
unsigned tapsi_test_rounds(unsigned normal, unsigned sanitized, unsigned thorough);
/* Built with ASan or TSan: memory and instructions are then not what they are without. */
bool tapsi_test_sanitized(void);
/* The one seed that the environment asks for with TAPS_SEED=N, to have a run again; 0 = all. */
unsigned tapsi_test_seed(void);

/*
 * Sweeps: a program that links a sweep (tests/scenario/sweep.c) and is started with --sweep, or --sweep=WHICH, gives
 * each of its tests to that instead of running it once.
 */

struct tapsi_test_sweep {
    void (*run)(struct tapsi_test *test, const char *which); /* `which` NULL: all there is */
};

void tapsi_test_set_sweep(const struct tapsi_test_sweep *sweep);
/* Has the program been started with --sweep? Tests of random input then make one round. */
bool tapsi_test_sweeping(void);
/* From now on a check that fails is not told and does not count: the test has the right to fail, but not to break a
   rule. False: as usual again. Either way tapsi_test_failed begins anew with false. */
void tapsi_test_tolerate(bool tolerate);
/* Has a rule been broken in this test? */
bool tapsi_test_has_broken(void);
/* What is being done, for the line that is said when the test crashes or has no time left; and what the test's own
   line says at its end. */
void tapsi_test_doing(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tapsi_test_remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define TEST(name)                                                                                                     \
    static void name(void);                                                                                            \
    static struct tapsi_test test_##name = {#name, name, NULL};                                                        \
    __attribute__((constructor)) static void register_##name(void)                                                     \
    {                                                                                                                  \
        tapsi_test_register(&test_##name);                                                                             \
    }                                                                                                                  \
    static void name(void)

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            tapsi_test_fail(__FILE__, __LINE__, "%s", #condition);                                                     \
    } while (0)

#define CHECK_INT(actual, expected)                                                                                    \
    do {                                                                                                               \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                                    \
        if (actual_ != expected_)                                                                                      \
            tapsi_test_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #actual, actual_, expected_);                  \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                                                   \
    do {                                                                                                               \
        const char *actual_ = (actual), *expected_ = (expected);                                                       \
        if (!actual_ || strcmp(actual_, expected_) != 0)                                                               \
            tapsi_test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #actual, actual_ ? actual_ : "(null)",     \
                            expected_);                                                                                \
    } while (0)

/* A check the rest of the test cannot do without: returns from the test. */
#define NEED(condition)                                                                                                \
    if (!(condition)) {                                                                                                \
        tapsi_test_fail(__FILE__, __LINE__, "%s", #condition);                                                         \
        return;                                                                                                        \
    }

#endif
