#include "base/str.h"

#include <locale.h>
#include <stdlib.h>
#include "base/test.h"

static size_t allowed;

static void *limited(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        free(block);
        return NULL;
    }
    if (allowed == 0)
        return NULL;
    allowed--;
    return realloc(block, size);
}

static void setup(struct tapsi_mem *mem, size_t allocations)
{
    allowed = allocations;
    tapsi_mem_init(mem, &(struct taps_allocator){.resize = limited});
}

TEST(an_empty_string_reads_as_empty)
{
    struct tapsi_mem mem;
    struct tapsi_str s;
    setup(&mem, 0);
    tapsi_str_init(&s, &mem);
    CHECK_TEXT(tapsi_str_text(&s), "");
    CHECK(!s.failed);
    tapsi_str_done(&s);
}

TEST(pieces_are_joined)
{
    struct tapsi_mem mem;
    struct tapsi_str s;
    setup(&mem, 100);
    tapsi_str_init(&s, &mem);
    tapsi_str_add(&s, "one");
    tapsi_str_add_bytes(&s, ", two and more", 5);
    tapsi_str_format(&s, ", %d and %s", 3, "four");
    CHECK_TEXT(tapsi_str_text(&s), "one, two, 3 and four");
    CHECK_INT(s.length, 20);
    tapsi_str_done(&s);
    CHECK_TEXT(tapsi_str_text(&s), "");
}

TEST(a_string_grows_over_every_length)
{
    struct tapsi_mem mem;
    struct tapsi_str s;
    setup(&mem, 100);
    tapsi_str_init(&s, &mem);
    for (size_t i = 0; i < 5000; i++) {
        tapsi_str_format(&s, "%c", (int)('a' + i % 26));
        NEED(s.length == i + 1);
    }
    for (size_t i = 0; i < 5000; i++)
        CHECK(s.text[i] == (char)('a' + i % 26));
    CHECK(s.text[5000] == '\0');
    tapsi_str_done(&s);
}

TEST(no_memory_is_remembered_and_the_text_stays)
{
    struct tapsi_mem mem;
    struct tapsi_str s;
    setup(&mem, 1);
    tapsi_str_init(&s, &mem);
    tapsi_str_add(&s, "kept");
    tapsi_str_format(&s, "%0200d", 1);
    CHECK(s.failed);
    CHECK_TEXT(tapsi_str_text(&s), "kept");
    tapsi_str_add(&s, "!");
    CHECK_TEXT(tapsi_str_text(&s), "kept");
    CHECK(!tapsi_str_take(&s));
    tapsi_str_done(&s);
}

TEST(take_gives_the_text_away)
{
    struct tapsi_mem mem;
    struct tapsi_str s;
    setup(&mem, 100);
    tapsi_str_init(&s, &mem);
    tapsi_str_add(&s, "mine");
    char *text = tapsi_str_take(&s);
    CHECK_TEXT(text, "mine");
    CHECK_TEXT(tapsi_str_text(&s), "");
    tapsi_free(&mem, text);
    text = tapsi_str_take(&s);
    CHECK_TEXT(text, "");
    tapsi_free(&mem, text);
    tapsi_str_done(&s);
}

TEST(take_of_an_empty_string_without_memory_is_null)
{
    struct tapsi_mem mem;
    struct tapsi_str s;
    setup(&mem, 0);
    tapsi_str_init(&s, &mem);
    CHECK(!tapsi_str_take(&s));
}

/* proves API-001: names compare without case, in ASCII */
TEST(text_compares_without_case)
{
    CHECK(tapsi_text_equal("preserveMsgBoundaries", "PRESERVEMSGBOUNDARIES"));
    CHECK(tapsi_text_equal("", ""));
    CHECK(!tapsi_text_equal("a", ""));
    CHECK(!tapsi_text_equal("", "a"));
    CHECK(!tapsi_text_equal("abc", "abcd"));
    CHECK(!tapsi_text_equal("[", "{"));
    CHECK(!tapsi_text_equal("@", "`"));
    CHECK(!tapsi_text_equal("\xc3\x84", "\xc3\xa4"));
}

