/* Close delivers: a hundred Connections with 8 MiB each, to plain peers that have read nothing when Close is called. */
#include <stdio.h>
#include <stdlib.h>
#include <taps/taps.h>
#include "base/test.h"
#include "plain.h"

#define PIECES 8 /* of 1 MiB, of each Connection */

struct crowd {
    taps_context *context;
    struct plain_peers peers;
    unsigned size, ready, failed;
    struct member *members;
};

struct member {
    struct crowd *crowd;
    taps_connection *connection;
    unsigned number, sent, send_errors, closed, errors;
    int code;
};

/* ------------------------------------------------------------------------------------------------------ events */

static void on_ready(taps_connection *c, void *user)
{
    struct member *m = user;
    m->crowd->ready++;
    for (unsigned i = 0; i < PIECES; i++)
        CHECK_INT(taps_connection_send(c, plain_content(m->number, i * PLAIN_PIECE), PLAIN_PIECE, NULL, TAPS_SEND_LEND,
                                       NULL),
                  0);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    ((struct member *)user)->sent++;
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    ((struct member *)user)->send_errors++;
}

static void on_closed(taps_connection *c, void *user)
{
    struct member *m = user;
    (void)c;
    m->closed++;
    CHECK_INT(m->sent, PIECES);
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct member *m = user;
    (void)c;
    m->errors++;
    m->code = error->code;
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    printf("# %s\n", error->detail);
    ((struct member *)user)->crowd->failed++;
    on_error(c, error, user);
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_establishment_error,
                                                     .sent = on_sent,
                                                     .send_error = on_send_error,
                                                     .closed = on_closed,
                                                     .connection_error = on_error};

/* ----------------------------------------------------------------------------------------------------- the crowd */

static taps_preconnection *preconnection(const struct crowd *c)
{
    taps_preconnection *p;
    taps_security_parameters *s;
    char remote[40];
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", c->peers.port);
    taps_preconnection_new(c->context, &p);
    CHECK_INT(taps_preconnection_add_remote_text(p, remote), 0);
    if (c->peers.secure) {
        const char *ca = c->peers.authority.certificate;
        taps_security_parameters_new(&s);
        CHECK_INT(taps_security_parameters_add_ca_pem(s, ca, strlen(ca)), 0);
    } else {
        taps_security_parameters_new_disabled(&s);
    }
    CHECK_INT(taps_preconnection_set_security_parameters(p, s), 0);
    taps_security_parameters_free(s);
    return p;
}

/* All are Ready, and have given everything to Send. */
static bool begin(struct crowd *c, unsigned size, bool secure)
{
    *c = (struct crowd){.size = size, .members = calloc(size, sizeof(*c->members))};
    if (!c->members || !plain_begin(&c->peers, size, secure) || taps_context_new(NULL, &c->context))
        return false;
    taps_preconnection *p = preconnection(c);
    for (unsigned i = 0; i < size; i++) {
        c->members[i] = (struct member){.crowd = c, .number = i};
        CHECK_INT(taps_preconnection_initiate(p, 60000, &events, &c->members[i], &c->members[i].connection), 0);
    }
    taps_preconnection_free(p);
    while (c->ready + c->failed < size)
        taps_context_run_once(c->context, 100);
    return c->failed == 0;
}

static bool all_over(const struct crowd *c)
{
    for (unsigned i = 0; i < c->size; i++) {
        if (!c->members[i].closed && !c->members[i].errors)
            return false;
    }
    return true;
}

static void close_all(struct crowd *c)
{
    for (unsigned i = 0; i < c->size; i++) {
        struct taps_value queued = {.integer = 0};
        taps_connection_get_value(c->members[i].connection, TAPS_QUEUED_BYTES, &queued);
        CHECK(queued.integer > PLAIN_PIECE); /* it really has something left to deliver */
        CHECK_INT(taps_connection_close(c->members[i].connection), 0);
    }
    for (int i = 0; i < 20; i++)
        taps_context_run_once(c->context, 1);
    for (unsigned i = 0; i < c->size; i++)
        CHECK_INT(c->members[i].closed + c->members[i].errors, 0); /* nobody reads yet */
    plain_read_now(&c->peers);
    while (!all_over(c))
        taps_context_run_once(c->context, 100);
}

static void finish(struct crowd *c)
{
    for (unsigned i = 0; i < c->size; i++)
        taps_connection_free(c->members[i].connection);
    CHECK_INT(taps_context_free(c->context), 0);
    plain_done(&c->peers);
    free(c->members);
}

/* ------------------------------------------------------------------------------------------------------- tests */

static void check_delivered(const struct crowd *c)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < c->size; i++) {
        const struct member *m = &c->members[i];
        const struct plain_peer *peer = &c->peers.peers[i];
        CHECK_INT(m->closed, 1);
        CHECK_INT(m->errors + m->send_errors, 0);
        CHECK_INT(m->sent, PIECES);
        CHECK(peer->got == PIECES * PLAIN_PIECE);
        CHECK(!peer->wrong);
        CHECK_INT(peer->end, PLAIN_ENDED);
        seen += peer->numbered;
    }
    CHECK_INT(seen, c->size);
}

/* proves API-140: every byte arrives, then the end; Closed comes once, and only then. On TLS with close_notify. */
TEST(a_hundred_closes_deliver_to_slow_plain_peers)
{
    for (int secure = 0; secure < 2; secure++) {
        struct crowd c;
        tapsi_test_limit(300);
        NEED(begin(&c, tapsi_test_rounds(100, 20, 400), secure));
        close_all(&c);
        plain_end(&c.peers);
        check_delivered(&c);
        finish(&c);
    }
}

/* proves API-140 and API-143: a peer that resets in the middle of it makes an error of the Close, once, and never
   Closed. */
TEST(a_close_that_is_reset_is_no_closed)
{
    for (int secure = 0; secure < 2; secure++) {
        struct crowd c;
        tapsi_test_limit(300);
        NEED(begin(&c, 20, secure));
        c.peers.reset_at = PLAIN_PIECE;
        close_all(&c);
        plain_end(&c.peers);
        for (unsigned i = 0; i < c.size; i++) {
            const struct member *m = &c.members[i];
            CHECK_INT(m->closed, 0);
            CHECK_INT(m->errors, 1);
            CHECK_INT(m->code, TAPS_E_ABORTED);
            CHECK_INT(m->sent + m->send_errors, PIECES);
            CHECK(m->send_errors > 0);
        }
        finish(&c);
    }
}
