#include <time.h>
#include <linux/errqueue.h>
#include "platform/sim/testnet.h"

static ssize_t send_to(struct tapsi_platform *p, int fd, const char *to, unsigned port, const char *text)
{
    union tapsi_addr a = addr(to, port);
    union {
        const char *read;
        char *base;
    } u = {.read = text};
    struct iovec iov = {u.base, strlen(text)};
    struct msghdr m = {.msg_name = &a, .msg_namelen = tapsi_addr_length(&a), .msg_iov = &iov, .msg_iovlen = 1};
    return p->ops->sendmsg(p, fd, &m, 0);
}

struct got {
    char text[2048];
    union tapsi_addr from;
    int flags;
    char control[512] __attribute__((aligned(16)));
    size_t control_length;
};

static ssize_t receive_from(struct tapsi_platform *p, int fd, struct got *got, size_t room, int flags)
{
    struct iovec iov = {got->text, room};
    struct msghdr m = {.msg_name = &got->from,
                       .msg_namelen = sizeof got->from,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &got->control,
                       .msg_controllen = sizeof got->control};
    memset(got, 0, sizeof *got);
    ssize_t n = p->ops->recvmsg(p, fd, &m, flags);
    got->flags = m.msg_flags;
    got->control_length = n < 0 ? 0 : m.msg_controllen;
    return n;
}

static const struct cmsghdr *control_of(struct got *got, int level, int type)
{
    struct msghdr m = {.msg_control = &got->control, .msg_controllen = got->control_length};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == level && c->cmsg_type == type)
            return c;
    }
    return NULL;
}

TEST(datagrams_keep_their_boundaries_and_sources)
{
    struct net n;
    struct got got;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    int a = udp4(n.p), b = udp6(n.q);
    CHECK_INT(bind_to(n.q, b, "::", 9), 0);
    CHECK_INT(send_to(n.p, a, "192.0.2.1", 9, "one"), 3);
    CHECK_INT(send_to(n.p, a, "192.0.2.1", 9, ""), 0);
    CHECK_INT(send_to(n.p, a, "192.0.2.1", 9, "three"), 5);
    run_for(&n, DELAY);
    CHECK_INT(receive_from(n.q, b, &got, 100, 0), 3);
    CHECK_TEXT(tapsi_addr_host_text(&got.from, text), "::ffff:192.0.2.2");
    CHECK_INT(receive_from(n.q, b, &got, 100, 0), 0);
    CHECK_INT(receive_from(n.q, b, &got, 100, 0), 5);
    CHECK_INT(receive_from(n.q, b, &got, 100, 0), -EAGAIN);
    n.p->ops->close(n.p, a);
    n.q->ops->close(n.q, b);
    net_done(&n);
}

TEST(too_small_a_buffer_cuts_and_says_so)
{
    struct net n;
    struct got got;
    net_init(&n);
    int a = udp4(n.p), b = udp4(n.q);
    CHECK_INT(bind_to(n.q, b, "192.0.2.1", 9), 0);
    CHECK_INT(send_to(n.p, a, "192.0.2.1", 9, "abcdef"), 6);
    CHECK_INT(send_to(n.p, a, "192.0.2.1", 9, "abcdef"), 6);
    run_for(&n, DELAY);
    CHECK_INT(receive_from(n.q, b, &got, 4, MSG_TRUNC | MSG_PEEK), 6);
    CHECK_INT(receive_from(n.q, b, &got, 4, 0), 4);
    CHECK(got.flags & MSG_TRUNC);
    CHECK_INT(receive_from(n.q, b, &got, 6, 0), 6);
    CHECK(!(got.flags & MSG_TRUNC));
    n.p->ops->close(n.p, a);
    n.q->ops->close(n.q, b);
    net_done(&n);
}

TEST(a_connected_socket_hears_its_peer_only)
{
    struct net n;
    struct got got;
    net_init(&n);
    int a = udp4(n.p), b = udp4(n.q), stranger = udp4(n.q);
    CHECK_INT(bind_to(n.p, a, "192.0.2.2", 7), 0);
    CHECK_INT(bind_to(n.q, b, "192.0.2.1", 9), 0);
    CHECK_INT(connect_to(n.p, a, "192.0.2.1", 9), 0);
    CHECK_INT(send_to(n.q, stranger, "192.0.2.2", 7, "spam"), 4);
    CHECK_INT(send_to(n.q, b, "192.0.2.2", 7, "ham"), 3);
    run_for(&n, DELAY);
    CHECK_INT(receive_from(n.p, a, &got, 100, 0), 3);
    CHECK_INT(receive_from(n.p, a, &got, 100, 0), -EAGAIN);
    n.p->ops->close(n.p, a);
    n.q->ops->close(n.q, b);
    n.q->ops->close(n.q, stranger);
    net_done(&n);
}

