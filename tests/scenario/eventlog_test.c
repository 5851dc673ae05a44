/* The log of the events of each Connection, line by line. */
#include <stdio.h>
#include <string.h>
#include "connection/connection.h"
#include "peer.h"

#define V4 "192.0.2.1:80"

struct lines {
    char text[40][200];
    unsigned count;
    unsigned others; /* of other levels */
};

static void on_log(void *user, enum taps_log_level level, const char *text)
{
    struct lines *l = user;
    if (level != TAPS_LOG_EVENT)
        l->others++;
    else if (l->count < 40)
        snprintf(l->text[l->count++], sizeof(l->text[0]), "%s", text);
}

static void world_logged(struct world *w, struct lines *lines, enum taps_log_level level)
{
    memset(lines, 0, sizeof(*lines));
    world_new(w);
    w->options.log = on_log;
    w->options.log_user = lines;
    w->options.log_level = level;
}

/* All lines are these, one by one; "*" in an expected line stands for whatever is there. */
static bool matches(const char *line, const char *expected)
{
    while (*expected && *expected != '*') {
        if (*line++ != *expected++)
            return false;
    }
    if (!*expected)
        return !*line;
    for (;; line++) {
        if (matches(line, expected + 1))
            return true;
        if (!*line)
            return false;
    }
}

static void check_lines(const struct lines *lines, const char *const *expected)
{
    unsigned i = 0;
    for (; expected[i]; i++) {
        if (i >= lines->count)
            tapsi_test_fail(__FILE__, __LINE__, "missing: %s", expected[i]);
        else if (!matches(lines->text[i], expected[i]))
            tapsi_test_fail(__FILE__, __LINE__, "is: %s, not: %s", lines->text[i], expected[i]);
    }
    for (; i < lines->count; i++)
        tapsi_test_fail(__FILE__, __LINE__, "too much: %s", lines->text[i]);
}

static void send_text(struct world *w, const char *text)
{
    CHECK_INT(taps_connection_send(w->connection, text, strlen(text), NULL, 0, NULL), 0);
}

static void datagrams(struct world *w)
{
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
}

static void start_tcp(struct world *w, struct lines *lines, enum tapsi_sim_behaviour behaviour)
{
    world_logged(w, lines, TAPS_LOG_EVENT);
    tapsi_sim_serve(w->server, 80, behaviour);
    world_initiate(w, V4, 0);
    world_run_until_ready(w);
    lines->count = 0; /* how it began is the same in all of them */
}

/* proves API-147: the life of a Connection over a stream, from its names to its orderly end. */
TEST(a_connection_is_logged_from_initiate_to_closed)
{
    static const char *const expected[] = {
        "connection 1 0.000 - initiate remote=example.test:80 timeout=30000",
        "connection 1 10.000 - resolved name=example.test type=AAAA source=dns count=1",
        "connection 1 10.000 - attempt id=1.1.1 stack=tcp remote=[2001:db8::9]:80 interface=eth0",
        "connection 1 10.000 - resolved name=example.test type=A source=dns count=1",
        "connection 1 260.000 - attempt id=1.1.2 stack=tcp remote=192.0.2.1:80 interface=eth0",
        "connection 1 270.000 - attempt-cancelled id=1.1.1: another candidate was ready first",
        "connection 1 270.000 tcp ready local=192.0.2.2:* remote=192.0.2.1:80",
        "connection 1 270.000 tcp send bytes=5 end",
        "connection 1 270.000 tcp sent bytes=5",
        "connection 1 280.000 tcp received bytes=5",
        "connection 1 370.000 tcp close",
        "connection 1 370.000 tcp closed",
        NULL};
    struct world w;
    struct lines lines;
    world_logged(&w, &lines, TAPS_LOG_EVENT);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    tapsi_sim_dns_answer(w.dns, "example.test", "AAAA", "2001:db8::9", 0);
    tapsi_sim_dns_answer(w.dns, "example.test", "A", "192.0.2.1", 0);
    world_initiate(&w, "example.test:80", 0);
    world_run_until_ready(&w);
    taps_connection_receive(w.connection, 1, 100, NULL);
    send_text(&w, "hello");
    world_run_ms(&w, 100);
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    check_lines(&lines, expected);
    world_finish(&w);
}

