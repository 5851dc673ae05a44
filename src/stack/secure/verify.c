/* Is the peer who it should be? Runs inside the handshake, so it only records; the layer tells when GnuTLS has
 * returned. */
#include <arpa/inet.h>
#include <string.h>
#include <time.h>
#include "base/str.h"
#include "stack/secure/question.h"
#include "stack/secure/verify.h"

#define NAMES_SHOWN 4
#define CHAIN_MAX   16 /* GnuTLS takes no more either */

static int refuse(struct tapsi_handshake *h, gnutls_alert_description_t alert)
{
    h->alert = (uint8_t)alert;
    return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

static const char *whose(const struct tapsi_handshake *h)
{
    return h->host ? h->host : "the peer";
}

/* Text out of a certificate goes to logs and terminals. U+0080 to U+009F are control characters too, in UTF-8 and as
   single bytes. */
static void clean(char *text)
{
    unsigned follow = 0; /* bytes of a character that are still to come */
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        bool continues = follow && *c >= 0x80 && *c < 0xc0;
        bool control = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
        if (continues)
            follow--;
        else
            follow = *c < 0xc2 || control ? 0 : *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : 3;
        if (!continues && (*c < 0x20 || (*c >= 0x7f && *c < 0xc2) || control))
            *c = '?';
    }
}

/* ------------------------------------------------------------------------------------- the certificate's words */

static size_t add_name(char *to, size_t size, size_t length, const char *name)
{
    return length + tapsi_format(to + length, size - length, "%s%s", length ? ", " : "", name);
}

static void certificate_names(gnutls_x509_crt_t leaf, char *to, size_t size)
{
    size_t length = 0;
    unsigned shown = 0;
    to[0] = '\0';
    for (unsigned i = 0; shown < NAMES_SHOWN && length < size; i++) {
        char name[256], text[INET6_ADDRSTRLEN];
        size_t bytes = sizeof(name) - 1;
        int type = gnutls_x509_crt_get_subject_alt_name(leaf, i, name, &bytes, NULL);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (type != GNUTLS_SAN_DNSNAME && type != GNUTLS_SAN_IPADDRESS)
            continue;
        name[bytes] = '\0';
        if (type == GNUTLS_SAN_IPADDRESS && !inet_ntop(bytes == 4 ? AF_INET : AF_INET6, name, text, sizeof(text)))
            continue;
        length = add_name(to, size, length, type == GNUTLS_SAN_IPADDRESS ? text : name);
        shown++;
    }
    if (shown == 0) {
        size_t bytes = size;
        if (gnutls_x509_crt_get_dn_by_oid(leaf, GNUTLS_OID_X520_COMMON_NAME, 0, 0, to, &bytes) < 0)
            tapsi_format(to, size, "nobody");
    }
    clean(to);
}

static void issuer_name(gnutls_x509_crt_t leaf, char *to, size_t size)
{
    size_t bytes = size;
    if (gnutls_x509_crt_get_issuer_dn_by_oid(leaf, GNUTLS_OID_X520_COMMON_NAME, 0, 0, to, &bytes) < 0) {
        bytes = size;
        if (gnutls_x509_crt_get_issuer_dn(leaf, to, &bytes) < 0)
            tapsi_format(to, size, "an issuer without a name");
    }
    clean(to);
}

static const char *day(time_t when, char *to, size_t size)
{
    struct tm tm;
    if (when == (time_t)-1 || !gmtime_r(&when, &tm) || strftime(to, size, "%Y-%m-%d", &tm) == 0)
        tapsi_format(to, size, "an unknown day");
    return to;
}

/* ------------------------------------------------------------------------------------------------- verdicts */

/* Which certificate of the chain, its authority in the store included, ends first or begins last: 0 is the peer's own.
   If any is out of its time, that one is; so no clock has to be asked again. */
