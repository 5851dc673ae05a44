/*
 * AddRemote, RemoveRemote, AddLocal, RemoveLocal (RFC 9622, 7.5): the endpoints that a session knows.
 *
 * Local Endpoints that were removed are kept beside those that are known, and the later word counts: an interface may
 * be known of which one address is not, and the other way round. A call that fails changes nothing: the lists are
 * copied before, and put back.
 */
#include <string.h>
#include "base/str.h"
#include "connection/connection.h"
#include "connection/paths.h"

/* ----------------------------------------------------------------------------------------------------- one endpoint */

/* Of interfaces the name is kept, also where the index was said. */
static const char *name_of(const struct tapsi_network *network, const char *interface)
{
    const struct tapsi_interface *found = network ? tapsi_path_find(network, interface) : NULL;
    return found ? found->name : interface;
}

static void from_endpoint(const struct tapsi_paths *p, const struct taps_endpoint *e, struct tapsi_known *ret)
{
    *ret = (struct tapsi_known){.address.sa.sa_family = AF_UNSPEC};
    if (e->has_address) {
        ret->address = e->address;
        tapsi_addr_unmap(&ret->address);
        tapsi_addr_set_port(&ret->address, !e->remote ? 0 : e->port ? e->port : tapsi_addr_port(&p->remote));
    }
    if (!e->remote)
        tapsi_format(ret->interface, sizeof(ret->interface), "%s", name_of(p->network, e->interface));
}

static bool same(const struct tapsi_known *a, const struct tapsi_known *b)
{
    return a->address.sa.sa_family == b->address.sa.sa_family && strcmp(a->interface, b->interface) == 0 &&
           (a->address.sa.sa_family == AF_UNSPEC || tapsi_addr_equal(&a->address, &b->address));
}

/* Is `address` of this interface meant? */
static bool means(const struct tapsi_known *k, const char *interface, const union tapsi_addr *address)
{
    bool concrete = k->address.sa.sa_family && !tapsi_addr_is_any(&k->address);
    if (k->interface[0] && strcmp(k->interface, interface) != 0)
        return false;
    if (k->address.sa.sa_family && k->address.sa.sa_family != address->sa.sa_family)
        return false;
    return !concrete || tapsi_addr_same_host(&k->address, address);
}

/* Does `wide` mean whatever `narrow` means? */
static bool covers(const struct tapsi_known *wide, const struct tapsi_known *narrow)
{
    if (wide->interface[0] && strcmp(wide->interface, narrow->interface) != 0)
        return false;
    return wide->address.sa.sa_family == AF_UNSPEC ||
           (narrow->address.sa.sa_family && tapsi_addr_same_host(&wide->address, &narrow->address));
}

/* -------------------------------------------------------------------------------------------------------- the lists */

static int append(struct tapsi_paths *p, struct tapsi_known_list *list, const struct tapsi_known *known)
{
    if (list->count == TAPSI_ENDPOINTS_MAX)
        return TAPS_E_RANGE;
    if (tapsi_grow(p->config->mem, &list->items, &list->capacity, list->count, sizeof(*list->items)))
        return TAPS_E_MEMORY;
    list->items[list->count] = *known;
    list->items[list->count++].turn = ++p->turns;
    return 0;
}

static void drop(struct tapsi_known_list *list, size_t index)
{
    list->count--;
    memmove(&list->items[index], &list->items[index + 1], (list->count - index) * sizeof(*list->items));
}

static bool was_removed(const struct tapsi_paths *p, uint64_t since, const char *interface,
                        const union tapsi_addr *address)
{
    for (size_t i = 0; i < p->removed.count; i++) {
        if (p->removed.items[i].turn > since && means(&p->removed.items[i], interface, address))
            return true;
    }
    return false;
}

bool tapsi_paths_known(const struct tapsi_paths *p, const struct tapsi_known *known,
                       const struct tapsi_interface *interface, const union tapsi_addr *address)
{
    if (known && !means(known, interface->name, address))
        return false;
    return !was_removed(p, known ? known->turn : 0, interface->name, address);
}

/* Nothing of it is left. */
static bool is_gone(const struct tapsi_paths *p, const struct tapsi_known *known)
{
    for (size_t i = 0; i < p->removed.count; i++) {
        if (p->removed.items[i].turn > known->turn && covers(&p->removed.items[i], known))
            return true;
    }
    return false;
}

/* What no later word can be about: so the lists do not grow with every move of a long life. */
static void tidy(struct tapsi_paths *p)
{
    for (size_t i = p->locals.count; i-- > 0;) {
        if (is_gone(p, &p->locals.items[i]))
            drop(&p->locals, i);
    }
    for (size_t i = p->removed.count; i-- > 0;) {
        bool needed = p->any;
        for (size_t k = 0; k < p->locals.count; k++)
            needed |= p->locals.items[k].turn < p->removed.items[i].turn;
        if (!needed)
            drop(&p->removed, i);
    }
}

