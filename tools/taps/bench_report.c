/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "json.h"
#include "progress.h"
#include "term.h"

static const struct {
    const char *name, *key;
    double percent;
} percentiles[] = {{"p50", "p50", 50}, {"p90", "p90", 90}, {"p99", "p99", 99}, {"p99.9", "p99_9", 99.9}};
enum { PERCENTILES = sizeof percentiles / sizeof percentiles[0] };

/* To the last one done, or to the end of the time that was to be measured; the last one due lasts as long as others. */
static double seconds(const struct load *load)
{
    double measured = load->last_ns > load->begin_ns ? (double)(load->last_ns - load->begin_ns) : 0;
    double due = (double)load->given * load->interval_ns;

    if (measured < due)
        measured = due;
    if (load->timed_out && measured < (double)load->duration_ns)
        measured = (double)load->duration_ns;
    return measured / 1e9;
}

static double per_second(const struct load *load, uint64_t amount)
{
    return seconds(load) > 0 ? (double)amount / seconds(load) : 0;
}

/* ----------------------------------------------------------------------------------------------------- text */

static const char *duration_text(double ns, char *text, size_t size)
{
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    size_t i = 0;
    double value;

    while (i < 3 && ns < units[i].unit)
        i++;
    value = ns / units[i].unit;
    snprintf(text, size, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[i].name);
    return text;
}

/* Of one session; where the stack has none, each clone is a connection of its own. */
static size_t streams_of(const struct load *load)
{
    return strcmp(load->stack, "quic") == 0 ? load->streams : 1;
}

static void print_setting(const struct load *load, double rate)
{
    size_t streams = streams_of(load), sessions = load->connections / streams;

    printf("  %s, %s, %zu connection%s", load->stack, *load->security ? load->security : "without security", sessions,
           sessions == 1 ? "" : "s");
    if (streams > 1)
        printf(" of %zu streams", streams);
    printf(", ready after %.1f ms\n", load->setup_ms);
    printf("  Messages of %zu bytes, %s, at most %zu under way in each connection", load->size,
           load->one_way ? "one way" : "there and back", load->depth);
    if (rate > 0)
        printf(", %g per second", rate);
    putchar('\n');
}

static void print_count(const char *name, uint64_t count, const char *meaning)
{
    if (count > 0)
        printf("  %-10s %12" PRIu64 "  %s\n", name, count, meaning);
}

static void print_throughput(const struct load *load)
{
    const struct load_tally *tally = &load->tally;
    char text[32];

    printf("  %-10s %12.3f s\n", "time", seconds(load));
    printf("  %-10s %12" PRIu64 "  %.0f per second\n", "Messages", tally->done, per_second(load, tally->done));
    printf("  %-10s %12" PRIu64 "  %s\n", "bytes", tally->bytes,
           progress_amount(per_second(load, tally->bytes), "B/s", text, sizeof text));
    print_count("lost", tally->lost, "had no answer in time");
    print_count("late", tally->late, "answers came when they were no longer waited for");
    print_count("failed", tally->failed, "were not sent");
    print_count("behind", tally->behind, "were due, and could not be sent before the end");
}

static void print_latency(const struct histogram *latency)
{
    char text[32];

    if (latency->count == 0)
        return;
    printf("  %-10s %12s\n", "min", duration_text((double)latency->min, text, sizeof text));
    for (size_t i = 0; i < PERCENTILES; i++)
        printf("  %-10s %12s\n", percentiles[i].name,
               duration_text((double)histogram_percentile(latency, percentiles[i].percent), text, sizeof text));
    printf("  %-10s %12s\n", "max", duration_text((double)latency->max, text, sizeof text));
    printf("  %-10s %12s\n", "mean", duration_text(histogram_mean(latency), text, sizeof text));
}

void bench_print_text(const struct load *load, double rate)
{
    struct term term;

    term_init(&term, stdout);
    printf("%staps bench%s ", term_ink(&term, INK_HEAD), term_ink(&term, INK_PLAIN));
    term_put(&term, load->target, term.width - (int)sizeof "taps bench");
    putchar('\n');
    print_setting(load, rate);
    term_heading(&term, "Throughput");
    print_throughput(load);
    term_heading(&term, load->one_way ? "Time until Sent" : "Time until it came back");
    print_latency(&load->tally.latency);
}

/* ----------------------------------------------------------------------------------------------------- JSON */

static void json_latency(struct json *json, const struct histogram *latency)
{
    if (latency->count == 0) {
        json_text(json, "latency_us", NULL);
        return;
    }
    json_open(json, "latency_us", '{');
    json_number(json, "min", (double)latency->min / 1e3);
    for (size_t i = 0; i < PERCENTILES; i++)
        json_number(json, percentiles[i].key, (double)histogram_percentile(latency, percentiles[i].percent) / 1e3);
    json_number(json, "max", (double)latency->max / 1e3);
    json_number(json, "mean", histogram_mean(latency) / 1e3);
    json_close(json, '}');
}

static void json_tally(struct json *json, const struct load *load)
{
    const struct load_tally *tally = &load->tally;

    json_open(json, "messages", '{');
    json_integer(json, "sent", tally->sent);
    json_integer(json, "done", tally->done);
    json_integer(json, "lost", tally->lost);
    json_integer(json, "late", tally->late);
    json_integer(json, "failed", tally->failed);
    json_integer(json, "behind", tally->behind);
    json_close(json, '}');
    json_integer(json, "bytes", tally->bytes);
    json_number(json, "messages_per_second", per_second(load, tally->done));
    json_number(json, "bytes_per_second", per_second(load, tally->bytes));
}

void bench_print_json(const struct load *load, double rate)
{
    struct json json;

    json_init(&json, stdout);
    json_open(&json, NULL, '{');
    json_text(&json, "target", load->target);
    json_text(&json, "mode", load->one_way ? "one-way" : "echo");
    json_text(&json, "stack", load->stack);
    json_text(&json, "security", *load->security ? load->security : NULL);
    json_integer(&json, "connections", load->connections / streams_of(load));
    json_integer(&json, "streams", streams_of(load));
    json_integer(&json, "size", load->size);
    json_integer(&json, "depth", load->depth);
    if (rate > 0)
        json_number(&json, "rate", rate);
    else
        json_text(&json, "rate", NULL);
    json_ms(&json, "ready_ms", load->setup_ms);
    json_number(&json, "seconds", seconds(load));
    json_tally(&json, load);
    json_latency(&json, &load->tally.latency);
    json_close(&json, '}');
    json_end(&json);
}
