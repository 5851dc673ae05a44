/* A binary min-heap of nodes embedded in their owners, ordered by `key`, equal keys in order of insertion. */
#ifndef TAPSI_BASE_HEAP_H
#define TAPSI_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>
#include "base/mem.h"

struct tapsi_heap_node {
    uint64_t key;
    uint64_t sequence;
    size_t index; /* place + 1; 0 = not in the heap */
};

struct tapsi_heap {
    struct tapsi_mem *mem;
    struct tapsi_heap_node **nodes;
    size_t count, capacity, reserved;
    uint64_t sequence;
};

void tapsi_heap_init(struct tapsi_heap *heap, struct tapsi_mem *mem);
void tapsi_heap_done(struct tapsi_heap *heap);
/* Keeps a place for one more node, so that a put of it cannot fail: 0 or TAPS_E_MEMORY. */
int tapsi_heap_reserve(struct tapsi_heap *heap);
void tapsi_heap_unreserve(struct tapsi_heap *heap);
/* Inserts, or moves when it is in already. 0 or TAPS_E_MEMORY (only for a node that is not in). */
int tapsi_heap_put(struct tapsi_heap *heap, struct tapsi_heap_node *node, uint64_t key);
/* Harmless when the node is not in. */
void tapsi_heap_remove(struct tapsi_heap *heap, struct tapsi_heap_node *node);
/* The least node, or NULL. */
struct tapsi_heap_node *tapsi_heap_first(const struct tapsi_heap *heap);

#endif
