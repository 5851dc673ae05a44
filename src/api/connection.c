/* taps_connection_*: arguments, then one call down. */
#include "connection/connection.h"
#include "stack/secure/info.h"

TAPS_API void taps_connection_set_events(taps_connection *c, const struct taps_connection_events *events, void *user)
{
    if (!c)
        return;
    c->events = events;
    c->user = user;
    tapsi_connection_post(c); /* what came before there was anybody to tell */
}

TAPS_API void *taps_connection_user(const taps_connection *c)
{
    return c ? c->user : NULL;
}

TAPS_API taps_context *taps_connection_context(const taps_connection *c)
{
    return c ? c->context : NULL;
}

TAPS_API void taps_connection_free(taps_connection *c)
{
    tapsi_connection_free(c);
}

TAPS_API int taps_connection_send(taps_connection *c, const void *data, size_t length,
                                  const taps_message_context *context, unsigned flags, void *tag)
{
    if (!c || !tapsi_send_arguments_ok(data, length, flags))
        return TAPS_E_ARGUMENT;
    struct iovec piece = {(void *)(uintptr_t)data, length}; /* iovec has no const */
    return tapsi_connection_send(
        c, &(struct tapsi_sending){
               .pieces = &piece, .count = 1, .length = length, .context = context, .flags = flags, .tag = tag});
}

TAPS_API int taps_connection_start_batch(taps_connection *c)
{
    return c ? tapsi_connection_batch(c, 1) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_connection_end_batch(taps_connection *c)
{
    return c ? tapsi_connection_batch(c, -1) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_connection_receive(taps_connection *c, size_t min_incomplete_length, size_t max_length, void *tag)
{
    if (!c || max_length == 0)
        return TAPS_E_ARGUMENT;
    return tapsi_connection_receive(c, min_incomplete_length, max_length, tag);
}

TAPS_API int taps_connection_close(taps_connection *c)
{
    return c ? tapsi_connection_close(c) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_connection_abort(taps_connection *c)
{
    return c ? tapsi_connection_abort(c) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_connection_set_property(taps_connection *c, const char *name, const char *text)
{
    struct taps_value value;
    if (!c || !name || !text)
        return TAPS_E_ARGUMENT;
    enum taps_property property = taps_property_find(name);
    if (property == TAPS_PROPERTY_NONE)
        return TAPS_E_UNKNOWN_PROPERTY;
    const struct taps_property_info *info = taps_property_info(property);
    if (info->scope == TAPS_SCOPE_SELECTION || info->scope == TAPS_SCOPE_READ_ONLY)
        return TAPS_E_READ_ONLY;
    int err = tapsi_value_parse(property, text, &value);
    return err ? err : tapsi_connection_set_value(c, property, value);
}

TAPS_API int taps_connection_set_value(taps_connection *c, enum taps_property property, struct taps_value value)
{
    return c ? tapsi_connection_set_value(c, property, value) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_connection_get_value(taps_connection *c, enum taps_property property, struct taps_value *ret_value)
{
    return c && ret_value ? tapsi_connection_get_value(c, property, ret_value) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_connection_get_property(taps_connection *c, const char *name, char *text, size_t size)
{
    if (!c || !name || (!text && size))
        return TAPS_E_ARGUMENT;
    return tapsi_connection_get_text(c, taps_property_find(name), text, size);
}

TAPS_API int taps_connection_get_properties(taps_connection *c, taps_transport_properties **ret_properties)
{
    struct tapsi_properties *properties;
    if (!c || !ret_properties)
        return TAPS_E_ARGUMENT;
    int err = tapsi_connection_properties(c, &properties);
    if (!err)
        *ret_properties = tapsi_properties_public(properties);
    return err;
}

TAPS_API enum taps_conn_state taps_connection_state(const taps_connection *c)
{
    return c ? (enum taps_conn_state)c->state : TAPS_CLOSED;
}

TAPS_API const char *taps_connection_stack(const taps_connection *c)
{
    return c && c->row ? c->row->offer.stack : NULL;
}

/* The address is asked of the stack when somebody wants to know, and kept: hence not const inside. */
TAPS_API const taps_endpoint *taps_connection_local(const taps_connection *c)
{
    return c ? tapsi_connection_endpoint((taps_connection *)(uintptr_t)c, false) : NULL;
}

TAPS_API const taps_endpoint *taps_connection_remote(const taps_connection *c)
{
    return c ? tapsi_connection_endpoint((taps_connection *)(uintptr_t)c, true) : NULL;
}

static const char *text_of(const taps_connection *c, int what)
{
    union tapsi_got got;
    return c && c->top && tapsi_layer_get(c->top, what, &got) == 0 ? got.text : NULL;
}

TAPS_API const char *taps_connection_security(const taps_connection *c)
{
    return text_of(c, TAPSI_GET_SECURITY);
}

static const struct tapsi_handshake *handshake_of(const taps_connection *c)
{
    union tapsi_got got;
    return c->top && tapsi_layer_get(c->top, TAPSI_GET_HANDSHAKE, &got) == 0 ? got.handshake : NULL;
}

TAPS_API int taps_connection_security_info(const taps_connection *c, struct taps_security_info *ret_info)
{
    if (!c || !ret_info)
        return TAPS_E_ARGUMENT;
    const struct tapsi_handshake *h = handshake_of(c);
    if (!h)
        return TAPS_E_STATE;
    tapsi_handshake_tell(h, ret_info);
    return 0;
}

TAPS_API const void *taps_connection_peer_certificate(const taps_connection *c, unsigned index, size_t *ret_length)
{
    const struct tapsi_handshake *h = c && ret_length ? handshake_of(c) : NULL;
    return h ? tapsi_handshake_certificate(h, index, ret_length) : NULL;
}

TAPS_API const char *taps_connection_alpn(const taps_connection *c)
{
    return text_of(c, TAPSI_GET_ALPN);
}

TAPS_API bool taps_connection_resumed(const taps_connection *c)
{
    return c && c->resumed;
}

TAPS_API bool taps_connection_early_data(const taps_connection *c)
{
    return c && c->early;
}

TAPS_API const taps_report *taps_connection_report(const taps_connection *c)
{
    return c ? tapsi_connection_report((taps_connection *)(uintptr_t)c) : NULL;
}
