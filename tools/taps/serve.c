/*
 * taps serve: a server on every eligible stack of a port, which echoes, takes, or sends.
 *
 * SPDX-License-Identifier: MIT
 *
 * Design. One poll() loop over the context and a signalfd. SIGINT and SIGTERM, the last of --connections or of --count,
 * stop the Listener and close every Connection; the loop ends when all are gone, or after GOODBYE_MS (DELIVER_MS
 * after --count), or at a second signal. What outsiders can make it hold is bounded: CONNECTIONS_MAX Connections of at
 * most 256 KiB each, and those that have no end of their own (datagrams) are closed when idle.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <taps/taps.h>

#include "command.h"
#include "complain.h"
#include "echo.h"
#include "message.h"
#include "options.h"
#include "progress.h"

enum { CONNECTIONS_MAX = 1024, GOODBYE_MS = 2000, DELIVER_MS = 30000 };

struct serve {
    struct echo echo; /* first: its callbacks lead back here */
    struct options options;
    uint64_t most; /* stop after so many Connections; 0: never */
    uint64_t accepted, closed;
    const char *mode; /* as it was given, or NULL */
    taps_message_context *properties;
    struct progress progress;
    taps_context *context;
    taps_listener *listener;
    taps_timer *goodbye;
    const char *target;
    int signals; /* signalfd, or -1 */
    bool stopping;
    bool over;
    int code;
};

static void on_goodbye(void *arg)
{
    struct serve *serve = arg;

    serve->goodbye = NULL;
    serve->over = true;
}

/* `limit_ms`: how long the peers have to take what was sent. */
static void stop(struct serve *serve, unsigned limit_ms)
{
    if (serve->stopping) {
        serve->over = true;
        return;
    }
    serve->stopping = true;
    if (serve->listener && taps_listener_stop(serve->listener) < 0)
        serve->over = true;
    if (taps_context_after(serve->context, limit_ms, on_goodbye, serve, &serve->goodbye) < 0)
        serve->over = true;
    echo_close_all(&serve->echo);
}

/* As many as there is room for, and no more than --connections has left. */
static void set_limit(struct serve *serve)
{
    uint64_t limit = CONNECTIONS_MAX - serve->echo.active;

    if (serve->most && serve->accepted >= serve->most)
        limit = 0;
    else if (serve->most && serve->most - serve->accepted < limit)
        limit = serve->most - serve->accepted;
    if (serve->listener && !serve->stopping)
        taps_listener_set_new_connection_limit(serve->listener, limit);
}

static const char *remote_text(const taps_connection *connection, char *text, size_t size)
{
    const taps_endpoint *remote = taps_connection_remote(connection);

    snprintf(text, size, "?");
    if (remote)
        taps_endpoint_text(remote, text, size);
    return text;
}

static void on_opened(struct echo *echo, taps_connection *connection)
{
    struct serve *serve = (struct serve *)echo;
    char text[300];

    serve->accepted++;
    if (serve->options.verbose) {
        printf("accepted %s %s%s%s\n", remote_text(connection, text, sizeof text), taps_connection_stack(connection),
               taps_connection_resumed(connection) ? " resumed" : "",
               taps_connection_early_data(connection) ? " early-data" : "");
        fflush(stdout);
    }
}

static void on_peer_closed(struct echo *echo, taps_connection *connection, uint64_t bytes, const struct taps_error *why)
{
    struct serve *serve = (struct serve *)echo;
    char text[300];

    serve->closed++;
    if (serve->options.verbose) {
        printf("closed %s %" PRIu64 " bytes%s%s\n", remote_text(connection, text, sizeof text), bytes, why ? ": " : "",
               why ? why->detail : "");
        fflush(stdout);
    }
    if (serve->most && serve->closed >= serve->most && !serve->stopping)
        stop(serve, GOODBYE_MS);
    set_limit(serve);
}

static void on_enough(struct echo *echo)
{
    struct serve *serve = (struct serve *)echo;

    if (!serve->stopping)
        stop(serve, DELIVER_MS);
}

static void on_listening(taps_listener *listener, void *user)
{
    struct serve *serve = user;

    for (size_t i = 0; taps_listener_local(listener, i); i++) {
        char text[300];

        taps_endpoint_text(taps_listener_local(listener, i), text, sizeof text);
        printf("listening %s %s\n", text, taps_listener_stack(listener, i));
    }
    serve->code = finish_output();
    if (serve->code != DONE)
        stop(serve, GOODBYE_MS);
}

static void on_connection_received(taps_listener *listener, taps_connection *connection, void *user)
{
    struct serve *serve = user;

    (void)listener;
    if (serve->stopping)
        taps_connection_free(connection);
    else
        echo_accept(&serve->echo, connection);
}

