/*
 * What goes to standard error: what is wrong, and under it a hint what to do.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_COMPLAIN_H
#define TAPS_TOOL_COMPLAIN_H

#include <stdbool.h>

#include <taps/taps.h>

#include "command.h"

/* Whose errors these are from now on: "cat" makes "taps cat: ...". Borrowed. */
void complain_as(const char *command);
/* The cursor is in a line that shows how far something is: the next complaint takes its place. */
void complain_over_line(bool there);
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
void complain_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends in a hint where the command's help is. Returns USAGE. */
int complain_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "cannot `what`: detail", and a hint that fits the error. Returns FAILED. */
int complain_error(const char *what, const struct taps_error *error);
/* The same where there is only a code. */
int complain_code(const char *what, int code);
/* Flushes standard output. DONE, or FAILED after having said why; a reader that went away needs no words. */
int finish_output(void);

/* For the context: messages of the library at standard error. */
void complain_log(void *user, enum taps_log_level level, const char *text);

#endif