TEST(text_compares_up_to_a_length)
{
    CHECK(tapsi_text_equal_n("tcp.x", "TCP.y", 4));
    CHECK(!tapsi_text_equal_n("tcp.x", "TCP.y", 5));
    CHECK(tapsi_text_equal_n("a", "b", 0));
    CHECK(tapsi_text_equal_n("ab", "AB", 100));
    CHECK(!tapsi_text_equal_n("ab", "abc", 3));
}

TEST(whole_numbers_are_read)
{
    uint64_t n = 0;
    CHECK_INT(tapsi_parse_uint("0", 10, &n), 0);
    CHECK_INT(n, 0);
    CHECK_INT(tapsi_parse_uint("0065535", 65535, &n), 0);
    CHECK_INT(n, 65535);
    CHECK_INT(tapsi_parse_uint("18446744073709551615", UINT64_MAX, &n), 0);
    CHECK(n == UINT64_MAX);
}

TEST(what_is_not_a_whole_number_is_refused)
{
    const char *const bad[] = {"",
                               " ",
                               " 1",
                               "1 ",
                               "+1",
                               "-1",
                               "-0",
                               "0x10",
                               "1e3",
                               "1.0",
                               "1\n",
                               "١",
                               "one",
                               "65536",
                               "18446744073709551616",
                               "99999999999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t n = 77;
        if (tapsi_parse_uint(bad[i], 65535, &n) != TAPS_E_RANGE || n != 77)
            tapsi_test_fail(__FILE__, __LINE__, "\"%s\" was taken", bad[i]);
    }
    uint64_t n = 77;
    CHECK_INT(tapsi_parse_uint("18446744073709551616", UINT64_MAX, &n), TAPS_E_RANGE);
    CHECK_INT(n, 77);
}

TEST(decimal_numbers_are_read_as_the_compiler_reads_them)
{
    double d = -1;
    CHECK(tapsi_parse_number("0", &d) == 0 && d == 0);
    CHECK(tapsi_parse_number("0.1", &d) == 0 && d == 0.1);
    CHECK(tapsi_parse_number("4.35", &d) == 0 && d == 4.35);
    CHECK(tapsi_parse_number("30", &d) == 0 && d == 30);
    CHECK(tapsi_parse_number("00.250", &d) == 0 && d == 0.25);
    CHECK(tapsi_parse_number("123456.789012345", &d) == 0 && d == 123456.789012345);
    CHECK(tapsi_parse_number("900719925474099", &d) == 0 && d == 900719925474099.0);
    CHECK(tapsi_parse_number("0.00000000000000000000000000000000000001", &d) == 0 && d >= 0 && d < 1e-20);
    CHECK(tapsi_parse_number("0.333333333333333333333333333333", &d) == 0 && d > 0.3333333 && d < 0.3333334);
}

TEST(what_is_not_a_decimal_number_is_refused)
{
    char huge[400];
    memset(huge, '9', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    const char *const bad[] = {"",   ".",  ".5",  "5.",    "1,5", "1..5",     "1.2.3", "-1", "+1",
                               " 1", "1 ", "1e3", "0x1p3", "inf", "infinity", "nan",   "1s", huge};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        double d = 77;
        if (tapsi_parse_number(bad[i], &d) != TAPS_E_RANGE || d != 77)
            tapsi_test_fail(__FILE__, __LINE__, "\"%s\" was taken", bad[i]);
    }
}

TEST(the_locale_does_not_change_the_point)
{
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
        tapsi_test_skip("no locale with a decimal comma is installed");
        return;
    }
    double d = 77;
    CHECK_INT(tapsi_parse_number("1.5", &d), 0);
    CHECK(d == 1.5);
    CHECK_INT(tapsi_parse_number("1,5", &d), TAPS_E_RANGE);
    setlocale(LC_NUMERIC, "C");
}

TEST(format_never_leaves_its_array)
{
    char to[6] = "xxxxx";
    CHECK_INT(tapsi_format(to, sizeof(to), "%s", "abc"), 3);
    CHECK_TEXT(to, "abc");
    CHECK_INT(tapsi_format(to, sizeof(to), "%s", "abcdefgh"), 5);
    CHECK_TEXT(to, "abcde");
    CHECK_INT(tapsi_format(to, 1, "%s", "abc"), 0);
    CHECK_TEXT(to, "");
    to[0] = 'y';
    CHECK_INT(tapsi_format(to, 0, "%s", "abc"), 0);
    CHECK(to[0] == 'y');
}
