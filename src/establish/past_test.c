/* What a network and an endpoint are known by. What is made of it: tests/scenario/quic_race_test.c. */
#include "establish/past.h"

#include <string.h>
#include "base/test.h"

/* "192.0.2.7/24" */
static struct tapsi_local_address address(const char *text)
{
    struct tapsi_local_address a = {.temporary = false};
    char copy[64];
    tapsi_format(copy, sizeof(copy), "%s", text);
    char *bits = strchr(copy, '/');
    uint64_t number = 0;
    *bits++ = '\0';
    CHECK_INT(tapsi_addr_parse(copy, &a.address), 0);
    CHECK_INT(tapsi_parse_uint(bits, 128, &number), 0);
    a.prefix_bits = (unsigned)number;
    return a;
}

#define MANY 4

/* "eth0 192.0.2.7/24 2001:db8::7/64"; a default route for each family where `routed`. */
static uint64_t network(const char *text, bool routed)
{
    struct tapsi_local_address addresses[MANY];
    struct tapsi_route routes[2] = {{.prefix_bits = 0}, {.prefix_bits = 0}};
    struct tapsi_interface interface = {.addresses = addresses, .routes = routes, .route_count = routed ? 2 : 0};
    char copy[256];
    tapsi_format(copy, sizeof(copy), "%s", text);
    char *rest = copy, *word = strsep(&rest, " ");
    tapsi_format(interface.name, sizeof(interface.name), "%s", word);
    while ((word = strsep(&rest, " ")) && interface.address_count < MANY)
        addresses[interface.address_count++] = address(word);
    CHECK_INT(tapsi_addr_parse("0.0.0.0", &routes[0].destination), 0);
    CHECK_INT(tapsi_addr_parse("::", &routes[1].destination), 0);
    return tapsi_past_network(&interface);
}

TEST(a_network_is_the_same_with_another_address_in_it)
{
    uint64_t home = network("wlan0 192.0.2.7/24 2001:db8::7/64", true);
    CHECK(home == network("wlan0 192.0.2.8/24 2001:db8::7/64", true));
    CHECK(home == network("wlan0 2001:db8::7/64 192.0.2.7/24", true));
    CHECK(home == network("wlan0 192.0.2.7/24 2001:db8::7/64 2001:db8::1:2:3:4/64", true)); /* a temporary one */
    CHECK(home == network("wlan0 192.0.2.7/24 2001:db8::7/64 fe80::7/64", true));
}

TEST(networks_differ_by_name_prefix_and_default_route)
{
    uint64_t home = network("wlan0 192.0.2.7/24 2001:db8::7/64", true);
    CHECK(home != network("eth0 192.0.2.7/24 2001:db8::7/64", true));
    CHECK(home != network("wlan0 192.0.3.7/24 2001:db8::7/64", true));
    CHECK(home != network("wlan0 192.0.2.7/25 2001:db8::7/64", true));
    CHECK(home != network("wlan0 192.0.2.7/24 2001:db8:0:1::7/64", true));
    CHECK(home != network("wlan0 192.0.2.7/24", true));
    CHECK(home != network("wlan0 192.0.2.7/24 2001:db8::7/64", false));
    CHECK(home != network("wlan0", true));
}

TEST(prefixes_that_end_within_a_byte)
{
    CHECK(network("tun0 10.0.0.1/9", true) == network("tun0 10.127.0.1/9", true));
    CHECK(network("tun0 10.0.0.1/9", true) != network("tun0 10.128.0.1/9", true));
    CHECK(network("tun0 10.0.0.1/32", true) != network("tun0 10.0.0.2/32", true));
    CHECK(network("tun0 2001:db8::1/127", true) == network("tun0 2001:db8::/127", true));
}

/* "example.test:443", with a literal address where it is one. */
static uint64_t endpoint(const char *host, uint16_t port)
{
    taps_endpoint *e;
    CHECK_INT(taps_remote_endpoint_new(&e), 0);
    CHECK_INT(taps_endpoint_with_host_name(e, host), 0);
    CHECK_INT(taps_endpoint_with_port(e, port), 0);
    uint64_t hash = tapsi_past_endpoint(e);
    taps_endpoint_free(e);
    return hash;
}

TEST(an_endpoint_is_its_name_whatever_its_case_and_its_port)
{
    uint64_t it = endpoint("example.test", 443);
    CHECK(it == endpoint("Example.TEST", 443));
    CHECK(it == endpoint("example.test.", 443));
    CHECK(it != endpoint("example.test", 444));
    CHECK(it != endpoint("example.tes", 443));
    CHECK(it != endpoint("192.0.2.1", 443));
    CHECK(endpoint("192.0.2.1", 443) != endpoint("192.0.2.2", 443));
    CHECK(endpoint("2001:db8::1", 443) == endpoint("2001:DB8:0::1", 443));
}

TEST(doubt_is_told_in_words_a_person_uses)
{
    static const struct {
        enum tapsi_history_doubt doubt;
        uint64_t seconds;
        const char *words;
    } rows[] = {
        {TAPSI_HISTORY_NETWORK_SILENT, 180, "later: tls/tcp did not come through on this network 3 minutes ago"},
        {TAPSI_HISTORY_ENDPOINT_SILENT, 1, "later: tls/tcp did not come through to this endpoint 1 second ago"},
        {TAPSI_HISTORY_ENDPOINT_SILENT, 119, "later: tls/tcp did not come through to this endpoint 1 minute ago"},
        {TAPSI_HISTORY_ENDPOINT_REFUSED, 7200, "later: this endpoint did not take tls/tcp 2 hours ago"},
    };
    size_t count;
    const struct tapsi_stack_row *registry = tapsi_registry(&count);
    unsigned place = 0;
    while (!tapsi_text_equal(registry[place].offer.stack, "tls/tcp"))
        place++;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[128];
        tapsi_past_word(&(struct tapsi_past_turn){place, rows[i].doubt, rows[i].seconds * TAPSI_S}, text, sizeof(text));
        CHECK_TEXT(text, rows[i].words);
    }
}
