/*
 * taps bench: Messages and bytes per second and latency, against a server that echoes or one that only takes.
 *
 * SPDX-License-Identifier: MIT
 *
 * Design. load.c sends and counts; this file runs it to its end and prints. Without --rate the context's own loop
 * waits. With it this file does, since the next Message is due between two milliseconds. A timer looks at the clock for
 * what no event tells: time that is over, datagrams that are lost, SIGINT, which ends the measurement early.
 */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "command.h"
#include "complain.h"
#include "flow.h"
#include "message.h"
#include "migrate.h"
#include "options.h"
#include "progress.h"

enum {
    TICK_MS = 20,
    SIZE_DEFAULT = 64,
    SECONDS_DEFAULT = 5,
    CONNECTIONS_MAX = 1024,
    DEPTH_MAX = 65536,
    DEPTH_RATE = 1024,
    UNSENT_MAX = 1024 * 1024
};

struct bench {
    struct options options;
    struct load load;
    uint64_t time_ms, connections, streams, depth;
    bool json;
    taps_message_context *properties;
    taps_timer *timer;
    double rate; /* Messages per second, or 0 */
    struct progress progress;
    struct migrate migrate; /* of the first session: the others go with it */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted++;
}

/* Of the Messages where their number is known, else of the time. */
static void move(struct bench *bench)
{
    struct load *load = &bench->load;
    size_t next = bench->migrate.next;
    uint64_t done;
    int code;

    if (!load->measuring || load->stopping || load->over)
        return;
    done = load->count ? load->tally.done : (load_now() - load->begin_ns) / 1000000;
    code = migrate_advance(&bench->migrate, load->flows[0].connection, done, load->count ? load->count : bench->time_ms,
                           pace_now_ms());
    for (size_t i = load->streams; next < bench->migrate.next && i < load->connections && code == DONE;
         i += load->streams)
        code = migrate_to(load->flows[i].connection, bench->options.migrate_to.items[next]);
    if (code != DONE)
        load->code = code;
}

static void on_tick(void *arg)
{
    struct bench *bench = arg;

    bench->timer = NULL;
    if (interrupted)
        load_stop(&bench->load);
    load_look_at_clock(&bench->load);
    move(bench);
    progress_tell(&bench->progress, bench->load.tally.bytes, 0, pace_now_ms());
    if (taps_context_after(bench->load.context, TICK_MS, on_tick, bench, &bench->timer) < 0)
        load_stop(&bench->load);
}

/* Milliseconds are too coarse for what is due. */
static int wait_and_dispatch(taps_context *context, uint64_t limit_ns)
{
    struct pollfd fd = {.fd = taps_context_fd(context), .events = POLLIN};
    struct timespec limit = {.tv_sec = (time_t)(limit_ns / 1000000000), .tv_nsec = (long)(limit_ns % 1000000000)};

    if (fd.fd < 0)
        return fd.fd;
    if (ppoll(&fd, 1, limit_ns == UINT64_MAX ? NULL : &limit, NULL) < 0 && errno != EINTR) {
        complain("cannot poll: %s", strerror(errno));
        return TAPS_E_SYSTEM;
    }
    return taps_context_dispatch(context);
}

static int run_load(struct bench *bench)
{
    struct load *load = &bench->load;
    int error = 0;

    bench->progress.total =
        load->count && load->count < UINT64_MAX / load->size ? load->count * load->size : UINT64_MAX;
    progress_start(&bench->progress, &bench->options, pace_now_ms());
    on_tick(bench);
    while (error >= 0 && !load_over(load) && interrupted < 2) {
        if (bench->rate > 0)
            error = wait_and_dispatch(load->context, load_send_due(load));
        else
            error = taps_context_run_once(load->context, TICK_MS);
    }
    if (bench->timer)
        taps_timer_cancel(bench->timer);
    progress_end(&bench->progress, load->tally.bytes, 0, pace_now_ms());
    return error < 0 ? complain_code("run the context", error) : load->code;
}

