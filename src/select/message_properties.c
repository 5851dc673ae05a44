#include "select/message_properties.h"

#include <string.h>

static bool is_message_property(enum taps_property property)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    return row && row->info.scope == TAPS_SCOPE_MESSAGE;
}

void tapsi_message_context_init(struct taps_message_context *context, struct tapsi_mem *mem)
{
    *context = (struct taps_message_context){.head = {.mem = mem}};
}

int tapsi_message_context_set(struct taps_message_context *context, enum taps_property property,
                              struct taps_value value)
{
    if (!tapsi_property_row(property))
        return TAPS_E_UNKNOWN_PROPERTY;
    if (!is_message_property(property))
        return TAPS_E_NOT_APPLICABLE;
    if (context->head.received && !context->head.mem)
        return TAPS_E_READ_ONLY;
    int err = tapsi_value_check(property, &value);
    if (err)
        return err;
    context->values[property - TAPS_MSG_LIFETIME] = value;
    context->head.set |= (uint64_t)1 << property;
    return 0;
}

int tapsi_message_context_set_text(struct taps_message_context *context, enum taps_property property, const char *text)
{
    struct taps_value value;
    if (tapsi_property_row(property) && !is_message_property(property))
        return TAPS_E_NOT_APPLICABLE;
    int err = tapsi_value_parse(property, text, &value);
    return err ? err : tapsi_message_context_set(context, property, value);
}

bool tapsi_message_context_is_set(const struct taps_message_context *context, enum taps_property property)
{
    return is_message_property(property) && (context->head.set >> property & 1);
}

struct taps_value tapsi_message_value(const struct taps_message_context *context,
                                      const struct tapsi_properties *properties, const struct tapsi_offer *offer,
                                      enum taps_property property)
{
    if (context && tapsi_message_context_is_set(context, property))
        return context->values[property - TAPS_MSG_LIFETIME];
    struct taps_value value = properties->values[property];
    if (tapsi_properties_is_set(properties, property))
        return value;
    if (property == TAPS_MSG_ORDERED)
        value.boolean = tapsi_select_has(offer, properties, TAPS_PRESERVE_ORDER);
    else if (property == TAPS_MSG_RELIABLE)
        value.boolean = tapsi_select_has(offer, properties, TAPS_RELIABILITY);
    else if (property == TAPS_MSG_CAPACITY_PROFILE)
        value.enumeration = properties->values[TAPS_CONN_CAPACITY_PROFILE].enumeration;
    return value;
}
