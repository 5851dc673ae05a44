/* The resolver and the network: servers, answers, names, and what runs short. The search: search_test.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "test_names.h"

/* --------------------------------------------------------------------------------------------- the easy road */

/* proves IMPL-13 */
TEST(a_name_has_the_addresses_of_both_families)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "AAAA", "2001:db8::1 2001:db8::7", 0);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask_both(&n, "www.test");
    names_run(&n, 100 * MS);
    CHECK_INT(n.aaaa.calls, 1);
    CHECK_INT(n.aaaa.count, 2);
    CHECK_TEXT(names_host(&n.aaaa, 1), "2001:db8::7");
    CHECK_TEXT(n.aaaa.source, "dns");
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.1");
    CHECK_INT(n.a.when, RTT);
    names_done(&n);
}

/* proves IMPL-08: the families are asked for separately, the fast one does not wait for the slow one */
TEST(a_slow_family_does_not_hold_the_other_one)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "AAAA", "2001:db8::1", 300 * MS);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask_both(&n, "www.test");
    names_run(&n, 600 * MS);
    CHECK_INT(n.a.when, RTT);
    CHECK_INT(n.aaaa.when, RTT + 300 * MS);
    CHECK_TEXT(names_host(&n.aaaa, 0), "2001:db8::1");
    names_done(&n);
}

/* proves IMPL-13 */
TEST(a_family_without_a_record_is_an_error_that_says_so)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "AAAA", "2001:db8::1", 0);
    names_ask_both(&n, "www.test");
    names_run(&n, 100 * MS);
    CHECK_INT(n.aaaa.count, 1);
    names_check_failed(&n.a, NODATA, "no A record", "www.test");
    CHECK_INT(n.a.when, RTT);
    names_done(&n);
}

/* proves API-062: nothing resolves, with the reason and the name */
TEST(an_unknown_name_is_an_error_that_says_so)
{
    struct names n;
    names_new(&n);
    names_ask_both(&n, "nobody.test");
    names_run(&n, 100 * MS);
    names_check_failed(&n.a, NOTFOUND, "no such name", "nobody.test");
    names_check_failed(&n.aaaa, NOTFOUND, "no such name", "nobody.test");
    names_done(&n);
}

/* proves API-062, IMPL-13 */
TEST(a_failing_server_is_an_error_that_says_so)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_fail(n.dns, "bad.test", "A", TAPSI_SIM_DNS_SERVFAIL, 0);
    tapsi_sim_dns_fail(n.dns, "bad.test", "AAAA", TAPSI_SIM_DNS_REFUSED, 0);
    names_ask_both(&n, "bad.test");
    names_run(&n, 1000 * MS);
    names_check_failed(&n.a, SERVFAIL, "the name servers failed", "bad.test");
    names_check_failed(&n.aaaa, REFUSED, "the name servers failed", "bad.test");
    names_done(&n);
}

/* ------------------------------------------------------------------------------------------- servers and time */

TEST(a_silent_server_is_asked_three_times_and_then_given_up)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_fail(n.dns, "slow.test", "A", TAPSI_SIM_DNS_NEVER, 0);
    names_ask(&n, &n.a, "slow.test", AF_INET);
    names_run(&n, 3900 * MS);
    CHECK_INT(n.a.calls, 0);
    names_run(&n, 3200 * MS); /* 1 + 2 + 4 seconds at most, 1 + 1 + 2 at least */
    names_check_failed(&n.a, TIMED_OUT, "no answer from the name servers", "slow.test");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "slow.test", "A"), 3);
    names_done(&n);
}

TEST(an_answer_to_the_second_question_is_taken)
{
    struct names n;
    names_new(&n);
    tapsi_sim_fault(n.sim, "192.0.2.1:53", TAPSI_SIM_BLACKHOLE);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 500 * MS);
    tapsi_sim_fault(n.sim, "192.0.2.1:53", TAPSI_SIM_FINE);
    names_run(&n, 1000 * MS);
    CHECK_INT(n.a.count, 1);
    CHECK(n.a.when >= 1000 * MS + RTT && n.a.when <= 1002 * MS + RTT);
    names_done(&n);
}

/* proves IMPL-13 */
TEST(a_dead_first_server_costs_one_timeout)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\nnameserver 192.0.2.1\n");
    tapsi_sim_fault(n.sim, "192.0.2.3", TAPSI_SIM_BLACKHOLE);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 2000 * MS);
    CHECK_INT(n.a.count, 1);
    CHECK(n.a.when <= 1002 * MS + RTT);
    names_done(&n);
}

