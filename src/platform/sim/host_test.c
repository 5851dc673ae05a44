#include <stdlib.h>
#include "base/list.h"
#include "platform/sim/testnet.h"

static const struct tapsi_interface *named(const struct tapsi_network *network, const char *name)
{
    for (size_t i = 0; i < network->interface_count; i++) {
        if (strcmp(network->interfaces[i].name, name) == 0)
            return &network->interfaces[i];
    }
    return NULL;
}

/* The source the host chooses for a destination. */
static const char *source_for(struct tapsi_platform *p, const char *to, char *text)
{
    union tapsi_addr name;
    int fd = strchr(to, ':') ? udp6(p) : udp4(p);
    int r = connect_to(p, fd, to, 9);
    strcpy(text, "none");
    if (r == 0 && p->ops->getsockname(p, fd, &name) == 0)
        tapsi_addr_host_text(&name, text);
    p->ops->close(p, fd);
    return text;
}

TEST(a_snapshot_shows_interfaces_addresses_and_routes)
{
    struct net n;
    struct tapsi_network *network;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    CHECK_INT(n.p->ops->network(n.p, &network), 0);
    const struct tapsi_interface *lo = named(network, "lo"), *eth = named(network, "eth0");
    NEED(lo && eth);
    CHECK_INT(lo->index, 1);
    CHECK_INT(lo->type, TAPSI_IF_LOOPBACK);
    CHECK_INT(eth->type, TAPSI_IF_ETHERNET);
    CHECK_INT(eth->mtu, 1500);
    CHECK(eth->up);
    CHECK_INT(eth->address_count, 3);
    CHECK_TEXT(tapsi_addr_host_text(&eth->addresses[1].address, text), "2001:db8::2");
    CHECK_INT(eth->addresses[1].prefix_bits, 64);
    CHECK_INT(eth->addresses[2].address.in6.sin6_scope_id, eth->index);
    CHECK_INT(eth->route_count, 5); /* three prefixes, two default routes */
    tapsi_network_unref(network);
    net_done(&n);
}

TEST(an_unchanged_host_gives_the_same_snapshot)
{
    struct net n;
    struct tapsi_network *a, *b, *c;
    net_init(&n);
    CHECK_INT(n.p->ops->network(n.p, &a), 0);
    CHECK_INT(n.p->ops->network(n.p, &b), 0);
    CHECK(a == b);
    tapsi_sim_interface_up(n.c, false);
    CHECK_INT(n.p->ops->network(n.p, &c), 0);
    CHECK(a != c && a->generation != c->generation);
    CHECK(named(a, "eth0")->up);
    CHECK(!named(c, "eth0")->up);
    tapsi_network_unref(a);
    tapsi_network_unref(b);
    tapsi_network_unref(c);
    net_done(&n);
}

/* How many routes of a family the interface has. */
static unsigned routes(struct tapsi_platform *p, const char *interface, int family)
{
    struct tapsi_network *network;
    unsigned count = 0;
    CHECK_INT(p->ops->network(p, &network), 0);
    const struct tapsi_interface *i = named(network, interface);
    for (size_t k = 0; i && k < i->route_count; k++)
        count += i->routes[k].destination.sa.sa_family == family;
    tapsi_network_unref(network);
    return count;
}

TEST(an_address_takes_its_routes_with_it)
{
    struct net n;
    net_init(&n);
    tapsi_sim_address_add(n.c, "192.0.2.7/24", false, false);
    tapsi_sim_address_add(n.c, "198.51.100.2/24", false, false);
    tapsi_sim_route_add(n.c, "203.0.113.0/24", 5);
    CHECK_INT(routes(n.p, "eth0", AF_INET), 5); /* one prefix twice, one more, the default, one by hand */
    tapsi_sim_address_remove(n.c, "192.0.2.7");
    CHECK_INT(routes(n.p, "eth0", AF_INET), 5); /* the other address of the prefix keeps it */
    tapsi_sim_address_remove(n.c, "192.0.2.2");
    CHECK_INT(routes(n.p, "eth0", AF_INET), 3);
    tapsi_sim_address_remove(n.c, "192.0.2.99"); /* not there: nothing happens */
    CHECK_INT(routes(n.p, "eth0", AF_INET), 3);
    tapsi_sim_address_remove(n.c, "198.51.100.2");
    CHECK_INT(routes(n.p, "eth0", AF_INET), 0); /* with the last address, all */
    CHECK_INT(routes(n.p, "eth0", AF_INET6), 3);
    tapsi_sim_address_remove(n.c, "2001:db8::2");
    CHECK_INT(routes(n.p, "eth0", AF_INET6), 2); /* IPv6 keeps its default route */
    net_done(&n);
}

