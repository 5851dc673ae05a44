#include "base/addr.h"

#include <arpa/inet.h>
#include <string.h>
#include <taps/taps.h>
#include "base/str.h"

socklen_t tapsi_addr_length(const union tapsi_addr *a)
{
    switch (a->sa.sa_family) {
    case AF_INET:
        return sizeof(a->in);
    case AF_INET6:
        return sizeof(a->in6);
    default:
        return 0;
    }
}

uint16_t tapsi_addr_port(const union tapsi_addr *a)
{
    switch (a->sa.sa_family) {
    case AF_INET:
        return ntohs(a->in.sin_port);
    case AF_INET6:
        return ntohs(a->in6.sin6_port);
    default:
        return 0;
    }
}

void tapsi_addr_set_port(union tapsi_addr *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET) {
        a->in.sin_port = htons(port);
    } else if (a->sa.sa_family == AF_INET6) {
        a->in6.sin6_port = htons(port);
    }
}

void tapsi_addr_from_bytes(union tapsi_addr *ret, int family, const void *bytes)
{
    memset(ret, 0, sizeof(*ret));
    ret->sa.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        memcpy(&ret->in.sin_addr, bytes, sizeof(ret->in.sin_addr));
    } else if (family == AF_INET6) {
        memcpy(&ret->in6.sin6_addr, bytes, sizeof(ret->in6.sin6_addr));
    }
}

const uint8_t *tapsi_addr_bytes(const union tapsi_addr *a, unsigned *ret_count)
{
    switch (a->sa.sa_family) {
    case AF_INET:
        *ret_count = sizeof(a->in.sin_addr);
        return (const uint8_t *)&a->in.sin_addr;
    case AF_INET6:
        *ret_count = sizeof(a->in6.sin6_addr);
        return a->in6.sin6_addr.s6_addr;
    default:
        *ret_count = 0;
        return NULL;
    }
}

int tapsi_addr_parse(const char *text, union tapsi_addr *ret)
{
    uint8_t bytes[16];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, text, bytes) != 1)
        return TAPS_E_RANGE;
    tapsi_addr_from_bytes(ret, family, bytes);
    return 0;
}

const char *tapsi_addr_host_text(const union tapsi_addr *a, char *text)
{
    unsigned count;
    const uint8_t *bytes = tapsi_addr_bytes(a, &count);
    if (!bytes || !inet_ntop(a->sa.sa_family, bytes, text, TAPSI_ADDR_TEXT))
        tapsi_format(text, TAPSI_ADDR_TEXT, "unspecified");
    return text;
}

const char *tapsi_addr_text(const union tapsi_addr *a, char *text)
{
    char host[TAPSI_ADDR_TEXT];
    tapsi_addr_host_text(a, host);
    /* Both formats fit: the longest IPv6 text is 45 bytes, a scope 10 digits, a port 5. */
    if (a->sa.sa_family != AF_INET6) {
        tapsi_format(text, TAPSI_ADDR_TEXT, "%.45s:%u", host, tapsi_addr_port(a));
    } else if (a->in6.sin6_scope_id) {
        tapsi_format(text, TAPSI_ADDR_TEXT, "[%.45s%%%u]:%u", host, a->in6.sin6_scope_id, tapsi_addr_port(a));
    } else {
        tapsi_format(text, TAPSI_ADDR_TEXT, "[%.45s]:%u", host, tapsi_addr_port(a));
    }
    return text;
}

void tapsi_addr_unmap(union tapsi_addr *a)
{
    uint8_t bytes[4];
    uint16_t port = tapsi_addr_port(a);
    if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return;
    memcpy(bytes, a->in6.sin6_addr.s6_addr + 12, sizeof(bytes));
    tapsi_addr_from_bytes(a, AF_INET, bytes);
    tapsi_addr_set_port(a, port);
}

bool tapsi_addr_same_host(const union tapsi_addr *a, const union tapsi_addr *b)
{
    unsigned count_a, count_b;
    const uint8_t *bytes_a = tapsi_addr_bytes(a, &count_a), *bytes_b = tapsi_addr_bytes(b, &count_b);
    return bytes_a && count_a == count_b && memcmp(bytes_a, bytes_b, count_a) == 0;
}

