/*
 * A UDP socket: what the single client and ports have in common. Sending takes ops from a layer's queue, or a train of
 * bytes; receiving gives datagrams with their addresses and ECN, or trains of them; options are set when they are first
 * needed.
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
    bool dual;       /* IPv6 that takes IPv4 too */
    bool connected;  /* one peer: datagrams come without its address */
    bool tells_ecn;  /* the ECN field comes with each datagram */
    bool tells_path; /* and the address and interface it came to */
    bool level;      /* watched level-triggered: what is left unread is told again */
    bool readable;   /* something may be there */
    bool answered;   /* something was sent since the last event */
    bool deaf;       /* level-triggered, and input is not asked for: no credit */
    bool blocked;    /* the kernel took no more: wait for OUT */
    bool recverr;    /* the error queue is on */
    bool too_large;  /* a datagram was too large for the path: set here, cleared by the owner */
    bool trains_in;  /* the kernel joins what comes into trains (UDP_GRO) */
    bool trains_out; /* and cuts trains that go out (UDP_SEGMENT) */
    bool in_train;   /* what was read last was one: more are likely */
    int discovery;   /* IP_MTU_DISCOVER as set: DF or not, and what of the path is believed */
    int tos;         /* what is set on the socket */
    int told;        /* a positive errno of the network about something earlier, learned in writing a train */
};

/* An open socket, not watched yet. 0 or a negative errno. `soft_errors`: the application cares for what the network
   says, so ICMP errors and ECN are asked for; both cost every datagram something. */
int tapsi_udpsocket_open(struct tapsi_udpsocket *s, struct tapsi_loop *loop, int family, bool soft_errors);
/* The same, asked for later. */
void tapsi_udpsocket_ask_errors(struct tapsi_udpsocket *s);
/* Trains, both ways, where the kernel can; and large buffers, for what comes with them. */
void tapsi_udpsocket_use_trains(struct tapsi_udpsocket *s);
/* The address and interface that each datagram came to are told. */
void tapsi_udpsocket_ask_path(struct tapsi_udpsocket *s);
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
/* IP_PMTUDISC_*: set when it differs. */
int tapsi_udpsocket_set_discovery(struct tapsi_udpsocket *s, int discovery);
/* The kernel takes no more, or takes again. */
void tapsi_udpsocket_set_blocked(struct tapsi_udpsocket *s, bool blocked);
/* useTemporaryLocalAddress: the kernel chooses the source when it connects. A failure counts where it would choose what
   must not be. */
int tapsi_udpsocket_prefer_source(struct tapsi_udpsocket *s, const struct tapsi_properties *properties, bool choose);

/* Where datagrams go, and from where. */
struct tapsi_port_way {
    union tapsi_addr to;      /* not looked at when the socket is connected */
    union tapsi_addr from;    /* family 0: as the system chooses. Its port is not looked at */
    unsigned interface_index; /* with `from`; 0 = as routed */
    int tos;                  /* the TOS byte or traffic class, ECN bits included */
};

/* What went over a layer: UDP itself counts only for the whole machine. */
struct tapsi_udpcounts {
    uint64_t sent, bytes_sent, received, bytes_received;
};

/* Sends what the layer has queued until nothing is left or the kernel takes no more. Finishes ops and sends soft errors
   up: test `dead` after it. `way` NULL: connected. */
void tapsi_udpsocket_send(struct tapsi_udpsocket *s, struct tapsi_layer *layer, const struct tapsi_port_way *way,
                          struct tapsi_udpcounts *counts);

/* Writes a train of pieces of `segment` bytes, the last may be shorter; 0: one datagram. `ret_taken`: the bytes that
   went or were lost; with -EAGAIN none. 0 with fewer than all: the kernel takes no more now, and `blocked` is set.
   -EMSGSIZE: too large for the interface, nothing went. Other negative errnos: all was lost. */
int tapsi_udpsocket_write(struct tapsi_udpsocket *s, const struct tapsi_port_way *way, const void *bytes, size_t length,
                          size_t segment, size_t *ret_taken);

struct tapsi_datagram {
    struct tapsi_buffer *buffer; /* one reference is the caller's */
    const uint8_t *data;
    size_t length;
    size_t segment;            /* 0, or a train: pieces of so many bytes, the last may be shorter */
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
