/*
 * Which stacks did not come through, by network and endpoint (RFC 9623, 4.3 and 9; IMPL-14, ARCH-16): pure, times are
 * given. Only failures make entries, and they age:
 *
 *   - A stack that failed where another won is in doubt for five minutes: a race tries it behind the others. The next
 *     failure, after that time, doubles the doubt, up to a day. While it lasts, further failures change nothing: many
 *     Connections made at once are one experience.
 *   - When it comes through, its doubt ends, and the next failure begins with half of it.
 *   - A day after a doubt has ended, it is forgotten.
 *   - Two endpoints of a network that a stack found silent put the stack in doubt for all of that network (UDP is
 *     blocked), unless it came through to any other since.
 *
 * At most TAPSI_HISTORY_MAX entries are kept, the oldest failure goes first. Endpoints are kept as hashes only.
 */
#ifndef TAPSI_SELECT_HISTORY_H
#define TAPSI_SELECT_HISTORY_H

#include "base/str.h"

#define TAPSI_HISTORY_MAX       256
#define TAPSI_HISTORY_STACK_MAX 24 /* of a stack's name, with its terminator */

struct tapsi_history;

/* SILENT: no answer came while another stack's did. REFUSED: the endpoint, or its machine, said no. */
enum tapsi_history_failure { TAPSI_HISTORY_SILENT, TAPSI_HISTORY_REFUSED };

enum tapsi_history_doubt {
    TAPSI_HISTORY_NO_DOUBT,
    TAPSI_HISTORY_ENDPOINT_SILENT,
    TAPSI_HISTORY_ENDPOINT_REFUSED,
    TAPSI_HISTORY_NETWORK_SILENT,
};

struct tapsi_history_key {
    uint64_t network, endpoint; /* hashes */
    const char *stack;          /* "quic"; names that are too long are not remembered */
};

/* NULL without memory. */
struct tapsi_history *tapsi_history_new(struct tapsi_mem *mem);
void tapsi_history_free(struct tapsi_history *history); /* NULL is allowed */
/* Continues a hash; the first seed is 0. */
uint64_t tapsi_history_hash(uint64_t seed, const void *bytes, size_t count);

/* `now` in nanoseconds of one clock. Without memory nothing is remembered. */
void tapsi_history_failed(struct tapsi_history *history, const struct tapsi_history_key *key,
                          enum tapsi_history_failure failure, uint64_t now);
void tapsi_history_worked(struct tapsi_history *history, const struct tapsi_history_key *key, uint64_t now);
/* Is it in doubt now, and how long ago did it fail (ns)? `history` NULL: no doubt. */
enum tapsi_history_doubt tapsi_history_ask(const struct tapsi_history *history, const struct tapsi_history_key *key,
                                           uint64_t now, uint64_t *ret_ago);
/* Entries, but for those that came through since. */
size_t tapsi_history_count(const struct tapsi_history *history);

/* For files: one line for each entry, "silent NETWORK ENDPOINT STACK LEVEL SINCE LEFT", the hashes as 16 hexadecimal
   digits, SINCE the failure and LEFT of the doubt in seconds. */
void tapsi_history_save(const struct tapsi_history *history, uint64_t now, struct tapsi_str *to);
/* One such line, without its end, written `elapsed` ns ago. 0; TAPS_E_RANGE if it is not exactly such a line, and
   nothing is taken; TAPS_E_MEMORY. An entry that is there already is left alone: it is newer. */
int tapsi_history_load(struct tapsi_history *history, const char *line, uint64_t elapsed, uint64_t now);

#endif
