/*
 * The head of a request or of a response (RFC 9112, 2 to 6): where it ends, and what it says. Strict where leniency
 * lets two readers of the same bytes disagree about where a message ends: a line ends with CR LF, no white space stands
 * before a colon, a length is digits, and it is said once or always the same. Pure.
 */
#ifndef TAPSI_MESSAGE_HTTP_HEAD_H
#define TAPSI_MESSAGE_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <taps/taps.h>

/* What is wrong with what came: a static text without a full stop, and what a server answers. */
struct tapsi_http_fault {
    const char *why;
    unsigned status; /* 400, 431, 501, 505 */
};

/* One field after the other, terminated: "name\0value\0name\0value\0", names in lower case. */
struct tapsi_http_fields {
    const char *text;
    size_t length, count;
};

struct tapsi_http_head {
    const char *method, *target; /* of a request, else NULL */
    const char *reason;          /* of a response, else NULL */
    unsigned status;             /* 100 .. 999, or 0 for a request */
    unsigned minor;              /* HTTP/1.0 or HTTP/1.1: 0 or 1 */
    struct tapsi_http_fields fields;
    /* what the fields say of the message's end and of the connection's */
    bool has_length, chunked;
    uint64_t length;
    bool close, keep_alive;
    bool upgrade; /* an Upgrade, and Connection names it */
    bool expects_continue;
};

/* Can a head begin so? Also of bytes that are too few to tell. */
bool tapsi_http_head_begins(const uint8_t *data, size_t length, bool response);
/* Where the head that begins at `data` ends, with its empty line: 1 and *ret_end; 0: not in these bytes, and *scanned
   is where the next call goes on, 0 at first; TAPS_E_DEFRAMING: a line ends without CR. */
int tapsi_http_head_end(const uint8_t *data, size_t length, size_t *scanned, size_t *ret_end);
/* Reads a head of `length` bytes, as tapsi_http_head_end found it, in place: *ret_head points into `text`, which is
   overwritten. 0 or TAPS_E_DEFRAMING with *ret_fault. */
int tapsi_http_head_parse(char *text, size_t length, bool response, size_t fields_max, struct tapsi_http_head *ret_head,
                          struct tapsi_http_fault *ret_fault);
/* Trailers: lines of fields and the empty one, likewise. An obs-fold is a fault unless `folds`. */
int tapsi_http_fields_parse(char *text, size_t length, bool folds, size_t fields_max,
                            struct tapsi_http_fields *ret_fields, struct tapsi_http_fault *ret_fault);
/* The field after `*name`, which is NULL at first; false: there is none. */
bool tapsi_http_fields_next(const struct tapsi_http_fields *fields, const char **name, const char **value);
/* Content-Length: digits, or a list of the same digits. 0 or TAPS_E_RANGE. */
int tapsi_http_parse_length(const char *value, uint64_t *ret_length);

#endif
