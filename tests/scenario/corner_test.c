/* Orders of events that are rare: two things in one moment, calls between an outcome and its event, peers that die
   early. Each of these was a fault once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "connection/context.h"
#include "peer.h"
#include "scenario.h"

#define V4 "192.0.2.1:80"

static char block[300000];

static taps_message_context *message(const char *name, const char *value)
{
    taps_message_context *c;
    taps_message_context_new(&c);
    CHECK_INT(taps_message_context_set(c, name, value), 0);
    return c;
}

static int send_some(struct world *w, size_t length, const taps_message_context *context)
{
    return taps_connection_send(w->connection, block, length, context, 0, NULL);
}

static int send_text(struct world *w, const char *text, const taps_message_context *context, unsigned flags)
{
    return taps_connection_send(w->connection, text, strlen(text), context, flags, NULL);
}

static void be_datagrams(struct world *w)
{
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
}

/* ---------------------------------------------------------------------------------------------------- sending */

/* An expired Message makes room, and the one behind it is handed down while the queue is being walked. */
/* proves API-100, API-111 */
TEST(expiry_makes_room_for_the_next_message)
{
    struct world w;
    taps_message_context *brief = message("msgLifetime", "0.1");
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_STALL);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(send_some(&w, 250000, NULL), 0);
    CHECK_INT(send_some(&w, 250000, brief), 0);
    CHECK_INT(send_some(&w, 250000, brief), 0);
    CHECK_INT(send_some(&w, 10, NULL), 0);
    CHECK_INT(send_some(&w, 250000, brief), 0);
    CHECK_INT(send_some(&w, 10, NULL), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.expired, 3);
    taps_connection_abort(w.connection);
    world_run_until_end(&w);
    CHECK_INT(w.heard.sent + w.heard.send_error, 3);
    taps_message_context_free(brief);
    world_finish(&w);
}

/* Offered to the kernel, which took nothing of it: it can still expire. */
/* proves API-100 */
TEST(message_behind_a_blocked_one_expires)
{
    struct world w;
    taps_message_context *brief = message("msgLifetime", "0.1");
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_STALL);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK_INT(send_some(&w, 200000, brief), 0);
    CHECK_INT(send_some(&w, 10, brief), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.expired, 1); /* of the first some bytes are on their way: there is no taking it back */
    CHECK_INT(w.heard.sent, 0);
    taps_message_context_free(brief);
    world_finish(&w);
}

static void send_again(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct world *w = user;
    (void)tag;
    (void)error;
    if (w->heard.send_error++ < 1000)
        CHECK_INT(taps_connection_send(c, block, sizeof(block), NULL, 0, NULL), 0);
}

static void count_turn(void *arg)
{
    struct world *w = arg;
    CHECK(w->heard.send_error < 500);
    w->heard.path_change++; /* not what it is for, but free */
}

/* Who sends what is refused again and again keeps nobody else waiting. */
TEST(refused_message_sent_again_and_again)
{
    struct world w;
    struct taps_connection_events stubborn = world_events;
    stubborn.send_error = send_again;
    world_new(&w);
    be_datagrams(&w);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    taps_connection_set_events(w.connection, &stubborn, &w);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_send(w.connection, block, sizeof(block), NULL, 0, NULL), 0);
    CHECK_INT(taps_context_post(w.context, count_turn, &w), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.path_change, 1);
    CHECK_INT(w.heard.send_error, 1001);
    world_finish(&w);
}

/* Refused one by one when the stack is known, not one inside the other. */
TEST(many_messages_that_the_stack_refuses)
{
    struct world w;
    taps_message_context *once = message("safelyReplayable", "false");
    enum { MANY = 100000 };
    world_new(&w);
    be_datagrams(&w);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(send_text(&w, "x", once, 0), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.send_error, MANY);
    taps_message_context_free(once);
    world_finish(&w);
}

