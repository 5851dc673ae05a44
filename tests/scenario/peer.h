/*
 * A peer that is this library too, in a context of its own on the same simulated network: a server with certificates,
 * or one that writes down what it is told in clear.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include "scenario.h"
#include "stack/secure/test_certificates.h"

struct peer {
    taps_context *context;
    taps_security_parameters *security;
    taps_preconnection *preconnection;
    taps_listener *listeners[4];
    unsigned listener_count;
    bool echo;               /* what comes goes back */
    bool close_at_final;     /* Close when the other side has ended; true at first */
    const char *greeting;    /* said to each Connection, or NULL */
    taps_framer *framers[4]; /* those that are not NULL; the peer's */
    taps_connection *connections[64], *last;
    unsigned received, closed, failed; /* Connections; how they ended */
    char data[70000];                  /* of all of them */
    size_t length, early;              /* of it: what came as early data */
    bool final;
};

/* Without security until peer_secure, on any host of the world. */
void peer_new(struct world *w, struct tapsi_sim_host *host, struct peer *peer);
/* The defaults, with this certificate; peer->security can be changed until peer_listen. */
void peer_secure(struct peer *peer, const struct tapsi_test_identity *identity);
/* Listens and has begun to when this returns: "192.0.2.1:443". */
void peer_listen(struct world *w, struct peer *peer, const char *local);
bool peer_has(const struct peer *peer, const char *text);
void peer_done(struct peer *peer);

/* The authority that all certificates of this program are signed by, made once. */
const struct tapsi_test_identity *peer_authority(void);
/* A server's certificate for these names ("example.test,192.0.2.1"), in force from `from` until `until` (NULL: now). */
struct tapsi_test_identity peer_certificate(const char *names, const char *from, const char *until);
/* Security parameters of the world: required, and trusting the authority. */
void world_secure(struct world *w);

#endif
