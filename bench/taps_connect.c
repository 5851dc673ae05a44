/* tcp, tls: Initiate to an address or a name, Ready, Close, Closed, one Connection at a time; the server Closes at the
   end of data, or in the hammer job, which has a plain client, at a request. With --drop both ends free the Connection
   instead, which is close(2) at once. */
#include "taps_bench.h"

static bool job_is_hammer;

static void begin(void);

static void leave(taps_connection *connection)
{
    if (bench_options.drop) {
        taps_connection_free(connection);
    } else {
        bench_check(taps_connection_close(connection), "close");
    }
}

static void on_server_data(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (part->final || job_is_hammer) {
        leave(connection);
    } else {
        bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
    }
}

static const struct taps_connection_events server_events = {
    .received = on_server_data,
    .received_partial = on_server_data,
    .closed = bench_gone,
    .connection_error = bench_lost,
};

static void serve(taps_connection *connection)
{
    taps_connection_set_events(connection, &server_events, NULL);
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
}

static void go_on(taps_connection *connection)
{
    bool more = bench_window_count(&bench_window);
    if (!more) {
        bench_finish(connection);
    }
    taps_connection_free(connection);
    if (more) {
        begin();
    }
}

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    if (bench_options.drop) {
        go_on(connection);
    } else {
        leave(connection);
    }
}

static void on_closed(taps_connection *connection, void *user)
{
    (void)user;
    go_on(connection);
}

static const struct taps_connection_events client_events = {
    .ready = on_ready,
    .closed = on_closed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void begin(void)
{
    bench_initiate(&client_events);
}

static void run(void)
{
    bench_window_open(&bench_window, &bench_options, 0);
    begin();
}

const struct taps_job taps_connect = {"connect", serve, run};

static void serve_hammer(taps_connection *connection)
{
    job_is_hammer = true;
    serve(connection);
}

static void run_hammer(void)
{
    bench_die("hammer", "its client is a plain one");
}

const struct taps_job taps_hammer = {"hammer", serve_hammer, run_hammer};
