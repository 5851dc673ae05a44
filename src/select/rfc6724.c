#include "select/rfc6724.h"

#include <string.h>

/* RFC 6724, 2.1: the default policy table, longest prefixes first; an IPv4 address is looked up as IPv4-mapped. */
static const struct {
    uint8_t prefix[16];
    unsigned bits, precedence, label;
} policy[] = {
    {{[15] = 1}, 128, 50, 0},  {{[10] = 0xff, [11] = 0xff}, 96, 35, 4},
    {{0}, 96, 1, 3},           {{0x20, 0x01}, 32, 5, 5},
    {{0x20, 0x02}, 16, 30, 2}, {{0x3f, 0xfe}, 16, 1, 12},
    {{0xfe, 0xc0}, 10, 1, 11}, {{0xfc}, 7, 3, 13},
    {{0}, 0, 40, 1},
};

enum scope { LINK_LOCAL = 2, SITE_LOCAL = 5, GLOBAL = 14 };

static union tapsi_addr mapped(const union tapsi_addr *a)
{
    union tapsi_addr result = *a;
    if (a->sa.sa_family == AF_INET) {
        uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
        memcpy(bytes + 12, &a->in.sin_addr, 4);
        tapsi_addr_from_bytes(&result, AF_INET6, bytes);
    }
    return result;
}

static void look_up(const union tapsi_addr *a, unsigned *ret_precedence, unsigned *ret_label)
{
    union tapsi_addr v6 = mapped(a), prefix;
    size_t i = 0;
    for (;; i++) {
        tapsi_addr_from_bytes(&prefix, AF_INET6, policy[i].prefix);
        if (policy[i].bits == 0 || tapsi_addr_in_prefix(&v6, &prefix, policy[i].bits))
            break;
    }
    *ret_precedence = policy[i].precedence;
    *ret_label = policy[i].label;
}

static unsigned precedence_of(const union tapsi_addr *a)
{
    unsigned precedence, label;
    look_up(a, &precedence, &label);
    return precedence;
}

static unsigned label_of(const union tapsi_addr *a)
{
    unsigned precedence, label;
    look_up(a, &precedence, &label);
    return label;
}

/* RFC 6724, 3.1 and 3.2: private IPv4 addresses are global, loopback is link-local. */
static int scope_of(const union tapsi_addr *a)
{
    if (a->sa.sa_family == AF_INET6 && tapsi_addr_is_multicast(a))
        return a->in6.sin6_addr.s6_addr[1] & 0x0f;
    if (tapsi_addr_is_loopback(a) || tapsi_addr_is_link_local(a))
        return LINK_LOCAL;
    if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_SITELOCAL(&a->in6.sin6_addr))
        return SITE_LOCAL;
    return GLOBAL;
}

/* RFC 6724, 2.2: up to the interface identifier. */
static unsigned common_prefix(const union tapsi_addr *a, const union tapsi_addr *b)
{
    unsigned bits = 0, max = a->sa.sa_family == AF_INET ? 32 : 64;
    while (bits < max && tapsi_addr_in_prefix(a, b, bits + 1))
        bits++;
    return bits;
}

/* Below 0: `first` goes first. 0: this rule does not say. */
static int prefer(bool first, bool second)
{
    return (int)second - (int)first;
}

/* ---------------------------------------------------------------------------------------------------- sources */

/* RFC 6724, section 5. Rules 4 (home addresses), 5 and 5.5 (all are of one interface) have nothing to say. */
static int compare_sources(const union tapsi_addr *destination, const struct tapsi_source *a,
                           const struct tapsi_source *b, bool prefer_temporary)
{
    int order = prefer(tapsi_addr_same_host(&a->address, destination), tapsi_addr_same_host(&b->address, destination));
    int scope_a = scope_of(&a->address), scope_b = scope_of(&b->address), scope = scope_of(destination);
    if (!order && scope_a < scope_b)
        order = scope_a < scope ? 1 : -1;
    else if (!order && scope_b < scope_a)
        order = scope_b < scope ? -1 : 1;
    if (!order)
        order = prefer(!a->deprecated, !b->deprecated);
    if (!order)
        order = prefer(label_of(&a->address) == label_of(destination), label_of(&b->address) == label_of(destination));
    if (!order)
        order = prefer(a->temporary == prefer_temporary, b->temporary == prefer_temporary);
    if (!order)
        order = (int)common_prefix(&b->address, destination) - (int)common_prefix(&a->address, destination);
    return order;
}

