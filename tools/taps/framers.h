/*
 * --framer: Message Framers by name and options, in the order given; the last one is the outermost.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_FRAMERS_H
#define TAPS_TOOL_FRAMERS_H

#include <stdbool.h>

#include <taps/taps.h>

#include "options.h"

/* These return DONE, or an exit code after having said what is wrong, and what there is. */
int framers_add(const struct options *options, taps_preconnection *preconnection);
/* Does the protocol of one of them take the end of one direction for the end of both? */
bool framers_end_both(const struct options *options);
/* --metadata [FRAMER/]KEY=VALUE on a Message: for the outermost Framer, or the one named. */
int framers_add_metadata(const struct options *options, taps_message_context *context);

#endif
