/* Names of errors and socket options, for the trace. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include "platform/sim/socket.h"
#include "platform/sim/trace.h"

#define ERROR(name)                                                                                                    \
    {                                                                                                                  \
        name, #name                                                                                                    \
    }

static const struct {
    int err;
    const char *name;
} errors[] = {
    ERROR(EPERM),           ERROR(ENOENT),       ERROR(EINTR),        ERROR(EIO),
    ERROR(EBADF),           ERROR(EAGAIN),       ERROR(ENOMEM),       ERROR(EACCES),
    ERROR(EFAULT),          ERROR(EBUSY),        ERROR(EEXIST),       ERROR(ENODEV),
    ERROR(EINVAL),          ERROR(ENFILE),       ERROR(EMFILE),       ERROR(EFBIG),
    ERROR(ENOSPC),          ERROR(EPIPE),        ERROR(ERANGE),       ERROR(EDEADLK),
    ERROR(ENOSYS),          ERROR(EPROTO),       ERROR(EBADMSG),      ERROR(EOVERFLOW),
    ERROR(EDESTADDRREQ),    ERROR(EMSGSIZE),     ERROR(EPROTOTYPE),   ERROR(ENOPROTOOPT),
    ERROR(EPROTONOSUPPORT), ERROR(EOPNOTSUPP),   ERROR(EAFNOSUPPORT), ERROR(EADDRINUSE),
    ERROR(EADDRNOTAVAIL),   ERROR(ENETDOWN),     ERROR(ENETUNREACH),  ERROR(ENETRESET),
    ERROR(ECONNABORTED),    ERROR(ECONNRESET),   ERROR(ENOBUFS),      ERROR(EISCONN),
    ERROR(ENOTCONN),        ERROR(ESHUTDOWN),    ERROR(ETIMEDOUT),    ERROR(ECONNREFUSED),
    ERROR(EHOSTDOWN),       ERROR(EHOSTUNREACH), ERROR(EALREADY),     ERROR(EINPROGRESS),
    ERROR(ECANCELED),
};

#define OPTION(level, name)                                                                                            \
    {                                                                                                                  \
        level, name, #name                                                                                             \
    }

static const struct {
    int level, option;
    const char *name;
} options[] = {
    OPTION(SOL_SOCKET, SO_REUSEADDR),
    OPTION(SOL_SOCKET, SO_REUSEPORT),
    OPTION(SOL_SOCKET, SO_KEEPALIVE),
    OPTION(SOL_SOCKET, SO_BROADCAST),
    OPTION(SOL_SOCKET, SO_PRIORITY),
    OPTION(SOL_SOCKET, SO_SNDBUF),
    OPTION(SOL_SOCKET, SO_RCVBUF),
    OPTION(SOL_SOCKET, SO_ERROR),
    OPTION(SOL_SOCKET, SO_TYPE),
    OPTION(SOL_SOCKET, SO_DOMAIN),
    OPTION(SOL_SOCKET, SO_PROTOCOL),
    OPTION(SOL_SOCKET, SO_ACCEPTCONN),
    OPTION(SOL_SOCKET, SO_LINGER),
    OPTION(SOL_SOCKET, SO_BINDTODEVICE),
    OPTION(SOL_SOCKET, SO_BINDTOIFINDEX),
    OPTION(IPPROTO_IP, IP_TOS),
    OPTION(IPPROTO_IP, IP_TTL),
    OPTION(IPPROTO_IP, IP_RECVERR),
    OPTION(IPPROTO_IP, IP_RECVTOS),
    OPTION(IPPROTO_IP, IP_RECVTTL),
    OPTION(IPPROTO_IP, IP_PKTINFO),
    OPTION(IPPROTO_IP, IP_MTU_DISCOVER),
    OPTION(IPPROTO_IP, IP_MTU),
    OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT),
    OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
    OPTION(IPPROTO_IPV6, IPV6_TCLASS),
    OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS),
    OPTION(IPPROTO_IPV6, IPV6_RECVERR),
    OPTION(IPPROTO_IPV6, IPV6_RECVTCLASS),
    OPTION(IPPROTO_IPV6, IPV6_RECVHOPLIMIT),
    OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO),
    OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER),
    OPTION(IPPROTO_IPV6, IPV6_MTU),
    OPTION(IPPROTO_IPV6, IPV6_DONTFRAG),
    {IPPROTO_IPV6, TAPSI_SIM_IPV6_ADDR_PREFERENCES, "IPV6_ADDR_PREFERENCES"},
    OPTION(IPPROTO_UDP, UDP_SEGMENT),
    OPTION(IPPROTO_UDP, UDP_GRO),
    OPTION(IPPROTO_TCP, TCP_NODELAY),
    OPTION(IPPROTO_TCP, TCP_CORK),
    OPTION(IPPROTO_TCP, TCP_QUICKACK),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT),
    OPTION(IPPROTO_TCP, TCP_SYNCNT),
    OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
    OPTION(IPPROTO_TCP, TCP_MAXSEG),
    OPTION(IPPROTO_TCP, TCP_CONGESTION),
    OPTION(IPPROTO_TCP, TCP_INFO),
};

const char *tapsi_simname_error(int err, char *text)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].err == err)
            return errors[i].name;
    }
    snprintf(text, 32, "error %d", err);
    return text;
}

const char *tapsi_simname_option(int level, int option, char *text)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (options[i].level == level && options[i].option == option)
            return options[i].name;
    }
    snprintf(text, 32, "%d/%d", level, option);
    return text;
}
