/*
 * A toy of a protocol with streams, for tests: many streams over one TCP connection, with a window for each, a limit to
 * how many the peer may open, and ends of their own. On the wire there is nothing but frames of nine bytes: a type, the
 * number of a stream, a value; behind DATA come as many bytes as its value says.
 *
 * Streams are numbered as in QUIC: two bits say who opened it and whether it goes in one direction. A stream shows
 * itself to the peer with its first byte or its end. mux.c has the session, stream.c its streams, listen.c its
 * Listener, path.c the paths that it says it is on.
 */
#ifndef TESTS_STREAMS_MUX_H
#define TESTS_STREAMS_MUX_H

#include "base/sched.h"
#include "stack/registry.h"

#define MUX_WINDOW  (256 * 1024) /* bytes of a stream that its receiver holds */
#define MUX_STREAMS 16           /* that the peer may have, where groupConnLimit says nothing */
#define MUX_NUMBERS 1024         /* streams of a session that one side may open, ever, of one kind */
#define MUX_FRAME   9
#define MUX_PIECE   1000

enum mux_type {
    MUX_HELLO,  /* value: how many streams may be opened; the first frame of both sides */
    MUX_LIMIT,  /* the same, later */
    MUX_DATA,   /* value: how many bytes follow */
    MUX_END,    /* of what the sender says on this stream */
    MUX_RESET,  /* the stream is over, in both directions */
    MUX_CREDIT, /* value: bytes more that may come */
    MUX_TYPES
};

enum { MUX_OF_SERVER = 1, MUX_ONE_WAY = 2 };

struct mux_listener;

/* What sessions were told last: a test looks, and says what they answer. */
#define MUX_WAYS 32
struct mux_told {
    unsigned calls;
    size_t count;
    struct tapsi_way ways[MUX_WAYS];
    char interfaces[MUX_WAYS][16]; /* "" = as routed */
    int refusal;                   /* a negative taps_err: no session takes any */
    enum taps_multipath_policy policy;
};
extern struct mux_told mux_told;

struct mux_session {
    unsigned refs; /* of streams that were not freed, of itself while it is not over, and of whoever works on it */
    struct tapsi_bond bond;
    struct tapsi_env *env;
    struct tapsi_sink lower;
    struct tapsi_layer *below;
    struct mux_listener *listener;        /* NULL: a client's, or it has stopped */
    struct tapsi_link link;               /* the listener's */
    struct tapsi_link streams, strangers; /* strangers: the peer's that nobody was told of */
    struct tapsi_sched sched;
    struct tapsi_task task;
    struct tapsi_ready_info info;
    struct tapsi_error error;
    bool server, started, greeted, over, broken;
    uint64_t orders;
    size_t under_way;            /* bytes handed to TCP and not done */
    uint64_t emitted, done;      /* bytes ever, of those handed to TCP */
    uint32_t opened[2], allowed; /* by this side, by kind; of both together */
    uint32_t granted, peers;     /* to the peer; its streams that live */
    uint32_t peers_ever, limit;
    uint8_t seen[2][MUX_NUMBERS / 8]; /* the peer's streams, by kind */
    uint8_t frame[MUX_FRAME];
    size_t frame_length;
    uint32_t rest; /* of DATA */
    uint32_t number;
    uint8_t control[8192];
    size_t control_length;
    bool moving, moved; /* it is going to say so; it has */
    union tapsi_addr local, remote, next_local, next_remote;
};

struct mux_piece {
    struct tapsi_link link;
    struct tapsi_buffer *buffer;
    const uint8_t *data;
    size_t length;
};

struct mux_stream {
    struct tapsi_layer layer;
    struct mux_session *session;
    struct tapsi_link link; /* the session's */
    struct tapsi_sched_entry entry;
    struct tapsi_link pieces; /* that came, and nobody wanted yet */
    uint32_t number;
    uint32_t credit;   /* bytes that may be sent */
    uint32_t unsaid;   /* bytes delivered, for which no credit was given yet */
    uint32_t expected; /* bytes that may come */
    bool numbered, mine;
    uint64_t end_at; /* of `emitted`: behind its end; 0: that was not sent yet */
    bool end_taken, end_said, end_out, end_came, end_told;
};

/* mux.c. A session over `below`, which it takes; one reference is the session's own. NULL: no memory. */
struct mux_session *mux_session_new(struct tapsi_env *env, struct tapsi_layer *below, bool server);
int mux_session_start(struct mux_session *session);
void mux_session_unref(struct mux_session *session);
void mux_session_flush(struct mux_session *session);
/* Ends it if nobody has any more use of it. */
void mux_session_check(struct mux_session *session, int reason);
void mux_session_end(struct mux_session *session, int reason);
void mux_say(struct mux_session *session, enum mux_type type, uint32_t number, uint32_t value);
/* The peer may have so many streams from now on. */
void mux_session_limit(struct mux_session *session, uint64_t limit);
void mux_session_wrong(struct mux_session *session, const char *why);
void mux_session_tell_strangers(struct mux_session *session);

/* path.c. The session says that it is on the first of them unless its own is among them; its bytes go as before. */
int mux_session_paths(struct mux_session *session, const struct tapsi_way *ways, size_t count,
                      struct tapsi_error *ret_error);
/* Tells its streams. */
void mux_session_move(struct mux_session *session);
/* Where it says that it is: of TAPSI_GET_LOCAL and TAPSI_GET_REMOTE. */
int mux_session_where(struct mux_session *session, int what, union tapsi_got *ret);

/* stream.c. NEW, of this side; or READY, of the peer. NULL: no memory. */
struct mux_stream *mux_stream_new(struct mux_session *session, struct tapsi_env *env, bool mine, uint32_t number);
/* One of this side that starts gets its number, if the peer allows; then it is Ready. */
void mux_stream_go(struct mux_stream *stream);
void mux_stream_data(struct mux_stream *stream, const struct tapsi_slice *slice, const uint8_t *data, size_t length);
void mux_stream_end(struct mux_stream *stream);
void mux_stream_credit(struct mux_stream *stream, uint32_t bytes);
/* So many bytes of its queue into `to`. */
size_t mux_stream_take(struct mux_stream *stream, uint8_t *to, size_t room);
/* What the scheduler knows of it is so. */
void mux_stream_update(struct mux_stream *stream);
/* What was handed to TCP is done so far. */
void mux_stream_done(struct mux_stream *stream);
/* Everything has been said on both sides, but not yet been heard here, perhaps. */
bool mux_stream_complete(const struct mux_stream *stream);

/* listen.c: tells the Listener of a stream, if it takes one more. False: it waits. */
bool mux_listener_child(struct mux_listener *listener, struct mux_stream *stream);
int mux_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
               struct tapsi_layer **ret, struct tapsi_error *ret_error);
/* It stops: what has no stream ends. */
void mux_session_orphan(struct mux_session *session);

#endif
