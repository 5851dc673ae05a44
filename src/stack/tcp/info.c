/*
 * What the kernel knows of a connection, by TCP_INFO: statistics, and for an application that asked for soft errors a
 * look at it now and then. Neither too many retransmissions (RFC 9293, 3.8.3: R1) nor a new path MTU has an event of
 * the kernel's, so while bytes are on their way, and only then, a timer asks once a second.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include "stack/tcp/tcp.h"

#define LOOK_AGAIN (1 * TAPSI_S)
#define TOO_MANY   3 /* retransmissions of the same bytes, one after the other: the least that RFC 9293 allows for R1 */

struct look {
    struct tapsi_timer timer;
    struct tcp *tcp;
    uint32_t mtu; /* 0 = not known yet */
    bool told;    /* of these retransmissions */
};

/* Older kernels, and the simulated one, fill only the beginning: the length that was filled, or 0. */
static size_t ask(struct tcp *tcp, struct tcp_info *ret)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    socklen_t length = sizeof(*ret);
    *ret = (struct tcp_info){0};
    int err = tcp->watch.fd < 0 ? -1 : p->ops->getsockopt(p, tcp->watch.fd, IPPROTO_TCP, TCP_INFO, ret, &length);
    return err < 0 ? 0 : length;
}

/* ---------------------------------------------------------------------------------------------- statistics */

#define HAS(length, field) ((length) >= offsetof(struct tcp_info, field) + sizeof(((struct tcp_info *)0)->field))

/* The FIN counts as a byte of its direction. */
static bool peer_has_ended(const struct tcp *tcp, const struct tcp_info *info)
{
    enum {
        TIME_WAIT = 6,
        CLOSE_WAIT = 8,
        LAST_ACK = 9,
        CLOSING = 11
    }; /* of <netinet/tcp.h>, which has no place here */
    int s = info->tcpi_state;
    return tcp->fin_seen || s == TIME_WAIT || s == CLOSE_WAIT || s == LAST_ACK || s == CLOSING;
}

static void count_bytes(const struct tcp *tcp, const struct tcp_info *info, size_t length, uint64_t *values)
{
    if (HAS(length, tcpi_bytes_received)) {
        bool fin = peer_has_ended(tcp, info) && info->tcpi_bytes_received;
        values[TAPS_BYTES_RECEIVED] = info->tcpi_bytes_received - fin;
    }
    if (HAS(length, tcpi_bytes_retrans))
        values[TAPS_BYTES_SENT] = info->tcpi_bytes_sent - info->tcpi_bytes_retrans;
}

void tapsi_tcp_statistics(struct tapsi_layer *layer, uint64_t *values)
{
    struct tcp *tcp = TAPSI_CONTAINER(layer, struct tcp, layer);
    struct tapsi_platform *p = layer->env->loop->platform;
    struct tcp_info info;
    size_t length = ask(tcp, &info);
    if (!HAS(length, tcpi_total_retrans))
        return;
    int unacknowledged = p->ops->unacknowledged(p, tcp->watch.fd);
    if (unacknowledged >= 0)
        values[TAPS_BYTES_UNACKNOWLEDGED] = (uint64_t)unacknowledged;
    values[TAPS_ROUND_TRIP_US] = info.tcpi_rtt;
    values[TAPS_ROUND_TRIP_VARIATION_US] = info.tcpi_rttvar;
    values[TAPS_RETRANSMISSIONS] = info.tcpi_total_retrans;
    values[TAPS_PATH_MTU] = info.tcpi_pmtu;
    values[TAPS_SEGMENT_SIZE] = info.tcpi_snd_mss;
    if (info.tcpi_snd_cwnd)
        values[TAPS_CONGESTION_WINDOW] = (uint64_t)info.tcpi_snd_cwnd * info.tcpi_snd_mss;
    count_bytes(tcp, &info, length, values);
    if (HAS(length, tcpi_min_rtt) && info.tcpi_min_rtt != UINT32_MAX)
        values[TAPS_MIN_ROUND_TRIP_US] = info.tcpi_min_rtt;
    if (HAS(length, tcpi_delivery_rate) && info.tcpi_delivery_rate)
        values[TAPS_DELIVERY_RATE] = info.tcpi_delivery_rate;
}

/* ------------------------------------------------------------------------------------- now and then */

static bool is_over(const struct tcp *tcp)
{
    return tcp->layer.dead || tcp->layer.state == TAPSI_LAYER_CLOSED;
}

static void note_retransmissions(struct look *look, unsigned count)
{
    struct tapsi_error error;
    if (count < TOO_MANY || look->told) {
        look->told = look->told && count > 0;
        return;
    }
    look->told = true;
    tapsi_error_set(&error, TAPS_E_TIMEOUT,
                    "the peer has not acknowledged what was sent, though it was repeated %u times", count);
    tapsi_layer_event(&look->tcp->layer, TAPSI_EVENT_SOFT_ERROR, &error);
}

static void note_mtu(struct look *look, uint32_t mtu)
{
    bool news = look->mtu && mtu != look->mtu;
    look->mtu = mtu;
    if (news)
        tapsi_layer_event(&look->tcp->layer, TAPSI_EVENT_PATH, NULL);
}

static void look_now(struct look *look)
{
    struct tcp *tcp = look->tcp;
    struct tcp_info info;
    if (is_over(tcp) || !ask(tcp, &info))
        return;
    if (look->mtu && info.tcpi_unacked)
        tapsi_timer_start(tcp->layer.env->loop, &look->timer, LOOK_AGAIN);
    note_mtu(look, info.tcpi_pmtu);
    if (!is_over(tcp))
        note_retransmissions(look, info.tcpi_retransmits);
}

static void on_timer(struct tapsi_timer *timer)
{
    look_now(TAPSI_CONTAINER(timer, struct look, timer));
}

static struct look *new_look(struct tcp *tcp)
{
    struct tapsi_loop *loop = tcp->layer.env->loop;
    struct tcp_rare *rare = tapsi_tcp_rare(tcp);
    struct look *look = rare ? tapsi_zalloc(&loop->mem, sizeof(*look)) : NULL;
    if (!look)
        return NULL;
    if (tapsi_timer_init(loop, &look->timer, on_timer)) {
        tapsi_free(&loop->mem, look);
        return NULL;
    }
    look->tcp = tcp;
    rare->look = &look->timer;
    look_now(look); /* the MTU it began with */
    return look;
}

void tapsi_tcp_look(struct tcp *tcp)
{
    struct tapsi_timer *timer = tcp->rare ? tcp->rare->look : NULL;
    struct look *look = timer ? TAPSI_CONTAINER(timer, struct look, timer) : new_look(tcp);
    if (look && !tapsi_timer_running(&look->timer)) /* without memory nothing is told: soft errors may be missed */
        tapsi_timer_start(tcp->layer.env->loop, &look->timer, LOOK_AGAIN);
}

void tapsi_tcp_look_done(struct tcp *tcp)
{
    struct tapsi_timer *timer = tcp->rare ? tcp->rare->look : NULL;
    if (!timer)
        return;
    struct tapsi_loop *loop = tcp->layer.env->loop;
    tapsi_timer_done(loop, timer);
    tapsi_free(&loop->mem, TAPSI_CONTAINER(timer, struct look, timer));
    tcp->rare->look = NULL;
}
