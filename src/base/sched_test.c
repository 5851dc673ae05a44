#include "base/sched.h"

#include "base/test.h"

#define ENTRIES 8

/* Eight that wait, or not; what each was given. */
struct field {
    struct tapsi_sched s;
    struct tapsi_sched_entry e[ENTRIES];
    uint64_t given[ENTRIES];
};

static void setup(struct field *f, enum taps_scheduler kind)
{
    memset(f, 0, sizeof(*f));
    tapsi_sched_init(&f->s, kind, 1000);
    for (unsigned i = 0; i < ENTRIES; i++)
        tapsi_sched_entry_init(&f->e[i], 100);
}

static unsigned number(const struct field *f, const struct tapsi_sched_entry *e)
{
    return (unsigned)(e - f->e);
}

static unsigned first(const struct field *f)
{
    const struct tapsi_sched_entry *e = tapsi_sched_first(&f->s);
    return e ? number(f, e) : ENTRIES;
}

static void wait_all(struct field *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        tapsi_sched_wait(&f->s, &f->e[i], i);
}

/* The next one, which goes on waiting. */
static unsigned take(struct field *f, size_t length)
{
    unsigned i = first(f);
    if (i < ENTRIES) {
        f->given[i] += length;
        tapsi_sched_took(&f->s, &f->e[i], length);
    }
    return i;
}

static uint32_t noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

TEST(nobody_waits_at_first)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    CHECK(!tapsi_sched_first(&f.s));
    tapsi_sched_leave(&f.s, &f.e[0]);
    CHECK(!tapsi_sched_first(&f.s));
}

TEST(who_leaves_is_not_asked)
{
    struct field f;
    for (int kind = 0; kind <= TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING; kind++) {
        setup(&f, (enum taps_scheduler)kind);
        wait_all(&f, 3);
        tapsi_sched_leave(&f.s, &f.e[0]);
        tapsi_sched_leave(&f.s, &f.e[0]);
        CHECK_INT(take(&f, 10), 1);
        tapsi_sched_leave(&f.s, &f.e[2]);
        CHECK_INT(take(&f, 10), 1);
        tapsi_sched_leave(&f.s, &f.e[1]);
        CHECK(!tapsi_sched_first(&f.s));
    }
}

/* proves API-084: RFC 8260, 3.1 */
TEST(first_come_is_first_served)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED);
    tapsi_sched_wait(&f.s, &f.e[0], 5);
    tapsi_sched_wait(&f.s, &f.e[1], 3);
    tapsi_sched_wait(&f.s, &f.e[2], 4);
    CHECK_INT(take(&f, 1000000), 1);
    tapsi_sched_wait(&f.s, &f.e[1], 6);
    CHECK_INT(take(&f, 1), 2);
    tapsi_sched_leave(&f.s, &f.e[2]);
    CHECK_INT(take(&f, 1), 0);
    tapsi_sched_wait(&f.s, &f.e[0], 7);
    CHECK_INT(first(&f), 1);
}

TEST(a_message_of_its_own_that_is_more_urgent_may_have_come_later)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED);
    tapsi_sched_wait(&f.s, &f.e[0], 1);
    tapsi_sched_wait(&f.s, &f.e[1], 2);
    tapsi_sched_wait(&f.s, &f.e[0], 3);
    CHECK_INT(first(&f), 1);
}

/* proves API-084: RFC 8260, 3.2 */
TEST(round_robin_takes_a_message_of_each_however_long)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_ROUND_ROBIN);
    wait_all(&f, 3);
    for (unsigned i = 0; i < 9; i++)
        CHECK_INT(take(&f, i % 3 ? 1 : 100000), i % 3);
}

TEST(who_comes_back_in_round_robin_is_last)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_ROUND_ROBIN);
    wait_all(&f, 3);
    tapsi_sched_leave(&f.s, &f.e[0]);
    tapsi_sched_wait(&f.s, &f.e[0], 0);
    CHECK_INT(take(&f, 1), 1);
    CHECK_INT(take(&f, 1), 2);
    CHECK_INT(take(&f, 1), 0);
}

