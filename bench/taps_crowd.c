/* Many Connections that do nothing but wait for a Receive, as those of most servers and chats do. Over QUIC each sends
   a Message and has it back before: the server hears of a stream with its first byte. */
#include "taps_bench.h"

#include <stdlib.h>
#include <string.h>

static taps_connection **crowd;
static uint64_t begun, ready;
static void (*when_open)(void);

static void begin_some(void);

static void receive(taps_connection *connection)
{
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
}

static void count(void)
{
    ready++;
    begin_some();
    if (ready == bench_options.idle) {
        when_open();
    }
}

static void on_ready(taps_connection *connection, void *user)
{
    static const char message[BENCH_MESSAGE];
    (void)user;
    receive(connection);
    if (strcmp(bench_options.stack, "quic") == 0) {
        bench_check(taps_connection_send(connection, message, sizeof message, NULL, 0, NULL), "send");
    } else {
        count();
    }
}

/* The one Message, which a single packet holds. */
static void on_data(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    (void)part;
    receive(connection);
    count();
}

static const struct taps_connection_events events = {
    .ready = on_ready,
    .received = on_data,
    .received_partial = on_data,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void begin_some(void)
{
    for (; begun < bench_options.idle && begun - ready < BENCH_AT_ONCE; begun++) {
        crowd[begun] = bench_initiate(&events);
    }
}

void bench_crowd_prepare(void)
{
    crowd = calloc(bench_options.idle + 1, sizeof *crowd);
    if (crowd == NULL) {
        bench_die("crowd", "no memory");
    }
}

void bench_crowd_open(void (*done)(void))
{
    when_open = done;
    if (bench_options.idle == 0) {
        done();
    } else {
        begin_some();
    }
}

/* By a reset, so that the kernel keeps nothing of ten thousand connections. */
void bench_crowd_close(void)
{
    for (uint64_t i = 0; crowd != NULL && i < begun; i++) {
        taps_connection_abort(crowd[i]);
        taps_connection_free(crowd[i]);
    }
    free(crowd);
    crowd = NULL;
}
