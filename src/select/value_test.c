#include "select/value.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include "base/test.h"
#include "select/property_table.h"

static int parse(enum taps_property property, const char *text)
{
    struct taps_value value;
    return tapsi_value_parse(property, text, &value);
}

/* Text to value to text; "" where the text was not understood. */
static const char *canonical(enum taps_property property, const char *text)
{
    static char result[128];
    struct taps_value value;
    struct tapsi_str out;
    result[0] = '\0';
    if (tapsi_value_parse(property, text, &value))
        return result;
    tapsi_str_init(&out, tapsi_mem_default());
    tapsi_value_text(property, &value, &out);
    tapsi_format(result, sizeof(result), "%s", tapsi_str_text(&out));
    tapsi_str_done(&out);
    return result;
}

static void check_in_every_case(enum taps_property property, const char *text)
{
    char changed[64];
    CHECK_TEXT(canonical(property, text), text);
    for (size_t i = 0; i <= strlen(text); i++)
        changed[i] = (char)toupper((unsigned char)text[i]);
    CHECK_TEXT(canonical(property, changed), text);
    for (size_t i = 0; i <= strlen(text); i++)
        changed[i] = text[i] == ' ' ? '-' : text[i] == '-' ? '_' : text[i];
    CHECK_TEXT(canonical(property, changed), text);
}

/* proves API-001 (values) */
TEST(every_property_takes_its_texts_in_any_case_and_gives_them_back)
{
    static const char *const preferences[] = {"prohibit", "avoid", "no preference", "prefer", "require"};
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++) {
        enum taps_property property = (enum taps_property)i;
        const struct tapsi_property_row *row = tapsi_property_row(property);
        if (row->info.type != TAPS_TYPE_SET)
            check_in_every_case(property, row->info.default_text);
        if (row->info.type == TAPS_TYPE_PREFERENCE) {
            for (int k = 0; k < 5; k++)
                check_in_every_case(property, preferences[k]);
        }
        if (row->info.type == TAPS_TYPE_BOOLEAN) {
            check_in_every_case(property, "true");
            check_in_every_case(property, "false");
        }
        for (int k = 0; row->info.values && row->info.values[k]; k++)
            check_in_every_case(property, row->info.values[k]);
        for (int k = 0; k < 2; k++) {
            if (row->words[k])
                CHECK_TEXT(canonical(property, row->words[k]), row->words[0]);
        }
    }
}

/* The RFC's own spellings. */
TEST(words_of_the_rfc_are_understood)
{
    CHECK_TEXT(canonical(TAPS_CONN_CAPACITY_PROFILE, "Low Latency/Interactive"), "low latency interactive");
    CHECK_TEXT(canonical(TAPS_CONN_CAPACITY_PROFILE, "Low Latency/Non-Interactive"), "low latency non-interactive");
    CHECK_TEXT(canonical(TAPS_MSG_CAPACITY_PROFILE, "Capacity-Seeking"), "capacity-seeking");
    CHECK_TEXT(canonical(TAPS_RECV_CHECKSUM_LEN, "Full Coverage"), "full");
    CHECK_TEXT(canonical(TAPS_DIRECTION, "Unidirectional send"), "unidirectional send");
    CHECK_TEXT(canonical(TAPS_CONN_SCHEDULER, "Weighted Fair Queueing"), "weighted fair queueing");
    CHECK_TEXT(canonical(TAPS_RELIABILITY, "NO_PREFERENCE"), "no preference");
    CHECK_TEXT(canonical(TAPS_FINAL, "Yes"), "true");
    CHECK_TEXT(canonical(TAPS_FINAL, "off"), "false");
}