static int report(struct bench *bench, int code)
{
    struct load *load = &bench->load;

    if (!load->measuring)
        return code;
    if (bench->json)
        bench_print_json(load, bench->rate);
    else
        bench_print_text(load, bench->rate);
    if (finish_output() != DONE)
        return FAILED;
    if (code == DONE && load->tally.done == 0) {
        complain("nothing came back from %s", load->target);
        complain_hint("Does it echo? `taps serve` does; --one-way is for those that only take.");
        return FAILED;
    }
    return code;
}

static int run_bench(struct bench *bench)
{
    taps_preconnection *preconnection = NULL;
    struct load *load = &bench->load;
    int code = options_context(&bench->options, &load->context);

    if (code == DONE)
        code = options_preconnection(&bench->options, load->context, load->target, false, false, &preconnection);
    if (code == DONE)
        code = message_context(&bench->options, &bench->properties);
    load->properties = bench->properties;
    if (code == DONE)
        code = load_start(load, preconnection, bench->options.timeout_ms);
    taps_preconnection_free(preconnection);
    if (code == DONE)
        code = report(bench, run_load(bench));
    if (load->measuring && load->flows[0].connection)
        migrate_tell(&bench->migrate, load->flows[0].connection);
    load_done(load);
    taps_message_context_free(bench->properties);
    taps_context_free(load->context);
    return code;
}

/* -------------------------------------------------------------------------------------------------- options */

/* One at a time gives the time of one; with a rate nothing should be held back; one way, what fills the line. */
static size_t default_depth(const struct bench *bench)
{
    size_t fill = UNSENT_MAX / bench->load.size;

    if (bench->rate > 0)
        return DEPTH_RATE;
    if (!bench->load.one_way)
        return 1;
    return fill > 256 ? 256 : fill < 2 ? 2 : fill;
}

static void settle(struct bench *bench)
{
    const struct message_options *message = &bench->options.message;
    struct load *load = &bench->load;

    load->size = message->size ? message->size : SIZE_DEFAULT;
    load->count = message->count;
    load->streams = bench->streams ? bench->streams : 1;
    load->connections = (bench->connections ? bench->connections : 1) * load->streams;
    load->verbose = bench->options.verbose > 0;
    if (bench->time_ms == 0 && load->count == 0)
        bench->time_ms = SECONDS_DEFAULT * 1000;
    load->duration_ns = bench->time_ms * 1000000;
    bench->rate = message->rate.bytes ? message->rate.per_second / (double)load->size : message->rate.per_second;
    load->interval_ns = bench->rate > 0 ? 1e9 / bench->rate : 0;
    load->depth = bench->depth ? bench->depth : default_depth(bench);
}

static int run(const struct command *command, int argc, char **argv)
{
    static struct bench bench;
    struct sigaction action = {.sa_handler = on_signal};
    int code = options_parse(&bench.options, &bench, command, argc, argv);

    if (code != OPTIONS_RUN)
        return code;
    if (bench.options.argument_count != 1)
        return complain_usage(bench.options.argument_count ? "one HOST:PORT at a time" : "HOST:PORT is missing");
    bench.load.target = bench.options.arguments[0];
    bench.migrate.to = &bench.options.migrate_to;
    settle(&bench);
    if (bench.load.connections > CONNECTIONS_MAX)
        return complain_usage("--connections and --streams make %zu connections: there may be %d",
                              bench.load.connections, CONNECTIONS_MAX);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    return run_bench(&bench);
}

static int take_time(void *target, const char *value)
{
    struct bench *bench = target;

    if (!options_seconds(value, &bench->time_ms) || bench->time_ms == 0)
        return complain_usage("--time takes seconds above 0, as in --time 2.5, not '%s'", value);
    return DONE;
}

