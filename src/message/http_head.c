#include "message/http_head.h"

#include <string.h>
#include "base/str.h"
#include "message/http_text.h"

static int fault(struct tapsi_http_fault *ret_fault, unsigned status, const char *why)
{
    *ret_fault = (struct tapsi_http_fault){why, status};
    return TAPS_E_DEFRAMING;
}

bool tapsi_http_head_begins(const uint8_t *data, size_t length, bool response)
{
    static const char version[] = "HTTP/1.";
    size_t known = sizeof(version) - 1;
    if (!response)
        return length == 0 || tapsi_http_span((const char *)data, 1, TAPSI_HTTP_TOKEN) == 1;
    return memcmp(data, version, length < known ? length : known) == 0;
}

int tapsi_http_head_end(const uint8_t *data, size_t length, size_t *scanned, size_t *ret_end)
{
    while (*scanned < length) {
        const uint8_t *found = memchr(data + *scanned, '\n', length - *scanned);
        if (!found) {
            *scanned = length;
            return 0;
        }
        size_t at = (size_t)(found - data);
        if (at == 0 || data[at - 1] != '\r')
            return TAPS_E_DEFRAMING;
        *scanned = at + 1;
        if (at == 1 || data[at - 2] == '\n') {
            *ret_end = at + 1;
            return 1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ lines of fields */

/* What is left to be read, and where the terminated words are written: never behind what was read, since a name loses
   its colon and a value its CR and LF. */
struct lines {
    char *at, *end, *to;
    bool folds;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The length of the line at `at` without its CR LF; every line has them here. */
static size_t line_length(const struct lines *lines)
{
    const char *end = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    return (size_t)(end - lines->at) - 1;
}

static int take_name(struct lines *lines, size_t line, struct tapsi_http_fault *ret_fault)
{
    size_t length = tapsi_http_span(lines->at, line, TAPSI_HTTP_TOKEN);
    if (length == line)
        return fault(ret_fault, 400, "a line without a colon among the fields");
    if (is_blank(lines->at[length]))
        return fault(ret_fault, 400,
                     length == 0 ? "a folded line, where none may be"
                                 : "white space between a field's name and its colon");
    if (lines->at[length] != ':')
        return fault(ret_fault, 400, "a character in a field's name that none may have");
    if (length == 0)
        return fault(ret_fault, 400, "a field without a name");
    for (size_t i = 0; i < length; i++) {
        char c = lines->at[i];
        *lines->to++ = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    *lines->to++ = '\0';
    lines->at += length + 1;
    return 0;
}

/* The rest of one line, without white space around it. */
static int take_value_line(struct lines *lines, struct tapsi_http_fault *ret_fault)
{
    size_t length = line_length(lines);
    char *text = lines->at;
    if (tapsi_http_span(text, length, TAPSI_HTTP_VALUE) != length)
        return fault(ret_fault, 400, "a control character in a field's value");
    lines->at += length + 2;
    while (length && is_blank(text[length - 1]))
        length--;
    while (length && is_blank(*text)) {
        text++;
        length--;
    }
    memmove(lines->to, text, length);
    lines->to += length;
    return 0;
}

static int take_value(struct lines *lines, struct tapsi_http_fault *ret_fault)
{
    int err = take_value_line(lines, ret_fault);
    while (!err && lines->folds && lines->at < lines->end && is_blank(*lines->at)) {
        *lines->to++ = ' ';
        err = take_value_line(lines, ret_fault);
    }
    *lines->to++ = '\0';
    return err;
}

static int take_fields(struct lines *lines, size_t fields_max, struct tapsi_http_fields *ret_fields,
                       struct tapsi_http_fault *ret_fault)
{
    struct tapsi_http_fields fields = {.text = lines->to};
    while (lines->end - lines->at > 2) {
        if (fields.count++ == fields_max)
            return fault(ret_fault, 431, "more fields than are allowed");
        int err = take_name(lines, line_length(lines), ret_fault);
        if (!err)
            err = take_value(lines, ret_fault);
        if (err)
            return err;
    }
    fields.length = (size_t)(lines->to - fields.text);
    *ret_fields = fields;
    return 0;
}

int tapsi_http_fields_parse(char *text, size_t length, bool folds, size_t fields_max,
                            struct tapsi_http_fields *ret_fields, struct tapsi_http_fault *ret_fault)
{
    struct lines lines = {text, text + length, text, folds};
    return take_fields(&lines, fields_max, ret_fields, ret_fault);
}

bool tapsi_http_fields_next(const struct tapsi_http_fields *fields, const char **name, const char **value)
{
    const char *next = *name ? *value + strlen(*value) + 1 : fields->text;
    if (fields->count == 0 || next == fields->text + fields->length)
        return false;
    *name = next;
    *value = next + strlen(next) + 1;
    return true;
}

/* --------------------------------------------------------------------------------------------------- first lines */

/* "HTTP/1.1" of 8 bytes. A higher minor version is spoken to as 1.1 (RFC 9110, 2.5). */
static int take_version(const char *text, unsigned *ret_minor, struct tapsi_http_fault *ret_fault)
{
    if (memcmp(text, "HTTP/", 5) != 0 || text[5] < '0' || text[5] > '9' || text[6] != '.' || text[7] < '0' ||
        text[7] > '9')
        return fault(ret_fault, 400, "a first line that is none of HTTP/1");
    if (text[5] != '1')
        return fault(ret_fault, 505, "a version of HTTP that is not 1");
    *ret_minor = text[7] == '0' ? 0 : 1;
    return 0;
}

/* "GET /path HTTP/1.1". */
static int take_request_line(char *line, size_t length, struct tapsi_http_head *head,
                             struct tapsi_http_fault *ret_fault)
{
    size_t method = tapsi_http_span(line, length, TAPSI_HTTP_TOKEN);
    if (method == 0 || method == length || line[method] != ' ')
        return fault(ret_fault, 400, "a request that does not begin with a method");
    char *target = line + method + 1;
    size_t rest = length - method - 1, target_length = tapsi_http_span(target, rest, TAPSI_HTTP_TARGET);
    if (target_length == 0 || rest != target_length + 9 || target[target_length] != ' ')
        return fault(ret_fault, 400, "a request line that is not a method, a target and a version");
    line[method] = '\0';
    target[target_length] = '\0';
    head->method = line;
    head->target = target;
    return take_version(target + target_length + 1, &head->minor, ret_fault);
}

/* "HTTP/1.1 200 OK"; some servers leave out the reason with its space. */
static int take_status_line(char *line, size_t length, struct tapsi_http_head *head, struct tapsi_http_fault *ret_fault)
{
    if (length < 12 || line[8] != ' ' || line[9] < '1' || line[9] > '9' || line[10] < '0' || line[10] > '9' ||
        line[11] < '0' || line[11] > '9' || (length > 12 && line[12] != ' '))
        return fault(ret_fault, 400, "a status line that is not a version, a status and a reason");
    if (tapsi_http_span(line + 12, length - 12, TAPSI_HTTP_VALUE) != length - 12)
        return fault(ret_fault, 400, "a control character in a reason");
    head->status = (unsigned)(line[9] - '0') * 100 + (unsigned)(line[10] - '0') * 10 + (unsigned)(line[11] - '0');
    line[length] = '\0';
    head->reason = line + (length > 12 ? 13 : 12);
    return take_version(line, &head->minor, ret_fault);
}

/* ------------------------------------------------------------------------------------------- what the fields say */

int tapsi_http_parse_length(const char *value, uint64_t *ret_length)
{
    const char *element;
    size_t length;
    bool found = false;
    uint64_t first = 0, number;
    while (tapsi_http_list_next(&value, &element, &length)) {
        char digits[20];
        if (length >= sizeof(digits))
            return TAPS_E_RANGE;
        memcpy(digits, element, length);
        digits[length] = '\0';
        if (tapsi_parse_uint(digits, INT64_MAX, &number) != 0 || (found && number != first))
            return TAPS_E_RANGE;
        found = true;
        first = number;
    }
    if (!found)
        return TAPS_E_RANGE;
    *ret_length = first;
    return 0;
}

struct seen {
    unsigned hosts;
    bool upgrade, names_upgrade;
};

static int note_length(struct tapsi_http_head *head, const char *value, struct tapsi_http_fault *ret_fault)
{
    uint64_t length;
    if (tapsi_http_parse_length(value, &length) != 0)
        return fault(ret_fault, 400, "a Content-Length that is not one number below 2^63");
    if (head->has_length && head->length != length)
        return fault(ret_fault, 400, "several Content-Lengths that differ");
    head->has_length = true;
    head->length = length;
    return 0;
}

/* "chunked" twice, or behind or before another coding, is one that is not known here. */
static int note_coding(struct tapsi_http_head *head, const char *value, struct tapsi_http_fault *ret_fault)
{
    if (!tapsi_text_equal(value, "chunked") || head->chunked)
        return fault(ret_fault, 501, "a Transfer-Encoding that is not just \"chunked\"");
    head->chunked = true;
    return 0;
}

static int note_field(struct tapsi_http_head *head, struct seen *seen, const char *name, const char *value,
                      struct tapsi_http_fault *ret_fault)
{
    if (strcmp(name, "content-length") == 0)
        return note_length(head, value, ret_fault);
    if (strcmp(name, "transfer-encoding") == 0)
        return note_coding(head, value, ret_fault);
    if (strcmp(name, "connection") == 0) {
        head->close |= tapsi_http_list_has(value, "close");
        head->keep_alive |= tapsi_http_list_has(value, "keep-alive");
        seen->names_upgrade |= tapsi_http_list_has(value, "upgrade");
    } else if (strcmp(name, "upgrade") == 0) {
        seen->upgrade = true;
    } else if (strcmp(name, "expect") == 0) {
        head->expects_continue |= tapsi_http_list_has(value, "100-continue");
    } else if (strcmp(name, "host") == 0 && head->method) {
        if (seen->hosts++)
            return fault(ret_fault, 400, "more than one Host");
        if (!tapsi_http_is(value, TAPSI_HTTP_HOST))
            return fault(ret_fault, 400, "a Host that is no name and no address");
    }
    return 0;
}

/* RFC 9112, 6.1 and 6.3: both a length and a coding, or a coding of HTTP/1.0, is what an attacker sends whose aim is
   that another reader sees another end. */
static int note_fields(struct tapsi_http_head *head, struct tapsi_http_fault *ret_fault)
{
    struct seen seen = {0};
    const char *name = NULL, *value = NULL;
    while (tapsi_http_fields_next(&head->fields, &name, &value)) {
        int err = note_field(head, &seen, name, value, ret_fault);
        if (err)
            return err;
    }
    if (head->chunked && head->has_length)
        return fault(ret_fault, 400, "both a Content-Length and a Transfer-Encoding");
    if (head->chunked && head->minor == 0)
        return fault(ret_fault, 400, "a Transfer-Encoding in HTTP/1.0");
    if (head->method && head->minor > 0 && seen.hosts == 0)
        return fault(ret_fault, 400, "a request without a Host");
    head->upgrade = seen.upgrade && seen.names_upgrade && head->minor > 0;
    head->expects_continue = head->expects_continue && head->minor > 0;
    return 0;
}

int tapsi_http_head_parse(char *text, size_t length, bool response, size_t fields_max, struct tapsi_http_head *ret_head,
                          struct tapsi_http_fault *ret_fault)
{
    struct tapsi_http_head head = {0};
    struct lines lines = {text, text + length, text, response};
    size_t first = line_length(&lines);
    int err =
        response ? take_status_line(text, first, &head, ret_fault) : take_request_line(text, first, &head, ret_fault);
    if (err)
        return err;
    lines.at += first + 2;
    lines.to = lines.at;
    if (lines.end - lines.at > 2 && is_blank(*lines.at))
        return fault(ret_fault, 400, "white space before the first field");
    err = take_fields(&lines, fields_max, &head.fields, ret_fault);
    if (!err)
        err = note_fields(&head, ret_fault);
    if (!err)
        *ret_head = head;
    return err;
}
