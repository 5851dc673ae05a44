/* QUIC sessions are resumed only as what they were; early data arrives once, in order; a token proves one address. */
#include <gnutls/gnutls.h>
#include <string.h>
#include <time.h>
#include "stack/caches.h"
#include "stack/quic/test_net.h"
#include "stack/secure/test_certificates.h"
#include "stack/secure/tickets.h"

static size_t stored(const struct net *n)
{
    return n->caches[0] && n->caches[0]->tickets ? tapsi_tickets_count(n->caches[0]->tickets) : 0;
}

static void prefer(struct net *n, enum taps_preference wish)
{
    for (int side = 0; side < 2; side++)
        n->properties[side]->values[TAPS_ZERO_RTT_MSG].preference = wish;
}

static void begin(struct net *n)
{
    net_begin(n);
    net_keep(n);
    prefer(n, TAPS_PREFER);
}

/* Other environments: what was made of the parameters goes, unless they are the same; the address tokens go, too. */
static void reopen(struct net *n)
{
    tapsi_layer_destroy(n->listener, 0);
    net_run(n, 2 * TAPSI_SIM_S);
    for (int side = 0; side < 2; side++)
        tapsi_env_unref(n->envs[side]);
    net_open(n);
}

static void renew_security(struct net *n, int side)
{
    struct tapsi_security *old = n->security[side];
    n->security[side] = tapsi_security_copy(old, &n->mem);
    tapsi_security_unref(old);
}

static void forget_sessions(struct net *n, int side)
{
    tapsi_caches_free(n->caches[side]);
    n->caches[side] = NULL;
}

static struct tapsi_ticket *any_ticket(struct net *n, const struct tapsi_ticket *before)
{
    return (struct tapsi_ticket *)(uintptr_t)tapsi_tickets_next(n->caches[0]->tickets, before);
}

/* One Connection, which sends a word each way and leaves its tickets; n->server is then the next. */
static void meet(struct net *n)
{
    struct end *e = net_handshake(n);
    CHECK(e && e->ready);
    if (!e || !e->ready)
        return;
    CHECK(!e->info.resumed);
    net_send_text(e, "x", 0);
    net_run(n, 200 * MS);
    net_destroy(e, 0);
    net_run(n, 200 * MS);
    n->server = NULL;
}

static struct end *come_back(struct net *n)
{
    struct end *e = net_handshake(n);
    CHECK(e && e->ready);
    return e;
}

static struct end *come_back_early(struct net *n, const char *text)
{
    n->early[0] = text;
    n->early[1] = NULL;
    return come_back(n);
}

/* proves IMPL-23, ARCH-16: each time with a ticket of the time before */
TEST(the_second_connection_resumes_the_first)
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    CHECK_INT(stored(&n), 2);
    for (int i = 0; i < 3; i++) {
        struct end *e = come_back(&n);
        NEED(e);
        CHECK(e->info.resumed);
        CHECK(e->info.authenticated);
        CHECK(!e->info.early);
        CHECK_INT(e->info.security, TAPS_QUIC_1);
        net_send_text(e, "hello", 0);
        net_run(&n, 200 * MS);
        CHECK(n.server && net_got(n.server, "hello"));
        CHECK_INT(n.server ? n.server->got_early : 1, 0);
        net_destroy(e, 0);
        net_run(&n, 200 * MS);
        n.server = NULL;
    }
    net_finish(&n);
}

/* proves API-074, IMPL-17 */
TEST(early_data_is_taken_and_marked)
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    struct end *e = come_back_early(&n, "early");
    NEED(e);
    CHECK(e->info.resumed);
    CHECK(e->info.early);
    net_send_text(e, " late", 0);
    net_run(&n, 200 * MS);
    CHECK_INT(e->sent, 2);
    NEED(n.server);
    CHECK(net_got(n.server, "early late"));
    CHECK_INT(n.server->got_early, 5);
    net_finish(&n);
}

/* ------------------------------------------------------------------------------------- under other parameters */