TEST(a_refusing_first_server_costs_no_timeout)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\nnameserver 192.0.2.1\n");
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 2000 * MS);
    CHECK_INT(n.a.count, 1);
    CHECK_INT(n.a.when, 2 * RTT);
    names_done(&n);
}

TEST(a_server_that_fails_is_followed_by_the_next)
{
    struct names n;
    names_new(&n);
    struct tapsi_sim_dns *failing = tapsi_sim_dns_new(n.second);
    tapsi_sim_dns_fail(failing, "www.test", "A", TAPSI_SIM_DNS_SERVFAIL, 0);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\nnameserver 192.0.2.1\n");
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 2000 * MS);
    CHECK_INT(n.a.count, 1);
    CHECK_INT(n.a.when, 2 * RTT);
    names_done(&n);
}

TEST(no_server_at_all_is_an_error_at_once)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", NULL); /* then it is 127.0.0.1, where nobody listens */
    names_ask_both(&n, "www.test");
    names_run(&n, 100 * MS);
    names_check_failed(&n.a, CONNREFUSED, "no name server can be reached", "www.test");
    names_check_failed(&n.aaaa, CONNREFUSED, "no name server can be reached", "www.test");
    CHECK(n.a.when < MS);
    names_done(&n);
}

TEST(a_server_without_a_route_is_an_error_at_once)
{
    struct names n;
    names_new(&n);
    tapsi_sim_interface_up(n.c, false);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 100 * MS);
    names_check_failed(&n.a, CONNREFUSED, "no name server can be reached", "www.test");
    names_done(&n);
}

TEST(no_descriptors_is_an_error)
{
    struct names n;
    names_new(&n);
    tapsi_sim_host_descriptors(n.client, 1);
    int fd = n.platform->ops->socket(n.platform, AF_INET, SOCK_DGRAM, 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 100 * MS);
    names_check_failed(&n.a, CONNREFUSED, "no name server can be reached", "www.test");
    n.platform->ops->close(n.platform, fd);
    names_done(&n);
}

TEST(the_options_choose_servers_and_time)
{
    struct names n;
    names_new_with(&n, &(struct tapsi_resolver_options){.servers = "[2001:db8::1]:53", .timeout_ms = 300});
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\n");
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_fail(n.dns, "www.test", "AAAA", TAPSI_SIM_DNS_NEVER, 0);
    names_ask_both(&n, "www.test");
    names_run(&n, 3000 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.1");
    CHECK(n.aaaa.when >= 1200 * MS && n.aaaa.when <= 2110 * MS);
    CHECK_INT(tapsi_sim_packets_to(n.sim, "192.0.2.3"), 0);
    names_done(&n);
}

TEST(a_try_may_take_long)
{
    struct names n;
    names_new_with(&n, &(struct tapsi_resolver_options){.timeout_ms = 20000});
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 15000 * MS);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 16000 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.1");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "www.test", "A"), 1);
    names_done(&n);
}

/* Newer c-ares would wait for a quarter of a second only. */
TEST(a_slow_answer_after_quick_ones_is_still_waited_for)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "quick.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(n.dns, "slow.test", "A", "192.0.2.9", 900 * MS);
    for (int i = 0; i < 5; i++) {
        names_ask(&n, &n.other, "quick.test", AF_INET);
        names_run(&n, 100 * MS);
    }
    CHECK_INT(n.other.calls, 5);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "quick.test", "A"), 5); /* answers are not kept */
    names_ask(&n, &n.a, "slow.test", AF_INET);
    names_run(&n, 1000 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.9");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "slow.test", "A"), 1);
    names_done(&n);
}

/* As in resolv.conf(5): the servers are asked in the order listed. */
TEST(a_server_that_was_silent_once_is_asked_first_again)
{
    struct names n;
    names_new(&n);
    struct tapsi_sim_dns *first = tapsi_sim_dns_new(n.second);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\nnameserver 192.0.2.1\n");
    tapsi_sim_dns_fail(first, "one.test", "A", TAPSI_SIM_DNS_NEVER, 0);
    tapsi_sim_dns_answer(first, "two.test", "A", "192.0.2.8", 0);
    tapsi_sim_dns_answer(n.dns, "one.test", "A", "192.0.2.9", 0);
    names_ask(&n, &n.a, "one.test", AF_INET);
    names_run(&n, 2000 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.9");
    names_ask(&n, &n.other, "two.test", AF_INET);
    names_run(&n, 100 * MS);
    CHECK_TEXT(names_host(&n.other, 0), "192.0.2.8");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "two.test", "A"), 0);
    names_done(&n);
}