static int take_connections(void *target, const char *value)
{
    struct bench *bench = target;

    if (!options_number(value, CONNECTIONS_MAX, &bench->connections) || bench->connections == 0)
        return complain_usage("--connections takes a number from 1 to %d, not '%s'", CONNECTIONS_MAX, value);
    return DONE;
}

static int take_streams(void *target, const char *value)
{
    struct bench *bench = target;

    if (!options_number(value, CONNECTIONS_MAX, &bench->streams) || bench->streams == 0)
        return complain_usage("--streams takes a number from 1 to %d, not '%s'", CONNECTIONS_MAX, value);
    return DONE;
}

static int take_depth(void *target, const char *value)
{
    struct bench *bench = target;

    if (!options_number(value, DEPTH_MAX, &bench->depth) || bench->depth == 0)
        return complain_usage("--depth takes a number of Messages from 1 to %d, not '%s'", DEPTH_MAX, value);
    return DONE;
}

static int take_one_way(void *target, const char *value)
{
    (void)value;
    ((struct bench *)target)->load.one_way = true;
    return DONE;
}

static int take_wait(void *target, const char *value)
{
    struct bench *bench = target;
    uint64_t ms;

    if (!options_seconds(value, &ms) || ms == 0)
        return complain_usage("--wait takes seconds above 0, as in --wait 0.5, not '%s'", value);
    bench->load.patience_ns = ms * 1000000;
    return DONE;
}

static int take_migrate_to(void *target, const char *value)
{
    return migrate_take(&((struct bench *)target)->options, value);
}

static int take_json(void *target, const char *value)
{
    (void)value;
    ((struct bench *)target)->json = true;
    return DONE;
}

static const struct option_row rows[] = {
    {'t', "time", "SECONDS", "end after so long (default 5, or none with --count)", take_time},
    {'c', "connections", "N", "so many connections at once (default 1)", take_connections},
    {0, "streams", "N",
     "clone each connection until there are N: streams of one session where the stack has them (quic), else N "
     "connections (default 1)",
     take_streams},
    {'d', "depth", "N",
     "Messages under way in each connection (default 1; with --rate up to 1024; with --one-way what 1 MiB holds, at "
     "most "
     "256)",
     take_depth},
    {'o', "one-way", NULL, "the server only takes: time runs until Sent", take_one_way},
    {'w', "wait", "SECONDS",
     "how long an answer may take: then a datagram is lost (default 1), a connection given up (default 10)", take_wait},
    {0, "migrate-to", "WHERE",
     "move to this address or interface while measuring (quic; multipath is active); repeatable: spread over the "
     "measurement",
     take_migrate_to},
    {'j', "json", NULL, "one JSON object instead of text", take_json},
    {0, NULL, NULL, NULL, NULL},
};

const struct command bench_command = {
    .name = "bench",
    .arguments = "HOST:PORT",
    .summary = "Messages and bytes per second, and latency",
    .description =
        "Sends Messages of --size bytes (default 64) to a server that sends them back, and measures how many come\n"
        "back in a second and how long each takes: p50, p90, p99, p99.9 and the longest. `taps serve` is such a\n"
        "server. The clock starts when all connections are ready.\n"
        "\n"
        "With --rate Messages are due at fixed times, and the time of each runs from when it was due: a server that\n"
        "stalls makes all those late that should have been sent meanwhile. Over datagrams lost ones are counted.\n"
        "With --one-way, to `taps serve --sink` or any other that only takes, time runs until Sent, and the end is\n"
        "when everything was delivered.\n"
        "\n"
        "  taps bench --security disabled --size 100 --depth 32 --connections 4 localhost:4000\n"
        "  taps bench --rate 5000 --time 30 --json server.example:4433\n"
        "  taps bench --alpn echo --streams 8 server.example:4433\n"
        "  taps bench --profile unreliable-datagram --security disabled --count 10000 localhost:4000\n",
    .options = rows,
    .common = true,
    .messages = true,
    .run = run,
};
