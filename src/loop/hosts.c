#include "loop/hosts.h"

#include <string.h>
#include "base/str.h"

static bool line_names(struct tapsi_span line, const char *name)
{
    struct tapsi_span field;
    while (tapsi_lines_field(&line, &field))
        if (tapsi_span_is(field, name))
            return true;
    return false;
}

static bool has(const union tapsi_addr *addresses, size_t count, const union tapsi_addr *address)
{
    for (size_t i = 0; i < count; i++)
        if (tapsi_addr_same_host(&addresses[i], address))
            return true;
    return false;
}

size_t tapsi_hosts_find(struct tapsi_span text, const char *name, int family, union tapsi_addr *addresses, size_t max,
                        bool *ret_known)
{
    struct tapsi_span line, field;
    size_t count = 0;
    *ret_known = false;
    while (tapsi_lines_next(&text, &line)) {
        char address_text[INET6_ADDRSTRLEN];
        union tapsi_addr address;
        tapsi_lines_cut(&line, '#');
        if (!tapsi_lines_field(&line, &field) || !line_names(line, name))
            continue;
        if (!tapsi_span_copy(field, address_text, sizeof(address_text)) || tapsi_addr_parse(address_text, &address) < 0)
            continue;
        *ret_known = true;
        if (address.sa.sa_family != family || has(addresses, count < max ? count : max, &address))
            continue;
        if (count < max)
            addresses[count] = address;
        count++;
    }
    return count;
}

/* "443/tcp": the port if the protocol fits, else 0. */
static uint16_t port_of(struct tapsi_span field, const char *protocol)
{
    char number[8];
    uint64_t port;
    const char *slash = memchr(field.at, '/', field.length);
    if (!slash)
        return 0;
    struct tapsi_span digits = {field.at, (size_t)(slash - field.at)};
    struct tapsi_span rest = {slash + 1, field.length - digits.length - 1};
    if (!tapsi_span_is(rest, protocol) || !tapsi_span_copy(digits, number, sizeof(number)) ||
        tapsi_parse_uint(number, 65535, &port) < 0)
        return 0;
    return (uint16_t)port;
}

uint16_t tapsi_services_find(struct tapsi_span text, const char *service, const char *protocol)
{
    struct tapsi_span line, name, number;
    while (tapsi_lines_next(&text, &line)) {
        tapsi_lines_cut(&line, '#');
        if (!tapsi_lines_field(&line, &name) || !tapsi_lines_field(&line, &number))
            continue;
        uint16_t port = port_of(number, protocol);
        if (port && (tapsi_span_is(name, service) || line_names(line, service)))
            return port;
    }
    return 0;
}