TEST(sockets_of_an_address_that_is_gone_reach_nobody)
{
    struct net n;
    net_init(&n);
    tapsi_sim_address_add(n.c, "192.0.2.7/24", false, false);
    int four = udp4(n.p), six = udp6(n.p), stream = tcp4(n.p), connected = udp4(n.p), sink = udp6(n.q);
    char text[8];
    CHECK_INT(bind_to(n.q, sink, "::", 9), 0);
    CHECK_INT(connect_to(n.p, connected, "192.0.2.1", 9), 0);
    CHECK_INT(bind_to(n.p, four, "192.0.2.2", 0), 0);
    CHECK_INT(bind_to(n.p, six, "2001:db8::2", 0), 0);
    CHECK_INT(bind_to(n.p, stream, "192.0.2.2", 0), 0);
    CHECK_INT(connect_to(n.p, six, "2001:db8::1", 9), 0);
    tapsi_sim_address_remove(n.c, "192.0.2.2");
    tapsi_sim_address_remove(n.c, "2001:db8::2");
    CHECK_INT(connect_to(n.p, four, "192.0.2.1", 9), -ENETUNREACH);
    CHECK_INT(connect_to(n.p, stream, "192.0.2.1", 9), -ENETUNREACH);
    CHECK_INT(send_text(n.p, connected, "x"), -ENETUNREACH);
    CHECK_INT(send_text(n.p, six, "x"), 1); /* as Linux does; nobody gets it */
    run_for(&n, RTT);
    CHECK_INT(recv_text(n.q, sink, text, sizeof text), -EAGAIN);
    int sockets[] = {four, six, stream, connected};
    for (size_t i = 0; i < 4; i++)
        n.p->ops->close(n.p, sockets[i]);
    n.q->ops->close(n.q, sink);
    net_done(&n);
}

TEST(a_stream_pauses_while_its_address_is_gone)
{
    struct net n;
    int c, s, listener;
    char text[16];
    net_init(&n);
    listener = listen_on(n.q, 80);
    connected_pair(&n, listener, 80, &c, &s);
    tapsi_sim_address_remove(n.c, "192.0.2.2");
    CHECK_INT(send_text(n.p, c, "patience"), 8);
    CHECK_INT(send_text(n.q, s, "too"), 3);
    run_for(&n, TAPSI_SIM_S);
    CHECK_INT(recv_text(n.q, s, text, sizeof text), -EAGAIN);
    CHECK_INT(recv_text(n.p, c, text, sizeof text), -EAGAIN);
    tapsi_sim_address_add(n.c, "192.0.2.2/24", false, false);
    run_for(&n, 10 * TAPSI_SIM_S);
    CHECK_INT(recv_text(n.q, s, text, sizeof text), 8);
    CHECK_INT(recv_text(n.p, c, text, sizeof text), 3);
    n.p->ops->close(n.p, c);
    n.q->ops->close(n.q, s);
    n.q->ops->close(n.q, listener);
    net_done(&n);
}

static void unplug(void *arg)
{
    struct net *n = arg;
    tapsi_sim_interface_up(n->c, false);
}

TEST(a_change_wakes_who_has_seen_the_network_and_nobody_else)
{
    struct net n;
    struct tapsi_network *network;
    struct tapsi_ready ready[EVENTS];
    net_init(&n);
    CHECK_INT(n.p->ops->network(n.p, &network), 0);
    tapsi_network_unref(network);
    uint64_t start = tapsi_sim_now(n.sim);
    tapsi_sim_after(n.sim, TAPSI_SIM_S, unplug, &n);
    CHECK_INT(n.p->ops->wait(n.p, start + 5 * TAPSI_SIM_S, ready, EVENTS), 0);
    CHECK_INT(tapsi_sim_now(n.sim), start + TAPSI_SIM_S);
    CHECK_INT(n.p->ops->wait(n.p, start + 5 * TAPSI_SIM_S, ready, EVENTS), 0); /* once */
    CHECK_INT(tapsi_sim_now(n.sim), start + 5 * TAPSI_SIM_S);
    tapsi_sim_after(n.sim, TAPSI_SIM_S, unplug, &n);
    CHECK_INT(n.q->ops->wait(n.q, start + 9 * TAPSI_SIM_S, ready, EVENTS), 0); /* the server's is another network */
    CHECK_INT(tapsi_sim_now(n.sim), start + 9 * TAPSI_SIM_S);
    net_done(&n);
}

