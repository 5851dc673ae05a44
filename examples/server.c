/* server [ADDRESS]:PORT CERTIFICATE KEY: sends back what it gets, over TLS. */
#include <stdio.h>
#include <taps/taps.h>

static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    (void)user;
    taps_connection_send(c, part->data, part->length, NULL, 0, NULL);
    if (part->final)
        taps_connection_close(c); /* delivers what was sent first */
}

static void sent(taps_connection *c, void *tag, void *user) /* asks for more: a slow reader is not overrun */
{
    (void)user;
    taps_connection_receive(c, 1, 65536, tag);
}

static void closed(taps_connection *c, void *user)
{
    (void)user;
    taps_connection_free(c);
}

static void broken(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)error;
    closed(c, user);
}

static const struct taps_connection_events connection_events = {
    .received = received, .received_partial = received, .sent = sent, .closed = closed, .connection_error = broken};

static void listening(taps_listener *l, void *user)
{
    (void)user;
    printf("listening on port %u\n", taps_endpoint_port(taps_listener_local(l, 0)));
    fflush(stdout);
}

static void connection_received(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    taps_connection_set_events(c, &connection_events, user);
    taps_connection_receive(c, 1, 65536, NULL);
}

static void cannot_listen(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)l;
    *(int *)user = fprintf(stderr, "server: %s\n", error->detail) != 0;
}

static const struct taps_listener_events listener_events = {listening, connection_received, cannot_listen, NULL};

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_security_parameters *security = NULL;
    taps_preconnection *preconnection = NULL;
    taps_listener *listener;
    int failure = 0;
    if (argc != 4)
        return fprintf(stderr, "usage: server [ADDRESS]:PORT CERTIFICATE KEY\n"), 2;
    if (taps_context_new(NULL, &context) || taps_security_parameters_new(&security) ||
        taps_security_parameters_add_server_certificate(security, argv[2], argv[3]) ||
        taps_preconnection_new(context, &preconnection) || taps_preconnection_add_local_text(preconnection, argv[1]) ||
        taps_preconnection_set_security_parameters(preconnection, security) ||
        taps_preconnection_listen(preconnection, &listener_events, &failure, &listener))
        return fprintf(stderr, "server: the address, the certificate or its key cannot be used\n"), 1;
    taps_context_run(context);
    taps_security_parameters_free(security);
    taps_context_free(context);
    return failure;
}
