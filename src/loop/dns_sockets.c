/*
 * Edge-triggered sockets under c-ares 1.18 to 1.34.
 *
 * Each socket remembers what it may do: `readable` and `writable` are set by events and cleared when the kernel says
 * EAGAIN. c-ares is run as long as a bit is set and c-ares wants it: it reads UDP until EAGAIN by itself, but TCP only
 * one piece a call. At most READS_PER_TURN reads are let through in a turn; the rest is told EAGAIN and the socket
 * stays readable, and the timer makes the next turn come at once.
 *
 * The surprising things. c-ares has its own clock (CLOCK_MONOTONIC, the same as ours; the simulated network replaces
 * it). It counts in whole milliseconds rounded down, so the timer adds one. An empty datagram would make it close the
 * socket, so empty datagrams are not shown to it. It drops zones of link-local name servers, so they are added on
 * connect. From 1.29 on it learns: it asks first the server that failed least, asks failed ones again beside real
 * questions, keeps answers, and waits for no more than five times the usual answer, which gives a name up that the
 * server has to look up far away, after a second. All of that is turned off or forgotten, so that every version does
 * what resolve.h and resolv.conf(5) say.
 */
#include "loop/dns_sockets.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include "base/str.h"

#define READS_PER_TURN 64
#define NEXT_TURN_NS   1 /* a timer due now would fire in this turn again */

struct dns_socket {
    struct tapsi_link link;
    struct tapsi_watch watch;
    struct tapsi_task task; /* the reaper's */
    struct tapsi_dns *dns;
    struct tapsi_mem *mem; /* it outlives the channel */
    int fd;
    bool stream, readable, writable, wants_write;
    unsigned reads; /* in this turn */
};

static struct tapsi_platform *platform_of(const struct tapsi_dns *dns)
{
    return dns->loop->platform;
}

static struct dns_socket *find(struct tapsi_dns *dns, int fd)
{
    for (struct tapsi_link *l = dns->sockets.next; l != &dns->sockets; l = l->next) {
        struct dns_socket *s = TAPSI_CONTAINER(l, struct dns_socket, link);
        if (s->fd == fd)
            return s;
    }
    return NULL;
}

static int failed(ssize_t negative_errno)
{
    errno = (int)-negative_errno;
    return -1;
}

/* ------------------------------------------------------------------------------- what c-ares calls (user = dns) */

