/*
 * From a peer to a Connection: the layers above the accepted bottom are built, their handshake runs, and only a stack
 * that is READY becomes a Connection. Handshakes in progress are bounded in number and in time (IMPL-12).
 */
#include <string.h>
#include "connection/listener.h"

#define HANDSHAKE_PATIENCE (30 * TAPSI_S)

struct incoming {
    struct tapsi_sink sink;
    struct taps_listener *listener;
    struct tapsi_link link;
    const struct tapsi_stack_row *row;
    struct tapsi_security *security; /* what the Listener asked for when it came; NULL: nothing */
    struct tapsi_layer *top;
    uint64_t deadline;
    bool vouched; /* the bottom was READY and secure as it came: what is above it says nothing of security */
};

/* ------------------------------------------------------------------------------------------------- credit */

void tapsi_listener_grant(struct taps_listener *l)
{
    uint64_t in_progress = l->waiting + l->half_open;
    uint64_t room = l->limit > in_progress ? l->limit - in_progress : 0;
    uint64_t half = l->context->half_open_limit;
    if (l->stopping || l->freed)
        return;
    if (room > half - (l->half_open < half ? l->half_open : half))
        room = half - (l->half_open < half ? l->half_open : half);
    for (size_t i = 0; i < l->socket_count; i++)
        tapsi_layer_want(l->sockets[i].layer, room > SIZE_MAX ? SIZE_MAX : (size_t)room);
}

/* ---------------------------------------------------------------------------------------------- handshakes */

static void free_incoming(struct incoming *in)
{
    struct taps_listener *l = in->listener;
    tapsi_list_remove(&in->link);
    if (tapsi_list_empty(&l->incoming))
        tapsi_timer_cancel(&l->context->loop, &l->patience);
    l->half_open--;
    tapsi_security_unref(in->security);
    tapsi_free(&l->context->loop.mem, in);
}

static void drop(struct incoming *in, const char *why)
{
    struct taps_listener *l = in->listener;
    tapsi_log(&l->context->loop, TAPS_LOG_INFO, "listener: a connection was dropped: %s", why);
    tapsi_layer_destroy(in->top, 0);
    l->dropped++;
    free_incoming(in);
    tapsi_listener_grant(l);
}

void tapsi_listener_drop_incoming(struct taps_listener *l)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&l->incoming)))
        drop(TAPSI_CONTAINER(link, struct incoming, link), "the Listener stopped");
}

/* Takes `top`. */
static void accept_stack(struct taps_listener *l, const struct tapsi_stack_row *row, struct tapsi_layer *top,
                         const struct tapsi_ready_info *info)
{
    struct taps_connection *c;
    if (tapsi_connection_accept(l->context, l->config, row, top, &c)) {
        tapsi_layer_destroy(top, TAPS_E_MEMORY);
        l->dropped++;
        tapsi_listener_grant(l);
        return;
    }
    c->resumed |= info->resumed;
    c->early |= info->early;
    tapsi_list_remove(&c->link); /* until it is delivered it is the Listener's */
    tapsi_list_append(&l->accepted, &c->link);
    l->waiting++;
    tapsi_loop_post(&l->context->loop, &l->task);
}

static bool secure_enough(const struct tapsi_security *security, const struct tapsi_ready_info *info)
{
    return !security || security->mode != TAPS_SECURITY_REQUIRED ||
           (info->security && (tapsi_security_versions(security) & (1u << info->security)));
}

static void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    struct incoming *in = TAPSI_CONTAINER(sink, struct incoming, sink);
    struct taps_listener *l = in->listener;
    (void)layer;
    if (!in->vouched && !secure_enough(in->security, info)) {
        drop(in, "it is not as secure as was required");
        return;
    }
    const struct tapsi_stack_row *row = in->row;
    struct tapsi_layer *top = in->top;
    free_incoming(in);
    accept_stack(l, row, top, info);
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    (void)layer;
    drop(TAPSI_CONTAINER(sink, struct incoming, sink), error ? error->text : "the peer closed");
}

static const struct tapsi_sink_ops incoming_ops = {.ready = on_ready, .closed = on_closed};

