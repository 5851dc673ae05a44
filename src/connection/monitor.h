/* What is going on in a context: Connections by their stacks. Reads, never steers. */
#ifndef TAPSI_CONNECTION_MONITOR_H
#define TAPSI_CONNECTION_MONITOR_H

#include "connection/context.h"

/* TAPS_E_RANGE beyond the last stack. */
int tapsi_monitor_stack(const struct taps_context *context, size_t index, struct taps_stack_use *ret);
size_t tapsi_monitor_connections(const struct taps_context *context, const char *protocol);
/* `previous` NULL: the first; NULL: no more. */
struct taps_connection *tapsi_monitor_next(const struct taps_context *context, const struct taps_connection *previous);
/* Fills at most `count` values; returns how many of them are known. */
int tapsi_monitor_statistics(const struct taps_connection *connection, uint64_t *values, size_t count);

#endif
