/* Every property once: name, type, scope, default, range, section. The one place that knows them. */
#ifndef TAPSI_SELECT_PROPERTY_TABLE_H
#define TAPSI_SELECT_PROPERTY_TABLE_H

#include <taps/taps.h>

struct tapsi_property_row {
    struct taps_property_info info;
    /* The default. Of useTemporaryLocalAddress and multipath it is the initiator's: tapsi_select_preference and
       tapsi_select_multipath know the others. Of read-only properties it is the value where there is no Connection. */
    struct taps_value initial;
    uint64_t min, max; /* TAPS_TYPE_INTEGER */
    double low, high;  /* TAPS_TYPE_NUMBER */
    /* The words for TAPS_INFINITE or TAPS_DISABLED, the one that is written first; NULL where there is no such value.
     */
    const char *words[2];
    const char *protocol; /* "tcp", "tls": has a meaning only where that protocol is in the stack; NULL = everywhere */
};

/* NULL for TAPS_PROPERTY_NONE and beyond. Static. */
const struct tapsi_property_row *tapsi_property_row(enum taps_property property);
/* By name, case-insensitive; TAPS_PROPERTY_NONE if there is none or `name` is NULL. */
enum taps_property tapsi_property_find(const char *name);
/* "reliability"; "?" for what is no property. */
const char *tapsi_property_name(enum taps_property property);

#endif
