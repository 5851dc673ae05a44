/* tcp, tls: what a Connection that does nothing costs in memory, on either side. One Connection asks the server for its
   figures, by a ping, before and after the others have come. */
#include "taps_bench.h"

#include <string.h>

static taps_connection *asker;
static char message[BENCH_MESSAGE];
static size_t have;
static bool crowded;
static struct bench_memory own[2], peer[2];

static void ask(void)
{
    have = 0;
    bench_check(taps_connection_send(asker, message, sizeof message, NULL, 0, NULL), "send");
}

static void on_crowd_open(void)
{
    crowded = true;
    ask();
}

static void on_answered(void)
{
    memcpy(&peer[crowded], message, sizeof peer[crowded]);
    if (!crowded) {
        bench_crowd_prepare();
        bench_memory_read(&own[0]);
        bench_crowd_open(on_crowd_open);
    } else if (peer[1].connections <= bench_options.idle) {
        ask();
    } else {
        bench_memory_read(&own[1]);
        bench_report_memory(bench_options.idle, own, peer);
        bench_stop();
    }
}

static void on_answer(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (part->length > sizeof message - have) {
        bench_die("idle", "the answer is too long");
    }
    memcpy(message + have, part->data, part->length);
    have += part->length;
    if (have == sizeof message) {
        on_answered();
    }
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
}

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    ask();
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
}

static const struct taps_connection_events client_events = {
    .ready = on_ready,
    .received = on_answer,
    .received_partial = on_answer,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void run(void)
{
    asker = bench_initiate(&client_events);
}

const struct taps_job taps_idle = {"idle", taps_serve_pings, run};