TEST(garbage_is_refused_for_every_property)
{
    static const char *const garbage[] = {"",
                                          " ",
                                          "\t",
                                          "-1",
                                          "-0.5",
                                          "+1",
                                          "1e3",
                                          "0x10",
                                          "nan",
                                          "inf",
                                          "-inf",
                                          "1,5",
                                          "1.",
                                          ".5",
                                          "1 ",
                                          " 1",
                                          "maybe",
                                          "Require!",
                                          "require ",
                                          " require",
                                          "requir",
                                          "truee",
                                          "\xff\xfe",
                                          "%s%n",
                                          "99999999999999999999999999",
                                          "require\n",
                                          "true false",
                                          "nopreference",
                                          "default default",
                                          "none",
                                          "null",
                                          "disable",
                                          "infinit"};
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++) {
        enum taps_property property = (enum taps_property)i;
        bool set = tapsi_property_row(property)->info.type == TAPS_TYPE_SET;
        for (size_t k = 0; k < sizeof(garbage) / sizeof(garbage[0]); k++) {
            struct taps_value value = {.type = TAPS_TYPE_BOOLEAN, {.integer = 12345}};
            int err = tapsi_value_parse(property, garbage[k], &value);
            if (err != (set ? TAPS_E_TYPE : TAPS_E_RANGE))
                tapsi_test_fail(__FILE__, __LINE__, "%s = \"%s\" gives %d", tapsi_property_name(property), garbage[k],
                                err);
            CHECK(value.type == TAPS_TYPE_BOOLEAN && value.integer == 12345);
        }
    }
    CHECK_INT(parse(TAPS_PROPERTY_NONE, "1"), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(parse(TAPS_PROPERTY_COUNT, "1"), TAPS_E_UNKNOWN_PROPERTY);
}

TEST(words_belong_to_their_properties)
{
    CHECK_INT(parse(TAPS_CONN_PRIORITY, "unlimited"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_CONN_TIMEOUT, "infinite"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_MSG_LIFETIME, "disabled"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_CLOSE_TIMEOUT, "disabled"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_GROUP_CONN_LIMIT, "full"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_MULTIPATH, "bidirectional"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_RELIABILITY, "true"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_FINAL, "require"), TAPS_E_RANGE);
}

TEST(ranges_end_where_the_table_says)
{
    CHECK_INT(parse(TAPS_ATTEMPT_DELAY, "0.01"), 0);
    CHECK_INT(parse(TAPS_ATTEMPT_DELAY, "2"), 0);
    CHECK_INT(parse(TAPS_ATTEMPT_DELAY, "0.009"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_ATTEMPT_DELAY, "2.001"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_CONN_TIMEOUT, "0"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_CONN_TIMEOUT, "0.000000001"), 0);
    CHECK_INT(parse(TAPS_CONN_TIMEOUT, "1000000000"), 0);
    CHECK_INT(parse(TAPS_CONN_TIMEOUT, "1000000001"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_GROUP_CONN_LIMIT, "0"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_MAX_SEND_RATE, "0"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_MAX_SEND_RATE, "9223372036854775807"), 0);
    CHECK_INT(parse(TAPS_MAX_SEND_RATE, "9223372036854775808"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_MAX_SEND_RATE, "18446744073709551615"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_CONN_PRIORITY, "0"), 0);
    CHECK_INT(parse(TAPS_CONN_PRIORITY, "4294967295"), 0);
    CHECK_INT(parse(TAPS_CONN_PRIORITY, "4294967296"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_RECV_CHECKSUM_LEN, "0"), 0);
    CHECK_INT(parse(TAPS_TCP_USER_TIMEOUT_VALUE, "0"), TAPS_E_RANGE);
    CHECK_INT(parse(TAPS_TCP_USER_TIMEOUT_VALUE, "1966020"), 0);
    CHECK_INT(parse(TAPS_TCP_USER_TIMEOUT_VALUE, "1966021"), TAPS_E_RANGE);
}

static int check_number(enum taps_property property, double number)
{
    return tapsi_value_check(property, &(struct taps_value){.type = TAPS_TYPE_NUMBER, {.number = number}});
}

