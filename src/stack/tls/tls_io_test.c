/* Records: amounts, credit, the order of completions, and what a TLS peer may send beside data. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include "base/test.h"
#include "stack/tls/test_pair.h"

#define BIG (3 * 1024 * 1024 + 12345)

static uint8_t *pattern(size_t count)
{
    uint8_t *bytes = malloc(count);
    uint32_t x = 12345;
    for (size_t i = 0; bytes && i < count; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(x >> 24);
    }
    return bytes;
}

static bool got_pattern(const struct tapsi_test_end *end, size_t count)
{
    uint8_t *bytes = pattern(count);
    bool same = bytes && end->got_length == count && (count == 0 || memcmp(bytes, end->got, count) == 0);
    free(bytes);
    return same;
}

static bool ready_pair(struct tapsi_test_pair *p)
{
    if (tapsi_test_pair_init(p) && tapsi_test_pair_handshake(p))
        return true;
    tapsi_test_fail(__FILE__, __LINE__, "no handshake");
    return false;
}

/* ------------------------------------------------------------------------------------------------- amounts */

TEST(large_data_both_ways_at_once)
{
    uint8_t *bytes = pattern(BIG);
    for (size_t slice = 0; slice < 20000; slice = slice ? slice * 3 + 1 : 1400) {
        struct tapsi_test_pair p;
        NEED(ready_pair(&p));
        p.client.stream->slice_max = slice;
        p.server.stream->slice_max = slice;
        CHECK_INT(tapsi_test_send(&p.client, bytes, BIG, TAPSI_OP_FINAL), 0);
        CHECK_INT(tapsi_test_send(&p.server, bytes, BIG, TAPSI_OP_FINAL), 0);
        tapsi_test_pair_run(&p);
        CHECK(got_pattern(&p.server, BIG));
        CHECK(got_pattern(&p.client, BIG));
        CHECK_INT(p.client.final + p.server.final, 2);
        CHECK_INT(p.client.sent + p.server.sent, 2);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    free(bytes);
}

/* Sizes around every limit: inline bytes, one record, one buffer. */
TEST(messages_of_every_awkward_size)
{
    static const size_t sizes[] = {0,     1,     100,   255,   256,   257,   16383, 16384,  16385,  32768,
                                   65500, 65535, 65536, 65537, 65624, 66000, 98304, 262143, 262144, 262145};
    uint8_t *bytes = pattern(300000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct tapsi_test_pair p;
        NEED(ready_pair(&p));
        CHECK_INT(tapsi_test_send(&p.client, bytes, sizes[i], TAPSI_OP_END), 0);
        tapsi_test_pair_run(&p);
        CHECK(got_pattern(&p.server, sizes[i]));
        CHECK_INT(p.client.sent, 1);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
    free(bytes);
}

TEST(many_small_messages_leave_as_one_op_in_full_records)
{
    enum { COUNT = 1000, SIZE = 100 };
    uint8_t *bytes = pattern(COUNT * SIZE);
    struct tapsi_test_pair p;
    NEED(ready_pair(&p));
    uint64_t ops = p.client.stream->ops, sent = p.client.stream->sent;
    for (size_t i = 0; i < COUNT; i++)
        CHECK_INT(tapsi_test_send(&p.client, bytes + i * SIZE, SIZE, TAPSI_OP_END), 0);
    tapsi_test_pair_run(&p);
    CHECK(got_pattern(&p.server, COUNT * SIZE));
    CHECK_INT(p.client.sent, COUNT);
    CHECK_INT(p.client.stream->ops - ops, 2); /* two buffers of 64 KiB */
    CHECK_INT(p.client.stream->sent - sent, COUNT * SIZE + 7 * 22);
    CHECK_INT(p.server.slices, 7);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    free(bytes);
}

TEST(ping_pong_is_one_op_and_one_slice_each_way)
{
    struct tapsi_test_pair p;
    NEED(ready_pair(&p));
    uint64_t client = p.client.stream->ops, server = p.server.stream->ops;
    for (int i = 0; i < 10; i++) {
        CHECK_INT(tapsi_test_send_text(&p.client, "ping", TAPSI_OP_END), 0);
        tapsi_test_pair_run(&p);
        CHECK_INT(tapsi_test_send_text(&p.server, "pong", TAPSI_OP_END), 0);
        tapsi_test_pair_run(&p);
    }
    CHECK_INT(p.client.stream->ops - client, 10);
    CHECK_INT(p.server.stream->ops - server, 10);
    CHECK_INT(p.client.slices, 10);
    CHECK_INT(p.server.slices, 10);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* Ranges: a head in the op, a body lent, an empty one between. */
TEST(ops_of_several_ranges_and_none)
{
    struct tapsi_test_pair p;
    NEED(ready_pair(&p));
    uint8_t *bytes = pattern(70000);
    struct tapsi_op *op = tapsi_op_new(&p.loop);
    NEED(op);
    CHECK_INT(tapsi_op_copy(op, bytes, 4), 0);
    tapsi_op_lend(op, bytes + 4, 0, NULL);
    tapsi_op_lend(op, bytes + 4, 69996, NULL);
    CHECK_INT(tapsi_test_send(&p.client, NULL, 0, TAPSI_OP_END), 0);
    CHECK_INT(tapsi_layer_send(p.client.top, op), 0);
    CHECK_INT(tapsi_test_send(&p.client, NULL, 0, TAPSI_OP_END), 0);
    tapsi_test_pair_run(&p);
    CHECK(got_pattern(&p.server, 70000));
    CHECK_INT(p.client.sent, 2);
    CHECK_INT(tapsi_test_send(&p.client, NULL, 0, TAPSI_OP_END), 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.sent, 3);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    free(bytes);
}

/* ------------------------------------------------------------------------------------------------- credit */

TEST(without_credit_nothing_goes_up_and_little_is_held)
{
    uint8_t *bytes = pattern(BIG);
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.server.window = 0;
    NEED(tapsi_test_pair_handshake(&p));
    p.client.stream->held_max = 100000;
    uint64_t before = p.server.stream->delivered;
    for (int i = 0; i < 3; i++)
        CHECK_INT(tapsi_test_send(&p.client, bytes + i * (BIG / 3), BIG / 3, 0), 0);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.server.got_length, 0);
    CHECK(p.server.stream->delivered - before <= 16384 + 256 + 5);
    CHECK_INT(p.client.sent, 0);
    union tapsi_got unsent;
    CHECK_INT(tapsi_layer_get(p.client.top, TAPSI_GET_UNSENT, &unsent), 0);
    CHECK(unsent.value.integer > BIG / 2);
    tapsi_test_grant(&p.server, 5000);
    tapsi_test_pair_run(&p);
    CHECK(got_pattern(&p.server, BIG / 3 * 3));
    CHECK_INT(p.client.sent, 3);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    free(bytes);
}

/* A window that is granted only once: exactly what exceeds it by less than a record goes up. */
TEST(credit_bounds_what_goes_up)
{
    uint8_t *bytes = pattern(200000);
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.server.window = 0;
    NEED(tapsi_test_pair_handshake(&p));
    CHECK_INT(tapsi_test_send(&p.client, bytes, 200000, 0), 0);
    tapsi_layer_want(p.server.top, 20000);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.server.got_length, 32768);
    for (int i = 0; i < 20; i++) {
        tapsi_layer_want(p.server.top, 10000);
        tapsi_test_pair_run(&p);
    }
    CHECK(got_pattern(&p.server, 200000));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    free(bytes);
}

/* A peer that takes nothing bounds what is encrypted: at most `ahead` and a record more lies below. */
TEST(a_stalled_peer_bounds_what_is_encrypted)
{
    uint8_t *bytes = pattern(BIG);
    struct tapsi_test_pair p;
    NEED(ready_pair(&p));
    tapsi_test_grant(&p.server, 0);
    p.client.stream->held_max = 1;
    tapsi_test_send(&p.client, bytes, 60000, 0); /* one slice is taken, by the credit of before */
    tapsi_test_pair_run(&p);
    CHECK_INT(tapsi_test_send(&p.client, bytes, BIG, 0), 0);
    tapsi_test_pair_run(&p);
    CHECK(p.client.stream->layer.queued >= 190000);
    CHECK(p.client.stream->layer.queued <= 256 * 1024 + 16384 + 22);
    CHECK_INT(p.client.sent, 1);
    tapsi_test_grant(&p.server, 1000000);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.sent, 2);
    CHECK_INT(p.server.got_length, BIG + 60000);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    free(bytes);
}

