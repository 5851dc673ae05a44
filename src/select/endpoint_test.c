#include "select/endpoint.h"

#include <arpa/inet.h>
#include "base/test.h"

static struct taps_endpoint fresh(void)
{
    struct taps_endpoint e;
    tapsi_endpoint_init(&e, true);
    return e;
}

static const char *text_of(const struct taps_endpoint *e)
{
    static char text[512];
    tapsi_endpoint_text(e, text, sizeof(text));
    return text;
}

/* proves API-007 */
TEST(endpoints_are_parsed_and_written_in_all_their_forms)
{
    static const struct {
        const char *text, *again, *host, *address, *interface, *service;
        int port;
    } forms[] = {
        {"example.com:443", "example.com:443", "example.com", "", "", "", 443},
        {"example.com", "example.com", "example.com", "", "", "", -1},
        {"example.com.:80", "example.com.:80", "example.com.", "", "", "", 80},
        {"example.com:https", "example.com:https", "example.com", "", "", "https", -1},
        {"_sip.example.com", "_sip.example.com", "_sip.example.com", "", "", "", -1},
        {":8080", ":8080", "", "", "", "", 8080},
        {"192.0.2.1:80", "192.0.2.1:80", "", "192.0.2.1", "", "", 80},
        {"192.0.2.1", "192.0.2.1", "", "192.0.2.1", "", "", -1},
        {"[2001:db8::1]:443", "[2001:db8::1]:443", "", "2001:db8::1", "", "", 443},
        {"[2001:DB8:0::1]", "2001:db8::1", "", "2001:db8::1", "", "", -1},
        {"2001:db8::1", "2001:db8::1", "", "2001:db8::1", "", "", -1},
        {"2001:db8::1:443", "2001:db8::1:443", "", "2001:db8::1:443", "", "", -1},
        {"::1", "::1", "", "::1", "", "", -1},
        {"[::1]:domain", "[::1]:domain", "", "::1", "", "domain", -1},
        {"fe80::1%eth0", "fe80::1%eth0", "", "fe80::1", "eth0", "", -1},
        {"[fe80::1%eth0]:65535", "[fe80::1%eth0]:65535", "", "fe80::1", "eth0", "", 65535},
        {"[fe80::1%a]b]:80", "[fe80::1%a]b]:80", "", "fe80::1", "a]b", "", 80},
        {"[fe80::1%2]:1", "[fe80::1%2]:1", "", "fe80::1", "2", "", 1},
        {"localhost:8443", "localhost:8443", "localhost", "", "", "", 8443},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct taps_endpoint e = fresh();
        CHECK_INT(tapsi_endpoint_parse(&e, forms[i].text), 0);
        CHECK_TEXT(text_of(&e), forms[i].again);
        CHECK_TEXT(e.host_name, forms[i].host);
        CHECK_TEXT(e.address_text, forms[i].address);
        CHECK_INT(e.has_address, forms[i].address[0] != '\0');
        CHECK_TEXT(e.interface, forms[i].interface);
        CHECK_TEXT(e.service, forms[i].service);
        CHECK_INT(e.has_port ? e.port : -1, forms[i].port);
        struct taps_endpoint again = fresh();
        CHECK_INT(tapsi_endpoint_parse(&again, text_of(&e)), 0);
        CHECK_TEXT(text_of(&again), forms[i].again);
    }
}

TEST(garbage_is_no_endpoint_and_leaves_it_as_it_was)
{
    static const char *const texts[] = {"",
                                        ":",
                                        "host:",
                                        "host:65536",
                                        "host:0",
                                        "host:-1",
                                        "host:80x!",
                                        "host:8 0",
                                        "[::1",
                                        "[::1]x",
                                        "[::1]80",
                                        "[]",
                                        "[]:80",
                                        "[host]:80",
                                        "[1.2.3.4]:80",
                                        "::1]:80",
                                        "1:2:3",
                                        "a:b:c",
                                        "fe80::1%",
                                        "[fe80::1%]:1",
                                        "1.2.3.4%eth0",
                                        "host name",
                                        "host\n",
                                        "ho/st",
                                        "user@host",
                                        "http://host",
                                        ".",
                                        "..",
                                        "a..b",
                                        ".a",
                                        "-\xc3\xbc-",
                                        "%eth0",
                                        "::1%eth/0",
                                        "fe80::1%sixteen-letters!",
                                        "host:99999999999999999999",
                                        "host:https:",
                                        "[fe80::1%eth0]:https:1",
                                        "*:80"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct taps_endpoint e = fresh(), before = e;
        int err = tapsi_endpoint_parse(&e, texts[i]);
        if (err != TAPS_E_RANGE)
            tapsi_test_fail(__FILE__, __LINE__, "\"%s\" gives %d and %s", texts[i], err, text_of(&e));
        CHECK(memcmp(&e, &before, sizeof(e)) == 0);
    }
}

