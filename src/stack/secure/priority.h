/* What may be negotiated, as GnuTLS's priority strings say it. */
#ifndef TAPSI_STACK_SECURE_PRIORITY_H
#define TAPSI_STACK_SECURE_PRIORITY_H

#include "base/str.h"
#include "stack/secure/credentials.h"

/* Of the versions allowed, those of this protocol. */
unsigned tapsi_priority_versions(const struct tapsi_security *security, enum tapsi_secure_kind kind);
/* `aes`: the processor has instructions for it. */
void tapsi_priority_text(const struct tapsi_credentials *credentials, enum tapsi_secure_kind kind, bool aes,
                         struct tapsi_str *s);

#endif
