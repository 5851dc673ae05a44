#include <string.h>
#include "base/mem.h"
#include "connection/connection.h"
#include "select/endpoint.h"
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
    if (!context || !context->head.mem)
        return;
    tapsi_meta_unref(context->head.meta);
    tapsi_free(context->head.mem, context->local);
    tapsi_free(context->head.mem, context->remote);
    tapsi_free(context->head.mem, context);
}

static const struct taps_endpoint *endpoint_of(const taps_message_context *context, bool remote)
{
    if (!context || !(context->head.received & TAPSI_RECEIVED))
        return NULL;
    if (context->head.received & TAPSI_RECEIVED_HERE)
        return tapsi_connection_received_endpoint(&context->head, remote);
    return remote ? context->remote : context->local;
}

const taps_endpoint *taps_message_context_local(const taps_message_context *context)
{
    return endpoint_of(context, false);
}

const taps_endpoint *taps_message_context_remote(const taps_message_context *context)
{
    return endpoint_of(context, true);
}

int taps_message_context_ecn(const taps_message_context *context)
{
    if (!context)
        return TAPS_E_ARGUMENT;
    int ecn = tapsi_received_ecn(context->head.received);
    return ecn < 0 ? TAPS_E_NOT_APPLICABLE : ecn;
}

static uint64_t arrival(const taps_message_context *context)
{
    const struct taps_context *here = tapsi_received_by(context);
    if (!here || context->head.arrived)
        return context->head.arrived;
    return tapsi_loop_now((struct tapsi_loop *)(uintptr_t)&here->loop);
}

double taps_message_context_received_ms(const taps_message_context *context)
{
    if (!context || !(context->head.received & TAPSI_RECEIVED))
        return -1;
    return (double)arrival(context) / (double)TAPSI_MS;
}

/* 0 also where there is none to copy. */
static int copy_endpoint(const taps_message_context *from, bool remote, struct tapsi_mem *mem,
                         struct taps_endpoint **ret)
{
    const struct taps_endpoint *e = endpoint_of(from, remote);
    if (!e)
        return 0;
    *ret = tapsi_alloc(mem, sizeof(**ret));
    if (!*ret)
        return TAPS_E_MEMORY;
    **ret = *e;
    return 0;
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
    copy->head.received = context->head.received & ~(unsigned)TAPSI_RECEIVED_HERE;
    copy->head.arrived = arrival(context);
    if (context->head.set)
        memcpy(copy->values, context->values, sizeof(copy->values));
    if (context->head.meta && !(copy->head.meta = tapsi_meta_copy(context->head.meta, copy->head.mem)))
        err = TAPS_E_MEMORY;
    if (!err)
        err = copy_endpoint(context, false, copy->head.mem, &copy->local);
    if (!err)
        err = copy_endpoint(context, true, copy->head.mem, &copy->remote);
    if (err) {
        taps_message_context_free(copy);
        return err;
    }
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

int taps_message_context_add_metadata(taps_message_context *context, const char *framer, const char *key,
                                      const char *value)
{
    if (!context || !framer || !key || !value)
        return TAPS_E_ARGUMENT;
    if (context->head.received && !context->head.mem)
        return TAPS_E_READ_ONLY;
    return tapsi_meta_add(&context->head.meta, context->head.mem, framer, key, value);
}

const char *taps_message_context_metadata(const taps_message_context *context, const char *framer, const char *key)
{
    return context && framer && key ? tapsi_meta_get(context->head.meta, framer, key) : NULL;
}

int taps_message_context_metadata_at(const taps_message_context *context, size_t index, const char **ret_framer,
                                     const char **ret_key, const char **ret_value)
{
    const char *framer, *key, *value;
    if (!context)
        return TAPS_E_ARGUMENT;
    if (!tapsi_meta_at(context->head.meta, NULL, index, &framer, &key, &value))
        return TAPS_E_RANGE;
    if (ret_framer)
        *ret_framer = framer;
    if (ret_key)
        *ret_key = key;
    if (ret_value)
        *ret_value = value;
    return 0;
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
