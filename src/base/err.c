#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROW(code, reason, text) [-(code)] = {#code, text, TAPS_REASON_##reason}

static const struct {
    const char *name, *text;
    enum taps_reason reason;
} table[] = {
    ROW(TAPS_OK, NONE, "no error"),
    ROW(TAPS_E_ARGUMENT, INVALID_CONFIGURATION, "invalid argument"),
    ROW(TAPS_E_MEMORY, PROTOCOL_FAILED, "out of memory"),
    ROW(TAPS_E_STATE, INVALID_CONFIGURATION, "not allowed in this state"),
    ROW(TAPS_E_UNKNOWN_PROPERTY, INVALID_CONFIGURATION, "unknown property"),
    ROW(TAPS_E_TYPE, INVALID_CONFIGURATION, "the property is of another type"),
    ROW(TAPS_E_RANGE, INVALID_CONFIGURATION, "value not understood or out of range"),
    ROW(TAPS_E_READ_ONLY, INVALID_CONFIGURATION, "the property cannot be set"),
    ROW(TAPS_E_NOT_APPLICABLE, INVALID_CONFIGURATION, "not applicable here"),
    ROW(TAPS_E_DUPLICATE, INVALID_CONFIGURATION, "the endpoint has an identifier of this type already"),
    ROW(TAPS_E_CONFIGURATION, INVALID_CONFIGURATION, "contradictory or incomplete configuration"),
    ROW(TAPS_E_NO_CANDIDATES, NO_CANDIDATES, "no protocol and path satisfies the properties"),
    ROW(TAPS_E_RESOLUTION, RESOLUTION_FAILED, "the name could not be resolved"),
    ROW(TAPS_E_ESTABLISHMENT, ESTABLISHMENT_FAILED, "every candidate failed"),
    ROW(TAPS_E_POLICY, POLICY_PROHIBITED, "prohibited by policy"),
    ROW(TAPS_E_NOT_CLONEABLE, NOT_CLONEABLE, "the protocol stack cannot be cloned"),
    ROW(TAPS_E_MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE, "the Message is too large"),
    ROW(TAPS_E_PROTOCOL, PROTOCOL_FAILED, "the protocol failed"),
    ROW(TAPS_E_MESSAGE_PROPERTIES, INVALID_MESSAGE_PROPERTIES, "the Message Properties cannot be satisfied"),
    ROW(TAPS_E_DEFRAMING, DEFRAMING_FAILED, "received data could not be deframed"),
    ROW(TAPS_E_ABORTED, CONNECTION_ABORTED, "connection aborted by the peer"),
    ROW(TAPS_E_TIMEOUT, TIMEOUT, "timed out"),
    ROW(TAPS_E_LOCAL_ABORT, CONNECTION_ABORTED, "connection aborted locally"),
    ROW(TAPS_E_REFUSED, ESTABLISHMENT_FAILED, "connection refused"),
    ROW(TAPS_E_UNREACHABLE, ESTABLISHMENT_FAILED, "unreachable"),
    ROW(TAPS_E_CERTIFICATE, ESTABLISHMENT_FAILED, "certificate not trusted"),
    ROW(TAPS_E_CERTIFICATE_EXPIRED, ESTABLISHMENT_FAILED, "certificate expired or not valid yet"),
    ROW(TAPS_E_CERTIFICATE_NAME, ESTABLISHMENT_FAILED, "certificate is for another name"),
    ROW(TAPS_E_CERTIFICATE_PIN, ESTABLISHMENT_FAILED, "certificate is none of the pinned ones"),
    ROW(TAPS_E_TLS, PROTOCOL_FAILED, "TLS failed"),
    ROW(TAPS_E_TRUNCATED, PROTOCOL_FAILED, "the data was cut off"),
    ROW(TAPS_E_CLOSED, INVALID_CONFIGURATION, "this direction is closed"),
    ROW(TAPS_E_CANCELLED, ESTABLISHMENT_FAILED, "cancelled"),
    ROW(TAPS_E_RESOURCES, PROTOCOL_FAILED, "the system is out of resources"),
    ROW(TAPS_E_PERMISSION, POLICY_PROHIBITED, "not permitted by the system"),
    ROW(TAPS_E_ADDRESS_IN_USE, ESTABLISHMENT_FAILED, "the local address is in use"),
    ROW(TAPS_E_SYSTEM, PROTOCOL_FAILED, "system error"),
    ROW(TAPS_E_FULL, PROTOCOL_FAILED, "the send buffer is full"),
};

