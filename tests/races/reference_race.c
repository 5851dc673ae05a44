/*
 * The race as a time table. Everything that will happen is a time in one of three lists: answers of the name server,
 * ends of attempts, and the times at which a parent may start its next child. The earliest is taken, until somebody has
 * won or nothing is left. Where chance decides, or two things happen at one time and their order would matter, the
 * result is not known.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "reference.h"

#define NEVER            UINT64_MAX
#define MS               UINT64_C(1000000)
#define NODES_MAX        512
#define CHILDREN         32
#define GRACE            (1000 * MS)
#define REFERENCE_LOCALS 3 /* Local Endpoints that suit one address */

enum level { ROOT, PATH, STACK, LEAF };
enum state { WAITS, RUNS, FAILED };
enum fate { HANGS, SUCCEEDS, FAILS, UNKNOWN };

struct node {
    enum level level;
    enum state state;
    struct node *parent, *children[CHILDREN];
    unsigned child_count, running;
    uint64_t last_start; /* of a child */
    uint64_t next;       /* when the next child may start beside the running ones; NEVER */
    const struct reference_interface *interface;
    enum reference_stack stack;
    bool resumes; /* PATH: plain stacks may start now, and none has */
    /* LEAF */
    union tapsi_addr to;
    unsigned turn; /* which of the Local Endpoints that suit it */
    enum fate fate;
    uint64_t over, connected; /* when it ends; when TCP is there, before a handshake */
    int attempt;
};

/* One Remote Endpoint: its addresses, and when they come. */
struct name {
    bool literal, asked[2], answered[2]; /* AAAA, A */
    uint64_t answer[2], release;         /* when; NEVER */
    bool released;
    union tapsi_addr addresses[2][REFERENCE_ADDRESSES];
    unsigned counts[2];
    uint16_t port;
    char protocol[8], interface[16];
};

struct race {
    const struct script *script;
    const struct reference_client *client;
    const struct reference_choice *choice;
    struct reference_race *result;
    struct node *nodes;
    unsigned node_count;
    struct name names[REFERENCE_NAMES];
    unsigned name_count;
    uint64_t now, delay, resolution_delay, due;
    bool over;
    bool holding;      /* opportunistic security: plain stacks wait */
    uint64_t answered; /* when a peer was first heard to have no TLS; NEVER */
    uint64_t plain;    /* when to look again whether plain stacks may start; NEVER */
};

static bool start_next(struct race *r, struct node *parent);
static void child_failed(struct race *r, struct node *parent);

static const char *mode_of(const struct script *script)
{
    const struct script_line *line = script_find(script, SCRIPT_SECURITY);
    return line ? line->words[0] : "disabled";
}

/* ------------------------------------------------------------------------------------------- packets and their time */

static bool parse(const char *text, union tapsi_addr *ret)
{
    memset(ret, 0, sizeof(*ret));
    return tapsi_addr_parse(text, ret) == 0;
}

/* Does this interface (of any host) have the address in the script? */
static bool has_address(const struct script *script, const char *full_name, const union tapsi_addr *address)
{
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        char word[64];
        union tapsi_addr a;
        if ((line->verb != SCRIPT_INTERFACE && line->verb != SCRIPT_ADDRESS) || strcmp(line->words[0], full_name) != 0)
            continue;
        const char *rest = line->verb == SCRIPT_INTERFACE ? line->words[2] : line->words[1];
        while (script_next_word(&rest, word, sizeof(word))) {
            word[strcspn(word, "/")] = 0;
            if (parse(word, &a) && tapsi_addr_same_host(&a, address))
                return true;
        }
    }
    return false;
}

/* The link from `interface` to whoever has the address, or the interface's first link; NULL: it has none. */
static const struct script_line *link_to(const struct script *script, const struct reference_interface *interface,
                                         const union tapsi_addr *address, bool *ret_somebody)
{
    const struct script_line *first = NULL;
    *ret_somebody = false;
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        if (line->verb != SCRIPT_LINK || strcmp(line->words[0], interface->full_name) != 0)
            continue;
        if (has_address(script, line->words[1], address)) {
            *ret_somebody = true;
            return line;
        }
        first = first ? first : line;
    }
    return first;
}

