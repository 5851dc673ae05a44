/*
 * taps cat: standard input to Messages, Messages to standard output.
 *
 * SPDX-License-Identifier: MIT
 *
 * Design. The context lives in this file's own poll() loop beside the two standard descriptors: the pattern for any
 * program that has a loop already. What is sent and received when, and what is the end, is in transfer.c.
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
#include "framers.h"
#include "message.h"
#include "migrate.h"
#include "options.h"
#include "progress.h"
#include "transfer.h"

enum { STREAMS_MAX = 64 };

struct cat {
    struct options options;
    struct transfer_shared shared;
    struct transfer transfers[STREAMS_MAX]; /* the first is the Connection, the others are its Clones */
    uint64_t streams;
    struct progress progress;
    struct migrate migrate;
    bool listening;
    taps_listener *listener;
    taps_timer *timer; /* waiting for a connection */
    taps_message_context *properties, *final;
};

/* ------------------------------------------------------------------------------------------------- listening */

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

    if (cat->transfers[0].connection) {
        taps_connection_free(connection);
        return;
    }
    if (cat->timer)
        taps_timer_cancel(cat->timer);
    cat->timer = NULL;
    transfer_begin(&cat->transfers[0], connection);
    taps_listener_stop(listener);
}

static void on_listen_error(taps_listener *listener, const struct taps_error *error, void *user)
{
    struct cat *cat = user;
    char what[512];

    (void)listener;
    if (cat->transfers[0].connection)
        return;
    snprintf(what, sizeof what, "listen on %s", cat->transfers[0].target);
    cat->transfers[0].code = complain_error(what, error);
    cat->transfers[0].over = true;
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
    cat->transfers[0].code = FAILED;
    cat->transfers[0].over = true;
}

/* ----------------------------------------------------------------------------------------------------- loop */

static uint64_t bytes_sent(const struct cat *cat)
{
    uint64_t sent = 0;

    for (size_t i = 0; i < cat->shared.count; i++) {
        const struct transfer *one = &cat->transfers[i];

        sent += one->sent_bytes - (one->unsent < one->sent_bytes ? one->unsent : one->sent_bytes);
    }
    return sent;
}

/* The direction that has moved more is the one that is told. */
static void show_progress(struct cat *cat, bool end)
{
    uint64_t sent = bytes_sent(cat), received = cat->shared.received_bytes;
    bool in;

    in = received > sent && cat->progress.total == UINT64_MAX;
    if (end)
        progress_end(&cat->progress, in ? received : sent, in ? sent : received, pace_now_ms());
    else
        progress_tell(&cat->progress, in ? received : sent, in ? sent : received, pace_now_ms());
}

static struct transfer *whose_turn(struct cat *cat)
{
    return &cat->transfers[cat->shared.turn];
}

/* The first is of the session, as all are. */
static void move(struct cat *cat)
{
    struct transfer *first = &cat->transfers[0];
    uint64_t sent = bytes_sent(cat), received = cat->shared.received_bytes;

    if (!first->chunk || first->closing || first->over)
        return;
    if (migrate_advance(&cat->migrate, first->connection, sent > received ? sent : received, cat->progress.total,
                        pace_now_ms()) != DONE)
        first->code = FAILED;
}

/* Until a Message is due, or there is progress to tell, or it is to move; -1: without end. */
static int poll_timeout(struct cat *cat)
{
    double now = pace_now_ms(), send = transfer_wait_ms(whose_turn(cat));
    double tell = progress_wait_ms(&cat->progress, now);
    double wait = send > 0 && (tell < 0 || send < tell) ? send : tell;
    double go = cat->transfers[0].chunk ? migrate_wait_ms(&cat->migrate, cat->progress.total, now) : -1;

    wait = go >= 0 && (wait < 0 || go < wait) ? go : wait;

    return wait < 0 ? -1 : wait > 60000 ? 60000 : (int)wait + 1;
}

