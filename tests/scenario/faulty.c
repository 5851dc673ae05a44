/*
 * The table of a platform is replaced by one of ours as soon as it is made; `struct port` keeps the real one. So what
 * a platform is made of need not be known, and the simulator and the kernel are treated alike.
 */
#include "faulty.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include "base/test.h"
#include "faults.h"

struct port {
    struct port *next;
    struct tapsi_platform *platform;
    const struct tapsi_platform_ops *real;
    struct tapsi_platform_ops ours;
    unsigned open;
    uint64_t begun;
};

struct descriptor {
    struct descriptor *next;
    struct port *port;
    int fd;
    bool stream, pending;
    bool lively; /* something may be moved: it was told so, or the last call moved something */
    struct tapsi_watch *watch;
};

static struct port *ports;
static struct descriptor *descriptors;

static void *must(void *block)
{
    if (!block)
        abort();
    return block;
}

void faulty_forget(void)
{
    while (ports) {
        struct port *port = ports;
        ports = port->next;
        free(port);
    }
    while (descriptors) {
        struct descriptor *d = descriptors;
        descriptors = d->next;
        free(d);
    }
}

static struct port *port_of(const struct tapsi_platform *p)
{
    struct port *port = ports;
    while (port && port->platform != p)
        port = port->next;
    return must(port);
}

static struct descriptor *find(const struct port *port, int fd)
{
    struct descriptor *d = descriptors;
    while (d && (d->port != port || d->fd != fd))
        d = d->next;
    return d;
}

static void opened(struct port *port, int fd, bool stream)
{
    struct descriptor *d = must(calloc(1, sizeof(*d)));
    *d = (struct descriptor){.next = descriptors, .port = port, .fd = fd, .stream = stream};
    descriptors = d;
    port->open++;
}

static void closed(struct port *port, int fd)
{
    for (struct descriptor **at = &descriptors; *at; at = &(*at)->next) {
        struct descriptor *d = *at;
        if (d->port != port || d->fd != fd)
            continue;
        *at = d->next;
        free(d);
        port->open--;
        return;
    }
}

static void raise_edge(struct port *port, struct descriptor *d)
{
    if (!d || !d->watch)
        return;
    d->pending = true;
    port->real->wake(port->platform);
}

/* Counts a call that may fail: 0 or a negative errno. */
static int enter(struct port *port, int fd, bool moves)
{
    struct descriptor *d = find(port, fd);
    int err = faults_call(moves, d && d->lively);
    if (err == EAGAIN && d) {
        d->lively = false;
        raise_edge(port, d);
    }
    return -err;
}

/* It moved `moved`, could move `most`, and would have moved `wanted`. */
static ssize_t leave(struct port *port, int fd, ssize_t moved, size_t most, size_t wanted)
{
    struct descriptor *d = find(port, fd);
    if (d)
        d->lively = moved > 0;
    bool less = moved > 0 && (size_t)moved == most && most < wanted;
    faults_moved(d && d->stream && moved > 0 ? (size_t)moved : 0, less);
    if (less)
        raise_edge(port, d);
    return moved;
}

static bool is_stream(const struct port *port, int fd)
{
    const struct descriptor *d = find(port, fd);
    return d && d->stream;
}

static size_t length_of(const struct msghdr *message)
{
    size_t length = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        length += message->msg_iov[i].iov_len;
    return length;
}

#define IOVECS 64

/* The first `most` bytes of `from`; false, and nothing is done, if it has no more than that, or too many pieces. */
static bool cut(struct iovec *to, const struct msghdr *from, size_t most, size_t *ret_count)
{
    size_t count = 0;
    if (from->msg_iovlen > IOVECS || length_of(from) <= most)
        return false;
    for (; count < from->msg_iovlen && most > 0; count++) {
        to[count] = from->msg_iov[count];
        if (to[count].iov_len > most)
            to[count].iov_len = most;
        most -= to[count].iov_len;
    }
    *ret_count = count;
    return true;
}

/* ----------------------------------------------------------------------------------------------- the table */

static void our_destroy(struct tapsi_platform *p)
{
    struct port **at = &ports;
    while (*at && (*at)->platform != p)
        at = &(*at)->next;
    struct port *port = must(*at);
    if (port->open)
        tapsi_test_fail("sweep", 0, "%u sockets were open when their platform was destroyed", port->open);
    *at = port->next;
    while (port->open) {
        struct descriptor *d = descriptors;
        while (d && d->port != port)
            d = d->next;
        closed(port, ((struct descriptor *)must(d))->fd);
    }
    p->ops = port->real;
    free(port);
    p->ops->destroy(p);
}

static int our_random(struct tapsi_platform *p, void *bytes, size_t count)
{
    struct port *port = port_of(p);
    int r = enter(port, -1, false);
    return r < 0 ? r : port->real->random(p, bytes, count);
}