static const struct script_line *about(const struct script *script, enum script_verb verb, const char *subject)
{
    const struct script_line *last = NULL;
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        if (line->verb == verb && line->when == SCRIPT_FROM_THE_START && strcmp(line->words[0], subject) == 0)
            last = line;
    }
    return last;
}

static const char *fault_of(const struct script *script, const struct reference_interface *interface,
                            const union tapsi_addr *address)
{
    char text[TAPSI_ADDR_TEXT];
    const struct script_line *line = about(script, SCRIPT_FAULT, interface->full_name);
    if (line && strcmp(line->words[1], "none") != 0)
        return line->words[1];
    line = about(script, SCRIPT_FAULT, tapsi_addr_text(address, text)); /* the port's own goes before the host's */
    if (!line)
        line = about(script, SCRIPT_FAULT, tapsi_addr_host_text(address, text));
    return line ? line->words[1] : "none";
}

struct trip {
    bool arrives;
    const char *fault;
    uint64_t there, back;
};

/* From the interface to the address and back. */
static struct trip trip_to(const struct script *script, const struct reference_interface *interface,
                           const union tapsi_addr *address)
{
    char text[TAPSI_ADDR_TEXT];
    struct trip trip = {.arrives = false, .fault = fault_of(script, interface, address)};
    const struct script_line *link = link_to(script, interface, address, &trip.arrives);
    const struct script_line *slow = about(script, SCRIPT_SLOW, tapsi_addr_host_text(address, text));
    const struct script_line *delay = about(script, SCRIPT_DELAY, interface->full_name);
    if (!link)
        return trip;
    trip.back = delay ? delay->numbers[0] : link->numbers[0];
    trip.there = trip.back + (slow ? slow->numbers[0] : 0);
    return trip;
}

static bool has_family(const struct reference_interface *interface, int family)
{
    for (unsigned i = 0; i < interface->address_count; i++) {
        const union tapsi_addr *a = &interface->addresses[i].address;
        if (a->sa.sa_family == family && !tapsi_addr_is_link_local(a))
            return true;
    }
    return false;
}

/* Which interface the system itself would take: the longest prefix, then the lowest metric. */
static const struct reference_interface *route(const struct reference_client *client, const union tapsi_addr *to)
{
    const struct reference_interface *best = NULL;
    unsigned best_bits = 0;
    for (unsigned i = 0; i < client->count; i++) {
        const struct reference_interface *interface = &client->interfaces[i];
        if (!interface->up || !has_family(interface, to->sa.sa_family))
            continue;
        unsigned bits = 0;
        for (unsigned k = 0; k < interface->address_count; k++) {
            const struct reference_address *a = &interface->addresses[k];
            if (a->address.sa.sa_family == to->sa.sa_family && a->bits > bits &&
                tapsi_addr_in_prefix(to, &a->address, a->bits))
                bits = a->bits;
        }
        if (!best || bits > best_bits) {
            best = interface;
            best_bits = bits;
        }
    }
    return best;
}

/* ------------------------------------------------------------------------------------------------------------ names */

