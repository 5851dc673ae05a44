#include "message/http_body.h"

#include "message/http_text.h"

enum tapsi_http_body tapsi_http_body_of(const struct tapsi_http_head *head, bool no_body)
{
    if (head->status && (no_body || head->status < 200 || head->status == 204 || head->status == 304))
        return TAPSI_HTTP_NO_BODY;
    if (head->chunked)
        return TAPSI_HTTP_CHUNKED;
    if (head->has_length)
        return TAPSI_HTTP_LENGTH;
    return head->status ? TAPSI_HTTP_UNTIL_CLOSE : TAPSI_HTTP_NO_BODY;
}

static int fault(struct tapsi_http_fault *ret_fault, const char *why)
{
    *ret_fault = (struct tapsi_http_fault){why, 400};
    return TAPS_E_DEFRAMING;
}

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind the digits: CR LF, or white space and extensions up to it; the extensions mean nothing here. */
static int parse_line_end(const uint8_t *data, size_t length, size_t at, size_t *ret_line,
                          struct tapsi_http_fault *ret_fault)
{
    size_t extensions = at;
    while (at < length && (data[at] == ' ' || data[at] == '\t'))
        at++;
    if (at < length && data[at] == ';')
        at += tapsi_http_span((const char *)data + at, length - at, TAPSI_HTTP_VALUE);
    else if (at < length && (data[at] != '\r' || at > extensions))
        return fault(ret_fault, "a character behind a chunk's size that may not be there");
    if (at < length && data[at] != '\r')
        return fault(ret_fault, "a control character in a chunk's extension");
    if (length >= at + 2 && data[at + 1] != '\n')
        return fault(ret_fault, "a CR without LF behind a chunk's size");
    if (length >= at + 2) {
        *ret_line = at + 2;
        return 1;
    }
    return length < TAPSI_HTTP_CHUNK_LINE_MAX ? 0 : fault(ret_fault, "a chunk's extensions are too long");
}

int tapsi_http_chunk_parse(const uint8_t *data, size_t length, uint64_t *ret_size, size_t *ret_line,
                           struct tapsi_http_fault *ret_fault)
{
    uint64_t size = 0;
    size_t at = 0, line;
    if (length > TAPSI_HTTP_CHUNK_LINE_MAX)
        length = TAPSI_HTTP_CHUNK_LINE_MAX;
    for (; at < length && digit_of(data[at]) >= 0; at++) {
        if (size > (uint64_t)INT64_MAX >> 4)
            return fault(ret_fault, "a chunk's size of 2^63 or more");
        size = size << 4 | (uint64_t)digit_of(data[at]);
    }
    if (at == 0 && length)
        return fault(ret_fault, "a chunk without a size");
    int known = parse_line_end(data, length, at, &line, ret_fault);
    if (known == 1) {
        *ret_size = size;
        *ret_line = line;
    }
    return known;
}

size_t tapsi_http_chunk_write(char to[18], uint64_t size)
{
    size_t digits = 1, length;
    while (digits < 16 && size >> (4 * digits))
        digits++;
    for (length = digits; length > 0; length--, size >>= 4)
        to[length - 1] = "0123456789abcdef"[size & 15];
    to[digits] = '\r';
    to[digits + 1] = '\n';
    return digits + 2;
}
