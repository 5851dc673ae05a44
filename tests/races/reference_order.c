/* RFC 6724 and RFC 8305, rule by rule, on bits. */
#include <arpa/inet.h>
#include <string.h>
#include "reference.h"

/* An address as 128 bits; IPv4 as ::ffff:a.b.c.d. */
static void bits_of(const union tapsi_addr *a, unsigned char bits[128])
{
    unsigned char bytes[16] = {0};
    if (a->sa.sa_family == AF_INET) {
        bytes[10] = bytes[11] = 0xff;
        memcpy(bytes + 12, &a->in.sin_addr, 4);
    } else {
        memcpy(bytes, &a->in6.sin6_addr, 16);
    }
    for (int i = 0; i < 128; i++)
        bits[i] = bytes[i / 8] >> (7 - i % 8) & 1;
}

static unsigned same_bits(const union tapsi_addr *a, const union tapsi_addr *b)
{
    unsigned char x[128], y[128];
    unsigned n = 0;
    bits_of(a, x);
    bits_of(b, y);
    while (n < 128 && x[n] == y[n])
        n++;
    return n;
}

/* Section 2.1. */
static const struct {
    const char *prefix;
    unsigned bits;
    int precedence, label;
} policy[] = {
    {"::1", 128, 50, 0},  {"::", 0, 40, 1}, {"::ffff:0:0", 96, 35, 4}, {"2002::", 16, 30, 2}, {"2001::", 32, 5, 5},
    {"fc00::", 7, 3, 13}, {"::", 96, 1, 3}, {"fec0::", 10, 1, 11},     {"3ffe::", 16, 1, 12},
};

/* The longest matching prefix. */
static size_t policy_of(const union tapsi_addr *a)
{
    size_t best = 1;
    for (size_t i = 0; i < sizeof(policy) / sizeof(policy[0]); i++) {
        union tapsi_addr prefix;
        struct in6_addr bytes;
        memset(&prefix, 0, sizeof(prefix));
        inet_pton(AF_INET6, policy[i].prefix, &bytes);
        prefix.in6.sin6_family = AF_INET6;
        prefix.in6.sin6_addr = bytes;
        if (same_bits(a, &prefix) >= policy[i].bits && policy[i].bits > policy[best].bits)
            best = i;
    }
    return best;
}

/* Section 3.1: what the addresses drawn here can be. Private IPv4 is global. */
static int scope_of(const union tapsi_addr *a)
{
    unsigned char b[4];
    if (a->sa.sa_family == AF_INET) {
        memcpy(b, &a->in.sin_addr, 4);
        return b[0] == 127 || (b[0] == 169 && b[1] == 254) ? 2 : 14;
    }
    if (IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr) || IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr))
        return 2;
    return IN6_IS_ADDR_SITELOCAL(&a->in6.sin6_addr) ? 5 : 14;
}

static int label_of(const union tapsi_addr *a)
{
    return policy[policy_of(a)].label;
}

/* Section 2.2: no more than 64 bits of IPv6, all of IPv4. */
static unsigned common(const union tapsi_addr *a, const union tapsi_addr *b)
{
    unsigned bits = same_bits(a, b);
    if (a->sa.sa_family == AF_INET)
        return bits - 96;
    return bits < 64 ? bits : 64;
}

/* Section 5: is `a` the better source? */
static bool better_source(const struct reference_address *a, const struct reference_address *b,
                          const union tapsi_addr *to, bool prefer_temporary)
{
    int scope_a = scope_of(&a->address), scope_b = scope_of(&b->address), scope = scope_of(to);
    bool same_a = same_bits(&a->address, to) == 128, same_b = same_bits(&b->address, to) == 128;
    if (same_a != same_b) /* rule 1 */
        return same_a;
    if (scope_a < scope_b) /* rule 2 */
        return scope_a >= scope;
    if (scope_b < scope_a)
        return scope_b < scope;
    if (a->deprecated != b->deprecated) /* rule 3 */
        return b->deprecated;
    bool label_a = label_of(&a->address) == label_of(to), label_b = label_of(&b->address) == label_of(to);
    if (label_a != label_b) /* rule 6 */
        return label_a;
    if (a->temporary != b->temporary) /* rule 7 */
        return a->temporary == prefer_temporary;
    return common(&a->address, to) > common(&b->address, to); /* rule 8 */
}

bool reference_source(const struct reference_interface *interface, const union tapsi_addr *destination,
                      bool prefer_temporary, struct reference_address *ret)
{
    bool found = false;
    for (unsigned i = 0; i < interface->address_count; i++) {
        const struct reference_address *a = &interface->addresses[i];
        if (a->address.sa.sa_family != destination->sa.sa_family)
            continue;
        if (!found || better_source(a, ret, destination, prefer_temporary))
            *ret = *a;
        found = true;
    }
    return found;
}

/* Section 6: does `a` go before `b`? Rule 9 is for IPv6 alone, as in the C library. */
static bool goes_first(const struct reference_destination *a, const struct reference_destination *b)
{
    if (a->has_source != b->has_source) /* rule 1 */
        return a->has_source;
    if (a->has_source) {
        bool scope_a = scope_of(&a->address) == scope_of(&a->source.address);
        bool scope_b = scope_of(&b->address) == scope_of(&b->source.address);
        if (scope_a != scope_b) /* rule 2 */
            return scope_a;
        if (a->source.deprecated != b->source.deprecated) /* rule 3 */
            return b->source.deprecated;
        bool label_a = label_of(&a->address) == label_of(&a->source.address);
        bool label_b = label_of(&b->address) == label_of(&b->source.address);
        if (label_a != label_b) /* rule 5 */
            return label_a;
    }
    int precedence_a = policy[policy_of(&a->address)].precedence;
    int precedence_b = policy[policy_of(&b->address)].precedence;
    if (precedence_a != precedence_b) /* rule 6 */
        return precedence_a > precedence_b;
    if (scope_of(&a->address) != scope_of(&b->address)) /* rule 8 */
        return scope_of(&a->address) < scope_of(&b->address);
    if (a->has_source && a->address.sa.sa_family == AF_INET6 && b->address.sa.sa_family == AF_INET6) /* rule 9 */
        return common(&a->source.address, &a->address) > common(&b->source.address, &b->address);
    return false; /* rule 10 */
}

void reference_order(struct reference_destination *list, unsigned count)
{
    struct reference_destination sorted[2 * REFERENCE_ADDRESSES], first[2 * REFERENCE_ADDRESSES],
        other[2 * REFERENCE_ADDRESSES];
    unsigned firsts = 0, others = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned at = i;
        for (; at > 0 && goes_first(&list[i], &sorted[at - 1]); at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = list[i];
    }
    for (unsigned i = 0; i < count; i++) {
        if (sorted[i].address.sa.sa_family == sorted[0].address.sa.sa_family)
            first[firsts++] = sorted[i];
        else
            other[others++] = sorted[i];
    }
    /* RFC 8305, 4: one of the first family, one of the other, and so on. */
    for (unsigned i = 0, f = 0, o = 0; i < count; i++)
        list[i] = o == others || (f < firsts && f <= o) ? first[f++] : other[o++];
}
