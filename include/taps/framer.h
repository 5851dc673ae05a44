/*
 * libtaps: Message Framers (RFC 9622, 9.1.2; RFC 9623, section 6).
 *
 * SPDX-License-Identifier: MIT
 *
 * A Framer turns Messages into bytes and bytes into Messages. The application makes one, by name or from a definition
 * of its own, and adds it to a Preconnection; from then on each Connection has its own piece of work with it, a
 * taps_framing. docs/adding-a-framer.md walks through one.
 *
 * Order: the Framer added last is the first to see a Message that is sent, and the last to see bytes that are received.
 * All stand above the security protocol, but those that must speak before it does (TAPS_FRAMER_BELOW_SECURITY).
 *
 * Rules for the functions of a definition. They run on the context's thread, also inside calls of the application
 * (taps_connection_send). They call nothing of the library but the taps_framing_* functions below, with the framing
 * they were given. They never wait; what takes longer ends with taps_framing_resume, later, from anywhere on that
 * thread. A framing is valid from `start` until `done` returns.
 *
 * What a peer can make a Framer hold must have a limit: taps_framing_parse has one, and so must the state.
 */
#ifndef TAPS_FRAMER_H
#define TAPS_FRAMER_H

#include <sys/uio.h>

#include <taps/taps.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct taps_framing taps_framing;

/* -------------------------------------------------------------------------------------- a Framer's definition */

enum taps_framer_flags {
    /* It stands between the transport and the security protocol (STARTTLS): TLS begins when it has made itself ready,
       and it sees no Message of the application. It does not make boundaries. */
    TAPS_FRAMER_BELOW_SECURITY = 1,
    /* It does not make boundaries: Messages go as they were. Without this flag a Connection with it has
       preserveMsgBoundaries. */
    TAPS_FRAMER_TRANSPARENT = 2,
    /* Its protocol has a word of its own for the end of a direction: a final Message does not half-close below. */
    TAPS_FRAMER_ENDS_ITSELF = 4,
    /* Over datagrams: several Messages may share one, if they were sent in the same turn of the loop and fit. */
    TAPS_FRAMER_PACKS = 8,
    /* It takes a Message in parts (TAPS_SEND_PARTIAL); else it is given whole Messages only, and parts are a send_error
       with TAPS_E_MESSAGE_PROPERTIES. */
    TAPS_FRAMER_TAKES_PARTS = 16,
    /* Each Message is framed by itself: one that has not left yet may be dropped when its lifetime is over, and without
       `start` the first ones may go as early data: then they are framed before what is below is ready, once for each
       attempt of the race. */
    TAPS_FRAMER_STATELESS = 32,
    /* Its protocol has words of its own between Messages (acknowledgements, pings): it is asked also while the
       application has no Receive. At most one Message then waits, and nothing behind it is looked at. */
    TAPS_FRAMER_READS_AHEAD = 64,
};

/* Part of a Message, or a whole one, on its way out. */
struct taps_sent_message {
    size_t length;       /* of this part */
    bool start;          /* the Message begins with it */
    bool end_of_message; /* and ends with it */
    bool final;          /* nothing follows this Message */
};

#define TAPS_FRAMING_WAIT 1 /* of new_sent_message and handle_received_data: not now */

/* Static: it lives as long as any Framer made from it. Every function may be NULL unless it says otherwise. */
struct taps_framer_definition {
    const char *name;    /* "length-prefix": the namespace of its metadata */
    unsigned flags;      /* enum taps_framer_flags */
    size_t options_size; /* bytes of its options, which are copied by memcpy */
    size_t state_size;   /* bytes of each framing's state, zeroed before start */
    size_t overhead;     /* over datagrams: bytes it puts around a Message at most */
    void (*defaults)(void *options);
    /* One option from text: 0, TAPS_E_UNKNOWN_PROPERTY, TAPS_E_RANGE. */
    int (*set)(void *options, const char *key, const char *value);

