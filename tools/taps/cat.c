/*
 * taps cat: standard input to Messages, Messages to standard output.
 *
 * SPDX-License-Identifier: MIT
 *
 * Design. The context lives in this file's own poll() loop beside the two standard descriptors: the pattern for any
 * program that has a loop already. Callbacks only record; `advance` looks at the record and takes the next steps, and
 * what to poll for follows from it, too.
 *
 * Input is read only while less than UNSENT_MAX bytes wait to be Sent, and Receive is called only while nothing waits
 * to be written, so memory is bounded and a slow reader on either end slows the other end down.
 *
 * The end. After the end of input a stream gets Final and goes on receiving; datagrams have no end, so `idle` after the
 * last one is it. After the peer's end everything that input has ready is still sent (a peer that only receives ends
 * its direction first of all), until input ends or is quiet for `idle`; a terminal is not waited for. Then Close, which
 * delivers.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <taps/taps.h>

#include "command.h"
#include "complain.h"
#include "options.h"
#include "sink.h"

enum { UNSENT_MAX = 256 * 1024, STREAM_CHUNK = 64 * 1024, DATAGRAM_CHUNK = 1200 };

struct cat {
    struct options options;
    bool listening;
    bool keep_open; /* the end of input is not told to the peer */
    uint64_t idle_ms;
    const char *target;

    taps_context *context;
    taps_connection *connection;
    taps_listener *listener;
    taps_message_context *final;
    taps_timer *timer; /* waiting for a connection, or idle */
    struct sink sink;
    unsigned char input[STREAM_CHUNK];

    size_t chunk;   /* one read of input, one Message; 0 before Ready */
    size_t unsent;  /* taken by Send, no event yet; Messages weigh at least one byte */
    bool datagrams; /* no end of its own */
    bool can_receive;
    bool receiving; /* a Receive is outstanding */
    bool input_end;
    bool final_sent;
    bool peer_end;
    bool quiet; /* the idle timer ran out */
    bool closing;
    bool over; /* the last event came */
    bool told_statistics;
    int code;
};

static void fail(struct cat *cat)
{
    cat->code = FAILED;
}

/* --------------------------------------------------------------------------------------------------- events */

static bool has(taps_connection *connection, enum taps_property property, bool otherwise)
{
    struct taps_value value;

    if (taps_connection_get_value(connection, property, &value) < 0 || value.type != TAPS_TYPE_BOOLEAN)
        return otherwise;
    return value.boolean;
}

static size_t largest_message(taps_connection *connection)
{
    struct taps_value value;

    if (taps_connection_get_value(connection, TAPS_SEND_MSG_MAX_LEN, &value) < 0 || value.type != TAPS_TYPE_INTEGER ||
        value.integer == 0 || value.integer > STREAM_CHUNK)
        return STREAM_CHUNK;
    return (size_t)value.integer;
}

static void tell_where(const struct cat *cat, taps_connection *connection, const char *what)
{
    const char *security = taps_connection_security(connection);
    char remote[300] = "?";

    if (!cat->options.verbose)
        return;
    if (taps_connection_remote(connection))
        taps_endpoint_text(taps_connection_remote(connection), remote, sizeof remote);
    complain("%s %s, %s, %s", what, remote, taps_connection_stack(connection),
             security ? security : "without security");
}

/* While there still is a connection to ask. */
static void tell_statistics(struct cat *cat)
{
    uint64_t values[TAPS_STATISTIC_COUNT];
    char line[600] = "";
    size_t used = 0;

    if (!cat->options.verbose || cat->told_statistics ||
        taps_connection_statistics(cat->connection, values, TAPS_STATISTIC_COUNT) <= 0)
        return;
    cat->told_statistics = true;
    for (int i = 0; i < TAPS_STATISTIC_COUNT && used < sizeof line; i++) {
        if (values[i] != TAPS_UNKNOWN)
            used += (size_t)snprintf(line + used, sizeof line - used, " %s=%llu",
                                     taps_statistic_name((enum taps_statistic)i), (unsigned long long)values[i]);
    }
    complain("statistics:%s", line);
}

static void begin(struct cat *cat, taps_connection *connection)
{
    cat->chunk = largest_message(connection);
    cat->datagrams = !has(connection, TAPS_RELIABILITY, true);
    if (cat->datagrams && cat->chunk > DATAGRAM_CHUNK)
        cat->chunk = DATAGRAM_CHUNK;
    cat->can_receive = has(connection, TAPS_CAN_RECEIVE, true);
    if (!has(connection, TAPS_CAN_SEND, true))
        cat->input_end = cat->final_sent = true;
}

