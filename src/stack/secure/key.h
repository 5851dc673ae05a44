/* Private keys: of PEM, encrypted or not, in hardware (PKCS #11), or of the application. */
#ifndef TAPSI_STACK_SECURE_KEY_H
#define TAPSI_STACK_SECURE_KEY_H

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include "loop/detour.h"
#include "select/security.h"

bool tapsi_key_is_uri(const struct tapsi_bytes *text);
/* GnuTLS asks for a PIN: `certificate` is the struct tapsi_certificate that has it. */
int tapsi_key_pin(void *certificate, int attempt, const char *url, const char *label, unsigned flags, char *pin,
                  size_t size);
/* May its work take long? Then it is done aside, where `*detour` says that the engine's call can wait. */
bool tapsi_key_is_slow(const struct tapsi_certificate *certificate);
/* The key of this certificate, which must be that of `leaf`. 0 or a GnuTLS error, and then there is none. The
   application's function is not called. `detour` lives as long as the key, and is NULL or tells of what runs now. */
int tapsi_key_open(gnutls_privkey_t *ret, const struct tapsi_certificate *certificate, gnutls_x509_crt_t leaf,
                   struct tapsi_detour **detour);

#endif
