/*
 * Resumption of sessions, for TLS, DTLS and QUIC: which ticket may be used, what is kept of a new one, and what a
 * resumed session is worth.
 *
 * A ticket is found by a hash of everything that has to be the same: the protocol (TLS, DTLS, QUIC), the peer's name
 * and port, and all security parameters of a client (algorithms, versions, ALPN, authorities, pins, own certificates).
 * So nothing is resumed, and no early data sent, under parameters other than those the session was made with. A
 * resumed session shows no certificate: beside the ticket stands whether the peer was verified when the session began,
 * and where that is asked for a ticket without it is never kept, nor taken.
 *
 * The order of calls of a client:
 *
 *     tapsi_resume_take       (early: to see what early data there is room for; else before the session opens)
 *     tapsi_resume_flags      for gnutls_init, with tapsi_handshake_open
 *     tapsi_resume_begin      the ticket goes into the session, and new ones will be kept
 *     gnutls_record_send_early_data, or QUIC's keys; gnutls_handshake
 *     tapsi_resume_finish     what came of it; before tapsi_handshake_info
 *
 * tapsi_handshake_done gives a ticket back that was not sent. A server calls flags and begin. With isolateSession there
 * are no caches in the env, and nothing is taken, kept or given.
 */
#ifndef TAPSI_STACK_SECURE_RESUME_H
#define TAPSI_STACK_SECURE_RESUME_H

#include "stack/secure/handshake.h"
#include "stack/secure/tickets.h"

/* A client's, when its role is known and before its session is open: the ticket that it is going to use, from now on
   `ticket` of the handshake, or NULL. Called again it is the same one. */
const struct tapsi_ticket *tapsi_resume_take(struct tapsi_handshake *h);
/* Beside others for gnutls_init, in this role: no tickets where none are kept or given. */
unsigned tapsi_resume_flags(const struct tapsi_handshake *h, enum tapsi_role role);
/* When the session is open. `binding`: of a server, what else must be the same for its tickets (QUIC: its transport
   parameters); NULL: nothing. 0 or a GnuTLS error. */
int tapsi_resume_begin(struct tapsi_handshake *h, const void *binding, size_t length);
/* The handshake is done, and `alpn` set. False, with the error filled in: the session that was resumed is not what it
   has to be. Sets `verified` of a resumed one. */
bool tapsi_resume_finish(struct tapsi_handshake *h);
/* Does this server's session give tickets? When it is open. TLS gives them by itself, QUIC when the handshake is done.
 */
bool tapsi_resume_gives(const struct tapsi_handshake *h);
/* An address token (NEW_TOKEN of QUIC) goes with the newest ticket of this peer that has none: each is used once, as
   its ticket is. False: there is no such ticket (yet), or no memory. */
bool tapsi_resume_keep_token(struct tapsi_handshake *h, const void *token, size_t length);
/* May early data be used at all, says zeroRttMsg: by a client unless it is avoided, by a server if it is wanted. */
bool tapsi_resume_early_wanted(const struct tapsi_env *env, enum tapsi_role role);
/* Was it taken? When the handshake is done. */
bool tapsi_resume_early_taken(const struct tapsi_handshake *h);
/* For tapsi_handshake_done: gives back, or frees. */
void tapsi_resume_done(struct tapsi_handshake *h);

#endif
