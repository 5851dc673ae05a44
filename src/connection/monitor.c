/* Everything is counted when somebody asks, by walking the lists: a Connection pays nothing for it. */
#include "connection/monitor.h"

#include <string.h>
#include "connection/listener.h"

static bool is_alive(const struct taps_connection *c)
{
    return c->row && !c->freed && (c->state == TAPS_ESTABLISHED || c->state == TAPS_CLOSING);
}

static void count_listener(struct taps_listener *l, const struct tapsi_stack_row *row, struct taps_stack_use *use)
{
    for (size_t i = 0; i < l->socket_count; i++)
        use->listening += l->sockets[i].row == row;
    for (struct tapsi_link *link = l->accepted.next; link != &l->accepted; link = link->next)
        use->waiting += TAPSI_CONTAINER(link, struct taps_connection, link)->row == row;
}

int tapsi_monitor_stack(const struct taps_context *context, size_t index, struct taps_stack_use *ret)
{
    size_t count;
    const struct tapsi_stack_row *registry = tapsi_registry(&count);
    if (index >= count)
        return TAPS_E_RANGE;
    const struct tapsi_stack_row *row = &registry[index];
    struct taps_stack_use use = {.stack = row->offer.stack};
    for (struct tapsi_link *l = context->open.next; l != &context->open; l = l->next) {
        const struct taps_connection *c = TAPSI_CONTAINER(l, struct taps_connection, link);
        if (c->row != row || !is_alive(c))
            continue;
        if (c->state == TAPS_ESTABLISHED)
            use.established++;
        else
            use.closing++;
    }
    for (struct tapsi_link *l = context->listeners.next; l != &context->listeners; l = l->next)
        count_listener(TAPSI_CONTAINER(l, struct taps_listener, link), row, &use);
    *ret = use;
    return 0;
}

size_t tapsi_monitor_connections(const struct taps_context *context, const char *protocol)
{
    size_t count = 0;
    for (struct tapsi_link *l = context->open.next; l != &context->open; l = l->next) {
        const struct taps_connection *c = TAPSI_CONTAINER(l, struct taps_connection, link);
        if (protocol)
            count += is_alive(c) && tapsi_stack_has_proto(c->row, protocol);
        else
            count += is_alive(c) || (!c->freed && c->state == TAPS_ESTABLISHING);
    }
    return count;
}

struct taps_connection *tapsi_monitor_next(const struct taps_context *context, const struct taps_connection *previous)
{
    struct tapsi_link *link = previous ? previous->link.next : context->open.next;
    return link == &context->open ? NULL : TAPSI_CONTAINER(link, struct taps_connection, link);
}

int tapsi_monitor_statistics(const struct taps_connection *c, uint64_t *values, size_t count)
{
    uint64_t all[TAPS_STATISTIC_COUNT];
    int known = 0;
    tapsi_layer_statistics(c->top, all);
    for (size_t i = 0; i < count; i++) {
        values[i] = i < TAPS_STATISTIC_COUNT ? all[i] : TAPS_UNKNOWN;
        known += values[i] != TAPS_UNKNOWN;
    }
    return known;
}