int tapsi_paths_learn(struct tapsi_paths *p, const struct tapsi_config *config, const union tapsi_addr *remote)
{
    struct tapsi_known known = {.address = *remote};
    int err = append(p, &p->remotes, &known);
    for (size_t i = 0; i < config->local_count && !err; i++) {
        from_endpoint(p, &config->locals[i], &known);
        err = append(p, &p->locals, &known);
    }
    return err;
}

void tapsi_paths_forget(struct tapsi_paths *p)
{
    struct tapsi_mem *mem = &p->group->context->loop.mem;
    tapsi_free(mem, p->locals.items);
    tapsi_free(mem, p->remotes.items);
    tapsi_free(mem, p->removed.items);
}

/* ------------------------------------------------------------------------------------------------------- adding */

static int add_remote(struct tapsi_paths *p, const struct tapsi_known *known)
{
    for (size_t i = 0; i < p->remotes.count; i++) {
        if (same(&p->remotes.items[i], known))
            return 0;
    }
    return append(p, &p->remotes, known);
}

static int add_local(struct tapsi_paths *p, const struct tapsi_known *known)
{
    for (size_t i = 0; i < p->locals.count; i++) {
        if (same(&p->locals.items[i], known) && !is_gone(p, &p->locals.items[i]))
            return 0;
    }
    return append(p, &p->locals, known);
}

/* ----------------------------------------------------------------------------------------------------- removing */

static int remove_remote(struct tapsi_paths *p, const struct tapsi_known *known)
{
    for (size_t i = p->remotes.count; i-- > 0;) {
        if (tapsi_addr_equal(&p->remotes.items[i].address, &known->address))
            drop(&p->remotes, i);
    }
    return 0;
}

/* The oldest word is forgotten where there are too many. */
static int remove_local(struct tapsi_paths *p, const struct tapsi_known *known)
{
    for (size_t i = p->removed.count; i-- > 0;) {
        if (same(&p->removed.items[i], known))
            drop(&p->removed, i);
    }
    if (p->removed.count == TAPSI_ENDPOINTS_MAX)
        drop(&p->removed, 0);
    return append(p, &p->removed, known);
}

static bool none_left(const struct tapsi_paths *p, bool remote)
{
    bool left = remote ? p->remotes.count > 0 : p->any;
    for (size_t i = 0; i < p->locals.count && !remote; i++)
        left |= !is_gone(p, &p->locals.items[i]);
    return !left;
}

/* ------------------------------------------------------------------------------------------------------ the calls */

struct backup {
    size_t locals, remotes, removed;
    struct tapsi_known items[3 * TAPSI_ENDPOINTS_MAX];
};

static size_t save_list(const struct tapsi_known_list *list, struct tapsi_known *to)
{
    if (list->count)
        memcpy(to, list->items, list->count * sizeof(*to));
    return list->count;
}

static void save(const struct tapsi_paths *p, struct backup *b)
{
    b->locals = save_list(&p->locals, b->items);
    b->remotes = save_list(&p->remotes, b->items + b->locals);
    b->removed = save_list(&p->removed, b->items + b->locals + b->remotes);
}

static void put_list_back(struct tapsi_known_list *list, const struct tapsi_known *from, size_t count)
{
    if (count)
        memcpy(list->items, from, count * sizeof(*from));
    list->count = count;
}

static void put_back(struct tapsi_paths *p, const struct backup *b)
{
    put_list_back(&p->locals, b->items, b->locals);
    put_list_back(&p->remotes, b->items + b->locals, b->remotes);
    put_list_back(&p->removed, b->items + b->locals + b->remotes, b->removed);
}

static int apply(struct tapsi_paths *p, bool remote, bool adds, const taps_endpoint *const *endpoints, size_t count)
{
    int (*const step)(struct tapsi_paths *, const struct tapsi_known *) = adds     ? remote ? add_remote : add_local
                                                                          : remote ? remove_remote
                                                                                   : remove_local;
    struct tapsi_known known;
    int err = 0;
    for (size_t i = 0; i < count && !err; i++) {
        from_endpoint(p, endpoints[i], &known);
        err = step(p, &known);
    }
    return err;
}

