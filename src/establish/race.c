/*
 * The race.
 *
 * Invariants: no node starts after the race is over; every started leaf is WON, FAILED or CANCELLED when it is over;
 * the sink hears once. A parent is over when no child is active, none waits, and none can come. Everything begins in a
 * flush task, so that nothing is said, and no socket is made, inside Initiate.
 *
 * The surprising thing: a leaf may fail while its parent is still starting it, so start_next loops instead of
 * recursing.
 *
 * With opportunistic security a path can be ACTIVE with nothing under way: its secure stacks have failed, and its plain
 * ones wait for those of the other paths. When plain.c lets them go, such paths are taken up again in order, each a
 * stagger delay after the one before, as if they started only then (`resumes`).
 */
#include "establish/past.h"

#include <assert.h>
#include <string.h>
#include "base/str.h"

#define LEVEL (TAPSI_LEVELS - 1)

static bool start_next(struct tapsi_node *parent);
static void child_over(struct tapsi_node *parent);
static void fail_node(struct tapsi_node *node, int error);
static void let_plain_go(struct tapsi_race *race);

/* ----------------------------------------------------------------------------------------------------- ends */

static void stop_timers(struct tapsi_node *node)
{
    if (node->has_stagger)
        tapsi_timer_done(node->race->loop, &node->stagger);
    node->has_stagger = false;
    for (size_t i = 0; i < node->count; i++)
        stop_timers(node->children[i]);
}

static void note_attempt(const struct tapsi_node *node)
{
    const struct tapsi_race *race = node->race;
    if (node->leaf && race->sink)
        race->sink->attempt(race->owner, node);
}

static void note_names(struct tapsi_race *race)
{
    if (race->sink)
        race->sink->resolved(race->owner, &race->names);
}

static void cancel_active(struct tapsi_node *node, const char *reason)
{
    for (size_t i = 0; i < node->count; i++)
        cancel_active(node->children[i], reason);
    if (node->root || node->state != TAPS_CANDIDATE_ACTIVE)
        return;
    if (node->leaf)
        tapsi_attempt_stop(node->leaf);
    node->state = TAPS_CANDIDATE_CANCELLED;
    node->end = tapsi_loop_now(node->race->loop);
    tapsi_node_reason(node, "%s", reason);
    note_attempt(node);
}

static void end(struct tapsi_race *race, const char *reason)
{
    if (race->over)
        return;
    race->over = true;
    race->version++;
    tapsi_task_cancel(&race->task);
    tapsi_lookups_stop(&race->names);
    cancel_active(&race->tree, reason);
    stop_timers(&race->tree);
    tapsi_plain_free(race);
    if (race->has_timers)
        tapsi_timer_done(race->loop, &race->deadline);
    race->has_timers = false;
}

void tapsi_race_cancel(struct tapsi_race *race, const char *reason)
{
    end(race, reason);
    race->sink = NULL;
}

static void fail_race(struct tapsi_race *race, const struct tapsi_error *error)
{
    const struct tapsi_race_sink *sink = race->sink;
    end(race, error->pub.code == TAPS_E_TIMEOUT ? "the deadline came" : "the establishment failed");
    race->sink = NULL;
    if (sink)
        sink->failed(race->owner, error);
}

/* --------------------------------------------------------------------------------------------------- errors */

/* The farther a candidate came, the more its failure tells. */
static int weight(int code)
{
    switch (code) {
    case TAPS_E_CERTIFICATE:
    case TAPS_E_CERTIFICATE_EXPIRED:
    case TAPS_E_CERTIFICATE_NAME:
    case TAPS_E_CERTIFICATE_PIN:
        return 5;
    case TAPS_E_TLS:
    case TAPS_E_TRUNCATED:
        return 4;
    case TAPS_E_ABORTED:
        return 3;
    case TAPS_E_REFUSED:
        return 2;
    default:
        return 1;
    }
}

struct summary {
    const struct tapsi_node *best;
    size_t failed;
    struct tapsi_str text;
};

static void summarize(const struct tapsi_node *node, struct summary *s)
{
    for (size_t i = 0; i < node->count; i++)
        summarize(node->children[i], s);
    if (!node->leaf || node->state != TAPS_CANDIDATE_FAILED)
        return;
    if (!s->best || weight(node->error) > weight(s->best->error))
        s->best = node;
    s->failed++;
}

