/* What Connections cost in memory, on the kernel's loopback: bytes of an idle one, and allocations of a Message when
   the first ones have gone. Two contexts, each with an allocator that counts, so that both sides are known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taps/framer.h>
#include <taps/taps.h>
#include "base/test.h"
#include "stack/secure/test_certificates.h"

#define CROWD    200
#define WARM     300
#define MESSAGES 1000

struct count {
    size_t live; /* bytes */
    uint64_t allocations;
};

struct side {
    struct count count;
    taps_context *context;
    taps_preconnection *preconnection;
};

static struct side client, server;
static taps_listener *listener;
static taps_connection *mine[CROWD], *theirs[CROWD];
static size_t ready, accepted, exchanged;
static uint16_t port;
static char message[3000];
static size_t message_length;
static bool echoes;                                       /* the server answers each Message with its like */
static enum { COPIED, IN_PIECES, LENT, IN_A_BUFFER } way; /* of sending it */
static bool keeps;                                        /* the server sends back what it got, as it is */
static size_t lent;                                       /* and not released yet */
static const char *framer_text;                           /* on both sides, or NULL */

/* ---------------------------------------------------------------------------------------------------- counting */

/* The size stands before the block. */
static void *counting_resize(void *user, void *block, size_t size)
{
    struct count *count = user;
    size_t *old = block ? (size_t *)block - 2 : NULL, was = old ? *old : 0;
    if (size == 0) {
        count->live -= was;
        free(old);
        return NULL;
    }
    size_t *fresh = realloc(old, size + 2 * sizeof(size_t));
    if (!fresh)
        return NULL;
    *fresh = size;
    count->live = count->live - was + size;
    count->allocations++;
    return fresh + 2;
}

/* ------------------------------------------------------------------------------------------------------ events */

static void receive(taps_connection *c)
{
    taps_connection_receive(c, 1, 65536, NULL);
}

static void on_release(void *arg)
{
    (void)arg;
    lent--;
}

static int send_in_a_buffer(taps_connection *c)
{
    taps_buffer *b = NULL;
    int err = taps_buffer_new(taps_connection_context(c), message_length - 4, 4, &b);
    if (err)
        return err;
    memset(taps_buffer_data(b), 'x', message_length - 4);
    CHECK_INT(taps_buffer_prepend(b, "head", 4), 0);
    err = taps_connection_send_buffer(c, b, NULL, 0, NULL);
    taps_buffer_unref(b);
    return err;
}

static void send_message(taps_connection *c)
{
    size_t third = message_length / 3;
    struct iovec pieces[3] = {
        {message, third}, {message + third, third}, {message + 2 * third, message_length - 2 * third}};
    int err = way == COPIED      ? taps_connection_send(c, message, message_length, NULL, 0, NULL)
              : way == IN_PIECES ? taps_connection_sendv(c, pieces, 3, NULL, 0, NULL)
              : way == LENT      ? taps_connection_send_lent(c, pieces, 3, NULL, 0, NULL, on_release, NULL)
                                 : send_in_a_buffer(c);
    lent += way == LENT && !err;
    CHECK_INT(err, 0);
}

/* What came goes back without a copy. */
static void send_back(taps_connection *c, const struct taps_received *m)
{
    taps_buffer *b = NULL;
    CHECK_INT(taps_received_keep(m, &b), 0);
    CHECK_INT(taps_connection_send_buffer(c, b, NULL, 0, NULL), 0);
    taps_buffer_unref(b);
}

static void on_ready(taps_connection *c, void *user)
{
    (void)user;
    (void)c;
    ready++;
}

static void on_failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)user;
    tapsi_test_fail(__FILE__, __LINE__, "%s", error->detail);
}

/* A stream may bring a Message in parts. */
static void on_answer(taps_connection *c, const struct taps_received *m, void *user)
{
    static size_t have;
    (void)user;
    have += m->length;
    if (have >= message_length) {
        have = 0;
        exchanged++;
        send_message(c);
    }
    receive(c);
}

static void on_question(taps_connection *c, const struct taps_received *m, void *user)
{
    static size_t have;
    (void)user;
    if (keeps) {
        send_back(c, m);
        receive(c);
        return;
    }
    for (have += m->length; echoes && have >= message_length; have -= message_length)
        send_message(c);
    receive(c);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)tag;
    (void)user;
    exchanged++;
    if (!echoes)
        send_message(c);
}

static const struct taps_connection_events client_events = {.ready = on_ready,
                                                            .received = on_answer,
                                                            .received_partial = on_answer,
                                                            .establishment_error = on_failed,
                                                            .connection_error = on_failed};
static const struct taps_connection_events flood_events = {
    .ready = on_ready, .sent = on_sent, .establishment_error = on_failed, .connection_error = on_failed};
static const struct taps_connection_events server_events = {.received = on_question, .received_partial = on_question};

