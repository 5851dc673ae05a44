/*
 * Ops and slices: bytes on the way down and on the way up.
 *
 * An op carries one Message, or a piece of one, down the stack. It is ref-counted and pooled; its ranges point into
 * buffers it holds, into its own `around`, or at memory lent by the application. `done` is called exactly once
 * (unless its creator destroyed the layer it was handed to): the bytes are no longer the library's concern. The bytes
 * stay unchanged until the last unref.
 */
#ifndef TAPSI_LOOP_OP_H
#define TAPSI_LOOP_OP_H

#include "base/buf.h"
#include "base/list.h"
#include "base/meta.h"
#include "loop/loop.h"

#define TAPSI_OP_RANGES    5                                       /* the payload, and what layers put around it */
#define TAPSI_OP_PIECES    (TAPS_PIECES_MAX + TAPSI_OP_RANGES - 1) /* the same where the payload is in several pieces */
#define TAPSI_OP_SMALL     2048 /* copies up to this lie side by side in a buffer they share */
#define TAPSI_OP_ADDED     16   /* bytes that all layers together may put around the payload */
#define TAPSI_OP_HEAD_ROOM 16   /* bytes that may be left free in front of a copy */

enum tapsi_op_flags {
    TAPSI_OP_END = 1,   /* the last piece of its Message */
    TAPSI_OP_FINAL = 2, /* nothing follows on this direction: half-close */
    TAPSI_OP_EARLY = 4, /* may go before the handshake is over (safelyReplayable) */
    TAPSI_OP_UNORDERED = 8,
    TAPSI_OP_UNRELIABLE = 16,
    TAPSI_OP_NO_FRAGMENT = 32,
    TAPSI_OP_NO_SEGMENT = 64,
    TAPSI_OP_TOUCHED = 128, /* its first byte has been used irrevocably */
    TAPSI_OP_FINISHED = 256,
    TAPSI_OP_FIRST = 512,      /* the Message of InitiateWithSend; the Connection's own mark */
    TAPSI_OP_CONTINUES = 1024, /* not the first piece of its Message; the Connection's own mark */
    TAPSI_OP_ORDERED = 2048,   /* the application insists: msgOrdered, msgReliable */
    TAPSI_OP_RELIABLE = 4096,
};

/* Results of `done` beside 0 (sent) and negative taps_err. */
#define TAPSI_OP_EXPIRED 1

struct tapsi_range {
    const uint8_t *data;
    size_t length;
    struct tapsi_buffer *buffer; /* a reference, or NULL: inline or lent */
};

/* The order of the fields: what an ordinary Message touches, and then the rest. A thousand of them under way are more
   than the processor's first cache holds. */
struct tapsi_op {
    struct tapsi_link link;  /* on at most one queue, of whoever holds it */
    struct tapsi_link owned; /* the creator's list of what is under way */
    size_t length;           /* of all ranges */
    size_t taken;            /* bytes the layer that holds it has used; that layer's */
    void (*done)(struct tapsi_op *op, int result);
    void *owner; /* of `done`'s */
    void *tag;   /* the creator's */
    struct tapsi_loop *loop;
    uint32_t refs;
    uint16_t flags;
    uint8_t count; /* ranges[0 .. count), at most TAPSI_OP_PIECES */
    int8_t dscp;   /* -1 = the Connection's */
    uint32_t priority;
    int16_t result;             /* the creator's note of how it ended */
    uint8_t kept;               /* bytes of `around` in use */
    uint8_t room;               /* bytes free in front of the first range, which is a copy */
    int64_t added;              /* bytes that layers have put around the payload, or taken off; part of `length` */
    uint64_t deadline;          /* TAPSI_FOREVER = none */
    uint64_t order;             /* among the Messages of its Connection Group, while it waits; the creator's */
    struct tapsi_meta *meta;    /* of the Message, for Framers: a reference, or NULL */
    struct tapsi_range *ranges; /* `own`, or a list of the loop's pool */
    struct tapsi_range own[TAPSI_OP_RANGES];
    uint8_t around[TAPSI_OP_ADDED]; /* filled from its end */
};

