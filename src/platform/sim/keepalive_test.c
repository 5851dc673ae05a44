#include <netinet/in.h>
#include <netinet/tcp.h>
#include "platform/sim/testnet.h"

struct probed {
    struct net n;
    int listener, fd, child;
    unsigned probes;
};

static void count(void *arg, const struct tapsi_sim_packet *packet)
{
    struct probed *k = arg;
    k->probes += packet->host == k->n.client && strcmp(packet->kind, "PROBE") == 0;
}

/* Connected, and to be probed after 10 s of silence, every 2 s, 3 times. */
static void begin(struct probed *k)
{
    k->probes = 0;
    net_init(&k->n);
    k->listener = listen_on(k->n.q, 80);
    connected_pair(&k->n, k->listener, 80, &k->fd, &k->child);
    CHECK_INT(set_int(k->n.p, k->fd, IPPROTO_TCP, TCP_KEEPIDLE, 10), 0);
    CHECK_INT(set_int(k->n.p, k->fd, IPPROTO_TCP, TCP_KEEPINTVL, 2), 0);
    CHECK_INT(set_int(k->n.p, k->fd, IPPROTO_TCP, TCP_KEEPCNT, 3), 0);
    tapsi_sim_trace(k->n.sim, count, k);
}

static void end(struct probed *k)
{
    k->n.p->ops->close(k->n.p, k->fd);
    k->n.q->ops->close(k->n.q, k->child);
    k->n.q->ops->close(k->n.q, k->listener);
    net_done(&k->n);
}

static void keep_alive(struct probed *k)
{
    CHECK_INT(set_int(k->n.p, k->fd, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
}

TEST(an_idle_connection_is_probed_only_if_asked)
{
    struct probed k;
    begin(&k);
    run_for(&k.n, 100 * TAPSI_SIM_S);
    CHECK_INT(k.probes, 0);
    keep_alive(&k);
    run_for(&k.n, 35 * TAPSI_SIM_S);
    CHECK(k.probes >= 3 && k.probes <= 4); /* the first at once: it was silent long enough */
    CHECK_INT(so_error(k.n.p, k.fd), 0);
    CHECK_INT(set_int(k.n.p, k.fd, SOL_SOCKET, SO_KEEPALIVE, 0), 0);
    unsigned before = k.probes;
    run_for(&k.n, 100 * TAPSI_SIM_S);
    CHECK_INT(k.probes, before);
    end(&k);
}

TEST(what_comes_puts_the_probes_off)
{
    struct probed k;
    begin(&k);
    keep_alive(&k);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(send_text(i % 2 ? k.n.p : k.n.q, i % 2 ? k.fd : k.child, "x"), 1);
        run_for(&k.n, 5 * TAPSI_SIM_S);
    }
    CHECK_INT(k.probes, 0);
    end(&k);
}

TEST(a_silent_peer_is_given_up)
{
    struct probed k;
    begin(&k);
    keep_alive(&k);
    tapsi_sim_link_fault(k.n.link, TAPSI_SIM_BLACKHOLE);
    run_for(&k.n, (uint64_t)(15.5 * (double)TAPSI_SIM_S));
    CHECK_INT(k.probes, 3);
    CHECK_INT(so_error(k.n.p, k.fd), 0);
    run_for(&k.n, 1 * TAPSI_SIM_S);
    CHECK_INT(so_error(k.n.p, k.fd), ETIMEDOUT);
    end(&k);
}

TEST(the_user_timeout_goes_before_the_count)
{
    struct probed k;
    begin(&k);
    keep_alive(&k);
    CHECK_INT(set_int(k.n.p, k.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 21000), 0);
    tapsi_sim_link_fault(k.n.link, TAPSI_SIM_BLACKHOLE);
    run_for(&k.n, (uint64_t)(20.5 * (double)TAPSI_SIM_S));
    CHECK_INT(so_error(k.n.p, k.fd), 0);
    run_for(&k.n, 2 * TAPSI_SIM_S);
    CHECK_INT(so_error(k.n.p, k.fd), ETIMEDOUT);
    end(&k);
}

TEST(a_peer_that_is_gone_answers_a_probe_with_a_reset)
{
    struct probed k;
    begin(&k);
    keep_alive(&k);
    tapsi_sim_link_fault(k.n.link, TAPSI_SIM_BLACKHOLE);
    struct linger linger = {.l_onoff = 1};
    CHECK_INT(k.n.q->ops->setsockopt(k.n.q, k.child, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    k.n.q->ops->close(k.n.q, k.child); /* its reset is lost */
    tapsi_sim_link_fault(k.n.link, TAPSI_SIM_FINE);
    run_for(&k.n, 11 * TAPSI_SIM_S);
    CHECK_INT(so_error(k.n.p, k.fd), ECONNRESET);
    k.n.p->ops->close(k.n.p, k.fd);
    k.n.q->ops->close(k.n.q, k.listener);
    net_done(&k.n);
}
