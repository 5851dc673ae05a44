/* DNS messages: names, questions, and answers as they are written. */
#include <string.h>
#include "base/str.h"
#include "platform/sim/dns.h"

#define PLAIN_MAX 512 /* over UDP without EDNS */

void tapsi_simdns_bytes(struct tapsi_simdns_writer *w, const void *bytes, size_t count)
{
    if (w->full || count > TAPSI_SIMDNS_MAX - w->length) {
        w->full = true;
        return;
    }
    if (count)
        memcpy(w->at + w->length, bytes, count);
    w->length += count;
}

void tapsi_simdns_16(struct tapsi_simdns_writer *w, unsigned value)
{
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    tapsi_simdns_bytes(w, bytes, sizeof bytes);
}

void tapsi_simdns_record(struct tapsi_simdns_writer *w, const struct tapsi_simdns_name *owner, uint16_t type,
                         uint32_t ttl, const void *rdata, size_t length)
{
    tapsi_simdns_bytes(w, owner->bytes, owner->length);
    tapsi_simdns_16(w, type);
    tapsi_simdns_16(w, 1);
    tapsi_simdns_16(w, ttl >> 16);
    tapsi_simdns_16(w, ttl & 0xffff);
    tapsi_simdns_16(w, (unsigned)length);
    tapsi_simdns_bytes(w, rdata, length);
    w->records++;
}

unsigned tapsi_simdns_read_16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

bool tapsi_simdns_encode(const char *name, struct tapsi_simdns_name *ret)
{
    size_t length = 0;
    for (const char *at = name; *at;) {
        size_t label = strcspn(at, ".");
        if (!label || label > 63 || length + label + 2 > sizeof ret->bytes - 1)
            return false;
        ret->bytes[length++] = (uint8_t)label;
        memcpy(ret->bytes + length, at, label);
        length += label;
        at += label + (at[label] == '.');
    }
    ret->bytes[length++] = 0;
    ret->length = length;
    return true;
}

size_t tapsi_simdns_decode(const uint8_t *from, size_t count, char *to)
{
    size_t at = 0, length = 0;
    while (at < count && from[at]) {
        size_t label = from[at++];
        if (label > 63 || label > count - at || length + label + 2 > TAPSI_SIMDNS_NAME)
            return 0;
        if (length)
            to[length++] = '.';
        memcpy(to + length, from + at, label);
        length += label;
        at += label;
    }
    to[length] = 0;
    return at < count ? at + 1 : 0;
}

static const struct {
    const char *name;
    uint16_t type;
} types[] = {{"A", TAPSI_SIMDNS_A},
             {"NS", 2},
             {"CNAME", TAPSI_SIMDNS_CNAME},
             {"SOA", 6},
             {"PTR", 12},
             {"MX", 15},
             {"TXT", 16},
             {"AAAA", TAPSI_SIMDNS_AAAA},
             {"SRV", TAPSI_SIMDNS_SRV},
             {"SVCB", 64},
             {"HTTPS", 65}};

uint16_t tapsi_simdns_type(struct tapsi_sim *sim, const char *text)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (tapsi_text_equal(types[i].name, text))
            return types[i].type;
    }
    tapsi_sim_say(sim, "not a DNS type: \"%s\"", text);
    return 0;
}

const char *tapsi_simdns_type_text(uint16_t type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].type == type)
            return types[i].name;
    }
    return NULL;
}

/* One question, and perhaps an OPT record behind it. */
bool tapsi_simdns_parse(const uint8_t *bytes, size_t count, struct tapsi_simdns_query *ret)
{
    if (count < TAPSI_SIMDNS_HEADER || bytes[2] & 0x80 || tapsi_simdns_read_16(bytes + 4) != 1)
        return false;
    const uint8_t *question = bytes + TAPSI_SIMDNS_HEADER;
    size_t left = count - TAPSI_SIMDNS_HEADER, name = tapsi_simdns_decode(question, left, ret->name);
    if (!name || left - name < 4)
        return false;
    ret->type = (uint16_t)tapsi_simdns_read_16(question + name);
    ret->question = TAPSI_SIMDNS_HEADER + name + 4;
    ret->edns = false;
    ret->max = PLAIN_MAX;
    const uint8_t *opt = bytes + ret->question;
    if (tapsi_simdns_read_16(bytes + 10) == 1 && count - ret->question >= 11 && !opt[0] &&
        tapsi_simdns_read_16(opt + 1) == TAPSI_SIMDNS_OPT) {
        unsigned offered = tapsi_simdns_read_16(opt + 3);
        ret->edns = true;
        ret->max = offered > PLAIN_MAX ? offered : PLAIN_MAX;
    }
    return true;
}

void tapsi_simdns_begin(struct tapsi_simdns_writer *w, const uint8_t *query, const struct tapsi_simdns_query *q)
{
    tapsi_simdns_bytes(w, query, q->question);
}

void tapsi_simdns_end(struct tapsi_simdns_writer *w, const uint8_t *query, const struct tapsi_simdns_query *q,
                      unsigned rcode, bool udp)
{
    static const uint8_t opt[11] = {0, 0, TAPSI_SIMDNS_OPT, 0x10, 0};
    size_t opt_length = q->edns ? sizeof opt : 0;
    bool cut = w->full || w->length + opt_length > (udp ? q->max : TAPSI_SIMDNS_MAX);
    if (cut) {
        w->length = q->question;
        w->full = false;
        w->records = 0;
    }
    tapsi_simdns_bytes(w, opt, opt_length);
    uint8_t *at = w->at;
    at[2] = (uint8_t)(0x80 | (query[2] & 0x79) | (cut ? 2 : 0)); /* QR, the query's opcode and RD, TC */
    at[3] = (uint8_t)(0x80 | rcode);                             /* RA */
    memset(at + 4, 0, TAPSI_SIMDNS_HEADER - 4);
    at[5] = q->question > TAPSI_SIMDNS_HEADER;
    at[6] = (uint8_t)(w->records >> 8);
    at[7] = (uint8_t)w->records;
    at[11] = opt_length != 0;
}
