#include "select/history.h"

#include <string.h>
#include "base/test.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define NOW    (1000 * HOUR)

static struct tapsi_history *fresh(void)
{
    return tapsi_history_new(tapsi_mem_default());
}

static const struct tapsi_history_key one = {1, 100, "quic"}, two = {1, 200, "quic"}, three = {1, 300, "quic"};

static void silent(struct tapsi_history *h, const struct tapsi_history_key *key, uint64_t now)
{
    tapsi_history_failed(h, key, TAPSI_HISTORY_SILENT, now);
}

static enum tapsi_history_doubt ask(const struct tapsi_history *h, const struct tapsi_history_key *key, uint64_t now)
{
    uint64_t ago;
    return tapsi_history_ask(h, key, now, &ago);
}

/* How long it stays in doubt from now on, in minutes. */
static unsigned doubt_minutes(const struct tapsi_history *h, const struct tapsi_history_key *key, uint64_t now)
{
    unsigned minutes = 0;
    while (ask(h, key, now + minutes * MINUTE))
        minutes++;
    return minutes;
}

TEST(without_experience_there_is_no_doubt)
{
    struct tapsi_history *h = fresh();
    CHECK_INT(ask(NULL, &one, NOW), TAPSI_HISTORY_NO_DOUBT);
    CHECK_INT(ask(h, &one, NOW), TAPSI_HISTORY_NO_DOUBT);
    tapsi_history_worked(h, &one, NOW);
    CHECK_INT(tapsi_history_count(h), 0);
    tapsi_history_free(h);
    tapsi_history_free(NULL);
}

/* proves IMPL-14 */
TEST(what_failed_is_in_doubt_for_five_minutes_there_and_nowhere_else)
{
    struct tapsi_history *h = fresh();
    const struct tapsi_history_key elsewhere = {2, 100, "quic"}, other = {1, 100, "tls/tcp"};
    uint64_t ago = 0;
    silent(h, &one, NOW);
    CHECK_INT(tapsi_history_ask(h, &one, NOW + 3 * MINUTE, &ago), TAPSI_HISTORY_ENDPOINT_SILENT);
    CHECK_INT(ago, 3 * MINUTE);
    CHECK_INT(doubt_minutes(h, &one, NOW), 5);
    CHECK_INT(ask(h, &elsewhere, NOW), TAPSI_HISTORY_NO_DOUBT);
    CHECK_INT(ask(h, &other, NOW), TAPSI_HISTORY_NO_DOUBT);
    CHECK_INT(ask(h, &two, NOW), TAPSI_HISTORY_NO_DOUBT);
    tapsi_history_free(h);
}

/* proves IMPL-14 */
TEST(each_failure_after_the_doubt_doubles_it_up_to_a_day)
{
    static const unsigned expected[] = {5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440};
    struct tapsi_history *h = fresh();
    uint64_t now = NOW;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        silent(h, &one, now);
        CHECK_INT(doubt_minutes(h, &one, now), expected[i]);
        now += expected[i] * MINUTE;
    }
    CHECK_INT(tapsi_history_count(h), 1);
    tapsi_history_free(h);
}

TEST(many_failures_at_once_are_one_experience)
{
    struct tapsi_history *h = fresh();
    for (unsigned i = 0; i < 100; i++)
        silent(h, &one, NOW + i);
    CHECK_INT(doubt_minutes(h, &one, NOW + 100), 5);
    tapsi_history_free(h);
}

/* proves IMPL-14 */
TEST(success_ends_the_doubt_and_halves_the_next)
{
    struct tapsi_history *h = fresh();
    uint64_t now = NOW;
    for (unsigned i = 0; i < 4; i++, now += HOUR)
        silent(h, &one, now); /* 40 minutes the last time */
    tapsi_history_worked(h, &one, now - HOUR);
    CHECK_INT(ask(h, &one, now - HOUR), TAPSI_HISTORY_NO_DOUBT);
    silent(h, &one, now);
    CHECK_INT(doubt_minutes(h, &one, now), 20);
    tapsi_history_worked(h, &one, now);
    tapsi_history_worked(h, &one, now);
    CHECK_INT(tapsi_history_count(h), 0);
    tapsi_history_free(h);
}

