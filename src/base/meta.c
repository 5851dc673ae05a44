#include "base/meta.h"

#include <stdatomic.h>
#include <string.h>

/* The texts one behind the other, each with its terminator: namespace, key, value. */
struct tapsi_meta {
    struct tapsi_mem *mem;
    atomic_uint refs;
    size_t used, capacity;
    char text[];
};

#define FIRST_CAPACITY 120

struct tapsi_meta *tapsi_meta_ref(struct tapsi_meta *meta)
{
    if (meta)
        atomic_fetch_add_explicit(&meta->refs, 1, memory_order_relaxed);
    return meta;
}

void tapsi_meta_unref(struct tapsi_meta *meta)
{
    if (meta && atomic_fetch_sub_explicit(&meta->refs, 1, memory_order_acq_rel) == 1)
        tapsi_free(meta->mem, meta);
}

static struct tapsi_meta *make(struct tapsi_mem *mem, size_t capacity)
{
    struct tapsi_meta *meta = tapsi_alloc(mem, sizeof(*meta) + capacity);
    if (!meta)
        return NULL;
    meta->mem = mem;
    atomic_init(&meta->refs, 1);
    meta->used = 0;
    meta->capacity = capacity;
    return meta;
}

static struct tapsi_meta *copy_with(const struct tapsi_meta *meta, struct tapsi_mem *mem, size_t capacity)
{
    struct tapsi_meta *copy = make(mem, capacity);
    if (copy) {
        memcpy(copy->text, meta->text, meta->used);
        copy->used = meta->used;
    }
    return copy;
}

struct tapsi_meta *tapsi_meta_copy(const struct tapsi_meta *meta, struct tapsi_mem *mem)
{
    return copy_with(meta, mem, meta->used);
}

/* One that is the caller's alone, with room for `more` bytes. */
static struct tapsi_meta *writable(struct tapsi_meta *old, struct tapsi_mem *mem, size_t more)
{
    size_t used = old ? old->used : 0, capacity = old ? old->capacity : FIRST_CAPACITY;
    bool own = old && atomic_load_explicit(&old->refs, memory_order_acquire) == 1;
    if (own && old->capacity - used >= more)
        return old;
    while (capacity - used < more)
        capacity *= 2;
    struct tapsi_meta *grown = old ? copy_with(old, mem, capacity) : make(mem, capacity);
    if (grown)
        tapsi_meta_unref(old);
    return grown;
}

static void append(struct tapsi_meta *meta, const char *text, size_t size)
{
    memcpy(meta->text + meta->used, text, size);
    meta->used += size;
}

int tapsi_meta_add(struct tapsi_meta **meta, struct tapsi_mem *mem, const char *space, const char *key,
                   const char *value)
{
    size_t sizes[] = {strlen(space) + 1, strlen(key) + 1, strlen(value) + 1};
    size_t used = *meta ? (*meta)->used : 0;
    if (sizes[0] > TAPSI_META_MAX || sizes[1] > TAPSI_META_MAX || sizes[2] > TAPSI_META_MAX ||
        used + sizes[0] + sizes[1] + sizes[2] > TAPSI_META_MAX)
        return TAPS_E_RANGE;
    struct tapsi_meta *to = writable(*meta, mem, sizes[0] + sizes[1] + sizes[2]);
    if (!to)
        return TAPS_E_MEMORY;
    append(to, space, sizes[0]);
    append(to, key, sizes[1]);
    append(to, value, sizes[2]);
    *meta = to;
    return 0;
}

size_t tapsi_meta_size(const struct tapsi_meta *meta)
{
    return meta ? sizeof(*meta) + meta->capacity : 0;
}

static const char *after(const char *text)
{
    return text + strlen(text) + 1;
}

bool tapsi_meta_at(const struct tapsi_meta *meta, const char *space, size_t index, const char **ret_space,
                   const char **ret_key, const char **ret_value)
{
    const char *at = meta ? meta->text : NULL, *end = meta ? meta->text + meta->used : NULL;
    while (at != end) {
        const char *key = after(at), *value = after(key);
        if ((!space || strcmp(space, at) == 0) && index-- == 0) {
            *ret_space = at;
            *ret_key = key;
            *ret_value = value;
            return true;
        }
        at = after(value);
    }
    return false;
}

bool tapsi_meta_is_one(const struct tapsi_meta *meta)
{
    return meta && meta->used && after(after(after(meta->text))) == meta->text + meta->used;
}

const char *tapsi_meta_get(const struct tapsi_meta *meta, const char *space, const char *key)
{
    const char *own, *found, *value;
    for (size_t i = 0; tapsi_meta_at(meta, space, i, &own, &found, &value); i++) {
        if (strcmp(found, key) == 0)
            return value;
    }
    return NULL;
}
