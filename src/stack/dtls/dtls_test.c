/* The layer: handshakes on every kind of network, ends, limits, and failures. */

#include <string.h>
#include "base/test.h"
#include "stack/dtls/test_flow.h"

static struct tapsi_test_flow f;

static void says(const struct tapsi_error *e, const char *text)
{
    if (!strstr(e->text, text))
        tapsi_test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", e->text, text);
}

static uint64_t length_of(struct tapsi_test_flow_end *end, enum taps_property property)
{
    union tapsi_got got = {.value = {.integer = 0}};
    CHECK_INT(tapsi_layer_get(end->top, (int)property, &got), 0);
    return got.value.integer;
}

/* ------------------------------------------------------------------------------------------------ handshakes */

/* proves API-050, IMPL-36 */
TEST(both_ends_are_ready_and_messages_come_whole)
{
    CHECK(tapsi_test_flow_init(&f));
    f.ecn = 2;
    CHECK(tapsi_test_flow_handshake(&f));
    CHECK_INT(f.client.info.security, TAPS_DTLS_1_2);
    CHECK(f.client.info.authenticated && !f.server.info.authenticated);
    CHECK(f.client.port->longest <= 1200 && f.server.port->longest <= 1200);
    CHECK_INT(f.count[0], 3); /* hello, hello with its cookie, and one flight in one datagram */
    for (unsigned i = 0; i < 50; i++) {
        CHECK_INT(tapsi_test_flow_send(&f.client, i, 4 + i * 20), 0);
        CHECK_INT(tapsi_test_flow_send(&f.server, i, 4 + i * 25), 0);
    }
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.sent, 50);
    CHECK_INT(f.server.messages, 50);
    CHECK_INT(f.client.messages, 50);
    CHECK_INT(f.client.ecn, 2);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

