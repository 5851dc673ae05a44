/*
 * The layer contract: read this to add a protocol, beside docs/adding-a-protocol.md, which walks through one.
 * docs/design/002-layer-contract.md tells why it looks so.
 *
 * A candidate's stack is a chain of layers. Calls down are made by the sink (the race, later the Connection) or by the
 * layer above; calls up go to `up`. No down-call calls up before it returns; `done` of an op is a call up too.
 *
 * A down-call is taken (0: its outcome comes exactly once, later) or refused (negative: nothing changed, nothing
 * comes). Only `start`, `flush`, `set`, `get` and `destroy` may touch the kernel or an engine (GnuTLS, ngtcp2); `send`
 * only queues. Engine callbacks only record: a layer calls up when the engine has returned.
 *
 * Invariants. Every op taken is finished once, or its creator destroyed the layer. No `done` before `ready`. Nothing
 * goes up after `closed`, after destroy, or before start. No `data` while `want` is 0. After each up-call test `dead`.
 */
#ifndef TAPSI_STACK_LAYER_H
#define TAPSI_STACK_LAYER_H

#include "base/err.h"
#include "loop/loop.h"
#include "loop/op.h"
#include "select/properties.h"
#include "select/security.h"
#include "select/select.h"
#include "stack/framer/framer.h"

struct tapsi_layer;
struct tapsi_sink;
struct tapsi_proto;
struct tapsi_gate;
struct tapsi_handshake;
struct tapsi_caches;

/* What the layers of one candidate share. Ref-counted. */
struct tapsi_env {
    unsigned refs;
    struct tapsi_loop *loop;
    struct tapsi_properties *properties; /* the snapshot taken at Initiate or Listen */
    struct tapsi_security *security;     /* NULL only when security is disabled */
    unsigned *half_open;                 /* handshakes of the Listener in progress; NULL on clients */
    struct tapsi_framers framers;
    struct tapsi_caches *caches; /* the context's: tickets, tokens, what worked; borrowed. NULL: none are kept */
    struct tapsi_link ports;     /* UDP ports that the protocols of one Listener share (stack/port/port.h) */
};

/* Takes a reference of each. `framers` NULL: none. */
struct tapsi_env *tapsi_env_new(struct tapsi_loop *loop, struct tapsi_properties *properties,
                                struct tapsi_security *security, const struct tapsi_framers *framers);
struct tapsi_env *tapsi_env_ref(struct tapsi_env *env);
void tapsi_env_unref(struct tapsi_env *env);

/* Where a stack is to go: made by the candidate, borrowed during make and listen. */
struct tapsi_target {
    const union tapsi_addr *remote; /* with port; NULL when listening */
    const union tapsi_addr *local;  /* address and port to bind; NULL or port 0: the system chooses */
    const char *interface;          /* bind to this device; NULL = as routed */
    unsigned interface_index;
    bool v6_only;                  /* listening on [::]: IPv4 has a socket of its own */
    bool choose_source;            /* there are stable and temporary addresses: the kernel is told which are wanted */
    const char *server_name;       /* to verify and for SNI; NULL = the remote has no name */
    const struct tapsi_gate *gate; /* listening: who may come in; the row's, see below */
};

enum tapsi_layer_state {
    TAPSI_LAYER_NEW,
    TAPSI_LAYER_STARTING,
    TAPSI_LAYER_READY,
    TAPSI_LAYER_CLOSING,
    TAPSI_LAYER_CLOSED
};

enum { TAPSI_HANDLED = 0, TAPSI_PASS = 1 };

/* What `get` can be asked beside a public property. */
enum tapsi_get {
    TAPSI_GET_LOCAL = 1000, /* address */
    TAPSI_GET_REMOTE,       /* address */
    TAPSI_GET_INTERFACE,    /* value.integer: the index of that by which the peer's packets come in, if that is known */
    TAPSI_GET_ALPN,         /* text, borrowed from the layer */
    TAPSI_GET_SECURITY,     /* text: "TLS 1.3" */
    TAPSI_GET_SPOKE,        /* value.boolean: the handshake failed, and yet the peer speaks the security protocol */
    TAPSI_GET_UNSENT,       /* value.integer: bytes accepted and not given to the kernel */
    TAPSI_GET_UNACKED,      /* value.integer: bytes given to the kernel that the peer has not acknowledged */
    TAPSI_GET_HANDSHAKE,    /* handshake: of a secure layer that is ready */
    TAPSI_GET_BOND,         /* bond: of a stream of a session; not handled: it is alone. READY or not */
    TAPSI_GET_READY,        /* ready: of a child that was READY, what `ready` would have told; not handled: nothing */
    TAPSI_GET_EARLY_ROOM,   /* value.integer: bytes of EARLY ops that it takes before `start`; not handled: none */
};

