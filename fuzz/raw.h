/*
 * A peer without manners: sockets of a simulated host under the input's own command. Whatever is asked of a socket that
 * is not there does nothing.
 */
#ifndef FUZZ_RAW_H
#define FUZZ_RAW_H

#include "platform/sim/sim.h"

#define RAW_SOCKETS 8

struct raw {
    struct tapsi_mem mem;
    struct tapsi_platform *platform;
    int listener, datagrams; /* -1 = none */
    int sockets[RAW_SOCKETS];
    unsigned count;
    union tapsi_addr last; /* who sent a datagram */
};

void raw_begin(struct raw *raw, struct tapsi_sim_host *host);
/* Streams and datagrams on this port. */
void raw_serve(struct raw *raw, uint16_t port);
/* Takes every connection that waits, reads and forgets every byte and datagram that has come. */
void raw_drain(struct raw *raw);
/* Takes connections without reading anything. */
void raw_accept(struct raw *raw);
void raw_connect(struct raw *raw, const char *address, uint16_t port);
void raw_send(struct raw *raw, unsigned which, const void *bytes, size_t count);
/* To whom the last datagram came from. */
void raw_reply(struct raw *raw, const void *bytes, size_t count);
/* From a socket of its own, to any address. */
void raw_datagram(struct raw *raw, const char *address, uint16_t port, const void *bytes, size_t count);
void raw_end(struct raw *raw, unsigned which);
void raw_close(struct raw *raw, unsigned which, bool reset);
void raw_done(struct raw *raw);

#endif
