/*
 * The listener: many peers on one UDP port. Each peer is a layer; which datagram belongs to whom is decided by the pair
 * of addresses it came with. With target->gate it has the datagrams of the gate's class, else those of no class.
 */
#ifndef TAPSI_STACK_UDP_PORT_H
#define TAPSI_STACK_UDP_PORT_H

#include "stack/port/port.h"

#define TAPSI_UDP_PEERS_MAX  65536        /* peers of one port */
#define TAPSI_UDP_KEPT_MAX   64           /* datagrams kept of a peer that takes none */
#define TAPSI_UDP_KEPT_BYTES (256 * 1024) /* and bytes */
#define TAPSI_UDP_REPLY_MAX  2048         /* bytes of a gate's answer */

/* The `listen` of struct tapsi_proto. Without a local address: any, of both families where the system has them. */
int tapsi_udp_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                     struct tapsi_layer **ret, struct tapsi_error *ret_error);

#endif
