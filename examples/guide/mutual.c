/* mutual HOST:PORT CAFILE CERTIFICATE KEY PIN: both ends show certificates; the server's must be PIN's, and it must
   speak TLS 1.3 and "echo/1". Sends a line and prints the answer. */
#include <stdio.h>
#include <stdlib.h>
#include <taps/taps.h>

static void received(taps_connection *c, const struct taps_received *m, void *user)
{
    printf("%s %s: %.*s\n", taps_connection_security(c), taps_connection_alpn(c), (int)m->length,
           (const char *)m->data);
    *(int *)user = 0;
    taps_connection_close(c);
}

/* [errors] */
static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)user;
    switch (error->code) {
    case TAPS_E_CERTIFICATE_PIN:
        fprintf(stderr, "mutual: another server than the one pinned\n");
        break;
    case TAPS_E_CERTIFICATE:
    case TAPS_E_CERTIFICATE_EXPIRED:
    case TAPS_E_CERTIFICATE_NAME:
        fprintf(stderr, "mutual: not trusted: %s\n", error->detail);
        break;
    default: /* the sentence is meant for people; the code, the reason and the native number for programs */
        fprintf(stderr, "mutual: %s (%s, %d)\n", error->detail, taps_reason_name(error->reason), error->native);
    }
    taps_connection_free(c);
}
/* [/errors] */

static const struct taps_connection_events events = {
    .received = received, .received_partial = received, .establishment_error = failed, .connection_error = failed};

/* [security] */
static int security_of(char **files, taps_security_parameters **ret_security)
{
    taps_security_parameters *s;
    int err = taps_security_parameters_new(&s); /* TLS 1.2 or 1.3, the system's authorities, the name checked */
    if (err)
        return err;
    if ((err = taps_security_parameters_add_ca_file(s, files[0])) ||                      /* instead of the system's */
        (err = taps_security_parameters_add_client_certificate(s, files[1], files[2])) || /* for this role alone */
        (err = taps_security_parameters_set(s, "pinnedServerCertificate", files[3])) ||   /* beside being trusted */
        (err = taps_security_parameters_set_minimum_version(s, TAPS_TLS_1_3)) ||
        (err = taps_security_parameters_add_alpn(s, "echo/1")))
        taps_security_parameters_free(s);
    else
        *ret_security = s;
    return err;
}
/* [/security] */

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_preconnection *preconnection = NULL;
    taps_security_parameters *security = NULL;
    taps_connection *connection;
    int result = 1;
    if (argc != 6)
        return fprintf(stderr, "usage: mutual HOST:PORT CAFILE CERTIFICATE KEY PIN\n"), 2;
    int err = security_of(argv + 2, &security);
    if (!err)
        err = taps_context_new(NULL, &context);
    if (!err)
        err = taps_preconnection_new(context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, argv[1]);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 10000, &events, &result, &connection);
    if (!err) {
        taps_connection_send(connection, "hello", 5, NULL, 0, NULL);
        taps_connection_receive(connection, 1, SIZE_MAX, NULL);
        taps_context_run(context);
    } else {
        fprintf(stderr, "mutual: %s\n", taps_err_text(err));
    }
    taps_security_parameters_free(security);
    taps_context_free(context);
    return err ? 1 : result;
}
