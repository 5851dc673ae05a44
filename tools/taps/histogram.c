/* SPDX-License-Identifier: MIT */
#include "histogram.h"

/* Values below 2^HISTOGRAM_BITS have a bucket each; from there on every doubling has HISTOGRAM_HALF buckets. */
static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value >> HISTOGRAM_LARGEST_BITS)
        return HISTOGRAM_BUCKETS - 1;
    if (value < HISTOGRAM_HALF)
        return (unsigned)value;
    shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
    return (shift + 1) * HISTOGRAM_HALF + (unsigned)((value >> shift) - HISTOGRAM_HALF);
}

static uint64_t largest_in(unsigned bucket)
{
    unsigned shift = bucket / HISTOGRAM_HALF;

    if (shift == 0)
        return bucket;
    shift--;
    return (((uint64_t)(bucket % HISTOGRAM_HALF + HISTOGRAM_HALF) + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[bucket_of(value)]++;
    if (histogram->count == 0 || value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->sum += (double)value;
    histogram->count++;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    double exact = (double)histogram->count * percent / 100 - 1e-6; /* 99.9 is a little more than that */
    uint64_t wanted = exact > 0 ? (uint64_t)exact + 1 : 0, seen = 0, value;

    if (wanted == 0)
        return histogram->min;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) {
            value = largest_in(i);
            return value < histogram->max ? value : histogram->max;
        }
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count ? histogram->sum / (double)histogram->count : 0;
}
