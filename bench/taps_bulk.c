/* tcp, tls: one transfer in lent sends of 64 KiB, the last one final; the server answers with the bytes it has
   received. A few sends are always under way, as a program does that reads the next piece of a file at each Sent. */
#include "taps_bench.h"

#include <stdlib.h>
#include <string.h>

#define UNDER_WAY 8

struct peer {
    uint64_t bytes;
};

static char chunk[BENCH_CHUNK];
static uint64_t chunks_left, chunks;
static taps_message_context *last;

static void receive(taps_connection *connection)
{
    bench_check(taps_connection_receive(connection, 1, BENCH_CHUNK, NULL), "receive");
}

static void on_server_data(taps_connection *connection, const struct taps_received *part, void *user)
{
    struct peer *peer = user;
    peer->bytes += part->length;
    if (part->final) {
        bench_check(taps_connection_send(connection, &peer->bytes, BENCH_COUNT, NULL, 0, NULL), "send");
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

void taps_serve_bulk(taps_connection *connection)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        bench_die("peer", "no memory");
    }
    taps_connection_set_events(connection, &server_events, peer);
    receive(connection);
}

static void send_next(taps_connection *connection)
{
    chunks_left--;
    bench_check(taps_connection_send(connection, chunk, sizeof chunk, chunks_left == 0 ? last : NULL, TAPS_SEND_LEND,
                                     NULL),
                "send");
}

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    bench_window_open(&bench_window, &bench_options, 0);
    for (int i = 0; i < UNDER_WAY && chunks_left > 0; i++) {
        send_next(connection);
    }
    receive(connection);
}

static void on_sent(taps_connection *connection, void *tag, void *user)
{
    (void)tag;
    (void)user;
    if (chunks_left > 0) {
        send_next(connection);
    }
}

bool taps_bulk_counted(taps_connection *connection, const struct taps_received *part, uint64_t bytes)
{
    static char answer[BENCH_COUNT];
    static size_t answered;
    uint64_t counted = 0;
    if (part->length > sizeof answer - answered) {
        bench_die("bulk", "the answer is too long");
    }
    memcpy(answer + answered, part->data, part->length);
    answered += part->length;
    if (answered < sizeof answer) {
        receive(connection);
        return false;
    }
    memcpy(&counted, answer, sizeof counted);
    if (counted != bytes) {
        bench_die("bulk", "the server has another count");
    }
    return true;
}

static void on_answer(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (!taps_bulk_counted(connection, part, chunks * BENCH_CHUNK)) {
        return;
    }
    bench_window_close(&bench_window, chunks);
    bench_finish(connection);
}

static const struct taps_connection_events client_events = {
    .ready = on_ready,
    .sent = on_sent,
    .received = on_answer,
    .received_partial = on_answer,
    .send_error = bench_send_failed,
    .establishment_error = bench_failed,
    .connection_error = bench_failed,
};

static void run(void)
{
    chunks = bench_options.ops != 0 ? bench_options.ops : bench_options.bytes / BENCH_CHUNK;
    chunks_left = chunks;
    bench_check(taps_message_context_new(&last), "message context");
    bench_check(taps_message_context_set(last, "final", "true"), "final");
    bench_initiate(&client_events);
}

const struct taps_job taps_bulk = {"bulk", taps_serve_bulk, run};
