/*
 * The Messages that cat, serve and bench send: the options that say how many, how large, how fast and with which
 * properties, and the Message context that comes of them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_MESSAGE_H
#define TAPS_TOOL_MESSAGE_H

#include <stddef.h>

#include <taps/taps.h>

#include "command.h"
#include "options.h"

/* The largest --size: one Message is in memory at a time. */
enum { MESSAGE_SIZE_MAX = 64 * 1024 * 1024 };

/* Rows of a command that has `messages`; ends with a row without help. */
extern const struct option_row message_rows[];

/* The Message Properties given, as a context that is owned, or NULL if there are none. DONE, or an exit code after
   having said what is wrong. */
int message_context(const struct options *options, taps_message_context **ret_context);
/* The same, and `final`: never NULL. */
int message_final_context(const struct options *options, taps_message_context **ret_context);
/* The same of a first Message that may go as early data: safelyReplayable, and `final` if so. */
int message_early_context(const struct options *options, bool final, taps_message_context **ret_context);

#endif
