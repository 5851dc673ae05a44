/*
 * OPEN -accept-> ACCEPTED, OPEN -refuse-> REFUSED, by the first who answers. Who can answer holds a reference; when
 * only the handshake holds one, nobody can, and the question is refused.
 *
 * One task serves twice: first it asks, then, after the answer, it resumes the handshake; both from the loop's
 * dispatch, so that no application code runs inside an engine and no engine inside an application's call. While the
 * task is queued it holds a reference. `handshake` is NULL as soon as that is gone: then there is no loop to post to
 * either, and what is left is memory that the last reference frees. It is not the context's memory, since a reference
 * may outlive the context.
 */
#include "stack/secure/question.h"

#include <string.h>
#include "base/str.h"
#include "stack/secure/identity.h"

#define WHY_MAX 128 /* of the application's words */

enum state { OPEN, ACCEPTED, REFUSED };

struct taps_trust_question {
    unsigned refs;
    enum state state;
    struct tapsi_handshake *handshake;
    struct tapsi_task task;
    bool posted;
    struct tapsi_error verdict;
    uint8_t alert; /* of the verdict */
    char why[WHY_MAX];
    char *name;
    struct {
        uint8_t *data;
        size_t length;
    } chain[TAPSI_CHAIN_MAX];
    size_t count;
};

static void free_question(struct taps_trust_question *q)
{
    struct tapsi_mem *mem = tapsi_mem_default();
    for (size_t i = 0; i < q->count; i++)
        tapsi_free(mem, q->chain[i].data);
    tapsi_free(mem, q->name);
    tapsi_free(mem, q);
}

static void drop(struct taps_trust_question *q)
{
    if (--q->refs == 0)
        free_question(q);
}

static void post(struct taps_trust_question *q, void (*run)(struct tapsi_task *))
{
    tapsi_task_init(&q->task, run);
    q->posted = true;
    q->refs++;
    tapsi_loop_post(q->handshake->env->loop, &q->task);
}

static void resume(struct tapsi_task *task)
{
    struct taps_trust_question *q = TAPSI_CONTAINER(task, struct taps_trust_question, task);
    struct tapsi_handshake *h = q->handshake;
    q->posted = false;
    drop(q);
    if (h && h->resume)
        h->resume(h);
}

static void answer(struct taps_trust_question *q, enum state state)
{
    q->state = state;
    if (q->handshake)
        post(q, resume);
}

/* Is there nobody left who could answer? The handshake's reference is one, a queued task's another. */
static void refuse_if_forgotten(struct taps_trust_question *q)
{
    if (q->handshake && q->state == OPEN && !q->posted && q->refs == 1)
        answer(q, REFUSED);
}

static void ask(struct tapsi_task *task)
{
    struct taps_trust_question *q = TAPSI_CONTAINER(task, struct taps_trust_question, task);
    struct tapsi_handshake *h = q->handshake;
    q->posted = false;
    if (h && h->security->trust)
        h->security->trust(q, h->security->trust_user);
    tapsi_question_unref(q);
}

static int copy_chain(struct taps_trust_question *q, const gnutls_datum_t *chain, unsigned count)
{
    for (unsigned i = 0; i < count && i < TAPSI_CHAIN_MAX; i++) {
        uint8_t *copy = tapsi_alloc(tapsi_mem_default(), chain[i].size + 1);
        if (!copy)
            return GNUTLS_E_MEMORY_ERROR;
        memcpy(copy, chain[i].data, chain[i].size);
        q->chain[i].data = copy;
        q->chain[i].length = chain[i].size;
        q->count++;
    }
    return 0;
}

int tapsi_question_ask(struct tapsi_handshake *h, const gnutls_datum_t *chain, unsigned count)
{
    struct taps_trust_question *q = tapsi_zalloc(tapsi_mem_default(), sizeof(*q));
    if (!q)
        return GNUTLS_E_MEMORY_ERROR;
    tapsi_error_clear(&q->verdict);
    q->refs = 1;
    q->name = h->host ? tapsi_strdup(tapsi_mem_default(), h->host) : NULL;
    if (copy_chain(q, chain, count) < 0 || (h->host && !q->name)) {
        free_question(q);
        return GNUTLS_E_MEMORY_ERROR;
    }
    if (h->error && h->error->pub.code) {
        tapsi_error_copy(&q->verdict, h->error);
        tapsi_error_clear(h->error);
        q->alert = h->alert;
    }
    q->handshake = h;
    h->question = q;
    post(q, ask);
    return 0;
}

bool tapsi_question_is_open(const struct taps_trust_question *q)
{
    return q->state == OPEN;
}

int tapsi_question_judge(struct tapsi_handshake *h)
{
    const struct taps_trust_question *q = h->question;
    if (q->state == ACCEPTED) {
        h->verified = h->credentials->verify;
        return 0;
    }
    struct tapsi_error *e = tapsi_handshake_error(h);
    h->alert = q->alert ? q->alert : GNUTLS_A_BAD_CERTIFICATE;
    if (!e)
        return GNUTLS_E_MEMORY_ERROR;
    if (q->verdict.pub.code && !q->why[0])
        tapsi_error_copy(e, &q->verdict);
    else
        tapsi_error_native(e, q->verdict.pub.code ? q->verdict.pub.code : TAPS_E_CERTIFICATE, TAPS_DOMAIN_TLS,
                           GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, "the application does not trust %s%s%s", h->peer,
                           q->why[0] ? ": " : "", q->why);
    return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

void tapsi_question_forget(struct taps_trust_question *q)
{
    if (!q)
        return;
    q->handshake = NULL;
    if (q->posted) {
        tapsi_task_cancel(&q->task);
        q->posted = false;
        q->refs--;
    }
    drop(q);
}

int tapsi_question_answer(struct taps_trust_question *q, bool trusted, const char *why)
{
    if (q->state != OPEN || !q->handshake)
        return TAPS_E_STATE;
    if (why)
        tapsi_format(q->why, sizeof(q->why), "%s", why);
    answer(q, trusted ? ACCEPTED : REFUSED);
    return 0;
}

struct taps_trust_question *tapsi_question_ref(struct taps_trust_question *q)
{
    q->refs++;
    return q;
}

void tapsi_question_unref(struct taps_trust_question *q)
{
    if (q->refs == 1) {
        free_question(q);
        return;
    }
    q->refs--;
    refuse_if_forgotten(q);
}

const void *tapsi_question_certificate(const struct taps_trust_question *q, size_t index, size_t *ret_length)
{
    if (index >= q->count)
        return NULL;
    *ret_length = q->chain[index].length;
    return q->chain[index].data;
}

const char *tapsi_question_name(const struct taps_trust_question *q)
{
    return q->name;
}

const struct taps_error *tapsi_question_verdict(const struct taps_trust_question *q)
{
    return &q->verdict.pub;
}
