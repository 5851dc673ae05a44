/* As much of HTTP/3 (RFC 9114) as a GET needs: frames, and header blocks without compression of their own (RFC 9204).
 */
#ifndef EXAMPLE_H3_H
#define EXAMPLE_H3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <taps/taps.h>

#define H3_HEAD_MAX 2048 /* of one request's or response's header block */

enum { H3_DATA = 0, H3_HEADERS = 1, H3_SETTINGS = 4 };

/* Reads the frames of one stream as its bytes come. */
struct h3_frames {
    uint8_t head[16]; /* type and length, until both are there */
    unsigned head_length;
    uint64_t type, rest; /* of the frame we are in */
    bool inside;
};

/* Takes bytes from *data; the next piece of a frame's payload, or NULL when all is taken. */
const uint8_t *h3_next(struct h3_frames *frames, const uint8_t **data, size_t *length, size_t *ret_length);

/* A frame's type and length; returns how many bytes were written, at most 9. */
size_t h3_frame(uint8_t *to, uint64_t type, uint64_t length);
/* A whole HEADERS frame: a GET, or a response; 0 = it does not fit. */
size_t h3_request(uint8_t *to, size_t size, const char *authority, const char *path);
size_t h3_response(uint8_t *to, size_t size, const char *type, uint64_t length);

/* Each side has to open its control stream, a unidirectional one, and may never end it. */
int h3_open_control(taps_connection *connection, taps_connection **ret_control);

#endif
