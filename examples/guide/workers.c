/* workers HOST:PORT COUNT: COUNT connections over four threads, each with a context of its own; the main thread hands
   out the work, and gathers what the peer sent. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <taps/taps.h>

#define WORKERS 4

/* [threads] */
struct worker {
    pthread_t thread;
    taps_context *context; /* belongs to the worker's thread; only post and stop come from elsewhere */
    const char *peer;
    int failed; /* this and what follows is touched by the worker's thread alone */
    size_t bytes;
    bool no_more;
};

static int initiate(struct worker *w);

static void connect_one(void *arg) /* on the worker's thread */
{
    struct worker *w = arg;
    w->failed += initiate(w) != 0;
}

static void no_more(void *arg)
{
    ((struct worker *)arg)->no_more = true;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    int more;
    do
        more = taps_context_run_once(w->context, 100); /* a context without work waits for posts */
    while (more || !w->no_more);
    return NULL;
}
/* [/threads] */

static void received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct worker *w = user;
    w->bytes += m->length;
    m->final ? taps_connection_close(c) : taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static void closed(taps_connection *c, void *user)
{
    (void)user;
    taps_connection_free(c);
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)error;
    ((struct worker *)user)->failed++;
    closed(c, user);
}

static const struct taps_connection_events events = {.received = received,
                                                     .received_partial = received,
                                                     .closed = closed,
                                                     .establishment_error = failed,
                                                     .connection_error = failed};

static int initiate(struct worker *w)
{
    taps_preconnection *preconnection = NULL;
    taps_security_parameters *security = NULL;
    taps_connection *connection = NULL;
    int err = taps_preconnection_new(w->context, &preconnection);
    if (!err)
        err = taps_security_parameters_new_disabled(&security);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, w->peer);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 10000, &events, w, &connection);
    if (!err)
        err = taps_connection_receive(connection, 1, SIZE_MAX, NULL);
    taps_security_parameters_free(security);
    taps_preconnection_free(preconnection);
    return err;
}

int main(int argc, char **argv)
{
    static struct worker workers[WORKERS];
    size_t bytes = 0;
    int lost = 0;
    if (argc != 3)
        return fprintf(stderr, "usage: workers HOST:PORT COUNT\n"), 2;
    for (int i = 0; i < WORKERS; i++) {
        workers[i].peer = argv[1];
        if (taps_context_new(NULL, &workers[i].context) ||
            pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
            return fprintf(stderr, "workers: no thread\n"), 1;
    }
    /* [post] */
    for (int i = 0; i < atoi(argv[2]); i++)
        lost += taps_context_post(workers[i % WORKERS].context, connect_one, &workers[i % WORKERS]) != 0;
    for (int i = 0; i < WORKERS; i++)
        taps_context_post(workers[i].context, no_more, &workers[i]);
    /* [/post] */
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        taps_context_free(workers[i].context); /* the thread is over: it is ours now */
        bytes += workers[i].bytes;
        lost += workers[i].failed;
    }
    printf("%zu bytes, %d failed\n", bytes, lost);
    return lost != 0;
}
