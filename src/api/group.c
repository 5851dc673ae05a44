/* Connection Groups: arguments, then one call down. */
#include "connection/connection.h"

TAPS_API int taps_connection_clone(taps_connection *c, const taps_framer *framer,
                                   const taps_transport_properties *properties,
                                   const struct taps_connection_events *events, void *user,
                                   taps_connection **ret_connection)
{
    const struct tapsi_properties *asked = properties ? tapsi_properties_of_const(properties) : NULL;
    return c && ret_connection ? tapsi_group_clone(c, framer, asked, events, user, ret_connection) : TAPS_E_ARGUMENT;
}

TAPS_API size_t taps_connection_group_count(const taps_connection *c)
{
    return c ? tapsi_group_count(c) : 0;
}

TAPS_API taps_connection *taps_connection_group_next(const taps_connection *c, const taps_connection *previous)
{
    return c ? tapsi_group_next(c, previous) : NULL;
}

TAPS_API int taps_connection_close_group(taps_connection *c)
{
    return c ? tapsi_group_close(c) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_connection_abort_group(taps_connection *c)
{
    return c ? tapsi_group_abort(c) : TAPS_E_ARGUMENT;
}
