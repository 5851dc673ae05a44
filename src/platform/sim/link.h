/* Links: what connects interfaces. Private to the simulated network. */
#ifndef TAPSI_SIM_LINK_H
#define TAPSI_SIM_LINK_H

#include "platform/sim/world.h"

struct tapsi_sim_link {
    struct tapsi_sim *sim;
    struct tapsi_link link;
    struct tapsi_sim_interface **members;
    size_t member_count, member_capacity;
    uint64_t delay;
    double loss;
    uint64_t rate;
    enum tapsi_sim_fault fault;
};

#endif
