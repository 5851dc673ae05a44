/*
 * Which sockets a Listener opens: every eligible stack on every local address, one port for all stacks. The number is
 * TCP's where there is a choice, since there most others are taken: UDP's of that number are nearly always free.
 *
 * Stacks over UDP share one socket, each with its class of datagrams (RFC 9443). Plain UDP is of none: its first byte
 * may be any. So it does not listen where a secure stack does, which is what opportunistic security wants anyway.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "connection/listener.h"

#define PORT_TRIES 16 /* an ephemeral port that one protocol got may be taken for the other */

struct place {
    const struct taps_endpoint *endpoint;
    const struct tapsi_interface *interface; /* to bind to, or NULL */
    union tapsi_addr address;
    bool dual; /* [::] for both families */
};

/* Who says which strangers come in: the lowest protocol above datagrams that cares. */
static const struct tapsi_gate *gate_of(const struct tapsi_stack_row *row)
{
    for (size_t i = 1; i < TAPSI_STACK_LAYERS && row->protos[i]; i++) {
        if (row->protos[i]->gate)
            return row->protos[i]->gate;
    }
    return NULL;
}

static int open_socket(struct taps_listener *l, const struct tapsi_stack_row *row, const struct place *place,
                       struct tapsi_error *ret_error)
{
    struct tapsi_socket *s = &l->sockets[l->socket_count];
    const struct tapsi_interface *on = place->interface;
    struct tapsi_target target = {.local = &place->address,
                                  .interface = on ? on->name : NULL,
                                  .interface_index = on ? on->index : 0,
                                  .v6_only = !place->dual,
                                  .gate = gate_of(row)};
    union tapsi_got got;
    int err = row->protos[0]->listen(l->env, &target, &l->sink, &s->layer, ret_error);
    if (err)
        return err;
    s->row = row;
    l->socket_count++;
    if (tapsi_layer_get(s->layer, TAPSI_GET_LOCAL, &got) != 0)
        got.address = place->address;
    if (!tapsi_addr_port(&got.address))
        return tapsi_error_set(ret_error, TAPS_E_SYSTEM, "the system does not tell which port it has chosen");
    tapsi_endpoint_from_addr(&s->local, false, &got.address);
    if (on)
        tapsi_format(s->local.interface, sizeof(s->local.interface), "%s", on->name);
    return 0;
}

static void close_from(struct taps_listener *l, size_t first)
{
    while (l->socket_count > first) {
        struct tapsi_socket *s = &l->sockets[--l->socket_count];
        tapsi_layer_destroy(s->layer, 0);
        s->layer = NULL;
    }
}

void tapsi_listener_close_sockets(struct taps_listener *l)
{
    if (l->sockets)
        close_from(l, 0);
}

/* Two stacks over one bottom cannot share a port, unless their datagrams can be told apart: the better one listens. */
static bool bottom_taken(const struct taps_listener *l, size_t first, const struct tapsi_stack_row *row)
{
    for (size_t i = first; i < l->socket_count; i++) {
        const struct tapsi_stack_row *other = l->sockets[i].row;
        if (other->protos[0] == row->protos[0] && gate_of(other) == gate_of(row))
            return true;
    }
    return false;
}

static bool is_over_tcp(const struct tapsi_stack_row *row)
{
    return row->protos[0]->ip_protocol == IPPROTO_TCP;
}

static bool protocol_fits(const struct taps_endpoint *e, const struct tapsi_stack_row *row)
{
    return !e->protocol[0] || tapsi_stack_has_proto(row, e->protocol);
}

static const struct tapsi_stack_row *eligible_row(const struct taps_listener *l, size_t i)
{
    size_t rows;
    return &tapsi_registry(&rows)[l->plan->stack_order[i]];
}

/* Is it plain UDP where a secure stack listens over UDP? */
static bool gives_way(const struct taps_listener *l, const struct place *place, const struct tapsi_stack_row *row)
{
    if (is_over_tcp(row) || row->offer.secure)
        return false;
    for (size_t i = 0; i < l->plan->stacks_eligible; i++) {
        const struct tapsi_stack_row *other = eligible_row(l, i);
        if (!is_over_tcp(other) && other->offer.secure && protocol_fits(place->endpoint, other))
            return true;
    }
    return false;
}

