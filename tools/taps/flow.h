/*
 * One Connection of a load: sends its Messages, finds their answers, and counts. Only load.c uses it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_FLOW_H
#define TAPS_TOOL_FLOW_H

#include "load.h"

struct slot;

struct flow {
    struct load *load;
    taps_connection *connection;
    struct slot *slots; /* `span` of them: those of the numbers from head to next, modulo span */
    uint64_t head, next;
    size_t span, open;
    size_t filled;   /* bytes of the answer that is coming */
    bool boundaries; /* answers are Messages, else bytes */
    bool numbered;   /* datagrams, which carry their number */
    bool ready, closing, over;
};

/* With `load` filled in. DONE, or an exit code after having said what is wrong. */
int flow_start(struct flow *flow, taps_preconnection *preconnection, uint64_t timeout_ms);
/* The same as one more stream of the session of `of`, which was started. */
int flow_clone(struct flow *flow, const struct flow *of);
bool flow_has_room(const struct flow *flow);
/* Sends a Message whose time runs from `since_ns`. False if the stack has no room now, or refuses it. */
bool flow_send(struct flow *flow, uint64_t since_ns);
/* Without a rate: the next goes when one has come back. */
void flow_fill(struct flow *flow);
/* Datagrams that nobody answered in time. */
void flow_look_for_lost(struct flow *flow, uint64_t now, uint64_t patience_ns);
void flow_close(struct flow *flow);
/* It is not waited for any more. */
void flow_over(struct flow *flow);
void flow_abort(struct flow *flow);
void flow_done(struct flow *flow);

/* What a flow tells its load. */
bool load_may_send(const struct load *load);
void load_flow_ready(struct load *load);
void load_close_if_done(struct load *load);
void load_give_up(struct load *load);

#endif
