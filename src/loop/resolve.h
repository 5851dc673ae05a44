/*
 * Names to addresses: c-ares over the platform's sockets, one A and one AAAA query of their own so that neither waits
 * for the other (RFC 8305, section 3). /etc/hosts, search domains, ndots and resolv.conf behave as with libc: a name
 * the hosts file has for either family is not asked of DNS, "localhost" and "*.localhost" are the loopback (RFC 6761),
 * a dot at the end means no search. The files are read again at most once a second, resolv.conf only while nothing is
 * asked. The environment (RES_OPTIONS, LOCALDOMAIN, HOSTALIASES) is not read, but for "use-vc" by newer c-ares.
 *
 * Names are ASCII; an internationalised name is given in its "xn--" form. Each try of all servers waits as long as
 * the one before at least, twice as long at most. Nothing is remembered from one question to the next: no answers, no
 * servers.
 *
 * One resolver per context, made at the first name; one query object per name and family.
 */
#ifndef TAPSI_LOOP_RESOLVE_H
#define TAPSI_LOOP_RESOLVE_H

#include "base/addr.h"
#include "base/err.h"
#include "loop/loop.h"

#define TAPSI_RESOLVE_MAX 64 /* addresses kept of one answer: what the network causes is bounded */

struct tapsi_resolver;
struct tapsi_query;

struct tapsi_resolver_options {
    const char *servers;     /* "192.0.2.53,[2001:db8::53]:5353" or NULL: resolv.conf */
    const char *hosts_file;  /* NULL: /etc/hosts */
    const char *resolv_conf; /* NULL: /etc/resolv.conf */
    uint32_t timeout_ms;     /* of the first try; 0 = 1000; c-ares 1.32 and newer have at least 250 */
};

/* Checks the options (TAPS_E_RANGE) and copies them; opens nothing yet. */
int tapsi_resolver_new(struct tapsi_loop *loop, const struct tapsi_resolver_options *options,
                       struct tapsi_resolver **ret);
/* Outstanding queries are dropped without their callback. NULL is allowed. */
void tapsi_resolver_free(struct tapsi_resolver *resolver);

/* tapsi_resolver_query refuses a name that cannot be one (TAPS_E_RESOLUTION) and has otherwise taken it: the callback
   comes once. Make the queries for both families of a name one after the other: they then share the search list.
   Addresses have port 0; `source` is "hosts", "dns" or "literal". `error` is NULL on success (count >= 1).
   TAPS_E_RESOLUTION with native = the ares_status: the detail holds the name and says "no such name", "no AAAA record",
   "no answer from the name servers" .... Never called from inside tapsi_resolver_query. The query is gone when it
   returns. */
typedef void (*tapsi_query_fn)(void *user, const union tapsi_addr *addresses, size_t count, const char *source,
                               const struct tapsi_error *error);
int tapsi_resolver_query(struct tapsi_resolver *resolver, const char *name, int family, tapsi_query_fn fn, void *user,
                         struct tapsi_query **ret, struct tapsi_error *ret_error);
/* The callback will not come. */
void tapsi_query_cancel(struct tapsi_query *query);
/* The port of a service name from the system's list: 0 = unknown. */
uint16_t tapsi_resolver_service(struct tapsi_resolver *resolver, const char *service, const char *protocol);

#endif
