/* Streams of a session as Connections of one group (RFC 9622, 7.2 and 7.4): opened by Clone, and by the peer. */
#include "streams.h"

#include <string.h>
#include <taps/framer.h>

/* ------------------------------------------------------------------------------------------- opened by Clone */

/* proves API-069 and API-072: no handshake, no other flow, and both sides have a group of two */
TEST(a_clone_is_a_stream_of_the_same_session)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_begin(&s), *b;
    CHECK_INT(taps_connection_group_count(a->connection), 1);
    NEED(streams_clone(a, NULL, &b) == 0);
    CHECK_INT(taps_connection_state(b->connection), TAPS_ESTABLISHING);
    CHECK(!taps_connection_stack(b->connection));
    CHECK_INT(b->ready, 0);
    streams_run(&s, 1);
    CHECK_INT(b->ready, 1);
    CHECK_TEXT(taps_connection_stack(b->connection), streams_row.stack);
    CHECK_INT(taps_endpoint_port(taps_connection_local(b->connection)),
              taps_endpoint_port(taps_connection_local(a->connection)));
    CHECK_INT(taps_connection_group_count(b->connection), 2);
    CHECK_INT(streams_send(a, "first"), 0);
    CHECK_INT(streams_send(b, "second"), 0);
    streams_run(&s, 100);
    CHECK_INT(s.server.by_listener, 2);
    CHECK_TEXT(s.server.streams[0].data, "first");
    CHECK_TEXT(s.server.streams[1].data, "second");
    CHECK_INT(taps_connection_group_count(s.server.streams[0].connection), 2);
    CHECK(taps_connection_group_next(s.server.streams[0].connection, s.server.streams[0].connection) ==
          s.server.streams[1].connection);
    CHECK_INT(a->clone_error, 0);
    streams_finish(&s);
}

/* proves API-069: a clone of a clone, and one of a Connection that came from a Listener */
TEST(any_stream_can_be_cloned_on_both_sides)
{
    struct streams s;
    streams_new(&s);
    struct stream *a, *b;
    streams_grow(&s, 1);
    NEED(streams_clone(&s.client.streams[1], NULL, &a) == 0);
    NEED(streams_clone(&s.server.streams[1], NULL, &b) == 0);
    CHECK_INT(streams_send(a, "from the client"), 0);
    CHECK_INT(streams_send(b, "from the server"), 0);
    streams_run(&s, 100);
    CHECK_INT(a->ready, 1);
    CHECK_INT(b->ready, 1);
    CHECK_INT(s.server.by_listener, 3);
    CHECK_INT(s.client.by_member, 1);
    CHECK_TEXT(s.client.streams[3].data, "from the server");
    CHECK_TEXT(s.server.streams[3].data, "from the client");
    CHECK_INT(streams_send(&s.client.streams[3], "answer"), 0);
    streams_run(&s, 100);
    CHECK_TEXT(b->data, "answer");
    CHECK_INT(taps_connection_group_count(a->connection), 4);
    CHECK_INT(taps_connection_group_count(b->connection), 4);
    CHECK(!taps_connection_report(s.client.streams[3].connection));
    streams_finish(&s);
}

/* proves API-072: also what the peer opened can be cloned here */
TEST(a_stream_of_the_peer_can_be_cloned)
{
    struct streams s;
    streams_new(&s);
    struct stream *b, *c;
    streams_grow(&s, 0);
    NEED(streams_clone(&s.server.streams[0], NULL, &b) == 0);
    CHECK_INT(streams_send(b, "come"), 0);
    streams_run(&s, 100);
    NEED(s.client.count == 2);
    NEED(streams_clone(&s.client.streams[1], NULL, &c) == 0);
    streams_run(&s, 100);
    CHECK_INT(c->ready, 1);
    CHECK_INT(taps_connection_group_count(c->connection), 3);
    streams_finish(&s);
}

