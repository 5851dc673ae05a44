/*
 * The snapshot against the kernel. Each test but the first makes itself a network namespace of its own and arranges it
 * with ip(8), so it needs the right to do so: root, or user namespaces.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/str.h"
#include "base/test.h"
#include "platform/linux/sandbox_test.h"
#include "platform/platform.h"

static struct tapsi_mem mem;

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    return written == (ssize_t)strlen(text);
}

static bool own_user_namespace(void)
{
    char map[64];
    unsigned user = geteuid(), group = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
        return false;
    write_text("/proc/self/setgroups", "deny");
    tapsi_format(map, sizeof(map), "0 %u 1", user);
    if (!write_text("/proc/self/uid_map", map))
        return false;
    tapsi_format(map, sizeof(map), "0 %u 1", group);
    return write_text("/proc/self/gid_map", map);
}

/* Runs ip(8) with these words. */
static bool ip(const char *words)
{
    char command[512];
    tapsi_format(command, sizeof(command), "ip %s", words);
    int status = system(command);
    return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static struct tapsi_platform *setup(void)
{
    struct tapsi_platform *p = NULL;
    tapsi_mem_init(&mem, NULL);
    CHECK_INT(tapsi_platform_linux_new(&mem, &p), 0);
    return p;
}

/* A platform in an empty network, or NULL: then the test is skipped. */
static struct tapsi_platform *setup_alone(void)
{
    if (unshare(CLONE_NEWNET) && !own_user_namespace()) {
        tapsi_test_skip("no right to make a network namespace");
        return NULL;
    }
    if (!ip("link set lo up")) {
        tapsi_test_skip("ip(8) is missing");
        return NULL;
    }
    return setup();
}

static struct tapsi_network *look(struct tapsi_platform *p)
{
    struct tapsi_network *network = NULL;
    CHECK_INT(p->ops->network(p, &network), 0);
    return network;
}

static const struct tapsi_interface *find(const struct tapsi_network *network, const char *name)
{
    for (size_t i = 0; network && i < network->interface_count; i++) {
        if (strcmp(network->interfaces[i].name, name) == 0)
            return &network->interfaces[i];
    }
    tapsi_test_fail(__FILE__, __LINE__, "there is no %s", name);
    static const struct tapsi_interface none;
    return &none;
}

static const struct tapsi_local_address *find_address(const struct tapsi_interface *interface, const char *host)
{
    union tapsi_addr wanted;
    CHECK_INT(tapsi_addr_parse(host, &wanted), 0);
    for (size_t i = 0; i < interface->address_count; i++) {
        if (tapsi_addr_same_host(&interface->addresses[i].address, &wanted))
            return &interface->addresses[i];
    }
    return NULL;
}

static const struct tapsi_route *find_route(const struct tapsi_interface *interface, const char *host, unsigned bits)
{
    union tapsi_addr wanted;
    CHECK_INT(tapsi_addr_parse(host, &wanted), 0);
    for (size_t i = 0; i < interface->route_count; i++) {
        if (interface->routes[i].prefix_bits == bits &&
            tapsi_addr_same_host(&interface->routes[i].destination, &wanted))
            return &interface->routes[i];
    }
    return NULL;
}

/* Brings both ends up, and stays until the kernel has noticed, which it does in the background. */
static void bring_up(void)
{
    CHECK(ip("link set taps-b up") && ip("link set taps-a up"));
    struct tapsi_platform *p = setup();
    NEED(p);
    for (bool up = false; !up;) {
        struct tapsi_network *network = look(p);
        up = find(network, "taps-a")->up && find(network, "taps-b")->up;
        tapsi_network_unref(network);
    }
    p->ops->destroy(p);
}

static void make_link(void)
{
    CHECK(ip("link add taps-a mtu 1400 type veth peer name taps-b"));
    /* No link-local addresses: they would turn up some time later, and change the network under the test. */
    CHECK(ip("link set taps-a addrgenmode none") && ip("link set taps-b addrgenmode none"));
    bring_up();
}

TEST(an_unchanged_machine_gives_the_same_snapshot)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    struct tapsi_network *a = look(p), *b = look(p);
    NEED(a && b);
    CHECK(a == b || a->generation != b->generation);
    CHECK_INT(find(a, "lo")->type, TAPSI_IF_LOOPBACK);
    tapsi_network_unref(a);
    p->ops->destroy(p);
    CHECK(b->refs > 0); /* a snapshot outlives its platform */
    tapsi_network_unref(b);
}

