/*
 * Two thousand clients vanish at once, without a word, while the server has something to tell each of them; and a flood
 * of clients that begin a handshake and are not where they say. Whoever comes next is served at once, what the server
 * holds has a bound, and it lets go of those who are gone. In virtual time; tests/scale has it on the kernel.
 */
#include <stdlib.h>
#include <string.h>
#include "peer.h"

#define MANY           tapsi_test_rounds(2000, 100, 2000)
#define MANY_DATAGRAMS tapsi_test_rounds(500, 100, 2000)
#define FLOOD          tapsi_test_rounds(1500, 200, 1500)
#define AT_ONCE        50
#define IDLE_S         30
/* What pools and tables may keep for the next crowd. */
/* The pools of the loop keep up to nine buffers of 68 KiB, and the application has its Connections. */
#define LEFT         ((size_t)768 * 1024 + (size_t)many * 300)
#define HANDSHAKE_MS 60 /* to an echo: three round trips of DTLS or of QUIC after Retry, and one more of 10 ms each */

struct town;

struct house {
    struct town *town;
    taps_connection *connection;
    unsigned ready, echoes, ends;
};

struct town {
    struct world w;
    bool datagrams; /* DTLS; else QUIC */
    taps_context *server, *late;
    taps_preconnection *server_preconnection, *late_preconnection;
    taps_listener *listener;
    struct taps_allocator allocator;
    size_t bytes, most; /* of the server's */
    taps_connection *accepted[4096];
    unsigned count, alive, errors, begun;
    struct house *houses, newcomer;
};

/* ---------------------------------------------------------------------------------------------- what it holds */

static void *resize(void *user, void *block, size_t size)
{
    struct town *t = user;
    size_t *old = block ? (size_t *)block - 2 : NULL, was = old ? *old : 0;
    if (size == 0) {
        t->bytes -= was;
        free(old);
        return NULL;
    }
    size_t *fresh = realloc(old, size + 2 * sizeof(size_t));
    if (!fresh)
        return NULL;
    *fresh = size;
    t->bytes += size - was;
    t->most = t->bytes > t->most ? t->bytes : t->most;
    return fresh + 2;
}

/* ------------------------------------------------------------------------------------------------------ server */

static void server_heard(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)user;
    taps_connection_send(c, m->data, m->length, NULL, 0, NULL);
    taps_connection_receive(c, 1, 65536, NULL);
}

static void forget(struct town *t, taps_connection *c)
{
    for (unsigned i = 0; i < t->count; i++) {
        if (t->accepted[i] == c)
            t->accepted[i] = NULL;
    }
    t->alive--;
    taps_connection_free(c);
}

static void server_closed(taps_connection *c, void *user)
{
    forget(user, c);
}

static void server_lost(taps_connection *c, const struct taps_error *error, void *user)
{
    struct town *t = user;
    t->errors += error->code == TAPS_E_TIMEOUT;
    forget(t, c);
}

static const struct taps_connection_events server_events = {.received = server_heard,
                                                            .received_partial = server_heard,
                                                            .closed = server_closed,
                                                            .connection_error = server_lost};

static void on_received(taps_listener *l, taps_connection *c, void *user)
{
    struct town *t = user;
    (void)l;
    t->accepted[t->count++] = c;
    t->alive++;
    taps_connection_set_events(c, &server_events, t);
    taps_connection_receive(c, 1, 65536, NULL);
}

static const struct taps_listener_events listener_events = {.connection_received = on_received};