TEST(a_day_after_the_doubt_it_is_forgotten)
{
    struct tapsi_history *h = fresh();
    silent(h, &one, NOW);
    silent(h, &one, NOW + 5 * MINUTE);                  /* 10 minutes */
    silent(h, &one, NOW + 24 * HOUR + 15 * MINUTE + 1); /* a first one again */
    CHECK_INT(doubt_minutes(h, &one, NOW + 24 * HOUR + 15 * MINUTE + 1), 5);
    tapsi_history_free(h);
}

/* proves IMPL-14 */
TEST(two_silent_endpoints_make_a_silent_network)
{
    struct tapsi_history *h = fresh();
    const struct tapsi_history_key elsewhere = {2, 300, "quic"};
    uint64_t ago = 0;
    silent(h, &one, NOW);
    silent(h, &two, NOW + MINUTE);
    CHECK_INT(tapsi_history_ask(h, &three, NOW + 2 * MINUTE, &ago), TAPSI_HISTORY_NETWORK_SILENT);
    CHECK_INT(ago, MINUTE);
    CHECK_INT(ask(h, &elsewhere, NOW + 2 * MINUTE), TAPSI_HISTORY_NO_DOUBT);
    CHECK_INT(doubt_minutes(h, &three, NOW + MINUTE), 4); /* until the first of them is tried again */
    tapsi_history_free(h);
}

TEST(a_success_on_the_network_shows_that_the_silence_was_the_endpoints)
{
    struct tapsi_history *h = fresh();
    silent(h, &one, NOW);
    silent(h, &two, NOW);
    tapsi_history_worked(h, &three, NOW + MINUTE);
    CHECK_INT(ask(h, &three, NOW + MINUTE), TAPSI_HISTORY_NO_DOUBT);
    CHECK_INT(ask(h, &one, NOW + MINUTE), TAPSI_HISTORY_ENDPOINT_SILENT);
    tapsi_history_free(h);
}

TEST(who_refuses_says_nothing_about_the_network)
{
    struct tapsi_history *h = fresh();
    tapsi_history_failed(h, &one, TAPSI_HISTORY_REFUSED, NOW);
    tapsi_history_failed(h, &two, TAPSI_HISTORY_REFUSED, NOW);
    CHECK_INT(ask(h, &one, NOW), TAPSI_HISTORY_ENDPOINT_REFUSED);
    CHECK_INT(ask(h, &three, NOW), TAPSI_HISTORY_NO_DOUBT);
    tapsi_history_free(h);
}

TEST(an_endpoint_whose_turn_it_is_is_tried_whatever_the_others_say)
{
    struct tapsi_history *h = fresh();
    silent(h, &three, NOW);
    silent(h, &one, NOW + 4 * MINUTE);
    silent(h, &two, NOW + 4 * MINUTE);
    CHECK_INT(ask(h, &three, NOW + 6 * MINUTE), TAPSI_HISTORY_NO_DOUBT);
    tapsi_history_free(h);
}

TEST(the_oldest_failure_makes_room)
{
    struct tapsi_history *h = fresh();
    for (unsigned i = 0; i <= TAPSI_HISTORY_MAX; i++)
        silent(h, &(struct tapsi_history_key){i, 1, "quic"}, NOW + i);
    CHECK_INT(tapsi_history_count(h), TAPSI_HISTORY_MAX);
    CHECK_INT(ask(h, &(struct tapsi_history_key){0, 1, "quic"}, NOW + MINUTE), TAPSI_HISTORY_NO_DOUBT);
    CHECK_INT(ask(h, &(struct tapsi_history_key){1, 1, "quic"}, NOW + MINUTE), TAPSI_HISTORY_ENDPOINT_SILENT);
    CHECK_INT(ask(h, &(struct tapsi_history_key){TAPSI_HISTORY_MAX, 1, "quic"}, NOW + MINUTE),
              TAPSI_HISTORY_ENDPOINT_SILENT);
    tapsi_history_free(h);
}