/* proves API-147: an establishment that fails, with the reason of each candidate, and what was to be sent. */
TEST(a_failed_establishment_is_logged)
{
    static const char *const expected[] = {
        "connection 1 0.000 - initiate remote=example.test:80 timeout=2000",
        "connection 1 0.000 - send bytes=4 end",
        "connection 1 10.000 - resolved name=example.test type=AAAA source=dns count=0: no AAAA record for "
        "example.test",
        "connection 1 10.000 - resolved name=example.test type=A source=dns count=1",
        "connection 1 10.000 - attempt id=1.1.1 stack=tcp remote=192.0.2.1:80 interface=eth0",
        "connection 1 20.000 - attempt-failed id=1.1.1: TCP connecting: Connection refused",
        "connection 1 20.000 - send-error bytes=4 code=TAPS_E_REFUSED: connection refused",
        "connection 1 20.000 - establishment-error code=TAPS_E_REFUSED: 192.0.2.1:80: TCP connecting: Connection "
        "refused",
        NULL};
    struct world w;
    struct lines lines;
    world_logged(&w, &lines, TAPS_LOG_EVENT);
    tapsi_sim_dns_answer(w.dns, "example.test", "A", "192.0.2.1", 0);
    world_initiate(&w, "example.test:80", 2000);
    send_text(&w, "lost");
    world_run_until_end(&w);
    check_lines(&lines, expected);
    world_finish(&w);
}

/* proves API-147: the end of a direction, parts, and a reset in the middle of what was asked for. */
TEST(ends_and_resets_are_logged)
{
    static const char *const ended[] = {"connection 1 20.000 tcp received bytes=3",
                                        "connection 1 20.000 tcp received bytes=0 end final",
                                        "connection 1 30.000 tcp send bytes=3",
                                        "connection 1 30.000 tcp sent bytes=3",
                                        "connection 1 30.000 tcp send bytes=0 end final",
                                        "connection 1 30.000 tcp sent bytes=0",
                                        "connection 1 * tcp closed",
                                        NULL};
    static const char *const reset[] = {"connection 1 10.000 tcp send bytes=5 end",
                                        "connection 1 10.000 tcp sent bytes=5",
                                        "connection 1 20.000 tcp receive-error code=TAPS_E_ABORTED: TCP *",
                                        "connection 1 20.000 tcp connection-error code=TAPS_E_ABORTED: TCP *", NULL};
    struct world w;
    struct lines lines;
    taps_message_context *final;
    world_logged(&w, &lines, TAPS_LOG_EVENT);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(s, "abc", 3);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    lines.count = 0;
    w.keep_reading = true;
    taps_connection_receive(w.connection, 1, 100, NULL);
    world_run_ms(&w, 20);
    taps_message_context_new(&final);
    taps_message_context_set(final, "final", "true");
    taps_connection_send(w.connection, "def", 3, NULL, TAPS_SEND_PARTIAL, NULL);
    taps_context_run_once(w.context, 0);
    taps_connection_send(w.connection, NULL, 0, final, 0, NULL);
    taps_message_context_free(final);
    world_run_until_end(&w);
    check_lines(&lines, ended);
    world_finish(&w);

    start_tcp(&w, &lines, TAPSI_SIM_RESET);
    taps_connection_receive(w.connection, 1, 100, NULL);
    send_text(&w, "hello");
    world_run_until_end(&w);
    check_lines(&lines, reset);
    world_finish(&w);
}

