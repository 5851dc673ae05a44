/*
 * The head is a line of text. An entry is its length, its digest (the first 16 bytes of SHA-256) and its body, which
 * begins with a letter for what it is, numbers in network order. Entries of other letters are passed over. The digest
 * finds damage, not malice: the file is the user's own, and nobody else can write to it. Behind an entry whose digest
 * is wrong the next is looked for where its length says; what cannot be a length ends it.
 */
#include "stack/secure/sessionfile.h"

#include <gnutls/crypto.h>
#include <string.h>

#define NAME    "taps sessions "
#define HEAD    NAME "1\n"
#define DIGEST  16
#define FRAME   (4 + DIGEST)
#define NUMBERS (1 + 2 * TAPSI_TICKET_KEY + 8 + 8 + 4 + 1) /* of a body, before the three texts and ALPN */
#define LINE    200
#define MOST    (TAPSI_TICKET_BYTES + 1024)

/* ------------------------------------------------------------------------------------------------------ out */

static void put(uint8_t **to, const void *bytes, size_t count)
{
    if (count)
        memcpy(*to, bytes, count);
    *to += count;
}

static void put_number(uint8_t **to, uint64_t number, size_t width)
{
    for (size_t i = width; i-- > 0;)
        *(*to)++ = (uint8_t)(number >> (8 * i));
}

static void put_text(uint8_t **to, const void *bytes, size_t count)
{
    put_number(to, count, 4);
    put(to, bytes, count);
}

static size_t body_size(const struct tapsi_ticket *t)
{
    return NUMBERS + 4 * 4 + 8 + strlen(t->alpn) + t->session_length + t->transport_length + t->token_length;
}

static void put_body(uint8_t **to, const struct tapsi_ticket *t)
{
    put(to, "T", 1);
    put(to, t->key.peer, TAPSI_TICKET_KEY);
    put(to, t->key.parameters, TAPSI_TICKET_KEY);
    put_number(to, t->issued, 8);
    put_number(to, t->expires, 8);
    put_number(to, t->early, 4);
    put_number(to, t->authenticated, 1);
    put_text(to, t->alpn, strlen(t->alpn));
    put_text(to, t->session, t->session_length);
    put_text(to, t->transport, t->transport_length);
    put_text(to, t->token, t->token_length);
    put_number(to, t->until, 8);
}

static bool digest_of(const uint8_t *bytes, size_t length, uint8_t *ret)
{
    uint8_t whole[32];
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, length, whole) < 0)
        return false;
    memcpy(ret, whole, DIGEST);
    return true;
}

/* Behind a body that lies after the frame's room. */
static void frame(uint8_t *start, const uint8_t *end)
{
    put_number(&start, (uint64_t)(end - start) - FRAME, 4);
    digest_of(start + DIGEST, (size_t)(end - start) - DIGEST, start);
}

static size_t lines_size(const char *lines)
{
    size_t length = strlen(lines);
    return length && 1 + 8 + length <= MOST ? FRAME + 1 + 8 + length : 0;
}

static void put_lines(uint8_t **to, const char *lines, uint64_t now)
{
    uint8_t *start = *to;
    *to += FRAME;
    put(to, "H", 1);
    put_number(to, now, 8);
    put(to, lines, strlen(lines));
    frame(start, *to);
}

/* All space is there at once: growing would leave secrets behind. */
uint8_t *tapsi_sessionfile_write(const struct tapsi_tickets *tickets, const char *lines, uint64_t now,
                                 struct tapsi_mem *mem, size_t *ret_length)
{
    const struct tapsi_ticket *t = NULL, *first = NULL; /* the oldest are left out of a file that would be too long */
    size_t size = strlen(HEAD) + lines_size(lines);
    while ((t = tapsi_tickets_next(tickets, t)))
        size += FRAME + body_size(t);
    while (size > TAPSI_SESSIONFILE_MAX && (first = tapsi_tickets_next(tickets, first)))
        size -= FRAME + body_size(first);
    t = first;
    uint8_t *bytes = tapsi_zalloc(mem, size), *to = bytes;
    if (!bytes)
        return NULL;
    put(&to, HEAD, strlen(HEAD));
    if (lines_size(lines))
        put_lines(&to, lines, now);
    while ((t = tapsi_tickets_next(tickets, t))) {
        uint8_t *start = to;
        to += FRAME;
        put_body(&to, t);
        frame(start, to);
    }
    *ret_length = size;
    return bytes;
}

/* ------------------------------------------------------------------------------------------------------- in */

bool tapsi_sessionfile_is(const void *bytes, size_t length)
{
    return length == 0 || (length >= strlen(NAME) && memcmp(bytes, NAME, strlen(NAME)) == 0);
}

struct reader {
    const uint8_t *at, *end;
    bool short_of;
};

