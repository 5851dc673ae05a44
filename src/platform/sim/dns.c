/*
 * A DNS server: real queries in, real answers out. It answers like a resolver that has all it knows in its cache; the
 * answer is made when the query comes and leaves when its delay is over.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "platform/sim/dns.h"
#include "platform/sim/trace.h"

#define NAME_ROOM   TAPSI_SIMDNS_NAME
#define HOPS_MAX    8
#define TTL_DEFAULT 300

struct record {
    struct tapsi_link link;
    size_t length;
    uint8_t rdata[];
};

/* What is known of one name and type. */
struct entry {
    struct tapsi_link link;
    uint16_t type;
    bool fails;
    enum tapsi_sim_rcode rcode; /* with fails */
    uint64_t delay;
    struct tapsi_link records;
    char name[];
};

struct asked {
    struct tapsi_link link;
    uint16_t type;
    unsigned count;
    char name[];
};

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
        e = tapsi_sim_block(dns->sim, sizeof *e, strlen(clean) + 1);
        if (!e)
            return NULL;
        memcpy(e->name, clean, strlen(clean) + 1);
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
            if ((count == 4) == (type == TAPSI_SIMDNS_A))
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
    struct tapsi_simdns_name encoded;
    if (sscanf(value, "%u %u %u %255s", &priority, &weight, &port, target) != 4 ||
        !tapsi_simdns_encode(strcmp(target, ".") == 0 ? "" : target, &encoded)) {
        tapsi_sim_say(dns->sim, "not an SRV record: \"%s\"", value);
        return;
    }
    struct tapsi_simdns_writer w = {.at = rdata};
    tapsi_simdns_16(&w, priority);
    tapsi_simdns_16(&w, weight);
    tapsi_simdns_16(&w, port);
    tapsi_simdns_bytes(&w, encoded.bytes, encoded.length);
    tapsi_sim_dns_record(dns, name, TAPSI_SIMDNS_SRV, rdata, w.length, delay);
}

void tapsi_sim_dns_answer(struct tapsi_sim_dns *dns, const char *name, const char *type, const char *value,
                          uint64_t delay_ns)
{
    struct tapsi_simdns_name alias;
    uint16_t number = dns ? tapsi_simdns_type(dns->sim, type) : 0;
    switch (number) {
    case 0:
        return;
    case TAPSI_SIMDNS_A:
    case TAPSI_SIMDNS_AAAA:
        add_addresses(dns, name, number, value, delay_ns);
        return;
    case TAPSI_SIMDNS_CNAME:
        if (tapsi_simdns_encode(value, &alias))
            tapsi_sim_dns_record(dns, name, number, alias.bytes, alias.length, delay_ns);
        else
            tapsi_sim_say(dns->sim, "not a name: \"%s\"", value);
        return;
    case TAPSI_SIMDNS_SRV:
        add_srv(dns, name, value, delay_ns);
        return;
    default:
        tapsi_sim_say(dns->sim, "records of type %s are given with tapsi_sim_dns_record", type);
    }
}

void tapsi_sim_dns_fail(struct tapsi_sim_dns *dns, const char *name, const char *type, enum tapsi_sim_rcode rcode,
                        uint64_t delay_ns)
{
    uint16_t number = dns ? tapsi_simdns_type(dns->sim, type) : 0;
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
    uint16_t number = dns && type ? tapsi_simdns_type(dns->sim, type) : 0;
    if (!dns || (type && !number))
        return 0;
    for (struct tapsi_link *l = dns->asked.next; l != &dns->asked; l = l->next) {
        const struct asked *a = TAPSI_CONTAINER(l, struct asked, link);
        if ((!name || tapsi_text_equal(a->name, name)) && (!number || a->type == number))
            count += a->count;
    }
    return count;
}

static void note_query(struct tapsi_sim_dns *dns, const struct tapsi_simdns_query *q)
{
    for (struct tapsi_link *l = dns->asked.next; l != &dns->asked; l = l->next) {
        struct asked *a = TAPSI_CONTAINER(l, struct asked, link);
        if (a->type == q->type && tapsi_text_equal(a->name, q->name)) {
            a->count++;
            return;
        }
    }
    struct asked *a = tapsi_sim_block(dns->sim, sizeof *a, strlen(q->name) + 1);
    if (!a)
        return;
    memcpy(a->name, q->name, strlen(q->name) + 1);
    a->type = q->type;
    a->count = 1;
    tapsi_list_append(&dns->asked, &a->link);
}

static void write_records(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, const struct entry *e,
                          const struct tapsi_simdns_name *owner)
{
    for (struct tapsi_link *l = e->records.next; l != &e->records; l = l->next) {
        const struct record *r = TAPSI_CONTAINER(l, struct record, link);
        tapsi_simdns_record(w, owner, e->type, dns->ttl, r->rdata, r->length);
    }
}

