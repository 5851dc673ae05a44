/*
 * --migrate-to: the Connection is told to go elsewhere, once or several times, while it is in use.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_MIGRATE_H
#define TAPS_TOOL_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>

#include <taps/taps.h>

#include "options.h"

struct migrate {
    const struct options_list *to; /* addresses and interfaces */
    size_t next;
    double last_ms; /* of the last one; 0: none yet */
    size_t moves;   /* that there were before it */
};

/* One more of them. DONE or USAGE. */
int migrate_take(struct options *options, const char *value);
/* AddLocal of it, RemoveLocal of what is in use: it goes there if it can. DONE, or FAILED after having said why not. */
int migrate_to(taps_connection *connection, const char *where);
/* The next one, if it is due: of what is `total` long the k-th of n at k/(n+1), else (UINT64_MAX) the first at once and
   then one a second. One that is under way is waited for, for some seconds. */
int migrate_advance(struct migrate *migrate, taps_connection *connection, uint64_t done, uint64_t total, double now_ms);
/* Milliseconds until time alone makes the next one due; negative: it does not. */
double migrate_wait_ms(const struct migrate *migrate, uint64_t total, double now_ms);
/* How often it has moved, and where it is. */
void migrate_tell(const struct migrate *migrate, taps_connection *connection);

#endif
