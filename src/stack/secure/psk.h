/* Pre-shared keys: a client shows its first one, a server looks up the client's. */
#ifndef TAPSI_STACK_SECURE_PSK_H
#define TAPSI_STACK_SECURE_PSK_H

#include "stack/secure/credentials.h"

struct tapsi_handshake;

/* Fills in the credentials' part, if there is a key. TAPS_E_MEMORY, TAPS_E_CONFIGURATION. */
int tapsi_psk_make(struct tapsi_credentials *credentials, const struct tapsi_security *security,
                   struct tapsi_error *ret_error);
void tapsi_psk_free(struct tapsi_credentials *credentials);
/* The session may use it. 0 or a GnuTLS error. */
int tapsi_psk_use(const struct tapsi_credentials *credentials, gnutls_session_t session);
/* Once the handshake is done: was it by one of these keys, so that both ends have shown that they have it? */
bool tapsi_psk_used(const struct tapsi_handshake *h);

#endif
