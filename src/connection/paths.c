/*
 * The ways of a session: every eligible path (the Selection Properties decide, as in the race) with every address of it
 * that the endpoints allow and that reaches the peer. Best first: Remote Endpoints in the order in which they became
 * known, under each the Local Endpoints that the application named, then what the system has, in the order of the
 * paths; of one interface the address that the system would choose first.
 *
 * Worked out anew when the network changes and when endpoints do; the session hears of it only if something differs. It
 * decides by itself what it takes (stack/layer.h). That a way is gone never ends a Connection (IMPL-21): without any
 * the session stays where it is, since the network may come back.
 */
#include "connection/paths.h"

#include <string.h>
#include "base/str.h"
#include "connection/connection.h"
#include "establish/ways.h"

struct survey {
    struct tapsi_paths *paths;
    const struct tapsi_plan *plan;
    const union tapsi_addr *remote; /* that ways are sought to */
    bool said;                      /* it is the only one, and in use: it need not be named */
    size_t count;
    struct tapsi_way ways[TAPSI_WAYS_MAX];
};

/* ------------------------------------------------------------------------------------------------------- one way */

static enum taps_preference temporary(const struct tapsi_paths *paths)
{
    return tapsi_preference(paths->config->properties, TAPS_USE_TEMPORARY_LOCAL_ADDRESS);
}

/* Of a remote: none said is one too. */
static bool same_address(const union tapsi_addr *a, const union tapsi_addr *b)
{
    return a->sa.sa_family == AF_UNSPEC ? b->sa.sa_family == AF_UNSPEC : tapsi_addr_equal(a, b);
}

static bool has_way(const struct survey *s, const struct tapsi_way *way)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct tapsi_way *other = &s->ways[i];
        if (tapsi_addr_equal(&other->local, &way->local) && same_address(&other->remote, &way->remote) &&
            other->interface_index == way->interface_index)
            return true;
    }
    return false;
}

static void add_way(struct survey *s, const struct tapsi_known *known, const struct tapsi_interface *interface,
                    const union tapsi_addr *local)
{
    const struct tapsi_paths *p = s->paths;
    if (s->count == TAPSI_WAYS_MAX || !tapsi_paths_known(p, known, interface, local))
        return;
    struct tapsi_way way = {.local = *local, .interface_index = interface->index};
    bool asked = known && known->interface[0];
    tapsi_addr_set_port(&way.local, 0);
    if (!s->said)
        way.remote = *s->remote;
    if (tapsi_plan_binds(s->plan, p->config->properties, interface, asked, s->remote))
        way.interface = interface->name;
    if (!has_way(s, &way))
        s->ways[s->count++] = way;
}

/* ------------------------------------------------------------------------------------- the addresses of one interface
 */

static bool may_use(const struct survey *s, const struct tapsi_local_address *local)
{
    enum taps_preference wanted = temporary(s->paths);
    bool in_use = tapsi_addr_same_host(&local->address, &s->paths->local);
    if (local->address.sa.sa_family != s->remote->sa.sa_family || (local->deprecated && !in_use))
        return false;
    if (tapsi_addr_is_link_local(&local->address) && !tapsi_addr_is_link_local(s->remote))
        return false;
    return !(wanted == TAPS_PROHIBIT && local->temporary) && !(wanted == TAPS_REQUIRE && !local->temporary);
}

static const struct tapsi_local_address *find(const struct tapsi_interface *interface, const union tapsi_addr *address)
{
    for (size_t i = 0; i < interface->address_count; i++) {
        if (tapsi_addr_same_host(&interface->addresses[i].address, address))
            return &interface->addresses[i];
    }
    return NULL;
}

/* Every address of 127.0.0.0/8 is the loopback interface's, though it lists one. */
static bool is_of(const struct tapsi_interface *interface, const union tapsi_addr *address)
{
    return interface->type == TAPSI_IF_LOOPBACK && tapsi_addr_is_loopback(address);
}

static void add_address(struct survey *s, const struct tapsi_known *known, const struct tapsi_interface *interface,
                        const union tapsi_addr *address)
{
    const struct tapsi_local_address *own = find(interface, address);
    bool usable = own ? may_use(s, own) : is_of(interface, address) && address->sa.sa_family == s->remote->sa.sa_family;
    if (usable)
        add_way(s, known, interface, own ? &own->address : address);
}