TEST(connect_chooses_the_source_without_a_packet)
{
    struct net n;
    union tapsi_addr name;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    int fd = udp6(n.p);
    CHECK_INT(connect_to(n.p, fd, "2001:db8::1", 9), 0);
    CHECK_INT(n.p->ops->getsockname(n.p, fd, &name), 0);
    CHECK_TEXT(tapsi_addr_host_text(&name, text), "2001:db8::2");
    uint16_t port = tapsi_addr_port(&name);
    union tapsi_addr nobody = {.sa = {.sa_family = AF_UNSPEC}};
    CHECK_INT(n.p->ops->connect(n.p, fd, &nobody), 0);
    CHECK_INT(n.p->ops->getpeername(n.p, fd, &name), -ENOTCONN);
    CHECK_INT(connect_to(n.p, fd, "::1", 9), 0);
    CHECK_INT(n.p->ops->getsockname(n.p, fd, &name), 0);
    CHECK_TEXT(tapsi_addr_host_text(&name, text), "::1");
    CHECK_INT(tapsi_addr_port(&name), port);
    CHECK_INT(tapsi_sim_packets_to(n.sim, "2001:db8::1"), 0);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(port_unreachable_reaches_connected_sockets_only)
{
    struct net n;
    struct got got;
    net_init(&n);
    int connected = udp4(n.p), loose = udp4(n.p);
    struct tapsi_watch w = {-1, ignore_ready};
    CHECK_INT(connect_to(n.p, connected, "192.0.2.1", 9), 0);
    CHECK_INT(n.p->ops->watch(n.p, connected, &w), 0);
    CHECK_INT(events_for(&n, n.p, &w, DELAY), TAPSI_IO_OUT);
    CHECK_INT(send_text(n.p, connected, "x"), 1);
    CHECK_INT(send_to(n.p, loose, "192.0.2.1", 9, "x"), 1);
    CHECK_INT(events_for(&n, n.p, &w, RTT), TAPSI_IO_OUT | TAPSI_IO_ERROR);
    CHECK_INT(receive_from(n.p, connected, &got, 100, 0), -ECONNREFUSED);
    CHECK_INT(receive_from(n.p, connected, &got, 100, 0), -EAGAIN);
    CHECK_INT(receive_from(n.p, loose, &got, 100, 0), -EAGAIN);
    CHECK_INT(send_text(n.p, connected, "y"), 1);
    n.p->ops->close(n.p, connected);
    n.p->ops->close(n.p, loose);
    net_done(&n);
}

TEST(host_errors_are_swallowed_without_recverr)
{
    struct net n;
    struct got got;
    net_init(&n);
    int fd = udp4(n.p);
    tapsi_sim_fault(n.sim, "192.0.2.1", TAPSI_SIM_UNREACHABLE);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 9), 0);
    CHECK_INT(send_text(n.p, fd, "x"), 1);
    run_for(&n, RTT);
    CHECK_INT(receive_from(n.p, fd, &got, 100, 0), -EAGAIN);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IP, IP_RECVERR, 1), 0);
    CHECK_INT(send_text(n.p, fd, "x"), 1);
    run_for(&n, RTT);
    CHECK_INT(receive_from(n.p, fd, &got, 100, 0), -ENETUNREACH);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(the_error_queue_tells_who_what_and_which_datagram)
{
    struct net n;
    struct got got;
    struct sock_extended_err e;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    int fd = udp6(n.p);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IPV6, IPV6_RECVERR, 1), 0);
    CHECK_INT(send_to(n.p, fd, "2001:db8::1", 9, "lost"), 4);
    run_for(&n, RTT);
    CHECK_INT(receive_from(n.p, fd, &got, 100, MSG_ERRQUEUE), 4);
    CHECK(got.flags & MSG_ERRQUEUE);
    CHECK_TEXT(tapsi_addr_text(&got.from, text), "[2001:db8::1]:9");
    const struct cmsghdr *c = control_of(&got, IPPROTO_IPV6, IPV6_RECVERR);
    NEED(c);
    memcpy(&e, CMSG_DATA(c), sizeof e);
    CHECK_INT(e.ee_errno, ECONNREFUSED);
    CHECK_INT(e.ee_origin, SO_EE_ORIGIN_ICMP6);
    CHECK_INT(e.ee_type, 1);
    CHECK_INT(e.ee_code, 4);
    CHECK_INT(receive_from(n.p, fd, &got, 100, MSG_ERRQUEUE), -EAGAIN);
    CHECK_INT(so_error(n.p, fd), 0); /* taking the last error clears it */
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_dual_stack_socket_needs_the_ipv4_option_for_ipv4_errors)
{
    struct net n;
    struct got got;
    net_init(&n);
    int fd = udp6(n.p);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IPV6, IPV6_RECVERR, 1), 0);
    CHECK_INT(send_to(n.p, fd, "::ffff:192.0.2.1", 9, "x"), 1);
    run_for(&n, RTT);
    CHECK_INT(receive_from(n.p, fd, &got, 100, MSG_ERRQUEUE), -EAGAIN);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IP, IP_RECVERR, 1), 0);
    CHECK_INT(send_to(n.p, fd, "::ffff:192.0.2.1", 9, "x"), 1);
    run_for(&n, RTT);
    CHECK_INT(receive_from(n.p, fd, &got, 100, MSG_ERRQUEUE), 1);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(control_messages_tell_destination_interface_and_class)
{
    struct net n;
    struct got got;
    net_init(&n);
    int a = udp4(n.p), b = udp6(n.q);
    CHECK_INT(bind_to(n.q, b, "::", 9), 0);
    CHECK_INT(set_int(n.q, b, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1), 0);
    CHECK_INT(set_int(n.q, b, IPPROTO_IP, IP_RECVTOS, 1), 0);
    CHECK_INT(set_int(n.p, a, IPPROTO_IP, IP_TOS, 0xb9), 0);
    CHECK_INT(send_to(n.p, a, "192.0.2.1", 9, "x"), 1);
    run_for(&n, DELAY);
    CHECK_INT(receive_from(n.q, b, &got, 100, 0), 1);
    const struct cmsghdr *info = control_of(&got, IPPROTO_IPV6, IPV6_PKTINFO);
    const struct cmsghdr *tos = control_of(&got, IPPROTO_IP, IP_TOS);
    NEED(info && tos);
    struct in6_pktinfo to;
    memcpy(&to, CMSG_DATA(info), sizeof to);
    CHECK_INT(to.ipi6_ifindex, tapsi_sim_interface_index(n.s));
    CHECK(IN6_IS_ADDR_V4MAPPED(&to.ipi6_addr));
    CHECK_INT(tos->cmsg_len, CMSG_LEN(1));
    CHECK_INT(*CMSG_DATA(tos), 0xb9);
    n.p->ops->close(n.p, a);
    n.q->ops->close(n.q, b);
    net_done(&n);
}

