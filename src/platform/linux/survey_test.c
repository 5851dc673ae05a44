#include "platform/linux/survey.h"

#include <errno.h>
#include <stdlib.h>
#include "base/test.h"

static size_t live, allowed;

static void *counted(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        live--;
        free(block);
        return NULL;
    }
    if (allowed == 0)
        return NULL;
    allowed--;
    live += block == NULL;
    return realloc(block, size);
}

static struct tapsi_mem mem;

static void setup(struct tapsi_survey *s)
{
    live = 0;
    allowed = 100000;
    tapsi_mem_init(&mem, &(struct taps_allocator){.resize = counted});
    tapsi_survey_init(s, &mem);
}

static int add_link(struct tapsi_survey *s, const char *name, unsigned index)
{
    struct tapsi_interface link = {.index = index, .type = TAPSI_IF_ETHERNET, .mtu = 1500, .up = true};
    strcpy(link.name, name);
    return tapsi_survey_add_link(s, &link);
}

static struct tapsi_local_address local(const char *host, unsigned bits)
{
    struct tapsi_local_address a = {.prefix_bits = bits};
    CHECK_INT(tapsi_addr_parse(host, &a.address), 0);
    return a;
}

static int add_address(struct tapsi_survey *s, unsigned index, const char *host, unsigned bits)
{
    struct tapsi_local_address a = local(host, bits);
    return tapsi_survey_add_address(s, index, &a);
}

static int add_route(struct tapsi_survey *s, unsigned index, const char *host, unsigned bits, unsigned metric)
{
    struct tapsi_route r = {.prefix_bits = bits, .metric = metric};
    CHECK_INT(tapsi_addr_parse(host, &r.destination), 0);
    return tapsi_survey_add_route(s, index, &r);
}

TEST(an_empty_survey_is_an_empty_network)
{
    struct tapsi_survey s;
    struct tapsi_network *network = NULL;
    setup(&s);
    NEED(tapsi_survey_snapshot(&s, 7, &network) == 0);
    CHECK_INT(network->interface_count, 0);
    CHECK_INT(network->generation, 7);
    tapsi_network_unref(network);
    tapsi_survey_done(&s);
    CHECK_INT(live, 0);
}

/* proves ARCH-13: the order does not depend on the kernel's mood */
TEST(interfaces_come_in_order_of_their_index)
{
    struct tapsi_survey s;
    struct tapsi_network *network = NULL;
    setup(&s);
    CHECK(!add_link(&s, "c", 30) && !add_link(&s, "a", 10) && !add_link(&s, "b", 20) && !add_link(&s, "again", 10));
    CHECK(!add_address(&s, 20, "192.0.2.1", 24) && !add_address(&s, 10, "192.0.2.2", 24) &&
          !add_address(&s, 20, "2001:db8::1", 64) && !add_address(&s, 99, "192.0.2.9", 24));
    CHECK(!add_route(&s, 10, "0.0.0.0", 0, 100) && !add_route(&s, 20, "192.0.2.0", 24, 0));
    NEED(tapsi_survey_snapshot(&s, 1, &network) == 0);
    NEED(network->interface_count == 3);
    CHECK_TEXT(network->interfaces[0].name, "a");
    CHECK_TEXT(network->interfaces[1].name, "b");
    CHECK_TEXT(network->interfaces[2].name, "c");
    CHECK_INT(network->interfaces[0].address_count, 1);
    CHECK_INT(network->interfaces[1].address_count, 2);
    CHECK_INT(network->interfaces[2].address_count, 0);
    CHECK_INT(network->interfaces[0].route_count, 1);
    CHECK_INT(network->interfaces[0].routes[0].metric, 100);
    CHECK_INT(network->interfaces[2].route_count, 0);
    tapsi_network_unref(network);
    tapsi_survey_done(&s);
    CHECK_INT(live, 0);
}

TEST(a_connected_route_has_no_host_bits)
{
    static const struct {
        const char *host;
        unsigned bits;
        const char *network;
    } rows[] = {
        {"192.0.2.77", 24, "192.0.2.0"},       {"192.0.2.77", 26, "192.0.2.64"},
        {"192.0.2.77", 32, "192.0.2.77"},      {"192.0.2.77", 0, "0.0.0.0"},
        {"255.255.255.255", 1, "128.0.0.0"},   {"2001:db8::ff", 121, "2001:db8::80"},
        {"2001:db8::ff", 128, "2001:db8::ff"},
    };
    struct tapsi_survey s;
    char text[TAPSI_ADDR_TEXT];
    setup(&s);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tapsi_local_address a = local(rows[i].host, rows[i].bits);
        CHECK_INT(tapsi_survey_add_connected(&s, 1, &a), 0);
        CHECK_TEXT(tapsi_addr_host_text(&s.routes[i].route.destination, text), rows[i].network);
    }
    struct tapsi_local_address absurd = local("192.0.2.1", 33);
    size_t before = s.route_count;
    CHECK_INT(tapsi_survey_add_connected(&s, 1, &absurd), 0);
    CHECK_INT(s.route_count, before);
    tapsi_survey_done(&s);
}