/* The system's choice comes first, then the others; last what is in use, which may not be listed. */
static void add_interface(struct survey *s, const struct tapsi_known *known, const struct tapsi_interface *interface)
{
    struct tapsi_destination to = {.address = *s->remote};
    if (known && known->address.sa.sa_family && !tapsi_addr_is_any(&known->address)) {
        add_address(s, known, interface, &known->address);
        return;
    }
    if (tapsi_path_source(interface, temporary(s->paths) > TAPS_NO_PREFERENCE, &to))
        add_address(s, known, interface, &to.source);
    for (size_t i = 0; i < interface->address_count; i++)
        add_address(s, known, interface, &interface->addresses[i].address);
    if (is_of(interface, &s->paths->local))
        add_address(s, known, interface, &s->paths->local);
}

/* --------------------------------------------------------------------------------------------------------- all ways */

/* Packets to oneself come from oneself: they leave by loopback, with an address of any interface. */
static void add_own(struct survey *s, const struct tapsi_known *known)
{
    const struct tapsi_network *network = s->plan->network;
    const struct tapsi_interface *owner = tapsi_path_of_address(network, &s->paths->local);
    bool to_self = tapsi_path_of_address(network, s->remote) || tapsi_addr_is_loopback(s->remote);
    if (owner && owner->type != TAPSI_IF_LOOPBACK && to_self)
        add_way(s, known, owner, &s->paths->local);
}

static void add_paths(struct survey *s, const struct tapsi_known *known)
{
    const struct tapsi_plan *plan = s->plan;
    for (size_t i = 0; i < plan->paths_eligible; i++) {
        const struct tapsi_interface *interface = &plan->network->interfaces[plan->path_order[i]];
        if (tapsi_plan_reaches(plan, interface, s->remote))
            add_interface(s, known, interface);
    }
    add_own(s, known);
}

static void add_remote(struct survey *s, const union tapsi_addr *remote)
{
    const struct tapsi_paths *p = s->paths;
    s->remote = remote;
    s->said = p->remotes.count == 1 && tapsi_addr_equal(remote, &p->remote);
    for (size_t i = 0; i < p->locals.count; i++)
        add_paths(s, &p->locals.items[i]);
    if (p->any)
        add_paths(s, NULL);
}

/* -------------------------------------------------------------------------------------------------- handing down */

static bool same_name(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_ways(const struct tapsi_paths *p, const struct survey *s)
{
    if (p->count != s->count)
        return false;
    for (size_t i = 0; i < p->count; i++) {
        const struct tapsi_way *a = &p->ways[i], *b = &s->ways[i];
        if (!tapsi_addr_equal(&a->local, &b->local) || !same_address(&a->remote, &b->remote) ||
            a->interface_index != b->interface_index || !same_name(a->interface, b->interface))
            return false;
    }
    return true;
}

static void keep_ways(struct tapsi_paths *p, const struct survey *s)
{
    tapsi_network_unref(p->network);
    p->network = tapsi_network_ref(s->plan->network);
    memcpy(p->ways, s->ways, sizeof(p->ways));
    p->count = s->count;
    p->bond = p->group->bond;
}

static void log_ways(const struct taps_connection *c, const struct tapsi_paths *p)
{
    char text[300], local[TAPSI_ADDR_TEXT], remote[TAPSI_ADDR_TEXT];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < p->count && length < sizeof(text) - 1; i++) {
        const struct tapsi_way *w = &p->ways[i];
        bool named = w->remote.sa.sa_family != AF_UNSPEC;
        length +=
            tapsi_format(text + length, sizeof(text) - length, " %s%s%s%s%s", tapsi_addr_host_text(&w->local, local),
                         w->interface ? "%" : "", w->interface ? w->interface : "", named ? ">" : "",
                         named ? tapsi_addr_text(&w->remote, remote) : "");
    }
    tapsi_connection_log(c, "paths count=%zu%s", p->count, text);
}

/* RFC 9622, 8.3.2: paths are added or removed. */
static void tell_members(const struct tapsi_paths *p)
{
    for (struct tapsi_link *l = p->group->members.next; l != &p->group->members; l = l->next) {
        struct taps_connection *c = tapsi_group_member_at(l)->connection;
        if (!c->streams || !c->top || c->pending_end)
            continue;
        c->pending_path = true;
        tapsi_connection_post(c);
    }
}

