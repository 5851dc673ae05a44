/* The characters of HTTP (RFC 9110, 5.6 and RFC 9112, 2.2), and lists with commas. Bytes of whoever sent them. */
#ifndef TAPSI_MESSAGE_HTTP_TEXT_H
#define TAPSI_MESSAGE_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum tapsi_http_class {
    TAPSI_HTTP_TOKEN = 1,  /* of methods and field names */
    TAPSI_HTTP_VALUE = 2,  /* of field values and reasons: all but controls, tab excepted */
    TAPSI_HTTP_TARGET = 4, /* of a request's target: what shows, and bytes over 127 */
    TAPSI_HTTP_HOST = 8,   /* of Host: a name or an address and a port, without a comma */
};

/* How many bytes from `text` on are all of that class; at most `length`. */
size_t tapsi_http_span(const char *text, size_t length, enum tapsi_http_class of);
/* Is the whole text, terminated, of that class? An empty one is. */
bool tapsi_http_is(const char *text, enum tapsi_http_class of);
/* The next element of a list with commas, without white space around; empty ones are passed over. false: no more. */
bool tapsi_http_list_next(const char **list, const char **ret_element, size_t *ret_length);
/* Is `word` an element of the list? Case does not matter. */
bool tapsi_http_list_has(const char *list, const char *word);

#endif
