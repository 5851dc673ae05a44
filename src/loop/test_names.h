/*
 * The resolver on a simulated network, in virtual time: a client, a name server 20 ms away and a second host, an
 * allocator that fails as the test says, and queries that write down what they were told.
 */
#ifndef TAPSI_LOOP_TEST_NAMES_H
#define TAPSI_LOOP_TEST_NAMES_H

#include "base/test.h"
#include "loop/resolve.h"
#include "platform/sim/sim.h"

#define DELAY (10 * TAPSI_SIM_MS)
#define RTT   (2 * DELAY)
#define MS    TAPSI_SIM_MS
#define SLOTS 8

/* A resolv.conf. */
#define SEARCHING "nameserver 192.0.2.1\nsearch one.test two.test\n"

/* ares_status */
enum { NODATA = 1, SERVFAIL = 3, NOTFOUND = 4, REFUSED = 6, CONNREFUSED = 11, TIMED_OUT = 12 };

struct answer {
    struct names *net;
    unsigned calls;
    uint64_t when; /* since the world began */
    size_t count;
    union tapsi_addr addresses[TAPSI_RESOLVE_MAX];
    char source[16];
    struct tapsi_error error;
    struct tapsi_query *query;
    struct tapsi_query *cancels; /* in the callback */
    bool frees;                  /* the resolver, in the callback */
};

struct names {
    struct tapsi_mem mem;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *client, *server, *second;
    struct tapsi_sim_interface *c, *s;
    struct tapsi_sim_dns *dns;
    struct tapsi_platform *platform;
    struct tapsi_loop loop;
    struct tapsi_resolver *resolver;
    struct answer a, aaaa, other;
};

/* An allocator that fails the nth call, and knows what is out. */
struct failing_heap {
    size_t calls, fail_at, out;
};
extern struct failing_heap names_heap;

/* What the resolver calls: `user` is a struct answer. */
void names_answered(void *user, const union tapsi_addr *addresses, size_t count, const char *source,
                    const struct tapsi_error *error);
void names_new(struct names *n);
void names_new_with(struct names *n, const struct tapsi_resolver_options *options);
/* Nothing may be left. */
void names_done(struct names *n);
/* The answer is never given inside. */
void names_ask(struct names *n, struct answer *a, const char *name, int family);
void names_ask_both(struct names *n, const char *name);
void names_run(struct names *n, uint64_t ns);
/* The address as text, until the next call; "none". */
const char *names_host(const struct answer *a, size_t index);
/* It failed once, with this ares_status, and the detail has these words and the name. */
void names_check_failed(const struct answer *a, int native, const char *words, const char *name);

#endif
