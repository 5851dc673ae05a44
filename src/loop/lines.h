/* Lines and fields of the system's text files (hosts, services, resolv.conf): no copies, no allocation. */
#ifndef TAPSI_LOOP_LINES_H
#define TAPSI_LOOP_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* Text that is not terminated. */
struct tapsi_span {
    const char *at;
    size_t length;
};

/* Takes the first line off `text`; it has no line end. False at the end. */
bool tapsi_lines_next(struct tapsi_span *text, struct tapsi_span *ret_line);
/* Takes the first field, bounded by white space, off `line`. False when there is none. */
bool tapsi_lines_field(struct tapsi_span *line, struct tapsi_span *ret_field);
/* Cuts `line` before the first `mark` (a comment). */
void tapsi_lines_cut(struct tapsi_span *line, char mark);
/* ASCII, without regard to case. */
bool tapsi_span_is(struct tapsi_span span, const char *text);
/* Copies, terminated; false if it does not fit or is empty. */
bool tapsi_span_copy(struct tapsi_span span, char *to, size_t size);

#endif
