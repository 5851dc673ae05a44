#include "stack/port/socket.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

#define HEADER_UDP  8
#define HEADER_IPV4 20
#define HEADER_IPV6 40
#define IPV6_LEAST  1280      /* every IPv6 path takes so much */
#define LARGE_IN    (4 << 20) /* buffers of what moves much; the system may allow less */
#define LARGE_OUT   (1 << 20)

static struct tapsi_platform *platform_of(const struct tapsi_udpsocket *s)
{
    return s->loop->platform;
}

/* ----------------------------------------------------------------------------------------- open and options */

int tapsi_udpsocket_set(struct tapsi_udpsocket *s, int level, int option, int value)
{
    struct tapsi_platform *p = platform_of(s);
    return p->ops->setsockopt(p, s->fd, level, option, &value, sizeof(value));
}

/* An option of both families: a dual socket needs it twice. The first failure counts. */
static int set_both(struct tapsi_udpsocket *s, int option_v4, int option_v6, int value)
{
    int err = 0;
    if (s->family == AF_INET6)
        err = tapsi_udpsocket_set(s, IPPROTO_IPV6, option_v6, value);
    if (s->family == AF_INET || (s->dual && err == 0))
        err = tapsi_udpsocket_set(s, IPPROTO_IP, option_v4, value);
    return err;
}

int tapsi_udpsocket_open(struct tapsi_udpsocket *s, struct tapsi_loop *loop, int family, bool soft_errors)
{
    struct tapsi_platform *p = loop->platform;
    int fd = p->ops->socket(p, family, SOCK_DGRAM, IPPROTO_UDP);
    if (fd < 0)
        return fd;
    *s = (struct tapsi_udpsocket){
        .loop = loop, .fd = fd, .family = family, .watch = {.fd = -1}, .discovery = IP_PMTUDISC_WANT};
    if (soft_errors)
        tapsi_udpsocket_ask_errors(s);
    return 0;
}

void tapsi_udpsocket_ask_errors(struct tapsi_udpsocket *s)
{
    s->tells_ecn = s->tells_ecn || set_both(s, IP_RECVTOS, IPV6_RECVTCLASS, 1) == 0;
    s->recverr = s->recverr || set_both(s, IP_RECVERR, IPV6_RECVERR, 1) == 0;
}

/* A kernel that does not know UDP_SEGMENT would ignore it in a control message, and send one large datagram. */
void tapsi_udpsocket_use_trains(struct tapsi_udpsocket *s)
{
    if (s->trains_in || s->trains_out)
        return;
    s->trains_in = tapsi_udpsocket_set(s, IPPROTO_UDP, UDP_GRO, 1) == 0;
    s->trains_out = tapsi_udpsocket_set(s, IPPROTO_UDP, UDP_SEGMENT, 0) == 0;
    tapsi_udpsocket_set(s, SOL_SOCKET, SO_RCVBUF, LARGE_IN);
    tapsi_udpsocket_set(s, SOL_SOCKET, SO_SNDBUF, LARGE_OUT);
}

void tapsi_udpsocket_ask_path(struct tapsi_udpsocket *s)
{
    if (s->family == AF_INET6)
        s->tells_path = tapsi_udpsocket_set(s, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) == 0;
    else
        s->tells_path = tapsi_udpsocket_set(s, IPPROTO_IP, IP_PKTINFO, 1) == 0;
}

int tapsi_udpsocket_prefer_source(struct tapsi_udpsocket *s, const struct tapsi_properties *properties, bool choose)
{
    enum taps_preference preference = tapsi_preference(properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS);
    if (!choose && !tapsi_properties_is_set(properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS))
        return 0;
    if (s->family != AF_INET6 || preference == TAPS_NO_PREFERENCE)
        return 0;
    int err = tapsi_udpsocket_set(s, IPPROTO_IPV6, 72 /* IPV6_ADDR_PREFERENCES */,
                                  preference > TAPS_NO_PREFERENCE ? 1 /* TMP */ : 2 /* PUBLIC */);
    bool must = preference == TAPS_REQUIRE || preference == TAPS_PROHIBIT;
    return must && choose && err < 0 ? err : 0;
}

void tapsi_udpsocket_become_dual(struct tapsi_udpsocket *s)
{
    s->dual = true;
    if (s->tells_ecn)
        tapsi_udpsocket_set(s, IPPROTO_IP, IP_RECVTOS, 1);
    if (s->recverr)
        tapsi_udpsocket_set(s, IPPROTO_IP, IP_RECVERR, 1);
}

