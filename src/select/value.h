/* One property value: its type, its range, and its text. */
#ifndef TAPSI_SELECT_VALUE_H
#define TAPSI_SELECT_VALUE_H

#include "base/err.h"
#include "base/str.h"

/* One value from text, and back (appended to `out`). Case does not matter, and a space, "-", "_" and "/" are the same.
   0, TAPS_E_UNKNOWN_PROPERTY, TAPS_E_RANGE, or TAPS_E_TYPE for sets; *ret is untouched on failure. */
int tapsi_value_parse(enum taps_property property, const char *text, struct taps_value *ret);
/* Type and range: 0, TAPS_E_UNKNOWN_PROPERTY, TAPS_E_TYPE or TAPS_E_RANGE. */
int tapsi_value_check(enum taps_property property, const struct taps_value *value);
/* By the value's own type: a preference of an established Connection is a Boolean. */
void tapsi_value_text(enum taps_property property, const struct taps_value *value, struct tapsi_str *out);

const char *tapsi_preference_name(enum taps_preference preference); /* "require" ...; "?" for none of the five */
/* Reads a preference at the head of `text`, and returns how many bytes it has; 0 = there is none. */
size_t tapsi_preference_read(const char *text, enum taps_preference *ret);
/* Are two words the same value? */
bool tapsi_value_same_text(const char *a, const char *b);

#endif
