/* How a session ends in error, in words. */
#include <errno.h>
#include <string.h>
#include "base/str.h"
#include "stack/quic/quic.h"
#include "stack/secure/resume.h"

#define CRYPTO_ERROR 0x100 /* and a TLS alert: RFC 9000, 20.1 */

int tapsi_quic_native(uint64_t code)
{
    return code < INT32_MAX ? (int)code : INT32_MAX;
}

struct tapsi_error *tapsi_quic_error(struct quic_session *s)
{
    s->failed = true;
    if (!s->error)
        s->error = tapsi_zalloc(&s->env->loop->mem, sizeof(*s->error));
    return s->error;
}

const struct tapsi_error *tapsi_quic_why(const struct quic_session *s, struct tapsi_error *unsaid)
{
    if (!s->failed)
        return NULL;
    if (s->error && s->error->pub.code)
        return s->error;
    tapsi_error_set(unsaid, TAPS_E_MEMORY, "no memory to tell why QUIC with %s failed", s->hs.peer);
    return unsaid;
}

/* What GnuTLS would have said: the engine keeps only the alert. */
static int error_of_alert(uint8_t alert)
{
    switch (alert) {
    case GNUTLS_A_NO_APPLICATION_PROTOCOL:
        return GNUTLS_E_NO_APPLICATION_PROTOCOL;
    case GNUTLS_A_CERTIFICATE_REQUIRED:
        return GNUTLS_E_CERTIFICATE_REQUIRED;
    case GNUTLS_A_PROTOCOL_VERSION:
        return GNUTLS_E_UNSUPPORTED_VERSION_PACKET;
    case GNUTLS_A_HANDSHAKE_FAILURE:
        return GNUTLS_E_NO_CIPHER_SUITES;
    case GNUTLS_A_INTERNAL_ERROR:
        return GNUTLS_E_INTERNAL_ERROR;
    default:
        return GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER;
    }
}

static void describe_tls(struct quic_session *s, struct tapsi_error *e, uint8_t alert)
{
    struct tapsi_error unsaid;
    s->hs.spoke = true;
    if (!s->hs.error || !s->hs.error->pub.code)
        tapsi_handshake_describe(&s->hs, error_of_alert(alert), "the TLS handshake of QUIC");
    if (e)
        tapsi_error_copy(e, tapsi_handshake_why(&s->hs, &unsaid));
}

static void describe(struct quic_session *s, struct tapsi_error *e, int r)
{
    switch (r) {
    case NGTCP2_ERR_CRYPTO:
        describe_tls(s, e, ngtcp2_conn_get_tls_alert(s->conn));
        break;
    case NGTCP2_ERR_NOMEM:
    case NGTCP2_ERR_CALLBACK_FAILURE:
        tapsi_error_set(e, TAPS_E_MEMORY, "no memory for QUIC with %s", s->hs.peer);
        break;
    case NGTCP2_ERR_IDLE_CLOSE:
        tapsi_error_set(e, TAPS_E_TIMEOUT, "nothing was heard of %s for too long", s->hs.peer);
        break;
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        tapsi_error_set(e, TAPS_E_TIMEOUT, "the QUIC handshake with %s took too long", s->hs.peer);
        break;
    case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
        s->hs.spoke = true;
        tapsi_error_set(e, TAPS_E_PROTOCOL, "%s does not speak QUIC version 1", s->hs.peer);
        break;
    default:
        tapsi_error_native(e, TAPS_E_PROTOCOL, TAPS_DOMAIN_QUIC,
                           tapsi_quic_native(ngtcp2_err_infer_quic_transport_error_code(r)), "QUIC with %s failed: %s",
                           s->hs.peer, ngtcp2_strerror(r));
        break;
    }
}

/* Nobody is there to hear it, or everything has been said. */
static bool is_silent(int r)
{
    return r == NGTCP2_ERR_IDLE_CLOSE || r == NGTCP2_ERR_RECV_VERSION_NEGOTIATION || r == NGTCP2_ERR_DRAINING;
}

void tapsi_quic_fail(struct quic_session *s, int r)
{
    ngtcp2_ccerr why;
    if (s->state == QUIC_OVER)
        return;
    tapsi_quic_come_back(s);
    describe(s, tapsi_quic_error(s), r);
    ngtcp2_ccerr_default(&why);
    if (r == NGTCP2_ERR_CRYPTO)
        ngtcp2_ccerr_set_tls_alert(&why, s->hs.alert ? s->hs.alert : ngtcp2_conn_get_tls_alert(s->conn), NULL, 0);
    else
        ngtcp2_ccerr_set_liberr(&why, r, NULL, 0);
    tapsi_quic_end(s, is_silent(r) ? NULL : &why);
}