/* When the answer to a query of this type is there, and what is in it. */
static void ask(struct race *r, struct name *name, const char *host, int type)
{
    static const char *const types[] = {"AAAA", "A"};
    const struct script_line *server = script_find(r->script, SCRIPT_NAMESERVER);
    union tapsi_addr address;
    bool failed = false;
    name->asked[type] = true;
    name->answer[type] = NEVER;
    if (!server || !parse(server->words[0], &address))
        return;
    const struct reference_interface *out = route(r->client, &address);
    struct trip trip = {.arrives = false};
    if (out)
        trip = trip_to(r->script, out, &address);
    if (!trip.arrives || strcmp(trip.fault, "none") != 0) {
        r->result->known = false;
        return;
    }
    name->answer[type] = trip.there + trip.back;
    for (unsigned i = 0; i < r->script->count; i++) {
        const struct script_line *line = &r->script->lines[i];
        if ((line->verb != SCRIPT_DNS && line->verb != SCRIPT_DNS_FAILS) || strcmp(line->words[0], host) != 0 ||
            strcmp(line->words[1], types[type]) != 0)
            continue;
        name->answer[type] = trip.there + trip.back + line->numbers[0];
        failed |= line->verb == SCRIPT_DNS_FAILS;
        if (line->verb == SCRIPT_DNS_FAILS && strcmp(line->words[2], "never") == 0)
            name->answer[type] = NEVER; /* the queries after it are too late to matter: see known_until */
        else if (line->verb == SCRIPT_DNS_FAILS && strcmp(line->words[2], "empty") != 0 &&
                 strcmp(line->words[2], "nxdomain") != 0)
            r->result->known = false; /* the server is asked again, or another is */
        const char *rest = line->verb == SCRIPT_DNS ? line->words[2] : "";
        char word[64];
        while (script_next_word(&rest, word, sizeof(word)) && name->counts[type] < REFERENCE_ADDRESSES) {
            if (parse(word, &name->addresses[type][name->counts[type]]))
                name->counts[type]++;
        }
    }
    if (failed)
        name->counts[type] = 0;
}

/* "host:port", "[address]:port", "192.0.2.1:80". */
static void split(const char *text, char host[80], uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':'), *end = colon;
    if (text[0] == '[') {
        text++;
        end = strchr(text, ']');
    }
    snprintf(host, 80, "%.*s", (int)(end - text), text);
    *ret_port = (uint16_t)atoi(colon + 1);
}

/* Which families are of use: those of the Local Endpoints' addresses, if all have one; only IPv6 has temporary ones. */
static void useful_families(const struct script *script, bool ret[2])
{
    bool every = true, any = false, mine[2] = {false, false};
    for (unsigned i = 0; i < script->count; i++) {
        const char *rest = script->lines[i].words[0];
        char word[80];
        bool has = false;
        if (script->lines[i].verb != SCRIPT_LOCAL)
            continue;
        any = true;
        while (script_next_word(&rest, word, sizeof(word))) {
            if (strcmp(word, "address") == 0 && script_next_word(&rest, word, sizeof(word))) {
                mine[strchr(word, ':') ? 0 : 1] = true;
                has = true;
            }
        }
        every &= has;
    }
    ret[0] = !any || !every || mine[0];
    ret[1] = !any || !every || mine[1];
    if ((!any || !every) && reference_wish(script, "useTemporaryLocalAddress") == 2)
        ret[1] = false;
}

static void add_name(struct race *r, const struct script_line *line)
{
    const char *rest = line->words[0];
    char text[80] = "", host[80], word[80];
    bool useful[2];
    if (r->name_count == REFERENCE_NAMES)
        return;
    struct name *name = &r->names[r->name_count++];
    script_next_word(&rest, text, sizeof(text));
    split(text, host, &name->port);
    while (script_next_word(&rest, word, sizeof(word))) {
        char *into = strcmp(word, "protocol") == 0 ? name->protocol : name->interface;
        script_next_word(&rest, into, into == name->protocol ? sizeof(name->protocol) : sizeof(name->interface));
    }
    name->release = NEVER;
    union tapsi_addr address;
    if (parse(host, &address)) {
        int type = address.sa.sa_family == AF_INET6 ? 0 : 1;
        name->literal = name->released = true;
        name->addresses[type][0] = address;
        name->counts[type] = 1;
        return;
    }
    useful_families(r->script, useful);
    for (int type = 0; type < 2; type++) {
        if (useful[type])
            ask(r, name, host, type);
    }
}

static bool is_done(const struct name *name, int type)
{
    return !name->asked[type] || name->answered[type];
}

static bool answers_are_due(const struct race *r)
{
    for (unsigned i = 0; i < r->name_count; i++) {
        if (!r->names[i].released || !is_done(&r->names[i], 0) || !is_done(&r->names[i], 1))
            return true;
    }
    return false;
}

