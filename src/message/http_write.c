#include "message/http_write.h"

#include <string.h>
#include "base/str.h"

static void write_bytes(struct tapsi_http_writer *w, const char *bytes, size_t length)
{
    if (w->length + length <= w->size)
        memcpy(w->to + w->length, bytes, length);
    w->length += length;
}

void tapsi_http_write(struct tapsi_http_writer *w, const char *text)
{
    write_bytes(w, text, strlen(text));
}

void tapsi_http_write_number(struct tapsi_http_writer *w, uint64_t number)
{
    char digits[24];
    write_bytes(w, digits, tapsi_format(digits, sizeof(digits), "%llu", (unsigned long long)number));
}

void tapsi_http_write_field(struct tapsi_http_writer *w, const char *name, const char *value)
{
    tapsi_http_write(w, name);
    tapsi_http_write(w, ": ");
    tapsi_http_write(w, value);
    tapsi_http_write(w, "\r\n");
}

void tapsi_http_write_host(struct tapsi_http_writer *w, const char *host, uint16_t port)
{
    tapsi_http_write(w, "Host: ");
    if (strchr(host, ':') && host[0] != '[') {
        tapsi_http_write(w, "[");
        write_bytes(w, host, strcspn(host, "%"));
        tapsi_http_write(w, "]");
    } else {
        tapsi_http_write(w, host);
    }
    if (port) {
        tapsi_http_write(w, ":");
        tapsi_http_write_number(w, port);
    }
    tapsi_http_write(w, "\r\n");
}

static const struct {
    unsigned status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

const char *tapsi_http_reason(unsigned status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "";
}
