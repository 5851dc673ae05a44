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

static struct tapsi_test *first, **tail = &first;
static const char *running;
static bool failed;
static const char *skipped;
static char late[256]; /* what a test that ran out of time has to say, made before it starts */
static size_t late_length;

void tapsi_test_register(struct tapsi_test *test)
{
    *tail = test;
    tail = &test->next;
}

void tapsi_test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    failed = true;
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

static void out_of_time(int signal_number)
{
    (void)signal_number;
    ssize_t written = write(STDOUT_FILENO, late, late_length);
    (void)written;
    _exit(1);
}

static void run(struct tapsi_test *test, unsigned number)
{
    failed = false;
    skipped = NULL;
    int length = snprintf(late, sizeof(late), "# out of time\nnot ok %u - %.200s\n", number, test->name);
    late_length = length > 0 ? (size_t)length : 0;

    alarm(DEFAULT_LIMIT);
    running = test->name;
    test->run();
    running = NULL;
    alarm(0);

    if (failed) {
        printf("not ok %u - %s\n", number, test->name);
    } else if (skipped) {
        printf("ok %u - %s # SKIP %s\n", number, test->name, skipped);
    } else {
        printf("ok %u - %s\n", number, test->name);
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

int main(int argc, char **argv)
{
    /* Lines must be out before a crash, and must not be in a forked child's buffer. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (struct tapsi_test *test = first; test; test = test->next)
            puts(test->name);
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        if (!find(argv[i])) {
            fprintf(stderr, "%s: no test is named %s (--list shows them)\n", argv[0], argv[i]);
            return 2;
        }
    }
    struct sigaction action = {.sa_handler = out_of_time};
    sigaction(SIGALRM, &action, NULL);
    unsigned failures = argc > 1 ? run_named(argc - 1, argv + 1) : run_all();
    return failures ? 1 : 0;
}
