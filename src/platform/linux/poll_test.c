#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/test.h"
#include "platform/linux/sandbox_test.h"
#include "platform/platform.h"

#define MS 1000000u

static bool refuse;

static void *maybe(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return refuse ? NULL : realloc(block, size);
}

static struct tapsi_mem mem;

static struct tapsi_platform *setup(void)
{
    struct tapsi_platform *p = NULL;
    refuse = false;
    tapsi_mem_init(&mem, &(struct taps_allocator){.resize = maybe});
    CHECK_INT(tapsi_platform_linux_new(&mem, &p), 0);
    return p;
}

static struct tapsi_watch unwatched(void)
{
    return (struct tapsi_watch){.fd = -1};
}

struct pair {
    int here, there;
};

static struct pair make_pair(void)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds)) {
        tapsi_test_fail(__FILE__, __LINE__, "no socket pair: %s", strerror(errno));
        return (struct pair){-1, -1};
    }
    return (struct pair){fds[0], fds[1]};
}

static void put_byte(int fd)
{
    CHECK_INT(write(fd, "x", 1), 1);
}

static void get_byte(int fd)
{
    char byte;
    CHECK_INT(read(fd, &byte, 1), 1);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, timeout_ms) == 1 && (poll_fd.revents & POLLIN);
}

TEST(the_clock_never_goes_back)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    uint64_t last = 1;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = p->ops->now(p);
        CHECK(now >= last);
        last = now;
    }
    p->ops->destroy(p);
}

TEST(an_event_is_told_once)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair pair = make_pair();
    struct tapsi_watch watch = unwatched();
    struct tapsi_ready ready[8];
    CHECK_INT(p->ops->watch(p, pair.here, &watch), 0);
    CHECK_INT(watch.fd, pair.here);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    CHECK(ready[0].watch == &watch);
    CHECK_INT(ready[0].io, TAPSI_IO_OUT);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 0);
    put_byte(pair.there);
    CHECK_INT(p->ops->wait(p, TAPSI_FOREVER, ready, 8), 1);
    CHECK(ready[0].io & TAPSI_IO_IN);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 0);
    put_byte(pair.there);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    p->ops->unwatch(p, &watch);
    CHECK_INT(watch.fd, -1);
    p->ops->unwatch(p, &watch);
    close(pair.here);
    close(pair.there);
    p->ops->destroy(p);
}

TEST(the_peers_end_is_told)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair half = make_pair(), whole = make_pair();
    struct tapsi_watch a = unwatched(), b = unwatched();
    struct tapsi_ready ready[8];
    CHECK_INT(p->ops->watch(p, half.here, &a), 0);
    CHECK_INT(p->ops->watch(p, whole.here, &b), 0);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 2);
    CHECK_INT(shutdown(half.there, SHUT_WR), 0);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    CHECK(ready[0].watch == &a && (ready[0].io & TAPSI_IO_END) && (ready[0].io & TAPSI_IO_IN));
    close(whole.there);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    CHECK(ready[0].watch == &b && (ready[0].io & TAPSI_IO_END));
    p->ops->unwatch(p, &a);
    p->ops->unwatch(p, &b);
    close(half.here);
    close(half.there);
    close(whole.here);
    p->ops->destroy(p);
}

TEST(a_refused_datagram_is_an_error_event)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    union tapsi_addr closed;
    struct tapsi_ready ready[8];
    struct tapsi_watch watch = unwatched();
    CHECK_INT(tapsi_addr_parse("127.0.0.1", &closed), 0);
    int gone = p->ops->socket(p, AF_INET, SOCK_DGRAM, 0), fd = p->ops->socket(p, AF_INET, SOCK_DGRAM, 0);
    CHECK_INT(p->ops->bind(p, gone, &closed), 0);
    CHECK_INT(p->ops->getsockname(p, gone, &closed), 0);
    p->ops->close(p, gone);
    CHECK_INT(p->ops->connect(p, fd, &closed), 0);
    CHECK_INT(p->ops->watch(p, fd, &watch), 0);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    CHECK_INT(p->ops->send(p, fd, "x", 1, 0), 1);
    CHECK_INT(p->ops->wait(p, TAPSI_FOREVER, ready, 8), 1);
    CHECK(ready[0].io & TAPSI_IO_ERROR);
    p->ops->unwatch(p, &watch);
    p->ops->close(p, fd);
    p->ops->destroy(p);
}

