/*
 * The establishment report for people: resolution, tree, timeline.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_TEXT_H
#define TAPS_TOOL_TEXT_H

#include <taps/taps.h>

#include "term.h"

/* Who was asked for what name, and how it went. Nothing if nothing was resolved. */
void text_resolutions(const struct term *term, const taps_report *report);
/* Every path, protocol and endpoint with its state and the reason. Without `all`, paths that were pruned are left out.
 */
void text_tree(const struct term *term, const taps_report *report, bool all);
/* Bars over time of whatever was started. Nothing if nothing was. */
void text_timeline(const struct term *term, const taps_report *report);
/* "1.2 ms", "251 ms". */
const char *text_ms(double ms, char *text, size_t size);
/* What was chosen, in one line. */
void text_chosen(const struct term *term, const taps_connection *connection);

#endif
