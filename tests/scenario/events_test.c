/*
 * Actions and events (RFC 9622, 7 to 11): nothing blocks, nothing is said inside a call, each operation has its one
 * event, and after the last event there is silence. Most of the checking is the observer's, which watches every
 * scenario; here it is given enough to see.
 */
#include <stdio.h>
#include <string.h>
#include "observer.h"
#include "peer.h"

#define V4 "192.0.2.1:80"

static struct tapsi_sim_service *connect_to(struct world *w, enum tapsi_sim_behaviour behaviour)
{
    world_new(w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w->server, 80, behaviour);
    world_initiate(w, V4, 0);
    return s;
}

static int send_text(struct world *w, const char *text)
{
    return taps_connection_send(w->connection, text, strlen(text), NULL, 0, NULL);
}

static bool boolean(struct world *w, enum taps_property property)
{
    struct taps_value value;
    CHECK_INT(taps_connection_get_value(w->connection, property, &value), 0);
    CHECK_INT(value.type, TAPS_TYPE_BOOLEAN);
    return value.boolean;
}

/* ------------------------------------------------------------------------------- no event inside a call */

/* Every action of a Connection once; none of them may say anything before it returns. */
static void every_action(struct world *w)
{
    taps_transport_properties *all;
    char text[64];
    unsigned before = observer_events();
    uint64_t now = tapsi_sim_now(w->sim);
    taps_connection_start_batch(w->connection);
    taps_connection_send(w->connection, "x", 1, NULL, 0, NULL);
    taps_connection_send(w->connection, NULL, 0, NULL, 0, NULL);
    taps_connection_end_batch(w->connection);
    taps_connection_receive(w->connection, 1, 100, NULL);
    taps_connection_set_property(w->connection, "connTimeout", "5");
    taps_connection_set_property(w->connection, "connState", "closed");
    if (taps_connection_get_properties(w->connection, &all) == 0)
        taps_transport_properties_free(all);
    taps_connection_get_property(w->connection, "connState", text, sizeof(text));
    taps_connection_report(w->connection);
    taps_connection_local(w->connection);
    CHECK_INT(observer_events(), before);
    CHECK(tapsi_sim_now(w->sim) == now);
}

static void end_by(struct world *w, int (*action)(taps_connection *))
{
    unsigned before = observer_events();
    CHECK_INT(action(w->connection), 0);
    every_action(w);
    CHECK_INT(action(w->connection), TAPS_E_STATE);
    CHECK_INT(observer_events(), before);
    world_run_until_end(w);
    CHECK(observer_events() > before);
    every_action(w);
    CHECK_INT(action(w->connection), TAPS_E_STATE);
    world_run_ms(w, 60000);
}

/* proves ARCH-01: in Establishing, Established, Closing and Closed. */
TEST(no_action_of_a_connection_says_anything_before_it_returns)
{
    int (*const ends[])(taps_connection *) = {taps_connection_close, taps_connection_abort};
    for (int early = 0; early < 2; early++) {
        for (int i = 0; i < 2; i++) {
            struct world w;
            connect_to(&w, TAPSI_SIM_ECHO);
            every_action(&w);
            if (!early)
                world_run_until_ready(&w);
            every_action(&w);
            end_by(&w, ends[i]);
            CHECK_INT(w.heard.closed + w.heard.connection_error + w.heard.establishment_error, 1);
            world_finish(&w);
        }
    }
}

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    (void)locals;
    (void)remotes;
    (void)local_count;
    (void)remote_count;
    *(int *)user = error ? error->code : 1;
}

/* proves ARCH-01: also where everything is known at once: an address, an impossible one, a dead name server. */
TEST(establishing_actions_say_nothing_before_they_return)
{
    const char *const remotes[] = {V4, "198.51.100.1:80", "[fe80::1]:80", "nosuch.test:80", "localhost:80"};
    for (size_t i = 0; i < sizeof(remotes) / sizeof(remotes[0]); i++) {
        struct world w;
        int resolved = 0;
        world_new(&w);
        tapsi_sim_route_remove(w.client_if, "0.0.0.0/0");
        unsigned before = observer_events();
        world_initiate(&w, remotes[i], 2000);
        CHECK_INT(w.initiated, 0);
        CHECK_INT(taps_preconnection_resolve(w.preconnection, 1000, on_resolved, &resolved), 0);
        CHECK_INT(observer_events(), before);
        CHECK_INT(resolved, 0);
        world_run_until_end(&w);
        world_run_ms(&w, 3000);
        CHECK(resolved != 0);
        CHECK_INT(w.heard.establishment_error, 1);
        world_finish(&w);
    }
}

