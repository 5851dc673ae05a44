#include "wire.h"

#include <netinet/in.h>
#include <string.h>
#include "connection/context.h"

#define MULTIPATH 262 /* IPPROTO_MPTCP */

static struct wire *active;
static struct tapsi_platform_ops ops;

static void note(const void *bytes, size_t count)
{
    size_t room = sizeof(active->bytes) - active->length, n = count < room ? count : room;
    if (n)
        memcpy(active->bytes + active->length, bytes, n);
    active->length += n;
}

static void note_message(const struct msghdr *message, size_t count)
{
    for (size_t i = 0; i < message->msg_iovlen && count; i++) {
        size_t n = message->msg_iov[i].iov_len < count ? message->msg_iov[i].iov_len : count;
        note(message->msg_iov[i].iov_base, n);
        count -= n;
    }
}

static int on_socket(struct tapsi_platform *p, int family, int type, int protocol)
{
    *((type & 0xf) == SOCK_STREAM ? &active->streams : &active->datagrams) += 1;
    active->multipath += protocol == MULTIPATH;
    return active->real->socket(p, family, type, protocol);
}

static ssize_t on_send(struct tapsi_platform *p, int fd, const void *bytes, size_t count, int flags)
{
    ssize_t sent = active->real->send(p, fd, bytes, count, flags);
    if (sent > 0)
        note(bytes, (size_t)sent);
    return sent;
}

static ssize_t on_sendto(struct tapsi_platform *p, int fd, const void *bytes, size_t count, const union tapsi_addr *to)
{
    ssize_t sent = active->real->sendto(p, fd, bytes, count, to);
    if (sent > 0)
        note(bytes, (size_t)sent);
    return sent;
}

static ssize_t on_sendmsg(struct tapsi_platform *p, int fd, const struct msghdr *message, int flags)
{
    ssize_t sent = active->real->sendmsg(p, fd, message, flags);
    if (sent > 0)
        note_message(message, (size_t)sent);
    return sent;
}

static int on_sendmmsg(struct tapsi_platform *p, int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    int sent = active->real->sendmmsg(p, fd, messages, count, flags);
    for (int i = 0; i < sent; i++)
        note_message(&messages[i].msg_hdr, messages[i].msg_len);
    return sent;
}

static int on_setsockopt(struct tapsi_platform *p, int fd, int level, int option, const void *value, socklen_t length)
{
    if (level == SOL_SOCKET && option == SO_BINDTODEVICE && active->device_count < 8 && length <= 16)
        memcpy(active->devices[active->device_count++], value, length);
    else if (length == sizeof(int) && active->option_count < 256)
        active->options[active->option_count++] = (struct wire_option){level, option, *(const int *)value};
    return active->real->setsockopt(p, fd, level, option, value, length);
}

void wire_tap(struct wire *wire, taps_context *context)
{
    memset(wire, 0, sizeof(*wire));
    if (!context)
        return;
    struct tapsi_platform *platform = context->loop.platform;
    wire->real = platform->ops;
    active = wire;
    ops = *platform->ops;
    ops.socket = on_socket;
    ops.send = on_send;
    ops.sendmsg = on_sendmsg;
    ops.sendmmsg = on_sendmmsg;
    ops.setsockopt = on_setsockopt;
    if (ops.sendto)
        ops.sendto = on_sendto;
    platform->ops = &ops;
}

bool wire_has(const struct wire *wire, const void *bytes, size_t count)
{
    return memmem(wire->bytes, wire->length, bytes, count) != NULL;
}

bool wire_has_text(const struct wire *wire, const char *text)
{
    return wire_has(wire, text, strlen(text));
}

bool wire_set(const struct wire *wire, int level, int option, int value)
{
    for (unsigned i = 0; i < wire->option_count; i++) {
        const struct wire_option *o = &wire->options[i];
        if (o->level == level && o->option == option && o->value == value)
            return true;
    }
    return false;
}

bool wire_bound(const struct wire *wire, const char *device)
{
    for (unsigned i = 0; i < wire->device_count; i++) {
        if (strcmp(wire->devices[i], device) == 0)
            return true;
    }
    return false;
}