/* RFC 8305, 3. */
static void release(struct race *r, struct name *name)
{
    bool has_aaaa = is_done(name, 0) && name->counts[0] > 0;
    if (name->released)
        return;
    if (is_done(name, 0) && (has_aaaa || is_done(name, 1)))
        name->released = true;
    else if (name->answered[1] && name->counts[1] && name->release == NEVER)
        name->release = r->now + r->resolution_delay;
}

/* ------------------------------------------------------------------------------------------------------- candidates */

static struct node *add_node(struct race *r, struct node *parent, enum level level)
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
        else if (strcmp(word, "address") == 0 && parse(value, ret_from))
            suits &= ret_from->sa.sa_family == to->sa.sa_family &&
                     has_address(r->script, stack->interface->full_name, ret_from);
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
        if (has_address(r->script, r->client->interfaces[i].full_name, to))
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
        if (r->client->interfaces[i].up && has_family(&r->client->interfaces[i], to->sa.sa_family))
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
    bool reaches = has_family(stack->interface, to->sa.sa_family) || is_last_resort(r, stack, to);
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
        struct node *leaf = has_leaf(stack, &list[i].address, turn) ? NULL : add_node(r, stack, LEAF);
        if (leaf) {
            leaf->to = list[i].address;
            leaf->turn = turn;
        }
    }
}

/* All addresses known by now, in their order, behind those that were started. */
static void list_addresses(struct race *r, struct node *stack)
{
    drop_waiting(stack);
    for (unsigned n = 0; n < r->name_count; n++) {
        for (unsigned turn = 0; r->names[n].released && turn <= REFERENCE_LOCALS; turn++)
            list_name(r, stack, &r->names[n], turn);
    }
}

/* ---------------------------------------------------------------------------------------------------- one attempt */

static const char *service_at(const struct script *script, uint16_t port, bool datagrams)
{
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        if (line->verb == SCRIPT_SERVE && line->numbers[0] == port) {
            bool is_datagrams = !strcmp(line->words[1], "udp-echo") || !strcmp(line->words[1], "datagrams");
            if (is_datagrams == datagrams)
                return line->words[1];
        }
    }
    return NULL;
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

static void judge(struct race *r, struct node *leaf)
{
    struct trip trip = trip_to(r->script, leaf->interface, &leaf->to);
    uint64_t round = trip.there + trip.back;
    const char *service = service_at(r->script, tapsi_addr_port(&leaf->to), false);
    leaf->over = r->now + round;
    leaf->connected = NEVER;
    if (tapsi_addr_is_link_local(&leaf->to))
        r->result->known = false; /* zones are not modelled */
    if (!has_family(leaf->interface, leaf->to.sa.sa_family)) {
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
        leaf->fate = handshake(mode_of(r->script), service);
        leaf->over = r->now + 2 * round;
        leaf->connected = r->now + round;
    }
    if (leaf->fate == HANGS)
        leaf->over = NEVER;
}

static void start_leaf(struct race *r, struct node *leaf)
{
    struct reference_race *result = r->result;
    judge(r, leaf);
    if (result->count == REFERENCE_ATTEMPTS) {
        result->known = false;
        return;
    }
    leaf->attempt = (int)result->count;
    if (leaf->fate == FAILS && leaf->over == r->now)
        return; /* not one packet */
    result->attempts[result->count++] = (struct reference_attempt){
        .time = r->now, .interface = leaf->interface->name, .stack = leaf->stack, .to = leaf->to};
}

/* ------------------------------------------------------------------------------------------------------------ tree */

static uint64_t delay_between(const struct race *r, const struct node *parent)
{
    static const unsigned times[] = {[ROOT] = 4, [PATH] = 2, [STACK] = 1};
    return r->delay * times[parent->level];
}

/* Speed must not decide about security: docs/design/003, "opportunistic". */
static bool is_held(const struct race *r, const struct node *node)
{
    return r->holding && node->state == WAITS && node->level == STACK && node->stack != REFERENCE_TLS;
}

