/* Names that this machine knows by itself, and the search list. The network: resolve_test.c. */
#include <stdio.h>
#include <string.h>
#include "test_names.h"

/* ----------------------------------------------------------------------------------------- hosts and localhost */

/* proves IMPL-13 */
TEST(the_hosts_file_answers_before_the_network_for_both_families)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.9 Box box.test # a box\n192.0.2.10 box\n");
    tapsi_sim_dns_answer(n.dns, "box", "AAAA", "2001:db8::9", 0);
    names_ask_both(&n, "BOX");
    names_run(&n, MS);
    CHECK_INT(n.a.count, 2);
    CHECK_TEXT(names_host(&n.a, 1), "192.0.2.10");
    CHECK_TEXT(n.a.source, "hosts");
    names_check_failed(&n.aaaa, NODATA, "no AAAA record", "BOX"); /* as getaddrinfo: DNS is not asked for such a name */
    CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 0);
    names_done(&n);
}

TEST(a_name_with_a_dot_at_the_end_is_not_looked_for_in_the_hosts_file)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.9 box.test\n");
    tapsi_sim_dns_answer(n.dns, "box.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "box.test.", AF_INET);
    names_run(&n, 100 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.1");
    names_done(&n);
}

TEST(a_change_of_the_hosts_file_is_seen_after_a_second)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.9 box\n");
    names_ask(&n, &n.a, "box", AF_INET);
    names_run(&n, 1100 * MS);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.8 box\n");
    names_ask(&n, &n.other, "box", AF_INET);
    names_run(&n, MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.9");
    CHECK_TEXT(names_host(&n.other, 0), "192.0.2.8");
    names_done(&n);
}

/* proves IMPL-13 */
TEST(localhost_and_names_below_it_are_the_loopback_without_any_file)
{
    static const char *const names[] = {"localhost", "LOCALHOST.", "a.b.localhost"};
    for (size_t i = 0; i < 3; i++) {
        struct names n;
        names_new(&n);
        names_ask_both(&n, names[i]);
        names_run(&n, MS);
        CHECK_TEXT(names_host(&n.a, 0), "127.0.0.1");
        CHECK_TEXT(names_host(&n.aaaa, 0), "::1");
        CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 0);
        names_done(&n);
    }
}

TEST(a_name_that_only_ends_like_localhost_is_asked_for)
{
    struct names n;
    names_new(&n);
    names_ask(&n, &n.a, "notlocalhost", AF_INET);
    names_run(&n, 100 * MS);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "notlocalhost", "A"), 1);
    names_done(&n);
}

/* proves API-010 */
TEST(an_address_in_text_is_that_address)
{
    struct names n;
    names_new(&n);
    names_ask(&n, &n.a, "192.0.2.77", AF_INET);
    names_ask(&n, &n.aaaa, "2001:db8::77", AF_INET6);
    names_ask(&n, &n.other, "192.0.2.77", AF_INET6);
    names_run(&n, MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.77");
    CHECK_TEXT(n.a.source, "literal");
    CHECK_TEXT(names_host(&n.aaaa, 0), "2001:db8::77");
    names_check_failed(&n.other, NODATA, "no AAAA record", "192.0.2.77");
    names_done(&n);
}

/* ------------------------------------------------------------------------------------------------ the search */

/* proves IMPL-13 */
TEST(a_short_name_is_searched_for_and_a_long_one_is_tried_first)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "A", "192.0.2.22", 0);
    tapsi_sim_dns_answer(n.dns, "a.b", "A", "192.0.2.33", 0);
    names_ask(&n, &n.a, "box", AF_INET);
    names_ask(&n, &n.other, "a.b", AF_INET);
    names_run(&n, 200 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.22");
    CHECK_TEXT(names_host(&n.other, 0), "192.0.2.33");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box", "A"), 0);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "a.b.one.test", "A"), 0);
    names_done(&n);
}

/* proves IMPL-13 */
TEST(ndots_decides_what_a_short_name_is)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.1\nsearch one.test\noptions ndots:2\n");
    tapsi_sim_dns_answer(n.dns, "a.b.one.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(n.dns, "a.b", "A", "192.0.2.2", 0);
    names_ask(&n, &n.a, "a.b", AF_INET);
    names_run(&n, 200 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.1");
    names_done(&n);
}

TEST(at_last_the_short_name_is_tried_as_it_is)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
    names_ask(&n, &n.a, "box", AF_INET);
    names_run(&n, 200 * MS);
    names_check_failed(&n.a, NOTFOUND, "no such name", "box");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box.one.test", "A"), 1);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box.two.test", "A"), 1);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box", "A"), 1);
    names_done(&n);
}