TEST(a_link_local_server_is_reached_by_its_zone)
{
    struct names n;
    names_new_with(&n, &(struct tapsi_resolver_options){.servers = "fe80::1%eth0"});
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 100 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.1");
    names_done(&n);
}

TEST(wrong_options_are_refused)
{
    struct names n;
    struct tapsi_resolver *none = NULL;
    names_new(&n);
    CHECK_INT(tapsi_resolver_new(&n.loop, &(struct tapsi_resolver_options){.servers = "nonsense"}, &none),
              TAPS_E_RANGE);
    CHECK_INT(tapsi_resolver_new(&n.loop, &(struct tapsi_resolver_options){.servers = ""}, &none), TAPS_E_RANGE);
    CHECK_INT(tapsi_resolver_new(&n.loop, &(struct tapsi_resolver_options){.timeout_ms = UINT32_MAX}, &none),
              TAPS_E_RANGE);
    CHECK(none == NULL);
    tapsi_resolver_free(NULL);
    names_done(&n);
}

/* -------------------------------------------------------------------------------------------- what peers send */

/* proves IMPL-12: the number of addresses the network gives is bounded; TCP fetches what UDP cannot hold */
TEST(two_hundred_addresses_come_over_tcp_and_are_cut_to_the_bound)
{
    struct names n;
    names_new(&n);
    for (int i = 0; i < 200; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.%d.%d", i / 100, i % 100 + 1);
        tapsi_sim_dns_answer(n.dns, "many.test", "A", text, 0);
    }
    names_ask(&n, &n.a, "many.test", AF_INET);
    names_run(&n, 500 * MS);
    CHECK_INT(n.a.count, TAPSI_RESOLVE_MAX);
    CHECK_TEXT(names_host(&n.a, 63), "10.0.0.64");
    CHECK(n.a.when >= 3 * RTT);
    names_done(&n);
}

/* proves IMPL-13 */
TEST(several_truncated_answers_share_the_connection)
{
    struct names n;
    names_new(&n);
    for (int i = 0; i < 60; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.0.%d", i + 1);
        tapsi_sim_dns_answer(n.dns, "many.test", "A", text, 0);
        snprintf(text, sizeof(text), "2001:db8::%d", i + 1);
        tapsi_sim_dns_answer(n.dns, "many.test", "AAAA", text, 5 * MS);
    }
    names_ask_both(&n, "many.test");
    names_run(&n, 500 * MS);
    CHECK_INT(n.a.count, 60);
    CHECK_INT(n.aaaa.count, 60);
    names_done(&n);
}

/* proves IMPL-13 */
TEST(aliases_are_followed)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "one.test", "CNAME", "two.test", 0);
    tapsi_sim_dns_answer(n.dns, "two.test", "CNAME", "three.test", 0);
    tapsi_sim_dns_answer(n.dns, "three.test", "A", "192.0.2.1", 0);
    names_ask_both(&n, "one.test");
    names_run(&n, 100 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.1");
    names_check_failed(&n.aaaa, NODATA, "no AAAA record", "one.test");
    names_done(&n);
}

/* proves IMPL-12, IMPL-13 */
TEST(aliases_in_a_ring_lead_nowhere)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "one.test", "CNAME", "two.test", 0);
    tapsi_sim_dns_answer(n.dns, "two.test", "CNAME", "one.test", 0);
    names_ask(&n, &n.a, "one.test", AF_INET);
    names_run(&n, 30000 * MS);
    CHECK_INT(n.a.calls, 1);
    CHECK_INT(n.a.count, 0);
    CHECK_INT(n.a.error.pub.code, TAPS_E_RESOLUTION);
    names_done(&n);
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