static bool holds_back(const struct race *r, const struct node *parent)
{
    for (unsigned i = 0; i < parent->child_count; i++) {
        if (is_held(r, parent->children[i]))
            return true;
    }
    return false;
}

static struct node *first_waiting(const struct race *r, const struct node *parent)
{
    for (unsigned i = 0; i < parent->child_count; i++) {
        struct node *child = parent->children[i];
        if (child->resumes || (child->state == WAITS && !is_held(r, child)))
            return child;
    }
    return NULL;
}

static void set_next(struct race *r, struct node *parent)
{
    uint64_t delay = delay_between(r, parent);
    parent->next = first_waiting(r, parent) && delay != NEVER ? parent->last_start + delay : NEVER;
    if (parent->next < r->now)
        parent->next = r->now;
}

/* False: it failed at once. */
static bool start(struct race *r, struct node *node)
{
    node->state = RUNS;
    if (node->level == LEAF) {
        start_leaf(r, node);
        return true;
    }
    for (unsigned s = 0; node->level == PATH && s < r->choice->stack_count; s++) {
        struct node *stack = add_node(r, node, STACK);
        if (stack)
            stack->stack = r->choice->stacks[s];
    }
    if (node->level == STACK)
        list_addresses(r, node);
    if (start_next(r, node) || (node->level == STACK && answers_are_due(r)) || holds_back(r, node))
        return true;
    node->state = FAILED;
    return false;
}

/* A path whose plain stacks may start now. */
static bool resume(struct race *r, struct node *path)
{
    path->resumes = false;
    if (start_next(r, path) || path->running)
        return true;
    path->state = FAILED;
    return false;
}

/* The next child, and the one after it if it fails at once or only holds back. */
static bool start_next(struct race *r, struct node *parent)
{
    struct node *child;
    bool held_back = false;
    while ((child = first_waiting(r, parent))) {
        bool counted = child->resumes;
        bool started = counted ? resume(r, child) : start(r, child);
        parent->running += started && !counted;
        parent->running -= !started && counted;
        if (!started)
            continue;
        parent->resumes = false;
        parent->last_start = r->now;
        set_next(r, parent);
        held_back = child->level != LEAF && !child->running && holds_back(r, child);
        if (!held_back)
            return true;
    }
    if (!held_back)
        parent->next = NEVER;
    return held_back;
}

/* One child less. */
static void child_failed(struct race *r, struct node *parent)
{
    parent->running--;
    if (start_next(r, parent) || parent->running || (parent->level == STACK && answers_are_due(r)))
        return;
    if (holds_back(r, parent)) { /* this path waits with its plain stacks: the next one need not */
        start_next(r, parent->parent);
        return;
    }
    parent->state = FAILED;
    parent->next = NEVER;
    if (parent->level == ROOT)
        r->over = true;
    else
        child_failed(r, parent->parent);
}

static void look_at_secure(const struct race *r, const struct node *node, bool *ret_possible, bool *ret_reached)
{
    if (node->level == PATH && node->state == WAITS)
        *ret_possible = true;
    if (node->level == STACK && node->stack == REFERENCE_TLS && node->state != FAILED)
        *ret_possible = true;
    if (node->level == LEAF && node->stack == REFERENCE_TLS && node->state == RUNS && node->connected <= r->now)
        *ret_reached = true;
    for (unsigned i = 0; node->state == RUNS && i < node->child_count; i++)
        look_at_secure(r, node->children[i], ret_possible, ret_reached);
}

/* May plain stacks start? When no secure candidate can win any more, or a grace after a peer was heard to have no
   TLS, unless a handshake is under way. */
static void let_plain_go(struct race *r)
{
    struct node *root = &r->nodes[0];
    bool possible = false, reached = false;
    if (!r->holding || r->over)
        return;
    look_at_secure(r, root, &possible, &reached);
    if (possible && (r->answered == NEVER || reached))
        return;
    uint64_t half = (r->due - r->answered) / 2, end = r->answered + (half < GRACE ? half : GRACE);
    if (possible && r->now < end) {
        r->plain = end;
        return;
    }
    r->holding = false;
    r->plain = NEVER;
    for (unsigned i = 0; i < root->child_count; i++)
        root->children[i]->resumes = root->children[i]->state == RUNS;
    if (!start_next(r, root) && !root->running)
        r->over = true;
}