static void check_not_resumed(void (*change)(struct net *n))
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    renew_security(&n, 0);
    change(&n);
    reopen(&n);
    struct end *e = come_back_early(&n, "too early");
    NEED(e);
    CHECK_INT(n.early_room, 0);
    CHECK(!e->info.resumed);
    CHECK(!e->info.early);
    net_send_text(e, "late", 0);
    net_run(&n, 200 * MS);
    CHECK(n.server && net_got(n.server, "late"));
    CHECK_INT(n.server ? n.server->got_early : 1, 0);
    net_finish(&n);
}

static void other_alpn(struct net *n)
{
    CHECK_INT(tapsi_security_add_alpn(n->security[0], "one"), 0);
}

static void other_cipher(struct net *n)
{
    CHECK_INT(tapsi_security_add_ciphersuite(n->security[0], "AES-256-GCM"), 0);
}

static void other_group(struct net *n)
{
    CHECK_INT(tapsi_security_add_group(n->security[0], "secp384r1"), 0);
}

static void isolated_client(struct net *n)
{
    forget_sessions(n, 0);
}

static void other_context(struct net *n)
{
    forget_sessions(n, 0);
    n->caches[0] = tapsi_caches_new(&n->mem);
}

static void one_that_was_damaged(struct net *n) /* its parameters are none, so nothing can go early */
{
    const struct tapsi_ticket *t = NULL;
    while ((t = tapsi_tickets_next(n->caches[0]->tickets, t))) {
        memset((uint8_t *)(uintptr_t)t->transport, 0xff, t->transport_length);
        memset((uint8_t *)(uintptr_t)t->session, 0, t->session_length);
    }
}

/* proves API-089, ARCH-17, API-103: nothing is resumed under other parameters, in isolation, or from another context */
TEST(nothing_is_resumed_under_other_parameters)
{
    check_not_resumed(other_alpn);
    check_not_resumed(other_cipher);
    check_not_resumed(other_group);
    check_not_resumed(isolated_client);
    check_not_resumed(other_context);
    check_not_resumed(one_that_was_damaged);
}

/* The client thinks that it can, and is told otherwise: its streams begin again, and all arrives late. */
static void check_refused(void (*change)(struct net *n))
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    change(&n);
    reopen(&n);
    n.early[0] = "the first, ";
    n.early[1] = "the second, ";
    n.early[2] = NULL;
    struct end *e = come_back(&n);
    NEED(e);
    CHECK(n.early_room > 0);
    CHECK(!e->info.resumed);
    CHECK(!e->info.early);
    CHECK(e->info.authenticated);
    net_run(&n, 100 * MS); /* whether or not more is sent */
    CHECK(n.server && net_got(n.server, "the first, the second, "));
    CHECK_INT(e->sent, 2);
    net_send_text(e, "and the third", TAPSI_OP_FINAL | TAPSI_OP_END);
    net_run(&n, 400 * MS);
    NEED(n.server);
    CHECK(net_got(n.server, "the first, the second, and the third"));
    CHECK_INT(n.server->got_early, 0);
    CHECK_INT(n.server->final, 1);
    CHECK_INT(e->sent, 3);
    CHECK_INT(e->failed, 0);
    net_send_text(n.server, "the answer", 0);
    net_run(&n, 200 * MS);
    CHECK(net_got(e, "the answer"));
    net_finish(&n);
}

static void other_server(struct net *n)
{
    renew_security(n, 1);
}

static void isolated_server(struct net *n)
{
    forget_sessions(n, 1);
}

static void server_of_another_cipher(struct net *n)
{
    renew_security(n, 1);
    CHECK_INT(tapsi_security_add_ciphersuite(n->security[1], "AES-256-GCM"), 0);
}

static void server_of_fewer_streams(struct net *n)
{
    n->properties[1]->values[TAPS_GROUP_CONN_LIMIT].integer = 2;
}

/* proves IMPL-17: GnuTLS takes a ticket under other ciphers, which hangs, and under smaller transport parameters, which
   kills the client; here neither is taken */
TEST(early_data_that_is_refused_is_sent_again_in_order)
{
    check_refused(other_server);
    check_refused(isolated_server);
    check_refused(server_of_another_cipher);
    check_refused(server_of_fewer_streams);
}

