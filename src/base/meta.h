/*
 * Metadata: text by key, in namespaces, in the order added. Ref-counted and shared: whoever adds to one that others
 * hold gets a copy. The count is atomic, since a message context may be used by one thread while a Message that was
 * sent with it is under way in another.
 */
#ifndef TAPSI_BASE_META_H
#define TAPSI_BASE_META_H

#include "base/mem.h"

#define TAPSI_META_MAX ((size_t)1024 * 1024) /* bytes of all texts of one */

#define TAPSI_META_OWN     "" /* a namespace that no Framer has: the library's own notes */
#define TAPSI_META_REFUSAL "refused"

struct tapsi_meta;

struct tapsi_meta *tapsi_meta_ref(struct tapsi_meta *meta); /* NULL is allowed */
void tapsi_meta_unref(struct tapsi_meta *meta);             /* NULL is allowed */
/* *meta may be NULL, and may be replaced. 0, TAPS_E_MEMORY, TAPS_E_RANGE (over TAPSI_META_MAX). */
int tapsi_meta_add(struct tapsi_meta **meta, struct tapsi_mem *mem, const char *space, const char *key,
                   const char *value);
/* A copy with memory of its own; NULL = no memory. */
struct tapsi_meta *tapsi_meta_copy(const struct tapsi_meta *meta, struct tapsi_mem *mem);
/* Bytes of memory it takes; 0 of NULL. */
size_t tapsi_meta_size(const struct tapsi_meta *meta);
/* There is one pair, and no other. `meta` may be NULL. */
bool tapsi_meta_is_one(const struct tapsi_meta *meta);
/* The first of that name, or NULL. `meta` may be NULL. */
const char *tapsi_meta_get(const struct tapsi_meta *meta, const char *space, const char *key);
/* The one at `index` from 0, of `space` only unless that is NULL: false beyond the last. */
bool tapsi_meta_at(const struct tapsi_meta *meta, const char *space, size_t index, const char **ret_space,
                   const char **ret_key, const char **ret_value);

#endif
