/*
 * The leaves of a protocol: which address of the Remote Endpoints, from which Local Endpoint, in what order.
 *
 * Every pair that fits is a candidate (RFC 9622, 6). The addresses are sorted with the source each of them would have;
 * all are tried from the first Local Endpoint that suits them, then all from the second: another Local Endpoint is of
 * use where the first cannot be had, and that is said at once, while an address that does not answer costs a delay.
 */
#include <string.h>
#include "base/str.h"
#include "establish/race.h"
#include "establish/ways.h"

#define LEAVES_MAX 512 /* in one race: the network decides how many addresses there are, so it is bounded */
#define SORTED_MAX (2 * TAPSI_RESOLVE_MAX)

/* --------------------------------------------------------------------------------------------- reachability */

/* The interface of a Remote Endpoint is its scope zone (RFC 9622, 6.1.2): a link-local address is of that zone alone.
 */
static bool in_zone(const struct tapsi_race *race, const struct tapsi_interface *interface,
                    const struct taps_endpoint *remote, const union tapsi_addr *address)
{
    return !remote->interface[0] || !tapsi_addr_is_link_local(address) ||
           tapsi_path_find(race->plan->network, remote->interface) == interface;
}

bool tapsi_tree_reaches_no_literal(const struct tapsi_race *race, const struct tapsi_interface *interface)
{
    for (size_t i = 0; i < race->config->remote_count; i++) {
        const struct taps_endpoint *remote = &race->config->remotes[i];
        union tapsi_addr address = remote->address;
        if (!remote->has_address)
            return false;
        tapsi_addr_unmap(&address);
        if (tapsi_addr_is_link_local(&address) && address.sa.sa_family == AF_INET6 && !address.in6.sin6_scope_id)
            address.in6.sin6_scope_id = interface->index;
        if (in_zone(race, interface, remote, &address) && tapsi_plan_reaches(race->plan, interface, &address))
            return false;
    }
    return true;
}

/* ----------------------------------------------------------------------------------------- Local Endpoints */

/* What a Local Endpoint means towards one address. */
struct binding {
    union tapsi_addr address; /* to bind; family 0 = nothing that routing would not do by itself */
    bool device;              /* bind to the interface, too */
    uint8_t from;             /* as in struct tapsi_leaf */
};

static bool local_suits(const struct tapsi_node *protocol, const struct taps_endpoint *local,
                        const union tapsi_addr *remote)
{
    const struct tapsi_network *network = protocol->race->plan->network;
    if (local->interface[0] && tapsi_path_find(network, local->interface) != protocol->interface)
        return false;
    if (local->protocol[0] && !tapsi_stack_has_proto(protocol->row, local->protocol))
        return false;
    if (local->has_address && local->address.sa.sa_family != remote->sa.sa_family)
        return false;
    return !local->has_address || tapsi_addr_is_any(&local->address) ||
           tapsi_path_of_address(network, &local->address) == protocol->interface;
}

static union tapsi_addr bind_address(const struct taps_endpoint *local, int family)
{
    union tapsi_addr none = {.sa = {.sa_family = AF_UNSPEC}}, any = {.sa = {.sa_family = (sa_family_t)family}};
    bool concrete = local && local->has_address && !tapsi_addr_is_any(&local->address);
    if (!local || (!concrete && !local->port))
        return none;
    union tapsi_addr address = concrete ? local->address : any;
    tapsi_addr_set_port(&address, local->port);
    return address;
}

static enum taps_preference temporary(const struct tapsi_race *race)
{
    return tapsi_preference(race->config->properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS);
}

static struct binding binding_of(const struct tapsi_node *protocol, const union tapsi_addr *remote, uint8_t from)
{
    const struct tapsi_race *race = protocol->race;
    const struct taps_endpoint *local = from ? &race->config->locals[from - 1] : NULL;
    return (struct binding){.address = bind_address(local, remote->sa.sa_family),
                            .device = tapsi_plan_binds(race->plan, race->config->properties, protocol->interface,
                                                       local && local->interface[0], remote),
                            .from = from};
}

/* The binding that the `turn`-th suitable Local Endpoint (from 0) makes towards `remote`. */
static bool binding_for(const struct tapsi_node *protocol, const union tapsi_addr *remote, size_t turn,
                        struct binding *ret)
{
    const struct tapsi_config *config = protocol->race->config;
    size_t from = 0;
    for (size_t i = 0; i < config->local_count && !from; i++) {
        if (local_suits(protocol, &config->locals[i], remote) && turn-- == 0)
            from = i + 1;
    }
    if (!from && (config->local_count || turn))
        return false;
    *ret = binding_of(protocol, remote, (uint8_t)from);
    return true;
}

/* ---------------------------------------------------------------------------------------------------- leaves */