static void on_establishment_error(taps_listener *listener, const struct taps_error *error, void *user)
{
    struct serve *serve = user;
    char what[512];

    (void)listener;
    snprintf(what, sizeof what, "listen on %s", serve->target);
    serve->code = complain_error(what, error);
    serve->over = true;
}

static void on_stopped(taps_listener *listener, void *user)
{
    struct serve *serve = user;

    taps_listener_free(listener);
    serve->listener = NULL;
}

static const struct taps_listener_events listener_events = {
    .listening = on_listening,
    .connection_received = on_connection_received,
    .establishment_error = on_establishment_error,
    .stopped = on_stopped,
};

static int open_signals(struct serve *serve)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
        serve->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (serve->signals >= 0)
        return DONE;
    complain("cannot watch for signals: %s", strerror(errno));
    return FAILED;
}

static bool took_signal(const struct serve *serve)
{
    struct signalfd_siginfo info;

    return read(serve->signals, &info, sizeof info) == (ssize_t)sizeof info;
}

static void show_progress(struct serve *serve, bool end)
{
    const struct echo *echo = &serve->echo;
    bool out = echo->mode == ECHO_SOURCE;

    (end ? progress_end : progress_tell)(&serve->progress, out ? echo->bytes_out : echo->bytes_in,
                                         out ? echo->bytes_in : echo->bytes_out, pace_now_ms());
}

/* While somebody is connected, until there is progress to tell; -1: without end. */
static int poll_timeout(const struct serve *serve)
{
    double wait = serve->echo.active > 0 ? progress_wait_ms(&serve->progress, pace_now_ms()) : -1;

    return wait < 0 ? -1 : (int)wait + 1;
}

static bool running(const struct serve *serve)
{
    return !serve->over && !(serve->stopping && !serve->listener && serve->echo.active == 0);
}

static int run_loop(struct serve *serve)
{
    struct pollfd fds[2] = {{.fd = taps_context_fd(serve->context), .events = POLLIN},
                            {.fd = serve->signals, .events = POLLIN}};
    int error = fds[0].fd < 0 ? fds[0].fd : 0;

    while (error >= 0 && running(serve)) {
        if (poll(fds, 2, poll_timeout(serve)) < 0) {
            if (errno == EINTR)
                continue;
            complain("cannot poll: %s", strerror(errno));
            return FAILED;
        }
        if (fds[1].revents && took_signal(serve))
            stop(serve, GOODBYE_MS);
        if (fds[0].revents)
            error = taps_context_dispatch(serve->context);
        if (serve->echo.active > 0)
            show_progress(serve, false);
    }
    show_progress(serve, true);
    return error < 0 ? complain_code("run the context", error) : serve->code;
}

static int start(struct serve *serve, taps_preconnection *preconnection)
{
    int error = taps_preconnection_listen(preconnection, &listener_events, serve, &serve->listener);
    const struct taps_error *why;
    char what[512];

    if (error >= 0) {
        set_limit(serve);
        return DONE;
    }
    snprintf(what, sizeof what, "listen on %s", serve->target);
    why = taps_preconnection_error(preconnection);
    return why && why->code ? complain_error(what, why) : complain_code(what, error);
}

static int init_echo(struct serve *serve)
{
    const struct message_options *message = &serve->options.message;
    struct echo *echo = &serve->echo;
    int code = message_context(&serve->options, &serve->properties), error;

    if (code == DONE)
        code = message_final_context(&serve->options, &echo->final);
    if (code != DONE)
        return code;
    echo->context = serve->context;
    echo->properties = serve->properties;
    echo->size = message->size;
    echo->rate = message->rate;
    echo->count = message->count;
    error = echo_init(echo);
    serve->progress.total = echo->mode == ECHO_SOURCE && message->count && message->count < UINT64_MAX / message->size
                                ? message->count * message->size
                                : UINT64_MAX;
    return error < 0 ? complain_code("start the echo", error) : DONE;
}

static int run_serve(struct serve *serve)
{
    taps_preconnection *preconnection = NULL;
    int code = options_context(&serve->options, &serve->context);

    if (code == DONE)
        code = options_preconnection(&serve->options, serve->context, serve->target, true, true, &preconnection);
    if (code == DONE)
        code = init_echo(serve);
    if (code == DONE)
        code = open_signals(serve);
    if (code == DONE)
        code = start(serve, preconnection);
    taps_preconnection_free(preconnection);
    progress_start(&serve->progress, &serve->options, pace_now_ms());
    if (code == DONE)
        code = run_loop(serve);
    echo_done(&serve->echo);
    taps_message_context_free(serve->properties);
    taps_listener_free(serve->listener);
    taps_context_free(serve->context);
    if (serve->signals >= 0)
        close(serve->signals);
    return code;
}

