/*
 * The whole library under the input's command, on the simulated network of tests/scenario/trial.c: which calls are made
 * between and in all events, what the peer does, what the network does, which allocation and which call of the platform
 * fails, and for how long time runs. The observer watches.
 */
#ifndef FUZZ_STAGE_H
#define FUZZ_STAGE_H

#include "input.h"
#include "raw.h"
#include "support.h"
#include "tests/scenario/trial.h"

struct stage {
    struct trial t;
    struct fuzz_input in;
    struct raw raw;
    struct tapsi_sim_interface *second; /* of the client: it comes and goes */
    taps_timer *timer;                  /* NULL: none is running */
    bool with_first[PARTIES];           /* begun with a first Message, of which a failed establishment says nothing */
};

/* The world, with a choice of protocol and properties; nothing in it yet but the raw peer on `raw_host` of the trial
   (0 the client's, 1 the server's). */
struct stage *stage_begin(const uint8_t *data, size_t size, int raw_host);
/* Acts until the input is at its end. */
void stage_play(struct stage *stage);
/* Everything is calm again: what has begun comes to its end, and nothing is left. */
void stage_end(struct stage *stage);

/* Each target's own: what the raw peer does next. */
void stage_peer(struct stage *stage);

#endif