static ssize_t send_with_source(struct tapsi_platform *p, int fd, const char *source, int level, int type)
{
    union tapsi_addr to = addr("192.0.2.1", 9), from = addr(source, 0);
    char control[CMSG_SPACE(sizeof(struct in_pktinfo))] __attribute__((aligned(16))) = {0};
    struct cmsghdr *c = (struct cmsghdr *)(void *)control;
    struct in_pktinfo info = {.ipi_spec_dst = from.in.sin_addr};
    struct iovec iov = {(char[]){"x"}, 1};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof to.in,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    *c = (struct cmsghdr){CMSG_LEN(sizeof info), level, type};
    memcpy(CMSG_DATA(c), &info, sizeof info);
    return p->ops->sendmsg(p, fd, &m, 0);
}

TEST(a_packet_may_choose_its_source_among_its_own)
{
    struct net n;
    struct got got;
    char text[TAPSI_ADDR_TEXT];
    net_init(&n);
    tapsi_sim_address_add(n.c, "192.0.2.77/24", false, false);
    int a = udp4(n.p), b = udp4(n.q);
    CHECK_INT(bind_to(n.q, b, "192.0.2.1", 9), 0);
    CHECK_INT(send_with_source(n.p, a, "192.0.2.77", IPPROTO_IP, IP_PKTINFO), 1);
    CHECK_INT(send_with_source(n.p, a, "192.0.2.99", IPPROTO_IP, IP_PKTINFO), -EINVAL);
    CHECK_INT(send_with_source(n.p, a, "192.0.2.77", IPPROTO_UDP, 103 /* UDP_SEGMENT */), -EINVAL);
    run_for(&n, DELAY);
    CHECK_INT(receive_from(n.q, b, &got, 100, 0), 1);
    CHECK_TEXT(tapsi_addr_host_text(&got.from, text), "192.0.2.77");
    n.p->ops->close(n.p, a);
    n.q->ops->close(n.q, b);
    net_done(&n);
}