/* proves API-069: before the parent is Ready a clone waits, and is a stream then */
TEST(clones_made_before_ready_become_streams)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_initiate(&s), *b, *c;
    NEED(streams_clone(a, NULL, &b) == 0);
    NEED(streams_clone(b, NULL, &c) == 0);
    CHECK_INT(streams_send(c, "waited"), 0);
    streams_run(&s, 200);
    CHECK_INT(a->ready + b->ready + c->ready, 3);
    CHECK_INT(taps_endpoint_port(taps_connection_local(c->connection)),
              taps_endpoint_port(taps_connection_local(a->connection)));
    CHECK_INT(s.server.count, 1); /* the others have said nothing */
    CHECK_TEXT(s.server.streams[0].data, "waited");
    streams_finish(&s);
}

TEST(a_clone_can_be_given_up_while_it_is_establishing)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_begin(&s), *b[4];
    for (int i = 0; i < 4; i++)
        NEED(streams_clone(a, NULL, &b[i]) == 0);
    CHECK_INT(taps_connection_abort(b[0]->connection), 0);
    CHECK_INT(taps_connection_close(b[1]->connection), 0);
    streams_free(b[2]);
    streams_run(&s, 100);
    CHECK_INT(b[0]->establishment_error, 1);
    CHECK_INT(b[0]->code, TAPS_E_LOCAL_ABORT);
    CHECK_INT(b[1]->establishment_error, 1);
    CHECK_INT(b[1]->code, TAPS_E_CANCELLED);
    CHECK_INT(b[3]->ready, 1);
    CHECK_INT(streams_ends(a), 0);
    CHECK_INT(taps_connection_group_count(a->connection), 4);
    streams_finish(&s);
}

/* What was sent before Close of an Establishing clone is delivered. */
TEST(a_clone_closed_while_establishing_delivers_what_was_sent)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_begin(&s), *b;
    NEED(streams_clone(a, NULL, &b) == 0);
    CHECK_INT(streams_send(b, "last words"), 0);
    CHECK_INT(taps_connection_close(b->connection), 0);
    streams_run(&s, 100);
    CHECK_INT(b->ready, 1);
    CHECK_TEXT(s.server.streams[0].data, "last words");
    CHECK_INT(s.server.streams[0].final, 1);
    streams_finish(&s);
}

TEST(the_parent_may_be_freed_while_its_clone_is_establishing)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_begin(&s), *b;
    NEED(streams_clone(a, NULL, &b) == 0);
    streams_free(a);
    streams_run(&s, 100);
    CHECK_INT(b->ready, 1);
    CHECK_INT(streams_send(b, "alone"), 0);
    streams_run(&s, 100);
    NEED(s.server.count > 0);
    CHECK_TEXT(s.server.streams[s.server.count - 1].data, "alone"); /* the other was reset before it said anything */
    CHECK_INT(taps_connection_group_count(b->connection), 1);
    streams_finish(&s);
}

TEST(a_context_may_go_with_clones_establishing)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_begin(&s), *b;
    NEED(streams_clone(a, NULL, &b) == 0);
    streams_finish(&s);
}

/* proves API-071: its own Selection Properties must suit the session */
TEST(a_clone_that_wants_no_streams_is_refused)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_begin(&s), *b;
    taps_transport_properties *p;
    taps_transport_properties_new(&p);
    taps_transport_properties_set(p, "multistreaming", "prohibit");
    CHECK_INT(streams_clone(a, p, &b), TAPS_E_NOT_CLONEABLE);
    streams_run(&s, 100);
    CHECK_INT(a->clone_error, 1);
    CHECK_INT(a->clone_code, TAPS_E_NOT_CLONEABLE);
    CHECK_INT(taps_connection_state(a->connection), TAPS_ESTABLISHED);
    taps_transport_properties_free(p);
    streams_finish(&s);
}

