/* Security parameters over QUIC: the application that is asked, pre-shared keys, pins. */
#include <string.h>
#include "stack/quic/test_net.h"
#include "stack/secure/test_certificates.h"

#define S TAPSI_SIM_S

enum way { ACCEPT, REFUSE, KEEP };

struct asked {
    enum way way;
    unsigned times;
    int verdict;
    taps_trust_question *kept;
};

static void on_question(taps_trust_question *q, void *user)
{
    struct asked *a = user;
    a->times++;
    a->verdict = taps_trust_question_verdict(q)->code;
    if (a->way == ACCEPT)
        CHECK_INT(taps_trust_question_accept(q), 0);
    if (a->way == REFUSE)
        CHECK_INT(taps_trust_question_refuse(q, "not today"), 0);
    if (a->way == KEEP)
        a->kept = taps_trust_question_ref(q);
}

static void begin(struct net *n, struct asked *a, enum way way)
{
    net_begin(n);
    *a = (struct asked){.way = way};
    n->security[0]->trust = on_question;
    n->security[0]->trust_user = a;
    n->server_echo = true;
}

/* proves API-058 */
TEST(an_answer_at_once)
{
    for (int bad = 0; bad < 2; bad++) {
        struct net n;
        struct asked a;
        begin(&n, &a, ACCEPT);
        n.server_name = bad ? "other.test" : n.server_name;
        net_open(&n);
        struct end *c = net_handshake(&n);
        NEED(c);
        CHECK_INT(c->ready, 1);
        CHECK(c->info.authenticated);
        CHECK_INT(a.times, 1);
        CHECK_INT(a.verdict, bad ? TAPS_E_CERTIFICATE_NAME : 0);
        CHECK_INT(net_send_text(c, "hello", TAPSI_OP_END), 0);
        CHECK(net_run_until_bytes(&n, c, 5, S));
        net_finish(&n);
    }
}

/* proves API-058: Ready waits for the answer, and nothing of the application's leaves before. */
TEST(ready_waits_for_an_answer_that_comes_later)
{
    struct net n;
    struct asked a;
    begin(&n, &a, KEEP);
    net_open(&n);
    struct end *c = net_connect(&n);
    NEED(c);
    net_run(&n, 3 * S);
    CHECK_INT(a.times, 1);
    CHECK_INT(c->ready + c->closed, 0);
    CHECK_INT(n.accepted, 0);
    NEED(a.kept);
    CHECK_INT(taps_trust_question_accept(a.kept), 0);
    CHECK_INT(c->ready, 0);
    taps_trust_question_unref(a.kept);
    CHECK(net_run_until(&n, &c->ready, 1, S));
    CHECK_INT(net_send_text(c, "hello", TAPSI_OP_END), 0);
    CHECK(net_run_until_bytes(&n, c, 5, S));
    net_finish(&n);
}

/* proves API-058 */
TEST(a_refusal_ends_it_and_the_peer_hears_of_it)
{
    for (enum way way = REFUSE; way <= KEEP; way++) {
        struct net n;
        struct asked a;
        begin(&n, &a, way);
        net_open(&n);
        struct end *c = net_connect(&n);
        NEED(c);
        net_run(&n, S);
        if (a.kept) {
            CHECK_INT(c->closed, 0);
            CHECK_INT(taps_trust_question_refuse(a.kept, "not today"), 0);
            taps_trust_question_unref(a.kept);
            net_run(&n, S);
        }
        CHECK_INT(c->ready, 0);
        CHECK_INT(c->closed, 1);
        CHECK_INT(c->error.pub.code, TAPS_E_CERTIFICATE);
        CHECK(strstr(c->error.text, "not today") != NULL);
        CHECK_INT(n.accepted, 0);
        CHECK_INT(n.half_open, 0);
        net_finish(&n);
    }
}

/* proves API-058: late answers are harmless. */
TEST(destroyed_while_the_application_thinks)
{
    for (int answered = 0; answered < 2; answered++) {
        struct net n;
        struct asked a;
        begin(&n, &a, KEEP);
        net_open(&n);
        struct end *c = net_connect(&n);
        NEED(c);
        net_run(&n, S);
        NEED(a.kept);
        if (answered)
            CHECK_INT(taps_trust_question_accept(a.kept), 0);
        tapsi_layer_destroy(c->layer, 0);
        c->layer = NULL;
        net_run(&n, S);
        CHECK_INT(taps_trust_question_accept(a.kept), TAPS_E_STATE);
        CHECK_INT(c->ready, 0);
        net_finish(&n);
        taps_trust_question_unref(a.kept);
    }
}

