/*
 * What is sent: the head that the metadata of a Message asks for, and the body around which chunks are put where its
 * length is not known. A Message is looked at wholly before its first byte is given away, since one that is refused
 * must leave nothing behind; the state changes only when all of it has been taken.
 *
 * A server answers in the order of the requests, so the oldest one without an answer decides what the response may be.
 */
#include <string.h>
#include "base/str.h"
#include "message/framer_http.h"
#include "message/http_text.h"
#include "message/http_write.h"

#define SMALL 1024 /* heads up to this are written on the stack */

static const char trailer_mark[] = "trailer:", field_mark[] = "field:";

/* What the metadata says, and what is made of it. */
struct plan {
    const char *method, *target, *reason;
    unsigned status;
    unsigned asked; /* by the request: of a server the one that is answered, of a client this one */
    bool has_length, chunked, has_host, has_trailers;
    bool close, keep_alive, has_upgrade, names_upgrade;
    uint64_t length;
    struct tapsi_http_sending sending;
};

/* The name of the field that a key of metadata stands for; NULL: none of the head. */
static const char *field_of(const char *key)
{
    static const char *const ours[] = {"method", "target", "status", "reason", "version"};
    if (tapsi_text_equal_n(key, trailer_mark, sizeof(trailer_mark) - 1))
        return NULL;
    if (tapsi_text_equal_n(key, field_mark, sizeof(field_mark) - 1))
        return key + sizeof(field_mark) - 1;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (tapsi_text_equal(key, ours[i]))
            return NULL;
    }
    return key;
}

static const char *trailer_of(const char *key)
{
    size_t length = sizeof(trailer_mark) - 1;
    return tapsi_text_equal_n(key, trailer_mark, length) ? key + length : NULL;
}

static bool is_field(const char *name, const char *value)
{
    return name[0] && tapsi_http_is(name, TAPSI_HTTP_TOKEN) && tapsi_http_is(value, TAPSI_HTTP_VALUE);
}

/* -------------------------------------------------------------------------------------------- reading the metadata */

static int read_status(struct plan *p, const char *value)
{
    uint64_t status;
    if (tapsi_parse_uint(value, 999, &status) != 0 || status < 100)
        return TAPS_E_MESSAGE_PROPERTIES;
    p->status = (unsigned)status;
    return 0;
}

/* The first line's. What belongs to the other kind of Message is passed over: a proxy may hand on what it received. */
static int read_ours(struct plan *p, const char *key, const char *value, bool server)
{
    if (server && tapsi_text_equal(key, "status"))
        return read_status(p, value);
    if (server && tapsi_text_equal(key, "reason")) {
        p->reason = value;
        return tapsi_http_is(value, TAPSI_HTTP_VALUE) ? 0 : TAPS_E_MESSAGE_PROPERTIES;
    }
    if (!server && tapsi_text_equal(key, "method")) {
        p->method = value;
        return value[0] && tapsi_http_is(value, TAPSI_HTTP_TOKEN) ? 0 : TAPS_E_MESSAGE_PROPERTIES;
    }
    if (!server && tapsi_text_equal(key, "target")) {
        p->target = value;
        return value[0] && tapsi_http_is(value, TAPSI_HTTP_TARGET) ? 0 : TAPS_E_MESSAGE_PROPERTIES;
    }
    return 0;
}

static int read_length(struct plan *p, const char *value)
{
    uint64_t length;
    if (tapsi_parse_uint(value, INT64_MAX, &length) != 0 || (p->has_length && length != p->length))
        return TAPS_E_MESSAGE_PROPERTIES;
    p->has_length = true;
    p->length = length;
    return 0;
}

