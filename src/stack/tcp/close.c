/*
 * The graceful end. Close means delivered: the layer is closed when every byte was acknowledged. What the kernel cannot
 * tell by an event (an acknowledgement) is asked with a timer that backs off from 1 to 100 ms. Once all is acknowledged
 * and nothing unread waits, the descriptor goes to the kernel, which finishes the FIN by itself. `_closeTimeout` limits
 * how long the peer may acknowledge nothing, be it gone or only not reading.
 */
#include <errno.h>
#include "stack/tcp/tcp.h"

#define STEP_MIN     (1 * TAPSI_MS)
#define STEP_MAX     (100 * TAPSI_MS)
#define PATIENCE_MAX 1e9 /* seconds: more is for ever */

struct wait {
    struct tapsi_timer timer;
    struct tcp *tcp;
    uint64_t step;
};

/* ------------------------------------------------------------------------------------------- looking again */

static void on_timer(struct tapsi_timer *timer)
{
    struct tcp *tcp = TAPSI_CONTAINER(timer, struct wait, timer)->tcp;
    if (tcp->starved)
        tcp->blocked = tcp->starved = false;
    tapsi_layer_dirty(&tcp->layer);
}

static struct wait *new_wait(struct tcp *tcp)
{
    struct tapsi_loop *loop = tcp->layer.env->loop;
    struct wait *w = tapsi_zalloc(&loop->mem, sizeof(*w));
    if (!w)
        return NULL;
    if (tapsi_timer_init(loop, &w->timer, on_timer)) {
        tapsi_free(&loop->mem, w);
        return NULL;
    }
    w->tcp = tcp;
    w->step = STEP_MIN;
    tcp->timer = &w->timer;
    return w;
}

int tapsi_tcp_wait(struct tcp *tcp)
{
    struct wait *w = tcp->timer ? TAPSI_CONTAINER(tcp->timer, struct wait, timer) : new_wait(tcp);
    if (!w)
        return TAPS_E_MEMORY;
    if (!tapsi_timer_running(&w->timer)) {
        tapsi_timer_start(tcp->layer.env->loop, &w->timer, w->step);
        w->step = w->step * 2 < STEP_MAX ? w->step * 2 : STEP_MAX;
    }
    return 0;
}

void tapsi_tcp_wait_done(struct tcp *tcp)
{
    if (!tcp->timer)
        return;
    struct tapsi_loop *loop = tcp->layer.env->loop;
    tapsi_timer_done(loop, tcp->timer);
    tapsi_free(&loop->mem, TAPSI_CONTAINER(tcp->timer, struct wait, timer));
    tcp->timer = NULL;
}

/* ------------------------------------------------------------------------------------------------- closing */

static void restart_patience(struct tcp *tcp)
{
    uint64_t now = tapsi_loop_now(tcp->layer.env->loop);
    tcp->close_deadline = tcp->patience > TAPSI_FOREVER - now ? TAPSI_FOREVER : now + tcp->patience;
}

void tapsi_tcp_set_patience(struct tcp *tcp, double seconds)
{
    tcp->patience = seconds < 0 || seconds > PATIENCE_MAX ? TAPSI_FOREVER : (uint64_t)(seconds * (double)TAPSI_S);
    if (tcp->closing)
        restart_patience(tcp);
}

void tapsi_tcp_begin_closing(struct tcp *tcp)
{
    tapsi_layer_dirty(&tcp->layer);
    if (tcp->closing)
        return;
    tcp->closing = true;
    tcp->outstanding = UINT64_MAX;
    restart_patience(tcp);
}

int tapsi_tcp_close(struct tapsi_layer *layer)
{
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_tcp_begin_closing(TAPSI_CONTAINER(layer, struct tcp, layer));
    return 0;
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

/* It only ever becomes less, since nothing more is sent. */
static void note_progress(struct tcp *tcp, uint64_t outstanding)
{
    if (outstanding == tcp->outstanding)
        return;
    tcp->outstanding = outstanding;
    restart_patience(tcp);
}

/* Everything is with the kernel; `all`: and with the peer. False: the layer is over. */
static bool end_sending(struct tcp *tcp, bool all, bool late)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    if (all && (!tcp->readable || tcp->fin_seen || late)) {
        give_to_kernel(tcp);
        return false;
    }
    if (!tcp->fin_sent)
        tcp->fin_sent = p->ops->shutdown(p, tcp->watch.fd, SHUT_WR) == 0;
    return true;
}

void tapsi_tcp_close_step(struct tcp *tcp)
{
    struct tapsi_loop *loop = tcp->layer.env->loop;
    struct tapsi_platform *p = loop->platform;
    bool sent = tapsi_list_empty(&tcp->layer.queue);
    int unacknowledged = tcp->sent_any ? p->ops->unacknowledged(p, tcp->watch.fd) : 0;
    if (tcp->layer.state == TAPSI_LAYER_READY)
        tapsi_layer_set_state(&tcp->layer, TAPSI_LAYER_CLOSING);
    if (unacknowledged >= 0)
        note_progress(tcp, tapsi_layer_unused(&tcp->layer) + (uint64_t)unacknowledged);
    bool late = tcp->close_deadline != TAPSI_FOREVER && tapsi_loop_now(loop) >= tcp->close_deadline;
    if (sent && !end_sending(tcp, unacknowledged == 0, late))
        return;
    if (late)
        tapsi_tcp_fail(tcp, ETIMEDOUT, "closing");
    else if (tapsi_tcp_wait(tcp))
        tapsi_tcp_fail(tcp, ENOMEM, "closing");
}