TEST(an_alert_is_heard_without_credit)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.client.window = 0;
    NEED(tapsi_test_pair_handshake(&p));
    static const char garbage[] = "\x17\x03\x03\x00\x20 this is what nobody encrypted at all";
    tapsi_test_stream_arrive(p.server.stream, garbage, sizeof(garbage));
    tapsi_test_pair_run(&p);
    CHECK_INT(p.server.closed, 1);
    CHECK_INT(p.client.closed, 1);
    CHECK_INT(p.client.error.pub.code, TAPS_E_TLS);
    CHECK_INT(p.client.error.pub.native, GNUTLS_A_BAD_RECORD_MAC);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(reset_is_told_without_credit_and_frees_what_was_held)
{
    uint8_t *bytes = pattern(100000);
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    p.client.window = 0;
    NEED(tapsi_test_pair_handshake(&p));
    tapsi_test_send(&p.server, bytes, 100000, 0);
    tapsi_test_pair_run(&p);
    tapsi_test_stream_reset(p.client.stream);
    CHECK_INT(p.client.error.pub.code, TAPS_E_ABORTED);
    CHECK_INT(p.client.got_length, 0);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
    free(bytes);
}

/* ------------------------------------------------------------------------------------- a peer of another make */

/* A server made of bare GnuTLS behind the plain end of a pair, so that it can do what our layer never does. */
struct foreign {
    struct tapsi_test_pair pair;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    gnutls_datum_t ticket_key;
    size_t read; /* of what the plain end got */
};

