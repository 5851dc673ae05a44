/*
 * What the output can show: colours, box drawing, how many columns. Also text that comes from the network: it is made
 * harmless here (no control characters reach a terminal) and measured in columns.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_TERM_H
#define TAPS_TOOL_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct term {
    FILE *out;
    bool colour;
    bool utf8;
    int width; /* columns, 40 .. 160 */
};

enum ink { INK_PLAIN, INK_GOOD, INK_BAD, INK_WAIT, INK_DIM, INK_HEAD };

enum glyph {
    GLYPH_BAR,
    GLYPH_BAR_WAITING,
    GLYPH_TRACK,
    GLYPH_TEE,
    GLYPH_CORNER,
    GLYPH_PIPE,
    GLYPH_LINE,
    GLYPH_GOOD,
    GLYPH_BAD,
    GLYPH_DOT,
    GLYPH_STOP,
    GLYPH_ARROW,
    GLYPH_BACK,
    GLYPH_HEAVY,
};

/* Colours only if `out` is a terminal and NO_COLOR is unset or empty; TERM=dumb has none either. */
void term_init(struct term *term, FILE *out);
/* The escape sequence, or "". */
const char *term_ink(const struct term *term, enum ink ink);
const char *term_glyph(const struct term *term, enum glyph glyph);

/* Columns the text takes. */
int term_columns(const char *text);
/* Prints the text made harmless, cut to at most `columns`. Returns the columns it took. */
int term_put(const struct term *term, const char *text, int columns);
/* The same, padded with spaces to exactly `columns`. */
void term_pad(const struct term *term, const char *text, int columns);
void term_repeat(const struct term *term, enum glyph glyph, int count);
/* A heading with a line to the edge of the terminal. */
void term_heading(const struct term *term, const char *text);
/* A heading above headings. */
void term_banner(const struct term *term, const char *text);
/* Prints words from column `column` on, continued there on the next lines, and ends the line. */
void term_wrap(const struct term *term, const char *text, int column);
/* The same; the next lines start with `margin` in plain ink, and go on in `ink`. */
void term_wrap_beside(const struct term *term, const char *text, int column, const char *margin, enum ink ink);

#endif