TEST(lists_are_capped)
{
    struct tapsi_survey s;
    setup(&s);
    for (unsigned i = 0; i < TAPSI_SURVEY_LINKS + 10; i++)
        CHECK_INT(add_link(&s, "x", i + 1), 0);
    for (unsigned i = 0; i < TAPSI_SURVEY_ADDRESSES + 10; i++)
        CHECK_INT(add_address(&s, 1, "192.0.2.1", 24), 0);
    for (unsigned i = 0; i < TAPSI_SURVEY_ROUTES; i++)
        CHECK_INT(add_route(&s, 1, "192.0.2.0", 24, i), 0);
    CHECK(!s.maybe_v4 && !s.maybe_v6);
    CHECK_INT(add_route(&s, 1, "192.0.2.0", 24, 0), -ENOSPC);
    CHECK(s.maybe_v4 && !s.maybe_v6);
    CHECK_INT(add_route(&s, 1, "2001:db8::", 24, 0), -ENOSPC);
    CHECK(s.maybe_v6);
    CHECK_INT(s.link_count, TAPSI_SURVEY_LINKS);
    CHECK_INT(s.address_count, TAPSI_SURVEY_ADDRESSES);
    CHECK_INT(s.route_count, TAPSI_SURVEY_ROUTES);
    tapsi_survey_reset(&s);
    CHECK(!s.maybe_v4 && !s.maybe_v6 && s.link_count + s.address_count + s.route_count == 0);
    tapsi_survey_done(&s);
    CHECK_INT(live, 0);
}

TEST(unknown_routes_may_lead_anywhere_from_fit_addresses)
{
    struct tapsi_survey s;
    struct tapsi_network *network = NULL;
    struct tapsi_interface lo = {.name = "lo", .index = 1, .type = TAPSI_IF_LOOPBACK};
    setup(&s);
    CHECK(!tapsi_survey_add_link(&s, &lo) && !add_link(&s, "a", 2) && !add_link(&s, "b", 3) && !add_link(&s, "c", 4));
    CHECK(!add_address(&s, 1, "127.0.0.1", 8) && !add_address(&s, 2, "192.0.2.1", 24) &&
          !add_address(&s, 3, "fe80::1", 64));
    s.maybe_v4 = s.maybe_v6 = true;
    NEED(tapsi_survey_snapshot(&s, 1, &network) == 0);
    CHECK_INT(network->interfaces[0].route_count, 0);
    CHECK_INT(network->interfaces[2].route_count, 0);
    CHECK_INT(network->interfaces[3].route_count, 0);
    NEED(network->interfaces[1].route_count == 1);
    const struct tapsi_route *route = network->interfaces[1].routes;
    CHECK(route->prefix_bits == 0 && route->metric == TAPSI_METRIC_WORST && tapsi_addr_is_any(&route->destination) &&
          route->destination.sa.sa_family == AF_INET);
    tapsi_network_unref(network);
    tapsi_survey_done(&s);
    CHECK_INT(live, 0);
}

TEST(no_memory_is_an_error_at_every_step)
{
    struct tapsi_survey s;
    setup(&s);
    allowed = 0;
    CHECK_INT(add_link(&s, "a", 1), -ENOMEM);
    CHECK_INT(add_address(&s, 1, "192.0.2.1", 24), -ENOMEM);
    CHECK_INT(add_route(&s, 1, "192.0.2.1", 24, 0), -ENOMEM);
    allowed = 1000;
    CHECK(!add_link(&s, "a", 1) && !add_link(&s, "b", 2) && !add_address(&s, 1, "192.0.2.1", 24) &&
          !add_address(&s, 2, "192.0.2.2", 24) && !add_route(&s, 2, "0.0.0.0", 0, 0));
    size_t before = live;
    struct tapsi_network *network = NULL;
    size_t steps = 0;
    for (int err = -1; err; steps++) {
        allowed = steps;
        err = tapsi_survey_snapshot(&s, 1, &network);
        CHECK(err == 0 || (err == -ENOMEM && !network && live == before));
    }
    CHECK_INT(steps, 7);
    tapsi_network_unref(network);
    tapsi_survey_done(&s);
    CHECK_INT(live, 0);
}
