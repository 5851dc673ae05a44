/* Is the peer who it should be? */
#ifndef TAPSI_STACK_SECURE_VERIFY_H
#define TAPSI_STACK_SECURE_VERIFY_H

#include "stack/secure/handshake.h"

/* The session's verify function. Leaves the reason in `error` and the alert in `alert` of its handshake. */
int tapsi_handshake_verify(gnutls_session_t session);
/* The same chain as when the session began, which a server has resumed: is it good now? 0 or a GnuTLS error, with the
   error filled in. */
int tapsi_handshake_verify_again(struct tapsi_handshake *h);

#endif
