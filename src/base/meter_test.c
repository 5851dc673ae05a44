/* In no second goes more than the bound, and on the average nearly as much. */
#include "base/meter.h"

#include <stdlib.h>
#include "base/test.h"

#define SECOND UINT64_C(1000000000)
#define MANY   20000

static uint64_t times[MANY];
static size_t sizes[MANY];

/* The most bytes of any second that begins with one of them. */
static uint64_t worst(int count)
{
    uint64_t most = 0, sum = 0;
    int first = 0;
    for (int i = 0; i < count; i++) {
        sum += sizes[i];
        while (times[i] - times[first] >= SECOND)
            sum -= sizes[first++];
        most = sum > most ? sum : most;
    }
    return most;
}

/* Always something to send. Returns bits per second on the average. */
static double greedy(uint64_t rate, size_t size, bool random, int count)
{
    struct tapsi_meter m;
    uint64_t now = 5 * SECOND + 123, sum = 0;
    tapsi_meter_init(&m, rate);
    for (int i = 0; i < count; i++) {
        sizes[i] = random ? (size_t)rand() % size + 1 : size;
        now = tapsi_meter_when(&m, now, sizes[i]);
        CHECK(tapsi_meter_when(&m, now, sizes[i]) == now);
        tapsi_meter_count(&m, now, sizes[i]);
        times[i] = now;
        sum += i ? sizes[i] : 0;
    }
    return (double)sum * 8e9 / (double)(times[count - 1] - times[0]);
}

/* proves API-087 */
TEST(no_second_has_more_than_the_bound)
{
    static const uint64_t rates[] = {8000, 100000, 1000000, 64000000};
    srand(1);
    for (int r = 0; r < 4; r++) {
        for (size_t part = 2; part <= 64; part *= 2) {
            for (int random = 0; random < 2; random++) {
                size_t size = rates[r] / 8 / part;
                double average = greedy(rates[r], size, random, 2000);
                CHECK(worst(2000) <= rates[r] / 8);
                CHECK(average <= (double)rates[r] * 1.01);
                if (part >= 8)
                    CHECK(average >= (double)rates[r] * 0.85);
            }
        }
    }
}

TEST(small_ones_go_nearly_at_the_rate)
{
    double average = greedy(1000000, 100, false, MANY);
    CHECK(average > 970000 && average <= 1000100);
}

TEST(after_a_pause_there_is_no_more_than_a_burst)
{
    struct tapsi_meter m;
    uint64_t now = 100 * SECOND;
    size_t sum = 0;
    tapsi_meter_init(&m, 8000000); /* a megabyte a second */
    while (tapsi_meter_when(&m, now, 1000) == now) {
        tapsi_meter_count(&m, now, 1000);
        sum += 1000;
    }
    CHECK(sum >= 10000 && sum <= 12000);
    now += 30 * SECOND;
    for (sum = 0; tapsi_meter_when(&m, now, 1000) == now; sum += 1000)
        tapsi_meter_count(&m, now, 1000);
    CHECK(sum >= 10000 && sum <= 12000);
}

/* Ten seconds' worth goes alone, and the next after ten seconds. */
TEST(what_is_too_large_goes_alone)
{
    struct tapsi_meter m;
    uint64_t now = 10 * SECOND;
    tapsi_meter_init(&m, 8000);
    CHECK(tapsi_meter_when(&m, now, 10000) == now);
    tapsi_meter_count(&m, now, 10000);
    uint64_t next = tapsi_meter_when(&m, now, 10000);
    CHECK(next >= now + 9 * SECOND && next <= now + 10 * SECOND);
    CHECK(tapsi_meter_when(&m, now, 1) >= now + 9 * SECOND);
}

TEST(extremes)
{
    struct tapsi_meter m;
    tapsi_meter_init(&m, UINT64_MAX);
    tapsi_meter_count(&m, SECOND, SIZE_MAX / 2);
    CHECK(tapsi_meter_when(&m, SECOND, SIZE_MAX / 2) == SECOND);
    tapsi_meter_init(&m, 1); /* a bit per second: a byte in eight */
    CHECK(tapsi_meter_when(&m, SECOND, 1) == SECOND);
    tapsi_meter_count(&m, SECOND, 1);
    uint64_t next = tapsi_meter_when(&m, SECOND, 1);
    CHECK(next > 8 * SECOND && next <= 9 * SECOND);
    CHECK_INT(tapsi_meter_portion(&m), 1);
    tapsi_meter_init(&m, INT64_MAX);
    CHECK(tapsi_meter_when(&m, SECOND, 1 << 30) == SECOND);
    tapsi_meter_init(&m, 1);
    tapsi_meter_count(&m, SECOND, SIZE_MAX / 2); /* for ever, and not before */
    CHECK(tapsi_meter_when(&m, SECOND, 1) > 1000 * SECOND);
}

TEST(the_clock_may_stand_or_leap)
{
    struct tapsi_meter m;
    tapsi_meter_init(&m, 80000);
    for (uint64_t now = 1; now < UINT64_MAX / 16; now *= 3) {
        CHECK(tapsi_meter_when(&m, now, 100) >= now);
        tapsi_meter_count(&m, now, 100);
    }
    CHECK(m.sum <= 10000);
}
