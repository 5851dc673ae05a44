/*
 * A stream layer in memory, for tests of what stands on streams: two of them joined carry each other's bytes, and every
 * fault of a connection can be asked for. No kernel, no clock.
 */
#ifndef TAPSI_STACK_TLS_TEST_STREAM_H
#define TAPSI_STACK_TLS_TEST_STREAM_H

#include "stack/layer.h"

struct tapsi_test_stream {
    struct tapsi_layer layer;
    struct tapsi_test_stream *peer; /* NULL once that is freed */
    uint8_t *bytes;                 /* arrived, not delivered: [begin, end) */
    size_t begin, end, capacity;
    bool ended, end_told; /* FIN has arrived; was delivered */
    uint64_t sent, ops;   /* bytes and ops taken from above */
    uint64_t delivered;   /* bytes handed up */
    /* Faults and limits; all off at first. */
    size_t slice_max;    /* bytes of one slice, 0 = all there are */
    size_t held_max;     /* unfinished while the peer has more than this undelivered */
    uint64_t cut_after;  /* bytes sent that arrive; FIN comes instead of the rest */
    uint64_t flip_at;    /* the byte sent with this number arrives changed */
    int start_error;     /* start ends in closed(this) */
    bool reset_at_close; /* close ends in closed(TAPS_E_ABORTED) */
    int destroyed_with;  /* the reason */
    bool destroyed;
    bool records;                       /* what arrives is kept in `record` */
    uint8_t *record;                    /* freed with it, by free(), unless it was taken */
    size_t record_length, record_first; /* the latter: of what came first */
};

/* READY at once when `accepted`. NULL = no memory. Owned by whoever destroys it. */
struct tapsi_test_stream *tapsi_test_stream_new(struct tapsi_env *env, enum tapsi_role role, bool accepted);
void tapsi_test_stream_join(struct tapsi_test_stream *a, struct tapsi_test_stream *b);
/* As if the peer had sent them. */
void tapsi_test_stream_arrive(struct tapsi_test_stream *s, const void *bytes, size_t count);
void tapsi_test_stream_end(struct tapsi_test_stream *s);
/* closed(TAPS_E_ABORTED), at once. */
void tapsi_test_stream_reset(struct tapsi_test_stream *s);

/* A loop without a kernel: nothing is ever ready. */
int tapsi_test_loop_init(struct tapsi_loop *loop, const struct tapsi_mem *mem);
/* Turns until nothing is left to do. */
void tapsi_test_loop_run(struct tapsi_loop *loop);

#endif
