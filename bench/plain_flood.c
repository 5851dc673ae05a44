/* TCP: messages of 100 bytes as fast as they go, a send() for each or a writev() for many; the bulk server counts them.
   The time ends when the server has said that it has them all. */
#include "plain.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static char message[BENCH_MESSAGE];
static struct iovec pieces[1024];

/* Messages sent so far; read the clock only now and then. */
static bool more(const struct bench_window *window, uint64_t sent, uint64_t *next_look)
{
    if (window->options->ops != 0) {
        return sent < window->options->ops;
    }
    if (sent < *next_look) {
        return true;
    }
    *next_look = sent + 64;
    return bench_now_ns() < window->next_ns;
}

static void await_room(int epoll)
{
    struct epoll_event event;
    if (errno != EAGAIN) {
        bench_die_errno("send");
    }
    plain_wait(epoll, &event, 1);
}

static void send_one(int epoll, int fd)
{
    for (size_t at = 0; at < sizeof message;) {
        ssize_t count = send(fd, message + at, sizeof message - at, MSG_NOSIGNAL);
        if (count < 0) {
            await_room(epoll);
        } else {
            at += (size_t)count;
        }
    }
}

/* The first `from` bytes of all pieces have gone: writes the rest. */
static size_t write_pieces(int fd, size_t count, size_t from)
{
    size_t first = from / BENCH_MESSAGE, within = from % BENCH_MESSAGE;
    pieces[first] = (struct iovec){message + within, BENCH_MESSAGE - within};
    ssize_t written = writev(fd, pieces + first, (int)(count - first));
    pieces[first] = (struct iovec){message, BENCH_MESSAGE};
    return written < 0 ? 0 : (size_t)written;
}

static void send_batch(int epoll, int fd, size_t count)
{
    for (size_t at = 0; at < count * BENCH_MESSAGE;) {
        size_t written = write_pieces(fd, count, at);
        if (written == 0) {
            await_room(epoll);
        }
        at += written;
    }
}

static uint64_t send_all(int epoll, int fd, const struct bench_window *window)
{
    uint64_t sent = 0, next_look = 64, batch = window->options->batch;
    do {
        if (batch == 0) {
            send_one(epoll, fd);
            sent++;
        } else {
            send_batch(epoll, fd, batch);
            sent += batch;
        }
    } while (more(window, sent, &next_look));
    return sent;
}

void plain_flood_client(const struct bench_options *options)
{
    struct bench_window window;
    int epoll = plain_epoll();
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        pieces[i] = (struct iovec){message, BENCH_MESSAGE};
    }
    bench_window_open(&window, options, 0);
    uint64_t sent = send_all(epoll, fd, &window);
    shutdown(fd, SHUT_WR);
    if (plain_await_count(epoll, fd) != sent * BENCH_MESSAGE) {
        bench_die("flood", "the server has another count");
    }
    bench_window_close(&window, sent);
    bench_window_report(&window, "tcp");
    close(fd);
    close(epoll);
}