struct ear {
    struct tapsi_watch watch;
    unsigned heard;
};

static void hear(struct tapsi_watch *watch, unsigned io)
{
    TAPSI_CONTAINER(watch, struct ear, watch)->heard += io == TAPSI_IO_IN;
}

TEST(who_watches_the_network_is_told_of_each_change_until_it_watches_no_more)
{
    struct net n;
    struct ear ear = {.watch = {-1, hear}};
    struct tapsi_ready ready[EVENTS];
    net_init(&n);
    CHECK_INT(n.p->ops->watch_network(n.p, &ear.watch), 0);
    CHECK(ear.watch.fd != -1);
    CHECK_INT(n.p->ops->wait(n.p, 0, ready, EVENTS), 0); /* nothing has changed */
    tapsi_sim_interface_up(n.c, false);
    tapsi_sim_interface_up(n.c, true);
    CHECK_INT(n.p->ops->wait(n.p, TAPSI_FOREVER, ready, EVENTS), 1); /* two changes are one event */
    CHECK(ready[0].watch == &ear.watch);
    ready[0].watch->ready(ready[0].watch, ready[0].io);
    CHECK_INT(ear.heard, 1);
    tapsi_sim_interface_up(n.s, false); /* another host's */
    CHECK_INT(n.p->ops->wait(n.p, 0, ready, EVENTS), 0);
    tapsi_sim_interface_up(n.c, false);
    CHECK_INT(n.p->ops->watch_network(n.p, NULL), 0);
    CHECK_INT(ear.watch.fd, -1);
    CHECK_INT(n.p->ops->wait(n.p, 0, ready, EVENTS), 0); /* what was on its way is not told any more */
    tapsi_sim_fail_call(n.sim, 1, ENOBUFS);
    CHECK_INT(n.p->ops->watch_network(n.p, &ear.watch), -ENOBUFS);
    CHECK_INT(ear.watch.fd, -1);
    net_done(&n);
}

struct scarce {
    int left;
};

static void *scarce_alloc(void *user, void *block, size_t size)
{
    struct scarce *s = user;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return s->left-- > 0 ? realloc(block, size) : NULL;
}

TEST(a_snapshot_without_memory_leaves_nothing_behind)
{
    struct net n;
    struct tapsi_network *network;
    struct tapsi_platform *p;
    net_init(&n);
    int failures = 0;
    for (int left = 1; left < 50; left++) {
        struct scarce scarce = {left};
        struct taps_allocator allocator = {.user = &scarce, .resize = scarce_alloc};
        struct tapsi_mem mem;
        tapsi_mem_init(&mem, &allocator);
        if (tapsi_sim_platform_new(n.client, &mem, &p) < 0)
            continue;
        int r = p->ops->network(p, &network);
        failures += r == -ENOMEM;
        if (r == 0)
            tapsi_network_unref(network);
        p->ops->destroy(p);
        if (r == 0)
            break;
    }
    CHECK_INT(failures, 6); /* the snapshot, its interfaces, and two arrays for each of two */
    net_done(&n);
}

TEST(the_source_follows_scope_deprecation_and_the_longest_match)
{
    struct net n;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    CHECK_TEXT(source_for(n.p, "2001:db8::1", text), "2001:db8::2");
    CHECK_TEXT(source_for(n.p, "127.0.0.9", text), "127.0.0.9");
    CHECK_TEXT(source_for(n.p, "192.0.2.2", text), "192.0.2.2");
    tapsi_sim_address_add(n.c, "2001:db8:1::2/64", false, false);
    CHECK_TEXT(source_for(n.p, "2001:db8:1::9", text), "2001:db8:1::2");
    tapsi_sim_address_add(n.c, "2001:db8:1::3/64", true, false);
    CHECK_TEXT(source_for(n.p, "2001:db8:1::9", text), "2001:db8:1::2");
    tapsi_sim_address_remove(n.c, "2001:db8:1::2");
    tapsi_sim_address_remove(n.c, "2001:db8:1::3");
    tapsi_sim_address_add(n.c, "2001:db8:1::4/64", false, true);
    CHECK_TEXT(source_for(n.p, "2001:db8:1::9", text), "2001:db8::2");
    net_done(&n);
}

