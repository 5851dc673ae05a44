/* taps_preconnection_*: arguments, then one call down. */
#include "connection/connection.h"
#include "connection/listener.h"
#include "connection/preconnection.h"
#include "connection/resolve.h"

TAPS_API int taps_preconnection_new(taps_context *context, taps_preconnection **ret_preconnection)
{
    return context && ret_preconnection ? tapsi_preconnection_new(context, ret_preconnection) : TAPS_E_ARGUMENT;
}

TAPS_API void taps_preconnection_free(taps_preconnection *preconnection)
{
    tapsi_preconnection_free(preconnection);
}

static int add(taps_preconnection *p, const taps_endpoint *endpoint, bool remote)
{
    if (!p || !endpoint || endpoint->remote != remote)
        return TAPS_E_ARGUMENT;
    int err = tapsi_config_own(&p->config);
    return err ? err : tapsi_config_add(p->config, endpoint);
}

TAPS_API int taps_preconnection_add_local(taps_preconnection *preconnection, const taps_endpoint *endpoint)
{
    return add(preconnection, endpoint, false);
}

TAPS_API int taps_preconnection_add_remote(taps_preconnection *preconnection, const taps_endpoint *endpoint)
{
    return add(preconnection, endpoint, true);
}

static int add_text(taps_preconnection *p, const char *text, bool remote)
{
    struct taps_endpoint endpoint;
    if (!p || !text)
        return TAPS_E_ARGUMENT;
    tapsi_endpoint_init(&endpoint, remote);
    int err = tapsi_endpoint_parse(&endpoint, text);
    return err ? err : add(p, &endpoint, remote);
}

TAPS_API int taps_preconnection_add_local_text(taps_preconnection *preconnection, const char *text)
{
    return add_text(preconnection, text, false);
}

TAPS_API int taps_preconnection_add_remote_text(taps_preconnection *preconnection, const char *text)
{
    return add_text(preconnection, text, true);
}

TAPS_API int taps_preconnection_set_transport_properties(taps_preconnection *p,
                                                         const taps_transport_properties *properties)
{
    if (!p)
        return TAPS_E_ARGUMENT;
    int err = tapsi_config_own(&p->config);
    if (err)
        return err;
    struct tapsi_mem *mem = &p->context->loop.mem;
    struct tapsi_properties *copy =
        properties ? tapsi_properties_copy(tapsi_properties_of_const(properties), mem) : tapsi_properties_new(mem);
    if (!copy)
        return TAPS_E_MEMORY;
    tapsi_properties_unref(p->config->properties);
    p->config->properties = copy;
    return 0;
}

TAPS_API int taps_preconnection_set_security_parameters(taps_preconnection *p,
                                                        const taps_security_parameters *parameters)
{
    if (!p)
        return TAPS_E_ARGUMENT;
    int err = tapsi_config_own(&p->config);
    if (err)
        return err;
    struct tapsi_mem *mem = &p->context->loop.mem;
    struct tapsi_security *copy = parameters ? tapsi_security_copy(tapsi_security_of_const(parameters), mem)
                                             : tapsi_security_new(mem, TAPS_SECURITY_REQUIRED);
    if (!copy)
        return TAPS_E_MEMORY;
    tapsi_security_unref(p->config->security);
    p->config->security = copy;
    return 0;
}

TAPS_API int taps_preconnection_add_framer(taps_preconnection *p, const taps_framer *framer)
{
    if (!p || !framer)
        return TAPS_E_ARGUMENT;
    int err = tapsi_config_own(&p->config);
    return err ? err : tapsi_framers_add(&p->config->framers, &p->context->loop.mem, framer);
}

TAPS_API int taps_preconnection_initiate(taps_preconnection *p, uint64_t timeout_ms,
                                         const struct taps_connection_events *events, void *user,
                                         taps_connection **ret_connection)
{
    struct tapsi_plan *plan;
    if (!p || !ret_connection)
        return TAPS_E_ARGUMENT;
    int err = tapsi_preconnection_check(p, TAPSI_ROLE_CLIENT);
    if (!err)
        err = tapsi_plan_get(p->config, p->context->loop.platform, TAPSI_ROLE_CLIENT, &plan, &p->error);
    if (err)
        return err;
    err = tapsi_connection_initiate(p->context, p->config, plan, timeout_ms, events, user, ret_connection, &p->error);
    tapsi_plan_unref(plan);
    return err;
}

TAPS_API int taps_preconnection_initiate_with_send(taps_preconnection *p, uint64_t timeout_ms,
                                                   const struct taps_connection_events *events, void *user,
                                                   const void *data, size_t length, const taps_message_context *context,
                                                   unsigned flags, void *tag, taps_connection **ret_connection)
{
    taps_connection *c;
    if (!p || !ret_connection || !tapsi_send_arguments_ok(data, length, flags))
        return TAPS_E_ARGUMENT;
    int err = taps_preconnection_initiate(p, timeout_ms, events, user, &c);
    if (err)
        return err;
    struct iovec piece = {(void *)(uintptr_t)data, length}; /* iovec has no const */
    err = tapsi_connection_send(c, &(struct tapsi_sending){.pieces = &piece,
                                                           .count = 1,
                                                           .length = length,
                                                           .context = context,
                                                           .flags = flags,
                                                           .mark = TAPSI_OP_FIRST,
                                                           .tag = tag});
    if (err) {
        tapsi_connection_free(c);
        return tapsi_error_set(&p->error, err, "the first Message was refused: %s", taps_err_text(err));
    }
    *ret_connection = c;
    return 0;
}

TAPS_API int taps_preconnection_listen(taps_preconnection *p, const struct taps_listener_events *events, void *user,
                                       taps_listener **ret_listener)
{
    struct tapsi_plan *plan;
    if (!p || !ret_listener)
        return TAPS_E_ARGUMENT;
    int err = tapsi_preconnection_check(p, TAPSI_ROLE_SERVER);
    if (!err)
        err = tapsi_plan_get(p->config, p->context->loop.platform, TAPSI_ROLE_SERVER, &plan, &p->error);
    if (err)
        return err;
    err = tapsi_listener_new(p->context, p->config, plan, events, user, ret_listener, &p->error);
    tapsi_plan_unref(plan);
    return err;
}

TAPS_API int taps_preconnection_resolve(taps_preconnection *p, uint64_t timeout_ms, taps_resolve_fn fn, void *user)
{
    struct tapsi_plan *plan;
    if (!p || !fn)
        return TAPS_E_ARGUMENT;
    tapsi_preconnection_forget(p);
    int err = tapsi_plan_get(p->config, p->context->loop.platform, TAPSI_ROLE_UNDECIDED, &plan, &p->error);
    if (err)
        return err;
    err = tapsi_resolve_new(p->context, p->config, plan, timeout_ms, fn, user, &p->error);
    tapsi_plan_unref(plan);
    return err;
}

TAPS_API const struct taps_error *taps_preconnection_error(const taps_preconnection *preconnection)
{
    return preconnection ? &preconnection->error.pub : NULL;
}

TAPS_API const taps_report *taps_preconnection_report(const taps_preconnection *preconnection)
{
    return preconnection ? preconnection->report : NULL;
}
