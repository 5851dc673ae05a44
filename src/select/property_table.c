#include "select/property_table.h"

#include "base/str.h"

/* Seconds are kept and written to the nanosecond, and up to thirty years. */
#define SECONDS_LOW  1e-9
#define SECONDS_HIGH 1e9
#define PRIORITY_MAX UINT32_MAX
#define LENGTH_MAX   INT64_MAX
#define RATE_MAX     INT64_MAX
/* RFC 5482, 3.1: 15 bits, of minutes at most. */
#define USER_TIMEOUT_MAX ((uint64_t)32767 * 60)

static const char *const multipath_names[] = {"disabled", "active", "passive", NULL};
static const char *const direction_names[] = {"bidirectional", "unidirectional send", "unidirectional receive", NULL};
static const char *const scheduler_names[] = {
    "first-come first-served", "round-robin", "round-robin per packet", "priority", "fair capacity",
    "weighted fair queueing",  NULL};
static const char *const profile_names[] = {"default",
                                            "scavenger",
                                            "low latency interactive",
                                            "low latency non-interactive",
                                            "constant-rate streaming",
                                            "capacity-seeking",
                                            NULL};
static const char *const policy_names[] = {"handover", "interactive", "aggregate", NULL};
static const char *const state_names[] = {"establishing", "established", "closing", "closed", NULL};

#define INFO(id, name_, type_, scope_, default_, section_, summary_)                                                   \
    .info = {.property = (id),                                                                                         \
             .name = (name_),                                                                                          \
             .type = TAPS_TYPE_##type_,                                                                                \
             .scope = TAPS_SCOPE_##scope_,                                                                             \
             .default_text = (default_),                                                                               \
             .section = (section_),                                                                                    \
             .summary = (summary_)}

#define PREFERENCE(id, name_, initial_, default_, section_, summary_)                                                  \
    [id] = {INFO(id, name_, PREFERENCE, SELECTION, default_, section_, summary_),                                      \
            .initial = {.type = TAPS_TYPE_PREFERENCE, {.preference = (initial_)}}}
#define SET(id, name_, section_, summary_)                                                                             \
    [id] = {INFO(id, name_, SET, SELECTION, "", section_, summary_), .initial = {.type = TAPS_TYPE_SET}}