TEST(a_deadline_is_never_early)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct tapsi_ready ready[1];
    for (unsigned i = 0; i < 20; i++) {
        uint64_t deadline = p->ops->now(p) + i * MS / 7;
        CHECK_INT(p->ops->wait(p, deadline, ready, 1), 0);
        CHECK(p->ops->now(p) >= deadline);
    }
    CHECK_INT(p->ops->wait(p, 0, ready, 1), 0);
    CHECK_INT(p->ops->wait(p, 1, ready, 1), 0);
    p->ops->destroy(p);
}

static void nothing(int number)
{
    (void)number;
}

TEST(a_signal_does_not_end_a_wait)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct tapsi_ready ready[1];
    struct sigaction action = {.sa_handler = nothing}, old;
    CHECK_INT(sigaction(SIGUSR1, &action, &old), 0);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec every = {{0, 2 * MS}, {0, 2 * MS}};
    NEED(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK_INT(timer_settime(timer, 0, &every, NULL), 0);
    uint64_t deadline = p->ops->now(p) + 20 * MS;
    CHECK_INT(p->ops->wait(p, deadline, ready, 1), 0);
    CHECK(p->ops->now(p) >= deadline);
    timer_delete(timer);
    sigaction(SIGUSR1, &old, NULL);
    p->ops->destroy(p);
}

TEST(an_unwatched_descriptor_is_silent)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair pair = make_pair();
    struct tapsi_watch watch = unwatched();
    struct tapsi_ready ready[8];
    CHECK_INT(p->ops->watch(p, pair.here, &watch), 0);
    put_byte(pair.there);
    p->ops->unwatch(p, &watch);
    CHECK_INT(p->ops->wait(p, p->ops->now(p) + 5 * MS, ready, 8), 0);
    put_byte(pair.there);
    uint64_t deadline = p->ops->now(p) + 5 * MS;
    CHECK_INT(p->ops->wait(p, deadline, ready, 8), 0);
    CHECK(p->ops->now(p) >= deadline);
    close(pair.here);
    close(pair.there);
    p->ops->destroy(p);
}

TEST(a_descriptor_can_be_watched_again)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair pair = make_pair();
    struct tapsi_watch first = unwatched(), second = unwatched();
    struct tapsi_ready ready[8];
    CHECK_INT(p->ops->watch(p, pair.here, &first), 0);
    p->ops->unwatch(p, &first);
    put_byte(pair.there);
    CHECK_INT(p->ops->watch(p, pair.here, &second), 0);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    CHECK(ready[0].watch == &second && (ready[0].io & TAPSI_IO_IN));
    p->ops->unwatch(p, &second);
    close(pair.here);
    close(pair.there);
    p->ops->destroy(p);
}

/* A forked child (here: a duplicate) keeps the old socket alive and in the set, while its number is another's. */
TEST(events_of_an_old_socket_do_not_reach_the_new_owner_of_its_number)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair old = make_pair(), fresh = make_pair();
    struct tapsi_watch a = unwatched(), b = unwatched();
    struct tapsi_ready ready[8];
    CHECK_INT(p->ops->watch(p, old.here, &a), 0);
    int kept = dup(old.here);
    p->ops->unwatch(p, &a);
    p->ops->close(p, old.here);
    CHECK_INT(dup2(fresh.here, old.here), old.here);
    CHECK_INT(p->ops->watch(p, old.here, &b), 0);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    CHECK(ready[0].watch == &b);
    put_byte(old.there);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 0);
    put_byte(fresh.there);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    CHECK(ready[0].watch == &b && (ready[0].io & TAPSI_IO_IN));
    p->ops->unwatch(p, &b);
    close(kept);
    close(old.here);
    close(old.there);
    close(fresh.here);
    close(fresh.there);
    p->ops->destroy(p);
}

TEST(what_cannot_be_watched_is_refused)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair pair = make_pair();
    struct tapsi_watch watch = unwatched();
    CHECK_INT(p->ops->watch(p, -1, &watch), -EBADF);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK_INT(p->ops->watch(p, file, &watch), -EPERM);
    close(file);
    CHECK_INT(p->ops->watch(p, file, &watch), -EBADF);
    CHECK_INT(watch.fd, -1);
    p->ops->destroy(p);

    p = setup();
    NEED(p);
    refuse = true;
    CHECK_INT(p->ops->watch(p, pair.here, &watch), -ENOMEM);
    CHECK_INT(watch.fd, -1);
    refuse = false;
    CHECK_INT(p->ops->watch(p, pair.here, &watch), 0);
    p->ops->unwatch(p, &watch);
    close(pair.here);
    close(pair.there);
    p->ops->destroy(p);
}