TEST(a_name_that_is_too_long_is_not_remembered)
{
    struct tapsi_history *h = fresh();
    const struct tapsi_history_key key = {1, 1, "a-stack-of-so-many-layers"};
    silent(h, &key, NOW);
    CHECK_INT(tapsi_history_count(h), 0);
    tapsi_history_free(h);
}

TEST(hashes_differ_with_each_byte_and_continue)
{
    uint64_t ab = tapsi_history_hash(tapsi_history_hash(0, "a", 1), "b", 1);
    CHECK(ab == tapsi_history_hash(0, "ab", 2));
    CHECK(ab != tapsi_history_hash(0, "ba", 2) && ab != tapsi_history_hash(0, "a", 1));
}

/* --------------------------------------------------------------------------------------------------- files */

static char *saved(const struct tapsi_history *h, uint64_t now)
{
    struct tapsi_str s;
    tapsi_str_init(&s, tapsi_mem_default());
    tapsi_history_save(h, now, &s);
    return tapsi_str_take(&s);
}

TEST(a_history_is_read_as_it_was_written)
{
    struct tapsi_history *h = fresh(), *again = fresh();
    silent(h, &one, NOW);
    silent(h, &one, NOW + HOUR);
    tapsi_history_failed(h, &two, TAPSI_HISTORY_REFUSED, NOW + HOUR);
    tapsi_history_worked(h, &three, NOW + HOUR);
    char *text = saved(h, NOW + HOUR + 10 * SECOND);
    CHECK_TEXT(text, "alone 0000000000000001 0000000000000064 quic 2 10 590\n"
                     "refused 0000000000000001 00000000000000c8 quic 1 10 290\n");
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) && *line;)
        CHECK_INT(tapsi_history_load(again, line, 0, HOUR), 0);
    tapsi_free(tapsi_mem_default(), text);
    text = saved(again, HOUR + 20 * SECOND);
    CHECK_TEXT(text, "alone 0000000000000001 0000000000000064 quic 2 30 570\n"
                     "refused 0000000000000001 00000000000000c8 quic 1 30 270\n");
    tapsi_free(tapsi_mem_default(), text);
    tapsi_history_free(h);
    tapsi_history_free(again);
}

/* The clock of this machine may be younger than the entry. */
TEST(time_has_gone_on_while_it_was_in_a_file)
{
    static const char line[] = "silent 0000000000000001 0000000000000064 quic 1 10 290";
    struct tapsi_history *h = fresh();
    uint64_t ago;
    CHECK_INT(tapsi_history_load(h, line, 50 * SECOND, SECOND), 0);
    CHECK_INT(tapsi_history_ask(h, &one, SECOND, &ago), TAPSI_HISTORY_ENDPOINT_SILENT);
    CHECK_INT(ago, 60 * SECOND);
    CHECK_INT(doubt_minutes(h, &one, SECOND), 4);
    tapsi_history_free(h);
    h = fresh();
    CHECK_INT(tapsi_history_load(h, line, 25 * HOUR, SECOND), 0);
    CHECK_INT(tapsi_history_load(h, line, UINT64_MAX, SECOND), 0);
    CHECK_INT(tapsi_history_count(h), 0);
    tapsi_history_free(h);
}