/* Its tickets are good, and say that early data is taken. */
TEST(a_server_may_change_its_mind_about_early_data)
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    n.properties[1]->values[TAPS_ZERO_RTT_MSG].preference = TAPS_AVOID;
    reopen(&n);
    struct end *e = come_back_early(&n, "the first, ");
    NEED(e);
    CHECK(n.early_room > 0);
    CHECK(e->info.resumed);
    CHECK(!e->info.early);
    net_send_text(e, "the second", 0);
    net_run(&n, 400 * MS);
    CHECK(n.server && net_got(n.server, "the first, the second"));
    CHECK_INT(n.server ? n.server->got_early : 1, 0);
    net_finish(&n);
}

TEST(a_hello_retry_request_after_early_data_fails_at_once)
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    renew_security(&n, 1);
    CHECK_INT(tapsi_security_add_group(n.security[1], "secp521r1"), 0);
    reopen(&n);
    n.early[0] = "early";
    struct end *e = net_handshake(&n);
    NEED(e);
    CHECK_INT(e->closed, 1);
    CHECK_INT(e->error.pub.code, TAPS_E_TLS);
    CHECK(e->error.pub.detail && strstr(e->error.pub.detail, "asks to begin again, after early data") != NULL);
    CHECK_INT(e->sent + e->failed, 0);
    CHECK_INT(n.accepted, 1);
    e = come_back_early(&n, "late");
    NEED(e);
    CHECK_INT(n.early_room, 0);
    net_finish(&n);
}

/* proves API-034 */
TEST(no_early_data_where_it_is_not_wanted)
{
    static const enum taps_preference wishes[] = {TAPS_PROHIBIT, TAPS_AVOID, TAPS_NO_PREFERENCE, TAPS_REQUIRE};
    for (int i = 0; i < 4; i++) {
        struct net n;
        begin(&n);
        prefer(&n, wishes[i]);
        net_open(&n);
        meet(&n);
        struct end *e = come_back_early(&n, "early");
        NEED(e);
        CHECK(e->info.resumed);
        CHECK_INT(n.early_room > 0, i == 3);
        CHECK_INT(e->info.early, i == 3);
        net_finish(&n);
    }
}

TEST(a_server_of_several_alpn_protocols_takes_no_early_data)
{
    struct net n;
    begin(&n);
    CHECK_INT(tapsi_security_add_alpn(n.security[1], "other"), 0);
    net_open(&n);
    meet(&n);
    const struct tapsi_ticket *t = any_ticket(&n, NULL);
    CHECK(t && t->early == 0); /* RFC 9001, 4.6.1: any number but the largest is a protocol violation */
    struct end *e = come_back_early(&n, "early");
    NEED(e);
    CHECK_INT(n.early_room, 0);
    CHECK(e->info.resumed);
    net_finish(&n);
}

TEST(a_server_without_tickets_gives_none)
{
    struct net n;
    begin(&n);
    forget_sessions(&n, 1);
    net_open(&n);
    meet(&n);
    CHECK_INT(stored(&n), 0);
    net_finish(&n);
}

/* -------------------------------------------------------------------------------------------------- early data */

/* proves API-125: the answer is there when the handshake is done, not a round trip later */
TEST(early_data_is_answered_at_once)
{
    struct net n;
    begin(&n);
    n.server_echo = true;
    net_open(&n);
    meet(&n);
    n.early[0] = "early";
    struct end *e = net_connect(&n);
    NEED(e);
    net_run(&n, 15 * MS);
    CHECK_INT(e->ready, 0);
    CHECK(n.server && net_got(n.server, "early"));
    net_run(&n, 6 * MS);
    CHECK_INT(e->ready, 1);
    CHECK(net_got(e, "early"));
    net_send_text(e, " late", TAPSI_OP_FINAL | TAPSI_OP_END);
    net_run(&n, 100 * MS);
    CHECK(net_got(e, "early late"));
    CHECK_INT(n.server->closed + e->closed, 2);
    CHECK_INT(n.server->error.pub.code + e->error.pub.code, 0);
    net_finish(&n);
}

