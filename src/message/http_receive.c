/*
 * What is received, a step at a time:
 *
 *   AT_HEAD -> the body of a known length, which goes to the application without this Framer -> AT_HEAD
 *           -> AT_CHUNK -> its bytes -> AT_CHUNK_END -> AT_CHUNK ... -> AT_TRAILERS -> AT_HEAD
 *           -> AT_REST (until close), AT_LAST (a known length, and nothing follows) -> OVER
 *
 * OVER is also what follows a Message behind which the connection is to be closed: what a peer sends then is dropped.
 *
 * A server reads no further request while the newest may lead to another protocol (Upgrade, CONNECT), since the bytes
 * behind it may be that protocol's; and none while too many have no answer.
 *
 * Surprising: the key of a trailer begins with "trailer:", and a field that is called like one of the words of the
 * first line is "field:status". Otherwise a peer could have a field or a trailer taken for what only the head may say.
 */
#include <string.h>
#include "base/str.h"
#include "message/framer_http.h"
#include "message/http_text.h"
#include "message/http_write.h"
#include "message/options.h"

#define BEGINNING       ((size_t)8)
#define BLANK_LINES_MAX 8 /* before a head (RFC 9112, 2.2) */
#define TEXT_KEPT       4096
#define NAME_MAX_BYTES  256
#define SIZE_LINE_MAX   18                  /* 16 digits and CR LF: what is more is extensions, or zeros */
#define EXTENSIONS_MAX  ((size_t)16 * 1024) /* of all chunks of a body */

/* ---------------------------------------------------------------------------------------------------------- faults */

/* A server says it, where the peer cannot take that for the answer to another request. */
static int answer_fault(taps_framing *framing, const struct tapsi_http_state *s, unsigned status)
{
    char text[160];
    unsigned unfinished = s->receiving.phase == TAPSI_HTTP_AT_HEAD ? 0 : 1;
    if (!taps_framing_is_server(framing) || s->sending.active || s->closing || s->pending.count != unfinished)
        return 0;
    return taps_framing_send(framing, text,
                             tapsi_format(text, sizeof(text),
                                          "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status,
                                          tapsi_http_reason(status)));
}

static int fail(taps_framing *framing, struct tapsi_http_state *s, const struct tapsi_http_fault *fault)
{
    int err = answer_fault(framing, s, fault->status);
    return err ? err : taps_framing_fail(framing, TAPS_E_DEFRAMING, "%s", fault->why);
}

static int fail_with(taps_framing *framing, struct tapsi_http_state *s, unsigned status, const char *why)
{
    return fail(framing, s, &(struct tapsi_http_fault){why, status});
}

/* ----------------------------------------------------------------------------------------------- lines of a head */

static int keep_text(taps_framing *framing, struct tapsi_http_receiving *r, const uint8_t *data, size_t length)
{
    if (length > r->text_size) {
        char *text = taps_framing_resize(framing, r->text, length);
        if (!text)
            return TAPS_E_MEMORY;
        r->text = text;
        r->text_size = length;
    }
    memcpy(r->text, data, length);
    return 0;
}

/* A head was large once: that is no reason to keep so much for the life of the Connection. */
static void drop_large_text(taps_framing *framing, struct tapsi_http_receiving *r)
{
    if (r->text_size <= TEXT_KEPT)
        return;
    taps_framing_resize(framing, r->text, 0);
    r->text = NULL;
    r->text_size = 0;
}

/* Takes a head, or trailers, with their empty line to r->text: 1 and *ret_length; 0: not all is here. */
static int take_lines(taps_framing *framing, struct tapsi_http_state *s, size_t *ret_length)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    struct tapsi_http_receiving *r = &s->receiving;
    const uint8_t *data;
    size_t maximum = (size_t)o->head_maximum, length, end;
    while (r->scanned < maximum) {
        int known = taps_framing_parse(framing, r->scanned + 1, maximum, &data, &length);
        if (known == 1)
            known = tapsi_http_head_end(data, length, &r->scanned, &end);
        else
            return known;
        if (known < 0)
            return fail_with(framing, s, 400, "a line that does not end with CR LF");
        if (known == 1) {
            int err = keep_text(framing, r, data, end);
            if (err)
                return err;
            taps_framing_advance(framing, end);
            r->scanned = 0;
            *ret_length = end;
            return 1;
        }
    }
    return fail_with(framing, s, 431, "the head, or the trailers, are longer than head-maximum");
}