static void on_ready(taps_connection *connection, void *user)
{
    tell_where(user, connection, "connected to");
    begin(user, connection);
}

static void on_establishment_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    struct cat *cat = user;
    char what[512];

    (void)connection;
    snprintf(what, sizeof what, "connect to %s", cat->target);
    cat->code = complain_error(what, error);
    cat->over = true;
}

static void on_sent(taps_connection *connection, void *tag, void *user)
{
    (void)connection;
    ((struct cat *)user)->unsent -= (uintptr_t)tag;
}

static void on_send_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    struct cat *cat = user;

    (void)connection;
    cat->unsent -= (uintptr_t)tag;
    cat->code = complain_error("send", error);
}

static void on_expired(taps_connection *connection, void *tag, void *user)
{
    struct cat *cat = user;

    (void)connection;
    cat->unsent -= (uintptr_t)tag;
    complain("%zu bytes were not sent: their msgLifetime was over", (size_t)(uintptr_t)tag);
    fail(cat);
}

static void cancel_timer(struct cat *cat)
{
    if (cat->timer)
        taps_timer_cancel(cat->timer);
    cat->timer = NULL;
}

static void on_received(taps_connection *connection, const struct taps_received *message, void *user)
{
    struct cat *cat = user;

    (void)connection;
    cat->receiving = false;
    sink_put(&cat->sink, message->data, message->length);
    if (cat->datagrams)
        cancel_timer(cat);
    if (message->final) {
        cat->peer_end = true;
        tell_statistics(cat);
    }
}

/* A Receive that waits when the Connection ends fails as well: that is no loss. */
static void on_receive_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    struct cat *cat = user;

    (void)connection;
    (void)tag;
    cat->receiving = false;
    cat->peer_end = true;
    if (!cat->closing && error->code != TAPS_E_CLOSED)
        cat->code = complain_error("receive all of it", error);
}

static void on_soft_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)connection;
    if (((struct cat *)user)->options.verbose)
        complain("the network says: %s", error->detail);
}

static void on_closed(taps_connection *connection, void *user)
{
    (void)connection;
    ((struct cat *)user)->over = true;
}

/* Once both directions are through, how the peer lets go of the connection is its own business. */
static void on_connection_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    struct cat *cat = user;

    (void)connection;
    cat->over = true;
    if (cat->code == DONE && (!cat->peer_end || cat->unsent > 0 || !(cat->input_end || cat->closing)))
        cat->code = complain_error("finish the transfer", error);
}

static const struct taps_connection_events connection_events = {
    .ready = on_ready,
    .establishment_error = on_establishment_error,
    .sent = on_sent,
    .expired = on_expired,
    .send_error = on_send_error,
    .received = on_received,
    .received_partial = on_received,
    .receive_error = on_receive_error,
    .soft_error = on_soft_error,
    .closed = on_closed,
    .connection_error = on_connection_error,
};

static void on_listening(taps_listener *listener, void *user)
{
    (void)user;
    for (size_t i = 0; taps_listener_local(listener, i); i++) {
        char text[300];

        taps_endpoint_text(taps_listener_local(listener, i), text, sizeof text);
        fprintf(stderr, "listening %s %s\n", text, taps_listener_stack(listener, i));
    }
}

static void on_connection_received(taps_listener *listener, taps_connection *connection, void *user)
{
    struct cat *cat = user;

    if (cat->connection) {
        taps_connection_free(connection);
        return;
    }
    cancel_timer(cat);
    taps_connection_set_events(connection, &connection_events, cat);
    cat->connection = connection;
    tell_where(cat, connection, "connection from");
    begin(cat, connection);
    taps_listener_stop(listener);
}

static void on_listen_error(taps_listener *listener, const struct taps_error *error, void *user)
{
    struct cat *cat = user;
    char what[512];

    (void)listener;
    if (cat->connection)
        return;
    snprintf(what, sizeof what, "listen on %s", cat->target);
    cat->code = complain_error(what, error);
    cat->over = true;
}

static const struct taps_listener_events listener_events = {
    .listening = on_listening,
    .connection_received = on_connection_received,
    .establishment_error = on_listen_error,
};

static void on_nobody(void *arg)
{
    struct cat *cat = arg;

    cat->timer = NULL;
    complain("nobody connected within %.1f s", (double)cat->options.timeout_ms / 1000);
    complain_hint("Wait longer with --timeout SECONDS, or without end by leaving it away.");
    fail(cat);
    cat->over = true;
}