static void listen_there(struct town *t)
{
    static struct tapsi_test_identity identity;
    taps_security_parameters *security;
    if (!identity.certificate)
        identity = peer_certificate("192.0.2.1", NULL, NULL);
    t->allocator = (struct taps_allocator){resize, t};
    const struct taps_context_options options = {.allocator = &t->allocator};
    t->server = world_context(t->w.sim, t->w.server, &options);
    taps_preconnection_new(t->server, &t->server_preconnection);
    taps_security_parameters_new(&security);
    taps_security_parameters_add_alpn(security, "taps-test");
    taps_security_parameters_add_server_certificate_pem(security, identity.certificate, strlen(identity.certificate),
                                                        identity.key, strlen(identity.key));
    taps_preconnection_add_local_text(t->server_preconnection, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(t->server_preconnection, t->w.properties);
    taps_preconnection_set_security_parameters(t->server_preconnection, security);
    CHECK_INT(taps_preconnection_listen(t->server_preconnection, &listener_events, t, &t->listener), 0);
    taps_security_parameters_free(security);
}

/* ----------------------------------------------------------------------------------------------------- clients */

static void on_ready(taps_connection *c, void *user)
{
    ((struct house *)user)->ready++;
    taps_connection_send(c, "?", 1, NULL, 0, NULL);
    taps_connection_receive(c, 1, 65536, NULL);
}

static void on_echo(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)c;
    ((struct house *)user)->echoes += m->length != 0;
}

static void on_end(taps_connection *c, void *user)
{
    (void)c;
    ((struct house *)user)->ends++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)error;
    on_end(c, user);
}

static const struct taps_connection_events client_events = {.ready = on_ready,
                                                            .received = on_echo,
                                                            .received_partial = on_echo,
                                                            .closed = on_end,
                                                            .establishment_error = on_error,
                                                            .connection_error = on_error};

static void prepare(struct town *t, taps_preconnection *p)
{
    taps_preconnection_add_remote_text(p, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(p, t->w.properties);
    taps_preconnection_set_security_parameters(p, t->w.security);
}

/* Somebody on another host of the same network. */
static void move_in(struct town *t)
{
    const struct taps_context_options options = {0};
    struct tapsi_sim_host *host = tapsi_sim_host_new(t->w.sim, "late");
    tapsi_sim_link_join(t->w.link, tapsi_sim_interface_new(host, "eth0", TAPSI_IF_ETHERNET, "192.0.2.7/24"));
    t->late = world_context(t->w.sim, host, &options);
    taps_preconnection_new(t->late, &t->late_preconnection);
    prepare(t, t->late_preconnection);
    t->newcomer.town = t;
    CHECK_INT(taps_preconnection_initiate(t->late_preconnection, 0, &client_events, &t->newcomer,
                                          &t->newcomer.connection),
              0);
}

static void begin(struct town *t, unsigned houses, bool datagrams)
{
    *t = (struct town){.datagrams = datagrams, .houses = calloc(houses, sizeof(struct house))};
    world_new(&t->w);
    if (datagrams) {
        taps_transport_properties_free(t->w.properties);
        taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &t->w.properties);
    } else {
        taps_transport_properties_set(t->w.properties, "multistreaming", "require");
    }
    taps_transport_properties_set(t->w.properties, "connTimeout", "30");
    world_secure(&t->w);
    taps_security_parameters_add_alpn(t->w.security, "taps-test");
    taps_security_parameters_allow_protocol(t->w.security, datagrams ? TAPS_DTLS_1_2 : TAPS_QUIC_1);
    world_start(&t->w);
    prepare(t, t->w.preconnection);
    listen_there(t);
    world_run_ms(&t->w, 10);
}

static void initiate_some(struct town *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++, t->begun++) {
        struct house *h = &t->houses[t->begun];
        h->town = t;
        CHECK_INT(taps_preconnection_initiate(t->w.preconnection, 0, &client_events, h, &h->connection), 0);
    }
}

static void vanish(struct town *t)
{
    tapsi_sim_interface_up(t->w.client_if, false);
    for (unsigned i = 0; i < t->begun; i++)
        taps_connection_free(t->houses[i].connection);
    t->begun = 0;
}

static void finish(struct town *t)
{
    CHECK_INT(t->newcomer.ends, 0);
    taps_connection_free(t->newcomer.connection);
    taps_preconnection_free(t->late_preconnection);
    CHECK_INT(taps_context_free(t->late), 0);
    for (unsigned i = 0; i < t->count; i++)
        taps_connection_free(t->accepted[i]);
    taps_listener_free(t->listener);
    taps_preconnection_free(t->server_preconnection);
    CHECK_INT(taps_context_free(t->server), 0);
    CHECK_INT(t->bytes, 0);
    free(t->houses);
    world_finish(&t->w);
}

