/*
 * Certificates: a look at files before they are used, and an authority and a server's certificate for the demo, made in
 * memory and never stored.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_CERTIFICATE_H
#define TAPS_TOOL_CERTIFICATE_H

#include <stddef.h>

#include <gnutls/gnutls.h>

struct certificate {
    gnutls_datum_t authority, chain, key; /* PEM */
};

/* 0, or the GnuTLS error that tells why the PEM file holds no authority to trust. */
int certificate_check_authorities(const char *path);
/* 0, or the GnuTLS error that tells why these are no certificate and its private key. `password` may be NULL. */
int certificate_check_pair(const char *chain_path, const char *key_path, const char *password);

/* What there is to say of one; names have no control characters left. */
struct certificate_look {
    char subject[300], issuer[300];
    char from[32], until[32]; /* "2026-11-30T12:00:00Z" */
    char pin[64];             /* of its public key: "sha256//..." */
};
/* 0, or the GnuTLS error that tells why these bytes are no certificate. */
int certificate_look(const void *der, size_t length, struct certificate_look *ret_look);

/* For one DNS name, valid for a day, ECDSA P-256. 0 or a GnuTLS error. */
int certificate_make(const char *name, struct certificate *ret_certificate);
void certificate_done(struct certificate *certificate);

#endif
