/* Sockets of the simulated world. Functions answer like system calls: >= 0 or a negative errno. */
#ifndef TAPSI_SIM_SOCKET_H
#define TAPSI_SIM_SOCKET_H

#include "platform/sim/world.h"

#define TAPSI_SIM_OPTIONS               48
#define TAPSI_SIM_IPV6_ADDR_PREFERENCES 72 /* <linux/in6.h> does not go with <netinet/in.h> */

/* Bytes in order, in at the end and out at the front. */
struct tapsi_simbytes {
    uint8_t *data;
    size_t start, length, capacity;
};

int tapsi_simbytes_add(struct tapsi_simbytes *b, struct tapsi_mem *mem, const void *data, size_t count);
void tapsi_simbytes_drop(struct tapsi_simbytes *b, size_t count);
void tapsi_simbytes_done(struct tapsi_simbytes *b, struct tapsi_mem *mem);
/* Copies between flat memory and an iovec; they return how many bytes were moved. */
size_t tapsi_simbytes_scatter(const struct iovec *iov, size_t count, const void *data, size_t length);
size_t tapsi_simbytes_gather(const struct iovec *iov, size_t count, void *data, size_t size);
size_t tapsi_simbytes_total(const struct iovec *iov, size_t count);

enum tapsi_simtcp_state {
    TAPSI_SIMTCP_CLOSED,
    TAPSI_SIMTCP_LISTEN,
    TAPSI_SIMTCP_SYN_SENT,
    TAPSI_SIMTCP_SYN_RECEIVED,
    TAPSI_SIMTCP_OPEN,
    TAPSI_SIMTCP_TIME_WAIT
};

struct tapsi_simtcp {
    enum tapsi_simtcp_state state;
    struct tapsi_simflow *flow;
    unsigned side; /* of the flow */
    struct tapsi_simbytes in, out;
    struct tapsi_link early;               /* what came before its turn */
    uint64_t sent, acked, send_edge;       /* sequence numbers of our bytes, from 0; the FIN has one too */
    uint64_t received, read, offered_edge; /* of theirs */
    uint64_t fin_at;                       /* with fin_sent: the sequence number after our FIN */
    bool fin_wanted, fin_sent, fin_received, fin_was_first;
    bool no_read, no_space, done_reading;
    bool just_connected;          /* connect has not been asked again */
    uint64_t syn_time, rtt;       /* rtt: of the handshake */
    uint64_t timed_at, timed_end; /* one segment at a time, from its start until its last byte is acknowledged; or 0 */
    uint64_t smoothed;            /* as RFC 6298 has it */
    unsigned syn_tries, retransmitted, timed_retransmitted;
    struct tapsi_sim_event timer; /* SYN, TIME_WAIT, orphan in FIN_WAIT2 */
    struct tapsi_sim_event keep_alive;
    uint64_t heard;  /* when the other side was */
    unsigned probes; /* for keeping alive, since then */
    uint64_t stuck;  /* since when nothing could be sent for want of window; 0 = it can, or nothing limits it */
    struct tapsi_simsock *listener; /* of a child that was not accepted */
    struct tapsi_link child_link;
    struct tapsi_link children, accepted; /* of a listener: in handshake; waiting for accept */
    unsigned child_count;
    int backlog;
    bool deaf; /* a listener that hears no SYN */
};

struct tapsi_simudp {
    struct tapsi_link datagrams, errors;
    size_t queued, error_count;
    uint64_t dropped;
    struct tapsi_sim_event gathered; /* with UDP_GRO: the wake-up, after all that comes at one time */
    bool no_read, no_write;          /* shutdown */
};

struct tapsi_simsock {
    struct tapsi_sim *sim;
    struct tapsi_sim_host *host;
    struct tapsi_simplatform *platform; /* NULL: a service's, or closed */
    struct tapsi_link link;             /* in host->sockets */
    int fd;                             /* -1: a service's, closed, or not accepted yet */
    bool orphan;                        /* closed by its owner */
    int family, type;
    union tapsi_addr local, remote; /* never mapped; family 0 = none */
    bool address_bound;             /* local's address was chosen by bind */
    unsigned device;
    int error, soft_error;
    int linger; /* seconds, -1 = off */
    int options[TAPSI_SIM_OPTIONS];
    struct tapsi_watch *watch;
    struct tapsi_link ready;
    void (*notice)(struct tapsi_simsock *s); /* services: called after something happened, from the world's events */
    struct tapsi_sim_event notice_event;
    void *owner;
    struct tapsi_simtcp tcp;
    struct tapsi_simudp udp;
};

/* socket.c */
int tapsi_simsock_new(struct tapsi_sim_host *host, int family, int type, struct tapsi_simsock **ret);
void tapsi_simsock_free(struct tapsi_simsock *s);
/* Gives it the next descriptor of the world; -EMFILE at the host's limit. */
int tapsi_simsock_open(struct tapsi_simsock *s, struct tapsi_simplatform *platform);
struct tapsi_simsock *tapsi_simsock_find(struct tapsi_simplatform *platform, int fd);
void tapsi_simsock_close(struct tapsi_simsock *s);
int tapsi_simsock_bind(struct tapsi_simsock *s, const union tapsi_addr *address);
/* Takes an ephemeral port, and `source` as address where none was bound. */
int tapsi_simsock_autobind(struct tapsi_simsock *s, const union tapsi_addr *source);
/* The way of a packet to `to` and its first address choice: checks routes, families and the device. */
int tapsi_simsock_way(struct tapsi_simsock *s, const union tapsi_addr *to, struct tapsi_simwire_way *ret);
/* To and from what the socket's family shows: mapped addresses. -EAFNOSUPPORT, -ENETUNREACH (V6ONLY). */
int tapsi_simsock_inside(const struct tapsi_simsock *s, const union tapsi_addr *shown, union tapsi_addr *ret);
void tapsi_simsock_outside(const struct tapsi_simsock *s, const union tapsi_addr *inside, union tapsi_addr *ret);
int tapsi_simsock_name(const struct tapsi_simsock *s, union tapsi_addr *ret);
int tapsi_simsock_peer(const struct tapsi_simsock *s, union tapsi_addr *ret);
/* The socket that gets a packet from `from`: the best fitting one; of those that share a port by SO_REUSEPORT one by
   its remote address, the same each time. Zero at first, then told of each candidate (0 = does not fit). */
