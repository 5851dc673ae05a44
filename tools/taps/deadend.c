/* SPDX-License-Identifier: MIT */
#include "deadend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { SILENCE_MS = 30 };

static socklen_t make_address(const char *text, uint16_t port, struct sockaddr_storage *address)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return inet_pton(AF_INET, text, &v4->sin_addr) == 1 ? sizeof *v4 : 0;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

void deadend_init(struct deadend *deadend)
{
    *deadend = (struct deadend){.listener = -1};
}

void deadend_done(struct deadend *deadend)
{
    for (size_t i = 0; i < deadend->filler_count; i++)
        close(deadend->fillers[i]);
    if (deadend->listener >= 0)
        close(deadend->listener);
    deadend_init(deadend);
}

static int open_bound(struct deadend *deadend, struct sockaddr_storage *address, socklen_t *length)
{
    deadend->listener = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (deadend->listener < 0)
        return errno;
    if (bind(deadend->listener, (struct sockaddr *)address, *length) < 0)
        return errno;
    return getsockname(deadend->listener, (struct sockaddr *)address, length) < 0 ? errno : 0;
}

/* 1 if it was answered, 0 if not, or a negative errno. */
static int is_answered(struct deadend *deadend, const struct sockaddr_storage *address, socklen_t length)
{
    struct pollfd waiting = {.events = POLLOUT};

    waiting.fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (waiting.fd < 0)
        return -errno;
    deadend->fillers[deadend->filler_count++] = waiting.fd;
    if (connect(waiting.fd, (const struct sockaddr *)address, length) == 0)
        return 1;
    if (errno != EINPROGRESS)
        return -errno;
    return poll(&waiting, 1, SILENCE_MS);
}

int deadend_black_hole(struct deadend *deadend, const char *text, uint16_t *ret_port)
{
    struct sockaddr_storage address;
    socklen_t length = make_address(text, 0, &address);
    int error = length ? open_bound(deadend, &address, &length) : EINVAL;

    if (!error && listen(deadend->listener, 0) < 0)
        error = errno;
    while (!error) {
        int answered = deadend->filler_count < DEADEND_FILLERS ? is_answered(deadend, &address, length) : -ENOTSUP;

        if (answered == 0)
            break;
        if (answered < 0)
            error = -answered;
    }
    if (error)
        deadend_done(deadend);
    else
        *ret_port = port_of(&address);
    return error;
}

int deadend_refuse(struct deadend *deadend, const char *text, uint16_t port)
{
    struct sockaddr_storage address;
    socklen_t length = make_address(text, port, &address);
    int error = length ? open_bound(deadend, &address, &length) : EINVAL;

    if (error)
        deadend_done(deadend);
    return error;
}
