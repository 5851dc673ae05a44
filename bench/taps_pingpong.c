/* tcp, tls, udp, dtls: 100 bytes there and 100 bytes back. The server also answers the exchange job, whose 100 bytes
   come in two sends, and the idle job, where the answer tells its memory. On a stream the bytes may come in parts,
   which are only counted. */
#include "taps_bench.h"

#include <stdlib.h>
#include <string.h>

struct peer {
    size_t have;
};

static char message[BENCH_MESSAGE];
static bool tells_memory;
static uint64_t accepted;
static size_t have;
static uint64_t start_ns;

static void receive(taps_connection *connection)
{
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
}

static void send_message(taps_connection *connection)
{
    bench_check(taps_connection_send(connection, message, sizeof message, NULL, 0, NULL), "send");
}

static void on_server_data(taps_connection *connection, const struct taps_received *part, void *user)
{
    struct peer *peer = user;
    for (peer->have += part->length; peer->have >= BENCH_MESSAGE; peer->have -= BENCH_MESSAGE) {
        if (tells_memory) {
            bench_memory_write(accepted, message);
        }
        send_message(connection);
    }
    if (part->final) {
        bench_check(taps_connection_close(connection), "close");
    } else {
        receive(connection);
    }
}

static const struct taps_connection_events server_events = {
    .received = on_server_data,
    .received_partial = on_server_data,
    .closed = bench_gone,
    .connection_error = bench_lost,
};

void taps_serve_pings(taps_connection *connection)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        bench_die("peer", "no memory");
    }
    tells_memory = strcmp(bench_options.job, "idle") == 0;
    accepted++;
    taps_connection_set_events(connection, &server_events, peer);
    receive(connection);
}

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    bench_window_open(&bench_window, &bench_options, 15);
    send_message(connection);
    receive(connection);
}

static void on_pong(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    have += part->length;
    if (have >= BENCH_MESSAGE) {
        have = 0;
        if (!bench_window_count(&bench_window)) {
            bench_finish(connection);
            return;
        }
        send_message(connection);
    }
    receive(connection);
}

static const struct taps_connection_events client_events = {
    .ready = on_ready,
    .received = on_pong,
    .received_partial = on_pong,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void begin(void)
{
    bench_initiate(&client_events);
}

static void run(void)
{
    bench_crowd_prepare();
    bench_crowd_open(begin);
}

const struct taps_job taps_pingpong = {"pingpong", taps_serve_pings, run};

/* Two small sends, then a read. The second follows in the same callback or, with --split, after the first one's Sent.
 */

static void send_second(taps_connection *connection)
{
    bench_check(taps_connection_send(connection, message + BENCH_FIRST, BENCH_SECOND, NULL, 0, NULL), "send");
}

static void begin_exchange(taps_connection *connection)
{
    start_ns = bench_now_ns();
    bench_check(taps_connection_send(connection, message, BENCH_FIRST, NULL, 0, message), "send");
    if (!bench_options.split) {
        send_second(connection);
    }
}

static void on_exchange_ready(taps_connection *connection, void *user)
{
    (void)user;
    bench_window_open(&bench_window, &bench_options, 0);
    begin_exchange(connection);
    receive(connection);
}

static void on_exchange_sent(taps_connection *connection, void *tag, void *user)
{
    (void)user;
    if (tag == message) {
        send_second(connection);
    }
}

static void on_exchange_answer(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    have += part->length;
    if (have >= BENCH_MESSAGE) {
        have = 0;
        bench_window_latency(&bench_window, start_ns);
        if (!bench_window_count(&bench_window)) {
            bench_finish(connection);
            return;
        }
        begin_exchange(connection);
    }
    receive(connection);
}

static const struct taps_connection_events exchange_events = {
    .ready = on_exchange_ready,
    .received = on_exchange_answer,
    .received_partial = on_exchange_answer,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static const struct taps_connection_events split_exchange_events = {
    .ready = on_exchange_ready,
    .sent = on_exchange_sent,
    .received = on_exchange_answer,
    .received_partial = on_exchange_answer,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void run_exchange(void)
{
    bench_initiate(bench_options.split ? &split_exchange_events : &exchange_events);
}

const struct taps_job taps_exchange = {"exchange", taps_serve_pings, run_exchange};