int tapsi_udpsocket_bind(struct tapsi_udpsocket *s, const char *interface, const union tapsi_addr *local)
{
    struct tapsi_platform *p = platform_of(s);
    if (interface && interface[0]) {
        int err = p->ops->setsockopt(p, s->fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface));
        if (err < 0)
            return err;
    }
    return local ? p->ops->bind(p, s->fd, local) : 0;
}

static int watch_for(struct tapsi_udpsocket *s)
{
    struct tapsi_platform *p = platform_of(s);
    unsigned io = (s->deaf ? 0u : (unsigned)TAPSI_IO_IN) | (s->blocked ? (unsigned)TAPSI_IO_OUT : 0u);
    return p->ops->watch_level(p, s->fd, &s->watch, io);
}

int tapsi_udpsocket_watch(struct tapsi_udpsocket *s, void (*ready)(struct tapsi_watch *, unsigned))
{
    struct tapsi_platform *p = platform_of(s);
    s->watch.ready = ready;
    s->level = p->ops->watch_level != NULL;
    int err = s->level ? watch_for(s) : p->ops->watch(p, s->fd, &s->watch);
    if (err < 0)
        s->watch.fd = -1;
    return err;
}

int tapsi_udpsocket_take_error(struct tapsi_udpsocket *s)
{
    struct tapsi_platform *p = platform_of(s);
    int err = 0;
    socklen_t length = sizeof(err);
    return p->ops->getsockopt(p, s->fd, SOL_SOCKET, SO_ERROR, &err, &length) < 0 ? 0 : err;
}

void tapsi_udpsocket_listen_in(struct tapsi_udpsocket *s, bool on)
{
    if (!s->level || s->deaf == !on || s->watch.fd < 0)
        return;
    s->deaf = !on;
    watch_for(s);
}

void tapsi_udpsocket_set_blocked(struct tapsi_udpsocket *s, bool blocked)
{
    if (s->blocked == blocked)
        return;
    s->blocked = blocked;
    if (s->level && s->watch.fd >= 0)
        watch_for(s);
}

bool tapsi_udpsocket_event(struct tapsi_udpsocket *s, unsigned io)
{
    if (io & TAPSI_IO_OUT)
        tapsi_udpsocket_set_blocked(s, false);
    if (!(io & (TAPSI_IO_IN | TAPSI_IO_ERROR)))
        return false;
    s->readable = true;
    return true;
}

void tapsi_udpsocket_close(struct tapsi_udpsocket *s)
{
    if (s->fd < 0)
        return;
    struct tapsi_platform *p = platform_of(s);
    if (s->watch.fd != -1)
        p->ops->unwatch(p, &s->watch);
    p->ops->close(p, s->fd);
    s->fd = -1;
}

int tapsi_udp_tos(int capacity_profile)
{
    return tapsi_capacity_dscp(capacity_profile) << 2;
}

int tapsi_udpsocket_set_tos(struct tapsi_udpsocket *s, int tos)
{
    if (tos == s->tos)
        return 0;
    int err = set_both(s, IP_TOS, IPV6_TCLASS, tos);
    if (err == 0)
        s->tos = tos;
    return err;
}

int tapsi_udpsocket_set_discovery(struct tapsi_udpsocket *s, int discovery)
{
    _Static_assert(IP_PMTUDISC_DO == IPV6_PMTUDISC_DO && IP_PMTUDISC_WANT == IPV6_PMTUDISC_WANT &&
                       IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE,
                   "one value for both");
    if (discovery == s->discovery)
        return 0;
    int err = set_both(s, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, discovery);
    if (err == 0)
        s->discovery = discovery;
    return err;
}

/* ------------------------------------------------------------------------------------------------------ errors */

bool tapsi_udp_is_soft(int err)
{
    switch (-err) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case ENOPROTOOPT: /* ICMP: protocol unreachable */
    case EPROTO:      /* ICMP: parameter problem */
    case EOPNOTSUPP:  /* ICMP: source route failed */
    case EACCES:      /* ICMPv6: prohibited */
        return true;
    default:
        return false;
    }
}

void tapsi_udp_soft_error(struct tapsi_layer *layer, int err, const union tapsi_addr *to)
{
    struct tapsi_error error;
    char text[TAPSI_ADDR_TEXT];
    tapsi_error_native(&error, tapsi_err_from_errno(err), TAPS_DOMAIN_ERRNO, err, "the network reported about %s: %s",
                       tapsi_addr_text(to, text), strerror(err));
    tapsi_layer_event(layer, TAPSI_EVENT_SOFT_ERROR, &error);
}

