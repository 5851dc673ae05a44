/* SPDX-License-Identifier: MIT */
#include "rate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* "k", "MB", "KiB": the factor, and whether bytes are meant. */
static bool parse_unit(const char *unit, double *ret_factor, bool *ret_bytes)
{
    static const char letters[] = "kKmMgG";
    const char *letter = *unit ? strchr(letters, *unit) : NULL;
    unsigned power = letter ? (unsigned)(letter - letters) / 2 + 1 : 0;
    double step = 1000;

    if (letter)
        unit++;
    if (letter && unit[0] == 'i' && unit[1] == 'B') {
        step = 1024;
        unit++;
    }
    *ret_bytes = *unit == 'B';
    if (*unit == 'B')
        unit++;
    for (*ret_factor = 1; power > 0; power--)
        *ret_factor *= step;
    return !*unit;
}

bool rate_parse(const char *text, struct rate *ret_rate)
{
    size_t digits = strspn(text, "0123456789.");
    char number[32], *end;
    double value, factor;
    bool bytes;

    if (digits == 0 || digits >= sizeof number || !parse_unit(text + digits, &factor, &bytes))
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    value = strtod(number, &end) * factor;
    if (*end || end == number || !(value >= 0.001 && value <= 1e12))
        return false;
    *ret_rate = (struct rate){.per_second = value, .bytes = bytes};
    return true;
}

double pace_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

void pace_start(struct pace *pace, struct rate rate, double now_ms)
{
    *pace = (struct pace){.rate = rate, .due_ms = now_ms};
}

double pace_wait_ms(const struct pace *pace, double now_ms)
{
    return pace->rate.per_second > 0 && pace->due_ms > now_ms ? pace->due_ms - now_ms : 0;
}

void pace_took(struct pace *pace, size_t bytes, double now_ms)
{
    double units = pace->rate.bytes ? (double)bytes : 1;

    if (pace->rate.per_second <= 0)
        return;
    if (pace->due_ms < now_ms - 100)
        pace->due_ms = now_ms - 100;
    pace->due_ms += units * 1000 / pace->rate.per_second;
}

size_t pace_piece(struct rate rate, size_t most)
{
    if (!rate.bytes || rate.per_second <= 0 || rate.per_second / 10 >= (double)most)
        return most;
    return rate.per_second < 20 ? 1 : (size_t)(rate.per_second / 10);
}
