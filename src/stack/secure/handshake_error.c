/* What went wrong, in words an administrator can act on. */
#include <ctype.h>
#include <string.h>
#include "base/str.h"
#include "stack/secure/handshake.h"

/* GnuTLS says "GNUTLS_A_HANDSHAKE_FAILURE"; RFC 8446 says handshake_failure; people read "handshake failure". */
static void alert_words(gnutls_alert_description_t alert, char *to, size_t size)
{
    static const char head[] = "GNUTLS_A_";
    const char *name = gnutls_alert_get_strname(alert);
    if (!name)
        tapsi_format(to, size, "%d", (int)alert);
    else
        tapsi_format(to, size, "%s", strncmp(name, head, sizeof(head) - 1) == 0 ? name + sizeof(head) - 1 : name);
    for (char *c = to; *c; c++)
        *c = *c == '_' ? ' ' : (char)tolower((unsigned char)*c);
}

const char *tapsi_handshake_ours(const struct tapsi_handshake *h)
{
    unsigned versions = tapsi_security_versions(h->security);
    if (h->kind != TAPSI_SECURE_TLS)
        return h->kind == TAPSI_SECURE_QUIC ? "TLS 1.3" : "DTLS 1.2";
    versions &= 1U << TAPS_TLS_1_2 | 1U << TAPS_TLS_1_3;
    if (versions == 1U << TAPS_TLS_1_3)
        return "TLS 1.3";
    return versions == 1U << TAPS_TLS_1_2 ? "TLS 1.2" : "TLS 1.2 and 1.3";
}

static void our_alpn(const struct tapsi_handshake *h, char *to, size_t size)
{
    const struct tapsi_names *names = &h->security->alpn;
    size_t length = 0;
    to[0] = '\0';
    for (size_t i = 0; i < names->count && length < size; i++)
        length += tapsi_format(to + length, size - length, "%s%s", i ? ", " : "", names->names[i]);
}

/* Does a peer that has another key, or none, say so? TLS 1.2 finds out when the first record cannot be read. */
static bool is_about_keys(int alert)
{
    return alert == GNUTLS_A_DECRYPT_ERROR || alert == GNUTLS_A_ILLEGAL_PARAMETER || alert == GNUTLS_A_BAD_RECORD_MAC ||
           alert == GNUTLS_A_UNKNOWN_PSK_IDENTITY || alert == GNUTLS_A_HANDSHAKE_FAILURE ||
           alert == GNUTLS_A_INTERNAL_ERROR;
}

/* Of our own: did what the client has as its key not fit? */
static bool is_psk_refused(const struct tapsi_handshake *h, int r)
{
    if (h->security->psk_count == 0)
        return false;
    return h->psk_unknown || r == GNUTLS_E_DECRYPTION_FAILED || r == GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER ||
           r == GNUTLS_E_ERROR_IN_FINISHED_PACKET;
}

void tapsi_handshake_describe_alert(struct tapsi_handshake *h, int alert)
{
    char words[64], why[128] = "", names[96];
    alert_words((gnutls_alert_description_t)alert, words, sizeof(words));
    if (alert == GNUTLS_A_PROTOCOL_VERSION)
        tapsi_format(why, sizeof(why), ": it takes none of our versions, %s", tapsi_handshake_ours(h));
    if (alert == GNUTLS_A_NO_APPLICATION_PROTOCOL) {
        our_alpn(h, names, sizeof(names));
        tapsi_format(why, sizeof(why), ": it has none of our ALPN protocols, %s", names);
    }
    if (!why[0] && is_about_keys(alert) && h->security->psk_count)
        tapsi_format(why, sizeof(why), ": it may have another pre-shared key, or not know its identity");
    tapsi_error_native(tapsi_handshake_error(h), TAPS_E_TLS, TAPS_DOMAIN_TLS, alert, "%s sent the alert %s%s", h->peer,
                       words, why);
}

static void alpn_refused(struct tapsi_handshake *h, int r)
{
    char names[96];
    our_alpn(h, names, sizeof(names));
    tapsi_error_native(tapsi_handshake_error(h), TAPS_E_TLS, TAPS_DOMAIN_TLS, r,
                       "%s offers none of our ALPN protocols, %s", h->peer, names);
}

/* Only who speaks TLS can bring us to fail like this. */
static bool is_about_tls(int r)
{
    switch (r) {
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
    case GNUTLS_E_CERTIFICATE_REQUIRED:
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
    case GNUTLS_E_NO_APPLICATION_PROTOCOL:
    case GNUTLS_E_NO_CIPHER_SUITES:
    case GNUTLS_E_UNKNOWN_CIPHER_SUITE:
    case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
    case GNUTLS_E_NO_COMMON_KEY_SHARE:
    case GNUTLS_E_ECC_NO_SUPPORTED_CURVES:
        return true;
    default:
        return false;
    }
}

static void describe(struct tapsi_handshake *h, int r, const char *doing)
{
    struct tapsi_error *e = tapsi_handshake_error(h);
    if (r != GNUTLS_E_FATAL_ALERT_RECEIVED && r != GNUTLS_E_MEMORY_ERROR && is_psk_refused(h, r)) {
        tapsi_error_native(e, TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s has %s: %s", h->peer,
                           h->psk_unknown ? "a pre-shared key whose identity is not known" : "another pre-shared key",
                           gnutls_strerror(r));
        return;
    }
    switch (r) {
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        tapsi_handshake_describe_alert(h, gnutls_alert_get(h->session));
        break;
    case GNUTLS_E_MEMORY_ERROR:
        tapsi_error_set(e, TAPS_E_MEMORY, "no memory for TLS with %s", h->peer);
        break;
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
    case GNUTLS_E_CERTIFICATE_REQUIRED:
        tapsi_error_native(e, TAPS_E_CERTIFICATE, TAPS_DOMAIN_TLS, r, "%s showed no certificate", h->peer);
        break;
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
        tapsi_error_native(e, TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s speaks another version of TLS than %s", h->peer,
                           tapsi_handshake_ours(h));
        break;
    case GNUTLS_E_NO_APPLICATION_PROTOCOL:
        alpn_refused(h, r);
        break;
    case GNUTLS_E_NO_CIPHER_SUITES:
    case GNUTLS_E_UNKNOWN_CIPHER_SUITE:
    case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
        tapsi_error_native(e, TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s has no cipher suite of %s in common with us", h->peer,
                           tapsi_handshake_ours(h));
        break;
    case GNUTLS_E_NO_COMMON_KEY_SHARE:
    case GNUTLS_E_ECC_NO_SUPPORTED_CURVES:
        tapsi_error_native(e, TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s has no key exchange group in common with us",
                           h->peer);
        break;
    default:
        tapsi_error_native(e, TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s with %s failed: %s", doing, h->peer,
                           gnutls_strerror(r));
    }
}

/* What the peer is told: nothing if it was the one who ended it, or if nothing can leave. */
static int alert_for(int r)
{
    if (r == GNUTLS_E_FATAL_ALERT_RECEIVED || r == GNUTLS_E_PUSH_ERROR)
        return 0;
    int level, alert = gnutls_error_to_alert(r, &level);
    return alert > 0 ? alert : GNUTLS_A_INTERNAL_ERROR;
}

int tapsi_handshake_describe(struct tapsi_handshake *h, int r, const char *doing)
{
    bool judged = h->error && h->error->pub.code; /* by our verify function, whose words are better */
    h->spoke = judged || is_about_tls(r);
    if (!judged)
        describe(h, r, doing);
    return judged && h->alert ? h->alert : alert_for(r);
}