static void on_quiet(void *arg)
{
    struct cat *cat = arg;

    cat->timer = NULL;
    cat->quiet = true;
}

/* ------------------------------------------------------------------------------------------------ the steps */

static void send_final(struct cat *cat)
{
    cat->final_sent = true;
    if (cat->datagrams || cat->keep_open)
        return;
    if (taps_connection_send(cat->connection, "", 0, cat->final, 0, (void *)(uintptr_t)1) == 0)
        cat->unsent++;
}

static void receive(struct cat *cat)
{
    int error = taps_connection_receive(cat->connection, 1, SINK_SIZE, NULL);

    if (error == 0)
        cat->receiving = true;
    else if (error == TAPS_E_CLOSED)
        cat->peer_end = true;
    else
        cat->can_receive = false;
}

static void close_connection(struct cat *cat)
{
    cancel_timer(cat);
    cat->closing = true;
    tell_statistics(cat);
    if (taps_connection_close(cat->connection) < 0)
        cat->over = true;
}

static bool wants_input(const struct cat *cat)
{
    return cat->chunk && !cat->input_end && !cat->closing && !cat->over && cat->unsent + cat->chunk <= UNSENT_MAX;
}

/* The idle timer runs while nothing but the next input, or the next datagram, is waited for; what moves cancels it. */
static void wait_for_quiet(struct cat *cat)
{
    bool waiting = cat->peer_end ? wants_input(cat) : cat->datagrams && cat->input_end && cat->unsent == 0;

    if (!waiting)
        cancel_timer(cat);
    if (!waiting || cat->timer || cat->quiet)
        return;
    if (cat->idle_ms == 0 || (cat->peer_end && isatty(STDIN_FILENO)))
        cat->quiet = true;
    else if (taps_context_after(cat->context, cat->idle_ms, on_quiet, cat, &cat->timer) < 0)
        cat->quiet = true;
}

static bool both_ended(const struct cat *cat)
{
    bool received_all = cat->peer_end || (!cat->can_receive && cat->unsent == 0);

    return cat->quiet || (received_all && cat->input_end);
}

static void advance(struct cat *cat)
{
    if (!cat->chunk || cat->closing || cat->over)
        return;
    if (cat->input_end && !cat->final_sent)
        send_final(cat);
    if (cat->can_receive && !cat->receiving && !cat->peer_end && sink_empty(&cat->sink))
        receive(cat);
    wait_for_quiet(cat);
    if (both_ended(cat) && sink_empty(&cat->sink))
        close_connection(cat);
}

/* -------------------------------------------------------------------------------------- standard descriptors */

static void read_input(struct cat *cat)
{
    ssize_t count = read(STDIN_FILENO, cat->input, cat->chunk);
    int error;

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count < 0) {
        complain("cannot read standard input: %s", strerror(errno));
        fail(cat);
    }
    cancel_timer(cat);
    if (count <= 0) {
        cat->input_end = true;
        return;
    }
    error = taps_connection_send(cat->connection, cat->input, (size_t)count, NULL, 0, (void *)(uintptr_t)count);
    if (error == 0) {
        cat->unsent += (size_t)count;
        return;
    }
    cat->code = complain_code("send", error);
    cat->input_end = true;
}

static void write_output(struct cat *cat)
{
    int error = sink_write(&cat->sink);

    if (!error)
        return;
    if (error != EPIPE)
        complain("cannot write to standard output: %s", strerror(error));
    fail(cat);
    taps_connection_abort(cat->connection);
    sink_put(&cat->sink, NULL, 0);
    cat->over = true;
}