static ssize_t foreign_push(gnutls_transport_ptr_t ptr, const void *bytes, size_t count)
{
    struct foreign *f = ptr;
    return tapsi_test_send(&f->pair.server, bytes, count, 0) == 0 ? (ssize_t)count : -1;
}

static ssize_t foreign_pull(gnutls_transport_ptr_t ptr, void *to, size_t room)
{
    struct foreign *f = ptr;
    size_t left = f->pair.server.got_length - f->read, part = left < room ? left : room;
    if (part == 0) {
        gnutls_transport_set_errno(f->session, EAGAIN);
        return -1;
    }
    memcpy(to, f->pair.server.got + f->read, part);
    f->read += part;
    return (ssize_t)part;
}

static int foreign_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
    (void)ms;
    const struct foreign *f = ptr;
    return f->pair.server.got_length > f->read;
}

static bool foreign_open(struct foreign *f, const char *priority)
{
    *f = (struct foreign){.session = NULL};
    const struct tapsi_test_identity *i = tapsi_test_server();
    gnutls_datum_t chain = {(unsigned char *)i->certificate, (unsigned)strlen(i->certificate)};
    gnutls_datum_t key = {(unsigned char *)i->key, (unsigned)strlen(i->key)};
    if (!tapsi_test_pair_init(&f->pair))
        return false;
    f->pair.plain[1] = true;
    gnutls_certificate_allocate_credentials(&f->credentials);
    gnutls_certificate_set_x509_key_mem2(f->credentials, &chain, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_init(&f->session, GNUTLS_SERVER | GNUTLS_NONBLOCK);
    gnutls_priority_set_direct(f->session, priority, NULL);
    gnutls_credentials_set(f->session, GNUTLS_CRD_CERTIFICATE, f->credentials);
    gnutls_session_ticket_key_generate(&f->ticket_key);
    gnutls_session_ticket_enable_server(f->session, &f->ticket_key);
    gnutls_transport_set_ptr(f->session, f);
    gnutls_transport_set_push_function(f->session, foreign_push);
    gnutls_transport_set_pull_function(f->session, foreign_pull);
    gnutls_transport_set_pull_timeout_function(f->session, foreign_timeout);
    if (tapsi_test_pair_open(&f->pair) != 0)
        return false;
    int r = GNUTLS_E_AGAIN;
    for (int k = 0; k < 8 && r != 0; k++) {
        tapsi_test_pair_run(&f->pair);
        r = gnutls_handshake(f->session);
    }
    tapsi_test_pair_run(&f->pair);
    return r == 0 && f->pair.client.ready;
}

/* What our end sent, as text. */
static const char *foreign_read(struct foreign *f)
{
    static char text[256];
    ssize_t r = GNUTLS_E_AGAIN;
    for (int k = 0; k < 8 && r < 0; k++)
        r = gnutls_record_recv(f->session, text, sizeof(text) - 1);
    text[r > 0 ? r : 0] = '\0';
    return text;
}

static void foreign_done(struct foreign *f)
{
    gnutls_deinit(f->session);
    gnutls_certificate_free_credentials(f->credentials);
    gnutls_free(f->ticket_key.data);
    CHECK_INT(tapsi_test_pair_done(&f->pair), 0);
}

TEST(key_updates_between_records_are_followed)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL"));
    for (int i = 0; i < 3; i++) {
        CHECK_INT(gnutls_record_send(f.session, "a", 1), 1);
        CHECK_INT(gnutls_session_key_update(f.session, GNUTLS_KU_PEER), 0);
        CHECK_INT(gnutls_record_send(f.session, "b", 1), 1);
    }
    tapsi_test_pair_run(&f.pair);
    CHECK(tapsi_test_got(&f.pair.client, "ababab"));
    CHECK_INT(tapsi_test_send_text(&f.pair.client, "after the updates", 0), 0);
    tapsi_test_pair_run(&f.pair);
    CHECK_TEXT(foreign_read(&f), "after the updates");
    foreign_done(&f);
}

