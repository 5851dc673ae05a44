#include "select/properties.h"

#include <assert.h>
#include <string.h>
#include "select/property_table.h"

static const char *const interface_types[] = {"ethernet", "wifi", "cellular", "loopback", "vpn", "other"};

#define INTERFACE_NAME_MAX 16 /* of the kernel, with its terminator */

static uint64_t bit(enum taps_property property)
{
    return (uint64_t)1 << property;
}

static void changed(struct tapsi_properties *p, enum taps_property property)
{
    p->set |= bit(property);
    p->generation++;
}

struct tapsi_properties *tapsi_properties_new(struct tapsi_mem *mem)
{
    struct tapsi_properties *p = tapsi_zalloc(mem, sizeof(*p));
    if (!p)
        return NULL;
    p->mem = mem;
    p->refs = 1;
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++)
        p->values[i] = tapsi_property_row((enum taps_property)i)->initial;
    return p;
}

struct tapsi_properties *tapsi_properties_copy(const struct tapsi_properties *p, struct tapsi_mem *mem)
{
    struct tapsi_properties *copy = tapsi_alloc(mem, sizeof(*copy));
    if (!copy)
        return NULL;
    *copy = *p;
    copy->mem = mem;
    copy->refs = 1;
    return copy;
}

struct tapsi_properties *tapsi_properties_ref(struct tapsi_properties *p)
{
    p->refs++;
    return p;
}

void tapsi_properties_unref(struct tapsi_properties *p)
{
    if (!p)
        return;
    assert(p->refs > 0);
    if (--p->refs == 0)
        tapsi_free(p->mem, p);
}

int tapsi_properties_own(struct tapsi_properties **p)
{
    if ((*p)->refs == 1)
        return 0;
    struct tapsi_properties *copy = tapsi_properties_copy(*p, (*p)->mem);
    if (!copy)
        return TAPS_E_MEMORY;
    tapsi_properties_unref(*p);
    *p = copy;
    return 0;
}

/* RFC 9622, appendix A.2. */
static void set_preference(struct tapsi_properties *p, enum taps_property property, enum taps_preference preference)
{
    p->values[property].preference = preference;
    changed(p, property);
}

int tapsi_properties_set_profile(struct tapsi_properties *p, enum taps_properties_profile profile)
{
    bool datagram = profile == TAPS_UNRELIABLE_DATAGRAM;
    if (!datagram && profile != TAPS_RELIABLE_INORDER_STREAM && profile != TAPS_RELIABLE_MESSAGE)
        return TAPS_E_RANGE;
    set_preference(p, TAPS_RELIABILITY, datagram ? TAPS_AVOID : TAPS_REQUIRE);
    set_preference(p, TAPS_PRESERVE_ORDER, datagram ? TAPS_AVOID : TAPS_REQUIRE);
    set_preference(p, TAPS_CONGESTION_CONTROL, datagram ? TAPS_NO_PREFERENCE : TAPS_REQUIRE);
    set_preference(p, TAPS_PRESERVE_MSG_BOUNDARIES,
                   profile == TAPS_RELIABLE_INORDER_STREAM ? TAPS_NO_PREFERENCE : TAPS_REQUIRE);
    if (datagram) {
        p->values[TAPS_SAFELY_REPLAYABLE].boolean = true;
        changed(p, TAPS_SAFELY_REPLAYABLE);
    }
    return 0;
}

/* May the application set it at all? */
static int settable(enum taps_property property)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    if (!row)
        return TAPS_E_UNKNOWN_PROPERTY;
    return row->info.scope == TAPS_SCOPE_READ_ONLY ? TAPS_E_READ_ONLY : 0;
}

int tapsi_properties_set(struct tapsi_properties *p, enum taps_property property, struct taps_value value)
{
    int err = settable(property);
    if (!err)
        err = tapsi_value_check(property, &value);
    if (err)
        return err;
    p->values[property] = value;
    changed(p, property);
    if (property == TAPS_CONN_TIMEOUT && value.number >= 0)
        p->values[TAPS_TCP_USER_TIMEOUT_CHANGEABLE].boolean = false; /* RFC 9622, 8.2.3: "when connTimeout is used" */
    return 0;
}

bool tapsi_properties_is_set(const struct tapsi_properties *p, enum taps_property property)
{
    return tapsi_property_row(property) && (p->set & bit(property));
}

const char *tapsi_interface_type(const char *text)
{
    for (size_t i = 0; i < sizeof(interface_types) / sizeof(interface_types[0]); i++) {
        if (tapsi_text_equal(text, interface_types[i]))
            return interface_types[i];
    }
    return tapsi_value_same_text(text, "wi-fi") ? "wifi" : NULL;
}

static struct tapsi_set *set_of(struct tapsi_properties *p, enum taps_property property)
{
    switch (property) {
    case TAPS_INTERFACE:
        return &p->interfaces;
    case TAPS_PVD:
        return &p->pvds;
    default:
        return NULL;
    }
}