static bool all_over(const struct cat *cat)
{
    for (size_t i = 0; i < cat->shared.count; i++)
        if (!cat->transfers[i].over)
            return false;
    return sink_empty(&cat->shared.sink);
}

/* As long as one of them sends, it is the next one's turn. */
static void advance(struct cat *cat)
{
    uint64_t given;

    do {
        given = cat->shared.source.given;
        for (size_t i = 0; i < cat->shared.count; i++)
            transfer_advance(&cat->transfers[i]);
    } while (cat->shared.source.given != given);
}

static int exit_code(const struct cat *cat)
{
    for (size_t i = 0; i < cat->shared.count; i++)
        if (cat->transfers[i].code != DONE)
            return cat->transfers[i].code;
    return DONE;
}

/* The loop of a program that has descriptors of its own: the context is one more of them. */
static int run_loop(struct cat *cat)
{
    taps_context *context = cat->transfers[0].context;
    struct sink *sink = &cat->shared.sink;
    struct pollfd fds[3] = {
        {.fd = taps_context_fd(context), .events = POLLIN},
        {.events = POLLIN},
        {.events = POLLOUT},
    };
    int error = fds[0].fd < 0 ? fds[0].fd : 0;

    while (error >= 0 && !all_over(cat)) {
        fds[1].fd = transfer_wants_input(whose_turn(cat)) ? STDIN_FILENO : -1;
        fds[2].fd = sink_empty(sink) ? -1 : sink->fd;
        if (poll(fds, 3, poll_timeout(cat)) < 0) {
            if (errno == EINTR)
                continue;
            complain("cannot poll: %s", strerror(errno));
            return FAILED;
        }
        if (fds[0].revents)
            error = taps_context_dispatch(context);
        if (fds[1].fd >= 0 && fds[1].revents && transfer_wants_input(whose_turn(cat)))
            transfer_read_input(whose_turn(cat));
        if (!sink_empty(sink))
            transfer_write_output(&cat->transfers[0]);
        advance(cat);
        move(cat);
        show_progress(cat, false);
    }
    show_progress(cat, true);
    return error < 0 ? complain_code("run the context", error) : exit_code(cat);
}

/* -------------------------------------------------------------------------------------------------- command */

static int initiate_early(struct cat *cat, taps_preconnection *preconnection)
{
    taps_message_context *first = NULL, *only = NULL;
    int code = message_early_context(&cat->options, false, &first);
    int error = 0;

    if (code == DONE)
        code = message_early_context(&cat->options, true, &only);
    if (code == DONE)
        error = transfer_initiate_early(&cat->transfers[0], preconnection, cat->options.timeout_ms, first, only);
    taps_message_context_free(first);
    taps_message_context_free(only);
    return code == DONE ? error : TAPS_E_MEMORY;
}

static int start(struct cat *cat, taps_preconnection *preconnection)
{
    struct transfer *transfer = &cat->transfers[0];
    const struct taps_error *why;
    char what[512];
    int error;

    if (cat->listening) {
        error = taps_preconnection_listen(preconnection, &listener_events, cat, &cat->listener);
        if (error >= 0)
            error = taps_listener_set_new_connection_limit(cat->listener, 1);
        if (error >= 0 && cat->options.timeout_ms)
            error = taps_context_after(transfer->context, cat->options.timeout_ms, on_nobody, cat, &cat->timer);
    } else if (cat->options.zero_rtt) {
        error = initiate_early(cat, preconnection);
    } else {
        error = taps_preconnection_initiate(preconnection, cat->options.timeout_ms, &transfer_events, transfer,
                                            &transfer->connection);
    }
    for (size_t i = 1; i < cat->shared.count && error >= 0; i++)
        error = transfer_clone(&cat->transfers[i], transfer);
    if (error >= 0)
        return DONE;
    snprintf(what, sizeof what, "%s %s", cat->listening ? "listen on" : "connect to", transfer->target);
    why = taps_preconnection_error(preconnection);
    return why && why->code ? complain_error(what, why) : complain_code(what, error);
}

