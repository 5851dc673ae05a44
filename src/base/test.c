/* The main() of every unit-test program: runs the registered tests and prints TAP. */
#include "base/test.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_LIMIT 60

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* Of the sanitizers; NULL without them. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static struct tapsi_test *first, **tail = &first;
static bool failed, broken;
static const char *skipped;
static char doing[200], remark[200];
static char late[512]; /* what a test that crashes or runs out of time has to say, made before it happens */
static size_t late_length;
static const char *running;
static unsigned running_number;

static const struct tapsi_test_sweep *the_sweep;
static bool sweeping, tolerating;
static const char *which;

void tapsi_test_register(struct tapsi_test *test)
{
    *tail = test;
    tail = &test->next;
}

void tapsi_test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    failed = true;
    broken |= line == 0;
    if (tolerating && !which && line)
        return;
    printf("# %s:%d: ", file, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

const char *tapsi_test_name(void)
{
    return running;
}

bool tapsi_test_failed(void)
{
    return failed;
}

void tapsi_test_skip(const char *reason)
{
    skipped = reason;
}

void tapsi_test_limit(unsigned seconds)
{
    alarm(seconds);
}

bool tapsi_test_sanitized(void)
{
    return SANITIZED;
}

unsigned tapsi_test_rounds(unsigned normal, unsigned sanitized, unsigned thorough)
{
    if (tolerating)
        return 1;
    const char *wish = getenv("TAPS_LONG");
    if (wish && strcmp(wish, "1") == 0)
        return thorough;
    return SANITIZED ? sanitized : normal;
}

unsigned tapsi_test_seed(void)
{
    const char *wish = getenv("TAPS_SEED");
    return wish ? (unsigned)strtoul(wish, NULL, 10) : 0;
}

void tapsi_test_set_sweep(const struct tapsi_test_sweep *sweep)
{
    the_sweep = sweep;
}

bool tapsi_test_sweeping(void)
{
    return sweeping;
}

void tapsi_test_tolerate(bool tolerate)
{
    tolerating = tolerate;
    failed = false;
}

bool tapsi_test_has_broken(void)
{
    return broken;
}

static void prepare_late_words(void)
{
    int length = snprintf(late, sizeof(late), "%s%s\nnot ok %u - %.200s\n", doing[0] ? " in " : "", doing,
                          running_number, running);
    late_length = length > 0 ? (size_t)length : 0;
}

void tapsi_test_doing(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(doing, sizeof(doing), format, args);
    va_end(args);
    prepare_late_words();
}

void tapsi_test_remark(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(remark, sizeof(remark), format, args);
    va_end(args);
}

static void say_late_words(const char *what, size_t length)
{
    ssize_t written = write(STDOUT_FILENO, what, length);
    written = write(STDOUT_FILENO, late, late_length);
    (void)written;
}

static void out_of_time(int signal_number)
{
    (void)signal_number;
    say_late_words("# out of time", 13);
    _exit(1);
}

static void died(void)
{
    if (running)
        say_late_words("# crashed", 9);
}

/* The handler is of one use: the signal comes again and does what it does. */
static void crashed(int signal_number)
{
    (void)signal_number;
    died();
}

static void run(struct tapsi_test *test, unsigned number)
{
    failed = broken = false;
    skipped = NULL;
    doing[0] = remark[0] = '\0';
    running = test->name;
    running_number = number;
    prepare_late_words();

    alarm(DEFAULT_LIMIT);
    if (sweeping)
        the_sweep->run(test, which);
    else
        test->run();
    alarm(0);
    running = NULL;

    failed |= broken;
    if (failed) {
        printf("not ok %u - %s%s\n", number, test->name, remark);
    } else if (skipped) {
        printf("ok %u - %s # SKIP %s\n", number, test->name, skipped);
    } else {
        printf("ok %u - %s%s\n", number, test->name, remark);
    }
}

static struct tapsi_test *find(const char *name)
{
    struct tapsi_test *test = first;
    while (test && strcmp(test->name, name) != 0)
        test = test->next;
    return test;
}

static unsigned run_all(void)
{
    unsigned number = 0, failures = 0;
    for (struct tapsi_test *test = first; test; test = test->next)
        number++;
    printf("1..%u\n", number);
    number = 0;
    for (struct tapsi_test *test = first; test; test = test->next) {
        run(test, ++number);
        failures += failed;
    }
    return failures;
}

static unsigned run_named(int count, char **names)
{
    unsigned failures = 0;
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        run(find(names[i]), (unsigned)i + 1);
        failures += failed;
    }
    return failures;
}

static void set_handlers(void)
{
    struct sigaction late_action = {.sa_handler = out_of_time};
    struct sigaction crash_action = {.sa_handler = crashed, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGALRM, &late_action, NULL);
    sigaction(SIGABRT, &crash_action, NULL);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(died);
    else
        sigaction(SIGSEGV, &crash_action, NULL);
}

/* --sweep or --sweep=WHICH: false if it is neither, or there is no sweep in this program. */
static bool ask_for_sweep(const char *argument)
{
    if (!the_sweep || strncmp(argument, "--sweep", 7) != 0 || (argument[7] && argument[7] != '='))
        return false;
    sweeping = true;
    which = argument[7] ? argument + 8 : NULL;
    return true;
}

int main(int argc, char **argv)
{
    /* Lines must be out before a crash, and must not be in a forked child's buffer. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (struct tapsi_test *test = first; test; test = test->next)
            puts(test->name);
        return 0;
    }
    int names = argc > 1 && ask_for_sweep(argv[1]) ? 2 : 1;
    for (int i = names; i < argc; i++) {
        if (!find(argv[i])) {
            fprintf(stderr, "%s: no test is named %s (--list shows them)\n", argv[0], argv[i]);
            return 2;
        }
    }
    set_handlers();
    unsigned failures = argc > names ? run_named(argc - names, argv + names) : run_all();
    return failures ? 1 : 0;
}
