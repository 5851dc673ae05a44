/*
 * The C library's clocks in virtual time: linked into test programs, so that the libraries the tests use (c-ares,
 * GnuTLS) see the time of the newest simulated world of their thread. Without a world, and for clocks of the
 * processor, the C library's own function answers: it asks the kernel without a system call, which tests count.
 *
 * Sanitizers may call these before anything is set up, hence no instrumentation and nothing but tapsi_sim_clock. The
 * names must be visible although the program is built with hidden visibility: the shared libraries find them by name.
 */
#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "platform/sim/sim.h"

#define SECOND  INT64_C(1000000000)
#define VISIBLE __attribute__((visibility("default"), no_sanitize("address", "undefined")))

typedef int clock_gettime_fn(clockid_t clock, struct timespec *ret);

static __attribute__((no_sanitize("address", "undefined"))) int real_clock_gettime(clockid_t clock,
                                                                                   struct timespec *ret)
{
    static void *next;
    union {
        void *object;
        clock_gettime_fn *function;
    } u = {.object = __atomic_load_n(&next, __ATOMIC_RELAXED)};
    if (!u.object) {
        u.object = dlsym(RTLD_NEXT, "clock_gettime");
        __atomic_store_n(&next, u.object, __ATOMIC_RELAXED);
    }
    return u.object ? u.function(clock, ret) : (int)syscall(SYS_clock_gettime, clock, ret);
}

VISIBLE int clock_gettime(clockid_t clock, struct timespec *ret)
{
    uint64_t monotonic;
    int64_t wall;
    bool of_day = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
    bool steady = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW ||
                  clock == CLOCK_BOOTTIME;
    if ((!of_day && !steady) || !tapsi_sim_clock(&monotonic, &wall))
        return real_clock_gettime(clock, ret);
    int64_t now = of_day ? wall : (int64_t)monotonic;
    ret->tv_sec = now / SECOND;
    ret->tv_nsec = now % SECOND;
    return 0;
}

VISIBLE int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now;
    if (zone)
        *(struct timezone *)zone = (struct timezone){0, 0};
    if (clock_gettime(CLOCK_REALTIME, &now) < 0)
        return -1;
    ret->tv_sec = now.tv_sec;
    ret->tv_usec = now.tv_nsec / 1000;
    return 0;
}

VISIBLE time_t time(time_t *ret)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0)
        return (time_t)-1;
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

VISIBLE int timespec_get(struct timespec *ret, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, ret) == 0 ? base : 0;
}