TEST(a_small_array_gets_the_rest_next_time)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair pairs[5];
    struct tapsi_watch watches[5];
    struct tapsi_ready ready[2];
    int seen[5] = {0}, waits = 0, count;
    for (int i = 0; i < 5; i++) {
        pairs[i] = make_pair();
        watches[i] = unwatched();
        CHECK_INT(p->ops->watch(p, pairs[i].here, &watches[i]), 0);
    }
    while ((count = p->ops->wait(p, 0, ready, 2)) > 0 && ++waits < 10) {
        for (int i = 0; i < count; i++)
            seen[ready[i].watch - watches]++;
    }
    for (int i = 0; i < 5; i++) {
        CHECK_INT(seen[i], 1);
        p->ops->unwatch(p, &watches[i]);
        close(pairs[i].here);
        close(pairs[i].there);
    }
    CHECK_INT(waits, 3);
    p->ops->destroy(p);
}

/* ---------------------------------------------------------------------------------------------- wake */

static void *wake_it(void *argument)
{
    struct tapsi_platform *p = argument;
    p->ops->wake(p);
    return NULL;
}

TEST(another_thread_ends_a_wait)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct tapsi_ready ready[1];
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        NEED(pthread_create(&thread, NULL, wake_it, p) == 0);
        CHECK_INT(p->ops->wait(p, TAPSI_FOREVER, ready, 1), 0);
        pthread_join(thread, NULL);
    }
    p->ops->destroy(p);
}

struct traffic {
    struct tapsi_platform *p;
    atomic_int posted;
};

#define POSTS 20000

static void *post_all(void *argument)
{
    struct traffic *t = argument;
    for (int i = 0; i < POSTS; i++) {
        atomic_fetch_add(&t->posted, 1);
        t->p->ops->wake(t->p);
    }
    return NULL;
}

/* If a wake were lost between two waits, the loop would sleep with work posted, and the test would hang. */
TEST(no_wake_is_lost)
{
    struct traffic t = {.p = setup()};
    NEED(t.p);
    struct tapsi_ready ready[1];
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, post_all, &t) == 0);
    while (atomic_load(&t.posted) < POSTS)
        CHECK_INT(t.p->ops->wait(t.p, TAPSI_FOREVER, ready, 1), 0);
    pthread_join(thread, NULL);
    t.p->ops->destroy(t.p);
}

TEST(wakes_before_a_wait_end_that_one_only)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct tapsi_ready ready[1];
    for (int i = 0; i < 3; i++)
        p->ops->wake(p);
    CHECK_INT(p->ops->wait(p, TAPSI_FOREVER, ready, 1), 0);
    uint64_t deadline = p->ops->now(p) + 5 * MS;
    CHECK_INT(p->ops->wait(p, deadline, ready, 1), 0);
    CHECK(p->ops->now(p) >= deadline);
    p->ops->wake(p);
    CHECK_INT(p->ops->wait(p, TAPSI_FOREVER, ready, 1), 0);
    p->ops->destroy(p);
}

/* --------------------------------------------------------------------------------------- embedding */

TEST(the_descriptor_is_readable_when_a_wait_would_return)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair pair = make_pair();
    struct tapsi_watch watch = unwatched();
    struct tapsi_ready ready[8];
    int fd = p->ops->descriptor(p);
    CHECK(fd >= 0);
    CHECK_INT(p->ops->descriptor(p), fd);
    CHECK(!readable(fd, 0));
    CHECK_INT(p->ops->watch(p, pair.here, &watch), 0);
    CHECK(readable(fd, 0));
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    CHECK(!readable(fd, 0));
    put_byte(pair.there);
    CHECK(readable(fd, 0));
    get_byte(pair.here);
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 1);
    p->ops->wake(p);
    CHECK(readable(fd, 0));
    CHECK_INT(p->ops->wait(p, 0, ready, 8), 0);
    CHECK(!readable(fd, 0));
    p->ops->unwatch(p, &watch);
    close(pair.here);
    close(pair.there);
    p->ops->destroy(p);
}

