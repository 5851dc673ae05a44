#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void *libc_resize(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

void tapsi_mem_init(struct tapsi_mem *mem, const struct taps_allocator *allocator)
{
    if (allocator) {
        mem->allocator = *allocator;
    } else {
        mem->allocator = (struct taps_allocator){.resize = libc_resize};
    }
}

struct tapsi_mem *tapsi_mem_default(void)
{
    static struct tapsi_mem mem = {.allocator = {.resize = libc_resize}};
    return &mem;
}

void *tapsi_resize(struct tapsi_mem *mem, void *block, size_t size)
{
    return mem->allocator.resize(mem->allocator.user, block, size ? size : 1);
}

void *tapsi_alloc(struct tapsi_mem *mem, size_t size)
{
    return tapsi_resize(mem, NULL, size);
}

void *tapsi_zalloc(struct tapsi_mem *mem, size_t size)
{
    void *block = tapsi_alloc(mem, size);
    if (block)
        memset(block, 0, size);
    return block;
}

void tapsi_free(struct tapsi_mem *mem, void *block)
{
    if (block)
        mem->allocator.resize(mem->allocator.user, block, 0);
}

char *tapsi_strndup(struct tapsi_mem *mem, const char *text, size_t length)
{
    size_t n = strnlen(text, length);
    char *copy = tapsi_alloc(mem, n + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

char *tapsi_strdup(struct tapsi_mem *mem, const char *text)
{
    return tapsi_strndup(mem, text, strlen(text));
}

void *tapsi_calloc(struct tapsi_mem *mem, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return tapsi_zalloc(mem, total);
}

int tapsi_grow(struct tapsi_mem *mem, void *array_pointer, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return 0;

    size_t wanted, total;
    if (__builtin_mul_overflow(*capacity, (size_t)2, &wanted))
        return TAPS_E_MEMORY;
    if (wanted < 8)
        wanted = 8;
    if (wanted <= count)
        wanted = count + 1;
    if (wanted == 0 || __builtin_mul_overflow(wanted, size, &total))
        return TAPS_E_MEMORY;

    /* Any `T **` comes here as `void *`, so the pointer itself is moved as bytes: no aliasing between pointer types. */
    void *array;
    memcpy(&array, array_pointer, sizeof(array));
    array = tapsi_resize(mem, array, total);
    if (!array)
        return TAPS_E_MEMORY;
    memcpy(array_pointer, &array, sizeof(array));
    *capacity = wanted;
    return 0;
}