static int read_field(struct plan *p, const char *name, const char *value)
{
    if (!is_field(name, value))
        return TAPS_E_MESSAGE_PROPERTIES;
    if (tapsi_text_equal(name, "content-length"))
        return read_length(p, value);
    if (tapsi_text_equal(name, "transfer-encoding")) {
        p->chunked = true;
        return tapsi_text_equal(value, "chunked") ? 0 : TAPS_E_MESSAGE_PROPERTIES;
    }
    if (tapsi_text_equal(name, "connection")) {
        p->close |= tapsi_http_list_has(value, "close");
        p->keep_alive |= tapsi_http_list_has(value, "keep-alive");
        p->names_upgrade |= tapsi_http_list_has(value, "upgrade");
    }
    if (tapsi_text_equal(name, "host")) {
        if (p->has_host || !tapsi_http_is(value, TAPSI_HTTP_HOST))
            return TAPS_E_MESSAGE_PROPERTIES;
        p->has_host = true;
    }
    if (tapsi_text_equal(name, "expect") && tapsi_http_list_has(value, "100-continue"))
        p->asked |= TAPSI_HTTP_ASKED_CONTINUE;
    p->has_upgrade |= tapsi_text_equal(name, "upgrade");
    return 0;
}

static int read_metadata(taps_framing *framing, struct plan *p)
{
    const char *key, *value;
    bool server = taps_framing_is_server(framing);
    for (size_t i = 0; taps_framing_message_metadata_at(framing, i, &key, &value) == 0; i++) {
        const char *name = field_of(key), *trailer = trailer_of(key);
        int err = name ? read_field(p, name, value) : trailer ? 0 : read_ours(p, key, value, server);
        if (trailer) {
            p->has_trailers = true;
            err = is_field(trailer, value) ? 0 : TAPS_E_MESSAGE_PROPERTIES;
        }
        if (err)
            return taps_framing_refuse(framing, err, "%.60s cannot be %.60s", key, value);
    }
    if (p->has_length && p->chunked)
        return taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES, "it cannot have a length and be chunked");
    return 0;
}

/* -------------------------------------------------------------------------------------------------------- planning */

/* Methods whose request has a body even if that is empty (RFC 9110, 8.6). */
static bool has_content(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
}

/* The length that is known: the one that was said, or that of a whole Message. False: chunks. */
static bool know_length(struct plan *p, const struct taps_sent_message *message)
{
    if (p->chunked)
        return false;
    if (!p->has_length && !message->end_of_message)
        return false;
    if (!p->has_length)
        p->length = message->length;
    return true;
}

static int plan_request(taps_framing *framing, struct plan *p, const struct taps_sent_message *message)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    bool empty = message->end_of_message && message->length == 0 && !p->has_length && !p->chunked;
    if (!p->method)
        p->method = empty ? "GET" : "POST";
    bool is_connect = strcmp(p->method, "CONNECT") == 0;
    if (is_connect && (!p->target || !tapsi_http_is(p->target, TAPSI_HTTP_HOST)))
        return TAPS_E_MESSAGE_PROPERTIES;
    if (!p->target)
        p->target = o->target;
    if (is_connect && !empty)
        return TAPS_E_MESSAGE_PROPERTIES;
    if (empty && !has_content(p->method))
        p->sending.body = TAPSI_HTTP_NO_BODY;
    else
        p->sending.body = know_length(p, message) ? TAPSI_HTTP_LENGTH : TAPSI_HTTP_CHUNKED;
    p->asked |= strcmp(p->method, "HEAD") == 0 ? TAPSI_HTTP_ASKED_HEAD : is_connect ? TAPSI_HTTP_ASKED_CONNECT : 0;
    if (p->has_upgrade && p->names_upgrade)
        p->asked |= TAPSI_HTTP_ASKED_UPGRADE;
    p->sending.last = p->close || message->final;
    if (p->sending.last)
        p->asked |= TAPSI_HTTP_ASKED_CLOSE;
    return 0;
}

