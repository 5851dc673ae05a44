/*
 * The system's files: hosts, services, resolv.conf, and name servers as text. The first lines are what is looked up,
 * the rest is the file. Lines that cannot matter must not: a comment and an incomplete line behind the file change
 * nothing.
 */
#include <stdio.h>
#include "input.h"
#include "loop/hosts.h"
#include "loop/resolvconf.h"
#include "select/endpoint.h"
#include "support.h"

#define TAIL "\n# nobody 192.0.2.1\n192.0.2.99\n"

static struct tapsi_span span_of(const char *text)
{
    return (struct tapsi_span){text, strlen(text)};
}

static void check_hosts(const char *file, const char *longer, const char *name, int family)
{
    union tapsi_addr all[64], few[2];
    bool known, again;
    size_t count = tapsi_hosts_find(span_of(file), name, family, all, 64, &known);
    CHECK(known || count == 0);
    for (size_t i = 0; i < count && i < 64; i++) {
        CHECK(all[i].sa.sa_family == family && tapsi_addr_port(&all[i]) == 0);
        for (size_t k = 0; k < i; k++)
            CHECK(!tapsi_addr_same_host(&all[i], &all[k]));
    }
    CHECK(tapsi_hosts_find(span_of(longer), name, family, few, 2, &again) >= (count < 2 ? count : 2));
    CHECK(again == known);
    for (size_t i = 0; i < count && i < 2; i++)
        CHECK(tapsi_addr_equal(&all[i], &few[i]));
}

static void check_services(const char *file, const char *longer, const char *name)
{
    static const char *const protocols[] = {"tcp", "udp"};
    for (int i = 0; i < 2; i++) {
        CHECK_INT(tapsi_services_find(span_of(longer), name, protocols[i]),
                  tapsi_services_find(span_of(file), name, protocols[i]));
        tapsi_service_port(file, name, protocols[i]);
    }
}

static void check_server(const struct tapsi_nameserver *server)
{
    char text[TAPSI_ADDR_TEXT + 32], host[TAPSI_ADDR_TEXT];
    struct tapsi_nameserver again;
    bool v6 = server->address.sa.sa_family == AF_INET6;
    tapsi_addr_host_text(&server->address, host);
    snprintf(text, sizeof(text), v6 ? "[%s%s%s]:%u" : "%s%s%s:%u", host, server->zone[0] ? "%" : "", server->zone,
             tapsi_addr_port(&server->address));
    if (tapsi_nameserver_parse(span_of(text), &again) != 0)
        tapsi_test_fail(__FILE__, __LINE__, "'%s' is not taken back", text);
    CHECK(tapsi_addr_equal(&server->address, &again.address) && strcmp(server->zone, again.zone) == 0);
}

static void check_conf(const struct tapsi_resolvconf *conf)
{
    CHECK(conf->server_count >= 1 && conf->server_count <= 3);
    CHECK(conf->domain_count <= TAPSI_SEARCH_MAX);
    CHECK(conf->ndots <= 15 && conf->attempts >= 1 && conf->attempts <= 5);
    CHECK(conf->timeout_ms == 0 || (conf->timeout_ms >= 1000 && conf->timeout_ms <= 30000));
    for (unsigned i = 0; i < conf->server_count; i++)
        check_server(&conf->servers[i]);
    for (unsigned i = 0; i < conf->domain_count; i++) {
        size_t length = strnlen(conf->domains[i], TAPSI_NAME_MAX);
        CHECK(length < TAPSI_NAME_MAX);
        CHECK(length == 0 || conf->domains[i][length - 1] != '.');
    }
}

static bool same_conf(const struct tapsi_resolvconf *a, const struct tapsi_resolvconf *b)
{
    if (a->server_count != b->server_count || a->domain_count != b->domain_count || a->ndots != b->ndots ||
        a->attempts != b->attempts || a->timeout_ms != b->timeout_ms || a->rotate != b->rotate)
        return false;
    for (unsigned i = 0; i < a->domain_count; i++) {
        if (strcmp(a->domains[i], b->domains[i]) != 0)
            return false;
    }
    return true;
}

static void check_servers(const char *list)
{
    static struct tapsi_resolvconf conf, before;
    tapsi_resolvconf_defaults(&conf);
    before = conf;
    int err = tapsi_nameservers_parse(list, &conf);
    if (err) {
        CHECK_INT(err, TAPS_E_RANGE);
        CHECK(memcmp(&conf, &before, sizeof(conf)) == 0);
        return;
    }
    CHECK(conf.server_count >= 1 && conf.server_count <= TAPSI_NAMESERVERS);
    for (unsigned i = 0; i < conf.server_count; i++)
        check_server(&conf.servers[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tapsi_resolvconf conf, again;
    struct fuzz_input in = fuzz_input(data, size);
    char *name = fuzz_line(&in), *servers = fuzz_line(&in), *file = fuzz_copy(in.at, in.left);
    size_t length = strlen(file);
    char *longer = malloc(length + sizeof(TAIL));
    fuzz_begin();
    memcpy(longer, file, length);
    memcpy(longer + length, TAIL, sizeof(TAIL));
    check_hosts(file, longer, name, AF_INET);
    check_hosts(file, longer, name, AF_INET6);
    check_services(file, longer, name);
    check_servers(servers);
    tapsi_resolvconf_parse(&conf, span_of(file), name);
    check_conf(&conf);
    tapsi_resolvconf_parse(&again, span_of(longer), name);
    CHECK(same_conf(&conf, &again));
    free(name);
    free(servers);
    free(file);
    free(longer);
    return 0;
}
