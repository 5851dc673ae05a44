/* roam HOST:PORT CAFILE SESSIONFILE TEXT: says TEXT to an echo server again and again, and stays with it
 * when the network changes. What the session file remembers of the last time saves the next time a round trip. Ends
 * after five answers. */
#include <stdio.h>
#include <string.h>
#include <taps/taps.h>

struct roam {
    const char *text;
    int answers;
    int failed;
};

static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    struct roam *r = user;
    (void)part;
    if (++r->answers == 5 || taps_connection_send(c, r->text, strlen(r->text), NULL, 0, NULL) ||
        taps_connection_receive(c, 1, SIZE_MAX, NULL))
        taps_connection_close(c);
}

/* [events] */
static void show_path(taps_connection *c, const char *what)
{
    char local[128], remote[128];
    taps_endpoint_text(taps_connection_local(c), local, sizeof(local));
    taps_endpoint_text(taps_connection_remote(c), remote, sizeof(remote));
    printf("%s: from %s to %s\n", what, local, remote);
}

static void ready(taps_connection *c, void *user)
{
    (void)user;
    printf("over %s%s%s\n", taps_connection_stack(c), taps_connection_resumed(c) ? ", resumed" : "",
           taps_connection_early_data(c) ? ", the first words were early" : "");
    show_path(c, "ready");
}

/* Another address, interface or path MTU. The Connection is the same, and so is what is under way. */
static void path_change(taps_connection *c, void *user)
{
    (void)user;
    show_path(c, "path");
}
/* [/events] */

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    ((struct roam *)user)->failed = fprintf(stderr, "roam: %s\n", error->detail) != 0;
    taps_connection_free(c);
}

static const struct taps_connection_events events = {.ready = ready,
                                                     .received = received,
                                                     .received_partial = received,
                                                     .path_change = path_change,
                                                     .establishment_error = failed,
                                                     .connection_error = failed};

/* [properties] */
/* QUIC where it comes through, and TLS over TCP else; the session moves to another path when the one it has is lost. */
static int be_mobile(taps_preconnection *preconnection)
{
    taps_transport_properties *properties;
    int err = taps_transport_properties_new(&properties);
    if (err)
        return err;
    if (!(err = taps_transport_properties_set(properties, "multipath", "active")) &&
        !(err = taps_transport_properties_set(properties, "multipathPolicy", "handover")) &&
        !(err = taps_transport_properties_set(properties, "keepAliveTimeout", "15")))
        err = taps_preconnection_set_transport_properties(preconnection, properties);
    taps_transport_properties_free(properties);
    return err;
}
/* [/properties] */

/* [early] */
/* The first words may come twice, if somebody repeats our packets: only what does no harm then is safelyReplayable. */
static int begin(taps_preconnection *preconnection, struct roam *r, taps_connection **ret)
{
    taps_message_context *replayable;
    int err = taps_message_context_new(&replayable);
    if (err)
        return err;
    err = taps_message_context_set(replayable, "safelyReplayable", "true");
    if (!err)
        err = taps_preconnection_initiate_with_send(preconnection, 10000, &events, r, r->text, strlen(r->text),
                                                    replayable, 0, NULL, ret);
    taps_message_context_free(replayable);
    return err;
}
/* [/early] */

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_security_parameters *security = NULL;
    taps_preconnection *preconnection = NULL;
    taps_connection *connection;
    struct roam r = {0};
    if (argc != 5)
        return fprintf(stderr, "usage: roam HOST:PORT CAFILE SESSIONFILE TEXT\n"), 2;
    r.text = argv[4];
    if (taps_context_new(NULL, &context) || taps_context_set_session_file(context, argv[3]) ||
        taps_security_parameters_new(&security) || taps_security_parameters_add_ca_file(security, argv[2]) ||
        taps_security_parameters_add_alpn(security, "echo") || /* one of its own: may go over QUIC */
        taps_preconnection_new(context, &preconnection) || taps_preconnection_add_remote_text(preconnection, argv[1]) ||
        taps_preconnection_set_security_parameters(preconnection, security) || be_mobile(preconnection) ||
        begin(preconnection, &r, &connection) || taps_connection_receive(connection, 1, SIZE_MAX, NULL))
        return fprintf(stderr, "roam: %s, its CA file or the session file cannot be used\n", argv[1]), 1;
    taps_context_run(context);
    taps_security_parameters_free(security);
    taps_context_free(context); /* writes the session file */
    return r.failed || r.answers < 5;
}
