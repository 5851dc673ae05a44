/* Text: a growing string, and comparison and number parsing that never guess. */
#ifndef TAPSI_BASE_STR_H
#define TAPSI_BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/mem.h"

/* A string being built. A failed allocation is remembered in `failed`; text is always terminated. */
struct tapsi_str {
    struct tapsi_mem *mem;
    char *text; /* NULL while empty: use tapsi_str_text */
    size_t length, capacity;
    bool failed;
};

void tapsi_str_init(struct tapsi_str *s, struct tapsi_mem *mem);
void tapsi_str_done(struct tapsi_str *s);
void tapsi_str_add(struct tapsi_str *s, const char *text);
void tapsi_str_add_bytes(struct tapsi_str *s, const char *bytes, size_t length);
void tapsi_str_format(struct tapsi_str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *tapsi_str_text(const struct tapsi_str *s);
/* Gives the text away (the caller frees it with tapsi_free); NULL if memory ran out. */
char *tapsi_str_take(struct tapsi_str *s);

/* ASCII only, whatever the locale. */
bool tapsi_text_equal(const char *a, const char *b);
bool tapsi_text_equal_n(const char *a, const char *b, size_t length);
/* Whole text is a decimal number, no sign, no spaces: 0, or TAPS_E_RANGE and *ret untouched. */
int tapsi_parse_uint(const char *text, uint64_t max, uint64_t *ret);
/* Whole text is a finite decimal number >= 0, "." as the point whatever the locale. */
int tapsi_parse_number(const char *text, double *ret);
/* snprintf into a fixed array, always terminated; returns bytes written without the terminator. */
size_t tapsi_format(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
