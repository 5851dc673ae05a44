#include "message/ws_handshake.h"
#include <taps/taps.h>
#include "base/sha1.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static struct tapsi_ws_span span_of(const char *text)
{
    return (struct tapsi_ws_span){text, strlen(text)};
}

int tapsi_ws_accept(struct tapsi_ws_span key, char ret_text[TAPSI_WS_ACCEPT_SIZE])
{
    char both[TAPSI_WS_KEY_SIZE + sizeof(GUID)];
    uint8_t digest[TAPSI_SHA1_SIZE];
    size_t length = tapsi_format(both, sizeof(both), "%.*s" GUID, (int)key.length, key.at);
    int err = tapsi_sha1(both, length, digest);
    if (!err)
        tapsi_base64(digest, sizeof(digest), ret_text);
    return err;
}

/* ------------------------------------------------------------------------------------------------ lines of a head */

size_t tapsi_ws_head_end(const char *bytes, size_t length, size_t *scanned)
{
    size_t from = *scanned < 3 ? 0 : *scanned - 3;
    const char *end = memmem(bytes + from, length - from, "\r\n\r\n", 4);
    *scanned = length;
    return end ? (size_t)(end - bytes) + 4 : 0;
}

/* Up to the next CRLF, which is taken too; false if there is none. */
static bool take_line(struct tapsi_ws_span *rest, struct tapsi_ws_span *ret)
{
    const char *end = memmem(rest->at, rest->length, "\r\n", 2);
    if (!end)
        return false;
    *ret = (struct tapsi_ws_span){rest->at, (size_t)(end - rest->at)};
    rest->at += ret->length + 2;
    rest->length -= ret->length + 2;
    return true;
}

