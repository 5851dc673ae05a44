/* UDP servers inside the world: a callback on a dual-stack socket. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "platform/sim/socket.h"

#define DATAGRAM_MAX 65536

struct tapsi_sim_udp {
    struct tapsi_sim_resident resident;
    struct tapsi_sim_host *host;
    struct tapsi_simsock *socket;
    void (*packet)(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                   const uint8_t *bytes, size_t count);
    void *arg;
    struct tapsi_link later;
    uint8_t *scratch;
};

struct reply {
    struct tapsi_sim_event event;
    struct tapsi_link link;
    struct tapsi_sim_udp *udp;
    union tapsi_addr from, to;
    bool forged;
    size_t count;
    uint8_t bytes[];
};

static void free_reply(struct reply *reply)
{
    struct tapsi_sim *sim = reply->udp->host->sim;
    tapsi_sim_cancel(sim, &reply->event);
    tapsi_list_remove(&reply->link);
    tapsi_free(&sim->mem, reply);
}

static void free_udp(struct tapsi_sim_resident *resident)
{
    struct tapsi_sim_udp *udp = TAPSI_CONTAINER(resident, struct tapsi_sim_udp, resident);
    struct tapsi_mem *mem = &udp->host->sim->mem;
    for (struct tapsi_link *l; (l = tapsi_list_first(&udp->later));)
        free_reply(TAPSI_CONTAINER(l, struct reply, link));
    if (udp->socket)
        tapsi_simsock_close(udp->socket);
    tapsi_free(mem, udp->scratch);
    tapsi_free(mem, udp);
}

static void unmap(union tapsi_addr *a)
{
    uint16_t port = tapsi_addr_port(a);
    if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return;
    uint8_t bytes[4];
    memcpy(bytes, &a->in6.sin6_addr.s6_addr[12], sizeof bytes);
    tapsi_addr_from_bytes(a, AF_INET, bytes);
    tapsi_addr_set_port(a, port);
}

static void find_destination(struct msghdr *message, union tapsi_addr *ret)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
            continue;
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        tapsi_addr_from_bytes(ret, AF_INET6, &info.ipi6_addr);
        if (tapsi_addr_is_link_local(ret))
            ret->in6.sin6_scope_id = info.ipi6_ifindex;
    }
}

static void take_all(struct tapsi_simsock *s)
{
    struct tapsi_sim_udp *udp = s->owner;
    for (;;) {
        union tapsi_addr from, to = {.sa = {.sa_family = AF_UNSPEC}};
        struct iovec iov = {udp->scratch, DATAGRAM_MAX};
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        } control;
        struct msghdr message = {.msg_name = &from,
                                 .msg_namelen = sizeof from,
                                 .msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        ssize_t n = tapsi_simudp_receive(s, &message, 0);
        if (n == -EAGAIN)
            return;
        if (n < 0)
            continue; /* an error that came back for a reply */
        find_destination(&message, &to);
        tapsi_addr_set_port(&to, tapsi_addr_port(&s->local));
        unmap(&from);
        unmap(&to);
        udp->packet(udp->arg, udp, &from, &to, udp->scratch, (size_t)n);
    }
}

struct tapsi_sim_udp *tapsi_sim_udp_serve(struct tapsi_sim_host *host, uint16_t port,
                                          void (*packet)(void *arg, struct tapsi_sim_udp *udp,
                                                         const union tapsi_addr *from, const union tapsi_addr *to,
                                                         const uint8_t *bytes, size_t count),
                                          void *arg)
{
    struct tapsi_sim_udp *udp = host ? tapsi_zalloc(&host->sim->mem, sizeof *udp) : NULL;
    if (!udp) {
        if (host)
            tapsi_sim_say_memory(host->sim);
        return NULL;
    }
    udp->host = host;
    udp->packet = packet;
    udp->arg = arg;
    udp->resident.free = free_udp;
    tapsi_link_init(&udp->later);
    union tapsi_addr any = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
    int one = 1;
    udp->scratch = tapsi_alloc(&host->sim->mem, DATAGRAM_MAX);
    int r = udp->scratch ? tapsi_simsock_new(host, AF_INET6, SOCK_DGRAM, &udp->socket) : -ENOMEM;
    r = r < 0 ? r : tapsi_simsock_set(udp->socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one);
    r = r < 0 ? r : tapsi_simsock_bind(udp->socket, &any);
    if (r < 0) {
        tapsi_sim_say(host->sim, "%s cannot serve UDP port %u: %s", host->name, port, strerror(-r));
        free_udp(&udp->resident);
        return NULL;
    }
    udp->socket->owner = udp;
    udp->socket->notice = take_all;
    tapsi_list_append(&host->sim->services, &udp->resident.link);
    return udp;
}

static void send_true(struct reply *reply)
{
    struct tapsi_simsock *s = reply->udp->socket;
    union tapsi_addr shown, source;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    tapsi_simsock_outside(s, &reply->to, &shown);
    struct iovec iov = {reply->bytes, reply->count};
    struct msghdr message = {.msg_name = &shown, .msg_namelen = sizeof shown.in6, .msg_iov = &iov, .msg_iovlen = 1};
    if (reply->from.sa.sa_family) {
        size_t used = 0;
        tapsi_simsock_outside(s, &reply->from, &source);
        struct in6_pktinfo info = {.ipi6_addr = source.in6.sin6_addr};
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        tapsi_simcontrol_add(&message, &used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
    tapsi_simudp_send(s, &message);
}

static void send_reply(struct tapsi_sim_event *event)
{
    struct reply *reply = TAPSI_CONTAINER(event, struct reply, event);
    if (reply->forged)
        tapsi_simudp_send_forged(reply->udp->host, &reply->from, &reply->to, reply->bytes, reply->count);
    else
        send_true(reply);
    free_reply(reply);
}

static struct reply *plan(struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                          const void *bytes, size_t count, uint64_t delay_ns)
{
    struct tapsi_sim *sim = udp ? udp->host->sim : NULL;
    struct reply *reply = sim ? tapsi_sim_block(sim, sizeof *reply, count) : NULL;
    if (!reply)
        return NULL;
    reply->udp = udp;
    if (from)
        reply->from = *from;
    reply->to = *to;
    reply->count = count;
    if (count)
        memcpy(reply->bytes, bytes, count);
    reply->event.fire = send_reply;
    tapsi_list_append(&udp->later, &reply->link);
    tapsi_sim_at(sim, &reply->event, sim->now + delay_ns);
    return reply;
}

void tapsi_sim_udp_reply(struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                         const void *bytes, size_t count, uint64_t delay_ns)
{
    plan(udp, from, to, bytes, count, delay_ns);
}

void tapsi_simudp_forge(struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                        const void *bytes, size_t count, uint64_t delay_ns)
{
    struct reply *reply = plan(udp, from, to, bytes, count, delay_ns);
    if (reply)
        reply->forged = true;
}

static void echo(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                 const uint8_t *bytes, size_t count)
{
    (void)arg;
    tapsi_sim_udp_reply(udp, to, from, bytes, count, 0);
}

void tapsi_sim_udp_forge(struct tapsi_sim_host *host, const union tapsi_addr *from, const union tapsi_addr *to,
                         const void *bytes, size_t count)
{
    if (host)
        tapsi_simudp_send_forged(host, from, to, bytes, count);
}

struct tapsi_sim_udp *tapsi_sim_udp_echo(struct tapsi_sim_host *host, uint16_t port)
{
    return tapsi_sim_udp_serve(host, port, echo, NULL);
}
