/*
 * The table of stacks. What a row claims here is what selection promises the application, so each claim is tested in
 * the conformance suite of its protocol.
 */
#include "stack/registry.h"

#include <string.h>
#include "stack/framer/framing.h"

#define NEVER    TAPSI_CAP_NEVER
#define OPTIONAL TAPSI_CAP_OPTIONAL
#define ALWAYS   TAPSI_CAP_ALWAYS

#define BOTH_TLS ((1u << TAPS_TLS_1_2) | (1u << TAPS_TLS_1_3))

/* What a reliable, ordered byte stream gives to everything that stands on it; RFC 9623, 10.1. Soft errors can be had by
   asking the socket; the listener may write first. */
#define FROM_A_STREAM                                                                                                  \
    [TAPS_RELIABILITY] = ALWAYS, [TAPS_PER_MSG_RELIABILITY] = NEVER, [TAPS_PRESERVE_ORDER] = ALWAYS,                   \
    [TAPS_MULTISTREAMING] = NEVER, [TAPS_FULL_CHECKSUM_SEND] = ALWAYS, [TAPS_FULL_CHECKSUM_RECV] = ALWAYS,             \
    [TAPS_CONGESTION_CONTROL] = ALWAYS, [TAPS_KEEP_ALIVE] = OPTIONAL, [TAPS_USE_TEMPORARY_LOCAL_ADDRESS] = OPTIONAL,   \
    [TAPS_SOFT_ERROR_NOTIFY] = OPTIONAL, [TAPS_ACTIVE_READ_BEFORE_SEND] = OPTIONAL

/* A first Message in the handshake: TLS and QUIC have early data, and TCP a SYN with bytes. */
#define STREAM_CAPABILITIES                                                                                            \
    {                                                                                                                  \
        FROM_A_STREAM, [TAPS_PRESERVE_MSG_BOUNDARIES] = NEVER, [TAPS_ZERO_RTT_MSG] = OPTIONAL                          \
    }
#define FRAMED_CAPABILITIES                                                                                            \
    {                                                                                                                  \
        FROM_A_STREAM, [TAPS_PRESERVE_MSG_BOUNDARIES] = ALWAYS, [TAPS_ZERO_RTT_MSG] = NEVER                            \
    }

