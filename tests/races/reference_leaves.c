/* Which addresses are tried, from where, in what order, and what becomes of each attempt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "reference_parts.h"

struct node *reference_add_node(struct race *r, struct node *parent, enum level level)
{
    if (r->node_count == NODES_MAX || parent->child_count == CHILDREN) {
        r->result->known = false;
        return NULL;
    }
    struct node *node = &r->nodes[r->node_count++];
    *node = (struct node){
        .level = level, .parent = parent, .next = NEVER, .interface = parent->interface, .stack = parent->stack};
    parent->children[parent->child_count++] = node;
    return node;
}

/* RFC 9622, 6.1: does this Local Endpoint suit? *ret_from is its own address, or of family 0. */
static bool local_suits(const struct race *r, const struct script_line *local, const struct node *stack,
                        const union tapsi_addr *to, union tapsi_addr *ret_from)
{
    const char *rest = local->words[0];
    char word[80], value[80];
    bool suits = true;
    memset(ret_from, 0, sizeof(*ret_from));
    while (script_next_word(&rest, word, sizeof(word)) && script_next_word(&rest, value, sizeof(value))) {
        if (strcmp(word, "interface") == 0)
            suits &= strcmp(value, stack->interface->name) == 0;
        else if (strcmp(word, "protocol") == 0)
            suits &= strstr(reference_stack_names[stack->stack], value) != NULL;
        else if (strcmp(word, "address") == 0 && reference_parse(value, ret_from))
            suits &= ret_from->sa.sa_family == to->sa.sa_family &&
                     reference_has_address(r->script, stack->interface->full_name, ret_from);
    }
    return suits;
}

/* The `turn`-th that suits, from 0; without any Local Endpoint, nothing at turn 0. False: there are no more. */
static bool local_for(const struct race *r, const struct node *stack, const union tapsi_addr *to, unsigned turn,
                      union tapsi_addr *ret_from)
{
    bool any = false;
    for (unsigned i = 0; i < r->script->count; i++) {
        const struct script_line *line = &r->script->lines[i];
        if (line->verb != SCRIPT_LOCAL)
            continue;
        any = true;
        if (local_suits(r, line, stack, to, ret_from) && turn-- == 0)
            return true;
    }
    memset(ret_from, 0, sizeof(*ret_from));
    return !any && turn == 0;
}

static bool is_own(const struct race *r, const union tapsi_addr *to)
{
    for (unsigned i = 0; i < r->client->count; i++) {
        if (reference_has_address(r->script, r->client->interfaces[i].full_name, to))
            return true;
    }
    return tapsi_addr_is_loopback(to);
}

/* docs/design/003: what no interface reaches by the main table, the first one tries all the same, and the kernel says
   no (there are no other tables here). */
static bool is_last_resort(const struct race *r, const struct node *stack, const union tapsi_addr *to)
{
    struct reference_address source;
    for (unsigned i = 0; i < r->client->count; i++) {
        if (r->client->interfaces[i].up && reference_has_family(&r->client->interfaces[i], to->sa.sa_family))
            return false;
    }
    return stack->interface == &r->client->interfaces[r->choice->interfaces[0]] &&
           reference_source(stack->interface, to, false, &source);
}

/* The address of a Local Endpoint leaves nothing to choose. */
static bool own_source(const struct reference_interface *interface, const union tapsi_addr *from,
                       struct reference_address *ret)
{
    for (unsigned i = 0; i < interface->address_count; i++) {
        if (from->sa.sa_family && tapsi_addr_same_host(&interface->addresses[i].address, from)) {
            *ret = interface->addresses[i];
            return true;
        }
    }
    return false;
}

/* Can it be tried by this interface with this stack, from the `turn`-th Local Endpoint that suits? */
static bool is_candidate(const struct race *r, const struct node *stack, const struct name *name,
                         const union tapsi_addr *to, unsigned turn, struct reference_destination *ret)
{
    int temporary = reference_wish(r->script, "useTemporaryLocalAddress");
    union tapsi_addr from;
    *ret = (struct reference_destination){.address = *to};
    if (name->protocol[0] && !strstr(reference_stack_names[stack->stack], name->protocol))
        return false;
    bool reaches = reference_has_family(stack->interface, to->sa.sa_family) || is_last_resort(r, stack, to);
    if (is_own(r, to) || !reaches || !local_for(r, stack, to, turn, &from))
        return false;
    ret->has_source = own_source(stack->interface, &from, &ret->source) ||
                      reference_source(stack->interface, to, temporary > 0, &ret->source);
    if (temporary == -2 && ret->source.temporary)
        return false;
    return temporary != 2 || ret->source.temporary;
}

