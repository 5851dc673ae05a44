/*
 * A DNS server: real queries in, real answers out. It answers like a resolver that has all it knows in its cache; the
 * answer is made when the query comes and leaves when its delay is over.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "platform/sim/service.h"

#define HEADER      12
#define NAME_ROOM   256
#define ANSWER_MAX  65535
#define PLAIN_MAX   512 /* over UDP without EDNS */
#define HOPS_MAX    8
#define TTL_DEFAULT 300
#define TYPE_CNAME  5
#define TYPE_SRV    33
#define TYPE_OPT    41
#define PORT        53

struct record {
    struct tapsi_link link;
    size_t length;
    uint8_t rdata[];
};

/* What is known of one name and type. */
struct entry {
    struct tapsi_link link;
    char name[NAME_ROOM];
    uint16_t type;
    bool fails;
    enum tapsi_sim_rcode rcode; /* with fails */
    uint64_t delay;
    struct tapsi_link records;
};

struct asked {
    struct tapsi_link link;
    char name[NAME_ROOM];
    uint16_t type;
    unsigned count;
};

struct tapsi_sim_dns {
    struct tapsi_sim_resident resident;
    struct tapsi_sim *sim;
    struct tapsi_link entries, asked;
    uint32_t ttl;
    uint8_t answer[ANSWER_MAX];
};

struct query {
    char name[NAME_ROOM];
    uint16_t type;
    size_t question; /* bytes of header and question */
    bool edns;
    size_t max;
};

/* An answer being made in dns->answer. */
struct writer {
    uint8_t *at;
    size_t length;
    bool full;
};

static void write_bytes(struct writer *w, const void *bytes, size_t count)
{
    if (w->full || count > ANSWER_MAX - w->length) {
        w->full = true;
        return;
    }
    memcpy(w->at + w->length, bytes, count);
    w->length += count;
}

static void write_16(struct writer *w, unsigned value)
{
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    write_bytes(w, bytes, sizeof bytes);
}

static unsigned read_16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* "a.test" to labels; 0 if it is no name. `to` has room for NAME_ROOM bytes. */
static size_t encode_name(const char *name, uint8_t *to)
{
    size_t length = 0;
    for (const char *at = name; *at;) {
        size_t label = strcspn(at, ".");
        if (!label || label > 63 || length + label + 2 > NAME_ROOM - 1)
            return 0;
        to[length++] = (uint8_t)label;
        memcpy(to + length, at, label);
        length += label;
        at += label + (at[label] == '.');
    }
    to[length++] = 0;
    return length;
}

