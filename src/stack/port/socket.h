/*
 * A UDP socket under a layer: what the single client and the shared port have in common. Sending takes ops from a
 * layer's queue, receiving gives datagrams with their addresses and ECN, options are set when they are first needed.
 */
#ifndef TAPSI_STACK_PORT_SOCKET_H
#define TAPSI_STACK_PORT_SOCKET_H

#include "stack/layer.h"

#define TAPSI_UDP_MAX_IPV4 65507 /* 65535 - 20 - 8 */
#define TAPSI_UDP_MAX_IPV6 65527 /* 65535 - 8: no jumbograms */
#define TAPSI_UDP_TURN     64    /* datagrams one reader may take in one turn */

struct tapsi_udpsocket {
    struct tapsi_loop *loop;
    struct tapsi_watch watch; /* ready is the owner's */
    int fd;                   /* -1: not open */
    int family;
    bool dual;         /* IPv6 that takes IPv4 too */
    bool connected;    /* one peer: datagrams come without its address */
    bool tells_ecn;    /* the ECN field comes with each datagram */
    bool tells_path;   /* and the address and interface it came to */
    bool level;        /* watched level-triggered: what is left unread is told again */
    bool readable;     /* something may be there */
    bool answered;     /* something was sent since the last event */
    bool deaf;         /* level-triggered, and input is not asked for: no credit */
    bool blocked;      /* the kernel took no more: wait for OUT */
    bool recverr;      /* the error queue is on */
    bool too_large;    /* a datagram was too large for the path: set here, cleared by the owner */
    bool no_fragments; /* DF is on */
    int tos;           /* what is set on the socket */
};

/* An open socket, not watched yet. 0 or a negative errno. `soft_errors`: the application cares for what the network
   says, so ICMP errors and ECN are asked for; both cost every datagram something. */
int tapsi_udpsocket_open(struct tapsi_udpsocket *s, struct tapsi_loop *loop, int family, bool soft_errors);
/* The IPv6 socket takes IPv4 as well: sets what that needs. */
void tapsi_udpsocket_become_dual(struct tapsi_udpsocket *s);
/* Binds to the target's interface and local address, if it has them: 0 or a negative errno. */
int tapsi_udpsocket_bind(struct tapsi_udpsocket *s, const char *interface, const union tapsi_addr *local);
/* Watches: from now on events come. 0 or a negative errno. */
int tapsi_udpsocket_watch(struct tapsi_udpsocket *s, void (*ready)(struct tapsi_watch *, unsigned));
/* Harmless when not open. The memory must live until the turn's reaping. */
void tapsi_udpsocket_close(struct tapsi_udpsocket *s);
/* Sets an int option; failures that do no harm are the caller's to ignore. 0 or a negative errno. */
int tapsi_udpsocket_set(struct tapsi_udpsocket *s, int level, int option, int value);
/* The TOS byte of a capacity profile (RFC 9622, 8.1.6). */
int tapsi_udp_tos(int capacity_profile);
int tapsi_udpsocket_set_tos(struct tapsi_udpsocket *s, int tos);

/* Where a layer's datagrams go when its socket is not connected. */
struct tapsi_udpway {
    union tapsi_addr to;
    union tapsi_addr from; /* family 0: the system chooses */
    int tos;
};

/* What went over a layer: UDP itself counts only for the whole machine. */
struct tapsi_udpcounts {
    uint64_t sent, bytes_sent, received, bytes_received;
};

/* Sends what the layer has queued until nothing is left or the kernel takes no more. Finishes ops and sends soft errors
   up: test `dead` after it. `way` NULL: connected. */
void tapsi_udpsocket_send(struct tapsi_udpsocket *s, struct tapsi_layer *layer, const struct tapsi_udpway *way,
                          struct tapsi_udpcounts *counts);

struct tapsi_datagram {
    struct tapsi_buffer *buffer; /* one reference is the caller's */
    const uint8_t *data;
    size_t length;
    int ecn;                   /* -1 = not told */
    union tapsi_addr from, to; /* never mapped; `to` has no port, and family 0 if it is not told */
    unsigned interface_index;
};

/* What an event means for the flags; false: it was about sending alone. */
bool tapsi_udpsocket_event(struct tapsi_udpsocket *s, unsigned io);
/* Reads one datagram: 1, 0 if it was lost for want of memory, or a negative errno. Clears `readable` when nothing is
   left, or when it is told again: after an answer one datagram is the rule, so the next read would find nothing. */
int tapsi_udpsocket_receive(struct tapsi_udpsocket *s, struct tapsi_datagram *ret);
/* Nobody takes input for now, or somebody does again. Without it a level-triggered socket would report it for ever. */
void tapsi_udpsocket_listen_in(struct tapsi_udpsocket *s, bool on);
/* Takes what is in the error queue, at most TAPSI_UDP_TURN entries: `report` is called with the destination of the
   datagram that failed. It may close the socket. */
void tapsi_udpsocket_errors(struct tapsi_udpsocket *s, void (*report)(void *arg, const union tapsi_addr *to, int err),
                            void *arg);
/* Takes the error that is pending, so that it is not told again: a positive errno or 0. */
int tapsi_udpsocket_take_error(struct tapsi_udpsocket *s);
/* Is it an error of the network about an earlier datagram, which leaves the socket as it is? */
bool tapsi_udp_is_soft(int negative_errno);
void tapsi_udp_soft_error(struct tapsi_layer *layer, int err, const union tapsi_addr *to);
/* The path MTU that the system knows between these two, which only a connected socket tells: 0 = unknown. `local` may
   be any address, or of family 0. */
unsigned tapsi_udp_path_mtu(struct tapsi_loop *loop, const union tapsi_addr *local, const union tapsi_addr *remote);
/* The same of a connected socket. */
int tapsi_udp_known_mtu(struct tapsi_platform *p, int fd, int family);
/* Takes the interface's or path's MTU (headers included; 0 = unknown) as the layer's. True if that is news. */
bool tapsi_udp_take_mtu(struct tapsi_layer *layer, unsigned mtu, int family);
/* What both kinds of layers answer to `get`. */
int tapsi_udp_get(const struct tapsi_layer *layer, int what, int profile, union tapsi_got *ret);
/* What both kinds of layers know of themselves; `family` is the remote's. */
void tapsi_udp_statistics(const struct tapsi_layer *layer, const struct tapsi_udpcounts *counts, int family,
                          uint64_t *values);

#endif
