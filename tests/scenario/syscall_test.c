/*
 * The library on the kernel, with each system call failing in its turn: the n-th call, for n = 1, 2, 3 ... until none
 * is left to fail, by errors that go round. Whatever fails, what was begun has an end, no descriptor and no block of
 * memory is left, and the process goes on as before.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <taps/taps.h>
#include "base/test.h"
#include "platform/platform.h"
#include "syscalls.h"

static const int errors[] = {EMFILE, ENOMEM, EINTR, ENOBUFS, EACCES, EAGAIN, EINVAL, ENETDOWN, EPERM, ECONNRESET};
#define ERRORS   (sizeof(errors) / sizeof(errors[0]))
#define RUNS_MAX 3000

/* --------------------------------------------------------------------------------------------------- memory */

static size_t blocks;

static void *resize(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        blocks -= block != NULL;
        free(block);
        return NULL;
    }
    void *grown = realloc(block, size);
    if (grown && !block)
        blocks++;
    return grown;
}

/* -------------------------------------------------------------------------------------------------- a platform */

static union tapsi_addr loopback(uint16_t port)
{
    union tapsi_addr a;
    memset(&a, 0, sizeof(a));
    CHECK_INT(tapsi_addr_parse("127.0.0.1", &a), 0);
    tapsi_addr_set_port(&a, port);
    return a;
}

static void on_ready(struct tapsi_watch *watch, unsigned io)
{
    (void)watch;
    (void)io;
}

/* What a platform is asked for, with a socket that listens and one that connects to it. Failures are told as errors;
   here they only mean less to do. */
static void use_sockets(struct tapsi_platform *p, int listener, int client)
{
    struct tapsi_watch watches[2] = {{-1, on_ready}, {-1, on_ready}};
    struct tapsi_ready ready[4];
    union tapsi_addr name = loopback(0), peer;
    int server = -1;
    if (p->ops->bind(p, listener, &name) >= 0 && p->ops->listen(p, listener, 4) >= 0 &&
        p->ops->watch(p, listener, &watches[0]) >= 0 && p->ops->getsockname(p, listener, &name) >= 0) {
        int err = p->ops->connect(p, client, &name);
        if ((err >= 0 || err == -EINPROGRESS) && p->ops->watch(p, client, &watches[1]) >= 0) {
            p->ops->wait(p, p->ops->now(p) + 50000000, ready, 4);
            server = p->ops->accept(p, listener, &peer);
        }
    }
    if (server >= 0) {
        char bytes[8];
        CHECK(p->ops->getpeername(p, server, &peer) <= 0);
        CHECK(p->ops->send(p, client, "x", 1, 0) <= 1);
        p->ops->wait(p, p->ops->now(p) + 50000000, ready, 4);
        CHECK(p->ops->recv(p, server, bytes, sizeof(bytes), 0) <= 1);
        p->ops->shutdown(p, server, SHUT_WR);
        CHECK_INT(p->ops->close(p, server), 0); /* never asked for twice */
    }
    for (int i = 0; i < 2; i++)
        p->ops->unwatch(p, &watches[i]);
}

static void use_the_rest(struct tapsi_platform *p)
{
    struct tapsi_network *network = NULL;
    struct tapsi_ready ready[4];
    char *text = NULL, bytes[16];
    size_t length;
    int err = p->ops->network(p, &network);
    CHECK(err < 0 ? network == NULL : network != NULL && network->interface_count > 0);
    tapsi_network_unref(network);
    err = p->ops->read_file(p, "/proc/self/status", 65536, &text, &length);
    CHECK_INT(err < 0, text == NULL);
    tapsi_free(p->mem, text);
    CHECK(p->ops->random(p, bytes, sizeof(bytes)) <= 0);
    p->ops->descriptor(p);
    p->ops->arm(p, p->ops->now(p) + 1000);
    p->ops->wake(p);
    CHECK(p->ops->wait(p, 0, ready, 4) <= 0);
}