#define BOOLEAN(id, name_, scope_, initial_, default_, section_, summary_, ...)                                        \
    [id] = {INFO(id, name_, BOOLEAN, scope_, default_, section_, summary_),                                            \
            .initial = {.type = TAPS_TYPE_BOOLEAN, {.boolean = (initial_)}}, ##__VA_ARGS__}
#define INTEGER(id, name_, scope_, initial_, default_, section_, summary_, ...)                                        \
    [id] = {INFO(id, name_, INTEGER, scope_, default_, section_, summary_),                                            \
            .initial = {.type = TAPS_TYPE_INTEGER, {.integer = (initial_)}}, ##__VA_ARGS__}
#define NUMBER(id, name_, scope_, initial_, default_, low_, high_, section_, summary_, ...)                            \
    [id] = {INFO(id, name_, NUMBER, scope_, default_, section_, summary_),                                             \
            .initial = {.type = TAPS_TYPE_NUMBER, {.number = (initial_)}}, .low = (low_), .high = (high_),             \
            ##__VA_ARGS__}
#define ENUMERATION(id, name_, scope_, initial_, default_, section_, names_, summary_)                                 \
    [id] = {.info = {.property = (id),                                                                                 \
                     .name = (name_),                                                                                  \
                     .type = TAPS_TYPE_ENUMERATION,                                                                    \
                     .scope = TAPS_SCOPE_##scope_,                                                                     \
                     .default_text = (default_),                                                                       \
                     .section = (section_),                                                                            \
                     .summary = (summary_),                                                                            \
                     .values = (names_)},                                                                              \
            .initial = {.type = TAPS_TYPE_ENUMERATION, {.enumeration = (initial_)}}}

/* clang-format off: a table reads better as one */
static const struct tapsi_property_row table[TAPS_PROPERTY_COUNT] = {
    PREFERENCE(TAPS_RELIABILITY, "reliability", TAPS_REQUIRE, "require", "RFC 9622, 6.2.1",
               "all data arrives, and the end of the Connection is told; on tcp and tls/tcp, not on udp"),
    PREFERENCE(TAPS_PRESERVE_MSG_BOUNDARIES, "preserveMsgBoundaries", TAPS_NO_PREFERENCE, "no preference",
               "RFC 9622, 6.2.2",
               "a Message arrives as one Message; on udp, and on every stack with a Framer that has them"),
    PREFERENCE(TAPS_PER_MSG_RELIABILITY, "perMsgReliability", TAPS_NO_PREFERENCE, "no preference", "RFC 9622, 6.2.3",
               "reliability can be chosen for each Message; on no stack of this version"),
    PREFERENCE(TAPS_PRESERVE_ORDER, "preserveOrder", TAPS_REQUIRE, "require", "RFC 9622, 6.2.4",
               "data arrives in the order it was sent; on tcp and tls/tcp, not on udp"),
    PREFERENCE(TAPS_ZERO_RTT_MSG, "zeroRttMsg", TAPS_NO_PREFERENCE, "no preference", "RFC 9622, 6.2.5",
               "a safely replayable Message can go before or with establishment; on udp, not on tcp and tls/tcp"),
    PREFERENCE(TAPS_MULTISTREAMING, "multistreaming", TAPS_PREFER, "prefer", "RFC 9622, 6.2.6",
               "the Connections of a group are streams of one transport connection; on no stack of this version"),
    PREFERENCE(TAPS_FULL_CHECKSUM_SEND, "fullChecksumSend", TAPS_REQUIRE, "require", "RFC 9622, 6.2.7",
               "everything sent is covered by a checksum; always so on every stack of this version"),
    PREFERENCE(TAPS_FULL_CHECKSUM_RECV, "fullChecksumRecv", TAPS_REQUIRE, "require", "RFC 9622, 6.2.8",
               "everything received is covered by a checksum; always so on every stack of this version"),
    PREFERENCE(TAPS_CONGESTION_CONTROL, "congestionControl", TAPS_REQUIRE, "require", "RFC 9622, 6.2.9",
               "the Connection is congestion controlled; on tcp and tls/tcp, not on udp"),
    PREFERENCE(TAPS_KEEP_ALIVE, "keepAlive", TAPS_NO_PREFERENCE, "no preference", "RFC 9622, 6.2.10",
               "an idle Connection sends keep-alive packets; see keepAliveTimeout; on tcp and tls/tcp, not on udp"),
    SET(TAPS_INTERFACE, "interface", "RFC 9622, 6.2.11",
        "interfaces by name, or types: ethernet, wifi, cellular, loopback, vpn, other; a Listener listens on those "
        "that "
        "are left, each by itself"),
    SET(TAPS_PVD, "pvd", "RFC 9622, 6.2.12",
        "provisioning domains by name; known is the implicit one of each interface, which has its name"),
    PREFERENCE(TAPS_USE_TEMPORARY_LOCAL_ADDRESS, "useTemporaryLocalAddress", TAPS_PREFER, "prefer", "RFC 9622, 6.2.13",
               "temporary (privacy) source addresses; Require excludes IPv4; where it is set, every stack asks the "
               "system for them; the default is Avoid for Listeners"),
    ENUMERATION(TAPS_MULTIPATH, "multipath", SELECTION, TAPS_MULTIPATH_DISABLED, "disabled", "RFC 9622, 6.2.14",
                multipath_names,
                "use of several paths at once; on no stack of this version; the default is passive for Listeners"),
    BOOLEAN(TAPS_ADVERTISES_ALTADDR, "advertisesAltaddr", SELECTION, false, "false", "RFC 9622, 6.2.15",
            "tell the peer the other addresses of this host; on no stack of this version"),
    ENUMERATION(TAPS_DIRECTION, "direction", SELECTION, TAPS_BIDIRECTIONAL, "bidirectional", "RFC 9622, 6.2.16",
                direction_names,
                "whether the application sends, receives, or both; calls of the other direction are refused, on every "
                "stack"),
    PREFERENCE(TAPS_SOFT_ERROR_NOTIFY, "softErrorNotify", TAPS_NO_PREFERENCE, "no preference", "RFC 9622, 6.2.17",
               "ICMP errors that do not end the Connection are told as SoftError; on every stack; a Connection that "
               "initiated over udp hears also unasked that nobody listens"),
    PREFERENCE(TAPS_ACTIVE_READ_BEFORE_SEND, "activeReadBeforeSend", TAPS_NO_PREFERENCE, "no preference",
               "RFC 9622, 6.2.18", "the listening side may be the first to write; on tcp and tls/tcp, not on udp"),

    INTEGER(TAPS_RECV_CHECKSUM_LEN, "recvChecksumLen", CONNECTION, TAPS_INFINITE, "full", "RFC 9622, 8.1.1",
            "bytes of a received Message that a checksum must cover, or full; always full on every stack of this "
            "version",
            .max = LENGTH_MAX, .words = {"full", "full coverage"}),
    INTEGER(
        TAPS_CONN_PRIORITY, "connPriority", CONNECTION, 100, "100", "RFC 9622, 8.1.2",
        "priority among the Connections of a group, lower first, as connScheduler takes it: by default shares are in "
        "proportion to 1/priority, and 0 goes before all others; not shared by the group",
        .max = PRIORITY_MAX),
    NUMBER(TAPS_CONN_TIMEOUT, "connTimeout", CONNECTION, TAPS_DISABLED, "disabled", SECONDS_LOW, SECONDS_HIGH,
           "RFC 9622, 8.1.3",
           "seconds that sent data may stay unacknowledged before the Connection has failed, or disabled; no effect on "
           "udp",
           .words = {"disabled"}),
    NUMBER(TAPS_KEEP_ALIVE_TIMEOUT, "keepAliveTimeout", CONNECTION, TAPS_DISABLED, "disabled", SECONDS_LOW,
           SECONDS_HIGH, "RFC 9622, 8.1.4",
           "idle seconds before a keep-alive packet, without fractions, or disabled; setting it turns keepAlive on, or "
           "off where it is disabled or beyond connTimeout; no effect on udp",
           .words = {"disabled"}),
    ENUMERATION(
        TAPS_CONN_SCHEDULER, "connScheduler", CONNECTION, TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING,
        "weighted fair queueing", "RFC 9622, 8.1.5", scheduler_names,
        "whose Message of a Connection Group is next (RFC 8260, section 3); on every stack; no effect without a "
        "group"),
    ENUMERATION(
        TAPS_CONN_CAPACITY_PROFILE, "connCapacityProfile", CONNECTION, TAPS_PROFILE_DEFAULT, "default",
        "RFC 9622, 8.1.6", profile_names,
        "the treatment the traffic wants: DSCP on every stack; on tcp and tls/tcp low latency turns Nagle off, and the "
        "kernel keeps little"),
    ENUMERATION(TAPS_MULTIPATH_POLICY, "multipathPolicy", CONNECTION, TAPS_POLICY_HANDOVER, "handover",
                "RFC 9622, 8.1.7", policy_names,
                "what several paths are used for; no effect: no stack of this version uses several"),
    INTEGER(TAPS_MIN_SEND_RATE, "minSendRate", CONNECTION, TAPS_INFINITE, "unlimited", "RFC 9622, 8.1.8",
            "bits per second below which sending is of no use, or unlimited: no bound; kept and read, forces nothing",
            .min = 1, .max = RATE_MAX, .words = {"unlimited"}),
    INTEGER(TAPS_MIN_RECV_RATE, "minRecvRate", CONNECTION, TAPS_INFINITE, "unlimited", "RFC 9622, 8.1.8",
            "bits per second below which receiving is of no use, or unlimited: no bound; kept and read, forces nothing",
            .min = 1, .max = RATE_MAX, .words = {"unlimited"}),
    INTEGER(TAPS_MAX_SEND_RATE, "maxSendRate", CONNECTION, TAPS_INFINITE, "unlimited", "RFC 9622, 8.1.8",
            "bits of Messages that are sent in a second at most, or unlimited; on every stack, by each Connection of a "
            "group",
            .min = 1, .max = RATE_MAX, .words = {"unlimited"}),
    INTEGER(TAPS_MAX_RECV_RATE, "maxRecvRate", CONNECTION, TAPS_INFINITE, "unlimited", "RFC 9622, 8.1.8",
            "bits of Messages that are delivered in a second at most, or unlimited; on every stack, by each of a group",
            .min = 1, .max = RATE_MAX, .words = {"unlimited"}),
    INTEGER(
        TAPS_GROUP_CONN_LIMIT, "groupConnLimit", CONNECTION, TAPS_INFINITE, "unlimited", "RFC 9622, 8.1.9",
        "Connections in the group, or unlimited: beyond, Clone is refused; on quic also the streams that the peer may "
        "open",
        .min = 1, .max = UINT32_MAX, .words = {"unlimited"}),
    BOOLEAN(TAPS_ISOLATE_SESSION, "isolateSession", CONNECTION, false, "false", "RFC 9622, 8.1.10",
            "use and leave no cached state outside the Connection Group, as it was at Initiate or Listen"),

    ENUMERATION(TAPS_CONN_STATE, "connState", READ_ONLY, TAPS_ESTABLISHING, "establishing", "RFC 9622, 8.1.11.1",
                state_names, "the Connection's state"),
    BOOLEAN(TAPS_CAN_SEND, "canSend", READ_ONLY, false, "false", "RFC 9622, 8.1.11.2",
            "false when the direction forbids it, after a final Message and after Close"),
    BOOLEAN(TAPS_CAN_RECEIVE, "canReceive", READ_ONLY, false, "false", "RFC 9622, 8.1.11.3",
            "false when the direction forbids it, after the peer's final Message was delivered and after Close"),
    INTEGER(TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN, "singularTransmissionMsgMaxLen", READ_ONLY, TAPS_INFINITE,
            "not applicable", "RFC 9622, 8.1.11.4",
            "bytes of the largest Message that fits one packet: on udp by the MTU of the path; not applicable on tcp "
            "and tls/tcp",
            .max = LENGTH_MAX, .words = {"not applicable"}),
    INTEGER(TAPS_SEND_MSG_MAX_LEN, "sendMsgMaxLen", READ_ONLY, 0, "0", "RFC 9622, 8.1.11.5",
            "bytes of the largest Message that can be sent; unlimited on tcp and tls/tcp", .max = LENGTH_MAX,
            .words = {"unlimited"}),
    INTEGER(TAPS_RECV_MSG_MAX_LEN, "recvMsgMaxLen", READ_ONLY, 0, "0", "RFC 9622, 8.1.11.6",
            "bytes of the largest Message that can be received; unlimited on tcp and tls/tcp", .max = LENGTH_MAX,
            .words = {"unlimited"}),

    INTEGER(TAPS_TCP_USER_TIMEOUT_VALUE, "tcp.userTimeoutValue", CONNECTION, TAPS_INFINITE, "default",
            "RFC 9622, 8.2.1",
            "seconds of TCP's user timeout on this side, or default: TCP's own; the option is not sent: Linux cannot",
            .min = 1, .max = USER_TIMEOUT_MAX, .words = {"default"}, .protocol = "tcp"),
    BOOLEAN(TAPS_TCP_USER_TIMEOUT_ENABLED, "tcp.userTimeoutEnabled", CONNECTION, false, "false", "RFC 9622, 8.2.2",
            "whether tcp.userTimeoutValue is used; the option is neither sent nor accepted: Linux cannot",
            .protocol = "tcp"),
    BOOLEAN(
        TAPS_TCP_USER_TIMEOUT_CHANGEABLE, "tcp.userTimeoutChangeable", CONNECTION, true, "true", "RFC 9622, 8.2.3",
        "the peer's User Timeout Option may change the timeout; false when connTimeout is set; no effect: Linux does "
        "not accept the option",
        .protocol = "tcp"),

    NUMBER(TAPS_CLOSE_TIMEOUT, "_closeTimeout", CONNECTION, 30, "30", SECONDS_LOW, SECONDS_HIGH, "libtaps",
           "seconds that the peer may acknowledge nothing during Close, as it was at Initiate or Listen; on tcp and "
           "tls/tcp"),
    NUMBER(TAPS_ATTEMPT_DELAY, "_attemptDelay", CONNECTION, 0.25, "0.25", 0.01, 2, "libtaps; RFC 8305, 5",
           "seconds between attempts at two addresses, as it was at Initiate, and from QUIC or DTLS to the next "
           "protocol; from another protocol twice, between two paths four times that"),
    BOOLEAN(TAPS_TLS_ALLOW_TRUNCATION, "_tls.allowTruncation", CONNECTION, false, "false", "libtaps",
            "the end of TCP without TLS close_notify ends the data as if it were complete; on tls/tcp",
            .protocol = "tls"),
    BOOLEAN(TAPS_REUSE_PORT, "_taps.reusePort", SELECTION, false, "false", "libtaps",
            "a Listener shares its port with others that set it too, of any context and process of one user, and the "
            "system spreads the peers over them; on every stack; no effect on Initiate"),
    INTEGER(TAPS_SEND_BUFFER, "_taps.sendBuffer", CONNECTION, TAPS_INFINITE, "unlimited", "libtaps",
            "bytes that Send takes and that wait for the kernel, or unlimited; over it Send says TAPS_E_FULL; on every "
            "stack",
            .max = LENGTH_MAX, .words = {"unlimited"}),
    INTEGER(TAPS_QUEUED_BYTES, "_taps.queuedBytes", READ_ONLY, 0, "0", "libtaps",
            "bytes of the Messages that Send has taken and the kernel does not have as a whole; on every stack",
            .max = LENGTH_MAX),

    NUMBER(TAPS_MSG_LIFETIME, "msgLifetime", MESSAGE, TAPS_DISABLED, "infinite", SECONDS_LOW, SECONDS_HIGH,
           "RFC 9622, 9.1.3.1",
           "seconds a Message may wait before its first byte is sent, then it expires, or infinite; on every stack",
           .words = {"infinite"}),
    INTEGER(TAPS_MSG_PRIORITY, "msgPriority", MESSAGE, 100, "100", "RFC 9622, 9.1.3.2",
            "priority among the Messages of one Connection that the stack has not taken yet; lower goes first; on "
            "every stack",
            .max = PRIORITY_MAX),
    BOOLEAN(TAPS_MSG_ORDERED, "msgOrdered", MESSAGE, true, "true", "RFC 9622, 9.1.3.3",
            "delivered in the order of sending; unless set, whether the stack preserves order; true is a SendError on "
            "udp, false has no effect on tcp and tls/tcp"),
    BOOLEAN(TAPS_SAFELY_REPLAYABLE, "safelyReplayable", MESSAGE, false, "false", "RFC 9622, 9.1.3.4",
            "the Message may arrive more than once; each Message on udp needs it; no effect on tcp and tls/tcp"),
    BOOLEAN(TAPS_FINAL, "final", MESSAGE, false, "false", "RFC 9622, 9.1.3.5",
            "the last Message of this direction; tcp sends FIN after it, tls/tcp close_notify, udp has no such sign; "
            "some Framers say it in words of their own"),
    INTEGER(TAPS_MSG_CHECKSUM_LEN, "msgChecksumLen", MESSAGE, TAPS_INFINITE, "full", "RFC 9622, 9.1.3.6",
            "bytes of the Message that a checksum must cover at least, or full; always full on every stack of this "
            "version",
            .max = LENGTH_MAX, .words = {"full", "full coverage"}),
    BOOLEAN(TAPS_MSG_RELIABLE, "msgReliable", MESSAGE, true, "true", "RFC 9622, 9.1.3.7",
            "delivered reliably; unless set, whether the stack is reliable; to differ is a SendError without "
            "perMsgReliability"),
    ENUMERATION(TAPS_MSG_CAPACITY_PROFILE, "msgCapacityProfile", MESSAGE, TAPS_PROFILE_DEFAULT, "default",
                "RFC 9622, 9.1.3.8", profile_names,
                "the treatment of this Message: its DSCP on udp; unless set, connCapacityProfile, which decides in any "
                "case on tcp and tls/tcp"),
    BOOLEAN(TAPS_NO_FRAGMENTATION, "noFragmentation", MESSAGE, false, "false", "RFC 9622, 9.1.3.9",
            "no fragmentation by the network layer (IPv4: Don't Fragment); what is longer than the path takes is a "
            "SendError; on udp, no effect on tcp and tls/tcp"),
    BOOLEAN(TAPS_NO_SEGMENTATION, "noSegmentation", MESSAGE, false, "false", "RFC 9622, 9.1.3.10",
            "one packet or none: what is longer than the path takes is a SendError; on udp, no effect on tcp and "
            "tls/tcp"),
};
/* clang-format on */

const struct tapsi_property_row *tapsi_property_row(enum taps_property property)
{
    if ((int)property <= TAPS_PROPERTY_NONE || property >= TAPS_PROPERTY_COUNT)
        return NULL;
    return &table[property];
}

enum taps_property tapsi_property_find(const char *name)
{
    for (int i = TAPS_PROPERTY_NONE + 1; name && i < TAPS_PROPERTY_COUNT; i++) {
        if (tapsi_text_equal(table[i].info.name, name))
            return (enum taps_property)i;
    }
    return TAPS_PROPERTY_NONE;
}

const char *tapsi_property_name(enum taps_property property)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    return row ? row->info.name : "?";
}
