#include "rate.h"

#include "base/test.h"

TEST(rates_that_are_none)
{
    static const char *const texts[] = {
        "",    "0",   "0.0001", "-1",   "+1",    " 1",    "1 ",    "1x",
        "x",   "k",   "B",      "1b",   "1KB ",  "1kib",  "1Ki",   "1iB",
        "1kk", "1BB", "1e3",    "nan",  "inf",   "0x10",  "1.2.3", ".",
        "1TB", "1/s", "10,5",   "1 MB", "2000G", "1kiB.", "1Bk",   "99999999999999999999999999999999999"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rate rate = {.per_second = 7};
        bool took = rate_parse(texts[i], &rate);
        CHECK(!took);
        CHECK(rate.per_second == 7);
        if (took)
            tapsi_test_remark("'%s' was taken", texts[i]);
    }
}

TEST(rates)
{
    static const struct {
        const char *text;
        double per_second;
        bool bytes;
    } rows[] = {{"1", 1, false},
                {"0.5", 0.5, false},
                {"250", 250, false},
                {"10k", 10000, false},
                {"10K", 10000, false},
                {"2M", 2e6, false},
                {"1B", 1, true},
                {"1500B", 1500, true},
                {"64kB", 64000, true},
                {"2.5MB", 2.5e6, true},
                {"64KiB", 65536, true},
                {"1MiB", 1048576, true},
                {"1GiB", 1073741824., true}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rate rate = {0};
        CHECK(rate_parse(rows[i].text, &rate));
        CHECK(rate.per_second == rows[i].per_second && rate.bytes == rows[i].bytes);
    }
}

TEST(without_a_rate_nothing_waits)
{
    struct pace pace;
    pace_start(&pace, (struct rate){0}, 1000);
    for (unsigned i = 0; i < 10; i++) {
        CHECK(pace_wait_ms(&pace, 1000) == 0);
        pace_took(&pace, 100, 1000);
    }
    CHECK_INT(pace_piece(pace.rate, 4096), 4096);
}

TEST(messages_are_spread)
{
    struct pace pace;
    pace_start(&pace, (struct rate){.per_second = 100}, 500);
    CHECK(pace_wait_ms(&pace, 500) == 0);
    pace_took(&pace, 9999, 500);
    CHECK(pace_wait_ms(&pace, 500) == 10);
    CHECK(pace_wait_ms(&pace, 507) == 3);
    CHECK(pace_wait_ms(&pace, 512) == 0);
    pace_took(&pace, 1, 512); /* late by 2, which the next makes up for */
    CHECK(pace_wait_ms(&pace, 512) == 8);
}

TEST(bytes_weigh)
{
    struct pace pace;
    pace_start(&pace, (struct rate){.per_second = 1000, .bytes = true}, 0);
    pace_took(&pace, 500, 0);
    CHECK(pace_wait_ms(&pace, 0) == 500);
    CHECK_INT(pace_piece(pace.rate, 4096), 100);
    CHECK_INT(pace_piece((struct rate){.per_second = 3, .bytes = true}, 4096), 1);
    CHECK_INT(pace_piece((struct rate){.per_second = 1e9, .bytes = true}, 4096), 4096);
}

TEST(a_long_stall_makes_no_flood)
{
    struct pace pace;
    unsigned burst = 0;
    pace_start(&pace, (struct rate){.per_second = 1000}, 0);
    while (pace_wait_ms(&pace, 60000) == 0 && burst < 1000) {
        pace_took(&pace, 1, 60000);
        burst++;
    }
    CHECK(burst >= 100 && burst <= 102);
}
