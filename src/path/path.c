#include "path/path.h"

#include <stdlib.h>
#include <string.h>

#define NO_DEFAULT_ROUTE (1u << 28)
#define LOOPBACK_ORDER   (1u << 30)

const char *tapsi_interface_type_name(enum tapsi_interface_type type)
{
    switch (type) {
    case TAPSI_IF_LOOPBACK:
        return "loopback";
    case TAPSI_IF_ETHERNET:
        return "ethernet";
    case TAPSI_IF_WIFI:
        return "wifi";
    case TAPSI_IF_CELLULAR:
        return "cellular";
    case TAPSI_IF_VPN:
        return "vpn";
    case TAPSI_IF_OTHER:
        break;
    }
    return "other";
}

const struct tapsi_interface *tapsi_path_find(const struct tapsi_network *network, const char *interface)
{
    uint64_t index = 0;
    bool numeric = tapsi_parse_uint(interface, UINT32_MAX, &index) == 0;
    for (size_t i = 0; i < network->interface_count; i++) {
        const struct tapsi_interface *candidate = &network->interfaces[i];
        if (strcmp(candidate->name, interface) == 0 || (numeric && candidate->index == index))
            return candidate;
    }
    return NULL;
}

static bool has_address(const struct tapsi_interface *interface, const union tapsi_addr *address)
{
    for (size_t i = 0; i < interface->address_count; i++) {
        if (tapsi_addr_same_host(&interface->addresses[i].address, address))
            return true;
    }
    return false;
}

const struct tapsi_interface *tapsi_path_of_address(const struct tapsi_network *network,
                                                    const union tapsi_addr *address)
{
    for (size_t i = 0; i < network->interface_count; i++) {
        if (has_address(&network->interfaces[i], address))
            return &network->interfaces[i];
    }
    return NULL;
}

static bool is_default(const struct tapsi_route *route)
{
    return route->prefix_bits == 0;
}

static unsigned system_order(const struct tapsi_interface *interface)
{
    if (interface->type == TAPSI_IF_LOOPBACK)
        return LOOPBACK_ORDER;
    unsigned best = NO_DEFAULT_ROUTE + interface->index;
    for (size_t i = 0; i < interface->route_count; i++) {
        const struct tapsi_route *route = &interface->routes[i];
        if (is_default(route) && route->metric < best)
            best = route->metric;
    }
    return best;
}

void tapsi_path_offer(const struct tapsi_interface *interface, const char *bound, struct tapsi_path_offer *ret)
{
    *ret = (struct tapsi_path_offer){.interface = interface->name,
                                     .type = tapsi_interface_type_name(interface->type),
                                     .pvd = interface->name,
                                     .up = interface->up,
                                     .has_addresses = interface->address_count > 0,
                                     .bound_interface = bound,
                                     .system_order = system_order(interface)};
    for (size_t i = 0; i < interface->address_count; i++)
        ret->has_temporary_address |= interface->addresses[i].temporary;
}

static bool has_family(const struct tapsi_interface *interface, int family)
{
    for (size_t i = 0; i < interface->address_count; i++) {
        const union tapsi_addr *a = &interface->addresses[i].address;
        if (a->sa.sa_family == family && !tapsi_addr_is_link_local(a))
            return true;
    }
    return false;
}

/* Longest matching prefix of this interface, on-link ones included, and its metric; -1 = none. */
static int best_route(const struct tapsi_interface *interface, const union tapsi_addr *address, unsigned *ret_metric)
{
    int best = -1;
    for (size_t i = 0; i < interface->address_count; i++) {
        const struct tapsi_local_address *local = &interface->addresses[i];
        if ((int)local->prefix_bits > best && local->address.sa.sa_family == address->sa.sa_family &&
            tapsi_addr_in_prefix(address, &local->address, local->prefix_bits)) {
            best = (int)local->prefix_bits;
            *ret_metric = 0;
        }
    }
    for (size_t i = 0; i < interface->route_count; i++) {
        const struct tapsi_route *route = &interface->routes[i];
        if (route->destination.sa.sa_family != address->sa.sa_family ||
            !tapsi_addr_in_prefix(address, &route->destination, route->prefix_bits))
            continue;
        if ((int)route->prefix_bits > best || ((int)route->prefix_bits == best && route->metric < *ret_metric)) {
            best = (int)route->prefix_bits;
            *ret_metric = route->metric;
        }
    }
    return best;
}

static bool is_own(const struct tapsi_network *network, const union tapsi_addr *address)
{
    return tapsi_addr_is_loopback(address) || tapsi_path_of_address(network, address) != NULL;
}

bool tapsi_path_reaches(const struct tapsi_network *network, const struct tapsi_interface *interface,
                        const union tapsi_addr *address)
{
    unsigned metric;
    if (interface->type == TAPSI_IF_LOOPBACK)
        return is_own(network, address);
    if (tapsi_addr_is_link_local(address) && address->sa.sa_family == AF_INET6)
        return address->in6.sin6_scope_id == interface->index;
    if (is_own(network, address) || !has_family(interface, address->sa.sa_family))
        return false;
    return best_route(interface, address, &metric) >= 0;
}

const struct tapsi_interface *tapsi_path_system_choice(const struct tapsi_network *network,
                                                       const union tapsi_addr *address)
{
    const struct tapsi_interface *choice = NULL;
    int best_bits = -1;
    unsigned best_metric = 0;
    for (size_t i = 0; i < network->interface_count; i++) {
        const struct tapsi_interface *interface = &network->interfaces[i];
        unsigned metric = 0;
        if (!interface->up || !tapsi_path_reaches(network, interface, address))
            continue;
        int bits = interface->type == TAPSI_IF_LOOPBACK ? 128 : best_route(interface, address, &metric);
        if (bits > best_bits || (bits == best_bits && metric < best_metric)) {
            choice = interface;
            best_bits = bits;
            best_metric = metric;
        }
    }
    return choice;
}

bool tapsi_path_source(const struct tapsi_interface *interface, bool prefer_temporary,
                       struct tapsi_destination *destination)
{
    struct tapsi_source sources[64];
    size_t count = 0;
    for (size_t i = 0; i < interface->address_count && count < 64; i++) {
        const struct tapsi_local_address *local = &interface->addresses[i];
        if (local->address.sa.sa_family == destination->address.sa.sa_family)
            sources[count++] = (struct tapsi_source){local->address, local->deprecated, local->temporary};
    }
    int chosen = tapsi_rfc6724_source(&destination->address, sources, count, prefer_temporary);
    destination->source.sa.sa_family = AF_UNSPEC;
    if (chosen < 0)
        return false;
    destination->source = sources[chosen].address;
    destination->source_deprecated = sources[chosen].deprecated;
    destination->source_temporary = sources[chosen].temporary;
    return true;
}