static int hand_down(struct tapsi_paths *p, struct taps_connection *streamer, const struct survey *s,
                     struct tapsi_error *ret_error)
{
    bool first = p->bond != p->group->bond;
    int err = tapsi_layer_paths(streamer->top, s->ways, s->count, ret_error);
    if (err) {
        if (streamer->logs)
            tapsi_connection_log(streamer, "paths-refused code=%s: %s", taps_err_name(err), ret_error->text);
        return err;
    }
    keep_ways(p, s);
    if (streamer->logs)
        log_ways(streamer, p);
    if (!first)
        tell_members(p);
    return 0;
}

int tapsi_paths_renew(struct tapsi_paths *p, size_t *ret_count, struct tapsi_error *ret_error)
{
    struct taps_connection *streamer = tapsi_group_streamer(p->group);
    struct survey s = {.paths = p};
    struct tapsi_plan *plan;
    if (!streamer)
        return tapsi_error_set(ret_error, TAPS_E_STATE, "the session is over");
    int err = tapsi_plan_get(p->config, p->group->context->loop.platform, TAPSI_ROLE_CLIENT, &plan, ret_error);
    if (err)
        return err;
    s.plan = plan;
    for (size_t i = 0; i < p->remotes.count; i++)
        add_remote(&s, &p->remotes.items[i].address);
    if (p->bond != p->group->bond || !same_ways(p, &s))
        err = hand_down(p, streamer, &s, ret_error);
    tapsi_plan_unref(plan);
    *ret_count = s.count;
    return err;
}

/* ------------------------------------------------------------------------------------------------ the network changes
 */

#define LOOKS_APART (100 * TAPSI_MS)

/* A look reads all addresses and routes, which costs, and a routing daemon may change thousands of them in a second. So
   the first change is looked at at once, and what follows soon after it together. What failed, since a table changed
   while it was read or memory was short, is tried again. */
static void look_at_network(struct taps_context *context)
{
    struct tapsi_error error;
    size_t count;
    context->network_news = false;
    for (struct tapsi_link *l = context->roaming.next; l != &context->roaming; l = l->next) {
        int err = tapsi_paths_renew(TAPSI_CONTAINER(l, struct tapsi_paths, link), &count, &error);
        context->network_news |= err == TAPS_E_MEMORY || err == TAPS_E_SYSTEM;
    }
    tapsi_timer_start(&context->loop, &context->network_timer, LOOKS_APART);
}

static void on_network(struct tapsi_watch *watch, unsigned io)
{
    struct taps_context *context = TAPSI_CONTAINER(watch, struct taps_context, network_watch);
    (void)io;
    if (tapsi_timer_running(&context->network_timer))
        context->network_news = true;
    else
        look_at_network(context);
}

static void on_network_timer(struct tapsi_timer *timer)
{
    struct taps_context *context = TAPSI_CONTAINER(timer, struct taps_context, network_timer);
    if (context->network_news)
        look_at_network(context);
}

/* Where nobody tells of changes, the session finds out for itself when its path is lost. */
static void listen_to_network(struct taps_context *context)
{
    struct tapsi_platform *p = context->loop.platform;
    if (context->network_watch.ready || !p->ops->watch_network)
        return;
    if (tapsi_timer_init(&context->loop, &context->network_timer, on_network_timer) < 0)
        return;
    context->network_watch = (struct tapsi_watch){.fd = -1, .ready = on_network};
    int err = p->ops->watch_network(p, &context->network_watch);
    if (err < 0) {
        context->network_watch.ready = NULL;
        tapsi_timer_done(&context->loop, &context->network_timer);
        tapsi_log(&context->loop, TAPS_LOG_INFO, "nobody tells when the network changes: %s", strerror(-err));
    }
}

void tapsi_paths_deafen(struct taps_context *context)
{
    struct tapsi_platform *p = context->loop.platform;
    if (!context->network_watch.ready)
        return;
    p->ops->watch_network(p, NULL);
    tapsi_timer_done(&context->loop, &context->network_timer);
    context->network_watch.ready = NULL;
}

