#include "base/addr.h"

#include <taps/taps.h>
#include "base/test.h"

static union tapsi_addr make(const char *host, uint16_t port, uint32_t scope)
{
    union tapsi_addr a;
    memset(&a, 0, sizeof(a));
    if (tapsi_addr_parse(host, &a))
        tapsi_test_fail(__FILE__, __LINE__, "%s is not an address", host);
    tapsi_addr_set_port(&a, port);
    if (a.sa.sa_family == AF_INET6)
        a.in6.sin6_scope_id = scope;
    return a;
}

static void check_text(const char *host, uint16_t port, uint32_t scope, const char *expected)
{
    char text[TAPSI_ADDR_TEXT];
    union tapsi_addr a = make(host, port, scope);
    CHECK_TEXT(tapsi_addr_text(&a, text), expected);
}

/* proves API-008: the text form carries the scope */
TEST(addresses_are_written_with_port_and_scope)
{
    check_text("192.0.2.1", 80, 0, "192.0.2.1:80");
    check_text("2001:db8::1", 443, 0, "[2001:db8::1]:443");
    check_text("fe80::1", 443, 2, "[fe80::1%2]:443");
    check_text("::", 0, 0, "[::]:0");
    check_text("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, UINT32_MAX,
               "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
    check_text("::ffff:255.255.255.255", 65535, UINT32_MAX, "[::ffff:255.255.255.255%4294967295]:65535");
}

TEST(the_host_text_has_neither_port_nor_scope)
{
    char text[TAPSI_ADDR_TEXT];
    union tapsi_addr a = make("fe80::1", 443, 2), b = make("192.0.2.1", 80, 0);
    CHECK_TEXT(tapsi_addr_host_text(&a, text), "fe80::1");
    CHECK_TEXT(tapsi_addr_host_text(&b, text), "192.0.2.1");
}

TEST(an_address_of_no_family_is_named_so_and_equals_nothing)
{
    char text[TAPSI_ADDR_TEXT];
    unsigned count = 9;
    union tapsi_addr none, four = make("0.0.0.0", 0, 0);
    memset(&none, 0, sizeof(none));
    CHECK_TEXT(tapsi_addr_host_text(&none, text), "unspecified");
    CHECK_INT(tapsi_addr_length(&none), 0);
    CHECK_INT(tapsi_addr_port(&none), 0);
    tapsi_addr_set_port(&none, 5);
    CHECK_INT(tapsi_addr_port(&none), 0);
    CHECK(!tapsi_addr_bytes(&none, &count));
    CHECK_INT(count, 0);
    CHECK(!tapsi_addr_equal(&none, &none));
    CHECK(!tapsi_addr_same_host(&none, &four));
    CHECK(!tapsi_addr_in_prefix(&none, &none, 0));
    CHECK(!tapsi_addr_is_any(&none));
    CHECK(!tapsi_addr_is_loopback(&none) && !tapsi_addr_is_link_local(&none) && !tapsi_addr_is_multicast(&none));
}

TEST(what_is_not_a_bare_numeric_address_is_refused)
{
    const char *const bad[] = {"",           " ",          "1.2.3",         "1.2.3.4.5",
                               "256.1.1.1",  "1.2.3.4 ",   " 1.2.3.4",      "01.2.3.4",
                               "1.2.3.4:80", "[::1]",      "[::1]:80",      "::1%lo",
                               "fe80::1%1",  ":",          ":::",           "1::2::3",
                               "12345::",    "::g",        "::1.2.3.256",   "localhost",
                               "0x7f.1",     "2130706433", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
                               "::1/128",    "1.2.3.4/8"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        union tapsi_addr a;
        memset(&a, 0x55, sizeof(a));
        if (tapsi_addr_parse(bad[i], &a) != TAPS_E_RANGE || a.in.sin_port != 0x5555)
            tapsi_test_fail(__FILE__, __LINE__, "\"%s\" was taken", bad[i]);
    }
}

TEST(bytes_go_in_and_come_out)
{
    const uint8_t four[4] = {192, 0, 2, 7}, six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};
    union tapsi_addr a, b;
    unsigned count = 0;
    tapsi_addr_from_bytes(&a, AF_INET, four);
    tapsi_addr_from_bytes(&b, AF_INET6, six);
    const uint8_t *bytes = tapsi_addr_bytes(&a, &count);
    CHECK(count == 4 && memcmp(bytes, four, 4) == 0);
    bytes = tapsi_addr_bytes(&b, &count);
    CHECK(count == 16 && memcmp(bytes, six, 16) == 0);
    CHECK_INT(tapsi_addr_port(&a), 0);
    CHECK_INT(b.in6.sin6_scope_id, 0);
    CHECK_INT(tapsi_addr_length(&a), sizeof(struct sockaddr_in));
    CHECK_INT(tapsi_addr_length(&b), sizeof(struct sockaddr_in6));
}

TEST(equality_looks_at_family_address_port_and_scope)
{
    union tapsi_addr a = make("fe80::1", 80, 2), same = make("fe80:0::1", 80, 2), port = make("fe80::1", 81, 2),
                     scope = make("fe80::1", 80, 3), host = make("fe80::2", 80, 2), four = make("192.0.2.1", 80, 0),
                     mapped = make("::ffff:192.0.2.1", 80, 0);
    same.in6.sin6_flowinfo = 5;
    CHECK(tapsi_addr_equal(&a, &same));
    CHECK(!tapsi_addr_equal(&a, &port) && !tapsi_addr_equal(&a, &scope) && !tapsi_addr_equal(&a, &host));
    CHECK(tapsi_addr_same_host(&a, &port) && tapsi_addr_same_host(&a, &scope));
    CHECK(!tapsi_addr_same_host(&a, &host) && !tapsi_addr_same_host(&four, &mapped));
}

