#include "support.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

/* Not over stdio: a target may have turned that away. */
static void say(const char *text, size_t length)
{
    ssize_t written = write(STDERR_FILENO, text, length);
    (void)written;
}

void tapsi_test_fail(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list args;
    int length = snprintf(text, sizeof(text), "# %s:%d: ", file, line);
    va_start(args, format);
    length += vsnprintf(text + length, sizeof(text) - (size_t)length, format, args);
    va_end(args);
    if (length > (int)sizeof(text) - 2)
        length = sizeof(text) - 2;
    text[length++] = '\n';
    say(text, (size_t)length);
    abort();
}

bool tapsi_test_failed(void)
{
    return false;
}

static void out_of_time(int signal_number)
{
    static const char text[] = "# this input does not come to an end\n";
    (void)signal_number;
    say(text, sizeof(text) - 1);
    abort();
}

/* The processor's time: the C library's clocks may be the simulator's, and the machine may be busy with others. */
void fuzz_begin(void)
{
    static bool installed;
    struct itimerval timer = {.it_value.tv_sec = FUZZ_SECONDS_MAX};
    if (!installed) {
        struct sigaction action = {.sa_handler = out_of_time};
        sigaction(SIGPROF, &action, NULL);
        installed = true;
    }
    setitimer(ITIMER_PROF, &timer, NULL);
}

static void *resize(void *user, void *block, size_t size)
{
    struct fuzz_memory *m = user;
    if (size == 0) {
        m->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (++m->allocations == m->fail_at)
        return NULL;
    void *grown = realloc(block, size);
    m->blocks += !block && grown;
    return grown;
}

void fuzz_memory_init(struct fuzz_memory *m, size_t fail_at)
{
    *m = (struct fuzz_memory){.allocator = {resize, m}, .fail_at = fail_at};
}
