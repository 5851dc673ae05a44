/* What a ticket is bound to: a hash of a client's security parameters. */
#ifndef TAPSI_STACK_SECURE_BINDING_H
#define TAPSI_STACK_SECURE_BINDING_H

#include "stack/secure/credentials.h"

/* Of all that decides what a session is: mode, versions, ALPN, algorithms, authorities, pins, own certificates. The
   same in every process. Made once, when the client's credentials are there. False = no memory. */
bool tapsi_binding(const struct tapsi_security *security, uint8_t ret[TAPSI_BINDING]);

#endif
