/*
 * libtaps: Transport Services for C (RFC 9621, RFC 9622, RFC 9623).
 *
 * SPDX-License-Identifier: MIT
 *
 * An application says whom it wants to talk to (endpoints), what it needs (transport properties) and how secure it must
 * be (security parameters), puts them into a Preconnection, and calls Initiate or Listen. The library gathers candidate
 * paths, protocols and addresses, races them, and answers with events.
 *
 * Threads: a context, and every object made from it, belongs to one thread at a time. Only taps_context_post and
 * taps_context_stop may be called from another thread. Different contexts may live in different threads. Endpoints,
 * transport properties, security parameters and message contexts are plain values without a thread.
 *
 * Events: callbacks run only inside taps_context_run, taps_context_run_once and taps_context_dispatch, never inside
 * another call. Every call is legal in every callback, freeing the object the event is about included.
 *
 * Ownership: "takes": the callee frees it. "borrows": it must stay valid until the call (or the event named) is over.
 * "returns owned": the caller frees it. "returns borrowed from X": valid until X changes or is freed. Objects handed to
 * an action are copied: changing or freeing them afterwards has no effect (RFC 9622, 1.1).
 *
 * Errors: functions return 0 (or a count) on success and a negative enum taps_err on failure. `ret_` parameters come
 * last and stay untouched on failure. A NULL object or a NULL required pointer is TAPS_E_ARGUMENT.
 *
 * Units are in the names (timeout_ms) or in the property's description (seconds, bits per second, bytes).
 */
#ifndef TAPS_TAPS_H
#define TAPS_TAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TAPS_BUILD)
#define TAPS_API __attribute__((visibility("default")))
#else
#define TAPS_API
#endif

#define TAPS_VERSION_MAJOR 0
#define TAPS_VERSION_MINOR 1
#define TAPS_VERSION_PATCH 0
/* "0.1.0": the version of the library in use, which may differ from the header's. */
TAPS_API const char *taps_version(void);

typedef struct taps_context taps_context;
typedef struct taps_endpoint taps_endpoint;
typedef struct taps_transport_properties taps_transport_properties;
typedef struct taps_security_parameters taps_security_parameters;
typedef struct taps_preconnection taps_preconnection;
typedef struct taps_connection taps_connection;
typedef struct taps_listener taps_listener;
typedef struct taps_message_context taps_message_context;
typedef struct taps_trust_question taps_trust_question;
typedef struct taps_report taps_report;
typedef struct taps_buffer taps_buffer;
typedef struct taps_framer taps_framer; /* taps/framer.h */

/* ---------------------------------------------------------------------------------------------------- errors */

enum taps_err {
    TAPS_OK = 0,
    TAPS_E_ARGUMENT = -1,             /* a NULL or an absurd argument */
    TAPS_E_MEMORY = -2,               /* no memory */
    TAPS_E_STATE = -3,                /* the object is not in a state that allows this */
    TAPS_E_UNKNOWN_PROPERTY = -4,     /* no property of that name */
    TAPS_E_TYPE = -5,                 /* the value is of another type than the property */
    TAPS_E_RANGE = -6,                /* the value does not parse, or is outside the allowed range */
    TAPS_E_READ_ONLY = -7,            /* the property cannot be set, or not at this time */
    TAPS_E_NOT_APPLICABLE = -8,       /* the property belongs to a protocol or direction this object does not use */
    TAPS_E_DUPLICATE = -9,            /* the endpoint has an identifier of that type already (RFC 9622, 6.1) */
    TAPS_E_CONFIGURATION = -10,       /* InvalidConfiguration */
    TAPS_E_NO_CANDIDATES = -11,       /* NoCandidates */
    TAPS_E_RESOLUTION = -12,          /* ResolutionFailed */
    TAPS_E_ESTABLISHMENT = -13,       /* EstablishmentFailed: every candidate failed, for different reasons */
    TAPS_E_POLICY = -14,              /* PolicyProhibited */
    TAPS_E_NOT_CLONEABLE = -15,       /* NotCloneable */
    TAPS_E_MESSAGE_TOO_LARGE = -16,   /* MessageTooLarge */
    TAPS_E_PROTOCOL = -17,            /* ProtocolFailed */
    TAPS_E_MESSAGE_PROPERTIES = -18,  /* InvalidMessageProperties */
    TAPS_E_DEFRAMING = -19,           /* DeframingFailed */
    TAPS_E_ABORTED = -20,             /* ConnectionAborted by the peer (a reset) */
    TAPS_E_TIMEOUT = -21,             /* Timeout */
    TAPS_E_LOCAL_ABORT = -22,         /* ConnectionAborted by this side's Abort, or its last endpoint was removed */
    TAPS_E_REFUSED = -23,             /* the peer's host refused: nobody listens */
    TAPS_E_UNREACHABLE = -24,         /* no route, or the network said it cannot be reached */
    TAPS_E_CERTIFICATE = -25,         /* the peer's certificate is not trusted */
    TAPS_E_CERTIFICATE_EXPIRED = -26, /* the peer's certificate has expired or is not valid yet */
    TAPS_E_CERTIFICATE_NAME = -27,    /* the peer's certificate is for another name */
    TAPS_E_CERTIFICATE_PIN = -28,     /* none of the pinned certificates matches */
    TAPS_E_TLS = -29,                 /* the TLS handshake or a record failed; the detail tells how */
    TAPS_E_TRUNCATED = -30,           /* the peer's data ended in mid-Message, or without TLS close_notify */
    TAPS_E_CLOSED = -31,              /* the direction is over: Final was sent, or received */
    TAPS_E_CANCELLED = -32,           /* given up because another candidate won, or the object was freed */
    TAPS_E_RESOURCES = -33,           /* the system is out of descriptors or buffers */
    TAPS_E_PERMISSION = -34,          /* the system does not permit it */
    TAPS_E_ADDRESS_IN_USE = -35,      /* the local address or port is taken */
    TAPS_E_SYSTEM = -36,              /* another error of the system; the native code tells */
    TAPS_E_FULL = -37,                /* _taps.sendBuffer: nothing was taken; there is room again after Sent events */
};

/* The reasons of RFC 9623, appendix B. Every taps_err belongs to one. */
enum taps_reason {
    TAPS_REASON_NONE,
    TAPS_REASON_INVALID_CONFIGURATION,
    TAPS_REASON_NO_CANDIDATES,
    TAPS_REASON_RESOLUTION_FAILED,
    TAPS_REASON_ESTABLISHMENT_FAILED,
    TAPS_REASON_POLICY_PROHIBITED,
    TAPS_REASON_NOT_CLONEABLE,
    TAPS_REASON_MESSAGE_TOO_LARGE,
    TAPS_REASON_PROTOCOL_FAILED,
    TAPS_REASON_INVALID_MESSAGE_PROPERTIES,
    TAPS_REASON_DEFRAMING_FAILED,
    TAPS_REASON_CONNECTION_ABORTED,
    TAPS_REASON_TIMEOUT,
};

