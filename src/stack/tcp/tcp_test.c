/* TCP on the kernel, against a plain socket that does what peers do: what only the real thing shows. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <taps/taps.h>
#include <unistd.h>
#include "base/test.h"

struct net {
    taps_context *context;
    taps_preconnection *preconnection;
    taps_connection *connection;
    taps_listener *listener;
    int listening, peer; /* the plain sockets */
    uint16_t port;       /* where the other side listens */
    unsigned ready, sent, send_errors, received, receive_errors, closed, errors, accepted, listens;
    int code, send_code;
    char data[256];
    size_t length;
    bool final, reads;
};

/* ----------------------------------------------------------------------------------------------------- events */

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct net *)user)->ready++;
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    ((struct net *)user)->sent++;
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct net *n = user;
    (void)c;
    (void)tag;
    n->send_errors++;
    n->send_code = error->code;
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct net *n = user;
    n->received++;
    n->final |= m->final;
    if (m->length && n->length + m->length < sizeof(n->data))
        memcpy(n->data + n->length, m->data, m->length);
    n->length += m->length;
    if (n->reads && !m->final)
        taps_connection_receive(c, 1, 100, NULL);
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    ((struct net *)user)->receive_errors++;
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct net *)user)->closed++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct net *n = user;
    (void)c;
    n->errors++;
    n->code = error->code;
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_error,
                                                     .sent = on_sent,
                                                     .send_error = on_send_error,
                                                     .received = on_received,
                                                     .received_partial = on_received,
                                                     .receive_error = on_receive_error,
                                                     .closed = on_closed,
                                                     .connection_error = on_error};

static void on_listening(taps_listener *l, void *user)
{
    struct net *n = user;
    n->listens++;
    n->port = taps_endpoint_port(taps_listener_local(l, 0));
}

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    struct net *n = user;
    (void)l;
    n->accepted++;
    n->connection = c;
    taps_connection_set_events(c, &events, n);
}

static const struct taps_listener_events listener_events = {.listening = on_listening,
                                                            .connection_received = on_connection};

/* ----------------------------------------------------------------------------------------------------- the net */

#define TURNS 2000

static void run(struct net *n, const unsigned *what, unsigned until)
{
    for (int i = 0; i < TURNS && *what < until; i++)
        taps_context_run_once(n->context, 5);
}

/* Lets everything happen that is under way. */
static void settle(struct net *n)
{
    for (int i = 0; i < 20; i++)
        taps_context_run_once(n->context, 5);
}

static void begin(struct net *n)
{
    taps_security_parameters *none;
    memset(n, 0, sizeof(*n));
    n->listening = n->peer = -1;
    n->reads = true;
    taps_context_new(NULL, &n->context);
    taps_preconnection_new(n->context, &n->preconnection);
    taps_security_parameters_new_disabled(&none);
    taps_preconnection_set_security_parameters(n->preconnection, none);
    taps_security_parameters_free(none);
}

/* The library connects to a plain socket. */
static bool connect_to_peer(struct net *n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(a);
    char remote[64];
    begin(n);
    n->listening = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(n->listening, (struct sockaddr *)&a, sizeof(a)) || listen(n->listening, 5) ||
        getsockname(n->listening, (struct sockaddr *)&a, &length))
        return false;
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", ntohs(a.sin_port));
    CHECK_INT(taps_preconnection_add_remote_text(n->preconnection, remote), 0);
    CHECK_INT(taps_preconnection_initiate(n->preconnection, 5000, &events, n, &n->connection), 0);
    run(n, &n->ready, 1);
    n->peer = accept(n->listening, NULL, NULL);
    return n->ready && n->peer >= 0;
}

/* The library listens. */
static bool listen_for_peer(struct net *n)
{
    begin(n);
    CHECK_INT(taps_preconnection_add_local_text(n->preconnection, "127.0.0.1:0"), 0);
    CHECK_INT(taps_preconnection_listen(n->preconnection, &listener_events, n, &n->listener), 0);
    run(n, &n->listens, 1);
    return n->listens;
}

