/* The Framer "mqtt" in whole Connections: two of this library, one of which is the server. */
#include <string.h>
#include <taps/framer.h>
#include "peer.h"

#define V4 "192.0.2.1:1883"
#define V6 "[2001:db8::1]:1883"

static taps_framer *framer_of(const char *text)
{
    taps_framer *framer = NULL;
    int err = taps_framer_new_text(text, &framer);
    CHECK(err == 0 || err == TAPS_E_MEMORY);
    return framer;
}

static void serve(struct world *w, struct peer *p, const char *address, const char *framer)
{
    peer_new(w, w->server, p);
    p->echo = true;
    p->framers[0] = framer_of(framer);
    peer_listen(w, p, address);
}

static void connect_to(struct world *w, const char *remote, const char *text)
{
    taps_framer *framer = framer_of(text);
    if (!w->context)
        world_start(w);
    if (framer)
        CHECK_INT(taps_preconnection_add_framer(w->preconnection, framer), 0);
    taps_framer_free(framer);
    world_initiate(w, remote, 10000);
    world_run_until_ready(w);
}

static void finish(struct world *w, struct peer *p)
{
    peer_done(p);
    world_finish(w);
}

/* proves API-130, API-132 */
TEST(messages_go_there_and_back_with_each_qos)
{
    static const char *const clients[] = {"mqtt:topic=t,qos=0", "mqtt:topic=t,qos=1,in-flight=1",
                                          "mqtt:topic=t,qos=2,in-flight=2"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        struct peer p;
        static char large[20000];
        memset(large, 'x', sizeof(large));
        world_new(&w);
        serve(&w, &p, V4, clients[i]);
        w.keep_reading = true;
        connect_to(&w, V4, clients[i]);
        CHECK_INT(w.heard.ready, 1);
        taps_connection_receive(w.connection, 1, 65536, NULL);
        taps_connection_send(w.connection, "one", 3, NULL, 0, NULL);
        taps_connection_send(w.connection, large, sizeof(large), NULL, 0, NULL);
        taps_connection_send(w.connection, "three", 5, NULL, 0, NULL);
        world_run_ms(&w, 1000);
        CHECK_INT(w.heard.sent, 3);
        CHECK_INT(p.length, sizeof(large) + 8);
        CHECK_INT(w.heard.length, sizeof(large) + 8);
        taps_connection_close(w.connection);
        world_run_until_end(&w);
        CHECK_INT(w.heard.closed, 1);
        world_run_ms(&w, 1000);
        CHECK_INT(p.failed, 0); /* as it would have without a DISCONNECT */
        finish(&w, &p);
    }
}

/* proves API-132, IMPL-07 */
TEST(a_server_that_refuses_leaves_the_race_to_the_next)
{
    struct world w;
    struct peer p, strict;
    world_new(&w);
    tapsi_sim_dns_answer(w.dns, "example.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(w.dns, "example.test", "A", "192.0.2.1", 0);
    serve(&w, &strict, V6, "mqtt:user=a,password=b");
    serve(&w, &p, V4, "mqtt");
    connect_to(&w, "example.test:1883", "mqtt:topic=t");
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(world_winner(&w), V4);
    CHECK_INT(strict.received, 0);
    peer_done(&strict);
    finish(&w, &p);
}

TEST(a_refusal_by_the_only_server_is_told_in_its_words)
{
    struct world w;
    struct peer p;
    world_new(&w);
    serve(&w, &p, V4, "mqtt:user=a,password=b");
    connect_to(&w, V4, "mqtt:user=a,password=c");
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(w.heard.code, TAPS_E_PERMISSION);
    CHECK(strstr(w.heard.detail, "the user name or the password is wrong") != NULL);
    finish(&w, &p);
}

/* proves API-121 */
TEST(who_only_publishes_needs_no_receive)
{
    struct world w;
    struct peer p;
    world_new(&w);
    serve(&w, &p, V4, "mqtt");
    p.echo = false;
    connect_to(&w, V4, "mqtt:topic=t,qos=1,in-flight=4,keep-alive=10");
    for (int i = 0; i < 100; i++)
        taps_connection_send(w.connection, "0123456789", 10, NULL, 0, NULL);
    world_run_ms(&w, 5000);
    CHECK_INT(w.heard.sent, 100);
    CHECK_INT(p.length, 1000);
    world_run_ms(&w, 120000); /* pings, and their answers */
    CHECK_INT(w.heard.connection_error, 0);
    CHECK_INT(p.failed, 0);
    finish(&w, &p);
}

/* A server that takes the TCP connection and never says a word of MQTT. */
TEST(a_server_that_is_silent_times_out)
{
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 1883, TAPSI_SIM_SILENT);
    connect_to(&w, V4, "mqtt");
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    world_finish(&w);
}
