/*
 * The memory of the libraries below us. GnuTLS, c-ares and what they stand on ask malloc, not our allocator; here the
 * n-th block that they ask for is refused, for n = 1, 2, 3 ..., under a secure exchange and under one by name. Such a
 * run ends as all others do: each Connection once, and nothing of ours is left.
 *
 * malloc is ours in this program and looks who calls. Two are not refused: GMP, which ends the process when it gets
 * nothing, and libtasn1, which reads certificates for GnuTLS and crashes (4.19).
 * Each run is a child's: where a foreign library crashes by itself, that is counted and told, and is not our failure.
 * A crash in our own code is. Sanitizers have a malloc of their own, so there is nothing of this with them.
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "trial.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#ifndef OWN_MALLOC
#define OWN_MALLOC 1
#endif

#define HELLO        "hello"
#define HELLO_LENGTH (sizeof(HELLO) - 1)
#define CRASHED      77 /* what a child says whose crash was a foreign library's */

/* ------------------------------------------------------------------------------------------------ who calls */

struct range {
    uintptr_t from, to;
};

static struct range ranges[64];
static unsigned range_count;
static size_t counted, refused_at;

static bool is_foreign_name(const char *path)
{
    static const char *const names[] = {"libgnutls", "libcares", "libp11-kit", "libnettle", "libhogweed"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strstr(path, names[i]))
            return true;
    }
    return false;
}

static int note_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; is_foreign_name(info->dlpi_name) && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || range_count == sizeof(ranges) / sizeof(ranges[0]))
            continue;
        uintptr_t from = info->dlpi_addr + part->p_vaddr;
        ranges[range_count++] = (struct range){from, from + part->p_memsz};
    }
    return 0;
}

static bool is_foreign(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    for (unsigned i = 0; i < range_count; i++) {
        if (at >= ranges[i].from && at < ranges[i].to)
            return true;
    }
    return false;
}

#if OWN_MALLOC

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

/* The libraries find these only if they can be seen. */
#define VISIBLE __attribute__((visibility("default")))
VISIBLE void *malloc(size_t size);
VISIBLE void *calloc(size_t count, size_t size);
VISIBLE void *realloc(void *block, size_t size);

static bool refused(const void *caller)
{
    return refused_at && is_foreign(caller) && ++counted == refused_at;
}

void *malloc(size_t size)
{
    return refused(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return refused(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return refused(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

#endif

/* ------------------------------------------------------------------------------------------------- scenarios */

static void exchange(struct trial *t, struct party *p)
{
    trial_receive(p, 1, 65536);
    trial_send(p, HELLO, HELLO_LENGTH, NULL, 0);
    trial_run_until_bytes(t, HELLO_LENGTH, SECONDS(20));
    taps_connection_close(p->connection);
    trial_run_until_over(t, SECONDS(100));
    t->passed = p->ready && p->bytes == HELLO_LENGTH && p->finals;
    trial_end_all(t);
}

static void secure(struct trial *t)
{
    struct party *p;
    trial_secure(t);
    bool listens = trial_start_server(t, ":80");
    if (trial_start_client(t) && (p = trial_initiate(t, V4)))
        exchange(t, p);
    if (listens) {
        CHECK_INT(taps_listener_stop(t->listener), 0);
        trial_run(t, SECONDS(1));
        CHECK_INT(t->listener_over, 1);
    }
}

static void by_name(struct trial *t)
{
    struct party *p;
    tapsi_sim_serve(t->server, 80, TAPSI_SIM_ECHO);
    if (trial_start_client(t) && (p = trial_initiate(t, NAME)))
        exchange(t, p);
}

/* `nth` SIZE_MAX: counts only. */
static bool run(void (*scenario)(struct trial *t), size_t nth)
{
    struct trial t;
    trial_begin(&t);
    counted = 0;
    refused_at = nth;
    scenario(&t);
    bool passed = t.passed;
    trial_finish(&t);
    refused_at = 0;
    return passed;
}

/* -------------------------------------------------------------------------------------------------- children */

/* Whose code is the innermost that is neither the C library's nor the handler's? */
static void crashed(int number)
{
    void *frames[64];
    refused_at = 0;
    int count = backtrace(frames, 64);
    for (int i = 2; i < count; i++) {
        Dl_info info;
        bool known = dladdr(frames[i], &info) && info.dli_fname;
        if (is_foreign(frames[i])) {
            dprintf(STDOUT_FILENO, "# signal %d in %s (%s)\n", number, known ? info.dli_fname : "?",
                    known && info.dli_sname ? info.dli_sname : "no name");
            _exit(CRASHED);
        }
        if (known && !strstr(info.dli_fname, "libc.so"))
            break;
    }
    signal(number, SIG_DFL);
    raise(number);
}

static int run_child(void (*scenario)(struct trial *t), size_t nth)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, crashed);
        signal(SIGABRT, crashed);
        alarm(20);
        run(scenario, nth);
        _exit(tapsi_test_failed() ? 1 : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void refuse_each(void (*scenario)(struct trial *t))
{
    void *warm[4];
    size_t runs = 0, crashes = 0;
    if (!OWN_MALLOC) {
        tapsi_test_skip("the sanitizer has a malloc of its own");
        return;
    }
    tapsi_test_limit(900);
    if (!range_count)
        dl_iterate_phdr(note_object, NULL);
    backtrace(warm, 4);             /* loads what it needs */
    CHECK(run(scenario, SIZE_MAX)); /* the first run makes what lasts as long as the process */
    CHECK(run(scenario, SIZE_MAX));
    size_t all = counted, most = tapsi_test_rounds(2000, 1, 100000);
    size_t step = all > most ? (all + most - 1) / most : 1;
    CHECK(all > 5);
    for (size_t n = 1; n <= all && !tapsi_test_failed(); n += step, runs++) {
        int result = run_child(scenario, n);
        crashes += result == CRASHED;
        if (result == CRASHED)
            printf("# block %zu: a crash inside a foreign library\n", n);
        else if (result != 0)
            tapsi_test_fail(__FILE__, __LINE__, "block %zu of %zu: the child ended with %d", n, all, result);
    }
    tapsi_test_remark(": %zu of %zu blocks refused, %zu crashes in foreign libraries", runs, all, crashes);
}

TEST(without_memory_for_tls)
{
    refuse_each(secure);
}

TEST(without_memory_for_names)
{
    refuse_each(by_name);
}
