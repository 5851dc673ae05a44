/*
 * libtaps: security parameters (RFC 9622, section 6.3).
 *
 * SPDX-License-Identifier: MIT
 *
 * A part of taps/taps.h, which includes it, and is what programs include: its rules for threads, ownership and errors
 * hold here.
 */
#ifndef TAPS_SECURITY_H
#define TAPS_SECURITY_H

#ifndef TAPS_TAPS_H
#error "include <taps/taps.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum taps_security_mode {
    TAPS_SECURITY_REQUIRED,      /* the default */
    TAPS_SECURITY_OPPORTUNISTIC, /* unauthenticated security if the peer has it, else none */
    TAPS_SECURITY_DISABLED,
};

/* QUIC version 1 has TLS 1.3 within; it is used only where there are ALPN protocols for it. */
enum taps_security_protocol { TAPS_TLS_1_2 = 1, TAPS_TLS_1_3 = 2, TAPS_DTLS_1_2 = 3, TAPS_QUIC_1 = 4 };

/* Asked whether to trust a peer: see taps_security_parameters_set_trust_callback. `question` is borrowed until it
   returns. */
typedef void (*taps_trust_fn)(taps_trust_question *question, void *user);

/* What a private key has to sign: `data` is a digest made with the hash of the scheme, or, with ed25519 and ed448, the
   whole message. `scheme` is IANA's name of it: "ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256", "rsa_pkcs1_sha256". */
struct taps_challenge {
    const char *scheme;
    const void *data;
    size_t length;
};
#define TAPS_SIGNATURE_MAX 2048
/* Does a private key's work: see taps_security_parameters_add_server_signer. Writes the signature, as TLS has it
   (ECDSA: DER), into `signature`, which has TAPS_SIGNATURE_MAX bytes, and its length into *ret_length. 0, or negative:
   it cannot, and the handshake fails. */
typedef int (*taps_sign_fn)(const struct taps_challenge *challenge, void *signature, size_t *ret_length, void *user);

/* Secure defaults: TLS 1.3 and 1.2, the system's trust store, host name checked. Returns owned. */
TAPS_API int taps_security_parameters_new(taps_security_parameters **ret_parameters);
/* No security at all: only stacks without it are eligible. Returns owned. */
TAPS_API int taps_security_parameters_new_disabled(taps_security_parameters **ret_parameters);
/* TLS without authentication where the peer has it, plain text where it was found to have none: when every attempt with
   TLS has failed, on every path, or a second after a peer has refused it and no other handshake is under way. A peer
   that does not answer, or whose TLS does not fit, is not spoken to in clear (RFC 9622, 6.3). Returns owned. */
TAPS_API int taps_security_parameters_new_opportunistic(taps_security_parameters **ret_parameters);
/* Returns owned. */
TAPS_API int taps_security_parameters_copy(const taps_security_parameters *parameters,
                                           taps_security_parameters **ret_parameters);
/* NULL is allowed. */
TAPS_API void taps_security_parameters_free(taps_security_parameters *parameters);
/* Of NULL, which is the defaults everywhere: required. */
TAPS_API enum taps_security_mode taps_security_parameters_mode(const taps_security_parameters *parameters);

/* Trust only these authorities instead of the system's. PEM, one or more certificates. May be called again to add.
   Files are read here: a missing file, or a fifo that nobody writes to, is TAPS_E_SYSTEM, one without a certificate
   TAPS_E_RANGE. */
TAPS_API int taps_security_parameters_add_ca_file(taps_security_parameters *parameters, const char *path);
TAPS_API int taps_security_parameters_add_ca_pem(taps_security_parameters *parameters, const void *pem, size_t length);
/* A certificate chain and its private key, used only when listening. Either may be a URI "pkcs11:..." instead of a path
   (RFC 7512), and then it is looked up when it is used. May be called again: the client's SNI chooses among them, by
   their names, wildcards included; the first is shown where none fits. TAPS_E_RANGE: not what it should be, or an
   encrypted key without taps_security_parameters_set_key_password before it. */
TAPS_API int taps_security_parameters_add_server_certificate(taps_security_parameters *parameters,
                                                             const char *certificate_path, const char *key_path);
