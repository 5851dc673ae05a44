/* The resolver on the simulated network, in virtual time. Proves API-010, API-062 and IMPL-08, 12, 13 where cited. */
#include "loop/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"
#include "platform/sim/sim.h"

#define DELAY (10 * TAPSI_SIM_MS)
#define RTT   (2 * DELAY)
#define MS    TAPSI_SIM_MS
#define SLOTS 8

struct answer {
    struct net *net;
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

struct net {
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
static struct {
    size_t calls, fail_at, out;
} heap;

static void *counting(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        heap.out -= block != NULL;
        free(block);
        return NULL;
    }
    if (++heap.calls == heap.fail_at)
        return NULL;
    heap.out += block == NULL;
    return realloc(block, size);
}

static void setup_with(struct net *n, const struct tapsi_resolver_options *options)
{
    static const struct taps_allocator allocator = {counting, NULL};
    struct tapsi_mem world;
    *n = (struct net){0};
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

static void setup(struct net *n)
{
    setup_with(n, &(struct tapsi_resolver_options){0});
}

static void teardown(struct net *n)
{
    tapsi_resolver_free(n->resolver);
    CHECK_INT(tapsi_sim_host_sockets(n->client), 0);
    CHECK(!tapsi_sim_problem(n->sim));
    tapsi_loop_done(&n->loop);
    tapsi_sim_free(n->sim);
    CHECK_INT(heap.out, 0);
    heap.fail_at = 0;
}

static void on_answer(void *user, const union tapsi_addr *addresses, size_t count, const char *source,
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

static void ask(struct net *n, struct answer *a, const char *name, int family)
{
    struct tapsi_error error;
    unsigned calls = a->calls;
    CHECK_INT(tapsi_resolver_query(n->resolver, name, family, on_answer, a, &a->query, &error), 0);
    CHECK_INT(a->calls, calls); /* never from inside */
}

static void ask_both(struct net *n, const char *name)
{
    ask(n, &n->aaaa, name, AF_INET6);
    ask(n, &n->a, name, AF_INET);
}

static void run_for(struct net *n, uint64_t ns)
{
    uint64_t end = tapsi_sim_now(n->sim) + ns;
    while (tapsi_sim_now(n->sim) < end)
        tapsi_loop_turn(&n->loop, end);
}

static const char *host(const struct answer *a, size_t index)
{
    static char text[TAPSI_ADDR_TEXT];
    if (index >= a->count)
        return "none";
    CHECK_INT(tapsi_addr_port(&a->addresses[index]), 0);
    return tapsi_addr_host_text(&a->addresses[index], text);
}

static void check_failed(const struct answer *a, int native, const char *words, const char *name)
{
    CHECK_INT(a->calls, 1);
    CHECK_INT(a->count, 0);
    CHECK_INT(a->error.pub.code, TAPS_E_RESOLUTION);
    CHECK_INT(a->error.pub.domain, TAPS_DOMAIN_DNS);
    CHECK_INT(a->error.pub.native, native);
    if (!strstr(a->error.pub.detail, words) || !strstr(a->error.pub.detail, name))
        tapsi_test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\" or \"%s\"", a->error.pub.detail, words, name);
}

enum { NODATA = 1, SERVFAIL = 3, NOTFOUND = 4, REFUSED = 6, CONNREFUSED = 11, TIMED_OUT = 12 };

/* --------------------------------------------------------------------------------------------- the easy road */

TEST(a_name_has_the_addresses_of_both_families)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "AAAA", "2001:db8::1 2001:db8::7", 0);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask_both(&n, "www.test");
    run_for(&n, 100 * MS);
    CHECK_INT(n.aaaa.calls, 1);
    CHECK_INT(n.aaaa.count, 2);
    CHECK_TEXT(host(&n.aaaa, 1), "2001:db8::7");
    CHECK_TEXT(n.aaaa.source, "dns");
    CHECK_TEXT(host(&n.a, 0), "192.0.2.1");
    CHECK_INT(n.a.when, RTT);
    teardown(&n);
}

/* proves IMPL-08: the families are asked for separately, the fast one does not wait for the slow one */
TEST(a_slow_family_does_not_hold_the_other_one)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "AAAA", "2001:db8::1", 300 * MS);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask_both(&n, "www.test");
    run_for(&n, 600 * MS);
    CHECK_INT(n.a.when, RTT);
    CHECK_INT(n.aaaa.when, RTT + 300 * MS);
    CHECK_TEXT(host(&n.aaaa, 0), "2001:db8::1");
    teardown(&n);
}

