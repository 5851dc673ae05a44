/*
 * The shared port: many peers on one UDP socket. Each peer is a layer; which datagram belongs to whom is decided by the
 * pair of addresses it came with.
 */
#ifndef TAPSI_STACK_UDP_PORT_H
#define TAPSI_STACK_UDP_PORT_H

#include "stack/port/socket.h"

#define TAPSI_UDP_PEERS_MAX  65536        /* peers of one port */
#define TAPSI_UDP_KEPT_MAX   64           /* datagrams kept of a peer that takes none */
#define TAPSI_UDP_KEPT_BYTES (256 * 1024) /* and bytes */

/* The `listen` of struct tapsi_proto. Without a local address: any, of both families where the system has them. */
int tapsi_udp_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                     struct tapsi_layer **ret, struct tapsi_error *ret_error);

#endif
