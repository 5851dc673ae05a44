/* TCP servers inside the world: what service.c offers to dns.c. */
#ifndef TAPSI_SIM_SERVICE_H
#define TAPSI_SIM_SERVICE_H

#include "platform/sim/socket.h"

/* One accepted connection. */
struct tapsi_simtalk {
    struct tapsi_link link;
    struct tapsi_sim_service *service;
    struct tapsi_simsock *socket;
    struct tapsi_simbytes out; /* to be sent when there is room */
    struct tapsi_simbytes in;  /* for the user of `data` */
    struct tapsi_link later;   /* what tapsi_simtalk_send was given and is not due */
    uint64_t received;
    bool end_counted;
};

/* A service that hands what comes to `data`, and ends when the peer ends. */
struct tapsi_sim_service *tapsi_simservice_new(struct tapsi_sim_host *host, uint16_t port,
                                               void (*data)(void *arg, struct tapsi_simtalk *talk, const uint8_t *bytes,
                                                            size_t count),
                                               void *arg);
/* What becomes of those who connect: REFUSE is a closed port, DEAF a port that says nothing at all. */
enum tapsi_simservice_door { TAPSI_SIMSERVICE_ACCEPT, TAPSI_SIMSERVICE_REFUSE, TAPSI_SIMSERVICE_DEAF };
void tapsi_simservice_listen(struct tapsi_sim_service *service, enum tapsi_simservice_door door);
void tapsi_simtalk_send(struct tapsi_simtalk *talk, const void *bytes, size_t count, uint64_t delay_ns);

#endif
