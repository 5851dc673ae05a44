/*
 * Addresses of this machine behind which nobody answers, without privileges: a black hole that swallows connection
 * requests, and a port that is certain to refuse.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_DEADEND_H
#define TAPS_TOOL_DEADEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { DEADEND_FILLERS = 8 };

struct deadend {
    int listener;
    int fillers[DEADEND_FILLERS];
    size_t filler_count;
};

void deadend_init(struct deadend *deadend);
/* "::1" or "127.0.0.1" on a free port. Listens with the smallest backlog, fills it, and sees that a further connection
   request stays without an answer. 0 and the port, an errno, or ENOTSUP where the system answers nevertheless. */
int deadend_black_hole(struct deadend *deadend, const char *address, uint16_t *ret_port);
/* Holds the port without listening, so that nobody else can and the system refuses. 0 or an errno. */
int deadend_refuse(struct deadend *deadend, const char *address, uint16_t port);
void deadend_done(struct deadend *deadend);

#endif
