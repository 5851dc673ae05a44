/*
 * What is left of a client's session that has said CONNECTION_CLOSE: the socket and the packet, for three PTO (RFC
 * 9000, 10.2). A peer that goes on sending has not heard it, and is told again, ever more rarely. All else of the
 * session is gone. There are at most TAPSI_LEFTOVERS of them, and a context that is freed does not wait.
 */
#include <string.h>
#include "stack/quic/quic.h"

struct remains {
    struct tapsi_leftover leftover;
    struct tapsi_port_user user;
    struct tapsi_timer timer;
    struct tapsi_loop *loop;
    struct tapsi_port_way way;
    unsigned heard; /* packets */
    size_t length;
    uint8_t last[];
};

static void drop(struct tapsi_leftover *leftover)
{
    struct remains *l = TAPSI_CONTAINER(leftover, struct remains, leftover);
    struct tapsi_loop *loop = l->loop;
    tapsi_timer_done(loop, &l->timer);
    tapsi_port_leave(&l->user);
    tapsi_free(&loop->mem, l);
}

static void on_timer(struct tapsi_timer *timer)
{
    struct remains *l = TAPSI_CONTAINER(timer, struct remains, timer);
    tapsi_loop_drop(l->loop, &l->leftover);
}

static void on_packet(struct tapsi_port_user *user, const struct tapsi_datagram *d)
{
    struct remains *l = TAPSI_CONTAINER(user, struct remains, user);
    struct tapsi_datagram piece;
    size_t at = 0;
    while (tapsi_port_piece(d, &at, &piece)) {
        l->heard++;
        if ((l->heard & (l->heard - 1)) == 0)
            tapsi_port_write(user->port, &l->way, l->last, l->length, 0);
    }
}

static const struct tapsi_port_user_ops user_ops = {.packet = on_packet};

void tapsi_quic_linger(struct quic_session *s, uint64_t time)
{
    struct tapsi_loop *loop = s->env->loop;
    if (!s->last || !s->path->user.port)
        return;
    struct remains *l = tapsi_zalloc(&loop->mem, sizeof(*l) + s->last->used);
    if (!l || tapsi_timer_init(loop, &l->timer, on_timer)) {
        tapsi_free(&loop->mem, l);
        return;
    }
    l->leftover.drop = drop;
    l->user.ops = &user_ops;
    l->loop = loop;
    l->way = (struct tapsi_port_way){.to = s->remote};
    l->length = s->last->used;
    memcpy(l->last, s->last->data, l->length);
    tapsi_port_hand_over(&s->path->user, &l->user);
    tapsi_timer_start(loop, &l->timer, time);
    tapsi_loop_keep(loop, &l->leftover);
}