static void listener_said(taps_listener *l, void *user)
{
    (void)l;
    ++*(int *)user;
}

static void listener_failed(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)error;
    listener_said(l, user);
}

/* proves ARCH-01, API-063, API-066: Listen, the limit, Stop, with a port that is free and one that is not. */
TEST(no_action_of_a_listener_says_anything_before_it_returns)
{
    static const struct taps_listener_events events = {
        .listening = listener_said, .establishment_error = listener_failed, .stopped = listener_said};
    struct world w;
    taps_listener *first, *second;
    int said[2] = {0, 0};
    world_new(&w);
    world_start(&w);
    taps_preconnection_set_security_parameters(w.preconnection, w.security);
    taps_preconnection_add_local_text(w.preconnection, "192.0.2.2:80");
    CHECK_INT(taps_preconnection_listen(w.preconnection, &events, &said[0], &first), 0);
    world_run_ms(&w, 1);
    CHECK_INT(said[0], 1);
    CHECK_INT(taps_preconnection_listen(w.preconnection, &events, &said[1], &second), 0);
    CHECK_INT(taps_listener_set_new_connection_limit(second, 0), 0);
    CHECK_INT(said[1], 0);
    world_run_ms(&w, 1);
    CHECK_INT(said[1], 1); /* the error */
    CHECK_INT(taps_listener_stop(second), TAPS_E_STATE);
    CHECK_INT(taps_listener_stop(first), 0);
    CHECK_INT(said[0], 1);
    CHECK_INT(taps_listener_set_new_connection_limit(first, 5), TAPS_E_STATE);
    world_run_ms(&w, 1000);
    CHECK_INT(said[0], 2);
    CHECK_INT(said[1], 1);
    taps_listener_free(first);
    taps_listener_free(second);
    world_finish(&w);
}

/* ---------------------------------------------------------------------- calls in callbacks: a whole conversation */

static void busy_ready(taps_connection *c, void *user)
{
    unsigned before = observer_events();
    ((struct world *)user)->heard.ready++;
    for (int i = 0; i < 4; i++)
        CHECK_INT(taps_connection_send(c, "from ready ", 11, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(c, 1, 1000, NULL), 0);
    CHECK_INT(observer_events(), before);
}

static void busy_sent(taps_connection *c, void *tag, void *user)
{
    struct world *w = user;
    unsigned before = observer_events();
    (void)tag;
    if (++w->heard.sent == 3)
        CHECK_INT(taps_connection_close(c), 0);
    CHECK_INT(taps_connection_send(c, "more", 4, NULL, 0, NULL), w->heard.sent >= 3 ? TAPS_E_CLOSED : 0);
    CHECK_INT(observer_events(), before);
}

static void busy_closed(taps_connection *c, void *user)
{
    struct world *w = user;
    unsigned before = observer_events();
    w->heard.closed++;
    CHECK_INT(taps_connection_close(c), TAPS_E_STATE);
    CHECK_INT(taps_connection_abort(c), TAPS_E_STATE);
    CHECK_INT(taps_connection_send(c, "x", 1, NULL, 0, NULL), TAPS_E_CLOSED);
    CHECK_INT(taps_connection_receive(c, 1, 1, NULL), TAPS_E_CLOSED);
    CHECK_INT(taps_connection_state(c), TAPS_CLOSED);
    CHECK_INT(observer_events(), before);
    taps_connection_free(c);
    w->connection = NULL;
}

static void busy_data(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)m;
    (void)user;
    taps_connection_receive(c, 1, 1000, NULL);
}

static void busy_failed(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    ((struct world *)user)->heard.send_error++;
}

static void busy_expired(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    ((struct world *)user)->heard.expired++;
}

