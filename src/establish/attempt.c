/* One attempt: the stack of one leaf, from make to ready or closed. */
#include <string.h>
#include "establish/race.h"

static void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    (void)layer;
    tapsi_race_leaf_ready(TAPSI_CONTAINER(sink, struct tapsi_leaf, sink), info);
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    (void)layer;
    struct tapsi_error nothing_said;
    if (!error) {
        tapsi_error_set(&nothing_said, TAPS_E_ESTABLISHMENT, "the peer closed before the connection was ready");
        error = &nothing_said;
    }
    tapsi_race_leaf_failed(TAPSI_CONTAINER(sink, struct tapsi_leaf, sink), error);
}

static const struct tapsi_sink_ops sink_ops = {.ready = on_ready, .closed = on_closed};

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
    int err = tapsi_stack_make(leaf->node.row, race->env, &target, TAPSI_ROLE_CLIENT, NULL, &leaf->sink, &leaf->top,
                               ret_error);
    if (err)
        return err;
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
    tapsi_layer_destroy(leaf->top, 0);
    leaf->top = NULL;
}
