/*
 * The Framer as an object: a definition and a copy of its options; and the stack of them that a Preconnection has.
 * Ref-counted inside the library, where nothing changes it any more; the application's own is a copy of its own.
 */
#ifndef TAPSI_STACK_FRAMER_FRAMER_H
#define TAPSI_STACK_FRAMER_FRAMER_H

#include "base/mem.h"
#include "base/err.h"
#include <taps/framer.h>

#define TAPSI_FRAMERS_MAX 8

struct taps_framer {
    struct tapsi_mem *mem;
    unsigned refs;
    const struct taps_framer_definition *definition;
    _Alignas(max_align_t) unsigned char options[];
};

/* With its options at their defaults. NULL = no memory. */
struct taps_framer *tapsi_framer_new(struct tapsi_mem *mem, const struct taps_framer_definition *definition);
struct taps_framer *tapsi_framer_copy(struct tapsi_mem *mem, const struct taps_framer *framer);
struct taps_framer *tapsi_framer_ref(struct taps_framer *framer);
void tapsi_framer_unref(struct taps_framer *framer); /* NULL is allowed */

struct tapsi_framers {
    size_t count;
    struct taps_framer *items[TAPSI_FRAMERS_MAX]; /* in the order added: the last is the outermost */
};

/* Copies the framer. 0, TAPS_E_RANGE, TAPS_E_MEMORY. */
int tapsi_framers_add(struct tapsi_framers *framers, struct tapsi_mem *mem, const struct taps_framer *framer);
void tapsi_framers_copy(struct tapsi_framers *to, const struct tapsi_framers *from); /* takes references */
void tapsi_framers_done(struct tapsi_framers *framers);
/* Does one of them make boundaries? */
bool tapsi_framers_frame(const struct tapsi_framers *framers);

#endif
