#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/test.h"
#include "platform/linux/survey.h"

#define SEQUENCE 77

static struct tapsi_mem mem;

static void setup(struct tapsi_survey *s)
{
    tapsi_mem_init(&mem, NULL);
    tapsi_survey_init(s, &mem);
}

/* ------------------------------------------------------------------------------------ making messages */

struct batch {
    uint8_t bytes[4096];
    size_t length;
    size_t message, nest; /* where the open ones begin */
};

static void add_bytes(struct batch *b, const void *bytes, size_t count)
{
    if (count)
        memcpy(b->bytes + b->length, bytes, count);
    b->length += count;
    while (b->length % 4)
        b->bytes[b->length++] = 0;
}

static void begin(struct batch *b, unsigned type, const void *body, size_t size)
{
    struct nlmsghdr header = {.nlmsg_type = (uint16_t)type, .nlmsg_seq = SEQUENCE, .nlmsg_flags = NLM_F_MULTI};
    b->message = b->length;
    add_bytes(b, &header, sizeof(header));
    add_bytes(b, body, size);
}

static void attribute(struct batch *b, unsigned type, const void *data, size_t size)
{
    struct rtattr header = {.rta_len = (unsigned short)(sizeof(header) + size), .rta_type = (unsigned short)type};
    add_bytes(b, &header, sizeof(header));
    add_bytes(b, data, size);
}

static void attribute_u32(struct batch *b, unsigned type, uint32_t value)
{
    attribute(b, type, &value, sizeof(value));
}

static void attribute_text(struct batch *b, unsigned type, const char *text)
{
    attribute(b, type, text, strlen(text) + 1);
}

static void attribute_host(struct batch *b, unsigned type, const char *host)
{
    union tapsi_addr a;
    unsigned count = 0;
    CHECK_INT(tapsi_addr_parse(host, &a), 0);
    const uint8_t *bytes = tapsi_addr_bytes(&a, &count);
    attribute(b, type, bytes, count);
}

static void end(struct batch *b)
{
    uint32_t length = (uint32_t)(b->length - b->message);
    memcpy(b->bytes + b->message, &length, sizeof(length));
}

static void open_nest(struct batch *b, unsigned type)
{
    b->nest = b->length;
    attribute(b, type | NLA_F_NESTED, NULL, 0);
}

static void close_nest(struct batch *b)
{
    unsigned short length = (unsigned short)(b->length - b->nest);
    memcpy(b->bytes + b->nest, &length, sizeof(length));
}

static void link_message(struct batch *b, int index, unsigned family, const char *name, const char *kind)
{
    struct ifinfomsg body = {.ifi_family = (unsigned char)family,
                             .ifi_type = ARPHRD_ETHER,
                             .ifi_index = index,
                             .ifi_flags = IFF_UP | IFF_RUNNING};
    begin(b, RTM_NEWLINK, &body, sizeof(body));
    if (name)
        attribute_text(b, IFLA_IFNAME, name);
    attribute_u32(b, IFLA_MTU, 1400);
    if (kind) {
        open_nest(b, IFLA_LINKINFO);
        attribute_text(b, IFLA_INFO_KIND, kind);
        close_nest(b);
    }
    end(b);
}

static void address_message(struct batch *b, const char *host, unsigned bits, uint32_t flags)
{
    struct ifaddrmsg body = {.ifa_family = strchr(host, ':') ? AF_INET6 : AF_INET,
                             .ifa_prefixlen = (unsigned char)bits,
                             .ifa_flags = (unsigned char)flags,
                             .ifa_index = 3};
    begin(b, RTM_NEWADDR, &body, sizeof(body));
    attribute_host(b, IFA_ADDRESS, host);
    attribute_u32(b, IFA_FLAGS, flags);
    end(b);
}

static struct rtmsg route_body(unsigned bits)
{
    return (struct rtmsg){
        .rtm_family = AF_INET, .rtm_dst_len = (unsigned char)bits, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST};
}

static void route_message(struct batch *b, const struct rtmsg *body)
{
    begin(b, RTM_NEWROUTE, body, sizeof(*body));
    if (body->rtm_dst_len)
        attribute_host(b, RTA_DST, "198.51.100.0");
    attribute_u32(b, RTA_OIF, 3);
    attribute_u32(b, RTA_PRIORITY, 600);
    end(b);
}

static void done_message(struct batch *b, unsigned type, int err)
{
    begin(b, type, &err, sizeof(err));
    end(b);
}

