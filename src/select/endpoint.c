#include "select/endpoint.h"

#include <string.h>
#include "base/str.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Letters, digits, and what `more` has. Everything else is refused here, so that it never reaches a resolver or a log:
   names in other scripts are given as A-labels ("xn--..."). */
static bool made_of(const char *text, const char *more)
{
    for (; *text; text++) {
        if (!is_letter(*text) && !is_digit(*text) && !strchr(more, *text))
            return false;
    }
    return true;
}

/* Length with bounds, so that absurd text is never walked to its end. */
static bool length_ok(const char *text, size_t max)
{
    size_t length = strnlen(text, max + 1);
    return length >= 1 && length <= max;
}

void tapsi_endpoint_init(struct taps_endpoint *e, bool remote)
{
    *e = (struct taps_endpoint){.remote = remote};
}

static bool labels_ok(const char *name)
{
    for (;;) {
        size_t length = strcspn(name, ".");
        if (length == 0 || length > 63)
            return false;
        name += length;
        if (!*name || !name[1]) /* one dot at the end says that the name is complete */
            return true;
        name++;
    }
}

int tapsi_endpoint_set_host_name(struct taps_endpoint *e, const char *name)
{
    union tapsi_addr address;
    if (!length_ok(name, 253))
        return TAPS_E_RANGE;
    if (strchr(name, ':') || tapsi_addr_parse(name, &address) == 0)
        return tapsi_endpoint_set_address_text(e, name);
    if (!made_of(name, "-_.") || !labels_ok(name))
        return TAPS_E_RANGE;
    if (e->host_name[0])
        return TAPS_E_DUPLICATE;
    tapsi_format(e->host_name, sizeof(e->host_name), "%s", name);
    return 0;
}

int tapsi_endpoint_set_port(struct taps_endpoint *e, uint16_t port)
{
    if (e->remote && port == 0)
        return TAPS_E_RANGE;
    if (e->has_port)
        return TAPS_E_DUPLICATE;
    e->has_port = true;
    e->port = port;
    if (e->has_address)
        tapsi_addr_set_port(&e->address, port);
    return 0;
}

/* RFC 6335, 5.1: at least one letter, so that a service is never mistaken for a port; SRV names have dots. */
int tapsi_endpoint_set_service(struct taps_endpoint *e, const char *service)
{
    bool letter = false;
    if (!length_ok(service, TAPSI_SERVICE_MAX - 1) || !made_of(service, "-_."))
        return TAPS_E_RANGE;
    for (const char *c = service; *c; c++)
        letter = letter || is_letter(*c);
    if (!letter)
        return TAPS_E_RANGE;
    if (e->service[0])
        return TAPS_E_DUPLICATE;
    tapsi_format(e->service, sizeof(e->service), "%s", service);
    return 0;
}

static void put_address(struct taps_endpoint *e, const union tapsi_addr *address)
{
    e->has_address = true;
    e->address = *address;
    tapsi_addr_set_port(&e->address, e->port);
    tapsi_addr_host_text(address, e->address_text);
}

/* A zone is an interface (API-008), so both must still be unset before either is changed. */
int tapsi_endpoint_set_address_text(struct taps_endpoint *e, const char *text)
{
    char host[TAPSI_ADDR_TEXT];
    union tapsi_addr address;
    size_t length = strcspn(text, "%");
    if (length == 0 || length >= sizeof(host))
        return TAPS_E_RANGE;
    memcpy(host, text, length);
    host[length] = '\0';
    if (tapsi_addr_parse(host, &address))
        return TAPS_E_RANGE;
    if (text[length] && address.sa.sa_family != AF_INET6)
        return TAPS_E_RANGE;
    if (e->has_address)
        return TAPS_E_DUPLICATE;
    if (text[length]) {
        int err = tapsi_endpoint_set_interface(e, text + length + 1);
        if (err)
            return err;
    }
    put_address(e, &address);
    return 0;
}

int tapsi_endpoint_set_address_bytes(struct taps_endpoint *e, const void *bytes, size_t count)
{
    union tapsi_addr address;
    if (count != 4 && count != 16)
        return TAPS_E_RANGE;
    if (e->has_address)
        return TAPS_E_DUPLICATE;
    tapsi_addr_from_bytes(&address, count == 4 ? AF_INET : AF_INET6, bytes);
    put_address(e, &address);
    return 0;
}