TEST(a_dot_at_the_end_means_no_search)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
    tapsi_sim_dns_answer(n.dns, "box.one.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "box.", AF_INET);
    names_run(&n, 200 * MS);
    names_check_failed(&n.a, NOTFOUND, "no such name", "box");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 1);
    names_done(&n);
}

/* proves API-010: every address is one of the same name; libc stops where either family is found */
TEST(both_families_stop_at_the_first_name_that_has_either)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
    tapsi_sim_dns_answer(n.dns, "box.one.test", "A", "192.0.2.1", 50 * MS);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "AAAA", "2001:db8::22", 0);
    names_ask_both(&n, "box");
    names_run(&n, 500 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.1");
    names_check_failed(&n.aaaa, NODATA, "no AAAA record", "box");
    CHECK_INT(tapsi_sim_dns_queries(n.dns, "box.two.test", "AAAA"), 0);
    names_done(&n);
}

TEST(both_families_go_on_where_neither_is_found)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
    tapsi_sim_dns_fail(n.dns, "box.one.test", "AAAA", TAPSI_SIM_DNS_NXDOMAIN, 0);
    tapsi_sim_dns_fail(n.dns, "box.one.test", "A", TAPSI_SIM_DNS_SERVFAIL, 0);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "A", "192.0.2.22", 0);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "AAAA", "2001:db8::22", 0);
    names_ask_both(&n, "box");
    names_run(&n, 500 * MS);
    CHECK_TEXT(names_host(&n.a, 0), "192.0.2.22");
    CHECK_TEXT(names_host(&n.aaaa, 0), "2001:db8::22");
    names_done(&n);
}

TEST(a_family_that_waits_goes_on_when_the_other_is_cancelled)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
    tapsi_sim_dns_fail(n.dns, "box.one.test", "A", TAPSI_SIM_DNS_NEVER, 0);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "AAAA", "2001:db8::22", 0);
    names_ask_both(&n, "box");
    names_run(&n, 100 * MS);
    CHECK_INT(n.aaaa.calls, 0);
    tapsi_query_cancel(n.a.query);
    names_run(&n, 100 * MS);
    CHECK_TEXT(names_host(&n.aaaa, 0), "2001:db8::22");
    CHECK_INT(n.a.calls, 0);
    names_done(&n);
}

TEST(one_family_alone_searches_on_its_own)
{
    struct names n;
    names_new(&n);
    tapsi_sim_file(n.client, "/etc/resolv.conf", SEARCHING);
    tapsi_sim_dns_answer(n.dns, "box.one.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(n.dns, "box.two.test", "AAAA", "2001:db8::22", 0);
    names_ask(&n, &n.aaaa, "box", AF_INET6);
    names_run(&n, 500 * MS);
    CHECK_TEXT(names_host(&n.aaaa, 0), "2001:db8::22");
    names_done(&n);
}

TEST(a_search_domain_that_makes_the_name_too_long_is_passed_over)
{
    struct names n;
    char conf[512] = "nameserver 192.0.2.1\nsearch ", name[64];
    names_new(&n);
    for (int i = 0; i < 100; i++)
        strcat(conf, "x.");
    strcat(conf, "test two.test\n");
    tapsi_sim_file(n.client, "/etc/resolv.conf", conf);
    memset(name, 'n', 63);
    name[63] = '\0';
    names_ask(&n, &n.a, name, AF_INET);
    names_run(&n, 500 * MS);
    names_check_failed(&n.a, NOTFOUND, "no such name", name);
    CHECK_INT(tapsi_sim_dns_queries(n.dns, NULL, NULL), 2);
    names_done(&n);
}

TEST(a_change_of_resolv_conf_is_seen_when_nothing_is_asked)
{
    struct names n;
    names_new(&n);
    tapsi_sim_dns_answer(n.dns, "www.test", "A", "192.0.2.1", 0);
    names_ask(&n, &n.a, "www.test", AF_INET);
    names_run(&n, 1100 * MS);
    tapsi_sim_file(n.client, "/etc/resolv.conf", "nameserver 192.0.2.3\n");
    names_ask(&n, &n.other, "www.test", AF_INET);
    names_run(&n, 1000 * MS);
    CHECK_INT(n.a.count, 1);
    names_check_failed(&n.other, CONNREFUSED, "no name server", "www.test");
    names_done(&n);
}
