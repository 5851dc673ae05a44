/* The application is asked whether it trusts the peer. proves API-058 throughout */
#include <taps/taps.h>

#include "base/str.h"
#include "base/test.h"
#include "stack/tls/test_pair.h"

enum way { ACCEPT, REFUSE, REFUSE_WITH_WORDS, FORGET, KEEP };

struct asked {
    enum way way;
    unsigned times;
    int verdict;
    char words[300], name[64];
    size_t certificates;
    taps_trust_question *kept;
    bool ready_before;
    const struct tapsi_test_pair *pair;
};

static void on_question(taps_trust_question *q, void *user)
{
    struct asked *a = user;
    size_t length = 0;
    a->times++;
    a->verdict = taps_trust_question_verdict(q)->code;
    tapsi_format(a->words, sizeof(a->words), "%s", a->verdict ? taps_trust_question_verdict(q)->detail : "");
    tapsi_format(a->name, sizeof(a->name), "%s", taps_trust_question_name(q) ? taps_trust_question_name(q) : "");
    while (taps_trust_question_certificate(q, a->certificates, &length) && length > 100)
        a->certificates++;
    a->ready_before = a->pair->client.ready;
    if (a->way == ACCEPT)
        CHECK_INT(taps_trust_question_accept(q), 0);
    if (a->way == REFUSE)
        CHECK_INT(taps_trust_question_refuse(q, NULL), 0);
    if (a->way == REFUSE_WITH_WORDS)
        CHECK_INT(taps_trust_question_refuse(q, "not on my list"), 0);
    if (a->way == KEEP)
        a->kept = taps_trust_question_ref(q);
}

static bool start(struct tapsi_test_pair *p, struct asked *a, enum way way, int version)
{
    if (!tapsi_test_pair_init(p))
        return false;
    *a = (struct asked){.way = way, .pair = p};
    p->security[0]->trust = on_question;
    p->security[0]->trust_user = a;
    CHECK_INT(tapsi_security_allow(p->security[0], (enum taps_security_protocol)version), 0);
    return true;
}

/* In place of the server's: signed by itself, for another name, and expired. */
static void serve_the_worst(struct tapsi_test_pair *p)
{
    struct tapsi_test_identity id = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "x", .names = "other.test", .until = "2021-01-01"}, NULL);
    tapsi_security_clear(p->security[1], TAPSI_SECURITY_SERVER);
    tapsi_test_show(p->security[1], true, &id);
    tapsi_test_identity_free(&id);
}

#define EACH_VERSION                                                                                                   \
    int version = TAPS_TLS_1_2;                                                                                        \
    version <= TAPS_TLS_1_3;                                                                                           \
    version++