/* Every leaf failed; or there never was one. */
static void word_failure(const struct tapsi_race *race, struct tapsi_error *error)
{
    struct summary s = {0};
    char remote[TAPSI_ADDR_TEXT], host[TAPSI_HOST_MAX + 8];
    summarize(&race->tree, &s);
    tapsi_endpoint_text(&race->config->remotes[0], host, sizeof(host));
    if (s.best) {
        tapsi_addr_text(&s.best->leaf->remote, remote);
        const char *why = s.best->reason ? s.best->reason : taps_err_text(s.best->error);
        if (s.failed == 1)
            tapsi_error_set(error, s.best->error, "%s: %s", remote, why);
        else
            tapsi_error_set(error, s.best->error, "all %zu candidates of %s failed; %s: %s", s.failed, host, remote,
                            why);
        error->pub.domain = s.best->leaf->domain;
        error->pub.native = s.best->leaf->native;
        return;
    }
    if (tapsi_lookups_error(&race->names, error))
        return;
    const struct taps_endpoint *first = &race->config->remotes[0];
    if (!first->port && first->service[0])
        tapsi_error_set(error, TAPS_E_RESOLUTION, "the service %s is not known on this system", first->service);
    else
        tapsi_error_set(error, TAPS_E_NO_CANDIDATES, "no path of this machine reaches %s under the properties given",
                        host);
}

/* What failed before the deadline came tells more than that it came. */
static void word_timeout(const struct tapsi_race *race, struct tapsi_error *error)
{
    struct summary s = {0};
    char host[TAPSI_HOST_MAX + 8], remote[TAPSI_ADDR_TEXT];
    double seconds = (double)(tapsi_loop_now(race->loop) - race->start) / (double)TAPSI_S;
    bool resolving = race->leaves == 0 && tapsi_lookups_pending(&race->names);
    summarize(&race->tree, &s);
    tapsi_endpoint_text(&race->config->remotes[0], host, sizeof(host));
    if (!s.best) {
        tapsi_error_set(error, TAPS_E_TIMEOUT, "%s: %s within %.3g s", host,
                        resolving ? "the name servers did not answer" : "no candidate was ready", seconds);
        return;
    }
    const char *why = s.best->reason ? s.best->reason : taps_err_text(s.best->error);
    bool same = strcmp(tapsi_addr_text(&s.best->leaf->remote, remote), host) == 0;
    tapsi_error_set(error, TAPS_E_TIMEOUT, "%s: no candidate was ready within %.3g s; %s%s%s", host, seconds,
                    same ? "" : remote, same ? "" : ": ", why);
}

static void on_deadline(struct tapsi_timer *timer)
{
    struct tapsi_race *race = TAPSI_CONTAINER(timer, struct tapsi_race, deadline);
    struct tapsi_error error;
    word_timeout(race, &error);
    fail_race(race, &error);
}

/* ---------------------------------------------------------------------------------------------- starting */

static bool may_grow(const struct tapsi_node *node)
{
    return node->kind == TAPS_CANDIDATE_PROTOCOL && !node->root && tapsi_lookups_pending(&node->race->names);
}

static struct tapsi_node *next_waiting(const struct tapsi_node *parent)
{
    for (size_t i = 0; i < parent->count; i++) {
        struct tapsi_node *child = parent->children[i];
        if (child->resumes || (child->state == TAPS_CANDIDATE_NOT_STARTED && !tapsi_plain_holds(child)))
            return child;
    }
    return NULL;
}

/* Has it children that only wait for their turn after the secure ones? */
static bool holds_back(const struct tapsi_node *parent)
{
    for (size_t i = 0; i < parent->count; i++) {
        const struct tapsi_node *child = parent->children[i];
        if (child->state == TAPS_CANDIDATE_NOT_STARTED && tapsi_plain_holds(child))
            return true;
    }
    return false;
}

/* The stack of a path that started last, if it stands on UDP, which many networks swallow; or NULL. */
static const struct tapsi_node *last_on_udp(const struct tapsi_node *path)
{
    const struct tapsi_node *last = NULL;
    for (size_t i = 0; i < path->count; i++) {
        if (path->children[i]->start && (!last || path->children[i]->start >= last->start))
            last = path->children[i];
    }
    bool on_udp = last && (last->row->offer.alpn == TAPSI_ALPN_QUIC || last->row->offer.alpn == TAPSI_ALPN_DTLS);
    return on_udp ? last : NULL;
}

/* QUIC that has no address yet has not begun: its time does not run. */
static bool waits_for_names(const struct tapsi_node *parent)
{
    const struct tapsi_node *last = !parent->root && parent->kind == TAPS_CANDIDATE_PATH ? last_on_udp(parent) : NULL;
    return last && last->last_start == 0 && may_grow(last);
}

