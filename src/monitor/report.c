#include "monitor/report.h"

#include <string.h>
#include "base/str.h"

struct entry {
    struct taps_candidate_info info;
    char id[24], local[TAPSI_ADDR_TEXT], remote[TAPSI_ADDR_TEXT], interface[16], reason[208];
};

struct lookup {
    struct taps_resolution_info info;
    char name[TAPSI_HOST_MAX], reason[160];
};

struct move {
    struct taps_move_info info;
    char local[TAPSI_ADDR_TEXT], remote[TAPSI_ADDR_TEXT], interface[16];
};

struct taps_report {
    struct tapsi_mem *mem;
    unsigned version;
    struct entry *entries;
    size_t count, capacity;
    struct lookup *lookups;
    size_t lookup_count;
    struct move *moves;
    size_t move_count, move_capacity;
    double ready_ms;
};

static double since(uint64_t start, uint64_t when)
{
    return when ? (double)(int64_t)(when - start) / (double)TAPSI_MS : -1;
}

static struct entry *add(struct taps_report *report, int parent)
{
    if (tapsi_grow(report->mem, &report->entries, &report->capacity, report->count, sizeof(*report->entries)))
        return NULL;
    struct entry *e = &report->entries[report->count++];
    memset(e, 0, sizeof(*e));
    e->info.parent = parent;
    e->info.start_ms = e->info.end_ms = -1;
    return e;
}

/* ------------------------------------------------------------------------------------------------- wording */

/* Opportunistic security: eligible, but only where the secure stacks leave it a turn. */
static bool waits_for_security(const struct tapsi_node *node)
{
    return node->kind == TAPS_CANDIDATE_PROTOCOL && !node->row->offer.secure &&
           node->race->config->security->mode == TAPS_SECURITY_OPPORTUNISTIC;
}

static void word_reason(const struct tapsi_node *node, struct entry *e)
{
    const struct tapsi_plan *plan = node->race->plan;
    const char *text = node->reason;
    if (!text && node->state == TAPS_CANDIDATE_WON)
        text = node->leaf ? "the first whole stack to be ready" : "holds the winner";
    if (!text && node->state == TAPS_CANDIDATE_FAILED)
        text = node->leaf ? taps_err_text(node->error) : "none of its candidates was ready";
    if (!text && node->state == TAPS_CANDIDATE_NOT_STARTED && waits_for_security(node))
        text = "plain text comes after every secure stack";
    if (!text && node->kind == TAPS_CANDIDATE_PATH)
        text = plan->paths[node->place].reason;
    if (!text && node->kind == TAPS_CANDIDATE_PROTOCOL)
        text = plan->stacks[node->place].reason;
    if (!text && node->state == TAPS_CANDIDATE_NOT_STARTED)
        text = node->race->over ? "the race was over before its turn" : "waits for its turn";
    tapsi_format(e->reason, sizeof(e->reason), "%s", text ? text : "under way");
}

static void word_leaf(const struct tapsi_node *node, const union tapsi_addr *winner_local, struct entry *e)
{
    const struct tapsi_leaf *leaf = node->leaf;
    const union tapsi_addr *local = &leaf->local;
    if (node->state == TAPS_CANDIDATE_WON && winner_local)
        local = winner_local;
    tapsi_addr_text(&leaf->remote, e->remote);
    if (local->sa.sa_family == AF_UNSPEC || tapsi_addr_is_any(local))
        return;
    tapsi_addr_text(local, e->local);
    const struct tapsi_interface *used = tapsi_path_of_address(node->race->plan->network, local);
    if (used && !leaf->bind_device && node->interface->type != TAPSI_IF_LOOPBACK)
        tapsi_format(e->interface, sizeof(e->interface), "%s", used->name); /* routing may have chosen another */
}

static int add_node(struct taps_report *report, const struct tapsi_node *node, int parent, const char *prefix,
                    const union tapsi_addr *winner_local)
{
    struct entry *e = add(report, parent);
    int index = (int)report->count - 1;
    char id[24];
    if (!e)
        return TAPS_E_MEMORY;
    tapsi_format(e->id, sizeof(e->id), "%s%s%u", prefix, prefix[0] ? "." : "", node->number);
    tapsi_format(id, sizeof(id), "%s", e->id);
    tapsi_format(e->interface, sizeof(e->interface), "%s", node->interface->name);
    e->info.kind = (enum taps_candidate_kind)node->kind;
    e->info.state = (enum taps_candidate_state)node->state;
    e->info.stack = node->row ? node->row->offer.stack : NULL;
    e->info.start_ms = since(node->race->start, node->start);
    e->info.end_ms = since(node->race->start, node->end);
    e->info.error = node->error;
    word_reason(node, e);
    if (node->leaf)
        word_leaf(node, winner_local, e);
    int err = 0;
    for (size_t i = 0; i < node->count && !err; i++)
        err = add_node(report, node->children[i], index, id, winner_local);
    return err;
}

/* ------------------------------------------------------------------------------------------------- lookups */

static void word_lookup(const struct tapsi_race *race, const struct tapsi_lookup *name, int family, struct lookup *l)
{
    const struct tapsi_lookup_query *q = &name->queries[family];
    bool answered_elsewhere = strcmp(q->source, "dns") != 0 && q->source[0];
    if (name->endpoint->has_address)
        tapsi_addr_host_text(&name->endpoint->address, l->name);
    else
        tapsi_format(l->name, sizeof(l->name), "%s", name->endpoint->host_name);
    l->info.type = answered_elsewhere ? (strcmp(q->source, "hosts") == 0 ? "hosts" : "literal")
                                      : (family == TAPSI_LOOKUP_AAAA ? "AAAA" : "A");
    l->info.start_ms = since(race->start, q->start);
    l->info.end_ms = q->done ? since(race->start, q->end) : -1;
    l->info.count = q->count;
    if (q->reason[0])
        tapsi_format(l->reason, sizeof(l->reason), "%s", q->reason);
    else if (!q->done)
        tapsi_format(l->reason, sizeof(l->reason), "%s", race->over ? "no answer before the race was over" : "waits");
}

