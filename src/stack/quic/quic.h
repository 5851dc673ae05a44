/* QUIC inside this folder: the session, its streams, the server's endpoint, and what its files do for each other. */
#ifndef TAPSI_STACK_QUIC_QUIC_H
#define TAPSI_STACK_QUIC_QUIC_H

#include "base/sched.h"
#include "base/siphash.h"
#include "stack/port/port.h"
#include "stack/quic/ngtcp2.h"
#include "stack/secure/handshake.h"

#define QUIC_SPARE          64                /* bytes: engine_malloc. More would be taken by others */
#define QUIC_CID            8                 /* bytes of the connection IDs that a server gives out */
#define QUIC_STREAM_WINDOW  (256 * 1024)      /* at first; ngtcp2 widens it as the path needs it */
#define QUIC_STREAM_MOST    (4 * 1024 * 1024) /* what one stream may make us hold */
#define QUIC_WINDOW         (1024 * 1024)     /* of all streams, at first */
#define QUIC_MOST           (6 * 1024 * 1024)
#define QUIC_BUDGET         (2 * 1024 * 1024) /* held by all streams together: above it the peer waits for the readers */
#define QUIC_STREAMS        100               /* that the peer may have open, where groupConnLimit says nothing */
#define QUIC_STREAMS_MOST   65536
#define QUIC_IDLE           (120 * TAPSI_S) /* without a packet, where connTimeout says nothing */
#define QUIC_FAILING_MOST   64 /* sessions that failed in the handshake, and linger: what anybody can cause */
#define QUIC_TOKEN_LIFE     (24 * 60 * 60 * TAPSI_S) /* of an address token, for the next connection */
#define QUIC_HANDSHAKE_TIME (10 * TAPSI_S)
#define QUIC_PACKET_MOST    1500  /* bytes of the largest packet we write, but for those of this machine */
#define QUIC_PACKET_LOCAL   16250 /* and of those: four make a train */
#define QUIC_SEGMENT        1200  /* of one turn of a stream, where streams take turns by packets */
#define QUIC_BURST          12000 /* that leaves without a pause: ten packets, as RFC 9002, 7.7 allows */
#define QUIC_FRAME_MOST     65535 /* of a datagram frame that we take */
#define QUIC_REASON_MAX     128

struct quic_session;
struct quic_away;
struct quic_endpoint;
struct quic_flow;
struct quic_mover;
struct quic_notes;
struct tapsi_issuer;

/* A piece of what came, in order. */
struct quic_piece {
    struct tapsi_buffer *buffer; /* a reference */
    const uint8_t *data;
    size_t length;
    bool early;
};

/*
 * A stream. Two hold it: the layer until it is freed, and the engine until it has forgotten the stream, since it reads
 * what was not acknowledged yet.
 */
struct quic_stream {
    struct tapsi_layer layer;
    struct quic_session *session;   /* a reference */
    struct tapsi_link link;         /* of the session's streams */
    struct tapsi_link news;         /* of those with something to tell */
    struct tapsi_link turn;         /* of those that wait to be opened, or to go up */
    struct tapsi_sched_entry entry; /* among those with something to send */
    struct tapsi_timer patience;    /* of close */
    double close_timeout;           /* seconds; negative: none */
    int64_t id;                     /* -1: not open */

    /* out */
    struct tapsi_op **kept; /* a ring of the ops whose bytes the engine may read: a reference each */
    uint32_t kept_size, kept_first, kept_count;
    uint32_t waiting;  /* ops in the queue, at most: the ring has room for them */
    size_t kept_acked; /* bytes of the first of them that the peer has */
    uint64_t sent, acked;
    uint64_t acked_news;        /* told by the engine, not yet taken off the ring */
    struct tapsi_link finished; /* ops whose last byte is in a packet: to be told */

    /* in */
    struct quic_piece *pieces;
    uint32_t piece_size, piece_first, piece_count;
    size_t held; /* bytes in them */
    uint64_t received;
    uint64_t reset_code; /* of the peer's RESET_STREAM */

    bool remote : 1;        /* the peer opened it */
    bool uni : 1;           /* one direction */
    bool layered : 1;       /* the layer is not freed yet */
    bool engaged : 1;       /* the engine knows it */
    bool engine_closed : 1; /* and has forgotten it */
    bool final_taken : 1;   /* a FINAL op is queued or sent */
    bool closing : 1;       /* close was asked for: our end follows the queue */
    bool fin_sent : 1;
    bool fin_acked : 1;
    bool fin_received : 1;
    bool fin_told : 1;
    bool reset : 1;   /* by the peer */
    bool stopped : 1; /* the peer wants no more of what we send */
    bool stop_told : 1;
    bool blocked : 1; /* by its own window */
    bool moved : 1;   /* the path is another: to be told */
    bool warned : 1;  /* session->warning is to be told */
    bool early : 1;   /* what it took before its start goes as early data, or came so */
};

