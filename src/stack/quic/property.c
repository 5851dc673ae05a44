#include "stack/quic/quic.h"

#define HEADERS_IPV4 (20 + 8)
#define HEADERS_IPV6 (40 + 8)

/* More than before: what was allowed cannot be taken back. */
static void allow_streams(struct quic_session *s, uint64_t limit)
{
    uint64_t most = limit < QUIC_STREAMS_MOST ? limit : QUIC_STREAMS_MOST;
    if (!s->conn || limit == TAPS_INFINITE || most <= s->streams_allowed || !s->streams_allowed)
        return;
    ngtcp2_conn_extend_max_streams_bidi(s->conn, most - s->streams_allowed);
    ngtcp2_conn_extend_max_streams_uni(s->conn, most - s->streams_allowed);
    for (int uni = 0; uni < 2; uni++)
        s->streams_granted[uni] += most - s->streams_allowed;
    s->streams_allowed = most;
    tapsi_quic_dirty(s);
}

int tapsi_quic_set(struct quic_session *s, enum taps_property property, const struct taps_value *value)
{
    switch (property) {
    case TAPS_CONN_SCHEDULER:
        tapsi_sched_set_kind(&s->sending, (enum taps_scheduler)value->enumeration);
        return TAPSI_HANDLED;
    case TAPS_CONN_PRIORITY:
        return TAPSI_HANDLED;
    case TAPS_GROUP_CONN_LIMIT:
        allow_streams(s, value->integer);
        return TAPSI_HANDLED;
    case TAPS_CONN_TIMEOUT:
        s->times.connection = value->number;
        tapsi_quic_keep_alive(s);
        tapsi_quic_dirty(s);
        return TAPSI_HANDLED;
    case TAPS_KEEP_ALIVE_TIMEOUT:
        s->times.keep_alive = value->number;
        s->times.keep_alive_set = true;
        tapsi_quic_keep_alive(s);
        tapsi_quic_dirty(s);
        return TAPSI_HANDLED;
    case TAPS_CONN_CAPACITY_PROFILE:
        s->profile = value->enumeration;
        return TAPSI_HANDLED;
    case TAPS_MULTIPATH_POLICY:
        s->policy = value->enumeration;
        tapsi_quic_dirty(s);
        return TAPSI_HANDLED;
    default:
        return TAPSI_PASS;
    }
}

static int give_text(union tapsi_got *ret, const char *text)
{
    ret->text = text;
    return TAPSI_HANDLED;
}

int tapsi_quic_get(struct quic_session *s, int what, union tapsi_got *ret)
{
    bool open = tapsi_quic_is_agreed(s);
    switch (what) {
    case TAPSI_GET_REMOTE:
        ret->address = s->remote;
        return TAPSI_HANDLED;
    case TAPSI_GET_LOCAL:
        ret->address = s->local;
        return s->local.sa.sa_family ? TAPSI_HANDLED : TAPS_E_STATE;
    case TAPSI_GET_INTERFACE:
        ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = s->interface_index};
        return s->interface_index ? TAPSI_HANDLED : TAPSI_PASS;
    case TAPSI_GET_SPOKE:
        ret->value.boolean = s->hs.spoke;
        return TAPSI_HANDLED;
    case TAPSI_GET_BOND:
        ret->bond = &s->bond;
        return TAPSI_HANDLED;
    case TAPSI_GET_ALPN:
        return open ? give_text(ret, s->hs.alpn) : TAPSI_PASS;
    case TAPSI_GET_HANDSHAKE:
        ret->handshake = &s->hs;
        return open ? TAPSI_HANDLED : TAPSI_PASS;
    case TAPSI_GET_SECURITY:
        return open ? give_text(ret, tapsi_handshake_version(&s->hs)) : TAPSI_PASS;
    case TAPS_CONN_CAPACITY_PROFILE:
        ret->value = (struct taps_value){.type = TAPS_TYPE_ENUMERATION, .enumeration = s->profile};
        return TAPSI_HANDLED;
    default:
        return TAPSI_PASS;
    }
}

void tapsi_quic_statistics(struct quic_session *s, uint64_t *values)
{
    ngtcp2_conn_info info;
    if (!s->conn)
        return;
    ngtcp2_conn_get_conn_info(s->conn, &info);
    values[TAPS_ROUND_TRIP_US] = info.smoothed_rtt / 1000;
    values[TAPS_ROUND_TRIP_VARIATION_US] = info.rttvar / 1000;
    values[TAPS_MIN_ROUND_TRIP_US] = info.min_rtt / 1000;
    values[TAPS_CONGESTION_WINDOW] = info.cwnd;
    values[TAPS_DELIVERY_RATE] = tapsi_ngtcp2_delivery_rate(&info, TAPS_UNKNOWN);
    unsigned headers = s->remote.sa.sa_family == AF_INET6 ? HEADERS_IPV6 : HEADERS_IPV4;
    values[TAPS_PATH_MTU] = tapsi_quic_packet_most(s) + headers;
    values[TAPS_SEGMENT_SIZE] = tapsi_quic_packet_most(s);
}