/* From a block of just that size, so that a byte read past the end is seen. */
static int parse(struct tapsi_survey *s, const uint8_t *bytes, size_t count)
{
    uint8_t *copy = malloc(count ? count : 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, bytes, count);
    int state = tapsi_netlink_parse(s, copy, count, SEQUENCE);
    free(copy);
    return state;
}

/* ------------------------------------------------------------------------------------------- messages */

TEST(links_are_read)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    setup(&s);
    link_message(&b, 3, AF_UNSPEC, "veth0", "veth");
    link_message(&b, 4, AF_UNSPEC, "wg0", "wireguard");
    done_message(&b, NLMSG_DONE, 0);
    CHECK_INT(parse(&s, b.bytes, b.length), 1);
    NEED(s.link_count == 2);
    CHECK_TEXT(s.links[0].name, "veth0");
    CHECK_INT(s.links[0].index, 3);
    CHECK_INT(s.links[0].mtu, 1400);
    CHECK_INT(s.links[0].type, TAPSI_IF_ETHERNET);
    CHECK(s.links[0].up);
    CHECK_INT(s.links[1].type, TAPSI_IF_VPN);
    tapsi_survey_done(&s);
}

TEST(links_that_are_none_are_left_out)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    setup(&s);
    link_message(&b, 3, AF_INET6, "six", NULL);
    link_message(&b, 4, AF_BRIDGE, "port", NULL);
    link_message(&b, 5, AF_UNSPEC, NULL, NULL);
    link_message(&b, 0, AF_UNSPEC, "zero", NULL);
    link_message(&b, -1, AF_UNSPEC, "minus", NULL);
    link_message(&b, 6, AF_UNSPEC, "a-name-that-is-too-long", NULL);
    CHECK_INT(parse(&s, b.bytes, b.length), 0);
    CHECK_INT(s.link_count, 0);
    tapsi_survey_done(&s);
}

TEST(addresses_carry_their_state)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    setup(&s);
    address_message(&b, "192.0.2.1", 24, IFA_F_PERMANENT | IFA_F_SECONDARY);
    address_message(&b, "2001:db8::1", 64, IFA_F_TEMPORARY);
    address_message(&b, "2001:db8::2", 64, IFA_F_DEPRECATED);
    address_message(&b, "2001:db8::3", 64, IFA_F_TENTATIVE | IFA_F_OPTIMISTIC);
    address_message(&b, "fe80::1", 64, IFA_F_PERMANENT);
    CHECK_INT(parse(&s, b.bytes, b.length), 0);
    NEED(s.address_count == 5);
    CHECK(!s.addresses[0].address.temporary && !s.addresses[0].address.deprecated);
    CHECK_INT(s.addresses[0].address.prefix_bits, 24);
    CHECK_INT(s.addresses[0].index, 3);
    CHECK(s.addresses[1].address.temporary && !s.addresses[1].address.deprecated);
    CHECK(s.addresses[2].address.deprecated && !s.addresses[2].address.temporary);
    CHECK_INT(s.addresses[1].address.address.in6.sin6_scope_id, 0);
    CHECK_INT(s.addresses[4].address.address.in6.sin6_scope_id, 3);
    tapsi_survey_done(&s);
}

TEST(addresses_that_cannot_be_used_are_left_out)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    setup(&s);
    address_message(&b, "2001:db8::1", 64, IFA_F_TENTATIVE);
    address_message(&b, "2001:db8::2", 64, IFA_F_DADFAILED | IFA_F_PERMANENT);
    address_message(&b, "2001:db8::3", 64, IFA_F_DADFAILED | IFA_F_OPTIMISTIC | IFA_F_TENTATIVE);
    address_message(&b, "192.0.2.1", 33, 0);
    address_message(&b, "2001:db8::4", 129, 0);
    struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = 3};
    begin(&b, RTM_NEWADDR, &body, sizeof(body));
    attribute_host(&b, IFA_ADDRESS, "2001:db8::5");
    end(&b);
    body.ifa_family = AF_PACKET;
    begin(&b, RTM_NEWADDR, &body, sizeof(body));
    attribute_host(&b, IFA_ADDRESS, "192.0.2.5");
    end(&b);
    CHECK_INT(parse(&s, b.bytes, b.length), 0);
    CHECK_INT(s.address_count, 0);
    tapsi_survey_done(&s);
}

TEST(the_own_end_of_a_point_to_point_link_is_taken)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    char text[TAPSI_ADDR_TEXT];
    struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 3};
    setup(&s);
    begin(&b, RTM_NEWADDR, &body, sizeof(body));
    attribute_host(&b, IFA_ADDRESS, "192.0.2.99");
    attribute_host(&b, IFA_LOCAL, "192.0.2.1");
    end(&b);
    CHECK_INT(parse(&s, b.bytes, b.length), 0);
    NEED(s.address_count == 1);
    CHECK_TEXT(tapsi_addr_host_text(&s.addresses[0].address.address, text), "192.0.2.1");
    tapsi_survey_done(&s);
}

