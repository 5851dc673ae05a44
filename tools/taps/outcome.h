/*
 * What probe tells of the handshake (what it has agreed on, who the peer is), and of the race between stacks.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_OUTCOME_H
#define TAPS_TOOL_OUTCOME_H

#include <taps/taps.h>

#include "json.h"
#include "term.h"

/* The member "security": null without. `connection` may be NULL. */
void outcome_json_security(struct json *json, const taps_connection *connection);
/* Nothing without security. */
void outcome_text_security(const struct term *term, const taps_connection *connection);

/* The member "race": each stack that had a candidate with an address. `report` may be NULL. */
void outcome_json_race(struct json *json, const taps_report *report);
/* Nothing unless there were two stacks. */
void outcome_text_race(const struct term *term, const taps_report *report);

#endif