/* proves API-112: the parts of one Message stay together, whatever is more urgent. */
TEST(urgent_message_does_not_split_a_partial_one)
{
    struct world w;
    taps_message_context *urgent = message("msgPriority", "1");
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0);
    w.keep_reading = true;
    taps_connection_receive(w.connection, 1, 65536, NULL);
    send_text(&w, "one,", NULL, TAPS_SEND_PARTIAL);
    send_text(&w, "two,", NULL, TAPS_SEND_PARTIAL);
    send_text(&w, "three;", NULL, 0);
    send_text(&w, "urgent;", urgent, 0);
    world_run_ms(&w, 200);
    CHECK(memcmp(w.heard.data, "urgent;one,two,three;", 21) == 0);
    taps_message_context_free(urgent);
    world_finish(&w);
}

/* proves API-140: Close ends a batch too, or it would wait for ever. */
TEST(close_inside_a_batch_delivers)
{
    struct world w;
    world_new(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    taps_connection_start_batch(w.connection);
    send_text(&w, "hello", NULL, 0);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(tapsi_sim_service_counts(s).received, 5);
    world_finish(&w);
}

TEST(absurd_initiate_with_send)
{
    struct world w;
    taps_connection *c = NULL;
    world_new(&w);
    world_initiate(&w, V4, 0);
    CHECK_INT(taps_preconnection_initiate_with_send(w.preconnection, 0, NULL, NULL, "x", SIZE_MAX, NULL, TAPS_SEND_LEND,
                                                    NULL, &c),
              TAPS_E_ARGUMENT);
    CHECK_INT(taps_preconnection_initiate_with_send(w.preconnection, 0, NULL, NULL, "x", 1, NULL, 0x8000, NULL, &c),
              TAPS_E_ARGUMENT);
    CHECK(c == NULL);
    world_finish(&w);
}

/* -------------------------------------------------------------------------------------------------- receiving */

/* The window is full, a little is taken, then all of it is asked for: that little must be granted again. */
/* proves API-120 */
TEST(receive_of_a_whole_window_is_answered)
{
    struct world w;
    world_new(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, block, sizeof(block));
    world_initiate(&w, V4, 0);
    taps_connection_receive(w.connection, 1, 10000, NULL);
    world_run_ms(&w, 3000);
    CHECK_INT(w.heard.received_partial, 1);
    taps_connection_receive(w.connection, 128 * 1024, SIZE_MAX, NULL);
    world_run_ms(&w, 3000);
    CHECK_INT(w.heard.received_partial, 2);
    world_finish(&w);
}

static unsigned late_receives;

static void receive_again(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct world *w = user;
    (void)tag;
    (void)error;
    w->heard.receive_error++;
    if (late_receives++ < 10 && taps_connection_receive(c, 100, 100, NULL) != TAPS_E_CLOSED)
        tapsi_test_fail(__FILE__, __LINE__, "Receive was taken though the end has come");
}

/* proves API-145: once the end is told, nothing is taken any more. */
TEST(receive_inside_the_last_receive_error_is_refused)
{
    struct world w;
    struct taps_connection_events again = world_events;
    again.receive_error = receive_again;
    world_new(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    late_receives = 0;
    world_initiate(&w, V4, 0);
    taps_connection_set_events(w.connection, &again, &w);
    world_run_until_ready(&w);
    taps_connection_receive(w.connection, 100, 100, NULL);
    send_text(&w, "less than asked for", NULL, 0);
    world_run_ms(&w, 100);
    tapsi_sim_service_end_all(s, true);
    world_run_until_end(&w);
    CHECK_INT(late_receives, 1);
    CHECK_INT(w.heard.connection_error, 1);
    world_finish(&w);
}

/* --------------------------------------------------------------------------------------------------------- ends */

static taps_connection *victim;

static void abort_other(taps_connection *c, void *user)
{
    struct world *w = user;
    (void)c;
    w->heard.ready++;
    CHECK_INT(taps_connection_abort(victim), 0);
}

/* Both are ready in one moment; the first to hear of it aborts the other, which says both, in order. */
/* proves API-141, API-144 */
TEST(abort_between_ready_and_its_event)
{
    struct world w, other;
    struct taps_connection_events aborts = world_events;
    aborts.ready = abort_other;
    world_new(&w);
    be_datagrams(&w); /* ready in the turn in which they begin */
    memset(&other, 0, sizeof(other));
    world_initiate(&w, V4, 0);
    taps_connection_set_events(w.connection, &aborts, &w);
    other.context = w.context;
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, &world_events, &other, &victim), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(other.heard.ready, 1);
    CHECK_INT(other.heard.connection_error, 1);
    CHECK_INT(other.heard.establishment_error, 0);
    CHECK_INT(other.heard.after_end, 0);
    CHECK_INT(other.heard.code, TAPS_E_LOCAL_ABORT);
    taps_connection_free(victim);
    world_finish(&w);
}

static void close_now(taps_connection *c, void *tag, void *user)
{
    struct world *w = user;
    (void)tag;
    w->heard.sent++;
    CHECK_INT(taps_connection_close(c), 0);
}

/* Both directions are over, and only the acknowledgement of our end is awaited: Close has nothing to add. */
/* proves API-140 */
TEST(close_after_both_ends_is_closed)
{
    struct world w;
    struct taps_connection_events closes = world_events;
    taps_message_context *final = message("final", "true");
    closes.sent = close_now;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_DISCARD);
    world_initiate(&w, V4, 0);
    taps_connection_set_events(w.connection, &closes, &w);
    taps_connection_receive(w.connection, 1, 100, NULL);
    world_run_ms(&w, 100);
    CHECK(w.heard.final);
    send_text(&w, "bye", final, 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(w.heard.connection_error, 0);
    CHECK_INT(w.heard.closed, 1);
    taps_message_context_free(final);
    world_finish(&w);
}

/* Both directions have ended, and what was received is not read: Close or Abort give it up, and the end is told. */
/* proves API-140, API-141 */
TEST(end_that_waits_for_the_reader_can_be_cut_short)
{
    for (int aborts = 0; aborts < 2; aborts++) {
        struct world w;
        taps_message_context *final = message("final", "true");
        world_new(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND);
        tapsi_sim_service_bytes(s, block, 1000);
        world_initiate(&w, V4, 0);
        taps_connection_receive(w.connection, 1, 10, NULL);
        send_text(&w, "bye", final, 0);
        world_run_ms(&w, 1000);
        CHECK_INT(w.heard.length, 10);
        CHECK_INT(w.heard.total, 3); /* ready, sent, received: the end waits */
        CHECK_INT(aborts ? taps_connection_abort(w.connection) : taps_connection_close(w.connection), 0);
        world_run_ms(&w, 1000);
        CHECK_INT(w.heard.closed, !aborts);
        CHECK_INT(w.heard.connection_error, aborts);
        CHECK_INT(w.heard.code, aborts ? TAPS_E_LOCAL_ABORT : 0);
        CHECK_INT(taps_connection_close(w.connection), TAPS_E_STATE);
        taps_message_context_free(final);
        world_finish(&w);
    }
}

/* The network said that the host is gone, and TCP gave up: that is an end, not a soft error, though nobody reads. */
/* proves API-143 */
TEST(unreachable_for_good_is_a_connection_error)
{
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    tapsi_sim_fault(w.sim, "192.0.2.1", TAPSI_SIM_UNREACHABLE);
    send_text(&w, "lost", NULL, 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.soft_error, 0);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_UNREACHABLE);
    world_finish(&w);
}

