/*
 * What cat does with its Connection, or with several in turn: Messages of a source to the peer, what the peer sends to
 * a sink.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_TRANSFER_H
#define TAPS_TOOL_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <taps/taps.h>

#include "rate.h"
#include "sink.h"
#include "source.h"

struct transfer;

/* What the streams of a cat have in common. Fill in; source and sink are initialised by the caller, and in its care. */
struct transfer_shared {
    struct source source;
    struct sink sink;
    struct pace pace;
    struct transfer *transfers;
    size_t count; /* of them */

    size_t turn;                       /* whose Message is next */
    uint64_t received, received_bytes; /* Messages */
    bool told_failure;
};

struct transfer {
    /* Fill in. */
    struct transfer_shared *shared;
    size_t index; /* in it */
    taps_context *context;
    const char *target;
    const taps_message_context *properties; /* of every Message; NULL: none */
    const taps_message_context *final;      /* of the last one */
    uint64_t count;                         /* Messages to receive; 0: no end */
    size_t size;                            /* of a Message where the stack does not tell where it ends; 0: not known */
    uint64_t idle_ms;
    bool framed; /* Framers were given. From Ready on, that they make boundaries: each Message is a line of output, and
                    final is said of a Message, or not at all */
    bool keep_open; /* the end of input is not told to the peer */
    bool verbose;

    taps_connection *connection; /* set at once when initiated, or by transfer_begin */
    taps_timer *timer;           /* idle */
    size_t chunk;                /* the most that is one Message; 0 before Ready */
    size_t unsent;               /* taken by Send, no event yet; Messages weigh at least one byte */
    uint64_t sent_bytes;         /* taken by Send */
    bool datagrams;              /* no end of its own */
    bool boundaries;
    bool can_receive;
    bool receiving; /* a Receive is outstanding */
    bool no_input;  /* the Connection cannot send, or a Send failed */
    bool final_sent;
    bool early;    /* the first Message went with Initiate */
    bool peer_end; /* nothing more is received: the peer has ended, or there were `count` */
    bool quiet;    /* the idle timer ran out */
    bool closing;
    bool over; /* the last event came */
    bool told_statistics, told_send_error;
    int code;
};

/* `user` is the transfer. */
extern const struct taps_connection_events transfer_events;

/* As one more stream of the session of `of`. 0 or a negative error. */
int transfer_clone(struct transfer *transfer, const struct transfer *of);
/* An accepted Connection: takes it. */
void transfer_begin(struct transfer *transfer, taps_connection *connection);
/* Initiates with the first Message of the source: `first` are its properties, `only` those if it is the last one, too.
   0 or a negative error. */
int transfer_initiate_early(struct transfer *transfer, taps_preconnection *preconnection, uint64_t timeout_ms,
                            const taps_message_context *first, const taps_message_context *only);
/* Would a read of input help now? */
bool transfer_wants_input(const struct transfer *transfer);
void transfer_read_input(struct transfer *transfer);
void transfer_write_output(struct transfer *transfer);
/* Takes the next steps, after anything has happened. */
void transfer_advance(struct transfer *transfer);
/* Milliseconds until the next Message is due; negative: nothing is waited for. */
double transfer_wait_ms(const struct transfer *transfer);

#endif
