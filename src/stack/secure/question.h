/* The question to the application whether it trusts a peer (RFC 9622, 6.3.8). */
#ifndef TAPSI_STACK_SECURE_QUESTION_H
#define TAPSI_STACK_SECURE_QUESTION_H

#include "stack/secure/handshake.h"

/* From inside the engine: records the question, with what was found (h->error, which is taken: code 0 = no fault), and
   posts it. Sets h->question. 0 or GNUTLS_E_MEMORY_ERROR. */
int tapsi_question_ask(struct tapsi_handshake *h, const gnutls_datum_t *chain, unsigned count);
bool tapsi_question_is_open(const struct taps_trust_question *question);
/* Of a question that is not open any more: 0 (accepted, and then the peer is verified), or a GnuTLS error with the
   handshake's error and alert filled in. */
int tapsi_question_judge(struct tapsi_handshake *h);
/* The handshake is gone: an answer changes nothing any more. NULL is allowed. */
void tapsi_question_forget(struct taps_trust_question *question);

/* What the public functions do. */
int tapsi_question_answer(struct taps_trust_question *question, bool trusted, const char *why);
struct taps_trust_question *tapsi_question_ref(struct taps_trust_question *question);
void tapsi_question_unref(struct taps_trust_question *question);
const void *tapsi_question_certificate(const struct taps_trust_question *question, size_t index, size_t *ret_length);
const char *tapsi_question_name(const struct taps_trust_question *question);
const struct taps_error *tapsi_question_verdict(const struct taps_trust_question *question);

#endif
