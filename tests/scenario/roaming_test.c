/*
 * A long transfer over QUIC while the client's addresses come and go and the NAT between forgets its ports: complete,
 * and every byte where it belongs.
 */
#include <stdio.h>
#include <string.h>
#include "peer.h"

#define PIECE 65521 /* a prime: what came twice, or not at all, shows */
#define PORTS 64

static uint8_t pattern[PIECE];

/* ------------------------------------------------------------------------------------------------------ the NAT */

/* A host that passes on what comes to its port 443, from a port of its own for each address that it sees. */
struct nat {
    struct tapsi_sim_udp *front, *ports[PORTS];
    union tapsi_addr clients[PORTS], server;
    unsigned used, first; /* of `ports`; those below `first` are forgotten */
};

static void from_client(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                        const uint8_t *bytes, size_t count)
{
    struct nat *nat = arg;
    unsigned i = nat->first;
    (void)udp;
    (void)to;
    while (i < nat->used && !tapsi_addr_equal(&nat->clients[i], from))
        i++;
    if (i == PORTS)
        return;
    if (i == nat->used)
        nat->clients[nat->used++] = *from;
    tapsi_sim_udp_reply(nat->ports[i], NULL, &nat->server, bytes, count, 0);
}

static void from_server(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                        const uint8_t *bytes, size_t count)
{
    struct nat *nat = arg;
    (void)from;
    (void)to;
    for (unsigned i = nat->first; i < nat->used; i++) {
        if (nat->ports[i] == udp)
            tapsi_sim_udp_reply(nat->front, NULL, &nat->clients[i], bytes, count, 0);
    }
}

static void nat_new(struct world *w, struct nat *nat)
{
    struct tapsi_sim_host *router = tapsi_sim_host_new(w->sim, "router");
    tapsi_sim_link_join(w->link, tapsi_sim_interface_new(router, "eth0", TAPSI_IF_ETHERNET, "192.0.2.5/24"));
    memset(nat, 0, sizeof(*nat));
    tapsi_addr_parse("192.0.2.1", &nat->server);
    tapsi_addr_set_port(&nat->server, 443);
    nat->front = tapsi_sim_udp_serve(router, 443, from_client, nat);
    for (unsigned i = 0; i < PORTS; i++)
        nat->ports[i] = tapsi_sim_udp_serve(router, (uint16_t)(5000 + i), from_server, nat);
}

/* ----------------------------------------------------------------------------------------------------- the ends */

struct taker {
    taps_connection *connection;
    uint64_t got;
    bool wrong, final;
};

struct giver {
    taps_connection *connection;
    uint64_t sent, limit; /* bytes; of what may be sent yet */
    bool ready, waiting;
    unsigned ended, path_changes;
    char detail[300];
};

static void take(taps_connection *c, const struct taps_received *m, void *user)
{
    struct taker *t = user;
    for (size_t at = 0; at < m->length;) {
        size_t from = (t->got + at) % PIECE, n = m->length - at < PIECE - from ? m->length - at : PIECE - from;
        t->wrong |= memcmp(pattern + from, (const uint8_t *)m->data + at, n) != 0;
        at += n;
    }
    t->got += m->length;
    t->final |= m->final;
    if (!m->final)
        taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static const struct taps_connection_events taker_events = {.received = take, .received_partial = take};

static void take_peer(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    ((struct taker *)user)->connection = c;
    taps_connection_set_events(c, &taker_events, user);
    taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static const struct taps_listener_events listener_events = {.connection_received = take_peer};

static void give(struct giver *g)
{
    g->waiting =
        g->sent < g->limit && taps_connection_send(g->connection, pattern, PIECE, NULL, TAPS_SEND_LEND, NULL) == 0;
    g->sent += g->waiting ? PIECE : 0;
}

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct giver *)user)->ready = true;
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    give(user);
}

static void on_path(taps_connection *c, void *user)
{
    (void)c;
    ((struct giver *)user)->path_changes++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct giver *g = user;
    (void)c;
    g->ended++;
    snprintf(g->detail, sizeof(g->detail), "%s", error->detail);
}

static const struct taps_connection_events giver_events = {.ready = on_ready,
                                                           .sent = on_sent,
                                                           .path_change = on_path,
                                                           .establishment_error = on_error,
                                                           .connection_error = on_error};

/* ------------------------------------------------------------------------------------------------------ the test */

struct journey {
    struct world w;
    struct nat nat;
    struct giver giver;
    struct taker taker;
    taps_context *server;
    taps_listener *listener;
};