TEST(routes_of_the_main_table_are_read)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    struct rtmsg whole = route_body(0), part = route_body(24);
    char text[TAPSI_ADDR_TEXT];
    setup(&s);
    route_message(&b, &whole);
    route_message(&b, &part);
    CHECK_INT(parse(&s, b.bytes, b.length), 0);
    NEED(s.route_count == 2);
    CHECK(tapsi_addr_is_any(&s.routes[0].route.destination) && s.routes[0].route.prefix_bits == 0);
    CHECK_INT(s.routes[0].index, 3);
    CHECK_INT(s.routes[0].route.metric, 600);
    CHECK_TEXT(tapsi_addr_host_text(&s.routes[1].route.destination, text), "198.51.100.0");
    CHECK_INT(s.routes[1].route.prefix_bits, 24);
    tapsi_survey_done(&s);
}

TEST(routes_that_promise_too_much_are_left_out)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    struct rtmsg body;
    setup(&s);
    body = route_body(24), body.rtm_table = RT_TABLE_LOCAL, route_message(&b, &body);
    body = route_body(24), body.rtm_type = RTN_UNREACHABLE, route_message(&b, &body);
    body = route_body(24), body.rtm_type = RTN_LOCAL, route_message(&b, &body);
    body = route_body(24), body.rtm_flags = RTM_F_CLONED, route_message(&b, &body);
    body = route_body(24), body.rtm_flags = RTNH_F_DEAD, route_message(&b, &body);
    body = route_body(24), body.rtm_tos = 8, route_message(&b, &body);
    body = route_body(24), body.rtm_src_len = 8, route_message(&b, &body);
    body = route_body(33), route_message(&b, &body);
    body = route_body(24), body.rtm_family = AF_INET6, route_message(&b, &body);
    body = route_body(24), body.rtm_family = AF_PACKET, route_message(&b, &body);
    body = route_body(24);
    begin(&b, RTM_NEWROUTE, &body, sizeof(body));
    attribute_host(&b, RTA_DST, "198.51.100.0");
    attribute_u32(&b, RTA_OIF, 3);
    attribute_u32(&b, RTA_TABLE, 1000);
    end(&b);
    begin(&b, RTM_NEWROUTE, &body, sizeof(body));
    attribute_host(&b, RTA_DST, "198.51.100.0");
    end(&b);
    CHECK_INT(parse(&s, b.bytes, b.length), 0);
    CHECK_INT(s.route_count, 0);
    tapsi_survey_done(&s);
}

TEST(every_next_hop_that_lives_is_a_route)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    struct rtmsg body = route_body(0);
    struct rtnexthop hops[4] = {
        {.rtnh_len = sizeof(hops[0]), .rtnh_ifindex = 5},
        {.rtnh_len = sizeof(hops[0]), .rtnh_ifindex = 6, .rtnh_flags = RTNH_F_DEAD},
        {.rtnh_len = sizeof(hops[0]), .rtnh_ifindex = 7},
        {.rtnh_len = 60000, .rtnh_ifindex = 8},
    };
    setup(&s);
    begin(&b, RTM_NEWROUTE, &body, sizeof(body));
    attribute(&b, RTA_MULTIPATH, hops, sizeof(hops));
    end(&b);
    CHECK_INT(parse(&s, b.bytes, b.length), 0);
    NEED(s.route_count == 2);
    CHECK_INT(s.routes[0].index, 5);
    CHECK_INT(s.routes[1].index, 7);
    tapsi_survey_done(&s);
}

TEST(too_many_routes_end_the_dump)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    struct rtmsg body = route_body(24);
    setup(&s);
    for (int i = 0; i < 10; i++)
        route_message(&b, &body);
    int state = 0;
    for (int i = 0; i < 1000 && state == 0; i++)
        state = parse(&s, b.bytes, b.length);
    CHECK_INT(state, -ENOSPC);
    CHECK_INT(s.route_count, TAPSI_SURVEY_ROUTES);
    CHECK(s.maybe_v4);
    tapsi_survey_done(&s);
}

/* --------------------------------------------------------------------------------------------- frames */

