/* The stack with streams that a program of tests is built with: a file for each, row_NAME.c. */
#ifndef TESTS_ROWS_H
#define TESTS_ROWS_H

#include <stdbool.h>

struct streams_row {
    const char *stack; /* as taps_connection_stack has it */
    const char *alpn;  /* NULL: it has no security */
    bool reused;       /* the end of a stream makes room for another at once */
};

extern const struct streams_row streams_row;

#endif
