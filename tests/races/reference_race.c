/*
 * The race as a time table. Everything that will happen is a time in one of three lists: answers of the name server,
 * ends of attempts, and the times at which a parent may start its next child. The earliest is taken, until somebody has
 * won or nothing is left. Where chance decides, or two things happen at one time and their order would matter, the
 * result is not known.
 */
#include <string.h>
#include "reference_parts.h"

static bool start_next(struct race *r, struct node *parent);
static void child_failed(struct race *r, struct node *parent);

/* ---------------------------------------------------------------------------------------------------- tree */

static void start_leaf(struct race *r, struct node *leaf)
{
    struct reference_race *result = r->result;
    reference_judge(r, leaf);
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
        struct node *stack = reference_add_node(r, node, STACK);
        if (stack)
            stack->stack = r->choice->stacks[s];
    }
    if (node->level == STACK)
        reference_list(r, node);
    if (start_next(r, node) || (node->level == STACK && reference_answers_are_due(r)) || holds_back(r, node))
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
    if (start_next(r, parent) || parent->running || (parent->level == STACK && reference_answers_are_due(r)))
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
    reference_list(r, node);
    if (node->running) {
        set_next(r, node);
        return;
    }
    if (start_next(r, node) || reference_answers_are_due(r))
        return;
    node->state = FAILED;
    child_failed(r, node->parent);
}

/* ---------------------------------------------------------------------------------------------------- time */

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
            if (!reference_is_answered(name, type))
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
    const char *fault = reference_trip(r->script, leaf->interface, &leaf->to).fault;
    return leaf->over > 0 && reference_has_family(leaf->interface, leaf->to.sa.sa_family) &&
           strcmp(fault, "prohibit") != 0 && strcmp(fault, "unreachable") != 0;
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
            reference_release(r, m->name);
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
bool reference_is_quiet(const struct script *script, uint64_t until)
{
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        bool early = line->when == SCRIPT_FROM_THE_START || (line->when == SCRIPT_AT && line->at <= until) ||
                     (line->when == SCRIPT_ON &&
                      (line->event == SCRIPT_ON_SEND_ERROR || line->event == SCRIPT_ON_RECEIVE_ERROR));
        bool rough = line->verb == SCRIPT_LOSS || line->verb == SCRIPT_MTU || line->verb == SCRIPT_FAIL_CALL ||
                     line->verb == SCRIPT_FAIL_ALLOCATION || line->verb == SCRIPT_LIE || line->verb == SCRIPT_DNS_TCP ||
                     (line->verb >= SCRIPT_RATE && line->verb <= SCRIPT_CUT) || line->verb == SCRIPT_LEAP;
        bool late_change = line->when != SCRIPT_FROM_THE_START && line->verb >= SCRIPT_ADDRESS &&
                           line->verb <= SCRIPT_FAIL_ALLOCATION && line->verb != SCRIPT_CLOCK_BACK &&
                           line->verb != SCRIPT_CLOCK_FORWARDS; /* what the wall clock shows decides nothing */
        bool ends_it = line->verb == SCRIPT_CLOSE || line->verb == SCRIPT_ABORT || line->verb == SCRIPT_FREE;
        if (early && (rough || late_change || ends_it))
            return false;
    }
    return true;
}

static void go(struct race *r)
{
    uint64_t timeout = reference_timeout(r->script);
    struct node *root = &r->nodes[r->node_count++];
    *root = (struct node){.level = ROOT, .state = RUNS, .next = NEVER};
    for (unsigned i = 0; i < r->choice->interface_count; i++) {
        struct node *path = reference_add_node(r, root, PATH);
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
    r->result->known &= reference_is_quiet(r->script, until);
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
    r.holding = strcmp(reference_security(script), "opportunistic") == 0 && choice->stack_count > 1 &&
                choice->stacks[0] == REFERENCE_TLS;
    r.answered = r.plain = NEVER;
    r.due = reference_timeout(script);
    r.delay = reference_time(script, SCRIPT_ATTEMPT_DELAY, 250 * MS);
    r.resolution_delay = reference_time(script, SCRIPT_RESOLUTION_DELAY, 50 * MS);
    for (unsigned i = 0; i < script->count; i++) {
        if (script->lines[i].verb == SCRIPT_REMOTE)
            reference_add_name(&r, &script->lines[i]);
    }
    go(&r);
}