TEST(answers_to_others_are_ignored)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    uint32_t other = SEQUENCE - 1;
    setup(&s);
    link_message(&b, 3, AF_UNSPEC, "old", NULL);
    done_message(&b, NLMSG_DONE, 0);
    for (size_t at = 0; at < b.length;) {
        struct nlmsghdr header;
        memcpy(&header, b.bytes + at, sizeof(header));
        memcpy(b.bytes + at + offsetof(struct nlmsghdr, nlmsg_seq), &other, sizeof(other));
        at += header.nlmsg_len;
    }
    CHECK_INT(parse(&s, b.bytes, b.length), 0);
    CHECK_INT(s.link_count, 0);
    tapsi_survey_done(&s);
}

TEST(the_end_and_errors_are_told_apart)
{
    struct tapsi_survey s;
    struct batch done = {.length = 0}, failed = {.length = 0}, late = {.length = 0}, empty = {.length = 0};
    setup(&s);
    done_message(&done, NLMSG_DONE, 0);
    CHECK_INT(parse(&s, done.bytes, done.length), 1);
    done_message(&failed, NLMSG_ERROR, -EPERM);
    CHECK_INT(parse(&s, failed.bytes, failed.length), -EPERM);
    done_message(&late, NLMSG_DONE, -ENOENT);
    CHECK_INT(parse(&s, late.bytes, late.length), -ENOENT);
    begin(&empty, NLMSG_DONE, NULL, 0);
    end(&empty);
    CHECK_INT(parse(&s, empty.bytes, empty.length), 1);
    CHECK_INT(parse(&s, empty.bytes, 0), 0);
    CHECK(!s.interrupted);
    uint16_t flags = NLM_F_MULTI | NLM_F_DUMP_INTR;
    memcpy(done.bytes + offsetof(struct nlmsghdr, nlmsg_flags), &flags, sizeof(flags));
    CHECK_INT(parse(&s, done.bytes, done.length), 1);
    CHECK(s.interrupted);
    tapsi_survey_done(&s);
}

static void everything(struct batch *b)
{
    struct rtmsg body = route_body(24), many = route_body(0);
    struct rtnexthop hop = {.rtnh_len = sizeof(hop), .rtnh_ifindex = 5};
    link_message(b, 3, AF_UNSPEC, "veth0", "veth");
    address_message(b, "192.0.2.1", 24, IFA_F_PERMANENT);
    address_message(b, "fe80::1", 64, IFA_F_PERMANENT);
    route_message(b, &body);
    begin(b, RTM_NEWROUTE, &many, sizeof(many));
    attribute(b, RTA_MULTIPATH, &hop, sizeof(hop));
    end(b);
    done_message(b, NLMSG_DONE, 0);
}

TEST(no_cut_reads_past_the_end)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    setup(&s);
    everything(&b);
    for (size_t count = 0; count < b.length; count++) {
        tapsi_survey_reset(&s);
        int state = parse(&s, b.bytes, count);
        CHECK(state == 0 || state == -EBADMSG || count + 4 >= b.length);
    }
    tapsi_survey_done(&s);
}

TEST(no_damage_reads_past_the_end)
{
    struct tapsi_survey s;
    struct batch b = {.length = 0};
    uint32_t state = 12345;
    setup(&s);
    everything(&b);
    for (int round = 0; round < 20000; round++) {
        struct batch damaged = b;
        for (int i = 0; i < 3; i++) {
            state = state * 1664525u + 1013904223u;
            damaged.bytes[(state >> 8) % b.length] = (uint8_t)(state >> 20);
        }
        tapsi_survey_reset(&s);
        parse(&s, damaged.bytes, damaged.length);
    }
    tapsi_survey_done(&s);
}

/* ------------------------------------------------------------------------------------------- the kernel */

TEST(the_kernel_tells_of_loopback)
{
    struct tapsi_survey s;
    bool found = false;
    setup(&s);
    int err = tapsi_netlink_survey(&s);
    if (err == -EACCES || err == -EPERM || err == -EAFNOSUPPORT) {
        tapsi_test_skip("no netlink here");
        return;
    }
    CHECK_INT(err, 0);
    for (size_t i = 0; i < s.link_count; i++)
        found |= strcmp(s.links[i].name, "lo") == 0 && s.links[i].type == TAPSI_IF_LOOPBACK && s.links[i].index > 0;
    CHECK(found);
    tapsi_survey_done(&s);
}

TEST(a_quiet_notifier_has_heard_nothing)
{
    int fd = tapsi_netlink_notifier();
    if (fd < 0) {
        tapsi_test_skip("no netlink here");
        return;
    }
    tapsi_netlink_changed(fd);
    CHECK(!tapsi_netlink_changed(fd));
    close(fd);
}
