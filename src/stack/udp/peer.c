/*
 * One peer of a shared port.
 *
 * States: NEW (its first datagram is kept), STARTING, READY (said at the turn's flush), CLOSING, CLOSED (closed was
 * said when the queue was with the kernel; what still comes is dropped until it is destroyed).
 *
 * A peer that takes no data cannot stop the socket for the others: its datagrams are kept up to a bound, then dropped.
 */
#include "stack/udp/peer.h"

#include <string.h>
#include "stack/registry.h"

/* A datagram kept for later: its bytes follow. */
struct kept {
    struct tapsi_link link;
    struct tapsi_buffer *buffer;
    int ecn;
};

static struct tapsi_udppeer *peer_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct tapsi_udppeer, layer);
}

static void drop_kept(struct tapsi_udppeer *p)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&p->kept)))
        tapsi_buffer_unref(TAPSI_CONTAINER(link, struct kept, link)->buffer);
    p->kept_count = p->kept_bytes = 0;
}

/* One block for the node and the bytes: the node lies at the front of the buffer. */
static void keep(struct tapsi_udppeer *p, const struct tapsi_datagram *d)
{
    if (p->kept_count >= TAPSI_UDP_KEPT_MAX || p->kept_bytes + d->length > TAPSI_UDP_KEPT_BYTES) {
        p->port->dropped++;
        return;
    }
    struct tapsi_buffer *buffer = tapsi_buffer_new(&p->port->loop->mem, sizeof(struct kept) + d->length);
    if (!buffer) {
        p->port->dropped++;
        return;
    }
    struct kept *kept = (struct kept *)(void *)buffer->data;
    *kept = (struct kept){.buffer = buffer, .ecn = d->ecn};
    memcpy(kept + 1, d->data, d->length);
    buffer->used = (uint32_t)(sizeof(*kept) + d->length);
    tapsi_list_append(&p->kept, &kept->link);
    p->kept_count++;
    p->kept_bytes += d->length;
}

static void deliver(struct tapsi_udppeer *p, const uint8_t *data, size_t length, struct tapsi_buffer *buffer, int ecn)
{
    p->counts.received++;
    p->counts.bytes_received += length;
    struct tapsi_slice slice = {
        .data = data, .length = length, .buffer = buffer, .flags = TAPSI_SLICE_END, .ecn = ecn, .path = &p->path};
    tapsi_layer_deliver(&p->layer, &slice);
}

static bool takes_data(const struct tapsi_udppeer *p)
{
    return !p->layer.dead && p->layer.want &&
           (p->layer.state == TAPSI_LAYER_READY || p->layer.state == TAPSI_LAYER_CLOSING);
}

static void deliver_kept(struct tapsi_udppeer *p)
{
    struct tapsi_link *link;
    while (takes_data(p) && (link = tapsi_list_pop(&p->kept))) {
        struct kept *kept = TAPSI_CONTAINER(link, struct kept, link);
        struct tapsi_buffer *buffer = kept->buffer;
        size_t length = buffer->used - sizeof(*kept);
        p->kept_count--;
        p->kept_bytes -= length;
        deliver(p, (const uint8_t *)(kept + 1), length, buffer, kept->ecn);
        tapsi_buffer_unref(buffer);
    }
}

void tapsi_udppeer_take(struct tapsi_udppeer *p, const struct tapsi_datagram *d)
{
    if (p->layer.state == TAPSI_LAYER_CLOSED)
        p->port->dropped++;
    else if (takes_data(p) && p->kept_count == 0)
        deliver(p, d->data, d->length, d->buffer, d->ecn);
    else
        keep(p, d);
}

/* The interface the peer is on says how much fits: an unconnected socket knows no path. */
static void find_mtu(struct tapsi_udppeer *p)
{
    struct tapsi_platform *platform = p->port->loop->platform;
    struct tapsi_network *network;
    unsigned mtu = 0;
    if (platform->ops->network(platform, &network) >= 0) {
        for (size_t i = 0; i < network->interface_count; i++)
            if (network->interfaces[i].index == p->path.interface_index)
                mtu = network->interfaces[i].mtu;
        tapsi_network_unref(network);
    }
    tapsi_udp_take_mtu(&p->layer, mtu, p->path.remote.sa.sa_family);
}

/* Beyond its interface, the system knows what the network has told it. */
static bool refresh_mtu(struct tapsi_udppeer *p)
{
    unsigned mtu = tapsi_udp_path_mtu(p->port->loop, &p->path.local, &p->path.remote);
    return mtu && tapsi_udp_take_mtu(&p->layer, mtu, p->path.remote.sa.sa_family);
}

void tapsi_udppeer_check_mtu(struct tapsi_udppeer *p)
{
    if (p->layer.state == TAPSI_LAYER_READY && refresh_mtu(p))
        tapsi_layer_event(&p->layer, TAPSI_EVENT_PATH, NULL);
}

