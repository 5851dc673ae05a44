/*
 * What a server needs to give tickets: a secret for the tickets of its parameters, and what it has seen of early data.
 *
 * It belongs to the server's credentials, so to one frozen set of parameters: a ticket is of use only to a server that
 * has the same certificates, algorithms and ALPN protocols, which GnuTLS itself does not see to (RFC 8446, 4.2.10).
 * GnuTLS derives the key that is used from `key` and the time, a new one every three lifetimes.
 */
#ifndef TAPSI_STACK_SECURE_ISSUER_H
#define TAPSI_STACK_SECURE_ISSUER_H

#include <gnutls/gnutls.h>
#include "base/mem.h"

#define TAPSI_SEEN_MAX (64U * 1024) /* first flights with early data that are remembered: 2 MiB */

struct tapsi_issuer;

/* NULL = no memory. Tickets are good for so long. */
struct tapsi_issuer *tapsi_issuer_new(struct tapsi_mem *mem, unsigned lifetime_seconds);
void tapsi_issuer_free(struct tapsi_issuer *issuer); /* NULL is allowed */
/* A server's session will give tickets, and take those of the same `binding`: whatever has to be the same beside the
   security parameters (QUIC: its transport parameters). 0 or a GnuTLS error. */
int tapsi_issuer_enable(struct tapsi_issuer *issuer, gnutls_session_t session, const void *binding, size_t length);
/* It will take early data, which must have been allowed in gnutls_init, up to `most` bytes: each first flight once. 0
   or a GnuTLS error. */
int tapsi_issuer_allow_early(struct tapsi_issuer *issuer, gnutls_session_t session, size_t most);

/* Has this been seen? Then false; else true, and now it has, until `expires`. False also when there is no room left: it
   is then answered as if it had been. For tests. */
bool tapsi_issuer_first_time(struct tapsi_issuer *issuer, const void *key, size_t length, uint64_t expires);

#endif