struct tapsi_simsock_choice {
    struct tapsi_simsock *best;
    unsigned fit, equals;
};
void tapsi_simsock_consider(struct tapsi_simsock_choice *choice, struct tapsi_simsock *s, unsigned fit,
                            const union tapsi_addr *from);
/* How well the socket fits a packet for `to` from `from` that came in by `index`: 0 = not, else more is better. */
unsigned tapsi_simsock_fit(const struct tapsi_simsock *s, const union tapsi_addr *to, const union tapsi_addr *from,
                           unsigned index);
/* Something changed that may interest whoever watches: one edge. */
void tapsi_simsock_wake(struct tapsi_simsock *s);
unsigned tapsi_simsock_poll(struct tapsi_simsock *s);
/* Takes the pending error: 0 or a positive errno. */
int tapsi_simsock_take_error(struct tapsi_simsock *s);

/* option.c */
void tapsi_simsock_option_defaults(struct tapsi_simsock *s);
/* The value of a known integer option. */
int tapsi_simsock_option(const struct tapsi_simsock *s, int level, int option);
int tapsi_simsock_get(struct tapsi_simsock *s, int level, int option, void *value, socklen_t *length);
int tapsi_simsock_set(struct tapsi_simsock *s, int level, int option, const void *value, socklen_t length);
size_t tapsi_simsock_send_room(const struct tapsi_simsock *s); /* payload bytes that fit SO_SNDBUF in all */
size_t tapsi_simsock_receive_room(const struct tapsi_simsock *s);

/* tcp.c, stream.c */
int tapsi_simtcp_connect(struct tapsi_simsock *s, const union tapsi_addr *to);
int tapsi_simtcp_listen(struct tapsi_simsock *s, int backlog);
/* The next accepted connection, which is then the caller's, or -EAGAIN, -EINVAL. `peek` leaves it there. */
int tapsi_simtcp_accept(struct tapsi_simsock *s, bool peek, struct tapsi_simsock **ret);
int tapsi_simtcp_shutdown(struct tapsi_simsock *s, int how);
ssize_t tapsi_simtcp_send(struct tapsi_simsock *s, const struct iovec *iov, size_t count, size_t max);
ssize_t tapsi_simtcp_receive(struct tapsi_simsock *s, const struct iovec *iov, size_t count, size_t max, int flags);
int tapsi_simtcp_unacknowledged(const struct tapsi_simsock *s);
unsigned tapsi_simtcp_poll(struct tapsi_simsock *s);
int tapsi_simtcp_info(const struct tapsi_simsock *s, void *value, socklen_t *length);
int tapsi_simtcp_linux_state(const struct tapsi_simsock *s);
/* The owner has closed it: it goes on by itself, or is freed. */
void tapsi_simtcp_abandon(struct tapsi_simsock *s);
void tapsi_simtcp_done(struct tapsi_simsock *s); /* part of tapsi_simsock_free */
void tapsi_simtcp_done_all(struct tapsi_sim *sim);

/* udp.c */
int tapsi_simudp_connect(struct tapsi_simsock *s, const union tapsi_addr *to);
ssize_t tapsi_simudp_send(struct tapsi_simsock *s, const struct msghdr *message);
ssize_t tapsi_simudp_receive(struct tapsi_simsock *s, struct msghdr *message, int flags);
int tapsi_simudp_shutdown(struct tapsi_simsock *s, int how);
unsigned tapsi_simudp_poll(const struct tapsi_simsock *s);
void tapsi_simudp_done(struct tapsi_simsock *s);
void tapsi_simudp_done_all(struct tapsi_sim *sim);

/* udpservice.c: a datagram that claims to come from `from`, `delay_ns` from now. */
void tapsi_simudp_forge(struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                        const void *bytes, size_t count, uint64_t delay_ns);
/* udp.c: the same, now. */
void tapsi_simudp_send_forged(struct tapsi_sim_host *host, const union tapsi_addr *from, const union tapsi_addr *to,
                              const void *bytes, size_t count);

/* control.c: control messages of datagrams. */
struct tapsi_simcontrol {
    union tapsi_addr source; /* family 0 = not given */
    unsigned index;
    int tos;        /* -1 = not given */
    size_t segment; /* a train of pieces of so many bytes; 0 = not given */
};
int tapsi_simcontrol_parse(const struct tapsi_simsock *s, const struct msghdr *message, struct tapsi_simcontrol *ret);
/* Appends one message to the caller's control buffer, or sets MSG_CTRUNC. `used` counts the bytes so far. */
void tapsi_simcontrol_add(struct msghdr *message, size_t *used, int level, int type, const void *data, size_t length);
/* What the socket has asked to be told about a datagram that came to `to` by `index`. */
void tapsi_simcontrol_describe(const struct tapsi_simsock *s, struct msghdr *message, size_t *used,
                               const union tapsi_addr *to, unsigned index, int tos);

#endif
