/* SPDX-License-Identifier: MIT */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK belongs to the open file description, which a terminal or pipe may share with the shell and other
   programs. So pipes and terminals are opened once more; where that is not possible, writes stay so small that a
   descriptor that polls writable takes them whole. */
void sink_init(struct sink *sink, int fd)
{
    struct stat status;
    char path[64];

    *sink = (struct sink){.fd = fd};
    if (fstat(fd, &status) < 0)
        return;
    sink->is_socket = S_ISSOCK(status.st_mode);
    sink->whole = S_ISREG(status.st_mode) || sink->is_socket;
    if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
        int mode = fcntl(fd, F_GETFL), again;

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY)
            return;
        again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (again >= 0) {
            sink->fd = again;
            sink->owned = true;
            sink->whole = true;
        }
    }
}

void sink_done(struct sink *sink)
{
    if (sink->owned)
        close(sink->fd);
}

bool sink_empty(const struct sink *sink)
{
    return sink->start == sink->end;
}

void sink_put(struct sink *sink, const void *data, size_t length)
{
    if (length > 0)
        memcpy(sink->bytes, data, length);
    sink->start = 0;
    sink->end = length;
}

void sink_add(struct sink *sink, const void *data, size_t length)
{
    if (length == 0 || length > SINK_SIZE - sink->end)
        return;
    memcpy(sink->bytes + sink->end, data, length);
    sink->end += length;
}

int sink_write(struct sink *sink)
{
    size_t length = sink->end - sink->start;
    const unsigned char *at = sink->bytes + sink->start;
    ssize_t count;

    if (length == 0)
        return 0;
    if (!sink->whole && length > PIPE_BUF)
        length = PIPE_BUF;
    if (sink->is_socket)
        count = send(sink->fd, at, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        count = write(sink->fd, at, length);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : errno;
    sink->start += (size_t)count;
    return 0;
}