TEST(a_family_without_a_record_is_an_error_that_says_so)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "AAAA", "2001:db8::1", 0);
    ask_both(&n, "www.test");
    run_for(&n, 100 * MS);
    CHECK_INT(n.aaaa.count, 1);
    check_failed(&n.a, NODATA, "no A record", "www.test");
    CHECK_INT(n.a.when, RTT);
    teardown(&n);
}

/* proves API-062: nothing resolves, with the reason and the name */
TEST(an_unknown_name_is_an_error_that_says_so)
{
    struct net n;
    setup(&n);
    ask_both(&n, "nobody.test");
    run_for(&n, 100 * MS);
    check_failed(&n.a, NOTFOUND, "no such name", "nobody.test");
    check_failed(&n.aaaa, NOTFOUND, "no such name", "nobody.test");
    teardown(&n);
}

TEST(a_failing_server_is_an_error_that_says_so)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_fail(n.dns, "bad.test", "A", TAPSI_SIM_DNS_SERVFAIL, 0);
    tapsi_sim_dns_fail(n.dns, "bad.test", "AAAA", TAPSI_SIM_DNS_REFUSED, 0);
    ask_both(&n, "bad.test");
    run_for(&n, 1000 * MS);
    check_failed(&n.a, SERVFAIL, "the name servers failed", "bad.test");
    check_failed(&n.aaaa, REFUSED, "the name servers failed", "bad.test");
    teardown(&n);
}

/* ------------------------------------------------------------------------------------------- servers and time */

TEST(a_silent_server_is_asked_three_times_and_then_given_up)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_fail(n.dns, "slow.test", "A", TAPSI_SIM_DNS_NEVER, 0);
    ask(&n, &n.a, "slow.test", AF_INET);
    run_for(&n, 3900 * MS);
    CHECK_INT(n.a.calls, 0);
    run_for(&n, 3200 * MS); /* 1 + 2 + 4 seconds at most, 1 + 1 + 2 at least */
    check_failed(&n.a, TIMED_OUT, "no answer from the name servers", "slow.test");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "slow.test", "A"), 3);
    teardown(&n);
}

TEST(an_answer_to_the_second_question_is_taken)
{
    struct net n;
    setup(&n);
    tapsi_sim_fault(n.sim, "192.0.2.1:53", TAPSI_SIM_BLACKHOLE);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 500 * MS);
    tapsi_sim_fault(n.sim, "192.0.2.1:53", TAPSI_SIM_FINE);
    run_for(&n, 1000 * MS);
    CHECK_INT(n.a.count, 1);
    CHECK(n.a.when >= 1000 * MS + RTT && n.a.when <= 1002 * MS + RTT);
    teardown(&n);
}

TEST(a_dead_first_server_costs_one_timeout)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\nnameserver 192.0.2.1\n");
    tapsi_sim_fault(n.sim, "192.0.2.3", TAPSI_SIM_BLACKHOLE);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 2000 * MS);
    CHECK_INT(n.a.count, 1);
    CHECK(n.a.when <= 1002 * MS + RTT);
    teardown(&n);
}

TEST(a_refusing_first_server_costs_no_timeout)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\nnameserver 192.0.2.1\n");
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 2000 * MS);
    CHECK_INT(n.a.count, 1);
    CHECK_INT(n.a.when, 2 * RTT);
    teardown(&n);
}

TEST(a_server_that_fails_is_followed_by_the_next)
{
    struct net n;
    setup(&n);
    struct tapsi_sim_dns *failing = tapsi_sim_dns_new(n.second);
    tapsi_sim_dns_fail(failing, "www.test", "A", TAPSI_SIM_DNS_SERVFAIL, 0);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\nnameserver 192.0.2.1\n");
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 2000 * MS);
    CHECK_INT(n.a.count, 1);
    CHECK_INT(n.a.when, 2 * RTT);
    teardown(&n);
}

TEST(no_server_at_all_is_an_error_at_once)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", NULL); /* then it is 127.0.0.1, where nobody listens */
    ask_both(&n, "www.test");
    run_for(&n, 100 * MS);
    check_failed(&n.a, CONNREFUSED, "no name server can be reached", "www.test");
    check_failed(&n.aaaa, CONNREFUSED, "no name server can be reached", "www.test");
    CHECK(n.a.when < MS);
    teardown(&n);
}

