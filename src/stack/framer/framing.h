/*
 * One Framer at work in one stack. Its files: adapter.c (the layer: states and ends), input.c (cursor, parsing,
 * delivering), output.c (sending), prepend.c.
 *
 * The adapter is the layer; the framing is what the Framer knows, and moves to another adapter when something is put
 * above it (prepend.c). An adapter without a framing passes everything on.
 *
 * NEW -start-> STARTING -below is ready, the Framer too-> READY -close-> CLOSING (the Framer stops, then below closes)
 * -> CLOSED. A failure is told one round after it was noticed, so that the Framer's last word can leave.
 *
 * The Framer's functions are called from up-calls, from flush, and new_sent_message also from `send`. `calling` is set
 * meanwhile: what they say is recorded, or goes up as data that the Connection only holds; states change when they have
 * returned.
 */
#ifndef TAPSI_STACK_FRAMER_FRAMING_H
#define TAPSI_STACK_FRAMER_FRAMING_H

#include "stack/framer/framer.h"
#include "stack/layer.h"

#define TAPSI_FRAMING_HANDSHAKE ((size_t)64 * 1024) /* read ahead of readiness, unless a parse asked for more */
#define TAPSI_FRAMING_AHEAD     ((size_t)4096)      /* read beyond the credit: heads */
#define TAPSI_FRAMING_OWN_MAX   ((size_t)64 * 1024) /* own bytes unsent, over which nothing is parsed */
#define TAPSI_FRAMING_RANGES    8
#define TAPSI_FRAMING_PREPENDS  4

/* What came and was not taken. */
struct tapsi_framing_piece {
    const uint8_t *data;
    size_t length;
    struct tapsi_buffer *buffer; /* a reference, or NULL when empty */
    unsigned flags;              /* of its slice */
    int ecn;
};

/* What stands for the Message that is being sent. */
struct tapsi_framing_out {
    struct tapsi_op *op; /* NULL: no new_sent_message is running */
    struct tapsi_range ranges[TAPSI_FRAMING_RANGES];
    unsigned count;
    unsigned before; /* ranges in front of the Message's, once that was called for */
    size_t front;    /* bytes written right in front of the Message's own, into its room */
    bool message;    /* the Message's own bytes are part of it */
};

struct tapsi_adapter {
    struct tapsi_layer layer;
    struct tapsi_sink lower;
    struct taps_framing *framing; /* NULL: a shell that passes everything on */
    struct tapsi_ready_info info;
    bool passing; /* nothing is left for the framing to do */
};

struct taps_framing {
    struct tapsi_adapter *adapter;
    const struct taps_framer_definition *definition;
    struct taps_framer *framer; /* a reference */
    char *host;                 /* of the Remote Endpoint, or NULL */
    union tapsi_addr remote;
    bool named; /* `host` is a name */
    bool secure;
    bool datagram;
    bool calling; /* one of its functions is on the stack */
    bool started; /* start was called */
    bool said_ready, said_closed, said_passthrough;
    bool said_wait; /* of what is untaken: it is no Message that was cut off */
    bool said_over; /* make_closed was called, maybe before stop */
    bool stopped;   /* stop was called */
    bool resumes;   /* resume was called */
    bool wakes;     /* the timer has fired, and wakeup was not called yet */
    bool closing;   /* the Connection's Close came */
    bool close_passed;
    bool final_sent;
    bool early;      /* a Message is framed before anything is ready */
    bool at_end;     /* the peer's end has come */
    bool end_asked;  /* and the Framer took nothing more */
    bool end_told;   /* and went up */
    bool end_waits;  /* deliver_end: until somebody asks */
    bool unwanted;   /* the Framer has left what it would deliver: nobody has asked */
    bool below_over; /* below has said `closed` without an error */
    bool in_message; /* a part went up, its end has not */
    bool dropping;   /* over datagrams: the rest of this one does not parse */
    bool deaf;       /* after Close: what the peer says does not parse, and nobody is to get it */
    bool has_timer;
    struct tapsi_error *error; /* it failed; NULL also without memory for the words */
    int failed;                /* the code */
    struct tapsi_task report;
    struct tapsi_timer timer;
    /* input */
    struct tapsi_framing_piece *pieces; /* a ring */
    uint32_t count, head, capacity;
    size_t held;               /* bytes of all pieces */
    struct tapsi_buffer *tail; /* small pieces are copied here when they are many, or NULL */
    uint64_t taken;            /* counts: how it is noticed that a call took something */
    size_t need;               /* what the last parse lacked to, or 0 */
    bool promised;             /* deliver_and_advance: */
    uint64_t promise;          /* bytes that go up as they come */
    bool promise_ends;
    struct tapsi_meta *meta;        /* of the Message that is being delivered, or is next */
    struct tapsi_meta *meta_before; /* of the last Message, if one pair is all it is: often the next has the same */
    bool meta_is_new;               /* there is some that no part of it has brought */
    /* output */
    struct tapsi_framing_out out;
    size_t own; /* bytes of its own under way */
    struct tapsi_buffer *reserved;
    struct tapsi_framing_pack *pack; /* the datagram being filled */
    struct tapsi_link packs;         /* those that the layer below has */
    struct {
        struct taps_framer *framer; /* NULL: TLS */
    } prepends[TAPSI_FRAMING_PREPENDS];
    unsigned prepend_count;
    _Alignas(max_align_t) unsigned char state[];
};