static void use_platform(void)
{
    struct tapsi_mem mem;
    struct tapsi_platform *p = NULL;
    tapsi_mem_init(&mem, &(struct taps_allocator){.resize = resize});
    if (tapsi_platform_linux_new(&mem, &p) < 0) {
        CHECK(p == NULL);
        return;
    }
    int listener = p->ops->socket(p, AF_INET, SOCK_STREAM, 0), client = p->ops->socket(p, AF_INET, SOCK_STREAM, 0);
    if (listener >= 0 && client >= 0)
        use_sockets(p, listener, client);
    if (listener >= 0)
        p->ops->close(p, listener);
    if (client >= 0)
        p->ops->close(p, client);
    use_the_rest(p);
    p->ops->destroy(p);
}

/* ------------------------------------------------------------------------------------------------- a whole pair */

struct party {
    struct pair *pair;
    taps_connection *connection;
    unsigned ends, received;
};

struct pair {
    taps_context *context;
    taps_listener *listener;
    taps_timer *timer;
    struct party client, servers[4];
    unsigned server_count, listening, listener_ends;
    uint16_t port;
    bool datagrams, passed;
};

static void maybe_stop(struct pair *p)
{
    if (p->client.ends)
        taps_context_stop(p->context);
}

static void on_end(taps_connection *c, void *user)
{
    struct party *p = user;
    (void)c;
    p->ends++;
    maybe_stop(p->pair);
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    CHECK(error->code < 0 && error->detail[0]);
    on_end(c, user);
}

static void on_ready_client(taps_connection *c, void *user)
{
    (void)user;
    taps_connection_send(c, "hello", 5, NULL, 0, NULL);
    taps_connection_receive(c, 1, 100, NULL);
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct party *p = user;
    p->received += (unsigned)m->length;
    if (p == &p->pair->client)
        taps_connection_close(c);
    else if (m->length)
        taps_connection_send(c, m->data, m->length, NULL, 0, NULL);
    if (p != &p->pair->client && !m->final)
        taps_connection_receive(c, 1, 100, NULL);
    else if (m->final)
        taps_connection_close(c);
}

static const struct taps_connection_events events = {.ready = on_ready_client,
                                                     .establishment_error = on_error,
                                                     .received = on_received,
                                                     .received_partial = on_received,
                                                     .closed = on_end,
                                                     .connection_error = on_error};

static void on_listening(taps_listener *l, void *user)
{
    struct pair *p = user;
    p->port = taps_endpoint_port(taps_listener_local(l, 0));
    p->listening++;
    taps_context_stop(p->context);
}

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    struct pair *p = user;
    (void)l;
    if (p->server_count == sizeof(p->servers) / sizeof(p->servers[0])) {
        taps_connection_free(c);
        return;
    }
    struct party *s = &p->servers[p->server_count++];
    *s = (struct party){.pair = p, .connection = c};
    taps_connection_set_events(c, &events, s);
    taps_connection_receive(c, 1, 100, NULL);
}

static void on_listener_error(taps_listener *l, const struct taps_error *error, void *user)
{
    struct pair *p = user;
    (void)l;
    CHECK(error->code < 0 && error->detail[0]);
    p->listener_ends++;
    taps_context_stop(p->context);
}

static const struct taps_listener_events listener_events = {
    .listening = on_listening, .connection_received = on_connection, .establishment_error = on_listener_error};

static taps_preconnection *preconnection(struct pair *p, const char *local, const char *remote)
{
    taps_preconnection *pre;
    taps_security_parameters *none;
    taps_transport_properties *properties;
    if (taps_preconnection_new(p->context, &pre) != 0)
        return NULL;
    CHECK_INT(taps_security_parameters_new_disabled(&none), 0);
    CHECK_INT(taps_preconnection_set_security_parameters(pre, none), 0);
    taps_security_parameters_free(none);
    if (p->datagrams) {
        CHECK_INT(taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &properties), 0);
        CHECK_INT(taps_preconnection_set_transport_properties(pre, properties), 0);
        taps_transport_properties_free(properties);
    }
    if (local)
        CHECK_INT(taps_preconnection_add_local_text(pre, local), 0);
    if (remote)
        CHECK_INT(taps_preconnection_add_remote_text(pre, remote), 0);
    return pre;
}

/* The timer is over then. */
static void out_of_time(void *arg)
{
    struct pair *p = arg;
    p->timer = NULL;
    taps_context_stop(p->context);
}

/* Until somebody stops the context, but not for long. */
static void run_for(struct pair *p, uint64_t ms)
{
    CHECK_INT(taps_context_after(p->context, ms, out_of_time, p, &p->timer), 0);
    taps_context_run(p->context);
    taps_timer_cancel(p->timer);
    p->timer = NULL;
}