/* Follows CNAMEs from the name of the question. */
enum tapsi_sim_rcode tapsi_simdns_write_truth(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w,
                                              const struct tapsi_simdns_query *q, uint64_t *ret_delay)
{
    char name[NAME_ROOM];
    struct tapsi_simdns_name owner = {.bytes = {0xc0, TAPSI_SIMDNS_HEADER}, .length = 2}; /* the question's */
    memcpy(name, q->name, sizeof name);
    for (unsigned hop = 0; hop < HOPS_MAX; hop++) {
        const struct entry *e = find(dns, name, q->type), *alias = find(dns, name, TAPSI_SIMDNS_CNAME);
        if (e) {
            *ret_delay += e->delay;
            if (!e->fails)
                write_records(dns, w, e, &owner);
            return e->fails ? e->rcode : TAPSI_SIM_DNS_EMPTY;
        }
        if (!alias || alias->fails || tapsi_list_empty(&alias->records)) {
            if (alias)
                *ret_delay += alias->delay;
            return alias && alias->fails ? alias->rcode
                   : find(dns, name, 0)  ? TAPSI_SIM_DNS_EMPTY
                                         : TAPSI_SIM_DNS_NXDOMAIN;
        }
        write_records(dns, w, alias, &owner);
        *ret_delay += alias->delay;
        const struct record *target = TAPSI_CONTAINER(alias->records.next, struct record, link);
        memcpy(owner.bytes, target->rdata, target->length);
        owner.length = target->length;
        tapsi_simdns_decode(target->rdata, target->length, name);
    }
    return TAPSI_SIM_DNS_SERVFAIL;
}

/* One query, and the answer to it that is being made in dns->answer. */
struct exchange {
    struct tapsi_sim_dns *dns;
    const uint8_t *query;
    size_t count;
    bool udp, parsed;
    struct tapsi_simdns_query q;
    unsigned lie;
    uint64_t delay;
};

/* "query example.test AAAA over UDP". */
static void trace(const struct exchange *x, const char *what, const char *result)
{
    char number[16];
    const char *type = tapsi_simdns_type_text(x->q.type);
    tapsi_format(number, sizeof number, "type %u", x->q.type);
    tapsi_simtrace_line(x->dns->sim, x->dns->host, "dns", "%s %s %s over %s%s", what,
                        !x->parsed     ? "(malformed)"
                        : x->q.name[0] ? x->q.name
                                       : ".",
                        type ? type : number, x->udp ? "UDP" : "TCP", result);
}

static void trace_answer(const struct exchange *x, size_t length, const char *lie)
{
    const uint8_t *at = x->dns->answer;
    char result[80], time[32];
    if (!x->dns->sim->trace_to)
        return;
    if (lie)
        tapsi_format(result, sizeof result, ": lie %s, %zu bytes after %s", lie, length,
                     tapsi_simtrace_time(x->delay, time));
    else if (!length)
        tapsi_format(result, sizeof result, ": none");
    else
        tapsi_format(result, sizeof result, ": rcode %u, %u records%s, %zu bytes after %s", at[3] & 15u,
                     tapsi_simdns_read_16(at + 6), at[2] & 2 ? ", truncated" : "", length,
                     tapsi_simtrace_time(x->delay, time));
    trace(x, "answer", result);
}

/* false: there is nothing to answer. */
static bool begin(struct exchange *x)
{
    if (x->count < TAPSI_SIMDNS_HEADER || x->query[2] & 0x80)
        return false;
    x->parsed = tapsi_simdns_parse(x->query, x->count, &x->q);
    if (!x->parsed)
        x->q = (struct tapsi_simdns_query){.question = TAPSI_SIMDNS_HEADER, .max = TAPSI_SIMDNS_MAX};
    else
        note_query(x->dns, &x->q);
    x->lie = x->parsed ? tapsi_simdns_choose_lie(x->dns, &x->q, x->udp) : TAPSI_SIM_DNS_HONEST;
    if (x->dns->sim->trace_to)
        trace(x, "query", "");
    return true;
}

/* The length of the true answer, 0 if there is none. */
static size_t tell_truth(struct exchange *x)
{
    struct tapsi_simdns_writer w = {.at = x->dns->answer};
    enum tapsi_sim_rcode rcode = TAPSI_SIM_DNS_FORMERR;
    x->delay = 0;
    tapsi_simdns_begin(&w, x->query, &x->q);
    if (x->parsed)
        rcode = tapsi_simdns_write_truth(x->dns, &w, &x->q, &x->delay);
    if (rcode == TAPSI_SIM_DNS_NEVER)
        return 0;
    if (x->lie == TAPSI_SIM_DNS_TRUNCATED)
        w.full = true;
    tapsi_simdns_end(&w, x->query, &x->q, rcode, x->udp);
    return w.length;
}

static size_t tell_lie(struct exchange *x)
{
    struct tapsi_simdns_writer w = {.at = x->dns->answer};
    tapsi_simdns_write_lie(x->dns, &w, x->lie, &x->q, x->query, x->udp);
    return w.length;
}

