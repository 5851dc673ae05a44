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
#include "options.h"
#include "progress.h"
#include "transfer.h"

struct cat {
    struct options options;
    struct transfer transfer;
    struct progress progress;
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

    if (cat->transfer.connection) {
        taps_connection_free(connection);
        return;
    }
    if (cat->timer)
        taps_timer_cancel(cat->timer);
    cat->timer = NULL;
    transfer_begin(&cat->transfer, connection);
    taps_listener_stop(listener);
}

static void on_listen_error(taps_listener *listener, const struct taps_error *error, void *user)
{
    struct cat *cat = user;
    char what[512];

    (void)listener;
    if (cat->transfer.connection)
        return;
    snprintf(what, sizeof what, "listen on %s", cat->transfer.target);
    cat->transfer.code = complain_error(what, error);
    cat->transfer.over = true;
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
    cat->transfer.code = FAILED;
    cat->transfer.over = true;
}

/* ----------------------------------------------------------------------------------------------------- loop */

/* The direction that has moved more is the one that is told. */
static void show_progress(struct cat *cat, bool end)
{
    const struct transfer *transfer = &cat->transfer;
    uint64_t waiting = transfer->unsent < transfer->sent_bytes ? transfer->unsent : transfer->sent_bytes;
    uint64_t sent = transfer->sent_bytes - waiting, received = transfer->received_bytes;
    bool in = received > sent && cat->progress.total == UINT64_MAX;

    if (end)
        progress_end(&cat->progress, in ? received : sent, in ? sent : received, pace_now_ms());
    else
        progress_tell(&cat->progress, in ? received : sent, in ? sent : received, pace_now_ms());
}

/* Until a Message is due, or there is progress to tell; -1: without end. */
static int poll_timeout(const struct cat *cat)
{
    double send = transfer_wait_ms(&cat->transfer), tell = progress_wait_ms(&cat->progress, pace_now_ms());
    double wait = send > 0 && (tell < 0 || send < tell) ? send : tell;

    return wait < 0 ? -1 : wait > 60000 ? 60000 : (int)wait + 1;
}

/* The loop of a program that has descriptors of its own: the context is one more of them. */
static int run_loop(struct cat *cat)
{
    struct transfer *transfer = &cat->transfer;
    struct pollfd fds[3] = {
        {.fd = taps_context_fd(transfer->context), .events = POLLIN},
        {.events = POLLIN},
        {.events = POLLOUT},
    };
    int error = fds[0].fd < 0 ? fds[0].fd : 0;

    while (error >= 0 && (!transfer->over || !sink_empty(&transfer->sink))) {
        fds[1].fd = transfer_wants_input(transfer) ? STDIN_FILENO : -1;
        fds[2].fd = sink_empty(&transfer->sink) ? -1 : transfer->sink.fd;
        if (poll(fds, 3, poll_timeout(cat)) < 0) {
            if (errno == EINTR)
                continue;
            complain("cannot poll: %s", strerror(errno));
            return FAILED;
        }
        if (fds[0].revents)
            error = taps_context_dispatch(transfer->context);
        if (fds[1].fd >= 0 && fds[1].revents && transfer_wants_input(transfer))
            transfer_read_input(transfer);
        if (!sink_empty(&transfer->sink))
            transfer_write_output(transfer);
        transfer_advance(transfer);
        show_progress(cat, false);
    }
    show_progress(cat, true);
    return error < 0 ? complain_code("run the context", error) : transfer->code;
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
        error = transfer_initiate_early(&cat->transfer, preconnection, cat->options.timeout_ms, first, only);
    taps_message_context_free(first);
    taps_message_context_free(only);
    return code == DONE ? error : TAPS_E_MEMORY;
}

static int start(struct cat *cat, taps_preconnection *preconnection)
{
    struct transfer *transfer = &cat->transfer;
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
    struct transfer *transfer = &cat->transfer;
    int code;

    transfer->framed = cat->options.framers.count > 0;
    transfer->keep_open = transfer->keep_open || framers_end_both(&cat->options);
    transfer->verbose = cat->options.verbose > 0;
    transfer->count = message->count;
    transfer->size = message->size;
    transfer->pace.rate = message->rate;
    transfer->source = (struct source){
        .fd = STDIN_FILENO,
        .cut = message->size      ? SOURCE_PIECES
               : transfer->framed ? SOURCE_LINES
                                  : SOURCE_READS,
        .piece = message->size,
        .left = message->count ? message->count : UINT64_MAX,
        .stand_in = message->count && message->size,
        .foresee = transfer->framed,
    };
    if (source_init(&transfer->source))
        return complain_code("prepare", TAPS_E_MEMORY);
    code = message_context(&cat->options, &cat->properties);
    if (code == DONE)
        code = message_final_context(&cat->options, &cat->final);
    transfer->properties = cat->properties;
    transfer->final = cat->final;
    return code;
}

static int run_cat(struct cat *cat)
{
    taps_preconnection *preconnection = NULL;
    struct transfer *transfer = &cat->transfer;
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
    taps_connection_free(transfer->connection);
    taps_listener_free(cat->listener);
    taps_message_context_free(cat->properties);
    taps_message_context_free(cat->final);
    taps_context_free(transfer->context);
    source_done(&transfer->source);
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
    ((struct cat *)target)->transfer.keep_open = true;
    return DONE;
}

static int take_zero_rtt(void *target, const char *value)
{
    (void)value;
    ((struct cat *)target)->options.zero_rtt = true;
    return DONE;
}

static int take_idle(void *target, const char *value)
{
    if (!options_seconds(value, &((struct cat *)target)->transfer.idle_ms))
        return complain_usage("--idle takes seconds, as in --idle 0.5, not '%s'", value);
    return DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    static struct cat cat;
    int code;

    cat.transfer.idle_ms = 1000;
    code = options_parse(&cat.options, &cat, command, argc, argv);
    if (code != OPTIONS_RUN)
        return code;
    if (cat.options.argument_count != 1)
        return complain_usage(cat.options.argument_count ? "one HOST:PORT at a time" : "HOST:PORT is missing%s",
                              cat.listening ? ": with -l it is PORT or ADDRESS:PORT" : "");
    cat.transfer.target = cat.options.arguments[0];
    sink_init(&cat.transfer.sink, STDOUT_FILENO);
    code = run_cat(&cat);
    sink_done(&cat.transfer.sink);
    return code;
}

static const struct option_row rows[] = {
    {'l', "listen", NULL, "listen for one connection on PORT or ADDRESS:PORT", take_listen},
    {'k', "keep-open", NULL, "do not half-close at the end of input, but wait for the peer's end", take_keep_open},
    {0, "idle", "SECONDS", "how long to wait for more where nothing says it was all (default 1)", take_idle},
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
        "  echo hello | taps cat --framer length-prefix --security disabled localhost:4000\n"
        "  echo hello | taps cat --profile unreliable-datagram --security disabled localhost:4000\n",
    .options = rows,
    .common = true,
    .messages = true,
    .run = run,
};