/* 1xx, 204, 304, and 2xx to CONNECT: nothing may stand behind the head. */
static int plan_bare_response(struct plan *p, const struct taps_sent_message *message)
{
    if (!message->end_of_message || message->length || p->chunked || (p->has_length && p->status != 304))
        return TAPS_E_MESSAGE_PROPERTIES;
    p->sending.body = TAPSI_HTTP_NO_BODY;
    p->sending.interim = p->status < 200 && p->status != 101;
    p->sending.passes = p->status == 101 || (p->asked & TAPSI_HTTP_ASKED_CONNECT && p->status / 100 == 2);
    if (p->status == 101 && !(p->asked & TAPSI_HTTP_ASKED_UPGRADE))
        return TAPS_E_MESSAGE_PROPERTIES;
    if (p->status < 200 && p->asked & TAPSI_HTTP_ASKED_OLD)
        return TAPS_E_MESSAGE_PROPERTIES;
    return p->sending.interim && message->final ? TAPS_E_MESSAGE_PROPERTIES : 0;
}

static void plan_response_body(struct plan *p, const struct taps_sent_message *message)
{
    bool head = p->asked & TAPSI_HTTP_ASKED_HEAD, knows_chunks = !(p->asked & TAPSI_HTTP_ASKED_OLD);
    p->sending.silent = head;
    if (head && message->end_of_message && message->length == 0 && !p->has_length && !p->chunked)
        p->sending.body = TAPSI_HTTP_NO_BODY; /* it does not say how long the response to GET would be */
    else if (know_length(p, message) || (!knows_chunks && message->end_of_message && !p->has_length))
        p->sending.body = TAPSI_HTTP_LENGTH;
    else
        p->sending.body = knows_chunks ? TAPSI_HTTP_CHUNKED : TAPSI_HTTP_UNTIL_CLOSE;
    if (p->sending.body == TAPSI_HTTP_LENGTH && !p->has_length)
        p->length = message->length;
}

static int plan_response(taps_framing *framing, struct plan *p, const struct taps_sent_message *message)
{
    const struct tapsi_http_state *s = taps_framing_state(framing);
    if (s->pending.count == 0)
        return taps_framing_refuse(framing, TAPS_E_MESSAGE_PROPERTIES, "there is no request that it would answer");
    p->asked = s->pending.asked[s->pending.first];
    if (!p->status)
        p->status = 200;
    if (!p->reason)
        p->reason = tapsi_http_reason(p->status);
    bool to_connect = p->asked & TAPSI_HTTP_ASKED_CONNECT && p->status / 100 == 2;
    if (p->status < 200 || p->status == 204 || p->status == 304 || to_connect) {
        int err = plan_bare_response(p, message);
        if (err)
            return err;
    } else {
        plan_response_body(p, message);
    }
    p->sending.last =
        !p->sending.interim && !p->sending.passes &&
        (p->close || message->final || p->asked & TAPSI_HTTP_ASKED_CLOSE || p->sending.body == TAPSI_HTTP_UNTIL_CLOSE);
    return 0;
}

/* -------------------------------------------------------------------------------------------------------- the head */

static void write_own_host(taps_framing *framing, struct tapsi_http_writer *w, const struct plan *p)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    const char *host = taps_framing_remote_host(framing);
    uint16_t port = taps_framing_remote_port(framing);
    if (p->asked & TAPSI_HTTP_ASKED_CONNECT)
        tapsi_http_write_field(w, "Host", p->target);
    else if (o->host[0])
        tapsi_http_write_field(w, "Host", o->host);
    else
        tapsi_http_write_host(w, host ? host : "", port == (taps_framing_is_secure(framing) ? 443 : 80) ? 0 : port);
}

static void write_first_lines(taps_framing *framing, struct tapsi_http_writer *w, const struct plan *p)
{
    if (p->method) {
        tapsi_http_write(w, p->method);
        tapsi_http_write(w, " ");
        tapsi_http_write(w, p->target);
        tapsi_http_write(w, " HTTP/1.1\r\n");
        if (!p->has_host)
            write_own_host(framing, w, p);
    } else {
        tapsi_http_write(w, "HTTP/1.1 ");
        tapsi_http_write_number(w, p->status);
        tapsi_http_write(w, " ");
        tapsi_http_write(w, p->reason);
        tapsi_http_write(w, "\r\n");
    }
}

