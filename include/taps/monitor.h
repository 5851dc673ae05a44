/*
 * libtaps: the establishment report, and monitoring (RFC 9621, sections 3.5 and 4.2).
 *
 * SPDX-License-Identifier: MIT
 *
 * A part of taps/taps.h, which includes it, and is what programs include: its rules for threads, ownership and errors
 * hold here.
 */
#ifndef TAPS_MONITOR_H
#define TAPS_MONITOR_H

#ifndef TAPS_TAPS_H
#error "include <taps/taps.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------- the establishment report: why it went the way it did */

enum taps_candidate_kind { TAPS_CANDIDATE_PATH, TAPS_CANDIDATE_PROTOCOL, TAPS_CANDIDATE_ENDPOINT };
enum taps_candidate_state {
    TAPS_CANDIDATE_NOT_STARTED,
    TAPS_CANDIDATE_ACTIVE,
    TAPS_CANDIDATE_WON,
    TAPS_CANDIDATE_FAILED,
    TAPS_CANDIDATE_CANCELLED,
    TAPS_CANDIDATE_PRUNED,
};

struct taps_candidate_info {
    const char *id; /* "1", "1.1", "1.1.2": the place in the tree */
    int parent;     /* index of the parent, or -1 */
    enum taps_candidate_kind kind;
    enum taps_candidate_state state;
    const char *stack;     /* top first, "tls/tcp"; NULL for a path */
    const char *local;     /* "[2001:db8::2]:40000" or NULL */
    const char *remote;    /* "[2001:db8::1]:443" or NULL */
    const char *interface; /* "eth0" or NULL */
    double start_ms;       /* from Initiate; negative = never started */
    double end_ms;         /* negative = not ended */
    const char *reason;    /* why it was pruned, failed or cancelled, or how it ranks; never NULL */
    int error;             /* enum taps_err of a failure, or 0 */
};

struct taps_resolution_info {
    const char *name;
    const char *type; /* "A", "AAAA", "hosts", "literal" */
    double start_ms, end_ms;
    size_t count;       /* addresses found */
    const char *reason; /* "" or why none were found */
};

/* Borrowed from the Connection; grows while it is Establishing, and is complete at Ready or EstablishmentError. NULL on
   Connections that came from a Listener, on streams of a session but the first, and on a clone as long as it waits for
   its parent. */
TAPS_API const taps_report *taps_connection_report(const taps_connection *connection);
TAPS_API size_t taps_report_candidate_count(const taps_report *report);
/* In the order of the tree; the pointers inside are borrowed from the report. */
TAPS_API int taps_report_candidate(const taps_report *report, size_t index, struct taps_candidate_info *ret_info);
/* The names that were looked up, an entry for each question; the pointers inside are borrowed from the report. */
TAPS_API size_t taps_report_resolution_count(const taps_report *report);
TAPS_API int taps_report_resolution(const taps_report *report, size_t index, struct taps_resolution_info *ret_info);
/* Where it went since (multipath): the last 16 moves, oldest first; the pointers inside are borrowed from the report.
 */
struct taps_move_info {
    unsigned number;       /* from 1 */
    double ms;             /* from Initiate */
    const char *local;     /* "192.0.2.2:40000" */
    const char *remote;    /* "192.0.2.1:443" */
    const char *interface; /* "eth0" or NULL */
};
TAPS_API size_t taps_report_move_count(const taps_report *report);
TAPS_API int taps_report_move(const taps_report *report, size_t index, struct taps_move_info *ret_info);
/* From Initiate to Ready, or negative. */
TAPS_API double taps_report_ready_ms(const taps_report *report);
/* "won", "not-started" ...: static. */
TAPS_API const char *taps_candidate_state_name(enum taps_candidate_state state);

/* ---------------------------------------- monitoring: what is in use, and how it goes (RFC 9621, section 3.5) */

/* What the protocols of a Connection count and measure. Bytes are payload of the transport protocol, which with TLS is
   its records; each byte once, however often it was repeated. */
enum taps_statistic {
    TAPS_BYTES_SENT,              /* udp, tcp (Linux 4.19): given to the network; quic: of the stream */
    TAPS_BYTES_RECEIVED,          /* udp, tcp; quic: of the stream, and taken by the application */
    TAPS_MESSAGES_SENT,           /* udp, dtls (with its handshake), quic-datagram: datagrams */
    TAPS_MESSAGES_RECEIVED,       /* the same: datagrams read; those that found no room are not counted */
    TAPS_BYTES_UNACKNOWLEDGED,    /* tcp: given to the kernel, and not acknowledged by the peer; quic: of the stream */
    TAPS_RETRANSMISSIONS,         /* tcp: segments that were sent again, so far; quic: lost packets of the stream */
    TAPS_ROUND_TRIP_US,           /* tcp, quic: smoothed, in microseconds */
    TAPS_ROUND_TRIP_VARIATION_US, /* tcp, quic */
    TAPS_MIN_ROUND_TRIP_US,       /* tcp (Linux 4.6), quic: the least seen lately */
    TAPS_CONGESTION_WINDOW,       /* tcp, quic: bytes; that of quic is all streams' */
    TAPS_DELIVERY_RATE,           /* tcp (Linux 4.9), quic (ngtcp2 0.12): bytes per second, as last measured */
    TAPS_PATH_MTU,                /* tcp, udp, quic: bytes of a packet, all headers included */
    TAPS_SEGMENT_SIZE,            /* tcp: bytes of payload in one packet; quic: of UDP's payload */
    TAPS_STATISTIC_COUNT
};

#define TAPS_UNKNOWN UINT64_MAX /* the protocols in use do not have it */

/* Sets ret_values[0 .. count), by enum taps_statistic, as they are now: those a later version may add too, so `count`
   is the caller's TAPS_STATISTIC_COUNT. Returns how many are known: 0 before Ready and after the end. It asks the
   system, once; nothing is gathered while nobody asks. */
TAPS_API int taps_connection_statistics(const taps_connection *connection, uint64_t *ret_values, size_t count);
/* "bytesSent", "roundTripUs": static; NULL if there is none. */
TAPS_API const char *taps_statistic_name(enum taps_statistic statistic);

/* How much a stack is used in a context. */
struct taps_stack_use {
    const char *stack;           /* top first, "tls/tcp": static */
    size_t established, closing; /* Connections of the application in these states */
    size_t waiting;              /* that a Listener has accepted and not delivered */
    size_t listening;            /* sockets of Listeners */
};

/* Every stack of the library: `index` from 0, TAPS_E_RANGE beyond the last. */
TAPS_API int taps_context_stack_use(const taps_context *context, size_t index, struct taps_stack_use *ret_use);
/* Connections that are open (Established or Closing) over this protocol, "tcp", "tls", "udp" or "dtls"; NULL: over any,
   and those that are Establishing. */
TAPS_API size_t taps_context_connection_count(const taps_context *context, const char *protocol);
/* The Connections of the application that were not freed, in the order in which they came: the one after `previous`,
   NULL for the first; NULL when there are no more. Returns borrowed from the application. */
TAPS_API taps_connection *taps_context_next_connection(const taps_context *context, const taps_connection *previous);

#ifdef __cplusplus
}
#endif

#endif