static ares_socket_t open_socket(int family, int type, int protocol, void *user)
{
    struct tapsi_dns *dns = user;
    struct tapsi_platform *p = platform_of(dns);
    struct dns_socket *s = tapsi_zalloc(&dns->loop->mem, sizeof(*s));
    if (!s)
        return failed(-ENOMEM);
    int fd = p->ops->socket(p, family, type, protocol);
    if (fd < 0) {
        tapsi_free(&dns->loop->mem, s);
        return failed(fd);
    }
    s->dns = dns;
    s->mem = &dns->loop->mem;
    s->fd = fd;
    s->watch.fd = -1;
    s->stream = type == SOCK_STREAM;
    tapsi_task_init(&s->task, NULL);
    tapsi_list_append(&dns->sockets, &s->link);
    if (s->stream)
        p->ops->setsockopt(p, fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static void free_socket(struct tapsi_task *task)
{
    struct dns_socket *s = TAPSI_CONTAINER(task, struct dns_socket, task);
    tapsi_free(s->mem, s);
}

static int close_socket(ares_socket_t fd, void *user)
{
    struct tapsi_dns *dns = user;
    struct tapsi_platform *p = platform_of(dns);
    struct dns_socket *s = find(dns, fd);
    if (!s)
        return failed(-EBADF);
    if (s->watch.fd != -1)
        p->ops->unwatch(p, &s->watch);
    p->ops->close(p, fd);
    s->fd = -1;
    tapsi_list_remove(&s->link);
    tapsi_loop_reap(dns->loop, &s->task, free_socket);
    return 0;
}

static void on_event(struct tapsi_watch *watch, unsigned io);

static uint32_t zone_index(struct tapsi_dns *dns, const char *zone)
{
    struct tapsi_platform *p = platform_of(dns);
    struct tapsi_network *network;
    uint64_t number;
    uint32_t index = 0;
    if (tapsi_parse_uint(zone, UINT32_MAX, &number) == 0)
        return (uint32_t)number;
    if (p->ops->network(p, &network) < 0)
        return 0;
    for (size_t i = 0; i < network->interface_count; i++)
        if (strcmp(network->interfaces[i].name, zone) == 0)
            index = network->interfaces[i].index;
    tapsi_network_unref(network);
    return index;
}

static void add_zone(struct tapsi_dns *dns, union tapsi_addr *address)
{
    for (unsigned i = 0; i < dns->server_count; i++)
        if (dns->servers[i].zone[0] && tapsi_addr_same_host(&dns->servers[i].address, address))
            address->in6.sin6_scope_id = zone_index(dns, dns->servers[i].zone);
}

/* Watched only once connected: a fresh TCP socket would report its end at once. */
static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t length, void *user)
{
    struct tapsi_dns *dns = user;
    struct tapsi_platform *p = platform_of(dns);
    struct dns_socket *s = find(dns, fd);
    union tapsi_addr address = {0};
    if (!s || length > sizeof(address))
        return failed(-EINVAL);
    memcpy(&address, to, length);
    add_zone(dns, &address);
    int connected = p->ops->connect(p, fd, &address);
    if (connected < 0 && connected != -EINPROGRESS)
        return failed(connected);
    s->watch.ready = on_event;
    int watched = p->ops->watch(p, fd, &s->watch);
    if (watched < 0) {
        s->watch.fd = -1;
        return failed(watched);
    }
    return connected < 0 ? failed(connected) : 0;
}

static ares_ssize_t receive(ares_socket_t fd, void *bytes, size_t count, int flags, struct sockaddr *from,
                            ares_socklen_t *from_length, void *user)
{
    struct tapsi_dns *dns = user;
    struct tapsi_platform *p = platform_of(dns);
    struct dns_socket *s = find(dns, fd);
    if (!s)
        return failed(-EBADF);
    struct iovec iov = {bytes, count};
    struct msghdr message = {.msg_name = from, .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;
    do {
        if (s->reads++ >= READS_PER_TURN)
            return failed(-EAGAIN); /* and it stays readable */
        message.msg_namelen = from ? *from_length : 0;
        n = p->ops->recvmsg(p, fd, &message, flags);
    } while (n == 0 && !s->stream);
    if (n == -EAGAIN)
        s->readable = false;
    if (n < 0)
        return failed(n);
    if (from_length)
        *from_length = message.msg_namelen;
    if (!s->stream && dns->answer)
        dns->answer(dns->user, bytes, (size_t)n);
    return n;
}

static ares_ssize_t send_pieces(ares_socket_t fd, const struct iovec *pieces, int count, void *user)
{
    struct tapsi_dns *dns = user;
    struct tapsi_platform *p = platform_of(dns);
    struct dns_socket *s = find(dns, fd);
    if (!s)
        return failed(-EBADF);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    ssize_t n = p->ops->sendmsg(p, fd, &message, 0);
    if (n == -EAGAIN)
        s->writable = false;
    return n < 0 ? failed(n) : n;
}

static const struct ares_socket_functions socket_functions = {open_socket, close_socket, connect_socket, receive,
                                                              send_pieces};

static void on_wish(void *user, ares_socket_t fd, int readable, int writable)
{
    struct tapsi_dns *dns = user;
    struct dns_socket *s = find(dns, fd);
    (void)readable;
    if (!s)
        return;
    s->wants_write = writable;
}

/* ----------------------------------------------------------------------------------------------- driving it */

/* Lets c-ares use `fd` as long as it can and wants to; the socket may be closed, and another opened, at any time. */
static void work(struct tapsi_dns *dns, int fd)
{
    struct dns_socket *s = find(dns, fd);
    s->reads = 0;
    for (unsigned i = 0; i < READS_PER_TURN && (s = find(dns, fd)); i++) {
        bool write = s->wants_write && s->writable;
        if (!s->readable && !write)
            return;
        ares_process_fd(dns->channel, s->readable ? fd : ARES_SOCKET_BAD, write ? fd : ARES_SOCKET_BAD);
    }
}

static void on_event(struct tapsi_watch *watch, unsigned io)
{
    struct dns_socket *s = TAPSI_CONTAINER(watch, struct dns_socket, watch);
    struct tapsi_dns *dns = s->dns;
    if (io & (TAPSI_IO_IN | TAPSI_IO_END | TAPSI_IO_ERROR))
        s->readable = true;
    if (io & TAPSI_IO_OUT)
        s->writable = true;
    work(dns, s->fd);
    tapsi_dns_arm(dns);
}

static struct dns_socket *find_work(struct tapsi_dns *dns)
{
    for (struct tapsi_link *l = dns->sockets.next; l != &dns->sockets; l = l->next) {
        struct dns_socket *s = TAPSI_CONTAINER(l, struct dns_socket, link);
        if (s->watch.fd != -1 && (s->readable || (s->wants_write && s->writable)))
            return s;
    }
    return NULL;
}

/* One socket at a time, since working on one may close any; then it is the last, so that each has its turn. */
static void on_time(struct tapsi_timer *timer)
{
    struct tapsi_dns *dns = TAPSI_CONTAINER(timer, struct tapsi_dns, timer);
    struct dns_socket *s = find_work(dns);
    if (s) {
        tapsi_list_remove(&s->link);
        tapsi_list_append(&dns->sockets, &s->link);
        work(dns, s->fd);
    } else {
        ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    tapsi_dns_arm(dns);
}

void tapsi_dns_arm(struct tapsi_dns *dns)
{
    struct timeval buffer, *next = dns->channel ? ares_timeout(dns->channel, NULL, &buffer) : NULL;
    if (next && find_work(dns))
        tapsi_timer_start(dns->loop, &dns->timer, NEXT_TURN_NS);
    else if (next)
        tapsi_timer_start(dns->loop, &dns->timer,
                          (uint64_t)next->tv_sec * TAPSI_S + (uint64_t)next->tv_usec * 1000 + TAPSI_MS);
    else
        tapsi_timer_cancel(dns->loop, &dns->timer);
}

/* ------------------------------------------------------------------------------------------- open and close */

static int set_servers(struct tapsi_dns *dns)
{
    struct ares_addr_port_node nodes[TAPSI_NAMESERVERS] = {0};
    for (unsigned i = 0; i < dns->server_count; i++) {
        const union tapsi_addr *a = &dns->servers[i].address;
        unsigned count;
        const uint8_t *bytes = tapsi_addr_bytes(a, &count);
        nodes[i].next = i + 1 < dns->server_count ? &nodes[i + 1] : NULL;
        nodes[i].family = a->sa.sa_family;
        nodes[i].udp_port = nodes[i].tcp_port = tapsi_addr_port(a);
        memcpy(&nodes[i].addr, bytes, count);
    }
    return ares_set_servers_ports(dns->channel, nodes);
}

/* What only newer versions know. Their own limit of a wait, 5 s, is too short for resolv.conf's "timeout:30"; a chance
   of 0 is never. */
static int newer_options(struct ares_options *options)
{
    int mask = 0;
    (void)options;
#ifdef ARES_OPT_MAXTIMEOUTMS
    options->maxtimeout = options->timeout << (options->tries - 1);
    mask |= ARES_OPT_MAXTIMEOUTMS;
#endif
#ifdef ARES_OPT_QUERY_CACHE
    options->qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
#ifdef ARES_OPT_SERVER_FAILOVER
    options->server_failover_opts.retry_chance = 0;
    mask |= ARES_OPT_SERVER_FAILOVER;
#endif
    return mask;
}

/* Everything c-ares could look up by itself is given, so that 1.18 reads no file and no environment, and 1.34 uses
   nothing of what it reads but "use-vc" in RES_OPTIONS. Searching is ours. */
static int open_channel(struct tapsi_dns *dns, const struct tapsi_resolvconf *conf, uint32_t timeout_ms)
{
    char lookups[] = "b", no_file[] = "/dev/null";
    struct ares_options options = {
        .flags = ARES_FLAG_NOALIASES,
        .timeout = (int)timeout_ms,
        .tries = (int)conf->attempts,
        .ndots = 1,
        .lookups = lookups,
        .resolvconf_path = no_file,
        .sock_state_cb = on_wish,
        .sock_state_cb_data = dns,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB | ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_SORTLIST | ARES_OPT_RESOLVCONF |
               (conf->rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE) | newer_options(&options);
    int status = ares_init_options(&dns->channel, &options, mask);
    if (status != ARES_SUCCESS) {
        dns->channel = NULL;
        return status;
    }
    ares_set_socket_functions(dns->channel, &socket_functions, dns);
    return set_servers(dns);
}

static int code_of(int status)
{
    return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? TAPS_E_MEMORY : TAPS_E_SYSTEM;
}

int tapsi_dns_forget(struct tapsi_dns *dns)
{
    int status = ares_set_servers_ports(dns->channel, NULL);
    return code_of(status == ARES_SUCCESS ? set_servers(dns) : status);
}

int tapsi_dns_open(struct tapsi_dns *dns, struct tapsi_loop *loop, const struct tapsi_resolvconf *conf,
                   uint32_t timeout_ms)
{
    dns->loop = loop;
    dns->channel = NULL;
    dns->server_count = conf->server_count;
    memcpy(dns->servers, conf->servers, sizeof(dns->servers));
    tapsi_link_init(&dns->sockets);
    if (tapsi_timer_init(loop, &dns->timer, on_time) < 0)
        return TAPS_E_MEMORY;
    int status = open_channel(dns, conf, timeout_ms);
    if (status == ARES_SUCCESS)
        return 0;
    if (dns->channel)
        ares_destroy(dns->channel);
    dns->channel = NULL;
    tapsi_timer_done(loop, &dns->timer);
    return code_of(status);
}

void tapsi_dns_close(struct tapsi_dns *dns)
{
    if (!dns->channel)
        return;
    ares_destroy(dns->channel);
    dns->channel = NULL;
    tapsi_timer_done(dns->loop, &dns->timer);
}
