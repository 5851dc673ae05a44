/*
 * The network without netlink, for sandboxes that allow no such socket: interfaces and IPv4 addresses by ioctl, IPv6
 * addresses from /proc. (getifaddrs is netlink too.) Routes are not looked for: any may be there.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/str.h"
#include "platform/linux/survey.h"

#define IPV4_MAX 256

#define IPV6_TENTATIVE  0x40
#define IPV6_DEPRECATED 0x20
#define IPV6_OPTIMISTIC 0x04
#define IPV6_DADFAILED  0x08
#define IPV6_TEMPORARY  0x01

static int ask(int fd, const char *name, unsigned long what, struct ifreq *ret)
{
    memset(ret, 0, sizeof(*ret));
    tapsi_format(ret->ifr_name, sizeof(ret->ifr_name), "%s", name);
    return ioctl(fd, what, ret) ? -errno : 0;
}

/* Returns the interface's index, or 0 when it is gone. */
static int add_link(struct tapsi_survey *s, int fd, const char *name, unsigned *ret_index)
{
    struct tapsi_interface link = {.type = TAPSI_IF_OTHER};
    struct ifreq r;
    *ret_index = 0;
    if (ask(fd, name, SIOCGIFINDEX, &r) || r.ifr_ifindex <= 0)
        return 0;
    link.index = (unsigned)r.ifr_ifindex;
    tapsi_format(link.name, sizeof(link.name), "%s", name);
    if (ask(fd, name, SIOCGIFFLAGS, &r) == 0)
        link.up = (r.ifr_flags & IFF_UP) && (r.ifr_flags & IFF_RUNNING);
    if (ask(fd, name, SIOCGIFMTU, &r) == 0 && r.ifr_mtu > 0)
        link.mtu = (unsigned)r.ifr_mtu;
    unsigned hardware = 0xffff;
    if (ask(fd, name, SIOCGIFHWADDR, &r) == 0)
        hardware = r.ifr_hwaddr.sa_family;
    link.type = tapsi_iftype_of(link.name, link.index, hardware, "");
    *ret_index = link.index;
    return tapsi_survey_add_link(s, &link);
}

static int add_address(struct tapsi_survey *s, unsigned index, const struct tapsi_local_address *address)
{
    int err = tapsi_survey_add_address(s, index, address);
    return err ? err : tapsi_survey_add_connected(s, index, address);
}

static int add_ipv4(struct tapsi_survey *s, int fd, const struct ifreq *entry)
{
    unsigned index;
    char name[IFNAMSIZ];
    struct sockaddr_in in;
    struct ifreq r;
    memcpy(&in, &entry->ifr_addr, sizeof(in));
    tapsi_format(name, sizeof(name), "%.15s", entry->ifr_name);
    char *alias = strchr(name, ':'); /* "eth0:1" labels an address, the interface is eth0 */
    struct tapsi_local_address address = {.prefix_bits = 32};
    if (in.sin_family != AF_INET)
        return 0;
    tapsi_addr_from_bytes(&address.address, AF_INET, &in.sin_addr);
    if (!alias && ask(fd, name, SIOCGIFNETMASK, &r) == 0) {
        memcpy(&in, &r.ifr_netmask, sizeof(in));
        address.prefix_bits = (unsigned)__builtin_popcount(in.sin_addr.s_addr);
    }
    if (alias)
        *alias = '\0';
    int err = add_link(s, fd, name, &index);
    if (err || !index)
        return err;
    return add_address(s, index, &address);
}

static int survey_ipv4(struct tapsi_survey *s, int fd)
{
    struct ifreq *entries = tapsi_calloc(s->mem, IPV4_MAX, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    struct ifconf list = {.ifc_len = IPV4_MAX * (int)sizeof(*entries), .ifc_req = entries};
    int err = ioctl(fd, SIOCGIFCONF, &list) ? -errno : 0;
    for (int i = 0; !err && i < list.ifc_len / (int)sizeof(*entries); i++)
        err = add_ipv4(s, fd, &entries[i]);
    tapsi_free(s->mem, entries);
    return err;
}

/* "fe80000000000000000000fffe000001 04 40 20 80     eth0": address, index, prefix, scope, flags, name; all hex. */
static int add_ipv6(struct tapsi_survey *s, int fd, const char *line)
{
    unsigned bytes[16], index, bits, scope, flags, known;
    char name[IFNAMSIZ];
    uint8_t host[16];
    for (int i = 0; i < 16; i++) {
        if (sscanf(line + 2 * i, "%2x", &bytes[i]) != 1)
            return 0;
        host[i] = (uint8_t)bytes[i];
    }
    if (sscanf(line + 32, "%x %x %x %x %15s", &index, &bits, &scope, &flags, name) != 5 || bits > 128)
        return 0;
    if ((flags & IPV6_DADFAILED) || ((flags & IPV6_TENTATIVE) && !(flags & IPV6_OPTIMISTIC)))
        return 0;
    struct tapsi_local_address address = {.prefix_bits = bits};
    tapsi_addr_from_bytes(&address.address, AF_INET6, host);
    if (tapsi_addr_is_link_local(&address.address))
        address.address.in6.sin6_scope_id = index;
    address.temporary = flags & IPV6_TEMPORARY;
    address.deprecated = flags & IPV6_DEPRECATED;
    int err = add_link(s, fd, name, &known);
    if (err || known != index)
        return err;
    return add_address(s, index, &address);
}

static int survey_ipv6(struct tapsi_survey *s, int fd)
{
    char line[128];
    FILE *list = fopen("/proc/net/if_inet6", "re");
    if (!list) /* no IPv6, or no /proc: then there is none to be known of */
        return 0;
    int err = 0;
    while (!err && fgets(line, sizeof(line), list)) {
        if (strlen(line) > 34)
            err = add_ipv6(s, fd, line);
    }
    fclose(list);
    return err;
}

int tapsi_classic_survey(struct tapsi_survey *s)
{
    tapsi_survey_reset(s);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 && errno == EAFNOSUPPORT)
        fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    s->maybe_v4 = s->maybe_v6 = true;
    int err = survey_ipv4(s, fd);
    if (!err)
        err = survey_ipv6(s, fd);
    close(fd);
    return err == -ENOSPC ? 0 : err;
}