static bool binds_like(const struct tapsi_node *protocol, const struct tapsi_leaf *leaf, const struct binding *binding)
{
    if (leaf->from == binding->from)
        return true;
    if (!leaf->from || !binding->from)
        return false;
    struct binding other = binding_of(protocol, &leaf->remote, leaf->from);
    if (other.device != binding->device || other.address.sa.sa_family != binding->address.sa.sa_family)
        return false;
    return other.address.sa.sa_family == AF_UNSPEC || tapsi_addr_equal(&other.address, &binding->address);
}

static struct tapsi_node *find_leaf(const struct tapsi_node *protocol, const union tapsi_addr *remote,
                                    const struct binding *binding)
{
    for (size_t i = 0; i < protocol->count; i++) {
        const struct tapsi_leaf *leaf = protocol->children[i]->leaf;
        if (tapsi_addr_equal(&leaf->remote, remote) && binds_like(protocol, leaf, binding))
            return protocol->children[i];
    }
    return NULL;
}

/* NULL: no memory, or there are enough. */
static struct tapsi_node *add_leaf(struct tapsi_node *protocol, const struct taps_endpoint *endpoint,
                                   const union tapsi_addr *remote, const struct binding *binding)
{
    if (protocol->race->leaves >= LEAVES_MAX)
        return NULL;
    struct tapsi_node *node = tapsi_node_new(protocol, TAPS_CANDIDATE_ENDPOINT);
    if (!node)
        return NULL;
    protocol->race->leaves++;
    node->leaf->remote = *remote;
    node->leaf->endpoint = endpoint;
    node->leaf->pass = protocol->race->passes;
    node->leaf->local = binding->address;
    node->leaf->from = binding->from;
    node->leaf->bind_device = binding->device;
    return node;
}

static void add_pruned(struct tapsi_node *protocol, const struct taps_endpoint *endpoint,
                       const union tapsi_addr *remote, const struct binding *binding, const char *why)
{
    char text[TAPSI_ADDR_TEXT];
    if (find_leaf(protocol, remote, binding))
        return;
    struct tapsi_node *node = add_leaf(protocol, endpoint, remote, binding);
    if (!node)
        return;
    node->state = TAPS_CANDIDATE_PRUNED;
    tapsi_node_reason(node, "%s %s %s", protocol->interface->name, why, tapsi_addr_host_text(remote, text));
}

/* --------------------------------------------------------------------------------------------------- sources */

static const struct tapsi_local_address *own_address(const struct tapsi_interface *interface,
                                                     const union tapsi_addr *address)
{
    for (size_t i = 0; i < interface->address_count; i++) {
        if (tapsi_addr_same_host(&interface->addresses[i].address, address))
            return &interface->addresses[i];
    }
    return NULL;
}

static void find_source(const struct tapsi_node *protocol, const struct binding *binding, struct tapsi_destination *d)
{
    const struct tapsi_local_address *bound = own_address(protocol->interface, &binding->address);
    if (bound) {
        d->source = bound->address;
        d->source_deprecated = bound->deprecated;
        d->source_temporary = bound->temporary;
        return;
    }
    tapsi_path_source(protocol->interface, temporary(protocol->race) > TAPS_NO_PREFERENCE, d);
    if (tapsi_path_of_address(protocol->race->plan->network, &d->address))
        d->source = d->address; /* packets to oneself come from oneself */
}

/* Has the kernel a choice that the property is about? */
static bool has_choice(const struct tapsi_node *protocol, const struct tapsi_leaf *leaf)
{
    if (leaf->remote.sa.sa_family != AF_INET6 || own_address(protocol->interface, &leaf->local))
        return false;
    for (size_t i = 0; i < protocol->interface->address_count; i++) {
        if (protocol->interface->addresses[i].temporary)
            return true;
    }
    return false;
}

/* What the Remote Endpoint's text must not be, a name server may still say. 0.0.0.0 is this host to the kernel. */
static bool is_of_a_host(const union tapsi_addr *address)
{
    return !tapsi_addr_is_any(address) && !tapsi_addr_is_multicast(address);
}

/* The destinations of one name from one Local Endpoint each, to be sorted; `place` leads back to the binding. */
struct choice {
    size_t count;
    struct tapsi_destination destinations[SORTED_MAX];
    struct binding bindings[SORTED_MAX];
};

/* One address from the `turn`-th Local Endpoint that suits it: a destination to try, or a pruned leaf that says why
   not. */
