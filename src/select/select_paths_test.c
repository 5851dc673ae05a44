#include "base/str.h"
#include "base/test.h"
#include "select/select.h"

enum { LO, ETH0, WLAN0, WLAN1, DOWN, BARE, PATHS };

static const struct tapsi_path_offer machine[PATHS] = {
    [LO] = {"lo", "loopback", "lo", true, true, false, NULL, false, 9},
    [ETH0] = {"eth0", "ethernet", "eth0", true, true, false, NULL, false, 0},
    [WLAN0] = {"wlan0", "wifi", "wlan0", true, true, true, NULL, false, 1},
    [WLAN1] = {"wlan1", "wifi", "home", true, true, false, NULL, false, 1},
    [DOWN] = {"eth1", "ethernet", "eth1", false, true, false, NULL, false, 0},
    [BARE] = {"eth2", "ethernet", "eth2", true, false, false, NULL, false, 0},
};

static struct tapsi_verdict verdicts[PATHS];

/* The paths in their order, after setting "name=value;name=value". */
static const char *ordered(const struct tapsi_path_offer *paths, const char *text)
{
    static char result[128];
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    unsigned order[PATHS];
    char copy[256];
    size_t length = 0;
    tapsi_format(copy, sizeof(copy), "%s", text);
    for (char *rest = copy, *item; (item = strsep(&rest, ";"));) {
        char *value = strchr(item, '=');
        if (!value)
            continue;
        *value++ = '\0';
        if (tapsi_properties_set_text(p, tapsi_property_find(item), value))
            tapsi_test_fail(__FILE__, __LINE__, "%s is not set", item);
    }
    size_t eligible = tapsi_select_paths(paths, PATHS, p, verdicts, order);
    result[0] = '\0';
    for (size_t i = 0; i < eligible; i++)
        length +=
            tapsi_format(result + length, sizeof(result) - length, "%s%s", i ? " " : "", paths[order[i]].interface);
    tapsi_properties_unref(p);
    return result;
}

/* proves API-020, ARCH-13 */
TEST(by_default_the_order_is_the_systems)
{
    CHECK_TEXT(ordered(machine, ""), "eth0 wlan0 wlan1 lo");
    CHECK_TEXT(verdicts[DOWN].reason, "eth1 is down");
    CHECK_TEXT(verdicts[BARE].reason, "eth2 has no usable address");
    CHECK_TEXT(verdicts[ETH0].reason, "meets 0 of 1 preferences");
    CHECK_TEXT(verdicts[WLAN0].reason, "meets 1 of 1 preferences");
}

/* proves API-040 */
TEST(interfaces_are_required_and_prohibited_by_name_and_type)
{
    CHECK_TEXT(ordered(machine, "interface=require wlan0"), "wlan0");
    CHECK_TEXT(ordered(machine, "interface=require wifi"), "wlan0 wlan1");
    CHECK_TEXT(ordered(machine, "interface=require wifi, require wlan1"), "wlan1");
    CHECK_TEXT(ordered(machine, "interface=prohibit wifi"), "eth0 lo");
    CHECK_TEXT(verdicts[WLAN0].reason, "interface wifi is prohibited, and this path is wlan0");
    CHECK_INT(verdicts[WLAN0].property, TAPS_INTERFACE);
    CHECK_TEXT(ordered(machine, "interface=require wifi, prohibit wlan0"), "wlan1");
    CHECK_TEXT(verdicts[ETH0].reason, "interface wifi is required, and this path is eth0");
    CHECK_TEXT(ordered(machine, "interface=require WIFI"), "wlan0 wlan1");
}

TEST(what_is_not_there_leaves_nothing)
{
    CHECK_TEXT(ordered(machine, "interface=require tun0"), "");
    CHECK_TEXT(ordered(machine, "interface=require cellular"), "");
    CHECK_TEXT(ordered(machine, "interface=require wlan0, require eth0"), "");
    CHECK_TEXT(ordered(machine, "interface=require WLAN0"), "");
    CHECK_TEXT(ordered(machine, "pvd=require WLAN0"), "");
    CHECK_TEXT(ordered(machine, "interface=prohibit cellular, prohibit tun0"), "eth0 wlan0 wlan1 lo");
}

