#include "platform/linux/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void tapsi_survey_init(struct tapsi_survey *s, struct tapsi_mem *mem)
{
    *s = (struct tapsi_survey){.mem = mem};
}

void tapsi_survey_done(struct tapsi_survey *s)
{
    tapsi_free(s->mem, s->links);
    tapsi_free(s->mem, s->addresses);
    tapsi_free(s->mem, s->routes);
    *s = (struct tapsi_survey){.mem = s->mem};
}

void tapsi_survey_reset(struct tapsi_survey *s)
{
    s->link_count = s->address_count = s->route_count = 0;
    s->maybe_v4 = s->maybe_v6 = s->interrupted = false;
}

int tapsi_survey_add_link(struct tapsi_survey *s, const struct tapsi_interface *link)
{
    if (s->link_count >= TAPSI_SURVEY_LINKS)
        return 0;
    for (size_t i = 0; i < s->link_count; i++) {
        if (s->links[i].index == link->index)
            return 0;
    }
    if (tapsi_grow(s->mem, &s->links, &s->link_capacity, s->link_count, sizeof(*s->links)))
        return -ENOMEM;
    s->links[s->link_count++] = *link;
    return 0;
}

int tapsi_survey_add_address(struct tapsi_survey *s, unsigned index, const struct tapsi_local_address *address)
{
    if (s->address_count >= TAPSI_SURVEY_ADDRESSES)
        return 0;
    if (tapsi_grow(s->mem, &s->addresses, &s->address_capacity, s->address_count, sizeof(*s->addresses)))
        return -ENOMEM;
    s->addresses[s->address_count++] = (struct tapsi_survey_address){index, *address};
    return 0;
}

int tapsi_survey_add_route(struct tapsi_survey *s, unsigned index, const struct tapsi_route *route)
{
    if (s->route_count >= TAPSI_SURVEY_ROUTES) {
        if (route->destination.sa.sa_family == AF_INET) {
            s->maybe_v4 = true;
        } else {
            s->maybe_v6 = true;
        }
        return -ENOSPC;
    }
    if (tapsi_grow(s->mem, &s->routes, &s->route_capacity, s->route_count, sizeof(*s->routes)))
        return -ENOMEM;
    s->routes[s->route_count++] = (struct tapsi_survey_route){index, *route};
    return 0;
}

int tapsi_survey_add_connected(struct tapsi_survey *s, unsigned index, const struct tapsi_local_address *address)
{
    uint8_t prefix[16] = {0};
    unsigned count, bits = address->prefix_bits;
    const uint8_t *bytes = tapsi_addr_bytes(&address->address, &count);
    if (!bytes || bits > 8 * count)
        return 0;
    memcpy(prefix, bytes, (bits + 7) / 8);
    if (bits % 8)
        prefix[bits / 8] &= (uint8_t)(0xff << (8 - bits % 8));
    struct tapsi_route route = {.prefix_bits = bits};
    tapsi_addr_from_bytes(&route.destination, address->address.sa.sa_family, prefix);
    return tapsi_survey_add_route(s, index, &route);
}

/* ---------------------------------------------------------------------------------------------- snapshot */

static bool may_lead_anywhere(const struct tapsi_survey *s, const struct tapsi_interface *i, int family)
{
    if (!(family == AF_INET ? s->maybe_v4 : s->maybe_v6) || i->type == TAPSI_IF_LOOPBACK)
        return false;
    for (size_t n = 0; n < i->address_count; n++) {
        const union tapsi_addr *a = &i->addresses[n].address;
        if (a->sa.sa_family == family && !tapsi_addr_is_link_local(a))
            return true;
    }
    return false;
}

static int take_addresses(const struct tapsi_survey *s, struct tapsi_interface *i)
{
    size_t count = 0;
    for (size_t n = 0; n < s->address_count; n++)
        count += s->addresses[n].index == i->index;
    if (count == 0)
        return 0;
    struct tapsi_local_address *addresses = tapsi_calloc(s->mem, count, sizeof(*addresses));
    if (!addresses)
        return -ENOMEM;
    i->addresses = addresses;
    for (size_t n = 0; n < s->address_count; n++) {
        if (s->addresses[n].index == i->index)
            addresses[i->address_count++] = s->addresses[n].address;
    }
    return 0;
}

static int take_routes(const struct tapsi_survey *s, struct tapsi_interface *i)
{
    static const uint8_t zeros[16];
    static const int families[] = {AF_INET, AF_INET6};
    size_t count = 2; /* for the two that may be */
    for (size_t n = 0; n < s->route_count; n++)
        count += s->routes[n].index == i->index;
    struct tapsi_route *routes = tapsi_calloc(s->mem, count, sizeof(*routes));
    if (!routes)
        return -ENOMEM;
    i->routes = routes;
    for (size_t n = 0; n < s->route_count; n++) {
        if (s->routes[n].index == i->index)
            routes[i->route_count++] = s->routes[n].route;
    }
    for (size_t n = 0; n < 2; n++) {
        if (may_lead_anywhere(s, i, families[n])) {
            struct tapsi_route *route = &routes[i->route_count++];
            tapsi_addr_from_bytes(&route->destination, families[n], zeros);
            route->metric = TAPSI_METRIC_WORST;
        }
    }
    return 0;
}

static int by_index(const void *a, const void *b)
{
    const struct tapsi_interface *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

int tapsi_survey_snapshot(const struct tapsi_survey *s, uint64_t generation, struct tapsi_network **ret)
{
    struct tapsi_network *network = tapsi_zalloc(s->mem, sizeof(*network));
    if (!network)
        return -ENOMEM;
    network->mem = s->mem;
    network->refs = 1;
    network->generation = generation;
    if (s->link_count) {
        network->interfaces = tapsi_calloc(s->mem, s->link_count, sizeof(*network->interfaces));
        if (!network->interfaces)
            goto no_memory;
        memcpy(network->interfaces, s->links, s->link_count * sizeof(*s->links));
        network->interface_count = s->link_count;
        qsort(network->interfaces, network->interface_count, sizeof(*network->interfaces), by_index);
    }
    for (size_t i = 0; i < network->interface_count; i++) {
        if (take_addresses(s, &network->interfaces[i]) || take_routes(s, &network->interfaces[i]))
            goto no_memory;
    }
    *ret = network;
    return 0;

no_memory:
    tapsi_network_unref(network);
    return -ENOMEM;
}