/* Labels to text: the bytes they take, or 0. Questions are not compressed. */
static size_t decode_name(const uint8_t *from, size_t count, char *to)
{
    size_t at = 0, length = 0;
    while (at < count && from[at]) {
        size_t label = from[at++];
        if (label > 63 || label > count - at || length + label + 2 > NAME_ROOM)
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

static uint16_t type_of(struct tapsi_sim *sim, const char *text)
{
    static const struct {
        const char *name;
        uint16_t type;
    } types[] = {{"A", 1},    {"NS", 2},    {"CNAME", TYPE_CNAME}, {"SOA", 6},   {"PTR", 12},  {"MX", 15},
                 {"TXT", 16}, {"AAAA", 28}, {"SRV", TYPE_SRV},     {"SVCB", 64}, {"HTTPS", 65}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (tapsi_text_equal(types[i].name, text))
            return types[i].type;
    }
    tapsi_sim_say(sim, "not a DNS type: \"%s\"", text);
    return 0;
}

/* Names are kept without the final dot. */
static void copy_name(char *to, const char *name)
{
    size_t length = tapsi_format(to, NAME_ROOM, "%s", name);
    if (length && to[length - 1] == '.')
        to[length - 1] = 0;
}

static struct entry *find(const struct tapsi_sim_dns *dns, const char *name, uint16_t type)
{
    for (struct tapsi_link *l = dns->entries.next; l != &dns->entries; l = l->next) {
        struct entry *e = TAPSI_CONTAINER(l, struct entry, link);
        if ((!type || e->type == type) && tapsi_text_equal(e->name, name))
            return e;
    }
    return NULL;
}

static struct entry *entry_for(struct tapsi_sim_dns *dns, const char *name, uint16_t type, uint64_t delay)
{
    char clean[NAME_ROOM];
    copy_name(clean, name);
    struct entry *e = find(dns, clean, type);
    if (!e) {
        e = tapsi_zalloc(&dns->sim->mem, sizeof *e);
        if (!e) {
            tapsi_sim_say_memory(dns->sim);
            return NULL;
        }
        memcpy(e->name, clean, sizeof clean);
        e->type = type;
        tapsi_link_init(&e->records);
        tapsi_list_append(&dns->entries, &e->link);
    }
    e->delay = delay;
    return e;
}

void tapsi_sim_dns_record(struct tapsi_sim_dns *dns, const char *name, uint16_t type, const void *rdata, size_t length,
                          uint64_t delay_ns)
{
    struct entry *e = dns ? entry_for(dns, name, type, delay_ns) : NULL;
    struct record *r = e && length <= UINT16_MAX ? tapsi_zalloc(&dns->sim->mem, sizeof *r + length) : NULL;
    if (!r) {
        if (e)
            tapsi_sim_say(dns->sim, "no room for a record of %s", name);
        return;
    }
    r->length = length;
    if (length)
        memcpy(r->rdata, rdata, length);
    e->fails = false;
    tapsi_list_append(&e->records, &r->link);
}

static void add_addresses(struct tapsi_sim_dns *dns, const char *name, uint16_t type, const char *value, uint64_t delay)
{
    for (const char *at = value; *at;) {
        size_t length = strcspn(at, " ");
        char one[TAPSI_ADDR_TEXT];
        union tapsi_addr address;
        unsigned bits, count;
        tapsi_format(one, sizeof one, "%.*s", (int)length, at);
        if (length && tapsi_simhost_parse(dns->sim, one, &address, &bits)) {
            const uint8_t *bytes = tapsi_addr_bytes(&address, &count);
            if ((count == 4) == (type == 1))
                tapsi_sim_dns_record(dns, name, type, bytes, count, delay);
            else
                tapsi_sim_say(dns->sim, "%s is of the wrong family for its record", one);
        }
        at += length + (at[length] == ' ');
    }
}

static void add_srv(struct tapsi_sim_dns *dns, const char *name, const char *value, uint64_t delay)
{
    unsigned priority, weight, port;
    char target[NAME_ROOM];
    uint8_t rdata[6 + NAME_ROOM];
    size_t length = 0;
    if (sscanf(value, "%u %u %u %255s", &priority, &weight, &port, target) == 4)
        length = encode_name(strcmp(target, ".") == 0 ? "" : target, rdata + 6);
    if (!length) {
        tapsi_sim_say(dns->sim, "not an SRV record: \"%s\"", value);
        return;
    }
    struct writer w = {.at = rdata};
    write_16(&w, priority);
    write_16(&w, weight);
    write_16(&w, port);
    tapsi_sim_dns_record(dns, name, TYPE_SRV, rdata, 6 + length, delay);
}

void tapsi_sim_dns_answer(struct tapsi_sim_dns *dns, const char *name, const char *type, const char *value,
                          uint64_t delay_ns)
{
    uint8_t rdata[NAME_ROOM];
    uint16_t number = dns ? type_of(dns->sim, type) : 0;
    size_t length;
    switch (number) {
    case 0:
        return;
    case 1:
    case 28:
        add_addresses(dns, name, number, value, delay_ns);
        return;
    case TYPE_CNAME:
        length = encode_name(value, rdata);
        if (length)
            tapsi_sim_dns_record(dns, name, number, rdata, length, delay_ns);
        else
            tapsi_sim_say(dns->sim, "not a name: \"%s\"", value);
        return;
    case TYPE_SRV:
        add_srv(dns, name, value, delay_ns);
        return;
    default:
        tapsi_sim_say(dns->sim, "records of type %s are given with tapsi_sim_dns_record", type);
    }
}

void tapsi_sim_dns_fail(struct tapsi_sim_dns *dns, const char *name, const char *type, enum tapsi_sim_rcode rcode,
                        uint64_t delay_ns)
{
    uint16_t number = dns ? type_of(dns->sim, type) : 0;
    struct entry *e = number ? entry_for(dns, name, number, delay_ns) : NULL;
    if (e) {
        e->fails = true;
        e->rcode = rcode;
    }
}

void tapsi_sim_dns_ttl(struct tapsi_sim_dns *dns, uint32_t seconds)
{
    if (dns)
        dns->ttl = seconds;
}

unsigned tapsi_sim_dns_queries(const struct tapsi_sim_dns *dns, const char *name, const char *type)
{
    unsigned count = 0;
    uint16_t number = dns && type ? type_of(dns->sim, type) : 0;
    if (!dns || (type && !number))
        return 0;
    for (struct tapsi_link *l = dns->asked.next; l != &dns->asked; l = l->next) {
        const struct asked *a = TAPSI_CONTAINER(l, struct asked, link);
        if ((!name || tapsi_text_equal(a->name, name)) && (!number || a->type == number))
            count += a->count;
    }
    return count;
}

static void note_query(struct tapsi_sim_dns *dns, const struct query *q)
{
    for (struct tapsi_link *l = dns->asked.next; l != &dns->asked; l = l->next) {
        struct asked *a = TAPSI_CONTAINER(l, struct asked, link);
        if (a->type == q->type && tapsi_text_equal(a->name, q->name)) {
            a->count++;
            return;
        }
    }
    struct asked *a = tapsi_zalloc(&dns->sim->mem, sizeof *a);
    if (!a) {
        tapsi_sim_say_memory(dns->sim);
        return;
    }
    memcpy(a->name, q->name, sizeof a->name);
    a->type = q->type;
    a->count = 1;
    tapsi_list_append(&dns->asked, &a->link);
}

/* One question, and perhaps an OPT record behind it. */
static bool parse_query(const uint8_t *bytes, size_t count, struct query *ret)
{
    if (count < HEADER || bytes[2] & 0x80 || read_16(bytes + 4) != 1)
        return false;
    size_t name = decode_name(bytes + HEADER, count - HEADER, ret->name);
    if (!name || count - HEADER - name < 4)
        return false;
    ret->type = (uint16_t)read_16(bytes + HEADER + name);
    ret->question = HEADER + name + 4;
    ret->edns = false;
    ret->max = PLAIN_MAX;
    const uint8_t *opt = bytes + ret->question;
    if (read_16(bytes + 10) == 1 && count - ret->question >= 11 && !opt[0] && read_16(opt + 1) == TYPE_OPT) {
        ret->edns = true;
        ret->max = read_16(opt + 3) > PLAIN_MAX ? read_16(opt + 3) : PLAIN_MAX;
    }
    return true;
}

static unsigned write_records(struct tapsi_sim_dns *dns, struct writer *w, const struct entry *e, const uint8_t *owner,
                              size_t owner_length)
{
    unsigned count = 0;
    for (struct tapsi_link *l = e->records.next; l != &e->records; l = l->next) {
        const struct record *r = TAPSI_CONTAINER(l, struct record, link);
        write_bytes(w, owner, owner_length);
        write_16(w, e->type);
        write_16(w, 1);
        write_16(w, dns->ttl >> 16);
        write_16(w, dns->ttl & 0xffff);
        write_16(w, (unsigned)r->length);
        write_bytes(w, r->rdata, r->length);
        count++;
    }
    return count;
}

/* Follows CNAMEs from the name of the question; returns the rcode and adds up the delays. */
static enum tapsi_sim_rcode write_answers(struct tapsi_sim_dns *dns, struct writer *w, const struct query *q,
                                          unsigned *ret_count, uint64_t *ret_delay)
{
    char name[NAME_ROOM];
    uint8_t owner[NAME_ROOM] = {0xc0, HEADER}; /* a pointer to the question's */
    size_t owner_length = 2;
    memcpy(name, q->name, sizeof name);
    for (unsigned hop = 0; hop < HOPS_MAX; hop++) {
        const struct entry *e = find(dns, name, q->type), *alias = find(dns, name, TYPE_CNAME);
        if (e) {
            *ret_delay += e->delay;
            if (!e->fails)
                *ret_count += write_records(dns, w, e, owner, owner_length);
            return e->fails ? e->rcode : TAPSI_SIM_DNS_EMPTY;
        }
        if (!alias || alias->fails || tapsi_list_empty(&alias->records)) {
            if (alias)
                *ret_delay += alias->delay;
            return alias && alias->fails ? alias->rcode
                   : find(dns, name, 0)  ? TAPSI_SIM_DNS_EMPTY
                                         : TAPSI_SIM_DNS_NXDOMAIN;
        }
        *ret_count += write_records(dns, w, alias, owner, owner_length);
        *ret_delay += alias->delay;
        const struct record *target = TAPSI_CONTAINER(alias->records.next, struct record, link);
        memcpy(owner, target->rdata, target->length);
        owner_length = target->length;
        decode_name(target->rdata, target->length, name);
    }
    return TAPSI_SIM_DNS_SERVFAIL;
}

/* The answer to `bytes` is in dns->answer: its length, 0 if there is none. */
static size_t answer(struct tapsi_sim_dns *dns, const uint8_t *bytes, size_t count, bool udp, uint64_t *ret_delay)
{
    struct query q;
    struct writer w = {.at = dns->answer};
    unsigned records = 0;
    enum tapsi_sim_rcode rcode = TAPSI_SIM_DNS_FORMERR;
    if (count < HEADER || bytes[2] & 0x80)
        return 0;
    bool parsed = parse_query(bytes, count, &q);
    write_bytes(&w, bytes, parsed ? q.question : HEADER);
    if (parsed) {
        note_query(dns, &q);
        rcode = write_answers(dns, &w, &q, &records, ret_delay);
        if (rcode == TAPSI_SIM_DNS_NEVER)
            return 0;
    }
    size_t opt = parsed && q.edns ? 11 : 0;
    bool cut = parsed && (w.full || w.length + opt > (udp ? q.max : ANSWER_MAX));
    if (cut) {
        w.length = q.question;
        w.full = false;
        records = 0;
    }
    if (opt) {
        static const uint8_t record[11] = {0, 0, TYPE_OPT, 0x10, 0};
        write_bytes(&w, record, sizeof record);
    }
    dns->answer[2] = (uint8_t)(0x80 | (bytes[2] & 0x79) | (cut ? 2 : 0)); /* QR, the query's opcode and RD, TC */
    dns->answer[3] = (uint8_t)(0x80 | rcode);                             /* RA */
    memset(dns->answer + 4, 0, HEADER - 4);
    dns->answer[5] = parsed;
    dns->answer[6] = (uint8_t)(records >> 8);
    dns->answer[7] = (uint8_t)records;
    dns->answer[11] = opt != 0;
    return w.length;
}

static void on_packet(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                      const uint8_t *bytes, size_t count)
{
    struct tapsi_sim_dns *dns = arg;
    uint64_t delay = 0;
    size_t length = answer(dns, bytes, count, true, &delay);
    if (length)
        tapsi_sim_udp_reply(udp, to, from, dns->answer, length, delay);
}

static void on_data(void *arg, struct tapsi_simtalk *talk, const uint8_t *bytes, size_t count)
{
    struct tapsi_sim_dns *dns = arg;
    if (tapsi_simbytes_add(&talk->in, &dns->sim->mem, bytes, count) < 0) {
        tapsi_sim_say_memory(dns->sim);
        return;
    }
    while (talk->in.length >= 2) {
        const uint8_t *at = talk->in.data + talk->in.start;
        size_t size = read_16(at);
        uint64_t delay = 0;
        if (talk->in.length < 2 + size)
            return;
        size_t length = answer(dns, at + 2, size, false, &delay);
        tapsi_simbytes_drop(&talk->in, 2 + size);
        if (length) {
            uint8_t prefix[2] = {(uint8_t)(length >> 8), (uint8_t)length};
            tapsi_simtalk_send(talk, prefix, sizeof prefix, delay);
            tapsi_simtalk_send(talk, dns->answer, length, delay);
        }
    }
}

static void free_dns(struct tapsi_sim_resident *resident)
{
    struct tapsi_sim_dns *dns = TAPSI_CONTAINER(resident, struct tapsi_sim_dns, resident);
    struct tapsi_mem *mem = &dns->sim->mem;
    for (struct tapsi_link *l; (l = tapsi_list_pop(&dns->asked));)
        tapsi_free(mem, TAPSI_CONTAINER(l, struct asked, link));
    for (struct tapsi_link *l; (l = tapsi_list_pop(&dns->entries));) {
        struct entry *e = TAPSI_CONTAINER(l, struct entry, link);
        for (struct tapsi_link *r; (r = tapsi_list_pop(&e->records));)
            tapsi_free(mem, TAPSI_CONTAINER(r, struct record, link));
        tapsi_free(mem, e);
    }
    tapsi_free(mem, dns);
}

struct tapsi_sim_dns *tapsi_sim_dns_new(struct tapsi_sim_host *host)
{
    struct tapsi_sim_dns *dns = host ? tapsi_zalloc(&host->sim->mem, sizeof *dns) : NULL;
    if (!dns) {
        if (host)
            tapsi_sim_say_memory(host->sim);
        return NULL;
    }
    dns->sim = host->sim;
    dns->ttl = TTL_DEFAULT;
    dns->resident.free = free_dns;
    tapsi_link_init(&dns->entries);
    tapsi_link_init(&dns->asked);
    tapsi_list_append(&host->sim->services, &dns->resident.link);
    tapsi_sim_udp_serve(host, PORT, on_packet, dns);
    tapsi_simservice_new(host, PORT, on_data, dns);
    return dns;
}
