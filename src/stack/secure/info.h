/* What a handshake has agreed on, for whoever asks. */
#ifndef TAPSI_STACK_SECURE_INFO_H
#define TAPSI_STACK_SECURE_INFO_H

#include "stack/secure/handshake.h"

/* As taps_connection_security_info and taps_connection_peer_certificate, of a handshake that is over. */
void tapsi_handshake_tell(const struct tapsi_handshake *h, struct taps_security_info *ret);
const void *tapsi_handshake_certificate(const struct tapsi_handshake *h, unsigned index, size_t *ret_length);

#endif