/* Whose number `native` is. */
enum taps_domain {
    TAPS_DOMAIN_NONE,
    TAPS_DOMAIN_ERRNO, /* a positive errno */
    TAPS_DOMAIN_DNS,   /* an ares_status of c-ares */
    TAPS_DOMAIN_TLS,   /* a GnuTLS error (negative) or a TLS alert (positive) */
    /* What a peer, or this end, closed a QUIC connection or a stream with; what does not fit is INT_MAX. */
    TAPS_DOMAIN_QUIC,             /* a transport error code (RFC 9000, 20.1) */
    TAPS_DOMAIN_QUIC_APPLICATION, /* an error code of the application's protocol */
};

struct taps_error {
    int code; /* enum taps_err */
    enum taps_reason reason;
    enum taps_domain domain;
    int native;
    const char *detail; /* one sentence in English, never NULL; borrowed like the struct */
};

/* "TAPS_E_REFUSED", "connection refused", "EstablishmentFailed": static text, never NULL. */
TAPS_API const char *taps_err_name(int code);
TAPS_API const char *taps_err_text(int code);
TAPS_API enum taps_reason taps_err_reason(int code);
TAPS_API const char *taps_reason_name(enum taps_reason reason);

/* --------------------------------------------------------------------------------------------------- context */

/* block NULL allocates; size 0 frees and returns NULL; otherwise resizes. NULL = no memory, the block is left alone.
   Aligned like malloc. Called on the context's thread, and by taps_context_post on the thread that posts. */
struct taps_allocator {
    void *(*resize)(void *user, void *block, size_t size);
    void *user;
};

enum taps_log_level {
    TAPS_LOG_ERROR,
    TAPS_LOG_WARNING,
    TAPS_LOG_INFO,
    TAPS_LOG_EVENT, /* one line for each event of each Connection: docs/design/007 has the format */
    TAPS_LOG_DEBUG
};

/* May be called inside any call of the library; it must not call the library. `text` is borrowed for the call. */
typedef void (*taps_log_fn)(void *user, enum taps_log_level level, const char *text);

/* Zero means the default for every field. Initialise with {0} or designated initialisers. */
struct taps_context_options {
    const struct taps_allocator *allocator; /* copied */
    taps_log_fn log;
    void *log_user;
    enum taps_log_level log_level;  /* messages up to this level; default: errors */
    const char *resolver;           /* "192.0.2.53", "[2001:db8::53]:5353", several with commas; default: resolv.conf */
    const char *hosts_file;         /* default /etc/hosts */
    const char *resolv_conf;        /* default /etc/resolv.conf */
    uint32_t attempt_delay_ms;      /* RFC 8305 Connection Attempt Delay: default 250, 10 .. 2000 */
    uint32_t resolution_delay_ms;   /* RFC 8305 Resolution Delay: default 50 */
    uint32_t resolution_timeout_ms; /* one query to one server: default 1000 (c-ares 1.32: at least 250), three tries */
    uint32_t half_open_limit;       /* handshakes in progress per Listener: default 1024 */
    /* No establishment leaves anything for a later one: neither which stacks came through, nor any session. By default
       the context remembers, in memory, and shares it with no other (RFC 9621, 4.2); a Connection whose isolateSession
       is true takes no part in that. */
    bool no_caches;
};

/* `options` may be NULL. Returns owned. */
TAPS_API int taps_context_new(const struct taps_context_options *options, taps_context **ret_context);
/* Frees the context and, silently, every Connection, Listener and Preconnection still alive in it. Not from a callback:
   TAPS_E_STATE. NULL is allowed. */
TAPS_API int taps_context_free(taps_context *context);

/* Runs until taps_context_stop, or until nothing is left that could cause an event. */
TAPS_API int taps_context_run(taps_context *context);
/* Waits at most timeout_ms (-1: without end) for something to do and does it. Returns 1 if something is still under way
   (a Connection that is not closed, a Listener, a Resolve, a posted call), 0 if not. */
TAPS_API int taps_context_run_once(taps_context *context, int timeout_ms);
/* Makes taps_context_run return. From any thread. */
TAPS_API void taps_context_stop(taps_context *context);

/* Sessions that can be resumed (tickets of TLS, DTLS and QUIC, and QUIC's address tokens) are kept in this file too,
   and so outlive the context: it is loaded now, and written some seconds after a change and by taps_context_free. Only
   the user can read it; several processes may use one. It holds secrets: whoever has it can pretend to be this program
   to the servers it knows, as far as they trust a ticket. TAPS_E_PERMISSION: others can read or change it, or it is not
   this user's, and it is not used; TAPS_E_RANGE: it holds something else, and is left as it is; TAPS_E_SYSTEM: it
   cannot be read; TAPS_E_MEMORY. A file that is not there yet, or empty, is no error, and neither is a damaged one:
   what is good of it is used. The log tells. NULL: what there is is written, and from now on nothing is. */
TAPS_API int taps_context_set_session_file(taps_context *context, const char *path);
/* Embedding. The descriptor is readable (poll, epoll, libuv, GLib ...) when taps_context_dispatch has something to do;
   it belongs to the context: never read or close it. Returns it, or a negative error. */
TAPS_API int taps_context_fd(taps_context *context);
/* Does what is ready, without waiting. */
TAPS_API int taps_context_dispatch(taps_context *context);

/* Runs fn(arg) from the context's loop. From any thread; the order of posts of one thread is kept. */
TAPS_API int taps_context_post(taps_context *context, void (*fn)(void *arg), void *arg);

/* Runs fn(arg) once after delay_ms, from the loop; *ret_timer (NULL is allowed) may be cancelled until then. */
typedef struct taps_timer taps_timer;
TAPS_API int taps_context_after(taps_context *context, uint64_t delay_ms, void (*fn)(void *arg), void *arg,
                                taps_timer **ret_timer);
/* Not after fn has run: the timer is gone then. */
TAPS_API void taps_timer_cancel(taps_timer *timer);
/* Monotonic milliseconds of the context's clock, as of the current turn of the loop. */
TAPS_API double taps_context_now_ms(taps_context *context);

/* ------------------------------------------------------------------------- endpoints (RFC 9622, section 6.1) */

