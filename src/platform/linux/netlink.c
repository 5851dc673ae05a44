/*
 * The network as rtnetlink tells it: three kinds of dump on a socket of its own, and a second socket that only hears
 * that something changed. No attempt is made to follow single changes: the kernel drops IPv4 routes of a link that goes
 * down without a word, and loses messages when the socket is full, so any message at all means "ask again".
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>
#include "platform/linux/survey.h"

#define BATCH_SIZE  32768 /* the most the kernel puts into one answer to a dump */
#define TRIES       3     /* for a dump that the network changed under */
#define DRAIN_MAX   4096  /* a storm is left for the next time */
#define NOTIFY_ROOM 16384

#ifndef RTEXT_FILTER_SKIP_STATS
#define RTEXT_FILTER_SKIP_STATS (1 << 3)
#endif

/* -------------------------------------------------------------------------------------------- attributes */

/* A walk over attributes that never trusts a length. */
struct attributes {
    const uint8_t *at;
    size_t left;
};

struct attribute {
    unsigned type;
    const uint8_t *data;
    size_t length;
};

static bool next_attribute(struct attributes *walk, struct attribute *ret)
{
    struct rtattr header;
    if (walk->left < sizeof(header))
        return false;
    memcpy(&header, walk->at, sizeof(header));
    if (header.rta_len < sizeof(header) || header.rta_len > walk->left)
        return false;
    ret->type = header.rta_type & NLA_TYPE_MASK;
    ret->data = walk->at + sizeof(header);
    ret->length = header.rta_len - sizeof(header);
    size_t step = RTA_ALIGN((size_t)header.rta_len);
    if (step > walk->left)
        step = walk->left;
    walk->at += step;
    walk->left -= step;
    return true;
}

/* Leaves *ret alone when the attribute is too short. */
static void read_u32(const struct attribute *a, uint32_t *ret)
{
    if (a->length >= sizeof(*ret))
        memcpy(ret, a->data, sizeof(*ret));
}

static void read_text(const struct attribute *a, char *to, size_t size)
{
    size_t length = strnlen((const char *)a->data, a->length);
    if (length >= size)
        return;
    memcpy(to, a->data, length);
    to[length] = '\0';
}

static size_t address_size(int family)
{
    return family == AF_INET ? 4 : family == AF_INET6 ? 16 : SIZE_MAX;
}

/* The fixed part of a message comes out in `header`, what follows it is walked over. */
static bool open_message(const uint8_t *body, size_t length, void *header, size_t size, struct attributes *walk)
{
    if (length < size)
        return false;
    memcpy(header, body, size);
    size_t skip = NLMSG_ALIGN(size);
    if (skip > length)
        skip = length;
    *walk = (struct attributes){body + skip, length - skip};
    return true;
}

/* ---------------------------------------------------------------------------------------------- messages */

static void read_kind(const struct attribute *linkinfo, char *kind, size_t size)
{
    struct attributes walk = {linkinfo->data, linkinfo->length};
    struct attribute a;
    while (next_attribute(&walk, &a)) {
        if (a.type == IFLA_INFO_KIND)
            read_text(&a, kind, size);
    }
}

static int read_link(struct tapsi_survey *s, const uint8_t *body, size_t length)
{
    struct ifinfomsg header;
    struct attributes walk;
    struct attribute a;
    struct tapsi_interface link = {.type = TAPSI_IF_OTHER};
    char kind[32] = "";
    uint32_t mtu = 0;
    /* Bridge ports and IPv6 send link messages of their own family: the same link once more. */
    if (!open_message(body, length, &header, sizeof(header), &walk) || header.ifi_family != AF_UNSPEC)
        return 0;
    while (next_attribute(&walk, &a)) {
        if (a.type == IFLA_IFNAME)
            read_text(&a, link.name, sizeof(link.name));
        if (a.type == IFLA_MTU)
            read_u32(&a, &mtu);
        if (a.type == IFLA_LINKINFO)
            read_kind(&a, kind, sizeof(kind));
    }
    if (header.ifi_index <= 0 || !link.name[0])
        return 0;
    link.index = (unsigned)header.ifi_index;
    link.mtu = mtu;
    link.up = (header.ifi_flags & IFF_UP) && (header.ifi_flags & IFF_RUNNING);
    link.type = tapsi_iftype_of(link.name, link.index, header.ifi_type, kind);
    return tapsi_survey_add_link(s, &link);
}

