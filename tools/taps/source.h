/*
 * What cat sends: Messages cut from a descriptor, or made where there is nothing to read. It never waits.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_SOURCE_H
#define TAPS_TOOL_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum source_cut {
    SOURCE_READS, /* what one read gave, at most `piece` bytes */
    SOURCE_LINES, /* a line, without its end; the last one may have none */
    SOURCE_PIECES /* exactly `piece` bytes; the last one may have less */
};

enum { SOURCE_LINE_MAX = 64 * 1024 * 1024 };

struct source {
    int fd;
    enum source_cut cut;
    size_t piece;
    uint64_t left; /* Messages; UINT64_MAX: no end */
    bool stand_in; /* Messages of `piece` bytes are made if the input is a terminal, or empty */
    bool foresee;  /* tell which Message is the last one, also of input that ends right behind it */

    bool input_end, made;
    unsigned char *bytes;
    size_t start, end, room, searched;
    uint64_t given; /* Messages */
};

/* Fill in the fields above the empty line first. 0 or ENOMEM. */
int source_init(struct source *source);
void source_done(struct source *source);
/* Only reading would give another Message. */
bool source_wants_input(const struct source *source);
/* One read. 0 or an errno: EMSGSIZE is a line longer than SOURCE_LINE_MAX. After an error the input has ended. */
int source_read(struct source *source);
/* The next Message, if it is there: borrowed until the next call. `ret_last`: nothing follows, as far as is known. */
bool source_next(struct source *source, const void **ret_data, size_t *ret_length, bool *ret_last);
/* Nothing is there, and nothing will be. */
bool source_ended(const struct source *source);
/* What was there to be read of a regular file, or UINT64_MAX. */
uint64_t source_file_size(int fd);

/* Letters and digits, over and over: what is made. */
void source_pattern(void *bytes, size_t length);

#endif