static const struct tapsi_stack_row rows[] = {
    {
        .offer = {.stack = "quic",
                  .capability = {[TAPS_RELIABILITY] = ALWAYS,
                                 [TAPS_PRESERVE_MSG_BOUNDARIES] = NEVER,
                                 [TAPS_PER_MSG_RELIABILITY] = NEVER,
                                 [TAPS_PRESERVE_ORDER] = ALWAYS,
                                 [TAPS_ZERO_RTT_MSG] = OPTIONAL,
                                 [TAPS_MULTISTREAMING] = ALWAYS,
                                 [TAPS_FULL_CHECKSUM_SEND] = ALWAYS,
                                 [TAPS_FULL_CHECKSUM_RECV] = ALWAYS,
                                 [TAPS_CONGESTION_CONTROL] = ALWAYS,
                                 [TAPS_KEEP_ALIVE] = OPTIONAL,
                                 [TAPS_USE_TEMPORARY_LOCAL_ADDRESS] = OPTIONAL,
                                 [TAPS_SOFT_ERROR_NOTIFY] = NEVER,
                                 /* a stream is shown to the peer with its first byte */
                                 [TAPS_ACTIVE_READ_BEFORE_SEND] = NEVER},
                  .secure = true,
                  .security_protocols = 1u << TAPS_QUIC_1,
                  .alpn = TAPSI_ALPN_QUIC,
                  .needs_alpn = true,
                  .multipath = true,
                  .can_initiate = true,
                  .can_listen = true},
        .protos = {&tapsi_proto_quic},
    },
    {
        .offer = {.stack = "quic-datagram",
                  .capability = {[TAPS_RELIABILITY] = NEVER,
                                 [TAPS_PRESERVE_MSG_BOUNDARIES] = ALWAYS,
                                 [TAPS_PER_MSG_RELIABILITY] = NEVER,
                                 [TAPS_PRESERVE_ORDER] = NEVER,
                                 [TAPS_ZERO_RTT_MSG] = NEVER,
                                 [TAPS_MULTISTREAMING] = NEVER,
                                 [TAPS_FULL_CHECKSUM_SEND] = ALWAYS,
                                 [TAPS_FULL_CHECKSUM_RECV] = ALWAYS,
                                 [TAPS_CONGESTION_CONTROL] = ALWAYS,
                                 [TAPS_KEEP_ALIVE] = OPTIONAL,
                                 [TAPS_USE_TEMPORARY_LOCAL_ADDRESS] = OPTIONAL,
                                 [TAPS_SOFT_ERROR_NOTIFY] = NEVER,
                                 [TAPS_ACTIVE_READ_BEFORE_SEND] = NEVER},
                  .secure = true,
                  .security_protocols = 1u << TAPS_QUIC_1,
                  .alpn = TAPSI_ALPN_QUIC,
                  .needs_alpn = true,
                  .multipath = true,
                  .can_initiate = true,
                  .can_listen = true},
        .protos = {&tapsi_proto_quic_datagram},
    },
    {
        .offer = {.stack = "tls/tcp",
                  .capability = STREAM_CAPABILITIES,
                  .secure = true,
                  .security_protocols = BOTH_TLS,
                  .alpn = TAPSI_ALPN_TLS,
                  .can_initiate = true,
                  .can_listen = true},
        .protos = {&tapsi_proto_tcp, &tapsi_proto_tls},
    },
    {
        .offer = {.stack = "tcp", .capability = STREAM_CAPABILITIES, .can_initiate = true, .can_listen = true},
        .protos = {&tapsi_proto_tcp},
    },
    {
        .offer = {.stack = "dtls/udp",
                  .capability = {[TAPS_RELIABILITY] = NEVER,
                                 [TAPS_PRESERVE_MSG_BOUNDARIES] = ALWAYS,
                                 [TAPS_PER_MSG_RELIABILITY] = NEVER,
                                 [TAPS_PRESERVE_ORDER] = NEVER,
                                 [TAPS_ZERO_RTT_MSG] = NEVER,
                                 [TAPS_MULTISTREAMING] = NEVER,
                                 [TAPS_FULL_CHECKSUM_SEND] = ALWAYS,
                                 [TAPS_FULL_CHECKSUM_RECV] = ALWAYS,
                                 [TAPS_CONGESTION_CONTROL] = NEVER,
                                 [TAPS_KEEP_ALIVE] = NEVER,
                                 [TAPS_USE_TEMPORARY_LOCAL_ADDRESS] = OPTIONAL,
                                 [TAPS_SOFT_ERROR_NOTIFY] = OPTIONAL,
                                 [TAPS_ACTIVE_READ_BEFORE_SEND] = OPTIONAL},
                  .secure = true,
                  .security_protocols = 1u << TAPS_DTLS_1_2,
                  .can_initiate = true,
                  .can_listen = true},
        .protos = {&tapsi_proto_udp, &tapsi_proto_dtls},
    },
    {
        .offer = {.stack = "udp",
                  .capability = {[TAPS_RELIABILITY] = NEVER,
                                 [TAPS_PRESERVE_MSG_BOUNDARIES] = ALWAYS,
                                 [TAPS_PER_MSG_RELIABILITY] = NEVER,
                                 [TAPS_PRESERVE_ORDER] = NEVER,
                                 [TAPS_ZERO_RTT_MSG] = ALWAYS,
                                 [TAPS_MULTISTREAMING] = NEVER,
                                 [TAPS_FULL_CHECKSUM_SEND] = ALWAYS,
                                 [TAPS_FULL_CHECKSUM_RECV] = ALWAYS,
                                 [TAPS_CONGESTION_CONTROL] = NEVER,
                                 [TAPS_KEEP_ALIVE] = NEVER,
                                 [TAPS_USE_TEMPORARY_LOCAL_ADDRESS] = OPTIONAL,
                                 [TAPS_SOFT_ERROR_NOTIFY] = OPTIONAL,
                                 [TAPS_ACTIVE_READ_BEFORE_SEND] = NEVER},
                  .may_duplicate = true,
                  .can_initiate = true,
                  .can_listen = true},
        .protos = {&tapsi_proto_udp},
    },
#ifdef TAPS_WITH_RFC4571
    {
        .offer = {.stack = "rfc4571/tls/tcp",
                  .capability = FRAMED_CAPABILITIES,
                  .only_for = TAPS_PRESERVE_MSG_BOUNDARIES,
                  .secure = true,
                  .security_protocols = BOTH_TLS,
                  .alpn = TAPSI_ALPN_TLS,
                  .can_initiate = true,
                  .can_listen = true},
        .protos = {&tapsi_proto_tcp, &tapsi_proto_tls, &tapsi_proto_rfc4571},
    },
    {
        .offer = {.stack = "rfc4571/tcp",
                  .capability = FRAMED_CAPABILITIES,
                  .only_for = TAPS_PRESERVE_MSG_BOUNDARIES,
                  .can_initiate = true,
                  .can_listen = true},
        .protos = {&tapsi_proto_tcp, &tapsi_proto_rfc4571},
    },
#endif
#ifdef TAPS_WITH_MUX /* tests/streams: a session with streams, as small as one can be */
    {
        .offer = {.stack = "mux",
                  .capability = {[TAPS_RELIABILITY] = ALWAYS,
                                 [TAPS_PER_MSG_RELIABILITY] = NEVER,
                                 [TAPS_PRESERVE_ORDER] = ALWAYS,
                                 [TAPS_ZERO_RTT_MSG] = NEVER,
                                 [TAPS_MULTISTREAMING] = ALWAYS,
                                 [TAPS_FULL_CHECKSUM_SEND] = ALWAYS,
                                 [TAPS_FULL_CHECKSUM_RECV] = ALWAYS,
                                 [TAPS_CONGESTION_CONTROL] = ALWAYS,
                                 [TAPS_KEEP_ALIVE] = OPTIONAL,
                                 [TAPS_USE_TEMPORARY_LOCAL_ADDRESS] = OPTIONAL,
                                 [TAPS_SOFT_ERROR_NOTIFY] = OPTIONAL,
                                 [TAPS_ACTIVE_READ_BEFORE_SEND] = NEVER},
                  .multipath = true,
                  .can_initiate = true,
                  .can_listen = true},
        .protos = {&tapsi_proto_mux},
    },
#endif
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= TAPSI_STACKS_MAX, "callers' arrays hold TAPSI_STACKS_MAX offers");