/* Where packets leave. A client has a socket for each path that it uses, has just left, or tries. */
struct quic_path {
    struct tapsi_port_user user;  /* clients: the connected port's */
    struct tapsi_port *port;      /* a reference; NULL: closed */
    struct quic_session *session; /* not a reference */
    struct tapsi_link link;       /* clients: of the session's paths, while it is open */
    union tapsi_addr local, remote;
    unsigned interface_index;
    int failed;      /* a positive errno: what leaves by it does not arrive */
    uint64_t quiet;  /* of one that was left: when it is closed */
    uint8_t verdict; /* of the engine, on whether it works: ngtcp2_path_validation_result and 1 */
};

/* In seconds; negative: disabled. */
struct quic_times {
    double connection, keep_alive;
    bool keep_alive_set;
    enum taps_preference keeps_alive;
};

enum quic_state { QUIC_HANDSHAKE, QUIC_OPEN, QUIC_OVER };

struct quic_session {
    struct tapsi_bond bond;
    struct tapsi_handshake hs;
    struct tapsi_env *env; /* a reference */
    struct tapsi_task task;
    struct tapsi_timer timer;
    unsigned refs, layers;
    uint8_t state; /* enum quic_state */
    enum tapsi_role role;
    ngtcp2_conn *conn;             /* NULL once it is over, and while it is away */
    struct quic_away *away;        /* the handshake waits for a slow key, or may come to it; else NULL */
    ngtcp2_mem mem;                /* the engine's */
    struct quic_path *path, first; /* path: where packets leave now; `first`, as long as no other was taken */
    struct tapsi_link paths;
    void *spare;                    /* of QUIC_SPARE bytes, with `second`, until they are needed */
    struct quic_endpoint *host;     /* there; NULL: none. A reference */
    struct quic_path *second;       /* a server's other address, at which it would rather meet its client, or NULL */
    struct quic_mover *mover;       /* clients that may take other paths, or NULL */
    struct tapsi_error *warning;    /* the latest that does not end it: told as a soft error */
    uint64_t next_soft;             /* ICMP is told no earlier */
    union tapsi_addr local, remote; /* of `path`, as last used */
    union tapsi_addr known;         /* what the engine takes for `local` */
    unsigned interface_index;
    unsigned changes;  /* of a client's address, seen by a server */
    unsigned unproven; /* of them, since one was validated */
    uint64_t proven;   /* when the latest was */
    unsigned pinned;   /* not 0: no other is followed now */
    uint64_t
        unfollowed; /* since when a client's packets come from where the engine does not follow it; 0: they do not */
    int policy;     /* enum taps_multipath_policy */
    struct quic_endpoint *endpoint; /* servers; NULL once it has left it */
    struct tapsi_link member;       /* of the endpoint's sessions */
    struct tapsi_link feed;         /* of those that something came for, with a reference */
    struct tapsi_link streams, news, opening[2], arrivals;
    struct tapsi_sched sending; /* the streams with something to send */
    struct quic_flow *flow;     /* its datagrams, or NULL */
    uint64_t order;             /* of the ops, as they came */
    struct quic_cid *cids;      /* of the endpoint's table */
    ngtcp2_cid odcid;           /* what the client called us at first */

    struct tapsi_buffer *plain; /* being filled with what was received */
    struct tapsi_buffer *train; /* written, and not taken by the kernel yet */
    size_t train_length, train_segment;
    struct quic_path *train_path;
    struct tapsi_port_way train_way;

    struct quic_times times;
    uint64_t streams_allowed;    /* the peer may have open */
    uint64_t streams_granted[2]; /* of both directions, and of one: in all, as it was told */
    uint64_t streams_used[2];    /* of those */
    unsigned streams_over[2];    /* that it had, and was not told yet that it may have others */
    uint64_t streams_due;        /* when it is to be told; 0 = nothing */
    uint64_t unacked;            /* bytes of all streams in packets that are not acknowledged */
    uint64_t progress;           /* when one was last, or the first was sent */
    size_t burst;                /* bytes written since the last pause */
    size_t packet_most;          /* local: bytes of the largest packet */
    size_t held;                 /* bytes that all streams hold */
    uint64_t owed;               /* window of the connection not given back yet */
    uint64_t retired;            /* the peer has taken back its connection IDs below this one (scrub.c) */
    uint64_t path_change;        /* when the peer's address was last another */
    int profile;                 /* the capacity profile */
    unsigned held_back;          /* rounds that writing has waited for the application */
    struct quic_notes *notes;    /* a client's, for its tickets (resume.c); or NULL */

