/*
 * The graceful end. Close means delivered: the layer is closed when every byte was acknowledged. What the kernel cannot
 * tell by an event (an acknowledgement) is asked with a timer that backs off from 1 to 100 ms. Once all is acknowledged
 * and nothing unread waits, the descriptor goes to the kernel, which finishes the FIN by itself. `_closeTimeout` limits
 * how long the peer may acknowledge nothing.
 */
#include <errno.h>
#include "stack/tcp/tcp.h"

#define STEP_MIN (1 * TAPSI_MS)
#define STEP_MAX (100 * TAPSI_MS)

struct close_timer {
    struct tapsi_timer timer;
    struct tcp *tcp;
    uint64_t step;
};

static void on_timer(struct tapsi_timer *timer)
{
    struct close_timer *ct = TAPSI_CONTAINER(timer, struct close_timer, timer);
    tapsi_layer_dirty(&ct->tcp->layer);
}

static uint64_t patience(const struct tcp *tcp)
{
    double seconds = tcp->layer.env->properties->values[TAPS_CLOSE_TIMEOUT].number;
    return seconds < 0 ? TAPSI_FOREVER : (uint64_t)(seconds * (double)TAPSI_S);
}

static void restart_patience(struct tcp *tcp)
{
    uint64_t wait = patience(tcp), now = tapsi_loop_now(tcp->layer.env->loop);
    tcp->close_deadline = wait > TAPSI_FOREVER - now ? TAPSI_FOREVER : now + wait;
}

int tapsi_tcp_close(struct tapsi_layer *layer)
{
    struct tcp *tcp = TAPSI_CONTAINER(layer, struct tcp, layer);
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tcp->closing = true;
    tcp->unacknowledged = UINT32_MAX;
    restart_patience(tcp);
    tapsi_layer_dirty(layer);
    return 0;
}

static int wait_on(struct tcp *tcp)
{
    struct tapsi_loop *loop = tcp->layer.env->loop;
    struct close_timer *ct;
    if (!tcp->close_timer) {
        ct = tapsi_zalloc(&loop->mem, sizeof(*ct));
        if (!ct)
            return TAPS_E_MEMORY;
        if (tapsi_timer_init(loop, &ct->timer, on_timer)) {
            tapsi_free(&loop->mem, ct);
            return TAPS_E_MEMORY;
        }
        ct->tcp = tcp;
        ct->step = STEP_MIN;
        tcp->close_timer = &ct->timer;
    }
    ct = TAPSI_CONTAINER(tcp->close_timer, struct close_timer, timer);
    if (!tapsi_timer_running(&ct->timer)) {
        tapsi_timer_start(loop, &ct->timer, ct->step);
        ct->step = ct->step * 2 < STEP_MAX ? ct->step * 2 : STEP_MAX;
    }
    return 0;
}

void tapsi_tcp_close_done(struct tcp *tcp)
{
    if (!tcp->close_timer)
        return;
    struct tapsi_loop *loop = tcp->layer.env->loop;
    tapsi_timer_done(loop, tcp->close_timer);
    tapsi_free(&loop->mem, TAPSI_CONTAINER(tcp->close_timer, struct close_timer, timer));
    tcp->close_timer = NULL;
}

static void give_to_kernel(struct tcp *tcp)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    int fd = tcp->watch.fd;
    p->ops->unwatch(p, &tcp->watch);
    p->ops->close(p, fd);
    tcp->watch.fd = -1;
    tapsi_layer_closed(&tcp->layer, NULL);
}

/* Everything was given to the kernel; what has the peer acknowledged? */
void tapsi_tcp_close_step(struct tcp *tcp)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    if (!tapsi_list_empty(&tcp->layer.queue))
        return;
    int unacknowledged = tcp->sent_any ? p->ops->unacknowledged(p, tcp->watch.fd) : 0;
    if (tcp->layer.state == TAPSI_LAYER_READY)
        tapsi_layer_set_state(&tcp->layer, TAPSI_LAYER_CLOSING);
    if (unacknowledged <= 0 && !tcp->readable) {
        give_to_kernel(tcp);
        return;
    }
    if (!tcp->fin_sent) {
        tcp->fin_sent = true;
        p->ops->shutdown(p, tcp->watch.fd, SHUT_WR);
    }
    if ((unsigned)unacknowledged != tcp->unacknowledged) {
        tcp->unacknowledged = (unsigned)unacknowledged;
        restart_patience(tcp);
    }
    if (tapsi_loop_now(tcp->layer.env->loop) >= tcp->close_deadline) {
        tapsi_tcp_fail(tcp, ETIMEDOUT, "closing");
        return;
    }
    if (wait_on(tcp))
        give_to_kernel(tcp);
}