TEST(a_server_without_a_route_is_an_error_at_once)
{
    struct net n;
    setup(&n);
    tapsi_sim_interface_up(n.c, false);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 100 * MS);
    check_failed(&n.a, CONNREFUSED, "no name server can be reached", "www.test");
    teardown(&n);
}

TEST(no_descriptors_is_an_error)
{
    struct net n;
    setup(&n);
    tapsi_sim_host_descriptors(n.client, 1);
    int fd = n.platform->ops->socket(n.platform, AF_INET, SOCK_DGRAM, 0);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 100 * MS);
    check_failed(&n.a, CONNREFUSED, "no name server can be reached", "www.test");
    n.platform->ops->close(n.platform, fd);
    teardown(&n);
}

TEST(the_options_choose_servers_and_time)
{
    struct net n;
    setup_with(&n, &(struct tapsi_resolver_options){.servers = "[2001:db8::1]:53", .timeout_ms = 300});
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\n");
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_fail(n.dns, "www.test", "AAAA", TAPSI_SIM_DNS_NEVER, 0);
    ask_both(&n, "www.test");
    run_for(&n, 3000 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.1");
    CHECK(n.aaaa.when >= 1200 * MS && n.aaaa.when <= 2110 * MS);
    CHECK_INT(tapsi_sim_packets_to(n.sim, "192.0.2.3"), 0);
    teardown(&n);
}

TEST(a_try_may_take_long)
{
    struct net n;
    setup_with(&n, &(struct tapsi_resolver_options){.timeout_ms = 20000});
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 15000 * MS);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 16000 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.1");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "www.test", "A"), 1);
    teardown(&n);
}

/* Newer c-ares would wait for a quarter of a second only. */
TEST(a_slow_answer_after_quick_ones_is_still_waited_for)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "quick.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(n.dns, "slow.test", "A", "192.0.2.9", 900 * MS);
    for (int i = 0; i < 5; i++) {
        ask(&n, &n.other, "quick.test", AF_INET);
        run_for(&n, 100 * MS);
    }
    CHECK_INT(n.other.calls, 5);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "quick.test", "A"), 5); /* answers are not kept */
    ask(&n, &n.a, "slow.test", AF_INET);
    run_for(&n, 1000 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.9");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "slow.test", "A"), 1);
    teardown(&n);
}

/* As in resolv.conf(5): the servers are asked in the order listed. */
TEST(a_server_that_was_silent_once_is_asked_first_again)
{
    struct net n;
    setup(&n);
    struct tapsi_sim_dns *first = tapsi_sim_dns_new(n.second);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\nnameserver 192.0.2.1\n");
    tapsi_sim_dns_fail(first, "one.test", "A", TAPSI_SIM_DNS_NEVER, 0);
    tapsi_sim_dns_answer(first, "two.test", "A", "192.0.2.8", 0);
    tapsi_sim_dns_answer(n.dns, "one.test", "A", "192.0.2.9", 0);
    ask(&n, &n.a, "one.test", AF_INET);
    run_for(&n, 2000 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.9");
    ask(&n, &n.other, "two.test", AF_INET);
    run_for(&n, 100 * MS);
    CHECK_TEXT(host(&n.other, 0), "192.0.2.8");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "two.test", "A"), 0);
    teardown(&n);
}

TEST(a_link_local_server_is_reached_by_its_zone)
{
    struct net n;
    setup_with(&n, &(struct tapsi_resolver_options){.servers = "fe80::1%eth0"});
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 100 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.1");
    teardown(&n);
}

TEST(wrong_options_are_refused)
{
    struct net n;
    struct tapsi_resolver *none = NULL;
    setup(&n);
    CHECK_INT(tapsi_resolver_new(&n.loop, &(struct tapsi_resolver_options){.servers = "nonsense"}, &none),
              TAPS_E_RANGE);
    CHECK_INT(tapsi_resolver_new(&n.loop, &(struct tapsi_resolver_options){.servers = ""}, &none), TAPS_E_RANGE);
    CHECK_INT(tapsi_resolver_new(&n.loop, &(struct tapsi_resolver_options){.timeout_ms = UINT32_MAX}, &none),
              TAPS_E_RANGE);
    CHECK(none == NULL);
    tapsi_resolver_free(NULL);
    teardown(&n);
}

