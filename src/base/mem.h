/* Memory: everything the library allocates comes from one of these, and every block is given back to the same one. */
#ifndef TAPSI_BASE_MEM_H
#define TAPSI_BASE_MEM_H

#include <stddef.h>
#include <taps/taps.h>

struct tapsi_mem {
    struct taps_allocator allocator;
};

/* `allocator` NULL means the C library's. */
void tapsi_mem_init(struct tapsi_mem *mem, const struct taps_allocator *allocator);
/* The C library's, for values that belong to no context (endpoints, properties ...). One for the process, never
 * written. */
struct tapsi_mem *tapsi_mem_default(void);
/* NULL when there is no memory. Sizes of 0 are rounded up to 1. */
void *tapsi_alloc(struct tapsi_mem *mem, size_t size);
void *tapsi_zalloc(struct tapsi_mem *mem, size_t size);
/* Grows or shrinks; on failure returns NULL and leaves the old block alone. */
void *tapsi_resize(struct tapsi_mem *mem, void *block, size_t size);
/* NULL is allowed. */
void tapsi_free(struct tapsi_mem *mem, void *block);
char *tapsi_strdup(struct tapsi_mem *mem, const char *text);
char *tapsi_strndup(struct tapsi_mem *mem, const char *text, size_t length);
/* An array of `count` elements, zeroed; NULL on overflow too. */
void *tapsi_calloc(struct tapsi_mem *mem, size_t count, size_t size);
/* Makes room for one more element in a growing array: doubles `*capacity`, 0 or TAPS_E_MEMORY. */
int tapsi_grow(struct tapsi_mem *mem, void *array_pointer, size_t *capacity, size_t count, size_t size);

#endif