static uint64_t total_of(const struct cat *cat)
{
    const struct message_options *message = &cat->options.message;
    uint64_t file = source_file_size(STDIN_FILENO);

    if (message->count == 0 || message->size == 0 || message->count > UINT64_MAX / message->size)
        return message->count ? UINT64_MAX : file;
    return message->count * message->size < file ? message->count * message->size : file;
}

static int prepare(struct cat *cat)
{
    const struct message_options *message = &cat->options.message;
    struct transfer *transfer = &cat->transfers[0];
    int code;

    transfer->framed = cat->options.framers.count > 0;
    transfer->keep_open = transfer->keep_open || framers_end_both(&cat->options);
    transfer->verbose = cat->options.verbose > 0;
    transfer->count = message->count;
    transfer->size = message->size;
    cat->shared.pace.rate = message->rate;
    cat->shared.source = (struct source){
        .fd = STDIN_FILENO,
        .cut = message->size      ? SOURCE_PIECES
               : transfer->framed ? SOURCE_LINES
                                  : SOURCE_READS,
        .piece = message->size,
        .left = message->count ? message->count : UINT64_MAX,
        .stand_in = message->count && message->size,
        .foresee = transfer->framed,
    };
    if (source_init(&cat->shared.source))
        return complain_code("prepare", TAPS_E_MEMORY);
    code = message_context(&cat->options, &cat->properties);
    if (code == DONE)
        code = message_final_context(&cat->options, &cat->final);
    transfer->properties = cat->properties;
    transfer->final = cat->final;
    transfer->shared = &cat->shared;
    for (size_t i = 1; i < cat->shared.count; i++) {
        cat->transfers[i] = *transfer;
        cat->transfers[i].index = i;
    }
    return code;
}

static int run_cat(struct cat *cat)
{
    taps_preconnection *preconnection = NULL;
    struct transfer *transfer = &cat->transfers[0];
    int code = options_context(&cat->options, &transfer->context);

    if (code == DONE)
        code = options_preconnection(&cat->options, transfer->context, transfer->target, cat->listening, false,
                                     &preconnection);
    if (code == DONE)
        code = prepare(cat);
    if (code == DONE)
        code = start(cat, preconnection);
    taps_preconnection_free(preconnection);
    cat->progress.total = total_of(cat);
    progress_start(&cat->progress, &cat->options, pace_now_ms());
    if (code == DONE)
        code = run_loop(cat);
    if (cat->transfers[0].chunk)
        migrate_tell(&cat->migrate, cat->transfers[0].connection);
    for (size_t i = cat->shared.count; i > 0; i--)
        taps_connection_free(cat->transfers[i - 1].connection);
    taps_listener_free(cat->listener);
    taps_message_context_free(cat->properties);
    taps_message_context_free(cat->final);
    taps_context_free(transfer->context);
    source_done(&cat->shared.source);
    return code;
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
    ((struct cat *)target)->transfers[0].keep_open = true;
    return DONE;
}

static int take_streams(void *target, const char *value)
{
    struct cat *cat = target;

    if (!options_number(value, STREAMS_MAX, &cat->streams) || cat->streams == 0)
        return complain_usage("--streams takes a number from 1 to %d, not '%s'", STREAMS_MAX, value);
    return DONE;
}

static int take_zero_rtt(void *target, const char *value)
{
    (void)value;
    ((struct cat *)target)->options.zero_rtt = true;
    return DONE;
}

static int take_migrate_to(void *target, const char *value)
{
    return migrate_take(&((struct cat *)target)->options, value);
}

static int take_idle(void *target, const char *value)
{
    if (!options_seconds(value, &((struct cat *)target)->transfers[0].idle_ms))
        return complain_usage("--idle takes seconds, as in --idle 0.5, not '%s'", value);
    return DONE;
}