static bool is_text(struct tapsi_ws_span value)
{
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static void trim(struct tapsi_ws_span *value)
{
    tapsi_ws_skip_spaces(value);
    while (value->length && (value->at[value->length - 1] == ' ' || value->at[value->length - 1] == '\t'))
        value->length--;
}

bool tapsi_ws_field_next(struct tapsi_ws_span *rest, struct tapsi_ws_span *ret_name, struct tapsi_ws_span *ret_value)
{
    struct tapsi_ws_span after = *rest, line;
    if (!take_line(&after, &line) || line.length == 0)
        return false;
    ret_name->at = line.at;
    ret_name->length = 0;
    while (line.length && tapsi_ws_is_token(*line.at)) {
        line.at++;
        line.length--;
        ret_name->length++;
    }
    if (ret_name->length == 0 || !line.length || *line.at != ':')
        return false;
    *ret_value = (struct tapsi_ws_span){line.at + 1, line.length - 1};
    trim(ret_value);
    if (!is_text(*ret_value))
        return false;
    *rest = after;
    return true;
}

/* ------------------------------------------------------------------------------------- the fields of both roles */

enum once { HOST, KEY, VERSION, ACCEPT, ORIGIN, ONCE };

static const char *const once_names[ONCE] = {
    [HOST] = "Host",
    [KEY] = "Sec-WebSocket-Key",
    [VERSION] = "Sec-WebSocket-Version",
    [ACCEPT] = "Sec-WebSocket-Accept",
    [ORIGIN] = "Origin",
};

struct fields {
    struct tapsi_ws_span once[ONCE]; /* `at` NULL: not there */
    bool upgrade, connection;
    bool broken, twice; /* no header field; one that may be there once only is there again */
};

static void note(struct fields *f, struct tapsi_ws_span name, struct tapsi_ws_span value)
{
    if (tapsi_ws_span_is(name, "Upgrade"))
        f->upgrade |= tapsi_ws_list_has(value, span_of("websocket"), false);
    if (tapsi_ws_span_is(name, "Connection"))
        f->connection |= tapsi_ws_list_has(value, span_of("upgrade"), false);
    for (size_t i = 0; i < ONCE; i++) {
        if (!tapsi_ws_span_is(name, once_names[i]))
            continue;
        f->twice |= f->once[i].at != NULL;
        f->once[i] = value;
    }
}

static void read_fields(struct tapsi_ws_span rest, struct fields *ret)
{
    struct tapsi_ws_span name, value;
    *ret = (struct fields){0};
    while (tapsi_ws_field_next(&rest, &name, &value))
        note(ret, name, value);
    ret->broken = rest.length != 2; /* the empty line */
}

static bool next_word(const char **text, struct tapsi_ws_span *ret)
{
    *text += strspn(*text, " ");
    *ret = (struct tapsi_ws_span){*text, strcspn(*text, " ")};
    *text += ret->length;
    return ret->length > 0;
}

/* ----------------------------------------------------------------------------------------------------- the client */

size_t tapsi_ws_request_write(const struct tapsi_ws_wishes *wishes, const char *key, char *to)
{
    char offer[TAPSI_WS_EXTENSION_TEXT] = "";
    struct tapsi_ws_span word;
    const char *protocols = wishes->protocols, *separator = "Sec-WebSocket-Protocol: ";
    size_t size = TAPSI_WS_WRITE_LIMIT, at = 0;
    at += tapsi_format(to, size,
                       "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
                       wishes->path ? wishes->path : "/", wishes->host, key);
    if (wishes->origin)
        at += tapsi_format(to + at, size - at, "Origin: %s\r\n", wishes->origin);
    for (; next_word(&protocols, &word); separator = ", ")
        at += tapsi_format(to + at, size - at, "%s%.*s", separator, (int)word.length, word.at);
    at += tapsi_format(to + at, size - at, "%s", *separator == ',' ? "\r\n" : "");
    if (wishes->deflate) {
        tapsi_ws_offer_write(&wishes->wants, offer, sizeof(offer));
        at += tapsi_format(to + at, size - at, "Sec-WebSocket-Extensions: %s\r\n", offer);
    }
    return at + tapsi_format(to + at, size - at, "%s\r\n", wishes->fields ? wishes->fields : "");
}

/* "HTTP/1.1 101 Switching Protocols": false if it is no such line. */
static bool read_status(struct tapsi_ws_span line, struct tapsi_ws_upgrade *ret)
{
    if (line.length < 12 || memcmp(line.at, "HTTP/1.", 7) != 0 || line.at[8] != ' ' || !is_text(line))
        return false;
    for (size_t i = 9; i < 12; i++) {
        if (line.at[i] < '0' || line.at[i] > '9')
            return false;
        ret->status = ret->status * 10 + (unsigned)(line.at[i] - '0');
    }
    ret->reason = (struct tapsi_ws_span){line.at + 12, line.length - 12};
    trim(&ret->reason);
    return line.length == 12 || line.at[12] == ' ';
}

/* The subprotocol and the extension that the server names must be among those it was asked for. */
static const char *read_choice(struct tapsi_ws_span name, struct tapsi_ws_span value,
                               const struct tapsi_ws_wishes *wishes, struct tapsi_ws_upgrade *ret)
{
    if (tapsi_ws_span_is(name, "Sec-WebSocket-Protocol")) {
        const char *rest = wishes->protocols;
        struct tapsi_ws_span word;
        if (ret->protocol.length)
            return "it names two subprotocols";
        while (next_word(&rest, &word)) {
            if (word.length == value.length && memcmp(word.at, value.at, word.length) == 0)
                ret->protocol = value;
        }
        return ret->protocol.length ? NULL : "it names a subprotocol that was not asked for";
    }
    if (!tapsi_ws_span_is(name, "Sec-WebSocket-Extensions"))
        return NULL;
    if (!wishes->deflate || ret->deflate)
        return "it names an extension that was not offered";
    ret->deflate = true;
    return tapsi_ws_agreement_read(value.at, value.length, &wishes->wants, &ret->agreed);
}

static const char *check_response(const struct fields *f, const char *key)
{
    char accept[TAPSI_WS_ACCEPT_SIZE];
    if (f->broken)
        return "a line of it is no header field";
    if (f->twice)
        return "a header field is there twice";
    if (!f->upgrade)
        return "it has no Upgrade: websocket";
    if (!f->connection)
        return "it has no Connection: Upgrade";
    if (tapsi_ws_accept(span_of(key), accept))
        return "there is no SHA-1 to check it with";
    if (!f->once[ACCEPT].at || f->once[ACCEPT].length != strlen(accept) ||
        memcmp(f->once[ACCEPT].at, accept, strlen(accept)) != 0)
        return "its Sec-WebSocket-Accept does not answer the key";
    return NULL;
}

void tapsi_ws_response_read(const char *head, size_t length, const struct tapsi_ws_wishes *wishes, const char *key,
                            struct tapsi_ws_upgrade *ret)
{
    struct tapsi_ws_span rest = {head, length}, line, name, value;
    struct fields f;
    *ret = (struct tapsi_ws_upgrade){0};
    if (!take_line(&rest, &line) || !read_status(line, ret)) {
        ret->wrong = "it is not HTTP";
        return;
    }
    ret->fields = rest;
    if (ret->status != 101)
        return;
    read_fields(rest, &f);
    ret->wrong = check_response(&f, key);
    while (!ret->wrong && tapsi_ws_field_next(&rest, &name, &value))
        ret->wrong = read_choice(name, value, wishes, ret);
}

/* ----------------------------------------------------------------------------------------------------- the server */

/* "GET /chat HTTP/1.1"; a target may also be a whole URI, of which the path counts. */
static bool read_target(struct tapsi_ws_span line, struct tapsi_ws_upgrade *ret)
{
    const char *end = line.at + line.length;
    const char *target = memchr(line.at, ' ', line.length);
    const char *version = memrchr(line.at, ' ', line.length);
    if (!target || version == target || end - version != 9 || memcmp(version, " HTTP/1.", 8) != 0)
        return false;
    ret->path = (struct tapsi_ws_span){target + 1, (size_t)(version - target - 1)};
    if (ret->path.length && *ret->path.at != '/') {
        const char *host = memmem(ret->path.at, ret->path.length, "://", 3);
        const char *path = host ? memchr(host + 3, '/', (size_t)(version - host - 3)) : NULL;
        ret->path = (struct tapsi_ws_span){path, path ? (size_t)(version - path) : 0};
    }
    for (size_t i = 0; i < ret->path.length; i++) {
        if (ret->path.at[i] <= ' ' || ret->path.at[i] == 0x7f)
            return false;
    }
    return ret->path.length > 0;
}

static bool path_is(struct tapsi_ws_span path, const char *only)
{
    const char *query = memchr(path.at, '?', path.length);
    size_t length = query && !strchr(only, '?') ? (size_t)(query - path.at) : path.length;
    return length == strlen(only) && memcmp(path.at, only, length) == 0;
}

static void refuse(struct tapsi_ws_upgrade *u, unsigned status, const char *wrong)
{
    if (!u->wrong) {
        u->status = status;
        u->wrong = wrong;
    }
}

static void check_request(const struct fields *f, const struct tapsi_ws_wishes *wishes, struct tapsi_ws_upgrade *u)
{
    const struct tapsi_ws_span *origin = &f->once[ORIGIN];
    if (f->broken)
        refuse(u, 400, "a line of the request is no header field");
    if (f->twice)
        refuse(u, 400, "a header field of the request is there twice");
    if (!f->once[HOST].at)
        refuse(u, 400, "the request has no Host");
    if (!f->upgrade || !f->connection)
        refuse(u, 426, "the request is not one for WebSocket");
    if (!f->once[VERSION].at || !tapsi_ws_span_is(f->once[VERSION], "13"))
        refuse(u, 426, "the request is for another version of WebSocket than 13");
    if (!f->once[KEY].at || !tapsi_is_base64(f->once[KEY].at, f->once[KEY].length, TAPSI_WS_NONCE_SIZE))
        refuse(u, 400, "the request has no valid Sec-WebSocket-Key");
    if (wishes->path && !path_is(u->path, wishes->path))
        refuse(u, 404, "the request is for another path");
    if (wishes->origin && (!origin->at || !tapsi_ws_span_is(*origin, wishes->origin)))
        refuse(u, 403, "the request comes from another origin");
}

/* The first of our subprotocols that the client knows too. */
static void choose_protocol(struct tapsi_ws_span value, const char *protocols, unsigned *best,
                            struct tapsi_ws_upgrade *ret)
{
    struct tapsi_ws_span word;
    for (unsigned rank = 0; rank < *best && next_word(&protocols, &word); rank++) {
        if (tapsi_ws_list_has(value, word, true)) {
            ret->protocol = word;
            *best = rank;
        }
    }
}

static void choose(struct tapsi_ws_span rest, const struct tapsi_ws_wishes *wishes, struct tapsi_ws_upgrade *ret)
{
    struct tapsi_ws_span name, value;
    unsigned best = (unsigned)-1;
    while (tapsi_ws_field_next(&rest, &name, &value)) {
        if (tapsi_ws_span_is(name, "Sec-WebSocket-Protocol"))
            choose_protocol(value, wishes->protocols, &best, ret);
        if (tapsi_ws_span_is(name, "Sec-WebSocket-Extensions") && wishes->deflate && !ret->deflate)
            ret->deflate = tapsi_ws_offer_choose(value.at, value.length, &wishes->wants, &ret->agreed);
    }
}

void tapsi_ws_request_read(const char *head, size_t length, const struct tapsi_ws_wishes *wishes,
                           struct tapsi_ws_upgrade *ret)
{
    struct tapsi_ws_span rest = {head, length}, line = {head, 0};
    struct fields f;
    *ret = (struct tapsi_ws_upgrade){.status = 101};
    if (!take_line(&rest, &line) || !read_target(line, ret)) {
        refuse(ret, 400, "the request is not HTTP/1.1");
        return;
    }
    if (memcmp(line.at, "GET ", 4) != 0 || line.at[line.length - 1] == '0')
        refuse(ret, line.at[line.length - 1] == '0' ? 505 : 405, "the request is not a GET of HTTP/1.1");
    read_fields(rest, &f);
    check_request(&f, wishes, ret);
    ret->key = f.once[KEY];
    ret->fields = rest;
    if (!ret->wrong)
        choose(rest, wishes, ret);
}

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    case 431:
        return "Request Header Fields Too Large";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Bad Request";
    }
}

