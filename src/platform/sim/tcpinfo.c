/* TCP_INFO, whole: <linux/tcp.h> has what glibc's header lacks, and does not go with it. */
#include <linux/tcp.h>
#include <string.h>
#include "platform/sim/flow.h"

static void describe_path(const struct tapsi_simsock *s, struct tcp_info *info)
{
    const struct tapsi_simtcp *t = &s->tcp;
    const struct tapsi_simpipe *pipe = &t->flow->pipe[t->side];
    size_t size = tapsi_simtcp_segment_size(s);
    info->tcpi_snd_mss = info->tcpi_rcv_mss = info->tcpi_advmss = (uint32_t)size;
    info->tcpi_pmtu = tapsi_simwire_mtu(&pipe->way);
    info->tcpi_unacked = (uint32_t)((t->sent - t->acked + size - 1) / size);
    info->tcpi_backoff = info->tcpi_retransmits = (uint8_t)pipe->tries;
}

int tapsi_simtcp_info(const struct tapsi_simsock *s, void *value, socklen_t *length)
{
    const struct tapsi_simtcp *t = &s->tcp;
    struct tcp_info info = {.tcpi_state = (uint8_t)tapsi_simtcp_linux_state(s)};
    if (t->flow)
        describe_path(s, &info);
    info.tcpi_rtt = (uint32_t)((t->smoothed ? t->smoothed : t->rtt) / TAPSI_SIM_US);
    info.tcpi_min_rtt = (uint32_t)(t->rtt / TAPSI_SIM_US);
    info.tcpi_rttvar = info.tcpi_rtt / 2;
    info.tcpi_total_retrans = t->retransmitted;
    info.tcpi_bytes_sent = t->sent - t->fin_sent; /* those sent again are in neither count */
    info.tcpi_bytes_acked = t->acked;
    info.tcpi_bytes_received = t->received + t->fin_received; /* as Linux counts */
    if (*length > sizeof info)
        *length = sizeof info;
    memcpy(value, &info, *length);
    return 0;
}
