/* Building the tree: which children a node has, and in what order. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "establish/race.h"

#define REASON_MAX 200
#define LEAVES_MAX 512 /* in one race: the network decides how many addresses there are, so it is bounded */
#define SORTED_MAX (2 * TAPSI_RESOLVE_MAX)

static int adopt(struct tapsi_node *parent, struct tapsi_node *child)
{
    struct tapsi_mem *mem = &parent->race->loop->mem;
    if (parent->count == parent->capacity) {
        size_t want = parent->capacity ? parent->capacity * 2 : 2;
        struct tapsi_node **grown = tapsi_resize(mem, parent->children, want * sizeof(*grown));
        if (!grown)
            return TAPS_E_MEMORY;
        parent->children = grown;
        parent->capacity = want;
    }
    parent->children[parent->count++] = child;
    child->number = (unsigned)parent->count;
    return 0;
}

static void free_node(struct tapsi_node *node)
{
    struct tapsi_mem *mem = &node->race->loop->mem;
    if (node->has_stagger)
        tapsi_timer_done(node->race->loop, &node->stagger);
    tapsi_node_free_children(node);
    tapsi_free(mem, node->reason);
    if (node->leaf)
        tapsi_free(mem, node->leaf);
    else if (!node->root)
        tapsi_free(mem, node);
}

void tapsi_node_free_children(struct tapsi_node *node)
{
    for (size_t i = 0; i < node->count; i++)
        free_node(node->children[i]);
    tapsi_free(&node->race->loop->mem, node->children);
    node->children = NULL;
    node->count = node->capacity = 0;
}

struct tapsi_node *tapsi_node_new(struct tapsi_node *parent, enum taps_candidate_kind kind)
{
    struct tapsi_mem *mem = &parent->race->loop->mem;
    bool is_leaf = kind == TAPS_CANDIDATE_ENDPOINT;
    struct tapsi_leaf *leaf = is_leaf ? tapsi_zalloc(mem, sizeof(*leaf)) : NULL;
    struct tapsi_node *node = is_leaf ? (leaf ? &leaf->node : NULL) : tapsi_zalloc(mem, sizeof(*node));
    if (!node)
        return NULL;
    node->race = parent->race;
    node->parent = parent;
    node->kind = (uint8_t)kind;
    node->interface = parent->interface;
    node->row = parent->row;
    node->leaf = leaf;
    if (adopt(parent, node)) {
        free_node(node);
        return NULL;
    }
    parent->race->version++;
    return node;
}