/* proves API-084: RFC 8260, 3.3 */
TEST(round_robin_per_packet_fills_a_packet_first)
{
    struct field f;
    static const unsigned expected[] = {0, 0, 0, 1, 1, 1, 0, 0, 0};
    setup(&f, TAPS_SCHEDULER_ROUND_ROBIN_PER_PACKET);
    wait_all(&f, 2);
    for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        CHECK_INT(take(&f, 400), expected[i]);
    CHECK_INT(take(&f, 5000), 1);
    CHECK_INT(take(&f, 5000), 0);
}

TEST(a_packet_that_was_left_is_not_filled_later)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_ROUND_ROBIN_PER_PACKET);
    wait_all(&f, 2);
    CHECK_INT(take(&f, 900), 0);
    tapsi_sched_leave(&f.s, &f.e[0]);
    tapsi_sched_wait(&f.s, &f.e[0], 0);
    CHECK_INT(take(&f, 1000), 1);
    CHECK_INT(take(&f, 900), 0);
    CHECK_INT(first(&f), 0);
}

/* proves API-084: RFC 8260, 3.4 */
TEST(priority_starves_who_has_a_higher_number)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_PRIORITY);
    tapsi_sched_set_priority(&f.s, &f.e[2], 7);
    wait_all(&f, 3);
    for (unsigned i = 0; i < 100; i++)
        CHECK_INT(take(&f, 1000), 2);
    tapsi_sched_leave(&f.s, &f.e[2]);
    CHECK_INT(take(&f, 1000), 0);
    CHECK_INT(take(&f, 1000), 1);
    CHECK_INT(take(&f, 1000), 0);
    tapsi_sched_wait(&f.s, &f.e[2], 0);
    CHECK_INT(take(&f, 1000), 2);
}

TEST(a_priority_that_changes_counts_at_once)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_PRIORITY);
    wait_all(&f, 3);
    tapsi_sched_set_priority(&f.s, &f.e[1], 0);
    CHECK_INT(take(&f, 1), 1);
    tapsi_sched_set_priority(&f.s, &f.e[1], UINT32_MAX);
    CHECK_INT(take(&f, 1), 0);
    CHECK_INT(take(&f, 1), 2);
    CHECK_INT(take(&f, 1), 0);
}

/* proves API-084: RFC 8260, 3.5 */
TEST(fair_capacity_shares_bytes_whatever_the_priorities)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_FAIR_CAPACITY);
    tapsi_sched_set_priority(&f.s, &f.e[0], 1);
    wait_all(&f, 2);
    for (unsigned i = 0; i < 10000; i++)
        take(&f, first(&f) == 0 ? 100 : 3000);
    CHECK(f.given[0] + 3000 >= f.given[1] && f.given[1] + 3000 >= f.given[0]);
}

/* proves API-081 and API-084: RFC 8260, 3.6; weights 1 .. 8 are priorities 840/k */
TEST(weighted_fair_queueing_shares_bytes_by_the_inverse_of_priorities)
{
    struct field f;
    uint64_t total = 0;
    uint32_t state = 5;
    setup(&f, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    for (unsigned i = 0; i < ENTRIES; i++)
        tapsi_sched_set_priority(&f.s, &f.e[i], 840 / (i + 1));
    wait_all(&f, ENTRIES);
    for (unsigned n = 0; n < 100000; n++) {
        size_t length = 1 + noise(&state) % 4000;
        take(&f, length);
        total += length;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        double share = (double)f.given[i] / (double)total, ideal = (i + 1) / 36.0;
        CHECK(share > ideal * 0.999 && share < ideal * 1.001);
    }
}

/* proves API-081 */
TEST(in_weighted_fair_queueing_priority_0_goes_before_all_others)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    tapsi_sched_set_priority(&f.s, &f.e[1], 0);
    tapsi_sched_set_priority(&f.s, &f.e[3], 0);
    wait_all(&f, 4);
    for (unsigned i = 0; i < 100; i++)
        take(&f, 500);
    CHECK_INT(f.given[1], 25000);
    CHECK_INT(f.given[3], 25000);
    tapsi_sched_leave(&f.s, &f.e[1]);
    tapsi_sched_leave(&f.s, &f.e[3]);
    for (unsigned i = 0; i < 100; i++)
        take(&f, 500);
    CHECK_INT(f.given[0], 25000);
    CHECK_INT(f.given[2], 25000);
}

