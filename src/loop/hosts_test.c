#include "base/test.h"
#include "loop/hosts.h"

#define MAX 4

static union tapsi_addr found[MAX];
static bool known;

static size_t look(const char *text, const char *name, int family)
{
    return tapsi_hosts_find((struct tapsi_span){text, strlen(text)}, name, family, found, MAX, &known);
}

static const char *host(size_t index)
{
    static char text[TAPSI_ADDR_TEXT];
    return tapsi_addr_host_text(&found[index], text);
}

TEST(a_name_and_its_aliases_have_the_address_whatever_their_case)
{
    const char *text = "192.0.2.1 Server.example.test server  www\n";
    CHECK_INT(look(text, "server.EXAMPLE.test", AF_INET), 1);
    CHECK_TEXT(host(0), "192.0.2.1");
    CHECK_INT(look(text, "WWW", AF_INET), 1);
    CHECK_INT(look(text, "example.test", AF_INET), 0);
    CHECK(!known);
}

TEST(a_name_may_have_several_addresses_of_both_families)
{
    const char *text = "192.0.2.1 a\n2001:db8::1 a b\n192.0.2.2\tb a\n";
    CHECK_INT(look(text, "a", AF_INET), 2);
    CHECK_TEXT(host(1), "192.0.2.2");
    CHECK_INT(look(text, "a", AF_INET6), 1);
    CHECK_TEXT(host(0), "2001:db8::1");
    CHECK_INT(tapsi_addr_port(&found[0]), 0);
}

TEST(a_name_of_the_other_family_is_known)
{
    CHECK_INT(look("192.0.2.1 a\n", "a", AF_INET6), 0);
    CHECK(known);
}

TEST(an_address_given_twice_counts_once)
{
    CHECK_INT(look("192.0.2.1 a\n192.0.2.1 a\n", "a", AF_INET), 1);
}

TEST(more_addresses_than_asked_for_are_counted)
{
    const char *text = "10.0.0.1 a\n10.0.0.2 a\n10.0.0.3 a\n10.0.0.4 a\n10.0.0.5 a\n10.0.0.6 a\n";
    CHECK_INT(look(text, "a", AF_INET), 6);
    CHECK_TEXT(host(3), "10.0.0.4");
}

TEST(comments_and_lines_that_are_wrong_count_for_nothing)
{
    const char *text = "# 192.0.2.1 a\n"
                       "192.0.2.2 b # a\n"
                       "192.0.2.300 a\n"
                       "nonsense a\n"
                       "fe80::1%eth0 a\n"
                       "192.0.2.4\n"
                       "   \n"
                       "192.0.2.5#a\n"
                       "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc a\n";
    CHECK_INT(look(text, "a", AF_INET), 0);
    CHECK_INT(look(text, "a", AF_INET6), 0);
    CHECK(!known);
}

TEST(line_ends_of_other_systems_and_none_at_all_are_fine)
{
    CHECK_INT(look("192.0.2.1 a\r\n192.0.2.2 b", "a", AF_INET), 1);
    CHECK_INT(look("192.0.2.1 a\r\n192.0.2.2 b", "b", AF_INET), 1);
}

TEST(the_address_is_no_name)
{
    CHECK_INT(look("192.0.2.1 a\n", "192.0.2.1", AF_INET), 0);
}

TEST(an_empty_or_missing_file_knows_nobody)
{
    CHECK_INT(tapsi_hosts_find((struct tapsi_span){NULL, 0}, "a", AF_INET, found, MAX, &known), 0);
    CHECK(!known);
    CHECK_INT(look("", "", AF_INET), 0);
}

TEST(zero_bytes_in_the_file_do_no_harm)
{
    struct tapsi_span text = {"192.0.2.1\0x a\n192.0.2.2 b\0c\n", 28};
    CHECK_INT(tapsi_hosts_find(text, "a", AF_INET, found, MAX, &known), 0);
    CHECK_INT(tapsi_hosts_find(text, "b", AF_INET, found, MAX, &known), 0);
}

static uint16_t service(const char *text, const char *name, const char *protocol)
{
    return tapsi_services_find((struct tapsi_span){text, strlen(text)}, name, protocol);
}

static const char services[] = "# services\n"
                               "http 80/tcp www # WorldWideWeb\n"
                               "domain 53/tcp\n"
                               "domain 53/udp\n"
                               "bad 70000/tcp\n"
                               "worse /tcp\n"
                               "worst 12\n"
                               "minus -1/tcp\n";

TEST(a_service_has_the_port_of_its_protocol)
{
    CHECK_INT(service(services, "http", "tcp"), 80);
    CHECK_INT(service(services, "WWW", "tcp"), 80);
    CHECK_INT(service(services, "domain", "udp"), 53);
}

TEST(an_unknown_service_has_port_0)
{
    CHECK_INT(service(services, "http", "udp"), 0);
    CHECK_INT(service(services, "WorldWideWeb", "tcp"), 0);
    CHECK_INT(service(services, "bad", "tcp"), 0);
    CHECK_INT(service(services, "worse", "tcp"), 0);
    CHECK_INT(service(services, "worst", "tcp"), 0);
    CHECK_INT(service(services, "minus", "tcp"), 0);
    CHECK_INT(service("", "http", "tcp"), 0);
}
