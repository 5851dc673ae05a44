/* Messages in pieces, lent with a release, and buffers that are kept and sent: what arrives, and whose the memory is.
 */
#include <stdio.h>
#include <string.h>
#include <taps/framer.h>
#include "peer.h"

#define V4 "192.0.2.1:80"

enum kind { TCP, UDP, TLS, FRAMED, KINDS };

static struct peer server;
static struct tapsi_test_identity identity;

static void datagrams(struct world *w)
{
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
}

static void frame(struct world *w)
{
    taps_framer *framer = NULL;
    world_start(w);
    CHECK_INT(taps_framer_new_text("length-prefix:length=4", &framer), 0);
    if (w->preconnection)
        CHECK_INT(taps_preconnection_add_framer(w->preconnection, framer), 0);
    taps_framer_free(framer);
}

/* A Connection to somebody who sends back what comes. */
static void connect_to_echo(struct world *w, enum kind kind)
{
    world_new(w);
    w->keep_reading = true;
    if (kind == TCP || kind == FRAMED)
        tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    if (kind == FRAMED)
        frame(w);
    if (kind == UDP) {
        datagrams(w);
        tapsi_sim_udp_echo(w->server, 80);
    }
    if (kind == TLS) {
        identity = peer_certificate("192.0.2.1", NULL, NULL);
        peer_new(w, w->server, &server);
        peer_secure(&server, &identity);
        server.echo = true;
        peer_listen(w, &server, V4);
        world_secure(w);
    }
    world_initiate(w, V4, 0);
    if (!w->connection)
        return;
    CHECK_INT(taps_connection_receive(w->connection, 1, 65536, NULL), 0);
    world_run_until_ready(w);
}

static void finish(struct world *w, enum kind kind)
{
    if (kind == TLS) {
        peer_done(&server);
        tapsi_test_identity_free(&identity);
    }
    world_finish(w);
}

static char bytes[60000];
static struct iovec pieces[TAPS_PIECES_MAX + 1];

/* `count` pieces that are not side by side, of `length` bytes in all; the last one takes what is left. */
static size_t cut(size_t count, size_t length)
{
    static char apart[2 * sizeof(bytes)];
    size_t each = length / count, done = 0;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 31 % 251);
    for (size_t i = 0; i < count; i++) {
        size_t part = i + 1 < count ? each : length - done;
        pieces[i] = (struct iovec){apart + done + i, part};
        memcpy(pieces[i].iov_base, bytes + done, part);
        done += part;
    }
    return length;
}

static void check_echo(struct world *w, size_t length)
{
    CHECK_INT(w->heard.sent, 1);
    CHECK_INT(w->heard.length, length);
    CHECK(memcmp(w->heard.data, bytes, length) == 0);
}

/* --------------------------------------------------------------------------------------------------- in pieces */

TEST(pieces_arrive_in_order_as_one_message)
{
    static const size_t counts[] = {1, 2, 5, 17, TAPS_PIECES_MAX};
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < 2 * sizeof(counts) / sizeof(counts[0]); i++) {
            struct world w;
            unsigned flags = i % 2 ? TAPS_SEND_LEND : 0;
            connect_to_echo(&w, (enum kind)kind);
            size_t length = cut(counts[i / 2], kind == UDP ? 1400 : 50000);
            CHECK_INT(taps_connection_sendv(w.connection, pieces, counts[i / 2], NULL, flags, (void *)3), 0);
            if (!flags)
                memset(pieces[0].iov_base, 'x', pieces[0].iov_len); /* it was copied */
            world_run_ms(&w, 1000);
            check_echo(&w, length);
            if (kind == UDP)
                CHECK_INT(w.heard.received, 1);
            finish(&w, (enum kind)kind);
        }
    }
}

TEST(several_messages_in_pieces_stay_in_order)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct world w;
        connect_to_echo(&w, (enum kind)kind);
        cut(40, 400);
        for (size_t i = 0; i < 4; i++)
            CHECK_INT(taps_connection_sendv(w.connection, pieces + 10 * i, 10, NULL, TAPS_SEND_LEND, NULL), 0);
        world_run_ms(&w, 1000);
        CHECK_INT(w.heard.sent, 4);
        CHECK_INT(w.heard.length, 400);
        CHECK(memcmp(w.heard.data, bytes, 400) == 0);
        finish(&w, (enum kind)kind);
    }
}