TEST(priority_0_and_back_leaves_no_debts)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    wait_all(&f, 2);
    tapsi_sched_set_priority(&f.s, &f.e[0], 0);
    for (unsigned i = 0; i < 1000; i++)
        take(&f, 100000);
    CHECK_INT(f.given[1], 0);
    tapsi_sched_set_priority(&f.s, &f.e[0], 100);
    for (unsigned i = 0; i < 1000; i++)
        take(&f, 100);
    CHECK(f.given[1] >= 49900 && f.given[1] <= 50100);
}

TEST(who_was_away_has_no_claim_on_what_it_missed)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    wait_all(&f, 2);
    tapsi_sched_leave(&f.s, &f.e[0]);
    for (unsigned i = 0; i < 1000; i++)
        CHECK_INT(take(&f, 1000), 1);
    tapsi_sched_wait(&f.s, &f.e[0], 0);
    for (unsigned i = 0; i < 100; i++)
        take(&f, 1000);
    CHECK(f.given[0] >= 49000 && f.given[0] <= 51000);
}

TEST(what_was_ahead_is_forgotten_when_all_have_had_enough)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    tapsi_sched_set_priority(&f.s, &f.e[0], TAPSI_SCHED_WEIGHTS);
    wait_all(&f, 1);
    take(&f, 100000000);
    tapsi_sched_leave(&f.s, &f.e[0]);
    tapsi_sched_set_priority(&f.s, &f.e[0], 100);
    wait_all(&f, 2);
    for (unsigned i = 0; i < 100; i++)
        take(&f, 1000);
    CHECK_INT(f.given[1], 50000);
}

/* The numbers wrap around; lengths beyond all reason count as less. */
TEST(the_largest_lengths_and_numbers_are_still_fair)
{
    struct field f;
    unsigned turns[2] = {0, 0};
    setup(&f, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    tapsi_sched_set_priority(&f.s, &f.e[0], UINT32_MAX);
    tapsi_sched_set_priority(&f.s, &f.e[1], TAPSI_SCHED_WEIGHTS);
    wait_all(&f, 2);
    for (unsigned i = 0; i < 1000; i++)
        turns[take(&f, SIZE_MAX)]++;
    CHECK_INT(turns[0], 500);
    CHECK_INT(turns[1], 500);
}

TEST(empty_messages_cost_something)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_FAIR_CAPACITY);
    wait_all(&f, 2);
    CHECK_INT(take(&f, 0), 0);
    CHECK_INT(take(&f, 0), 1);
    CHECK_INT(take(&f, 0), 0);
}

TEST(another_kind_keeps_everybody_waiting)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_PRIORITY);
    wait_all(&f, ENTRIES);
    for (int kind = 0; kind <= TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING; kind++) {
        unsigned seen = 0;
        tapsi_sched_set_kind(&f.s, (enum taps_scheduler)kind);
        for (unsigned i = 0; i < ENTRIES; i++) {
            unsigned which = take(&f, 2000);
            NEED(which < ENTRIES);
            seen |= 1u << which;
            tapsi_sched_leave(&f.s, &f.e[which]);
        }
        CHECK_INT(seen, (1u << ENTRIES) - 1);
        CHECK(!tapsi_sched_first(&f.s));
        wait_all(&f, ENTRIES);
    }
}