/* ----------------------------------------------------------------------------------------- hosts and localhost */

TEST(the_hosts_file_answers_before_the_network_for_both_families)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.9 Box box.test # a box\n192.0.2.10 box\n");
    tapsi_sim_dns_answer(n.dns, "box", "AAAA", "2001:db8::9", 0);
    ask_both(&n, "BOX");
    run_for(&n, MS);
    CHECK_INT(n.a.count, 2);
    CHECK_TEXT(host(&n.a, 1), "192.0.2.10");
    CHECK_TEXT(n.a.source, "hosts");
    check_failed(&n.aaaa, NODATA, "no AAAA record", "BOX"); /* as getaddrinfo: DNS is not asked for such a name */
    CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 0);
    teardown(&n);
}

TEST(a_name_with_a_dot_at_the_end_is_not_looked_for_in_the_hosts_file)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.9 box.test\n");
    tapsi_sim_dns_answer(n.dns, "box.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "box.test.", AF_INET);
    run_for(&n, 100 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.1");
    teardown(&n);
}

TEST(a_change_of_the_hosts_file_is_seen_after_a_second)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.9 box\n");
    ask(&n, &n.a, "box", AF_INET);
    run_for(&n, 1100 * MS);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.8 box\n");
    ask(&n, &n.other, "box", AF_INET);
    run_for(&n, MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.9");
    CHECK_TEXT(host(&n.other, 0), "192.0.2.8");
    teardown(&n);
}

TEST(localhost_and_names_below_it_are_the_loopback_without_any_file)
{
    static const char *const names[] = {"localhost", "LOCALHOST.", "a.b.localhost"};
    for (size_t i = 0; i < 3; i++) {
        struct net n;
        setup(&n);
        ask_both(&n, names[i]);
        run_for(&n, MS);
        CHECK_TEXT(host(&n.a, 0), "127.0.0.1");
        CHECK_TEXT(host(&n.aaaa, 0), "::1");
        CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 0);
        teardown(&n);
    }
}

TEST(a_name_that_only_ends_like_localhost_is_asked_for)
{
    struct net n;
    setup(&n);
    ask(&n, &n.a, "notlocalhost", AF_INET);
    run_for(&n, 100 * MS);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "notlocalhost", "A"), 1);
    teardown(&n);
}

TEST(an_address_in_text_is_that_address)
{
    struct net n;
    setup(&n);
    ask(&n, &n.a, "192.0.2.77", AF_INET);
    ask(&n, &n.aaaa, "2001:db8::77", AF_INET6);
    ask(&n, &n.other, "192.0.2.77", AF_INET6);
    run_for(&n, MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.77");
    CHECK_TEXT(n.a.source, "literal");
    CHECK_TEXT(host(&n.aaaa, 0), "2001:db8::77");
    check_failed(&n.other, NODATA, "no AAAA record", "192.0.2.77");
    teardown(&n);
}

/* ------------------------------------------------------------------------------------------------ the search */

static const char searching[] = "nameserver 192.0.2.1\nsearch one.test two.test\n";

TEST(a_short_name_is_searched_for_and_a_long_one_is_tried_first)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "A", "192.0.2.22", 0);
    tapsi_sim_dns_answer(n.dns, "a.b", "A", "192.0.2.33", 0);
    ask(&n, &n.a, "box", AF_INET);
    ask(&n, &n.other, "a.b", AF_INET);
    run_for(&n, 200 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.22");
    CHECK_TEXT(host(&n.other, 0), "192.0.2.33");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box", "A"), 0);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "a.b.one.test", "A"), 0);
    teardown(&n);
}

TEST(ndots_decides_what_a_short_name_is)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.1\nsearch one.test\noptions ndots:2\n");
    tapsi_sim_dns_answer(n.dns, "a.b.one.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(n.dns, "a.b", "A", "192.0.2.2", 0);
    ask(&n, &n.a, "a.b", AF_INET);
    run_for(&n, 200 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.1");
    teardown(&n);
}

TEST(at_last_the_short_name_is_tried_as_it_is)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
    ask(&n, &n.a, "box", AF_INET);
    run_for(&n, 200 * MS);
    check_failed(&n.a, NOTFOUND, "no such name", "box");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box.one.test", "A"), 1);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box.two.test", "A"), 1);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box", "A"), 1);
    teardown(&n);
}

