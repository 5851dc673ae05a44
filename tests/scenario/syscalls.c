#include "syscalls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

static _Thread_local bool on;
static _Thread_local size_t first, length, count;
static _Thread_local int error;
static _Thread_local const char *failed;

void syscalls_begin(size_t nth, size_t row, int err)
{
    on = true;
    first = nth;
    length = row;
    error = err;
    count = 0;
    failed = NULL;
}

size_t syscalls_counted(void)
{
    return count;
}

const char *syscalls_failed(void)
{
    return failed;
}

void syscalls_end(void)
{
    on = false;
}

int syscalls_descriptors(void)
{
    int open = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        abort();
    while (readdir(folder))
        open++;
    closedir(folder);
    return open;
}

static bool fails(const char *name)
{
    if (!on || ++count < first || count >= first + length || !first)
        return false;
    if (!failed)
        failed = name;
    errno = error;
    return true;
}

#define WRAPPED(type, name, parameters, arguments)                                                                     \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return fails(#name) ? -1 : __real_##name arguments;                                                            \
    }

WRAPPED(int, socket, (int family, int type, int protocol), (family, type, protocol))
WRAPPED(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAPPED(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAPPED(int, listen, (int fd, int backlog), (fd, backlog))
WRAPPED(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
WRAPPED(int, shutdown, (int fd, int how), (fd, how))
WRAPPED(ssize_t, send, (int fd, const void *bytes, size_t n, int flags), (fd, bytes, n, flags))
WRAPPED(ssize_t, sendto, (int fd, const void *bytes, size_t n, int flags, const struct sockaddr *a, socklen_t m),
        (fd, bytes, n, flags, a, m))
WRAPPED(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAPPED(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags), (fd, m, n, flags))
WRAPPED(ssize_t, recv, (int fd, void *bytes, size_t n, int flags), (fd, bytes, n, flags))
WRAPPED(ssize_t, recvfrom, (int fd, void *bytes, size_t n, int flags, struct sockaddr *a, socklen_t *m),
        (fd, bytes, n, flags, a, m))
WRAPPED(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAPPED(int, getsockopt, (int fd, int level, int option, void *v, socklen_t *n), (fd, level, option, v, n))
WRAPPED(int, setsockopt, (int fd, int level, int option, const void *v, socklen_t n), (fd, level, option, v, n))
WRAPPED(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
WRAPPED(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
WRAPPED(int, epoll_create1, (int flags), (flags))
WRAPPED(int, epoll_ctl, (int set, int what, int fd, struct epoll_event *e), (set, what, fd, e))
WRAPPED(int, epoll_wait, (int set, struct epoll_event *e, int max, int ms), (set, e, max, ms))
WRAPPED(int, epoll_pwait2, (int set, struct epoll_event *e, int max, const struct timespec *t, const sigset_t *mask),
        (set, e, max, t, mask))
WRAPPED(int, eventfd, (unsigned value, int flags), (value, flags))
WRAPPED(int, timerfd_create, (int clock, int flags), (clock, flags))
WRAPPED(int, timerfd_settime, (int fd, int flags, const struct itimerspec *to, struct itimerspec *from),
        (fd, flags, to, from))
WRAPPED(ssize_t, read, (int fd, void *bytes, size_t n), (fd, bytes, n))
WRAPPED(ssize_t, getrandom, (void *bytes, size_t n, unsigned flags), (bytes, n, flags))

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int result = __real_close(fd);
    return fails("close") ? -1 : result;
}

int __real_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...)
{
    va_list args;
    va_start(args, what);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fails("ioctl") ? -1 : __real_ioctl(fd, what, argument);
}

/* The library opens only to read, so there is no mode. It is the one or the other by the size of off_t. */
int __real_open(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...)
{
    return fails("open") ? -1 : __real_open(path, flags);
}

int __wrap_open64(const char *path, int flags, ...)
{
    return fails("open") ? -1 : __real_open64(path, flags);
}
