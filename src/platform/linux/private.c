/* Files of secrets: the user's own, which nobody else can read or change. */
#include "platform/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/str.h"

#define STEP_MS 5

/* -EPERM: somebody else could have written it, or can read it. */
static int check_owner(int fd, size_t max, size_t *ret_size)
{
    struct stat s;
    if (fstat(fd, &s))
        return -errno;
    if (!S_ISREG(s.st_mode) || s.st_uid != geteuid() || s.st_mode & (S_IRWXG | S_IRWXO))
        return -EPERM;
    if ((uint64_t)s.st_size > max)
        return -EFBIG;
    *ret_size = (size_t)s.st_size;
    return 0;
}

/* All at once, so that no copies are left behind; a file that shrinks meanwhile is shorter. */
static int read_whole(int fd, uint8_t *bytes, size_t size, size_t *ret_length)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = read(fd, bytes + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *ret_length = length;
    return 0;
}

int tapsi_linux_load_private(struct tapsi_platform *p, const char *path, size_t max, uint8_t **ret, size_t *ret_length)
{
    size_t size = 0, length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (fd < 0)
        return errno == ELOOP ? -EPERM : -errno;
    int err = check_owner(fd, max, &size);
    uint8_t *bytes = err ? NULL : tapsi_alloc(p->mem, size ? size : 1);
    if (!err)
        err = bytes ? read_whole(fd, bytes, size, &length) : -ENOMEM;
    close(fd);
    if (err) {
        tapsi_free(p->mem, bytes);
        return err;
    }
    *ret = bytes;
    *ret_length = length;
    return 0;
}

static int write_whole(int fd, const uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t sent = write(fd, bytes, length);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 0;
}

/* Under the lock there is one writer, so a temporary file that is there was left by one that died. */
int tapsi_linux_store_private(struct tapsi_platform *p, const char *path, const void *bytes, size_t length)
{
    char temporary[PATH_MAX];
    (void)p;
    if (tapsi_format(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary) - 1)
        return -ENAMETOOLONG;
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return -errno;
    int err = write_whole(fd, bytes, length);
    if (close(fd) && !err)
        err = -errno;
    if (!err && rename(temporary, path))
        err = -errno;
    if (err)
        unlink(temporary);
    return err;
}

int tapsi_linux_lock_private(struct tapsi_platform *p, const char *path, unsigned wait_ms)
{
    char name[PATH_MAX];
    (void)p;
    if (tapsi_format(name, sizeof(name), "%s.lock", path) >= sizeof(name) - 1)
        return -ENAMETOOLONG;
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return -errno;
    for (unsigned waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += STEP_MS) {
        int err = errno;
        if (err != EINTR && (err != EWOULDBLOCK || waited >= wait_ms)) {
            close(fd);
            return -err;
        }
        nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
    }
    return fd;
}

void tapsi_linux_unlock_private(struct tapsi_platform *p, int lock)
{
    (void)p;
    close(lock);
}