static int take_connections(void *target, const char *value)
{
    struct serve *serve = target;

    if (!options_number(value, UINT32_MAX, &serve->most) || serve->most == 0)
        return complain_usage("--connections takes a number from 1, not '%s'", value);
    return DONE;
}

static int take_mode(struct serve *serve, enum echo_mode mode, const char *name)
{
    if (serve->mode && serve->echo.mode != mode)
        return complain_usage("%s and %s exclude each other", serve->mode, name);
    serve->mode = name;
    serve->echo.mode = mode;
    return DONE;
}

static int take_echo(void *target, const char *value)
{
    (void)value;
    return take_mode(target, ECHO_BACK, "--echo");
}

static int take_sink(void *target, const char *value)
{
    (void)value;
    return take_mode(target, ECHO_SINK, "--sink");
}

static int take_source(void *target, const char *value)
{
    (void)value;
    return take_mode(target, ECHO_SOURCE, "--source");
}

static int take_idle(void *target, const char *value)
{
    struct serve *serve = target;

    if (!options_seconds(value, &serve->echo.idle_ms) || serve->echo.idle_ms == 0)
        return complain_usage("--idle takes seconds above 0, as in --idle 10, not '%s'", value);
    return DONE;
}

static int take_zero_rtt(void *target, const char *value)
{
    (void)value;
    ((struct serve *)target)->options.zero_rtt = true;
    return DONE;
}

/* A size makes a source, since there is no input; what would have no effect is refused. */
static int settle_mode(struct serve *serve)
{
    const struct message_options *message = &serve->options.message;

    if (!serve->mode && message->size)
        serve->echo.mode = ECHO_SOURCE;
    if (serve->echo.mode != ECHO_SOURCE && message->size)
        return complain_usage("--size has no meaning with %s: it is of the Messages that --source makes", serve->mode);
    if (serve->echo.mode == ECHO_SOURCE && !message->size)
        return complain_usage("--source needs the size of its Messages: --size BYTES");
    if (serve->echo.mode == ECHO_SINK &&
        (message->rate.per_second > 0 || message->properties.count > 0 || message->metadata.count > 0))
        return complain_usage("--sink sends nothing: %s has no meaning with it", message->rate.per_second > 0 ? "--rate"
                                                                                 : message->properties.count > 0
                                                                                     ? "--message-property"
                                                                                     : "--metadata");
    return DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct serve serve = {
        .signals = -1,
        .echo = {.idle_ms = 30000, .opened = on_opened, .closed = on_peer_closed, .enough = on_enough},
    };
    int code = options_parse(&serve.options, &serve, command, argc, argv);

    if (code != OPTIONS_RUN)
        return code;
    if (serve.options.argument_count != 1)
        return complain_usage(serve.options.argument_count ? "one PORT at a time"
                                                           : "PORT is missing: 0 takes a free one");
    serve.target = serve.options.arguments[0];
    code = settle_mode(&serve);
    return code == DONE ? run_serve(&serve) : code;
}

static const struct option_row rows[] = {
    {'e', "echo", NULL, "send every Message back (the default)", take_echo},
    {0, "sink", NULL, "take what comes, and send nothing", take_sink},
    {0, "source", NULL, "send Messages of --size bytes, letters and digits, to everybody (the default with --size)",
     take_source},
    {'c', "connections", "N", "stop after N connections were closed", take_connections},
    {0, "idle", "SECONDS", "when a peer over datagrams is taken as gone (default 30)", take_idle},
    {0, "0rtt", NULL, "take early data (zeroRttMsg is preferred): the first Messages of a session may be replays",
     take_zero_rtt},
    {0, NULL, NULL, NULL, NULL},
};

const struct command serve_command = {
    .name = "serve",
    .arguments = "PORT",
    .summary = "a server that echoes, on every eligible stack of the port",
    .description =
        "Prints a line `listening ADDRESS STACK` for each, then sends every Message back. PORT may be 0 for a\n"
        "free one, or ADDRESS:PORT. With -v, `accepted` and `closed` lines follow. Unless -p or --profile say\n"
        "otherwise nothing is demanded of the stacks, so without security udp is among them. Each stream that a\n"
        "peer opens is a connection. Ends at SIGINT or SIGTERM.\n"
        "\n"
        "With --count it ends after so many Messages were received, or sent by --source, over all connections. On a\n"
        "stream without --framer a Message is what one read gave. --rate is for each connection.\n"
        "\n"
        "  taps serve --cert server.pem --key server.key 4433\n"
        "  taps serve --cert server.pem --key server.key --alpn echo --0rtt 4433\n"
        "  taps serve --psk @keys 4433\n"
        "  taps serve --security disabled -v 0\n"
        "  taps serve --security disabled --framer length-prefix --count 1000 4000\n"
        "  taps serve --security disabled --source --size 1M --rate 10MB 4000\n",
    .options = rows,
    .common = true,
    .messages = true,
    .run = run,
};