/* proves IMPL-12, IMPL-13 */
TEST(garbage_is_an_error_or_is_not_noticed_and_the_resolver_lives_on)
{
    for (unsigned kind = 0; kind <= 8; kind++) {
        struct names n;
        struct forger forger = {.kind = kind};
        names_new(&n);
        CHECK(tapsi_sim_udp_serve(n.second, 53, forge, &forger) != NULL);
        tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\noptions attempts:2\n");
        names_ask(&n, &n.a, "www.test", AF_INET);
        names_run(&n, 10000 * MS);
        CHECK_INT(n.a.calls, 1);
        CHECK_INT(n.a.count, 0);
        CHECK_INT(n.a.error.pub.code, TAPS_E_RESOLUTION);
        CHECK(strstr(n.a.error.pub.detail, "www.test") != NULL);
        tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
        tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
        names_ask(&n, &n.other, "www.test", AF_INET);
        names_run(&n, 100 * MS);
        CHECK_INT(n.other.count, 1);
        names_done(&n);
    }
}

/* ---------------------------------------------------------------------------------------------------- names */

TEST(names_that_cannot_be_names_are_refused_and_named)
{
    static const char *const wrong[] = {"",     ".",     "..",  "a..b", ".a",    "a b", "a\nb",   "b\303\274cher.test",
                                        "a/b",  "[::1]", "a:b", "::g",  "a\\.b", "a@b", "*.test", "a%eth0",
                                        "\x7f", "a.."};
    struct names n;
    names_new(&n);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct tapsi_error error;
        struct tapsi_query *query = NULL;
        CHECK_INT(tapsi_resolver_query(n.resolver, wrong[i], AF_INET, names_answered, &n.a, &query, &error),
                  TAPS_E_RESOLUTION);
        CHECK(query == NULL);
        CHECK(strstr(error.pub.detail, wrong[i]) != NULL);
    }
    names_run(&n, 100 * MS);
    CHECK_INT(n.a.calls, 0);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 0);
    names_done(&n);
}

TEST(a_name_may_be_as_long_as_names_are_and_no_longer)
{
    struct names n;
    struct tapsi_error error;
    struct tapsi_query *query;
    char name[400];
    names_new(&n);
    for (int i = 0; i < 4; i++) {
        memset(name + 64 * i, 'a' + i, 63);
        name[64 * i + 63] = '.';
    }
    name[253] = '\0'; /* 63.63.63.61 */
    names_ask(&n, &n.a, name, AF_INET);
    name[253] = 'd';
    name[254] = '\0';
    CHECK_INT(tapsi_resolver_query(n.resolver, name, AF_INET, names_answered, &n.a, &query, &error), TAPS_E_RESOLUTION);
    CHECK(strstr(error.pub.detail, "253") != NULL);
    memset(name, 'x', 64);
    strcpy(name + 64, ".test");
    CHECK_INT(tapsi_resolver_query(n.resolver, name, AF_INET, names_answered, &n.a, &query, &error), TAPS_E_RESOLUTION);
    CHECK(strstr(error.pub.detail, "63") != NULL);
    names_run(&n, 100 * MS);
    CHECK_INT(n.a.error.pub.native, NOTFOUND);
    names_done(&n);
}

TEST(a_family_that_is_none_is_refused)
{
    struct names n;
    struct tapsi_error error;
    struct tapsi_query *query;
    names_new(&n);
    CHECK_INT(tapsi_resolver_query(n.resolver, "www.test", AF_UNSPEC, names_answered, &n.a, &query, &error),
              TAPS_E_ARGUMENT);
    names_done(&n);
}

/* ------------------------------------------------------------------------------------------- going away early */

TEST(a_cancelled_query_says_nothing_whenever_it_is_cancelled)
{
    /* Before the first turn, with the question out, with the answer on the way, over TCP, at a later step. */
    static const uint64_t when[] = {0, 1, DELAY, RTT - 1, RTT + DELAY, 2 * RTT, 2 * RTT + 1, 3 * RTT, 4 * RTT - 1};
    for (size_t i = 0; i < sizeof(when) / sizeof(when[0]); i++) {
        struct names n;
        names_new(&n);
        tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
        for (int j = 0; j < 200; j++)
            tapsi_sim_dns_answer(n.dns, "box.two.test", "A", "10.0.0.1 10.0.0.2 10.0.0.3", 0);
        names_ask_both(&n, "box");
        if (when[i])
            names_run(&n, when[i]);
        if (n.a.query)
            tapsi_query_cancel(n.a.query);
        if (n.aaaa.query)
            tapsi_query_cancel(n.aaaa.query);
        CHECK_INT(tapsi_sim_host_sockets(n.client), 0);
        unsigned calls = n.a.calls + n.aaaa.calls;
        names_run(&n, 10000 * MS);
        CHECK_INT(n.a.calls + n.aaaa.calls, calls);
        names_done(&n);
    }
}