/* proves ARCH-01, API-145 */
TEST(calls_inside_events_cause_no_event_inside_them)
{
    static const struct taps_connection_events events = {.ready = busy_ready,
                                                         .sent = busy_sent,
                                                         .send_error = busy_failed,
                                                         .expired = busy_expired,
                                                         .received = busy_data,
                                                         .received_partial = busy_data,
                                                         .receive_error = busy_failed,
                                                         .closed = busy_closed};
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_ECHO);
    taps_connection_set_events(w.connection, &events, &w);
    world_run_ms(&w, 5000);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(w.heard.closed, 1);
    CHECK(w.connection == NULL);
    CHECK_INT(tapsi_sim_service_counts(s).received, 4 * 11 + 2 * 4);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------ one event each */

struct tally {
    unsigned long sent[16], next;
    unsigned events[16];
};

static struct tally tally;

static void tally_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)user;
    tally.events[(size_t)tag]++;
    tally.sent[tally.next++ % 16] = (unsigned long)tag;
}

static void tally_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)user;
    (void)error;
    tally.events[(size_t)tag]++;
}

static void tally_expired(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)user;
    tally.events[(size_t)tag]++;
}

static const struct taps_connection_events tally_events = {
    .sent = tally_sent, .expired = tally_expired, .send_error = tally_error};

/* proves API-111, API-145: Sent comes in the order of sending, with the tag of its Send. */
TEST(sent_events_come_in_order_with_their_tags)
{
    struct world w;
    memset(&tally, 0, sizeof(tally));
    connect_to(&w, TAPSI_SIM_SILENT);
    taps_connection_set_events(w.connection, &tally_events, NULL);
    for (size_t i = 1; i <= 12; i++)
        CHECK_INT(taps_connection_send(w.connection, "0123456789", i % 10, NULL, i % 3 ? 0 : TAPS_SEND_PARTIAL,
                                       (void *)i),
                  0);
    world_run_ms(&w, 500);
    CHECK_INT(tally.next, 12);
    for (size_t i = 0; i < 12; i++) {
        CHECK_INT(tally.sent[i], i + 1);
        CHECK_INT(tally.events[i + 1], 1);
    }
    world_finish(&w);
}

static void send_mixture(struct world *w)
{
    static char big[60000];
    taps_message_context *loose, *mayfly, *final;
    taps_message_context_new(&loose);
    taps_message_context_new(&mayfly);
    taps_message_context_new(&final);
    taps_message_context_set(loose, "msgReliable", "false");
    taps_message_context_set(mayfly, "msgLifetime", "0.001");
    taps_message_context_set(final, "final", "true");
    taps_connection_send(w->connection, "plain", 5, NULL, 0, (void *)1);
    taps_connection_send(w->connection, "loose", 5, loose, 0, (void *)2);
    taps_connection_send(w->connection, "mayfly", 6, mayfly, 0, (void *)3);
    taps_connection_send(w->connection, big, sizeof(big), NULL, TAPS_SEND_LEND, (void *)4);
    taps_connection_send(w->connection, "", 0, NULL, 0, (void *)5);
    taps_connection_send(w->connection, "final", 5, final, 0, (void *)6);
    taps_connection_send(w->connection, "late", 4, NULL, 0, (void *)7);
    taps_message_context_free(loose);
    taps_message_context_free(mayfly);
    taps_message_context_free(final);
}

/* proves API-111: exactly one event for each Send, however the Connection ends. */
TEST(every_send_has_one_event_however_it_ends)
{
    for (int end = 0; end < 6; end++) {
        struct world w;
        memset(&tally, 0, sizeof(tally));
        struct tapsi_sim_service *s = connect_to(&w, end == 1 ? TAPSI_SIM_STALL : TAPSI_SIM_ECHO);
        taps_connection_set_events(w.connection, &tally_events, NULL);
        if (end == 2)
            tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE);
        if (end == 3)
            tapsi_sim_fault(w.sim, V4, TAPSI_SIM_BLACKHOLE);
        send_mixture(&w);
        if (end == 4)
            taps_connection_close(w.connection);
        if (end == 5)
            taps_connection_abort(w.connection);
        world_run_ms(&w, 200);
        if (end == 1)
            tapsi_sim_service_end_all(s, true);
        world_run_ms(&w, 60000);
        for (size_t i = 1; i <= 7; i++) {
            if (tally.events[i] != 1)
                tapsi_test_fail(__FILE__, __LINE__, "end %d: Send %zu had %u events", end, i, tally.events[i]);
        }
        world_finish(&w);
    }
}