/* What came up early ends in error when the client vanishes before it has finished its handshake. */
TEST(early_data_of_a_client_that_never_finishes)
{
    struct net n;
    begin(&n);
    n.server_echo = true;
    net_open(&n);
    meet(&n);
    n.early[0] = "early";
    NEED(net_connect(&n));
    net_run(&n, 15 * MS);
    NEED(n.server);
    tapsi_sim_link_up(n.link, false);
    net_run(&n, 20 * TAPSI_SIM_S);
    CHECK_INT(n.server->closed, 1);
    CHECK_INT(n.server->error.pub.code, TAPS_E_TIMEOUT);
    CHECK_INT(n.half_open, 0);
    net_finish(&n);
}

/* The certificate of a session's client is looked at once more when the session is resumed, and before that nothing of
   its early data goes up. */
TEST(early_data_waits_where_clients_show_certificates)
{
    struct net n;
    struct tapsi_test_identity authority =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "Clients", .authority = true}, NULL);
    struct tapsi_test_identity id =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "client", .purpose = TAPSI_TEST_CLIENT}, &authority);
    begin(&n);
    const char *own = id.certificate, *key = id.key, *known = authority.certificate;
    CHECK_INT(tapsi_security_add_client(n.security[0], own, strlen(own), key, strlen(key)), 0);
    CHECK_INT(tapsi_security_add_authority(n.security[1], known, strlen(known)), 0);
    n.security[1]->require_client_certificate = true;
    net_open(&n);
    meet(&n);
    n.early[0] = "early";
    struct end *e = net_connect(&n);
    NEED(e);
    net_run(&n, 25 * MS);
    CHECK(e->info.early);
    CHECK(!n.server);
    net_run(&n, 100 * MS);
    CHECK(n.server && net_got(n.server, "early"));
    CHECK_INT(n.server ? n.server->got_early : 0, 5);
    net_finish(&n);
    tapsi_test_identity_free(&id);
    tapsi_test_identity_free(&authority);
}

TEST(several_messages_go_early_and_the_last_may_be_final)
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    n.early[0] = "one", n.early[1] = "two", n.early[2] = "three", n.early[3] = NULL;
    n.early_flags = TAPSI_OP_FINAL;
    struct end *e = come_back(&n);
    NEED(e);
    CHECK(e->info.early);
    CHECK_INT(net_send_text(e, "four", 0), TAPS_E_CLOSED);
    net_run(&n, 200 * MS);
    NEED(n.server);
    CHECK(net_got(n.server, "onetwothree"));
    CHECK_INT(n.server->got_early, 11);
    CHECK_INT(n.server->final, 1);
    CHECK_INT(e->sent, 3);
    net_finish(&n);
}

/* The session's other streams begin while it is not known what becomes of the early data of the first, which may have
   gone by then. */
TEST(streams_that_are_cloned_during_the_handshake_of_early_data)
{
    for (int i = 0; i < 72; i++) {
        bool refused = i & 1, leaves = i & 2;
        struct net n;
        begin(&n);
        net_open(&n);
        meet(&n);
        if (refused) {
            other_server(&n);
            reopen(&n);
        }
        n.early[0] = "early ", n.early[1] = "twice", n.early[2] = NULL;
        n.early_flags = i & 4 ? TAPSI_OP_FINAL : 0;
        struct end *e = net_connect(&n);
        NEED(e && n.early_room);
        net_run(&n, (uint64_t)i / 8 * 3 * MS);
        struct end *other = net_clone(&n, e, TAPS_BIDIRECTIONAL);
        struct end *third = net_clone(&n, e, TAPS_UNIDIRECTIONAL_SEND);
        NEED(other && third);
        if (leaves)
            net_destroy(e, 0);
        net_run(&n, 100 * MS);
        CHECK_INT(other->ready + third->ready, 2);
        CHECK(!other->info.early && !third->info.early);
        net_send_text(other, "other", TAPSI_OP_END);
        net_send_text(third, "third", TAPSI_OP_END | TAPSI_OP_FINAL);
        net_run(&n, 200 * MS);
        CHECK(leaves || net_got(n.server, "early twice"));
        CHECK(leaves || e->sent == 2);
        unsigned got[2] = {0, 0};
        for (unsigned k = 0; k < n.count; k++) {
            got[0] += net_got(&n.ends[k], "other");
            got[1] += net_got(&n.ends[k], "third");
        }
        CHECK_INT(got[0], 1);
        CHECK_INT(got[1], 1);
        net_finish(&n);
    }
}