const struct tapsi_stack_row *tapsi_registry(size_t *ret_count)
{
    *ret_count = ROWS;
    return rows;
}

size_t tapsi_registry_offers(struct tapsi_offer *offers, const struct tapsi_framers *framers)
{
    bool frame = framers && tapsi_framers_frame(framers);
    for (size_t i = 0; i < ROWS; i++) {
        offers[i] = rows[i].offer;
        if (frame && offers[i].only_for == TAPS_PRESERVE_MSG_BOUNDARIES)
            offers[i].unavailable = "a Framer makes the boundaries";
        if (frame) { /* what Framers make of a first Message is not known before the stack is ready */
            offers[i].capability[TAPS_PRESERVE_MSG_BOUNDARIES] = ALWAYS;
            offers[i].capability[TAPS_ZERO_RTT_MSG] = NEVER;
        }
    }
    return ROWS;
}

bool tapsi_stack_has_proto(const struct tapsi_stack_row *row, const char *name)
{
    for (size_t i = 0; i < TAPSI_STACK_LAYERS && row->protos[i]; i++) {
        if (tapsi_text_equal(row->protos[i]->name, name))
            return true;
    }
    return false;
}

/* Undoes what was made above `below`, which stays with the caller. */
static void unmake(struct tapsi_layer *top, struct tapsi_layer *below)
{
    struct tapsi_layer *lowest = top;
    while (lowest != below && lowest->below != below)
        lowest = lowest->below;
    if (lowest == below)
        return;
    lowest->below = NULL;
    tapsi_layer_destroy(top, 0);
}

/* Those that speak before the security protocol does, or the others. */
static int make_framers(const struct tapsi_stack_row *row, struct tapsi_env *env, const struct tapsi_target *target,
                        enum tapsi_role role, bool below_security, struct tapsi_layer **top,
                        struct tapsi_error *ret_error)
{
    const struct tapsi_framing_place place = {.secure = row->offer.secure,
                                              .datagram = row->protos[0]->offers == TAPSI_OFFERS_DATAGRAM};
    int err = 0;
    for (size_t i = 0; i < env->framers.count && !err; i++) {
        struct taps_framer *framer = env->framers.items[i];
        if (!(framer->definition->flags & TAPS_FRAMER_BELOW_SECURITY) != below_security)
            err = tapsi_framing_make(env, framer, target, role, place, *top, top, ret_error);
    }
    return err;
}

int tapsi_stack_make(const struct tapsi_stack_row *row, struct tapsi_env *env, const struct tapsi_target *target,
                     enum tapsi_role role, struct tapsi_layer *below, struct tapsi_sink *sink,
                     struct tapsi_layer **ret_top, struct tapsi_error *ret_error)
{
    struct tapsi_layer *top = below;
    int err = 0;
    for (size_t i = 0; i < TAPSI_STACK_LAYERS && row->protos[i] && !err; i++) {
        if (i || !below)
            err = row->protos[i]->make(env, target, role, top, &top, ret_error);
        if (i == 0 && !err)
            err = make_framers(row, env, target, role, true, &top, ret_error);
    }
    if (!err)
        err = make_framers(row, env, target, role, false, &top, ret_error);
    if (err) {
        unmake(top, below);
        return err;
    }
    top->up = sink;
    *ret_top = top;
    return 0;
}
