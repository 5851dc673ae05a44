#include "message/options.h"

#include "base/test.h"

TEST(names_are_the_same_in_every_spelling_that_people_use)
{
    CHECK(tapsi_options_is("includes-head", "includes-head"));
    CHECK(tapsi_options_is("Includes_Head", "includes-head"));
    CHECK(!tapsi_options_is("includes", "includes-head"));
    CHECK(!tapsi_options_is("includes-heads", "includes-head"));
    CHECK(!tapsi_options_is("", "length"));
}

TEST(sizes_have_units_of_1024)
{
    static const struct {
        const char *text;
        uint64_t value;
    } rows[] = {
        {"1", 1},
        {"65536", 65536},
        {"64k", 65536},
        {"64K", 65536},
        {"16M", 16777216},
        {"2g", 2147483648},
        {"9223372036854775807", INT64_MAX},
        {"unlimited", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 0;
        CHECK_INT(tapsi_options_size(rows[i].text, 1, TAPSI_OPTIONS_LONGEST, &value), 0);
        CHECK_INT(value, rows[i].value);
    }
}

TEST(what_is_no_size_is_refused_and_nothing_is_written)
{
    static const char *const texts[] = {"",
                                        "k",
                                        "0",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1.5M",
                                        "0x10",
                                        "1kk",
                                        "1T",
                                        "10KiB",
                                        "9223372036854775808",
                                        "18446744073709551616",
                                        "9007199254740992k",
                                        "17179869184G",
                                        "111111111111111111111111111111",
                                        "infinity"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t value = 77;
        CHECK_INT(tapsi_options_size(texts[i], 1, TAPSI_OPTIONS_LONGEST, &value), TAPS_E_RANGE);
        CHECK_INT(value, 77);
    }
}

TEST(a_size_below_the_least_or_above_the_most_is_refused)
{
    uint64_t value = 77;
    CHECK_INT(tapsi_options_size("15", 16, 2048, &value), TAPS_E_RANGE);
    CHECK_INT(tapsi_options_size("2049", 16, 2048, &value), TAPS_E_RANGE);
    CHECK_INT(tapsi_options_size("3k", 16, 2048, &value), TAPS_E_RANGE);
    CHECK_INT(value, 77);
    CHECK_INT(tapsi_options_size("2k", 16, 2048, &value), 0);
    CHECK_INT(value, 2048);
}

TEST(numbers_are_decimal_and_have_bounds)
{
    uint64_t value = 77;
    CHECK_INT(tapsi_options_number("9", 10, 20, &value), TAPS_E_RANGE);
    CHECK_INT(tapsi_options_number("21", 10, 20, &value), TAPS_E_RANGE);
    CHECK_INT(tapsi_options_number("1k", 0, 2000, &value), TAPS_E_RANGE);
    CHECK_INT(tapsi_options_number("", 0, 2000, &value), TAPS_E_RANGE);
    CHECK_INT(value, 77);
    CHECK_INT(tapsi_options_number("20", 10, 20, &value), 0);
    CHECK_INT(value, 20);
}

TEST(booleans_are_words)
{
    static const char *const yes[] = {"true", "YES", "on", "1"}, *const no[] = {"false", "No", "off", "0"};
    static const char *const neither[] = {"", "2", "y", "truely", "tru"};
    bool value;
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(tapsi_options_boolean(yes[i], &value), 0);
        CHECK(value);
        CHECK_INT(tapsi_options_boolean(no[i], &value), 0);
        CHECK(!value);
    }
    for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++)
        CHECK_INT(tapsi_options_boolean(neither[i], &value), TAPS_E_RANGE);
    CHECK(!value);
}

TEST(words_are_told_by_their_index)
{
    static const char *const words[] = {"big", "little", NULL};
    unsigned index = 77;
    CHECK_INT(tapsi_options_word("middle", words, &index), TAPS_E_RANGE);
    CHECK_INT(tapsi_options_word("", words, &index), TAPS_E_RANGE);
    CHECK_INT(index, 77);
    CHECK_INT(tapsi_options_word("Little", words, &index), 0);
    CHECK_INT(index, 1);
}

TEST(the_order_of_bytes_is_big_or_little)
{
    bool little = true;
    CHECK_INT(tapsi_options_order("network", &little), TAPS_E_RANGE);
    CHECK(little);
    CHECK_INT(tapsi_options_order("big", &little), 0);
    CHECK(!little);
    CHECK_INT(tapsi_options_order("LITTLE", &little), 0);
    CHECK(little);
}

TEST(bytes_have_escapes)
{
    uint8_t bytes[8];
    size_t length = 0;
    CHECK_INT(tapsi_options_bytes("a\\r\\n\\t\\\\\\x00\\xFf\\x2c", bytes, sizeof(bytes), &length), 0);
    CHECK_INT(length, 8);
    CHECK(memcmp(bytes, "a\r\n\t\\\0\xff,", 8) == 0);
}

TEST(bytes_that_are_none_are_refused)
{
    static const char *const texts[] = {"", "\\", "a\\", "\\q", "\\x", "\\x1", "\\xg0", "\\x0g", "123456789"};
    uint8_t bytes[8];
    size_t length = 77;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        CHECK_INT(tapsi_options_bytes(texts[i], bytes, sizeof(bytes), &length), TAPS_E_RANGE);
    CHECK_INT(length, 77);
}