/* A field that a peer could call like a word of ours, or a trailer, gets a mark before its name. */
static int add_marked(taps_framing *framing, const char *mark, const char *name, const char *value)
{
    char key[16 + NAME_MAX_BYTES + 1];
    tapsi_format(key, sizeof(key), "%s%s", mark, name);
    return taps_framing_add_metadata(framing, key, value);
}

static bool is_ours(const char *name)
{
    return strcmp(name, "method") == 0 || strcmp(name, "target") == 0 || strcmp(name, "version") == 0 ||
           strcmp(name, "status") == 0 || strcmp(name, "reason") == 0;
}

static int add_fields(taps_framing *framing, struct tapsi_http_state *s, const struct tapsi_http_fields *fields,
                      bool trailers)
{
    const char *name = NULL, *value = NULL;
    int err = 0;
    while (!err && tapsi_http_fields_next(fields, &name, &value)) {
        if (strlen(name) > NAME_MAX_BYTES)
            err = fail_with(framing, s, 431, "a field's name is longer than 256 bytes");
        else if (trailers)
            err = add_marked(framing, "trailer:", name, value);
        else if (is_ours(name))
            err = add_marked(framing, "field:", name, value);
        else
            err = taps_framing_add_metadata(framing, name, value);
    }
    return err;
}

static int add_head(taps_framing *framing, struct tapsi_http_state *s, const struct tapsi_http_head *head)
{
    char status[16];
    int err;
    tapsi_format(status, sizeof(status), "%u", head->status);
    if (head->method) {
        err = taps_framing_add_metadata(framing, "method", head->method);
        if (!err)
            err = taps_framing_add_metadata(framing, "target", head->target);
    } else {
        err = taps_framing_add_metadata(framing, "status", status);
        if (!err)
            err = taps_framing_add_metadata(framing, "reason", head->reason);
    }
    if (!err)
        err = taps_framing_add_metadata(framing, "version", head->minor ? "1.1" : "1.0");
    return err ? err : add_fields(framing, s, &head->fields, false);
}

/* ---------------------------------------------------------------------------------------------------------- bodies */

static int end_message(taps_framing *framing, struct tapsi_http_state *s)
{
    s->receiving.phase = s->receiving.last ? TAPSI_HTTP_OVER : TAPSI_HTTP_AT_HEAD;
    return s->receiving.last ? taps_framing_deliver_end(framing) : 0;
}

static int deliver_end_of_message(taps_framing *framing, struct tapsi_http_state *s)
{
    int err = taps_framing_deliver(framing, "", 0, true);
    return err ? err : end_message(framing, s);
}

/* Counts what is to come: a body that grows beyond the limit ends the Connection. */
static int count_body(taps_framing *framing, struct tapsi_http_state *s, uint64_t more)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    if (more > o->body_maximum - s->receiving.body)
        return fail_with(framing, s, 413, "the body is longer than body-maximum");
    s->receiving.body += more;
    return 0;
}

static int begin_body(taps_framing *framing, struct tapsi_http_state *s, enum tapsi_http_body body, uint64_t length)
{
    struct tapsi_http_receiving *r = &s->receiving;
    r->body = 0;
    r->extensions = 0;
    if (body == TAPSI_HTTP_NO_BODY || (body == TAPSI_HTTP_LENGTH && length == 0))
        return deliver_end_of_message(framing, s);
    if (body == TAPSI_HTTP_CHUNKED) {
        r->phase = TAPSI_HTTP_AT_CHUNK;
        return 0;
    }
    if (body == TAPSI_HTTP_UNTIL_CLOSE) {
        r->phase = TAPSI_HTTP_AT_REST;
        return 0;
    }
    r->phase = TAPSI_HTTP_AT_LAST;
    int err = count_body(framing, s, length);
    if (err || r->last)
        return err;
    r->phase = TAPSI_HTTP_AT_HEAD;
    return taps_framing_deliver_and_advance(framing, length, true);
}