/* What the kernel takes for a name (dev_valid_name); an index in decimal is such a text too. */
int tapsi_endpoint_set_interface(struct taps_endpoint *e, const char *name)
{
    if (!length_ok(name, TAPSI_INTERFACE_MAX - 1) || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return TAPS_E_RANGE;
    for (const char *c = name; *c; c++) {
        unsigned char u = (unsigned char)*c;
        if (u <= ' ' || u == 127 || u == '/' || u == ':' || u == '%')
            return TAPS_E_RANGE;
    }
    if (e->interface[0])
        return TAPS_E_DUPLICATE;
    tapsi_format(e->interface, sizeof(e->interface), "%s", name);
    return 0;
}

int tapsi_endpoint_set_protocol(struct taps_endpoint *e, const char *protocol)
{
    if (!length_ok(protocol, TAPSI_PROTOCOL_MAX - 1) || !made_of(protocol, "-_"))
        return TAPS_E_RANGE;
    if (e->protocol[0])
        return TAPS_E_DUPLICATE;
    for (size_t i = 0; protocol[i]; i++)
        e->protocol[i] = is_letter(protocol[i]) ? (char)(protocol[i] | 0x20) : protocol[i];
    return 0;
}

static int set_port_or_service(struct taps_endpoint *e, const char *text)
{
    uint64_t port;
    if (text[0] && strspn(text, "0123456789") == strlen(text)) {
        if (tapsi_parse_uint(text, UINT16_MAX, &port))
            return TAPS_E_RANGE;
        return tapsi_endpoint_set_port(e, (uint16_t)port);
    }
    return tapsi_endpoint_set_service(e, text);
}

/* Splits "host:port" at `text`, a copy that may be cut up. */
static int parse_parts(struct taps_endpoint *e, char *text)
{
    char *host = text, *port = NULL;
    int err = 0;
    if (text[0] == '[') {
        char *end = strrchr(++host, ']'); /* the last: an interface may have brackets in its name */
        if (!end || (end[1] && end[1] != ':'))
            return TAPS_E_RANGE;
        if (end[1])
            port = end + 2;
        *end = '\0';
        if (!strchr(host, ':')) /* brackets are for IPv6 addresses */
            return TAPS_E_RANGE;
    } else {
        char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) {
            *colon = '\0';
            port = colon + 1;
        }
    }
    if (*host || !port)
        err = tapsi_endpoint_set_host_name(e, host);
    if (!err && port)
        err = set_port_or_service(e, port);
    return err;
}

int tapsi_endpoint_parse(struct taps_endpoint *e, const char *text)
{
    char copy[TAPSI_HOST_MAX + TAPSI_INTERFACE_MAX + TAPSI_SERVICE_MAX];
    struct taps_endpoint next = *e;
    if (!length_ok(text, sizeof(copy) - 1))
        return TAPS_E_RANGE;
    tapsi_format(copy, sizeof(copy), "%s", text);
    int err = parse_parts(&next, copy);
    if (!err)
        *e = next;
    return err;
}

void tapsi_endpoint_from_addr(struct taps_endpoint *e, bool remote, const union tapsi_addr *address)
{
    tapsi_endpoint_init(e, remote);
    e->has_port = true;
    e->port = tapsi_addr_port(address);
    put_address(e, address);
}

/* "2001:db8::1", "fe80::1%eth0"; in brackets when a port follows. */
static void address_part(const struct taps_endpoint *e, bool brackets, char *text, size_t size)
{
    char zone[TAPSI_INTERFACE_MAX + 1] = "";
    bool v6 = e->address.sa.sa_family == AF_INET6;
    if (v6 && e->interface[0] && tapsi_addr_is_link_local(&e->address))
        tapsi_format(zone, sizeof(zone), "%%%s", e->interface);
    else if (v6 && e->address.in6.sin6_scope_id)
        tapsi_format(zone, sizeof(zone), "%%%u", e->address.in6.sin6_scope_id);
    tapsi_format(text, size, brackets && v6 ? "[%s%s]" : "%s%s", e->address_text, zone);
}

size_t tapsi_endpoint_text(const struct taps_endpoint *e, char *text, size_t size)
{
    char host[TAPSI_HOST_MAX + TAPSI_ADDR_TEXT], port[TAPSI_SERVICE_MAX + 1] = "";
    if (e->has_port)
        tapsi_format(port, sizeof(port), ":%u", e->port);
    else if (e->service[0])
        tapsi_format(port, sizeof(port), ":%s", e->service);
    if (e->has_address)
        address_part(e, port[0] != '\0', host, sizeof(host));
    else
        tapsi_format(host, sizeof(host), "%s", e->host_name);
    if (size)
        tapsi_format(text, size, "%s%s", host, port);
    return strlen(host) + strlen(port);
}
