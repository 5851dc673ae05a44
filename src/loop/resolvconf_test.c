#include "base/str.h"
#include "base/test.h"
#include "loop/resolvconf.h"

static struct tapsi_resolvconf conf;

static void parse(const char *text)
{
    tapsi_resolvconf_parse(&conf, (struct tapsi_span){text, strlen(text)}, "");
}

static const char *server(unsigned index)
{
    static char text[TAPSI_ADDR_TEXT];
    return tapsi_addr_text(&conf.servers[index].address, text);
}

TEST(an_empty_file_means_the_server_of_this_machine)
{
    parse("");
    CHECK_INT(conf.server_count, 1);
    CHECK_TEXT(server(0), "127.0.0.1:53");
    CHECK_INT(conf.domain_count, 0);
    CHECK_INT(conf.ndots, 1);
    CHECK_INT(conf.attempts, 3);
    CHECK_INT(conf.timeout_ms, 0);
}

TEST(name_servers_come_in_order)
{
    parse("nameserver 192.0.2.53\nnameserver\t2001:db8::53  \nnameserver fe80::1%eth0\n");
    CHECK_INT(conf.server_count, 3);
    CHECK_TEXT(server(0), "192.0.2.53:53");
    CHECK_TEXT(server(1), "[2001:db8::53]:53");
    CHECK_TEXT(conf.servers[2].zone, "eth0");
}

TEST(a_fourth_name_server_is_not_used)
{
    parse("nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n");
    CHECK_INT(conf.server_count, 3);
}

TEST(a_wrong_name_server_is_passed_over)
{
    parse("nameserver\nnameserver nonsense\nnameserver 10.0.0.1%eth0\nnameserver 10.0.0.2\nnameserver ::1%"
          "a_zone_that_is_too_long\n");
    CHECK_INT(conf.server_count, 1);
    CHECK_TEXT(server(0), "10.0.0.2:53");
}

TEST(comments_are_lines_that_begin_with_a_mark)
{
    parse("# nameserver 10.0.0.1\n; nameserver 10.0.0.2\n\nnameserver 10.0.0.3 # the third\n");
    CHECK_INT(conf.server_count, 1);
    CHECK_TEXT(server(0), "10.0.0.3:53");
}

TEST(the_last_search_or_domain_line_counts)
{
    parse("search a.test b.test.\n");
    CHECK_INT(conf.domain_count, 2);
    CHECK_TEXT(conf.domains[1], "b.test");
    parse("search a.test b.test\ndomain c.test d.test\n");
    CHECK_INT(conf.domain_count, 1);
    CHECK_TEXT(conf.domains[0], "c.test");
    parse("domain c.test\nsearch .\n");
    CHECK_INT(conf.domain_count, 1);
    CHECK_TEXT(conf.domains[0], "");
}

TEST(the_search_list_is_capped)
{
    char text[1024] = "search";
    for (int i = 0; i < 100; i++)
        strcat(text, " d.test");
    parse(text);
    CHECK_INT(conf.domain_count, TAPSI_SEARCH_MAX);
}

TEST(a_domain_longer_than_a_name_is_passed_over)
{
    char text[400] = "search ";
    memset(text + 7, 'x', 300);
    strcat(text, " b.test");
    parse(text);
    CHECK_INT(conf.domain_count, 1);
    CHECK_TEXT(conf.domains[0], "b.test");
}

TEST(without_a_search_line_the_domain_of_the_host_is_searched)
{
    tapsi_resolvconf_parse(&conf, (struct tapsi_span){NULL, 0}, "box.corp.test");
    CHECK_INT(conf.domain_count, 1);
    CHECK_TEXT(conf.domains[0], "corp.test");
    tapsi_resolvconf_parse(&conf, (struct tapsi_span){NULL, 0}, "box");
    CHECK_INT(conf.domain_count, 0);
    tapsi_resolvconf_parse(&conf, (struct tapsi_span){"search", 6}, "box.corp.test");
    CHECK_INT(conf.domain_count, 0);
}

