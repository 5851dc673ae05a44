#include "base/str.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void tapsi_str_init(struct tapsi_str *s, struct tapsi_mem *mem)
{
    *s = (struct tapsi_str){.mem = mem};
}

void tapsi_str_done(struct tapsi_str *s)
{
    tapsi_free(s->mem, s->text);
    *s = (struct tapsi_str){.mem = s->mem};
}

/* Makes room for `more` bytes and the terminator. */
static bool reserve(struct tapsi_str *s, size_t more)
{
    if (s->failed)
        return false;
    if (more < s->capacity - s->length)
        return true;
    size_t wanted;
    if (__builtin_add_overflow(s->length, more, &wanted) || wanted > SIZE_MAX / 2) {
        s->failed = true;
        return false;
    }
    wanted++;
    if (wanted < 2 * s->capacity)
        wanted = 2 * s->capacity;
    if (wanted < 64)
        wanted = 64;
    char *text = tapsi_resize(s->mem, s->text, wanted);
    if (!text) {
        s->failed = true;
        return false;
    }
    s->text = text;
    s->capacity = wanted;
    return true;
}

void tapsi_str_add_bytes(struct tapsi_str *s, const char *bytes, size_t length)
{
    if (!reserve(s, length))
        return;
    if (length)
        memcpy(s->text + s->length, bytes, length);
    s->length += length;
    s->text[s->length] = '\0';
}

void tapsi_str_add(struct tapsi_str *s, const char *text)
{
    tapsi_str_add_bytes(s, text, strlen(text));
}

void tapsi_str_format(struct tapsi_str *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        s->failed = true;
        return;
    }
    if (!reserve(s, (size_t)length))
        return;
    va_start(args, format);
    vsnprintf(s->text + s->length, (size_t)length + 1, format, args);
    va_end(args);
    s->length += (size_t)length;
}

const char *tapsi_str_text(const struct tapsi_str *s)
{
    return s->text ? s->text : "";
}

char *tapsi_str_take(struct tapsi_str *s)
{
    /* An empty string is a string too: its owner frees it like any other. */
    char *text = reserve(s, 0) ? s->text : NULL;
    if (text) {
        text[s->length] = '\0';
        s->text = NULL;
    }
    tapsi_str_done(s);
    return text;
}

static unsigned char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : (unsigned char)c;
}

bool tapsi_text_equal(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

bool tapsi_text_equal_n(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
        if (!a[i])
            return true;
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int tapsi_parse_uint(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    if (!*text)
        return TAPS_E_RANGE;
    for (; *text; text++) {
        if (!is_digit(*text) || __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return TAPS_E_RANGE;
    }
    if (value > max)
        return TAPS_E_RANGE;
    *ret = value;
    return 0;
}

/*
 * strtod reads the locale's decimal point, so the number is read here. The fraction is kept in the same integer as the
 * whole part and divided off once: what a person writes (up to 15 digits) is then rounded correctly.
 */
int tapsi_parse_number(const char *text, double *ret)
{
    const double exact = 9007199254740992.0 / 10; /* one more digit still fits the mantissa */
    double value = 0, scale = 1;
    if (!is_digit(*text))
        return TAPS_E_RANGE;
    for (; is_digit(*text); text++)
        value = value * 10 + (*text - '0');
    if (*text == '.') {
        if (!is_digit(*++text))
            return TAPS_E_RANGE;
        for (; is_digit(*text); text++) {
            if (value < exact && scale < 1e22) {
                value = value * 10 + (*text - '0');
                scale *= 10;
            }
        }
    }
    if (*text || !isfinite(value))
        return TAPS_E_RANGE;
    *ret = value / scale;
    return 0;
}

size_t tapsi_format(char *to, size_t size, const char *format, ...)
{
    if (size == 0)
        return 0;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(to, size, format, args);
    va_end(args);
    if (length < 0) {
        to[0] = '\0';
        return 0;
    }
    return (size_t)length < size ? (size_t)length : size - 1;
}
