/* What GnuTLS needs of the security parameters, made once per snapshot and role. */
#ifndef TAPSI_STACK_SECURE_CREDENTIALS_H
#define TAPSI_STACK_SECURE_CREDENTIALS_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include "select/security.h"
#include "select/select.h"
#include "stack/secure/identity.h"

/* Which protocol they are for: versions, ALPN and the shape of a session differ. */
enum tapsi_secure_kind { TAPSI_SECURE_TLS, TAPSI_SECURE_DTLS, TAPSI_SECURE_QUIC, TAPSI_SECURE_KINDS };

#define TAPSI_BINDING 32

struct tapsi_issuer;

struct tapsi_credentials {
    struct tapsi_mem *mem;
    const struct tapsi_security *security; /* what they are made of, and owned by */
    enum tapsi_role role;                  /* client or server */
    /* What a session shows, and its own authorities. NULL: it has neither, and uses `system` alone. */
    gnutls_certificate_credentials_t own;
    /* The process's trust store; NULL when own authorities are given, or nothing is verified. */
    gnutls_certificate_credentials_t system;
    gnutls_priority_t priority[TAPSI_SECURE_KINDS]; /* NULL: not made yet */
    /* The ids that are for it (select/alpn.h), borrowed from the snapshot; made with `priority` */
    gnutls_datum_t alpn[TAPSI_SECURE_KINDS][TAPSI_SECURITY_LIST_MAX];
    unsigned alpn_count[TAPSI_SECURE_KINDS];
    gnutls_x509_crt_t pins[TAPSI_SECURITY_LIST_MAX];
    unsigned pin_count;
    struct tapsi_issuer *issuer;    /* of a server's tickets; NULL: it gives none */
    uint8_t binding[TAPSI_BINDING]; /* of a client: binding.h */
    bool has_binding;
    struct tapsi_dns_names names[TAPSI_SECURITY_LIST_MAX];             /* of each certificate shown */
    gnutls_certificate_credentials_t by_name[TAPSI_SECURITY_LIST_MAX]; /* tapsi_credentials_for: that one first */
    uint8_t key_pins[TAPSI_SECURITY_LIST_MAX][TAPSI_KEY_PIN];
    unsigned key_pin_count;
    gnutls_psk_client_credentials_t psk_client; /* NULL: no pre-shared key */
    gnutls_psk_server_credentials_t psk_server;
    bool slow;                   /* a key's work may take long: handshakes run on detours */
    struct tapsi_detour *detour; /* on which an engine runs now, or NULL: then slow keys make it wait */
    bool certificates;           /* peers may be authenticated by them, or `own` shown; else by pre-shared keys only */
    bool verify;                 /* the peer must have a certificate that the authorities signed */
};

/*
 * Returns borrowed from `security`, which keeps them until it is freed. TAPS_E_CONFIGURATION with a detail that says
 * which certificate, authority or pin cannot be used and why; TAPS_E_MEMORY.
 *
 * Server certificates are looked at only in the server's role, client certificates only in the client's (ARCH-18). Pins
 * are the client's: of each pinned chain the first certificate counts.
 */
int tapsi_credentials(struct tapsi_security *security, enum tapsi_role role, enum tapsi_secure_kind kind,
                      const struct tapsi_credentials **ret, struct tapsi_error *ret_error);
/* What a server shows to a client that asks for `name` (in lower case): borrowed likewise. It is `own` where no
   certificate has the name: then the first is shown. NULL: no memory, or a key that cannot be read any more. */
gnutls_certificate_credentials_t tapsi_credentials_for(const struct tapsi_credentials *credentials, const char *name);
/* From now on `detour` is what slow keys stop; NULL: none. */
void tapsi_credentials_run_on(const struct tapsi_credentials *credentials, struct tapsi_detour *detour);

#endif
