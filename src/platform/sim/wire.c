/* The wire: which way a packet takes, and what becomes of it; rules per destination; counters and the trace. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "platform/sim/link.h"
#include "platform/sim/socket.h"

#define LOOPBACK_DELAY  (10 * TAPSI_SIM_US) /* above 0, so that a loop of packets makes time go on */
#define NEIGHBOUR_DELAY (3 * TAPSI_SIM_S)   /* until a neighbour is given up */
#define DOUBLE_BITS     53

struct rule {
    struct tapsi_link link;
    union tapsi_addr address; /* port 0 = every port */
    enum tapsi_sim_fault fault;
    uint64_t delay;
};

struct counter {
    struct tapsi_link link;
    union tapsi_addr to;
    uint64_t packets;
};

struct tapsi_sim_link *tapsi_sim_link_new(struct tapsi_sim_interface *a, struct tapsi_sim_interface *b,
                                          uint64_t delay_ns)
{
    if (!a || !b)
        return NULL;
    struct tapsi_sim *sim = a->host->sim;
    struct tapsi_sim_link *link = tapsi_zalloc(&sim->mem, sizeof *link);
    if (!link) {
        tapsi_sim_say_memory(sim);
        return NULL;
    }
    link->sim = sim;
    link->delay = delay_ns;
    tapsi_list_append(&sim->links, &link->link);
    tapsi_sim_link_join(link, a);
    tapsi_sim_link_join(link, b);
    return link;
}

static void check_unique(struct tapsi_sim_link *link, const struct tapsi_sim_interface *newcomer)
{
    for (size_t i = 0; i < newcomer->address_count; i++) {
        for (size_t k = 0; k < link->member_count; k++) {
            char text[TAPSI_ADDR_TEXT];
            if (tapsi_siminterface_has(link->members[k], &newcomer->addresses[i].address))
                tapsi_sim_say(link->sim, "two hosts on one link have %s",
                              tapsi_addr_host_text(&newcomer->addresses[i].address, text));
        }
    }
}

void tapsi_sim_link_join(struct tapsi_sim_link *link, struct tapsi_sim_interface *interface)
{
    if (!link || !interface)
        return;
    struct tapsi_mem *mem = &link->sim->mem;
    check_unique(link, interface);
    if (tapsi_grow(mem, &link->members, &link->member_capacity, link->member_count, sizeof *link->members) < 0 ||
        tapsi_grow(mem, &interface->ports, &interface->port_capacity, interface->port_count, sizeof *interface->ports) <
            0) {
        tapsi_sim_say_memory(link->sim);
        return;
    }
    link->members[link->member_count++] = interface;
    interface->ports[interface->port_count++] = (struct tapsi_sim_port){.on = link};
}

void tapsi_sim_link_delay(struct tapsi_sim_link *link, uint64_t delay_ns)
{
    if (link)
        link->delay = delay_ns;
}

void tapsi_sim_link_loss(struct tapsi_sim_link *link, double probability)
{
    if (link)
        link->loss = probability;
}

void tapsi_sim_link_rate(struct tapsi_sim_link *link, uint64_t bits_per_second)
{
    if (link)
        link->rate = bits_per_second;
}

void tapsi_sim_link_fault(struct tapsi_sim_link *link, enum tapsi_sim_fault fault)
{
    if (link)
        link->fault = fault;
}

/* "2001:db8::1", "192.0.2.1:80", "[2001:db8::1]:443". */
static bool parse_with_port(struct tapsi_sim *sim, const char *text, union tapsi_addr *ret)
{
    char host[TAPSI_ADDR_TEXT];
    const char *start = text, *end = NULL, *port = NULL;
    if (*text == '[') {
        start++;
        end = strchr(start, ']');
        port = end && end[1] == ':' ? end + 2 : NULL;
    } else if (strchr(text, '.') && (end = strchr(text, ':'))) {
        port = end + 1;
    }
    tapsi_format(host, sizeof host, "%.*s", end ? (int)(end - start) : (int)strlen(start), start);
    unsigned bits;
    uint64_t number = 0;
    if (!tapsi_simhost_parse(sim, host, ret, &bits))
        return false;
    if (port && tapsi_parse_uint(port, UINT16_MAX, &number) < 0) {
        tapsi_sim_say(sim, "not a port: \"%s\"", text);
        return false;
    }
    tapsi_addr_set_port(ret, (uint16_t)number);
    return true;
}

static struct rule *find_rule(struct tapsi_sim *sim, const union tapsi_addr *to, uint16_t port)
{
    for (struct tapsi_link *l = sim->rules.next; l != &sim->rules; l = l->next) {
        struct rule *rule = TAPSI_CONTAINER(l, struct rule, link);
        if (tapsi_addr_same_host(&rule->address, to) && tapsi_addr_port(&rule->address) == port)
            return rule;
    }
    return NULL;
}