TEST(a_dot_at_the_end_means_no_search)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
    tapsi_sim_dns_answer(n.dns, "box.one.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "box.", AF_INET);
    run_for(&n, 200 * MS);
    check_failed(&n.a, NOTFOUND, "no such name", "box");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 1);
    teardown(&n);
}

/* proves API-010: every address is one of the same name; libc stops where either family is found */
TEST(both_families_stop_at_the_first_name_that_has_either)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
    tapsi_sim_dns_answer(n.dns, "box.one.test", "A", "192.0.2.1", 50 * MS);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "AAAA", "2001:db8::22", 0);
    ask_both(&n, "box");
    run_for(&n, 500 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.1");
    check_failed(&n.aaaa, NODATA, "no AAAA record", "box");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box.two.test", "AAAA"), 0);
    teardown(&n);
}

TEST(both_families_go_on_where_neither_is_found)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
    tapsi_sim_dns_fail(n.dns, "box.one.test", "AAAA", TAPSI_SIM_DNS_NXDOMAIN, 0);
    tapsi_sim_dns_fail(n.dns, "box.one.test", "A", TAPSI_SIM_DNS_SERVFAIL, 0);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "A", "192.0.2.22", 0);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "AAAA", "2001:db8::22", 0);
    ask_both(&n, "box");
    run_for(&n, 500 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.22");
    CHECK_TEXT(host(&n.aaaa, 0), "2001:db8::22");
    teardown(&n);
}

TEST(a_family_that_waits_goes_on_when_the_other_is_cancelled)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
    tapsi_sim_dns_fail(n.dns, "box.one.test", "A", TAPSI_SIM_DNS_NEVER, 0);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "AAAA", "2001:db8::22", 0);
    ask_both(&n, "box");
    run_for(&n, 100 * MS);
    CHECK_INT(n.aaaa.calls, 0);
    tapsi_query_cancel(n.a.query);
    run_for(&n, 100 * MS);
    CHECK_TEXT(host(&n.aaaa, 0), "2001:db8::22");
    CHECK_INT(n.a.calls, 0);
    teardown(&n);
}

TEST(one_family_alone_searches_on_its_own)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
    tapsi_sim_dns_answer(n.dns, "box.one.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "AAAA", "2001:db8::22", 0);
    ask(&n, &n.aaaa, "box", AF_INET6);
    run_for(&n, 500 * MS);
    CHECK_TEXT(host(&n.aaaa, 0), "2001:db8::22");
    teardown(&n);
}

TEST(a_search_domain_that_makes_the_name_too_long_is_passed_over)
{
    struct net n;
    char conf[512] = "nameserver 192.0.2.1\nsearch ", name[64];
    setup(&n);
    for (int i = 0; i < 100; i++)
        strcat(conf, "x.");
    strcat(conf, "test two.test\n");
    tapsi_sim_file(n.client, "/etc/resolv.conf", conf);
    memset(name, 'n', 63);
    name[63] = '\0';
    ask(&n, &n.a, name, AF_INET);
    run_for(&n, 500 * MS);
    check_failed(&n.a, NOTFOUND, "no such name", name);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 2);
    teardown(&n);
}

TEST(a_change_of_resolv_conf_is_seen_when_nothing_is_asked)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, 1100 * MS);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\n");
    ask(&n, &n.other, "www.test", AF_INET);
    run_for(&n, 1000 * MS);
    CHECK_INT(n.a.count, 1);
    check_failed(&n.other, CONNREFUSED, "no name server", "www.test");
    teardown(&n);
}

/* -------------------------------------------------------------------------------------------- what peers send */

/* proves IMPL-12: the number of addresses the network gives is bounded; TCP fetches what UDP cannot hold */
TEST(two_hundred_addresses_come_over_tcp_and_are_cut_to_the_bound)
{
    struct net n;
    setup(&n);
    for (int i = 0; i < 200; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.%d.%d", i / 100, i % 100 + 1);
        tapsi_sim_dns_answer(n.dns, "many.test", "A", text, 0);
    }
    ask(&n, &n.a, "many.test", AF_INET);
    run_for(&n, 500 * MS);
    CHECK_INT(n.a.count, TAPSI_RESOLVE_MAX);
    CHECK_TEXT(host(&n.a, 63), "10.0.0.64");
    CHECK(n.a.when >= 3 * RTT);
    teardown(&n);
}