/* ------------------------------------------------------------------------------------------------------- life */

struct tapsi_paths *tapsi_paths_of(const struct taps_connection *c)
{
    return c->streams && c->member ? c->member->group->paths : NULL;
}

void tapsi_paths_free(struct tapsi_paths *p)
{
    if (!p)
        return;
    tapsi_list_remove(&p->link);
    tapsi_paths_forget(p);
    tapsi_network_unref(p->network);
    tapsi_config_unref(p->config);
    tapsi_free(&p->group->context->loop.mem, p);
}

static void look_where(const struct taps_connection *c, union tapsi_addr *ret_local, union tapsi_addr *ret_remote)
{
    union tapsi_got got;
    if (c->top && tapsi_layer_get(c->top, TAPSI_GET_LOCAL, &got) == 0)
        *ret_local = got.address;
    if (c->top && tapsi_layer_get(c->top, TAPSI_GET_REMOTE, &got) == 0)
        *ret_remote = got.address;
}

static int new_paths(struct taps_connection *c, struct tapsi_group *g)
{
    struct tapsi_paths *p = tapsi_zalloc(&c->context->loop.mem, sizeof(*p));
    if (!p)
        return TAPS_E_MEMORY;
    p->group = g;
    p->any = c->config->local_count == 0;
    p->begun = tapsi_loop_now(&c->context->loop);
    tapsi_link_init(&p->link);
    look_where(c, &p->local, &p->remote);
    if (tapsi_connection_plan(c))
        p->network = tapsi_network_ref(tapsi_connection_plan(c)->network);
    int err = tapsi_config_copy(c->config, &p->config);
    if (!err) {
        p->config->local_count = 0;
        err = tapsi_paths_learn(p, c->config, &p->remote);
    }
    if (err) {
        tapsi_paths_free(p);
        return err;
    }
    g->paths = p;
    tapsi_list_append(&c->context->roaming, &p->link);
    return 0;
}

void tapsi_paths_begin(struct taps_connection *c)
{
    struct tapsi_group *g;
    struct tapsi_error error;
    size_t count;
    if (!c->streams || tapsi_select_multipath(c->properties, TAPSI_ROLE_CLIENT) == TAPS_MULTIPATH_DISABLED ||
        !tapsi_layer_moves(c->top))
        return;
    int err = tapsi_group_of(c, &g);
    if (!err && g->passive)
        return;
    if (!err && !g->paths)
        err = new_paths(c, g);
    if (err) {
        tapsi_log(&c->context->loop, TAPS_LOG_WARNING, "no memory for other paths: a Connection stays where it is");
        return;
    }
    listen_to_network(c->context);
    if (g->paths->bond != g->bond)
        look_where(c, &g->paths->local, &g->paths->remote);
    tapsi_paths_renew(g->paths, &count, &error);
}

/* ------------------------------------------------------------------------------------------------------- moves */

/* A server may have sent its client to another address of its own (RFC 9000, 9.6). */
static void follow_remote(struct tapsi_paths *p, const union tapsi_addr *before)
{
    struct tapsi_known *other = NULL;
    for (size_t i = 0; i < p->remotes.count; i++) {
        if (tapsi_addr_equal(&p->remotes.items[i].address, &p->remote))
            return;
        if (tapsi_addr_equal(&p->remotes.items[i].address, before))
            other = &p->remotes.items[i];
    }
    if (other)
        other->address = p->remote;
}

void tapsi_paths_moved(struct taps_connection *c)
{
    struct tapsi_paths *p = tapsi_paths_of(c);
    if (!p)
        return;
    union tapsi_addr local = p->local, remote = p->remote;
    look_where(c, &p->local, &p->remote);
    if (tapsi_addr_equal(&local, &p->local) && tapsi_addr_equal(&remote, &p->remote))
        return;
    follow_remote(p, &remote);
    struct tapsi_move *move = &p->moves[p->moved++ % TAPSI_MOVES_MAX];
    *move = (struct tapsi_move){.when = tapsi_loop_now(&c->context->loop), .local = p->local, .remote = p->remote};
    const struct taps_endpoint *endpoint = tapsi_connection_endpoint(c, false);
    if (endpoint)
        tapsi_format(move->interface, sizeof(move->interface), "%s", endpoint->interface);
}