static bool has_leaf(const struct node *stack, const union tapsi_addr *to, unsigned turn)
{
    for (unsigned i = 0; i < stack->child_count; i++) {
        if (tapsi_addr_equal(&stack->children[i]->to, to) && stack->children[i]->turn == turn)
            return true;
    }
    return false;
}

static void drop_waiting(struct node *stack)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < stack->child_count; i++) {
        if (stack->children[i]->state != WAITS)
            stack->children[kept++] = stack->children[i];
    }
    stack->child_count = kept;
}

/* Those of one name from the `turn`-th Local Endpoint that suits them, as far as they are known. */
static void list_name(struct race *r, struct node *stack, const struct name *name, unsigned turn)
{
    struct reference_destination list[2 * REFERENCE_ADDRESSES];
    unsigned count = 0;
    for (int type = 0; type < 2; type++) {
        for (unsigned i = 0; i < name->counts[type] && (name->literal || name->answered[type]); i++) {
            union tapsi_addr to = name->addresses[type][i];
            tapsi_addr_set_port(&to, name->port);
            count += is_candidate(r, stack, name, &to, turn, &list[count]);
        }
    }
    reference_order(list, count);
    for (unsigned i = 0; i < count; i++) {
        struct node *leaf = has_leaf(stack, &list[i].address, turn) ? NULL : reference_add_node(r, stack, LEAF);
        if (leaf) {
            leaf->to = list[i].address;
            leaf->temporary = list[i].has_source && list[i].source.temporary;
            leaf->turn = turn;
        }
    }
}

/* All addresses known by now, in their order, behind those that were started. */
void reference_list(struct race *r, struct node *stack)
{
    drop_waiting(stack);
    for (unsigned n = 0; n < r->name_count; n++) {
        for (unsigned turn = 0; r->names[n].released && turn <= REFERENCE_LOCALS; turn++)
            list_name(r, stack, &r->names[n], turn);
    }
}

/* After TCP is there: one more round trip. */
static enum fate handshake(const char *mode, const char *service)
{
    bool opportunistic = strcmp(mode, "opportunistic") == 0;
    if (strcmp(service, "tls") == 0)
        return SUCCEEDS;
    if (strncmp(service, "tls-", 4) == 0)
        return opportunistic ? SUCCEEDS : FAILS;
    if (strcmp(service, "silent") == 0 || strcmp(service, "stall") == 0)
        return HANGS;
    return strcmp(service, "echo") == 0 ? FAILS : UNKNOWN;
}

void reference_judge(struct race *r, struct node *leaf)
{
    struct trip trip = reference_trip(r->script, leaf->interface, &leaf->to);
    uint64_t round = trip.there + trip.back;
    const char *service = reference_service(r->script, tapsi_addr_port(&leaf->to), false);
    leaf->over = r->now + round;
    leaf->connected = NEVER;
    if (tapsi_addr_is_link_local(&leaf->to) && leaf->to.sa.sa_family == AF_INET6)
        r->result->known = false; /* zones are not modelled */
    if (!reference_has_family(leaf->interface, leaf->to.sa.sa_family)) {
        leaf->fate = FAILS;
        leaf->over = r->now;
    } else if (leaf->stack == REFERENCE_UDP) {
        leaf->fate = SUCCEEDS;
        leaf->over = r->now;
    } else if (strcmp(trip.fault, "blackhole") == 0) {
        leaf->fate = HANGS;
    } else if (strcmp(trip.fault, "none") != 0) {
        leaf->fate = FAILS;
        leaf->over = r->now + 2 * trip.there;
    } else if (!trip.arrives) {
        leaf->fate = UNKNOWN; /* nobody has the address: it hangs, or the neighbour is given up some time */
        leaf->over = r->now + 2000 * MS;
    } else if (!service) {
        leaf->fate = FAILS;
    } else if (leaf->stack == REFERENCE_TCP) {
        leaf->fate = SUCCEEDS;
    } else {
        leaf->fate = handshake(reference_security(r->script), service);
        leaf->over = r->now + 2 * round;
        leaf->connected = r->now + round;
    }
    if (leaf->fate == HANGS)
        leaf->over = NEVER;
}
