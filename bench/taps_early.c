/* tls, quic: a new connection for each question of 100 bytes: Initiate with it, its answer, Close, Closed. With
   --resume the question is early data of a resumed session, from the second connection on. */
#include "taps_bench.h"

static char message[BENCH_MESSAGE];
static taps_message_context *only; /* a context that says: it may come twice, nothing follows */

static void begin(void);

static void receive(taps_connection *connection)
{
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
}

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    receive(connection);
}

static void on_data(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (part->final) {
        bench_check(taps_connection_close(connection), "close");
    } else {
        receive(connection);
    }
}

static void on_closed(taps_connection *connection, void *user)
{
    (void)user;
    bool more = bench_window_count(&bench_window);
    if (!more) {
        bench_finish(connection);
    }
    taps_connection_free(connection);
    if (more) {
        begin();
    }
}

static const struct taps_connection_events events = {
    .ready = on_ready,
    .received = on_data,
    .received_partial = on_data,
    .closed = on_closed,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void begin(void)
{
    bench_initiate_with(&events, message, sizeof message, only);
}

static void run(void)
{
    bench_check(taps_message_context_new(&only), "message context");
    bench_check(taps_message_context_set(only, "safelyReplayable", "true"), "safelyReplayable");
    bench_check(taps_message_context_set(only, "final", "true"), "final");
    bench_window_open(&bench_window, &bench_options, 0);
    begin();
}

const struct taps_job taps_early = {"early", taps_serve_pings, run};