static void write_end(struct tapsi_http_writer *w, const struct plan *p)
{
    if (p->sending.body == TAPSI_HTTP_LENGTH || p->has_length) {
        tapsi_http_write(w, "Content-Length: ");
        tapsi_http_write_number(w, p->length);
        tapsi_http_write(w, "\r\n");
    } else if (p->sending.body == TAPSI_HTTP_CHUNKED) {
        tapsi_http_write_field(w, "Transfer-Encoding", "chunked");
    }
    if (p->sending.last && !p->close)
        tapsi_http_write_field(w, "Connection", "close");
    else if (!p->sending.last && p->asked & TAPSI_HTTP_ASKED_KEEP && !p->keep_alive)
        tapsi_http_write_field(w, "Connection", "keep-alive");
    tapsi_http_write(w, "\r\n");
}

static void write_head(taps_framing *framing, struct tapsi_http_writer *w, const struct plan *p)
{
    const char *key, *value;
    write_first_lines(framing, w, p);
    for (size_t i = 0; taps_framing_message_metadata_at(framing, i, &key, &value) == 0; i++) {
        const char *name = field_of(key);
        if (name && !tapsi_text_equal(name, "content-length") && !tapsi_text_equal(name, "transfer-encoding"))
            tapsi_http_write_field(w, name, value);
    }
    write_end(w, p);
}

/* "0\r\n", the trailers and the empty line. */
static void write_last_chunk(taps_framing *framing, struct tapsi_http_writer *w)
{
    const char *key, *value;
    tapsi_http_write(w, "0\r\n");
    for (size_t i = 0; taps_framing_message_metadata_at(framing, i, &key, &value) == 0; i++) {
        const char *name = trailer_of(key);
        if (name)
            tapsi_http_write_field(w, name, value);
    }
    tapsi_http_write(w, "\r\n");
}

static void write_text(taps_framing *framing, struct tapsi_http_writer *w, const struct plan *p)
{
    if (p)
        write_head(framing, w, p);
    else
        write_last_chunk(framing, w);
}

/* A large one is written twice: to know how much memory it needs, and into that. `p` NULL: the last chunk. */
static int send_text(taps_framing *framing, const struct plan *p)
{
    char small[SMALL];
    struct tapsi_http_writer w = {.to = small, .size = sizeof(small)};
    write_text(framing, &w, p);
    if (w.length <= sizeof(small))
        return taps_framing_send(framing, small, w.length);
    w = (struct tapsi_http_writer){.to = taps_framing_reserve(framing, w.length), .size = w.length};
    if (!w.to)
        return TAPS_E_MEMORY;
    write_text(framing, &w, p);
    return taps_framing_send_reserved(framing, w.length);
}

/* -------------------------------------------------------------------------------------------------------- the body */

static int check_part(const struct tapsi_http_sending *to, const struct taps_sent_message *part, bool has_trailers)
{
    if (part->end_of_message && has_trailers && to->body != TAPSI_HTTP_CHUNKED)
        return TAPS_E_MESSAGE_PROPERTIES;
    if (to->silent)
        return 0;
    if (to->body == TAPSI_HTTP_NO_BODY && part->length)
        return TAPS_E_MESSAGE_PROPERTIES;
    if (to->body == TAPSI_HTTP_LENGTH && (part->length > to->left || (part->end_of_message && part->length < to->left)))
        return TAPS_E_MESSAGE_PROPERTIES;
    return 0;
}

