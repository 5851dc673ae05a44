/* What cat says with -v of its Connections, and of early data always.
 *
 * SPDX-License-Identifier: MIT
 */
#include "transfer_tell.h"

#include <stdio.h>

#include "complain.h"

void transfer_tell_where(const struct transfer *transfer, taps_connection *connection, const char *what)
{
    const char *security = taps_connection_security(connection);
    char remote[300] = "?";

    if (!transfer->verbose)
        return;
    if (taps_connection_remote(connection))
        taps_endpoint_text(taps_connection_remote(connection), remote, sizeof remote);
    complain("%s %s, %s, %s", what, remote, taps_connection_stack(connection),
             security ? security : "without security");
}

void transfer_tell_statistics(struct transfer *transfer)
{
    uint64_t values[TAPS_STATISTIC_COUNT];
    char line[600] = "";
    size_t used = 0;

    if (!transfer->verbose || transfer->told_statistics ||
        taps_connection_statistics(transfer->connection, values, TAPS_STATISTIC_COUNT) <= 0)
        return;
    transfer->told_statistics = true;
    for (int i = 0; i < TAPS_STATISTIC_COUNT && used < sizeof line; i++) {
        if (values[i] != TAPS_UNKNOWN)
            used += (size_t)snprintf(line + used, sizeof line - used, " %s=%llu",
                                     taps_statistic_name((enum taps_statistic)i), (unsigned long long)values[i]);
    }
    complain("statistics:%s", line);
}

void transfer_tell_metadata(const struct transfer *transfer, const taps_message_context *context)
{
    const char *framer, *key, *value;

    for (size_t i = 0; transfer->verbose && transfer->framed && context &&
                       taps_message_context_metadata_at(context, i, &framer, &key, &value) == 0;
         i++)
        complain("%s/%s=%s", framer, key, value);
}

void transfer_tell_early(const struct transfer *transfer, taps_connection *connection)
{
    if (!transfer->early)
        return;
    if (taps_connection_early_data(connection))
        complain("the first Message went as early data, and was taken");
    else if (taps_connection_resumed(connection))
        complain("the session was resumed, but the first Message was not taken as early data");
    else
        complain("no session was resumed: the first Message was not taken as early data");
}