    /* A Connection is being established, and what is below is ready. It may send, and then either says
       taps_framing_make_ready, now or later, or fails, which makes the race go on with the next candidate. NULL: ready
       at once. Returns 0 or a negative taps_err (taps_framing_fail has one with words). */
    int (*start)(taps_framing *framing);
    /* A Message, or part of one, is to be sent: the bytes that stand for it are given to taps_framing_send,
       taps_framing_send_message or taps_framing_send_reserved. 0: done. TAPS_FRAMING_WAIT, with nothing sent: it is
       asked again for the same Message after taps_framing_resume; others wait behind. Negative: this Message alone is
       refused with that error, and nothing of it is sent. NULL: Messages pass unchanged. */
    int (*new_sent_message)(taps_framing *framing, const struct taps_sent_message *message);
    /* Bytes are there that were not there before, or the peer has ended (taps_framing_at_end). It is called again as
       long as it takes some, so it may take one Message at a time. 0. TAPS_FRAMING_WAIT: what it leaves waits for
       taps_framing_resume, also behind the peer's end. A negative taps_err: the Connection ends with it. NULL: bytes
       pass unchanged. */
    int (*handle_received_data)(taps_framing *framing);
    /* The time of taps_framing_wake_after has come. As handle_received_data. */
    int (*wakeup)(taps_framing *framing);
    /* Close: everything that was sent has been handed down, and nothing more is received. It may send a last word, and
       says taps_framing_make_closed when it is done. NULL: at once. As handle_received_data. */
    int (*stop)(taps_framing *framing);
    /* The end, in any state: frees what the state holds. Nothing may be sent any more. */
    void (*done)(taps_framing *framing);
};

/* --------------------------------------------------------------------------------- for the definition's functions */

/* Its zeroed memory; the options of the Framer. */
TAPS_API void *taps_framing_state(taps_framing *framing);
TAPS_API const void *taps_framing_options(const taps_framing *framing);
/* realloc with the context's allocator: block NULL allocates, size 0 frees. NULL = no memory. */
TAPS_API void *taps_framing_resize(taps_framing *framing, void *block, size_t size);

/* Was its Connection accepted by a Listener? */
TAPS_API bool taps_framing_is_server(const taps_framing *framing);
/* Does what is below keep boundaries, and may it lose? */
TAPS_API bool taps_framing_is_datagram(const taps_framing *framing);
/* Is there security in the stack, or will there be? */
TAPS_API bool taps_framing_is_secure(const taps_framing *framing);
/* Initiated: the Remote Endpoint's name (or address) and port, "example.com", 443; accepted: NULL, 0. */
TAPS_API const char *taps_framing_remote_host(const taps_framing *framing);
TAPS_API uint16_t taps_framing_remote_port(const taps_framing *framing);
/* A property of the Connection, as it was when it was initiated or listened for. */
TAPS_API int taps_framing_property(const taps_framing *framing, enum taps_property property,
                                   struct taps_value *ret_value);

/* RFC 9623: MakeConnectionReady, MakeConnectionClosed, FailConnection. fail returns `code`, so that it can be returned.
   Over datagrams, once ready, a failure with TAPS_E_DEFRAMING costs the datagram and is a soft_error: anybody could
   have sent it. */
TAPS_API void taps_framing_make_ready(taps_framing *framing);
/* After stop: the last word was said. Before it, of a Framer that ends itself: the peer's end was answered with this
   side's own, so that the Connection closes once taps_framing_deliver_end has told it. */