TEST(interfaces_addresses_and_routes_are_seen)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    make_link();
    CHECK(ip("addr add 192.0.2.1/24 dev taps-a"));
    CHECK(ip("addr add 192.0.2.7/24 dev taps-a"));
    CHECK(ip("addr add 2001:db8::1/64 dev taps-a nodad"));
    CHECK(ip("route add default via 192.0.2.254 metric 50"));
    CHECK(ip("route add 198.51.100.0/24 via 192.0.2.253"));
    CHECK(ip("route add unreachable 203.0.113.0/24"));
    CHECK(ip("route add 203.0.113.128/25 dev taps-a table 100"));
    CHECK(ip("-6 route add default via 2001:db8::fe metric 77"));
    struct tapsi_network *network = look(p);
    const struct tapsi_interface *a = find(network, "taps-a"), *lo = find(network, "lo");
    CHECK_INT(a->type, TAPSI_IF_ETHERNET);
    CHECK_INT(a->mtu, 1400);
    CHECK(a->up && lo->up);
    CHECK(find_address(a, "192.0.2.1") && find_address(a, "2001:db8::1"));
    const struct tapsi_local_address *second = find_address(a, "192.0.2.7");
    CHECK(second && !second->temporary && second->prefix_bits == 24);
    CHECK(find_address(lo, "127.0.0.1") && find_address(lo, "::1"));
    CHECK(find_route(lo, "127.0.0.0", 8) && find_route(lo, "::1", 128));
    const struct tapsi_route *v4 = find_route(a, "0.0.0.0", 0), *v6 = find_route(a, "::", 0);
    CHECK(v4 && v4->metric == 50);
    CHECK(v6 && v6->metric == 77);
    CHECK(find_route(a, "192.0.2.0", 24) && find_route(a, "198.51.100.0", 24) && find_route(a, "2001:db8::", 64));
    CHECK(!find_route(a, "203.0.113.128", 25) && !find_route(lo, "203.0.113.0", 24));
    tapsi_network_unref(network);
    p->ops->destroy(p);
}

TEST(kinds_of_interface_are_told_apart)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    static const struct {
        const char *make, *name;
        enum tapsi_interface_type type;
    } rows[] = {
        {"link add taps-br type bridge", "taps-br", TAPSI_IF_ETHERNET},
        {"link add taps-du type dummy", "taps-du", TAPSI_IF_ETHERNET},
        {"link add taps-wg type wireguard", "taps-wg", TAPSI_IF_VPN},
        {"tuntap add taps-tun mode tun", "taps-tun", TAPSI_IF_VPN},
        {"tuntap add taps-tap mode tap", "taps-tap", TAPSI_IF_VPN},
        {"link add taps-sit type sit remote 192.0.2.1 local 192.0.2.2", "taps-sit", TAPSI_IF_OTHER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char quiet[256];
        tapsi_format(quiet, sizeof(quiet), "%s 2>/dev/null", rows[i].make);
        if (!ip(quiet)) {
            printf("# this kernel makes no %s\n", rows[i].name);
            continue;
        }
        struct tapsi_network *network = look(p);
        CHECK_INT(find(network, rows[i].name)->type, rows[i].type);
        tapsi_network_unref(network);
    }
    p->ops->destroy(p);
}

TEST(every_change_gives_a_new_snapshot)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    static const char *const steps[] = {
        "addr add 192.0.2.1/24 dev taps-a",
        "route add default via 192.0.2.254",
        "route replace default via 192.0.2.254 metric 9",
        "link set taps-a mtu 1300",
        "addr add 2001:db8::1/64 dev taps-a nodad preferred_lft 0",
        "addr del 192.0.2.1/24 dev taps-a",
        "link set taps-a down",
        "link set taps-a name taps-c",
        "link del taps-c",
        "link add taps-a type veth peer name taps-b",
    };
    make_link();
    struct tapsi_network *last = look(p);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        CHECK(ip(steps[i]));
        struct tapsi_network *now = look(p);
        NEED(now);
        if (now == last || now->generation == last->generation)
            tapsi_test_fail(__FILE__, __LINE__, "\"%s\" was not seen", steps[i]);
        tapsi_network_unref(last);
        last = now;
    }
    tapsi_network_unref(last);
    p->ops->destroy(p);
}

static unsigned heard;

