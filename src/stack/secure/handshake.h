/*
 * What TLS, DTLS and QUIC have in common: a GnuTLS session set up as the security parameters say, the peer it is to be
 * verified as, and the words for what went wrong.
 *
 * Embedded in the layer or session. Engine callbacks only record: `error`, `alert`, `verified`, `question`.
 *
 * The application may be asked whether to trust the peer (API-058), and answers when it likes. TLS and DTLS wait in the
 * middle of the handshake: gnutls_handshake says GNUTLS_E_INTERRUPTED, and as long as tapsi_handshake_waits it is not
 * called again. In QUIC that would be in the middle of ngtcp2, so there the handshake goes on: when it is done and
 * tapsi_handshake_waits, Ready is held and nothing of the application's is sent or delivered. `resume` tells of the
 * answer: TLS and DTLS then go on, QUIC asks tapsi_handshake_refused.
 *
 * A private key may be slow (API-059). TLS and DTLS run gnutls_handshake by tapsi_handshake_run: it stops inside, and
 * waits as for the application's answer; until it has gone on and returned nobody may touch the session.
 */
#ifndef TAPSI_STACK_SECURE_HANDSHAKE_H
#define TAPSI_STACK_SECURE_HANDSHAKE_H

#include <gnutls/gnutls.h>
#include "stack/layer.h"
#include "stack/secure/credentials.h"

struct tapsi_slowly;
struct tapsi_ticket;

struct tapsi_handshake {
    /* First, and what gnutls_session_get_ptr gives: ngtcp2 calls the first with the handshake to find its connection
       (struct ngtcp2_crypto_conn_ref). TLS and DTLS leave both alone. */
    void *(*get_conn)(void *handshake);
    void *user_data;

    struct tapsi_env *env; /* borrowed from the layer */
    /* A reference to what env->security was when this began: a Listener's may be replaced meanwhile. Ask this one. */
    struct tapsi_security *security;
    enum tapsi_secure_kind kind : 8;
    enum tapsi_role role : 8;                    /* UNDECIDED until the layer below is ready */
    uint16_t port;                               /* of the peer; 0: not known */
    uint32_t ticket_life;                        /* seconds, of the ticket that came last; 0: none has (resume.h) */
    gnutls_session_t session;                    /* NULL until tapsi_handshake_open */
    const struct tapsi_credentials *credentials; /* of the snapshot; NULL until the role is known */
    gnutls_certificate_credentials_t shown;      /* what of them this end shows */
    char *peer;                                  /* how errors call the peer: "the peer", "the peer example.test" */
    const char *host;                            /* the name within `peer`, or NULL */
    union tapsi_addr address;  /* what the certificate must hold instead of the name; family 0 = the name */
    const char *alpn;          /* the protocol agreed on, of the snapshot; or NULL: tapsi_handshake_take_alpn */
    struct tapsi_error *error; /* why it fails, or NULL: tapsi_handshake_error. Verification writes it */
    uint8_t alert;             /* what the peer is told then */
    bool verified;             /* the peer's certificate */
    bool psk_unknown;          /* the client's pre-shared key is none of ours */
    struct taps_trust_question *question; /* that the application was asked, or NULL */
    struct tapsi_slowly *slowly;          /* the detour it runs on, or NULL: no key is slow */
    /* The application has answered, or a slow key: called from the loop's dispatch, unless tapsi_handshake_forget was
       called. Set by the layer, after init; NULL: it is not told. */
    void (*resume)(struct tapsi_handshake *h);
    bool spoke; /* it failed over what the peer said in the protocol, so it speaks that */
    /* resume.h */
    bool ticket_sent;
    bool ticket_shared;          /* there is a copy of it in the store, for others */
    bool finished;               /* and well: tickets that come from now on are kept */
    bool sends_early;            /* set before tapsi_resume_begin: early data goes with the ticket */
    uint32_t ticket_early;       /* bytes of early data that it is good for */
    struct tapsi_ticket *ticket; /* that this session resumes, or NULL */
    uint64_t until;              /* wall clock: when the peer has to be verified anew. 0: it has just been */
    /* Engine callback: adds to a ticket what only the protocol knows (QUIC: transport parameters, token), borrowed
       until the next call, or the end of the handshake. NULL: nothing. */
    void (*complete)(struct tapsi_handshake *h, struct tapsi_ticket *like);
};

/* Takes over who the peer is: the application's name before the endpoint's; without a name the address. TAPS_E_MEMORY,
   TAPS_E_CONFIGURATION with words. On failure nothing is left to free. */
int tapsi_handshake_init(struct tapsi_handshake *h, struct tapsi_env *env, const struct tapsi_target *target,
                         enum tapsi_secure_kind kind, enum tapsi_role role, struct tapsi_error *ret_error);
/* Makes the session for the role, now known: priorities, credentials, ALPN, SNI, verification, certificate request.
   `flags` beside the role are for gnutls_init. 0 or a GnuTLS error; tapsi_handshake_refused gives it words. */
int tapsi_handshake_open(struct tapsi_handshake *h, enum tapsi_role role, unsigned flags);
/* Frees all of it: by the reaper, since GnuTLS may be on the stack. */
void tapsi_handshake_done(struct tapsi_handshake *h);

/* The layer is destroyed: nobody is asked and nothing resumed any more. */
void tapsi_handshake_forget(struct tapsi_handshake *h);
/* gnutls_handshake, on a detour where a key is slow. While it waits for one it says GNUTLS_E_INTERRUPTED. */
int tapsi_handshake_run(struct tapsi_handshake *h);
/* Does the application still have to say whether it trusts the peer, or is a slow key still at work? */
bool tapsi_handshake_waits(const struct tapsi_handshake *h);
/* Once it does not wait: has the application refused the peer? Then the alert, with the error filled in; else 0. */
int tapsi_handshake_refused(struct tapsi_handshake *h);

/* To be filled in; NULL = no memory, which is then what is told. */
struct tapsi_error *tapsi_handshake_error(struct tapsi_handshake *h);
/* The error that is filled in, or one about memory, in `unsaid`. */
const struct tapsi_error *tapsi_handshake_why(struct tapsi_handshake *h, struct tapsi_error *unsaid);
/* False, with the error filled in, if the peer chose what was not offered. Else `alpn` is set, if there is one. */
bool tapsi_handshake_take_alpn(struct tapsi_handshake *h);
/* Fills in the error for a failed GnuTLS call, unless verification has already; the alert to send, or 0. `doing`: "the
   TLS handshake". */
int tapsi_handshake_describe(struct tapsi_handshake *h, int r, const char *doing);
/* The same for an alert that the peer sent, where the engine told it (QUIC). */
void tapsi_handshake_describe_alert(struct tapsi_handshake *h, int alert);
/* The versions we would take, in words: "TLS 1.2 and 1.3". */
const char *tapsi_handshake_ours(const struct tapsi_handshake *h);
/* "TLS 1.3", "DTLS 1.2", "QUIC 1 (TLS 1.3)"; valid once the handshake is done. */
const char *tapsi_handshake_version(const struct tapsi_handshake *h);
/* What a ready layer tells: protocol, authenticated, resumed. */
struct tapsi_ready_info tapsi_handshake_info(const struct tapsi_handshake *h);

#endif