TEST(oversize_is_refused_where_fragments_are)
{
    struct net n;
    static char bytes[70000];
    net_init(&n);
    int fd = udp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 9), 0);
    CHECK_INT(n.p->ops->send(n.p, fd, bytes, 1473, 0), 1473);
    CHECK_INT(n.p->ops->send(n.p, fd, bytes, 65508, 0), -EMSGSIZE);
    CHECK_INT(set_int(n.p, fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO), 0);
    CHECK_INT(n.p->ops->send(n.p, fd, bytes, 1473, 0), -EMSGSIZE);
    CHECK_INT(n.p->ops->send(n.p, fd, bytes, 1472, 0), 1472);
    CHECK_INT(get_int(n.p, fd, IPPROTO_IP, IP_MTU), 1500);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(a_full_receive_buffer_drops)
{
    struct net n;
    struct got got;
    net_init(&n);
    int a = udp4(n.p), b = udp4(n.q), count = 0;
    CHECK_INT(set_int(n.q, b, SOL_SOCKET, SO_RCVBUF, 2000), 0);
    CHECK_INT(bind_to(n.q, b, "192.0.2.1", 9), 0);
    for (int i = 0; i < 200; i++)
        CHECK_INT(send_to(n.p, a, "192.0.2.1", 9, "0123456789"), 10);
    run_for(&n, DELAY);
    while (receive_from(n.q, b, &got, 100, 0) > 0)
        count++;
    CHECK(count > 10 && count < 40);
    n.p->ops->close(n.p, a);
    n.q->ops->close(n.q, b);
    net_done(&n);
}

TEST(a_batch_stops_at_the_first_error)
{
    struct net n;
    static char bytes[70000];
    struct iovec iov[3] = {{bytes, 10}, {bytes, 20}, {bytes, 70000}};
    struct mmsghdr m[3];
    net_init(&n);
    int fd = udp4(n.p);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 9), 0);
    memset(m, 0, sizeof m);
    for (int i = 0; i < 3; i++) {
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_INT(n.p->ops->sendmmsg(n.p, fd, m, 3, 0), 2);
    CHECK_INT(m[1].msg_len, 20);
    CHECK_INT(n.p->ops->sendmmsg(n.p, fd, m + 2, 1, 0), -EMSGSIZE);
    n.p->ops->close(n.p, fd);
    net_done(&n);
}

TEST(misuse_is_answered_as_by_linux)
{
    struct net n;
    net_init(&n);
    int fd = udp4(n.p);
    CHECK_INT(send_text(n.p, fd, "x"), -EDESTADDRREQ);
    CHECK_INT(send_to(n.p, fd, "192.0.2.1", 0, "x"), -EINVAL);
    CHECK_INT(send_to(n.p, fd, "255.255.255.255", 9, "x"), -EACCES);
    CHECK_INT(send_to(n.p, fd, "2001:db8::1", 9, "x"), -EAFNOSUPPORT);
    CHECK_INT(connect_to(n.p, fd, "2001:db8::1", 9), -EAFNOSUPPORT);
    CHECK_INT(n.p->ops->listen(n.p, fd, 1), -EOPNOTSUPP);
    CHECK_INT(n.p->ops->accept(n.p, fd, NULL), -EOPNOTSUPP);
    CHECK_INT(n.p->ops->shutdown(n.p, fd, SHUT_WR), -ENOTCONN);
    CHECK_INT(connect_to(n.p, fd, "192.0.2.1", 9), 0);
    CHECK_INT(send_text(n.p, fd, "x"), -EPIPE);
    tapsi_sim_interface_up(n.c, false);
    int other = udp4(n.p);
    CHECK_INT(connect_to(n.p, other, "192.0.2.1", 9), -ENETUNREACH);
    CHECK_INT(send_to(n.p, other, "192.0.2.1", 9, "x"), -ENETUNREACH);
    n.p->ops->close(n.p, fd);
    n.p->ops->close(n.p, other);
    net_done(&n);
}
