/*
 * The platform table over the simulated world.
 *
 * Edges are as in epoll: something that happens to a watched socket puts it on the platform's ready list once; `wait`
 * then reports everything that is true of the socket at that moment, or nothing if nothing is any more. So a socket
 * that is written to and has room is reported IN and OUT when bytes come.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>
#include "platform/sim/socket.h"
#include "platform/sim/trace.h"

#define SHORT 1 /* what `enter` says when the call is to move little */
#define DEADLOCKS_QUIET                                                                                                \
    1000 /* waits without end that return 0 before they become errors: a loop that ignores them hangs */

static struct tapsi_simplatform *self_of(struct tapsi_platform *p)
{
    return TAPSI_CONTAINER(p, struct tapsi_simplatform, platform);
}

/* Counts a fallible call, and makes it fail if its turn has come: 0, SHORT or a negative errno. */
static int enter(struct tapsi_simplatform *self)
{
    struct tapsi_sim *sim = self->sim;
    struct tapsi_sim_failure *failures[] = {&sim->failure, &self->host->failure};
    sim->calls++;
    for (size_t i = 0; i < 2; i++) {
        if (failures[i]->left && --failures[i]->left == 0) {
            sim->call_failed = true;
            sim->failures++;
            return failures[i]->err ? -failures[i]->err : SHORT;
        }
    }
    return 0;
}

/* The same for a call on a socket. What moves little, or nothing now, could have more a moment later: that is a new
   edge, as in the kernel, where "less than asked for" and EAGAIN are otherwise the end of what there is. */
static int enter_socket(struct tapsi_platform *p, int fd, struct tapsi_simsock **ret)
{
    int r = enter(self_of(p));
    struct tapsi_simsock *s = tapsi_simsock_find(self_of(p), fd);
    if (s && (r == SHORT || r == -EAGAIN))
        tapsi_simsock_wake(s);
    if (r < 0)
        return r;
    *ret = s;
    return s ? r : -EBADF;
}

static void destroy(struct tapsi_platform *p)
{
    struct tapsi_simplatform *self = self_of(p);
    struct tapsi_sim *sim = self->sim;
    for (size_t i = 0; i < sim->socket_count; i++) {
        struct tapsi_simsock *s = sim->sockets[i];
        if (s && s->platform == self) {
            self->host->leaked++;
            tapsi_simsock_close(s);
        }
    }
    tapsi_simaside_done(self);
    tapsi_network_unref(self->network);
    tapsi_list_remove(&self->link);
    tapsi_free(p->mem, self);
    tapsi_sim_unref(sim);
}

static uint64_t now(struct tapsi_platform *p)
{
    return self_of(p)->sim->now;
}

static int random_bytes(struct tapsi_platform *p, void *bytes, size_t count)
{
    struct tapsi_simplatform *self = self_of(p);
    int r = enter(self);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)tapsi_sim_dice(&self->dice);
    return 0;
}

/* Readiness. */

static int watch(struct tapsi_platform *p, int fd, struct tapsi_watch *w)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    if (r < 0)
        return r;
    if (s->watch)
        return -EEXIST;
    s->watch = w;
    w->fd = fd;
    if (tapsi_simsock_poll(s))
        tapsi_simsock_wake(s);
    return 0;
}

static void unwatch(struct tapsi_platform *p, struct tapsi_watch *w)
{
    struct tapsi_simsock *s = tapsi_simsock_find(self_of(p), w->fd);
    if (s && s->watch == w) {
        s->watch = NULL;
        tapsi_list_remove(&s->ready);
    }
    w->fd = -1;
}

static int collect(struct tapsi_simplatform *self, struct tapsi_ready *ready, int max)
{
    int count = 0;
    if (self->heard && max > 0)
        ready[count++] = (struct tapsi_ready){self->hears, TAPSI_IO_IN};
    self->heard = false;
    while (count < max) {
        struct tapsi_link *first = tapsi_list_pop(&self->ready);
        if (!first)
            break;
        struct tapsi_simsock *s = TAPSI_CONTAINER(first, struct tapsi_simsock, ready);
        unsigned io = tapsi_simsock_poll(s);
        if (io)
            ready[count++] = (struct tapsi_ready){s->watch, io};
    }
    return count;
}

static int wait_for(struct tapsi_platform *p, uint64_t deadline, struct tapsi_ready *ready, int max)
{
    struct tapsi_simplatform *self = self_of(p);
    struct tapsi_sim *sim = self->sim;
    for (;;) {
        tapsi_simaside_tell(self);
        int count = collect(self, ready, max);
        if (count || __atomic_exchange_n(&self->woken, false, __ATOMIC_ACQ_REL) || deadline <= sim->now) {
            sim->deadlocks = 0;
            return count;
        }
        switch (tapsi_sim_step(sim, self, deadline)) {
        case TAPSI_SIM_MOVED:
            break;
        case TAPSI_SIM_DUE:
            tapsi_simaside_tell(self);
            return collect(self, ready, max);
        case TAPSI_SIM_STUCK:
            sim->deadlocked = true;
            return ++sim->deadlocks > DEADLOCKS_QUIET ? -EDEADLK : 0;
        }
    }
}

