/* http3_get HOST:PORT CAFILE PATH...: fetches all paths at once, each over a stream of one QUIC connection. */
#include <stdio.h>
#include <string.h>
#include "h3.h"

#define PATHS_MAX 16

struct fetch {
    struct job *job;
    const char *path;
    taps_connection *connection;
    struct h3_frames frames;
    size_t length;
};

struct job {
    const char *authority;
    struct fetch fetches[PATHS_MAX];
    int count, waiting, failures;
    taps_connection *control;
};

static void ask(struct fetch *f)
{
    uint8_t request[H3_HEAD_MAX];
    taps_message_context *context;
    size_t length = h3_request(request, sizeof(request), f->job->authority, f->path);
    if (!length || taps_message_context_new(&context))
        return taps_connection_abort(f->connection), (void)0;
    taps_message_context_set(context, "final", "true"); /* nothing follows a GET */
    taps_connection_send(f->connection, request, length, context, 0, NULL);
    taps_connection_receive(f->connection, 1, 65536, NULL);
    taps_message_context_free(context);
}

static void over(struct fetch *f)
{
    if (--f->job->waiting == 0)
        taps_connection_close_group(f->connection);
}

static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    struct fetch *f = user;
    const uint8_t *data = part->data, *piece;
    size_t left = part->length, length;
    while ((piece = h3_next(&f->frames, &data, &left, &length))) {
        if (f->frames.type == H3_DATA) {
            fwrite(piece, 1, length, stdout);
            f->length += length;
        }
    }
    if (!part->end_of_message) {
        taps_connection_receive(c, 1, 65536, NULL);
        return;
    }
    fprintf(stderr, "%s: %zu bytes over %s\n", f->path, f->length, taps_connection_security(c));
    over(f);
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    struct fetch *f = user;
    (void)c;
    fprintf(stderr, "%s: %s\n", f->path, error->detail);
    f->job->failures++;
    f->job->waiting--;
}

/* What the server opens are unidirectional streams of HTTP/3's own: read, and not minded. */
static void ignored(taps_connection *c, const struct taps_received *part, void *user)
{
    (void)user;
    if (!part->end_of_message)
        taps_connection_receive(c, 1, 65536, NULL);
}

static const struct taps_connection_events ignoring = {.received = ignored, .received_partial = ignored};

static void opened(taps_connection *c, taps_connection *stream, void *user)
{
    (void)c;
    taps_connection_set_events(stream, &ignoring, user);
    taps_connection_receive(stream, 1, 65536, NULL);
}

static void ready(taps_connection *c, void *user);

static const struct taps_connection_events events = {.ready = ready,
                                                     .received = received,
                                                     .received_partial = received,
                                                     .establishment_error = failed,
                                                     .connection_error = failed,
                                                     .connection_received = opened};

/* [streams] */
/* The first stream is there, and with it the connection: all others cost no round trip. */
static void ready(taps_connection *c, void *user)
{
    struct fetch *first = user;
    struct job *job = first->job;
    ask(first);
    if (first != &job->fetches[0])
        return;
    h3_open_control(c, &job->control);
    for (int i = 1; i < job->count; i++)
        taps_connection_clone(c, NULL, NULL, &events, &job->fetches[i], &job->fetches[i].connection);
}
/* [/streams] */

static int start(taps_context *context, const char *peer, const char *authorities, struct job *job)
{
    taps_preconnection *preconnection = NULL;
    taps_security_parameters *security = NULL;
    int err = taps_security_parameters_new(&security);
    if (!err)
        err = taps_security_parameters_add_ca_file(security, authorities);
    if (!err)
        err = taps_security_parameters_add_alpn(security, "h3");
    if (!err)
        err = taps_preconnection_new(context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, peer);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 10000, &events, &job->fetches[0], &job->fetches[0].connection);
    taps_security_parameters_free(security);
    taps_preconnection_free(preconnection);
    return err;
}

int main(int argc, char **argv)
{
    taps_context *context;
    struct job job = {.authority = argc > 1 ? argv[1] : NULL};
    if (argc < 4 || argc > 3 + PATHS_MAX)
        return fprintf(stderr, "usage: http3_get HOST:PORT CAFILE PATH...\n"), 2;
    for (; job.count < argc - 3; job.count++)
        job.fetches[job.count] = (struct fetch){.job = &job, .path = argv[3 + job.count]};
    job.waiting = job.count;
    if (taps_context_new(NULL, &context))
        return 1;
    int err = start(context, argv[1], argv[2], &job);
    if (err)
        fprintf(stderr, "http3_get: %s\n", taps_err_text(err));
    else
        taps_context_run(context);
    taps_context_free(context);
    return err || job.failures || job.waiting;
}
