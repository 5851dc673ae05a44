/*
 * A Connection: what the application holds. Its files: connection.c (states, events, ends), send.c, recv.c, property.c.
 *
 * ESTABLISHING -> ESTABLISHED -> CLOSING -> CLOSED (RFC 9622, 11); one writer, set_state in connection.c.
 * Events are pending facts, dispatched by one posted task in a fixed order per turn: ready, then completions of sends
 * in order, then receives, then soft errors and path changes, and the end when nothing else is outstanding.
 */
#ifndef TAPSI_CONNECTION_CONNECTION_H
#define TAPSI_CONNECTION_CONNECTION_H

#include "base/meter.h"
#include "connection/context.h"
#include "connection/group.h"
#include "establish/record.h"
#include "monitor/report.h"
#include "select/message_properties.h"

#define TAPSI_WINDOW ((uint32_t)128 * 1024) /* bytes held for an application that has not asked yet */

/* One Receive. Lengths above 4 GiB are 4 GiB: a Connection never holds so much. */
struct tapsi_receive {
    struct tapsi_receive *next;
    void *tag;
    uint32_t min, max;
};

#define TAPSI_WHOLE UINT32_MAX /* of `min`: a whole Message */

/* Bytes that came and were not delivered yet. */
struct tapsi_held {
    const uint8_t *data;
    size_t length;
    struct tapsi_buffer *buffer;
    unsigned flags;          /* enum tapsi_slice_flags */
    uint32_t charge;         /* bytes of the window for its metadata */
    uint64_t arrived;        /* ns: its first byte */
    struct tapsi_meta *meta; /* the Message's from here on: a reference; NULL: nothing new */
};

/* A ring of what is held. A Connection has one while it holds anything. */
struct tapsi_inbox {
    uint32_t count, head, capacity; /* a power of two */
    struct tapsi_buffer *tail;      /* where small pieces are copied together: a reference, or NULL */
    struct tapsi_held held[];
};

#define TAPSI_INBOX_SMALL           4
#define TAPSI_INBOX_LARGE           64 /* what one turn of a reader may bring */
#define tapsi_inbox_block(capacity) (sizeof(struct tapsi_inbox) + (capacity) * sizeof(struct tapsi_held))

/* What is on its way out. A Connection has one while any op of its is alive; else it shows tapsi_outbox_none, which is
   empty and never written. */
struct tapsi_outbox {
    struct tapsi_link sends;     /* ops not handed down yet */
    struct tapsi_link under_way; /* ops the stack has, by their `owned` link */
    struct tapsi_link settled;   /* ops that ended, to be told */
    size_t unsent;               /* bytes of `sends` */
    size_t below;                /* bytes handed down and not done */
    size_t ops;                  /* of all three */
};

extern struct tapsi_outbox tapsi_outbox_none;

/* What most Connections never need: made by tapsi_connection_rare. */
struct tapsi_rare {
    struct taps_report *report;
    struct taps_endpoint *local, *remote; /* made when asked for */
    struct tapsi_timer *expiry;           /* of Messages with a lifetime */
    struct tapsi_timer *patience;         /* of a Close that waits */
    struct tapsi_error *error;            /* of the end, or of the last soft error */
    struct tapsi_rates *rates;            /* of maxSendRate and maxRecvRate */
    struct tapsi_error *clone_error;      /* `pending_clone`: that to be told; the last one told */
    bool report_local;                    /* the report was made when the local address was known */
    bool old_local, old_remote;           /* the endpoints are to be asked for anew: the path changed */
    unsigned report_moves;                /* moves that it tells of */
    uint64_t number, begun;               /* with `logs`: of the context's Connections; ns */
};

/* An idle one is to cost little (docs/design/012-speed.md): what is used while something happens comes from the
   context's pools, and what is seldom used from `rare`. The order of the fields is that of their use in a turn. */