static void on_listening(taps_listener *l, void *user)
{
    (void)user;
    port = taps_endpoint_port(taps_listener_local(l, 0));
}

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    (void)user;
    if (accepted < CROWD)
        theirs[accepted++] = c;
    taps_connection_set_events(c, &server_events, NULL);
    receive(c);
}

static const struct taps_listener_events listener_events = {.listening = on_listening,
                                                            .connection_received = on_connection};

/* ------------------------------------------------------------------------------------------------------ set-up */

static struct tapsi_test_identity authority, identity;

static void forget_certificates(void)
{
    tapsi_test_identity_free(&authority);
    tapsi_test_identity_free(&identity);
}

static void make_certificates(void)
{
    if (authority.certificate)
        return;
    authority = tapsi_test_identity(&(struct tapsi_test_subject){.name = "Authority", .authority = true}, NULL);
    identity = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "server", .names = "127.0.0.1", .purpose = TAPSI_TEST_SERVER}, &authority);
    atexit(forget_certificates);
}

static void set_security(struct side *s, bool secure)
{
    taps_security_parameters *p;
    if (!secure) {
        taps_security_parameters_new_disabled(&p);
    } else {
        make_certificates();
        taps_security_parameters_new(&p);
        if (s == &client)
            taps_security_parameters_add_ca_pem(p, authority.certificate, strlen(authority.certificate));
        else
            taps_security_parameters_add_server_certificate_pem(p, identity.certificate, strlen(identity.certificate),
                                                                identity.key, strlen(identity.key));
    }
    taps_preconnection_set_security_parameters(s->preconnection, p);
    taps_security_parameters_free(p);
}

static void open_side(struct side *s, bool datagrams, bool secure)
{
    struct taps_allocator allocator = {counting_resize, &s->count};
    struct taps_context_options options = {.allocator = &allocator};
    taps_transport_properties *properties;
    memset(s, 0, sizeof(*s));
    CHECK_INT(taps_context_new(&options, &s->context), 0);
    CHECK_INT(taps_preconnection_new(s->context, &s->preconnection), 0);
    taps_transport_properties_new_profile(datagrams ? TAPS_UNRELIABLE_DATAGRAM : TAPS_RELIABLE_INORDER_STREAM,
                                          &properties);
    taps_preconnection_set_transport_properties(s->preconnection, properties);
    taps_transport_properties_free(properties);
    set_security(s, secure);
    if (framer_text) {
        taps_framer *framer = NULL;
        CHECK_INT(taps_framer_new_text(framer_text, &framer), 0);
        CHECK_INT(taps_preconnection_add_framer(s->preconnection, framer), 0);
        taps_framer_free(framer);
    }
}

static void turn(void)
{
    taps_context_run_once(client.context, 0);
    taps_context_run_once(server.context, 1);
}

static void open_both(bool datagrams, bool secure)
{
    char remote[64];
    ready = accepted = exchanged = 0;
    port = 0;
    echoes = true;
    message_length = 100;
    open_side(&server, datagrams, secure);
    open_side(&client, datagrams, secure);
    taps_preconnection_add_local_text(server.preconnection, "127.0.0.1:0");
    CHECK_INT(taps_preconnection_listen(server.preconnection, &listener_events, NULL, &listener), 0);
    for (int i = 0; i < 1000 && !port; i++)
        turn();
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", port);
    taps_preconnection_add_remote_text(client.preconnection, remote);
}

static void close_both(void)
{
    CHECK_INT(taps_context_free(client.context), 0);
    CHECK_INT(taps_context_free(server.context), 0);
    CHECK_INT(client.count.live, 0);
    CHECK_INT(server.count.live, 0);
}

/* Opens Connections [from, to) with one Receive each; over UDP the peers are made by a first datagram. */
static void connect_some(size_t from, size_t to, const struct taps_connection_events *events, bool datagrams)
{
    for (size_t i = from; i < to; i++) {
        CHECK_INT(taps_preconnection_initiate(client.preconnection, 5000, events, NULL, &mine[i]), 0);
        receive(mine[i]);
        for (int n = 0; n < 1000 && ready <= i; n++)
            turn();
        if (datagrams)
            taps_connection_send(mine[i], "x", 1, NULL, 0, NULL);
        for (int n = 0; n < 1000 && accepted <= i; n++)
            turn();
    }
    turn();
    CHECK_INT(ready, to);
    CHECK_INT(accepted, to);
}

/* -------------------------------------------------------------------------------------------------------- idle */

/* Bytes of each of all Connections but the first ones, on both sides. */
static void measure_idle(bool datagrams, bool secure, size_t crowd, size_t *ret_initiated, size_t *ret_accepted)
{
    const size_t first = 4;
    open_both(datagrams, secure);
    echoes = false; /* the datagram that makes a peer is not answered */
    connect_some(0, first, &client_events, datagrams);
    size_t before = client.count.live, there_before = server.count.live;
    connect_some(first, crowd, &client_events, datagrams);
    *ret_initiated = (client.count.live - before) / (crowd - first);
    *ret_accepted = (server.count.live - there_before) / (crowd - first);
    close_both();
}

