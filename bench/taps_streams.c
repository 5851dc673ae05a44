/* quic: a stream for every 100 bytes: Clone, send them with the end, have them back with the end, Closed. */
#include "taps_bench.h"

#include <string.h>

static char message[BENCH_MESSAGE];
static taps_message_context *last; /* a context that says: nothing follows */
static taps_connection *first;

static void need_context(void)
{
    if (last == NULL) {
        bench_check(taps_message_context_new(&last), "context");
        bench_check(taps_message_context_set(last, "final", "true"), "final");
    }
}

static void send_last(taps_connection *connection)
{
    bench_check(taps_connection_send(connection, message, sizeof message, last, 0, NULL), "send");
}

static void receive(taps_connection *connection)
{
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
}

/* -------------------------------------------------------------------------------------------------- server */

static void on_server_data(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (!part->final) {
        receive(connection);
        return;
    }
    send_last(connection);
    bench_check(taps_connection_close(connection), "close");
}

static const struct taps_connection_events server_events = {
    .received = on_server_data,
    .received_partial = on_server_data,
    .closed = bench_gone,
    .connection_error = bench_lost,
};

static void serve(taps_connection *connection)
{
    need_context();
    taps_connection_set_events(connection, &server_events, NULL);
    receive(connection);
}

/* -------------------------------------------------------------------------------------------------- client */

static void next(void);

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    send_last(connection);
    receive(connection);
}

static void on_data(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (!part->final) {
        receive(connection);
        return;
    }
    bench_check(taps_connection_close(connection), "close");
}

static void on_closed(taps_connection *connection, void *user)
{
    (void)user;
    bool more = bench_window_count(&bench_window);
    if (more) {
        next();
    } else {
        bench_finish(connection);
    }
    taps_connection_free(connection);
}

static const struct taps_connection_events stream_events = {
    .ready = on_ready,
    .received = on_data,
    .received_partial = on_data,
    .closed = on_closed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
    .send_error = bench_send_failed,
};

static void next(void)
{
    taps_connection *stream;
    bench_check(taps_connection_clone(first, NULL, NULL, &stream_events, NULL, &stream), "clone");
}

/* The first stream stays open, and with it the session. */
static void on_first_ready(taps_connection *connection, void *user)
{
    (void)connection;
    (void)user;
    bench_window_open(&bench_window, &bench_options, 15);
    next();
}

static const struct taps_connection_events first_events = {
    .ready = on_first_ready,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void run(void)
{
    need_context();
    first = bench_initiate(&first_events);
}

const struct taps_job taps_streams = {"streams", serve, run};