/* What kind of stack it stands in. */
struct tapsi_framing_place {
    bool secure, datagram;
};

struct tapsi_adapter *tapsi_adapter_of(struct tapsi_layer *layer);

/* adapter.c */
/* A layer over `below`, NEW, with a framing of `framer`. On success it owns `below`. */
int tapsi_framing_make(struct tapsi_env *env, struct taps_framer *framer, const struct tapsi_target *target,
                       enum tapsi_role role, struct tapsi_framing_place place, struct tapsi_layer *below,
                       struct tapsi_layer **ret, struct tapsi_error *ret_error);
/* The layer alone. NULL = no memory. */
struct tapsi_adapter *tapsi_adapter_new(struct tapsi_env *env, struct tapsi_layer *below, enum tapsi_role role);
/* Asks for a flush of its layer. */
void tapsi_framing_dirty(struct taps_framing *f);
/* What the Framer's function returned, or said meanwhile, takes effect. False: nothing more can be done now. */
bool tapsi_framing_after(struct taps_framing *f, int result);
/* Of `start`, `handle_received_data` ...: calls it. False as tapsi_framing_after. */
bool tapsi_framing_call(struct taps_framing *f, int (*function)(struct taps_framing *));
/* It is over: told one round later. Keeps the first error. `error` NULL: the words of the code. */
void tapsi_framing_failed(struct taps_framing *f, int code, const struct tapsi_error *error);

/* input.c */
/* Takes a reference of what the slice shows. 0 or TAPS_E_MEMORY. */
int tapsi_framing_hold(struct taps_framing *f, const struct tapsi_slice *slice);
/* Parses and delivers as much as can be. */
void tapsi_framing_process(struct taps_framing *f);
/* Tells below how much may come. */
void tapsi_framing_grant(struct taps_framing *f);
/* Hands what is held to `layer`'s sink: the framing has stepped aside. */
void tapsi_framing_pour(struct taps_framing *f, struct tapsi_layer *layer);
void tapsi_framing_drop_input(struct taps_framing *f);

/* output.c */
/* 0: handed down. TAPS_FRAMING_WAIT: not now. Negative: refused. */
int tapsi_framing_frame(struct taps_framing *f, struct tapsi_op *op);
/* The datagram that was being filled leaves. */
void tapsi_framing_send_pack(struct taps_framing *f);
void tapsi_framing_drop_output(struct taps_framing *f);

/* prepend.c */
/* Before it is ready: what was prepended is put above it, and started. 0 or a negative taps_err. */
int tapsi_framing_put_above(struct taps_framing *f);
void tapsi_framing_drop_prepends(struct taps_framing *f);

#endif
