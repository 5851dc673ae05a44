/* taps_trust_question_*: arguments, then one call down. */
#include "stack/secure/question.h"

TAPS_API int taps_trust_question_accept(taps_trust_question *q)
{
    return q ? tapsi_question_answer(q, true, NULL) : TAPS_E_ARGUMENT;
}

TAPS_API int taps_trust_question_refuse(taps_trust_question *q, const char *why)
{
    return q ? tapsi_question_answer(q, false, why) : TAPS_E_ARGUMENT;
}

TAPS_API taps_trust_question *taps_trust_question_ref(taps_trust_question *q)
{
    return q ? tapsi_question_ref(q) : NULL;
}

TAPS_API void taps_trust_question_unref(taps_trust_question *q)
{
    if (q)
        tapsi_question_unref(q);
}

TAPS_API const void *taps_trust_question_certificate(const taps_trust_question *q, size_t index, size_t *ret_length)
{
    return q && ret_length ? tapsi_question_certificate(q, index, ret_length) : NULL;
}

TAPS_API const char *taps_trust_question_name(const taps_trust_question *q)
{
    return q ? tapsi_question_name(q) : NULL;
}

TAPS_API const struct taps_error *taps_trust_question_verdict(const taps_trust_question *q)
{
    return q ? tapsi_question_verdict(q) : NULL;
}