static unsigned outermost(struct tapsi_handshake *h, bool expired, time_t *ret_when)
{
    const struct tapsi_credentials *c = h->credentials;
    unsigned count = 0, found = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(h->session, &count);
    for (unsigned i = 0; i < count && i < CHAIN_MAX; i++) {
        gnutls_x509_crt_t certificate, authority = NULL;
        if (gnutls_x509_crt_init(&certificate) < 0)
            break;
        int r = gnutls_x509_crt_import(certificate, &chain[i], GNUTLS_X509_FMT_DER);
        if (r >= 0)
            gnutls_certificate_get_issuer(c->system ? c->system : c->own, certificate, &authority, 0);
        for (int k = 0; r >= 0 && k < (authority ? 2 : 1); k++) {
            gnutls_x509_crt_t one = k ? authority : certificate;
            time_t when = expired ? gnutls_x509_crt_get_expiration_time(one) : gnutls_x509_crt_get_activation_time(one);
            bool outer = i + (unsigned)k == 0 || (expired ? when < *ret_when : when > *ret_when);
            if (outer) {
                *ret_when = when;
                found = i + (unsigned)k;
            }
        }
        gnutls_x509_crt_deinit(certificate);
    }
    return found;
}

static int wrong_time(struct tapsi_handshake *h, unsigned status)
{
    char text[32];
    time_t when = (time_t)-1;
    bool expired = status & GNUTLS_CERT_EXPIRED;
    bool own = outermost(h, expired, &when) == 0;
    tapsi_error_native(tapsi_handshake_error(h), TAPS_E_CERTIFICATE_EXPIRED, TAPS_DOMAIN_TLS,
                       GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, "the certificate of %s%s %s %s",
                       own ? "" : "an authority of ", whose(h), expired ? "expired on" : "is not valid before",
                       day(when, text, sizeof(text)));
    return refuse(h, GNUTLS_A_CERTIFICATE_EXPIRED);
}

static int wrong_name(struct tapsi_handshake *h, gnutls_x509_crt_t leaf)
{
    char names[160];
    certificate_names(leaf, names, sizeof(names));
    tapsi_error_native(tapsi_handshake_error(h), TAPS_E_CERTIFICATE_NAME, TAPS_DOMAIN_TLS,
                       GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, "the certificate of %s is for %s", whose(h), names);
    return refuse(h, GNUTLS_A_BAD_CERTIFICATE);
}

static int unknown_signer(struct tapsi_handshake *h, gnutls_x509_crt_t leaf)
{
    char issuer[128];
    issuer_name(leaf, issuer, sizeof(issuer));
    bool self = gnutls_x509_crt_check_issuer(leaf, leaf) != 0;
    tapsi_error_native(tapsi_handshake_error(h), TAPS_E_CERTIFICATE, TAPS_DOMAIN_TLS,
                       GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, "the certificate of %s is %s: %s", whose(h),
                       self ? "signed by itself" : "not signed by a trusted authority", issuer);
    return refuse(h, GNUTLS_A_UNKNOWN_CA);
}

static int other_fault(struct tapsi_handshake *h, unsigned status)
{
    static const struct {
        unsigned bit;
        const char *words;
    } faults[] = {
        {GNUTLS_CERT_REVOKED, "was revoked"},
        {GNUTLS_CERT_PURPOSE_MISMATCH, "is not for this purpose"},
        {GNUTLS_CERT_SIGNER_NOT_CA, "is signed by a certificate that is no authority's"},
        {GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "breaks a constraint of its authority"},
        {GNUTLS_CERT_INSECURE_ALGORITHM, "uses an insecure algorithm or too short a key"},
        {GNUTLS_CERT_SIGNATURE_FAILURE, "has a wrong signature"},
        {GNUTLS_CERT_MISSING_OCSP_STATUS, "came without the revocation status that it demands"},
        {GNUTLS_CERT_INVALID_OCSP_STATUS, "came with an invalid revocation status"},
        {GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, "came with a revocation status that is out of date"},
        {GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE, "came with a revocation status of a time to come"},
        {GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "has a critical extension that is not known"},
    };
    const char *words = "is not valid";
    for (size_t i = sizeof(faults) / sizeof(faults[0]); i-- > 0;) {
        if (status & faults[i].bit)
            words = faults[i].words;
    }
    tapsi_error_native(tapsi_handshake_error(h), TAPS_E_CERTIFICATE, TAPS_DOMAIN_TLS,
                       GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, "the certificate of %s %s", whose(h), words);
    return refuse(h, status & GNUTLS_CERT_REVOKED ? GNUTLS_A_CERTIFICATE_REVOKED : GNUTLS_A_BAD_CERTIFICATE);
}