/* Those over TCP, or the others, on the port of `place`; 0 = the first gets any, the others the same. */
static int open_kind(struct taps_listener *l, size_t first, bool over_tcp, struct place *place,
                     struct tapsi_error *ret_error)
{
    for (size_t i = 0; i < l->plan->stacks_eligible; i++) {
        const struct tapsi_stack_row *row = eligible_row(l, i);
        if (is_over_tcp(row) != over_tcp || !protocol_fits(place->endpoint, row) || bottom_taken(l, first, row) ||
            gives_way(l, place, row))
            continue;
        if (l->socket_count == TAPSI_LISTEN_MAX)
            return tapsi_error_set(ret_error, TAPS_E_RANGE, "a Listener holds at most %d sockets", TAPSI_LISTEN_MAX);
        int err = open_socket(l, row, place, ret_error);
        if (err)
            return err;
        if (!tapsi_addr_port(&place->address))
            tapsi_addr_set_port(&place->address, l->sockets[first].local.port);
    }
    return 0;
}

/* All stacks on one address, or none. */
static int open_stacks(struct taps_listener *l, struct place place, struct tapsi_error *ret_error)
{
    size_t first = l->socket_count;
    int err = open_kind(l, first, true, &place, ret_error);
    if (!err)
        err = open_kind(l, first, false, &place, ret_error);
    if (err)
        close_from(l, first);
    return err;
}

static int open_place(struct taps_listener *l, const struct place *place, struct tapsi_error *ret_error)
{
    int err = TAPS_E_ADDRESS_IN_USE;
    bool ephemeral = tapsi_addr_port(&place->address) == 0;
    for (int i = 0; i < (ephemeral ? PORT_TRIES : 1) && err == TAPS_E_ADDRESS_IN_USE; i++)
        err = open_stacks(l, *place, ret_error);
    return err;
}

/* No address given: both families by one socket, or IPv4 alone where the system has no IPv6. */
static int open_any(struct taps_listener *l, struct place place, uint16_t port, struct tapsi_error *ret_error)
{
    place.dual = true;
    place.address.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
    tapsi_addr_set_port(&place.address, port);
    int err = open_place(l, &place, ret_error);
    if (!err || (ret_error->pub.native != EAFNOSUPPORT && ret_error->pub.native != EADDRNOTAVAIL))
        return err;
    place.dual = false;
    place.address.in = (struct sockaddr_in){.sin_family = AF_INET};
    tapsi_addr_set_port(&place.address, port);
    return open_place(l, &place, ret_error);
}

static bool eligible(const struct taps_listener *l, const struct tapsi_interface *interface)
{
    return interface && l->plan->paths[interface - l->plan->network->interfaces].eligible;
}

/* Do the properties, or the Local Endpoint, leave fewer interfaces than there are? Then each is bound by itself. */
static bool is_restricted(const struct taps_listener *l, const struct taps_endpoint *e)
{
    const struct tapsi_properties *p = l->config->properties;
    return e->interface[0] || p->interfaces.count || p->pvds.count;
}

static int open_on_each(struct taps_listener *l, struct place place, uint16_t port, bool any,
                        struct tapsi_error *ret_error)
{
    const struct tapsi_plan *plan = l->plan;
    for (size_t i = 0; i < plan->paths_eligible; i++) {
        place.interface = &plan->network->interfaces[plan->path_order[i]];
        if (place.endpoint->interface[0] &&
            tapsi_path_find(plan->network, place.endpoint->interface) != place.interface)
            continue;
        tapsi_addr_set_port(&place.address, port);
        int err = any ? open_any(l, place, port, ret_error) : open_place(l, &place, ret_error);
        if (err)
            return err;
        if (!port && l->socket_count)
            port = l->sockets[l->socket_count - 1].local.port; /* one port for all */
    }
    return 0;
}