static void hear(struct tapsi_watch *watch, unsigned io)
{
    (void)watch;
    heard += io == TAPSI_IO_IN;
}

/* As the loop does; for a second at most. */
static void wait_for_news(struct tapsi_platform *p)
{
    struct tapsi_ready ready[4];
    int count = p->ops->wait(p, p->ops->now(p) + UINT64_C(1000000000), ready, 4);
    for (int i = 0; i < count; i++)
        ready[i].watch->ready(ready[i].watch, ready[i].io);
}

TEST(who_watches_the_network_is_told_of_a_change_also_if_somebody_else_has_seen_it)
{
    struct tapsi_platform *p = setup_alone();
    struct tapsi_watch watch = {-1, hear};
    struct tapsi_ready ready[4];
    if (!p)
        return;
    make_link();
    CHECK_INT(p->ops->watch_network(p, &watch), 0);
    CHECK(watch.fd >= 0);
    CHECK_INT(p->ops->wait(p, 1, ready, 4), 0);
    CHECK(ip("addr add 192.0.2.1/24 dev taps-a"));
    tapsi_network_unref(look(p));
    wait_for_news(p);
    CHECK_INT(heard, 1);
    CHECK_INT(p->ops->wait(p, 1, ready, 4), 0); /* once */
    CHECK(ip("addr del 192.0.2.1/24 dev taps-a"));
    CHECK_INT(p->ops->watch_network(p, NULL), 0);
    CHECK_INT(watch.fd, -1);
    CHECK_INT(p->ops->wait(p, 1, ready, 4), 0);
    p->ops->destroy(p);
}

/* The kernel drops these routes without a message of their own. */
TEST(routes_of_a_link_that_went_down_are_gone)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    make_link();
    CHECK(ip("addr add 192.0.2.1/24 dev taps-a") && ip("route add default via 192.0.2.254"));
    struct tapsi_network *network = look(p);
    CHECK(find_route(find(network, "taps-a"), "0.0.0.0", 0) && find(network, "taps-a")->up);
    tapsi_network_unref(network);
    CHECK(ip("link set taps-a down"));
    network = look(p);
    const struct tapsi_interface *a = find(network, "taps-a");
    CHECK(!a->up);
    CHECK(!find_route(a, "0.0.0.0", 0) && !find_route(a, "192.0.2.0", 24));
    tapsi_network_unref(network);
    p->ops->destroy(p);
}

TEST(a_change_that_is_undone_gives_the_same_snapshot)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    struct tapsi_network *before = look(p);
    CHECK(ip("addr add 192.0.2.1/32 dev lo") && ip("addr del 192.0.2.1/32 dev lo"));
    struct tapsi_network *after = look(p);
    CHECK(before == after);
    tapsi_network_unref(before);
    tapsi_network_unref(after);
    p->ops->destroy(p);
}

TEST(states_of_ipv6_addresses_are_seen)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    CHECK(ip("link add taps-a type veth peer name taps-b") && ip("link set taps-a up"));
    CHECK(ip("addr add 2001:db8:1::1/64 dev taps-a nodad preferred_lft 0"));
    CHECK(ip("addr add 2001:db8:2::1/64 dev taps-a"));
    struct tapsi_network *network = look(p);
    const struct tapsi_interface *a = find(network, "taps-a");
    const struct tapsi_local_address *old = find_address(a, "2001:db8:1::1");
    CHECK(old && old->deprecated && !old->temporary);
    CHECK(!find_address(a, "2001:db8:2::1")); /* without carrier it stays tentative */
    CHECK(!a->up);
    tapsi_network_unref(network);
    p->ops->destroy(p);
}

static size_t count_temporary(const struct tapsi_network *network)
{
    const struct tapsi_interface *a = find(network, "taps-a");
    size_t count = 0;
    for (size_t i = 0; i < a->address_count; i++)
        count += a->addresses[i].temporary;
    return count;
}

