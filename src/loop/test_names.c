#include "test_names.h"

#include <stdlib.h>
#include <string.h>

struct failing_heap names_heap;

static void *counting(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        names_heap.out -= block != NULL;
        free(block);
        return NULL;
    }
    if (++names_heap.calls == names_heap.fail_at)
        return NULL;
    names_heap.out += block == NULL;
    return realloc(block, size);
}

void names_new_with(struct names *n, const struct tapsi_resolver_options *options)
{
    static const struct taps_allocator allocator = {counting, NULL};
    struct tapsi_mem world;
    *n = (struct names){0};
    tapsi_mem_init(&world, NULL);
    tapsi_mem_init(&n->mem, &allocator);
    n->sim = tapsi_sim_new(3);
    n->client = tapsi_sim_host_new(n->sim, "client");
    n->server = tapsi_sim_host_new(n->sim, "server");
    n->second = tapsi_sim_host_new(n->sim, "second");
    n->c = tapsi_sim_interface_new(n->client, "eth0", TAPSI_IF_ETHERNET, "192.0.2.2/24 2001:db8::2/64 fe80::2/64");
    n->s = tapsi_sim_interface_new(n->server, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24 2001:db8::1/64 fe80::1/64");
    struct tapsi_sim_interface *t = tapsi_sim_interface_new(n->second, "eth0", TAPSI_IF_ETHERNET, "192.0.2.3/24");
    struct tapsi_sim_link *link = tapsi_sim_link_new(n->c, n->s, DELAY);
    tapsi_sim_link_join(link, t);
    tapsi_sim_file(n->client, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
    n->dns = tapsi_sim_dns_new(n->server);
    static struct tapsi_mem plain;
    plain = world;
    CHECK_INT(tapsi_sim_platform_new(n->client, &plain, &n->platform), 0);
    CHECK_INT(tapsi_loop_init(&n->loop, &n->mem, n->platform), 0);
    n->loop.holds = 1; /* else turns do not wait */
    CHECK_INT(tapsi_resolver_new(&n->loop, options, &n->resolver), 0);
    n->a.net = n->aaaa.net = n->other.net = n;
}

void names_new(struct names *n)
{
    names_new_with(n, &(struct tapsi_resolver_options){0});
}

void names_done(struct names *n)
{
    tapsi_resolver_free(n->resolver);
    CHECK_INT(tapsi_sim_host_sockets(n->client), 0);
    CHECK(!tapsi_sim_problem(n->sim));
    tapsi_loop_done(&n->loop);
    tapsi_sim_free(n->sim);
    CHECK_INT(names_heap.out, 0);
    names_heap.fail_at = 0;
}

void names_answered(void *user, const union tapsi_addr *addresses, size_t count, const char *source,
                    const struct tapsi_error *error)
{
    struct answer *a = user;
    a->calls++;
    a->when = tapsi_sim_elapsed(a->net->sim);
    a->count = count;
    a->query = NULL;
    if (error) {
        tapsi_error_copy(&a->error, error);
        CHECK_INT(count, 0);
    } else {
        CHECK(count >= 1 && count <= TAPSI_RESOLVE_MAX);
        memcpy(a->addresses, addresses, count * sizeof(*addresses));
        strcpy(a->source, source);
    }
    if (a->cancels)
        tapsi_query_cancel(a->cancels);
    if (a->frees) {
        tapsi_resolver_free(a->net->resolver);
        a->net->resolver = NULL;
    }
}

void names_ask(struct names *n, struct answer *a, const char *name, int family)
{
    struct tapsi_error error;
    unsigned calls = a->calls;
    CHECK_INT(tapsi_resolver_query(n->resolver, name, family, names_answered, a, &a->query, &error), 0);
    CHECK_INT(a->calls, calls); /* never from inside */
}

void names_ask_both(struct names *n, const char *name)
{
    names_ask(n, &n->aaaa, name, AF_INET6);
    names_ask(n, &n->a, name, AF_INET);
}

void names_run(struct names *n, uint64_t ns)
{
    uint64_t end = tapsi_sim_now(n->sim) + ns;
    while (tapsi_sim_now(n->sim) < end)
        tapsi_loop_turn(&n->loop, end);
}

const char *names_host(const struct answer *a, size_t index)
{
    static char text[TAPSI_ADDR_TEXT];
    if (index >= a->count)
        return "none";
    CHECK_INT(tapsi_addr_port(&a->addresses[index]), 0);
    return tapsi_addr_host_text(&a->addresses[index], text);
}

void names_check_failed(const struct answer *a, int native, const char *words, const char *name)
{
    CHECK_INT(a->calls, 1);
    CHECK_INT(a->count, 0);
    CHECK_INT(a->error.pub.code, TAPS_E_RESOLUTION);
    CHECK_INT(a->error.pub.domain, TAPS_DOMAIN_DNS);
    CHECK_INT(a->error.pub.native, native);
    if (!strstr(a->error.pub.detail, words) || !strstr(a->error.pub.detail, name))
        tapsi_test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\" or \"%s\"", a->error.pub.detail, words, name);
}