struct taps_connection {
    struct tapsi_sink sink; /* of the stack */
    struct taps_context *context;
    struct tapsi_layer *top;
    struct tapsi_task task; /* posted: dispatch; when freed: reap */
    uint8_t state;          /* enum taps_conn_state */
    uint8_t batch;
    int16_t end_code;  /* 0: closed */
    int16_t lost_part; /* not 0: how the first parts of the Message ended that is being sent */
    bool pending_ready : 1, pending_end : 1, pending_soft : 1, pending_path : 1;
    bool ended : 1; /* the last event was delivered */
    bool freed : 1;
    bool waits : 1;              /* at the Listener, which has not delivered it: it says nothing yet */
    bool first_receive_used : 1; /* by the first of them */
    bool final_sent : 1, final_received : 1;
    bool end_delivered : 1; /* the final Message was delivered */
    bool in_message : 1;    /* part of a Message was delivered, its end was not */
    bool partial_send : 1;  /* part of a Message was sent, its end was not */
    bool open_below : 1;    /* the last op handed down was not the end of its Message */
    bool closing : 1;       /* Close was called, or the peer ended too */
    bool close_passed : 1;  /* and the stack was told */
    bool pumping : 1;       /* sends are being handed down */
    bool logs : 1;          /* its events are logged: there is a `rare` */
    bool recorded : 1;      /* `past` is a record */
    /* what every Send and Receive asks of `properties` and `row`: tapsi_connection_learn */
    bool sends_nothing : 1, receives_nothing : 1; /* direction */
    bool message_defaults : 1;                    /* no Message Property is set, but perhaps safelyReplayable */
    bool replayable : 1;                          /* safelyReplayable */
    bool is_stream : 1, may_duplicate : 1;        /* the stack's: no boundaries, Messages may come twice */
    bool framed : 1;                              /* a Framer makes the boundaries */
    bool bounded : 1;                             /* sendBuffer is not unlimited */
    bool pending_clone : 1;
    bool resumed : 1;                         /* the session is that of an earlier Connection */
    bool early : 1;                           /* and early data was taken, by the peer or from it */
    bool streams : 1;                         /* the stack's bottom is a stream of a session, which has more */
    bool shares : 1;                          /* it is in a group of flows, where Messages go by turns (share.c) */
    bool moved : 1;                           /* its path is not that on which it was Ready, perhaps */
    bool bounds_send : 1, bounds_receive : 1; /* there is a rate not to be exceeded: rates.c */
    const struct taps_connection_events *events;
    void *user;
    /* receiving */
    struct tapsi_inbox *in; /* NULL: nothing is held */
    uint32_t held_bytes, window;
    struct tapsi_receive *receives, *last_receive;
    struct tapsi_receive first_receive; /* the usual one needs no memory of its own */
    struct tapsi_context_head received; /* of the Message being delivered */
    /* sending */
    struct tapsi_outbox *out;
    struct tapsi_member *member; /* NULL: it is in no Connection Group */
    /* the rest */
    struct tapsi_rare *rare; /* or NULL */
    struct tapsi_properties *properties;
    const struct tapsi_stack_row *row;
    struct tapsi_config *config;
    union {
        struct tapsi_race *race;     /* NULL: accepted */
        struct tapsi_record *record; /* `recorded`: what is left of the race */
    } past;
    struct tapsi_link link; /* the context's list */
};

/* By this side; else it came from a Listener, or as a stream of the peer. A clone of either is its group's to tell. */
static inline bool tapsi_connection_is_initiated(const struct taps_connection *c)
{
    return c->recorded || c->past.race || (c->member && c->member->waits);
}

/* The race while it runs, and when it was lost; else NULL. */
static inline struct tapsi_race *tapsi_connection_race(const struct taps_connection *c)
{
    return c->recorded ? NULL : c->past.race;
}

/* What an Initiate planned; NULL when it was accepted. */
static inline const struct tapsi_plan *tapsi_connection_plan(const struct taps_connection *c)
{
    const struct tapsi_race *race = tapsi_connection_race(c);
    return c->recorded ? c->past.record->plan : race ? race->plan : NULL;
}

/* connection.c */
int tapsi_connection_new(struct taps_context *context, struct tapsi_config *config,
                         const struct taps_connection_events *events, void *user, struct taps_connection **ret);
/* Initiate: makes the race. */
int tapsi_connection_initiate(struct taps_context *context, struct tapsi_config *config, struct tapsi_plan *plan,
                              uint64_t timeout_ms, const struct taps_connection_events *events, void *user,
                              struct taps_connection **ret, struct tapsi_error *ret_error);
/* Begins the race of one that has none yet. */
int tapsi_connection_begin_race(struct taps_connection *connection, struct tapsi_plan *plan, uint64_t timeout_ms,
                                struct tapsi_error *ret_error);
/* A clone's stream, READY, which it takes over: Ready. */
void tapsi_connection_opened(struct taps_connection *connection, const struct tapsi_stack_row *row,
                             struct tapsi_layer *top);
/* An accepted stack, READY, which it takes over; Established at once, and silent until it is delivered. */
int tapsi_connection_accept(struct taps_context *context, struct tapsi_config *config,
                            const struct tapsi_stack_row *row, struct tapsi_layer *top, struct taps_connection **ret);
