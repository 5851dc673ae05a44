/* tcp: messages of 100 bytes as fast as they go: a thousand Sends are under way, and each Sent is answered by the next
   one. The bulk server counts the bytes; the time ends when it has said that it has them all. On dtls nobody counts,
   and the time ends when the kernel has them all. */
#include "taps_bench.h"

#include <string.h>

#define UNDER_WAY 1024

static char message[BENCH_MESSAGE];
static uint64_t sent, done;
static bool over;

static bool more(void)
{
    if (bench_options.ops != 0) {
        return sent < bench_options.ops;
    }
    return sent % 64 != 0 || bench_now_ns() < bench_window.next_ns;
}

static bool is_datagram(void)
{
    return strcmp(bench_options.stack, "dtls") == 0;
}

static void send_final(taps_connection *connection)
{
    taps_message_context *last = NULL;
    bench_check(taps_message_context_new(&last), "message context");
    bench_check(taps_message_context_set(last, "final", "true"), "final");
    bench_check(taps_connection_send(connection, NULL, 0, last, 0, NULL), "send");
    taps_message_context_free(last);
}

static void send_next(taps_connection *connection)
{
    if (over) {
        return;
    }
    if (!more()) {
        over = true;
        if (!is_datagram()) {
            send_final(connection);
        }
        return;
    }
    bench_check(taps_connection_send(connection, message, sizeof message, NULL, 0, NULL), "send");
    sent++;
}

static void on_ready(taps_connection *connection, void *user)
{
    (void)user;
    bench_window_open(&bench_window, &bench_options, 0);
    for (int i = 0; i < UNDER_WAY; i++) {
        send_next(connection);
    }
    bench_check(taps_connection_receive(connection, 1, BENCH_COUNT, NULL), "receive");
}

static void on_sent(taps_connection *connection, void *tag, void *user)
{
    (void)tag;
    (void)user;
    done++;
    send_next(connection);
    if (over && is_datagram() && done == sent) {
        bench_window_close(&bench_window, sent);
        bench_finish(connection);
    }
}

static void on_answer(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (!taps_bulk_counted(connection, part, sent * BENCH_MESSAGE)) {
        return;
    }
    bench_window_close(&bench_window, sent);
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
    bench_initiate(&client_events);
}

const struct taps_job taps_flood = {"flood", taps_serve_bulk, run};