TAPS_API void taps_framing_make_closed(taps_framing *framing);
TAPS_API int taps_framing_fail(taps_framing *framing, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* In new_sent_message: returns `code`, with which this Message alone is refused, and adds these words to its
   send_error. */
TAPS_API int taps_framing_refuse(taps_framing *framing, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* RFC 9623: PrependFramer. Before make_ready: another Framer, or TLS in this Connection's role and with its security
   parameters, is put above this one and starts when this one is ready. Bytes that are left then are its own. The
   Framer is copied. */
TAPS_API int taps_framing_prepend_framer(taps_framing *framing, const taps_framer *framer);
TAPS_API int taps_framing_prepend_tls(taps_framing *framing);
/* RFC 9623: StartPassthrough. From now on (once it is ready) Messages and bytes pass it by, those not taken yet
   included. */
TAPS_API void taps_framing_start_passthrough(taps_framing *framing);
/* Asks again what said TAPS_FRAMING_WAIT, or left bytes untaken. */
TAPS_API void taps_framing_resume(taps_framing *framing);
/* `wakeup` is called once, delay_ms from now; a second call replaces the first; TAPS_INFINITE: not at all. */
TAPS_API int taps_framing_wake_after(taps_framing *framing, uint64_t delay_ms);
/* Bytes that nobody can guess: 0 or TAPS_E_SYSTEM. */
TAPS_API int taps_framing_random(taps_framing *framing, void *bytes, size_t length);

/* Sending. Own bytes may be sent at any time from start to make_closed; in new_sent_message, they go where they were
   called for, before or behind the Message's. 0 or TAPS_E_MEMORY. */
TAPS_API int taps_framing_send(taps_framing *framing, const void *data, size_t length);
/* In new_sent_message, at most once: the bytes of the Message, without a copy. */
TAPS_API int taps_framing_send_message(taps_framing *framing);
/* In new_sent_message: the pieces the Message is in; at most `max` are written. Returns how many there are. */
TAPS_API size_t taps_framing_message_pieces(const taps_framing *framing, struct iovec *pieces, size_t max);
/* In new_sent_message: what the application set for this Framer on the Message, or NULL; by index from 0 (in the order
   set): TAPS_E_RANGE beyond the last. Borrowed for the call. */
TAPS_API const char *taps_framing_message_metadata(const taps_framing *framing, const char *key);
TAPS_API int taps_framing_message_metadata_at(const taps_framing *framing, size_t index, const char **ret_key,
                                              const char **ret_value);

#define TAPS_PARSE_MAX ((size_t)256 * 1024)

/* Receiving, with a cursor at the first byte not taken. parse: 1: there are `min` bytes at least, and ret_data shows as
   many as there are in one piece, at most `max`; they are valid until the next call that takes or parses. 0: there are
   not yet; handle_received_data comes again when there are. TAPS_E_DEFRAMING: `min` is over TAPS_PARSE_MAX.
   Over datagrams the end of a datagram is the end of what there is. */
TAPS_API int taps_framing_parse(taps_framing *framing, size_t min, size_t max, const uint8_t **ret_data,
                                size_t *ret_length);
/* Bytes from the cursor to the end of what is here. */
TAPS_API size_t taps_framing_available(const taps_framing *framing);
/* Where it reads ahead, before it delivers bytes of its own: may it? False: nobody has asked for a Message. It leaves
   the bytes that make it untaken, and is asked again when somebody has; nothing is read meanwhile. */
TAPS_API bool taps_framing_is_wanted(taps_framing *framing);
/* What was delivered, or left because it is not wanted, waits for a Receive of the application, and nothing is read
   meanwhile: silence is not the peer's. */
TAPS_API bool taps_framing_is_held_up(const taps_framing *framing);
/* The peer has ended, and nothing comes behind what is available. What is left untaken then makes TAPS_E_TRUNCATED. */
TAPS_API bool taps_framing_at_end(const taps_framing *framing);
/* Drops bytes that were parsed. */
TAPS_API void taps_framing_advance(taps_framing *framing, size_t length);
/* Gives `length` bytes from the cursor on to the application, without a copy, also those that are yet to come: until
   then this Framer is not asked. TAPS_INFINITE: all until the peer's end, which ends the Message. */
TAPS_API int taps_framing_deliver_and_advance(taps_framing *framing, uint64_t length, bool end_of_message);
/* Gives bytes of its own, which are copied. */
TAPS_API int taps_framing_deliver(taps_framing *framing, const void *data, size_t length, bool end_of_message);
/* The direction has ended, in the words of the Framer's protocol: nothing follows. It is told when it is wanted; where
   that is a receive_error (TAPS_E_CLOSED), metadata "the end" that was added for it is part of its words. */
TAPS_API int taps_framing_deliver_end(taps_framing *framing);
/* On the Message that is delivered next, or is being delivered, for the application: text, copied. */
TAPS_API int taps_framing_add_metadata(taps_framing *framing, const char *key, const char *value);

/* Memory for what is transformed: written by the Framer, then sent or delivered without another copy. One at a time;
   NULL = no memory. What is not used goes with the next reserve. */
TAPS_API void *taps_framing_reserve(taps_framing *framing, size_t size);
TAPS_API int taps_framing_send_reserved(taps_framing *framing, size_t length);
TAPS_API int taps_framing_deliver_reserved(taps_framing *framing, size_t length, bool end_of_message);

/* ------------------------------------------------------------------------------------------ for applications */

/* A Framer of the library ("length-prefix", "delimiter", "netstring", "tlv", "http", "websocket", "mqtt", "starttls"):
   TAPS_E_UNKNOWN_PROPERTY if there is none of that name. A plain value without a thread. Returns owned. */
TAPS_API int taps_framer_new(const char *name, taps_framer **ret_framer);
/* "length-prefix:length=2,order=little": the name and options. Returns owned. */
TAPS_API int taps_framer_new_text(const char *text, taps_framer **ret_framer);
/* One of the application's. `definition` is borrowed for good (a static const). */
TAPS_API int taps_framer_new_custom(const struct taps_framer_definition *definition, taps_framer **ret_framer);
/* One option, as the Framer's page has it. TAPS_E_UNKNOWN_PROPERTY, TAPS_E_RANGE. */
TAPS_API int taps_framer_set(taps_framer *framer, const char *key, const char *value);
/* The options of one of the application's, to be filled in: options_size bytes. Returns borrowed from the Framer. */
TAPS_API void *taps_framer_options(taps_framer *framer);
TAPS_API const char *taps_framer_name(const taps_framer *framer);
TAPS_API void taps_framer_free(taps_framer *framer);
/* The names of the library's Framers: `index` from 0, NULL beyond the last. Static. */
TAPS_API const char *taps_framer_known(size_t index);

#ifdef __cplusplus
}
#endif

#endif
