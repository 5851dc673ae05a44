/*
 * What a server of this program does with each Connection: sends every Message back, no faster than the peer takes
 * them. serve and demo share it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_ECHO_H
#define TAPS_TOOL_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <taps/taps.h>

struct echo_peer;

struct echo {
    taps_context *context;
    uint64_t idle_ms; /* after which a Connection without an end of its own (datagrams) is closed */
    /* Both may be NULL. `why` is NULL for an orderly end. */
    void (*opened)(struct echo *echo, taps_connection *connection);
    void (*closed)(struct echo *echo, taps_connection *connection, uint64_t bytes, const struct taps_error *why);

    taps_message_context *final;
    struct echo_peer *peers;
    size_t active;
};

/* Fill in the public fields first. 0 or a negative error. */
int echo_init(struct echo *echo);
/* Drops what is still there. */
void echo_done(struct echo *echo);
/* Takes the Connection. */
void echo_accept(struct echo *echo, taps_connection *connection);
/* Closes every Connection; `closed` follows for each. */
void echo_close_all(struct echo *echo);

#endif