TEST(an_empty_message_has_no_pieces_or_empty_ones)
{
    struct world w;
    struct iovec empty[3] = {{NULL, 0}, {bytes, 0}, {NULL, 0}};
    connect_to_echo(&w, UDP);
    CHECK_INT(taps_connection_sendv(w.connection, NULL, 0, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_sendv(w.connection, empty, 3, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_sendv(w.connection, empty, 3, NULL, TAPS_SEND_LEND, NULL), 0);
    CHECK_INT(taps_connection_sendv(w.connection, NULL, 0, NULL, TAPS_SEND_LEND, NULL), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.sent, 4);
    CHECK_INT(w.heard.received, 4);
    CHECK_INT(w.heard.length, 0);
    finish(&w, UDP);
}

static void never(void *arg)
{
    (void)arg;
    tapsi_test_fail(__FILE__, __LINE__, "what was not taken was released");
}

TEST(pieces_that_make_no_sense_are_refused)
{
    struct world w;
    connect_to_echo(&w, TCP);
    taps_connection *c = w.connection;
    cut(TAPS_PIECES_MAX, 1000);
    pieces[TAPS_PIECES_MAX] = pieces[0];
    struct iovec bad[2] = {{bytes, 1}, {NULL, 1}}, huge[2] = {{bytes, SIZE_MAX / 2}, {bytes, SIZE_MAX / 2}};
    CHECK_INT(taps_connection_sendv(NULL, pieces, 1, NULL, 0, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_sendv(c, NULL, 1, NULL, 0, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_sendv(c, bad, 2, NULL, 0, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_sendv(c, huge, 2, NULL, 0, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_sendv(c, pieces, 1, NULL, 64, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_sendv(c, pieces, TAPS_PIECES_MAX + 1, NULL, 0, NULL), TAPS_E_RANGE);
    CHECK_INT(taps_connection_send_lent(c, pieces, 1, NULL, 0, NULL, NULL, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_send_lent(NULL, pieces, 1, NULL, 0, NULL, never, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_send_lent(c, bad, 2, NULL, 0, NULL, never, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_send_lent(c, pieces, 1, NULL, TAPS_SEND_LEND, NULL, never, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_connection_send_lent(c, pieces, TAPS_PIECES_MAX + 1, NULL, 0, NULL, never, NULL), TAPS_E_RANGE);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent + w.heard.send_error, 0);
    finish(&w, TCP);
}

/* -------------------------------------------------------------------------------------------------------- lent */

struct lent {
    struct world *w;
    unsigned released, events; /* events: of the Sends, when it was released */
};

static void on_release(void *arg)
{
    struct lent *l = arg;
    l->released++;
    l->events = l->w->heard.sent + l->w->heard.expired + l->w->heard.send_error;
    l->w->heard.inside_call += l->w->in_call;
}

static int lend(struct lent *l, size_t length, const char *property, const char *value, unsigned flags)
{
    taps_message_context *context = NULL;
    cut(3, length);
    if (property) {
        taps_message_context_new(&context);
        CHECK_INT(taps_message_context_set(context, property, value), 0);
    }
    l->w->in_call = true;
    int err = taps_connection_send_lent(l->w->connection, pieces, 3, context, flags, NULL, on_release, l);
    l->w->in_call = false;
    taps_message_context_free(context);
    return err;
}

TEST(what_is_lent_is_released_once_after_its_event)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct world w;
        struct lent l = {.w = &w};
        connect_to_echo(&w, (enum kind)kind);
        CHECK_INT(lend(&l, 1000, NULL, NULL, 0), 0);
        CHECK_INT(l.released, 0);
        world_run_ms(&w, 1000);
        CHECK_INT(l.released, 1);
        CHECK_INT(l.events, 1);
        check_echo(&w, 1000);
        finish(&w, (enum kind)kind);
        CHECK_INT(l.released, 1);
    }
}

TEST(what_is_lent_is_released_where_nobody_listens_for_sent)
{
    struct world w;
    struct lent l = {.w = &w};
    static const struct taps_connection_events deaf = {.ready = NULL};
    connect_to_echo(&w, TCP);
    taps_connection_set_events(w.connection, &deaf, &w);
    CHECK_INT(lend(&l, 1000, NULL, NULL, 0), 0);
    CHECK_INT(l.released, 0);
    world_run_ms(&w, 100);
    CHECK_INT(l.released, 1);
    finish(&w, TCP);
}

/* A peer that does not read: most of it waits when the end comes. */
static void lend_to_one_who_stalls(struct world *w, struct lent *l)
{
    *l = (struct lent){.w = w};
    world_new(w);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_STALL);
    world_initiate(w, V4, 0);
    world_run_until_ready(w);
    for (int i = 0; i < 20; i++)
        CHECK_INT(lend(l, 12000, NULL, NULL, 0), 0);
    world_run_ms(w, 100);
    CHECK(l->released < 20);
}

TEST(abort_releases_what_is_lent)
{
    struct world w;
    struct lent l;
    lend_to_one_who_stalls(&w, &l);
    w.in_call = true;
    taps_connection_abort(w.connection);
    w.in_call = false;
    world_run_until_end(&w);
    world_run_ms(&w, 10);
    CHECK_INT(w.heard.sent + w.heard.send_error, 20);
    CHECK_INT(l.released, 20);
    world_finish(&w);
}

TEST(free_releases_what_is_lent_without_events)
{
    struct world w;
    struct lent l;
    lend_to_one_who_stalls(&w, &l);
    unsigned events = w.heard.total, before = l.released;
    w.in_call = true;
    taps_connection_free(w.connection);
    w.in_call = false;
    w.connection = NULL;
    CHECK_INT(l.released, before);
    while (taps_context_run_once(w.context, 0) > 0) /* it is something that is still to come */
        continue;
    CHECK_INT(l.released, 20);
    CHECK_INT(w.heard.total, events);
    world_finish(&w);
}

TEST(the_end_of_the_context_releases_what_is_lent)
{
    struct world w;
    struct lent l;
    lend_to_one_who_stalls(&w, &l);
    world_finish(&w);
    CHECK_INT(l.released, 20);
}

TEST(what_expires_or_is_refused_is_released)
{
    struct world w;
    struct lent l;
    lend_to_one_who_stalls(&w, &l);
    unsigned before = l.released;
    CHECK_INT(lend(&l, 10, "msgLifetime", "0.05", 0), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.expired, 1);
    CHECK_INT(l.released, before + 1);
    CHECK_INT(lend(&l, 10, "msgReliable", "false", 0), 0);
    world_run_ms(&w, 10);
    CHECK_INT(w.heard.send_error, 1);
    CHECK_INT(l.released, before + 2);
    taps_connection_abort(w.connection);
    CHECK_INT(taps_connection_send_lent(w.connection, pieces, 1, NULL, 0, NULL, never, NULL), TAPS_E_CLOSED);
    world_run_until_end(&w);
    world_finish(&w);
    CHECK_INT(l.released, 22);
}

TEST(what_finds_no_room_is_not_released)
{
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
    world_initiate(&w, V4, 0);
    CHECK_INT(taps_connection_set_property(w.connection, "_taps.sendBuffer", "100"), 0);
    CHECK_INT(taps_connection_send(w.connection, "x", 1, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_send_lent(w.connection, pieces, 0, NULL, 0, NULL, never, NULL), TAPS_E_FULL);
    world_finish(&w);
}

/* The parts of one Message, each with a release of its own. */
TEST(parts_can_be_lent)
{
    struct world w;
    struct lent l = {.w = &w};
    connect_to_echo(&w, TCP);
    for (int i = 0; i < 9; i++)
        CHECK_INT(lend(&l, 300, NULL, NULL, TAPS_SEND_PARTIAL), 0);
    CHECK_INT(lend(&l, 300, NULL, NULL, 0), 0);
    world_run_ms(&w, 100);
    CHECK_INT(l.released, 10);
    CHECK_INT(w.heard.length, 3000);
    for (int i = 0; i < 10; i++)
        CHECK(memcmp(w.heard.data + (size_t)300 * (size_t)i, bytes, 300) == 0);
    finish(&w, TCP);
}

static void send_more(void *arg)
{
    struct lent *l = arg;
    if (++l->released < 5)
        CHECK_INT(taps_connection_send_lent(l->w->connection, pieces, 3, NULL, 0, NULL, send_more, l), 0);
    else
        taps_connection_free(l->w->connection);
}

TEST(a_release_may_call_what_it_likes)
{
    struct world w;
    struct lent l = {.w = &w};
    connect_to_echo(&w, TCP);
    cut(3, 100);
    CHECK_INT(taps_connection_send_lent(w.connection, pieces, 3, NULL, 0, NULL, send_more, &l), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(l.released, 5);
    w.connection = NULL;
    finish(&w, TCP);
}

/* ----------------------------------------------------------------------------------------------------- buffers */

TEST(a_buffer_has_head_room)
{
    struct world w;
    taps_buffer *b = NULL;
    world_new(&w);
    world_start(&w);
    CHECK_INT(taps_buffer_new(w.context, 5, 3, &b), 0);
    NEED(b);
    memcpy(taps_buffer_data(b), "hello", 5);
    CHECK_INT(taps_buffer_length(b), 5);
    CHECK_INT(taps_buffer_prepend(b, "1234", 4), TAPS_E_RANGE);
    CHECK_INT(taps_buffer_prepend(b, "12", 2), 0);
    CHECK_INT(taps_buffer_prepend(b, NULL, 0), 0);
    CHECK_INT(taps_buffer_prepend(b, "<", 1), 0);
    CHECK_INT(taps_buffer_prepend(b, "<", 1), TAPS_E_RANGE);
    CHECK_INT(taps_buffer_length(b), 8);
    CHECK(memcmp(taps_buffer_data(b), "<12hello", 8) == 0);
    CHECK_INT(taps_buffer_trim(b, 9, 0), TAPS_E_RANGE);
    CHECK_INT(taps_buffer_trim(b, 4, 5), TAPS_E_RANGE);
    CHECK_INT(taps_buffer_trim(b, 4, 3), 0);
    CHECK(taps_buffer_length(b) == 3 && memcmp(taps_buffer_data(b), "ell", 3) == 0);
    CHECK_INT(taps_buffer_prepend(b, "wxyz", 4), 0);
    CHECK_INT(taps_buffer_trim(b, 1, SIZE_MAX), 0);
    CHECK(taps_buffer_length(b) == 6 && memcmp(taps_buffer_data(b), "xyzell", 6) == 0);
    CHECK_INT(taps_buffer_trim(b, 6, SIZE_MAX), 0);
    CHECK_INT(taps_buffer_length(b), 0);
    taps_buffer_unref(b);
    world_finish(&w);
}

TEST(a_buffer_with_two_references_is_not_changed)
{
    struct world w;
    taps_buffer *b = NULL;
    world_new(&w);
    world_start(&w);
    CHECK_INT(taps_buffer_new(w.context, 5, 3, &b), 0);
    NEED(b);
    CHECK(taps_buffer_ref(b) == b);
    CHECK_INT(taps_buffer_prepend(b, "1", 1), TAPS_E_STATE);
    CHECK_INT(taps_buffer_trim(b, 1, 1), TAPS_E_STATE);
    taps_buffer_unref(b);
    CHECK_INT(taps_buffer_prepend(b, "1", 1), 0);
    taps_buffer_unref(b);
    world_finish(&w);
}

TEST(buffers_of_nonsense_are_refused)
{
    struct world w;
    taps_buffer *b = NULL;
    world_new(&w);
    world_start(&w);
    CHECK_INT(taps_buffer_new(NULL, 1, 0, &b), TAPS_E_ARGUMENT);
    CHECK_INT(taps_buffer_new(w.context, 1, 0, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_buffer_new(w.context, SIZE_MAX, 0, &b), TAPS_E_RANGE);
    CHECK_INT(taps_buffer_new(w.context, 1, SIZE_MAX, &b), TAPS_E_RANGE);
    CHECK_INT(taps_buffer_new(w.context, SIZE_MAX, SIZE_MAX, &b), TAPS_E_RANGE);
    CHECK_INT(taps_buffer_prepend(NULL, "1", 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_buffer_trim(NULL, 0, 0), TAPS_E_ARGUMENT);
    CHECK_INT(taps_received_keep(NULL, &b), TAPS_E_ARGUMENT);
    CHECK(!b && !taps_buffer_ref(NULL) && !taps_buffer_data(NULL) && taps_buffer_length(NULL) == 0);
    taps_buffer_unref(NULL);
    CHECK_INT(taps_connection_send_buffer(NULL, NULL, NULL, 0, NULL), TAPS_E_ARGUMENT);
    world_finish(&w);
}

TEST(a_buffer_is_sent_and_can_be_let_go_of_at_once)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct world w;
        taps_buffer *b = NULL;
        connect_to_echo(&w, (enum kind)kind);
        CHECK_INT(taps_buffer_new(w.context, 1000, 10, &b), 0);
        NEED(b);
        cut(1, 1003);
        memcpy(taps_buffer_data(b), bytes + 3, 1000);
        CHECK_INT(taps_buffer_prepend(b, bytes, 3), 0);
        CHECK_INT(taps_connection_send_buffer(w.connection, b, NULL, 8, NULL), TAPS_E_ARGUMENT);
        CHECK_INT(taps_connection_send_buffer(w.connection, b, NULL, 0, NULL), 0);
        CHECK_INT(taps_buffer_prepend(b, "x", 1), TAPS_E_STATE); /* the Send has it too */
        taps_buffer_unref(b);
        world_run_ms(&w, 1000);
        check_echo(&w, 1003);
        finish(&w, (enum kind)kind);
    }
}

TEST(a_buffer_of_another_context_is_refused)
{
    struct world w;
    taps_buffer *b = NULL;
    struct taps_context_options options = {.log = NULL};
    connect_to_echo(&w, TCP);
    taps_context *other = world_context(w.sim, w.server, &options);
    NEED(other);
    CHECK_INT(taps_buffer_new(other, 10, 0, &b), 0);
    NEED(b);
    CHECK_INT(taps_connection_send_buffer(w.connection, b, NULL, 0, NULL), TAPS_E_ARGUMENT);
    taps_context_free(other); /* the buffer goes with it */
    finish(&w, TCP);
}

/* ------------------------------------------------------------------------------------------- what was received */

static taps_buffer *kept[8];
static size_t kept_count;

static void keep(taps_connection *c, const struct taps_received *m, void *user)
{
    struct world *w = user;
    (void)w;
    struct taps_received copy = *m;
    if (kept_count < 8) {
        int err = taps_received_keep(&copy, &kept[kept_count]);
        CHECK_INT(err, 0);
        kept_count += !err;
    }
    CHECK_INT(taps_received_keep(m, NULL), TAPS_E_ARGUMENT);
    if (!m->final)
        taps_connection_receive(c, 1, 65536, NULL);
}

static void talk_and_keep(struct world *w, enum kind kind)
{
    static struct taps_connection_events keeping;
    keeping = world_events;
    keeping.received = keeping.received_partial = keep;
    kept_count = 0;
    connect_to_echo(w, kind);
    taps_connection_set_events(w->connection, &keeping, w);
    for (int i = 0; i < 4; i++) {
        char text[] = "message 0";
        text[8] = (char)('0' + i);
        CHECK_INT(taps_connection_send(w->connection, text, 9, NULL, 0, NULL), 0);
        world_run_ms(w, 100);
    }
    CHECK_INT(kept_count, 4);
}

static void check_kept(void)
{
    for (size_t i = 0; i < kept_count; i++) {
        const char *data = taps_buffer_data(kept[i]);
        CHECK_INT(taps_buffer_length(kept[i]), 9);
        CHECK(memcmp(data, "message ", 8) == 0 && data[8] == (char)('0' + i));
    }
}

TEST(what_was_received_can_be_kept_beyond_its_connection)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct world w;
        talk_and_keep(&w, (enum kind)kind);
        CHECK_INT(taps_connection_send(w.connection, "something else", 14, NULL, 0, NULL), 0);
        world_run_ms(&w, 100);
        CHECK_INT(kept_count, 5);
        if (kept_count)
            taps_buffer_unref(kept[--kept_count]);
        taps_connection_free(w.connection);
        w.connection = NULL;
        world_run_ms(&w, 100);
        check_kept();
        for (size_t i = 0; i < kept_count; i++)
            taps_buffer_unref(kept[i]);
        finish(&w, (enum kind)kind);
    }
}

TEST(what_is_still_kept_goes_with_the_context)
{
    struct world w;
    talk_and_keep(&w, TCP);
    check_kept();
    finish(&w, TCP);
}

/* Head stripped, other head put in its place, and back: the same bytes all the time. */
TEST(what_was_kept_can_be_sent_on)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct world w;
        talk_and_keep(&w, (enum kind)kind);
        taps_connection_set_events(w.connection, &world_events, &w);
        for (size_t i = 0; i < kept_count; i++) {
            const char *before = taps_buffer_data(kept[i]);
            CHECK_INT(taps_buffer_trim(kept[i], 8, SIZE_MAX), 0);
            CHECK_INT(taps_buffer_prepend(kept[i], "number ", 7), 0);
            CHECK(before + 1 == (const char *)taps_buffer_data(kept[i]));
            CHECK_INT(taps_connection_send_buffer(w.connection, kept[i], NULL, 0, NULL), 0);
            taps_buffer_unref(kept[i]);
        }
        world_run_ms(&w, 500);
        CHECK_INT(w.heard.sent, 8);
        CHECK_INT(w.heard.length, 32);
        CHECK(memcmp(w.heard.data, "number 0number 1number 2number 3", 32) == 0);
        finish(&w, (enum kind)kind);
    }
}
