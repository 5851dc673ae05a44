#include "message/options.h"

#include <string.h>
#include "base/str.h"

static char fold(char c)
{
    if (c == '-' || c == '_')
        return ' ';
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool tapsi_options_is(const char *key, const char *name)
{
    for (; *key && fold(*key) == fold(*name); key++)
        name++;
    return !*key && !*name;
}

static uint64_t unit_of(char letter)
{
    switch (fold(letter)) {
    case 'k':
        return (uint64_t)1 << 10;
    case 'm':
        return (uint64_t)1 << 20;
    case 'g':
        return (uint64_t)1 << 30;
    default:
        return 0;
    }
}

int tapsi_options_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    char digits[24];
    size_t length = strlen(text);
    if (tapsi_options_is(text, "unlimited")) {
        *ret = max;
        return 0;
    }
    if (length == 0 || length >= sizeof(digits))
        return TAPS_E_RANGE;
    uint64_t unit = unit_of(text[length - 1]), value;
    memcpy(digits, text, length + 1);
    if (unit)
        digits[length - 1] = '\0';
    else
        unit = 1;
    if (tapsi_parse_uint(digits, max, &value) != 0 || value > max / unit || value * unit < min)
        return TAPS_E_RANGE;
    *ret = value * unit;
    return 0;
}

int tapsi_options_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    if (tapsi_parse_uint(text, max, &value) != 0 || value < min)
        return TAPS_E_RANGE;
    *ret = value;
    return 0;
}

int tapsi_options_word(const char *text, const char *const *words, unsigned *ret)
{
    for (unsigned i = 0; words[i]; i++) {
        if (tapsi_options_is(text, words[i])) {
            *ret = i;
            return 0;
        }
    }
    return TAPS_E_RANGE;
}

int tapsi_options_boolean(const char *text, bool *ret)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1", NULL};
    unsigned index;
    if (tapsi_options_word(text, words, &index) != 0)
        return TAPS_E_RANGE;
    *ret = index % 2;
    return 0;
}

int tapsi_options_order(const char *text, bool *ret_little)
{
    static const char *const words[] = {"big", "little", NULL};
    unsigned index;
    if (tapsi_options_word(text, words, &index) != 0)
        return TAPS_E_RANGE;
    *ret_little = index == 1;
    return 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = fold(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What stands behind a backslash: how many characters it has, 0 = it is no escape. */
static size_t unescape(const char *text, uint8_t *ret)
{
    switch (*text) {
    case 'n':
        *ret = '\n';
        return 1;
    case 'r':
        *ret = '\r';
        return 1;
    case 't':
        *ret = '\t';
        return 1;
    case '\\':
        *ret = '\\';
        return 1;
    case 'x':
        if (hex(text[1]) < 0 || hex(text[2]) < 0)
            return 0;
        *ret = (uint8_t)(hex(text[1]) * 16 + hex(text[2]));
        return 3;
    default:
        return 0;
    }
}

int tapsi_options_bytes(const char *text, uint8_t *to, size_t size, size_t *ret_length)
{
    size_t length = 0;
    while (*text) {
        uint8_t byte = (uint8_t)*text++;
        if (byte == '\\') {
            size_t taken = unescape(text, &byte);
            if (taken == 0)
                return TAPS_E_RANGE;
            text += taken;
        }
        if (length == size)
            return TAPS_E_RANGE;
        to[length++] = byte;
    }
    if (length == 0)
        return TAPS_E_RANGE;
    *ret_length = length;
    return 0;
}
