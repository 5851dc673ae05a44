/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "complain.h"

enum { FIRST_MS = 1000, TERMINAL_MS = 250, LINES_MS = 1000 };

void progress_start(struct progress *progress, const struct options *options, double now_ms)
{
    const struct message_options *message = &options->message;

    progress->terminal = isatty(STDERR_FILENO);
    progress->on = !message->quiet && (message->progress || progress->terminal);
    progress->told = false;
    progress->begin_ms = progress->last_ms = now_ms;
    progress->last_bytes = 0;
    progress->rate = 0;
}

double progress_wait_ms(const struct progress *progress, double now_ms)
{
    double due = progress->begin_ms + FIRST_MS;

    if (!progress->on)
        return -1;
    if (progress->told)
        due = progress->last_ms + (progress->terminal ? TERMINAL_MS : LINES_MS);
    return due > now_ms ? due - now_ms : 0;
}

const char *progress_amount(double amount, const char *unit, char *text, size_t size)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    size_t i = 0;

    while (i < 5 && amount >= 999.5) {
        amount /= 1000;
        i++;
    }
    snprintf(text, size, "%.*f %s%s",
             i == 0 || amount >= 99.95 ? 0
             : amount >= 9.995         ? 1
                                       : 2,
             amount, prefixes[i], unit);
    return text;
}

/* The rate of the last few seconds, so that it neither jumps nor tells of what was long ago. */
static void measure(struct progress *progress, uint64_t bytes, double now_ms)
{
    double passed = now_ms - progress->last_ms, rate;

    if (passed <= 0)
        return;
    rate = (double)(bytes - progress->last_bytes) * 1000 / passed;
    progress->rate =
        progress->told ? progress->rate + (rate - progress->rate) * (passed < 3000 ? passed / 3000 : 1) : rate;
    progress->last_ms = now_ms;
    progress->last_bytes = bytes;
}

static void put_left(const struct progress *progress, uint64_t bytes)
{
    double seconds;

    if (progress->total == UINT64_MAX || progress->total == 0)
        return;
    fprintf(stderr, ", %d %%", (int)(bytes >= progress->total ? 100 : (double)bytes * 100 / (double)progress->total));
    if (bytes >= progress->total || progress->rate <= 0)
        return;
    seconds = (double)(progress->total - bytes) / progress->rate + 0.5;
    if (seconds < 360000)
        fprintf(stderr, ", %u:%02u:%02u left", (unsigned)seconds / 3600, (unsigned)seconds / 60 % 60,
                (unsigned)seconds % 60);
}

static void put_line(struct progress *progress, uint64_t bytes, uint64_t other, double rate, bool last)
{
    char text[32];

    fprintf(stderr, "%s%s", progress->terminal ? "\r\033[K" : "",
            progress_amount((double)bytes, "B", text, sizeof text));
    if (other > 0)
        fprintf(stderr, " (back: %s)", progress_amount((double)other, "B", text, sizeof text));
    fprintf(stderr, ", %s", progress_amount(rate, "B/s", text, sizeof text));
    put_left(progress, bytes);
    if (last || !progress->terminal)
        fputc('\n', stderr);
    fflush(stderr);
    progress->told = true;
    complain_over_line(progress->terminal && !last);
}

void progress_tell(struct progress *progress, uint64_t bytes, uint64_t other, double now_ms)
{
    if (progress_wait_ms(progress, now_ms) != 0)
        return;
    measure(progress, bytes, now_ms);
    put_line(progress, bytes, other, progress->rate, false);
}

void progress_end(struct progress *progress, uint64_t bytes, uint64_t other, double now_ms)
{
    double seconds = (now_ms - progress->begin_ms) / 1000;

    if (!progress->told)
        return;
    put_line(progress, bytes, other, seconds > 0 ? (double)bytes / seconds : 0, true);
    progress->on = false;
}