/* proves API-057 */
TEST(a_pre_shared_key_instead_of_certificates)
{
    for (int wrong = 0; wrong < 3; wrong++) {
        struct net n;
        net_begin(&n);
        for (int i = 0; i < 2; i++) {
            tapsi_security_clear(n.security[i], TAPSI_SECURITY_SERVER);
            tapsi_bytes_free_list(n.security[i]->mem, n.security[i]->authorities, &n.security[i]->authority_count);
        }
        CHECK_INT(tapsi_security_add_psk(n.security[0], "me", "0123456789abcdef", 16), 0);
        CHECK_INT(tapsi_security_add_psk(n.security[1], wrong == 1 ? "you" : "me",
                                         wrong == 2 ? "0123456789abcdeF" : "0123456789abcdef", 16),
                  0);
        n.server_echo = true;
        net_open(&n);
        struct end *c = net_handshake(&n);
        NEED(c);
        CHECK_INT(c->ready, !wrong);
        CHECK_INT(c->info.authenticated, !wrong);
        CHECK_INT(c->closed, wrong != 0);
        CHECK(!wrong || strstr(c->error.text, "pre-shared key") != NULL);
        net_finish(&n);
    }
}

/* proves API-053 */
TEST(a_pin_of_another_key)
{
    static const uint8_t hash[TAPSI_KEY_PIN] = {1, 2, 3};
    struct net n;
    net_begin(&n);
    CHECK_INT(tapsi_security_add_key_pin(n.security[0], hash), 0);
    net_open(&n);
    struct end *c = net_handshake(&n);
    NEED(c);
    CHECK_INT(c->ready, 0);
    CHECK_INT(c->error.pub.code, TAPS_E_CERTIFICATE_PIN);
    net_finish(&n);
}

/* The server's session, which nobody above knows yet. */
static struct quic_session *first_session(struct net *n)
{
    union tapsi_addr local;
    struct tapsi_target target = {.local = &local};
    tapsi_addr_parse("192.0.2.1", &local);
    tapsi_addr_set_port(&local, PORT);
    struct tapsi_port_user *user = tapsi_port_holder(n->envs[1], &target, TAPSI_PORT_QUIC);
    struct quic_endpoint *e = user ? TAPSI_CONTAINER(user, struct quic_endpoint, user) : NULL;
    struct tapsi_link *first = e ? tapsi_list_first(&e->sessions) : NULL;
    return first ? TAPSI_CONTAINER(first, struct quic_session, member) : NULL;
}

/* proves API-058: whatever a client does that the application has not judged, nothing of it goes up. */
TEST(a_client_that_closes_before_it_is_judged_is_not_let_in)
{
    for (int at_once = 0; at_once < 2; at_once++) {
        struct net n;
        struct asked a = {.way = KEEP};
        net_begin(&n);
        struct tapsi_test_identity ca =
            tapsi_test_identity(&(struct tapsi_test_subject){.name = "Clients", .authority = true}, NULL);
        struct tapsi_test_identity client =
            tapsi_test_identity(&(struct tapsi_test_subject){.name = "client", .purpose = TAPSI_TEST_CLIENT}, &ca);
        CHECK_INT(tapsi_security_add_authority(n.security[1], ca.certificate, strlen(ca.certificate)), 0);
        CHECK_INT(tapsi_security_add_client(n.security[0], client.certificate, strlen(client.certificate), client.key,
                                            strlen(client.key)),
                  0);
        n.security[1]->require_client_certificate = true;
        n.security[1]->trust = on_question;
        n.security[1]->trust_user = &a;
        net_open(&n);
        struct end *c = net_handshake(&n);
        NEED(c && c->ready);
        CHECK_INT(net_send_text(c, "hello", TAPSI_OP_FINAL | TAPSI_OP_END), 0);
        net_run(&n, 50 * MS);
        CHECK_INT(a.times, 1);
        CHECK_INT(n.accepted, 0);
        struct quic_session *s = first_session(&n);
        NEED(s && s->asked);
        if (at_once) { /* as if the handshake's end, the stream and the close had come together */
            s->asked = false;
            s->completed = true;
            tapsi_quic_peer_closed(s);
        }
        net_destroy(c, 0);
        net_run(&n, S);
        CHECK_INT(n.accepted, 0);
        taps_trust_question_unref(a.kept);
        tapsi_test_identity_free(&client);
        tapsi_test_identity_free(&ca);
        net_finish(&n);
    }
}