void tapsi_listener_patience(struct tapsi_timer *timer)
{
    struct taps_listener *l = TAPSI_CONTAINER(timer, struct taps_listener, patience);
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&l->incoming))) {
        struct incoming *in = TAPSI_CONTAINER(link, struct incoming, link);
        if (in->deadline > tapsi_loop_now(&l->context->loop)) {
            tapsi_timer_start_at(&l->context->loop, &l->patience, in->deadline);
            return;
        }
        drop(in, "its handshake took too long");
    }
}

static struct incoming *new_incoming(struct taps_listener *l, const struct tapsi_stack_row *row)
{
    struct incoming *in = tapsi_zalloc(&l->context->loop.mem, sizeof(*in));
    if (!in)
        return NULL;
    *in = (struct incoming){.sink = {&incoming_ops}, .listener = l, .row = row};
    in->security = l->env->security ? tapsi_security_ref(l->env->security) : NULL;
    in->deadline = tapsi_loop_now(&l->context->loop) + HANDSHAKE_PATIENCE;
    tapsi_link_init(&in->link);
    tapsi_list_append(&l->incoming, &in->link);
    l->half_open++;
    if (!tapsi_timer_running(&l->patience))
        tapsi_timer_start_at(&l->context->loop, &l->patience, in->deadline);
    return in;
}

static void shake_hands(struct taps_listener *l, const struct tapsi_stack_row *row, struct tapsi_layer *child)
{
    struct tapsi_error error;
    struct tapsi_target none = {0};
    struct incoming *in = new_incoming(l, row);
    if (!in) {
        l->dropped++;
        tapsi_layer_destroy(child, TAPS_E_MEMORY);
        tapsi_listener_grant(l);
        return;
    }
    in->top = child;
    in->vouched = child->state == TAPSI_LAYER_READY && row->protos[0]->secure;
    int err = tapsi_stack_make(row, l->env, &none, TAPSI_ROLE_SERVER, child, &in->sink, &in->top, &error);
    if (!err && in->top->state == TAPSI_LAYER_NEW)
        err = tapsi_layer_start(in->top);
    if (err)
        drop(in, taps_err_text(err));
    else
        tapsi_listener_grant(l);
}

/* ---------------------------------------------------------------------------------------------- admission */

/* RFC 9622, 7.2: Remote Endpoints constrain who is accepted, each for its protocol (6.1.3). */
static bool admitted(const struct taps_listener *l, const struct tapsi_stack_row *row, struct tapsi_layer *child)
{
    union tapsi_got peer;
    if (l->config->remote_count == 0)
        return true;
    if (tapsi_layer_get(child, TAPSI_GET_REMOTE, &peer) != 0)
        return false;
    for (size_t i = 0; i < l->remotes.count; i++) {
        const struct tapsi_lookup *name = &l->remotes.items[i];
        if (name->endpoint->port && name->endpoint->port != tapsi_addr_port(&peer.address))
            continue;
        if (name->endpoint->protocol[0] && !tapsi_stack_has_proto(row, name->endpoint->protocol))
            continue;
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
            for (size_t a = 0; a < name->queries[f].count; a++) {
                union tapsi_addr allowed = name->queries[f].addresses[a];
                tapsi_addr_unmap(&allowed);
                if (tapsi_addr_same_host(&allowed, &peer.address))
                    return true;
            }
        }
    }
    return false;
}

void tapsi_listener_child(struct tapsi_sink *sink, struct tapsi_layer *layer, struct tapsi_layer *child)
{
    struct taps_listener *l = TAPSI_CONTAINER(sink, struct taps_listener, sink);
    const struct tapsi_stack_row *row = NULL;
    for (size_t i = 0; i < l->socket_count; i++) {
        if (l->sockets[i].layer == layer)
            row = l->sockets[i].row;
    }
    if (!row || !admitted(l, row, child) || !tapsi_stream_has_room(child)) {
        l->dropped++;
        tapsi_layer_destroy(child, TAPS_E_POLICY);
        tapsi_listener_grant(l);
        return;
    }
    if (!row->protos[1] && !l->env->framers.count && child->state == TAPSI_LAYER_READY) {
        accept_stack(l, row, child, &(struct tapsi_ready_info){0});
        tapsi_listener_grant(l);
    } else {
        shake_hands(l, row, child);
    }
}
