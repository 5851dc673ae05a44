/* A TCP connection on the wire: two pipes of segments. Private to tcp.c and flow.c. */
#ifndef TAPSI_SIM_FLOW_H
#define TAPSI_SIM_FLOW_H

#include "platform/sim/socket.h"

enum tapsi_simsegment_kind {
    TAPSI_SIM_SYN,
    TAPSI_SIM_SYN_ACK,
    TAPSI_SIM_ACK,
    TAPSI_SIM_DATA,
    TAPSI_SIM_FIN,
    TAPSI_SIM_RST,
    TAPSI_SIM_ICMP
};

struct tapsi_simsegment {
    struct tapsi_sim_event event;
    struct tapsi_link link;
    struct tapsi_simflow *flow;
    unsigned from; /* the side that sent it, or for whom the network answers */
    enum tapsi_simsegment_kind kind;
    uint64_t ack, edge;             /* ACK, SYN, SYN_ACK: what has come, and up to where may be sent */
    int err;                        /* ICMP */
    struct tapsi_sim_interface *in; /* where it arrives */
    size_t length;
    uint8_t bytes[];
};

struct tapsi_simpipe {
    struct tapsi_simflow *flow;
    unsigned side;
    struct tapsi_simwire_way way; /* host NULL: not known yet */
    struct tapsi_link waiting;    /* lost ones and those behind them, in order */
    uint64_t last_arrival;        /* order: nothing overtakes */
    uint64_t stuck_since;
    unsigned tries;
    struct tapsi_sim_event retry;
};

struct tapsi_simflow {
    struct tapsi_sim *sim;
    struct tapsi_link link;
    struct tapsi_simsock *end[2]; /* 0 connected, 1 was connected to; NULL = gone, or not there yet */
    struct tapsi_simpipe pipe[2]; /* from that end */
    struct tapsi_link flying;
    bool answered; /* a SYN has made a child */
    bool busy;     /* an arrival is being handled: not to be freed */
};

/* The ends leave with tapsi_simflow_leave; the flow goes with the last of them and the last segment in the air. */
struct tapsi_simflow *tapsi_simflow_new(struct tapsi_sim *sim);
void tapsi_simflow_leave(struct tapsi_simflow *flow, unsigned side);
/* ACK, DATA, FIN and SYN_ACK are repeated until they get through; SYN and RST are sent once. */
void tapsi_simflow_send(struct tapsi_simflow *flow, unsigned from, enum tapsi_simsegment_kind kind, uint64_t ack,
                        uint64_t edge, const void *bytes, size_t length);

#define TAPSI_SIM_REPEATS 15

/* stream.c: one segment with the acknowledgement and window of now; RST; whatever the window allows. */
void tapsi_simtcp_segment(struct tapsi_simsock *s, enum tapsi_simsegment_kind kind, const void *bytes, size_t length);
void tapsi_simtcp_reset(struct tapsi_simsock *s);
void tapsi_simtcp_push(struct tapsi_simsock *s);

/* tcp.c: a segment has arrived at the end opposite to segment->from. */
void tapsi_simtcp_arrive(struct tapsi_simflow *flow, const struct tapsi_simsegment *segment);
/* May the pipe's sender repeat once more? false: it gives up. */
bool tapsi_simtcp_may_repeat(const struct tapsi_simpipe *pipe);
void tapsi_simtcp_give_up(struct tapsi_simsock *s);

#endif
