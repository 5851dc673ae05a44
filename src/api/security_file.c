#include "api/security_file.h"

#include <stdio.h>
#include <string.h>

#define FILE_STEP 4096

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

/* Reads to the end or to one byte beyond the cap: sizes of pipes and devices are not known before. */
static int read_stream(FILE *file, struct tapsi_bytes *bytes)
{
    size_t capacity = 0, count;
    do {
        if (bytes->length == capacity) {
            capacity = capacity ? 2 * capacity : FILE_STEP;
            int err = grow_file(bytes, capacity);
            if (err)
                return err;
        }
        count = fread(bytes->data + bytes->length, 1, capacity - bytes->length, file);
        bytes->length += count;
    } while (count && bytes->length <= TAPSI_PEM_MAX);
    if (ferror(file))
        return TAPS_E_SYSTEM;
    return bytes->length > TAPSI_PEM_MAX ? TAPS_E_RANGE : 0;
}

static int read_file(const char *path, struct tapsi_bytes *ret)
{
    struct tapsi_bytes bytes = {0};
    FILE *file = fopen(path, "rbe");
    if (!file)
        return TAPS_E_SYSTEM;
    setvbuf(file, NULL, _IONBF, 0); /* no second copy of a key in a buffer of stdio's */
    int err = read_stream(file, &bytes);
    fclose(file);
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
