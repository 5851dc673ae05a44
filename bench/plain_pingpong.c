/* TCP: the client sends 100 bytes, the server answers with 100 bytes once it has them all. The server also serves the
   exchange job, where the 100 bytes come in two writes, and the idle job, where the answer tells its memory. */
#include "plain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    size_t have;
};

static char buffer[BENCH_CHUNK];
static char message[BENCH_MESSAGE];
static bool tells_memory;
static uint64_t accepted;

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
    accepted++;
    plain_watch(epoll, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, peer);
}

static void serve_peer(struct peer *peer)
{
    for (;;) {
        ssize_t count = recv(peer->fd, buffer, sizeof buffer, 0);
        if (count <= 0) {
            if (count < 0 && errno == EAGAIN) {
                return;
            }
            close(peer->fd);
            free(peer);
            return;
        }
        for (peer->have += (size_t)count; peer->have >= BENCH_MESSAGE; peer->have -= BENCH_MESSAGE) {
            if (tells_memory) {
                bench_memory_write(accepted, message);
            }
            plain_send_small(peer->fd, message, sizeof message);
        }
        if ((size_t)count < sizeof buffer) {
            return;
        }
    }
}

void plain_pingpong_server(const struct bench_options *options)
{
    uint16_t port;
    int epoll = plain_epoll();
    int listener = plain_listen(SOCK_STREAM, &port);
    tells_memory = strcmp(options->job, "idle") == 0;
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

/* Reads until 100 bytes are there; the socket is edge-triggered and was empty before. */
static void await_pong(int epoll, int fd)
{
    for (size_t have = 0; have < BENCH_MESSAGE;) {
        struct epoll_event event;
        plain_wait(epoll, &event, 1);
        ssize_t count = recv(fd, buffer, sizeof buffer, 0);
        if (count > 0) {
            have += (size_t)count;
        } else if (count == 0 || errno != EAGAIN) {
            bench_die("recv", count == 0 ? "the server closed" : "failed");
        }
    }
}

void plain_pingpong_client(const struct bench_options *options)
{
    int epoll = plain_epoll();
    plain_open_crowd(epoll, options);
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    struct bench_window window;
    bench_window_open(&window, options, 15);
    do {
        plain_send_small(fd, message, sizeof message);
        await_pong(epoll, fd);
    } while (bench_window_count(&window));
    bench_window_report(&window, "tcp");
    plain_close_crowd();
    close(fd);
    close(epoll);
}

/* Two small writes, then a read. */
void plain_exchange_client(const struct bench_options *options)
{
    int epoll = plain_epoll();
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    struct bench_window window;
    bench_window_open(&window, options, 0);
    do {
        uint64_t start_ns = bench_now_ns();
        plain_send_small(fd, message, BENCH_FIRST);
        plain_send_small(fd, message + BENCH_FIRST, BENCH_SECOND);
        await_pong(epoll, fd);
        bench_window_latency(&window, start_ns);
    } while (bench_window_count(&window));
    bench_window_report(&window, "tcp");
    close(fd);
    close(epoll);
}
