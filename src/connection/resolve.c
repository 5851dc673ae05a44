#include "connection/resolve.h"

#include <string.h>

#define DEFAULT_TIMEOUT_MS 30000

void tapsi_resolve_cancel(struct tapsi_resolve *r)
{
    struct tapsi_loop *loop = &r->context->loop;
    tapsi_task_cancel(&r->task);
    tapsi_timer_done(loop, &r->deadline);
    tapsi_lookups_done(&r->lookups);
    tapsi_list_remove(&r->link);
    tapsi_plan_unref(r->plan);
    tapsi_config_unref(r->config);
    loop->holds--;
    tapsi_free(&loop->mem, r);
}

/* -------------------------------------------------------------------------------------------------- results */

struct results {
    struct tapsi_mem *mem;
    struct taps_endpoint **list;
    size_t count, capacity;
    bool failed;
};

static void add(struct results *results, bool remote, const union tapsi_addr *address, const char *interface)
{
    struct taps_endpoint *e = tapsi_alloc(results->mem, sizeof(*e));
    if (!e || tapsi_grow(results->mem, &results->list, &results->capacity, results->count, sizeof(*results->list))) {
        tapsi_free(results->mem, e);
        results->failed = true;
        return;
    }
    tapsi_endpoint_from_addr(e, remote, address);
    if (interface)
        tapsi_endpoint_set_interface(e, interface);
    results->list[results->count++] = e;
}

static void done(struct results *results)
{
    for (size_t i = 0; i < results->count; i++)
        tapsi_free(results->mem, results->list[i]);
    tapsi_free(results->mem, results->list);
}

static uint16_t port_of(const struct tapsi_resolve *r, const struct taps_endpoint *e)
{
    if (e->port || !e->service[0])
        return e->port;
    return tapsi_resolver_service(r->context->resolver, e->service, "tcp");
}

static void add_remotes(const struct tapsi_resolve *r, struct results *results)
{
    for (size_t i = 0; i < r->lookups.count; i++) {
        const struct tapsi_lookup *name = &r->lookups.items[i];
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
            for (size_t a = 0; a < name->queries[f].count; a++) {
                union tapsi_addr address = name->queries[f].addresses[a];
                tapsi_addr_set_port(&address, port_of(r, name->endpoint));
                add(results, true, &address, name->endpoint->interface[0] ? name->endpoint->interface : NULL);
            }
        }
    }
}

/* The Local Endpoint that allows this address of this interface; NULL if none does. */
static const struct taps_endpoint *allowing(const struct tapsi_resolve *r, const struct tapsi_interface *interface,
                                            const union tapsi_addr *address)
{
    for (size_t i = 0; i < r->config->local_count; i++) {
        const struct taps_endpoint *local = &r->config->locals[i];
        if (local->interface[0] && tapsi_path_find(r->plan->network, local->interface) != interface)
            continue;
        if (!local->has_address || tapsi_addr_same_host(&local->address, address) ||
            (tapsi_addr_is_any(&local->address) && local->address.sa.sa_family == address->sa.sa_family))
            return local;
    }
    return NULL;
}

/* Every address of every eligible interface, with the port of the Local Endpoint that allows it. */
static void add_locals(const struct tapsi_resolve *r, struct results *results)
{
    const struct tapsi_network *network = r->plan->network;
    for (size_t i = 0; i < r->plan->paths_eligible; i++) {
        const struct tapsi_interface *interface = &network->interfaces[r->plan->path_order[i]];
        for (size_t a = 0; a < interface->address_count; a++) {
            union tapsi_addr address = interface->addresses[a].address;
            const struct taps_endpoint *local = allowing(r, interface, &address);
            if (r->config->local_count && !local)
                continue;
            tapsi_addr_set_port(&address, local ? port_of(r, local) : 0);
            add(results, false, &address, interface->name);
        }
    }
}

