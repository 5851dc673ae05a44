/*
 * Readiness: one epoll set for the life of the platform, edge-triggered.
 *
 * A descriptor costs one epoll_ctl in its life: it is added with every event there is, and nothing is taken out, since
 * close does that. So an event may come for a descriptor that nobody watches any more (unwatched and not yet closed, or
 * still open in a forked child), or under a number that belongs to a new socket by now. Therefore the set holds no
 * pointers but (descriptor, generation), and the watch is looked up in `slots`: a stale event finds nobody.
 *
 * The eventfd of `wake` and the timerfd of `arm` are edge-triggered too and never read: every write or expiry is a new
 * edge, and an epoll_wait that reported one has taken it. The eventfd exists from the start, because a wake from
 * another thread must not fail for want of a descriptor. The timerfd serves embedded loops only; in our own loop the
 * deadline goes into the wait, so that a turn is one system call.
 */
#include "platform/linux/linux.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS 1000000000u
#define EVENTS_MAX  128
#define WAKE        UINT64_MAX /* no descriptor is so large: the two that are ours */
#define TIMER       (UINT64_MAX - 1)

static int add(struct tapsi_linux *x, int fd, uint64_t data, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(x->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int change(struct tapsi_linux *x, int fd, uint64_t data, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(x->epoll_fd, EPOLL_CTL_MOD, fd, &event) ? -errno : 0;
}

int tapsi_linux_poll_init(struct tapsi_linux *x)
{
    x->timer_fd = x->wake_fd = -1;
    x->armed = TAPSI_FOREVER;
    atomic_init(&x->woken, false);
    x->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (x->epoll_fd < 0)
        return -errno;
    x->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (x->wake_fd < 0)
        return -errno;
    return add(x, x->wake_fd, WAKE, EPOLLIN | EPOLLET);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void tapsi_linux_poll_done(struct tapsi_linux *x)
{
    close_if_open(x->timer_fd);
    close_if_open(x->wake_fd);
    close_if_open(x->epoll_fd);
    tapsi_free(x->base.mem, x->slots);
}

uint64_t tapsi_linux_now(struct tapsi_platform *p)
{
    (void)p;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * NANOSECONDS + (uint64_t)t.tv_nsec;
    return now ? now : 1;
}

/* ---------------------------------------------------------------------------------------------- watches */

static int make_slot(struct tapsi_linux *x, int fd)
{
    size_t index = (size_t)fd;
    if (index < x->slot_count)
        return 0;
    size_t count = x->slot_count + x->slot_count / 4; /* not doubled: each descriptor is to cost little */
    if (count <= index)
        count = (index + 64) / 64 * 64;
    struct tapsi_slot *slots = tapsi_resize(x->base.mem, x->slots, count * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    memset(slots + x->slot_count, 0, (count - x->slot_count) * sizeof(*slots));
    x->slots = slots;
    x->slot_count = count;
    return 0;
}

static int watch_events(struct tapsi_linux *x, int fd, struct tapsi_watch *watch, uint32_t events)
{
    if (fd < 0)
        return -EBADF;
    int err = make_slot(x, fd);
    if (err)
        return err;
    struct tapsi_slot *slot = &x->slots[fd];
    assert(!slot->watch);

    uint64_t data = (uint64_t)++slot->generation << 32 | (uint32_t)fd;
    err = add(x, fd, data, events);
    if (err == -EEXIST) /* unwatched before, but not closed */
        err = change(x, fd, data, events);
    if (err)
        return err;
    slot->watch = watch;
    watch->fd = fd;
    return 0;
}

int tapsi_linux_watch(struct tapsi_platform *p, int fd, struct tapsi_watch *watch)
{
    return watch_events(tapsi_linux_of(p), fd, watch, EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int tapsi_linux_watch_level(struct tapsi_platform *p, int fd, struct tapsi_watch *watch, unsigned io)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    uint32_t events = io & (TAPSI_IO_IN | TAPSI_IO_OUT);
    if (!tapsi_linux_watched(x, fd) || x->slots[fd].watch != watch)
        return watch_events(x, fd, watch, events);
    return change(x, fd, (uint64_t)x->slots[fd].generation << 32 | (uint32_t)fd, events);
}

bool tapsi_linux_watched(const struct tapsi_linux *x, int fd)
{
    return fd >= 0 && (size_t)fd < x->slot_count && x->slots[fd].watch;
}

void tapsi_linux_unwatch(struct tapsi_platform *p, struct tapsi_watch *watch)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    if (watch->fd < 0)
        return;
    assert(tapsi_linux_watched(x, watch->fd) && x->slots[watch->fd].watch == watch);
    x->slots[watch->fd].watch = NULL;
    watch->fd = -1;
}

/* ------------------------------------------------------------------------------------------------- wait */

_Static_assert((int)TAPSI_IO_IN == (int)EPOLLIN && (int)TAPSI_IO_URGENT == (int)EPOLLPRI &&
                   (int)TAPSI_IO_OUT == (int)EPOLLOUT && (int)TAPSI_IO_ERROR == (int)EPOLLERR &&
                   (int)TAPSI_IO_END == (int)EPOLLHUP,
               "the numbers are epoll's");

static unsigned io_of(uint32_t events)
{
    return (events & 31) | (events & EPOLLRDHUP ? (unsigned)TAPSI_IO_END : 0u);
}

static struct tapsi_watch *watch_of(const struct tapsi_linux *x, uint64_t data)
{
    size_t fd = (uint32_t)data;
    if (fd >= x->slot_count || x->slots[fd].generation != data >> 32)
        return NULL;
    return x->slots[fd].watch;
}

/* How many entries were filled, or -1: nothing but stale events, so the wait goes on. */
static int translate(struct tapsi_linux *x, const struct epoll_event *events, int count, struct tapsi_ready *ready)
{
    int filled = 0;
    bool ours = false;
    for (int i = 0; i < count; i++) {
        uint64_t data = events[i].data.u64;
        struct tapsi_watch *watch = watch_of(x, data);
        if (watch) {
            ready[filled++] = (struct tapsi_ready){watch, io_of(events[i].events)};
        } else if (data == WAKE) {
            /* Whoever saw `woken` still set did so before this line, so what he queued is seen after this wait. */
            atomic_exchange(&x->woken, false);
            tapsi_linux_asides_over(x);
            ours = true;
        } else if (data == TIMER) {
            x->armed = TAPSI_FOREVER;
            ours = true;
        }
    }
    return filled || ours ? filled : -1;
}

/* Nanoseconds to wait, 0 if the deadline is over. */
static uint64_t left(struct tapsi_platform *p, uint64_t deadline)
{
    if (deadline == 0 || deadline == TAPSI_FOREVER)
        return deadline;
    uint64_t now = tapsi_linux_now(p);
    return deadline > now ? deadline - now : 0;
}

/* Without epoll_pwait2 the wait is rounded up to a millisecond: late, but neither early nor a spin. */
static int wait_coarse(struct tapsi_linux *x, struct epoll_event *events, int max, uint64_t nanoseconds)
{
    int timeout = -1;
    if (nanoseconds != TAPSI_FOREVER) {
        uint64_t ms = nanoseconds / 1000000 + (nanoseconds % 1000000 != 0);
        timeout = ms < INT_MAX ? (int)ms : INT_MAX;
    }
    return epoll_wait(x->epoll_fd, events, max, timeout);
}

static int wait_once(struct tapsi_linux *x, struct epoll_event *events, int max, uint64_t nanoseconds)
{
    if (x->coarse || nanoseconds == 0 || nanoseconds == TAPSI_FOREVER)
        return wait_coarse(x, events, max, nanoseconds);
    struct timespec timeout = {
        .tv_sec = (time_t)(nanoseconds / NANOSECONDS),
        .tv_nsec = (long)(nanoseconds % NANOSECONDS),
    };
    int count = epoll_pwait2(x->epoll_fd, events, max, &timeout, NULL);
    if (count < 0 && (errno == ENOSYS || errno == EPERM)) { /* an old kernel, or a sandbox that never heard of it */
        x->coarse = true;
        return wait_coarse(x, events, max, nanoseconds);
    }
    return count;
}

int tapsi_linux_wait(struct tapsi_platform *p, uint64_t deadline, struct tapsi_ready *ready, int max)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    struct epoll_event events[EVENTS_MAX];
    if (max > EVENTS_MAX)
        max = EVENTS_MAX;
    for (;;) {
        uint64_t nanoseconds = left(p, deadline);
        int count = wait_once(x, events, max, nanoseconds);
        if (count < 0 && errno != EINTR)
            return -errno;
        int filled = count > 0 ? translate(x, events, count, ready) : -1;
        if (filled >= 0)
            return filled;
        if (nanoseconds == 0)
            return 0;
        if (count == 0 && !x->coarse)
            return 0; /* a coarse wait is limited in length: the clock decides */
    }
}

/* ------------------------------------------------------------------------------------- embedding, waking */

static int make_timer(struct tapsi_linux *x)
{
    if (x->timer_fd >= 0)
        return 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    int err = add(x, fd, TIMER, EPOLLIN | EPOLLET);
    if (err) {
        close(fd);
        return err;
    }
    x->timer_fd = fd;
    return 0;
}

int tapsi_linux_descriptor(struct tapsi_platform *p)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    int err = make_timer(x);
    return err ? err : x->epoll_fd;
}

int tapsi_linux_arm(struct tapsi_platform *p, uint64_t deadline)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    if (deadline == x->armed)
        return 0;
    int err = make_timer(x);
    if (err)
        return err;
    struct itimerspec when = {{0}, {0}};
    if (deadline != TAPSI_FOREVER) {
        uint64_t at = deadline ? deadline : 1; /* all zero would disarm */
        when.it_value = (struct timespec){(time_t)(at / NANOSECONDS), (long)(at % NANOSECONDS)};
    }
    if (timerfd_settime(x->timer_fd, TFD_TIMER_ABSTIME, &when, NULL))
        return -errno;
    x->armed = deadline;
    return 0;
}

void tapsi_linux_wake(struct tapsi_platform *p)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    if (atomic_exchange(&x->woken, true))
        return;
    int saved = errno; /* a signal handler may wake */
    uint64_t one = 1;
    ssize_t written = write(x->wake_fd, &one, sizeof(one));
    (void)written; /* it fails only at 2^64 - 2 wakes */
    errno = saved;
}
