#include "loop/resolvconf.h"

#include <string.h>
#include "base/str.h"

#define LIBC_NAMESERVERS 3
#define NDOTS_MAX        15
#define TIMEOUT_MAX      30
#define ATTEMPTS_MAX     5
#define DNS_PORT         53

void tapsi_resolvconf_defaults(struct tapsi_resolvconf *conf)
{
    memset(conf, 0, sizeof(*conf)); /* the padding too: these are compared */
    conf->ndots = 1;
    conf->attempts = 3;
    conf->server_count = 1;
    tapsi_addr_parse("127.0.0.1", &conf->servers[0].address);
    tapsi_addr_set_port(&conf->servers[0].address, DNS_PORT);
}

/* ------------------------------------------------------------------------------------------ name servers */

static bool split_at(struct tapsi_span *text, const char *at, struct tapsi_span *ret_rest)
{
    if (!at)
        return false;
    size_t length = (size_t)(at - text->at);
    *ret_rest = (struct tapsi_span){at + 1, text->length - length - 1};
    text->length = length;
    return true;
}

/* Cuts `text` at the first `mark`; what stood behind it goes to *ret_rest. */
static bool split(struct tapsi_span *text, char mark, struct tapsi_span *ret_rest)
{
    return split_at(text, text->length ? memchr(text->at, mark, text->length) : NULL, ret_rest);
}

/* Takes brackets or the port off: *text is then the address with its zone. */
static bool split_port(struct tapsi_span *text, struct tapsi_span *ret_port)
{
    struct tapsi_span rest, after;
    if (text->length && text->at[0] == '[') {
        *text = (struct tapsi_span){text->at + 1, text->length - 1};
        /* The last one: an interface may have brackets in its name. */
        if (!split_at(text, text->length ? memrchr(text->at, ']', text->length) : NULL, &rest))
            return false;
        if (rest.length == 0)
            return true;
        *ret_port = (struct tapsi_span){rest.at + 1, rest.length - 1};
        return rest.at[0] == ':' && ret_port->length;
    }
    struct tapsi_span host = *text;
    if (split(&host, ':', &rest) && (rest.length == 0 || !split(&rest, ':', &after))) {
        *text = host;
        *ret_port = rest;
        return rest.length > 0;
    }
    return true;
}

int tapsi_nameserver_parse(struct tapsi_span text, struct tapsi_nameserver *ret)
{
    struct tapsi_nameserver server = {.zone = ""};
    struct tapsi_span port = {0}, zone = {0};
    char address[INET6_ADDRSTRLEN], number[8];
    uint64_t port_number = DNS_PORT;
    if (!split_port(&text, &port))
        return TAPS_E_RANGE;
    if (split(&text, '%', &zone) && !tapsi_span_copy(zone, server.zone, sizeof(server.zone)))
        return TAPS_E_RANGE;
    if (!tapsi_span_copy(text, address, sizeof(address)) || tapsi_addr_parse(address, &server.address) < 0)
        return TAPS_E_RANGE;
    if (server.zone[0] && server.address.sa.sa_family != AF_INET6)
        return TAPS_E_RANGE;
    if (port.length && (!tapsi_span_copy(port, number, sizeof(number)) ||
                        tapsi_parse_uint(number, 65535, &port_number) < 0 || port_number == 0))
        return TAPS_E_RANGE;
    tapsi_addr_set_port(&server.address, (uint16_t)port_number);
    *ret = server;
    return 0;
}

int tapsi_nameservers_parse(const char *text, struct tapsi_resolvconf *conf)
{
    struct tapsi_nameserver servers[TAPSI_NAMESERVERS];
    struct tapsi_span item, rest = {text, strlen(text)};
    unsigned count = 0;
    bool more;
    do {
        item = rest;
        more = split(&item, ',', &rest);
        while (item.length && item.at[0] == ' ')
            item = (struct tapsi_span){item.at + 1, item.length - 1};
        while (item.length && item.at[item.length - 1] == ' ')
            item.length--;
        if (count == TAPSI_NAMESERVERS || tapsi_nameserver_parse(item, &servers[count++]) < 0)
            return TAPS_E_RANGE;
    } while (more);
    memcpy(conf->servers, servers, count * sizeof(servers[0]));
    conf->server_count = count;
    return 0;
}

/* ------------------------------------------------------------------------------------------- search list */

static void add_domain(struct tapsi_resolvconf *conf, struct tapsi_span domain)
{
    if (conf->domain_count == TAPSI_SEARCH_MAX)
        return;
    char *to = conf->domains[conf->domain_count];
    while (domain.length && domain.at[domain.length - 1] == '.')
        domain.length--;
    if (domain.length == 0)
        to[0] = '\0'; /* "." */
    else if (!tapsi_span_copy(domain, to, TAPSI_NAME_MAX))
        return;
    conf->domain_count++;
}

static void parse_search(struct tapsi_resolvconf *conf, struct tapsi_span line, bool only_one)
{
    struct tapsi_span domain;
    conf->domain_count = 0; /* the last of several lines counts */
    while (tapsi_lines_field(&line, &domain)) {
        add_domain(conf, domain);
        if (only_one)
            return;
    }
}

/* "ndots:2": the number, at most `max`; false if the option is another one or its number is none. */
static bool option(struct tapsi_span field, const char *name, uint64_t max, uint64_t *ret)
{
    struct tapsi_span value;
    char number[16];
    uint64_t parsed;
    if (!split(&field, ':', &value) || !tapsi_span_is(field, name) || !tapsi_span_copy(value, number, sizeof(number)) ||
        tapsi_parse_uint(number, UINT32_MAX, &parsed) < 0)
        return false;
    *ret = parsed < max ? parsed : max;
    return true;
}

static void parse_options(struct tapsi_resolvconf *conf, struct tapsi_span line)
{
    struct tapsi_span field;
    uint64_t value;
    while (tapsi_lines_field(&line, &field)) {
        if (option(field, "ndots", NDOTS_MAX, &value))
            conf->ndots = (unsigned)value;
        else if (option(field, "timeout", TIMEOUT_MAX, &value))
            conf->timeout_ms = (uint32_t)(value ? value : 1) * 1000;
        else if (option(field, "attempts", ATTEMPTS_MAX, &value))
            conf->attempts = (unsigned)(value ? value : 1);
        else if (tapsi_span_is(field, "rotate"))
            conf->rotate = true;
    }
}

void tapsi_resolvconf_parse(struct tapsi_resolvconf *conf, struct tapsi_span text, const char *host_name)
{
    struct tapsi_span line, keyword, field;
    unsigned servers = 0;
    bool searched = false;
    tapsi_resolvconf_defaults(conf);
    while (tapsi_lines_next(&text, &line)) {
        if (line.length == 0 || line.at[0] == '#' || line.at[0] == ';' || !tapsi_lines_field(&line, &keyword))
            continue;
        if (tapsi_span_is(keyword, "nameserver") && servers < LIBC_NAMESERVERS && tapsi_lines_field(&line, &field)) {
            if (tapsi_nameserver_parse(field, &conf->servers[servers]) == 0)
                servers++;
        } else if (tapsi_span_is(keyword, "domain") || tapsi_span_is(keyword, "search")) {
            parse_search(conf, line, tapsi_span_is(keyword, "domain"));
            searched = true;
        } else if (tapsi_span_is(keyword, "options")) {
            parse_options(conf, line);
        }
    }
    if (servers)
        conf->server_count = servers;
    const char *dot = strchr(host_name, '.');
    if (!searched && dot && dot[1])
        add_domain(conf, (struct tapsi_span){dot + 1, strlen(dot + 1)});
}
