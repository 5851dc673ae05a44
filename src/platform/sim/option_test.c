#include <linux/tcp.h>
#include "platform/sim/testnet.h"

TEST(common_options_are_kept)
{
    static const struct {
        int level, option, value;
    } rows[] = {
        {SOL_SOCKET, SO_REUSEADDR, 1},     {SOL_SOCKET, SO_REUSEPORT, 1},       {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_NODELAY, 1},     {IPPROTO_TCP, TCP_KEEPIDLE, 30},     {IPPROTO_TCP, TCP_KEEPINTVL, 5},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},     {IPPROTO_TCP, TCP_USER_TIMEOUT, 99}, {IPPROTO_IP, IP_TOS, 0x2e << 2},
        {IPPROTO_IPV6, IPV6_TCLASS, 0x20}, {IPPROTO_IPV6, IPV6_V6ONLY, 1},      {IPPROTO_IP, IP_RECVERR, 1},
        {IPPROTO_IPV6, IPV6_RECVERR, 1},   {IPPROTO_IP, IP_MTU_DISCOVER, 2},    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9}};
    struct net n;
    net_init(&n);
    int fd = tcp6(n.p);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_INT(set_int(n.p, fd, rows[i].level, rows[i].option, rows[i].value), 0);
        CHECK_INT(get_int(n.p, fd, rows[i].level, rows[i].option), rows[i].value);
    }
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_socket_describes_itself)
{
    struct net n;
    net_init(&n);
    int fd = udp6(n.p), listener = listen_on(n.p, 80);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_DOMAIN), AF_INET6);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
    CHECK_INT(get_int(n.p, listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
    n.p->ops->close(n.p, fd);
    n.p->ops->close(n.p, listener);
    net_done(&n);
}

TEST(unknown_options_are_not_there)
{
    struct net n;
    net_init(&n);
    int tcp = tcp4(n.p), udp = udp4(n.p);
    CHECK_INT(set_int(n.p, tcp, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), -ENOPROTOOPT);
    CHECK_INT(set_int(n.p, udp, IPPROTO_UDP, 1 /* UDP_CORK */, 1), -ENOPROTOOPT);
    CHECK_INT(set_int(n.p, tcp, IPPROTO_UDP, 103 /* UDP_SEGMENT */, 1200), -ENOPROTOOPT);
    CHECK_INT(set_int(n.p, udp, SOL_SOCKET, SO_MAX_PACING_RATE, 1), -ENOPROTOOPT);
    CHECK_INT(set_int(n.p, udp, IPPROTO_TCP, TCP_NODELAY, 1), -ENOPROTOOPT);
    CHECK_INT(set_int(n.p, udp, IPPROTO_IPV6, IPV6_TCLASS, 1), -ENOPROTOOPT);
    CHECK_INT(get_int(n.p, udp, IPPROTO_TCP, TCP_INFO), -ENOPROTOOPT);
    CHECK_INT(get_int(n.p, tcp, 4711, 1), -ENOPROTOOPT);
    CHECK_INT(get_int(n.p, tcp, IPPROTO_IP, IP_MTU), -ENOTCONN);
    n.p->ops->close(n.p, tcp);
    n.p->ops->close(n.p, udp);
    net_done(&n);
}

TEST(values_out_of_range_are_refused)
{
    struct net n;
    char byte = 0x10;
    net_init(&n);
    int fd = tcp4(n.p);
    CHECK_INT(set_int(n.p, fd, IPPROTO_TCP, TCP_KEEPIDLE, 0), -EINVAL);
    CHECK_INT(set_int(n.p, fd, IPPROTO_TCP, TCP_KEEPCNT, 128), -EINVAL);
    CHECK_INT(set_int(n.p, fd, IPPROTO_TCP, TCP_USER_TIMEOUT, -1), -EINVAL);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IP, IP_TTL, 0), -EINVAL);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IP, IP_TTL, 256), -EINVAL);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IP, IP_MTU_DISCOVER, 6), -EINVAL);
    CHECK_INT(set_int(n.p, fd, SOL_SOCKET, SO_PRIORITY, 7), -EPERM);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, IPPROTO_TCP, TCP_NODELAY, &byte, 1), -EINVAL);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, SOL_SOCKET, SO_LINGER, &byte, 1), -EINVAL);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, IPPROTO_IP, IP_TOS, &byte, 1), 0);
    CHECK_INT(get_int(n.p, fd, IPPROTO_IP, IP_TOS), 0x10);
    CHECK_INT(set_int(n.p, fd, SOL_SOCKET, SO_BINDTOIFINDEX, 99), -ENODEV);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(buffer_sizes_are_doubled_and_bounded)
{
    struct net n;
    net_init(&n);
    int fd = tcp4(n.p);
    CHECK_INT(set_int(n.p, fd, SOL_SOCKET, SO_RCVBUF, 100000), 0);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_RCVBUF), 200000);
    CHECK_INT(set_int(n.p, fd, SOL_SOCKET, SO_RCVBUF, 1), 0);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_RCVBUF), 2304);
    CHECK_INT(set_int(n.p, fd, SOL_SOCKET, SO_SNDBUF, -5), 0);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_SNDBUF), 4608);
    CHECK_INT(set_int(n.p, fd, SOL_SOCKET, SO_SNDBUF, INT32_MAX), 0);
    CHECK_INT(get_int(n.p, fd, SOL_SOCKET, SO_SNDBUF), 8 << 20);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(congestion_control_goes_by_name)
{
    struct net n;
    char name[16] = "";
    socklen_t length = sizeof name;
    net_init(&n);
    int fd = tcp4(n.p);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, IPPROTO_TCP, TCP_CONGESTION, "vegas", 5), -ENOENT);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, IPPROTO_TCP, TCP_CONGESTION, "bbr2", 4), -ENOENT);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), 0);
    CHECK_INT(n.p->ops->getsockopt(n.p, fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
    CHECK_TEXT(name, "bbr");
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(linger_and_device_read_back)
{
    struct net n;
    struct linger linger = {1, 7}, back = {0, 0};
    char name[16] = "";
    socklen_t length = sizeof back;
    net_init(&n);
    int fd = tcp4(n.p);
    CHECK_INT(n.p->ops->setsockopt(n.p, fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    CHECK_INT(n.p->ops->getsockopt(n.p, fd, SOL_SOCKET, SO_LINGER, &back, &length), 0);
    CHECK(back.l_onoff == 1 && back.l_linger == 7);
    length = sizeof name;
    CHECK_INT(n.p->ops->getsockopt(n.p, fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
    CHECK_INT(length, 0);
    CHECK_INT(set_int(n.p, fd, SOL_SOCKET, SO_BINDTOIFINDEX, 2), 0);
    length = sizeof name;
    CHECK_INT(n.p->ops->getsockopt(n.p, fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
    CHECK_TEXT(name, "eth0");
    length = 4;
    CHECK_INT(n.p->ops->getsockopt(n.p, fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), -EINVAL);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}