/* proves API-096: told, and the Connection lives on, while it is written and while it is read. */
TEST(soft_errors_do_not_end_a_connection)
{
    for (int reads = 0; reads < 2; reads++) {
        struct world w;
        world_new(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        taps_transport_properties_set(w.properties, "softErrorNotify", "require");
        world_initiate(&w, V4, 0);
        world_run_until_ready(&w);
        w.keep_reading = reads;
        if (reads)
            taps_connection_receive(w.connection, 1, 100, NULL);
        tapsi_sim_fault(w.sim, V4, TAPSI_SIM_UNREACHABLE);
        send_text(&w, "one", NULL, 0);
        world_run_ms(&w, 1000);
        send_text(&w, "two", NULL, 0);
        world_run_ms(&w, 1000);
        tapsi_sim_fault(w.sim, V4, TAPSI_SIM_FINE);
        world_run_ms(&w, 60000);
        CHECK(w.heard.soft_error >= 1);
        CHECK_INT(w.heard.connection_error, 0);
        CHECK_INT(w.heard.sent, 2);
        CHECK_INT(w.heard.length, reads ? 6 : 0);
        world_finish(&w);
    }
}

/* _closeTimeout is a Connection Property: it holds from when it is set. */
TEST(close_timeout_can_be_set_while_connected)
{
    for (int when = 0; when < 2; when++) {
        struct world w;
        world_new(&w);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
        world_initiate(&w, V4, 0);
        if (when == 0)
            CHECK_INT(taps_connection_set_property(w.connection, "_closeTimeout", "2"), 0);
        world_run_until_ready(&w);
        if (when == 1)
            CHECK_INT(taps_connection_set_property(w.connection, "_closeTimeout", "2"), 0);
        tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
        send_text(&w, "lost", NULL, 0);
        double begin = taps_context_now_ms(w.context);
        taps_connection_close(w.connection);
        world_run_until_end(&w);
        CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
        CHECK(w.heard.end_ms - begin > 1900 && w.heard.end_ms - begin < 2500);
        world_finish(&w);
    }
}

/* Its window is shut, and so full is every queue that even TCP has not heard of the Close. */
/* proves API-140 */
TEST(close_to_a_peer_that_reads_nothing_ends)
{
    for (int count = 1; count <= 10; count += 3) {
        struct world w;
        world_new(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_STALL);
        taps_transport_properties_set(w.properties, "_closeTimeout", "5");
        world_initiate(&w, V4, 0);
        if (count != 4) /* one of them before it is ready */
            world_run_until_ready(&w);
        for (int i = 0; i < count; i++)
            CHECK_INT(send_some(&w, 200000, NULL), 0);
        CHECK_INT(taps_connection_close(w.connection), 0);
        world_run_ms(&w, 7000);
        CHECK_INT(w.heard.closed, 0);
        CHECK_INT(w.heard.connection_error, 1);
        CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
        CHECK_INT(w.heard.sent + w.heard.send_error, count);
        CHECK_INT(tapsi_sim_service_counts(s).ended, 0); /* what it has is not all there is, and must not look so */
        CHECK_INT(tapsi_sim_service_counts(s).reset, 1);
        world_finish(&w);
    }
}

/* But slow is not dead. */
TEST(close_waits_for_a_slow_peer)
{
    struct world w;
    world_new(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
    taps_transport_properties_set(w.properties, "_closeTimeout", "1");
    tapsi_sim_link_rate(w.link, 400000);
    world_initiate(&w, V4, 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(send_some(&w, 200000, NULL), 0);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(w.heard.sent, 3);
    CHECK(w.heard.end_ms > 10000);
    CHECK_INT(tapsi_sim_service_counts(s).received, 600000);
    world_finish(&w);
}

/* What was said once is said again, at the same place in memory. */
TEST(report_of_a_connection_that_is_over_stays)
{
    struct world w;
    struct taps_candidate_info first, again;
    world_new(&w);
    world_initiate(&w, V4, 0); /* nobody listens */
    world_run_until_end(&w);
    const taps_report *report = taps_connection_report(w.connection);
    CHECK_INT(taps_report_candidate(report, 0, &first), 0);
    CHECK(taps_connection_report(w.connection) == report);
    CHECK_INT(taps_report_candidate(report, 0, &again), 0);
    CHECK(first.reason == again.reason);
    world_finish(&w);
}

/* ----------------------------------------------------------------------------------------------------- resolving */

static unsigned resolved, resolved_with_error;

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    (void)user;
    (void)locals;
    (void)local_count;
    (void)remotes;
    resolved++;
    resolved_with_error += error != NULL;
    CHECK(error || remote_count == 2);
}

/* Around the moment at which the answer comes there is one outcome; and the error of an earlier action is gone. */
TEST(resolve_around_its_deadline)
{
    for (uint64_t ms = 8; ms < 14; ms++) {
        struct world w;
        resolved = resolved_with_error = 0;
        world_new(&w);
        tapsi_sim_dns_answer(w.dns, "dual.test", "AAAA", "2001:db8::1", 0);
        tapsi_sim_dns_answer(w.dns, "dual.test", "A", "192.0.2.1", 0);
        world_start(&w);
        taps_listener *l;
        CHECK_INT(taps_preconnection_listen(w.preconnection, NULL, NULL, &l), TAPS_E_CONFIGURATION);
        taps_preconnection_add_remote_text(w.preconnection, "dual.test:80");
        CHECK_INT(taps_preconnection_resolve(w.preconnection, ms, on_resolved, NULL), 0);
        CHECK_INT(taps_preconnection_error(w.preconnection)->code, 0);
        world_run_ms(&w, 100);
        CHECK_INT(resolved, 1);
        if (ms != 10)
            CHECK_INT(resolved_with_error, ms < 10);
        world_finish(&w);
    }
}

/* ----------------------------------------------------------------------------------------------------- listening */

struct server {
    taps_context *context;
    taps_preconnection *preconnection;
    taps_listener *listener;
    taps_connection *connections[8];
    unsigned received, ended, error_code;
    bool stingy; /* stops after each Connection that is delivered */
    bool poor;   /* memory for `left` more allocations */
    unsigned left;
};

static void *maybe(void *user, void *memory, size_t size)
{
    struct server *s = user;
    if (size == 0) {
        free(memory);
        return NULL;
    }
    if (s->poor && s->left-- == 0) {
        s->left = 0;
        return NULL;
    }
    return realloc(memory, size);
}

static void server_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct server *)user)->ended++;
}