/* Equal shares once, then others: the debts of one kind are none of the next. */
TEST(another_kind_begins_anew)
{
    struct field f;
    setup(&f, TAPS_SCHEDULER_FAIR_CAPACITY);
    wait_all(&f, 1);
    for (unsigned i = 0; i < 1000; i++)
        take(&f, 100000);
    tapsi_sched_leave(&f.s, &f.e[0]);
    tapsi_sched_set_kind(&f.s, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    wait_all(&f, 2);
    f.given[0] = 0;
    for (unsigned i = 0; i < 100; i++)
        take(&f, 1000);
    CHECK_INT(f.given[0], 50000);
}

/* -------------------------------------------------------------------------------- against an obvious reference */

/* Turns, kept as the plainest list of who is where. */
struct line {
    unsigned who[ENTRIES], count;
};

static void line_remove(struct line *l, unsigned who)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < l->count; i++) {
        if (l->who[i] != who)
            l->who[kept++] = l->who[i];
    }
    l->count = kept;
}

static bool line_has(const struct line *l, unsigned who)
{
    for (unsigned i = 0; i < l->count; i++) {
        if (l->who[i] == who)
            return true;
    }
    return false;
}

static void line_to_end(struct line *l, unsigned who)
{
    line_remove(l, who);
    l->who[l->count++] = who;
}

static void turns_as_in_a_line(uint32_t seed, bool packets)
{
    struct field f;
    struct line line = {.count = 0};
    size_t filled = 0;
    setup(&f, packets ? TAPS_SCHEDULER_ROUND_ROBIN_PER_PACKET : TAPS_SCHEDULER_ROUND_ROBIN);
    for (unsigned n = 0; n < 500; n++) {
        unsigned who = noise(&seed) % ENTRIES, front = line.count ? line.who[0] : ENTRIES;
        size_t length = noise(&seed) % 700;
        NEED(first(&f) == front);
        if (noise(&seed) % 4 == 0) {
            if (!line_has(&line, who))
                line_to_end(&line, who);
            tapsi_sched_wait(&f.s, &f.e[who], n);
        } else if (noise(&seed) % 4 == 0) {
            line_remove(&line, who);
            tapsi_sched_leave(&f.s, &f.e[who]);
            filled = who == front ? 0 : filled;
        } else if (front < ENTRIES) {
            take(&f, length);
            filled += length ? length : 1;
            if (!packets || filled >= 1000) {
                line_to_end(&line, front);
                filled = 0;
            }
        }
    }
}

/* proves API-084 */
TEST(turns_are_those_of_a_line_of_people)
{
    for (uint32_t seed = 1; seed <= tapsi_test_rounds(300, 100, 30000); seed++) {
        turns_as_in_a_line(seed, false);
        turns_as_in_a_line(seed, true);
    }
}

/* The least by a look at each: order of arrival, or priority and then the longest without a turn. */
static void least_of_all(uint32_t seed, enum taps_scheduler kind)
{
    struct field f;
    bool waits[ENTRIES] = {false};
    uint64_t order[ENTRIES] = {0}, turn[ENTRIES] = {0}, clock = 1;
    setup(&f, kind);
    for (unsigned i = 0; i < ENTRIES; i++)
        tapsi_sched_set_priority(&f.s, &f.e[i], noise(&seed) % 3);
    for (unsigned n = 0; n < 500; n++) {
        unsigned who = noise(&seed) % ENTRIES, least = ENTRIES;
        for (unsigned i = 0; i < ENTRIES; i++) {
            bool less = least == ENTRIES;
            if (!less && kind == TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED)
                less = order[i] < order[least];
            else if (!less)
                less = f.e[i].priority < f.e[least].priority ||
                       (f.e[i].priority == f.e[least].priority && turn[i] < turn[least]);
            if (waits[i] && less)
                least = i;
        }
        NEED(first(&f) == least);
        if (noise(&seed) % 3 == 0) {
            if (!waits[who]) {
                turn[who] = clock++;
                order[who] = n + noise(&seed) % 1000 * 1000; /* no two are the same */
            }
            waits[who] = true;
            tapsi_sched_wait(&f.s, &f.e[who], order[who]);
        } else if (noise(&seed) % 4 == 0) {
            waits[who] = false;
            tapsi_sched_leave(&f.s, &f.e[who]);
        } else if (least < ENTRIES) {
            take(&f, noise(&seed) % 3000);
            turn[least] = clock++;
            order[least] = n + noise(&seed) % 1000 * 1000;
            tapsi_sched_wait(&f.s, &f.e[least], order[least]);
        }
    }
}