/* proves IMPL-05 (paths) */
TEST(preferred_paths_go_first_and_avoided_ones_last)
{
    CHECK_TEXT(ordered(machine, "interface=prefer wifi"), "wlan0 wlan1 eth0 lo");
    CHECK_TEXT(ordered(machine, "interface=prefer wifi, prefer wlan1"), "wlan1 wlan0 eth0 lo");
    CHECK_TEXT(ordered(machine, "interface=avoid eth0"), "wlan0 wlan1 eth0 lo");
    CHECK_TEXT(verdicts[ETH0].reason, "meets 0 of 1 preferences, is to be avoided");
    CHECK_TEXT(ordered(machine, "interface=avoid eth0;useTemporaryLocalAddress=no preference"), "wlan0 wlan1 eth0 lo");
    CHECK_TEXT(verdicts[ETH0].reason, "meets every requirement, is to be avoided");
    CHECK_TEXT(ordered(machine, "interface=prefer loopback, avoid wlan0"), "lo eth0 wlan1 wlan0");
}

/* proves API-041 */
TEST(provisioning_domains_are_chosen_by_name)
{
    CHECK_TEXT(ordered(machine, "pvd=require home"), "wlan1");
    CHECK_TEXT(verdicts[ETH0].reason, "pvd home is required, and this path is eth0");
    CHECK_TEXT(ordered(machine, "pvd=prefer home"), "wlan1 eth0 wlan0 lo");
    CHECK_TEXT(ordered(machine, "pvd=prohibit eth0"), "wlan0 wlan1 lo");
    CHECK_TEXT(ordered(machine, "pvd=require wlan1"), "");
    CHECK_TEXT(ordered(machine, "pvd=require home;interface=require eth0"), "");
}

/* proves API-042 */
TEST(temporary_addresses_are_a_path_property)
{
    struct tapsi_path_offer listening[PATHS];
    CHECK_TEXT(ordered(machine, "useTemporaryLocalAddress=require"), "wlan0");
    CHECK_TEXT(verdicts[ETH0].reason, "useTemporaryLocalAddress is required, and eth0 has no such address");
    CHECK_TEXT(ordered(machine, "useTemporaryLocalAddress=prefer"), "wlan0 eth0 wlan1 lo");
    CHECK_TEXT(ordered(machine, "useTemporaryLocalAddress=prohibit"), "eth0 wlan0 wlan1 lo");
    CHECK_TEXT(ordered(machine, "useTemporaryLocalAddress=avoid"), "eth0 wlan0 wlan1 lo");
    for (int i = 0; i < PATHS; i++) {
        listening[i] = machine[i];
        listening[i].passive = true;
    }
    CHECK_TEXT(ordered(listening, ""), "eth0 wlan0 wlan1 lo");
    CHECK_TEXT(verdicts[WLAN0].reason, "meets every requirement");
}

/* proves API-015 (the local side) */
TEST(a_bound_local_endpoint_leaves_its_interface_only)
{
    struct tapsi_path_offer bound[PATHS];
    for (int i = 0; i < PATHS; i++) {
        bound[i] = machine[i];
        bound[i].bound_interface = "wlan1";
    }
    CHECK_TEXT(ordered(bound, "interface=prefer eth0"), "wlan1");
    CHECK_TEXT(verdicts[ETH0].reason, "the Local Endpoint is bound to wlan1");
    CHECK_TEXT(ordered(bound, "interface=prohibit wifi"), "");
}

/* Equal paths keep the order of the input. */
TEST(the_order_is_stable)
{
    struct tapsi_path_offer same[PATHS];
    char names[PATHS][4];
    for (int i = 0; i < PATHS; i++) {
        same[i] = machine[ETH0];
        tapsi_format(names[i], sizeof(names[i]), "e%d", i);
        same[i].interface = names[i];
    }
    CHECK_TEXT(ordered(same, ""), "e0 e1 e2 e3 e4 e5");
    same[4].has_temporary_address = true;
    CHECK_TEXT(ordered(same, ""), "e4 e0 e1 e2 e3 e5");
}

TEST(no_paths_are_no_error)
{
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    unsigned order[1];
    NEED(p);
    CHECK_INT(tapsi_select_paths(machine, 0, p, verdicts, order), 0);
    struct tapsi_path_offer unnamed = {.interface = "x", .up = true, .has_addresses = true};
    tapsi_select_path(&unnamed, p, verdicts);
    CHECK(verdicts[0].eligible);
    tapsi_properties_unref(p);
}
