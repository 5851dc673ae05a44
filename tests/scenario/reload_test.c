/* A Listener whose certificates are changed while it listens: nobody is dropped, and who comes next is shown the new
 * ones. The client's pin tells which it was shown. */
#include <string.h>
#include "connection/context.h"
#include "connection/listener.h"
#include "select/security.h"
#include "secret.h"

struct reload {
    struct world w;
    struct peer p;
    struct tapsi_test_identity old, renewed;
};

static void start(struct reload *r)
{
    world_new(&r->w);
    world_secure(&r->w);
    tapsi_sim_dns_answer(r->w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
    r->old = peer_certificate(SECRET_NAME, NULL, NULL);
    r->renewed = peer_certificate(SECRET_NAME, NULL, NULL);
    peer_new(&r->w, r->w.server, &r->p);
    peer_secure(&r->p, &r->old);
    r->p.echo = true;
    peer_listen(&r->w, &r->p, SECRET_V4);
}

static void finish(struct reload *r)
{
    secret_check();
    tapsi_test_identity_free(&r->old);
    tapsi_test_identity_free(&r->renewed);
    peer_done(&r->p);
    world_finish(&r->w);
}

static void pin(struct reload *r, const struct tapsi_test_identity *identity)
{
    tapsi_security_clear(tapsi_security_of(r->w.security), TAPSI_SECURITY_PINS);
    CHECK_INT(taps_security_parameters_pin_server_certificate(r->w.security, identity->certificate,
                                                              strlen(identity->certificate)),
              0);
}

/* From now on the Listener shows this one. */
static int show(struct reload *r, const struct tapsi_test_identity *identity)
{
    peer_secure(&r->p, identity);
    return taps_listener_set_security_parameters(r->p.listeners[0], r->p.security);
}

/* One more client, who wants this certificate. */
static void tell_again(struct reload *r, const struct tapsi_test_identity *wanted)
{
    taps_connection_free(r->w.connection);
    memset(&r->w.heard, 0, sizeof(r->w.heard));
    pin(r, wanted);
    CHECK_INT(taps_preconnection_set_security_parameters(r->w.preconnection, r->w.security), 0);
    CHECK_INT(taps_preconnection_initiate(r->w.preconnection, 3000, &world_events, &r->w, &r->w.connection), 0);
    world_run_until_ready(&r->w);
}

/* proves API-052: new handshakes have the new certificate, and Connections stay. */
TEST(a_renewed_certificate_is_shown_to_the_next_and_nobody_is_dropped)
{
    struct reload r;
    start(&r);
    pin(&r, &r.old);
    secret_tell(&r.w, SECRET_NAME ":443", 3000);
    CHECK_INT(r.w.heard.ready, 1);
    CHECK_INT(show(&r, &r.renewed), 0);
    CHECK(!taps_listener_error(r.p.listeners[0]) || taps_listener_error(r.p.listeners[0])->code == 0);
    world_run_ms(&r.w, 200);
    CHECK(r.w.heard.length >= strlen(SECRET)); /* came back over the Connection of before */
    CHECK_INT(r.w.heard.connection_error + r.w.heard.closed, 0);
    tell_again(&r, &r.renewed);
    CHECK_INT(r.w.heard.ready, 1);
    tell_again(&r, &r.old);
    CHECK_INT(r.w.heard.ready, 0);
    CHECK_INT(r.w.heard.code, TAPS_E_CERTIFICATE_PIN);
    finish(&r);
}

/* proves API-052: who is in the middle of it goes on with what it was shown. */
TEST(a_handshake_in_progress_keeps_the_old_certificate)
{
    struct reload r;
    start(&r);
    pin(&r, &r.old);
    CHECK_INT(taps_security_parameters_set_server_name(r.w.security, SECRET_NAME), 0);
    taps_listener *l = r.p.listeners[0];
    wire_tap(&secret_wire, r.w.context);
    world_initiate(&r.w, SECRET_V4, 3000);
    for (int i = 0; i < 100 && l && !l->half_open; i++)
        world_run_ms(&r.w, 1);
    CHECK(l && l->half_open == 1);
    CHECK_INT(r.w.heard.ready, 0);
    CHECK_INT(show(&r, &r.renewed), 0);
    world_run_until_ready(&r.w);
    CHECK_INT(r.w.heard.ready, 1);
    world_run_ms(&r.w, 50);
    CHECK_INT(r.p.received, 1);
    finish(&r);
}

/* proves API-052: nothing changes when the new ones are no good. */
TEST(parameters_that_cannot_be_used_leave_the_old_ones)
{
    static const char junk[] = "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n";
    struct reload r;
    start(&r);
    taps_listener *l = r.p.listeners[0];
    for (int way = 0; way < 6; way++) {
        static const char *const words[] = {
            "server certificate 1 cannot be used", "server certificate 1 cannot be used",
            "serverCertificate is not set",        "allowedSecurityProtocols",
            "cannot be changed while listening",   "cannot be changed while listening"};
        taps_security_parameters *s = NULL;
        if (way == 4)
            taps_security_parameters_new_disabled(&s);
        else if (way == 5)
            taps_security_parameters_new_opportunistic(&s);
        else
            taps_security_parameters_new(&s);
        const char *chain = way == 0 ? junk : r.old.certificate, *key = way == 1 ? r.renewed.key : r.old.key;
        if (way != 2)
            CHECK_INT(taps_security_parameters_add_server_certificate_pem(s, chain, strlen(chain), key, strlen(key)),
                      0);
        if (way == 3)
            CHECK_INT(taps_security_parameters_set(s, "allowedSecurityProtocols", "dtls1.2"), 0);
        CHECK_INT(taps_listener_set_security_parameters(l, s), TAPS_E_CONFIGURATION);
        const struct taps_error *e = taps_listener_error(l);
        CHECK(e && e->code == TAPS_E_CONFIGURATION);
        if (!e || !e->detail || !strstr(e->detail, words[way]))
            tapsi_test_fail(__FILE__, __LINE__, "way %d: \"%s\"", way, e && e->detail ? e->detail : "");
        taps_security_parameters_free(s);
    }
    pin(&r, &r.old);
    secret_tell(&r.w, SECRET_NAME ":443", 3000);
    CHECK_INT(r.w.heard.ready, 1);
    finish(&r);
}

TEST(a_listener_that_has_stopped_takes_none)
{
    struct reload r;
    start(&r);
    taps_listener *l = r.p.listeners[0];
    CHECK_INT(taps_listener_set_security_parameters(NULL, r.p.security), TAPS_E_ARGUMENT);
    CHECK_INT(taps_listener_set_security_parameters(l, NULL), TAPS_E_ARGUMENT);
    CHECK(!taps_listener_error(NULL));
    CHECK(!taps_listener_error(l));
    CHECK_INT(taps_listener_stop(l), 0);
    CHECK_INT(show(&r, &r.renewed), TAPS_E_STATE);
    CHECK(taps_listener_error(l) && taps_listener_error(l)->code == TAPS_E_STATE);
    finish(&r);
}

/* Before it listens it can be changed too, and as often as one likes. */
TEST(the_last_of_many_changes_counts)
{
    struct reload r;
    start(&r);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(show(&r, &r.renewed), 0);
        CHECK_INT(show(&r, &r.old), 0);
    }
    CHECK_INT(show(&r, &r.renewed), 0);
    pin(&r, &r.renewed);
    secret_tell(&r.w, SECRET_NAME ":443", 3000);
    CHECK_INT(r.w.heard.ready, 1);
    finish(&r);
}

/* A Listener without security has nothing to change. */
TEST(a_listener_without_security_stays_so)
{
    struct world w;
    struct peer p;
    taps_security_parameters *s;
    world_new(&w);
    peer_new(&w, w.server, &p);
    peer_listen(&w, &p, "192.0.2.1:80");
    CHECK_INT(taps_listener_set_security_parameters(p.listeners[0], p.security), 0);
    taps_security_parameters_new(&s);
    CHECK_INT(taps_listener_set_security_parameters(p.listeners[0], s), TAPS_E_CONFIGURATION);
    taps_security_parameters_free(s);
    peer_done(&p);
    world_finish(&w);
}
