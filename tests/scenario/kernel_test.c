/* The library on the kernel's own network, in one process with other code: threads, signals, embedding, Resolve. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <unistd.h>
#include <taps/taps.h>
#include "base/test.h"

struct pair {
    taps_context *context;
    taps_listener *listener;
    taps_connection *client, *server;
    unsigned ready, received, closed, errors;
    char data[100];
    size_t length;
    uint16_t port;
};

static void client_ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct pair *)user)->ready++;
}

static void got(taps_connection *c, const struct taps_received *m, void *user)
{
    struct pair *p = user;
    (void)c;
    if (m->length && p->length + m->length < sizeof(p->data))
        memcpy(p->data + p->length, m->data, m->length);
    p->length += m->length;
    p->received++;
}

static void over(taps_connection *c, void *user)
{
    (void)c;
    ((struct pair *)user)->closed++;
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)error;
    ((struct pair *)user)->errors++;
}

static const struct taps_connection_events events = {.ready = client_ready,
                                                     .establishment_error = failed,
                                                     .received = got,
                                                     .received_partial = got,
                                                     .closed = over,
                                                     .connection_error = failed};

static void listening(taps_listener *l, void *user)
{
    ((struct pair *)user)->port = taps_endpoint_port(taps_listener_local(l, 0));
}

static void accepted(taps_listener *l, taps_connection *c, void *user)
{
    struct pair *p = user;
    (void)l;
    p->server = c;
    taps_connection_set_events(c, &events, p);
}

static const struct taps_listener_events listener_events = {.listening = listening, .connection_received = accepted};

static taps_preconnection *preconnection(taps_context *context, const char *local, const char *remote)
{
    taps_preconnection *p;
    taps_security_parameters *none;
    taps_endpoint *e;
    taps_preconnection_new(context, &p);
    taps_security_parameters_new_disabled(&none);
    taps_preconnection_set_security_parameters(p, none);
    taps_security_parameters_free(none);
    if (local) {
        taps_local_endpoint_new(&e);
        taps_endpoint_with_text(e, local);
        taps_preconnection_add_local(p, e);
        taps_endpoint_free(e);
    }
    if (remote) {
        taps_remote_endpoint_new(&e);
        taps_endpoint_with_text(e, remote);
        taps_preconnection_add_remote(p, e);
        taps_endpoint_free(e);
    }
    return p;
}

static void turn(struct pair *p, const unsigned *what, unsigned until)
{
    for (int i = 0; i < 500 && *what < until; i++)
        taps_context_run_once(p->context, 10);
}

static void open_pair(struct pair *p)
{
    char remote[64];
    memset(p, 0, sizeof(*p));
    taps_context_new(NULL, &p->context);
    taps_preconnection *l = preconnection(p->context, "127.0.0.1:0", NULL);
    CHECK_INT(taps_preconnection_listen(l, &listener_events, p, &p->listener), 0);
    taps_preconnection_free(l);
    for (int i = 0; i < 100 && !p->port; i++)
        taps_context_run_once(p->context, 10);
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", p->port);
    taps_preconnection *c = preconnection(p->context, NULL, remote);
    CHECK_INT(taps_preconnection_initiate(c, 5000, &events, p, &p->client), 0);
    taps_preconnection_free(c);
    turn(p, &p->ready, 1);
    for (int i = 0; i < 500 && !p->server; i++)
        taps_context_run_once(p->context, 10);
}

static void close_pair(struct pair *p)
{
    taps_connection_free(p->client);
    taps_connection_free(p->server);
    taps_listener_free(p->listener);
    CHECK_INT(taps_context_free(p->context), 0);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* proves ARCH-03: no handler of ours, and a peer that is gone raises no SIGPIPE, though the default would kill us. */
TEST(signals_are_left_alone)
{
    struct pair p;
    struct sigaction before[65], after;
    signal(SIGPIPE, SIG_DFL);
    for (int s = 1; s < 65; s++)
        sigaction(s, NULL, &before[s]);
    open_pair(&p);
    NEED(p.server != NULL);
    taps_connection_abort(p.server);
    for (int i = 0; i < 50; i++) {
        taps_connection_send(p.client, "into the void", 13, NULL, 0, NULL);
        taps_context_run_once(p.context, 1);
    }
    CHECK(p.errors >= 1);
    for (int s = 1; s < 65; s++) {
        if (sigaction(s, NULL, &after) == 0)
            CHECK(after.sa_handler == before[s].sa_handler);
    }
    close_pair(&p);
}