static struct rule *rule_for(struct tapsi_sim *sim, const char *address)
{
    union tapsi_addr to;
    if (!sim || !parse_with_port(sim, address, &to))
        return NULL;
    struct rule *rule = find_rule(sim, &to, tapsi_addr_port(&to));
    if (rule)
        return rule;
    rule = tapsi_zalloc(&sim->mem, sizeof *rule);
    if (!rule) {
        tapsi_sim_say_memory(sim);
        return NULL;
    }
    rule->address = to;
    tapsi_list_append(&sim->rules, &rule->link);
    return rule;
}

void tapsi_sim_fault(struct tapsi_sim *sim, const char *address, enum tapsi_sim_fault fault)
{
    struct rule *rule = rule_for(sim, address);
    if (rule)
        rule->fault = fault;
}

void tapsi_sim_delay(struct tapsi_sim *sim, const char *address, uint64_t delay_ns)
{
    struct rule *rule = rule_for(sim, address);
    if (rule)
        rule->delay = delay_ns;
}

void tapsi_sim_trace(struct tapsi_sim *sim, void (*hook)(void *arg, const struct tapsi_sim_packet *packet), void *arg)
{
    if (sim) {
        sim->trace = hook;
        sim->trace_arg = arg;
    }
}

void tapsi_sim_trace_print(void *arg, const struct tapsi_sim_packet *packet)
{
    (void)arg;
    static const char *const fates[] = {"", " lost", " answered by a fault"};
    char from[TAPSI_ADDR_TEXT], to[TAPSI_ADDR_TEXT];
    printf("# %10.3f ms %s %s: %s > %s %s %zu%s\n", (double)(packet->time_ns - TAPSI_SIM_START) / 1e6,
           packet->host->name, packet->interface, tapsi_addr_text(&packet->from, from),
           tapsi_addr_text(&packet->to, to), packet->kind, packet->length, fates[packet->fate]);
}

static void count(struct tapsi_sim *sim, const union tapsi_addr *to)
{
    struct counter *c;
    for (struct tapsi_link *l = sim->counters.next; l != &sim->counters; l = l->next) {
        c = TAPSI_CONTAINER(l, struct counter, link);
        if (!tapsi_addr_same_host(&c->to, to) || tapsi_addr_port(&c->to) != tapsi_addr_port(to))
            continue;
        c->packets++;
        /* What is counted often is found early. */
        tapsi_list_remove(&c->link);
        tapsi_list_prepend(&sim->counters, &c->link);
        return;
    }
    c = tapsi_zalloc(&sim->mem, sizeof *c);
    if (!c) {
        tapsi_sim_say_memory(sim);
        return;
    }
    c->to = *to;
    c->packets = 1;
    tapsi_list_prepend(&sim->counters, &c->link);
}

uint64_t tapsi_sim_packets_to(const struct tapsi_sim *sim, const char *address)
{
    union tapsi_addr to;
    uint64_t packets = 0;
    struct tapsi_sim scratch = {.refs = 0};
    if (!sim || !parse_with_port(&scratch, address, &to))
        return 0;
    for (struct tapsi_link *l = sim->counters.next; l != &sim->counters; l = l->next) {
        const struct counter *c = TAPSI_CONTAINER(l, struct counter, link);
        bool port = tapsi_addr_port(&to) == 0 || tapsi_addr_port(&to) == tapsi_addr_port(&c->to);
        if (port && tapsi_addr_same_host(&c->to, &to))
            packets += c->packets;
    }
    return packets;
}

/* Routes. */

/* The best matching route of one interface: prefix bits + 1, or 0; `*ret_metric` is its metric. */
static unsigned match(const struct tapsi_sim_interface *interface, const union tapsi_addr *to, unsigned *ret_metric)
{
    unsigned best = 0;
    for (size_t i = 0; i < interface->route_count; i++) {
        const struct tapsi_route *r = &interface->routes[i];
        if (r->destination.sa.sa_family != to->sa.sa_family ||
            !tapsi_addr_in_prefix(to, &r->destination, r->prefix_bits))
            continue;
        if (r->prefix_bits + 1 > best || (r->prefix_bits + 1 == best && r->metric < *ret_metric)) {
            best = r->prefix_bits + 1;
            *ret_metric = r->metric;
        }
    }
    return best;
}

