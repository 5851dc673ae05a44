#include "platform/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/str.h"

static int read_all(int fd, size_t max, struct tapsi_str *text)
{
    char piece[4096];
    for (;;) {
        ssize_t got = read(fd, piece, sizeof(piece));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        if ((size_t)got > max - text->length)
            return -EFBIG;
        tapsi_str_add_bytes(text, piece, (size_t)got);
        if (text->failed)
            return -ENOMEM;
    }
}

int tapsi_linux_read_file(struct tapsi_platform *p, const char *path, size_t max, char **ret_text, size_t *ret_length)
{
    /* Non-blocking, so that a path that names a fifo cannot hang the caller. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    struct tapsi_str text;
    tapsi_str_init(&text, p->mem);
    int err = read_all(fd, max, &text);
    size_t length = text.length;
    char *whole = NULL;
    if (!err) {
        whole = tapsi_str_take(&text);
        err = whole ? 0 : -ENOMEM;
    }
    tapsi_str_done(&text);
    close(fd);
    if (err)
        return err;
    *ret_text = whole;
    *ret_length = length;
    return 0;
}
