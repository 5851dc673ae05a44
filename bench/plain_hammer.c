/* TCP: many connections at once, each with one byte as its request; the server reads it and closes. The row measures
   servers: this client is the same for both of them. It ends its connections by a reset, so that neither side keeps
   them in TIME-WAIT. */
#include "plain.h"

#include <sys/socket.h>
#include <unistd.h>

static void begin(int epoll, const struct bench_options *options)
{
    int fd = plain_connect(SOCK_STREAM, options);
    plain_reset_on_close(fd);
    plain_watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, (void *)(intptr_t)fd);
}

void plain_hammer_client(const struct bench_options *options)
{
    struct bench_window window;
    int epoll = plain_epoll();
    for (int i = 0; i < BENCH_AT_ONCE; i++) {
        begin(epoll, options);
    }
    bench_window_open(&window, options, 0);
    for (bool going = true; going;) {
        struct epoll_event events[BENCH_AT_ONCE];
        int ready = plain_wait(epoll, events, BENCH_AT_ONCE);
        for (int i = 0; i < ready && going; i++) {
            int fd = (int)(intptr_t)events[i].data.ptr;
            if ((events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) {
                plain_connected(fd);
                plain_send_small(fd, "?", 1);
                continue;
            }
            close(fd);
            going = bench_window_count(&window);
            begin(epoll, options);
        }
    }
    bench_window_report(&window, "tcp");
    close(epoll);
}
