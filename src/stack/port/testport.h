/* For the tests of this folder: two simulated hosts, or the kernel, an environment on the server, plain sockets on the
 * client, and users that write down what they are told. */
#ifndef TAPSI_STACK_PORT_TESTPORT_H
#define TAPSI_STACK_PORT_TESTPORT_H

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include "base/test.h"
#include "platform/sim/sim.h"
#include "stack/port/port.h"

#define MS       TAPSI_SIM_MS
#define DELAY    (10 * MS)
#define TEXT_MAX 64

static struct {
    size_t calls, fail_at, out;
} heap;

static inline void *counting(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        heap.out -= block != NULL;
        free(block);
        return NULL;
    }
    if (++heap.calls == heap.fail_at)
        return NULL;
    heap.out += block == NULL;
    return realloc(block, size);
}

struct net {
    struct tapsi_mem mem;
    struct tapsi_sim *sim; /* NULL: the kernel */
    struct tapsi_sim_host *client, *server;
    struct tapsi_sim_link *link;
    struct tapsi_platform *platform, *peer; /* the loop's, and the client's */
    struct tapsi_loop loop;
    struct tapsi_properties *properties;
    struct tapsi_env *env;
};

static inline void net_common(struct net *n)
{
    CHECK_INT(tapsi_loop_init(&n->loop, &n->mem, n->platform), 0);
    n->loop.holds = 1; /* else turns do not wait */
    n->properties = tapsi_properties_new(&n->mem);
    n->env = tapsi_env_new(&n->loop, n->properties, NULL, NULL);
}

static inline void net_mem(struct net *n)
{
    static const struct taps_allocator allocator = {counting, NULL};
    *n = (struct net){0};
    heap.fail_at = heap.out = 0;
    tapsi_mem_init(&n->mem, &allocator);
}

static inline void net_sim(struct net *n)
{
    static struct tapsi_mem plain;
    net_mem(n);
    tapsi_mem_init(&plain, NULL);
    n->sim = tapsi_sim_new(5);
    n->client = tapsi_sim_host_new(n->sim, "client");
    n->server = tapsi_sim_host_new(n->sim, "server");
    n->link = tapsi_sim_link_new(tapsi_sim_interface_new(n->client, "eth0", TAPSI_IF_ETHERNET,
                                                         "192.0.2.2/24 192.0.2.22/24 2001:db8::2/64 fe80::2/64"),
                                 tapsi_sim_interface_new(n->server, "eth0", TAPSI_IF_ETHERNET,
                                                         "192.0.2.1/24 192.0.2.11/24 2001:db8::1/64 fe80::1/64"),
                                 DELAY);
    CHECK_INT(tapsi_sim_platform_new(n->server, &plain, &n->platform), 0);
    CHECK_INT(tapsi_sim_platform_new(n->client, &plain, &n->peer), 0);
    net_common(n);
}

static inline void net_kernel(struct net *n)
{
    net_mem(n);
    CHECK_INT(tapsi_platform_linux_new(&n->mem, &n->platform), 0);
    n->peer = n->platform;
    net_common(n);
}

static inline void net_done(struct net *n)
{
    tapsi_loop_turn(&n->loop, 0);
    tapsi_env_unref(n->env);
    tapsi_properties_unref(n->properties);
    if (n->sim) {
        CHECK_INT(tapsi_sim_host_sockets(n->client), 0);
        CHECK_INT(tapsi_sim_host_sockets(n->server), 0);
        CHECK(!tapsi_sim_problem(n->sim));
        n->peer->ops->destroy(n->peer);
    }
    tapsi_loop_done(&n->loop);
    if (n->sim)
        tapsi_sim_free(n->sim);
    CHECK_INT(heap.out, 0);
    heap.fail_at = 0;
}

static inline void run_for(struct net *n, uint64_t ns)
{
    uint64_t end = n->platform->ops->now(n->platform) + ns;
    while (n->platform->ops->now(n->platform) < end)
        tapsi_loop_turn(&n->loop, end);
}

/* On the kernel: until `*what` has become `value`, five seconds at most. */
static inline bool run_until(struct net *n, const unsigned *what, unsigned value)
{
    uint64_t end = n->platform->ops->now(n->platform) + 5 * TAPSI_SIM_S;
    while (*what < value && n->platform->ops->now(n->platform) < end)
        tapsi_loop_turn(&n->loop, n->platform->ops->now(n->platform) + MS);
    return *what >= value;
}