TEST(several_truncated_answers_share_the_connection)
{
    struct net n;
    setup(&n);
    for (int i = 0; i < 60; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.0.%d", i + 1);
        tapsi_sim_dns_answer(n.dns, "many.test", "A", text, 0);
        snprintf(text, sizeof(text), "2001:db8::%d", i + 1);
        tapsi_sim_dns_answer(n.dns, "many.test", "AAAA", text, 5 * MS);
    }
    ask_both(&n, "many.test");
    run_for(&n, 500 * MS);
    CHECK_INT(n.a.count, 60);
    CHECK_INT(n.aaaa.count, 60);
    teardown(&n);
}

TEST(aliases_are_followed)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "one.test", "CNAME", "two.test", 0);
    tapsi_sim_dns_answer(n.dns, "two.test", "CNAME", "three.test", 0);
    tapsi_sim_dns_answer(n.dns, "three.test", "A", "192.0.2.1", 0);
    ask_both(&n, "one.test");
    run_for(&n, 100 * MS);
    CHECK_TEXT(host(&n.a, 0), "192.0.2.1");
    check_failed(&n.aaaa, NODATA, "no AAAA record", "one.test");
    teardown(&n);
}

TEST(aliases_in_a_ring_lead_nowhere)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "one.test", "CNAME", "two.test", 0);
    tapsi_sim_dns_answer(n.dns, "two.test", "CNAME", "one.test", 0);
    ask(&n, &n.a, "one.test", AF_INET);
    run_for(&n, 30000 * MS);
    CHECK_INT(n.a.calls, 1);
    CHECK_INT(n.a.count, 0);
    CHECK_INT(n.a.error.pub.code, TAPS_E_RESOLUTION);
    teardown(&n);
}

struct forger {
    struct tapsi_sim *sim;
    unsigned kind;
};

/* Answers that are none, from the server's own address and port; the question's bytes are at hand. */
static void forge(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                  const uint8_t *bytes, size_t count)
{
    const struct forger *f = arg;
    uint8_t reply[600];
    memset(reply, 0xff, sizeof(reply));
    memcpy(reply, bytes, count);
    reply[2] |= 0x80; /* it is an answer */
    switch (f->kind) {
    case 0: /* empty */
        tapsi_sim_udp_reply(udp, to, from, reply, 0, 0);
        break;
    case 1: /* less than a header */
        tapsi_sim_udp_reply(udp, to, from, reply, 5, 0);
        break;
    case 2: /* another id */
        reply[0] ^= 0x55;
        tapsi_sim_udp_reply(udp, to, from, reply, count, 0);
        break;
    case 3: /* answers announced that are not there */
        reply[6] = reply[7] = 0xff;
        tapsi_sim_udp_reply(udp, to, from, reply, count, 0);
        break;
    case 4: /* a name that points at itself */
        reply[7] = 1;
        reply[count] = 0xc0;
        reply[count + 1] = (uint8_t)count;
        tapsi_sim_udp_reply(udp, to, from, reply, count + 16, 0);
        break;
    case 5: /* another question */
        reply[13] ^= 1;
        tapsi_sim_udp_reply(udp, to, from, reply, count, 0);
        break;
    case 6: /* all ones */
        memset(reply, 0xff, sizeof(reply));
        tapsi_sim_udp_reply(udp, to, from, reply, sizeof(reply), 0);
        break;
    case 7: /* an error whose question is cut off */
        reply[3] = 2;
        tapsi_sim_udp_reply(udp, to, from, reply, 14, 0);
        break;
    case 8: /* a flood */
        for (int i = 0; i < 300; i++)
            tapsi_sim_udp_reply(udp, to, from, reply, 3, 0);
        break;
    }
}

TEST(garbage_is_an_error_or_is_not_noticed_and_the_resolver_lives_on)
{
    for (unsigned kind = 0; kind <= 8; kind++) {
        struct net n;
        struct forger forger = {.kind = kind};
        setup(&n);
        CHECK(tapsi_sim_udp_serve(n.second, 53, forge, &forger) != NULL);
        tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\noptions attempts:2\n");
        ask(&n, &n.a, "www.test", AF_INET);
        run_for(&n, 10000 * MS);
        CHECK_INT(n.a.calls, 1);
        CHECK_INT(n.a.count, 0);
        CHECK_INT(n.a.error.pub.code, TAPS_E_RESOLUTION);
        CHECK(strstr(n.a.error.pub.detail, "www.test") != NULL);
        tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
        tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
        ask(&n, &n.other, "www.test", AF_INET);
        run_for(&n, 100 * MS);
        CHECK_INT(n.other.count, 1);
        teardown(&n);
    }
}