/* proves API-084 */
TEST(the_first_is_the_least_of_all)
{
    for (uint32_t seed = 1; seed <= tapsi_test_rounds(300, 100, 30000); seed++) {
        least_of_all(seed, TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED);
        least_of_all(seed, TAPS_SCHEDULER_PRIORITY);
    }
}

/* What each pair was given since both have waited, times its number. */
struct pairs {
    uint64_t since[ENTRIES][ENTRIES][2];
    bool waits[ENTRIES];
};

static void restart_pairs(struct pairs *p, unsigned who)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        memset(p->since[who][i], 0, sizeof(p->since[who][i]));
        memset(p->since[i][who], 0, sizeof(p->since[i][who]));
    }
}

#define LONGEST 3000u

static void check_pairs(const struct pairs *p, const uint64_t *weights)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        for (unsigned k = 0; k < i; k++) {
            uint64_t a = p->since[i][k][0] * weights[i], b = p->since[i][k][1] * weights[k];
            uint64_t apart = a > b ? a - b : b - a;
            if (p->waits[i] && p->waits[k] && apart > LONGEST * (weights[i] + weights[k]))
                tapsi_test_fail(__FILE__, __LINE__, "%u and %u are %llu apart", i, k, (unsigned long long)apart);
        }
    }
}

static void fair_to_each_pair(uint32_t seed, enum taps_scheduler kind)
{
    struct field f;
    struct pairs pairs;
    uint64_t weights[ENTRIES];
    bool weighted = kind == TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING;
    memset(&pairs, 0, sizeof(pairs));
    setup(&f, kind);
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint32_t priority = 1 + noise(&seed) % 200;
        tapsi_sched_set_priority(&f.s, &f.e[i], priority);
        weights[i] = weighted ? priority : 1;
    }
    for (unsigned n = 0; n < 500 && !tapsi_test_failed(); n++) {
        unsigned who = noise(&seed) % ENTRIES;
        bool comes = noise(&seed) % 6 == 0, goes = noise(&seed) % 8 == 0;
        if ((comes && !pairs.waits[who]) || goes)
            restart_pairs(&pairs, who);
        if (comes || goes)
            pairs.waits[who] = comes;
        if (comes)
            tapsi_sched_wait(&f.s, &f.e[who], n);
        else if (goes)
            tapsi_sched_leave(&f.s, &f.e[who]);
        size_t length = 1 + noise(&seed) % LONGEST;
        unsigned taken = take(&f, length);
        for (unsigned i = 0; taken < ENTRIES && i < ENTRIES; i++) {
            pairs.since[taken][i][0] += length;
            pairs.since[i][taken][1] += length;
        }
        check_pairs(&pairs, weights);
    }
}

/* proves API-081 and API-084: the bound of start-time fair queueing */
TEST(whoever_waits_is_at_most_a_message_from_a_fair_share)
{
    for (uint32_t seed = 1; seed <= tapsi_test_rounds(300, 100, 30000); seed++) {
        fair_to_each_pair(seed, TAPS_SCHEDULER_FAIR_CAPACITY);
        fair_to_each_pair(seed, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING);
    }
}
