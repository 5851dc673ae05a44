/*
 * Which ALPN protocol ids mean an application protocol over which transport (RFC 7301; IANA's registry of them). "h3"
 * says HTTP over QUIC and nothing else: offered inside TLS over TCP it would promise a peer what nobody can keep. So
 * each secure stack offers only the ids that are for its transport. Ids that the registry does not bind to a transport,
 * the application's own among them, are for all.
 */
#ifndef TAPSI_SELECT_ALPN_H
#define TAPSI_SELECT_ALPN_H

#include "select/security.h"

/* What carries the handshake. NONE: a stack without ALPN. */
enum tapsi_alpn_transport { TAPSI_ALPN_NONE, TAPSI_ALPN_TLS, TAPSI_ALPN_DTLS, TAPSI_ALPN_QUIC };

/* Ids are compared byte by byte: "H2" is not "h2". False for NONE. */
bool tapsi_alpn_over(enum tapsi_alpn_transport transport, const char *id);
/* How many of `names` are for it; `ret`, if not NULL, gets them in their order, borrowed from `names`. */
size_t tapsi_alpn_filter(const struct tapsi_names *names, enum tapsi_alpn_transport transport,
                         const char *ret[TAPSI_SECURITY_LIST_MAX]);
/* "TLS over TCP", "DTLS", "QUIC". */
const char *tapsi_alpn_transport_name(enum tapsi_alpn_transport transport);

#endif