/* proves API-071 and API-045: hints for the stream */
TEST(a_clone_in_one_direction_is_a_stream_in_one_direction)
{
    struct streams s;
    streams_new(&s);
    taps_transport_properties *p;
    struct stream *a = streams_begin(&s), *b;
    taps_transport_properties_new(&p);
    taps_transport_properties_set(p, "direction", "unidirectional send");
    NEED(streams_clone(a, p, &b) == 0);
    CHECK_INT(streams_send(b, "one way"), 0);
    streams_run(&s, 100);
    NEED(s.server.count == 1);
    CHECK_TEXT(s.server.streams[0].data, "one way");
    CHECK(streams_has(&s.server.streams[0], "direction", "unidirectional receive"));
    CHECK(streams_has(&s.server.streams[0], "canSend", "false"));
    CHECK_INT(streams_send(&s.server.streams[0], "no"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_connection_receive(b->connection, 1, 10, NULL), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_connection_close(b->connection), 0);
    streams_run(&s, 100);
    CHECK_INT(b->closed, 1);
    CHECK_INT(s.server.streams[0].final, 1);
    CHECK_INT(s.server.streams[0].closed, 1);
    CHECK_INT(streams_ends(a), 0);
    taps_transport_properties_set(p, "direction", "unidirectional receive");
    CHECK_INT(streams_clone(a, p, &b), TAPS_E_NOT_CLONEABLE);
    taps_transport_properties_free(p);
    streams_finish(&s);
}

/* proves API-071: on both sides each stream has its Framers, with a state of its own */
TEST(streams_have_framers_of_their_own)
{
    struct streams s;
    taps_framer *f;
    streams_new(&s);
    NEED(taps_framer_new_text("netstring", &f) == 0);
    taps_preconnection_add_framer(s.client.preconnection, f);
    taps_preconnection_add_framer(s.server.preconnection, f);
    taps_framer_free(f);
    struct stream *a = streams_begin(&s), *b, *c;
    CHECK_INT(streams_send(a, "one"), 0);
    streams_run(&s, 100);
    NEED(s.server.count == 1);
    NEED(streams_clone(a, NULL, &b) == 0);
    NEED(streams_clone(&s.server.streams[0], NULL, &c) == 0);
    CHECK_INT(streams_send(b, "two"), 0);
    CHECK_INT(streams_send(b, "three"), 0);
    CHECK_INT(streams_send(c, "four"), 0);
    streams_run(&s, 100);
    NEED(s.server.count == 3 && s.client.count == 3);
    CHECK_TEXT(s.server.streams[2].data, "twothree");
    CHECK_INT(s.server.streams[2].received, 2);
    CHECK_TEXT(s.client.streams[2].data, "four");
    CHECK_INT(s.client.streams[2].received, 1);
    streams_finish(&s);
}

/* ---------------------------------------------------------------------------------------- opened by the peer */

/* proves API-072: nobody asked for it */
TEST(a_stream_is_refused_where_nobody_hears)
{
    struct streams s;
    streams_new(&s);
    s.client.deaf = true;
    struct stream *b;
    streams_grow(&s, 1);
    NEED(streams_clone(&s.server.streams[0], NULL, &b) == 0);
    CHECK_INT(streams_send(b, "hello?"), 0);
    streams_run(&s, 200);
    CHECK_INT(b->ready, 1);
    CHECK_INT(b->connection_error, 1);
    CHECK_INT(b->code, TAPS_E_ABORTED);
    CHECK_INT(s.client.count, 2);
    CHECK_INT(streams_ends(&s.client.streams[0]) + streams_ends(&s.client.streams[1]), 0);
    CHECK_INT(streams_send(&s.client.streams[1], "y"), 0);
    streams_run(&s, 100);
    CHECK_TEXT(s.server.streams[1].data, "xy");
    streams_finish(&s);
}

TEST(the_first_member_that_hears_is_told)
{
    struct streams s;
    streams_new(&s);
    s.client.deaf = true;
    streams_grow(&s, 0);
    s.client.deaf = false;
    struct stream *b, *c;
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    streams_run(&s, 100);
    NEED(streams_clone(&s.server.streams[0], NULL, &c) == 0);
    CHECK_INT(streams_send(c, "hello"), 0);
    streams_run(&s, 100);
    CHECK_INT(s.client.by_member, 1);
    streams_free(b);
    streams_free(&s.client.streams[2]);
    NEED(streams_clone(&s.server.streams[0], NULL, &c) == 0);
    CHECK_INT(streams_send(c, "hello"), 0);
    streams_run(&s, 100);
    CHECK_INT(s.client.by_member, 1);
    CHECK_INT(c->connection_error, 1);
    streams_finish(&s);
}

/* proves API-144 and API-145: what happens to a stream before it is delivered is told after that */
TEST(streams_may_be_freed_as_they_come)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    streams_grow(&s, 1);
    s.client.frees = true;
    NEED(streams_clone(&s.server.streams[0], NULL, &b) == 0);
    CHECK_INT(streams_send(b, "hello"), 0);
    streams_run(&s, 100);
    CHECK_INT(s.client.by_member, 1);
    CHECK_INT(streams_ends(b), 1);
    CHECK_INT(streams_ends(&s.client.streams[0]), 0);
    s.client.frees = false;
    s.client.frees_all = true;
    for (int i = 0; i < 3; i++) {
        NEED(streams_clone(&s.server.streams[0], NULL, &b) == 0);
        CHECK_INT(streams_send(b, "hello"), 0);
    }
    streams_run(&s, 100);
    CHECK_INT(s.client.by_member, 2); /* the others had nobody left to hear of them */
    streams_finish(&s);
}

