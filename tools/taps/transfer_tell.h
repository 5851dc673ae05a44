/*
 * What cat says of its Connections at standard error. Only transfer.c uses it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_TRANSFER_TELL_H
#define TAPS_TOOL_TRANSFER_TELL_H

#include "transfer.h"

/* "connected to", "connection from". */
void transfer_tell_where(const struct transfer *transfer, taps_connection *connection, const char *what);
/* While there still is a connection to ask. */
void transfer_tell_statistics(struct transfer *transfer);
/* What Framers have said of a Message. */
void transfer_tell_metadata(const struct transfer *transfer, const taps_message_context *context);
/* What became of a first Message that was to be early. Told without -v, too, since it was asked for. */
void transfer_tell_early(const struct transfer *transfer, taps_connection *connection);

#endif