/* New addresses for every stack that runs. */
static void grow(struct race *r, struct node *node)
{
    for (unsigned i = 0; i < node->child_count && !r->over; i++) {
        if (node->children[i]->state == RUNS && node->children[i]->level != LEAF)
            grow(r, node->children[i]);
    }
    if (node->level != STACK || r->over)
        return;
    list_addresses(r, node);
    if (node->running) {
        set_next(r, node);
        return;
    }
    if (start_next(r, node) || answers_are_due(r))
        return;
    node->state = FAILED;
    child_failed(r, node->parent);
}

/* ------------------------------------------------------------------------------------------------------------ time */

struct moment {
    uint64_t time;
    struct name *name;
    int type; /* of an answer; 2 = the resolution delay is over */
    struct node *node;
    bool is_end; /* of an attempt; else a parent's next child */
    bool tied;
};

static void consider(struct moment *m, struct moment candidate)
{
    bool both_start = m->node && candidate.node && !m->is_end && !candidate.is_end;
    if (candidate.time == NEVER || candidate.time > m->time)
        return;
    if (candidate.time == m->time) {
        m->tied |= !both_start;
        return;
    }
    candidate.tied = false;
    *m = candidate;
}

static struct moment next_moment(struct race *r)
{
    struct moment m = {.time = NEVER};
    consider(&m, (struct moment){.time = r->plain});
    for (unsigned i = 0; i < r->name_count; i++) {
        struct name *name = &r->names[i];
        for (int type = 0; type < 2; type++) {
            if (!is_done(name, type))
                consider(&m, (struct moment){.time = name->answer[type], .name = name, .type = type});
        }
        if (!name->released)
            consider(&m, (struct moment){.time = name->release, .name = name, .type = 2});
    }
    for (unsigned i = 0; i < r->node_count; i++) {
        struct node *node = &r->nodes[i];
        if (node->level == LEAF && node->state == RUNS)
            consider(&m, (struct moment){.time = node->over, .node = node, .is_end = true});
        else if (node->level != LEAF && node->state == RUNS)
            consider(&m, (struct moment){.time = node->next, .node = node});
    }
    return m;
}

/* A refusal or a broken handshake comes from the peer; what a router says tells nothing. */
static bool tells_of_no_tls(const struct race *r, const struct node *leaf)
{
    const char *fault = trip_to(r->script, leaf->interface, &leaf->to).fault;
    return leaf->over > 0 && has_family(leaf->interface, leaf->to.sa.sa_family) && strcmp(fault, "prohibit") != 0 &&
           strcmp(fault, "unreachable") != 0;
}

static void end_attempt(struct race *r, struct node *leaf)
{
    if (leaf->fate == SUCCEEDS) {
        r->result->winner = leaf->attempt;
        r->result->ready_at = r->now;
        r->over = true;
        return;
    }
    if (leaf->fate == UNKNOWN)
        r->result->known = false;
    leaf->state = FAILED;
    if (leaf->stack == REFERENCE_TLS && r->answered == NEVER && tells_of_no_tls(r, leaf))
        r->answered = r->now;
    child_failed(r, leaf->parent);
}

static void live(struct race *r, const struct moment *m)
{
    r->now = m->time;
    r->plain = r->plain == r->now ? NEVER : r->plain;
    if (m->name) {
        if (m->type == 2) {
            m->name->released = true;
        } else {
            m->name->answered[m->type] = true;
            release(r, m->name);
        }
        grow(r, &r->nodes[0]);
    } else if (m->is_end) {
        end_attempt(r, m->node);
    } else if (m->node) {
        m->node->next = NEVER;
        start_next(r, m->node);
    }
    let_plain_go(r);
}

