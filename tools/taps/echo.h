/*
 * What a server of this program does with each Connection: sends every Message back, no faster than the peer takes
 * them; or only takes them; or sends Messages of its own. serve and demo share it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_ECHO_H
#define TAPS_TOOL_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <taps/taps.h>

#include "rate.h"

struct echo_peer;

enum echo_mode { ECHO_BACK, ECHO_SINK, ECHO_SOURCE };

struct echo {
    taps_context *context;
    enum echo_mode mode;
    size_t size;                            /* of the Messages of a source */
    struct rate rate;                       /* of what is sent, in each Connection */
    uint64_t count;                         /* Messages received, or sent by a source, in all Connections; 0: no end */
    const taps_message_context *properties; /* of every Message sent; NULL: none */
    taps_message_context *final;            /* of the last one; NULL: made by echo_init. Taken */
    uint64_t idle_ms; /* after which a Connection without an end of its own (datagrams) is closed */
    /* Both may be NULL. `why` is NULL for an orderly end. */
    void (*opened)(struct echo *echo, taps_connection *connection);
    void (*closed)(struct echo *echo, taps_connection *connection, uint64_t bytes, const struct taps_error *why);

    /* There were `count`; may be NULL. It may close all. */
    void (*enough)(struct echo *echo);

    taps_message_context *typed; /* `properties` with what was said last of a Message's type */
    char type[64];
    struct echo_peer *peers;
    size_t active;
    unsigned char *pattern; /* what a source sends */
    uint64_t messages;
    uint64_t bytes_in, bytes_out;
};

/* Fill in the fields above the empty line first. 0 or a negative error. */
int echo_init(struct echo *echo);
/* Drops what is still there. */
void echo_done(struct echo *echo);
/* Takes the Connection. */
void echo_accept(struct echo *echo, taps_connection *connection);
/* Closes every Connection; `closed` follows for each. */
void echo_close_all(struct echo *echo);

#endif