/* One identity of a host. Each identifier can be set once: a second time is TAPS_E_DUPLICATE. Returns owned. */
TAPS_API int taps_local_endpoint_new(taps_endpoint **ret_endpoint);
TAPS_API int taps_remote_endpoint_new(taps_endpoint **ret_endpoint);
TAPS_API void taps_endpoint_free(taps_endpoint *endpoint);
TAPS_API int taps_endpoint_copy(const taps_endpoint *endpoint, taps_endpoint **ret_endpoint);

/* A DNS name, 1 to 253 bytes, no port. An address in text is taken as that address. */
TAPS_API int taps_endpoint_with_host_name(taps_endpoint *endpoint, const char *name);
/* 1 to 65535; on a Local Endpoint also 0, a free one. */
TAPS_API int taps_endpoint_with_port(taps_endpoint *endpoint, uint16_t port);
/* A service name of the system's list ("https"). */
TAPS_API int taps_endpoint_with_service(taps_endpoint *endpoint, const char *service);
/* "192.0.2.1", "2001:db8::1", "fe80::1%eth0" (which also sets the interface). */
TAPS_API int taps_endpoint_with_ip_address(taps_endpoint *endpoint, const char *address);
/* 4 or 16 bytes in network order. */
TAPS_API int taps_endpoint_with_ip_bytes(taps_endpoint *endpoint, const void *bytes, size_t count);
/* A name ("eth0") or an index in decimal. On a Remote Endpoint it is the scope zone; on a Local one it binds all its
   candidates (RFC 9622, 6.1.2). */
TAPS_API int taps_endpoint_with_interface(taps_endpoint *endpoint, const char *name);
/* "tcp", "udp", "tls", "dtls": this endpoint is used only by stacks with that protocol (RFC 9622, 6.1.3). */
TAPS_API int taps_endpoint_with_protocol(taps_endpoint *endpoint, const char *protocol);
/* "host:port", "[2001:db8::1]:443", "host:service", "host", ":port": sets what the text holds. */
TAPS_API int taps_endpoint_with_text(taps_endpoint *endpoint, const char *text);

/* What was set: NULL or 0 where nothing was. Returns borrowed from the endpoint. */
TAPS_API const char *taps_endpoint_host_name(const taps_endpoint *endpoint);
TAPS_API const char *taps_endpoint_ip_address(const taps_endpoint *endpoint);
TAPS_API const char *taps_endpoint_interface(const taps_endpoint *endpoint);
TAPS_API const char *taps_endpoint_service(const taps_endpoint *endpoint);
TAPS_API const char *taps_endpoint_protocol(const taps_endpoint *endpoint);
TAPS_API uint16_t taps_endpoint_port(const taps_endpoint *endpoint);
/* "[2001:db8::1]:443" or "name:443". Writes at most `size` bytes with the terminator; returns the length it needs. */
TAPS_API size_t taps_endpoint_text(const taps_endpoint *endpoint, char *text, size_t size);

/* ------------------------------------------------- properties (RFC 9622, sections 6.2, 8 and 9.1.3) */

enum taps_preference {
    TAPS_PROHIBIT = -2,
    TAPS_AVOID = -1,
    TAPS_NO_PREFERENCE = 0,
    TAPS_PREFER = 1,
    TAPS_REQUIRE = 2,
};

/* Every property once. The RFC's names are in taps_property_info. */
enum taps_property {
    TAPS_PROPERTY_NONE,
    /* Selection Properties, section 6.2 */
    TAPS_RELIABILITY,
    TAPS_PRESERVE_MSG_BOUNDARIES,
    TAPS_PER_MSG_RELIABILITY,
    TAPS_PRESERVE_ORDER,
    TAPS_ZERO_RTT_MSG,
    TAPS_MULTISTREAMING,
    TAPS_FULL_CHECKSUM_SEND,
    TAPS_FULL_CHECKSUM_RECV,
    TAPS_CONGESTION_CONTROL,
    TAPS_KEEP_ALIVE,
    TAPS_INTERFACE,
    TAPS_PVD,
    TAPS_USE_TEMPORARY_LOCAL_ADDRESS,
    TAPS_MULTIPATH,
    TAPS_ADVERTISES_ALTADDR,
    TAPS_DIRECTION,
    TAPS_SOFT_ERROR_NOTIFY,
    TAPS_ACTIVE_READ_BEFORE_SEND,
    /* Connection Properties, section 8.1 */
    TAPS_RECV_CHECKSUM_LEN,
    TAPS_CONN_PRIORITY,
    TAPS_CONN_TIMEOUT,
    TAPS_KEEP_ALIVE_TIMEOUT,
    TAPS_CONN_SCHEDULER,
    TAPS_CONN_CAPACITY_PROFILE,
    TAPS_MULTIPATH_POLICY,
    TAPS_MIN_SEND_RATE,
    TAPS_MIN_RECV_RATE,
    TAPS_MAX_SEND_RATE,
    TAPS_MAX_RECV_RATE,
    TAPS_GROUP_CONN_LIMIT,
    TAPS_ISOLATE_SESSION,
    /* read-only */
    TAPS_CONN_STATE,
    TAPS_CAN_SEND,
    TAPS_CAN_RECEIVE,
    TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN,
    TAPS_SEND_MSG_MAX_LEN,
    TAPS_RECV_MSG_MAX_LEN,
    /* of one protocol, section 8.2 */
    TAPS_TCP_USER_TIMEOUT_VALUE,
    TAPS_TCP_USER_TIMEOUT_ENABLED,
    TAPS_TCP_USER_TIMEOUT_CHANGEABLE,
    /* our own: the leading underscore is RFC 9622's rule for extensions (section 4.1) */
    TAPS_CLOSE_TIMEOUT,        /* _closeTimeout: seconds a Close waits while the peer acknowledges nothing */
    TAPS_ATTEMPT_DELAY,        /* _attemptDelay: seconds between attempts of one race */
    TAPS_TLS_ALLOW_TRUNCATION, /* _tls.allowTruncation: a bare FIN without close_notify ends data as if complete */
    TAPS_REUSE_PORT,   /* _taps.reusePort: Listeners that set it share a port; the system spreads peers over them */
    TAPS_SEND_BUFFER,  /* _taps.sendBuffer: what Send takes before it says TAPS_E_FULL */
    TAPS_QUEUED_BYTES, /* _taps.queuedBytes, read-only: taken by Send, and not yet given to the kernel */
    /* Message Properties, section 9.1.3: on transport properties and Connections they are defaults for Messages */
    TAPS_MSG_LIFETIME,
    TAPS_MSG_PRIORITY,
    TAPS_MSG_ORDERED,
    TAPS_SAFELY_REPLAYABLE,
    TAPS_FINAL,
    TAPS_MSG_CHECKSUM_LEN,
    TAPS_MSG_RELIABLE,
    TAPS_MSG_CAPACITY_PROFILE,
    TAPS_NO_FRAGMENTATION,
    TAPS_NO_SEGMENTATION,
    TAPS_PROPERTY_COUNT
};

