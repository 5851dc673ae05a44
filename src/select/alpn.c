#include "select/alpn.h"

#include <string.h>

enum { TLS = 1 << TAPSI_ALPN_TLS, DTLS = 1 << TAPSI_ALPN_DTLS, QUIC = 1 << TAPSI_ALPN_QUIC };

/* A name that ends in '*' stands for all that begin so. */
static const struct {
    const char *id;
    unsigned over;
} registered[] = {
    {"http/0.9", TLS},
    {"http/1.0", TLS},
    {"http/1.1", TLS},
    {"spdy/*", TLS},
    {"h2", TLS},
    {"h2c", TLS},
    {"h3", QUIC},
    {"h3-*", QUIC}, /* the drafts of HTTP/3, and Google's */
    {"hq", QUIC},
    {"hq-*", QUIC}, /* HTTP/0.9 of the QUIC interop tests: not registered, and means nothing else */
    {"doq", QUIC},
    {"doq-*", QUIC},
    {"smb", QUIC},
    {"dot", TLS},
    {"ftp", TLS},
    {"imap", TLS},
    {"pop3", TLS},
    {"managesieve", TLS},
    {"xmpp-client", TLS},
    {"xmpp-server", TLS},
    {"acme-tls/1", TLS},
    {"mqtt", TLS},
    {"ntske/1", TLS},
    {"irc", TLS},
    {"nntp", TLS},
    {"nnsp", TLS},
    {"sip/2", TLS},
    {"tds/8.0", TLS},
    {"dicom", TLS},
    {"postgresql", TLS},
    {"coap", TLS}, /* RFC 8323; over DTLS it is "co", RFC 9952 */
    {"co", DTLS},
    {"webrtc", DTLS},
    {"c-webrtc", DTLS},
    {"stun.turn", TLS | DTLS}, /* RFC 7443 */
    {"stun.nat-discovery", TLS | DTLS},
    {"sunrpc", TLS | DTLS}, /* RFC 9289 */
    {"radius/1.0", TLS | DTLS},
    {"radius/1.1", TLS | DTLS},
};

static bool matches(const char *pattern, const char *id)
{
    size_t head = strcspn(pattern, "*");
    return strncmp(pattern, id, head) == 0 && (pattern[head] == '*' || id[head] == '\0');
}

bool tapsi_alpn_over(enum tapsi_alpn_transport transport, const char *id)
{
    if (transport == TAPSI_ALPN_NONE)
        return false;
    for (size_t i = 0; i < sizeof(registered) / sizeof(registered[0]); i++) {
        if (matches(registered[i].id, id))
            return registered[i].over & 1u << transport;
    }
    return true;
}

size_t tapsi_alpn_filter(const struct tapsi_names *names, enum tapsi_alpn_transport transport,
                         const char *ret[TAPSI_SECURITY_LIST_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++) {
        if (!tapsi_alpn_over(transport, names->names[i]))
            continue;
        if (ret)
            ret[count] = names->names[i];
        count++;
    }
    return count;
}

const char *tapsi_alpn_transport_name(enum tapsi_alpn_transport transport)
{
    static const char *const names[] = {"no transport", "TLS over TCP", "DTLS", "QUIC"};
    return names[transport];
}