/* One fault is told: that nobody vouches for the certificate makes all it says worthless, so it goes first. */
static int explain(struct tapsi_handshake *h, gnutls_x509_crt_t leaf, unsigned status)
{
    const unsigned times = GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED;
    if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
        return unknown_signer(h, leaf);
    if (status & ~(times | GNUTLS_CERT_UNEXPECTED_OWNER | GNUTLS_CERT_INVALID))
        return other_fault(h, status);
    if (status & times)
        return wrong_time(h, status);
    if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
        return wrong_name(h, leaf);
    return other_fault(h, status);
}

/* --------------------------------------------------------------------------------------------------- checks */

/* What the certificate has to be for: a name or an address, and this end of TLS. Returns how many were filled. */
static unsigned demands(struct tapsi_handshake *h, gnutls_typed_vdata_st *to)
{
    static char server[] = GNUTLS_KP_TLS_WWW_SERVER, client[] = GNUTLS_KP_TLS_WWW_CLIENT;
    bool is_client = h->role == TAPSI_ROLE_CLIENT;
    to[0] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                    .data = (unsigned char *)(is_client ? server : client)};
    if (!is_client)
        return 1;
    if (h->address.sa.sa_family != AF_UNSPEC) {
        unsigned count;
        const uint8_t *bytes = tapsi_addr_bytes(&h->address, &count);
        /* GnuTLS's type has no const; it only reads. */
        to[1] = (gnutls_typed_vdata_st){
            .type = GNUTLS_DT_IP_ADDRESS, .data = (unsigned char *)(uintptr_t)bytes, .size = count};
    } else {
        to[1] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)(uintptr_t)h->host};
    }
    return 2;
}

/* A session that shows a certificate of its own borrows the shared trust store for the moment of the verification. */
static int check_trust(struct tapsi_handshake *h, unsigned *ret_status)
{
    const struct tapsi_credentials *c = h->credentials;
    gnutls_certificate_credentials_t judge = c->system ? c->system : c->own;
    bool borrow = h->shown != judge;
    gnutls_typed_vdata_st wanted[2];
    unsigned count = demands(h, wanted);
    if (borrow && gnutls_credentials_set(h->session, GNUTLS_CRD_CERTIFICATE, judge) < 0)
        return GNUTLS_E_MEMORY_ERROR;
    int r = gnutls_certificate_verify_peers(h->session, wanted, count, ret_status);
    if (borrow)
        gnutls_credentials_set(h->session, GNUTLS_CRD_CERTIFICATE, h->shown);
    return r;
}

static bool is_pinned(const struct tapsi_credentials *c, gnutls_x509_crt_t certificate)
{
    unsigned char key[TAPSI_KEY_PIN];
    size_t size = sizeof(key);
    bool has_key =
        c->key_pin_count && gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, key, &size) >= 0;
    for (unsigned i = 0; has_key && i < c->key_pin_count; i++) {
        if (memcmp(c->key_pins[i], key, sizeof(key)) == 0)
            return true;
    }
    for (unsigned i = 0; i < c->pin_count; i++) {
        if (gnutls_x509_crt_equals(c->pins[i], certificate))
            return true;
    }
    return false;
}

static bool has_signed(gnutls_x509_crt_t issuer, gnutls_x509_crt_t certificate)
{
    unsigned status;
    return gnutls_x509_crt_check_issuer(certificate, issuer) &&
           gnutls_x509_crt_verify(certificate, &issuer, 1, 0, &status) >= 0 && status == 0;
}