#define ROWS ((int)(sizeof(table) / sizeof(table[0])))
static_assert(ROWS == 1 - TAPS_E_FULL, "one row for each taps_err");

static bool known(int code)
{
    return code <= 0 && code > -ROWS;
}

const char *taps_err_name(int code)
{
    return known(code) ? table[-code].name : "unknown";
}

const char *taps_err_text(int code)
{
    return known(code) ? table[-code].text : "unknown error";
}

enum taps_reason taps_err_reason(int code)
{
    return known(code) ? table[-code].reason : TAPS_REASON_NONE;
}

const char *taps_reason_name(enum taps_reason reason)
{
    switch (reason) {
    case TAPS_REASON_NONE:
        return "None";
    case TAPS_REASON_INVALID_CONFIGURATION:
        return "InvalidConfiguration";
    case TAPS_REASON_NO_CANDIDATES:
        return "NoCandidates";
    case TAPS_REASON_RESOLUTION_FAILED:
        return "ResolutionFailed";
    case TAPS_REASON_ESTABLISHMENT_FAILED:
        return "EstablishmentFailed";
    case TAPS_REASON_POLICY_PROHIBITED:
        return "PolicyProhibited";
    case TAPS_REASON_NOT_CLONEABLE:
        return "NotCloneable";
    case TAPS_REASON_MESSAGE_TOO_LARGE:
        return "MessageTooLarge";
    case TAPS_REASON_PROTOCOL_FAILED:
        return "ProtocolFailed";
    case TAPS_REASON_INVALID_MESSAGE_PROPERTIES:
        return "InvalidMessageProperties";
    case TAPS_REASON_DEFRAMING_FAILED:
        return "DeframingFailed";
    case TAPS_REASON_CONNECTION_ABORTED:
        return "ConnectionAborted";
    case TAPS_REASON_TIMEOUT:
        return "Timeout";
    }
    return "unknown";
}

__attribute__((format(printf, 5, 0))) static int fill(struct tapsi_error *e, int code, enum taps_domain domain,
                                                      int native, const char *format, va_list args)
{
    char text[TAPSI_DETAIL_MAX]; /* the arguments may point into e->text: an error wrapped in more words */
    if (!e)
        return code;
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    memcpy(e->text, text, sizeof(text));
    e->pub = (struct taps_error){code, taps_err_reason(code), domain, native, e->text};
    return code;
}

int tapsi_error_set(struct tapsi_error *e, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(e, code, TAPS_DOMAIN_NONE, 0, format, args);
    va_end(args);
    return code;
}

int tapsi_error_native(struct tapsi_error *e, int code, enum taps_domain domain, int native, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(e, code, domain, native, format, args);
    va_end(args);
    return code;
}

void tapsi_error_clear(struct tapsi_error *e)
{
    memset(e, 0, sizeof(*e));
    e->pub.detail = e->text;
}

void tapsi_error_copy(struct tapsi_error *to, const struct tapsi_error *from)
{
    *to = *from;
    to->pub.detail = to->text;
}

int tapsi_err_from_errno(int err)
{
    switch (err) {
    case ECONNREFUSED:
        return TAPS_E_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ENONET:
    case ENODEV:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT: /* no IPv6 on this machine is no different from no way to the address */
        return TAPS_E_UNREACHABLE;
    case ECONNRESET:
    case ECONNABORTED:
    case ENETRESET:
    case EPIPE:
        return TAPS_E_ABORTED;
    case ETIMEDOUT:
        return TAPS_E_TIMEOUT;
    case EADDRINUSE:
        return TAPS_E_ADDRESS_IN_USE;
    case EACCES:
    case EPERM:
        return TAPS_E_PERMISSION;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOSPC:
    case EAGAIN: /* from connect: no ephemeral port is left */
        return TAPS_E_RESOURCES;
    case ENOMEM:
        return TAPS_E_MEMORY;
    case EMSGSIZE:
        return TAPS_E_MESSAGE_TOO_LARGE;
    case EPROTO:
        return TAPS_E_PROTOCOL;
    case ECANCELED:
        return TAPS_E_CANCELLED;
    default:
        return TAPS_E_SYSTEM;
    }
}
