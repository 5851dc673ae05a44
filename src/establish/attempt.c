/* One attempt: the stack of one leaf, from make to ready or closed. */
#include <string.h>
#include "establish/race.h"

static void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    (void)layer;
    tapsi_race_leaf_ready(TAPSI_CONTAINER(sink, struct tapsi_leaf, sink), info);
}

static void forget_early(struct tapsi_leaf *leaf)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&leaf->early)))
        tapsi_op_unref(TAPSI_CONTAINER(link, struct tapsi_op, owned));
}

/* Early data that is refused is sent again by its layer. But a peer may break over it, so one that fails after it is
   tried once more without. */
static bool try_without_early(struct tapsi_leaf *leaf, int code)
{
    struct tapsi_error error;
    union tapsi_addr local = leaf->asked;
    if (tapsi_list_empty(&leaf->early) || leaf->without_early ||
        (code != TAPS_E_TLS && code != TAPS_E_PROTOCOL && code != TAPS_E_ABORTED && code != TAPS_E_TRUNCATED))
        return false;
    leaf->without_early = true;
    tapsi_attempt_stop(leaf);
    leaf->local = local;
    return tapsi_attempt_start(leaf, &error) == 0;
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    (void)layer;
    struct tapsi_error nothing_said;
    if (!error) {
        tapsi_error_set(&nothing_said, TAPS_E_ESTABLISHMENT, "the peer closed before the connection was ready");
        error = &nothing_said;
    }
    struct tapsi_leaf *leaf = TAPSI_CONTAINER(sink, struct tapsi_leaf, sink);
    if (!try_without_early(leaf, error->pub.code))
        tapsi_race_leaf_failed(leaf, error);
}

static const struct tapsi_sink_ops sink_ops = {.ready = on_ready, .closed = on_closed};

/* Before it starts, and only of the top itself: what is below another layer would go without what that adds. */
static size_t early_room(const struct tapsi_leaf *leaf)
{
    union tapsi_got got;
    const struct tapsi_layer_ops *ops = leaf->top->ops;
    bool has = ops->get && ops->get(leaf->top, TAPSI_GET_EARLY_ROOM, &got) == TAPSI_HANDLED;
    return has ? (size_t)got.value.integer : 0;
}

/* A layer that fails finishes what it has: so the leaf has a reference of its own. */
static bool give(struct tapsi_leaf *leaf, struct tapsi_op *op)
{
    if (tapsi_layer_send(leaf->top, tapsi_op_ref(op)) == 0)
        return true;
    tapsi_op_unref(op);
    return false;
}

/* Each leaf has ops of its own over the same bytes, and what lets it send them early (a ticket); one that gets none
   goes without (IMPL-17). */
static void give_early(struct tapsi_leaf *leaf)
{
    const struct tapsi_race *race = leaf->node.race;
    struct tapsi_link copies, *link;
    /* Opportunistic: in clear it may go only to a winner. */
    bool bare = race->config->security->mode != TAPS_SECURITY_DISABLED && !leaf->node.row->offer.secure;
    tapsi_link_init(&leaf->early);
    if (leaf->without_early || bare || !race->sink || !race->sink->early || !race->sink->early(race->owner, 0, NULL))
        return;
    size_t room = early_room(leaf);
    tapsi_link_init(&copies);
    if (room)
        race->sink->early(race->owner, room, &copies);
    bool taken = true;
    while ((link = tapsi_list_pop(&copies))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, owned);
        taken = taken && give(leaf, op);
        if (taken)
            tapsi_list_append(&leaf->early, &op->owned);
        else
            tapsi_op_unref(op);
    }
}

int tapsi_attempt_start(struct tapsi_leaf *leaf, struct tapsi_error *ret_error)
{
    struct tapsi_race *race = leaf->node.race;
    struct tapsi_target target = {
        .remote = &leaf->remote,
        .local = leaf->local.sa.sa_family == AF_UNSPEC ? NULL : &leaf->local,
        .interface = leaf->bind_device ? leaf->node.interface->name : NULL,
        .interface_index = leaf->node.interface->index,
        .choose_source = leaf->choose_source,
        .server_name = leaf->endpoint->host_name[0] ? leaf->endpoint->host_name : NULL,
    };
    leaf->sink.ops = &sink_ops;
    leaf->asked = leaf->local;
    tapsi_link_init(&leaf->early);
    int err = tapsi_stack_make(leaf->node.row, race->env, &target, TAPSI_ROLE_CLIENT, NULL, &leaf->sink, &leaf->top,
                               ret_error);
    if (err)
        return err;
    give_early(leaf);
    err = tapsi_layer_start(leaf->top);
    if (err) {
        tapsi_attempt_stop(leaf);
        return tapsi_error_set(ret_error, err, "%s: %s", leaf->node.row->offer.stack, taps_err_text(err));
    }
    return 0;
}

bool tapsi_attempt_reached(const struct tapsi_leaf *leaf)
{
    for (const struct tapsi_layer *layer = leaf->top ? leaf->top->below : NULL; layer; layer = layer->below) {
        if (layer->state == TAPSI_LAYER_READY)
            return true;
    }
    return false;
}

static void remember_local(struct tapsi_leaf *leaf)
{
    union tapsi_got got = {.address = leaf->local};
    if (tapsi_layer_get(leaf->top, TAPSI_GET_LOCAL, &got) == 0)
        leaf->local = got.address;
}

void tapsi_attempt_stop(struct tapsi_leaf *leaf)
{
    if (!leaf->top)
        return;
    remember_local(leaf);
    forget_early(leaf);
    tapsi_layer_destroy(leaf->top, 0);
    leaf->top = NULL;
}
