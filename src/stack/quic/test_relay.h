/*
 * For the tests of this folder: somebody between the client and the server who does as he likes with the client's
 * packets. The client takes him for the server (net.remote); the server sees the addresses he shows.
 */
#ifndef TAPSI_STACK_QUIC_TEST_RELAY_H
#define TAPSI_STACK_QUIC_TEST_RELAY_H

#include "stack/port/port.h"
#include "stack/quic/test_net.h"

#define RELAY_FACES 6
#define RELAY_KEPT  32 /* old packets */

struct relay;

/* An address and port that the server sees. */
struct relay_face {
    struct relay *relay;
    struct tapsi_port_user user;
    uint8_t place; /* which address */
};

struct relay {
    struct net *net;
    struct tapsi_sim_host *host;
    struct tapsi_platform *platform;
    struct tapsi_loop loop;
    struct tapsi_env *env;
    struct tapsi_port_user front;
    union tapsi_addr client; /* as last seen */
    struct relay_face faces[RELAY_FACES];
    unsigned current;
    struct relay_packet {
        uint8_t bytes[1500];
        size_t length;
    } kept[RELAY_KEPT];
    unsigned packets; /* of the client's, so far */
    unsigned (*dice)(unsigned sides);
    /* One in so many packets of the client's ...; 0: never */
    unsigned drops, repeats, replays, delays, from_old;
    struct relay_packet late; /* goes after the next one */
};

/* After net_begin, before net_open: sets net.remote. */
void relay_begin(struct relay *r, struct net *n, unsigned (*dice)(unsigned sides));
/* From now on the server sees another port, and with `place` another address. */
void relay_rebind(struct relay *r, bool place);
/* Before net_finish. */
void relay_finish(struct relay *r);

#endif
