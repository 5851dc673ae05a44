#include "reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const reference_stack_names[REFERENCE_STACKS] = {"tls/tcp", "tcp", "udp"};

/* ---------------------------------------------------------------------------------------------------- the client */

static void add_address(struct reference_interface *interface, const char *text, const char *kind)
{
    char host[64];
    const char *slash = strchr(text, '/');
    struct reference_address *a = &interface->addresses[interface->address_count];
    if (!slash || interface->address_count == REFERENCE_ADDRESSES)
        return;
    memset(a, 0, sizeof(*a));
    snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
    if (tapsi_addr_parse(host, &a->address) != 0)
        return;
    a->bits = (unsigned)atoi(slash + 1);
    a->temporary = strcmp(kind, "temporary") == 0;
    a->deprecated = strcmp(kind, "deprecated") == 0;
    interface->address_count++;
}

static struct reference_interface *find(struct reference_client *client, const char *full_name)
{
    for (unsigned i = 0; i < client->count; i++) {
        if (strcmp(client->interfaces[i].full_name, full_name) == 0)
            return &client->interfaces[i];
    }
    return NULL;
}

static void add_interface(struct reference_client *client, const struct script_line *line)
{
    const char *rest = line->words[2];
    char word[64];
    if (strncmp(line->words[0], "client/", 7) != 0 || client->count == REFERENCE_INTERFACES)
        return;
    struct reference_interface *i = &client->interfaces[client->count++];
    memset(i, 0, sizeof(*i));
    snprintf(i->full_name, sizeof(i->full_name), "%s", line->words[0]);
    snprintf(i->name, sizeof(i->name), "%s", line->words[0] + 7);
    snprintf(i->type, sizeof(i->type), "%s", line->words[1]);
    i->index = client->count + 1; /* the loopback interface is 1 */
    i->up = true;
    while (script_next_word(&rest, word, sizeof(word)))
        add_address(i, word, "");
}

void reference_client(const struct script *script, struct reference_client *ret)
{
    ret->count = 0;
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        struct reference_interface *interface = line->words[0] ? find(ret, line->words[0]) : NULL;
        if (line->verb == SCRIPT_INTERFACE)
            add_interface(ret, line);
        else if (line->when != SCRIPT_FROM_THE_START || !interface)
            continue;
        else if (line->verb == SCRIPT_ADDRESS)
            add_address(interface, line->words[1], line->words[2] ? line->words[2] : "");
        else if (line->verb == SCRIPT_DOWN || line->verb == SCRIPT_UP)
            interface->up = line->verb == SCRIPT_UP;
    }
}

/* ------------------------------------------------------------------------------------------------------- wishes */

static const char *const wishes[] = {"prohibit", "avoid", "no preference", "prefer", "require"};

static int wish_of(const char *text)
{
    for (int i = 0; i < 5; i++) {
        if (strncmp(text, wishes[i], strlen(wishes[i])) == 0)
            return i - 2;
    }
    return 0;
}

/* The last word on a property, or NULL. */
static const char *said(const struct script *script, const char *property)
{
    const char *text = NULL;
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        if (line->verb == SCRIPT_PROPERTY && strcasecmp(line->words[0], property) == 0)
            text = line->words[1];
    }
    return text;
}

/* RFC 9622, 6.2: each property, its default (of an Initiate), and what tcp (with or without tls) and udp do about it.
 */
enum can { NEVER, EITHER, ALWAYS };
static const struct {
    const char *name;
    int wish;
    enum can stream, datagram;
} table[] = {
    {"reliability", 2, ALWAYS, NEVER},
    {"preserveMsgBoundaries", 0, NEVER, ALWAYS},
    {"perMsgReliability", 0, NEVER, NEVER},
    {"preserveOrder", 2, ALWAYS, NEVER},
    {"zeroRttMsg", 0, EITHER, ALWAYS},
    {"multistreaming", 1, NEVER, NEVER},
    {"fullChecksumSend", 2, ALWAYS, ALWAYS},
    {"fullChecksumRecv", 2, ALWAYS, ALWAYS},
    {"congestionControl", 2, ALWAYS, NEVER},
    {"keepAlive", 0, EITHER, NEVER},
    {"softErrorNotify", 0, EITHER, EITHER},
    {"activeReadBeforeSend", 0, EITHER, NEVER},
    {"useTemporaryLocalAddress", 1, EITHER, EITHER},
};
#define PROPERTIES (sizeof(table) / sizeof(table[0]))