struct tapsi_ready_info {
    enum taps_security_protocol security; /* 0 = none in this stack */
    bool authenticated;                   /* the peer's identity was verified */
    bool resumed;                         /* by a ticket of an earlier session */
    bool early;                           /* ops that were handed down EARLY were taken by the peer as early data */
};

union tapsi_got {
    struct taps_value value;
    union tapsi_addr address;
    const char *text;
    struct tapsi_bond *bond;
    const struct tapsi_handshake *handshake;
    struct tapsi_ready_info ready;
};

/* What the layers of one multiplexed session (QUIC, SCTP) have in common: their Connections are one Connection Group.
   Embedded in the session, zero at first; lives at least as long as any layer that points to it, and then the session
   says so (tapsi_bond_done).
   The session has the window that its streams share, so it schedules them by itself, at its flush (base/sched.h): what
   is handed down is not held back above it. For that `set` tells the layer TAPS_CONN_PRIORITY, of the stream, and
   TAPS_CONN_SCHEDULER and TAPS_GROUP_CONN_LIMIT, of the session. It answers `get` of TAPS_DIRECTION: the
   stream's, as this end sees it. */
struct tapsi_bond {
    void *group;                           /* the connection room's: its struct tapsi_group, or NULL */
    void (*gone)(struct tapsi_bond *bond); /* the connection room's, or NULL */
};

/* How a further stream of a session is to be. */
struct tapsi_clone {
    struct tapsi_env *env;         /* of the new Connection */
    enum taps_direction direction; /* as this end sees it */
};

/* A path that a session may take (RFC 9622, 7.5). */
struct tapsi_way {
    union tapsi_addr local;   /* to bind; its port is 0. Family 0: as the system chooses */
    union tapsi_addr remote;  /* with port. Family 0: the peer's address as it is */
    const char *interface;    /* bind to this device; NULL: as routed */
    unsigned interface_index; /* 0: not known */
};

enum tapsi_event {
    TAPSI_EVENT_SOFT_ERROR, /* value: const struct tapsi_error * */
    TAPSI_EVENT_PATH,       /* addresses or mtu changed; fields are updated already */
    TAPSI_EVENT_PEER_STOP,  /* sends fail from now on */
    TAPSI_EVENT_ROOM,       /* of a listener: of env->half_open, fewer are in progress, so there may be room for more */
};

struct tapsi_layer_ops {
    /* Begin, in the role known; lower layers are started by this one. Then `ready` or `closed`. */
    int (*start)(struct tapsi_layer *layer);
    /* Takes one reference of the op. Only when READY. Queues, marks dirty; or hands it on to below, with bytes of its
       own around it (tapsi_op_prepend, tapsi_op_append and no other). */
    int (*send)(struct tapsi_layer *layer, struct tapsi_op *op);
    /* Credit went from zero to positive. */
    void (*want)(struct tapsi_layer *layer);
    /* Once per turn for a dirty layer: make packets from the queue, hand them down. May finish ops, may call up. NULL =
       nothing to gather. */
    void (*flush)(struct tapsi_layer *layer);
    /* Graceful, both ways, after the last op was handed down; then exactly one `closed`. Only when READY. NULL only in
       listeners, which are just destroyed. */
    int (*close)(struct tapsi_layer *layer);
    /* Any state; called through tapsi_layer_destroy, which has cut the sink. Drops queued ops without `done`, stops
       timers, destroys below. `reason` 0: silently; else the peer is told (TCP: RST). */
    void (*destroy)(struct tapsi_layer *layer, int reason);
    /* Frees the layer's memory: called by the reaper. */
    void (*free)(struct tapsi_layer *layer);
    /* TAPSI_HANDLED, TAPSI_PASS (also when the slot is NULL), or a negative taps_err. */
    int (*set)(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value);
    int (*get)(struct tapsi_layer *layer, int what, union tapsi_got *ret);
    /* Sets those of values[TAPS_STATISTIC_COUNT] that this layer knows. NULL = none. */
    void (*statistics)(struct tapsi_layer *layer, uint64_t *values);
    /* A further stream of this layer's session: a bottom of its own, NEW, without a sink; to be started. Where the peer
       allows no more streams now it stays STARTING. NULL: there is one session for each Connection. */
    int (*clone)(struct tapsi_layer *layer, const struct tapsi_clone *how, struct tapsi_layer **ret,
                 struct tapsi_error *ret_error);
    /* The paths that its session may take from now on, best first, instead of those said before; borrowed for the call.
       Only when READY or CLOSING. None: the one it has, as long as that works. Whether and when it takes another is the
       session's to decide, by TAPS_MULTIPATH_POLICY; what it took is told by TAPSI_EVENT_PATH on every layer of the
       session, and what it could not take by TAPSI_EVENT_SOFT_ERROR. 0 or a negative taps_err with words
       (TAPS_E_POLICY: the peer forbids it). NULL: it cannot move. */
    int (*paths)(struct tapsi_layer *layer, const struct tapsi_way *ways, size_t count, struct tapsi_error *ret_error);
};