/* proves API-042: which addresses are temporary is known (here the kernel makes one beside the permanent one) */
TEST(temporary_addresses_are_told_apart)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    CHECK(ip("link add taps-a type veth peer name taps-b"));
    if (!write_text("/proc/sys/net/ipv6/conf/taps-a/use_tempaddr", "2") ||
        !write_text("/proc/sys/net/ipv6/conf/taps-a/accept_dad", "0")) {
        tapsi_test_skip("/proc/sys is read-only");
        p->ops->destroy(p);
        return;
    }
    bring_up();
    CHECK(ip("addr add 2001:db8:3::1/64 dev taps-a mngtmpaddr nodad"));
    /* The kernel makes it tentative, and usable in the background. */
    uint64_t limit = p->ops->now(p) + UINT64_C(10000000000);
    struct tapsi_network *network = look(p);
    while (count_temporary(network) == 0 && p->ops->now(p) < limit) {
        tapsi_network_unref(network);
        network = look(p);
    }
    CHECK_INT(count_temporary(network), 1);
    const struct tapsi_local_address *permanent = find_address(find(network, "taps-a"), "2001:db8:3::1");
    CHECK(permanent && !permanent->temporary);
    tapsi_network_unref(network);
    p->ops->destroy(p);
}

/* One change after another until the notification socket must have overflowed. */
TEST(a_flood_of_changes_is_not_missed)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    char name[] = "/tmp/taps-batch-XXXXXX", words[64];
    tapsi_network_unref(look(p));
    int fd = mkstemp(name);
    NEED(fd >= 0);
    FILE *batch = fdopen(fd, "w");
    NEED(batch);
    for (int i = 0; i < 1000; i++)
        fprintf(batch, "addr add 10.9.%d.%d/32 dev lo\n", i / 250, i % 250 + 1);
    fclose(batch);
    tapsi_format(words, sizeof(words), "-batch %s", name);
    CHECK(ip(words));
    unlink(name);
    struct tapsi_network *network = look(p), *again = look(p);
    CHECK_INT(find(network, "lo")->address_count, 1002);
    CHECK(network == again);
    tapsi_network_unref(network);
    tapsi_network_unref(again);
    p->ops->destroy(p);
}

TEST(a_huge_routing_table_is_cut_and_still_leads_anywhere)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    char name[] = "/tmp/taps-batch-XXXXXX", words[64];
    make_link();
    CHECK(ip("addr add 192.0.2.1/24 dev taps-a"));
    int fd = mkstemp(name);
    NEED(fd >= 0);
    FILE *batch = fdopen(fd, "w");
    NEED(batch);
    for (int i = 0; i < 5000; i++)
        fprintf(batch, "route add 10.%d.%d.0/24 via 192.0.2.254\n", i / 250, i % 250);
    fclose(batch);
    tapsi_format(words, sizeof(words), "-batch %s", name);
    CHECK(ip(words));
    unlink(name);
    struct tapsi_network *network = look(p);
    const struct tapsi_interface *a = find(network, "taps-a");
    CHECK(a->route_count < 5000);
    const struct tapsi_route *rest = find_route(a, "0.0.0.0", 0);
    CHECK(rest && rest->metric == UINT32_MAX);
    tapsi_network_unref(network);
    p->ops->destroy(p);
}

/* The last test: it takes netlink away for good, as a service manager's sandbox does. */
TEST(without_netlink_there_is_still_a_network)
{
    struct tapsi_platform *p = setup_alone();
    if (!p)
        return;
    make_link();
    CHECK(ip("addr add 192.0.2.1/24 dev taps-a"));
    CHECK(ip("addr add 2001:db8::1/64 dev taps-a nodad"));
    if (!sandbox(SYS_socket, AF_NETLINK, EAFNOSUPPORT)) {
        tapsi_test_skip("no seccomp here");
        p->ops->destroy(p);
        return;
    }
    struct tapsi_watch watch = {-1, hear};
    CHECK_INT(p->ops->watch_network(p, &watch), -EAFNOSUPPORT); /* but nobody tells when it changes */
    CHECK_INT(watch.fd, -1);
    struct tapsi_network *network = look(p), *again = look(p);
    CHECK(network == again);
    const struct tapsi_interface *a = find(network, "taps-a"), *lo = find(network, "lo");
    CHECK(a->up && a->type == TAPSI_IF_ETHERNET && lo->type == TAPSI_IF_LOOPBACK);
    CHECK(find_address(a, "192.0.2.1") && find_address(a, "2001:db8::1") && find_address(lo, "127.0.0.1"));
    CHECK(find_route(a, "192.0.2.0", 24) && find_route(a, "0.0.0.0", 0) && find_route(a, "::", 0));
    CHECK(find_route(lo, "127.0.0.0", 8) && !find_route(lo, "0.0.0.0", 0));
    tapsi_network_unref(network);
    tapsi_network_unref(again);
    p->ops->destroy(p);
}
