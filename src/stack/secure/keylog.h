/* Secrets of sessions, to a file, where the application has named one. */
#ifndef TAPSI_STACK_SECURE_KEYLOG_H
#define TAPSI_STACK_SECURE_KEYLOG_H

#include <gnutls/gnutls.h>

/* GnuTLS's hook. It stands in the place of GnuTLS's own, which would look at SSLKEYLOGFILE: so it is set always. */
int tapsi_keylog(gnutls_session_t session, const char *label, const gnutls_datum_t *secret);

#endif