static void server_error(taps_connection *c, const struct taps_error *error, void *user)
{
    CHECK(error->code < 0);
    server_closed(c, user);
}

static const struct taps_connection_events server_events = {.closed = server_closed, .connection_error = server_error};

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    struct server *s = user;
    taps_connection_set_events(c, &server_events, s);
    s->connections[s->received++] = c;
    if (s->stingy)
        taps_listener_set_new_connection_limit(l, 0);
}

static const struct taps_listener_events listener_events = {.connection_received = on_connection};

static void server_start_secure(struct world *w, struct server *s, const char *local, const char *remote,
                                const taps_security_parameters *security)
{
    struct taps_allocator allocator = {maybe, s};
    struct taps_context_options options = {.allocator = &allocator};
    memset(s, 0, sizeof(*s));
    s->context = world_context(w->sim, w->server, &options);
    taps_preconnection_new(s->context, &s->preconnection);
    taps_preconnection_set_security_parameters(s->preconnection, security);
    taps_preconnection_set_transport_properties(s->preconnection, w->properties);
    CHECK_INT(taps_preconnection_add_local_text(s->preconnection, local), 0);
    if (remote)
        CHECK_INT(taps_preconnection_add_remote_text(s->preconnection, remote), 0);
    CHECK_INT(taps_preconnection_listen(s->preconnection, &listener_events, s, &s->listener), 0);
    tapsi_sim_run(w->sim, tapsi_sim_now(w->sim) + TAPSI_SIM_MS);
    CHECK(taps_listener_local(s->listener, 0) != NULL);
}