/* proves API-003, API-061: Messages and their contexts are copied, unless lent. */
TEST(what_was_sent_is_a_copy)
{
    struct world w;
    char words[] = "first words";
    taps_message_context *context;
    connect_to(&w, TAPSI_SIM_ECHO);
    w.keep_reading = true;
    taps_message_context_new(&context);
    taps_connection_receive(w.connection, 1, 1000, NULL);
    taps_connection_send(w.connection, words, 11, context, 0, NULL);
    memset(words, '#', 11);
    taps_message_context_set(context, "final", "true");
    taps_message_context_free(context);
    world_run_ms(&w, 200);
    CHECK_INT(w.heard.length, 11);
    CHECK(memcmp(w.heard.data, "first words", 11) == 0);
    CHECK(!w.heard.final);
    CHECK(boolean(&w, TAPS_CAN_SEND));
    world_finish(&w);
}

/* ---------------------------------------------------------------------------------------------------- ends */

/* proves API-145: an orderly end waits until what was received has been taken. */
TEST(closed_waits_for_what_was_received)
{
    struct world w;
    taps_message_context *final;
    connect_to(&w, TAPSI_SIM_ECHO);
    taps_message_context_new(&final);
    taps_message_context_set(final, "final", "true");
    taps_connection_send(w.connection, "echo me", 7, final, 0, NULL);
    world_run_ms(&w, 5000);
    CHECK_INT(w.heard.closed, 0);
    CHECK_INT(w.heard.received + w.heard.received_partial, 0);
    CHECK_INT(taps_connection_receive(w.connection, 1, 4, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.length, 4);
    CHECK_INT(w.heard.closed, 0);
    CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.length, 7);
    CHECK_INT(w.heard.closed, 1);
    taps_message_context_free(final);
    world_finish(&w);
}

/* proves API-140: a peer that takes nothing more does not keep a closing Connection for ever. */
TEST(close_to_a_peer_that_never_reads_ends)
{
    static char big[60000];
    struct world w;
    connect_to(&w, TAPSI_SIM_STALL);
    world_run_until_ready(&w);
    for (int i = 0; i < 10; i++)
        taps_connection_send(w.connection, big, sizeof(big), NULL, 0, NULL);
    double began = taps_context_now_ms(w.context);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 0); /* that would say it was delivered */
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    CHECK(w.heard.end_ms - began <= 60000); /* _closeTimeout without progress, looked at in steps of it */
    CHECK_INT(w.heard.sent + w.heard.send_error, 10);
    world_finish(&w);
}

/* proves API-140: nothing is received after Close, also what is under way. */
TEST(nothing_is_received_after_close)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), 0);
    send_text(&w, "comes back too late");
    CHECK_INT(taps_connection_close(w.connection), 0);
    CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), TAPS_E_CLOSED);
    world_run_until_end(&w);
    CHECK_INT(w.heard.received + w.heard.received_partial, 0);
    CHECK_INT(w.heard.receive_error, 1); /* the Receive that was taken before */
    CHECK_INT(w.heard.closed, 1);
    world_finish(&w);
}

/* proves API-141: nothing more is delivered, in either direction. */
TEST(nothing_is_delivered_after_abort)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "unread", 6);
    world_run_until_ready(&w);
    world_run_ms(&w, 50);
    send_text(&w, "unsent");
    taps_connection_receive(w.connection, 1, 100, NULL);
    CHECK_INT(taps_connection_abort(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.received + w.heard.received_partial, 0);
    CHECK_INT(w.heard.sent, 0);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_LOCAL_ABORT);
    world_run_ms(&w, 1000);
    CHECK_INT(tapsi_sim_service_counts(s).received, 0);
    world_finish(&w);
}

/* proves API-141, API-143: the other side of an Abort hears of it. */
TEST(the_peers_application_hears_of_an_abort)
{
    struct world w;
    struct peer p;
    world_new(&w);
    peer_new(&w, w.server, &p);
    peer_listen(&w, &p, V4);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    world_run_ms(&w, 50);
    taps_connection_abort(w.connection);
    world_run_ms(&w, 500);
    CHECK_INT(p.failed, 1);
    CHECK_INT(p.closed, 0);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-144: also when the peer speaks before the handshake is over for us, and Receives wait from the start. */
TEST(nothing_is_received_before_ready)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "hello", 5);
    for (int i = 0; i < 3; i++)
        CHECK_INT(taps_connection_receive(w.connection, 1, 100, NULL), 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    world_run_ms(&w, 200);
    CHECK_INT(w.heard.length, 5);
    world_finish(&w);
}