TAPS_API int taps_security_parameters_add_server_certificate_pem(taps_security_parameters *parameters,
                                                                 const void *certificate, size_t certificate_length,
                                                                 const void *key, size_t key_length);
/* A certificate chain and its private key, used only when initiating. */
TAPS_API int taps_security_parameters_add_client_certificate(taps_security_parameters *parameters,
                                                             const char *certificate_path, const char *key_path);
TAPS_API int taps_security_parameters_add_client_certificate_pem(taps_security_parameters *parameters,
                                                                 const void *certificate, size_t certificate_length,
                                                                 const void *key, size_t key_length);
/* Of the encrypted keys that are added from now on, and the PIN of PKCS #11 tokens; NULL: none. Copied, and wiped with
   the parameters. TAPS_E_RANGE above 1024 bytes. */
TAPS_API int taps_security_parameters_set_key_password(taps_security_parameters *parameters, const char *password);
/* Identity challenge (RFC 9622, 6.3.8): a chain (PEM, or a URI) without a key, whose work `fn` does for each handshake.
   It is called inside the handshake, on the loop's thread, and must neither call the library nor take long: everything
   else on that context waits for it. It must stay callable as long as anything made with these parameters lives. */
TAPS_API int taps_security_parameters_add_server_signer(taps_security_parameters *parameters, const void *certificate,
                                                        size_t length, taps_sign_fn fn, void *user);
TAPS_API int taps_security_parameters_add_client_signer(taps_security_parameters *parameters, const void *certificate,
                                                        size_t length, taps_sign_fn fn, void *user);
/* The same for work that takes long (a token, a server of keys): `fn` is called on threads of the context's own, for
   several handshakes at once (four of a context; the others wait), so it must be thread-safe. It may block, and must
   not call the library. Only that handshake waits for it, as long as its deadline allows; then, or when the Connection
   is ended, the answer is for nobody. `fn` and `user` must stay usable until the context is freed: taps_context_free
   waits for the calls that are under way, and makes no more. A QUIC client that has sent early data
   calls it on the loop's thread all the same. Keys of PKCS #11 are treated as slow by themselves. */
TAPS_API int taps_security_parameters_add_server_slow_signer(taps_security_parameters *parameters,
                                                             const void *certificate, size_t length, taps_sign_fn fn,
                                                             void *user);
TAPS_API int taps_security_parameters_add_client_slow_signer(taps_security_parameters *parameters,
                                                             const void *certificate, size_t length, taps_sign_fn fn,
                                                             void *user);
/* The server must show one of the pinned certificates (PEM), or one with one of the pinned keys, or be certified by one
   through its chain; beside being trusted. */
TAPS_API int taps_security_parameters_pin_server_certificate(taps_security_parameters *parameters, const void *pem,
                                                             size_t length);
/* A public key (its SubjectPublicKeyInfo, RFC 7469) by its SHA-256: "sha256//" and base64, as curl has it, or 64
   hexadecimal digits; or the 32 bytes. TAPS_E_RANGE: it is neither. */
TAPS_API int taps_security_parameters_pin_server_key(taps_security_parameters *parameters, const char *pin);
TAPS_API int taps_security_parameters_pin_server_key_hash(taps_security_parameters *parameters, const uint8_t hash[32]);
/* A key of 16 to 256 bytes that both ends have, with the identity it goes by (1 to 128 bytes): it authenticates both,
   with forward secrecy, by TLS 1.3 or 1.2, and no certificate is needed. A client shows the first one added; a server
   has several, and looks up the client's. Certificates go beside it where there are any: on a server those it shows, on
   a client where parameters say whom to trust by them (authorities, pins, a client certificate, a trust callback). An
   identity that is there gets the new key. */
TAPS_API int taps_security_parameters_add_pre_shared_key(taps_security_parameters *parameters, const char *identity,
                                                         const void *key, size_t length);