static int step_chunk(taps_framing *framing, struct tapsi_http_state *s)
{
    struct tapsi_http_fault fault;
    const uint8_t *data;
    uint64_t size;
    size_t length, line;
    int known = taps_framing_parse(framing, 1, TAPSI_HTTP_CHUNK_LINE_MAX, &data, &length);
    while (known == 1) {
        known = tapsi_http_chunk_parse(data, length, &size, &line, &fault);
        if (known < 0)
            return fail(framing, s, &fault);
        if (known == 1)
            break;
        known = taps_framing_parse(framing, length + 1, TAPSI_HTTP_CHUNK_LINE_MAX, &data, &length);
    }
    if (known != 1)
        return known;
    s->receiving.extensions += line > SIZE_LINE_MAX ? line - SIZE_LINE_MAX : 0;
    if (s->receiving.extensions > EXTENSIONS_MAX)
        return fail_with(framing, s, 400, "the extensions of chunks are too long");
    taps_framing_advance(framing, line);
    s->receiving.phase = size ? TAPSI_HTTP_AT_CHUNK_END : TAPSI_HTTP_AT_TRAILERS;
    if (size == 0)
        return 0;
    known = count_body(framing, s, size);
    return known ? known : taps_framing_deliver_and_advance(framing, size, false);
}

static int step_chunk_end(taps_framing *framing, struct tapsi_http_state *s)
{
    const uint8_t *data;
    size_t length;
    int known = taps_framing_parse(framing, 2, 2, &data, &length);
    if (known != 1)
        return known;
    if (memcmp(data, "\r\n", 2) != 0)
        return fail_with(framing, s, 400, "a chunk that does not end where its size says");
    taps_framing_advance(framing, 2);
    s->receiving.phase = TAPSI_HTTP_AT_CHUNK;
    return 0;
}

static int step_trailers(taps_framing *framing, struct tapsi_http_state *s)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    struct tapsi_http_fields fields;
    struct tapsi_http_fault fault;
    size_t length;
    int known = take_lines(framing, s, &length);
    if (known != 1)
        return known;
    if (tapsi_http_fields_parse(s->receiving.text, length, !taps_framing_is_server(framing), (size_t)o->fields_maximum,
                                &fields, &fault) != 0)
        return fail(framing, s, &fault);
    int err = add_fields(framing, s, &fields, true);
    drop_large_text(framing, &s->receiving);
    return err ? err : deliver_end_of_message(framing, s);
}

/* r->body says how much is to come yet. Not in one promise: the end of the direction can be told only once the last
   byte is here. */
static int step_last(taps_framing *framing, struct tapsi_http_state *s)
{
    size_t length = taps_framing_available(framing);
    if (length > s->receiving.body)
        length = (size_t)s->receiving.body;
    s->receiving.body -= length;
    if (length == 0)
        return 0;
    int err = taps_framing_deliver_and_advance(framing, length, s->receiving.body == 0);
    return !err && s->receiving.body == 0 ? end_message(framing, s) : err;
}

static int step_rest(taps_framing *framing, struct tapsi_http_state *s)
{
    size_t length = taps_framing_available(framing);
    if (length == 0)
        return taps_framing_at_end(framing) ? deliver_end_of_message(framing, s) : 0;
    int err = count_body(framing, s, length);
    return err ? err : taps_framing_deliver_and_advance(framing, length, false);
}

/* ----------------------------------------------------------------------------------------------------------- heads */