TEST(temporary_addresses_are_used_when_asked_for)
{
    struct net n;
    union tapsi_addr name;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    tapsi_sim_address_add(n.c, "2001:db8::aaaa/64", true, false);
    int fd = udp6(n.p);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IPV6, 72 /* IPV6_ADDR_PREFERENCES */, 1 /* IPV6_PREFER_SRC_TMP */), 0);
    CHECK_INT(connect_to(n.p, fd, "2001:db8::1", 9), 0);
    CHECK_INT(n.p->ops->getsockname(n.p, fd, &name), 0);
    CHECK_TEXT(tapsi_addr_host_text(&name, text), "2001:db8::aaaa");
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(the_default_route_of_least_metric_wins_while_it_is_up)
{
    struct net n;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    struct tapsi_sim_interface *wifi = tapsi_sim_interface_new(n.client, "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24");
    CHECK_TEXT(source_for(n.p, "203.0.113.1", text), "192.0.2.2");
    tapsi_sim_route_add(wifi, "203.0.113.0/24", 9999);
    CHECK_TEXT(source_for(n.p, "203.0.113.1", text), "198.51.100.2");
    CHECK_TEXT(source_for(n.p, "203.0.114.1", text), "192.0.2.2");
    tapsi_sim_interface_up(n.c, false);
    CHECK_TEXT(source_for(n.p, "203.0.114.1", text), "198.51.100.2");
    tapsi_sim_interface_up(wifi, false);
    CHECK_TEXT(source_for(n.p, "203.0.114.1", text), "none");
    net_done(&n);
}

TEST(a_socket_bound_to_a_device_uses_it_and_no_other)
{
    struct net n;
    union tapsi_addr name;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    tapsi_sim_interface_new(n.client, "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24");
    int fd = udp4(n.p);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, SOL_SOCKET, SO_BINDTODEVICE, "wlan9", 5), -ENODEV);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, SOL_SOCKET, SO_BINDTODEVICE, "wlan0", 5), 0);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 4), -EPERM);
    CHECK_INT(connect_to(n.p, fd, "203.0.113.1", 9), 0);
    CHECK_INT(n.p->ops->getsockname(n.p, fd, &name), 0);
    CHECK_TEXT(tapsi_addr_host_text(&name, text), "198.51.100.2");
    int six = udp6(n.p);
    CHECK_INT(n.p->ops->setsockopt(n.p, six, SOL_SOCKET, SO_BINDTODEVICE, "wlan0", 6), 0);
    CHECK_INT(connect_to(n.p, six, "2001:db8::1", 9), -ENETUNREACH);
    n.p->ops->close(n.p, fd);
    n.p->ops->close(n.p, six);
    net_done(&n);
}

TEST(a_subnet_has_many_hosts)
{
    struct net n;
    net_init(&n);
    struct tapsi_sim_host *third = tapsi_sim_host_new(n.sim, "third");
    tapsi_sim_link_join(n.link, tapsi_sim_interface_new(third, "eth0", TAPSI_IF_ETHERNET, "192.0.2.3/24"));
    tapsi_sim_serve(third, 80, TAPSI_SIM_ECHO);
    int fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.3", 80), -EINPROGRESS);
    run_for(&n, RTT);
    CHECK_INT(send_text(n.p, fd, "x"), 1);
    CHECK(tapsi_sim_packets_to(n.sim, "192.0.2.3") > 0);
    CHECK_INT(tapsi_sim_packets_to(n.sim, "192.0.2.1"), 0);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_delay_for_one_address_is_added)
{
    struct net n;
    net_init(&n);
    tapsi_sim_serve(n.server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_delay(n.sim, "192.0.2.1:80", 70 * TAPSI_SIM_MS);
    int fd = tcp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 80), -EINPROGRESS);
    run_for(&n, RTT + 70 * TAPSI_SIM_MS - 1);
    CHECK_INT(send_text(n.p, fd, "x"), -EAGAIN);
    run_for(&n, 1);
    CHECK_INT(send_text(n.p, fd, "x"), 1);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(loopback_stays_inside_the_host)
{
    struct net n;
    net_init(&n);
    int listener = listen_on(n.p, 80), fd = tcp6(n.p);
    CHECK_INT(connect_to(n.p, fd, "::1", 80), -EINPROGRESS);
    run_for(&n, TAPSI_SIM_MS);
    int child = n.p->ops->accept(n.p, listener, NULL);
    CHECK(child >= 0);
    int elsewhere = tcp6(n.q);
    CHECK_INT(connect_to(n.q, elsewhere, "::1", 80), -EINPROGRESS);
    run_for(&n, TAPSI_SIM_MS);
    CHECK_INT(so_error(n.q, elsewhere), ECONNREFUSED);
    n.p->ops->close(n.p, fd);
    n.p->ops->close(n.p, child);
    n.p->ops->close(n.p, listener);
    n.q->ops->close(n.q, elsewhere);
    net_done(&n);
}