static int watch_with(struct tapsi_platform *p, int fd, struct tapsi_watch *watch, bool level, unsigned io)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    if (r < 0)
        return r;
    r = level ? port->real->watch_level(p, fd, watch, io) : port->real->watch(p, fd, watch);
    struct descriptor *d = find(port, fd);
    if (r >= 0 && d)
        d->watch = watch;
    return r;
}

static int our_watch(struct tapsi_platform *p, int fd, struct tapsi_watch *watch)
{
    return watch_with(p, fd, watch, false, 0);
}

static int our_watch_level(struct tapsi_platform *p, int fd, struct tapsi_watch *watch, unsigned io)
{
    return watch_with(p, fd, watch, true, io);
}

static void our_unwatch(struct tapsi_platform *p, struct tapsi_watch *watch)
{
    struct port *port = port_of(p);
    for (struct descriptor *d = descriptors; d; d = d->next) {
        if (d->watch == watch) {
            d->watch = NULL;
            d->pending = false;
        }
    }
    port->real->unwatch(p, watch);
}

static bool told(const struct tapsi_ready *ready, int count, const struct tapsi_watch *watch)
{
    for (int i = 0; i < count; i++) {
        if (ready[i].watch == watch)
            return true;
    }
    return false;
}

/* All that is watched, or what waits for its edge, behind the `count` entries there are. */
static int add_edges(struct port *port, struct tapsi_ready *ready, int count, int max, bool all)
{
    for (struct descriptor *d = descriptors; d && count < max; d = d->next) {
        if (d->port != port || !d->watch || !(all || d->pending))
            continue;
        d->pending = false;
        if (!told(ready, count, d->watch))
            ready[count++] = (struct tapsi_ready){d->watch, TAPSI_IO_IN | TAPSI_IO_OUT};
    }
    return count;
}

static bool has_pending(const struct port *port)
{
    for (const struct descriptor *d = descriptors; d; d = d->next) {
        if (d->port == port && d->pending)
            return true;
    }
    return false;
}

static int our_wait(struct tapsi_platform *p, uint64_t deadline, struct tapsi_ready *ready, int max)
{
    struct port *port = port_of(p);
    uint64_t now = port->real->now(p);
    if (!port->begun)
        port->begun = now;
    faults_wait(now - port->begun);
    if (has_pending(port))
        deadline = 0;
    int count = port->real->wait(p, deadline, ready, max);
    if (count < 0)
        return count;
    for (struct descriptor *d = descriptors; d; d = d->next)
        d->lively |= d->port == port && d->watch && told(ready, count, d->watch);
    bool all = count > 0 && faults_spurious();
    return add_edges(port, ready, count, max, all);
}

static int our_socket(struct tapsi_platform *p, int family, int type, int protocol)
{
    struct port *port = port_of(p);
    int fd = enter(port, -1, false);
    if (fd == 0)
        fd = port->real->socket(p, family, type, protocol);
    if (fd >= 0)
        opened(port, fd, (type & 0xf) == SOCK_STREAM);
    return fd;
}

static int our_close(struct tapsi_platform *p, int fd)
{
    struct port *port = port_of(p);
    closed(port, fd);
    return port->real->close(p, fd);
}

static int our_bind(struct tapsi_platform *p, int fd, const union tapsi_addr *address)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->bind(p, fd, address);
}

static int our_connect(struct tapsi_platform *p, int fd, const union tapsi_addr *address)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->connect(p, fd, address);
}

static int our_listen(struct tapsi_platform *p, int fd, int backlog)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->listen(p, fd, backlog);
}

static int our_accept(struct tapsi_platform *p, int fd, union tapsi_addr *ret_peer)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, true);
    if (r == 0)
        r = port->real->accept(p, fd, ret_peer);
    if (r >= 0)
        opened(port, r, true);
    return r;
}

static int our_shutdown(struct tapsi_platform *p, int fd, int how)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->shutdown(p, fd, how);
}

static ssize_t our_send(struct tapsi_platform *p, int fd, const void *bytes, size_t count, int flags)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, true);
    if (r < 0)
        return r;
    size_t most = is_stream(port, fd) ? faults_limit(count) : count;
    return leave(port, fd, port->real->send(p, fd, bytes, most, flags), most, count);
}

static ssize_t our_sendto(struct tapsi_platform *p, int fd, const void *bytes, size_t count, const union tapsi_addr *to)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, true);
    return r < 0 ? r : leave(port, fd, port->real->sendto(p, fd, bytes, count, to), count, count);
}

static ssize_t our_recvfrom(struct tapsi_platform *p, int fd, void *bytes, size_t count, union tapsi_addr *ret_from)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, true);
    return r < 0 ? r : leave(port, fd, port->real->recvfrom(p, fd, bytes, count, ret_from), count, count);
}