/* Taken off the wire while nobody here wants data, and answered with the next record (RFC 8446, 4.6.3). */
TEST(key_update_is_taken_without_credit)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL"));
    tapsi_test_grant(&f.pair.client, 0);
    CHECK_INT(gnutls_session_key_update(f.session, GNUTLS_KU_PEER), 0);
    CHECK_INT(gnutls_record_send(f.session, "held", 4), 4);
    tapsi_test_pair_run(&f.pair);
    CHECK_INT(f.pair.client.got_length, 0);
    CHECK_INT(f.pair.client.stream->end - f.pair.client.stream->begin, 0);
    CHECK_INT(tapsi_test_send_text(&f.pair.client, "answered", 0), 0);
    tapsi_test_pair_run(&f.pair);
    CHECK_TEXT(foreign_read(&f), "answered");
    tapsi_test_grant(&f.pair.client, 10);
    tapsi_test_pair_run(&f.pair);
    CHECK(tapsi_test_got(&f.pair.client, "held"));
    foreign_done(&f);
}

/* Every update asks for an answer: GnuTLS stops that at some eight a second. */
TEST(a_flood_of_key_updates_ends_the_session)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL"));
    for (int i = 0; i < 1000 && !f.pair.client.closed; i++) {
        gnutls_session_key_update(f.session, GNUTLS_KU_PEER);
        tapsi_test_pair_run(&f.pair);
    }
    CHECK_INT(f.pair.client.closed, 1);
    CHECK_INT(f.pair.client.error.pub.code, TAPS_E_TLS);
    foreign_done(&f);
}

/* We offer no resumption, so a well-behaved server sends no ticket; one that is sent nevertheless does no harm. */
TEST(tickets_do_not_disturb)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL"));
    gnutls_session_ticket_send(f.session, 3, 0);
    gnutls_record_send(f.session, "data", 4);
    tapsi_test_pair_run(&f.pair);
    CHECK(tapsi_test_got(&f.pair.client, "data"));
    CHECK_INT(f.pair.client.closed, 0);
    foreign_done(&f);
}