void tapsi_node_reason(struct tapsi_node *node, const char *format, ...)
{
    char text[REASON_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    tapsi_free(&node->race->loop->mem, node->reason);
    node->reason = tapsi_strdup(&node->race->loop->mem, text); /* without memory the plan's words stand in */
}

/* --------------------------------------------------------------------------------------------- reachability */

static bool any_eligible_reaches(const struct tapsi_race *race, const union tapsi_addr *address)
{
    const struct tapsi_plan *plan = race->plan;
    for (size_t i = 0; i < plan->paths_eligible; i++) {
        if (tapsi_path_reaches(plan->network, &plan->network->interfaces[plan->path_order[i]], address))
            return true;
    }
    return false;
}

/* Where routing is not in the main table (policy routing, a tunnel's own table) no interface seems to reach the
   address: then the first path tries it unbound, and the kernel decides. */
static bool usable(const struct tapsi_race *race, const struct tapsi_interface *interface,
                   const union tapsi_addr *address)
{
    const struct tapsi_plan *plan = race->plan;
    if (tapsi_path_reaches(plan->network, interface, address))
        return true;
    if (interface->type == TAPSI_IF_LOOPBACK || tapsi_addr_is_link_local(address) ||
        interface != &plan->network->interfaces[plan->path_order[0]])
        return false;
    struct tapsi_destination probe = {.address = *address};
    return !tapsi_path_system_choice(plan->network, address) && !any_eligible_reaches(race, address) &&
           tapsi_path_source(interface, false, &probe);
}

/* The interface of a Remote Endpoint is its scope zone (RFC 9622, 6.1.2): a link-local address is of that zone alone.
 */
static bool in_zone(const struct tapsi_race *race, const struct tapsi_interface *interface,
                    const struct taps_endpoint *remote, const union tapsi_addr *address)
{
    return !remote->interface[0] || !tapsi_addr_is_link_local(address) ||
           tapsi_path_find(race->plan->network, remote->interface) == interface;
}

/* Only literal addresses, and this interface reaches none of them? */
static bool reaches_no_literal(const struct tapsi_race *race, const struct tapsi_interface *interface)
{
    for (size_t i = 0; i < race->config->remote_count; i++) {
        const struct taps_endpoint *remote = &race->config->remotes[i];
        union tapsi_addr address = remote->address;
        if (!remote->has_address)
            return false;
        if (tapsi_addr_is_link_local(&address) && address.sa.sa_family == AF_INET6 && !address.in6.sin6_scope_id)
            address.in6.sin6_scope_id = interface->index;
        if (in_zone(race, interface, remote, &address) && usable(race, interface, &address))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------- paths */

static int add_path(struct tapsi_race *race, unsigned place, bool eligible)
{
    struct tapsi_node *node = tapsi_node_new(&race->tree, TAPS_CANDIDATE_PATH);
    if (!node)
        return TAPS_E_MEMORY;
    node->place = place;
    node->interface = &race->plan->network->interfaces[place];
    node->failover = race->config->security->mode == TAPS_SECURITY_OPPORTUNISTIC;
    if (!eligible)
        node->state = TAPS_CANDIDATE_PRUNED;
    return 0;
}

static int prune_path(struct tapsi_race *race, unsigned place)
{
    char address[TAPSI_ADDR_TEXT];
    int err = add_path(race, place, false);
    if (err)
        return err;
    struct tapsi_node *node = race->tree.children[race->tree.count - 1];
    tapsi_node_reason(node, "%s does not reach %s", node->interface->name,
                      tapsi_addr_host_text(&race->config->remotes[0].address, address));
    return 0;
}

int tapsi_tree_paths(struct tapsi_race *race)
{
    const struct tapsi_plan *plan = race->plan;
    const struct tapsi_interface *interfaces = plan->network->interfaces;
    int err = 0;
    for (size_t i = 0; i < plan->paths_eligible && !err; i++) {
        if (!reaches_no_literal(race, &interfaces[plan->path_order[i]]))
            err = add_path(race, plan->path_order[i], true);
    }
    for (size_t i = 0; i < plan->paths_eligible && !err; i++) {
        if (reaches_no_literal(race, &interfaces[plan->path_order[i]]))
            err = prune_path(race, plan->path_order[i]);
    }
    for (size_t i = 0; i < plan->path_count && !err; i++) {
        if (!plan->paths[i].eligible)
            err = add_path(race, (unsigned)i, false);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------------ protocols */

static int add_protocol(struct tapsi_node *path, const struct tapsi_stack_row *rows, unsigned place, bool eligible)
{
    struct tapsi_node *node = tapsi_node_new(path, TAPS_CANDIDATE_PROTOCOL);
    if (!node)
        return TAPS_E_MEMORY;
    node->place = place;
    node->row = &rows[place];
    if (!eligible)
        node->state = TAPS_CANDIDATE_PRUNED;
    return 0;
}

int tapsi_tree_protocols(struct tapsi_node *path)
{
    const struct tapsi_plan *plan = path->race->plan;
    size_t count;
    const struct tapsi_stack_row *rows = tapsi_registry(&count);
    int err = 0;
    for (size_t i = 0; i < plan->stacks_eligible && !err; i++)
        err = add_protocol(path, rows, plan->stack_order[i], true);
    for (size_t i = 0; i < plan->stack_count && !err; i++) {
        if (!plan->stacks[i].eligible)
            err = add_protocol(path, rows, (unsigned)i, false);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------------ endpoints */

/* The Local Endpoint to use towards `address`, or NULL with *ret_ok telling whether none is needed. */
static const struct taps_endpoint *local_for(const struct tapsi_node *protocol, const union tapsi_addr *address,
                                             bool *ret_ok)
{
    const struct tapsi_config *config = protocol->race->config;
    *ret_ok = config->local_count == 0;
    for (size_t i = 0; i < config->local_count; i++) {
        const struct taps_endpoint *local = &config->locals[i];
        const struct tapsi_interface *bound =
            local->interface[0] ? tapsi_path_find(protocol->race->plan->network, local->interface) : NULL;
        if (local->interface[0] && bound != protocol->interface)
            continue;
        if (local->protocol[0] && !tapsi_stack_has_proto(protocol->row, local->protocol))
            continue;
        if (local->has_address && local->address.sa.sa_family != address->sa.sa_family)
            continue;
        if (local->has_address && !tapsi_addr_is_any(&local->address) &&
            tapsi_path_of_address(protocol->race->plan->network, &local->address) != protocol->interface)
            continue;
        *ret_ok = true;
        return local;
    }
    return NULL;
}

/* What to bind: nothing unless the Local Endpoint says something that routing would not do by itself. */
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

static bool must_bind_device(const struct tapsi_node *protocol, const struct taps_endpoint *local,
                             const union tapsi_addr *address)
{
    const struct tapsi_race *race = protocol->race;
    const struct tapsi_set *set = &race->config->properties->interfaces;
    if (protocol->interface->type == TAPSI_IF_LOOPBACK)
        return false;
    if (local && local->interface[0])
        return true;
    for (size_t i = 0; i < set->count; i++) {
        if (set->entries[i].preference == TAPS_REQUIRE)
            return true;
    }
    const struct tapsi_interface *choice = tapsi_path_system_choice(race->plan->network, address);
    return choice && choice != protocol->interface;
}

static struct tapsi_node *find_leaf(const struct tapsi_node *protocol, const union tapsi_addr *address)
{
    for (size_t i = 0; i < protocol->count; i++) {
        if (tapsi_addr_equal(&protocol->children[i]->leaf->remote, address))
            return protocol->children[i];
    }
    return NULL;
}

static struct tapsi_node *add_leaf(struct tapsi_node *protocol, const struct taps_endpoint *endpoint,
                                   const union tapsi_addr *address)
{
    if (protocol->race->leaves >= LEAVES_MAX)
        return NULL;
    struct tapsi_node *node = tapsi_node_new(protocol, TAPS_CANDIDATE_ENDPOINT);
    if (!node)
        return NULL;
    protocol->race->leaves++;
    node->leaf->remote = *address;
    node->leaf->endpoint = endpoint;
    return node;
}

static void add_pruned(struct tapsi_node *protocol, const struct taps_endpoint *endpoint,
                       const union tapsi_addr *address, const char *why)
{
    char text[TAPSI_ADDR_TEXT];
    if (find_leaf(protocol, address))
        return;
    struct tapsi_node *node = add_leaf(protocol, endpoint, address);
    if (!node)
        return;
    node->state = TAPS_CANDIDATE_PRUNED;
    tapsi_node_reason(node, "%s %s %s", protocol->interface->name, why, tapsi_addr_host_text(address, text));
}

static bool needs_temporary(const struct tapsi_race *race)
{
    return tapsi_preference(race->config->properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS) == TAPS_REQUIRE;
}

static bool forbids_temporary(const struct tapsi_race *race)
{
    return tapsi_preference(race->config->properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS) == TAPS_PROHIBIT;
}

/* One address of a released name: a destination to try, or a pruned leaf that says why not. */
static bool consider(struct tapsi_node *protocol, const struct taps_endpoint *endpoint, union tapsi_addr *address,
                     struct tapsi_destination *ret)
{
    struct tapsi_race *race = protocol->race;
    const struct tapsi_network *network = race->plan->network;
    bool local_ok;
    if (!in_zone(race, protocol->interface, endpoint, address) || !usable(race, protocol->interface, address)) {
        add_pruned(protocol, endpoint, address, "does not reach");
        return false;
    }
    local_for(protocol, address, &local_ok);
    if (!local_ok) {
        add_pruned(protocol, endpoint, address, "has no Local Endpoint that suits");
        return false;
    }
    *ret = (struct tapsi_destination){.address = *address};
    bool prefer_temporary = tapsi_preference(race->config->properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS) > 0;
    tapsi_path_source(protocol->interface, prefer_temporary, ret);
    if (tapsi_path_of_address(network, address))
        ret->source = *address; /* packets to oneself come from oneself */
    if (forbids_temporary(race) && ret->source_temporary) {
        add_pruned(protocol, endpoint, address, "has only a temporary address (which is prohibited) for");
        return false;
    }
    if (needs_temporary(race) && !ret->source_temporary) {
        add_pruned(protocol, endpoint, address, "has no temporary address (useTemporaryLocalAddress is required) for");
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

static size_t collect(struct tapsi_node *protocol, const struct tapsi_lookup *name, struct tapsi_destination *list)
{
    size_t count = 0;
    uint16_t port = port_for(protocol, name->endpoint);
    if (!port)
        return 0;
    for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
        const struct tapsi_lookup_query *q = &name->queries[f];
        for (size_t i = 0; i < q->count && count < SORTED_MAX; i++) {
            union tapsi_addr address = q->addresses[i];
            tapsi_addr_set_port(&address, port);
            if (tapsi_addr_is_link_local(&address) && address.sa.sa_family == AF_INET6 && !address.in6.sin6_scope_id)
                address.in6.sin6_scope_id = protocol->interface->index;
            if (consider(protocol, name->endpoint, &address, &list[count])) {
                list[count].place = (unsigned)count;
                count++;
            }
        }
    }
    return count;
}

static int make_leaf(struct tapsi_node *protocol, const struct taps_endpoint *endpoint,
                     const struct tapsi_destination *destination)
{
    bool ok;
    if (protocol->race->leaves >= LEAVES_MAX)
        return 0;
    struct tapsi_node *node = add_leaf(protocol, endpoint, &destination->address);
    if (!node)
        return TAPS_E_MEMORY;
    const struct taps_endpoint *local = local_for(protocol, &destination->address, &ok);
    node->leaf->local = bind_address(local, destination->address.sa.sa_family);
    node->leaf->bind_device = must_bind_device(protocol, local, &destination->address);
    return 0;
}

static bool waits(const struct tapsi_node *node)
{
    return node->state == TAPS_CANDIDATE_NOT_STARTED;
}

/* Moves `node` to the end: doing so for every waiting leaf in sorted order leaves them sorted behind the started ones.
 */
static void move_last(struct tapsi_node *parent, struct tapsi_node *node)
{
    size_t i = 0;
    while (parent->children[i] != node)
        i++;
    memmove(&parent->children[i], &parent->children[i + 1], (parent->count - i - 1) * sizeof(node));
    parent->children[parent->count - 1] = node;
}

static int merge(struct tapsi_node *protocol, const struct taps_endpoint *endpoint,
                 const struct tapsi_destination *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct tapsi_node *known = find_leaf(protocol, &list[i].address);
        if (known && waits(known))
            move_last(protocol, known);
        if (known)
            continue;
        int err = make_leaf(protocol, endpoint, &list[i]);
        if (err)
            return err;
    }
    return 0;
}

int tapsi_tree_endpoints(struct tapsi_node *protocol)
{
    struct tapsi_race *race = protocol->race;
    struct tapsi_destination list[SORTED_MAX];
    for (size_t i = 0; i < race->names.count; i++) {
        const struct tapsi_lookup *name = &race->names.items[i];
        const struct taps_endpoint *endpoint = name->endpoint;
        if (!name->released)
            continue;
        if (endpoint->protocol[0] && !tapsi_stack_has_proto(protocol->row, endpoint->protocol))
            continue;
        size_t count = collect(protocol, name, list);
        if (count > 1) {
            tapsi_rfc6724_sort(list, count);
            tapsi_rfc8305_interleave(list, count, 1);
        }
        int err = merge(protocol, endpoint, list, count);
        if (err)
            return err;
    }
    return 0;
}
