/* group HOST:PORT FILE...: sends each file over a Connection of its own, all to one peer, in clear. While there is more
 * than the network takes, the first has twice the share of each other. */
#include <stdio.h>
#include <taps/taps.h>

#define FILES_MAX 8
#define PIECE     16384

struct transfer {
    struct job *job;
    FILE *file;
    taps_connection *connection;
    char piece[PIECE]; /* lent until its event */
};

struct job {
    struct transfer transfers[FILES_MAX];
    int count, unsent, closed;
};

/* When a file has been sent its Connection waits for the others; the last one ends them all. */
static void send_next(struct transfer *t)
{
    size_t length = fread(t->piece, 1, PIECE, t->file);
    int err = length ? taps_connection_send(t->connection, t->piece, length, NULL, TAPS_SEND_LEND, NULL) : 0;
    if (err)
        taps_connection_abort_group(t->connection);
    else if (!length && --t->job->unsent == 0)
        taps_connection_close_group(t->connection);
}

static const struct taps_connection_events events;

/* [clone] */
/* The first is Ready: one more for each other file. They go where it has gone, over the same stack. */
static int clone_others(taps_connection *first, struct job *job)
{
    taps_transport_properties *properties;
    int err = taps_transport_properties_new(&properties);
    if (err)
        return err;
    err = taps_transport_properties_set(properties, "connPriority", "200"); /* the first has 100: twice the share */
    for (int i = 1; i < job->count && !err; i++) {
        struct transfer *t = &job->transfers[i];
        err = taps_connection_clone(first, NULL, properties, &events, t, &t->connection);
    }
    taps_transport_properties_free(properties);
    return err;
}

static void ready(taps_connection *c, void *user)
{
    struct transfer *t = user;
    struct job *job = t->job;
    if (t == &job->transfers[0] && clone_others(c, job))
        taps_connection_abort_group(c);
    else
        send_next(t);
}
/* [/clone] */

static void sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    send_next(user);
}

static void closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct transfer *)user)->job->closed++;
}

/* Without one of them the others are of no use here. */
static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)user;
    if (error->code != TAPS_E_LOCAL_ABORT)
        fprintf(stderr, "group: %s\n", error->detail);
    taps_connection_abort_group(c);
}

static const struct taps_connection_events events = {
    .ready = ready, .sent = sent, .closed = closed, .establishment_error = failed, .connection_error = failed};

static int start(taps_context *context, const char *peer, struct job *job)
{
    taps_preconnection *preconnection = NULL;
    taps_security_parameters *security = NULL;
    struct transfer *first = &job->transfers[0];
    int err = taps_security_parameters_new_disabled(&security);
    if (!err)
        err = taps_preconnection_new(context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, peer);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 10000, &events, first, &first->connection);
    taps_security_parameters_free(security);
    taps_preconnection_free(preconnection);
    return err;
}

static bool open_files(struct job *job, char **names)
{
    for (int i = 0; i < job->count; i++) {
        job->transfers[i].job = job;
        job->transfers[i].file = fopen(names[i], "rb");
        if (!job->transfers[i].file) {
            perror(names[i]);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct job job;
    taps_context *context;
    if (argc < 3 || argc > 2 + FILES_MAX)
        return fprintf(stderr, "usage: group HOST:PORT FILE... (at most %d)\n", FILES_MAX), 2;
    job.count = job.unsent = argc - 2;
    int err = 0;
    if (open_files(&job, argv + 2) && (err = taps_context_new(NULL, &context)) == 0) {
        err = start(context, argv[1], &job);
        if (!err)
            taps_context_run(context);
        taps_context_free(context); /* and the Connections with it */
    }
    if (err)
        fprintf(stderr, "group: %s\n", taps_err_text(err));
    for (int i = 0; i < job.count; i++) {
        if (job.transfers[i].file)
            fclose(job.transfers[i].file);
    }
    return job.closed == job.count ? 0 : 1;
}
