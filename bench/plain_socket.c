#include "plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in make_address(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, BENCH_ADDRESS, &address.sin_addr);
    return address;
}

static void set_nodelay(int fd, const struct bench_options *options)
{
    int on = 1;
    if (options->low_latency && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        bench_die_errno("TCP_NODELAY");
    }
}

int plain_listen(int type, uint16_t *ret_port)
{
    struct sockaddr_in address = make_address(0);
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        (type == SOCK_STREAM && listen(fd, SOMAXCONN) != 0) ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        bench_die_errno("listen");
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int plain_accept(int listener, const struct bench_options *options)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EAGAIN || errno == ECONNABORTED) {
            return -1;
        }
        bench_die_errno("accept4");
    }
    set_nodelay(fd, options);
    return fd;
}

/* The addresses of the name are asked for each time: a program that must follow changes does so. */
static void look_up(const struct bench_options *options, struct sockaddr_in *ret_address)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL, *entry;
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)options->port);
    int status = getaddrinfo(options->name, port, &hints, &list);
    if (status != 0) {
        bench_die(options->name, gai_strerror(status));
    }
    for (entry = list; entry != NULL && entry->ai_family != AF_INET; entry = entry->ai_next) {
    }
    if (entry == NULL) {
        bench_die(options->name, "no address to connect to");
    }
    memcpy(ret_address, entry->ai_addr, sizeof *ret_address);
    freeaddrinfo(list);
}

int plain_connect(int type, const struct bench_options *options)
{
    struct sockaddr_in address = make_address(options->port);
    if (options->name != NULL) {
        look_up(options, &address);
    }
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        bench_die_errno("socket");
    }
    if (type == SOCK_STREAM) {
        set_nodelay(fd, options);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        bench_die_errno("connect");
    }
    return fd;
}

void plain_connected(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
        errno = error != 0 ? error : errno;
        bench_die_errno("connect");
    }
}

void plain_reset_on_close(int fd)
{
    struct linger linger = {.l_onoff = 1};
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) != 0) {
        bench_die_errno("SO_LINGER");
    }
}

int plain_epoll(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        bench_die_errno("epoll_create1");
    }
    return epoll;
}

void plain_watch(int epoll, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        bench_die_errno("epoll_ctl");
    }
}

int plain_wait(int epoll, struct epoll_event *events, int count)
{
    for (;;) {
        int ready = epoll_wait(epoll, events, count, -1);
        if (ready >= 0) {
            return ready;
        }
        if (errno != EINTR) {
            bench_die_errno("epoll_wait");
        }
    }
}

int plain_connect_now(int epoll, int type, const struct bench_options *options)
{
    struct epoll_event event = {0};
    int fd = plain_connect(type, options);
    plain_watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, NULL);
    while ((event.events & EPOLLOUT) == 0) {
        plain_wait(epoll, &event, 1);
    }
    plain_connected(fd);
    return fd;
}

void plain_send_small(int fd, const void *bytes, size_t count)
{
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
    if (sent != (ssize_t)count) {
        bench_die_errno("send");
    }
}