static unsigned asked_by(const struct tapsi_http_head *head)
{
    unsigned asked = 0;
    if (strcmp(head->method, "HEAD") == 0)
        asked |= TAPSI_HTTP_ASKED_HEAD;
    if (strcmp(head->method, "CONNECT") == 0)
        asked |= TAPSI_HTTP_ASKED_CONNECT;
    if (head->upgrade)
        asked |= TAPSI_HTTP_ASKED_UPGRADE;
    if (head->minor == 0)
        asked |= TAPSI_HTTP_ASKED_OLD | (head->keep_alive ? TAPSI_HTTP_ASKED_KEEP : TAPSI_HTTP_ASKED_CLOSE);
    if (head->close)
        asked |= TAPSI_HTTP_ASKED_CLOSE;
    if (head->expects_continue)
        asked |= TAPSI_HTTP_ASKED_CONTINUE;
    return asked;
}

static int take_request(taps_framing *framing, struct tapsi_http_state *s, const struct tapsi_http_head *head)
{
    unsigned asked = asked_by(head);
    enum tapsi_http_body body = tapsi_http_body_of(head, false);
    bool is_connect = asked & TAPSI_HTTP_ASKED_CONNECT;
    if (is_connect && body != TAPSI_HTTP_NO_BODY)
        return fail_with(framing, s, 400, "a CONNECT with a body");
    int err = add_head(framing, s, head);
    if (err)
        return err;
    tapsi_http_push(framing, asked);
    s->receiving.last = asked & TAPSI_HTTP_ASKED_CLOSE && !is_connect;
    s->receiving.continue_due =
        asked & TAPSI_HTTP_ASKED_CONTINUE && body != TAPSI_HTTP_NO_BODY && taps_framing_available(framing) == 0;
    err = begin_body(framing, s, body, head->length);
    return err ? err : tapsi_http_send_continue(framing);
}

/* A response of its own before the one that counts; 101 comes here only if the request has asked for it. */
static int take_interim(taps_framing *framing, struct tapsi_http_state *s, const struct tapsi_http_head *head,
                        unsigned asked)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    if (o->interim == 0 && !(head->status == 100 && asked & TAPSI_HTTP_ASKED_CONTINUE))
        return 0;
    int err = add_head(framing, s, head);
    return err ? err : taps_framing_deliver(framing, "", 0, true);
}

/* The last Message of HTTP: the bytes behind it are another protocol's. */
static int pass_through(taps_framing *framing, struct tapsi_http_state *s, const struct tapsi_http_head *head)
{
    int err = add_head(framing, s, head);
    if (!err)
        err = taps_framing_deliver(framing, "", 0, true);
    if (err)
        return err;
    tapsi_http_pop(framing);
    s->passes = true;
    taps_framing_start_passthrough(framing);
    return 0;
}

static int take_response(taps_framing *framing, struct tapsi_http_state *s, const struct tapsi_http_head *head)
{
    if (s->pending.count == 0)
        return fail_with(framing, s, 400, "a response that nobody asked for");
    unsigned asked = s->pending.asked[s->pending.first];
    enum tapsi_http_body body = tapsi_http_body_of(head, asked & TAPSI_HTTP_ASKED_HEAD);
    if (head->status == 101 && !(asked & TAPSI_HTTP_ASKED_UPGRADE))
        return fail_with(framing, s, 400, "a change of protocols (101) that nobody asked for");
    if (head->status == 101 || (asked & TAPSI_HTTP_ASKED_CONNECT && head->status / 100 == 2))
        return pass_through(framing, s, head);
    if (head->status < 200)
        return take_interim(framing, s, head, asked);
    int err = add_head(framing, s, head);
    if (err)
        return err;
    s->receiving.last = head->close || asked & TAPSI_HTTP_ASKED_CLOSE || (head->minor == 0 && !head->keep_alive) ||
                        body == TAPSI_HTTP_UNTIL_CLOSE;
    s->closing |= s->receiving.last;
    tapsi_http_pop(framing);
    return begin_body(framing, s, body, head->length);
}