static bool survives(unsigned loss, uint64_t late, unsigned repeat, unsigned seed)
{
    CHECK(tapsi_test_flow_init(&f));
    f.loss = loss;
    f.late = late;
    f.repeat = repeat;
    f.random = seed * 7919;
    bool ready = tapsi_test_flow_handshake(&f);
    for (unsigned i = 0; ready && i < 100; i++)
        CHECK_INT(tapsi_test_flow_send(i & 1 ? &f.client : &f.server, i, 100 + i), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    if (!ready)
        CHECK(f.client.ready || f.client.error.pub.code == TAPS_E_TIMEOUT);
    CHECK_INT(f.client.repeated + f.server.repeated, 0);
    CHECK(!ready || f.client.messages + f.server.messages >= (100 - loss) * 7 / 10);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
    return ready;
}

static taps_trust_question *asked;

static void ask(taps_trust_question *question, void *user)
{
    (void)user;
    asked = taps_trust_question_ref(question);
}

/* proves API-058 */
TEST(the_application_may_take_its_time_to_judge_the_peer)
{
    for (int trusted = 0; trusted < 2; trusted++) {
        asked = NULL;
        CHECK(tapsi_test_flow_init(&f));
        f.security[0]->trust = ask;
        CHECK_INT(tapsi_test_flow_open(&f), 0);
        tapsi_test_flow_run(&f, 5 * TAPSI_S);
        NEED(asked);
        CHECK_INT(f.client.ready + f.server.ready + f.client.closed, 0);
        CHECK_INT(trusted ? taps_trust_question_accept(asked) : taps_trust_question_refuse(asked, "no friend"), 0);
        tapsi_test_flow_run(&f, 100 * TAPSI_MS);
        CHECK_INT(f.client.ready, trusted);
        CHECK_INT(f.client.closed, !trusted);
        if (!trusted)
            says(&f.client.error, "no friend");
        taps_trust_question_unref(asked);
        CHECK_INT(tapsi_test_flow_done(&f), 0);
    }
}

TEST(who_is_gone_before_the_answer_is_not_found_by_it)
{
    asked = NULL;
    CHECK(tapsi_test_flow_init(&f));
    f.security[0]->trust = ask;
    CHECK_INT(tapsi_test_flow_open(&f), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    NEED(asked);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
    CHECK_INT(taps_trust_question_accept(asked), TAPS_E_STATE);
    taps_trust_question_unref(asked);
}

/* proves API-032 */
TEST(a_network_that_loses_delays_and_repeats_only_takes_time)
{
    unsigned rounds = tapsi_test_rounds(20, 5, 400), ready[3] = {0, 0, 0};
    tapsi_test_limit(600);
    for (unsigned seed = 1; seed <= rounds; seed++) {
        for (unsigned i = 0; i < 3; i++)
            ready[i] += survives(20 * i, seed & 1 ? 50 * TAPSI_MS : 0, seed & 2 ? 20 : 0, seed);
    }
    CHECK_INT(ready[0], rounds);
    CHECK(ready[1] >= rounds * 95 / 100);
    CHECK(ready[2] >= rounds * 60 / 100);
}

static bool lose_last_flight(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length)
{
    (void)bytes;
    (void)length;
    return !(side == 1 && flow->count[1] == 3);
}

/* The client asks again; the server answers though it is ready, and nobody wants anything of it. */
TEST(a_lost_end_of_the_handshake_is_repeated)
{
    CHECK(tapsi_test_flow_init(&f));
    f.tamper = lose_last_flight;
    f.server.window = 0;
    CHECK(tapsi_test_flow_handshake(&f));
    CHECK(f.count[1] > 3);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves ARCH-09, API-050 */
TEST(a_certificate_of_a_stranger_is_refused_and_the_peer_is_told)
{
    struct tapsi_test_identity other =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "Other Authority", .authority = true}, NULL);
    CHECK(tapsi_test_flow_init(&f));
    tapsi_security_unref(f.security[0]);
    f.security[0] = tapsi_security_new(&f.mem, TAPS_SECURITY_REQUIRED);
    tapsi_test_trust(f.security[0], &other);
    CHECK(!tapsi_test_flow_handshake(&f));
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.error.pub.code, TAPS_E_CERTIFICATE);
    CHECK_INT(f.server.error.pub.code, TAPS_E_TLS);
    says(&f.server.error, "sent the alert");
    CHECK_INT(f.client.ready + f.server.ready, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
    tapsi_test_identity_free(&other);
}

/* proves ARCH-09 */
TEST(a_certificate_for_another_name_is_refused)
{
    CHECK(tapsi_test_flow_init(&f));
    f.server_name = "other.test";
    CHECK(!tapsi_test_flow_handshake(&f));
    CHECK_INT(f.client.error.pub.code, TAPS_E_CERTIFICATE_NAME);
    CHECK_INT(f.client.ready, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves API-052 */
TEST(a_client_without_the_certificate_asked_for_is_refused)
{
    CHECK(tapsi_test_flow_init(&f));
    f.security[1]->require_client_certificate = true;
    CHECK(!tapsi_test_flow_handshake(&f));
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.server.ready, 0);
    CHECK_INT(f.server.closed, 1);
    CHECK_INT(f.client.closed, 1);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves API-054 */
TEST(alpn_takes_what_both_have)
{
    union tapsi_got got;
    CHECK(tapsi_test_flow_init(&f));
    tapsi_security_add_alpn(f.security[0], "one");
    tapsi_security_add_alpn(f.security[0], "two");
    tapsi_security_add_alpn(f.security[1], "two");
    CHECK(tapsi_test_flow_handshake(&f));
    CHECK_INT(tapsi_layer_get(f.client.top, TAPSI_GET_ALPN, &got), 0);
    CHECK_TEXT(got.text, "two");
    CHECK_INT(tapsi_layer_get(f.client.top, TAPSI_GET_SECURITY, &got), 0);
    CHECK_TEXT(got.text, "DTLS 1.2");
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves API-054 */
TEST(alpn_without_a_common_protocol_is_an_error_on_both_sides)
{
    CHECK(tapsi_test_flow_init(&f));
    tapsi_security_add_alpn(f.security[0], "one");
    tapsi_security_add_alpn(f.security[1], "two");
    CHECK(!tapsi_test_flow_handshake(&f));
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.error.pub.code, TAPS_E_TLS);
    CHECK_INT(f.server.error.pub.code, TAPS_E_TLS);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves ARCH-10, API-051 */
TEST(no_version_left_is_a_configuration_error)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK_INT(tapsi_security_set_minimum(f.security[0], TAPS_TLS_1_3), 0);
    CHECK_INT(tapsi_test_flow_open(&f), TAPS_E_CONFIGURATION);
    says(&f.make_error, "allowedSecurityProtocols");
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

static bool choose_dtls_1_0(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length)
{
    (void)flow;
    (void)length;
    if (side == 1 && bytes[0] == 22 && bytes[13] == 2) /* ServerHello */
        bytes[26] = 0xff;
    return true;
}

/* proves ARCH-10 */
TEST(a_server_of_dtls_1_0_is_refused)
{
    CHECK(tapsi_test_flow_init(&f));
    f.tamper = choose_dtls_1_0;
    CHECK(!tapsi_test_flow_handshake(&f));
    CHECK_INT(f.client.ready, 0);
    CHECK_INT(f.client.error.pub.code, TAPS_E_TLS);
    says(&f.client.error, "DTLS 1.2");
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* ------------------------------------------------------------------------------------------------------ limits */

/* proves API-092, API-093 */
TEST(the_path_says_how_long_a_message_may_be)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    CHECK_INT(f.client.top->max_message, 1472 - 37);
    CHECK_INT(length_of(&f.client, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN), 1472 - 37);
    CHECK_INT(length_of(&f.client, TAPS_SEND_MSG_MAX_LEN), 1472 - 37);
    CHECK_INT(length_of(&f.client, TAPS_RECV_MSG_MAX_LEN), 16384);
    CHECK_INT(tapsi_test_flow_send(&f.client, 1, 1472 - 37), 0);
    CHECK_INT(tapsi_test_flow_send(&f.client, 2, 1472 - 36), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.sent, 1);
    CHECK_INT(f.client.last_result == 0 || f.client.failed == 1, 1);
    CHECK_INT(f.server.messages, 1);
    CHECK_INT(f.client.port->longest, 1472);
    CHECK_INT(tapsi_test_flow_send(&f.client, 3, 10), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.server.messages, 2);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves API-092 */
TEST(a_path_that_becomes_narrower_is_told_and_kept_to)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    f.client.port->blocked = true;
    f.mtu = f.client.port->layer.mtu = 600;
    tapsi_layer_event(&f.client.port->layer, TAPSI_EVENT_PATH, NULL);
    CHECK_INT(f.client.paths, 1);
    CHECK_INT(f.client.top->mtu, 600 - 37);
    CHECK_INT(f.client.top->max_message, 600 - 37);
    CHECK_INT(tapsi_test_flow_send(&f.client, 1, 601), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.failed, 1);
    CHECK_INT(f.client.last_result, TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(f.client.closed, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(there_are_no_empty_messages)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    CHECK_INT(tapsi_test_flow_send(&f.client, 0, 0), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves API-121 */
TEST(without_credit_nothing_comes_and_with_it_all_of_it)
{
    CHECK(tapsi_test_flow_init(&f));
    f.server.window = 0;
    CHECK(tapsi_test_flow_handshake(&f));
    for (unsigned i = 0; i < 5; i++)
        CHECK_INT(tapsi_test_flow_send(&f.client, i, 50), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.server.messages, 0);
    CHECK_INT(f.server.port->coming_count, 4); /* the one that was looked at is held */
    tapsi_test_flow_grant(&f.server, 1);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.server.messages, 5);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* -------------------------------------------------------------------------------------------------------- ends */

/* proves API-140 */
TEST(close_is_heard_by_the_peer_and_over_when_the_kernel_has_it)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    f.client.port->blocked = true;
    CHECK_INT(tapsi_test_flow_send(&f.client, 1, 10), 0);
    CHECK_INT(tapsi_layer_close(f.client.top), 0);
    CHECK_INT(tapsi_test_flow_send(&f.client, 2, 10), TAPS_E_CLOSED);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.closed, 0);
    f.client.port->blocked = false;
    tapsi_layer_dirty(&f.client.port->layer);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.closed, 1);
    CHECK_INT(f.client.error.pub.code, 0);
    CHECK_INT(f.client.sent, 1);
    CHECK_INT(f.server.messages, 1);
    CHECK_INT(f.server.closed, 1);
    CHECK_INT(f.server.error.pub.code, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(what_waits_when_the_peer_closes_is_not_sent)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    CHECK_INT(tapsi_layer_close(f.server.top), 0);
    f.client.port->blocked = true;
    tapsi_test_flow_run(&f, 5 * TAPSI_MS);
    CHECK_INT(tapsi_test_flow_send(&f.client, 1, 10), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK(f.server.closed == 1 && f.client.closed == 0);
    f.client.port->blocked = false;
    tapsi_layer_dirty(&f.client.port->layer);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.closed, 1);
    CHECK_INT(f.client.error.pub.code, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(both_may_close_at_once)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    CHECK_INT(tapsi_layer_close(f.client.top), 0);
    CHECK_INT(tapsi_layer_close(f.server.top), 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK(f.client.closed == 1 && f.server.closed == 1);
    CHECK_INT(f.client.error.pub.code + f.server.error.pub.code, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* proves API-141, API-143 */
TEST(an_abort_is_told_to_the_peer)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    tapsi_test_flow_destroy(&f.client, TAPS_E_LOCAL_ABORT);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.server.closed, 1);
    CHECK_INT(f.server.error.pub.code, TAPS_E_ABORTED);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(destroyed_without_a_reason_it_says_nothing)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    unsigned before = f.count[0];
    tapsi_test_flow_destroy(&f.client, 0);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.count[0], before);
    CHECK_INT(f.server.closed, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(everything_may_be_destroyed_in_any_event)
{
    for (unsigned which = 0; which < 64; which++) {
        CHECK(tapsi_test_flow_init(&f));
        f.client.destroy_in_ready = which & 1;
        f.server.destroy_in_ready = which & 2;
        f.client.destroy_in_data = which & 4;
        f.server.destroy_in_data = which & 8;
        f.client.destroy_in_closed = which & 16;
        f.server.destroy_in_closed = which & 32;
        tapsi_test_flow_handshake(&f);
        for (unsigned i = 0; i < 3; i++) {
            if (f.client.top && f.client.ready)
                tapsi_test_flow_send(&f.client, i, 20);
            if (f.server.top && f.server.ready)
                tapsi_test_flow_send(&f.server, i, 20);
        }
        tapsi_test_flow_run(&f, TAPSI_S);
        if (f.client.top && f.client.top->state == TAPSI_LAYER_READY)
            tapsi_layer_close(f.client.top);
        tapsi_test_flow_run(&f, TAPSI_S);
        CHECK_INT(tapsi_test_flow_done(&f), 0);
    }
}

/* ------------------------------------------------------------------------------------------------- no answer */

static bool only_hellos(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length)
{
    (void)bytes;
    (void)length;
    return flow->count[side] <= 2 - (unsigned)side;
}

/* proves API-062 */
TEST(a_peer_that_vanishes_in_the_handshake_is_waited_for_and_asked_less_and_less)
{
    CHECK(tapsi_test_flow_init(&f));
    f.tamper = only_hellos;
    CHECK_INT(tapsi_test_flow_open(&f), 0);
    tapsi_test_flow_run(&f, 59 * TAPSI_S);
    CHECK_INT(f.client.closed, 0);
    tapsi_test_flow_run(&f, 2 * TAPSI_S);
    CHECK_INT(f.client.error.pub.code, TAPS_E_TIMEOUT);
    CHECK_INT(f.server.error.pub.code, TAPS_E_TIMEOUT);
    CHECK(f.count[0] >= 6 && f.count[0] <= 10);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

static void tell(struct tapsi_test_port *port, int code)
{
    struct tapsi_error error;
    tapsi_error_set(&error, code, "the network reported");
    tapsi_layer_event(&port->layer, TAPSI_EVENT_SOFT_ERROR, &error);
}

TEST(nobody_listens_ends_the_handshake_at_once_and_other_reports_do_not)
{
    CHECK(tapsi_test_flow_init(&f));
    f.loss = 100;
    CHECK_INT(tapsi_test_flow_open(&f), 0);
    tapsi_test_flow_run(&f, 100 * TAPSI_MS);
    tell(f.client.port, TAPS_E_UNREACHABLE);
    tapsi_test_flow_run(&f, 100 * TAPSI_MS);
    CHECK_INT(f.client.closed, 0);
    tell(f.client.port, TAPS_E_REFUSED);
    tell(f.client.port, TAPS_E_REFUSED);
    tapsi_test_flow_run(&f, 100 * TAPSI_MS);
    CHECK_INT(f.client.closed, 1);
    CHECK_INT(f.client.error.pub.code, TAPS_E_REFUSED);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

TEST(reports_of_the_network_go_up_when_it_is_ready)
{
    CHECK(tapsi_test_flow_init(&f));
    CHECK(tapsi_test_flow_handshake(&f));
    tell(f.client.port, TAPS_E_REFUSED);
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.soft, 1);
    CHECK_INT(f.client.closed, 0);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

static bool fail_start(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length)
{
    (void)flow;
    (void)side;
    (void)bytes;
    (void)length;
    return false;
}

TEST(datagrams_that_cannot_start_are_its_end)
{
    CHECK(tapsi_test_flow_init(&f));
    f.tamper = fail_start;
    CHECK_INT(tapsi_test_flow_open(&f), 0);
    f.client.port->start_error = TAPS_E_UNREACHABLE;
    tapsi_test_flow_run(&f, TAPSI_S);
    CHECK_INT(f.client.closed, 1);
    CHECK_INT(f.client.error.pub.code, TAPS_E_UNREACHABLE);
    CHECK_INT(tapsi_test_flow_done(&f), 0);
}

/* The clock of the day, by which GnuTLS measures, jumps. Set back it ends the handshake, since GnuTLS takes that for a
   time that is over; in no case is there a storm. */
TEST(a_clock_that_is_set_in_the_handshake_is_no_storm)
{
    static const int64_t jumps[] = {-3600, -1, 5, 3600};
    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        CHECK(tapsi_test_flow_init(&f));
        f.loss = 100;
        CHECK_INT(tapsi_test_flow_open(&f), 0);
        tapsi_test_flow_run(&f, 200 * TAPSI_MS);
        tapsi_sim_shift_date(f.sim, jumps[i] * (int64_t)TAPSI_S);
        tapsi_test_flow_run(&f, 2 * TAPSI_S);
        f.loss = 0;
        tapsi_test_flow_run(&f, 10 * TAPSI_S);
        CHECK(jumps[i] > -3600 ? f.client.ready && f.server.ready : f.client.error.pub.code == TAPS_E_TIMEOUT);
        CHECK(f.count[0] < 20);
        CHECK_INT(tapsi_test_flow_done(&f), 0);
    }
}

/* Each allocation of ours fails once: it is an error in words, or a datagram lost; nothing stays behind. */
TEST(every_allocation_may_fail)
{
    bool failed = true;
    long nth = 0;
    tapsi_test_limit(600);
    while (failed && nth < 1000) {
        CHECK(tapsi_test_flow_init(&f));
        f.fail_at = f.allocations + ++nth;
        if (tapsi_test_flow_handshake(&f)) {
            tapsi_test_flow_send(&f.client, 1, 100);
            tapsi_test_flow_run(&f, TAPSI_S);
            tapsi_layer_close(f.client.top);
            tapsi_test_flow_run(&f, TAPSI_S);
            CHECK_INT(f.client.closed, 1);
        } else {
            CHECK(f.make_error.pub.code || f.client.error.pub.code || f.server.error.pub.code || !f.server.port ||
                  !f.client.env || !f.server.env || !f.client.port);
        }
        failed = f.allocations >= f.fail_at;
        CHECK_INT(tapsi_test_flow_done(&f), 0);
    }
    CHECK(nth > 10);
}
