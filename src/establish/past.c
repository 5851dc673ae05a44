#include "establish/past.h"

#include <string.h>
#include "stack/caches.h"

/* ------------------------------------------------------------------------------------------- what is known as */

static uint64_t hash_prefix(const union tapsi_addr *address, unsigned bits)
{
    unsigned count;
    const uint8_t *from = tapsi_addr_bytes(address, &count);
    uint8_t bytes[18] = {(uint8_t)count, (uint8_t)bits};
    for (unsigned i = 0; i < count && i * 8 < bits; i++) {
        unsigned left = bits - i * 8;
        bytes[2 + i] = left >= 8 ? from[i] : (uint8_t)(from[i] & 0xff << (8 - left));
    }
    return tapsi_history_hash(0, bytes, sizeof(bytes));
}

/* Temporary addresses come and go; their prefix stays, and counts once. */
static bool is_told_again(const struct tapsi_interface *interface, size_t place)
{
    const struct tapsi_local_address *a = &interface->addresses[place];
    for (size_t i = 0; i < place; i++) {
        const struct tapsi_local_address *b = &interface->addresses[i];
        if (a->prefix_bits == b->prefix_bits && tapsi_addr_in_prefix(&a->address, &b->address, a->prefix_bits))
            return true;
    }
    return false;
}

/* Sums, so that the order in which the system tells them does not matter. */
uint64_t tapsi_past_network(const struct tapsi_interface *interface)
{
    uint64_t sum = tapsi_history_hash(0, interface->name, strlen(interface->name));
    for (size_t i = 0; i < interface->address_count; i++) {
        const struct tapsi_local_address *a = &interface->addresses[i];
        if (!tapsi_addr_is_link_local(&a->address) && !is_told_again(interface, i))
            sum += hash_prefix(&a->address, a->prefix_bits);
    }
    for (size_t i = 0; i < interface->route_count; i++) {
        const struct tapsi_route *r = &interface->routes[i];
        if (r->prefix_bits == 0)
            sum += hash_prefix(&r->destination, 0) * 3;
    }
    return sum;
}

uint64_t tapsi_past_endpoint(const struct taps_endpoint *endpoint)
{
    const uint8_t port[] = {(uint8_t)(endpoint->port >> 8), (uint8_t)endpoint->port};
    uint64_t hash = tapsi_history_hash(0, port, sizeof(port));
    hash = tapsi_history_hash(hash, endpoint->service, strlen(endpoint->service));
    if (endpoint->has_address) {
        unsigned count;
        const uint8_t *bytes = tapsi_addr_bytes(&endpoint->address, &count);
        return tapsi_history_hash(hash, bytes, count);
    }
    for (const char *at = endpoint->host_name; *at && (at[0] != '.' || at[1]); at++) {
        char c = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
        hash = tapsi_history_hash(hash, &c, 1);
    }
    return hash;
}

static struct tapsi_history_key key_of(const struct tapsi_node *path, const struct taps_endpoint *remote,
                                       const struct tapsi_stack_row *row)
{
    return (struct tapsi_history_key){.network = tapsi_past_network(path->interface),
                                      .endpoint = tapsi_past_endpoint(remote),
                                      .stack = row->offer.stack};
}

/* ---------------------------------------------------------------------------------------------------- asking */

/* May experience change their order? */
static bool alike(const struct tapsi_plan *plan, unsigned a, unsigned b)
{
    const struct tapsi_stack_row *rows = tapsi_registry(&(size_t){0});
    return rows[a].offer.secure && rows[b].offer.secure &&
           plan->stacks[a].explicit_preferred == plan->stacks[b].explicit_preferred &&
           plan->stacks[a].explicit_avoided == plan->stacks[b].explicit_avoided;
}

/* Those in doubt go behind the others, and both keep their order. */
static void part(struct tapsi_past_turn *turns, size_t count)
{
    struct tapsi_past_turn later[TAPSI_STACKS_MAX];
    size_t kept = 0, put_off = 0;
    for (size_t i = 0; i < count; i++) {
        if (turns[i].doubt)
            later[put_off++] = turns[i];
        else
            turns[kept++] = turns[i];
    }
    for (size_t i = 0; i < put_off; i++) {
        turns[kept + i] = later[i];
        if (kept == 0)
            turns[i].doubt = TAPSI_HISTORY_NO_DOUBT; /* it waits for nobody */
    }
}

static void ask(const struct tapsi_node *path, const struct tapsi_history *history, struct tapsi_past_turn *turns,
                size_t count)
{
    const struct tapsi_stack_row *rows = tapsi_registry(&(size_t){0});
    const struct taps_endpoint *first = &path->race->config->remotes[0]; /* others come after it, in each stack */
    uint64_t now = tapsi_loop_now(path->race->loop);
    for (size_t i = 0; i < count; i++) {
        const struct tapsi_history_key key = key_of(path, first, &rows[turns[i].place]);
        turns[i].doubt = tapsi_history_ask(history, &key, now, &turns[i].ago);
    }
    part(turns, count);
}

