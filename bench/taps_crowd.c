/* Many Connections that do nothing but wait for a Receive, as those of most servers and chats do. */
#include "taps_bench.h"

#include <stdlib.h>

static taps_connection **crowd;
static uint64_t begun, ready;
static void (*when_open)(void);

static void begin_some(void);

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
    ready++;
    begin_some();
    if (ready == bench_options.idle) {
        when_open();
    }
}

static const struct taps_connection_events events = {
    .ready = on_ready,
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