/* The Listener delivers it: what has happened to it meanwhile is told after that. */
void tapsi_connection_delivered(struct taps_connection *connection);
void tapsi_connection_free(struct taps_connection *connection);
int tapsi_connection_close(struct taps_connection *connection);
int tapsi_connection_abort(struct taps_connection *connection);
/* The same with another error than Abort's. Of one that has ended: nothing. */
void tapsi_connection_abort_with(struct taps_connection *connection, const struct tapsi_error *error);
/* What most Connections never need, made now if need be: NULL = no memory. */
struct tapsi_rare *tapsi_connection_rare(struct taps_connection *connection);
/* Asks for a dispatch in this turn. */
void tapsi_connection_post(struct taps_connection *connection);
/* Ends it: the stack goes, what is outstanding fails, and closed (error NULL) or the error event follows. */
void tapsi_connection_end(struct taps_connection *connection, const struct tapsi_error *error, int reason)
    __attribute__((cold));
/* clone_error is to come, with these words. A member of a group has memory for them; where another has none, the call
   that was refused has said so too. */
void tapsi_connection_clone_error(struct taps_connection *connection, const struct tapsi_error *error)
    __attribute__((cold));
/* If Close was called and nothing is left to hand down: tells the stack. */
void tapsi_connection_pass_close(struct taps_connection *connection);

/* After a change of `properties`, or when `row` is known: what every Send and Receive asks of them. */
void tapsi_connection_learn(struct taps_connection *connection);

/* log.c: the lines of the log. All but begin only with `logs`. */
void tapsi_connection_log_begin(struct taps_connection *connection);
void tapsi_connection_log(const struct taps_connection *connection, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));
void tapsi_connection_log_initiate(const struct taps_connection *connection, uint64_t timeout_ms);
/* What was found since it was last called. */
void tapsi_connection_log_names(const struct taps_connection *connection, struct tapsi_lookups *names);
void tapsi_connection_log_attempt(const struct taps_connection *connection, const struct tapsi_node *leaf);
void tapsi_connection_log_start(struct taps_connection *connection, const char *event);
void tapsi_connection_log_send(const struct taps_connection *connection, const struct tapsi_op *op)
    __attribute__((cold));
void tapsi_connection_log_settled(const struct taps_connection *connection, const struct tapsi_op *op, int result)
    __attribute__((cold));
void tapsi_connection_log_received(const struct taps_connection *connection, const struct taps_received *message)
    __attribute__((cold));
void tapsi_connection_log_error(const struct taps_connection *connection, const char *event,
                                const struct taps_error *error) __attribute__((cold));

/* patience.c: after Close, when there is a stack: the end comes even if the peer takes nothing more. */
void tapsi_connection_watch_close(struct taps_connection *connection);
void tapsi_connection_watch_done(struct taps_connection *connection);

/* expiry.c */
void tapsi_connection_arm_expiry(struct taps_connection *connection, uint64_t deadline);
void tapsi_connection_expiry_done(struct taps_connection *connection);

/* rates.c: makes what bounds need, before they are set; 0 or TAPS_E_MEMORY. */
int tapsi_rates_prepare(struct taps_connection *connection, const struct tapsi_properties *properties);
int tapsi_rates_prepare_value(struct taps_connection *connection, enum taps_property property,
                              const struct taps_value *value);
/* `properties` have changed. */
void tapsi_rates_learn(struct taps_connection *connection);
/* With `bounds_send`, `bounds_receive`: may so many bytes go now? If not, the pump or the dispatch comes when they may.
   They have gone. How many of a stream are best delivered at once. */
bool tapsi_rates_may_send(const struct taps_connection *connection, size_t bytes);
void tapsi_rates_sent(const struct taps_connection *connection, size_t bytes);
bool tapsi_rates_may_receive(const struct taps_connection *connection, size_t bytes);
void tapsi_rates_received(const struct taps_connection *connection, size_t bytes);
size_t tapsi_rates_portion(const struct taps_connection *connection);
void tapsi_rates_done(struct taps_connection *connection);

/* order.c: puts the op into `sends`, in its place; `final`: nothing may go behind its Message. */
void tapsi_connection_enqueue(struct taps_connection *connection, struct tapsi_op *op, bool final);
/* Whether this op may follow what was handed down last. */
bool tapsi_connection_may_go(const struct taps_connection *connection, const struct tapsi_op *op);
/* Parts of a Message have ended with `result` and were not sent: those that follow, first in `sends`, end with it. */
void tapsi_connection_lose_parts(struct taps_connection *connection, int result);

/* What a Send is to send. */
struct tapsi_sending {
    const struct iovec *pieces;
    size_t count, length; /* at most TAPS_PIECES_MAX; the sum of their bytes */
    const struct taps_message_context *context;
    unsigned flags; /* enum taps_send_flags */
    unsigned mark;  /* TAPSI_OP_FIRST or 0 */
    void *tag;
    struct tapsi_buffer *keeper; /* of bytes that are not copied: each piece takes a reference; or NULL */
};