static bool is_lie(const struct exchange *x)
{
    return x->lie != TAPSI_SIM_DNS_HONEST && x->lie != TAPSI_SIM_DNS_TRUNCATED;
}

static void on_packet(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                      const uint8_t *bytes, size_t count)
{
    struct exchange x = {.dns = arg, .query = bytes, .count = count, .udp = true};
    if (!begin(&x))
        return;
    size_t truth = tell_truth(&x);
    if (is_lie(&x)) {
        union tapsi_addr source = tapsi_simdns_lie_source(x.lie, to);
        size_t lie = tell_lie(&x);
        trace_answer(&x, lie, tapsi_simdns_lie_text(x.lie));
        tapsi_simudp_forge(udp, &source, from, x.dns->answer, lie, x.delay);
        truth = x.lie & TAPSI_SIM_DNS_THEN_TRUTH ? tell_truth(&x) : 0;
    }
    if (truth || !is_lie(&x))
        trace_answer(&x, truth, NULL);
    if (truth)
        tapsi_sim_udp_reply(udp, to, from, x.dns->answer, truth, x.delay);
}

static void send_framed(const struct exchange *x, struct tapsi_simtalk *talk, size_t length)
{
    uint8_t prefix[2] = {(uint8_t)(length >> 8), (uint8_t)length};
    tapsi_simtalk_send(talk, prefix, sizeof prefix, x->delay);
    if (x->dns->tcp_mode == TAPSI_SIM_DNS_TCP_HALF)
        length /= 2;
    tapsi_simtalk_send(talk, x->dns->answer, length, x->delay);
}

static void answer_over_tcp(struct tapsi_sim_dns *dns, struct tapsi_simtalk *talk, const uint8_t *query, size_t count)
{
    struct exchange x = {.dns = dns, .query = query, .count = count};
    if (!begin(&x) || dns->tcp_mode == TAPSI_SIM_DNS_TCP_MUTE)
        return;
    if (dns->tcp_mode == TAPSI_SIM_DNS_TCP_CLOSES) {
        tapsi_simtcp_shutdown(talk->socket, SHUT_WR);
        return;
    }
    size_t truth = tell_truth(&x);
    if (is_lie(&x)) {
        size_t lie = tell_lie(&x);
        trace_answer(&x, lie, tapsi_simdns_lie_text(x.lie));
        send_framed(&x, talk, lie);
        truth = x.lie & TAPSI_SIM_DNS_THEN_TRUTH ? tell_truth(&x) : 0;
    }
    if (truth || !is_lie(&x))
        trace_answer(&x, truth, NULL);
    if (truth)
        send_framed(&x, talk, truth);
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
        size_t size = tapsi_simdns_read_16(at);
        if (talk->in.length < 2 + size)
            return;
        answer_over_tcp(dns, talk, at + 2, size);
        tapsi_simbytes_drop(&talk->in, 2 + size);
    }
}

void tapsi_sim_dns_tcp(struct tapsi_sim_dns *dns, enum tapsi_sim_dns_tcp mode)
{
    if (!dns)
        return;
    dns->tcp_mode = mode;
    tapsi_simservice_listen(dns->tcp, mode == TAPSI_SIM_DNS_TCP_REFUSED  ? TAPSI_SIMSERVICE_REFUSE
                                      : mode == TAPSI_SIM_DNS_TCP_SILENT ? TAPSI_SIMSERVICE_DEAF
                                                                         : TAPSI_SIMSERVICE_ACCEPT);
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
    tapsi_simdns_done_lies(dns);
    tapsi_free(mem, dns->answer);
    tapsi_free(mem, dns);
}

struct tapsi_sim_dns *tapsi_sim_dns_new(struct tapsi_sim_host *host)
{
    struct tapsi_sim_dns *dns = host ? tapsi_zalloc(&host->sim->mem, sizeof *dns) : NULL;
    uint8_t *answer = dns ? tapsi_alloc(&host->sim->mem, TAPSI_SIMDNS_MAX) : NULL;
    if (!answer) {
        if (host) {
            tapsi_sim_say_memory(host->sim);
            tapsi_free(&host->sim->mem, dns);
        }
        return NULL;
    }
    dns->sim = host->sim;
    dns->host = host;
    dns->answer = answer;
    dns->ttl = TTL_DEFAULT;
    dns->resident.free = free_dns;
    tapsi_link_init(&dns->entries);
    tapsi_link_init(&dns->asked);
    tapsi_link_init(&dns->lies);
    tapsi_list_append(&host->sim->services, &dns->resident.link);
    tapsi_sim_udp_serve(host, TAPSI_SIMDNS_PORT, on_packet, dns);
    dns->tcp = tapsi_simservice_new(host, TAPSI_SIMDNS_PORT, on_data, dns);
    return dns;
}
