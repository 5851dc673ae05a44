/* Values of a Framer's options, from text: for `set` of a definition. Each takes the whole text, or is TAPS_E_RANGE and
   leaves *ret untouched. Nothing here looks at the locale. */
#ifndef TAPSI_MESSAGE_OPTIONS_H
#define TAPSI_MESSAGE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <taps/taps.h>

/* What every Framer of the library has for `maximum` unless asked otherwise. */
#define TAPSI_OPTIONS_MAXIMUM ((uint64_t)16 * 1024 * 1024)
/* The longest Message that any of them takes: lengths with the highest bit are nobody's. */
#define TAPSI_OPTIONS_LONGEST ((uint64_t)INT64_MAX)

/* Is this the option of that name? Case does not matter; "-", "_" and a space are the same. */
bool tapsi_options_is(const char *key, const char *name);
/* Bytes: "65536", "64k", "16M", "2G" (of 1024), between min and max; "unlimited" is max. */
int tapsi_options_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* A decimal number between min and max. */
int tapsi_options_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* "true", "yes", "on", "1", and their opposites. */
int tapsi_options_boolean(const char *text, bool *ret);
/* One of the words, which end with NULL: its index. */
int tapsi_options_word(const char *text, const char *const *words, unsigned *ret);
/* "big" or "little". */
int tapsi_options_order(const char *text, bool *ret_little);
/* Bytes with escapes: \n \r \t \\ and \xNN; at least one and at most `size`. */
int tapsi_options_bytes(const char *text, uint8_t *to, size_t size, size_t *ret_length);

#endif