TEST(a_cancelled_query_leaves_the_others_alone)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(n.dns, "ftp.test", "A", "192.0.2.3", 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_ask(&n, &n.other, "ftp.test", AF_INET);
    tapsi_query_cancel(n.a.query);
    names_run(&n, 100 * MS);
    CHECK_INT(n.a.calls, 0);
    CHECK_INT(n.other.count, 1);
    names_done(&n);
}

TEST(a_finished_query_may_be_cancelled_until_it_was_delivered)
{
    struct names n;
    names_new(&n);
    names_ask(&n, &n.a, "localhost", AF_INET);
    tapsi_query_cancel(n.a.query);
    names_run(&n, MS);
    CHECK_INT(n.a.calls, 0);
    names_done(&n);
}

TEST(a_callback_may_cancel_the_other_query)
{
    struct names n;
    names_new(&n);
    names_ask(&n, &n.a, "localhost", AF_INET);
    names_ask(&n, &n.aaaa, "localhost", AF_INET6);
    n.a.cancels = n.aaaa.query;
    names_run(&n, MS);
    CHECK_INT(n.a.calls, 1);
    CHECK_INT(n.aaaa.calls, 0);
    names_done(&n);
}

TEST(a_callback_may_free_the_resolver)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask_both(&n, "www.test");
    n.a.frees = n.aaaa.frees = true;
    names_run(&n, 100 * MS);
    CHECK_INT(n.a.calls + n.aaaa.calls, 1);
    names_done(&n);
}

TEST(a_resolver_freed_with_questions_out_says_nothing)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
    names_ask_both(&n, "www.test");
    names_ask(&n, &n.other, "box", AF_INET);
    names_run(&n, DELAY);
    tapsi_resolver_free(n.resolver);
    n.resolver = NULL;
    names_run(&n, 1000 * MS);
    CHECK_INT(n.a.calls + n.aaaa.calls + n.other.calls, 0);
    names_done(&n);
}

TEST(sockets_are_closed_when_nothing_is_asked)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, DELAY);
    CHECK_INT(tapsi_sim_host_sockets(n.client), 1);
    names_run(&n, 100 * MS);
    CHECK_INT(tapsi_sim_host_sockets(n.client), 0);
    names_done(&n);
}

/* -------------------------------------------------------------------------------------------- things run short */

static void one_run(struct names *n)
{
    struct tapsi_error error;
    tapsi_sim_file(n->client, "/etc/resolv.conf", SEARCHING);
    for (int i = 0; i < 100; i++)
        tapsi_sim_dns_answer(n->dns, "box.two.test", "A", "10.0.0.1 10.0.0.2", 0);
    int err = tapsi_resolver_query(n->resolver, "box", AF_INET, names_answered, &n->a, &n->a.query, &error);
    CHECK(err == 0 || err == TAPS_E_MEMORY);
    names_run(n, 20000 * MS);
    CHECK_INT(n->a.calls, err == 0 ? 1 : 0);
    CHECK(err < 0 || n->a.count || n->a.error.pub.code == TAPS_E_MEMORY || n->a.error.pub.code == TAPS_E_RESOLUTION);
}

TEST(every_allocation_may_fail)
{
    for (size_t i = 1; i < 200; i++) {
        struct names n;
        names_new(&n);
        size_t before = names_heap.calls;
        names_heap.fail_at = before + i;
        one_run(&n);
        bool over = names_heap.calls < names_heap.fail_at;
        names_heap.fail_at = 0;
        names_done(&n);
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
            struct names n;
            names_new(&n);
            tapsi_sim_fail_call(n.sim, i, errors[e]);
            one_run(&n);
            bool over = !tapsi_sim_call_failed(n.sim);
            names_done(&n);
            if (over) {
                CHECK(i > 10);
                break;
            }
        }
    }
}

TEST(services_come_from_the_system_s_list)
{
    struct names n;
    names_new(&n);
    CHECK_INT(tapsi_resolver_service(n.resolver, "gopher", "tcp"), 0);
    tapsi_sim_file(n.client, "/etc/services", "gopher 70/tcp\n");
    CHECK_INT(tapsi_resolver_service(n.resolver, "gopher", "tcp"), 70);
    CHECK_INT(tapsi_resolver_service(n.resolver, "gopher", "udp"), 0);
    names_done(&n);
}