/* What the kernel takes for an interface, and for a PvD any printable text that the set's own text can hold. */
static bool entry_is_legal(enum taps_property property, const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length >= (property == TAPS_INTERFACE ? INTERFACE_NAME_MAX : TAPSI_SET_TEXT_MAX))
        return false;
    for (const char *c = text; *c; c++) {
        unsigned char u = (unsigned char)*c;
        if (u < ' ' || u == 127 || u == ',' || (property == TAPS_INTERFACE && (u == ' ' || u == '/')))
            return false;
    }
    return text[0] != ' ' && text[length - 1] != ' ';
}

static void remove_entry(struct tapsi_set *set, size_t index)
{
    set->count--;
    memmove(&set->entries[index], &set->entries[index + 1], (set->count - index) * sizeof(set->entries[0]));
}

static int put(struct tapsi_set *set, enum taps_property property, enum taps_preference preference, const char *text)
{
    if (preference < TAPS_PROHIBIT || preference > TAPS_REQUIRE || !entry_is_legal(property, text))
        return TAPS_E_RANGE;
    const char *type = property == TAPS_INTERFACE ? tapsi_interface_type(text) : NULL;
    if (type)
        text = type;
    size_t i = 0;
    while (i < set->count && strcmp(set->entries[i].text, text) != 0)
        i++;
    if (preference == TAPS_NO_PREFERENCE) {
        if (i < set->count)
            remove_entry(set, i);
        return 0;
    }
    if (i == TAPSI_SET_MAX)
        return TAPS_E_RANGE;
    if (i == set->count)
        set->count++;
    set->entries[i].preference = preference;
    tapsi_format(set->entries[i].text, sizeof(set->entries[i].text), "%s", text);
    return 0;
}

int tapsi_properties_add(struct tapsi_properties *p, enum taps_property property, enum taps_preference preference,
                         const char *text)
{
    int err = settable(property);
    if (err)
        return err;
    struct tapsi_set *set = set_of(p, property);
    if (!set)
        return TAPS_E_TYPE;
    err = put(set, property, preference, text);
    if (!err)
        changed(p, property);
    return err;
}

/* One entry, "require eth0" or "require: eth0", in the `length` bytes at `text`. */
static int put_text(struct tapsi_set *set, enum taps_property property, const char *text, size_t length)
{
    char entry[2 * TAPSI_SET_TEXT_MAX];
    while (length && *text == ' ') {
        text++;
        length--;
    }
    while (length && text[length - 1] == ' ')
        length--;
    if (length >= sizeof(entry))
        return TAPS_E_RANGE;
    memcpy(entry, text, length);
    entry[length] = '\0';

    enum taps_preference preference;
    const char *rest = entry + tapsi_preference_read(entry, &preference);
    if (rest == entry || (*rest != ' ' && *rest != ':'))
        return TAPS_E_RANGE;
    rest += strspn(rest, " ");
    if (*rest == ':')
        rest++;
    return put(set, property, preference, rest + strspn(rest, " "));
}

static int put_list(struct tapsi_set *set, enum taps_property property, const char *text)
{
    if (!*text)
        set->count = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        int err = put_text(set, property, text, length);
        if (err)
            return err;
        text += length;
        if (*text && !*++text)
            return TAPS_E_RANGE;
    }
    return 0;
}

int tapsi_properties_set_text(struct tapsi_properties *p, enum taps_property property, const char *text)
{
    int err = settable(property);
    if (err)
        return err;
    struct tapsi_set *set = set_of(p, property);
    if (!set) {
        struct taps_value value;
        err = tapsi_value_parse(property, text, &value);
        return err ? err : tapsi_properties_set(p, property, value);
    }
    struct tapsi_set next = *set;
    err = put_list(&next, property, text);
    if (err)
        return err;
    *set = next;
    changed(p, property);
    return 0;
}

void tapsi_set_text(const struct tapsi_set *set, struct tapsi_str *out)
{
    for (size_t i = 0; i < set->count; i++)
        tapsi_str_format(out, "%s%s %s", i ? ", " : "", tapsi_preference_name(set->entries[i].preference),
                         set->entries[i].text);
}

void tapsi_properties_text(const struct tapsi_properties *p, enum taps_property property, struct tapsi_str *out)
{
    if (property == TAPS_INTERFACE)
        tapsi_set_text(&p->interfaces, out);
    else if (property == TAPS_PVD)
        tapsi_set_text(&p->pvds, out);
    else if (tapsi_property_row(property))
        tapsi_value_text(property, &p->values[property], out);
}

int tapsi_capacity_dscp(int profile)
{
    static const uint8_t dscp[] = {
        [TAPS_PROFILE_DEFAULT] = 0,                      /* CS0 */
        [TAPS_PROFILE_SCAVENGER] = 1,                    /* LE, RFC 8622 */
        [TAPS_PROFILE_LOW_LATENCY_INTERACTIVE] = 34,     /* AF41, RFC 2597 */
        [TAPS_PROFILE_LOW_LATENCY_NON_INTERACTIVE] = 18, /* AF21 */
        [TAPS_PROFILE_CONSTANT_RATE_STREAMING] = 26,     /* AF31 */
        [TAPS_PROFILE_CAPACITY_SEEKING] = 10,            /* AF11 */
    };
    return profile >= 0 && (size_t)profile < sizeof(dscp) ? dscp[profile] : 0;
}
