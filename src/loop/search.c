/*
 * The search list, and the network behind it.
 *
 * The surprising thing: the two families of one name do not search alone. libc asks both for a name before it goes on
 * in the search list and stops at the first name that has either; else "www" could become the A record of
 * www.example.com and the AAAA record of www.example.net, two hosts. So a query that got nothing for a step goes on
 * only after its sibling (the query for the other family made at the same time) got nothing either. Answers never wait.
 *
 * c-ares itself allocates with malloc: its hooks are process-wide, and a library must not set them. It also sends the
 * question at once again to a server that answered with an error, as often as there are attempts.
 */
#include "loop/search.h"

#include <arpa/nameser.h>
#include "base/str.h"

#define TIMEOUT_MS 1000

/* ----------------------------------------------------------------------------------------------- the network */

static size_t collect(const struct ares_addrinfo *info, int family, union tapsi_addr *addresses, size_t max)
{
    size_t count = 0;
    for (const struct ares_addrinfo_node *node = info ? info->nodes : NULL; node; node = node->ai_next) {
        if (node->ai_family != family)
            continue;
        if (count < max) {
            union tapsi_addr a;
            memcpy(&a, node->ai_addr, family == AF_INET ? sizeof(a.in) : sizeof(a.in6));
            unsigned length;
            tapsi_addr_from_bytes(&addresses[count], family, tapsi_addr_bytes(&a, &length));
        }
        count++;
    }
    return count;
}

static void take_answer(struct tapsi_query *q, const struct ares_addrinfo *info)
{
    union tapsi_addr addresses[TAPSI_RESOLVE_MAX];
    size_t total = collect(info, q->family, addresses, TAPSI_RESOLVE_MAX);
    if (total == 0) {
        q->no_data = true;
        tapsi_query_set_state(q, TAPSI_QUERY_FAILED);
        return;
    }
    if (total > TAPSI_RESOLVE_MAX)
        tapsi_log(q->resolver->loop, TAPS_LOG_WARNING, "resolver: %s has %zu %s records, %d are used", q->pair->name,
                  total, q->family == AF_INET6 ? "AAAA" : "A", TAPSI_RESOLVE_MAX);
    q->pair->found[tapsi_family_index(q->family)] = q->step + 1;
    tapsi_query_succeed(q, addresses, total < TAPSI_RESOLVE_MAX ? total : TAPSI_RESOLVE_MAX, "dns");
}

/* As in libc a missing name or record and a failing server let the search go on; a silent server ends it. */
static void record(struct tapsi_query *q, int status, const struct ares_addrinfo *info)
{
    switch (status) {
    case ARES_SUCCESS:
        take_answer(q, info);
        break;
    case ARES_ENODATA:
        q->no_data = true;
        tapsi_query_set_state(q, TAPSI_QUERY_FAILED);
        break;
    case ARES_ENOTFOUND:
        tapsi_query_set_state(q, TAPSI_QUERY_FAILED);
        break;
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ENOTIMP:
        q->server_status = status;
        tapsi_query_set_state(q, TAPSI_QUERY_FAILED);
        break;
    default:
        tapsi_query_fail(q, status);
    }
}

static void on_lookup(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct tapsi_lookup *lookup = arg;
    struct tapsi_resolver *r = lookup->resolver;
    struct tapsi_query *q = lookup->query;
    (void)timeouts;
    if (q) {
        q->lookup = NULL;
        if (status == ARES_ECONNREFUSED && lookup->server_status)
            status = lookup->server_status;
        record(q, status, info);
    }
    if (info)
        ares_freeaddrinfo(info);
    tapsi_list_remove(&lookup->link);
    tapsi_free(&r->loop->mem, lookup);
}

static int status_of_rcode(unsigned rcode)
{
    switch (rcode) {
    case ns_r_servfail:
        return ARES_ESERVFAIL;
    case ns_r_notimpl:
        return ARES_ENOTIMP;
    case ns_r_refused:
        return ARES_EREFUSED;
    default:
        return 0;
    }
}

/* c-ares says only "could not contact" when all servers answered with an error: remember what they said. */
static void on_answer(void *user, const uint8_t *packet, size_t length)
{
    struct tapsi_resolver *r = user;
    char *name;
    long name_length;
    if (length < NS_HFIXEDSZ || length > NS_MAXMSG)
        return;
    int status = status_of_rcode(packet[3] & 15);
    if (!status || ares_expand_name(packet + NS_HFIXEDSZ, packet, (int)length, &name, &name_length) != ARES_SUCCESS)
        return;
    size_t at = NS_HFIXEDSZ + (size_t)name_length, bytes = strlen(name);
    for (struct tapsi_link *l = r->lookups.next; l != &r->lookups && at + 2 <= length; l = l->next) {
        struct tapsi_lookup *lookup = TAPSI_CONTAINER(l, struct tapsi_lookup, link);
        if (lookup->type == (packet[at] << 8 | packet[at + 1]) && strlen(lookup->name) == bytes + 1 &&
            tapsi_text_equal_n(lookup->name, name, bytes))
            lookup->server_status = status;
    }
    ares_free_string(name);
}