/* In a call from above nothing is said to it. */
static void look_at_mtu(struct tapsi_udppeer *p)
{
    if (p->layer.state != TAPSI_LAYER_READY || !refresh_mtu(p))
        return;
    p->path_news = true;
    tapsi_layer_dirty(&p->layer);
}

static int start_peer(struct tapsi_layer *layer)
{
    find_mtu(peer_of(layer));
    tapsi_layer_dirty(layer);
    return 0;
}

static void flush_peer(struct tapsi_layer *layer)
{
    struct tapsi_udppeer *p = peer_of(layer);
    struct tapsi_udpport *port = p->port;
    if (layer->state == TAPSI_LAYER_STARTING)
        tapsi_layer_ready(layer, &(struct tapsi_ready_info){0});
    if (layer->dead || layer->state == TAPSI_LAYER_CLOSED)
        return;
    tapsi_udpsocket_send(port->socket, layer, &p->way, &p->counts);
    if (layer->dead)
        return;
    if (port->socket->too_large) {
        port->socket->too_large = false;
        tapsi_udppeer_check_mtu(p);
    }
    if (p->path_news) {
        p->path_news = false;
        tapsi_layer_event(layer, TAPSI_EVENT_PATH, NULL);
    }
    if (!tapsi_list_empty(&layer->queue)) {
        if (!tapsi_link_on_list(&p->waiting_link))
            tapsi_list_append(&port->waiting, &p->waiting_link);
    } else if (p->closing) {
        tapsi_layer_closed(layer, NULL);
        return;
    }
    deliver_kept(p);
}

static void want_peer(struct tapsi_layer *layer)
{
    if (peer_of(layer)->kept_count)
        tapsi_layer_dirty(layer);
}

static int close_peer(struct tapsi_layer *layer)
{
    peer_of(layer)->closing = true;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_layer_dirty(layer);
    return 0;
}

static void destroy_peer(struct tapsi_layer *layer, int reason)
{
    struct tapsi_udppeer *p = peer_of(layer);
    (void)reason;
    drop_kept(p);
    tapsi_list_remove(&p->waiting_link);
    tapsi_udppeers_remove(&p->port->peers, p);
    tapsi_udpport_unref(p->port);
}

static void free_peer(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, peer_of(layer));
}

static int set_peer(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    struct tapsi_udppeer *p = peer_of(layer);
    if (property != TAPS_CONN_CAPACITY_PROFILE)
        return TAPSI_PASS;
    p->profile = value->enumeration;
    p->way.tos = tapsi_udp_tos(p->profile);
    return TAPSI_HANDLED;
}

static int get_peer(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct tapsi_udppeer *p = peer_of(layer);
    if (what == TAPSI_GET_REMOTE || what == TAPSI_GET_LOCAL) {
        ret->address = what == TAPSI_GET_REMOTE ? p->path.remote : p->path.local;
        return TAPSI_HANDLED;
    }
    if (what == TAPSI_GET_INTERFACE && p->path.interface_index) {
        ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = p->path.interface_index};
        return TAPSI_HANDLED;
    }
    if (what == TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN)
        look_at_mtu(p);
    return tapsi_udp_get(layer, what, p->profile, ret);
}

static void count_peer(struct tapsi_layer *layer, uint64_t *values)
{
    struct tapsi_udppeer *p = peer_of(layer);
    look_at_mtu(p);
    tapsi_udp_statistics(layer, &p->counts, p->path.remote.sa.sa_family, values);
}

static const struct tapsi_layer_ops peer_ops = {
    .start = start_peer,
    .send = tapsi_layer_enqueue,
    .want = want_peer,
    .flush = flush_peer,
    .close = close_peer,
    .destroy = destroy_peer,
    .free = free_peer,
    .set = set_peer,
    .get = get_peer,
    .statistics = count_peer,
};

struct tapsi_udppeer *tapsi_udppeer_new(struct tapsi_udpport *port, struct tapsi_env *env,
                                        const struct tapsi_datagram *d)
{
    struct tapsi_udppeer *p = tapsi_zalloc(&port->loop->mem, sizeof(*p));
    if (!p)
        return NULL;
    p->path = (struct tapsi_path){.local = d->to, .remote = d->from, .interface_index = d->interface_index};
    if (tapsi_udppeers_add(&port->peers, p) < 0) {
        tapsi_free(&port->loop->mem, p);
        return NULL;
    }
    tapsi_layer_init(&p->layer, &peer_ops, env, NULL);
    p->layer.role = TAPSI_ROLE_SERVER;
    p->port = port;
    port->refs++;
    p->profile = env->properties->values[TAPS_CONN_CAPACITY_PROFILE].enumeration;
    p->way = (struct tapsi_port_way){.to = d->from, .tos = tapsi_udp_tos(p->profile)};
    if (port->socket->tells_path && !tapsi_addr_is_any(&d->to))
        p->way.from = d->to; /* else the socket has one address, and sends from it */
    tapsi_link_init(&p->kept);
    tapsi_link_init(&p->waiting_link);
    tapsi_udp_take_mtu(&p->layer, 0, d->from.sa.sa_family);
    return p;
}