TEST(typed_values_are_checked_like_texts)
{
    struct taps_value integer = {.type = TAPS_TYPE_INTEGER, {.integer = TAPS_INFINITE}};
    CHECK_INT(tapsi_value_check(TAPS_CONN_PRIORITY, &integer), TAPS_E_RANGE);
    CHECK_INT(tapsi_value_check(TAPS_MAX_SEND_RATE, &integer), 0);
    CHECK_INT(tapsi_value_check(TAPS_FINAL, &integer), TAPS_E_TYPE);
    CHECK_INT(tapsi_value_check(TAPS_CONN_TIMEOUT, &integer), TAPS_E_TYPE);
    CHECK_INT(tapsi_value_check(TAPS_PROPERTY_COUNT, &integer), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(check_number(TAPS_CONN_TIMEOUT, (double)NAN), TAPS_E_RANGE);
    CHECK_INT(check_number(TAPS_CONN_TIMEOUT, (double)INFINITY), TAPS_E_RANGE);
    CHECK_INT(check_number(TAPS_CONN_TIMEOUT, -2), TAPS_E_RANGE);
    CHECK_INT(check_number(TAPS_CONN_TIMEOUT, TAPS_DISABLED), 0);
    CHECK_INT(check_number(TAPS_ATTEMPT_DELAY, TAPS_DISABLED), TAPS_E_RANGE);
    struct taps_value enumeration = {.type = TAPS_TYPE_ENUMERATION, {.enumeration = 3}};
    CHECK_INT(tapsi_value_check(TAPS_MULTIPATH, &enumeration), TAPS_E_RANGE);
    CHECK_INT(tapsi_value_check(TAPS_CONN_SCHEDULER, &enumeration), 0);
    enumeration.enumeration = -1;
    CHECK_INT(tapsi_value_check(TAPS_MULTIPATH, &enumeration), TAPS_E_RANGE);
    struct taps_value preference = {.type = TAPS_TYPE_PREFERENCE, {.preference = (enum taps_preference)3}};
    CHECK_INT(tapsi_value_check(TAPS_RELIABILITY, &preference), TAPS_E_RANGE);
    CHECK_INT(tapsi_value_check(TAPS_INTERFACE, &preference), TAPS_E_TYPE);
    struct taps_value set = {.type = TAPS_TYPE_SET, {.integer = 0}};
    CHECK_INT(tapsi_value_check(TAPS_INTERFACE, &set), TAPS_E_TYPE);
    struct taps_value odd = {.type = (enum taps_type)99, {.integer = 0}};
    CHECK_INT(tapsi_value_check(TAPS_FINAL, &odd), TAPS_E_TYPE);
}

TEST(numbers_are_written_without_exponent_and_as_short_as_they_are)
{
    static const char *const texts[] = {"30",  "0.25",        "2.5",        "0.000000001", "1000000000",
                                        "0.1", "86400.00001", "123456.789", "1.000000001", "0.3"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        CHECK_TEXT(canonical(TAPS_CONN_TIMEOUT, texts[i]), texts[i]);
    CHECK_TEXT(canonical(TAPS_CONN_TIMEOUT, "007.500"), "7.5");
}

/* Skipped where the machine has no locale with a comma. */
TEST(numbers_do_not_depend_on_the_locale)
{
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
        tapsi_test_skip("no locale with a decimal comma");
        return;
    }
    CHECK_TEXT(canonical(TAPS_CONN_TIMEOUT, "2.5"), "2.5");
    setlocale(LC_NUMERIC, "C");
}

/* proves API-021 (its text) */
TEST(a_preference_that_became_a_boolean_is_written_as_one)
{
    struct taps_value value = {.type = TAPS_TYPE_BOOLEAN, {.boolean = true}};
    struct tapsi_str out;
    tapsi_str_init(&out, tapsi_mem_default());
    tapsi_value_text(TAPS_RELIABILITY, &value, &out);
    CHECK_TEXT(tapsi_str_text(&out), "true");
    tapsi_str_done(&out);
}

TEST(values_out_of_range_still_have_a_text)
{
    struct taps_value value = {.type = TAPS_TYPE_NUMBER, {.number = -7}};
    struct tapsi_str out;
    tapsi_str_init(&out, tapsi_mem_default());
    tapsi_value_text(TAPS_CONN_TIMEOUT, &value, &out);
    value.number = (double)NAN;
    tapsi_value_text(TAPS_CONN_TIMEOUT, &value, &out);
    value = (struct taps_value){.type = TAPS_TYPE_ENUMERATION, {.enumeration = 77}};
    tapsi_value_text(TAPS_CONN_STATE, &value, &out);
    value = (struct taps_value){.type = TAPS_TYPE_PREFERENCE, {.preference = (enum taps_preference)9}};
    tapsi_value_text(TAPS_RELIABILITY, &value, &out);
    tapsi_value_text(TAPS_PROPERTY_NONE, &value, &out);
    CHECK_TEXT(tapsi_str_text(&out), "disableddisabled??");
    tapsi_str_done(&out);
}
