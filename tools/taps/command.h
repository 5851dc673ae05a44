/*
 * What a subcommand is. Each lives in a file of its own and is one row of the table in main.c; its help is made from
 * this struct and its options, so that help and behaviour cannot drift apart.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_COMMAND_H
#define TAPS_TOOL_COMMAND_H

#include <stdbool.h>

/* The exit codes of the program. */
enum { DONE = 0, FAILED = 1, USAGE = 2 };

struct option_row {
    char letter;       /* 0: none */
    const char *name;  /* without the dashes; NULL: none */
    const char *value; /* what it takes, for the help; NULL: nothing */
    const char *help;
    /* `target` is the struct options for common rows and those of Messages, the command's own struct for its own rows.
       `value` stays valid as long as argv. DONE, or USAGE after having said what is wrong. */
    int (*take)(void *target, const char *value);
};

struct command {
    const char *name;
    const char *arguments;                                            /* "HOST:PORT", for the help */
    const char *summary;                                              /* one line */
    const char *description;                                          /* paragraphs and examples, ends with a newline */
    const struct option_row *options;                                 /* ends with a row without help; may be NULL */
    bool common;                                                      /* takes the common options */
    bool messages;                                                    /* and those of Messages: message.h */
    int (*run)(const struct command *command, int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command bench_command;
extern const struct command cat_command;
extern const struct command demo_command;
extern const struct command probe_command;
extern const struct command serve_command;

#endif
