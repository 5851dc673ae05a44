/* Keys whose work is done elsewhere, for GnuTLS to sign with. */
#ifndef TAPSI_STACK_SECURE_SIGNER_H
#define TAPSI_STACK_SECURE_SIGNER_H

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include "loop/detour.h"
#include "select/security.h"

/* `key`, just made, becomes one whose work the application does, or a token. 0 or a GnuTLS error. The certificate is
   copied; `detour` outlives the key. The token's own key is returned borrowed from `key`. */
int tapsi_signer_application(gnutls_privkey_t key, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf,
                             struct tapsi_detour **detour);
int tapsi_signer_token(gnutls_privkey_t key, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf,
                       struct tapsi_detour **detour, gnutls_privkey_t *ret_token);

#endif
