#include <stdio.h>
#include <string.h>
#include "select/property_table.h"
#include "select/select.h"

/* Interfaces match by name, or by type; PvDs by name. */
static bool matches(const struct tapsi_path_offer *path, enum taps_property property, const char *text)
{
    if (property == TAPS_PVD)
        return path->pvd && strcmp(path->pvd, text) == 0;
    return strcmp(path->interface, text) == 0 || (path->type && strcmp(path->type, text) == 0);
}

static const char *name(const struct tapsi_path_offer *path, enum taps_property property)
{
    return property == TAPS_PVD && path->pvd ? path->pvd : path->interface;
}

/* Every Require must match, and no Prohibit. */
static bool set_allows(const struct tapsi_path_offer *path, const struct tapsi_set *set, enum taps_property property,
                       struct tapsi_verdict *verdict)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct tapsi_set_entry *entry = &set->entries[i];
        if (entry->preference == TAPS_PROHIBIT && matches(path, property, entry->text))
            return tapsi_select_rule_out(verdict, property, "%s %s is prohibited, and this path is %s",
                                         tapsi_property_name(property), entry->text, name(path, property));
    }
    for (size_t i = 0; i < set->count; i++) {
        const struct tapsi_set_entry *entry = &set->entries[i];
        if (entry->preference == TAPS_REQUIRE && !matches(path, property, entry->text))
            return tapsi_select_rule_out(verdict, property, "%s %s is required, and this path is %s",
                                         tapsi_property_name(property), entry->text, name(path, property));
    }
    return true;
}

static bool can_be_used(const struct tapsi_path_offer *path, struct tapsi_verdict *verdict)
{
    if (!path->up)
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "%s is down", path->interface);
    if (!path->has_addresses)
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "%s has no usable address", path->interface);
    if (path->bound_interface && strcmp(path->bound_interface, path->interface) != 0)
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "the Local Endpoint is bound to %s",
                                     path->bound_interface);
    return true;
}

static enum taps_preference temporary(const struct tapsi_path_offer *path, const struct tapsi_properties *properties)
{
    return tapsi_select_preference(properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS,
                                   path->passive ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT);
}

/* Avoid and Prohibit rule out no path and cost none: every path with a temporary address has a stable one too. */
static bool temporary_allows(const struct tapsi_path_offer *path, const struct tapsi_properties *properties,
                             struct tapsi_verdict *verdict)
{
    if (temporary(path, properties) == TAPS_REQUIRE && !path->has_temporary_address)
        return tapsi_select_rule_out(verdict, TAPS_USE_TEMPORARY_LOCAL_ADDRESS,
                                     "useTemporaryLocalAddress is required, and %s has no such address",
                                     path->interface);
    return true;
}

static void rank_set(const struct tapsi_path_offer *path, const struct tapsi_set *set, enum taps_property property,
                     struct tapsi_verdict *verdict, int *wanted)
{
    for (size_t i = 0; i < set->count; i++) {
        bool match = matches(path, property, set->entries[i].text);
        if (set->entries[i].preference == TAPS_PREFER) {
            ++*wanted;
            verdict->explicit_preferred += match;
        } else if (set->entries[i].preference == TAPS_AVOID) {
            verdict->explicit_avoided += match;
        }
    }
}

static void rank_path(const struct tapsi_path_offer *path, const struct tapsi_properties *properties,
                      struct tapsi_verdict *verdict)
{
    int wanted = 0, length = 0;
    rank_set(path, &properties->interfaces, TAPS_INTERFACE, verdict, &wanted);
    rank_set(path, &properties->pvds, TAPS_PVD, verdict, &wanted);
    if (temporary(path, properties) == TAPS_PREFER) {
        bool is_explicit = tapsi_properties_is_set(properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS);
        wanted++;
        *(is_explicit ? &verdict->explicit_preferred : &verdict->default_preferred) += path->has_temporary_address;
    }
    int met = verdict->explicit_preferred + verdict->default_preferred;
    if (wanted)
        length = snprintf(verdict->reason, sizeof(verdict->reason), "meets %d of %d preferences", met, wanted);
    else
        length = snprintf(verdict->reason, sizeof(verdict->reason), "meets every requirement");
    if (verdict->explicit_avoided)
        snprintf(verdict->reason + length, sizeof(verdict->reason) - (size_t)length, ", is to be avoided");
}

void tapsi_select_path(const struct tapsi_path_offer *path, const struct tapsi_properties *properties,
                       struct tapsi_verdict *ret)
{
    *ret = (struct tapsi_verdict){.property = TAPS_PROPERTY_NONE};
    ret->eligible = can_be_used(path, ret) && set_allows(path, &properties->interfaces, TAPS_INTERFACE, ret) &&
                    set_allows(path, &properties->pvds, TAPS_PVD, ret) && temporary_allows(path, properties, ret);
    if (ret->eligible)
        rank_path(path, properties, ret);
}

static bool is_loopback(const struct tapsi_path_offer *path)
{
    return path->type && strcmp(path->type, "loopback") == 0;
}

/* Below 0: `a` goes first. An interface to be avoided still goes before the loopback one, which reaches this host
   alone: names whose addresses are not known yet would wait for it. */
static int compare_paths(const struct tapsi_path_offer *paths, const struct tapsi_verdict *a,
                         const struct tapsi_verdict *b)
{
    if (a->explicit_preferred != b->explicit_preferred)
        return b->explicit_preferred - a->explicit_preferred;
    if (is_loopback(&paths[a->order]) != is_loopback(&paths[b->order]))
        return is_loopback(&paths[a->order]) ? 1 : -1;
    if (a->explicit_avoided != b->explicit_avoided)
        return a->explicit_avoided - b->explicit_avoided;
    if (paths[a->order].system_order != paths[b->order].system_order)
        return paths[a->order].system_order < paths[b->order].system_order ? -1 : 1;
    if (a->default_preferred != b->default_preferred)
        return b->default_preferred - a->default_preferred;
    return a->order < b->order ? -1 : 1;
}

size_t tapsi_select_paths(const struct tapsi_path_offer *paths, size_t count, const struct tapsi_properties *properties,
                          struct tapsi_verdict *verdicts, unsigned *order)
{
    size_t eligible = 0;
    for (size_t i = 0; i < count; i++) {
        tapsi_select_path(&paths[i], properties, &verdicts[i]);
        verdicts[i].order = (unsigned)i;
        if (!verdicts[i].eligible)
            continue;
        size_t at = eligible++;
        for (; at > 0 && compare_paths(paths, &verdicts[i], &verdicts[order[at - 1]]) < 0; at--)
            order[at] = order[at - 1];
        order[at] = (unsigned)i;
    }
    return eligible;
}
