#include "api/text.h"
#include "select/properties.h"

static const struct {
    const char *name;
    enum taps_properties_profile profile;
} profiles[] = {
    {"reliable-inorder-stream", TAPS_RELIABLE_INORDER_STREAM},
    {"reliable-message", TAPS_RELIABLE_MESSAGE},
    {"unreliable-datagram", TAPS_UNRELIABLE_DATAGRAM},
};

int taps_transport_properties_new(taps_transport_properties **ret_properties)
{
    if (!ret_properties)
        return TAPS_E_ARGUMENT;
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    if (!p)
        return TAPS_E_MEMORY;
    *ret_properties = tapsi_properties_public(p);
    return 0;
}

int taps_transport_properties_new_profile(enum taps_properties_profile profile,
                                          taps_transport_properties **ret_properties)
{
    taps_transport_properties *properties;
    if (!ret_properties)
        return TAPS_E_ARGUMENT;
    int err = taps_transport_properties_new(&properties);
    if (err)
        return err;
    err = tapsi_properties_set_profile(tapsi_properties_of(properties), profile);
    if (err)
        taps_transport_properties_free(properties);
    else
        *ret_properties = properties;
    return err;
}

int taps_properties_profile_find(const char *name, enum taps_properties_profile *ret_profile)
{
    if (!name || !ret_profile)
        return TAPS_E_ARGUMENT;
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        if (tapsi_value_same_text(name, profiles[i].name)) {
            *ret_profile = profiles[i].profile;
            return 0;
        }
    }
    return TAPS_E_RANGE;
}

int taps_transport_properties_copy(const taps_transport_properties *properties,
                                   taps_transport_properties **ret_properties)
{
    if (!properties || !ret_properties)
        return TAPS_E_ARGUMENT;
    struct tapsi_properties *p = tapsi_properties_copy(tapsi_properties_of_const(properties), tapsi_mem_default());
    if (!p)
        return TAPS_E_MEMORY;
    *ret_properties = tapsi_properties_public(p);
    return 0;
}

void taps_transport_properties_free(taps_transport_properties *properties)
{
    tapsi_properties_unref(tapsi_properties_of(properties));
}

int taps_transport_properties_set(taps_transport_properties *properties, const char *name, const char *text)
{
    if (!properties || !name || !text)
        return TAPS_E_ARGUMENT;
    return tapsi_properties_set_text(tapsi_properties_of(properties), tapsi_property_find(name), text);
}

int taps_transport_properties_set_value(taps_transport_properties *properties, enum taps_property property,
                                        struct taps_value value)
{
    if (!properties)
        return TAPS_E_ARGUMENT;
    return tapsi_properties_set(tapsi_properties_of(properties), property, value);
}

int taps_transport_properties_set_preference(taps_transport_properties *properties, enum taps_property property,
                                             enum taps_preference preference)
{
    return taps_transport_properties_set_value(
        properties, property, (struct taps_value){.type = TAPS_TYPE_PREFERENCE, {.preference = preference}});
}

int taps_transport_properties_set_boolean(taps_transport_properties *properties, enum taps_property property,
                                          bool value)
{
    return taps_transport_properties_set_value(properties, property,
                                               (struct taps_value){.type = TAPS_TYPE_BOOLEAN, {.boolean = value}});
}

int taps_transport_properties_set_integer(taps_transport_properties *properties, enum taps_property property,
                                          uint64_t value)
{
    return taps_transport_properties_set_value(properties, property,
                                               (struct taps_value){.type = TAPS_TYPE_INTEGER, {.integer = value}});
}

int taps_transport_properties_set_number(taps_transport_properties *properties, enum taps_property property,
                                         double value)
{
    return taps_transport_properties_set_value(properties, property,
                                               (struct taps_value){.type = TAPS_TYPE_NUMBER, {.number = value}});
}

int taps_transport_properties_set_enumeration(taps_transport_properties *properties, enum taps_property property,
                                              int value)
{
    return taps_transport_properties_set_value(
        properties, property, (struct taps_value){.type = TAPS_TYPE_ENUMERATION, {.enumeration = value}});
}

int taps_transport_properties_add(taps_transport_properties *properties, enum taps_property property,
                                  enum taps_preference preference, const char *text)
{
    if (!properties || !text)
        return TAPS_E_ARGUMENT;
    return tapsi_properties_add(tapsi_properties_of(properties), property, preference, text);
}

int taps_transport_properties_require(taps_transport_properties *properties, enum taps_property property)
{
    return taps_transport_properties_set_preference(properties, property, TAPS_REQUIRE);
}

int taps_transport_properties_prefer(taps_transport_properties *properties, enum taps_property property)
{
    return taps_transport_properties_set_preference(properties, property, TAPS_PREFER);
}

int taps_transport_properties_no_preference(taps_transport_properties *properties, enum taps_property property)
{
    return taps_transport_properties_set_preference(properties, property, TAPS_NO_PREFERENCE);
}

int taps_transport_properties_avoid(taps_transport_properties *properties, enum taps_property property)
{
    return taps_transport_properties_set_preference(properties, property, TAPS_AVOID);
}

int taps_transport_properties_prohibit(taps_transport_properties *properties, enum taps_property property)
{
    return taps_transport_properties_set_preference(properties, property, TAPS_PROHIBIT);
}

int taps_transport_properties_get(const taps_transport_properties *properties, enum taps_property property,
                                  struct taps_value *ret_value)
{
    if (!properties || !ret_value)
        return TAPS_E_ARGUMENT;
    const struct tapsi_property_row *row = tapsi_property_row(property);
    if (!row)
        return TAPS_E_UNKNOWN_PROPERTY;
    if (row->info.type == TAPS_TYPE_SET)
        return TAPS_E_TYPE;
    *ret_value = tapsi_properties_of_const(properties)->values[property];
    return 0;
}

int taps_transport_properties_get_text(const taps_transport_properties *properties, enum taps_property property,
                                       char *text, size_t size)
{
    struct tapsi_str built;
    if (!properties || (!text && size))
        return TAPS_E_ARGUMENT;
    if (!tapsi_property_row(property))
        return TAPS_E_UNKNOWN_PROPERTY;
    tapsi_str_init(&built, tapsi_mem_default());
    tapsi_properties_text(tapsi_properties_of_const(properties), property, &built);
    return tapsi_text_give(&built, text, size);
}

bool taps_transport_properties_is_set(const taps_transport_properties *properties, enum taps_property property)
{
    return properties && tapsi_properties_is_set(tapsi_properties_of_const(properties), property);
}

/* By the value's own type: in what taps_connection_get_properties returns, Preferences are Booleans. */
bool taps_transport_properties_has(const taps_transport_properties *properties, enum taps_property property)
{
    if (!properties || !tapsi_property_row(property))
        return false;
    const struct taps_value *value = &tapsi_properties_of_const(properties)->values[property];
    if (value->type == TAPS_TYPE_BOOLEAN)
        return value->boolean;
    return value->type == TAPS_TYPE_PREFERENCE && value->preference > TAPS_NO_PREFERENCE;
}