static bool consider(struct tapsi_node *protocol, const struct taps_endpoint *endpoint, const union tapsi_addr *address,
                     size_t turn, struct tapsi_destination *ret, struct binding *binding)
{
    static const struct binding nothing;
    struct tapsi_race *race = protocol->race;
    if (!is_of_a_host(address)) {
        add_pruned(protocol, endpoint, address, &nothing, "cannot connect to");
        return false;
    }
    if (!in_zone(race, protocol->interface, endpoint, address) ||
        !tapsi_plan_reaches(race->plan, protocol->interface, address)) {
        add_pruned(protocol, endpoint, address, &nothing, "does not reach");
        return false;
    }
    if (!binding_for(protocol, address, turn, binding)) {
        if (turn == 0)
            add_pruned(protocol, endpoint, address, &nothing, "has no Local Endpoint that suits");
        return false;
    }
    *ret = (struct tapsi_destination){.address = *address};
    find_source(protocol, binding, ret);
    if (temporary(race) == TAPS_PROHIBIT && ret->source_temporary) {
        add_pruned(protocol, endpoint, address, binding, "has only a temporary address (which is prohibited) for");
        return false;
    }
    if (temporary(race) == TAPS_REQUIRE && !ret->source_temporary) {
        add_pruned(protocol, endpoint, address, binding,
                   "has no temporary address (useTemporaryLocalAddress is required) for");
        return false;
    }
    return true;
}

static uint16_t port_for(const struct tapsi_node *protocol, const struct taps_endpoint *endpoint)
{
    if (endpoint->port || !endpoint->service[0])
        return endpoint->port;
    bool datagram = protocol->row->protos[0]->offers == TAPSI_OFFERS_DATAGRAM;
    return tapsi_resolver_service(protocol->race->names.resolver, endpoint->service, datagram ? "udp" : "tcp");
}

static void collect(struct tapsi_node *protocol, const struct tapsi_lookup *name, uint16_t port, size_t turn,
                    struct choice *ret)
{
    ret->count = 0;
    for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
        const struct tapsi_lookup_query *q = &name->queries[f];
        for (size_t i = 0; i < q->count && ret->count < SORTED_MAX; i++) {
            union tapsi_addr address = q->addresses[i];
            tapsi_addr_unmap(&address); /* what is written as IPv6 is held against what is said of IPv4 */
            tapsi_addr_set_port(&address, port);
            if (tapsi_addr_is_link_local(&address) && address.sa.sa_family == AF_INET6 && !address.in6.sin6_scope_id)
                address.in6.sin6_scope_id = protocol->interface->index;
            struct tapsi_destination *d = &ret->destinations[ret->count];
            if (!consider(protocol, name->endpoint, &address, turn, d, &ret->bindings[ret->count]))
                continue;
            d->place = (unsigned)ret->count++;
        }
    }
}

/* --------------------------------------------------------------------------------------------------- merging */

static bool waits(const struct tapsi_node *node)
{
    return node->state == TAPS_CANDIDATE_NOT_STARTED;
}

/* Moves `node` to the end: doing so once for every waiting leaf in sorted order leaves them sorted behind the started
   ones. */
static void move_last(struct tapsi_node *parent, struct tapsi_node *node)
{
    size_t i = 0;
    while (parent->children[i] != node)
        i++;
    memmove(&parent->children[i], &parent->children[i + 1], (parent->count - i - 1) * sizeof(node));
    parent->children[parent->count - 1] = node;
}

static int merge(struct tapsi_node *protocol, const struct taps_endpoint *endpoint, const struct choice *choice)
{
    for (size_t i = 0; i < choice->count; i++) {
        const struct tapsi_destination *d = &choice->destinations[i];
        const struct binding *binding = &choice->bindings[d->place];
        struct tapsi_node *node = find_leaf(protocol, &d->address, binding);
        if (node && waits(node) && node->leaf->pass != protocol->race->passes) {
            node->leaf->endpoint = endpoint; /* the first one's, if several have it */
            node->leaf->pass = protocol->race->passes;
            move_last(protocol, node);
        }
        if (node || protocol->race->leaves >= LEAVES_MAX)
            continue;
        node = add_leaf(protocol, endpoint, &d->address, binding);
        if (!node)
            return TAPS_E_MEMORY;
        node->leaf->choose_source = has_choice(protocol, node->leaf);
    }
    return 0;
}

static int add_name(struct tapsi_node *protocol, const struct tapsi_lookup *name)
{
    struct choice choice;
    size_t turns = protocol->race->config->local_count;
    uint16_t port = port_for(protocol, name->endpoint);
    if (!port)
        return 0;
    for (size_t turn = 0; turn == 0 || turn < turns; turn++) {
        collect(protocol, name, port, turn, &choice);
        if (choice.count > 1) {
            tapsi_rfc6724_sort(choice.destinations, choice.count);
            tapsi_rfc8305_interleave(choice.destinations, choice.count, 1);
        }
        int err = merge(protocol, name->endpoint, &choice);
        if (err)
            return err;
    }
    return 0;
}

int tapsi_tree_endpoints(struct tapsi_node *protocol)
{
    struct tapsi_race *race = protocol->race;
    race->passes++;
    for (size_t i = 0; i < race->names.count; i++) {
        const struct tapsi_lookup *name = &race->names.items[i];
        const char *only = name->endpoint->protocol;
        if (!name->released || (only[0] && !tapsi_stack_has_proto(protocol->row, only)))
            continue;
        int err = add_name(protocol, name);
        if (err)
            return err;
    }
    return 0;
}
