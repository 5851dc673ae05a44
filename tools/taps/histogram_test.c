#include "histogram.h"

#include <stdlib.h>

#include "base/test.h"

static struct histogram *fresh(void)
{
    return calloc(1, sizeof(struct histogram));
}

TEST(empty_says_nothing)
{
    struct histogram *one = fresh();
    NEED(one);
    CHECK_INT(histogram_percentile(one, 0), 0);
    CHECK_INT(histogram_percentile(one, 50), 0);
    CHECK_INT(histogram_percentile(one, 100), 0);
    CHECK(histogram_mean(one) == 0);
    free(one);
}

TEST(one_value_is_every_percentile)
{
    static const uint64_t values[] = {0, 1, 127, 128, 129, 255, 256, 1000000, (1ull << 42) - 1, 1ull << 42, UINT64_MAX};
    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct histogram *one = fresh();
        NEED(one);
        histogram_add(one, values[i]);
        CHECK(histogram_percentile(one, 0) == values[i]);
        CHECK(histogram_percentile(one, 50) == values[i]);
        CHECK(histogram_percentile(one, 100) == values[i]);
        CHECK(one->min == values[i] && one->max == values[i]);
        free(one);
    }
}

TEST(small_values_are_exact)
{
    struct histogram *one = fresh();
    NEED(one);
    for (uint64_t i = 1; i <= 100; i++)
        histogram_add(one, i);
    CHECK_INT(histogram_percentile(one, 50), 50);
    CHECK_INT(histogram_percentile(one, 90), 90);
    CHECK_INT(histogram_percentile(one, 99), 99);
    CHECK_INT(histogram_percentile(one, 99.9), 100);
    CHECK(histogram_mean(one) == 50.5);
    free(one);
}

/* Every value between its bucket's neighbours: never told too small, and at most 1/128 too large. */
TEST(no_value_is_far_off)
{
    for (uint64_t value = 1; value < 1ull << 42; value += value / 97 + 1) {
        struct histogram one;
        memset(&one, 0, sizeof(one));
        histogram_add(&one, value);
        histogram_add(&one, UINT64_MAX);
        uint64_t told = histogram_percentile(&one, 50);
        CHECK(told >= value && told - value <= value / 128);
        if (tapsi_test_failed())
            return;
    }
}

TEST(one_slow_in_a_thousand)
{
    struct histogram *one = fresh();
    NEED(one);
    for (unsigned i = 0; i < 9990; i++)
        histogram_add(one, 1000);
    for (unsigned i = 0; i < 10; i++)
        histogram_add(one, 1000000);
    CHECK(histogram_percentile(one, 99.9) < 1010);
    CHECK(histogram_percentile(one, 99.91) >= 1000000);
    CHECK_INT(histogram_percentile(one, 100), 1000000);
    CHECK_INT(one->min, 1000);
    free(one);
}

TEST(what_is_too_large_counts_too)
{
    struct histogram *one = fresh();
    NEED(one);
    histogram_add(one, 5);
    histogram_add(one, 1ull << 50);
    histogram_add(one, 1ull << 60);
    CHECK_INT(histogram_percentile(one, 30), 5);
    CHECK(histogram_percentile(one, 60) == 1ull << 60);
    CHECK_INT(one->count, 3);
    free(one);
}
