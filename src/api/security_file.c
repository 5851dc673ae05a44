#include "api/security_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_STEP 4096
#define PIPE_WAIT 1000 /* ms for more of a pipe: somebody has it open, and writes */

/* It may hold a private key, so it is wiped. */
static void free_file(struct tapsi_bytes *bytes)
{
    if (bytes->data)
        explicit_bzero(bytes->data, bytes->length);
    tapsi_free(tapsi_mem_default(), bytes->data);
    *bytes = (struct tapsi_bytes){0};
}

/* Room for `size` bytes, and the old ones wiped, which a plain resize would leave behind. */
static int grow_file(struct tapsi_bytes *bytes, size_t size)
{
    struct tapsi_bytes next = {tapsi_alloc(tapsi_mem_default(), size), bytes->length};
    if (!next.data)
        return TAPS_E_MEMORY;
    if (bytes->length)
        memcpy(next.data, bytes->data, bytes->length);
    free_file(bytes);
    *bytes = next;
    return 0;
}

/* Of a pipe that somebody has open the rest may be still to come. */
static ssize_t read_some(int fd, uint8_t *to, size_t room)
{
    for (;;) {
        ssize_t count = read(fd, to, room);
        if (count >= 0)
            return count;
        if (errno == EAGAIN && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, PIPE_WAIT) == 0)
            return -1;
        if (errno != EAGAIN && errno != EINTR)
            return -1;
    }
}

/* Reads to the end or to one byte beyond the cap: sizes of pipes and devices are not known before. */
static int read_all(int fd, struct tapsi_bytes *bytes)
{
    size_t capacity = 0;
    ssize_t count;
    do {
        if (bytes->length == capacity) {
            capacity = capacity ? 2 * capacity : FILE_STEP;
            int err = grow_file(bytes, capacity);
            if (err)
                return err;
        }
        count = read_some(fd, bytes->data + bytes->length, capacity - bytes->length);
        if (count < 0)
            return TAPS_E_SYSTEM;
        bytes->length += (size_t)count;
    } while (count && bytes->length <= TAPSI_PEM_MAX);
    return bytes->length > TAPSI_PEM_MAX ? TAPS_E_RANGE : 0;
}

/* Not blocking: a fifo that nobody writes to would keep the caller for ever. It reads as empty. */
static int read_file(const char *path, struct tapsi_bytes *ret)
{
    struct tapsi_bytes bytes = {0};
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return TAPS_E_SYSTEM;
    int err = fstat(fd, &s) == 0 ? read_all(fd, &bytes) : TAPS_E_SYSTEM;
    if (!err && bytes.length == 0 && S_ISFIFO(s.st_mode))
        err = TAPS_E_SYSTEM;
    close(fd);
    if (err)
        free_file(&bytes);
    else
        *ret = bytes;
    return err;
}

int tapsi_security_add_file(struct tapsi_security *s, const char *path, tapsi_add_pem add)
{
    struct tapsi_bytes pem;
    int err = read_file(path, &pem);
    if (err)
        return err;
    err = add(s, pem.data, pem.length);
    free_file(&pem);
    return err;
}

/* Or, of a URI, the URI itself. */
static int read_text(const char *path, struct tapsi_bytes *ret)
{
    if (strncmp(path, "pkcs11:", 7) != 0)
        return read_file(path, ret);
    size_t length = strlen(path);
    struct tapsi_bytes bytes = {tapsi_alloc(tapsi_mem_default(), length + 1), length};
    if (!bytes.data)
        return TAPS_E_MEMORY;
    memcpy(bytes.data, path, length + 1);
    *ret = bytes;
    return 0;
}

int tapsi_security_add_files(struct tapsi_security *s, const char *certificate_path, const char *key_path,
                             tapsi_add_pair add)
{
    struct tapsi_bytes certificate, key;
    int err = read_text(certificate_path, &certificate);
    if (err)
        return err;
    err = read_text(key_path, &key);
    if (!err) {
        err = add(s, certificate.data, certificate.length, key.data, key.length);
        free_file(&key);
    }
    free_file(&certificate);
    return err;
}