static struct tapsi_sim_interface *choose_interface(struct tapsi_sim_host *host, const union tapsi_addr *to,
                                                    unsigned device)
{
    struct tapsi_sim_interface *best = NULL;
    unsigned best_bits = 0, best_metric = 0;
    for (struct tapsi_link *l = host->interfaces.next; l != &host->interfaces; l = l->next) {
        struct tapsi_sim_interface *interface = TAPSI_CONTAINER(l, struct tapsi_sim_interface, link);
        unsigned metric = 0;
        if (!interface->up || (device && device != interface->index))
            continue;
        unsigned bits = match(interface, to, &metric);
        if (bits > best_bits || (bits && bits == best_bits && metric < best_metric)) {
            best = interface;
            best_bits = bits;
            best_metric = metric;
        }
    }
    return best;
}

static unsigned common_bits(const union tapsi_addr *a, const union tapsi_addr *b)
{
    unsigned length, bits = 0;
    tapsi_addr_bytes(a, &length);
    while (bits < 8 * length && tapsi_addr_in_prefix(a, b, bits + 1))
        bits++;
    return bits;
}

/* RFC 6724, section 5, as one number: scope, not deprecated, public or temporary, longest match. */
static unsigned source_score(const struct tapsi_local_address *a, const union tapsi_addr *to, unsigned preference)
{
    bool same_scope = tapsi_addr_is_link_local(&a->address) == tapsi_addr_is_link_local(to);
    bool wanted = a->temporary == (preference == TAPSI_SIM_SOURCE_TEMPORARY);
    return 1 + (same_scope ? 4096u : 0u) + (a->deprecated ? 0u : 2048u) + (wanted ? 1024u : 0u) +
           common_bits(&a->address, to);
}

static const struct tapsi_local_address *choose_source(const struct tapsi_sim_interface *interface,
                                                       const union tapsi_addr *to, unsigned preference)
{
    const struct tapsi_local_address *best = NULL;
    unsigned best_score = 0;
    for (size_t i = 0; i < interface->address_count; i++) {
        const struct tapsi_local_address *a = &interface->addresses[i];
        unsigned score = a->address.sa.sa_family == to->sa.sa_family ? source_score(a, to, preference) : 0;
        if (score > best_score) {
            best = a;
            best_score = score;
        }
    }
    return best;
}

int tapsi_simwire_route(struct tapsi_sim_host *host, const union tapsi_addr *to, unsigned device, unsigned preference,
                        struct tapsi_sim_interface **ret_out, union tapsi_addr *ret_source)
{
    if (to->sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(to)) {
        unsigned scope = to->in6.sin6_scope_id;
        if ((!scope && !device) || (scope && device && scope != device))
            return -EINVAL;
        device = device ? device : scope;
    }
    struct tapsi_sim_interface *owner = tapsi_simhost_owner(host, to);
    if (owner && (!device || device == owner->index || device == 1)) {
        *ret_out = tapsi_simhost_interface(host, 1);
        *ret_source = *to;
        tapsi_addr_set_port(ret_source, 0);
        return 0;
    }
    struct tapsi_sim_interface *out = choose_interface(host, to, device);
    if (!out)
        return -ENETUNREACH;
    const struct tapsi_local_address *source = choose_source(out, to, preference);
    for (struct tapsi_link *l = host->interfaces.next; !source && l != &host->interfaces; l = l->next) {
        struct tapsi_sim_interface *other = TAPSI_CONTAINER(l, struct tapsi_sim_interface, link);
        if (other->type != TAPSI_IF_LOOPBACK && other->up)
            source = choose_source(other, to, preference);
    }
    if (!source)
        return -EADDRNOTAVAIL;
    *ret_out = out;
    *ret_source = source->address;
    return 0;
}

unsigned tapsi_simwire_mtu(const struct tapsi_simwire_way *way)
{
    struct tapsi_sim_interface *out;
    union tapsi_addr source;
    if (tapsi_simwire_route(way->host, &way->to, way->device, 0, &out, &source) < 0)
        return 1280;
    return out->mtu;
}

/* Sending. */

static bool on_link(const struct tapsi_sim_interface *out, const union tapsi_addr *to)
{
    for (size_t i = 0; i < out->address_count; i++) {
        const struct tapsi_local_address *a = &out->addresses[i];
        if (a->address.sa.sa_family == to->sa.sa_family && tapsi_addr_in_prefix(to, &a->address, a->prefix_bits))
            return true;
    }
    return false;
}

/* Finds who has the address: its interface, and our port on the link that leads there. */
static struct tapsi_sim_interface *find_receiver(struct tapsi_sim_interface *out, const union tapsi_addr *to,
                                                 struct tapsi_sim_port **ret_port)
{
    for (size_t i = 0; i < out->port_count; i++) {
        struct tapsi_sim_link *link = out->ports[i].on;
        for (size_t k = 0; k < link->member_count; k++) {
            struct tapsi_sim_interface *in = link->members[k];
            if (in != out && tapsi_siminterface_has(in, to)) {
                *ret_port = &out->ports[i];
                return in;
            }
        }
    }
    /* Nobody: the packet still goes out somewhere. */
    *ret_port = out->port_count ? &out->ports[0] : NULL;
    return NULL;
}

