/* The body behind a head: where it ends (RFC 9112, 6.3), and the lines of chunks (7.1). Pure. */
#ifndef TAPSI_MESSAGE_HTTP_BODY_H
#define TAPSI_MESSAGE_HTTP_BODY_H

#include "message/http_head.h"

enum tapsi_http_body {
    TAPSI_HTTP_NO_BODY,
    TAPSI_HTTP_LENGTH,      /* as many bytes as Content-Length says */
    TAPSI_HTTP_CHUNKED,     /* up to a chunk of length 0, and trailers */
    TAPSI_HTTP_UNTIL_CLOSE, /* up to the end of the direction */
};

/* `no_body`: the request that a response answers was HEAD. */
enum tapsi_http_body tapsi_http_body_of(const struct tapsi_http_head *head, bool no_body);

/* The line before a chunk, its CR LF included, at most; what is longer is an attack with extensions. */
#define TAPSI_HTTP_CHUNK_LINE_MAX ((size_t)256)
/* 1: the line has *ret_line bytes, and the chunk *ret_size, below 2^63. 0: it is not all here. Negative: *ret_fault. */
int tapsi_http_chunk_parse(const uint8_t *data, size_t length, uint64_t *ret_size, size_t *ret_line,
                           struct tapsi_http_fault *ret_fault);
/* Writes "1f40\r\n": returns how many of the 18 bytes it took. */
size_t tapsi_http_chunk_write(char to[18], uint64_t size);

#endif