TEST(names_have_the_lengths_of_dns)
{
    char name[400];
    struct taps_endpoint e = fresh();
    memset(name, 'a', sizeof(name));
    for (size_t i = 63; i < sizeof(name); i += 64)
        name[i] = '.';
    name[253] = '\0';
    CHECK_INT(tapsi_endpoint_set_host_name(&e, name), 0);
    CHECK_TEXT(e.host_name, name);
    e = fresh();
    memset(name + 253, 'a', 10);
    name[254] = '\0';
    CHECK_INT(tapsi_endpoint_set_host_name(&e, name), TAPS_E_RANGE);
    memset(name, 'a', 64);
    name[64] = '\0';
    CHECK_INT(tapsi_endpoint_set_host_name(&e, name), TAPS_E_RANGE);
    name[63] = '\0';
    CHECK_INT(tapsi_endpoint_set_host_name(&e, name), 0);
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    CHECK_INT(tapsi_endpoint_parse(&e, name), TAPS_E_RANGE);
}

/* proves API-009 */
TEST(an_identifier_is_set_once)
{
    struct taps_endpoint e = fresh();
    CHECK_INT(tapsi_endpoint_set_host_name(&e, "a.example"), 0);
    CHECK_INT(tapsi_endpoint_set_host_name(&e, "b.example"), TAPS_E_DUPLICATE);
    CHECK_INT(tapsi_endpoint_set_port(&e, 1), 0);
    CHECK_INT(tapsi_endpoint_set_port(&e, 1), TAPS_E_DUPLICATE);
    CHECK_INT(tapsi_endpoint_set_service(&e, "https"), 0);
    CHECK_INT(tapsi_endpoint_set_service(&e, "http"), TAPS_E_DUPLICATE);
    CHECK_INT(tapsi_endpoint_set_address_text(&e, "192.0.2.1"), 0);
    CHECK_INT(tapsi_endpoint_set_address_text(&e, "192.0.2.2"), TAPS_E_DUPLICATE);
    CHECK_INT(tapsi_endpoint_set_address_bytes(&e, "\1\2\3\4", 4), TAPS_E_DUPLICATE);
    CHECK_INT(tapsi_endpoint_set_host_name(&e, "::1"), TAPS_E_DUPLICATE);
    CHECK_INT(tapsi_endpoint_set_interface(&e, "eth0"), 0);
    CHECK_INT(tapsi_endpoint_set_interface(&e, "eth0"), TAPS_E_DUPLICATE);
    CHECK_INT(tapsi_endpoint_set_protocol(&e, "TCP"), 0);
    CHECK_INT(tapsi_endpoint_set_protocol(&e, "udp"), TAPS_E_DUPLICATE);
    CHECK_TEXT(e.host_name, "a.example");
    CHECK_TEXT(e.service, "https");
    CHECK_TEXT(e.address_text, "192.0.2.1");
    CHECK_TEXT(e.protocol, "tcp");
    struct taps_endpoint before = e;
    CHECK_INT(tapsi_endpoint_parse(&e, "c.example:9"), TAPS_E_DUPLICATE);
    CHECK(memcmp(&e, &before, sizeof(e)) == 0);
}

TEST(text_sets_nothing_if_a_part_of_it_is_set_already)
{
    struct taps_endpoint e = fresh();
    CHECK_INT(tapsi_endpoint_set_port(&e, 1), 0);
    CHECK_INT(tapsi_endpoint_parse(&e, "c.example:9"), TAPS_E_DUPLICATE);
    CHECK_TEXT(e.host_name, "");
    CHECK_INT(tapsi_endpoint_parse(&e, "c.example"), 0);
    CHECK_TEXT(text_of(&e), "c.example:1");
}

/* proves API-008 */
TEST(a_zone_equals_address_and_interface)
{
    struct taps_endpoint zone = fresh(), both = fresh();
    CHECK_INT(tapsi_endpoint_set_address_text(&zone, "fe80::1%eth0"), 0);
    CHECK_INT(tapsi_endpoint_set_address_text(&both, "fe80::1"), 0);
    CHECK_INT(tapsi_endpoint_set_interface(&both, "eth0"), 0);
    CHECK(tapsi_addr_equal(&zone.address, &both.address));
    CHECK_TEXT(zone.address_text, both.address_text);
    CHECK_TEXT(zone.interface, both.interface);
    CHECK_INT(tapsi_endpoint_set_interface(&zone, "eth1"), TAPS_E_DUPLICATE);
    struct taps_endpoint e = fresh();
    CHECK_INT(tapsi_endpoint_set_interface(&e, "eth1"), 0);
    CHECK_INT(tapsi_endpoint_set_address_text(&e, "fe80::1%eth0"), TAPS_E_DUPLICATE);
    CHECK(!e.has_address);
    CHECK_INT(tapsi_endpoint_set_host_name(&e, "fe80::1"), 0);
    CHECK_TEXT(text_of(&e), "fe80::1%eth1");
}