bool tapsi_addr_equal(const union tapsi_addr *a, const union tapsi_addr *b)
{
    if (!tapsi_addr_same_host(a, b) || tapsi_addr_port(a) != tapsi_addr_port(b))
        return false;
    return a->sa.sa_family != AF_INET6 || a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

static bool starts_with(const union tapsi_addr *a, int family, const uint8_t *prefix, unsigned bits)
{
    union tapsi_addr p;
    if (a->sa.sa_family != family)
        return false;
    tapsi_addr_from_bytes(&p, family, prefix);
    return tapsi_addr_in_prefix(a, &p, bits);
}

bool tapsi_addr_is_any(const union tapsi_addr *a)
{
    static const uint8_t zeros[16];
    unsigned count;
    const uint8_t *bytes = tapsi_addr_bytes(a, &count);
    return bytes && memcmp(bytes, zeros, count) == 0;
}

bool tapsi_addr_is_loopback(const union tapsi_addr *a)
{
    return starts_with(a, AF_INET, (const uint8_t[4]){127}, 8) ||
           starts_with(a, AF_INET6, (const uint8_t[16]){[15] = 1}, 128);
}

bool tapsi_addr_is_link_local(const union tapsi_addr *a)
{
    return starts_with(a, AF_INET, (const uint8_t[4]){169, 254}, 16) ||
           starts_with(a, AF_INET6, (const uint8_t[16]){0xfe, 0x80}, 10);
}

bool tapsi_addr_is_multicast(const union tapsi_addr *a)
{
    return starts_with(a, AF_INET, (const uint8_t[4]){224}, 4) ||
           starts_with(a, AF_INET6, (const uint8_t[16]){0xff}, 8);
}

static bool is_of_no_host(const union tapsi_addr *a)
{
    return starts_with(a, AF_INET, (const uint8_t[4]){0}, 8) || starts_with(a, AF_INET, (const uint8_t[4]){240}, 4) ||
           starts_with(a, AF_INET6, (const uint8_t[16]){[10] = 0xff, [11] = 0xff}, 96) || tapsi_addr_is_any(a) ||
           tapsi_addr_is_multicast(a);
}

/* RFC 1918, RFC 6598, RFC 4193, RFC 3879. */
static bool is_of_site(const union tapsi_addr *a)
{
    return starts_with(a, AF_INET, (const uint8_t[4]){10}, 8) ||
           starts_with(a, AF_INET, (const uint8_t[4]){172, 16}, 12) ||
           starts_with(a, AF_INET, (const uint8_t[4]){192, 168}, 16) ||
           starts_with(a, AF_INET, (const uint8_t[4]){100, 64}, 10) ||
           starts_with(a, AF_INET6, (const uint8_t[16]){0xfc}, 7) ||
           starts_with(a, AF_INET6, (const uint8_t[16]){0xfe, 0xc0}, 10);
}

enum tapsi_reach tapsi_addr_reach(const union tapsi_addr *a)
{
    if (is_of_no_host(a) || (a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6))
        return TAPSI_REACH_NOWHERE;
    if (tapsi_addr_is_loopback(a))
        return TAPSI_REACH_HOST;
    if (tapsi_addr_is_link_local(a))
        return TAPSI_REACH_LINK;
    return is_of_site(a) ? TAPSI_REACH_SITE : TAPSI_REACH_WORLD;
}

bool tapsi_addr_in_prefix(const union tapsi_addr *a, const union tapsi_addr *prefix, unsigned bits)
{
    unsigned count_a, count_p;
    const uint8_t *x = tapsi_addr_bytes(a, &count_a), *y = tapsi_addr_bytes(prefix, &count_p);
    if (!x || count_a != count_p || bits > 8 * count_a)
        return false;
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(x, y, whole) == 0 && (rest == 0 || ((x[whole] ^ y[whole]) >> (8 - rest)) == 0);
}