    struct tapsi_buffer *last; /* its CONNECTION_CLOSE, said again to who has not heard it */
    unsigned heard;            /* packets since */
    struct tapsi_error *error; /* why it is over; NULL: no error */
    bool failed : 1;           /* `error` was to be told, even if there was no memory for it */
    bool running : 1;
    bool lingers : 1;   /* over, and its connection IDs are still known */
    bool failing : 1;   /* so, and never open */
    bool completed : 1; /* the engine says so; not yet looked at */
    bool asked : 1;     /* done, but the application still has to say whether it trusts the peer */
    bool counted : 1;   /* among the handshakes in progress */
    bool more_streams : 1;
    bool leaving : 1;   /* the last layer is gone */
    bool datagrams : 1; /* made for them: we take them, and open no stream */
    bool flow_over : 1; /* their layer is gone */
    bool refused : 1;   /* the network says so */
    bool fed : 1;
    bool reset : 1; /* the peer knows nothing of it any more */
    bool freed : 1;
    bool keeps_alive : 1;
    bool confirmed : 1;     /* a client's handshake: the peer knows that it is done */
    bool begun : 1;         /* its first packet was written */
    bool admitted : 1;      /* the peer is who it has to be: what it sends may go up, also when it has closed */
    bool early : 1;         /* a client's: early data goes with the first flight */
    bool early_refused : 1; /* the server did not take it: the engine has forgotten its streams */
    bool early_taken : 1;
    bool local_peer : 1; /* on this machine: the engine leaves the size of packets to us */
    bool has_read : 1;   /* packets, since it wrote */
    bool sized : 1;      /* and the system was asked for it */
    bool fixed : 1;      /* a server's: its client must not take other paths */
    bool stuck : 1;      /* so, and its engine waits for another path */
    bool early_in : 1;   /* a server's: what came early goes up, before the handshake is done */
};

/* session.c */
/* A client's, with its path; the reference is the caller's. */
int tapsi_quic_make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                    struct quic_session **ret, struct tapsi_error *ret_error);
int tapsi_quic_check(struct tapsi_env *env, enum tapsi_role role, struct tapsi_error *ret_error);
/* The first layer starts: shakes hands. Failing is told later. */
void tapsi_quic_start(struct quic_session *s);
struct quic_session *tapsi_quic_session_new(struct tapsi_env *env, const struct tapsi_target *target,
                                            enum tapsi_role role, struct tapsi_error *ret_error);
struct quic_session *tapsi_quic_ref(struct quic_session *s);
void tapsi_quic_unref(struct quic_session *s);
/* The engine has been run: tells what it said, writes, sets the timer. Calls up. */
void tapsi_quic_run(struct quic_session *s);
/* Asks for that in this turn. */
void tapsi_quic_dirty(struct quic_session *s);
/* A layer is gone. */
void tapsi_quic_layer_gone(struct quic_session *s);
/* Ends it. The peer is told `ccerr`, or nothing if that is NULL; the streams are told session->error. */
void tapsi_quic_end(struct quic_session *s, const ngtcp2_ccerr *ccerr);
/* Ends it without an error. */
void tapsi_quic_leave(struct quic_session *s);
/* Among the Listener's handshakes in progress, or not any more. */
void tapsi_quic_count(struct quic_session *s, bool on);
/* Nobody takes new streams: without one of its own it ends. */
void tapsi_quic_listener_gone(struct quic_session *s);

/* engine.c */
struct quic_times tapsi_quic_times(const struct tapsi_properties *p);
/* The transport parameters and settings of this end. */
void tapsi_quic_parameters(struct quic_session *s, ngtcp2_transport_params *params, ngtcp2_settings *settings);
ngtcp2_path tapsi_quic_ngtcp2_path(struct quic_session *s);
/* What a client's first packet shows of its address. */
enum quic_proof { QUIC_NO_PROOF, QUIC_RETRY_PROOF, QUIC_TOKEN_PROOF };

