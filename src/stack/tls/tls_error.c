/* What is TLS's own of what goes wrong; the rest is in stack/secure/handshake_error.c. */
#include <string.h>
#include "base/str.h"
#include "stack/tls/tls.h"

#define ALERT_RECORD     0x15
#define HANDSHAKE_RECORD 0x16
#define SHOWN            8 /* bytes of a peer that does not speak TLS */

static const char *version_words(uint8_t minor)
{
    static const char *const names[] = {"SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2"};
    return minor < 4 ? names[minor] : "an unknown version of TLS";
}

/* The peer's first record tells more than GnuTLS does. */
static void version_refused(struct tls *tls, int r)
{
    if (tls->hello_length < TLS_HELLO || tls->hello[0] != HANDSHAKE_RECORD)
        return;
    tapsi_error_native(tapsi_tls_error(tls), TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s offers only %s, and %s is asked for",
                       tls->hs.peer, version_words(tls->hello[10]), tapsi_handshake_ours(&tls->hs));
}

static int describe(struct tls *tls, int r, const char *doing)
{
    if (r == GNUTLS_E_UNSUPPORTED_VERSION_PACKET)
        version_refused(tls, r);
    if (r == GNUTLS_E_PUSH_ERROR)
        tapsi_error_set(tapsi_tls_error(tls), tls->broken, "TLS cannot send to %s: %s", tls->hs.peer,
                        taps_err_text(tls->broken));
    int alert = tapsi_handshake_describe(&tls->hs, r, doing);
    tls->hs.spoke = tls->hs.spoke && r != GNUTLS_E_PUSH_ERROR;
    return alert;
}

void tapsi_tls_fail_handshake(struct tls *tls, int r)
{
    tapsi_tls_fail(tls, describe(tls, r, "the TLS handshake"));
}

void tapsi_tls_fail_record(struct tls *tls, int r)
{
    if (tls->failing)
        return;
    tapsi_tls_fail(tls, describe(tls, r, "the TLS session"));
}

/* A peer that sends anything else may go on waiting for our next words: so the first bytes decide. */
bool tapsi_tls_check_hello(struct tls *tls)
{
    char text[SHOWN * 5 + 1] = "";
    size_t room = TLS_HELLO - tls->hello_length, count = tls->in_length < room ? tls->in_length : room, length = 0;
    memcpy(tls->hello + tls->hello_length, tls->in, count);
    tls->hello_length = (uint8_t)(tls->hello_length + count);
    bool record = tls->hello[0] == HANDSHAKE_RECORD || tls->hello[0] == ALERT_RECORD;
    if (record && (tls->hello_length < 2 || tls->hello[1] == 3))
        return true;
    for (size_t i = 0; i < tls->hello_length && i < SHOWN; i++)
        length += tapsi_format(text + length, sizeof(text) - length, "%s0x%02x", i ? " " : "", tls->hello[i]);
    tapsi_error_set(tapsi_tls_error(tls), TAPS_E_TLS, "%s does not speak TLS (got %s)", tls->hs.peer, text);
    tapsi_tls_fail(tls, 0);
    return false;
}
