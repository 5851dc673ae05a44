/* TCP: Messages behind their length in four bytes, as a careful program does it by hand. Flood: 100 bytes as fast as
   they go, a send() for each or a writev() for many. Pingpong: 100 bytes there and back. Bulk: Messages of 1 MiB, each
   with its head in one writev(). The server reads what there is, follows the lengths, and answers pings; at the end of
   data it says how many bytes of Messages it had. */
#include "plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEAD  4
#define FRAME (HEAD + BENCH_MESSAGE)

struct peer {
    int fd;
    uint64_t bytes; /* of Messages */
    unsigned char head[HEAD];
    size_t head_length; /* bytes of it that have come */
    size_t rest;        /* of the Message, once its head is complete */
};

static char buffer[BENCH_CHUNK];
static char frame[FRAME];
static char large[BENCH_LARGE];
static struct iovec pieces[1024];
static bool echoes;

static void fill_frame(void)
{
    uint32_t length = htonl(BENCH_MESSAGE);
    memcpy(frame, &length, HEAD);
}

/* ------------------------------------------------------------------------------------------------- server */

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
    plain_watch(epoll, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, peer);
}

static void message_done(struct peer *peer)
{
    peer->head_length = 0;
    if (echoes) {
        plain_send_small(peer->fd, frame, sizeof frame);
    }
}

static void take(struct peer *peer, const char *at, size_t count)
{
    while (count > 0) {
        size_t part;
        if (peer->head_length < HEAD) {
            part = count < HEAD - peer->head_length ? count : HEAD - peer->head_length;
            memcpy(peer->head + peer->head_length, at, part);
            peer->head_length += part;
            if (peer->head_length == HEAD) {
                uint32_t length;
                memcpy(&length, peer->head, HEAD);
                peer->rest = ntohl(length);
            }
        } else {
            part = count < peer->rest ? count : peer->rest;
            peer->rest -= part;
            peer->bytes += part;
        }
        if (peer->head_length == HEAD && peer->rest == 0) {
            message_done(peer);
        }
        at += part;
        count -= part;
    }
}

/* A Message too. */
static void answer(const struct peer *peer)
{
    char bytes[HEAD + BENCH_COUNT];
    uint32_t length = htonl(BENCH_COUNT);
    memcpy(bytes, &length, HEAD);
    memcpy(bytes + HEAD, &peer->bytes, BENCH_COUNT);
    plain_send_small(peer->fd, bytes, sizeof bytes);
}

static void serve_peer(struct peer *peer)
{
    for (;;) {
        ssize_t count = recv(peer->fd, buffer, sizeof buffer, 0);
        if (count > 0) {
            take(peer, buffer, (size_t)count);
            if (echoes && (size_t)count < sizeof buffer) {
                return;
            }
            continue;
        }
        if (count < 0 && errno == EAGAIN) {
            return;
        }
        if (count == 0) {
            answer(peer);
        }
        close(peer->fd);
        free(peer);
        return;
    }
}

void plain_framed_server(const struct bench_options *options)
{
    uint16_t port;
    int epoll = plain_epoll();
    int listener = plain_listen(SOCK_STREAM, &port);
    fill_frame();
    echoes = strcmp(options->job, "framed-pingpong") == 0;
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

/* ------------------------------------------------------------------------------------------------- clients */

/* To send, or for something to receive. */
static void await_room(int epoll)
{
    struct epoll_event event;
    if (errno != EAGAIN) {
        bench_die_errno("send or receive");
    }
    plain_wait(epoll, &event, 1);
}

/* All of `count` pieces, which are written in place of what has gone. */
static void write_all(int epoll, int fd, struct iovec *at, size_t count)
{
    while (count > 0) {
        ssize_t written = writev(fd, at, (int)count);
        if (written < 0) {
            await_room(epoll);
            continue;
        }
        for (size_t rest = (size_t)written; count > 0 && rest >= at->iov_len; at++, count--) {
            rest -= at->iov_len;
            written = (ssize_t)rest;
        }
        if (count > 0) {
            at->iov_base = (char *)at->iov_base + written;
            at->iov_len -= (size_t)written;
        }
    }
}

static void send_frames(int epoll, int fd, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pieces[i] = (struct iovec){frame, sizeof frame};
    }
    write_all(epoll, fd, pieces, count);
}

static void send_frame(int epoll, int fd)
{
    for (size_t at = 0; at < sizeof frame;) {
        ssize_t count = send(fd, frame + at, sizeof frame - at, MSG_NOSIGNAL);
        if (count < 0) {
            await_room(epoll);
        } else {
            at += (size_t)count;
        }
    }
}

static void finish(int epoll, int fd, struct bench_window *window, uint64_t sent, uint64_t size)
{
    char head[HEAD];
    shutdown(fd, SHUT_WR);
    while (recv(fd, head, HEAD, 0) != HEAD) {
        await_room(epoll);
    }
    if (plain_await_count(epoll, fd) != sent * size) {
        bench_die("framed", "the server has another count");
    }
    bench_window_close(window, sent);
    bench_window_report(window, "tcp");
    close(fd);
    close(epoll);
}

void plain_framed_flood_client(const struct bench_options *options)
{
    uint64_t sent = 0, batch = options->batch;
    int epoll = plain_epoll();
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    struct bench_window window;
    fill_frame();
    bench_window_open(&window, options, 0);
    do {
        if (batch == 0) {
            send_frame(epoll, fd);
            sent++;
        } else {
            send_frames(epoll, fd, batch);
            sent += batch;
        }
    } while (options->ops != 0
                 ? sent < options->ops
                 : sent % 64 != 0 || bench_now_ns() < window.next_ns); /* looks at the clock now and then */
    finish(epoll, fd, &window, sent, BENCH_MESSAGE);
}

static void await_pong(int epoll, int fd)
{
    for (size_t have = 0; have < sizeof frame;) {
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

void plain_framed_pingpong_client(const struct bench_options *options)
{
    int epoll = plain_epoll();
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    struct bench_window window;
    fill_frame();
    bench_window_open(&window, options, 15);
    do {
        plain_send_small(fd, frame, sizeof frame);
        await_pong(epoll, fd);
    } while (bench_window_count(&window));
    bench_window_report(&window, "tcp");
    close(fd);
    close(epoll);
}

void plain_framed_bulk_client(const struct bench_options *options)
{
    uint64_t count = options->ops != 0 ? options->ops : options->bytes / BENCH_LARGE;
    uint32_t length = htonl(BENCH_LARGE);
    int epoll = plain_epoll();
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    struct bench_window window;
    bench_window_open(&window, options, 0);
    for (uint64_t i = 0; i < count; i++) {
        struct iovec both[2] = {{&length, HEAD}, {large, sizeof large}};
        write_all(epoll, fd, both, 2);
    }
    finish(epoll, fd, &window, count, BENCH_LARGE);
}
