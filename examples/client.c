/* client HOST:PORT [CAFILE]: asks a web server for its front page over TLS, and prints the answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taps/taps.h>

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "client: %s\n", taps_err_text(result));
        exit(1);
    }
}

static void ready(taps_connection *connection, void *user)
{
    (void)user;
    must(taps_connection_receive(connection, 1, SIZE_MAX, NULL));
}

static void received(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    fwrite(part->data, 1, part->length, stdout);
    must(part->final ? taps_connection_close(connection) : taps_connection_receive(connection, 1, SIZE_MAX, NULL));
}

static void failed(taps_connection *connection, const struct taps_error *error, void *user)
{
    int *failure = user;

    if (!*failure) /* what comes after the first error only follows from it */
        fprintf(stderr, "client: %s\n", error->detail);
    *failure = 1;
    taps_connection_abort(connection);
}

static void cut_short(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    failed(connection, error, user);
}

static const struct taps_connection_events events = {
    .ready = ready,
    .received = received,
    .received_partial = received,
    .receive_error = cut_short,
    .establishment_error = failed,
    .connection_error = failed,
};

int main(int argc, char **argv)
{
    const char *request = "GET / HTTP/1.0\r\n\r\n";
    taps_context *context;
    taps_endpoint *server;
    taps_security_parameters *security;
    taps_preconnection *preconnection;
    taps_connection *connection;
    int failure = 0;

    if (argc < 2)
        return fprintf(stderr, "usage: client HOST:PORT [CAFILE]\n"), 2;
    must(taps_context_new(NULL, &context));
    must(taps_remote_endpoint_new(&server));
    must(taps_endpoint_with_text(server, argv[1]));
    must(taps_security_parameters_new(&security)); /* TLS, the system's authorities, the name checked */
    if (argc > 2)
        must(taps_security_parameters_add_ca_file(security, argv[2]));
    must(taps_preconnection_new(context, &preconnection));
    must(taps_preconnection_add_remote(preconnection, server));
    must(taps_preconnection_set_security_parameters(preconnection, security));
    must(taps_preconnection_initiate(preconnection, 10000, &events, &failure, &connection));
    must(taps_connection_send(connection, request, strlen(request), NULL, 0, NULL));
    must(taps_context_run(context)); /* until the Connection is closed */

    taps_security_parameters_free(security);
    taps_endpoint_free(server);
    must(taps_context_free(context)); /* and all that was made in it */
    return fflush(stdout) != 0 || failure;
}
