/* server [ADDRESS]:PORT CERTIFICATE KEY: sends back what it gets, over TLS. */
#include <stdio.h>
#include <stdlib.h>
#include <taps/taps.h>

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "server: %s\n", taps_err_text(result));
        exit(1);
    }
}

/* The next Message is asked for when this one is Sent, so a peer that reads slowly is not overrun. */
static void received(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    if (taps_connection_send(connection, part->data, part->length, NULL, 0, NULL) < 0)
        taps_connection_abort(connection);
    else if (part->final)
        taps_connection_close(connection); /* delivers what was sent first */
}

static void sent(taps_connection *connection, void *tag, void *user)
{
    (void)tag;
    (void)user;
    if (taps_connection_state(connection) == TAPS_ESTABLISHED)
        taps_connection_receive(connection, 1, 65536, NULL);
}

static void trouble(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    (void)user;
    fprintf(stderr, "server: %s\n", error->detail);
    taps_connection_abort(connection);
}

static void closed(taps_connection *connection, void *user)
{
    (void)user;
    taps_connection_free(connection);
}

static void broken(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)error;
    closed(connection, user);
}

static const struct taps_connection_events connection_events = {
    .received = received,
    .received_partial = received,
    .receive_error = trouble,
    .sent = sent,
    .send_error = trouble,
    .closed = closed,
    .connection_error = broken,
};

static void listening(taps_listener *listener, void *user)
{
    (void)user;
    printf("listening on port %u\n", taps_endpoint_port(taps_listener_local(listener, 0)));
    fflush(stdout);
}

static void connection_received(taps_listener *listener, taps_connection *connection, void *user)
{
    (void)listener;
    taps_connection_set_events(connection, &connection_events, user);
    if (taps_connection_receive(connection, 1, 65536, NULL) < 0)
        taps_connection_free(connection);
}

static void cannot_listen(taps_listener *listener, const struct taps_error *error, void *user)
{
    (void)listener;
    fprintf(stderr, "server: %s\n", error->detail);
    *(int *)user = 1;
}

static const struct taps_listener_events listener_events = {
    .listening = listening,
    .connection_received = connection_received,
    .establishment_error = cannot_listen,
};

int main(int argc, char **argv)
{
    taps_context *context;
    taps_endpoint *local;
    taps_security_parameters *security;
    taps_preconnection *preconnection;
    taps_listener *listener;
    int failure = 0;

    if (argc != 4)
        return fprintf(stderr, "usage: server [ADDRESS]:PORT CERTIFICATE KEY\n"), 2;
    must(taps_context_new(NULL, &context));
    must(taps_local_endpoint_new(&local));
    must(taps_endpoint_with_text(local, argv[1]));
    must(taps_security_parameters_new(&security));
    must(taps_security_parameters_add_server_certificate(security, argv[2], argv[3]));
    must(taps_preconnection_new(context, &preconnection));
    must(taps_preconnection_add_local(preconnection, local));
    must(taps_preconnection_set_security_parameters(preconnection, security));
    must(taps_preconnection_listen(preconnection, &listener_events, &failure, &listener));
    must(taps_context_run(context));

    taps_security_parameters_free(security);
    taps_endpoint_free(local);
    must(taps_context_free(context)); /* and all that was made in it */
    return failure;
}
