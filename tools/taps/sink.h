/*
 * Standard output that never blocks the loop: written only as far as it takes bytes right now.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_SINK_H
#define TAPS_TOOL_SINK_H

#include <stdbool.h>
#include <stddef.h>

enum { SINK_SIZE = 65536 };

struct sink {
    int fd;
    bool owned; /* a description of our own, which may be non-blocking without disturbing others */
    bool is_socket;
    bool whole; /* regular files and own descriptions take any amount; others at most a pipe's atomic write */
    size_t start, end;
    unsigned char bytes[SINK_SIZE];
};

void sink_init(struct sink *sink, int fd);
void sink_done(struct sink *sink);
bool sink_empty(const struct sink *sink);
/* Only into an empty sink, at most SINK_SIZE bytes. */
void sink_put(struct sink *sink, const void *data, size_t length);
/* Behind what is there, if it fits into SINK_SIZE. */
void sink_add(struct sink *sink, const void *data, size_t length);
/* Writes what goes. 0, or an errno; EAGAIN is 0. */
int sink_write(struct sink *sink);

#endif