static void server_start(struct world *w, struct server *s, const char *local, const char *remote)
{
    server_start_secure(w, s, local, remote, w->security);
}

static void server_done(struct server *s)
{
    for (unsigned i = 0; i < s->received; i++)
        taps_connection_free(s->connections[i]);
    taps_listener_free(s->listener);
    taps_preconnection_free(s->preconnection);
    CHECK_INT(taps_context_free(s->context), 0);
}

/* Two are accepted at once, the first delivered lowers the limit to 0, the second is reset while it waits. */
/* proves API-064, API-143 */
TEST(connection_that_dies_before_it_is_delivered)
{
    struct world w;
    struct server s;
    taps_connection *second;
    world_new(&w);
    server_start(&w, &s, ":80", NULL);
    taps_listener_set_new_connection_limit(s.listener, 0);
    world_initiate(&w, V4, 0);
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, NULL, NULL, &second), 0);
    world_run_ms(&w, 100);
    s.stingy = true;
    taps_listener_set_new_connection_limit(s.listener, 2);
    world_run_ms(&w, 100);
    CHECK_INT(s.received, 1);
    taps_connection_abort(second);
    taps_connection_abort(w.connection);
    world_run_ms(&w, 100);
    CHECK_INT(s.ended, 1);
    s.stingy = false;
    taps_listener_set_new_connection_limit(s.listener, TAPS_INFINITE);
    world_run_ms(&w, 100);
    CHECK_INT(s.received, 2);
    CHECK_INT(s.ended, 2);
    taps_connection_free(second);
    server_done(&s);
    world_finish(&w);
}

