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
    TAPSI_SIM_PROBE, /* asks for an ACK that did not come */
    TAPSI_SIM_RST,
    TAPSI_SIM_ICMP
};

struct tapsi_simsegment {
    struct tapsi_sim_event event;
    struct tapsi_link link;
    struct tapsi_simflow *flow;
    unsigned from; /* the side that sent it, or for whom the network answers */
    enum tapsi_simsegment_kind kind;
    uint64_t seq;                   /* DATA, FIN, RST: how many bytes were sent before it */
    uint64_t ack, edge;             /* all but RST and ICMP: what has come, and up to where may be sent */
    int err;                        /* ICMP; 0: */
    unsigned mtu;                   /* the path takes no more than this */
    struct tapsi_sim_interface *in; /* where it arrives */
    size_t length;
    uint8_t bytes[];
};

struct tapsi_simpipe {
    struct tapsi_simflow *flow;
    unsigned side;
    struct tapsi_simwire_way way; /* host NULL: not known yet */
    struct tapsi_link waiting;    /* DATA and FIN: lost ones and those behind them, in order */
    uint64_t progress;            /* when the other side was last heard of, or had nothing to answer */
    unsigned tries;               /* repetitions since then */
    struct tapsi_sim_event retry;
    bool lost; /* since something last arrived, something was lost that the other side may wait for */
};

struct tapsi_simflow {
    struct tapsi_sim *sim;
    struct tapsi_link link;
    struct tapsi_simsock *end[2]; /* 0 connected, 1 was connected to; NULL = gone, or not there yet */
    struct tapsi_simpipe pipe[2]; /* from that end */
    unsigned mtu[2];              /* of the interface by which each end sent its SYN */
    struct tapsi_link flying;
    bool answered; /* a SYN has made a child */
    bool busy;     /* an arrival is being handled: not to be freed */
};

/* The ends leave with tapsi_simflow_leave; the flow goes with the last of them and the last segment in the air. */
struct tapsi_simflow *tapsi_simflow_new(struct tapsi_sim *sim);
void tapsi_simflow_leave(struct tapsi_simflow *flow, unsigned side);
/* DATA and FIN that are lost wait for repetition; the others are sent once. */
struct tapsi_simnumbers {
    uint64_t seq, ack, edge;
};
void tapsi_simflow_send(struct tapsi_simflow *flow, unsigned from, enum tapsi_simsegment_kind kind,
                        struct tapsi_simnumbers numbers, const void *bytes, size_t length);
/* Sends again what waits for repetition, in pieces that are not too big. */
void tapsi_simflow_repeat(struct tapsi_simflow *flow, unsigned side);

/* Starts the repetition timer of a side that waits for an answer; it runs until tapsi_simtcp_waits says no. */
void tapsi_simflow_watch(struct tapsi_simflow *flow, unsigned side);
/* The other side was heard: counting starts anew. */
void tapsi_simflow_heard(struct tapsi_simflow *flow, unsigned side);

/* stream.c: one segment with the acknowledgement and window of now; RST; whatever the window allows. */
void tapsi_simtcp_segment(struct tapsi_simsock *s, enum tapsi_simsegment_kind kind, const void *bytes, size_t length);
void tapsi_simtcp_reset(struct tapsi_simsock *s);
void tapsi_simtcp_push(struct tapsi_simsock *s);
/* How many bytes one DATA may have now. */
size_t tapsi_simtcp_segment_size(const struct tapsi_simsock *s);
/* Does it wait for an acknowledgement, or for room that was perhaps announced in a lost one? */
bool tapsi_simtcp_waits(const struct tapsi_simsock *s);

/* order.c: has the DATA or FIN anything that was not there before? Then it is taken, now or when its turn comes. */
bool tapsi_simtcp_is_new(const struct tapsi_simsock *s, const struct tapsi_simsegment *segment);
void tapsi_simtcp_take(struct tapsi_simsock *s, const struct tapsi_simsegment *segment);
void tapsi_simtcp_forget_early(struct tapsi_simsock *s);

/* keepalive.c: the connection is open, or an option of keeping it so has changed; the other side was heard. */
void tapsi_simtcp_keep_alive(struct tapsi_simsock *s);
void tapsi_simtcp_heard(struct tapsi_simsock *s);

/* tcp.c: a segment has arrived at the end opposite to segment->from. */
void tapsi_simtcp_arrive(struct tapsi_simflow *flow, const struct tapsi_simsegment *segment);
/* May the pipe's sender repeat once more? false: it gives up. */
bool tapsi_simtcp_may_repeat(const struct tapsi_simpipe *pipe);
void tapsi_simtcp_give_up(struct tapsi_simsock *s);

#endif
