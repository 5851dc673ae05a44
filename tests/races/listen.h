/* A server that is this library too, in a context of its own: a Listener whose Connections echo. */
#ifndef TESTS_RACES_LISTEN_H
#define TESTS_RACES_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include "platform/sim/sim.h"

struct listen;

/* `kind`: "listener" (tcp), "datagrams" (udp), "tls", and "tls-expired", "tls-stranger", "tls-other-name" whose
   certificates are not to be trusted. NULL: no such kind. */
struct listen *listen_new(struct tapsi_sim *sim, struct tapsi_sim_host *host, uint16_t port, const char *kind);
/* Closes or aborts every Connection that is open. */
void listen_end_all(struct listen *listen, bool abort);
void listen_free(struct listen *listen); /* NULL is allowed */

/* The authority that the good certificates are signed by, as PEM text. */
const char *listen_authority(void);

#endif