struct tapsi_layer {
    const struct tapsi_layer_ops *ops;
    struct tapsi_env *env; /* a reference */
    struct tapsi_sink *up;
    struct tapsi_task task;  /* flush while alive, reap when dead */
    struct tapsi_link queue; /* ops */
    size_t queued;           /* bytes in queue */
    size_t want;             /* credit in bytes; each slice costs max(length, 1). The sink sets it */
    uint8_t state;           /* enum tapsi_layer_state; one writer: tapsi_layer_set_state */
    uint8_t role;            /* enum tapsi_role */
    uint8_t height;
    bool dead;
    bool drains;       /* tapsi_layer_drain */
    bool prompt;       /* what it delivers now is delivered outside of any call of its own: the sink may act at once */
    uint8_t head_room; /* bytes it is going to put in front of the next op, if known: room is left for them */
    uint32_t ahead;    /* bytes it accepts unfinished from above */
    uint32_t mtu;      /* one packet's payload here; 0 = not applicable */
    uint32_t max_message;      /* largest message, of the top: the Connection refuses what is longer; 0 = no limit */
    struct tapsi_layer *below; /* NULL at the bottom */
};

/* Who receives a layer's up-calls. Embedded in its owner. Any entry but closed may be NULL: not interested. */
struct tapsi_sink_ops {
    void (*ready)(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info);
    void (*data)(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_slice *slice);
    /* The last word, at most once; all ops were finished before. NULL error: after all data. With error: at once.
       Before ready: this candidate failed. The layer still must be destroyed. */
    void (*closed)(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error);
    void (*event)(struct tapsi_sink *sink, struct tapsi_layer *layer, enum tapsi_event event, const void *value);
    /* A listener's new peer, or a session's new stream that the peer opened, told by any of the session's layers: the
       callee owns `child` (destroys it to refuse). It is READY or NEW; its `up` is not set. */
    void (*child)(struct tapsi_sink *sink, struct tapsi_layer *listener, struct tapsi_layer *child);
};

struct tapsi_sink {
    const struct tapsi_sink_ops *ops;
};

/* Which datagrams of a shared UDP port are whose: RFC 9443, by the first byte. OTHER also has those that nobody asked
   for. */
enum tapsi_port_class { TAPSI_PORT_STUN, TAPSI_PORT_DTLS, TAPSI_PORT_QUIC, TAPSI_PORT_OTHER, TAPSI_PORT_CLASSES };

/* What a protocol over datagrams says of a stranger, before anything is kept of it. */
struct tapsi_datagram;
struct tapsi_gate {
    enum tapsi_port_class class;
    /* true: it may come in, as a new peer whose first datagram this is. false: not (yet); `reply`, if *reply_length is
       set, is sent back. `reply` has 2048 bytes, and no more than came may go out. */
    bool (*stranger)(struct tapsi_env *env, const struct tapsi_datagram *datagram, uint8_t *reply,
                     size_t *reply_length);
};

enum tapsi_proto_needs { TAPSI_NEEDS_NOTHING, TAPSI_NEEDS_STREAM, TAPSI_NEEDS_DATAGRAM };
enum tapsi_proto_offers { TAPSI_OFFERS_STREAM, TAPSI_OFFERS_DATAGRAM, TAPSI_OFFERS_MESSAGE };