TEST(records_are_split_for_a_peer_that_asks_for_small_ones)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL"));
    uint8_t *bytes = pattern(50000);
    CHECK_INT(tapsi_test_send(&f.pair.client, bytes, 50000, 0), 0);
    tapsi_test_pair_run(&f.pair);
    uint8_t *back = malloc(50000);
    size_t got = 0;
    ssize_t r;
    while (back && got < 50000 && (r = gnutls_record_recv(f.session, back + got, 50000 - got)) > 0)
        got += (size_t)r;
    CHECK_INT(got, 50000);
    CHECK(back && memcmp(bytes, back, got) == 0);
    free(back);
    free(bytes);
    foreign_done(&f);
}

TEST(renegotiation_is_refused_once_and_then_the_session_ends)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL:-VERS-ALL:+VERS-TLS1.2"));
    CHECK_INT(gnutls_rehandshake(f.session), 0);
    tapsi_test_pair_run(&f.pair);
    CHECK_INT(f.pair.client.closed, 0);
    char byte;
    ssize_t r = gnutls_record_recv(f.session, &byte, 1);
    CHECK_INT(r, GNUTLS_E_WARNING_ALERT_RECEIVED);
    CHECK_INT(gnutls_alert_get(f.session), GNUTLS_A_NO_RENEGOTIATION);
    CHECK_INT(gnutls_record_send(f.session, "still here", 10), 10);
    tapsi_test_pair_run(&f.pair);
    CHECK(tapsi_test_got(&f.pair.client, "still here"));
    CHECK_INT(gnutls_rehandshake(f.session), 0);
    tapsi_test_pair_run(&f.pair);
    CHECK_INT(f.pair.client.closed, 1);
    CHECK_INT(f.pair.client.error.pub.code, TAPS_E_TLS);
    foreign_done(&f);
}

TEST(a_warning_alert_is_no_end)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL:-VERS-ALL:+VERS-TLS1.2"));
    CHECK_INT(gnutls_alert_send(f.session, GNUTLS_AL_WARNING, GNUTLS_A_UNRECOGNIZED_NAME), 0);
    CHECK_INT(gnutls_record_send(f.session, "data", 4), 4);
    tapsi_test_pair_run(&f.pair);
    CHECK(tapsi_test_got(&f.pair.client, "data"));
    foreign_done(&f);
}

TEST(a_fatal_alert_is_named)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL"));
    CHECK_INT(gnutls_alert_send(f.session, GNUTLS_AL_FATAL, GNUTLS_A_ACCESS_DENIED), 0);
    tapsi_test_pair_run(&f.pair);
    CHECK_INT(f.pair.client.error.pub.code, TAPS_E_TLS);
    CHECK_INT(f.pair.client.error.pub.native, GNUTLS_A_ACCESS_DENIED);
    CHECK_TEXT(f.pair.client.error.pub.detail, "the peer example.test sent the alert access denied");
    foreign_done(&f);
}

TEST(half_close_of_a_foreign_peer)
{
    struct foreign f;
    NEED(foreign_open(&f, "NORMAL"));
    CHECK_INT(gnutls_bye(f.session, GNUTLS_SHUT_WR), 0);
    tapsi_test_pair_run(&f.pair);
    CHECK_INT(f.pair.client.final, 1);
    CHECK_INT(tapsi_test_send_text(&f.pair.client, "rest", TAPSI_OP_FINAL), 0);
    tapsi_test_pair_run(&f.pair);
    CHECK_TEXT(foreign_read(&f), "rest");
    char byte;
    CHECK_INT(gnutls_record_recv(f.session, &byte, 1), 0);
    CHECK_INT(f.pair.client.closed, 1);
    CHECK_INT(f.pair.client.error.pub.code, 0);
    foreign_done(&f);
}
