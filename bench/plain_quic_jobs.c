/*
 * The QUIC rows: as those of TLS, over one stream of one connection; `streams`, which opens one for every 100 bytes;
 * and `idle`, with many connections of which each has sent one ping. The handshake is not measured but in connect.
 */
#include "plain_quic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum job { JOB_PINGPONG, JOB_BULK, JOB_CONNECT, JOB_STREAMS, JOB_IDLE };

static enum job job;

static void begin(struct quic_job *q, const struct bench_options *options)
{
    static const char *const names[] = {"pingpong", "bulk", "connect", "streams", "idle"};
    for (job = JOB_PINGPONG; strcmp(names[job], options->job) != 0; job++) {
    }
    quic_begin(q, options);
}

/* -------------------------------------------------------------------------------------------------- server */

static uint64_t count_peers(void)
{
    uint64_t count = 0;
    for (struct quic_peer *peer = quic_peers; peer != NULL; peer = peer->next) {
        count++;
    }
    return count;
}

/* A pong for every ping; the end for an end; in bulk the number of bytes, and then the end. */
static void answer(struct quic_peer *peer, struct quic_stream *stream, size_t count)
{
    (void)peer;
    (void)count;
    if (job == JOB_IDLE) {
        bench_memory_write(count_peers(), (char *)quic_payload);
    }
    if (job != JOB_BULK) {
        stream->to_send = stream->received - stream->received % BENCH_MESSAGE;
    } else if (stream->fin_received) {
        stream->answers_count = true;
        memcpy(stream->count, &stream->received, BENCH_COUNT);
        stream->to_send = BENCH_COUNT;
    }
    stream->fin_wanted = stream->fin_received;
}

/* Does what is due for each, frees those that are over; returns when the next is due. */
static int look_after(void)
{
    int timeout = -1;
    for (struct quic_peer *peer = quic_peers, *next; peer != NULL; peer = next) {
        next = peer->next;
        quic_expire(peer);
        if (peer->over) {
            quic_free(peer);
            continue;
        }
        int one = quic_timeout(peer);
        if (one >= 0 && (timeout < 0 || one < timeout)) {
            timeout = one;
        }
    }
    return timeout;
}

void plain_quic_server(const struct bench_options *options)
{
    struct quic_job q = {.received = answer};
    uint16_t port;
    int epoll = plain_epoll();
    begin(&q, options);
    int fd = quic_socket(true, &port);
    plain_watch(epoll, fd, EPOLLIN, NULL);
    bench_ready(port);
    for (;;) {
        struct epoll_event event;
        int ready = epoll_wait(epoll, &event, 1, look_after());
        if (ready > 0) {
            quic_read(&q, fd, NULL);
        } else if (ready < 0 && errno != EINTR) {
            bench_die_errno("epoll_wait");
        }
        for (struct quic_peer *peer = quic_peers; peer != NULL && peer->blocked != NULL; peer = peer->next) {
            quic_write(peer);
        }
    }
}

/* -------------------------------------------------------------------------------------------------- client */

static struct quic_job the_client;

static void turn(int epoll, struct quic_peer *peer)
{
    struct epoll_event event;
    quic_write(peer);
    int ready = epoll_wait(epoll, &event, 1, quic_timeout(peer));
    if (ready > 0) {
        quic_read(&the_client, peer->fd, peer);
    } else if (ready < 0 && errno != EINTR) {
        bench_die_errno("epoll_wait");
    }
    quic_expire(peer);
    if (peer->over) {
        bench_die("quic", ngtcp2_strerror(peer->why));
    }
}

static struct quic_peer *connect_peer(int epoll, const struct bench_options *options)
{
    struct quic_peer *peer = quic_connect(&the_client, options);
    plain_watch(epoll, peer->fd, EPOLLIN | EPOLLET, peer);
    while (!peer->ready) {
        turn(epoll, peer);
    }
    return peer;
}