TEST(a_stream_of_one_direction_takes_early_data)
{
    struct net n;
    begin(&n);
    n.properties[0]->values[TAPS_DIRECTION].enumeration = TAPS_UNIDIRECTIONAL_SEND;
    net_open(&n);
    meet(&n);
    struct end *e = come_back_early(&n, "early");
    NEED(e);
    CHECK(e->info.early);
    net_run(&n, 200 * MS);
    CHECK(n.server && net_got(n.server, "early"));
    net_finish(&n);
}

/* proves API-074: nothing but what may arrive twice, and no more than there is room for, before the start */
TEST(what_may_not_go_early_is_refused)
{
    struct net n;
    static char much[65537];
    begin(&n);
    net_open(&n);
    meet(&n);
    memset(much, 'x', sizeof(much) - 1);
    n.early[0] = "first", n.early[1] = much, n.early[2] = NULL;
    struct end *e = come_back(&n);
    NEED(e);
    CHECK_INT(n.early_room, 65536);
    net_run(&n, 200 * MS);
    CHECK(n.server && net_got(n.server, "first"));
    n.early[0] = NULL;
    e = net_connect(&n);
    NEED(e);
    CHECK_INT(net_send_text(e, "once only", 0), TAPS_E_CLOSED);
    net_finish(&n);
}

TEST(early_data_in_many_packets_arrives_in_spite_of_loss)
{
    static char much[20001];
    memset(much, 'x', sizeof(much) - 1);
    for (unsigned seed = 0; seed < 6; seed++) {
        struct net n;
        begin(&n);
        net_open(&n);
        meet(&n);
        for (unsigned i = 0; i < seed; i++)
            tapsi_sim_link_loss(n.link, 0.02 * (i + 1));
        n.early[0] = much, n.early[1] = "end", n.early[2] = NULL;
        struct end *e = net_handshake(&n);
        NEED(e && e->ready);
        tapsi_sim_link_loss(n.link, 0);
        net_run(&n, 10 * TAPSI_SIM_S);
        NEED(n.server);
        CHECK_INT(n.server->got_length, sizeof(much) + 2);
        CHECK(memcmp(n.server->got + sizeof(much) - 1, "end", 3) == 0);
        CHECK_INT(e->sent, 2);
        net_finish(&n);
    }
}

/* --------------------------------------------------------------------------------- who has shown a certificate */

static time_t clock_of_gnutls;

static time_t that_time(time_t *to)
{
    if (to)
        *to = clock_of_gnutls;
    return clock_of_gnutls;
}

/* The handshake's end and the close leave together. */
static void leave_when_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    struct end *e = TAPSI_CONTAINER(sink, struct end, sink);
    (void)layer;
    e->ready++;
    e->info = *info;
    net_destroy(e, 0);
}

static const struct tapsi_sink_ops leaving = {.ready = leave_when_ready};

/* proves API-052, ARCH-16: also if it has closed before anybody looks */
TEST(a_client_whose_certificate_has_expired_is_not_known_again)
{
    struct tapsi_test_identity ca =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "Clients", .authority = true}, NULL);
    struct tapsi_test_identity id = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "client", .purpose = TAPSI_TEST_CLIENT, .until = "2030-01-02"}, &ca);
    for (int i = 0; i < 4; i++) {
        bool expired = i & 1, closes = i & 2;
        struct net n;
        begin(&n);
        CHECK_INT(tapsi_security_add_authority(n.security[1], ca.certificate, strlen(ca.certificate)), 0);
        CHECK_INT(tapsi_security_add_client(n.security[0], id.certificate, strlen(id.certificate), id.key,
                                            strlen(id.key)),
                  0);
        n.security[1]->require_client_certificate = true;
        clock_of_gnutls = 1893542400 - 3600; /* an hour before its end */
        gnutls_global_set_time_function(that_time);
        net_open(&n);
        meet(&n);
        CHECK_INT(n.accepted, 1);
        clock_of_gnutls += expired ? 7200 : 1800;
        n.early[0] = "pay 100", n.early[1] = NULL;
        n.early_flags = TAPSI_OP_FINAL;
        struct end *e = net_connect(&n);
        NEED(e && n.early_room);
        if (closes)
            e->sink.ops = &leaving;
        net_run(&n, TAPSI_SIM_S);
        CHECK_INT(e->ready, 1);
        CHECK(e->info.early);
        CHECK_INT(n.accepted, expired ? 1 : 2);
        CHECK(n.server ? !expired && net_got(n.server, "pay 100") : expired);
        gnutls_global_set_time_function(time);
        net_finish(&n);
    }
    tapsi_test_identity_free(&id);
    tapsi_test_identity_free(&ca);
}