/* --------------------------------------------------------------------------------------- after the last event */

enum stack { OVER_TCP, OVER_TLS, OVER_UDP, STACKS };
enum ending { BY_CLOSE, BY_ABORT, BY_PEERS_CLOSE, BY_PEERS_ABORT, BY_FAILURE, ENDINGS };

struct ended {
    struct world w;
    struct peer peer;
    struct tapsi_test_identity identity;
};

static void begin_over(struct ended *e, enum stack stack, bool nobody_there)
{
    memset(e, 0, sizeof(*e));
    world_new(&e->w);
    if (stack == OVER_UDP) {
        taps_transport_properties_free(e->w.properties);
        taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &e->w.properties);
    }
    taps_transport_properties_set(e->w.properties, "softErrorNotify", "prefer");
    peer_new(&e->w, e->w.server, &e->peer);
    if (stack == OVER_TLS) {
        e->identity = peer_certificate("192.0.2.1", NULL, NULL);
        world_secure(&e->w);
        peer_secure(&e->peer, &e->identity);
    }
    peer_listen(&e->w, &e->peer, V4);
    world_initiate(&e->w, nobody_there ? "198.51.100.7:80" : V4, 500);
    send_text(&e->w, "hello");
    world_run_ms(&e->w, 200);
}

static void end_over(struct ended *e, enum ending ending)
{
    taps_message_context *last;
    switch (ending) {
    case BY_CLOSE:
        CHECK_INT(taps_connection_close(e->w.connection), 0);
        break;
    case BY_ABORT:
        CHECK_INT(taps_connection_abort(e->w.connection), 0);
        break;
    case BY_PEERS_CLOSE: /* and ours: one direction alone is not the end */
        taps_connection_receive(e->w.connection, 1, 100, NULL);
        CHECK_INT(taps_connection_close(e->peer.last), 0);
        world_run_ms(&e->w, 100);
        CHECK_INT(e->w.heard.closed + e->w.heard.connection_error, 0);
        taps_message_context_new(&last);
        taps_message_context_set(last, "final", "true");
        taps_connection_send(e->w.connection, NULL, 0, last, 0, NULL);
        taps_message_context_free(last);
        break;
    case BY_PEERS_ABORT:
        CHECK_INT(taps_connection_abort(e->peer.last), 0);
        break;
    default:
        break;
    }
    world_run_until_end(&e->w);
}

/* All that could still cause an event: calls of ours, words of the peer, the network's opinion, and time. */
static void disturb(struct ended *e)
{
    taps_connection *c = e->w.connection;
    CHECK_INT(taps_connection_send(c, "x", 1, NULL, 0, NULL), TAPS_E_CLOSED);
    CHECK_INT(taps_connection_send(c, NULL, 0, NULL, 0, NULL), TAPS_E_CLOSED);
    CHECK_INT(taps_connection_receive(c, 1, 100, NULL), TAPS_E_CLOSED);
    CHECK_INT(taps_connection_close(c), TAPS_E_STATE);
    CHECK_INT(taps_connection_abort(c), TAPS_E_STATE);
    CHECK_INT(taps_connection_set_property(c, "connTimeout", "1"), TAPS_E_STATE);
    CHECK_INT(taps_connection_state(c), TAPS_CLOSED);
    if (e->peer.last)
        taps_connection_send(e->peer.last, "still there?", 12, NULL, 0, NULL);
    world_run_ms(&e->w, 50);
    tapsi_sim_link_mtu(e->w.link, 1280, false);
    tapsi_sim_fault(e->w.sim, "192.0.2.1", TAPSI_SIM_UNREACHABLE);
    tapsi_sim_interface_up(e->w.client_if, false);
    world_run_ms(&e->w, 60000);
    CHECK(!boolean(&e->w, TAPS_CAN_SEND) && !boolean(&e->w, TAPS_CAN_RECEIVE));
}

