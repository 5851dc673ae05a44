/* What was seen once is not taken twice, and a flood of it has an end. */
#include "stack/secure/issuer.h"

#include "base/test.h"

#define LIFETIME 100

static struct tapsi_issuer *fresh(unsigned lifetime)
{
    return tapsi_issuer_new(tapsi_mem_default(), lifetime);
}

static bool first(struct tapsi_issuer *i, unsigned number, uint64_t now)
{
    return tapsi_issuer_first_time(i, &number, sizeof(number), now + LIFETIME);
}

TEST(each_first_flight_is_taken_once)
{
    struct tapsi_issuer *i = fresh(LIFETIME);
    for (unsigned n = 0; n < 1000; n++)
        CHECK(first(i, n, 1000));
    for (unsigned n = 0; n < 1000; n++)
        CHECK(!first(i, n, 1000 + n % LIFETIME));
    tapsi_issuer_free(i);
}

TEST(what_has_expired_makes_room)
{
    struct tapsi_issuer *i = fresh(LIFETIME);
    uint64_t now = 1000;
    unsigned wrong = 0;
    for (unsigned n = 0; n < 4 * TAPSI_SEEN_MAX; n++) {
        now += n % 300 == 0;
        wrong += !first(i, n, now); /* 300 a second: 100 seconds fit */
        wrong += n % 300 == 0 && n >= 300 && first(i, n - 299, now);
    }
    CHECK_INT(wrong, 0);
    tapsi_issuer_free(i);
}

TEST(a_flood_is_refused_when_it_is_full_and_nothing_that_was_seen_is_forgotten)
{
    struct tapsi_issuer *i = fresh(LIFETIME);
    unsigned taken = 0;
    for (unsigned n = 0; n < 2 * TAPSI_SEEN_MAX; n++)
        taken += first(i, n, 1000);
    CHECK_INT(taken, TAPSI_SEEN_MAX / 4 * 3);
    unsigned again = 0;
    for (unsigned n = 0; n < 2 * TAPSI_SEEN_MAX; n++)
        again += first(i, n, 1000 + LIFETIME - 1);
    CHECK_INT(again, 0);
    CHECK(first(i, 1, 1000 + LIFETIME));
    tapsi_issuer_free(i);
}

static long left;

static void *resize(void *user, void *block, size_t size)
{
    (void)user;
    return size && left-- <= 0 ? NULL : tapsi_mem_default()->allocator.resize(NULL, block, size);
}

TEST(no_memory_is_seen_before)
{
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, &(struct taps_allocator){resize, NULL});
    left = 0;
    CHECK(tapsi_issuer_new(&mem, LIFETIME) == NULL);
    left = 1;
    struct tapsi_issuer *i = tapsi_issuer_new(&mem, LIFETIME);
    CHECK(!first(i, 1, 1000));
    left = 1;
    CHECK(first(i, 1, 1000));
    CHECK(!first(i, 1, 1000));
    tapsi_issuer_free(i);
}
