/* Hosts: their interfaces, addresses, routes, links and files, and the snapshot a platform gives of them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "platform/sim/link.h"
#include "platform/sim/socket.h"
#include "platform/sim/trace.h"

#define MTU_DEFAULT  1500
#define MTU_LOOPBACK 65536
#define TEXT_MAX     80

struct file {
    struct tapsi_link link;
    char *path, *text;
};

struct tapsi_sim_host *tapsi_sim_host_new(struct tapsi_sim *sim, const char *name)
{
    struct tapsi_sim_host *host = sim ? tapsi_zalloc(&sim->mem, sizeof *host) : NULL;
    if (!host) {
        if (sim)
            tapsi_sim_say_memory(sim);
        return NULL;
    }
    host->sim = sim;
    tapsi_format(host->name, sizeof host->name, "%s", name);
    tapsi_link_init(&host->interfaces);
    tapsi_link_init(&host->files);
    tapsi_link_init(&host->sockets);
    tapsi_link_init(&host->narrows);
    host->generation = 1;
    tapsi_list_append(&sim->hosts, &host->link);
    tapsi_sim_interface_new(host, "lo", TAPSI_IF_LOOPBACK, "127.0.0.1/8 ::1/128");
    return host;
}

static void free_interface(struct tapsi_sim_interface *interface)
{
    struct tapsi_mem *mem = &interface->host->sim->mem;
    tapsi_free(mem, interface->addresses);
    tapsi_free(mem, interface->routes);
    tapsi_free(mem, interface->ports);
    tapsi_free(mem, interface);
}

static void free_file(struct tapsi_mem *mem, struct file *file)
{
    tapsi_list_remove(&file->link);
    tapsi_free(mem, file->path);
    tapsi_free(mem, file->text);
    tapsi_free(mem, file);
}

void tapsi_simhost_free(struct tapsi_sim_host *host)
{
    struct tapsi_mem *mem = &host->sim->mem;
    for (struct tapsi_link *l; (l = tapsi_list_first(&host->sockets));)
        tapsi_simsock_free(TAPSI_CONTAINER(l, struct tapsi_simsock, link));
    for (struct tapsi_link *l; (l = tapsi_list_pop(&host->interfaces));)
        free_interface(TAPSI_CONTAINER(l, struct tapsi_sim_interface, link));
    for (struct tapsi_link *l; (l = tapsi_list_first(&host->files));)
        free_file(mem, TAPSI_CONTAINER(l, struct file, link));
    tapsi_simwire_done_host(host);
    tapsi_free(mem, host);
}

bool tapsi_simhost_parse(struct tapsi_sim *sim, const char *text, union tapsi_addr *ret, unsigned *ret_bits)
{
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    char host[TEXT_MAX];
    if (length < sizeof host) {
        memcpy(host, text, length);
        host[length] = 0;
        if (tapsi_addr_parse(host, ret) == 0) {
            unsigned count;
            tapsi_addr_bytes(ret, &count);
            uint64_t bits = 8 * count;
            if (!slash || tapsi_parse_uint(slash + 1, 8 * count, &bits) == 0) {
                *ret_bits = (unsigned)bits;
                return true;
            }
        }
    }
    tapsi_sim_say(sim, "not an address: \"%s\"", text);
    return false;
}

void tapsi_simhost_changed(struct tapsi_sim_host *host, const char *format, ...)
{
    host->generation++;
    if (host->sim->trace_to) {
        char text[TEXT_MAX * 2];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        tapsi_simtrace_line(host->sim, host, "network", "%llu: %s", (unsigned long long)host->generation, text);
    }
    for (struct tapsi_link *l = host->sim->platforms.next; l != &host->sim->platforms; l = l->next) {
        struct tapsi_simplatform *p = TAPSI_CONTAINER(l, struct tapsi_simplatform, link);
        if (p->host == host && (p->network || p->hears))
            __atomic_store_n(&p->woken, true, __ATOMIC_RELEASE);
        if (p->host == host)
            p->heard = p->hears != NULL;
    }
}

/* Room for one more element, or the world has a problem. */
static bool grow(struct tapsi_sim *sim, void *array_pointer, size_t *capacity, size_t count, size_t size)
{
    if (tapsi_grow(&sim->mem, array_pointer, capacity, count, size) == 0)
        return true;
    tapsi_sim_say_memory(sim);
    return false;
}

static bool add_route(struct tapsi_sim_interface *interface, const union tapsi_addr *destination, unsigned bits,
                      unsigned metric)
{
    if (!grow(interface->host->sim, &interface->routes, &interface->route_capacity, interface->route_count,
              sizeof *interface->routes))
        return false;
    interface->routes[interface->route_count++] = (struct tapsi_route){*destination, bits, metric};
    return true;
}