/* Trust verification callback (RFC 9622, 6.3.8); NULL: none. With it, nothing is established with a peer that shows a
   certificate until `fn` has answered: the answer may come at any time, and blocks nobody else. It is asked after the
   library has looked, and is told what that found. Accepting overrules it, also an unknown authority, another name or a
   wrong time; but not a pin, nor a revocation: those fail without a question. Called from the loop's dispatch, like
   events. No session is resumed with it, since there is no certificate to ask about then. Over QUIC the handshake goes
   on meanwhile: a client certificate is shown before the answer; Messages are not sent. `fn` must stay callable as long
   as anything made with these parameters lives. */
TAPS_API int taps_security_parameters_set_trust_callback(taps_security_parameters *parameters, taps_trust_fn fn,
                                                         void *user);
/* Answers, from the loop's thread. Only the first counts; TAPS_E_STATE: there was one, or nobody waits for it any more,
   which is harmless. `why` (NULL: no words) becomes part of the error. */
TAPS_API int taps_trust_question_accept(taps_trust_question *question);
TAPS_API int taps_trust_question_refuse(taps_trust_question *question, const char *why);
/* To answer later, keep a reference; without one the question is refused when the callback returns. To be given back
   when it has been answered, at any time, from the loop's thread. Returns the question. */
TAPS_API taps_trust_question *taps_trust_question_ref(taps_trust_question *question);
TAPS_API void taps_trust_question_unref(taps_trust_question *question); /* NULL is allowed */
/* The chain as the peer sent it, DER, its own certificate first: `index` from 0; NULL beyond the last. Returns borrowed
   from the question. */
TAPS_API const void *taps_trust_question_certificate(const taps_trust_question *question, size_t index,
                                                     size_t *ret_length);
/* Who it should be: a name or an address; NULL of a client. */
TAPS_API const char *taps_trust_question_name(const taps_trust_question *question);
/* What the library found: code 0, or what it would have failed with (TAPS_E_CERTIFICATE ...) and the words. */
TAPS_API const struct taps_error *taps_trust_question_verdict(const taps_trust_question *question);
/* OCSP responses (DER, RFC 6960) that a server shows with the certificate each is about (stapling). A client asks for
   one always, refuses what it says is revoked, and refuses a certificate that demands one (RFC 7633) without it.
   TAPS_E_RANGE: no such thing. */
TAPS_API int taps_security_parameters_add_status_file(taps_security_parameters *parameters, const char *path);
TAPS_API int taps_security_parameters_add_status(taps_security_parameters *parameters, const void *response,
                                                 size_t length);
/* Secrets of every session are appended to this file (made for its owner alone), as programs that look into captures
   want them (NSS key log format); NULL: not. Whoever reads the file reads the traffic. The environment variable
   SSLKEYLOGFILE does nothing by itself. */
TAPS_API int taps_security_parameters_set_key_log_file(taps_security_parameters *parameters, const char *path);
/* In order of preference, 1 to 255 bytes each. Ids that are registered for one transport are offered only there: "h3"
   over QUIC, "h2" over TLS over TCP; those that are not registered everywhere. QUIC is used only where one is given for
   it. */
TAPS_API int taps_security_parameters_add_alpn(taps_security_parameters *parameters, const char *protocol);
/* Only the protocols allowed are used; the first call replaces the default (all). */
TAPS_API int taps_security_parameters_allow_protocol(taps_security_parameters *parameters,
                                                     enum taps_security_protocol protocol);
/* Nothing below this version of TLS: 1.3 leaves out TLS 1.2 and DTLS 1.2, not QUIC. TAPS_E_RANGE for what is no version
   of TLS. */
TAPS_API int taps_security_parameters_set_minimum_version(taps_security_parameters *parameters,
                                                          enum taps_security_protocol protocol);
/* The name to check and to send as SNI when the Remote Endpoint has none, or another. */
TAPS_API int taps_security_parameters_set_server_name(taps_security_parameters *parameters, const char *name);
/* When listening: the client must show a certificate that the trusted authorities signed. Default false. */
TAPS_API int taps_security_parameters_require_client_certificate(taps_security_parameters *parameters, bool required);
/* In order of preference, by their IANA or GnuTLS names ("x25519", "AES-128-GCM", "ECDSA-SECP256R1-SHA256"); the
   first call replaces the default. Unknown: TAPS_E_RANGE. */
