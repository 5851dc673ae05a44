/*
 * Names of what TLS negotiates, by IANA's registry or GnuTLS's own, case-insensitive; a leading "GROUP-", "SIGN-" may
 * be left out. The answer is what a GnuTLS priority string takes after ":+" ("GROUP-X25519"); an IANA signature scheme
 * that GnuTLS splits by TLS version is both, joined by ":+". NULL = not known, or too weak to be offered (SHA-1, CBC
 * with MD5, static RSA ...). Static text.
 */
#ifndef TAPSI_SELECT_TLS_NAMES_H
#define TAPSI_SELECT_TLS_NAMES_H

#include <taps/taps.h>

const char *tapsi_tls_group(const char *name);
/* A whole suite ("TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") stands for its cipher. */
const char *tapsi_tls_cipher(const char *name);
const char *tapsi_tls_signature(const char *name);
/* "tls1.3", "TLS 1.3", "tls_1_3", "TLSv1.3"; "dtls1.2" in the same ways; "quic", "quicv1", "QUIC 1"; 0 = none of
   these. */
enum taps_security_protocol tapsi_tls_version(const char *name);

#endif
