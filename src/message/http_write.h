/* Writes heads into memory, or learns how much they need. */
#ifndef TAPSI_MESSAGE_HTTP_WRITE_H
#define TAPSI_MESSAGE_HTTP_WRITE_H

#include <stddef.h>
#include <stdint.h>

struct tapsi_http_writer {
    char *to;
    size_t size;
    size_t length; /* what all of it needs; over `size`, not all of it was written */
};

void tapsi_http_write(struct tapsi_http_writer *w, const char *text);
void tapsi_http_write_number(struct tapsi_http_writer *w, uint64_t number);
/* "name: value\r\n" */
void tapsi_http_write_field(struct tapsi_http_writer *w, const char *name, const char *value);
/* "Host: name:port\r\n"; an IPv6 address gets brackets and loses its zone; port 0 is not told. */
void tapsi_http_write_host(struct tapsi_http_writer *w, const char *host, uint16_t port);
/* "Not Found" of 404: static; "" where RFC 9110 and its registry have none. */
const char *tapsi_http_reason(unsigned status);

#endif