static const taps_endpoint *const *constant(const struct results *results)
{
    return (const taps_endpoint *const *)results->list;
}

static void tell(struct tapsi_task *task)
{
    struct tapsi_resolve *r = TAPSI_CONTAINER(task, struct tapsi_resolve, task);
    struct results locals = {.mem = &r->context->loop.mem}, remotes = {.mem = &r->context->loop.mem};
    taps_resolve_fn fn = r->fn;
    void *user = r->user;
    struct tapsi_error error;
    tapsi_error_clear(&error);
    int err = 0;
    if (r->timed_out)
        err = tapsi_error_set(&error, TAPS_E_TIMEOUT, "the name servers did not answer in time");
    else if (r->lookups.count)
        err = tapsi_lookups_error(&r->lookups, &error);
    if (!err) {
        add_locals(r, &locals);
        add_remotes(r, &remotes);
        if (locals.failed || remotes.failed)
            err = tapsi_error_set(&error, TAPS_E_MEMORY, "no memory for the endpoints");
    }
    tapsi_resolve_cancel(r);
    if (err)
        fn(user, &error.pub, NULL, 0, NULL, 0);
    else
        fn(user, NULL, constant(&locals), locals.count, constant(&remotes), remotes.count);
    done(&locals);
    done(&remotes);
}

/* ------------------------------------------------------------------------------------------------ beginning */

static void finish(struct tapsi_resolve *r)
{
    tapsi_timer_cancel(&r->context->loop, &r->deadline); /* it may be due in this very turn */
    tapsi_lookups_stop(&r->lookups);
    tapsi_task_cancel(&r->task);
    r->task.run = tell;
    tapsi_loop_post(&r->context->loop, &r->task);
}

static void on_changed(struct tapsi_lookups *lookups)
{
    struct tapsi_resolve *r = TAPSI_CONTAINER(lookups, struct tapsi_resolve, lookups);
    if (r->begun && !tapsi_lookups_pending(lookups))
        finish(r);
}

static void on_deadline(struct tapsi_timer *timer)
{
    struct tapsi_resolve *r = TAPSI_CONTAINER(timer, struct tapsi_resolve, deadline);
    r->timed_out = true;
    finish(r);
}

static void begin(struct tapsi_task *task)
{
    struct tapsi_resolve *r = TAPSI_CONTAINER(task, struct tapsi_resolve, task);
    r->begun = true;
    tapsi_lookups_start(&r->lookups);
    if (!tapsi_lookups_pending(&r->lookups))
        finish(r);
}

int tapsi_resolve_new(struct taps_context *context, struct tapsi_config *config, struct tapsi_plan *plan,
                      uint64_t timeout_ms, taps_resolve_fn fn, void *user, struct tapsi_error *ret_error)
{
    struct tapsi_loop *loop = &context->loop;
    struct tapsi_resolve *r = tapsi_zalloc(&loop->mem, sizeof(*r));
    uint64_t ms = timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS;
    if (!r)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a Resolve");
    if (tapsi_timer_init(loop, &r->deadline, on_deadline)) {
        tapsi_free(&loop->mem, r);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a Resolve");
    }
    r->context = context;
    r->fn = fn;
    r->user = user;
    r->config = tapsi_config_ref(config);
    r->plan = plan;
    plan->refs++;
    tapsi_link_init(&r->link);
    tapsi_list_append(&context->resolves, &r->link);
    tapsi_task_init(&r->task, begin);
    loop->holds++;
    if (tapsi_lookups_init(&r->lookups, loop, context->resolver, config->remotes, config->remote_count, 3, 0,
                           on_changed)) {
        tapsi_resolve_cancel(r);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a Resolve");
    }
    if (ms < TAPSI_FOREVER / TAPSI_MS)
        tapsi_timer_start(loop, &r->deadline, ms * TAPSI_MS);
    tapsi_loop_flush(loop, &r->task, TAPSI_LEVELS - 1);
    return 0;
}