/* The loop of a program that has descriptors of its own: the context is one more of them. */
static int run_loop(struct cat *cat)
{
    struct pollfd fds[3] = {
        {.fd = taps_context_fd(cat->context), .events = POLLIN},
        {.events = POLLIN},
        {.events = POLLOUT},
    };
    int error = fds[0].fd < 0 ? fds[0].fd : 0;

    while (error >= 0 && (!cat->over || !sink_empty(&cat->sink))) {
        fds[1].fd = wants_input(cat) ? STDIN_FILENO : -1;
        fds[2].fd = sink_empty(&cat->sink) ? -1 : cat->sink.fd;
        if (poll(fds, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            complain("cannot poll: %s", strerror(errno));
            return FAILED;
        }
        if (fds[0].revents)
            error = taps_context_dispatch(cat->context);
        if (fds[1].fd >= 0 && fds[1].revents && wants_input(cat))
            read_input(cat);
        if (!sink_empty(&cat->sink))
            write_output(cat);
        advance(cat);
    }
    return error < 0 ? complain_code("run the context", error) : cat->code;
}

/* -------------------------------------------------------------------------------------------------- command */

static int start(struct cat *cat, taps_preconnection *preconnection)
{
    const struct taps_error *why;
    char what[512];
    int error;

    if (cat->listening) {
        error = taps_preconnection_listen(preconnection, &listener_events, cat, &cat->listener);
        if (error >= 0)
            error = taps_listener_set_new_connection_limit(cat->listener, 1);
        if (error >= 0 && cat->options.timeout_ms)
            error = taps_context_after(cat->context, cat->options.timeout_ms, on_nobody, cat, &cat->timer);
    } else {
        error = taps_preconnection_initiate(preconnection, cat->options.timeout_ms, &connection_events, cat,
                                            &cat->connection);
    }
    if (error >= 0)
        return DONE;
    snprintf(what, sizeof what, "%s %s", cat->listening ? "listen on" : "connect to", cat->target);
    why = taps_preconnection_error(preconnection);
    return why && why->code ? complain_error(what, why) : complain_code(what, error);
}

static int make_final(struct cat *cat)
{
    int error = taps_message_context_new(&cat->final);

    if (error >= 0)
        error = taps_message_context_set(cat->final, "final", "true");
    return error < 0 ? complain_code("make a message context", error) : DONE;
}

static int take_listen(void *target, const char *value)
{
    (void)value;
    ((struct cat *)target)->listening = true;
    return DONE;
}

static int take_keep_open(void *target, const char *value)
{
    (void)value;
    ((struct cat *)target)->keep_open = true;
    return DONE;
}

static int take_idle(void *target, const char *value)
{
    if (!options_seconds(value, &((struct cat *)target)->idle_ms))
        return complain_usage("--idle takes seconds, as in --idle 0.5, not '%s'", value);
    return DONE;
}

static int run_cat(struct cat *cat)
{
    taps_preconnection *preconnection = NULL;
    int code = options_context(&cat->options, &cat->context);

    if (code == DONE)
        code = options_preconnection(&cat->options, cat->context, cat->target, cat->listening, false, &preconnection);
    if (code == DONE)
        code = make_final(cat);
    if (code == DONE)
        code = start(cat, preconnection);
    taps_preconnection_free(preconnection);
    if (code == DONE)
        code = run_loop(cat);
    taps_connection_free(cat->connection);
    taps_listener_free(cat->listener);
    taps_message_context_free(cat->final);
    taps_context_free(cat->context);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    static struct cat cat;
    int code;

    cat.idle_ms = 1000;
    code = options_parse(&cat.options, &cat, command, argc, argv);
    if (code != OPTIONS_RUN)
        return code;
    if (cat.options.argument_count != 1)
        return complain_usage(cat.options.argument_count ? "one HOST:PORT at a time" : "HOST:PORT is missing%s",
                              cat.listening ? ": with -l it is PORT or ADDRESS:PORT" : "");
    cat.target = cat.options.arguments[0];
    sink_init(&cat.sink, STDOUT_FILENO);
    code = run_cat(&cat);
    sink_done(&cat.sink);
    return code;
}

static const struct option_row rows[] = {
    {'l', "listen", NULL, "listen for one connection on PORT or ADDRESS:PORT", take_listen},
    {'k', "keep-open", NULL, "do not half-close at the end of input, but wait for the peer's end", take_keep_open},
    {0, "idle", "SECONDS", "how long to wait for more where nothing says it was all (default 1)", take_idle},
    {0, NULL, NULL, NULL, NULL},
};

const struct command cat_command = {
    .name = "cat",
    .arguments = "HOST:PORT",
    .summary = "standard input to Messages, Messages to standard output",
    .description =
        "Half-closes at the end of input and ends at the peer's end. Over datagrams each read of at most 1200\n"
        "bytes is a datagram of its own, and the end is when nothing came for a while after the end of input.\n"
        "Some servers, web servers among them, take a half-close for a client that has gone: use --keep-open.\n"
        "\n"
        "  printf 'GET / HTTP/1.1\\r\\nHost: example.org\\r\\nConnection: close\\r\\n\\r\\n' |\n"
        "    taps cat --keep-open example.org:443\n"
        "  taps cat -l 4000 --security disabled > received\n"
        "  echo hello | taps cat --profile unreliable-datagram --security disabled localhost:4000\n",
    .options = rows,
    .common = true,
    .run = run,
};
