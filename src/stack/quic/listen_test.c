/* The server's endpoint against strangers: what is answered, what is kept of them, and what is not. */
#include <errno.h>
#include <string.h>
#include "stack/quic/test_net.h"

#define S TAPSI_SIM_S

/* A plain socket on the client's host. */
struct stranger {
    struct net *n;
    struct tapsi_platform *p;
    int fd;
    uint8_t got[2048];
};

static void stranger_new(struct stranger *x, struct net *n)
{
    union tapsi_addr server;
    *x = (struct stranger){.n = n, .p = n->platforms[0]};
    tapsi_addr_parse("192.0.2.1", &server);
    tapsi_addr_set_port(&server, PORT);
    x->fd = x->p->ops->socket(x->p, AF_INET, SOCK_DGRAM, 0);
    CHECK(x->fd >= 0);
    CHECK_INT(x->p->ops->connect(x->p, x->fd, &server), 0);
}

static void stranger_send(struct stranger *x, const void *bytes, size_t length)
{
    CHECK_INT(x->p->ops->send(x->p, x->fd, bytes, length, 0), (ssize_t)length);
}

/* The length of the next answer, or a negative errno. */
static ssize_t stranger_hears(struct stranger *x)
{
    net_run(x->n, 25 * MS);
    return x->p->ops->recv(x->p, x->fd, x->got, sizeof(x->got), 0);
}

static void stranger_done(struct stranger *x)
{
    x->p->ops->close(x->p, x->fd);
}

static void open_server(struct net *n)
{
    net_begin(n);
    n->server_echo = true;
    net_open(n);
}

/* The endpoint, found by a session of it. */
static struct quic_endpoint *endpoint(struct net *n)
{
    struct end *c = net_handshake(n);
    if (!c || !c->ready)
        return NULL;
    net_send_text(c, "x", 0);
    net_run(n, 50 * MS);
    return n->server && n->server->layer ? net_session(n->server)->endpoint : NULL;
}

static size_t long_header(uint8_t *packet, uint32_t version, size_t length)
{
    memset(packet, 0, length);
    packet[0] = 0xc0;
    for (int i = 0; i < 4; i++)
        packet[1 + i] = (uint8_t)(version >> (24 - 8 * i));
    packet[5] = 8;
    memset(packet + 6, 0xaa, 8);
    packet[14] = 5;
    memset(packet + 15, 0xbb, 5);
    return length;
}

TEST(a_version_we_do_not_speak_is_answered_with_ours)
{
    struct net n;
    struct stranger x;
    uint8_t packet[1200];
    open_server(&n);
    stranger_new(&x, &n);
    stranger_send(&x, packet, long_header(packet, 0x1a2a3a4a, sizeof(packet)));
    ssize_t length = stranger_hears(&x);
    NEED(length == 1 + 4 + 1 + 5 + 1 + 8 + 4);
    CHECK(memcmp(x.got + 1, "\0\0\0\0\5\xbb\xbb\xbb\xbb\xbb\10\xaa", 12) == 0); /* the IDs change places */
    CHECK(memcmp(x.got + length - 4, "\0\0\0\1", 4) == 0);
    stranger_send(&x, packet, long_header(packet, 0x1a2a3a4a, 1199)); /* too short to be answered */
    CHECK_INT(stranger_hears(&x), -EAGAIN);
    stranger_done(&x);
    net_finish(&n);
}

TEST(packets_of_connections_we_do_not_have_are_reset_and_not_too_often)
{
    struct net n;
    struct stranger x;
    uint8_t packet[100] = {0x40, 1, 2, 3, 4, 5, 6, 7, 8};
    unsigned answers = 0;
    open_server(&n);
    stranger_new(&x, &n);
    stranger_send(&x, packet, sizeof(packet));
    CHECK_INT(stranger_hears(&x), 43);
    CHECK((x.got[0] & 0xc0) == 0x40);
    stranger_send(&x, packet, 43); /* the answer must be shorter */
    CHECK_INT(stranger_hears(&x), -EAGAIN);
    for (int i = 0; i < 500; i++)
        stranger_send(&x, packet, sizeof(packet));
    while (stranger_hears(&x) > 0)
        answers++;
    CHECK(answers <= 100);
    CHECK(answers >= 50);
    stranger_done(&x);
    net_finish(&n);
}