static int read_address(struct tapsi_survey *s, const uint8_t *body, size_t length)
{
    struct ifaddrmsg header;
    struct attributes walk;
    struct attribute a;
    if (!open_message(body, length, &header, sizeof(header), &walk))
        return 0;
    const uint8_t *own = NULL, *other = NULL;
    size_t size = address_size(header.ifa_family);
    uint32_t flags = header.ifa_flags;
    while (next_attribute(&walk, &a)) {
        if (a.type == IFA_LOCAL && a.length == size)
            own = a.data;
        if (a.type == IFA_ADDRESS && a.length == size)
            other = a.data; /* of a point-to-point link the peer's, otherwise our own */
        if (a.type == IFA_FLAGS)
            read_u32(&a, &flags);
    }
    if (!own)
        own = other;
    if (!own || header.ifa_prefixlen > 8 * size)
        return 0;
    if ((flags & IFA_F_DADFAILED) || ((flags & IFA_F_TENTATIVE) && !(flags & IFA_F_OPTIMISTIC)))
        return 0;
    struct tapsi_local_address address = {.prefix_bits = header.ifa_prefixlen};
    tapsi_addr_from_bytes(&address.address, header.ifa_family, own);
    if (header.ifa_family == AF_INET6) {
        address.temporary = flags & IFA_F_TEMPORARY; /* the same bit means "secondary" for IPv4 */
        if (tapsi_addr_is_link_local(&address.address))
            address.address.in6.sin6_scope_id = header.ifa_index;
    }
    address.deprecated = flags & IFA_F_DEPRECATED;
    return tapsi_survey_add_address(s, header.ifa_index, &address);
}

static int read_next_hops(struct tapsi_survey *s, const struct attribute *multipath, const struct tapsi_route *route)
{
    const uint8_t *at = multipath->data;
    size_t left = multipath->length;
    struct rtnexthop hop;
    while (left >= sizeof(hop)) {
        memcpy(&hop, at, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > left)
            break;
        if (hop.rtnh_ifindex > 0 && !(hop.rtnh_flags & RTNH_F_DEAD)) {
            int err = tapsi_survey_add_route(s, (unsigned)hop.rtnh_ifindex, route);
            if (err)
                return err;
        }
        size_t step = RTNH_ALIGN((size_t)hop.rtnh_len);
        if (step > left)
            break;
        at += step;
        left -= step;
    }
    return 0;
}

static int read_route(struct tapsi_survey *s, const uint8_t *body, size_t length)
{
    struct rtmsg header;
    struct attributes walk;
    struct attribute a, multipath = {0};
    if (!open_message(body, length, &header, sizeof(header), &walk))
        return 0;
    const uint8_t zeros[16] = {0}, *destination = NULL;
    size_t size = address_size(header.rtm_family);
    uint32_t table = header.rtm_table, metric = 0, interface = 0;
    while (next_attribute(&walk, &a)) {
        if (a.type == RTA_DST && a.length == size)
            destination = a.data;
        if (a.type == RTA_OIF)
            read_u32(&a, &interface);
        if (a.type == RTA_PRIORITY)
            read_u32(&a, &metric);
        if (a.type == RTA_TABLE)
            read_u32(&a, &table);
        if (a.type == RTA_MULTIPATH)
            multipath = a;
    }
    /* Routes for some type of service or some sources only would promise too much. */
    if (size == SIZE_MAX || table != RT_TABLE_MAIN || header.rtm_type != RTN_UNICAST || header.rtm_tos ||
        header.rtm_src_len || (header.rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD)))
        return 0;
    if (header.rtm_dst_len > 8 * size || (header.rtm_dst_len && !destination))
        return 0;
    struct tapsi_route route = {.prefix_bits = header.rtm_dst_len, .metric = metric};
    tapsi_addr_from_bytes(&route.destination, header.rtm_family, destination ? destination : zeros);
    if (interface)
        return tapsi_survey_add_route(s, interface, &route);
    return read_next_hops(s, &multipath, &route);
}

