/* The DNS server's inside: dns.c has the records, dnswire.c the messages, dnslie.c the lies. */
#ifndef TAPSI_SIM_DNS_H
#define TAPSI_SIM_DNS_H

#include "platform/sim/service.h"

#define TAPSI_SIMDNS_HEADER 12
#define TAPSI_SIMDNS_NAME   256
#define TAPSI_SIMDNS_MAX    65535
#define TAPSI_SIMDNS_PORT   53

#define TAPSI_SIMDNS_A     1
#define TAPSI_SIMDNS_CNAME 5
#define TAPSI_SIMDNS_AAAA  28
#define TAPSI_SIMDNS_SRV   33
#define TAPSI_SIMDNS_OPT   41

struct tapsi_sim_dns {
    struct tapsi_sim_resident resident;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *host;
    struct tapsi_link entries, asked, lies;
    uint32_t ttl;
    enum tapsi_sim_dns_tcp tcp_mode;
    struct tapsi_sim_service *tcp;
    uint8_t *answer; /* TAPSI_SIMDNS_MAX bytes: the one being made */
};

struct tapsi_simdns_query {
    char name[TAPSI_SIMDNS_NAME];
    uint16_t type;
    size_t question; /* bytes of header and question */
    bool edns;
    size_t max; /* over UDP */
};

/* On the wire: labels, or a pointer. */
struct tapsi_simdns_name {
    uint8_t bytes[TAPSI_SIMDNS_NAME];
    size_t length;
};

struct tapsi_simdns_writer {
    uint8_t *at;
    size_t length;
    unsigned records;
    bool full;
};

void tapsi_simdns_bytes(struct tapsi_simdns_writer *w, const void *bytes, size_t count);
void tapsi_simdns_16(struct tapsi_simdns_writer *w, unsigned value);
void tapsi_simdns_record(struct tapsi_simdns_writer *w, const struct tapsi_simdns_name *owner, uint16_t type,
                         uint32_t ttl, const void *rdata, size_t length);
unsigned tapsi_simdns_read_16(const uint8_t *at);
/* "a.test" to labels; false if it is no name. */
bool tapsi_simdns_encode(const char *name, struct tapsi_simdns_name *ret);
/* Labels to text (TAPSI_SIMDNS_NAME bytes): the bytes they take, or 0. Questions are not compressed. */
size_t tapsi_simdns_decode(const uint8_t *from, size_t count, char *to);
/* 0 with a problem if there is no such type; NULL if it has no name here. */
uint16_t tapsi_simdns_type(struct tapsi_sim *sim, const char *text);
const char *tapsi_simdns_type_text(uint16_t type);
bool tapsi_simdns_parse(const uint8_t *bytes, size_t count, struct tapsi_simdns_query *ret);

/* Header and question of `query` (all of it that q->question counts); then the records; then the end, which sets the
   header and cuts what is too long. */
void tapsi_simdns_begin(struct tapsi_simdns_writer *w, const uint8_t *query, const struct tapsi_simdns_query *q);
void tapsi_simdns_end(struct tapsi_simdns_writer *w, const uint8_t *query, const struct tapsi_simdns_query *q,
                      unsigned rcode, bool udp);
/* dns.c: what is known of the question; adds up the delays. */
enum tapsi_sim_rcode tapsi_simdns_write_truth(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w,
                                              const struct tapsi_simdns_query *q, uint64_t *ret_delay);

/* Which lie the query is told, and one use of it: a tapsi_sim_dns_lie, with TAPSI_SIM_DNS_THEN_TRUTH or without. */
unsigned tapsi_simdns_choose_lie(struct tapsi_sim_dns *dns, const struct tapsi_simdns_query *q, bool udp);
/* The lie about `query`, whole, in the empty writer `w`. */
void tapsi_simdns_write_lie(struct tapsi_sim_dns *dns, struct tapsi_simdns_writer *w, unsigned lie,
                            const struct tapsi_simdns_query *q, const uint8_t *query, bool udp);
/* From where a lie comes over UDP: `to` is where the query went. */
union tapsi_addr tapsi_simdns_lie_source(unsigned lie, const union tapsi_addr *to);
const char *tapsi_simdns_lie_text(unsigned lie);
void tapsi_simdns_done_lies(struct tapsi_sim_dns *dns);

#endif
