/* What the files of the listener have in common: port.c (demultiplexing, the gate), peer.c, peers.c (the table). */
#ifndef TAPSI_STACK_UDP_PEER_H
#define TAPSI_STACK_UDP_PEER_H

#include "stack/udp/port.h"
#include "base/siphash.h"

/* The peers of a port by their addresses. */
struct tapsi_udppeers {
    struct tapsi_mem *mem;
    struct tapsi_udppeer **buckets; /* a power of two of them, or NULL */
    size_t bucket_count, count;
    struct tapsi_udppeer *recent; /* the one found last, since datagrams come in trains; or NULL */
    struct tapsi_siphash_key key; /* random */
};

struct tapsi_udpport {
    unsigned refs; /* the listener's, one per peer, and while something is handed out */
    struct tapsi_loop *loop;
    struct tapsi_port_user user;
    struct tapsi_udpsocket *socket;     /* the port's */
    struct tapsi_task task;             /* the reaper's */
    const struct tapsi_gate *gate;      /* whom the protocol above lets in; NULL: everybody */
    struct tapsi_udplistener *listener; /* NULL: gone */
    struct tapsi_udppeers peers;
    struct tapsi_link waiting; /* peers that the kernel keeps waiting */
    uint64_t ignored;          /* datagrams of strangers */
    uint64_t turned_away;      /* and those that the gate did not let in */
    uint64_t dropped;          /* datagrams over a peer's bound */
};

struct tapsi_udppeer {
    struct tapsi_layer layer;
    struct tapsi_udpport *port;
    struct tapsi_udppeer *next; /* in its bucket */
    bool in_table, closing;
    bool path_news; /* found while being asked: said at flush */
    struct tapsi_link waiting_link;
    struct tapsi_port_way way;
    struct tapsi_path path;
    struct tapsi_link kept; /* datagrams that came too early */
    size_t kept_count, kept_bytes;
    int profile;
    struct tapsi_udpcounts counts;
};

void tapsi_udppeers_init(struct tapsi_udppeers *peers, struct tapsi_mem *mem, const struct tapsi_siphash_key *key);
void tapsi_udppeers_done(struct tapsi_udppeers *peers);
/* The peer of these addresses, or NULL. `local` NULL: any of the remote's. */
struct tapsi_udppeer *tapsi_udppeers_find(struct tapsi_udppeers *peers, const union tapsi_addr *remote,
                                          const union tapsi_addr *local);
/* By its path, which must not change while it is in. 0 or TAPS_E_MEMORY. */
int tapsi_udppeers_add(struct tapsi_udppeers *peers, struct tapsi_udppeer *peer);
/* Harmless when it is not in. */
void tapsi_udppeers_remove(struct tapsi_udppeers *peers, struct tapsi_udppeer *peer);

/* A new peer in the table, NEW, with a reference of the port. NULL = no memory. */
struct tapsi_udppeer *tapsi_udppeer_new(struct tapsi_udpport *port, struct tapsi_env *env,
                                        const struct tapsi_datagram *datagram);
/* Delivers, keeps or drops. The peer may be gone after it. */
void tapsi_udppeer_take(struct tapsi_udppeer *peer, const struct tapsi_datagram *datagram);
/* A datagram did not fit, or the network says so: is there a new limit? */
void tapsi_udppeer_check_mtu(struct tapsi_udppeer *peer);
void tapsi_udpport_unref(struct tapsi_udpport *port);

#endif
