#include "base/heap.h"

#include <assert.h>

void tapsi_heap_init(struct tapsi_heap *heap, struct tapsi_mem *mem)
{
    *heap = (struct tapsi_heap){.mem = mem};
}

void tapsi_heap_done(struct tapsi_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++)
        heap->nodes[i]->index = 0;
    tapsi_free(heap->mem, heap->nodes);
    *heap = (struct tapsi_heap){.mem = heap->mem};
}

int tapsi_heap_reserve(struct tapsi_heap *heap)
{
    if (tapsi_grow(heap->mem, &heap->nodes, &heap->capacity, heap->reserved, sizeof(*heap->nodes)))
        return TAPS_E_MEMORY;
    heap->reserved++;
    return 0;
}

void tapsi_heap_unreserve(struct tapsi_heap *heap)
{
    assert(heap->reserved > 0);
    heap->reserved--;
}

static bool before(const struct tapsi_heap_node *a, const struct tapsi_heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

static void place(struct tapsi_heap *heap, size_t at, struct tapsi_heap_node *node)
{
    heap->nodes[at] = node;
    node->index = at + 1;
}

static void rise(struct tapsi_heap *heap, size_t at, struct tapsi_heap_node *node)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!before(node, heap->nodes[parent]))
            break;
        place(heap, at, heap->nodes[parent]);
        at = parent;
    }
    place(heap, at, node);
}

static void sink(struct tapsi_heap *heap, size_t at, struct tapsi_heap_node *node)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (!before(heap->nodes[child], node))
            break;
        place(heap, at, heap->nodes[child]);
        at = child;
    }
    place(heap, at, node);
}

static void settle(struct tapsi_heap *heap, size_t at, struct tapsi_heap_node *node)
{
    if (at > 0 && before(node, heap->nodes[(at - 1) / 2])) {
        rise(heap, at, node);
    } else {
        sink(heap, at, node);
    }
}

int tapsi_heap_put(struct tapsi_heap *heap, struct tapsi_heap_node *node, uint64_t key)
{
    if (node->index == 0) {
        if (tapsi_grow(heap->mem, &heap->nodes, &heap->capacity, heap->count, sizeof(*heap->nodes)))
            return TAPS_E_MEMORY;
        node->index = ++heap->count;
    }
    assert(node->index <= heap->count);
    node->key = key;
    node->sequence = ++heap->sequence;
    settle(heap, node->index - 1, node);
    return 0;
}

void tapsi_heap_remove(struct tapsi_heap *heap, struct tapsi_heap_node *node)
{
    if (node->index == 0)
        return;
    size_t at = node->index - 1;
    assert(at < heap->count && heap->nodes[at] == node);
    node->index = 0;
    struct tapsi_heap_node *last = heap->nodes[--heap->count];
    if (last != node)
        settle(heap, at, last);
}

struct tapsi_heap_node *tapsi_heap_first(const struct tapsi_heap *heap)
{
    return heap->count ? heap->nodes[0] : NULL;
}