/* Anybody can send a public certificate along with his own: so a pinned one counts only if it is the peer's, or if
   signatures lead from the peer's to it. */
static bool check_pins(const struct tapsi_credentials *c, const gnutls_datum_t *chain, unsigned count)
{
    gnutls_x509_crt_t links[2] = {NULL, NULL}; /* the certificate looked at, and the one before it */
    bool pinned = false;
    for (unsigned i = 0; i < count && i < CHAIN_MAX && !pinned; i++) {
        if (links[1])
            gnutls_x509_crt_deinit(links[1]);
        links[1] = links[0];
        links[0] = NULL;
        if (gnutls_x509_crt_init(&links[0]) < 0 || gnutls_x509_crt_import(links[0], &chain[i], GNUTLS_X509_FMT_DER) < 0)
            break;
        if (links[1] && !has_signed(links[0], links[1]))
            break;
        pinned = is_pinned(c, links[0]);
    }
    for (int i = 0; i < 2; i++) {
        if (links[i])
            gnutls_x509_crt_deinit(links[i]);
    }
    return pinned;
}

static int not_pinned(struct tapsi_handshake *h)
{
    tapsi_error_native(tapsi_handshake_error(h), TAPS_E_CERTIFICATE_PIN, TAPS_DOMAIN_TLS,
                       GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR,
                       "the certificate of %s is none of those that are pinned", whose(h));
    return refuse(h, GNUTLS_A_BAD_CERTIFICATE);
}

/* What the library itself finds comes first: pins and revocation stand, the rest the application may overrule. */
static int judge(struct tapsi_handshake *h, gnutls_x509_crt_t leaf, const gnutls_datum_t *chain, unsigned count)
{
    const struct tapsi_credentials *c = h->credentials;
    unsigned status = c->verify ? GNUTLS_CERT_INVALID : 0;
    int r = c->verify ? check_trust(h, &status) : 0;
    if (r < 0)
        return r;
    if (status)
        r = explain(h, leaf, status);
    bool pinned = (!c->pin_count && !c->key_pin_count) || check_pins(c, chain, count);
    if (!pinned)
        return r < 0 ? r : not_pinned(h);
    if (h->security->trust && !(status & GNUTLS_CERT_REVOKED)) {
        r = tapsi_question_ask(h, chain, count);
        if (r < 0)
            return r;
        return h->kind == TAPSI_SECURE_QUIC ? 0 : GNUTLS_E_INTERRUPTED; /* QUIC holds Ready instead */
    }
    if (r >= 0)
        h->verified = c->verify;
    return r;
}

int tapsi_handshake_verify(gnutls_session_t session)
{
    struct tapsi_handshake *h = gnutls_session_get_ptr(session);
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t leaf;
    if (h->question && tapsi_question_is_open(h->question))
        return GNUTLS_E_INTERRUPTED;
    if (h->question)
        return tapsi_question_judge(h);
    if (!chain || count == 0)
        return GNUTLS_E_NO_CERTIFICATE_FOUND;
    int r = gnutls_x509_crt_init(&leaf);
    if (r < 0)
        return r;
    r = gnutls_x509_crt_import(leaf, &chain[0], GNUTLS_X509_FMT_DER);
    if (r >= 0)
        r = judge(h, leaf, chain, count);
    gnutls_x509_crt_deinit(leaf);
    return r;
}

int tapsi_handshake_verify_again(struct tapsi_handshake *h)
{
    unsigned count = 0, status = GNUTLS_CERT_INVALID;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(h->session, &count);
    gnutls_x509_crt_t leaf;
    if (!chain || count == 0)
        return GNUTLS_E_NO_CERTIFICATE_FOUND;
    int r = gnutls_x509_crt_init(&leaf);
    if (r < 0)
        return r;
    r = gnutls_x509_crt_import(leaf, &chain[0], GNUTLS_X509_FMT_DER);
    if (r >= 0)
        r = check_trust(h, &status);
    if (r >= 0 && status)
        r = explain(h, leaf, status);
    gnutls_x509_crt_deinit(leaf);
    return r;
}