size_t tapsi_past_order(const struct tapsi_node *path, struct tapsi_past_turn *ret)
{
    const struct tapsi_plan *plan = path->race->plan;
    const struct tapsi_caches *caches = path->race->env->caches;
    size_t count = plan->stacks_eligible;
    for (size_t i = 0; i < count; i++)
        ret[i] = (struct tapsi_past_turn){.place = plan->stack_order[i]};
    for (size_t i = 0, end; caches && caches->history && i < count; i = end) {
        for (end = i + 1; end < count && alike(plan, ret[i].place, ret[end].place);)
            end++;
        if (end - i > 1)
            ask(path, caches->history, ret + i, end - i);
    }
    return count;
}

static void word_ago(uint64_t ns, char *to, size_t size)
{
    unsigned long long seconds = ns / TAPSI_S;
    unsigned long long count = seconds < 60 ? seconds : seconds < 3600 ? seconds / 60 : seconds / 3600;
    const char *unit = seconds < 60 ? "second" : seconds < 3600 ? "minute" : "hour";
    tapsi_format(to, size, "%llu %s%s ago", count, unit, count == 1 ? "" : "s");
}

void tapsi_past_word(const struct tapsi_past_turn *turn, char *to, size_t size)
{
    const char *stack = tapsi_registry(&(size_t){0})[turn->place].offer.stack;
    char ago[32];
    word_ago(turn->ago, ago, sizeof(ago));
    if (turn->doubt == TAPSI_HISTORY_ENDPOINT_REFUSED)
        tapsi_format(to, size, "later: this endpoint did not take %s %s", stack, ago);
    else
        tapsi_format(to, size, "later: %s did not come through %s %s", stack,
                     turn->doubt == TAPSI_HISTORY_NETWORK_SILENT ? "on this network" : "to this endpoint", ago);
}

/* -------------------------------------------------------------------------------------------------- learning */

/* What another stack did at the winner's address. */
static const struct tapsi_node *same_address(const struct tapsi_node *protocol, const struct tapsi_leaf *winner)
{
    for (size_t i = 0; i < protocol->count; i++) {
        const struct tapsi_leaf *leaf = protocol->children[i]->leaf;
        if (tapsi_addr_equal(&leaf->remote, &winner->remote) && leaf->node.start)
            return &leaf->node;
    }
    return NULL;
}

/* Did it fail there, where the winner did not? Certificates are no matter of what comes through, nor is what this
   machine could not do. */
static bool failed(const struct tapsi_node *leaf, const struct tapsi_leaf *winner,
                   enum tapsi_history_failure *ret_failure)
{
    *ret_failure = TAPSI_HISTORY_SILENT;
    if (leaf->state == TAPS_CANDIDATE_ACTIVE) /* it had the whole attempt delay more */
        return leaf->start + leaf->race->attempt_delay <= winner->node.start;
    if (leaf->state != TAPS_CANDIDATE_FAILED)
        return false;
    if (leaf->error == TAPS_E_TIMEOUT)
        return true;
    *ret_failure = TAPSI_HISTORY_REFUSED;
    return leaf->error == TAPS_E_REFUSED || leaf->error == TAPS_E_ABORTED || leaf->error == TAPS_E_TLS ||
           leaf->error == TAPS_E_PROTOCOL || leaf->error == TAPS_E_ESTABLISHMENT;
}

/* Made when there is something to remember. */
static struct tapsi_history *history_of(struct tapsi_caches *caches)
{
    if (!caches->history)
        caches->history = tapsi_history_new(caches->mem);
    return caches->history;
}

static void learn_failure(const struct tapsi_node *protocol, const struct tapsi_leaf *winner)
{
    const struct tapsi_race *race = protocol->race;
    const struct tapsi_node *leaf = same_address(protocol, winner);
    enum tapsi_history_failure failure;
    if (!leaf || !failed(leaf, winner, &failure))
        return;
    const struct tapsi_history_key key = key_of(protocol->parent, winner->endpoint, protocol->row);
    struct tapsi_history *history = history_of(race->env->caches);
    if (history)
        tapsi_history_failed(history, &key, failure, tapsi_loop_now(race->loop));
}

void tapsi_past_learn(const struct tapsi_race *race, const struct tapsi_leaf *winner)
{
    const struct tapsi_node *won = winner->node.parent, *path = won->parent;
    struct tapsi_caches *caches = race->env->caches;
    if (!caches || !won->row->offer.secure)
        return;
    if (caches->history) {
        const struct tapsi_history_key key = key_of(path, winner->endpoint, won->row);
        tapsi_history_worked(caches->history, &key, tapsi_loop_now(race->loop));
    }
    for (size_t i = 0; i < path->count; i++) {
        const struct tapsi_node *other = path->children[i];
        if (other != won && other->state != TAPS_CANDIDATE_PRUNED && alike(race->plan, other->place, won->place))
            learn_failure(other, winner);
    }
}