enum taps_type {
    TAPS_TYPE_PREFERENCE, /* value.preference */
    TAPS_TYPE_BOOLEAN,    /* value.boolean */
    TAPS_TYPE_INTEGER,    /* value.integer; TAPS_INFINITE where "full", "unlimited" or "not applicable" is allowed */
    TAPS_TYPE_NUMBER, /* value.number; TAPS_DISABLED (a negative number) where "disabled" or "infinite" is allowed */
    TAPS_TYPE_ENUMERATION, /* value.enumeration: one of the enums below */
    TAPS_TYPE_SET,         /* a set of (Preference, text): see taps_transport_properties_add */
};

#define TAPS_INFINITE UINT64_MAX
#define TAPS_DISABLED (-1.0)

enum taps_scope {
    TAPS_SCOPE_SELECTION, /* decided before establishment; reads as a Boolean afterwards */
    TAPS_SCOPE_CONNECTION,
    TAPS_SCOPE_READ_ONLY,
    TAPS_SCOPE_MESSAGE,
};

enum taps_multipath { TAPS_MULTIPATH_DISABLED, TAPS_MULTIPATH_ACTIVE, TAPS_MULTIPATH_PASSIVE };
enum taps_direction { TAPS_BIDIRECTIONAL, TAPS_UNIDIRECTIONAL_SEND, TAPS_UNIDIRECTIONAL_RECEIVE };
enum taps_scheduler { /* RFC 8260, section 3 */
                      TAPS_SCHEDULER_FIRST_COME_FIRST_SERVED,
                      TAPS_SCHEDULER_ROUND_ROBIN,
                      TAPS_SCHEDULER_ROUND_ROBIN_PER_PACKET,
                      TAPS_SCHEDULER_PRIORITY,
                      TAPS_SCHEDULER_FAIR_CAPACITY,
                      TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING
};
enum taps_capacity_profile {
    TAPS_PROFILE_DEFAULT,
    TAPS_PROFILE_SCAVENGER,
    TAPS_PROFILE_LOW_LATENCY_INTERACTIVE,
    TAPS_PROFILE_LOW_LATENCY_NON_INTERACTIVE,
    TAPS_PROFILE_CONSTANT_RATE_STREAMING,
    TAPS_PROFILE_CAPACITY_SEEKING
};
enum taps_multipath_policy { TAPS_POLICY_HANDOVER, TAPS_POLICY_INTERACTIVE, TAPS_POLICY_AGGREGATE };
enum taps_conn_state { TAPS_ESTABLISHING, TAPS_ESTABLISHED, TAPS_CLOSING, TAPS_CLOSED };

struct taps_value {
    enum taps_type type;
    union {
        enum taps_preference preference;
        bool boolean;
        uint64_t integer;
        double number;
        int enumeration;
    };
};

struct taps_property_info {
    enum taps_property property;
    const char *name; /* "reliability" */
    enum taps_type type;
    enum taps_scope scope;
    const char *default_text;  /* "require" */
    const char *section;       /* "RFC 9622, 6.2.1" */
    const char *summary;       /* one line: what it does, and on which stacks it cannot */
    const char *const *values; /* names of an enumeration's values in order, NULL-terminated; NULL for other types */
};

/* NULL for TAPS_PROPERTY_NONE and beyond. Static. */
TAPS_API const struct taps_property_info *taps_property_info(enum taps_property property);
/* Case-insensitive. TAPS_PROPERTY_NONE if there is none. */
TAPS_API enum taps_property taps_property_find(const char *name);

/* Profiles of RFC 9622, appendix A.2. */
enum taps_properties_profile { TAPS_RELIABLE_INORDER_STREAM, TAPS_RELIABLE_MESSAGE, TAPS_UNRELIABLE_DATAGRAM };

/* Every property at its default, or as a profile has it. Return owned. */
TAPS_API int taps_transport_properties_new(taps_transport_properties **ret_properties);
TAPS_API int taps_transport_properties_new_profile(enum taps_properties_profile profile,
                                                   taps_transport_properties **ret_properties);
/* "reliable-inorder-stream", "reliable-message", "unreliable-datagram". */
TAPS_API int taps_properties_profile_find(const char *name, enum taps_properties_profile *ret_profile);
/* Returns owned. */
TAPS_API int taps_transport_properties_copy(const taps_transport_properties *properties,
                                            taps_transport_properties **ret_properties);
/* NULL is allowed. */
TAPS_API void taps_transport_properties_free(taps_transport_properties *properties);

/* By name and text: ("reliability", "require"), ("connTimeout", "2.5"), ("direction", "unidirectional send"). Names and
   values are case-insensitive; in values a space, "-" and "_" are the same. For a set the text is one entry,
   "require eth0" or "prohibit:wifi". */
TAPS_API int taps_transport_properties_set(taps_transport_properties *properties, const char *name, const char *text);
TAPS_API int taps_transport_properties_set_value(taps_transport_properties *properties, enum taps_property property,
                                                 struct taps_value value);
TAPS_API int taps_transport_properties_set_preference(taps_transport_properties *properties,
                                                      enum taps_property property, enum taps_preference preference);
TAPS_API int taps_transport_properties_set_boolean(taps_transport_properties *properties, enum taps_property property,
                                                   bool value);
TAPS_API int taps_transport_properties_set_integer(taps_transport_properties *properties, enum taps_property property,
                                                   uint64_t value);
TAPS_API int taps_transport_properties_set_number(taps_transport_properties *properties, enum taps_property property,
                                                  double value);
TAPS_API int taps_transport_properties_set_enumeration(taps_transport_properties *properties,
                                                       enum taps_property property, int value);
/* One entry of TAPS_INTERFACE or TAPS_PVD; an entry of the same text is replaced. For interfaces `text` is a name or a
   type: "ethernet", "wifi", "cellular", "loopback", "vpn", "other". */
TAPS_API int taps_transport_properties_add(taps_transport_properties *properties, enum taps_property property,
                                           enum taps_preference preference, const char *text);
/* One Preference in one word: RFC 9622, appendix A.1. */
TAPS_API int taps_transport_properties_require(taps_transport_properties *properties, enum taps_property property);
TAPS_API int taps_transport_properties_prefer(taps_transport_properties *properties, enum taps_property property);
TAPS_API int taps_transport_properties_no_preference(taps_transport_properties *properties,
                                                     enum taps_property property);
TAPS_API int taps_transport_properties_avoid(taps_transport_properties *properties, enum taps_property property);
TAPS_API int taps_transport_properties_prohibit(taps_transport_properties *properties, enum taps_property property);

