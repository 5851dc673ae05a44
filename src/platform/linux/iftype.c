#include <fcntl.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/str.h"
#include "platform/linux/survey.h"

#ifndef ARPHRD_RAWIP
#define ARPHRD_RAWIP 519
#endif

static const struct {
    const char *kind;
    enum tapsi_interface_type type;
} kinds[] = {
    {"tun", TAPSI_IF_VPN},   {"wireguard", TAPSI_IF_VPN}, {"ppp", TAPSI_IF_VPN},        {"xfrm", TAPSI_IF_VPN},
    {"vti", TAPSI_IF_VPN},   {"vti6", TAPSI_IF_VPN},      {"ovpn", TAPSI_IF_VPN},       {"ovpn-dco", TAPSI_IF_VPN},
    {"ipsec", TAPSI_IF_VPN}, {"wwan", TAPSI_IF_CELLULAR}, {"rmnet", TAPSI_IF_CELLULAR}, {"virt_wifi", TAPSI_IF_WIFI},
    {"wlan", TAPSI_IF_WIFI},
};

static const char *value_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? at + strlen(name) : "";
}

/*
 * What the driver says of a piece of hardware. sysfs shows the network namespace it was mounted in, which need not be
 * ours, so the entry counts only if name and index are both those of the interface asked about.
 */
static enum tapsi_interface_type ask_driver(const char *name, unsigned index, enum tapsi_interface_type otherwise)
{
    char path[64], text[1024], expected[32];
    if (strchr(name, '/') || name[0] == '.')
        return otherwise;
    tapsi_format(path, sizeof(path), "/sys/class/net/%s/uevent", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return otherwise;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length <= 0)
        return otherwise;
    text[length] = '\0';
    size_t n = tapsi_format(expected, sizeof(expected), "%u\n", index);
    if (strncmp(value_of(text, "IFINDEX="), expected, n) != 0)
        return otherwise;
    if (strncmp(value_of(text, "DEVTYPE="), "wlan\n", 5) == 0)
        return TAPSI_IF_WIFI;
    if (strncmp(value_of(text, "DEVTYPE="), "wwan\n", 5) == 0)
        return TAPSI_IF_CELLULAR;
    return otherwise;
}

enum tapsi_interface_type tapsi_iftype_of(const char *name, unsigned index, unsigned hardware, const char *kind)
{
    if (hardware == ARPHRD_LOOPBACK)
        return TAPSI_IF_LOOPBACK;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i].kind) == 0)
            return kinds[i].type;
    }
    switch (hardware) {
    case ARPHRD_ETHER:
        return kind[0] ? TAPSI_IF_ETHERNET : ask_driver(name, index, TAPSI_IF_ETHERNET);
    case ARPHRD_IEEE80211:
    case ARPHRD_IEEE80211_PRISM:
    case ARPHRD_IEEE80211_RADIOTAP:
        return TAPSI_IF_WIFI;
    case ARPHRD_RAWIP:
        return kind[0] ? TAPSI_IF_OTHER : TAPSI_IF_CELLULAR;
    case ARPHRD_PPP:
        return TAPSI_IF_VPN;
    default:
        return kind[0] ? TAPSI_IF_OTHER : ask_driver(name, index, TAPSI_IF_OTHER);
    }
}
