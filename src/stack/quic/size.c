/*
 * How large packets are. Through a network the engine finds out what a path takes, up to 1,452 bytes. On one machine
 * the system knows, and it is many times that: what a packet costs is half of what a byte costs. Packets are small
 * until the handshake is done, and as long as little is sent, which is not worth asking for.
 */
#include "stack/quic/quic.h"

bool tapsi_quic_is_local(const struct quic_session *s)
{
    return tapsi_addr_is_loopback(&s->remote) || tapsi_addr_same_host(&s->local, &s->remote);
}

size_t tapsi_quic_packet_most(const struct quic_session *s)
{
    if (!s->local_peer)
        return ngtcp2_conn_get_path_max_tx_udp_payload_size(s->conn);
    return s->sized ? s->packet_most : QUIC_SEGMENT;
}

void tapsi_quic_size_packets(struct quic_session *s)
{
    const ngtcp2_transport_params *peer = ngtcp2_conn_get_remote_transport_params(s->conn);
    size_t most = QUIC_PACKET_LOCAL;
    if (!s->local_peer)
        return;
    s->sized = true;
    s->packet_most = QUIC_SEGMENT;
    size_t path = tapsi_quic_is_local(s) ? tapsi_port_mtu(s->path->port, &s->local, &s->remote) : 0;
    most = path < most ? path : most;
    if (peer && peer->max_udp_payload_size < most)
        most = (size_t)peer->max_udp_payload_size;
    if (most > QUIC_SEGMENT)
        s->packet_most = most;
}
