/* Files of certificates and keys: read whole, wiped afterwards. */
#ifndef TAPSI_API_SECURITY_FILE_H
#define TAPSI_API_SECURITY_FILE_H

#include "select/security.h"

typedef int (*tapsi_add_pem)(struct tapsi_security *s, const void *pem, size_t length);
typedef int (*tapsi_add_pair)(struct tapsi_security *s, const void *certificate, size_t certificate_length,
                              const void *key, size_t key_length);

/* Read and add: TAPS_E_SYSTEM (it cannot be read), TAPS_E_RANGE (too long), TAPS_E_MEMORY, or what `add` says. */
int tapsi_security_add_file(struct tapsi_security *s, const char *path, tapsi_add_pem add);
int tapsi_security_add_files(struct tapsi_security *s, const char *certificate_path, const char *key_path,
                             tapsi_add_pair add);

#endif
