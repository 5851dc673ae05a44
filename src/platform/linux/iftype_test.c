#include <net/if_arp.h>
#include "base/test.h"
#include "platform/linux/survey.h"

#define NO_SUCH "taps-none"

TEST(hardware_and_kind_decide)
{
    static const struct {
        unsigned hardware;
        const char *kind;
        enum tapsi_interface_type type;
    } rows[] = {
        {ARPHRD_LOOPBACK, "", TAPSI_IF_LOOPBACK},  {ARPHRD_ETHER, "", TAPSI_IF_ETHERNET},
        {ARPHRD_ETHER, "veth", TAPSI_IF_ETHERNET}, {ARPHRD_ETHER, "bridge", TAPSI_IF_ETHERNET},
        {ARPHRD_ETHER, "vlan", TAPSI_IF_ETHERNET}, {ARPHRD_ETHER, "bond", TAPSI_IF_ETHERNET},
        {ARPHRD_ETHER, "tun", TAPSI_IF_VPN},       {ARPHRD_NONE, "tun", TAPSI_IF_VPN},
        {ARPHRD_NONE, "wireguard", TAPSI_IF_VPN},  {ARPHRD_PPP, "", TAPSI_IF_VPN},
        {ARPHRD_PPP, "ppp", TAPSI_IF_VPN},         {ARPHRD_NONE, "xfrm", TAPSI_IF_VPN},
        {ARPHRD_ETHER, "wwan", TAPSI_IF_CELLULAR}, {519, "", TAPSI_IF_CELLULAR},
        {ARPHRD_IEEE80211, "", TAPSI_IF_WIFI},     {ARPHRD_ETHER, "virt_wifi", TAPSI_IF_WIFI},
        {ARPHRD_SIT, "sit", TAPSI_IF_OTHER},       {ARPHRD_TUNNEL, "ipip", TAPSI_IF_OTHER},
        {ARPHRD_NONE, "", TAPSI_IF_OTHER},         {12345, "", TAPSI_IF_OTHER},
        {12345, "nonsense", TAPSI_IF_OTHER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum tapsi_interface_type type = tapsi_iftype_of(NO_SUCH, 99999, rows[i].hardware, rows[i].kind);
        if (type != rows[i].type)
            tapsi_test_fail(__FILE__, __LINE__, "hardware %u, kind \"%s\" is %d", rows[i].hardware, rows[i].kind, type);
    }
}

/* The name goes into a path below /sys. */
TEST(a_name_never_leads_elsewhere)
{
    CHECK_INT(tapsi_iftype_of("../lo", 1, ARPHRD_ETHER, ""), TAPSI_IF_ETHERNET);
    CHECK_INT(tapsi_iftype_of("..", 1, ARPHRD_ETHER, ""), TAPSI_IF_ETHERNET);
    CHECK_INT(tapsi_iftype_of("", 1, ARPHRD_ETHER, ""), TAPSI_IF_ETHERNET);
    CHECK_INT(tapsi_iftype_of("lo", 99999, ARPHRD_ETHER, ""), TAPSI_IF_ETHERNET);
}