TEST(files_are_the_hosts_own)
{
    struct net n;
    char *text;
    size_t length;
    net_init(&n);
    tapsi_sim_file(n.client, "/etc/hosts", "192.0.2.1 server\n");
    CHECK_INT(n.p->ops->read_file(n.p, "/etc/hosts", 100, &text, &length), 0);
    CHECK_TEXT(text, "192.0.2.1 server\n");
    CHECK_INT(length, 17);
    tapsi_free(&n.mem, text);
    CHECK_INT(n.p->ops->read_file(n.p, "/etc/hosts", 16, &text, &length), -EFBIG);
    CHECK_INT(n.q->ops->read_file(n.q, "/etc/hosts", 100, &text, &length), -ENOENT);
    tapsi_sim_file(n.client, "/etc/hosts", "short");
    CHECK_INT(n.p->ops->read_file(n.p, "/etc/hosts", 5, &text, &length), 0);
    CHECK_TEXT(text, "short");
    tapsi_free(&n.mem, text);
    tapsi_sim_file(n.client, "/etc/hosts", NULL);
    CHECK_INT(n.p->ops->read_file(n.p, "/etc/hosts", 100, &text, &length), -ENOENT);
    net_done(&n);
}

TEST(ports_and_addresses_are_taken_once)
{
    struct net n;
    net_init(&n);
    int a = tcp4(n.p), b = tcp4(n.p), c = tcp6(n.p), d = tcp6(n.p);
    CHECK_INT(bind_to(n.p, a, "203.0.113.9", 80), -EADDRNOTAVAIL);
    CHECK_INT(bind_to(n.p, a, "2001:db8::2", 80), -EAFNOSUPPORT);
    CHECK_INT(bind_to(n.p, a, "192.0.2.2", 80), 0);
    CHECK_INT(bind_to(n.p, a, "192.0.2.2", 81), -EINVAL);
    CHECK_INT(bind_to(n.p, b, "0.0.0.0", 80), -EADDRINUSE);
    CHECK_INT(bind_to(n.p, b, "127.0.0.1", 80), 0);
    CHECK_INT(bind_to(n.p, c, "::", 80), -EADDRINUSE); /* dual stack: IPv4's ports are its own too */
    CHECK_INT(set_int(n.p, c, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    CHECK_INT(bind_to(n.p, c, "::", 80), 0);
    CHECK_INT(set_int(n.p, c, IPPROTO_IPV6, IPV6_V6ONLY, 0), -EINVAL);
    CHECK_INT(bind_to(n.p, d, "fe80::2", 81), -EINVAL);
    CHECK_INT(connect_to(n.p, c, "::ffff:192.0.2.1", 80), -ENETUNREACH);
    int fds[] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        n.p->ops->close(n.p, fds[i]);
    net_done(&n);
}

TEST(reuse_shares_a_port_but_not_with_a_listener)
{
    struct net n;
    net_init(&n);
    int a = tcp4(n.p), b = tcp4(n.p), c = udp4(n.p), d = udp4(n.p);
    CHECK_INT(set_int(n.p, a, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    CHECK_INT(bind_to(n.p, a, "0.0.0.0", 80), 0);
    CHECK_INT(bind_to(n.p, b, "0.0.0.0", 80), -EADDRINUSE);
    CHECK_INT(set_int(n.p, b, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    CHECK_INT(n.p->ops->listen(n.p, a, 1), 0);
    CHECK_INT(bind_to(n.p, b, "0.0.0.0", 80), -EADDRINUSE);
    CHECK_INT(bind_to(n.p, c, "0.0.0.0", 80), 0); /* UDP's ports are others */
    CHECK_INT(bind_to(n.p, d, "0.0.0.0", 80), -EADDRINUSE);
    int fds[] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        n.p->ops->close(n.p, fds[i]);
    net_done(&n);
}