static int add_lookups(struct taps_report *report, const struct tapsi_race *race)
{
    report->lookups =
        tapsi_calloc(report->mem, race->names.count * TAPSI_LOOKUP_FAMILIES + 1, sizeof(*report->lookups));
    if (!report->lookups)
        return TAPS_E_MEMORY;
    for (size_t i = 0; i < race->names.count; i++) {
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
            if (race->names.items[i].queries[f].wanted)
                word_lookup(race, &race->names.items[i], f, &report->lookups[report->lookup_count++]);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------- making */

static int new_report(struct tapsi_mem *mem, struct taps_report **ret)
{
    struct taps_report *report = tapsi_zalloc(mem, sizeof(*report));
    if (!report)
        return TAPS_E_MEMORY;
    report->mem = mem;
    report->ready_ms = -1;
    *ret = report;
    return 0;
}

int tapsi_report_from_race(const struct tapsi_race *race, const union tapsi_addr *winner_local,
                           struct taps_report **ret)
{
    struct taps_report *report;
    int err = new_report(&race->loop->mem, &report);
    if (err)
        return err;
    report->version = race->version;
    report->ready_ms = since(race->start, race->ready);
    for (size_t i = 0; i < race->tree.count && !err; i++)
        err = add_node(report, race->tree.children[i], -1, "", winner_local);
    if (!err)
        err = add_lookups(report, race);
    if (err) {
        tapsi_report_free(report);
        return err;
    }
    *ret = report;
    return 0;
}

int tapsi_report_from_config(const struct tapsi_config *config, enum tapsi_role role, struct taps_report **ret)
{
    struct tapsi_offer offers[TAPSI_STACKS_MAX];
    size_t count = tapsi_registry_offers(offers, &config->framers);
    struct taps_report *report;
    int err = new_report(config->mem, &report);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        struct tapsi_verdict verdict;
        struct entry *e = add(report, -1);
        if (!e) {
            tapsi_report_free(report);
            return TAPS_E_MEMORY;
        }
        tapsi_select_stack(&offers[i], config->properties, config->security, role, &verdict);
        tapsi_format(e->id, sizeof(e->id), "%zu", i + 1);
        e->info.kind = TAPS_CANDIDATE_PROTOCOL;
        e->info.state = verdict.eligible ? TAPS_CANDIDATE_NOT_STARTED : TAPS_CANDIDATE_PRUNED;
        e->info.stack = offers[i].stack;
        tapsi_format(e->reason, sizeof(e->reason), "%s", verdict.reason);
    }
    *ret = report;
    return 0;
}

int tapsi_report_add_move(struct taps_report *report, unsigned number, double ms, const union tapsi_addr *local,
                          const union tapsi_addr *remote, const char *interface)
{
    if (tapsi_grow(report->mem, &report->moves, &report->move_capacity, report->move_count, sizeof(*report->moves)))
        return TAPS_E_MEMORY;
    struct move *m = &report->moves[report->move_count++];
    *m = (struct move){.info = {.number = number, .ms = ms}};
    tapsi_addr_text(local, m->local);
    tapsi_addr_text(remote, m->remote);
    tapsi_format(m->interface, sizeof(m->interface), "%s", interface);
    return 0;
}

void tapsi_report_free(struct taps_report *report)
{
    if (!report)
        return;
    struct tapsi_mem *mem = report->mem;
    tapsi_free(mem, report->entries);
    tapsi_free(mem, report->lookups);
    tapsi_free(mem, report->moves);
    tapsi_free(mem, report);
}

/* ------------------------------------------------------------------------------------------------- reading */

unsigned tapsi_report_version(const struct taps_report *report)
{
    return report->version;
}

size_t tapsi_report_count(const struct taps_report *report)
{
    return report->count;
}

int tapsi_report_get(const struct taps_report *report, size_t index, struct taps_candidate_info *ret)
{
    if (index >= report->count)
        return TAPS_E_RANGE;
    const struct entry *e = &report->entries[index];
    *ret = e->info;
    ret->id = e->id;
    ret->local = e->local[0] ? e->local : NULL;
    ret->remote = e->remote[0] ? e->remote : NULL;
    ret->interface = e->interface[0] ? e->interface : NULL;
    ret->reason = e->reason;
    return 0;
}

size_t tapsi_report_resolutions(const struct taps_report *report)
{
    return report->lookup_count;
}

int tapsi_report_resolution(const struct taps_report *report, size_t index, struct taps_resolution_info *ret)
{
    if (index >= report->lookup_count)
        return TAPS_E_RANGE;
    *ret = report->lookups[index].info;
    ret->name = report->lookups[index].name;
    ret->reason = report->lookups[index].reason;
    return 0;
}

size_t tapsi_report_moves(const struct taps_report *report)
{
    return report->move_count;
}

int tapsi_report_move(const struct taps_report *report, size_t index, struct taps_move_info *ret)
{
    if (index >= report->move_count)
        return TAPS_E_RANGE;
    const struct move *m = &report->moves[index];
    *ret = m->info;
    ret->local = m->local;
    ret->remote = m->remote;
    ret->interface = m->interface[0] ? m->interface : NULL;
    return 0;
}

double tapsi_report_ready_ms(const struct taps_report *report)
{
    return report->ready_ms;
}
