/*
 * The load of a measurement: Messages over some Connections, each timed, and what came of them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_LOAD_H
#define TAPS_TOOL_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <taps/taps.h>

#include "histogram.h"

enum { LOAD_NUMBER = 8 }; /* bytes at the start of a datagram that hold its number */

struct load_tally {
    uint64_t sent; /* taken by Send */
    uint64_t done; /* came back, or with one_way: Sent */
    uint64_t lost; /* no answer within the patience */
    uint64_t late; /* answers to those, and to those answered before */
    uint64_t failed;
    uint64_t behind;          /* with a rate: were due and never sent */
    uint64_t bytes;           /* of those done */
    struct histogram latency; /* nanoseconds */
};

struct flow;

struct load {
    /* Fill in. */
    taps_context *context;
    const char *target;
    const taps_message_context *properties; /* of every Message; NULL: none */
    size_t size, depth, connections;
    size_t streams;       /* of each session: so many of the connections share one */
    uint64_t count;       /* 0: no limit */
    uint64_t duration_ns; /* 0: no limit */
    uint64_t patience_ns; /* how long an answer may take; 0: 1 s for datagrams, else 10 s */
    double interval_ns;   /* between two Messages, all Connections together; 0: as fast as answers come */
    bool one_way;
    bool verbose;

    struct load_tally tally;
    uint64_t begin_ns, end_ns, last_ns; /* the first Message; when time is over (0: never); the last one done */
    double setup_ms;                    /* until all Connections were Ready */
    char stack[64], security[64];
    int code; /* an exit code */

    unsigned char *message; /* what is sent */
    struct flow *flows;
    uint64_t start_ns; /* of establishment */
    uint64_t moved_ns; /* when something came, or began to be waited for */
    uint64_t given;    /* Messages that were begun */
    size_t ready, over, turn;
    bool measuring, stopping, closing;
    bool timed_out; /* duration_ns ended it */
};

uint64_t load_now(void);
/* Initiates all Connections; timeout_ms as for Initiate. DONE, or an exit code after having said what is wrong. */
int load_start(struct load *load, taps_preconnection *preconnection, uint64_t timeout_ms);
/* Sends what is due. Nanoseconds until the next is; UINT64_MAX: only events will tell. */
uint64_t load_send_due(struct load *load);
/* To be called now and then: time that is over, and datagrams that are lost. */
void load_look_at_clock(struct load *load);
/* No more Messages: what is under way is waited for, then every Connection is closed. */
void load_stop(struct load *load);
/* All Connections have gone. */
bool load_over(const struct load *load);
void load_done(struct load *load);

#endif
