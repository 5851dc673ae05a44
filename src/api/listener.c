/* taps_listener_*: arguments, then one call down. */
#include "connection/listener.h"

TAPS_API int taps_listener_stop(taps_listener *l)
{
    return l ? tapsi_listener_stop(l) : TAPS_E_ARGUMENT;
}

TAPS_API void taps_listener_free(taps_listener *l)
{
    tapsi_listener_free(l);
}

TAPS_API int taps_listener_set_new_connection_limit(taps_listener *l, uint64_t limit)
{
    return l ? tapsi_listener_limit(l, limit) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_listener_set_security_parameters(taps_listener *l, const taps_security_parameters *parameters)
{
    return l && parameters ? tapsi_listener_reload(l, tapsi_security_of_const(parameters)) : TAPS_E_ARGUMENT;
}

TAPS_API const struct taps_error *taps_listener_error(const taps_listener *l)
{
    return l && l->refused ? &l->refused->pub : NULL;
}

TAPS_API taps_context *taps_listener_context(const taps_listener *l)
{
    return l ? l->context : NULL;
}

TAPS_API const taps_endpoint *taps_listener_local(const taps_listener *l, size_t index)
{
    return l && index < l->socket_count ? &l->sockets[index].local : NULL;
}

TAPS_API const char *taps_listener_stack(const taps_listener *l, size_t index)
{
    return l && index < l->socket_count ? l->sockets[index].row->offer.stack : NULL;
}

TAPS_API uint64_t taps_listener_dropped(const taps_listener *l)
{
    return l ? l->dropped : 0;
}
