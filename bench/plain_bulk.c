/* TCP: one transfer in sends of 64 KiB, end of data, then the server answers with the number of bytes it has read: the
   time ends when every byte has arrived, not when the kernel took the last. */
#include "plain.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    uint64_t bytes;
};

static char buffer[BENCH_CHUNK];

static void accept_peer(int epoll, int listener, const struct bench_options *options)
{
    int fd = plain_accept(listener, options);
    if (fd < 0) {
        return;
    }
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        bench_die("peer", "no memory");
    }
    peer->fd = fd;
    /* Level-triggered with one read per event costs a wait per read; draining the socket costs one per wake-up. */
    plain_watch(epoll, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, peer);
}

static void serve_peer(struct peer *peer)
{
    for (;;) {
        ssize_t count = recv(peer->fd, buffer, sizeof buffer, 0);
        if (count > 0) {
            peer->bytes += (uint64_t)count;
            continue; /* also after a short read: the end of data must not be missed */
        }
        if (count < 0 && errno == EAGAIN) {
            return;
        }
        if (count == 0) {
            plain_send_small(peer->fd, &peer->bytes, BENCH_COUNT);
        }
        close(peer->fd);
        free(peer);
        return;
    }
}

void plain_bulk_server(const struct bench_options *options)
{
    uint16_t port;
    int epoll = plain_epoll();
    int listener = plain_listen(SOCK_STREAM, &port);
    plain_watch(epoll, listener, EPOLLIN, NULL);
    bench_ready(port);
    for (;;) {
        struct epoll_event events[64];
        int ready = plain_wait(epoll, events, 64);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == NULL) {
                accept_peer(epoll, listener, options);
            } else {
                serve_peer(events[i].data.ptr);
            }
        }
    }
}

static void send_all(int epoll, int fd, uint64_t bytes)
{
    size_t at = 0;
    while (bytes > 0) {
        ssize_t count = send(fd, buffer + at, sizeof buffer - at, MSG_NOSIGNAL);
        if (count < 0) {
            struct epoll_event event;
            if (errno != EAGAIN) {
                bench_die_errno("send");
            }
            plain_wait(epoll, &event, 1);
            continue;
        }
        at = (at + (size_t)count) % sizeof buffer;
        bytes -= (uint64_t)count;
    }
}

uint64_t plain_await_count(int epoll, int fd)
{
    uint64_t bytes = 0;
    for (;;) {
        ssize_t count = recv(fd, &bytes, sizeof bytes, 0);
        if (count == sizeof bytes) {
            return bytes;
        }
        if (count >= 0 || errno != EAGAIN) {
            bench_die("recv", "no count from the server");
        }
        struct epoll_event event;
        plain_wait(epoll, &event, 1);
    }
}

void plain_bulk_client(const struct bench_options *options)
{
    uint64_t bytes = options->ops != 0 ? options->ops * BENCH_CHUNK : options->bytes;
    int epoll = plain_epoll();
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    struct bench_window window;
    bench_window_open(&window, options, 0);
    send_all(epoll, fd, bytes);
    shutdown(fd, SHUT_WR);
    if (plain_await_count(epoll, fd) != bytes) {
        bench_die("bulk", "the server has another count");
    }
    bench_window_close(&window, bytes / BENCH_CHUNK);
    bench_window_report(&window, "tcp");
    close(fd);
    close(epoll);
}
