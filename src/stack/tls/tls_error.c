/* What went wrong, in words an administrator can act on. */
#include <ctype.h>
#include <string.h>
#include "base/str.h"
#include "stack/tls/tls.h"

#define ALERT_RECORD     0x15
#define HANDSHAKE_RECORD 0x16
#define SHOWN            8 /* bytes of a peer that does not speak TLS */

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

static const char *our_versions(const struct tls *tls)
{
    unsigned versions = tapsi_security_versions(tls->layer.env->security);
    if (versions == 1U << TAPS_TLS_1_3)
        return "TLS 1.3";
    return versions == 1U << TAPS_TLS_1_2 ? "TLS 1.2" : "TLS 1.2 and 1.3";
}

static void our_alpn(const struct tls *tls, char *to, size_t size)
{
    const struct tapsi_names *names = &tls->layer.env->security->alpn;
    size_t length = 0;
    to[0] = '\0';
    for (size_t i = 0; i < names->count && length < size; i++)
        length += tapsi_format(to + length, size - length, "%s%s", i ? ", " : "", names->names[i]);
}

static void alert_received(struct tls *tls)
{
    gnutls_alert_description_t alert = gnutls_alert_get(tls->session);
    char words[64], why[128] = "", names[96];
    alert_words(alert, words, sizeof(words));
    if (alert == GNUTLS_A_PROTOCOL_VERSION)
        tapsi_format(why, sizeof(why), ": it takes none of our versions, %s", our_versions(tls));
    if (alert == GNUTLS_A_NO_APPLICATION_PROTOCOL) {
        our_alpn(tls, names, sizeof(names));
        tapsi_format(why, sizeof(why), ": it has none of our ALPN protocols, %s", names);
    }
    tapsi_error_native(tapsi_tls_error(tls), TAPS_E_TLS, TAPS_DOMAIN_TLS, (int)alert, "%s sent the alert %s%s",
                       tls->peer, words, why);
}

static const char *version_words(uint8_t minor)
{
    static const char *const names[] = {"SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2"};
    return minor < 4 ? names[minor] : "an unknown version of TLS";
}

static void version_refused(struct tls *tls, int r)
{
    if (tls->hello_length == TLS_HELLO && tls->hello[0] == HANDSHAKE_RECORD)
        tapsi_error_native(tapsi_tls_error(tls), TAPS_E_TLS, TAPS_DOMAIN_TLS, r,
                           "%s offers only %s, and %s is asked for", tls->peer, version_words(tls->hello[10]),
                           our_versions(tls));
    else
        tapsi_error_native(tapsi_tls_error(tls), TAPS_E_TLS, TAPS_DOMAIN_TLS, r,
                           "%s speaks another version of TLS than %s", tls->peer, our_versions(tls));
}

static void alpn_refused(struct tls *tls, int r)
{
    char names[96];
    our_alpn(tls, names, sizeof(names));
    tapsi_error_native(tapsi_tls_error(tls), TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s offers none of our ALPN protocols, %s",
                       tls->peer, names);
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

static void describe(struct tls *tls, int r, const char *doing)
{
    struct tapsi_error *e = tapsi_tls_error(tls);
    switch (r) {
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        alert_received(tls);
        break;
    case GNUTLS_E_PUSH_ERROR:
        tapsi_error_set(e, tls->broken, "TLS cannot send to %s: %s", tls->peer, taps_err_text(tls->broken));
        break;
    case GNUTLS_E_MEMORY_ERROR:
        tapsi_error_set(e, TAPS_E_MEMORY, "no memory for TLS with %s", tls->peer);
        break;
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
    case GNUTLS_E_CERTIFICATE_REQUIRED:
        tapsi_error_native(e, TAPS_E_CERTIFICATE, TAPS_DOMAIN_TLS, r, "%s showed no certificate", tls->peer);
        break;
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
        version_refused(tls, r);
        break;
    case GNUTLS_E_NO_APPLICATION_PROTOCOL:
        alpn_refused(tls, r);
        break;
    case GNUTLS_E_NO_CIPHER_SUITES:
    case GNUTLS_E_UNKNOWN_CIPHER_SUITE:
    case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
        tapsi_error_native(e, TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s has no cipher suite of %s in common with us",
                           tls->peer, our_versions(tls));
        break;
    case GNUTLS_E_NO_COMMON_KEY_SHARE:
    case GNUTLS_E_ECC_NO_SUPPORTED_CURVES:
        tapsi_error_native(e, TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s has no key exchange group in common with us",
                           tls->peer);
        break;
    default:
        tapsi_error_native(e, TAPS_E_TLS, TAPS_DOMAIN_TLS, r, "%s with %s failed: %s", doing, tls->peer,
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

void tapsi_tls_fail_handshake(struct tls *tls, int r)
{
    bool judged = tls->error && tls->error->pub.code; /* by our verify function, whose words are better */
    tls->spoke = judged || is_about_tls(r);
    if (!judged)
        describe(tls, r, "the TLS handshake");
    tapsi_tls_fail(tls, judged && tls->alert ? tls->alert : alert_for(r));
}

void tapsi_tls_fail_record(struct tls *tls, int r)
{
    if (tls->failing)
        return;
    describe(tls, r, "the TLS session");
    tapsi_tls_fail(tls, alert_for(r));
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
    tapsi_error_set(tapsi_tls_error(tls), TAPS_E_TLS, "%s does not speak TLS (got %s)", tls->peer, text);
    tapsi_tls_fail(tls, 0);
    return false;
}
