/*
 * Two ends that say good-bye to one another in every order there is: words, the end of a direction, Close, reading or
 * not, each at a moment of chance. On a network that loses nothing nobody waits for anybody: both are over at once, and
 * who hears of the other's end has all that was sent before it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peer.h"

#define REMOTE "192.0.2.1:443"

struct end {
    taps_connection *connection;
    bool reads, waiting, final, got_final, closed_first, closing;
    size_t sent, received;
    unsigned ends, errors;
    int code;
};

struct talk {
    struct world w;
    struct tapsi_test_identity identity;
    taps_context *server;
    taps_listener *listener;
    struct end ends[2]; /* of the client, of the server */
    uint32_t dice;
    bool secure, ready;
};

static unsigned dice(struct talk *t, unsigned sides)
{
    t->dice = t->dice * 1664525u + 1013904223u;
    return (t->dice >> 16) % sides;
}

/* ------------------------------------------------------------------------------------------------- events */

static void ask(struct end *e)
{
    if (e->reads && !e->waiting && e->connection)
        e->waiting = taps_connection_receive(e->connection, 1, 65536, NULL) == 0;
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct end *e = user;
    (void)c;
    e->waiting = false;
    e->received += m->length;
    e->got_final = m->final;
    if (!m->final)
        ask(e);
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    ((struct end *)user)->waiting = false;
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct end *)user)->ends++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct end *e = user;
    on_closed(c, user);
    e->errors++;
    e->code = error->code;
}

static const struct taps_connection_events events = {.received = on_received,
                                                     .received_partial = on_received,
                                                     .receive_error = on_receive_error,
                                                     .closed = on_closed,
                                                     .establishment_error = on_error,
                                                     .connection_error = on_error};

static void on_accepted(taps_listener *l, taps_connection *c, void *user)
{
    struct talk *t = user;
    (void)l;
    t->ends[1].connection = c;
    taps_connection_set_events(c, &events, &t->ends[1]);
    ask(&t->ends[1]);
}

static const struct taps_listener_events listener_events = {.connection_received = on_accepted};

/* --------------------------------------------------------------------------------------------------- the talk */

static void listen_there(struct talk *t)
{
    taps_preconnection *p;
    taps_security_parameters *s;
    const char *own = t->identity.certificate, *key = t->identity.key;
    taps_preconnection_new(t->server, &p);
    if (t->secure) {
        taps_security_parameters_new(&s);
        taps_security_parameters_add_server_certificate_pem(s, own, strlen(own), key, strlen(key));
    } else {
        taps_security_parameters_new_disabled(&s);
    }
    taps_preconnection_add_local_text(p, REMOTE);
    taps_preconnection_set_security_parameters(p, s);
    CHECK_INT(taps_preconnection_listen(p, &listener_events, t, &t->listener), 0);
    taps_security_parameters_free(s);
    taps_preconnection_free(p);
    world_run_ms(&t->w, 1);
}

static void meet(struct talk *t, uint32_t seed, bool secure)
{
    *t = (struct talk){.dice = seed * 2654435761u, .secure = secure};
    t->identity = peer_certificate("192.0.2.1", NULL, NULL);
    world_new(&t->w);
    if (secure)
        world_secure(&t->w);
    tapsi_sim_link_jitter(t->w.link, 3 * TAPSI_SIM_MS);
    world_start(&t->w);
    t->server = world_context(t->w.sim, t->w.server, NULL);
    listen_there(t);
    taps_preconnection_add_remote_text(t->w.preconnection, REMOTE);
    taps_preconnection_set_security_parameters(t->w.preconnection, t->w.security);
    CHECK_INT(taps_preconnection_initiate(t->w.preconnection, 5000, &events, &t->ends[0], &t->ends[0].connection), 0);
    world_run_ms(&t->w, dice(t, 2) ? 100 : 0); /* or what is said waits for it */
}

static void say(struct end *e, size_t length, bool final)
{
    static const char words[200000];
    taps_message_context *context;
    if (e->final || e->closing || !e->connection)
        return;
    taps_message_context_new(&context);
    taps_message_context_set(context, "final", final ? "true" : "false");
    if (taps_connection_send(e->connection, words, length, context, 0, NULL) == 0) {
        e->sent += length;
        e->final = final;
    }
    taps_message_context_free(context);
}

