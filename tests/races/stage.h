/* What a script says of the world: hosts, interfaces, links, names, servers, and what happens to them later. */
#ifndef TESTS_RACES_STAGE_H
#define TESTS_RACES_STAGE_H

#include <taps/taps.h>
#include "listen.h"
#include "platform/sim/sim.h"
#include "script.h"

#define STAGE_HOSTS      4
#define STAGE_INTERFACES 12
#define STAGE_SERVICES   8
#define STAGE_DEEDS      32

struct stage_interface {
    const char *name; /* "client/eth0" */
    struct tapsi_sim_interface *interface;
    struct tapsi_sim_link *link; /* the first one it was named first in */
};

struct stage_service {
    uint16_t port;
    struct tapsi_sim_service *service; /* NULL: a Listener of ours, or UDP */
    struct listen *listen;
};

struct stage;
struct stage_deed {
    struct stage *stage;
    const struct script_line *line;
};

struct stage {
    struct tapsi_sim *sim;
    struct {
        char name[16];
        struct tapsi_sim_host *host;
    } hosts[STAGE_HOSTS];
    unsigned host_count;
    struct stage_interface interfaces[STAGE_INTERFACES];
    unsigned interface_count;
    struct stage_service services[STAGE_SERVICES];
    unsigned service_count;
    struct stage_deed deeds[STAGE_DEEDS];
    unsigned deed_count;
    struct tapsi_sim_dns *dns;
    bool datagrams; /* a Listener that the script asks for is one of UDP */
    char problem[200];
};

/* Builds what holds from the beginning. False: `problem` says why. */
bool stage_build(struct stage *stage, const struct script *script);
/* Plans what the script says of the world at a time; the clock starts now. */
void stage_plan(struct stage *stage, const struct script *script);
/* One statement about the world, now. False: it is none, or `problem` says what is wrong with it. */
bool stage_do(struct stage *stage, const struct script_line *line);
struct tapsi_sim_host *stage_host(struct stage *stage, const char *name);
void stage_clear(struct stage *stage);

#endif
