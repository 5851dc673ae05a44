/*
 * How far a long transfer is, on one line of standard error: bytes, rate, and where the size is known what is left.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_PROGRESS_H
#define TAPS_TOOL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

struct progress {
    uint64_t total; /* bytes; UINT64_MAX: not known */

    bool on, terminal, told;
    double begin_ms, last_ms; /* of the last line, or the beginning */
    uint64_t last_bytes;
    double rate; /* bytes per second, of late */
};

/* On where standard error is a terminal, or with --progress; never with --quiet. `total` is left as it is. */
void progress_start(struct progress *progress, const struct options *options, double now_ms);
/* Tells if it is time to: not within the first second, then four times a second, or once where it is no terminal.
   `other` are the bytes of the other direction. */
void progress_tell(struct progress *progress, uint64_t bytes, uint64_t other, double now_ms);
/* Milliseconds until it is time; negative: never. */
double progress_wait_ms(const struct progress *progress, double now_ms);
/* The last line, if there was any before. */
void progress_end(struct progress *progress, uint64_t bytes, uint64_t other, double now_ms);
/* "1.23 MB". */
const char *progress_amount(double amount, const char *unit, char *text, size_t size);

#endif
