/* tcp with the Framer length-prefix. Flood: Messages of 100 bytes as fast as they go; pingpong: one there and one back;
   bulk: Messages of 1 MiB, lent. The server counts the bytes of Messages, whole ones but in the bulk job, and says at
   the end how many there were, in a last Message. */
#include "taps_bench.h"

#include <stdlib.h>
#include <string.h>

#define UNDER_WAY       1024
#define LARGE_UNDER_WAY 4

struct peer {
    uint64_t bytes;
};

static char message[BENCH_MESSAGE];
static char large[BENCH_LARGE];
static uint64_t sent, bytes;
static bool over;

/* ------------------------------------------------------------------------------------------------- server */

static bool is_bulk, is_pings;

static void answer(taps_connection *connection, struct peer *peer)
{
    bench_check(taps_connection_send(connection, &peer->bytes, BENCH_COUNT, NULL, 0, NULL), "send");
    bench_check(taps_connection_close(connection), "close");
}

/* The peer's end is no Message: it is told at the next Receive, or to the one that waits. */
static void receive(taps_connection *connection, struct peer *peer)
{
    bool whole = !is_bulk;
    int status = taps_connection_receive(connection, whole ? SIZE_MAX : 1, whole ? SIZE_MAX : BENCH_CHUNK, NULL);
    if (status == TAPS_E_CLOSED) {
        answer(connection, peer);
    } else {
        bench_check(status, "receive");
    }
}

static void on_server_data(taps_connection *connection, const struct taps_received *part, void *user)
{
    struct peer *peer = user;
    peer->bytes += part->length;
    if (is_pings) {
        bench_check(taps_connection_send(connection, message, sizeof message, NULL, 0, NULL), "send");
    }
    receive(connection, peer);
}

static void on_server_end(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    if (error->code == TAPS_E_CLOSED && taps_connection_state(connection) == TAPS_ESTABLISHED) {
        answer(connection, user);
    }
}

static const struct taps_connection_events server_events = {
    .received = on_server_data,
    .received_partial = on_server_data,
    .receive_error = on_server_end,
    .closed = bench_gone,
    .connection_error = bench_lost,
};

static void look_at_job(void)
{
    is_bulk = strcmp(bench_options.job, "framed-bulk") == 0;
    is_pings = strcmp(bench_options.job, "framed-pingpong") == 0;
}

static void serve(taps_connection *connection)
{
    look_at_job();
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        bench_die("peer", "no memory");
    }
    taps_connection_set_events(connection, &server_events, peer);
    receive(connection, peer);
}

/* ------------------------------------------------------------------------------------------------- clients */

static bool more(void)
{
    if (is_bulk) {
        return sent < (bench_options.ops != 0 ? bench_options.ops : bench_options.bytes / BENCH_LARGE);
    }
    if (bench_options.ops != 0) {
        return sent < bench_options.ops;
    }
    return sent % 64 != 0 || bench_now_ns() < bench_window.next_ns;
}

/* The last one is final: a Framer has no Message without bytes that would be only that. */
static void send_next(taps_connection *connection)
{
    static taps_message_context *last;
    if (over) {
        return;
    }
    sent++;
    over = !more();
    if (over) {
        bench_check(taps_message_context_new(&last), "message context");
        bench_check(taps_message_context_set(last, "final", "true"), "final");
    }
    bytes += is_bulk ? sizeof large : sizeof message;
    bench_check(taps_connection_send(connection, is_bulk ? large : message, is_bulk ? sizeof large : sizeof message,
                                     over ? last : NULL, is_bulk ? TAPS_SEND_LEND : 0, NULL),
                "send");
    if (over) {
        taps_message_context_free(last);
    }
}

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    bench_window_open(&bench_window, &bench_options, 0);
    for (int i = 0; i < (is_bulk ? LARGE_UNDER_WAY : UNDER_WAY); i++) {
        send_next(connection);
    }
    bench_check(taps_connection_receive(connection, SIZE_MAX, SIZE_MAX, NULL), "receive");
}

static void on_sent(taps_connection *connection, void *tag, void *user)
{
    (void)tag;
    (void)user;
    send_next(connection);
}

static void on_answer(taps_connection *connection, const struct taps_received *part, void *user)
{
    uint64_t counted = 0;
    (void)user;
    if (part->length != sizeof counted) {
        bench_die("framed", "the answer has another length");
    }
    memcpy(&counted, part->data, sizeof counted);
    if (counted != bytes) {
        bench_die("framed", "the server has another count");
    }
    bench_window_close(&bench_window, sent);
    bench_finish(connection);
}

static const struct taps_connection_events client_events = {
    .ready = on_ready,
    .sent = on_sent,
    .received = on_answer,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void run(void)
{
    look_at_job();
    bench_initiate(&client_events);
}

static void ping(taps_connection *connection)
{
    bench_check(taps_connection_send(connection, message, sizeof message, NULL, 0, NULL), "send");
    bench_check(taps_connection_receive(connection, SIZE_MAX, SIZE_MAX, NULL), "receive");
}

static void on_ping_ready(taps_connection *connection, void *user)
{
    (void)user;
    bench_window_open(&bench_window, &bench_options, 15);
    ping(connection);
}

static void on_pong(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)part;
    (void)user;
    if (bench_window_count(&bench_window)) {
        ping(connection);
    } else {
        bench_finish(connection);
    }
}

static const struct taps_connection_events ping_events = {
    .ready = on_ping_ready,
    .received = on_pong,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void run_pings(void)
{
    look_at_job();
    bench_initiate(&ping_events);
}

const struct taps_job taps_framed_flood = {"framed-flood", serve, run};
const struct taps_job taps_framed_bulk = {"framed-bulk", serve, run};
const struct taps_job taps_framed_pingpong = {"framed-pingpong", serve, run_pings};
