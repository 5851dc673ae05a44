/*
 * Answers that no honest server gives. Whatever in them claims an address names the liar's own (TAPSI_SIM_DNS_LIAR4,
 * TAPSI_SIM_DNS_LIAR6), so a test sees who believed it by where packets go.
 */
#include <string.h>
#include "base/str.h"
#include "platform/sim/dns.h"

#define MANY         2000
#define CUT_OFF      7
#define GARBAGE_MAX  300
#define LIAR_PORT    54
#define FOREIGN_NAME "foreign.liar.test"
#define LOOP_NAME    "loop.liar.test"

struct rule {
    struct tapsi_link link;
    char name[TAPSI_SIMDNS_NAME]; /* "" = any */
    uint16_t type;                /* 0 = any */
    unsigned lie, left;           /* left 0 = always */
};

static struct rule *find(struct tapsi_sim_dns *dns, const char *name, uint16_t type)
{
    for (struct tapsi_link *l = dns->lies.next; l != &dns->lies; l = l->next) {
        struct rule *r = TAPSI_CONTAINER(l, struct rule, link);
        if (r->type == type && tapsi_text_equal(r->name, name))
            return r;
    }
    return NULL;
}

static void forget(struct tapsi_sim_dns *dns, struct rule *r)
{
    tapsi_list_remove(&r->link);
    tapsi_free(&dns->sim->mem, r);
}

void tapsi_simdns_done_lies(struct tapsi_sim_dns *dns)
{
    for (struct tapsi_link *l; (l = tapsi_list_first(&dns->lies));)
        forget(dns, TAPSI_CONTAINER(l, struct rule, link));
}

void tapsi_sim_dns_lie(struct tapsi_sim_dns *dns, const char *name, const char *type, unsigned lie, unsigned times)
{
    uint16_t number = dns && type ? tapsi_simdns_type(dns->sim, type) : 0;
    if (!dns || (type && !number))
        return;
    struct rule *r = find(dns, name ? name : "", number);
    if (lie == TAPSI_SIM_DNS_HONEST) {
        if (r)
            forget(dns, r);
        return;
    }
    if (!r) {
        r = tapsi_zalloc(&dns->sim->mem, sizeof *r);
        if (!r) {
            tapsi_sim_say_memory(dns->sim);
            return;
        }
        tapsi_format(r->name, sizeof r->name, "%s", name ? name : "");
        r->type = number;
        tapsi_list_append(&dns->lies, &r->link);
    }
    r->lie = lie;
    r->left = times;
}

const char *tapsi_simdns_lie_text(unsigned lie)
{
    static const char *const names[] = {"none",        "truncated", "wrong id",      "wrong name", "wrong type",
                                        "no question", "no answer", "other address", "other port", "foreign",
                                        "foreign too", "loop",      "pointer loop",  "many",       "cut",
                                        "garbage",     "nothing"};
    lie &= ~(unsigned)TAPSI_SIM_DNS_THEN_TRUTH;
    return lie < sizeof names / sizeof *names ? names[lie] : "?";
}

static bool only_over_udp(unsigned lie)
{
    lie &= ~(unsigned)TAPSI_SIM_DNS_THEN_TRUTH;
    return lie == TAPSI_SIM_DNS_TRUNCATED || lie == TAPSI_SIM_DNS_OTHER_ADDRESS || lie == TAPSI_SIM_DNS_OTHER_PORT;
}

unsigned tapsi_simdns_choose_lie(struct tapsi_sim_dns *dns, const struct tapsi_simdns_query *q, bool udp)
{
    for (struct tapsi_link *l = dns->lies.next; l != &dns->lies; l = l->next) {
        struct rule *r = TAPSI_CONTAINER(l, struct rule, link);
        if ((r->type && r->type != q->type) || (r->name[0] && !tapsi_text_equal(r->name, q->name)))
            continue;
        if (only_over_udp(r->lie) && !udp)
            continue;
        unsigned lie = r->lie;
        if (r->left && --r->left == 0)
            forget(dns, r);
        return lie;
    }
    return TAPSI_SIM_DNS_HONEST;
}

union tapsi_addr tapsi_simdns_lie_source(unsigned lie, const union tapsi_addr *to)
{
    union tapsi_addr from = *to;
    lie &= ~(unsigned)TAPSI_SIM_DNS_THEN_TRUTH;
    if (lie == TAPSI_SIM_DNS_OTHER_ADDRESS) {
        tapsi_addr_parse(to->sa.sa_family == AF_INET6 ? TAPSI_SIM_DNS_LIAR6 : TAPSI_SIM_DNS_LIAR4, &from);
        tapsi_addr_set_port(&from, tapsi_addr_port(to));
    } else if (lie == TAPSI_SIM_DNS_OTHER_PORT) {
        tapsi_addr_set_port(&from, LIAR_PORT);
    }
    return from;
}

/* An address record of the liar, if it was asked for one. */
static void write_liar(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, const struct tapsi_simdns_name *owner,
                       uint16_t type)
{
    union tapsi_addr liar;
    unsigned count;
    if (type != TAPSI_SIMDNS_A && type != TAPSI_SIMDNS_AAAA)
        return;
    tapsi_addr_parse(type == TAPSI_SIMDNS_A ? TAPSI_SIM_DNS_LIAR4 : TAPSI_SIM_DNS_LIAR6, &liar);
    const uint8_t *bytes = tapsi_addr_bytes(&liar, &count);
    tapsi_simdns_record(w, owner, type, dns->ttl, bytes, count);
}

