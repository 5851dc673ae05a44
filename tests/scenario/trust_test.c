/* The application says whom to trust: the callback of RFC 9622, 6.3.8, and pre-shared keys, through the public API. */
#include <string.h>
#include "connection/context.h"
#include "secret.h"

enum way { ACCEPT, REFUSE, KEEP };

struct asked {
    enum way way;
    unsigned times;
    bool inside_call;
    int verdict;
    char name[64];
    struct world *world;
    taps_trust_question *kept;
};

static void on_question(taps_trust_question *q, void *user)
{
    struct asked *a = user;
    const char *name = taps_trust_question_name(q);
    a->times++;
    a->inside_call |= a->world->in_call;
    a->verdict = taps_trust_question_verdict(q)->code;
    strncpy(a->name, name ? name : "", sizeof(a->name) - 1);
    if (a->way == ACCEPT)
        taps_trust_question_accept(q);
    if (a->way == REFUSE)
        taps_trust_question_refuse(q, NULL);
    if (a->way == KEEP)
        a->kept = taps_trust_question_ref(q);
}

/* A server whose certificate nobody has signed. */
static void begin(struct world *w, struct peer *p, struct asked *a, enum way way)
{
    struct tapsi_test_subject subject = {.name = "server", .names = SECRET_NAME, .steady = true};
    struct tapsi_test_identity stranger = tapsi_test_identity(&subject, NULL);
    world_new(w);
    world_secure(w);
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "A", "192.0.2.1", 0);
    peer_new(w, w->server, p);
    peer_secure(p, &stranger);
    p->echo = true;
    peer_listen(w, p, SECRET_V4);
    memset(a, 0, sizeof(*a));
    a->way = way;
    a->world = w;
    taps_security_parameters_set_trust_callback(w->security, on_question, a);
    tapsi_test_identity_free(&stranger);
}

static void finish(struct world *w, struct peer *p)
{
    secret_check();
    peer_done(p);
    world_finish(w);
}

/* proves API-058 */
TEST(who_is_accepted_is_told_the_secret)
{
    struct world w;
    struct peer p;
    struct asked a;
    begin(&w, &p, &a, ACCEPT);
    secret_tell(&w, SECRET_NAME ":443", 3000);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(a.times, 1);
    CHECK(!a.inside_call);
    CHECK_INT(a.verdict, TAPS_E_CERTIFICATE);
    CHECK_TEXT(a.name, SECRET_NAME);
    world_run_ms(&w, 100);
    CHECK(peer_has(&p, SECRET));
    finish(&w, &p);
}

/* proves API-058: blocks establishment until it is answered, and nothing else. */
TEST(who_is_thought_about_is_told_nothing)
{
    struct world w;
    struct peer p;
    struct asked a;
    begin(&w, &p, &a, KEEP);
    world_initiate(&w, SECRET_NAME ":443", 5000);
    if (w.initiated == 0)
        taps_connection_send(w.connection, SECRET, strlen(SECRET), NULL, 0, NULL);
    world_run_ms(&w, 2000);
    CHECK_INT(a.times, 1);
    CHECK_INT(w.heard.ready + w.heard.establishment_error, 0);
    CHECK_INT(p.received, 0);
    w.in_call = true;
    if (a.kept)
        CHECK_INT(taps_trust_question_accept(a.kept), 0);
    w.in_call = false;
    taps_trust_question_unref(a.kept);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(w.heard.inside_call, 0);
    CHECK(peer_has(&p, SECRET));
    finish(&w, &p);
}

/* proves API-058, ARCH-09 */
TEST(who_is_refused_is_told_nothing)
{
    for (int late = 0; late < 2; late++) {
        struct world w;
        struct peer p;
        struct asked a;
        begin(&w, &p, &a, late ? KEEP : REFUSE);
        world_initiate(&w, SECRET_NAME ":443", 1000);
        if (w.initiated == 0)
            taps_connection_send(w.connection, SECRET, strlen(SECRET), NULL, 0, NULL);
        world_run_ms(&w, 3000); /* late: the deadline comes first */
        CHECK_INT(w.heard.ready, 0);
        CHECK_INT(w.heard.establishment_error, 1);
        CHECK_INT(w.heard.code, late ? TAPS_E_TIMEOUT : TAPS_E_CERTIFICATE);
        CHECK_INT(p.received, 0);
        if (a.kept)
            CHECK_INT(taps_trust_question_accept(a.kept), TAPS_E_STATE);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.ready, 0);
        CHECK_INT(w.heard.after_end, 0);
        finish(&w, &p);
        taps_trust_question_unref(a.kept);
    }
}

/* The Connection goes while the application thinks. proves API-058 */
TEST(an_answer_for_a_connection_that_is_gone)
{
    struct world w;
    struct peer p;
    struct asked a;
    begin(&w, &p, &a, KEEP);
    world_initiate(&w, SECRET_NAME ":443", 5000);
    world_run_ms(&w, 500);
    CHECK_INT(a.times, 1);
    taps_connection_free(w.connection);
    w.connection = NULL;
    world_run_ms(&w, 10);
    if (a.kept)
        CHECK_INT(taps_trust_question_accept(a.kept), TAPS_E_STATE);
    finish(&w, &p);
    taps_trust_question_unref(a.kept);
}

/* proves API-057: no certificate anywhere, nothing in clear, and another key is no Connection. */
TEST(a_pre_shared_key_is_enough_for_a_secret)
{
    static const char *const keys[] = {"0123456789abcdef", "0123456789abcdeF", NULL};
    for (int i = 0; i < 3; i++) {
        struct world w;
        struct peer p;
        world_new(&w);
        taps_security_parameters_free(w.security);
        taps_security_parameters_new(&w.security);
        peer_new(&w, w.server, &p);
        taps_security_parameters_free(p.security);
        taps_security_parameters_new(&p.security);
        CHECK_INT(taps_security_parameters_add_pre_shared_key(p.security, "me", keys[0], 16), 0);
        p.echo = true;
        peer_listen(&w, &p, SECRET_V4);
        CHECK_INT(taps_security_parameters_add_pre_shared_key(w.security, keys[i] ? "me" : "you", keys[i ? i % 2 : 0],
                                                              16),
                  0);
        secret_tell(&w, SECRET_V4, 3000);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.ready, i == 0);
        CHECK_INT(peer_has(&p, SECRET), i == 0);
        if (i)
            CHECK(strstr(w.heard.detail, "pre-shared key") != NULL);
        finish(&w, &p);
    }
}