static inline union tapsi_addr addr(const char *text, unsigned port)
{
    union tapsi_addr a;
    memset(&a, 0, sizeof(a));
    CHECK_INT(tapsi_addr_parse(text, &a), 0);
    tapsi_addr_set_port(&a, (uint16_t)port);
    return a;
}

static inline const char *text_of(const union tapsi_addr *a)
{
    static char text[2][TAPSI_ADDR_TEXT];
    static unsigned turn;
    return tapsi_addr_text(a, text[turn++ % 2]);
}

/* What one user was told. */
struct seen {
    struct tapsi_port_user user;
    unsigned calls, datagrams, trains, turns, writable, errors;
    size_t bytes, longest;
    int error, ecn;
    union tapsi_addr to, from, error_to;
    unsigned interface_index;
    char last[TEXT_MAX];
    bool leaves;            /* at its first datagram */
    struct tapsi_port *let; /* a reference to drop with it */
    bool answers;           /* each datagram, from where it came to */
    bool leaves_at_error;
};

static inline struct tapsi_port_way way_to(const char *to, unsigned port)
{
    return (struct tapsi_port_way){.to = addr(to, port)};
}

static inline void on_packet(struct tapsi_port_user *user, const struct tapsi_datagram *train)
{
    struct seen *s = TAPSI_CONTAINER(user, struct seen, user);
    struct tapsi_datagram d;
    s->calls++;
    s->trains += train->segment > 0;
    CHECK(!train->segment || train->segment < train->length);
    for (size_t at = 0; tapsi_port_piece(train, &at, &d);) {
        size_t n = d.length < TEXT_MAX - 1 ? d.length : TEXT_MAX - 1;
        s->datagrams++;
        s->bytes += d.length;
        s->longest = d.length > s->longest ? d.length : s->longest;
        memcpy(s->last, d.data, n);
        s->last[n] = '\0';
        if (s->answers) {
            struct tapsi_port_way way = {.to = d.from, .from = d.to, .tos = 1};
            CHECK_INT(tapsi_port_write(user->port, &way, d.data, d.length, 0), 0);
        }
    }
    s->from = train->from;
    s->to = train->to;
    s->ecn = train->ecn;
    s->interface_index = train->interface_index;
    if (s->leaves)
        tapsi_port_leave(user);
    if (s->let)
        tapsi_port_unref(s->let);
    s->let = NULL;
}

static inline void on_turn(struct tapsi_port_user *user)
{
    TAPSI_CONTAINER(user, struct seen, user)->turns++;
}

static inline void on_writable(struct tapsi_port_user *user)
{
    TAPSI_CONTAINER(user, struct seen, user)->writable++;
}

static inline void on_error(struct tapsi_port_user *user, const union tapsi_addr *to, int err)
{
    struct seen *s = TAPSI_CONTAINER(user, struct seen, user);
    s->errors++;
    s->error = err;
    s->error_to = *to;
    if (s->leaves_at_error)
        tapsi_port_leave(user);
}

static const struct tapsi_port_user_ops seen_ops = {on_packet, on_turn, on_writable, on_error};

static inline int listen_at(struct net *n, struct seen *s, enum tapsi_port_class class, const char *local,
                            unsigned port)
{
    union tapsi_addr a = addr(local, port);
    struct tapsi_target target = {.local = &a};
    struct tapsi_error error;
    *s = (struct seen){.user = {.ops = &seen_ops}};
    return tapsi_port_listen(n->env, &target, class, &s->user, &error);
}

static inline int connect_to(struct net *n, struct seen *s, const char *remote, unsigned port)
{
    union tapsi_addr a = addr(remote, port);
    struct tapsi_target target = {.remote = &a};
    struct tapsi_error error;
    *s = (struct seen){.user = {.ops = &seen_ops}};
    return tapsi_port_connect(n->env, &target, &s->user, &error);
}

static inline unsigned port_of(const struct seen *s)
{
    return tapsi_addr_port(tapsi_port_local(s->user.port));
}

/* A plain socket of the client, connected. */
static inline int plain(struct net *n, const char *remote, unsigned port)
{
    union tapsi_addr a = addr(remote, port);
    int fd = n->peer->ops->socket(n->peer, a.sa.sa_family, SOCK_DGRAM, IPPROTO_UDP);
    CHECK_INT(n->peer->ops->connect(n->peer, fd, &a), 0);
    return fd;
}

static inline void plain_set(struct net *n, int fd, int level, int option, int value)
{
    CHECK_INT(n->peer->ops->setsockopt(n->peer, fd, level, option, &value, sizeof(value)), 0);
}

#endif