/* Loss, packets that come late and twice: taken or not, all of it arrives, once and in order. */
TEST(early_data_through_a_bad_network)
{
    int rounds = (int)tapsi_test_rounds(40, 10, 2000);
    for (int i = 0; i < rounds; i++) {
        struct net n;
        begin(&n);
        n.server_echo = i & 2;
        net_open(&n);
        meet(&n);
        if (i & 1) {
            other_server(&n);
            reopen(&n);
        }
        tapsi_sim_link_loss(n.link, 0.005 * (i % 40));
        tapsi_sim_link_reorder(n.link, 0.01 * (i % 37), 15 * MS);
        tapsi_sim_link_duplicate(n.link, 0.01 * (i % 41));
        n.early[0] = "early", n.early[1] = " twice", n.early[2] = NULL;
        struct end *e = net_handshake(&n);
        NEED(e);
        if (e->ready)
            net_send_text(e, " late", TAPSI_OP_FINAL | TAPSI_OP_END);
        net_run(&n, 15 * TAPSI_SIM_S);
        CHECK(e->closed || (n.server && net_got(n.server, "early twice late")));
        CHECK(!e->ready || e->sent == 3 || e->closed);
        net_finish(&n);
    }
}

/* ------------------------------------------------------------------------------------------- played once more */

static const struct tapsi_platform_ops *real;
static struct tapsi_platform_ops tapped;
static uint8_t flight[4][1500];
static size_t flight_length[4];
static unsigned flight_count;

static void record(const struct msghdr *m)
{
    uint8_t *to = flight_count < 4 ? flight[flight_count] : NULL;
    for (size_t i = 0; to && i < m->msg_iovlen; i++) {
        size_t room = 1500 - flight_length[flight_count], part = m->msg_iov[i].iov_len;
        part = part < room ? part : room;
        memcpy(to + flight_length[flight_count], m->msg_iov[i].iov_base, part);
        flight_length[flight_count] += part;
    }
    flight_count++;
}

static ssize_t on_sendmsg(struct tapsi_platform *p, int fd, const struct msghdr *m, int flags)
{
    record(m);
    return real->sendmsg(p, fd, m, flags);
}

static void tap(struct net *n)
{
    real = n->platforms[0]->ops;
    tapped = *real;
    tapped.sendmsg = on_sendmsg;
    n->platforms[0]->ops = &tapped;
    memset(flight_length, 0, sizeof(flight_length));
    flight_count = 0;
}