void tapsi_udpsocket_errors(struct tapsi_udpsocket *s, void (*report)(void *arg, const union tapsi_addr *to, int err),
                            void *arg)
{
    struct tapsi_platform *p = platform_of(s);
    for (int i = 0; i < TAPSI_UDP_TURN && s->fd >= 0; i++) {
        char control[256] __attribute__((aligned(8)));
        union tapsi_addr to = {0};
        struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof(to)};
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        if (p->ops->recvmsg(p, s->fd, &m, MSG_ERRQUEUE) < 0)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
            struct sock_extended_err e;
            bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
            bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
            if (!(v4 || v6) || c->cmsg_len < CMSG_LEN(sizeof(e)))
                continue;
            memcpy(&e, CMSG_DATA(c), sizeof(e));
            tapsi_addr_unmap(&to);
            if (e.ee_errno)
                report(arg, &to, (int)e.ee_errno);
            break;
        }
    }
}

static int connect_for_mtu(struct tapsi_platform *p, int fd, const union tapsi_addr *local,
                           const union tapsi_addr *remote)
{
    union tapsi_addr from = *local;
    tapsi_addr_set_port(&from, 0);
    int err = from.sa.sa_family ? p->ops->bind(p, fd, &from) : 0;
    return err < 0 ? err : p->ops->connect(p, fd, remote);
}

int tapsi_udp_known_mtu(struct tapsi_platform *p, int fd, int family)
{
    int mtu = 0;
    socklen_t length = sizeof(mtu);
    int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, option = family == AF_INET6 ? IPV6_MTU : IP_MTU;
    return p->ops->getsockopt(p, fd, level, option, &mtu, &length) < 0 || mtu < 0 ? 0 : mtu;
}

unsigned tapsi_udp_path_mtu(struct tapsi_loop *loop, const union tapsi_addr *local, const union tapsi_addr *remote)
{
    struct tapsi_platform *p = loop->platform;
    int family = remote->sa.sa_family, mtu = 0;
    int fd = p->ops->socket(p, family, SOCK_DGRAM, IPPROTO_UDP);
    if (fd < 0)
        return 0;
    if (connect_for_mtu(p, fd, local, remote) >= 0)
        mtu = tapsi_udp_known_mtu(p, fd, family);
    p->ops->close(p, fd);
    return (unsigned)mtu;
}

bool tapsi_udp_take_mtu(struct tapsi_layer *layer, unsigned mtu, int family)
{
    unsigned headers = HEADER_UDP + (family == AF_INET6 ? HEADER_IPV6 : HEADER_IPV4);
    uint32_t payload = mtu > headers ? mtu - headers : IPV6_LEAST - headers;
    layer->max_message = family == AF_INET6 ? TAPSI_UDP_MAX_IPV6 : TAPSI_UDP_MAX_IPV4;
    if (payload > layer->max_message)
        payload = layer->max_message;
    bool news = payload != layer->mtu;
    layer->mtu = payload;
    return news;
}

int tapsi_udp_get(const struct tapsi_layer *layer, int what, int profile, union tapsi_got *ret)
{
    struct taps_value *value = &ret->value;
    switch (what) {
    case TAPS_CONN_CAPACITY_PROFILE:
        *value = (struct taps_value){.type = TAPS_TYPE_ENUMERATION, .enumeration = profile};
        return TAPSI_HANDLED;
    case TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN:
        *value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = layer->mtu};
        return TAPSI_HANDLED;
    case TAPS_SEND_MSG_MAX_LEN:
    case TAPS_RECV_MSG_MAX_LEN:
        *value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = layer->max_message};
        return TAPSI_HANDLED;
    case TAPSI_GET_UNSENT:
        *value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = layer->queued};
        return TAPSI_HANDLED;
    default:
        return TAPSI_PASS;
    }
}

void tapsi_udp_statistics(const struct tapsi_layer *layer, const struct tapsi_udpcounts *counts, int family,
                          uint64_t *values)
{
    values[TAPS_MESSAGES_SENT] = counts->sent;
    values[TAPS_BYTES_SENT] = counts->bytes_sent;
    values[TAPS_MESSAGES_RECEIVED] = counts->received;
    values[TAPS_BYTES_RECEIVED] = counts->bytes_received;
    values[TAPS_PATH_MTU] = layer->mtu + HEADER_UDP + (family == AF_INET6 ? HEADER_IPV6 : HEADER_IPV4);
}
