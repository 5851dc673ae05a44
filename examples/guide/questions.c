/* questions HOST:PORT CAFILE QUESTION...: asks the program answers, each question on a Connection of its own: a stream
 * of one session where the protocol has them, as QUIC does. Prints what is answered, and what comes unasked. */
#include <stdio.h>
#include <string.h>
#include <taps/taps.h>

struct questions {
    char **texts;
    int count, heard, failed;
    int news; /* 1 where the protocol has streams: the server opens one */
};

static const struct taps_connection_events events;

static int ask(taps_connection *c, const char *text)
{
    int err = taps_connection_send(c, text, strlen(text), NULL, 0, NULL);
    return err ? err : taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

/* [clone] */
/* The first is Ready: each other question gets one more, which need not wait for it: what is sent before Ready goes
 * with it. Over QUIC that costs no handshake and no round trip. */
static void ready(taps_connection *c, void *user)
{
    struct questions *q = user;
    struct taps_value streams;
    taps_connection *clone;
    int err = 0;
    if (taps_connection_group_count(c) > 1)
        return; /* a clone: it has its question */
    printf("over %s\n", taps_connection_stack(c));
    if (taps_connection_get_value(c, TAPS_MULTISTREAMING, &streams) == 0)
        q->news = streams.boolean;
    for (int i = 1; i < q->count && !err; i++) {
        err = taps_connection_clone(c, NULL, NULL, &events, q, &clone);
        if (!err)
            err = ask(clone, q->texts[i]);
    }
    if (err)
        taps_connection_abort_group(c);
}
/* [/clone] */

/* What is short comes in one piece mostly; a real program has a Framer for that. When all has come that is to come, all
 * Connections are closed, and with the last of them the session. */
static void hear(taps_connection *c, const struct taps_received *part, struct questions *q)
{
    q->heard += part->length != 0;
    if (q->heard == q->count + q->news)
        taps_connection_close_group(c);
    else if (!part->final)
        taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    struct questions *q = user;
    if (part->length)
        printf("%.*s\n", (int)part->length, (const char *)part->data);
    hear(c, part, q);
}

/* [news] */
static void news(taps_connection *c, const struct taps_received *part, void *user)
{
    if (part->length)
        printf("news: %.*s\n", (int)part->length, (const char *)part->data);
    hear(c, part, user);
}

static const struct taps_connection_events news_events = {.received = news, .received_partial = news};

/* The server has opened a stream. It belongs to this program now, and is in the group. */
static void stream_received(taps_connection *c, taps_connection *stream, void *user)
{
    (void)c;
    taps_connection_set_events(stream, &news_events, user);
    taps_connection_receive(stream, 1, SIZE_MAX, NULL);
}
/* [/news] */

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    if (error->code != TAPS_E_LOCAL_ABORT)
        fprintf(stderr, "questions: %s\n", error->detail);
    ((struct questions *)user)->failed = 1;
    taps_connection_abort_group(c);
}

static const struct taps_connection_events events = {.ready = ready,
                                                     .received = received,
                                                     .received_partial = received,
                                                     .establishment_error = failed,
                                                     .connection_error = failed,
                                                     .connection_received = stream_received};

static int start(taps_context *context, const char *peer, const char *ca, struct questions *q)
{
    taps_preconnection *preconnection = NULL;
    taps_security_parameters *security = NULL;
    taps_connection *first;
    int err = taps_security_parameters_new(&security);
    if (!err)
        err = taps_security_parameters_add_ca_file(security, ca);
    if (!err)
        err = taps_security_parameters_add_alpn(security, "questions"); /* without one there is no QUIC */
    if (!err)
        err = taps_preconnection_new(context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, peer);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 10000, &events, q, &first);
    if (!err)
        err = ask(first, q->texts[0]);
    taps_security_parameters_free(security);
    taps_preconnection_free(preconnection);
    return err;
}

int main(int argc, char **argv)
{
    struct questions q = {.texts = argv + 3, .count = argc - 3};
    taps_context *context;
    if (argc < 4)
        return fprintf(stderr, "usage: questions HOST:PORT CAFILE QUESTION...\n"), 2;
    int err = taps_context_new(NULL, &context);
    if (!err) {
        err = start(context, argv[1], argv[2], &q);
        if (!err)
            taps_context_run(context);
        taps_context_free(context); /* and the Connections with it */
    }
    if (err)
        fprintf(stderr, "questions: %s\n", taps_err_text(err));
    return err || q.failed || q.heard < q.count + q.news;
}
