/* Links: what connects interfaces, and what they do to packets. Private to the simulated network. */
#ifndef TAPSI_SIM_LINK_H
#define TAPSI_SIM_LINK_H

#include "platform/sim/world.h"

struct tapsi_sim_link {
    struct tapsi_sim *sim;
    struct tapsi_link link;
    struct tapsi_sim_interface **members;
    size_t member_count, member_capacity;
    uint64_t delay, jitter;
    double loss, enter, leave; /* enter, leave: of bursts in which everything is lost */
    double late, twice, mark;
    uint64_t late_by;
    uint64_t rate;
    size_t queue;
    unsigned mtu; /* 0 = as large as the interfaces like */
    bool mtu_silent, down;
    enum tapsi_sim_fault fault;
};

/* What becomes of one packet of `bytes` on the way from a port to the others of its link. */
struct tapsi_simlink_passage {
    uint64_t delay;      /* also of what is lost: when it would have come */
    uint64_t copy_delay; /* of a second copy; 0 = there is none */
    bool marked;         /* it met congestion, and says so if it can (ECN) */
    const char *lost;    /* why, or NULL */
};

void tapsi_simlink_pass(struct tapsi_sim *sim, struct tapsi_sim_port *port, size_t bytes,
                        struct tapsi_simlink_passage *ret);
/* Has the interface a cable: no link at all, or one that is up? */
bool tapsi_simlink_carrier(const struct tapsi_sim_interface *interface);
void tapsi_simlink_done(struct tapsi_sim *sim);

#endif
