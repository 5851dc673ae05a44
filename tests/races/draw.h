/* Draws a script from a number. The same number gives the same text with every compiler and on every machine. */
#ifndef TESTS_RACES_DRAW_H
#define TESTS_RACES_DRAW_H

#include "script.h"

enum draw_kind {
    DRAW_CALM,  /* nothing changes and no chance plays: the reference knows every attempt */
    DRAW_ROUGH, /* losses, changes, failing calls and memory, and an application that ends things at any time */
    DRAW_TLS,   /* either, with security */
    DRAW_KINDS
};

extern const char *const draw_kind_names[DRAW_KINDS]; /* "calm", "rough", "tls" */

/* False: the draw itself is wrong; script->problem says how. */
bool draw(enum draw_kind kind, uint64_t seed, struct script *ret);

#endif