/* The value, or the default where none was set. TAPS_E_TYPE for sets: they are text. */
TAPS_API int taps_transport_properties_get(const taps_transport_properties *properties, enum taps_property property,
                                           struct taps_value *ret_value);
/* The value as text that taps_transport_properties_set would take. Writes at most `size` bytes with the terminator and
   returns the length it needs, or an error. A set is "require eth0, avoid wifi", or "" when empty. */
TAPS_API int taps_transport_properties_get_text(const taps_transport_properties *properties,
                                                enum taps_property property, char *text, size_t size);
/* Was it set, or is it the default? */
TAPS_API bool taps_transport_properties_is_set(const taps_transport_properties *properties,
                                               enum taps_property property);
/* Is a Boolean true, or a Preference Require or Prefer (RFC 9622, 8: Has)? */
TAPS_API bool taps_transport_properties_has(const taps_transport_properties *properties, enum taps_property property);

/* --------------------------------------------------------------------- Messages (RFC 9622, section 9) */

/* Properties of one Message (sending), or metadata of one (receiving). Returns owned. */
TAPS_API int taps_message_context_new(taps_message_context **ret_context);
TAPS_API void taps_message_context_free(taps_message_context *context);
TAPS_API int taps_message_context_copy(const taps_message_context *context, taps_message_context **ret_context);
/* A Message Property by name and text, or by value (RFC 9622, 9.1.3): as taps_transport_properties_set. */
TAPS_API int taps_message_context_set(taps_message_context *context, const char *name, const char *text);
TAPS_API int taps_message_context_set_value(taps_message_context *context, enum taps_property property,
                                            struct taps_value value);
/* TAPS_E_NOT_APPLICABLE where the value was not set and so is the Connection's. */
TAPS_API int taps_message_context_get(const taps_message_context *context, enum taps_property property,
                                      struct taps_value *ret_value);

/* What a Framer is told of a Message, or tells of one: text by key, in a namespace of its own, which is the Framer's
   name (RFC 9622, 9.1.2.2). add: a key may be there more than once; the copy is the context's. TAPS_E_READ_ONLY of a
   received one. get: the first of that key, or NULL. at: in the order added, `index` from 0; TAPS_E_RANGE beyond the
   last. Returns borrowed from the context. */
TAPS_API int taps_message_context_add_metadata(taps_message_context *context, const char *framer, const char *key,
                                               const char *value);
TAPS_API const char *taps_message_context_metadata(const taps_message_context *context, const char *framer,
                                                   const char *key);
TAPS_API int taps_message_context_metadata_at(const taps_message_context *context, size_t index,
                                              const char **ret_framer, const char **ret_key, const char **ret_value);

/* Of a received Message, or a copy of its context (RFC 9622, 9.3.3): where it came to, with the interface, and where it
   came from; NULL for other contexts, or without memory. Returns borrowed: from the Connection, or from the copy. */
TAPS_API const taps_endpoint *taps_message_context_local(const taps_message_context *context);
TAPS_API const taps_endpoint *taps_message_context_remote(const taps_message_context *context);
/* The ECN field of the datagram, 0 to 3: only udp has it, and only where softErrorNotify is preferred or required,
   since asking the system for it costs every datagram something. TAPS_E_NOT_APPLICABLE elsewhere. */
TAPS_API int taps_message_context_ecn(const taps_message_context *context);

/* When its first byte (of a part: the part's) came to the library: milliseconds of the clock of taps_context_now_ms;
   negative for contexts that were not received. */
TAPS_API double taps_message_context_received_ms(const taps_message_context *context);

enum taps_send_flags {
    TAPS_SEND_PARTIAL = 1, /* more of this Message follows (endOfMessage false); stacks without boundaries only */
    TAPS_SEND_LEND = 2,    /* the bytes are not copied: they stay the caller's, unchanged, until the send's event */
};

/* A received Message or part of one. Borrowed until the callback returns. */
struct taps_received {
    const void *data;
    size_t length;
    void *tag;                           /* of the Receive this answers */
    const taps_message_context *context; /* the same pointer for every part of one Message */
    bool end_of_message;
    bool final; /* nothing follows this Message; an end that comes later is a receive_error (TAPS_E_CLOSED) */
    bool early; /* came as 0-RTT data, and so may be a replay */
    void *held; /* the library's: see taps_received_keep */
};

/*
 * Buffers: bytes that are counted, so that they are handed on without a copy: what was received is kept, and sent by
 * whom it may concern. Each belongs to its context's thread; those alive when the context is freed go with it.
 *
 * new: `length` bytes to be filled in, and room for `headroom` bytes in front of them: TAPS_E_RANGE if both are more
 * than 1 GiB. Returns owned: with one reference.
 */
TAPS_API int taps_buffer_new(taps_context *context, size_t length, size_t headroom, taps_buffer **ret_buffer);
/* In the callback of a received Message: its bytes, as a buffer. They are not copied; what is kept is the block they
   were read into, up to 64 KiB even for a few bytes, so what is to stay for long is better copied. Returns owned. */
TAPS_API int taps_received_keep(const struct taps_received *message, taps_buffer **ret_buffer);
/* One reference more: the same buffer. unref: one less; the last one frees it. NULL is allowed. */
TAPS_API taps_buffer *taps_buffer_ref(taps_buffer *buffer);
TAPS_API void taps_buffer_unref(taps_buffer *buffer);
/* The bytes. They are written by who has the only reference; a Send has one until it has ended. */
TAPS_API void *taps_buffer_data(const taps_buffer *buffer);
TAPS_API size_t taps_buffer_length(const taps_buffer *buffer);
/* Only `length` bytes (SIZE_MAX: the rest) from `offset` on are left; what was in front is head room. TAPS_E_RANGE
   beyond the end; TAPS_E_STATE while there is another reference. */
TAPS_API int taps_buffer_trim(taps_buffer *buffer, size_t offset, size_t length);
/* Puts bytes in front, into the head room. TAPS_E_RANGE if it is too small; TAPS_E_STATE while there is another
   reference. */
TAPS_API int taps_buffer_prepend(taps_buffer *buffer, const void *data, size_t length);

/* ----------------------------------------------------------- Connections (RFC 9622, sections 7.1, 8 to 11) */

/* Events of a Connection; any may be NULL. The struct is borrowed for the life of the Connection (a static const).
   Order: Ready (or the Listener's ConnectionReceived) comes before all others; after establishment_error, closed or
   connection_error nothing comes. */
