/*
 * The system's trust store, loaded once per process: the one object that contexts of different threads share.
 *
 * Loading takes some 16 ms and 1.5 MB, so it is done at the first need and kept until the process ends, also while
 * nobody uses it. Authorities that the administrator adds or removes later are seen by the next process.
 */
#ifndef TAPSI_STACK_SECURE_TRUST_H
#define TAPSI_STACK_SECURE_TRUST_H

#include <gnutls/gnutls.h>
#include "base/err.h"

/* GnuTLS credentials that hold the authorities and no certificate: to be used as they are, never changed. One use is
   the caller's. TAPS_E_CONFIGURATION if the system has no usable store, TAPS_E_MEMORY. From any thread. */
int tapsi_trust_take(gnutls_certificate_credentials_t *ret, struct tapsi_error *ret_error);
/* Gives one use back. From any thread. */
void tapsi_trust_release(void);

#endif