int reference_wish(const struct script *script, const char *property)
{
    const char *text = said(script, property);
    if (text)
        return wish_of(text);
    for (size_t i = 0; i < PROPERTIES; i++) {
        if (strcmp(table[i].name, property) == 0)
            return table[i].wish;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- stacks */

static enum can ability(enum reference_stack stack, size_t property)
{
    return stack == REFERENCE_UDP ? table[property].datagram : table[property].stream;
}

static bool stack_is_allowed(const struct script *script, enum reference_stack stack)
{
    const struct script_line *line = script_find(script, SCRIPT_SECURITY);
    const char *mode = line ? line->words[0] : "disabled", *replayable = said(script, "safelyReplayable");
    for (size_t i = 0; i < PROPERTIES; i++) {
        int wish = reference_wish(script, table[i].name);
        if (wish == 2 && ability(stack, i) == NEVER)
            return false;
        if (wish == -2 && ability(stack, i) == ALWAYS)
            return false;
    }
    if (stack == REFERENCE_UDP && !(replayable && strcmp(replayable, "true") == 0))
        return false; /* its Messages may arrive twice */
    if (stack == REFERENCE_TLS)
        return strcmp(mode, "disabled") != 0;
    return strcmp(mode, "required") != 0;
}

/* How much of what was set (or of what is default) is preferred and had, less what is avoided and had anyway: two
   numbers for each, compared one after the other. */
static void count_wishes(const struct script *script, enum reference_stack stack, bool set, int *ret_met, int *ret_hit)
{
    *ret_met = *ret_hit = 0;
    for (size_t i = 0; i < PROPERTIES; i++) {
        int wish = reference_wish(script, table[i].name);
        bool by_path = strcmp(table[i].name, "useTemporaryLocalAddress") == 0;
        if (by_path || (said(script, table[i].name) != NULL) != set)
            continue;
        *ret_met += wish == 1 && ability(stack, i) != NEVER;
        *ret_hit += wish == -1 && ability(stack, i) == ALWAYS;
    }
}

/* Does `a` go before `b`? Both are allowed; `a` is listed first. */
static bool stack_goes_first(const struct script *script, enum reference_stack a, enum reference_stack b)
{
    if ((a == REFERENCE_TLS) != (b == REFERENCE_TLS))
        return a == REFERENCE_TLS; /* opportunistic: security where there is any */
    for (int set = 1; set >= 0; set--) {
        int met_a, hit_a, met_b, hit_b;
        count_wishes(script, a, set, &met_a, &hit_a);
        count_wishes(script, b, set, &met_b, &hit_b);
        if (met_a != met_b)
            return met_a > met_b;
        if (hit_a != hit_b)
            return hit_a < hit_b;
    }
    return a < b;
}

/* --------------------------------------------------------------------------------------------------- interfaces */

static bool is_meant(const struct reference_interface *i, const char *property, const char *which)
{
    return strcmp(i->name, which) == 0 || (strcmp(property, "interface") == 0 && strcmp(i->type, which) == 0);
}

/* Entries of one set: how many of preference `wish` are (or are not) about this interface. An entry of the same text
   replaces the one before. */
static unsigned entries(const struct script *script, const struct reference_interface *interface, const char *property,
                        int wish, bool about_it)
{
    unsigned count = 0;
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        bool replaced = false;
        if (line->verb != SCRIPT_PROPERTY || strcasecmp(line->words[0], property) != 0)
            continue;
        const char *which = strrchr(line->words[1], ' ') + 1;
        for (unsigned k = i + 1; k < script->count; k++) {
            const struct script_line *later = &script->lines[k];
            replaced |= later->verb == SCRIPT_PROPERTY && strcasecmp(later->words[0], property) == 0 &&
                        strcmp(strrchr(later->words[1], ' ') + 1, which) == 0;
        }
        count += !replaced && wish_of(line->words[1]) == wish && is_meant(interface, property, which) == about_it;
    }
    return count;
}

/* No interface has two names, or two types. */
static bool contradicts(const struct script *script)
{
    static const char *const types[] = {"ethernet", "wifi", "cellular", "loopback", "vpn", "other"};
    const struct reference_interface none = {.name = ""};
    struct reference_interface typed = none;
    unsigned by_type = 0;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        snprintf(typed.type, sizeof(typed.type), "%s", types[i]);
        by_type += entries(script, &typed, "interface", 2, true);
    }
    return by_type > 1 || entries(script, &none, "interface", 2, false) - by_type > 1;
}

