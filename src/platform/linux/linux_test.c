#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/test.h"
#include "platform/platform.h"

static size_t live;
static bool refuse;

static void *counted(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        live--;
        free(block);
        return NULL;
    }
    if (refuse)
        return NULL;
    live += block == NULL;
    return realloc(block, size);
}

static struct tapsi_mem mem;

static struct tapsi_platform *setup(void)
{
    struct tapsi_platform *p = NULL;
    live = 0;
    refuse = false;
    tapsi_mem_init(&mem, &(struct taps_allocator){.resize = counted});
    CHECK_INT(tapsi_platform_linux_new(&mem, &p), 0);
    return p;
}

static union tapsi_addr local(const char *host)
{
    union tapsi_addr a;
    memset(&a, 0, sizeof(a));
    CHECK_INT(tapsi_addr_parse(host, &a), 0);
    return a;
}

/* Blocks until the descriptor is ready, so that the tests need no loop. */
static void until(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    CHECK_INT(poll(&poll_fd, 1, 10000), 1);
}

static void check_flags(int fd)
{
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static int listener(struct tapsi_platform *p, const char *host, union tapsi_addr *ret)
{
    *ret = local(host);
    int fd = p->ops->socket(p, ret->sa.sa_family, SOCK_STREAM, 0);
    CHECK_INT(p->ops->bind(p, fd, ret), 0);
    CHECK_INT(p->ops->listen(p, fd, 16), 0);
    CHECK_INT(p->ops->getsockname(p, fd, ret), 0);
    return fd;
}

struct link {
    int client, server;
};

static struct link connected(struct tapsi_platform *p)
{
    union tapsi_addr at, peer, name;
    int listening = listener(p, "127.0.0.1", &at);
    struct link l = {.client = p->ops->socket(p, AF_INET, SOCK_STREAM, 0)};
    int err = p->ops->connect(p, l.client, &at);
    CHECK(err == 0 || err == -EINPROGRESS);
    until(listening, POLLIN);
    l.server = p->ops->accept(p, listening, &peer);
    CHECK(l.server >= 0);
    CHECK_INT(p->ops->getsockname(p, l.client, &name), 0);
    CHECK(tapsi_addr_equal(&name, &peer));
    CHECK_INT(p->ops->getpeername(p, l.client, &name), 0);
    CHECK(tapsi_addr_equal(&name, &at));
    p->ops->close(p, listening);
    return l;
}

static void disconnect(struct tapsi_platform *p, struct link l)
{
    CHECK_INT(p->ops->close(p, l.client), 0);
    CHECK_INT(p->ops->close(p, l.server), 0);
}

TEST(bytes_cross_a_connection)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    CHECK_TEXT(p->ops->name, "linux");
    struct link l = connected(p);
    char text[16] = "";
    check_flags(l.client);
    check_flags(l.server);
    CHECK_INT(p->ops->recv(p, l.server, text, sizeof(text), 0), -EAGAIN);
    CHECK_INT(p->ops->send(p, l.client, "hello", 5, 0), 5);
    until(l.server, POLLIN);
    CHECK_INT(p->ops->recv(p, l.server, text, sizeof(text), 0), 5);
    CHECK_TEXT(text, "hello");
    CHECK_INT(p->ops->shutdown(p, l.client, SHUT_WR), 0);
    until(l.server, POLLIN);
    CHECK_INT(p->ops->recv(p, l.server, text, sizeof(text), 0), 0);
    disconnect(p, l);
    p->ops->destroy(p);
    CHECK_INT(live, 0);
}

/* proves ARCH-03: no SIGPIPE, which would end this program */
TEST(sending_to_a_closed_connection_raises_no_signal)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct link l = connected(p);
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr messages = {.msg_hdr = message};
    CHECK_INT(p->ops->shutdown(p, l.client, SHUT_WR), 0);
    CHECK_INT(p->ops->send(p, l.client, "x", 1, 0), -EPIPE);
    CHECK_INT(p->ops->sendmsg(p, l.client, &message, 0), -EPIPE);
    CHECK_INT(p->ops->sendmmsg(p, l.client, &messages, 1, 0), -EPIPE);
    disconnect(p, l);
    p->ops->destroy(p);
}