static int descriptor(struct tapsi_platform *p)
{
    (void)p;
    return -ENOSYS;
}

static int arm(struct tapsi_platform *p, uint64_t deadline)
{
    self_of(p)->armed = deadline;
    return 0;
}

static void wake(struct tapsi_platform *p)
{
    __atomic_store_n(&self_of(p)->woken, true, __ATOMIC_RELEASE);
}

/* Sockets. */

static int make_socket(struct tapsi_platform *p, int family, int type, int protocol)
{
    struct tapsi_simplatform *self = self_of(p);
    struct tapsi_simsock *s;
    int r = enter(self);
    if (r < 0)
        return r;
    type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (family != AF_INET && family != AF_INET6)
        return -EAFNOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return -EPROTONOSUPPORT;
    if (protocol && protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
        return -EPROTONOSUPPORT;
    r = tapsi_simsock_new(self->host, family, type, &s);
    if (r < 0)
        return r;
    r = tapsi_simsock_open(s, self);
    if (r < 0)
        tapsi_simsock_free(s);
    return r;
}

static int close_socket(struct tapsi_platform *p, int fd)
{
    struct tapsi_simsock *s = tapsi_simsock_find(self_of(p), fd);
    if (!s)
        return -EBADF;
    tapsi_simsock_close(s);
    return 0;
}

static int bind_socket(struct tapsi_platform *p, int fd, const union tapsi_addr *address)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    return r < 0 ? r : tapsi_simsock_bind(s, address);
}

static int connect_socket(struct tapsi_platform *p, int fd, const union tapsi_addr *address)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    if (r < 0)
        return r;
    return s->type == SOCK_STREAM ? tapsi_simtcp_connect(s, address) : tapsi_simudp_connect(s, address);
}

static int listen_socket(struct tapsi_platform *p, int fd, int backlog)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    if (r < 0)
        return r;
    return s->type == SOCK_STREAM ? tapsi_simtcp_listen(s, backlog) : -EOPNOTSUPP;
}

static int accept_socket(struct tapsi_platform *p, int fd, union tapsi_addr *ret_peer)
{
    struct tapsi_simsock *s, *child;
    int r = enter_socket(p, fd, &s);
    if (r < 0)
        return r;
    if (s->type != SOCK_STREAM)
        return -EOPNOTSUPP;
    r = tapsi_simtcp_accept(s, true, &child);
    r = r < 0 ? r : tapsi_simsock_open(child, self_of(p));
    if (r < 0)
        return r;
    tapsi_simtcp_accept(s, false, &child);
    if (ret_peer)
        tapsi_simsock_outside(child, &child->remote, ret_peer);
    return r;
}

static int shutdown_socket(struct tapsi_platform *p, int fd, int how)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    if (r < 0)
        return r;
    return s->type == SOCK_STREAM ? tapsi_simtcp_shutdown(s, how) : tapsi_simudp_shutdown(s, how);
}

static ssize_t send_message(struct tapsi_platform *p, int fd, const struct msghdr *message, int flags)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    if (r < 0)
        return r;
    if (flags & (MSG_OOB | MSG_FASTOPEN))
        return -EOPNOTSUPP;
    if (s->type == SOCK_DGRAM)
        return tapsi_simudp_send(s, message);
    return tapsi_simtcp_send(s, message->msg_iov, message->msg_iovlen, r == SHORT ? 1 : SSIZE_MAX);
}

static ssize_t send_bytes(struct tapsi_platform *p, int fd, const void *bytes, size_t count, int flags)
{
    union {
        const void *read;
        void *base;
    } u = {.read = bytes}; /* an iovec is not const, though nothing writes here */
    struct iovec iov = {u.base, count};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return send_message(p, fd, &message, flags);
}

static int send_messages(struct tapsi_platform *p, int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    if (r < 0)
        return r;
    if (flags & (MSG_OOB | MSG_FASTOPEN))
        return -EOPNOTSUPP;
    count = r == SHORT && count > 1 ? 1 : count;
    for (unsigned i = 0; i < count; i++) {
        const struct msghdr *m = &messages[i].msg_hdr;
        ssize_t n = s->type == SOCK_DGRAM ? tapsi_simudp_send(s, m)
                                          : tapsi_simtcp_send(s, m->msg_iov, m->msg_iovlen, SSIZE_MAX);
        if (n < 0)
            return i ? (int)i : (int)n;
        messages[i].msg_len = (unsigned)n;
    }
    return (int)count;
}

static ssize_t receive(struct tapsi_simsock *s, struct msghdr *message, size_t max, int flags)
{
    if (s->type == SOCK_DGRAM)
        return tapsi_simudp_receive(s, message, flags);
    if (flags & (MSG_ERRQUEUE | MSG_OOB))
        return flags & MSG_OOB ? -EINVAL : -EAGAIN;
    message->msg_flags = 0;
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    return tapsi_simtcp_receive(s, message->msg_iov, message->msg_iovlen, max, flags);
}

