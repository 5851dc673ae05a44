/* The datagram flow of a session, inside this folder. */
#ifndef TAPSI_STACK_QUIC_DATAGRAM_H
#define TAPSI_STACK_QUIC_DATAGRAM_H

#include "stack/quic/quic.h"

struct quic_flow {
    struct tapsi_layer layer;
    struct quic_session *session; /* a reference */
    struct tapsi_link kept;       /* that came, and nobody has wanted yet */
    unsigned kept_count;
    bool news;   /* of its length or path: said at the session's flush */
    bool warned; /* session->warning is to be told */
    size_t kept_bytes;
    uint64_t sent, bytes_sent, received, bytes_received;
    struct tapsi_link finished; /* ops that are in a packet, or fit none: to be told */
};

/* A layer, NEW. NULL: no memory. */
struct quic_flow *tapsi_quic_flow_new(struct quic_session *s, struct tapsi_env *env);
/* The engine's callback. */
int tapsi_quic_datagram_came(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t length, void *user);
/* Calls up. */
void tapsi_quic_flow_tell(struct quic_session *s);
/* Is there one to be sent? */
bool tapsi_quic_flow_sends(const struct quic_session *s);
/* Puts it into the packet: as ngtcp2_conn_writev_datagram answers. */
ngtcp2_ssize tapsi_quic_flow_write(struct quic_session *s, ngtcp2_path *path, ngtcp2_pkt_info *info, uint8_t *to,
                                   size_t room, uint64_t now);

#endif