/* Clears the bits after the prefix. */
static union tapsi_addr network_of(const union tapsi_addr *address, unsigned bits)
{
    unsigned count;
    const uint8_t *bytes = tapsi_addr_bytes(address, &count);
    uint8_t cut[16] = {0};
    for (unsigned i = 0; i < count; i++) {
        unsigned left = bits > 8 * i ? bits - 8 * i : 0;
        cut[i] = left >= 8 ? bytes[i] : (uint8_t)(bytes[i] & (0xff00 >> left));
    }
    union tapsi_addr network;
    tapsi_addr_from_bytes(&network, address->sa.sa_family, cut);
    return network;
}

static bool has_default(const struct tapsi_sim_interface *interface, int family)
{
    for (size_t i = 0; i < interface->route_count; i++) {
        if (interface->routes[i].prefix_bits == 0 && interface->routes[i].destination.sa.sa_family == family)
            return true;
    }
    return false;
}

static bool add_address(struct tapsi_sim_interface *interface, const char *address, bool temporary, bool deprecated)
{
    struct tapsi_local_address entry = {.temporary = temporary, .deprecated = deprecated};
    if (!tapsi_simhost_parse(interface->host->sim, address, &entry.address, &entry.prefix_bits))
        return false;
    bool local = tapsi_addr_is_link_local(&entry.address) || interface->type == TAPSI_IF_LOOPBACK;
    int family = entry.address.sa.sa_family;
    if (family == AF_INET6 && tapsi_addr_is_link_local(&entry.address))
        entry.address.in6.sin6_scope_id = interface->index;
    if (!grow(interface->host->sim, &interface->addresses, &interface->address_capacity, interface->address_count,
              sizeof entry))
        return false;
    interface->addresses[interface->address_count++] = entry;
    union tapsi_addr network = network_of(&entry.address, entry.prefix_bits);
    add_route(interface, &network, entry.prefix_bits, family == AF_INET6 ? 256 : 0);
    if (!local && !has_default(interface, family)) {
        network = network_of(&entry.address, 0);
        add_route(interface, &network, 0, 100 * interface->index);
    }
    return true;
}

void tapsi_sim_address_add(struct tapsi_sim_interface *interface, const char *address, bool temporary, bool deprecated)
{
    if (interface && add_address(interface, address, temporary, deprecated))
        tapsi_simhost_changed(interface->host, "%s address %s%s%s", interface->name, address,
                              temporary ? " temporary" : "", deprecated ? " deprecated" : "");
}

/* The route of its prefix goes unless another address keeps it; with the last IPv4 address all of IPv4 goes, while the
   other IPv6 routes stay: as in Linux. */
static void drop_routes_of(struct tapsi_sim_interface *interface, const struct tapsi_local_address *gone)
{
    union tapsi_addr network = network_of(&gone->address, gone->prefix_bits);
    int family = gone->address.sa.sa_family;
    bool needed = false, last = true;
    for (size_t i = 0; i < interface->address_count; i++) {
        const struct tapsi_local_address *a = &interface->addresses[i];
        if (a->address.sa.sa_family != family)
            continue;
        last = false;
        needed |= a->prefix_bits == gone->prefix_bits && tapsi_addr_in_prefix(&a->address, &network, a->prefix_bits);
    }
    size_t kept = 0;
    for (size_t i = 0; i < interface->route_count; i++) {
        const struct tapsi_route *r = &interface->routes[i];
        bool goes = !needed && r->prefix_bits == gone->prefix_bits && tapsi_addr_same_host(&r->destination, &network);
        goes |= last && family == AF_INET && r->destination.sa.sa_family == AF_INET;
        if (!goes)
            interface->routes[kept++] = *r;
    }
    interface->route_count = kept;
}

void tapsi_sim_address_remove(struct tapsi_sim_interface *interface, const char *address)
{
    union tapsi_addr gone;
    unsigned bits;
    if (!interface || !tapsi_simhost_parse(interface->host->sim, address, &gone, &bits))
        return;
    for (size_t i = 0; i < interface->address_count; i++) {
        struct tapsi_local_address entry = interface->addresses[i];
        if (!tapsi_addr_same_host(&entry.address, &gone))
            continue;
        interface->address_count--;
        memmove(&interface->addresses[i], &interface->addresses[i + 1],
                (interface->address_count - i) * sizeof *interface->addresses);
        drop_routes_of(interface, &entry);
        break;
    }
    tapsi_simhost_changed(interface->host, "%s no address %s", interface->name, address);
}

