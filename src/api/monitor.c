/* What can be watched: arguments, then one call down. */
#include "connection/connection.h"
#include "connection/monitor.h"

TAPS_API int taps_context_stack_use(const taps_context *context, size_t index, struct taps_stack_use *ret_use)
{
    return context && ret_use ? tapsi_monitor_stack(context, index, ret_use) : TAPS_E_ARGUMENT;
}

TAPS_API size_t taps_context_connection_count(const taps_context *context, const char *protocol)
{
    return context ? tapsi_monitor_connections(context, protocol) : 0;
}

TAPS_API taps_connection *taps_context_next_connection(const taps_context *context, const taps_connection *previous)
{
    if (!context || (previous && previous->context != context))
        return NULL;
    return tapsi_monitor_next(context, previous);
}

TAPS_API int taps_connection_statistics(const taps_connection *c, uint64_t *ret_values, size_t count)
{
    return c && ret_values && count <= SIZE_MAX / sizeof(*ret_values) ? tapsi_monitor_statistics(c, ret_values, count)
                                                                      : TAPS_E_ARGUMENT;
}

TAPS_API const char *taps_statistic_name(enum taps_statistic statistic)
{
    static const char *const names[] = {
        [TAPS_BYTES_SENT] = "bytesSent",
        [TAPS_BYTES_RECEIVED] = "bytesReceived",
        [TAPS_MESSAGES_SENT] = "messagesSent",
        [TAPS_MESSAGES_RECEIVED] = "messagesReceived",
        [TAPS_BYTES_UNACKNOWLEDGED] = "bytesUnacknowledged",
        [TAPS_RETRANSMISSIONS] = "retransmissions",
        [TAPS_ROUND_TRIP_US] = "roundTripUs",
        [TAPS_ROUND_TRIP_VARIATION_US] = "roundTripVariationUs",
        [TAPS_MIN_ROUND_TRIP_US] = "minRoundTripUs",
        [TAPS_CONGESTION_WINDOW] = "congestionWindow",
        [TAPS_DELIVERY_RATE] = "deliveryRate",
        [TAPS_PATH_MTU] = "pathMtu",
        [TAPS_SEGMENT_SIZE] = "segmentSize",
    };
    return (unsigned)statistic < TAPS_STATISTIC_COUNT ? names[statistic] : NULL;
}