TAPS_API int taps_security_parameters_add_group(taps_security_parameters *parameters, const char *name);
TAPS_API int taps_security_parameters_add_ciphersuite(taps_security_parameters *parameters, const char *name);
TAPS_API int taps_security_parameters_add_signature_algorithm(taps_security_parameters *parameters, const char *name);
/* Sessions that are kept to be resumed, of Connections with equal parameters. 0: none, so nothing is resumed; default
   64; TAPS_E_RANGE above 65536. The oldest go first. */
TAPS_API int taps_security_parameters_set_max_cached_sessions(taps_security_parameters *parameters, uint64_t count);
/* How long one is kept, in seconds, and no longer than the peer allows; it counts from the handshake that verified the
   peer, however often the session has been resumed since. When listening, how long a client may come back with one. 0:
   none is kept; default 6 hours; TAPS_E_RANGE above 7 days (RFC 8446, 4.6.1). */
TAPS_API int taps_security_parameters_set_cached_session_lifetime(taps_security_parameters *parameters,
                                                                  uint64_t seconds);
/* By the RFC's parameter name and text: ("alpn", "h2,http/1.1"), ("allowedSecurityProtocols", "tls1.3,quic"), of which
   there are "tls1.2", "tls1.3", "dtls1.2" and "quic" ("quicv1" is the same), ("serverCertificate", "cert.pem,key.pem"),
   ("clientCertificate", ...), ("pinnedServerCertificate", "cert.pem,sha256//..."), ("preSharedKey", "identity,hex
   digits"), ("supportedGroup", ...), ("ciphersuite", ...), ("signatureAlgorithm", ...), ("maxCachedSessions", "16"),
   ("cachedSessionLifetimeSeconds", "3600"). Case-insensitive; replaces. */
TAPS_API int taps_security_parameters_set(taps_security_parameters *parameters, const char *name, const char *text);

/* ------------------------------------------------------------------------ the security of a Connection */

/* "TLS 1.3" and the like, or NULL without security; the ALPN protocol chosen, or NULL. */
TAPS_API const char *taps_connection_security(const taps_connection *connection);
/* What its handshake has agreed on, in the names of IANA or GnuTLS; NULL for what the protocol does not have or does
   not tell (a resumed session has no certificates). */
struct taps_security_info {
    const char *protocol;       /* "TLS 1.3" */
    const char *cipher;         /* "AES-128-GCM" */
    const char *group;          /* of the key exchange: "X25519" */
    const char *signature;      /* of the peer: "ECDSA-SECP256R1-SHA256" */
    bool authenticated;         /* the peer's identity was verified */
    unsigned certificate_count; /* that the peer has shown, its own first */
};
/* 0; TAPS_E_STATE before Ready, after the end, and without security. The texts are borrowed until the Connection ends.
 */
TAPS_API int taps_connection_security_info(const taps_connection *connection, struct taps_security_info *ret_info);
/* One of the certificates that the peer has shown, in DER: returns borrowed until the Connection ends; NULL beyond the
   last. */
TAPS_API const void *taps_connection_peer_certificate(const taps_connection *connection, unsigned index,
                                                      size_t *ret_length);
TAPS_API const char *taps_connection_alpn(const taps_connection *connection);
/* Was the session of an earlier Connection resumed (a ticket; RFC 9621, 4.2)? The peer is then as authenticated as it
   was in that. Known when it is ready; of a stream: was its session? See isolateSession, and
   taps_security_parameters_set_max_cached_sessions. */
TAPS_API bool taps_connection_resumed(const taps_connection *connection);
/* Did Messages that are safelyReplayable go as early data (0-RTT), before the handshake was over, and did the peer take
   them? What it does not take is sent again, in order. Of an accepted Connection: did such come? A received Message
   tells for itself (`early`). A Listener takes early data only where zeroRttMsg is preferred or required, and it has
   not more than one ALPN protocol. */
TAPS_API bool taps_connection_early_data(const taps_connection *connection);

#ifdef __cplusplus
}
#endif

#endif