/* Where packets come from and go to. Borrowed with the slice or op that carries it. */
struct tapsi_path {
    union tapsi_addr local, remote;
    unsigned interface_index;
};

/* One reference, no ranges, `done` NULL. NULL = no memory. */
struct tapsi_op *tapsi_op_new(struct tapsi_loop *loop);
static inline struct tapsi_op *tapsi_op_ref(struct tapsi_op *op)
{
    op->refs++;
    return op;
}
void tapsi_op_unref(struct tapsi_op *op);
/* Copies `length` bytes in: 0 or TAPS_E_MEMORY. */
int tapsi_op_copy(struct tapsi_op *op, const void *data, size_t length);
/* The same of the first range, with `room` bytes left free in front of it, at most TAPSI_OP_HEAD_ROOM. */
int tapsi_op_copy_behind(struct tapsi_op *op, const void *data, size_t length, size_t room);
/* The same of bytes in several pieces, which become one; `length` is their sum. */
struct iovec;
int tapsi_op_gather(struct tapsi_op *op, const struct iovec *pieces, size_t count, size_t length, size_t room);
/* Before pieces are lent to an op that has no ranges yet: room for so many, at most TAPS_PIECES_MAX. 0 or
 * TAPS_E_MEMORY.
 */
int tapsi_op_expect(struct tapsi_op *op, size_t pieces);
/* Ranges it can have. */
static inline unsigned tapsi_op_room(const struct tapsi_op *op)
{
    return op->ranges == op->own ? TAPSI_OP_RANGES : TAPSI_OP_PIECES;
}
/* These bytes in place of all ranges: for a layer that transforms. Takes the reference of `buffer`. */
void tapsi_op_replace(struct tapsi_op *op, const void *data, size_t length, struct tapsi_buffer *buffer);
/* Adds memory without copying. `buffer` NULL: lent until the last unref; else the op takes one reference of its own. */
void tapsi_op_lend(struct tapsi_op *op, const void *data, size_t length, struct tapsi_buffer *buffer);
/* Put `count` bytes in front or behind: for a layer that passes the op on. All layers together at most TAPSI_OP_ADDED
   bytes, in TAPSI_OP_RANGES - 1 calls. The creator counts `length` without `added`, so other calls are not for layers.
 */
void tapsi_op_prepend(struct tapsi_op *op, const void *bytes, size_t count);
void tapsi_op_append(struct tapsi_op *op, const void *bytes, size_t count);
/* Off its queue, `done` once with `result`, and the queue's reference is dropped. */
void tapsi_op_finish(struct tapsi_op *op, int result);
/* Off its queue without `done` (its creator settles it); drops the queue's reference. */
void tapsi_op_drop(struct tapsi_op *op);
/* The ranges not taken yet as iovecs; returns how many were filled. */
unsigned tapsi_op_iovec(const struct tapsi_op *op, struct iovec *iov, unsigned max);

enum tapsi_slice_flags {
    TAPSI_SLICE_END = 1,   /* the last of its message */
    TAPSI_SLICE_FINAL = 2, /* nothing follows in this direction */
    TAPSI_SLICE_EARLY = 4,
    TAPSI_SLICE_CUT = 8,   /* the message will never be complete */
    TAPSI_SLICE_MORE = 16, /* the producer reads on at once: what follows may belong to this */
};

/* On the producer's stack. To keep bytes, take a reference on `buffer`. Zero length is legal. */
struct tapsi_slice {
    const uint8_t *data;
    size_t length;
    struct tapsi_buffer *buffer; /* the producer's reference; NULL only when length is 0 */
    unsigned flags;
    int ecn; /* 0 .. 3, or -1 unknown */
    const struct tapsi_path *path;
    struct tapsi_meta *meta; /* the Message's from here on, borrowed; NULL: nothing new */
};

#endif
