#include "select/value.h"

#include <math.h>
#include <string.h>
#include "select/property_table.h"

static const struct {
    enum taps_preference preference;
    const char *name;
} preferences[] = {
    {TAPS_PROHIBIT, "prohibit"}, {TAPS_AVOID, "avoid"},     {TAPS_NO_PREFERENCE, "no preference"},
    {TAPS_PREFER, "prefer"},     {TAPS_REQUIRE, "require"},
};

static const struct {
    const char *word;
    bool value;
} booleans[] = {
    {"true", true}, {"false", false}, {"yes", true}, {"no", false},
    {"on", true},   {"off", false},   {"1", true},   {"0", false},
};

#define NUMBER_TEXT_MAX 1e10 /* nanoseconds up to here fit a word; the table allows less */
#define COUNT(array)    (sizeof(array) / sizeof((array)[0]))

/* The RFC writes "Low Latency/Interactive", shells prefer "low-latency-interactive", C programs "low_latency". */
static char fold(char c)
{
    if (c == '-' || c == '_' || c == '/')
        return ' ';
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_head(const char *text, const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (fold(text[i]) != fold(word[i]) || !text[i])
            return false;
    }
    return true;
}

bool tapsi_value_same_text(const char *a, const char *b)
{
    size_t length = strlen(a);
    return length == strlen(b) && same_head(a, b, length);
}

const char *tapsi_preference_name(enum taps_preference preference)
{
    for (size_t i = 0; i < COUNT(preferences); i++) {
        if (preferences[i].preference == preference)
            return preferences[i].name;
    }
    return "?";
}

size_t tapsi_preference_read(const char *text, enum taps_preference *ret)
{
    for (size_t i = 0; i < COUNT(preferences); i++) {
        size_t length = strlen(preferences[i].name);
        if (same_head(text, preferences[i].name, length)) {
            *ret = preferences[i].preference;
            return length;
        }
    }
    return 0;
}

static int parse_preference(const char *text, struct taps_value *ret)
{
    enum taps_preference preference;
    size_t length = tapsi_preference_read(text, &preference);
    if (length == 0 || text[length])
        return TAPS_E_RANGE;
    ret->preference = preference;
    return 0;
}

static int parse_boolean(const char *text, struct taps_value *ret)
{
    for (size_t i = 0; i < COUNT(booleans); i++) {
        if (tapsi_text_equal(text, booleans[i].word)) {
            ret->boolean = booleans[i].value;
            return 0;
        }
    }
    return TAPS_E_RANGE;
}

static bool is_word(const struct tapsi_property_row *row, const char *text)
{
    for (size_t i = 0; i < COUNT(row->words); i++) {
        if (row->words[i] && tapsi_value_same_text(text, row->words[i]))
            return true;
    }
    return false;
}

static int parse_integer(const struct tapsi_property_row *row, const char *text, struct taps_value *ret)
{
    if (is_word(row, text)) {
        ret->integer = TAPS_INFINITE;
        return 0;
    }
    return tapsi_parse_uint(text, row->max, &ret->integer);
}

static int parse_number(const struct tapsi_property_row *row, const char *text, struct taps_value *ret)
{
    if (is_word(row, text)) {
        ret->number = TAPS_DISABLED;
        return 0;
    }
    return tapsi_parse_number(text, &ret->number);
}

static int parse_enumeration(const struct tapsi_property_row *row, const char *text, struct taps_value *ret)
{
    for (int i = 0; row->info.values[i]; i++) {
        if (tapsi_value_same_text(text, row->info.values[i])) {
            ret->enumeration = i;
            return 0;
        }
    }
    return TAPS_E_RANGE;
}

static int parse(const struct tapsi_property_row *row, const char *text, struct taps_value *ret)
{
    switch (row->info.type) {
    case TAPS_TYPE_PREFERENCE:
        return parse_preference(text, ret);
    case TAPS_TYPE_BOOLEAN:
        return parse_boolean(text, ret);
    case TAPS_TYPE_INTEGER:
        return parse_integer(row, text, ret);
    case TAPS_TYPE_NUMBER:
        return parse_number(row, text, ret);
    case TAPS_TYPE_ENUMERATION:
        return parse_enumeration(row, text, ret);
    case TAPS_TYPE_SET:
        break;
    }
    return TAPS_E_TYPE;
}