static uint64_t stagger_delay(const struct tapsi_node *parent)
{
    uint64_t delay = parent->race->attempt_delay;
    if (parent->root)
        return delay * 4; /* another path costs more than another protocol, and that more than another address */
    return parent->kind == TAPS_CANDIDATE_PATH && !last_on_udp(parent) ? delay * 2 : delay;
}

static void on_stagger(struct tapsi_timer *timer)
{
    struct tapsi_node *parent = TAPSI_CONTAINER(timer, struct tapsi_node, stagger);
    struct tapsi_race *race = parent->race;
    if (waits_for_names(parent))
        return;
    start_next(parent);
    let_plain_go(race);
}

static void arm_stagger(struct tapsi_node *parent)
{
    if (!next_waiting(parent)) {
        /* The time of an earlier start must not count for addresses that are yet to come. */
        if (parent->has_stagger)
            tapsi_timer_cancel(parent->race->loop, &parent->stagger);
        return;
    }
    if (!parent->has_stagger) {
        if (tapsi_timer_init(parent->race->loop, &parent->stagger, on_stagger))
            return; /* without the timer the next child starts when this one fails */
        parent->has_stagger = true;
    }
    tapsi_timer_start_at(parent->race->loop, &parent->stagger, parent->last_start + stagger_delay(parent));
}

/* The code of the system or the protocol below, for who asks the error of the whole race for it. */
static void note_native(struct tapsi_leaf *leaf, const struct tapsi_error *error)
{
    leaf->domain = error->pub.domain;
    leaf->native = error->pub.native;
}

static void mark_failed(struct tapsi_node *node, int error)
{
    node->state = TAPS_CANDIDATE_FAILED;
    node->error = error;
    node->end = tapsi_loop_now(node->race->loop);
    node->race->version++;
}

/* True: it is under way. */
static bool start_leaf(struct tapsi_node *node)
{
    struct tapsi_error error;
    int err = tapsi_attempt_start(node->leaf, &error);
    if (!err)
        return true;
    tapsi_plain_note(node->race, node->leaf, err);
    note_native(node->leaf, &error);
    mark_failed(node, err);
    tapsi_node_reason(node, "%s", error.text);
    note_attempt(node);
    return false;
}

static bool start_inner(struct tapsi_node *node)
{
    int err = node->kind == TAPS_CANDIDATE_PATH ? tapsi_tree_protocols(node) : tapsi_tree_endpoints(node);
    if (!err && (start_next(node) || may_grow(node) || holds_back(node)))
        return true;
    fail_node(node, err ? err : TAPS_E_ESTABLISHMENT);
    return false;
}

/* A path whose plain stacks may start now. */
static bool resume(struct tapsi_node *path)
{
    path->resumes = false;
    if (start_next(path) || path->active)
        return true;
    fail_node(path, TAPS_E_ESTABLISHMENT);
    return false;
}

static bool start_node(struct tapsi_node *node)
{
    if (node->resumes)
        return resume(node);
    node->state = TAPS_CANDIDATE_ACTIVE;
    node->start = tapsi_loop_now(node->race->loop);
    node->race->version++;
    note_attempt(node);
    return node->leaf ? start_leaf(node) : start_inner(node);
}

/* Starts the next waiting child; goes on to the one after it as long as they fail at once, or only hold back. False if
   none is under way now that was not before. */
static bool start_next(struct tapsi_node *parent)
{
    struct tapsi_node *child;
    bool held_back = false;
    while (!parent->race->over && (child = next_waiting(parent))) {
        bool counted = child->resumes;
        bool started = start_node(child);
        parent->active += started && !counted;
        parent->active -= !started && counted;
        if (!started)
            continue;
        parent->resumes = false;
        parent->last_start = tapsi_loop_now(parent->race->loop);
        arm_stagger(parent);
        held_back = !child->leaf && !child->active && holds_back(child);
        if (!held_back)
            return true;
    }
    return held_back;
}

/* ----------------------------------------------------------------------------------------------- failing */

static bool all_pruned(const struct tapsi_node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        if (node->children[i]->state != TAPS_CANDIDATE_PRUNED)
            return false;
    }
    return true;
}

/* An inner node none of whose children was ever tried was not a candidate after all. */
static void fail_node(struct tapsi_node *node, int error)
{
    mark_failed(node, error);
    if (node->leaf || !all_pruned(node))
        return;
    node->state = TAPS_CANDIDATE_PRUNED;
    node->error = 0;
    node->start = node->end = 0;
    if (tapsi_lookups_total(&node->race->names) == 0)
        tapsi_node_reason(node, "%s has no address", node->race->config->remotes[0].host_name);
    else if (node->kind == TAPS_CANDIDATE_PATH || node->count)
        tapsi_node_reason(node, "%s reaches no address of the Remote Endpoint", node->interface->name);
    else
        tapsi_node_reason(node, "no address or port of the Remote Endpoint is for %s", node->row->offer.stack);
    tapsi_node_free_children(node);
}