/* proves API-010 (the values part) */
TEST(an_address_in_the_place_of_a_name_is_an_address)
{
    struct taps_endpoint e = fresh();
    CHECK_INT(tapsi_endpoint_set_host_name(&e, "192.0.2.9"), 0);
    CHECK(e.has_address);
    CHECK_TEXT(e.host_name, "");
    CHECK_INT(tapsi_endpoint_set_host_name(&e, "name.example"), 0);
    CHECK_TEXT(e.host_name, "name.example");
    CHECK_TEXT(text_of(&e), "192.0.2.9");
}

TEST(the_port_is_in_the_address_whatever_the_order)
{
    struct taps_endpoint e = fresh();
    CHECK_INT(tapsi_endpoint_set_address_text(&e, "192.0.2.9"), 0);
    CHECK_INT(tapsi_addr_port(&e.address), 0);
    CHECK_INT(tapsi_endpoint_set_port(&e, 99), 0);
    CHECK_INT(tapsi_addr_port(&e.address), 99);
    e = fresh();
    CHECK_INT(tapsi_endpoint_set_port(&e, 99), 0);
    CHECK_INT(tapsi_endpoint_set_address_text(&e, "::2"), 0);
    CHECK_INT(tapsi_addr_port(&e.address), 99);
}

TEST(port_0_is_for_local_endpoints)
{
    struct taps_endpoint e = fresh();
    CHECK_INT(tapsi_endpoint_set_port(&e, 0), TAPS_E_RANGE);
    CHECK(!e.has_port);
    tapsi_endpoint_init(&e, false);
    CHECK_INT(tapsi_endpoint_set_port(&e, 0), 0);
    CHECK(e.has_port);
    CHECK_TEXT(text_of(&e), ":0");
}

TEST(addresses_in_binary)
{
    static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 7};
    struct taps_endpoint e = fresh();
    for (size_t count = 0; count < 20; count++) {
        if (count != 4 && count != 16)
            CHECK_INT(tapsi_endpoint_set_address_bytes(&e, v6, count), TAPS_E_RANGE);
    }
    CHECK_INT(tapsi_endpoint_set_address_bytes(&e, v6, 16), 0);
    CHECK_TEXT(e.address_text, "2001:db8::7");
    e = fresh();
    CHECK_INT(tapsi_endpoint_set_address_bytes(&e, "\300\0\2\1", 4), 0);
    CHECK_TEXT(e.address_text, "192.0.2.1");
}

TEST(services_interfaces_and_protocols_are_names)
{
    static const char *const services[] = {"", "443", "80 ", "ht tp", "-", "a/b", "http\n"};
    static const char *const interfaces[] = {"", ".", "..", "a b", "a/b", "a:b", "a%b", "sixteen-letters!"};
    static const char *const protocols[] = {"", "tls/tcp", "t c p", "sixteen-letters-", "tcp\n"};
    struct taps_endpoint e = fresh();
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        CHECK_INT(tapsi_endpoint_set_service(&e, services[i]), TAPS_E_RANGE);
    for (size_t i = 0; i < sizeof(interfaces) / sizeof(interfaces[0]); i++)
        CHECK_INT(tapsi_endpoint_set_interface(&e, interfaces[i]), TAPS_E_RANGE);
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
        CHECK_INT(tapsi_endpoint_set_protocol(&e, protocols[i]), TAPS_E_RANGE);
    CHECK_INT(tapsi_endpoint_set_service(&e, "_http._tcp"), 0);
    CHECK_INT(tapsi_endpoint_set_interface(&e, "fifteen-letters"), 0);
    CHECK_INT(tapsi_endpoint_set_protocol(&e, "UDP"), 0);
    CHECK_TEXT(e.protocol, "udp");
}

TEST(a_concrete_endpoint_has_everything_of_its_address)
{
    union tapsi_addr address;
    struct taps_endpoint e;
    NEED(tapsi_addr_parse("fe80::5", &address) == 0);
    tapsi_addr_set_port(&address, 443);
    address.in6.sin6_scope_id = 3;
    tapsi_endpoint_from_addr(&e, true, &address);
    CHECK(e.remote && e.has_address && e.has_port);
    CHECK(tapsi_addr_equal(&e.address, &address));
    CHECK_TEXT(text_of(&e), "[fe80::5%3]:443");
}

TEST(text_is_cut_to_the_room_there_is)
{
    struct taps_endpoint e = fresh();
    char text[8];
    CHECK_INT(tapsi_endpoint_parse(&e, "example.com:443"), 0);
    CHECK_INT(tapsi_endpoint_text(&e, NULL, 0), 15);
    CHECK_INT(tapsi_endpoint_text(&e, text, sizeof(text)), 15);
    CHECK_TEXT(text, "example");
    CHECK_INT(tapsi_endpoint_text(&e, text, 1), 15);
    CHECK_TEXT(text, "");
    e = fresh();
    CHECK_INT(tapsi_endpoint_text(&e, text, sizeof(text)), 0);
    CHECK_TEXT(text, "");
}