/* ---------------------------------------------------------------------------------------------------- names */

TEST(names_that_cannot_be_names_are_refused_and_named)
{
    static const char *const wrong[] = {"",     ".",     "..",  "a..b", ".a",    "a b", "a\nb",   "b\303\274cher.test",
                                        "a/b",  "[::1]", "a:b", "::g",  "a\\.b", "a@b", "*.test", "a%eth0",
                                        "\x7f", "a.."};
    struct net n;
    setup(&n);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct tapsi_error error;
        struct tapsi_query *query = NULL;
        CHECK_INT(tapsi_resolver_query(n.resolver, wrong[i], AF_INET, on_answer, &n.a, &query, &error),
                  TAPS_E_RESOLUTION);
        CHECK(query == NULL);
        CHECK(strstr(error.pub.detail, wrong[i]) != NULL);
    }
    run_for(&n, 100 * MS);
    CHECK_INT(n.a.calls, 0);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 0);
    teardown(&n);
}

TEST(a_name_may_be_as_long_as_names_are_and_no_longer)
{
    struct net n;
    struct tapsi_error error;
    struct tapsi_query *query;
    char name[400];
    setup(&n);
    for (int i = 0; i < 4; i++) {
        memset(name + 64 * i, 'a' + i, 63);
        name[64 * i + 63] = '.';
    }
    name[253] = '\0'; /* 63.63.63.61 */
    ask(&n, &n.a, name, AF_INET);
    name[253] = 'd';
    name[254] = '\0';
    CHECK_INT(tapsi_resolver_query(n.resolver, name, AF_INET, on_answer, &n.a, &query, &error), TAPS_E_RESOLUTION);
    CHECK(strstr(error.pub.detail, "253") != NULL);
    memset(name, 'x', 64);
    strcpy(name + 64, ".test");
    CHECK_INT(tapsi_resolver_query(n.resolver, name, AF_INET, on_answer, &n.a, &query, &error), TAPS_E_RESOLUTION);
    CHECK(strstr(error.pub.detail, "63") != NULL);
    run_for(&n, 100 * MS);
    CHECK_INT(n.a.error.pub.native, NOTFOUND);
    teardown(&n);
}

TEST(a_family_that_is_none_is_refused)
{
    struct net n;
    struct tapsi_error error;
    struct tapsi_query *query;
    setup(&n);
    CHECK_INT(tapsi_resolver_query(n.resolver, "www.test", AF_UNSPEC, on_answer, &n.a, &query, &error),
              TAPS_E_ARGUMENT);
    teardown(&n);
}

/* ------------------------------------------------------------------------------------------- going away early */

TEST(a_cancelled_query_says_nothing_whenever_it_is_cancelled)
{
    /* Before the first turn, with the question out, with the answer on the way, over TCP, at a later step. */
    static const uint64_t when[] = {0, 1, DELAY, RTT - 1, RTT + DELAY, 2 * RTT, 2 * RTT + 1, 3 * RTT, 4 * RTT - 1};
    for (size_t i = 0; i < sizeof(when) / sizeof(when[0]); i++) {
        struct net n;
        setup(&n);
        tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
        for (int j = 0; j < 200; j++)
            tapsi_sim_dns_answer(n.dns, "box.two.test", "A", "10.0.0.1 10.0.0.2 10.0.0.3", 0);
        ask_both(&n, "box");
        if (when[i])
            run_for(&n, when[i]);
        if (n.a.query)
            tapsi_query_cancel(n.a.query);
        if (n.aaaa.query)
            tapsi_query_cancel(n.aaaa.query);
        CHECK_INT(tapsi_sim_host_sockets(n.client), 0);
        unsigned calls = n.a.calls + n.aaaa.calls;
        run_for(&n, 10000 * MS);
        CHECK_INT(n.a.calls + n.aaaa.calls, calls);
        teardown(&n);
    }
}

TEST(a_cancelled_query_leaves_the_others_alone)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(n.dns, "ftp.test", "A", "192.0.2.3", 0);
    ask(&n, &n.a, "www.test", AF_INET);
    ask(&n, &n.other, "ftp.test", AF_INET);
    tapsi_query_cancel(n.a.query);
    run_for(&n, 100 * MS);
    CHECK_INT(n.a.calls, 0);
    CHECK_INT(n.other.count, 1);
    teardown(&n);
}