TEST(datagrams_cross_in_batches)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    union tapsi_addr at = local("::1"), from;
    int a = p->ops->socket(p, AF_INET6, SOCK_DGRAM, 0), b = p->ops->socket(p, AF_INET6, SOCK_DGRAM, 0);
    if (p->ops->bind(p, a, &at)) {
        tapsi_test_skip("no IPv6 here");
        return;
    }
    CHECK_INT(p->ops->getsockname(p, a, &at), 0);
    CHECK_INT(p->ops->connect(p, b, &at), 0);
    char one[] = "one", three[] = "three";
    struct iovec out[3] = {{one, 3}, {one, 0}, {three, 5}};
    struct mmsghdr messages[3] = {0};
    for (int i = 0; i < 3; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &out[i], .msg_iovlen = 1};
    CHECK_INT(p->ops->sendmmsg(p, b, messages, 3, 0), 3);
    for (int i = 0; i < 3; i++) {
        char text[16] = "";
        struct iovec in = {text, sizeof(text)};
        struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1, .msg_name = &from, .msg_namelen = sizeof(from)};
        until(a, POLLIN);
        CHECK_INT(p->ops->recvmsg(p, a, &message, 0), out[i].iov_len);
        CHECK(memcmp(text, out[i].iov_base, out[i].iov_len) == 0);
    }
    CHECK_INT(p->ops->getsockname(p, b, &at), 0);
    CHECK(tapsi_addr_equal(&from, &at));
    p->ops->close(p, a);
    p->ops->close(p, b);
    p->ops->destroy(p);
}

TEST(failures_are_negative_errnos)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    union tapsi_addr at, other, none;
    char byte;
    int value = 0;
    socklen_t length = sizeof(value);
    memset(&none, 0, sizeof(none));
    int listening = listener(p, "127.0.0.1", &at), fd = p->ops->socket(p, AF_INET, SOCK_STREAM, 0);
    CHECK_INT(p->ops->accept(p, listening, &other), -EAGAIN);
    CHECK_INT(p->ops->accept(p, fd, &other), -EINVAL);
    CHECK_INT(p->ops->bind(p, fd, &at), -EADDRINUSE);
    CHECK_INT(p->ops->bind(p, fd, &none), -EINVAL);
    CHECK_INT(p->ops->connect(p, fd, &none), -EINVAL);
    CHECK_INT(p->ops->recv(p, fd, &byte, 1, 0), -ENOTCONN);
    CHECK_INT(p->ops->shutdown(p, fd, SHUT_WR), -ENOTCONN);
    CHECK_INT(p->ops->getsockopt(p, fd, IPPROTO_TCP, 9999, &value, &length), -ENOPROTOOPT);
    CHECK_INT(p->ops->setsockopt(p, fd, IPPROTO_TCP, 9999, &value, length), -ENOPROTOOPT);
    CHECK_INT(p->ops->socket(p, AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
    CHECK_INT(p->ops->socket(p, 255, SOCK_STREAM, 0), -EAFNOSUPPORT);
    p->ops->close(p, listening);
    p->ops->close(p, fd);
    CHECK_INT(p->ops->close(p, fd), -EBADF);
    CHECK_INT(p->ops->listen(p, fd, 1), -EBADF);
    CHECK_INT(p->ops->send(p, fd, "x", 1, 0), -EBADF);
    CHECK_INT(p->ops->unacknowledged(p, fd), -EBADF);
    p->ops->destroy(p);
}

TEST(a_refused_connection_says_so)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    union tapsi_addr at;
    p->ops->close(p, listener(p, "127.0.0.1", &at));
    int fd = p->ops->socket(p, AF_INET, SOCK_STREAM, 0), error = 0;
    socklen_t length = sizeof(error);
    int err = p->ops->connect(p, fd, &at);
    if (err == -EINPROGRESS) {
        until(fd, POLLOUT);
        CHECK_INT(p->ops->getsockopt(p, fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
        err = -error;
    }
    CHECK_INT(err, -ECONNREFUSED);
    p->ops->close(p, fd);
    p->ops->destroy(p);
}

TEST(a_failed_question_for_a_name_leaves_the_answer_alone)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    union tapsi_addr name = local("192.0.2.77"), before = name;
    int fd = p->ops->socket(p, AF_INET, SOCK_STREAM, 0);
    CHECK_INT(p->ops->getpeername(p, fd, &name), -ENOTCONN);
    CHECK_INT(p->ops->getsockname(p, -1, &name), -EBADF);
    CHECK_INT(p->ops->accept(p, -1, &name), -EBADF);
    CHECK(tapsi_addr_equal(&name, &before));
    p->ops->close(p, fd);
    p->ops->destroy(p);
}

TEST(accept_does_not_need_a_place_for_the_peer)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    union tapsi_addr at;
    int listening = listener(p, "127.0.0.1", &at), fd = p->ops->socket(p, AF_INET, SOCK_STREAM, 0);
    int err = p->ops->connect(p, fd, &at);
    CHECK(err == 0 || err == -EINPROGRESS);
    until(listening, POLLIN);
    int accepted = p->ops->accept(p, listening, NULL);
    CHECK(accepted >= 0);
    p->ops->close(p, accepted);
    p->ops->close(p, fd);
    p->ops->close(p, listening);
    p->ops->destroy(p);
}