/* proves ARCH-03: descriptors are close-on-exec, and none is left behind. */
TEST(no_descriptor_is_left_or_inherited)
{
    struct pair p;
    int before = open_descriptors();
    open_pair(&p);
    for (int fd = 3; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD), domain;
        socklen_t length = sizeof(domain);
        if (flags != -1 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0)
            CHECK(flags & FD_CLOEXEC);
    }
    close_pair(&p);
    CHECK_INT(open_descriptors(), before);
}

static unsigned count_bytes(struct pair *p)
{
    return (unsigned)p->length;
}

/* ARCH-02's simplest case on the kernel: bytes there, bytes back, an orderly end on both sides. */
/* proves ARCH-02, API-005: without a Local Endpoint the port is ephemeral, on a suitable interface. */
TEST(message_there_and_closed)
{
    struct pair p;
    open_pair(&p);
    NEED(p.server != NULL);
    CHECK(taps_endpoint_port(taps_connection_local(p.client)) != 0);
    CHECK_TEXT(taps_endpoint_ip_address(taps_connection_local(p.client)), "127.0.0.1");
    CHECK_TEXT(taps_endpoint_interface(taps_connection_local(p.client)), "lo");
    taps_connection_receive(p.server, 5, 100, NULL);
    taps_connection_send(p.client, "hello", 5, NULL, 0, NULL);
    turn(&p, &p.received, 1);
    CHECK_INT(count_bytes(&p), 5);
    CHECK(memcmp(p.data, "hello", 5) == 0);
    taps_connection_receive(p.server, 1, 100, NULL);
    taps_connection_close(p.client);
    turn(&p, &p.closed, 1);
    CHECK_INT(p.closed, 1);
    turn(&p, &p.received, 2);
    taps_connection_close(p.server);
    turn(&p, &p.closed, 2);
    CHECK_INT(p.closed, 2);
    close_pair(&p);
}

struct ecn_seen {
    unsigned count;
    int ecn[4];
};

static void note_ecn(taps_connection *c, const struct taps_received *m, void *user)
{
    struct ecn_seen *seen = user;
    if (seen->count < 4)
        seen->ecn[seen->count++] = taps_message_context_ecn(m->context);
    CHECK_TEXT(taps_endpoint_ip_address(taps_message_context_remote(m->context)), "127.0.0.1");
    CHECK_TEXT(taps_endpoint_interface(taps_message_context_local(m->context)), "lo");
    taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static const struct taps_connection_events ecn_events = {.received = note_ecn};

/* Datagrams with each ECN field from a plain socket, to a Connection with this wish. */
static void send_with_ecn(struct ecn_seen *seen, const char *soft_errors)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer = own;
    socklen_t length = sizeof(own);
    taps_transport_properties *properties;
    taps_context *context;
    taps_connection *c = NULL;
    char remote[64];
    memset(seen, 0, sizeof(*seen));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    NEED(fd >= 0 && bind(fd, (struct sockaddr *)&own, length) == 0);
    getsockname(fd, (struct sockaddr *)&own, &length);
    taps_context_new(NULL, &context);
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", ntohs(own.sin_port));
    taps_preconnection *p = preconnection(context, NULL, remote);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &properties);
    taps_transport_properties_set(properties, "softErrorNotify", soft_errors);
    taps_preconnection_set_transport_properties(p, properties);
    taps_transport_properties_free(properties);
    CHECK_INT(taps_preconnection_initiate(p, 5000, &ecn_events, seen, &c), 0);
    taps_preconnection_free(p);
    taps_connection_receive(c, 1, SIZE_MAX, NULL);
    for (int i = 0; i < 100 && taps_connection_state(c) == TAPS_ESTABLISHING; i++)
        taps_context_run_once(context, 10);
    peer.sin_port = htons(taps_endpoint_port(taps_connection_local(c)));
    for (int ecn = 0; ecn < 4; ecn++) {
        setsockopt(fd, IPPROTO_IP, IP_TOS, &ecn, sizeof(ecn));
        CHECK_INT(sendto(fd, "x", 1, 0, (struct sockaddr *)&peer, sizeof(peer)), 1);
    }
    for (int i = 0; i < 500 && seen->count < 4; i++)
        taps_context_run_once(context, 10);
    taps_connection_free(c);
    taps_context_free(context);
    close(fd);
}

/* proves API-125: the ECN field comes with each datagram, to those who prefer to hear from the network. */
TEST(ecn_is_told_where_it_was_asked_for)
{
    struct ecn_seen seen;
    send_with_ecn(&seen, "prefer");
    CHECK_INT(seen.count, 4);
    for (int ecn = 0; ecn < 4; ecn++)
        CHECK_INT(seen.ecn[ecn], ecn);
    send_with_ecn(&seen, "no preference");
    CHECK_INT(seen.count, 4);
    for (int i = 0; i < 4; i++)
        CHECK_INT(seen.ecn[i], TAPS_E_NOT_APPLICABLE);
}

