/*
 * Close with much queued delivers all of it (RFC 9622, 10): over QUIC, in virtual time, by either end, on links that
 * lose and crawl, to a peer that reads when it likes, and of a whole group.
 */
#include <stdlib.h>
#include <string.h>
#include "peer.h"

#define MIB     ((size_t)1024 * 1024)
#define PIECE   ((size_t)1048573) /* of a Send: a prime, so that no piece looks like another at any packet's place */
#define PIECES  tapsi_test_rounds(64, 8, 64)
#define STREAMS 8

struct talk;

/* One end of a stream. The bytes are those of `pattern`. */
struct end {
    struct talk *talk;
    taps_connection *connection;
    size_t pieces, slow; /* `slow`: so many bytes at a time, one time in each millisecond; 0: as they come */
    size_t got, wrong;
    unsigned ready, sent, send_errors, final, closed, errors;
    int code;
    bool answers; /* sends as much when the first byte comes, and Closes */
};

struct talk {
    struct world w;
    taps_context *server;
    taps_preconnection *preconnection;
    taps_listener *listener;
    struct end near[STREAMS], far[STREAMS]; /* of the client, of the server as they came */
    unsigned came;
    struct end as; /* what those are like */
};

static uint8_t pattern[PIECE + 64];

static void make_pattern(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof(pattern); i++) {
        state = state * 1664525u + 1013904223u;
        pattern[i] = (uint8_t)(state >> 24);
    }
}

static void send_pieces(struct end *e)
{
    for (size_t i = 0; i < e->pieces; i++)
        CHECK_INT(taps_connection_send(e->connection, pattern + i, PIECE, NULL, TAPS_SEND_LEND, NULL), 0);
}

/* ------------------------------------------------------------------------------------------------------- events */

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct end *)user)->ready++;
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    ((struct end *)user)->sent++;
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    ((struct end *)user)->send_errors++;
}

static void listen_on(struct end *e)
{
    if (!e->final && !e->closed && !e->errors)
        taps_connection_receive(e->connection, 1, e->slow ? e->slow : 65536, NULL);
}

static void compare(struct end *e, const uint8_t *bytes, size_t length)
{
    while (length) {
        size_t at = e->got % PIECE, count = PIECE - at < length ? PIECE - at : length;
        e->wrong += memcmp(bytes, pattern + at + e->got / PIECE, count) != 0;
        e->got += count;
        bytes += count;
        length -= count;
    }
}

static void on_data(taps_connection *c, const struct taps_received *m, void *user)
{
    struct end *e = user;
    if (e->answers && !e->got && e->pieces) {
        send_pieces(e);
        CHECK_INT(taps_connection_close(c), 0);
    }
    compare(e, m->data, m->length);
    e->final += m->final;
    if (m->final && !e->answers)
        taps_connection_close(c);
    else if (!e->slow)
        listen_on(e);
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct end *)user)->closed++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    ((struct end *)user)->errors++;
    ((struct end *)user)->code = error->code;
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_error,
                                                     .sent = on_sent,
                                                     .send_error = on_send_error,
                                                     .received = on_data,
                                                     .received_partial = on_data,
                                                     .closed = on_closed,
                                                     .connection_error = on_error};

static void came(struct talk *t, taps_connection *c);

static void on_stream(taps_connection *c, taps_connection *stream, void *user)
{
    (void)c;
    came(((struct end *)user)->talk, stream);
}

static void on_received(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    came(user, c);
}

static void came(struct talk *t, taps_connection *c)
{
    static struct taps_connection_events of_server;
    struct end *e = &t->far[t->came++];
    of_server = events;
    of_server.connection_received = on_stream;
    *e = t->as;
    e->talk = t;
    e->connection = c;
    taps_connection_set_events(c, &of_server, e);
    listen_on(e);
}

static const struct taps_listener_events listener_events = {.connection_received = on_received};

/* -------------------------------------------------------------------------------------------------------- world */