static void end_failed(struct tapsi_race *race)
{
    struct tapsi_error error;
    word_failure(race, &error);
    fail_race(race, &error);
}

/* A child of `parent` is over; what follows? */
static void child_over(struct tapsi_node *parent)
{
    struct tapsi_race *race = parent->race;
    parent->active--;
    if (race->over || start_next(parent) || parent->active || may_grow(parent))
        return;
    if (holds_back(parent)) { /* what is left of this path waits: the next one need not */
        start_next(parent->parent);
        return;
    }
    if (parent->root) {
        end_failed(race);
        return;
    }
    fail_node(parent, TAPS_E_ESTABLISHMENT);
    child_over(parent->parent);
}

void tapsi_race_leaf_failed(struct tapsi_leaf *leaf, const struct tapsi_error *error)
{
    struct tapsi_node *node = &leaf->node;
    struct tapsi_race *race = node->race;
    if (node->state != TAPS_CANDIDATE_ACTIVE)
        return;
    tapsi_plain_note(race, leaf, error->pub.code);
    tapsi_attempt_stop(leaf);
    note_native(leaf, error);
    mark_failed(node, error->pub.code);
    tapsi_node_reason(node, "%s", error->text);
    note_attempt(node);
    child_over(node->parent);
    let_plain_go(race);
}

/* The secure ones have had their turn: each path goes on with its plain stacks, one after the other. */
static void let_plain_go(struct tapsi_race *race)
{
    enum tapsi_plain_turn turn = race->over ? TAPSI_PLAIN_WAITS : tapsi_plain_ask(race);
    if (turn == TAPSI_PLAIN_WAITS)
        return;
    if (turn == TAPSI_PLAIN_NEVER) {
        end_failed(race);
        return;
    }
    for (size_t i = 0; i < race->tree.count; i++)
        race->tree.children[i]->resumes = race->tree.children[i]->state == TAPS_CANDIDATE_ACTIVE;
    race->version++;
    if (!start_next(&race->tree) && race->tree.active == 0)
        end_failed(race);
}

/* ----------------------------------------------------------------------------------------------- winning */

/* ARCH-09: what a candidate promised is checked again when it is ready. */
static bool secure_enough(const struct tapsi_leaf *leaf, const struct tapsi_ready_info *info)
{
    const struct tapsi_security *security = leaf->node.race->config->security;
    if (security->mode != TAPS_SECURITY_REQUIRED)
        return true;
    return info->security && info->authenticated && (tapsi_security_versions(security) & (1u << info->security));
}

void tapsi_race_leaf_ready(struct tapsi_leaf *leaf, const struct tapsi_ready_info *info)
{
    struct tapsi_race *race = leaf->node.race;
    const struct tapsi_race_sink *sink = race->sink;
    struct tapsi_layer *top = leaf->top;
    if (!secure_enough(leaf, info)) {
        struct tapsi_error error;
        tapsi_error_set(&error, TAPS_E_TLS, "the stack is ready without the security that was required");
        tapsi_race_leaf_failed(leaf, &error);
        return;
    }
    leaf->top = NULL;
    for (struct tapsi_node *node = &leaf->node; !node->root; node = node->parent) {
        node->state = TAPS_CANDIDATE_WON;
        node->end = tapsi_loop_now(race->loop);
    }
    tapsi_past_learn(race, leaf);
    race->winner = leaf;
    race->ready = tapsi_loop_now(race->loop);
    end(race, "another candidate was ready first");
    race->sink = NULL;
    if (sink)
        sink->won(race->owner, leaf, top, info);
    else
        tapsi_layer_destroy(top, 0);
}

/* --------------------------------------------------------------------------------------------- beginning */

/* A stack whose first address has just started: the next stack follows a delay after that. */
static void begin_delay(const struct tapsi_node *protocol)
{
    struct tapsi_node *path = protocol->parent;
    if (protocol->race->over || last_on_udp(path) != protocol)
        return;
    path->last_start = protocol->last_start;
    arm_stagger(path);
}

