#include "establish/ways.h"

static bool any_eligible_reaches(const struct tapsi_plan *plan, const union tapsi_addr *address)
{
    for (size_t i = 0; i < plan->paths_eligible; i++) {
        if (tapsi_path_reaches(plan->network, &plan->network->interfaces[plan->path_order[i]], address))
            return true;
    }
    return false;
}

bool tapsi_plan_reaches(const struct tapsi_plan *plan, const struct tapsi_interface *interface,
                        const union tapsi_addr *address)
{
    if (tapsi_path_reaches(plan->network, interface, address))
        return true;
    if (interface->type == TAPSI_IF_LOOPBACK || tapsi_addr_is_link_local(address) ||
        interface != &plan->network->interfaces[plan->path_order[0]])
        return false;
    struct tapsi_destination probe = {.address = *address};
    return !tapsi_path_system_choice(plan->network, address) && !any_eligible_reaches(plan, address) &&
           tapsi_path_source(interface, false, &probe);
}

/* Routes may change while an attempt is under way or a Connection is in use, and lead it to what was ruled out. */
static bool rules_out_paths(const struct tapsi_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->entries[i].preference == TAPS_REQUIRE || set->entries[i].preference == TAPS_PROHIBIT)
            return true;
    }
    return false;
}

bool tapsi_plan_binds(const struct tapsi_plan *plan, const struct tapsi_properties *properties,
                      const struct tapsi_interface *interface, bool asked, const union tapsi_addr *address)
{
    if (interface->type == TAPSI_IF_LOOPBACK)
        return false;
    if (asked || rules_out_paths(&properties->interfaces) || rules_out_paths(&properties->pvds) ||
        tapsi_preference(properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS) == TAPS_REQUIRE)
        return true;
    const struct tapsi_interface *choice = tapsi_path_system_choice(plan->network, address);
    return choice && choice != interface;
}