struct taps_connection_events {
    void (*ready)(taps_connection *connection, void *user);
    void (*establishment_error)(taps_connection *connection, const struct taps_error *error, void *user);
    /* Exactly one of these three for each taps_connection_send that returned 0. */
    void (*sent)(taps_connection *connection, void *tag, void *user);
    void (*expired)(taps_connection *connection, void *tag, void *user);
    void (*send_error)(taps_connection *connection, void *tag, const struct taps_error *error, void *user);
    /* Exactly one of these three for each taps_connection_receive that returned 0. */
    void (*received)(taps_connection *connection, const struct taps_received *message, void *user);
    void (*received_partial)(taps_connection *connection, const struct taps_received *part, void *user);
    /* Also when a Message of which a part was received will never be complete. */
    void (*receive_error)(taps_connection *connection, void *tag, const struct taps_error *error, void *user);
    /* With softErrorNotify: what the network says, and on TCP too many retransmissions. The Connection lives on. */
    void (*soft_error)(taps_connection *connection, const struct taps_error *error, void *user);
    /* RFC 9622, 8.3.2: another path MTU (on TCP only with softErrorNotify, and while something is being sent); the
       Connection has moved to another path, which taps_connection_local and taps_connection_remote show; or with
       multipath the set of paths that it may move to is another. It is told to each member of its group. */
    void (*path_change)(taps_connection *connection, void *user);
    void (*closed)(taps_connection *connection, void *user);
    void (*connection_error)(taps_connection *connection, const struct taps_error *error, void *user);
    /* CloneError (RFC 9622, 7.4), also before Ready. A Clone of this Connection was refused, which the call has said
       too; here are the words. Or, later: a property was changed for its Connection Group, and its stack would not; it
       is in no group any more, and has the value it had. */
    void (*clone_error)(taps_connection *connection, const struct taps_error *error, void *user);
    /* ConnectionReceived of a Connection Group (RFC 9622, 7.2 and 7.4): the peer has opened one more stream of the
       session that this Connection is a stream of. `stream` is Established and a member of the group, with the Framers
       and the properties that this Connection was initiated with, and what is shared as it is now. The callee owns it:
       set its events here, free it some time. Of several members the first that has this event is told; where none has
       it, or groupConnLimit has been reached, the stream is refused. A stream of a Listener's session comes by the
       Listener instead, as long as that listens. */
    void (*connection_received)(taps_connection *connection, taps_connection *stream, void *user);
};

/* Other events, or other `user` data, from now on; a Connection from a Listener has none until this is called. `events`
   is borrowed for the life of the Connection, NULL means none. */
TAPS_API void taps_connection_set_events(taps_connection *connection, const struct taps_connection_events *events,
                                         void *user);
/* What Initiate or taps_connection_set_events was given; the context it lives in. NULL for NULL. */
TAPS_API void *taps_connection_user(const taps_connection *connection);
TAPS_API taps_context *taps_connection_context(const taps_connection *connection);
/* At any time, in any callback. If the Connection is still open it is dropped at once, without events (Abort first if
   the peer must see a reset; Close and wait for Closed if data must arrive). NULL is allowed. */
TAPS_API void taps_connection_free(taps_connection *connection);

#define TAPS_MESSAGE_COST 512 /* bytes that a Message which waits counts beside its own: _taps.sendBuffer */

/*
 * Send (RFC 9622, 9.2): one Message, or with TAPS_SEND_PARTIAL a part of one. Legal as soon as the Connection exists;
 * before Ready it waits. `context` NULL means the defaults; it is copied. Without TAPS_SEND_LEND the bytes are copied.
 * length 0 is an empty Message on stacks with boundaries, and nothing but its properties (final) on streams.
 * The parts of a Message stay together, whatever else is queued; the context of the first one counts for all of them,
 * and if it expires or is refused, so is each other part. 0: exactly one of sent, expired, send_error follows, with
 * `tag`; a Message after the final one, one that is too large for the stack, or whose properties contradict the
 * Connection is a send_error. Negative: nothing was taken, nothing follows: TAPS_E_CLOSED after Close or the end,
 * TAPS_E_NOT_APPLICABLE where `direction` forbids sending, TAPS_E_FULL where _taps.sendBuffer has a bound and this
 * Message would go over it. Each Message (or part) waiting for the kernel counts its bytes and TAPS_MESSAGE_COST; one
 * is always taken when none waits. Each Sent, expired or send_error makes room; so does nothing between start_batch and
 * end_batch.
 */
TAPS_API int taps_connection_send(taps_connection *connection, const void *data, size_t length,
                                  const taps_message_context *context, unsigned flags, void *tag);
/*
 * The same of bytes that lie in `count` pieces, in this order, one Message: `pieces` is borrowed for the call, the
 * bytes as with taps_connection_send. At most TAPS_PIECES_MAX: TAPS_E_RANGE.
 */
#define TAPS_PIECES_MAX 64
TAPS_API int taps_connection_sendv(taps_connection *connection, const struct iovec *pieces, size_t count,
                                   const taps_message_context *context, unsigned flags, void *tag);
/*
 * The same without a copy: the bytes are lent, and stay unchanged until release(arg), which comes exactly once for each
 * call that returned 0, after the Send's event, when nothing of the library has any more use of them: from the loop, or
 * from taps_context_free. It comes also after taps_connection_free, which is silent otherwise. It may call what an
 * event may; within taps_context_free only taps_buffer_unref. `flags` without TAPS_SEND_LEND, which says the same.
 */
TAPS_API int taps_connection_send_lent(taps_connection *connection, const struct iovec *pieces, size_t count,
                                       const taps_message_context *context, unsigned flags, void *tag,
                                       void (*release)(void *arg), void *arg);
/* The same of a buffer of the Connection's context, without a copy: the Send has a reference of its own. */
TAPS_API int taps_connection_send_buffer(taps_connection *connection, taps_buffer *buffer,
                                         const taps_message_context *context, unsigned flags, void *tag);
/* Sends between the two are handed to the stack together (RFC 9622, 9.2.4). */
TAPS_API int taps_connection_start_batch(taps_connection *connection);
TAPS_API int taps_connection_end_batch(taps_connection *connection);
/*
 * Receive (RFC 9622, 9.3.1): asks for one event. Smaller than a whole Message is delivered (received_partial) when at
 * least min_incomplete_length bytes are there (SIZE_MAX: only whole Messages, up to TAPS_WHOLE_MAX bytes: a longer one
 * comes in parts of so much; on a stream without framer, which is one endless Message, that means whatever has arrived;
 * other lengths over 1 MiB mean 1 MiB). max_length (SIZE_MAX: no limit, 0 is an error) bounds one event.
 * TAPS_E_CLOSED once the final Message was delivered; TAPS_E_NOT_APPLICABLE on a Connection that cannot receive.
 */
