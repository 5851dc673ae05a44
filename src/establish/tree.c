/* Building the tree: nodes, and which paths and protocols there are. Its leaves: leaves.c. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "establish/past.h"

#define REASON_MAX 200

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

/* ---------------------------------------------------------------------------------------------------- paths */

static int add_path(struct tapsi_race *race, unsigned place, bool eligible)
{
    struct tapsi_node *node = tapsi_node_new(&race->tree, TAPS_CANDIDATE_PATH);
    if (!node)
        return TAPS_E_MEMORY;
    node->place = place;
    node->interface = &race->plan->network->interfaces[place];
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
        if (!tapsi_tree_reaches_no_literal(race, &interfaces[plan->path_order[i]]))
            err = add_path(race, plan->path_order[i], true);
    }
    for (size_t i = 0; i < plan->paths_eligible && !err; i++) {
        if (tapsi_tree_reaches_no_literal(race, &interfaces[plan->path_order[i]]))
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

/* The reason of what waits for others since an earlier race. */
static void tell_doubt(struct tapsi_node *protocol, const struct tapsi_past_turn *turn)
{
    char text[REASON_MAX];
    tapsi_past_word(turn, text, sizeof(text));
    tapsi_node_reason(protocol, "%s", text);
}

int tapsi_tree_protocols(struct tapsi_node *path)
{
    const struct tapsi_plan *plan = path->race->plan;
    struct tapsi_past_turn turns[TAPSI_STACKS_MAX];
    size_t count, eligible = tapsi_past_order(path, turns);
    const struct tapsi_stack_row *rows = tapsi_registry(&count);
    int err = 0;
    for (size_t i = 0; i < eligible && !err; i++) {
        err = add_protocol(path, rows, turns[i].place, true);
        if (!err && turns[i].doubt)
            tell_doubt(path->children[path->count - 1], &turns[i]);
    }
    for (size_t i = 0; i < plan->stack_count && !err; i++) {
        if (!plan->stacks[i].eligible)
            err = add_protocol(path, rows, (unsigned)i, false);
    }
    return err;
}
