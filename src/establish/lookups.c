#include "establish/lookups.h"

#include <string.h>
#include "base/str.h"

static const int families[TAPSI_LOOKUP_FAMILIES] = {AF_INET6, AF_INET};

static void on_delay(struct tapsi_timer *timer)
{
    struct tapsi_lookup *name = TAPSI_CONTAINER(timer, struct tapsi_lookup, delay);
    name->released = true;
    name->names->changed(name->names);
}

static int add_literal(struct tapsi_lookup *name)
{
    const struct taps_endpoint *e = name->endpoint;
    int which = e->address.sa.sa_family == AF_INET6 ? TAPSI_LOOKUP_AAAA : TAPSI_LOOKUP_A;
    struct tapsi_lookup_query *q = &name->queries[which];
    q->addresses = tapsi_alloc(&name->names->loop->mem, sizeof(*q->addresses));
    if (!q->addresses)
        return TAPS_E_MEMORY;
    q->addresses[0] = e->address;
    q->count = 1;
    q->wanted = q->done = true;
    q->start = q->end = tapsi_loop_now(name->names->loop);
    tapsi_format(q->source, sizeof(q->source), "literal");
    name->released = true;
    return 0;
}

static int init_name(struct tapsi_lookup *name, unsigned wanted)
{
    for (int i = 0; i < TAPSI_LOOKUP_FAMILIES; i++)
        name->queries[i].name = name;
    if (name->endpoint->has_address)
        return add_literal(name);
    if (tapsi_timer_init(name->names->loop, &name->delay, on_delay))
        return TAPS_E_MEMORY;
    name->has_delay = true;
    for (int i = 0; i < TAPSI_LOOKUP_FAMILIES; i++)
        name->queries[i].wanted = wanted & (1u << i);
    return 0;
}

int tapsi_lookups_init(struct tapsi_lookups *names, struct tapsi_loop *loop, struct tapsi_resolver *resolver,
                       const struct taps_endpoint *endpoints, size_t count, unsigned wanted, uint64_t delay_ns,
                       void (*changed)(struct tapsi_lookups *))
{
    *names = (struct tapsi_lookups){
        .loop = loop, .resolver = resolver, .delay_ns = delay_ns, .count = count, .changed = changed};
    names->items = tapsi_calloc(&loop->mem, count ? count : 1, sizeof(*names->items));
    if (!names->items)
        return TAPS_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        names->items[i].names = names;
        names->items[i].endpoint = &endpoints[i];
        int err = init_name(&names->items[i], wanted);
        if (err) {
            tapsi_lookups_done(names);
            return err;
        }
    }
    return 0;
}

void tapsi_lookups_stop(struct tapsi_lookups *names)
{
    for (size_t i = 0; names->items && i < names->count; i++) {
        struct tapsi_lookup *name = &names->items[i];
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
            if (name->queries[f].query)
                tapsi_query_cancel(name->queries[f].query);
            name->queries[f].query = NULL;
        }
        if (name->has_delay)
            tapsi_timer_done(names->loop, &name->delay);
        name->has_delay = false;
    }
}

void tapsi_lookups_done(struct tapsi_lookups *names)
{
    if (!names->items)
        return;
    tapsi_lookups_stop(names);
    for (size_t i = 0; i < names->count; i++) {
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++)
            tapsi_free(&names->loop->mem, names->items[i].queries[f].addresses);
    }
    tapsi_free(&names->loop->mem, names->items);
    names->items = NULL;
    names->count = 0;
}

/* ------------------------------------------------------------------------------------------------ answers */

static bool finished(const struct tapsi_lookup_query *q)
{
    return !q->wanted || q->done;
}

/* What this machine knows by itself it knows for both families: the second answer comes in the same turn. */
static bool is_local(const struct tapsi_lookup_query *q)
{
    return q->source[0] && strcmp(q->source, "dns") != 0;
}

/* RFC 8305, section 3. */
static void release(struct tapsi_lookup *name)
{
    struct tapsi_lookup_query *aaaa = &name->queries[TAPSI_LOOKUP_AAAA], *a = &name->queries[TAPSI_LOOKUP_A];
    if (name->released)
        return;
    if (finished(aaaa) && ((aaaa->count && !is_local(aaaa)) || finished(a))) {
        name->released = true;
        tapsi_timer_cancel(name->names->loop, &name->delay);
    } else if (a->done && a->count && !tapsi_timer_running(&name->delay)) {
        tapsi_timer_start(name->names->loop, &name->delay, name->names->delay_ns);
    }
}

static void keep_error(struct tapsi_lookup_query *q, const struct tapsi_error *error)
{
    q->error = error->pub.code;
    tapsi_format(q->reason, sizeof(q->reason), "%s", error->text);
}

static void on_answer(void *user, const union tapsi_addr *addresses, size_t count, const char *source,
                      const struct tapsi_error *error)
{
    struct tapsi_lookup_query *q = user;
    struct tapsi_lookup *name = q->name;
    struct tapsi_loop *loop = name->names->loop;
    q->query = NULL;
    q->done = true;
    q->end = tapsi_loop_now(loop);
    if (source)
        tapsi_format(q->source, sizeof(q->source), "%s", source);
    if (error) {
        keep_error(q, error);
    } else if ((q->addresses = tapsi_calloc(&loop->mem, count, sizeof(*addresses))) != NULL) {
        memcpy(q->addresses, addresses, count * sizeof(*addresses));
        q->count = count;
    } else {
        q->error = TAPS_E_MEMORY;
        tapsi_format(q->reason, sizeof(q->reason), "no memory for the addresses of %s", name->endpoint->host_name);
    }
    release(name);
    name->names->changed(name->names);
}

void tapsi_lookups_start(struct tapsi_lookups *names)
{
    for (size_t i = 0; i < names->count; i++) {
        struct tapsi_lookup *name = &names->items[i];
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
            struct tapsi_lookup_query *q = &name->queries[f];
            struct tapsi_error error;
            if (!q->wanted || q->done)
                continue;
            q->start = tapsi_loop_now(names->loop);
            int err = tapsi_resolver_query(names->resolver, name->endpoint->host_name, families[f], on_answer, q,
                                           &q->query, &error);
            if (err) {
                q->done = true;
                q->end = q->start;
                keep_error(q, &error);
            }
        }
        release(name);
    }
}

bool tapsi_lookups_pending(const struct tapsi_lookups *names)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct tapsi_lookup *name = &names->items[i];
        if (!name->released || !finished(&name->queries[0]) || !finished(&name->queries[1]))
            return true;
    }
    return false;
}

size_t tapsi_lookups_total(const struct tapsi_lookups *names)
{
    size_t total = 0;
    for (size_t i = 0; i < names->count; i++)
        total += names->items[i].queries[0].count + names->items[i].queries[1].count;
    return total;
}

int tapsi_lookups_error(const struct tapsi_lookups *names, struct tapsi_error *ret_error)
{
    const struct tapsi_lookup_query *failed = NULL;
    if (tapsi_lookups_total(names))
        return 0;
    for (size_t i = 0; i < names->count; i++) {
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
            const struct tapsi_lookup_query *q = &names->items[i].queries[f];
            if (q->error && (!failed || q->error != TAPS_E_RESOLUTION))
                failed = q;
        }
    }
    if (!failed)
        return tapsi_error_set(ret_error, TAPS_E_RESOLUTION, "%s has no address of the family asked for",
                               names->count ? names->items[0].endpoint->host_name : "the Remote Endpoint");
    return tapsi_error_set(ret_error, failed->error, "%s", failed->reason);
}
