/* The wire: which way a packet takes, and what becomes of it; rules and MTUs per destination; counters and the hook. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "platform/sim/link.h"
#include "platform/sim/socket.h"
#include "platform/sim/trace.h"

#define LOOPBACK_DELAY  (10 * TAPSI_SIM_US) /* above 0, so that a loop of packets makes time go on */
#define NEIGHBOUR_DELAY (3 * TAPSI_SIM_S)   /* until a neighbour is given up */
#define NARROW_TIME     (600 * TAPSI_SIM_S) /* as long as Linux believes in a path's MTU */
#define MTU_UNKNOWN     1280
#define UDP_HEADER      8
#define TCP_HEADER      20

struct rule {
    struct tapsi_link link;
    union tapsi_addr address; /* port 0 = every port */
    unsigned header;          /* as in struct tapsi_simwire_way; 0 = of every transport */
    enum tapsi_sim_fault fault;
    uint64_t delay;
};

/* The MTU of a path, as an ICMP message told it to one host. */
struct narrow {
    struct tapsi_link link;
    union tapsi_addr to;
    unsigned mtu;
    uint64_t until;
};

struct counter {
    struct tapsi_link link;
    union tapsi_addr to;
    uint64_t packets;
};

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

static struct rule *find_rule(struct tapsi_sim *sim, const union tapsi_addr *to, uint16_t port, unsigned header)
{
    for (struct tapsi_link *l = sim->rules.next; l != &sim->rules; l = l->next) {
        struct rule *rule = TAPSI_CONTAINER(l, struct rule, link);
        if (tapsi_addr_same_host(&rule->address, to) && tapsi_addr_port(&rule->address) == port &&
            rule->header == header)
            return rule;
    }
    return NULL;
}

/* The rule of this transport goes before that of all. */
static const struct rule *rule_of(const struct tapsi_simwire_way *way, uint16_t port)
{
    const struct rule *rule = find_rule(way->host->sim, &way->to, port, way->header);
    return rule ? rule : find_rule(way->host->sim, &way->to, port, 0);
}

static struct rule *rule_for(struct tapsi_sim *sim, const char *address)
{
    union tapsi_addr to;
    unsigned header = strncmp(address, "udp ", 4) == 0 ? UDP_HEADER : strncmp(address, "tcp ", 4) == 0 ? TCP_HEADER : 0;
    if (!sim || !parse_with_port(sim, header ? address + 4 : address, &to))
        return NULL;
    struct rule *rule = find_rule(sim, &to, tapsi_addr_port(&to), header);
    if (rule)
        return rule;
    rule = tapsi_zalloc(&sim->mem, sizeof *rule);
    if (!rule) {
        tapsi_sim_say_memory(sim);
        return NULL;
    }
    rule->address = to;
    rule->header = header;
    tapsi_list_append(&sim->rules, &rule->link);
    return rule;
}

void tapsi_sim_fault(struct tapsi_sim *sim, const char *address, enum tapsi_sim_fault fault)
{
    struct rule *rule = rule_for(sim, address);
    if (rule)
        rule->fault = fault;
    if (rule && sim->trace_to)
        tapsi_simtrace_line(sim, NULL, "fault", "%s %s", address, tapsi_simtrace_fault(fault));
}