static uint64_t statistic(taps_connection *c, enum taps_statistic which)
{
    uint64_t values[TAPS_STATISTIC_COUNT];
    CHECK(taps_connection_statistics(c, values, TAPS_STATISTIC_COUNT) > 0);
    return values[which];
}

/* proves ARCH-14: what the kernel's TCP counts. The SYN and the FIN, which have numbers too, are no bytes. */
TEST(the_kernels_statistics_are_told)
{
    struct pair p;
    open_pair(&p);
    NEED(p.server != NULL);
    CHECK_INT(statistic(p.client, TAPS_BYTES_SENT), 0);
    CHECK_INT(statistic(p.server, TAPS_BYTES_RECEIVED), 0);
    taps_connection_receive(p.server, 5, 100, NULL);
    taps_connection_send(p.client, "hello", 5, NULL, 0, NULL);
    turn(&p, &p.received, 1);
    CHECK_INT(statistic(p.client, TAPS_BYTES_SENT), 5);
    CHECK_INT(statistic(p.client, TAPS_BYTES_RECEIVED), 0);
    CHECK_INT(statistic(p.server, TAPS_BYTES_RECEIVED), 5);
    CHECK_INT(statistic(p.client, TAPS_RETRANSMISSIONS), 0);
    CHECK_INT(statistic(p.client, TAPS_BYTES_UNACKNOWLEDGED), 0);
    CHECK(statistic(p.client, TAPS_MESSAGES_SENT) == TAPS_UNKNOWN);
    CHECK(statistic(p.client, TAPS_ROUND_TRIP_US) < 1000000);
    CHECK(statistic(p.client, TAPS_PATH_MTU) > 1000 && statistic(p.client, TAPS_PATH_MTU) != TAPS_UNKNOWN);
    CHECK(statistic(p.client, TAPS_CONGESTION_WINDOW) > 1000);
    taps_message_context *last;
    taps_message_context_new(&last);
    taps_message_context_set(last, "final", "true");
    taps_connection_receive(p.server, 1, 100, NULL);
    taps_connection_send(p.client, " end", 4, last, 0, NULL);
    taps_message_context_free(last);
    turn(&p, &p.received, 2);
    taps_connection_receive(p.server, 1, 100, NULL);
    turn(&p, &p.received, 3);
    CHECK_INT(statistic(p.client, TAPS_BYTES_SENT), 9);
    CHECK_INT(statistic(p.server, TAPS_BYTES_RECEIVED), 9);
    CHECK_INT(p.errors, 0);
    close_pair(&p);
}

/* ---------------------------------------------------------------------------------------------- embedding */

/* proves ARCH-01: one descriptor in any loop; calls from outside make it readable. */
TEST(one_descriptor_is_enough)
{
    struct pair p;
    char remote[64];
    memset(&p, 0, sizeof(p));
    NEED(taps_context_new(NULL, &p.context) == 0);
    struct pollfd fd = {.fd = taps_context_fd(p.context), .events = POLLIN};
    NEED(fd.fd >= 0);
    CHECK_INT(poll(&fd, 1, 0), 0);
    taps_preconnection *l = preconnection(p.context, "127.0.0.1:0", NULL);
    CHECK_INT(taps_preconnection_listen(l, &listener_events, &p, &p.listener), 0);
    taps_preconnection_free(l);
    while (!p.port && poll(&fd, 1, 5000) == 1)
        CHECK_INT(taps_context_dispatch(p.context), 0);
    NEED(p.port != 0);
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", p.port);
    taps_preconnection *c = preconnection(p.context, NULL, remote);
    CHECK_INT(taps_preconnection_initiate(c, 5000, &events, &p, &p.client), 0);
    taps_preconnection_free(c);
    while ((!p.ready || !p.server) && poll(&fd, 1, 5000) == 1)
        taps_context_dispatch(p.context);
    NEED(p.server != NULL);
    taps_connection_receive(p.server, 1, 100, NULL);
    taps_connection_send(p.client, "x", 1, NULL, 0, NULL);
    while (!p.received && poll(&fd, 1, 5000) == 1)
        taps_context_dispatch(p.context);
    CHECK_INT(p.received, 1);
    for (int i = 0; i < 20 && poll(&fd, 1, 0) == 1; i++)
        taps_context_dispatch(p.context);
    CHECK_INT(poll(&fd, 1, 50), 0); /* idle means silent: no spinning */
    close_pair(&p);
}

static void count(void *arg)
{
    ++*(int *)arg;
}