static int open_address(struct taps_listener *l, const struct taps_endpoint *e, union tapsi_addr address, uint16_t port,
                        struct tapsi_error *ret_error)
{
    struct place place = {.endpoint = e, .address = address};
    const struct tapsi_network *network = l->plan->network;
    tapsi_addr_set_port(&place.address, port);
    if (!is_restricted(l, e))
        return open_place(l, &place, ret_error);
    if (tapsi_addr_is_any(&address))
        return open_on_each(l, place, port, false, ret_error);
    const struct tapsi_interface *on =
        e->interface[0] ? tapsi_path_find(network, e->interface) : tapsi_path_of_address(network, &address);
    if (!eligible(l, on)) {
        char text[TAPSI_ADDR_TEXT];
        return tapsi_error_set(ret_error, TAPS_E_NO_CANDIDATES, "%s is on no interface that the properties allow",
                               tapsi_addr_host_text(&address, text));
    }
    place.interface = on;
    if (address.sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(&address))
        place.address.in6.sin6_scope_id = on->index;
    return open_place(l, &place, ret_error);
}

static int open_name(struct taps_listener *l, const struct tapsi_lookup *name, uint16_t port,
                     struct tapsi_error *ret_error)
{
    int err = 0;
    for (int f = 0; f < TAPSI_LOOKUP_FAMILIES && !err; f++) {
        for (size_t i = 0; i < name->queries[f].count && !err; i++)
            err = open_address(l, name->endpoint, name->queries[f].addresses[i], port, ret_error);
    }
    return err;
}

static uint16_t port_of(const struct taps_listener *l, const struct taps_endpoint *e)
{
    if (e->port || !e->service[0])
        return e->port;
    uint16_t port = tapsi_resolver_service(l->context->resolver, e->service, "tcp");
    return port ? port : tapsi_resolver_service(l->context->resolver, e->service, "udp");
}

static int open_endpoint(struct taps_listener *l, size_t index, struct tapsi_error *ret_error)
{
    const struct taps_endpoint *e = &l->config->locals[index];
    uint16_t port = port_of(l, e);
    if (!port && e->service[0])
        return tapsi_error_set(ret_error, TAPS_E_RESOLUTION, "the service %s is not known on this system", e->service);
    if (e->interface[0] && !tapsi_path_find(l->plan->network, e->interface))
        return tapsi_error_set(ret_error, TAPS_E_NO_CANDIDATES, "this machine has no interface %s", e->interface);
    if (e->has_address)
        return open_address(l, e, e->address, port, ret_error);
    if (e->host_name[0])
        return open_name(l, &l->locals.items[index], port, ret_error);
    struct place place = {.endpoint = e};
    return is_restricted(l, e) ? open_on_each(l, place, port, true, ret_error) : open_any(l, place, port, ret_error);
}

/* Certificates that cannot be used are told now, not to each peer. */
static int check_protocols(struct taps_listener *l, struct tapsi_error *ret_error)
{
    size_t rows;
    const struct tapsi_stack_row *registry = tapsi_registry(&rows);
    for (size_t i = 0; i < l->plan->stacks_eligible; i++) {
        const struct tapsi_stack_row *row = &registry[l->plan->stack_order[i]];
        for (size_t p = 0; p < TAPSI_STACK_LAYERS && row->protos[p]; p++) {
            int err = row->protos[p]->check ? row->protos[p]->check(l->env, TAPSI_ROLE_SERVER, ret_error) : 0;
            if (err)
                return err;
        }
    }
    return 0;
}

int tapsi_listener_open(struct taps_listener *l, struct tapsi_error *ret_error)
{
    int wrong = check_protocols(l, ret_error);
    if (wrong)
        return wrong;
    if (l->plan->paths_eligible == 0)
        return tapsi_error_set(ret_error, TAPS_E_NO_CANDIDATES,
                               "no interface of this machine satisfies the properties given");
    for (size_t i = 0; i < l->config->local_count; i++) {
        int err = open_endpoint(l, i, ret_error);
        if (err)
            return err;
    }
    if (l->socket_count == 0)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "no eligible stack has the Local Endpoint's protocol");
    return 0;
}
