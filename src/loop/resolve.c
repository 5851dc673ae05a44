/*
 * Names to addresses: the resolver, its queries, and what this machine answers by itself (literals, the hosts file,
 * localhost). search.c asks the network.
 *
 *     ASKING  c-ares has the question of this step of the search
 *     FAILED  the step gave nothing; the query goes on, or waits for its sibling (search.c)
 *     DONE    it has its outcome, which the resolver's task will deliver
 *
 * Who may call whom: c-ares calls back from inside nearly all of its functions; those callbacks only record and queue
 * the task. Only the task moves queries on and calls tapsi_query_fn, so that is never called from inside
 * tapsi_resolver_query. A callback may cancel any query and free the resolver.
 */
#include "loop/search.h"

#include <errno.h>
#include "base/str.h"
#include "loop/hosts.h"

#define HOSTS_FILE      "/etc/hosts"
#define RESOLV_CONF     "/etc/resolv.conf"
#define SERVICES_FILE   "/etc/services"
#define HOST_NAME_FILE  "/proc/sys/kernel/hostname"
#define HOSTS_MAX       (4u << 20)
#define RESOLV_CONF_MAX (64u << 10)
#define SERVICES_MAX    (1u << 20)
#define HOST_NAME_BYTES 256
#define REREAD_NS       TAPSI_S
#define LABEL_BYTES     63
#define TIMEOUT_MAX_MS  600000

static const char *record_name(int family)
{
    return family == AF_INET6 ? "AAAA" : "A";
}

/* --------------------------------------------------------------------------------------- the system's files */

/* The text is the platform's memory: free_text. */
static char *read_text(struct tapsi_resolver *r, const char *path, size_t max, size_t *ret_length)
{
    struct tapsi_platform *p = r->loop->platform;
    char *text = NULL;
    *ret_length = 0;
    int err = p->ops->read_file(p, path, max, &text, ret_length);
    if (err >= 0)
        return text;
    *ret_length = 0;
    if (err != -ENOENT)
        tapsi_log(r->loop, TAPS_LOG_WARNING, "resolver: %s is not used: %s", path,
                  err == -EFBIG ? "it is too large" : strerror(-err));
    return NULL;
}

static void free_text(struct tapsi_resolver *r, char *text)
{
    tapsi_free(r->loop->platform->mem, text);
}

static void load_conf(struct tapsi_resolver *r, struct tapsi_resolvconf *conf)
{
    char host_name[HOST_NAME_BYTES] = "";
    struct tapsi_span line;
    size_t length;
    char *text = read_text(r, HOST_NAME_FILE, HOST_NAME_BYTES, &length);
    struct tapsi_span all = {text, length};
    if (tapsi_lines_next(&all, &line) && !tapsi_span_copy(line, host_name, sizeof(host_name)))
        host_name[0] = '\0';
    free_text(r, text);
    text = read_text(r, r->resolv_conf ? r->resolv_conf : RESOLV_CONF, RESOLV_CONF_MAX, &length);
    tapsi_resolvconf_parse(conf, (struct tapsi_span){text, length}, host_name);
    free_text(r, text);
    if (r->has_servers) {
        memcpy(conf->servers, r->servers.servers, sizeof(conf->servers));
        conf->server_count = r->servers.server_count;
    }
}

/* What the system says now, read at most once a second; name servers only change between queries. */
static void refresh(struct tapsi_resolver *r)
{
    uint64_t now = tapsi_loop_now(r->loop);
    if (r->loaded && now - r->loaded_at < REREAD_NS)
        return;
    free_text(r, r->hosts);
    r->hosts = read_text(r, r->hosts_file ? r->hosts_file : HOSTS_FILE, HOSTS_MAX, &r->hosts_length);
    if (r->query_count == 0) {
        struct tapsi_resolvconf conf;
        load_conf(r, &conf);
        if (memcmp(&conf, &r->conf, sizeof(conf)) != 0) {
            tapsi_dns_close(&r->dns);
            memcpy(&r->conf, &conf, sizeof(conf));
        }
        r->loaded = true;
        r->loaded_at = now;
    }
}