static void say_good_bye(struct talk *t, int which)
{
    struct end *e = &t->ends[which];
    if (e->closing || !e->connection)
        return;
    e->closed_first = !t->ends[!which].closing;
    e->closing = taps_connection_close(e->connection) == 0;
}

static void step(struct talk *t)
{
    int which = (int)dice(t, 2);
    struct end *e = &t->ends[which];
    switch (dice(t, 12)) {
    case 0:
    case 1:
    case 2:
        say(e, dice(t, 300), false);
        break;
    case 3:
        say(e, dice(t, 200000), false);
        break;
    case 4:
        if (dice(t, 3) == 0)
            say(e, dice(t, 100), true);
        break;
    case 5:
        if (dice(t, 4) == 0)
            say_good_bye(t, which);
        break;
    case 6:
    case 7:
        e->reads = true;
        ask(e);
        break;
    case 8:
        e->reads = false;
        break;
    default:
        world_run_ms(&t->w, dice(t, 8));
    }
}

static bool over(const struct talk *t)
{
    return t->ends[0].ends && (!t->ends[1].connection || t->ends[1].ends);
}

/* Both read on and Close. The bound is far below _closeTimeout, the only thing that would end a wait in vain. */
#define AT_ONCE_MS 3000

static void part(struct talk *t)
{
    for (int i = 0; i < 2; i++) {
        t->ends[i].reads = true;
        ask(&t->ends[i]);
    }
    world_run_ms(&t->w, dice(t, 2) ? 1000 : dice(t, 20));
    say_good_bye(t, 0);
    world_run_ms(&t->w, dice(t, 30));
    say_good_bye(t, 1);
    for (int i = 0; i < AT_ONCE_MS / 50 && !over(t); i++) {
        world_run_ms(&t->w, 50);
        say_good_bye(t, 1); /* it may have come only now */
    }
}

static void check_end(const struct talk *t, int which, uint32_t seed)
{
    const struct end *e = &t->ends[which], *other = &t->ends[!which];
    const char *who = which ? "server" : "client";
    if (!e->connection)
        return;
    if (!e->ends)
        tapsi_test_fail(__FILE__, __LINE__, "seed %u, secure %d: the %s is not over", (unsigned)seed, t->secure, who);
    if (e->errors && e->code == TAPS_E_TIMEOUT)
        tapsi_test_fail(__FILE__, __LINE__, "seed %u, secure %d: the %s timed out", (unsigned)seed, t->secure, who);
    if (e->closed_first && !other->closing && e->errors && e->code != TAPS_E_CANCELLED) /* before Ready */
        tapsi_test_fail(__FILE__, __LINE__, "seed %u, secure %d: the %s got %s", (unsigned)seed, t->secure, who,
                        taps_err_name(e->code));
    if (e->received > other->sent || (e->got_final && e->received != other->sent))
        tapsi_test_fail(__FILE__, __LINE__, "seed %u: the %s did not get what was sent", (unsigned)seed, who);
}

static void talk(uint32_t seed, bool secure)
{
    struct talk t;
    meet(&t, seed, secure);
    for (int i = 0; i < 40; i++)
        step(&t);
    part(&t);
    check_end(&t, 0, seed);
    check_end(&t, 1, seed);
    for (int i = 0; i < 2; i++)
        taps_connection_free(t.ends[i].connection);
    taps_listener_free(t.listener);
    CHECK_INT(taps_context_free(t.server), 0);
    world_finish(&t.w);
    tapsi_test_identity_free(&t.identity);
}

/* proves API-140, API-143, API-145 */
TEST(good_byes_in_any_order_are_over_at_once)
{
    unsigned rounds = tapsi_test_rounds(300, 60, 20000);
    tapsi_test_limit(tapsi_test_rounds(60, 120, 1200));
    for (uint32_t seed = 1; seed <= rounds && !tapsi_test_failed(); seed++) {
        talk(tapsi_test_seed() ? tapsi_test_seed() : seed, false);
        talk(tapsi_test_seed() ? tapsi_test_seed() : seed, true);
    }
}