TEST(what_is_known_is_newer_than_a_file)
{
    struct tapsi_history *h = fresh();
    silent(h, &one, NOW);
    CHECK_INT(tapsi_history_load(h, "refused 0000000000000001 0000000000000064 quic 9 1 86400", 0, NOW), 0);
    CHECK_INT(ask(h, &one, NOW), TAPSI_HISTORY_ENDPOINT_SILENT);
    CHECK_INT(doubt_minutes(h, &one, NOW), 5);
    tapsi_history_free(h);
}

/* proves IMPL-14: a file is read again before each write, and still has the doubt that was over meanwhile. */
TEST(what_came_through_stays_so_when_the_file_is_read_again)
{
    static const char line[] = "refused 0000000000000001 0000000000000064 quic 1 10 290";
    struct tapsi_history *h = fresh();
    CHECK_INT(tapsi_history_load(h, line, 0, NOW), 0);
    tapsi_history_worked(h, &one, NOW + SECOND);
    CHECK_INT(tapsi_history_load(h, line, SECOND, NOW + SECOND), 0);
    CHECK_INT(ask(h, &one, NOW + SECOND), TAPSI_HISTORY_NO_DOUBT);
    char *text = saved(h, NOW + SECOND);
    CHECK_TEXT(text, "");
    tapsi_free(tapsi_mem_default(), text);
    CHECK_INT(tapsi_history_count(h), 0);
    silent(h, &one, NOW + MINUTE);
    CHECK_INT(doubt_minutes(h, &one, NOW + MINUTE), 5);
    tapsi_history_free(h);
}

TEST(lines_that_are_not_exactly_entries_are_refused)
{
    static const char *const wrong[] = {
        "",
        " ",
        "silent",
        "silent 0000000000000001 0000000000000064 quic 1 10",
        "silent 0000000000000001 0000000000000064 quic 1 10 290 1",
        "silent 0000000000000001 0000000000000064 quic 1 10 290 ",
        " silent 0000000000000001 0000000000000064 quic 1 10 290",
        "silent  0000000000000001 0000000000000064 quic 1 10 290",
        "silent 0000000000000001 0000000000000064 quic 1 10 290\n",
        "loud 0000000000000001 0000000000000064 quic 1 10 290",
        "Silent 0000000000000001 0000000000000064 quic 1 10 290",
        "silent 1 0000000000000064 quic 1 10 290",
        "silent 000000000000000g 0000000000000064 quic 1 10 290",
        "silent 0000000000000001 000000000000006A quic 1 10 290",
        "silent 0000000000000001 00000000000000064 quic 1 10 290",
        "silent 0000000000000001 0000000000000064 QUIC 1 10 290",
        "silent 0000000000000001 0000000000000064 a-stack-of-so-many-layers 1 10 290",
        "silent 0000000000000001 0000000000000064 quic 0 10 290",
        "silent 0000000000000001 0000000000000064 quic 11 10 290",
        "silent 0000000000000001 0000000000000064 quic -1 10 290",
        "silent 0000000000000001 0000000000000064 quic 1 172801 0",
        "silent 0000000000000001 0000000000000064 quic 1 10 86401",
        "silent 0000000000000001 0000000000000064 quic 1 10 99999999999999999999",
        "silent 0000000000000001 0000000000000064 quic 1 1e1 290",
    };
    struct tapsi_history *h = fresh();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_INT(tapsi_history_load(h, wrong[i], 0, NOW), TAPS_E_RANGE);
    CHECK_INT(tapsi_history_count(h), 0);
    tapsi_history_free(h);
}

TEST(a_file_of_any_length_fills_a_bounded_history)
{
    struct tapsi_history *h = fresh();
    char line[96];
    for (unsigned i = 0; i < 1000; i++) {
        tapsi_format(line, sizeof(line), "silent %016x 0000000000000064 quic 1 10 290", i);
        CHECK_INT(tapsi_history_load(h, line, 0, NOW), 0);
    }
    CHECK_INT(tapsi_history_count(h), TAPSI_HISTORY_MAX);
    tapsi_history_free(h);
}