TEST(the_descriptor_is_readable_at_the_armed_time)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct tapsi_ready ready[1];
    int fd = p->ops->descriptor(p);
    uint64_t deadline = p->ops->now(p) + 10 * MS;
    CHECK_INT(p->ops->arm(p, deadline), 0);
    CHECK(readable(fd, 10000));
    CHECK(p->ops->now(p) >= deadline);
    CHECK(readable(fd, 0));
    CHECK_INT(p->ops->wait(p, 0, ready, 1), 0);
    CHECK(!readable(fd, 0));
    for (int i = 0; i < 3; i++) {
        CHECK_INT(p->ops->arm(p, i == 1 ? p->ops->now(p) : 0), 0);
        CHECK(readable(fd, 10000));
        CHECK_INT(p->ops->wait(p, 0, ready, 1), 0);
        CHECK(!readable(fd, 0));
    }
    p->ops->destroy(p);
}

TEST(an_armed_time_can_be_moved_and_taken_back)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    int fd = p->ops->descriptor(p);
    CHECK_INT(p->ops->arm(p, 0), 0);
    CHECK_INT(p->ops->arm(p, TAPSI_FOREVER), 0);
    CHECK(!readable(fd, 0));
    CHECK_INT(p->ops->arm(p, p->ops->now(p) + 3600u * 1000u * MS), 0);
    CHECK(!readable(fd, 0));
    CHECK_INT(p->ops->arm(p, p->ops->now(p) + MS), 0);
    CHECK(readable(fd, 10000));
    CHECK_INT(p->ops->arm(p, TAPSI_FOREVER - 1), 0);
    CHECK(!readable(fd, 0));
    p->ops->destroy(p);
}

/* ------------------------------------------------------------------------------------------- cost */

/* The child marks begin and end of what is counted with getppid. */
static void child_waits(struct tapsi_platform *p, struct pair pair, struct tapsi_watch *watch, int rounds)
{
    struct tapsi_ready ready[8];
    if (p->ops->watch(p, pair.here, watch) || p->ops->wait(p, 0, ready, 8) != 1)
        _exit(3);
    if (ptrace(PTRACE_TRACEME, 0, 0, 0))
        _exit(77);
    raise(SIGSTOP);
    syscall(SYS_getppid);
    for (int i = 0; i < rounds; i++) {
        put_byte(pair.there);
        p->ops->wait(p, p->ops->now(p) + 1000u * MS, ready, 8);
    }
    p->ops->unwatch(p, watch);
    syscall(SYS_getppid);
    _exit(0);
}

/* How many system calls the child makes between its marks, or -1. */
static int count_calls(pid_t child)
{
    int status, marks = 0, calls = 0;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        return -1;
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    while (ptrace(PTRACE_SYSCALL, child, 0, 0) == 0 && waitpid(child, &status, 0) == child && !WIFEXITED(status)) {
        struct __ptrace_syscall_info info = {0};
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
            continue;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) <= 0)
            return -1;
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
            continue;
        if (info.entry.nr == SYS_getppid) {
            marks++;
        } else if (marks == 1) {
            calls++;
        }
    }
    return marks == 2 ? calls : -1;
}

TEST(a_turn_costs_one_system_call)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct pair pair = make_pair();
    struct tapsi_watch watch = unwatched();
    pid_t child = fork();
    if (child == 0)
        child_waits(p, pair, &watch, 10);
    int calls = count_calls(child);
    if (calls < 0) {
        tapsi_test_skip("system calls cannot be traced here");
    } else {
        CHECK_INT(calls, 20); /* ten writes and ten waits */
    }
    close(pair.here);
    close(pair.there);
    p->ops->destroy(p);
}

/* The last test: it takes epoll_pwait2 away for good. */
TEST(an_old_kernel_waits_in_whole_milliseconds)
{
    if (!sandbox(SYS_epoll_pwait2, -1, ENOSYS)) {
        tapsi_test_skip("no seccomp here");
        return;
    }
    struct tapsi_platform *p = setup();
    NEED(p);
    struct tapsi_ready ready[1];
    for (unsigned i = 0; i < 10; i++) {
        uint64_t deadline = p->ops->now(p) + i * MS / 3;
        CHECK_INT(p->ops->wait(p, deadline, ready, 1), 0);
        CHECK(p->ops->now(p) >= deadline);
    }
    p->ops->wake(p);
    CHECK_INT(p->ops->wait(p, p->ops->now(p) + 40ull * 24 * 3600 * 1000 * MS, ready, 1), 0);
    p->ops->destroy(p);
}