/* The first bytes that are here, up to what tells a head from anything else. */
static int look(taps_framing *framing, const uint8_t **ret_data, size_t *ret_length)
{
    size_t here = taps_framing_available(framing);
    size_t least = here == 0 ? 1 : here < BEGINNING ? here : BEGINNING;
    return taps_framing_parse(framing, least, BEGINNING, ret_data, ret_length);
}

/* Empty lines before a head are dropped, a few of them. 1: the first bytes of a head are here. */
static int skip_blank_lines(taps_framing *framing, struct tapsi_http_state *s)
{
    const uint8_t *data;
    size_t length;
    int known = look(framing, &data, &length);
    while (known == 1 && data[0] == '\r') {
        known = taps_framing_parse(framing, 2, 2, &data, &length);
        if (known != 1)
            return known;
        if (data[1] != '\n' || s->receiving.blank_lines++ == BLANK_LINES_MAX)
            return fail_with(framing, s, 400, "empty lines instead of a head");
        taps_framing_advance(framing, 2);
        known = look(framing, &data, &length);
    }
    if (known == 1 && !tapsi_http_head_begins(data, length, !taps_framing_is_server(framing)))
        return fail_with(framing, s, 400, "what came is not HTTP/1");
    return known;
}

static int step_head(taps_framing *framing, struct tapsi_http_state *s)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    struct tapsi_http_head head;
    struct tapsi_http_fault fault;
    size_t length;
    bool server = taps_framing_is_server(framing);
    if (server && s->closing) {
        taps_framing_advance(framing, taps_framing_available(framing));
        s->receiving.last = true;
        return end_message(framing, s);
    }
    if (server && tapsi_http_is_full(framing))
        return taps_framing_available(framing) ? TAPS_FRAMING_WAIT : 0;
    int known = skip_blank_lines(framing, s);
    if (known == 1)
        known = take_lines(framing, s, &length);
    if (known != 1)
        return known;
    s->receiving.blank_lines = 0;
    if (tapsi_http_head_parse(s->receiving.text, length, !server, (size_t)o->fields_maximum, &head, &fault) != 0)
        return fail(framing, s, &fault);
    int err = server ? take_request(framing, s, &head) : take_response(framing, s, &head);
    drop_large_text(framing, &s->receiving);
    return err;
}

/* A server that ends with requests open has not answered them: that is no clean end either. */
static int check_end(taps_framing *framing, const struct tapsi_http_state *s)
{
    enum tapsi_http_phase phase = s->receiving.phase;
    if (!taps_framing_at_end(framing) || taps_framing_available(framing) || phase == TAPSI_HTTP_AT_REST ||
        phase == TAPSI_HTTP_OVER)
        return 0;
    if (phase != TAPSI_HTTP_AT_HEAD)
        return taps_framing_fail(framing, TAPS_E_TRUNCATED, "the peer ended in the middle of a body");
    if (s->pending.count && !taps_framing_is_server(framing))
        return taps_framing_fail(framing, TAPS_E_TRUNCATED, "the server ended before it had answered");
    return 0;
}

int tapsi_http_receive(taps_framing *framing)
{
    struct tapsi_http_state *s = taps_framing_state(framing);
    int err = check_end(framing, s);
    if (err)
        return err;
    switch (s->receiving.phase) {
    case TAPSI_HTTP_AT_HEAD:
        return step_head(framing, s);
    case TAPSI_HTTP_AT_CHUNK:
        return step_chunk(framing, s);
    case TAPSI_HTTP_AT_CHUNK_END:
        return step_chunk_end(framing, s);
    case TAPSI_HTTP_AT_TRAILERS:
        return step_trailers(framing, s);
    case TAPSI_HTTP_AT_LAST:
        return step_last(framing, s);
    case TAPSI_HTTP_AT_REST:
        return step_rest(framing, s);
    case TAPSI_HTTP_OVER:
        break;
    }
    taps_framing_advance(framing, taps_framing_available(framing));
    return 0;
}