/* One Connection at most, and the memory for the first ends after so many more allocations. */
static void lose_one(bool datagrams, unsigned allocations)
{
    struct world w;
    struct server s;
    taps_connection *second;
    world_new(&w);
    if (datagrams)
        be_datagrams(&w);
    server_start(&w, &s, ":80", NULL);
    taps_listener_set_new_connection_limit(s.listener, 1);
    s.poor = true;
    s.left = allocations;
    world_initiate(&w, V4, 0);
    taps_connection_send(w.connection, "x", 1, NULL, 0, NULL);
    world_run_ms(&w, 100);
    s.poor = false;
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 0, NULL, NULL, &second), 0);
    taps_connection_send(second, "x", 1, NULL, 0, NULL);
    world_run_ms(&w, 100);
    if (s.received != 1)
        tapsi_test_fail(__FILE__, __LINE__, "%u received after %u allocations", s.received, allocations);
    taps_connection_free(second);
    server_done(&s);
    world_finish(&w);
}

/* proves API-064: a Connection that was lost for want of memory is none that was delivered. */
TEST(limit_is_not_used_up_by_what_was_dropped)
{
    for (unsigned n = 0; n < 10; n++) {
        lose_one(false, n);
        lose_one(true, n);
    }
}

/* The same under TLS, whose queues lie above TCP's. */
TEST(secure_close_to_a_peer_that_reads_nothing_ends)
{
    for (int count = 1; count <= 9; count += 4) {
        struct world w;
        struct server s;
        taps_security_parameters *security;
        struct tapsi_test_identity id = peer_certificate("192.0.2.1", NULL, NULL);
        world_new(&w);
        taps_security_parameters_new(&security);
        taps_security_parameters_add_server_certificate_pem(security, id.certificate, strlen(id.certificate), id.key,
                                                            strlen(id.key));
        server_start_secure(&w, &s, ":80", NULL, security);
        taps_transport_properties_set(w.properties, "_closeTimeout", "5");
        world_secure(&w);
        world_initiate(&w, V4, 0);
        world_run_until_ready(&w);
        for (int i = 0; i < count; i++)
            CHECK_INT(send_some(&w, 300000, NULL), 0);
        CHECK_INT(taps_connection_close(w.connection), 0);
        world_run_ms(&w, 7000);
        CHECK_INT(w.heard.ready, 1);
        CHECK_INT(w.heard.closed + w.heard.connection_error, 1);
        CHECK_INT(w.heard.sent + w.heard.send_error, count);
        taps_security_parameters_free(security);
        tapsi_test_identity_free(&id);
        server_done(&s);
        world_finish(&w);
    }
}

/* One socket for both families shows IPv4 peers as mapped addresses; nobody else shall see that. */
/* proves API-063, API-010 */
TEST(peers_on_a_dual_socket_are_what_they_are)
{
    struct world w;
    struct server s;
    world_new(&w);
    server_start(&w, &s, ":80", "192.0.2.2");
    world_initiate(&w, V4, 0);
    world_run_ms(&w, 100);
    NEED(s.received == 1);
    CHECK_TEXT(taps_endpoint_ip_address(taps_connection_remote(s.connections[0])), "192.0.2.2");
    CHECK_TEXT(taps_endpoint_ip_address(taps_connection_local(s.connections[0])), "192.0.2.1");
    server_done(&s);
    world_finish(&w);
}