/* ------------------------------------------------------------------------------------------------ the search */

static unsigned dots_in(const char *name)
{
    unsigned dots = 0;
    for (; *name; name++)
        dots += *name == '.';
    return dots;
}

/* The absolute name of a step. 1 = here it is, 0 = this one would be too long, -1 = no more steps. */
static int step_name(const struct tapsi_resolver *r, const struct tapsi_pair *pair, unsigned step, char *ret,
                     size_t size)
{
    bool first = pair->absolute || dots_in(pair->name) >= r->conf.ndots;
    unsigned domains = pair->absolute ? 0 : r->conf.domain_count;
    if (step > domains)
        return -1;
    const char *domain = "";
    if (step != (first ? 0 : domains))
        domain = r->conf.domains[first ? step - 1 : step];
    if (strlen(pair->name) + strlen(domain) + (domain[0] ? 1 : 0) > TAPSI_NAME_BYTES)
        return 0;
    tapsi_format(ret, size, "%s%s%s.", pair->name, domain[0] ? "." : "", domain);
    return 1;
}

static int open_dns(struct tapsi_resolver *r)
{
    if (r->dns.channel && !tapsi_list_empty(&r->lookups))
        return 0;
    if (r->dns.channel)
        return tapsi_dns_forget(&r->dns);
    uint32_t timeout = r->timeout_ms ? r->timeout_ms : r->conf.timeout_ms ? r->conf.timeout_ms : TIMEOUT_MS;
    r->dns.answer = on_answer;
    r->dns.user = r;
    return tapsi_dns_open(&r->dns, r->loop, &r->conf, timeout);
}

static void ask(struct tapsi_query *q, const char *name)
{
    struct tapsi_resolver *r = q->resolver;
    struct tapsi_lookup *lookup = tapsi_zalloc(&r->loop->mem, sizeof(*lookup));
    if (!lookup || open_dns(r) < 0) {
        tapsi_free(&r->loop->mem, lookup);
        tapsi_query_fail(q, ARES_ENOMEM);
        return;
    }
    lookup->resolver = r;
    lookup->query = q;
    lookup->type = q->family == AF_INET6 ? ns_t_aaaa : ns_t_a;
    tapsi_format(lookup->name, sizeof(lookup->name), "%s", name);
    tapsi_list_append(&r->lookups, &lookup->link);
    q->lookup = lookup;
    tapsi_query_set_state(q, TAPSI_QUERY_ASKING);
    struct ares_addrinfo_hints hints = {.ai_family = q->family, .ai_flags = ARES_AI_NOSORT};
    ares_getaddrinfo(r->dns.channel, lookup->name, NULL, &hints, on_lookup, lookup);
    tapsi_dns_arm(&r->dns);
}

/* Asks for the name of the query's step, or of the next that has one. */
void tapsi_search_ask(struct tapsi_query *q)
{
    char name[TAPSI_NAME_MAX];
    int have;
    while ((have = step_name(q->resolver, q->pair, q->step, name, sizeof(name))) == 0)
        q->step++;
    if (have > 0)
        ask(q, name);
    else
        tapsi_query_fail(q, q->no_data ? ARES_ENODATA : q->server_status ? q->server_status : ARES_ENOTFOUND);
}

/* Moves one failed query on, or ends it. False if it has to wait for its sibling. */
static bool go_on(struct tapsi_query *q)
{
    unsigned other = !tapsi_family_index(q->family);
    const struct tapsi_query *sibling = q->pair->live[other];
    char name[TAPSI_NAME_MAX];
    if (q->pair->found[other]) {
        tapsi_query_fail(q, ARES_ENODATA);
        return true;
    }
    bool last = step_name(q->resolver, q->pair, q->step + 1, name, sizeof(name)) < 0;
    if (!last && sibling && sibling->state == TAPSI_QUERY_ASKING && sibling->step <= q->step)
        return false;
    q->step++;
    tapsi_search_ask(q);
    return true;
}

void tapsi_search_move_on(struct tapsi_resolver *r)
{
    bool moved;
    do {
        struct tapsi_link *l = r->failed.next;
        moved = false;
        while (l != &r->failed) {
            struct tapsi_query *q = TAPSI_CONTAINER(l, struct tapsi_query, link);
            l = l->next;
            moved = go_on(q) || moved;
        }
    } while (moved);
}

void tapsi_search_quiet(struct tapsi_resolver *r)
{
    for (struct tapsi_link *l = r->lookups.next; l != &r->lookups; l = l->next)
        if (TAPSI_CONTAINER(l, struct tapsi_lookup, link)->query)
            return;
    if (tapsi_list_empty(&r->lookups))
        return;
    ares_cancel(r->dns.channel);
    tapsi_dns_arm(&r->dns);
}