TEST(unacknowledged_bytes_are_counted)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct link l = connected(p);
    static char bytes[65536];
    CHECK_INT(p->ops->unacknowledged(p, l.client), 0);
    /* The peer reads nothing, so its window closes and the rest stays here. */
    while (p->ops->send(p, l.client, bytes, sizeof(bytes), 0) > 0) {
    }
    CHECK(p->ops->unacknowledged(p, l.client) > 0);
    disconnect(p, l);
    p->ops->destroy(p);
}

TEST(options_are_passed_through)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    int fd = p->ops->socket(p, AF_INET, SOCK_STREAM, IPPROTO_TCP), one = 1, value = 0;
    socklen_t length = sizeof(value);
    CHECK_INT(p->ops->setsockopt(p, fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    CHECK_INT(p->ops->getsockopt(p, fd, IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
    CHECK(value != 0);
    p->ops->close(p, fd);
    p->ops->destroy(p);
}

TEST(random_bytes_differ)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    uint8_t a[1000] = {0}, b[1000] = {0};
    CHECK_INT(p->ops->random(p, a, sizeof(a)), 0);
    CHECK_INT(p->ops->random(p, b, sizeof(b)), 0);
    CHECK(memcmp(a, b, sizeof(a)) != 0);
    CHECK_INT(p->ops->random(p, a, 0), 0);
    p->ops->destroy(p);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

TEST(a_platform_gives_everything_back)
{
    int before = open_descriptors();
    struct tapsi_platform *p = setup();
    NEED(p);
    struct tapsi_network *network = NULL;
    CHECK(p->ops->descriptor(p) >= 0);
    CHECK_INT(p->ops->arm(p, 0), 0);
    CHECK_INT(p->ops->network(p, &network), 0);
    tapsi_network_unref(network);
    p->ops->destroy(p);
    CHECK_INT(open_descriptors(), before);
    CHECK_INT(live, 0);
}

TEST(a_platform_without_memory_or_descriptors_is_an_error)
{
    struct tapsi_platform *p = setup(), *none = NULL;
    NEED(p);
    refuse = true;
    CHECK_INT(tapsi_platform_linux_new(&mem, &none), -ENOMEM);
    CHECK(!none);
    refuse = false;
    int before = open_descriptors();
    struct rlimit limit, few;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(0);
    close(lowest);
    for (int left = 0; left < 2; left++) {
        few = (struct rlimit){(rlim_t)(lowest + left), limit.rlim_max};
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
        CHECK_INT(tapsi_platform_linux_new(&mem, &none), -EMFILE);
        if (left == 0) {
            struct tapsi_network *network = NULL;
            CHECK_INT(p->ops->descriptor(p), -EMFILE);
            CHECK_INT(p->ops->arm(p, 0), -EMFILE);
            CHECK_INT(p->ops->network(p, &network), -EMFILE);
        }
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    CHECK(!none);
    CHECK(p->ops->descriptor(p) >= 0);
    p->ops->destroy(p);
    CHECK(open_descriptors() < before);
    CHECK_INT(live, 0);
}
