/*
 * The addresses of the Remote Endpoints: literal ones at once, names by A and AAAA queries that run side by side. A
 * name is released, that is its addresses may be tried, as RFC 8305, section 3 says: when the AAAA answer is there, or
 * when the A answer is there and the AAAA answer did not follow within the resolution delay.
 */
#ifndef TAPSI_ESTABLISH_LOOKUPS_H
#define TAPSI_ESTABLISH_LOOKUPS_H

#include "loop/resolve.h"
#include "select/endpoint.h"

enum { TAPSI_LOOKUP_AAAA, TAPSI_LOOKUP_A, TAPSI_LOOKUP_FAMILIES };

struct tapsi_lookups;

struct tapsi_lookup_query {
    struct tapsi_lookup *name;
    struct tapsi_query *query;
    bool wanted, done;
    bool logged; /* by whoever writes down what was found */
    int error;   /* taps_err of a failed query */
    uint64_t start, end;
    union tapsi_addr *addresses;
    size_t count;
    char source[8]; /* "hosts", "dns", "literal" */
    char reason[160];
};

struct tapsi_lookup {
    struct tapsi_lookups *names;
    const struct taps_endpoint *endpoint; /* of the config */
    struct tapsi_lookup_query queries[TAPSI_LOOKUP_FAMILIES];
    struct tapsi_timer delay;
    bool has_delay;
    bool released;
};

struct tapsi_lookups {
    struct tapsi_loop *loop;
    struct tapsi_resolver *resolver;
    uint64_t delay_ns;
    size_t count;
    struct tapsi_lookup *items;
    void (*changed)(struct tapsi_lookups *names); /* something was released, or ended */
};

/* `families`: bits 1 << TAPSI_LOOKUP_AAAA, 1 << TAPSI_LOOKUP_A that are of use. Endpoints are borrowed. */
int tapsi_lookups_init(struct tapsi_lookups *names, struct tapsi_loop *loop, struct tapsi_resolver *resolver,
                       const struct taps_endpoint *endpoints, size_t count, unsigned families, uint64_t delay_ns,
                       void (*changed)(struct tapsi_lookups *));
/* Cancels what is under way and frees the addresses. Harmless twice, and where init failed or never was (zeroed). */
void tapsi_lookups_done(struct tapsi_lookups *names);
/* Cancels what is under way; the addresses stay for the report. */
void tapsi_lookups_stop(struct tapsi_lookups *names);
/* Starts the queries. `changed` is never called from inside. */
void tapsi_lookups_start(struct tapsi_lookups *names);
/* Is any query under way, or any name not released? */
bool tapsi_lookups_pending(const struct tapsi_lookups *names);
/* How many addresses all names have by now. */
size_t tapsi_lookups_total(const struct tapsi_lookups *names);
/* Nothing was found for any name: why, in one sentence with the name. 0 if something was found. */
int tapsi_lookups_error(const struct tapsi_lookups *names, struct tapsi_error *ret_error);

#endif
