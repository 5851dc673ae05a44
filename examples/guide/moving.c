/* moving HOST:PORT CA.pem [ADDRESS]: says "hello" and hears it again, then goes on from another address, if one is
   given, or when the network takes its own away. */
#include <stdio.h>
#include <string.h>
#include <taps/taps.h>

struct moving {
    taps_context *context;
    taps_connection *connection;
    const char *to;
    unsigned heard;
    int result;
};

/* [path] */
static void tell_path(const taps_connection *c)
{
    char local[300], remote[300];
    taps_endpoint_text(taps_connection_local(c), local, sizeof(local));
    taps_endpoint_text(taps_connection_remote(c), remote, sizeof(remote));
    printf("from %s to %s\n", local, remote);
}

static void path_change(taps_connection *c, void *user)
{
    (void)user;
    tell_path(c);
}
/* [/path] */

static void say_hello(taps_connection *c)
{
    taps_connection_send(c, "hello", 5, NULL, 0, NULL);
    taps_connection_receive(c, 5, 5, NULL);
}

static void ready(taps_connection *c, void *user)
{
    (void)user;
    tell_path(c);
    say_hello(c);
}

/* [move] */
/* The new one first: without any the Connection would end. A copy, since what is in use changes with the move. */
static int move(taps_connection *c, const char *address)
{
    taps_endpoint *old = NULL, *new = NULL;
    int err = taps_endpoint_copy(taps_connection_local(c), &old);
    if (!err)
        err = taps_local_endpoint_new(&new);
    if (!err)
        err = taps_endpoint_with_ip_address(new, address);
    if (!err)
        err = taps_connection_add_local(c, &(const taps_endpoint *){new}, 1);
    if (!err)
        err = taps_connection_remove_local(c, &(const taps_endpoint *){old}, 1);
    taps_endpoint_free(old);
    taps_endpoint_free(new);
    return err;
}
/* [/move] */

static void received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct moving *w = user;
    printf("%.*s\n", (int)m->length, (const char *)m->data);
    int err = 0;
    if (++w->heard == 1 && w->to) {
        err = move(c, w->to);
        say_hello(c);
    } else {
        w->result = 0;
        taps_connection_close(c);
    }
    if (err) {
        fprintf(stderr, "moving: %s\n", taps_err_text(err));
        taps_connection_abort(c);
    }
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)user;
    fprintf(stderr, "moving: %s\n", error->detail);
    taps_connection_free(c);
}

static const struct taps_connection_events events = {.ready = ready,
                                                     .received = received,
                                                     .received_partial = received,
                                                     .path_change = path_change,
                                                     .establishment_error = failed,
                                                     .connection_error = failed};

int main(int argc, char **argv)
{
    struct moving w = {.result = 1};
    taps_preconnection *preconnection = NULL;
    taps_transport_properties *properties = NULL;
    taps_security_parameters *security = NULL;
    if (argc < 3 || argc > 4)
        return fprintf(stderr, "usage: moving HOST:PORT CA.pem [ADDRESS]\n"), 2;
    w.to = argv[3];
    /* [multipath] */
    int err = taps_transport_properties_new(&properties);
    if (!err)
        err = taps_transport_properties_set(properties, "multipath", "active");
    if (!err)
        err = taps_security_parameters_new(&security);
    if (!err)
        err = taps_security_parameters_add_alpn(security, "echo"); /* without one there is no QUIC */
    /* [/multipath] */
    if (!err)
        err = taps_security_parameters_add_ca_file(security, argv[2]);
    if (!err)
        err = taps_context_new(NULL, &w.context);
    if (!err)
        err = taps_preconnection_new(w.context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, argv[1]);
    if (!err)
        err = taps_preconnection_set_transport_properties(preconnection, properties);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 5000, &events, &w, &w.connection);
    if (err)
        fprintf(stderr, "moving: %s\n", taps_err_text(err));
    else
        taps_context_run(w.context);
    taps_transport_properties_free(properties);
    taps_security_parameters_free(security);
    taps_context_free(w.context);
    return err ? 1 : w.result;
}