/* Makes the connection and its TLS session. 0 or a negative taps_err, with words in ret_error. */
int tapsi_quic_connect(struct quic_session *s, struct tapsi_error *ret_error);
/* The same of a server, for the packet `hd`. `original`: what the client called us before Retry, if that is the proof.
 */
int tapsi_quic_accept(struct quic_session *s, const ngtcp2_pkt_hd *hd, enum quic_proof proof,
                      const ngtcp2_cid *original, struct tapsi_error *ret_error);
/* Its client has been told that it must not move: from now on this is not the engine's to judge. */
void tapsi_quic_judge_alone(struct quic_session *s);
/* Keep-alive as `times` say, once open. */
void tapsi_quic_keep_alive(struct quic_session *s);

/* resume.c */
/* A client's, before its session is open: what tickets need beside themselves is kept. */
void tapsi_quic_take_notes(struct quic_session *s);
void tapsi_quic_forget_notes(struct quic_session *s);
/* Engine callback: an address token. */
void tapsi_quic_token_came(struct quic_session *s, const uint8_t *bytes, size_t length);
/* The session is open: tickets are taken and given. 0 or a GnuTLS error, with words. */
int tapsi_quic_resume(struct quic_session *s);
/* Bytes of EARLY ops that a stream takes before it starts. */
size_t tapsi_quic_early_room(struct quic_stream *st);
/* Behind tapsi_quic_resume: the streams that have early data are opened. 0 or an error of ngtcp2. */
int tapsi_quic_begin_early(struct quic_session *s);
/* The handshake is done, and it is known what became of it. */
void tapsi_quic_settle_early(struct quic_session *s);
/* Of a server's session that shakes hands: may what came early go up? */
void tapsi_quic_let_early_in(struct quic_session *s);
/* Is it known what the handshake has agreed on? */
bool tapsi_quic_is_agreed(const struct quic_session *s);
/* Engine callback of a server: the handshake is done. */
void tapsi_quic_give_tickets(struct quic_session *s);
/* Does a token of NEW_TOKEN prove the address? Once: it is used up. */
bool tapsi_quic_use_token(struct quic_endpoint *e, const union tapsi_addr *from, const uint8_t *token, size_t length);

/* io.c */
/* Reads one packet. May end the session; does not call up. */
void tapsi_quic_read(struct quic_session *s, const struct tapsi_datagram *d);
/* A packet was read, and this is what the engine said. `elsewhere`: not over the path that was used last. */
void tapsi_quic_read_done(struct quic_session *s, bool elsewhere, int r);
/* Writes what may be written. May end the session; does not call up. */
void tapsi_quic_write(struct quic_session *s);
/* Hands the last packet, which says `ccerr`, to the kernel. */
void tapsi_quic_write_close(struct quic_session *s, const ngtcp2_ccerr *ccerr);
/* A packet came for a session that lingers, by this endpoint. */
void tapsi_quic_say_again(struct quic_session *s, struct quic_endpoint *e, const struct tapsi_datagram *d);
/* The engine uses another path, or may do so: takes it, which all layers are to be told. */
void tapsi_quic_follow(struct quic_session *s);

/* scrub.c: frames that ngtcp2 must not see. */
enum quic_scrub {
    QUIC_SCRUB_OPEN,    /* of 1-RTT */
    QUIC_SCRUB_EARLY,   /* of 0-RTT */
    QUIC_SCRUB_OPENING, /* of 1-RTT, before the client's handshake is over: "retire prior to" becomes zero */
};
/* Takes out of the frames of a decrypted packet each NEW_CONNECTION_ID below *retired, the largest "retire prior to" of
   the frames before, which is kept up to date. */
void tapsi_quic_scrub(uint8_t *frames, size_t length, enum quic_scrub how, uint64_t *retired);
/* From now on this thread reads a packet of `s`, or of nobody: NULL. */
void tapsi_quic_reads(struct quic_session *s);
/* Engine callback. */
int tapsi_quic_decrypt(uint8_t *to, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *context,
                       const uint8_t *from, size_t length, const uint8_t *nonce, size_t nonce_length,
                       const uint8_t *header, size_t header_length);

/* away.c: handshakes that wait for a slow private key. */
/* May reading a packet come to that? */
bool tapsi_quic_may_go_away(const struct quic_session *s);
/* Reads one so that it may wait. */
void tapsi_quic_read_away(struct quic_session *s, const ngtcp2_path *path, const ngtcp2_pkt_info *info,
                          const struct tapsi_datagram *d, bool elsewhere);