static void write_foreign(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, uint16_t type)
{
    struct tapsi_simdns_name foreign;
    if (tapsi_simdns_encode(FOREIGN_NAME, &foreign))
        write_liar(dns, w, &foreign, type);
}

static void write_loop(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, const struct tapsi_simdns_name *owner,
                       const char *name)
{
    struct tapsi_simdns_name loop, back;
    if (!tapsi_simdns_encode(LOOP_NAME, &loop) || !tapsi_simdns_encode(name, &back))
        return;
    tapsi_simdns_record(w, owner, TAPSI_SIMDNS_CNAME, dns->ttl, loop.bytes, loop.length);
    tapsi_simdns_record(w, &loop, TAPSI_SIMDNS_CNAME, dns->ttl, back.bytes, back.length);
}

static void write_many(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, const struct tapsi_simdns_name *owner,
                       uint16_t type)
{
    static const uint8_t prefix4[2] = {198, 18}, prefix6[6] = {0x20, 0x01, 0x0d, 0xb8, 0x0b, 0xad};
    bool six = type == TAPSI_SIMDNS_AAAA;
    if (type != TAPSI_SIMDNS_A && !six)
        return;
    for (unsigned i = 1; i <= MANY; i++) {
        uint8_t bytes[16] = {0};
        size_t length = six ? 16 : 4;
        memcpy(bytes, six ? prefix6 : prefix4, six ? sizeof prefix6 : sizeof prefix4);
        bytes[length - 2] = (uint8_t)(i >> 8);
        bytes[length - 1] = (uint8_t)i;
        tapsi_simdns_record(w, owner, type, dns->ttl, bytes, length);
    }
}

/* Another name of the same length. */
static void change_name(uint8_t *question)
{
    if (question[0])
        question[1] = question[1] == 'x' ? 'y' : 'x';
}

static void write_records(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, unsigned lie,
                          const struct tapsi_simdns_query *q)
{
    struct tapsi_simdns_name owner = {.bytes = {0xc0, TAPSI_SIMDNS_HEADER}, .length = 2};
    uint64_t delay = 0;
    switch (lie) {
    case TAPSI_SIM_DNS_NO_QUESTION:
        if (tapsi_simdns_encode(q->name, &owner))
            write_liar(dns, w, &owner, q->type);
        break;
    case TAPSI_SIM_DNS_FOREIGN_TOO:
        tapsi_simdns_write_truth(dns, w, q, &delay);
        write_foreign(dns, w, q->type);
        break;
    case TAPSI_SIM_DNS_FOREIGN:
        write_foreign(dns, w, q->type);
        break;
    case TAPSI_SIM_DNS_LOOP:
        write_loop(dns, w, &owner, q->name);
        break;
    case TAPSI_SIM_DNS_POINTER_LOOP:
        owner.bytes[0] = (uint8_t)(0xc0 | w->length >> 8);
        owner.bytes[1] = (uint8_t)w->length;
        write_liar(dns, w, &owner, q->type);
        break;
    case TAPSI_SIM_DNS_MANY:
        write_many(dns, w, &owner, q->type);
        break;
    default:
        write_liar(dns, w, &owner, q->type);
    }
}

static void write_garbage(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, const uint8_t *query)
{
    uint8_t bytes[GARBAGE_MAX];
    uint64_t *dice = &dns->sim->dice;
    size_t length = TAPSI_SIMDNS_HEADER + tapsi_sim_dice(dice) % (sizeof bytes - TAPSI_SIMDNS_HEADER);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)tapsi_sim_dice(dice);
    memcpy(bytes, query, 2);
    bytes[2] |= 0x80;
    tapsi_simdns_bytes(w, bytes, length);
}

void tapsi_simdns_write_lie(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, unsigned lie,
                            const struct tapsi_simdns_query *q, const uint8_t *query, bool udp)
{
    lie &= ~(unsigned)TAPSI_SIM_DNS_THEN_TRUTH;
    if (lie == TAPSI_SIM_DNS_NOTHING)
        return;
    if (lie == TAPSI_SIM_DNS_GARBAGE) {
        write_garbage(dns, w, query);
        return;
    }
    struct tapsi_simdns_query asked = *q;
    if (lie == TAPSI_SIM_DNS_NO_QUESTION)
        asked.question = TAPSI_SIMDNS_HEADER;
    tapsi_simdns_begin(w, query, &asked);
    write_records(dns, w, lie, q);
    tapsi_simdns_end(w, query, &asked, 0, udp);
    uint8_t *at = w->at;
    switch (lie) {
    case TAPSI_SIM_DNS_WRONG_ID:
        at[1] ^= 1;
        break;
    case TAPSI_SIM_DNS_WRONG_NAME:
        change_name(at + TAPSI_SIMDNS_HEADER);
        break;
    case TAPSI_SIM_DNS_WRONG_TYPE:
        at[q->question - 3] ^= 0x40;
        break;
    case TAPSI_SIM_DNS_NO_QUESTION:
        at[5] = 0;
        break;
    case TAPSI_SIM_DNS_NO_ANSWER:
        at[2] &= 0x7f;
        break;
    case TAPSI_SIM_DNS_CUT:
        w->length -= w->length > q->question + CUT_OFF ? CUT_OFF : 0;
        break;
    default:
        break;
    }
}