TEST(the_listener_and_all_streams_may_be_freed_as_one_comes)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    streams_grow(&s, 2);
    s.server.frees_all = true;
    for (int i = 0; i < 2; i++) {
        NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
        CHECK_INT(streams_send(b, "hello"), 0);
    }
    streams_run(&s, 100);
    CHECK(s.server.by_listener >= 4);
    for (int i = 0; i < 3; i++)
        CHECK_INT(s.client.streams[i].connection_error, 1);
    streams_finish(&s);
}

/* proves API-064 and API-072: each is one more Connection; at 0 they wait, as long as the session does */
TEST(the_limit_of_new_connections_counts_streams)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_begin(&s), *b, *c;
    CHECK_INT(taps_listener_set_new_connection_limit(s.listener, 2), 0);
    NEED(streams_clone(a, NULL, &b) == 0);
    NEED(streams_clone(a, NULL, &c) == 0);
    CHECK_INT(streams_send(a, "1"), 0);
    CHECK_INT(streams_send(b, "2"), 0);
    streams_run(&s, 100);
    CHECK_INT(streams_send(c, "3"), 0);
    streams_run(&s, 500);
    CHECK_INT(s.server.by_listener, 2);
    CHECK_INT(streams_ends(c), 0);
    CHECK_INT(taps_listener_set_new_connection_limit(s.listener, TAPS_INFINITE), 0);
    streams_run(&s, 500);
    CHECK_INT(s.server.by_listener, 3);
    CHECK_TEXT(s.server.streams[2].data, "3");
    streams_finish(&s);
}

/* proves API-063: what lives goes on, and its streams come by a member */
TEST(after_stop_the_streams_of_a_session_come_by_a_member)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    streams_grow(&s, 1);
    CHECK_INT(taps_listener_stop(s.listener), 0);
    streams_run(&s, 10);
    taps_listener_free(s.listener);
    s.listener = NULL;
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    CHECK_INT(streams_send(b, "still here"), 0);
    streams_run(&s, 100);
    CHECK_INT(s.server.by_listener, 2);
    CHECK_INT(s.server.by_member, 1);
    CHECK_TEXT(s.server.streams[2].data, "still here");
    CHECK_INT(taps_connection_group_count(s.server.streams[2].connection), 3);
    streams_finish(&s);
}

TEST(after_stop_nobody_may_be_left_to_hear)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    s.server.deaf = true;
    streams_grow(&s, 1);
    CHECK_INT(taps_listener_stop(s.listener), 0);
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    CHECK_INT(streams_send(b, "still here"), 0);
    streams_run(&s, 100);
    CHECK_INT(b->connection_error, 1);
    CHECK_INT(s.server.count, 2);
    CHECK_INT(streams_ends(&s.client.streams[0]), 0);
    streams_finish(&s);
}

/* ---------------------------------------------------------------------------------------------- groupConnLimit */

