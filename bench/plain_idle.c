/* TCP: many connections that do nothing, and what each costs in memory. The ping-pong server is the other end: in this
   job its answer holds the figures of its own side. */
#include "plain.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    bool connected;
    struct peer *next;
};

static struct peer *crowd;

static void begin(int epoll, const struct bench_options *options)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        bench_die("peer", "no memory");
    }
    peer->fd = plain_connect(SOCK_STREAM, options);
    peer->next = crowd;
    crowd = peer;
    plain_reset_on_close(peer->fd);
    plain_watch(epoll, peer->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, peer);
}

void plain_open_crowd(int epoll, const struct bench_options *options)
{
    uint64_t begun = 0, connected = 0;
    while (connected < options->idle) {
        struct epoll_event events[BENCH_AT_ONCE];
        for (; begun < options->idle && begun - connected < BENCH_AT_ONCE; begun++) {
            begin(epoll, options);
        }
        int ready = plain_wait(epoll, events, BENCH_AT_ONCE);
        for (int i = 0; i < ready; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == NULL) {
                continue; /* the one that asks */
            }
            plain_connected(peer->fd);
            connected += !peer->connected;
            peer->connected = true;
        }
    }
}

void plain_close_crowd(void)
{
    while (crowd != NULL) {
        struct peer *peer = crowd;
        crowd = peer->next;
        close(peer->fd);
        free(peer);
    }
}

static void ask(int epoll, int fd, struct bench_memory *answer)
{
    static char message[BENCH_MESSAGE];
    plain_send_small(fd, message, sizeof message);
    for (size_t have = 0; have < sizeof message;) {
        struct epoll_event event;
        ssize_t count = recv(fd, message + have, sizeof message - have, 0);
        if (count == 0) {
            bench_die("recv", "the server closed");
        }
        if (count > 0) {
            have += (size_t)count;
        } else {
            plain_wait(epoll, &event, 1);
        }
    }
    memcpy(answer, message, sizeof *answer);
}

void plain_idle_client(const struct bench_options *options)
{
    struct bench_memory own[2], peer[2];
    int epoll = plain_epoll();
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    ask(epoll, fd, &peer[0]);
    bench_memory_read(&own[0]);
    plain_open_crowd(epoll, options);
    do {
        ask(epoll, fd, &peer[1]);
    } while (peer[1].connections <= options->idle);
    bench_memory_read(&own[1]);
    bench_report_memory(options->idle, own, peer);
    plain_close_crowd();
    close(fd);
    close(epoll);
}
