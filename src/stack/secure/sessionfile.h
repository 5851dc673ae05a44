/*
 * A file of sessions (docs/design/019-sessions.md): a head, and entries that each have a digest of their own, so that
 * what is damaged loses itself and no more. Pure: bytes in, bytes out.
 */
#ifndef TAPSI_STACK_SECURE_SESSIONFILE_H
#define TAPSI_STACK_SECURE_SESSIONFILE_H

#include "stack/secure/tickets.h"

#define TAPSI_SESSIONFILE_MAX (4U * 1024 * 1024) /* bytes: a longer file is not read */

struct tapsi_sessionfile_found {
    size_t taken;   /* tickets that are new */
    size_t passed;  /* that were there already, had been used, or have expired */
    size_t damaged; /* pieces that were none; 1 for a file that is no such file */
};

/* Text that is kept beside the tickets, line by line: what worked before (select/history.h). */
struct tapsi_sessionfile_lines {
    void (*line)(void *user, const char *line, uint64_t age); /* age: seconds since it was written */
    void *user;
};

/* All of them, and `lines` ("" for none; too many are left out), at this time of day: returns owned (a block of `mem`,
   to be wiped), or NULL without memory. */
uint8_t *tapsi_sessionfile_write(const struct tapsi_tickets *tickets, const char *lines, uint64_t now,
                                 struct tapsi_mem *mem, size_t *ret_length);
/* Is it one, whole or damaged, of this or another version, or empty? Another file is not to be written over. */
bool tapsi_sessionfile_is(const void *bytes, size_t length);
/* Those that are good are put into `tickets`, and lines told; `lines` NULL: to nobody. */
struct tapsi_sessionfile_found tapsi_sessionfile_read(struct tapsi_tickets *tickets, struct tapsi_mem *mem,
                                                      const void *bytes, size_t length, uint64_t now,
                                                      const struct tapsi_sessionfile_lines *lines);

#endif