static void ping(int epoll, struct quic_peer *peer, struct quic_stream *stream)
{
    stream->to_send += BENCH_MESSAGE;
    while (stream->received < stream->to_send) {
        turn(epoll, peer);
    }
}

static void run_bulk(int epoll, struct quic_peer *peer, struct quic_stream *stream, struct bench_window *window)
{
    const struct bench_options *options = window->options;
    uint64_t bytes = options->ops != 0 ? options->ops * BENCH_CHUNK : options->bytes;
    stream->to_send = bytes;
    stream->fin_wanted = true;
    uint64_t before = peer->ended;
    while (peer->ended == before) {
        turn(epoll, peer);
    }
    bench_window_close(window, bytes / BENCH_CHUNK);
}

static void run_streams(int epoll, struct quic_peer *peer, struct bench_window *window)
{
    do {
        struct quic_stream *stream;
        uint64_t before = peer->ended;
        while ((stream = quic_open(peer)) == NULL) {
            turn(epoll, peer);
        }
        stream->to_send = BENCH_MESSAGE;
        stream->fin_wanted = true;
        while (peer->ended == before) {
            turn(epoll, peer);
        }
    } while (bench_window_count(window));
}

/* Both ends of data are seen, as in the other rows of connections: those of one stream. */
static void run_connect(int epoll, struct bench_window *window)
{
    do {
        struct quic_peer *peer = connect_peer(epoll, window->options);
        struct quic_stream *stream = quic_open(peer);
        while (stream == NULL) {
            turn(epoll, peer);
            stream = quic_open(peer);
        }
        stream->fin_wanted = true;
        while (peer->ended == 0) {
            turn(epoll, peer);
        }
        quic_close(peer);
        quic_free(peer);
    } while (bench_window_count(window));
}

/* Its figures are the answer to a ping of the first connection. */
static void run_idle(int epoll, struct quic_peer *peer, struct quic_stream *stream, const struct bench_options *options)
{
    struct bench_memory own[2], its[2];
    struct quic_peer *crowd = NULL;
    ping(epoll, peer, stream);
    memcpy(&its[0], quic_answer, sizeof its[0]);
    bench_memory_read(&own[0]);
    for (uint64_t i = 0; i < options->idle; i++) {
        struct quic_peer *one = connect_peer(epoll, options);
        ping(epoll, one, quic_open(one));
        one->next = crowd;
        crowd = one;
    }
    ping(epoll, peer, stream);
    memcpy(&its[1], quic_answer, sizeof its[1]);
    bench_memory_read(&own[1]);
    bench_report_memory(options->idle, own, its);
    while (crowd != NULL) {
        struct quic_peer *one = crowd;
        crowd = one->next;
        quic_close(one);
        quic_free(one);
    }
}

void plain_quic_client(const struct bench_options *options)
{
    struct bench_window window = {.options = options};
    int epoll = plain_epoll();
    begin(&the_client, options);
    if (job == JOB_CONNECT) {
        bench_window_open(&window, options, 0);
        run_connect(epoll, &window);
        bench_window_report(&window, "quic");
        quic_end(&the_client);
        return;
    }
    struct quic_peer *peer = connect_peer(epoll, options);
    struct quic_stream *stream = job == JOB_STREAMS ? NULL : quic_open(peer);
    bench_window_open(&window, options, 15);
    if (job == JOB_IDLE) {
        run_idle(epoll, peer, stream, options);
    } else if (job == JOB_BULK) {
        run_bulk(epoll, peer, stream, &window);
    } else if (job == JOB_STREAMS) {
        run_streams(epoll, peer, &window);
    } else {
        do {
            ping(epoll, peer, stream);
        } while (bench_window_count(&window));
    }
    if (job != JOB_IDLE) {
        bench_window_report(&window, "quic");
    }
    quic_close(peer);
    quic_free(peer);
    quic_end(&the_client);
    close(epoll);
}