static uint64_t queueing(struct tapsi_sim *sim, struct tapsi_sim_port *port, size_t bytes)
{
    if (!port->on->rate)
        return 0;
    uint64_t start = port->busy_until > sim->now ? port->busy_until : sim->now;
    port->busy_until = start + bytes * 8 * TAPSI_SIM_S / port->on->rate;
    return port->busy_until - sim->now;
}

static bool unlucky(struct tapsi_sim *sim, const struct tapsi_sim_link *link)
{
    if (link->loss <= 0)
        return false;
    double chance = (double)(tapsi_sim_dice(&sim->dice) >> (64 - DOUBLE_BITS)) / (double)(UINT64_C(1) << DOUBLE_BITS);
    return chance < link->loss;
}

static void judge(struct tapsi_sim *sim, const struct tapsi_simwire_way *way, size_t bytes,
                  const struct rule *host_rule, const struct rule *port_rule, struct tapsi_simwire_verdict *v)
{
    struct tapsi_sim_port *port;
    struct tapsi_sim_interface *in = find_receiver(v->out, &way->to, &port);
    if (!port)
        return;
    v->delay = port->on->delay + queueing(sim, port, bytes);
    v->delay += (host_rule ? host_rule->delay : 0) + (port_rule ? port_rule->delay : 0);
    v->delay = v->delay ? v->delay : TAPSI_SIM_US;
    enum tapsi_sim_fault fault = port_rule && port_rule->fault ? port_rule->fault
                                 : host_rule                   ? host_rule->fault
                                                               : TAPSI_SIM_FINE;
    fault = port->on->fault ? port->on->fault : fault;
    if (fault == TAPSI_SIM_BLACKHOLE || unlucky(sim, port->on))
        return;
    if (fault) {
        v->fate = TAPSI_SIM_ANSWERED;
        v->answer = fault;
        v->delay *= 2;
    } else if (in && in->up) {
        v->fate = TAPSI_SIM_ARRIVES;
        v->in = in;
    } else if (!in && on_link(v->out, &way->to)) {
        v->unowned = true;
        v->delay = NEIGHBOUR_DELAY;
    }
}

void tapsi_simwire_send(const struct tapsi_simwire_way *way, const char *kind, size_t length,
                        struct tapsi_simwire_verdict *ret)
{
    struct tapsi_sim *sim = way->host->sim;
    *ret = (struct tapsi_simwire_verdict){.fate = TAPSI_SIM_LOST};
    union tapsi_addr source;
    if (tapsi_simwire_route(way->host, &way->to, way->device, 0, &ret->out, &source) < 0)
        return;
    if (ret->out->type == TAPSI_IF_LOOPBACK) {
        if (ret->out->up) {
            ret->fate = TAPSI_SIM_ARRIVES;
            ret->delay = LOOPBACK_DELAY;
            ret->in = ret->out;
        }
        return;
    }
    unsigned header = way->to.sa.sa_family == AF_INET6 ? 60 : 40;
    uint16_t port = tapsi_addr_port(&way->to);
    judge(sim, way, length + header, find_rule(sim, &way->to, 0), port ? find_rule(sim, &way->to, port) : NULL, ret);
    count(sim, &way->to);
    if (sim->trace) {
        struct tapsi_sim_packet packet = {sim->now,  way->host, ret->out->name, kind,
                                          way->from, way->to,   length,         ret->fate};
        sim->trace(sim->trace_arg, &packet);
    }
}

int tapsi_simwire_errno(enum tapsi_sim_fault answer, int family)
{
    switch (answer) {
    case TAPSI_SIM_REFUSE:
        return ECONNREFUSED;
    case TAPSI_SIM_PROHIBIT:
        return family == AF_INET6 ? EACCES : EHOSTUNREACH;
    case TAPSI_SIM_UNREACHABLE:
        return ENETUNREACH;
    default:
        return 0;
    }
}

void tapsi_simwire_done(struct tapsi_sim *sim)
{
    for (struct tapsi_link *l; (l = tapsi_list_pop(&sim->rules));)
        tapsi_free(&sim->mem, TAPSI_CONTAINER(l, struct rule, link));
    for (struct tapsi_link *l; (l = tapsi_list_pop(&sim->counters));)
        tapsi_free(&sim->mem, TAPSI_CONTAINER(l, struct counter, link));
}