struct tapsi_sim_interface *tapsi_sim_interface_new(struct tapsi_sim_host *host, const char *name,
                                                    enum tapsi_interface_type type, const char *addresses)
{
    struct tapsi_sim_interface *interface = host ? tapsi_zalloc(&host->sim->mem, sizeof *interface) : NULL;
    if (!interface) {
        if (host)
            tapsi_sim_say_memory(host->sim);
        return NULL;
    }
    interface->host = host;
    interface->index = ++host->interface_count;
    interface->type = type;
    interface->mtu = type == TAPSI_IF_LOOPBACK ? MTU_LOOPBACK : MTU_DEFAULT;
    interface->up = true;
    tapsi_format(interface->name, sizeof interface->name, "%s", name);
    tapsi_list_append(&host->interfaces, &interface->link);
    for (const char *at = addresses; at && *at;) {
        size_t length = strcspn(at, " ");
        char one[TEXT_MAX];
        tapsi_format(one, sizeof one, "%.*s", (int)length, at);
        if (length)
            add_address(interface, one, false, false);
        at += length + (at[length] == ' ');
    }
    tapsi_simhost_changed(host, "%s %s", interface->name, addresses ? addresses : "");
    return interface;
}

unsigned tapsi_sim_interface_index(const struct tapsi_sim_interface *interface)
{
    return interface ? interface->index : 0;
}

void tapsi_sim_interface_up(struct tapsi_sim_interface *interface, bool up)
{
    if (interface) {
        interface->up = up;
        tapsi_simhost_changed(interface->host, "%s %s", interface->name, up ? "up" : "down");
    }
}

void tapsi_sim_interface_mtu(struct tapsi_sim_interface *interface, unsigned mtu)
{
    if (interface) {
        interface->mtu = mtu;
        tapsi_simhost_changed(interface->host, "%s MTU %u", interface->name, mtu);
    }
}

void tapsi_sim_route_add(struct tapsi_sim_interface *interface, const char *destination, unsigned metric)
{
    union tapsi_addr network;
    unsigned bits;
    if (interface && tapsi_simhost_parse(interface->host->sim, destination, &network, &bits) &&
        add_route(interface, &network, bits, metric))
        tapsi_simhost_changed(interface->host, "%s route to %s metric %u", interface->name, destination, metric);
}

void tapsi_sim_route_remove(struct tapsi_sim_interface *interface, const char *destination)
{
    union tapsi_addr network;
    unsigned bits;
    if (!interface || !tapsi_simhost_parse(interface->host->sim, destination, &network, &bits))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < interface->route_count; i++) {
        const struct tapsi_route *r = &interface->routes[i];
        if (r->prefix_bits != bits || !tapsi_addr_same_host(&r->destination, &network))
            interface->routes[kept++] = *r;
    }
    interface->route_count = kept;
    tapsi_simhost_changed(interface->host, "%s no route to %s", interface->name, destination);
}

static struct file *find_file(struct tapsi_sim_host *host, const char *path)
{
    for (struct tapsi_link *l = host->files.next; l != &host->files; l = l->next) {
        struct file *file = TAPSI_CONTAINER(l, struct file, link);
        if (strcmp(file->path, path) == 0)
            return file;
    }
    return NULL;
}

void tapsi_sim_file(struct tapsi_sim_host *host, const char *path, const char *text)
{
    if (!host)
        return;
    struct tapsi_mem *mem = &host->sim->mem;
    struct file *old = find_file(host, path);
    if (old)
        free_file(mem, old);
    if (!text)
        return;
    struct file *file = tapsi_zalloc(mem, sizeof *file);
    if (!file) {
        tapsi_sim_say_memory(host->sim);
        return;
    }
    tapsi_list_append(&host->files, &file->link);
    file->path = tapsi_strdup(mem, path);
    file->text = tapsi_strdup(mem, text);
    if (!file->path || !file->text) {
        free_file(mem, file);
        tapsi_sim_say_memory(host->sim);
    }
}

int tapsi_simhost_read(struct tapsi_sim_host *host, struct tapsi_mem *mem, const char *path, size_t max,
                       char **ret_text, size_t *ret_length)
{
    struct file *file = find_file(host, path);
    if (!file)
        return -ENOENT;
    size_t length = strlen(file->text);
    if (length > max)
        return -EFBIG;
    char *text = tapsi_strndup(mem, file->text, length);
    if (!text)
        return -ENOMEM;
    *ret_text = text;
    *ret_length = length;
    return 0;
}

void tapsi_sim_host_descriptors(struct tapsi_sim_host *host, unsigned max)
{
    if (host)
        host->descriptors_max = max;
}