/* Does one of them mean what the Connection is using? */
static bool is_in_use(struct taps_connection *c, bool remote, const taps_endpoint *const *endpoints, size_t count)
{
    const struct taps_endpoint *used = tapsi_connection_endpoint(c, remote);
    for (size_t i = 0; used && i < count; i++) {
        const struct taps_endpoint *e = endpoints[i];
        bool port = !remote || !e->port || e->port == used->port;
        bool named = !e->interface[0] || remote || strcmp(e->interface, used->interface) == 0;
        union tapsi_addr address = e->address;
        if (e->has_address)
            tapsi_addr_unmap(&address);
        if (port && named && (!e->has_address || tapsi_addr_same_host(&address, &used->address)))
            return true;
    }
    return false;
}

/* RFC 9622, 7.5: "or the connection might abort". Streams of one session end together. */
static void end_without(struct taps_connection *c, bool remote, const char *why)
{
    struct tapsi_error error;
    tapsi_error_set(&error, TAPS_E_LOCAL_ABORT, "its %s Endpoint was removed, and %s", remote ? "Remote" : "Local",
                    why);
    tapsi_group_abort_with(c, &error);
}

/* What cannot move has one pair of endpoints, and no use of others. */
static int change_fixed(struct taps_connection *c, bool remote, bool adds, const taps_endpoint *const *endpoints,
                        size_t count, int code, const char *why)
{
    bool unknown = false;
    for (size_t i = 0; i < count; i++)
        unknown |= !is_in_use(c, remote, &endpoints[i], 1);
    if (adds) {
        if (unknown && c->logs)
            tapsi_connection_log(c, "endpoint-refused code=%s: %s", taps_err_name(code), why);
        return unknown ? code : 0;
    }
    if (is_in_use(c, remote, endpoints, count))
        end_without(c, remote, why);
    return 0;
}

static int add_all(struct tapsi_paths *p, bool remote, const taps_endpoint *const *endpoints, size_t count)
{
    struct backup before;
    struct tapsi_error error;
    size_t ways;
    save(p, &before);
    int err = apply(p, remote, true, endpoints, count);
    if (!err)
        err = tapsi_paths_renew(p, &ways, &error);
    if (err)
        put_back(p, &before);
    else
        tidy(p);
    return err;
}

static int remove_all(struct taps_connection *c, struct tapsi_paths *p, bool remote,
                      const taps_endpoint *const *endpoints, size_t count)
{
    struct backup before;
    struct tapsi_error error;
    bool used = is_in_use(c, remote, endpoints, count), had_ways = p->count > 0;
    size_t ways = 0;
    save(p, &before);
    int err = apply(p, remote, false, endpoints, count);
    if (err) {
        put_back(p, &before);
        return err;
    }
    if (none_left(p, remote)) {
        end_without(c, remote, "no other is known");
        return 0;
    }
    err = tapsi_paths_renew(p, &ways, &error);
    if (used && (err == TAPS_E_POLICY || err == TAPS_E_NOT_APPLICABLE)) {
        end_without(c, remote, error.text);
        return 0;
    }
    if (err)
        put_back(p, &before);
    else if (used && had_ways && !ways)
        end_without(c, remote, "no other path reaches the peer");
    else
        tidy(p);
    return err;
}

static int check(const taps_endpoint *const *endpoints, size_t count, bool remote)
{
    for (size_t i = 0; i < count; i++) {
        const struct taps_endpoint *e = endpoints[i];
        if (!e || e->remote != remote || e->service[0] || e->protocol[0])
            return TAPS_E_ARGUMENT;
        if (e->host_name[0])
            return TAPS_E_RESOLUTION;
        if (remote ? !e->has_address || tapsi_addr_is_any(&e->address) || tapsi_addr_is_multicast(&e->address)
                   : !e->has_address && !e->interface[0])
            return TAPS_E_ARGUMENT;
    }
    return 0;
}

int tapsi_paths_change(struct taps_connection *c, bool remote, bool adds, const taps_endpoint *const *endpoints,
                       size_t count)
{
    int err = check(endpoints, count, remote);
    if (err || !count)
        return err;
    if (c->state == TAPS_ESTABLISHING || c->state == TAPS_CLOSED || c->pending_end || !c->top)
        return TAPS_E_STATE;
    struct tapsi_paths *p = tapsi_paths_of(c);
    if (p)
        return adds ? add_all(p, remote, endpoints, count) : remove_all(c, p, remote, endpoints, count);
    if (!tapsi_layer_moves(c->top))
        return change_fixed(c, remote, adds, endpoints, count, TAPS_E_NOT_APPLICABLE, "its stack stays on its path");
    bool initiated = c->member ? !c->member->group->passive : tapsi_connection_is_initiated(c);
    if (!initiated)
        return change_fixed(c, remote, adds, endpoints, count, TAPS_E_NOT_APPLICABLE,
                            "it came from a Listener, and only the peer can move it");
    return change_fixed(c, remote, adds, endpoints, count, TAPS_E_POLICY, "multipath is disabled");
}