static int read_message(struct tapsi_survey *s, unsigned type, const uint8_t *body, size_t length)
{
    switch (type) {
    case RTM_NEWLINK:
        return read_link(s, body, length);
    case RTM_NEWADDR:
        return read_address(s, body, length);
    case RTM_NEWROUTE:
        return read_route(s, body, length);
    default:
        return 0;
    }
}

/* NLMSG_ERROR, and NLMSG_DONE too, carry an errno, 0 or negative. */
static int read_error(const uint8_t *body, size_t length)
{
    int err = 0;
    if (length >= sizeof(err))
        memcpy(&err, body, sizeof(err));
    return err < 0 ? err : 0;
}

int tapsi_netlink_parse(struct tapsi_survey *s, const void *bytes, size_t count, uint32_t sequence)
{
    const uint8_t *at = bytes;
    struct nlmsghdr header;
    while (count >= sizeof(header)) {
        memcpy(&header, at, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > count)
            return -EBADMSG;
        const uint8_t *body = at + sizeof(header);
        size_t length = header.nlmsg_len - sizeof(header);
        size_t step = NLMSG_ALIGN((size_t)header.nlmsg_len);
        if (step > count)
            step = count;
        at += step;
        count -= step;
        if (header.nlmsg_seq != sequence)
            continue;
        if (header.nlmsg_flags & NLM_F_DUMP_INTR)
            s->interrupted = true;
        int err;
        if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
            err = read_error(body, length);
            return err ? err : 1;
        }
        err = read_message(s, header.nlmsg_type, body, length);
        if (err)
            return err;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------- dumps */

struct request {
    struct nlmsghdr header;
    union {
        struct {
            struct ifinfomsg body;
            struct rtattr attribute;
            uint32_t filter;
        } link;
        struct ifaddrmsg address;
        struct rtmsg route;
    } u;
};

static int send_request(int fd, struct request *r, uint16_t type, size_t body_size, uint32_t sequence)
{
    r->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body_size);
    r->header.nlmsg_type = type;
    r->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    r->header.nlmsg_seq = sequence;
    return send(fd, r, r->header.nlmsg_len, 0) < 0 ? -errno : 0;
}

static int receive_batch(int fd, uint8_t *batch, size_t *ret_length)
{
    struct sockaddr_nl from;
    struct iovec iov = {batch, BATCH_SIZE};
    for (;;) {
        struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
        ssize_t got = recvmsg(fd, &message, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0 || (message.msg_flags & MSG_TRUNC))
            return -EMSGSIZE;
        if (message.msg_namelen < sizeof(from) || from.nl_pid != 0)
            continue; /* not the kernel: any process may write to this socket */
        *ret_length = (size_t)got;
        return 0;
    }
}

static int dump(struct tapsi_survey *s, int fd, uint8_t *batch, struct request *r, uint16_t type, size_t body_size)
{
    uint32_t sequence = ++s->sequence;
    int state = send_request(fd, r, type, body_size, sequence);
    while (state == 0) {
        size_t length = 0;
        state = receive_batch(fd, batch, &length);
        if (state == 0)
            state = tapsi_netlink_parse(s, batch, length, sequence);
    }
    return state < 0 ? state : 0;
}

