#include "stack/framer/framer.h"

#include <string.h>

struct taps_framer *tapsi_framer_new(struct tapsi_mem *mem, const struct taps_framer_definition *definition)
{
    struct taps_framer *framer = tapsi_zalloc(mem, sizeof(*framer) + definition->options_size);
    if (!framer)
        return NULL;
    framer->mem = mem;
    framer->refs = 1;
    framer->definition = definition;
    if (definition->defaults)
        definition->defaults(framer->options);
    return framer;
}

struct taps_framer *tapsi_framer_copy(struct tapsi_mem *mem, const struct taps_framer *framer)
{
    size_t size = sizeof(*framer) + framer->definition->options_size;
    struct taps_framer *copy = tapsi_alloc(mem, size);
    if (!copy)
        return NULL;
    memcpy(copy, framer, size);
    copy->mem = mem;
    copy->refs = 1;
    return copy;
}

struct taps_framer *tapsi_framer_ref(struct taps_framer *framer)
{
    framer->refs++;
    return framer;
}

void tapsi_framer_unref(struct taps_framer *framer)
{
    if (framer && --framer->refs == 0)
        tapsi_free(framer->mem, framer);
}

int tapsi_framers_add(struct tapsi_framers *framers, struct tapsi_mem *mem, const struct taps_framer *framer)
{
    if (framers->count == TAPSI_FRAMERS_MAX)
        return TAPS_E_RANGE;
    struct taps_framer *copy = tapsi_framer_copy(mem, framer);
    if (!copy)
        return TAPS_E_MEMORY;
    framers->items[framers->count++] = copy;
    return 0;
}

void tapsi_framers_copy(struct tapsi_framers *to, const struct tapsi_framers *from)
{
    to->count = from->count;
    for (size_t i = 0; i < from->count; i++)
        to->items[i] = tapsi_framer_ref(from->items[i]);
}

void tapsi_framers_done(struct tapsi_framers *framers)
{
    while (framers->count)
        tapsi_framer_unref(framers->items[--framers->count]);
}

bool tapsi_framers_frame(const struct tapsi_framers *framers)
{
    for (size_t i = 0; i < framers->count; i++) {
        if (!(framers->items[i]->definition->flags & (TAPS_FRAMER_TRANSPARENT | TAPS_FRAMER_BELOW_SECURITY)))
            return true;
    }
    return false;
}
