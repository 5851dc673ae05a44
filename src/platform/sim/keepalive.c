/*
 * Keep-alive probes, as Linux sends them: after TCP_KEEPIDLE seconds in which nothing came, and then every
 * TCP_KEEPINTVL. Without an answer the connection fails after TCP_KEEPCNT of them, or, where there is one, after the
 * user timeout. While something waits for an acknowledgement its repetition does that work, and nothing is probed.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "platform/sim/flow.h"

static uint64_t seconds(const struct tapsi_simsock *s, int option)
{
    return (uint64_t)tapsi_simsock_option(s, IPPROTO_TCP, option) * TAPSI_SIM_S;
}

static void wait_for(struct tapsi_simsock *s, uint64_t delay)
{
    tapsi_sim_at(s->sim, &s->tcp.keep_alive, s->sim->now + delay);
}

static bool is_too_late(const struct tapsi_simsock *s, uint64_t silent)
{
    uint64_t limit = (uint64_t)tapsi_simsock_option(s, IPPROTO_TCP, TCP_USER_TIMEOUT) * TAPSI_SIM_MS;
    if (limit)
        return s->tcp.probes && silent >= limit;
    return s->tcp.probes >= (unsigned)tapsi_simsock_option(s, IPPROTO_TCP, TCP_KEEPCNT);
}

static void probe(struct tapsi_sim_event *event)
{
    struct tapsi_simsock *s = TAPSI_CONTAINER(event, struct tapsi_simsock, tcp.keep_alive);
    uint64_t silent = s->sim->now - s->tcp.heard, idle = seconds(s, TCP_KEEPIDLE);
    if (s->tcp.state != TAPSI_SIMTCP_OPEN || s->orphan || !tapsi_simsock_option(s, SOL_SOCKET, SO_KEEPALIVE))
        return;
    if (tapsi_simtcp_waits(s) || silent < idle) {
        wait_for(s, silent < idle ? idle - silent : idle);
        return;
    }
    if (is_too_late(s, silent)) {
        tapsi_simtcp_reset(s);
        tapsi_simtcp_give_up(s);
        return;
    }
    s->tcp.probes++;
    wait_for(s, seconds(s, TCP_KEEPINTVL));
    tapsi_simtcp_segment(s, TAPSI_SIM_PROBE, NULL, 0);
}

void tapsi_simtcp_keep_alive(struct tapsi_simsock *s)
{
    if (s->tcp.state != TAPSI_SIMTCP_OPEN || !tapsi_simsock_option(s, SOL_SOCKET, SO_KEEPALIVE))
        return;
    uint64_t silent = s->sim->now - s->tcp.heard, idle = seconds(s, TCP_KEEPIDLE);
    s->tcp.keep_alive.fire = probe;
    wait_for(s, silent < idle ? idle - silent : 0);
}

void tapsi_simtcp_heard(struct tapsi_simsock *s)
{
    s->tcp.heard = s->sim->now;
    s->tcp.probes = 0;
}