static int dump_links(struct tapsi_survey *s, int fd, uint8_t *batch)
{
    struct request r = {.u.link = {
                            .attribute = {RTA_LENGTH(sizeof(uint32_t)), IFLA_EXT_MASK},
                            .filter = RTEXT_FILTER_SKIP_STATS,
                        }};
    return dump(s, fd, batch, &r, RTM_GETLINK, sizeof(r.u.link));
}

static int dump_addresses(struct tapsi_survey *s, int fd, uint8_t *batch)
{
    struct request r = {.u.address.ifa_family = AF_UNSPEC};
    return dump(s, fd, batch, &r, RTM_GETADDR, sizeof(r.u.address));
}

static int dump_routes(struct tapsi_survey *s, int fd, uint8_t *batch, unsigned char family)
{
    struct request r = {.u.route = {.rtm_family = family, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST}};
    int err = dump(s, fd, batch, &r, RTM_GETROUTE, sizeof(r.u.route));
    /* A table nobody has put a route into, or a family this kernel does not have. */
    return err == -ENOENT || err == -EOPNOTSUPP || err == -EAFNOSUPPORT ? 0 : err;
}

static bool is_loopback(const struct tapsi_survey *s, unsigned index)
{
    for (size_t i = 0; i < s->link_count; i++) {
        if (s->links[i].index == index)
            return s->links[i].type == TAPSI_IF_LOOPBACK;
    }
    return false;
}

/* The ways to the machine itself are in another table, where they are of no use but for loopback. */
static int add_loopback_routes(struct tapsi_survey *s)
{
    int err = 0;
    for (size_t i = 0; !err && i < s->address_count; i++) {
        if (is_loopback(s, s->addresses[i].index))
            err = tapsi_survey_add_connected(s, s->addresses[i].index, &s->addresses[i].address);
    }
    return err;
}

static int dump_all(struct tapsi_survey *s, int fd, uint8_t *batch)
{
    int err = dump_links(s, fd, batch);
    if (!err)
        err = dump_addresses(s, fd, batch);
    if (!err)
        err = add_loopback_routes(s);
    if (!err)
        err = dump_routes(s, fd, batch, AF_INET);
    if (!err)
        err = dump_routes(s, fd, batch, AF_INET6);
    if (err == -ENOSPC) { /* a table of the whole Internet: it is not read to its end */
        s->maybe_v4 = s->maybe_v6 = true;
        err = 0;
    }
    return err;
}

static int survey_once(struct tapsi_survey *s, uint8_t *batch)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    /* Lets the kernel pick the main table and unicast routes; an old kernel sends all, which is sorted out here. */
    int one = 1;
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
    int err = dump_all(s, fd, batch);
    close(fd);
    return err;
}

int tapsi_netlink_survey(struct tapsi_survey *s)
{
    uint8_t *batch = tapsi_alloc(s->mem, BATCH_SIZE);
    if (!batch)
        return -ENOMEM;
    int err = 0;
    for (int i = 0; i < TRIES; i++) {
        tapsi_survey_reset(s);
        err = survey_once(s, batch);
        if (err || !s->interrupted)
            break;
    }
    tapsi_free(s->mem, batch);
    return err;
}

/* ---------------------------------------------------------------------------------------------- notifier */

int tapsi_netlink_notifier(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    /* One message says as much as a thousand, so the kernel need not keep more. */
    int room = NOTIFY_ROOM;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    struct sockaddr_nl name = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
    };
    if (bind(fd, (struct sockaddr *)(void *)&name, sizeof(name))) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

bool tapsi_netlink_changed(int fd)
{
    uint8_t message[64]; /* what it says does not matter */
    for (int i = 0; i < DRAIN_MAX; i++) {
        if (recv(fd, message, sizeof(message), MSG_DONTWAIT) < 0 && errno == EAGAIN)
            return i > 0;
    }
    return true;
}