TEST(a_finished_query_may_be_cancelled_until_it_was_delivered)
{
    struct net n;
    setup(&n);
    ask(&n, &n.a, "localhost", AF_INET);
    tapsi_query_cancel(n.a.query);
    run_for(&n, MS);
    CHECK_INT(n.a.calls, 0);
    teardown(&n);
}

TEST(a_callback_may_cancel_the_other_query)
{
    struct net n;
    setup(&n);
    ask(&n, &n.a, "localhost", AF_INET);
    ask(&n, &n.aaaa, "localhost", AF_INET6);
    n.a.cancels = n.aaaa.query;
    run_for(&n, MS);
    CHECK_INT(n.a.calls, 1);
    CHECK_INT(n.aaaa.calls, 0);
    teardown(&n);
}

TEST(a_callback_may_free_the_resolver)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask_both(&n, "www.test");
    n.a.frees = n.aaaa.frees = true;
    run_for(&n, 100 * MS);
    CHECK_INT(n.a.calls + n.aaaa.calls, 1);
    teardown(&n);
}

TEST(a_resolver_freed_with_questions_out_says_nothing)
{
    struct net n;
    setup(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", searching);
    ask_both(&n, "www.test");
    ask(&n, &n.other, "box", AF_INET);
    run_for(&n, DELAY);
    tapsi_resolver_free(n.resolver);
    n.resolver = NULL;
    run_for(&n, 1000 * MS);
    CHECK_INT(n.a.calls + n.aaaa.calls + n.other.calls, 0);
    teardown(&n);
}

TEST(sockets_are_closed_when_nothing_is_asked)
{
    struct net n;
    setup(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    ask(&n, &n.a, "www.test", AF_INET);
    run_for(&n, DELAY);
    CHECK_INT(tapsi_sim_host_sockets(n.client), 1);
    run_for(&n, 100 * MS);
    CHECK_INT(tapsi_sim_host_sockets(n.client), 0);
    teardown(&n);
}

/* -------------------------------------------------------------------------------------------- things run short */

static void one_run(struct net *n)
{
    struct tapsi_error error;
    tapsi_sim_file(n->client, "/etc/resolv.conf", searching);
    for (int i = 0; i < 100; i++)
        tapsi_sim_dns_answer(n->dns, "box.two.test", "A", "10.0.0.1 10.0.0.2", 0);
    int err = tapsi_resolver_query(n->resolver, "box", AF_INET, on_answer, &n->a, &n->a.query, &error);
    CHECK(err == 0 || err == TAPS_E_MEMORY);
    run_for(n, 20000 * MS);
    CHECK_INT(n->a.calls, err == 0 ? 1 : 0);
    CHECK(err < 0 || n->a.count || n->a.error.pub.code == TAPS_E_MEMORY || n->a.error.pub.code == TAPS_E_RESOLUTION);
}

TEST(every_allocation_may_fail)
{
    for (size_t i = 1; i < 200; i++) {
        struct net n;
        setup(&n);
        size_t before = heap.calls;
        heap.fail_at = before + i;
        one_run(&n);
        bool over = heap.calls < heap.fail_at;
        heap.fail_at = 0;
        teardown(&n);
        if (over) {
            CHECK(i > 4);
            return;
        }
    }
    CHECK(!"there is no end");
}

TEST(every_call_of_the_platform_may_fail)
{
    static const int errors[] = {ENOBUFS, EMFILE, EINVAL, ENOMEM};
    for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
        for (uint64_t i = 1; i < 300; i++) {
            struct net n;
            setup(&n);
            tapsi_sim_fail_call(n.sim, i, errors[e]);
            one_run(&n);
            bool over = !tapsi_sim_call_failed(n.sim);
            teardown(&n);
            if (over) {
                CHECK(i > 10);
                break;
            }
        }
    }
}

TEST(services_come_from_the_system_s_list)
{
    struct net n;
    setup(&n);
    CHECK_INT(tapsi_resolver_service(n.resolver, "gopher", "tcp"), 0);
    tapsi_sim_file(n.client, "/etc/services", "gopher 70/tcp\n");
    CHECK_INT(tapsi_resolver_service(n.resolver, "gopher", "tcp"), 70);
    CHECK_INT(tapsi_resolver_service(n.resolver, "gopher", "udp"), 0);
    teardown(&n);
}
