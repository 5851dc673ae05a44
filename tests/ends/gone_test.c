/*
 * A peer that answers, ends and is gone before we have said a word of good-bye, as web servers do. Our own end is then
 * answered with a reset; whenever it comes, nothing is lost, nobody waits, and the Connection is Closed. In a foreign
 * loop, where a wake-up that is lost shows.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <taps/taps.h>
#include "base/test.h"
#include "plain.h"

#define SIZE      40
#define WAKE_UP   20000 /* ms: more than any of them may be waited for */
#define LATENCIES 4

struct member {
    taps_connection *connection;
    uint64_t got;
    bool final, wrong, closing;
    unsigned number, closed, errors;
    char detail[200];
};

static struct member members[SIZE];
static taps_context *context;
static unsigned over;

static void ask(struct member *m)
{
    CHECK_INT(taps_connection_receive(m->connection, 1, 65536, NULL), 0);
}

static void close_it(void *arg)
{
    struct member *m = arg;
    if (taps_connection_state(m->connection) != TAPS_CLOSED)
        CHECK_INT(taps_connection_close(m->connection), 0);
}

static void on_ready(taps_connection *c, void *user)
{
    CHECK_INT(taps_connection_send(c, "tell me", 7, NULL, 0, NULL), 0);
    ask(user);
}

/* Some Close at once, some a little later. */
static void on_received(taps_connection *c, const struct taps_received *message, void *user)
{
    struct member *m = user;
    (void)c;
    if (message->length && memcmp(message->data, plain_content(0, m->got), message->length) != 0)
        m->wrong = true;
    m->got += message->length;
    m->final = message->final;
    if (!m->final)
        ask(m);
    else if (m->number % LATENCIES == 0)
        close_it(m);
    else
        CHECK_INT(taps_context_after(context, m->number % LATENCIES, close_it, m, NULL), 0);
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct member *)user)->closed++;
    over++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct member *m = user;
    (void)c;
    m->errors++;
    over++;
    snprintf(m->detail, sizeof(m->detail), "%s", error->detail);
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .received = on_received,
                                                     .received_partial = on_received,
                                                     .closed = on_closed,
                                                     .establishment_error = on_error,
                                                     .connection_error = on_error};

static taps_preconnection *preconnection(const struct plain_peers *peers)
{
    const char *ca = peers->authority.certificate;
    taps_preconnection *p;
    taps_security_parameters *s;
    char remote[40];
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", peers->port);
    taps_preconnection_new(context, &p);
    CHECK_INT(taps_preconnection_add_remote_text(p, remote), 0);
    if (peers->secure) {
        taps_security_parameters_new(&s);
        CHECK_INT(taps_security_parameters_add_ca_pem(s, ca, strlen(ca)), 0);
    } else {
        taps_security_parameters_new_disabled(&s);
    }
    CHECK_INT(taps_preconnection_set_security_parameters(p, s), 0);
    taps_security_parameters_free(s);
    return p;
}

static void run(void)
{
    struct pollfd fd = {.fd = taps_context_fd(context), .events = POLLIN};
    while (over < SIZE && poll(&fd, 1, WAKE_UP) == 1)
        taps_context_dispatch(context);
    CHECK_INT(over, SIZE);
}

static void all_ask(bool secure, size_t answer)
{
    struct plain_peers peers;
    NEED(plain_begin(&peers, SIZE, secure));
    peers.answer = answer;
    plain_read_now(&peers);
    NEED(taps_context_new(NULL, &context) == 0);
    over = 0;
    taps_preconnection *p = preconnection(&peers);
    for (unsigned i = 0; i < SIZE; i++) {
        members[i] = (struct member){.number = i};
        CHECK_INT(taps_preconnection_initiate(p, 20000, &events, &members[i], &members[i].connection), 0);
    }
    run();
    for (unsigned i = 0; i < SIZE; i++) {
        const struct member *m = &members[i];
        CHECK_INT(m->closed, 1);
        CHECK_TEXT(m->detail, "");
        CHECK(m->got == answer && m->final && !m->wrong);
        taps_connection_free(m->connection);
    }
    taps_preconnection_free(p);
    CHECK_INT(taps_context_free(context), 0);
    plain_end(&peers);
    plain_done(&peers);
}

/* proves API-140, API-143 and API-145 */
TEST(a_peer_that_is_gone_when_we_close_is_no_error)
{
    static const size_t answers[] = {26, 20000, 300000};
    unsigned rounds = tapsi_test_rounds(2, 1, 50);
    tapsi_test_limit(tapsi_test_rounds(60, 120, 600));
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
            all_ask(false, answers[i]);
            all_ask(true, answers[i]);
        }
    }
}