TEST(timers_wake_a_foreign_loop)
{
    taps_context *c;
    taps_timer *cancelled;
    int fired = 0;
    NEED(taps_context_new(NULL, &c) == 0);
    struct pollfd fd = {.fd = taps_context_fd(c), .events = POLLIN};
    CHECK_INT(taps_context_after(c, 20, count, &fired, NULL), 0);
    CHECK_INT(taps_context_after(c, 10, count, &fired, &cancelled), 0);
    taps_timer_cancel(cancelled);
    for (int i = 0; i < 10 && !fired; i++) {
        CHECK_INT(poll(&fd, 1, 5000), 1);
        taps_context_dispatch(c);
    }
    CHECK_INT(fired, 1);
    taps_context_free(c);
}

/* ------------------------------------------------------------------------------------------------ threads */

struct poster {
    taps_context *context;
    int count, expected;
};

static void arrived(void *arg)
{
    struct poster *p = arg;
    if (++p->count == p->expected)
        taps_context_stop(p->context);
}

static void *post_many(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < 1000; i++) {
        if (taps_context_post(p->context, arrived, p) != 0)
            abort();
    }
    return NULL;
}

static void nothing(void *arg)
{
    (void)arg;
}

TEST(posts_from_other_threads_arrive)
{
    struct poster p = {.expected = 4000};
    pthread_t threads[4];
    taps_timer *hold;
    NEED(taps_context_new(NULL, &p.context) == 0);
    taps_context_after(p.context, 60000, nothing, NULL, &hold); /* keeps run from returning */
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, post_many, &p);
    CHECK_INT(taps_context_run(p.context), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(p.count, 4000);
    taps_context_free(p.context);
}

static void *own_pair(void *arg)
{
    struct pair p;
    (void)arg;
    for (int i = 0; i < 20; i++) {
        open_pair(&p);
        CHECK(p.server != NULL);
        close_pair(&p);
    }
    return NULL;
}

/* proves ARCH-03: contexts share nothing, so two threads need no lock. */
TEST(contexts_in_two_threads)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, own_pair, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* ------------------------------------------------------------------------------------------------- resolve */

struct resolved {
    unsigned calls;
    int code;
    size_t locals, remotes;
    char remote[80];
    bool loopback;
};

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    struct resolved *r = user;
    r->calls++;
    r->code = error ? error->code : 0;
    r->locals = local_count;
    r->remotes = remote_count;
    for (size_t i = 0; i < local_count; i++)
        r->loopback |= strcmp(taps_endpoint_interface(locals[i]), "lo") == 0;
    if (remote_count)
        taps_endpoint_text(remotes[0], r->remote, sizeof(r->remote));
}

/* proves API-011: concrete endpoints of both kinds, with the interfaces. */
TEST(resolve_gives_concrete_endpoints)
{
    taps_context *c;
    struct resolved r = {0};
    NEED(taps_context_new(NULL, &c) == 0);
    taps_preconnection *p = preconnection(c, NULL, "127.0.0.1:443");
    CHECK_INT(taps_preconnection_resolve(p, 1000, on_resolved, &r), 0);
    CHECK_INT(r.calls, 0);
    CHECK_INT(taps_context_run(c), 0);
    CHECK_INT(r.calls, 1);
    CHECK_INT(r.code, 0);
    CHECK_INT(r.remotes, 1);
    CHECK_TEXT(r.remote, "127.0.0.1:443");
    CHECK(r.locals >= 1 && r.loopback);
    taps_preconnection_free(p);
    taps_context_free(c);
}

/* proves API-011: a name that does not resolve is an error, once. */
TEST(resolve_of_a_bad_name_fails)
{
    taps_context *c;
    struct resolved r = {0};
    struct taps_context_options options = {.resolver = "127.0.0.1:1"}; /* nobody answers there */
    NEED(taps_context_new(&options, &c) == 0);
    taps_preconnection *p = preconnection(c, NULL, "nosuch.test:443");
    CHECK_INT(taps_preconnection_resolve(p, 2000, on_resolved, &r), 0);
    CHECK_INT(taps_context_run(c), 0);
    CHECK_INT(r.calls, 1);
    CHECK(r.code == TAPS_E_RESOLUTION || r.code == TAPS_E_TIMEOUT);
    taps_preconnection_free(p);
    taps_context_free(c);
}

/* proves API-007: a service name is its port. */
TEST(service_names_become_ports)
{
    taps_context *c;
    struct resolved r = {0};
    NEED(taps_context_new(NULL, &c) == 0);
    taps_preconnection *p = preconnection(c, NULL, "127.0.0.1:https");
    CHECK_INT(taps_preconnection_resolve(p, 1000, on_resolved, &r), 0);
    taps_context_run(c);
    CHECK_TEXT(r.remote, "127.0.0.1:443");
    taps_preconnection_free(p);
    taps_context_free(c);
}
