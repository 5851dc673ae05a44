/* What resolve.c and search.c share. */
#ifndef TAPSI_LOOP_SEARCH_H
#define TAPSI_LOOP_SEARCH_H

#include <string.h>
#include "loop/dns_sockets.h"
#include "loop/resolve.h"

#define TAPSI_NAME_BYTES 253 /* of a name in text (RFC 1035, 2.3.4) */

/* The two queries of one name. Lives as long as either. */
struct tapsi_pair {
    struct tapsi_link link;
    unsigned refs;
    char name[TAPSI_NAME_MAX];   /* without the dot at the end */
    bool absolute;               /* it had one */
    bool used[2];                /* by family: was asked */
    struct tapsi_query *live[2]; /* by family: not delivered yet */
    unsigned found[2];           /* the step that had an answer + 1, or 0 */
};

enum tapsi_query_state { TAPSI_QUERY_ASKING, TAPSI_QUERY_FAILED, TAPSI_QUERY_DONE };

struct tapsi_query {
    struct tapsi_link link; /* in the list of its state */
    struct tapsi_resolver *resolver;
    struct tapsi_pair *pair;
    int family;
    tapsi_query_fn fn;
    void *user;
    enum tapsi_query_state state;
    unsigned step;
    struct tapsi_lookup *lookup;
    bool no_data;      /* some step's name exists without such a record */
    int server_status; /* of some step where the servers failed, or 0 */
    union tapsi_addr *addresses;
    size_t count;
    const char *source;
    struct tapsi_error error;
};

/* What c-ares holds. It may outlive its query. */
struct tapsi_lookup {
    struct tapsi_link link;
    struct tapsi_resolver *resolver;
    struct tapsi_query *query; /* NULL: cancelled */
    int type;
    int server_status;         /* of the last answer that c-ares did not let through */
    char name[TAPSI_NAME_MAX]; /* absolute, with its dot */
};

struct tapsi_resolver {
    struct tapsi_loop *loop;
    char *hosts_file, *resolv_conf;
    bool has_servers;
    struct tapsi_resolvconf servers; /* of the options, when has_servers */
    uint32_t timeout_ms;
    struct tapsi_resolvconf conf;
    char *hosts;
    size_t hosts_length;
    bool loaded;
    uint64_t loaded_at;
    struct tapsi_dns dns;
    struct tapsi_link asking, failed, done; /* queries by state */
    struct tapsi_link pairs, lookups;
    unsigned query_count;
    struct tapsi_task task;
    bool *gone; /* set when it is freed by a callback */
};

static inline unsigned tapsi_family_index(int family)
{
    return family == AF_INET6;
}

/* search.c. Asks the network for the name of the query's step, or of the next that has one; or ends it. */
void tapsi_search_ask(struct tapsi_query *query);
/* Moves on the queries that failed and need not wait. */
void tapsi_search_move_on(struct tapsi_resolver *resolver);
/* When nobody waits for the network any more, forgets what is under way and closes the sockets. */
void tapsi_search_quiet(struct tapsi_resolver *resolver);

/* resolve.c. The outcome of a query, delivered later. `status` is an ares_status. */
void tapsi_query_fail(struct tapsi_query *query, int status);
void tapsi_query_succeed(struct tapsi_query *query, const union tapsi_addr *addresses, size_t count,
                         const char *source);
/* Moves it to the list of that state. */
void tapsi_query_set_state(struct tapsi_query *query, enum tapsi_query_state state);

#endif
