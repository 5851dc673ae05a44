#include "select/alpn.h"

#include <string.h>
#include "base/test.h"

/* "TDQ": over TLS, DTLS, QUIC; "-" = not. */
static const char *over(const char *id)
{
    static char text[4];
    text[0] = tapsi_alpn_over(TAPSI_ALPN_TLS, id) ? 'T' : '-';
    text[1] = tapsi_alpn_over(TAPSI_ALPN_DTLS, id) ? 'D' : '-';
    text[2] = tapsi_alpn_over(TAPSI_ALPN_QUIC, id) ? 'Q' : '-';
    text[3] = '\0';
    return text;
}

TEST(an_id_that_the_registry_binds_to_a_transport_is_for_no_other)
{
    static const char *const tls[] = {"http/0.9",   "http/1.0",    "http/1.1", "spdy/1",      "spdy/3",
                                      "h2",         "h2c",         "dot",      "ftp",         "imap",
                                      "pop3",       "managesieve", "coap",     "xmpp-client", "xmpp-server",
                                      "acme-tls/1", "mqtt",        "ntske/1",  "irc",         "nntp",
                                      "nnsp",       "sip/2",       "tds/8.0",  "dicom",       "postgresql"};
    static const char *const quic[] = {"h3", "h3-29", "h3-Q050", "hq-interop", "hq-29", "doq", "doq-i03", "smb"};
    static const char *const dtls[] = {"co", "webrtc", "c-webrtc"};
    static const char *const both[] = {"stun.turn", "stun.nat-discovery", "sunrpc", "radius/1.1"};
    for (size_t i = 0; i < sizeof(tls) / sizeof(tls[0]); i++)
        CHECK_TEXT(over(tls[i]), "T--");
    for (size_t i = 0; i < sizeof(quic) / sizeof(quic[0]); i++)
        CHECK_TEXT(over(quic[i]), "--Q");
    for (size_t i = 0; i < sizeof(dtls) / sizeof(dtls[0]); i++)
        CHECK_TEXT(over(dtls[i]), "-D-");
    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++)
        CHECK_TEXT(over(both[i]), "TD-");
}

TEST(an_id_of_the_application_is_for_every_transport)
{
    static const char *const own[] = {"echo", "example/1", "x", "h4", "my h3"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        CHECK_TEXT(over(own[i]), "TDQ");
}

TEST(ids_are_bytes_and_whole)
{
    static const char *const others[] = {"H3", "H2", "HTTP/1.1", "h3x", "h", "h2-29", "http/1.12", "spdy", "coapx"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK_TEXT(over(others[i]), "TDQ");
}

TEST(a_stack_without_alpn_has_no_id)
{
    CHECK(!tapsi_alpn_over(TAPSI_ALPN_NONE, "echo"));
    CHECK(!tapsi_alpn_over(TAPSI_ALPN_NONE, "h2"));
}

static struct tapsi_names names_of(const char *const *ids, size_t count)
{
    struct tapsi_names names = {.count = count};
    for (size_t i = 0; i < count; i++)
        names.names[i] = (char *)(uintptr_t)ids[i];
    return names;
}

TEST(filtered_ids_keep_their_order)
{
    static const char *const ids[] = {"h3", "echo", "h2", "h3-29", "http/1.1"};
    const struct tapsi_names names = names_of(ids, 5);
    const char *got[TAPSI_SECURITY_LIST_MAX] = {0};
    CHECK_INT(tapsi_alpn_filter(&names, TAPSI_ALPN_TLS, got), 3);
    CHECK_TEXT(got[0], "echo");
    CHECK_TEXT(got[1], "h2");
    CHECK_TEXT(got[2], "http/1.1");
    CHECK_INT(tapsi_alpn_filter(&names, TAPSI_ALPN_QUIC, got), 3);
    CHECK_TEXT(got[0], "h3");
    CHECK_TEXT(got[1], "echo");
    CHECK_TEXT(got[2], "h3-29");
}

TEST(nothing_is_left_of_ids_for_another_transport_or_of_none)
{
    static const char *const ids[] = {"h2", "http/1.1"};
    const struct tapsi_names names = names_of(ids, 2), none = {.count = 0};
    const char *got[TAPSI_SECURITY_LIST_MAX] = {0};
    CHECK_INT(tapsi_alpn_filter(&names, TAPSI_ALPN_QUIC, got), 0);
    CHECK(got[0] == NULL);
    CHECK_INT(tapsi_alpn_filter(&none, TAPSI_ALPN_TLS, got), 0);
    CHECK_INT(tapsi_alpn_filter(&names, TAPSI_ALPN_TLS, NULL), 2);
}