static bool has_temporary(const struct reference_interface *interface)
{
    for (unsigned i = 0; i < interface->address_count; i++) {
        if (interface->addresses[i].temporary)
            return true;
    }
    return false;
}

/* The one interface that all Local Endpoints name, or NULL. */
static const char *local_interface(const struct script *script, char name[80])
{
    bool first = true;
    for (unsigned i = 0; i < script->count; i++) {
        const char *rest = script->lines[i].words[0];
        char word[80], value[80], mine[80] = "";
        if (script->lines[i].verb != SCRIPT_LOCAL)
            continue;
        while (script_next_word(&rest, word, sizeof(word))) {
            if (strcmp(word, "interface") == 0 && script_next_word(&rest, value, sizeof(value)))
                memcpy(mine, value, sizeof(mine));
        }
        if (!first && strcmp(mine, name) != 0)
            return NULL;
        memcpy(name, mine, sizeof(mine));
        first = false;
    }
    return first || !name[0] ? NULL : name;
}

static bool interface_is_allowed(const struct script *script, const struct reference_interface *i)
{
    char name[80] = "";
    const char *bound = local_interface(script, name);
    if (!i->up || i->address_count == 0 || (bound && strcmp(bound, i->name) != 0))
        return false;
    if (entries(script, i, "interface", -2, true) || entries(script, i, "pvd", -2, true))
        return false;
    if (entries(script, i, "interface", 2, false) || entries(script, i, "pvd", 2, false))
        return false;
    return reference_wish(script, "useTemporaryLocalAddress") != 2 || has_temporary(i);
}

/* The metric of the default route; without one, behind those that have one. */
static unsigned metric(const struct reference_interface *interface)
{
    for (unsigned i = 0; i < interface->address_count; i++) {
        if (!tapsi_addr_is_link_local(&interface->addresses[i].address))
            return 100 * interface->index;
    }
    return 1000000 + interface->index;
}

static bool interface_goes_first(const struct script *script, const struct reference_interface *a,
                                 const struct reference_interface *b)
{
    bool set = said(script, "useTemporaryLocalAddress") != NULL;
    bool wanted = set && reference_wish(script, "useTemporaryLocalAddress") == 1;
    unsigned good_a = entries(script, a, "interface", 1, true) + entries(script, a, "pvd", 1, true);
    unsigned good_b = entries(script, b, "interface", 1, true) + entries(script, b, "pvd", 1, true);
    good_a += wanted && has_temporary(a);
    good_b += wanted && has_temporary(b);
    unsigned bad_a = entries(script, a, "interface", -1, true) + entries(script, a, "pvd", -1, true);
    unsigned bad_b = entries(script, b, "interface", -1, true) + entries(script, b, "pvd", -1, true);
    if (good_a != good_b)
        return good_a > good_b;
    if (bad_a != bad_b)
        return bad_a < bad_b;
    return metric(a) < metric(b);
}

void reference_choose(const struct script *script, const struct reference_client *client, struct reference_choice *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (unsigned s = 0; s < REFERENCE_STACKS; s++) {
        unsigned at = ret->stack_count;
        if (!stack_is_allowed(script, (enum reference_stack)s))
            continue;
        for (; at > 0 && stack_goes_first(script, (enum reference_stack)s, ret->stacks[at - 1]); at--)
            ret->stacks[at] = ret->stacks[at - 1];
        ret->stacks[at] = (enum reference_stack)s;
        ret->stack_count++;
    }
    ret->refused = ret->stack_count == 0 || contradicts(script);
    for (unsigned i = 0; i < client->count; i++) {
        unsigned at = ret->interface_count;
        const struct reference_interface *mine = &client->interfaces[i];
        if (!interface_is_allowed(script, mine))
            continue;
        for (; at > 0 && interface_goes_first(script, mine, &client->interfaces[ret->interfaces[at - 1]]); at--)
            ret->interfaces[at] = ret->interfaces[at - 1];
        ret->interfaces[at] = i;
        ret->interface_count++;
    }
}
