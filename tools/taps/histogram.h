/*
 * Counts of durations in buckets whose width grows with the value: no value is told more than 1/128 too large, however
 * many there are, in a fixed amount of memory.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_HISTOGRAM_H
#define TAPS_TOOL_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BITS = 7, HISTOGRAM_LARGEST_BITS = 42, HISTOGRAM_HALF = 1 << HISTOGRAM_BITS };
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_LARGEST_BITS - HISTOGRAM_BITS + 1) * HISTOGRAM_HALF };

/* Zeroed it is empty. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t min, max;
    double sum;
};

/* Values of 2^42 and more (73 minutes in nanoseconds) share the last bucket; min, max and mean are exact for all. */
void histogram_add(struct histogram *histogram, uint64_t value);
/* The least value that at least `percent` of all are not above, as far as the buckets tell; 0 if there are none. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);
double histogram_mean(const struct histogram *histogram);

#endif