/* STARTTLS makes no Messages of lines, and has its own first words. */
static int check_zero_rtt(const struct cat *cat)
{
    for (size_t i = 0; cat->options.zero_rtt && i < cat->options.framers.count; i++)
        if (strncmp(cat->options.framers.items[i], "starttls", 8) == 0)
            return complain_usage("--0rtt and --framer starttls exclude each other: nothing is early behind STARTTLS");
    return DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    static struct cat cat;
    int code;

    cat.transfers[0].idle_ms = 1000;
    code = options_parse(&cat.options, &cat, command, argc, argv);
    if (code != OPTIONS_RUN)
        return code;
    if (cat.options.argument_count != 1)
        return complain_usage(cat.options.argument_count ? "one HOST:PORT at a time" : "HOST:PORT is missing%s",
                              cat.listening ? ": with -l it is PORT or ADDRESS:PORT" : "");
    if (cat.listening && cat.streams)
        return complain_usage("--streams is of those that connect: with -l there is one connection");
    if (cat.listening && cat.options.migrate_to.count)
        return complain_usage("--migrate-to is of those that connect: with -l the peer moves, and cat follows");
    cat.migrate.to = &cat.options.migrate_to;
    code = check_zero_rtt(&cat);
    if (code != DONE)
        return code;
    cat.shared.transfers = cat.transfers;
    cat.shared.count = cat.streams ? (size_t)cat.streams : 1;
    cat.transfers[0].target = cat.options.arguments[0];
    sink_init(&cat.shared.sink, STDOUT_FILENO);
    code = run_cat(&cat);
    sink_done(&cat.shared.sink);
    return code;
}

static const struct option_row rows[] = {
    {'l', "listen", NULL, "listen for one connection on PORT or ADDRESS:PORT", take_listen},
    {'k', "keep-open", NULL, "do not half-close at the end of input, but wait for the peer's end", take_keep_open},
    {0, "idle", "SECONDS", "how long to wait for more where nothing says it was all (default 1)", take_idle},
    {0, "streams", "N",
     "clone the connection until there are N, and send each Message over the next: streams of one session where the "
     "stack has them (quic), else N connections",
     take_streams},
    {0, "migrate-to", "WHERE",
     "move to this address or interface while it is in use (quic; multipath is active); repeatable: spread over the "
     "transfer where its size is "
     "known, else the first at once and then one a second",
     take_migrate_to},
    {0, "0rtt", NULL,
     "the first Message may be replayed, and goes as early data where a session is resumed (--session-file), or in the "
     "SYN; with -l: early data is taken",
     take_zero_rtt},
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
        "With --framer each line of input is a Message, without its end, and each Message received is written with\n"
        "a newline behind it; -v shows what the Framer says of it. With --size a Message is so many bytes of input\n"
        "instead; with --count, too, Messages of letters and digits are made where input is a terminal or empty.\n"
        "With --count it ends when so many were sent and so many received, or when the peer ends.\n"
        "\n"
        "  printf 'GET / HTTP/1.1\\r\\nHost: example.org\\r\\nConnection: close\\r\\n\\r\\n' |\n"
        "    taps cat --keep-open example.org:443\n"
        "  taps cat -l 4000 --security disabled > received\n"
        "  taps cat --size 1M --count 1000 --rate 20MB --security disabled localhost:4000 < /dev/null > /dev/null\n"
        "  printf 'one\\ntwo\\n' | taps cat --alpn echo --streams 2 --framer length-prefix server.example:4433\n"
        "  echo hello | taps cat --framer length-prefix --security disabled localhost:4000\n"
        "  echo hello | taps cat --profile unreliable-datagram --security disabled localhost:4000\n",
    .options = rows,
    .common = true,
    .messages = true,
    .run = run,
};
