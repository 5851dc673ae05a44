/*
 * STARTTLS in a race (RFC 9623, 6): the Framer "starttls" decides for a candidate whether there is TLS, and what
 * follows is the race's affair. Plain text is looked for byte by byte (secret.h).
 */
#include <string.h>
#include <taps/framer.h>
#include "secret.h"

#define CLIENT "starttls:protocol=smtp,name=me.test"
#define SERVER "starttls:protocol=smtp,name=mx.test"

static taps_framer *framer_of(const char *text)
{
    taps_framer *framer = NULL;
    CHECK_INT(taps_framer_new_text(text, &framer), 0);
    return framer;
}

/* The client's Preconnection has the Framer. */
static void begin(struct world *w, bool opportunistic)
{
    world_new(w);
    if (opportunistic)
        secret_opportunistic(w);
    else
        world_secure(w);
    secret_name(w);
}

static void tell(struct world *w, const char *remote)
{
    taps_framer *framer = framer_of(CLIENT);
    if (!w->context)
        world_start(w);
    CHECK_INT(taps_preconnection_add_framer(w->preconnection, framer), 0);
    taps_framer_free(framer);
    secret_tell(w, remote, 20000);
}

/* With TLS behind the Framer, at an address. */
static void serve(struct world *w, struct peer *p, const char *address, bool secure)
{
    struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
    peer_new(w, w->server, p);
    if (secure)
        peer_secure(p, &identity);
    p->echo = true;
    p->framers[0] = framer_of(SERVER);
    peer_listen(w, p, address);
    tapsi_test_identity_free(&identity);
}

/* In clear: it says the greeting and nothing else, however often it is asked. */
static void serve_in_clear(struct world *w, struct peer *p, const char *address, const char *says)
{
    peer_new(w, w->server, p);
    p->greeting = says;
    peer_listen(w, p, address);
}

static void finish(struct world *w, struct peer *p)
{
    peer_done(p);
    world_finish(w);
}

/* proves API-132 */
TEST(tls_begins_above_the_framer_with_the_connections_own_security)
{
    for (int opportunistic = 0; opportunistic < 2; opportunistic++) {
        struct world w;
        struct peer p;
        begin(&w, opportunistic);
        serve(&w, &p, SECRET_V4, true);
        tell(&w, SECRET_NAME ":443");
        CHECK_INT(w.heard.ready, 1);
        CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
        world_run_ms(&w, 200);
        CHECK(peer_has(&p, SECRET));
        CHECK(memmem(w.heard.data, w.heard.length, SECRET, strlen(SECRET)) != NULL);
        CHECK(wire_has_text(&secret_wire, "STARTTLS"));
        CHECK(!wire_has_text(&secret_wire, SECRET));
        finish(&w, &p);
    }
}

TEST(a_certificate_of_another_name_is_refused_behind_starttls_too)
{
    struct world w;
    struct peer p;
    struct tapsi_test_identity identity = peer_certificate("somebody.else", NULL, NULL);
    begin(&w, false);
    peer_new(&w, w.server, &p);
    peer_secure(&p, &identity);
    p.framers[0] = framer_of(SERVER);
    peer_listen(&w, &p, SECRET_V4);
    tell(&w, SECRET_NAME ":443");
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(w.heard.code, TAPS_E_CERTIFICATE_NAME);
    secret_check();
    tapsi_test_identity_free(&identity);
    finish(&w, &p);
}

static const char offers_nothing[] = "220 mx.test\r\n250-mx.test\r\n250 HELP\r\n";
static const char injects[] = "220 mx.test\r\n250-mx.test\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n";

/* proves ARCH-09 */
TEST(a_server_without_starttls_is_never_spoken_to_in_clear_where_security_is_required)
{
    static const char *const says[] = {offers_nothing, injects,
                                       "220 mx.test\r\n250-mx.test\r\n250 STARTTLS\r\n454 not now\r\n",
                                       "554 go away\r\n", "\x16\x03\x01\r\n"};
    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        struct world w;
        struct peer p;
        begin(&w, false);
        serve_in_clear(&w, &p, SECRET_V4, says[i]);
        tell(&w, SECRET_V4);
        CHECK_INT(w.heard.ready, 0);
        CHECK_INT(w.heard.establishment_error, 1);
        CHECK(strstr(w.heard.detail, "starttls: ") != NULL);
        secret_check();
        finish(&w, &p);
    }
}

/* proves ARCH-09, IMPL-09: what the first address lacks, the next one has. */
TEST(the_race_goes_on_to_an_address_that_has_it)
{
    for (int opportunistic = 0; opportunistic < 2; opportunistic++) {
        struct world w;
        struct peer p, clear;
        begin(&w, opportunistic);
        serve_in_clear(&w, &clear, SECRET_V6, offers_nothing);
        serve(&w, &p, SECRET_V4, true);
        tell(&w, SECRET_NAME ":443");
        CHECK_INT(w.heard.ready, 1);
        CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
        CHECK_TEXT(world_winner(&w), SECRET_V4);
        world_run_ms(&w, 200);
        CHECK(peer_has(&p, SECRET));
        secret_check();
        peer_done(&clear);
        finish(&w, &p);
    }
}

/* proves ARCH-11: plain text where STARTTLS was found missing on all addresses; the application says the same first,
   for the greeting is gone. */
TEST(opportunistic_goes_in_clear_when_nobody_offers_it)
{
    struct world w;
    struct peer p;
    begin(&w, true);
    serve_in_clear(&w, &p, SECRET_V4, offers_nothing);
    tell(&w, SECRET_V4);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "tcp");
    world_run_ms(&w, 200);
    CHECK(peer_has(&p, SECRET));
    CHECK(memmem(w.heard.data, w.heard.length, "220 ", 4) == NULL);
    CHECK(memmem(w.heard.data, w.heard.length, "250-mx.test", 11) == w.heard.data);
    finish(&w, &p);
}

TEST(without_security_both_ends_only_greet)
{
    struct world w;
    struct peer p;
    world_new(&w);
    serve(&w, &p, SECRET_V4, false);
    tell(&w, SECRET_V4);
    CHECK_INT(w.heard.ready, 1);
    world_run_ms(&w, 200);
    CHECK_INT(p.length, strlen(SECRET));
    CHECK_INT(w.heard.length, strlen(SECRET));
    CHECK(!wire_has_text(&secret_wire, "STARTTLS"));
    finish(&w, &p);
}

/* A server that greets never: silence is no answer. */
TEST(a_server_that_does_not_greet_times_out_and_is_told_nothing)
{
    for (int opportunistic = 0; opportunistic < 2; opportunistic++) {
        struct world w;
        begin(&w, opportunistic);
        tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
        tell(&w, SECRET_V4);
        CHECK_INT(w.heard.ready, 0);
        CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
        secret_check();
        world_finish(&w);
    }
}