/* It is ended, or its time is over: the key's answer is for nobody, and the engine is there again. */
void tapsi_quic_come_back(struct quic_session *s);

/* size.c: how large packets are. */
/* The bytes of the largest packet that the path takes. */
size_t tapsi_quic_packet_most(const struct quic_session *s);
/* Is the peer on this machine? */
bool tapsi_quic_is_local(const struct quic_session *s);
/* The path is open, or another: what does it take? Nothing to do for a path through a network. */
void tapsi_quic_size_packets(struct quic_session *s);

/* path.c: a client's sockets. */
/* The first. */
int tapsi_quic_open_path(struct quic_session *s, const struct tapsi_target *target, struct tapsi_error *ret_error);
/* A further one. NULL with words. */
struct quic_path *tapsi_quic_add_path(struct quic_session *s, const struct tapsi_target *target,
                                      struct tapsi_error *ret_error);
/* Of a client or server; what was written for it and not taken by the kernel is lost. */
void tapsi_quic_close_path(struct quic_path *path);
void tapsi_quic_close_paths(struct quic_session *s);
/* The open path with these addresses, or NULL. */
struct quic_path *tapsi_quic_find_path(struct quic_session *s, const ngtcp2_path *path);
/* All layers are to hear it as a soft error; borrowed. */
void tapsi_quic_warn(struct quic_session *s, const struct tapsi_error *error);

/* linger.c: a client's session is over, and has said so: its socket is kept for so long. */
void tapsi_quic_linger(struct quic_session *s, uint64_t time);

/* move.c: which path a client takes. */
int tapsi_quic_paths(struct quic_session *s, const struct tapsi_way *ways, size_t count, struct tapsi_error *ret_error);
/* Looks whether another is to be taken: the engine is not running, and nothing is called above. May end the session. */
void tapsi_quic_move(struct quic_session *s);
/* A path to an address that the server prefers, which the engine is about to validate. NULL: it is not to be tried. */
const struct quic_path *tapsi_quic_try(struct quic_session *s, const union tapsi_addr *remote);
/* Packets were written: `path` is that of the last. */
void tapsi_quic_wrote(struct quic_session *s, const struct quic_path *path);
/* Is it being tried? Then what comes by it is about itself. */
bool tapsi_quic_tries(const struct quic_session *s, const struct quic_path *path);
/* It is closed. */
void tapsi_quic_path_gone(struct quic_session *s, const struct quic_path *path);
void tapsi_quic_mover_free(struct quic_session *s);

/* error.c: fill in session->error. */
void tapsi_quic_fail(struct quic_session *s, int liberr);        /* and ends it */
void tapsi_quic_peer_closed(struct quic_session *s);             /* and ends it */
void tapsi_quic_network_failed(struct quic_session *s, int err); /* the same; a positive errno */
void tapsi_quic_no_memory(struct quic_session *s);               /* the same */
/* session->error, or one about memory, in `unsaid`; NULL = there is none. */
const struct tapsi_error *tapsi_quic_why(const struct quic_session *s, struct tapsi_error *unsaid);
struct tapsi_error *tapsi_quic_error(struct quic_session *s);
int tapsi_quic_native(uint64_t code);

/* stream.c */
/* A layer, NEW. */
struct quic_stream *tapsi_quic_stream_new(struct quic_session *s, struct tapsi_env *env, bool uni);
/* Opens it in the engine: 0, or a negative error of ngtcp2. */
int tapsi_quic_stream_open(struct quic_stream *st);
/* The engine has forgotten it, and nothing that was sent: it goes back to those that are to be opened. */
void tapsi_quic_stream_begin_again(struct quic_stream *st);
/* The engine has forgotten it: called when it is not running. */
void tapsi_quic_stream_release(struct quic_stream *st);
/* The peer is told of all streams that it may have. */
void tapsi_quic_allow_streams(struct quic_session *s);
bool tapsi_quic_stream_can_send(const struct quic_stream *st);
bool tapsi_quic_stream_receives(const struct quic_stream *st);
bool tapsi_quic_stream_sends(const struct quic_stream *st);
/* Puts it in its place among those that send, if it has something to send. */
void tapsi_quic_stream_queue(struct quic_stream *st);
void tapsi_quic_stream_news(struct quic_stream *st);
/* From now on the peer has the close timeout to do something. */
void tapsi_quic_stream_wait(struct quic_stream *st);

