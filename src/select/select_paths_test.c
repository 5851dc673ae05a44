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

/* ---------------------------------------------------------------------------- against a slow and obvious reference */

#define RANDOM_PATHS 6

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state % n);
}

static const char *const names[] = {"eth0", "eth1", "wlan0", "wlan1", "wwan0", "lo"};
static const char *const types[] = {"ethernet", "wifi", "cellular", "loopback"};

static void random_paths(struct tapsi_path_offer *paths)
{
    for (unsigned i = 0; i < RANDOM_PATHS; i++)
        paths[i] = (struct tapsi_path_offer){.interface = names[i],
                                             .type = types[random_below(4)],
                                             .pvd = random_below(5) ? names[i] : "home",
                                             .up = random_below(8) > 0,
                                             .has_addresses = random_below(8) > 0,
                                             .has_temporary_address = random_below(2),
                                             .bound_interface = random_below(10) ? NULL : names[random_below(6)],
                                             .passive = random_below(3) == 0,
                                             .system_order = random_below(4)};
}

static void random_wishes(struct tapsi_properties *p)
{
    static const char *const wishes[] = {"prefer", "prefer", "avoid", "avoid", "prohibit", "require"};
    static const char *const temporary[] = {"require", "prefer", "no preference", "avoid", "prohibit"};
    for (unsigned i = random_below(5); i > 0; i--) {
        bool pvd = random_below(4) == 0;
        const char *what = pvd && random_below(2)   ? "home"
                           : pvd || random_below(2) ? names[random_below(6)]
                                                    : types[random_below(4)];
        char text[64];
        tapsi_format(text, sizeof(text), "%s %s", wishes[random_below(random_below(3) ? 4 : 6)], what);
        CHECK_INT(tapsi_properties_set_text(p, pvd ? TAPS_PVD : TAPS_INTERFACE, text), 0);
    }
    if (random_below(3) == 0)
        CHECK_INT(tapsi_properties_set_text(p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS, temporary[random_below(5)]), 0);
}

/* Entries of this preference that are (or are not) about the path. */
static int entries(const struct tapsi_set *set, const struct tapsi_path_offer *path, bool pvd,
                   enum taps_preference preference, bool about_it)
{
    int count = 0;
    for (size_t i = 0; i < set->count; i++) {
        const char *text = set->entries[i].text;
        bool about =
            pvd ? strcmp(text, path->pvd) == 0 : strcmp(text, path->interface) == 0 || strcmp(text, path->type) == 0;
        count += set->entries[i].preference == preference && about == about_it;
    }
    return count;
}

static int all_entries(const struct tapsi_properties *p, const struct tapsi_path_offer *path,
                       enum taps_preference preference, bool about_it)
{
    return entries(&p->interfaces, path, false, preference, about_it) +
           entries(&p->pvds, path, true, preference, about_it);
}

/* RFC 9622, 6.2.13: Prefer for Initiate, Avoid for Listen, unless it was set. */
static enum taps_preference wanted_temporary(const struct tapsi_properties *p, const struct tapsi_path_offer *path,
                                             bool *ret_set)
{
    *ret_set = p->set & (uint64_t)1 << TAPS_USE_TEMPORARY_LOCAL_ADDRESS;
    if (*ret_set)
        return p->values[TAPS_USE_TEMPORARY_LOCAL_ADDRESS].preference;
    return path->passive ? TAPS_AVOID : TAPS_PREFER;
}

static bool reference_eligible(const struct tapsi_path_offer *path, const struct tapsi_properties *p)
{
    bool set;
    if (!path->up || !path->has_addresses)
        return false;
    if (path->bound_interface && strcmp(path->bound_interface, path->interface) != 0)
        return false;
    if (all_entries(p, path, TAPS_PROHIBIT, true) || all_entries(p, path, TAPS_REQUIRE, false))
        return false;
    return wanted_temporary(p, path, &set) != TAPS_REQUIRE || path->has_temporary_address;
}

/* Is path `a` better than path `b`? Said as docs/design/005 says it. */
static bool reference_better(const struct tapsi_path_offer *paths, unsigned a, unsigned b,
                             const struct tapsi_properties *p)
{
    int met[2], hit[2], by_default[2];
    bool loopback[2];
    const unsigned places[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        const struct tapsi_path_offer *path = &paths[places[i]];
        bool set;
        bool temporary = wanted_temporary(p, path, &set) == TAPS_PREFER && path->has_temporary_address;
        met[i] = all_entries(p, path, TAPS_PREFER, true) + (temporary && set);
        hit[i] = all_entries(p, path, TAPS_AVOID, true);
        by_default[i] = temporary && !set;
        loopback[i] = strcmp(path->type, "loopback") == 0;
    }
    if (met[0] != met[1])
        return met[0] > met[1];
    if (loopback[0] != loopback[1])
        return loopback[1];
    if (hit[0] != hit[1])
        return hit[0] < hit[1];
    if (paths[a].system_order != paths[b].system_order)
        return paths[a].system_order < paths[b].system_order;
    if (by_default[0] != by_default[1])
        return by_default[0] > by_default[1];
    return a < b;
}

/* proves API-020, API-040, API-041, API-042, ARCH-13, IMPL-05 */
TEST(random_wishes_rank_paths_as_the_reference_ranks_them)
{
    size_t ranked = 0, none = 0;
    random_state = 20250202;
    for (int round = 0; round < 20000; round++) {
        struct tapsi_path_offer paths[RANDOM_PATHS];
        struct tapsi_verdict v[RANDOM_PATHS];
        unsigned order[RANDOM_PATHS];
        size_t expected = 0;
        struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
        NEED(p);
        random_paths(paths);
        random_wishes(p);
        size_t eligible = tapsi_select_paths(paths, RANDOM_PATHS, p, v, order);
        for (unsigned i = 0; i < RANDOM_PATHS; i++) {
            CHECK_INT(v[i].eligible, reference_eligible(&paths[i], p));
            CHECK(v[i].reason[0] != '\0');
            expected += v[i].eligible;
            size_t better = 0; /* its place is how many eligible ones beat it */
            for (unsigned k = 0; v[i].eligible && k < RANDOM_PATHS; k++)
                better += k != i && v[k].eligible && reference_better(paths, k, i, p);
            if (v[i].eligible)
                CHECK_INT(order[better], i);
        }
        CHECK_INT(eligible, expected);
        ranked += eligible > 1;
        none += eligible == 0;
        tapsi_properties_unref(p);
        if (tapsi_test_failed())
            return;
    }
    CHECK(ranked > 2000);
    CHECK(none > 500);
}
