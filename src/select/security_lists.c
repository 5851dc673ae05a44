#include "select/security_lists.h"

#include <string.h>
#include "base/str.h"

void tapsi_bytes_free(struct tapsi_mem *mem, struct tapsi_bytes *bytes)
{
    if (bytes->data)
        explicit_bzero(bytes->data, bytes->length);
    tapsi_free(mem, bytes->data);
    *bytes = (struct tapsi_bytes){0};
}

int tapsi_bytes_copy(struct tapsi_mem *mem, const void *from, size_t length, struct tapsi_bytes *ret)
{
    uint8_t *data = tapsi_alloc(mem, length + 1);
    if (!data)
        return TAPS_E_MEMORY;
    memcpy(data, from, length);
    data[length] = 0;
    *ret = (struct tapsi_bytes){data, length};
    return 0;
}

void tapsi_bytes_free_list(struct tapsi_mem *mem, struct tapsi_bytes *list, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        tapsi_bytes_free(mem, &list[i]);
    *count = 0;
}

static void free_certificate(struct tapsi_mem *mem, struct tapsi_certificate *certificate)
{
    tapsi_bytes_free(mem, &certificate->chain);
    tapsi_bytes_free(mem, &certificate->key);
    tapsi_bytes_free(mem, &certificate->password);
}

void tapsi_certificates_free(struct tapsi_mem *mem, struct tapsi_certificate *list, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        free_certificate(mem, &list[i]);
    *count = 0;
}

void tapsi_names_free(struct tapsi_mem *mem, struct tapsi_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        tapsi_free(mem, names->names[i]);
    names->count = 0;
}

/* ------------------------------------------------------------------------------------------------ appending */

int tapsi_bytes_append(struct tapsi_mem *mem, struct tapsi_bytes *list, size_t *count, const void *data, size_t length)
{
    if (*count == TAPSI_SECURITY_LIST_MAX)
        return TAPS_E_RANGE;
    int err = tapsi_bytes_copy(mem, data, length, &list[*count]);
    if (!err)
        ++*count;
    return err;
}

/* Or nothing, of nothing. */
static int copy_some(struct tapsi_mem *mem, const struct tapsi_bytes *from, struct tapsi_bytes *to)
{
    return from->data ? tapsi_bytes_copy(mem, from->data, from->length, to) : 0;
}

int tapsi_certificates_append(struct tapsi_mem *mem, struct tapsi_certificate *list, size_t *count,
                              const struct tapsi_certificate *from)
{
    struct tapsi_certificate next = *from;
    if (*count == TAPSI_SECURITY_LIST_MAX)
        return TAPS_E_RANGE;
    next.chain = next.key = next.password = (struct tapsi_bytes){0};
    int err = tapsi_bytes_copy(mem, from->chain.data, from->chain.length, &next.chain);
    if (!err)
        err = copy_some(mem, &from->key, &next.key);
    if (!err)
        err = copy_some(mem, &from->password, &next.password);
    if (err)
        free_certificate(mem, &next);
    else
        list[(*count)++] = next;
    return err;
}

int tapsi_names_append(struct tapsi_mem *mem, struct tapsi_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->names[i], name) == 0)
            return 0;
    }
    if (names->count == TAPSI_SECURITY_LIST_MAX)
        return TAPS_E_RANGE;
    char *copy = tapsi_strdup(mem, name);
    if (!copy)
        return TAPS_E_MEMORY;
    names->names[names->count++] = copy;
    return 0;
}

/* -------------------------------------------------------------------------------------------------- copying */

int tapsi_bytes_copy_list(struct tapsi_mem *mem, struct tapsi_bytes *to, size_t *to_count,
                          const struct tapsi_bytes *from, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = tapsi_bytes_append(mem, to, to_count, from[i].data, from[i].length);
    return err;
}

int tapsi_certificates_copy(struct tapsi_mem *mem, struct tapsi_certificate *to, size_t *to_count,
                            const struct tapsi_certificate *from, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = tapsi_certificates_append(mem, to, to_count, &from[i]);
    return err;
}

int tapsi_names_copy(struct tapsi_mem *mem, struct tapsi_names *to, const struct tapsi_names *from)
{
    int err = 0;
    for (size_t i = 0; i < from->count && !err; i++)
        err = tapsi_names_append(mem, to, from->names[i]);
    return err;
}

/* -------------------------------------------------------------------------------------------- pre-shared keys */

void tapsi_psks_free(struct tapsi_mem *mem, struct tapsi_psk *list, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        tapsi_bytes_free(mem, &list[i].identity);
        tapsi_bytes_free(mem, &list[i].key);
    }
    *count = 0;
}

static struct tapsi_psk *find_psk(struct tapsi_psk *list, size_t count, const struct tapsi_bytes *identity)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].identity.length == identity->length &&
            memcmp(list[i].identity.data, identity->data, identity->length) == 0)
            return &list[i];
    }
    return NULL;
}

int tapsi_psks_append(struct tapsi_mem *mem, struct tapsi_psk *list, size_t *count, const struct tapsi_psk *from)
{
    struct tapsi_psk next = {{0}, {0}}, *old = find_psk(list, *count, &from->identity);
    if (!old && *count == TAPSI_SECURITY_LIST_MAX)
        return TAPS_E_RANGE;
    int err = tapsi_bytes_copy(mem, from->key.data, from->key.length, &next.key);
    if (err)
        return err;
    if (old) {
        tapsi_bytes_free(mem, &old->key);
        old->key = next.key;
        return 0;
    }
    err = tapsi_bytes_copy(mem, from->identity.data, from->identity.length, &next.identity);
    if (err)
        tapsi_bytes_free(mem, &next.key);
    else
        list[(*count)++] = next;
    return err;
}

int tapsi_psks_copy(struct tapsi_mem *mem, struct tapsi_psk *to, size_t *to_count, const struct tapsi_psk *from,
                    size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = tapsi_psks_append(mem, to, to_count, &from[i]);
    return err;
}
