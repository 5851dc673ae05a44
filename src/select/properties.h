/* Property values: what an application wants, or what a Connection has. The table behind them is property_table.c. */
#ifndef TAPSI_SELECT_PROPERTIES_H
#define TAPSI_SELECT_PROPERTIES_H

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "select/property_table.h"
#include "select/value.h"

#define TAPSI_SET_MAX      16 /* entries of interface or pvd */
#define TAPSI_SET_TEXT_MAX 64 /* with its terminator */

struct tapsi_set_entry {
    enum taps_preference preference;
    char text[TAPSI_SET_TEXT_MAX];
};

struct tapsi_set {
    struct tapsi_set_entry entries[TAPSI_SET_MAX];
    size_t count;
};

/* Ref-counted so that a thousand Connections made from one Preconnection share one; copied before a change when shared.
 */
struct tapsi_properties {
    struct tapsi_mem *mem;
    unsigned refs;
    unsigned generation;                           /* +1 with every change */
    uint64_t set;                                  /* bit per enum taps_property: was set by the application */
    struct taps_value values[TAPS_PROPERTY_COUNT]; /* of sets only the type: see below */
    struct tapsi_set interfaces, pvds;
};

/* The DSCP of a capacity profile (RFC 9622, 8.1.6), 0 to 63. */
int tapsi_capacity_dscp(int profile);

_Static_assert(TAPS_PROPERTY_COUNT <= 64, "the mask of properties set is one word");

/* All defaults. `mem` must outlive it. NULL = no memory. */
struct tapsi_properties *tapsi_properties_new(struct tapsi_mem *mem);
struct tapsi_properties *tapsi_properties_copy(const struct tapsi_properties *p, struct tapsi_mem *mem);
struct tapsi_properties *tapsi_properties_ref(struct tapsi_properties *p);
void tapsi_properties_unref(struct tapsi_properties *p);
/* Makes *p safe to change: replaces it by a copy when it is shared. 0 or TAPS_E_MEMORY. */
int tapsi_properties_own(struct tapsi_properties **p);
/* Counts as set by the application. 0 or TAPS_E_RANGE. */
int tapsi_properties_set_profile(struct tapsi_properties *p, enum taps_properties_profile profile);

/* The public object is this one under another name, with one reference. */
static inline struct tapsi_properties *tapsi_properties_of(taps_transport_properties *p)
{
    return (struct tapsi_properties *)(void *)p;
}

static inline const struct tapsi_properties *tapsi_properties_of_const(const taps_transport_properties *p)
{
    return (const struct tapsi_properties *)(const void *)p;
}

static inline taps_transport_properties *tapsi_properties_public(struct tapsi_properties *p)
{
    return (taps_transport_properties *)(void *)p;
}

/* Checks type and range, whatever the scope; read-only properties are TAPS_E_READ_ONLY. The value is untouched on
 * failure. */
int tapsi_properties_set(struct tapsi_properties *p, enum taps_property property, struct taps_value value);
/* One entry of a set; one of the same text is replaced, and No Preference takes it out. Interface types are kept in
   lower case, everything else as it is written: names of interfaces are not case-insensitive. */
int tapsi_properties_add(struct tapsi_properties *p, enum taps_property property, enum taps_preference preference,
                         const char *text);
/* By text; of a set this adds the entries ("require eth0, avoid:wifi"), all or none, and "" empties it. */
int tapsi_properties_set_text(struct tapsi_properties *p, enum taps_property property, const char *text);
bool tapsi_properties_is_set(const struct tapsi_properties *p, enum taps_property property);

/* "require eth0, avoid wifi"; appended to `out`. */
void tapsi_set_text(const struct tapsi_set *set, struct tapsi_str *out);
/* The text of any property, sets included; appended to `out`. */
void tapsi_properties_text(const struct tapsi_properties *p, enum taps_property property, struct tapsi_str *out);
/* "ethernet" ... if `text` is an interface type in any case, else NULL. */
const char *tapsi_interface_type(const char *text);

static inline enum taps_preference tapsi_preference(const struct tapsi_properties *p, enum taps_property property)
{
    return p->values[property].preference;
}

#endif
