/* taps_connection_add_*, taps_connection_remove_*: arguments, then one call down. */
#include "connection/paths.h"

static int change(taps_connection *c, bool remote, bool adds, const taps_endpoint *const *endpoints, size_t count)
{
    if (!c || (count && !endpoints))
        return TAPS_E_ARGUMENT;
    return count > TAPSI_ENDPOINTS_MAX ? TAPS_E_RANGE : tapsi_paths_change(c, remote, adds, endpoints, count);
}

TAPS_API int taps_connection_add_remote(taps_connection *c, const taps_endpoint *const *endpoints, size_t count)
{
    return change(c, true, true, endpoints, count);
}

TAPS_API int taps_connection_remove_remote(taps_connection *c, const taps_endpoint *const *endpoints, size_t count)
{
    return change(c, true, false, endpoints, count);
}

TAPS_API int taps_connection_add_local(taps_connection *c, const taps_endpoint *const *endpoints, size_t count)
{
    return change(c, false, true, endpoints, count);
}

TAPS_API int taps_connection_remove_local(taps_connection *c, const taps_endpoint *const *endpoints, size_t count)
{
    return change(c, false, false, endpoints, count);
}
