#include <string.h>
#include "base/mem.h"
#include "select/message_properties.h"

int taps_message_context_new(taps_message_context **ret_context)
{
    if (!ret_context)
        return TAPS_E_ARGUMENT;
    struct taps_message_context *context = tapsi_alloc(tapsi_mem_default(), sizeof(*context));
    if (!context)
        return TAPS_E_MEMORY;
    tapsi_message_context_init(context, tapsi_mem_default());
    *ret_context = context;
    return 0;
}

/* One without memory of its own is part of something that the library owns: a received Message. */
void taps_message_context_free(taps_message_context *context)
{
    if (context && context->head.mem)
        tapsi_free(context->head.mem, context);
}

int taps_message_context_copy(const taps_message_context *context, taps_message_context **ret_context)
{
    taps_message_context *copy;
    if (!context || !ret_context)
        return TAPS_E_ARGUMENT;
    int err = taps_message_context_new(&copy);
    if (err)
        return err;
    copy->head.set = context->head.set;
    copy->head.received = context->head.received;
    if (context->head.set)
        memcpy(copy->values, context->values, sizeof(copy->values));
    *ret_context = copy;
    return 0;
}

int taps_message_context_set(taps_message_context *context, const char *name, const char *text)
{
    if (!context || !name || !text)
        return TAPS_E_ARGUMENT;
    return tapsi_message_context_set_text(context, tapsi_property_find(name), text);
}

int taps_message_context_set_value(taps_message_context *context, enum taps_property property, struct taps_value value)
{
    return context ? tapsi_message_context_set(context, property, value) : TAPS_E_ARGUMENT;
}

int taps_message_context_get(const taps_message_context *context, enum taps_property property,
                             struct taps_value *ret_value)
{
    if (!context || !ret_value)
        return TAPS_E_ARGUMENT;
    if (!tapsi_property_row(property))
        return TAPS_E_UNKNOWN_PROPERTY;
    if (!tapsi_message_context_is_set(context, property))
        return TAPS_E_NOT_APPLICABLE;
    *ret_value = context->values[property - TAPS_MSG_LIFETIME];
    return 0;
}
