/* Control messages of datagrams, with Linux's numbers and sizes (IP_TOS comes as one byte, IPV6_TCLASS as an int). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include "platform/sim/socket.h"

#define HOPS 64

static int own_source(const struct tapsi_simsock *s, int family, const void *bytes, struct tapsi_simcontrol *ret)
{
    union tapsi_addr source;
    tapsi_addr_from_bytes(&source, family, bytes);
    if (tapsi_addr_is_any(&source))
        return 0;
    struct tapsi_sim_interface *owner = tapsi_simhost_owner(s->host, &source);
    if (!owner)
        return -EINVAL;
    if (family == AF_INET6 && tapsi_addr_is_link_local(&source))
        source.in6.sin6_scope_id = owner->index;
    ret->source = source;
    return 0;
}

static int parse_pktinfo6(const struct tapsi_simsock *s, const struct in6_pktinfo *info, struct tapsi_simcontrol *ret)
{
    ret->index = info->ipi6_ifindex;
    if (IN6_IS_ADDR_V4MAPPED(&info->ipi6_addr))
        return own_source(s, AF_INET, &info->ipi6_addr.s6_addr[12], ret);
    return own_source(s, AF_INET6, &info->ipi6_addr, ret);
}

static int parse_one(const struct tapsi_simsock *s, const struct cmsghdr *c, struct tapsi_simcontrol *ret)
{
    size_t length = c->cmsg_len - CMSG_LEN(0);
    struct in_pktinfo info4;
    struct in6_pktinfo info6;
    int number = 0;
    uint16_t segment;
    bool four = c->cmsg_level == IPPROTO_IP, six = c->cmsg_level == IPPROTO_IPV6;
    if (four && c->cmsg_type == IP_PKTINFO && length >= sizeof info4) {
        memcpy(&info4, CMSG_DATA(c), sizeof info4);
        ret->index = (unsigned)info4.ipi_ifindex;
        return own_source(s, AF_INET, &info4.ipi_spec_dst, ret);
    }
    if (six && s->family == AF_INET6 && c->cmsg_type == IPV6_PKTINFO && length >= sizeof info6) {
        memcpy(&info6, CMSG_DATA(c), sizeof info6);
        return parse_pktinfo6(s, &info6, ret);
    }
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT && length == sizeof segment) {
        memcpy(&segment, CMSG_DATA(c), sizeof segment);
        ret->segment = s->host->no_trains ? 0 : segment;
        return 0;
    }
    bool tos = (four && c->cmsg_type == IP_TOS) || (six && c->cmsg_type == IPV6_TCLASS);
    bool hops = (four && c->cmsg_type == IP_TTL) || (six && c->cmsg_type == IPV6_HOPLIMIT);
    if (!tos && !hops)
        return -EINVAL;
    if (length >= sizeof number)
        memcpy(&number, CMSG_DATA(c), sizeof number);
    else if (four && length >= 1)
        number = *CMSG_DATA(c);
    else
        return -EINVAL;
    if (number < -1 || number > 255)
        return -EINVAL;
    if (tos)
        ret->tos = number;
    return 0;
}

int tapsi_simcontrol_parse(const struct tapsi_simsock *s, const struct msghdr *message, struct tapsi_simcontrol *ret)
{
    *ret = (struct tapsi_simcontrol){.tos = -1, .segment = (size_t)tapsi_simsock_option(s, IPPROTO_UDP, UDP_SEGMENT)};
    /* CMSG_NXTHDR wants a message it could write to. */
    struct msghdr walk = *message;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&walk); c; c = CMSG_NXTHDR(&walk, c)) {
        size_t left = (size_t)((char *)walk.msg_control + walk.msg_controllen - (char *)c);
        if (c->cmsg_len < sizeof *c || c->cmsg_len > left)
            return -EINVAL;
        int r = parse_one(s, c, ret);
        if (r < 0)
            return r;
    }
    return 0;
}

void tapsi_simcontrol_add(struct msghdr *message, size_t *used, int level, int type, const void *data, size_t length)
{
    if (!message->msg_control || *used + CMSG_SPACE(length) > message->msg_controllen) {
        message->msg_flags |= MSG_CTRUNC;
        return;
    }
    struct cmsghdr *c = (struct cmsghdr *)(void *)((char *)message->msg_control + *used);
    memset(c, 0, CMSG_SPACE(length));
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(c), data, length);
    *used += CMSG_SPACE(length);
}

static void describe_pktinfo(const struct tapsi_simsock *s, struct msghdr *message, size_t *used,
                             const union tapsi_addr *to, unsigned index)
{
    bool four = to->sa.sa_family == AF_INET;
    if (four && tapsi_simsock_option(s, IPPROTO_IP, IP_PKTINFO)) {
        struct in_pktinfo info = {(int)index, to->in.sin_addr, to->in.sin_addr};
        tapsi_simcontrol_add(message, used, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    }
    if (tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_RECVPKTINFO)) {
        union tapsi_addr shown;
        tapsi_simsock_outside(s, to, &shown);
        struct in6_pktinfo info = {shown.in6.sin6_addr, index};
        tapsi_simcontrol_add(message, used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}

void tapsi_simcontrol_describe(const struct tapsi_simsock *s, struct msghdr *message, size_t *used,
                               const union tapsi_addr *to, unsigned index, int tos)
{
    int hops = HOPS;
    uint8_t byte = (uint8_t)tos;
    describe_pktinfo(s, message, used, to, index);
    if (to->sa.sa_family == AF_INET) {
        if (tapsi_simsock_option(s, IPPROTO_IP, IP_RECVTTL))
            tapsi_simcontrol_add(message, used, IPPROTO_IP, IP_TTL, &hops, sizeof hops);
        if (tapsi_simsock_option(s, IPPROTO_IP, IP_RECVTOS))
            tapsi_simcontrol_add(message, used, IPPROTO_IP, IP_TOS, &byte, sizeof byte);
        return;
    }
    if (tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT))
        tapsi_simcontrol_add(message, used, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof hops);
    if (tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_RECVTCLASS))
        tapsi_simcontrol_add(message, used, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
}
