/*
 * How fast: "--rate" from text, and the moments at which something may go.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_RATE_H
#define TAPS_TOOL_RATE_H

#include <stdbool.h>
#include <stddef.h>

struct rate {
    double per_second; /* 0: as fast as it goes */
    bool bytes;        /* else Messages */
};

/* "250", "10k": Messages; "1500B", "2.5MB" (of 1000), "64KiB" (of 1024): bytes. False for everything else, and for what
   is below 1 in 1000 s or above 10^12. */
bool rate_parse(const char *text, struct rate *ret_rate);

/* Monotonic, in fractions, whatever the loop is at. */
double pace_now_ms(void);

struct pace {
    struct rate rate;
    double due_ms; /* when the next may go */
};

void pace_start(struct pace *pace, struct rate rate, double now_ms);
/* Milliseconds until the next Message may go; 0: now. */
double pace_wait_ms(const struct pace *pace, double now_ms);
/* One has gone. What was missed is made up for, up to a tenth of a second. */
void pace_took(struct pace *pace, size_t bytes, double now_ms);
/* Bytes of one piece where pieces may have any size, so that they go at least ten times a second; at most `most`. */
size_t pace_piece(struct rate rate, size_t most);

#endif
