#include "raw.h"

#include <netinet/in.h>
#include <string.h>

void raw_begin(struct raw *raw, struct tapsi_sim_host *host)
{
    *raw = (struct raw){.listener = -1, .datagrams = -1};
    tapsi_mem_init(&raw->mem, NULL);
    if (tapsi_sim_platform_new(host, &raw->mem, &raw->platform) != 0)
        raw->platform = NULL;
}

/* Bound to any address; -1 where a failure that was asked for hit us. */
static int open_socket(struct raw *raw, int type, uint16_t port)
{
    const struct tapsi_platform_ops *ops = raw->platform->ops;
    union tapsi_addr any = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
    int off = 0, fd = ops->socket(raw->platform, AF_INET6, type, 0);
    if (fd < 0)
        return -1;
    ops->setsockopt(raw->platform, fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (ops->bind(raw->platform, fd, &any) < 0) {
        ops->close(raw->platform, fd);
        return -1;
    }
    return fd;
}

void raw_serve(struct raw *raw, uint16_t port)
{
    raw->listener = open_socket(raw, SOCK_STREAM, port);
    if (raw->listener >= 0)
        raw->platform->ops->listen(raw->platform, raw->listener, 4);
    raw->datagrams = open_socket(raw, SOCK_DGRAM, port);
}

void raw_accept(struct raw *raw)
{
    union tapsi_addr peer;
    while (raw->listener >= 0 && raw->count < RAW_SOCKETS) {
        int fd = raw->platform->ops->accept(raw->platform, raw->listener, &peer);
        if (fd < 0)
            return;
        raw->sockets[raw->count++] = fd;
    }
}

void raw_drain(struct raw *raw)
{
    static uint8_t bytes[65536];
    const struct tapsi_platform_ops *ops = raw->platform->ops;
    raw_accept(raw);
    for (unsigned i = 0; i < raw->count; i++) {
        while (raw->sockets[i] >= 0 && ops->recv(raw->platform, raw->sockets[i], bytes, sizeof(bytes), 0) > 0)
            ;
    }
    for (int i = 0; raw->datagrams >= 0 && i < 64; i++) {
        union tapsi_addr from;
        struct iovec iov = {bytes, sizeof(bytes)};
        struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
        if (ops->recvmsg(raw->platform, raw->datagrams, &m, 0) < 0)
            break;
        raw->last = from;
    }
}

static union tapsi_addr address_of(const char *text, uint16_t port)
{
    union tapsi_addr a = {.sa = {.sa_family = AF_UNSPEC}};
    if (tapsi_addr_parse(text, &a) == 0)
        tapsi_addr_set_port(&a, port);
    return a;
}

void raw_connect(struct raw *raw, const char *address, uint16_t port)
{
    union tapsi_addr to = address_of(address, port);
    if (raw->count == RAW_SOCKETS)
        return;
    int fd = raw->platform->ops->socket(raw->platform, to.sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return;
    raw->platform->ops->connect(raw->platform, fd, &to);
    raw->sockets[raw->count++] = fd;
}

static int *socket_of(struct raw *raw, unsigned which)
{
    static int none;
    none = -1;
    return raw->count ? &raw->sockets[which % raw->count] : &none;
}

void raw_send(struct raw *raw, unsigned which, const void *bytes, size_t count)
{
    int fd = *socket_of(raw, which);
    if (fd >= 0 && count)
        raw->platform->ops->send(raw->platform, fd, bytes, count, 0);
}

static void send_to(struct raw *raw, int fd, union tapsi_addr *to, const void *bytes, size_t count)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, count};
    struct msghdr m = {.msg_name = to, .msg_namelen = tapsi_addr_length(to), .msg_iov = &iov, .msg_iovlen = 1};
    raw->platform->ops->sendmsg(raw->platform, fd, &m, 0);
}

void raw_reply(struct raw *raw, const void *bytes, size_t count)
{
    if (raw->datagrams >= 0 && raw->last.sa.sa_family != AF_UNSPEC)
        send_to(raw, raw->datagrams, &raw->last, bytes, count);
}

void raw_datagram(struct raw *raw, const char *address, uint16_t port, const void *bytes, size_t count)
{
    union tapsi_addr to = address_of(address, port);
    int fd = raw->platform->ops->socket(raw->platform, to.sa.sa_family, SOCK_DGRAM, 0);
    if (fd < 0)
        return;
    send_to(raw, fd, &to, bytes, count);
    raw->platform->ops->close(raw->platform, fd);
}

void raw_end(struct raw *raw, unsigned which)
{
    int fd = *socket_of(raw, which);
    if (fd >= 0)
        raw->platform->ops->shutdown(raw->platform, fd, SHUT_WR);
}

void raw_close(struct raw *raw, unsigned which, bool reset)
{
    int *fd = socket_of(raw, which);
    struct linger linger = {.l_onoff = 1};
    if (*fd < 0)
        return;
    if (reset)
        raw->platform->ops->setsockopt(raw->platform, *fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    raw->platform->ops->close(raw->platform, *fd);
    *fd = -1;
}

void raw_done(struct raw *raw)
{
    if (!raw->platform)
        return;
    for (unsigned i = 0; i < raw->count; i++)
        raw_close(raw, i, true);
    if (raw->listener >= 0)
        raw->platform->ops->close(raw->platform, raw->listener);
    if (raw->datagrams >= 0)
        raw->platform->ops->close(raw->platform, raw->datagrams);
    raw->platform->ops->destroy(raw->platform);
    raw->platform = NULL;
}