/* flow.c: bytes of a stream. */
int tapsi_quic_keep(struct quic_stream *st, const uint8_t *data, size_t length, bool early);
/* Delivers what is wanted, tells ends. Calls up; look at layer.dead. */
void tapsi_quic_stream_tell(struct quic_stream *st);
/* `count` bytes of the queue are in a packet, and our end with `fin`. Calls up. */
void tapsi_quic_advance(struct quic_stream *st, size_t count, bool fin);
/* The bytes to send next; sets whether our end goes with them. */
size_t tapsi_quic_gather(const struct quic_stream *st, ngtcp2_vec *vec, size_t most, size_t *ret_bytes, bool *ret_fin);
void tapsi_quic_drop_held(struct quic_stream *st);
void tapsi_quic_drop_kept(struct quic_stream *st);
int tapsi_quic_reserve(struct quic_stream *st);
/* The connection's window, as far as the budget allows. */
void tapsi_quic_give_back(struct quic_session *s);

/* cids.c: which session a packet is for. */
struct quic_cid {
    struct quic_cid *next;    /* in its bucket */
    struct quic_cid *sibling; /* of its session */
    struct quic_session *session;
    uint8_t length, bytes[NGTCP2_MAX_CIDLEN];
};

struct quic_cids {
    struct tapsi_mem *mem;
    struct tapsi_siphash_key key;
    struct quic_cid **buckets;
    struct quic_cid *recent; /* found last, or NULL */
    size_t size, count;
};

struct quic_session *tapsi_quic_cids_find(struct quic_cids *cids, const uint8_t *bytes, size_t length);
int tapsi_quic_cids_add(struct quic_cids *cids, struct quic_session *s, const uint8_t *bytes, size_t length);
void tapsi_quic_cids_remove(struct quic_cids *cids, struct quic_session *s, const uint8_t *bytes, size_t length);
void tapsi_quic_cids_forget(struct quic_cids *cids, struct quic_session *s);

/* What it tells when it is ready, or would have told if it had not been born so. */
struct tapsi_ready_info tapsi_quic_stream_info(const struct quic_stream *st);

/* property.c: what all layers of a session answer alike. */
int tapsi_quic_set(struct quic_session *s, enum taps_property property, const struct taps_value *value);
int tapsi_quic_get(struct quic_session *s, int what, union tapsi_got *ret);
void tapsi_quic_statistics(struct quic_session *s, uint64_t *values);

/* listen.c */
enum quic_kind { QUIC_STREAMS_OF, QUIC_DATAGRAMS, QUIC_KINDS };

struct quic_endpoint {
    struct tapsi_port_user user;
    struct tapsi_loop *loop;
    struct tapsi_task task;
    struct quic_listener *listeners[QUIC_KINDS]; /* NULL: there is none, or it is gone */
    struct tapsi_link sessions, fed;
    struct quic_cids cids;
    uint8_t secret[32];          /* of tokens and resets */
    struct tapsi_issuer *tokens; /* the address tokens that were used (issuer.h); NULL: none yet */
    unsigned count;              /* of sessions */
    unsigned guests;             /* sessions of other endpoints that may be met here (find_second) */
    unsigned half_open;
    unsigned failing; /* sessions that linger and were never open */
    unsigned busy;    /* on the stack: not to be freed */
    unsigned resets;  /* sent since `reset_time` */
    uint64_t reset_time;
};

int tapsi_quic_listen(struct tapsi_env *env, const struct tapsi_target *target, enum quic_kind kind,
                      struct tapsi_sink *sink, struct tapsi_layer **ret, struct tapsi_error *ret_error);
/* A handshake is over: the Listeners hear at this turn's flush that there may be room. */
void tapsi_quic_say_room(struct quic_endpoint *e);
/* Does anybody listen there? */
bool tapsi_quic_is_heard(const struct quic_endpoint *e);
/* Of a server's session: is there a Listener for its datagrams, which takes one more now? */
bool tapsi_quic_takes_datagrams(const struct quic_session *s);
void tapsi_quic_datagrams_go_up(struct quic_session *s, struct tapsi_layer *layer);
/* A session is over: it leaves the endpoint, and its connection IDs with it. */
void tapsi_quic_endpoint_leave(struct quic_session *s);
/* Peer's streams go up. */
void tapsi_quic_arrivals(struct quic_session *s);
/* No Listener is there any more: what waited for one goes, where no stream is left that could tell of it. */
void tapsi_quic_refuse_newcomers(struct quic_session *s);

#endif