/* From an address of somebody who has none of the keys. */
static void play_again(struct net *n)
{
    struct tapsi_platform *p = n->platforms[0];
    union tapsi_addr server;
    tapsi_addr_parse("192.0.2.1", &server);
    tapsi_addr_set_port(&server, PORT);
    int fd = p->ops->socket(p, AF_INET, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    CHECK_INT(p->ops->connect(p, fd, &server), 0);
    p->ops->send(p, fd, flight[0], flight_length[0], 0);
    net_run(n, 15 * TAPSI_SIM_S);
    p->ops->close(p, fd);
}

/* proves API-074: to the same server, to one that shares nothing with it, and to one that has the same keys */
TEST(a_first_flight_that_is_played_again_delivers_nothing)
{
    for (int i = 0; i < 3; i++) {
        struct net n;
        begin(&n);
        net_open(&n);
        meet(&n);
        tap(&n);
        struct end *e = come_back_early(&n, "pay 100");
        n.platforms[0]->ops = real;
        NEED(e && flight_length[0] >= 1200);
        net_run(&n, 200 * MS);
        CHECK(n.server && net_got(n.server, "pay 100"));
        CHECK_INT(n.accepted, 2);
        if (i == 1)
            renew_security(&n, 1);
        if (i)
            reopen(&n);
        play_again(&n);
        CHECK_INT(n.accepted, 2);
        net_finish(&n);
    }
}

/* ----------------------------------------------------------------------------------------------------- tokens */

/* Milliseconds until the second Connection is ready, at a server that is pressed. */
static uint64_t pressed(struct net *n, void (*change)(struct net *n))
{
    begin(n);
    CHECK_INT(tapsi_security_set_cached_lifetime(n->security[0], 604800), 0);
    CHECK_INT(tapsi_security_set_cached_lifetime(n->security[1], 604800), 0);
    net_open(n);
    meet(n);
    if (change)
        change(n);
    n->half_open += 100; /* of other protocols */
    uint64_t from = tapsi_sim_now(n->sim);
    struct end *e = come_back_early(n, "early");
    uint64_t took = (tapsi_sim_now(n->sim) - from) / MS;
    n->half_open -= 100;
    net_run(n, 200 * MS);
    CHECK(e && e->ready);
    CHECK(n->server && net_got(n->server, "early"));
    net_finish(n);
    return took;
}

static void forge(struct net *n)
{
    for (struct tapsi_ticket *t = NULL; (t = any_ticket(n, t));)
        ((uint8_t *)(uintptr_t)t->token)[t->token_length / 2] ^= 1;
}

static void make_nonsense(struct net *n)
{
    for (struct tapsi_ticket *t = NULL; (t = any_ticket(n, t));)
        memset((uint8_t *)(uintptr_t)t->token, 0xb6, t->token_length); /* as of Retry */
}

static void cut(struct net *n)
{
    for (struct tapsi_ticket *t = NULL; (t = any_ticket(n, t));)
        t->token_length = 1;
}

static void without(struct net *n)
{
    for (struct tapsi_ticket *t = NULL; (t = any_ticket(n, t));)
        t->token_length = 0;
}

static void let_expire(struct net *n)
{
    net_run(n, 25 * 3600 * TAPSI_SIM_S);
}

static void wait_a_little(struct net *n)
{
    net_run(n, 23 * 3600 * TAPSI_SIM_S);
}

static void go_elsewhere(struct net *n)
{
    n->local = "192.0.2.3";
}

static void use_the_same(struct net *n)
{
    uint8_t token[256];
    size_t length = any_ticket(n, NULL)->token_length;
    NEED(length && length <= sizeof(token));
    memcpy(token, any_ticket(n, NULL)->token, length);
    for (int i = 0; i < 2; i++) {
        for (struct tapsi_ticket *t = NULL; (t = any_ticket(n, t));) {
            CHECK_INT(t->token_length, length);
            memcpy((uint8_t *)(uintptr_t)t->token, token, length);
        }
        struct end *e = i ? NULL : come_back(n);
        net_run(n, 200 * MS);
        if (e)
            net_destroy(e, 0);
        net_run(n, 200 * MS);
    }
    n->server = NULL;
}

TEST(a_token_spares_the_way_back_to_prove_the_address)
{
    struct net n;
    CHECK_INT(pressed(&n, NULL), 20);
    CHECK_INT(pressed(&n, wait_a_little), 20);
}

TEST(a_token_that_proves_nothing_is_as_none)
{
    struct net n;
    CHECK_INT(pressed(&n, without), 40);
    CHECK_INT(pressed(&n, forge), 40);
    CHECK_INT(pressed(&n, make_nonsense), 40);
    CHECK_INT(pressed(&n, cut), 40);
    CHECK_INT(pressed(&n, let_expire), 40);
    CHECK_INT(pressed(&n, go_elsewhere), 40);
    CHECK_INT(pressed(&n, use_the_same), 40);
    CHECK_INT(pressed(&n, reopen), 40); /* another endpoint, which shares no secret */
}

/* 0.12 of the engine takes none without initial_source_connection_id, 1.x writes none by itself. */
TEST(parameters_are_written_as_every_version_of_the_engine_reads_them)
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    const struct tapsi_ticket *t = any_ticket(&n, NULL);
    NEED(t);
    CHECK(memmem(t->transport, t->transport_length, "\x0f", 2) != NULL);
    net_finish(&n);
}

