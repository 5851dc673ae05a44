/* The same test over each of the library's stacks: a client, and a peer that listens. */
#ifndef TESTS_STACKS_H
#define TESTS_STACKS_H

#include "peer.h"

#define STACKS_NAME    "example.test"
#define STACKS_ADDRESS "192.0.2.1:443"

struct stacks_row {
    const char *stack, *security, *alpn;
    bool datagrams;
};

#define STACKS 6
extern const struct stacks_row stacks_rows[STACKS]; /* tcp, tls/tcp, udp, dtls/udp, quic, quic-datagram */

/* The peer listens; the world has a context, and what it needs to initiate to the name. `property` of both ends is set
   before, where it is not NULL. */
void stacks_begin(struct world *w, struct peer *p, const struct stacks_row *row, const char *property,
                  const char *value);

#endif
