/* TCP: connect to an address or a name and close, one connection at a time. With drop the client closes at once;
   without, it sends its end of data and waits for the server's, as Close of RFC 9622 promises. The server closes when
   it sees the end, or in the hammer job a request. */
#include "plain.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void accept_peers(int epoll, int listener, const struct bench_options *options)
{
    /* One per event: the listener is level-triggered, so no accept is spent on finding nobody. For many at once it is
       cheaper to go on. */
    do {
        int fd = plain_accept(listener, options);
        if (fd < 0) {
            return;
        }
        plain_watch(epoll, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, (void *)(intptr_t)fd);
    } while (options->drain);
}

void plain_connect_server(const struct bench_options *options)
{
    static char buffer[BENCH_CHUNK];
    const bool hammer = strcmp(options->job, "hammer") == 0;
    uint16_t port;
    int epoll = plain_epoll();
    int listener = plain_listen(SOCK_STREAM, &port);
    plain_watch(epoll, listener, EPOLLIN, NULL);
    bench_ready(port);
    for (;;) {
        struct epoll_event events[64];
        int ready = plain_wait(epoll, events, 64);
        for (int i = 0; i < ready; i++) {
            int fd = (int)(intptr_t)events[i].data.ptr;
            if (fd == 0) {
                accept_peers(epoll, listener, options);
                continue;
            }
            ssize_t count = recv(fd, buffer, sizeof buffer, 0);
            if (count <= 0 ? count == 0 || errno != EAGAIN : hammer) {
                close(fd);
            }
        }
    }
}

static void await(int epoll, uint32_t wanted)
{
    struct epoll_event event;
    do {
        plain_wait(epoll, &event, 1);
    } while ((event.events & wanted) == 0);
}

void plain_connect_client(const struct bench_options *options)
{
    int epoll = plain_epoll();
    struct bench_window window;
    bench_window_open(&window, options, 0);
    do {
        int fd = plain_connect(SOCK_STREAM, options);
        plain_watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, NULL);
        await(epoll, EPOLLOUT);
        plain_connected(fd);
        if (!options->drop) {
            char byte;
            shutdown(fd, SHUT_WR);
            await(epoll, EPOLLRDHUP);
            if (recv(fd, &byte, 1, 0) != 0) {
                bench_die_errno("end of data");
            }
        }
        close(fd);
    } while (bench_window_count(&window));
    bench_window_report(&window, "tcp");
    close(epoll);
}