/* An empty part is no chunk: that would be the end. */
static int send_chunk(taps_framing *framing, const struct taps_sent_message *part, bool has_trailers)
{
    static const char last[] = "\r\n0\r\n\r\n";
    char size[18];
    bool ends_so = part->end_of_message && !has_trailers;
    int err = 0;
    if (part->length) {
        err = taps_framing_send(framing, size, tapsi_http_chunk_write(size, part->length));
        if (!err)
            err = taps_framing_send_message(framing);
        if (!err)
            err = taps_framing_send(framing, last, ends_so ? sizeof(last) - 1 : 2);
    } else if (ends_so) {
        err = taps_framing_send(framing, last + 2, sizeof(last) - 3);
    }
    if (!err && part->end_of_message && has_trailers)
        err = send_text(framing, NULL);
    return err;
}

static int send_part(taps_framing *framing, const struct tapsi_http_sending *to, const struct taps_sent_message *part,
                     bool has_trailers)
{
    if (to->silent)
        return 0;
    if (to->body == TAPSI_HTTP_CHUNKED)
        return send_chunk(framing, part, has_trailers);
    return part->length ? taps_framing_send_message(framing) : 0;
}

/* ------------------------------------------------------------------------------------------------------- the order */

int tapsi_http_send_continue(taps_framing *framing)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct tapsi_http_state *s = taps_framing_state(framing);
    if (!s->receiving.continue_due || s->pending.count != 1 || s->sending.active)
        return 0;
    s->receiving.continue_due = false;
    return taps_framing_send(framing, line, sizeof(line) - 1);
}

static int end_message(taps_framing *framing, struct tapsi_http_state *s)
{
    struct tapsi_http_sending ended = s->sending;
    s->sending = (struct tapsi_http_sending){0};
    s->closing |= ended.last;
    if (!taps_framing_is_server(framing) || ended.interim)
        return 0;
    tapsi_http_pop(framing);
    if (ended.passes) {
        s->passes = true;
        taps_framing_start_passthrough(framing);
    }
    return tapsi_http_send_continue(framing);
}

static int begin_message(taps_framing *framing, struct tapsi_http_state *s, const struct taps_sent_message *message)
{
    struct plan p = {0};
    bool server = taps_framing_is_server(framing);
    if (s->closing)
        return TAPS_E_CLOSED;
    if (s->passes || (!server && tapsi_http_is_full(framing)))
        return TAPS_FRAMING_WAIT;
    int err = read_metadata(framing, &p);
    if (!err)
        err = server ? plan_response(framing, &p, message) : plan_request(framing, &p, message);
    p.sending.left = p.length;
    if (!err)
        err = check_part(&p.sending, message, p.has_trailers);
    if (!err)
        err = send_text(framing, &p);
    if (!err)
        err = send_part(framing, &p.sending, message, p.has_trailers);
    if (err)
        return err;
    s->sending = p.sending;
    s->sending.active = true;
    if (server && s->pending.count == 1 && !p.sending.interim)
        s->receiving.continue_due = false;
    if (!server)
        tapsi_http_push(framing, p.asked);
    return 0;
}

static int go_on(taps_framing *framing, struct tapsi_http_state *s, const struct taps_sent_message *part)
{
    struct plan p = {0};
    const char *key, *value;
    if (!s->sending.active)
        return TAPS_E_MESSAGE_PROPERTIES;
    for (size_t i = 0; part->end_of_message && taps_framing_message_metadata_at(framing, i, &key, &value) == 0; i++) {
        const char *trailer = trailer_of(key);
        if (trailer && !is_field(trailer, value))
            return TAPS_E_MESSAGE_PROPERTIES;
        p.has_trailers |= trailer != NULL;
    }
    int err = check_part(&s->sending, part, p.has_trailers);
    return err ? err : send_part(framing, &s->sending, part, p.has_trailers);
}

int tapsi_http_send(taps_framing *framing, const struct taps_sent_message *message)
{
    struct tapsi_http_state *s = taps_framing_state(framing);
    int err = message->start ? begin_message(framing, s, message) : go_on(framing, s, message);
    if (err)
        return err;
    s->sending.left -= s->sending.body == TAPSI_HTTP_LENGTH && !s->sending.silent ? message->length : 0;
    s->sending.last |= message->final;
    return message->end_of_message ? end_message(framing, s) : 0;
}