/* proves API-088: of the side that clones */
TEST(a_limit_of_the_group_refuses_clones)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    streams_grow(&s, 1);
    CHECK_INT(taps_connection_set_property(s.client.streams[0].connection, "groupConnLimit", "2"), 0);
    CHECK_INT(streams_clone(&s.client.streams[0], NULL, &b), TAPS_E_NOT_CLONEABLE);
    streams_run(&s, 10);
    CHECK_INT(s.client.streams[0].clone_error, 1);
    CHECK_INT(taps_connection_close(s.client.streams[1].connection), 0);
    CHECK_INT(taps_connection_close(s.server.streams[1].connection), 0);
    streams_run(&s, 100);
    CHECK_INT(s.client.streams[1].closed, 1);
    CHECK_INT(streams_clone(&s.client.streams[0], NULL, &b), 0);
    streams_run(&s, 100);
    CHECK_INT(b->ready, 1);
    streams_finish(&s);
}

/* proves API-088: of the other side, whose peer has to wait */
TEST(a_limit_of_the_peer_makes_clones_wait)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    taps_transport_properties_set(s.w.properties, "groupConnLimit", "2");
    streams_grow(&s, 1);
    CHECK_INT(taps_connection_set_property(s.client.streams[0].connection, "groupConnLimit", "10"), 0);
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    CHECK_INT(streams_send(b, "patient"), 0);
    streams_run(&s, 1000);
    CHECK_INT(b->ready, 0);
    CHECK_INT(taps_connection_state(b->connection), TAPS_ESTABLISHING);
    CHECK_INT(taps_connection_close(s.client.streams[1].connection), 0);
    CHECK_INT(taps_connection_close(s.server.streams[1].connection), 0);
    streams_run(&s, 1000);
    CHECK_INT(b->ready, 1);
    CHECK_INT(s.server.count, 3);
    CHECK_TEXT(s.server.streams[2].data, "patient");
    streams_finish(&s);
}

/* proves API-088: a clone that waits for the peer does not wait for ever */
TEST(a_clone_that_the_peer_never_allows_times_out)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    taps_transport_properties_set(s.w.properties, "groupConnLimit", "1");
    streams_grow(&s, 0);
    CHECK_INT(taps_connection_set_property(s.client.streams[0].connection, "groupConnLimit", "10"), 0);
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    streams_run(&s, 31000);
    CHECK_INT(b->ready, 0);
    CHECK_INT(b->establishment_error, 1);
    CHECK_INT(b->code, TAPS_E_TIMEOUT);
    CHECK_INT(streams_ends(&s.client.streams[0]), 0);
    streams_finish(&s);
}

/* ------------------------------------------------------------------------------------------------ entanglement */

/* proves API-070: shared by those that are there, and by those that come */
TEST(properties_are_shared_by_streams_that_come_later)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    streams_grow(&s, 1);
    CHECK_INT(taps_connection_set_property(s.server.streams[1].connection, "keepAliveTimeout", "77"), 0);
    CHECK_INT(taps_connection_set_property(s.server.streams[1].connection, "connPriority", "5"), 0);
    CHECK(streams_has(&s.server.streams[0], "keepAliveTimeout", "77"));
    CHECK(streams_has(&s.server.streams[0], "connPriority", "100"));
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    CHECK_INT(streams_send(b, "new"), 0);
    streams_run(&s, 100);
    NEED(s.server.count == 3);
    CHECK(streams_has(&s.server.streams[2], "keepAliveTimeout", "77"));
    CHECK(streams_has(&s.server.streams[2], "connPriority", "100"));
    streams_finish(&s);
}

/* proves API-070: the session remembers them when no Connection is left on this side */
TEST(a_group_without_members_keeps_what_is_shared)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    streams_grow(&s, 0);
    CHECK_INT(taps_connection_set_property(s.server.streams[0].connection, "keepAliveTimeout", "77"), 0);
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    streams_run(&s, 10);
    streams_free(&s.server.streams[0]);
    CHECK_INT(streams_send(b, "new"), 0);
    streams_run(&s, 100);
    CHECK_INT(s.client.streams[0].connection_error, 1);
    NEED(s.server.count == 2);
    CHECK(streams_has(&s.server.streams[1], "keepAliveTimeout", "77"));
    CHECK_INT(taps_connection_group_count(s.server.streams[1].connection), 1);
    streams_finish(&s);
}

