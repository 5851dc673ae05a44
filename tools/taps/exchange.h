/*
 * One Connection of the demo: sends a few Messages to an echo server and keeps what comes back.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_EXCHANGE_H
#define TAPS_TOOL_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include <taps/taps.h>

enum { EXCHANGE_MESSAGES = 4, EXCHANGE_LENGTH = 128 };

struct exchange {
    const char *messages[EXCHANGE_MESSAGES]; /* fill in, shorter than EXCHANGE_LENGTH */
    size_t count;

    taps_connection *connection;
    bool ready;
    bool over; /* all came back, or nothing more will */
    bool closed;
    int error; /* enum taps_err of what ended it early, or 0 */
    char detail[512];
    bool boundaries;
    size_t returned; /* Messages that came back whole */
    char answers[EXCHANGE_MESSAGES][EXCHANGE_LENGTH];
    size_t filled; /* bytes of the one that is coming */
};

/* 0, or a negative error, which is in `error` and `detail` as well. */
int exchange_start(struct exchange *exchange, taps_preconnection *preconnection, unsigned timeout_ms);
/* Did every Message come back unchanged? */
bool exchange_complete(const struct exchange *exchange);
void exchange_done(struct exchange *exchange);

#endif