static size_t write_refusal(const struct tapsi_ws_upgrade *request, char *to)
{
    const char *more = request->status == 426   ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       : request->status == 405 ? "Allow: GET\r\n"
                                                : "";
    return tapsi_format(to, TAPSI_WS_WRITE_LIMIT,
                        "HTTP/1.1 %u %s\r\n%sConnection: close\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %zu\r\n\r\n%s\n",
                        request->status, reason_of(request->status), more, strlen(request->wrong) + 1, request->wrong);
}

size_t tapsi_ws_response_write(const struct tapsi_ws_upgrade *request, char *to)
{
    char accept[TAPSI_WS_ACCEPT_SIZE], extension[TAPSI_WS_EXTENSION_TEXT];
    size_t size = TAPSI_WS_WRITE_LIMIT, at = 0;
    if (request->wrong)
        return write_refusal(request, to);
    if (tapsi_ws_accept(request->key, accept))
        return 0;
    at += tapsi_format(to, size,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: %s\r\n",
                       accept);
    if (request->protocol.length)
        at += tapsi_format(to + at, size - at, "Sec-WebSocket-Protocol: %.*s\r\n", (int)request->protocol.length,
                           request->protocol.at);
    if (request->deflate) {
        tapsi_ws_agreement_write(&request->agreed, extension, sizeof(extension));
        at += tapsi_format(to + at, size - at, "Sec-WebSocket-Extensions: %s\r\n", extension);
    }
    return at + tapsi_format(to + at, size - at, "\r\n");
}