static uint64_t take_number(struct reader *r, size_t width)
{
    uint64_t number = 0;
    if ((size_t)(r->end - r->at) < width) {
        r->short_of = true;
        return 0;
    }
    while (width--)
        number = number << 8 | *r->at++;
    return number;
}

static const uint8_t *take_bytes(struct reader *r, size_t count)
{
    const uint8_t *start = r->at;
    if ((size_t)(r->end - r->at) < count) {
        r->short_of = true;
        return NULL;
    }
    r->at += count;
    return start;
}

static const uint8_t *take_text(struct reader *r, size_t *ret_length)
{
    *ret_length = (size_t)take_number(r, 4);
    return take_bytes(r, *ret_length);
}

static void take_key(struct reader *r, uint8_t *to)
{
    const uint8_t *bytes = take_bytes(r, TAPSI_TICKET_KEY);
    if (bytes)
        memcpy(to, bytes, TAPSI_TICKET_KEY);
}

/* False: it is none. Its texts point into the body. */
static bool parse(const uint8_t *body, size_t length, struct tapsi_ticket *ret)
{
    struct reader r = {body, body + length, false};
    size_t alpn_length;
    *ret = (struct tapsi_ticket){0};
    take_key(&r, ret->key.peer);
    take_key(&r, ret->key.parameters);
    ret->issued = take_number(&r, 8);
    ret->expires = take_number(&r, 8);
    ret->early = (uint32_t)take_number(&r, 4);
    ret->authenticated = take_number(&r, 1) == 1;
    const uint8_t *alpn = take_text(&r, &alpn_length);
    ret->session = take_text(&r, &ret->session_length);
    ret->transport = take_text(&r, &ret->transport_length);
    ret->token = take_text(&r, &ret->token_length);
    if (!r.short_of && r.at != r.end) /* it came later */
        ret->until = take_number(&r, 8);
    if (r.short_of || r.at != r.end || alpn_length >= sizeof(ret->alpn) || !ret->session_length)
        return false;
    if (alpn_length)
        memcpy(ret->alpn, alpn, alpn_length);
    return strlen(ret->alpn) == alpn_length;
}

/* Each line on its own; one that is too long is none. */
static bool tell_lines(const uint8_t *body, size_t length, uint64_t now, const struct tapsi_sessionfile_lines *lines)
{
    struct reader r = {body, body + length, false};
    uint64_t written = take_number(&r, 8);
    char line[LINE];
    while (lines && !r.short_of && r.at < r.end) {
        const uint8_t *end = memchr(r.at, '\n', (size_t)(r.end - r.at));
        size_t count = (size_t)((end ? end : r.end) - r.at);
        if (count < sizeof(line) && !memchr(r.at, '\0', count)) {
            memcpy(line, r.at, count);
            line[count] = '\0';
            lines->line(lines->user, line, now > written ? now - written : 0);
        }
        r.at += count + (end != NULL);
    }
    return !r.short_of;
}

static void take(struct tapsi_tickets *tickets, struct tapsi_mem *mem, const struct tapsi_ticket *like, uint64_t now,
                 struct tapsi_sessionfile_found *found)
{
    struct tapsi_ticket *t = NULL;
    if (like->issued <= now && now < like->expires && !tapsi_tickets_knows(tickets, like))
        t = tapsi_ticket_new(mem, like);
    if (t)
        tapsi_tickets_put(tickets, t, TAPSI_TICKETS_MAX);
    found->taken += t != NULL;
    found->passed += t == NULL;
}

struct tapsi_sessionfile_found tapsi_sessionfile_read(struct tapsi_tickets *tickets, struct tapsi_mem *mem,
                                                      const void *bytes, size_t length, uint64_t now,
                                                      const struct tapsi_sessionfile_lines *lines)
{
    struct tapsi_sessionfile_found found = {0, 0, 0};
    struct reader r = {bytes, (const uint8_t *)bytes + length, false};
    const uint8_t *head = take_bytes(&r, strlen(HEAD));
    if (!head || memcmp(head, HEAD, strlen(HEAD)) != 0) {
        found.damaged = length != 0;
        return found;
    }
    while (r.at < r.end) {
        struct tapsi_ticket like;
        uint8_t digest[DIGEST];
        size_t size = (size_t)take_number(&r, 4);
        const uint8_t *told = take_bytes(&r, DIGEST), *body = size <= MOST ? take_bytes(&r, size) : NULL;
        if (!told || !body) {
            found.damaged++;
            break;
        }
        bool whole = size && digest_of(body, size, digest) && memcmp(told, digest, DIGEST) == 0;
        if (whole && body[0] == 'T' && parse(body + 1, size - 1, &like))
            take(tickets, mem, &like, now, &found);
        else if (whole && body[0] == 'H')
            found.damaged += !tell_lines(body + 1, size - 1, now, lines);
        else if (whole && body[0] != 'T')
            found.passed++;
        else
            found.damaged++;
    }
    return found;
}