static bool is_possible(enum stack stack, enum ending ending)
{
    bool of_the_peer = ending == BY_PEERS_CLOSE || ending == BY_PEERS_ABORT;
    return stack != OVER_UDP || !of_the_peer; /* UDP cannot tell */
}

/* proves API-140, API-141, API-143, API-145: over every stack, however it ends, there is one last event of the right
   kind, and nothing after it, whatever happens. */
TEST(after_the_last_event_there_is_silence)
{
    for (enum stack stack = 0; stack < STACKS; stack++) {
        for (enum ending ending = 0; ending < ENDINGS; ending++) {
            struct ended e;
            if (!is_possible(stack, ending) || (stack == OVER_UDP && ending == BY_FAILURE))
                continue;
            begin_over(&e, stack, ending == BY_FAILURE);
            end_over(&e, ending);
            bool orderly = ending == BY_CLOSE || ending == BY_PEERS_CLOSE;
            CHECK_INT(e.w.heard.closed, orderly);
            CHECK_INT(e.w.heard.establishment_error, ending == BY_FAILURE);
            CHECK_INT(e.w.heard.connection_error, !orderly && ending != BY_FAILURE);
            unsigned before = e.w.heard.total;
            disturb(&e);
            CHECK_INT(e.w.heard.total, before);
            peer_done(&e.peer);
            if (stack == OVER_TLS)
                tapsi_test_identity_free(&e.identity);
            world_finish(&e.w);
        }
    }
}

/* proves API-140: Close of a datagram Connection gives every Message to the network first, those of a batch too. */
TEST(close_of_datagrams_sends_what_was_given)
{
    struct ended e;
    begin_over(&e, OVER_UDP, false);
    CHECK_INT(e.peer.length, 5);
    taps_connection_start_batch(e.w.connection);
    for (int i = 0; i < 50; i++)
        CHECK_INT(send_text(&e.w, "0123456789"), 0);
    CHECK_INT(taps_connection_close(e.w.connection), 0);
    CHECK_INT(send_text(&e.w, "too late"), TAPS_E_CLOSED);
    world_run_until_end(&e.w);
    world_run_ms(&e.w, 100);
    CHECK_INT(e.w.heard.closed, 1);
    CHECK_INT(e.w.heard.sent, 51);
    CHECK_INT(e.peer.length, 5 + 50 * 10);
    peer_done(&e.peer);
    world_finish(&e.w);
}

/* proves API-140: "as promised": what expires while Close waits is not delivered, and the rest is. */
TEST(close_does_not_wait_for_what_expires)
{
    static char big[60000];
    struct world w;
    taps_message_context *brief;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    world_run_until_ready(&w);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    for (int i = 0; i < 8; i++)
        CHECK_INT(taps_connection_send(w.connection, big, sizeof(big), NULL, 0, NULL), 0);
    taps_message_context_new(&brief);
    taps_message_context_set(brief, "msgLifetime", "1");
    CHECK_INT(taps_connection_send(w.connection, "old news", 8, brief, 0, NULL), 0);
    taps_message_context_free(brief);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_ms(&w, 2000);
    CHECK_INT(w.heard.expired, 1);
    CHECK_INT(w.heard.closed, 0);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_FINE);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(w.heard.sent, 8);
    CHECK_INT(tapsi_sim_service_counts(s).received, 8 * sizeof(big));
    world_finish(&w);
}

/* proves API-145: an error of the network that comes with the end, or after it, is not told any more. */
TEST(no_soft_error_comes_after_the_end)
{
    for (int wait_ms = 0; wait_ms < 15; wait_ms += 5) {
        struct world w;
        world_new(&w);
        taps_transport_properties_free(w.properties);
        taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
        taps_transport_properties_set(w.properties, "softErrorNotify", "require");
        world_initiate(&w, V4, 0);
        world_run_until_ready(&w);
        send_text(&w, "nobody is there");
        world_run_ms(&w, (uint64_t)wait_ms);
        CHECK_INT(taps_connection_close(w.connection), 0);
        world_run_until_end(&w);
        CHECK_INT(w.heard.closed, 1);
        unsigned soft = w.heard.soft_error;
        world_run_ms(&w, 1000);
        CHECK_INT(w.heard.soft_error, soft);
        world_finish(&w);
    }
}
