/* client HOST:PORT [CAFILE]: asks a web server for its front page over TLS, and prints the answer. */
#include <stdio.h>
#include <taps/taps.h>

static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    (void)user;
    fwrite(part->data, 1, part->length, stdout);
    part->final ? taps_connection_close(c) : taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    *(int *)user = fprintf(stderr, "client: %s\n", error->detail) != 0;
    taps_connection_free(c);
}

static const struct taps_connection_events events = {
    .received = received, .received_partial = received, .establishment_error = failed, .connection_error = failed};

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_security_parameters *security = NULL; /* TLS, the system's authorities, the name checked */
    taps_preconnection *preconnection = NULL;
    taps_connection *connection;
    int failure = 0;
    if (argc < 2)
        return fprintf(stderr, "usage: client HOST:PORT [CAFILE]\n"), 2;
    if (taps_context_new(NULL, &context) || taps_security_parameters_new(&security) ||
        (argc > 2 && taps_security_parameters_add_ca_file(security, argv[2])) ||
        taps_preconnection_new(context, &preconnection) || taps_preconnection_add_remote_text(preconnection, argv[1]) ||
        taps_preconnection_set_security_parameters(preconnection, security) ||
        taps_preconnection_initiate(preconnection, 10000, &events, &failure, &connection))
        return fprintf(stderr, "client: %s or its CA file cannot be used\n", argv[1]), 1;
    taps_connection_send(connection, "GET / HTTP/1.0\r\n\r\n", 18, NULL, 0, NULL);
    taps_connection_receive(connection, 1, SIZE_MAX, NULL);
    taps_context_run(context); /* until the Connection is closed */
    taps_security_parameters_free(security);
    taps_context_free(context); /* and all that was made in it */
    return failure;
}