int tapsi_value_parse(enum taps_property property, const char *text, struct taps_value *ret)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    if (!row)
        return TAPS_E_UNKNOWN_PROPERTY;
    struct taps_value value = row->initial;
    int err = parse(row, text, &value);
    if (!err)
        err = tapsi_value_check(property, &value);
    if (!err)
        *ret = value;
    return err;
}

static bool enumeration_exists(const struct tapsi_property_row *row, int value)
{
    int count = 0;
    while (row->info.values[count])
        count++;
    return value >= 0 && value < count;
}

static bool in_range(const struct tapsi_property_row *row, const struct taps_value *value)
{
    switch (value->type) {
    case TAPS_TYPE_PREFERENCE:
        return value->preference >= TAPS_PROHIBIT && value->preference <= TAPS_REQUIRE;
    case TAPS_TYPE_BOOLEAN:
        return true;
    case TAPS_TYPE_INTEGER:
        if (value->integer == TAPS_INFINITE)
            return row->words[0] != NULL;
        return value->integer >= row->min && value->integer <= row->max;
    case TAPS_TYPE_NUMBER:
        if (value->number == TAPS_DISABLED)
            return row->words[0] != NULL;
        return value->number >= row->low && value->number <= row->high; /* false for NaN */
    case TAPS_TYPE_ENUMERATION:
        return enumeration_exists(row, value->enumeration);
    case TAPS_TYPE_SET:
        break;
    }
    return false;
}

int tapsi_value_check(enum taps_property property, const struct taps_value *value)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    if (!row)
        return TAPS_E_UNKNOWN_PROPERTY;
    if (value->type != row->info.type || value->type == TAPS_TYPE_SET)
        return TAPS_E_TYPE;
    return in_range(row, value) ? 0 : TAPS_E_RANGE;
}

/* printf writes the decimal point of the locale, and an exponent where nobody wants one. */
static void number_text(double number, struct tapsi_str *out)
{
    uint64_t nanoseconds = (uint64_t)llround(number * 1e9);
    unsigned fraction = (unsigned)(nanoseconds % 1000000000U), digits = 9;
    tapsi_str_format(out, "%llu", (unsigned long long)(nanoseconds / 1000000000U));
    if (fraction == 0)
        return;
    for (; fraction % 10 == 0; fraction /= 10)
        digits--;
    tapsi_str_format(out, ".%0*u", (int)digits, fraction);
}

static const char *enumeration_text(const struct tapsi_property_row *row, int value)
{
    return row->info.values && enumeration_exists(row, value) ? row->info.values[value] : "?";
}

void tapsi_value_text(enum taps_property property, const struct taps_value *value, struct tapsi_str *out)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    if (!row)
        return;
    const char *word = row->words[0] ? row->words[0] : "?";
    switch (value->type) {
    case TAPS_TYPE_PREFERENCE:
        tapsi_str_add(out, tapsi_preference_name(value->preference));
        break;
    case TAPS_TYPE_BOOLEAN:
        tapsi_str_add(out, value->boolean ? "true" : "false");
        break;
    case TAPS_TYPE_INTEGER:
        if (value->integer == TAPS_INFINITE)
            tapsi_str_add(out, word);
        else
            tapsi_str_format(out, "%llu", (unsigned long long)value->integer);
        break;
    case TAPS_TYPE_NUMBER:
        if (!(value->number >= 0 && value->number <= NUMBER_TEXT_MAX))
            tapsi_str_add(out, word);
        else
            number_text(value->number, out);
        break;
    case TAPS_TYPE_ENUMERATION:
        tapsi_str_add(out, enumeration_text(row, value->enumeration));
        break;
    case TAPS_TYPE_SET:
        break;
    }
}