void tapsi_sim_delay(struct tapsi_sim *sim, const char *address, uint64_t delay_ns)
{
    struct rule *rule = rule_for(sim, address);
    if (rule)
        rule->delay = delay_ns;
    if (rule && sim->trace_to)
        tapsi_simtrace_line(sim, NULL, "fault", "%s delay %llu", address, (unsigned long long)delay_ns);
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

/* Of two addresses of one family. */
static unsigned common_bits(const union tapsi_addr *a, const union tapsi_addr *b)
{
    unsigned length;
    const uint8_t *x = tapsi_addr_bytes(a, &length), *y = tapsi_addr_bytes(b, &length);
    for (unsigned i = 0; i < length; i++) {
        if (x[i] != y[i])
            return 8 * i + (unsigned)__builtin_clz((unsigned)(x[i] ^ y[i])) - 24;
    }
    return 8 * length;
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

/* The interface for `to`, and for an address of the host itself the loopback one, with `*ret_own` set. */
static int choose_way_out(struct tapsi_sim_host *host, const union tapsi_addr *to, unsigned device,
                          struct tapsi_sim_interface **ret, bool *ret_own)
{
    if (to->sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(to)) {
        unsigned scope = to->in6.sin6_scope_id;
        if ((!scope && !device) || (scope && device && scope != device))
            return -EINVAL;
        device = device ? device : scope;
    }
    struct tapsi_sim_interface *owner = tapsi_simhost_owner(host, to);
    *ret_own = owner && (!device || device == owner->index || device == 1);
    *ret = *ret_own ? tapsi_simhost_interface(host, 1) : choose_interface(host, to, device);
    return *ret ? 0 : -ENETUNREACH;
}

int tapsi_simwire_route(struct tapsi_sim_host *host, const union tapsi_addr *to, unsigned device, unsigned preference,
                        struct tapsi_sim_interface **ret_out, union tapsi_addr *ret_source)
{
    struct tapsi_sim_interface *out;
    bool own;
    int r = choose_way_out(host, to, device, &out, &own);
    if (r < 0)
        return r;
    if (own) {
        *ret_out = out;
        *ret_source = *to;
        tapsi_addr_set_port(ret_source, 0);
        return 0;
    }
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

/* MTUs of paths. */

static struct narrow *find_narrow(const struct tapsi_sim_host *host, const union tapsi_addr *to)
{
    for (struct tapsi_link *l = host->narrows.next; l != &host->narrows; l = l->next) {
        struct narrow *n = TAPSI_CONTAINER(l, struct narrow, link);
        if (tapsi_addr_same_host(&n->to, to))
            return n;
    }
    return NULL;
}

void tapsi_simwire_narrow(struct tapsi_sim_host *host, const union tapsi_addr *to, unsigned mtu)
{
    struct narrow *n = find_narrow(host, to);
    if (!n) {
        n = tapsi_zalloc(&host->sim->mem, sizeof *n);
        if (!n) {
            tapsi_sim_say_memory(host->sim);
            return;
        }
        n->to = *to;
        tapsi_list_append(&host->narrows, &n->link);
    }
    n->mtu = mtu;
    n->until = host->sim->now + NARROW_TIME;
}

void tapsi_simwire_done_host(struct tapsi_sim_host *host)
{
    for (struct tapsi_link *l; (l = tapsi_list_pop(&host->narrows));)
        tapsi_free(&host->sim->mem, TAPSI_CONTAINER(l, struct narrow, link));
}

static unsigned path_mtu(const struct tapsi_sim_host *host, const union tapsi_addr *to, unsigned mtu)
{
    const struct narrow *n = find_narrow(host, to);
    return n && n->mtu < mtu && n->until > host->sim->now ? n->mtu : mtu;
}

unsigned tapsi_simwire_mtu(const struct tapsi_simwire_way *way)
{
    struct tapsi_sim_interface *out;
    bool own;
    if (choose_way_out(way->host, &way->to, way->device, &out, &own) < 0)
        return MTU_UNKNOWN;
    return way->whole ? out->mtu : path_mtu(way->host, &way->to, out->mtu);
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

static size_t packet_bytes(const struct tapsi_simwire_way *way, size_t length)
{
    return length + way->header + (way->to.sa.sa_family == AF_INET6 ? 40 : 20);
}

/* The packet itself, or the largest of its fragments, does not fit the link. */
static bool too_big(const struct tapsi_simwire_way *way, const struct tapsi_sim_interface *out,
                    const struct tapsi_sim_link *link, size_t bytes)
{
    if (!link->mtu || way->divisible)
        return false;
    unsigned largest = way->whole ? out->mtu : path_mtu(way->host, &way->to, out->mtu);
    return (bytes < largest ? bytes : largest) > link->mtu;
}

/* The packet passes a link: its fate but for the network's answers. */
static void pass(struct tapsi_sim *sim, const struct tapsi_simwire_way *way, size_t bytes, struct tapsi_sim_port *port,
                 struct tapsi_simwire_verdict *v)
{
    struct tapsi_simlink_passage passage;
    v->why = NULL;
    if (too_big(way, v->out, port->on, bytes)) {
        v->delay = port->on->delay;
        v->mtu = port->on->mtu;
        if (port->on->mtu_silent)
            v->why = "too big";
        return;
    }
    tapsi_simlink_pass(sim, port, bytes, &passage);
    v->delay = passage.delay;
    v->copy_delay = passage.copy_delay;
    v->marked = passage.marked;
    v->why = passage.lost;
}

static void judge(struct tapsi_sim *sim, const struct tapsi_simwire_way *way, size_t bytes,
                  const struct rule *host_rule, const struct rule *port_rule, struct tapsi_simwire_verdict *v)
{
    struct tapsi_sim_port *port;
    struct tapsi_sim_interface *in = find_receiver(v->out, &way->to, &port);
    if (!port)
        return;
    enum tapsi_sim_fault fault = port_rule && port_rule->fault ? port_rule->fault
                                 : host_rule                   ? host_rule->fault
                                                               : TAPSI_SIM_FINE;
    fault = port->on->fault ? port->on->fault : fault;
    if (fault == TAPSI_SIM_BLACKHOLE) {
        v->why = "blackhole";
        return;
    }
    pass(sim, way, bytes, port, v);
    if (v->why)
        return;
    uint64_t more = (host_rule ? host_rule->delay : 0) + (port_rule ? port_rule->delay : 0);
    v->delay = v->delay + more ? v->delay + more : TAPSI_SIM_US;
    if (fault || v->mtu) {
        v->fate = TAPSI_SIM_ANSWERED;
        v->answer = v->mtu ? TAPSI_SIM_FINE : fault;
        v->delay *= 2;
    } else if (in && in->up) {
        v->fate = TAPSI_SIM_ARRIVES;
        v->in = in;
        v->copy_delay += v->copy_delay ? more : 0;
    } else if (!in && on_link(v->out, &way->to)) {
        v->unowned = true;
        v->delay = NEIGHBOUR_DELAY;
        v->why = "no such neighbour";
    } else {
        v->why = in ? "receiver down" : "nobody there";
    }
}

static void tell_hook(struct tapsi_sim *sim, const struct tapsi_simwire_way *way, const char *kind, size_t length,
                      const struct tapsi_simwire_verdict *v)
{
    bool arrives = v->fate == TAPSI_SIM_ARRIVES;
    struct tapsi_sim_packet packet = {.time_ns = sim->now,
                                      .host = way->host,
                                      .interface = v->out->name,
                                      .kind = kind,
                                      .from = way->from,
                                      .to = way->to,
                                      .length = length,
                                      .fate = v->fate,
                                      .why = v->why,
                                      .arrival_ns = arrives ? sim->now + v->delay : 0,
                                      .copy_ns = arrives && v->copy_delay ? sim->now + v->copy_delay : 0};
    sim->trace(sim->trace_arg, &packet);
}

/* Within the host nothing is lost, and nobody watches. */
static void loop_back(struct tapsi_simwire_verdict *ret)
{
    ret->why = "interface down";
    if (!ret->out->up)
        return;
    ret->fate = TAPSI_SIM_ARRIVES;
    ret->delay = LOOPBACK_DELAY;
    ret->in = ret->out;
    ret->why = NULL;
}

static void send_out(const struct tapsi_simwire_way *way, const char *kind, size_t length,
                     struct tapsi_simwire_verdict *ret)
{
    struct tapsi_sim *sim = way->host->sim;
    uint16_t port = tapsi_addr_port(&way->to);
    ret->why = "no link";
    if (way->forged || tapsi_simhost_owner(way->host, &way->from))
        judge(sim, way, packet_bytes(way, length), rule_of(way, 0), port ? rule_of(way, port) : NULL, ret);
    else
        ret->why = "address gone";
    count(sim, &way->to);
    if (sim->trace)
        tell_hook(sim, way, kind, length, ret);
}

void tapsi_simwire_send(const struct tapsi_simwire_way *way, const char *kind, size_t length,
                        struct tapsi_simwire_verdict *ret)
{
    bool own;
    *ret = (struct tapsi_simwire_verdict){.fate = TAPSI_SIM_LOST, .why = "no route"};
    if (choose_way_out(way->host, &way->to, way->device, &ret->out, &own) == 0) {
        if (ret->out->type == TAPSI_IF_LOOPBACK)
            loop_back(ret);
        else
            send_out(way, kind, length, ret);
    }
    if (way->host->sim->trace_to)
        tapsi_simtrace_packet(way, kind, length, ret);
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