/* What the script does by chance, or by hand, before the race is decided makes it unknown. */
static bool is_quiet(const struct script *script, uint64_t until)
{
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        bool early = line->when == SCRIPT_FROM_THE_START || (line->when == SCRIPT_AT && line->at <= until) ||
                     (line->when == SCRIPT_ON &&
                      (line->event == SCRIPT_ON_SEND_ERROR || line->event == SCRIPT_ON_RECEIVE_ERROR));
        bool rough = line->verb == SCRIPT_LOSS || line->verb == SCRIPT_RATE || line->verb == SCRIPT_MTU ||
                     line->verb == SCRIPT_FAIL_CALL || line->verb == SCRIPT_FAIL_ALLOCATION;
        bool late_change =
            line->when != SCRIPT_FROM_THE_START && line->verb >= SCRIPT_ADDRESS && line->verb <= SCRIPT_FAIL_ALLOCATION;
        bool ends_it = line->verb == SCRIPT_CLOSE || line->verb == SCRIPT_ABORT || line->verb == SCRIPT_FREE;
        if (early && (rough || late_change || ends_it))
            return false;
    }
    return true;
}

static uint64_t time_of(const struct script *script, enum script_verb verb, uint64_t normal)
{
    const struct script_line *line = script_find(script, verb);
    return line ? line->numbers[0] : normal;
}

static uint64_t timeout_of(const struct script *script)
{
    const struct script_line *a = script_find(script, SCRIPT_INITIATE);
    const struct script_line *b = script_find(script, SCRIPT_INITIATE_SENDING);
    uint64_t timeout = a ? a->numbers[0] : b ? b->numbers[0] : 0;
    return timeout ? timeout : 30000 * MS;
}

static void go(struct race *r)
{
    uint64_t timeout = timeout_of(r->script);
    struct node *root = &r->nodes[r->node_count++];
    *root = (struct node){.level = ROOT, .state = RUNS, .next = NEVER};
    for (unsigned i = 0; i < r->choice->interface_count; i++) {
        struct node *path = add_node(r, root, PATH);
        if (path)
            path->interface = &r->client->interfaces[r->choice->interfaces[i]];
    }
    if (!start_next(r, root))
        r->over = true;
    let_plain_go(r);
    while (!r->over && r->result->known) {
        struct moment m = next_moment(r);
        if (m.time == NEVER || m.time > timeout)
            break;
        r->result->known &= m.time != timeout;
        r->result->known &= !m.tied;
        live(r, &m);
    }
    uint64_t until = r->result->winner >= 0 ? r->now : timeout;
    /* A question that is never answered is asked again after a second, and given up some time. */
    for (unsigned i = 0; i < r->name_count; i++) {
        for (int type = 0; type < 2; type++) {
            if (r->names[i].asked[type] && r->names[i].answer[type] == NEVER && until > 1000 * MS)
                r->result->known = false;
        }
    }
    r->result->known &= is_quiet(r->script, until);
}

void reference_race(const struct script *script, const struct reference_client *client,
                    const struct reference_choice *choice, struct reference_race *ret)
{
    static struct node nodes[NODES_MAX];
    struct race r = {.script = script, .client = client, .choice = choice, .result = ret, .nodes = nodes};
    ret->known = true;
    ret->count = 0;
    ret->winner = -1;
    ret->ready_at = 0;
    /* All of one kind: nothing to hold back. */
    r.holding =
        strcmp(mode_of(script), "opportunistic") == 0 && choice->stack_count > 1 && choice->stacks[0] == REFERENCE_TLS;
    r.answered = r.plain = NEVER;
    r.due = timeout_of(script);
    r.delay = time_of(script, SCRIPT_ATTEMPT_DELAY, 250 * MS);
    r.resolution_delay = time_of(script, SCRIPT_RESOLUTION_DELAY, 50 * MS);
    for (unsigned i = 0; i < script->count; i++) {
        if (script->lines[i].verb == SCRIPT_REMOTE)
            add_name(&r, &script->lines[i]);
    }
    go(&r);
}
