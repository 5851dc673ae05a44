/*
 * Many contexts in many threads: each has its own, with a Listener on the port that all share and clients of that port,
 * so Connections go from any thread to any. Threads post to one another all the while. Runs under ThreadSanitizer too
 * (scripts/test), which is what it is for.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "scale.h"

#define THREADS 4
#define CLIENTS tapsi_test_rounds(64, 24, 64) /* of each thread in each round */
#define ROUNDS  tapsi_test_rounds(4, 2, 200)
#define SECURE  8 /* of them over TLS, once */
#define TURN_MS 50

struct worker {
    pthread_t thread;
    unsigned number;
    taps_context *context;
    struct scale_server server, secure_server;
    unsigned clients, greetings;     /* of its own thread alone */
    unsigned accepted, failed, left; /* at its end */
};

static struct worker workers[THREADS];
static pthread_barrier_t barrier;
static atomic_uint greeted, finished;

/* ------------------------------------------------------------------------------------------------- one thread */

static void greet(void *arg)
{
    struct worker *to = arg;
    to->greetings++; /* runs in the thread of `to` */
    atomic_fetch_add(&greeted, 1);
}

static void greet_all(const struct worker *from)
{
    for (int i = 0; i < THREADS; i++) {
        if (&workers[i] != from)
            CHECK_INT(taps_context_post(workers[i].context, greet, &workers[i]), 0);
    }
}

static void turn(struct worker *w)
{
    taps_context_run_once(w->context, TURN_MS);
}

/* The first one finds a port, the others share it. */
static void open_listeners(struct worker *w)
{
    if (w->number > 0)
        pthread_barrier_wait(&barrier);
    scale_listen(&w->server, w->context, SCALE_TCP, "127.0.4.1", workers[0].server.port, true);
    scale_listen(&w->secure_server, w->context, SCALE_TLS, "127.0.4.1", workers[0].secure_server.port, true);
    while ((!w->server.port || !w->secure_server.port) && !w->server.code && !w->secure_server.code)
        turn(w);
    if (w->number == 0)
        pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* all of them listen */
}

static void run_clients(struct worker *w, enum scale_stack stack, uint16_t port, unsigned count)
{
    struct scale_crowd crowd;
    scale_crowd_start(&crowd, w->context, stack, "127.0.4.1", port, count);
    while (!scale_crowd_settled(&crowd))
        turn(w);
    greet_all(w);
    w->clients += crowd.arrived;
    w->failed += crowd.failed;
    scale_crowd_end(&crowd, false);
    while (crowd.closed < crowd.begun)
        turn(w);
    scale_crowd_done(&crowd);
}

/* The others' clients may still be at work with this thread's Listener. */
static void serve_until_all_are_done(struct worker *w)
{
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) < THREADS || w->server.alive || w->secure_server.alive)
        turn(w);
}

static void close_listeners(struct worker *w)
{
    w->accepted = w->server.accepted + w->secure_server.accepted;
    w->left = w->server.alive + w->secure_server.alive;
    taps_listener_free(w->server.listener);
    taps_listener_free(w->secure_server.listener);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    open_listeners(w);
    for (unsigned i = 0; i < ROUNDS; i++)
        run_clients(w, SCALE_TCP, workers[0].server.port, CLIENTS);
    run_clients(w, SCALE_TLS, workers[0].secure_server.port, SECURE);
    serve_until_all_are_done(w);
    close_listeners(w);
    pthread_barrier_wait(&barrier); /* no more posts come after this */
    while (w->greetings < (THREADS - 1) * (ROUNDS + 1))
        turn(w);
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------- tests */

static void begin_threads(void)
{
    scale_certificates();
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        CHECK_INT(taps_context_new(NULL, &workers[i].context), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
}

static void end_threads(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_INT(taps_context_free(workers[i].context), 0);
    pthread_barrier_destroy(&barrier);
}

TEST(threads_with_a_context_each_share_a_port_and_the_work)
{
    unsigned clients = 0, accepted = 0;
    tapsi_test_limit(300);
    begin_threads();
    end_threads();
    for (unsigned i = 0; i < THREADS; i++) {
        clients += workers[i].clients;
        accepted += workers[i].accepted;
        CHECK_INT(workers[i].failed, 0);
        CHECK_INT(workers[i].left, 0);
        CHECK_INT(workers[i].greetings, (THREADS - 1) * (ROUNDS + 1));
        CHECK(workers[i].accepted > 0); /* the system spreads them */
    }
    CHECK_INT(clients, THREADS * (ROUNDS * CLIENTS + SECURE));
    CHECK_INT(accepted, clients);
    CHECK_INT(atomic_load(&greeted), THREADS * (THREADS - 1) * (ROUNDS + 1));
}

static void listen_twice(enum scale_stack stack, bool first_shares, bool second_shares, int expected)
{
    struct scale_server first, second;
    taps_context *a, *b;
    taps_context_new(NULL, &a);
    taps_context_new(NULL, &b);
    scale_listen(&first, a, stack, "127.0.4.2", 0, first_shares);
    while (!first.port && !first.code)
        taps_context_run_once(a, TURN_MS);
    scale_listen(&second, b, stack, "127.0.4.2", first.port, second_shares);
    while (!second.port && !second.code)
        taps_context_run_once(b, TURN_MS);
    CHECK_INT(second.code, expected);
    taps_listener_free(first.listener);
    taps_listener_free(second.listener);
    taps_context_free(a);
    taps_context_free(b);
}

/* proves API-066: on the kernel, as in the simulated network. */
TEST(a_port_is_shared_only_by_those_who_agree)
{
    scale_certificates();
    for (enum scale_stack stack = SCALE_TCP; stack <= SCALE_UDP; stack++) {
        listen_twice(stack, true, true, 0);
        listen_twice(stack, false, true, TAPS_E_ADDRESS_IN_USE);
        listen_twice(stack, true, false, TAPS_E_ADDRESS_IN_USE);
        listen_twice(stack, false, false, TAPS_E_ADDRESS_IN_USE);
    }
}
