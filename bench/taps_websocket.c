/* tcp with the Framer websocket: Messages of 100 bytes there and back, one at a time, or --batch of them under way. The
   server sends back the bytes that came. */
#include "taps_bench.h"

#include <string.h>

static char message[BENCH_MESSAGE];

/* The peer's end is no Message: it is told at the next Receive, or to the one that waits. */
static void receive(taps_connection *connection)
{
    int status = taps_connection_receive(connection, SIZE_MAX, SIZE_MAX, NULL);
    if (status == TAPS_E_CLOSED) {
        bench_check(taps_connection_close(connection), "close");
    } else {
        bench_check(status, "receive");
    }
}

static void on_server_message(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    bench_check(taps_connection_send(connection, part->data, part->length, NULL, 0, NULL), "send");
    receive(connection);
}

static void on_server_end(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    (void)user;
    if (error->code == TAPS_E_CLOSED && taps_connection_state(connection) == TAPS_ESTABLISHED) {
        bench_check(taps_connection_close(connection), "close");
    }
}

static const struct taps_connection_events server_events = {
    .received = on_server_message,
    .receive_error = on_server_end,
    .closed = bench_gone,
    .connection_error = bench_lost,
};

static void serve(taps_connection *connection)
{
    taps_connection_set_events(connection, &server_events, NULL);
    receive(connection);
}

static void ask(taps_connection *connection)
{
    bench_check(taps_connection_send(connection, message, sizeof message, NULL, 0, NULL), "send");
}

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    memset(message, '?', sizeof message);
    bench_window_open(&bench_window, &bench_options, 15);
    for (uint64_t i = 0; i == 0 || i < bench_options.batch; i++) {
        ask(connection);
    }
    receive(connection);
}

static void on_answer(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (part->length != sizeof message || memcmp(part->data, message, sizeof message) != 0) {
        bench_die("websocket-echo", "another Message came back");
    }
    if (bench_window_count(&bench_window)) {
        ask(connection);
        receive(connection);
    } else {
        bench_finish(connection);
    }
}

static const struct taps_connection_events client_events = {
    .ready = on_ready,
    .received = on_answer,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void run(void)
{
    bench_initiate(&client_events);
}

const struct taps_job taps_websocket_echo = {"websocket-echo", serve, run};
