/* The paths of a session, as far as the rooms above can see them. */
#include "mux.h"

#include <string.h>

struct mux_told mux_told;

int mux_session_where(struct mux_session *s, int what, union tapsi_got *ret)
{
    if (s->moved && what != TAPSI_GET_INTERFACE) {
        ret->address = what == TAPSI_GET_LOCAL ? s->local : s->remote;
        return TAPSI_HANDLED;
    }
    return s->below && !s->moved ? tapsi_layer_get(s->below, what, ret) : TAPSI_PASS;
}

static void note(const struct tapsi_way *ways, size_t count)
{
    mux_told.calls++;
    mux_told.count = count;
    memset(mux_told.interfaces, 0, sizeof(mux_told.interfaces));
    for (size_t i = 0; i < count && i < MUX_WAYS; i++) {
        mux_told.ways[i] = ways[i];
        mux_told.ways[i].interface = NULL; /* it was borrowed */
        if (ways[i].interface)
            strncpy(mux_told.interfaces[i], ways[i].interface, sizeof(mux_told.interfaces[i]) - 1);
    }
}

static bool is_on(const struct tapsi_way *way, const union tapsi_addr *local, const union tapsi_addr *remote)
{
    return tapsi_addr_same_host(&way->local, local) &&
           (way->remote.sa.sa_family == AF_UNSPEC || tapsi_addr_equal(&way->remote, remote));
}

int mux_session_paths(struct mux_session *s, const struct tapsi_way *ways, size_t count, struct tapsi_error *ret_error)
{
    union tapsi_got local, remote;
    note(ways, count);
    if (mux_told.refusal)
        return tapsi_error_set(ret_error, mux_told.refusal, "the peer forbids it");
    if (mux_session_where(s, TAPSI_GET_LOCAL, &local) != 0 || mux_session_where(s, TAPSI_GET_REMOTE, &remote) != 0)
        return 0;
    s->moving = count > 0;
    for (size_t i = 0; i < count; i++)
        s->moving = s->moving && !is_on(&ways[i], &local.address, &remote.address);
    if (!s->moving)
        return 0;
    s->next_local = ways[0].local;
    tapsi_addr_set_port(&s->next_local, tapsi_addr_port(&local.address));
    s->next_remote = ways[0].remote.sa.sa_family == AF_UNSPEC ? remote.address : ways[0].remote;
    tapsi_loop_flush(s->env->loop, &s->task, 1);
    return 0;
}

void mux_session_move(struct mux_session *s)
{
    struct tapsi_link *next;
    if (!s->moving)
        return;
    s->moving = false;
    s->moved = true;
    s->local = s->next_local;
    s->remote = s->next_remote;
    for (struct tapsi_link *l = s->streams.next; l != &s->streams; l = next) {
        next = l->next;
        tapsi_layer_event(&TAPSI_CONTAINER(l, struct mux_stream, link)->layer, TAPSI_EVENT_PATH, NULL);
    }
}
