/* http_get HOST:PORT CAFILE|- TARGET...: fetches them all over one connection, asked for at once; "-": in clear. */
#include <stdio.h>
#include <string.h>
#include <taps/framer.h>

struct get {
    char **targets; /* those that are not answered yet */
    int waiting;
    int result;
};

/* [ask] */
/* A Message without bytes is a GET; the last one says that nothing follows. */
static int ask(taps_connection *c, const char *target, bool last)
{
    taps_message_context *context;
    int err = taps_message_context_new(&context);
    if (err)
        return err;
    err = taps_message_context_add_metadata(context, "http", "target", target);
    if (!err)
        err = taps_message_context_add_metadata(context, "http", "Accept", "*/*");
    if (!err && last)
        err = taps_message_context_set(context, "final", "true");
    if (!err)
        err = taps_connection_send(c, NULL, 0, context, 0, NULL);
    taps_message_context_free(context);
    return err;
}

static void ready(taps_connection *c, void *user)
{
    struct get *g = user;
    for (int i = 0; i < g->waiting; i++)
        ask(c, g->targets[i], i + 1 == g->waiting);
    taps_connection_receive(c, 1, 65536, NULL);
}

/* The responses come in the order of the requests, each with its head beside its bytes. */
static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    struct get *g = user;
    fwrite(part->data, 1, part->length, stdout);
    if (part->end_of_message) {
        const char *status = taps_message_context_metadata(part->context, "http", "status");
        const char *type = taps_message_context_metadata(part->context, "http", "content-type");
        fprintf(stderr, "%s: %s, %s\n", *g->targets++, status, type ? type : "no type");
        if (strcmp(status, "200") != 0)
            g->result = 1;
        g->waiting--;
    }
    if (g->waiting && !part->final)
        taps_connection_receive(c, 1, 65536, NULL);
    else
        taps_connection_close(c);
}
/* [/ask] */

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    ((struct get *)user)->result = 1;
    fprintf(stderr, "http_get: %s\n", error->detail);
    taps_connection_free(c);
}

static void not_sent(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    ((struct get *)user)->result = 1;
    fprintf(stderr, "http_get: %s\n", error->detail);
    taps_connection_close(c);
}

static const struct taps_connection_events events = {.ready = ready,
                                                     .received = received,
                                                     .received_partial = received,
                                                     .send_error = not_sent,
                                                     .establishment_error = failed,
                                                     .connection_error = failed};

static int start(taps_context *context, char **argv, struct get *g)
{
    taps_preconnection *preconnection = NULL;
    taps_security_parameters *security = NULL;
    taps_framer *framer = NULL;
    taps_connection *connection;
    bool plain = strcmp(argv[2], "-") == 0;
    int err = plain ? taps_security_parameters_new_disabled(&security) : taps_security_parameters_new(&security);
    if (!err && !plain)
        err = taps_security_parameters_add_ca_file(security, argv[2]);
    if (!err)
        err = taps_preconnection_new(context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, argv[1]);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    /* [framer] */
    if (!err)
        err = taps_framer_new_text("http:body-maximum=unlimited", &framer);
    if (!err)
        err = taps_preconnection_add_framer(preconnection, framer);
    /* [/framer] */
    if (!err)
        err = taps_preconnection_initiate(preconnection, 10000, &events, g, &connection);
    taps_framer_free(framer);
    taps_security_parameters_free(security);
    taps_preconnection_free(preconnection);
    return err;
}

int main(int argc, char **argv)
{
    struct get g = {.targets = argv + 3, .waiting = argc - 3};
    taps_context *context;
    if (argc < 4)
        return fprintf(stderr, "usage: http_get HOST:PORT CAFILE|- TARGET...\n"), 2;
    int err = taps_context_new(NULL, &context);
    if (!err) {
        err = start(context, argv, &g);
        if (!err)
            taps_context_run(context);
        taps_context_free(context);
    }
    if (err)
        fprintf(stderr, "http_get: %s\n", taps_err_text(err));
    return err || g.waiting ? 1 : g.result;
}