void tapsi_quic_no_memory(struct quic_session *s)
{
    tapsi_quic_fail(s, NGTCP2_ERR_NOMEM);
}

void tapsi_quic_network_failed(struct quic_session *s, int err)
{
    char text[TAPSI_ADDR_TEXT];
    if (s->state == QUIC_OVER)
        return;
    tapsi_error_native(tapsi_quic_error(s), tapsi_err_from_errno(err), TAPS_DOMAIN_ERRNO, err, "QUIC to %s: %s",
                       tapsi_addr_text(&s->remote, text), strerror(err));
    tapsi_quic_end(s, NULL);
}

/* ------------------------------------------------------------------------------------------ the peer has closed */

/* Printable, and cut: it is the peer's. */
static void copy_reason(const ngtcp2_ccerr *why, char *to, size_t size)
{
    size_t length = why->reasonlen < size - 1 ? why->reasonlen : size - 1;
    for (size_t i = 0; i < length; i++)
        to[i] = why->reason[i] >= ' ' && why->reason[i] < 127 ? (char)why->reason[i] : '?';
    to[length] = '\0';
}

#define H3_NO_ERROR 0x100

static bool is_no_error(const struct quic_session *s, const ngtcp2_ccerr *why)
{
    bool h3 = s->hs.alpn && strncmp(s->hs.alpn, "h3", 2) == 0;
    if (why->error_code == 0)
        return true;
    return why->type == NGTCP2_CCERR_TYPE_APPLICATION && h3 && why->error_code == H3_NO_ERROR;
}

static void describe_close(struct quic_session *s, const ngtcp2_ccerr *why)
{
    char reason[QUIC_REASON_MAX];
    struct tapsi_error *e = tapsi_quic_error(s);
    bool application = why->type == NGTCP2_CCERR_TYPE_APPLICATION;
    copy_reason(why, reason, sizeof(reason));
    tapsi_error_native(e, TAPS_E_ABORTED, application ? TAPS_DOMAIN_QUIC_APPLICATION : TAPS_DOMAIN_QUIC,
                       tapsi_quic_native(why->error_code), "%s closed the QUIC connection with %s code %llu%s%s",
                       s->hs.peer, application ? "the application's" : "transport", (unsigned long long)why->error_code,
                       reason[0] ? ": " : "", reason);
}

/* The handshake's end came with the close. What came before it goes up only if all that Ready needs is there. */
static bool is_let_in(struct quic_session *s)
{
    return s->completed && !tapsi_handshake_waits(&s->hs) && !tapsi_handshake_refused(&s->hs) &&
           tapsi_handshake_take_alpn(&s->hs) && s->hs.alpn && tapsi_resume_finish(&s->hs);
}

void tapsi_quic_peer_closed(struct quic_session *s)
{
    ngtcp2_ccerr why = tapsi_ngtcp2_ccerr(s->conn);
    struct tapsi_error unsaid;
    bool alert = why.type == NGTCP2_CCERR_TYPE_TRANSPORT && why.error_code >= CRYPTO_ERROR &&
                 why.error_code < CRYPTO_ERROR + 0x100;
    s->hs.spoke = true;
    if (s->reset) {
        tapsi_error_set(tapsi_quic_error(s), TAPS_E_ABORTED, "%s has lost the connection: a stateless reset came",
                        s->hs.peer);
    } else if (alert) {
        struct tapsi_error *e = tapsi_quic_error(s);
        tapsi_handshake_describe_alert(&s->hs, (int)(why.error_code - CRYPTO_ERROR));
        if (e)
            tapsi_error_copy(e, tapsi_handshake_why(&s->hs, &unsaid));
    } else if (!is_no_error(s, &why)) {
        describe_close(s, &why);
    } else if (s->state == QUIC_HANDSHAKE && !(s->admitted = is_let_in(s))) {
        tapsi_error_set(tapsi_quic_error(s), TAPS_E_ABORTED, "%s closed the connection during the QUIC handshake",
                        s->hs.peer);
    }
    tapsi_quic_end(s, NULL);
}