/* A protocol: constant, one per folder. */
struct tapsi_proto {
    const char *name;
    enum tapsi_proto_needs needs;
    enum tapsi_proto_offers offers;
    int ip_protocol; /* bottoms: IPPROTO_TCP where port numbers are TCP's; else they are UDP's */
    bool secure;
    /* A layer over `below` (NULL for a bottom), NEW. On success it owns `below`. A `below` that is READY is legal: an
       accepted connection. */
    int (*make)(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error);
    /* What can be found wrong before any peer comes (certificates that are none): 0 or a negative taps_err with words.
       NULL: nothing. */
    int (*check)(struct tapsi_env *env, enum tapsi_role role, struct tapsi_error *ret_error);
    /* Bottoms only: a listener layer whose `child` events go to `sink`. Listening when it returns. `want` = children
       still allowed. NULL: cannot listen. */
    int (*listen)(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                  struct tapsi_layer **ret, struct tapsi_error *ret_error);
    const struct tapsi_gate *gate; /* of the lowest above datagrams; NULL: everybody comes in */
};

/* ------------------------------------------------------------------------------------ helpers, for layers */

/* Fills the base; takes a reference of env; height is below's + 1. */
void tapsi_layer_init(struct tapsi_layer *layer, const struct tapsi_layer_ops *ops, struct tapsi_env *env,
                      struct tapsi_layer *below);
void tapsi_layer_set_state(struct tapsi_layer *layer, enum tapsi_layer_state state);
/* Asks for `flush` in this turn (or the next). */
void tapsi_layer_dirty(struct tapsi_layer *layer);
/* Puts an op at the end of the queue, and marks dirty: what most `send` slots are. */
int tapsi_layer_enqueue(struct tapsi_layer *layer, struct tapsi_op *op);
/* Bytes in the queue that the layer has not used yet. */
size_t tapsi_layer_unused(const struct tapsi_layer *layer);
/* Finishes every queued op with `result`. */
void tapsi_layer_fail_queue(struct tapsi_layer *layer, int result);
/* The up-calls. They check `dead`, keep the state, and do nothing once cut. deliver takes its cost off `want`. */
void tapsi_layer_ready(struct tapsi_layer *layer, const struct tapsi_ready_info *info);
void tapsi_layer_deliver(struct tapsi_layer *layer, const struct tapsi_slice *slice);
void tapsi_layer_closed(struct tapsi_layer *layer, const struct tapsi_error *error);
void tapsi_layer_event(struct tapsi_layer *layer, enum tapsi_event event, const void *value);
/* A session dies (its last act, when no layer of it is left): its group is told. */
void tapsi_bond_done(struct tapsi_bond *bond);

/* ------------------------------------------------------------------------------------- helpers, for sinks */

int tapsi_layer_start(struct tapsi_layer *layer);
int tapsi_layer_send(struct tapsi_layer *layer, struct tapsi_op *op);
/* Absolute: the sink now takes `bytes`. Calls the slot when it was zero. */
void tapsi_layer_want(struct tapsi_layer *layer, size_t bytes);
/* Close was called above: what comes from now on is read and dropped, so that a peer that is stuck with it goes on
   reading what we send, and an end in the middle of it is an end like any other, no error. Here and below. */
void tapsi_layer_drain(struct tapsi_layer *layer);
/* Taken also when the layer is CLOSING by itself, since both directions have ended: `closed` is to come then. */
int tapsi_layer_close(struct tapsi_layer *layer);
/* A further stream of the session at the bottom of this stack. TAPS_E_NOT_CLONEABLE, with words, where it has none. */
int tapsi_layer_clone(struct tapsi_layer *layer, const struct tapsi_clone *how, struct tapsi_layer **ret,
                      struct tapsi_error *ret_error);
/* The paths that the session at the bottom of this stack may take. TAPS_E_NOT_APPLICABLE where it cannot move. */
int tapsi_layer_paths(struct tapsi_layer *layer, const struct tapsi_way *ways, size_t count,
                      struct tapsi_error *ret_error);
/* Can it take others at all? */
bool tapsi_layer_moves(const struct tapsi_layer *layer);
/* Up: a session's new stream, by any of its layers. Nobody takes it: it is destroyed. */
void tapsi_layer_child(struct tapsi_layer *layer, struct tapsi_layer *child);
/* Cuts the sink, destroys the layer and all below it; the memory goes at the end of the turn. NULL is allowed. */
void tapsi_layer_destroy(struct tapsi_layer *layer, int reason);
/* Walk from here downwards until one handles it. TAPS_E_NOT_APPLICABLE if none does. */
int tapsi_layer_set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value);
int tapsi_layer_get(struct tapsi_layer *layer, int what, union tapsi_got *ret);
/* Fills values[TAPS_STATISTIC_COUNT] with what all layers from here downwards know, and TAPS_UNKNOWN. NULL is allowed.
 */
void tapsi_layer_statistics(struct tapsi_layer *layer, uint64_t *values);

#endif