static ssize_t receive_message(struct tapsi_platform *p, int fd, struct msghdr *message, int flags)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    return r < 0 ? r : receive(s, message, r == SHORT ? 1 : SSIZE_MAX, flags);
}

static ssize_t receive_bytes(struct tapsi_platform *p, int fd, void *bytes, size_t count, int flags)
{
    struct iovec iov = {bytes, count};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return receive_message(p, fd, &message, flags);
}

static int get_option(struct tapsi_platform *p, int fd, int level, int option, void *value, socklen_t *length)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    return r < 0 ? r : tapsi_simsock_get(s, level, option, value, length);
}

static int set_option(struct tapsi_platform *p, int fd, int level, int option, const void *value, socklen_t length)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    return r < 0 ? r : tapsi_simsock_set(s, level, option, value, length);
}

static int get_name(struct tapsi_platform *p, int fd, union tapsi_addr *ret)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    return r < 0 ? r : tapsi_simsock_name(s, ret);
}

static int get_peer(struct tapsi_platform *p, int fd, union tapsi_addr *ret)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    return r < 0 ? r : tapsi_simsock_peer(s, ret);
}

static int unacknowledged(struct tapsi_platform *p, int fd)
{
    struct tapsi_simsock *s;
    int r = enter_socket(p, fd, &s);
    if (r < 0)
        return r;
    return s->type == SOCK_STREAM ? tapsi_simtcp_unacknowledged(s) : 0;
}

static int aside(struct tapsi_platform *p, struct tapsi_aside *work)
{
    int r = enter(self_of(p));
    if (r < 0)
        return r;
    tapsi_simaside_take(self_of(p), work);
    return 0;
}

static bool recall(struct tapsi_platform *p, struct tapsi_aside *work)
{
    return tapsi_simaside_recall(self_of(p), work);
}

static int network(struct tapsi_platform *p, struct tapsi_network **ret)
{
    struct tapsi_simplatform *self = self_of(p);
    struct tapsi_network *fresh;
    int r = enter(self);
    if (r < 0)
        return r;
    if (!self->network || self->network->generation != self->host->generation) {
        r = tapsi_simhost_snapshot(self->host, p->mem, &fresh);
        if (r < 0)
            return r;
        tapsi_network_unref(self->network);
        self->network = fresh;
    }
    *ret = tapsi_network_ref(self->network);
    return 0;
}

static int watch_network(struct tapsi_platform *p, struct tapsi_watch *w)
{
    struct tapsi_simplatform *self = self_of(p);
    int r = w ? enter(self) : 0;
    if (r < 0)
        return r;
    if (self->hears)
        self->hears->fd = -1;
    self->hears = w;
    self->heard = false;
    if (w)
        w->fd = TAPSI_SIM_FD - 1; /* no socket's */
    return 0;
}

static int read_file(struct tapsi_platform *p, const char *path, size_t max, char **ret_text, size_t *ret_length)
{
    struct tapsi_simplatform *self = self_of(p);
    int r = enter(self);
    return r < 0 ? r : tapsi_simhost_read(self->host, p->mem, path, max, ret_text, ret_length);
}

const struct tapsi_platform_ops tapsi_simplatform_plain = {
    .name = "sim",
    .destroy = destroy,
    .now = now,
    .random = random_bytes,
    .watch = watch,
    .unwatch = unwatch,
    .wait = wait_for,
    .descriptor = descriptor,
    .arm = arm,
    .wake = wake,
    .socket = make_socket,
    .close = close_socket,
    .bind = bind_socket,
    .connect = connect_socket,
    .listen = listen_socket,
    .accept = accept_socket,
    .shutdown = shutdown_socket,
    .send = send_bytes,
    .sendmsg = send_message,
    .sendmmsg = send_messages,
    .recv = receive_bytes,
    .recvmsg = receive_message,
    .getsockopt = get_option,
    .setsockopt = set_option,
    .getsockname = get_name,
    .getpeername = get_peer,
    .unacknowledged = unacknowledged,
    .aside = aside,
    .recall = recall,
    .network = network,
    .watch_network = watch_network,
    .read_file = read_file,
};

void tapsi_simplatform_table(struct tapsi_simplatform *p)
{
    p->platform.ops = p->sim->trace_to ? &tapsi_simcalls_traced : &tapsi_simplatform_plain;
}

int tapsi_sim_platform_new(struct tapsi_sim_host *host, struct tapsi_mem *mem, struct tapsi_platform **ret)
{
    struct tapsi_simplatform *self = host ? tapsi_zalloc(mem, sizeof *self) : NULL;
    if (!self)
        return TAPS_E_MEMORY;
    struct tapsi_sim *sim = host->sim;
    self->platform.mem = mem;
    self->sim = sim;
    self->host = host;
    tapsi_simplatform_table(self);
    self->dice = sim->seed ^ (++sim->platforms_made * UINT64_C(0xd1342543de82ef95));
    self->armed = TAPSI_FOREVER;
    tapsi_link_init(&self->ready);
    tapsi_simaside_init(self);
    tapsi_list_append(&sim->platforms, &self->link);
    sim->refs++;
    *ret = &self->platform;
    return 0;
}
