/* parcels [ADDRESS]:PORT: sends parcels back. parcels HOST:PORT KIND TEXT: sends one, and prints what comes. */
#include <stdio.h>
#include <string.h>
#include "parcel.h"

/* [use] */
static int speak_parcel(taps_preconnection *preconnection)
{
    taps_framer *framer = NULL;
    int err = taps_framer_new_custom(&parcel, &framer);
    if (!err)
        err = taps_framer_set(framer, "idle", "20");
    if (!err)
        err = taps_preconnection_add_framer(preconnection, framer); /* which copies it */
    taps_framer_free(framer);
    return err;
}

static int send_parcel(taps_connection *c, const char *kind, const void *data, size_t length, const char *final)
{
    taps_message_context *context;
    int err = taps_message_context_new(&context);
    if (err)
        return err;
    err = taps_message_context_add_metadata(context, "parcel", "kind", kind);
    if (!err)
        err = taps_message_context_set(context, "final", final);
    if (!err)
        err = taps_connection_send(c, data, length, context, 0, NULL);
    taps_message_context_free(context);
    return err;
}
/* [/use] */

static void refused(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    *(int *)user = fprintf(stderr, "parcels: not sent: %s\n", error->detail) != 0;
    taps_connection_close(c);
}

static void broken(taps_connection *c, const struct taps_error *error, void *user)
{
    *(int *)user = fprintf(stderr, "parcels: %s\n", error->detail) != 0;
    taps_connection_free(c);
}

static void closed(taps_connection *c, void *user)
{
    (void)user;
    taps_connection_free(c);
}

static void print(taps_connection *c, const struct taps_received *m, void *user)
{
    const char *kind = taps_message_context_metadata(m->context, "parcel", "kind");
    (void)user;
    if (kind)
        printf("%s %.*s\n", kind, (int)m->length, (const char *)m->data);
    m->final ? taps_connection_close(c) : taps_connection_receive(c, SIZE_MAX, SIZE_MAX, NULL);
}

static void send_back(taps_connection *c, const struct taps_received *m, void *user)
{
    const char *kind = taps_message_context_metadata(m->context, "parcel", "kind");
    (void)user;
    if (kind)
        send_parcel(c, kind, m->data, m->length, "false");
    m->final ? taps_connection_close(c) : taps_connection_receive(c, SIZE_MAX, SIZE_MAX, NULL);
}

/* The end of the other side did not come with a Message, but by itself. An error is told as connection_error, too. */
static void ended(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    (void)error;
    (void)user;
    taps_connection_close(c);
}

static const struct taps_connection_events caller = {.received = print,
                                                     .receive_error = ended,
                                                     .send_error = refused,
                                                     .establishment_error = broken,
                                                     .connection_error = broken,
                                                     .closed = closed};
static const struct taps_connection_events answerer = {
    .received = send_back, .receive_error = ended, .send_error = refused, .connection_error = broken, .closed = closed};

static void listening(taps_listener *l, void *user)
{
    (void)user;
    printf("listening on port %u\n", taps_endpoint_port(taps_listener_local(l, 0)));
    fflush(stdout);
}

static void connection_received(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    taps_connection_set_events(c, &answerer, user);
    taps_connection_receive(c, SIZE_MAX, SIZE_MAX, NULL); /* whole Messages: the Framer has a limit of its own */
}

static void cannot_listen(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)l;
    *(int *)user = fprintf(stderr, "parcels: %s\n", error->detail) != 0;
}

static const struct taps_listener_events listener_events = {listening, connection_received, cannot_listen, NULL};

static int serve(taps_preconnection *preconnection, const char *where, int *failure)
{
    taps_listener *listener;
    int err = taps_preconnection_add_local_text(preconnection, where);
    return err ? err : taps_preconnection_listen(preconnection, &listener_events, failure, &listener);
}

static int call(taps_preconnection *preconnection, char **words, int *failure)
{
    taps_connection *connection;
    int err = taps_preconnection_add_remote_text(preconnection, words[0]);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 10000, &caller, failure, &connection);
    if (!err)
        err = send_parcel(connection, words[1], words[2], strlen(words[2]), "true");
    if (!err)
        err = taps_connection_receive(connection, SIZE_MAX, SIZE_MAX, NULL);
    return err;
}

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_security_parameters *security = NULL;
    taps_preconnection *preconnection = NULL;
    int failure = 0;
    if (argc != 2 && argc != 4)
        return fprintf(stderr, "usage: parcels [ADDRESS]:PORT\n       parcels HOST:PORT KIND TEXT\n"), 2;
    int err = taps_context_new(NULL, &context);
    if (!err)
        err = taps_security_parameters_new_disabled(&security); /* a Framer does not care: over TLS it is the same */
    if (!err)
        err = taps_preconnection_new(context, &preconnection);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = speak_parcel(preconnection);
    if (!err)
        err = argc == 2 ? serve(preconnection, argv[1], &failure) : call(preconnection, argv + 1, &failure);
    if (err)
        failure = fprintf(stderr, "parcels: %s\n", taps_err_text(err)) != 0;
    else
        taps_context_run(context);
    taps_security_parameters_free(security);
    taps_context_free(context);
    return failure;
}