/* ------------------------------------------------------------------------------------------- who goes first */

/* proves API-081 and API-084: the session has the window, and divides it */
TEST(streams_share_by_their_priorities)
{
    struct streams s;
    streams_new(&s);
    streams_grow(&s, 2);
    tapsi_sim_link_rate(s.w.link, 8000000);
    CHECK_INT(taps_connection_set_property(s.client.streams[1].connection, "connPriority", "300"), 0);
    CHECK_INT(taps_connection_set_property(s.client.streams[2].connection, "connPriority", "100"), 0);
    for (int i = 1; i <= 2; i++) {
        s.client.streams[i].load = 5000;
        for (int n = 0; n < 40; n++)
            CHECK_INT(streams_send_bytes(&s.client.streams[i], 5000), 0);
    }
    streams_run(&s, 2000);
    uint64_t slow = s.server.streams[1].length, fast = s.server.streams[2].length;
    tapsi_test_remark("%llu and %llu bytes", (unsigned long long)slow, (unsigned long long)fast);
    CHECK(slow + fast > 500000);
    CHECK(fast > 2 * slow);
    streams_finish(&s);
}

/* proves API-084: a window that a peer keeps shut is that of one stream */
TEST(a_stream_that_nobody_reads_holds_no_other)
{
    struct streams s;
    streams_new(&s);
    s.server.reads = false;
    streams_grow(&s, 2);
    CHECK_INT(taps_connection_set_property(s.client.streams[1].connection, "connPriority", "0"), 0);
    s.client.streams[1].load = s.client.streams[2].load = 30000;
    for (int n = 0; n < 60; n++) {
        streams_send_bytes(&s.client.streams[1], 30000);
        streams_send_bytes(&s.client.streams[2], 30000);
    }
    s.server.reads = true;
    taps_connection_receive(s.server.streams[2].connection, 1, 65536, NULL);
    streams_run(&s, 50);
    uint64_t before = s.server.streams[2].length;
    CHECK(before > 0);
    streams_run(&s, 500);
    CHECK(s.server.streams[2].length > before + 200000);
    CHECK_INT(s.server.streams[1].length, 0);
    taps_connection_receive(s.server.streams[1].connection, 1, 65536, NULL);
    streams_run(&s, 500);
    CHECK(s.server.streams[1].length > 200000);
    streams_finish(&s);
}

/* ------------------------------------------------------------------------------------------------------- ends */

/* proves API-140, API-143: each stream ends by itself */
TEST(the_end_of_one_stream_is_the_end_of_one)
{
    struct streams s;
    streams_new(&s);
    streams_grow(&s, 3);
    CHECK_INT(taps_connection_close(s.client.streams[0].connection), 0);
    CHECK_INT(taps_connection_close(s.server.streams[0].connection), 0);
    CHECK_INT(taps_connection_abort(s.client.streams[1].connection), 0);
    CHECK_INT(taps_connection_abort(s.server.streams[2].connection), 0);
    streams_run(&s, 200);
    CHECK_INT(s.client.streams[0].closed, 1);
    CHECK_INT(s.server.streams[0].closed, 1);
    CHECK_INT(s.client.streams[1].code, TAPS_E_LOCAL_ABORT);
    CHECK_INT(s.server.streams[1].code, TAPS_E_ABORTED);
    CHECK_INT(s.client.streams[2].code, TAPS_E_ABORTED);
    CHECK_INT(s.server.streams[2].code, TAPS_E_LOCAL_ABORT);
    CHECK_INT(streams_ends(&s.client.streams[3]), 0);
    CHECK_INT(streams_send(&s.client.streams[3], "y"), 0);
    streams_run(&s, 100);
    CHECK_TEXT(s.server.streams[3].data, "xy");
    streams_finish(&s);
}

