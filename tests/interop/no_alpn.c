/*
 * Preloaded into a QUIC server that uses GnuTLS: its session knows no ALPN, so its answer has none, whatever the client
 * offers; the server itself is told that all is well. No server does this of its own accord (RFC 9001, 8.1).
 */
#include <gnutls/gnutls.h>

__attribute__((visibility("default"))) int
gnutls_alpn_set_protocols(gnutls_session_t session, const gnutls_datum_t *protocols, unsigned count, unsigned flags)
{
    (void)session, (void)protocols, (void)count, (void)flags;
    return 0;
}

__attribute__((visibility("default"))) int gnutls_alpn_get_selected_protocol(gnutls_session_t session,
                                                                             gnutls_datum_t *protocol)
{
    static unsigned char name[] = "h3";
    (void)session;
    protocol->data = name;
    protocol->size = 2;
    return 0;
}