/* A new one has his answer in the time of his handshake. */
static void check_newcomer(struct town *t)
{
    move_in(t);
    world_run_ms(&t->w, HANDSHAKE_MS);
    CHECK_INT(t->newcomer.ready, 1);
    CHECK_INT(t->newcomer.echoes, 1);
}

/* Only the newcomer does. */
static void talk_on(struct town *t, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i += 10) {
        taps_connection_send(t->newcomer.connection, "?", 1, NULL, 0, NULL);
        world_run_ms(&t->w, 10000);
    }
}

/* -------------------------------------------------------------------------------------------------------- tests */

static void all_vanish(bool datagrams)
{
    static struct town t;
    unsigned many = datagrams ? MANY_DATAGRAMS : MANY, arrived = 0;
    begin(&t, many, datagrams);
    size_t before = t.bytes;
    while (t.begun < many) {
        initiate_some(&t, AT_ONCE);
        world_run_ms(&t.w, HANDSHAKE_MS);
    }
    for (unsigned i = 0; i < many; i++)
        arrived += t.houses[i].echoes == 1;
    CHECK_INT(arrived, many);
    CHECK_INT(t.alive, many);
    size_t each = (t.bytes - before) / many;
    vanish(&t);
    for (unsigned i = 0; i < many; i++)
        CHECK_INT(taps_connection_send(t.accepted[i], "are you there?", 14, NULL, 0, NULL), 0);
    world_run_ms(&t.w, 1000);
    CHECK_INT(t.alive, many);
    check_newcomer(&t);
    if (datagrams) { /* where nothing says that somebody is gone, the application does */
        for (unsigned i = 0; i < many; i++)
            taps_connection_close(t.accepted[i]);
        world_run_ms(&t.w, 1000);
    } else {
        talk_on(&t, 4 * IDLE_S);
        CHECK_INT(t.errors, many);
    }
    CHECK_INT(t.alive, 1);
    tapsi_test_remark("%zu bytes for each, %zu KiB left", each, (t.bytes - before) / 1024);
    CHECK(t.bytes - before < LEFT);
    finish(&t);
}

/* proves API-063, API-082 */
TEST(clients_of_quic_that_vanish_at_once_are_let_go_of_and_keep_nobody_waiting)
{
    all_vanish(false);
}

/* proves API-063 */
TEST(clients_of_dtls_that_vanish_at_once_keep_nobody_waiting)
{
    all_vanish(true);
}

/* They do not hear what the server answers: as if each had given the address of somebody else. */
static void flood(bool datagrams, size_t cap)
{
    static struct town t;
    unsigned many = FLOOD;
    begin(&t, many, datagrams);
    size_t before = t.bytes;
    tapsi_sim_fault(t.w.sim, "192.0.2.2", TAPSI_SIM_BLACKHOLE);
    for (unsigned i = 0; i < 10; i++) {
        initiate_some(&t, many / 10);
        world_run_ms(&t.w, 50);
    }
    CHECK_INT(t.count, 0);
    CHECK(t.most - before < cap);
    check_newcomer(&t);
    vanish(&t);
    talk_on(&t, 60);
    CHECK_INT(t.alive, 1);
    tapsi_test_remark("%zu KiB at most, %zu left", (t.most - before) / 1024, (t.bytes - before) / 1024);
    CHECK(t.bytes - before < LEFT);
    finish(&t);
}

/* From 64 handshakes on it is Retry, which keeps nothing. */
TEST(a_flood_of_quic_clients_who_are_not_there_is_bounded)
{
    flood(false, (size_t)64 * 100 * 1024);
}

/* The cookie keeps nothing from the first on. */
TEST(a_flood_of_dtls_clients_who_are_not_there_keeps_nothing)
{
    flood(true, (size_t)150 * 1024);
}