/* Both processes' descriptors are in this one, so the tables by descriptor are twice as large as they would be. */
TEST(an_idle_tcp_connection_takes_less_than_512_bytes)
{
    size_t initiated, at_listener;
    measure_idle(false, false, CROWD, &initiated, &at_listener);
    printf("# tcp: %zu initiated, %zu accepted\n", initiated, at_listener);
    CHECK(initiated <= 512);
    CHECK(at_listener <= 512);
}

TEST(an_idle_udp_connection_takes_less_than_640_bytes)
{
    size_t initiated, at_listener;
    measure_idle(true, false, CROWD, &initiated, &at_listener);
    printf("# udp: %zu initiated, %zu accepted\n", initiated, at_listener);
    CHECK(initiated <= 640);
    CHECK(at_listener <= 640);
}

/* GnuTLS allocates with malloc, and so is not counted. */
TEST(an_idle_tls_connection_takes_less_than_1_kib_beside_gnutls)
{
    size_t initiated, at_listener;
    measure_idle(false, true, 24, &initiated, &at_listener);
    printf("# tls: %zu initiated, %zu accepted\n", initiated, at_listener);
    CHECK(initiated <= 1024);
    CHECK(at_listener <= 1024);
}

/* The report is told from a record of the race, as long as the Connection is there. */
TEST(the_report_of_an_idle_connection_is_there)
{
    struct taps_candidate_info info;
    open_both(false, false);
    connect_some(0, 1, &client_events, false);
    const taps_report *report = taps_connection_report(mine[0]);
    NEED(report);
    size_t won = 0;
    for (size_t i = 0; taps_report_candidate(report, i, &info) == 0; i++)
        won += info.kind == TAPS_CANDIDATE_ENDPOINT && info.state == TAPS_CANDIDATE_WON;
    CHECK_INT(won, 1);
    CHECK_INT(taps_report_resolution_count(report), 1);
    CHECK(taps_report_ready_ms(report) >= 0);
    close_both();
}

/* ---------------------------------------------------------------------------------------------------- Messages */

static void run_until(size_t wanted)
{
    for (int i = 0; i < 100000 && exchanged < wanted; i++)
        turn();
    CHECK(exchanged >= wanted);
}

static void check_no_allocations(void)
{
    run_until(WARM);
    uint64_t before = client.count.allocations, there_before = server.count.allocations;
    run_until(WARM + MESSAGES);
    CHECK_INT(client.count.allocations - before, 0);
    CHECK_INT(server.count.allocations - there_before, 0);
}

static void ping_pong(bool datagrams, bool secure, size_t length)
{
    open_both(datagrams, secure);
    message_length = length;
    echoes = false;
    connect_some(0, 1, &client_events, datagrams);
    echoes = true;
    exchanged = 0;
    send_message(mine[0]);
    if (datagrams)
        send_message(mine[0]); /* what made the peer counts as part of a question */
    check_no_allocations();
    close_both();
}

TEST(a_tcp_ping_pong_allocates_nothing)
{
    ping_pong(false, false, 100);
}

TEST(a_tcp_ping_pong_of_more_than_a_small_message_allocates_nothing)
{
    ping_pong(false, false, sizeof(message));
}

TEST(a_udp_ping_pong_allocates_nothing)
{
    ping_pong(true, false, 100);
}

TEST(a_tls_ping_pong_allocates_nothing_beside_gnutls)
{
    ping_pong(false, true, 100);
}

TEST(many_small_sends_allocate_nothing)
{
    open_both(false, false);
    echoes = false;
    connect_some(0, 1, &flood_events, false);
    exchanged = 0;
    for (int i = 0; i < 100; i++)
        send_message(mine[0]);
    check_no_allocations();
    close_both();
}

/* However it is sent: in pieces, lent, in a buffer; and sent back as it came. */
TEST(no_way_of_sending_a_small_message_allocates)
{
    for (int i = COPIED; i <= IN_A_BUFFER; i++) {
        for (int k = 0; k < 2; k++) {
            way = i;
            keeps = k;
            ping_pong(false, false, 100);
            ping_pong(true, false, 100);
            CHECK_INT(lent, 0);
        }
    }
    way = COPIED;
    keeps = false;
}

TEST(a_framed_message_allocates_nothing)
{
    static const char *const texts[] = {"length-prefix:length=4", "delimiter", "netstring", "websocket"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        framer_text = texts[i];
        memset(message, 'm', sizeof(message));
        ping_pong(false, false, 100);
        way = LENT;
        ping_pong(false, false, 100);
        way = COPIED;
    }
    framer_text = NULL;
}

TEST(batches_allocate_nothing)
{
    open_both(false, false);
    echoes = false;
    connect_some(0, 1, &flood_events, false);
    exchanged = 0;
    CHECK_INT(taps_connection_start_batch(mine[0]), 0);
    for (int i = 0; i < 100; i++)
        send_message(mine[0]);
    CHECK_INT(taps_connection_end_batch(mine[0]), 0);
    check_no_allocations();
    close_both();
}