#define TAPS_WHOLE_MAX ((size_t)16 * 1024 * 1024)
TAPS_API int taps_connection_receive(taps_connection *connection, size_t min_incomplete_length, size_t max_length,
                                     void *tag);

/* Close (RFC 9622, 10): delivers everything sent so far, then closed, or connection_error. No more is received. */
TAPS_API int taps_connection_close(taps_connection *connection);
/* Abort: drops everything, tells the peer (TCP: RST); then connection_error with TAPS_E_LOCAL_ABORT. */
TAPS_API int taps_connection_abort(taps_connection *connection);

/* RFC 9622, 8. Selection properties cannot be set (TAPS_E_READ_ONLY); a failure leaves the Connection as it was. */
TAPS_API int taps_connection_set_property(taps_connection *connection, const char *name, const char *text);
TAPS_API int taps_connection_set_value(taps_connection *connection, enum taps_property property,
                                       struct taps_value value);
/* Preferences of selection read as Booleans once established: does the stack, or the path, have it? */
TAPS_API int taps_connection_get_value(taps_connection *connection, enum taps_property property,
                                       struct taps_value *ret_value);
/* As taps_transport_properties_get_text. */
TAPS_API int taps_connection_get_property(taps_connection *connection, const char *name, char *text, size_t size);
/* A snapshot of all of them. Returns owned. */
TAPS_API int taps_connection_get_properties(taps_connection *connection, taps_transport_properties **ret_properties);
/* Establishing, Established, Closing or Closed (RFC 9622, 11). */
TAPS_API enum taps_conn_state taps_connection_state(const taps_connection *connection);

/*
 * AddRemote, RemoveRemote, AddLocal, RemoveLocal (RFC 9622, 7.5): `count` endpoints (at most 64) of which this
 * Connection may or must not make use from now on. They are borrowed for the call, and copied. Where its stack has a
 * session (QUIC), this is about the session, and so about the whole Connection Group; PathChange follows on each
 * member.
 *
 * Local Endpoints are addresses, interfaces, or an address on an interface; a port is ignored, since each path has one
 * of its own. One that is not there yet is used when it comes. Where the Preconnection had no Local Endpoint, what the
 * system has is known too, and comes after what was added. Remote Endpoints are addresses; without a port they have
 * that of the Remote Endpoint in use. The first of each kind is preferred; whether another is used is for
 * multipathPolicy and the protocol to say. Endpoints that are known are not added again, and others than those known
 * are not removed.
 *
 * If what is in use is removed, the Connection moves. If there is nothing to move to, or it cannot move, it ends:
 * connection_error with TAPS_E_LOCAL_ABORT and words, and the peer is told as by Abort. That a path fails, or an
 * address of the system goes, never ends it.
 *
 * 0, or TAPS_E_STATE before Ready and after the end; TAPS_E_NOT_APPLICABLE for one that is added where the stack cannot
 * move (TCP, UDP, DTLS), or where this end cannot (a Connection of a Listener: its peer moves); TAPS_E_POLICY where
 * multipath is Disabled, or the peer forbids to move; TAPS_E_RESOLUTION for a host name (taps_preconnection_resolve
 * finds its addresses); TAPS_E_ARGUMENT for an endpoint of the other kind, or one that names a service, a protocol, or
 * nothing; TAPS_E_RANGE where there are too many; TAPS_E_MEMORY. A call that fails has changed nothing. The log has the
 * words. From the thread of the context, in any callback.
 */
TAPS_API int taps_connection_add_remote(taps_connection *connection, const taps_endpoint *const *endpoints,
                                        size_t count);
TAPS_API int taps_connection_remove_remote(taps_connection *connection, const taps_endpoint *const *endpoints,
                                           size_t count);
TAPS_API int taps_connection_add_local(taps_connection *connection, const taps_endpoint *const *endpoints,
                                       size_t count);
TAPS_API int taps_connection_remove_local(taps_connection *connection, const taps_endpoint *const *endpoints,
                                          size_t count);

/* What was chosen; NULL before Ready. Stack: top first, "tls/tcp". Returns borrowed from the Connection. Endpoints are
   those of the path as it is now: when it changes, so does what they show. */
TAPS_API const char *taps_connection_stack(const taps_connection *connection);
TAPS_API const taps_endpoint *taps_connection_local(const taps_connection *connection);
TAPS_API const taps_endpoint *taps_connection_remote(const taps_connection *connection);

/* ------------------------------------------------- Connection Groups (RFC 9622, sections 7.4, 8.1.2, 8.1.5, 10) */

/*
 * Clone: one more Connection to the same peer, in a group with this one. Returns it owned, Establishing; ready or
 * establishment_error follows on it, within 30 s. It goes to the address and over the stack that the first Connection
 * of the group has come to, with its Local Endpoints but not their ports; as long as there is none, it waits for that.
 * Where the stack has streams it is a further stream of the same session, on both sides, without a handshake:
 * `direction` of `properties` is that of the stream, and it stays Establishing while the peer allows no more of them.
 *
 * It has the Connection's properties as they are now. `properties` (NULL: none) may say otherwise for itself: what is
 * set of the Selection Properties, the Message Properties and connPriority. All other Connection Properties are shared
 * by the group: another value here is TAPS_E_CONFIGURATION, and setting one on any member sets it on all. If the stack
 * of that member refuses, nothing has changed; another whose stack refuses hears clone_error and is in no group.
 *
 * `framer` NULL: the Framers of the Connection, each with a state of its own; else this one (a copy) instead of all.
 * `events` is borrowed for the life of the new Connection, and may be NULL.
 *
 * TAPS_E_STATE: after Close, or when it has ended. TAPS_E_NOT_CLONEABLE: it came from a Listener, over a protocol
 * without streams; or groupConnLimit has been reached; or no stack of the group has what is asked for. Every refusal
 * but TAPS_E_ARGUMENT and TAPS_E_STATE is also told as clone_error, with words.
 */
TAPS_API int taps_connection_clone(taps_connection *connection, const taps_framer *framer,
                                   const taps_transport_properties *properties,
                                   const struct taps_connection_events *events, void *user,
                                   taps_connection **ret_connection);
/* GroupedConnections: how many there are, itself included, so 1 without a group; and which: the one after `previous` in
   the order of joining, NULL for the first; NULL when there are no more. A member stays one until it is freed, or has
   heard that it is not. Returns borrowed from the application. */
TAPS_API size_t taps_connection_group_count(const taps_connection *connection);
TAPS_API taps_connection *taps_connection_group_next(const taps_connection *connection,
                                                     const taps_connection *previous);
/* Close, or Abort, of every Connection of the group that has not ended. TAPS_E_STATE: there is none. */
TAPS_API int taps_connection_close_group(taps_connection *connection);
TAPS_API int taps_connection_abort_group(taps_connection *connection);