/* proves API-142: everything is delivered first */
TEST(close_group_delivers_all_streams)
{
    struct streams s;
    streams_new(&s);
    streams_grow(&s, 2);
    for (int i = 0; i < 3; i++)
        CHECK_INT(streams_send_bytes(&s.client.streams[i], 200000), 0);
    CHECK_INT(taps_connection_close_group(s.client.streams[0].connection), 0);
    streams_run(&s, 1000);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(s.server.streams[i].length, 200001);
        CHECK_INT(s.server.streams[i].final, 1);
    }
    CHECK_INT(taps_connection_close_group(s.server.streams[0].connection), 0);
    streams_run(&s, 1000);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(s.client.streams[i].closed, 1);
        CHECK_INT(s.server.streams[i].closed, 1);
    }
    CHECK_INT(taps_connection_close_group(s.client.streams[0].connection), TAPS_E_STATE);
    streams_finish(&s);
}

/* proves API-142 and API-145: all at once, once each; streams that wait are of the group too */
TEST(abort_group_ends_all_streams)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    streams_grow(&s, 2);
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    CHECK_INT(taps_connection_abort_group(s.client.streams[1].connection), 0);
    streams_run(&s, 200);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(s.client.streams[i].connection_error, 1);
        CHECK_INT(s.client.streams[i].code, TAPS_E_LOCAL_ABORT);
        CHECK_INT(s.server.streams[i].connection_error, 1);
    }
    CHECK_INT(b->establishment_error, 1);
    CHECK_INT(b->code, TAPS_E_LOCAL_ABORT);
    CHECK_INT(taps_connection_abort_group(s.client.streams[1].connection), TAPS_E_STATE);
    streams_finish(&s);
}

TEST(abort_group_of_a_listeners_session_ends_all_streams)
{
    struct streams s;
    streams_new(&s);
    streams_grow(&s, 2);
    CHECK_INT(taps_connection_abort_group(s.server.streams[1].connection), 0);
    streams_run(&s, 200);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(s.server.streams[i].code, TAPS_E_LOCAL_ABORT);
        CHECK_INT(s.client.streams[i].connection_error, 1);
        CHECK_INT(s.client.streams[i].code, TAPS_E_ABORTED);
    }
    streams_finish(&s);
}

/* proves API-143 and API-145: the end of the session is that of each of its streams, once */
TEST(the_error_of_a_session_reaches_each_stream_once)
{
    struct streams s;
    streams_new(&s);
    struct stream *b;
    streams_grow(&s, 3);
    NEED(streams_clone(&s.client.streams[0], NULL, &b) == 0);
    streams_free_end(&s.server);
    taps_listener_free(s.listener);
    s.listener = NULL;
    streams_run(&s, 200);
    for (int i = 0; i < 4; i++)
        CHECK_INT(s.client.streams[i].connection_error, 1);
    CHECK_INT(streams_ends(b), 1);
    CHECK_INT(taps_connection_group_count(b->connection), 5);
    CHECK_INT(streams_clone(&s.client.streams[0], NULL, &b), TAPS_E_STATE);
    streams_finish(&s);
}

static void free_the_others(struct stream *t)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        if (&t->end->streams[i] != t)
            streams_free(&t->end->streams[i]);
    }
}

TEST(a_stream_that_hears_of_the_end_may_free_the_others)
{
    struct streams s;
    streams_new(&s);
    streams_grow(&s, 3);
    s.client.streams[1].act = free_the_others;
    CHECK_INT(taps_connection_abort_group(s.server.streams[0].connection), 0);
    streams_run(&s, 200);
    CHECK_INT(s.client.streams[1].connection_error, 1);
    CHECK_INT(taps_connection_group_count(s.client.streams[1].connection), 1);
    streams_finish(&s);
}

static void clone_more(struct stream *t)
{
    struct stream *ret;
    if (t->end->count < STREAMS - 1 && streams_clone(t, NULL, &ret) == 0) {
        ret->act = clone_more;
        streams_send(ret, "again");
    }
}

TEST(streams_are_opened_in_the_events_of_others)
{
    struct streams s;
    streams_new(&s);
    struct stream *a = streams_initiate(&s);
    a->act = clone_more;
    streams_run(&s, 500);
    CHECK(s.client.count > 8);
    CHECK(s.server.count > 7);
    streams_finish(&s);
}
