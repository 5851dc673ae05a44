/* For the tests of this folder: two hosts, a link of 10 ms, a platform on each, and short calls. */
#ifndef TAPSI_SIM_TESTNET_H
#define TAPSI_SIM_TESTNET_H

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "base/test.h"
#include "platform/sim/sim.h"

#define DELAY  (10 * TAPSI_SIM_MS)
#define RTT    (2 * DELAY)
#define EVENTS 16

struct net {
    struct tapsi_mem mem;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *client, *server;
    struct tapsi_sim_interface *c, *s;
    struct tapsi_sim_link *link;
    struct tapsi_platform *p, *q; /* the client's, the server's */
};

static inline void net_init(struct net *n)
{
    tapsi_mem_init(&n->mem, NULL);
    n->sim = tapsi_sim_new(7);
    n->client = tapsi_sim_host_new(n->sim, "client");
    n->server = tapsi_sim_host_new(n->sim, "server");
    n->c = tapsi_sim_interface_new(n->client, "eth0", TAPSI_IF_ETHERNET, "192.0.2.2/24 2001:db8::2/64 fe80::2/64");
    n->s = tapsi_sim_interface_new(n->server, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24 2001:db8::1/64 fe80::1/64");
    n->link = tapsi_sim_link_new(n->c, n->s, DELAY);
    tapsi_sim_platform_new(n->client, &n->mem, &n->p);
    tapsi_sim_platform_new(n->server, &n->mem, &n->q);
    CHECK(!tapsi_sim_problem(n->sim));
}

/* Everything that was opened must have been closed. */
static inline void net_done(struct net *n)
{
    CHECK_INT(tapsi_sim_host_sockets(n->client), 0);
    CHECK_INT(tapsi_sim_host_sockets(n->server), 0);
    CHECK(!tapsi_sim_problem(n->sim));
    n->p->ops->destroy(n->p);
    n->q->ops->destroy(n->q);
    tapsi_sim_free(n->sim);
}

static inline union tapsi_addr addr(const char *text, unsigned port)
{
    union tapsi_addr a;
    memset(&a, 0, sizeof a);
    CHECK_INT(tapsi_addr_parse(text, &a), 0);
    tapsi_addr_set_port(&a, (uint16_t)port);
    return a;
}

static inline int tcp4(struct tapsi_platform *p)
{
    return p->ops->socket(p, AF_INET, SOCK_STREAM, IPPROTO_TCP);
}

static inline int tcp6(struct tapsi_platform *p)
{
    return p->ops->socket(p, AF_INET6, SOCK_STREAM, IPPROTO_TCP);
}

static inline int udp4(struct tapsi_platform *p)
{
    return p->ops->socket(p, AF_INET, SOCK_DGRAM, IPPROTO_UDP);
}

static inline int udp6(struct tapsi_platform *p)
{
    return p->ops->socket(p, AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
}

static inline int bind_to(struct tapsi_platform *p, int fd, const char *text, unsigned port)
{
    union tapsi_addr a = addr(text, port);
    return p->ops->bind(p, fd, &a);
}

static inline int connect_to(struct tapsi_platform *p, int fd, const char *text, unsigned port)
{
    union tapsi_addr a = addr(text, port);
    return p->ops->connect(p, fd, &a);
}

/* A listener on every address. */
static inline int listen_on(struct tapsi_platform *p, unsigned port)
{
    int fd = tcp6(p);
    CHECK_INT(bind_to(p, fd, "::", port), 0);
    CHECK_INT(p->ops->listen(p, fd, 16), 0);
    return fd;
}

static inline int set_int(struct tapsi_platform *p, int fd, int level, int option, int value)
{
    return p->ops->setsockopt(p, fd, level, option, &value, sizeof value);
}

static inline int get_int(struct tapsi_platform *p, int fd, int level, int option)
{
    int value = -1;
    socklen_t length = sizeof value;
    int r = p->ops->getsockopt(p, fd, level, option, &value, &length);
    return r < 0 ? r : value;
}

static inline int so_error(struct tapsi_platform *p, int fd)
{
    return get_int(p, fd, SOL_SOCKET, SO_ERROR);
}

static inline ssize_t send_text(struct tapsi_platform *p, int fd, const char *text)
{
    return p->ops->send(p, fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Reads and terminates: the bytes, or the error. */
static inline ssize_t recv_text(struct tapsi_platform *p, int fd, char *text, size_t size)
{
    ssize_t n = p->ops->recv(p, fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return n;
}

static inline void run_for(struct net *n, uint64_t ns)
{
    tapsi_sim_run(n->sim, tapsi_sim_now(n->sim) + ns);
}

static inline void ignore_ready(struct tapsi_watch *watch, unsigned io)
{
    (void)watch;
    (void)io;
}

/* What is reported for `watch` until `ns` from now: all events together. */
static inline unsigned events_for(struct net *n, struct tapsi_platform *p, const struct tapsi_watch *watch, uint64_t ns)
{
    struct tapsi_ready ready[EVENTS];
    uint64_t end = tapsi_sim_now(n->sim) + ns;
    unsigned io = 0;
    do {
        int count = p->ops->wait(p, end, ready, EVENTS);
        for (int i = 0; i < count; i++)
            io |= ready[i].watch == watch ? ready[i].io : 0;
    } while (tapsi_sim_now(n->sim) < end);
    return io;
}

/* Connects over IPv4 to `port` of the server and accepts there. */
static inline void connected_pair(struct net *n, int listener, unsigned port, int *ret_client, int *ret_server)
{
    union tapsi_addr peer;
    *ret_client = tcp4(n->p);
    CHECK_INT(connect_to(n->p, *ret_client, "192.0.2.1", port), -EINPROGRESS);
    run_for(n, 2 * RTT);
    *ret_server = n->q->ops->accept(n->q, listener, &peer);
    CHECK(*ret_server >= TAPSI_SIM_FD);
}

#endif