/* proves API-147: what the network says, what is too large, and what came too late. */
TEST(datagrams_are_logged)
{
    static const char *const expected[] = {
        "connection 1 0.000 - initiate remote=192.0.2.1:80 timeout=30000",
        "connection 1 0.000 - attempt id=1.1.1 stack=udp remote=192.0.2.1:80 interface=eth0",
        "connection 1 0.000 udp ready local=192.0.2.2:* remote=192.0.2.1:80",
        "connection 1 0.000 udp send bytes=70000 end",
        "connection 1 0.000 udp send-error bytes=70000 code=TAPS_E_MESSAGE_TOO_LARGE: the Message is too large",
        "connection 1 0.000 udp send bytes=1472 end",
        "connection 1 0.000 udp sent bytes=1472",
        "connection 1 10.000 udp path-change",
        "connection 1 50.000 udp send bytes=1 end",
        "connection 1 50.000 udp sent bytes=1",
        "connection 1 60.000 udp soft-error code=TAPS_E_REFUSED: the network reported about 192.0.2.1:80: *",
        NULL};
    static char large[70000];
    struct world w;
    struct lines lines;
    world_logged(&w, &lines, TAPS_LOG_EVENT);
    datagrams(&w);
    taps_transport_properties_set(w.properties, "softErrorNotify", "prefer");
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    taps_connection_send(w.connection, large, sizeof(large), NULL, 0, NULL);
    taps_context_run_once(w.context, 0);
    tapsi_sim_link_mtu(w.link, 1300, false);
    taps_connection_send(w.connection, large, 1472, NULL, 0, NULL);
    world_run_ms(&w, 50);
    taps_connection_send(w.connection, large, 1, NULL, 0, NULL);
    world_run_ms(&w, 50);
    check_lines(&lines, expected);
    world_finish(&w);
}

/* proves API-147: Abort, and being freed in the middle. */
TEST(abort_and_free_are_logged)
{
    static const char *const aborted[] = {
        "connection 1 10.000 tcp abort",
        "connection 1 10.000 tcp connection-error code=TAPS_E_LOCAL_ABORT: the Connection was aborted by this side",
        NULL};
    static const char *const freed[] = {"connection 1 10.000 tcp freed", NULL};
    struct world w;
    struct lines lines;
    start_tcp(&w, &lines, TAPSI_SIM_ECHO);
    taps_connection_abort(w.connection);
    world_run_until_end(&w);
    check_lines(&lines, aborted);
    taps_connection_free(w.connection); /* it has ended: there is nothing to say */
    w.connection = NULL;
    check_lines(&lines, aborted);
    world_finish(&w);

    start_tcp(&w, &lines, TAPSI_SIM_ECHO);
    taps_connection_free(w.connection);
    w.connection = NULL;
    world_run_ms(&w, 100);
    check_lines(&lines, freed);
    world_finish(&w);
}

/* proves API-147: Close before Ready, with the candidate that was under way. */
TEST(an_establishment_that_was_given_up_is_logged)
{
    static const char *const expected[] = {
        "connection 1 0.000 - initiate remote=192.0.2.1:80 timeout=30000",
        "connection 1 0.000 - attempt id=1.1.1 stack=tcp remote=192.0.2.1:80 interface=eth0",
        "connection 1 2.000 - close",
        "connection 1 2.000 - attempt-cancelled id=1.1.1: the Connection was given up",
        "connection 1 2.000 - establishment-error code=TAPS_E_CANCELLED: the Connection was closed before it was ready",
        NULL};
    struct world w;
    struct lines lines;
    world_logged(&w, &lines, TAPS_LOG_EVENT);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0);
    world_run_ms(&w, 2);
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    check_lines(&lines, expected);
    world_finish(&w);
}

static taps_connection *accepted;

static void on_received_connection(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    (void)user;
    accepted = c;
}

static const struct taps_listener_events listener_events = {.connection_received = on_received_connection};

/* proves API-147: each Connection has its own number, one from a Listener too, and one without events as well. */
TEST(connections_of_a_listener_are_logged)
{
    static const char *const expected[] = {"connection 1 0.000 tcp accepted local=192.0.2.2:80 remote=192.0.2.1:*",
                                           "connection 1 * tcp abort",
                                           "connection 1 * tcp connection-error code=TAPS_E_LOCAL_ABORT: *",
                                           "connection 2 0.000 tcp accepted local=192.0.2.2:80 remote=192.0.2.1:*",
                                           "connection 2 * tcp freed",
                                           NULL};
    struct world w;
    struct lines lines;
    struct peer peer;
    taps_listener *listener = NULL;
    world_logged(&w, &lines, TAPS_LOG_EVENT);
    world_start(&w);
    taps_preconnection_set_security_parameters(w.preconnection, w.security);
    taps_preconnection_add_local_text(w.preconnection, "192.0.2.2:80");
    CHECK_INT(taps_preconnection_listen(w.preconnection, &listener_events, NULL, &listener), 0);
    world_run_ms(&w, 1);
    peer_new(&w, w.server, &peer);
    for (int i = 0; i < 2; i++) {
        taps_connection *client = NULL;
        taps_preconnection *p;
        accepted = NULL;
        taps_preconnection_new(peer.context, &p);
        taps_preconnection_set_security_parameters(p, w.security);
        taps_preconnection_add_remote_text(p, "192.0.2.2:80");
        CHECK_INT(taps_preconnection_initiate(p, 0, NULL, NULL, &client), 0);
        taps_preconnection_free(p);
        world_run_ms(&w, 100);
        NEED(accepted != NULL);
        if (i == 0)
            taps_connection_abort(accepted);
        world_run_ms(&w, 10);
        taps_connection_free(accepted);
        taps_connection_free(client);
    }
    check_lines(&lines, expected);
    taps_listener_free(listener);
    peer_done(&peer);
    world_finish(&w);
}