/* send.c */
int tapsi_connection_send(struct taps_connection *connection, const struct tapsi_sending *sending);
/* Of the public calls: a caller's mistake otherwise. */
static inline bool tapsi_send_arguments_ok(const void *data, size_t length, unsigned flags)
{
    const unsigned known = (unsigned)TAPS_SEND_PARTIAL | (unsigned)TAPS_SEND_LEND;
    return (data || !length) && !(flags & ~known) && length <= PTRDIFF_MAX;
}
int tapsi_connection_batch(struct taps_connection *connection, int step);
/* Hands down what the stack has room for, and the others of a group let pass. */
void tapsi_connection_pump(struct taps_connection *connection);
/* What the race has of it: see struct tapsi_race_sink. */
bool tapsi_connection_early(void *connection, size_t room, struct tapsi_link *ops);
/* The winner's ops take the place of those that they are copies of; the others wait on. */
void tapsi_connection_adopt_early(struct taps_connection *connection, struct tapsi_link *ops);
/* For its group: the next op, if it may go now at all, or NULL; is there room for it, with at most `ahead` bytes under
   way; hands it down. */
struct tapsi_op *tapsi_connection_next_send(const struct taps_connection *connection);
bool tapsi_connection_has_room(const struct taps_connection *connection, const struct tapsi_op *op, size_t ahead);
void tapsi_connection_send_next(struct taps_connection *connection, struct tapsi_op *op);
/* Destroys the stack (it drops its ops unsaid), and settles every op not done with `result`. */
void tapsi_connection_fail_sends(struct taps_connection *connection, int result, int reason);
void tapsi_connection_drop_stack(struct taps_connection *connection, int reason);
/* When the stack is gone: forgets all ops. */
void tapsi_connection_drop_sends(struct taps_connection *connection);
/* Tells one ended send; false when there is none. */
bool tapsi_connection_tell_send(struct taps_connection *connection);
void tapsi_connection_send_done(struct taps_connection *connection);

/* recv.c */
int tapsi_connection_receive(struct taps_connection *connection, size_t min, size_t max, void *tag);
void tapsi_connection_data(struct taps_connection *connection, const struct tapsi_slice *slice);
/* Answers one Receive if it can be; false when not. */
bool tapsi_connection_tell_receive(struct taps_connection *connection);
/* Is there something that a Receive could get, or a Receive that must hear of the end? */
bool tapsi_connection_can_deliver(const struct taps_connection *connection);
/* Opens the window, so that the stack may deliver. */
void tapsi_connection_open_window(struct taps_connection *connection);
/* After Close: what came is dropped, and what comes is no longer wanted. */
void tapsi_connection_drop_received(struct taps_connection *connection);
void tapsi_connection_receive_done(struct taps_connection *connection);
/* One Receive that cannot be answered any more gets its receive_error; false when there is none. */
bool tapsi_connection_fail_receive(struct taps_connection *connection, const struct taps_error *error);

/* property.c */
int tapsi_connection_set_value(struct taps_connection *connection, enum taps_property property,
                               struct taps_value value);
/* The steps of it, for a group: is it one that can be set now; makes `properties` its own; tells the stack; and the
   value is kept. */
int tapsi_connection_check_set(const struct taps_connection *connection, enum taps_property property);
int tapsi_connection_set_stack(struct taps_connection *connection, enum taps_property property,
                               const struct taps_value *value);
int tapsi_connection_keep_value(struct taps_connection *connection, enum taps_property property,
                                struct taps_value value);
/* Of one property. Not byte by byte: what a value does not use may hold anything. */
bool tapsi_connection_same_value(const struct taps_value *a, const struct taps_value *b);
int tapsi_connection_get_value(struct taps_connection *connection, enum taps_property property, struct taps_value *ret);
int tapsi_connection_properties(struct taps_connection *connection, struct tapsi_properties **ret);
const struct taps_endpoint *tapsi_connection_endpoint(struct taps_connection *connection, bool remote);
/* The context of the Connection that is delivering it; NULL of any other, a copy too. */
struct taps_context *tapsi_received_by(const struct taps_message_context *received);
/* Of a context that is TAPSI_RECEIVED_HERE. */
const struct taps_endpoint *tapsi_connection_received_endpoint(const struct tapsi_context_head *head, bool remote);
/* As taps_connection_get_property. */
int tapsi_connection_get_text(struct taps_connection *connection, enum taps_property property, char *text, size_t size);
/* The report as of now; NULL without a race, or without memory. */
const struct taps_report *tapsi_connection_report(struct taps_connection *connection);
/* Properties that were set while the race ran reach the stack. */
void tapsi_connection_apply_properties(struct taps_connection *connection, const struct tapsi_properties *before);

#endif
