/*
 * The graceful end. Close means delivered: the layer is closed when every byte was acknowledged. What the kernel cannot
 * tell by an event (an acknowledgement) is asked with a timer that backs off from 1 to 100 ms. Once all is acknowledged
 * and nothing unread waits, the descriptor goes to the kernel, which finishes the FIN by itself. `_closeTimeout` limits
 * how long the peer may acknowledge nothing, be it gone or only not reading.
 */
#include <assert.h>
#include <errno.h>
#include "stack/tcp/tcp.h"

#define STEP_MIN     (1 * TAPSI_MS)
#define STEP_MAX     (100 * TAPSI_MS)
#define PATIENCE_MAX 1e9 /* seconds: more is for ever */

/* ------------------------------------------------------------------------------------------- looking again */

static void on_timer(struct tapsi_timer *timer)
{
    struct tcp *tcp = TAPSI_CONTAINER(timer, struct tcp_rare, timer)->tcp;
    if (tcp->starved)
        tcp->blocked = tcp->starved = false;
    tapsi_layer_dirty(&tcp->layer);
}

struct tcp_rare *tapsi_tcp_rare(struct tcp *tcp)
{
    assert(tcp->started);
    if (tcp->rare)
        return tcp->rare;
    struct tcp_rare *rare = tapsi_zalloc(&tcp->layer.env->loop->mem, sizeof(*rare));
    if (!rare)
        return NULL;
    rare->tcp = tcp;
    tapsi_tcp_timeouts(tcp->layer.env->properties, &rare->timeouts);
    return tcp->rare = rare;
}

int tapsi_tcp_wait(struct tcp *tcp)
{
    struct tapsi_loop *loop = tcp->layer.env->loop;
    struct tcp_rare *rare = tapsi_tcp_rare(tcp);
    if (!rare)
        return TAPS_E_MEMORY;
    if (!rare->has_timer) {
        if (tapsi_timer_init(loop, &rare->timer, on_timer))
            return TAPS_E_MEMORY;
        rare->has_timer = true;
        rare->step = STEP_MIN;
    }
    if (!tapsi_timer_running(&rare->timer)) {
        tapsi_timer_start(loop, &rare->timer, rare->step);
        rare->step = rare->step * 2 < STEP_MAX ? rare->step * 2 : STEP_MAX;
    }
    return 0;
}

void tapsi_tcp_rare_done(struct tcp *tcp)
{
    struct tapsi_loop *loop = tcp->layer.env->loop;
    tapsi_tcp_look_done(tcp);
    if (tcp->rare && tcp->rare->has_timer)
        tapsi_timer_done(loop, &tcp->rare->timer);
    tapsi_free(&loop->mem, tcp->rare);
    tcp->rare = NULL;
}

/* ------------------------------------------------------------------------------------------------- closing */

void tapsi_tcp_restart_patience(struct tcp *tcp)
{
    struct tcp_rare *rare = tcp->rare;
    if (!rare || !rare->closing)
        return;
    double seconds = rare->timeouts.close;
    uint64_t patience = seconds < 0 || seconds > PATIENCE_MAX ? TAPSI_FOREVER : (uint64_t)(seconds * (double)TAPSI_S);
    uint64_t now = tapsi_loop_now(tcp->layer.env->loop);
    rare->close_deadline = patience > TAPSI_FOREVER - now ? TAPSI_FOREVER : now + patience;
}

void tapsi_tcp_begin_closing(struct tcp *tcp)
{
    tapsi_layer_dirty(&tcp->layer);
    tcp->closing = true;
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
static void note_progress(struct tcp *tcp, struct tcp_rare *rare, uint64_t outstanding)
{
    if (rare->closing && outstanding == rare->outstanding)
        return;
    rare->closing = true;
    rare->outstanding = outstanding;
    tapsi_tcp_restart_patience(tcp);
}

/* Not everything was acknowledged, or the peer's input waits to be read: when it is to be looked at again, and whether
   it has waited long enough. False: the layer is over. */
static bool wait_on(struct tcp *tcp, int unacknowledged, bool *ret_late)
{
    struct tcp_rare *rare = tapsi_tcp_rare(tcp);
    if (!rare) {
        tapsi_tcp_fail(tcp, ENOMEM, "closing");
        return false;
    }
    if (unacknowledged >= 0 || !rare->closing)
        note_progress(tcp, rare, tapsi_layer_unused(&tcp->layer) + (uint64_t)(unacknowledged > 0 ? unacknowledged : 0));
    *ret_late = rare->close_deadline != TAPSI_FOREVER && tapsi_loop_now(tcp->layer.env->loop) >= rare->close_deadline;
    return true;
}

void tapsi_tcp_close_step(struct tcp *tcp)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    bool sent = tapsi_list_empty(&tcp->layer.queue), late;
    int unacknowledged = tcp->sent_any ? p->ops->unacknowledged(p, tcp->watch.fd) : 0;
    bool all = sent && unacknowledged == 0;
    if (tcp->layer.state == TAPSI_LAYER_READY)
        tapsi_layer_set_state(&tcp->layer, TAPSI_LAYER_CLOSING);
    if (all && (!tcp->readable || tcp->fin_seen)) {
        give_to_kernel(tcp);
        return;
    }
    if (!wait_on(tcp, unacknowledged, &late))
        return;
    if (all && late) {
        give_to_kernel(tcp);
        return;
    }
    if (sent && !tcp->fin_sent)
        tcp->fin_sent = p->ops->shutdown(p, tcp->watch.fd, SHUT_WR) == 0;
    if (late)
        tapsi_tcp_fail(tcp, ETIMEDOUT, "closing");
    else if (tapsi_tcp_wait(tcp))
        tapsi_tcp_fail(tcp, ENOMEM, "closing");
}