TEST(options_are_read_and_capped)
{
    parse("options ndots:2 timeout:3 attempts:4 rotate edns0\n");
    CHECK_INT(conf.ndots, 2);
    CHECK_INT(conf.timeout_ms, 3000);
    CHECK_INT(conf.attempts, 4);
    CHECK(conf.rotate);
    parse("options ndots:99 timeout:99\noptions attempts:99\n");
    CHECK_INT(conf.ndots, 15);
    CHECK_INT(conf.timeout_ms, 30000);
    CHECK_INT(conf.attempts, 5);
}

TEST(options_that_are_wrong_change_nothing)
{
    parse("options ndots timeout: attempts:x ndots:-1 timeout:99999999999999 :3 nonsense:1\n");
    CHECK_INT(conf.ndots, 1);
    CHECK_INT(conf.timeout_ms, 0);
    CHECK_INT(conf.attempts, 3);
    parse("options timeout:0 attempts:0\n");
    CHECK_INT(conf.timeout_ms, 1000);
    CHECK_INT(conf.attempts, 1);
}

TEST(the_same_text_gives_the_same_bytes)
{
    struct tapsi_resolvconf other;
    const char *text = "nameserver 10.0.0.1\nsearch a.test\n";
    memset(&conf, 1, sizeof(conf));
    memset(&other, 2, sizeof(other));
    parse(text);
    tapsi_resolvconf_parse(&other, (struct tapsi_span){text, strlen(text)}, "");
    CHECK(memcmp(&conf, &other, sizeof(conf)) == 0);
}

static const char *one(const char *text)
{
    tapsi_resolvconf_defaults(&conf);
    return tapsi_nameservers_parse(text, &conf) == 0 ? server(0) : "refused";
}

TEST(a_list_of_name_servers_may_have_ports)
{
    CHECK_TEXT(one("192.0.2.1"), "192.0.2.1:53");
    CHECK_TEXT(one("192.0.2.1:5353"), "192.0.2.1:5353");
    CHECK_TEXT(one("::1"), "[::1]:53");
    CHECK_TEXT(one("2001:db8::53"), "[2001:db8::53]:53");
    CHECK_TEXT(one("[2001:db8::53]"), "[2001:db8::53]:53");
    CHECK_TEXT(one("[2001:db8::53]:5353"), "[2001:db8::53]:5353");
    CHECK_TEXT(one("[fe80::1%7]:5353"), "[fe80::1]:5353");
    CHECK_TEXT(conf.servers[0].zone, "7");
    CHECK_TEXT(one("[fe80::1%odd]name]:5353"), "[fe80::1]:5353");
    CHECK_TEXT(conf.servers[0].zone, "odd]name");
    CHECK_TEXT(one(" 192.0.2.1 , 192.0.2.2:53 "), "192.0.2.1:53");
    CHECK_INT(conf.server_count, 2);
}

TEST(a_list_with_anything_wrong_is_refused_as_a_whole)
{
    static const char *const wrong[] = {
        "",
        ",",
        "192.0.2.1,",
        "192.0.2.1:",
        "192.0.2.1:0",
        "1.2.3",
        "name",
        "192.0.2.1:x",
        "192.0.2.1:65536",
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:",
        "[::1]:99999",
        "192.0.2.1 192.0.2.2",
        "[]",
        "[]:53",
        "%eth0",
        "fe80::1%",
        "192.0.2.1%eth0",
        ":53",
        "::g",
        "[192.0.2.1",
        "192.0.2.1:53:53",
        "::1%a_zone_that_is_too_long",
        "1,1,1,1,1",
        "127.0.0.1:+5",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_TEXT(one(wrong[i]), "refused");
    CHECK_TEXT(one("::1,::1,::1,::1,::1,::1,::1,::1,::1"), "refused");
    CHECK_INT(conf.server_count, 1);
    CHECK_TEXT(server(0), "127.0.0.1:53");
}
