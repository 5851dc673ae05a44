/*
 * A secret told to peers who may or may not be fit to hear it. What the program gives to its sockets is looked at byte
 * by byte (wire.h), so that nothing of it can leave in clear unseen.
 */
#ifndef TESTS_SECRET_H
#define TESTS_SECRET_H

#include "peer.h"
#include "wire.h"

#define SECRET      "what nobody else may read"
#define SECRET_NAME "example.test"
#define SECRET_V6   "[2001:db8::1]:443" /* tried first */
#define SECRET_V4   "192.0.2.1:443"

/* Everything since the last secret_tell. */
extern struct wire secret_wire;

/* The name has both addresses. */
void secret_name(struct world *w);
/* Of the world's security parameters; it must be right. */
void secret_set(struct world *w, const char *name, const char *text);
/* Instead of them: opportunistic ones. */
void secret_opportunistic(struct world *w);
/* A server with a certificate for `names` in force from `from` until `until`, at `address`: it echoes. */
void secret_serve(struct world *w, struct peer *p, const char *address, const char *names, const char *from,
                  const char *until);
/* The usual world: the name resolves, a server with its certificate is at SECRET_V6, and the client trusts its
 * authority. */
void secret_world(struct world *w, struct peer *p);
/* Initiates with the secret waiting to be sent, and somebody waiting to read; runs until it is ready, or not. */
void secret_tell(struct world *w, const char *remote, uint64_t timeout_ms);
/* Nothing was said in clear. */
void secret_check(void);

#endif
