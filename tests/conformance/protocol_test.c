/*
 * What every protocol must do, whatever it is, through the public interface. A protocol joins with one row; where a
 * behaviour depends on what it promises, the row says which it is.
 */
#include <stdio.h>
#include <string.h>
#include "pair.h"

static const struct pair_row rows[] = {
    {.stack = "tcp", .profile = TAPS_RELIABLE_INORDER_STREAM, .reliable = true},
    {.stack = "tls/tcp", .profile = TAPS_RELIABLE_INORDER_STREAM, .reliable = true, .secure = true},
    {.stack = "quic-datagram", .profile = TAPS_UNRELIABLE_DATAGRAM, .boundaries = true, .secure = true},
    {.stack = "quic", .profile = TAPS_RELIABLE_INORDER_STREAM, .reliable = true, .secure = true},
    {.stack = "udp", .profile = TAPS_UNRELIABLE_DATAGRAM, .boundaries = true},
    {.stack = "dtls/udp", .profile = TAPS_UNRELIABLE_DATAGRAM, .boundaries = true, .secure = true, .never_empty = true},
    {.stack = "rfc4571/tcp", .profile = TAPS_RELIABLE_MESSAGE, .boundaries = true, .reliable = true},
    {.stack = "rfc4571/tls/tcp",
     .profile = TAPS_RELIABLE_MESSAGE,
     .boundaries = true,
     .reliable = true,
     .secure = true},
    {.stack = "tcp", .framer = "length-prefix", .profile = TAPS_RELIABLE_MESSAGE, .boundaries = true, .reliable = true},
    {.stack = "tls/tcp",
     .framer = "netstring",
     .profile = TAPS_RELIABLE_MESSAGE,
     .boundaries = true,
     .reliable = true,
     .secure = true},
    {.stack = "udp", .framer = "length-prefix:length=varint", .profile = TAPS_UNRELIABLE_DATAGRAM, .boundaries = true},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Runs a behaviour on every stack, and says on which it failed. */
static void on_each(void (*behaviour)(struct pair *p))
{
    for (size_t i = 0; i < ROWS; i++) {
        struct pair p;
        bool before = tapsi_test_failed();
        pair_new(&p, &rows[i]);
        behaviour(&p);
        pair_done(&p);
        if (tapsi_test_failed() && !before)
            printf("# the first stack that failed: %s %s\n", rows[i].stack, rows[i].framer ? rows[i].framer : "");
    }
}

static uint64_t integer(struct side *s, enum taps_property property)
{
    struct taps_value value = {.integer = 0};
    CHECK_INT(taps_connection_get_value(s->connection, property, &value), 0);
    return value.integer;
}

/* The first Message of pair_open, then these. */
static void check_echo(struct pair *p, const size_t *more, unsigned count)
{
    size_t lengths[64] = {10};
    memcpy(lengths + 1, more, count * sizeof(*more));
    pair_check_got(&p->server, p->row, 0, lengths, count + 1);
    pair_check_got(&p->client, p->row, 0, lengths, count + 1);
}

static void sizes(struct pair *p)
{
    static const size_t lengths[] = {1, 2, 3, 15, 16, 255, 256, 257, 1000, 1400, 1473, 4096, 16384, 16385, 60000};
    unsigned count = sizeof(lengths) / sizeof(lengths[0]);
    p->server.echo = true;
    pair_open(p);
    if (!p->row->reliable)
        count = 10; /* what needs no fragments, which the path may not carry */
    for (unsigned i = 0; i < count; i++) {
        CHECK_INT(pair_send(&p->client, i + 1, lengths[i], NULL), 0);
        pair_run_ms(p, 50);
    }
    CHECK_INT(p->client.sent, count + 1);
    check_echo(p, lengths, count);
}

/* proves API-031, API-122 */
TEST(messages_of_every_size_come_back_unchanged)
{
    on_each(sizes);
}

static void burst(struct pair *p)
{
    size_t lengths[60];
    pair_open(p);
    for (unsigned i = 0; i < 60; i++) {
        lengths[i] = 100 + i;
        CHECK_INT(pair_send(&p->client, i + 1, lengths[i], NULL), 0);
    }
    pair_run_ms(p, 500);
    size_t all[61] = {10};
    memcpy(all + 1, lengths, sizeof(lengths));
    pair_check_got(&p->server, p->row, 0, all, 61);
}

/* proves API-031, API-111 */
TEST(messages_of_one_turn_stay_apart_or_stay_in_order)
{
    on_each(burst);
}

static void lossy(struct pair *p)
{
    size_t lengths[41] = {10};
    if (!p->row->reliable)
        return;
    pair_open(p);
    tapsi_sim_link_loss(p->link, 0.2);
    for (unsigned i = 1; i <= 40; i++) {
        lengths[i] = i * 300;
        CHECK_INT(pair_send(&p->client, i, lengths[i], NULL), 0);
    }
    pair_run_ms(p, 600 * 1000);
    pair_check_got(&p->server, p->row, 0, lengths, 41);
}

/* proves API-030, API-033 */
TEST(what_is_reliable_is_whole_and_in_order_over_a_bad_link)
{
    on_each(lossy);
}

static void limits(struct pair *p)
{
    pair_open(p);
    uint64_t longest = integer(&p->client, TAPS_SEND_MSG_MAX_LEN);
    if (longest == TAPS_INFINITE)
        return;
    CHECK_INT(pair_send(&p->client, 1, longest + 1, NULL), 0);
    CHECK_INT(pair_send(&p->client, 1, 20, NULL), 0);
    pair_run_ms(p, 200);
    CHECK_INT(p->client.send_errors, 1);
    CHECK_INT(p->client.last_send_error, TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(p->client.ends, 0);
    pair_check_got(&p->server, p->row, 0, (const size_t[]){10, 20}, 2);
    if (!p->row->reliable)
        return;
    CHECK_INT(pair_send(&p->client, 2, longest, NULL), 0);
    pair_run_ms(p, 500);
    pair_check_got(&p->server, p->row, 0, (const size_t[]){10, 20, longest}, 3);
}

/* proves API-093, API-114 */
TEST(a_message_over_the_limit_is_refused_and_the_connection_goes_on)
{
    on_each(limits);
}

static void empty(struct pair *p)
{
    pair_open(p);
    CHECK_INT(pair_send(&p->client, 1, 0, NULL), 0);
    CHECK_INT(pair_send(&p->client, 2, 5, NULL), 0);
    pair_run_ms(p, 100);
    if (p->row->never_empty) { /* then it is refused, and nothing else is lost */
        CHECK_INT(p->client.sent, 2);
        CHECK_INT(p->client.last_send_error, TAPS_E_MESSAGE_PROPERTIES);
        CHECK_INT(p->server.messages, 2);
        return;
    }
    CHECK_INT(p->client.sent, 3);
    if (p->row->boundaries) {
        CHECK_INT(p->server.messages, 3);
        CHECK_INT(p->server.lengths[1], 0);
        CHECK_INT(p->server.lengths[2], 5);
    }
    CHECK_INT(p->server.length, 15);
}

/* proves API-122 */
TEST(an_empty_message_is_one_where_messages_have_boundaries)
{
    on_each(empty);
}

static void parts(struct pair *p)
{
    pair_open(p);
    CHECK_INT(taps_connection_send(p->client.connection, "part", 4, NULL, TAPS_SEND_PARTIAL, NULL), 0);
    CHECK_INT(taps_connection_send(p->client.connection, "rest", 4, NULL, 0, NULL), 0);
    pair_run_ms(p, 100);
    CHECK_INT(p->server.length, p->row->boundaries ? 10 : 18);
    CHECK_INT(p->client.send_errors, p->row->boundaries ? 2 : 0); /* half a Message is none */
    CHECK_INT(p->client.ends, 0);
}

/* proves API-112 */
TEST(parts_are_sent_or_refused_as_the_stack_can)
{
    on_each(parts);
}

static void half_close(struct pair *p)
{
    taps_message_context *last;
    taps_message_context_new(&last);
    taps_message_context_set(last, "final", "true");
    pair_open(p);
    if (p->row->reliable) {
        CHECK_INT(pair_send(&p->client, 1, 30, last), 0);
        CHECK(pair_send(&p->client, 2, 30, NULL) == TAPS_E_CLOSED || p->client.send_errors <= 1);
        pair_run_ms(p, 100);
        CHECK(p->server.final);
        CHECK_INT(p->server.length, 40);
        CHECK_INT(p->server.ends, 0);
        CHECK_INT(pair_send(&p->server, 0, 50, NULL), 0);
        CHECK_INT(taps_connection_close(p->server.connection), 0);
        pair_run_ms(p, 1000);
        CHECK_INT(p->client.length, 50);
        CHECK(p->client.final);
        CHECK_INT(p->client.ends, 1);
        CHECK_INT(p->client.errors, 0);
    }
    taps_message_context_free(last);
}

/* proves API-104, API-126 */
TEST(after_the_final_message_the_other_direction_goes_on)
{
    on_each(half_close);
}

static void close_delivers(struct pair *p)
{
    size_t lengths[201] = {10};
    pair_open(p);
    if (!p->row->reliable)
        return;
    p->server.answer = true;
    for (unsigned i = 1; i <= 200; i++) {
        lengths[i] = 1000 + i;
        CHECK_INT(pair_send(&p->client, i, lengths[i], NULL), 0);
    }
    CHECK_INT(taps_connection_close(p->client.connection), 0);
    CHECK_INT(pair_send(&p->client, 201, 1, NULL), TAPS_E_CLOSED);
    pair_run_ms(p, 20000);
    CHECK_INT(p->client.sent, 201);
    CHECK_INT(p->client.ends, 1);
    CHECK_INT(p->client.errors, 0);
    pair_check_got(&p->server, p->row, 0, lengths, 201);
    CHECK(p->server.final);
}

/* proves API-140 */
TEST(close_delivers_what_was_given_before)
{
    on_each(close_delivers);
}

static void abort_tells(struct pair *p)
{
    pair_open(p);
    CHECK_INT(pair_send(&p->client, 1, 100, NULL), 0);
    CHECK_INT(taps_connection_abort(p->client.connection), 0);
    CHECK_INT(p->client.ends, 0);
    pair_run_ms(p, 200);
    CHECK_INT(p->client.ends, 1);
    CHECK_INT(p->client.last_error, TAPS_E_LOCAL_ABORT);
    if (p->row->reliable)
        CHECK_INT(p->server.errors, 1);
}

/* proves API-141, API-143 */
TEST(abort_ends_at_once_and_the_peer_is_told_where_the_protocol_can)
{
    on_each(abort_tells);
}

static void nobody(struct pair *p)
{
    bool asks = p->row->reliable || p->row->secure;
    taps_listener_free(p->listener);
    p->listener = NULL;
    pair_run_ms(p, 10);
    pair_initiate(p);
    pair_run_ms(p, 1000);
    CHECK_INT(p->client.ends, asks ? 1 : 0);
    CHECK_INT(p->client.ready, asks ? 0 : 1);
    if (asks)
        CHECK_INT(p->client.last_error, TAPS_E_REFUSED);
}

/* proves API-062 */
TEST(where_nobody_listens_establishment_fails_if_the_protocol_asks)
{
    on_each(nobody);
}

static void held_up(struct pair *p)
{
    if (!p->row->reliable)
        return;
    pair_open(p);
    size_t got = p->server.length;
    p->server.reading = false;
    for (unsigned i = 1; i <= 64; i++)
        CHECK_INT(pair_send(&p->client, i, 60000, NULL), 0);
    pair_run_ms(p, 60 * 1000);
    CHECK(p->server.length - got <= 120000); /* the one Receive that was waiting */
    CHECK(p->client.sent < 60);
    p->server.reading = true;
    taps_connection_receive(p->server.connection, SIZE_MAX, SIZE_MAX, NULL);
    pair_run_ms(p, 120 * 1000);
    CHECK_INT(p->client.sent, 65);
    CHECK_INT(p->server.length, 10 + 64 * 60000);
}

/* proves API-121 */
TEST(a_peer_that_does_not_receive_holds_the_sender_up_and_loses_nothing)
{
    on_each(held_up);
}

/* Freed at any moment of establishment, transfer and end. */
TEST(everything_may_be_freed_at_any_moment)
{
    for (size_t i = 0; i < ROWS; i++) {
        for (uint64_t step = 0; step < 60; step++) {
            struct pair p;
            pair_new(&p, &rows[i]);
            pair_initiate(&p);
            for (unsigned m = 0; m < 8; m++)
                pair_send(&p.client, m, 3000 * (m + 1), NULL);
            p.server.echo = true;
            pair_run_ms(&p, step);
            taps_connection_free(step & 1 ? p.client.connection : p.server.connection);
            *(step & 1 ? &p.client.connection : &p.server.connection) = NULL;
            pair_run_ms(&p, step % 7);
            pair_done(&p);
        }
    }
}