/* proves API-058 */
TEST(nothing_is_ready_before_the_answer)
{
    for (EACH_VERSION) {
        struct tapsi_test_pair p;
        struct asked a;
        NEED(start(&p, &a, ACCEPT, version));
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK_INT(a.times, 1);
        CHECK(!a.ready_before);
        CHECK_INT(a.verdict, 0);
        CHECK_TEXT(a.name, "example.test");
        CHECK_INT(a.certificates, 1);
        CHECK(p.client.info.authenticated);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* proves API-058: it may come later. */
TEST(the_answer_may_come_later)
{
    for (EACH_VERSION) {
        struct tapsi_test_pair p;
        struct asked a;
        NEED(start(&p, &a, KEEP, version));
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.ready + p.client.closed, 0);
        CHECK_INT(p.server.ready, 0);
        for (int i = 0; i < 5; i++)
            tapsi_test_pair_run(&p);
        CHECK_INT(a.times, 1);
        CHECK_INT(p.client.ready, 0);
        CHECK_INT(taps_trust_question_accept(a.kept), 0);
        CHECK_INT(p.client.ready, 0); /* never inside the call */
        CHECK_INT(taps_trust_question_accept(a.kept), TAPS_E_STATE);
        CHECK_INT(taps_trust_question_refuse(a.kept, NULL), TAPS_E_STATE);
        taps_trust_question_unref(a.kept);
        tapsi_test_pair_run(&p);
        CHECK_INT(p.client.ready, 1);
        CHECK_INT(p.server.ready, 1);
        CHECK(p.client.info.authenticated);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* proves API-058 */
TEST(refusing_fails_the_handshake_of_a_good_certificate)
{
    for (EACH_VERSION) {
        for (enum way way = REFUSE; way <= FORGET; way++) {
            struct tapsi_test_pair p;
            struct asked a;
            NEED(start(&p, &a, way, version));
            CHECK(!tapsi_test_pair_handshake(&p));
            CHECK_INT(a.times, 1);
            CHECK_INT(p.client.ready + p.server.ready, 0);
            CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE);
            CHECK(strstr(p.client.error.text, "the application does not trust the peer example.test") != NULL);
            CHECK_INT(strstr(p.client.error.text, "not on my list") != NULL, way == REFUSE_WITH_WORDS);
            CHECK(strstr(p.server.error.text, "bad certificate") != NULL);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
        }
    }
}

/* proves API-058: accepting overrules an unknown authority, another name and a wrong time. */
TEST(accepting_overrules_the_librarys_verdict)
{
    for (EACH_VERSION) {
        struct tapsi_test_pair p;
        struct asked a;
        NEED(start(&p, &a, ACCEPT, version));
        serve_the_worst(&p);
        CHECK(tapsi_test_pair_handshake(&p));
        CHECK_INT(a.verdict, TAPS_E_CERTIFICATE);
        CHECK(strstr(a.words, "is signed by itself") != NULL);
        CHECK(p.client.info.authenticated);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

TEST(refusing_a_bad_certificate_tells_what_the_library_found)
{
    for (EACH_VERSION) {
        struct tapsi_test_pair p;
        struct asked a;
        NEED(start(&p, &a, version == TAPS_TLS_1_2 ? REFUSE : FORGET, version));
        serve_the_worst(&p);
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE);
        CHECK(strstr(p.client.error.text, "is signed by itself") != NULL);
        CHECK(strstr(p.server.error.text, "unknown ca") != NULL);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* proves API-053: pins are the application's own word, and stand. */
TEST(a_pin_that_fails_is_not_asked_about)
{
    for (EACH_VERSION) {
        struct tapsi_test_pair p;
        struct asked a;
        NEED(start(&p, &a, ACCEPT, version));
        CHECK_INT(tapsi_security_add_key_pin_text(p.security[0],
                                                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                  0);
        CHECK(!tapsi_test_pair_handshake(&p));
        CHECK_INT(a.times, 0);
        CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE_PIN);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* proves API-058: late answers are harmless, also when context and memory are gone. */
TEST(an_answer_when_nobody_waits_any_more)
{
    for (EACH_VERSION) {
        for (int reference = 0; reference < 2; reference++) {
            struct tapsi_test_pair p;
            struct asked a;
            NEED(start(&p, &a, KEEP, version));
            CHECK(!tapsi_test_pair_handshake(&p));
            tapsi_test_destroy(&p.client, 0);
            tapsi_test_pair_run(&p);
            CHECK_INT(taps_trust_question_accept(a.kept), TAPS_E_STATE);
            if (reference)
                taps_trust_question_unref(a.kept);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
            if (reference)
                continue;
            size_t length;
            CHECK_INT(taps_trust_question_refuse(a.kept, "too late"), TAPS_E_STATE);
            CHECK(taps_trust_question_certificate(a.kept, 0, &length) != NULL);
            CHECK(taps_trust_question_certificate(a.kept, 1, &length) == NULL);
            taps_trust_question_unref(a.kept);
        }
    }
}

/* Destroyed between the answer and what follows it. */
TEST(destroyed_just_after_the_answer)
{
    struct tapsi_test_pair p;
    struct asked a;
    NEED(start(&p, &a, KEEP, TAPS_TLS_1_3));
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(taps_trust_question_accept(a.kept), 0);
    tapsi_test_destroy(&p.client, 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.ready, 0);
    taps_trust_question_unref(a.kept);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* Kept and given back without an answer: nobody can answer any more. */
TEST(the_last_reference_refuses)
{
    struct tapsi_test_pair p;
    struct asked a;
    NEED(start(&p, &a, KEEP, TAPS_TLS_1_3));
    CHECK(!tapsi_test_pair_handshake(&p));
    taps_trust_question_unref(a.kept);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* The peer goes away while the application thinks. */
TEST(the_peer_may_leave_meanwhile)
{
    struct tapsi_test_pair p;
    struct asked a;
    NEED(start(&p, &a, KEEP, TAPS_TLS_1_3));
    CHECK(!tapsi_test_pair_handshake(&p));
    tapsi_test_stream_reset(p.client.stream);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(p.client.ready, 0);
    taps_trust_question_accept(a.kept);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.ready, 0);
    taps_trust_question_unref(a.kept);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* proves API-058: a server is asked about its clients. */
TEST(a_server_is_asked_about_the_clients_certificate)
{
    for (EACH_VERSION) {
        for (enum way way = ACCEPT; way <= REFUSE; way++) {
            struct tapsi_test_pair p;
            struct asked a;
            /* By name it is the authority that the server asks for, or GnuTLS would not show it. */
            struct tapsi_test_identity other =
                tapsi_test_identity(&(struct tapsi_test_subject){.name = "Test Authority", .authority = true}, NULL);
            struct tapsi_test_identity stranger = tapsi_test_identity(
                &(struct tapsi_test_subject){.name = "client", .purpose = TAPSI_TEST_CLIENT}, &other);
            NEED(start(&p, &a, way, version));
            p.security[0]->trust = NULL;
            p.security[1]->trust = on_question;
            p.security[1]->trust_user = &a;
            p.security[1]->require_client_certificate = true;
            tapsi_test_trust(p.security[1], tapsi_test_authority());
            tapsi_test_show(p.security[0], false, &stranger);
            CHECK_INT(tapsi_test_pair_handshake(&p), way == ACCEPT);
            CHECK_INT(a.times, 1);
            CHECK_TEXT(a.name, "");
            CHECK_INT(a.verdict, TAPS_E_CERTIFICATE);
            CHECK_INT(p.server.info.authenticated, way == ACCEPT);
            CHECK_INT(tapsi_test_pair_done(&p), 0);
            tapsi_test_identity_free(&stranger);
            tapsi_test_identity_free(&other);
        }
    }
}

TEST(nothing_is_not_a_question)
{
    size_t length;
    CHECK_INT(taps_trust_question_accept(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_trust_question_refuse(NULL, NULL), TAPS_E_ARGUMENT);
    CHECK(!taps_trust_question_ref(NULL));
    taps_trust_question_unref(NULL);
    CHECK(!taps_trust_question_certificate(NULL, 0, &length));
    CHECK(!taps_trust_question_name(NULL));
    CHECK(!taps_trust_question_verdict(NULL));
}

/* Every allocation fails once: nobody is trusted unasked, and nothing leaked. */
TEST(every_allocation_may_fail)
{
    bool failed = true;
    for (long n = 1; failed; n++) {
        struct tapsi_test_pair p;
        struct asked a;
        NEED(start(&p, &a, n % 2 ? ACCEPT : REFUSE, TAPS_TLS_1_3));
        p.fail_at = p.allocations + n;
        bool ready = tapsi_test_pair_handshake(&p);
        failed = p.allocations >= p.fail_at;
        CHECK(!ready || (a.times == 1 && a.way == ACCEPT));
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}