void tapsi_sim_host_no_trains(struct tapsi_sim_host *host)
{
    if (host)
        host->no_trains = true;
}

unsigned tapsi_sim_host_sockets(const struct tapsi_sim_host *host)
{
    return host ? host->open : 0;
}

unsigned tapsi_sim_host_leaked(const struct tapsi_sim_host *host)
{
    return host ? host->leaked : 0;
}

struct tapsi_sim_interface *tapsi_simhost_interface(struct tapsi_sim_host *host, unsigned index)
{
    for (struct tapsi_link *l = host->interfaces.next; l != &host->interfaces; l = l->next) {
        struct tapsi_sim_interface *interface = TAPSI_CONTAINER(l, struct tapsi_sim_interface, link);
        if (interface->index == index)
            return interface;
    }
    return NULL;
}

struct tapsi_sim_interface *tapsi_simhost_interface_named(struct tapsi_sim_host *host, const char *name)
{
    for (struct tapsi_link *l = host->interfaces.next; l != &host->interfaces; l = l->next) {
        struct tapsi_sim_interface *interface = TAPSI_CONTAINER(l, struct tapsi_sim_interface, link);
        if (strcmp(interface->name, name) == 0)
            return interface;
    }
    return NULL;
}

/* Asked several times for each packet. */
static bool same_host(const union tapsi_addr *a, const union tapsi_addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
}

bool tapsi_siminterface_has(const struct tapsi_sim_interface *interface, const union tapsi_addr *address)
{
    bool loopback = interface->type == TAPSI_IF_LOOPBACK && address->sa.sa_family == AF_INET;
    for (size_t i = 0; i < interface->address_count; i++) {
        const struct tapsi_local_address *own = &interface->addresses[i];
        if (same_host(&own->address, address))
            return true;
        /* The whole of 127.0.0.0/8 is the host's. */
        if (loopback && own->address.sa.sa_family == AF_INET &&
            tapsi_addr_in_prefix(address, &own->address, own->prefix_bits))
            return true;
    }
    return false;
}

struct tapsi_sim_interface *tapsi_simhost_owner(struct tapsi_sim_host *host, const union tapsi_addr *address)
{
    unsigned scope = 0;
    if (address->sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(address))
        scope = address->in6.sin6_scope_id;
    for (struct tapsi_link *l = host->interfaces.next; l != &host->interfaces; l = l->next) {
        struct tapsi_sim_interface *interface = TAPSI_CONTAINER(l, struct tapsi_sim_interface, link);
        if ((!scope || scope == interface->index) && tapsi_siminterface_has(interface, address))
            return interface;
    }
    return NULL;
}

static int copy_interface(struct tapsi_mem *mem, const struct tapsi_sim_interface *from, struct tapsi_interface *to)
{
    struct tapsi_local_address *addresses = tapsi_calloc(mem, from->address_count, sizeof *addresses);
    struct tapsi_route *routes = tapsi_calloc(mem, from->route_count, sizeof *routes);
    /* Taken in before the check: unref frees both. */
    to->addresses = addresses;
    to->routes = routes;
    if (!addresses || !routes)
        return -ENOMEM;
    if (from->address_count)
        memcpy(addresses, from->addresses, from->address_count * sizeof *addresses);
    if (from->route_count)
        memcpy(routes, from->routes, from->route_count * sizeof *routes);
    memcpy(to->name, from->name, sizeof to->name);
    to->index = from->index;
    to->type = from->type;
    to->mtu = from->mtu;
    to->up = from->up && tapsi_simlink_carrier(from);
    to->address_count = from->address_count;
    to->route_count = from->route_count;
    return 0;
}

int tapsi_simhost_snapshot(struct tapsi_sim_host *host, struct tapsi_mem *mem, struct tapsi_network **ret)
{
    struct tapsi_network *network = tapsi_zalloc(mem, sizeof *network);
    if (!network)
        return -ENOMEM;
    network->mem = mem;
    network->refs = 1;
    network->generation = host->generation;
    network->interfaces = tapsi_calloc(mem, host->interface_count, sizeof *network->interfaces);
    if (!network->interfaces)
        goto no_memory;
    for (struct tapsi_link *l = host->interfaces.next; l != &host->interfaces; l = l->next) {
        const struct tapsi_sim_interface *from = TAPSI_CONTAINER(l, struct tapsi_sim_interface, link);
        if (copy_interface(mem, from, &network->interfaces[network->interface_count++]) < 0)
            goto no_memory;
    }
    *ret = network;
    return 0;
no_memory:
    tapsi_network_unref(network);
    return -ENOMEM;
}