TEST(mapped_addresses_become_what_they_are)
{
    static const char *const texts[][2] = {{"::ffff:192.0.2.1", "192.0.2.1"},
                                           {"2001:db8::1", "2001:db8::1"},
                                           {"::192.0.2.1", "::c000:201"},
                                           {"192.0.2.1", "192.0.2.1"}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        union tapsi_addr a, expected;
        CHECK_INT(tapsi_addr_parse(texts[i][0], &a), 0);
        CHECK_INT(tapsi_addr_parse(texts[i][1], &expected), 0);
        tapsi_addr_set_port(&a, 80);
        tapsi_addr_set_port(&expected, 80);
        tapsi_addr_unmap(&a);
        CHECK(tapsi_addr_equal(&a, &expected));
    }
}

TEST(kinds_of_address_are_told_apart)
{
    static const struct {
        const char *text;
        bool any, loopback, link_local, multicast;
    } rows[] = {
        {"0.0.0.0", true, false, false, false},      {"::", true, false, false, false},
        {"127.0.0.1", false, true, false, false},    {"127.255.255.254", false, true, false, false},
        {"128.0.0.1", false, false, false, false},   {"::1", false, true, false, false},
        {"::2", false, false, false, false},         {"169.254.9.9", false, false, true, false},
        {"169.255.0.1", false, false, false, false}, {"fe80::1", false, false, true, false},
        {"febf::1", false, false, true, false},      {"fec0::1", false, false, false, false},
        {"224.0.0.1", false, false, false, true},    {"239.255.255.255", false, false, false, true},
        {"240.0.0.1", false, false, false, false},   {"ff02::1", false, false, false, true},
        {"fe00::1", false, false, false, false},     {"8.8.8.8", false, false, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        union tapsi_addr a = make(rows[i].text, 0, 0);
        if (tapsi_addr_is_any(&a) != rows[i].any || tapsi_addr_is_loopback(&a) != rows[i].loopback ||
            tapsi_addr_is_link_local(&a) != rows[i].link_local || tapsi_addr_is_multicast(&a) != rows[i].multicast)
            tapsi_test_fail(__FILE__, __LINE__, "%s is taken for another kind", rows[i].text);
    }
}

TEST(prefixes_compare_to_the_bit)
{
    union tapsi_addr a = make("192.0.2.129", 1, 0), net = make("192.0.2.128", 2, 0), six = make("2001:db8::1", 0, 0),
                     other = make("2001:db8::2", 0, 0);
    CHECK(tapsi_addr_in_prefix(&a, &net, 0));
    CHECK(tapsi_addr_in_prefix(&a, &net, 24));
    CHECK(tapsi_addr_in_prefix(&a, &net, 31));
    CHECK(!tapsi_addr_in_prefix(&a, &net, 32));
    CHECK(!tapsi_addr_in_prefix(&a, &net, 33));
    CHECK(tapsi_addr_in_prefix(&six, &other, 126));
    CHECK(!tapsi_addr_in_prefix(&six, &other, 127));
    CHECK(tapsi_addr_in_prefix(&six, &six, 128));
    CHECK(!tapsi_addr_in_prefix(&six, &six, 129));
    CHECK(!tapsi_addr_in_prefix(&a, &six, 0));
}

TEST(how_far_an_address_reaches)
{
    static const struct {
        const char *text;
        enum tapsi_reach reach;
    } rows[] = {{"0.0.0.0", TAPSI_REACH_NOWHERE},    {"0.1.2.3", TAPSI_REACH_NOWHERE},
                {"224.0.0.1", TAPSI_REACH_NOWHERE},  {"255.255.255.255", TAPSI_REACH_NOWHERE},
                {"240.0.0.1", TAPSI_REACH_NOWHERE},  {"::", TAPSI_REACH_NOWHERE},
                {"ff02::1", TAPSI_REACH_NOWHERE},    {"::ffff:127.0.0.1", TAPSI_REACH_NOWHERE},
                {"127.8.0.1", TAPSI_REACH_HOST},     {"::1", TAPSI_REACH_HOST},
                {"169.254.0.1", TAPSI_REACH_LINK},   {"fe80::1", TAPSI_REACH_LINK},
                {"10.255.0.1", TAPSI_REACH_SITE},    {"172.31.255.255", TAPSI_REACH_SITE},
                {"192.168.0.1", TAPSI_REACH_SITE},   {"100.127.0.1", TAPSI_REACH_SITE},
                {"fd00::1", TAPSI_REACH_SITE},       {"fec0::1", TAPSI_REACH_SITE},
                {"172.32.0.1", TAPSI_REACH_WORLD},   {"100.128.0.1", TAPSI_REACH_WORLD},
                {"192.0.2.1", TAPSI_REACH_WORLD},    {"2001:db8::1", TAPSI_REACH_WORLD},
                {"223.255.255.1", TAPSI_REACH_WORLD}};
    union tapsi_addr none = {0};
    CHECK_INT(tapsi_addr_reach(&none), TAPSI_REACH_NOWHERE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        union tapsi_addr a;
        CHECK_INT(tapsi_addr_parse(rows[i].text, &a), 0);
        CHECK_INT(tapsi_addr_reach(&a), rows[i].reach);
    }
}
