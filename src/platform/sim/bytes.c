/* Bytes in order, and copying between flat memory and an iovec. */
#include <errno.h>
#include <string.h>
#include "platform/sim/socket.h"

int tapsi_simbytes_add(struct tapsi_simbytes *b, struct tapsi_mem *mem, const void *data, size_t count)
{
    if (b->start + b->length + count > b->capacity && b->length + count <= b->capacity) {
        memmove(b->data, b->data + b->start, b->length);
        b->start = 0;
    } else if (b->start + b->length + count > b->capacity) {
        size_t capacity = 2 * (b->start + b->length + count);
        uint8_t *bigger = tapsi_resize(mem, b->data, capacity);
        if (!bigger)
            return -ENOMEM;
        b->data = bigger;
        b->capacity = capacity;
    }
    if (count)
        memcpy(b->data + b->start + b->length, data, count);
    b->length += count;
    return 0;
}

void tapsi_simbytes_drop(struct tapsi_simbytes *b, size_t count)
{
    b->length -= count;
    b->start = b->length ? b->start + count : 0;
}

void tapsi_simbytes_done(struct tapsi_simbytes *b, struct tapsi_mem *mem)
{
    tapsi_free(mem, b->data);
    *b = (struct tapsi_simbytes){0};
}

size_t tapsi_simbytes_scatter(const struct iovec *iov, size_t count, const void *data, size_t length)
{
    size_t done = 0;
    for (size_t i = 0; i < count && done < length; i++) {
        size_t n = iov[i].iov_len < length - done ? iov[i].iov_len : length - done;
        if (n)
            memcpy(iov[i].iov_base, (const uint8_t *)data + done, n);
        done += n;
    }
    return done;
}

size_t tapsi_simbytes_gather(const struct iovec *iov, size_t count, void *data, size_t size)
{
    size_t done = 0;
    for (size_t i = 0; i < count && done < size; i++) {
        size_t n = iov[i].iov_len < size - done ? iov[i].iov_len : size - done;
        if (n)
            memcpy((uint8_t *)data + done, iov[i].iov_base, n);
        done += n;
    }
    return done;
}

size_t tapsi_simbytes_total(const struct iovec *iov, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}