static void listen_there(struct talk *t)
{
    static struct tapsi_test_identity identity;
    const struct taps_context_options options = {0};
    taps_security_parameters *security;
    if (!identity.certificate)
        identity = peer_certificate("192.0.2.1", NULL, NULL);
    t->server = world_context(t->w.sim, t->w.server, &options);
    taps_preconnection_new(t->server, &t->preconnection);
    taps_security_parameters_new(&security);
    taps_security_parameters_add_alpn(security, "taps-test");
    taps_security_parameters_add_server_certificate_pem(security, identity.certificate, strlen(identity.certificate),
                                                        identity.key, strlen(identity.key));
    taps_preconnection_add_local_text(t->preconnection, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(t->preconnection, t->w.properties);
    taps_preconnection_set_security_parameters(t->preconnection, security);
    CHECK_INT(taps_preconnection_listen(t->preconnection, &listener_events, t, &t->listener), 0);
    taps_security_parameters_free(security);
}

/* A session with one stream, Ready. */
static void begin(struct talk *t)
{
    make_pattern();
    *t = (struct talk){0};
    world_new(&t->w);
    taps_transport_properties_set(t->w.properties, "multistreaming", "require");
    world_secure(&t->w);
    taps_security_parameters_add_alpn(t->w.security, "taps-test");
    world_start(&t->w);
    listen_there(t);
    world_run_ms(&t->w, 10);
    for (unsigned i = 0; i < STREAMS; i++)
        t->near[i].talk = t;
    taps_preconnection_add_remote_text(t->w.preconnection, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(t->w.preconnection, t->w.properties);
    taps_preconnection_set_security_parameters(t->w.preconnection, t->w.security);
    CHECK_INT(taps_preconnection_initiate(t->w.preconnection, 0, &events, &t->near[0], &t->near[0].connection), 0);
    world_run_ms(&t->w, 200);
    CHECK_INT(t->near[0].ready, 1);
    CHECK_TEXT(taps_connection_stack(t->near[0].connection), "quic");
}

/* Until all of `ends` have ended, with slow readers reading. */
static bool run_to_end(struct talk *t, unsigned count, unsigned limit_s)
{
    uint64_t until = tapsi_sim_now(t->w.sim) + limit_s * TAPSI_SIM_S;
    for (;;) {
        unsigned over = 0;
        for (unsigned i = 0; i < count; i++)
            over += (t->near[i].closed || t->near[i].errors) && (t->far[i].closed || t->far[i].errors);
        if (over == count)
            return true;
        if (tapsi_sim_now(t->w.sim) >= until)
            return false;
        world_run_ms(&t->w, t->as.slow ? 1 : 100);
        for (unsigned i = 0; t->as.slow && i < t->came; i++)
            listen_on(&t->far[i]);
    }
}

static void finish(struct talk *t)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        taps_connection_free(t->near[i].connection);
        taps_connection_free(t->far[i].connection);
    }
    taps_listener_free(t->listener);
    taps_preconnection_free(t->preconnection);
    CHECK_INT(taps_context_free(t->server), 0);
    CHECK_INT(tapsi_sim_host_leaked(t->w.server), 0);
    world_finish(&t->w);
}

/* All that `from` had sent when it Closed came to `to`, and both ended without an error. */
static void check_whole(const struct end *from, const struct end *to)
{
    CHECK_INT(from->sent, from->pieces);
    CHECK_INT(from->send_errors, 0);
    CHECK_INT(from->closed, 1);
    CHECK_INT(from->code, 0);
    CHECK_INT(to->got, from->pieces * PIECE);
    CHECK_INT(to->wrong, 0);
    CHECK_INT(to->final, 1);
    CHECK_INT(to->closed, 1);
    CHECK_INT(to->code, 0);
}

static void close_with_much_queued(struct talk *t, unsigned limit_s)
{
    struct taps_value queued = {.integer = 0};
    t->near[0].pieces = PIECES;
    send_pieces(&t->near[0]);
    CHECK_INT(taps_connection_close(t->near[0].connection), 0);
    taps_connection_get_value(t->near[0].connection, TAPS_QUEUED_BYTES, &queued);
    CHECK_INT(queued.integer, PIECES * PIECE);
    CHECK(run_to_end(t, 1, limit_s));
    check_whole(&t->near[0], &t->far[0]);
    tapsi_test_remark("%zu bytes in %llu ms", t->far[0].got,
                      (unsigned long long)(tapsi_sim_elapsed(t->w.sim) / TAPSI_SIM_MS));
}

/* -------------------------------------------------------------------------------------------------------- tests */

/* proves API-140 */
TEST(close_with_64_mib_queued_delivers_all_of_it)
{
    static struct talk t;
    begin(&t);
    close_with_much_queued(&t, 600);
    finish(&t);
}

/* proves API-140 */
TEST(close_with_64_mib_queued_on_a_slow_link_that_loses_delivers_all_of_it)
{
    static struct talk t;
    begin(&t);
    tapsi_sim_link_loss(t.w.link, 0.01);
    tapsi_sim_link_rate(t.w.link, 20 * 1000 * 1000);
    close_with_much_queued(&t, 3600);
    finish(&t);
}

/* proves API-140: a MiB in each second is longer than the close timeout, which is for peers that never end. */
TEST(close_with_64_mib_queued_waits_for_a_peer_that_reads_slowly)
{
    static struct talk t;
    begin(&t);
    t.as.slow = 1024;
    close_with_much_queued(&t, 600);
    finish(&t);
}

/* proves API-140 */
TEST(a_server_that_closes_with_64_mib_queued_delivers_all_of_it)
{
    static struct talk t;
    begin(&t);
    tapsi_sim_link_loss(t.w.link, 0.01);
    t.as.answers = true;
    t.as.pieces = PIECES;
    CHECK_INT(taps_connection_send(t.near[0].connection, "?", 1, NULL, 0, NULL), 0);
    listen_on(&t.near[0]);
    CHECK(run_to_end(&t, 1, 3600));
    check_whole(&t.far[0], &t.near[0]);
    finish(&t);
}

/* proves API-140, API-144 */
TEST(close_group_with_much_queued_on_eight_streams_delivers_all_of_it)
{
    static struct talk t;
    begin(&t);
    tapsi_sim_link_loss(t.w.link, 0.01);
    for (unsigned i = 1; i < STREAMS; i++)
        CHECK_INT(taps_connection_clone(t.near[0].connection, NULL, NULL, &events, &t.near[i], &t.near[i].connection),
                  0);
    world_run_ms(&t.w, 50);
    for (unsigned i = 0; i < STREAMS; i++) {
        t.near[i].pieces = PIECES / STREAMS;
        send_pieces(&t.near[i]);
    }
    taps_connection_close_group(t.near[0].connection);
    CHECK(run_to_end(&t, STREAMS, 3600));
    CHECK_INT(t.came, STREAMS);
    for (unsigned i = 0; i < STREAMS; i++)
        check_whole(&t.near[i], &t.far[i]);
    finish(&t);
}