static void listen_and_connect(struct pair *p)
{
    char remote[32];
    taps_preconnection *l = preconnection(p, "127.0.0.1:0", NULL);
    int err = taps_preconnection_listen(l, &listener_events, p, &p->listener);
    taps_preconnection_free(l);
    if (err)
        return;
    run_for(p, 300);
    CHECK_INT(p->listening + p->listener_ends, 1);
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", p->port ? p->port : 9);
    taps_preconnection *c = preconnection(p, NULL, remote);
    err = taps_preconnection_initiate(c, 100, &events, &p->client, &p->client.connection);
    taps_preconnection_free(c);
    if (err)
        return;
    run_for(p, 200);
}

/* What has not come to its end by itself is aborted: that must be told at once, whatever the kernel says. */
static void end_all(struct pair *p)
{
    p->passed = p->client.received == 5 && p->client.ends == 1 && p->server_count == 1;
    for (unsigned i = 0; i <= p->server_count; i++) {
        struct party *party = i ? &p->servers[i - 1] : &p->client;
        if (!party->connection)
            continue;
        if (!party->ends)
            CHECK_INT(taps_connection_abort(party->connection), 0);
        for (int k = 0; k < 10 && !party->ends; k++)
            taps_context_run_once(p->context, 0);
        CHECK_INT(party->ends, 1);
        taps_connection_free(party->connection);
    }
    taps_listener_free(p->listener);
    CHECK_INT(taps_context_free(p->context), 0);
}

static bool use_pair(bool datagrams)
{
    struct pair p = {.datagrams = datagrams};
    struct taps_allocator allocator = {resize, NULL};
    struct taps_context_options options = {.allocator = &allocator};
    p.client.pair = &p;
    if (taps_context_new(&options, &p.context) != 0)
        return false;
    listen_and_connect(&p);
    end_all(&p);
    return p.passed;
}

/* -------------------------------------------------------------------------------------------------- repetition */

static bool platform_alone(void)
{
    use_platform();
    return true;
}

static bool streams(void)
{
    return use_pair(false);
}

static bool packets(void)
{
    return use_pair(true);
}

static bool run_with(bool (*way)(void), size_t nth, size_t row, int err)
{
    int before = syscalls_descriptors();
    bool failed_before = tapsi_test_failed();
    blocks = 0;
    syscalls_begin(nth, row, err);
    bool passed = way();
    syscalls_end();
    CHECK_INT(blocks, 0);
    CHECK_INT(syscalls_descriptors(), before);
    if (tapsi_test_failed() && !failed_before)
        printf("# that was call %zu (%s) failing with %s, and %zu more\n", nth,
               syscalls_failed() ? syscalls_failed() : "none", err ? strerror(err) : "nothing", row - 1);
    return passed;
}

/* One run for each call, with errors that go round; in the long form each call with each error. */
static void fail_each(bool (*way)(void), size_t row)
{
    size_t kinds = tapsi_test_rounds(1, 1, ERRORS), runs = 0;
    tapsi_test_limit(600);
    CHECK(run_with(way, 0, 1, 0));
    CHECK(syscalls_counted() > 20);
    for (size_t n = 1; n < RUNS_MAX && !tapsi_test_failed(); n++) {
        for (size_t k = 0; k < kinds; k++, runs++)
            run_with(way, n, row, errors[(n + k) % ERRORS]);
        if (!syscalls_failed()) {
            tapsi_test_remark(": %zu runs", runs);
            return;
        }
    }
    if (!tapsi_test_failed())
        tapsi_test_fail(__FILE__, __LINE__, "it has no end");
}

TEST(a_platform_whose_calls_fail)
{
    fail_each(platform_alone, 1);
}

TEST(a_platform_whose_calls_fail_in_a_row)
{
    fail_each(platform_alone, 5);
}

TEST(streams_whose_calls_fail)
{
    fail_each(streams, 1);
}

TEST(streams_whose_calls_fail_in_a_row)
{
    fail_each(streams, 5);
}

TEST(datagrams_whose_calls_fail)
{
    fail_each(packets, 1);
}

TEST(datagrams_whose_calls_fail_in_a_row)
{
    fail_each(packets, 5);
}