TEST(garbage_makes_nothing_and_disturbs_nobody)
{
    struct net n;
    struct stranger x;
    uint8_t packet[1400];
    open_server(&n);
    struct quic_endpoint *e = endpoint(&n);
    NEED(e);
    unsigned before = e->count;
    stranger_new(&x, &n);
    for (unsigned i = 0; i < 3000; i++) {
        size_t length = 1 + (i * 7919u) % sizeof(packet);
        n.platforms[1]->ops->random(n.platforms[1], packet, length);
        if (i % 3 == 0)
            length = long_header(packet, NGTCP2_PROTO_VER_V1, length < 30 ? 30 : length);
        packet[0] = (uint8_t)(packet[0] | (i % 2 ? 0x40 : 0xc0));
        stranger_send(&x, packet, length);
        if (i % 64 == 0)
            net_run(&n, MS);
    }
    net_run(&n, 15 * S);
    CHECK_INT(e->count, before);
    CHECK_INT(n.half_open, 0);
    net_send_text(n.server, "y", 0);
    net_run(&n, 50 * MS);
    CHECK_INT(n.ends[0].got_length, 2);
    stranger_done(&x);
    net_finish(&n);
}

/* Packets that are whole but for one byte. */
TEST(damaged_packets_disturb_nobody)
{
    struct net n;
    open_server(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    struct quic_session *s = net_session(c);
    uint8_t packet[QUIC_PACKET_MOST];
    union tapsi_addr from = s->remote;
    for (unsigned i = 0; i < 500; i++) {
        n.platforms[0]->ops->random(n.platforms[0], packet, 200);
        packet[0] = 0x40;
        struct tapsi_datagram d = {.data = packet, .length = 20 + i % 180, .ecn = -1, .from = from, .to = s->local};
        tapsi_quic_read(s, &d);
    }
    net_send_text(c, "x", 0);
    net_run(&n, 50 * MS);
    CHECK(net_got(c, "x"));
    net_finish(&n);
}

TEST(under_pressure_the_address_is_validated_first)
{
    struct net n;
    open_server(&n);
    n.half_open = 100; /* of other protocols */
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    CHECK_INT(tapsi_sim_elapsed(n.sim) / MS, 40); /* a round trip more */
    net_send_text(c, "hello", 0);
    net_run(&n, 50 * MS);
    CHECK(net_got(c, "hello"));
    n.half_open -= 100;
    net_finish(&n);
}

/* proves IMPL-12 */
TEST(handshakes_that_never_end_are_bounded_and_forgotten)
{
    struct net n;
    open_server(&n);
    struct quic_endpoint *e = endpoint(&n);
    NEED(e);
    unsigned before = e->count;
    for (int i = 0; i < 200; i++)
        net_connect(&n);
    net_run(&n, 11 * MS);
    CHECK_INT(e->half_open, 64);
    for (unsigned i = 2; i < n.count; i++)
        net_destroy(&n.ends[i], 0);
    net_run(&n, 15 * S);
    CHECK_INT(e->half_open, 0);
    CHECK_INT(e->count, before);
    struct end *c = net_handshake(&n);
    NEED(c);
    CHECK_INT(c->ready, 1);
    net_finish(&n);
}

/* proves API-064 */
TEST(a_listener_that_takes_no_more_lets_strangers_wait)
{
    struct net n;
    open_server(&n);
    tapsi_layer_want(n.listener, 0);
    struct end *c = net_connect(&n);
    NEED(c);
    net_run(&n, 500 * MS);
    CHECK_INT(c->ready, 0);
    CHECK_INT(n.half_open, 0);
    tapsi_layer_want(n.listener, 1);
    CHECK(net_run_until(&n, &c->ready, 1, 2 * S)); /* when the client asks again */
    struct end *d = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    net_run(&n, MS);
    net_send_text(c, "one", 0);
    net_send_text(d, "two", 0);
    net_run(&n, 100 * MS);
    CHECK_INT(n.accepted, 1);
    CHECK(net_got(c, "one"));
    tapsi_layer_want(n.listener, 1);
    net_run(&n, 100 * MS);
    CHECK_INT(n.accepted, 2);
    CHECK(net_got(d, "two"));
    net_finish(&n);
}

TEST(streams_go_on_when_the_listener_is_gone)
{
    struct net n;
    open_server(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send_text(c, "one", 0);
    net_run(&n, 50 * MS);
    tapsi_layer_destroy(n.listener, 0);
    n.listener = NULL;
    struct end *d = net_clone(&n, c, TAPS_BIDIRECTIONAL);
    net_run(&n, MS);
    net_send_text(c, "+", 0);
    net_send_text(d, "two", 0);
    net_run(&n, 100 * MS);
    CHECK(net_got(c, "one+"));
    CHECK(net_got(d, "two")); /* it came by the other stream */
    CHECK_INT(n.accepted, 2);
    net_finish(&n);
}

TEST(a_session_without_streams_ends_with_its_listener)
{
    struct net n;
    open_server(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_run(&n, 50 * MS);
    tapsi_layer_destroy(n.listener, 0);
    n.listener = NULL;
    net_run(&n, 50 * MS);
    CHECK_INT(c->closed, 1);
    CHECK_INT(c->error.pub.code, TAPS_E_ABORTED);
    net_finish(&n);
}

/* The session has a stream that is known, and one that waits. */
static struct end *begin_waiting(struct net *n)
{
    open_server(n);
    tapsi_layer_want(n->listener, 1);
    struct end *c = net_handshake(n), *d = c && c->ready ? net_clone(n, c, TAPS_BIDIRECTIONAL) : NULL;
    if (!d)
        return NULL;
    net_run(n, MS);
    net_send_text(c, "one", 0);
    net_send_text(d, "two", 0);
    net_run(n, 50 * MS);
    CHECK_INT(n->accepted, 1);
    return d;
}

TEST(a_stream_that_waits_for_a_listener_goes_with_it)
{
    struct net n;
    struct end *d = begin_waiting(&n);
    NEED(d && n.server);
    tapsi_layer_destroy(n.listener, 0);
    n.listener = NULL;
    net_destroy(n.server, 0);
    net_run(&n, 50 * MS);
    CHECK_INT(d->closed, 1);
    CHECK_INT(d->error.pub.code, TAPS_E_ABORTED);
    net_finish(&n);
}

/* It held the session and its port. */
TEST(a_loop_may_go_while_a_stream_waits_for_a_listener)
{
    struct net n;
    NEED(begin_waiting(&n));
    net_finish(&n);
}

TEST(an_end_that_was_lost_is_said_again)
{
    struct net n;
    net_begin(&n);
    tapsi_names_free(&n.mem, &n.security[1]->alpn);
    CHECK_INT(tapsi_names_append(&n.mem, &n.security[1]->alpn, "other"), 0);
    net_open(&n);
    struct end *c = net_connect(&n);
    NEED(c);
    net_run(&n, 5 * MS);
    tapsi_sim_fault(n.sim, "192.0.2.2", TAPSI_SIM_BLACKHOLE);
    net_run(&n, 20 * MS);
    tapsi_sim_fault(n.sim, "192.0.2.2", TAPSI_SIM_FINE);
    CHECK(net_run_until(&n, &c->closed, 1, 2 * S)); /* the client's second packet is answered */
    CHECK_INT(c->error.pub.code, TAPS_E_TLS);
    CHECK_INT(c->error.pub.native, GNUTLS_A_NO_APPLICATION_PROTOCOL);
    CHECK_INT(n.half_open, 0);
    net_finish(&n);
}

TEST(a_peer_whose_port_changes_is_followed)
{
    struct net n;
    open_server(&n);
    struct end *c = net_handshake(&n);
    NEED(c && c->ready);
    net_send_text(c, "one", 0);
    net_run(&n, 50 * MS);
    NEED(n.server);
    struct quic_session *server = net_session(n.server);
    union tapsi_addr before = server->remote;
    net_rebind(c);
    net_send_text(c, "two", 0);
    net_run(&n, 200 * MS);
    CHECK(net_got(c, "onetwo"));
    CHECK(!tapsi_addr_equal(&server->remote, &before));
    CHECK_INT(n.server->moves, 1);
    net_finish(&n);
}

/* -------------------------------------------------------------------------------- an address that is not proved */

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *ref)
{
    return ref->user_data;
}

static void make_random(uint8_t *to, size_t length, const ngtcp2_rand_ctx *context)
{
    (void)context;
    memset(to, 7, length);
}

static int make_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t length, void *user)
{
    (void)conn;
    (void)user;
    cid->datalen = length;
    memset(cid->data, 9, length);
    memset(token, 9, NGTCP2_STATELESS_RESET_TOKENLEN);
    return 0;
}

static const ngtcp2_callbacks client_callbacks = {
    .client_initial = ngtcp2_crypto_client_initial_cb,
    .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
    .encrypt = ngtcp2_crypto_encrypt_cb,
    .decrypt = ngtcp2_crypto_decrypt_cb,
    .hp_mask = ngtcp2_crypto_hp_mask_cb,
    .recv_retry = ngtcp2_crypto_recv_retry_cb,
    .rand = make_random,
    .get_new_connection_id = make_cid,
    .update_key = ngtcp2_crypto_update_key_cb,
    .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
    .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
    .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
    .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

/* A client's first packet, with a token that nobody gave it. */
static ngtcp2_ssize write_initial(uint8_t *packet, size_t room, const char *protocol, uint8_t id, const uint8_t *token,
                                  size_t token_length)
{
    const gnutls_datum_t alpn = {(unsigned char *)(uintptr_t)protocol, (unsigned)strlen(protocol)};
    union tapsi_addr here, there;
    gnutls_session_t tls;
    gnutls_certificate_credentials_t credentials;
    ngtcp2_conn *conn;
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_pkt_info info;
    ngtcp2_cid dcid = {.datalen = 16, .data = {1, 2, id}}, scid = {.datalen = 8, .data = {4, 5, 6}};
    tapsi_addr_parse("192.0.2.2", &here);
    tapsi_addr_parse("192.0.2.1", &there);
    ngtcp2_path path = {.local = {&here.sa, tapsi_addr_length(&here)},
                        .remote = {&there.sa, tapsi_addr_length(&there)}};
    ngtcp2_settings_default(&settings);
    settings.initial_ts = TAPSI_SIM_START;
    tapsi_ngtcp2_set_token(&settings, token, token_length, true);
    ngtcp2_transport_params_default(&params);
    CHECK_INT(ngtcp2_conn_client_new(&conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1, &client_callbacks, &settings,
                                     &params, NULL, NULL),
              0);
    ngtcp2_crypto_conn_ref ref = {.get_conn = conn_of, .user_data = conn};
    gnutls_certificate_allocate_credentials(&credentials);
    gnutls_init(&tls, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
    gnutls_session_set_ptr(tls, &ref);
    gnutls_priority_set_direct(tls, "%DISABLE_TLS13_COMPAT_MODE:NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);
    gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_alpn_set_protocols(tls, &alpn, 1, 0);
    CHECK_INT(ngtcp2_crypto_gnutls_configure_client_session(tls), 0);
    ngtcp2_conn_set_tls_native_handle(conn, tls);
    ngtcp2_ssize n = ngtcp2_conn_write_pkt(conn, NULL, &info, packet, room, TAPSI_SIM_START);
    ngtcp2_conn_del(conn);
    gnutls_deinit(tls);
    gnutls_certificate_free_credentials(credentials);
    return n;
}

/* RFC 9000, 8.1: three times what came, unless the address is proved, which a token of nobody does not. */
TEST(a_made_up_token_does_not_lift_the_limit_of_what_is_answered)
{
    static const uint8_t tokens[][24] = {{0}, {NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY, 1, 2}, {99}};
    for (unsigned i = 0; i < 3; i++) {
        struct net n;
        struct stranger x;
        uint8_t packet[1500];
        size_t total = 0;
        open_server(&n);
        stranger_new(&x, &n);
        ngtcp2_ssize length = write_initial(packet, sizeof(packet), "test", 3, tokens[i], i ? sizeof(tokens[i]) : 0);
        CHECK(length >= 1200);
        stranger_send(&x, packet, (size_t)length);
        for (uint64_t end = tapsi_sim_now(n.sim) + 12 * S; tapsi_sim_now(n.sim) < end;) {
            ssize_t got = stranger_hears(&x);
            total += got > 0 ? (size_t)got : 0;
        }
        CHECK(total > 0);
        CHECK(total <= 3 * (size_t)length);
        stranger_done(&x);
        net_finish(&n);
    }
}

/* Each fails at once, so they are not in progress; and what is kept to say so again is bounded. */
TEST(handshakes_that_fail_leave_little_behind)
{
    struct net n;
    struct stranger x;
    uint8_t packet[1500];
    open_server(&n);
    struct quic_endpoint *e = endpoint(&n);
    NEED(e);
    unsigned before = e->count;
    stranger_new(&x, &n);
    for (unsigned i = 0; i < 200; i++) {
        ngtcp2_ssize length = write_initial(packet, sizeof(packet), "other", (uint8_t)i, NULL, 0);
        CHECK(length > 0);
        stranger_send(&x, packet, length > 0 ? (size_t)length : 0);
        net_run(&n, MS);
    }
    net_run(&n, 20 * MS);
    CHECK_INT(e->half_open, 0);
    CHECK(e->count > before);
    CHECK(e->count <= before + QUIC_FAILING_MOST);
    net_run(&n, 10 * S);
    CHECK_INT(e->count, before);
    CHECK_INT(e->failing, 0);
    stranger_done(&x);
    net_finish(&n);
}