static ssize_t our_sendmsg(struct tapsi_platform *p, int fd, const struct msghdr *message, int flags)
{
    struct port *port = port_of(p);
    struct iovec iov[IOVECS];
    struct msghdr less = *message;
    int r = enter(port, fd, true);
    if (r < 0)
        return r;
    size_t wanted = length_of(message), most = is_stream(port, fd) ? faults_limit(wanted) : wanted;
    if (cut(iov, message, most, &less.msg_iovlen))
        less.msg_iov = iov;
    return leave(port, fd, port->real->sendmsg(p, fd, &less, flags), most, wanted);
}

static int our_sendmmsg(struct tapsi_platform *p, int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, true);
    if (r < 0)
        return r;
    size_t most = faults_limit(count);
    return (int)leave(port, fd, port->real->sendmmsg(p, fd, messages, (unsigned)most, flags), most, count);
}

static ssize_t our_recv(struct tapsi_platform *p, int fd, void *bytes, size_t count, int flags)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, true);
    if (r < 0)
        return r;
    size_t most = is_stream(port, fd) ? faults_limit(count) : count;
    return leave(port, fd, port->real->recv(p, fd, bytes, most, flags), most, count);
}

static ssize_t our_recvmsg(struct tapsi_platform *p, int fd, struct msghdr *message, int flags)
{
    struct port *port = port_of(p);
    struct iovec iov[IOVECS], *all = message->msg_iov;
    size_t pieces = message->msg_iovlen;
    int r = enter(port, fd, true);
    if (r < 0)
        return r;
    size_t wanted = length_of(message), most = is_stream(port, fd) ? faults_limit(wanted) : wanted;
    if (cut(iov, message, most, &message->msg_iovlen))
        message->msg_iov = iov;
    ssize_t n = port->real->recvmsg(p, fd, message, flags);
    message->msg_iov = all;
    message->msg_iovlen = pieces;
    return leave(port, fd, n, most, wanted);
}

static int our_getsockopt(struct tapsi_platform *p, int fd, int level, int option, void *value, socklen_t *length)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->getsockopt(p, fd, level, option, value, length);
}

static int our_setsockopt(struct tapsi_platform *p, int fd, int level, int option, const void *value, socklen_t length)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->setsockopt(p, fd, level, option, value, length);
}

static int our_getsockname(struct tapsi_platform *p, int fd, union tapsi_addr *ret)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->getsockname(p, fd, ret);
}

static int our_getpeername(struct tapsi_platform *p, int fd, union tapsi_addr *ret)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->getpeername(p, fd, ret);
}

static int our_unacknowledged(struct tapsi_platform *p, int fd)
{
    struct port *port = port_of(p);
    int r = enter(port, fd, false);
    return r < 0 ? r : port->real->unacknowledged(p, fd);
}

static int our_aside(struct tapsi_platform *p, struct tapsi_aside *work)
{
    struct port *port = port_of(p);
    int r = enter(port, -1, false);
    return r < 0 ? r : port->real->aside(p, work);
}

static int our_network(struct tapsi_platform *p, struct tapsi_network **ret)
{
    struct port *port = port_of(p);
    int r = enter(port, -1, false);
    return r < 0 ? r : port->real->network(p, ret);
}

static int our_read_file(struct tapsi_platform *p, const char *path, size_t max, char **ret_text, size_t *ret_length)
{
    struct port *port = port_of(p);
    int r = enter(port, -1, false);
    return r < 0 ? r : port->real->read_file(p, path, max, ret_text, ret_length);
}

void faulty_take_over(struct tapsi_platform *p)
{
    struct port *port = must(calloc(1, sizeof(*port)));
    const struct tapsi_platform_ops *real = p->ops;
    *port = (struct port){.next = ports, .platform = p, .real = real, .ours = *real};
    struct tapsi_platform_ops *o = &port->ours;
    o->destroy = our_destroy;
    o->random = our_random;
    o->watch = our_watch;
    o->unwatch = our_unwatch;
    o->watch_level = real->watch_level ? our_watch_level : NULL;
    o->wait = our_wait;
    o->socket = our_socket;
    o->close = our_close;
    o->bind = our_bind;
    o->connect = our_connect;
    o->listen = our_listen;
    o->accept = our_accept;
    o->shutdown = our_shutdown;
    o->send = our_send;
    o->sendto = real->sendto ? our_sendto : NULL;
    o->recvfrom = real->recvfrom ? our_recvfrom : NULL;
    o->sendmsg = our_sendmsg;
    o->sendmmsg = our_sendmmsg;
    o->recv = our_recv;
    o->recvmsg = our_recvmsg;
    o->getsockopt = our_getsockopt;
    o->setsockopt = our_setsockopt;
    o->getsockname = our_getsockname;
    o->getpeername = our_getpeername;
    o->unacknowledged = our_unacknowledged;
    o->aside = real->aside ? our_aside : NULL;
    o->network = our_network;
    o->read_file = our_read_file;
    ports = port;
    p->ops = o;
}
