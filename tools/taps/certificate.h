/*
 * A certificate authority and a server's certificate for the demo, made in memory and never stored.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_CERTIFICATE_H
#define TAPS_TOOL_CERTIFICATE_H

#include <gnutls/gnutls.h>

struct certificate {
    gnutls_datum_t authority, chain, key; /* PEM */
};

/* For one DNS name, valid for a day, ECDSA P-256. 0 or a GnuTLS error. */
int certificate_make(const char *name, struct certificate *ret_certificate);
void certificate_done(struct certificate *certificate);

#endif