/* -------------------------------------------------------------------------------------------------- outcomes */

void tapsi_query_set_state(struct tapsi_query *q, enum tapsi_query_state state)
{
    struct tapsi_resolver *r = q->resolver;
    struct tapsi_link *lists[] = {&r->asking, &r->failed, &r->done};
    q->state = state;
    tapsi_list_remove(&q->link);
    tapsi_list_append(lists[state], &q->link);
    if (state != TAPSI_QUERY_ASKING)
        tapsi_loop_flush(r->loop, &r->task, 0);
}

void tapsi_query_fail(struct tapsi_query *q, int status)
{
    const char *name = q->pair->name, *record = record_name(q->family);
    struct tapsi_error *e = &q->error;
    const int code = TAPS_E_RESOLUTION, domain = TAPS_DOMAIN_DNS;
    switch (status) {
    case ARES_ENOTFOUND:
        tapsi_error_native(e, code, domain, status, "no such name: %s", name);
        break;
    case ARES_ENODATA:
        tapsi_error_native(e, code, domain, status, "no %s record for %s", record, name);
        break;
    case ARES_ETIMEOUT:
        tapsi_error_native(e, code, domain, status, "no answer from the name servers for %s (%s)", name, record);
        break;
    case ARES_ECONNREFUSED:
        tapsi_error_native(e, code, domain, status, "no name server can be reached to resolve %s (%s)", name, record);
        break;
    case ARES_ENOMEM:
        tapsi_error_set(e, TAPS_E_MEMORY, "no memory to resolve %s", name);
        break;
    default:
        tapsi_error_native(e, code, domain, status, "the name servers failed on %s (%s): %s", name, record,
                           ares_strerror(status));
    }
    tapsi_query_set_state(q, TAPSI_QUERY_DONE);
}

void tapsi_query_succeed(struct tapsi_query *q, const union tapsi_addr *addresses, size_t count, const char *source)
{
    q->addresses = tapsi_calloc(&q->resolver->loop->mem, count, sizeof(*addresses));
    if (!q->addresses) {
        tapsi_query_fail(q, ARES_ENOMEM);
        return;
    }
    memcpy(q->addresses, addresses, count * sizeof(*addresses));
    q->count = count;
    q->source = source;
    tapsi_query_set_state(q, TAPSI_QUERY_DONE);
}

/* Takes the query out of everything; its memory is the caller's to free. */
static void unhook(struct tapsi_query *q)
{
    struct tapsi_pair *pair = q->pair;
    tapsi_list_remove(&q->link);
    q->resolver->query_count--;
    if (q->lookup)
        q->lookup->query = NULL;
    pair->live[tapsi_family_index(q->family)] = NULL;
    if (--pair->refs)
        return;
    tapsi_list_remove(&pair->link);
    tapsi_free(&q->resolver->loop->mem, pair);
}

static void free_query(struct tapsi_query *q, struct tapsi_mem *mem)
{
    tapsi_free(mem, q->addresses);
    tapsi_free(mem, q);
}

static void run(struct tapsi_task *task)
{
    struct tapsi_resolver *r = TAPSI_CONTAINER(task, struct tapsi_resolver, task);
    struct tapsi_mem *mem = &r->loop->mem;
    struct tapsi_link *link;
    bool gone = false;
    r->gone = &gone;
    tapsi_search_move_on(r);
    while (!gone && (link = tapsi_list_first(&r->done))) {
        struct tapsi_query *q = TAPSI_CONTAINER(link, struct tapsi_query, link);
        unhook(q);
        q->fn(q->user, q->addresses, q->count, q->source, q->addresses ? NULL : &q->error);
        free_query(q, mem);
        if (!gone)
            tapsi_search_move_on(r);
    }
    if (!gone)
        r->gone = NULL;
}

/* ------------------------------------------------------------------------------------------- before the network */

static bool name_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static int bad_name(const char *why, const char *name, struct tapsi_error *ret_error)
{
    return tapsi_error_native(ret_error, TAPS_E_RESOLUTION, TAPS_DOMAIN_DNS, ARES_EBADNAME, "%s: \"%.200s\"", why,
                              name);
}