static int plain_connect(const struct net *n)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(n->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

static void end(struct net *n)
{
    taps_connection_free(n->connection);
    taps_listener_free(n->listener);
    taps_preconnection_free(n->preconnection);
    CHECK_INT(taps_context_free(n->context), 0);
    if (n->peer >= 0)
        close(n->peer);
    if (n->listening >= 0)
        close(n->listening);
}

static int send_text(struct net *n, const char *text, bool final)
{
    taps_message_context *context = NULL;
    if (final) {
        taps_message_context_new(&context);
        taps_message_context_set(context, "final", "true");
    }
    int err = taps_connection_send(n->connection, text, strlen(text), context, 0, NULL);
    taps_message_context_free(context);
    return err;
}

/* ------------------------------------------------------------------------------------------------------- tests */

/* Reading stops before a byte that is marked urgent, though there is more behind it. */
TEST(urgent_data_does_not_hide_what_follows)
{
    struct net n;
    NEED(connect_to_peer(&n));
    CHECK_INT(send(n.peer, "before", 6, 0), 6);
    CHECK_INT(send(n.peer, "!", 1, MSG_OOB), 1);
    CHECK_INT(send(n.peer, "behind", 6, 0), 6);
    settle(&n);
    taps_connection_receive(n.connection, 1, 100, NULL);
    settle(&n);
    CHECK_INT(n.length, 12);
    CHECK(memcmp(n.data, "beforebehind", 12) == 0);
    CHECK_INT(send(n.peer, "last", 4, 0), 4);
    settle(&n);
    CHECK_INT(n.length, 16);
    end(&n);
}

/* proves API-143, IMPL-30: half-closed by us (final is our FIN), answered, half-closed by the peer: Closed. */
TEST(both_sides_half_close)
{
    struct net n;
    char got[16];
    NEED(connect_to_peer(&n));
    taps_connection_receive(n.connection, 1, 100, NULL);
    CHECK_INT(send_text(&n, "ask", true), 0);
    run(&n, &n.sent, 1);
    CHECK_INT(recv(n.peer, got, sizeof(got), MSG_WAITALL), 3);
    CHECK_INT(send(n.peer, "answer", 6, 0), 6);
    settle(&n);
    CHECK_INT(n.length, 6);
    CHECK_INT(n.closed, 0);
    shutdown(n.peer, SHUT_WR);
    run(&n, &n.closed, 1);
    CHECK(n.final);
    CHECK_INT(n.closed, 1);
    CHECK_INT(n.errors, 0);
    end(&n);
}

/* proves API-143, IMPL-30: the peer's end (its FIN is the end of its Message) first, and what we still have to say
 * arrives. */
TEST(peer_half_closes_first)
{
    struct net n;
    char got[16];
    NEED(connect_to_peer(&n));
    taps_connection_receive(n.connection, 1, 100, NULL);
    shutdown(n.peer, SHUT_WR);
    settle(&n);
    CHECK(n.final);
    CHECK_INT(n.closed, 0);
    CHECK_INT(send_text(&n, "still here", true), 0);
    run(&n, &n.closed, 1);
    CHECK_INT(n.closed, 1);
    CHECK_INT(recv(n.peer, got, sizeof(got), MSG_WAITALL), 10);
    end(&n);
}

/* proves API-143: gone after its FIN; the kernel calls that EPIPE, and it is an abort. */
TEST(reset_after_the_peers_end_is_an_abort)
{
    for (int reads = 0; reads < 2; reads++) {
        struct net n;
        NEED(connect_to_peer(&n));
        if (reads)
            taps_connection_receive(n.connection, 1, 100, NULL);
        shutdown(n.peer, SHUT_WR);
        settle(&n);
        CHECK_INT(n.final, reads);
        close(n.peer);
        n.peer = -1;
        CHECK_INT(send_text(&n, "to nobody", false), 0); /* answered with a reset */
        run(&n, &n.errors, 1);
        CHECK_INT(n.errors, 1);
        CHECK_INT(n.code, TAPS_E_ABORTED);
        CHECK_INT(n.closed, 0);
        end(&n);
    }
}

/* Everything in one moment: data, the end, and the reset for what we said. Nothing is told twice. */
TEST(data_end_and_reset_at_once)
{
    struct net n;
    NEED(connect_to_peer(&n));
    taps_connection_receive(n.connection, 1, 100, NULL);
    CHECK_INT(send_text(&n, "unread", false), 0);
    settle(&n);
    CHECK_INT(send(n.peer, "bye", 3, 0), 3);
    close(n.peer); /* with unread data: a reset follows */
    n.peer = -1;
    run(&n, &n.errors, 1);
    CHECK_INT(n.errors + n.closed, 1);
    CHECK_INT(n.code, TAPS_E_ABORTED);
    end(&n);
}

/* proves API-143: reset while it was in the backlog. Whether or not it is delivered, it is told once, and others come.
 */
TEST(accepted_peer_that_was_gone_already)
{
    struct net n;
    NEED(listen_for_peer(&n));
    int gone = plain_connect(&n);
    NEED(gone >= 0);
    reset(gone);
    settle(&n);
    CHECK_INT(n.errors, n.accepted);
    CHECK_INT(n.closed, 0);
    taps_connection_free(n.connection);
    n.connection = NULL;
    unsigned before = n.accepted;
    n.peer = plain_connect(&n);
    run(&n, &n.accepted, before + 1);
    CHECK_INT(n.accepted, before + 1);
    end(&n);
}

/* proves API-140: what the peer still says while we close does not turn our end into a reset of what it has not read.
 */
TEST(close_while_the_peer_talks)
{
    static char noise[100000];
    struct net n;
    NEED(connect_to_peer(&n));
    CHECK(send(n.peer, noise, sizeof(noise), MSG_DONTWAIT) > 0);
    CHECK_INT(send_text(&n, "good bye", false), 0);
    CHECK_INT(taps_connection_close(n.connection), 0);
    run(&n, &n.closed, 1);
    CHECK_INT(n.closed, 1);
    CHECK_INT(recv(n.peer, noise, sizeof(noise), MSG_WAITALL), 8);
    end(&n);
}