TEST(each_ticket_has_a_token_of_its_own)
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    const struct tapsi_ticket *a = any_ticket(&n, NULL), *b = any_ticket(&n, a);
    NEED(a && b);
    CHECK(a->token_length && a->token_length == b->token_length);
    CHECK(memcmp(a->token, b->token, a->token_length) != 0);
    net_finish(&n);
}

/* ---------------------------------------------------------------------------------------------------- failing */

TEST(every_allocation_of_a_resumed_connection_may_fail)
{
    bool failed = true;
    for (long i = 1; failed; i++) {
        struct net n;
        begin(&n);
        net_open(&n);
        meet(&n);
        n.fail_at = n.allocations + i;
        n.early[0] = "early";
        struct end *e = net_connect(&n);
        net_run(&n, 300 * MS);
        failed = n.allocations >= n.fail_at;
        CHECK(failed || (e && e->ready && n.server && net_got(n.server, "early")));
        CHECK(!e || e->ready + e->closed > 0 || failed);
        net_finish(&n);
    }
}

TEST(a_resumed_connection_may_be_destroyed_at_every_moment)
{
    for (int ms = 0; ms < 60; ms++) {
        for (int refused = 0; refused < 2; refused++) {
            struct net n;
            begin(&n);
            net_open(&n);
            meet(&n);
            if (refused) {
                other_server(&n);
                reopen(&n);
            }
            n.early[0] = "early";
            struct end *e = net_connect(&n);
            NEED(e);
            net_run(&n, (uint64_t)ms * MS);
            if (e->layer)
                net_destroy(e, ms & 1 ? TAPS_E_ABORTED : 0);
            net_run(&n, 100 * MS);
            CHECK_INT(e->failed, 0);
            net_finish(&n);
        }
    }
}

TEST(a_connection_of_early_data_may_be_destroyed_at_every_moment)
{
    for (int ms = 8; ms < 50; ms++) {
        struct net n;
        begin(&n);
        n.server_echo = true;
        net_open(&n);
        meet(&n);
        n.early[0] = "early";
        struct end *e = net_connect(&n);
        NEED(e);
        net_run(&n, (uint64_t)ms * MS);
        if (n.server && n.server->layer)
            net_destroy(n.server, ms & 1 ? TAPS_E_ABORTED : 0);
        net_run(&n, 500 * MS);
        CHECK(!n.server || e->ready);
        net_finish(&n);
    }
}

/* The Listener goes between the first flight and the end of the handshake. */
TEST(early_data_outlives_its_listener)
{
    struct net n;
    begin(&n);
    n.server_echo = true;
    net_open(&n);
    meet(&n);
    n.early[0] = "early";
    struct end *e = net_connect(&n);
    NEED(e);
    net_run(&n, 15 * MS);
    tapsi_layer_destroy(n.listener, 0);
    n.listener = NULL;
    net_run(&n, 100 * MS);
    CHECK(net_got(e, "early"));
    net_send_text(e, " late", 0);
    net_run(&n, 100 * MS);
    CHECK(net_got(e, "early late"));
    net_finish(&n);
}

/* The Listener takes no more now: what is early waits, and is delivered when it does. */
TEST(early_data_waits_for_a_listener_that_takes_no_more)
{
    struct net n;
    begin(&n);
    net_open(&n);
    meet(&n);
    n.early[0] = "early";
    struct end *e = net_connect(&n);
    NEED(e);
    net_run(&n, 5 * MS);
    n.server = NULL;
    tapsi_layer_want(n.listener, 1);
    net_run(&n, 300 * MS);
    CHECK(n.server && net_got(n.server, "early"));
    tapsi_layer_want(n.listener, 0);
    n.server = NULL;
    struct end *more = net_clone(&n, e, TAPS_BIDIRECTIONAL);
    NEED(more);
    net_run(&n, 50 * MS);
    net_send_text(more, "later", 0);
    net_run(&n, 100 * MS);
    CHECK(!n.server);
    tapsi_layer_want(n.listener, 1);
    net_run(&n, 100 * MS);
    CHECK(n.server && net_got(n.server, "later"));
    net_finish(&n);
}