static void listen_at_server(struct journey *j)
{
    taps_preconnection *preconnection;
    taps_security_parameters *security;
    struct tapsi_test_identity identity = peer_certificate("192.0.2.5", NULL, NULL);
    j->server = world_context(j->w.sim, j->w.server, NULL);
    taps_security_parameters_new(&security);
    taps_security_parameters_add_alpn(security, "taps-test");
    taps_security_parameters_add_server_certificate_pem(security, identity.certificate, strlen(identity.certificate),
                                                        identity.key, strlen(identity.key));
    tapsi_test_identity_free(&identity);
    taps_preconnection_new(j->server, &preconnection);
    taps_preconnection_add_local_text(preconnection, "192.0.2.1:443");
    taps_preconnection_set_security_parameters(preconnection, security);
    CHECK_INT(taps_preconnection_listen(preconnection, &listener_events, &j->taker, &j->listener), 0);
    taps_security_parameters_free(security);
    taps_preconnection_free(preconnection);
}

static void begin(struct journey *j)
{
    memset(j, 0, sizeof(*j));
    for (size_t i = 0; i < PIECE; i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 13);
    world_new(&j->w);
    nat_new(&j->w, &j->nat);
    world_start(&j->w);
    listen_at_server(j);
    world_secure(&j->w);
    taps_security_parameters_add_alpn(j->w.security, "taps-test");
    taps_transport_properties_set(j->w.properties, "multipath", "active");
    taps_transport_properties_set(j->w.properties, "multistreaming", "require");
    taps_preconnection_add_remote_text(j->w.preconnection, "192.0.2.5:443");
    taps_preconnection_set_transport_properties(j->w.preconnection, j->w.properties);
    taps_preconnection_set_security_parameters(j->w.preconnection, j->w.security);
    CHECK_INT(taps_preconnection_initiate(j->w.preconnection, 0, &giver_events, &j->giver, &j->giver.connection), 0);
    world_run_ms(&j->w, 500);
    CHECK(j->giver.ready);
}

/* One more part may go; then the address is another, or the NAT has forgotten all ports. */
static void let_go(struct journey *j, uint64_t part)
{
    j->giver.limit += part;
    if (!j->giver.waiting)
        give(&j->giver);
}

static void wait_for(struct journey *j, uint64_t bytes)
{
    for (int i = 0; i < 6000 && j->taker.got < bytes && !j->giver.ended; i++)
        world_run_ms(&j->w, 10);
    CHECK(j->taker.got >= bytes);
}

static bool is_at(const struct giver *g, const char *address)
{
    const char *now = taps_endpoint_ip_address(taps_connection_local(g->connection));
    return now && strcmp(now, address) == 0;
}

static void change_address(struct journey *j, unsigned turn)
{
    char old[32], new[32];
    snprintf(old, sizeof(old), "192.0.2.%u/24", turn ? 99 + turn : 2);
    snprintf(new, sizeof(new), "192.0.2.%u/24", 100 + turn);
    tapsi_sim_address_add(j->w.client_if, new, false, false);
    tapsi_sim_address_remove(j->w.client_if, old);
    *strchr(new, '/') = '\0';
    for (int i = 0; i < 1000 && !is_at(&j->giver, new) && !j->giver.ended; i++)
        world_run_ms(&j->w, 10);
    CHECK(is_at(&j->giver, new));
}

static void end(struct journey *j)
{
    taps_connection_free(j->giver.connection);
    taps_connection_free(j->taker.connection);
    taps_listener_free(j->listener);
    CHECK_INT(taps_context_free(j->server), 0);
    world_finish(&j->w);
}

/* proves IMPL-21, API-043, API-096 */
TEST(a_transfer_goes_on_while_addresses_and_ports_change)
{
    static struct journey j;
    unsigned turns = 10;
    uint64_t part = (uint64_t)PIECE * tapsi_test_rounds(8, 2, 160); /* 10 MB, or 200 MiB, of 20 parts */
    begin(&j);
    for (unsigned turn = 0; turn < turns && !j.giver.ended; turn++) {
        let_go(&j, part);
        world_run_ms(&j.w, 15);
        change_address(&j, turn);
        let_go(&j, part);
        world_run_ms(&j.w, 15);
        j.nat.first = j.nat.used; /* all ports are forgotten */
        wait_for(&j, 2 * (turn + 1) * part);
    }
    CHECK_INT(j.giver.ended, 0);
    CHECK_TEXT(j.giver.detail, "");
    CHECK_INT(j.taker.got, 2 * turns * part);
    CHECK(!j.taker.wrong);
    CHECK(j.nat.used >= 2 * turns);
    CHECK(j.giver.path_changes >= turns);
    CHECK_INT(taps_report_move_count(taps_connection_report(j.giver.connection)), turns);
    end(&j);
}
