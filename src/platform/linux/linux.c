/* The kernel's port: the table, and the thin wrappers of socket calls. */
#include "platform/linux/linux.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static void destroy(struct tapsi_platform *p)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    tapsi_linux_asides_done(x);
    tapsi_linux_network_done(x);
    tapsi_linux_poll_done(x);
    tapsi_free(p->mem, x);
}

static int fill_random(struct tapsi_platform *p, void *bytes, size_t count)
{
    (void)p;
    uint8_t *at = bytes;
    while (count > 0) {
        ssize_t got = getrandom(at, count, 0);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0) {
            at += got;
            count -= (size_t)got;
        }
    }
    return 0;
}

static uint64_t wall(struct tapsi_platform *p)
{
    struct timespec t;
    (void)p;
    return clock_gettime(CLOCK_REALTIME, &t) == 0 && t.tv_sec > 0 ? (uint64_t)t.tv_sec : 0;
}

static int result(long returned)
{
    return returned < 0 ? -errno : (int)returned;
}

static ssize_t count_or_error(ssize_t returned)
{
    return returned < 0 ? -errno : returned;
}

static int make_socket(struct tapsi_platform *p, int family, int type, int protocol)
{
    (void)p;
    return result(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

static int close_socket(struct tapsi_platform *p, int fd)
{
    (void)p;
    assert(!tapsi_linux_watched(tapsi_linux_of(p), fd));
    /* On Linux the descriptor is gone whatever close says; a second try could hit somebody else's. */
    return close(fd) && errno == EBADF ? -EBADF : 0;
}

static int bind_socket(struct tapsi_platform *p, int fd, const union tapsi_addr *address)
{
    (void)p;
    return result(bind(fd, &address->sa, tapsi_addr_length(address)));
}

static int connect_socket(struct tapsi_platform *p, int fd, const union tapsi_addr *address)
{
    (void)p;
    return result(connect(fd, &address->sa, tapsi_addr_length(address)));
}

static int listen_socket(struct tapsi_platform *p, int fd, int backlog)
{
    (void)p;
    return result(listen(fd, backlog));
}

static int accept_socket(struct tapsi_platform *p, int fd, union tapsi_addr *ret_peer)
{
    (void)p;
    union tapsi_addr peer;
    socklen_t length = sizeof(peer);
    int accepted = accept4(fd, &peer.sa, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0)
        return -errno;
    if (ret_peer)
        *ret_peer = peer;
    return accepted;
}

static int shutdown_socket(struct tapsi_platform *p, int fd, int how)
{
    (void)p;
    return result(shutdown(fd, how));
}

static ssize_t send_bytes(struct tapsi_platform *p, int fd, const void *bytes, size_t count, int flags)
{
    (void)p;
    return count_or_error(send(fd, bytes, count, flags | MSG_NOSIGNAL));
}

static ssize_t send_to(struct tapsi_platform *p, int fd, const void *bytes, size_t count, const union tapsi_addr *to)
{
    (void)p;
    return count_or_error(sendto(fd, bytes, count, MSG_NOSIGNAL, &to->sa, tapsi_addr_length(to)));
}

static ssize_t receive_from(struct tapsi_platform *p, int fd, void *bytes, size_t count, union tapsi_addr *ret_from)
{
    (void)p;
    socklen_t length = sizeof(*ret_from);
    return count_or_error(recvfrom(fd, bytes, count, 0, &ret_from->sa, &length));
}

static ssize_t send_message(struct tapsi_platform *p, int fd, const struct msghdr *message, int flags)
{
    (void)p;
    return count_or_error(sendmsg(fd, message, flags | MSG_NOSIGNAL));
}

static int send_messages(struct tapsi_platform *p, int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    (void)p;
    return result(sendmmsg(fd, messages, count, flags | MSG_NOSIGNAL));
}

static ssize_t receive_bytes(struct tapsi_platform *p, int fd, void *bytes, size_t count, int flags)
{
    (void)p;
    return count_or_error(recv(fd, bytes, count, flags));
}

static ssize_t receive_message(struct tapsi_platform *p, int fd, struct msghdr *message, int flags)
{
    (void)p;
    return count_or_error(recvmsg(fd, message, flags));
}

static int get_option(struct tapsi_platform *p, int fd, int level, int option, void *value, socklen_t *length)
{
    (void)p;
    return result(getsockopt(fd, level, option, value, length));
}

static int set_option(struct tapsi_platform *p, int fd, int level, int option, const void *value, socklen_t length)
{
    (void)p;
    return result(setsockopt(fd, level, option, value, length));
}

static int own_name(struct tapsi_platform *p, int fd, union tapsi_addr *ret)
{
    (void)p;
    union tapsi_addr name;
    socklen_t length = sizeof(name);
    if (getsockname(fd, &name.sa, &length))
        return -errno;
    *ret = name;
    return 0;
}

static int peer_name(struct tapsi_platform *p, int fd, union tapsi_addr *ret)
{
    (void)p;
    union tapsi_addr name;
    socklen_t length = sizeof(name);
    if (getpeername(fd, &name.sa, &length))
        return -errno;
    *ret = name;
    return 0;
}

static int unacknowledged(struct tapsi_platform *p, int fd)
{
    (void)p;
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) ? -errno : bytes;
}

static const struct tapsi_platform_ops ops = {
    .name = "linux",
    .destroy = destroy,
    .now = tapsi_linux_now,
    .random = fill_random,
    .wall = wall,
    .watch = tapsi_linux_watch,
    .unwatch = tapsi_linux_unwatch,
    .watch_level = tapsi_linux_watch_level,
    .wait = tapsi_linux_wait,
    .descriptor = tapsi_linux_descriptor,
    .arm = tapsi_linux_arm,
    .wake = tapsi_linux_wake,
    .socket = make_socket,
    .close = close_socket,
    .bind = bind_socket,
    .connect = connect_socket,
    .listen = listen_socket,
    .accept = accept_socket,
    .shutdown = shutdown_socket,
    .send = send_bytes,
    .sendto = send_to,
    .recvfrom = receive_from,
    .sendmsg = send_message,
    .sendmmsg = send_messages,
    .recv = receive_bytes,
    .recvmsg = receive_message,
    .getsockopt = get_option,
    .setsockopt = set_option,
    .getsockname = own_name,
    .getpeername = peer_name,
    .unacknowledged = unacknowledged,
    .aside = tapsi_linux_aside,
    .recall = tapsi_linux_recall,
    .network = tapsi_linux_network,
    .watch_network = tapsi_linux_watch_network,
    .read_file = tapsi_linux_read_file,
    .load_private = tapsi_linux_load_private,
    .store_private = tapsi_linux_store_private,
    .lock_private = tapsi_linux_lock_private,
    .unlock_private = tapsi_linux_unlock_private,
};

int tapsi_platform_linux_new(struct tapsi_mem *mem, struct tapsi_platform **ret)
{
    struct tapsi_linux *x = tapsi_zalloc(mem, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->base = (struct tapsi_platform){.ops = &ops, .mem = mem};
    tapsi_linux_network_init(x);
    int err = tapsi_linux_poll_init(x);
    if (err) {
        destroy(&x->base);
        return err;
    }
    *ret = &x->base;
    return 0;
}