/* proves API-147: with TLS the line says which, and the lines are those of the Messages, not of the records. */
TEST(security_is_logged)
{
    static const char *const expected[] = {
        "connection 1 0.000 - initiate remote=example.test:443 timeout=30000",
        "connection 1 0.000 - resolved name=example.test type=AAAA source=hosts count=1",
        "connection 1 0.000 - resolved name=example.test type=A source=dns count=0: no A record for example.test",
        "connection 1 0.000 - attempt id=1.1.1 stack=tls/tcp remote=[2001:db8::1]:443 interface=eth0",
        "connection 1 * tls/tcp ready local=[2001:db8::2]:* remote=[2001:db8::1]:443 security=TLS 1.3 alpn=http/1.1",
        "connection 1 * tls/tcp send bytes=5 end",
        "connection 1 * tls/tcp sent bytes=5",
        "connection 1 * tls/tcp received bytes=5",
        NULL};
    struct world w;
    struct lines lines;
    struct peer peer;
    world_logged(&w, &lines, TAPS_LOG_EVENT);
    tapsi_sim_file(w.client, "/etc/hosts", "2001:db8::1 example.test\n");
    world_secure(&w);
    taps_security_parameters_add_alpn(w.security, "http/1.1");
    peer_new(&w, w.server, &peer);
    struct tapsi_test_identity identity = peer_certificate("example.test", NULL, NULL);
    peer_secure(&peer, &identity);
    taps_security_parameters_add_alpn(peer.security, "http/1.1");
    peer.echo = true;
    peer_listen(&w, &peer, "[2001:db8::1]:443");
    world_initiate(&w, "example.test:443", 0);
    world_run_until_ready(&w);
    taps_connection_receive(w.connection, 1, 100, NULL);
    send_text(&w, "hello");
    world_run_ms(&w, 100);
    check_lines(&lines, expected);
    tapsi_test_identity_free(&identity);
    peer_done(&peer);
    tapsi_test_identity_free(&identity);
    world_finish(&w);
}

/* At a lower level there is not one line of it, and a Connection has no number to pay for. */
TEST(below_the_level_nothing_is_logged)
{
    static const enum taps_log_level levels[] = {TAPS_LOG_ERROR, TAPS_LOG_WARNING, TAPS_LOG_INFO};
    for (int i = 0; i < 3; i++) {
        struct world w;
        struct lines lines;
        world_logged(&w, &lines, levels[i]);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        world_initiate(&w, V4, 0);
        world_run_until_ready(&w);
        CHECK(w.connection && w.connection->rare == NULL);
        send_text(&w, "hello");
        world_run_ms(&w, 100);
        taps_connection_close(w.connection);
        world_run_until_end(&w);
        CHECK_INT(lines.count, 0);
        world_finish(&w);
    }
}

/* At the level of events there are events only; those of the library's insides need one more. */
TEST(the_level_above_has_the_events_too)
{
    struct world w;
    struct lines lines;
    start_tcp(&w, &lines, TAPSI_SIM_ECHO);
    CHECK_INT(lines.others, 0);
    world_finish(&w);
    world_logged(&w, &lines, TAPS_LOG_DEBUG);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    CHECK(lines.count >= 3);
    CHECK(lines.others >= 1);
    world_finish(&w);
}