/* New addresses: every protocol under way takes them in. */
static void grow(struct tapsi_node *node)
{
    struct tapsi_race *race = node->race;
    for (size_t i = 0; i < node->count && !race->over; i++) {
        struct tapsi_node *child = node->children[i];
        if (child->state == TAPS_CANDIDATE_ACTIVE && !child->leaf)
            grow(child);
    }
    if (race->over || node->root || node->kind != TAPS_CANDIDATE_PROTOCOL)
        return;
    tapsi_tree_endpoints(node);
    bool first = node->last_start == 0;
    if (node->active == 0 ? start_next(node) : false) {
        if (first)
            begin_delay(node);
        return;
    }
    if (node->active && node->has_stagger && tapsi_timer_running(&node->stagger))
        return;
    if (node->active) {
        arm_stagger(node);
    } else if (!may_grow(node)) {
        fail_node(node, TAPS_E_RESOLUTION);
        child_over(node->parent);
    }
}

static void on_names(struct tapsi_lookups *names)
{
    struct tapsi_race *race = TAPSI_CONTAINER(names, struct tapsi_race, names);
    race->version++;
    note_names(race);
    if (!race->begun || race->over)
        return;
    grow(&race->tree);
    let_plain_go(race);
}

static void begin(struct tapsi_task *task)
{
    struct tapsi_race *race = TAPSI_CONTAINER(task, struct tapsi_race, task);
    struct tapsi_error error;
    race->begun = true;
    tapsi_lookups_start(&race->names);
    note_names(race);
    if (tapsi_tree_paths(race)) {
        tapsi_error_set(&error, TAPS_E_MEMORY, "no memory for the candidates");
        fail_race(race, &error);
        return;
    }
    if (!start_next(&race->tree))
        end_failed(race);
    let_plain_go(race);
}

/* Which families are of use: both, unless every Local Endpoint has an address of one. */
static unsigned wanted_families(const struct tapsi_config *config)
{
    unsigned wanted = 0;
    for (size_t i = 0; i < config->local_count; i++) {
        const struct taps_endpoint *local = &config->locals[i];
        if (!local->has_address)
            return 3;
        wanted |= 1u << (local->address.sa.sa_family == AF_INET6 ? TAPSI_LOOKUP_AAAA : TAPSI_LOOKUP_A);
    }
    if (tapsi_preference(config->properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS) == TAPS_REQUIRE)
        return 1u << TAPSI_LOOKUP_AAAA;
    return wanted ? wanted : 3;
}

static int init_parts(struct tapsi_race *race, const struct tapsi_race_options *options)
{
    struct tapsi_config *config = race->config;
    race->env = tapsi_config_env(config, race->loop, options->caches);
    if (!race->env)
        return TAPS_E_MEMORY;
    int err = tapsi_timer_init(race->loop, &race->deadline, on_deadline);
    if (err)
        return err;
    race->has_timers = true;
    if (options->timeout != TAPSI_FOREVER)
        tapsi_timer_start(race->loop, &race->deadline, options->timeout);
    uint64_t due = options->timeout == TAPSI_FOREVER ? TAPSI_FOREVER : race->start + options->timeout;
    err = tapsi_plain_new(race, due, let_plain_go);
    if (err)
        return err;
    return tapsi_lookups_init(&race->names, race->loop, options->resolver, config->remotes, config->remote_count,
                              wanted_families(config), options->resolution_delay, on_names);
}

int tapsi_race_new(struct tapsi_loop *loop, struct tapsi_config *config, struct tapsi_plan *plan,
                   const struct tapsi_race_options *options, const struct tapsi_race_sink *sink, void *owner,
                   struct tapsi_race **ret, struct tapsi_error *ret_error)
{
    struct tapsi_race *race = tapsi_zalloc(&loop->mem, sizeof(*race));
    if (!race)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a race");
    race->loop = loop;
    race->config = tapsi_config_ref(config);
    race->plan = plan;
    plan->refs++;
    race->sink = sink;
    race->owner = owner;
    race->attempt_delay = options->attempt_delay;
    race->start = tapsi_loop_now(loop);
    race->tree = (struct tapsi_node){.race = race, .root = true};
    tapsi_task_init(&race->task, begin);
    if (init_parts(race, options)) {
        tapsi_race_free(race);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a race");
    }
    tapsi_loop_flush(loop, &race->task, LEVEL);
    *ret = race;
    return 0;
}

void tapsi_race_free(struct tapsi_race *race)
{
    if (!race)
        return;
    tapsi_race_cancel(race, "given up");
    tapsi_lookups_done(&race->names);
    tapsi_node_free_children(&race->tree);
    if (race->env)
        tapsi_env_unref(race->env);
    tapsi_plan_unref(race->plan);
    tapsi_config_unref(race->config);
    tapsi_free(&race->loop->mem, race);
}