/* ------------------------------------------------------------------- Listeners (RFC 9622, section 7.2) */

struct taps_listener_events {
    /* Not in the RFC: the sockets are open, and taps_listener_local says where. Comes once, before anything else. */
    void (*listening)(taps_listener *listener, void *user);
    /* The callee owns the Connection: set its events here, free it some time. NULL here refuses all. A further stream
       of a session comes too, as a member of the group of its first one. */
    void (*connection_received)(taps_listener *listener, taps_connection *connection, void *user);
    void (*establishment_error)(taps_listener *listener, const struct taps_error *error, void *user);
    void (*stopped)(taps_listener *listener, void *user);
};

/* Stops listening; Connections already delivered go on. Then stopped. */
TAPS_API int taps_listener_stop(taps_listener *listener);
/* At any time; without events. NULL is allowed. */
TAPS_API void taps_listener_free(taps_listener *listener);
/* How many more Connections are delivered; TAPS_INFINITE is the default, 0 delivers none: they wait where the protocol
   can make them wait (TCP: the backlog) and are ignored where it cannot. Each stream that a peer opens is one, also of
   a session that is known (RFC 9622, 7.2); those wait too. */
TAPS_API int taps_listener_set_new_connection_limit(taps_listener *listener, uint64_t limit);
/* Other security parameters for whoever comes from now on: certificates that were renewed, say. They are copied. Who is
   connected, or in the middle of the handshake, keeps the old ones. TAPS_E_CONFIGURATION, with words in
   taps_listener_error, if they cannot be used, if a stack that listens would not be eligible with them, or if their
   mode is another; TAPS_E_STATE: it has stopped. Then the old ones stay. */
TAPS_API int taps_listener_set_security_parameters(taps_listener *listener, const taps_security_parameters *parameters);
/* Why the last taps_listener_set_security_parameters was refused. Returns borrowed until the next call; NULL or code 0
   = it was not. */
TAPS_API const struct taps_error *taps_listener_error(const taps_listener *listener);
/* The context it lives in. */
TAPS_API taps_context *taps_listener_context(const taps_listener *listener);
/* Where it listens, once listening: `index` from 0, NULL beyond the last. Returns borrowed from the Listener. */
TAPS_API const taps_endpoint *taps_listener_local(const taps_listener *listener, size_t index);
TAPS_API const char *taps_listener_stack(const taps_listener *listener, size_t index);
/* Connections that were dropped before delivery (failed handshakes, over the half-open limit, not from the Remote). */
TAPS_API uint64_t taps_listener_dropped(const taps_listener *listener);

/* ------------------------------------------------------- Preconnections (RFC 9622, sections 6 and 7) */

/* Returns owned. It may be used for any number of actions, and freed while they are under way. */
TAPS_API int taps_preconnection_new(taps_context *context, taps_preconnection **ret_preconnection);
TAPS_API void taps_preconnection_free(taps_preconnection *preconnection);
/* Copies. Several remotes are equivalent services; all are candidates. At most 64 of each. */
TAPS_API int taps_preconnection_add_local(taps_preconnection *preconnection, const taps_endpoint *endpoint);
TAPS_API int taps_preconnection_add_remote(taps_preconnection *preconnection, const taps_endpoint *endpoint);
/* The same from text, as taps_endpoint_with_text takes it: "example.com:443", ":8080". */
TAPS_API int taps_preconnection_add_local_text(taps_preconnection *preconnection, const char *text);
TAPS_API int taps_preconnection_add_remote_text(taps_preconnection *preconnection, const char *text);
/* Copies; NULL goes back to the defaults. */
TAPS_API int taps_preconnection_set_transport_properties(taps_preconnection *preconnection,
                                                         const taps_transport_properties *properties);
TAPS_API int taps_preconnection_set_security_parameters(taps_preconnection *preconnection,
                                                        const taps_security_parameters *parameters);

/* A Message Framer (RFC 9622, 9.1.2.1), copied; the last one added is the outermost: it frames first what is sent, and
   parses last what is received. At most 8: TAPS_E_RANGE. */
TAPS_API int taps_preconnection_add_framer(taps_preconnection *preconnection, const taps_framer *framer);

/*
 * Initiate (RFC 9622, 7.1). Returns the Connection owned, Establishing; ready or establishment_error follows.
 * timeout_ms covers everything from name resolution to the last handshake; 0 means 30 s, TAPS_INFINITE none.
 * Configuration that no stack could ever satisfy is refused here (TAPS_E_CONFIGURATION; nothing follows): see
 * taps_preconnection_error. `events` is borrowed for the life of the Connection, and may be NULL.
 */
TAPS_API int taps_preconnection_initiate(taps_preconnection *preconnection, uint64_t timeout_ms,
                                         const struct taps_connection_events *events, void *user,
                                         taps_connection **ret_connection);
/* The same with a first Message (RFC 9622, 9.2.5). If establishment fails there is no send_error beside
   establishment_error. A context with safelyReplayable lets it go with the first flight where the stack can. */
TAPS_API int taps_preconnection_initiate_with_send(taps_preconnection *preconnection, uint64_t timeout_ms,
                                                   const struct taps_connection_events *events, void *user,
                                                   const void *data, size_t length, const taps_message_context *context,
                                                   unsigned flags, void *tag, taps_connection **ret_connection);
/* Listen (RFC 9622, 7.2). Needs a Local Endpoint; port 0 or none is an ephemeral port. Remote Endpoints, if any,
   constrain who is accepted. Returns the Listener owned. */
TAPS_API int taps_preconnection_listen(taps_preconnection *preconnection, const struct taps_listener_events *events,
                                       void *user, taps_listener **ret_listener);
/* Resolve (RFC 9622, 6.1): early binding. `fn` is called once: lists of concrete endpoints, borrowed for the call, or
   an error. */
typedef void (*taps_resolve_fn)(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                                size_t local_count, const taps_endpoint *const *remotes, size_t remote_count);
TAPS_API int taps_preconnection_resolve(taps_preconnection *preconnection, uint64_t timeout_ms, taps_resolve_fn fn,
                                        void *user);
/* Why the last action on this Preconnection was refused; code 0 if it was not. Borrowed until the next action. */
TAPS_API const struct taps_error *taps_preconnection_error(const taps_preconnection *preconnection);
/* What selection said of every stack in the last refused action; NULL otherwise. Borrowed until the next action. */
TAPS_API const taps_report *taps_preconnection_report(const taps_preconnection *preconnection);

#ifdef __cplusplus
}
#endif

#include <taps/security.h> /* security parameters, and what they have led to */
#include <taps/monitor.h>  /* the establishment report, and what is in use */

#endif
