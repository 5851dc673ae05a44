/* One chain and its key, in GnuTLS's form. */
#ifndef TAPSI_STACK_SECURE_IDENTITY_H
#define TAPSI_STACK_SECURE_IDENTITY_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include "loop/detour.h"
#include "select/security.h"

#define TAPSI_CHAIN_MAX 16 /* certificates of one chain: GnuTLS takes no more either */

/* The names of the DNS that a certificate is for, in lower case; its common name where it has no other. */
struct tapsi_dns_names {
    char **names;
    unsigned count;
};

struct tapsi_identity {
    struct tapsi_mem *mem;
    gnutls_pcert_st chain[TAPSI_CHAIN_MAX];
    unsigned count;
    gnutls_privkey_t key;
    struct tapsi_dns_names names;
};

/* Reads both and finds whether they belong together. 0 or a GnuTLS error; then nothing is left to free. `detour` is for
   the key: see tapsi_key_open. */
int tapsi_identity_open(struct tapsi_identity *identity, struct tapsi_mem *mem,
                        const struct tapsi_certificate *certificate, struct tapsi_detour **detour);
/* Gives chain and key to `to`, behind what it shows already. 0 or a GnuTLS error, and then it keeps them. */
int tapsi_identity_give(struct tapsi_identity *identity, gnutls_certificate_credentials_t to);
void tapsi_identity_done(struct tapsi_identity *identity);

/* Is `name` (in lower case) one of these? A wildcard stands for one whole label, the first. */
bool tapsi_dns_names_have(const struct tapsi_dns_names *names, const char *name);
void tapsi_dns_names_done(struct tapsi_dns_names *names, struct tapsi_mem *mem);

#endif