/* Internationalised names are given in their ASCII form ("xn--..."): conversion is the application's (RFC 5891). */
static int check_name(const char *name, struct tapsi_error *ret_error)
{
    size_t length = strlen(name), label = 0;
    if (length && name[length - 1] == '.')
        length--;
    if (length == 0)
        return bad_name("the name is empty", name, ret_error);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] >= 0x80)
            return bad_name("the name is not ASCII, give its xn-- form", name, ret_error);
    if (length > TAPSI_NAME_BYTES)
        return bad_name("the name is longer than 253 bytes", name, ret_error);
    for (size_t i = 0; i <= length; i++) {
        if (i < length && name[i] != '.') {
            if (!name_byte((unsigned char)name[i]))
                return bad_name("the name has a character that names cannot have", name, ret_error);
            label++;
        } else if (label == 0) {
            return bad_name("the name has an empty label", name, ret_error);
        } else if (label > LABEL_BYTES) {
            return bad_name("the name has a label longer than 63 bytes", name, ret_error);
        } else {
            label = 0;
        }
    }
    return 0;
}

static bool is_localhost(const char *name)
{
    static const char localhost[] = "localhost";
    size_t length = strlen(name), tail = sizeof(localhost) - 1;
    if (length < tail || !tapsi_text_equal(name + length - tail, localhost))
        return false;
    return length == tail || name[length - tail - 1] == '.';
}

/* An answer, or an error, that needs no network. */
static bool answer_locally(struct tapsi_query *q)
{
    struct tapsi_resolver *r = q->resolver;
    union tapsi_addr found[TAPSI_RESOLVE_MAX];
    const struct tapsi_pair *pair = q->pair;
    bool known = false;
    size_t count = 0;
    if (!pair->absolute)
        count = tapsi_hosts_find((struct tapsi_span){r->hosts, r->hosts_length}, pair->name, q->family, found,
                                 TAPSI_RESOLVE_MAX, &known);
    if (!known && is_localhost(pair->name)) {
        tapsi_addr_parse(q->family == AF_INET6 ? "::1" : "127.0.0.1", &found[0]);
        count = 1;
        known = true;
    }
    if (count)
        tapsi_query_succeed(q, found, count < TAPSI_RESOLVE_MAX ? count : TAPSI_RESOLVE_MAX, "hosts");
    else if (known)
        tapsi_query_fail(q, ARES_ENODATA);
    return known;
}

/* The newest pair of this name whose other query is new too, else a new one. */
static struct tapsi_pair *pair_for(struct tapsi_resolver *r, const char *name, int family)
{
    size_t length = strlen(name);
    bool absolute = length && name[length - 1] == '.';
    length -= absolute;
    for (struct tapsi_link *l = r->pairs.prev; l != &r->pairs; l = l->prev) {
        struct tapsi_pair *pair = TAPSI_CONTAINER(l, struct tapsi_pair, link);
        if (!pair->used[tapsi_family_index(family)] && pair->absolute == absolute && strlen(pair->name) == length &&
            tapsi_text_equal_n(pair->name, name, length)) {
            pair->refs++;
            return pair;
        }
    }
    struct tapsi_pair *pair = tapsi_zalloc(&r->loop->mem, sizeof(*pair));
    if (!pair)
        return NULL;
    pair->refs = 1;
    pair->absolute = absolute;
    memcpy(pair->name, name, length);
    tapsi_list_append(&r->pairs, &pair->link);
    return pair;
}

static struct tapsi_query *new_query(struct tapsi_resolver *r, const char *name, int family)
{
    struct tapsi_query *q = tapsi_zalloc(&r->loop->mem, sizeof(*q));
    if (!q)
        return NULL;
    q->resolver = r;
    q->family = family;
    q->pair = pair_for(r, name, family);
    if (!q->pair) {
        tapsi_free(&r->loop->mem, q);
        return NULL;
    }
    q->pair->used[tapsi_family_index(family)] = true;
    q->pair->live[tapsi_family_index(family)] = q;
    tapsi_list_append(&r->asking, &q->link);
    r->query_count++;
    return q;
}

