/* What a Connection has received and not delivered: pieces in the order they came, at most `window` bytes. */
#ifndef TAPSI_CONNECTION_INBOX_H
#define TAPSI_CONNECTION_INBOX_H

#include "connection/connection.h"

/* Above the flags of a slice that are kept (in place of MORE): its ECN field + 1; 0 = not told. */
#define TAPSI_HELD_ECN  16u
#define TAPSI_HELD_ECNS (7 * TAPSI_HELD_ECN)

static inline unsigned tapsi_held_flags(const struct tapsi_slice *slice)
{
    return (slice->flags & ~(unsigned)TAPSI_SLICE_MORE) | (unsigned)(slice->ecn + 1) * TAPSI_HELD_ECN;
}

static inline struct tapsi_held *tapsi_inbox_at(const struct tapsi_inbox *in, uint32_t i)
{
    return &((struct tapsi_inbox *)(uintptr_t)in)->held[(in->head + i) & (in->capacity - 1)];
}

/* Takes references of what the slice borrows. 0 or TAPS_E_MEMORY. */
int tapsi_inbox_hold(struct taps_connection *connection, const struct tapsi_slice *slice);
/* The first piece's reference of its buffer is the caller's. */
void tapsi_inbox_remove_first(struct taps_connection *connection);
/* When nobody waits: a few bytes that are left do not pin the large buffer they came in. */
void tapsi_inbox_copy_small_rest(struct taps_connection *connection);

#endif