int tapsi_rfc6724_source(const union tapsi_addr *destination, const struct tapsi_source *sources, size_t count,
                         bool prefer_temporary)
{
    int best = -1;
    for (size_t i = 0; i < count; i++) {
        if (sources[i].address.sa.sa_family != destination->sa.sa_family)
            continue;
        if (tapsi_addr_is_any(&sources[i].address) || tapsi_addr_is_multicast(&sources[i].address))
            continue;
        if (best < 0 || compare_sources(destination, &sources[i], &sources[best], prefer_temporary) < 0)
            best = (int)i;
    }
    return best;
}

/* ----------------------------------------------------------------------------------------------- destinations */

static bool usable(const struct tapsi_destination *d)
{
    return d->source.sa.sa_family != AF_UNSPEC;
}

static bool matching_scope(const struct tapsi_destination *d)
{
    return scope_of(&d->address) == scope_of(&d->source);
}

static bool matching_label(const struct tapsi_destination *d)
{
    return label_of(&d->address) == label_of(&d->source);
}

/* RFC 6724, section 6. Rules 4 (home addresses) and 7 (tunnels) have nothing to say here. Rule 9 is for IPv6 only, as
   in the C library and c-ares: among IPv4 addresses it would undo the rotation of a name's records. */
static int compare(const struct tapsi_destination *a, const struct tapsi_destination *b)
{
    int order = prefer(usable(a), usable(b));
    if (!order && usable(a)) {
        order = prefer(matching_scope(a), matching_scope(b));
        if (!order)
            order = prefer(!a->source_deprecated, !b->source_deprecated);
        if (!order)
            order = prefer(matching_label(a), matching_label(b));
    }
    if (!order)
        order = (int)precedence_of(&b->address) - (int)precedence_of(&a->address);
    if (!order)
        order = scope_of(&a->address) - scope_of(&b->address);
    if (!order && usable(a) && a->address.sa.sa_family == AF_INET6 && b->address.sa.sa_family == AF_INET6)
        order = (int)common_prefix(&b->source, &b->address) - (int)common_prefix(&a->source, &a->address);
    if (!order)
        order = a->place < b->place ? -1 : a->place > b->place;
    return order;
}

/* Insertion: lists are short (the number of addresses of a name has a cap), and equal ones keep their order. */
void tapsi_rfc6724_sort(struct tapsi_destination *destinations, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct tapsi_destination moving = destinations[i];
        size_t at = i;
        for (; at > 0 && compare(&moving, &destinations[at - 1]) < 0; at--)
            destinations[at] = destinations[at - 1];
        destinations[at] = moving;
    }
}

/* Brings the first destination at or after `from` that is (or is not) of the family to `from`. */
static void bring(struct tapsi_destination *destinations, size_t count, size_t from, sa_family_t family, bool same)
{
    size_t i = from;
    while (i < count && (destinations[i].address.sa.sa_family == family) != same)
        i++;
    if (i == count)
        return;
    struct tapsi_destination found = destinations[i];
    memmove(&destinations[from + 1], &destinations[from], (i - from) * sizeof(destinations[0]));
    destinations[from] = found;
}

void tapsi_rfc8305_interleave(struct tapsi_destination *destinations, size_t count, unsigned first_family_count)
{
    if (count == 0)
        return;
    sa_family_t first = destinations[0].address.sa.sa_family;
    size_t head = first_family_count ? first_family_count : 1;
    for (size_t i = 0; i < count; i++)
        bring(destinations, count, i, first, i < head || (i - head) % 2 == 1);
}
