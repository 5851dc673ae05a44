/* A listening layer over TCP's. Its sessions are its children's; it is told of streams, as many as it takes. */
#include "mux.h"

struct mux_listener {
    struct tapsi_layer layer;
    struct tapsi_sink lower;
    struct tapsi_layer *tcp;
    struct tapsi_link sessions;
};

static struct mux_listener *listener_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct mux_listener, layer);
}

bool mux_listener_child(struct mux_listener *l, struct mux_stream *stream)
{
    struct mux_session *s = stream->session;
    if (!l->layer.want)
        return false;
    l->layer.want--;
    tapsi_list_remove(&stream->link);
    tapsi_list_append(&s->streams, &stream->link);
    tapsi_layer_child(&l->layer, &stream->layer);
    return true;
}

static void tcp_child(struct tapsi_sink *sink, struct tapsi_layer *tcp, struct tapsi_layer *child)
{
    struct mux_listener *l = TAPSI_CONTAINER(sink, struct mux_listener, lower);
    struct mux_session *s = mux_session_new(l->layer.env, child, true);
    tapsi_layer_want(tcp, SIZE_MAX / 2);
    if (!s) {
        tapsi_layer_destroy(child, TAPS_E_MEMORY);
        return;
    }
    s->listener = l;
    tapsi_list_append(&l->sessions, &s->link);
    mux_session_start(s);
}

static void tcp_closed(struct tapsi_sink *sink, struct tapsi_layer *tcp, const struct tapsi_error *error)
{
    (void)sink;
    (void)tcp;
    (void)error;
}

static const struct tapsi_sink_ops lower_ops = {.child = tcp_child, .closed = tcp_closed};

static void want(struct tapsi_layer *layer)
{
    tapsi_layer_dirty(layer);
}

/* What waited for credit; whoever is told may end any session. */
static void flush(struct tapsi_layer *layer)
{
    struct mux_listener *l = listener_of(layer);
    struct tapsi_link *link, done;
    tapsi_link_init(&done);
    while (!layer->dead && (link = tapsi_list_first(&l->sessions))) {
        tapsi_list_remove(link);
        tapsi_list_append(&done, link);
        mux_session_tell_strangers(TAPSI_CONTAINER(link, struct mux_session, link));
    }
    tapsi_list_splice(&l->sessions, &done);
}

static void destroy(struct tapsi_layer *layer, int reason)
{
    struct mux_listener *l = listener_of(layer);
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&l->sessions)))
        mux_session_orphan(TAPSI_CONTAINER(link, struct mux_session, link));
    tapsi_layer_destroy(l->tcp, reason);
}

static void free_listener(struct tapsi_layer *layer)
{
    tapsi_free(&layer->env->loop->mem, listener_of(layer));
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    return tapsi_layer_get(listener_of(layer)->tcp, what, ret);
}

static const struct tapsi_layer_ops listener_ops = {
    .want = want, .flush = flush, .destroy = destroy, .free = free_listener, .get = get};

int mux_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
               struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    struct mux_listener *l = tapsi_zalloc(&env->loop->mem, sizeof(*l));
    if (!l)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a listener");
    l->lower.ops = &lower_ops;
    int err = tapsi_proto_tcp.listen(env, target, &l->lower, &l->tcp, ret_error);
    if (err) {
        tapsi_free(&env->loop->mem, l);
        return err;
    }
    tapsi_layer_init(&l->layer, &listener_ops, env, NULL);
    l->layer.up = sink;
    l->layer.height = 2;
    tapsi_layer_set_state(&l->layer, TAPSI_LAYER_READY);
    tapsi_link_init(&l->sessions);
    tapsi_layer_want(l->tcp, SIZE_MAX / 2);
    *ret = &l->layer;
    return 0;
}