/* ------------------------------------------------------------------------------------------------------ public */

int tapsi_resolver_query(struct tapsi_resolver *r, const char *name, int family, tapsi_query_fn fn, void *user,
                         struct tapsi_query **ret, struct tapsi_error *ret_error)
{
    union tapsi_addr address;
    bool literal = tapsi_addr_parse(name, &address) == 0;
    if (family != AF_INET && family != AF_INET6)
        return tapsi_error_set(ret_error, TAPS_E_ARGUMENT, "cannot resolve %s in address family %d", name, family);
    int err = literal ? 0 : check_name(name, ret_error);
    if (err < 0)
        return err;
    refresh(r);
    struct tapsi_query *q = new_query(r, name, family);
    if (!q)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory to resolve %s", name);
    q->fn = fn;
    q->user = user;
    if (literal && address.sa.sa_family == family)
        tapsi_query_succeed(q, &address, 1, "literal");
    else if (literal)
        tapsi_query_fail(q, ARES_ENODATA);
    else if (!answer_locally(q))
        tapsi_search_ask(q);
    *ret = q;
    return 0;
}

void tapsi_query_cancel(struct tapsi_query *q)
{
    struct tapsi_resolver *r = q->resolver;
    unhook(q);
    free_query(q, &r->loop->mem);
    tapsi_search_quiet(r);
    tapsi_loop_flush(r->loop, &r->task, 0); /* its sibling may go on */
}

int tapsi_resolver_new(struct tapsi_loop *loop, const struct tapsi_resolver_options *options,
                       struct tapsi_resolver **ret)
{
    if (options->timeout_ms > TIMEOUT_MAX_MS)
        return TAPS_E_RANGE;
    struct tapsi_resolver *r = tapsi_zalloc(&loop->mem, sizeof(*r));
    if (!r)
        return TAPS_E_MEMORY;
    r->loop = loop;
    r->timeout_ms = options->timeout_ms;
    tapsi_link_init(&r->asking);
    tapsi_link_init(&r->failed);
    tapsi_link_init(&r->done);
    tapsi_link_init(&r->pairs);
    tapsi_link_init(&r->lookups);
    tapsi_task_init(&r->task, run);
    int err = 0;
    if (options->servers) {
        err = tapsi_nameservers_parse(options->servers, &r->servers);
        r->has_servers = true;
    }
    if (!err && options->hosts_file && !(r->hosts_file = tapsi_strdup(&loop->mem, options->hosts_file)))
        err = TAPS_E_MEMORY;
    if (!err && options->resolv_conf && !(r->resolv_conf = tapsi_strdup(&loop->mem, options->resolv_conf)))
        err = TAPS_E_MEMORY;
    if (err < 0) {
        tapsi_resolver_free(r);
        return err;
    }
    *ret = r;
    return 0;
}

void tapsi_resolver_free(struct tapsi_resolver *r)
{
    struct tapsi_link *l;
    if (!r)
        return;
    struct tapsi_mem *mem = &r->loop->mem;
    struct tapsi_link *lists[] = {&r->asking, &r->failed, &r->done};
    for (size_t i = 0; i < 3; i++)
        while ((l = tapsi_list_first(lists[i]))) {
            struct tapsi_query *q = TAPSI_CONTAINER(l, struct tapsi_query, link);
            unhook(q);
            free_query(q, mem);
        }
    tapsi_dns_close(&r->dns);
    tapsi_task_cancel(&r->task);
    if (r->gone)
        *r->gone = true;
    free_text(r, r->hosts);
    tapsi_free(mem, r->hosts_file);
    tapsi_free(mem, r->resolv_conf);
    tapsi_free(mem, r);
}

uint16_t tapsi_resolver_service(struct tapsi_resolver *r, const char *service, const char *protocol)
{
    size_t length;
    char *text = read_text(r, SERVICES_FILE, SERVICES_MAX, &length);
    uint16_t port = tapsi_services_find((struct tapsi_span){text, length}, service, protocol);
    free_text(r, text);
    return port;
}
