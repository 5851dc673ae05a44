/*
 * Certificates: a look at files before they are used, and an authority and a server's certificate for the demo, made in
 * memory and never stored.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_CERTIFICATE_H
#define TAPS_TOOL_CERTIFICATE_H

#include <gnutls/gnutls.h>

struct certificate {
    gnutls_datum_t authority, chain, key; /* PEM */
};

/* 0, or the GnuTLS error that tells why the PEM file holds no authority to trust. */
int certificate_check_authorities(const char *path);
/* 0, or the GnuTLS error that tells why these are no certificate and its private key. */
int certificate_check_pair(const char *chain_path, const char *key_path);

/* For one DNS name, valid for a day, ECDSA P-256. 0 or a GnuTLS error. */
int certificate_make(const char *name, struct certificate *ret_certificate);
void certificate_done(struct certificate *certificate);

#endif
